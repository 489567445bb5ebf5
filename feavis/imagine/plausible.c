/* Plausible targets: their file, and what it says in a model. See plausible.h. */
#include "feavis/imagine/plausible.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/weights/weights.h"

static const char kind[] = "gap 1";

void fv_gap_clear(fv_gap *g)
{
    free(g->image_mean);
    free(g->text_mean);
    *g = (fv_gap){0};
}

/* --- the file --- */

static fv_status no_gap(const char *path, const char *why)
{
    return fv_fail(FV_ERR_FORMAT, "%s is no file of feavis gap: %s", path, why);
}

/* Finite numbers of this many, from -1 to 1. */
static fv_status read_numbers(const fv_weights *w, const char *name, size_t count, float *out)
{
    const fv_entry *e;
    FV_TRY(fv_weights_need(w, name, &e));
    if (fv_entry_count(e) != count)
        return fv_fail(FV_ERR_SHAPE, "%s: %s has %zu numbers, expected %zu", fv_weights_path(w),
                       name, fv_entry_count(e), count);
    fv_entry_read_f32(e, out);
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(out[i]) <= 1.001f))
            return fv_fail(FV_ERR_FORMAT, "%s: %s has a number that is not from -1 to 1",
                           fv_weights_path(w), name);
    return FV_OK;
}

static fv_status read_means(fv_gap *g, const fv_weights *w)
{
    enum { MOST = 1 << 20 };
    const fv_entry *e;
    FV_TRY(fv_weights_need(w, "image_mean", &e));
    size_t dim = fv_entry_count(e);
    if (dim < 1 || dim > MOST) return no_gap(fv_weights_path(w), "its mean has no usable size");
    g->dim = (int)dim;
    g->image_mean = malloc(dim * sizeof *g->image_mean);
    g->text_mean = malloc(dim * sizeof *g->text_mean);
    if (!g->image_mean || !g->text_mean)
        return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", fv_weights_path(w));
    FV_TRY(read_numbers(w, "image_mean", dim, g->image_mean));
    return read_numbers(w, "text_mean", dim, g->text_mean);
}

static fv_status read_cosines(fv_gap *g, const fv_weights *w)
{
    FV_TRY(read_numbers(w, "cosines", 2 * FV_PERCENTILES, g->cosines[0]));
    for (int k = 0; k < 2; k++)
        for (int i = 1; i < FV_PERCENTILES; i++)
            if (g->cosines[k][i] < g->cosines[k][i - 1])
                return no_gap(fv_weights_path(w), "its percentiles fall");
    return FV_OK;
}

static fv_status read_gap(fv_gap *g, const fv_weights *w)
{
    const char *is = fv_weights_metadata(w, "feavis"), *of = fv_weights_metadata(w, "fingerprint");
    const char *model = fv_weights_metadata(w, "model");
    if (!is || strcmp(is, kind) != 0 || !of || !*of || strlen(of) >= sizeof g->fingerprint)
        return no_gap(fv_weights_path(w), "it does not say so, or not of which model");
    snprintf(g->fingerprint, sizeof g->fingerprint, "%s", of);
    snprintf(g->model, sizeof g->model, "%.120s", model ? model : "");
    FV_TRY(read_means(g, w));
    return read_cosines(g, w);
}

fv_status fv_gap_read(fv_gap *out, const char *path)
{
    struct stat st;
    fv_weights *w;
    fv_gap g = {0};
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return fv_fail(FV_ERR_IO, "plausible: there is no file %s", path);
    FV_TRY(fv_weights_open(&w, path));
    fv_status s = read_gap(&g, w);
    fv_weights_close(w);
    if (s < 0)
        fv_gap_clear(&g);
    else
        *out = g;
    return s;
}

