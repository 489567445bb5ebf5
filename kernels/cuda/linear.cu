/* linear and conv2d: rows times a constant matrix.
 *
 *   conv2d 1x1     rows of x times w^T
 *   conv2d k x k   windows of x laid out as rows (columns padded to a multiple of 8, so that 16-bit
 *                  rows begin on 16 bytes), times w^T; backward gathers the windows' gradients;
 *                  with channels in eights and the same padding all round, by cuDNN if it is there
 *   linear         the same; a few rows only: one warp an output (no tile would be full)
 *
 * Bias, relu and residual ride on the product. */
#include "kernels/cuda/product.cuh"

namespace FV_SPACE
{

enum { FEW_ROWS = 16 };

static const fv_tensor *before_activation(const fv_op *op)
{
    return op->aux ? op->aux : op->y;
}

/* rows of `x` (ld numbers apart) . w^T + b, into what the activation reads */
static product rows_forward(const fv_op *op, const matrix &x, const fv_tensor *w)
{
    const fv_tensor *to = before_activation(op);
    int out = op->y->shape.c, in = w->shape.c;
    product p = {(int)fv_rows(op->y->shape),   out,     in,      1,    x, matrix_of(w, in, 0, true),
                 matrix_of(to, out, 0, false), nullptr, nullptr, false};
    if (op->x2 && plain(op->x2, format_of(to))) p.addend = op->x2->data;
    const fv_tensor *b = plans_of(op)->bias.data ? &plans_of(op)->bias : op->b;
    if (b && format_of(b) == format_of(to)) p.bias = b->data;
    p.relu = op->act == FV_ACT_RELU && !op->aux;
    return p;
}

/* dy . w, into `dx` */
static product rows_backward(const fv_op *op, const fv_tensor *w, const matrix &dx, bool add)
{
    int out = op->y->shape.c, in = w->shape.c;
    return {(int)fv_rows(op->y->shape),
            in,
            out,
            1,
            matrix_of(op->dy, out, 0, false),
            matrix_of(w, in, 0, false),
            dx,
            add ? dx.p : nullptr,
            nullptr,
            false};
}

struct copied {
    mixed x;
    FV_INLINE float at(uint32_t i) const
    {
        return x.get(i);
    }
    FV_ONE_BY_ONE
};

/* y += b, where the bias could not ride on the product */
template <class V> struct biased {
    mixed b;
    uint32_t channels;
    FV_INLINE float at(uint32_t i) const
    {
        return b.get(i % channels);
    }
    FV_ONE_BY_ONE
};

static void finish_rows(device *d, const fv_op *op, const product &p)
{
    const fv_tensor *to = before_activation(op);
    if (op->b && !p.bias)
        each(d, "bias", biased<mixed>{mixed::of(op->b), (uint32_t)op->y->shape.c}, mixed::of(to),
             true, to);
    if (!p.relu) finish_activation(d, op);
    if (op->x2 && !p.addend)
        each(d, "residual", copied{mixed::of(op->x2)}, mixed::of(to), true, to);
}

/* The activation stays outside if the bias does. */
static product settled(const fv_op *op, product p)
{
    if (op->b && !p.bias) p.relu = false;
    return p;
}

/* A bias that rides on the product has the format of its result: a copy, where that is not so. */
static fv_status pack_bias(device *d, const fv_op *op, product_plans *s)
{
    fv_format format = format_of(before_activation(op));
    if (!op->b || op->b->role != FV_ROLE_WEIGHT || format_of(op->b) == format) return FV_OK;
    s->bias = *op->b;
    s->bias.format = format;
    FV_TRY(d->alloc(fv_count(op->b->shape) * format_bytes(format), &s->bias.data));
    each(d, "pack bias", copied{mixed::of(op->b)}, mixed::of(&s->bias), false, &s->bias);
    return FV_OK;
}

/* --- few rows: one warp an output --- */

template <class V>
FV_KERNEL few_forward_kernel(V x, V w, mixed b, mixed x2, mixed y, mixed aux, uint32_t in,
                             uint32_t out, fv_act act)
{
    uint32_t o = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    uint32_t row = blockIdx.y;
    if (o >= out) return;
    float sum = 0;
    if (in % 8 == 0)
        for (uint32_t i = 8 * lane; i < in; i += 8 * WARP) {
            float a[8], k[8];
            x.load((size_t)row * in + i, 8, a);
            w.load((size_t)o * in + i, 8, k);
            for (int q = 0; q < 8; q++) sum += a[q] * k[q];
        }
    else
        for (uint32_t i = lane; i < in; i += WARP)
            sum += x.get((size_t)row * in + i) * w.get((size_t)o * in + i);
    sum = warp_sum(sum);
    if (lane) return;
    if (b.there()) sum += b.get(o);
    if (aux.there()) aux.set((size_t)row * out + o, sum);
    sum = activate(act, sum);
    y.set((size_t)row * out + o, x2.there() ? sum + x2.get((size_t)row * out + o) : sum);
}

/* dx[r,i] = sum over o of dy[r,o] act'(kept[r,o]) w[o,i]: 32 inputs a block, outputs dealt to
 * its 8 warps */
template <class V>
FV_KERNEL few_backward_kernel(mixed dy, mixed kept, V w, mixed dx, uint32_t in, uint32_t out,
                              fv_act act, bool add)
{
    FV_SHARED(float, room); /* [8][32] */
    uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, row = blockIdx.y;
    uint32_t i = blockIdx.x * WARP + lane;
    float sum = 0;
    for (uint32_t o = warp; o < out; o += blockDim.x / WARP) {
        size_t at = (size_t)row * out + o;
        float g = dy.get(at);
        if (act != FV_ACT_NONE) g *= activation_slope(act, kept.get(at));
        if (i < in) sum += g * w.get((size_t)o * in + i);
    }
    room[threadIdx.x] = sum;
    block_barrier();
    if (warp || i >= in) return;
    float total = 0;
    for (uint32_t q = 0; q < blockDim.x / WARP; q++) total += room[q * WARP + lane];
    size_t to = (size_t)row * in + i;
    dx.set(to, add ? dx.get(to) + total : total);
}

static bool few(const fv_op *op)
{
    return fv_rows(op->x->shape) <= FEW_ROWS;
}

static void few_forward(device *d, const fv_op *op)
{
    uint32_t in = (uint32_t)op->x->shape.c, out = (uint32_t)op->y->shape.c;
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(d, "linear of few rows", true, few_forward_kernel<V>,
                   dim3(blocks_for(out, THREADS / WARP), (unsigned)fv_rows(op->x->shape)),
                   dim3(THREADS), 0, V::of(op->x), V::of(op->w), mixed::of(op->b),
                   mixed::of(op->x2), mixed::of(op->y), mixed::of(op->aux), in, out, op->act);
        },
        op->x, op->w);
}

