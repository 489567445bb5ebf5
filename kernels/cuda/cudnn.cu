/* Dense convolutions by cuDNN 9's calls that take descriptors: one plan holds those of one
 * convolution, in one direction, and the algorithm.
 *
 * The algorithm is the library's first guess among those that give the same bytes every time; it is
 * not timed, as the choice would then differ from run to run. Bias, addend and relu ride on the
 * convolution where the library takes them, which one call at planning time finds out. */
#include "kernels/cuda/cudnn.cuh"
#include "kernels/cuda/library.cuh"

#if __has_include(<cudnn.h>)

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma nv_diag_suppress 1444 /* these calls are called old, and are what there is without C++ */
#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>

#include <mutex>
#include <new>

#define FV_CUDNN_FUNCTIONS(f)                                                                      \
    f(cudnnCreate) f(cudnnDestroy) f(cudnnSetStream) f(cudnnGetErrorString)                        \
        f(cudnnCreateTensorDescriptor) f(cudnnDestroyTensorDescriptor)                             \
            f(cudnnSetTensor4dDescriptor) f(cudnnCreateFilterDescriptor)                           \
                f(cudnnDestroyFilterDescriptor) f(cudnnSetFilter4dDescriptor)                      \
                    f(cudnnCreateConvolutionDescriptor) f(cudnnDestroyConvolutionDescriptor)       \
                        f(cudnnSetConvolution2dDescriptor) f(cudnnSetConvolutionMathType)          \
                            f(cudnnCreateActivationDescriptor) f(cudnnDestroyActivationDescriptor) \
                                f(cudnnSetActivationDescriptor) f(cudnnAddTensor)                  \
                                    f(cudnnGetConvolutionForwardAlgorithm_v7)                      \
                                        f(cudnnGetConvolutionBackwardDataAlgorithm_v7)             \
                                            f(cudnnGetConvolutionForwardWorkspaceSize)             \
                                                f(cudnnConvolutionForward)                         \
                                                    f(cudnnConvolutionBiasActivationForward)       \
                                                        f(cudnnConvolutionBackwardData)

