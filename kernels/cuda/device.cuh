/* A device as the kernels' host code sees it: memory, products, graphs, and launch().
 *
 * Two classes implement it: the GPU (gpu.cu, through the CUDA runtime and cuBLASLt) and the
 * emulator (emulator.cc, on the host, which checks what a GPU would have done silently wrong).
 * Launches only enqueue. The first error is kept and comes out of sync(). */
#ifndef FV_CUDA_DEVICE_CUH
#define FV_CUDA_DEVICE_CUH

#ifndef __CUDACC__
#include <functional>
#endif

#include "kernels/backend.h"
#include "kernels/cuda/number.cuh"

namespace FV_SPACE
{

/* One operand of a product: `rows` x `columns` numbers, row-major. */
struct matrix {
    void *p;
    fv_format format;
    int ld;          /* numbers from one row to the next */
    size_t stride;   /* numbers from one matrix of the batch to the next; 0: the same one */
    bool transposed; /* a: stored {k, m}; b: stored {n, k}. Otherwise a {m, k}, b {k, n} */
};

/* c {m, n} = a . b + bias + addend; then relu if asked for. 16-bit operands are multiplied exactly
 * and added in float. */
struct product {
    int m, n, k, batch;
    matrix a, b, c;
    const void *addend; /* laid out like c: c itself (c += a . b), a residual, or NULL */
    const void *bias;   /* n numbers in the format of c, or NULL */
    bool relu;
};

/* y = conv(x, w) + bias + addend; then relu if asked for: dense, NHWC, k x k, all operands of one
 * format and aligned to 16 bytes. Or its gradient in the input, `gradient`: x += or = the
 * transposed convolution of y. */
struct convolution {
    fv_shape x, y;
    int k, stride, pad; /* the same at all four sides */
    fv_format format;
    bool gradient;
    void *x_data;
    const void *w; /* {out,k,k,in} */
    void *y_data;
    const void *addend; /* laid out like the result: the result itself, a residual, or NULL */
    const void *bias;   /* out numbers, or NULL */
    bool relu;
};

struct device {
    fv_format working = FV_FORMAT_F32; /* of values, gradients and matrices inside the network */
    bool tf32 = false;                 /* products of floats may round their operands to 10 bits */
    float loss_scale = 1;              /* of all gradients but the params' when they are read */
    float *adam_sums = nullptr;        /* device memory, adam_sums_bytes() */
    fv_status failed = FV_OK;          /* the first error, with its message */
    char message[512] = "";

