/* act, mul_channel, add, affine, gather_channels, upsample, depth_to_space, avgpool, clamp. See
 * op.h. */
#include "kernels/ref/table.h"

/* y = act(x) */
void REF(act_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++) y[i] = activate(op->act, x[i]);
}

/* dx = dy * act'(x) */
void REF(act_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    bool from_y = fv_ops[FV_OP_ACT].keeps(op) == FV_KEEP_Y;
    const real *kept = from_y ? op->y->data : op->x->data, *dy = op->dy->data;
    real *dx = op->dx->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++) {
        double slope = op->act == FV_ACT_NONE ? 1 : activation_slope(op->act, kept[i]);
        put(&dx[i], op->add_dx, dy[i] * slope);
    }
}

/* y[n,p,c] = x[n,p,c] * x2[n,c], where x may have to be computed again */
void REF(mul_channel_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    const real *x = op->x->data ? op->x->data : op->fused.kept_x->data, *gate = op->x2->data;
    fv_act act = op->x->data ? FV_ACT_NONE : op->fused.kept_act;
    real *y = op->y->data;
    for (int n = 0; n < s.n; n++, gate += s.c)
        for (int p = 0; p < s.h * s.w; p++)
            for (int c = 0; c < s.c; c++) *y++ = activate(act, *x++) * gate[c];
}

/* dx = dy * x2;   dx2[n,c] = sum over p of dy * x, where x may have to be computed again */
void REF(mul_channel_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    for (int n = 0; n < s.n; n++) {
        size_t at = (size_t)n * positions * channels;
        const real *kept = (const real *)(op->fused.kept_x ? op->fused.kept_x : op->x)->data + at;
        const real *dy = (const real *)op->dy->data + at;
        const real *gate = (const real *)op->x2->data + (size_t)n * channels;
        real *dx2 = op->dx2 ? (real *)op->dx2->data + (size_t)n * channels : NULL;
        for (size_t c = 0; dx2 && c < channels; c++) {
            double sum = 0;
            for (size_t p = 0; p < positions; p++) {
                real x = kept[p * channels + c];
                sum += (double)dy[p * channels + c] *
                       (op->fused.kept_x ? activate(op->fused.kept_act, x) : x);
            }
            put(&dx2[c], op->add_dx2, sum);
        }
        real *dx = op->dx ? (real *)op->dx->data + at : NULL;
        for (size_t i = 0; dx && i < positions * channels; i++)
            put(&dx[i], op->add_dx, (double)dy[i] * gate[i % channels]);
    }
}

/* y = x + x2 */
void REF(add_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    const real *x = op->x->data, *x2 = op->x2->data;
    real *y = op->y->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++) y[i] = x[i] + x2[i];
}

/* dx = dy;   dx2 = dy */
void REF(add_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    const real *dy = op->dy->data;
    size_t n = fv_count(op->y->shape);
    real *dx = op->dx ? op->dx->data : NULL, *dx2 = op->dx2 ? op->dx2->data : NULL;
    for (size_t i = 0; dx && i < n; i++) put(&dx[i], op->add_dx, dy[i]);
    for (size_t i = 0; dx2 && i < n; i++) put(&dx2[i], op->add_dx2, dy[i]);
}

/* y = x * w + b, with w and b repeated along the rows (one number a channel) or along the
 * pictures (one an element) */
void REF(affine_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t period = fv_count(op->w->shape);
    const real *x = op->x->data, *w = op->w->data, *b = op->b ? op->b->data : NULL;
    real *y = op->y->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++)
        y[i] = x[i] * w[i % period] + (b ? b[i % period] : 0);
}

/* dx = dy * w */
void REF(affine_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t period = fv_count(op->w->shape);
    const real *dy = op->dy->data, *w = op->w->data;
    real *dx = op->dx->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++)
        put(&dx[i], op->add_dx, (double)dy[i] * w[i % period]);
}

/* A channel number from outside is checked by whoever uploads it; here it is kept in range. */
static size_t channel(const fv_op *op, int k)
{
    int32_t c = ((const int32_t *)op->b->data)[k];
    return c < 0 ? 0 : c >= op->x->shape.c ? (size_t)op->x->shape.c - 1 : (size_t)c;
}

