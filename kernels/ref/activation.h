/* The activations and their derivatives, shared by act and by the ops that fuse one.
 *
 * The derivative takes what backward kept: the output y for relu, relu6, sigmoid and tanh, the
 * input x for silu, gelu and quick_gelu (see fv_ops[].keeps). */
#ifndef FV_REF_ACTIVATION_H
#define FV_REF_ACTIVATION_H

#include <math.h>

#include "kernels/ref/ref.h"

static inline real activate(fv_act act, real x)
{
    switch (act) {
    case FV_ACT_RELU:
        return x > 0 ? x : 0;
    case FV_ACT_RELU6:
        return x > 6 ? 6 : x > 0 ? x : 0;
    case FV_ACT_SILU:
        return (real)(x / (1 + exp(-(double)x)));
    case FV_ACT_SIGMOID:
        return (real)(1 / (1 + exp(-(double)x)));
    case FV_ACT_GELU:
        return (real)(x * 0.5 * (1 + erf((double)x * 0.70710678118654752440)));
    case FV_ACT_QUICK_GELU:
        return (real)(x / (1 + exp(-1.702 * (double)x)));
    case FV_ACT_TANH:
        return (real)tanh((double)x);
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return x;
}

static inline real activation_slope(fv_act act, real kept)
{
    double k = kept, s;
    switch (act) {
    case FV_ACT_RELU:
        return k > 0;
    case FV_ACT_RELU6:
        return k > 0 && k < 6;
    case FV_ACT_SILU:
        s = 1 / (1 + exp(-k));
        return (real)(s + k * s * (1 - s));
    case FV_ACT_SIGMOID:
        return (real)(k * (1 - k));
    case FV_ACT_GELU:
        return (real)(0.5 * (1 + erf(k * 0.70710678118654752440)) +
                      k * 0.39894228040143267794 * exp(-0.5 * k * k));
    case FV_ACT_QUICK_GELU:
        s = 1 / (1 + exp(-1.702 * k));
        return (real)(s + 1.702 * k * s * (1 - s));
    case FV_ACT_TANH:
        return (real)(1 - k * k);
    case FV_ACT_NONE:
    case FV_ACT_COUNT:
        break;
    }
    return 1;
}

/* y = act(y) + x2 in place; aux, if any, keeps what went in. */
static inline void finish_activation(const fv_op *op)
{
    real *y = op->y->data, *aux = op->aux ? op->aux->data : NULL;
    const real *x2 = op->x2 ? op->x2->data : NULL;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++) {
        if (aux) aux[i] = y[i];
        y[i] = activate(op->act, y[i]);
        if (x2) y[i] += x2[i];
    }
}

/* dy *= act'. */
static inline void undo_activation(const fv_op *op)
{
    if (op->act == FV_ACT_NONE) return;
    real *dy = op->dy->data;
    const real *kept = fv_slope_from(op)->data;
    for (size_t i = 0, n = fv_count(op->y->shape); i < n; i++)
        dy[i] *= activation_slope(op->act, kept[i]);
}

/* dx2 = dy of a residual, after dx: they may be one tensor. */
static inline void pass_on(const fv_op *op)
{
    const real *dy = op->dy->data;
    real *dx2 = op->dx2 ? op->dx2->data : NULL;
    for (size_t i = 0, n = fv_count(op->y->shape); dx2 && i < n; i++)
        dx2[i] = op->add_dx2 ? dx2[i] + dy[i] : dy[i];
}

/* dx = value, or dx += value. */
static inline void put(real *dx, bool add, double value)
{
    *dx = add ? (real)(*dx + value) : (real)value;
}

#endif
