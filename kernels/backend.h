/* A backend: a handful of device functions and one row of kernels for each op kind.
 *
 * "ref"    plain C loops in float: the specification, single thread
 * "ref64"  the same loops compiled in double: what gradients are checked with
 * "cpu"    threads and vectors: the ref table with the hot rows replaced by the best of "cpu-v2",
 *          "cpu-v3" and "cpu-v4" (levels of x86-64) that this processor has
 * "cuda"   one NVIDIA GPU; see kernels/cuda/cuda.h for devices and precisions
 *
 * Kernels enqueue work; errors surface in sync. On the CPU backends "enqueue" is "do it now". */
#ifndef FV_BACKEND_H
#define FV_BACKEND_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_backend fv_backend;

typedef struct fv_kernel {
    /* Optional, once a plan: choose an algorithm, pack weights, say how much scratch is needed. */
    fv_status (*prepare)(fv_backend *be, fv_op *op);
    void (*forward)(fv_backend *be, const fv_op *op);
    void (*backward)(fv_backend *be, const fv_op *op); /* NULL: cannot be differentiated */
    void (*release)(fv_backend *be, fv_op *op);        /* optional: frees what prepare took */
} fv_kernel;

/* Per-step numbers of Adam (Kingma & Ba 2015), columns of an input tensor {1,1,1,8}.
 * p -= rate * (m / correction1) / (sqrt(v / correction2) + eps), then p is clamped to
 * [low, high]. Nothing is changed in a step whose gradient has a non-finite element. */
enum {
    FV_ADAM_RATE,
    FV_ADAM_BETA1,
    FV_ADAM_BETA2,
    FV_ADAM_EPS,
    FV_ADAM_CORRECTION1, /* 1 - beta1^t */
    FV_ADAM_CORRECTION2, /* 1 - beta2^t */
    FV_ADAM_LOW,
    FV_ADAM_HIGH,
    FV_ADAM_COLUMNS
};
/* What Adam says of its step, columns of {1,1,1,2}. */
enum {
    FV_ADAM_STAT_NORM2 /* sum of g^2 */,
    FV_ADAM_STAT_BAD /* non-finite count */,
    FV_ADAM_STATS
};

struct fv_backend {
    const char *name;
    char without_gpu[160]; /* "auto" in a build with CUDA: why this is the CPU; else "" */
    size_t real_bytes;     /* sizeof one FV_REAL on this backend: 4 or 8 */
    int threads;
    /* mul_channel can read act(kept_x) in backward, so that a plan need not keep both what goes
     * into an activation and what comes out of it: a third of an EfficientNet's memory. */
    bool recomputes;
    /* Fewer and larger ops are better: plans give residuals to the product before them and
     * activations to whoever reads them, and make one op of a squeeze-excite
     * (model/plan/fuse_ops.c).
     */
    bool fuses_ops;
    /* dwconv2d can take over what happens to its input and to its gradient (`before`, dy_gate,
     * dy_mean and mean_y in op.h), and conv2d and linear add a residual: large maps are read and
     * written less often. */
    bool fuses_dwconv;
    /* Maps of a batch that take more bytes than this are better passed from op to op for one
     * picture after another (model/plan/microbatch.c); 0: never. */
    size_t microbatch_bytes;
    /* Maps of an expansion that take as many bytes are not kept for backward, which makes them once
     * more (model/plan/recompute.c); 0: never. */
    size_t recompute_bytes;
    fv_kernel kernels[FV_OP_COUNT];

    /* Zeroed memory, aligned to 64 bytes at least. Rare: a handful a plan. */
    fv_status (*alloc)(fv_backend *be, size_t bytes, void **out);
    void (*free)(fv_backend *be, void *memory);
    /* Copies a whole tensor. `host` holds FV_F32 or FV_F64 (for FV_REAL tensors) or FV_I32. */
    fv_status (*upload)(fv_backend *be, fv_tensor *dst, fv_dtype host_type, const void *host);
    fv_status (*download)(fv_backend *be, const fv_tensor *src, fv_dtype host_type, void *host);
    /* p, g, m, v: flat tensors of one size; low, high: further bounds of each number of p, or
     * NULL. */
    void (*adam)(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
                 const fv_tensor *low, const fv_tensor *high, const fv_tensor *numbers,
                 fv_tensor *stats);
    fv_status (*sync)(fv_backend *be);
    void (*close)(fv_backend *be); /* optional */

    /* --- optional: NULL where a backend has no use for it --- */

    /* How op->y (an output of the plan or not), its gradient and a kept pre-activation are
     * stored. Asked in the order of the plan, before memory is planned. */
    fv_format (*format)(fv_backend *be, const fv_op *op, bool output);
    /* A weight of the network that plans are going to share: stores it as kernels want it. */
    fv_status (*freeze)(fv_backend *be, fv_tensor *t);
    /* Fails, saying what to lower, if so many bytes more cannot be had. */
    fv_status (*check_memory)(fv_backend *be, size_t bytes);
    /* Graph capture: between begin and end, kernels, copy and adam are captured instead of run;
     * replay enqueues them all at once, with the addresses and shapes of then. Between begin and
     * end nothing may be allocated, moved or waited for. */
    fv_status (*capture_begin)(fv_backend *be);
    fv_status (*capture_end)(fv_backend *be, void **graph);
    fv_status (*replay)(fv_backend *be, void *graph);
    void (*free_graph)(fv_backend *be, void *graph);
    /* Enqueues a copy between tensors of one shape and format. There if capture is. */
    void (*copy)(fv_backend *be, fv_tensor *to, const fv_tensor *from);
    /* A look that stalls nothing: show starts copying src (in float) to the host, behind the work
     * enqueued so far, and returns; work enqueued later does not wait for it and cannot change
     * it. shown waits for the newest of these copies alone. There if capture is. */
    fv_status (*show)(fv_backend *be, const fv_tensor *src);
    fv_status (*shown)(fv_backend *be, const fv_tensor *src, float *host);
    /* Time stamps in the order of the work; milliseconds after sync. */
    void (*mark)(fv_backend *be, int event);
    double (*milliseconds)(fv_backend *be, int from, int to);

    void *impl;
};

/* Bytes of a tensor's numbers on this backend. */
static inline size_t fv_tensor_bytes(const fv_backend *be, const fv_tensor *t)
{
    bool half = t->format == FV_FORMAT_F16 || t->format == FV_FORMAT_BF16;
    return fv_count(t->shape) * (t->type == FV_I32             ? sizeof(int32_t)
                                 : t->format == FV_FORMAT_REAL ? be->real_bytes
                                 : half                        ? 2
                                                               : sizeof(float));
}

/* name: one of fv_backend_names, or "cuda[:DEVICE][:PRECISION]"; "auto[:PRECISION]" is a GPU if
 * there is one that this build can use, else the cpu. threads 0: all of the
 * machine's processors (as the scheduler allows this process). Caller closes. */
fv_status fv_backend_open(fv_backend **out, const char *name, int threads);
void fv_backend_close(fv_backend *be);

/* Comma-separated names that fv_backend_open takes, for help and messages. */
const char *fv_backend_names(void);

#ifdef __cplusplus
}
#endif
#endif
