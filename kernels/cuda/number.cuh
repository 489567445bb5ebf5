/* Numbers as they are stored (float, fp16, bfloat16) and as kernels compute with them: in float.
 *
 * A view is a tensor as a kernel sees it: get and set one number, or up to eight in a row.
 * flat<T> knows its format at compile time and moves 16 bytes at once; mixed asks for it at run
 * time, for the few ops whose tensors have different formats or odd addresses. */
#ifndef FV_CUDA_NUMBER_CUH
#define FV_CUDA_NUMBER_CUH

#include <string.h>

#include "kernels/cuda/grid.cuh"
#include "kernels/op.h"

namespace FV_SPACE
{

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};

FV_BOTH uint32_t float_bits(float x)
{
#ifdef __CUDA_ARCH__
    return __float_as_uint(x);
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
#endif
}

FV_BOTH float bits_float(uint32_t u)
{
#ifdef __CUDA_ARCH__
    return __uint_as_float(u);
#else
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
#endif
}

FV_BOTH bool is_finite(float x)
{
    return (float_bits(x) & 0x7f800000u) != 0x7f800000u;
}

FV_BOTH float to_float(float x)
{
    return x;
}

/* Exact: 2^112 moves the exponent of a half that was put into the bits of a float. */
FV_BOTH float to_float(f16 x)
{
#ifdef __CUDA_ARCH__
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
    return f;
#else
    uint32_t sign = (uint32_t)(x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
    if (rest >= 0x7c00u) return bits_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    return bits_float(sign | float_bits(bits_float(rest << 13) * 0x1p112f));
#endif
}

FV_BOTH float to_float(bf16 x)
{
    return bits_float((uint32_t)x.bits << 16);
}

FV_BOTH void from_float(float x, float &out)
{
    out = x;
}

/* Round to nearest, ties to even; too large becomes infinity. */
FV_BOTH void from_float(float x, f16 &out)
{
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
#else
    uint32_t u = float_bits(x), sign = u >> 16 & 0x8000u, mag = u & 0x7fffffffu;
    if (mag >= 0x47800000u) { /* 65536 and more, infinity, NaN */
        out.bits = (uint16_t)(sign | (mag > 0x7f800000u ? 0x7e00u : 0x7c00u));
    } else if (mag < 0x38800000u) { /* below 2^-14: the float adder rounds to multiples of 2^-24 */
        float shifted = bits_float(mag) + 0.5f;
        out.bits = (uint16_t)(sign | (float_bits(shifted) - 0x3f000000u));
    } else {
        uint32_t odd = mag >> 13 & 1;
        out.bits = (uint16_t)(sign | (mag - 0x38000000u + 0xfffu + odd) >> 13);
    }
#endif
}

FV_BOTH void from_float(float x, bf16 &out)
{
    uint32_t u = float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        out.bits = (uint16_t)(u >> 16 | 0x40u);
    else
        out.bits = (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

/* The working formats of tensors; FV_FORMAT_REAL is float on this backend. */
FV_BOTH fv_format format_of(const fv_tensor *t)
{
    return t->format == FV_FORMAT_REAL ? FV_FORMAT_F32 : t->format;
}

FV_BOTH size_t format_bytes(fv_format f)
{
    return f == FV_FORMAT_F16 || f == FV_FORMAT_BF16 ? 2 : 4;
}

struct alignas(16) words4 {
    uint32_t w[4];
};

template <class T> FV_INLINE void unpack8(const T *p, float out[8])
{
    words4 w = *reinterpret_cast<const words4 *>(p);
    for (int i = 0; i < 4; i++) {
        T low, high;
        low.bits = (uint16_t)w.w[i];
        high.bits = (uint16_t)(w.w[i] >> 16);
        out[2 * i] = to_float(low);
        out[2 * i + 1] = to_float(high);
    }
}

FV_INLINE void unpack8(const float *p, float out[8])
{
    for (int half = 0; half < 2; half++) {
        words4 w = *reinterpret_cast<const words4 *>(p + 4 * half);
        for (int i = 0; i < 4; i++) out[4 * half + i] = bits_float(w.w[i]);
    }
}

template <class T> FV_INLINE void pack8(T *p, const float in[8])
{
    words4 w;
    for (int i = 0; i < 4; i++) {
        T low, high;
        from_float(in[2 * i], low);
        from_float(in[2 * i + 1], high);
        w.w[i] = low.bits | (uint32_t)high.bits << 16;
    }
    *reinterpret_cast<words4 *>(p) = w;
}

FV_INLINE void pack8(float *p, const float in[8])
{
    for (int half = 0; half < 2; half++) {
        words4 w;
        for (int i = 0; i < 4; i++) w.w[i] = float_bits(in[4 * half + i]);
        *reinterpret_cast<words4 *>(p + 4 * half) = w;
    }
}

/* n of 8 numbers of a view, one by one. */
template <class V> FV_INLINE void load_each(const V &v, size_t i, int n, float out[8])
{
    for (int k = 0; k < 8; k++) out[k] = k < n ? v.get(i + (size_t)k) : 0;
}

template <class V> FV_INLINE void store_each(const V &v, size_t i, int n, const float in[8])
{
    for (int k = 0; k < 8; k++)
        if (k < n) v.set(i + (size_t)k, in[k]);
}

template <class T> struct flat {
    T *p;
    static flat of(const fv_tensor *t)
    {
        return {t ? static_cast<T *>(t->data) : nullptr};
    }
    FV_INLINE bool there() const
    {
        return p != nullptr;
    }
    FV_INLINE float get(size_t i) const
    {
        return to_float(p[i]);
    }
    FV_INLINE void set(size_t i, float v) const
    {
        from_float(v, p[i]);
    }
    /* n of 8 numbers; 16-byte accesses when all 8 are there (i is a multiple of 8 then). */
    FV_INLINE void load(size_t i, int n, float out[8]) const
    {
        if (n == 8)
            unpack8(p + i, out);
        else
            load_each(*this, i, n, out);
    }
    FV_INLINE void store(size_t i, int n, const float in[8]) const
    {
        if (n == 8)
            pack8(p + i, in);
        else
            store_each(*this, i, n, in);
    }
};

struct mixed {
    void *p;
    fv_format format;
    static mixed of(const fv_tensor *t)
    {
        return {t ? t->data : nullptr, t ? format_of(t) : FV_FORMAT_F32};
    }
    FV_INLINE bool there() const
    {
        return p != nullptr;
    }
    FV_INLINE float get(size_t i) const
    {
        if (format == FV_FORMAT_F16) return to_float(static_cast<const f16 *>(p)[i]);
        if (format == FV_FORMAT_BF16) return to_float(static_cast<const bf16 *>(p)[i]);
        return static_cast<const float *>(p)[i];
    }
    FV_INLINE void set(size_t i, float v) const
    {
        if (format == FV_FORMAT_F16)
            from_float(v, static_cast<f16 *>(p)[i]);
        else if (format == FV_FORMAT_BF16)
            from_float(v, static_cast<bf16 *>(p)[i]);
        else
            static_cast<float *>(p)[i] = v;
    }
    FV_INLINE void load(size_t i, int n, float out[8]) const
    {
        load_each(*this, i, n, out);
    }
    FV_INLINE void store(size_t i, int n, const float in[8]) const
    {
        store_each(*this, i, n, in);
    }
};

/* --- activations, see kernels/ref/activation.h --- */

/* 1 / (1 + exp(-x)); on the device by its quick division, which is right to 2 units in the last
 * place here: the divisor is never below 1, and one above 2^126 gives the 0 it should. */
FV_BOTH float logistic(float x)
{
#ifdef __CUDA_ARCH__
    return __fdividef(1.0f, 1 + expf(-x));
#else
    return 1 / (1 + expf(-x));
#endif
}

FV_BOTH float activate(fv_act act, float x)
{
    switch (act) {
    case FV_ACT_RELU:
        return x > 0 ? x : 0;
    case FV_ACT_RELU6:
        return x > 6 ? 6 : x > 0 ? x : 0;
    case FV_ACT_SILU:
        return x * logistic(x);
    case FV_ACT_SIGMOID:
        return logistic(x);
    case FV_ACT_GELU:
        return x * 0.5f * (1 + erff(x * 0.70710678f));
    case FV_ACT_QUICK_GELU:
        return x * logistic(1.702f * x);
    case FV_ACT_TANH:
        return tanhf(x);
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return x;
}

/* kept: the input for silu, gelu and quick_gelu, the output for all others. */
FV_BOTH float activation_slope(fv_act act, float kept)
{
    float s;
    switch (act) {
    case FV_ACT_RELU:
        return kept > 0;
    case FV_ACT_RELU6:
        return kept > 0 && kept < 6;
    case FV_ACT_SILU:
        s = logistic(kept);
        return s + kept * s * (1 - s);
    case FV_ACT_SIGMOID:
        return kept * (1 - kept);
    case FV_ACT_GELU:
        return 0.5f * (1 + erff(kept * 0.70710678f)) +
               kept * 0.39894228f * expf(-0.5f * kept * kept);
    case FV_ACT_QUICK_GELU:
        s = logistic(1.702f * kept);
        return s + 1.702f * kept * s * (1 - s);
    case FV_ACT_TANH:
        return 1 - kept * kept;
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return 1;
}

} // namespace FV_SPACE

#endif
