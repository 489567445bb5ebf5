/* The rows of the cuda table, formats of tensors, and moving numbers between host and device. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

/* --- formats --- */

/* Loss scaling of fp16: all gradients but those of the params are this much larger. Gradients of
 * a cosine per activation are around 1e-6, where a half keeps few bits; the largest are near
 * 1e-2, far from the half's 65504. */
static const float fp16_loss_scale = 1024;

/* Values inside the network are kept in the working format. In float stay: leaves, the picture's
 * stage (params to views), embeddings (a vector a picture), penalties, and outputs. */
fv_format choose_format(fv_backend *be, const fv_op *op, bool output)
{
    fv_format working = device_of(be)->working;
    if (output || working == FV_FORMAT_F32) return FV_FORMAT_F32;
    switch (op->kind) {
    case FV_OP_SEPARABLE:
    case FV_OP_WARP:
    case FV_OP_COLOUR_JITTER:
    case FV_OP_PENALTY:
    case FV_OP_CLAMP:
    case FV_OP_QUANTISE:
    case FV_OP_GRAM: /* sums of squares leave the range of 16 bits */
    case FV_OP_COSINE:
        return FV_FORMAT_F32;
    case FV_OP_L2NORM:
        return op->x->shape.h * op->x->shape.w == 1 ? FV_FORMAT_F32 : working;
    case FV_OP_LINEAR:
        if (op->w->role == FV_ROLE_INPUT) return FV_FORMAT_F32; /* targets: a loss */
        /* colour matrices belong to the picture */
        return op->x->shape.c < 16 ? format_of(op->x) : working;
    case FV_OP_CONV2D:
    case FV_OP_DWCONV2D:
    case FV_OP_LAYERNORM:
    case FV_OP_GROUPNORM:
    case FV_OP_ATTENTION:
    case FV_OP_EMBED:
    case FV_OP_MIX_ROWS:
        return working;
    case FV_OP_ACT:
    case FV_OP_MUL_CHANNEL:
    case FV_OP_SQUEEZE_EXCITE:
    case FV_OP_ADD:
    case FV_OP_AFFINE:
    case FV_OP_MEAN_HW:
    case FV_OP_MAX_HW:
    case FV_OP_GATHER_CHANNELS:
    case FV_OP_UPSAMPLE:
    case FV_OP_DEPTH_TO_SPACE:
    case FV_OP_AVGPOOL:
    case FV_OP_COUNT:
        break;
    }
    return format_of(op->x);
}

/* --- moving numbers --- */

static void to_format(void *to, fv_format format, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (format == FV_FORMAT_F16) {
            from_float(from[i], static_cast<f16 *>(to)[i]);
        } else if (format == FV_FORMAT_BF16) {
            from_float(from[i], static_cast<bf16 *>(to)[i]);
        } else {
            static_cast<float *>(to)[i] = from[i];
        }
    }
}

static float from_format(const void *from, fv_format format, size_t i)
{
    if (format == FV_FORMAT_F16) return to_float(static_cast<const f16 *>(from)[i]);
    if (format == FV_FORMAT_BF16) return to_float(static_cast<const bf16 *>(from)[i]);
    return static_cast<const float *>(from)[i];
}

static fv_status check_type(const fv_tensor *t, fv_dtype host)
{
    if (host != FV_REAL && (t->type == FV_I32) == (host == FV_I32)) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "moving tensor %s: the host type does not fit its type",
                   t->name);
}

/* Gradients are kept loss_scale times larger. */
static float scale_of(fv_backend *be, const fv_tensor *t)
{
    return t->role == FV_ROLE_GRADIENT ? device_of(be)->loss_scale : 1;
}

