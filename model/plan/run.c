/* Running a plan: forward, output gradients, backward, Adam; whole steps, captured as graphs where
 * the backend can.
 *
 * A graph holds the same calls with the same addresses. Numbers that change from step to step
 * (views, targets, output gradients, Adam's) are uploaded before it is replayed, into memory of
 * their own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/plan/plan_internal.h"

void fv_plan_hook(fv_plan *p, fv_hook hook, void *user)
{
    p->hook = hook;
    p->hook_user = user;
}

/* Fills bytes of the arena with NaN. */
static fv_status poison(fv_plan *p, size_t offset, size_t bytes)
{
    enum { CHUNK = 1 << 16 };
    double *nan = malloc(CHUNK * sizeof *nan);
    if (!nan) return fv_fail(FV_ERR_MEMORY, "poisoning the arena: out of memory");
    for (int i = 0; i < CHUNK; i++) nan[i] = NAN;
    size_t total = bytes / p->be->real_bytes;
    fv_status status = FV_OK;
    for (size_t at = 0; at < total && status >= 0; at += CHUNK) {
        int n = (int)(total - at < CHUNK ? total - at : CHUNK);
        fv_tensor part = {"arena",
                          {1, 1, 1, n},
                          FV_REAL,
                          FV_ROLE_VALUE,
                          (char *)p->arena + offset + at * p->be->real_bytes,
                          FV_FORMAT_REAL};
        status = p->be->upload(p->be, &part, FV_F64, nan);
    }
    free(nan);
    return status;
}

/* FV_PLAN_POISON: memory that nothing needs after these steps becomes NaN, so that an op which
 * still reads it gives NaN. */
static fv_status poison_dead(fv_plan *p, int first, int last)
{
    for (int i = 0; p->flags & FV_PLAN_POISON && i < p->span_count; i++)
        if (p->spans[i].last >= first && p->spans[i].last <= last)
            FV_TRY(poison(p, p->spans[i].offset, p->spans[i].bytes));
    return FV_OK;
}

/* --- what a graph consists of --- */

/* What is done with op i of the list, in the order of the list or of its reverse. */
typedef fv_status (*visit)(fv_plan *p, int i, void *user);

static fv_status downwards(fv_plan *p, int first, int end, visit v, void *user)
{
    for (int i = first; i < end; i++) {
        FV_TRY(v(p, i, user));
        int step = fv_forward_step(p, i);
        if (!fv_plan_microbatched(p, i)) FV_TRY(poison_dead(p, step, step));
    }
    return FV_OK;
}

static fv_status upwards(fv_plan *p, int first, int end, visit v, void *user)
{
    for (int i = end - 1; i >= first; i--) {
        FV_TRY(v(p, i, user));
        int step = fv_backward_step(p, i);
        if (!fv_plan_microbatched(p, i)) FV_TRY(poison_dead(p, step, step));
    }
    return FV_OK;
}

/* Ops begin .. stop - 1; those of a micro-batch once for each picture. */
static fv_status along(fv_plan *p, int begin, int stop, bool back, visit v, void *user)
{
    fv_status (*const go)(fv_plan *, int, int, visit, void *) = back ? upwards : downwards;
    int first = p->microbatch.first, last = p->microbatch.last;
    if (!p->microbatch.pictures || first < begin || last >= stop)
        return go(p, begin, stop, v, user);
    FV_TRY(back ? go(p, last + 1, stop, v, user) : go(p, begin, first, v, user));
    for (int k = 0; k < p->microbatch.pictures; k++) {
        fv_microbatch_show(p, k);
        FV_TRY(go(p, first, last + 1, v, user));
    }
    FV_TRY(back ? poison_dead(p, fv_backward_step(p, last), fv_backward_step(p, first))
                : poison_dead(p, fv_forward_step(p, first), fv_forward_step(p, last)));
    return back ? go(p, begin, first, v, user) : go(p, last + 1, stop, v, user);
}

