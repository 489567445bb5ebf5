/* How a picture grew: pictures of the way, and now and then a whole state to go back to. Whoever
 * goes back and does otherwise begins another branch; the old one stays, with its tip. Pictures and
 * states are thinned evenly when there are too many, so a run of any length fits. See feavis.h.
 *
 *   noise --+--+--+--o--+--+--+   the first branch, and where it was left
 *                    |
 *                    +--+--+--+   the second, which left it at o */
#include <stdlib.h>
#include <string.h>

#include "feavis/history.h"

enum {
    MOST = 96,       /* pictures of the branch that grows, from noise on */
    STATE_EVERY = 4, /* pictures; more where states are large */
    LEAST_STATES = 64
};
#define STATE_BYTES ((size_t)512 << 20)

typedef struct branch {
    fv_branch about;
    fv_frame *frames[MOST + 1]; /* its own, behind the fork */
    int count;
    fv_snapshot *tip; /* where it was left; NULL once it grows again */
    fv_picture picture;
} branch;

struct fv_history {
    branch *branches[FV_MAX_BRANCHES];
    int branch_count, current;
    unsigned next_id;
    fv_frame *path[MOST + 1]; /* of the current branch, from noise on; borrowed from the branches */
    int count;
    int interval;    /* steps between two pictures */
    int state_every; /* pictures between two states */
    bool stateless;
};

/* --- branches --- */

/* Takes l, which is zero, over. There has to be a place for it. */
static void add_branch(fv_history *h, branch *l, int parent, int fork)
{
    l->about = (fv_branch){.id = ++h->next_id, .parent = parent, .fork = fork, .step = fork};
    h->branches[h->branch_count++] = l;
}

static void drop_frame(fv_frame *m)
{
    fv_picture_free(&m->picture);
    fv_snapshot_free(m->state);
    free(m);
}

static void drop_tip(branch *l)
{
    fv_snapshot_free(l->tip);
    fv_picture_free(&l->picture);
    l->tip = NULL;
}

static void drop_branch(branch *l)
{
    for (int i = 0; i < l->count; i++) drop_frame(l->frames[i]);
    drop_tip(l);
    free(l);
}

/* Not the current one, and not one that others left. */
static void remove_branch(fv_history *h, int at)
{
    drop_branch(h->branches[at]);
    h->branch_count--;
    for (int i = at; i < h->branch_count; i++) h->branches[i] = h->branches[i + 1];
    for (int i = 0; i < h->branch_count; i++)
        if (h->branches[i]->about.parent > at) h->branches[i]->about.parent--;
    if (h->current > at) h->current--;
}

static bool has_children(const fv_history *h, int at)
{
    for (int i = 0; i < h->branch_count; i++)
        if (h->branches[i]->about.parent == at) return true;
    return false;
}

/* The frames of the current branch: its ancestors' up to where it left them, then its own. */
static void trace(fv_history *h)
{
    int chain[FV_MAX_BRANCHES], depth = 0;
    for (int i = h->current; i >= 0; i = h->branches[i]->about.parent) chain[depth++] = i;
    h->count = 0;
    while (depth-- > 0) {
        const branch *l = h->branches[chain[depth]];
        for (int i = 0; i < l->count && h->count < MOST; i++)
            if (depth == 0 || l->frames[i]->step <= h->branches[chain[depth - 1]]->about.fork)
                h->path[h->count++] = l->frames[i];
    }
}

/* --- life --- */

fv_status fv_history_new(fv_history **out)
{
    fv_history *h = calloc(1, sizeof *h);
    if (!h) return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    h->interval = 1;
    h->state_every = STATE_EVERY;
    branch *l = calloc(1, sizeof *l);
    if (!l) {
        free(h);
        return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    }
    add_branch(h, l, -1, 0);
    *out = h;
    return FV_OK;
}

void fv_history_keep_states(fv_history *h, bool keep)
{
    h->stateless = !keep;
}

