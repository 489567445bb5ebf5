/* From any checkpoint to a safetensors file with only the towers in use. See inventory.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nets/inventory.h"

typedef struct converter {
    const fv_network *network;
    fv_manifest parts;
    fv_save_entry *entries; /* [count] */
    char **names;           /* [count] theirs */
    float **copies;         /* [count] NULL where the mapping serves as it is */
    int count;
    bool half;
} converter;

/* The tensor of the checkpoint as floats in row-major order. */
static fv_status take_values(converter *c, const fv_entry *e, const float **out, float **copy)
{
    fv_entry dense = *e;
    int64_t stride = 1;
    bool as_is = e->dtype == FV_FILE_F32 && (uintptr_t)e->data % _Alignof(float) == 0;
    for (int i = e->ndim - 1; i >= 0; i--) {
        as_is = as_is && (dense.dims[i] == 1 || dense.strides[i] == stride);
        stride *= dense.dims[i];
    }
    *out = e->data;
    if (as_is) return FV_OK;
    *copy = malloc((fv_entry_count(e) + 1) * sizeof **copy);
    if (!*copy)
        return fv_fail(FV_ERR_MEMORY, "converting %s: out of memory",
                       fv_weights_path(c->network->source.weights));
    fv_entry_read_f32(e, *copy);
    *out = *copy;
    return FV_OK;
}

/* A file that no network computes with is not worth another one. */
static fv_status check_finite(const converter *c, const fv_entry *e, const float *values)
{
    size_t count = fv_entry_count(e);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return fv_fail(FV_ERR_FORMAT, "checkpoint %s: tensor %s: number %zu is %g",
                           fv_weights_path(c->network->source.weights), e->name, i,
                           (double)values[i]);
    return FV_OK;
}

/* "learnable.imgencoder_mom.x" -> "imgencoder.x" */
static char *plain_name(const converter *c, const char *name)
{
    char *out;
    const fv_source *s = &c->network->source;
    const char *from = name + strlen(s->root);
    size_t tower = strcspn(from, "."), keep = tower - (s->momentum ? 4 : 0);
    return asprintf(&out, "%.*s%s", (int)keep, from, from + tower) < 0 ? NULL : out;
}

static fv_status add_part(converter *c, const fv_needed *part)
{
    bool fits = false;
    const fv_weights *w = c->network->source.weights;
    const fv_entry *e = fv_needed_find(part, w, &fits);
    if (part->unused) return FV_OK;
    if (e && !fv_entry_readable(e)) FV_TRY(fv_weights_need(w, part->name, &e));
    if (!e || !fits)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: tensor %s %s; feavis info says more",
                       fv_weights_path(w), part->name,
                       e ? "has another shape than the cfg needs" : "is missing");
    int i = c->count++;
    c->names[i] = plain_name(c, part->name);
    if (!c->names[i]) return fv_fail(FV_ERR_MEMORY, "converting: out of memory");
    c->entries[i] = (fv_save_entry){
        .name = c->names[i], .dtype = c->half ? FV_FILE_F16 : FV_FILE_F32, .ndim = e->ndim};
    memcpy(c->entries[i].dims, e->dims, (size_t)e->ndim * sizeof e->dims[0]);
    const float *values;
    FV_TRY(take_values(c, e, &values, &c->copies[i]));
    FV_TRY(check_finite(c, e, values));
    c->entries[i].data = values;
    return FV_OK;
}

/* --- the check --- */

/* Largest relative difference; FV_ERR_FORMAT if it is more than rounding. 16 bits: half a unit of
 * 11 binary digits, or of 2^-24 near zero. */
static fv_status compare(const converter *c, const fv_save_entry *saved, const fv_entry *found,
                         const char *path, double *worst)
{
    size_t count = fv_entry_count(found);
    const float *expected = saved->data;
    float *values = malloc((count + 1) * sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "checking %s: out of memory", path);
    fv_entry_read_f32(found, values);
    fv_status s = FV_OK;
    for (size_t i = 0; s >= 0 && i < count; i++) {
        double x = (double)expected[i], y = (double)values[i];
        double off = fabs(x - y), most = c->half ? fmax(ldexp(fabs(x), -11), ldexp(1, -25)) : 0;
        if (memcmp(&expected[i], &values[i], sizeof(float)) == 0) continue;
        if (!(off <= most))
            s = fv_fail(FV_ERR_FORMAT, "%s: tensor %s has %g where the checkpoint has %g%s", path,
                        saved->name, y, x, c->half ? ": 16 bits do not hold it" : "");
        if (fabs(x) >= ldexp(1, -14) && off / fabs(x) > *worst) *worst = off / fabs(x);
    }
    free(values);
    return s;
}

static fv_status check(const converter *c, const char *path, double *worst)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, path));
    fv_status s = FV_OK;
    *worst = 0;
    for (int i = 0; s >= 0 && i < c->count; i++) {
        const fv_entry *e = fv_weights_find(w, c->names[i]);
        s = e ? compare(c, &c->entries[i], e, path, worst)
              : fv_fail(FV_ERR_FORMAT, "%s: tensor %s was not written", path, c->names[i]);
    }
    fv_weights_close(w);
    return s;
}

static fv_status convert(converter *c, const char *path, double *worst)
{
    bool momentum = c->network->source.momentum;
    FV_TRY(fv_manifest_make(&c->parts, c->network, momentum));
    size_t n = (size_t)c->parts.count;
    c->entries = calloc(n, sizeof *c->entries);
    c->names = calloc(n, sizeof *c->names);
    c->copies = calloc(n, sizeof *c->copies);
    if (!c->entries || !c->names || !c->copies)
        return fv_fail(FV_ERR_MEMORY, "converting: out of memory");
    for (int i = 0; i < c->parts.count; i++) FV_TRY(add_part(c, &c->parts.at[i]));
    enum { OWN = 4, MOST = 32 };
    const char *metadata[OWN + MOST + 1] = {"format", "pt", "tower",
                                            momentum ? "momentum" : "online"};
    const char *const *more = c->network->metadata;
    for (int i = 0; more && more[i] && i < MOST; i++) metadata[OWN + i] = more[i];
    FV_TRY(fv_weights_save(path, c->entries, (size_t)c->count, metadata));
    return check(c, path, worst);
}

fv_status fv_convert(const fv_network_files *files, const char *path, bool half, int *tensors,
                     double *worst)
{
    fv_network *n;
    fv_network_files unchecked = *files;
    unchecked.unchecked = true;
    FV_TRY(fv_network_open(&n, &unchecked));
    converter c = {.network = n, .half = half};
    fv_status s = convert(&c, path, worst);
    *tensors = c.count;
    for (int i = 0; i < c.count; i++) {
        free(c.names[i]);
        free(c.copies[i]);
    }
    free(c.names);
    free(c.copies);
    free(c.entries);
    fv_manifest_clear(&c.parts);
    fv_network_close(n);
    return s;
}
