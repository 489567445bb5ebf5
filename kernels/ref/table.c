/* The rows of the reference table, and Adam. */
#include "kernels/ref/table.h"

#define ROW_BACKWARD(kind)                                                                         \
    {                                                                                              \
        NULL, REF(kind##_forward), REF(kind##_backward), NULL                                      \
    }
#define ROW_FORWARD_ONLY(kind)                                                                     \
    {                                                                                              \
        NULL, REF(kind##_forward), NULL, NULL                                                      \
    }
#define ROW(KIND, kind, backward, ...) [FV_OP_##KIND] = ROW_##backward(kind),

static const fv_kernel rows_of_table[FV_OP_COUNT] = {FV_OPS(ROW)};

void REF(table)(fv_kernel rows[FV_OP_COUNT])
{
    for (int i = 0; i < FV_OP_COUNT; i++) rows[i] = rows_of_table[i];
    rows[FV_OP_SQUEEZE_EXCITE].prepare = REF(squeeze_excite_prepare);
    rows[FV_OP_ATTENTION].prepare = REF(attention_prepare);
    rows[FV_OP_SEPARABLE].prepare = REF(separable_prepare);
    rows[FV_OP_GRAM].prepare = REF(gram_prepare);
}

/* m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2;
 * p = clamp(p - rate * (m / c1) / (sqrt(v / c2) + eps)), by the numbers, then by low and high */
void REF(adam)(fv_backend *be, fv_tensor *pt, const fv_tensor *gt, fv_tensor *mt, fv_tensor *vt,
               const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
               fv_tensor *stats)
{
    (void)be;
    real *p = pt->data, *m = mt->data, *v = vt->data, *stat = stats->data;
    const real *g = gt->data, *k = numbers->data;
    const real *least = low ? low->data : NULL, *most = high ? high->data : NULL;
    size_t count = fv_count(pt->shape), bad = 0;
    double norm2 = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(g[i])) bad++;
        norm2 += (double)g[i] * g[i];
    }
    stat[FV_ADAM_STAT_NORM2] = (real)norm2;
    stat[FV_ADAM_STAT_BAD] = (real)bad;
    for (size_t i = 0; !bad && i < count; i++) {
        m[i] = k[FV_ADAM_BETA1] * m[i] + (1 - k[FV_ADAM_BETA1]) * g[i];
        v[i] = k[FV_ADAM_BETA2] * v[i] + (1 - k[FV_ADAM_BETA2]) * g[i] * g[i];
        double root = sqrt((double)v[i] / k[FV_ADAM_CORRECTION2]) + k[FV_ADAM_EPS];
        double next = p[i] - k[FV_ADAM_RATE] * (m[i] / k[FV_ADAM_CORRECTION1]) / root;
        if (next < k[FV_ADAM_LOW]) next = k[FV_ADAM_LOW];
        if (next > k[FV_ADAM_HIGH]) next = k[FV_ADAM_HIGH];
        if (least && next < least[i]) next = least[i];
        if (most && next > most[i]) next = most[i];
        p[i] = (real)next;
    }
}