static void few_backward(device *d, const fv_op *op)
{
    uint32_t in = (uint32_t)op->x->shape.c, out = (uint32_t)op->y->shape.c;
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(d, "linear of few rows backward", true, few_backward_kernel<V>,
                   dim3(blocks_for(in, WARP), (unsigned)fv_rows(op->x->shape)), dim3(THREADS),
                   THREADS * sizeof(float), mixed::of(op->dy), mixed::of(kept_of(op)), V::of(op->w),
                   mixed::of(op->dx), in, out, op->act, op->add_dx);
        },
        op->w);
}

/* --- linear --- */

static product linear_product(const fv_op *op)
{
    int in = op->x->shape.c;
    return settled(op, rows_forward(op, matrix_of(op->x, in, 0, false), op->w));
}

static product linear_gradient(const fv_op *op)
{
    int in = op->x->shape.c;
    return rows_backward(op, op->w, matrix_of(op->dx, in, 0, false), op->add_dx);
}

fv_status linear_prepare(fv_backend *be, fv_op *op)
{
    device *d = device_of(be);
    FV_TRY(adopt(d, op->w, format_of(op->x)));
    if (few(op)) return FV_OK;
    product_plans *s;
    FV_TRY(new_plans(d, op, &s));
    FV_TRY(pack_bias(d, op, s));
    s->forward = d->product_plan(linear_product(op));
    if (op->dx) s->backward = d->product_plan(linear_gradient(op));
    return FV_OK;
}

