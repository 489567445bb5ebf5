/* act, mul_channel forward, add, affine, gather_channels, upsample, depth_to_space, avgpool, clamp,
 * embed, and the activations fused into convolutions and linear maps. See kernels/op.h for the
 * formulas; `at` and `eight` compute elements by their flat index in NHWC. */
#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

/* act(x) */
template <class V> struct act_of {
    V x;
    fv_act act;
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        x.load(i, n, v);
        for (int k = 0; k < 8; k++) v[k] = activate(act, v[k]);
    }
};

/* dy * act'(kept) */
template <class V> struct act_slope_of {
    V dy, kept;
    fv_act act;
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        float k8[8];
        dy.load(i, n, v);
        kept.load(i, n, k8);
        for (int k = 0; k < 8; k++) v[k] *= activation_slope(act, k8[k]);
    }
};

template <class V> struct copy_of {
    V x;
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        x.load(i, n, v);
    }
};

static void apply(device *d, const char *name, fv_act act, const fv_tensor *from,
                  const fv_tensor *to)
{
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            each(d, name, act_of<V>{V::of(from), act}, V::of(to), false, to);
        },
        from, to);
}

/* to = dy * act'(kept), or += */
static void apply_slope(device *d, const char *name, fv_act act, const fv_tensor *dy,
                        const fv_tensor *kept, const fv_tensor *to, bool add)
{
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            if (act == FV_ACT_NONE)
                each(d, name, copy_of<V>{V::of(dy)}, V::of(to), add, to);
            else
                each(d, name, act_slope_of<V>{V::of(dy), V::of(kept), act}, V::of(to), add, to);
        },
        dy, kept, to);
}

void finish_activation(device *d, const fv_op *op)
{
    if (op->aux || op->act != FV_ACT_NONE)
        apply(d, "finish_activation", op->act, op->aux ? op->aux : op->y, op->y);
}

void undo_activation(device *d, const fv_op *op)
{
    if (op->act == FV_ACT_NONE) return;
    apply_slope(d, "undo_activation", op->act, op->dy, kept_of(op), op->dy, false);
}

void pass_on(device *d, const fv_op *op)
{
    if (op->dx2)
        apply_slope(d, "residual backward", FV_ACT_NONE, op->dy, nullptr, op->dx2, op->add_dx2);
}

void act_forward(fv_backend *be, const fv_op *op)
{
    apply(device_of(be), "act", op->act, op->x, op->y);
}

void act_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    const fv_tensor *kept = fv_ops[FV_OP_ACT].keeps(op) == FV_KEEP_Y ? op->y : op->x;
    apply_slope(device_of(be), "act backward", op->act, op->dy, op->act ? kept : nullptr, op->dx,
                op->add_dx);
}

/* x[n,p,c] * gate[n,c] */
template <class V> struct gated {
    V x;
    mixed gate;
    uint32_t picture, channels; /* h*w*c, c */
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        x.load(i, n, v);
        uint32_t at = i / picture, c = i % channels;
        for (int k = 0; k < n; k++) {
            v[k] *= gate.get((size_t)at * channels + c);
            if (++c == channels) c = 0, at = (i + (uint32_t)k + 1) / picture;
        }
    }
};

void mul_channel_forward(fv_backend *be, const fv_op *op)
{
    fv_shape s = op->x->shape;
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            gated<V> f{V::of(op->x), mixed::of(op->x2), (uint32_t)(s.h * s.w * s.c), (uint32_t)s.c};
            each(device_of(be), "mul_channel", f, V::of(op->y), false, op->y);
        },
        op->x, op->y);
}

template <class V> struct sum_of {
    V x, x2;
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        float other[8];
        x.load(i, n, v);
        x2.load(i, n, other);
        for (int k = 0; k < 8; k++) v[k] += other[k];
    }
};

void add_forward(fv_backend *be, const fv_op *op)
{
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            each(device_of(be), "add", sum_of<V>{V::of(op->x), V::of(op->x2)}, V::of(op->y), false,
                 op->y);
        },
        op->x, op->x2, op->y);
}

