/* What linear.cu and resample.cu share with product.cu: operands, our own product with any strides,
 * and what prepare leaves of the library's plans. */
#ifndef FV_CUDA_PRODUCT_CUH
#define FV_CUDA_PRODUCT_CUH

#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

/* Where index i of an axis lies: i / inner * outer_step + i % inner * inner_step. */
struct axis {
    uint32_t inner;
    size_t outer_step, inner_step;
    FV_INLINE size_t at(uint32_t i) const
    {
        return (size_t)(i / inner) * outer_step + (size_t)(i % inner) * inner_step;
    }
};

inline axis straight(size_t step)
{
    return {0x7fffffffu, 0, step};
}

struct tiles {
    uint32_t m, n, k;
    axis am, cm;           /* rows of a and c */
    size_t ak, bk, bn, cn; /* steps */
    size_t a_batch, b_batch, c_batch;
    bool relu;
};

/* By our own kernel: a and b give address and format, t everything else. bias and addend (either
 * may be NULL) have the format of c. */
void launch_tiles(device *d, const matrix &a, const matrix &b, const matrix &c, const void *bias,
                  const void *addend, const tiles &t, int batch);

inline matrix matrix_of(const fv_tensor *t, int ld, size_t stride, bool transposed)
{
    return {t->data, format_of(t), ld, stride, transposed};
}

/* What prepare leaves in op->state: the library's plans, and packed weights. */
struct product_plans {
    device *d;
    void *forward, *backward;
    void *convolve, *convolve_back; /* conv2d k x k by the convolutions' library; NULL: windows */
    fv_tensor packed; /* conv2d k x k: w {1,1,out,columns} with columns padded */
    fv_tensor bias;   /* in the format of the result; data NULL: op->b as it is */
};

fv_status new_plans(device *d, fv_op *op, product_plans **out);

inline product_plans *plans_of(const fv_op *op)
{
    return static_cast<product_plans *>(op->state);
}

} // namespace FV_SPACE

#endif
