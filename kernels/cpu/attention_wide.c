/* attention with one wide head over many tokens, as autoencoders have it: five products, and a
 * softmax over vectors. Formulas: kernels/op.h, kernels/ref/attention.c; with s = q k^T scale + b,
 * p = softmax(s):
 *
 *   forward    s = q . k^T;  y = p . v
 *   backward   dp = dy . v^T;  ds = p (dp - <dp, p>) scale;  dq = ds . k;  dk = ds^T . q;  dv = p^T
 * . dy */
#include "kernels/cpu/gemm.h"

enum { LEAST_TOKENS = 64, STRIP = 16 };

typedef struct wide {
    fv_backend *be;
    const fv_op *op;
    size_t tokens, width, n; /* n: the picture */
    float *p;                /* [tokens][tokens], of that picture */
    float *ds, *turned;      /* likewise, in scratch; backward alone */
    float *out, *room;       /* [tokens][width]; a packed matrix */
} wide;

bool ISA(is_wide_attention)(const fv_op *op)
{
    fv_shape x = op->x->shape;
    const fv_attention_attr *a = &op->attr.attention;
    return a->heads == 1 && !a->causal && x.h * x.w >= LEAST_TOKENS;
}

static wide wide_of(fv_backend *be, const fv_op *op)
{
    size_t tokens = (size_t)op->x->shape.h * (size_t)op->x->shape.w, square = tokens * tokens;
    wide z = {.be = be, .op = op, .tokens = tokens, .width = (size_t)op->y->shape.c};
    if (!op->scratch) return z;
    z.room = op->scratch;
    size_t most = z.width > tokens ? z.width : tokens;
    z.out = z.room + ISA(packed_count)(most, most);
    z.ds = z.out + tokens * z.width;
    z.turned = z.ds + square;
    return z;
}

size_t ISA(wide_attention_scratch)(const fv_op *op)
{
    wide z = wide_of(NULL, op);
    size_t most = z.width > z.tokens ? z.width : z.tokens, packed = ISA(packed_count)(most, most);
    return packed + (op->dx ? z.tokens * (z.width + 2 * z.tokens) : 0);
}

/* Picture n of x, its part (0 q, 1 k, 2 v), or of its gradient. */
static float *part_of(const wide *z, const fv_tensor *x, int part)
{
    return (float *)x->data + (z->n * z->tokens * 3 + (size_t)part) * z->width;
}

/* c [tokens][n] = a . b, b's element (row, column) at row * row_step + column * column_step */
static void multiply(const wide *z, const float *a, size_t lda, const float *b, size_t row_step,
                     size_t column_step, size_t n, size_t k, float *c)
{
    ISA(pack)(z->be, z->room, b, row_step, column_step, n, k);
    fv_product p = {.m = z->tokens, .n = n, .k = k, .a = a, .lda = lda, .b = z->room, .c = c};
    ISA(product)(z->be, &p);
}

/* --- forward --- */

/* The largest of scale * p + bias, which goes into p. */
static float scores(float *p, const float *bias, float scale, size_t n)
{
    vf most = v_all(-HUGE_VALF);
    for (size_t i = 0; i < n; i += LANES) {
        size_t lanes = min_of(LANES, n - i);
        vf v = load_lanes(p + i, lanes) * scale;
        if (bias) v += load_lanes(bias + i, lanes);
        store_lanes(p + i, v, lanes);
        for (size_t k = lanes; k < LANES; k++) v[k] = -HUGE_VALF;
        most = v_max(v, most);
    }
    float lanes[LANES], found = -HUGE_VALF;
    v_store(lanes, most);
    for (int i = 0; i < LANES; i++) found = lanes[i] > found ? lanes[i] : found;
    return found;
}

static void softmax_task(void *context, int row)
{
    const wide *z = context;
    const fv_op *op = z->op;
    size_t n = z->tokens;
    const float *bias = op->b ? (const float *)op->b->data + z->n * n : NULL;
    float *p = z->p + (size_t)row * n, scale = (float)(1 / sqrt((double)z->width));
    float most = scores(p, bias, scale, n);
    double total = 0;
    for (size_t i = 0; i < n; i += LANES) {
        size_t lanes = min_of(LANES, n - i);
        vf e = v_exp(load_lanes(p + i, lanes) - most);
        for (size_t k = lanes; k < LANES; k++) e[k] = 0;
        store_lanes(p + i, e, lanes);
        total += (double)v_sum(e);
    }
    float share = (float)(1 / total);
    for (size_t i = 0; i < n; i++) p[i] *= share;
}

