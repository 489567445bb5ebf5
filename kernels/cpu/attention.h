/* What both ways of attention on the CPU share: attention.c for few tokens, attention_many.c for
 * many. A task is some tokens of one head of one picture. */
#ifndef FV_CPU_ATTENTION_H
#define FV_CPU_ATTENTION_H

#include <math.h>

#include "kernels/cpu/level.h"

enum { ROWS = 16 }; /* of a task */

/* Some tokens of one head, and where its operands begin. Rows of q, k and v lie 3 d apart. */
typedef struct part {
    int tokens, d, width, first, last;
    float scale;
    size_t index; /* of the head: n * heads + head */
    const float *q, *k, *v, *bias;
    float *p; /* [tokens][tokens] */
} part;

static inline int cuts(const fv_op *op)
{
    return (op->x->shape.h * op->x->shape.w + ROWS - 1) / ROWS;
}

static inline part part_of(const fv_op *op, int i)
{
    int tokens = op->x->shape.h * op->x->shape.w, d = op->y->shape.c,
        heads = op->attr.attention.heads;
    part z = {.tokens = tokens, .d = d, .width = d / heads, .index = (size_t)(i / cuts(op))};
    size_t n = z.index / (size_t)heads, head = z.index % (size_t)heads, row = 3 * (size_t)d;
    z.first = i % cuts(op) * ROWS;
    z.last = z.first + ROWS < tokens ? z.first + ROWS : tokens;
    z.scale = (float)(1 / sqrt((double)z.width));
    z.q = (const float *)op->x->data + n * (size_t)tokens * row + head * (size_t)z.width;
    z.k = z.q + d;
    z.v = z.k + d;
    z.bias = op->b ? (const float *)op->b->data + n * (size_t)tokens : NULL;
    z.p = (float *)op->aux->data + z.index * (size_t)tokens * (size_t)tokens;
    return z;
}

/* Row i of y or dy, of this head. */
static inline float *row_of(const fv_op *op, const part *z, const fv_tensor *t, int i)
{
    size_t heads = (size_t)op->attr.attention.heads, n = z->index / heads, head = z->index % heads;
    return (float *)t->data + (n * (size_t)z->tokens + (size_t)i) * (size_t)z->d +
           head * (size_t)z->width;
}

/* Keys that query t looks at. */
static inline int seen(const fv_op *op, const part *z, int t)
{
    return op->attr.attention.causal ? t + 1 : z->tokens;
}

/* Where the gradient of row t of q begins; those of k and v lie d and 2 d behind. */
static inline float *gradient_of(const fv_op *op, const part *z, int t)
{
    size_t at = (size_t)(z->q - (const float *)op->x->data) + (size_t)t * 3 * (size_t)z->d;
    return (float *)op->dx->data + at;
}

/* From so many tokens on products by tiles are faster, and add up in another order; with a bias,
 * as BERT has one, from more. */
enum { FV_MANY_TOKENS = 48, FV_MANY_TOKENS_BIAS = 128 };
static inline bool many_tokens(const fv_op *op)
{
    int many = op->b ? FV_MANY_TOKENS_BIAS : FV_MANY_TOKENS;
    return op->x->shape.h * op->x->shape.w >= many;
}
size_t ISA(attention_many_scratch)(const fv_op *op); /* floats */
void ISA(attention_many_forward)(fv_backend *be, const fv_op *op);
void ISA(attention_many_backward)(fv_backend *be, const fv_op *op);

#endif
