/* Fusion into the depthwise convolution, where the backend asks for it (fv_backend.fuses_dwconv):
 * work on large maps moves into the op that reads them anyway. An activation before it moves by
 * fuse_ops.c.
 *
 *   dwconv2d -> mean_hw          A squeeze-excite. The gradient of what it reads is
 *           \\-> mul_channel      dy * gate + dmean / (h w): the depthwise convolution computes
 *                                that while it reads dy, and no map is written for it. It also
 *                                takes the mean while it writes; and if backward needs what goes
 *                                into its activation, nothing else is written: the gate reads
 *                                that.
 *   dwconv2d, `before`           The input of that activation is read for the last time while its
 *                                gradient is written, number by number. So the gradient overwrites
 *                                it: no memory of its own, and its cache lines are loaded anyway.
 */
#include "model/plan/plan_internal.h"

typedef struct readers {
    int count;
    fv_op *by[2]; /* the first ones */
} readers;

static readers readers_of(fv_plan *p, const fv_tensor *value)
{
    readers r = {0, {NULL, NULL}};
    for (int i = 0; i < p->op_count; i++) {
        fv_op *op = &p->ops[i];
        bool reads = false;
        for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++)
            reads = reads || (fv_op_reads(op, o) && fv_op_operand(op, o) == value);
        if (reads && r.count < 2) r.by[r.count] = op;
        r.count += reads;
    }
    return r;
}

void fv_fuse_gates(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) {
        fv_op *maker = &p->ops[i];
        fv_node *y = fv_node_of(maker->y);
        if (maker->kind != FV_OP_DWCONV2D || y->output) continue;
        readers r = readers_of(p, maker->y);
        if (r.count != 2) continue;
        fv_op *mean = r.by[0], *gate = r.by[1];
        if (mean->kind != FV_OP_MEAN_HW || gate->kind != FV_OP_MUL_CHANNEL) continue;
        if (gate->x != maker->y) continue;
        maker->fused.mean_y = mean->y;
        mean->fused.done = true;
        if (!maker->dy || !mean->dy || !gate->dy) continue;
        y->left_out = p->be->recomputes && fv_ops[maker->kind].keeps(maker) & FV_KEEP_AUX;
        maker->dy = gate->dy;
        maker->fused.dy_gate = gate->x2;
        maker->fused.dy_mean = mean->dy;
        gate->dx = mean->dx = NULL;
    }
}

/* Whether op's backward is the last to read x, and the only one to write its gradient. */
static bool can_overwrite(const fv_plan *p, const fv_op *op)
{
    const fv_node *x = fv_node_of(op->x);
    if (op->kind != FV_OP_DWCONV2D || op->before == FV_ACT_NONE || !op->dx) return false;
    if (x->op < 0 || x->output || x->readers != 1) return false;
    const fv_op *maker = &p->ops[x->op];
    return !(fv_ops[maker->kind].keeps(maker) & FV_KEEP_Y) && !x->shares &&
           fv_tensor_bytes(p->be, &x->value) == fv_tensor_bytes(p->be, &x->gradient);
}

void fv_overwrite_maps(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++)
        if (can_overwrite(p, &p->ops[i])) fv_node_of(p->ops[i].x)->overwritten = true;
}