/* y[r,k] = x[r,b[k]] */
void REF(gather_channels_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t rows = fv_rows(op->x->shape), in = (size_t)op->x->shape.c;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (size_t r = 0; r < rows; r++)
        for (int k = 0; k < op->y->shape.c; k++) *y++ = x[r * in + channel(op, k)];
}

/* dx[r,b[k]] += dy[r,k], all else 0 */
void REF(gather_channels_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t rows = fv_rows(op->x->shape), in = (size_t)op->x->shape.c;
    const real *dy = op->dy->data;
    real *dx = op->dx->data;
    for (size_t i = 0; !op->add_dx && i < rows * in; i++) dx[i] = 0;
    for (size_t r = 0; r < rows; r++)
        for (int k = 0; k < op->y->shape.c; k++) dx[r * in + channel(op, k)] += *dy++;
}

/* y[n,i,j,c] = x[n,i/2,j/2,c] */
void REF(upsample_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++) {
                const real *from = x + (((size_t)n * xs.h + i / 2) * xs.w + j / 2) * xs.c;
                for (int c = 0; c < ys.c; c++) *y++ = from[c];
            }
}

/* dx[n,i,j,c] = sum of dy over the four positions that show it */
void REF(upsample_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape xs = op->x->shape;
    size_t line = (size_t)op->y->shape.w * xs.c;
    const real *dy = op->dy->data;
    real *dx = op->dx->data;
    for (size_t i = 0; i < (size_t)xs.n * xs.h; i++)
        for (int j = 0; j < xs.w; j++)
            for (int c = 0; c < xs.c; c++) {
                const real *from = dy + 2 * i * line + (size_t)(2 * j) * xs.c + c;
                double sum = (double)from[0] + from[xs.c] + from[line] + from[line + xs.c];
                put(dx++, op->add_dx, sum);
            }
}

/* where y[n,i,j,0] lies in x */
static size_t from_depth(const fv_op *op, int n, int i, int j)
{
    fv_shape xs = op->x->shape;
    int r = op->attr.block, c = op->y->shape.c;
    size_t position = ((size_t)n * xs.h + i / r) * xs.w + j / r;
    return position * xs.c + (size_t)(i % r * r + j % r) * c;
}

/* y[n,i,j,c] = x[n,i/r,j/r,(i%r r + j%r) C + c] */
void REF(depth_to_space_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape ys = op->y->shape;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int c = 0; c < ys.c; c++) *y++ = x[from_depth(op, n, i, j) + c];
}

void REF(depth_to_space_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape ys = op->y->shape;
    const real *dy = op->dy->data;
    real *dx = op->dx->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int c = 0; c < ys.c; c++)
                    put(&dx[from_depth(op, n, i, j) + c], op->add_dx, *dy++);
}

/* y[n,i,j,c] = mean of x[n,ki+u,kj+v,c] over u, v < k */
void REF(avgpool_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int k = op->attr.pool;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (int n = 0; n < ys.n; n++)
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int c = 0; c < ys.c; c++) {
                    double sum = 0;
                    for (int u = 0; u < k; u++)
                        for (int v = 0; v < k; v++)
                            sum +=
                                x[(((size_t)n * xs.h + k * i + u) * xs.w + k * j + v) * xs.c + c];
                    *y++ = (real)(sum / (k * k));
                }
}

/* dx[n,i,j,c] = dy[n,i/k,j/k,c] / k^2, or 0 where that is past the end */
void REF(avgpool_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int k = op->attr.pool;
    const real *dy = op->dy->data;
    real *dx = op->dx->data;
    for (int n = 0; n < xs.n; n++)
        for (int i = 0; i < xs.h; i++)
            for (int j = 0; j < xs.w; j++) {
                bool inside = i / k < ys.h && j / k < ys.w;
                size_t from = (((size_t)n * ys.h + i / k) * ys.w + j / k) * ys.c;
                for (int c = 0; c < xs.c; c++)
                    put(dx++, op->add_dx, inside ? (double)dy[from + c] / (k * k) : 0);
            }
}

static real clamped(real x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* y = min(max(x, 0), 1) */
void REF(clamp_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++) y[i] = clamped(x[i]);
}

/* dx = dy where dy (x - y) >= 0, else 0 */
void REF(clamp_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    const real *x = op->x->data, *dy = op->dy->data;
    real *dx = op->dx->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++)
        put(&dx[i], op->add_dx, dy[i] * (x[i] - clamped(x[i])) < 0 ? 0 : dy[i]);
}
