/* Whole plans on the cuda backend: the emulator always, a GPU where there is one.
 *
 * The plan is a step's: params -> waves -> views -> a toy BriVL -> cosines, a neuron and a penalty,
 * and back. Its gradient is held against cpu; graphs against the same calls one by one; every
 * launch, product and allocation is checked by the emulator.
 *
 *   test_cuda                  on the emulator
 *   test_cuda gpu              on the first GPU; exit 77 without one
 *   test_cuda shipped PIXELS   no test: how far the shipped model's gradient is from cpu's in each
 *                              precision, on the emulator */
#include "tests/check.h"

#include <math.h>

#include "feavis/feavis.h"
#include "feavis/imagine/model.h"
#include "feavis/loss.h"
#include "kernels/cuda/cuda.h"
#include "kernels/rng.h"
#include "model/nets/brivl.h"
#include "model/plan/plan_internal.h"
#include "model/weights/weights.h"
#include "tests/gpu.h"

enum { SIDE = 24, IMAGE = 40, VIEWS = 2, STEPS = 4 };

static bool on_gpu;

static const char *unpacked(const char *name)
{
    static char path[1024];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/%s.pth", folder ? folder : ".", name);
    return path;
}

/* A tower of tests/golden/towers, for pictures of IMAGE pixels. */
static fv_brivl *open_tower(const char *name)
{
    fv_brivl *m;
    char config[64];
    snprintf(config, sizeof config, "tests/golden/towers/%s/cfg.yml", name);
    MUST(fv_brivl_open(
        &m, &(fv_network_files){.config = source_file(config), .checkpoint = unpacked(name)}));
    m->base.image_size = m->config.image_size = IMAGE;
    return m;
}

/* "fp16" -> a backend. NULL: no GPU here. */
static fv_backend *open_device(const char *precision)
{
    char spec[32];
    fv_backend *be;
    snprintf(spec, sizeof spec, "%s:%s", on_gpu ? "cuda" : "emulated", precision);
    if (on_gpu) {
        MUST(fv_backend_open(&be, spec, 0));
        return be;
    }
    be = calloc(1, sizeof *be);
    MUST(fv_cuda_emulated_open(be, spec));
    return be;
}

static void no_faults(fv_backend *be)
{
    if (!on_gpu) assert_string_equal(fv_cuda_emulated_stats(be)->faults, "");
}

/* --- the plan --- */

typedef struct step_plan {
    fv_plan *p;
    fv_ref latent, picture, maps, numbers, keys, targets, cosines, neurons, tv;
    fv_ref second; /* cosines of a second tower; FV_NONE */
} step_plan;

/* Orthonormal cosines, rows of frequencies: what the fourier parameterisation multiplies with. */
static void cosine_matrix(float *m, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            m[i * n + k] =
                (float)(sqrt((k ? 2.0 : 1.0) / n) * cos(3.14159265358979 * (i + 0.5) * k / n));
}

/* A tower once more, in a subgraph of its own. */
static void build_second(step_plan *s, const fv_brivl *m, fv_ref views)
{
    fv_plan_subgraph(s->p, 2);
    fv_plan_push(s->p, "second.");
    fv_ref y = fv_network_image(&m->base, s->p, views, true).embedding;
    s->second = fv_linear(s->p, "cosines", y, s->targets, FV_NONE, FV_ACT_NONE);
    fv_plan_output(s->p, s->second);
    fv_plan_pop(s->p);
}

