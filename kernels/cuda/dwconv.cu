/* dwconv2d in NHWC: one thread computes a strip of STRIP neighbours in a row, for W = 8 channels.
 *
 * A strip's inputs are read once for all its outputs and all taps of a row; weights are float.
 * Kernels of 3 and 5 with strides of 1 and 2 are unrolled;
 * any other size, and channels that do not divide by 8, go through dwconv_any, one element a
 * thread. */
#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

enum { STRIP = 4, W = 8 };

struct window {
    int h, w, c;   /* of the map that is read */
    int oh, ow;    /* of the map that is written */
    int top, left; /* zeros before, of x */
    int k, stride;
};

/* Which strip and channels this thread has; false: none. */
FV_INLINE bool my_strip(const window &s, int strips, int *strip, int *channel)
{
    int groups = s.c / W, t = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    *channel = t % groups * W;
    *strip = t / groups;
    return *strip < strips;
}

/* y[i,j] = act(b + sum over u, v of x[i S + u - top, j S + v - left] * w[u,v]) */
template <class T, int K, int S>
FV_KERNEL dwconv_forward_kernel(const T *x, const float *w, mixed b, T *y, T *aux, window s,
                                int strips, fv_act act)
{
    int strip, c;
    if (!my_strip(s, strips, &strip, &c)) return;
    int i = (int)blockIdx.y, n = (int)blockIdx.z, j0 = strip * STRIP;
    float sum[STRIP][W];
    for (int r = 0; r < STRIP; r++)
        for (int q = 0; q < W; q++) sum[r][q] = b.there() ? b.get((size_t)(c + q)) : 0;
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int u = 0; u < K; u++) {
        int row = i * S + u - s.top;
        if (row < 0 || row >= s.h) continue;
        float tap[K][W];
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int v = 0; v < K; v++) unpack8(w + (size_t)(u * K + v) * s.c + c, tap[v]);
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int q = 0; q < (STRIP - 1) * S + K; q++) {
            int column = j0 * S + q - s.left;
            if (column < 0 || column >= s.w) continue;
            float from[W];
            unpack8(x + (((size_t)n * s.h + row) * s.w + column) * s.c + c, from);
#ifdef __CUDACC__
#pragma unroll
#endif
            for (int r = 0; r < STRIP; r++) {
                int v = q - r * S;
                if (v < 0 || v >= K) continue;
                for (int p = 0; p < W; p++) sum[r][p] += from[p] * tap[v][p];
            }
        }
    }
    for (int r = 0; r < STRIP; r++) {
        if (j0 + r >= s.ow) break;
        size_t at = (((size_t)n * s.oh + i) * s.ow + j0 + r) * s.c + c;
        if (aux) pack8(aux + at, sum[r]);
        for (int q = 0; q < W; q++) sum[r][q] = activate(act, sum[r][q]);
        pack8(y + at, sum[r]);
    }
}

/* dx[i,j] = sum over u, v of dy[(i + top - u) / S, (j + left - v) / S] * w[u,v], where S divides.
 * Strips begin at a column j0 with (j0 + left) % S = 0, so that each tap's parity is known. */
template <class T, int K, int S>
FV_KERNEL dwconv_backward_kernel(const T *dy, const float *w, T *dx, window s, int strips, bool add)
{
    int strip, c;
    if (!my_strip(s, strips, &strip, &c)) return;
    int i = (int)blockIdx.y, n = (int)blockIdx.z, j0 = strip * STRIP - s.left % S;
    int origin = (j0 + s.left) / S;
    float sum[STRIP][W];
    for (int r = 0; r < STRIP; r++)
        for (int q = 0; q < W; q++) sum[r][q] = 0;
#ifdef __CUDACC__
#pragma unroll
#endif
    for (int u = 0; u < K; u++) {
        int up = i + s.top - u, row = up / S;
        if (up < 0 || up % S || row >= s.h) continue;
        float tap[K][W];
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int v = 0; v < K; v++) unpack8(w + (size_t)(u * K + v) * s.c + c, tap[v]);
#ifdef __CUDACC__
#pragma unroll
#endif
        for (int q = -((K - 1) / S); q <= (STRIP - 1) / S; q++) {
            int column = origin + q;
            if (column < 0 || column >= s.w) continue;
            float from[W];
            unpack8(dy + (((size_t)n * s.h + row) * s.w + column) * s.c + c, from);
#ifdef __CUDACC__
#pragma unroll
#endif
            for (int r = 0; r < STRIP; r++) {
                int v = r - S * q;
                if (v < 0 || v >= K) continue;
                for (int p = 0; p < W; p++) sum[r][p] += from[p] * tap[v][p];
            }
        }
    }
    for (int r = 0; r < STRIP; r++) {
        if (j0 + r < 0 || j0 + r >= s.ow) continue;
        size_t at = (((size_t)n * s.oh + i) * s.ow + j0 + r) * s.c + c;
        if (add) {
            float old[W];
            unpack8(dx + at, old);
            for (int q = 0; q < W; q++) sum[r][q] += old[q];
        }
        pack8(dx + at, sum[r]);
    }
}

