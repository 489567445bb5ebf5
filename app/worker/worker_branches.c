/* What belongs to branches that do not grow now: curve, texts, progress. The history (history.h)
 * has their pictures and states; these go and come with it. */
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"
#include "feavis/plot.h"

int place_of(worker *w, unsigned id)
{
    for (int i = 0; i < fv_history_branch_count(w->history); i++)
        if (fv_history_branch_at(w->history, i)->id == id) return i;
    return -1;
}

unsigned current_id(worker *w)
{
    return fv_history_branch_at(w->history, fv_history_current(w->history))->id;
}

branch_state *state_of(worker *w, unsigned id)
{
    for (int i = 0; i < FV_MAX_BRANCHES; i++)
        if (w->states[i].id == id) return &w->states[i];
    return NULL;
}

void clear_state(branch_state *a)
{
    free(a->curve);
    *a = (branch_state){0};
}

void forget_states(worker *w)
{
    unsigned current = current_id(w);
    for (int i = 0; i < FV_MAX_BRANCHES; i++) {
        branch_state *a = &w->states[i];
        if (a->id && (a->id == current || place_of(w, a->id) < 0)) clear_state(a);
    }
}

/* Copies what belongs to the current branch. */
bool copy_state(worker *w, branch_state *out)
{
    branch_state a = {.id = current_id(w), .saved = w->saved, .progress = w->view.progress};
    a.curve_count = a.curve_capacity = w->curve_count;
    a.curve = malloc((size_t)(a.curve_count + 1) * sizeof *a.curve);
    if (!a.curve) return false;
    if (a.curve_count) memcpy(a.curve, w->curve, (size_t)a.curve_count * sizeof *a.curve);
    copy_text(a.text, sizeof a.text, asked_of(w->job));
    copy_text(a.seed, sizeof a.seed, fv_options_get(w->job, "seed"));
    *out = a;
    return true;
}

/* With the lock. The history may have dropped the branch that was left, or use it again. */
void keep_state(worker *w, branch_state *a)
{
    forget_states(w);
    bool lives = a->id != current_id(w) && place_of(w, a->id) >= 0;
    branch_state *to = lives ? state_of(w, 0) : NULL;
    if (to)
        *to = *a;
    else
        clear_state(a);
}

/* With the lock: what was put aside is what grows. */
void take_state(worker *w, branch_state *a)
{
    free(w->curve);
    w->curve = a->curve;
    w->curve_count = a->curve_count;
    w->curve_capacity = a->curve_capacity;
    w->saved = a->saved;
    w->view.progress = a->progress;
    w->view.measured = false;
    w->view.part_count = 0;
    *a = (branch_state){0};
}

void publish_branches(worker *w)
{
    int n = fv_history_count(w->history), branches = fv_history_branch_count(w->history);
    int current = fv_history_current(w->history);
    w->view.frame_count = n;
    for (int i = 0; i < n; i++) {
        const fv_frame *m = fv_history_at(w->history, i);
        w->view.frame_steps[i] = m->step;
        w->view.frame_states[i] = m->state != NULL;
    }
    w->view.branch_count = branches;
    for (int i = 0; i < branches; i++) {
        const fv_branch *from = fv_history_branch_at(w->history, i);
        worker_branch *to = &w->view.branches[i];
        const branch_state *a = state_of(w, from->id);
        *to = (worker_branch){from->id,     from->parent, from->fork, from->step,
                              i == current, true,         "",         ""};
        if (a) {
            memcpy(to->text, a->text, sizeof to->text);
            memcpy(to->seed, a->seed, sizeof to->seed);
        } else if (w->job) {
            copy_text(to->text, sizeof to->text, asked_of(w->job));
            copy_text(to->seed, sizeof to->seed, fv_options_get(w->job, "seed"));
        }
    }
    for (int i = 0; i < branches; i++)
        if (w->view.branches[i].parent >= 0)
            w->view.branches[w->view.branches[i].parent].leaf = false;
}

bool worker_branch_picture(worker *w, unsigned id, fv_picture *out)
{
    pthread_mutex_lock(&w->mutex);
    const fv_picture *tip = fv_history_tip(w->history, place_of(w, id));
    bool has = tip && fv_picture_thumbnail(out, tip, 64) >= 0;
    pthread_mutex_unlock(&w->mutex);
    return has;
}
