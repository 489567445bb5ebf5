/* conv2d with 3x3 taps, stride 2, over three channels: the first convolution of every network here,
 * on its largest map. Patches are 27 numbers; a row of output positions is gathered, or scattered,
 * while it lies in L1 and L2, instead of being written to memory and read back.
 *
 * A patch is three runs of nine numbers, one of each row of the picture. Those of neighbours
 * overlap by one pixel of three: of x[2j], which is the first of patch j and the last of patch j
 * - 1. */
#include "kernels/cpu/activation.h"
#include "kernels/cpu/gemm.h"

enum { TAPS = 3, CHANNELS = 3, RUN = TAPS * CHANNELS, PATCH = TAPS * RUN, STEP = 2 * CHANNELS };
enum { PADDED = (PATCH + LANES - 1) / LANES * LANES, ROWS = 12 /* of dx in a task */ };

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef float v8_unaligned __attribute__((vector_size(32), aligned(4), may_alias));

/* Eight numbers anywhere, as a value to read or to write. (Functions would pass them in registers
 * that the lowest level has not.) */
#define EIGHT(p) (*(v8_unaligned *)(uintptr_t)(p))

bool ISA(is_stem)(const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    return a->k == TAPS && a->stride == 2 && op->x->shape.c == CHANNELS && a->pad_left >= 0;
}

/* A dx row with room for all patches, then patches of the outputs that ROWS rows of dx need, then
 * one row of the gradient. */
static size_t line_of(const fv_op *op)
{
    return ((size_t)op->y->shape.w * STEP + RUN + LANES - 1) / LANES * LANES;
}

static size_t patches_of(const fv_op *op)
{
    return (size_t)op->y->shape.w * PADDED;
}

static size_t room_of(const fv_op *op)
{
    size_t gradient = (size_t)op->y->shape.w * (size_t)op->y->shape.c;
    return line_of(op) + (ROWS / 2 + 1) * patches_of(op) + (gradient + LANES - 1) / LANES * LANES;
}

size_t ISA(stem_scratch)(const fv_backend *be, const fv_op *op)
{
    return (size_t)be->threads * room_of(op);
}

static float *room(const fv_op *op)
{
    return (float *)op->scratch + (size_t)fv_thread() * room_of(op);
}

typedef struct stem {
    const fv_op *op;
    const float *packed;
} stem;

/* --- forward --- */

/* Patches of one row of outputs, PADDED numbers apart. */
static void gather(const fv_op *op, int n, int row, float *out)
{
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t line = (size_t)xs.w * CHANNELS;
    const float *x = (const float *)op->x->data + (size_t)n * (size_t)xs.h * line;
    for (int u = 0; u < TAPS; u++) {
        int r = row * 2 + u - a->pad_top;
        bool inside = r >= 0 && r < xs.h;
        float *to = out + u * RUN;
        for (int j = 0; j < ys.w; j++, to += PADDED) {
            int q = j * 2 - a->pad_left;
            const float *from = x + (inside ? (ptrdiff_t)r : 0) * (ptrdiff_t)line + q * CHANNELS;
            if (inside && q >= 0 && q + TAPS <= xs.w) {
                EIGHT(to) = EIGHT(from);
                to[RUN - 1] = from[RUN - 1];
                continue;
            }
            for (int k = 0; k < RUN; k++) {
                int at = q + k / CHANNELS;
                to[k] = inside && at >= 0 && at < xs.w ? from[k] : 0;
            }
        }
    }
}

static void forward_task(void *context, int i)
{
    const stem *s = context;
    const fv_op *op = s->op;
    fv_shape ys = op->y->shape;
    size_t at = (size_t)i * (size_t)ys.w * (size_t)ys.c;
    float *patches = room(op);
    gather(op, i / ys.h, i % ys.h, patches);
    fv_product p = {.m = (size_t)ys.w,
                    .n = (size_t)ys.c,
                    .k = PATCH,
                    .a = patches,
                    .lda = PADDED,
                    .b = s->packed,
                    .c = (float *)op->y->data + at,
                    .act = op->act,
                    .bias = op->b ? op->b->data : NULL,
                    .aux = op->aux ? (float *)op->aux->data + at : NULL};
    ISA(product_alone)(&p);
}

void ISA(stem_forward)(fv_backend *be, const fv_op *op, const float *packed)
{
    stem s = {op, packed};
    fv_parallel(be, op->y->shape.n * op->y->shape.h, forward_task, &s);
}

/* --- backward --- */

