/* Pictures to codes and back. See feavis/codes.h. */
#include "feavis/codes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/engine.h"
#include "feavis/imagine/generators/start.h"
#include "model/files/files.h"
#include "model/files/read_file.h"

enum { MAX_SIDE = 4096, FILE_LIMIT = 64 << 20 };

void fv_codes_free(fv_codes *c)
{
    free(c->at);
    *c = (fv_codes){0};
}

static fv_status make_cells(fv_codes *c, int width, int height)
{
    *c = (fv_codes){.width = width, .height = height};
    c->at = calloc((size_t)width * (size_t)height, sizeof *c->at);
    return c->at ? FV_OK : fv_fail(FV_ERR_MEMORY, "codes: out of memory");
}

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
    if (!*o->decoder)
        return fv_fail(FV_ERR_ARGUMENT, "codes are a network's: give its file with --decoder FILE");
    const fv_network_files files = {.checkpoint = o->decoder};
    FV_TRY(fv_network_open(&w->network, &files));
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

static fv_status make_picture(fv_picture *out, const float *pixels, int width, int height)
{
    size_t count = (size_t)width * (size_t)height * 3;
    *out = (fv_picture){width, height, malloc(count)};
    if (!out->rgb) return fv_fail(FV_ERR_MEMORY, "the picture of codes: out of memory");
    for (size_t i = 0; i < count; i++) out->rgb[i] = byte_of(pixels[i]);
    return FV_OK;
}

typedef struct sight {
    fv_ref pixels, cells, picture;
    fv_shape latent;
} sight;

static fv_status build_both_ways(work *w, const fv_options *o, sight *s)
{
    const fv_network *n = w->network;
    fv_plan *p = w->plan;
    fv_shape shape = {1, fv_height(o), fv_width(o), 3};
    FV_TRY(fv_network_latent(n, fv_width(o), fv_height(o), &s->latent));
    s->pixels = fv_plan_input(p, "pixels", shape, FV_REAL);
    s->cells = fv_network_encode(n, p, s->pixels);
    if (n->codes) s->cells = fv_quantise(p, "codes.nearest", s->cells, fv_network_codebook(n, p));
    s->picture = fv_clamp(p, "picture", fv_network_decode(n, p, s->cells));
    fv_plan_output(p, s->cells);
    fv_plan_output(p, s->picture);
    return fv_plan_finish(p, FV_PLAN_FORWARD);
}

static fv_status run_both_ways(work *w, const fv_options *o, const sight *s, float *pixels,
                               float *decoded, float *cells)
{
    FV_TRY(fv_start_read(o, pixels));
    FV_TRY(fv_plan_upload(w->plan, s->pixels, pixels));
    FV_TRY(fv_plan_forward(w->plan));
    FV_TRY(fv_plan_download(w->plan, s->picture, decoded));
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
    if (status >= 0 && w->codebook) status = make_cells(c, s.latent.w, s.latent.h);
    if (status >= 0 && w->codebook) status = find_codes(w, cells, c);
    if (status >= 0) status = make_picture(back, decoded, fv_width(o), fv_height(o));
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
    if (s >= 0) s = make_picture(out, pixels, width, height);
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

/* --- files --- */

fv_status fv_codes_write(const fv_codes *c, const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    for (int i = 0; i < c->width * c->height; i++)
        fprintf(f, "%d%c", c->at[i], (i + 1) % c->width ? ',' : '\n');
    bool whole = !ferror(f);
    whole = fclose(f) == 0 && whole;
    fv_status s = whole ? fv_file_save(path, text, size)
                        : fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    free(text);
    return s;
}

static fv_status bad_line(const char *path, int line)
{
    return fv_fail(FV_ERR_FORMAT,
                   "codes %s, line %d: expected as many whole numbers as in the first line, with "
                   "commas between them, and at most %d",
                   path, line, MAX_SIDE);
}

/* The numbers of a line, which ends in *end; -1: something else. `to` may be NULL: they are
 * counted. */
static int read_line(const char *text, int32_t *to, const char **end)
{
    int count = 0;
    for (;; text++, count++) {
        char *after;
        long value = strtol(text, &after, 10);
        if (after == text || *text < '0' || *text > '9' || value > INT32_MAX || count == MAX_SIDE)
            return -1;
        if (to) to[count] = (int32_t)value;
        text = after;
        if (*text == '\r') text++;
        if (*text != ',') break;
    }
    *end = text;
    return *text == '\n' || *text == '\0' ? count + 1 : -1;
}

static fv_status read_rows(fv_codes *c, const char *text, const char *path)
{
    int lines = 0, width = 0;
    const char *at = text;
    for (; *at; lines++) {
        int count = read_line(at, NULL, &at);
        if (count < 0 || (lines && count != width) || lines == MAX_SIDE)
            return bad_line(path, lines + 1);
        width = count;
        at += *at == '\n';
    }
    FV_TRY(make_cells(c, width, lines));
    at = text;
    for (int i = 0; i < lines; i++) {
        (void)read_line(at, c->at + (size_t)i * (size_t)width, &at);
        at += *at == '\n';
    }
    return FV_OK;
}

fv_status fv_codes_read(fv_codes *out, const char *path)
{
    unsigned char *data;
    size_t size;
    *out = (fv_codes){0};
    FV_TRY(fv_read_file(&data, &size, path, "codes", FILE_LIMIT));
    fv_status s = read_rows(out, (const char *)data, path);
    free(data);
    return s;
}