void linear_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    if (few(op)) {
        few_forward(d, op);
        return;
    }
    product p = linear_product(op);
    multiply(d, plans_of(op)->forward, p);
    finish_rows(d, op, p);
}

static void linear_to_x(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    if (few(op)) {
        few_backward(d, op);
        return;
    }
    undo_activation(d, op);
    multiply(d, plans_of(op)->backward, linear_gradient(op));
}

/* dx before dx2: they may be one tensor. */
void linear_backward(fv_backend *be, const fv_op *op)
{
    linear_to_x(be, op);
    pass_on(device_of(be), op);
}

/* --- conv2d --- */

struct windows {
    int h, w, c, oh, ow, k, stride, top, left;
    int columns; /* k*k*c, padded */
};

static windows windows_of(const fv_op *op)
{
    fv_shape x = op->x->shape, y = op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    return {x.h,  x.w,       x.c,        y.h,         y.w,
            a->k, a->stride, a->pad_top, a->pad_left, (a->k * a->k * x.c + 7) / 8 * 8};
}

/* 1x1 and no stride or padding: the rows of x are the windows. */
static bool pointwise(const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    return a->k == 1 && a->stride == 1 &&
           !(a->pad_top | a->pad_left | a->pad_bottom | a->pad_right);
}

struct window_rows { /* element (row, u, v, c) of the windows; zeros in the padding */
    mixed x;
    windows s;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t column = e % (unsigned)s.columns, row = e / (unsigned)s.columns;
        if (column >= (unsigned)(s.k * s.k * s.c)) return 0;
        int c = (int)(column % (unsigned)s.c), tap = (int)(column / (unsigned)s.c);
        int j = (int)(row % (unsigned)s.ow), i = (int)(row / (unsigned)s.ow % (unsigned)s.oh);
        size_t n = row / (unsigned)s.ow / (unsigned)s.oh;
        int y = i * s.stride + tap / s.k - s.top, z = j * s.stride + tap % s.k - s.left;
        if (y < 0 || y >= s.h || z < 0 || z >= s.w) return 0;
        return x.get(((n * s.h + y) * s.w + z) * s.c + c);
    }
    FV_ONE_BY_ONE
};

struct window_gradients { /* dx[y,z,c] = sum of the windows' gradients that cover it */
    mixed rows;
    windows s;
    FV_INLINE float at(uint32_t e) const
    {
        int c = (int)(e % (unsigned)s.c), z = (int)(e / (unsigned)s.c % (unsigned)s.w);
        int y = (int)(e / (unsigned)s.c / (unsigned)s.w % (unsigned)s.h);
        size_t n = e / (unsigned)s.c / (unsigned)s.w / (unsigned)s.h;
        float sum = 0;
        for (int u = 0; u < s.k; u++)
            for (int v = 0; v < s.k; v++) {
                int up = y + s.top - u, over = z + s.left - v;
                if (up < 0 || over < 0 || up % s.stride || over % s.stride) continue;
                int i = up / s.stride, j = over / s.stride;
                if (i >= s.oh || j >= s.ow) continue;
                sum += rows.get(((n * s.oh + i) * s.ow + j) * s.columns + (u * s.k + v) * s.c + c);
            }
        return sum;
    }
    FV_ONE_BY_ONE
};