static fv_status build_with(step_plan *s, fv_backend *be, const fv_brivl *m, unsigned flags,
                            bool two)
{
    static float waves[SIDE * SIDE];
    static const float colours[9] = {0.26f, 0.09f, 0.02f, 0.27f, 0, -0.05f, 0.27f, -0.09f, 0.03f};
    static const int32_t channels[2] = {3, 1};
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    s->p = p;
    s->latent = fv_plan_param(p, "latent", (fv_shape){1, SIDE, SIDE, 3});
    cosine_matrix(waves, SIDE);
    fv_ref rows = fv_plan_weight(p, "rows", (fv_shape){1, 1, SIDE, SIDE}, waves);
    fv_ref columns = fv_plan_weight(p, "columns", (fv_shape){1, 1, SIDE, SIDE}, waves);
    fv_ref rgb = fv_plan_weight(p, "rgb", (fv_shape){1, 1, 3, 3}, colours);
    fv_ref x = fv_separable(p, "waves", s->latent, rows, columns);
    x = fv_linear(p, "colours", x, rgb, FV_NONE, FV_ACT_SIGMOID);
    s->picture = x;
    fv_plan_output(p, x);
    s->tv = fv_penalise(p, "tv", x, FV_PENALTY_TV);
    fv_plan_output(p, s->tv);
    s->maps = fv_plan_input(p, "maps", (fv_shape){VIEWS, 1, 1, 6}, FV_REAL);
    s->numbers = fv_plan_input(p, "numbers", (fv_shape){VIEWS, 1, 1, 7}, FV_REAL);
    s->keys = fv_plan_input(p, "keys", (fv_shape){VIEWS, 1, 1, 4}, FV_I32);
    x = fv_warp(p, "cut", x, s->maps, m->base.image_size);
    x = fv_colour_jitter(p, "views", x, s->numbers, s->keys);
    fv_plan_subgraph(p, 1);
    fv_image_layers layers = fv_network_image(&m->base, p, x, true);
    fv_ref map = layers.map, y = layers.embedding;
    s->targets = fv_plan_input(p, "targets", (fv_shape){1, 1, 2, m->base.dim}, FV_REAL);
    s->cosines = fv_linear(p, "cosines", y, s->targets, FV_NONE, FV_ACT_NONE);
    fv_plan_output(p, s->cosines);
    fv_ref numbers = fv_plan_weight_i32(p, "channels", (fv_shape){1, 1, 1, 2}, channels);
    s->neurons = fv_max_hw(p, "llp", fv_gather_channels(p, "llp.maps", map, numbers));
    fv_plan_output(p, s->neurons);
    s->second = FV_NONE;
    if (two) build_second(s, m, x);
    return fv_plan_finish(p, flags);
}

static fv_status build(step_plan *s, fv_backend *be, const fv_brivl *m, unsigned flags)
{
    return build_with(s, be, m, flags, false);
}

static float number(uint32_t i, uint32_t stream)
{
    return 2 * fv_uniform(fv_philox(11, i, 0, 0, stream).v[0]) - 1;
}

static void start(step_plan *s, int dim)
{
    size_t n = fv_plan_param_count(s->p);
    float *latent = malloc(n * sizeof *latent),
          *targets = malloc(2 * (size_t)dim * sizeof *targets);
    for (size_t i = 0; i < n; i++) latent[i] = number((uint32_t)i, 1);
    for (int i = 0; i < 2 * dim; i++) targets[i] = number((uint32_t)i, 2) / sqrtf((float)dim / 3);
    MUST(fv_plan_upload(s->p, s->latent, latent));
    MUST(fv_plan_upload(s->p, s->targets, targets));
    free(latent);
    free(targets);
}

/* Views, noise and output gradients of step t. */
static void set_step(step_plan *s, int image_size, int t)
{
    float maps[6 * VIEWS], numbers[7 * VIEWS];
    int32_t keys[4 * VIEWS];
    float zoom = (float)(SIDE - 1) / (float)(image_size - 1);
    for (int v = 0; v < VIEWS; v++) {
        float turn = 0.1f * (float)(v + t);
        const float map[6] = {zoom * cosf(turn), -zoom * sinf(turn), 1.5f * (float)v,
                              zoom * sinf(turn), zoom * cosf(turn),  -2.25f};
        const float row[7] = {1, 0.95f, 1.05f, 0, 0.02f, -0.02f, 0.03f};
        const int32_t key[4] = {7, 0, t, v};
        memcpy(maps + 6 * v, map, sizeof map);
        memcpy(numbers + 7 * v, row, sizeof row);
        memcpy(keys + 4 * v, key, sizeof key);
    }
    MUST(fv_plan_upload(s->p, s->maps, maps));
    MUST(fv_plan_upload(s->p, s->numbers, numbers));
    MUST(fv_plan_upload_i32(s->p, s->keys, keys));
    const float cosines[4] = {-0.5f, 0.25f, -0.5f, 0.25f}, tv = 0.001f;
    const float neurons[4] = {-0.01f, 0, -0.01f, 0.005f};
    MUST(fv_plan_output_gradient(s->p, s->cosines, cosines));
    const float second[4] = {0.125f, -0.5f, 0.25f, -0.5f};
    if (s->second >= 0) MUST(fv_plan_output_gradient(s->p, s->second, second));
    MUST(fv_plan_output_gradient(s->p, s->neurons, neurons));
    MUST(fv_plan_output_gradient(s->p, s->tv, &tv));
}

static void adam_numbers(float k[FV_ADAM_COLUMNS], int t)
{
    const float all[FV_ADAM_COLUMNS] = {
        0.05f,     0.9f,    0.99f, 1e-12f, 1 - powf(0.9f, (float)t), 1 - powf(0.99f, (float)t),
        -INFINITY, INFINITY};
    memcpy(k, all, sizeof all);
}

