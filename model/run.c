/* Running a plan: forward, seeds, backward, Adam; whole steps, recorded where the backend can.
 *
 * A recording holds the same calls with the same addresses. Numbers that change from step to step
 * (views, targets, seeds, Adam's) are uploaded before it is replayed, into memory of their own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/plan_internal.h"

void fv_plan_watch(fv_plan *p, fv_watch watch, void *user)
{
    p->watch = watch;
    p->watch_user = user;
}

static fv_status poison(fv_plan *p)
{
    enum { CHUNK = 1 << 16 };
    double *nan = malloc(CHUNK * sizeof *nan);
    if (!nan) return fv_fail(FV_ERR_MEMORY, "poisoning the arena: out of memory");
    for (int i = 0; i < CHUNK; i++) nan[i] = NAN;
    size_t total = p->arena_bytes / p->be->real_bytes;
    fv_status status = FV_OK;
    for (size_t at = 0; at < total && status >= 0; at += CHUNK) {
        int n = (int)(total - at < CHUNK ? total - at : CHUNK);
        fv_tensor part = {"arena",
                          {1, 1, 1, n},
                          FV_REAL,
                          FV_ROLE_VALUE,
                          (char *)p->arena + at * p->be->real_bytes,
                          FV_FORMAT_REAL};
        status = p->be->upload(p->be, &part, FV_F64, nan);
    }
    free(nan);
    return status;
}

/* --- what a recording consists of --- */

static void forward(fv_plan *p, const fv_op *op)
{
    if (!op->done) p->be->kernels[op->kind].forward(p->be, op);
}

static void enqueue_forward(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) forward(p, &p->ops[i]);
}

static void enqueue_seeds(fv_plan *p)
{
    for (int i = 0; p->be->copy && i < p->node_count; i++)
        if (p->nodes[i]->seed) p->be->copy(p->be, &p->nodes[i]->gradient, &p->nodes[i]->seed_copy);
}

static void enqueue_backward(fv_plan *p)
{
    enqueue_seeds(p);
    for (int i = p->op_count - 1; i >= 0; i--)
        if (p->ops[i].dy) p->be->kernels[p->ops[i].kind].backward(p->be, &p->ops[i]);
}

static void enqueue_adam(fv_plan *p)
{
    fv_tensor value = fv_plan_block_tensor(p, FV_BLOCK_VALUE);
    fv_tensor g = fv_plan_block_tensor(p, FV_BLOCK_GRADIENT);
    fv_tensor m = fv_plan_block_tensor(p, FV_BLOCK_M), v = fv_plan_block_tensor(p, FV_BLOCK_V);
    p->be->adam(p->be, &value, &g, &m, &v, &p->adam_numbers, &p->adam_stats);
}

static void enqueue_step(fv_plan *p)
{
    enqueue_forward(p);
    enqueue_backward(p);
    enqueue_adam(p);
}

bool fv_plan_records(const fv_plan *p)
{
    return p->be->record_begin && !p->watch && !(p->flags & FV_PLAN_POISON);
}

static fv_status run_part(fv_plan *p, int part)
{
    static void (*const enqueue[FV_PARTS])(fv_plan *) = {enqueue_forward, enqueue_backward,
                                                         enqueue_step};
    /* the first time by itself: libraries load their code when it is first used */
    if (!fv_plan_records(p) || p->runs[part]++ == 0) {
        enqueue[part](p);
        return FV_OK;
    }
    if (!p->recordings[part]) {
        FV_TRY(p->be->record_begin(p->be));
        enqueue[part](p);
        FV_TRY(p->be->record_end(p->be, &p->recordings[part]));
    }
    return p->be->replay(p->be, p->recordings[part]);
}

/* --- running --- */

fv_status fv_plan_forward(fv_plan *p)
{
    FV_TRY(fv_plan_runnable(p, "running a plan forward"));
    if (p->flags & FV_PLAN_POISON) FV_TRY(poison(p));
    if (!p->watch) {
        FV_TRY(run_part(p, FV_PART_FORWARD));
        return p->be->sync(p->be);
    }
    for (int i = 0; i < p->op_count; i++) {
        forward(p, &p->ops[i]);
        FV_TRY(p->watch(p->watch_user, p, &p->ops[i], false));
    }
    return p->be->sync(p->be);
}

