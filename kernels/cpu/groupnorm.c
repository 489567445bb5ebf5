/* groupnorm. Tasks are slices of positions, cut by the shape alone, so that memory is read straight
 * on. A slice's sums are taken channel by channel in float, around the channel's own mean there;
 * they are put together in double, by their distances (Chan, Golub and LeVeque 1983). What goes
 * into the activation is computed again in backward. Formulas: kernels/op.h, kernels/ref/reduce.c.
 */
#include "kernels/cpu/activation.h"
#include "kernels/cpu/gemm.h"

enum { SLICE = 16384, BLOCK = 8 }; /* numbers of a slice; vectors of channels summed at a time */

typedef struct norm {
    const fv_op *op;
    size_t positions, channels, groups, each, slices;
    float *sums;           /* [n][slices][2][channels] of a slice */
    float *mean, *a, *b;   /* [n][channels]: forward y = act((x - mean) a + b) */
    float *even, *slanted; /* backward: dx = a act' dy - even - (x - mean) slanted */
} norm;

static norm norm_of(const fv_op *op)
{
    fv_shape s = op->x->shape;
    norm z = {.op = op, .positions = (size_t)s.h * (size_t)s.w, .channels = (size_t)s.c};
    z.groups = (size_t)op->attr.group.groups;
    z.each = z.channels / z.groups;
    z.slices = min_of(z.positions, ceil_divide(z.positions * z.channels, SLICE));
    size_t row = (size_t)s.n * z.channels;
    z.sums = op->scratch;
    if (!z.sums) return z;
    z.mean = z.sums + 2 * z.slices * row;
    z.a = z.mean + row;
    z.b = z.a + row;
    z.even = z.b + row;
    z.slanted = z.even + row;
    return z;
}

fv_status ISA(groupnorm_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    norm z = norm_of(op);
    op->scratch_bytes = (2 * z.slices + 5) * (size_t)op->x->shape.n * z.channels * sizeof(float);
    return FV_OK;
}

/* Slice i: its picture, where it begins in x, and how many positions it has. */
static size_t slice_of(const norm *z, int i, size_t *n, size_t *count)
{
    size_t s = (size_t)i % z->slices, begin = s * z->positions / z->slices;
    *n = (size_t)i / z->slices;
    *count = (s + 1) * z->positions / z->slices - begin;
    return (*n * z->positions + begin) * z->channels;
}

/* --- forward --- */

/* mean[c], around[c]: the sum of squares around it, of up to BLOCK vectors of channels */
INLINE void moments(const int vectors, const float *x, size_t step, size_t count, float *mean,
                    float *around, size_t lanes)
{
    vf sum[BLOCK], square[BLOCK];
    const float *from = x;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) sum[v] = square[v] = (vf){0};
    for (size_t p = 0; p < count; p++, from += step)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) sum[v] += load_lanes(from + v * LANES, lanes);
    float share = 1 / (float)count;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) sum[v] *= share;
    from = x;
    for (size_t p = 0; p < count; p++, from += step)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            vf d = load_lanes(from + v * LANES, lanes) - sum[v];
            square[v] = v_fma(d, d, square[v]);
        }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        store_lanes(mean + v * LANES, sum[v], lanes);
        store_lanes(around + v * LANES, square[v], lanes);
    }
}

static void moments_task(void *context, int i)
{
    const norm *z = context;
    size_t n, count, c = 0, channels = z->channels;
    const float *x = (const float *)z->op->x->data + slice_of(z, i, &n, &count);
    float *mean = z->sums + (size_t)i * 2 * channels, *around = mean + channels;
    for (; c + BLOCK * LANES <= channels; c += BLOCK * LANES)
        moments(BLOCK, x + c, channels, count, mean + c, around + c, LANES);
    for (; c < channels; c += LANES) {
        size_t lanes = min_of(LANES, channels - c);
        moments(1, x + c, channels, count, mean + c, around + c, lanes);
    }
}

