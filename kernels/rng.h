/* Counter-based random numbers: value = f(key, counter), with no state between calls.
 *
 * Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC
 * 2011). A picture's noise is keyed by (seed, stream) and counted by (step, view, index), so
 * any step can be replayed, on any number of threads and on any device, bit for bit: integer
 * arithmetic, then sums and products of exactly representable floats. */
#ifndef FV_RNG_H
#define FV_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define FV_HOST_DEVICE __host__ __device__
#else
#define FV_HOST_DEVICE
#endif

typedef struct fv_random4 {
    uint32_t v[4];
} fv_random4;

/* Which use a random number has; part of the counter so that uses never share numbers. */
enum { FV_STREAM_INIT = 0, FV_STREAM_NOISE = 1, FV_STREAM_VIEW = 2, FV_STREAM_COLOUR = 3 };

FV_HOST_DEVICE static inline fv_random4 fv_philox(uint64_t seed, uint32_t index, uint32_t step,
                                                  uint32_t view, uint32_t stream)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = index, c1 = step, c2 = view, c3 = stream;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    fv_random4 out = {{c0, c1, c2, c3}};
    return out;
}

/* Uniform in [0, 1), 24 bits: exact in float. */
FV_HOST_DEVICE static inline float fv_uniform(uint32_t bits)
{
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

/* Nearly normal, mean 0, variance 1, |x| <= 3.47: the centred sum of four 16-bit uniforms
 * (Irwin-Hall), so that no library's log or cos decides the bits. Uses two words. */
FV_HOST_DEVICE static inline float fv_normal(uint32_t a, uint32_t b)
{
    int32_t sum = (int32_t)(a & 0xffff) + (int32_t)(a >> 16) + (int32_t)(b & 0xffff) +
                  (int32_t)(b >> 16) - 2 * 65535;
    /* variance of the sum: 4 * (65536^2 - 1) / 12 */
    return (float)sum * (1.0f / 37837.2271f);
}

#endif
