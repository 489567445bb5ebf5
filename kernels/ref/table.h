/* Prototypes of the reference kernels, one pair a row of the op table. */
#ifndef FV_REF_TABLE_H
#define FV_REF_TABLE_H

#include "kernels/ref/activation.h"

/* By the second column of FV_OPS: both directions, or forward alone. */
#define FV_REF_DECLARE_FORWARD_ONLY(kind)                                                          \
    void REF(kind##_forward)(fv_backend * be, const fv_op *op);
#define FV_REF_DECLARE_BACKWARD(kind)                                                              \
    FV_REF_DECLARE_FORWARD_ONLY(kind)                                                              \
    void REF(kind##_backward)(fv_backend * be, const fv_op *op);
#define FV_REF_DECLARE(KIND, kind, backward, ...) FV_REF_DECLARE_##backward(kind)
FV_OPS(FV_REF_DECLARE)
#undef FV_REF_DECLARE

fv_status REF(squeeze_excite_prepare)(fv_backend *be, fv_op *op);
fv_status REF(separable_prepare)(fv_backend *be, fv_op *op);
fv_status REF(attention_prepare)(fv_backend *be, fv_op *op);
fv_status REF(gram_prepare)(fv_backend *be, fv_op *op);

#endif
