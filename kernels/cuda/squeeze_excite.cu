/* squeeze_excite: squeeze-excite in three launches a direction, where its five ops took ten.
 *
 *   forward    sums of v over slices of positions | h = w mean(v) + b, one block a hidden unit |
 *              gate = sigmoid(w2 act(h) + b2) and v * gate, each block for its own channels
 *   backward   sums of dy v | dh = act'(h) w2^T (gate' sums) |
 *              dx = (dy gate + w^T dh / p) before'(x)
 *
 * One launch for all of it would put two products with up to 2 MB of weights on one multiprocessor
 * a picture. The hidden layer is narrow (4 to 128), so blocks that need the gate of their channels
 * compute it again. Both matrices are kept as {hidden, channels}: w has that layout, w2 is
 * transposed. */
#include <new>

#include "kernels/cuda/positions.cuh"

namespace FV_SPACE
{

struct squeeze_excite_state {
    device *d;
    fv_tensor turned; /* w2 as {1, 1, hidden, c} */
};

static squeeze_excite_state *state_of(const fv_op *op)
{
    return static_cast<squeeze_excite_state *>(op->state);
}

struct turned_matrix {
    mixed w2;
    uint32_t channels, hidden;
    FV_INLINE float at(uint32_t e) const
    {
        return w2.get((size_t)(e % channels) * hidden + e / channels);
    }
    FV_ONE_BY_ONE
};

static void turn(device *d, const fv_op *op)
{
    fv_tensor *to = &state_of(op)->turned;
    turned_matrix f{mixed::of(op->w2), (uint32_t)to->shape.c, (uint32_t)to->shape.w};
    each(d, "turn weights", f, mixed::of(to), false, to);
}

/* The slices' sums, then dh. */
fv_status squeeze_excite_prepare(fv_backend *be, fv_op *op)
{
    device *d = device_of(be);
    fv_format format = format_of(op->x);
    FV_TRY(adopt(d, op->w, format));
    squeeze_excite_state *s = new (std::nothrow) squeeze_excite_state{d, *op->w};
    op->state = s;
    if (!s) return fv_fail(FV_ERR_MEMORY, "%s: out of memory", op->name);
    s->turned.data = nullptr;
    s->turned.format = format;
    FV_TRY(d->alloc(fv_count(s->turned.shape) * format_bytes(format), &s->turned.data));
    turn(d, op);
    size_t slices = cut_sums(op->x).slices, each = (size_t)op->x->shape.c * slices;
    op->scratch_bytes = (size_t)op->x->shape.n * (each + (size_t)op->w->shape.w) * sizeof(float);
    return FV_OK;
}

void squeeze_excite_release(fv_backend *be, fv_op *op)
{
    (void)be;
    if (!op->state) return;
    state_of(op)->d->free(state_of(op)->turned.data);
    delete state_of(op);
    op->state = nullptr;
}

struct hidden_layer {
    float *aux; /* [n][hidden + c]: what goes into the activation | the gate */
    float *dh;  /* [n][hidden] times act'; NULL: forward */
    uint32_t hidden;
    fv_act act;
};

/* One block a hidden unit and picture. */
template <class V>
FV_KERNEL hidden_kernel(V m, mixed b, const float *partial, slices c, hidden_layer l)
{
    FV_SHARED(float, room);
    uint32_t i = blockIdx.x, n = blockIdx.y;
    float *h = l.aux + (size_t)n * (l.hidden + c.channels), sum = 0;
    for (uint32_t ch = threadIdx.x; ch < c.channels; ch += blockDim.x) {
        const float *p = partial + (size_t)n * c.slices * c.channels + ch;
        float v = 0;
        for (uint32_t s = 0; s < c.slices; s++) v += p[(size_t)s * c.channels];
        if (l.dh) v *= activation_slope(FV_ACT_SIGMOID, h[l.hidden + ch]);
        sum += v * m.get((size_t)i * c.channels + ch);
    }
    sum = block_sum(sum, room);
    if (threadIdx.x) return;
    if (l.dh)
        l.dh[(size_t)n * l.hidden + i] = sum * activation_slope(l.act, h[i]);
    else
        h[i] = b.get(i) + sum / (float)c.positions;
}

/* up[k] = sum over the hidden units i of act(h[i]) (backward: dh[i]) * m[i][channel + k]. All
 * threads of a block must take part; those of one channel get the same sums. */
template <class V, int W>
FV_INLINE void widen(V m, const slices &c, const corner &at, const hidden_layer &l, float up[W])
{
    FV_SHARED(float, room); /* [threads][W], then [tx][W] */
    const float *h = l.aux + (size_t)at.n * (l.hidden + c.channels);
    float sum[W] = {};
    uint32_t first = threadIdx.x / (uint32_t)c.tx, left = threadIdx.x % (uint32_t)c.tx;
    for (uint32_t i = first; at.inside && i < l.hidden; i += at.step) {
        float v = l.dh ? l.dh[(size_t)at.n * l.hidden + i] : activate(l.act, h[i]), w[8];
        m.load((size_t)i * c.channels + at.channel, W, w);
        for (int k = 0; k < W; k++) sum[k] += v * w[k];
    }
    for (int k = 0; k < W; k++) room[threadIdx.x * W + (unsigned)k] = sum[k];
    block_barrier();
    float *total = room + blockDim.x * W;
    for (uint32_t e = threadIdx.x; e < (uint32_t)c.tx * W; e += blockDim.x) {
        float t = 0;
        for (uint32_t y = 0; y < at.step; y++) t += room[y * (uint32_t)c.tx * W + e];
        total[e] = t;
    }
    block_barrier();
    for (int k = 0; k < W; k++) up[k] = total[left * W + (unsigned)k];
}

template <class V, int W>
FV_KERNEL squeeze_excite_kernel(V x, V m, mixed b2, V y, slices c, hidden_layer l, fv_act before)
{
    corner at = my_corner(c);
    float gate[W];
    widen<V, W>(m, c, at, l, gate);
    if (!at.inside) return;
    float *kept = l.aux + (size_t)at.n * (l.hidden + c.channels) + l.hidden + at.channel;
    for (int k = 0; k < W; k++) {
        gate[k] = activate(FV_ACT_SIGMOID, gate[k] + b2.get(at.channel + (unsigned)k));
        if (at.slice == 0 && threadIdx.x < (unsigned)c.tx) kept[k] = gate[k];
    }
    for (uint32_t p = at.first; p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8];
        x.load(i, W, v);
        for (int k = 0; k < W; k++) v[k] = activate(before, v[k]) * gate[k];
        y.store(i, W, v);
    }
}

