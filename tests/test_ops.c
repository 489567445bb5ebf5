/* Every row of the op table: shapes, forward against formulas, gradients against finite
 * differences in double, honesty of what backward keeps, and every backend against ref64.
 *
 * One table of cases drives it all; small and odd sizes, batches, all activations, asymmetric
 * padding, missing biases. A few larger cases meet the blocks and tails of the fast kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"
#include "kernels/cuda/cuda.h"
#include "kernels/rng.h"
#include "tests/gpu.h"

typedef struct test_case {
    fv_op_kind kind;
    fv_shape x, x2, w, b; /* n = 0: there is none */
    fv_act act;
    fv_conv_attr conv;
    int heads, side, groups;
    double eps;
    fv_penalty penalty;
    float spread; /* of the random operands; 0: 1 */
    fv_act before;
    fv_shape w2, b2;
    bool gated; /* its dy comes through a gate */
    bool causal;
} test_case;

#define S(n, h, w, c)                                                                              \
    {                                                                                              \
        n, h, w, c                                                                                 \
    }
static const test_case cases[] = {
    {FV_OP_CONV2D, S(2, 7, 5, 3), S(0, 0, 0, 0), S(4, 3, 3, 3), S(1, 1, 1, 4), FV_ACT_SILU,
     .conv = {3, 2, 0, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 6, 6, 2), S(0, 0, 0, 0), S(3, 3, 3, 2), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(2, 5, 7, 6), S(0, 0, 0, 0), S(5, 1, 1, 6), S(1, 1, 1, 5), FV_ACT_RELU6,
     .conv = {1, 1, 0, 0, 0, 0}, .spread = 3},
    {FV_OP_CONV2D, S(1, 5, 5, 3), S(0, 0, 0, 0), S(2, 1, 1, 3), S(1, 1, 1, 2), FV_ACT_NONE,
     .conv = {1, 2, 0, 0, 0, 0}},
    {FV_OP_DWCONV2D, S(2, 7, 5, 3), S(0, 0, 0, 0), S(1, 3, 3, 3), S(1, 1, 1, 3), FV_ACT_RELU6,
     .conv = {3, 2, 1, 0, 1, 1}, .spread = 3},
    {FV_OP_DWCONV2D, S(1, 9, 8, 5), S(0, 0, 0, 0), S(1, 5, 5, 5), S(0, 0, 0, 0), FV_ACT_SILU,
     .conv = {5, 1, 2, 2, 2, 2}},
    {FV_OP_DWCONV2D, S(1, 6, 9, 40), S(0, 0, 0, 0), S(1, 5, 5, 40), S(1, 1, 1, 40), FV_ACT_NONE,
     .conv = {5, 2, 1, 2, 2, 2}},
    {FV_OP_DWCONV2D, S(2, 7, 6, 3), S(0, 0, 0, 0), S(1, 3, 3, 3), S(1, 1, 1, 3), FV_ACT_SILU,
     .conv = {3, 2, 1, 0, 1, 1}, .spread = 2, .before = FV_ACT_SILU, .gated = true},
    {FV_OP_DWCONV2D, S(1, 9, 8, 5), S(0, 0, 0, 0), S(1, 5, 5, 5), S(1, 1, 1, 5), FV_ACT_RELU6,
     .conv = {5, 1, 2, 2, 2, 2}, .spread = 8, .before = FV_ACT_RELU6},
    {FV_OP_DWCONV2D, S(2, 5, 4, 2), S(0, 0, 0, 0), S(1, 3, 3, 2), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}, .before = FV_ACT_GELU, .gated = true},
    {FV_OP_CONV2D, S(1, 5, 4, 3), S(0, 0, 0, 0), S(2, 3, 3, 3), S(1, 1, 1, 2), FV_ACT_QUICK_GELU,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_DWCONV2D, S(1, 5, 6, 4), S(0, 0, 0, 0), S(1, 3, 3, 4), S(1, 1, 1, 4), FV_ACT_QUICK_GELU,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_DWCONV2D, S(2, 5, 4, 2), S(0, 0, 0, 0), S(1, 3, 3, 2), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}, .before = FV_ACT_QUICK_GELU, .gated = true},
    {FV_OP_DWCONV2D, S(1, 4, 5, 3), S(0, 0, 0, 0), S(1, 3, 3, 3), S(1, 1, 1, 3), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}, .before = FV_ACT_QUICK_GELU},
    {FV_OP_LINEAR, S(2, 1, 5, 7), S(0, 0, 0, 0), S(1, 1, 6, 7), S(1, 1, 1, 6), FV_ACT_GELU,
     .spread = 1},
    {FV_OP_LINEAR, S(1, 1, 3, 5), S(0, 0, 0, 0), S(1, 1, 4, 5), S(1, 1, 1, 4), FV_ACT_QUICK_GELU,
     .spread = 1},
    {FV_OP_LINEAR, S(3, 1, 1, 4), S(0, 0, 0, 0), S(1, 1, 9, 4), S(0, 0, 0, 0), FV_ACT_TANH,
     .spread = 1},
    {FV_OP_LINEAR, S(1, 2, 3, 8), S(0, 0, 0, 0), S(1, 1, 5, 8), S(1, 1, 1, 5), FV_ACT_RELU,
     .spread = 1},
    {FV_OP_LINEAR, S(1, 1, 1, 8), S(0, 0, 0, 0), S(1, 1, 5, 8), S(1, 1, 1, 5), FV_ACT_SIGMOID,
     .spread = 1},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_RELU},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_RELU6, .spread = 8},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_SILU, .spread = 4},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_SIGMOID, .spread = 4},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_GELU, .spread = 3},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_QUICK_GELU, .spread = 4},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_TANH},
    {FV_OP_ACT, S(2, 3, 5, 3), .act = FV_ACT_NONE},
    /* what a plan fuses, for backends that ask for it */
    {FV_OP_CONV2D, S(2, 3, 5, 6), S(2, 3, 5, 4), S(4, 1, 1, 6), S(1, 1, 1, 4), FV_ACT_NONE,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(2, 7, 5, 3), S(2, 3, 3, 4), S(4, 3, 3, 3), S(1, 1, 1, 4), FV_ACT_NONE,
     .conv = {3, 2, 0, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 6, 5, 2), S(1, 6, 5, 3), S(3, 3, 3, 2), S(1, 1, 1, 3), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_LINEAR, S(2, 1, 9, 7), S(2, 1, 9, 6), S(1, 1, 6, 7), S(1, 1, 1, 6), FV_ACT_NONE,
     .spread = 1},
    {FV_OP_LINEAR, S(1, 1, 2, 7), S(1, 1, 2, 6), S(1, 1, 6, 7), S(0, 0, 0, 0), FV_ACT_NONE,
     .spread = 1},
    {FV_OP_DWCONV2D, S(2, 7, 5, 3), S(0, 0, 0, 0), S(1, 3, 3, 3), S(1, 1, 1, 3), FV_ACT_SILU,
     .conv = {3, 2, 1, 0, 1, 1}, .spread = 3, .before = FV_ACT_SILU},
    {FV_OP_DWCONV2D, S(2, 6, 9, 8), S(0, 0, 0, 0), S(1, 5, 5, 8), S(1, 1, 1, 8), FV_ACT_RELU6,
     .conv = {5, 1, 2, 2, 2, 2}, .spread = 8, .before = FV_ACT_RELU6},
    {FV_OP_SQUEEZE_EXCITE, S(2, 3, 5, 7), S(0, 0, 0, 0), S(1, 1, 3, 7), S(1, 1, 1, 3), FV_ACT_SILU,
     .spread = 2, .w2 = S(1, 1, 7, 3), .b2 = S(1, 1, 1, 7)},
    {FV_OP_SQUEEZE_EXCITE, S(2, 4, 3, 16), S(0, 0, 0, 0), S(1, 1, 2, 16), S(1, 1, 1, 2),
     FV_ACT_GELU, .spread = 2, .before = FV_ACT_SILU, .w2 = S(1, 1, 16, 2), .b2 = S(1, 1, 1, 16)},
    {FV_OP_SQUEEZE_EXCITE, S(1, 3, 2, 6), S(0, 0, 0, 0), S(1, 1, 2, 6), S(1, 1, 1, 2), FV_ACT_SILU,
     .spread = 2, .before = FV_ACT_QUICK_GELU, .w2 = S(1, 1, 6, 2), .b2 = S(1, 1, 1, 6)},
    {FV_OP_MUL_CHANNEL, S(2, 3, 5, 7), S(2, 1, 1, 7), .spread = 1},
    {FV_OP_MUL_CHANNEL, S(1, 4, 4, 70), S(1, 1, 1, 70), .spread = 1},
    {FV_OP_ADD, S(2, 3, 5, 7), S(2, 3, 5, 7), .spread = 1},
    {FV_OP_AFFINE, S(2, 3, 5, 7), S(0, 0, 0, 0), S(1, 1, 1, 7), S(1, 1, 1, 7), .spread = 1},
    {FV_OP_AFFINE, S(2, 3, 5, 7), S(0, 0, 0, 0), S(1, 3, 5, 7), S(0, 0, 0, 0), .spread = 1},
    {FV_OP_AFFINE, S(2, 1, 1, 7), S(0, 0, 0, 0), S(1, 1, 1, 7), S(0, 0, 0, 0), .spread = 1},
    {FV_OP_MEAN_HW, S(2, 3, 5, 7), .spread = 1},
    {FV_OP_MEAN_HW, S(1, 1, 37, 70), .spread = 1},
    {FV_OP_MAX_HW, S(2, 3, 5, 7), .spread = 1},
    {FV_OP_MIX_ROWS, S(2, 3, 4, 5), S(0, 0, 0, 0), S(1, 1, 7, 12), .spread = 1},
    {FV_OP_L2NORM, S(2, 1, 5, 7), .eps = 1e-12},
    {FV_OP_L2NORM, S(2, 1, 5, 7), .eps = 100}, /* all rows clamped */
    {FV_OP_LAYERNORM, S(2, 1, 5, 7), S(0, 0, 0, 0), S(1, 1, 1, 7), S(1, 1, 1, 7), .eps = 1e-5},
    {FV_OP_GROUPNORM, S(2, 3, 5, 6), S(0, 0, 0, 0), S(1, 1, 1, 6), S(1, 1, 1, 6), FV_ACT_NONE,
     .groups = 3, .eps = 1e-5},
    {FV_OP_GROUPNORM, S(2, 5, 3, 15), S(0, 0, 0, 0), S(1, 1, 1, 15), S(1, 1, 1, 15), FV_ACT_SILU,
     .groups = 5, .eps = 1e-6, .spread = 2},
    {FV_OP_GROUPNORM, S(3, 7, 1, 7), S(0, 0, 0, 0), S(1, 1, 1, 7), S(1, 1, 1, 7), FV_ACT_SILU,
     .groups = 7, .eps = 1e-5},
    {FV_OP_GROUPNORM, S(2, 1, 3, 8), S(0, 0, 0, 0), S(1, 1, 1, 8), S(1, 1, 1, 8), FV_ACT_NONE,
     .groups = 1, .eps = 0.5}, /* what eps does to the gradient */
    {FV_OP_GROUPNORM, S(1, 3, 5, 64), S(0, 0, 0, 0), S(1, 1, 1, 64), S(1, 1, 1, 64), FV_ACT_GELU,
     .groups = 32, .eps = 1e-6},
    {FV_OP_GROUPNORM, S(1, 4, 3, 6), S(0, 0, 0, 0), S(1, 1, 1, 6), S(1, 1, 1, 6), FV_ACT_QUICK_GELU,
     .groups = 2, .eps = 1e-5},
    {FV_OP_GROUPNORM, S(2, 5, 3, 6), S(0, 0, 0, 0), S(1, 1, 1, 6), S(1, 1, 1, 6), FV_ACT_RELU6,
     .groups = 2, .eps = 1e-5},
    {FV_OP_GRAM, S(2, 3, 5, 7), .spread = 1},
    {FV_OP_GRAM, S(3, 1, 1, 6), .spread = 2},
    {FV_OP_COSINE, S(2, 3, 5, 7), S(0, 0, 0, 0), S(1, 3, 5, 7), .eps = 1e-12},
    {FV_OP_COSINE, S(3, 1, 4, 1), S(0, 0, 0, 0), S(1, 1, 4, 1), .eps = 100}, /* all clamped */
    {FV_OP_ATTENTION, S(2, 1, 5, 24), .heads = 2},
    {FV_OP_ATTENTION, S(2, 1, 4, 18), S(0, 0, 0, 0), S(0, 0, 0, 0), S(2, 1, 1, 4), .heads = 3},
    {FV_OP_ATTENTION, S(2, 2, 3, 18), S(0, 0, 0, 0), S(0, 0, 0, 0), S(2, 1, 1, 6), .heads = 1},
    {FV_OP_ATTENTION, S(2, 1, 5, 18), .heads = 3, .causal = true},
    {FV_OP_ATTENTION, S(1, 1, 6, 12), S(0, 0, 0, 0), S(0, 0, 0, 0), S(1, 1, 1, 6), .heads = 2,
     .causal = true},
    {FV_OP_SEPARABLE, S(2, 3, 4, 3), S(0, 0, 0, 0), S(1, 1, 7, 3), S(1, 1, 5, 4), .spread = 1},
    {FV_OP_SEPARABLE, S(1, 7, 6, 3), S(0, 0, 0, 0), S(1, 1, 3, 7), S(1, 1, 2, 6), .spread = 1},
    {FV_OP_WARP, S(1, 9, 8, 3), S(0, 0, 0, 0), S(3, 1, 1, 6), .side = 6},
    {FV_OP_WARP, S(2, 5, 6, 3), S(0, 0, 0, 0), S(2, 1, 1, 6), .side = 7},
    {FV_OP_COLOUR_JITTER, S(2, 5, 3, 3), S(0, 0, 0, 0), S(2, 1, 1, 7), S(2, 1, 1, 4), .spread = 1},
    {FV_OP_GATHER_CHANNELS, S(2, 3, 5, 7), S(0, 0, 0, 0), S(0, 0, 0, 0), S(1, 1, 1, 3),
     .spread = 1},
    {FV_OP_UPSAMPLE, S(2, 3, 5, 7), .spread = 1},
    {FV_OP_UPSAMPLE, S(1, 1, 4, 16), .spread = 1},
    {FV_OP_DEPTH_TO_SPACE, S(2, 3, 5, 12), .side = 2, .spread = 1},
    {FV_OP_DEPTH_TO_SPACE, S(1, 2, 4, 27), .side = 3, .spread = 1},
    {FV_OP_AVGPOOL, S(2, 4, 6, 5), .side = 2, .spread = 1},
    {FV_OP_AVGPOOL, S(2, 5, 7, 3), .side = 2, .spread = 1}, /* a row and a column are left over */
    {FV_OP_AVGPOOL, S(1, 7, 6, 4), .side = 3, .spread = 1},
    {FV_OP_CLAMP, S(2, 3, 5, 3), .spread = 2},
    {FV_OP_QUANTISE, S(2, 3, 2, 5), S(0, 0, 0, 0), S(1, 1, 9, 5), .spread = 1},