/* All of it, in the order of steps; of the list upwards where there are no subgraphs. */
static fv_status each_op(fv_plan *p, bool back, visit v, void *user)
{
    FV_TRY(along(p, 0, p->trunk_ops, back, v, user));
    for (int b = p->subgraph_count - 1; b >= 0; b--)
        FV_TRY(along(p, p->subgraphs[b].first, p->subgraphs[b].end, back, v, user));
    return FV_OK;
}

static fv_status forward(fv_plan *p, int i, void *user)
{
    (void)user;
    const fv_op *op = fv_running_op(p, i);
    if (!op->fused.done) p->be->kernels[op->kind].forward(p->be, op);
    return FV_OK;
}

static fv_status backward(fv_plan *p, int i, void *user)
{
    (void)user;
    const fv_op *op = fv_running_op(p, i);
    if (!op->dy) return FV_OK;
    if (!fv_recomputes_x(p, op)) {
        p->be->kernels[op->kind].backward(p->be, op);
        return FV_OK;
    }
    fv_op maker = fv_recomputing_op(p, op), again = fv_backward_op(op);
    p->be->kernels[maker.kind].forward(p->be, &maker);
    p->be->kernels[again.kind].backward(p->be, &again);
    return FV_OK;
}

/* From the host: to memory of their own where the backend captures, elsewhere to the gradients of
 * ops begin .. stop - 1. */
static fv_status upload_output_gradients(fv_plan *p, int begin, int stop)
{
    for (int i = 0; i < p->node_count; i++) {
        fv_node *n = p->nodes[i];
        if (!n->output_gradient || n->op < begin || n->op >= stop) continue;
        fv_tensor *to = n->output_gradient_copy.data ? &n->output_gradient_copy : &n->gradient;
        FV_TRY(p->be->upload(p->be, to, FV_F32, n->output_gradient));
        memset(n->output_gradient, 0, fv_count(n->value.shape) * sizeof *n->output_gradient);
    }
    return FV_OK;
}

/* The output gradients of ops begin .. stop - 1 arrive: now their memory is free for them. */
static fv_status take_output_gradients(fv_plan *p, int begin, int stop)
{
    if (!p->be->copy) return upload_output_gradients(p, begin, stop);
    for (int i = 0; i < p->node_count; i++) {
        const fv_node *n = p->nodes[i];
        if (n->output_gradient && n->op >= begin && n->op < stop)
            p->be->copy(p->be, &p->nodes[i]->gradient, &n->output_gradient_copy);
    }
    return FV_OK;
}

static fv_status forward_all(fv_plan *p, visit down)
{
    return each_op(p, false, down, NULL);
}

static fv_status backward_all(fv_plan *p, visit up)
{
    FV_TRY(take_output_gradients(p, 0, p->op_count));
    return each_op(p, true, up, NULL);
}

static fv_status subgraph_both(fv_plan *p, const fv_subgraph *b, visit down, visit up)
{
    FV_TRY(along(p, b->first, b->end, false, down, NULL));
    FV_TRY(take_output_gradients(p, b->first, b->end));
    return along(p, b->first, b->end, true, up, NULL);
}

static fv_status both_all(fv_plan *p, visit down, visit up)
{
    FV_TRY(along(p, 0, p->trunk_ops, false, down, NULL));
    FV_TRY(take_output_gradients(p, 0, p->trunk_ops));
    for (int b = p->subgraph_count - 1; b >= 0; b--)
        FV_TRY(subgraph_both(p, &p->subgraphs[b], down, up));
    return along(p, 0, p->trunk_ops, true, up, NULL);
}

static fv_status enqueue_forward(fv_plan *p)
{
    return forward_all(p, forward);
}

/* Of a plan with subgraphs both ways: backward is never alone. */
static fv_status enqueue_backward(fv_plan *p)
{
    return fv_plan_has_subgraphs(p) ? both_all(p, forward, backward) : backward_all(p, backward);
}

