/* The plan: planned memory, failed builders, gradients that add up, Adam. */
#include <math.h>

#include "kernels/rng.h"
#include "model/plan/hooks.h"
#include "model/plan/memory.h"
#include "model/plan/plan_internal.h"
#include "tests/check.h"

/* --- memory --- */

static bool meet(const fv_span *a, const fv_span *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static void spans_that_meet_never_overlap(void **state)
{
    (void)state;
    enum { SPANS = 120, ROUNDS = 60 };
    double worst = 1;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        fv_span spans[SPANS];
        for (uint32_t i = 0; i < SPANS; i++) {
            fv_random4 r = fv_philox(11, i, round, 0, 0);
            int first = (int)(r.v[0] % 80);
            spans[i] = (fv_span){1 + r.v[1] % 5000, first, first + (int)(r.v[2] % 12), 0};
        }
        size_t arena, bound = fv_memory_bound(spans, SPANS);
        MUST(fv_memory_plan(spans, SPANS, &arena));
        assert_true(arena >= bound);
        if ((double)arena / (double)bound > worst) worst = (double)arena / (double)bound;
        for (int i = 0; i < SPANS; i++) {
            assert_int_equal(spans[i].offset % FV_ALIGNMENT, 0);
            assert_true(spans[i].offset + spans[i].bytes <= arena);
            for (int j = 0; j < i; j++) {
                const fv_span *a = &spans[i], *b = &spans[j];
                if (meet(a, b))
                    assert_true(a->offset + a->bytes <= b->offset ||
                                b->offset + b->bytes <= a->offset);
            }
        }
    }
    /* greedy by size is no optimum, but never far from it */
    assert_true(worst < 1.35);
}

static void memory_is_shared_and_bounded(void **state)
{
    (void)state;
    fv_span chain[] = {{1000, 0, 1, 0}, {1000, 1, 2, 0}, {1000, 2, 3, 0}, {1000, 3, 4, 0}};
    size_t arena;
    MUST(fv_memory_plan(chain, 4, &arena));
    assert_int_equal(arena, 2048); /* two at a time, each rounded up to 64 */
    MUST(fv_memory_plan(NULL, 0, &arena));
    assert_int_equal(arena, 0);
    fv_span huge[] = {{SIZE_MAX - 100, 0, 1, 0}, {SIZE_MAX - 100, 0, 1, 0}};
    assert_true(fv_memory_plan(huge, 2, &arena) < 0);
}

/* --- building --- */

static fv_backend *open_backend(const char *name)
{
    fv_backend *be;
    MUST(fv_backend_open(&be, name, 2));
    return be;
}

static void first_failure_is_reported(void **state)
{
    (void)state;
    fv_backend *be = open_backend("ref");
    fv_plan *p;
    float w[6] = {0};
    MUST(fv_plan_new(&p, be));
    fv_plan_push(p, "net.");
    fv_ref x = fv_plan_param(p, "x", (fv_shape){1, 1, 1, 4});
    fv_ref bad = fv_linear(p, "first", x, fv_plan_weight(p, "w", (fv_shape){1, 1, 2, 3}, w),
                           FV_NONE, FV_ACT_NONE);
    assert_int_equal(bad, -1);
    fv_ref later = fv_add(p, "second", bad, bad);
    assert_int_equal(later, -1);
    assert_int_equal(fv_plan_shape(p, later).c, 0);
    fv_plan_output(p, later);
    FAILS(fv_plan_finish(p, FV_PLAN_BACKWARD), FV_ERR_SHAPE, "net.first");
    fv_plan_free(p);
    fv_backend_close(be);
}

/* y = |act(x W) + x|^2-like: x is read twice, so its gradient must add up. */
typedef struct small {
    fv_plan *plan;
    fv_ref x, y;
} small;

enum { ROWS = 3, WIDTH = 5 };

static small build_small(fv_backend *be, unsigned flags)
{
    small s;
    float w[WIDTH * WIDTH], one[WIDTH];
    for (uint32_t i = 0; i < WIDTH * WIDTH; i++) {
        w[i] = fv_uniform(fv_philox(3, i, 0, 0, 0).v[0]) - 0.5f;
    }
    for (int i = 0; i < WIDTH; i++) one[i] = 1;
    MUST(fv_plan_new(&s.plan, be));
    s.x = fv_plan_param(s.plan, "x", (fv_shape){1, 1, ROWS, WIDTH});
    fv_ref weight = fv_plan_weight(s.plan, "w", (fv_shape){1, 1, WIDTH, WIDTH}, w);
    fv_ref a = fv_linear(s.plan, "a", s.x, weight, FV_NONE, FV_ACT_TANH);
    fv_ref b = fv_add(s.plan, "b", a, s.x);
    fv_ref c = fv_add(s.plan, "c", b, b);
    fv_ref d = fv_l2norm(s.plan, "d", c, 1e-12);
    s.y = fv_linear(s.plan, "y", d, fv_plan_weight(s.plan, "one", (fv_shape){1, 1, 1, WIDTH}, one),
                    FV_NONE, FV_ACT_NONE);
    fv_plan_output(s.plan, s.y);
    MUST(fv_plan_finish(s.plan, flags));
    return s;
}

static double sum_of_y(const small *s, const float *x)
{
    float y[ROWS];
    double sum = 0;
    MUST(fv_plan_upload(s->plan, s->x, x));
    MUST(fv_plan_forward(s->plan));
    MUST(fv_plan_download(s->plan, s->y, y));
    for (int i = 0; i < ROWS; i++) sum += (double)y[i];
    return sum;
}

/* Without a backend there are shapes and no memory. Sizes that are not known go through, and stand
 * where an op does not fit them; what is known is checked. */
