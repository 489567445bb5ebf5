/* mean_hw, max_hw, l2norm, layernorm, groupnorm. See op.h. */
#include "kernels/ref/table.h"

/* y[n,c] = 1/P sum over p of x[n,p,c] */
void REF(mean_hw_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *x = op->x->data;
    real *y = op->y->data;
    for (int n = 0; n < s.n; n++, x += positions * channels)
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t p = 0; p < positions; p++) sum += x[p * channels + c];
            *y++ = (real)(sum / (double)positions);
        }
}

/* dx[n,p,c] = dy[n,c] / P */
void REF(mean_hw_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *dy = op->dy->data;
    real *dx = op->dx->data;
    for (int n = 0; n < s.n; n++, dy += channels)
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < channels; c++)
                put(dx++, op->add_dx, (double)dy[c] / (double)positions);
}

/* y[n,c] = max over p of x[n,p,c]; aux[n,c] = the first p that has it */
void REF(max_hw_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *x = op->x->data;
    real *y = op->y->data, *aux = op->aux->data;
    for (int n = 0; n < s.n; n++, x += positions * channels)
        for (size_t c = 0; c < channels; c++) {
            size_t best = 0;
            for (size_t p = 1; p < positions; p++)
                if (x[p * channels + c] > x[best * channels + c]) best = p;
            *y++ = x[best * channels + c];
            *aux++ = (real)best;
        }
}

/* dx[n,aux,c] = dy[n,c], all else 0 */
void REF(max_hw_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    const real *dy = op->dy->data, *aux = op->aux->data;
    real *dx = op->dx->data;
    for (size_t i = 0, n = fv_count(s); !op->add_dx && i < n; i++) dx[i] = 0;
    for (int n = 0; n < s.n; n++, dx += positions * channels)
        for (size_t c = 0; c < channels; c++) dx[(size_t)*aux++ * channels + c] += *dy++;
}

/* y = x / m, m = max(|x|, eps); aux = m */
void REF(l2norm_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t rows = fv_rows(op->x->shape), d = (size_t)op->x->shape.c;
    const real *x = op->x->data;
    real *y = op->y->data, *aux = op->aux->data;
    for (size_t r = 0; r < rows; r++, x += d, y += d) {
        double sum = 0;
        for (size_t i = 0; i < d; i++) sum += (double)x[i] * x[i];
        double norm = sqrt(sum) > op->attr.eps ? sqrt(sum) : op->attr.eps;
        for (size_t i = 0; i < d; i++) y[i] = (real)(x[i] / norm);
        aux[r] = (real)norm;
    }
}

/* dx = (dy - y <dy, y>) / m where |x| > eps, dy / eps where it is clamped */
void REF(l2norm_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t rows = fv_rows(op->x->shape), d = (size_t)op->x->shape.c;
    const real *y = op->y->data, *dy = op->dy->data, *aux = op->aux->data;
    real *dx = op->dx->data;
    for (size_t r = 0; r < rows; r++, y += d, dy += d, dx += d) {
        double along = 0;
        bool clamped = aux[r] <= (real)op->attr.eps;
        for (size_t i = 0; !clamped && i < d; i++) along += (double)dy[i] * y[i];
        for (size_t i = 0; i < d; i++) put(&dx[i], op->add_dx, (dy[i] - y[i] * along) / aux[r]);
    }
}

/* y = (x - mean) * k * w + b, k = 1 / sqrt(var + eps); aux = mean, k */
void REF(layernorm_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    size_t rows = fv_rows(op->x->shape), d = (size_t)op->x->shape.c;
    const real *x = op->x->data, *w = op->w->data, *b = op->b->data;
    real *y = op->y->data, *aux = op->aux->data;
    for (size_t r = 0; r < rows; r++, x += d, y += d, aux += 2) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < d; i++) mean += x[i];
        mean /= (double)d;
        for (size_t i = 0; i < d; i++) var += (x[i] - mean) * (x[i] - mean);
        double k = 1 / sqrt(var / (double)d + op->attr.eps);
        for (size_t i = 0; i < d; i++) y[i] = (real)((x[i] - mean) * k * w[i] + b[i]);
        aux[0] = (real)mean;
        aux[1] = (real)k;
    }
}

