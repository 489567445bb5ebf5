/* Dense convolutions by cuDNN, found by dlopen when a backend is opened: the program has no CUDA
 * library among its dependencies, and lays windows out as rows where this one is missing, or where
 * the program was built without its header. */
#ifndef FV_CUDA_CUDNN_CUH
#define FV_CUDA_CUDNN_CUH

#include "kernels/cuda/device.cuh"

namespace fv_gpu
{

struct cudnn; /* a handle of the library, on one stream of the current device */

/* NULL: the library is not there or does not work. */
cudnn *cudnn_open(cudaStream_t stream);
void cudnn_close(cudnn *c);

/* NULL: no algorithm that gives the same bytes every time. tf32: operands in float may be rounded
 * to 10 bits. What it computes on the way is lost. */
void *cudnn_plan(cudnn *c, const convolution &v, bool tf32, size_t *scratch);
void cudnn_forget(cudnn *c, void *plan);
/* false, and what it says: the device is in trouble. */
bool cudnn_run(cudnn *c, device *d, void *plan, const convolution &v, void *scratch,
               const char **why);

} // namespace fv_gpu

#endif
