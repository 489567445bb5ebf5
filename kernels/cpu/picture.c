/* warp and colour_jitter. Formulas: kernels/op.h. A warp's backward scatters, so every view writes
 * into a picture of its own, and these are summed in the order of the views. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/level.h"
#include "kernels/rng.h"

/* Position mirrored into 0 .. size-1 about the centres of the edge pixels. */
static inline int mirrored(int at, int size)
{
    if (at >= 0 && at < size) return at;
    if (size == 1) return 0;
    int period = 2 * (size - 1);
    at %= period;
    if (at < 0) at += period;
    return at < size ? at : period - at;
}

typedef struct corners {
    size_t at[4];
    float weight[4];
} corners;

static inline corners corners_of(const float *m, int i, int j, fv_shape s)
{
    double px = d_fma((double)m[0], j, d_fma((double)m[1], i, (double)m[2]));
    double py = d_fma((double)m[3], j, d_fma((double)m[4], i, (double)m[5]));
    double fx = floor(px), fy = floor(py);
    float u = (float)(px - fx), v = (float)(py - fy);
    int x0 = mirrored((int)fx, s.w), x1 = mirrored((int)fx + 1, s.w);
    int y0 = mirrored((int)fy, s.h), y1 = mirrored((int)fy + 1, s.h);
    size_t w = (size_t)s.w, c = (size_t)s.c;
    return (corners){{((size_t)y0 * w + (size_t)x0) * c, ((size_t)y0 * w + (size_t)x1) * c,
                      ((size_t)y1 * w + (size_t)x0) * c, ((size_t)y1 * w + (size_t)x1) * c},
                     {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u}};
}

static void *op_context(const fv_op *op)
{
    return (void *)(uintptr_t)op;
}

/* One line of one view. */
static void warp_task(void *context, int task)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int n = task / ys.h, i = task % ys.h;
    size_t c = (size_t)xs.c;
    const float *m = (const float *)op->w->data + 6 * n;
    const float *x =
        (const float *)op->x->data + (xs.n == 1 ? 0 : (size_t)n * (size_t)xs.h * (size_t)xs.w * c);
    float *y = (float *)op->y->data + (size_t)task * (size_t)ys.w * c;
    for (int j = 0; j < ys.w; j++, y += c) {
        corners from = corners_of(m, i, j, xs);
        for (size_t k = 0; k < c; k++) /* few: nearly always 3 */
            y[k] = f_fma(from.weight[0], x[from.at[0] + k], from.weight[1] * x[from.at[1] + k]) +
                   f_fma(from.weight[2], x[from.at[2] + k], from.weight[3] * x[from.at[3] + k]);
    }
}

void ISA(warp_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->y->shape.n * op->y->shape.h, warp_task, op_context(op));
}

fv_status ISA(warp_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    fv_shape x = op->x->shape;
    op->scratch_bytes =
        (size_t)op->y->shape.n * (size_t)x.h * (size_t)x.w * (size_t)x.c * sizeof(float);
    return FV_OK;
}

/* One view into its own picture in scratch. */
static void warp_back_task(void *context, int n)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, count = (size_t)xs.h * (size_t)xs.w * c;
    const float *m = (const float *)op->w->data + 6 * n;
    const float *dy = (const float *)op->dy->data + (size_t)n * (size_t)ys.h * (size_t)ys.w * c;
    float *dx = (float *)op->scratch + (size_t)n * count;
    memset(dx, 0, count * sizeof *dx);
    for (int i = 0; i < ys.h; i++)
        for (int j = 0; j < ys.w; j++, dy += c) {
            corners to = corners_of(m, i, j, xs);
            for (int q = 0; q < 4; q++)
                for (size_t k = 0; k < c; k++)
                    dx[to.at[q] + k] = f_fma(to.weight[q], dy[k], dx[to.at[q] + k]);
        }
}

/* One line of dx: the views' lines summed. */
static void gather_task(void *context, int task)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape;
    size_t line = (size_t)xs.w * (size_t)xs.c, count = (size_t)xs.h * line;
    float *dx = (float *)op->dx->data + (size_t)task * line;
    bool shared = xs.n == 1;
    const float *views = (const float *)op->scratch + (size_t)task * line;
    if (!op->add_dx) memset(dx, 0, line * sizeof *dx);
    for (int n = 0; n < (shared ? op->y->shape.n : 1); n++, views += count)
        for (size_t i = 0; i < line; i++) dx[i] += views[i];
}

void ISA(warp_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_parallel(be, op->y->shape.n, warp_back_task, op_context(op));
    fv_parallel(be, op->x->shape.n * op->x->shape.h, gather_task, op_context(op));
}

/* --- colour_jitter --- */

enum { PAIRS = 2048 }; /* of elements a task */

static size_t view_size(const fv_op *op)
{
    return (size_t)op->x->shape.h * (size_t)op->x->shape.w * (size_t)op->x->shape.c;
}

static int tasks_a_view(const fv_op *op)
{
    return (int)((view_size(op) + 2 * PAIRS - 1) / (2 * PAIRS));
}

enum { BLOCK = 16 }; /* Philox counters that go through their rounds side by side */

