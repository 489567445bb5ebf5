/* Squeeze-excite: mean_hw and mul_channel. Tasks are runs of positions, so that memory is read
 * straight on; sums over positions are first taken run by run, into scratch, and then added in
 * the order of the runs. The runs are cut by the shape alone. */
#include "kernels/cpu/activation.h"
#include "kernels/cpu/level.h"

enum { RUN = 1 << 15, MAX_RUNS = 32 }; /* numbers of a run, at least; runs of a picture */

typedef struct cut {
    size_t positions, channels, runs;
} cut;

static cut cut_of(const fv_op *op)
{
    cut c = {(size_t)op->x->shape.h * (size_t)op->x->shape.w, (size_t)op->x->shape.c, 0};
    c.runs = c.positions * c.channels / RUN;
    if (c.runs > MAX_RUNS) c.runs = MAX_RUNS;
    if (c.runs > c.positions) c.runs = c.positions;
    if (c.runs == 0) c.runs = 1;
    return c;
}

/* Run i of a tensor like x: where it begins, and how many positions it has. */
static size_t run_of(cut c, int i, size_t *positions)
{
    size_t n = (size_t)i / c.runs, r = (size_t)i % c.runs;
    size_t begin = r * c.positions / c.runs;
    *positions = (r + 1) * c.positions / c.runs - begin;
    return (n * c.positions + begin) * c.channels;
}

static fv_status sums_scratch(fv_op *op)
{
    cut c = cut_of(op);
    op->scratch_bytes = (size_t)op->x->shape.n * c.runs * c.channels * sizeof(float);
    return FV_OK;
}

fv_status ISA(mean_hw_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    return sums_scratch(op);
}

fv_status ISA(mul_channel_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    return sums_scratch(op);
}

/* to[n,c] = factor * sum over runs of scratch[n,run,c], or added to what is there */
static void add_runs(const fv_op *op, float *to, float factor, bool add)
{
    cut c = cut_of(op);
    const float *part = op->scratch;
    for (int n = 0; n < op->x->shape.n; n++, to += c.channels) {
        for (size_t k = 0; k < c.channels; k++) {
            float sum = 0;
            for (size_t r = 0; r < c.runs; r++) sum += part[r * c.channels + k];
            to[k] = add ? f_fma(factor, sum, to[k]) : factor * sum;
        }
        part += c.runs * c.channels;
    }
}

/* --- mean_hw --- */

static void sum_task(void *context, int i)
{
    const fv_op *op = context;
    cut c = cut_of(op);
    size_t positions, at = run_of(c, i, &positions);
    const float *x = (const float *)op->x->data + at;
    float *sum = (float *)op->scratch + (size_t)i * c.channels;
    memset(sum, 0, c.channels * sizeof *sum);
    for (size_t p = 0; p < positions; p++, x += c.channels)
        for (size_t k = 0; k < c.channels; k++) sum[k] += x[k];
}

void ISA(mean_hw_forward)(fv_backend *be, const fv_op *op)
{
    cut c = cut_of(op);
    fv_parallel(be, op->x->shape.n * (int)c.runs, sum_task, (void *)(uintptr_t)op);
    add_runs(op, op->y->data, 1 / (float)c.positions, false);
}

static void spread_task(void *context, int i)
{
    const fv_op *op = context;
    cut c = cut_of(op);
    size_t positions, at = run_of(c, i, &positions);
    const float *dy = (const float *)op->dy->data + (size_t)i / c.runs * c.channels;
    float *dx = (float *)op->dx->data + at, share = 1 / (float)c.positions;
    for (size_t p = 0; p < positions; p++, dx += c.channels)
        if (op->add_dx)
            for (size_t k = 0; k < c.channels; k++) dx[k] = f_fma(dy[k], share, dx[k]);
        else
            for (size_t k = 0; k < c.channels; k++) dx[k] = dy[k] * share;
}

void ISA(mean_hw_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_parallel(be, op->x->shape.n * (int)cut_of(op).runs, spread_task, (void *)(uintptr_t)op);
}

/* --- mul_channel --- */

