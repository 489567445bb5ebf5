/* "cuda[:DEVICE][:PRECISION][:own|:blas]", and the answer of a build without CUDA. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"

fv_status fv_cuda_parse(const char *spec, int *device, char precision[8],
                        fv_cuda_libraries *libraries)
{
    *device = -1;
    *libraries = FV_CUDA_ALL;
    strcpy(precision, "fp16");
    const char *at = strchr(spec, ':');
    for (; at; at = strchr(at, ':')) {
        at++;
        size_t length = strcspn(at, ":");
        char *end;
        if (*at >= '0' && *at <= '9') {
            long number = strtol(at, &end, 10);
            if (end != at + length || number > 1023)
                return fv_fail(FV_ERR_ARGUMENT, "backend %.40s: no such GPU number", spec);
            *device = (int)number;
        } else if (length == 3 && strncmp(at, "own", 3) == 0) {
            *libraries = FV_CUDA_OWN;
        } else if (length == 4 && strncmp(at, "blas", 4) == 0) {
            *libraries = FV_CUDA_BLAS;
        } else if (length && length < 8) {
            memcpy(precision, at, length);
            precision[length] = 0;
        } else {
            return fv_fail(
                FV_ERR_ARGUMENT,
                "backend %.40s: expected cuda[:DEVICE][:fp16|bf16|tf32|fp32][:own|:blas]", spec);
        }
    }
    return FV_OK;
}

#ifndef FV_WITH_CUDA
fv_status fv_cuda_open(fv_backend *be, const char *spec)
{
    (void)be;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "backend %.40s: this program was built without CUDA (no nvcc was found then); "
                   "use --device cpu",
                   spec);
}
#endif
