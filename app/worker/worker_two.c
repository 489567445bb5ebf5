/* Two pictures that grow side by side: a step of the one that is behind, again and again. They are
 * of two texts, two seeds, or two of the models that look; what they are is in their options. */
#include <stdio.h>
#include <stdlib.h>

#include "app/worker/worker_inside.h"

static fv_model *model_of(worker *w, int i)
{
    return w->two_models[i] ? w->two_models[i] : w->model;
}

static fv_critic *critic_of(worker *w, int i)
{
    return w->two_models[i] ? w->two_critics[i] : w->critic;
}

void close_two(worker *w)
{
    for (int i = 0; i < 2; i++) {
        pthread_mutex_lock(&w->mutex);
        fv_session *s = w->two_sessions[i];
        w->two_sessions[i] = NULL;
        pthread_mutex_unlock(&w->mutex);
        fv_session_close(s);
    }
    for (int i = 0; i < 2; i++) {
        fv_critic_close(w->two_critics[i]);
        fv_model_close(w->two_models[i]);
        w->two_critics[i] = NULL;
        w->two_models[i] = NULL;
    }
}

/* --- beginning --- */

/* The options with the window's own models, or with model `guide` of them alone. */
static fv_status take_options(worker *w, int i, const fv_options *o, int guide)
{
    fv_options *own = NULL, *job = NULL;
    fv_status s = guide >= 0 && fv_options_guide_count(w->options) > 1
                      ? fv_options_guide(&own, w->options, guide)
                      : fv_options_copy(&own, w->options);
    if (s >= 0) s = fv_options_copy(&job, o);
    if (s >= 0) s = fv_options_take(job, own, FV_OPTION_MODEL | FV_OPTION_PLACE);
    if (s >= 0 && fv_options_weight_count(job) != fv_options_guide_count(job))
        s = fv_options_set(job, "guide-weights", "");
    fv_options_free(own);
    if (s < 0) {
        fv_options_free(job);
        return s;
    }
    fv_options_free(w->two_options[i]);
    w->two_options[i] = job;
    return FV_OK;
}

static fv_status open_side(worker *w, int i)
{
    const fv_options *o = w->two_options[i];
    fv_session *s;
    if (!fv_options_same_model(o, w->options)) {
        FV_TRY(fv_model_open(&w->two_models[i], o));
        FV_TRY(fv_critic_open(&w->two_critics[i], w->two_models[i]));
    }
    FV_TRY(fv_session_open(&s, model_of(w, i), o));
    char *text = NULL, label[WORKER_LABEL] = "";
    fv_status status = fv_options_first_text(o, &text);
    if (w->two_models[i]) fv_model_label(w->two_models[i], 0, label, sizeof label);
    pthread_mutex_lock(&w->mutex);
    worker_two *t = &w->view.two;
    w->two_sessions[i] = s;
    snprintf(t->titles[i], sizeof t->titles[i], "%.90s%s%.90s", text && *text ? text : asked_of(o),
             *label ? "  " : "", label);
    copy_text(t->texts[i], sizeof t->texts[i], text ? text : "");
    copy_text(t->seeds[i], sizeof t->seeds[i], fv_options_get(o, "seed"));
    t->progress[i] = (fv_progress){.steps = atoi(fv_options_get(o, "steps"))};
    pthread_mutex_unlock(&w->mutex);
    free(text);
    return status;
}

static void forget_pictures(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < 2; i++) fv_picture_free(&w->two_pictures[i]);
    w->view.two = (worker_two){.models = 1};
    pthread_mutex_unlock(&w->mutex);
}

void begin_two(worker *w, const fv_options *o, long number)
{
    worker_phase phase = phase_of(w);
    int side = (int)(number & 1), guide = (int)(number >> 1) - 1;
    if (phase != WORKER_IDLE && phase != WORKER_DONE) return;
    if (take_options(w, side, o, guide) < 0) {
        say(w, NULL);
        return;
    }
    if (!side || !w->two_options[0]) return;
    leave_job(w);
    close_two(w);
    forget_pictures(w);
    w->last_two = w->two_cost = 0;
    fv_status s = open_side(w, 0);
    if (s >= 0) s = open_side(w, 1);
    if (s < 0) {
        say(w, NULL);
        close_two(w);
    }
    pthread_mutex_lock(&w->mutex);
    w->view.two.models = w->two_models[0] || w->two_models[1] ? 2 : 1;
    pthread_mutex_unlock(&w->mutex);
    set_phase(w, s < 0 ? WORKER_IDLE : WORKER_TWO);
}

/* --- figures --- */

