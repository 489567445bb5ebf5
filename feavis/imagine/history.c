/* How a picture grew: pictures of the way, and now and then a whole state to go back to. Whoever
 * goes back and does otherwise begins another line; the old one stays, with its tip. Pictures and
 * states are thinned evenly when there are too many, so a run of any length fits. See feavis.h.
 *
 *   noise --+--+--+--o--+--+--+   the first line, and where it was left
 *                    |
 *                    +--+--+--+   the second, which left it at o */
#include <stdlib.h>
#include <string.h>

#include "feavis/history.h"

enum {
    MOST = 96,       /* pictures of the line that grows, from noise on */
    STATE_EVERY = 4, /* pictures; more where states are large */
    LEAST_STATES = 64
};
#define STATE_BYTES ((size_t)512 << 20)

typedef struct line {
    fv_line about;
    fv_moment *moments[MOST + 1]; /* its own, behind the fork */
    int count;
    fv_kept *tip; /* where it was left; NULL once it grows again */
    fv_picture picture;
} line;

struct fv_history {
    line *lines[FV_MOST_LINES];
    int line_count, current;
    unsigned next_id;
    fv_moment *path[MOST + 1]; /* of the current line, from noise on; borrowed from the lines */
    int count;
    int interval;    /* steps between two pictures */
    int state_every; /* pictures between two states */
    bool stateless;
};

/* --- lines --- */

/* Takes l, which is zero, over. There has to be a place for it. */
static void add_line(fv_history *h, line *l, int parent, int fork)
{
    l->about = (fv_line){.id = ++h->next_id, .parent = parent, .fork = fork, .step = fork};
    h->lines[h->line_count++] = l;
}

static void drop_moment(fv_moment *m)
{
    fv_picture_free(&m->picture);
    fv_kept_free(m->state);
    free(m);
}

static void drop_tip(line *l)
{
    fv_kept_free(l->tip);
    fv_picture_free(&l->picture);
    l->tip = NULL;
}

static void drop_line(line *l)
{
    for (int i = 0; i < l->count; i++) drop_moment(l->moments[i]);
    drop_tip(l);
    free(l);
}

/* Not the current one, and not one that others left. */
static void remove_line(fv_history *h, int at)
{
    drop_line(h->lines[at]);
    h->line_count--;
    for (int i = at; i < h->line_count; i++) h->lines[i] = h->lines[i + 1];
    for (int i = 0; i < h->line_count; i++)
        if (h->lines[i]->about.parent > at) h->lines[i]->about.parent--;
    if (h->current > at) h->current--;
}

static bool has_children(const fv_history *h, int at)
{
    for (int i = 0; i < h->line_count; i++)
        if (h->lines[i]->about.parent == at) return true;
    return false;
}

/* The moments of the current line: its ancestors' up to where it left them, then its own. */
static void trace(fv_history *h)
{
    int chain[FV_MOST_LINES], depth = 0;
    for (int i = h->current; i >= 0; i = h->lines[i]->about.parent) chain[depth++] = i;
    h->count = 0;
    while (depth-- > 0) {
        const line *l = h->lines[chain[depth]];
        for (int i = 0; i < l->count && h->count < MOST; i++)
            if (depth == 0 || l->moments[i]->step <= h->lines[chain[depth - 1]]->about.fork)
                h->path[h->count++] = l->moments[i];
    }
}

/* --- life --- */

fv_status fv_history_new(fv_history **out)
{
    fv_history *h = calloc(1, sizeof *h);
    if (!h) return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    h->interval = 1;
    h->state_every = STATE_EVERY;
    line *l = calloc(1, sizeof *l);
    if (!l) {
        free(h);
        return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    }
    add_line(h, l, -1, 0);
    *out = h;
    return FV_OK;
}

void fv_history_keep_states(fv_history *h, bool keep)
{
    h->stateless = !keep;
}

