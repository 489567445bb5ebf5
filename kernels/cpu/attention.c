/* attention: a task is some queries of one head of one picture; backward has a second pass, over
 * some keys. Every sum runs over one query after another, whatever the cut. Formulas: kernels/op.h,
 * kernels/ref/attention.c. */
#include "kernels/cpu/attention.h"

/* LANES partial sums of whole vectors, then half as many of what is left, then one by one. */
static inline float dot(const float *a, const float *b, int n)
{
    vf sums = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) sums = v_fma(v_load(a + i), v_load(b + i), sums);
    if (i == n) return v_sum(sums);
    float half[LANES / 2];
    v_fold(half, sums);
    if (LANES > 4 && n - i >= LANES / 2) {
        for (int k = 0; k < LANES / 2; k++) half[k] = f_fma(a[i + k], b[i + k], half[k]);
        i += LANES / 2;
    }
    float sum = f_add_up(half);
    for (; i < n; i++) sum = f_fma(a[i], b[i], sum);
    return sum;
}

/* to += factor * from */
static inline void add_scaled(float *to, const float *from, float factor, int n)
{
    for (int i = 0; i < n; i++) to[i] = f_fma(factor, from[i], to[i]);
}

/* Softmax of a row of scores, in place. */
static void softmax(float *p, int n)
{
    float most = -HUGE_VALF;
    double total = 0;
    for (int j = 0; j < n; j++) most = p[j] > most ? p[j] : most;
    for (int j = 0; j < n; j++) {
        p[j] = expf(p[j] - most);
        total += (double)p[j];
    }
    for (int j = 0; j < n; j++) p[j] = (float)((double)p[j] / total);
}

static void forward_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d;
    for (int t = z.first; t < z.last; t++) {
        float *p = z.p + (size_t)t * (size_t)z.tokens, *y = row_of(op, &z, op->y, t);
        int keys = seen(op, &z, t);
        for (int j = 0; j < keys; j++)
            p[j] = dot(z.q + (size_t)t * row, z.k + (size_t)j * row, z.width) * z.scale +
                   (z.bias ? z.bias[j] : 0);
        softmax(p, keys);
        for (int j = keys; j < z.tokens; j++) p[j] = 0;
        for (int c = 0; c < z.width; c++) y[c] = 0;
        for (int j = 0; j < keys; j++) add_scaled(y, z.v + (size_t)j * row, p[j], z.width);
    }
}

static void clear_unless(bool add, float *to, int n)
{
    for (int c = 0; !add && c < n; c++) to[c] = 0;
}

/* ds[i,j], into scratch, and dq of some queries */
static void queries_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d, square = (size_t)z.tokens * (size_t)z.tokens;
    for (int t = z.first; t < z.last; t++) {
        const float *p = z.p + (size_t)t * (size_t)z.tokens, *dy = row_of(op, &z, op->dy, t);
        float *ds = (float *)op->scratch + z.index * square + (size_t)t * (size_t)z.tokens;
        float along = 0, *dq = gradient_of(op, &z, t);
        int keys = seen(op, &z, t);
        for (int j = 0; j < keys; j++) {
            ds[j] = dot(dy, z.v + (size_t)j * row, z.width);
            along = f_fma(ds[j], p[j], along);
        }
        clear_unless(op->add_dx, dq, z.width);
        for (int j = keys; j < z.tokens; j++) ds[j] = 0;
        for (int j = 0; j < keys; j++) {
            ds[j] = (ds[j] - along) * (z.scale * p[j]);
            add_scaled(dq, z.k + (size_t)j * row, ds[j], z.width);
        }
    }
}

/* dk and dv of some keys */
static void keys_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d, tokens = (size_t)z.tokens;
    const float *ds = (const float *)op->scratch + z.index * tokens * tokens;
    for (int j = z.first; j < z.last; j++) {
        float *dk = gradient_of(op, &z, j) + z.d, *dv = dk + z.d;
        clear_unless(op->add_dx, dk, z.width);
        clear_unless(op->add_dx, dv, z.width);
        for (int t = 0; t < z.tokens; t++) {
            size_t at = (size_t)t * tokens + (size_t)j;
            add_scaled(dv, row_of(op, &z, op->dy, t), z.p[at], z.width);
            add_scaled(dk, z.q + (size_t)t * row, ds[at], z.width);
        }
    }
}

fv_status ISA(attention_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    size_t tokens = (size_t)op->x->shape.h * (size_t)op->x->shape.w;
    size_t squares = (size_t)op->x->shape.n * (size_t)op->attr.attention.heads * tokens * tokens;
    if (ISA(is_wide_attention)(op))
        op->scratch_bytes = ISA(wide_attention_scratch)(op) * sizeof(float);
    else if (many_tokens(op))
        op->scratch_bytes = ISA(attention_many_scratch)(op) * sizeof(float);
    else if (op->dx)
        op->scratch_bytes = squares * sizeof(float);
    return FV_OK;
}

void ISA(attention_forward)(fv_backend *be, const fv_op *op)
{
    int tasks = op->x->shape.n * op->attr.attention.heads * cuts(op);
    if (ISA(is_wide_attention)(op))
        ISA(wide_attention_forward)(be, op);
    else if (many_tokens(op))
        ISA(attention_many_forward)(be, op);
    else
        fv_parallel(be, tasks, forward_task, (void *)(uintptr_t)op);
}

void ISA(attention_backward)(fv_backend *be, const fv_op *op)
{
    int tasks = op->x->shape.n * op->attr.attention.heads * cuts(op);
    if (!op->dx) return;
    if (ISA(is_wide_attention)(op)) {
        ISA(wide_attention_backward)(be, op);
    } else if (many_tokens(op)) {
        ISA(attention_many_backward)(be, op);
    } else {
        fv_parallel(be, tasks, queries_task, (void *)(uintptr_t)op);
        fv_parallel(be, tasks, keys_task, (void *)(uintptr_t)op);
    }
}