static void a_plan_without_backend_has_shapes_alone(void **state)
{
    (void)state;
    enum { HUGE_ROWS = 1 << 24, UNKNOWN = FV_UNKNOWN_SIZE };
    fv_plan *p;
    MUST(fv_plan_new(&p, NULL));
    fv_ref x = fv_plan_input(p, "x", (fv_shape){1, 1, 2, 1 << 20}, FV_REAL);
    fv_ref wide = fv_plan_weight(p, "w", (fv_shape){1, 1, HUGE_ROWS, 1 << 20}, NULL); /* 64 TiB */
    fv_ref open = fv_plan_weight(p, "open", (fv_shape){1, 1, UNKNOWN, HUGE_ROWS}, NULL);
    fv_ref y = fv_linear(p, "y", x, wide, FV_NONE, FV_ACT_NONE);
    assert_int_equal(fv_plan_shape(p, y).c, HUGE_ROWS);
    fv_ref z = fv_linear(p, "z", y, open, FV_NONE, FV_ACT_NONE);
    assert_int_equal(fv_plan_shape(p, z).c, UNKNOWN);
    fv_ref sum = fv_add(p, "sum", y, z);
    assert_int_equal(fv_plan_shape(p, sum).c, UNKNOWN);
    assert_int_equal(fv_plan_describe(p).weight_bytes, 0);
    MUST(fv_plan_status(p));
    assert_true(fv_add(p, "wrong", x, y) == -1);
    FAILS(fv_plan_status(p), FV_ERR_SHAPE, "wrong: x2 is");
    FAILS(fv_plan_finish(p, FV_PLAN_FORWARD), FV_ERR_SHAPE, "wrong: x2 is");
    fv_plan_free(p);
    MUST(fv_plan_new(&p, NULL));
    fv_plan_input(p, "x", (fv_shape){1, 1, 1, 1}, FV_REAL);
    FAILS(fv_plan_finish(p, FV_PLAN_FORWARD), FV_ERR_ARGUMENT, "has no backend");
    fv_plan_free(p);
}

static void gradients_of_shared_inputs_add_up(void **state)
{
    (void)state;
    fv_backend *be = open_backend("ref64");
    small s = build_small(be, FV_PLAN_BACKWARD | FV_PLAN_POISON);
    float x[ROWS * WIDTH], gradient[ROWS * WIDTH], seed[ROWS] = {1, 1, 1};
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 0.25f + 0.125f * (float)((i * 7) % 5);
    sum_of_y(&s, x);
    MUST(fv_plan_output_gradient(s.plan, s.y, seed));
    MUST(fv_plan_backward(s.plan));
    MUST(fv_plan_download_gradient(s.plan, s.x, gradient));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        const float h = 1.0f / 256;
        float keep = x[i];
        x[i] = keep + h;
        double up = sum_of_y(&s, x);
        x[i] = keep - h;
        double down = sum_of_y(&s, x);
        x[i] = keep;
        /* outputs come back as float (6e-8 each), h^2 is 1.5e-5: 1e-4 holds both */
        double slope = (up - down) / (2 * (double)h);
        if (fabs(slope - (double)gradient[i]) > 1e-4)
            fail_msg("element %d: %g, finite difference %g", i, (double)gradient[i], slope);
    }
    fv_plan_free(s.plan);
    fv_backend_close(be);
}

/* --- fused ops --- */

enum { PICTURES = 3, SIDE = 6, MAP = 8, WIDE = 16 };

static fv_ref random_weight(fv_plan *p, const char *name, fv_shape s, uint32_t stream)
{
    float values[WIDE * WIDE];
    assert_true(fv_count(s) <= WIDE * WIDE);
    for (uint32_t i = 0; i < fv_count(s); i++)
        values[i] = fv_uniform(fv_philox(5, i, stream, 0, 0).v[0]) - 0.5f;
    return fv_plan_weight(p, name, s, values);
}

static fv_ref pointwise(fv_plan *p, const char *name, fv_ref x, int out, fv_act act)
{
    int in = fv_plan_shape(p, x).c;
    fv_plan_push(p, "%s.", name);
    fv_ref w = random_weight(p, "w", (fv_shape){out, 1, 1, in}, (uint32_t)out + 7 * (uint32_t)act);
    fv_ref b = random_weight(p, "b", (fv_shape){1, 1, 1, out}, (uint32_t)out + 1);
    fv_plan_pop(p);
    return fv_conv2d(p, name, x, w, b, (fv_conv_attr){1, 1, 0, 0, 0, 0}, act);
}

/* An inverted residual: expansion, depthwise, squeeze-excite, projection, and the map itself. */
static fv_ref block(fv_plan *p, fv_ref x)
{
    fv_ref wide = pointwise(p, "expand", x, WIDE, FV_ACT_SILU);
    fv_ref taps = random_weight(p, "taps", (fv_shape){1, 3, 3, WIDE}, 40);
    fv_ref v = fv_dwconv2d(p, "depthwise", wide, taps, FV_NONE, (fv_conv_attr){3, 1, 1, 1, 1, 1},
                           FV_ACT_SILU);
    fv_ref mean = fv_mean_hw(p, "mean", v);
    fv_ref w1 = random_weight(p, "w1", (fv_shape){1, 1, 4, WIDE}, 41);
    fv_ref b1 = random_weight(p, "b1", (fv_shape){1, 1, 1, 4}, 42);
    fv_ref w2 = random_weight(p, "w2", (fv_shape){1, 1, WIDE, 4}, 43);
    fv_ref b2 = random_weight(p, "b2", (fv_shape){1, 1, 1, WIDE}, 44);
    fv_ref hidden = fv_linear(p, "reduce", mean, w1, b1, FV_ACT_SILU);
    fv_ref gate = fv_linear(p, "expand2", hidden, w2, b2, FV_ACT_SIGMOID);
    return fv_add(p, "sum",
                  pointwise(p, "project", fv_mul_channel(p, "gated", v, gate), MAP, FV_ACT_NONE),
                  x);
}