fv_status fv_gap_write(const fv_gap *g, const char *path)
{
    char photos[16], captions[16];
    snprintf(photos, sizeof photos, "%d", g->photos);
    snprintf(captions, sizeof captions, "%d", g->captions);
    const fv_save_entry entries[] = {
        {"image_mean", FV_FILE_F32, 1, {g->dim}, g->image_mean},
        {"text_mean", FV_FILE_F32, 1, {g->dim}, g->text_mean},
        {"cosines", FV_FILE_F32, 2, {2, FV_PERCENTILES}, g->cosines},
    };
    const char *const metadata[] = {"feavis",      kind,           "model",  g->model,
                                    "fingerprint", g->fingerprint, "photos", photos,
                                    "captions",    captions,       NULL};
    return fv_weights_save(path, entries, 3, metadata);
}

static uint64_t mix(uint64_t h, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 1099511628211u; /* FNV-1a */
    return h;
}

fv_status fv_gap_hash(const char *path, char out[17])
{
    fv_gap g;
    FV_TRY(fv_gap_read(&g, path));
    size_t bytes = (size_t)g.dim * sizeof *g.image_mean;
    uint64_t h = mix(14695981039346656037u, g.fingerprint, strlen(g.fingerprint));
    h = mix(mix(h, g.image_mean, bytes), g.text_mean, bytes);
    h = mix(h, g.cosines, sizeof g.cosines);
    snprintf(out, 17, "%016llx", (unsigned long long)h);
    fv_gap_clear(&g);
    return FV_OK;
}

void fv_gap_move(const fv_gap *g, float *unit)
{
    double square = 0;
    for (int i = 0; i < g->dim; i++) {
        unit[i] += g->image_mean[i] - g->text_mean[i];
        square += (double)unit[i] * (double)unit[i];
    }
    for (int i = 0; square > 0 && i < g->dim; i++)
        unit[i] = (float)((double)unit[i] / sqrt(square));
}

/* --- the options --- */

fv_status fv_plausible_note(fv_options *o)
{
    char hash[17];
    if (!*o->plausible) return FV_OK;
    FV_TRY(fv_options_check_lost_row(o, fv_option_find("plausible")));
    FV_TRY(fv_gap_hash(o->plausible, hash));
    if (*o->plausible_hash && strcmp(o->plausible_hash, hash) != 0)
        return fv_fail(FV_ERR_FORMAT,
                       "plausible %s is not the file of the recipe (its hash is %s, not %s)",
                       o->plausible, hash, o->plausible_hash);
    char *path = realpath(o->plausible, NULL);
    if (path) {
        free(o->plausible);
        o->plausible = path;
    }
    return fv_options_set(o, "plausible-hash", hash);
}

static float percentile(const float *of, double share)
{
    double at = share * (FV_PERCENTILES - 1);
    int below = (int)at;
    if (below >= FV_PERCENTILES - 1) return of[FV_PERCENTILES - 1];
    return (float)((double)of[below] + (at - below) * ((double)of[below + 1] - (double)of[below]));
}

static fv_status find_guides(fv_plausible *p, const fv_model *m, const char *path)
{
    bool any = false;
    for (int i = 0; i < m->guide_count; i++) {
        const fv_model *guide = m->guides[i];
        p->of[i] = strcmp(guide->fingerprint, p->gap.fingerprint) == 0 &&
                   guide->network->dim == p->gap.dim;
        any = any || p->of[i];
    }
    if (any) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT,
                   "plausible %s was measured with another model (%s, weights %s), and this is %s "
                   "(weights %s): make one with feavis gap",
                   path, p->gap.model, p->gap.fingerprint, m->title, m->fingerprint);
}

fv_status fv_plausible_read(fv_plausible *out, const fv_model *m, const fv_options *o)
{
    fv_plausible p = {.moves = o->plausible_move, .stops = o->plausible_stop > 0};
    if (!*o->plausible) {
        *out = (fv_plausible){.moves = false};
        return FV_OK;
    }
    FV_TRY(fv_gap_read(&p.gap, o->plausible));
    fv_status s = find_guides(&p, m, o->plausible);
    if (s < 0) {
        fv_gap_clear(&p.gap);
        return s;
    }
    p.stop = percentile(p.gap.cosines[p.moves], o->plausible_stop);
    *out = p;
    return FV_OK;
}

void fv_plausible_clear(fv_plausible *p)
{
    fv_gap_clear(&p->gap);
    *p = (fv_plausible){.moves = false};
}
