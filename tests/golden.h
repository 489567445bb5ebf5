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

/* [n,c,h,w] -> {n,h,w,c} */
static inline float *as_nhwc(const float *x, fv_shape s)
{
    float *out = malloc(fv_count(s) * sizeof *out);
    size_t hw = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t n = 0; n < (size_t)s.n; n++)
        for (size_t i = 0; i < hw; i++)
            for (size_t k = 0; k < c; k++) out[(n * hw + i) * c + k] = x[(n * c + k) * hw + i];
    return out;
}

#endif