/* Two blocks, a map that is an output too, a map added to what was made of it, and one whose
 * activation two ops read: what must not be fused beside what must. */
static fv_plan *build_blocks(fv_backend *be, unsigned flags, fv_ref *x, fv_ref outputs[2])
{
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    *x = fv_plan_param(p, "x", (fv_shape){PICTURES, SIDE, SIDE, MAP});
    fv_ref a = pointwise(p, "stem", *x, MAP, FV_ACT_SILU);
    fv_plan_push(p, "one.");
    fv_ref b = block(p, a);
    fv_plan_pop(p);
    fv_plan_push(p, "two.");
    fv_ref c = block(p, b);
    fv_plan_pop(p);
    outputs[0] = c;
    fv_plan_output(p, c);
    fv_plan_push(p, "three.");
    fv_ref d = block(p, c);
    fv_plan_pop(p);
    d = fv_add(p, "own", d, pointwise(p, "self", d, MAP, FV_ACT_NONE));
    fv_ref e = fv_add(p, "twice", pointwise(p, "again", d, MAP, FV_ACT_NONE), d);
    outputs[1] = fv_mean_hw(p, "mean", e);
    fv_plan_output(p, outputs[1]);
    MUST(fv_plan_finish(p, flags));
    return p;
}

static void run_blocks(fv_backend *be, unsigned flags, float *gradient, float *y, int *ops,
                       size_t *arena)
{
    fv_ref x, outputs[2];
    fv_plan *p = build_blocks(be, flags, &x, outputs);
    enum { N = PICTURES * SIDE * SIDE * MAP };
    float values[N], seed[PICTURES * MAP];
    for (uint32_t i = 0; i < N; i++) values[i] = 4 * fv_uniform(fv_philox(6, i, 0, 0, 0).v[0]) - 2;
    for (int i = 0; i < PICTURES * MAP; i++) seed[i] = (float)(i % 5) - 1.5f;
    MUST(fv_plan_upload(p, x, values));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_download(p, outputs[1], y));
    for (int i = 0; i < N; i++) values[i] *= 0.01f;
    MUST(fv_plan_output_gradient(p, outputs[0], values));
    MUST(fv_plan_output_gradient(p, outputs[1], seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, x, gradient));
    *ops = fv_plan_op_count(p);
    *arena = fv_plan_describe(p).arena_bytes;
    assert_true((fv_plan_find(p, "one.reduce") >= 0));
    FAILS(fv_plan_download(p, fv_plan_find(p, "one.reduce"), values), FV_ERR_ARGUMENT,
          "not an output");
    fv_plan_free(p);
}

static void fused_ops_compute_the_same(void **state)
{
    (void)state;
    enum { N = PICTURES * SIDE * SIDE * MAP };
    float gradients[4][N], y[4][PICTURES * MAP];
    int ops[4];
    size_t arena[4];
    fv_backend *be = open_backend("ref64");
    for (int k = 0; k < 4; k++) {
        be->fuses_ops = k == 1 || k == 2;
        be->fuses_dwconv = k == 3;
        unsigned whole = k == 1 ? FV_PLAN_WHOLE : 0;
        run_blocks(be, FV_PLAN_BACKWARD | FV_PLAN_POISON | whole, gradients[k], y[k], &ops[k],
                   &arena[k]);
    }
    assert_int_equal(ops[0], 1 + 3 * 8 + 5);
    assert_int_equal(ops[1], ops[0]);
    assert_int_equal(ops[2],
                     1 + 3 * 4 + 3);      /* a block: expand, depthwise, squeeze_excite, project */
    assert_int_equal(ops[3], ops[0] - 5); /* fused: the sums go with what they add to */
    assert_true(arena[2] < arena[0]);
    assert_true(arena[3] <= arena[0]);
    assert_memory_equal(gradients[0], gradients[1], sizeof gradients[0]);
    for (int k = 2; k < 4; k++)
        for (int i = 0; i < PICTURES * MAP; i++) assert_true(fabsf(y[0][i] - y[k][i]) < 1e-6f);
    double largest = 0;
    for (int i = 0; i < N; i++) largest = fmax(largest, fabs((double)gradients[0][i]));
    /* computed in double, read as floats */
    for (int k = 2; k < 4; k++)
        for (int i = 0; i < N; i++)
            if (!(fabs((double)gradients[0][i] - (double)gradients[k][i]) < 1e-6 * largest))
                fail_msg("gradient %d: %g, %s %g", i, (double)gradients[0][i],
                         k == 2 ? "fused ops" : "fused into dwconv", (double)gradients[k][i]);
    fv_backend_close(be);
}

/* A gate that reads the activation of a group norm, whose aux is no input of that activation: a
 * backend that computes such maps again (cpu) must not take it for one. */
static void gated_groups(const char *backend, float *gradient)
{
    enum { N = PICTURES * SIDE * SIDE * MAP };
    fv_backend *be = open_backend(backend);
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    fv_ref x = fv_plan_param(p, "x", (fv_shape){PICTURES, SIDE, SIDE, MAP});
    fv_ref w = random_weight(p, "w", (fv_shape){1, 1, 1, MAP}, 50);
    fv_ref b = random_weight(p, "b", (fv_shape){1, 1, 1, MAP}, 51);
    fv_ref v = fv_groupnorm(p, "norm", x, w, b, (fv_group_attr){2, 1e-5}, FV_ACT_SILU);
    fv_ref gated = fv_mul_channel(p, "gated", v, fv_mean_hw(p, "mean", v));
    fv_plan_output(p, fv_mean_hw(p, "score", gated));
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_POISON));
    float values[N], seed[PICTURES * MAP];
    for (uint32_t i = 0; i < N; i++) values[i] = 4 * fv_uniform(fv_philox(6, i, 0, 0, 0).v[0]) - 2;
    for (int i = 0; i < PICTURES * MAP; i++) seed[i] = (float)(i % 5) - 1.5f;
    MUST(fv_plan_upload(p, x, values));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_output_gradient(p, fv_plan_find(p, "score"), seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, x, gradient));
    fv_plan_free(p);
    fv_backend_close(be);
}

