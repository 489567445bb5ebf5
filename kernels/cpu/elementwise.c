/* act, add, affine, layernorm, upsample, avgpool, clamp and Adam: tasks are pieces of a tensor or
 * rows, the loops inside are vectors. Formulas: kernels/op.h. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/level.h"

enum { PIECE = 16384 };

static int pieces(size_t count)
{
    return (int)((count + PIECE - 1) / PIECE);
}

static size_t piece_size(size_t count, int i)
{
    size_t left = count - (size_t)i * PIECE;
    return left < PIECE ? left : PIECE;
}

static void *op_context(const fv_op *op)
{
    return (void *)(uintptr_t)op;
}

/* --- act --- */

static void act_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE, n = piece_size(fv_count(op->y->shape), i);
    ISA(activate)
    (op->act, (float *)op->y->data + at, (const float *)op->x->data + at, NULL, NULL, n, n);
}

void ISA(act_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, pieces(fv_count(op->y->shape)), act_task, op_context(op));
}

static void add_to(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += from[i];
}

static void put_piece(float *dx, const float *value, size_t n, bool add)
{
    if (add)
        add_to(dx, value, n);
    else
        memcpy(dx, value, n * sizeof *dx);
}

typedef struct putting {
    float *to;
    const float *from;
    size_t count;
    bool add;
} putting;

static void put_task(void *context, int i)
{
    const putting *p = context;
    size_t at = (size_t)i * PIECE;
    put_piece(p->to + at, p->from + at, piece_size(p->count, i), p->add);
}

void ISA(put)(fv_backend *be, float *to, const float *from, size_t count, bool add)
{
    putting p = {to, from, count, add};
    fv_parallel(be, pieces(count), put_task, &p);
}

/* dy is this op's own: its derivative goes in place, then to dx */
static void act_back_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE, n = piece_size(fv_count(op->y->shape), i);
    bool from_y = fv_ops[FV_OP_ACT].keeps(op) == FV_KEEP_Y;
    float *dy = (float *)op->dy->data + at;
    if (op->act != FV_ACT_NONE)
        ISA(slope)(op->act, dy, dy, (const float *)(from_y ? op->y->data : op->x->data) + at, n);
    put_piece((float *)op->dx->data + at, dy, n, op->add_dx);
}

void ISA(act_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) fv_parallel(be, pieces(fv_count(op->y->shape)), act_back_task, op_context(op));
}

/* --- add --- */

static void sum_two(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void add_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE;
    sum_two((float *)op->y->data + at, (const float *)op->x->data + at,
            (const float *)op->x2->data + at, piece_size(fv_count(op->y->shape), i));
}

void ISA(add_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, pieces(fv_count(op->y->shape)), add_task, op_context(op));
}

void ISA(add_backward)(fv_backend *be, const fv_op *op)
{
    size_t n = fv_count(op->y->shape);
    if (op->dx) ISA(put)(be, op->dx->data, op->dy->data, n, op->add_dx);
    if (op->dx2) ISA(put)(be, op->dx2->data, op->dy->data, n, op->add_dx2);
}

/* --- affine: a task is one row, or with a number an element one picture's line --- */

static void scale_shift(float *y, const float *x, const float *w, const float *b, size_t n)
{
    if (b)
        for (size_t i = 0; i < n; i++) y[i] = f_fma(x[i], w[i], b[i]);
    else
        for (size_t i = 0; i < n; i++) y[i] = x[i] * w[i];
}

static void scale_back(float *dx, const float *dy, const float *w, size_t n, bool add)
{
    for (size_t i = 0; i < n; i++) dx[i] = add ? f_fma(dy[i], w[i], dx[i]) : dy[i] * w[i];
}

static size_t affine_line(const fv_op *op)
{
    return (size_t)op->x->shape.w * (size_t)op->x->shape.c;
}

enum { PATTERN = 192 };

/* Weights of a line: where they begin, and after how many numbers they repeat. Those of a few
 * channels are repeated here already, to make vectors of them. */