fv_status fv_plan_seed(fv_plan *p, fv_ref output, const float *seed)
{
    FV_TRY(fv_plan_runnable(p, "seeding a gradient"));
    if (output < 0 || output >= p->node_count || !p->nodes[output]->output)
        return fv_fail(FV_ERR_ARGUMENT, "seeding %s: it is no output", fv_plan_name(p, output));
    fv_node *n = p->nodes[output];
    if (n->seed) memcpy(n->seed, seed, fv_count(n->value.shape) * sizeof *seed);
    return FV_OK; /* no path to a param: the seed has no effect */
}

static fv_status upload_seeds(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        fv_node *n = p->nodes[i];
        if (!n->seed) continue;
        fv_tensor *to = n->seed_copy.data ? &n->seed_copy : &n->gradient;
        FV_TRY(p->be->upload(p->be, to, FV_F32, n->seed));
        memset(n->seed, 0, fv_count(n->value.shape) * sizeof *n->seed);
    }
    return FV_OK;
}

static fv_status backward_watched(fv_plan *p)
{
    enqueue_seeds(p);
    for (int i = p->op_count - 1; i >= 0; i--) {
        if (!p->ops[i].dy) continue;
        FV_TRY(p->watch(p->watch_user, p, &p->ops[i], true));
        p->be->kernels[p->ops[i].kind].backward(p->be, &p->ops[i]);
    }
    return FV_OK;
}

static fv_status has_backward(const fv_plan *p, const char *what)
{
    FV_TRY(fv_plan_runnable(p, what));
    if (p->flags & FV_PLAN_BACKWARD) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s: it was built forward only", what);
}

fv_status fv_plan_backward(fv_plan *p)
{
    FV_TRY(has_backward(p, "running a plan backward"));
    FV_TRY(upload_seeds(p));
    FV_TRY(p->watch ? backward_watched(p) : run_part(p, FV_PART_BACKWARD));
    return p->be->sync(p->be);
}

fv_status fv_plan_adam(fv_plan *p, const float numbers[FV_ADAM_COLUMNS], float stats[FV_ADAM_STATS])
{
    FV_TRY(fv_plan_block_exists(p, FV_BLOCK_M));
    FV_TRY(p->be->upload(p->be, &p->adam_numbers, FV_F32, numbers));
    enqueue_adam(p);
    FV_TRY(p->be->sync(p->be));
    return p->be->download(p->be, &p->adam_stats, FV_F32, stats);
}

fv_status fv_plan_step_begin(fv_plan *p, const float numbers[FV_ADAM_COLUMNS])
{
    FV_TRY(has_backward(p, "running a step"));
    FV_TRY(fv_plan_block_exists(p, FV_BLOCK_M));
    bool records = fv_plan_records(p);
    if (!records) {
        FV_TRY(fv_plan_forward(p));
        FV_TRY(fv_plan_backward(p));
    }
    if (records) FV_TRY(upload_seeds(p));
    FV_TRY(p->be->upload(p->be, &p->adam_numbers, FV_F32, numbers));
    if (records) return run_part(p, FV_PART_STEP);
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

/* A time stamp: an event on the device, or the clock where work is done at once. */
static void stamp(fv_plan *p, double *clock, int i)
{
    if (p->be->mark)
        p->be->mark(p->be, i);
    else
        clock[i] = now_ms();
}

static double between(fv_plan *p, const double *clock, int i)
{
    return p->be->milliseconds ? p->be->milliseconds(p->be, i, i + 1) : clock[i + 1] - clock[i];
}

fv_status fv_plan_profile(fv_plan *p, double *forward_ms, double *backward_ms)
{
    FV_TRY(has_backward(p, "timing a plan"));
    int n = p->op_count;
    double *clock = calloc(2 * (size_t)n + 2, sizeof *clock);
    if (!clock) return fv_fail(FV_ERR_MEMORY, "timing a plan: out of memory");
    stamp(p, clock, 0);
    for (int i = 0; i < n; i++) {
        forward(p, &p->ops[i]);
        stamp(p, clock, i + 1);
    }
    fv_status status = upload_seeds(p);
    enqueue_seeds(p);
    stamp(p, clock, n + 1);
    for (int i = 0; i < n; i++) {
        const fv_op *op = &p->ops[n - 1 - i];
        if (op->dy) p->be->kernels[op->kind].backward(p->be, op);
        stamp(p, clock, n + 2 + i);
    }
    if (status >= 0) status = p->be->sync(p->be);
    for (int i = 0; status >= 0 && i < n; i++) {
        forward_ms[i] = between(p, clock, i);
        backward_ms[n - 1 - i] = between(p, clock, n + 1 + i);
    }
    free(clock);
    return status;
}