static void statistics_are_no_map_to_compute_again(void **state)
{
    (void)state;
    enum { N = PICTURES * SIDE * SIDE * MAP };
    static float expected[N], found[N];
    gated_groups("ref64", expected);
    gated_groups("cpu", found);
    double error = 0, norm = 0;
    for (int i = 0; i < N; i++) {
        double e = (double)found[i] - (double)expected[i];
        error += e * e;
        norm += (double)expected[i] * (double)expected[i];
    }
    assert_true(norm > 0 && sqrt(error / norm) < 1e-5); /* sums of floats, as in test_ops */
}

/* --- subgraphs --- */

enum { TOWERS = 3, MAPS = PICTURES * SIDE * SIDE * MAP, SCORES = PICTURES * MAP };

typedef struct towers {
    fv_plan *plan;
    fv_ref x, trunk, scores[TOWERS], late, penalty;
} towers;

/* A trunk that is an output too; towers of 1, 2 and 3 blocks on it; then an op that reads the first
 * of them, though the others stand between; a penalty of the trunk, in a subgraph of its own. */
static towers build_towers(fv_backend *be, unsigned flags, int count)
{
    towers t;
    MUST(fv_plan_new(&t.plan, be));
    fv_plan *p = t.plan;
    t.x = fv_plan_param(p, "x", (fv_shape){PICTURES, SIDE, SIDE, MAP});
    t.trunk = pointwise(p, "trunk", t.x, MAP, FV_ACT_SILU);
    fv_plan_output(p, t.trunk);
    fv_ref first = -1;
    for (int k = 0; k < count; k++) {
        fv_plan_subgraph(p, k + 1);
        fv_ref y = t.trunk;
        for (int i = 0; i <= k; i++) {
            fv_plan_push(p, "tower%d.%d.", k, i);
            y = block(p, y);
            fv_plan_pop(p);
        }
        if (k == 0) first = y;
        t.scores[k] = fv_mean_hw(p, "score", y);
        fv_plan_output(p, t.scores[k]);
    }
    fv_plan_subgraph(p, 0);
    t.late = fv_mean_hw(p, "late", pointwise(p, "behind", first, MAP, FV_ACT_SILU));
    fv_plan_output(p, t.late);
    fv_plan_subgraph(p, FV_MAX_SUBGRAPHS);
    t.penalty = fv_mean_hw(p, "penalty", fv_activation(p, "penalised", t.trunk, FV_ACT_SILU));
    fv_plan_output(p, t.penalty);
    MUST(fv_plan_finish(p, flags));
    return t;
}

typedef struct passed {
    float trunk[MAPS], gradient[MAPS], outputs[TOWERS + 2][SCORES];
} passed;

static void read_outputs(const towers *t, int count, passed *out)
{
    MUST(fv_plan_download(t->plan, t->trunk, out->trunk));
    for (int k = 0; k < count; k++) MUST(fv_plan_download(t->plan, t->scores[k], out->outputs[k]));
    MUST(fv_plan_download(t->plan, t->late, out->outputs[TOWERS]));
    MUST(fv_plan_download(t->plan, t->penalty, out->outputs[TOWERS + 1]));
}

static void set_output_gradients(const towers *t, int count)
{
    float seed[MAPS];
    for (int i = 0; i < MAPS; i++) seed[i] = 0.01f * (float)(i % 7) - 0.03f;
    MUST(fv_plan_output_gradient(t->plan, t->trunk, seed));
    for (int k = 0; k < count; k++)
        MUST(fv_plan_output_gradient(t->plan, t->scores[k], seed + 3 * k));
    MUST(fv_plan_output_gradient(t->plan, t->late, seed + 20));
    MUST(fv_plan_output_gradient(t->plan, t->penalty, seed + 30));
}

/* Twice, as the second begins with what the first left behind; then forward alone. */
static size_t run_towers(fv_backend *be, unsigned flags, int count, passed *out)
{
    memset(out, 0, sizeof *out);
    towers t = build_towers(be, flags, count);
    bool split = flags & FV_PLAN_SUBGRAPHS;
    assert_true(fv_plan_has_subgraphs(t.plan) == split);
    for (int turn = 0; turn < 2; turn++) {
        float x[MAPS];
        for (uint32_t i = 0; i < MAPS; i++)
            x[i] = 4 * fv_uniform(fv_philox(6, i, (uint32_t)turn, 0, 0).v[0]) - 2;
        MUST(fv_plan_upload(t.plan, t.x, x));
        set_output_gradients(&t, count);
        MUST(fv_plan_forward_backward(t.plan));
        read_outputs(&t, count, out);
        MUST(fv_plan_download_gradient(t.plan, t.x, out->gradient));
    }
    passed again;
    memset(&again, 0, sizeof again);
    MUST(fv_plan_forward(t.plan));
    read_outputs(&t, count, &again);
    assert_memory_equal(again.trunk, out->trunk, sizeof again.trunk);
    assert_memory_equal(again.outputs, out->outputs, sizeof again.outputs);
    if (split)
        FAILS(fv_plan_backward(t.plan), FV_ERR_ARGUMENT, "it has subgraphs");
    else
        MUST(fv_plan_backward(t.plan));
    size_t arena = fv_plan_describe(t.plan).arena_bytes;
    fv_plan_free(t.plan);
    return arena;
}

