/* The op table: shape rules and what backward keeps. See op.h for the formulas.
 *
 * One row an op kind, in the order of fv_op_kind. A shape rule checks every operand, so that
 * kernels need no checks of their own. */
#include "kernels/op.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

static bool positive(fv_shape s)
{
    return s.n > 0 && s.h > 0 && s.w > 0 && s.c > 0;
}

static fv_status expect(const fv_op *op, const char *operand, const fv_tensor *t, fv_shape want)
{
    if (!t) return fv_fail(FV_ERR_SHAPE, "%s: operand %s is missing", op->name, operand);
    if (fv_same_shape(t->shape, want)) return FV_OK;
    return fv_fail(FV_ERR_SHAPE, "%s: %s is {%d,%d,%d,%d}, expected {%d,%d,%d,%d}", op->name,
                   operand, t->shape.n, t->shape.h, t->shape.w, t->shape.c, want.n, want.h, want.w,
                   want.c);
}

static fv_status optional(const fv_op *op, const char *operand, const fv_tensor *t, fv_shape want)
{
    return t ? expect(op, operand, t, want) : FV_OK;
}

static fv_shape vector(int c)
{
    return (fv_shape){1, 1, 1, c};
}

/* --- convolutions and linear maps --- */

static fv_status conv_output(const fv_op *op, int channels, fv_shape *y)
{
    const fv_conv_attr *a = &op->attr.conv;
    fv_shape x = op->x->shape;
    int h = x.h + a->pad_top + a->pad_bottom - a->k, w = x.w + a->pad_left + a->pad_right - a->k;
    if (a->k < 1 || a->stride < 1 || h < 0 || w < 0)
        return fv_fail(FV_ERR_SHAPE, "%s: kernel %d stride %d does not fit a %dx%d map", op->name,
                       a->k, a->stride, x.h, x.w);
    *y = (fv_shape){x.n, h / a->stride + 1, w / a->stride + 1, channels};
    return FV_OK;
}

/* Backward of an activation may read y, which a residual would change. */
static fv_status residual(const fv_op *op, fv_shape y)
{
    if (op->x2 && op->act)
        return fv_fail(FV_ERR_SHAPE, "%s: a residual and an activation", op->name);
    return optional(op, "residual", op->x2, y);
}

static fv_status conv2d_shape(const fv_op *op, fv_shape *y)
{
    int k = op->attr.conv.k, in = op->x->shape.c, out = op->w ? op->w->shape.n : 0;
    FV_TRY(expect(op, "w", op->w, (fv_shape){out, k, k, in}));
    FV_TRY(optional(op, "b", op->b, vector(out)));
    FV_TRY(conv_output(op, out, y));
    return residual(op, *y);
}

typedef struct act_info {
    const char *name;
    unsigned keeps; /* for the derivative: the output, the input, or nothing */
    bool by_input;
} act_info;

static const act_info acts[FV_ACT_COUNT] = {
#define ROW(ACT, name, keeps, by_input) [FV_ACT_##ACT] = {#name, keeps, by_input},
    FV_ACTS(ROW)
#undef ROW
};

bool fv_act_by_input(fv_act act)
{
    return acts[act].by_input;
}

static fv_status by_input(const fv_op *op, fv_act act)
{
    if (fv_act_by_input(act)) return FV_OK;
    return fv_fail(FV_ERR_SHAPE, "%s: %s cannot be fused into it", op->name, fv_act_name(act));
}

static fv_status dwconv2d_shape(const fv_op *op, fv_shape *y)
{
    int k = op->attr.conv.k, c = op->x->shape.c;
    FV_TRY(by_input(op, op->before));
    FV_TRY(expect(op, "w", op->w, (fv_shape){1, k, k, c}));
    FV_TRY(optional(op, "b", op->b, vector(c)));
    return conv_output(op, c, y);
}

static fv_status linear_shape(const fv_op *op, fv_shape *y)
{
    int out = op->w ? op->w->shape.w : 0;
    FV_TRY(expect(op, "w", op->w, (fv_shape){1, 1, out, op->x->shape.c}));
    FV_TRY(optional(op, "b", op->b, vector(out)));
    *y = op->x->shape;
    y->c = out;
    return residual(op, *y);
}

