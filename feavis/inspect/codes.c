/* Pictures to codes and back. See feavis/codes.h. */
#include "feavis/codes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/canvas.h"
#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/model.h"

enum { MAX_SIDE = 4096 };

/* --- the network --- */

typedef struct work {
    fv_network *network;
    fv_engine *engine;
    fv_plan *plan;
    float *codebook; /* [codes][latent_channels]; NULL without */
} work;

static void close_work(work *w)
{
    fv_plan_free(w->plan);
    fv_engine_close(w->engine);
    fv_network_close(w->network);
    free(w->codebook);
}

static fv_status read_codebook(work *w)
{
    size_t count = (size_t)w->network->codes * (size_t)w->network->latent_channels;
    if (!count) return FV_OK;
    w->codebook = malloc(count * sizeof *w->codebook);
    if (!w->codebook) return fv_fail(FV_ERR_MEMORY, "codes: out of memory");
    return fv_network_codes(w->network, w->codebook);
}

static fv_status open_work(work *w, const fv_options *o)
{
    FV_TRY(*o->decoder ? fv_decoder_open(&w->network, o) : fv_decoder_open_shipped(&w->network));
    FV_TRY(fv_engine_open(&w->engine, o, &w->network, 1));
    fv_engine_attach(w->engine, w->network);
    FV_TRY(read_codebook(w));
    return fv_plan_new(&w->plan, w->engine->backend);
}

/* --- a picture to codes --- */

/* Which row of the codebook a quantised cell is. */
static fv_status find_codes(const work *w, const float *cells, fv_codes *c)
{
    size_t width = (size_t)w->network->latent_channels;
    c->count = w->network->codes;
    for (int i = 0; i < c->width * c->height; i++, cells += width) {
        int k = 0;
        while (k < c->count && memcmp(cells, w->codebook + (size_t)k * width, width * 4) != 0) k++;
        if (k == c->count)
            return fv_fail(FV_ERR_DEVICE, "encoding: cell %d is none of the %d codes", i, c->count);
        c->at[i] = k;
    }
    return FV_OK;
}

static uint8_t byte_of(float x)
{
    return (uint8_t)lrintf(255 * fminf(fmaxf(x, 0), 1));
}

/* A file with numbers that are none gives such pictures; a picture of bytes would hide it. */
static fv_status check_finite(const work *w, const char *what, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return fv_fail(FV_ERR_FORMAT,
                           "%s by %s: number %zu is %g; its weights are damaged, or too large",
                           what, fv_weights_path(w->network->source.weights), i, (double)values[i]);
    return FV_OK;
}

static fv_status make_picture(fv_picture *out, const work *w, const float *pixels, int width,
                              int height)
{
    size_t count = (size_t)width * (size_t)height * 3;
    FV_TRY(check_finite(w, "the picture decoded", pixels, count));
    *out = (fv_picture){width, height, malloc(count)};
    if (!out->rgb) return fv_fail(FV_ERR_MEMORY, "the picture of codes: out of memory");
    for (size_t i = 0; i < count; i++) out->rgb[i] = byte_of(pixels[i]);
    return FV_OK;
}

typedef struct sight {
    fv_ref pixels, encoded, cells, picture;
    fv_shape latent;
} sight;

static fv_status build_both_ways(work *w, const fv_options *o, sight *s)
{
    const fv_network *n = w->network;
    fv_plan *p = w->plan;
    FV_TRY(fv_network_latent(n, fv_width(o), fv_height(o), &s->latent));
    s->pixels = fv_plan_input(p, "pixels", fv_canvas_of(n, s->latent), FV_REAL);
    s->cells = s->encoded = fv_network_encode(n, p, s->pixels);
    if (n->codes) s->cells = fv_quantise(p, "codes.nearest", s->cells, fv_network_codebook(n, p));
    fv_ref canvas = fv_network_decode(n, p, s->cells);
    s->picture = fv_clamp(p, "picture", fv_canvas_crop(p, canvas, fv_width(o), fv_height(o)));
    fv_plan_output(p, s->encoded);
    fv_plan_output(p, s->cells);
    fv_plan_output(p, s->picture);
    return fv_plan_finish(p, FV_PLAN_FORWARD);
}

static fv_status show_picture(work *w, const fv_options *o, const sight *s, float *pixels)
{
    float *extended;
    fv_shape canvas = fv_canvas_of(w->network, s->latent);
    FV_TRY(fv_start_read(o, pixels));
    FV_TRY(fv_canvas_extend(&extended, canvas, pixels, fv_width(o), fv_height(o)));
    fv_status status = fv_plan_upload(w->plan, s->pixels, extended);
    free(extended);
    return status;
}