/* Not a bit may change, poisoned or not, and three towers need hardly more than the largest. */
static void subgraphs_share_memory_and_give_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "ref", "cpu"};
    static const struct way {
        bool fuses, fuses_dwconv;
        size_t microbatch, recompute;
    } ways[] = {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};
    for (int k = 0; k < 3; k++)
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            fv_backend *be = open_backend(names[k]);
            be->fuses_ops = ways[w].fuses;
            be->fuses_dwconv = ways[w].fuses_dwconv;
            be->microbatch_bytes = ways[w].microbatch;
            be->recompute_bytes = ways[w].recompute;
            static passed one, split, poisoned;
            size_t whole = run_towers(be, FV_PLAN_BACKWARD, TOWERS, &one);
            unsigned flags = FV_PLAN_BACKWARD | FV_PLAN_SUBGRAPHS;
            size_t less = run_towers(be, flags, TOWERS, &split);
            run_towers(be, flags | FV_PLAN_POISON, TOWERS, &poisoned);
            assert_memory_equal(&one, &split, sizeof one);
            assert_memory_equal(&one, &poisoned, sizeof one);
            assert_true(less < whole);
            if (ways[w].microbatch) { /* the longest run alone, which then is another */
                fv_backend_close(be);
                continue;
            }
            /* the largest tower alone keeps 3 blocks, all three 6 */
            assert_true(whole > less + less / 3);
            fv_backend_close(be);
        }
}

/* What reads two subgraphs belongs to neither: then there are none. */
static void subgraphs_that_meet_are_one(void **state)
{
    (void)state;
    fv_backend *be = open_backend("ref64");
    for (int meet = 0; meet < 2; meet++) {
        fv_plan *p;
        float seed[PICTURES * MAP] = {1};
        MUST(fv_plan_new(&p, be));
        fv_ref x = fv_plan_param(p, "x", (fv_shape){PICTURES, SIDE, SIDE, MAP});
        fv_plan_subgraph(p, 1);
        fv_ref a = pointwise(p, "a", x, MAP, FV_ACT_SILU);
        fv_plan_subgraph(p, 2);
        fv_ref b = pointwise(p, "b", x, MAP, FV_ACT_SILU);
        fv_plan_subgraph(p, 0);
        fv_ref score = fv_mean_hw(p, "score", meet ? fv_add(p, "sum", a, b) : a);
        fv_plan_output(p, score);
        fv_plan_output(p, fv_mean_hw(p, "other", b));
        MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_SUBGRAPHS));
        assert_true(fv_plan_has_subgraphs(p) == !meet);
        MUST(fv_plan_output_gradient(p, score, seed));
        MUST(fv_plan_forward_backward(p));
        fv_plan_free(p);
    }
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    fv_plan_subgraph(p, FV_MAX_SUBGRAPHS + 1);
    FAILS(fv_plan_finish(p, FV_PLAN_BACKWARD), FV_ERR_ARGUMENT, "subgraph 9 of a plan");
    fv_plan_free(p);
    fv_backend_close(be);
}

/* --- one arena for plans that run one after the other --- */

/* What a backend has given and not got back. */
static struct {
    void *at[256];
    size_t bytes[256], living;
    fv_backend was;
} given;

static fv_status counting_alloc(fv_backend *be, size_t bytes, void **out)
{
    FV_TRY(given.was.alloc(be, bytes, out));
    for (int i = 0; i < 256; i++)
        if (!given.at[i]) {
            given.at[i] = *out;
            given.bytes[i] = bytes;
            given.living += bytes;
            return FV_OK;
        }
    fail_msg("more than 256 allocations");
    return FV_OK;
}

static void counting_free(fv_backend *be, void *memory)
{
    for (int i = 0; memory && i < 256; i++)
        if (given.at[i] == memory) {
            given.at[i] = NULL;
            given.living -= given.bytes[i];
        }
    given.was.free(be, memory);
}

static void run_again(const towers *t, int count, uint32_t stream, passed *out)
{
    float x[MAPS];
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < MAPS; i++) x[i] = fv_uniform(fv_philox(6, i, stream, 0, 0).v[0]);
    MUST(fv_plan_upload(t->plan, t->x, x));
    set_output_gradients(t, count);
    MUST(fv_plan_forward_backward(t->plan));
    read_outputs(t, count, out);
    MUST(fv_plan_download_gradient(t->plan, t->x, out->gradient));
}

static void plans_in_turn_share_an_arena(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu"};
    for (int k = 0; k < 2; k++)
        for (size_t near = 0; near < 2; near++) { /* in micro-batches too */
            fv_backend *be = open_backend(names[k]), *other = open_backend(names[k]);
            be->microbatch_bytes = near;
            given.was = *be;
            be->alloc = counting_alloc;
            be->free = counting_free;
            static passed expected[2], found;
            unsigned flags = FV_PLAN_BACKWARD | FV_PLAN_POISON;
            towers large = build_towers(be, flags, TOWERS), little = build_towers(be, flags, 1);
            towers elsewhere = build_towers(other, flags, 1);
            run_again(&large, TOWERS, 1, &expected[0]);
            run_again(&little, 1, 2, &expected[1]);
            size_t arena = fv_plan_describe(little.plan).arena_bytes, before = given.living;
            assert_true(arena > 0);
            FAILS(fv_plan_borrow_arena(large.plan, little.plan), FV_ERR_ARGUMENT, "too small");
            FAILS(fv_plan_borrow_arena(elsewhere.plan, large.plan), FV_ERR_ARGUMENT, "backends");
            MUST(fv_plan_borrow_arena(little.plan, large.plan));
            FAILS(fv_plan_borrow_arena(large.plan, little.plan), FV_ERR_ARGUMENT, "of its own");
            assert_int_equal(given.living, before - arena);
            assert_int_equal(fv_plan_describe(little.plan).arena_bytes, 0);
            for (int turn = 0; turn < 2; turn++) {
                run_again(&large, TOWERS, 1, &found);
                assert_memory_equal(&found, &expected[0], sizeof found);
                run_again(&little, 1, 2, &found);
                assert_memory_equal(&found, &expected[1], sizeof found);
            }
            fv_plan_free(little.plan);
            run_again(&large, TOWERS, 1, &found);
            assert_memory_equal(&found, &expected[0], sizeof found);
            fv_plan_free(large.plan);
            fv_plan_free(elsewhere.plan);
            assert_int_equal(given.living, 0);
            fv_backend_close(be);
            fv_backend_close(other);
        }
}

