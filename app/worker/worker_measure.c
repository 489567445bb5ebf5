/* What the worker measures between steps, with the critic: how much of a picture's cosine survives
 * a blur, where a channel is active, which channels are in the picture, at one place of it, or
 * asked for by a text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

/* Looking a second time takes at most one fortieth of the time, except at the end. */
void measure_robustness(worker *w, bool now)
{
    double begin = seconds_now();
    if (!now && begin - w->last_robustness < 40 * w->robustness_cost) return;
    const char *text = fv_session_text(w->session, 0);
    fv_robustness v;
    fv_picture p;
    if (!text || !worker_picture(w, &p)) return;
    fv_status s = fv_critic_robustness(w->critic, &p, text, &v);
    fv_picture_free(&p);
    if (s < 0 || isnan(v.unseen)) say(w, NULL);
    if (s < 0) return;
    pthread_mutex_lock(&w->mutex);
    w->view.measured = true;
    w->view.robustness = v;
    w->view.robustness_step = w->view.progress.step;
    if (w->curve_count)
        w->curve[w->curve_count - 1].robustness =
            isnan(v.unseen) ? NAN : fminf(v.blurred, v.unseen);
    pthread_mutex_unlock(&w->mutex);
    w->last_robustness = seconds_now();
    w->robustness_cost = w->last_robustness - begin;
}

/* Of the model whose layers are looked at. */
static fv_critic *looking(worker *w)
{
    return w->other ? w->other : w->critic;
}

void measure_activation(worker *w, bool now)
{
    double begin = seconds_now();
    fv_picture p;
    int channel = w->view.channel; /* written by this thread only */
    if (channel < 0 || !w->session) return;
    if (!now && begin - w->last_activation < 10 * w->activation_cost) return;
    if (!worker_picture(w, &p)) return;
    fv_map layer = fv_critic_chosen(looking(w));
    int count = layer.rows * layer.columns;
    float *map = malloc((size_t)count * sizeof *map), high = 1e-6f;
    fv_status s = map ? fv_critic_activation(looking(w), &p, channel, map)
                      : fv_fail(FV_ERR_MEMORY, "following a channel: out of memory");
    fv_picture_free(&p);
    if (s < 0) {
        free(map);
        say(w, NULL);
        return;
    }
    for (int i = 0; i < count; i++) high = fmaxf(high, map[i]);
    for (int i = 0; i < count; i++) map[i] = fmaxf(map[i], 0) / high;
    pthread_mutex_lock(&w->mutex);
    free(w->activation);
    w->activation = map;
    w->view.activation_width = layer.columns;
    w->view.activation_height = layer.rows;
    w->view.activation_serial++;
    pthread_mutex_unlock(&w->mutex);
    w->last_activation = seconds_now();
    w->activation_cost = w->last_activation - begin;
    notify(w);
}

