/* Fusion of ops, where the backend asks for it (fv_backend.fuses_ops): fewer launches, and fewer
 * maps that are written only to be read once.
 *
 *   mean_hw, linear, linear, mul_channel        ->  squeeze_excite
 *   conv2d or dwconv2d with an activation that  ->  without it; the reader applies it to what it
 *   one dwconv2d or squeeze_excite alone reads      reads (`before`), and keeps what went into it
 *   conv2d or linear, then add                  ->  with a residual
 *
 * A backend with fv_backend.fuses_dwconv asks for the last two only.
 * Values that vanish keep their names, but no op makes them any more. */
#include "model/plan/plan_internal.h"

/* The op that makes `t`, if all that reads it is one op and nobody outside sees it. */
static fv_op *sole_maker(const fv_plan *p, const fv_tensor *t)
{
    const fv_node *n = fv_node_of(t);
    return n && n->op >= 0 && n->readers == 1 && !n->output ? &p->ops[n->op] : NULL;
}

static void count_readers(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) p->nodes[i]->readers = 0;
    for (int i = 0; i < p->op_count; i++)
        for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++)
            if (fv_op_reads(&p->ops[i], o)) fv_node_of(fv_op_operand(&p->ops[i], o))->readers++;
}

/* Takes an op out of the list; `compact` closes the gaps. */
static void drop(fv_op *op)
{
    fv_node *y = fv_node_of(op->y);
    y->op = -1;
    y->needs_gradient = false;
    op->y = NULL;
}

static void compact(fv_plan *p)
{
    int kept = 0;
    for (int i = 0; i < p->op_count; i++) {
        if (!p->ops[i].y) continue;
        p->ops[kept] = p->ops[i];
        fv_node_of(p->ops[kept].y)->op = kept;
        kept++;
    }
    p->op_count = kept;
    count_readers(p);
}

/* Ops that no output needs: what lies behind the layer that is asked, say. */
void fv_plan_prune(fv_plan *p)
{
    bool any = false;
    for (int i = 0; i < p->node_count; i++) {
        p->nodes[i]->wanted = p->nodes[i]->output;
        any = any || p->nodes[i]->output;
    }
    for (int i = any ? p->op_count - 1 : -1; i >= 0; i--) {
        if (!fv_node_of(p->ops[i].y)->wanted) {
            drop(&p->ops[i]);
            continue;
        }
        for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++)
            if (fv_op_reads(&p->ops[i], o)) fv_node_of(fv_op_operand(&p->ops[i], o))->wanted = true;
    }
    compact(p);
}

static bool frozen(const fv_tensor *t)
{
    return t && t->role == FV_ROLE_WEIGHT;
}

static void fuse_squeeze_excite(fv_plan *p, fv_op *op)
{
    fv_op *gate = sole_maker(p, op->x2), *hidden = gate ? sole_maker(p, gate->x) : NULL;
    fv_op *mean = hidden ? sole_maker(p, hidden->x) : NULL;
    bool found = mean && gate->kind == FV_OP_LINEAR && gate->act == FV_ACT_SIGMOID &&
                 hidden->kind == FV_OP_LINEAR && fv_act_by_input(hidden->act) &&
                 mean->kind == FV_OP_MEAN_HW && mean->x == op->x;
    if (!found || !frozen(gate->w) || !frozen(gate->b) || !frozen(hidden->w) || !frozen(hidden->b))
        return;
    *op = (fv_op){.kind = FV_OP_SQUEEZE_EXCITE,
                  .name = op->name,
                  .act = hidden->act,
                  .x = op->x,
                  .y = op->y,
                  .w = hidden->w,
                  .b = hidden->b,
                  .w2 = gate->w,
                  .b2 = gate->b};
    drop(gate);
    drop(hidden);
    drop(mean);
}

static void fuse_activation(const fv_plan *p, fv_op *op)
{
    fv_op *maker = sole_maker(p, op->x);
    if (!maker || (maker->kind != FV_OP_CONV2D && maker->kind != FV_OP_DWCONV2D)) return;
    if (maker->act == FV_ACT_NONE || !fv_act_by_input(maker->act)) return;
    op->before = maker->act;
    maker->act = FV_ACT_NONE;
}

static bool takes_residual(const fv_op *op)
{
    bool product = op->kind == FV_OP_LINEAR || op->kind == FV_OP_CONV2D;
    return product && op->act == FV_ACT_NONE && !op->x2;
}

/* The product writes the sum; whatever it adds has to be there by then. */
static void fuse_add(const fv_plan *p, fv_op *op)
{
    for (int turn = 0; turn < 2; turn++) {
        fv_op *maker = sole_maker(p, turn ? op->x2 : op->x);
        const fv_tensor *other = turn ? op->x : op->x2;
        if (!maker || !takes_residual(maker) || fv_node_of(other)->op >= fv_node_of(maker->y)->op)
            continue;
        fv_tensor *product = maker->y, *sum = op->y;
        op->y = product; /* the add goes, and with it the value it has read */
        maker->x2 = other;
        maker->y = sum;
        maker->name = op->name;
        fv_node_of(sum)->op = (int)(maker - p->ops);
        drop(op);
        return;
    }
}

static void fuse_activations(fv_plan *p)
{
    count_readers(p);
    for (int i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == FV_OP_DWCONV2D || p->ops[i].kind == FV_OP_SQUEEZE_EXCITE)
            fuse_activation(p, &p->ops[i]);
}

static void fuse_adds(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == FV_OP_ADD) fuse_add(p, &p->ops[i]);
    compact(p);
}

void fv_fuse_maps(fv_plan *p)
{
    fuse_activations(p);
    fuse_adds(p);
}

void fv_fuse_ops(fv_plan *p)
{
    count_readers(p);
    for (int i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == FV_OP_MUL_CHANNEL) fuse_squeeze_excite(p, &p->ops[i]);
    compact(p);
    fv_fuse_maps(p);
}
