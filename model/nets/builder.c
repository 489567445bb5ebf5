/* Weights of a plan from the tensors of a checkpoint; batch norm folding. See builder.h. */
#include "model/nets/builder.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = FV_SOURCE_NAME };

static const fv_layer failed = {-1, -1};

void fv_source_name(char out[FV_SOURCE_NAME], const fv_source *s, const char *scope,
                    const char *name)
{
    const char *first = *scope ? scope : name;
    size_t tower = s->momentum ? strcspn(first, ".") : 0;
    snprintf(out, FV_SOURCE_NAME, "%s%.*s%s%s%s", s->root, (int)tower, first,
             s->momentum ? "_mom" : "", *scope ? scope + tower : "", *scope ? name : name + tower);
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
    return fv_plan_stored(b->plan, b->source->store, key_of(b, name, key), name);
}

fv_ref fv_builder_keep(fv_builder *b, const char *name, fv_ref r)
{
    char key[KEY_BYTES];
    return fv_plan_keep(b->plan, b->source->store, key_of(b, name, key), r);
}

const fv_entry *fv_load_entry(const fv_builder *b, const char *name)
{
    char full[NAME_BYTES];
    fv_builder_name(b, name, full);
    const fv_entry *e;
    (void)fv_weights_need(b->source->weights, full, &e); /* the message is the caller's */
    return e;
}

static void describe_dims(char *out, size_t size, const int64_t *dims, int ndim)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < ndim && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, i ? ", %lld" : "%lld", (long long)dims[i]);
    if (at < size) snprintf(out + at, size - at, "]");
}

static fv_status wrong_shape(const fv_builder *b, const fv_entry *e, const int64_t *want, int ndim)
{
    char found[160], expected[160];
    describe_dims(found, sizeof found, e->dims, e->ndim);
    describe_dims(expected, sizeof expected, want, ndim);
    return fv_fail(FV_ERR_SHAPE, "checkpoint %s: tensor %s is %s, expected %s",
                   fv_weights_path(b->source->weights), e->name, found, expected);
}

/* Reads `name` as doubles if its dims are as wanted (a wanted 0 takes any size up to 2^24 and is
 * filled in). Caller frees. NULL: the plan has failed. */
static double *read_doubles(fv_builder *b, const char *name, int64_t *want, int ndim)
{
    const fv_entry *e = fv_load_entry(b, name);
    if (!e) {
        fv_plan_fail(b->plan, FV_ERR_FORMAT);
        return NULL;
    }
    int dims = e->ndim;
    while (dims > ndim && e->dims[dims - 1] == 1) dims--; /* [out, in, 1, 1] as [out, in] */
    bool same = dims == ndim;
    for (int i = 0; same && i < ndim; i++)
        same = want[i] ? e->dims[i] == want[i] : e->dims[i] > 0 && e->dims[i] <= 1 << 24;
    if (!same) {
        fv_plan_fail(b->plan, wrong_shape(b, e, want, ndim));
        return NULL;
    }
    for (int i = 0; i < ndim; i++) want[i] = e->dims[i];
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
    double *values = read_doubles(b, name, dims, 1);
    if (!values) return -1;
    fv_ref r = keep(b, name, (fv_shape){1, 1, 1, (int)dims[0]}, values);
    free(values);
    return r;
}

/* A large matrix that the file holds as it is wanted, without a copy on the way; FV_NONE: it has
 * to go through read_doubles, which also reports what is wrong. */
static fv_ref straight_from_file(fv_builder *b, const char *name, const int64_t want[2])
{
    char full[NAME_BYTES];
    fv_builder_name(b, name, full);
    const fv_entry *e = fv_weights_find(b->source->weights, full);
    if (!e || e->ndim != 2 || (want[0] && e->dims[0] != want[0]) ||
        (want[1] && e->dims[1] != want[1]) || e->dims[0] < 1 || e->dims[0] > 1 << 24 ||
        e->dims[1] < 1 || e->dims[1] > 1 << 24)
        return FV_NONE;
    const float *values = fv_entry_floats(e);
    fv_ref r = fv_builder_stored(b, name);
    if (!values || r != FV_NONE) return r;
    r = fv_plan_weight(b->plan, name, (fv_shape){1, 1, (int)e->dims[0], (int)e->dims[1]}, values);
    fv_weights_forget(b->source->weights, e);
    return fv_builder_keep(b, name, r);
}