/* Backward of a fused activation reads its input (aux) or, where that is enough, its output. */
static unsigned act_keeps(const fv_op *op)
{
    return acts[op->act].keeps;
}

static fv_shape aux_as_y(const fv_op *op, fv_shape y)
{
    (void)op;
    return y;
}

static unsigned dwconv2d_keeps(const fv_op *op)
{
    return act_keeps(op) | (op->before ? FV_KEEP_X : 0u);
}

/* --- elementwise --- */

static fv_status same_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    return FV_OK;
}

static unsigned act_op_keeps(const fv_op *op)
{
    unsigned k = act_keeps(op);
    return k & FV_KEEP_AUX ? FV_KEEP_X : k; /* here the input is x itself */
}

static fv_status mul_channel_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    return expect(op, "gate", op->x2, (fv_shape){y->n, 1, 1, y->c});
}

static fv_status squeeze_excite_shape(const fv_op *op, fv_shape *y)
{
    int c = op->x->shape.c, squeezed = op->w ? op->w->shape.w : 0;
    *y = op->x->shape;
    FV_TRY(by_input(op, op->before));
    FV_TRY(by_input(op, op->act));
    FV_TRY(expect(op, "w", op->w, (fv_shape){1, 1, squeezed, c}));
    FV_TRY(expect(op, "b", op->b, vector(squeezed)));
    FV_TRY(expect(op, "w2", op->w2, (fv_shape){1, 1, c, squeezed}));
    return expect(op, "b2", op->b2, vector(c));
}

static fv_shape squeeze_excite_aux(const fv_op *op,
                                   fv_shape y) /* before the hidden activation; gate */
{
    return (fv_shape){y.n, 1, 1, op->w->shape.w + y.c};
}

static fv_status add_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    return expect(op, "x2", op->x2, *y);
}

static fv_status layernorm_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    FV_TRY(expect(op, "w", op->w, vector(y->c)));
    return expect(op, "b", op->b, vector(y->c));
}

static fv_status groupnorm_shape(const fv_op *op, fv_shape *y)
{
    int groups = op->attr.group.groups;
    *y = op->x->shape;
    if (groups < 1 || y->c % groups)
        return fv_fail(FV_ERR_SHAPE, "%s: %d channels cannot be split into %d groups", op->name,
                       y->c, groups);
    FV_TRY(by_input(op, op->act));
    FV_TRY(expect(op, "w", op->w, vector(y->c)));
    return expect(op, "b", op->b, vector(y->c));
}

/* One number a channel, or one an element of a picture. */
static fv_status affine_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    fv_shape each = {1, y->h, y->w, y->c};
    if (!op->w) return expect(op, "w", op->w, each);
    fv_shape want = fv_same_shape(op->w->shape, vector(y->c)) ? op->w->shape : each;
    FV_TRY(expect(op, "w", op->w, want));
    return optional(op, "b", op->b, want);
}

static unsigned keeps_nothing(const fv_op *op)
{
    (void)op;
    return 0;
}

static unsigned keeps_x(const fv_op *op)
{
    (void)op;
    return FV_KEEP_X;
}

static unsigned keeps_x_x2(const fv_op *op)
{
    (void)op;
    return FV_KEEP_X | FV_KEEP_X2;
}

/* --- reductions and norms --- */

static fv_status reduce_hw_shape(const fv_op *op, fv_shape *y)
{
    *y = (fv_shape){op->x->shape.n, 1, 1, op->x->shape.c};
    return FV_OK;
}

static unsigned keeps_aux(const fv_op *op)
{
    (void)op;
    return FV_KEEP_AUX;
}

static fv_status mix_rows_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int rows = op->w ? op->w->shape.w : 0;
    FV_TRY(expect(op, "w", op->w, (fv_shape){1, 1, rows, x.h * x.w}));
    *y = (fv_shape){x.n, 1, rows, x.c};
    return FV_OK;
}

static unsigned keeps_y_aux(const fv_op *op)
{
    (void)op;
    return FV_KEEP_Y | FV_KEEP_AUX;
}

static unsigned keeps_x_aux(const fv_op *op)
{
    (void)op;
    return FV_KEEP_X | FV_KEEP_AUX;
}

