/* warp, colour_jitter, penalty, Adam: what happens between the params and the network, in float.
 * See kernels/op.h.
 *
 * warp backward is a gather: an input pixel looks for the outputs whose bilinear footprint covers
 * it, in a fixed order, so nothing is added by atomics. Its mirrored copies are looked at in turn.
 */
#include "kernels/cuda/device.cuh"
#include "kernels/rng.h"

namespace FV_SPACE
{

/* --- warp --- */

struct affine_map { /* source = (m0 j + m1 i + m2, m3 j + m4 i + m5); double as in the reference */
    double m[6];
};

FV_INLINE affine_map map_of(const float *w)
{
    affine_map a;
    for (int i = 0; i < 6; i++) a.m[i] = (double)w[i];
    return a;
}

FV_INLINE int mirrored(int at, int size)
{
    if (size == 1) return 0;
    int period = 2 * (size - 1);
    at %= period;
    if (at < 0) at += period;
    return at < size ? at : period - at;
}

struct warp_size {
    int views, pictures; /* pictures: 1 (shared by all views) or as many as views */
    int h, w, c, side;
};

/* One thread a pixel of the output. */
FV_KERNEL warp_kernel(mixed x, const float *maps, mixed y, warp_size s, uint32_t count)
{
    uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= count) return;
    int j = (int)(e % (unsigned)s.side), i = (int)(e / (unsigned)s.side % (unsigned)s.side);
    int v = (int)(e / (unsigned)s.side / (unsigned)s.side);
    affine_map a = map_of(maps + 6 * v);
    double px = a.m[0] * j + a.m[1] * i + a.m[2], py = a.m[3] * j + a.m[4] * i + a.m[5];
    double fx = floor(px), fy = floor(py);
    float u = (float)(px - fx), t = (float)(py - fy);
    int x0 = mirrored((int)fx, s.w), x1 = mirrored((int)fx + 1, s.w);
    int y0 = mirrored((int)fy, s.h), y1 = mirrored((int)fy + 1, s.h);
    size_t first = s.pictures == 1 ? 0 : (size_t)v * s.h * s.w;
    size_t up = first + (size_t)y0 * s.w, down = first + (size_t)y1 * s.w;
    for (int c = 0; c < s.c; c++) {
        float top = (1 - u) * x.get((up + x0) * s.c + c) + u * x.get((up + x1) * s.c + c);
        float low = (1 - u) * x.get((down + x0) * s.c + c) + u * x.get((down + x1) * s.c + c);
        y.set((size_t)e * s.c + c, (1 - t) * top + t * low);
    }
}

/* Weight of source position p in the bilinear sample at `at`: the tent 1 - |at - p|. */
FV_INLINE double tent(double at, double p)
{
    double d = at < p ? p - at : at - p;
    return d < 1 ? 1 - d : 0;
}

enum { MAX_CHANNELS = 4 }; /* of a picture; more are taken four at a time */

struct gathering { /* what one input pixel collects */
    mixed dy;
    warp_size s;
    int view, channel, channels;
    affine_map a;
    float sum[MAX_CHANNELS];
};

FV_INLINE void take_output(gathering &g, int i, int j, float weight)
{
    size_t from = (((size_t)g.view * g.s.side + i) * g.s.side + j) * g.s.c + g.channel;
    for (int c = 0; c < MAX_CHANNELS; c++)
        if (c < g.channels) g.sum[c] += weight * g.dy.get(from + (size_t)c);
}

/* All outputs whose sample touches position (px, py) of the unfolded plane; inverse: of the 2x2
 * part of the map, row-major. */