static float *gradient_of(step_plan *s)
{
    float *g = malloc(fv_plan_param_count(s->p) * sizeof *g);
    MUST(fv_plan_block_download(s->p, FV_BLOCK_GRADIENT, g));
    return g;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Forward and backward once; the gradient (caller frees) and the cosines. */
static float *one_gradient(fv_backend *be, const fv_brivl *m, unsigned flags, float cosines[4])
{
    step_plan s;
    MUST(build(&s, be, m, flags));
    start(&s, m->base.dim);
    set_step(&s, m->base.image_size, 0);
    MUST(fv_plan_forward(s.p));
    MUST(fv_plan_download(s.p, s.cosines, cosines));
    MUST(fv_plan_backward(s.p));
    float *g = gradient_of(&s);
    fv_plan_free(s.p);
    return g;
}

/* --- against cpu --- */

static void check_tower(const char *name, const char *precision, double least, double close,
                        bool poisoned)
{
    fv_backend *ref, *be = open_device(precision);
    fv_brivl *m = open_tower(name);
    /* cpu is the quick one; test_tower holds it against the official code, test_ops against ref64
     */
    MUST(fv_backend_open(&ref, "cpu", 0));
    size_t before = on_gpu ? 0 : fv_cuda_emulated_stats(be)->allocated, n = 3 * SIDE * SIDE;
    float a[4], b[4], c[4];
    float *expected = one_gradient(ref, m, FV_PLAN_BACKWARD, a);
    float *found = one_gradient(be, m, FV_PLAN_BACKWARD, b);
    for (int i = 0; i < 4; i++)
        if (!(fabsf(a[i] - b[i]) < (float)close))
            fail_msg("%s, %s: cosine %d is %g, cpu has %g", name, precision, i, (double)b[i],
                     (double)a[i]);
    double agreement = cosine(expected, found, n);
    if (!(agreement >= least))
        fail_msg("%s, %s: the gradient's cosine to cpu's is %.6f, expected %g", name, precision,
                 agreement, least);
    printf("%s, %s: cosine of the gradient to cpu's 1 - %.1e\n", name, precision, 1 - agreement);
    /* no byte is read before it is written, and nothing outlives its span */
    if (poisoned) {
        float *again = one_gradient(be, m, FV_PLAN_BACKWARD | FV_PLAN_POISON, c);
        assert_memory_equal(found, again, n * sizeof *found);
        assert_memory_equal(b, c, sizeof b);
        free(again);
    }
    no_faults(be);
    if (!on_gpu) assert_int_equal(fv_cuda_emulated_stats(be)->allocated, before);
    free(expected);
    free(found);
    fv_network_close(&m->base);
    fv_backend_close(ref);
    fv_backend_close(be);
}

/* fp32: another order of sums. 16 bits: the roundings of every layer, there and back. */
static void towers_in_float(void **state)
{
    (void)state;
    check_tower("b0", "fp32", 0.9999, 2e-5, false);
    check_tower("lite0", "fp32:own", 0.9999, 2e-5, false);
}

static void towers_in_half(void **state)
{
    (void)state;
    check_tower("b0", "fp16", 0.999, 2e-3, true);
    check_tower("b0", "tf32", 0.999, 2e-3, false);
    if (on_gpu) check_tower("b0", "fp16:blas", 0.999, 2e-3, false);
    if (on_gpu) check_tower("b0", "fp16:own", 0.999, 2e-3, false);
    /* relu6 with random weights: a rounded number that crosses a corner takes its whole gradient
     * along. 0.95 at 72 pixels, and as far below in bf16 as its roundings are larger. */
    check_tower("lite0", "fp16", 0.85, 1e-2, false);
}

static void towers_in_bfloat(void **state)
{
    (void)state;
    check_tower("b0", "bf16", 0.95, 2e-2, false);
}

/* --- graph capture --- */

static fv_status look(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    (void)p;
    (void)op;
    (void)backward;
    ++*(int *)user;
    return FV_OK;
}

/* STEPS steps as whole steps, as three calls, or with a hook, op by op: the params afterwards. */
static float *run_steps(fv_backend *be, const fv_brivl *m, int how, bool two, unsigned flags,
                        float stats[FV_ADAM_STATS])
{
    step_plan s;
    int looks = 0;
    MUST(build_with(&s, be, m, FV_PLAN_BACKWARD | flags, two));
    assert_true(fv_plan_has_subgraphs(s.p) == (two && flags));
    if (how == 2) fv_plan_hook(s.p, look, &looks);
    assert_true(fv_plan_captures(s.p) == (how != 2));
    start(&s, m->base.dim);
    for (int t = 0; t < STEPS; t++) {
        float numbers[FV_ADAM_COLUMNS];
        adam_numbers(numbers, t + 1);
        set_step(&s, m->base.image_size, t);
        if (how == 0) {
            MUST(fv_plan_step(s.p, numbers, stats));
            continue;
        }
        MUST(fv_plan_forward_backward(s.p));
        MUST(fv_plan_adam(s.p, numbers, stats));
    }
    if (how == 2) assert_true(looks > STEPS * fv_plan_op_count(s.p));
    float *params = malloc(fv_plan_param_count(s.p) * sizeof *params);
    MUST(fv_plan_block_download(s.p, FV_BLOCK_VALUE, params));
    fv_plan_free(s.p);
    return params;
}

static void graphs_give_the_same_bytes(void **state)
{
    (void)state;
    fv_backend *be = open_device("fp16");
    fv_brivl *m = open_tower("lite0");
    float *params[3], stats[3][FV_ADAM_STATS];
    for (int how = 0; how < 3; how++) {
        params[how] = run_steps(be, m, how, false, 0, stats[how]);
        assert_true(stats[how][FV_ADAM_STAT_BAD] == 0 && stats[how][FV_ADAM_STAT_NORM2] > 0);
    }
    for (int how = 1; how < 3; how++) {
        assert_memory_equal(params[0], params[how], 3 * SIDE * SIDE * sizeof(float));
        assert_memory_equal(stats[0], stats[how], sizeof stats[0]);
    }
    no_faults(be);
    if (!on_gpu) {
        /* one of whole steps; one of forward and one of backward */
        assert_int_equal(fv_cuda_emulated_stats(be)->captures, 3);
        assert_int_equal(fv_cuda_emulated_stats(be)->replays, 3 * (STEPS - 1));
    }
    for (int how = 0; how < 3; how++) free(params[how]);
    fv_network_close(&m->base);
    fv_backend_close(be);
}

/* Two towers, one after the other in one memory, as a graph, as calls, with a hook: the bytes of
 * both at once. */
static void subgraphs_give_the_same_bytes(void **state)
{
    (void)state;
    fv_backend *be = open_device("fp16");
    fv_brivl *m = open_tower("lite0");
    float stats[2][FV_ADAM_STATS];
    float *expected = run_steps(be, m, 0, true, 0, stats[0]);
    int captures = on_gpu ? 0 : (int)fv_cuda_emulated_stats(be)->captures;
    for (int how = 0; how < 4; how++) {
        unsigned poison = how == 3 ? FV_PLAN_POISON : 0;
        float *found =
            run_steps(be, m, how == 3 ? 2 : how, true, FV_PLAN_SUBGRAPHS | poison, stats[1]);
        assert_memory_equal(found, expected, 3 * SIDE * SIDE * sizeof(float));
        assert_memory_equal(stats[0], stats[1], sizeof stats[0]);
        free(found);
    }
    no_faults(be);
    /* one of whole steps; one of forward and backward */
    if (!on_gpu) assert_int_equal(fv_cuda_emulated_stats(be)->captures, captures + 2);
    free(expected);
    fv_network_close(&m->base);
    fv_backend_close(be);
}

/* --- a plan of full size, on a device that runs nothing --- */

/* Which value, auxiliary or gradient each line of the arena holds. */
enum { LINE = FV_ALIGNMENT };
typedef struct ledger {
    const fv_plan *p;
    const fv_tensor **owner; /* [arena / LINE] */
    const fv_op *op;         /* the one that runs */
    long pointers;
} ledger;

/* Gradients that share memory are one. */
static const fv_tensor *root_of(const fv_tensor *gradient)
{
    const fv_node *n = (const void *)((const char *)gradient - offsetof(fv_node, gradient));
    while (n->shares) n = n->shares;
    return &n->gradient;
}

static bool in_arena(const ledger *l, const void *at)
{
    const char *arena = l->p->arena;
    return (const char *)at >= arena && (const char *)at < arena + l->p->arena_bytes;
}

static size_t first_line(const ledger *l, const fv_tensor *t)
{
    return (size_t)((const char *)t->data - (const char *)l->p->arena) / LINE;
}

static size_t lines_of(const ledger *l, const fv_tensor *t)
{
    if (!t || !in_arena(l, t->data)) return 0;
    assert_int_equal((uintptr_t)t->data % LINE, 0);
    return (fv_tensor_bytes(l->p->be, t) + LINE - 1) / LINE;
}

static void written(ledger *l, const fv_tensor *t)
{
    for (size_t i = 0, n = lines_of(l, t); i < n; i++) l->owner[first_line(l, t) + i] = t;
}

static void is_whole(const ledger *l, const fv_tensor *t, const char *what)
{
    for (size_t i = 0, n = lines_of(l, t); i < n; i++) {
        const fv_tensor *owner = l->owner[first_line(l, t) + i];
        if (owner != t)
            fail_msg("%s reads %s, %s, where %s has been written", l->op ? l->op->name : "the end",
                     what, t->name, owner ? owner->name : "nothing");
    }
}

static bool within(const fv_backend *be, const fv_tensor *t, const void *at)
{
    return t && t->data && (const char *)at >= (const char *)t->data &&
           (const char *)at < (const char *)t->data + fv_tensor_bytes(be, t);
}

/* A kernel of an op may be given pointers to that op's operands, and outside the arena. */
static void see(void *user, const char *kernel, const void *at)
{
    ledger *l = user;
    const fv_op *op = l->op;
    l->pointers++;
    if (!op || !in_arena(l, at)) return;
    const fv_tensor *all[] = {op->x,   op->x2, op->w,  op->b,   op->y,
                              op->aux, op->dy, op->dx, op->dx2, op->fused.kept_x};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (within(l->p->be, all[i], at)) return;
    fail_msg("%s: kernel %s is given memory that is none of its operands'", op->name, kernel);
}

static void kept_is_whole(const ledger *l, const fv_op *op)
{
    unsigned keeps = fv_ops[op->kind].keeps(op);
    is_whole(l, root_of(op->dy), "its gradient");
    if (keeps & FV_KEEP_X) is_whole(l, op->fused.kept_x ? op->fused.kept_x : op->x, "its input");
    if (keeps & FV_KEEP_X2) is_whole(l, op->x2, "its second input");
    if (keeps & FV_KEEP_Y) is_whole(l, op->y, "its result");
    if (keeps & FV_KEEP_AUX) is_whole(l, op->aux, "what it kept");
}

static void walk_forward(ledger *l)
{
    for (int i = 0; i < fv_plan_op_count(l->p); i++) {
        const fv_op *op = l->op = fv_plan_op(l->p, i);
        written(l, op->aux);
        written(l, op->y);
        is_whole(l, op->x, "its input");
        is_whole(l, op->x2, "its second input");
        l->p->be->kernels[op->kind].forward(l->p->be, op);
    }
}

static void walk_backward(ledger *l)
{
    for (int i = fv_plan_op_count(l->p) - 1; i >= 0; i--) {
        const fv_op *op = l->op = fv_plan_op(l->p, i);
        if (!op->dy) continue;
        kept_is_whole(l, op);
        if (op->dx && op->add_dx) is_whole(l, root_of(op->dx), "the gradient it adds to");
        if (op->dx) written(l, root_of(op->dx));
        if (op->dx2 && op->add_dx2) is_whole(l, root_of(op->dx2), "the gradient it adds to");
        if (op->dx2) written(l, root_of(op->dx2));
        kept_is_whole(l, op); /* what it writes lies nowhere that it reads */
        l->p->be->kernels[op->kind].backward(l->p->be, op);
    }
}

/* Runs a step by hand, with no number computed: every operand must be in memory that nobody else
 * has taken since it was written. */
static void walk(const fv_plan *p)
{
    fv_emulated_stats *stats = fv_cuda_emulated_stats(p->be);
    ledger l = {.p = p, .owner = calloc(p->arena_bytes / LINE + 1, sizeof *l.owner)};
    stats->on_pointer = see;
    stats->user = &l;
    walk_forward(&l);
    for (int i = 0; i < p->node_count; i++)
        if (p->nodes[i]->output_gradient) written(&l, root_of(&p->nodes[i]->gradient));
    walk_backward(&l);
    l.op = NULL;
    for (int i = 0; i < p->node_count; i++)
        if (p->nodes[i]->output) is_whole(&l, &p->nodes[i]->value, "an output");
    assert_true(l.pointers > 5 * fv_plan_op_count(p));
    stats->on_pointer = NULL;
    free(l.owner);
}

static long launches_of(fv_backend *be, const char *name)
{
    long count;
    const char *found;
    for (int i = 0; (found = fv_cuda_emulated_launch(be, i, &count)); i++)
        if (strcmp(found, name) == 0) return count;
    return 0;
}

/* EfficientNet-B0 with head at 456 pixels: limits of launches, operands, lifetimes, and how many
 * launches a step has. */
static void a_large_plan_keeps_to_the_limits(void **state)
{
    (void)state;
    if (on_gpu) skip();
    static const char *const precisions[] = {"fp16", "fp32", "bf16:own"};
    for (int i = 0; i < 3; i++) {
        fv_brivl *m;
        step_plan s;
        fv_backend *be = open_device(precisions[i]);
        fv_emulated_stats *stats = fv_cuda_emulated_stats(be);
        stats->dry = true;
        MUST(fv_brivl_open(
            &m, &(fv_network_files){.config = source_file("tests/golden/towers/b0/cfg.yml"),
                                    .checkpoint = unpacked("b0")}));
        m->base.image_size = m->config.image_size = 456;
        MUST(build(&s, be, m, FV_PLAN_BACKWARD));
        long before = stats->launches + stats->products;
        walk(s.p);
        long launches = stats->launches + stats->products - before, blocks = 16;
        /* ops have been fused: no pass over a map for an add, a gate, or an activation but
         * that of the network's last convolution and the head's relu layers */
        assert_int_equal(launches_of(be, "squeeze_excite"), blocks);
        assert_int_equal(launches_of(be, "dwconv2d"), blocks);
        assert_int_equal(launches_of(be, "dwconv2d backward"), blocks);
        assert_int_equal(launches_of(be, "add") + launches_of(be, "mul_channel"), 0);
        assert_int_equal(launches_of(be, "residual backward"), 0);
        /* 12 a block; the rest are stem, head, objectives, views and parameterisation */
        assert_true(launches <= 12 * blocks + 64);
        if (i == 0) printf("B0 with head, %d ops: %ld launches\n", fv_plan_op_count(s.p), launches);
        fv_plan_free(s.p);
        no_faults(be);
        fv_network_close(&m->base);
        fv_backend_close(be);
    }
}

/* --- pictures on their way --- */

/* What is shown after a step is that step's, whatever has been enqueued since; and a step that is
 * replayed waits for nothing until its end. */
static void a_picture_does_not_wait_and_is_not_overtaken(void **state)
{
    (void)state;
    enum { N = 3 * SIDE * SIDE };
    fv_backend *be = open_device("fp16");
    step_plan s;
    float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS];
    float *now = malloc(N * sizeof *now), *then = malloc(N * sizeof *then);
    fv_brivl *m = open_tower("lite0");
    MUST(build(&s, be, m, FV_PLAN_BACKWARD));
    start(&s, m->base.dim);
    for (int t = 0; t < STEPS; t++) {
        long waits = on_gpu ? 0 : fv_cuda_emulated_stats(be)->waits;
        adam_numbers(numbers, t + 1);
        set_step(&s, m->base.image_size, t);
        MUST(fv_plan_step_begin(s.p, numbers));
        if (t > 0) { /* that of the step before, though this one is on its way */
            MUST(fv_plan_shown(s.p, s.picture, then));
            assert_memory_equal(then, now, N * sizeof *now);
        }
        if (!on_gpu) assert_int_equal(fv_cuda_emulated_stats(be)->waits, waits);
        MUST(fv_plan_step_end(s.p, stats));
        MUST(fv_plan_show(s.p, s.picture));
        MUST(fv_plan_download(s.p, s.picture, now));
        if (t > 0) assert_memory_not_equal(then, now, N * sizeof *now);
    }
    FAILS(fv_plan_show(s.p, s.latent), FV_ERR_ARGUMENT, "latent");
    fv_plan_free(s.p);
    no_faults(be);
    free(now);
    free(then);
    fv_network_close(&m->base);
    fv_backend_close(be);
}

