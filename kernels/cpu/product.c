/* Products with constant matrices through BLAS: linear, mix_rows, separable, conv2d. One
 * single-threaded sgemm a tile; tiles are cut by the shape alone. */
#include <cblas.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

/* --- C = A . B in tiles --- */

enum { TILES = 16, LEAST_ROWS = 48, LEAST_COLUMNS = 64 };

typedef struct product {
    bool transpose_a, transpose_b, add;
    size_t m, n, k, rows, columns, column_tiles; /* rows, columns: of a tile */
    const float *a, *b;
    float *c;
    fv_epilogue epilogue;
} product;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t ceil_divide(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Bias and activation on a tile that is still in the cache. */
static void finish_tile(const product *p, size_t row, size_t rows, size_t column, size_t columns)
{
    const fv_epilogue *e = &p->epilogue;
    for (size_t r = row; r < row + rows; r++) {
        size_t at = r * p->n + column;
        fv_cpu_activate(e->act, p->c + at, e->aux ? e->aux + at : NULL,
                        e->bias ? e->bias + column : NULL, columns, columns);
    }
}

static void product_task(void *context, int i)
{
    const product *p = context;
    size_t row = (size_t)i / p->column_tiles * p->rows;
    size_t column = (size_t)i % p->column_tiles * p->columns;
    size_t rows = least(p->rows, p->m - row), columns = least(p->columns, p->n - column);
    size_t lda = p->transpose_a ? p->m : p->k, ldb = p->transpose_b ? p->k : p->n;
    const float *a = p->a + (p->transpose_a ? row : row * p->k);
    const float *b = p->b + (p->transpose_b ? column * p->k : column);
    cblas_sgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
                p->transpose_b ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns,
                (blasint)p->k, 1.0f, a, (blasint)lda, b, (blasint)ldb, p->add ? 1.0f : 0.0f,
                p->c + row * p->n + column, (blasint)p->n);
    if (p->epilogue.any) finish_tile(p, row, rows, column, columns);
}

void fv_cpu_product(fv_backend *be, bool transpose_a, bool transpose_b, size_t m, size_t n,
                    size_t k, const float *a, const float *b, bool add, float *c,
                    const fv_epilogue *epilogue)
{
    product p = {.transpose_a = transpose_a,
                 .transpose_b = transpose_b,
                 .add = add,
                 .m = m,
                 .n = n,
                 .k = k,
                 .a = a,
                 .b = b,
                 .c = c};
    if (epilogue) p.epilogue = *epilogue;
    size_t row_tiles = least(TILES, ceil_divide(m, LEAST_ROWS));
    p.rows = ceil_divide(m, row_tiles);
    row_tiles = ceil_divide(m, p.rows);
    size_t column_tiles = least(ceil_divide(TILES, row_tiles), ceil_divide(n, LEAST_COLUMNS));
    p.columns = ceil_divide(ceil_divide(n, column_tiles), 16) * 16; /* whole vectors */
    p.column_tiles = ceil_divide(n, p.columns);
    fv_parallel(be, (int)(row_tiles * p.column_tiles), product_task, &p);
}

static fv_epilogue epilogue_of(const fv_op *op)
{
    return (fv_epilogue){.act = op->act,
                         .bias = op->b ? op->b->data : NULL,
                         .aux = op->aux ? op->aux->data : NULL,
                         .any = op->b || op->act != FV_ACT_NONE};
}

/* --- linear --- */

void fv_cpu_linear_forward(fv_backend *be, const fv_op *op)
{
    fv_epilogue e = epilogue_of(op);
    fv_cpu_product(be, false, true, fv_rows(op->x->shape), (size_t)op->y->shape.c,
                   (size_t)op->x->shape.c, op->x->data, op->w->data, false, op->y->data, &e);
}

void fv_cpu_linear_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_cpu_undo_activation(be, op);
    fv_cpu_product(be, false, false, fv_rows(op->x->shape), (size_t)op->x->shape.c,
                   (size_t)op->y->shape.c, op->dy->data, op->w->data, op->add_dx, op->dx->data,
                   NULL);
}

/* --- mix_rows: for each picture a product from the left --- */

void fv_cpu_mix_rows_forward(fv_backend *be, const fv_op *op)
{
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const float *x = op->x->data;
    float *y = op->y->data;
    for (int n = 0; n < op->x->shape.n; n++, x += from * c, y += to * c)
        fv_cpu_product(be, false, false, to, c, from, op->w->data, x, false, y, NULL);
}

void fv_cpu_mix_rows_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    size_t from = (size_t)op->w->shape.c, to = (size_t)op->w->shape.w, c = (size_t)op->x->shape.c;
    const float *dy = op->dy->data;
    float *dx = op->dx->data;
    for (int n = 0; n < op->x->shape.n; n++, dx += from * c, dy += to * c)
        fv_cpu_product(be, true, false, from, c, to, op->w->data, dy, op->add_dx, dx, NULL);
}

/* --- separable: columns first, on a copy with the width outermost, then rows --- */

/* [a][b][c] -> [b][a][c]; add: onto what is there. */
FV_VECTOR static void swap_axes(float *out, const float *in, size_t a, size_t b, size_t c, bool add)
{
    for (size_t i = 0; i < a; i++)
        for (size_t j = 0; j < b; j++) {
            float *to = out + (j * a + i) * c;
            const float *from = in + (i * b + j) * c;
            for (size_t k = 0; k < c; k++) to[k] = from[k] + (add ? to[k] : 0);
        }
}

fv_status fv_cpu_separable_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    fv_shape x = op->x->shape, y = op->y->shape;
    size_t wide = (size_t)(x.w > y.w ? x.w : y.w);
    op->scratch_bytes = 2 * wide * (size_t)x.h * (size_t)x.c * sizeof(float);
    return FV_OK;
}

