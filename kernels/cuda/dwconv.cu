/* dwconv2d in NHWC. A block computes a tile of the map it writes, for up to 128 bytes of channels:
 * it puts what the tile reads into shared memory, activated (or, backward, times the slope of the
 * activation), once for all taps; then each thread computes a strip of STRIP neighbours in a row
 * for W = 8 channels.
 *
 * Backward is the same walk with the taps turned round, and in steps of 1 / S. Kernels of 3 and 5
 * with strides of 1 and 2 are unrolled; any other size, and channels that do not divide by 8, go
 * through dwconv_any, one element a thread. */
#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

enum { STRIP = 4, W = 8, LINE = 128 /* bytes of channels that a block takes at most */ };

struct window {
    int h, w, c;   /* of the map that is read */
    int oh, ow;    /* of the map that is written */
    int top, left; /* zeros before, of x */
    int k, stride;
};

/* The tile that a block writes, ROWS x COLUMNS positions; what it reads for it, rows x columns.
 * Along either axis output o, tap t reads position o S + t; backward, where S divides it,
 * (o + t) / S with tap K - 1 - t. */
template <int K, int S, bool BACK> constexpr int reach(int outputs)
{
    return BACK ? (outputs + K - 2) / S + 1 : (outputs - 1) * S + K;
}

template <int K, int S, bool BACK> struct tile {
    static constexpr int ROWS = S == 2 && !BACK ? 4 : 8, COLUMNS = S == 2 && !BACK ? 8 : 16;
    static constexpr int STRIPS = COLUMNS / STRIP;
    static constexpr int rows = reach<K, S, BACK>(ROWS), columns = reach<K, S, BACK>(COLUMNS),
                         across = reach<K, S, BACK>(STRIP);
    /* Tap that joins position q of a strip's reach with its output r; outside 0 .. K-1: none. */
    FV_BOTH static constexpr int tap(int q, int r)
    {
        return BACK ? q * S - r : q - r * S;
    }
    /* Outputs begin so much before 0 that the first one's tap 0 lies on a position. */
    FV_BOTH static int shift(int before)
    {
        return BACK ? before % S : 0;
    }
    /* First position that is read for outputs from `first` on. */
    FV_BOTH static int origin(int first, int before)
    {
        return BACK ? (first + before) / S - (K - 1) / S : first * S - before;
    }
};

template <class T> struct walk {
    const T *x;     /* what is read: x, or backward dy */
    const float *w; /* {K, K, c} */
    T *y;           /* what is written: y, or backward dx */
    window s;
    int groups, blocks; /* of W channels a block; of channels across the map */
    fv_act act, before;
    /* forward */
    mixed b;
    T *aux;
    /* backward */
    const T *kept; /* of act; NULL: dy is as it should be */
    const T *from; /* x, if there is `before` */
    bool add;
};

/* Eight numbers of the tile, as the taps want them. */
template <class T, bool BACK> FV_INLINE void fetch(const walk<T> &a, size_t at, float v[W])
{
    unpack8(a.x + at, v);
    if (BACK && a.kept) {
        float kept[W];
        unpack8(a.kept + at, kept);
        for (int q = 0; q < W; q++) v[q] *= activation_slope(a.act, kept[q]);
    }
    if (!BACK && a.before)
        for (int q = 0; q < W; q++) v[q] = activate(a.before, v[q]);
}

template <class T, bool BACK> FV_INLINE void finish(const walk<T> &a, size_t at, int c, float v[W])
{
    float other[W];
    if (!BACK) {
        for (int q = 0; a.b.there() && q < W; q++) v[q] += a.b.get((size_t)(c + q));
        if (a.aux) pack8(a.aux + at, v);
        for (int q = 0; q < W; q++) v[q] = activate(a.act, v[q]);
    }
    if (BACK && a.from) {
        unpack8(a.from + at, other);
        for (int q = 0; q < W; q++) v[q] *= activation_slope(a.before, other[q]);
    }
    if (BACK && a.add) {
        unpack8(a.y + at, other);
        for (int q = 0; q < W; q++) v[q] += other[q];
    }
    pack8(a.y + at, v);
}

