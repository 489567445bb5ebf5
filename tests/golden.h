/* Golden values of PyTorch, maps as [n,c,h,w], for tests of networks. What comes
 * back is the caller's to free. */
#ifndef FV_TESTS_GOLDEN_H
#define FV_TESTS_GOLDEN_H

#include "kernels/tensor.h"
#include "model/weights/weights.h"
#include "tests/check.h"

static inline float *read_golden(const fv_weights *golden, const char *name, size_t *count)
{
    const fv_entry *e = fv_weights_find(golden, name);
    if (!e) fail_msg("no golden %s", name);
    *count = fv_entry_count(e);
    float *values = malloc(*count * sizeof *values);
    assert_non_null(values);
    fv_entry_read_f32(e, values);
    return values;
}

/* [n][rows][columns] -> [n][columns][rows] */
static inline float *turned(const float *x, size_t n, size_t rows, size_t columns)
{
    float *out = malloc(n * rows * columns * sizeof *out);
    assert_non_null(out);
    for (size_t m = 0; m < n; m++, x += rows * columns)
        for (size_t i = 0; i < columns; i++)
            for (size_t k = 0; k < rows; k++)
                out[(m * columns + i) * rows + k] = x[k * columns + i];
    return out;
}

/* [n,c,h,w] -> {n,h,w,c} */
static inline float *as_nhwc(const float *x, fv_shape s)
{
    return turned(x, (size_t)s.n, (size_t)s.c, (size_t)s.h * (size_t)s.w);
}

/* {n,h,w,c} -> [n,c,h,w]; token and vector tensors (w or h of 1) keep their order. */
static inline float *as_nchw(const float *x, fv_shape s)
{
    return turned(x, (size_t)s.n, (size_t)s.h * (size_t)s.w, (size_t)s.c);
}

#endif
