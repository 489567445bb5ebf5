/* Weights of a plan from the tensors of a checkpoint; batch norm folding. See builder.h. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/nets/manifest.h"

enum { NAME_BYTES = FV_SOURCE_NAME };

void fv_source_name(char out[FV_SOURCE_NAME], const fv_source *s, const char *scope,
                    const char *name)
{
    const char *first = *scope ? scope : name;
    size_t tower = s->momentum ? strcspn(first, ".") : 0;
    int n = snprintf(out, FV_SOURCE_NAME, "%s%.*s%s%s%s", s->root, (int)tower, first,
                     s->momentum ? "_mom" : "", *scope ? scope + tower : "",
                     *scope ? name : name + tower);
    if (n >= FV_SOURCE_NAME) *out = 0; /* no tensor has such a name */
}

void fv_enter(fv_builder *b, const char *fmt, ...)
{
    char step[FV_BUILDER_PATH];
    va_list args;
    va_start(args, fmt);
    vsnprintf(step, sizeof step, fmt, args);
    va_end(args);
    size_t at = strlen(b->path);
    if (b->depth < FV_BUILDER_DEPTH) b->lengths[b->depth] = at;
    b->depth++;
    snprintf(b->path + at, sizeof b->path - at, "%s", step);
    fv_plan_push(b->plan, "%s", step);
}

void fv_leave(fv_builder *b)
{
    if (b->depth == 0) return;
    b->depth--;
    if (b->depth < FV_BUILDER_DEPTH) b->path[b->lengths[b->depth]] = '\0';
    fv_plan_pop(b->plan);
}

void fv_builder_name(const fv_builder *b, const char *name, char out[FV_SOURCE_NAME])
{
    fv_source_name(out, b->source, b->path, name);
}

enum { KEY_BYTES = sizeof((fv_source *)0)->key + FV_BUILDER_PATH + FV_SOURCE_NAME };

static const char *key_of(const fv_builder *b, const char *name, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s%s%s", b->source->key, b->path, name);
    return key;
}

fv_ref fv_builder_stored(fv_builder *b, const char *name)
{
    char key[KEY_BYTES];
    fv_store *store = b->source->store;
    return store ? fv_plan_stored(b->plan, store, key_of(b, name, key), name) : FV_NONE;
}

fv_ref fv_builder_keep(fv_builder *b, const char *name, fv_ref r)
{
    char key[KEY_BYTES];
    fv_store *store = b->source->store;
    return store ? fv_plan_keep(b->plan, store, key_of(b, name, key), r) : r;
}

/* What a dry run answers: the checkpoint says what `dims` leaves open, if it can. */
static void note(fv_builder *b, const char *name, int64_t *dims, int ndim, bool unused)
{
    fv_needed part = {.ndim = ndim, .unused = unused};
    const fv_entry *e = NULL;
    fv_builder_name(b, name, part.name);
    for (int i = 0; i < ndim; i++) {
        part.dims[i] = dims[i] > FV_LARGEST_SIZE ? 0 : dims[i];
        if (dims[i]) continue;
        if (!e) e = fv_weights_find(b->source->weights, part.name);
        bool said = e && i < e->ndim && e->dims[i] > 0 && e->dims[i] <= FV_LARGEST_SIZE;
        dims[i] = said ? e->dims[i] : FV_UNKNOWN_SIZE;
    }
    fv_status s = fv_manifest_add(b->source->noted, &part);
    if (s < 0) fv_plan_fail(b->plan, s);
}

void fv_load_unused(fv_builder *b, const char *name)
{
    if (b->source->noted) note(b, name, NULL, 0, true);
}

const fv_entry *fv_load_entry(const fv_builder *b, const char *name)
{
    char full[NAME_BYTES];
    fv_builder_name(b, name, full);
    const fv_entry *e;
    (void)fv_weights_need(b->source->weights, full, &e); /* the message is the caller's */
    return e;
}

void fv_describe_dims(char out[FV_DIMS_TEXT], const int64_t *dims, int ndim, bool wanted)
{
    size_t at = (size_t)snprintf(out, FV_DIMS_TEXT, "[");
    for (int i = 0; i < ndim && at < FV_DIMS_TEXT; i++) {
        const char *comma = i ? ", " : "";
        at += (size_t)(dims[i] || !wanted ? snprintf(out + at, FV_DIMS_TEXT - at, "%s%lld", comma,
                                                     (long long)dims[i])
                                          : snprintf(out + at, FV_DIMS_TEXT - at, "%sany", comma));
    }
    if (at < FV_DIMS_TEXT) snprintf(out + at, FV_DIMS_TEXT - at, "]");
}

static fv_status wrong_shape(const fv_builder *b, const fv_entry *e, const int64_t *want, int ndim)
{
    char found[FV_DIMS_TEXT], expected[FV_DIMS_TEXT];
    fv_describe_dims(found, e->dims, e->ndim, false);
    fv_describe_dims(expected, want, ndim, true);
    return fv_fail(FV_ERR_SHAPE, "checkpoint %s: tensor %s is %s, expected %s",
                   fv_weights_path(b->source->weights), e->name, found, expected);
}