static fv_shape one_a_row(const fv_op *op, fv_shape y) /* l2norm: max(|x|, eps) */
{
    (void)op;
    return (fv_shape){y.n, y.h, y.w, 1};
}

static fv_shape two_a_row(const fv_op *op,
                          fv_shape y) /* layernorm: mean, 1/sqrt(var + eps); cosine */
{
    (void)op;
    return (fv_shape){y.n, y.h, y.w, 2};
}

static fv_shape two_a_group(const fv_op *op, fv_shape y) /* groupnorm: mean, 1/sqrt(var + eps) */
{
    return (fv_shape){y.n, 1, op->attr.group.groups, 2};
}

/* --- transformer --- */

static fv_status attention_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int heads = op->attr.attention.heads;
    if (heads < 1 || x.c % 3 || x.c / 3 % heads)
        return fv_fail(FV_ERR_SHAPE,
                       "%s: packed q|k|v {%d,%d,%d,%d} cannot be split into 3 x %d heads", op->name,
                       x.n, x.h, x.w, x.c, heads);
    FV_TRY(optional(op, "key bias", op->b, (fv_shape){x.n, 1, 1, x.h * x.w}));
    *y = (fv_shape){x.n, x.h, x.w, x.c / 3};
    return FV_OK;
}

static fv_shape attention_aux(const fv_op *op, fv_shape y) /* probabilities */
{
    return (fv_shape){y.n, op->attr.attention.heads, y.h * y.w, y.h * y.w};
}

static fv_status embed_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int d = op->w ? op->w->shape.c : 0;
    if (op->x->type != FV_I32 || x.h != 1 || x.w != 1)
        return fv_fail(FV_ERR_SHAPE, "%s: ids must be int32 {n,1,1,t}", op->name);
    if (!op->w || op->w->shape.n != 1 || op->w->shape.h != 1)
        return fv_fail(FV_ERR_SHAPE, "%s: table must be {1,1,vocabulary,d}", op->name);
    FV_TRY(expect(op, "position rows", op->b, (fv_shape){1, 1, x.c, d}));
    *y = (fv_shape){x.n, 1, x.c, d};
    return FV_OK;
}

/* --- picture --- */

static fv_status separable_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int rows = op->w ? op->w->shape.w : 0, cols = op->b ? op->b->shape.w : 0;
    FV_TRY(expect(op, "row map", op->w, (fv_shape){1, 1, rows, x.h}));
    FV_TRY(expect(op, "column map", op->b, (fv_shape){1, 1, cols, x.w}));
    *y = (fv_shape){x.n, rows, cols, x.c};
    return FV_OK;
}

static fv_status warp_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int views = op->w ? op->w->shape.n : 0, side = op->attr.out_side;
    FV_TRY(expect(op, "views", op->w, (fv_shape){views, 1, 1, 6}));
    if (x.n != 1 && x.n != views)
        return fv_fail(FV_ERR_SHAPE, "%s: %d pictures for %d views", op->name, x.n, views);
    *y = (fv_shape){views, side, side, x.c};
    return FV_OK;
}

static fv_status colour_jitter_shape(const fv_op *op, fv_shape *y)
{
    *y = op->x->shape;
    if (y->c != 3) return fv_fail(FV_ERR_SHAPE, "%s: needs 3 channels, got %d", op->name, y->c);
    FV_TRY(expect(op, "numbers", op->w, (fv_shape){y->n, 1, 1, FV_JITTER_COLUMNS}));
    return expect(op, "keys", op->b, (fv_shape){y->n, 1, 1, FV_JITTER_KEYS});
}

static fv_status gather_channels_shape(const fv_op *op, fv_shape *y)
{
    int k = op->b ? op->b->shape.c : 0;
    FV_TRY(expect(op, "channels", op->b, vector(k)));
    if (op->b->type != FV_I32)
        return fv_fail(FV_ERR_SHAPE, "%s: channel numbers must be int32", op->name);
    *y = op->x->shape;
    y->c = k;
    return FV_OK;
}

static fv_status upsample_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    *y = (fv_shape){x.n, 2 * x.h, 2 * x.w, x.c};
    return FV_OK;
}