void fv_history_clear(fv_history *h)
{
    while (h->branch_count > 1) drop_branch(h->branches[--h->branch_count]);
    branch *l = h->branches[0];
    for (int i = 0; i < l->count; i++) drop_frame(l->frames[i]);
    drop_tip(l);
    *l = (branch){.about = {.id = ++h->next_id, .parent = -1}};
    h->current = h->count = 0;
    h->interval = 1;
    h->state_every = STATE_EVERY;
}

void fv_history_free(fv_history *h)
{
    if (!h) return;
    for (int i = 0; i < h->branch_count; i++) drop_branch(h->branches[i]);
    free(h);
}

/* --- thinning --- */

/* What does not fall on the intervals goes; the first picture of all stays, with its state. */
static void thin(fv_history *h)
{
    for (int k = 0; k < h->branch_count; k++) {
        branch *l = h->branches[k];
        int n = 0;
        for (int i = 0; i < l->count; i++) {
            fv_frame *m = l->frames[i];
            bool first = k == 0 && i == 0;
            if (!first && m->step % h->interval != 0) {
                drop_frame(m);
                continue;
            }
            if (!first && m->step % (h->interval * h->state_every) != 0) {
                fv_snapshot_free(m->state);
                m->state = NULL;
            }
            l->frames[n++] = m;
        }
        l->count = n;
    }
    trace(h);
}

static size_t state_bytes(const fv_history *h)
{
    size_t sum = 0;
    for (int k = 0; k < h->branch_count; k++) {
        const branch *l = h->branches[k];
        for (int i = 0; i < l->count; i++)
            if (l->frames[i]->state) sum += fv_snapshot_bytes(l->frames[i]->state);
        if (l->tip) sum += fv_snapshot_bytes(l->tip);
    }
    return sum;
}

/* *out: the frame, without a state if only that could not be kept; NULL without a picture. */
static fv_status take_frame(fv_history *h, fv_session *s, int step, fv_frame **out)
{
    fv_frame *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return fv_fail(FV_ERR_MEMORY, "keeping a history: out of memory");
    m->step = step;
    bool stateful = h->count == 0 || step % (h->interval * h->state_every) == 0;
    fv_status status = fv_session_preview(s, &m->picture);
    if (status < 0) {
        drop_frame(m);
        return status;
    }
    *out = m;
    return stateful && !h->stateless ? fv_session_take_snapshot(s, &m->state) : FV_OK;
}

