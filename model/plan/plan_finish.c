/* Ending a plan: gradient marking, memory by lifetime, kernels. See plan.h.
 *
 * Time runs 0 .. 2N: forward of op i is step i, output gradients arrive at N, backward of op i is
 * 2N - i; with subgraphs as subgraphs.c says. A value lives from its op to its last reader; by
 * fv_op_uses a reader may be a backward step. A gradient lives from its first writer to its
 * producer's backward. */
#include <stdlib.h>

#include "model/plan/plan_internal.h"

typedef fv_node node;

/* --- finishing: who gets a gradient --- */

static bool has_gradient(const node *n)
{
    return n && n->needs_gradient && n->wanted;
}

/* Whether the gradient of op's residual can share the memory of op's dy. Writers that come later
 * add to it, and by then op's backward does not read dy any more. */
static bool passes_on(const fv_op *op)
{
    bool residual = op->kind == FV_OP_CONV2D || op->kind == FV_OP_LINEAR;
    return residual && fv_node_of(op->x2)->op >= 0 && op->x2->format == op->y->format;
}

/* Walks up from the outputs: marks the values whose gradient somebody needs, wires dy and dx,
 * and decides for each writer whether it is the first (=) or a later one (+=). */
static void mark_gradients(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        n->wanted = n->output;
        n->written = n->output; /* its output gradient is there first */
    }
    for (int i = p->op_count - 1; i >= 0; i--) {
        fv_op *op = &p->ops[i];
        node *y = fv_node_of(op->y), *x = fv_node_of(op->x), *x2 = fv_node_of(op->x2);
        if (!has_gradient(y)) continue;
        op->dy = &y->gradient;
        if (x->needs_gradient) {
            x->wanted = true;
            op->dx = &x->gradient;
            op->add_dx = x->written;
            x->written = true;
        }
        if (x2 && x2->needs_gradient) {
            x2->wanted = true;
            if (!x2->written && passes_on(op))
                x2->shares = y;
            else
                op->dx2 = &x2->gradient;
            op->add_dx2 = x2->written;
            x2->written = true;
        }
    }
}

/* --- finishing: lifetimes --- */

/* Makes a span that lives in step `at`, or lets it live until then too. */
static fv_status live_at(fv_plan *p, int *span, const fv_tensor *t, int at)
{
    if (*span < 0) {
        if (!fv_plan_grow((void **)&p->spans, &p->span_capacity, p->span_count, sizeof *p->spans))
            return fv_fail(FV_ERR_MEMORY, "planning memory: out of memory");
        p->spans[p->span_count] = (fv_span){fv_tensor_bytes(p->be, t), at, at, 0};
        *span = p->span_count++;
    }
    fv_span *s = &p->spans[*span];
    if (at < s->first) s->first = at;
    if (at > s->last) s->last = at;
    return FV_OK;
}

/* Leaves have memory of their own, also their gradients; what is left out has none. */
static fv_status member_live_at(fv_plan *p, node *n, fv_member member, int at)
{
    if (member == FV_GRADIENT) n = fv_gradient_owner(n);
    if (n->op < 0 || (member == FV_VALUE && n->left_out)) return FV_OK;
    const fv_tensor *t = member == FV_AUX                           ? &n->aux
                         : member == FV_GRADIENT && !n->overwritten ? &n->gradient
                                                                    : &n->value;
    return live_at(p, fv_span_of(n, member), t, at);
}

static fv_status operands_live_at(fv_plan *p, const fv_op *op, unsigned use, int at)
{
    for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
        const fv_tensor *t = fv_op_operand(op, o);
        fv_member member = fv_operand_member(o);
        if (!t || member == FV_CONSTANT || !(fv_op_uses(op, o) & use)) continue;
        fv_node *n = fv_node_with(t, member);
        if (use == FV_USED_BACKWARD && n->recomputed) member = FV_GRADIENT;
        FV_TRY(member_live_at(p, n, member, at));
    }
    return FV_OK;
}

/* Backward of `op` can do with what the maker of x keeps anyway: the activation's input. It
 * outlives op's backward, because the maker's backward comes later. */
static void recompute_x(const fv_plan *p, fv_op *op)
{
    const node *x = fv_node_of(op->x);
    if (!p->be->recomputes || op->kind != FV_OP_MUL_CHANNEL || x->op < 0 || !op->dy) return;
    const fv_op *maker = &p->ops[x->op];
    if (!maker->dy || !maker->aux || maker->act == FV_ACT_NONE) return;
    if (fv_op_aux_in_forward(maker->kind)) return; /* that aux is something else: statistics */
    op->fused.kept_x = maker->aux;
    op->fused.kept_act = maker->act;
}