FV_INLINE void gather_copy(gathering &g, const double inverse[4], int px, int py)
{
    const double *m = g.a.m;
    double cx = px - m[2], cy = py - m[5];
    double j = inverse[0] * cx + inverse[1] * cy, i = inverse[2] * cx + inverse[3] * cy;
    /* |source - p| < 1 in both directions; a little more, against rounding */
    double ej = fabs(inverse[0]) + fabs(inverse[1]), ei = fabs(inverse[2]) + fabs(inverse[3]);
    double j0 = floor(j - ej * 1.000001 - 1e-6), j1 = ceil(j + ej * 1.000001 + 1e-6);
    double i0 = floor(i - ei * 1.000001 - 1e-6), i1 = ceil(i + ei * 1.000001 + 1e-6);
    int jb = j0 > 0 ? (int)j0 : 0, je = j1 < g.s.side - 1 ? (int)j1 : g.s.side - 1;
    int ib = i0 > 0 ? (int)i0 : 0, ie = i1 < g.s.side - 1 ? (int)i1 : g.s.side - 1;
    for (int y = ib; y <= ie; y++)
        for (int x = jb; x <= je; x++) {
            double weight =
                tent(m[0] * x + m[1] * y + m[2], px) * tent(m[3] * x + m[4] * y + m[5], py);
            if (weight > 0) take_output(g, y, x, (float)weight);
        }
}

/* The next place >= from where position `at` of 0 .. size-1 shows again on the mirrored line, in
 * one of its two families (at + k period, -at + k period). */
FV_INLINE int first_copy(int at, int period, double from)
{
    double k = ceil((from - at) / period);
    return at + (int)k * period;
}

/* Maps that squeeze the plane to a line, and pictures one pixel wide: look at every output. */
FV_INLINE void gather_all(gathering &g, int row, int column)
{
    const double *m = g.a.m;
    for (int i = 0; i < g.s.side; i++)
        for (int j = 0; j < g.s.side; j++) {
            double px = m[0] * j + m[1] * i + m[2], py = m[3] * j + m[4] * i + m[5];
            int fx = (int)floor(px), fy = (int)floor(py);
            double wx = (mirrored(fx, g.s.w) == column ? tent(px, fx) : 0) +
                        (mirrored(fx + 1, g.s.w) == column ? tent(px, fx + 1) : 0);
            double wy = (mirrored(fy, g.s.h) == row ? tent(py, fy) : 0) +
                        (mirrored(fy + 1, g.s.h) == row ? tent(py, fy + 1) : 0);
            if (wx * wy > 0) take_output(g, i, j, (float)(wx * wy));
        }
}

/* Extremes of a*j + b*i + t over the output's corners. */
FV_INLINE void reach(double a, double b, double t, int side, double *low, double *high)
{
    double e = side - 1;
    *low = t + (a < 0 ? a * e : 0) + (b < 0 ? b * e : 0);
    *high = t + (a > 0 ? a * e : 0) + (b > 0 ? b * e : 0);
}

FV_INLINE void gather_view(gathering &g, int row, int column)
{
    const double *m = g.a.m;
    double det = m[0] * m[4] - m[1] * m[3];
    if (g.s.w == 1 || g.s.h == 1 || fabs(det) < 1e-9) {
        gather_all(g, row, column);
        return;
    }
    const double inverse[4] = {m[4] / det, -m[1] / det, -m[3] / det, m[0] / det};
    double left, right, top, bottom;
    reach(m[0], m[1], m[2], g.s.side, &left, &right);
    reach(m[3], m[4], m[5], g.s.side, &top, &bottom);
    int wide = 2 * (g.s.w - 1), high = 2 * (g.s.h - 1);
    /* the edge pixels are their own mirror images: one family of copies */
    int x_families = column == 0 || column == g.s.w - 1 ? 1 : 2;
    int y_families = row == 0 || row == g.s.h - 1 ? 1 : 2;
    for (int fy = 0; fy < y_families; fy++)
        for (int py = first_copy(fy ? -row : row, high, top - 1); py <= bottom + 1; py += high)
            for (int fx = 0; fx < x_families; fx++)
                for (int px = first_copy(fx ? -column : column, wide, left - 1); px <= right + 1;
                     px += wide)
                    gather_copy(g, inverse, px, py);
}

