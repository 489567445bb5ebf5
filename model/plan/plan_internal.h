/* The inside of fv_plan, for the files that share it: plan.c (building, moving numbers),
 * plan_finish.c (gradients, memory, kernels), fuse_ops.c, fuse_dwconv.c, microbatch.c and
 * recompute.c (what ops do for each other, micro-batches, maps made twice), subgraphs.c (the order
 * of steps), verify.c and run.c (forward, backward, steps). */
#ifndef FV_PLAN_INTERNAL_H
#define FV_PLAN_INTERNAL_H

#include <stddef.h>

#include "model/plan/memory.h"
#include "model/plan/plan.h"

enum { FV_MAX_SCOPES = 32, FV_NAME_BYTES = 256, FV_MESSAGE_BYTES = 1024 };

/* What can be captured as a graph: forward, backward, or a whole step with Adam. */
enum { FV_PART_FORWARD, FV_PART_BACKWARD, FV_PART_STEP, FV_PARTS };

typedef struct fv_node {
    fv_tensor value, gradient, aux;
    char *name;
    int op;       /* the op that makes it; -1: a leaf */
    int subgraph; /* 0: the trunk; until the plan is split, of those that were built into one alone
                   */
    bool needs_gradient, wanted, output, has_aux;
    bool written;           /* a gradient writer has been met */
    float *output_gradient; /* outputs of plans with gradients; zeros until set */
    fv_tensor
        output_gradient_copy; /* on the device, where the backend captures: outlives a forward */
    bool owns_data;
    int readers;            /* ops that read the value: fuse_ops.c */
    bool in_microbatch;     /* an operand of microbatch_ops: */
    fv_tensor one[3];       /* of one picture, by fv_member: value, gradient, aux (microbatch.c) */
    struct fv_node *shares; /* its gradient is this node's: dx2 = dy of a residual */
    bool left_out;          /* has no memory: its readers compute it (fuse_dwconv.c) */
    bool overwritten;       /* the gradient takes the value's memory (fuse_dwconv.c) */
    bool recomputed;        /* backward makes it once more (recompute.c): */
    fv_tensor again;        /* where, in the memory of its gradient */
    int value_span, gradient_span, aux_span; /* -1: not in the arena */
    int again_span;                          /* of `again` and of the gradient */
} fv_node;

typedef struct fv_alias {
    char *name;
    fv_ref target;
} fv_alias;

/* Ops that run in micro-batches of one picture (microbatch.c): ops[first .. last]; none if last <
 * first. */
typedef struct fv_microbatch {
    int first, last, pictures;
} fv_microbatch;

/* ops[first .. end - 1]; `step` is the first of its steps (subgraphs.c). */
typedef struct fv_subgraph {
    int first, end, step;
} fv_subgraph;

struct fv_plan {
    fv_backend *be;
    fv_node **nodes;
    int node_count, node_capacity;
    fv_op *ops;
    int op_count, op_capacity;
    int building;                            /* the subgraph of the ops that are being built */
    fv_subgraph subgraphs[FV_MAX_SUBGRAPHS]; /* in the order of their ops; */
    int subgraph_count, trunk_ops;           /* ops[0 .. trunk_ops - 1]: all, without subgraphs */
    int trunk_back;                          /* the last step: backward of op 0 */
    fv_microbatch microbatch;
    fv_op *microbatch_ops; /* what runs in the place of ops[microbatch.first .. microbatch.last] */
    fv_alias *aliases;
    int alias_count, alias_capacity;
    size_t scopes[FV_MAX_SCOPES]; /* length of `prefix` at each push */
    int scope_count;
    char prefix[FV_NAME_BYTES];
    fv_status status; /* first failure while building */
    char message[FV_MESSAGE_BYTES];
    unsigned flags;
    bool finished;

    fv_span *spans;
    int span_count, span_capacity;
    bool *per_picture; /* by span, with a micro-batch: it holds one picture */
    void *arena, *scratch;
    bool borrows; /* the arena is another plan's */
    size_t arena_bytes, scratch_bytes, weight_bytes;
    void *blocks[FV_BLOCKS];
    size_t param_count;
    fv_tensor adam_numbers, adam_stats;
    fv_tensor bounds[2]; /* low, high of every param number; no data: none were given */
    fv_hook hook;
    void *hook_user;
    void *graphs[FV_PARTS];
    int runs[FV_PARTS];
};

/* Room for one more item behind `count`; false: out of memory. */
bool fv_plan_grow(void **array, int *capacity, int count, size_t item);

