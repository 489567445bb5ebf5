/* Vectors of floats for the instruction set that this file is being compiled for.
 *
 * Every file of kernels/cpu but threads.c and dispatch.c is compiled once for each level of x86-64
 * (v2: SSE4, v3: AVX2 and FMA, v4: AVX-512; elsewhere one "base" with the compiler's own vectors).
 * FV_ISA is the level's name, and ISA(x) puts it into the names of functions that other files
 * call. A number comes out the same on any number of threads and from any compiler, but may differ
 * in its last bits between levels: fused multiply-adds round once, and sums have as many lanes as
 * vectors. */
#ifndef FV_ISA_H
#define FV_ISA_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define FV_JOIN_(a, b, c) a##_##b##_##c
#define FV_JOIN(a, b, c)  FV_JOIN_(a, b, c)
#define ISA(name)         FV_JOIN(fv_cpu, FV_ISA, name)

#define INLINE static inline __attribute__((always_inline))

/* LANES floats; ROWS[v]: rows of a register tile that is v + 1 vectors wide; WIDE: the widest. */
#if defined(__AVX512F__)
enum { LANES = 16, WIDE = 3 };
#define FV_TILE_ROWS                                                                               \
    {                                                                                              \
        14, 12, 8                                                                                  \
    }
#elif defined(__AVX2__)
enum { LANES = 8, WIDE = 2 };
#define FV_TILE_ROWS                                                                               \
    {                                                                                              \
        10, 6                                                                                      \
    }
#else
enum { LANES = 4, WIDE = 2 };
#define FV_TILE_ROWS                                                                               \
    {                                                                                              \
        8, 5                                                                                       \
    }
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vf v_load(const float *p)
{
    return *(const vf_unaligned *)(const void *)p;
}

INLINE void v_store(float *p, vf v)
{
    *(vf_unaligned *)(void *)p = v;
}

INLINE vf v_all(float x)
{
    return x - (vf){0};
}

/* a * b + c, with one rounding where there is such an instruction and two elsewhere. Only these
 * functions fuse: no compiler may by itself, and all give the same bytes. */
INLINE vf v_fma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* c - a * b */
INLINE vf v_fnma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return _mm512_fnmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fnmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return (vf)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return c - a * b;
#endif
}