#define ROW(KIND, ...)                                                                             \
    {FV_OP_PENALTY, S(2, 5, 4, 3), .penalty = FV_PENALTY_##KIND},                                  \
        {FV_OP_PENALTY, S(2, 3, 5, 37), .penalty = FV_PENALTY_##KIND, .spread = 2},
    FV_PENALTIES(ROW)
#undef ROW
};
/* For the comparison of backends only. */
static const test_case large_cases[] = {
    {FV_OP_CONV2D, S(2, 33, 31, 3), S(0, 0, 0, 0), S(32, 3, 3, 3), S(1, 1, 1, 32), FV_ACT_SILU,
     .conv = {3, 2, 0, 0, 1, 1}},
    {FV_OP_CONV2D, S(1, 30, 41, 3), S(0, 0, 0, 0), S(21, 3, 3, 3), S(1, 1, 1, 21), FV_ACT_RELU6,
     .conv = {3, 2, 1, 1, 1, 1}, .spread = 4},
    {FV_OP_CONV2D, S(2, 26, 4, 3), S(0, 0, 0, 0), S(9, 3, 3, 3), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {3, 2, 1, 0, 0, 1}},
    {FV_OP_CONV2D, S(1, 5, 4, 3), S(0, 0, 0, 0), S(9800, 3, 3, 3), S(1, 1, 1, 9800), FV_ACT_RELU6,
     .conv = {3, 2, 0, 0, 1, 1}},
    {FV_OP_CONV2D, S(2, 28, 28, 96), S(0, 0, 0, 0), S(24, 1, 1, 96), S(1, 1, 1, 24), FV_ACT_NONE,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(1, 7, 7, 320), S(0, 0, 0, 0), S(1280, 1, 1, 320), S(1, 1, 1, 1280),
     FV_ACT_RELU6, .conv = {1, 1, 0, 0, 0, 0}},
    /* 3x3 by tiles of four outputs: tails of tiles and channels, paddings, several tasks */
    {FV_OP_CONV2D, S(1, 26, 29, 48), S(1, 26, 29, 35), S(35, 3, 3, 48), S(1, 1, 1, 35), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(2, 17, 23, 37), S(0, 0, 0, 0), S(50, 3, 3, 37), S(1, 1, 1, 50), FV_ACT_SILU,
     .conv = {3, 1, 0, 1, 2, 0}},
    {FV_OP_CONV2D, S(1, 64, 61, 16), S(0, 0, 0, 0), S(3, 3, 3, 16), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 33, 36, 3), S(0, 0, 0, 0), S(20, 3, 3, 3), S(1, 1, 1, 20), FV_ACT_RELU,
     .conv = {3, 1, 2, 2, 0, 1}},
    {FV_OP_CONV2D, S(3, 16, 12, 160), S(0, 0, 0, 0), S(130, 3, 3, 160), S(1, 1, 1, 130),
     FV_ACT_NONE, .conv = {3, 1, 1, 1, 1, 1}},
    /* channels in eights, the same padding all round: what a library of convolutions takes */
    {FV_OP_CONV2D, S(2, 9, 7, 16), S(0, 0, 0, 0), S(24, 3, 3, 16), S(1, 1, 1, 24), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 12, 13, 64), S(1, 12, 13, 32), S(32, 3, 3, 64), S(1, 1, 1, 32), FV_ACT_NONE,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(2, 11, 9, 8), S(0, 0, 0, 0), S(16, 3, 3, 8), S(1, 1, 1, 16), FV_ACT_RELU,
     .conv = {3, 2, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 10, 8, 40), S(0, 0, 0, 0), S(48, 3, 3, 40), S(1, 1, 1, 48), FV_ACT_SILU,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_CONV2D, S(1, 8, 8, 32), S(1, 4, 4, 64), S(64, 2, 2, 32), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {2, 2, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(2, 32, 32, 128), S(0, 0, 0, 0), S(128, 3, 3, 128), S(1, 1, 1, 128),
     FV_ACT_NONE, .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_DWCONV2D, S(2, 29, 29, 48), S(0, 0, 0, 0), S(1, 3, 3, 48), S(1, 1, 1, 48), FV_ACT_SILU,
     .conv = {3, 2, 0, 1, 1, 0}},
    {FV_OP_DWCONV2D, S(1, 29, 29, 100), S(0, 0, 0, 0), S(1, 5, 5, 100), S(1, 1, 1, 100),
     FV_ACT_RELU6, .conv = {5, 1, 2, 2, 2, 2}},
    {FV_OP_DWCONV2D, S(2, 17, 15, 24), S(0, 0, 0, 0), S(1, 3, 3, 24), S(1, 1, 1, 24), FV_ACT_SILU,
     .conv = {3, 1, 1, 1, 1, 1}},
    {FV_OP_DWCONV2D, S(2, 13, 18, 16), S(0, 0, 0, 0), S(1, 5, 5, 16), S(1, 1, 1, 16), FV_ACT_SILU,
     .conv = {5, 1, 2, 2, 2, 2}},
    {FV_OP_DWCONV2D, S(1, 16, 15, 8), S(0, 0, 0, 0), S(1, 5, 5, 8), S(1, 1, 1, 8), FV_ACT_NONE,
     .conv = {5, 2, 2, 1, 2, 2}},
    {FV_OP_DWCONV2D, S(1, 19, 37, 72), S(0, 0, 0, 0), S(1, 5, 5, 72), S(1, 1, 1, 72), FV_ACT_NONE,
     .conv = {5, 2, 1, 2, 2, 2}, .spread = 4, .before = FV_ACT_SILU},
    {FV_OP_DWCONV2D, S(2, 17, 35, 72), S(0, 0, 0, 0), S(1, 3, 3, 72), S(1, 1, 1, 72), FV_ACT_RELU6,
     .conv = {3, 1, 1, 1, 1, 1}, .spread = 4, .before = FV_ACT_RELU6},
    {FV_OP_SQUEEZE_EXCITE, S(2, 29, 31, 272), S(0, 0, 0, 0), S(1, 1, 11, 272), S(1, 1, 1, 11),
     FV_ACT_SILU, .before = FV_ACT_SILU, .w2 = S(1, 1, 272, 11), .b2 = S(1, 1, 1, 272)},
    {FV_OP_CONV2D, S(2, 9, 9, 48), S(2, 9, 9, 24), S(24, 1, 1, 48), S(1, 1, 1, 24), FV_ACT_NONE,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_DWCONV2D, S(2, 37, 31, 72), S(0, 0, 0, 0), S(1, 5, 5, 72), S(1, 1, 1, 72), FV_ACT_SILU,
     .conv = {5, 2, 1, 2, 2, 2}, .spread = 3, .before = FV_ACT_SILU, .gated = true},
    {FV_OP_DWCONV2D, S(1, 35, 33, 130), S(0, 0, 0, 0), S(1, 3, 3, 130), S(1, 1, 1, 130),
     FV_ACT_SILU, .conv = {3, 1, 1, 1, 1, 1}, .spread = 3, .before = FV_ACT_SILU, .gated = true},
    {FV_OP_DWCONV2D, S(2, 19, 18, 96), S(0, 0, 0, 0), S(1, 3, 3, 96), S(1, 1, 1, 96), FV_ACT_RELU6,
     .conv = {3, 1, 1, 1, 1, 1}, .spread = 8, .before = FV_ACT_RELU6},
    /* few rows at a time through panels that stay near, forwards and backwards */
    {FV_OP_CONV2D, S(2, 57, 57, 40), S(0, 0, 0, 0), S(240, 1, 1, 40), S(1, 1, 1, 240), FV_ACT_SILU,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(1, 61, 59, 250), S(0, 0, 0, 0), S(68, 1, 1, 250), S(0, 0, 0, 0), FV_ACT_RELU6,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_LINEAR, S(1, 1, 37, 2100), S(0, 0, 0, 0), S(1, 1, 520, 2100), S(1, 1, 1, 520),
     FV_ACT_GELU, .spread = 1},
    {FV_OP_LINEAR, S(1, 1, 37, 640), S(0, 0, 0, 0), S(1, 1, 512, 640), S(1, 1, 1, 512), FV_ACT_RELU,
     .spread = 1},
    /* rows along vectors, from five on; weights packed on the way, with a rest */
    {FV_OP_LINEAR, S(1, 1, 5, 130), S(0, 0, 0, 0), S(1, 1, 67, 130), S(1, 1, 1, 67), FV_ACT_SILU,
     .spread = 1},
    {FV_OP_LINEAR, S(3, 1, 37, 300), S(0, 0, 0, 0), S(1, 1, 70, 300), S(0, 0, 0, 0), FV_ACT_TANH,
     .spread = 1},
    {FV_OP_LINEAR, S(1, 1, 20, 91), S(0, 0, 0, 0), S(1, 1, 700, 91), S(1, 1, 1, 700), FV_ACT_NONE,
     .spread = 1},
    {FV_OP_CONV2D, S(1, 9, 11, 532), S(0, 0, 0, 0), S(600, 1, 1, 532), S(1, 1, 1, 600),
     FV_ACT_RELU6, .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_ATTENTION, S(2, 1, 37, 1536), .heads = 8, .spread = 0.3f},
    {FV_OP_SEPARABLE, S(1, 96, 96, 3), S(0, 0, 0, 0), S(1, 1, 96, 96), S(1, 1, 96, 96),
     .spread = 1},
    {FV_OP_COLOUR_JITTER, S(2, 65, 65, 3), S(0, 0, 0, 0), S(2, 1, 1, 7), S(2, 1, 1, 4),
     .spread = 1},
    {FV_OP_WARP, S(1, 80, 80, 3), S(0, 0, 0, 0), S(3, 1, 1, 6), .side = 64},
    /* several runs of positions; sums over whole vectors and what is left of them */
    {FV_OP_MEAN_HW, S(2, 40, 41, 72), .spread = 1},
    {FV_OP_MUL_CHANNEL, S(2, 40, 41, 72), S(2, 1, 1, 72), .spread = 1},
    {FV_OP_LAYERNORM, S(2, 1, 5, 768), S(0, 0, 0, 0), S(1, 1, 1, 768), S(1, 1, 1, 768),
     .eps = 1e-5},
    {FV_OP_LAYERNORM, S(1, 1, 3, 60), S(0, 0, 0, 0), S(1, 1, 1, 60), S(1, 1, 1, 60), .eps = 1e-5},
    {FV_OP_LAYERNORM, S(1, 1, 3, 47), S(0, 0, 0, 0), S(1, 1, 1, 47), S(1, 1, 1, 47), .eps = 1e-5},
    {FV_OP_ATTENTION, S(1, 1, 9, 366), .heads = 2, .spread = 0.3f},
    /* several slices with a rest; groups of three channels across vectors of eight */
    {FV_OP_GROUPNORM, S(2, 40, 41, 96), S(0, 0, 0, 0), S(1, 1, 1, 96), S(1, 1, 1, 96), FV_ACT_SILU,
     .groups = 32, .eps = 1e-6},
    {FV_OP_GROUPNORM, S(1, 37, 35, 99), S(0, 0, 0, 0), S(1, 1, 1, 99), S(1, 1, 1, 99), FV_ACT_NONE,
     .groups = 33, .eps = 1e-5},
    {FV_OP_GROUPNORM, S(1, 19, 23, 288), S(0, 0, 0, 0), S(1, 1, 1, 288), S(1, 1, 1, 288),
     FV_ACT_SILU, .groups = 32, .eps = 1e-6, .spread = 2},
    /* one wide head over a map: rows of a task and a rest */
    {FV_OP_ATTENTION, S(1, 13, 9, 600), .heads = 1, .spread = 0.3f},
    {FV_OP_ATTENTION, S(2, 1, 70, 105), S(0, 0, 0, 0), S(0, 0, 0, 0), S(2, 1, 1, 70), .heads = 1},
    {FV_OP_UPSAMPLE, S(2, 9, 11, 40), .spread = 1},
    {FV_OP_ATTENTION, S(1, 1, 77, 192), .heads = 1, .causal = true, .spread = 0.3f},
    {FV_OP_LINEAR, S(1, 1, 50, 768), S(0, 0, 0, 0), S(1, 1, 500, 768), S(1, 1, 1, 500),
     FV_ACT_QUICK_GELU, .spread = 1},
    /* weights turned round on the way, with rests: of many, and under many positions */
    {FV_OP_LINEAR, S(1, 1, 53, 777), S(1, 1, 53, 700), S(1, 1, 700, 777), S(1, 1, 1, 700),
     FV_ACT_NONE, .spread = 1},
    {FV_OP_LINEAR, S(2, 1, 48, 1037), S(0, 0, 0, 0), S(1, 1, 530, 1037), S(1, 1, 1, 530),
     FV_ACT_QUICK_GELU, .spread = 1},
    {FV_OP_CONV2D, S(1, 5, 7, 800), S(0, 0, 0, 0), S(700, 1, 1, 800), S(1, 1, 1, 700), FV_ACT_SILU,
     .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(1, 23, 23, 300), S(1, 23, 23, 330), S(330, 1, 1, 300), S(1, 1, 1, 330),
     FV_ACT_NONE, .conv = {1, 1, 0, 0, 0, 0}},
    {FV_OP_CONV2D, S(1, 9, 8, 600), S(0, 0, 0, 0), S(230, 2, 2, 600), S(0, 0, 0, 0), FV_ACT_NONE,
     .conv = {2, 1, 0, 0, 0, 0}},
    /* many tokens: tiles, and what is left of rows and of vectors */
    {FV_OP_ATTENTION, S(2, 1, 50, 384), .heads = 2, .spread = 0.5f},
    {FV_OP_ATTENTION, S(2, 1, 197, 384), .heads = 2, .spread = 0.5f},
    {FV_OP_ATTENTION, S(1, 1, 131, 330), S(0, 0, 0, 0), S(0, 0, 0, 0), S(1, 1, 1, 131), .heads = 2,
     .spread = 0.5f},
    {FV_OP_ATTENTION, S(1, 1, 150, 36), .heads = 3, .causal = true},
    {FV_OP_DEPTH_TO_SPACE, S(2, 17, 19, 128), .side = 2, .spread = 1},
    {FV_OP_DEPTH_TO_SPACE, S(1, 28, 30, 12), .side = 2, .spread = 1},
    {FV_OP_AVGPOOL, S(2, 28, 30, 72), .side = 2, .spread = 1},
    {FV_OP_CLAMP, S(1, 87, 89, 3), .spread = 2},
    /* more rows than are scored at a time */
    {FV_OP_QUANTISE, S(1, 17, 19, 50), S(0, 0, 0, 0), S(1, 1, 133, 50), .spread = 1},
    {FV_OP_GRAM, S(2, 9, 11, 130), .spread = 1},
    {FV_OP_COSINE, S(3, 40, 41, 24), S(0, 0, 0, 0), S(1, 40, 41, 24), .eps = 1e-12, .spread = 3},
};
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* --- one case on one backend --- */

