/* Activations and their slopes over runs of numbers. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/level.h"

INLINE void run(const fv_act act, float *y, const float *x, float *aux, const float *bias, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = v_load(x + i);
        if (bias) v += v_load(bias + i);
        if (aux) v_store(aux + i, v);
        v_store(y + i, v_activate(act, v));
    }
    if (i == n) return;
    vf v = v_load_part(x + i, n - i);
    if (bias) v += v_load_part(bias + i, n - i);
    if (aux) v_store_part(aux + i, v, n - i);
    v_store_part(y + i, v_activate(act, v), n - i);
}

void ISA(activate)(fv_act act, float *y, const float *x, float *aux, const float *bias,
                   size_t period, size_t count)
{
    for (size_t at = 0; at < count; at += period)
        FV_WITH_ACT(act, run, y + at, x + at, aux ? aux + at : NULL, bias, period)
}

INLINE void run_slope(const fv_act act, float *to, const float *dy, const float *kept, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(to + i, v_sloped(act, v_load(dy + i), v_load(kept + i)));
    if (i == n) return;
    vf rest = v_sloped(act, v_load_part(dy + i, n - i), v_load_part(kept + i, n - i));
    v_store_part(to + i, rest, n - i);
}

void ISA(slope)(fv_act act, float *to, const float *dy, const float *kept, size_t count)
{
    FV_WITH_ACT(act, run_slope, to, dy, kept, count)
}
