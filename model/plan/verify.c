/* The check of a finished plan, by what its ops say of themselves (fv_op_uses): that the memory
 * planner has kept its promises. A few hundred spans and ops a plan, a millisecond.
 *
 *   - two spans that live in one step share no byte, and every span lies in the arena;
 *   - an operand that its op reads or writes in a step is in memory then, in its own span, or has
 *     memory of its own;
 *   - what backward makes again (recompute.c) has its maker's operands then, and a place;
 *   - what lives in a micro-batch (microbatch.c) and not in it alone lives in all of it.
 *
 * A failure is a fault of the planner, not of the user: a plan that does not hold what it promises
 * would give a wrong picture. */
#include "model/plan/plan_internal.h"

static fv_status spans_apart(const fv_plan *p)
{
    for (int i = 0; i < p->span_count; i++) {
        const fv_span *a = &p->spans[i];
        if (a->offset + a->bytes > p->arena_bytes || a->first > a->last)
            return fv_fail(FV_ERR_DEVICE, "checking a plan: span %d leaves the arena", i);
        for (int k = 0; k < i; k++) {
            const fv_span *b = &p->spans[k];
            bool meet = a->first <= b->last && b->first <= a->last;
            bool overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            if (meet && overlap)
                return fv_fail(FV_ERR_DEVICE,
                               "checking a plan: spans %d and %d share memory in step %d", k, i,
                               a->first > b->first ? a->first : b->first);
        }
    }
    return FV_OK;
}

/* Whether a span lives in this step; in a micro-batch, if other pictures than this one's are in it:
 * in all of the micro-batch. */
static bool lives(const fv_plan *p, int span, int step)
{
    const fv_span *s = &p->spans[span];
    int first = fv_forward_step(p, p->microbatch.first),
        back = fv_backward_step(p, p->microbatch.last);
    int last = fv_forward_step(p, p->microbatch.last);
    if (step >= back) {
        first = back;
        last = fv_backward_step(p, p->microbatch.first);
    }
    if (!p->per_picture || p->per_picture[span] || step < first || step > last) first = last = step;
    return s->first <= first && s->last >= last;
}

static fv_status operand_is_there(const fv_plan *p, const fv_op *op, fv_operand which, int step)
{
    const fv_tensor *t = fv_op_operand(op, which);
    fv_member member = fv_operand_member(which);
    if (member == FV_CONSTANT)
        return t->data ? FV_OK
                       : fv_fail(FV_ERR_DEVICE, "checking a plan: %s of %s has no memory",
                                 fv_operand_name(which), op->name);
    fv_node *n = fv_node_with(t, member);
    if (member == FV_VALUE && n->left_out) return FV_OK; /* its readers compute it */
    int span = *fv_span_of(n, member);
    if (span < 0 && t->data) return FV_OK;
    const char *at = span < 0 ? NULL : (const char *)p->arena + p->spans[span].offset;
    if (at && t->data == at && lives(p, span, step)) return FV_OK;
    return fv_fail(FV_ERR_DEVICE, "checking a plan: %s of %s is not in memory in step %d",
                   fv_operand_name(which), op->name, step);
}

static bool is_made_again(const fv_plan *p, const fv_op *op, fv_operand which, unsigned use)
{
    return which == FV_OPERAND_X && use == FV_USED_BACKWARD && fv_recomputes_x(p, op);
}

static fv_status operands_are_there(const fv_plan *p, const fv_op *op, unsigned use, int step)
{
    for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++)
        if (fv_op_operand(op, o) && fv_op_uses(op, o) & use && !is_made_again(p, op, o, use))
            FV_TRY(operand_is_there(p, op, o, step));
    return FV_OK;
}

/* Backward that makes its x once more: that its maker's input is in memory too, and that x then
 * lies where its gradient is going to. */
static fv_status recomputed_are_there(const fv_plan *p, const fv_op *op, int step)
{
    fv_op maker = fv_recomputing_op(p, op);
    const fv_node *n = fv_node_of(op->x);
    FV_TRY(operand_is_there(p, &maker, FV_OPERAND_X, step));
    if (n->again.data == op->dx->data && lives(p, n->again_span, step)) return FV_OK;
    return fv_fail(FV_ERR_DEVICE, "checking a plan: x of %s is not made again in step %d", op->name,
                   step);
}

fv_status fv_plan_verify(const fv_plan *p)
{
    FV_TRY(spans_apart(p));
    for (int i = 0; i < p->op_count; i++) {
        const fv_op *op = &p->ops[i];
        FV_TRY(operands_are_there(p, op, FV_USED_FORWARD, fv_forward_step(p, i)));
        if (!op->dy) continue;
        FV_TRY(operands_are_there(p, op, FV_USED_BACKWARD, fv_backward_step(p, i)));
        if (fv_recomputes_x(p, op)) FV_TRY(recomputed_are_there(p, op, fv_backward_step(p, i)));
    }
    return FV_OK;
}
