/* The rows of the cpu table that differ from the reference. */
#include "kernels/cpu/level.h"

#define ROW(kind, prepare, release)                                                                \
    {                                                                                              \
        prepare, ISA(kind##_forward), ISA(kind##_backward), release                                \
    }

void ISA(open)(fv_backend *be)
{
    static const fv_kernel faster[FV_OP_COUNT] = {
        [FV_OP_CONV2D] = ROW(conv2d, ISA(conv2d_prepare), ISA(packed_release)),
        [FV_OP_DWCONV2D] = ROW(dwconv2d, ISA(dwconv2d_prepare), ISA(dwconv2d_release)),
        [FV_OP_LINEAR] = ROW(linear, ISA(linear_prepare), ISA(packed_release)),
        [FV_OP_ACT] = ROW(act, NULL, NULL),
        [FV_OP_MUL_CHANNEL] = ROW(mul_channel, ISA(mul_channel_prepare), NULL),
        [FV_OP_ADD] = ROW(add, NULL, NULL),
        [FV_OP_AFFINE] = ROW(affine, NULL, NULL),
        [FV_OP_MEAN_HW] = ROW(mean_hw, ISA(mean_hw_prepare), NULL),
        [FV_OP_MIX_ROWS] = ROW(mix_rows, ISA(mix_rows_prepare), NULL),
        [FV_OP_LAYERNORM] = ROW(layernorm, NULL, NULL),
        [FV_OP_GROUPNORM] = ROW(groupnorm, ISA(groupnorm_prepare), NULL),
        [FV_OP_ATTENTION] = ROW(attention, ISA(attention_prepare), NULL),
        [FV_OP_SEPARABLE] = ROW(separable, ISA(separable_prepare), NULL),
        [FV_OP_WARP] = ROW(warp, ISA(warp_prepare), NULL),
        [FV_OP_COLOUR_JITTER] = ROW(colour_jitter, NULL, NULL),
        [FV_OP_UPSAMPLE] = ROW(upsample, NULL, NULL),
        [FV_OP_DEPTH_TO_SPACE] = ROW(depth_to_space, NULL, NULL),
        [FV_OP_AVGPOOL] = ROW(avgpool, NULL, NULL),
        [FV_OP_CLAMP] = ROW(clamp, NULL, NULL),
        [FV_OP_QUANTISE] = ROW(quantise, ISA(quantise_prepare), NULL),
    };
    for (int i = 0; i < FV_OP_COUNT; i++)
        if (faster[i].forward) be->kernels[i] = faster[i];
    be->adam = ISA(adam);
}