typedef struct run {
    fv_backend *be;
    const test_case *c;
    fv_op op;
    fv_format x_format; /* of x and its gradient, where a backend has several */
    fv_tensor x, x2, w, b, w2, b2, y, aux, dy, dx, dx2, gate, mean, mean_y;
    double *hx, *hx2, *hw, *hw2, *hb2, *hdy; /* host copies */
    double *hseed;                           /* what hdy stands for, behind a gate */
    int32_t *hb_int;
    double *hb;
    bool frozen; /* w is a weight, and may be packed once */
} run;

static double random_number(int stream, size_t i)
{
    fv_random4 r = fv_philox(7, (uint32_t)i, (uint32_t)stream, 0, 9);
    /* floats, so that all backends get the same numbers */
    return (double)(2.0f * fv_uniform(r.v[0]) - 1.0f);
}

static void must(fv_status s)
{
    if (s < 0) fail_msg("%s", fv_error());
}

/* How a backend stores what the network computes inside. */
static fv_format working_format(fv_backend *be)
{
    fv_op op = {.kind = FV_OP_ATTENTION};
    return be->format ? be->format(be, &op, false) : FV_FORMAT_REAL;
}

static void make(run *r, fv_tensor *t, const char *name, fv_shape shape, fv_dtype type)
{
    *t = (fv_tensor){name, shape, type, FV_ROLE_VALUE, NULL, FV_FORMAT_REAL};
    if (strchr(name, 'x')) t->format = r->x_format; /* x, x2, dx, dx2 */
    if (r->c && strchr("wb", *name) && r->c->kind != FV_OP_WARP &&
        r->c->kind != FV_OP_COLOUR_JITTER && r->c->kind != FV_OP_ATTENTION)
        t->role = FV_ROLE_WEIGHT;
    must(r->be->alloc(r->be, fv_tensor_bytes(r->be, t), &t->data));
}

