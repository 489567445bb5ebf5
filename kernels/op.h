/* clang-format off */
/* THE op table: what every backend must be able to compute.
 *
 * An op reads inputs x and x2 (which may receive gradients) and constants w and b (which never
 * do: the model is frozen, only pixels learn), and writes y. Its backward reads dy and whatever
 * the op's row says it keeps, and writes dx and dx2.
 *
 * Notation: y[n,h,w,c]; "." is a product over c; act is applied last. Shapes as {n,h,w,c}.
 *
 *   conv2d          y = act(conv(x, w) + b) + x2  w {out,k,k,in}, b {1,1,1,out} or NULL
 *   dwconv2d        y = act(dwconv(v, w) + b)     w {1,k,k,c},    b {1,1,1,c}   or NULL; v = before(x)
 *   linear          y = act(x . w^T + b) + x2     w {1,1,out,in}, b {1,1,1,out} or NULL; rows of x
 *   act             y = act(x)
 *   mul_channel     y = x * x2                    x2 {n,1,1,c}: the squeeze-excite gate
 *   squeeze_excite  y = v * sigmoid(w2 . act(w . mean_hw(v) + b) + b2), v = before(x): squeeze-excite;
 *                                                 w {1,1,s,c}, b {1,1,1,s}, w2 {1,1,c,s}, b2 {1,1,1,c}
 *   add             y = x + x2                    same shapes
 *   affine          y = x * w + b                 w, b {1,1,1,c}, or both {1,h,w,c}; b may be NULL
 *   mean_hw         y {n,1,1,c} = mean over h,w
 *   max_hw          y {n,1,1,c} = max over h,w    gradient goes to the first maximum
 *   mix_rows        y {n,1,r,c} = w . x           w {1,1,r,h*w}: one constant matrix over positions
 *   l2norm          y = x / max(|x|, eps)         per row
 *   layernorm       y = (x - mean) / sqrt(var + eps) * w + b   per row
 *   groupnorm       y = act((x - mean) / sqrt(var + eps) * w + b)   per picture and group of channels:
 *                                                 mean and var over h, w and the c / groups channels
 *                                                 that lie side by side; w, b {1,1,1,c}
 *   attention       x {n,h,w,3d} = q|k|v packed   y {n,h,w,d}; every position is a token, t = h * w;
 *                                                 scale 1/sqrt(d/heads);
 *                                                 b {n,1,1,t} or NULL is added to every score; causal:
 *                                                 a token sees those up to itself
 *   embed           x {n,1,1,t} int32 ids         y {n,1,t,d} = w[id] + b[t]; w {1,1,vocab,d},
 *                                                 b {1,1,t,d}; forward only
 *   separable       y {n,H,W,c} = w . x . b^T     w {1,1,H,h}, b {1,1,W,w}: resampling, DCT, blur
 *   warp            y {v,S,S,c}: y(i,j) = x(a*(j,i)+t), bilinear, mirrored borders
 *                                                 w {v,1,1,6}; x.n is 1 (all views) or v
 *   colour_jitter   y = x * gain + shift + sigma * noise     w {n,1,1,7}, b int32 {n,1,1,4}
 *   gather_channels y {n,h,w,k} = x[..., b[k]]    b int32 {1,1,1,k}
 *   upsample        y {n,2h,2w,c}: y(i,j) = x(i / 2, j / 2), whole quotients: the nearest
 *   depth_to_space  y {n,rh,rw,c}: y(r i + u, r j + v) = x(i, j)[u r c + v c ..]: a position's r x r blocks
 *                                                 of c channels side by side in the picture
 *   avgpool         y {n,h/k,w/k,c} = mean over k x k positions, whole quotients: what is left over
 *                                                 on the right and below counts nowhere
 *   clamp           y = min(max(x, 0), 1)         dx = dy, but 0 where a step against it would lead
 *                                                 further away from [0,1]: dy (x - y) < 0
 *   quantise        y = the row of w next to each row of x, the first of several; w {1,1,k,c}; dx = dy
 *   penalty         y {n,1,1,1} = a regulariser of x (see FV_PENALTIES)
 *   gram            y {n,1,c,c} = sum over h,w of x[.,i] x[.,j]: which channels fire together
 *   cosine          y {n,1,1,1} = <x, w> / max(|x|, eps) over all numbers of a picture; w {1,h,w,c}:
 *                                                 of unit length, it is the cosine with w
 *
 * The rule for dy: an op is the only reader of its dy and may overwrite it while it runs
 * backward (so the derivative of a fused activation needs no extra memory).
 *
 * `before` and `squeeze_excite`, and x2 of conv2d and linear (a residual, or NULL; without an
 * activation only), are what a plan fuses other ops into where the backend asks for it: see
 * fv_backend.fuses_ops, fuses_dwconv. An op with a residual leaves its dy as it is, so that dx2 may
 * be dy itself. */
