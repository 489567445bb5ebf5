/* What the window sees of the worker: copies, made under the lock. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

fv_picture copy_picture(const fv_picture *p)
{
    size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    fv_picture copy = {p->width, p->height, p->rgb ? malloc(bytes) : NULL};
    if (copy.rgb) memcpy(copy.rgb, p->rgb, bytes);
    return copy;
}

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

bool worker_two_picture(worker *w, int i, fv_picture *out)
{
    return give(w, &w->two_pictures[i], out);
}

bool worker_frame(worker *w, int i, fv_picture *out)
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
    return worker_frame(w, 0, out);
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

bool worker_pull(worker *w, int word, float **out, int *width, int *height)
{
    *out = NULL;
    pthread_mutex_lock(&w->mutex);
    size_t n = (size_t)w->xray.side * (size_t)w->xray.side;
    const float *from = word >= 0 && word < w->xray.count ? w->xray.pulls + (size_t)word * n : NULL;
    float high = 1 + 1e-6f; /* pulls have a mean of 1; what is above it is shown */
    *out = from ? malloc(n * sizeof **out) : NULL;
    for (size_t i = 0; *out && i < n; i++) high = fmaxf(high, from[i]);
    for (size_t i = 0; *out && i < n; i++) (*out)[i] = fmaxf(from[i] - 1, 0) / (high - 1);
    *width = *height = w->xray.side;
    pthread_mutex_unlock(&w->mutex);
    return *out != NULL;
}

bool worker_activation(worker *w, float **out, int *width, int *height)
{
    return give_map(w, &w->activation, &w->view.activation_width, &w->view.activation_height, out,
                    width, height);
}

bool worker_codes(worker *w, fv_codes *out, bool **moved)
{
    *out = (fv_codes){0};
    pthread_mutex_lock(&w->mutex);
    const fv_codes *c = &w->codes;
    size_t count = (size_t)c->width * (size_t)c->height;
    *moved = c->at ? malloc(count * sizeof **moved) : NULL;
    if (*moved && fv_codes_new(out, c->width, c->height) >= 0) {
        memcpy(out->at, c->at, count * sizeof *out->at);
        memcpy(*moved, w->codes_moved, count * sizeof **moved);
        out->count = c->count;
    }
    pthread_mutex_unlock(&w->mutex);
    if (out->at) return true;
    free(*moved);
    *moved = NULL;
    return false;
}

int worker_curve(worker *w, worker_point *out, int room)
{
    pthread_mutex_lock(&w->mutex);
    int n = w->curve_count, every = (n + room - 1) / room, count = 0;
    float robustness = NAN; /* of a point that is left out, goes to the next that is not */
    for (int i = 0; i < n; i++) {
        if (!isnan(w->curve[i].robustness)) robustness = w->curve[i].robustness;
        if (every > 1 && (n - 1 - i) % every != 0) continue;
        out[count] = w->curve[i];
        out[count++].robustness = robustness;
        robustness = NAN;
    }
    pthread_mutex_unlock(&w->mutex);
    return count;
}
