/* THE op table: what every backend must be able to compute.
 *
 * An op reads inputs x and x2 (which may receive gradients) and constants w and b (which never
 * do: the model is frozen, only pixels learn), and writes y. Its backward reads dy and whatever
 * the op's row says it keeps, and writes dx and dx2.
 *
 * Notation: y[n,h,w,c]; "." is a product over c; act is applied last. Shapes as {n,h,w,c}.
 *
 *   conv2d      y = act(conv(x, w) + b) + x2  w {out,k,k,in}, b {1,1,1,out} or NULL
 *   dwconv2d    y = act(dwconv(v, w) + b)     w {1,k,k,c},    b {1,1,1,c}   or NULL; v = before(x)
 *   linear      y = act(x . w^T + b) + x2     w {1,1,out,in}, b {1,1,1,out} or NULL; rows of x
 *   act         y = act(x)
 *   mul_channel y = x * x2                    x2 {n,1,1,c}: the squeeze-excite gate
 *   excite      y = v * sigmoid(w2 . act(w . mean_hw(v) + b) + b2), v = before(x): squeeze-excite;
 *                                             w {1,1,s,c}, b {1,1,1,s}, w2 {1,1,c,s}, b2 {1,1,1,c}
 *   add         y = x + x2                    same shapes
 *   affine      y = x * w + b                 w, b {1,1,1,c}, or both {1,h,w,c}; b may be NULL
 *   mean_hw     y {n,1,1,c} = mean over h,w
 *   max_hw      y {n,1,1,c} = max over h,w    gradient goes to the first maximum
 *   mix_rows    y {n,1,r,c} = w . x           w {1,1,r,h*w}: one constant matrix over positions
 *   l2norm      y = x / max(|x|, eps)         per row
 *   layernorm   y = (x - mean) / sqrt(var + eps) * w + b   per row
 *   attention   x {n,1,t,3d} = q|k|v packed   y {n,1,t,d}; scale 1/sqrt(d/heads);
 *                                             b {n,1,1,t} or NULL is added to every score
 *   embed       x {n,1,1,t} int32 ids         y {n,1,t,d} = w[id] + b[t]; w {1,1,vocab,d},
 *                                             b {1,1,t,d}; forward only
 *   separable   y {n,H,W,c} = w . x . b^T     w {1,1,H,h}, b {1,1,W,w}: resampling, DCT, blur
 *   warp        y {v,S,S,c}: y(i,j) = x(a*(j,i)+t), bilinear, mirrored borders
 *                                             w {v,1,1,6}; x.n is 1 (all views) or v
 *   perturb     y = x * gain + shift + sigma * noise     w {n,1,1,7}, b int32 {n,1,1,4}
 *   pick        y {n,h,w,k} = x[..., b[k]]    b int32 {1,1,1,k}
 *   penalty     y {n,1,1,1} = a regulariser of x (see fv_penalty)
 *
 * The rule for dy: an op is the only reader of its dy and may overwrite it while it runs
 * backward (so the derivative of a fused activation needs no extra memory).
 *
 * `before` and `excite`, and x2 of conv2d and linear (a residual, or NULL; without an activation
 * only), are what a plan joins other ops into where the backend asks for it: see fv_backend.joins,
 * fuses. An op with a residual leaves its dy as it is, so that dx2 may be dy itself. */
#ifndef FV_OP_H
#define FV_OP_H

#include "kernels/status.h"
#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fv_op_kind {
    FV_OP_CONV2D,
    FV_OP_DWCONV2D,
    FV_OP_LINEAR,
    FV_OP_ACT,
    FV_OP_MUL_CHANNEL,
    FV_OP_EXCITE,
    FV_OP_ADD,
    FV_OP_AFFINE,
    FV_OP_MEAN_HW,
    FV_OP_MAX_HW,
    FV_OP_MIX_ROWS,
    FV_OP_L2NORM,
    FV_OP_LAYERNORM,
    FV_OP_ATTENTION,
    FV_OP_EMBED,
    FV_OP_SEPARABLE,
    FV_OP_WARP,
    FV_OP_PERTURB,
    FV_OP_PICK,
    FV_OP_PENALTY,
    FV_OP_COUNT
} fv_op_kind;

