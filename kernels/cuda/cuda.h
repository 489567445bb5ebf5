/* The cuda backend: one NVIDIA GPU, or the emulator that the tests run the same kernels on.
 *
 * A spec is "cuda[:DEVICE][:PRECISION][:own|:blas]", e.g. "cuda", "cuda:1", "cuda:fp32",
 * "cuda:0:bf16".
 *
 *   fp16  (default) values, gradients and matrices in half, sums in float, loss scaling
 *   bf16  the same in bfloat16
 *   tf32  all in float, products of matrices with operands rounded to 10 bits
 *   fp32  all in float: to compare with the reference
 *   own   products of matrices by our own kernels, without tensor cores: what also happens where
 *         cuBLASLt is not installed
 *   blas  products by cuBLASLt, dense convolutions as products of windows: what also happens where
 *         cuDNN is not installed, and in the name of an open backend that has found none */
#ifndef FV_CUDA_H
#define FV_CUDA_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills `be` (name included), or fails and says why: no such GPU, no driver, a build without
 * CUDA. Nothing but this opens a CUDA library. */
fv_status fv_cuda_open(fv_backend *be, const char *spec);

/* --- the emulator: a GPU made of loops --- */

/* What the emulated device has seen. */
typedef struct fv_emulated_stats {
    long launches, products, copies, captures, replays, waits;
    size_t allocated, most_allocated; /* bytes */
    const char *faults;               /* one line a fault; "": none */
    /* may be changed: */
    size_t memory_limit; /* of all allocations together */
    bool dry;            /* launches are checked and counted, not run: plans of any size */
    /* Called with every pointer into device memory that a launch, product or copy is given. */
    void (*on_pointer)(void *user, const char *kernel, const void *pointer);
    void *user;
} fv_emulated_stats;

/* The spec is that of fv_cuda_open, beginning with "emulated". On the host, and slow; fails
 * where a GPU would: launches over the limits, operands a library would not take, memory that is
 * not allocated or no longer, waiting or allocating while capturing. */
fv_status fv_cuda_emulated_open(fv_backend *be, const char *spec);
fv_emulated_stats *fv_cuda_emulated_stats(fv_backend *be);
/* Name number i, by the alphabet, of what was launched so far ("product": by the library), and
 * how often; NULL after the last. */
const char *fv_cuda_emulated_launch(fv_backend *be, int i, long *count);

/* Which of NVIDIA's libraries may be used, where they are found. */
typedef enum fv_cuda_libraries { FV_CUDA_ALL, FV_CUDA_BLAS, FV_CUDA_OWN } fv_cuda_libraries;

/* Splits a spec after its first word: *device is -1 if there is none. */
fv_status fv_cuda_parse(const char *spec, int *device, char precision[8],
                        fv_cuda_libraries *libraries);

#ifdef __cplusplus
}
#endif
#endif