void fv_history_clear(fv_history *h)
{
    while (h->line_count > 1) drop_line(h->lines[--h->line_count]);
    line *l = h->lines[0];
    for (int i = 0; i < l->count; i++) drop_moment(l->moments[i]);
    drop_tip(l);
    *l = (line){.about = {.id = ++h->next_id, .parent = -1}};
    h->current = h->count = 0;
    h->interval = 1;
    h->state_every = STATE_EVERY;
}

void fv_history_free(fv_history *h)
{
    if (!h) return;
    for (int i = 0; i < h->line_count; i++) drop_line(h->lines[i]);
    free(h);
}

/* --- thinning --- */

/* What does not fall on the intervals goes; the first picture of all stays, with its state. */
static void thin(fv_history *h)
{
    for (int k = 0; k < h->line_count; k++) {
        line *l = h->lines[k];
        int n = 0;
        for (int i = 0; i < l->count; i++) {
            fv_moment *m = l->moments[i];
            bool first = k == 0 && i == 0;
            if (!first && m->step % h->interval != 0) {
                drop_moment(m);
                continue;
            }
            if (!first && m->step % (h->interval * h->state_every) != 0) {
                fv_kept_free(m->state);
                m->state = NULL;
            }
            l->moments[n++] = m;
        }
        l->count = n;
    }
    trace(h);
}

static size_t state_bytes(const fv_history *h)
{
    size_t sum = 0;
    for (int k = 0; k < h->line_count; k++) {
        const line *l = h->lines[k];
        for (int i = 0; i < l->count; i++)
            if (l->moments[i]->state) sum += fv_kept_bytes(l->moments[i]->state);
        if (l->tip) sum += fv_kept_bytes(l->tip);
    }
    return sum;
}

/* *out: the moment, without a state if only that could not be kept; NULL without a picture. */
static fv_status take_moment(fv_history *h, fv_session *s, int step, fv_moment **out)
{
    fv_moment *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    m->step = step;
    bool stateful = h->count == 0 || step % (h->interval * h->state_every) == 0;
    fv_status status = fv_session_snapshot(s, &m->picture);
    if (status < 0) {
        drop_moment(m);
        return status;
    }
    *out = m;
    return stateful && !h->stateless ? fv_session_keep(s, &m->state) : FV_OK;
}

fv_status fv_history_note(fv_history *h, fv_session *s, int step)
{
    line *l = h->lines[h->current];
    if (step <= l->about.step) return FV_OK;
    drop_tip(l);
    l->about.step = step;
    if (h->count && step % h->interval != 0) return FV_OK;
    fv_moment *m;
    fv_status status = take_moment(h, s, step, &m);
    if (!m) return status;
    bool stateful = m->state;
    l->moments[l->count++] = h->path[h->count++] = m;
    if (h->count > MOST) {
        h->interval *= 2;
        thin(h);
    }
    while (stateful && state_bytes(h) > STATE_BYTES && h->state_every < LEAST_STATES) {
        h->state_every *= 2;
        thin(h);
    }
    return status;
}

/* --- looking --- */

int fv_history_count(const fv_history *h)
{
    return h->count;
}

const fv_moment *fv_history_at(const fv_history *h, int i)
{
    return h->path[i];
}

int fv_history_state_before(const fv_history *h, int step)
{
    for (int i = h->count - 1; i >= 0; i--)
        if (h->path[i]->state && h->path[i]->step <= step) return i;
    return -1;
}

int fv_history_line_count(const fv_history *h)
{
    return h->line_count;
}

const fv_line *fv_history_line(const fv_history *h, int i)
{
    return &h->lines[i]->about;
}

int fv_history_current(const fv_history *h)
{
    return h->current;
}

const fv_picture *fv_history_tip(const fv_history *h, int i)
{
    return i >= 0 && i < h->line_count && h->lines[i]->picture.rgb ? &h->lines[i]->picture : NULL;
}

/* --- going back, and to other lines --- */

/* Where a line has come to. */
typedef struct place {
    fv_kept *tip;
    fv_picture picture;
} place;

static void drop_place(place *p)
{
    fv_kept_free(p->tip);
    fv_picture_free(&p->picture);
    *p = (place){0};
}