static fv_status run_both_ways(work *w, const fv_options *o, const sight *s, float *pixels,
                               float *decoded, float *cells)
{
    FV_TRY(show_picture(w, o, s, pixels));
    FV_TRY(fv_plan_forward(w->plan));
    FV_TRY(fv_plan_download(w->plan, s->picture, decoded));
    FV_TRY(fv_plan_download(w->plan, s->encoded,
                            cells)); /* its codes would hide that it is not finite */
    FV_TRY(check_finite(w, "the picture encoded", cells, fv_count(s->latent)));
    return fv_plan_download(w->plan, s->cells, cells);
}

static fv_status encode(work *w, const fv_options *o, fv_codes *c, fv_picture *back, double *error)
{
    sight s;
    FV_TRY(build_both_ways(w, o, &s));
    size_t count = fv_pixels(o) * 3;
    float *pixels = malloc((2 * count + fv_count(s.latent)) * sizeof *pixels);
    if (!pixels) return fv_fail(FV_ERR_MEMORY, "encoding a picture: out of memory");
    float *decoded = pixels + count, *cells = decoded + count;
    fv_status status = run_both_ways(w, o, &s, pixels, decoded, cells);
    double sum = 0;
    for (size_t i = 0; status >= 0 && i < count; i++) {
        double d = (double)decoded[i] - (double)pixels[i];
        sum += d * d;
    }
    *error = sum / (double)count;
    if (status >= 0 && w->codebook) status = fv_codes_new(c, s.latent.w, s.latent.h);
    if (status >= 0 && w->codebook) status = find_codes(w, cells, c);
    if (status >= 0) status = make_picture(back, w, decoded, fv_width(o), fv_height(o));
    free(pixels);
    return status;
}

fv_status fv_codes_encode(fv_codes *out, fv_picture *back, double *error, const fv_options *o)
{
    work w = {0};
    *out = (fv_codes){0};
    *back = (fv_picture){0};
    fv_status s = *o->start ? open_work(&w, o)
                            : fv_fail(FV_ERR_ARGUMENT, "codes of a picture need the picture");
    if (s >= 0) s = encode(&w, o, out, back, error);
    close_work(&w);
    if (s < 0) fv_codes_free(out);
    return s;
}

/* --- codes to a picture --- */

static fv_status fill_cells(const work *w, const fv_codes *c, float *cells)
{
    const fv_network *n = w->network;
    size_t width = (size_t)n->latent_channels;
    for (int i = 0; i < c->width * c->height; i++, cells += width) {
        if (c->at[i] < 0 || c->at[i] >= n->codes)
            return fv_fail(FV_ERR_ARGUMENT, "cell %d of line %d has code %d; %s has 0 to %d",
                           i % c->width + 1, i / c->width + 1, c->at[i], n->title, n->codes - 1);
        memcpy(cells, w->codebook + (size_t)c->at[i] * width, width * sizeof *cells);
    }
    return FV_OK;
}

static fv_status decode_cells(work *w, const float *cells, fv_shape latent, fv_picture *out)
{
    fv_plan *p = w->plan;
    int width = latent.w * w->network->factor, height = latent.h * w->network->factor;
    fv_ref from = fv_plan_input(p, "cells", latent, FV_REAL);
    fv_ref picture = fv_clamp(p, "picture", fv_network_decode(w->network, p, from));
    fv_plan_output(p, picture);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    FV_TRY(fv_plan_upload(p, from, cells));
    FV_TRY(fv_plan_forward(p));
    float *pixels = malloc((size_t)width * (size_t)height * 3 * sizeof *pixels);
    if (!pixels) return fv_fail(FV_ERR_MEMORY, "decoding: out of memory");
    fv_status s = fv_plan_download(p, picture, pixels);
    if (s >= 0) s = make_picture(out, w, pixels, width, height);
    free(pixels);
    return s;
}

static fv_status decode(work *w, const fv_codes *c, fv_picture *out)
{
    const fv_network *n = w->network;
    if (!n->codes)
        return fv_fail(FV_ERR_ARGUMENT, "%s has no codes: its latent is continuous", n->title);
    if (c->width * n->factor > MAX_SIDE || c->height * n->factor > MAX_SIDE)
        return fv_fail(FV_ERR_ARGUMENT, "%d x %d codes are more than %d pixels", c->width,
                       c->height, MAX_SIDE);
    fv_shape latent = {1, c->height, c->width, n->latent_channels};
    float *cells = malloc(fv_count(latent) * sizeof *cells);
    if (!cells) return fv_fail(FV_ERR_MEMORY, "decoding: out of memory");
    fv_status s = fill_cells(w, c, cells);
    if (s >= 0) s = decode_cells(w, cells, latent, out);
    free(cells);
    return s;
}

fv_status fv_codes_decode(fv_picture *out, const fv_codes *c, const fv_options *o)
{
    work w = {0};
    *out = (fv_picture){0};
    fv_status s = open_work(&w, o);
    if (s >= 0) s = decode(&w, c, out);
    close_work(&w);
    return s;
}