static fv_status upload(fv_backend *be, fv_tensor *dst, fv_dtype type, const void *host)
{
    device *d = device_of(be);
    size_t count = fv_count(dst->shape);
    FV_TRY(check_type(dst, type));
    fv_format format = format_of(dst);
    float scale = scale_of(be, dst);
    if (type == FV_I32 || (type == FV_F32 && format == FV_FORMAT_F32 && scale == 1))
        return d->copy_in(dst->data, host, count * 4);
    /* converted a chunk at a time */
    const size_t CHUNK = 1 << 18;
    size_t room = count < CHUNK ? count : CHUNK;
    float *floats = static_cast<float *>(malloc(room * 8));
    if (!floats) return fv_fail(FV_ERR_MEMORY, "moving tensor %s: out of memory", dst->name);
    fv_status s = FV_OK;
    for (size_t at = 0; at < count && s >= 0; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        for (size_t i = 0; i < n; i++)
            floats[i] = scale * (type == FV_F64 ? (float)static_cast<const double *>(host)[at + i]
                                                : static_cast<const float *>(host)[at + i]);
        void *packed = floats + room;
        to_format(packed, format, floats, n);
        s = d->copy_in(static_cast<char *>(dst->data) + at * format_bytes(format), packed,
                       n * format_bytes(format));
    }
    free(floats);
    return s;
}

static fv_status download(fv_backend *be, const fv_tensor *src, fv_dtype type, void *host)
{
    device *d = device_of(be);
    size_t count = fv_count(src->shape);
    FV_TRY(check_type(src, type));
    fv_format format = format_of(src);
    float scale = 1 / scale_of(be, src);
    if (type == FV_I32 || (type == FV_F32 && format == FV_FORMAT_F32 && scale == 1))
        return d->copy_out(host, src->data, count * 4);
    void *raw = malloc(count * format_bytes(format));
    if (!raw) return fv_fail(FV_ERR_MEMORY, "moving tensor %s: out of memory", src->name);
    fv_status s = d->copy_out(raw, src->data, count * format_bytes(format));
    for (size_t i = 0; s >= 0 && i < count; i++) {
        float v = from_format(raw, format, i) * scale;
        if (type == FV_F64)
            static_cast<double *>(host)[i] = (double)v;
        else
            static_cast<float *>(host)[i] = v;
    }
    free(raw);
    return s;
}

/* Matrices (linear maps, 1x1 convolutions, embeddings) go to the working format; vectors and the
 * taps of larger convolutions stay in float. */
static fv_status freeze(fv_backend *be, fv_tensor *t)
{
    bool map = t->shape.n == 1 && t->shape.h == 1 && t->shape.w > 1;
    bool pointwise = t->shape.n > 1 && t->shape.h == 1 && t->shape.w == 1;
    device *d = device_of(be);
    return map || pointwise ? adopt(d, t, d->working) : FV_OK;
}

/* --- the backend's functions --- */

static fv_status alloc(fv_backend *be, size_t bytes, void **out)
{
    return device_of(be)->alloc(bytes, out);
}

static void free_memory(fv_backend *be, void *memory)
{
    device_of(be)->free(memory);
}

static fv_status sync(fv_backend *be)
{
    return device_of(be)->sync();
}

static void close_backend(fv_backend *be)
{
    device *d = device_of(be);
    d->free(d->adam_sums);
    delete d;
}

static void copy(fv_backend *be, fv_tensor *to, const fv_tensor *from)
{
    device_of(be)->copy(to->data, from->data, fv_count(to->shape) * format_bytes(format_of(to)));
}

static fv_status check_memory(fv_backend *be, size_t bytes)
{
    size_t free_bytes, total;
    FV_TRY(device_of(be)->room(&free_bytes, &total));
    if (bytes <= free_bytes) return FV_OK;
    return fv_fail(FV_ERR_MEMORY,
                   "backend %s: the plan needs %.0f MB, the GPU has %.0f of %.0f MB free: lower "
                   "--views%s, or use --backend cpu",
                   be->name, (double)bytes / 1e6, (double)free_bytes / 1e6, (double)total / 1e6,
                   device_of(be)->working == FV_FORMAT_F32 ? ", take 16 bits (--backend cuda:fp16)"
                                                           : "");
}

static size_t shown_bytes(const fv_tensor *t)
{
    return fv_count(t->shape) * sizeof(float);
}

static fv_status show(fv_backend *be, const fv_tensor *src)
{
    if (format_of(src) != FV_FORMAT_F32 || src->type != FV_REAL || src->role == FV_ROLE_GRADIENT)
        return fv_fail(FV_ERR_ARGUMENT, "showing %s: it is not kept in float", src->name);
    return device_of(be)->show(src->data, shown_bytes(src));
}

static fv_status shown(fv_backend *be, const fv_tensor *src, float *host)
{
    return device_of(be)->shown(host, shown_bytes(src));
}

static fv_status capture_begin(fv_backend *be)
{
    return device_of(be)->capture_begin();
}

