/* cuBLASLt through dlopen: the program has no CUDA library among its dependencies, and runs its
 * own kernels where the library is missing. Only the functions in the list are looked up. */
#ifndef FV_CUDA_CUBLASLT_CUH
#define FV_CUDA_CUBLASLT_CUH

#include <cublasLt.h>

#define FV_CUBLASLT_FUNCTIONS(f)                                                                   \
    f(cublasLtCreate) f(cublasLtDestroy) f(cublasLtMatmul) f(cublasLtMatmulDescCreate)             \
        f(cublasLtMatmulDescDestroy) f(cublasLtMatmulDescSetAttribute)                             \
            f(cublasLtMatrixLayoutCreate) f(cublasLtMatrixLayoutDestroy)                           \
                f(cublasLtMatrixLayoutSetAttribute) f(cublasLtMatmulPreferenceCreate)              \
                    f(cublasLtMatmulPreferenceDestroy) f(cublasLtMatmulPreferenceSetAttribute)     \
                        f(cublasLtMatmulAlgoGetHeuristic)

struct cublaslt_library {
    void *handle;
#define FV_CUBLASLT_MEMBER(name) decltype(&::name) name;
    FV_CUBLASLT_FUNCTIONS(FV_CUBLASLT_MEMBER)
#undef FV_CUBLASLT_MEMBER
};

/* Loaded once for the life of the program; NULL if it is not installed. */
const cublaslt_library *cublaslt_load();

#endif
