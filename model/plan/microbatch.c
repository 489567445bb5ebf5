/* One picture after another, where the backend asks for it (fv_backend.near_bytes).
 *
 * The first layers of a network make maps of many megabytes. A batch of them leaves the caches
 * before the next op reads it. So a stretch of ops that treat pictures apart, first .. last, runs
 * to its end for one picture before it begins with the next, forward and backward.
 *
 * What lives in the stretch alone (a gradient, a map that backward does not need) then has room
 * for one picture, not for the batch; all else that lives there lives from the stretch's begin to
 * its end, since pictures pass again and again. The ops that run are copies whose operands show
 * one picture each; fv_aim moves these from picture to picture. */
#include <stdlib.h>

#include "model/plan/plan_internal.h"

/* Of the kinds that large maps pass through. */
static bool apart(fv_op_kind kind)
{
    switch (kind) {
    case FV_OP_CONV2D:
    case FV_OP_DWCONV2D:
    case FV_OP_LINEAR:
    case FV_OP_ACT:
    case FV_OP_MUL_CHANNEL:
    case FV_OP_EXCITE:
    case FV_OP_ADD:
    case FV_OP_MEAN_HW:
    case FV_OP_GROUPNORM:
    case FV_OP_UPSAMPLE:
    case FV_OP_AVGPOOL:
        return true;
    case FV_OP_AFFINE:
    case FV_OP_MAX_HW:
    case FV_OP_MIX_ROWS:
    case FV_OP_L2NORM:
    case FV_OP_LAYERNORM:
    case FV_OP_ATTENTION:
    case FV_OP_EMBED:
    case FV_OP_SEPARABLE:
    case FV_OP_WARP:
    case FV_OP_PERTURB:
    case FV_OP_PICK:
    case FV_OP_CLAMP:
    case FV_OP_QUANTISE:
    case FV_OP_PENALTY:
    case FV_OP_GRAM:
    case FV_OP_COSINE:
    case FV_OP_COUNT:
        break;
    }
    return false;
}

static bool can_pass(const fv_op *op, int pictures)
{
    return apart(op->kind) && pictures > 1 && op->x->shape.n == pictures &&
           op->y->shape.n == pictures && (!op->x2 || op->x2->shape.n == pictures);
}

/* Whether passing pays: the batch's maps would leave the caches, and weights that are read again
 * for every picture are less than its maps. */
static bool pays(const fv_plan *p, const fv_op *op, size_t near_bytes)
{
    size_t maps = fv_tensor_bytes(p->be, op->x) + fv_tensor_bytes(p->be, op->y);
    size_t weights = op->w ? fv_tensor_bytes(p->be, op->w) : 0;
    return maps > near_bytes && maps >= weights * (size_t)op->y->shape.n;
}

/* The longest stretch; it begins and ends with an op that gains by it. */
void fv_choose_stretch(fv_plan *p, size_t near_bytes)
{
    p->stretch = (fv_stretch){0, -1, 0};
    for (int i = 0; near_bytes && i < p->op_count; i++) {
        int pictures = p->ops[i].y->shape.n, last = -1, k = i;
        if (!pays(p, &p->ops[i], near_bytes)) continue;
        for (; k < p->op_count && can_pass(&p->ops[k], pictures); k++)
            if (pays(p, &p->ops[k], near_bytes)) last = k;
        if (last - i > p->stretch.last - p->stretch.first)
            p->stretch = (fv_stretch){i, last, pictures};
        if (k > i) i = k - 1;
    }
}

bool fv_plan_passes(const fv_plan *p, int i)
{
    return p->passing && i >= p->stretch.first && i <= p->stretch.last;
}

/* --- memory --- */

/* Whether s lives in steps first .. last of a plan's time alone. If not, its life in them is all of
 * them. */
static bool confine(fv_span *s, int first, int last)
{
    bool begins = s->first >= first && s->first <= last, ends = s->last >= first && s->last <= last;
    if (begins && ends) return true;
    if (begins) s->first = first;
    if (ends) s->last = last;
    return false;
}

fv_status fv_confine_spans(fv_plan *p)
{
    fv_stretch z = p->stretch;
    if (z.last < z.first) return FV_OK;
    p->alone = calloc((size_t)p->span_count + 1, sizeof *p->alone);
    if (!p->alone) return fv_fail(FV_ERR_MEMORY, "planning memory: out of memory");
    int back = fv_backward_step(p, z.last), end = fv_backward_step(p, z.first);
    for (int i = 0; i < p->span_count; i++) {
        fv_span *s = &p->spans[i];
        p->alone[i] = confine(s, z.first, z.last) || confine(s, back, end);
        if (p->alone[i]) s->bytes /= (size_t)z.pictures;
    }
    return FV_OK;
}

/* --- running --- */

static fv_tensor *one_of(const fv_plan *p, fv_tensor *t, fv_member member)
{
    if (t->shape.n != p->stretch.pictures) return t;
    fv_node *n = fv_node_with(t, member);
    n->passes = true;
    return &n->one[member];
}

fv_status fv_make_passing_ops(fv_plan *p)
{
    fv_stretch z = p->stretch;
    if (z.last < z.first) return FV_OK;
    size_t count = (size_t)(z.last - z.first + 1);
    p->passing = calloc(count, sizeof *p->passing);
    if (!p->passing) return fv_fail(FV_ERR_MEMORY, "planning passes: out of memory");
    for (size_t i = 0; i < count; i++) {
        fv_op *op = &p->passing[i];
        *op = p->ops[(size_t)z.first + i];
        for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
            fv_tensor *t = fv_op_operand(op, o);
            fv_member member = fv_operand_member(o);
            if (t && member != FV_CONSTANT) fv_op_set_operand(op, o, one_of(p, t, member));
        }
    }
    fv_aim(p, 0); /* shapes, for preparing */
    return FV_OK;
}

static void aim(const fv_plan *p, fv_tensor *one, const fv_tensor *all, int span, int picture)
{
    *one = *all;
    one->shape.n = 1;
    if (!one->data || (span >= 0 && p->alone[span])) return;
    one->data = (char *)all->data + (size_t)picture * fv_tensor_bytes(p->be, one);
}

void fv_aim(fv_plan *p, int picture)
{
    for (int i = 0; i < p->node_count; i++) {
        fv_node *n = p->nodes[i];
        if (!n->passes) continue;
        aim(p, &n->one[FV_VALUE], &n->value, n->value_span, picture);
        aim(p, &n->one[FV_GRADIENT], &n->gradient, *fv_span_of(n, FV_GRADIENT), picture);
        aim(p, &n->one[FV_AUX], &n->aux, n->aux_span, picture);
    }
}