static void show_best(worker *w, fv_status s, worker_ranking of, const fv_channel *best, int count)
{
    if (s < 0) {
        say(w, NULL);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->view.ranking = of;
    memcpy(w->view.best, best, (size_t)count * sizeof *best);
    w->view.best_count = count;
    w->view.best_serial++;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

void rank_channels(worker *w)
{
    fv_channel best[WORKER_BEST];
    int count = WORKER_BEST;
    fv_picture p;
    if (!worker_picture(w, &p)) return;
    fv_status s = fv_critic_channels(looking(w), &p, best, &count);
    fv_picture_free(&p);
    show_best(w, s, RANKED_PICTURE, best, count);
}

/* place: "x y", shares of the picture; "": nowhere, so the whole picture again. */
void pick_place(worker *w, const char *place)
{
    fv_channel best[WORKER_BEST];
    int count = WORKER_BEST;
    float x = -1, y = -1;
    fv_picture p;
    bool somewhere = sscanf(place, "%f %f", &x, &y) == 2;
    pthread_mutex_lock(&w->mutex);
    w->view.place_x = somewhere ? x : -1;
    w->view.place_y = somewhere ? y : -1;
    pthread_mutex_unlock(&w->mutex);
    if (!somewhere) {
        rank_channels(w);
        return;
    }
    if (!worker_picture(w, &p)) return;
    fv_status s = fv_critic_channels_at(looking(w), &p, x, y, best, &count);
    fv_picture_free(&p);
    show_best(w, s, RANKED_PLACE, best, count);
}

/* After the picture has changed for good. */
void rank_again(worker *w)
{
    char place[64];
    if (w->view.ranking == RANKED_TEXT) return; /* does not depend on the picture */
    snprintf(place, sizeof place, "%g %g", (double)w->view.place_x, (double)w->view.place_y);
    pick_place(w, w->view.place_x >= 0 ? place : "");
}

void publish_layers(worker_view *v, const fv_map *layers, int count)
{
    v->layer_count = 0;
    for (int i = 0; i < count; i++) {
        bool last = i == count - 1;
        worker_layer *l = &v->layers[v->layer_count];
        if (strlen(layers[i].name) >= sizeof l->name) continue;
        if (!last && v->layer_count == WORKER_LAYERS - 1) continue; /* that place is the last's */
        copy_text(l->name, sizeof l->name, layers[i].name);
        l->rows = layers[i].rows;
        l->columns = layers[i].columns;
        l->channels = layers[i].channels;
        v->layer_count++;
    }
}

/* Nothing is followed or ranked in a layer that has just been chosen. With the lock. */
static void show_layer(worker_view *v, fv_map map)
{
    copy_text(v->layer, sizeof v->layer, map.name);
    v->map_rows = map.rows;
    v->map_columns = map.columns;
    v->map_channels = map.channels;
    v->channel = -1;
    v->activation_serial = v->best_count = 0;
    v->ranking = RANKED_PICTURE;
    v->place_x = v->place_y = -1;
}

static bool change_layer(worker *w, const char *name)
{
    fv_critic *c = looking(w);
    if (fv_critic_choose(c, name) < 0) {
        say(w, NULL);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    show_layer(&w->view, fv_critic_chosen(c));
    pthread_mutex_unlock(&w->mutex);
    return true;
}

/* The list becomes that of another guide, whose last layer is chosen. A failure leaves all. */
static bool change_layers(worker *w, int guide)
{
    fv_critic *other = NULL, *c = w->critic;
    const fv_map *layers;
    int count;
    fv_model *m = fv_model_guide(w->model, guide);
    if (!m) return false; /* it has left */
    fv_status s = m == w->model ? FV_OK : fv_critic_open(&other, m);
    if (other) c = other;
    if (s >= 0) s = fv_critic_layers(c, &layers, &count);
    if (s >= 0) s = fv_critic_choose(c, "");
    if (s < 0) {
        say(w, NULL);
        fv_critic_close(other);
        return false;
    }
    fv_critic_close(w->other);
    w->other = other;
    pthread_mutex_lock(&w->mutex);
    w->view.layer_guide = guide;
    publish_layers(&w->view, layers, count);
    show_layer(&w->view, fv_critic_chosen(c));
    pthread_mutex_unlock(&w->mutex);
    return true;
}

void choose_layer(worker *w, int guide, const char *name)
{
    bool here = w->view.layer_guide == guide;
    if (here && strcmp(w->view.layer, name) == 0) return;
    if (!here && !change_layers(w, guide)) return;
    if ((!here && !*name) || change_layer(w, name)) rank_channels(w);
    notify(w);
}

void search_channels(worker *w, const char *text)
{
    /* texts ask for those of the first model's last */
    if (w->view.layer_guide && !change_layers(w, 0)) return;
    if (*w->view.layer && !change_layer(w, "")) return;
    fv_channel best[WORKER_BEST];
    int count = WORKER_BEST;
    fv_status s = fv_critic_search(w->critic, text, NULL, best, &count);
    if (s >= 0) {
        pthread_mutex_lock(&w->mutex);
        copy_text(w->view.searched, sizeof w->view.searched, text);
        pthread_mutex_unlock(&w->mutex);
    }
    show_best(w, s, RANKED_TEXT, best, count);
}

void check_term(worker *w, const char *term)
{
    fv_options *o;
    fv_status s = fv_options_new(&o);
    if (s >= 0) {
        s = fv_options_set(o, "term", term);
        if (s >= 0 && *term) s = fv_options_check_channels(o, w->model);
        fv_options_free(o);
    }
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.term_error, sizeof w->view.term_error, s < 0 ? fv_error() : "");
    w->view.term_serial++;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}
