/* C [m,n] = act(A [m,k] . W^T + bias) with W [n,k] as it is, for some rows of A: a transformer over
 * 37 tokens, whose weights are read once a pass and not worth a second copy.
 *
 * A is transposed, so that vectors run along its rows: panels of up to five vectors, of which a
 * chunk of k stays in L1 while all outputs of a block are computed. Their weights are read number
 * by number, two rows of W at a time, in the order of memory; no sum runs across the lanes of a
 * vector. With 16 lanes 37 rows would fill three vectors by three quarters, and dot products
 * (gemm_nt.c) are as fast: this is for shorter vectors. */
#include "kernels/cpu/activation.h"
#include "kernels/cpu/gemm.h"

enum { MAX_VECTORS = 5, CHUNK = 128, BLOCK = 48, TASKS = 32, LINE = 16 };

/* Panel i of the rows of A. */
typedef struct panel {
    size_t vector, vectors;
} panel;

static size_t panel_count(size_t m)
{
    return ceil_divide(ceil_divide(m, LANES), MAX_VECTORS);
}

static panel panel_at(size_t m, size_t i)
{
    size_t vectors = ceil_divide(m, LANES), count = panel_count(m), begin = i * vectors / count;
    return (panel){begin, (i + 1) * vectors / count - begin};
}

size_t ISA(few_rows_scratch)(size_t m, size_t k)
{
    return ceil_divide(m, LANES) * LANES * k;
}

/* [panels][k][vectors * LANES] of A, by chunks of k */
static void turn_task(void *context, int chunk)
{
    const fv_product *p = context;
    size_t begin = (size_t)chunk * CHUNK, depth = min_of(CHUNK, p->k - begin);
    for (size_t i = 0; i < panel_count(p->m); i++) {
        panel n = panel_at(p->m, i);
        size_t width = n.vectors * LANES, first = n.vector * LANES;
        float *to = p->rooms + first * p->k + begin * width;
        for (size_t r = 0; r < width; r++) {
            const float *from = p->a + (first + r) * p->lda + begin;
            bool inside = first + r < p->m;
            for (size_t q = 0; q < depth; q++) to[q * width + r] = inside ? from[q] : 0;
        }
    }
}

/* sums [outputs][vectors * LANES] (+)= rows of W . a panel */
INLINE void tile(const int outputs, const int vectors, const float *w, size_t ldw, const float *x,
                 size_t depth, bool add, float *sums)
{
    vf sum[4][MAX_VECTORS];
#pragma GCC unroll 4
    for (int o = 0; o < outputs; o++)
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++)
            sum[o][v] = add ? v_load(sums + (o * vectors + v) * LANES) : (vf){0};
    for (size_t p = 0; p < depth; p++, x += vectors * LANES) {
        vf row[MAX_VECTORS];
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) {
            row[v] = v_load(x + v * LANES);
            if (outputs > 1) FV_HIDE(row[v]); /* or GCC loads it again for each output */
        }
#pragma GCC unroll 4
        for (int o = 0; o < outputs; o++) {
            vf all = v_all(w[(size_t)o * ldw + p]);
#pragma GCC unroll 5
            for (int v = 0; v < vectors; v++) sum[o][v] = v_fma(all, row[v], sum[o][v]);
        }
    }
#pragma GCC unroll 4
    for (int o = 0; o < outputs; o++)
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) v_store(sums + (o * vectors + v) * LANES, sum[o][v]);
}

/* Rows of W that a tile of 1 .. MAX_VECTORS vectors takes. */
static const int tile_outputs[MAX_VECTORS] = {4, 4, 4, 2, 2};

#define CASE(o, v)                                                                                 \
    case 8 * (o) + (v):                                                                            \
        tile(o, v, w, ldw, x, depth, add, sums);                                                   \
        break;

static void any_tile(size_t outputs, size_t vectors, const float *w, size_t ldw, const float *x,
                     size_t depth, bool add, float *sums)
{
    switch (8 * outputs + vectors) {
        CASE(1, 1)
        CASE(2, 1)
        CASE(3, 1)
        CASE(4, 1)
        CASE(1, 2)
        CASE(2, 2)
        CASE(3, 2)
        CASE(4, 2)
        CASE(1, 3)
        CASE(2, 3)
        CASE(3, 3)
        CASE(4, 3)
        CASE(1, 4)
        CASE(2, 4)
        CASE(1, 5)
        CASE(2, 5)
    default:
        break;
    }
}

/* Of a block of outputs, turned back, through the activation. */
static void finish(const fv_product *p, panel n, const float *sums, size_t output, size_t outputs)
{
    size_t width = n.vectors * LANES, first = n.vector * LANES;
    for (size_t r = 0; r < width && first + r < p->m; r++) {
        float row[BLOCK];
        for (size_t o = 0; o < outputs; o++) row[o] = sums[o * width + r];
        size_t at = (first + r) * p->n + output;
        ISA(activate)
        (p->act, p->c + at, row, p->aux ? p->aux + at : NULL, p->bias ? p->bias + output : NULL,
         outputs, outputs);
    }
}

static void ask(const float *w, size_t ldw, size_t outputs, size_t depth)
{
    for (size_t o = 0; o < outputs; o++)
        for (size_t q = 0; q < depth; q += LINE) __builtin_prefetch(w + o * ldw + q);
}

static void block(const fv_product *p, panel n, size_t output, size_t outputs)
{
    float sums[BLOCK * MAX_VECTORS * LANES] __attribute__((aligned(64)));
    size_t width = n.vectors * LANES, height = (size_t)tile_outputs[n.vectors - 1];
    const float *panels = p->rooms + n.vector * LANES * p->k;
    for (size_t at = 0; at < p->k; at += CHUNK) {
        size_t depth = min_of(CHUNK, p->k - at);
        for (size_t o = 0; o < outputs; o += height) {
            const float *w = p->b + (output + o) * p->k + at;
            if (o + height < outputs)
                ask(w + height * p->k, p->k, min_of(height, outputs - o - height), depth);
            any_tile(min_of(height, outputs - o), n.vectors, w, p->k, panels + at * width, depth,
                     at > 0, sums + o * width);
        }
    }
    finish(p, n, sums, output, outputs);
}

typedef struct cut {
    const fv_product *p;
    size_t outputs; /* of a task */
} cut;

static void few_task(void *context, int i)
{
    const cut *c = context;
    size_t begin = (size_t)i * c->outputs, end = min_of(begin + c->outputs, c->p->n);
    for (size_t output = begin; output < end; output += BLOCK)
        for (size_t k = 0; k < panel_count(c->p->m); k++)
            block(c->p, panel_at(c->p->m, k), output, min_of(BLOCK, end - output));
}

void ISA(few_rows_product)(fv_backend *be, const fv_product *p)
{
    fv_parallel(be, (int)ceil_divide(p->k, CHUNK), turn_task, (void *)(uintptr_t)p);
    cut c = {p, ceil_divide(p->n, TASKS)};
    size_t enough = FV_MIN_WORK / (p->m * p->k);
    if (c.outputs < enough) c.outputs = enough;
    c.outputs = ceil_divide(c.outputs, 4) * 4;
    fv_parallel(be, (int)ceil_divide(p->n, c.outputs), few_task, &c);
}