/* plan.c: adds `op` (kind, act and attr are set) with its operands; the builders of ops.c. */
fv_ref fv_plan_add(fv_plan *p, const char *name, fv_op op, fv_ref x, fv_ref x2, fv_ref w, fv_ref b);

/* The node of a tensor that is a value: its first member. NULL for NULL. */
static inline fv_node *fv_node_of(const fv_tensor *value)
{
    return value ? (fv_node *)(void *)(uintptr_t)value : NULL;
}

/* The node that t is this member of. */
static inline fv_node *fv_node_with(const fv_tensor *t, fv_member member)
{
    size_t at = member == FV_GRADIENT ? offsetof(fv_node, gradient)
                : member == FV_AUX    ? offsetof(fv_node, aux)
                                      : offsetof(fv_node, value);
    return (fv_node *)(void *)((char *)(uintptr_t)t - at);
}

/* The node whose gradient n's is. */
static inline fv_node *fv_gradient_owner(fv_node *n)
{
    while (n->shares) n = n->shares;
    return n;
}

/* Where a tensor of n lies in the arena: the number of its span; -1: it has memory of its own, or
 * none. */
static inline int *fv_span_of(fv_node *n, fv_member member)
{
    if (member == FV_AUX) return &n->aux_span;
    if (member != FV_GRADIENT) return &n->value_span;
    fv_node *owner = fv_gradient_owner(n);
    if (owner->recomputed) return &owner->again_span;
    return owner->overwritten ? &owner->value_span : &owner->gradient_span;
}

/* subgraphs.c: once ops are fused and before gradients are marked; false: the plan has none. */
fv_status fv_split_subgraphs(fv_plan *p, bool wanted);
const fv_subgraph *fv_subgraph_of(const fv_plan *p, int op); /* NULL: the trunk */
/* The steps of forward and backward of an op, the one in which the output gradients of its part
 * are there, and the last of all. Of a plan of N ops without subgraphs i, 2 N - i, N and 2 N. */
int fv_forward_step(const fv_plan *p, int op);
int fv_backward_step(const fv_plan *p, int op);
int fv_output_gradient_step(const fv_plan *p, int op);
int fv_last_step(const fv_plan *p);

/* fuse_ops.c: fewer, larger ops; before gradients are marked. First, those alone that an output
 * needs.
 */
void fv_plan_prune(fv_plan *p);
void fv_fuse_ops(fv_plan *p);
/* Of that, only activations that move into what reads them, and residuals. */
void fv_fuse_maps(fv_plan *p);

/* fuse_dwconv.c: after gradients are marked. */
void fv_fuse_gates(fv_plan *p);
void fv_overwrite_maps(fv_plan *p);

/* microbatch.c: once gradients are marked; once lifetimes are known; once memory is there. */
void fv_choose_microbatch(fv_plan *p, size_t microbatch_bytes);
fv_status fv_microbatch_spans(fv_plan *p);
fv_status fv_make_microbatch_ops(fv_plan *p);
/* The operands of microbatch_ops show this picture. */
void fv_microbatch_show(fv_plan *p, int picture);

/* recompute.c: once gradients are marked and micro-batches chosen. */
void fv_choose_recomputed(fv_plan *p, size_t recompute_bytes);
/* Whether backward of op begins with its x. */
static inline bool fv_recomputes_x(const fv_plan *p, const fv_op *op)
{
    return p->microbatch.pictures == 0 && op->dy && op->kind == FV_OP_DWCONV2D &&
           fv_node_of(op->x)->recomputed;
}
/* The op that makes x of such an op once more, and the op as it then runs backward. */
fv_op fv_recomputing_op(const fv_plan *p, const fv_op *op);
fv_op fv_backward_op(const fv_op *op);

/* verify.c: that no two spans that live at once share bytes, and that every operand is in memory
 * whenever its op runs. What it finds is a fault of the planner. */
fv_status fv_plan_verify(const fv_plan *p);

/* Op i as it runs. */
static inline fv_op *fv_running_op(const fv_plan *p, int i)
{
    return fv_plan_microbatched(p, i) ? &p->microbatch_ops[i - p->microbatch.first] : &p->ops[i];
}

fv_status fv_plan_runnable(const fv_plan *p, const char *what);
/* The params, their gradient or moments as one flat tensor. */
fv_tensor fv_plan_block_tensor(const fv_plan *p, fv_block block);
fv_status fv_plan_block_exists(const fv_plan *p, fv_block block);

#endif
