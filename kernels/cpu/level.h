/* What the files of one level share. See isa.h for what a level is. */
#ifndef FV_CPU_LEVEL_H
#define FV_CPU_LEVEL_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

/* Replaces rows of the reference table, and Adam. */
void ISA(open)(fv_backend *be);
void ISA(adam)(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
               const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
               fv_tensor *stats);

/* y = act(x + bias), bias repeated every `period` numbers (NULL: none); aux, if any, keeps what
 * goes into the activation. y may be x. */
void ISA(activate)(fv_act act, float *y, const float *x, float *aux, const float *bias,
                   size_t period, size_t count);
/* to = dy * act'(kept), kept as fv_ops[].keeps says; `to` may be dy. */
void ISA(slope)(fv_act act, float *to, const float *dy, const float *kept, size_t count);

/* to = from, or with add += from. */
void ISA(put)(fv_backend *be, float *to, const float *from, size_t count, bool add);

#define FV_CPU_ROW(kind)                                                                           \
    void ISA(kind##_forward)(fv_backend * be, const fv_op *op);                                    \
    void ISA(kind##_backward)(fv_backend * be, const fv_op *op);
FV_CPU_ROW(conv2d)
FV_CPU_ROW(dwconv2d)
FV_CPU_ROW(linear)
FV_CPU_ROW(mix_rows)
FV_CPU_ROW(separable)
FV_CPU_ROW(act)
FV_CPU_ROW(mul_channel)
FV_CPU_ROW(add)
FV_CPU_ROW(affine)
FV_CPU_ROW(mean_hw)
FV_CPU_ROW(layernorm)
FV_CPU_ROW(groupnorm)
FV_CPU_ROW(attention)
FV_CPU_ROW(upsample)
FV_CPU_ROW(depth_to_space)
FV_CPU_ROW(avgpool)
FV_CPU_ROW(clamp)
FV_CPU_ROW(quantise)
FV_CPU_ROW(warp)
FV_CPU_ROW(colour_jitter)
fv_status ISA(conv2d_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(dwconv2d_prepare)(fv_backend *be, fv_op *op);
void ISA(dwconv2d_release)(fv_backend *be, fv_op *op);
fv_status ISA(mean_hw_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(mul_channel_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(linear_prepare)(fv_backend *be, fv_op *op);
void ISA(packed_release)(fv_backend *be, fv_op *op);
fv_status ISA(mix_rows_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(separable_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(attention_prepare)(fv_backend *be, fv_op *op);
/* attention_wide.c: one head over many tokens; scratch in floats. */
bool ISA(is_wide_attention)(const fv_op *op);
size_t ISA(wide_attention_scratch)(const fv_op *op);
void ISA(wide_attention_forward)(fv_backend *be, const fv_op *op);
void ISA(wide_attention_backward)(fv_backend *be, const fv_op *op);
fv_status ISA(groupnorm_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(quantise_prepare)(fv_backend *be, fv_op *op);
fv_status ISA(warp_prepare)(fv_backend *be, fv_op *op);

#endif
