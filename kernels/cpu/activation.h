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
    vf t = v_reciprocal(v_fma(z, v_all(0.3275911f), v_all(1.0f)));
    vf p = v_all(1.061405429f);
    p = v_fma(p, t, v_all(-1.453152027f));
    p = v_fma(p, t, v_all(1.421413741f));
    p = v_fma(p, t, v_all(-0.284496736f));
    p = v_fma(p, t, v_all(0.254829592f));
    vf power, e = v_exp_parts(-(z * z), &power);
#if defined(__AVX512F__)
    vf tail = t * (p * e * (0.5f * power));
#else
    vf tail = e * (0.5f * t * (p * power));
#endif
    return v_choose(x < 0, tail, 1.0f - tail);
}

/* 2^f for |f| <= 1/2, off by 1.6e-7 */
INLINE vf v_short_power(vf f)
{
    vf p = v_all(1.3264727e-3f);
    p = v_fma(p, f, v_all(9.671513e-3f));
    p = v_fma(p, f, v_all(5.5507336e-2f));
    p = v_fma(p, f, v_all(2.4022242e-1f));
    p = v_fma(p, f, v_all(6.93147e-1f));
    return v_fma(p, f, v_all(1.0f));
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

INLINE vf v_tanh(vf x)
{
    vf divisor = 1.0f + v_exp(-2.0f * x);
#if defined(__AVX512F__)
    vf r = _mm512_rcp14_ps(divisor);
    return v_fma(2.0f * r, v_fnma(divisor, r, v_all(2.0f)), v_all(-1.0f));
#else
    return 2.0f * (1.0f / divisor) - 1.0f;
#endif
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
        return v_divide(x, v_silu_divisor(x));
#else
        return x / v_silu_divisor(x); /* one rounding less where a division it is anyway */
#endif
    case FV_ACT_SIGMOID:
        return v_logistic(x);
    case FV_ACT_GELU:
        return x * v_normal(x);
    case FV_ACT_QUICK_GELU:
#if defined(__AVX512F__)
        return v_divide(x, v_silu_divisor(1.702f * x));
#else
        return x / v_silu_divisor(1.702f * x);
#endif
    case FV_ACT_TANH:
        return v_tanh(x);
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
        return s * v_fma(kept, 1.0f - s, one);
    }
    case FV_ACT_SIGMOID:
        return kept * (1.0f - kept);
    case FV_ACT_GELU:
        return v_fma(kept * 0.39894228f, v_exp(kept * kept * -0.5f), v_normal(kept));
    case FV_ACT_QUICK_GELU: {
        vf z = 1.702f * kept, s = v_silu_logistic(z);
        return s * v_fma(z, 1.0f - s, one);
    }
    case FV_ACT_TANH:
        return v_fnma(kept, kept, one);
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return one;
}

/* dy * act'(kept) as a product of two: the second is *factor. */
INLINE vf v_slope_factors(const fv_act act, vf dy, vf kept, vf *factor)
{
    if (act == FV_ACT_SILU) {
        vf s = v_silu_logistic(kept);
        *factor = v_fma(kept, 1.0f - s, v_all(1));
        return dy * s;
    }
    if (act == FV_ACT_SIGMOID) {
        *factor = 1.0f - kept;
        return dy * kept;
    }
    *factor = v_slope(act, kept);
    return dy;
}

INLINE vf v_sloped(const fv_act act, vf dy, vf kept)
{
    vf factor, v = v_slope_factors(act, dy, kept, &factor);
    return v * factor;
}

/* sum + act(x) */
INLINE vf v_add_activated(const fv_act act, vf sum, vf x)
{
#if defined(__AVX512F__)
    if (act == FV_ACT_SILU) {
        vf divisor = v_silu_divisor(x), r = _mm512_rcp14_ps(divisor);
        return v_fma(x * r, v_fnma(divisor, r, v_all(2.0f)), sum);
    }
#endif
    return sum + v_activate(act, x);
}

/* act(x) * gate as a product of two: the second is *factor. `part`: of a vector that is not whole,
 * whose numbers have always been multiplied in another order. */
INLINE vf v_gated(const fv_act act, vf x, vf gate, const bool part, vf *factor)
{
#if defined(__AVX512F__)
    if (act == FV_ACT_SILU) {
        vf divisor = v_silu_divisor(x), r = _mm512_rcp14_ps(divisor);
        vf refined = v_fnma(divisor, r, v_all(2.0f));
        *factor = (part ? gate : r) * refined;
        return x * (part ? r : gate);
    }
#endif
    (void)part;
    *factor = gate;
    return v_activate(act, x);
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
    case FV_ACT_QUICK_GELU:                                                                        \
        f(FV_ACT_QUICK_GELU, __VA_ARGS__);                                                         \
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
