/* Activations and their slopes over runs of numbers and whole tensors. */
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
        v_store(to + i, v_load(dy + i) * v_slope(act, v_load(kept + i)));
    if (i == n) return;
    vf slope = v_slope(act, v_load_part(kept + i, n - i));
    v_store_part(to + i, v_load_part(dy + i, n - i) * slope, n - i);
}

void ISA(slope)(fv_act act, float *to, const float *dy, const float *kept, size_t count)
{
    FV_WITH_ACT(act, run_slope, to, dy, kept, count)
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
    ISA(slope)(s->act, s->dy + at, s->dy + at, s->kept + at, n);
}

void ISA(undo_activation)(fv_backend *be, const fv_op *op)
{
    if (op->act == FV_ACT_NONE) return;
    bool from_aux = fv_ops[op->kind].keeps(op) & FV_KEEP_AUX;
    size_t count = fv_count(op->y->shape);
    slopes s = {op->act, op->dy->data, from_aux ? op->aux->data : op->y->data, count};
    fv_parallel(be, (int)((count + PIECE - 1) / PIECE), slope_task, &s);
}