/* One round of Philox on BLOCK counters; see kernels/rng.h. */
static void philox_round(uint32_t c[4][BLOCK], uint32_t k0, uint32_t k1)
{
#if defined(__AVX512F__)
    __m512i c0 = _mm512_loadu_si512(c[0]), c2 = _mm512_loadu_si512(c[2]);
    __m512i m0 = _mm512_set1_epi32((int)0xD2511F53u), m1 = _mm512_set1_epi32((int)0xCD9E8D57u);
    __m512i even0 = _mm512_mul_epu32(c0, m0), even1 = _mm512_mul_epu32(c2, m1);
    __m512i odd0 = _mm512_mul_epu32(_mm512_srli_epi64(c0, 32), m0);
    __m512i odd1 = _mm512_mul_epu32(_mm512_srli_epi64(c2, 32), m1);
    __m512i high0 = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even0, 32), odd0);
    __m512i high1 = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even1, 32), odd1);
    __m512i low0 = _mm512_mask_blend_epi32(0xaaaa, even0, _mm512_slli_epi64(odd0, 32));
    __m512i low1 = _mm512_mask_blend_epi32(0xaaaa, even1, _mm512_slli_epi64(odd1, 32));
    __m512i one = _mm512_xor_si512(_mm512_loadu_si512(c[1]), _mm512_set1_epi32((int)k0));
    __m512i three = _mm512_xor_si512(_mm512_loadu_si512(c[3]), _mm512_set1_epi32((int)k1));
    _mm512_storeu_si512(c[0], _mm512_xor_si512(high1, one));
    _mm512_storeu_si512(c[1], low1);
    _mm512_storeu_si512(c[2], _mm512_xor_si512(high0, three));
    _mm512_storeu_si512(c[3], low0);
#else
    for (int i = 0; i < BLOCK; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0][i], p1 = (uint64_t)0xCD9E8D57u * c[2][i];
        c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
        c[1][i] = (uint32_t)p1;
        c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
        c[3][i] = (uint32_t)p0;
    }
#endif
}

/* Noise of elements 2 * first .. 2 * (first + BLOCK) - 1: fv_philox and fv_normal, as vectors. */
static void noise_block(float out[2 * BLOCK], uint64_t seed, uint32_t first, uint32_t step,
                        uint32_t view)
{
    uint32_t c[4][BLOCK];
    for (uint32_t i = 0; i < BLOCK; i++) {
        c[0][i] = first + i;
        c[1][i] = step;
        c[2][i] = view;
        c[3][i] = FV_STREAM_NOISE;
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < BLOCK; i++) {
        out[2 * i] = fv_normal(c[0][i], c[1][i]);
        out[2 * i + 1] = fv_normal(c[2][i], c[3][i]);
    }
}

static void colour_jitter_task(void *context, int task)
{
    const fv_op *op = context;
    int each = tasks_a_view(op), n = task / each;
    size_t size = view_size(op), begin = (size_t)(task % each) * 2 * PAIRS;
    size_t end = begin + 2 * PAIRS < size ? begin + 2 * PAIRS : size;
    const float *w = (const float *)op->w->data + FV_JITTER_COLUMNS * n;
    const int32_t *key = (const int32_t *)op->b->data + FV_JITTER_KEYS * n;
    const float *x = (const float *)op->x->data + (size_t)n * size;
    float *y = (float *)op->y->data + (size_t)n * size, sigma = w[FV_JITTER_SIGMA];
    uint64_t seed = (uint32_t)key[FV_JITTER_SEED_LO] | (uint64_t)(uint32_t)key[FV_JITTER_SEED_HI]
                                                           << 32;
    float noise[2 * BLOCK] = {0}, gain[2 * BLOCK + 2], shift[2 * BLOCK + 2];
    for (size_t i = 0; i < 2 * BLOCK + 2; i++) {
        gain[i] = w[FV_JITTER_GAIN + i % 3];
        shift[i] = w[FV_JITTER_SHIFT + i % 3];
    }
    for (size_t e = begin; e < end; e += 2 * BLOCK) {
        if (sigma != 0)
            noise_block(noise, seed, (uint32_t)(e / 2), (uint32_t)key[FV_JITTER_STEP],
                        (uint32_t)key[FV_JITTER_VIEW]);
        size_t count = end - e < 2 * BLOCK ? end - e : 2 * BLOCK;
        const float *g = gain + e % 3, *s = shift + e % 3;
        for (size_t i = 0; i < count; i++)
            y[e + i] = f_fma(x[e + i], g[i], f_fma(sigma, noise[i], s[i]));
    }
}

void ISA(colour_jitter_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * tasks_a_view(op), colour_jitter_task, op_context(op));
}

static void colour_jitter_back_task(void *context, int task)
{
    const fv_op *op = context;
    int each = tasks_a_view(op), n = task / each;
    size_t size = view_size(op), begin = (size_t)(task % each) * 2 * PAIRS;
    size_t end = begin + 2 * PAIRS < size ? begin + 2 * PAIRS : size;
    const float *w = (const float *)op->w->data + FV_JITTER_COLUMNS * n;
    const float *dy = (const float *)op->dy->data + (size_t)n * size;
    float *dx = (float *)op->dx->data + (size_t)n * size;
    float gain[3 * 16 + 2];
    for (size_t i = 0; i < 3 * 16 + 2; i++) gain[i] = w[FV_JITTER_GAIN + i % 3];
    for (size_t e = begin; e < end; e += 3 * 16) {
        size_t count = end - e < 3 * 16 ? end - e : 3 * 16;
        const float *g = gain + e % 3;
        for (size_t i = 0; i < count; i++)
            dx[e + i] = op->add_dx ? f_fma(dy[e + i], g[i], dx[e + i]) : dy[e + i] * g[i];
    }
}

void ISA(colour_jitter_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        fv_parallel(be, op->x->shape.n * tasks_a_view(op), colour_jitter_back_task, op_context(op));
}
