/* The image tower by itself, forward and backward, and the list of its layers. See
 * feavis/layers.h.
 *
 *   pixels {batch,S,S,3} (a param, for its gradient) -> layers -> embedding {batch,1,1,D} */
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/terms.h"
#include "feavis/layers.h"

/* --- the list of layers --- */

struct fv_layers {
    fv_plan *plan;
};

fv_status fv_layers_open(fv_layers **out, fv_model *m)
{
    fv_layers *l = calloc(1, sizeof *l);
    if (!l) return fv_fail(FV_ERR_MEMORY, "listing layers: out of memory");
    fv_status s = fv_model_towers(&l->plan, m);
    if (s < 0) {
        fv_layers_close(l);
        return s;
    }
    *out = l;
    return FV_OK;
}

void fv_layers_close(fv_layers *l)
{
    if (!l) return;
    fv_plan_free(l->plan);
    free(l);
}

static fv_map layer_of(const fv_plan *p, const char *name, fv_ref r)
{
    fv_shape s = fv_plan_shape(p, r);
    return (fv_map){name, s.h, s.w, s.c};
}

bool fv_layers_at(const fv_layers *l, int i, fv_map *out)
{
    const char *name;
    fv_ref r;
    if (i < 0 || !fv_plan_layer(l->plan, i, &name, &r)) return false;
    *out = layer_of(l->plan, name, r);
    return true;
}

/* --- the encoder --- */

struct fv_image_encoder {
    fv_model *model;
    fv_plan *plan;
    fv_ref pixels, embedding;
    fv_ref *layers;
    int count;
    bool ran; /* forward */
};

static fv_status build(fv_image_encoder *e, int batch, const char *const *names)
{
    int side = fv_model_image_size(e->model), guide;
    FV_TRY(fv_plan_new(&e->plan, e->model->engine->backend));
    fv_plan *p = e->plan;
    e->pixels = fv_plan_param(p, "pixels", (fv_shape){batch, side, side, 3});
    e->embedding = fv_model_image(e->model, 0, p, e->pixels, true).embedding;
    fv_plan_output(p, e->embedding);
    for (int i = 0; e->embedding >= 0 && i < e->count; i++) {
        FV_TRY(fv_model_find_layer(e->model, p, names[i], &guide, &e->layers[i]));
        fv_plan_output(p, e->layers[i]);
    }
    return fv_plan_finish(p, FV_PLAN_BACKWARD);
}

fv_status fv_image_encoder_open(fv_image_encoder **out, fv_model *m, int batch,
                                const char *const *layers, int count)
{
    if (batch < 1 || batch > 4096 || count < 0)
        return fv_fail(FV_ERR_ARGUMENT, "image encoder: a batch of %d pictures, %d layers", batch,
                       count);
    fv_image_encoder *e = calloc(1, sizeof *e);
    fv_ref *refs = calloc((size_t)count + 1, sizeof *refs);
    if (!e || !refs) {
        free(e);
        free(refs);
        return fv_fail(FV_ERR_MEMORY, "opening an image encoder: out of memory");
    }
    *e = (fv_image_encoder){.model = m, .layers = refs, .count = count};
    fv_status s = build(e, batch, layers);
    if (s < 0) {
        fv_image_encoder_close(e);
        return s;
    }
    *out = e;
    return FV_OK;
}

void fv_image_encoder_close(fv_image_encoder *e)
{
    if (!e) return;
    fv_plan_free(e->plan);
    free(e->layers);
    free(e);
}

bool fv_image_encoder_layer(const fv_image_encoder *e, int i, fv_map *out)
{
    if (i < 0 || i >= e->count) return false;
    *out = layer_of(e->plan, fv_plan_name(e->plan, e->layers[i]), e->layers[i]);
    return true;
}

fv_status fv_image_encoder_pixels(const fv_image_encoder *e, const fv_picture *p, float *out)
{
    return fv_model_look_at(e->model, p, out);
}

fv_status fv_image_encoder_forward(fv_image_encoder *e, const float *pictures, float *embeddings)
{
    e->ran = false;
    FV_TRY(fv_plan_upload(e->plan, e->pixels, pictures));
    FV_TRY(fv_plan_forward(e->plan));
    if (embeddings) FV_TRY(fv_plan_download(e->plan, e->embedding, embeddings));
    e->ran = true;
    return FV_OK;
}

static fv_status check_ran(const fv_image_encoder *e)
{
    return e->ran ? FV_OK : fv_fail(FV_ERR_ARGUMENT, "image encoder: there was no forward yet");
}

fv_status fv_image_encoder_read(fv_image_encoder *e, int i, float *values)
{
    FV_TRY(check_ran(e));
    if (i < 0 || i >= e->count)
        return fv_fail(FV_ERR_ARGUMENT, "image encoder: layer %d of %d", i, e->count);
    return fv_plan_download(e->plan, e->layers[i], values);
}

fv_status fv_image_encoder_backward(fv_image_encoder *e, const float *embeddings,
                                    const float *const *layers, float *pictures)
{
    FV_TRY(check_ran(e));
    e->ran = false; /* a second backward would add to what the first one left */
    if (embeddings) FV_TRY(fv_plan_output_gradient(e->plan, e->embedding, embeddings));
    for (int i = 0; layers && i < e->count; i++)
        if (layers[i]) FV_TRY(fv_plan_output_gradient(e->plan, e->layers[i], layers[i]));
    FV_TRY(fv_plan_backward(e->plan));
    return fv_plan_download_gradient(e->plan, e->pixels, pictures);
}
