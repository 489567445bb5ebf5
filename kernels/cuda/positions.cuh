/* Kernels that walk over the positions of maps, {n, p, c}: a block has TX channel groups side by
 * side and TY positions below each other, and takes a slice of the positions. Slices depend on
 * shapes alone, so what is summed by slices comes out the same every time. */
#ifndef FV_CUDA_POSITIONS_CUH
#define FV_CUDA_POSITIONS_CUH

#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

struct slices {
    uint32_t positions, channels, slices, each; /* `each` positions in a slice */
    int width, tx;                              /* channels a thread, threads side by side */
};

/* fewest: positions a thread at least; most: slices. */
inline slices cut(const fv_tensor *x, uint32_t fewest, uint32_t most)
{
    fv_shape s = x->shape;
    slices c;
    c.positions = (uint32_t)(s.h * s.w);
    c.channels = (uint32_t)s.c;
    c.width = s.c % 8 == 0 ? 8 : 1;
    uint32_t groups = c.channels / (uint32_t)c.width;
    c.tx = 1;
    while (c.tx < WARP && (uint32_t)c.tx < groups) c.tx *= 2;
    fewest *= THREADS / (uint32_t)c.tx;
    c.each = c.positions / most > fewest ? (c.positions + most - 1) / most : fewest;
    c.slices = (c.positions + c.each - 1) / c.each;
    return c;
}

inline dim3 grid_of(const slices &c, int pictures)
{
    return dim3(blocks_for(c.channels, (size_t)(c.width * c.tx)), c.slices, (unsigned)pictures);
}

struct corner { /* what a thread of a positions kernel works on */
    uint32_t n, slice, channel, first, last, step;
    bool inside;
};

FV_INLINE corner my_corner(const slices &c)
{
    uint32_t tx = threadIdx.x % (uint32_t)c.tx, ty = threadIdx.x / (uint32_t)c.tx;
    corner at;
    at.n = blockIdx.z;
    at.slice = blockIdx.y;
    at.channel = (blockIdx.x * (uint32_t)c.tx + tx) * (uint32_t)c.width;
    at.step = blockDim.x / (uint32_t)c.tx;
    at.first = at.slice * c.each + ty;
    at.last = at.slice * c.each + c.each < c.positions ? at.slice * c.each + c.each : c.positions;
    at.inside = at.channel < c.channels;
    return at;
}

/* Adds the TY partial sums of each channel in shared memory, and puts the block's sums into
 * partial[n][slice][c]. */
template <int W>
FV_INLINE void add_down(const slices &c, const corner &at, float sum[W], float *partial)
{
    FV_SHARED(float, room); /* [threads * W] */
    for (int k = 0; k < W; k++) room[threadIdx.x * W + (unsigned)k] = sum[k];
    block_barrier();
    if (threadIdx.x >= (unsigned)c.tx || !at.inside) return;
    for (int k = 0; k < W; k++) {
        float total = 0;
        for (unsigned t = threadIdx.x; t < blockDim.x; t += (unsigned)c.tx)
            total += room[t * W + (unsigned)k];
        partial[((size_t)at.n * c.slices + at.slice) * c.channels + at.channel + (unsigned)k] =
            total;
    }
}

/* Sums over positions are added up later, once: few slices, each long enough to be worth it. */
inline slices cut_sums(const fv_tensor *x)
{
    return cut(x, 8, 64);
}

/* Each position is read and written once: more and shorter slices than for sums. */
inline slices cut_walk(const fv_tensor *x)
{
    return cut(x, 4, 4096);
}

} // namespace FV_SPACE

#endif