static void make_as(run *r, fv_tensor *t, const char *name, fv_shape shape, fv_format format)
{
    *t = (fv_tensor){name, shape, FV_REAL, FV_ROLE_VALUE, NULL, format};
    must(r->be->alloc(r->be, fv_tensor_bytes(r->be, t), &t->data));
}

/* y, dy and aux are stored as the backend chooses. */
static void make_results(run *r, fv_shape ys)
{
    fv_op *op = &r->op;
    fv_format format = r->be->format ? r->be->format(r->be, op, false) : FV_FORMAT_REAL;
    make_as(r, &r->y, "y", ys, format);
    make_as(r, &r->dy, "dy", ys, format);
    make(r, &r->dx, "dx", r->c->x, FV_REAL);
    if (r->c->x2.n) make(r, &r->dx2, "dx2", r->c->x2, FV_REAL);
    op->y = &r->y;
    if (!(fv_ops[op->kind].keeps(op) & FV_KEEP_AUX)) return;
    bool as_y = op->kind == FV_OP_CONV2D || op->kind == FV_OP_DWCONV2D || op->kind == FV_OP_LINEAR;
    make_as(r, &r->aux, "aux", fv_ops[op->kind].aux(op, ys), as_y ? format : FV_FORMAT_REAL);
    op->aux = &r->aux;
}

static void put(run *r, fv_tensor *t, const double *values)
{
    must(r->be->upload(r->be, t, FV_F64, values));
}

static double *get(run *r, const fv_tensor *t)
{
    double *out = malloc(fv_count(t->shape) * sizeof *out);
    must(r->be->download(r->be, t, FV_F64, out));
    return out;
}

static double *randoms(fv_shape s, int stream, double spread)
{
    double *v = malloc(fv_count(s) * sizeof *v);
    for (size_t i = 0; i < fv_count(s); i++) v[i] = spread * random_number(stream, i);
    return v;
}

/* Views that turn and leave the picture; noise and colour numbers; keys; channels. */
static void special_operands(run *r)
{
    const test_case *c = r->c;
    if (c->kind == FV_OP_WARP)
        for (int v = 0; v < c->w.n; v++) {
            const double row[6] = {0.9, 0.3, -1.3 + v, -0.2, 1.1, 0.7 - 1.9 * v};
            for (int i = 0; i < 6; i++) r->hw[6 * v + i] = (double)(float)row[i];
        }
    if (c->kind == FV_OP_COLOUR_JITTER)
        for (int i = 0; i < c->b.n * 4; i++) r->hb_int[i] = 3 + 5 * i;
    if (c->kind == FV_OP_GATHER_CHANNELS) {
        static const int32_t channels[3] = {6, 0, 6};
        memcpy(r->hb_int, channels, sizeof channels);
    }
}

static void make_operands(run *r)
{
    const test_case *c = r->c;
    double spread = c->spread > 0 ? (double)c->spread : 1;
    r->op = (fv_op){.kind = c->kind, .name = fv_ops[c->kind].name, .act = c->act};
    r->op.before = c->before;
    if (c->kind == FV_OP_CONV2D || c->kind == FV_OP_DWCONV2D) r->op.attr.conv = c->conv;
    if (c->kind == FV_OP_ATTENTION) r->op.attr.attention = (fv_attention_attr){c->heads, c->causal};
    if (c->kind == FV_OP_AVGPOOL) r->op.attr.pool = c->side;
    if (c->kind == FV_OP_DEPTH_TO_SPACE) r->op.attr.block = c->side;
    if (c->kind == FV_OP_WARP) r->op.attr.out_side = c->side;
    if (c->kind == FV_OP_L2NORM || c->kind == FV_OP_LAYERNORM || c->kind == FV_OP_COSINE)
        r->op.attr.eps = c->eps;
    if (c->kind == FV_OP_GROUPNORM) r->op.attr.group = (fv_group_attr){c->groups, c->eps};
    if (c->kind == FV_OP_PENALTY) r->op.attr.penalty = c->penalty;
    make(r, &r->x, "x", c->x, FV_REAL);
    r->hx = randoms(c->x, 1, spread);
    r->op.x = &r->x;
    if (c->x2.n) {
        make(r, &r->x2, "x2", c->x2, FV_REAL);
        r->hx2 = randoms(c->x2, 2, spread);
        r->op.x2 = &r->x2;
    }
    if (c->w.n) {
        make(r, &r->w, "w", c->w, FV_REAL);
        r->w.role = r->frozen ? FV_ROLE_WEIGHT : FV_ROLE_INPUT;
        r->hw = randoms(c->w, 3, 1);
        r->op.w = &r->w;
    }
    if (c->w2.n) {
        make(r, &r->w2, "w2", c->w2, FV_REAL);
        make(r, &r->b2, "b2", c->b2, FV_REAL);
        r->w2.role = r->w.role;
        r->hw2 = randoms(c->w2, 6, 1);
        r->hb2 = randoms(c->b2, 7, 1);
        r->op.w2 = &r->w2;
        r->op.b2 = &r->b2;
    }
    if (c->b.n) {
        bool integers = c->kind == FV_OP_COLOUR_JITTER || c->kind == FV_OP_GATHER_CHANNELS;
        make(r, &r->b, "b", c->b, integers ? FV_I32 : FV_REAL);
        r->hb = integers ? NULL : randoms(c->b, 4, 1);
        r->hb_int = integers ? calloc(fv_count(c->b), sizeof(int32_t)) : NULL;
        r->op.b = &r->b;
    }
    special_operands(r);
}

/* hseed = hdy * gate + mean / (h w) */
static void make_gate(run *r, fv_shape ys)
{
    size_t n = fv_count(ys), channels = (size_t)ys.c, positions = (size_t)(ys.h * ys.w);
    r->hseed = malloc(n * sizeof *r->hseed);
    memcpy(r->hseed, r->hdy, n * sizeof *r->hseed);
    if (!r->c->gated) return;
    fv_shape shape = {ys.n, 1, 1, ys.c};
    double *gate = randoms(shape, 6, 1), *mean = randoms(shape, 7, 5);
    make(r, &r->gate, "gate", shape, FV_REAL);
    make(r, &r->mean, "mean", shape, FV_REAL);
    put(r, &r->gate, gate);
    put(r, &r->mean, mean);
    for (size_t i = 0; i < n; i++) {
        size_t k = i / (positions * channels) * channels + i % channels;
        r->hseed[i] = r->hdy[i] * gate[k] + mean[k] / (double)positions;
    }
    r->op.fused.dy_gate = &r->gate;
    r->op.fused.dy_mean = &r->mean;
    make(r, &r->mean_y, "mean_y", shape, FV_REAL);
    r->op.fused.mean_y = &r->mean_y;
    free(gate);
    free(mean);
}

/* The gradients that backward will write, and how: prepare may ask. */
static void want(run *r, bool x, bool x2, bool add)
{
    r->op.dy = &r->dy;
    r->op.dx = x ? &r->dx : NULL;
    r->op.dx2 = x2 && r->dx2.data ? &r->dx2 : NULL;
    r->op.add_dx = r->op.add_dx2 = add;
}

/* frozen: w is a weight; otherwise an input, which has other numbers while the op is prepared. */
static void open_run_for(run *r, fv_backend *be, const test_case *c, bool frozen,
                         fv_format x_format, bool add)
{
    *r = (run){.be = be, .c = c, .frozen = frozen, .x_format = x_format};
    make_operands(r);
    fv_shape ys;
    must(fv_op_shape(&r->op, &ys));
    make_results(r, ys);
    r->hdy = randoms(ys, 5, 1);
    make_gate(r, ys);
    want(r, true, true, add);
    if (r->w.data && frozen) put(r, &r->w, r->hw);
    if (r->w2.data && frozen) put(r, &r->w2, r->hw2);
    if (r->hb) put(r, &r->b, r->hb);
    if (r->hb2) put(r, &r->b2, r->hb2);
    if (r->hb_int) must(be->upload(be, &r->b, FV_I32, r->hb_int));
    const fv_kernel *k = &be->kernels[c->kind];
    if (k->prepare) must(k->prepare(be, &r->op));
    r->op.dy = r->op.dx = r->op.dx2 = NULL;
    if (r->op.scratch_bytes) must(be->alloc(be, r->op.scratch_bytes, &r->op.scratch));
    if (r->w.data && !frozen) put(r, &r->w, r->hw);
    if (r->w2.data && !frozen) put(r, &r->w2, r->hw2);
}

static void open_run(run *r, fv_backend *be, const test_case *c, bool frozen)
{
    open_run_for(r, be, c, frozen, FV_FORMAT_REAL, false);
}