struct padded_rows { /* w {out, k*k*c} with zeros up to `columns` */
    mixed w;
    uint32_t from, columns;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t column = e % columns;
        return column < from ? w.get((size_t)(e / columns) * from + column) : 0;
    }
    FV_ONE_BY_ONE
};

/* The windows as a tensor in scratch. */
static fv_tensor scratch_rows(const fv_op *op, fv_format format)
{
    windows s = windows_of(op);
    return {op->name,    {1, 1, (int)fv_rows(op->y->shape), s.columns},
            FV_REAL,     FV_ROLE_VALUE,
            op->scratch, format};
}

static void each_packed(device *d, const fv_op *op, const product_plans *s)
{
    windows k = windows_of(op);
    padded_rows f{mixed::of(op->w), (uint32_t)(k.k * k.k * k.c), (uint32_t)k.columns};
    each(d, "pack weights", f, mixed::of(&s->packed), false, &s->packed);
}

static fv_status pack_weights(device *d, fv_op *op, product_plans *s)
{
    windows k = windows_of(op);
    int out = op->y->shape.c;
    s->packed = {op->name, {1, 1, out, k.columns}, FV_REAL, FV_ROLE_WEIGHT, nullptr, d->working};
    FV_TRY(d->alloc(fv_count(s->packed.shape) * format_bytes(d->working), &s->packed.data));
    each_packed(d, op, s);
    return FV_OK;
}

static product window_product(const fv_op *op, const fv_tensor *rows, const fv_tensor *w)
{
    return settled(op, rows_forward(op, matrix_of(rows, rows->shape.c, 0, false), w));
}

/* w as rows. */
static fv_tensor pointwise_weights(const fv_op *op)
{
    fv_tensor w = *op->w;
    w.shape = {1, 1, op->y->shape.c, op->x->shape.c};
    return w;
}

/* --- k x k by the convolutions' library --- */

/* Channels in eights, so that packed weights have no gaps and rows of 16 bits begin on 16 bytes. */
static bool convolvable(const device *d, const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    bool same =
        a->pad_top == a->pad_left && a->pad_top == a->pad_bottom && a->pad_top == a->pad_right;
    return same && op->x->shape.c % 8 == 0 && op->y->shape.c % 8 == 0 && plain(op->x, d->working) &&
           plain(before_activation(op), d->working);
}

static convolution convolution_of(const fv_op *op, const fv_tensor *w)
{
    convolution c = {};
    c.x = op->x->shape, c.y = op->y->shape;
    c.k = op->attr.conv.k, c.stride = op->attr.conv.stride, c.pad = op->attr.conv.pad_top;
    c.format = format_of(op->x);
    c.w = w->data;
    return c;
}

static convolution convolution_forward(const fv_op *op, const product_plans *s)
{
    product p = settled(op, rows_forward(op, matrix_of(op->x, op->x->shape.c, 0, false), op->w));
    convolution c = convolution_of(op, &s->packed);
    c.x_data = op->x->data, c.y_data = p.c.p;
    c.addend = p.addend, c.bias = p.bias, c.relu = p.relu;
    return c;
}

static convolution convolution_backward(const fv_op *op, const product_plans *s)
{
    convolution c = convolution_of(op, &s->packed);
    c.gradient = true;
    c.x_data = op->dx->data, c.y_data = op->dy->data;
    c.addend = op->add_dx ? op->dx->data : nullptr;
    return c;
}

static void plan_convolutions(device *d, fv_op *op, product_plans *s)
{
    size_t forward = 0, backward = 0;
    if (!convolvable(d, op)) return;
    s->convolve = d->convolution_plan(convolution_forward(op, s), &forward);
    if (op->dx && plain(op->dy, d->working) && plain(op->dx, d->working))
        s->convolve_back = d->convolution_plan(convolution_backward(op, s), &backward);
    op->scratch_bytes = forward > backward ? forward : backward;
}

/* --- conv2d's rows --- */

