/* Tensors: dense, NHWC {n, h, w, c}, no strides.
 *
 * A matrix is {1, 1, rows, cols}; a sequence of tokens is {n, 1, tokens, width}; one vector a
 * picture is {n, 1, 1, width}. "Rows" of a tensor are its n*h*w runs of c numbers. Reshaping is
 * free, nothing else is a view. */
#ifndef FV_TENSOR_H
#define FV_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_dtype {
    FV_REAL, /* the backend's working precision: float, or double in "ref64" */
    FV_I32,
    FV_F32, /* host side of upload and download only */
    FV_F64  /* host side of upload and download only */
} fv_dtype;

/* How a backend stores the numbers of an FV_REAL tensor. Hosts never see it: upload and download
 * convert. */
typedef enum fv_format {
    FV_FORMAT_REAL, /* as the backend's real_bytes say */
    FV_FORMAT_F32,
    FV_FORMAT_F16,
    FV_FORMAT_BF16
} fv_format;

typedef struct fv_shape {
    int n, h, w, c;
} fv_shape;

/* How long the numbers in a tensor stand. */
typedef enum fv_role {
    FV_ROLE_VALUE,  /* computed by an op; its memory may be reused after its last reader */
    FV_ROLE_PARAM,  /* a leaf that the optimiser changes */
    FV_ROLE_INPUT,  /* uploaded by the owner of the plan, at any time between steps */
    FV_ROLE_WEIGHT, /* frozen when the plan is built: a backend may repack it once */
    FV_ROLE_GRADIENT
} fv_role;

typedef struct fv_tensor {
    const char *name; /* e.g. "imgencoder.backbone.blocks.0.0.conv_dw"; borrowed from the plan */
    fv_shape shape;
    fv_dtype type;
    fv_role role;
    void *data; /* device memory of the backend, NULL until the plan is finished */
    fv_format format;
} fv_tensor;

static inline size_t fv_rows(fv_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static inline size_t fv_count(fv_shape s)
{
    return fv_rows(s) * (size_t)s.c;
}

static inline bool fv_same_shape(fv_shape a, fv_shape b)
{
    return a.n == b.n && a.h == b.h && a.w == b.w && a.c == b.c;
}

#ifdef __cplusplus
}
#endif
#endif
