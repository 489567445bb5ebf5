/* gram and cosine: how alike the maps of two pictures are. Sums in float, in a fixed order.
 *
 *   gram     a product of the map with its own transpose, by our own kernel: its operands may be
 *            of 16 bits, its result is not
 *   cosine   two sums a picture, by slices, then their quotient */
#include "kernels/cuda/product.cuh"

namespace FV_SPACE
{

/* --- gram --- */

fv_status gram_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes = op->dx ? fv_count(op->y->shape) * sizeof(float) : 0;
    return FV_OK;
}

static matrix whole(const fv_tensor *t)
{
    return matrix_of(t, 0, 0, false);
}

/* y[n] {c,c} = x[n]^T . x[n] */
void gram_forward(fv_backend *be, const fv_op *op)
{
    fv_shape s = op->x->shape;
    size_t c = (size_t)s.c, positions = (size_t)s.h * (size_t)s.w;
    tiles t = {};
    t.m = t.n = (uint32_t)c, t.k = (uint32_t)positions;
    t.am = straight(1), t.ak = c;
    t.bk = c, t.bn = 1;
    t.cm = straight(c), t.cn = 1;
    t.a_batch = t.b_batch = positions * c, t.c_batch = c * c;
    launch_tiles(device_of(be), whole(op->x), whole(op->x), whole(op->y), nullptr, nullptr, t, s.n);
}

struct both_ways { /* dy[n,i,j] + dy[n,j,i] */
    mixed dy;
    uint32_t c;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t n = i / (c * c), row = i / c % c, column = i % c;
        return dy.get(i) + dy.get((size_t)n * c * c + (size_t)column * c + row);
    }
    FV_ONE_BY_ONE
};

/* dx[n] {p,c} = x[n] . (dy[n] + dy[n]^T) */
void gram_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    fv_shape s = op->x->shape;
    size_t c = (size_t)s.c, positions = (size_t)s.h * (size_t)s.w;
    fv_tensor sum = {"gram gradient", op->y->shape, FV_REAL,
                     FV_ROLE_VALUE,   op->scratch,  FV_FORMAT_F32};
    both_ways f{mixed::of(op->dy), (uint32_t)c};
    each(d, "gram gradient", f, mixed::of(&sum), false, &sum);
    tiles t = {};
    t.m = (uint32_t)positions, t.n = t.k = (uint32_t)c;
    t.am = straight(c), t.ak = 1;
    t.bk = c, t.bn = 1;
    t.cm = straight(c), t.cn = 1;
    t.a_batch = t.c_batch = positions * c, t.b_batch = c * c;
    launch_tiles(d, whole(op->x), whole(&sum), whole(op->dx), nullptr,
                 op->add_dx ? op->dx->data : nullptr, t, s.n);
}

/* --- cosine --- */

static unsigned slices_of(size_t count)
{
    unsigned blocks = blocks_for(count, 4 * THREADS);
    return blocks < 256 ? blocks : 256;
}

fv_status cosine_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    op->scratch_bytes =
        (size_t)op->x->shape.n * slices_of(fv_count(op->w->shape)) * 2 * sizeof(float);
    return FV_OK;
}

/* partial[n][slice] = <x, w>, |x|^2 */
FV_KERNEL cosine_sums_kernel(mixed x, mixed w, float *partial, uint32_t count)
{
    FV_SHARED(float, room);
    float dot = 0, square = 0;
    for (uint32_t e = blockIdx.x * blockDim.x + threadIdx.x; e < count;
         e += gridDim.x * blockDim.x) {
        float v = x.get((size_t)blockIdx.y * count + e);
        dot += v * w.get(e);
        square += v * v;
    }
    dot = block_sum(dot, room);
    square = block_sum(square, room);
    if (threadIdx.x) return;
    float *out = partial + 2 * ((size_t)blockIdx.y * gridDim.x + blockIdx.x);
    out[0] = dot;
    out[1] = square;
}

/* One block a picture: y, and aux = m, y / m (0 where m is eps). */
FV_KERNEL cosine_kernel(const float *partial, mixed y, mixed aux, uint32_t slices, float eps)
{
    FV_SHARED(float, room);
    float dot = 0, square = 0;
    for (uint32_t i = threadIdx.x; i < slices; i += blockDim.x) {
        dot += partial[2 * ((size_t)blockIdx.x * slices + i)];
        square += partial[2 * ((size_t)blockIdx.x * slices + i) + 1];
    }
    dot = block_sum(dot, room);
    square = block_sum(square, room);
    if (threadIdx.x) return;
    float length = sqrtf(square), m = length > eps ? length : eps;
    y.set(blockIdx.x, dot / m);
    aux.set(2 * (size_t)blockIdx.x, m);
    aux.set(2 * (size_t)blockIdx.x + 1, length > eps ? dot / m / m : 0);
}

void cosine_forward(fv_backend *be, const fv_op *op)
{
    device *d = device_of(be);
    uint32_t count = (uint32_t)fv_count(op->w->shape);
    unsigned slices = slices_of(count), pictures = (unsigned)op->x->shape.n;
    size_t room = THREADS / WARP * sizeof(float);
    float *partial = static_cast<float *>(op->scratch);
    launch(d, "cosine sums", true, cosine_sums_kernel, dim3(slices, pictures), dim3(THREADS), room,
           mixed::of(op->x), mixed::of(op->w), partial, count);
    launch(d, "cosine", true, cosine_kernel, dim3(pictures), dim3(THREADS), room,
           static_cast<const float *>(partial), mixed::of(op->y), mixed::of(op->aux),
           (uint32_t)slices, (float)op->attr.eps);
}

struct cosine_slope {
    mixed x, w, dy, aux;
    uint32_t count;
    FV_INLINE float at(uint32_t i) const
    {
        uint32_t n = i / count, e = i % count;
        float m = aux.get(2 * (size_t)n), pull = aux.get(2 * (size_t)n + 1);
        return dy.get(n) / m * (w.get(e) - pull * x.get(i));
    }
    FV_ONE_BY_ONE
};

void cosine_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    cosine_slope f{mixed::of(op->x), mixed::of(op->w), mixed::of(op->dy), mixed::of(op->aux),
                   (uint32_t)fv_count(op->w->shape)};
    each(device_of(be), "cosine backward", f, mixed::of(op->dx), op->add_dx, op->dx);
}

} // namespace FV_SPACE