static void close_run(run *r)
{
    const fv_kernel *k = &r->be->kernels[r->c->kind];
    if (k->release) k->release(r->be, &r->op);
    fv_tensor *all[] = {&r->x,   &r->x2, &r->w,  &r->b,   &r->w2,   &r->b2,   &r->y,
                        &r->aux, &r->dy, &r->dx, &r->dx2, &r->gate, &r->mean, &r->mean_y};
    for (int i = 0; i < COUNT(all); i++)
        if (all[i]->data) r->be->free(r->be, all[i]->data);
    if (r->op.scratch) r->be->free(r->be, r->op.scratch);
    free(r->hx);
    free(r->hx2);
    free(r->hw);
    free(r->hb);
    free(r->hw2);
    free(r->hb2);
    free(r->hb_int);
    free(r->hdy);
    free(r->hseed);
}

static void forward(run *r)
{
    put(r, &r->x, r->hx);
    if (r->hx2) put(r, &r->x2, r->hx2);
    r->be->kernels[r->c->kind].forward(r->be, &r->op);
    must(r->be->sync(r->be));
}

static void fill(run *r, fv_tensor *t, double value)
{
    size_t n = fv_count(t->shape);
    double *v = malloc(n * sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = value;
    put(r, t, v);
    free(v);
}

/* After forward. What keeps() does not name is poisoned first, and so are scratch and, when they
 * are to be written, the gradients. */
static void backward(run *r, bool want_x, bool want_x2, bool add)
{
    unsigned keeps = fv_ops[r->c->kind].keeps(&r->op);
    if (!(keeps & FV_KEEP_X)) fill(r, &r->x, NAN);
    if (r->x2.data && !(keeps & FV_KEEP_X2)) fill(r, &r->x2, NAN);
    if (!(keeps & FV_KEEP_Y)) fill(r, &r->y, NAN);
    fv_tensor scratch = {"scratch",     {1, 1, 1, (int)(r->op.scratch_bytes / r->be->real_bytes)},
                         FV_REAL,       FV_ROLE_VALUE,
                         r->op.scratch, FV_FORMAT_REAL};
    if (r->op.scratch) fill(r, &scratch, NAN);
    put(r, &r->dy, r->hdy);
    fill(r, &r->dx, add ? 0.5 : NAN);
    if (r->dx2.data) fill(r, &r->dx2, add ? 0.5 : NAN);
    want(r, want_x, want_x2, add);
    r->be->kernels[r->c->kind].backward(r->be, &r->op);
    must(r->be->sync(r->be));
    r->op.dy = r->op.dx = r->op.dx2 = NULL;
}

static const char *describe(const test_case *c)
{
    static char text[128];
    snprintf(text, sizeof text, "%s %s {%d,%d,%d,%d}", fv_ops[c->kind].name, fv_act_name(c->act),
             c->x.n, c->x.h, c->x.w, c->x.c);
    return text;
}

/* --- gradients --- */

/* <what dy stands for, y> for the host copies as they are. */
static double loss(run *r)
{
    forward(r);
    double *y = get(r, &r->y), sum = 0;
    for (size_t i = 0; i < fv_count(r->y.shape); i++) sum += y[i] * r->hseed[i];
    free(y);
    return sum;
}

/* d loss / d host[i] by central differences; where y has steps or corners, by the rule. */
static double slope_of_loss(run *r, double *host, size_t i)
{
    const double h = 1e-5;
    double was = host[i], seed = r->c->kind == FV_OP_QUANTISE ? r->hseed[i] : 0;
    if (r->c->kind == FV_OP_QUANTISE) return seed;
    if (r->c->kind == FV_OP_CLAMP && was < 0) return fmin(r->hseed[i], 0);
    if (r->c->kind == FV_OP_CLAMP && was > 1) return fmax(r->hseed[i], 0);
    host[i] = was + h;
    double up = loss(r);
    host[i] = was - h;
    double down = loss(r);
    host[i] = was;
    return (up - down) / (2 * h);
}

static void check_differences(run *r, double *host, const double *gradient, fv_shape s,
                              const char *what)
{
    double scale = 0;
    for (size_t i = 0; i < fv_count(s); i++) scale = fmax(scale, fabs(gradient[i]));
    assert_true(scale > 0);
    for (size_t i = 0; i < fv_count(s); i++) {
        double expected = slope_of_loss(r, host, i);
        /* central differences err by h^2 times third derivatives, and by 1e-16 / h */
        if (!(fabs(gradient[i] - expected) <= 1e-7 * (1 + scale)))
            fail_msg("%s: d/d%s[%zu] is %.10g, by differences %.10g", describe(r->c), what, i,
                     gradient[i], expected);
    }
}

static void gradients(void **state)
{
    (void)state;
    fv_backend *be;
    must(fv_backend_open(&be, "ref64", 1));
    for (int i = 0; i < COUNT(cases); i++) {
        run r;
        open_run(&r, be, &cases[i], true);
        forward(&r);
        backward(&r, true, true, false);
        double *dx = get(&r, &r.dx), *dx2 = r.dx2.data ? get(&r, &r.dx2) : NULL;
        check_differences(&r, r.hx, dx, r.x.shape, "x");
        if (dx2) check_differences(&r, r.hx2, dx2, r.x2.shape, "x2");

        forward(&r);
        backward(&r, true, true, true); /* onto 0.5 */
        double *more = get(&r, &r.dx);
        for (size_t k = 0; k < fv_count(r.x.shape); k++)
            if (!(fabs(more[k] - 0.5 - dx[k]) < 1e-12 * (1 + fabs(dx[k]))))
                fail_msg("%s: added gradient %zu is %g, expected 0.5 + %g", describe(r.c), k,
                         more[k], dx[k]);
        free(more);
        if (dx2) { /* one of the two alone */
            forward(&r);
            backward(&r, false, true, false);
            double *alone = get(&r, &r.dx2);
            assert_memory_equal(alone, dx2, fv_count(r.x2.shape) * sizeof *dx2);
            free(alone);
            forward(&r);
            backward(&r, true, false, false);
            alone = get(&r, &r.dx);
            assert_memory_equal(alone, dx, fv_count(r.x.shape) * sizeof *dx);
            free(alone);
        }
        forward(&r);
        backward(&r, false, false, false); /* nobody needs it: must not crash */
        free(dx);
        free(dx2);
        close_run(&r);
    }
    fv_backend_close(be);
}

/* --- backends against ref64 --- */

static double relative_error(const double *found, const double *expected, size_t n)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        error += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return sqrt(error / (norm > 0 ? norm : 1));
}

/* Sums of up to 1280 floats in any order err by about 1e-6 of their size; the polynomial of exp
 * by 3e-7. */
static const double float_tolerance = 3e-6;

static void compare_tensor(run *a, run *b, const fv_tensor *ta, const fv_tensor *tb,
                           double tolerance)
{
    double *found = get(a, ta), *expected = get(b, tb);
    double e = relative_error(found, expected, fv_count(ta->shape));
    if (!(e <= tolerance))
        fail_msg("%s on %s: %s differs from ref64 by %.3g", describe(a->c), a->be->name, ta->name,
                 e);
    free(found);
    free(expected);
}

static bool has_corner(fv_act act)
{
    return act == FV_ACT_RELU || act == FV_ACT_RELU6;
}

static void compare_case(fv_backend *be, fv_backend *truth, const test_case *c, bool frozen,
                         fv_format x_format, double tolerance)
{
    const double forward_tolerance = tolerance;
    for (int add = 0; add < 2; add++) {
        run a, b;
        open_run_for(&a, be, c, frozen, x_format, add);
        open_run_for(&b, truth, c, frozen, FV_FORMAT_REAL, add);
        forward(&a);
        forward(&b);
        compare_tensor(&a, &b, &a.y, &b.y, forward_tolerance);
        if (a.mean_y.data) compare_tensor(&a, &b, &a.mean_y, &b.mean_y, forward_tolerance);
        backward(&a, true, true, add);
        backward(&b, true, true, add);
        /* where a rounded number crosses the corner of relu or relu6 a whole gradient goes: their
         * share is the rounding, twice that with an activation before and behind, and the norm of
         * the error its root */
        int corners = has_corner(c->act) + has_corner(c->before) + 2 * (c->kind == FV_OP_CLAMP);
        if (corners && forward_tolerance > float_tolerance)
            tolerance = sqrt(corners * forward_tolerance);
        compare_tensor(&a, &b, &a.dx, &b.dx, tolerance);
        if (a.dx2.data) compare_tensor(&a, &b, &a.dx2, &b.dx2, tolerance);
        close_run(&a);
        close_run(&b);
    }
}

/* By name; "emulated" is known to the tests alone. */
static fv_backend *open_any(const char *name)
{
    fv_backend *be;
    if (strncmp(name, "emulated", 8) != 0) {
        must(fv_backend_open(&be, name, 2));
        return be;
    }
    be = calloc(1, sizeof *be);
    must(fv_cuda_emulated_open(be, name));
    return be;
}

/* A quarter of a million numbers a group, 17 spreads from zero: a sum in one go, or a variance that
 * is the difference of two sums, would miss by far more. */
static void sums_of_large_groups_are_taken_by_pieces(void **state)
{
    (void)state;
    static const char *const names[] = {"ref", "cpu", "emulated:fp32"};
    const fv_shape vector = {1, 1, 1, 32};
    const test_case large = {.kind = FV_OP_GROUPNORM,
                             .x = {1, 256, 256, 32},
                             .w = vector,
                             .b = vector,
                             .act = FV_ACT_SILU,
                             .groups = 8,
                             .eps = 1e-6};
    size_t count = fv_count(large.x);
    fv_backend *truth;
    must(fv_backend_open(&truth, "ref64", 1));
    for (int i = 0; i < COUNT(names); i++) {
        fv_backend *be = open_any(names[i]);
        run a, b;
        open_run(&a, be, &large, true);
        open_run(&b, truth, &large, true);
        for (size_t k = 0; k < count; k++) a.hx[k] = b.hx[k] = (double)(float)(b.hx[k] + 10);
        forward(&a);
        forward(&b);
        compare_tensor(&a, &b, &a.y, &b.y, float_tolerance);
        compare_tensor(&a, &b, &a.aux, &b.aux, float_tolerance);
        backward(&a, true, false, false);
        backward(&b, true, false, false);
        compare_tensor(&a, &b, &a.dx, &b.dx, float_tolerance);
        close_run(&a);
        close_run(&b);
        fv_backend_close(be);
    }
    fv_backend_close(truth);
}