typedef struct pattern {
    const float *w, *b;
    size_t period;
    float room[2][PATTERN];
} pattern;

static void repeat(float *to, const float *from, size_t period, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = i < period ? from[i] : to[i - period];
}

static void pattern_of(pattern *p, const fv_op *op, int i)
{
    bool each = fv_rows(op->w->shape) > 1;
    size_t from = each ? (size_t)(i % op->x->shape.h) * affine_line(op) : 0;
    p->period = each ? affine_line(op) : (size_t)op->x->shape.c;
    p->w = (const float *)op->w->data + from;
    p->b = op->b ? (const float *)op->b->data + from : NULL;
    if (2 * p->period > PATTERN) return;
    size_t count = PATTERN / p->period * p->period;
    repeat(p->room[0], p->w, p->period, count);
    if (p->b) repeat(p->room[1], p->b, p->period, count);
    p->w = p->room[0];
    if (p->b) p->b = p->room[1];
    p->period = count;
}

static void affine_task(void *context, int i)
{
    const fv_op *op = context;
    pattern p;
    pattern_of(&p, op, i);
    size_t n = affine_line(op);
    const float *x = (const float *)op->x->data + (size_t)i * n;
    float *y = (float *)op->y->data + (size_t)i * n;
    for (size_t at = 0; at < n; at += p.period)
        scale_shift(y + at, x + at, p.w, p.b, n - at < p.period ? n - at : p.period);
}

static void affine_back_task(void *context, int i)
{
    const fv_op *op = context;
    pattern p;
    pattern_of(&p, op, i);
    size_t n = affine_line(op);
    const float *dy = (const float *)op->dy->data + (size_t)i * n;
    float *dx = (float *)op->dx->data + (size_t)i * n;
    for (size_t at = 0; at < n; at += p.period)
        scale_back(dx + at, dy + at, p.w, n - at < p.period ? n - at : p.period, op->add_dx);
}

void ISA(affine_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * op->x->shape.h, affine_task, op_context(op));
}

void ISA(affine_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) fv_parallel(be, op->x->shape.n * op->x->shape.h, affine_back_task, op_context(op));
}

/* --- sums, in an order that every compiler keeps: LANES or LANES / 2 partial sums of whole
 * vectors, then half as many of what is left, then one by one --- */

enum { HALF = LANES / 2, QUARTER = LANES / 4 };
typedef float vh __attribute__((vector_size(4 * HALF)));
typedef float vh_unaligned __attribute__((vector_size(4 * HALF), aligned(4), may_alias));
typedef double vd __attribute__((vector_size(8 * HALF)));

INLINE vd d_load(const float *p)
{
    return __builtin_convertvector(*(const vh_unaligned *)(const void *)p, vd);
}

INLINE vd d_all(double x)
{
    return x - (vd){0};
}

