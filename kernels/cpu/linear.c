/* linear and conv2d. A 1x1 convolution is linear over positions; 3x3 ones of large maps go by
 * winograd.c, others by patches.
 *
 * Forward turns w [out, in] round: convolutions have that done once, when a plan is prepared
 * (op->state: the packed copy). A linear op over few rows, or with a matrix that its owner may
 * change between steps, uses w as it is: it is read once and not worth a second copy (BriVL's four
 * layers over 37 tokens hold 450 MB). Backward has a packed copy too where that is small; of other
 * weights it packs panels on the way, as a copy would be another 100 MB. */
#include "kernels/cpu/gemm.h"

static size_t outputs(const fv_op *op)
{
    return (size_t)op->y->shape.c;
}

static size_t inputs(const fv_op *op)
{
    return fv_count(op->w->shape) / outputs(op);
}

void ISA(packed_release)(fv_backend *be, fv_op *op)
{
    be->free(be, op->state);
    op->state = NULL;
}

enum {
    MIN_ROWS = 4,
    FEW_ROWS = 1024,
    SMALL = 1 << 18,
    TURNED_ROWS = 48,
    TURNED_WEIGHTS = 1 << 19,
    MANY_ROWS = 512,
    MANY_WEIGHTS = 3 << 15
};

static bool in_place(const fv_op *op)
{
    return op->w->role != FV_ROLE_WEIGHT ||
           (op->kind == FV_OP_LINEAR && fv_rows(op->y->shape) <= FEW_ROWS);
}

/* Forward by few_rows_product: enough rows to fill vectors that are short. */
static bool few_rows(const fv_op *op)
{
    size_t rows = fv_rows(op->y->shape);
    return op->kind == FV_OP_LINEAR && in_place(op) && LANES < 16 && rows > MIN_ROWS &&
           rows <= FEW_ROWS;
}

/* Enough rows to pay for packing on the way. */
static bool many_rows(const fv_op *op)
{
    return fv_rows(op->y->shape) >= MANY_ROWS && outputs(op) * inputs(op) >= MANY_WEIGHTS;
}

static bool is_small(const fv_op *op)
{
    return outputs(op) * inputs(op) <= SMALL && !many_rows(op);
}

/* Forward by panels of weights that are turned round on the way: large ones, of a linear op if a
 * picture has enough rows to pay for it. BriVL's 37 have not, and keep their order of sums. */
static bool is_turned(const fv_op *op)
{
    bool large = outputs(op) * inputs(op) >= TURNED_WEIGHTS;
    if (LANES < 16) return false;
    if (!in_place(op)) return large || many_rows(op);
    return op->kind == FV_OP_LINEAR && large && op->y->shape.h * op->y->shape.w >= TURNED_ROWS;
}

/* Floats of the packed copies. */
static size_t packed_forward(const fv_op *op)
{
    return in_place(op) || is_turned(op) ? 0 : ISA(packed_count)(outputs(op), inputs(op));
}

static size_t packed_backward(const fv_op *op)
{
    bool packed = !in_place(op) && op->dx && is_small(op);
    return packed ? ISA(packed_count)(inputs(op), outputs(op)) : 0;
}

fv_status ISA(linear_prepare)(fv_backend *be, fv_op *op)
{
    size_t turned = few_rows(op) ? ISA(few_rows_scratch)(fv_rows(op->y->shape), inputs(op)) : 0;
    size_t rooms = packed_backward(op) ? 0 : (size_t)be->threads * FV_ROOM_FLOATS;
    op->scratch_bytes += (turned > rooms ? turned : rooms) * sizeof(float);
    if (packed_forward(op) == 0) return FV_OK;
    size_t out = outputs(op), in = inputs(op), forward = packed_forward(op);
    size_t bytes = (forward + packed_backward(op)) * sizeof(float);
    FV_TRY(be->alloc(be, bytes, &op->state));
    ISA(pack)(be, op->state, op->w->data, 1, in, out, in);
    if (packed_backward(op))
        ISA(pack)(be, (float *)op->state + forward, op->w->data, in, 1, in, out);
    return FV_OK;
}

