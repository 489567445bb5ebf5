/* How a depthwise convolution is walked: what dwconv_prepare.c lays out and dwconv.c follows.
 *
 * The gradient is a walk over dy with w reversed in both axes. With stride s, the rows and columns
 * of dx with the same remainder modulo s meet the same taps of w: s * s "phases", each a small
 * convolution of stride 1. */
#ifndef FV_CPU_DWCONV_H
#define FV_CPU_DWCONV_H

#include "kernels/cpu/level.h"

enum { STRIP = 32, TASKS = 16, ACROSS = 8, MAX_PHASES = 16, MAX_KERNEL = 32 };
enum { TOGETHER = 64 / LANES }; /* vectors */

/* One family of outputs: out[first + step * i] from in[i * s + offset + 0 .. count-1]. */
typedef struct axis {
    int first, count, offset, taps; /* outputs; taps of the kernel that they meet */
} axis;

typedef struct phase {
    axis row, column;
    const float *w; /* [vectors][row.taps][column.taps][LANES] */
} phase;

typedef struct walk {
    int phases, stride, step; /* of the input, of the output */
    int top, height;          /* the ring's rows: i * stride + top + 0 .. height-1 */
    int left, width;          /* zeros before a row; row length with zeros */
    int rows, strips;         /* row indices i of all phases; strips they are cut into */
    int vectors, groups;      /* of channels; groups are walked by one task each */
    size_t plane, ring;       /* floats of one vector's rows, and of all together */
    phase phase[MAX_PHASES];
    float *weights;
} walk;

typedef struct walks {
    walk forward, backward; /* backward: 0 phases without gradient */
    size_t rings;           /* floats of scratch before the sums */
} walks;

static inline int max_of(int a, int b)
{
    return a > b ? a : b;
}

static inline int min_of(int a, int b)
{
    return a < b ? a : b;
}

static inline int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* Of one picture's outputs, strip by strip. */
static inline size_t dwconv_sums(const walk *w)
{
    return (size_t)(w->strips * w->vectors) * LANES;
}

/* The op's weights into the walk's, for where they are no constants. */
void ISA(dwconv2d_pack)(const fv_op *op, walk *w, bool back);

#endif
