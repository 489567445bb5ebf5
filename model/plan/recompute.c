/* Maps that backward makes again, where the backend asks for it (fv_backend.recompute_bytes).
 *
 * An expansion of an inverted residual block writes the largest maps of a network: a 1x1
 * convolution makes them of few channels, a depthwise convolution reads them, and backward needs
 * them once more, for the slope of the activation between the two. Kept, they are most of what a
 * plan holds when forward ends. Instead the map's memory is free as soon as it is read, and
 * backward of the depthwise convolution runs the 1x1 convolution once more before its own work:
 * the same numbers, for the time of that product. What the 1x1 convolution reads, some channels,
 * is kept for it. */
#include "model/plan/plan_internal.h"

static bool can_recompute(const fv_plan *p, const fv_op *op)
{
    const fv_node *y = fv_node_of(op->x); /* of the depthwise convolution */
    if (op->kind != FV_OP_DWCONV2D || !op->dy || !y->overwritten || y->op < 0) return false;
    const fv_op *maker = &p->ops[y->op];
    const fv_node *x = fv_node_of(maker->x);
    bool pointwise = maker->kind == FV_OP_CONV2D && maker->attr.conv.k == 1 && !maker->x2;
    return pointwise && maker->act == FV_ACT_NONE && maker->dy && !x->left_out && !x->overwritten &&
           maker->x->shape.c < maker->y->shape.c;
}

void fv_choose_recomputed(fv_plan *p, size_t recompute_bytes)
{
    for (int i = 0; recompute_bytes && p->microbatch.pictures == 0 && i < p->op_count; i++) {
        const fv_op *op = &p->ops[i];
        if (!can_recompute(p, op) || fv_tensor_bytes(p->be, op->x) < recompute_bytes) continue;
        fv_node_of(op->x)->recomputed = true;
    }
}

fv_op fv_recomputing_op(const fv_plan *p, const fv_op *op)
{
    fv_node *n = fv_node_of(op->x);
    fv_op maker = p->ops[n->op];
    maker.y = &n->again;
    return maker;
}

fv_op fv_backward_op(const fv_op *op)
{
    fv_op copy = *op;
    copy.x = &fv_node_of(op->x)->again;
    return copy;
}