/* --- sessions --- */

enum { PICTURE = 40, FEW = 4 };

/* A model of the toy on this device instead of the one that its options could name. */
static fv_model *open_model(fv_backend *be, fv_options *o)
{
    fv_model *m;
    MUST(fv_options_set(o, "config", source_file("tests/golden/towers/lite0/cfg.yml")));
    MUST(fv_options_set(o, "checkpoint", unpacked("lite0")));
    MUST(fv_options_set(o, "vocab", source_file("tests/golden/text_vocab.txt")));
    MUST(fv_options_set(o, "text", "moon"));
    MUST(fv_options_set(o, "size", "40"));
    MUST(fv_options_set(o, "views", "1"));
    MUST(fv_options_set(o, "backend", "cpu"));
    MUST(fv_model_open(&m, o));
    fv_store_free(m->engine->store);
    fv_backend_close(m->engine->backend);
    m->engine->backend = be;
    MUST(fv_store_new(&m->engine->store, be));
    m->network->source.store = m->engine->store;
    return m;
}

/* FEW steps, captured or (because the gradient is wanted) op by op: the same picture. */
static void sessions_replay_their_steps(void **state)
{
    (void)state;
    static uint8_t rgb[2][PICTURE * PICTURE * 3];
    for (int hooked = 0; hooked < 2; hooked++) {
        fv_backend *be = open_device("fp16");
        fv_options *o;
        fv_session *s;
        fv_progress progress;
        fv_picture picture;
        MUST(fv_options_new(&o));
        fv_model *m = open_model(be, o);
        MUST(fv_session_open(&s, m, o));
        fv_session_want_gradient(s, hooked);
        for (int i = 0; i < FEW; i++) MUST(fv_session_step(s, &progress));
        assert_true(progress.gradient > 0 && isfinite(progress.loss) && progress.restored == 0);
        MUST(fv_session_preview(s, &picture));
        memcpy(rgb[hooked], picture.rgb, sizeof rgb[0]);
        fv_picture_free(&picture);
        no_faults(be);
        /* steps 1 to 3 are whole; the first of them runs by itself, the others are replayed */
        if (!on_gpu) assert_int_equal(fv_cuda_emulated_stats(be)->replays, hooked ? 0 : FEW - 2);
        fv_session_cancel(s);
        assert_int_equal(fv_session_step(s, &progress), FV_CANCELLED);
        fv_session_close(s);
        fv_model_close(m);
        fv_options_free(o);
    }
    assert_memory_equal(rgb[0], rgb[1], sizeof rgb[0]);
}

