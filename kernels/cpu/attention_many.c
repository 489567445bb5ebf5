/* attention of several heads over many tokens: a vision transformer's 50 or 197. All six products
 * of a head go by tiles of rows x vectors that stay in registers; k (forward) and v (backward) are
 * turned round once, into scratch. Every sum runs over its terms one after another, whatever the
 * tile or the task. Formulas: kernels/op.h, kernels/ref/attention.c. */
#include "kernels/cpu/attention.h"

enum { TILE = 4 };
#if defined(__AVX512F__)
enum { VECTORS = 4 };
#else
enum { VECTORS = 2 };
#endif

/* C [m,n] = A . B, or +=; element (r, t) of A lies at a[r * a_row + t * a_step]. */
typedef struct tiled {
    float *c;
    const float *a, *b;
    size_t ldc, a_row, a_step, ldb, m, n, k;
    bool add;
} tiled;

/* `rows` x (`vectors` whole vectors, or the first `left` numbers of one) at (r0, j0). */
INLINE void tile(const tiled *p, size_t r0, size_t j0, const int rows, const int vectors,
                 const bool whole, size_t left)
{
    vf sum[TILE][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int u = 0; u < vectors; u++) sum[r][u] = v_all(0);
    const float *a = p->a + r0 * p->a_row, *b = p->b + j0;
    for (size_t t = 0; t < p->k; t++, a += p->a_step, b += p->ldb) {
        vf v[VECTORS];
        for (int u = 0; u < vectors; u++)
            v[u] = whole ? v_load(b + u * LANES) : v_load_part(b, left);
        for (int r = 0; r < rows; r++) {
            vf x = v_all(a[(size_t)r * p->a_row]);
            for (int u = 0; u < vectors; u++) sum[r][u] = v_fma(x, v[u], sum[r][u]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int u = 0; u < vectors; u++) {
            float *c = p->c + (r0 + (size_t)r) * p->ldc + j0 + (size_t)u * LANES;
            vf y = sum[r][u];
            if (p->add) y = (whole ? v_load(c) : v_load_part(c, left)) + y;
            if (whole)
                v_store(c, y);
            else
                v_store_part(c, y, left);
        }
}

INLINE void strip(const tiled *p, size_t r, const int rows)
{
    size_t j = 0, wide = (size_t)VECTORS * LANES;
    for (; j + wide <= p->n; j += wide) tile(p, r, j, rows, VECTORS, true, 0);
    if (VECTORS > 2 && j + 2 * LANES <= p->n) {
        tile(p, r, j, rows, 2, true, 0);
        j += 2 * LANES;
    }
    for (; j + LANES <= p->n; j += LANES) tile(p, r, j, rows, 1, true, 0);
    if (j < p->n) tile(p, r, j, rows, 1, false, p->n - j);
}

static void multiply(const tiled *p)
{
    size_t r = 0;
    for (; r + TILE <= p->m; r += TILE) strip(p, r, TILE);
    for (; r < p->m; r++) strip(p, r, 1);
}

/* Numbers of the turned matrices of all heads. */
static size_t turned_count(const fv_op *op)
{
    return fv_count(op->y->shape);
}

static size_t square_count(const fv_op *op)
{
    size_t tokens = (size_t)op->x->shape.h * (size_t)op->x->shape.w;
    return (size_t)op->x->shape.n * (size_t)op->attr.attention.heads * tokens * tokens;
}

size_t ISA(attention_many_scratch)(const fv_op *op)
{
    return turned_count(op) + (op->dx ? square_count(op) : 0);
}

/* Of a head, [width][tokens]. */
static float *turned_of(const fv_op *op, const part *z)
{
    return (float *)op->scratch + z->index * (size_t)z->width * (size_t)z->tokens;
}

static float *scores_of(const fv_op *op, const part *z)
{
    size_t tokens = (size_t)z->tokens;
    return (float *)op->scratch + turned_count(op) + z->index * tokens * tokens;
}

/* Some columns of a head's k or v, turned round. */
static void turn(const fv_op *op, const part *z, const float *from)
{
    float *to = turned_of(op, z);
    size_t row = 3 * (size_t)z->d, tokens = (size_t)z->tokens, width = (size_t)z->width;
    for (size_t j = (size_t)z->first; j < (size_t)z->last; j += LANES)
        for (size_t c = 0; c < width; c += LANES) {
            size_t rows = (size_t)z->last - j < LANES ? (size_t)z->last - j : LANES;
            size_t columns = width - c < LANES ? width - c : LANES;
            v_turn_square(from + j * row + c, row, rows, columns, to + c * tokens + j, tokens,
                          rows);
        }
}

static void turn_keys_task(void *context, int i)
{
    part z = part_of(context, i);
    turn(context, &z, z.k);
}

static void turn_values_task(void *context, int i)
{
    part z = part_of(context, i);
    turn(context, &z, z.v);
}

/* p = softmax(p * scale + bias), of n numbers. */
static void soften(float *p, size_t n, float scale, const float *bias)
{
    vf most = v_all(-HUGE_VALF), total = v_all(0);
    size_t whole = n / LANES * LANES, left = n - whole;
    float rest[LANES], high = -HUGE_VALF;
    for (size_t j = 0; j < n; j++) p[j] = bias ? f_fma(p[j], scale, bias[j]) : p[j] * scale;
    for (size_t j = 0; j < whole; j += LANES) most = v_max(v_load(p + j), most);
    v_store(rest, most);
    for (int k = 0; k < LANES; k++) high = rest[k] > high ? rest[k] : high;
    for (size_t j = whole; j < n; j++) high = p[j] > high ? p[j] : high;
    for (size_t j = 0; j < whole; j += LANES) {
        vf e = v_exp(v_load(p + j) - high);
        v_store(p + j, e);
        total = total + e;
    }
    if (left) { /* what a vector has beyond the row counts nothing */
        v_store_part(p + whole, v_exp(v_load_part(p + whole, left) - high), left);
        total = total + v_load_part(p + whole, left);
    }
    float share = 1 / v_sum(total);
    for (size_t j = 0; j < n; j++) p[j] *= share;
}

static void forward_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d, tokens = (size_t)z.tokens, width = (size_t)z.width;
    size_t first = (size_t)z.first, m = (size_t)(z.last - z.first);
    float *p = z.p + first * tokens;
    multiply(&(tiled){.c = p,
                      .ldc = tokens,
                      .a = z.q + first * row,
                      .a_row = row,
                      .a_step = 1,
                      .b = turned_of(op, &z),
                      .ldb = tokens,
                      .m = m,
                      .n = tokens,
                      .k = width});
    for (size_t r = 0; r < m; r++) {
        int keys = seen(op, &z, z.first + (int)r);
        soften(p + r * tokens, (size_t)keys, z.scale, z.bias);
        for (int j = keys; j < z.tokens; j++) p[r * tokens + (size_t)j] = 0;
    }
    multiply(&(tiled){.c = row_of(op, &z, op->y, z.first),
                      .ldc = (size_t)z.d,
                      .a = p,
                      .a_row = tokens,
                      .a_step = 1,
                      .b = z.v,
                      .ldb = row,
                      .m = m,
                      .n = width,
                      .k = tokens});
}

/* ds = (ds - sum of ds . p) * p * scale, of n numbers */
static void undo_softmax(float *ds, const float *p, size_t n, float scale)
{
    vf sums = v_all(0);
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) sums = v_fma(v_load(ds + j), v_load(p + j), sums);
    if (j < n) sums = v_fma(v_load_part(ds + j, n - j), v_load_part(p + j, n - j), sums);
    float along = v_sum(sums);
    for (j = 0; j < n; j++) ds[j] = (ds[j] - along) * (scale * p[j]);
}

