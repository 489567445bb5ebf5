/* The threads of one block, for the emulator: fibers, each of which runs until it meets a barrier
 * (block_barrier, warp_barrier and warp_exchange of grid.cuh). They live as long as the device and
 * run block after block. One thread of the host at a time. */
#ifndef FV_CUDA_FIBERS_H
#define FV_CUDA_FIBERS_H

#include <functional>

namespace fv_emulated
{

enum { FIBERS_MAX = 1024 }; /* threads of a block */

struct fibers;

fibers *fibers_new();
void fibers_free(fibers *r);
/* Runs the kernel on threads 0 .. threads - 1. False: some threads wait at a barrier that others
 * never reach. */
bool fibers_run(fibers *r, const std::function<void()> &kernel, unsigned threads);

} // namespace fv_emulated

#endif