static void enqueue_adam(fv_plan *p)
{
    fv_tensor value = fv_plan_block_tensor(p, FV_BLOCK_VALUE);
    fv_tensor g = fv_plan_block_tensor(p, FV_BLOCK_GRADIENT);
    fv_tensor m = fv_plan_block_tensor(p, FV_BLOCK_M), v = fv_plan_block_tensor(p, FV_BLOCK_V);
    bool bound = p->bounds[0].data != NULL;
    p->be->adam(p->be, &value, &g, &m, &v, bound ? &p->bounds[0] : NULL,
                bound ? &p->bounds[1] : NULL, &p->adam_numbers, &p->adam_stats);
}

static fv_status enqueue_step(fv_plan *p)
{
    FV_TRY(both_all(p, forward, backward));
    enqueue_adam(p);
    return FV_OK;
}

bool fv_plan_captures(const fv_plan *p)
{
    return p->be->capture_begin && !p->hook && !(p->flags & FV_PLAN_POISON);
}

static fv_status run_part(fv_plan *p, int part)
{
    static fv_status (*const enqueue[FV_PARTS])(fv_plan *) = {enqueue_forward, enqueue_backward,
                                                              enqueue_step};
    /* the first time by itself: libraries load their code when it is first used */
    if (!fv_plan_captures(p) || p->runs[part]++ == 0) return enqueue[part](p);
    if (!p->graphs[part]) {
        FV_TRY(p->be->capture_begin(p->be));
        fv_status s = enqueue[part](p); /* fails nowhere: it uploads nothing */
        FV_TRY(p->be->capture_end(p->be, &p->graphs[part]));
        FV_TRY(s);
    }
    return p->be->replay(p->be, p->graphs[part]);
}

/* --- running --- */

static fv_status forward_hooked(fv_plan *p, int i, void *user)
{
    FV_TRY(forward(p, i, user));
    return p->hook(p->hook_user, p, &p->ops[i], false);
}

static fv_status backward_hooked(fv_plan *p, int i, void *user)
{
    if (!p->ops[i].dy) return FV_OK;
    FV_TRY(p->hook(p->hook_user, p, &p->ops[i], true));
    return backward(p, i, user);
}

fv_status fv_plan_forward(fv_plan *p)
{
    FV_TRY(fv_plan_runnable(p, "running a plan forward"));
    if (p->flags & FV_PLAN_POISON) FV_TRY(poison(p, 0, p->arena_bytes));
    FV_TRY(p->hook ? forward_all(p, forward_hooked) : run_part(p, FV_PART_FORWARD));
    return p->be->sync(p->be);
}

fv_status fv_plan_output_gradient(fv_plan *p, fv_ref output, const float *gradient)
{
    FV_TRY(fv_plan_runnable(p, "setting an output gradient"));
    if (output < 0 || output >= p->node_count || !p->nodes[output]->output)
        return fv_fail(FV_ERR_ARGUMENT, "the output gradient of %s: it is no output",
                       fv_plan_name(p, output));
    fv_node *n = p->nodes[output];
    if (n->output_gradient)
        memcpy(n->output_gradient, gradient, fv_count(n->value.shape) * sizeof *gradient);
    return FV_OK; /* no path to a param: it has no effect */
}

static fv_status has_backward(const fv_plan *p, const char *what)
{
    FV_TRY(fv_plan_runnable(p, what));
    if (p->flags & FV_PLAN_BACKWARD) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s: it was built forward only", what);
}

static fv_status no_subgraphs(const fv_plan *p, const char *what)
{
    if (!fv_plan_has_subgraphs(p)) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s: it has subgraphs, which go back as soon as they have run",
                   what);
}

/* To the device, where they wait for their ops. */
static fv_status send_output_gradients(fv_plan *p)
{
    return p->be->copy ? upload_output_gradients(p, 0, p->op_count) : FV_OK;
}

static void forget_output_gradients(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        const fv_node *n = p->nodes[i];
        size_t count = fv_count(n->value.shape);
        if (n->output_gradient) memset(n->output_gradient, 0, count * sizeof *n->output_gradient);
    }
}