    virtual ~device() = default;
    virtual void enter() /* makes the device that of the calling thread */
    {
    }
    virtual fv_status alloc(size_t bytes, void **out) = 0; /* zeros */
    virtual void free(void *memory) = 0;
    virtual fv_status room(size_t *free_bytes, size_t *total) = 0;
    /* Host to device: `host` may be reused at once. Device to host: waits. */
    virtual fv_status copy_in(void *device_memory, const void *host, size_t bytes) = 0;
    virtual fv_status copy_out(void *host, const void *device_memory, size_t bytes) = 0;
    virtual void copy(void *to, const void *from, size_t bytes) = 0; /* enqueues */
    virtual fv_status sync() = 0;
    /* See fv_backend.show. */
    virtual fv_status show(const void *from, size_t bytes) = 0;
    virtual fv_status shown(void *host, size_t bytes) = 0;
    /* The library's plan for a product of this kind, or NULL: our own kernel does it then. */
    virtual void *product_plan(const product &p) = 0;
    virtual void product_run(void *plan, const product &p) = 0;
    virtual void product_forget(void *plan) = 0;
    /* The convolutions' library, in the same way: NULL, and windows as a product do it. *scratch:
     * bytes that a run needs. The algorithm depends on shapes alone, and so do the bytes. */
    virtual void *convolution_plan(const convolution &c, size_t *scratch)
    {
        (void)c, (void)scratch;
        return nullptr;
    }
    virtual void convolution_run(void *plan, const convolution &c, void *scratch)
    {
        (void)plan, (void)c, (void)scratch;
    }
    virtual void convolution_forget(void *plan)
    {
        (void)plan;
    }
    virtual fv_status capture_begin() = 0;
    virtual fv_status capture_end(void **graph) = 0;
    virtual fv_status replay(void *graph) = 0;
    virtual void free_graph(void *graph) = 0;
    virtual void mark(int event) = 0;                  /* enqueues a time stamp */
    virtual double milliseconds(int from, int to) = 0; /* after sync */

#ifdef __CUDACC__
    cudaStream_t stream = nullptr;
    void note(cudaError_t error, const char *what); /* keeps the first error */
#else
    virtual void run(const char *name, dim3 grid, dim3 block, size_t shared, bool together,
                     std::function<void()> kernel) = 0;
    /* An argument of the launch that follows: whatever in it points into device memory is
     * checked. */
    virtual void see(const char *name, const void *argument, size_t bytes) = 0;
#endif
};

inline device *device_of(fv_backend *be)
{
    return static_cast<device *>(be->impl);
}

inline unsigned blocks_for(size_t count, size_t each)
{
    return (unsigned)((count + each - 1) / each);
}

#ifndef __CUDACC__
/* Padding holds what was on the stack, stale pointers too; see() takes every word for one. */
template <class T> inline void clear_padding(T &argument)
{
#if defined(__GNUC__) && !defined(__clang__)
    __builtin_clear_padding(&argument);
#else
    (void)argument;
#endif
}
#endif

/* together: threads of a block meet at barriers or exchange values. */
template <class... Params, class... Args>
void launch(device *d, const char *name, bool together, void (*kernel)(Params...), dim3 grid,
            dim3 block, size_t shared, Args... args)
{
#ifdef __CUDACC__
    (void)together;
    d->enter();
    kernel<<<grid, block, shared, d->stream>>>(static_cast<Params>(args)...);
    d->note(cudaGetLastError(), name);
#else
    ((clear_padding(args), d->see(name, &args, sizeof args)), ...);
    d->run(name, grid, block, shared, together, [=]() { kernel(static_cast<Params>(args)...); });
#endif
}

enum { THREADS = 256 };

/* --- every element of a tensor --- */

/* out[i .. i+7] = f.eight(i), or += where `add` says so. */
template <class F, class V> FV_KERNEL each_kernel(F f, V out, bool add, uint32_t count)
{
    uint32_t i = 8 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= count) return;
    int n = count - i < 8 ? (int)(count - i) : 8;
    float v[8];
    f.eight(i, n, v);
    if (add) {
        float old[8];
        out.load(i, n, old);
        for (int k = 0; k < 8; k++) v[k] += old[k];
    }
    out.store(i, n, v);
}

template <class F, class V>
void each(device *d, const char *name, F f, V out, bool add, const fv_tensor *shape_of)
{
    uint32_t count = (uint32_t)fv_count(shape_of->shape);
    launch(d, name, false, each_kernel<F, V>, dim3(blocks_for(count, 8 * THREADS)), dim3(THREADS),
           0, f, out, add, count);
}

/* For functors that compute one element, f.at(i). */
#define FV_ONE_BY_ONE                                                                              \
    FV_INLINE void eight(uint32_t i, int n, float v[8]) const                                      \
    {                                                                                              \
        for (int k = 0; k < 8; k++) v[k] = k < n ? at(i + (uint32_t)k) : 0;                        \
    }

inline bool plain(const fv_tensor *t, fv_format format)
{
    return !t || (format_of(t) == format && reinterpret_cast<uintptr_t>(t->data) % 16 == 0);
}