/* clang-format on */
#ifndef FV_OP_H
#define FV_OP_H

#include "kernels/status.h"
#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every kind of op, once. The tables (op.c, the backends) and switches, which have no default, are
 * made from this list or checked against it: a new row does not compile until all of them handle
 * it. ROW(KIND, name, whether it has a backward, shape rule, what backward keeps, shape of aux) The
 * last three are functions of op.c, see fv_op_info. */
#define FV_OPS(ROW)                                                                                \
    ROW(CONV2D, conv2d, BACKWARD, conv2d_shape, act_keeps, aux_as_y)                               \
    ROW(DWCONV2D, dwconv2d, BACKWARD, dwconv2d_shape, dwconv2d_keeps, aux_as_y)                    \
    ROW(LINEAR, linear, BACKWARD, linear_shape, act_keeps, aux_as_y)                               \
    ROW(ACT, act, BACKWARD, same_shape, act_op_keeps, NULL)                                        \
    ROW(MUL_CHANNEL, mul_channel, BACKWARD, mul_channel_shape, keeps_x_x2, NULL)                   \
    ROW(SQUEEZE_EXCITE, squeeze_excite, BACKWARD, squeeze_excite_shape, keeps_x_aux,               \
        squeeze_excite_aux)                                                                        \
    ROW(ADD, add, BACKWARD, add_shape, keeps_nothing, NULL)                                        \
    ROW(AFFINE, affine, BACKWARD, affine_shape, keeps_nothing, NULL)                               \
    ROW(MEAN_HW, mean_hw, BACKWARD, reduce_hw_shape, keeps_nothing, NULL)                          \
    ROW(MAX_HW, max_hw, BACKWARD, reduce_hw_shape, keeps_aux, aux_as_y)                            \
    ROW(MIX_ROWS, mix_rows, BACKWARD, mix_rows_shape, keeps_nothing, NULL)                         \
    ROW(L2NORM, l2norm, BACKWARD, same_shape, keeps_y_aux, one_a_row)                              \
    ROW(LAYERNORM, layernorm, BACKWARD, layernorm_shape, keeps_x_aux, two_a_row)                   \
    ROW(GROUPNORM, groupnorm, BACKWARD, groupnorm_shape, keeps_x_aux, two_a_group)                 \
    ROW(ATTENTION, attention, BACKWARD, attention_shape, keeps_x_aux, attention_aux)               \
    ROW(EMBED, embed, FORWARD_ONLY, embed_shape, keeps_nothing, NULL)                              \
    ROW(SEPARABLE, separable, BACKWARD, separable_shape, keeps_nothing, NULL)                      \
    ROW(WARP, warp, BACKWARD, warp_shape, keeps_nothing, NULL)                                     \
    ROW(COLOUR_JITTER, colour_jitter, BACKWARD, colour_jitter_shape, keeps_nothing, NULL)          \
    ROW(GATHER_CHANNELS, gather_channels, BACKWARD, gather_channels_shape, keeps_nothing, NULL)    \
    ROW(UPSAMPLE, upsample, BACKWARD, upsample_shape, keeps_nothing, NULL)                         \
    ROW(DEPTH_TO_SPACE, depth_to_space, BACKWARD, depth_to_space_shape, keeps_nothing, NULL)       \
    ROW(AVGPOOL, avgpool, BACKWARD, avgpool_shape, keeps_nothing, NULL)                            \
    ROW(CLAMP, clamp, BACKWARD, same_shape, keeps_x, NULL)                                         \
    ROW(QUANTISE, quantise, BACKWARD, quantise_shape, keeps_nothing, NULL)                         \
    ROW(PENALTY, penalty, BACKWARD, penalty_shape, keeps_x, NULL)                                  \
    ROW(GRAM, gram, BACKWARD, gram_shape, keeps_x, NULL)                                           \
    ROW(COSINE, cosine, BACKWARD, cosine_shape, keeps_x_aux, two_a_row)

