/* The models that look at the picture: opened at the start, one more, one less; and the decoder
 * that it may be made with. A model that cannot be opened leaves those that are there. */
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

static void publish_guides(worker *w)
{
    worker_view *v = &w->view;
    const fv_map *layers = NULL;
    int layer_count = 0; /* without a list there is the last layer */
    if (fv_critic_layers(w->critic, &layers, &layer_count) < 0) say(w, NULL);
    fv_map map = fv_critic_chosen(w->critic);
    pthread_mutex_lock(&w->mutex);
    publish_layers(v, layers, layer_count);
    v->layer[0] = 0;
    v->layer_guide = 0;
    v->map_rows = map.rows;
    v->map_columns = map.columns;
    v->map_channels = map.channels;
    v->channel = -1;
    v->activation_serial = 0;
    copy_text(v->model, sizeof v->model, fv_model_title(w->model));
    copy_text(v->backend, sizeof v->backend, fv_model_backend(w->model));
    v->channels = fv_model_channels(w->model);
    v->text_length = fv_model_text_length(w->model);
    v->guide_count = fv_model_guide_count(w->model);
    for (int i = 0; i < v->guide_count; i++) {
        char label[WORKER_LABEL];
        copy_text(v->guides[i], sizeof v->guides[i],
                  fv_model_label(w->model, i, label, sizeof label));
        v->guide_weights[i] = fv_options_guide_weight(w->options, i);
    }
    v->guide_serial++;
    bool had = *v->decoder.title, named = *fv_options_get(w->options, "decoder");
    fv_decoder_info none = {.factor = 0}; /* the one that ships is nothing to show or to drop */
    v->decoder = none;
    if ((named && fv_model_decoder_info(w->model, &v->decoder)) || had) v->decoder_serial++;
    v->best_count = 0;
    pthread_mutex_unlock(&w->mutex);
}

bool open_models(worker *w)
{
    if (fv_model_open(&w->model, w->options) < 0 || fv_critic_open(&w->critic, w->model) < 0) {
        say(w, NULL);
        return false;
    }
    publish_guides(w);
    return true;
}

/* Takes next over. */
static void open_instead(worker *w, fv_options *next)
{
    fv_model *m = NULL;
    fv_critic *c = NULL;
    worker_phase before = phase_of(w);
    set_phase(w, WORKER_LOADING);
    fv_status s = fv_model_open(&m, next);
    if (s >= 0) s = fv_critic_open(&c, m);
    if (s < 0) {
        say(w, NULL);
        fv_model_close(m);
        fv_options_free(next);
        set_phase(w, before);
        return;
    }
    leave_job(w);
    clear_match(w);
    close_two(w);
    fv_critic_close(w->other);
    fv_critic_close(w->critic);
    fv_model_close(w->model);
    fv_options_free(w->options);
    w->other = NULL;
    w->critic = c;
    w->model = m;
    w->options = next;
    publish_guides(w);
    set_phase(w, WORKER_IDLE);
}

/* The options with one model more or less, or another decoder. */
static fv_status changed(const order *o, fv_options *next)
{
    if (o->kind == ORDER_DROP_GUIDE) return fv_options_drop_guide(next, (int)o->number);
    if (o->kind == ORDER_DROP_DECODER) return fv_options_set(next, "decoder", "");
    if (o->name && fv_file_decodes(o->name)) return fv_options_set(next, "decoder", o->name);
    return fv_options_add_guide(next, o->text);
}

void change_guides(worker *w, const order *o)
{
    fv_options *next;
    worker_phase phase = phase_of(w);
    if (phase == WORKER_RUNNING || phase == WORKER_PAUSED || phase == WORKER_SEEDS ||
        phase == WORKER_TWO) {
        say(w, "a picture is growing: stop it before other models look");
        return;
    }
    fv_status s = fv_options_copy(&next, w->options);
    if (s >= 0) s = changed(o, next);
    if (s >= 0)
        open_instead(w, next);
    else
        say(w, NULL);
}