void add_backward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    if (op->dx) apply_slope(d, "add backward", FV_ACT_NONE, op->dy, nullptr, op->dx, op->add_dx);
    if (op->dx2) apply_slope(d, "add backward", FV_ACT_NONE, op->dy, nullptr, op->dx2, op->add_dx2);
}

/* x * w + b, w and b with one number an element of the period */
template <class V> struct scaled {
    V x;
    mixed w, b;
    uint32_t period;
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const
    {
        x.load(i, n, v);
        uint32_t at = i % period;
        for (int k = 0; k < n; k++) {
            v[k] = v[k] * w.get(at) + (b.there() ? b.get(at) : 0);
            if (++at == period) at = 0;
        }
    }
};

static void scale(device *d, const char *name, const fv_op *op, const fv_tensor *b,
                  const fv_tensor *from, const fv_tensor *to, bool add)
{
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            scaled<V> f{V::of(from), mixed::of(op->w), mixed::of(b),
                        (uint32_t)fv_count(op->w->shape)};
            each(d, name, f, V::of(to), add, to);
        },
        from, to);
}

void affine_forward(fv_backend *be, const fv_op *op)
{
    scale(device_of(be), "affine", op, op->b, op->x, op->y, false);
}

void affine_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx) scale(device_of(be), "affine backward", op, nullptr, op->dy, op->dx, op->add_dx);
}

/* A channel number from outside is checked by whoever uploads it; here it is kept in range. */
FV_INLINE uint32_t in_range(int32_t c, uint32_t count)
{
    return c < 0 ? 0 : (uint32_t)c >= count ? count - 1 : (uint32_t)c;
}

struct gathered { /* y[r,k] = x[r, b[k]] */
    mixed x;
    const int32_t *channel;
    uint32_t in, out;
    FV_INLINE float at(uint32_t i) const
    {
        return x.get((size_t)(i / out) * in + in_range(channel[i % out], in));
    }
    FV_ONE_BY_ONE
};

struct unpicked { /* dx[r,c] = sum over k with b[k] = c of dy[r,k] */
    mixed dy;
    const int32_t *channel;
    uint32_t in, out;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t r = i / in, c = i % in;
        float sum = 0;
        for (uint32_t k = 0; k < out; k++)
            if (in_range(channel[k], in) == c) sum += dy.get((size_t)r * out + k);
        return sum;
    }
    FV_ONE_BY_ONE
};

void gather_channels_forward(fv_backend *be, const fv_op *op)
{
    gathered f{mixed::of(op->x), static_cast<const int32_t *>(op->b->data),
               (uint32_t)op->x->shape.c, (uint32_t)op->y->shape.c};
    each(device_of(be), "gather_channels", f, mixed::of(op->y), false, op->y);
}

void gather_channels_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    unpicked f{mixed::of(op->dy), static_cast<const int32_t *>(op->b->data),
               (uint32_t)op->x->shape.c, (uint32_t)op->y->shape.c};
    each(device_of(be), "gather_channels backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- upsample and clamp --- */

struct map_size {
    uint32_t h, w, c; /* of the smaller one */
};

static map_size size_of(const fv_op *op)
{
    fv_shape s = op->x->shape;
    return {(uint32_t)s.h, (uint32_t)s.w, (uint32_t)s.c};
}

struct upsampled {
    mixed x;
    map_size s;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t c = e % s.c, j = e / s.c % (2 * s.w), row = e / s.c / (2 * s.w);
        uint32_t n = row / (2 * s.h), i = row % (2 * s.h);
        return x.get((((size_t)n * s.h + i / 2) * s.w + j / 2) * s.c + c);
    }
    FV_ONE_BY_ONE
};

struct upsampled_back { /* sum of the four positions that show this one */
    mixed dy;
    map_size s;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t c = e % s.c, j = e / s.c % s.w, row = e / s.c / s.w;
        size_t line = 2 * (size_t)s.w * s.c, from = 2 * row * line + 2 * (size_t)j * s.c + c;
        return dy.get(from) + dy.get(from + s.c) + dy.get(from + line) + dy.get(from + line + s.c);
    }
    FV_ONE_BY_ONE
};