/* --- what is refused, and how --- */

static void too_little_memory_says_what_to_lower(void **state)
{
    (void)state;
    if (on_gpu) skip();
    fv_backend *be = open_device("fp32");
    step_plan s;
    fv_brivl *m = open_tower("lite0");
    MUST(build(&s, be, m, FV_PLAN_BACKWARD));
    size_t needed = fv_cuda_emulated_stats(be)->allocated;
    size_t arena = fv_plan_describe(s.p).arena_bytes;
    fv_plan_free(s.p);
    fv_cuda_emulated_stats(be)->memory_limit = needed - arena / 2;
    FAILS(build(&s, be, m, FV_PLAN_BACKWARD), FV_ERR_MEMORY, "lower --views");
    fv_plan_free(s.p);
    no_faults(be);
    fv_network_close(&m->base);
    fv_backend_close(be);
}

static void specs(void **state)
{
    (void)state;
    int device;
    char precision[8];
    fv_cuda_libraries libraries;
    MUST(fv_cuda_parse("cuda", &device, precision, &libraries));
    assert_int_equal(device, -1);
    assert_string_equal(precision, "fp16");
    MUST(fv_cuda_parse("cuda:12:tf32:own", &device, precision, &libraries));
    assert_int_equal(device, 12);
    assert_string_equal(precision, "tf32");
    assert_int_equal(libraries, FV_CUDA_OWN);
    MUST(fv_cuda_parse("cuda:blas", &device, precision, &libraries));
    assert_int_equal(libraries, FV_CUDA_BLAS);
    FAILS(fv_cuda_parse("cuda:1x", &device, precision, &libraries), FV_ERR_ARGUMENT, "GPU number");
    FAILS(fv_cuda_parse("cuda::", &device, precision, &libraries), FV_ERR_ARGUMENT,
          "expected cuda");
    fv_backend be = {.name = ""};
    FAILS(fv_cuda_emulated_open(&be, "emulated:int4"), FV_ERR_ARGUMENT, "int4");
    /* a machine without a GPU, or a build without CUDA: one line that says so */
    fv_backend *out;
    if (!on_gpu && fv_backend_open(&out, "cuda:999", 0) >= 0) fail_msg("there is no GPU 999");
    assert_non_null(strstr(fv_error(), "cuda"));
    MUST(fv_backend_open(&out, "auto", 1));
    fv_backend_close(out);
}

