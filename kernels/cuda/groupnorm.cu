/* groupnorm in three launches a direction: sums of every channel over slices of positions, those of
 * a group put together by one block, and the map.
 *
 * A group of {256,256} x 4 channels has 262,144 numbers. Their sums are taken in float by pieces of
 * at most some hundred: a thread's positions, a block's threads, a group's slices. And mean and
 * variance are never the difference of large sums: every piece has its own mean and the squares
 * around it, and two pieces are joined by their distance (Chan, Golub and LeVeque 1983), so that a
 * map far from zero loses nothing. */
#include "kernels/cuda/positions.cuh"

namespace FV_SPACE
{

struct grouped {
    mixed w, b;
    const float *aux; /* [n][groups][2]: mean, k */
    uint32_t groups, each;
    fv_act act;
};

static grouped grouped_of(const fv_op *op)
{
    uint32_t groups = (uint32_t)op->attr.group.groups;
    return {mixed::of(op->w),
            mixed::of(op->b),
            static_cast<const float *>(op->aux->data),
            groups,
            (uint32_t)op->x->shape.c / groups,
            op->act};
}

/* Two numbers a channel and slice, then two a group. */
fv_status groupnorm_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    size_t each = (size_t)cut_sums(op->x).slices * (size_t)op->x->shape.c;
    op->scratch_bytes =
        (size_t)op->x->shape.n * (each + (size_t)op->attr.group.groups) * 2 * sizeof(float);
    return FV_OK;
}

/* --- sums of channels over slices --- */

/* Positions of the slice that a thread in this row of the block has walked over. */
FV_INLINE float walked(const slices &c, const corner &at, uint32_t row)
{
    uint32_t length = at.last - at.slice * c.each;
    return row < length ? (float)((length - row + at.step - 1) / at.step) : 0;
}

/* partial[n][slice][c][2] = mean, sum of squares around it */
template <class V, int W> FV_KERNEL moments_kernel(V x, float *partial, slices c)
{
    FV_SHARED(float, room); /* [threads][W][2] */
    corner at = my_corner(c);
    float origin[W] = {}, sum[W] = {}, squares[W] = {};
    for (uint32_t p = at.first; at.inside && p < at.last; p += at.step) {
        float v[8];
        x.load(((size_t)at.n * c.positions + p) * c.channels + at.channel, W, v);
        for (int k = 0; k < W; k++) {
            if (p == at.first) origin[k] = v[k];
            float d = v[k] - origin[k];
            sum[k] += d;
            squares[k] += d * d;
        }
    }
    float *own = room + (size_t)threadIdx.x * W * 2;
    float count = walked(c, at, threadIdx.x / (uint32_t)c.tx);
    for (int k = 0; k < W; k++) {
        float shift = count > 0 ? sum[k] / count : 0;
        own[2 * k] = origin[k] + shift;
        own[2 * k + 1] = squares[k] - sum[k] * shift;
    }
    block_barrier();
    if (threadIdx.x >= (unsigned)c.tx || !at.inside) return;
    float *out = partial + 2 * (((size_t)at.n * c.slices + at.slice) * c.channels + at.channel);
    for (int k = 0; k < W; k++) {
        float first = own[2 * k], shift = 0, around = 0;
        for (uint32_t row = 0; row < at.step; row++)
            shift +=
                walked(c, at, row) * (own[2 * (row * (uint32_t)c.tx * W + (uint32_t)k)] - first);
        float mean = first + shift / (float)(at.last - at.slice * c.each);
        for (uint32_t row = 0; row < at.step; row++) {
            const float *piece = own + 2 * (row * (uint32_t)c.tx * W + (uint32_t)k);
            around += piece[1] + walked(c, at, row) * (piece[0] - mean) * (piece[0] - mean);
        }
        out[2 * k] = mean;
        out[2 * k + 1] = around;
    }
}

/* What a channel needs to go from x to h and to what goes into the activation, h * w + b. */
struct channel_norm {
    float mean, k, w, b;
};

