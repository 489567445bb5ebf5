/* The GPU as a device: one stream, memory from the runtime, products by cuBLASLt, dense
 * convolutions by cuDNN, graphs as CUDA graphs. The runtime is linked statically and finds the
 * driver by itself when it is first called; without a driver the first call fails, and so does
 * fv_cuda_open, with a message.
 *
 * Uploads go through pinned memory and do not wait; downloads wait. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <mutex>
#include <new>
#include <vector>

#include "kernels/cuda/cublaslt.cuh"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/cudnn.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/library.cuh"

const cublaslt_library *cublaslt_load()
{
    static cublaslt_library library;
    static std::once_flag once;
    std::call_once(once, [] {
        void *handle = library_open("cublasLt", CUBLAS_VER_MAJOR);
        if (!handle) return;
        bool complete = true;
#define FV_CUBLASLT_FIND(function)                                                                 \
    library.function = reinterpret_cast<decltype(library.function)>(dlsym(handle, #function));     \
    complete = complete && library.function;
        FV_CUBLASLT_FUNCTIONS(FV_CUBLASLT_FIND)
#undef FV_CUBLASLT_FIND
        if (complete) library.handle = handle;
    });
    return library.handle ? &library : nullptr;
}

namespace fv_gpu
{

/* Pinned memory that uploads pass through, and cuBLASLt's workspace (what its kernels for Hopper
 * are tuned with). */
static const size_t ring_bytes = (size_t)4 << 20, workspace_bytes = (size_t)32 << 20;

/* A product that cuBLASLt has an algorithm for. Column-major there: the transpose of ours. */
struct library_product {
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c; /* a: our b; b: our a */
    cublasLtMatmulAlgo_t algorithm;
    bool fused; /* bias and relu ride on it */
};

/* A picture on its way to the host: a copy on the device that the stream may leave alone, pinned
 * memory, and events for "it is aside" and "it has arrived". */
struct passage {
    void *aside, *pinned;
    size_t room;
    cudaEvent_t ready, arrived;
};

struct gpu_device : device {
    int number = 0;
    char name[48];
    const cublaslt_library *lt = nullptr;
    cublasLtHandle_t handle = nullptr;
    bool convolutions = true; /* look for cuDNN */
    cudnn *dnn = nullptr;
    void *workspace = nullptr;
    char *ring = nullptr;
    size_t ring_at = 0;
    std::vector<cudaEvent_t> events;
    cudaStream_t viewer = nullptr; /* copies pictures beside the work */
    passage passages[2] = {};      /* in turn */
    int newest = 0;

    ~gpu_device() override
    {
        enter();
        for (cudaEvent_t e : events) cudaEventDestroy(e);
        if (viewer) cudaStreamSynchronize(viewer);
        for (passage &p : passages) close_passage(&p);
        if (viewer) cudaStreamDestroy(viewer);
        if (handle) lt->cublasLtDestroy(handle);
        cudnn_close(dnn);
        cudaFree(workspace);
        cudaFreeHost(ring);
        if (stream) cudaStreamDestroy(stream);
    }

    /* The current device belongs to the calling thread, and whoever else uses CUDA in this process
     * may have chosen another since: set each time, which costs nothing where it is the same. */
    void enter() override
    {
        note(cudaSetDevice(number), "choosing the GPU");
    }

    fv_status result()
    {
        return failed == FV_OK ? FV_OK : fv_fail(failed, "backend %s: %s", name, message);
    }

