/* Products of matrices: by the library where it has a plan for the operands, else by
 * product_kernel, a 64 x 64 tile a block in float, with any strides. */
#include <new>

#include "kernels/cuda/product.cuh"

namespace FV_SPACE
{

enum { TILE = 64, DEPTH = 16 };

/* c[m,n] = sum over k of a[m,k] * b[k,n] + bias[n] + addend[m,n]. 256 threads, 4 x 4 outputs each.
 */
template <class A, class B, class C>
FV_KERNEL product_kernel(A a, B b, mixed bias, mixed addend, C c, tiles t)
{
    FV_SHARED(float, room); /* a tile [DEPTH][TILE], b tile [DEPTH][TILE] */
    float *ta = room, *tb = room + DEPTH * TILE, sum[4][4] = {};
    uint32_t m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    uint32_t tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (uint32_t k0 = 0; k0 < t.k; k0 += DEPTH) {
        for (uint32_t e = threadIdx.x; e < DEPTH * TILE; e += THREADS) {
            /* neighbouring threads along the axis that is contiguous */
            uint32_t i = t.ak == 1 ? e / DEPTH : e % TILE, d = t.ak == 1 ? e % DEPTH : e / TILE;
            bool in = m0 + i < t.m && k0 + d < t.k;
            ta[d * TILE + i] =
                in ? a.get(blockIdx.z * t.a_batch + t.am.at(m0 + i) + (k0 + d) * t.ak) : 0;
            i = t.bk == 1 ? e / DEPTH : e % TILE, d = t.bk == 1 ? e % DEPTH : e / TILE;
            in = n0 + i < t.n && k0 + d < t.k;
            tb[d * TILE + i] =
                in ? b.get(blockIdx.z * t.b_batch + (k0 + d) * t.bk + (n0 + i) * t.bn) : 0;
        }
        block_barrier();
        for (int d = 0; d < DEPTH; d++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] += ta[d * TILE + (int)ty * 4 + i] * tb[d * TILE + (int)tx * 4 + j];
        block_barrier();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            uint32_t m = m0 + ty * 4 + (uint32_t)i, n = n0 + tx * 4 + (uint32_t)j;
            if (m >= t.m || n >= t.n) continue;
            size_t to = blockIdx.z * t.c_batch + t.cm.at(m) + n * t.cn;
            float v = sum[i][j] + (bias.there() ? bias.get(n) : 0);
            if (addend.there()) v += addend.get(to);
            if (t.relu && v < 0) v = 0;
            c.set(to, v);
        }
}

void launch_tiles(device *d, const matrix &a, const matrix &b, const matrix &c, const void *bias,
                  const void *addend, const tiles &t, int batch)
{
    dim3 grid(blocks_for(t.n, TILE), blocks_for(t.m, TILE), (unsigned)batch);
    size_t shared = 2 * DEPTH * TILE * sizeof(float);
    mixed bias_view{const_cast<void *>(bias), c.format};
    mixed addend_view{const_cast<void *>(addend), c.format};
    if (a.format == FV_FORMAT_F32 && b.format == FV_FORMAT_F32 && c.format == FV_FORMAT_F32)
        launch(d, "product of floats", true, product_kernel<flat<float>, flat<float>, flat<float>>,
               grid, dim3(THREADS), shared, flat<float>{static_cast<float *>(a.p)},
               flat<float>{static_cast<float *>(b.p)}, bias_view, addend_view,
               flat<float>{static_cast<float *>(c.p)}, t);
    else
        launch(d, "product", true, product_kernel<mixed, mixed, mixed>, grid, dim3(THREADS), shared,
               mixed{a.p, a.format}, mixed{b.p, b.format}, bias_view, addend_view,
               mixed{c.p, c.format}, t);
}

void multiply(device *d, void *plan, const product &p)
{
    if (plan) {
        d->product_run(plan, p);
        return;
    }
    tiles t = {};
    t.m = (uint32_t)p.m, t.n = (uint32_t)p.n, t.k = (uint32_t)p.k;
    t.am = straight(p.a.transposed ? 1 : (size_t)p.a.ld);
    t.ak = p.a.transposed ? (size_t)p.a.ld : 1;
    t.bk = p.b.transposed ? 1 : (size_t)p.b.ld;
    t.bn = p.b.transposed ? (size_t)p.b.ld : 1;
    t.cm = straight((size_t)p.c.ld);
    t.cn = 1;
    t.a_batch = p.a.stride, t.b_batch = p.b.stride, t.c_batch = p.c.stride;
    t.relu = p.relu;
    launch_tiles(d, p.a, p.b, p.c, p.bias, p.addend, t, p.batch);
}

/* relu(c + bias) of one element of a product without gaps between its rows */
struct finished {
    mixed c, bias;
    uint32_t columns;
    bool relu;
    FV_INLINE float at(uint32_t i) const
    {
        float v = c.get(i) + (bias.there() ? bias.get(i % columns) : 0);
        return relu && v < 0 ? 0 : v;
    }
    FV_ONE_BY_ONE
};

void finish_product(device *d, const product &p)
{
    if (!p.bias && !p.relu) return;
    fv_tensor all = {"product", {p.batch, 1, p.m, p.n}, FV_REAL, FV_ROLE_VALUE, p.c.p, p.c.format};
    finished f{
        {p.c.p, p.c.format}, {const_cast<void *>(p.bias), p.c.format}, (uint32_t)p.n, p.relu};
    each(d, "finish product", f, mixed::of(&all), false, &all);
}

/* --- what prepare leaves in op->state --- */

fv_status new_plans(device *d, fv_op *op, product_plans **out)
{
    *out = new (std::nothrow) product_plans{d, nullptr, nullptr, nullptr, nullptr, {}, {}};
    op->state = *out;
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "%s: out of memory", op->name);
}

void product_release(fv_backend *be, fv_op *op)
{
    (void)be;
    product_plans *s = plans_of(op);
    if (!s) return;
    s->d->product_forget(s->forward);
    s->d->product_forget(s->backward);
    if (s->convolve) s->d->convolution_forget(s->convolve);
    if (s->convolve_back) s->d->convolution_forget(s->convolve_back);
    s->d->free(s->packed.data);
    s->d->free(s->bias.data);
    delete s;
    op->state = nullptr;
}

} // namespace FV_SPACE