/* ds, into scratch, and dq of some queries */
static void queries_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d, tokens = (size_t)z.tokens, width = (size_t)z.width;
    size_t first = (size_t)z.first, m = (size_t)(z.last - z.first);
    float *ds = scores_of(op, &z) + first * tokens;
    multiply(&(tiled){.c = ds,
                      .ldc = tokens,
                      .a = row_of(op, &z, op->dy, z.first),
                      .a_row = (size_t)z.d,
                      .a_step = 1,
                      .b = turned_of(op, &z),
                      .ldb = tokens,
                      .m = m,
                      .n = tokens,
                      .k = width});
    for (size_t r = 0; r < m; r++)
        undo_softmax(ds + r * tokens, z.p + (first + r) * tokens, tokens, z.scale);
    multiply(&(tiled){.c = gradient_of(op, &z, z.first),
                      .ldc = row,
                      .a = ds,
                      .a_row = tokens,
                      .a_step = 1,
                      .b = z.k,
                      .ldb = row,
                      .m = m,
                      .n = width,
                      .k = tokens,
                      .add = op->add_dx});
}

/* dk and dv of some keys: columns of ds and p */
static void keys_task(void *context, int i)
{
    const fv_op *op = context;
    part z = part_of(op, i);
    size_t row = 3 * (size_t)z.d, tokens = (size_t)z.tokens, first = (size_t)z.first;
    tiled t = {.c = gradient_of(op, &z, z.first) + z.d,
               .ldc = row,
               .a = scores_of(op, &z) + first,
               .a_row = 1,
               .a_step = tokens,
               .b = z.q,
               .ldb = row,
               .m = (size_t)(z.last - z.first),
               .n = (size_t)z.width,
               .k = tokens,
               .add = op->add_dx};
    multiply(&t);
    t.c += z.d;
    t.a = z.p + first;
    t.b = row_of(op, &z, op->dy, 0);
    t.ldb = (size_t)z.d;
    multiply(&t);
}

static int tasks_of(const fv_op *op)
{
    return op->x->shape.n * op->attr.attention.heads * cuts(op);
}

void ISA(attention_many_forward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, tasks_of(op), turn_keys_task, (void *)(uintptr_t)op);
    fv_parallel(be, tasks_of(op), forward_task, (void *)(uintptr_t)op);
}

void ISA(attention_many_backward)(fv_backend *be, const fv_op *op)
{
    fv_parallel(be, tasks_of(op), turn_values_task, (void *)(uintptr_t)op);
    fv_parallel(be, tasks_of(op), queries_task, (void *)(uintptr_t)op);
    fv_parallel(be, tasks_of(op), keys_task, (void *)(uintptr_t)op);
}
