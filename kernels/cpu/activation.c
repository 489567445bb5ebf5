/* Activations and their slopes on runs of floats, written so that the compiler makes vectors of
 * them. exp is a polynomial (relative error below 3e-7 on the whole range), because a call into
 * the math library would end the vector. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

/* 2^n * p(r): x = n ln 2 + r, |r| <= ln 2 / 2, p the Taylor series to the sixth power; the error
 * of the series is 1.2e-7 at the ends. Not-a-number stays one. */
static inline float exponential(float x)
{
    float clamped = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = rintf(clamped * 1.44269504f);
    float r = clamped - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    union {
        uint32_t bits;
        float value;
    } power = {((uint32_t)(int32_t)n + 127) << 23};
    return p * power.value;
}

static inline float logistic(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

FV_VECTOR static void relu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] < 0 ? 0 : y[i];
}

FV_VECTOR static void relu6(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = y[i] < 0 ? 0 : y[i];
        y[i] = x > 6 ? 6 : x;
    }
}

FV_VECTOR static void silu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] * logistic(y[i]);
}

FV_VECTOR static void sigmoid(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = logistic(y[i]);
}

static void gelu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = 0.5f * y[i] * (1.0f + erff(y[i] * 0.70710678f));
}

static void hyperbolic(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = tanhf(y[i]);
}

FV_VECTOR static void add_bias(float *y, const float *bias, size_t period, size_t n)
{
    for (size_t at = 0; at < n; at += period)
        for (size_t i = 0; i < period; i++) y[at + i] += bias[i];
}

void fv_cpu_activate(fv_act act, float *y, float *aux, const float *bias, size_t period,
                     size_t count)
{
    if (bias) add_bias(y, bias, period, count);
    if (aux) memcpy(aux, y, count * sizeof *y);
    switch (act) {
    case FV_ACT_RELU:
        relu(y, count);
        break;
    case FV_ACT_RELU6:
        relu6(y, count);
        break;
    case FV_ACT_SILU:
        silu(y, count);
        break;
    case FV_ACT_SIGMOID:
        sigmoid(y, count);
        break;
    case FV_ACT_GELU:
        gelu(y, count);
        break;
    case FV_ACT_TANH:
        hyperbolic(y, count);
        break;
    default:
        break;
    }
}

FV_VECTOR static void relu_slope(float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = y[i] > 0 ? dy[i] : 0;
}

FV_VECTOR static void relu6_slope(float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] = (y[i] > 0) & (y[i] < 6) ? dy[i] : 0;
}

FV_VECTOR static void silu_slope(float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float s = logistic(x[i]);
        dy[i] *= s + x[i] * s * (1 - s);
    }
}

FV_VECTOR static void sigmoid_slope(float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] *= y[i] * (1 - y[i]);
}

static void gelu_slope(float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] *=
            0.5f * (1 + erff(x[i] * 0.70710678f)) + x[i] * 0.39894228f * expf(-0.5f * x[i] * x[i]);
}

FV_VECTOR static void tanh_slope(float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) dy[i] *= 1 - y[i] * y[i];
}

void fv_cpu_slope(fv_act act, float *dy, const float *kept, size_t count)
{
    switch (act) {
    case FV_ACT_RELU:
        relu_slope(dy, kept, count);
        break;
    case FV_ACT_RELU6:
        relu6_slope(dy, kept, count);
        break;
    case FV_ACT_SILU:
        silu_slope(dy, kept, count);
        break;
    case FV_ACT_SIGMOID:
        sigmoid_slope(dy, kept, count);
        break;
    case FV_ACT_GELU:
        gelu_slope(dy, kept, count);
        break;
    case FV_ACT_TANH:
        tanh_slope(dy, kept, count);
        break;
    default:
        break;
    }
}

/* --- over whole tensors --- */

enum { PIECE = 16384 };

typedef struct slopes {
    fv_act act;
    float *dy;
    const float *kept;
    size_t count;
} slopes;

static void slope_task(void *context, int i)
{
    const slopes *s = context;
    size_t at = (size_t)i * PIECE, n = s->count - at < PIECE ? s->count - at : PIECE;
    fv_cpu_slope(s->act, s->dy + at, s->kept + at, n);
}

void fv_cpu_undo_activation(fv_backend *be, const fv_op *op)
{
    if (op->act == FV_ACT_NONE) return;
    bool from_aux = fv_ops[op->kind].keeps(op) & FV_KEEP_AUX;
    size_t count = fv_count(op->y->shape);
    slopes s = {op->act, op->dy->data, from_aux ? op->aux->data : op->y->data, count};
    fv_parallel(be, (int)((count + PIECE - 1) / PIECE), slope_task, &s);
}