/* Positions of slice s. */
static double slice_count(const norm *z, size_t s)
{
    return (double)((s + 1) * z->positions / z->slices - s * z->positions / z->slices);
}

/* One group of one picture. */
static void statistics_task(void *context, int i)
{
    const norm *z = context;
    const fv_op *op = z->op;
    size_t n = (size_t)i / z->groups, first = (size_t)i % z->groups * z->each;
    size_t channels = z->channels, last = first + z->each;
    const float *sums = z->sums + n * z->slices * 2 * channels;
    double mean = 0, var = 0, total = (double)(z->positions * z->each);
    for (size_t s = 0; s < z->slices; s++)
        for (size_t c = first; c < last; c++)
            mean += slice_count(z, s) * (double)sums[2 * s * channels + c];
    mean /= total;
    for (size_t s = 0; s < z->slices; s++)
        for (size_t c = first; c < last; c++) {
            double far = (double)sums[2 * s * channels + c] - mean;
            var += (double)sums[(2 * s + 1) * channels + c] + slice_count(z, s) * far * far;
        }
    float *aux = (float *)op->aux->data + 2 * i;
    aux[0] = (float)mean;
    aux[1] = (float)(1 / sqrt(var / total + op->attr.group.eps));
}

/* What a channel is multiplied by, and added to. */
static void set_channels(const norm *z)
{
    const fv_op *op = z->op;
    const float *w = op->w->data, *b = op->b->data, *aux = op->aux->data;
    for (size_t i = 0; i < (size_t)op->x->shape.n * z->channels; i++) {
        size_t c = i % z->channels, group = i / z->channels * z->groups + c / z->each;
        z->mean[i] = aux[2 * group];
        z->a[i] = aux[2 * group + 1] * w[c];
        z->b[i] = b[c];
    }
}

INLINE void map_slice(const fv_act act, const norm *z, size_t at, size_t n, size_t count)
{
    const float *x = (const float *)z->op->x->data + at, *mean = z->mean + n * z->channels;
    const float *a = z->a + n * z->channels, *b = z->b + n * z->channels;
    float *y = (float *)z->op->y->data + at;
    for (size_t p = 0; p < count; p++, x += z->channels, y += z->channels)
        for (size_t c = 0; c < z->channels; c += LANES) {
            size_t lanes = min_of(LANES, z->channels - c);
            vf d = load_lanes(x + c, lanes) - load_lanes(mean + c, lanes);
            vf v = v_fma(d, load_lanes(a + c, lanes), load_lanes(b + c, lanes));
            store_lanes(y + c, v_activate(act, v), lanes);
        }
}

static void map_task(void *context, int i)
{
    const norm *z = context;
    size_t n, count, at = slice_of(z, i, &n, &count);
    FV_WITH_ACT(z->op->act, map_slice, z, at, n, count)
}

void ISA(groupnorm_forward)(fv_backend *be, const fv_op *op)
{
    norm z = norm_of(op);
    int tasks = op->x->shape.n * (int)z.slices;
    fv_parallel(be, tasks, moments_task, &z);
    fv_parallel(be, op->x->shape.n * (int)z.groups, statistics_task, &z);
    set_channels(&z);
    fv_parallel(be, tasks, map_task, &z);
}

/* --- backward: with d = x - mean, v = d a + b and s = dy act'(v),
 * dx = a s - k mean(g) - d k^2 mean(g h), where g = w s, h = k d --- */