template <int W> FV_INLINE void load_norms(const grouped &g, const corner &at, channel_norm out[W])
{
    for (int k = 0; k < W; k++) {
        uint32_t channel = at.channel + (uint32_t)k;
        const float *s = g.aux + 2 * ((size_t)at.n * g.groups + channel / g.each);
        out[k] = {s[0], s[1], g.w.get(channel), g.b.get(channel)};
    }
}

/* h, and the gradient that reaches it. */
FV_INLINE float gradient_of(const channel_norm &c, fv_act act, float x, float dy, float *h)
{
    *h = (x - c.mean) * c.k;
    return dy * activation_slope(act, *h * c.w + c.b) * c.w;
}

/* partial[0][n][slice][c] = sum of g, partial[1] = sum of g * h */
template <class V, int W>
FV_KERNEL gradient_sums_kernel(V x, V dy, grouped g, float *partial, float *partial_h, slices c)
{
    corner at = my_corner(c);
    channel_norm norm[W] = {};
    float sum[W] = {}, sum_h[W] = {};
    if (at.inside) load_norms<W>(g, at, norm);
    for (uint32_t p = at.first; at.inside && p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8], d[8], h;
        x.load(i, W, v);
        dy.load(i, W, d);
        for (int k = 0; k < W; k++) {
            float into = gradient_of(norm[k], g.act, v[k], d[k], &h);
            sum[k] += into;
            sum_h[k] += into * h;
        }
    }
    add_down<W>(c, at, sum, partial);
    block_barrier(); /* the room is still being read */
    add_down<W>(c, at, sum_h, partial_h);
}

/* --- of groups: one block a group and picture --- */

/* Channel and slice number e of the block's group, as they lie in partial; *count: positions. */
FV_INLINE size_t piece_of(const slices &c, const grouped &g, uint32_t e, float *count)
{
    uint32_t slice = e / g.each, first = slice * c.each;
    *count = (float)(first + c.each < c.positions ? c.each : c.positions - first);
    return ((size_t)blockIdx.y * c.slices + slice) * c.channels + blockIdx.x * g.each + e % g.each;
}

FV_KERNEL group_moments_kernel(const float *partial, mixed aux, grouped g, slices c, float eps)
{
    FV_SHARED(float, room);
    float count, shift = 0, around = 0, first = partial[2 * piece_of(c, g, 0, &count)];
    for (uint32_t e = threadIdx.x; e < c.slices * g.each; e += blockDim.x) {
        float mean = partial[2 * piece_of(c, g, e, &count)];
        shift += count * (mean - first);
    }
    float all = (float)c.positions * (float)g.each;
    float mean = first + block_sum(shift, room) / all;
    for (uint32_t e = threadIdx.x; e < c.slices * g.each; e += blockDim.x) {
        const float *piece = partial + 2 * piece_of(c, g, e, &count);
        around += piece[1] + count * (piece[0] - mean) * (piece[0] - mean);
    }
    float k = 1 / sqrtf(block_sum(around, room) / all + eps);
    if (threadIdx.x) return;
    size_t at = 2 * ((size_t)blockIdx.y * g.groups + blockIdx.x);
    aux.set(at, mean);
    aux.set(at + 1, k);
}

/* means[n][group][2] = means of g and of g * h */
FV_KERNEL group_means_kernel(const float *partial, const float *partial_h, float *means, grouped g,
                             slices c)
{
    FV_SHARED(float, room);
    float count, sum = 0, sum_h = 0;
    for (uint32_t e = threadIdx.x; e < c.slices * g.each; e += blockDim.x) {
        size_t i = piece_of(c, g, e, &count);
        sum += partial[i];
        sum_h += partial_h[i];
    }
    sum = block_sum(sum, room);
    sum_h = block_sum(sum_h, room);
    if (threadIdx.x) return;
    float all = (float)c.positions * (float)g.each;
    float *out = means + 2 * ((size_t)blockIdx.y * g.groups + blockIdx.x);
    out[0] = sum / all;
    out[1] = sum_h / all;
}

/* --- the map --- */

template <class V, int W> FV_KERNEL groupnorm_kernel(V x, V y, grouped g, slices c)
{
    corner at = my_corner(c);
    if (!at.inside) return;
    channel_norm norm[W];
    load_norms<W>(g, at, norm);
    for (uint32_t p = at.first; p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8];
        x.load(i, W, v);
        for (int k = 0; k < W; k++)
            v[k] = activate(g.act, (v[k] - norm[k].mean) * norm[k].k * norm[k].w + norm[k].b);
        y.store(i, W, v);
    }
}