/* Some ops are only in plans for a backend that fuses; the reference knows all. */
static bool takes(const fv_backend *be, const test_case *c)
{
    if (strncmp(be->name, "ref", 3) == 0) return true;
    bool residual = c->x2.n && (c->kind == FV_OP_CONV2D || c->kind == FV_OP_LINEAR);
    if (residual) return be->fuses_ops || be->fuses_dwconv;
    if (c->kind == FV_OP_SQUEEZE_EXCITE) return be->fuses_ops;
    return c->gated ? be->fuses_dwconv : !c->before || be->fuses_ops || be->fuses_dwconv;
}

static void compare_all(fv_backend *be, double tolerance)
{
    fv_backend *truth;
    must(fv_backend_open(&truth, "ref64", 1));
    fv_format working = working_format(be);
    for (int i = 0; i < COUNT(cases) + COUNT(large_cases); i++) {
        const test_case *c = i < COUNT(cases) ? &cases[i] : &large_cases[i - COUNT(cases)];
        if (!takes(be, c)) continue;
        bool picture = c->kind == FV_OP_SEPARABLE || c->kind == FV_OP_WARP ||
                       c->kind == FV_OP_COLOUR_JITTER || c->kind == FV_OP_PENALTY ||
                       c->kind == FV_OP_QUANTISE;
        for (int frozen = 0; frozen < 2; frozen++)
            compare_case(be, truth, c, frozen, picture ? FV_FORMAT_REAL : working, tolerance);
        /* also from a tensor in float to one that is not, and back */
        if (!picture && working == FV_FORMAT_F16)
            compare_case(be, truth, c, true, FV_FORMAT_REAL, tolerance);
    }
    fv_backend_close(truth);
}

static void compare_backend(const char *name, int threads)
{
    fv_backend *be;
    must(fv_backend_open(&be, name, threads));
    compare_all(be, float_tolerance);
    fv_backend_close(be);
}

/* fp16 rounds every operand and result by up to 2^-11, bf16 by 2^-8. */
static const double fp16_tolerance = 2e-3, bf16_tolerance = 1.5e-2;

static long launched(fv_backend *be, const char *name)
{
    long count;
    const char *found;
    for (int i = 0; (found = fv_cuda_emulated_launch(be, i, &count)); i++)
        if (strcmp(found, name) == 0) return count;
    return 0;
}

/* The kernels of the cuda backend, run on the host. */
static void emulated(const char *spec, double tolerance)
{
    fv_backend be = {.name = ""};
    must(fv_cuda_emulated_open(&be, spec));
    size_t before = fv_cuda_emulated_stats(&be)->allocated;
    compare_all(&be, tolerance);
    assert_string_equal(fv_cuda_emulated_stats(&be)->faults, "");
    assert_true(fv_cuda_emulated_stats(&be)->launches > 200);
    assert_true(fv_cuda_emulated_stats(&be)->products > 20);
    bool windows = strstr(spec, ":blas");
    assert_true((launched(&be, "convolution") == 0) == windows);
    assert_true((launched(&be, "convolution backward") == 0) == windows);
    assert_int_equal(fv_cuda_emulated_stats(&be)->allocated, before);
    be.close(&be);
}

static void cuda_emulated(void **state)
{
    (void)state;
    emulated("emulated:fp32", float_tolerance);
    emulated("emulated:fp16:blas", fp16_tolerance);
    emulated("emulated:fp16", fp16_tolerance);
    emulated("emulated:bf16", bf16_tolerance);
}

static void ref_backend(void **state)
{
    (void)state;
    compare_backend("ref", 1);
}

/* A level of cpu kernels that this processor cannot run is no failure. */
static bool has_backend(const char *name)
{
    fv_backend *be;
    fv_status s = fv_backend_open(&be, name, 1);
    if (s < 0) print_message("not compared: %s\n", fv_error());
    fv_backend_close(be);
    return s >= 0;
}

static void cpu_backend(void **state)
{
    (void)state;
    compare_backend("cpu", 1);
    compare_backend("cpu", 3);
    static const char *const levels[] = {"cpu-v2", "cpu-v3", "cpu-v4"};
    for (int i = 0; i < COUNT(levels); i++)
        if (has_backend(levels[i])) compare_backend(levels[i], 2);
}

/* Bit for bit the same on any number of threads. */
static void threads_do_not_matter(void **state)
{
    (void)state;
    fv_backend *one, *four;
    must(fv_backend_open(&one, "cpu", 1));
    must(fv_backend_open(&four, "cpu", 4));
    for (int i = 0; i < 2 * COUNT(large_cases); i++) {
        run a, b;
        if (!takes(one, &large_cases[i / 2])) continue;
        open_run(&a, one, &large_cases[i / 2], i % 2);
        open_run(&b, four, &large_cases[i / 2], i % 2);
        forward(&a);
        forward(&b);
        size_t bytes = fv_count(a.y.shape) * one->real_bytes;
        assert_memory_equal(a.y.data, b.y.data, bytes);
        backward(&a, true, true, false);
        backward(&b, true, true, false);
        assert_memory_equal(a.dx.data, b.dx.data, fv_count(a.x.shape) * one->real_bytes);
        close_run(&a);
        close_run(&b);
    }
    fv_backend_close(one);
    fv_backend_close(four);
}

/* --- forward against formulas --- */

static void formulas(void **state)
{
    (void)state;
    fv_backend *be;
    must(fv_backend_open(&be, "ref64", 1));
    for (int i = 0; i < COUNT(cases); i++) {
        run r;
        open_run(&r, be, &cases[i], true);
        forward(&r);
        double *y = get(&r, &r.y);
        const double *x = r.hx;
        fv_shape s = r.c->x;
        size_t c = (size_t)s.c, hw = (size_t)(s.h * s.w);
        double e = y[0]; /* what y[0] should be */
        switch (r.c->kind) {
        case FV_OP_MEAN_HW:
            e = 0;
            for (size_t p = 0; p < hw; p++) e += x[p * c] / (double)hw;
            break;
        case FV_OP_MAX_HW:
            e = -1e9;
            for (size_t p = 0; p < hw; p++) e = fmax(e, x[p * c]);
            break;
        case FV_OP_MIX_ROWS:
            e = 0;
            for (size_t p = 0; p < hw; p++) e += r.hw[p] * x[p * c];
            break;
        case FV_OP_SEPARABLE:
            e = 0;
            for (int p = 0; p < s.h; p++)
                for (int q = 0; q < s.w; q++)
                    e += r.hw[p] * r.hb[q] * x[((size_t)(p * s.w) + (size_t)q) * c];
            break;
        case FV_OP_LINEAR:
            e = r.hb ? r.hb[0] : 0;
            for (size_t k = 0; k < c; k++) e += r.hw[k] * x[k];
            e = r.c->act == FV_ACT_NONE         ? e + r.hx2[0]
                : r.c->act == FV_ACT_GELU       ? 0.5 * e * (1 + erf(e / sqrt(2)))
                : r.c->act == FV_ACT_TANH       ? tanh(e)
                : r.c->act == FV_ACT_QUICK_GELU ? e / (1 + exp(-1.702 * e))
                : r.c->act == FV_ACT_SIGMOID    ? 1 / (1 + exp(-e))
                                                : fmax(e, 0);
            break;
        case FV_OP_AVGPOOL:
            e = 0;
            for (int p = 0; p < r.c->side; p++)
                for (int q = 0; q < r.c->side; q++)
                    e += x[((size_t)(p * s.w) + (size_t)q) * c] / (r.c->side * r.c->side);
            break;
        case FV_OP_ATTENTION: /* the first token sees itself alone */
            if (r.c->causal) e = x[2 * c / 3];
            break;
        case FV_OP_GATHER_CHANNELS:
            e = x[6];
            break;
        case FV_OP_AFFINE:
            e = x[0] * r.hw[0] + (r.hb ? r.hb[0] : 0);
            break;
        case FV_OP_L2NORM:
            e = 0;
            for (size_t k = 0; k < c; k++) e += x[k] * x[k];
            e = x[0] / fmax(sqrt(e), r.c->eps);
            break;
        case FV_OP_GROUPNORM: { /* by moments, not by distances from the mean */
            size_t each = c / (size_t)r.c->groups;
            double sum = 0, squares = 0, count = (double)(hw * each);
            for (size_t k = 0; k < hw * c; k++) {
                if (k % c >= each) continue;
                sum += x[k];
                squares += x[k] * x[k];
            }
            sum /= count;
            e = (x[0] - sum) / sqrt(squares / count - sum * sum + r.c->eps) * r.hw[0] + r.hb[0];
            e = r.c->act == FV_ACT_NONE         ? e
                : r.c->act == FV_ACT_SILU       ? e / (1 + exp(-e))
                : r.c->act == FV_ACT_GELU       ? 0.5 * e * (1 + erf(e / sqrt(2)))
                : r.c->act == FV_ACT_QUICK_GELU ? e / (1 + exp(-1.702 * e))
                                                : fmin(fmax(e, 0), 6);
            break;
        }
        case FV_OP_GRAM:
            e = 0;
            for (size_t p = 0; p < hw; p++) e += x[p * c] * x[p * c];
            assert_true(y[1] == y[c]); /* and in the next row */
            break;
        case FV_OP_COSINE: {
            double square = 0;
            e = 0;
            for (size_t k = 0; k < hw * c; k++) {
                e += x[k] * r.hw[k];
                square += x[k] * x[k];
            }
            e /= fmax(sqrt(square), r.c->eps);
            break;
        }
        case FV_OP_WARP: /* (0, 0) lies at (-1.3, 0.7), mirrored to (1.3, 0.7) */
            e = 0.3 * (0.7 * x[c] + 0.3 * x[2 * c]) +
                0.7 * (0.7 * x[((size_t)s.w + 1) * c] + 0.3 * x[((size_t)s.w + 2) * c]);
            break;
        case FV_OP_ADD:
            e = x[0] + r.hx2[0];
            break;
        case FV_OP_MUL_CHANNEL:
            e = x[0] * r.hx2[0];
            break;
        default:
            break;
        }
        /* 1e-6: the warp's numbers went through float */
        if (!(fabs(y[0] - e) < 1e-6))
            fail_msg("%s: y[0] is %g, expected %g", describe(r.c), y[0], e);
        free(y);
        close_run(&r);
    }
    fv_backend_close(be);
}