double *fv_load_values(fv_builder *b, const char *name, int64_t *dims, int ndim)
{
    if (fv_plan_status(b->plan) < 0) return NULL;
    if (b->source->noted) {
        note(b, name, dims, ndim, false);
        return NULL;
    }
    const fv_entry *e = fv_load_entry(b, name);
    if (!e) {
        fv_plan_fail(b->plan, FV_ERR_FORMAT);
        return NULL;
    }
    if (!fv_entry_fits(e, dims, ndim)) {
        fv_plan_fail(b->plan, wrong_shape(b, e, dims, ndim));
        return NULL;
    }
    for (int i = 0; i < ndim; i++) dims[i] = i < e->ndim ? e->dims[i] : 1;
    double *values = malloc(fv_entry_count(e) * sizeof *values);
    if (!values)
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading tensor %s: out of memory", e->name));
    else
        fv_entry_read_f64(e, values);
    fv_weights_forget(b->source->weights, e);
    return values;
}

/* Both halves of a layer from the plan's store, or neither: w is FV_NONE. */
static fv_layer stored_layer(fv_builder *b, const char *weight, const char *bias)
{
    fv_layer l = {FV_NONE, fv_builder_stored(b, bias)};
    if (l.b != FV_NONE) l.w = fv_builder_stored(b, weight);
    return l;
}

static fv_ref keep(fv_builder *b, const char *name, fv_shape shape, const double *values)
{
    fv_ref stored = fv_builder_stored(b, name); /* left by a layer that failed half-way */
    if (stored != FV_NONE) return stored;
    return fv_builder_keep(b, name, fv_plan_weight_f64(b->plan, name, shape, values));
}

static fv_ref load_vector(fv_builder *b, const char *name, int count)
{
    int64_t dims[1] = {count};
    double *values = fv_load_values(b, name, dims, 1);
    fv_ref r = keep(b, name, (fv_shape){1, 1, 1, (int)dims[0]}, values);
    free(values);
    return r;
}

/* A large matrix that the file holds as it is wanted, without a copy on the way; FV_NONE: it has
 * to go through fv_load_values, which also reports what is wrong. */
static fv_ref straight_from_file(fv_builder *b, const char *name, const int64_t want[2])
{
    char full[NAME_BYTES];
    fv_builder_name(b, name, full);
    const fv_entry *e = b->source->noted ? NULL : fv_weights_find(b->source->weights, full);
    if (!e || e->ndim != 2 || !fv_entry_fits(e, want, 2)) return FV_NONE;
    const float *values = fv_entry_floats(e);
    if (!values) return FV_NONE;
    fv_ref r =
        fv_plan_weight(b->plan, name, (fv_shape){1, 1, (int)e->dims[0], (int)e->dims[1]}, values);
    fv_weights_forget(b->source->weights, e);
    return fv_builder_keep(b, name, r);
}

fv_ref fv_load_matrix(fv_builder *b, const char *name, int rows, int columns)
{
    int64_t dims[2] = {rows, columns};
    fv_ref r = fv_builder_stored(b, name);
    if (r == FV_NONE) r = straight_from_file(b, name, dims);
    if (r != FV_NONE) return r;
    double *values = fv_load_values(b, name, dims, 2);
    r = keep(b, name, (fv_shape){1, 1, (int)dims[0], (int)dims[1]}, values);
    free(values);
    return r;
}

fv_layer fv_load_linear_named(fv_builder *b, const char *weight, const char *bias, int out, int in)
{
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    l.w = fv_load_matrix(b, weight, out, in);
    l.b = load_vector(b, bias, fv_plan_shape(b->plan, l.w).w);
    return l;
}

fv_layer fv_load_linear(fv_builder *b, const char *name, int out, int in)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    return fv_load_linear_named(b, weight, bias, out, in);
}

/* Appends "name.part" to *rows, of which there are `count` numbers so far, and frees it. */
static void append(fv_builder *b, const char *name, const char *part, int64_t *dims, int ndim,
                   double *rows, size_t *count)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s.%s", name, part);
    size_t added = (size_t)dims[0] * (size_t)(ndim > 1 ? dims[1] : 1);
    double *values = fv_load_values(b, full, dims, ndim);
    if (values && rows) memcpy(rows + *count, values, added * sizeof *rows);
    *count += added;
    free(values);
}