fv_status fv_plan_backward(fv_plan *p)
{
    FV_TRY(has_backward(p, "running a plan backward"));
    FV_TRY(no_subgraphs(p, "running a plan backward"));
    FV_TRY(send_output_gradients(p));
    FV_TRY(p->hook ? backward_all(p, backward_hooked) : run_part(p, FV_PART_BACKWARD));
    return p->be->sync(p->be);
}

static fv_status subgraphs_both(fv_plan *p)
{
    if (p->flags & FV_PLAN_POISON) FV_TRY(poison(p, 0, p->arena_bytes));
    FV_TRY(send_output_gradients(p));
    FV_TRY(p->hook ? both_all(p, forward_hooked, backward_hooked) : run_part(p, FV_PART_BACKWARD));
    return p->be->sync(p->be);
}

fv_status fv_plan_forward_backward(fv_plan *p)
{
    FV_TRY(has_backward(p, "running a plan forward and backward"));
    if (!fv_plan_has_subgraphs(p)) {
        FV_TRY(fv_plan_forward(p));
        return fv_plan_backward(p);
    }
    fv_status s = subgraphs_both(p);
    if (s < 0) forget_output_gradients(p);
    return s;
}

/* The part of a block of bounds that is this param's. */
static fv_tensor bound_of(const fv_plan *p, const fv_node *n, int which)
{
    fv_tensor t = p->bounds[which];
    t.name = n->name;
    t.shape = n->value.shape;
    t.data = (char *)t.data + ((char *)n->value.data - (char *)p->blocks[FV_BLOCK_VALUE]);
    return t;
}

static fv_status upload_bound(fv_plan *p, fv_tensor *to, const float *each, size_t channels)
{
    size_t count = fv_count(to->shape);
    float *values = malloc(count * sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "bounding %s: out of memory", to->name);
    for (size_t i = 0; i < count; i++) values[i] = each[i % channels];
    fv_status s = p->be->upload(p->be, to, FV_F32, values);
    free(values);
    return s;
}

/* Both blocks, without bounds. */
static fv_status make_bounds(fv_plan *p)
{
    static const float none[2] = {-INFINITY, INFINITY};
    fv_tensor made[2];
    for (int i = 0; i < 2; i++) {
        made[i] = fv_plan_block_tensor(p, FV_BLOCK_VALUE);
        made[i].data = NULL;
    }
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < 2; i++) {
        s = p->be->alloc(p->be, fv_tensor_bytes(p->be, &made[i]), &made[i].data);
        if (s >= 0) s = upload_bound(p, &made[i], &none[i], 1);
    }
    for (int i = 0; i < 2; i++) {
        if (s >= 0)
            p->bounds[i] = made[i];
        else
            p->be->free(p->be, made[i].data);
    }
    return s;
}

fv_status fv_plan_bound(fv_plan *p, fv_ref param, const float *low, const float *high)
{
    FV_TRY(has_backward(p, "bounding a param"));
    if (param < 0 || param >= p->node_count || p->nodes[param]->value.role != FV_ROLE_PARAM)
        return fv_fail(FV_ERR_ARGUMENT, "bounding a param: there is no such param");
    if (!p->bounds[0].data) FV_TRY(make_bounds(p));
    const fv_node *n = p->nodes[param];
    for (int i = 0; i < 2; i++) {
        fv_tensor t = bound_of(p, n, i);
        FV_TRY(upload_bound(p, &t, i ? high : low, (size_t)n->value.shape.c));
    }
    return FV_OK;
}

fv_status fv_plan_adam_begin(fv_plan *p, const float numbers[FV_ADAM_COLUMNS])
{
    FV_TRY(fv_plan_block_exists(p, FV_BLOCK_M));
    FV_TRY(p->be->upload(p->be, &p->adam_numbers, FV_F32, numbers));
    enqueue_adam(p);
    return FV_OK;
}

fv_status fv_plan_adam(fv_plan *p, const float numbers[FV_ADAM_COLUMNS], float stats[FV_ADAM_STATS])
{
    FV_TRY(fv_plan_adam_begin(p, numbers));
    return fv_plan_step_end(p, stats);
}