static fv_status depth_to_space_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int r = op->attr.block;
    if (r < 1 || r > x.c || x.c % (r * r) != 0)
        return fv_fail(FV_ERR_SHAPE, "%s: %d channels as %d x %d positions", op->name, x.c, r, r);
    *y = (fv_shape){x.n, r * x.h, r * x.w, x.c / (r * r)};
    return FV_OK;
}

static fv_status avgpool_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    int k = op->attr.pool;
    if (k < 1 || k > x.h || k > x.w)
        return fv_fail(FV_ERR_SHAPE, "%s: means of %d x %d positions of a %d x %d map", op->name, k,
                       k, x.h, x.w);
    *y = (fv_shape){x.n, x.h / k, x.w / k, x.c};
    return FV_OK;
}

static fv_status quantise_shape(const fv_op *op, fv_shape *y)
{
    int rows = op->w ? op->w->shape.w : 0;
    *y = op->x->shape;
    return expect(op, "codes", op->w, (fv_shape){1, 1, rows, y->c});
}

const fv_penalty_info fv_penalties[FV_PENALTY_COUNT] = {
#define ROW(KIND, name, differences, value, slope, root) [FV_PENALTY_##KIND] = {#name, differences},
    FV_PENALTIES(ROW)
#undef ROW
};

static fv_status penalty_shape(const fv_op *op, fv_shape *y)
{
    *y = (fv_shape){op->x->shape.n, 1, 1, 1};
    return FV_OK;
}

/* --- likeness --- */

static fv_status gram_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    *y = (fv_shape){x.n, 1, x.c, x.c};
    return FV_OK;
}

static fv_status cosine_shape(const fv_op *op, fv_shape *y)
{
    fv_shape x = op->x->shape;
    FV_TRY(expect(op, "w", op->w, (fv_shape){1, x.h, x.w, x.c}));
    *y = (fv_shape){x.n, 1, 1, 1};
    return FV_OK;
}

enum { BACKWARD = true, FORWARD_ONLY = false };

