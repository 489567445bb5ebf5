/* dwconv2d: a task is one row of positions; channels are the vectors. Backward is written as a
 * gather, so that tasks never write the same number. */
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { CHANNELS = 32 }; /* of one block of sums, kept in registers */

/* One tap of a position: which row of numbers, and which weights. */
typedef struct tap {
    const float *from, *w;
} tap;

/* to[c] = (add ? to[c] : 0) + sum over taps of from[c] * w[c] */
FV_VECTOR static void sum_taps(float *to, const tap *taps, int count, size_t channels, bool add)
{
    size_t c = 0;
    for (; c + CHANNELS <= channels; c += CHANNELS) {
        float sum[CHANNELS];
        for (int k = 0; k < CHANNELS; k++) sum[k] = add ? to[c + (size_t)k] : 0;
        for (int t = 0; t < count; t++) {
            const float *from = taps[t].from + c, *w = taps[t].w + c;
            for (int k = 0; k < CHANNELS; k++) sum[k] += from[k] * w[k];
        }
        for (int k = 0; k < CHANNELS; k++) to[c + (size_t)k] = sum[k];
    }
    for (; c < channels; c++) {
        float sum = add ? to[c] : 0;
        for (int t = 0; t < count; t++) sum += taps[t].from[c] * taps[t].w[c];
        to[c] = sum;
    }
}

enum { MOST_TAPS = 15 * 15 };

static void forward_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, line = (size_t)ys.w * c;
    int n = i / ys.h, row = i % ys.h;
    const float *x = (const float *)op->x->data + (size_t)n * (size_t)xs.h * (size_t)xs.w * c;
    const float *w = op->w->data;
    float *y = (float *)op->y->data + (size_t)i * line;
    for (int j = 0; j < ys.w; j++) {
        tap taps[MOST_TAPS];
        int count = 0;
        for (int u = 0; u < a->k; u++) {
            int r = row * a->stride + u - a->pad_top;
            if (r < 0 || r >= xs.h) continue;
            for (int v = 0; v < a->k; v++) {
                int q = j * a->stride + v - a->pad_left;
                if (q < 0 || q >= xs.w) continue;
                taps[count++] = (tap){x + ((size_t)r * (size_t)xs.w + (size_t)q) * c,
                                      w + (size_t)(u * a->k + v) * c};
            }
        }
        sum_taps(y + (size_t)j * c, taps, count, c, false);
    }
    fv_cpu_activate(op->act, y, op->aux ? (float *)op->aux->data + (size_t)i * line : NULL,
                    op->b ? op->b->data : NULL, c, line);
}

/* dx[r,q] = sum over taps (u, v) of dy[(r + top - u) / s, (q + left - v) / s] * w[u,v], where the
 * divisions leave nothing over */
static void backward_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c;
    int n = i / xs.h, r = i % xs.h;
    const float *dy = (const float *)op->dy->data + (size_t)n * (size_t)ys.h * (size_t)ys.w * c;
    const float *w = op->w->data;
    float *dx = (float *)op->dx->data + (size_t)i * (size_t)xs.w * c;
    for (int q = 0; q < xs.w; q++) {
        tap taps[MOST_TAPS];
        int count = 0;
        for (int u = 0; u < a->k; u++) {
            int row = r + a->pad_top - u;
            if (row < 0 || row % a->stride || row / a->stride >= ys.h) continue;
            for (int v = 0; v < a->k; v++) {
                int column = q + a->pad_left - v;
                if (column < 0 || column % a->stride || column / a->stride >= ys.w) continue;
                size_t at = (size_t)(row / a->stride) * (size_t)ys.w + (size_t)(column / a->stride);
                taps[count++] = (tap){dy + at * c, w + (size_t)(u * a->k + v) * c};
            }
        }
        sum_taps(dx + (size_t)q * c, taps, count, c, op->add_dx);
    }
}

void fv_cpu_dwconv2d_forward(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->y->shape.n * op->y->shape.h, forward_task, (void *)(uintptr_t)op);
}

void fv_cpu_dwconv2d_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_cpu_undo_activation(be, op);
    fv_parallel(be, op->x->shape.n * op->x->shape.h, backward_task, (void *)(uintptr_t)op);
}
