/* The tree of a picture: going back and branching with another text or seed keeps the old branch,
 * with its curve, its texts and its tip; see fv_history. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"
#include "feavis/plot.h"

/* The session went back, and goes on past where it was stopped. */
static void go_back(worker *w)
{
    follow_session(w);
    if (fv_options_set(w->job, "stop", "0") < 0) say(w, NULL);
}

void branch(worker *w, const order *o)
{
    static const char *const names[] = {"text", "seed", "llp", "term", "at"};
    int step = (int)o->number;
    branch_state left;
    if (!w->session) return;
    if (!w->saved && !save_picture(w)) return; /* what was at the tip is in the gallery too */
    if (!copy_state(w, &left)) return;
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_fork(w->history, w->session, &step);
    if (s >= 0) {
        keep_state(w, &left);
        while (w->curve_count && w->curve[w->curve_count - 1].step > step) w->curve_count--;
        w->view.measured = false;
        w->view.progress.step = step;
    } else
        clear_state(&left);
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) {
        say(w, NULL);
        return;
    }
    release_item(w);
    w->saved = false;
    go_back(w);
    for (int i = 0; o->options && i < 4; i++)
        if (strcmp(fv_options_get(o->options, names[i]), fv_options_get(w->job, names[i])) != 0)
            change(w, names[i], fv_options_get(o->options, names[i]));
    if (o->name && strcmp(o->text, fv_options_get(w->job, o->name)) != 0)
        change(w, o->name, o->text);
    publish_options(w);
    w->pause_at = 0;
    set_phase(w, WORKER_RUNNING);
}

void switch_branch(worker *w, unsigned id)
{
    int to = place_of(w, id);
    branch_state left, *mine = state_of(w, id), next;
    if (!w->session || to < 0 || id == current_id(w) || !mine) return;
    const fv_picture *tip = fv_history_tip(w->history, to);
    fv_picture shown;
    if (!tip || fv_picture_thumbnail(&shown, tip, tip->width) < 0 || !copy_state(w, &left)) return;
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_switch(w->history, w->session, to);
    if (s >= 0) {
        next = *mine;
        *mine = (branch_state){0};
        keep_state(w, &left);
        take_state(w, &next);
        fv_picture_free(&w->picture);
        w->picture = shown;
        w->view.picture_serial++;
        w->view.activation_serial = w->view.gradient_serial = 0;
    } else {
        clear_state(&left);
        fv_picture_free(&shown);
    }
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) {
        say(w, NULL);
        return;
    }
    release_item(w);
    go_back(w);
    pthread_mutex_lock(&w->mutex);
    publish_branches(w);
    pthread_mutex_unlock(&w->mutex);
    publish_options(w);
    w->pause_at = 0;
    const fv_progress *p = &w->view.progress;
    measure_robustness(w, true);
    measure_activation(w, true);
    set_phase(w, p->step >= p->steps ? WORKER_DONE : WORKER_PAUSED);
}

void forget_branch(worker *w, unsigned id)
{
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_forget(w->history, place_of(w, id));
    forget_states(w);
    publish_branches(w);
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) say(w, NULL);
    notify(w);
}