/* One thread a pixel of the input. */
FV_KERNEL warp_backward_kernel(mixed dy, const float *maps, mixed dx, warp_size s, bool add,
                               uint32_t count)
{
    uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= count) return;
    int column = (int)(e % (unsigned)s.w), row = (int)(e / (unsigned)s.w % (unsigned)s.h);
    int picture = (int)(e / (unsigned)s.w / (unsigned)s.h);
    for (int first = 0; first < s.c; first += MAX_CHANNELS) {
        gathering g = {dy, s, 0, first, s.c - first, {}, {}};
        if (g.channels > MAX_CHANNELS) g.channels = MAX_CHANNELS;
        for (int v = 0; v < s.views; v++) {
            if (s.pictures != 1 && v != picture) continue;
            g.view = v;
            g.a = map_of(maps + 6 * v);
            gather_view(g, row, column);
        }
        for (int c = 0; c < MAX_CHANNELS; c++) {
            size_t to = (size_t)e * s.c + first + c;
            if (c < g.channels) dx.set(to, add ? dx.get(to) + g.sum[c] : g.sum[c]);
        }
    }
}

static warp_size size_of(const fv_op *op)
{
    fv_shape x = op->x->shape;
    return {op->y->shape.n, x.n, x.h, x.w, x.c, op->attr.out_side};
}

void warp_forward(fv_backend *be, const fv_op *op)
{
    uint32_t count = (uint32_t)fv_rows(op->y->shape);
    launch(device_of(be), "warp", false, warp_kernel, dim3(blocks_for(count, THREADS)),
           dim3(THREADS), 0, mixed::of(op->x), static_cast<const float *>(op->w->data),
           mixed::of(op->y), size_of(op), count);
}

void warp_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    uint32_t count = (uint32_t)fv_rows(op->x->shape);
    launch(device_of(be), "warp backward", false, warp_backward_kernel,
           dim3(blocks_for(count, THREADS / 2)), dim3(THREADS / 2), 0, mixed::of(op->dy),
           static_cast<const float *>(op->w->data), mixed::of(op->dx), size_of(op), op->add_dx,
           count);
}

/* --- colour_jitter --- */

/* x * gain[c] + shift[c] + sigma * noise; element e of a view takes half of Philox block e / 2 */
struct jittered {
    mixed x;
    const float *numbers;
    const int32_t *keys;
    uint32_t picture;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t n = i / picture, e = i % picture;
        const float *w = numbers + (size_t)n * FV_JITTER_COLUMNS;
        const int32_t *key = keys + (size_t)n * FV_JITTER_KEYS;
        uint64_t seed =
            (uint32_t)key[FV_JITTER_SEED_LO] | (uint64_t)(uint32_t)key[FV_JITTER_SEED_HI] << 32;
        fv_random4 r = fv_philox(seed, e / 2, (uint32_t)key[FV_JITTER_STEP],
                                 (uint32_t)key[FV_JITTER_VIEW], FV_STREAM_NOISE);
        float noise = e & 1 ? fv_normal(r.v[2], r.v[3]) : fv_normal(r.v[0], r.v[1]);
        return x.get(i) * w[FV_JITTER_GAIN + e % 3] + w[FV_JITTER_SHIFT + e % 3] +
               w[FV_JITTER_SIGMA] * noise;
    }
    FV_ONE_BY_ONE
};

struct jittered_slope {
    mixed dy;
    const float *numbers;
    uint32_t picture;
    FV_INLINE float at(uint32_t i) const
    {
        return dy.get(i) * numbers[(size_t)(i / picture) * FV_JITTER_COLUMNS + FV_JITTER_GAIN +
                                   i % picture % 3];
    }
    FV_ONE_BY_ONE
};

void colour_jitter_forward(fv_backend *be, const fv_op *op)
{
    fv_shape s = op->x->shape;
    jittered f{mixed::of(op->x), static_cast<const float *>(op->w->data),
               static_cast<const int32_t *>(op->b->data), (uint32_t)(s.h * s.w * s.c)};
    each(device_of(be), "colour_jitter", f, mixed::of(op->y), false, op->y);
}

