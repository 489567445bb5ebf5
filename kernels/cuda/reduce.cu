/* Sums in a fixed order: over positions (mean_hw, max_hw, the gate's gradient in mul_channel; a
 * second kernel adds the slices of positions.cuh), over rows (l2norm, layernorm), over whole
 * pictures (penalty, in picture.cu). */
#include "kernels/cuda/positions.cuh"

namespace FV_SPACE
{

/* --- over positions --- */

fv_status positions_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    slices c = cut_sums(op->x);
    /* max_hw keeps values and places */
    op->scratch_bytes = (size_t)op->x->shape.n * c.slices * c.channels * 2 * sizeof(float);
    return FV_OK;
}

template <class V, int W> FV_KERNEL sum_kernel(V x, fv_act before, V dy, float *partial, slices c)
{
    corner at = my_corner(c);
    float sum[W] = {};
    for (uint32_t p = at.first; at.inside && p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8], g[8];
        for (int k = 0; k < 8; k++) g[k] = 1;
        x.load(i, W, v);
        if (dy.there()) dy.load(i, W, g);
        for (int k = 0; k < W; k++) sum[k] += activate(before, v[k]) * g[k];
    }
    add_down<W>(c, at, sum, partial);
}

void sum_positions(device *d, const char *name, const fv_tensor *x, fv_act before,
                   const fv_tensor *dy, float *partial)
{
    slices c = cut_sums(x);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = c.width == 8 ? sum_kernel<V, 8> : sum_kernel<V, 1>;
            launch(d, name, true, kernel, grid_of(c, x->shape.n), dim3(THREADS),
                   THREADS * (size_t)c.width * sizeof(float), V::of(x), before, V::of(dy), partial,
                   c);
        },
        x, dy);
}

/* dx = dy * gate on the way to dx2 = sum of dy * x. */
template <class V, int W>
FV_KERNEL gate_kernel(V x, V dy, mixed gate, V dx, bool add, float *partial, slices c)
{
    corner at = my_corner(c);
    float sum[W] = {}, g[W];
    for (int k = 0; at.inside && k < W; k++)
        g[k] = gate.get((size_t)at.n * c.channels + at.channel + (unsigned)k);
    for (uint32_t p = at.first; at.inside && p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float a[8], b[8];
        dy.load(i, W, b);
        if (partial) {
            x.load(i, W, a);
            for (int k = 0; k < W; k++) sum[k] += a[k] * b[k];
        }
        if (!dx.there()) continue;
        if (add) dx.load(i, W, a);
        for (int k = 0; k < W; k++) a[k] = (add ? a[k] : 0) + b[k] * g[k];
        dx.store(i, W, a);
    }
    if (partial) add_down<W>(c, at, sum, partial);
}

struct added_slices { /* factor * sum over slices */
    const float *partial;
    slices c;
    float factor;
    FV_INLINE float at(uint32_t i) const
    {
        float sum = 0;
        const float *p =
            partial + (size_t)(i / c.channels) * c.slices * c.channels + i % c.channels;
        for (uint32_t s = 0; s < c.slices; s++) sum += p[(size_t)s * c.channels];
        return sum * factor;
    }
    FV_ONE_BY_ONE
};

void mean_hw_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    slices c = cut_sums(op->x);
    float *partial = static_cast<float *>(op->scratch);
    sum_positions(d, "mean_hw", op->x, FV_ACT_NONE, nullptr, partial);
    added_slices f{partial, c, 1 / (float)c.positions};
    each(d, "mean_hw slices", f, mixed::of(op->y), false, op->y);
}

struct spread { /* dy[n,c] / positions */
    mixed dy;
    uint32_t picture, channels;
    float factor;
    FV_INLINE float at(uint32_t i) const
    {
        return dy.get((size_t)(i / picture) * channels + i % channels) * factor;
    }
    FV_ONE_BY_ONE
};

void mean_hw_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    spread f{mixed::of(op->dy), (uint32_t)(s.h * s.w * s.c), (uint32_t)s.c, 1 / (float)(s.h * s.w)};
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            each(device_of(be), "mean_hw backward", f, V::of(op->dx), op->add_dx, op->dx);
        },
        op->dx);
}

