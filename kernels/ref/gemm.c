/* linear, mix_rows and separable: products with constant matrices; quantise. See op.h. */
#include <stdlib.h>

#include "kernels/ref/table.h"

/* y[r,o] = act(b[o] + sum over i of x[r,i] * w[o,i]) */
void REF(linear_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t rows = fv_rows(op->x->shape), in = (size_t)op->x->shape.c, out = (size_t)op->y->shape.c;
    const real *x = op->x->data, *w = op->w->data, *b = op->b ? op->b->data : NULL;
    real *y = op->y->data;
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = b ? b[o] : 0;
            for (size_t i = 0; i < in; i++) sum += (double)x[r * in + i] * w[o * in + i];
            y[r * out + o] = (real)sum;
        }
    finish_activation(op);
}

/* dx[r,i] = sum over o of dy[r,o] * w[o,i] */
void REF(linear_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    undo_activation(op);
    size_t rows = fv_rows(op->x->shape), in = (size_t)op->x->shape.c, out = (size_t)op->y->shape.c;
    const real *dy = op->dy->data, *w = op->w->data;
    real *dx = op->dx ? op->dx->data : NULL;
    for (size_t r = 0; dx && r < rows; r++)
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t o = 0; o < out; o++) sum += (double)dy[r * out + o] * w[o * in + i];
            put(&dx[r * in + i], op->add_dx, sum);
        }
    pass_on(op);
}

/* y[n,r,c] = sum over p of w[r,p] * x[n,p,c] */
void REF(mix_rows_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const real *x = op->x->data, *w = op->w->data;
    real *y = op->y->data;
    for (int n = 0; n < op->x->shape.n; n++, x += from * c, y += to * c)
        for (size_t r = 0; r < to; r++)
            for (size_t k = 0; k < c; k++) {
                double sum = 0;
                for (size_t p = 0; p < from; p++) sum += (double)w[r * from + p] * x[p * c + k];
                y[r * c + k] = (real)sum;
            }
}

/* dx[n,p,c] = sum over r of w[r,p] * dy[n,r,c] */
void REF(mix_rows_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const real *dy = op->dy->data, *w = op->w->data;
    real *dx = op->dx->data;
    for (int n = 0; n < op->x->shape.n; n++, dx += from * c, dy += to * c)
        for (size_t p = 0; p < from; p++)
            for (size_t k = 0; k < c; k++) {
                double sum = 0;
                for (size_t r = 0; r < to; r++) sum += (double)w[r * from + p] * dy[r * c + k];
                put(&dx[p * c + k], op->add_dx, sum);
            }
}

/* y[n,I,J,c] = sum over i, j of w[I,i] * x[n,i,j,c] * b[J,j]: rows first, into scratch
 * {H, w, c}, then columns. */
void REF(separable_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const real *x = op->x->data, *rows = op->w->data, *columns = op->b->data;
    real *y = op->y->data, *half = op->scratch;
    size_t line = (size_t)xs.w * xs.c;
    for (int n = 0; n < xs.n; n++, x += xs.h * line) {
        for (int i = 0; i < ys.h; i++)
            for (size_t q = 0; q < line; q++) {
                double sum = 0;
                for (int k = 0; k < xs.h; k++)
                    sum += (double)rows[(size_t)i * xs.h + k] * x[k * line + q];
                half[i * line + q] = (real)sum;
            }
        for (int i = 0; i < ys.h; i++)
            for (int j = 0; j < ys.w; j++)
                for (int c = 0; c < xs.c; c++) {
                    double sum = 0;
                    for (int k = 0; k < xs.w; k++)
                        sum += (double)columns[(size_t)j * xs.w + k] *
                               half[i * line + (size_t)k * xs.c + c];
                    *y++ = (real)sum;
                }
    }
}

/* dx[n,i,j,c] = sum over I, J of w[I,i] * dy[n,I,J,c] * b[J,j] */
void REF(separable_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    const real *dy = op->dy->data, *rows = op->w->data, *columns = op->b->data;
    real *dx = op->dx->data, *half = op->scratch;
    size_t line = (size_t)xs.w * xs.c;
    for (int n = 0; n < xs.n; n++, dy += (size_t)ys.h * ys.w * ys.c) {
        for (int i = 0; i < ys.h; i++)
            for (int k = 0; k < xs.w; k++)
                for (int c = 0; c < xs.c; c++) {
                    double sum = 0;
                    for (int j = 0; j < ys.w; j++)
                        sum += (double)columns[(size_t)j * xs.w + k] *
                               dy[((size_t)i * ys.w + j) * ys.c + c];
                    half[i * line + (size_t)k * xs.c + c] = (real)sum;
                }
        for (int k = 0; k < xs.h; k++)
            for (size_t q = 0; q < line; q++) {
                double sum = 0;
                for (int i = 0; i < ys.h; i++)
                    sum += (double)rows[(size_t)i * xs.h + k] * half[i * line + q];
                put(dx++, op->add_dx, sum);
            }
    }
}

fv_status REF(separable_prepare)(fv_backend *be, fv_op *op)
{
    op->scratch_bytes = (size_t)op->y->shape.h * op->x->shape.w * op->x->shape.c * be->real_bytes;
    return FV_OK;
}

/* y[r] = w[k], k the first with the least |w[k]|^2 - 2 x[r] . w[k] */
void REF(quantise_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t rows = fv_rows(op->x->shape), d = (size_t)op->x->shape.c;
    size_t codes = (size_t)op->w->shape.w;
    const real *x = op->x->data, *w = op->w->data;
    real *y = op->y->data;
    for (size_t r = 0; r < rows; r++, x += d, y += d) {
        double lowest = HUGE_VAL;
        size_t nearest = 0;
        for (size_t k = 0; k < codes; k++) {
            double far = 0;
            for (size_t i = 0; i < d; i++) far += w[k * d + i] * ((double)w[k * d + i] - 2 * x[i]);
            if (far < lowest) {
                lowest = far;
                nearest = k;
            }
        }
        for (size_t i = 0; i < d; i++) y[i] = w[nearest * d + i];
    }
}

/* dx = dy */
void REF(quantise_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    const real *dy = op->dy->data;
    real *dx = op->dx ? op->dx->data : NULL;
    for (size_t i = 0, n = fv_count(op->y->shape); dx && i < n; i++) put(&dx[i], op->add_dx, dy[i]);
}