/* A kept pre-activation is stored as y is; all else is few numbers, in full. */
static fv_format aux_format(const fv_op *op)
{
    return fv_op_aux_in_forward(op->kind) ? FV_FORMAT_REAL : op->y->format;
}

/* The backend's choice for every value and its gradient. */
static void choose_formats(fv_plan *p)
{
    for (int i = 0; p->be->format && i < p->op_count; i++) {
        node *y = fv_node_of(p->ops[i].y);
        y->value.format = y->gradient.format = p->be->format(p->be, &p->ops[i], y->output);
    }
}

static void make_aux(fv_op *op)
{
    node *y = fv_node_of(op->y);
    const fv_op_info *info = &fv_ops[op->kind];
    if (!(info->keeps(op) & FV_KEEP_AUX) || !(op->dy || fv_op_aux_in_forward(op->kind))) return;
    y->has_aux = true;
    y->aux = (fv_tensor){y->name,       info->aux(op, y->value.shape), FV_REAL, FV_ROLE_VALUE, NULL,
                         aux_format(op)};
    op->aux = &y->aux;
}

static fv_status op_lifetimes(fv_plan *p, int i)
{
    fv_op *op = &p->ops[i];
    node *y = fv_node_of(op->y);
    make_aux(op);
    recompute_x(p, op);
    FV_TRY(operands_live_at(p, op, FV_USED_FORWARD, fv_forward_step(p, i)));
    if (y->output) FV_TRY(member_live_at(p, y, FV_VALUE, fv_last_step(p) + 1));
    if (!op->dy) return FV_OK;
    FV_TRY(operands_live_at(p, op, FV_USED_BACKWARD, fv_backward_step(p, i)));
    if (fv_recomputes_x(p, op)) {
        fv_op maker = fv_recomputing_op(p, op);
        FV_TRY(member_live_at(p, fv_node_of(maker.x), FV_VALUE, fv_backward_step(p, i)));
    }
    return y->output ? member_live_at(p, y, FV_GRADIENT, fv_output_gradient_step(p, i)) : FV_OK;
}

static void *in_arena(const fv_plan *p, int span)
{
    return span < 0 ? NULL : (char *)p->arena + p->spans[span].offset;
}

/* Every tensor's place in p->arena. */
static fv_status lay_out(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->op < 0) continue;
        n->value.data = in_arena(p, n->value_span);
        n->gradient.data = in_arena(p, *fv_span_of(n, FV_GRADIENT));
        n->aux.data = in_arena(p, n->aux_span);
        n->again = n->value;
        n->again.data = in_arena(p, n->again_span);
    }
    return fv_plan_verify(p);
}

static fv_status place_arena(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) FV_TRY(op_lifetimes(p, i));
    FV_TRY(fv_microbatch_spans(p));
    FV_TRY(fv_memory_plan(p->spans, (size_t)p->span_count, &p->arena_bytes));
    if (p->be->check_memory) FV_TRY(p->be->check_memory(p->be, p->arena_bytes));
    FV_TRY(p->be->alloc(p->be, p->arena_bytes ? p->arena_bytes : FV_ALIGNMENT, &p->arena));
    FV_TRY(lay_out(p));
    return fv_make_microbatch_ops(p);
}

/* Params, their gradients and moments: four blocks of one layout. */
static fv_status place_params(fv_plan *p)
{
    if (p->param_count == 0) return FV_OK;
    int blocks = p->flags & FV_PLAN_BACKWARD ? FV_BLOCKS : 1;
    for (int b = 0; b < blocks; b++)
        FV_TRY(p->be->alloc(p->be, p->param_count * p->be->real_bytes, &p->blocks[b]));
    size_t at = 0;
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->value.role != FV_ROLE_PARAM) continue;
        n->value.data = (char *)p->blocks[FV_BLOCK_VALUE] + at;
        if (blocks > 1) n->gradient.data = (char *)p->blocks[FV_BLOCK_GRADIENT] + at;
        at += fv_count(n->value.shape) * p->be->real_bytes;
    }
    p->adam_numbers = (fv_tensor){
        "adam.numbers", {1, 1, 1, FV_ADAM_COLUMNS}, FV_REAL, FV_ROLE_INPUT, NULL, FV_FORMAT_REAL};
    p->adam_stats = (fv_tensor){
        "adam.stats", {1, 1, 1, FV_ADAM_STATS}, FV_REAL, FV_ROLE_INPUT, NULL, FV_FORMAT_REAL};
    FV_TRY(p->be->alloc(p->be, FV_ADAM_COLUMNS * sizeof(double), &p->adam_numbers.data));
    return p->be->alloc(p->be, FV_ADAM_STATS * sizeof(double), &p->adam_stats.data);
}