void mul_channel_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx && !op->dx2) return;
    device *d = device_of(be);
    slices c = cut_sums(op->x);
    float *partial = op->dx2 ? static_cast<float *>(op->scratch) : nullptr;
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = c.width == 8 ? gate_kernel<V, 8> : gate_kernel<V, 1>;
            launch(d, "mul_channel backward", true, kernel, grid_of(c, op->x->shape.n),
                   dim3(THREADS), THREADS * (size_t)c.width * sizeof(float), V::of(op->x),
                   V::of(op->dy), mixed::of(op->x2), V::of(op->dx), op->add_dx, partial, c);
        },
        op->x, op->dy, op->dx);
    if (!op->dx2) return;
    added_slices f{partial, c, 1};
    each(d, "mul_channel slices", f, mixed::of(op->dx2), op->add_dx2, op->dx2);
}

/* The largest value and the first place that has it. NaN never wins, unless it comes first. */
FV_INLINE void keep_larger(float value, float place, float *best, float *where)
{
    if (value > *best || (value == *best && place < *where)) {
        *best = value;
        *where = place;
    }
}

FV_KERNEL max_kernel(mixed x, float *partial, slices c)
{
    FV_SHARED(float, room); /* [2 * threads] */
    corner at = my_corner(c);
    float best = -INFINITY, where = (float)c.positions;
    for (uint32_t p = at.first; at.inside && p < at.last; p += at.step)
        keep_larger(x.get(((size_t)at.n * c.positions + p) * c.channels + at.channel), (float)p,
                    &best, &where);
    room[2 * threadIdx.x] = best;
    room[2 * threadIdx.x + 1] = where;
    block_barrier();
    if (threadIdx.x >= (unsigned)c.tx || !at.inside) return;
    for (unsigned t = threadIdx.x; t < blockDim.x; t += (unsigned)c.tx)
        keep_larger(room[2 * t], room[2 * t + 1], &best, &where);
    size_t i = 2 * (((size_t)at.n * c.slices + at.slice) * c.channels + at.channel);
    partial[i] = best;
    partial[i + 1] = where;
}

FV_KERNEL max_slices_kernel(const float *partial, mixed y, mixed aux, slices c, uint32_t count)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float *p =
        partial + 2 * ((size_t)(i / c.channels) * c.slices * c.channels + i % c.channels);
    float best = p[0], where = p[1];
    for (uint32_t s = 1; s < c.slices; s++)
        keep_larger(p[2 * (size_t)s * c.channels], p[2 * (size_t)s * c.channels + 1], &best,
                    &where);
    /* nothing was larger than -infinity: the first position, as it is */
    y.set(i, best);
    aux.set(i, where < (float)c.positions ? where : 0);
}

void max_hw_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    slices c = cut_sums(op->x);
    c.width = 1;
    float *partial = static_cast<float *>(op->scratch);
    launch(d, "max_hw", true, max_kernel, grid_of(c, op->x->shape.n), dim3(THREADS),
           2 * THREADS * sizeof(float), mixed::of(op->x), partial, c);
    uint32_t count = (uint32_t)fv_count(op->y->shape);
    launch(d, "max_hw slices", false, max_slices_kernel, dim3(blocks_for(count, THREADS)),
           dim3(THREADS), 0, static_cast<const float *>(partial), mixed::of(op->y),
           mixed::of(op->aux), c, count);
}

struct at_maximum { /* dy[n,c] at the position that aux names */
    mixed dy, aux;
    uint32_t positions, channels;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t row = i / channels, n = row / positions;
        size_t from = (size_t)n * channels + i % channels;
        return aux.get(from) == (float)(row % positions) ? dy.get(from) : 0;
    }
    FV_ONE_BY_ONE
};

void max_hw_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    at_maximum f{mixed::of(op->dy), mixed::of(op->aux), (uint32_t)(s.h * s.w), (uint32_t)s.c};
    each(device_of(be), "max_hw backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- over rows: one block a row --- */

FV_KERNEL l2norm_kernel(mixed x, mixed y, mixed aux, uint32_t width, float eps)
{
    FV_SHARED(float, room);
    size_t row = (size_t)blockIdx.x * width;
    float sum = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float v = x.get(row + i);
        sum += v * v;
    }
    float norm = sqrtf(block_sum(sum, room));
    if (!(norm > eps)) norm = eps;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        y.set(row + i, x.get(row + i) / norm);
    if (threadIdx.x == 0) aux.set(blockIdx.x, norm);
}