static fv_status stop_at(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    (void)p;
    (void)op;
    int *left = user;
    *left -= backward;
    return *left < 0 ? fv_fail(FV_ERR_STOPPED, "stopped") : FV_OK;
}

/* A step that a hook ends half-way leaves no output gradient to the next one. */
static void a_stopped_step_is_forgotten(void **state)
{
    (void)state;
    fv_backend *be = open_backend("cpu");
    float gradient[MAPS], x[MAPS];
    for (uint32_t i = 0; i < MAPS; i++) x[i] = fv_uniform(fv_philox(6, i, 3, 0, 0).v[0]);
    for (int after = 0; after < 20; after += 3) {
        towers t = build_towers(be, FV_PLAN_BACKWARD | FV_PLAN_SUBGRAPHS, TOWERS);
        MUST(fv_plan_upload(t.plan, t.x, x));
        set_output_gradients(&t, TOWERS);
        int left = after;
        fv_plan_hook(t.plan, stop_at, &left);
        assert_int_equal(fv_plan_forward_backward(t.plan), FV_ERR_STOPPED);
        fv_plan_hook(t.plan, NULL, NULL);
        MUST(fv_plan_forward_backward(t.plan));
        MUST(fv_plan_download_gradient(t.plan, t.x, gradient));
        for (int i = 0; i < MAPS; i++) assert_true(gradient[i] == 0);
        set_output_gradients(&t, TOWERS);
        MUST(fv_plan_forward_backward(t.plan));
        MUST(fv_plan_download_gradient(t.plan, t.x, gradient));
        double sum = 0;
        for (int i = 0; i < MAPS; i++) sum += fabs((double)gradient[i]);
        assert_true(sum > 0);
        fv_plan_free(t.plan);
    }
    fv_backend_close(be);
}

/* --- micro-batches --- */

static fv_status count_visits(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    (void)p;
    (void)op;
    ((int *)user)[backward]++;
    return FV_OK;
}

/* Maps count as large from `near` bytes on: how many ops pass, and that a hook meets these once a
 * picture, and that none can ask for them by name. */
static int microbatched_ops(fv_backend *be, size_t near)
{
    fv_ref x, outputs[2];
    be->microbatch_bytes = near;
    fv_plan *p = build_blocks(be, FV_PLAN_BACKWARD, &x, outputs);
    int microbatched = 0, visits[2] = {0, 0}, expected[2] = {0, 0};
    for (int i = 0; i < fv_plan_op_count(p); i++) {
        int times = fv_plan_microbatched(p, i) ? PICTURES : 1;
        microbatched += fv_plan_microbatched(p, i);
        expected[0] += times;
        expected[1] += fv_plan_op(p, i)->dy ? times : 0;
    }
    fv_plan_hook(p, count_visits, visits);
    MUST(fv_plan_forward(p));
    MUST(fv_plan_backward(p));
    assert_memory_equal(visits, expected, sizeof visits);
    fv_hooks *hooks;
    const char *name = "two.depthwise";
    if (microbatched)
        FAILS(fv_hooks_new(&hooks, p, &name, 1), FV_ERR_ARGUMENT, "run in micro-batches");
    fv_plan_free(p);
    p = build_blocks(be, FV_PLAN_BACKWARD | FV_PLAN_WHOLE, &x, outputs);
    for (int i = 0; i < fv_plan_op_count(p); i++) assert_false(fv_plan_microbatched(p, i));
    fv_plan_free(p);
    return microbatched;
}

/* The same additions in the same order: not a bit may change. */
static void pictures_that_pass_alone_give_the_same(void **state)
{
    (void)state;
    enum { N = PICTURES * SIDE * SIDE * MAP };
    static const char *const names[] = {"ref64", "ref", "cpu"};
    for (int k = 0; k < 3; k++) {
        fv_backend *be = open_backend(names[k]);
        be->fuses_dwconv = false;
        /* between the maps of a block, and those of blocks */
        size_t wide = be->real_bytes * PICTURES * SIDE * SIDE * (2 * MAP + 1);
        int all = 1 + 3 * 8 + 5, microbatched = microbatched_ops(be, wide);
        assert_int_equal(microbatched_ops(be, 0), 0);
        assert_int_equal(microbatched_ops(be, 1), all);
        assert_true(microbatched > 3 * 6 && microbatched < all - 4);
        for (int fused = 0; fused < 2; fused++)
            for (int some = 0; some < 2; some++) {
                float gradient[2][N], y[2][PICTURES * MAP];
                int ops;
                size_t arena, near[] = {1, wide};
                be->fuses_dwconv = fused;
                be->microbatch_bytes = 0;
                run_blocks(be, FV_PLAN_BACKWARD | FV_PLAN_POISON, gradient[0], y[0], &ops, &arena);
                be->microbatch_bytes = near[some];
                run_blocks(be, FV_PLAN_BACKWARD | FV_PLAN_POISON, gradient[1], y[1], &ops, &arena);
                assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
                assert_memory_equal(y[0], y[1], sizeof y[0]);
            }
        fv_backend_close(be);
    }
}

/* --- maps that backward makes again --- */

static int recomputing_ops(fv_plan *p)
{
    int count = 0;
    for (int i = 0; i < fv_plan_op_count(p); i++) count += fv_recomputes_x(p, fv_plan_op(p, i));
    return count;
}