void ISA(wide_attention_forward)(fv_backend *be, const fv_op *op)
{
    wide z = wide_of(be, op);
    size_t step = 3 * z.width, t = z.tokens;
    for (; z.n < (size_t)op->x->shape.n; z.n++) {
        const float *q = part_of(&z, op->x, 0), *k = part_of(&z, op->x, 1);
        z.p = (float *)op->aux->data + z.n * t * t;
        multiply(&z, q, step, k, 1, step, t, z.width, z.p);
        fv_parallel(be, (int)t, softmax_task, &z);
        multiply(&z, z.p, t, part_of(&z, op->x, 2), step, 1, z.width, t,
                 (float *)op->y->data + z.n * t * z.width);
    }
}

/* --- backward --- */

static void slopes_task(void *context, int row)
{
    const wide *z = context;
    const float *p = z->p + (size_t)row * z->tokens;
    float *ds = z->ds + (size_t)row * z->tokens, scale = (float)(1 / sqrt((double)z->width));
    vf sums = {0};
    for (size_t i = 0; i < z->tokens; i += LANES) {
        size_t lanes = min_of(LANES, z->tokens - i);
        sums = v_fma(load_lanes(ds + i, lanes), load_lanes(p + i, lanes), sums);
    }
    float along = v_sum(sums);
    for (size_t i = 0; i < z->tokens; i++) ds[i] = (ds[i] - along) * (scale * p[i]);
}

/* to[j][i] = from[i][j], some j */
typedef struct turn {
    float *to;
    const float *from;
    size_t n;
} turn;

static void turn_task(void *context, int strip)
{
    const turn *t = context;
    size_t first = (size_t)strip * STRIP, last = min_of(first + STRIP, t->n);
    for (size_t i = 0; i < t->n; i++)
        for (size_t j = first; j < last; j++) t->to[j * t->n + i] = t->from[i * t->n + j];
}

static const float *turned(const wide *z, const float *from)
{
    turn t = {z->turned, from, z->tokens};
    fv_parallel(z->be, (int)ceil_divide(z->tokens, STRIP), turn_task, &t);
    return z->turned;
}

typedef struct giving {
    const wide *z;
    int part;
} giving;

static void give_task(void *context, int row)
{
    const giving *g = context;
    const wide *z = g->z;
    float *to = part_of(z, z->op->dx, g->part) + (size_t)row * 3 * z->width;
    const float *from = z->out + (size_t)row * z->width;
    for (size_t i = 0; i < z->width; i++) to[i] = z->op->add_dx ? to[i] + from[i] : from[i];
}

/* The gradient of a part, out of z->out. */
static void give(const wide *z, int part)
{
    giving g = {z, part};
    fv_parallel(z->be, (int)z->tokens, give_task, &g);
}

void ISA(wide_attention_backward)(fv_backend *be, const fv_op *op)
{
    wide z = wide_of(be, op);
    size_t step = 3 * z.width, t = z.tokens, d = z.width;
    for (; z.n < (size_t)op->x->shape.n; z.n++) {
        const float *q = part_of(&z, op->x, 0), *k = part_of(&z, op->x, 1);
        const float *dy = (const float *)op->dy->data + z.n * t * d;
        z.p = (float *)op->aux->data + z.n * t * t;
        multiply(&z, dy, d, part_of(&z, op->x, 2), 1, step, t, d, z.ds);
        fv_parallel(be, (int)t, slopes_task, &z);
        multiply(&z, z.ds, t, k, step, 1, d, t, z.out);
        give(&z, 0);
        multiply(&z, turned(&z, z.ds), t, q, step, 1, d, t, z.out);
        give(&z, 1);
        multiply(&z, turned(&z, z.p), t, dy, d, 1, d, t, z.out);
        give(&z, 2);
    }
}
