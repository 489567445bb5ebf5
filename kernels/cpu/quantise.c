/* quantise: scores of some rows against all codes as one product, then each row's nearest code. See
 * kernels/op.h. */
#include "kernels/cpu/gemm.h"

enum { ROWS = 256 }; /* at a time: scores of 16384 codes are 16 MB */

typedef struct choice {
    const fv_op *op;
    size_t row, codes, width;
    float *squares, *scores; /* [codes] |w|^2; [rows][codes] x . w */
} choice;

fv_status ISA(quantise_prepare)(fv_backend *be, fv_op *op)
{
    (void)be;
    size_t rows = min_of(ROWS, fv_rows(op->x->shape));
    op->scratch_bytes = (rows + 1) * (size_t)op->w->shape.w * sizeof(float);
    return FV_OK;
}

static void square_task(void *context, int i)
{
    const choice *c = context;
    const float *w = (const float *)c->op->w->data + (size_t)i * c->width;
    vf sum = {0};
    for (size_t k = 0; k < c->width; k += LANES) {
        vf v = load_lanes(w + k, min_of(LANES, c->width - k));
        sum = v_fma(v, v, sum);
    }
    c->squares[i] = v_sum(sum);
}

static void choose_task(void *context, int i)
{
    const choice *c = context;
    const float *score = c->scores + (size_t)i * c->codes;
    float far = HUGE_VALF;
    size_t nearest = 0;
    for (size_t k = 0; k < c->codes; k++) {
        float d = c->squares[k] - 2 * score[k];
        if (!(d < far)) continue;
        far = d;
        nearest = k;
    }
    float *y = (float *)c->op->y->data + (c->row + (size_t)i) * c->width;
    memcpy(y, (const float *)c->op->w->data + nearest * c->width, c->width * sizeof *y);
}

void ISA(quantise_forward)(fv_backend *be, const fv_op *op)
{
    choice c = {.op = op, .codes = (size_t)op->w->shape.w, .width = (size_t)op->x->shape.c};
    c.squares = op->scratch;
    c.scores = c.squares + c.codes;
    fv_parallel(be, (int)c.codes, square_task, &c);
    size_t rows = fv_rows(op->x->shape);
    for (; c.row < rows; c.row += ROWS) {
        size_t count = min_of(ROWS, rows - c.row);
        fv_product p = {.m = count,
                        .n = c.codes,
                        .k = c.width,
                        .a = (const float *)op->x->data + c.row * c.width,
                        .lda = c.width,
                        .b = op->w->data,
                        .c = c.scores};
        ISA(dot_product)(be, &p);
        fv_parallel(be, (int)count, choose_task, &c);
    }
}

void ISA(quantise_backward)(fv_backend *be, const fv_op *op)
{
    if (op->dx) ISA(put)(be, op->dx->data, op->dy->data, fv_count(op->y->shape), op->add_dx);
}
