/* Products with packed matrices. See gemm.c. */
#ifndef FV_CPU_PRODUCT_H
#define FV_CPU_PRODUCT_H

#include "kernels/cpu/level.h"

static inline size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline size_t ceil_divide(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* C [m,n] = act(A [m,k] . B + bias) + plus, row-major; the rows of A lie lda numbers apart. */
typedef struct fv_product {
    size_t m, n, k;
    const float *a;
    size_t lda;
    const float *b; /* packed; or, if ldb is not 0, row by row, ldb numbers apart */
    size_t ldb;     /* then the first tile that uses a panel packs it into its thread's room */
    bool turned;    /* with ldb: b is W [n,k], whose rows are columns of B */
    float *rooms;   /* [threads][FV_ROOM_FLOATS] */
    size_t chunk;   /* of k that is added at a time, or 0: one that suits packed matrices */
    bool add;       /* onto what C holds */
    float *c;
    fv_act act;
    float *undo; /* not NULL: a itself (lda = k), to be multiplied by undo_act'(kept) before */
    const float *kept;
    fv_act undo_act;
    const float *bias; /* [n] or NULL */
    float *aux;        /* like C: what goes into the activation, or NULL */
    const float *plus; /* like C, without an activation only; or NULL. product alone adds it */
} fv_product;

/* Multiply-adds below which a task is not worth a thread's attention (about 3 microseconds). */
enum { FV_MIN_WORK = 1 << 17 };
/* Floats of panels that stay near; of k that one packed on the way has, or one turned; and of a
 * thread's room for any of these. */
enum { FV_ROOM = 1 << 15, FV_ROOM_CHUNK = 256, FV_TURN_CHUNK = 768 };
enum {
    FV_ROOM_FLOATS = FV_TURN_CHUNK * WIDE * LANES > FV_ROOM ? FV_TURN_CHUNK *WIDE *LANES : FV_ROOM
};

void ISA(product)(fv_backend *be, const fv_product *p);
/* The same with a packed B, within a task. */
void ISA(product_alone)(const fv_product *p);

/* C = act(A . W^T + bias), b: W [n,k] row by row. */
void ISA(dot_product)(fv_backend *be, const fv_product *p);

/* The same for some rows; p->rooms: so many floats, where A is transposed. */
size_t ISA(few_rows_scratch)(size_t m, size_t k);
void ISA(few_rows_product)(fv_backend *be, const fv_product *p);

/* Floats of a packed B [k,n], and the packing: element (row, column) of B lies at
 * b[row * row_step + column * column_step]. */
size_t ISA(packed_count)(size_t n, size_t k);
void ISA(pack)(fv_backend *be, float *to, const float *b, size_t row_step, size_t column_step,
               size_t n, size_t k);
/* Where row `row` of a vector of columns lies in a packed [k,n]. */
size_t ISA(packed_place)(size_t n, size_t k, size_t row, size_t vector);

/* conv2d of 3x3 taps with stride 2 over three channels; packed: the weights as linear.c packs them,
 * for this direction. stem_scratch: floats of op->scratch. */
bool ISA(is_stem)(const fv_op *op);
size_t ISA(stem_scratch)(const fv_backend *be, const fv_op *op);
void ISA(stem_forward)(fv_backend *be, const fv_op *op, const float *packed);
void ISA(stem_backward)(fv_backend *be, const fv_op *op, const float *packed);

/* conv2d of 3x3 taps with stride 1, large enough to be best by few products, both directions. The
 * scratch, in floats, is all they need: w is read as it is. */
bool ISA(is_winograd)(const fv_op *op);
size_t ISA(winograd_scratch)(const fv_backend *be, const fv_op *op);
void ISA(winograd_forward)(fv_backend *be, const fv_op *op);
void ISA(winograd_backward)(fv_backend *be, const fv_op *op);

#endif
