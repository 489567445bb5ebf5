/* Activations and their slopes on vectors. `act` is a constant wherever these are called from a
 * switch, so that each call becomes one straight loop. Formulas: kernels/op.h. */
#ifndef FV_CPU_ACTIVATION_H
#define FV_CPU_ACTIVATION_H

#include "kernels/cpu/isa.h"
#include "kernels/op.h"

/* Phi(x), the normal distribution, to 2e-7: erf by Abramowitz and Stegun 7.1.26. */
INLINE vf v_normal(vf x)
{
    vf positive = v_max(x, -x), z = positive * 0.70710678f;
    vf t = v_reciprocal(1.0f + 0.3275911f * z);
    vf p = v_all(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vf tail = 0.5f * p * t * v_exp(-z * z);
    return v_choose(x < 0, tail, 1.0f - tail);
}

/* 2^f for |f| <= 1/2, off by 1.6e-7 */
INLINE vf v_short_power(vf f)
{
    vf p = v_all(1.3264727e-3f);
    p = p * f + 9.671513e-3f;
    p = p * f + 5.5507336e-2f;
    p = p * f + 2.4022242e-1f;
    p = p * f + 6.93147e-1f;
    return p * f + 1.0f;
}

/* 1 + e^-x for SiLU, of which a large network computes two hundred million a step: with fewer
 * instructions than v_logistic. SiLU's relative error is below 4e-7 from x = -5 on, where it
 * counts, and 1e-6 at -60, with 1 / ln 2 of one number.
 * With AVX-512, 2^126 leaves 1 + 2^t finite, and what is lower than 2^-126 becomes 0 by itself;
 * with AVX2, n is the low bits of a sum, and is added to an exponent. */
INLINE vf v_silu_divisor(vf x)
{
#if defined(__AVX512F__)
    vf t = v_min(v_all(126.0f), x * -1.44269504f), n = v_round(t), f = t - n;
    return 1.0f + (vf)_mm512_scalef_ps(v_short_power(f), n);
#elif defined(__FMA__)
    x = v_min(v_all(87.0f), v_max(v_all(-87.0f), x));
    const vf turn = v_all(-1.44269504f), shift = v_all(12582912.0f); /* 1.5 * 2^23 */
    vf z = _mm256_fmadd_ps(x, turn, shift), f = _mm256_fmsub_ps(x, turn, z - shift);
    return 1.0f + (vf)((vu)v_short_power(f) + ((vu)z << 23));
#else
    return 1.0f + v_exp(-x);
#endif
}

INLINE vf v_silu_logistic(vf x)
{
    return v_reciprocal(v_silu_divisor(x));
}

INLINE vf v_activate(const fv_act act, vf x)
{
    const vf zero = {0};
    switch (act) {
    case FV_ACT_RELU:
        return v_max(zero, x);
    case FV_ACT_RELU6:
        return v_min(v_all(6), v_max(zero, x));
    case FV_ACT_SILU:
#if defined(__AVX512F__)
        return x * v_silu_logistic(x);
#else
        return x / v_silu_divisor(x); /* one rounding less where a division it is anyway */
#endif
    case FV_ACT_SIGMOID:
        return v_logistic(x);
    case FV_ACT_GELU:
        return x * v_normal(x);
    case FV_ACT_TANH:
        return 2.0f * v_logistic(2.0f * x) - 1.0f;
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return x;
}

/* act' from what fv_ops[].keeps keeps: y for relu, relu6, sigmoid and tanh, else x. */
INLINE vf v_slope(const fv_act act, vf kept)
{
    const vf zero = {0}, one = v_all(1);
    switch (act) {
    case FV_ACT_RELU:
        return v_choose(kept > 0, one, zero);
    case FV_ACT_RELU6:
        return v_choose((kept > 0) & (kept < 6), one, zero);
    case FV_ACT_SILU: {
        vf s = v_silu_logistic(kept);
        return s * (1.0f + kept * (1.0f - s));
    }
    case FV_ACT_SIGMOID:
        return kept * (1.0f - kept);
    case FV_ACT_GELU:
        return v_normal(kept) + kept * 0.39894228f * v_exp(-0.5f * kept * kept);
    case FV_ACT_TANH:
        return 1.0f - kept * kept;
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return one;
}

/* Calls f(act, ...) with act as a constant. */
#define FV_WITH_ACT(act, f, ...)                                                                   \
    switch (act) {                                                                                 \
    case FV_ACT_RELU:                                                                              \
        f(FV_ACT_RELU, __VA_ARGS__);                                                               \
        break;                                                                                     \
    case FV_ACT_RELU6:                                                                             \
        f(FV_ACT_RELU6, __VA_ARGS__);                                                              \
        break;                                                                                     \
    case FV_ACT_SILU:                                                                              \
        f(FV_ACT_SILU, __VA_ARGS__);                                                               \
        break;                                                                                     \
    case FV_ACT_SIGMOID:                                                                           \
        f(FV_ACT_SIGMOID, __VA_ARGS__);                                                            \
        break;                                                                                     \
    case FV_ACT_GELU:                                                                              \
        f(FV_ACT_GELU, __VA_ARGS__);                                                               \
        break;                                                                                     \
    case FV_ACT_TANH:                                                                              \
        f(FV_ACT_TANH, __VA_ARGS__);                                                               \
        break;                                                                                     \
    case FV_ACT_NONE:                                                                              \
    case FV_ACT_COUNT:                                                                             \
        f(FV_ACT_NONE, __VA_ARGS__);                                                               \
        break;                                                                                     \
    }

#endif
