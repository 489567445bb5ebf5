/* attention and embed. See op.h. x rows are q | k | v, each d wide, d = heads * width. */
#include "kernels/ref/table.h"

/* p[i,j] = softmax over j of (q_i . k_j / sqrt(width) + b[j]);   y_i = sum over j of p[i,j] v_j
 * causal: over j <= i, p[i,j] = 0 for the others; backward then needs no rule of its own */
void REF(attention_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    int tokens = op->x->shape.h * op->x->shape.w, heads = op->attr.attention.heads;
    int d = op->y->shape.c, width = d / heads;
    double scale = 1 / sqrt((double)width);
    for (int n = 0; n < op->x->shape.n; n++)
        for (int head = 0; head < heads; head++) {
            const real *q = (const real *)op->x->data + (size_t)n * tokens * 3 * d + head * width;
            const real *k = q + d, *v = q + 2 * d;
            const real *bias = op->b ? (const real *)op->b->data + (size_t)n * tokens : NULL;
            real *p = (real *)op->aux->data + ((size_t)n * heads + head) * tokens * tokens;
            real *y = (real *)op->y->data + (size_t)n * tokens * d + head * width;
            for (int i = 0; i < tokens; i++, p += tokens) {
                double most = -HUGE_VAL, total = 0;
                int seen = op->attr.attention.causal ? i + 1 : tokens;
                for (int j = seen; j < tokens; j++) p[j] = 0;
                for (int j = 0; j < seen; j++) {
                    double s = 0;
                    for (int c = 0; c < width; c++)
                        s += (double)q[(size_t)i * 3 * d + c] * k[(size_t)j * 3 * d + c];
                    p[j] = (real)(s * scale + (bias ? bias[j] : 0));
                    if (p[j] > most) most = p[j];
                }
                for (int j = 0; j < seen; j++) {
                    double e = exp(p[j] - most);
                    total += e;
                    p[j] = (real)e;
                }
                for (int j = 0; j < seen; j++) p[j] = (real)(p[j] / total);
                for (int c = 0; c < width; c++) {
                    double s = 0;
                    for (int j = 0; j < tokens; j++) s += (double)p[j] * v[(size_t)j * 3 * d + c];
                    y[(size_t)i * d + c] = (real)s;
                }
            }
        }
}

/* dv_j += p[i,j] dy_i;   ds[i,j] = p[i,j] (dy_i . v_j - sum over m of p[i,m] dy_i . v_m);
 * dq_i += ds[i,j] k_j * scale;   dk_j += ds[i,j] q_i * scale */
void REF(attention_backward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    if (!op->dx) return;
    int tokens = op->x->shape.h * op->x->shape.w, heads = op->attr.attention.heads;
    int d = op->y->shape.c, width = d / heads;
    double scale = 1 / sqrt((double)width);
    size_t row = 3 * (size_t)d;
    for (size_t i = 0, n = fv_count(op->dx->shape); !op->add_dx && i < n; i++)
        ((real *)op->dx->data)[i] = 0;
    real *ds = op->scratch;
    for (int n = 0; n < op->x->shape.n; n++)
        for (int head = 0; head < heads; head++) {
            size_t at = (size_t)n * tokens * row + (size_t)(head * width);
            const real *q = (const real *)op->x->data + at, *k = q + d, *v = q + 2 * d;
            real *dq = (real *)op->dx->data + at, *dk = dq + d, *dv = dq + 2 * d;
            const real *p =
                (const real *)op->aux->data + ((size_t)n * heads + head) * tokens * tokens;
            const real *dy = (const real *)op->dy->data + (size_t)n * tokens * d + head * width;
            for (int i = 0; i < tokens; i++, p += tokens, dy += d) {
                double along = 0;
                for (int j = 0; j < tokens; j++) {
                    double s = 0;
                    for (int c = 0; c < width; c++) {
                        s += (double)dy[c] * v[j * row + c];
                        dv[j * row + c] += p[j] * dy[c];
                    }
                    ds[j] = (real)s;
                    along += s * p[j];
                }
                for (int j = 0; j < tokens; j++) {
                    real g = (real)((ds[j] - along) * p[j] * scale);
                    for (int c = 0; c < width; c++) {
                        dq[i * row + c] += g * k[j * row + c];
                        dk[j * row + c] += g * q[i * row + c];
                    }
                }
            }
        }
}

fv_status REF(attention_prepare)(fv_backend *be, fv_op *op)
{
    op->scratch_bytes = (size_t)op->x->shape.h * (size_t)op->x->shape.w * be->real_bytes;
    return FV_OK;
}

/* y[n,t] = w[id[n,t]] + b[t]; ids are checked by whoever uploads them, here kept in range */
void REF(embed_forward)(fv_backend *be, const fv_op *op)
{
    (void)be;
    int tokens = op->x->shape.c, rows = op->w->shape.w;
    size_t d = (size_t)op->y->shape.c;
    const int32_t *ids = op->x->data;
    const real *table = op->w->data, *positions = op->b->data;
    real *y = op->y->data;
    for (int n = 0; n < op->x->shape.n; n++)
        for (int t = 0; t < tokens; t++, ids++) {
            size_t id = *ids < 0 ? 0 : *ids >= rows ? (size_t)rows - 1 : (size_t)*ids;
            for (size_t i = 0; i < d; i++) *y++ = table[id * d + i] + positions[(size_t)t * d + i];
        }
}