typedef enum fv_act {
    FV_ACT_NONE,
    FV_ACT_RELU,
    FV_ACT_RELU6,
    FV_ACT_SILU, /* x * s(x), s = logistic */
    FV_ACT_SIGMOID,
    FV_ACT_GELU, /* x * Phi(x), the erf form */
    FV_ACT_TANH,
    FV_ACT_COUNT
} fv_act;

typedef enum fv_penalty {
    FV_PENALTY_TV,    /* mean over positions and channels of sqrt(dx^2 + dy^2 + 1e-6) - 1e-3,
                         forward differences, 0 past the last row and column */
    FV_PENALTY_RANGE, /* mean of max(x - 1, 0)^2 + max(-x, 0)^2 */
    FV_PENALTY_GREY   /* mean of (x - 1/2)^2 */
} fv_penalty;

/* perturb: columns of w and of b (b holds the random key as int32 bit patterns). */
enum { FV_PERTURB_GAIN = 0, FV_PERTURB_SHIFT = 3, FV_PERTURB_SIGMA = 6, FV_PERTURB_COLUMNS = 7 };
enum {
    FV_PERTURB_SEED_LO = 0,
    FV_PERTURB_SEED_HI,
    FV_PERTURB_STEP,
    FV_PERTURB_VIEW,
    FV_PERTURB_KEYS
};

typedef struct fv_conv_attr {
    int k, stride;
    int pad_top, pad_left;     /* zeros before; */
    int pad_bottom, pad_right; /* and after (TensorFlow SAME padding is asymmetric) */
} fv_conv_attr;

typedef struct fv_op {
    fv_op_kind kind;
    const char *name; /* for messages and listings; borrowed from the plan */
    fv_act act;       /* fused activation of conv2d, dwconv2d, linear; the function of act */
    fv_act before;    /* dwconv2d, excite: of x, as it is read */
    union {
        fv_conv_attr conv;
        int heads;          /* attention */
        int out_side;       /* warp: S */
        double eps;         /* l2norm, layernorm */
        fv_penalty penalty; /* penalty */
    } attr;

    const fv_tensor *x, *x2;  /* inputs; x2 NULL where the row above has none */
    const fv_tensor *w, *b;   /* constants */
    const fv_tensor *w2, *b2; /* of excite */
    fv_tensor *y;
    fv_tensor *aux;          /* what forward keeps for backward beyond x, x2, y; NULL: not kept */
    const fv_tensor *kept_x; /* mul_channel: if not NULL, backward cannot read x, nor forward if it
                                has no memory: it was */
    fv_act kept_act;         /* kept_act(kept_x) (see fv_backend.recomputes) */
    /* Of dwconv2d, set by a plan for a backend that fuses (model/fuse.c): the gate and the gradient
     * of the mean of a squeeze-excite, {n,1,1,c}. What came back to y is dy * dy_gate +
     * dy_mean / (h * w). Forward also writes the mean over h, w of y to mean_y, and y itself only
     * if it has memory: its reader can do with act(aux), see kept_x. */
    const fv_tensor *dy_gate, *dy_mean;
    fv_tensor *mean_y;
    bool done; /* forward is done by the op that makes x */
    /* With dwconv2d's `before`, dx may be x's own memory: each number's slope is read before its
     * gradient is written. */

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

/* Checks shapes against the table; fv_op_shape(op, &y) is fv_ops[op->kind].shape with context. */
fv_status fv_op_shape(const fv_op *op, fv_shape *y);

/* What the slope of op's activation is read from in backward: aux or y. */
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