typedef enum fv_op_kind {
#define FV_OP_KIND(KIND, ...) FV_OP_##KIND,
    FV_OPS(FV_OP_KIND)
#undef FV_OP_KIND
        FV_OP_COUNT
} fv_op_kind;

/* Every activation, once. What its derivative is read from in backward, and whether the input alone
 * would do: then a reader can apply it to what it reads (`before`). A switch over fv_act names all
 * of them and has no default, so that the compiler finds the one that a new row is missing in.
 *   ROW(ACT, name, kept for the derivative: 0, FV_KEEP_Y or FV_KEEP_AUX (the input), by input) */
#define FV_ACTS(ROW)                                                                               \
    ROW(NONE, none, 0, true)                                                                       \
    ROW(RELU, relu, FV_KEEP_Y, true)                                                               \
    ROW(RELU6, relu6, FV_KEEP_Y, true)                                                             \
    ROW(SILU, silu, FV_KEEP_AUX, true) /* x * s(x), s = logistic */                                \
    ROW(SIGMOID, sigmoid, FV_KEEP_Y, false)                                                        \
    ROW(GELU, gelu, FV_KEEP_AUX, true)             /* x * Phi(x), the erf form */                  \
    ROW(QUICK_GELU, quick_gelu, FV_KEEP_AUX, true) /* x * s(1.702 x) */                            \
    ROW(TANH, tanh, FV_KEEP_Y, false)

typedef enum fv_act {
#define FV_ACT_KIND(ACT, ...) FV_ACT_##ACT,
    FV_ACTS(FV_ACT_KIND)
#undef FV_ACT_KIND
        FV_ACT_COUNT
} fv_act;

/* Every penalty, once: the mean over positions and channels of `value`, where x is a number, right
 * and down by how much those in the next column and in the next row are more, 0 past the last.
 * slope: d value / d x. One that reads differences also pulls both numbers of each by difference /
 * root. Backends compute with these expressions: NUM(c) is a constant of their numbers, ROOT(v) the
 * square root. So a row is all that a new penalty needs.
 *   ROW(KIND, name, whether it reads differences, value, slope, root) */
#define FV_PENALTIES(ROW)                                                                          \
    ROW(TV, tv, true, FV_TV_ROOT - NUM(1e-3), NUM(0), FV_TV_ROOT)                                  \
    ROW(RANGE, range, false, FV_OUTSIDE((x - 1) * (x - 1), (x * x)),                               \
        FV_OUTSIDE(2 * (x - 1), 2 * x), NUM(1))                                                    \
    ROW(GREY, grey, false, (x - NUM(0.5)) * (x - NUM(0.5)), 2 * (x - NUM(0.5)), NUM(1))            \
    ROW(SQUARE, square, false, (x * x), 2 * x, NUM(1)) /* how strongly a layer answers */

#define FV_TV_ROOT                   ROOT((right * right) + (down * down) + NUM(1e-6))
#define FV_OUTSIDE(above_1, below_0) (x > 1 ? (above_1) : x < 0 ? (below_0) : NUM(0))

typedef enum fv_penalty {
#define FV_PENALTY_KIND(KIND, ...) FV_PENALTY_##KIND,
    FV_PENALTIES(FV_PENALTY_KIND)
#undef FV_PENALTY_KIND
        FV_PENALTY_COUNT
} fv_penalty;

/* Rows as cases of a switch over the kinds. */
#define FV_PENALTY_VALUE(KIND, name, differences, value, slope, root)                              \
    case FV_PENALTY_##KIND:                                                                        \
        return value;