static void measure_two(worker *w, bool now)
{
    double begin = seconds_now(), pixels = 0;
    fv_picture both[2] = {{0}, {0}};
    fv_two seen[2];
    const worker_two *t = &w->view.two; /* written by this thread only */
    const char *const texts[2] = {t->texts[0], t->texts[1]};
    fv_status s = FV_OK;
    if (!now && begin - w->last_two < 40 * w->two_cost) return;
    bool has = worker_two_picture(w, 0, &both[0]) && worker_two_picture(w, 1, &both[1]);
    for (int k = 0; has && s >= 0 && k < t->models; k++)
        s = fv_two_measure(&seen[k], critic_of(w, k), model_of(w, k), both, texts);
    if (has) pixels = fv_two_pixels(both);
    for (int i = 0; i < 2; i++) fv_picture_free(&both[i]);
    if (s < 0) say(w, NULL);
    if (s < 0 || !has) return;
    pthread_mutex_lock(&w->mutex);
    for (int k = 0; k < t->models; k++) w->view.two.seen[k] = seen[k];
    w->view.two.pixels = pixels;
    w->view.two.measured = true;
    pthread_mutex_unlock(&w->mutex);
    w->last_two = seconds_now();
    w->two_cost = w->last_two - begin;
}

/* --- ending --- */

/* The finished picture into the gallery, and in place of the one that was shown. */
static fv_status keep_side(worker *w, int i)
{
    fv_picture p;
    fv_progress scores;
    char *recipe = NULL, *path = NULL;
    const char *gallery = fv_options_get(w->options, "gallery");
    FV_TRY(fv_session_picture(w->two_sessions[i], &p, &scores));
    fv_status s = fv_session_recipe(w->two_sessions[i], &recipe);
    if (s >= 0) s = fv_gallery_prepare(gallery);
    if (s >= 0)
        s = fv_gallery_add(gallery, asked_of(w->two_options[i]),
                           strtoull(fv_options_get(w->two_options[i], "seed"), NULL, 10), &p,
                           recipe, &path);
    free(recipe);
    if (s < 0) {
        fv_picture_free(&p);
        return s;
    }
    pthread_mutex_lock(&w->mutex);
    fv_picture_free(&w->two_pictures[i]);
    w->two_pictures[i] = p;
    w->view.two.serials[i]++;
    pthread_mutex_unlock(&w->mutex);
    notify_saved(w, path);
    return FV_OK;
}

void stop_two(worker *w)
{
    if (phase_of(w) != WORKER_TWO) return;
    for (int i = 0; i < 2; i++)
        if (w->view.two.progress[i].step > 0 && keep_side(w, i) < 0) say(w, NULL);
    if (!has_orders(w)) measure_two(w, true);
    close_two(w);
    set_phase(w, WORKER_IDLE);
}

void save_two_sheet(worker *w)
{
    fv_picture both[2] = {{0}, {0}}, sheet = {0};
    char *path, name[400];
    const worker_two *t = &w->view.two; /* written by this thread only */
    const char *gallery = fv_options_get(w->options, "gallery");
    const char *const titles[2] = {t->titles[0], t->titles[1]};
    const char *const texts[2] = {t->texts[0], t->texts[1]};
    if (!t->measured) return;
    bool has = worker_two_picture(w, 0, &both[0]) && worker_two_picture(w, 1, &both[1]);
    fv_status s = has ? fv_two_sheet(&sheet, both, titles, texts, t->seen, t->models)
                      : fv_fail(FV_ERR_MEMORY, "saving a sheet: out of memory");
    snprintf(name, sizeof name, "%s %s", t->titles[0], t->titles[1]);
    if (s >= 0) s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add(gallery, name, 1, &sheet, NULL, &path);
    if (s < 0)
        say(w, NULL);
    else
        notify_saved(w, path);
    fv_picture_free(&sheet);
    for (int i = 0; i < 2; i++) fv_picture_free(&both[i]);
}

/* --- a step --- */

static bool at_end(const fv_progress *p)
{
    return p->step >= p->steps;
}

static void publish_side(worker *w, int i, const fv_progress *p)
{
    fv_picture picture;
    if (fv_session_preview(w->two_sessions[i], &picture) < 0) return;
    pthread_mutex_lock(&w->mutex);
    fv_picture_free(&w->two_pictures[i]);
    w->two_pictures[i] = picture;
    w->view.two.serials[i]++;
    w->view.two.progress[i] = *p;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

void step_two(worker *w)
{
    const fv_progress *all = w->view.two.progress; /* written by this thread only */
    fv_progress p;
    int i = (long)all[1].step * all[0].steps < (long)all[0].step * all[1].steps;
    fv_status s = fv_session_step(w->two_sessions[i], &p);
    if (s != FV_OK) {
        if (s < 0) say(w, NULL);
        stop_two(w); /* what there is is kept */
        return;
    }
    publish_side(w, i, &p);
    if (at_end(&all[0]) && at_end(&all[1]))
        stop_two(w);
    else if (i)
        measure_two(w, false);
}