static void embedding(void **state)
{
    (void)state;
    const char *const names[] = {"ref64", "cpu", "emulated:fp32", "emulated:fp16"};
    for (int i = 0; i < COUNT(names); i++) {
        fv_backend *be = open_any(names[i]);
        run r = {.be = be};
        fv_tensor ids, table, rows, y;
        make(&r, &ids, "ids", (fv_shape){2, 1, 1, 3}, FV_I32);
        make(&r, &table, "table", (fv_shape){1, 1, 4, 2}, FV_REAL);
        make(&r, &rows, "rows", (fv_shape){1, 1, 3, 2}, FV_REAL);
        fv_op op = {.kind = FV_OP_EMBED, .name = "embed", .x = &ids, .w = &table, .b = &rows};
        fv_shape shape;
        must(fv_op_shape(&op, &shape));
        assert_true(fv_same_shape(shape, (fv_shape){2, 1, 3, 2}));
        make(&r, &y, "y", shape, FV_REAL);
        op.y = &y;
        table.role = FV_ROLE_WEIGHT; /* may be stored in 16 bits: small integers stay exact */
        static const int32_t numbers[6] = {3, 0, 1, 2, 2, 3};
        static const double words[8] = {0, 1, 10, 11, 20, 21, 30, 31}, at[6] = {1, 2, 3, 4, 5, 6};
        must(be->upload(be, &ids, FV_I32, numbers));
        put(&r, &table, words);
        put(&r, &rows, at);
        if (be->kernels[FV_OP_EMBED].prepare) must(be->kernels[FV_OP_EMBED].prepare(be, &op));
        be->kernels[FV_OP_EMBED].forward(be, &op);
        double *found = get(&r, &y);
        for (int k = 0; k < 12; k++) {
            double expected = words[2 * numbers[k / 2] + k % 2] + at[k % 6];
            assert_true(found[k] == expected);
        }
        free(found);
        fv_tensor *all[] = {&ids, &table, &rows, &y};
        for (int k = 0; k < 4; k++) be->free(be, all[k]->data);
        assert_null(be->kernels[FV_OP_EMBED].backward);
        fv_backend_close(be);
    }
}

/* --- an autoencoder's ops, by examples --- */

typedef struct example {
    fv_op_kind kind;
    fv_shape x, codes;
    double in[8], w[8], out[8], dy[8], dx[8];
} example;

static const example examples[] = {
    {FV_OP_UPSAMPLE,
     S(2, 1, 1, 1),
     S(0, 0, 0, 0),
     {3, 4},
     {0},
     {3, 3, 3, 3, 4, 4, 4, 4},
     {1, 2, 3, 4, 5, 6, 7, 8},
     {10, 26}},
    {FV_OP_UPSAMPLE,
     S(1, 1, 2, 1),
     S(0, 0, 0, 0),
     {3, 4},
     {0},
     {3, 3, 4, 4, 3, 3, 4, 4},
     {1, 2, 3, 4, 5, 6, 7, 8},
     {14, 22}},
    {FV_OP_DEPTH_TO_SPACE,
     S(1, 1, 2, 4),
     S(0, 0, 0, 0),
     {0, 1, 2, 3, 4, 5, 6, 7},
     {0},
     {0, 1, 4, 5, 2, 3, 6, 7},
     {1, 2, 3, 4, 5, 6, 7, 8},
     {1, 2, 5, 6, 3, 4, 7, 8}},
    /* clipped numbers take a gradient whose step leads back */
    {FV_OP_CLAMP,
     S(1, 1, 2, 4),
     S(0, 0, 0, 0),
     {-0.5, -0.5, 0, 0.5, 1, 1.5, 1.5, 0},
     {0},
     {0, 0, 0, 0.5, 1, 1, 1, 0},
     {1, -1, 1, 2, -3, 1, -1, -1},
     {0, -1, 1, 2, -3, 1, 0, -1}},
    /* the first of equal codes, and of two as far away */
    {FV_OP_QUANTISE,
     S(1, 2, 2, 1),
     S(1, 1, 4, 1),
     {0, 0.9, -3, 0.5},
     {1, -1, 1, 0},
     {0, 1, -1, 1},
     {5, 6, 7, 8},
     {5, 6, 7, 8}},
};

static void check_values(run *r, const fv_tensor *t, const double *expected, const char *what)
{
    double *found = get(r, t);
    for (size_t i = 0; i < fv_count(t->shape); i++)
        if (found[i] != expected[i])
            fail_msg("%s on %s: %s[%zu] is %g, expected %g", fv_ops[r->op.kind].name, r->be->name,
                     what, i, found[i], expected[i]);
    free(found);
}

static void by_example(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "ref", "cpu", "emulated:fp32", "emulated:fp16"};
    for (int i = 0; i < COUNT(names) * COUNT(examples); i++) {
        const example *e = &examples[i % COUNT(examples)];
        test_case c = {.kind = e->kind, .x = e->x, .w = e->codes, .side = 2};
        fv_backend *be = open_any(names[i / COUNT(examples)]);
        run r;
        open_run(&r, be, &c, false);
        memcpy(r.hx, e->in, fv_count(c.x) * sizeof *r.hx);
        memcpy(r.hdy, e->dy, fv_count(r.y.shape) * sizeof *r.hdy);
        if (r.hw) put(&r, &r.w, e->w);
        forward(&r);
        check_values(&r, &r.y, e->out, "y");
        backward(&r, true, false, false);
        check_values(&r, &r.dx, e->dx, "dx");
        close_run(&r);
        fv_backend_close(be);
    }
}

/* --- shapes that do not fit --- */

static void wrong_shapes(void **state)
{
    (void)state;
    fv_tensor x = {.name = "x", .shape = {1, 4, 4, 3}}, w = {.name = "w", .shape = {2, 3, 3, 4}};
    fv_tensor b = {.name = "b", .shape = {1, 1, 1, 5}};
    fv_shape y;
    fv_op conv = {
        .kind = FV_OP_CONV2D, .name = "stem", .x = &x, .w = &w, .attr.conv = {3, 1, 1, 1, 1, 1}};
    assert_int_equal(fv_op_shape(&conv, &y), FV_ERR_SHAPE);
    assert_non_null(strstr(fv_error(), "stem"));
    fv_op no_weights = {.kind = FV_OP_LINEAR, .name = "fc1", .x = &x};
    assert_int_equal(fv_op_shape(&no_weights, &y), FV_ERR_SHAPE);
    fv_op affine = {.kind = FV_OP_AFFINE, .name = "scale", .x = &x, .w = &b};
    assert_int_equal(fv_op_shape(&affine, &y), FV_ERR_SHAPE);
    assert_non_null(strstr(fv_error(), "scale: w is {1,1,1,5}"));
    fv_tensor c3 = {.name = "c3", .shape = {1, 1, 1, 3}};
    fv_op groups = {.kind = FV_OP_GROUPNORM, .name = "norm", .x = &x, .w = &c3, .b = &c3};
    assert_int_equal(fv_op_shape(&groups, &y), FV_ERR_SHAPE); /* of none */
    groups.attr.group.groups = 2;
    assert_int_equal(fv_op_shape(&groups, &y), FV_ERR_SHAPE);
    assert_non_null(strstr(fv_error(), "norm: 3 channels cannot be split into 2 groups"));
    groups.attr.group.groups = 3;
    must(fv_op_shape(&groups, &y));
    groups.act = FV_ACT_TANH; /* its slope is read from y, which is not kept */
    assert_int_equal(fv_op_shape(&groups, &y), FV_ERR_SHAPE);
    groups.act = FV_ACT_SILU;
    groups.b = &b;
    assert_int_equal(fv_op_shape(&groups, &y), FV_ERR_SHAPE);
    fv_op likeness = {.kind = FV_OP_COSINE, .name = "likeness", .x = &x, .w = &c3};
    assert_int_equal(fv_op_shape(&likeness, &y), FV_ERR_SHAPE);
    assert_non_null(strstr(fv_error(), "likeness: w is {1,1,1,3}, expected {1,4,4,3}"));
    fv_op heads = {.kind = FV_OP_ATTENTION, .name = "att", .x = &x, .attr.attention.heads = 2};
    assert_int_equal(fv_op_shape(&heads, &y), FV_ERR_SHAPE);
    fv_op none = {.kind = FV_OP_ADD, .name = "sum", .x = &x};
    assert_int_equal(fv_op_shape(&none, &y), FV_ERR_SHAPE);
    fv_op nothing = {.kind = FV_OP_ADD, .name = "sum"};
    assert_int_equal(fv_op_shape(&nothing, &y), FV_ERR_SHAPE);
}

/* --- Adam --- */

