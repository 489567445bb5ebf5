/* The inside of the "cpu" backend: threads, BLAS, loops that the compiler turns into vectors.
 *
 * Work is cut into tasks by the shapes alone, and each number is computed by one task in one
 * order: results do not depend on how many threads there are. */
#ifndef FV_CPU_H
#define FV_CPU_H

#include "kernels/backend.h"

/* One function compiled for several instruction sets, the best chosen when the program starts.
 * Not under sanitizers, whose checks are not ready that early. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define FV_VECTOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FV_VECTOR
#endif

/* Runs task(context, i) for i in 0 .. tasks-1 on the backend's threads; returns when all are
 * done. Tasks must not overlap in what they write. */
typedef void (*fv_task)(void *context, int i);
void fv_parallel(fv_backend *be, int tasks, fv_task task, void *context);

fv_status fv_cpu_pool_open(fv_backend *be, int threads);
void fv_cpu_pool_close(fv_backend *be);

/* Replaces rows of the reference table by faster ones. */
void fv_cpu_table(fv_kernel rows[FV_OP_COUNT]);
void fv_cpu_adam(fv_backend *be, fv_tensor *p, const fv_tensor *g, fv_tensor *m, fv_tensor *v,
                 const fv_tensor *numbers, fv_tensor *stats);

/* --- activations on runs of numbers --- */

/* y = act(y + bias), bias repeated every `period` numbers (NULL: none); aux, if any, keeps what
 * goes into the activation. */
void fv_cpu_activate(fv_act act, float *y, float *aux, const float *bias, size_t period,
                     size_t count);
/* dy *= act'; kept as fv_ops[].keeps says. */
void fv_cpu_slope(fv_act act, float *dy, const float *kept, size_t count);
/* The same over the whole of op->dy, on all threads. */
void fv_cpu_undo_activation(fv_backend *be, const fv_op *op);

/* --- products --- */

/* Rows of C to finish after a product: bias, activation, what it keeps. */
typedef struct fv_epilogue {
    fv_act act;
    const float *bias; /* [n] or NULL */
    float *aux;        /* like C, or NULL */
    bool any;
} fv_epilogue;

/* C [m,n] = A [m,k] . B ([k,n], or [n,k] when transposed) + (add ? C : 0), all row-major; then
 * the epilogue. transpose_a: A is stored [k,m]. */
void fv_cpu_product(fv_backend *be, bool transpose_a, bool transpose_b, size_t m, size_t n,
                    size_t k, const float *a, const float *b, bool add, float *c,
                    const fv_epilogue *epilogue);

#define FV_CPU_ROW(kind)                                                                           \
    void fv_cpu_##kind##_forward(fv_backend *be, const fv_op *op);                                 \
    void fv_cpu_##kind##_backward(fv_backend *be, const fv_op *op);
FV_CPU_ROW(conv2d)
FV_CPU_ROW(dwconv2d)
FV_CPU_ROW(linear)
FV_CPU_ROW(mix_rows)
FV_CPU_ROW(separable)
FV_CPU_ROW(act)
FV_CPU_ROW(mul_channel)
FV_CPU_ROW(add)
FV_CPU_ROW(affine)
FV_CPU_ROW(mean_hw)
FV_CPU_ROW(layernorm)
FV_CPU_ROW(attention)
FV_CPU_ROW(warp)
FV_CPU_ROW(perturb)
fv_status fv_cpu_conv2d_prepare(fv_backend *be, fv_op *op);
fv_status fv_cpu_separable_prepare(fv_backend *be, fv_op *op);
fv_status fv_cpu_attention_prepare(fv_backend *be, fv_op *op);
fv_status fv_cpu_warp_prepare(fv_backend *be, fv_op *op);

#endif