/* The same product in the same order: not a bit may change, and less memory is needed. */
static void maps_made_again_are_the_same(void **state)
{
    (void)state;
    enum { N = PICTURES * SIDE * SIDE * MAP };
    static const char *const names[] = {"ref64", "ref", "cpu"};
    for (int k = 0; k < 3; k++) {
        fv_backend *be = open_backend(names[k]);
        be->fuses_dwconv = true;
        be->microbatch_bytes = 0;
        float gradient[2][N], y[2][PICTURES * MAP];
        int ops[2];
        size_t arena[2];
        for (int again = 0; again < 2; again++) {
            fv_ref x, outputs[2];
            be->recompute_bytes = again ? be->real_bytes * PICTURES * SIDE * SIDE * MAP : 0;
            fv_plan *p = build_blocks(be, FV_PLAN_BACKWARD, &x, outputs);
            assert_int_equal(recomputing_ops(p), again ? 3 : 0);
            fv_plan_free(p);
            run_blocks(be, FV_PLAN_BACKWARD | FV_PLAN_POISON, gradient[again], y[again],
                       &ops[again], &arena[again]);
        }
        assert_true(arena[1] < arena[0]);
        assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        fv_backend_close(be);
    }
}

/* An output without a seed is a zero, however often backward runs; and no NaN of the poisoned
 * arena may come through. */
static void unseeded_outputs_count_as_zero(void **state)
{
    (void)state;
    static const char *const names[] = {"ref", "cpu"};
    for (int k = 0; k < 2; k++) {
        fv_backend *be = open_backend(names[k]);
        small s = build_small(be, FV_PLAN_BACKWARD | FV_PLAN_POISON);
        float x[ROWS * WIDTH], gradient[ROWS * WIDTH], seed[ROWS] = {1, 1, 1};
        for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 1 + (float)i;
        sum_of_y(&s, x);
        MUST(fv_plan_output_gradient(s.plan, s.y, seed));
        MUST(fv_plan_backward(s.plan));
        sum_of_y(&s, x);
        MUST(fv_plan_backward(s.plan));
        MUST(fv_plan_download_gradient(s.plan, s.x, gradient));
        for (int i = 0; i < ROWS * WIDTH; i++) assert_true(gradient[i] == 0);
        fv_plan_free(s.plan);
        fv_backend_close(be);
    }
}

/* --- weights that plans share --- */

static void plans_share_what_a_store_keeps(void **state)
{
    (void)state;
    enum { WEIGHTS = 1500 }; /* the table grows on the way */
    fv_backend *be = open_backend("cpu");
    fv_store *store;
    fv_plan *first, *second;
    char name[32];
    MUST(fv_store_new(&store, be));
    MUST(fv_plan_new(&first, be));
    fv_plan_push(first, "net.");
    assert_int_equal(fv_plan_stored(first, store, "net.w0", "w0"), FV_NONE);
    assert_int_equal(fv_plan_stored(first, NULL, "net.w0", "w0"), FV_NONE);
    for (int i = 0; i < WEIGHTS; i++) {
        float value = (float)i;
        snprintf(name, sizeof name, "net.w%d", i);
        fv_plan_keep(first, store, name,
                     fv_plan_weight(first, name + 4, (fv_shape){1, 1, 1, 1}, &value));
    }
    assert_int_equal(fv_store_bytes(store), WEIGHTS * sizeof(float));
    fv_plan_free(first); /* the store keeps them */

    MUST(fv_plan_new(&second, be));
    assert_int_equal(fv_plan_stored(second, store, "w7", "w7"), FV_NONE); /* keys are full */
    fv_plan_push(second, "other."); /* wherever it stands in a plan */
    for (int i = 0; i < WEIGHTS; i += 100) {
        float value = -1;
        snprintf(name, sizeof name, "net.w%d", i);
        fv_ref r = fv_plan_stored(second, store, name, name + 4);
        assert_true(r >= 0);
        MUST(be->download(be, fv_plan_tensor(second, r), FV_F32, &value));
        assert_true(value == (float)i);
        snprintf(name, sizeof name, "net.w%d", i);
        assert_ptr_equal(fv_plan_tensor(second, r)->data, fv_store_find(store, name)->data);
    }
    /* one name, one weight */
    float again = 1;
    fv_ref twice = fv_plan_weight(second, "w7", (fv_shape){1, 1, 1, 1}, &again);
    assert_int_equal(fv_plan_keep(second, store, "net.w7", twice), -1);
    FAILS(fv_plan_finish(second, FV_PLAN_FORWARD), FV_ERR_ARGUMENT, "net.w7");
    fv_plan_free(second);
    fv_store_free(store);
    fv_backend_close(be);
}

/* --- Adam --- */

static void adam_numbers(float numbers[FV_ADAM_COLUMNS], int t)
{
    numbers[FV_ADAM_RATE] = 0.05f;
    numbers[FV_ADAM_BETA1] = 0.9f;
    numbers[FV_ADAM_BETA2] = 0.99f;
    numbers[FV_ADAM_EPS] = 1e-12f;
    numbers[FV_ADAM_CORRECTION1] = 1 - powf(0.9f, (float)t);
    numbers[FV_ADAM_CORRECTION2] = 1 - powf(0.99f, (float)t);
    numbers[FV_ADAM_LOW] = -INFINITY;
    numbers[FV_ADAM_HIGH] = INFINITY;
}

