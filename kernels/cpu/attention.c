/* attention: a task is one head of one picture. Formulas: kernels/op.h, kernels/ref/attention.c. */
#include <math.h>

#include "kernels/cpu/level.h"

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

static void head_forward(const fv_op *op, int n, int head)
{
    int tokens = op->x->shape.w, d = op->y->shape.c, width = d / op->attr.heads;
    size_t row = 3 * (size_t)d;
    float scale = (float)(1 / sqrt((double)width));
    const float *q = (const float *)op->x->data + (size_t)n * (size_t)tokens * row + head * width;
    const float *k = q + d, *v = q + 2 * d;
    const float *bias = op->b ? (const float *)op->b->data + (size_t)n * (size_t)tokens : NULL;
    size_t square = (size_t)tokens * (size_t)tokens;
    float *p =
        (float *)op->aux->data + ((size_t)n * (size_t)op->attr.heads + (size_t)head) * square;
    float *y = (float *)op->y->data + (size_t)n * (size_t)tokens * (size_t)d + head * width;
    for (int i = 0; i < tokens; i++, p += tokens, y += d) {
        for (int j = 0; j < tokens; j++)
            p[j] =
                dot(q + (size_t)i * row, k + (size_t)j * row, width) * scale + (bias ? bias[j] : 0);
        softmax(p, tokens);
        for (int c = 0; c < width; c++) y[c] = 0;
        for (int j = 0; j < tokens; j++) add_scaled(y, v + (size_t)j * row, p[j], width);
    }
}

static void head_backward(const fv_op *op, int n, int head)
{
    int tokens = op->x->shape.w, d = op->y->shape.c, width = d / op->attr.heads;
    size_t row = 3 * (size_t)d, at = (size_t)n * (size_t)tokens * row + (size_t)(head * width);
    float scale = (float)(1 / sqrt((double)width));
    const float *q = (const float *)op->x->data + at, *k = q + d, *v = q + 2 * d;
    float *dq = (float *)op->dx->data + at, *dk = dq + d, *dv = dq + 2 * d;
    size_t index = (size_t)n * (size_t)op->attr.heads + (size_t)head;
    const float *p = (const float *)op->aux->data + index * (size_t)tokens * (size_t)tokens;
    const float *dy =
        (const float *)op->dy->data + (size_t)n * (size_t)tokens * (size_t)d + head * width;
    float *ds = (float *)op->scratch + index * (size_t)tokens;
    for (int i = 0; !op->add_dx && i < tokens; i++)
        for (int c = 0; c < width; c++) {
            size_t to = (size_t)i * row + (size_t)c;
            dq[to] = dk[to] = dv[to] = 0;
        }
    for (int i = 0; i < tokens; i++, p += tokens, dy += d) {
        float along = 0;
        for (int j = 0; j < tokens; j++) {
            ds[j] = dot(dy, v + (size_t)j * row, width);
            add_scaled(dv + (size_t)j * row, dy, p[j], width);
            along = f_fma(ds[j], p[j], along);
        }
        for (int j = 0; j < tokens; j++) {
            float g = (ds[j] - along) * (scale * p[j]);
            add_scaled(dq + (size_t)i * row, k + (size_t)j * row, g, width);
            add_scaled(dk + (size_t)j * row, q + (size_t)i * row, g, width);
        }
    }
}

static void forward_task(void *context, int i)
{
    const fv_op *op = context;
    head_forward(op, i / op->attr.heads, i % op->attr.heads);
}

static void backward_task(void *context, int i)
{
    const fv_op *op = context;
    head_backward(op, i / op->attr.heads, i % op->attr.heads);
}

fv_status ISA(attention_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes =
        (size_t)op->x->shape.n * (size_t)op->attr.heads * (size_t)op->x->shape.w * sizeof(float);
    return FV_OK;
}

void ISA(attention_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * op->attr.heads, forward_task, (void *)(uintptr_t)op);
}

void ISA(attention_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_parallel(be, op->x->shape.n * op->attr.heads, backward_task, (void *)(uintptr_t)op);
}