void upsample_forward(fv_backend *be, const fv_op *op)
{
    each(device_of(be), "upsample", upsampled{mixed::of(op->x), size_of(op)}, mixed::of(op->y),
         false, op->y);
}

void upsample_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        each(device_of(be), "upsample backward", upsampled_back{mixed::of(op->dy), size_of(op)},
             mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- depth_to_space --- */

struct blocks {
    uint32_t w, c, r; /* of the larger map: width, channels; blocks of r x r positions */
    /* where element e of the larger map lies in the smaller one */
    FV_INLINE size_t deep(uint32_t e) const
    {
        uint32_t k = e % c, j = e / c % w, row = e / c / w;
        size_t position = (size_t)(row / r) * (w / r) + j / r;
        return (position * r * r + row % r * r + j % r) * c + k;
    }
    /* the other way */
    FV_INLINE size_t spread(uint32_t e) const
    {
        uint32_t k = e % c, v = e / c % r, u = e / c / r % r, position = e / c / r / r;
        uint32_t j = position % (w / r), row = position / (w / r);
        return ((size_t)(row * r + u) * w + j * r + v) * c + k;
    }
};

static blocks blocks_of(const fv_op *op)
{
    fv_shape y = op->y->shape;
    return {(uint32_t)y.w, (uint32_t)y.c, (uint32_t)op->attr.block};
}

struct spaced {
    mixed x;
    blocks s;
    FV_INLINE float at(uint32_t e) const
    {
        return x.get(s.deep(e));
    }
    FV_ONE_BY_ONE
};

struct spaced_back {
    mixed dy;
    blocks s;
    FV_INLINE float at(uint32_t e) const
    {
        return dy.get(s.spread(e));
    }
    FV_ONE_BY_ONE
};

void depth_to_space_forward(fv_backend *be, const fv_op *op)
{
    each(device_of(be), "depth_to_space", spaced{mixed::of(op->x), blocks_of(op)}, mixed::of(op->y),
         false, op->y);
}

void depth_to_space_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        each(device_of(be), "depth_to_space backward",
             spaced_back{mixed::of(op->dy), blocks_of(op)}, mixed::of(op->dx), op->add_dx, op->dx);
}

/* --- avgpool --- */

struct pooled { /* mean of side x side positions; s: of y */
    mixed x;
    map_size s;
    uint32_t h, w, side;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t c = e % s.c, j = e / s.c % s.w, row = e / s.c / s.w;
        uint32_t n = row / s.h, i = row % s.h;
        float sum = 0;
        for (uint32_t u = 0; u < side; u++)
            for (uint32_t v = 0; v < side; v++)
                sum += x.get((((size_t)n * h + side * i + u) * w + side * j + v) * s.c + c);
        return sum / (float)(side * side);
    }
    FV_ONE_BY_ONE
};

struct pooled_back { /* s: of dx */
    mixed dy;
    map_size s;
    uint32_t h, w, side;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t c = e % s.c, j = e / s.c % s.w / side, row = e / s.c / s.w;
        uint32_t n = row / s.h, i = row % s.h / side;
        if (i >= h || j >= w) return 0;
        return dy.get((((size_t)n * h + i) * w + j) * s.c + c) / (float)(side * side);
    }
    FV_ONE_BY_ONE
};

void avgpool_forward(fv_backend *be, const fv_op *op)
{
    fv_shape x = op->x->shape, y = op->y->shape;
    pooled f{mixed::of(op->x),
             {(uint32_t)y.h, (uint32_t)y.w, (uint32_t)y.c},
             (uint32_t)x.h,
             (uint32_t)x.w,
             (uint32_t)op->attr.pool};
    each(device_of(be), "avgpool", f, mixed::of(op->y), false, op->y);
}