static void adam_follows_the_paper(void **state)
{
    (void)state;
    static const char *const names[] = {"ref", "ref64", "cpu"};
    for (int k = 0; k < 3; k++) {
        fv_backend *be = open_backend(names[k]);
        small s = build_small(be, FV_PLAN_BACKWARD);
        float x[ROWS * WIDTH], g[ROWS * WIDTH], seed[ROWS] = {-1, -1, -1};
        double m[ROWS * WIDTH] = {0}, v[ROWS * WIDTH] = {0}, expected[ROWS * WIDTH];
        for (int i = 0; i < ROWS * WIDTH; i++)
            expected[i] = x[i] = 0.1f * (float)((i * 5) % 7) - 0.2f;
        double first = sum_of_y(&s, x), last = first;
        for (int t = 1; t <= 25; t++) {
            float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS], y[ROWS];
            MUST(fv_plan_forward(s.plan));
            MUST(fv_plan_output_gradient(s.plan, s.y, seed));
            MUST(fv_plan_backward(s.plan));
            MUST(fv_plan_download_gradient(s.plan, s.x, g));
            adam_numbers(numbers, t);
            MUST(fv_plan_adam(s.plan, numbers, stats));
            assert_true(stats[FV_ADAM_STAT_BAD] == 0);
            double norm2 = 0;
            for (int i = 0; i < ROWS * WIDTH; i++) {
                double gi = (double)g[i];
                norm2 += gi * gi;
                m[i] = 0.9 * m[i] + 0.1 * gi;
                v[i] = 0.99 * v[i] + 0.01 * gi * gi;
                expected[i] -=
                    0.05 * (m[i] / (1 - pow(0.9, t))) / (sqrt(v[i] / (1 - pow(0.99, t))) + 1e-12);
            }
            assert_true(fabs((double)stats[FV_ADAM_STAT_NORM2] - norm2) <= 1e-4 * norm2 + 1e-12);
            MUST(fv_plan_download(s.plan, s.x, x));
            /* 25 float steps of 0.05, each exact to some 1e-6 relative */
            for (int i = 0; i < ROWS * WIDTH; i++)
                if (fabs((double)x[i] - expected[i]) > 2e-5)
                    fail_msg("%s, step %d, element %d: %.9g, expected %.9g", names[k], t, i,
                             (double)x[i], expected[i]);
            MUST(fv_plan_forward(s.plan));
            MUST(fv_plan_download(s.plan, s.y, y));
            last = (double)y[0] + (double)y[1] + (double)y[2];
        }
        assert_true(last > first + 0.5); /* it climbs */
        fv_plan_free(s.plan);
        fv_backend_close(be);
    }
}

static void adam_clamps_and_leaves_bad_gradients_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"ref", "cpu"};
    for (int k = 0; k < 2; k++) {
        fv_backend *be = open_backend(names[k]);
        small s = build_small(be, FV_PLAN_BACKWARD);
        float x[ROWS * WIDTH], before[ROWS * WIDTH], seed[ROWS] = {1, NAN, 1};
        float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS];
        for (int i = 0; i < ROWS * WIDTH; i++) x[i] = before[i] = 0.1f * (float)(i % 4);
        sum_of_y(&s, x);
        MUST(fv_plan_output_gradient(s.plan, s.y, seed));
        MUST(fv_plan_backward(s.plan));
        adam_numbers(numbers, 1);
        MUST(fv_plan_adam(s.plan, numbers, stats));
        assert_true(stats[FV_ADAM_STAT_BAD] == WIDTH);
        MUST(fv_plan_download(s.plan, s.x, x));
        assert_memory_equal(x, before, sizeof x);

        seed[1] = 1;
        numbers[FV_ADAM_RATE] = 10;
        numbers[FV_ADAM_LOW] = 0;
        numbers[FV_ADAM_HIGH] = 0.25f;
        sum_of_y(&s, x);
        MUST(fv_plan_output_gradient(s.plan, s.y, seed));
        MUST(fv_plan_backward(s.plan));
        MUST(fv_plan_adam(s.plan, numbers, stats));
        MUST(fv_plan_download(s.plan, s.x, x));
        for (int i = 0; i < ROWS * WIDTH; i++) assert_true(x[i] >= 0 && x[i] <= 0.25f);

        float low[WIDTH], high[WIDTH]; /* of each channel */
        for (int i = 0; i < WIDTH; i++) low[i] = high[i] = 0.01f * (float)i;
        low[0] = -INFINITY;
        MUST(fv_plan_bound(s.plan, s.x, low, high));
        assert_int_equal(fv_plan_bound(s.plan, s.y, low, high), FV_ERR_ARGUMENT);
        sum_of_y(&s, x);
        MUST(fv_plan_backward(s.plan));
        MUST(fv_plan_adam(s.plan, numbers, stats));
        MUST(fv_plan_download(s.plan, s.x, x));
        for (int i = 0; i < ROWS * WIDTH; i++)
            if (x[i] != high[i % WIDTH]) fail_msg("element %d is %g", i, (double)x[i]);
        fv_plan_free(s.plan);
        fv_backend_close(be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_that_meet_never_overlap),
        cmocka_unit_test(memory_is_shared_and_bounded),
        cmocka_unit_test(first_failure_is_reported),
        cmocka_unit_test(a_plan_without_backend_has_shapes_alone),
        cmocka_unit_test(gradients_of_shared_inputs_add_up),
        cmocka_unit_test(fused_ops_compute_the_same),
        cmocka_unit_test(statistics_are_no_map_to_compute_again),
        cmocka_unit_test(subgraphs_share_memory_and_give_the_same),
        cmocka_unit_test(subgraphs_that_meet_are_one),
        cmocka_unit_test(a_stopped_step_is_forgotten),
        cmocka_unit_test(plans_in_turn_share_an_arena),
        cmocka_unit_test(pictures_that_pass_alone_give_the_same),
        cmocka_unit_test(maps_made_again_are_the_same),
        cmocka_unit_test(unseeded_outputs_count_as_zero),
        cmocka_unit_test(plans_share_what_a_store_keeps),
        cmocka_unit_test(adam_follows_the_paper),
        cmocka_unit_test(adam_clamps_and_leaves_bad_gradients_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