void colour_jitter_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    jittered_slope f{mixed::of(op->dy), static_cast<const float *>(op->w->data),
                     (uint32_t)(s.h * s.w * s.c)};
    each(device_of(be), "colour_jitter backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- penalty --- */

struct penalised {
    mixed map;
    fv_penalty kind;
    bool around; /* reads differences */
    uint32_t h, w, c;
    FV_INLINE void differences(size_t i, uint32_t row, uint32_t column, float *right,
                               float *down) const
    {
        float here = map.get(i);
        *right = column + 1 < w ? map.get(i + c) - here : 0;
        *down = row + 1 < h ? map.get(i + (size_t)w * c) - here : 0;
    }
#define NUM(c)  static_cast<float>(c)
#define ROOT(v) sqrtf(v)
    /* of element e of picture n */
    FV_INLINE float value(uint32_t n, uint32_t e) const
    {
        size_t i = (size_t)n * h * w * c + e;
        float x = map.get(i), right = 0, down = 0;
        if (around) differences(i, e / c / w, e / c % w, &right, &down);
        switch (kind) {
            FV_PENALTIES(FV_PENALTY_VALUE)
        case FV_PENALTY_COUNT:
            break;
        }
        return 0;
    }
    FV_INLINE float slope(float x) const
    {
        switch (kind) {
            FV_PENALTIES(FV_PENALTY_SLOPE)
        case FV_PENALTY_COUNT:
            break;
        }
        return 0;
    }
    FV_INLINE float root(float right, float down) const
    {
        switch (kind) {
            FV_PENALTIES(FV_PENALTY_ROOT)
        case FV_PENALTY_COUNT:
            break;
        }
        return 1;
    }
#undef NUM
#undef ROOT
};

FV_KERNEL penalty_kernel(penalised f, float *partial, uint32_t count)
{
    FV_SHARED(float, room);
    float sum = 0;
    for (uint32_t e = blockIdx.x * blockDim.x + threadIdx.x; e < count; e += gridDim.x * blockDim.x)
        sum += f.value(blockIdx.y, e);
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) partial[(size_t)blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

struct added { /* factor * sum of `count` numbers */
    const float *partial;
    uint32_t count;
    float factor;
    FV_INLINE float at(uint32_t i) const
    {
        float sum = 0;
        for (uint32_t k = 0; k < count; k++) sum += partial[(size_t)i * count + k];
        return sum * factor;
    }
    FV_ONE_BY_ONE
};

static unsigned partial_sums(size_t count)
{
    unsigned blocks = blocks_for(count, 4 * THREADS);
    return blocks < 256 ? blocks : 256;
}

fv_status penalty_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    size_t count = fv_count(op->x->shape) / (size_t)op->x->shape.n;
    op->scratch_bytes = (size_t)op->x->shape.n * partial_sums(count) * sizeof(float);
    return FV_OK;
}

static penalised penalised_of(const fv_op *op)
{
    fv_shape s = op->x->shape;
    fv_penalty kind = op->attr.penalty;
    return {mixed::of(op->x), kind,          fv_penalties[kind].differences,
            (uint32_t)s.h,    (uint32_t)s.w, (uint32_t)s.c};
}

void penalty_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    uint32_t count = (uint32_t)(fv_count(op->x->shape) / (size_t)op->x->shape.n);
    unsigned blocks = partial_sums(count);
    float *partial = static_cast<float *>(op->scratch);
    launch(d, "penalty", true, penalty_kernel, dim3(blocks, (unsigned)op->x->shape.n),
           dim3(THREADS), THREADS / WARP * sizeof(float), penalised_of(op), partial, count);
    added f{partial, blocks, 1 / (float)count};
    each(d, "penalty sums", f, mixed::of(op->y), false, op->y);
}

