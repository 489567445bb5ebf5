/* mix_rows and separable: constant matrices from the left, so that what is packed is the tensor. */
#include "kernels/cpu/gemm.h"

/* C [m,n] = A [m,k] . B [k,n], B row by row; `room` holds ISA(packed_count)(n, k) floats. */
static void multiply(fv_backend *be, size_t m, size_t n, size_t k, const float *a, const float *b,
                     float *room, bool add, float *c)
{
    ISA(pack)(be, room, b, n, 1, n, k);
    fv_product p = {.m = m, .n = n, .k = k, .a = a, .lda = k, .b = room, .add = add, .c = c};
    ISA(product)(be, &p);
}

enum { STRIP = 16 }; /* rows turned together: whole lines are written */

static const float *transpose(float *to, const float *from, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r += STRIP) {
        size_t count = rows - r < STRIP ? rows - r : STRIP;
        for (size_t c = 0; c < columns; c++)
            for (size_t i = 0; i < count; i++) to[c * rows + r + i] = from[(r + i) * columns + c];
    }
    return to;
}

/* --- mix_rows --- */

fv_status ISA(mix_rows_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    op->scratch_bytes =
        (ISA(packed_count)(c, max_of(from, to)) + fv_count(op->w->shape)) * sizeof(float);
    return FV_OK;
}

void ISA(mix_rows_forward)(fv_backend *be, const fv_op *op)
{
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const float *x = op->x->data;
    float *y = op->y->data;
    for (int n = 0; n < op->x->shape.n; n++, x += from * c, y += to * c)
        multiply(be, to, c, from, op->w->data, x, op->scratch, false, y);
}

void ISA(mix_rows_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const float *dy = op->dy->data;
    float *dx = op->dx->data, *room = (float *)op->scratch + from * to;
    const float *w = transpose(op->scratch, op->w->data, to, from);
    for (int n = 0; n < op->x->shape.n; n++, dx += from * c, dy += to * c)
        multiply(be, from, c, to, w, dy, room, op->add_dx, dx);
}

/* --- separable: columns first, on a copy with the width outermost, then rows --- */

typedef struct swap {
    float *out;
    const float *in;
    size_t a, b, c;
    bool add;
} swap;

static void swap_task(void *context, int strip)
{
    const swap *s = context;
    size_t first = (size_t)strip * STRIP, count = s->a - first < STRIP ? s->a - first : STRIP;
    for (size_t j = 0; j < s->b; j++) {
        float *to = s->out + (j * s->a + first) * s->c;
        for (size_t i = 0; i < count; i++) {
            const float *from = s->in + ((first + i) * s->b + j) * s->c;
            for (size_t k = 0; k < s->c; k++, to++) *to = s->add ? *to + from[k] : from[k];
        }
    }
}

/* [a][b][c] -> [b][a][c]; add: onto what is there. */
static void swap_axes(fv_backend *be, float *out, const float *in, size_t a, size_t b, size_t c,
                      bool add)
{
    swap s = {out, in, a, b, c, add};
    fv_parallel(be, (int)((a + STRIP - 1) / STRIP), swap_task, &s);
}

typedef struct sizes {
    size_t h, w, c, high, wide, map; /* of x, of y; floats of an intermediate map */
} sizes;

static sizes sizes_of(const fv_op *op)
{
    sizes s = {.h = (size_t)op->x->shape.h,
               .w = (size_t)op->x->shape.w,
               .c = (size_t)op->x->shape.c,
               .high = (size_t)op->y->shape.h,
               .wide = (size_t)op->y->shape.w};
    s.map = max_of(s.w, s.wide) * s.h * s.c;
    return s;
}

fv_status ISA(separable_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    sizes s = sizes_of(op);
    size_t packed = max_of(
        max_of(ISA(packed_count)(s.h * s.c, s.w), ISA(packed_count)(s.h * s.c, s.wide)),
        max_of(ISA(packed_count)(s.wide * s.c, s.h), ISA(packed_count)(s.wide * s.c, s.high)));
    size_t turned = max_of(fv_count(op->w->shape), fv_count(op->b->shape));
    op->scratch_bytes = (2 * s.map + packed + turned) * sizeof(float);
    return FV_OK;
}

void ISA(separable_forward)(fv_backend *be, const fv_op *op)
{
    sizes s = sizes_of(op);
    const float *x = op->x->data;
    float *y = op->y->data, *first = op->scratch, *second = first + s.map, *room = second + s.map;
    for (int n = 0; n < op->x->shape.n; n++, x += s.h * s.w * s.c, y += s.high * s.wide * s.c) {
        swap_axes(be, first, x, s.h, s.w, s.c, false);
        multiply(be, s.wide, s.h * s.c, s.w, op->b->data, first, room, false, second);
        swap_axes(be, first, second, s.wide, s.h, s.c, false);
        multiply(be, s.high, s.wide * s.c, s.h, op->w->data, first, room, false, y);
    }
}

void ISA(separable_backward)(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    sizes s = sizes_of(op);
    const float *dy = op->dy->data;
    float *dx = op->dx->data, *first = op->scratch, *second = first + s.map;
    float *turned = second + s.map;
    float *room = turned + max_of(fv_count(op->w->shape), fv_count(op->b->shape));
    for (int n = 0; n < op->x->shape.n; n++, dx += s.h * s.w * s.c, dy += s.high * s.wide * s.c) {
        const float *w = transpose(turned, op->w->data, s.high, s.h);
        multiply(be, s.h, s.wide * s.c, s.high, w, dy, room, false, first);
        swap_axes(be, second, first, s.h, s.wide, s.c, false);
        w = transpose(turned, op->b->data, s.wide, s.w);
        multiply(be, s.w, s.h * s.c, s.wide, w, second, room, false, first);
        swap_axes(be, dx, first, s.w, s.h, s.c, op->add_dx);
    }
}