namespace fv_gpu
{

static const size_t most_scratch = (size_t)256 << 20;

struct cudnn_library {
    void *loaded;
#define FV_CUDNN_MEMBER(name) decltype(&::name) name;
    FV_CUDNN_FUNCTIONS(FV_CUDNN_MEMBER)
#undef FV_CUDNN_MEMBER
};

struct cudnn {
    const cudnn_library *lib;
    cudnnHandle_t handle;
    cudaStream_t stream;
};

struct cudnn_convolution {
    cudnnTensorDescriptor_t x, y, bias;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t how;
    cudnnActivationDescriptor_t act;
    cudnnConvolutionFwdAlgo_t forward;
    cudnnConvolutionBwdDataAlgo_t backward;
    size_t bytes;
    bool fused; /* bias, addend and relu ride on it */
};

static const cudnn_library *library()
{
    static cudnn_library library;
    static std::once_flag once;
    std::call_once(once, [] {
        void *handle = library_open("cudnn", CUDNN_MAJOR);
        if (!handle) return;
        bool complete = true;
#define FV_CUDNN_FIND(function)                                                                    \
    library.function = reinterpret_cast<decltype(library.function)>(dlsym(handle, #function));     \
    complete = complete && library.function;
        FV_CUDNN_FUNCTIONS(FV_CUDNN_FIND)
#undef FV_CUDNN_FIND
        if (complete) library.loaded = handle;
    });
    return library.loaded ? &library : nullptr;
}

cudnn *cudnn_open(cudaStream_t stream)
{
    const cudnn_library *lib = library();
    cudnn *c = lib ? new (std::nothrow) cudnn{lib, nullptr, stream} : nullptr;
    if (!c) return nullptr;
    if (lib->cudnnCreate(&c->handle) != CUDNN_STATUS_SUCCESS) {
        delete c;
        return nullptr;
    }
    if (lib->cudnnSetStream(c->handle, stream) == CUDNN_STATUS_SUCCESS) return c;
    cudnn_close(c);
    return nullptr;
}

void cudnn_close(cudnn *c)
{
    if (!c) return;
    c->lib->cudnnDestroy(c->handle);
    delete c;
}

static cudnnDataType_t type_of(fv_format f)
{
    return f == FV_FORMAT_F16    ? CUDNN_DATA_HALF
           : f == FV_FORMAT_BF16 ? CUDNN_DATA_BFLOAT16
                                 : CUDNN_DATA_FLOAT;
}

/* All calls of a sequence succeed, or the first that does not ends it. */
#define FV_CUDNN(call)                                                                             \
    do {                                                                                           \
        cudnnStatus_t status_ = (call);                                                            \
        if (status_ != CUDNN_STATUS_SUCCESS) return status_;                                       \
    } while (0)

static cudnnStatus_t describe_tensor(const cudnn_library *l, cudnnTensorDescriptor_t *t,
                                     const convolution &v, fv_shape s)
{
    FV_CUDNN(l->cudnnCreateTensorDescriptor(t));
    return l->cudnnSetTensor4dDescriptor(*t, CUDNN_TENSOR_NHWC, type_of(v.format), s.n, s.c, s.h,
                                         s.w);
}

/* Sums in float in every format; products of floats on tensor cores only where tf32 says so. */
static cudnnStatus_t describe(const cudnn_library *l, cudnn_convolution *q, const convolution &v,
                              bool tf32)
{
    FV_CUDNN(describe_tensor(l, &q->x, v, v.x));
    FV_CUDNN(describe_tensor(l, &q->y, v, v.y));
    FV_CUDNN(describe_tensor(l, &q->bias, v, fv_shape{1, 1, 1, v.y.c}));
    FV_CUDNN(l->cudnnCreateFilterDescriptor(&q->w));
    FV_CUDNN(l->cudnnSetFilter4dDescriptor(q->w, type_of(v.format), CUDNN_TENSOR_NHWC, v.y.c, v.x.c,
                                           v.k, v.k));
    FV_CUDNN(l->cudnnCreateConvolutionDescriptor(&q->how));
    FV_CUDNN(l->cudnnSetConvolution2dDescriptor(q->how, v.pad, v.pad, v.stride, v.stride, 1, 1,
                                                CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    bool exact = v.format == FV_FORMAT_F32 && !tf32;
    FV_CUDNN(l->cudnnSetConvolutionMathType(q->how, exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH));
    FV_CUDNN(l->cudnnCreateActivationDescriptor(&q->act));
    return l->cudnnSetActivationDescriptor(
        q->act, v.relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN,
        0);
}

/* The first guess that can be used; its math is the one that was allowed. */
template <class Guess, class Algorithm>
static bool first_of(const Guess *guesses, int count, bool exact, Algorithm *algorithm,
                     size_t *bytes)
{
    for (int i = 0; i < count; i++) {
        const Guess &g = guesses[i];
        bool same =
            g.determinism == CUDNN_DETERMINISTIC && (!exact || g.mathType == CUDNN_FMA_MATH);
        if (g.status != CUDNN_STATUS_SUCCESS || !same || g.memory > most_scratch) continue;
        *algorithm = g.algo;
        *bytes = g.memory;
        return true;
    }
    return false;
}

static bool choose(cudnn *c, cudnn_convolution *q, const convolution &v, bool tf32)
{
    enum { GUESSES = 10 };
    int count = 0;
    bool exact = v.format == FV_FORMAT_F32 && !tf32;
    if (v.gradient) {
        cudnnConvolutionBwdDataAlgoPerf_t guesses[GUESSES];
        if (c->lib->cudnnGetConvolutionBackwardDataAlgorithm_v7(c->handle, q->w, q->y, q->how, q->x,
                                                                GUESSES, &count,
                                                                guesses) != CUDNN_STATUS_SUCCESS)
            return false;
        return first_of(guesses, count, exact, &q->backward, &q->bytes);
    }
    cudnnConvolutionFwdAlgoPerf_t guesses[GUESSES];
    if (c->lib->cudnnGetConvolutionForwardAlgorithm_v7(c->handle, q->x, q->w, q->how, q->y, GUESSES,
                                                       &count, guesses) != CUDNN_STATUS_SUCCESS)
        return false;
    return first_of(guesses, count, exact, &q->forward, &q->bytes);
}

static cudnnStatus_t run_fused(cudnn *c, const cudnn_convolution *q, const convolution &v,
                               void *scratch)
{
    const float one = 1, none = 0;
    return c->lib->cudnnConvolutionBiasActivationForward(
        c->handle, &one, q->x, v.x_data, q->w, v.w, q->how, q->forward, scratch, q->bytes,
        v.addend ? &one : &none, q->y, v.addend ? v.addend : v.y_data, q->bias, v.bias, q->act,
        q->y, v.y_data);
}

static cudnnStatus_t run_plain(cudnn *c, device *d, const cudnn_convolution *q,
                               const convolution &v, void *scratch)
{
    const float one = 1, none = 0;
    FV_CUDNN(c->lib->cudnnConvolutionForward(c->handle, &one, q->x, v.x_data, q->w, v.w, q->how,
                                             q->forward, scratch, q->bytes, &none, q->y, v.y_data));
    if (v.addend)
        FV_CUDNN(c->lib->cudnnAddTensor(c->handle, &one, q->y, v.addend, &one, q->y, v.y_data));
    matrix y = {v.y_data, v.format, v.y.c, 0, false};
    product p = {(int)fv_rows(v.y), v.y.c, v.k * v.k * v.x.c, 1, y, y, y, nullptr, v.bias, v.relu};
    finish_product(d, p);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t run_gradient(cudnn *c, const cudnn_convolution *q, const convolution &v,
                                  void *scratch)
{
    const float one = 1, none = 0;
    return c->lib->cudnnConvolutionBackwardData(c->handle, &one, q->w, v.w, q->y, v.y_data, q->how,
                                                q->backward, scratch, q->bytes,
                                                v.addend ? &one : &none, q->x, v.x_data);
}

/* Whether the library takes bias, addend and relu along: asked by doing it once. */
static bool takes_all(cudnn *c, cudnn_convolution *q, const convolution &v)
{
    cudnnConvolutionFwdAlgo_t guess = q->forward;
    void *scratch = nullptr;
    q->forward = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM; /* the one that is fused */
    size_t before = q->bytes;
    bool ok = v.bias && c->lib->cudnnGetConvolutionForwardWorkspaceSize(
                            c->handle, q->x, q->w, q->how, q->y, q->forward, &q->bytes) ==
                            CUDNN_STATUS_SUCCESS;
    ok = ok && q->bytes <= most_scratch &&
         cudaMalloc(&scratch, q->bytes ? q->bytes : 1) == cudaSuccess;
    ok = ok && run_fused(c, q, v, scratch) == CUDNN_STATUS_SUCCESS &&
         cudaStreamSynchronize(c->stream) == cudaSuccess;
    cudaFree(scratch);
    if (ok) return true;
    q->forward = guess;
    q->bytes = before;
    return false;
}

void *cudnn_plan(cudnn *c, const convolution &v, bool tf32, size_t *scratch)
{
    cudnn_convolution *q = c ? new (std::nothrow) cudnn_convolution{} : nullptr;
    if (!q) return nullptr;
    bool in_place = !v.gradient || !v.addend || v.addend == v.x_data;
    if (!in_place || describe(c->lib, q, v, tf32) != CUDNN_STATUS_SUCCESS ||
        !choose(c, q, v, tf32)) {
        cudnn_forget(c, q);
        return nullptr;
    }
    q->fused = !v.gradient && takes_all(c, q, v);
    *scratch = q->bytes;
    return q;
}

void cudnn_forget(cudnn *c, void *plan)
{
    cudnn_convolution *q = static_cast<cudnn_convolution *>(plan);
    if (!q) return;
    const cudnn_library *l = c->lib;
    const cudnnTensorDescriptor_t tensors[] = {q->x, q->y, q->bias};
    for (cudnnTensorDescriptor_t t : tensors)
        if (t) l->cudnnDestroyTensorDescriptor(t);
    if (q->w) l->cudnnDestroyFilterDescriptor(q->w);
    if (q->how) l->cudnnDestroyConvolutionDescriptor(q->how);
    if (q->act) l->cudnnDestroyActivationDescriptor(q->act);
    delete q;
}

bool cudnn_run(cudnn *c, device *d, void *plan, const convolution &v, void *scratch,
               const char **why)
{
    const cudnn_convolution *q = static_cast<const cudnn_convolution *>(plan);
    cudnnStatus_t s = v.gradient ? run_gradient(c, q, v, scratch)
                      : q->fused ? run_fused(c, q, v, scratch)
                                 : run_plain(c, d, q, v, scratch);
    *why = c->lib->cudnnGetErrorString(s);
    return s == CUDNN_STATUS_SUCCESS;
}

} // namespace fv_gpu

#else

namespace fv_gpu
{

cudnn *cudnn_open(cudaStream_t)
{
    return nullptr;
}

void cudnn_close(cudnn *)
{
}

void *cudnn_plan(cudnn *, const convolution &, bool, size_t *)
{
    return nullptr;
}

void cudnn_forget(cudnn *, void *)
{
}

bool cudnn_run(cudnn *, device *, void *, const convolution &, void *, const char **why)
{
    *why = "built without cuDNN";
    return false;
}

} // namespace fv_gpu

#endif