static fv_status capture_end(fv_backend *be, void **graph)
{
    return device_of(be)->capture_end(graph);
}

static fv_status replay(fv_backend *be, void *graph)
{
    return device_of(be)->replay(graph);
}

static void free_graph(fv_backend *be, void *graph)
{
    device_of(be)->free_graph(graph);
}

static void mark(fv_backend *be, int event)
{
    device_of(be)->mark(event);
}

static double milliseconds(fv_backend *be, int from, int to)
{
    return device_of(be)->milliseconds(from, to);
}

#define ROW_BACKWARD(kind)                                                                         \
    {                                                                                              \
        nullptr, kind##_forward, kind##_backward, nullptr                                          \
    }
#define ROW_FORWARD_ONLY(kind)                                                                     \
    {                                                                                              \
        nullptr, kind##_forward, nullptr, nullptr                                                  \
    }
#define ROW(KIND, kind, backward, ...) rows[FV_OP_##KIND] = ROW_##backward(kind);

void fill_table(fv_kernel rows[FV_OP_COUNT])
{
    FV_OPS(ROW)
    rows[FV_OP_CONV2D].prepare = conv2d_prepare;
    rows[FV_OP_LINEAR].prepare = linear_prepare;
    rows[FV_OP_MUL_CHANNEL].prepare = positions_prepare;
    rows[FV_OP_SQUEEZE_EXCITE].prepare = squeeze_excite_prepare;
    rows[FV_OP_MEAN_HW].prepare = positions_prepare;
    rows[FV_OP_MAX_HW].prepare = positions_prepare;
    rows[FV_OP_MIX_ROWS].prepare = mix_rows_prepare;
    rows[FV_OP_GROUPNORM].prepare = groupnorm_prepare;
    rows[FV_OP_ATTENTION].prepare = attention_prepare;
    rows[FV_OP_EMBED].prepare = embed_prepare;
    rows[FV_OP_SEPARABLE].prepare = separable_prepare;
    rows[FV_OP_PENALTY].prepare = penalty_prepare;
    rows[FV_OP_GRAM].prepare = gram_prepare;
    rows[FV_OP_COSINE].prepare = cosine_prepare;
    rows[FV_OP_CONV2D].release = product_release;
    rows[FV_OP_LINEAR].release = product_release;
    rows[FV_OP_SQUEEZE_EXCITE].release = squeeze_excite_release;
    rows[FV_OP_MIX_ROWS].release = product_release;
}

static fv_status set_precision(device *d, const char *precision)
{
    if (strcmp(precision, "fp32") == 0 || strcmp(precision, "tf32") == 0) {
        d->working = FV_FORMAT_F32;
        d->tf32 = *precision == 't';
    } else if (strcmp(precision, "fp16") == 0) {
        d->working = FV_FORMAT_F16;
        d->loss_scale = fp16_loss_scale;
    } else if (strcmp(precision, "bf16") == 0) {
        d->working = FV_FORMAT_BF16;
    } else {
        return fv_fail(FV_ERR_ARGUMENT,
                       "backend cuda: precision '%.20s' is not known; known are fp16, bf16, tf32, "
                       "fp32",
                       precision);
    }
    return FV_OK;
}

fv_status wire(fv_backend *be, device *d, const char *precision)
{
    be->impl = d;
    be->real_bytes = sizeof(float);
    be->threads = 1;
    be->fuses_ops = true;
    be->alloc = alloc;
    be->free = free_memory;
    be->upload = upload;
    be->download = download;
    be->adam = adam;
    be->sync = sync;
    be->format = choose_format;
    be->freeze = freeze;
    be->check_memory = check_memory;
    be->copy = copy;
    be->capture_begin = capture_begin;
    be->capture_end = capture_end;
    be->replay = replay;
    be->free_graph = free_graph;
    be->show = show;
    be->shown = shown;
    be->mark = mark;
    be->milliseconds = milliseconds;
    fill_table(be->kernels);
    fv_status s = set_precision(d, precision);
    void *sums = nullptr;
    if (s >= 0) s = d->alloc(adam_sums_bytes(), &sums);
    d->adam_sums = static_cast<float *>(sums);
    if (s >= 0)
        be->close = close_backend;
    else
        delete d;
    return s;
}

} // namespace FV_SPACE