/* dx = k * (g - mean(g) - h * mean(g * h)) */
template <class V, int W>
FV_KERNEL groupnorm_backward_kernel(V x, V dy, V dx, const float *means, grouped g, slices c,
                                    bool add)
{
    corner at = my_corner(c);
    if (!at.inside) return;
    channel_norm norm[W];
    float mean[W], mean_h[W];
    load_norms<W>(g, at, norm);
    for (int k = 0; k < W; k++) {
        const float *m =
            means + 2 * ((size_t)at.n * g.groups + (at.channel + (uint32_t)k) / g.each);
        mean[k] = m[0];
        mean_h[k] = m[1];
    }
    for (uint32_t p = at.first; p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8], d[8], old[8] = {}, h;
        x.load(i, W, v);
        dy.load(i, W, d);
        if (add) dx.load(i, W, old);
        for (int k = 0; k < W; k++) {
            float into = gradient_of(norm[k], g.act, v[k], d[k], &h);
            d[k] = old[k] + norm[k].k * (into - mean[k] - h * mean_h[k]);
        }
        dx.store(i, W, d);
    }
}

/* --- launches --- */

static dim3 grid_of_groups(const fv_op *op)
{
    return dim3((unsigned)op->attr.group.groups, (unsigned)op->x->shape.n);
}

void groupnorm_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    float *partial = static_cast<float *>(op->scratch);
    int pictures = op->x->shape.n;
    slices sums = cut_sums(op->x), walk = cut_walk(op->x);
    grouped g = grouped_of(op);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = sums.width == 8 ? moments_kernel<V, 8> : moments_kernel<V, 1>;
            launch(d, "groupnorm sums", true, kernel, grid_of(sums, pictures), dim3(THREADS),
                   2 * THREADS * (size_t)sums.width * sizeof(float), V::of(op->x), partial, sums);
        },
        op->x);
    launch(d, "groupnorm groups", true, group_moments_kernel, grid_of_groups(op), dim3(THREADS),
           THREADS / WARP * sizeof(float), static_cast<const float *>(partial), mixed::of(op->aux),
           g, sums, (float)op->attr.group.eps);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = walk.width == 8 ? groupnorm_kernel<V, 8> : groupnorm_kernel<V, 1>;
            launch(d, "groupnorm", false, kernel, grid_of(walk, pictures), dim3(THREADS), 0,
                   V::of(op->x), V::of(op->y), g, walk);
        },
        op->x, op->y);
}

void groupnorm_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    int pictures = op->x->shape.n;
    slices sums = cut_sums(op->x), walk = cut_walk(op->x);
    size_t count = (size_t)pictures * sums.slices * sums.channels;
    float *partial = static_cast<float *>(op->scratch), *partial_h = partial + count;
    float *means = partial_h + count;
    grouped g = grouped_of(op);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = sums.width == 8 ? gradient_sums_kernel<V, 8> : gradient_sums_kernel<V, 1>;
            launch(d, "groupnorm backward sums", true, kernel, grid_of(sums, pictures),
                   dim3(THREADS), THREADS * (size_t)sums.width * sizeof(float), V::of(op->x),
                   V::of(op->dy), g, partial, partial_h, sums);
        },
        op->x, op->dy);
    launch(d, "groupnorm backward groups", true, group_means_kernel, grid_of_groups(op),
           dim3(THREADS), THREADS / WARP * sizeof(float), static_cast<const float *>(partial),
           static_cast<const float *>(partial_h), means, g, sums);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel =
                walk.width == 8 ? groupnorm_backward_kernel<V, 8> : groupnorm_backward_kernel<V, 1>;
            launch(d, "groupnorm backward", false, kernel, grid_of(walk, pictures), dim3(THREADS),
                   0, V::of(op->x), V::of(op->dy), V::of(op->dx), static_cast<const float *>(means),
                   g, walk, op->add_dx);
        },
        op->x, op->dy, op->dx);
}

} // namespace FV_SPACE