/* Of differences, each of the up to three that this element is part of pulls it. */
struct penalty_slope {
    penalised f;
    mixed dy;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t picture = f.h * f.w * f.c, n = i / picture, e = i % picture;
        float g = dy.get(n) / (float)picture, right, down, sum = f.slope(f.map.get(i));
        if (!f.around) return g * sum;
        uint32_t row = e / f.c / f.w, column = e / f.c % f.w;
        f.differences(i, row, column, &right, &down);
        sum -= (right + down) / f.root(right, down);
        if (column > 0) {
            f.differences(i - f.c, row, column - 1, &right, &down);
            sum += right / f.root(right, down);
        }
        if (row > 0) {
            f.differences(i - (size_t)f.w * f.c, row - 1, column, &right, &down);
            sum += down / f.root(right, down);
        }
        return g * sum;
    }
    FV_ONE_BY_ONE
};

void penalty_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    penalty_slope f{penalised_of(op), mixed::of(op->dy)};
    each(device_of(be), "penalty backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- Adam, see kernels/backend.h --- */

enum { ADAM_BLOCKS = 128 };

/* partial[block] = sum of g^2, count of what is not finite */
FV_KERNEL adam_norm_kernel(const float *g, float unscale, float *partial, uint32_t count)
{
    FV_SHARED(float, room);
    float norm2 = 0, bad = 0;
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += gridDim.x * blockDim.x) {
        float v = g[i] * unscale;
        if (!is_finite(v)) bad += 1;
        norm2 += v * v;
    }
    norm2 = block_sum(norm2, room);
    bad = block_sum(bad, room);
    if (threadIdx.x) return;
    partial[2 * blockIdx.x] = norm2;
    partial[2 * blockIdx.x + 1] = bad;
}

FV_KERNEL adam_kernel(float *p, const float *g, float unscale, float *m, float *v, const float *low,
                      const float *high, const float *k, const float *partial, float *stats,
                      uint32_t count)
{
    float norm2 = 0, bad = 0;
    for (int b = 0; b < ADAM_BLOCKS; b++) {
        norm2 += partial[2 * b];
        bad += partial[2 * b + 1];
    }
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0) {
        stats[FV_ADAM_STAT_NORM2] = norm2;
        stats[FV_ADAM_STAT_BAD] = bad;
    }
    if (i >= count || bad > 0) return;
    float s = g[i] * unscale;
    m[i] = k[FV_ADAM_BETA1] * m[i] + (1 - k[FV_ADAM_BETA1]) * s;
    v[i] = k[FV_ADAM_BETA2] * v[i] + (1 - k[FV_ADAM_BETA2]) * s * s;
    float root = sqrtf(v[i] / k[FV_ADAM_CORRECTION2]) + k[FV_ADAM_EPS];
    float next = p[i] - k[FV_ADAM_RATE] * (m[i] / k[FV_ADAM_CORRECTION1]) / root;
    if (next < k[FV_ADAM_LOW]) next = k[FV_ADAM_LOW];
    if (next > k[FV_ADAM_HIGH]) next = k[FV_ADAM_HIGH];
    if (low && next < low[i]) next = low[i];
    if (high && next > high[i]) next = high[i];
    p[i] = next;
}

void adam(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
          const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers, fv_tensor *stats)
{
    device *d = device_of(be);
    uint32_t count = (uint32_t)fv_count(p->shape);
    float unscale = g->role == FV_ROLE_GRADIENT ? 1 / d->loss_scale : 1;
    float *partial = d->adam_sums;
    launch(d, "adam norm", true, adam_norm_kernel, dim3(ADAM_BLOCKS), dim3(THREADS),
           THREADS / WARP * sizeof(float), static_cast<const float *>(g->data), unscale, partial,
           count);
    launch(d, "adam", false, adam_kernel, dim3(blocks_for(count, THREADS)), dim3(THREADS), 0,
           static_cast<float *>(p->data), static_cast<const float *>(g->data), unscale,
           static_cast<float *>(m->data), static_cast<float *>(v->data),
           static_cast<const float *>(low ? low->data : nullptr),
           static_cast<const float *>(high ? high->data : nullptr),
           static_cast<const float *>(numbers->data), static_cast<const float *>(partial),
           static_cast<float *>(stats->data), count);
}

size_t adam_sums_bytes()
{
    return 2 * ADAM_BLOCKS * sizeof(float);
}

} // namespace FV_SPACE