/* bounded: besides the numbers', every third number has bounds of its own */
static void adam_on(const char *name, double tolerance, bool bounded)
{
    enum { N = 20000 };
    fv_backend *be = open_any(name);
    run r = {.be = be};
    fv_tensor p, g, m, v, low, high, numbers, stats;
    fv_shape s = {1, 1, 1, N};
    make(&r, &p, "p", s, FV_REAL);
    make(&r, &g, "g", s, FV_REAL);
    make(&r, &m, "m", s, FV_REAL);
    make(&r, &v, "v", s, FV_REAL);
    make(&r, &low, "low", s, FV_REAL);
    make(&r, &high, "high", s, FV_REAL);
    make(&r, &numbers, "numbers", (fv_shape){1, 1, 1, FV_ADAM_COLUMNS}, FV_REAL);
    make(&r, &stats, "stats", (fv_shape){1, 1, 1, FV_ADAM_STATS}, FV_REAL);
    double *hp = randoms(s, 1, 1), *hg = randoms(s, 2, 1e-3), *hm = calloc(N, 8),
           *hv = calloc(N, 8);
    double *hlow = calloc(N, 8), *hhigh = calloc(N, 8);
    for (int i = 0; i < N; i++) {
        hlow[i] = i % 3 == 0 ? -0.25 : -INFINITY;
        hhigh[i] = i % 3 == 0 ? 0.5 : INFINITY;
    }
    put(&r, &low, hlow);
    put(&r, &high, hhigh);
    const fv_tensor *least = bounded ? &low : NULL, *most = bounded ? &high : NULL;
    put(&r, &p, hp);
    for (int t = 1; t <= 3; t++) {
        double k[FV_ADAM_COLUMNS] = {0.05, 0.9, 0.99, 1e-8, 1 - pow(0.9, t), 1 - pow(0.99, t),
                                     -0.9, 0.9};
        put(&r, &numbers, k);
        put(&r, &g, hg);
        be->adam(be, &p, &g, &m, &v, least, most, &numbers, &stats);
        double norm2 = 0, *stat = get(&r, &stats);
        for (int i = 0; i < N; i++) {
            norm2 += hg[i] * hg[i];
            hm[i] = 0.9 * hm[i] + 0.1 * hg[i];
            hv[i] = 0.99 * hv[i] + 0.01 * hg[i] * hg[i];
            hp[i] -= 0.05 * (hm[i] / k[4]) / (sqrt(hv[i] / k[5]) + 1e-8);
            hp[i] = fmin(fmax(hp[i], -0.9), 0.9);
            if (bounded) hp[i] = fmin(fmax(hp[i], hlow[i]), hhigh[i]);
            hg[i] = 0.5 * hg[i] + 1e-4;
        }
        assert_true(fabs(stat[FV_ADAM_STAT_NORM2] / norm2 - 1) < tolerance);
        assert_true(stat[FV_ADAM_STAT_BAD] == 0);
        free(stat);
    }
    double *found = get(&r, &p);
    assert_true(relative_error(found, hp, N) < tolerance);

    hg[77] = NAN;
    hg[N - 1] = INFINITY;
    put(&r, &g, hg);
    be->adam(be, &p, &g, &m, &v, least, most, &numbers, &stats);
    double *stat = get(&r, &stats), *after = get(&r, &p);
    assert_true(stat[FV_ADAM_STAT_BAD] == 2);
    assert_memory_equal(found, after, N * sizeof *found);
    free(stat);
    free(after);
    free(found);
    free(hp);
    free(hg);
    free(hm);
    free(hv);
    free(hlow);
    free(hhigh);
    fv_tensor *all[] = {&p, &g, &m, &v, &low, &high, &numbers, &stats};
    for (int i = 0; i < COUNT(all); i++) be->free(be, all[i]->data);
    fv_backend_close(be);
}

static void adam(void **state)
{
    (void)state;
    for (int bounded = 0; bounded < 2; bounded++) {
        adam_on("ref64", 1e-12, bounded);
        adam_on("ref", 1e-5, bounded); /* float: a few roundings a step */
        adam_on("cpu", 1e-5, bounded);
        /* params, gradient and moments are float in fp16 too */
        adam_on("emulated", 1e-5, bounded);
    }
}

/* --- random numbers, messages, names --- */

static void philox(void **state)
{
    (void)state;
    /* the published answer for counter 0, key 0 */
    fv_random4 r = fv_philox(0, 0, 0, 0, 0);
    static const uint32_t known[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(r.v, known, sizeof known);
    double sum = 0, squares = 0;
    enum { N = 100000 };
    for (uint32_t i = 0; i < N; i++) {
        r = fv_philox(5, i, 1, 2, 3);
        float u = fv_uniform(r.v[2]), x = fv_normal(r.v[0], r.v[1]);
        assert_true(u >= 0 && u < 1 && fabsf(x) < 3.5f);
        sum += (double)x;
        squares += (double)x * (double)x;
    }
    /* standard errors: 0.0032 of the mean, about 0.004 of the variance */
    assert_true(fabs(sum / N) < 0.013 && fabs(squares / N - 1) < 0.016);
}

static void messages(void **state)
{
    (void)state;
    char longest[3000];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(fv_fail(FV_ERR_IO, "%s", longest), FV_ERR_IO);
    assert_int_equal(strlen(fv_error()), 1023);
    fv_fail(FV_ERR_IO, "a\nb\x1b[2Jc");
    assert_string_equal(fv_error(), "a?b?[2Jc");
    fv_fail_context(FV_ERR_IO, "file %d", 3);
    assert_string_equal(fv_error(), "file 3: a?b?[2Jc");
    assert_string_equal(fv_status_name(FV_ERR_SHAPE), "shape");
}

static void backend_names(void **state)
{
    (void)state;
    fv_backend *be = NULL;
    assert_int_equal(fv_backend_open(&be, "abacus", 0), FV_ERR_ARGUMENT);
    assert_null(be);
    assert_non_null(strstr(fv_error(), "abacus"));
}

/* The same on the first GPU. */
static void cuda_gpu(void **state)
{
    (void)state;
    const struct {
        const char *spec;
        double tolerance;
    } all[] = {{"cuda:fp32", float_tolerance},     {"cuda:fp32:blas", float_tolerance},
               {"cuda:fp32:own", float_tolerance}, {"cuda:tf32", fp16_tolerance},
               {"cuda:fp16", fp16_tolerance},      {"cuda:fp16:blas", fp16_tolerance},
               {"cuda:fp16:own", fp16_tolerance},  {"cuda:bf16", bf16_tolerance},
               {"cuda:bf16:blas", bf16_tolerance}};
    for (int i = 0; i < COUNT(all); i++) {
        fv_backend *be;
        must(fv_backend_open(&be, all[i].spec, 0));
        printf("%s, asked for %s\n", be->name, all[i].spec);
        compare_all(be, all[i].tolerance);
        fv_backend_close(be);
        adam_on(all[i].spec, 1e-5, true);
    }
}

static int on_gpu(void)
{
    if (!there_is_a_gpu()) return SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuda_gpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* --- the bytes of results, to be compared between compilers: see tests/README.md --- */

static void print_bytes(run *r, const fv_tensor *t, bool frozen, bool add)
{
    if (!t->data) return;
    const unsigned char *at = t->data;
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < fv_count(t->shape) * r->be->real_bytes; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    printf("%s %s frozen %d add %d %s %016llx\n", r->be->name, describe(r->c), frozen, add, t->name,
           (unsigned long long)hash);
}

static void print_case(fv_backend *be, const test_case *c, bool frozen, bool add)
{
    run r;
    open_run_for(&r, be, c, frozen, FV_FORMAT_REAL, add);
    forward(&r);
    print_bytes(&r, &r.y, frozen, add);
    print_bytes(&r, &r.aux, frozen, add);
    print_bytes(&r, &r.mean_y, frozen, add);
    backward(&r, true, true, add);
    print_bytes(&r, &r.dx, frozen, add);
    print_bytes(&r, &r.dx2, frozen, add);
    close_run(&r);
}

static void print_adam(fv_backend *be)
{
    enum { N = 1003 };
    static const test_case c = {.kind = FV_OP_ACT, .x = S(1, 1, 1, N)};
    run r = {.be = be, .c = &c};
    fv_tensor p, g, m, v, numbers, stats;
    fv_tensor *all[] = {&p, &g, &m, &v};
    static const char *const names[] = {"p", "g", "m", "v"};
    for (int i = 0; i < COUNT(all); i++) make(&r, all[i], names[i], c.x, FV_REAL);
    make(&r, &numbers, "numbers", (fv_shape){1, 1, 1, FV_ADAM_COLUMNS}, FV_REAL);
    make(&r, &stats, "stats", (fv_shape){1, 1, 1, FV_ADAM_STATS}, FV_REAL);
    const double k[FV_ADAM_COLUMNS] = {0.05, 0.9, 0.99, 1e-8, 0.19, 0.0199, -0.9, 0.9};
    put(&r, &numbers, k);
    for (int i = 0; i < COUNT(all); i++) {
        double *values = randoms(c.x, i, 1e-2);
        for (int n = 0; n < N; n++) values[n] = i == 3 ? fabs(values[n]) : values[n];
        put(&r, all[i], values);
        free(values);
    }
    be->adam(be, &p, &g, &m, &v, NULL, NULL, &numbers, &stats);
    for (int i = 0; i < COUNT(all); i++) print_bytes(&r, all[i], false, false);
    print_bytes(&r, &stats, false, false);
    for (int i = 0; i < COUNT(all); i++) be->free(be, all[i]->data);
    be->free(be, numbers.data);
    be->free(be, stats.data);
}

static int all_bytes(void)
{
    static const char *const names[] = {"ref", "ref64", "cpu-v2", "cpu-v3", "cpu-v4", "cpu-base"};
    for (int i = 0; i < COUNT(names); i++) {
        fv_backend *be;
        if (fv_backend_open(&be, names[i], 2) < 0) continue;
        for (int k = 0; k < 4 * (COUNT(cases) + COUNT(large_cases)); k++) {
            int at = k / 4;
            const test_case *c = at < COUNT(cases) ? &cases[at] : &large_cases[at - COUNT(cases)];
            bool large_ref = at >= COUNT(cases) && strncmp(names[i], "ref", 3) == 0;
            if (takes(be, c) && !large_ref) print_case(be, c, k & 1, k & 2);
        }
        print_adam(be);
        fv_backend_close(be);
    }
    return 0;
}

int main(int count, char **args)
{
    if (count > 1 && strcmp(args[1], "gpu") == 0) return on_gpu();
    if (count > 1 && strcmp(args[1], "bytes") == 0) return all_bytes();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),
        cmocka_unit_test(gradients),
        cmocka_unit_test(ref_backend),
        cmocka_unit_test(cpu_backend),
        cmocka_unit_test(cuda_emulated),
        cmocka_unit_test(embedding),
        cmocka_unit_test(by_example),
        cmocka_unit_test(sums_of_large_groups_are_taken_by_pieces),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(wrong_shapes),
        cmocka_unit_test(adam),
        cmocka_unit_test(philox),
        cmocka_unit_test(messages),
        cmocka_unit_test(backend_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
