/* The check of a finished plan (model/plan/verify.c) has to find every promise that memory planning
 * can break: a life that ends too early or begins too late, memory shared by what lives at once, an
 * operand without memory. A plan of inverted residual blocks with squeeze-excite is planned in all
 * the ways there are (as it is, ops fused, fused into dwconv, micro-batches, maps made again), and
 * each promise is broken in turn. tests/sabotage.sh breaks the source instead. */
#include "kernels/rng.h"
#include "model/plan/plan_internal.h"
#include "tests/check.h"

enum { PICTURES = 3, SIDE = 6, MAP = 8, WIDE = 16 };

static fv_ref weight(fv_plan *p, const char *name, fv_shape s)
{
    float values[WIDE * WIDE];
    assert_true(fv_count(s) <= WIDE * WIDE);
    for (uint32_t i = 0; i < fv_count(s); i++)
        values[i] = fv_uniform(fv_philox(5, i, 0, 0, 0).v[0]) - 0.5f;
    return fv_plan_weight(p, name, s, values);
}

static fv_ref product(fv_plan *p, const char *name, fv_ref x, int out, fv_act act)
{
    fv_plan_push(p, "%s.", name);
    fv_ref w = weight(p, "w", (fv_shape){1, 1, out, fv_plan_shape(p, x).c});
    fv_ref b = weight(p, "b", (fv_shape){1, 1, 1, out});
    fv_plan_pop(p);
    return fv_linear(p, name, x, w, b, act);
}

static fv_ref residual_block(fv_plan *p, const char *scope, fv_ref x)
{
    fv_plan_push(p, "%s.", scope);
    fv_ref w = weight(p, "expand.w", (fv_shape){WIDE, 1, 1, MAP});
    fv_ref wide =
        fv_conv2d(p, "expand", x, w, FV_NONE, (fv_conv_attr){1, 1, 0, 0, 0, 0}, FV_ACT_SILU);
    fv_ref kernel = weight(p, "depthwise.w", (fv_shape){1, 3, 3, WIDE});
    fv_ref v = fv_dwconv2d(p, "depthwise", wide, kernel, FV_NONE, (fv_conv_attr){3, 1, 1, 1, 1, 1},
                           FV_ACT_SILU);
    fv_ref squeezed = product(p, "reduce", fv_mean_hw(p, "mean", v), 4, FV_ACT_SILU);
    fv_ref gate = product(p, "excite", squeezed, WIDE, FV_ACT_SIGMOID);
    fv_ref out = product(p, "project", fv_mul_channel(p, "gated", v, gate), MAP, FV_ACT_NONE);
    fv_ref y = fv_add(p, "sum", out, x);
    fv_plan_pop(p);
    return y;
}

/* way: 0 as it is, 1 ops fused, 2 fused into dwconv, 3 that and micro-batches, 4 fused and maps
 * made again, 5 fused, with a second subgraph. */
enum { WAYS = 6 };
static fv_plan *build(fv_backend *be, int way)
{
    fv_plan *p;
    be->fuses_ops = way == 1;
    be->fuses_dwconv = way >= 2;
    be->microbatch_bytes = way == 3 ? 1 : 0;
    be->recompute_bytes = way == 4 ? 1 : 0;
    MUST(fv_plan_new(&p, be));
    fv_ref x = fv_plan_param(p, "x", (fv_shape){PICTURES, SIDE, SIDE, MAP});
    fv_ref trunk = residual_block(p, "one", x), y = trunk;
    fv_plan_subgraph(p, 1);
    y = residual_block(p, "two", fv_activation(p, "between", y, FV_ACT_SILU));
    y = fv_groupnorm(p, "groups", y, weight(p, "groups.w", (fv_shape){1, 1, 1, MAP}),
                     weight(p, "groups.b", (fv_shape){1, 1, 1, MAP}), (fv_group_attr){4, 1e-5},
                     FV_ACT_SILU);
    fv_ref norm = fv_layernorm(p, "norm", y, weight(p, "norm.w", (fv_shape){1, 1, 1, MAP}),
                               weight(p, "norm.b", (fv_shape){1, 1, 1, MAP}), 1e-5);
    fv_plan_output(p, fv_mean_hw(p, "score", norm));
    fv_ref wanted = weight(p, "wanted", (fv_shape){1, 1, MAP, MAP});
    fv_plan_output(p, fv_cosine(p, "likeness", fv_gram(p, "gram", y), wanted, 1e-12));
    fv_plan_subgraph(p, 2);
    if (way == 5) fv_plan_output(p, fv_mean_hw(p, "beside", residual_block(p, "three", trunk)));
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_SUBGRAPHS));
    assert_true(fv_plan_has_subgraphs(p) == (way == 5));
    return p;
}