template <class T, int K, int S, bool BACK> FV_KERNEL dwconv_kernel(walk<T> a)
{
    using area = tile<K, S, BACK>;
    FV_SHARED(T, room); /* [rows][columns][groups][W] */
    const window &s = a.s;
    int first_group = (int)blockIdx.x % a.blocks * a.groups, n = (int)blockIdx.z;
    int i0 = (int)blockIdx.y * area::ROWS - area::shift(s.top);
    int j0 = (int)blockIdx.x / a.blocks * area::COLUMNS - area::shift(s.left);
    int row0 = area::origin(i0, s.top), column0 = area::origin(j0, s.left);
    for (int e = (int)threadIdx.x; e < area::rows * area::columns * a.groups;
         e += (int)blockDim.x) {
        int c = (first_group + e % a.groups) * W, column = column0 + e / a.groups % area::columns;
        int row = row0 + e / a.groups / area::columns;
        float v[W] = {};
        if (c < s.c && row >= 0 && row < s.h && column >= 0 && column < s.w)
            fetch<T, BACK>(a, (((size_t)n * s.h + row) * s.w + column) * s.c + c, v);
        pack8(room + (size_t)e * W, v);
    }
    block_barrier();
    int group = (int)threadIdx.x % a.groups, c = (first_group + group) * W;
    int j = (int)threadIdx.x / a.groups % area::STRIPS * STRIP;
    int i = (int)threadIdx.x / a.groups / area::STRIPS;
    if (i >= area::ROWS || i0 + i < 0 || i0 + i >= s.oh || c >= s.c) return;
    float sum[STRIP][W] = {};
    FV_UNROLL
    for (int u = 0; u < K; u++) {
        int at = BACK ? i + u : i * S + u;
        if (BACK && at % S) continue;
        const float *taps = a.w + (size_t)((BACK ? K - 1 - u : u) * K) * s.c + c;
        const T *line =
            room +
            (size_t)(((BACK ? at / S : at) * area::columns + (BACK ? j / S : j * S)) * a.groups +
                     group) *
                W;
        float tap[K][W];
        FV_UNROLL
        for (int v = 0; v < K; v++) unpack8(taps + (size_t)(BACK ? K - 1 - v : v) * s.c, tap[v]);
        FV_UNROLL
        for (int q = 0; q < area::across; q++) {
            float from[W];
            unpack8(line + (size_t)(q * a.groups) * W, from);
            FV_UNROLL
            for (int r = 0; r < STRIP; r++) {
                int v = area::tap(q, r);
                if (v < 0 || v >= K) continue;
                for (int p = 0; p < W; p++) sum[r][p] += from[p] * tap[v][p];
            }
        }
    }
    FV_UNROLL
    for (int r = 0; r < STRIP; r++) {
        int column = j0 + j + r;
        if (column < 0 || column >= s.ow) continue;
        finish<T, BACK>(a, (((size_t)n * s.oh + i0 + i) * s.ow + column) * s.c + c, c, sum[r]);
    }
}

/* Any kernel, any stride. */
struct dwconv_any {
    mixed x, w, b;
    window s;
    fv_act before;
    FV_INLINE float at(uint32_t e) const
    {
        int c = (int)(e % s.c), j = (int)(e / s.c % s.ow), i = (int)(e / s.c / s.ow % s.oh);
        int n = (int)(e / s.c / s.ow / s.oh);
        float sum = b.there() ? b.get((size_t)c) : 0;
        for (int u = 0; u < s.k; u++)
            for (int v = 0; v < s.k; v++) {
                int row = i * s.stride + u - s.top, column = j * s.stride + v - s.left;
                if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
                float from = x.get((((size_t)n * s.h + row) * s.w + column) * s.c + c);
                sum += activate(before, from) * w.get((size_t)(u * s.k + v) * s.c + c);
            }
        return sum;
    }
    FV_ONE_BY_ONE
};

struct dwconv_any_backward {
    mixed dy, w, x;
    window s;
    fv_act before;
    FV_INLINE float at(uint32_t e) const
    {
        int c = (int)(e % s.c), j = (int)(e / s.c % s.ow), i = (int)(e / s.c / s.ow % s.oh);
        int n = (int)(e / s.c / s.ow / s.oh);
        float sum = 0;
        for (int u = 0; u < s.k; u++)
            for (int v = 0; v < s.k; v++) {
                int up = i + s.top - u, over = j + s.left - v;
                if (up < 0 || over < 0 || up % s.stride || over % s.stride) continue;
                int row = up / s.stride, column = over / s.stride;
                if (row >= s.h || column >= s.w) continue;
                sum += dy.get((((size_t)n * s.h + row) * s.w + column) * s.c + c) *
                       w.get((size_t)(u * s.k + v) * s.c + c);
            }
        return before ? sum * activation_slope(before, x.get(e)) : sum;
    }
    FV_ONE_BY_ONE
};

/* --- choosing --- */

static bool unrolled(const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    return op->x->shape.c % W == 0 && plain(op->w, FV_FORMAT_F32) && (a->k == 3 || a->k == 5) &&
           (a->stride == 1 || a->stride == 2);
}

