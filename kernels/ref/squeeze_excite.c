/* squeeze_excite: squeeze-excite (Hu et al., Squeeze-and-excitation networks, 2018) as one op. See
 * op.h.
 *
 * aux[n] = what goes into the hidden activation (s numbers) | the gate (c numbers); scratch holds
 * one vector of c numbers and one of s. */
#include "kernels/ref/table.h"

fv_status REF(squeeze_excite_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes = ((size_t)op->x->shape.c + (size_t)op->w->shape.w) * sizeof(real);
    return FV_OK;
}

/* out[c] = sum over positions of before(x[p,c]) * dy[p,c]; dy NULL: of before(x[p,c]) */
static void sums(const fv_op *op, const real *x, const real *dy, real *out)
{
    size_t positions = (size_t)op->x->shape.h * (size_t)op->x->shape.w,
           channels = (size_t)op->x->shape.c;
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t p = 0; p < positions; p++) {
            size_t i = p * channels + c;
            sum += (double)activate(op->before, x[i]) * (dy ? dy[i] : 1);
        }
        out[c] = (real)sum;
    }
}

/* h = w mean + b;   gate = sigmoid(w2 act(h) + b2);   y = before(x) * gate */
void REF(squeeze_excite_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t channels = (size_t)s.c, squeezed = (size_t)op->w->shape.w;
    size_t positions = (size_t)s.h * (size_t)s.w;
    const real *w = op->w->data, *b = op->b->data, *w2 = op->w2->data, *b2 = op->b2->data;
    real *mean = op->scratch;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * positions * channels;
        real *y = (real *)op->y->data + (size_t)n * positions * channels;
        real *h = (real *)op->aux->data + (size_t)n * (squeezed + channels), *gate = h + squeezed;
        sums(op, x, NULL, mean);
        for (size_t i = 0; i < squeezed; i++) {
            double sum = b[i];
            for (size_t c = 0; c < channels; c++)
                sum += (double)w[i * channels + c] * mean[c] / (double)positions;
            h[i] = (real)sum;
        }
        for (size_t c = 0; c < channels; c++) {
            double sum = b2[c];
            for (size_t i = 0; i < squeezed; i++)
                sum += (double)w2[c * squeezed + i] * activate(op->act, h[i]);
            gate[c] = activate(FV_ACT_SIGMOID, (real)sum);
        }
        for (size_t i = 0; i < positions * channels; i++)
            y[i] = activate(op->before, x[i]) * gate[i % channels];
    }
}

/* dv = dy gate + w^T dh / positions, with dh = act'(h) w2^T (sigmoid' sum of dy v);
 * dx = dv before'(x) */
void REF(squeeze_excite_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t channels = (size_t)s.c, squeezed = (size_t)op->w->shape.w;
    size_t positions = (size_t)s.h * (size_t)s.w;
    const real *w = op->w->data, *w2 = op->w2->data;
    real *along = op->scratch, *dh = along + channels;
    for (int n = 0; n < s.n; n++) {
        const real *x = (const real *)op->x->data + (size_t)n * positions * channels;
        const real *dy = (const real *)op->dy->data + (size_t)n * positions * channels;
        const real *h = (const real *)op->aux->data + (size_t)n * (squeezed + channels);
        const real *gate = h + squeezed;
        real *dx = (real *)op->dx->data + (size_t)n * positions * channels;
        sums(op, x, dy, along);
        for (size_t c = 0; c < channels; c++) along[c] *= activation_slope(FV_ACT_SIGMOID, gate[c]);
        for (size_t i = 0; i < squeezed; i++) {
            double sum = 0;
            for (size_t c = 0; c < channels; c++) sum += (double)w2[c * squeezed + i] * along[c];
            dh[i] = (real)(sum * activation_slope(op->act, h[i]));
        }
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t i = 0; i < squeezed; i++) sum += (double)w[i * channels + c] * dh[i];
            along[c] = (real)(sum / (double)positions);
        }
        for (size_t i = 0; i < positions * channels; i++) {
            double dv = (double)dy[i] * gate[i % channels] + along[i % channels];
            put(&dx[i], op->add_dx, dv * activation_slope(op->before, x[i]));
        }
    }
}
