/* warp and perturb. Formulas: kernels/op.h. A warp's backward scatters, so every view writes into
 * a picture of its own, and these are summed in the order of the views. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/level.h"
#include "kernels/rng.h"

/* Position mirrored into 0 .. size-1 about the centres of the edge pixels. */
static inline int mirrored(int at, int size)
{
    if (at >= 0 && at < size) return at;
    if (size == 1) return 0;
    int period = 2 * (size - 1);
    at %= period;
    if (at < 0) at += period;
    return at < size ? at : period - at;
}

typedef struct corners {
    size_t at[4];
    float weight[4];
} corners;

static inline corners corners_of(const float *m, int i, int j, fv_shape s)
{
    double px = (double)m[0] * j + (double)m[1] * i + (double)m[2];
    double py = (double)m[3] * j + (double)m[4] * i + (double)m[5];
    double fx = floor(px), fy = floor(py);
    float u = (float)(px - fx), v = (float)(py - fy);
    int x0 = mirrored((int)fx, s.w), x1 = mirrored((int)fx + 1, s.w);
    int y0 = mirrored((int)fy, s.h), y1 = mirrored((int)fy + 1, s.h);
    size_t w = (size_t)s.w, c = (size_t)s.c;
    return (corners){{((size_t)y0 * w + (size_t)x0) * c, ((size_t)y0 * w + (size_t)x1) * c,
                      ((size_t)y1 * w + (size_t)x0) * c, ((size_t)y1 * w + (size_t)x1) * c},
                     {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u}};
}

static void *op_context(const fv_op *op)
{
    return (void *)(uintptr_t)op;
}

/* One line of one view. */
static void warp_task(void *context, int task)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int n = task / ys.h, i = task % ys.h;
    size_t c = (size_t)xs.c;
    const float *m = (const float *)op->w->data + 6 * n;
    const float *x =
        (const float *)op->x->data + (xs.n == 1 ? 0 : (size_t)n * (size_t)xs.h * (size_t)xs.w * c);
    float *y = (float *)op->y->data + (size_t)task * (size_t)ys.w * c;
    for (int j = 0; j < ys.w; j++, y += c) {
        corners from = corners_of(m, i, j, xs);
        for (size_t k = 0; k < c; k++)
            y[k] = from.weight[0] * x[from.at[0] + k] + from.weight[1] * x[from.at[1] + k] +
                   from.weight[2] * x[from.at[2] + k] + from.weight[3] * x[from.at[3] + k];
    }
}

void ISA(warp_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->y->shape.n * op->y->shape.h, warp_task, op_context(op));
}

fv_status ISA(warp_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    fv_shape x = op->x->shape;
    op->scratch_bytes =
        (size_t)op->y->shape.n * (size_t)x.h * (size_t)x.w * (size_t)x.c * sizeof(float);
    return FV_OK;
}

/* One view into its own picture in scratch. */
static void warp_back_task(void *context, int n)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, count = (size_t)xs.h * (size_t)xs.w * c;
    const float *m = (const float *)op->w->data + 6 * n;
    const float *dy = (const float *)op->dy->data + (size_t)n * (size_t)ys.h * (size_t)ys.w * c;
    float *dx = (float *)op->scratch + (size_t)n * count;
    memset(dx, 0, count * sizeof *dx);
    for (int i = 0; i < ys.h; i++)
        for (int j = 0; j < ys.w; j++, dy += c) {
            corners to = corners_of(m, i, j, xs);
            for (int q = 0; q < 4; q++)
                for (size_t k = 0; k < c; k++) dx[to.at[q] + k] += to.weight[q] * dy[k];
        }
}

/* One line of dx: the views' lines summed. */
static void gather_task(void *context, int task)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape;
    size_t line = (size_t)xs.w * (size_t)xs.c, count = (size_t)xs.h * line;
    float *dx = (float *)op->dx->data + (size_t)task * line;
    bool shared = xs.n == 1;
    const float *views = (const float *)op->scratch + (size_t)task * line;
    if (!op->add_dx) memset(dx, 0, line * sizeof *dx);
    for (int n = 0; n < (shared ? op->y->shape.n : 1); n++, views += count)
        for (size_t i = 0; i < line; i++) dx[i] += views[i];
}

void ISA(warp_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_parallel(be, op->y->shape.n, warp_back_task, op_context(op));
    fv_parallel(be, op->x->shape.n * op->x->shape.h, gather_task, op_context(op));
}

/* --- perturb --- */

enum { PAIRS = 2048 }; /* of elements a task */

static size_t view_size(const fv_op *op)
{
    return (size_t)op->x->shape.h * (size_t)op->x->shape.w * (size_t)op->x->shape.c;
}

static int tasks_a_view(const fv_op *op)
{
    return (int)((view_size(op) + 2 * PAIRS - 1) / (2 * PAIRS));
}

static void perturb_task(void *context, int task)
{
    const fv_op *op = context;
    int each = tasks_a_view(op), n = task / each;
    size_t size = view_size(op), begin = (size_t)(task % each) * 2 * PAIRS;
    size_t end = begin + 2 * PAIRS < size ? begin + 2 * PAIRS : size;
    const float *w = (const float *)op->w->data + FV_PERTURB_COLUMNS * n;
    const int32_t *key = (const int32_t *)op->b->data + FV_PERTURB_KEYS * n;
    const float *x = (const float *)op->x->data + (size_t)n * size;
    float *y = (float *)op->y->data + (size_t)n * size, sigma = w[FV_PERTURB_SIGMA];
    uint64_t seed = (uint32_t)key[FV_PERTURB_SEED_LO] | (uint64_t)(uint32_t)key[FV_PERTURB_SEED_HI]
                                                            << 32;
    for (size_t e = begin; e < end; e += 2) {
        fv_random4 r = {{0}};
        if (sigma != 0)
            r = fv_philox(seed, (uint32_t)(e / 2), (uint32_t)key[FV_PERTURB_STEP],
                          (uint32_t)key[FV_PERTURB_VIEW], FV_STREAM_NOISE);
        for (size_t k = 0; k < 2 && e + k < end; k++) {
            float noise = sigma != 0 ? fv_normal(r.v[2 * k], r.v[2 * k + 1]) : 0;
            size_t c = (e + k) % 3;
            y[e + k] = x[e + k] * w[FV_PERTURB_GAIN + c] + w[FV_PERTURB_SHIFT + c] + sigma * noise;
        }
    }
}

void ISA(perturb_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * tasks_a_view(op), perturb_task, op_context(op));
}

static void perturb_back_task(void *context, int task)
{
    const fv_op *op = context;
    int each = tasks_a_view(op), n = task / each;
    size_t size = view_size(op), begin = (size_t)(task % each) * 2 * PAIRS;
    size_t end = begin + 2 * PAIRS < size ? begin + 2 * PAIRS : size;
    const float *w = (const float *)op->w->data + FV_PERTURB_COLUMNS * n;
    const float *dy = (const float *)op->dy->data + (size_t)n * size;
    float *dx = (float *)op->dx->data + (size_t)n * size;
    for (size_t e = begin; e < end; e++)
        dx[e] = dy[e] * w[FV_PERTURB_GAIN + e % 3] + (op->add_dx ? dx[e] : 0);
}

void ISA(perturb_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        fv_parallel(be, op->x->shape.n * tasks_a_view(op), perturb_back_task, op_context(op));
}
