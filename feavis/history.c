/* How a picture grew: pictures of the way, and now and then a whole state to go back to. Both are
 * thinned evenly when there are too many, so a run of any length fits. See feavis.h. */
#include <stdlib.h>
#include <string.h>

#include "feavis/feavis.h"

enum { MOST = 96, STATE_EVERY = 4 /* pictures */ };

struct fv_history {
    fv_moment moments[MOST + 1];
    int count;
    int interval; /* steps between two pictures */
};

fv_status fv_history_new(fv_history **out)
{
    fv_history *h = calloc(1, sizeof *h);
    if (!h) return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    h->interval = 1;
    *out = h;
    return FV_OK;
}

static void drop(fv_moment *m)
{
    fv_picture_free(&m->picture);
    fv_kept_free(m->state);
    *m = (fv_moment){0};
}

void fv_history_clear(fv_history *h)
{
    for (int i = 0; i < h->count; i++) drop(&h->moments[i]);
    h->count = 0;
    h->interval = 1;
}

void fv_history_free(fv_history *h)
{
    if (!h) return;
    fv_history_clear(h);
    free(h);
}

/* Twice the interval: what no longer falls on it goes. */
static void thin(fv_history *h)
{
    int n = 0;
    h->interval *= 2;
    for (int i = 0; i < h->count; i++) {
        fv_moment *m = &h->moments[i];
        if (m->step % h->interval != 0) {
            drop(m);
            continue;
        }
        if (m->step % (h->interval * STATE_EVERY) != 0) {
            fv_kept_free(m->state);
            m->state = NULL;
        }
        if (n != i) {
            h->moments[n] = *m;
            *m = (fv_moment){0};
        }
        n++;
    }
    h->count = n;
}

fv_status fv_history_note(fv_history *h, fv_session *s, int step)
{
    if (step % h->interval != 0) return FV_OK;
    if (h->count && h->moments[h->count - 1].step >= step) return FV_OK;
    fv_moment m = {.step = step};
    FV_TRY(fv_session_snapshot(s, &m.picture));
    if (step % (h->interval * STATE_EVERY) == 0) {
        fv_status status = fv_session_keep(s, &m.state);
        if (status < 0) {
            fv_picture_free(&m.picture);
            return status;
        }
    }
    h->moments[h->count++] = m;
    if (h->count > MOST) thin(h);
    return FV_OK;
}

int fv_history_count(const fv_history *h)
{
    return h->count;
}

const fv_moment *fv_history_at(const fv_history *h, int i)
{
    return &h->moments[i];
}

int fv_history_state_before(const fv_history *h, int step)
{
    for (int i = h->count - 1; i >= 0; i--)
        if (h->moments[i].state && h->moments[i].step <= step) return i;
    return -1;
}

void fv_history_cut(fv_history *h, int step)
{
    while (h->count && h->moments[h->count - 1].step > step) drop(&h->moments[--h->count]);
}