/* Any kernel, any stride. */
struct dwconv_any {
    mixed x, w, b;
    window s;
    FV_INLINE float at(uint32_t e) const
    {
        int c = (int)(e % s.c), j = (int)(e / s.c % s.ow), i = (int)(e / s.c / s.ow % s.oh);
        int n = (int)(e / s.c / s.ow / s.oh);
        float sum = b.there() ? b.get((size_t)c) : 0;
        for (int u = 0; u < s.k; u++)
            for (int v = 0; v < s.k; v++) {
                int row = i * s.stride + u - s.top, column = j * s.stride + v - s.left;
                if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
                sum += x.get((((size_t)n * s.h + row) * s.w + column) * s.c + c) *
                       w.get((size_t)(u * s.k + v) * s.c + c);
            }
        return sum;
    }
    FV_ONE_BY_ONE
};

struct dwconv_any_backward {
    mixed dy, w;
    window s;
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
        return sum;
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

static fv_shape read_shape(const fv_op *op, bool back)
{
    return back ? op->y->shape : op->x->shape;
}

static window window_of(const fv_op *op, bool back)
{
    fv_shape from = read_shape(op, back), to = read_shape(op, !back);
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

template <class T> static void forward_strips(device *d, const fv_op *op)
{
    window s = window_of(op, false);
    int strips = (s.ow + STRIP - 1) / STRIP;
    dim3 grid(blocks_for((size_t)strips * (size_t)(s.c / W), 128), (unsigned)s.oh,
              (unsigned)op->x->shape.n);
    with_taps(&op->attr.conv, [&](auto k, auto stride) {
        launch(d, "dwconv2d", false,
               dwconv_forward_kernel<T, decltype(k)::value, decltype(stride)::value>, grid,
               dim3(128), 0, static_cast<const T *>(op->x->data),
               static_cast<const float *>(op->w->data), mixed::of(op->b),
               static_cast<T *>(op->y->data), static_cast<T *>(op->aux ? op->aux->data : nullptr),
               s, strips, op->act);
    });
}

template <class T> static void backward_strips(device *d, const fv_op *op)
{
    window s = window_of(op, true);
    /* one more strip where the first one begins left of the map */
    int strips = (s.ow + s.left % op->attr.conv.stride + STRIP - 1) / STRIP;
    dim3 grid(blocks_for((size_t)strips * (size_t)(s.c / W), 128), (unsigned)s.oh,
              (unsigned)op->x->shape.n);
    with_taps(&op->attr.conv, [&](auto k, auto stride) {
        launch(d, "dwconv2d backward", false,
               dwconv_backward_kernel<T, decltype(k)::value, decltype(stride)::value>, grid,
               dim3(128), 0, static_cast<const T *>(op->dy->data),
               static_cast<const float *>(op->w->data), static_cast<T *>(op->dx->data), s, strips,
               op->add_dx);
    });
}

template <class T> struct type_of {
    using type = T;
};

/* All of one format and 16-byte aligned: fn with that element type; else false. */
template <class Fn>
static bool with_element(Fn fn, const fv_tensor *a, const fv_tensor *b, const fv_tensor *c)
{
    fv_format f = format_of(a);
    if (!plain(a, f) || !plain(b, f) || !plain(c, f)) return false;
    if (f == FV_FORMAT_F16)
        fn(type_of<f16>{});
    else if (f == FV_FORMAT_BF16)
        fn(type_of<bf16>{});
    else
        fn(type_of<float>{});
    return true;
}

void dwconv2d_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    bool fast = unrolled(op) && with_element(
                                    [&](auto type) {
                                        using T = typename decltype(type)::type;
                                        forward_strips<T>(d, op);
                                    },
                                    op->x, op->y, op->aux);
    if (fast) return;
    const fv_tensor *to = op->aux ? op->aux : op->y;
    dwconv_any f{mixed::of(op->x), mixed::of(op->w), mixed::of(op->b), window_of(op, false)};
    each(d, "dwconv2d any", f, mixed::of(to), false, to);
    finish_activation(d, op);
}

void dwconv2d_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    undo_activation(d, op);
    bool fast = unrolled(op) && with_element(
                                    [&](auto type) {
                                        using T = typename decltype(type)::type;
                                        backward_strips<T>(d, op);
                                    },
                                    op->dy, op->dx, nullptr);
    if (fast) return;
    dwconv_any_backward f{mixed::of(op->dy), mixed::of(op->w), window_of(op, true)};
    each(d, "dwconv2d any backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

} // namespace FV_SPACE