/* with g = dy * w, h = (x - mean) * k:   dx = k * (g - mean(g) - h * mean(g * h)) */
void REF(layernorm_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    size_t rows = fv_rows(op->x->shape), d = (size_t)op->x->shape.c;
    const real *x = op->x->data, *w = op->w->data, *dy = op->dy->data, *aux = op->aux->data;
    real *dx = op->dx->data;
    for (size_t r = 0; r < rows; r++, x += d, dy += d, dx += d, aux += 2) {
        double mean = aux[0], k = aux[1], g = 0, gh = 0;
        for (size_t i = 0; i < d; i++) {
            g += (double)dy[i] * w[i];
            gh += (double)dy[i] * w[i] * (x[i] - mean) * k;
        }
        g /= (double)d;
        gh /= (double)d;
        for (size_t i = 0; i < d; i++)
            put(&dx[i], op->add_dx, k * ((double)dy[i] * w[i] - g - (x[i] - mean) * k * gh));
    }
}

/* y = act((x - mean) * k * w + b), k = 1 / sqrt(var + eps); aux = mean, k; i walks over a group */
void REF(groupnorm_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    size_t groups = (size_t)op->attr.group.groups, each = channels / groups;
    const real *w = op->w->data, *b = op->b->data;
    real *aux = op->aux->data;
    for (size_t g = 0; g < (size_t)s.n * groups; g++, aux += 2) {
        size_t first = g % groups * each, at = g / groups * positions * channels + first;
        const real *x = (const real *)op->x->data + at;
        real *y = (real *)op->y->data + at;
        double mean = 0, var = 0, count = (double)(positions * each);
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < each; c++) mean += x[p * channels + c];
        mean /= count;
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < each; c++) {
                double v = x[p * channels + c] - mean;
                var += v * v;
            }
        double k = 1 / sqrt(var / count + op->attr.group.eps);
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < each; c++) {
                size_t i = p * channels + c;
                y[i] = activate(op->act, (real)((x[i] - mean) * k * w[first + c] + b[first + c]));
            }
        aux[0] = (real)mean;
        aux[1] = (real)k;
    }
}

/* with h = (x - mean) * k, g = dy * act'(h * w + b) * w:
 * dx = k * (g - mean(g) - h * mean(g * h)), means over the group */
void REF(groupnorm_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    fv_shape s = op->x->shape;
    size_t positions = (size_t)s.h * s.w, channels = (size_t)s.c;
    size_t groups = (size_t)op->attr.group.groups, each = channels / groups;
    const real *w = op->w->data, *b = op->b->data, *aux = op->aux->data;
    for (size_t group = 0; group < (size_t)s.n * groups; group++, aux += 2) {
        size_t first = group % groups * each, at = group / groups * positions * channels + first;
        const real *x = (const real *)op->x->data + at;
        real *dy = (real *)op->dy->data + at, *dx = (real *)op->dx->data + at;
        double mean = aux[0], k = aux[1], g = 0, gh = 0, count = (double)(positions * each);
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < each; c++) {
                size_t i = p * channels + c;
                double h = (x[i] - mean) * k;
                real into = (real)(h * w[first + c] + b[first + c]);
                dy[i] *= activation_slope(op->act, into);
                g += (double)dy[i] * w[first + c];
                gh += (double)dy[i] * w[first + c] * h;
            }
        g /= count;
        gh /= count;
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < each; c++) {
                size_t i = p * channels + c;
                double h = (x[i] - mean) * k;
                put(&dx[i], op->add_dx, k * ((double)dy[i] * w[first + c] - g - h * gh));
            }
    }
}