/* y = act(a . w^T + b) + x2, a [rows of y, in]; room: scratch */
static void apply(fv_backend *be, const fv_op *op, const float *a, float *room)
{
    fv_product p = {.m = fv_rows(op->y->shape),
                    .n = outputs(op),
                    .k = inputs(op),
                    .a = a,
                    .lda = inputs(op),
                    .b = op->state ? op->state : op->w->data,
                    .c = op->y->data,
                    .act = op->act,
                    .bias = op->b ? op->b->data : NULL,
                    .aux = op->aux ? op->aux->data : NULL};
    if (op->state) {
        p.plus = op->x2 ? op->x2->data : NULL;
        ISA(product)(be, &p);
        return;
    }
    if (is_turned(op)) {
        p.ldb = inputs(op);
        p.turned = true;
        p.rooms = room;
        p.chunk = FV_TURN_CHUNK;
        p.plus = op->x2 ? op->x2->data : NULL;
        ISA(product)(be, &p);
        return;
    }
    if (few_rows(op)) {
        p.rooms = room;
        ISA(few_rows_product)(be, &p);
    } else {
        ISA(dot_product)(be, &p);
    }
    if (op->x2) ISA(put)(be, op->y->data, op->x2->data, fv_count(op->y->shape), true);
}

/* Of a residual; dy is whole, as there is no activation. */
static void residual_back(fv_backend *be, const fv_op *op)
{
    if (op->dx2) ISA(put)(be, op->dx2->data, op->dy->data, fv_count(op->y->shape), op->add_dx2);
}

/* da = dy . w, the activation undone first */
static void apply_back(fv_backend *be, const fv_op *op, float *da, bool add, float *rooms)
{
    bool packed = packed_backward(op) > 0;
    fv_product p = {.m = fv_rows(op->y->shape),
                    .n = inputs(op),
                    .k = outputs(op),
                    .a = op->dy->data,
                    .lda = outputs(op),
                    .b = packed ? (const float *)op->state + packed_forward(op) : op->w->data,
                    .ldb = packed ? 0 : inputs(op),
                    .rooms = rooms,
                    .chunk = FV_ROOM_CHUNK,
                    .undo = op->act == FV_ACT_NONE ? NULL : op->dy->data,
                    .kept = fv_slope_from(op)->data,
                    .undo_act = op->act,
                    .c = da,
                    .add = add};
    ISA(product)(be, &p);
}

void ISA(linear_forward)(fv_backend *be, const fv_op *op)
{
    apply(be, op, op->x->data, op->scratch);
}

void ISA(linear_backward)(fv_backend *be, const fv_op *op)
{
    residual_back(be, op);
    if (op->dx) apply_back(be, op, op->dx->data, op->add_dx, op->scratch);
}

/* --- conv2d --- */

/* Packed both ways, as stem.c takes it. */
static bool is_stem(const fv_op *op)
{
    return ISA(is_stem)(op) && !in_place(op) && is_small(op) && !op->x2;
}

static bool is_pointwise(const fv_op *op)
{
    return op->attr.conv.k == 1 && fv_rows(op->x->shape) == fv_rows(op->y->shape);
}

fv_status ISA(conv2d_prepare)(fv_backend *be, fv_op *op)
{
    if (ISA(is_winograd)(op)) {
        op->scratch_bytes = ISA(winograd_scratch)(be, op) * sizeof(float);
        return FV_OK;
    }
    if (is_stem(op))
        op->scratch_bytes = ISA(stem_scratch)(be, op) * sizeof(float);
    else if (!is_pointwise(op))
        op->scratch_bytes = fv_rows(op->y->shape) * inputs(op) * sizeof(float);
    return ISA(linear_prepare)(be, op);
}