const fv_op_info fv_ops[FV_OP_COUNT] = {
#define ROW(KIND, name, backward, shape, keeps, aux)                                               \
    [FV_OP_##KIND] = {#name, backward, shape, keeps, aux},
    FV_OPS(ROW)
#undef ROW
};

/* --- operands --- */

static const size_t operand_fields[FV_OPERAND_COUNT] = {
#define ROW(NAME, field, member) [FV_OPERAND_##NAME] = offsetof(fv_op, field),
    FV_OPERANDS(ROW)
#undef ROW
};

const char *fv_operand_name(fv_operand which)
{
    static const char *const names[FV_OPERAND_COUNT] = {
#define ROW(NAME, field, member) [FV_OPERAND_##NAME] = #field,
        FV_OPERANDS(ROW)
#undef ROW
    };
    return names[which];
}

fv_member fv_operand_member(fv_operand which)
{
    static const fv_member members[FV_OPERAND_COUNT] = {
#define ROW(NAME, field, member) [FV_OPERAND_##NAME] = FV_##member,
        FV_OPERANDS(ROW)
#undef ROW
    };
    return members[which];
}

fv_tensor *fv_op_operand(const fv_op *op, fv_operand which)
{
    fv_tensor *t; /* the fields differ in const alone */
    memcpy(&t, (const char *)op + operand_fields[which], sizeof t);
    return t;
}

void fv_op_set_operand(fv_op *op, fv_operand which, fv_tensor *t)
{
    memcpy((char *)op + operand_fields[which], &t, sizeof t);
}

bool fv_op_reads(const fv_op *op, fv_operand which)
{
    bool input =
        which == FV_OPERAND_X || which == FV_OPERAND_X2 || fv_operand_member(which) == FV_CONSTANT;
    return input && fv_op_operand(op, which);
}

bool fv_op_aux_in_forward(fv_op_kind kind)
{
    return kind != FV_OP_CONV2D && kind != FV_OP_DWCONV2D && kind != FV_OP_LINEAR;
}

unsigned fv_op_uses(const fv_op *op, fv_operand which)
{
    unsigned keeps = op->dy ? fv_ops[op->kind].keeps(op) : 0;
    unsigned back = op->dy ? FV_USED_BACKWARD : 0;
    switch (which) {
    case FV_OPERAND_X:
        return FV_USED_FORWARD | (keeps & FV_KEEP_X && !op->fused.kept_x ? back : 0);
    case FV_OPERAND_X2:
        return FV_USED_FORWARD | (keeps & FV_KEEP_X2 ? back : 0);
    case FV_OPERAND_W:
    case FV_OPERAND_B:
    case FV_OPERAND_W2:
    case FV_OPERAND_B2:
        return FV_USED_FORWARD | back;
    case FV_OPERAND_Y:
        return FV_USED_FORWARD | (keeps & FV_KEEP_Y ? back : 0);
    case FV_OPERAND_AUX:
    case FV_OPERAND_KEPT_X:
        return FV_USED_FORWARD | back;
    case FV_OPERAND_MEAN_Y:
        return FV_USED_FORWARD;
    case FV_OPERAND_DY:
    case FV_OPERAND_DY_MEAN:
    case FV_OPERAND_DY_GATE:
    case FV_OPERAND_DX:
    case FV_OPERAND_DX2:
        return FV_USED_BACKWARD;
    case FV_OPERAND_COUNT:
        break;
    }
    return 0;
}

fv_status fv_op_shape(const fv_op *op, fv_shape *y)
{
    fv_shape out = {0, 0, 0, 0};
    if (!op->x) return fv_fail(FV_ERR_SHAPE, "%s: operand x is missing", op->name);
    FV_TRY(fv_ops[op->kind].shape(op, &out));
    if (!positive(out))
        return fv_fail(FV_ERR_SHAPE, "%s (%s): result {%d,%d,%d,%d} is empty", op->name,
                       fv_ops[op->kind].name, out.n, out.h, out.w, out.c);
    double count = (double)out.n * out.h * out.w * out.c;
    if (count > (double)INT_MAX)
        return fv_fail(FV_ERR_SHAPE, "%s (%s): result {%d,%d,%d,%d} has over 2^31 elements",
                       op->name, fv_ops[op->kind].name, out.n, out.h, out.w, out.c);
    *y = out;
    return FV_OK;
}

const char *fv_act_name(fv_act act)
{
    return act < FV_ACT_COUNT ? acts[act].name : "?";
}

double fv_op_macs(const fv_op *op)
{
    double y = (double)fv_count(op->y->shape);
    fv_shape x = op->x->shape;
    switch (op->kind) {
    case FV_OP_CONV2D:
        return y * op->attr.conv.k * op->attr.conv.k * x.c;
    case FV_OP_DWCONV2D:
        return y * op->attr.conv.k * op->attr.conv.k;
    case FV_OP_LINEAR:
        return y * x.c;
    case FV_OP_SQUEEZE_EXCITE:
        return 2.0 * x.n * x.c * op->w->shape.w;
    case FV_OP_MIX_ROWS:
        return y * x.h * x.w;
    case FV_OP_ATTENTION:
        return 2 * y * x.h * x.w;
    case FV_OP_QUANTISE:
        return y * op->w->shape.w;
    case FV_OP_SEPARABLE:
        return (double)x.n * op->y->shape.h * x.w * x.c * x.h + y * x.w;
    case FV_OP_GRAM:
        return y * x.h * x.w;
    case FV_OP_ACT:
    case FV_OP_MUL_CHANNEL:
    case FV_OP_ADD:
    case FV_OP_AFFINE:
    case FV_OP_MEAN_HW:
    case FV_OP_MAX_HW:
    case FV_OP_L2NORM:
    case FV_OP_LAYERNORM:
    case FV_OP_GROUPNORM:
    case FV_OP_EMBED:
    case FV_OP_WARP:
    case FV_OP_COLOUR_JITTER:
    case FV_OP_GATHER_CHANNELS:
    case FV_OP_UPSAMPLE:
    case FV_OP_DEPTH_TO_SPACE:
    case FV_OP_AVGPOOL:
    case FV_OP_CLAMP:
    case FV_OP_PENALTY:
    case FV_OP_COSINE:
    case FV_OP_COUNT:
        break;
    }
    return 0;
}
