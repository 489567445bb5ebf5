/* Tests on a GPU, which are skipped where there is none. */
#ifndef FV_TESTS_GPU_H
#define FV_TESTS_GPU_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/backend.h"
#include "kernels/status.h"

/* What CTest takes for skipped. */
enum { SKIPPED = 77 };

/* Is there a first GPU? If not, why is printed. */
static inline bool there_is_a_gpu(void)
{
    fv_backend *be;
    if (fv_backend_open(&be, "cuda:fp32", 0) < 0) {
        printf("skipped: %s\n", fv_error());
        return false;
    }
    fv_backend_close(be);
    return true;
}

#endif