/* Calls fn with a value of the view type that fits all these tensors (NULL: not there). */
template <class Fn>
void with_view(Fn fn, const fv_tensor *a, const fv_tensor *b = nullptr,
               const fv_tensor *c = nullptr, const fv_tensor *e = nullptr)
{
    fv_format f = format_of(a);
    if (!plain(a, f) || !plain(b, f) || !plain(c, f) || !plain(e, f))
        fn(mixed{});
    else if (f == FV_FORMAT_F16)
        fn(flat<f16>{});
    else if (f == FV_FORMAT_BF16)
        fn(flat<bf16>{});
    else
        fn(flat<float>{});
}

/* --- shared between the files --- */

/* What the slope of a fused activation is read from; NULL: there is no activation. */
inline const fv_tensor *kept_of(const fv_op *op)
{
    return op->act == FV_ACT_NONE ? nullptr : fv_slope_from(op);
}
/* dx2 = dy, or += dy, of an op with a residual. */
void pass_on(device *d, const fv_op *op);
/* partial[n][slice][c] = sums of before(x), or of before(x) * dy, over a slice's positions;
 * op->scratch has room for them after positions_prepare. */
void sum_positions(device *d, const char *name, const fv_tensor *x, fv_act before,
                   const fv_tensor *dy, float *partial);
/* dy *= act'(kept) in place, for ops with a fused activation. */
void undo_activation(device *d, const fv_op *op);
/* y = act(aux, or y itself). */
void finish_activation(device *d, const fv_op *op);
/* Frozen weights go to the working format once; others stay as they are. */
fv_status adopt(device *d, const fv_tensor *t, fv_format format);

/* A product by the library where it can, by our own kernel where not. */
void multiply(device *d, void *plan, const product &p);
/* c = relu(c + bias), where the library cannot fuse it. */
void finish_product(device *d, const product &p);
/* Whether a kernel runs at all and gives what it should. */
fv_status self_check(device *d);

void fill_table(fv_kernel rows[FV_OP_COUNT]);
fv_format choose_format(fv_backend *be, const fv_op *op, bool output);
void adam(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
          const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers, fv_tensor *stats);
size_t adam_sums_bytes();
/* Wires a backend to a device, which it owns from then on. The spec's precision part decides the
 * formats: "fp32", "tf32", "fp16" or "bf16". */
fv_status wire(fv_backend *be, device *d, const char *precision);

/* By the second column of FV_OPS: both directions, or forward alone. */
#define FV_CUDA_DECLARE_FORWARD_ONLY(kind) void kind##_forward(fv_backend *be, const fv_op *op);
#define FV_CUDA_DECLARE_BACKWARD(kind)                                                             \
    FV_CUDA_DECLARE_FORWARD_ONLY(kind) void kind##_backward(fv_backend *be, const fv_op *op);
#define FV_CUDA_DECLARE(KIND, kind, backward, ...) FV_CUDA_DECLARE_##backward(kind)
FV_OPS(FV_CUDA_DECLARE)
#undef FV_CUDA_DECLARE
fv_status conv2d_prepare(fv_backend *be, fv_op *op);
fv_status linear_prepare(fv_backend *be, fv_op *op);
fv_status mix_rows_prepare(fv_backend *be, fv_op *op);
fv_status positions_prepare(fv_backend *be, fv_op *op);
fv_status groupnorm_prepare(fv_backend *be, fv_op *op);
fv_status attention_prepare(fv_backend *be, fv_op *op);
fv_status squeeze_excite_prepare(fv_backend *be, fv_op *op);
void squeeze_excite_release(fv_backend *be, fv_op *op);
fv_status embed_prepare(fv_backend *be, fv_op *op);
fv_status separable_prepare(fv_backend *be, fv_op *op);
fv_status penalty_prepare(fv_backend *be, fv_op *op);
fv_status gram_prepare(fv_backend *be, fv_op *op);
fv_status cosine_prepare(fv_backend *be, fv_op *op);
void product_release(fv_backend *be, fv_op *op);

} // namespace FV_SPACE

#endif
