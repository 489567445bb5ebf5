/* Micro-batches of one picture, where the backend asks for them (fv_backend.microbatch_bytes).
 *
 * The first layers of a network make maps of many megabytes. A batch of them does not stay in the
 * caches until the next op reads it. So a run of ops that treat each picture by itself, first ..
 * last, is executed for the first picture, then for the second, and so on; forward and backward.
 *
 * A tensor that is only used inside this run of ops (a gradient, a map that backward does not need)
 * then takes the memory of one picture instead of the batch. Any other that is alive somewhere in
 * it is alive in all of it, as the ops run once for each picture. What is executed are copies of
 * the ops, whose operands show one picture; fv_microbatch_show moves them to another picture. */
#include <stdlib.h>

#include "model/plan/plan_internal.h"

/* Of the kinds that large maps pass through. */
static bool is_per_picture(fv_op_kind kind)
{
    switch (kind) {
    case FV_OP_CONV2D:
    case FV_OP_DWCONV2D:
    case FV_OP_LINEAR:
    case FV_OP_ACT:
    case FV_OP_MUL_CHANNEL:
    case FV_OP_SQUEEZE_EXCITE:
    case FV_OP_ADD:
    case FV_OP_MEAN_HW:
    case FV_OP_GROUPNORM:
    case FV_OP_UPSAMPLE:
    case FV_OP_DEPTH_TO_SPACE:
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
    case FV_OP_COLOUR_JITTER:
    case FV_OP_GATHER_CHANNELS:
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

static bool can_microbatch(const fv_op *op, int pictures)
{
    return is_per_picture(op->kind) && pictures > 1 && op->x->shape.n == pictures &&
           op->y->shape.n == pictures && (!op->x2 || op->x2->shape.n == pictures);
}

/* Whether it pays: the batch's maps would leave the caches, and weights that are read again
 * for every picture are less than its maps. */
static bool pays(const fv_plan *p, const fv_op *op, size_t microbatch_bytes)
{
    size_t maps = fv_tensor_bytes(p->be, op->x) + fv_tensor_bytes(p->be, op->y);
    size_t weights = op->w ? fv_tensor_bytes(p->be, op->w) : 0;
    return maps > microbatch_bytes && maps >= weights * (size_t)op->y->shape.n;
}

/* The longest run of such ops within the trunk or one subgraph; it begins and ends with an op that
 * gains by it. */
void fv_choose_microbatch(fv_plan *p, size_t microbatch_bytes)
{
    p->microbatch = (fv_microbatch){0, -1, 0};
    for (int i = 0; microbatch_bytes && i < p->op_count; i++) {
        int pictures = p->ops[i].y->shape.n, last = -1, k = i;
        if (!pays(p, &p->ops[i], microbatch_bytes)) continue;
        const fv_subgraph *part = fv_subgraph_of(p, i);
        int end = part ? part->end : p->trunk_ops;
        for (; k < end && can_microbatch(&p->ops[k], pictures); k++)
            if (pays(p, &p->ops[k], microbatch_bytes)) last = k;
        if (last - i > p->microbatch.last - p->microbatch.first)
            p->microbatch = (fv_microbatch){i, last, pictures};
        if (k > i) i = k - 1;
    }
}

bool fv_plan_microbatched(const fv_plan *p, int i)
{
    return p->microbatch_ops && i >= p->microbatch.first && i <= p->microbatch.last;
}

/* --- memory --- */

/* Whether s is alive only in steps first .. last of a plan's time. If not, and it is alive in one
 * of them, it is from now on alive in all of them. */
static bool lies_within(fv_span *s, int first, int last)
{
    bool begins = s->first >= first && s->first <= last, ends = s->last >= first && s->last <= last;
    if (begins && ends) return true;
    if (begins) s->first = first;
    if (ends) s->last = last;
    return false;
}

fv_status fv_microbatch_spans(fv_plan *p)
{
    fv_microbatch z = p->microbatch;
    if (z.last < z.first) return FV_OK;
    p->per_picture = calloc((size_t)p->span_count + 1, sizeof *p->per_picture);
    if (!p->per_picture) return fv_fail(FV_ERR_MEMORY, "planning memory: out of memory");
    int first = fv_forward_step(p, z.first), last = fv_forward_step(p, z.last);
    int back = fv_backward_step(p, z.last), end = fv_backward_step(p, z.first);
    for (int i = 0; i < p->span_count; i++) {
        fv_span *s = &p->spans[i];
        p->per_picture[i] = lies_within(s, first, last) || lies_within(s, back, end);
        if (p->per_picture[i]) s->bytes /= (size_t)z.pictures;
    }
    return FV_OK;
}

/* --- running --- */

static fv_tensor *one_of(const fv_plan *p, fv_tensor *t, fv_member member)
{
    if (t->shape.n != p->microbatch.pictures) return t;
    fv_node *n = fv_node_with(t, member);
    n->in_microbatch = true;
    return &n->one[member];
}

fv_status fv_make_microbatch_ops(fv_plan *p)
{
    fv_microbatch z = p->microbatch;
    if (z.last < z.first) return FV_OK;
    size_t count = (size_t)(z.last - z.first + 1);
    p->microbatch_ops = calloc(count, sizeof *p->microbatch_ops);
    if (!p->microbatch_ops) return fv_fail(FV_ERR_MEMORY, "planning micro-batches: out of memory");
    for (size_t i = 0; i < count; i++) {
        fv_op *op = &p->microbatch_ops[i];
        *op = p->ops[(size_t)z.first + i];
        for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
            fv_tensor *t = fv_op_operand(op, o);
            fv_member member = fv_operand_member(o);
            if (t && member != FV_CONSTANT) fv_op_set_operand(op, o, one_of(p, t, member));
        }
    }
    fv_microbatch_show(p, 0); /* shapes, for preparing */
    return FV_OK;
}

static void aim(const fv_plan *p, fv_tensor *one, const fv_tensor *all, int span, int picture)
{
    *one = *all;
    one->shape.n = 1;
    if (!one->data || (span >= 0 && p->per_picture[span])) return;
    one->data = (char *)all->data + (size_t)picture * fv_tensor_bytes(p->be, one);
}

void fv_microbatch_show(fv_plan *p, int picture)
{
    for (int i = 0; i < p->node_count; i++) {
        fv_node *n = p->nodes[i];
        if (!n->in_microbatch) continue;
        aim(p, &n->one[FV_VALUE], &n->value, n->value_span, picture);
        aim(p, &n->one[FV_GRADIENT], &n->gradient, *fv_span_of(n, FV_GRADIENT), picture);
        aim(p, &n->one[FV_AUX], &n->aux, n->aux_span, picture);
    }
}