fv_status fv_history_note(fv_history *h, fv_session *s, int step)
{
    branch *l = h->branches[h->current];
    if (step <= l->about.step) return FV_OK;
    drop_tip(l);
    l->about.step = step;
    if (h->count && step % h->interval != 0) return FV_OK;
    fv_frame *m;
    fv_status status = take_frame(h, s, step, &m);
    if (!m) return status;
    bool stateful = m->state;
    l->frames[l->count++] = h->path[h->count++] = m;
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

const fv_frame *fv_history_at(const fv_history *h, int i)
{
    return h->path[i];
}

int fv_history_state_before(const fv_history *h, int step)
{
    for (int i = h->count - 1; i >= 0; i--)
        if (h->path[i]->state && h->path[i]->step <= step) return i;
    return -1;
}

int fv_history_branch_count(const fv_history *h)
{
    return h->branch_count;
}

const fv_branch *fv_history_branch_at(const fv_history *h, int i)
{
    return &h->branches[i]->about;
}

int fv_history_current(const fv_history *h)
{
    return h->current;
}

const fv_picture *fv_history_tip(const fv_history *h, int i)
{
    return i >= 0 && i < h->branch_count && h->branches[i]->picture.rgb ? &h->branches[i]->picture
                                                                        : NULL;
}

/* --- going back, and to other branches --- */

/* Where a branch has come to. */
typedef struct place {
    fv_snapshot *tip;
    fv_picture picture;
} place;

static void drop_place(place *p)
{
    fv_snapshot_free(p->tip);
    fv_picture_free(&p->picture);
    *p = (place){0};
}

/* Where the current branch has come to; nothing if it keeps that already: it has not grown since.
 */
static fv_status look_round(const fv_history *h, fv_session *s, place *out)
{
    *out = (place){0};
    if (h->branches[h->current]->tip) return FV_OK;
    fv_status status = fv_session_preview(s, &out->picture);
    if (status >= 0) status = fv_session_take_snapshot(s, &out->tip);
    if (status < 0) drop_place(out);
    return status;
}

/* The session has left: the branch keeps its place, which it takes over. */
static void set_aside(branch *l, place *p)
{
    if (!p->tip) return;
    l->tip = p->tip;
    l->picture = p->picture;
}

/* Not grown past its fork, and nothing grows from it: removed when it is left. */
static bool is_empty(const fv_history *h, int at)
{
    const fv_branch *l = &h->branches[at]->about;
    return l->parent >= 0 && l->step == l->fork && !has_children(h, at);
}

static int owner_of(const fv_history *h, const fv_frame *m)
{
    for (int k = 0; k < h->branch_count; k++)
        for (int i = 0; i < h->branches[k]->count; i++)
            if (h->branches[k]->frames[i] == m) return k;
    return 0;
}

/* The branch that goes when there are as many as there can be: the oldest that nothing grows from;
 * -1: each is in use. */
static int oldest_leaf(const fv_history *h)
{
    for (int i = 0; i < h->branch_count; i++)
        if (!has_children(h, i) && i != h->current) return i;
    return -1;
}

/* The branch that never grew begins at another frame. */
static void move_branch(fv_history *h, int owner, int step)
{
    branch *l = h->branches[h->current];
    l->about.parent = owner;
    l->about.fork = l->about.step = step;
    drop_tip(l);
}

fv_status fv_history_fork(fv_history *h, fv_session *s, int *step)
{
    int at = fv_history_state_before(h, *step);
    if (at < 0) return fv_fail(FV_ERR_ARGUMENT, "no state is kept before step %d", *step);
    const fv_frame *m = h->path[at];
    bool full = h->branch_count == FV_MAX_BRANCHES;
    if (is_empty(h, h->current)) {
        FV_TRY(fv_session_restore(s, m->state));
        move_branch(h, owner_of(h, m), m->step);
    } else if (full && oldest_leaf(h) < 0) {
        return fv_fail(FV_ERR_ARGUMENT, "there are %d branches, each on the last", FV_MAX_BRANCHES);
    } else {
        place here;
        branch *l = calloc(1, sizeof *l);
        fv_status status = l ? look_round(h, s, &here)
                             : fv_fail(FV_ERR_MEMORY, "beginning a branch: out of memory");
        if (status >= 0) {
            status = fv_session_restore(s, m->state);
            if (status < 0) drop_place(&here);
        }
        if (status < 0) { /* nothing has changed */
            free(l);
            return status;
        }
        set_aside(h->branches[h->current], &here);
        if (full) remove_branch(h, oldest_leaf(h));
        add_branch(h, l, owner_of(h, m), m->step);
        h->current = h->branch_count - 1;
    }
    *step = m->step;
    trace(h);
    return FV_OK;
}

fv_status fv_history_switch(fv_history *h, fv_session *s, int to)
{
    place here = {0};
    if (to < 0 || to >= h->branch_count)
        return fv_fail(FV_ERR_ARGUMENT, "branch %d of %d", to, h->branch_count);
    if (to == h->current) return FV_OK;
    int old = h->current;
    bool empty = is_empty(h, old);
    if (!empty) FV_TRY(look_round(h, s, &here));
    fv_status status = fv_session_restore(s, h->branches[to]->tip);
    if (status < 0) {
        drop_place(&here);
        return status;
    }
    if (!empty) set_aside(h->branches[old], &here);
    h->current = to;
    if (empty) remove_branch(h, old);
    trace(h);
    return FV_OK;
}

fv_status fv_history_forget(fv_history *h, int i)
{
    if (i < 0 || i >= h->branch_count || has_children(h, i) || i == h->current)
        return fv_fail(FV_ERR_ARGUMENT, "branch %d is in use", i);
    remove_branch(h, i);
    return FV_OK;
}