#define FV_PENALTY_SLOPE(KIND, name, differences, value, slope, root)                              \
    case FV_PENALTY_##KIND:                                                                        \
        return slope;
#define FV_PENALTY_ROOT(KIND, name, differences, value, slope, root)                               \
    case FV_PENALTY_##KIND:                                                                        \
        return root;

typedef struct fv_penalty_info {
    const char *name;
    bool differences;
} fv_penalty_info;
extern const fv_penalty_info fv_penalties[FV_PENALTY_COUNT];

/* colour_jitter: columns of w and of b (b holds the random key as int32 bit patterns). */
enum { FV_JITTER_GAIN = 0, FV_JITTER_SHIFT = 3, FV_JITTER_SIGMA = 6, FV_JITTER_COLUMNS = 7 };
enum { FV_JITTER_SEED_LO = 0, FV_JITTER_SEED_HI, FV_JITTER_STEP, FV_JITTER_VIEW, FV_JITTER_KEYS };

typedef struct fv_conv_attr {
    int k, stride;
    int pad_top, pad_left;     /* zeros before; */
    int pad_bottom, pad_right; /* and after (TensorFlow SAME padding is asymmetric) */
} fv_conv_attr;

typedef struct fv_attention_attr {
    int heads;
    bool causal;
} fv_attention_attr;

typedef struct fv_group_attr {
    int groups; /* of c / groups channels each */
    double eps;
} fv_group_attr;

/* Every operand of an op, once: its field in fv_op, and which tensor of a plan's node it is: the
 * value, its gradient, what forward keeps beside it (aux), or a constant with memory of its own.
 * Whoever walks over operands (lifetimes, readers, micro-batches, the check of a plan) does it by
 * this list. */
#define FV_OPERANDS(ROW)                                                                           \
    ROW(X, x, VALUE)                                                                               \
    ROW(X2, x2, VALUE)                                                                             \
    ROW(W, w, CONSTANT)                                                                            \
    ROW(B, b, CONSTANT)                                                                            \
    ROW(W2, w2, CONSTANT)                                                                          \
    ROW(B2, b2, CONSTANT)                                                                          \
    ROW(Y, y, VALUE)                                                                               \
    ROW(MEAN_Y, fused.mean_y, VALUE)                                                               \
    ROW(AUX, aux, AUX)                                                                             \
    ROW(KEPT_X, fused.kept_x, AUX)                                                                 \
    ROW(DY, dy, GRADIENT)                                                                          \
    ROW(DY_MEAN, fused.dy_mean, GRADIENT)                                                          \
    ROW(DY_GATE, fused.dy_gate, VALUE)                                                             \
    ROW(DX, dx, GRADIENT)                                                                          \
    ROW(DX2, dx2, GRADIENT)

typedef enum fv_operand {
#define FV_OPERAND_KIND(NAME, field, member) FV_OPERAND_##NAME,
    FV_OPERANDS(FV_OPERAND_KIND)
#undef FV_OPERAND_KIND
        FV_OPERAND_COUNT
} fv_operand;

typedef enum fv_member { FV_VALUE, FV_GRADIENT, FV_AUX, FV_CONSTANT } fv_member;

/* What a plan gives an op when it moves work from one op to another (model/plan/fuse_dwconv.c); all
 * zero where it has not. */
typedef struct fv_fusion {
    /* mul_channel: if not NULL, backward cannot read x, nor forward if it has no memory: it was
     * kept_act(kept_x) (see fv_backend.recomputes). */
    const fv_tensor *kept_x;
    fv_act kept_act;
    /* dwconv2d: the gate and the gradient of the mean of a squeeze-excite, {n,1,1,c}. What came
     * back to y is dy * dy_gate + dy_mean / (h * w). Forward also writes the mean over h, w of y to
     * mean_y, and y itself only if it has memory: its reader can do with act(aux), see kept_x. */
    const fv_tensor *dy_gate, *dy_mean;
    fv_tensor *mean_y;
    bool done; /* mean_hw: forward is done by the op that makes x */
} fv_fusion;