static fv_status prepare_kernels(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) {
        fv_op *op = fv_running_op(p, i);
        const fv_kernel *k = &p->be->kernels[op->kind];
        if (!k->forward || (op->dy && !k->backward))
            return fv_fail(FV_ERR_UNSUPPORTED, "%s: backend %s has no %s of %s", op->name,
                           p->be->name, k->forward ? "backward" : "forward", fv_ops[op->kind].name);
        if (k->prepare) FV_TRY(k->prepare(p->be, op));
        if (op->scratch_bytes > p->scratch_bytes) p->scratch_bytes = op->scratch_bytes;
    }
    if (p->scratch_bytes == 0) return FV_OK;
    FV_TRY(p->be->alloc(p->be, p->scratch_bytes, &p->scratch));
    for (int i = 0; i < p->op_count; i++) fv_running_op(p, i)->scratch = p->scratch;
    return FV_OK;
}

static fv_status make_output_gradients(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (!n->output || !has_gradient(n)) continue;
        n->output_gradient = calloc(fv_count(n->value.shape), sizeof *n->output_gradient);
        if (!n->output_gradient)
            return fv_fail(FV_ERR_MEMORY, "%s: out of memory for an output gradient", n->name);
        if (!p->be->copy) continue;
        n->output_gradient_copy = n->gradient;
        FV_TRY(p->be->alloc(p->be, fv_tensor_bytes(p->be, &n->gradient),
                            &n->output_gradient_copy.data));
    }
    return FV_OK;
}

fv_status fv_plan_finish(fv_plan *p, unsigned flags)
{
    FV_TRY(fv_plan_status(p));
    if (p->finished || !p->be)
        return fv_fail(FV_ERR_ARGUMENT, "finishing a plan: it %s",
                       p->be ? "is finished already" : "has no backend");
    p->flags = flags;
    p->finished = true;
    bool whole = flags & FV_PLAN_WHOLE, fuses = p->be->fuses_dwconv && !whole;
    if (!whole) fv_plan_prune(p);
    if (p->be->fuses_ops && !whole) fv_fuse_ops(p);
    if (fuses) fv_fuse_maps(p);
    fv_status status = fv_split_subgraphs(p, flags & FV_PLAN_SUBGRAPHS);
    choose_formats(p);
    if (flags & FV_PLAN_BACKWARD) mark_gradients(p);
    if (fuses) fv_fuse_gates(p);
    if (fuses) fv_overwrite_maps(p);
    fv_choose_microbatch(p, whole ? 0 : p->be->microbatch_bytes);
    fv_choose_recomputed(p, whole ? 0 : p->be->recompute_bytes);
    if (status >= 0) status = place_params(p);
    if (status >= 0) status = place_arena(p);
    if (status >= 0) status = prepare_kernels(p);
    if (status >= 0) status = make_output_gradients(p);
    if (status < 0) fv_plan_fail(p, status);
    return status;
}

static bool has_run_as_graph(const fv_plan *p)
{
    for (int i = 0; i < FV_PARTS; i++)
        if (p->graphs[i]) return true;
    return false;
}

fv_status fv_plan_borrow_arena(fv_plan *p, const fv_plan *from)
{
    FV_TRY(fv_plan_runnable(p, "borrowing an arena"));
    FV_TRY(fv_plan_runnable(from, "lending an arena"));
    const char *why = p == from || p->borrows || from->borrows ? "one of them has none of its own"
                      : p->be != from->be                      ? "they are of two backends"
                      : p->arena_bytes > from->arena_bytes     ? "it is too small"
                      : has_run_as_graph(p) ? "the plan was captured with its own"
                                            : NULL;
    if (why) return fv_fail(FV_ERR_ARGUMENT, "borrowing a plan's arena: %s", why);
    p->be->free(p->be, p->arena);
    p->arena = from->arena;
    p->borrows = true;
    FV_TRY(lay_out(p));
    if (p->microbatch_ops) fv_microbatch_show(p, 0);
    return FV_OK;
}
