/* quantise: a block a row of x, its warps in turn over the codes. See kernels/op.h. */
#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

struct nearest {
    float far; /* |w|^2 - 2 x . w */
    uint32_t code;
};

/* The lower code where two are as near. */
FV_INLINE nearest nearer(nearest a, nearest b)
{
    return b.far < a.far || (b.far == a.far && b.code < a.code) ? b : a;
}

template <class V> FV_KERNEL quantise_kernel(V x, mixed w, mixed y, uint32_t width, uint32_t codes)
{
    FV_SHARED(nearest, room); /* [warps] */
    uint32_t lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    size_t row = (size_t)blockIdx.x * width;
    nearest best = {INFINITY, 0};
    for (uint32_t k = threadIdx.x / WARP; k < codes; k += warps) {
        float sum = 0;
        for (uint32_t i = lane; i < width; i += WARP) {
            float e = w.get((size_t)k * width + i);
            sum += e * (e - 2 * x.get(row + i));
        }
        best = nearer(best, {warp_sum(sum), k});
    }
    if (lane == 0) room[threadIdx.x / WARP] = best;
    block_barrier();
    for (uint32_t q = 0; q < warps; q++) best = nearer(best, room[q]);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x)
        y.set(row + i, w.get((size_t)best.code * width + i));
}

void quantise_forward(fv_backend *be, const fv_op *op)
{
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(device_of(be), "quantise", true, quantise_kernel<V>,
                   dim3((unsigned)fv_rows(op->x->shape)), dim3(THREADS),
                   THREADS / WARP * sizeof(nearest), V::of(op->x), mixed::of(op->w),
                   mixed::of(op->y), (uint32_t)op->x->shape.c, (uint32_t)op->w->shape.w);
        },
        op->x);
}

struct same {
    mixed x;
    FV_INLINE float at(uint32_t i) const
    {
        return x.get(i);
    }
    FV_ONE_BY_ONE
};

void quantise_backward(fv_backend *be, const fv_op *op)
{
    if (op->dx)
        each(device_of(be), "quantise backward", same{mixed::of(op->dy)}, mixed::of(op->dx),
             op->add_dx, op->dx);
}

} // namespace FV_SPACE