/* Halves first. */
INLINE double add_up(const double *sums, int count)
{
    double sum[HALF];
    for (int i = 0; i < count; i++) sum[i] = sums[i];
    for (int half = count / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

INLINE double squares(double a, double b)
{
    return d_fma(a, a, b * b);
}

INLINE vd v_squares(vd a, vd b)
{
#if defined(__AVX512F__)
    return _mm512_fmadd_pd(a, a, b * b);
#elif defined(__FMA__)
    return _mm256_fmadd_pd(a, a, b * b);
#else
    return a * a + b * b;
#endif
}

static double sum_of(const float *x, size_t n)
{
    vd sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += d_load(x + i) + d_load(x + i + HALF);
    double parts[HALF];
    memcpy(parts, &sum, sizeof sum);
    double total = add_up(parts, HALF);
    if (QUARTER > 1 && n - i >= HALF) {
        for (int k = 0; k < QUARTER; k++) parts[k] += parts[k + QUARTER];
        for (int k = 0; k < QUARTER; k++)
            parts[k] += (double)x[i + (size_t)k] + (double)x[i + QUARTER + (size_t)k];
        total = add_up(parts, QUARTER);
        i += HALF;
    }
    for (; i < n; i++) total += (double)x[i];
    return total;
}

/* Of (x - mean)^2. */
static double sum_squares(const float *x, double mean, size_t n)
{
    vd sum = {0}, centre = d_all(mean);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vd a = d_load(x + i) - centre, b = d_load(x + i + HALF) - centre;
        sum += v_squares(a, b);
    }
    double parts[HALF];
    memcpy(parts, &sum, sizeof sum);
    double total = add_up(parts, HALF);
    if (QUARTER > 1 && n - i >= HALF) {
        for (int k = 0; k < QUARTER; k++) parts[k] += parts[k + QUARTER];
        for (int k = 0; k < QUARTER; k++)
            parts[k] +=
                squares((double)x[i + (size_t)k] - mean, (double)x[i + QUARTER + (size_t)k] - mean);
        total = add_up(parts, QUARTER);
        i += HALF;
    }
    for (; i < n; i++) total = d_fma((double)x[i] - mean, (double)x[i] - mean, total);
    return total;
}

/* sums[0]: of dy w; sums[1]: of dy w (x - mean) k */
static void gradient_sums(const float *x, const float *dy, const float *w, float mean, float k,
                          size_t n, float *sums)
{
    vf first = {0}, second = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf g = v_load(dy + i) * v_load(w + i);
        first += g;
        second = v_fma(g * (v_load(x + i) - mean), v_all(k), second);
    }
    float a[HALF], b[HALF];
    v_fold(a, first);
    v_fold(b, second);
    if (n - i >= HALF) {
        for (size_t q = 0; q < HALF; q++) {
            float g = dy[i + q] * w[i + q];
            a[q] += g;
            b[q] = f_fma(g * (x[i + q] - mean), k, b[q]);
        }
        i += HALF;
    }
    sums[0] = f_add_up(a);
    sums[1] = f_add_up(b);
    for (; i < n; i++) {
        float g = dy[i] * w[i];
        sums[0] += g;
        sums[1] = f_fma(g * (x[i] - mean), k, sums[1]);
    }
}

/* --- layernorm: a task is one row --- */

static void normalise_row(float *y, const float *x, const float *w, const float *b, float *aux,
                          size_t d, double eps)
{
    double mean = sum_of(x, d) / (double)d, variance = sum_squares(x, mean, d);
    float centre = (float)mean, k = (float)(1 / sqrt(variance / (double)d + eps));
    aux[0] = centre;
    aux[1] = k;
    for (size_t i = 0; i < d; i++) y[i] = f_fma(x[i] - centre, k * w[i], b[i]);
}

static void normalise_back(float *dx, const float *x, const float *dy, const float *w,
                           const float *aux, size_t d, bool add)
{
    float mean = aux[0], k = aux[1], sums[2];
    gradient_sums(x, dy, w, mean, k, d, sums);
    float g = sums[0] / (float)d, gh = k * (sums[1] / (float)d);
    for (size_t i = 0; i < d; i++) {
        float value = f_fma(mean - x[i], gh, f_fma(dy[i], w[i], -g));
        dx[i] = add ? f_fma(k, value, dx[i]) : k * value;
    }
}

static void layernorm_task(void *context, int i)
{
    const fv_op *op = context;
    size_t d = (size_t)op->x->shape.c, at = (size_t)i * d;
    normalise_row((float *)op->y->data + at, (const float *)op->x->data + at, op->w->data,
                  op->b->data, (float *)op->aux->data + 2 * (size_t)i, d, op->attr.eps);
}

static void layernorm_back_task(void *context, int i)
{
    const fv_op *op = context;
    size_t d = (size_t)op->x->shape.c, at = (size_t)i * d;
    normalise_back((float *)op->dx->data + at, (const float *)op->x->data + at,
                   (const float *)op->dy->data + at, op->w->data,
                   (const float *)op->aux->data + 2 * (size_t)i, d, op->add_dx);
}

void ISA(layernorm_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, (int)fv_rows(op->x->shape), layernorm_task, op_context(op));
}

