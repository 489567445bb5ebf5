/* What the worker shows: copies for the window's thread, and the measurements between steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

/* --- the worker's side --- */

const char *asked_of(const fv_options *o)
{
    static const char *const names[] = {"text", "llp", "term"};
    const char *value = "";
    for (int i = 0; i < 3 && !*value; i++) value = fv_options_get(o, names[i]);
    return value;
}

void publish_queue(worker *w)
{
    int n = fv_queue_count(w->queue);
    w->view.item_count = n;
    for (int i = 0; i < n && i < WORKER_ITEMS; i++) {
        worker_item *it = &w->view.items[i];
        const fv_options *o = fv_queue_at(w->queue, i);
        *it = (worker_item){.id = fv_queue_id(w->queue, i)};
        it->running = w->item && it->id == w->item;
        copy_text(it->text, sizeof it->text, asked_of(o));
        copy_text(it->seed, sizeof it->seed, fv_options_get(o, "seed"));
    }
}

void publish_options(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.text, sizeof w->view.text, fv_options_get(w->job, "text"));
    copy_text(w->view.llp, sizeof w->view.llp, fv_options_get(w->job, "llp"));
    copy_text(w->view.term, sizeof w->view.term, fv_options_get(w->job, "term"));
    copy_text(w->view.seed, sizeof w->view.seed, fv_options_get(w->job, "seed"));
    copy_text(w->view.steps, sizeof w->view.steps, fv_options_get(w->job, "steps"));
    copy_text(w->view.param, sizeof w->view.param, fv_options_get(w->job, "param"));
    pthread_mutex_unlock(&w->mutex);
}

static fv_picture copy_picture(const fv_picture *p)
{
    size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    fv_picture copy = {p->width, p->height, p->rgb ? malloc(bytes) : NULL};
    if (copy.rgb) memcpy(copy.rgb, p->rgb, bytes);
    return copy;
}

static void publish_gradient(worker *w, int width, int height)
{
    size_t n = (size_t)width * (size_t)height;
    float *heat = malloc(n * sizeof *heat);
    if (!heat || fv_session_gradient(w->session, heat) < 0) {
        free(heat);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    free(w->gradient);
    w->gradient = heat;
    w->gradient_width = width;
    w->gradient_height = height;
    w->view.gradient_serial++;
    pthread_mutex_unlock(&w->mutex);
}

void publish_picture(worker *w, const fv_progress *p)
{
    fv_picture picture;
    if (fv_session_snapshot(w->session, &picture) < 0) return;
    pthread_mutex_lock(&w->mutex);
    fv_picture_free(&w->picture);
    w->picture = picture;
    w->view.picture_serial++;
    w->view.side = picture.width;
    w->view.progress = *p;
    w->view.part_count = fv_session_parts(w->session, w->view.parts);
    publish_lines(w);
    for (int i = 0; i < w->view.panel_count; i++)
        if (w->item && w->view.panels[i].id == w->item) {
            fv_picture_free(&w->panels[i]);
            w->panels[i] = copy_picture(&picture);
            w->view.panels[i].serial = w->view.picture_serial;
        }
    pthread_mutex_unlock(&w->mutex);
    if (w->gradient_wanted) publish_gradient(w, picture.width, picture.height);
    news(w);
}

bool publish_seed(worker *w, int i)
{
    pthread_mutex_lock(&w->mutex);
    fv_picture_free(&w->picture);
    w->picture = copy_picture(&w->board[i]);
    w->view.picture_serial++;
    w->view.side = w->picture.width;
    w->view.progress.step = w->view.board[i].step;
    w->view.progress.cosine = w->view.board[i].cosine;
    bool ended = w->view.progress.step >= w->view.progress.steps;
    pthread_mutex_unlock(&w->mutex);
    news(w);
    return ended;
}

/* Looking a second time takes at most one fortieth of the time, except at the end. */
void measure_survival(worker *w, bool now)
{
    double begin = seconds_now();
    if (!now && begin - w->last_survival < 40 * w->survival_cost) return;
    const char *text = fv_session_text(w->session, 0);
    fv_survival v;
    fv_picture p;
    if (!text || !worker_picture(w, &p)) return;
    fv_status s = fv_critic_survival(w->critic, &p, text, &v);
    fv_picture_free(&p);
    if (s < 0 || isnan(v.unseen)) say(w, NULL);
    if (s < 0) return;
    pthread_mutex_lock(&w->mutex);
    w->view.survived = true;
    w->view.survival = v;
    w->view.survival_step = w->view.progress.step;
    if (w->curve_count)
        w->curve[w->curve_count - 1].survival = isnan(v.unseen) ? NAN : fminf(v.blurred, v.unseen);
    pthread_mutex_unlock(&w->mutex);
    w->last_survival = seconds_now();
    w->survival_cost = w->last_survival - begin;
}

/* --- the window's side --- */

void worker_look(worker *w, worker_view *out)
{
    pthread_mutex_lock(&w->mutex);
    *out = w->view;
    pthread_mutex_unlock(&w->mutex);
}

static bool give(worker *w, const fv_picture *from, fv_picture *out)
{
    pthread_mutex_lock(&w->mutex);
    *out = copy_picture(from);
    pthread_mutex_unlock(&w->mutex);
    return out->rgb != NULL;
}

bool worker_picture(worker *w, fv_picture *out)
{
    return give(w, &w->picture, out);
}

bool worker_panel_picture(worker *w, int i, fv_picture *out)
{
    return give(w, &w->panels[i], out);
}

bool worker_board_picture(worker *w, int i, fv_picture *out)
{
    return give(w, &w->board[i], out);
}

bool worker_moment(worker *w, int i, fv_picture *out)
{
    *out = (fv_picture){0};
    pthread_mutex_lock(&w->mutex);
    if (i >= 0 && i < fv_history_count(w->history))
        *out = copy_picture(&fv_history_at(w->history, i)->picture);
    pthread_mutex_unlock(&w->mutex);
    return out->rgb != NULL;
}

bool worker_start_picture(worker *w, fv_picture *out)
{
    return worker_moment(w, 0, out);
}

static bool give_map(worker *w, float *const *from, const int *from_width, const int *from_height,
                     float **out, int *width, int *height)
{
    pthread_mutex_lock(&w->mutex);
    size_t n = (size_t)*from_width * (size_t)*from_height;
    *out = *from ? malloc(n * sizeof **out) : NULL;
    if (*out) memcpy(*out, *from, n * sizeof **out);
    *width = *from_width;
    *height = *from_height;
    pthread_mutex_unlock(&w->mutex);
    return *out != NULL;
}

bool worker_gradient(worker *w, float **out, int *width, int *height)
{
    return give_map(w, &w->gradient, &w->gradient_width, &w->gradient_height, out, width, height);
}

bool worker_activation(worker *w, float **out, int *width, int *height)
{
    const int *side = &w->view.activation_side;
    return give_map(w, &w->activation, side, side, out, width, height);
}

int worker_curve(worker *w, worker_point *out, int room)
{
    pthread_mutex_lock(&w->mutex);
    int n = w->curve_count, every = (n + room - 1) / room, count = 0;
    float survival = NAN; /* of a point that is left out, goes to the next that is not */
    for (int i = 0; i < n; i++) {
        if (!isnan(w->curve[i].survival)) survival = w->curve[i].survival;
        if (every > 1 && (n - 1 - i) % every != 0) continue;
        out[count] = w->curve[i];
        out[count++].survival = survival;
        survival = NAN;
    }
    pthread_mutex_unlock(&w->mutex);
    return count;
}