static fv_backend *open_backend(void)
{
    fv_backend *be;
    MUST(fv_backend_open(&be, "ref64", 1));
    return be;
}

/* Whether something besides ops needs the span: a value that is an output, or its gradient. */
static bool of_an_output(const fv_plan *p, int span)
{
    for (int i = 0; i < p->node_count; i++) {
        fv_node *n = p->nodes[i];
        if (n->output && (n->value_span == span || n->gradient_span == span)) return true;
    }
    return false;
}

static void every_life_that_is_cut_is_found(void **state)
{
    (void)state;
    fv_backend *be = open_backend();
    for (int way = 0; way < WAYS; way++) {
        fv_plan *p = build(be, way);
        assert_true((p->microbatch.pictures > 0) == (way == 3));
        MUST(fv_plan_verify(p));
        for (int i = 0; i < p->span_count; i++) {
            fv_span keep = p->spans[i];
            if (of_an_output(p, i)) continue;
            p->spans[i].last--;
            FAILS(fv_plan_verify(p), FV_ERR_DEVICE, "checking a plan");
            p->spans[i] = keep;
            p->spans[i].first++;
            FAILS(fv_plan_verify(p), FV_ERR_DEVICE, "checking a plan");
            p->spans[i] = keep;
        }
        MUST(fv_plan_verify(p));
        fv_plan_free(p);
    }
    fv_backend_close(be);
}

static void memory_shared_by_what_lives_at_once_is_found(void **state)
{
    (void)state;
    fv_backend *be = open_backend();
    for (int way = 0; way < WAYS; way++) {
        fv_plan *p = build(be, way);
        int pairs = 0;
        for (int i = 0; i < p->span_count; i++)
            for (int k = 0; k < i; k++) {
                fv_span *a = &p->spans[i], *b = &p->spans[k], keep = *a;
                if (a->first > b->last || b->first > a->last) continue;
                pairs++;
                a->offset = b->offset; /* the tensors' own addresses are not looked at for this */
                FAILS(fv_plan_verify(p), FV_ERR_DEVICE, "checking a plan");
                *a = keep;
            }
        assert_true(pairs > 50);
        p->spans[0].offset = p->arena_bytes;
        FAILS(fv_plan_verify(p), FV_ERR_DEVICE, "leaves the arena");
        fv_plan_free(p);
    }
    fv_backend_close(be);
}

static void every_operand_without_memory_is_found(void **state)
{
    (void)state;
    fv_backend *be = open_backend();
    for (int way = 0; way < WAYS; way++) {
        fv_plan *p = build(be, way);
        int operands = 0;
        for (int i = 0; i < p->op_count; i++)
            for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
                fv_op *op = &p->ops[i];
                fv_tensor *t = fv_op_operand(op, o);
                if (!t || !fv_op_uses(op, o) || !t->data) continue;
                void *keep = t->data;
                t->data = NULL;
                FAILS(fv_plan_verify(p), FV_ERR_DEVICE, "memory");
                t->data = keep;
                operands++;
            }
        assert_true(operands > 50);
        MUST(fv_plan_verify(p));
        fv_plan_free(p);
    }
    fv_backend_close(be);
}

/* What the rules say of an op's needs is all that its kernels touch: what nobody needs any more is
 * NaN at once, and the gradient is the same. */
static void kernels_touch_nothing_that_is_dead(void **state)
{
    (void)state;
    enum { N = PICTURES * SIDE * SIDE * MAP };
    static float gradient[2][N];
    for (int way = 0; way < WAYS; way++) {
        for (int poisoned = 0; poisoned < 2; poisoned++) {
            fv_backend *be = open_backend();
            float x[N], seed[PICTURES * MAP];
            fv_plan *p = build(be, way);
            p->flags |= poisoned ? FV_PLAN_POISON : 0u;
            for (uint32_t i = 0; i < N; i++)
                x[i] = 4 * fv_uniform(fv_philox(6, i, 0, 0, 0).v[0]) - 2;
            for (int i = 0; i < PICTURES * MAP; i++) seed[i] = (float)(i % 5) - 1.5f;
            MUST(fv_plan_upload(p, fv_plan_find(p, "x"), x));
            MUST(fv_plan_output_gradient(p, fv_plan_find(p, "score"), seed));
            if (way == 5) MUST(fv_plan_output_gradient(p, fv_plan_find(p, "beside"), seed));
            MUST(fv_plan_forward_backward(p));
            MUST(fv_plan_download_gradient(p, fv_plan_find(p, "x"), gradient[poisoned]));
            fv_plan_free(p);
            fv_backend_close(be);
        }
        assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_life_that_is_cut_is_found),
        cmocka_unit_test(memory_shared_by_what_lives_at_once_is_found),
        cmocka_unit_test(every_operand_without_memory_is_found),
        cmocka_unit_test(kernels_touch_nothing_that_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