typedef struct fv_op {
    fv_op_kind kind;
    const char *name; /* for messages and listings; borrowed from the plan */
    fv_act act;       /* fused activation of conv2d, dwconv2d, linear, groupnorm (which computes its
                         input again in backward), squeeze_excite's hidden layer; the function of act */
    fv_act before;    /* dwconv2d, squeeze_excite: of x, as it is read. With it dwconv2d's dx may be
                         x's own memory: each number's slope is read before its gradient is written */
    union {
        fv_conv_attr conv;
        fv_attention_attr attention;
        int pool;            /* avgpool: k */
        int block;           /* depth_to_space: r */
        int out_side;        /* warp: S */
        double eps;          /* l2norm, layernorm, cosine */
        fv_group_attr group; /* groupnorm */
        fv_penalty penalty;  /* penalty */
    } attr;

    const fv_tensor *x, *x2;  /* inputs; x2 NULL where the row above has none */
    const fv_tensor *w, *b;   /* constants */
    const fv_tensor *w2, *b2; /* of squeeze_excite */
    fv_tensor *y;
    fv_tensor *aux; /* what forward keeps for backward beyond x, x2, y; NULL: not kept */
    fv_fusion fused;

    fv_tensor *dy;        /* NULL in a forward-only plan */
    fv_tensor *dx, *dx2;  /* NULL: nobody needs it */
    bool add_dx, add_dx2; /* set by the planner: += instead of = */

    size_t scratch_bytes; /* set by the backend's prepare */
    void *scratch;        /* shared by all ops of a plan; free to use inside one call */
    void *state;          /* the backend's own: packed weights, descriptors */
} fv_op;

/* What backward reads. */
enum { FV_KEEP_X = 1, FV_KEEP_X2 = 2, FV_KEEP_Y = 4, FV_KEEP_AUX = 8 };

typedef struct fv_op_info {
    const char *name;
    bool differentiable;
    /* Checks the operands of `op` and gives the shape of y. The message names the op. */
    fv_status (*shape)(const fv_op *op, fv_shape *y);
    /* FV_KEEP_* mask for backward. */
    unsigned (*keeps)(const fv_op *op);
    /* Shape of aux (only asked when keeps() has FV_KEEP_AUX). */
    fv_shape (*aux)(const fv_op *op, fv_shape y);
} fv_op_info;

extern const fv_op_info fv_ops[FV_OP_COUNT];

/* The tensor that is this operand of op; NULL: it has none. */
fv_tensor *fv_op_operand(const fv_op *op, fv_operand which);
void fv_op_set_operand(fv_op *op, fv_operand which, fv_tensor *t);
/* When an operand that is there has to be in memory: mask of these. */
enum { FV_USED_FORWARD = 1, FV_USED_BACKWARD = 2 };
unsigned fv_op_uses(const fv_op *op, fv_operand which);
/* Whether forward reads this operand, by the op's own formula. */
bool fv_op_reads(const fv_op *op, fv_operand which);
/* Whether forward writes aux in any case; other kinds write it only if there is a backward. */
bool fv_op_aux_in_forward(fv_op_kind kind);
const char *fv_operand_name(fv_operand which);
fv_member fv_operand_member(fv_operand which);

/* Checks shapes against the table; fv_op_shape(op, &y) is fv_ops[op->kind].shape with context. */
fv_status fv_op_shape(const fv_op *op, fv_shape *y);

/* What the slope of op's activation is read from in backward: aux or y. Of kinds whose aux is not
 * fv_op_aux_in_forward: in the others it is something else. */
static inline const fv_tensor *fv_slope_from(const fv_op *op)
{
    return fv_ops[op->kind].keeps(op) & FV_KEEP_AUX ? op->aux : op->y;
}

const char *fv_act_name(fv_act act);
/* Whether activation and derivative are functions of the input that need nothing else kept. */
bool fv_act_by_input(fv_act act);

/* Multiply-adds of one forward, for listings and benchmarks. */
double fv_op_macs(const fv_op *op);

#ifdef __cplusplus
}
#endif
#endif
