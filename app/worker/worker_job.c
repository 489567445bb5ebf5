/* The current job: its session from the first step to the saved picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

/* --- saving --- */

static void title_of(const worker_view *v, char *out, size_t size)
{
    char *title = NULL; /* no folders of this disk in names */
    const char *term = fv_term_title(&title, v->term) < 0 ? "" : title;
    snprintf(out, size, "%s%s%s%s%s%s", v->text, *v->text && *v->llp ? "-" : "",
             *v->llp ? "llp-" : "", v->llp, (*v->text || *v->llp) && *term ? "-" : "", term);
    free(title);
}

bool save_picture(worker *w)
{
    fv_picture picture;
    fv_progress scores;
    char *recipe = NULL, *path = NULL, title[1536];
    const char *gallery = fv_options_get(w->options, "gallery");
    fv_status s = fv_session_picture(w->session, &picture, &scores);
    if (s < 0) {
        say(w, NULL);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    title_of(&w->view, title, sizeof title);
    uint64_t seed = strtoull(w->view.seed, NULL, 10);
    pthread_mutex_unlock(&w->mutex);
    s = fv_session_recipe(w->session, &recipe);
    if (s >= 0) s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add(gallery, title, seed, &picture, recipe, &path);
    fv_picture_free(&picture);
    free(recipe);
    if (s < 0) {
        say(w, NULL);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.saved, sizeof w->view.saved, path);
    w->view.saved_serial++;
    for (int i = 0; i < w->view.panel_count; i++)
        if (w->item && w->view.panels[i].id == w->item) w->view.panels[i].done = true;
    pthread_mutex_unlock(&w->mutex);
    free(path);
    w->saved = true;
    return true;
}

/* Only now does its file leave the queue: a crash before this point makes the picture again. */
void release_item(worker *w)
{
    int at = w->item ? fv_queue_find(w->queue, w->item) : -1;
    if (at >= 0 && fv_queue_remove(w->queue, at) < 0) say(w, NULL);
    w->item = 0;
    pthread_mutex_lock(&w->mutex);
    publish_queue(w);
    pthread_mutex_unlock(&w->mutex);
}

void finish_picture(worker *w)
{
    measure_robustness(w, true);
    measure_activation(w, true);
    if (!save_picture(w)) {
        w->go = false;
        set_phase(w, WORKER_PAUSED);
        return;
    }
    keep_reel(w);
    release_item(w);
    if (fv_queue_count(w->queue) == 0) w->go = false;
    rank_again(w);
    set_phase(w, WORKER_DONE);
}

/* --- beginning and ending --- */

void leave_job(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    fv_session *s = w->session;
    w->session = NULL;
    fv_history_clear(w->history);
    forget_states(w);
    w->view.branch_count = 0;
    w->curve_count = 0;
    w->view.picture_serial = w->view.activation_serial = w->view.gradient_serial = 0;
    w->view.frame_count = w->view.part_count = 0;
    if (w->view.ranking != RANKED_TEXT) w->view.best_count = 0;
    w->view.measured = false;
    w->view.step_seconds = w->view.stepping = w->view.handing = 0;
    w->view.progress = (fv_progress){0};
    pthread_mutex_unlock(&w->mutex);
    forget_codes(w);
    forget_words(w);
    fv_session_close(s);
    fv_options_free(w->job);
    w->job = NULL;
    w->running_seconds = w->last_robustness = w->last_activation = 0;
    w->saved = w->told_history = false;
    w->dropped = 0;
    w->pause_at = 0;
}

/* The picture's options; the models and the places to write are the window's own, and weights for
 * other models none. */
static fv_status with_model(worker *w, const fv_options *from, fv_options **out)
{
    FV_TRY(fv_options_copy(out, from));
    fv_status s = fv_options_take(*out, w->options, FV_OPTION_MODEL | FV_OPTION_PLACE);
    if (s >= 0 && fv_options_weight_count(from) != fv_model_guide_count(w->model))
        s = fv_options_set(*out, "guide-weights", "");
    if (s >= 0) return FV_OK;
    fv_options_free(*out);
    *out = NULL;
    return s;
}

bool begin_job(worker *w, const fv_options *options)
{
    fv_session *s;
    leave_job(w);
    if (*fv_options_notice(options)) say(w, fv_options_notice(options));
    if (with_model(w, options, &w->job) < 0 || fv_session_open(&s, w->model, w->job) < 0) {
        say(w, NULL);
        return false;
    }
    fv_session_want_gradient(s, w->gradient_wanted);
    const fv_text_report *report = fv_session_text_report(s, 0);
    pthread_mutex_lock(&w->mutex);
    w->session = s;
    w->view.dropped = report ? report->dropped : 0;
    w->view.unknown = report ? report->unknown : 0;
    w->view.progress =
        (fv_progress){.steps = atoi(fv_options_get(w->job, "steps")), .cosine = NAN, .neuron = NAN};
    w->view.side = atoi(fv_options_get(w->job, "size"));
    pthread_mutex_unlock(&w->mutex);
    publish_options(w);
    return true;
}

void begin_next(worker *w)
{
    w->item = fv_queue_id(w->queue, 0);
    if (!begin_job(w, fv_queue_at(w->queue, 0))) {
        /* said; what cannot be made does not block the rest */
        release_item(w);
        if (fv_queue_count(w->queue) == 0) w->go = false;
        set_phase(w, WORKER_IDLE);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    publish_queue(w);
    w->view.phase = WORKER_RUNNING;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

/* --- steps and changes --- */

void follow_session(worker *w)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++)
        if ((table[i].flags & FV_OPTION_LIVE) &&
            fv_options_set(w->job, table[i].name, fv_session_option(w->session, table[i].name)) < 0)
            say(w, NULL);
}

static void add_point(worker *w, const fv_progress *p)
{
    if (w->curve_count == w->curve_capacity) {
        int room = w->curve_capacity ? 2 * w->curve_capacity : 512;
        worker_point *more = realloc(w->curve, (size_t)room * sizeof *more);
        if (!more) return;
        w->curve = more;
        w->curve_capacity = room;
    }
    float belief = isnan(p->cosine) ? p->neuron : p->cosine;
    w->curve[w->curve_count++] = (worker_point){p->step, belief, NAN, p->gradient, (float)p->rate};
}

bool take_step(worker *w, fv_progress *p)
{
    double begin = seconds_now();
    fv_status status = fv_session_step(w->session, p);
    double took = seconds_now() - begin;
    if (status != FV_OK) {
        if (status < 0) say(w, NULL);
        return false;
    }
    if (p->dropped != w->dropped) { /* said once, and no longer what the job says */
        w->dropped = p->dropped;
        say(w, fv_session_dropped(w->session));
        follow_session(w);
        publish_options(w);
    }
    w->saved = false;
    w->running_seconds += took;
    pthread_mutex_lock(&w->mutex);
    w->steps_taken++;
    double *smooth = &w->view.step_seconds;
    *smooth = *smooth > 0 ? 0.8 * *smooth + 0.2 * took : took;
    p->seconds = w->running_seconds;
    p->rate = *smooth > 0 ? 1 / *smooth : 0;
    if (!w->curve_count || w->curve[w->curve_count - 1].step < p->step) add_point(w, p);
    w->view.stepping += took;
    begin = seconds_now();
    bool noted = fv_history_note(w->history, w->session, p->step) >= 0;
    w->view.handing += seconds_now() - begin;
    pthread_mutex_unlock(&w->mutex);
    if (!noted && !w->told_history) say(w, NULL); /* what there is of the history stays */
    w->told_history = !noted;
    return true;
}

void change(worker *w, const char *name, const char *value)
{
    if (!w->session) return;
    if (fv_session_set(w->session, name, value) < 0 || fv_options_set(w->job, name, value) < 0)
        say(w, NULL);
    publish_options(w);
    notify(w);
}
