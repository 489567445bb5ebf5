/* depth_to_space: a task is a row of x, which is r rows of y. Both hold the same numbers, those of
 * one position as r pieces of r * c, so all is copying. See kernels/op.h. */
#include <string.h>

#include "kernels/cpu/level.h"

typedef struct pieces {
    const fv_op *op;
    size_t row, line, length, count; /* of x; of y; of a piece, and how many a position has */
} pieces;

static pieces pieces_of(const fv_op *op)
{
    fv_shape x = op->x->shape, y = op->y->shape;
    return (pieces){op, (size_t)x.w * (size_t)x.c, (size_t)y.w * (size_t)y.c,
                    (size_t)op->attr.block * (size_t)y.c, (size_t)op->attr.block};
}

static void spread_task(void *context, int i)
{
    const pieces *p = context;
    const fv_op *op = p->op;
    const float *x = (const float *)op->x->data + (size_t)i * p->row;
    float *y = (float *)op->y->data + (size_t)i * p->row;
    for (size_t j = 0; j * p->length < p->line; j++)
        for (size_t u = 0; u < p->count; u++, x += p->length)
            memcpy(y + u * p->line + j * p->length, x, p->length * sizeof *y);
}

static void gather_task(void *context, int i)
{
    const pieces *p = context;
    const fv_op *op = p->op;
    const float *dy = (const float *)op->dy->data + (size_t)i * p->row;
    float *dx = (float *)op->dx->data + (size_t)i * p->row;
    for (size_t j = 0; j * p->length < p->line; j++)
        for (size_t u = 0; u < p->count; u++, dx += p->length) {
            const float *from = dy + u * p->line + j * p->length;
            for (size_t k = 0; k < p->length; k++) dx[k] = op->add_dx ? dx[k] + from[k] : from[k];
        }
}

void ISA(depth_to_space_forward)(fv_backend *be, const fv_op *op)
{
    pieces p = pieces_of(op);
    fv_parallel(be, op->x->shape.n * op->x->shape.h, spread_task, &p);
}

void ISA(depth_to_space_backward)(fv_backend *be, const fv_op *op)
{
    pieces p = pieces_of(op);
    if (op->dx) fv_parallel(be, op->x->shape.n * op->x->shape.h, gather_task, &p);
}