void ISA(layernorm_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) fv_parallel(be, (int)fv_rows(op->x->shape), layernorm_back_task, op_context(op));
}

/* --- upsample: a task is a row of x --- */

static void upsample_task(void *context, int i)
{
    const fv_op *op = context;
    size_t c = (size_t)op->x->shape.c, width = (size_t)op->x->shape.w, line = 2 * width * c;
    const float *x = (const float *)op->x->data + (size_t)i * width * c;
    float *y = (float *)op->y->data + (size_t)i * 2 * line;
    for (size_t j = 0; j < width; j++, x += c) {
        memcpy(y + 2 * j * c, x, c * sizeof *y);
        memcpy(y + (2 * j + 1) * c, x, c * sizeof *y);
    }
    memcpy(y + line, y, line * sizeof *y);
}

void ISA(upsample_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->x->shape.n * op->x->shape.h, upsample_task, op_context(op));
}

/* dx (+)= (a + b) + (a2 + b2): two positions above, two below */
static void add_four(float *dx, const float *above, const float *below, size_t c, bool add)
{
    for (size_t k = 0; k < c; k++) {
        float sum = (above[k] + above[c + k]) + (below[k] + below[c + k]);
        dx[k] = add ? dx[k] + sum : sum;
    }
}

static void upsample_back_task(void *context, int i)
{
    const fv_op *op = context;
    size_t c = (size_t)op->x->shape.c, width = (size_t)op->x->shape.w, line = 2 * width * c;
    const float *dy = (const float *)op->dy->data + (size_t)i * 2 * line;
    float *dx = (float *)op->dx->data + (size_t)i * width * c;
    for (size_t j = 0; j < width; j++)
        add_four(dx + j * c, dy + 2 * j * c, dy + line + 2 * j * c, c, op->add_dx);
}

void ISA(upsample_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        fv_parallel(be, op->x->shape.n * op->x->shape.h, upsample_back_task, op_context(op));
}

/* --- avgpool: a task is a row of y, or of dx --- */

/* y = (the sum of k x k rows of c numbers, those of a line side by side) * share */
static void mean_of_block(float *y, const float *x, size_t line, int k, size_t c, float share)
{
    for (size_t i = 0; i < c; i++) {
        float sum = 0;
        for (int u = 0; u < k; u++)
            for (int v = 0; v < k; v++) sum += x[(size_t)u * line + (size_t)v * c + i];
        y[i] = sum * share;
    }
}

static void mean_of_four(float *y, const float *x, size_t line, size_t c)
{
    for (size_t i = 0; i < c; i++)
        y[i] = ((x[i] + x[c + i]) + (x[line + i] + x[line + c + i])) * 0.25f;
}

static void avgpool_task(void *context, int i)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int k = op->attr.pool, n = i / ys.h;
    size_t c = (size_t)xs.c, line = (size_t)xs.w * c, above = (size_t)(i % ys.h * k);
    const float *x = (const float *)op->x->data + ((size_t)n * (size_t)xs.h + above) * line;
    float *y = (float *)op->y->data + (size_t)i * (size_t)ys.w * c;
    for (int j = 0; j < ys.w; j++, y += c, x += (size_t)k * c)
        if (k == 2)
            mean_of_four(y, x, line, c);
        else
            mean_of_block(y, x, line, k, c, 1 / (float)(k * k));
}

void ISA(avgpool_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, op->y->shape.n * op->y->shape.h, avgpool_task, op_context(op));
}

static void put_share(float *dx, const float *dy, size_t c, float share, bool add)
{
    for (size_t i = 0; i < c; i++) dx[i] = add ? dx[i] + dy[i] * share : dy[i] * share;
}

static void avgpool_back_task(void *context, int i)
{
    const fv_op *op = context;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    int k = op->attr.pool, n = i / xs.h, row = i % xs.h / k;
    size_t c = (size_t)xs.c;
    const float *dy =
        (const float *)op->dy->data + ((size_t)n * (size_t)ys.h + (size_t)row) * (size_t)ys.w * c;
    float *dx = (float *)op->dx->data + (size_t)i * (size_t)xs.w * c;
    for (int j = 0; j < xs.w; j++, dx += c)
        if (row < ys.h && j / k < ys.w)
            put_share(dx, dy + (size_t)(j / k) * c, c, 1 / (float)(k * k), op->add_dx);
        else if (!op->add_dx)
            memset(dx, 0, c * sizeof *dx);
}