/* Gradients of the patches of output row `row`. */
static void back_patches(const stem *s, int n, int row, float *gradient, float *patches)
{
    const fv_op *op = s->op;
    fv_shape ys = op->y->shape;
    size_t count = (size_t)ys.w * (size_t)ys.c, at = (size_t)(n * ys.h + row) * count;
    const float *dy = (const float *)op->dy->data + at;
    if (op->act != FV_ACT_NONE) {
        const float *kept = (const float *)fv_slope_from(op)->data + at;
        ISA(slope)(op->act, gradient, dy, kept, count);
        dy = gradient;
    }
    fv_product p = {.m = (size_t)ys.w,
                    .n = PADDED,
                    .k = (size_t)ys.c,
                    .a = dy,
                    .lda = (size_t)ys.c,
                    .b = s->packed,
                    .chunk = FV_ROOM_CHUNK,
                    .c = patches};
    ISA(product_alone)(&p);
}

/* sum += what x[2j] and x[2j + 1] get from patches j - 1 and j, whose runs lie PADDED apart. */
INLINE void add_shares(v8 *sum, const float *runs, int j)
{
    const v8i pixel = {-1, -1, -1, 0, 0, 0, 0, 0};
    const float *run = runs + (ptrdiff_t)j * PADDED;
    *sum += (v8)(pixel & (v8i)EIGHT(run - PADDED + STEP));
    *sum += EIGHT(run);
}

/* One row of dx from the one or two rows of patches that have seen it, summed in the order in which
 * they lie: two pixels for every j. What is stored beyond them is overwritten by the next. */
static void add_runs(const float *const *runs, int count, int width, float *line)
{
    for (int k = 0; k < STEP; k++) {
        line[k] = 0;
        for (int u = 0; u < count; u++) line[k] += runs[u][k];
    }
    for (int j = 1; j < width; j++) {
        v8 sum = {0};
        add_shares(&sum, runs[0], j);
        if (count > 1) add_shares(&sum, runs[1], j);
        EIGHT(line + j * STEP) = sum;
    }
    for (int k = 0; k < CHANNELS; k++) {
        float *end = line + width * STEP + k;
        *end = 0;
        for (int u = 0; u < count; u++) *end += runs[u][(ptrdiff_t)(width - 1) * PADDED + STEP + k];
    }
}

static void put_line(const fv_op *op, const float *line, bool seen, float *dx)
{
    size_t first = (size_t)op->attr.conv.pad_left * CHANNELS;
    size_t width = (size_t)op->x->shape.w * CHANNELS;
    size_t length = seen ? (size_t)op->y->shape.w * STEP + CHANNELS - first : 0;
    if (length > width) length = width;
    if (op->add_dx) {
        for (size_t k = 0; k < length; k++) dx[k] += line[first + k];
        return;
    }
    memcpy(dx, line + first, length * sizeof *dx);
    memset(dx + length, 0, (width - length) * sizeof *dx);
}

static void backward_task(void *context, int i)
{
    const stem *s = context;
    const fv_op *op = s->op;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int parts = (xs.h + ROWS - 1) / ROWS, n = i / parts, top = op->attr.conv.pad_top;
    int begin = i % parts * ROWS, end = begin + ROWS < xs.h ? begin + ROWS : xs.h;
    float *line = room(op), *patches = line + line_of(op);
    float *gradient = patches + (ROWS / 2 + 1) * patches_of(op);
    int first = (begin + top - 1) / 2, last = (end - 1 + top) / 2; /* outputs that see these rows */
    if (last >= ys.h) last = ys.h - 1;
    for (int row = first; row <= last; row++)
        back_patches(s, n, row, gradient, patches + (size_t)(row - first) * patches_of(op));
    for (int r = begin; r < end; r++) {
        const float *runs[TAPS];
        int count = 0;
        for (int u = 0; u < TAPS; u++) {
            int at = r + top - u;
            if (at < 0 || at % 2 || at / 2 >= ys.h) continue;
            runs[count++] = patches + (size_t)(at / 2 - first) * patches_of(op) + u * RUN;
        }
        if (count) add_runs(runs, count, ys.w, line);
        size_t row = (size_t)(n * xs.h + r) * (size_t)xs.w * CHANNELS;
        put_line(op, line, count > 0, (float *)op->dx->data + row);
    }
}

void ISA(stem_backward)(fv_backend *be, const fv_op *op, const float *packed)
{
    stem s = {op, packed};
    fv_parallel(be, op->x->shape.n * ((op->x->shape.h + ROWS - 1) / ROWS), backward_task, &s);
}