/* Where the current line has come to; nothing if it keeps that already: it has not grown since. */
static fv_status look_round(const fv_history *h, fv_session *s, place *out)
{
    *out = (place){0};
    if (h->lines[h->current]->tip) return FV_OK;
    fv_status status = fv_session_snapshot(s, &out->picture);
    if (status >= 0) status = fv_session_keep(s, &out->tip);
    if (status < 0) drop_place(out);
    return status;
}

/* The session has left: the line keeps its place, which it takes over. */
static void set_aside(line *l, place *p)
{
    if (!p->tip) return;
    l->tip = p->tip;
    l->picture = p->picture;
}

/* A line that never grew is no line. */
static bool is_empty(const fv_history *h, int at)
{
    const fv_line *l = &h->lines[at]->about;
    return l->parent >= 0 && l->step == l->fork && !has_children(h, at);
}

static int owner_of(const fv_history *h, const fv_moment *m)
{
    for (int k = 0; k < h->line_count; k++)
        for (int i = 0; i < h->lines[k]->count; i++)
            if (h->lines[k]->moments[i] == m) return k;
    return 0;
}

/* The line that goes when there are as many as there can be: the oldest that nothing grows from;
 * -1: each is in use. */
static int oldest_leaf(const fv_history *h)
{
    for (int i = 0; i < h->line_count; i++)
        if (!has_children(h, i) && i != h->current) return i;
    return -1;
}

/* The line that never grew begins at another moment. */
static void move_line(fv_history *h, int owner, int step)
{
    line *l = h->lines[h->current];
    l->about.parent = owner;
    l->about.fork = l->about.step = step;
    drop_tip(l);
}

fv_status fv_history_branch(fv_history *h, fv_session *s, int *step)
{
    int at = fv_history_state_before(h, *step);
    if (at < 0) return fv_fail(FV_ERR_ARGUMENT, "no state is kept before step %d", *step);
    const fv_moment *m = h->path[at];
    bool full = h->line_count == FV_MOST_LINES;
    if (is_empty(h, h->current)) {
        FV_TRY(fv_session_return(s, m->state));
        move_line(h, owner_of(h, m), m->step);
    } else if (full && oldest_leaf(h) < 0) {
        return fv_fail(FV_ERR_ARGUMENT, "there are %d branches, each on the last", FV_MOST_LINES);
    } else {
        place here;
        line *l = calloc(1, sizeof *l);
        fv_status status = l ? look_round(h, s, &here)
                             : fv_fail(FV_ERR_MEMORY, "beginning a branch: out of memory");
        if (status >= 0) {
            status = fv_session_return(s, m->state);
            if (status < 0) drop_place(&here);
        }
        if (status < 0) { /* nothing has changed */
            free(l);
            return status;
        }
        set_aside(h->lines[h->current], &here);
        if (full) remove_line(h, oldest_leaf(h));
        add_line(h, l, owner_of(h, m), m->step);
        h->current = h->line_count - 1;
    }
    *step = m->step;
    trace(h);
    return FV_OK;
}

fv_status fv_history_switch(fv_history *h, fv_session *s, int to)
{
    place here = {0};
    if (to < 0 || to >= h->line_count)
        return fv_fail(FV_ERR_ARGUMENT, "branch %d of %d", to, h->line_count);
    if (to == h->current) return FV_OK;
    int old = h->current;
    bool empty = is_empty(h, old);
    if (!empty) FV_TRY(look_round(h, s, &here));
    fv_status status = fv_session_return(s, h->lines[to]->tip);
    if (status < 0) {
        drop_place(&here);
        return status;
    }
    if (!empty) set_aside(h->lines[old], &here);
    h->current = to;
    if (empty) remove_line(h, old);
    trace(h);
    return FV_OK;
}

fv_status fv_history_forget(fv_history *h, int i)
{
    if (i < 0 || i >= h->line_count || has_children(h, i) || i == h->current)
        return fv_fail(FV_ERR_ARGUMENT, "branch %d is in use", i);
    remove_line(h, i);
    return FV_OK;
}