static fv_status plan_windows(device *d, fv_op *op, product_plans *s)
{
    fv_tensor rows = scratch_rows(op, d->working);
    if (fv_rows(op->y->shape) * (size_t)rows.shape.c > 0x7fffffffu)
        return fv_fail(FV_ERR_SHAPE,
                       "%s: the windows of %d pictures of %d x %d have over 2^31 "
                       "numbers: use fewer views or a smaller size",
                       op->name, op->x->shape.n, op->x->shape.h, op->x->shape.w);
    size_t bytes = fv_count(rows.shape) * format_bytes(d->working);
    if (bytes > op->scratch_bytes) op->scratch_bytes = bytes;
    if (!s->convolve) s->forward = d->product_plan(window_product(op, &rows, &s->packed));
    if (op->dx && !s->convolve_back)
        s->backward = d->product_plan(
            rows_backward(op, &s->packed, matrix_of(&rows, rows.shape.c, 0, false), false));
    return FV_OK;
}

fv_status conv2d_prepare(fv_backend *be, fv_op *op)
{
    device *d = device_of(be);
    product_plans *s;
    FV_TRY(new_plans(d, op, &s));
    FV_TRY(pack_bias(d, op, s));
    if (pointwise(op)) {
        FV_TRY(adopt(d, op->w, format_of(op->x)));
        fv_tensor w = pointwise_weights(op);
        s->forward = d->product_plan(
            settled(op, rows_forward(op, matrix_of(op->x, w.shape.c, 0, false), &w)));
        if (op->dx)
            s->backward = d->product_plan(
                rows_backward(op, &w, matrix_of(op->dx, w.shape.c, 0, false), op->add_dx));
        return FV_OK;
    }
    FV_TRY(pack_weights(d, op, s));
    plan_convolutions(d, op, s);
    return s->convolve && (s->convolve_back || !op->dx) ? FV_OK : plan_windows(d, op, s);
}

void conv2d_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    product_plans *s = plans_of(op);
    if (pointwise(op)) {
        fv_tensor w = pointwise_weights(op);
        product p = settled(op, rows_forward(op, matrix_of(op->x, w.shape.c, 0, false), &w));
        multiply(d, s->forward, p);
        finish_rows(d, op, p);
        return;
    }
    /* weights that change are packed anew */
    if (op->w->role != FV_ROLE_WEIGHT) each_packed(d, op, s);
    if (s->convolve) {
        d->convolution_run(s->convolve, convolution_forward(op, s), op->scratch);
        finish_rows(d, op, settled(op, rows_forward(op, matrix_of(op->x, 0, 0, false), op->w)));
        return;
    }
    fv_tensor rows = scratch_rows(op, d->working);
    window_rows f{mixed::of(op->x), windows_of(op)};
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            each(d, "windows", f, V::of(&rows), false, &rows);
        },
        &rows);
    product p = window_product(op, &rows, &s->packed);
    multiply(d, s->forward, p);
    finish_rows(d, op, p);
}

static void conv2d_to_x(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    product_plans *s = plans_of(op);
    if (!op->dx) return;
    undo_activation(d, op);
    if (pointwise(op)) {
        fv_tensor w = pointwise_weights(op);
        multiply(d, s->backward,
                 rows_backward(op, &w, matrix_of(op->dx, w.shape.c, 0, false), op->add_dx));
        return;
    }
    if (s->convolve_back) {
        d->convolution_run(s->convolve_back, convolution_backward(op, s), op->scratch);
        return;
    }
    fv_tensor rows = scratch_rows(op, d->working);
    multiply(d, s->backward,
             rows_backward(op, &s->packed, matrix_of(&rows, rows.shape.c, 0, false), false));
    window_gradients f{mixed::of(&rows), windows_of(op)};
    each(d, "windows backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

void conv2d_backward(fv_backend *be, const fv_op *op)
{
    conv2d_to_x(be, op);
    pass_on(device_of(be), op);
}

} // namespace FV_SPACE