fv_layer fv_load_linear_named(fv_builder *b, const char *weight, const char *bias, int out, int in)
{
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    int64_t dims[2] = {out, in};
    l.w = straight_from_file(b, weight, dims);
    if (l.w == FV_NONE) {
        double *values = read_doubles(b, weight, dims, 2);
        if (!values) return failed;
        l.w = keep(b, weight, (fv_shape){1, 1, (int)dims[0], (int)dims[1]}, values);
        free(values);
    }
    l.b = load_vector(b, bias, (int)dims[0]);
    return l;
}

fv_layer fv_load_linear(fv_builder *b, const char *name, int out, int in)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    return fv_load_linear_named(b, weight, bias, out, in);
}

fv_layer fv_load_linears(fv_builder *b, const char *const *names, int count, const char *as,
                         int out, int in)
{
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.weight", as);
    snprintf(bias, sizeof bias, "%s.bias", as);
    fv_layer l = stored_layer(b, weight, bias);
    if (l.w != FV_NONE) return l;
    size_t rows = (size_t)out * (size_t)in;
    double *w = malloc((size_t)count * rows * sizeof *w);
    double *biases = malloc((size_t)count * (size_t)out * sizeof *biases);
    l = failed;
    if (!w || !biases)
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", as));
    bool ok = w && biases;
    for (int i = 0; ok && i < count; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s.weight", names[i]);
        double *part = read_doubles(b, name, (int64_t[]){out, in}, 2);
        if (part) memcpy(w + (size_t)i * rows, part, rows * sizeof *w);
        ok = part != NULL;
        free(part);
        if (!ok) break;
        snprintf(name, sizeof name, "%s.bias", names[i]);
        part = read_doubles(b, name, (int64_t[]){out}, 1);
        if (part) memcpy(biases + (size_t)i * (size_t)out, part, (size_t)out * sizeof *biases);
        ok = part != NULL;
        free(part);
    }
    if (ok) {
        l.w = keep(b, weight, (fv_shape){1, 1, count * out, in}, w);
        l.b = keep(b, bias, (fv_shape){1, 1, 1, count * out}, biases);
    }
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
static bool read_batch_norm(fv_builder *b, const char *bn, int channels, double eps, double *gain,
                            double *shift)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    double *v[4] = {NULL, NULL, NULL, NULL};
    bool ok = true;
    for (int i = 0; ok && i < 4; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "%s.%s", bn, parts[i]);
        v[i] = read_doubles(b, name, (int64_t[]){channels}, 1);
        ok = v[i] != NULL;
    }
    for (int o = 0; ok && o < channels; o++) {
        gain[o] = v[0][o] / sqrt(v[3][o] + eps);
        shift[o] = v[1][o] - v[2][o] * gain[o];
    }
    for (int i = 0; i < 4; i++) free(v[i]);
    return ok;
}

/* [out, in, k, k] -> scaled {out, k, k, in}, or depthwise [c, 1, k, k] -> {1, k, k, c}. */
static void repack(double *to, const double *from, const double *gain, int out, int in, int k,
                   bool depthwise)
{
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++)
            for (int t = 0; t < k * k; t++) {
                size_t at =
                    depthwise ? (size_t)t * (size_t)out + (size_t)o
                              : ((size_t)o * (size_t)(k * k) + (size_t)t) * (size_t)in + (size_t)i;
                to[at] = *from++ * gain[o];
            }
}

fv_layer fv_load_conv_bn(fv_builder *b, const char *conv, const char *bn, int out, int in, int k,
                         bool depthwise, double eps)
{
    char name[NAME_BYTES], bias[NAME_BYTES];
    snprintf(name, sizeof name, "%s.weight", conv);
    snprintf(bias, sizeof bias, "%s.bias", conv);
    fv_layer l = stored_layer(b, name, bias);
    if (l.w != FV_NONE) return l;
    int64_t dims[4] = {out, in, k, k};
    double *raw = read_doubles(b, name, dims, 4);
    if (!raw) return failed;
    size_t count = (size_t)out * (size_t)in * (size_t)(k * k);
    double *gain = malloc((size_t)out * sizeof *gain), *shift = malloc((size_t)out * sizeof *shift);
    double *w = malloc(count * sizeof *w);
    l = failed;
    if (!gain || !shift || !w) {
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "folding %s: out of memory", name));
    } else if (read_batch_norm(b, bn, out, eps, gain, shift)) {
        repack(w, raw, gain, out, in, k, depthwise);
        fv_shape shape = depthwise ? (fv_shape){1, k, k, out} : (fv_shape){out, k, k, in};
        l.w = keep(b, name, shape, w);
        l.b = keep(b, bias, (fv_shape){1, 1, 1, out}, shift);
    }
    free(raw);
    free(gain);
    free(shift);
    free(w);
    return l;
}