fv_status fv_plan_step_begin(fv_plan *p, const float numbers[FV_ADAM_COLUMNS])
{
    FV_TRY(has_backward(p, "running a step"));
    FV_TRY(fv_plan_block_exists(p, FV_BLOCK_M));
    bool captures = fv_plan_captures(p);
    if (!captures) FV_TRY(fv_plan_forward_backward(p));
    if (captures) FV_TRY(send_output_gradients(p));
    FV_TRY(p->be->upload(p->be, &p->adam_numbers, FV_F32, numbers));
    if (captures) return run_part(p, FV_PART_STEP);
    enqueue_adam(p);
    return FV_OK;
}

fv_status fv_plan_step_end(fv_plan *p, float stats[FV_ADAM_STATS])
{
    FV_TRY(p->be->sync(p->be));
    return p->be->download(p->be, &p->adam_stats, FV_F32, stats);
}

fv_status fv_plan_step(fv_plan *p, const float numbers[FV_ADAM_COLUMNS], float stats[FV_ADAM_STATS])
{
    FV_TRY(fv_plan_step_begin(p, numbers));
    return fv_plan_step_end(p, stats);
}

static fv_status can_show(const fv_plan *p, fv_ref r)
{
    FV_TRY(fv_plan_runnable(p, "showing"));
    if (r >= 0 && r < p->node_count && p->nodes[r]->output && p->be->show) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "showing %s: it is no output, or backend %s cannot",
                   fv_plan_name(p, r), p->be->name);
}

fv_status fv_plan_show(fv_plan *p, fv_ref output)
{
    FV_TRY(can_show(p, output));
    return p->be->show(p->be, &p->nodes[output]->value);
}

fv_status fv_plan_shown(fv_plan *p, fv_ref output, float *values)
{
    FV_TRY(can_show(p, output));
    return p->be->shown(p->be, &p->nodes[output]->value, values);
}

/* --- time by op --- */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* Time stamps where work is done later: mark i is taken before the i-th visit. */
typedef struct timing {
    double *ms; /* by op */
    int *ops;   /* of each visit */
    int visits, first;
    visit run;
} timing;

static fv_status time_op(fv_plan *p, int i, void *user)
{
    timing *t = user;
    double begin = now_ms();
    FV_TRY(t->run(p, i, NULL));
    if (!p->be->mark) {
        t->ms[i] += now_ms() - begin;
        return FV_OK;
    }
    t->ops[t->visits++] = i;
    p->be->mark(p->be, t->first + t->visits);
    return FV_OK;
}

static void take_marks(fv_plan *p, const timing *t)
{
    for (int i = 0; i < t->visits; i++)
        t->ms[t->ops[i]] += p->be->milliseconds(p->be, t->first + i, t->first + i + 1);
}

fv_status fv_plan_profile(fv_plan *p, double *forward_ms, double *backward_ms)
{
    FV_TRY(has_backward(p, "timing a plan"));
    FV_TRY(no_subgraphs(p, "timing a plan"));
    int n = p->op_count, visits = n * (p->microbatch.pictures + 1);
    int *ops = calloc(2 * (size_t)visits + 1, sizeof *ops);
    if (!ops) return fv_fail(FV_ERR_MEMORY, "timing a plan: out of memory");
    memset(forward_ms, 0, (size_t)n * sizeof *forward_ms);
    memset(backward_ms, 0, (size_t)n * sizeof *backward_ms);
    timing down = {forward_ms, ops, 0, 0, forward};
    timing up = {backward_ms, ops + visits, 0, visits + 1, backward};
    if (p->be->mark) p->be->mark(p->be, down.first);
    fv_status status = each_op(p, false, time_op, &down);
    if (status >= 0) status = send_output_gradients(p);
    if (status >= 0) status = take_output_gradients(p, 0, p->op_count);
    if (p->be->mark) p->be->mark(p->be, up.first);
    if (status >= 0) status = each_op(p, true, time_op, &up);
    if (status >= 0) status = p->be->sync(p->be);
    if (status >= 0) take_marks(p, &down);
    if (status >= 0) take_marks(p, &up);
    free(ops);
    return status;
}
