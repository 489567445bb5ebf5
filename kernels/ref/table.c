/* The rows of the reference table, and Adam. */
#include "kernels/ref/table.h"

#define ROW(kind)                                                                                  \
    {                                                                                              \
        NULL, REF(kind##_forward), REF(kind##_backward), NULL                                      \
    }

static const fv_kernel rows_of_table[FV_OP_COUNT] = {
    [FV_OP_CONV2D] = ROW(conv2d),
    [FV_OP_DWCONV2D] = ROW(dwconv2d),
    [FV_OP_LINEAR] = ROW(linear),
    [FV_OP_ACT] = ROW(act),
    [FV_OP_MUL_CHANNEL] = ROW(mul_channel),
    [FV_OP_EXCITE] = {REF(excite_prepare), REF(excite_forward), REF(excite_backward), NULL},
    [FV_OP_ADD] = ROW(add),
    [FV_OP_AFFINE] = ROW(affine),
    [FV_OP_MEAN_HW] = ROW(mean_hw),
    [FV_OP_MAX_HW] = ROW(max_hw),
    [FV_OP_MIX_ROWS] = ROW(mix_rows),
    [FV_OP_L2NORM] = ROW(l2norm),
    [FV_OP_LAYERNORM] = ROW(layernorm),
    [FV_OP_ATTENTION] = {REF(attention_prepare), REF(attention_forward), REF(attention_backward),
                         NULL},
    [FV_OP_EMBED] = {NULL, REF(embed_forward), NULL, NULL},
    [FV_OP_SEPARABLE] = {REF(separable_prepare), REF(separable_forward), REF(separable_backward),
                         NULL},
    [FV_OP_WARP] = ROW(warp),
    [FV_OP_PERTURB] = ROW(perturb),
    [FV_OP_PICK] = ROW(pick),
    [FV_OP_PENALTY] = ROW(penalty),
};

void REF(table)(fv_kernel rows[FV_OP_COUNT])
{
    for (int i = 0; i < FV_OP_COUNT; i++) rows[i] = rows_of_table[i];
}

/* m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2;
 * p = clamp(p - rate * (m / c1) / (sqrt(v / c2) + eps)) */
void REF(adam)(fv_backend *be, fv_tensor *pt, const fv_tensor *gt, fv_tensor *mt, fv_tensor *vt,
               const fv_tensor *numbers, fv_tensor *stats)
{
    (void)be;
    real *p = pt->data, *m = mt->data, *v = vt->data, *stat = stats->data;
    const real *g = gt->data, *k = numbers->data;
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
        p[i] = (real)next;
    }
}
