/* What the worker shows: its state, written where the window copies it from. */
#include <stdlib.h>

#include "app/worker/worker_inside.h"

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

void forget_codes(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    fv_codes_free(&w->codes);
    free(w->codes_moved);
    w->codes_moved = NULL;
    w->view.codes_serial = 0;
    pthread_mutex_unlock(&w->mutex);
}

/* Codes of which none differs from the ones before have moved nowhere; so have the first. */
static bool *moved_since(const fv_codes *before, const fv_codes *now)
{
    size_t count = (size_t)now->width * (size_t)now->height;
    bool *moved = calloc(count, sizeof *moved);
    bool alike = before->at && before->width == now->width && before->height == now->height;
    for (size_t i = 0; moved && alike && i < count; i++) moved[i] = before->at[i] != now->at[i];
    return moved;
}

void publish_codes(worker *w)
{
    fv_codes c;
    if (!w->codes_wanted || !w->session || !w->view.decoder.codes) return;
    if (fv_session_codes(w->session, false, &c) < 0) return; /* another generator's picture */
    bool *moved = moved_since(&w->codes, &c);
    if (!moved) {
        fv_codes_free(&c);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    fv_codes_free(&w->codes);
    free(w->codes_moved);
    w->codes = c;
    w->codes_moved = moved;
    w->view.codes_serial++;
    pthread_mutex_unlock(&w->mutex);
}

void publish_picture(worker *w, const fv_progress *p)
{
    fv_picture picture;
    if (fv_session_preview(w->session, &picture) < 0) return;
    pthread_mutex_lock(&w->mutex);
    fv_picture_free(&w->picture);
    w->picture = picture;
    w->view.picture_serial++;
    w->view.side = picture.width;
    w->view.progress = *p;
    w->view.part_count = fv_session_parts(w->session, w->view.parts);
    publish_branches(w);
    for (int i = 0; i < w->view.panel_count; i++)
        if (w->item && w->view.panels[i].id == w->item) {
            fv_picture_free(&w->panels[i]);
            w->panels[i] = copy_picture(&picture);
            w->view.panels[i].serial = w->view.picture_serial;
        }
    pthread_mutex_unlock(&w->mutex);
    if (w->gradient_wanted) publish_gradient(w, picture.width, picture.height);
    publish_codes(w);
    notify(w);
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
    notify(w);
    return ended;
}