/* One row of output positions: their patches, k*k*c numbers each, zero outside the picture. */
static void gather_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, patch = inputs(op);
    int n = i / ys.h, row = i % ys.h;
    const float *x = (const float *)op->x->data + (size_t)n * (size_t)xs.h * (size_t)xs.w * c;
    float *out = (float *)op->scratch + (size_t)i * (size_t)ys.w * patch;
    size_t run = (size_t)a->k * c;
    for (int j = 0; j < ys.w; j++)
        for (int u = 0; u < a->k; u++, out += run) {
            int r = row * a->stride + u - a->pad_top, q = j * a->stride - a->pad_left;
            bool inside = r >= 0 && r < xs.h;
            const float *from = x + ((ptrdiff_t)r * xs.w + q) * (ptrdiff_t)c;
            if (inside && q >= 0 && q + a->k <= xs.w) {
                for (size_t k = 0; k < run; k += LANES) {
                    size_t some = run - k < LANES ? run - k : LANES;
                    v_store_part(out + k, v_load_part(from + k, some), some);
                }
                continue;
            }
            for (int v = 0; v < a->k; v++)
                for (size_t k = 0; k < c; k++)
                    out[(size_t)v * c + k] =
                        inside && q + v >= 0 && q + v < xs.w ? from[(size_t)v * c + k] : 0;
        }
}

/* One row of dx: every patch that has seen it gives back its share. */
static void scatter_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, patch = inputs(op);
    int n = i / xs.h, r = i % xs.h;
    const float *patches =
        (const float *)op->scratch + (size_t)n * (size_t)ys.h * (size_t)ys.w * patch;
    float *dx = (float *)op->dx->data + (size_t)i * (size_t)xs.w * c;
    if (!op->add_dx) memset(dx, 0, (size_t)xs.w * c * sizeof *dx);
    for (int u = 0; u < a->k; u++) {
        int at = r + a->pad_top - u;
        if (at < 0 || at % a->stride || at / a->stride >= ys.h) continue;
        const float *line = patches + (size_t)(at / a->stride) * (size_t)ys.w * patch;
        for (int j = 0; j < ys.w; j++) {
            int q = j * a->stride - a->pad_left;
            const float *from = line + (size_t)j * patch + (size_t)(u * a->k) * c;
            if (q >= 0 && q + a->k <= xs.w) {
                float *to = dx + (size_t)q * c;
                for (size_t k = 0, run = (size_t)a->k * c; k < run; k += LANES) {
                    size_t some = run - k < LANES ? run - k : LANES;
                    v_store_part(to + k, v_load_part(to + k, some) + v_load_part(from + k, some),
                                 some);
                }
                continue;
            }
            for (int v = 0; v < a->k; v++, from += c)
                for (size_t k = 0; q + v >= 0 && q + v < xs.w && k < c; k++)
                    dx[(size_t)(q + v) * c + k] += from[k];
        }
    }
}

void ISA(conv2d_forward)(fv_backend *be, const fv_op *op)
{
    if (is_pointwise(op)) {
        apply(be, op, op->x->data, op->scratch);
        return;
    }
    if (is_stem(op)) {
        ISA(stem_forward)(be, op, op->state);
        return;
    }
    if (ISA(is_winograd)(op)) {
        ISA(winograd_forward)(be, op);
        return;
    }
    fv_parallel(be, op->y->shape.n * op->y->shape.h, gather_task, (void *)(uintptr_t)op);
    apply(be, op, op->scratch, (float *)op->scratch + fv_rows(op->y->shape) * inputs(op));
}

void ISA(conv2d_backward)(fv_backend *be, const fv_op *op)
{
    residual_back(be, op);
    if (!op->dx) return;
    if (is_pointwise(op)) {
        apply_back(be, op, op->dx->data, op->add_dx, op->scratch);
        return;
    }
    if (is_stem(op)) {
        ISA(stem_backward)(be, op, (float *)op->state + packed_forward(op));
        return;
    }
    if (ISA(is_winograd)(op)) {
        ISA(winograd_backward)(be, op);
        return;
    }
    apply_back(be, op, op->scratch, false,
               (float *)op->scratch + fv_rows(op->y->shape) * inputs(op));
    fv_parallel(be, op->x->shape.n * op->x->shape.h, scatter_task, (void *)(uintptr_t)op);
}