void ISA(avgpool_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) fv_parallel(be, op->x->shape.n * op->x->shape.h, avgpool_back_task, op_context(op));
}

/* --- clamp --- */

static inline float clamped(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static void clamp_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE, n = piece_size(fv_count(op->y->shape), i);
    const float *x = (const float *)op->x->data + at;
    float *y = (float *)op->y->data + at;
    for (size_t k = 0; k < n; k++) y[k] = clamped(x[k]);
}

static void clamp_back_task(void *context, int i)
{
    const fv_op *op = context;
    size_t at = (size_t)i * PIECE, n = piece_size(fv_count(op->y->shape), i);
    const float *x = (const float *)op->x->data + at, *dy = (const float *)op->dy->data + at;
    float *dx = (float *)op->dx->data + at;
    for (size_t k = 0; k < n; k++) {
        float g = dy[k] * (x[k] - clamped(x[k])) < 0 ? 0 : dy[k];
        dx[k] = op->add_dx ? dx[k] + g : g;
    }
}

void ISA(clamp_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, pieces(fv_count(op->y->shape)), clamp_task, op_context(op));
}

void ISA(clamp_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) fv_parallel(be, pieces(fv_count(op->y->shape)), clamp_back_task, op_context(op));
}

/* --- Adam --- */

typedef struct adam {
    float *p, *m, *v;
    const float *g, *k, *low, *high; /* low, high: or NULL */
    size_t count;
} adam;

static void adam_run(const adam *a, size_t begin, size_t end)
{
    const float *k = a->k;
    float b1 = k[FV_ADAM_BETA1], b2 = k[FV_ADAM_BETA2];
    float rate = k[FV_ADAM_RATE] / k[FV_ADAM_CORRECTION1];
    for (size_t i = begin; i < end; i++) {
        float g = a->g[i];
        float m = a->m[i] = f_fma(b1, a->m[i], (1 - b1) * g);
        float v = a->v[i] = f_fma(b2, a->v[i], (1 - b2) * (g * g));
        float next = a->p[i] - rate * m / (sqrtf(v / k[FV_ADAM_CORRECTION2]) + k[FV_ADAM_EPS]);
        next = next < k[FV_ADAM_LOW] ? k[FV_ADAM_LOW] : next;
        a->p[i] = next > k[FV_ADAM_HIGH] ? k[FV_ADAM_HIGH] : next;
    }
    for (size_t i = begin; a->low && i < end; i++)
        a->p[i] = a->p[i] < a->low[i] ? a->low[i] : a->p[i];
    for (size_t i = begin; a->high && i < end; i++)
        a->p[i] = a->p[i] > a->high[i] ? a->high[i] : a->p[i];
}

static void adam_task(void *context, int i)
{
    const adam *a = context;
    size_t at = (size_t)i * PIECE;
    adam_run(a, at, at + piece_size(a->count, i));
}

void ISA(adam)(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
               const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
               fv_tensor *stats)
{
    adam a = {p->data,
              m->data,
              v->data,
              g->data,
              numbers->data,
              low ? low->data : NULL,
              high ? high->data : NULL,
              fv_count(p->shape)};
    /* not finite if any element is not: NaN and infinity spread in sums */
    double norm2 = sum_squares(a.g, 0, a.count);
    float *stat = stats->data;
    size_t bad = 0;
    for (size_t i = 0; !isfinite(norm2) && i < a.count; i++) bad += !isfinite(a.g[i]);
    stat[FV_ADAM_STAT_NORM2] = (float)norm2;
    stat[FV_ADAM_STAT_BAD] = (float)bad;
    if (!bad) fv_parallel(be, pieces(a.count), adam_task, &a);
}
