/* gram, cosine: how alike the maps of two pictures are. See op.h. */
#include "kernels/ref/table.h"

/* Sums of one row of the matrix, or of one position's gradient, in double. */
fv_status REF(gram_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes = (size_t)op->x->shape.c * sizeof(double);
    return FV_OK;
}

/* y[n,i,j] = sum over p of x[n,p,i] x[n,p,j]; from the diagonal on, the rest is its mirror */
void REF(gram_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, c = (size_t)s.c;
    double *sum = op->scratch;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * positions * c;
        real *y = (real *)op->y->data + (size_t)n * c * c;
        for (size_t i = 0; i < c; i++) {
            for (size_t j = i; j < c; j++) sum[j] = 0;
            for (size_t p = 0; p < positions; p++) {
                double a = x[p * c + i];
                for (size_t j = i; j < c; j++) sum[j] += a * (double)x[p * c + j];
            }
            for (size_t j = i; j < c; j++) y[i * c + j] = y[j * c + i] = (real)sum[j];
        }
    }
}

/* dx[n,p,i] = sum over j of x[n,p,j] (dy[n,j,i] + dy[n,i,j]) */
void REF(gram_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, c = (size_t)s.c;
    double *sum = op->scratch;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * positions * c;
        real *dx = (real *)op->dx->data + (size_t)n * positions * c;
        real *dy = (real *)op->dy->data + (size_t)n * c * c;
        for (size_t i = 0; i < c; i++)
            for (size_t j = i; j < c; j++)
                dy[i * c + j] = dy[j * c + i] = dy[i * c + j] + dy[j * c + i];
        for (size_t p = 0; p < positions; p++) {
            for (size_t i = 0; i < c; i++) sum[i] = 0;
            for (size_t j = 0; j < c; j++) {
                double a = x[p * c + j];
                for (size_t i = 0; i < c; i++) sum[i] += a * (double)dy[j * c + i];
            }
            for (size_t i = 0; i < c; i++) put(&dx[p * c + i], op->add_dx, sum[i]);
        }
    }
}

/* y = <x, w> / m with m = max(|x|, eps); aux = m, and y / m, or 0 where m is eps */
void REF(cosine_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t count = fv_count(op->w->shape);
    const real *w = op->w->data;
    for (int n = 0; n < op->x->shape.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * count;
        real *aux = (real *)op->aux->data + 2 * n;
        double dot = 0, square = 0;
        for (size_t i = 0; i < count; i++) {
            dot += (double)x[i] * w[i];
            square += (double)x[i] * x[i];
        }
        double length = sqrt(square), m = fmax(length, op->attr.eps);
        ((real *)op->y->data)[n] = (real)(dot / m);
        aux[0] = (real)m;
        aux[1] = (real)(length > op->attr.eps ? dot / m / m : 0);
    }
}

/* dx = dy (w - x y / m) / m, without the second term where m is eps */
void REF(cosine_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t count = fv_count(op->w->shape);
    const real *w = op->w->data;
    for (int n = 0; n < op->x->shape.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * count;
        const real *aux = (const real *)op->aux->data + 2 * n;
        real *dx = (real *)op->dx->data + (size_t)n * count;
        double g = (double)((const real *)op->dy->data)[n] / aux[0], pull = aux[1];
        for (size_t i = 0; i < count; i++)
            put(&dx[i], op->add_dx, g * ((double)w[i] - pull * x[i]));
    }
}