void avgpool_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_shape y = op->y->shape;
    pooled_back f{mixed::of(op->dy), size_of(op), (uint32_t)y.h, (uint32_t)y.w,
                  (uint32_t)op->attr.pool};
    each(device_of(be), "avgpool backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

FV_INLINE float clamped(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

struct clamped_of {
    mixed x;
    FV_INLINE float at(uint32_t i) const
    {
        return clamped(x.get(i));
    }
    FV_ONE_BY_ONE
};

struct clamped_back { /* 0 where the step would lead further away */
    mixed x, dy;
    FV_INLINE float at(uint32_t i) const
    {
        float v = x.get(i), g = dy.get(i);
        return g * (v - clamped(v)) < 0 ? 0 : g;
    }
    FV_ONE_BY_ONE
};

void clamp_forward(fv_backend *be, const fv_op *op)
{
    each(device_of(be), "clamp", clamped_of{mixed::of(op->x)}, mixed::of(op->y), false, op->y);
}

void clamp_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        each(device_of(be), "clamp backward", clamped_back{mixed::of(op->x), mixed::of(op->dy)},
             mixed::of(op->dx), op->add_dx, op->dx);
}

struct embedded { /* y[n,t] = w[id[n,t]] + b[t] */
    const int32_t *ids;
    mixed table, positions;
    uint32_t tokens, width, vocabulary;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t c = i % width, token = i / width;
        return table.get((size_t)in_range(ids[token], vocabulary) * width + c) +
               positions.get((size_t)(token % tokens) * width + c);
    }
    FV_ONE_BY_ONE
};

void embed_forward(fv_backend *be, const fv_op *op)
{
    embedded f{static_cast<const int32_t *>(op->x->data),
               mixed::of(op->w),
               mixed::of(op->b),
               (uint32_t)op->x->shape.c,
               (uint32_t)op->y->shape.c,
               (uint32_t)op->w->shape.w};
    each(device_of(be), "embed", f, mixed::of(op->y), false, op->y);
}

fv_status embed_prepare(fv_backend *be, fv_op *op)
{
    return adopt(device_of(be), op->w, device_of(be)->working);
}

fv_status adopt(device *d, const fv_tensor *t, fv_format format)
{
    /* from float only: a 16-bit weight has been adopted, and may be shared */
    if (t->role != FV_ROLE_WEIGHT || t->type != FV_REAL || format_of(t) != FV_FORMAT_F32 ||
        format == FV_FORMAT_F32)
        return FV_OK;
    fv_tensor *old = const_cast<fv_tensor *>(t), fresh = *old;
    fresh.format = format;
    FV_TRY(d->alloc(fv_count(t->shape) * format_bytes(format), &fresh.data));
    apply(d, "adopt", FV_ACT_NONE, old, &fresh);
    fv_status s = d->sync(); /* the old copy may go only when it has been read */
    d->free(old->data);
    old->data = fresh.data;
    old->format = format;
    return s;
}

fv_status self_check(device *d)
{
    enum { COUNT = 1003 };
    float host[COUNT], back[COUNT];
    for (int i = 0; i < COUNT; i++) host[i] = (float)i * 0.25f, back[i] = 0;
    fv_tensor in = {"check", {1, 1, 1, COUNT}, FV_REAL, FV_ROLE_VALUE, nullptr, FV_FORMAT_F32};
    fv_tensor half = in, out = in;
    half.format = FV_FORMAT_F16;
    fv_status s = d->alloc(sizeof host, &in.data);
    if (s >= 0) s = d->alloc(sizeof host, &half.data);
    if (s >= 0) s = d->alloc(sizeof host, &out.data);
    if (s >= 0) s = d->copy_in(in.data, host, sizeof host);
    if (s >= 0) {
        apply(d, "self check", FV_ACT_RELU, &in, &half);
        apply(d, "self check", FV_ACT_RELU, &half, &out);
        s = d->copy_out(back, out.data, sizeof back);
    }
    if (s >= 0 && memcmp(host, back, sizeof host) != 0)
        s = fv_fail(FV_ERR_DEVICE, "a test kernel gave wrong numbers");
    d->free(in.data);
    d->free(half.data);
    d->free(out.data);
    return s;
}

} // namespace FV_SPACE