/* One position: y = act(x) * gate. */
INLINE void gate_forward(const fv_act act, float *y, const float *x, const float *gate, size_t n)
{
    size_t k = 0;
    vf factor;
    for (; k + LANES <= n; k += LANES) {
        vf v = v_gated(act, v_load(x + k), v_load(gate + k), false, &factor);
        v_store(y + k, v * factor);
    }
    if (k == n) return;
    size_t rest = n - k;
    vf v = v_gated(act, v_load_part(x + k, rest), v_load_part(gate + k, rest), true, &factor);
    v_store_part(y + k, v * factor, rest);
}

static void gate_task(void *context, int i)
{
    const fv_op *op = context;
    cut c = cut_of(op);
    size_t positions, at = run_of(c, i, &positions);
    fv_act act = op->x->data ? FV_ACT_NONE : op->fused.kept_act;
    const float *x = (const float *)(op->x->data ? op->x : op->fused.kept_x)->data + at;
    const float *gate = (const float *)op->x2->data + (size_t)i / c.runs * c.channels;
    float *y = (float *)op->y->data + at;
    for (size_t p = 0; p < positions; p++, x += c.channels, y += c.channels)
        FV_WITH_ACT(act, gate_forward, y, x, gate, c.channels)
}

void ISA(mul_channel_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * (int)cut_of(op).runs, gate_task, (void *)(uintptr_t)op);
}

INLINE vf share_of(vf dy, vf gate, bool add, vf was)
{
    return add ? v_fma(dy, gate, was) : dy * gate;
}

/* One position: sum += dy * act(kept), dx = dy * gate; sum, dx NULL: not wanted. */
INLINE void gate_back(const fv_act act, const float *dy, const float *kept, const float *gate,
                      float *sum, float *dx, bool add, size_t n)
{
    size_t k = 0;
    vf factor;
    for (; k + LANES <= n; k += LANES) {
        vf g = v_load(dy + k);
        if (sum) {
            vf v = v_gated(act, v_load(kept + k), g, false, &factor);
            v_store(sum + k, v_fma(v, factor, v_load(sum + k)));
        }
        if (dx) v_store(dx + k, share_of(g, v_load(gate + k), add, add ? v_load(dx + k) : g));
    }
    if (k == n) return;
    size_t rest = n - k;
    vf g = v_load_part(dy + k, rest);
    if (sum) {
        vf v = v_gated(act, v_load_part(kept + k, rest), g, true, &factor);
        v_store_part(sum + k, v_fma(v, factor, v_load_part(sum + k, rest)), rest);
    }
    if (!dx) return;
    vf was = add ? v_load_part(dx + k, rest) : g;
    v_store_part(dx + k, share_of(g, v_load_part(gate + k, rest), add, was), rest);
}

static void gate_back_task(void *context, int i)
{
    const fv_op *op = context;
    cut c = cut_of(op);
    size_t positions, at = run_of(c, i, &positions);
    fv_act act = op->fused.kept_x ? op->fused.kept_act : FV_ACT_NONE;
    const float *kept = (const float *)(op->fused.kept_x ? op->fused.kept_x : op->x)->data + at;
    const float *dy = (const float *)op->dy->data + at;
    const float *gate = (const float *)op->x2->data + (size_t)i / c.runs * c.channels;
    float *sum = op->dx2 ? (float *)op->scratch + (size_t)i * c.channels : NULL;
    float *dx = op->dx ? (float *)op->dx->data + at : NULL;
    if (sum) memset(sum, 0, c.channels * sizeof *sum);
    for (size_t p = 0; p < positions; p++) {
        FV_WITH_ACT(act, gate_back, dy, kept, gate, sum, dx, op->add_dx, c.channels)
        dy += c.channels;
        kept += c.channels;
        if (dx) dx += c.channels;
    }
}

void ISA(mul_channel_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx && !op->dx2) return;
    fv_parallel(be, op->x->shape.n * (int)cut_of(op).runs, gate_back_task, (void *)(uintptr_t)op);
    if (op->dx2) add_runs(op, op->dx2->data, 1, op->add_dx2);
}