    fv_status open()
    {
        enter();
        note(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
        note(cudaMallocHost(reinterpret_cast<void **>(&ring), ring_bytes), "pinned memory");
        if (lt && lt->cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS) lt = nullptr;
        if (lt) note(cudaMalloc(&workspace, workspace_bytes), "cuBLAS's workspace");
        if (convolutions && failed == FV_OK) dnn = cudnn_open(stream);
        return result();
    }

    /* --- memory --- */

    fv_status alloc(size_t bytes, void **out) override
    {
        enter();
        *out = nullptr;
        cudaError_t e = cudaMalloc(out, bytes ? bytes : 1);
        if (e == cudaErrorMemoryAllocation) {
            cudaGetLastError(); /* this one is answered here */
            size_t free_bytes = 0, total = 0;
            cudaMemGetInfo(&free_bytes, &total);
            return fv_fail(FV_ERR_MEMORY,
                           "backend %s: cannot allocate %.0f MB, the GPU has %.0f of %.0f MB free: "
                           "lower --views or --size, or use --backend cpu",
                           name, (double)bytes / 1e6, (double)free_bytes / 1e6,
                           (double)total / 1e6);
        }
        note(e, "allocating");
        if (*out) note(cudaMemsetAsync(*out, 0, bytes, stream), "clearing memory");
        return result();
    }

    void free(void *memory) override
    {
        enter();
        if (memory) note(cudaFree(memory), "freeing");
    }

    fv_status room(size_t *free_bytes, size_t *total) override
    {
        enter();
        *free_bytes = *total = 0;
        note(cudaMemGetInfo(free_bytes, total), "asking for free memory");
        return result();
    }

    fv_status copy_in(void *to, const void *host, size_t bytes) override
    {
        enter();
        for (size_t at = 0; at < bytes && failed == FV_OK;) {
            if (ring_at == ring_bytes) { /* once round: the old copies must have left */
                note(cudaStreamSynchronize(stream), "uploading");
                ring_at = 0;
            }
            size_t n = bytes - at < ring_bytes - ring_at ? bytes - at : ring_bytes - ring_at;
            memcpy(ring + ring_at, static_cast<const char *>(host) + at, n);
            note(cudaMemcpyAsync(static_cast<char *>(to) + at, ring + ring_at, n,
                                 cudaMemcpyHostToDevice, stream),
                 "uploading");
            at += n;
            ring_at += (n + 63) / 64 * 64;
            if (ring_at > ring_bytes) ring_at = ring_bytes;
        }
        return result();
    }

    fv_status copy_out(void *host, const void *from, size_t bytes) override
    {
        enter();
        note(cudaStreamSynchronize(stream), "waiting for the GPU");
        ring_at = 0;
        for (size_t at = 0; at < bytes && failed == FV_OK; at += ring_bytes) {
            size_t n = bytes - at < ring_bytes ? bytes - at : ring_bytes;
            note(cudaMemcpyAsync(ring, static_cast<const char *>(from) + at, n,
                                 cudaMemcpyDeviceToHost, stream),
                 "downloading");
            note(cudaStreamSynchronize(stream), "downloading");
            if (failed == FV_OK) memcpy(static_cast<char *>(host) + at, ring, n);
        }
        return result();
    }

    void copy(void *to, const void *from, size_t bytes) override
    {
        enter();
        note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying");
    }

    fv_status sync() override
    {
        enter();
        note(cudaStreamSynchronize(stream), "waiting for the GPU");
        return result();
    }

    /* --- pictures on their way to the host --- */

    static void close_passage(passage *p)
    {
        cudaFree(p->aside);
        cudaFreeHost(p->pinned);
        if (p->ready) cudaEventDestroy(p->ready);
        if (p->arrived) cudaEventDestroy(p->arrived);
        *p = {};
    }

    void open_passage(passage *p, size_t bytes)
    {
        if (!viewer)
            note(cudaStreamCreateWithFlags(&viewer, cudaStreamNonBlocking), "making a stream");
        if (p->room) note(cudaEventSynchronize(p->arrived), "waiting for a picture");
        close_passage(p);
        note(cudaMalloc(&p->aside, bytes), "room for a picture");
        note(cudaMallocHost(&p->pinned, bytes), "room for a picture");
        note(cudaEventCreateWithFlags(&p->ready, cudaEventDisableTiming), "making an event");
        note(cudaEventCreateWithFlags(&p->arrived, cudaEventDisableTiming), "making an event");
        if (failed == FV_OK) p->room = bytes;
    }

    /* Aside on the stream of the work (a copy within the device, microseconds), then to the host
     * on the other. The stream waits only if the picture before last has not arrived yet. */
    fv_status show(const void *from, size_t bytes) override
    {
        enter();
        passage *p = &passages[newest ^= 1];
        if (p->room < bytes)
            open_passage(p, bytes);
        else
            note(cudaStreamWaitEvent(stream, p->arrived, 0), "showing a picture");
        if (failed != FV_OK) return result();
        note(cudaMemcpyAsync(p->aside, from, bytes, cudaMemcpyDeviceToDevice, stream),
             "showing a picture");
        note(cudaEventRecord(p->ready, stream), "showing a picture");
        note(cudaStreamWaitEvent(viewer, p->ready, 0), "showing a picture");
        note(cudaMemcpyAsync(p->pinned, p->aside, bytes, cudaMemcpyDeviceToHost, viewer),
             "showing a picture");
        note(cudaEventRecord(p->arrived, viewer), "showing a picture");
        return result();
    }

    fv_status shown(void *host, size_t bytes) override
    {
        enter();
        passage *p = &passages[newest];
        if (p->room < bytes)
            return fv_fail(FV_ERR_ARGUMENT, "backend %s: no such picture is on its way", name);
        note(cudaEventSynchronize(p->arrived), "waiting for a picture");
        if (failed == FV_OK) memcpy(host, p->pinned, bytes);
        return result();
    }

    /* --- products --- */

    static cudaDataType_t type_of(fv_format f)
    {
        return f == FV_FORMAT_F16 ? CUDA_R_16F : f == FV_FORMAT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    }

    /* `rows` x `columns` as stored, row-major: columns x rows in the library's words. */
    cublasLtMatrixLayout_t layout(const matrix &m, int rows, int columns, int batch)
    {
        cublasLtMatrixLayout_t l = nullptr;
        if (lt->cublasLtMatrixLayoutCreate(&l, type_of(m.format), (uint64_t)columns, (uint64_t)rows,
                                           m.ld) != CUBLAS_STATUS_SUCCESS)
            return nullptr;
        int64_t stride = (int64_t)m.stride;
        lt->cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                             sizeof batch);
        lt->cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                             &stride, sizeof stride);
        return l;
    }

    template <class T> void set(library_product *q, cublasLtMatmulDescAttributes_t which, T value)
    {
        lt->cublasLtMatmulDescSetAttribute(q->what, which, &value, sizeof value);
    }

    /* The library's first choice; sums are never split in a way whose order changes. */
    bool choose(library_product *q)
    {
        cublasLtMatmulPreference_t preference = nullptr;
        if (lt->cublasLtMatmulPreferenceCreate(&preference) != CUBLAS_STATUS_SUCCESS) return false;
        uint32_t reductions =
            CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
        uint32_t alignment = 16;
        lt->cublasLtMatmulPreferenceSetAttribute(preference,
                                                 CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace_bytes, sizeof workspace_bytes);
        lt->cublasLtMatmulPreferenceSetAttribute(
            preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
        const cublasLtMatmulPreferenceAttributes_t aligned[] = {
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
        for (cublasLtMatmulPreferenceAttributes_t a : aligned)
            lt->cublasLtMatmulPreferenceSetAttribute(preference, a, &alignment, sizeof alignment);
        cublasLtMatmulHeuristicResult_t best;
        int found = 0;
        cublasStatus_t s = lt->cublasLtMatmulAlgoGetHeuristic(handle, q->what, q->a, q->b, q->c,
                                                              q->c, preference, 1, &best, &found);
        lt->cublasLtMatmulPreferenceDestroy(preference);
        if (s != CUBLAS_STATUS_SUCCESS || found < 1 || best.state != CUBLAS_STATUS_SUCCESS)
            return false;
        q->algorithm = best.algo;
        return true;
    }

    static cublasLtEpilogue_t epilogue(const product &p)
    {
        if (p.bias) return p.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
        return p.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
    }

    void *product_plan(const product &p) override
    {
        enter();
        const void *all[] = {p.a.p, p.b.p, p.c.p, p.addend};
        for (const void *at : all)
            if (reinterpret_cast<uintptr_t>(at) % 16) return nullptr;
        bool known =
            p.a.format == p.b.format && (p.c.format == p.a.format || p.c.format == FV_FORMAT_F32);
        if (!lt || !known) return nullptr;
        library_product *q = new (std::nothrow) library_product{};
        if (!q) return nullptr;
        bool exact = p.a.format == FV_FORMAT_F32 && tf32;
        bool ok = lt->cublasLtMatmulDescCreate(
                      &q->what, exact ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                      CUDA_R_32F) == CUBLAS_STATUS_SUCCESS;
        q->a = p.b.transposed ? layout(p.b, p.n, p.k, p.batch) : layout(p.b, p.k, p.n, p.batch);
        q->b = p.a.transposed ? layout(p.a, p.k, p.m, p.batch) : layout(p.a, p.m, p.k, p.batch);
        q->c = layout(p.c, p.m, p.n, p.batch);
        ok = ok && q->a && q->b && q->c;
        if (ok) {
            set(q, CUBLASLT_MATMUL_DESC_TRANSA, p.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(q, CUBLASLT_MATMUL_DESC_TRANSB, p.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(q, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p));
            if (p.bias) set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
            q->fused = choose(q);
            if (!q->fused) { /* bias and relu by our own kernel then */
                set(q, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
                ok = choose(q);
            }
        }
        if (ok) return q;
        product_forget(q);
        return nullptr;
    }

    void product_forget(void *plan) override
    {
        library_product *q = static_cast<library_product *>(plan);
        if (!q) return;
        if (q->what) lt->cublasLtMatmulDescDestroy(q->what);
        cublasLtMatrixLayout_t all[] = {q->a, q->b, q->c};
        for (cublasLtMatrixLayout_t l : all)
            if (l) lt->cublasLtMatrixLayoutDestroy(l);
        delete q;
    }

    void product_run(void *plan, const product &p) override
    {
        enter();
        library_product *q = static_cast<library_product *>(plan);
        const float one = 1, beta = p.addend ? 1 : 0;
        const void *c = p.addend ? p.addend : p.c.p;
        if (q->fused && p.bias) set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
        cublasStatus_t s =
            lt->cublasLtMatmul(handle, q->what, &one, p.b.p, q->a, p.a.p, q->b, &beta, c, q->c,
                               p.c.p, q->c, &q->algorithm, workspace, workspace_bytes, stream);
        if (s != CUBLAS_STATUS_SUCCESS && failed == FV_OK) {
            failed = FV_ERR_DEVICE;
            snprintf(message, sizeof message, "cuBLASLt: status %d for a product {%d,%d,%d} x %d",
                     (int)s, p.m, p.n, p.k, p.batch);
        }
        if (!q->fused) finish_product(this, p);
    }

    /* --- convolutions --- */

    void *convolution_plan(const convolution &c, size_t *scratch) override
    {
        enter();
        const void *all[] = {c.x_data, c.w, c.y_data, c.addend};
        for (const void *at : all)
            if (reinterpret_cast<uintptr_t>(at) % 16) return nullptr;
        return dnn ? cudnn_plan(dnn, c, tf32, scratch) : nullptr;
    }

    void convolution_run(void *plan, const convolution &c, void *scratch) override
    {
        enter();
        const char *why;
        if (cudnn_run(dnn, this, plan, c, scratch, &why) || failed != FV_OK) return;
        failed = FV_ERR_DEVICE;
        snprintf(message, sizeof message, "cuDNN: %s for a convolution of {%d,%d,%d,%d}", why,
                 c.x.n, c.x.h, c.x.w, c.x.c);
    }

    void convolution_forget(void *plan) override
    {
        enter();
        cudnn_forget(dnn, plan);
    }

    /* --- graph capture --- */

    fv_status capture_begin() override
    {
        enter();
        note(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a graph");
        return result();
    }

    fv_status capture_end(void **captured) override
    {
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t ready = nullptr;
        note(cudaStreamEndCapture(stream, &graph), "capturing a graph");
        if (graph) {
            note(cudaGraphInstantiateWithFlags(&ready, graph, 0), "making a graph");
            cudaGraphDestroy(graph);
        }
        *captured = ready;
        return result();
    }

    fv_status replay(void *captured) override
    {
        enter();
        note(cudaGraphLaunch(static_cast<cudaGraphExec_t>(captured), stream), "starting a graph");
        return result();
    }

    void free_graph(void *captured) override
    {
        enter();
        note(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(captured)), "freeing a graph");
    }

    /* --- time --- */

    void mark(int event) override
    {
        enter();
        while (events.size() <= (size_t)event) {
            cudaEvent_t e = nullptr;
            note(cudaEventCreate(&e), "making an event");
            events.push_back(e);
        }
        note(cudaEventRecord(events[(size_t)event], stream), "marking time");
    }

    double milliseconds(int from, int to) override
    {
        float ms = 0;
        note(cudaEventElapsedTime(&ms, events[(size_t)from], events[(size_t)to]), "reading time");
        return (double)ms;
    }
};

void device::note(cudaError_t error, const char *what)
{
    if (error == cudaSuccess || failed != FV_OK) return;
    failed = FV_ERR_DEVICE;
    snprintf(message, sizeof message, "%s: %s", what, cudaGetErrorString(error));
}

/* Which GPU, and whether it can do what is asked of it. */
static fv_status choose_gpu(const char *spec, const char *precision, int *number,
                            cudaDeviceProp *properties)
{
    int driver = 0, count = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "backend %.40s: no NVIDIA driver is installed; use --device cpu", spec);
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess || count == 0)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "backend %.40s: no NVIDIA GPU can be used here (%s); use --device cpu", spec,
                       e == cudaSuccess ? "there is none" : cudaGetErrorString(e));
    if (*number >= count)
        return fv_fail(FV_ERR_ARGUMENT, "backend %.40s: there are %d GPUs, numbered from 0", spec,
                       count);
    if (*number < 0) *number = 0;
    e = cudaGetDeviceProperties(properties, *number);
    if (e != cudaSuccess)
        return fv_fail(FV_ERR_DEVICE, "backend %.40s: %s", spec, cudaGetErrorString(e));
    int needed = strcmp(precision, "bf16") == 0 || strcmp(precision, "tf32") == 0 ? 8 : 7;
    if (properties->major < needed)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "backend %.40s: %s has compute capability %d.%d, %s needs %d.0", spec,
                       properties->name, properties->major, properties->minor, precision, needed);
    return FV_OK;
}

} // namespace fv_gpu

