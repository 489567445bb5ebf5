/* mix_rows and separable: products with constant matrices over the positions of pictures.
 *
 *   mix_rows       one matrix times every picture's positions
 *   separable      two products, rows then columns, always in float and by our own kernel */
#include "kernels/cuda/product.cuh"

namespace FV_SPACE
{

/* --- mix_rows --- */

/* y[n] {r,c} = w {r,p} . x[n] {p,c} */
static product mix_product(const fv_op *op)
{
    int p = op->w->shape.c, r = op->w->shape.w, c = op->x->shape.c;
    return {r,
            c,
            p,
            op->x->shape.n,
            matrix_of(op->w, p, 0, false),
            matrix_of(op->x, c, (size_t)p * (size_t)c, false),
            matrix_of(op->y, c, (size_t)r * (size_t)c, false),
            nullptr,
            nullptr,
            false};
}

/* dx[n] {p,c} = w^T . dy[n] {r,c} */
static product mix_gradient(const fv_op *op)
{
    int p = op->w->shape.c, r = op->w->shape.w, c = op->x->shape.c;
    return {p,
            c,
            r,
            op->x->shape.n,
            matrix_of(op->w, p, 0, true),
            matrix_of(op->dy, c, (size_t)r * (size_t)c, false),
            matrix_of(op->dx, c, (size_t)p * (size_t)c, false),
            op->add_dx ? op->dx->data : nullptr,
            nullptr,
            false};
}

fv_status mix_rows_prepare(fv_backend *be, fv_op *op)
{
    device *d = device_of(be);
    FV_TRY(adopt(d, op->w, format_of(op->x)));
    product_plans *s;
    FV_TRY(new_plans(d, op, &s));
    s->forward = d->product_plan(mix_product(op));
    if (op->dx) s->backward = d->product_plan(mix_gradient(op));
    return FV_OK;
}

void mix_rows_forward(fv_backend *be, const fv_op *op)
{
    multiply(device_of(be), plans_of(op)->forward, mix_product(op));
}

void mix_rows_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx) multiply(device_of(be), plans_of(op)->backward, mix_gradient(op));
}

/* --- separable --- */

/* half[n,I,q] = sum over i of w[I,i] x[n,i,q], q = (j, c);
 * y[n,I,J,c] = sum over j of b[J,j] half[n,I,j,c], where (n, I, c) are the rows of a product */
fv_status separable_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    fv_shape x = op->x->shape, y = op->y->shape;
    op->scratch_bytes = (size_t)x.n * (size_t)y.h * (size_t)x.w * (size_t)x.c * sizeof(float);
    return FV_OK;
}

static matrix floats(void *p)
{
    return {p, FV_FORMAT_F32, 0, 0, false};
}

static matrix as_it_is(const fv_tensor *t)
{
    return {t->data, format_of(t), 0, 0, false};
}

void separable_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    fv_shape x = op->x->shape, y = op->y->shape;
    size_t c = (size_t)x.c, line = (size_t)x.w * c;
    tiles down = {};
    down.m = (uint32_t)y.h, down.n = (uint32_t)line, down.k = (uint32_t)x.h;
    down.am = straight((size_t)x.h), down.ak = 1;
    down.bk = line, down.bn = 1;
    down.cm = straight(line), down.cn = 1;
    down.b_batch = (size_t)x.h * line, down.c_batch = (size_t)y.h * line;
    launch_tiles(d, as_it_is(op->w), as_it_is(op->x), floats(op->scratch), nullptr, nullptr, down,
                 x.n);
    tiles across = {};
    across.m = (uint32_t)(x.n * y.h * x.c), across.n = (uint32_t)y.w, across.k = (uint32_t)x.w;
    across.am = {(uint32_t)c, line, 1}, across.ak = c;
    across.bk = 1, across.bn = (size_t)x.w;
    across.cm = {(uint32_t)c, (size_t)y.w * c, 1}, across.cn = c;
    launch_tiles(d, floats(op->scratch), as_it_is(op->b), as_it_is(op->y), nullptr, nullptr, across,
                 1);
}

/* half[n,I,j,c] = sum over J of b[J,j] dy[n,I,J,c];   dx[n,i,q] = sum over I of w[I,i] half */
void separable_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    fv_shape x = op->x->shape, y = op->y->shape;
    size_t c = (size_t)x.c, line = (size_t)x.w * c;
    tiles across = {};
    across.m = (uint32_t)(x.n * y.h * x.c), across.n = (uint32_t)x.w, across.k = (uint32_t)y.w;
    across.am = {(uint32_t)c, (size_t)y.w * c, 1}, across.ak = c;
    across.bk = (size_t)x.w, across.bn = 1;
    across.cm = {(uint32_t)c, line, 1}, across.cn = c;
    launch_tiles(d, as_it_is(op->dy), as_it_is(op->b), floats(op->scratch), nullptr, nullptr,
                 across, 1);
    tiles down = {};
    down.m = (uint32_t)x.h, down.n = (uint32_t)line, down.k = (uint32_t)y.h;
    down.am = straight(1), down.ak = (size_t)x.h;
    down.bk = line, down.bn = 1;
    down.cm = straight(line), down.cn = 1;
    down.b_batch = (size_t)y.h * line, down.c_batch = (size_t)x.h * line;
    launch_tiles(d, as_it_is(op->w), floats(op->scratch), as_it_is(op->dx), nullptr,
                 op->add_dx ? op->dx->data : nullptr, down, x.n);
}

} // namespace FV_SPACE
