/* The rows of the cpu table that differ from the reference. */
#include "kernels/cpu/cpu.h"

#define ROW(kind, prepare)                                                                         \
    {                                                                                              \
        prepare, fv_cpu_##kind##_forward, fv_cpu_##kind##_backward, NULL                           \
    }

void fv_cpu_table(fv_kernel rows[FV_OP_COUNT])
{
    static const fv_kernel faster[FV_OP_COUNT] = {
        [FV_OP_CONV2D] = ROW(conv2d, fv_cpu_conv2d_prepare),
        [FV_OP_DWCONV2D] = ROW(dwconv2d, NULL),
        [FV_OP_LINEAR] = ROW(linear, NULL),
        [FV_OP_ACT] = ROW(act, NULL),
        [FV_OP_MUL_CHANNEL] = ROW(mul_channel, NULL),
        [FV_OP_ADD] = ROW(add, NULL),
        [FV_OP_AFFINE] = ROW(affine, NULL),
        [FV_OP_MEAN_HW] = ROW(mean_hw, NULL),
        [FV_OP_MIX_ROWS] = ROW(mix_rows, NULL),
        [FV_OP_LAYERNORM] = ROW(layernorm, NULL),
        [FV_OP_ATTENTION] = ROW(attention, fv_cpu_attention_prepare),
        [FV_OP_SEPARABLE] = ROW(separable, fv_cpu_separable_prepare),
        [FV_OP_WARP] = ROW(warp, fv_cpu_warp_prepare),
        [FV_OP_PERTURB] = ROW(perturb, NULL),
    };
    for (int i = 0; i < FV_OP_COUNT; i++)
        if (faster[i].forward) rows[i] = faster[i];
}