template <class V, int W>
FV_KERNEL squeeze_excite_backward_kernel(V x, V m, V dy, V dx, slices c, hidden_layer l,
                                         fv_act before, bool add)
{
    corner at = my_corner(c);
    float more[W];
    widen<V, W>(m, c, at, l, more);
    if (!at.inside) return;
    const float *gate = l.aux + (size_t)at.n * (l.hidden + c.channels) + l.hidden + at.channel;
    for (int k = 0; k < W; k++) more[k] /= (float)c.positions;
    for (uint32_t p = at.first; p < at.last; p += at.step) {
        size_t i = ((size_t)at.n * c.positions + p) * c.channels + at.channel;
        float v[8], g[8], old[8] = {};
        if (before) x.load(i, W, v);
        dy.load(i, W, g);
        if (add) dx.load(i, W, old);
        for (int k = 0; k < W; k++) {
            float slope = before ? activation_slope(before, v[k]) : 1;
            g[k] = old[k] + (g[k] * gate[k] + more[k]) * slope;
        }
        dx.store(i, W, g);
    }
}

static hidden_layer hidden_of(const fv_op *op, float *dh)
{
    return {static_cast<float *>(op->aux->data), dh, (uint32_t)op->w->shape.w, op->act};
}

static void launch_hidden(device *d, const char *name, const fv_op *op, const fv_tensor *m,
                          const hidden_layer &l)
{
    const float *partial = static_cast<const float *>(op->scratch);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(d, name, true, hidden_kernel<V>, dim3(l.hidden, (unsigned)op->x->shape.n),
                   dim3(THREADS), THREADS / WARP * sizeof(float), V::of(m), mixed::of(op->b),
                   partial, cut_sums(op->x), l);
        },
        m);
}

void squeeze_excite_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    const fv_tensor *turned = &state_of(op)->turned;
    if (op->w2->role != FV_ROLE_WEIGHT) turn(d, op);
    sum_positions(d, "squeeze_excite sums", op->x, op->before, nullptr,
                  static_cast<float *>(op->scratch));
    hidden_layer l = hidden_of(op, nullptr);
    launch_hidden(d, "squeeze_excite hidden", op, op->w, l);
    slices c = cut_walk(op->x);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = c.width == 8 ? squeeze_excite_kernel<V, 8> : squeeze_excite_kernel<V, 1>;
            launch(d, "squeeze_excite", true, kernel, grid_of(c, op->x->shape.n), dim3(THREADS),
                   (THREADS + WARP) * (size_t)c.width * sizeof(float), V::of(op->x), V::of(turned),
                   mixed::of(op->b2), V::of(op->y), c, l, op->before);
        },
        op->x, turned, op->y);
}

void squeeze_excite_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    float *partial = static_cast<float *>(op->scratch);
    size_t sums = (size_t)op->x->shape.n * cut_sums(op->x).slices * (size_t)op->x->shape.c;
    sum_positions(d, "squeeze_excite backward sums", op->x, op->before, op->dy, partial);
    hidden_layer l = hidden_of(op, partial + sums);
    launch_hidden(d, "squeeze_excite backward hidden", op, &state_of(op)->turned, l);
    slices c = cut_walk(op->x);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            auto kernel = c.width == 8 ? squeeze_excite_backward_kernel<V, 8>
                                       : squeeze_excite_backward_kernel<V, 1>;
            launch(d, "squeeze_excite backward", true, kernel, grid_of(c, op->x->shape.n),
                   dim3(THREADS), (THREADS + WARP) * (size_t)c.width * sizeof(float), V::of(op->x),
                   V::of(op->w), V::of(op->dy), V::of(op->dx), c, l, op->before, op->add_dx);
        },
        op->x, op->w, op->dy, op->dx);
}

} // namespace FV_SPACE
