/* conv2d and dwconv2d in NHWC. See op.h for the formulas. */
#include "kernels/ref/table.h"

/* Source row or column of output position o and tap t; -1 in the padding. */
static int source(int o, int t, int stride, int before, int size)
{
    int at = o * stride + t - before;
    return at >= 0 && at < size ? at : -1;
}

/* Output row or column that meets position r with tap t; -1: none. */
static int target(int r, int t, int stride, int before, int size)
{
    int at = r + before - t;
    return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
}

/* y[n,i,j,o] = act(b[o] + sum over taps and c of x[n, i*s+u-top, j*s+v-left, c] * w[o,u,v,c]) */
void REF(conv2d_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    const real *x = op->x->data, *w = op->w->data, *b = op->b ? op->b->data : NULL;
    real *y = op->y->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int o = 0; o < ys.c; o++) {
                    double sum = b ? b[o] : 0;
                    for (int u = 0; u < a->k; u++)
                        for (int v = 0; v < a->k; v++) {
                            int r = source(i, u, a->stride, a->pad_top, xs.h);
                            int c = source(j, v, a->stride, a->pad_left, xs.w);
                            if (r < 0 || c < 0) continue;
                            const real *from = x + (((size_t)n * xs.h + r) * xs.w + c) * xs.c;
                            const real *tap = w + (((size_t)o * a->k + u) * a->k + v) * xs.c;
                            for (int k = 0; k < xs.c; k++) sum += (double)from[k] * tap[k];
                        }
                    *y++ = (real)sum;
                }
    finish_activation(op);
}

static void clear_dx(const fv_op *op)
{
    real *dx = op->dx ? op->dx->data : NULL;
    if (dx && !op->add_dx)
        for (size_t i = 0, n = fv_count(op->dx->shape); i < n; i++) dx[i] = 0;
}

/* dx[n, i*s+u-top, j*s+v-left, c] += dy[n,i,j,o] * w[o,u,v,c] */
void REF(conv2d_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    undo_activation(op);
    clear_dx(op);
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    const real *dy = op->dy->data, *w = op->w->data;
    real *dx = op->dx ? op->dx->data : NULL;
    for (int n = 0; dx && n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int o = 0; o < ys.c; o++, dy++)
                    for (int u = 0; u < a->k; u++)
                        for (int v = 0; v < a->k; v++) {
                            int r = source(i, u, a->stride, a->pad_top, xs.h);
                            int c = source(j, v, a->stride, a->pad_left, xs.w);
                            if (r < 0 || c < 0) continue;
                            real *to = dx + (((size_t)n * xs.h + r) * xs.w + c) * xs.c;
                            const real *tap = w + (((size_t)o * a->k + u) * a->k + v) * xs.c;
                            for (int k = 0; k < xs.c; k++) to[k] += *dy * tap[k];
                        }
    pass_on(op);
}

/* mean_y[n,c] = 1/P sum over p of y[n,p,c] */
static void mean_of_outputs(const fv_op *op)
{
    fv_shape s = op->y->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *from = op->y->data ? op->y->data : op->aux->data;
    fv_act act = op->y->data ? FV_ACT_NONE : op->act;
    real *mean = op->fused.mean_y->data;
    for (int n = 0; n < s.n; n++, from += positions * channels)
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t p = 0; p < positions; p++)
                sum += (double)activate(act, from[p * channels + c]);
            *mean++ = (real)(sum / (double)positions);
        }
}

/* y[n,i,j,c] = act(b[c] + sum over taps of before(x[n, i*s+u-top, j*s+v-left, c]) * w[u,v,c]) */
void REF(dwconv2d_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    const real *x = op->x->data, *w = op->w->data, *b = op->b ? op->b->data : NULL;
    real *y = op->y->data ? op->y->data : op->aux->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int k = 0; k < ys.c; k++) {
                    double sum = b ? b[k] : 0;
                    for (int u = 0; u < a->k; u++)
                        for (int v = 0; v < a->k; v++) {
                            int r = source(i, u, a->stride, a->pad_top, xs.h);
                            int c = source(j, v, a->stride, a->pad_left, xs.w);
                            if (r < 0 || c < 0) continue;
                            real from = x[(((size_t)n * xs.h + r) * xs.w + c) * xs.c + k];
                            sum += (double)activate(op->before, from) *
                                   w[((size_t)u * a->k + v) * xs.c + k];
                        }
                    *y++ = (real)sum;
                }
    if (op->y->data) finish_activation(op);
    if (op->fused.mean_y) mean_of_outputs(op);
}

/* dy[n,i,j,c] = dy[n,i,j,c] * gate[n,c] + mean[n,c] / (h w) */
static void gate_gradient(const fv_op *op)
{
    fv_shape s = op->y->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *gate = op->fused.dy_gate->data, *mean = op->fused.dy_mean->data;
    real *dy = op->dy->data;
    for (int n = 0; n < s.n; n++, gate += channels, mean += channels)
        for (size_t p = 0; p < positions; p++, dy += channels)
            for (size_t c = 0; c < channels; c++)
                dy[c] = (real)((double)dy[c] * gate[c] + (double)mean[c] / (double)positions);
}

/* dx[n,r,q,c] = sum over taps of dy[n,i,j,c] * w[u,v,c], where r = i*s+u-top, q = j*s+v-left; and
 * that times before'(x) */
void REF(dwconv2d_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    if (op->fused.dy_gate) gate_gradient(op);
    undo_activation(op);
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const fv_conv_attr *a = &op->attr.conv;
    const real *dy = op->dy->data, *w = op->w->data, *x = op->x->data;
    real *dx = op->dx->data;
    for (int n = 0; n < xs.n; n++)
        for (int r = 0; r < xs.h; r++)
            for (int q = 0; q < xs.w; q++)
                for (int c = 0; c < xs.c; c++, x++, dx++) {
                    double sum = 0;
                    for (int u = 0; u < a->k; u++)
                        for (int v = 0; v < a->k; v++) {
                            int i = target(r, u, a->stride, a->pad_top, ys.h);
                            int j = target(q, v, a->stride, a->pad_left, ys.w);
                            if (i < 0 || j < 0) continue;
                            sum += (double)dy[(((size_t)n * ys.h + i) * ys.w + j) * ys.c + c] *
                                   w[((size_t)u * a->k + v) * xs.c + c];
                        }
                    double slope = 1;
                    if (op->before != FV_ACT_NONE) slope = (double)activation_slope(op->before, *x);
                    put(dx, op->add_dx, sum * slope);
                }
}