/* v_fma of single numbers, for loops that the compiler makes vectors of. */
INLINE float f_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE double d_fma(double a, double b, double c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* The first n <= LANES numbers, zeros behind. */
INLINE vf v_load_part(const float *p, size_t n)
{
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    float lanes[LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i] = p[i];
    return v_load(lanes);
#endif
}

INLINE void v_store_part(float *p, vf v, size_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    float lanes[LANES];
    v_store(lanes, v);
    for (size_t i = 0; i < n; i++) p[i] = lanes[i];
#endif
}

/* Number k of vector i becomes number i of vector k. */
INLINE void v_turn(vf *v)
{
#if defined(__AVX512F__)
    vf t[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) { /* quarter q of v[i + k]: number 4 q + k of rows i .. */
        int from = i / 4 * 4 + i % 4 / 2;
        v[i] = (vf)_mm512_unpacklo_pd((__m512d)t[from], (__m512d)t[from + 2]);
        v[i + 1] = (vf)_mm512_unpackhi_pd((__m512d)t[from], (__m512d)t[from + 2]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) { /* quarters 0 and 2, then 1 and 3 */
        int at = i / 4 * 8 + i % 4;
        t[at] = _mm512_shuffle_f32x4(v[at], v[at + 4], 0x88);
        t[at + 4] = _mm512_shuffle_f32x4(v[at], v[at + 4], 0xdd);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) {
        v[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
#else
    float to[LANES][LANES];
    for (int i = 0; i < LANES; i++)
        for (int k = 0; k < LANES; k++) to[k][i] = v[i][k];
    for (int i = 0; i < LANES; i++) v[i] = v_load(to[i]);
#endif
}

/* v_load_part and v_store_part where mostly lanes == LANES. */
INLINE vf load_lanes(const float *p, size_t lanes)
{
    return lanes == LANES ? v_load(p) : v_load_part(p, lanes);
}

INLINE void store_lanes(float *p, vf v, size_t lanes)
{
    if (lanes == LANES)
        v_store(p, v);
    else
        v_store_part(p, v, lanes);
}

/* Numbers of `rows` rows, `columns` of each (LANES at most), turned round: column i goes to
 * to[i * step], the first `kept` numbers of a vector that is zero behind `rows`. */
INLINE void v_turn_square(const float *from, size_t row, size_t rows, size_t columns, float *to,
                          size_t step, size_t kept)
{
    vf v[LANES];
    for (size_t i = 0; i < LANES; i++)
        v[i] = i < rows ? load_lanes(from + i * row, columns) : (vf){0};
    v_turn(v);
    for (size_t i = 0; i < columns; i++) store_lanes(to + i * step, v[i], kept);
}

/* mask ? a : b, lane by lane; mask is what a comparison of vectors gives. */
INLINE vf v_choose(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

INLINE vf v_max(vf a, vf b) /* b where a is not a number */
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#else
    return v_choose(a > b, a, b);
#endif
}

INLINE vf v_min(vf a, vf b) /* b where a is not a number */
{
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX__)
    return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
    return _mm_min_ps(a, b);
#else
    return v_choose(a < b, a, b);
#endif
}

/* Sum of the lanes, halves first. */
INLINE float v_sum(vf v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(v);
#else
    float lanes[LANES];
    v_store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
#endif
}

/* Halves of v added: LANES / 2 numbers; and their sum, halves first. */
INLINE void v_fold(float *to, vf v)
{
    float lanes[LANES];
    v_store(lanes, v);
    for (int i = 0; i < LANES / 2; i++) to[i] = lanes[i] + lanes[i + LANES / 2];
}

INLINE float f_add_up(const float *parts)
{
    float sum[LANES / 2];
    memcpy(sum, parts, sizeof sum);
    for (int half = LANES / 4; half; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

#if defined(__AVX512F__)
/* Of eight vectors: pairs of sums of halves, of quarters, of eighths; the same additions as in
 * v_sum, and so the same bits, with a third of the instructions. */
INLINE __m256 v_sums_of_eight(const vf *v)
{
    vf half[4], quarter[2];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        half[i] = _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44) +
                  _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xee);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        quarter[i] = _mm512_shuffle_f32x4(half[2 * i], half[2 * i + 1], 0x88) +
                     _mm512_shuffle_f32x4(half[2 * i], half[2 * i + 1], 0xdd);
    vf pair = _mm512_shuffle_ps(quarter[0], quarter[1], 0x44) +
              _mm512_shuffle_ps(quarter[0], quarter[1], 0xee);
    vf sum = pair + (vf)_mm512_permute_ps(pair, 0xb1);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sum));
}
#endif

/* sums[i] += the sum of the lanes of v[i]; count is a constant */
INLINE void v_add_sums(float *sums, const vf *v, const int count)
{
    int i = 0;
#if defined(__AVX512F__)
#pragma GCC unroll 8
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(sums + i, _mm256_loadu_ps(sums + i) + v_sums_of_eight(v + i));
#endif
#pragma GCC unroll 8
    for (; i < count; i++) sums[i] += v_sum(v[i]);
}

/* Keeps the compiler from seeing where a vector comes from. */
#if defined(__SSE2__)
#define FV_HIDE(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define FV_HIDE(v) __asm__("" : "+w"(v))
#else
#define FV_HIDE(v) __asm__("" : "+m"(v))
#endif

INLINE vf v_round(vf x) /* to the nearest whole number, |x| < 2^22 */
{
#if defined(__AVX512F__)
    return _mm512_roundscale_ps(x, 8);
#elif defined(__AVX__)
    return _mm256_round_ps(x, 8);
#else
    const vf shift = v_all(12582912.0f); /* 1.5 * 2^23: whole numbers apart */
    vf high = x + shift;
    FV_HIDE(high); /* (x + s) - s is not x here */
    return high - shift;
#endif
}

/* e^x as 2^f and *power = 2^n, relative error below 2.5e-7; 0 below about -87, never infinite.
 * x = (n + f) ln 2 with |f| <= 1/2, and 2^f is a polynomial whose coefficients make the largest
 * error small. */
INLINE vf v_exp_parts(vf x, vf *power)
{
    x = v_min(v_all(88.0f), v_max(v_all(-87.3f), x)); /* second operand: not-a-number stays */
    vf t = x * 1.44269504f, n = v_round(t);
    vf f = t - n;
#if defined(__FMA__) || defined(__aarch64__)
    f = v_fma(x, v_all(1.92596299e-8f), f); /* the rest of 1 / ln 2 */
#endif
    vf p = v_all(1.5403530e-4f);
    p = v_fma(p, f, v_all(1.3333558e-3f));
    p = v_fma(p, f, v_all(9.6181291e-3f));
    p = v_fma(p, f, v_all(5.5504109e-2f));
    p = v_fma(p, f, v_all(2.4022651e-1f));
    p = v_fma(p, f, v_all(6.9314718e-1f));
    p = v_fma(p, f, v_all(1.0f));
    /* unsigned: shifts cannot fail */
    *power = (vf)(((vu) __builtin_convertvector(n, vi) + 127) << 23);
    return p;
}

INLINE vf v_exp(vf x)
{
    vf power, p = v_exp_parts(x, &power);
    return p * power;
}

/* 1 / x for finite x >= 1, relative error below 1.2e-7. */
INLINE vf v_reciprocal(vf x)
{
#if defined(__AVX512F__)
    vf r = _mm512_rcp14_ps(x);
    return r * v_fnma(x, r, v_all(2.0f));
#else
    return 1.0f / x;
#endif
}

/* a / x */
INLINE vf v_divide(vf a, vf x)
{
#if defined(__AVX512F__)
    vf r = _mm512_rcp14_ps(x);
    return a * r * v_fnma(x, r, v_all(2.0f));
#else
    return a / x;
#endif
}

INLINE vf v_logistic(vf x)
{
    return v_reciprocal(1.0f + v_exp(-x));
}

#endif