extern "C" fv_status fv_cuda_open(fv_backend *be, const char *spec)
{
    int number;
    char precision[8];
    fv_cuda_libraries libraries;
    cudaDeviceProp properties;
    FV_TRY(fv_cuda_parse(spec, &number, precision, &libraries));
    FV_TRY(fv_gpu::choose_gpu(spec, precision, &number, &properties));
    auto *d = new (std::nothrow) fv_gpu::gpu_device;
    if (!d) return fv_fail(FV_ERR_MEMORY, "opening backend %.40s: out of memory", spec);
    d->number = number;
    d->lt = libraries == FV_CUDA_OWN ? nullptr : cublaslt_load();
    d->convolutions = libraries == FV_CUDA_ALL && d->lt;
    fv_status s = d->open();
    snprintf(d->name, sizeof d->name, "cuda:%d:%s%s", number, precision,
             !d->lt    ? ":own"
             : !d->dnn ? ":blas"
                       : "");
    be->name = d->name;
    if (s >= 0)
        s = fv_gpu::wire(be, d, precision);
    else
        delete d;
    if (s < 0) return s;
    s = fv_gpu::self_check(d);
    if (s < 0) {
        be->close(be);
        return fv_fail(s,
                       "backend %.40s: its kernels do not run on %s, compute capability %d.%d "
                       "(%s); build with -DFEAVIS_CUDA_ARCHS=all",
                       spec, properties.name, properties.major, properties.minor, fv_error());
    }
    return FV_OK;
}
