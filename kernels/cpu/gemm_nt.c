/* C [m,n] = act(A [m,k] . W^T + bias) with W [n,k] as it is: for weights that are read once for a
 * few rows (a transformer over 37 tokens, a gate), where packing would cost as much as the
 * product, and for matrices that change between steps.
 *
 * Both operands run along k, so each sum is a vector of partial sums whose lanes are added at the
 * end. A task is a block of outputs; a chunk of their weights stays in the first cache while all
 * rows of A pass. */
#include "kernels/cpu/activation.h"
#include "kernels/cpu/gemm.h"

#if defined(__AVX512F__)
enum { ROWS = 4, OUTPUTS = 6 };
#else
enum { ROWS = 3, OUTPUTS = 3 };
#endif
enum { CHUNK = 1024, TASKS = 32 };

/* sums[r * OUTPUTS + o] += a[r] . w[o] over depth. `ask`, or NULL: numbers to fetch into the second
 * cache meanwhile. */
INLINE void dots(const int rows, const int outputs, const float *a, size_t lda, const float *w,
                 size_t ldw, size_t depth, const float *ask, float *sums)
{
    vf total[ROWS * OUTPUTS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int o = 0; o < outputs; o++) total[r * outputs + o] = (vf){0};
    for (size_t p = 0; p < depth; p += LANES) {
        vf right[OUTPUTS];
        bool whole = p + LANES <= depth;
        if (ask) __builtin_prefetch(ask + p, 0, 2);
#pragma GCC unroll 8
        for (int o = 0; o < outputs; o++) {
            const float *from = w + (size_t)o * ldw + p;
            right[o] = whole ? v_load(from) : v_load_part(from, depth - p);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const float *from = a + (size_t)r * lda + p;
            vf left = whole ? v_load(from) : v_load_part(from, depth - p);
#pragma GCC unroll 8
            for (int o = 0; o < outputs; o++)
                total[r * outputs + o] = v_fma(left, right[o], total[r * outputs + o]);
        }
    }
    if (rows == ROWS && outputs == OUTPUTS) {
        v_add_sums(sums, total, ROWS * OUTPUTS);
        return;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int o = 0; o < outputs; o++) sums[r * OUTPUTS + o] += v_sum(total[r * outputs + o]);
}

static void dots_any(int rows, int outputs, const float *a, size_t lda, const float *w, size_t ldw,
                     size_t depth, const float *ask, float *sums)
{
    if (rows == ROWS && outputs == OUTPUTS) {
        dots(ROWS, OUTPUTS, a, lda, w, ldw, depth, ask, sums);
        return;
    }
    if (outputs == OUTPUTS) {
        for (int r = 0; r < rows; r++, sums += OUTPUTS)
            dots(1, OUTPUTS, a + (size_t)r * lda, lda, w, ldw, depth, NULL, sums);
        return;
    }
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++)
            dots(1, 1, a + (size_t)r * lda, lda, w + (size_t)o * ldw, ldw, depth, NULL,
                 sums + r * OUTPUTS + o);
}

/* Outputs first .. first + count - 1 of rows row .. row + ROWS - 1: through the activation. */
static void finish(const fv_product *p, const float *sums, size_t row, size_t rows, size_t first,
                   size_t count)
{
    for (size_t r = 0; r < rows; r++) {
        size_t at = (row + r) * p->n + first;
        ISA(activate)
        (p->act, p->c + at, sums + r * OUTPUTS, p->aux ? p->aux + at : NULL,
         p->bias ? p->bias + first : NULL, count, count);
    }
}

typedef struct cut {
    const fv_product *p;
    size_t outputs; /* of a task */
} cut;

enum { MAX_ROWS = 64 };

/* While a few rows pass, this chunk of one of the outputs that come next is fetched. */
static void outputs_of_rows(const fv_product *p, size_t row, size_t rows, size_t first,
                            size_t count)
{
    float sums[MAX_ROWS * OUTPUTS] = {0};
    for (size_t at = 0; at < p->k; at += CHUNK) {
        size_t depth = min_of(CHUNK, p->k - at);
        const float *w = p->b + first * p->k + at, *then = w + OUTPUTS * p->k;
        for (size_t r = 0; r < rows; r += ROWS, then += p->k) {
            bool more = r < OUTPUTS * ROWS && then < p->b + p->n * p->k;
            dots_any((int)min_of(ROWS, rows - r), (int)count, p->a + (row + r) * p->lda + at,
                     p->lda, w, p->k, depth, more ? then : w, sums + r * OUTPUTS);
        }
    }
    for (size_t r = 0; r < rows; r += ROWS)
        finish(p, sums + r * OUTPUTS, row + r, min_of(ROWS, rows - r), first, count);
}

static void dot_task(void *context, int i)
{
    const cut *c = context;
    const fv_product *p = c->p;
    size_t begin = (size_t)i * c->outputs, end = min_of(begin + c->outputs, p->n);
    for (size_t first = begin; first < end; first += OUTPUTS)
        for (size_t row = 0; row < p->m; row += MAX_ROWS)
            outputs_of_rows(p, row, min_of(MAX_ROWS, p->m - row), first,
                            min_of(OUTPUTS, end - first));
}

void ISA(dot_product)(fv_backend *be, const fv_product *p)
{
    cut c = {p, (p->n + TASKS - 1) / TASKS};
    size_t work = p->m * p->k;
    size_t enough = work ? FV_MIN_WORK / work : 0;
    if (c.outputs < enough) c.outputs = enough;
    c.outputs = (c.outputs + OUTPUTS - 1) / OUTPUTS * OUTPUTS;
    fv_parallel(be, (int)((p->n + c.outputs - 1) / c.outputs), dot_task, &c);
}