fv_layer fv_load_linears(fv_builder *b, const char *const *names, int count, const char *as,
                         int out, int in)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", as);
    snprintf(bias, sizeof bias, "%s.bias", as);
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    size_t rows = (size_t)count * (size_t)out, at[2] = {0, 0};
    bool dry = b->source->noted;
    double *w = dry ? NULL : malloc(rows * (size_t)in * sizeof *w);
    double *biases = dry ? NULL : malloc(rows * sizeof *biases);
    if (!dry && (!w || !biases))
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", as));
    for (int i = 0; i < count && fv_plan_status(b->plan) >= 0; i++) {
        append(b, names[i], "weight", (int64_t[]){out, in}, 2, w, &at[0]);
        append(b, names[i], "bias", (int64_t[]){out}, 1, biases, &at[1]);
    }
    l.w = keep(b, weight, (fv_shape){1, 1, count * out, in}, w);
    l.b = keep(b, bias, (fv_shape){1, 1, 1, count * out}, biases);
    free(w);
    free(biases);
    return l;
}

fv_layer fv_load_norm(fv_builder *b, const char *name, int width)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    l.w = load_vector(b, weight, width);
    l.b = load_vector(b, bias, width);
    return l;
}

/* gain[o] and shift[o] of a batch norm in evaluation mode. */
static void read_batch_norm(fv_builder *b, const char *bn, int channels, double eps, double *gain,
                            double *shift)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    double *v[4];
    char name[NAME_BYTES];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", bn, parts[i]);
        v[i] = fv_load_values(b, name, (int64_t[]){channels}, 1);
    }
    snprintf(name, sizeof name, "%s.num_batches_tracked", bn); /* counts training alone */
    fv_load_unused(b, name);
    bool all = v[0] && v[1] && v[2] && v[3];
    for (int o = 0; all && o < channels; o++) {
        gain[o] = v[0][o] / sqrt(v[3][o] + eps);
        shift[o] = v[1][o] - v[2][o] * gain[o];
    }
    for (int i = 0; i < 4; i++) free(v[i]);
}

/* [out, in, k, k] -> scaled (gain NULL: by 1) {out, k, k, in}, or depthwise [c, 1, k, k] -> {1, k,
 * k, c}. */
static void repack(double *to, const double *from, const double *gain, int out, int in, int k,
                   bool depthwise)
{
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < k * k; t++) {
                size_t at =
                    depthwise ? (size_t)t * (size_t)out + (size_t)o
                              : ((size_t)o * (size_t)(k * k) + (size_t)t) * (size_t)in + (size_t)i;
                to[at] = gain ? *from++ * gain[o] : *from++;
            }
}

/* "name.weight" [out, in, k, k] as {out, k, k, in} */
static fv_ref load_taps(fv_builder *b, const char *weight, int out, int in, int k)
{
    int64_t dims[4] = {out, in, k, k};
    double *raw = fv_load_values(b, weight, dims, 4);
    double *w = raw ? malloc((size_t)(dims[0] * dims[1] * k * k) * sizeof *w) : NULL;
    if (raw && !w)
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", weight));
    if (w) repack(w, raw, NULL, (int)dims[0], (int)dims[1], k, false);
    fv_ref r = keep(b, weight, (fv_shape){(int)dims[0], k, k, (int)dims[1]}, w);
    free(raw);
    free(w);
    return r;
}

fv_ref fv_load_kernel(fv_builder *b, const char *name, int out, int in, int k)
{
    char weight[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", name);
    fv_ref stored = fv_builder_stored(b, weight);
    return stored != FV_NONE ? stored : load_taps(b, weight, out, in, k);
}

fv_layer fv_load_conv(fv_builder *b, const char *name, int out, int in, int k)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    l.w = load_taps(b, weight, out, in, k);
    l.b = load_vector(b, bias, fv_plan_shape(b->plan, l.w).n);
    return l;
}

fv_layer fv_load_conv_bn(fv_builder *b, const char *conv, const char *bn, int out, int in, int k,
                         bool depthwise, double eps)
{
    char name[NAME_BYTES], bias[NAME_BYTES];
    snprintf(name, sizeof name, "%s.weight", conv);
    snprintf(bias, sizeof bias, "%s.bias", conv);
    fv_layer l = stored_layer(b, name, bias);
    if (l.w != FV_NONE) return l;
    size_t count = (size_t)out * (size_t)in * (size_t)(k * k), channels = (size_t)out;
    double *raw = fv_load_values(b, name, (int64_t[]){out, in, k, k}, 4);
    double *gain = raw ? calloc(2 * channels + count, sizeof *gain) : NULL;
    double *shift = gain ? gain + channels : NULL, *w = gain ? shift + channels : NULL;
    if (raw && !gain)
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "folding %s: out of memory", name));
    if (fv_plan_status(b->plan) >= 0) read_batch_norm(b, bn, out, eps, gain, shift);
    if (w) repack(w, raw, gain, out, in, k, depthwise);
    l.w = keep(b, name, depthwise ? (fv_shape){1, k, k, out} : (fv_shape){out, k, k, in}, w);
    l.b = keep(b, bias, (fv_shape){1, 1, 1, out}, shift);
    free(raw);
    free(gain);
    return l;
}