/* dx = (dy - y <dy, y>) / m where |x| > eps, dy / eps where it is clamped */
FV_KERNEL l2norm_backward_kernel(mixed y, mixed aux, mixed dy, mixed dx, uint32_t width, float eps,
                                 bool add)
{
    FV_SHARED(float, room);
    size_t row = (size_t)blockIdx.x * width;
    float norm = aux.get(blockIdx.x), along = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        along += dy.get(row + i) * y.get(row + i);
    along = block_sum(along, room);
    if (norm <= eps) along = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float v = (dy.get(row + i) - y.get(row + i) * along) / norm;
        dx.set(row + i, add ? dx.get(row + i) + v : v);
    }
}

/* y = (x - mean) * k * w + b, k = 1 / sqrt(var + eps); aux = mean, k */
FV_KERNEL layernorm_kernel(mixed x, mixed w, mixed b, mixed y, mixed aux, uint32_t width, float eps)
{
    FV_SHARED(float, room);
    size_t row = (size_t)blockIdx.x * width;
    float sum = 0, squares = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) sum += x.get(row + i);
    float mean = block_sum(sum, room) / (float)width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float v = x.get(row + i) - mean;
        squares += v * v;
    }
    float k = 1 / sqrtf(block_sum(squares, room) / (float)width + eps);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        y.set(row + i, (x.get(row + i) - mean) * k * w.get(i) + b.get(i));
    if (threadIdx.x == 0) {
        aux.set(2 * (size_t)blockIdx.x, mean);
        aux.set(2 * (size_t)blockIdx.x + 1, k);
    }
}

/* with g = dy * w, h = (x - mean) * k:   dx = k * (g - mean(g) - h * mean(g * h)) */
FV_KERNEL layernorm_backward_kernel(mixed x, mixed w, mixed aux, mixed dy, mixed dx, uint32_t width,
                                    bool add)
{
    FV_SHARED(float, room);
    size_t row = (size_t)blockIdx.x * width;
    float mean = aux.get(2 * (size_t)blockIdx.x), k = aux.get(2 * (size_t)blockIdx.x + 1);
    float g = 0, gh = 0;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float v = dy.get(row + i) * w.get(i);
        g += v;
        gh += v * (x.get(row + i) - mean) * k;
    }
    g = block_sum(g, room) / (float)width;
    gh = block_sum(gh, room) / (float)width;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        float v = k * (dy.get(row + i) * w.get(i) - g - (x.get(row + i) - mean) * k * gh);
        dx.set(row + i, add ? dx.get(row + i) + v : v);
    }
}

template <class... P, class... A>
static void by_row(fv_backend *be, const char *name, void (*kernel)(P...), const fv_op *op, A... a)
{
    dim3 grid((unsigned)fv_rows(op->x->shape));
    launch(device_of(be), name, true, kernel, grid, dim3(THREADS), THREADS / WARP * sizeof(float),
           a...);
}

void l2norm_forward(fv_backend *be, const fv_op *op)
{
    by_row(be, "l2norm", l2norm_kernel, op, mixed::of(op->x), mixed::of(op->y), mixed::of(op->aux),
           (uint32_t)op->x->shape.c, (float)op->attr.eps);
}

void l2norm_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        by_row(be, "l2norm backward", l2norm_backward_kernel, op, mixed::of(op->y),
               mixed::of(op->aux), mixed::of(op->dy), mixed::of(op->dx), (uint32_t)op->x->shape.c,
               (float)op->attr.eps, op->add_dx);
}

void layernorm_forward(fv_backend *be, const fv_op *op)
{
    by_row(be, "layernorm", layernorm_kernel, op, mixed::of(op->x), mixed::of(op->w),
           mixed::of(op->b), mixed::of(op->y), mixed::of(op->aux), (uint32_t)op->x->shape.c,
           (float)op->attr.eps);
}

void layernorm_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        by_row(be, "layernorm backward", layernorm_backward_kernel, op, mixed::of(op->x),
               mixed::of(op->w), mixed::of(op->aux), mixed::of(op->dy), mixed::of(op->dx),
               (uint32_t)op->x->shape.c, op->add_dx);
}

} // namespace FV_SPACE