static window window_of(const fv_op *op, bool back)
{
    fv_shape from = back ? op->y->shape : op->x->shape, to = back ? op->x->shape : op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    return {from.h, from.w, from.c, to.h, to.w, a->pad_top, a->pad_left, a->k, a->stride};
}

/* fn(K, S) as types, for the four unrolled pairs. */
template <int N> struct number {
    enum { value = N };
};
template <class Fn> static void with_taps(const fv_conv_attr *a, Fn fn)
{
    if (a->k == 3 && a->stride == 1) fn(number<3>{}, number<1>{});
    if (a->k == 3 && a->stride == 2) fn(number<3>{}, number<2>{});
    if (a->k == 5 && a->stride == 1) fn(number<5>{}, number<1>{});
    if (a->k == 5 && a->stride == 2) fn(number<5>{}, number<2>{});
}

template <class T, bool BACK> static void launch_walk(device *d, const fv_op *op, walk<T> a)
{
    a.w = static_cast<const float *>(op->w->data);
    a.s = window_of(op, BACK);
    a.act = op->act;
    a.before = op->before;
    int groups = a.s.c / W, most = LINE / (W * (int)sizeof(T));
    a.blocks = (groups + most - 1) / most;
    a.groups = (groups + a.blocks - 1) / a.blocks;
    with_taps(&op->attr.conv, [&](auto k, auto stride) {
        using area = tile<decltype(k)::value, decltype(stride)::value, BACK>;
        size_t down = (size_t)(a.s.oh + area::shift(a.s.top));
        size_t over = (size_t)(a.s.ow + area::shift(a.s.left));
        dim3 grid(blocks_for(over, area::COLUMNS) * (unsigned)a.blocks,
                  blocks_for(down, area::ROWS), (unsigned)op->x->shape.n);
        unsigned threads = (unsigned)(area::ROWS * area::STRIPS * a.groups);
        size_t shared = (size_t)(area::rows * area::columns * a.groups * W) * sizeof(T);
        launch(d, BACK ? "dwconv2d backward" : "dwconv2d", true,
               dwconv_kernel<T, decltype(k)::value, decltype(stride)::value, BACK>, grid,
               dim3(blocks_for(threads, WARP) * WARP), shared, a);
    });
}

/* fn with the element type of these tensors, if all have one format and lie on 16 bytes; else
 * false. */
template <class T> struct type_of {
    using type = T;
};
template <class Fn>
static bool with_element(Fn fn, const fv_tensor *a, const fv_tensor *b, const fv_tensor *c,
                         const fv_tensor *e)
{
    fv_format f = format_of(a);
    if (!plain(a, f) || !plain(b, f) || !plain(c, f) || !plain(e, f)) return false;
    if (f == FV_FORMAT_F16)
        fn(type_of<f16>{});
    else if (f == FV_FORMAT_BF16)
        fn(type_of<bf16>{});
    else
        fn(type_of<float>{});
    return true;
}

template <class T> static T *numbers(const fv_tensor *t)
{
    return t ? static_cast<T *>(t->data) : nullptr;
}

void dwconv2d_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    auto fast = [&](auto type) {
        using T = typename decltype(type)::type;
        walk<T> a = {};
        a.x = numbers<T>(op->x);
        a.y = numbers<T>(op->y);
        a.b = mixed::of(op->b);
        a.aux = numbers<T>(op->aux);
        launch_walk<T, false>(d, op, a);
    };
    if (unrolled(op) && with_element(fast, op->x, op->y, op->aux, nullptr)) return;
    const fv_tensor *to = op->aux ? op->aux : op->y;
    dwconv_any f{mixed::of(op->x), mixed::of(op->w), mixed::of(op->b), window_of(op, false),
                 op->before};
    each(d, "dwconv2d any", f, mixed::of(to), false, to);
    finish_activation(d, op);
}

void dwconv2d_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    const fv_tensor *kept = kept_of(op), *from = op->before ? op->x : nullptr;
    auto fast = [&](auto type) {
        using T = typename decltype(type)::type;
        walk<T> a = {};
        a.x = numbers<T>(op->dy);
        a.y = numbers<T>(op->dx);
        a.kept = numbers<T>(kept);
        a.from = numbers<T>(from);
        a.add = op->add_dx;
        launch_walk<T, true>(d, op, a);
    };
    if (unrolled(op) && with_element(fast, op->dy, op->dx, kept, from)) return;
    undo_activation(d, op);
    dwconv_any_backward f{mixed::of(op->dy), mixed::of(op->w), mixed::of(op->x),
                          window_of(op, true), op->before};
    each(d, "dwconv2d any backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

} // namespace FV_SPACE
