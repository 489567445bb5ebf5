/* Prototypes of the reference kernels, one pair a row of the op table. */
#ifndef FV_REF_TABLE_H
#define FV_REF_TABLE_H

#include "kernels/ref/activation.h"

#define FV_REF_KERNELS(row)                                                                        \
    row(conv2d) row(dwconv2d) row(linear) row(act) row(mul_channel) row(excite) row(add)           \
        row(affine) row(mean_hw) row(max_hw) row(mix_rows) row(l2norm) row(layernorm)              \
            row(attention) row(separable) row(warp) row(perturb) row(pick) row(penalty)

#define FV_REF_DECLARE(kind)                                                                       \
    void REF(kind##_forward)(fv_backend * be, const fv_op *op);                                    \
    void REF(kind##_backward)(fv_backend * be, const fv_op *op);
FV_REF_KERNELS(FV_REF_DECLARE)
#undef FV_REF_DECLARE

void REF(embed_forward)(fv_backend *be, const fv_op *op);
fv_status REF(excite_prepare)(fv_backend *be, fv_op *op);
fv_status REF(separable_prepare)(fv_backend *be, fv_op *op);
fv_status REF(attention_prepare)(fv_backend *be, fv_op *op);

#endif