void fv_cpu_separable_forward(fv_backend *be, const fv_op *op)
{
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t h = (size_t)xs.h, w = (size_t)xs.w, c = (size_t)xs.c;
    size_t high = (size_t)ys.h, wide = (size_t)ys.w;
    const float *x = op->x->data;
    float *y = op->y->data, *first = op->scratch, *second = first + (w > wide ? w : wide) * h * c;
    for (int n = 0; n < xs.n; n++, x += h * w * c, y += high * wide * c) {
        swap_axes(first, x, h, w, c, false);
        fv_cpu_product(be, false, false, wide, h * c, w, op->b->data, first, false, second, NULL);
        swap_axes(first, second, wide, h, c, false);
        fv_cpu_product(be, false, false, high, wide * c, h, op->w->data, first, false, y, NULL);
    }
}

void fv_cpu_separable_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t h = (size_t)xs.h, w = (size_t)xs.w, c = (size_t)xs.c;
    size_t high = (size_t)ys.h, wide = (size_t)ys.w;
    const float *dy = op->dy->data;
    float *dx = op->dx->data, *first = op->scratch;
    float *second = first + (w > wide ? w : wide) * h * c;
    for (int n = 0; n < xs.n; n++, dx += h * w * c, dy += high * wide * c) {
        fv_cpu_product(be, true, false, h, wide * c, high, op->w->data, dy, false, first, NULL);
        swap_axes(second, first, h, wide, c, false);
        fv_cpu_product(be, true, false, w, h * c, wide, op->b->data, second, false, first, NULL);
        swap_axes(dx, first, w, h, c, op->add_dx);
    }
}

/* --- conv2d: 1x1 is linear; the rest by patches --- */

static bool is_pointwise(const fv_op *op)
{
    const fv_conv_attr *a = &op->attr.conv;
    return a->k == 1 && a->stride == 1 &&
           fv_same_shape(op->x->shape, (fv_shape){op->y->shape.n, op->y->shape.h, op->y->shape.w,
                                                  op->x->shape.c});
}

static size_t patch_size(const fv_op *op)
{
    return (size_t)op->attr.conv.k * (size_t)op->attr.conv.k * (size_t)op->x->shape.c;
}

fv_status fv_cpu_conv2d_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes =
        is_pointwise(op) ? 0 : fv_rows(op->y->shape) * patch_size(op) * sizeof(float);
    return FV_OK;
}

/* One row of output positions: their patches, k*k*c numbers each, zero outside the picture. */
static void gather_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, patch = patch_size(op);
    int n = i / ys.h, row = i % ys.h;
    const float *x = (const float *)op->x->data + (size_t)n * (size_t)xs.h * (size_t)xs.w * c;
    float *out = (float *)op->scratch + (size_t)i * (size_t)ys.w * patch;
    for (int j = 0; j < ys.w; j++)
        for (int u = 0; u < a->k; u++)
            for (int v = 0; v < a->k; v++, out += c) {
                int r = row * a->stride + u - a->pad_top, q = j * a->stride + v - a->pad_left;
                bool inside = r >= 0 && q >= 0 && r < xs.h && q < xs.w;
                const float *from = inside ? x + ((size_t)r * (size_t)xs.w + (size_t)q) * c : NULL;
                for (size_t k = 0; k < c; k++) out[k] = inside ? from[k] : 0;
            }
}

/* One row of dx: every patch that has seen it gives back its share. */
static void scatter_task(void *context, int i)
{
    const fv_op *op = context;
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape xs = op->x->shape, ys = op->y->shape;
    size_t c = (size_t)xs.c, patch = patch_size(op);
    int n = i / xs.h, r = i % xs.h;
    const float *patches =
        (const float *)op->scratch + (size_t)n * (size_t)ys.h * (size_t)ys.w * patch;
    float *dx = (float *)op->dx->data + (size_t)i * (size_t)xs.w * c;
    if (!op->add_dx) memset(dx, 0, (size_t)xs.w * c * sizeof *dx);
    for (int u = 0; u < a->k; u++) {
        int at = r + a->pad_top - u;
        if (at < 0 || at % a->stride || at / a->stride >= ys.h) continue;
        const float *line = patches + (size_t)(at / a->stride) * (size_t)ys.w * patch;
        for (int j = 0; j < ys.w; j++)
            for (int v = 0; v < a->k; v++) {
                int q = j * a->stride + v - a->pad_left;
                if (q < 0 || q >= xs.w) continue;
                const float *from = line + (size_t)j * patch + (size_t)(u * a->k + v) * c;
                for (size_t k = 0; k < c; k++) dx[(size_t)q * c + k] += from[k];
            }
    }
}

void fv_cpu_conv2d_forward(fv_backend *be, const fv_op *op)
{
    if (is_pointwise(op)) {
        fv_cpu_linear_forward(be, op);
        return;
    }
    fv_epilogue e = epilogue_of(op);
    fv_parallel(be, op->y->shape.n * op->y->shape.h, gather_task, (void *)(uintptr_t)op);
    fv_cpu_product(be, false, true, fv_rows(op->y->shape), (size_t)op->y->shape.c, patch_size(op),
                   op->scratch, op->w->data, false, op->y->data, &e);
}

void fv_cpu_conv2d_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    if (is_pointwise(op)) {
        fv_cpu_linear_backward(be, op);
        return;
    }
    fv_cpu_undo_activation(be, op);
    fv_cpu_product(be, false, false, fv_rows(op->y->shape), patch_size(op), (size_t)op->y->shape.c,
                   op->dy->data, op->w->data, false, op->scratch, NULL);
    fv_parallel(be, op->x->shape.n * op->x->shape.h, scatter_task, (void *)(uintptr_t)op);
}
