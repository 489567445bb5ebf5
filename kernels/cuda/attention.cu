/* attention, for few tokens (37 in BriVL's image head, 256 in an autoencoder): one warp a query.
 * See op.h.
 *
 * x rows are q | k | v, each d wide, d = heads * width. aux[n,head,i,j] holds the probabilities,
 * scratch the gradients of the scores in the same layout, both in float. */
#include "kernels/cuda/device.cuh"

namespace FV_SPACE
{

struct heads {
    uint32_t tokens, count, width, d;
    float scale;
    bool causal;
};

static heads heads_of(const fv_op *op)
{
    uint32_t d = (uint32_t)op->y->shape.c, count = (uint32_t)op->attr.attention.heads;
    return {(uint32_t)(op->x->shape.h * op->x->shape.w),
            count,
            d / count,
            d,
            1 / sqrtf((float)(d / count)),
            op->attr.attention.causal};
}

struct query { /* which one this warp has */
    uint32_t n, head, i, lane;
    size_t row; /* of probabilities: ((n * heads + head) * tokens + i) * tokens */
};

FV_INLINE query my_query(const heads &h, uint32_t warp)
{
    query q;
    q.lane = threadIdx.x % WARP;
    q.i = warp % h.tokens;
    q.head = warp / h.tokens % h.count;
    q.n = warp / h.tokens / h.count;
    q.row = (size_t)warp * h.tokens;
    return q;
}

template <class V> FV_INLINE float dot(V a, size_t from_a, V b, size_t from_b, uint32_t width)
{
    float sum = 0;
    for (uint32_t c = 0; c < width; c++) sum += a.get(from_a + c) * b.get(from_b + c);
    return sum;
}

/* p = softmax(q . k * scale + b);   y = p . v */
template <class V>
FV_KERNEL attention_kernel(V x, mixed b, float *probability, V y, heads h, uint32_t queries)
{
    uint32_t warp = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (warp >= queries) return; /* a whole warp leaves, so the others' barriers still complete */
    query q = my_query(h, warp);
    size_t token = 3 * (size_t)h.d, first = (size_t)q.n * h.tokens * token + q.head * h.width;
    float *p = probability + q.row, most = -INFINITY, total = 0;
    uint32_t seen = h.causal ? q.i + 1 : h.tokens;
    for (uint32_t j = q.lane; j < seen; j += WARP) {
        float s = dot(x, first + q.i * token, x, first + j * token + h.d, h.width) * h.scale;
        if (b.there()) s += b.get((size_t)q.n * h.tokens + j);
        p[j] = s;
        if (s > most) most = s;
    }
    most = warp_max(most);
    for (uint32_t j = q.lane; j < h.tokens; j += WARP) {
        p[j] = j < seen ? expf(p[j] - most) : 0;
        total += p[j];
    }
    total = warp_sum(total);
    for (uint32_t j = q.lane; j < h.tokens; j += WARP) p[j] /= total;
    warp_barrier();
    for (uint32_t c = q.lane; c < h.width; c += WARP) {
        float sum = 0;
        for (uint32_t j = 0; j < h.tokens; j++)
            sum += p[j] * x.get(first + j * token + 2 * (size_t)h.d + c);
        y.set(((size_t)q.n * h.tokens + q.i) * h.d + q.head * h.width + c, sum);
    }
}

/* ds[i,j] = p[i,j] (dy_i . v_j - sum over m of p[i,m] dy_i . v_m) * scale */
template <class V>
FV_KERNEL attention_scores_kernel(V x, const float *probability, V dy, float *ds, heads h,
                                  uint32_t queries)
{
    uint32_t warp = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (warp >= queries) return;
    query q = my_query(h, warp);
    size_t token = 3 * (size_t)h.d, first = (size_t)q.n * h.tokens * token + q.head * h.width;
    size_t from = ((size_t)q.n * h.tokens + q.i) * h.d + q.head * h.width;
    const float *p = probability + q.row;
    float *s = ds + q.row, along = 0;
    for (uint32_t j = q.lane; j < h.tokens; j += WARP) {
        s[j] = dot(dy, from, x, first + j * token + 2 * (size_t)h.d, h.width);
        along += s[j] * p[j];
    }
    along = warp_sum(along);
    for (uint32_t j = q.lane; j < h.tokens; j += WARP) s[j] = (s[j] - along) * p[j] * h.scale;
}

/* dq_i = sum over j of ds[i,j] k_j;  dk_j = sum over i of ds[i,j] q_i;  dv_j = ... p[i,j] dy_i */
template <class V> struct attention_inputs {
    V x, dy;
    const float *probability, *ds;
    heads h;
    FV_INLINE float at(uint32_t e) const
    {
        uint32_t column = e % (3 * h.d), part = column / h.d, c = column % h.d;
        uint32_t t = e / (3 * h.d) % h.tokens, n = e / (3 * h.d) / h.tokens;
        size_t scores = ((size_t)n * h.count + c / h.width) * h.tokens * h.tokens;
        size_t token = 3 * (size_t)h.d, first = (size_t)n * h.tokens * token + c;
        float sum = 0;
        for (uint32_t m = 0; m < h.tokens; m++) {
            if (part == 0)
                sum += ds[scores + (size_t)t * h.tokens + m] * x.get(first + m * token + h.d);
            else if (part == 1)
                sum += ds[scores + (size_t)m * h.tokens + t] * x.get(first + m * token);
            else
                sum += probability[scores + (size_t)m * h.tokens + t] *
                       dy.get(((size_t)n * h.tokens + m) * h.d + c);
        }
        return sum;
    }
    FV_ONE_BY_ONE
};

enum { QUERY_THREADS = 4 * WARP };

fv_status attention_prepare(fv_backend *be, fv_op *op)
{
    (void)be;
    heads h = heads_of(op);
    op->scratch_bytes = (size_t)op->x->shape.n * h.count * h.tokens * h.tokens * sizeof(float);
    return FV_OK;
}

void attention_forward(fv_backend *be, const fv_op *op)
{
    heads h = heads_of(op);
    uint32_t queries = (uint32_t)op->x->shape.n * h.count * h.tokens;
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(device_of(be), "attention", true, attention_kernel<V>,
                   dim3(blocks_for(queries, QUERY_THREADS / WARP)), dim3(QUERY_THREADS), 0,
                   V::of(op->x), mixed::of(op->b), static_cast<float *>(op->aux->data),
                   V::of(op->y), h, queries);
        },
        op->x, op->y);
}

void attention_backward(fv_backend *be, const fv_op *op)
{
    if (!op->dx) return;
    device *d = device_of(be);
    heads h = heads_of(op);
    uint32_t queries = (uint32_t)op->x->shape.n * h.count * h.tokens;
    const float *probability = static_cast<const float *>(op->aux->data);
    float *ds = static_cast<float *>(op->scratch);
    with_view(
        [&](auto tag) {
            using V = decltype(tag);
            launch(d, "attention scores", true, attention_scores_kernel<V>,
                   dim3(blocks_for(queries, QUERY_THREADS / WARP)), dim3(QUERY_THREADS), 0,
                   V::of(op->x), probability, V::of(op->dy), ds, h, queries);
            attention_inputs<V> f{V::of(op->x), V::of(op->dy), probability, ds, h};
            each(d, "attention backward", f, V::of(op->dx), op->add_dx, op->dx);
        },
        op->x, op->dy, op->dx);
}

} // namespace FV_SPACE