/* A network with relu6 computes in float unless somebody asks for less. */
static void corners_want_float(void **state)
{
    (void)state;
    static const struct {
        const char *tower, *asked, *opened;
    } all[] = {{"lite0", "auto", "auto:fp32"},
               {"lite0", "cuda", "cuda:fp32"},
               {"lite0", "cuda:1", "cuda:1:fp32"},
               {"lite0", "cuda:1:fp16", "cuda:1:fp16"},
               {"lite0", "cuda:own", "cuda:own:fp32"},
               {"lite0", "cpu", "cpu"},
               {"lite0", "ref", "ref"},
               {"b0", "auto", "auto"},
               {"b0", "cuda:1", "cuda:1"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        fv_brivl *m;
        char config[64], spec[FV_BACKEND_SPEC];
        snprintf(config, sizeof config, "tests/golden/towers/%s/cfg.yml", all[i].tower);
        MUST(fv_brivl_open(&m, &(fv_network_files){.config = source_file(config),
                                                   .checkpoint = unpacked(all[i].tower)}));
        snprintf(spec, sizeof spec, "%s", all[i].asked);
        fv_network *one = &m->base;
        fv_engine_precision(&one, 1, spec, sizeof spec);
        assert_string_equal(spec, all[i].opened);
        fv_network_close(&m->base);
    }
}

/* The emulator finds what it is there to find. */
static void faults_are_seen(void **state)
{
    (void)state;
    if (on_gpu) skip();
    fv_backend *be = open_device("fp32");
    void *memory, *graph;
    float numbers[4] = {0};
    fv_tensor t = {"t", {1, 1, 1, 4}, FV_REAL, FV_ROLE_VALUE, numbers, FV_FORMAT_F32};
    assert_true(be->upload(be, &t, FV_F32, numbers) < 0); /* not device memory */
    assert_non_null(strstr(fv_cuda_emulated_stats(be)->faults, "outside device memory"));
    fv_backend_close(be);
    be = open_device("fp32");
    MUST(be->capture_begin(be));
    (void)!be->alloc(be, 64, &memory);
    be->free(be, memory);
    assert_true(be->capture_end(be, &graph) < 0);
    assert_non_null(strstr(fv_cuda_emulated_stats(be)->faults, "allocating while capturing"));
    be->free_graph(be, graph);
    fv_backend_close(be);
    be = open_device("fp32");
    MUST(be->capture_begin(be));
    assert_true(be->sync(be) < 0);
    assert_true(be->capture_end(be, &graph) < 0);
    assert_non_null(strstr(fv_cuda_emulated_stats(be)->faults, "waiting while capturing"));
    be->free_graph(be, graph);
    fv_backend_close(be);
    be = open_device("fp32");
    fv_tensor y = t;
    fv_op op = {.kind = FV_OP_ACT, .name = "late", .act = FV_ACT_RELU, .x = &t, .y = &y};
    MUST(be->alloc(be, 64, &t.data));
    MUST(be->alloc(be, 64, &y.data));
    be->free(be, t.data);
    be->kernels[FV_OP_ACT].forward(be, &op);
    assert_true(be->sync(be) < 0);
    assert_non_null(strstr(fv_cuda_emulated_stats(be)->faults, "act: a pointer to memory that"));
    be->free(be, y.data);
    fv_backend_close(be);
}

static int measure_shipped(int pixels)
{
    static const char *const precisions[] = {"fp32", "tf32", "fp16", "bf16"};
    fv_brivl *m;
    fv_backend *cpu;
    float cosines[4];
    MUST(fv_brivl_open(&m, &(fv_network_files){.config = source_file("model/mini/mini.yml")}));
    m->base.image_size = m->config.image_size = pixels;
    MUST(fv_backend_open(&cpu, "cpu", 0));
    float *expected = one_gradient(cpu, m, FV_PLAN_BACKWARD, cosines);
    for (int i = 0; i < 4; i++) {
        fv_backend *be = open_device(precisions[i]);
        float *found = one_gradient(be, m, FV_PLAN_BACKWARD, cosines);
        printf("%s at %d pixels, %s: cosine of the gradient to cpu's %.6f\n", m->base.title, pixels,
               precisions[i], cosine(expected, found, 3 * SIDE * SIDE));
        fflush(stdout);
        free(found);
        fv_backend_close(be);
    }
    free(expected);
    fv_network_close(&m->base);
    fv_backend_close(cpu);
    return 0;
}

int main(int count, char **args)
{
    if (count > 2 && strcmp(args[1], "shipped") == 0) return measure_shipped(atoi(args[2]));

    on_gpu = count > 1 && strcmp(args[1], "gpu") == 0;
    if (on_gpu && !there_is_a_gpu()) return SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(towers_in_float),
        cmocka_unit_test(towers_in_half),
        cmocka_unit_test(towers_in_bfloat),
        cmocka_unit_test(graphs_give_the_same_bytes),
        cmocka_unit_test(subgraphs_give_the_same_bytes),
        cmocka_unit_test(a_large_plan_keeps_to_the_limits),
        cmocka_unit_test(a_picture_does_not_wait_and_is_not_overtaken),
        cmocka_unit_test(sessions_replay_their_steps),
        cmocka_unit_test(too_little_memory_says_what_to_lower),
        cmocka_unit_test(specs),
        cmocka_unit_test(corners_want_float),
        cmocka_unit_test(faults_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