/* Sums of s and of s d over the positions of a slice. */
INLINE void slopes(const fv_act act, const norm *z, size_t at, size_t n, size_t count, float *sums)
{
    const float *mean = z->mean + n * z->channels, *a = z->a + n * z->channels;
    const float *b = z->b + n * z->channels;
    for (size_t c = 0; c < z->channels; c += LANES) {
        size_t lanes = min_of(LANES, z->channels - c);
        const float *x = (const float *)z->op->x->data + at + c;
        const float *dy = (const float *)z->op->dy->data + at + c;
        vf m = load_lanes(mean + c, lanes), f = load_lanes(a + c, lanes);
        vf shift = load_lanes(b + c, lanes), plain = {0}, weighted = {0};
        for (size_t p = 0; p < count; p++, x += z->channels, dy += z->channels) {
            vf d = load_lanes(x, lanes) - m;
            vf s = v_sloped(act, load_lanes(dy, lanes), v_fma(d, f, shift));
            plain += s;
            weighted = v_fma(s, d, weighted);
        }
        store_lanes(sums + c, plain, lanes);
        store_lanes(sums + z->channels + c, weighted, lanes);
    }
}

static void slopes_task(void *context, int i)
{
    const norm *z = context;
    size_t n, count, at = slice_of(z, i, &n, &count);
    float *sums = z->sums + (size_t)i * 2 * z->channels;
    FV_WITH_ACT(z->op->act, slopes, z, at, n, count, sums)
}

static void means_task(void *context, int i)
{
    const norm *z = context;
    size_t n = (size_t)i / z->groups, first = (size_t)i % z->groups * z->each;
    size_t channels = z->channels, last = first + z->each;
    const float *sums = z->sums + n * z->slices * 2 * channels, *w = z->op->w->data;
    double k = (double)((const float *)z->op->aux->data)[2 * i + 1], g = 0, gd = 0;
    for (size_t s = 0; s < z->slices; s++)
        for (size_t c = first; c < last; c++) {
            g += (double)w[c] * (double)sums[2 * s * channels + c];
            gd += (double)w[c] * (double)sums[(2 * s + 1) * channels + c];
        }
    double total = (double)(z->positions * z->each);
    for (size_t c = n * channels + first; c < n * channels + last; c++) {
        z->even[c] = (float)(k * g / total);
        z->slanted[c] = (float)(k * k * k * gd / total);
    }
}

INLINE void back_slice(const fv_act act, const norm *z, size_t at, size_t n, size_t count)
{
    const float *x = (const float *)z->op->x->data + at, *dy = (const float *)z->op->dy->data + at;
    const float *mean = z->mean + n * z->channels, *a = z->a + n * z->channels;
    const float *b = z->b + n * z->channels, *even = z->even + n * z->channels;
    const float *slanted = z->slanted + n * z->channels;
    float *dx = (float *)z->op->dx->data + at;
    bool add = z->op->add_dx;
    for (size_t p = 0; p < count; p++, x += z->channels, dy += z->channels, dx += z->channels)
        for (size_t c = 0; c < z->channels; c += LANES) {
            size_t lanes = min_of(LANES, z->channels - c);
            vf d = load_lanes(x + c, lanes) - load_lanes(mean + c, lanes);
            vf f = load_lanes(a + c, lanes);
            vf v = v_fma(d, f, load_lanes(b + c, lanes));
            vf s = v_sloped(act, load_lanes(dy + c, lanes), v);
            s = v_fma(s, f, -load_lanes(even + c, lanes));
            s = v_fnma(d, load_lanes(slanted + c, lanes), s);
            if (add) s += load_lanes(dx + c, lanes);
            store_lanes(dx + c, s, lanes);
        }
}

static void back_task(void *context, int i)
{
    const norm *z = context;
    size_t n, count, at = slice_of(z, i, &n, &count);
    FV_WITH_ACT(z->op->act, back_slice, z, at, n, count)
}

void ISA(groupnorm_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    norm z = norm_of(op);
    int tasks = op->x->shape.n * (int)z.slices;
    set_channels(&z);
    fv_parallel(be, tasks, slopes_task, &z);
    fv_parallel(be, op->x->shape.n * (int)z.groups, means_task, &z);
    fv_parallel(be, tasks, back_task, &z);
}
