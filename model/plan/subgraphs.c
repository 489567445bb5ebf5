/* Subgraphs: parts of a plan that meet in nothing but the trunk, as the towers of several networks
 * that look at one picture. See plan.h for what a step then is.
 *
 * The list is sorted: the ops of the trunk, then those of each subgraph, and within each as they
 * were built. Backward is still the list upwards, so every gradient is summed in the order of a
 * plan without subgraphs, to the same bytes. Forward of a subgraph comes just before its backward:
 *
 *   ops      trunk | 1 | 2              T, n1, n2 of them
 *   steps    trunk forward 0 .. T - 1, its output gradients T,
 *            subgraph 2: forward n2 steps, its output gradients one, backward n2,
 *            subgraph 1: the same, trunk backward T.
 *
 * So what lives within one subgraph is dead when the next one begins, and memory.c gives both the
 * same bytes. What they share (pixels and their gradient) belongs to the trunk and lives on. */
#include <stdlib.h>

#include "model/plan/plan_internal.h"

bool fv_plan_has_subgraphs(const fv_plan *p)
{
    return p->subgraph_count > 0;
}

/* The op's operands that ops make: the largest of their subgraphs. */
static int subgraph_of_operands(const fv_op *op, bool *several)
{
    int largest = 0;
    for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
        const fv_node *n = fv_op_reads(op, o) ? fv_node_of(fv_op_operand(op, o)) : NULL;
        if (!n || n->op < 0 || n->subgraph == 0) continue;
        if (largest && n->subgraph != largest) *several = true;
        if (n->subgraph > largest) largest = n->subgraph;
    }
    return largest;
}

/* An op that was built for the trunk and reads of a subgraph belongs to it. False: there is an op
 * that reads of two. Counts the ops of each. */
static bool assign(fv_plan *p, int counts[FV_MAX_SUBGRAPHS + 1])
{
    bool several = false;
    for (int i = 0; i < p->op_count; i++) {
        fv_node *y = fv_node_of(p->ops[i].y);
        int read = subgraph_of_operands(&p->ops[i], &several);
        if (y->subgraph == 0) y->subgraph = read;
        if (several || (read && read != y->subgraph)) return false;
        counts[y->subgraph]++;
    }
    return true;
}

static fv_status sort(fv_plan *p, const int counts[FV_MAX_SUBGRAPHS + 1])
{
    fv_op *sorted = malloc((size_t)p->op_capacity * sizeof *sorted);
    if (!sorted) return fv_fail(FV_ERR_MEMORY, "sorting a plan: out of memory");
    int next[FV_MAX_SUBGRAPHS + 1] = {0};
    for (int b = 1; b <= FV_MAX_SUBGRAPHS; b++) next[b] = next[b - 1] + counts[b - 1];
    for (int i = 0; i < p->op_count; i++) {
        fv_node *y = fv_node_of(p->ops[i].y);
        y->op = next[y->subgraph]++;
        sorted[y->op] = p->ops[i];
    }
    free(p->ops);
    p->ops = sorted;
    return FV_OK;
}

fv_status fv_split_subgraphs(fv_plan *p, bool wanted)
{
    int counts[FV_MAX_SUBGRAPHS + 1] = {0}, used = 0;
    p->trunk_ops = p->op_count;
    p->trunk_back = 2 * p->op_count;
    if (!wanted || !assign(p, counts)) return FV_OK;
    for (int b = 1; b <= FV_MAX_SUBGRAPHS; b++) used += counts[b] > 0;
    if (used < 2) return FV_OK;
    FV_TRY(sort(p, counts));
    p->trunk_ops = counts[0];
    for (int b = 1, first = counts[0]; b <= FV_MAX_SUBGRAPHS; first += counts[b++])
        if (counts[b])
            p->subgraphs[p->subgraph_count++] =
                (fv_subgraph){.first = first, .end = first + counts[b]};
    int step = p->trunk_ops + 1;
    for (int b = p->subgraph_count - 1; b >= 0; b--) {
        p->subgraphs[b].step = step;
        step += 2 * (p->subgraphs[b].end - p->subgraphs[b].first) + 1;
    }
    p->trunk_back = step - 1 + p->trunk_ops;
    return FV_OK;
}

const fv_subgraph *fv_subgraph_of(const fv_plan *p, int op)
{
    for (int b = 0; b < p->subgraph_count; b++)
        if (op >= p->subgraphs[b].first && op < p->subgraphs[b].end) return &p->subgraphs[b];
    return NULL;
}

int fv_forward_step(const fv_plan *p, int op)
{
    const fv_subgraph *b = fv_subgraph_of(p, op);
    return b ? b->step + op - b->first : op;
}

int fv_output_gradient_step(const fv_plan *p, int op)
{
    const fv_subgraph *b = fv_subgraph_of(p, op);
    return b ? b->step + b->end - b->first : p->trunk_ops;
}

int fv_backward_step(const fv_plan *p, int op)
{
    const fv_subgraph *b = fv_subgraph_of(p, op);
    return b ? b->step + 2 * b->end - b->first - op : p->trunk_back - op;
}

int fv_last_step(const fv_plan *p)
{
    return p->trunk_back;
}
