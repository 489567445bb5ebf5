/* Kernels that run on a GPU and on a CPU: the words of CUDA that they use, and what those mean
 * when the same source is compiled by a host compiler.
 *
 *   nvcc   FV_SPACE is fv_gpu: kernels are __global__ functions.
 *   else   FV_SPACE is fv_emulated: kernels are plain functions, run for every block and thread
 *          by emulator.cc. Threads of a block that meet at a barrier are fibers: they run one
 *          after the other up to the barrier, so tails, indices and the order of barriers are
 *          those of the device; shared memory is poisoned before each block. */
#ifndef FV_CUDA_GRID_CUH
#define FV_CUDA_GRID_CUH

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#define FV_UNROLL _Pragma("unroll")
#define FV_SPACE  fv_gpu
#define FV_KERNEL __global__ void
#define FV_INLINE __device__ __forceinline__
#define FV_BOTH   __host__ __device__ __forceinline__
#define FV_SHARED(type, name)                                                                      \
    extern __shared__ __align__(16) unsigned char fv_shared_bytes[];                               \
    type *name = reinterpret_cast<type *>(fv_shared_bytes)

namespace FV_SPACE
{

FV_INLINE void block_barrier()
{
    __syncthreads();
}

FV_INLINE void warp_barrier()
{
    __syncwarp();
}

FV_INLINE float warp_exchange(float value, int mask)
{
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

} // namespace FV_SPACE

#else

#define FV_UNROLL
#define FV_SPACE              fv_emulated
#define FV_KERNEL             void
#define FV_INLINE             inline
#define FV_BOTH               inline
#define FV_SHARED(type, name) type *name = reinterpret_cast<type *>(fv_emulated::emulated.shared)

namespace FV_SPACE
{

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* Where the running thread is; emulator.cc sets it. */
struct coordinates {
    dim3 thread, block, block_size, grid_size;
    void *shared;
};
extern coordinates emulated;

void block_barrier();
void warp_barrier();
float warp_exchange(float value, int mask); /* the value of lane (own ^ mask) */

} // namespace FV_SPACE

#define threadIdx fv_emulated::emulated.thread
#define blockIdx  fv_emulated::emulated.block
#define blockDim  fv_emulated::emulated.block_size
#define gridDim   fv_emulated::emulated.grid_size

#endif

namespace FV_SPACE
{

enum { WARP = 32 };

/* Sum and maximum over a warp, the same bits in every lane: all lanes must take part. */
FV_INLINE float warp_sum(float v)
{
    for (int mask = WARP / 2; mask; mask /= 2) v += warp_exchange(v, mask);
    return v;
}

FV_INLINE float warp_max(float v)
{
    for (int mask = WARP / 2; mask; mask /= 2) {
        float other = warp_exchange(v, mask);
        v = other > v ? other : v;
    }
    return v;
}

/* Sum over a block of blockDim.x threads, a multiple of 32; `room` is shared memory for one
 * float a warp. All threads must take part, and all get the sum. */
FV_INLINE float block_sum(float v, float *room)
{
    v = warp_sum(v);
    block_barrier(); /* the room may still be read from the last call */
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = v;
    block_barrier();
    float sum = 0;
    for (unsigned w = 0; w < blockDim.x / WARP; w++) sum += room[w];
    return sum;
}

} // namespace FV_SPACE

#endif
