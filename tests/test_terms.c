/* Terms on any layer: their syntax, what they compute against the layer read by a hook, their
 * gradients, live changes, and that nothing behind the layer is computed. */
#include <math.h>

#include "feavis/feavis.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/session.h"
#include "model/plan/hooks.h"
#include "tests/toy_terms.h"

/* --- syntax --- */

static void terms_are_read(void **state)
{
    (void)state;
    fv_terms t;
    MUST(fv_terms_parse(&t, ""));
    assert_int_equal(t.count, 0);
    MUST(fv_terms_parse(&t, "blocks.3.1:45 | a.b:7@max *-0.5|c:0@3,15*2 | blocks.2@1,2 | d | "
                            "image_embedding:text=a *: b*1"));
    assert_int_equal(t.count, 6);
    static const struct {
        const char *layer, *name;
        fv_term_kind kind;
        fv_term_reduce reduce;
        int channel, row, column;
        float weight;
    } want[] = {
        {"blocks.3.1", "blocks.3.1:45", FV_TERM_CHANNEL, FV_TERM_MEAN, 45, 0, 0, 1},
        {"a.b", "a.b:7@max", FV_TERM_CHANNEL, FV_TERM_MAX, 7, 0, 0, -0.5f},
        {"c", "c:0@3,15", FV_TERM_CHANNEL, FV_TERM_PLACE, 0, 3, 15, 2},
        {"blocks.2", "blocks.2@1,2", FV_TERM_LAYER, FV_TERM_PLACE, 0, 1, 2, 1},
        {"d", "d", FV_TERM_LAYER, FV_TERM_MEAN, 0, 0, 0, 1},
        {"image_embedding", "image_embedding:text=a *: b", FV_TERM_TEXT, FV_TERM_MEAN, 0, 0, 0, 1},
    };
    for (int i = 0; i < t.count; i++) {
        assert_string_equal(t.at[i].layer, want[i].layer);
        assert_string_equal(t.at[i].name, want[i].name);
        assert_int_equal(t.at[i].kind, want[i].kind);
        assert_int_equal(t.at[i].reduce, want[i].reduce);
        assert_int_equal(t.at[i].channel, want[i].channel);
        assert_int_equal(t.at[i].row, want[i].row);
        assert_int_equal(t.at[i].column, want[i].column);
        assert_true(t.at[i].weight == want[i].weight);
    }
    assert_string_equal(t.at[5].text, "a *: b");
    fv_terms_clear(&t);
}

static void a_range_and_a_guide_are_read(void **state)
{
    (void)state;
    fv_terms t;
    MUST(fv_terms_parse(&t, "a.heads:64-127@0,3 *2 | b:7-7 | guide2.text=moon | guide12.c:5 | "
                            "guides.like=d.png"));
    assert_int_equal(t.count, 5);
    assert_string_equal(t.at[0].layer, "a.heads");
    assert_true(t.at[0].kind == FV_TERM_LAYER && t.at[0].reduce == FV_TERM_PLACE);
    assert_true(t.at[0].channel == 64 && t.at[0].channels == 64 && t.at[0].column == 3);
    assert_true(t.at[0].weight == 2);
    assert_true(t.at[1].kind == FV_TERM_LAYER && t.at[1].channels == 1);
    assert_string_equal(t.at[2].layer, "guide2.image_embedding");
    assert_string_equal(t.at[2].text, "moon");
    assert_true(t.at[3].kind == FV_TERM_CHANNEL && t.at[3].channels == 1);
    assert_string_equal(t.at[3].layer, "guide12.c");
    assert_string_equal(t.at[4].layer, "guides.like=d.png"); /* no guide, no layer of that name */
    fv_terms_clear(&t);
}

static void unclear_terms_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {" ", "empty part"},
        {"a |", "empty part"},
        {"| a", "empty part"},
        {"a || b", "empty part"},
        {":4", "no layer"},
        {"a:", "neither a channel"},
        {"a:x", "neither a channel"},
        {"a:-1", "neither a channel"},
        {"a:99999999999", "neither a channel"},
        {"a:4@", "behind @"},
        {"a:4@min", "behind @"},
        {"a:4@1", "behind @"},
        {"a:4@1,", "behind @"},
        {"a:4@1,2,3", "behind @"},
        {"a:text=", "text is empty"},
        {"a*", "no number"},
        {"a*x", "no number"},
        {"a*nan", "between"},
        {"a*1e30", "between"},
        {"a*inf", "between"},
        {"a:4-", "neither a channel"},
        {"a:4-3", "before the first"},
        {"a:4-x@1,2", "neither a channel"},
        {"guide2.text=", "text is empty"},
        {"a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a", "more than 16"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fv_terms t;
        FAILS(fv_terms_parse(&t, bad[i].text), FV_ERR_ARGUMENT, bad[i].words);
    }
}

/* --- values and gradients --- */

static fv_options *ref_options(const char *term)
{
    fv_options *o = term_options(term);
    set(o, "backend", "ref");
    return o;
}

static opened open_term(const char *term)
{
    return open_options(ref_options(term));
}

/* The value of the first part at the start, over the picture as it is. */
static float value_of(const char *term)
{
    fv_scores scores;
    bool finite;
    opened x = open_term(term);
    MUST(fv_session_forward(x.session, FV_VIEWS_WHOLE, &scores, &finite));
    assert_true(finite);
    assert_true(fabsf(scores.loss + scores.parts[0]) < 1e-6f * fabsf(scores.loss) + 1e-12f);
    close_term(&x);
    return scores.parts[0];
}

/* The layer's numbers at the start, by a plan of the same parameters: [h * w][c]. Caller frees. */
static float *layer_of(const char *layer, fv_shape *shape)
{
    fv_picture picture;
    opened x = open_term("blocks.0.0:0");
    fv_progress scores;
    MUST(fv_session_picture(x.session, &picture, &scores));
    fv_plan *p;
    fv_ref r, pixels;
    int side = fv_model_image_size(x.model);
    fv_picture_free(&picture);
    MUST(fv_plan_new(&p, x.model->engine->backend));
    pixels = fv_generator_build(p, x.session->now, NULL);
    fv_views views = {0};
    fv_ref seen = fv_views_build(p, &views, x.session->now, side, pixels);
    fv_image_layers layers = fv_network_image(x.model->network, p, seen, true);
    fv_plan_output(p, layers.embedding);
    MUST(fv_plan_find_layer(p, layer, &r));
    fv_plan_output(p, r);
    *shape = fv_plan_shape(p, r);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD));
    MUST(fv_plan_block_upload(p, FV_BLOCK_VALUE, x.session->kept));
    MUST(fv_views_draw(p, &views, x.session->now, FV_VIEWS_WHOLE));
    MUST(fv_plan_forward(p));
    float *values = malloc(fv_count(*shape) * sizeof *values);
    MUST(fv_plan_download(p, r, values));
    fv_views_clear(&views);
    fv_plan_free(p);
    close_term(&x);
    return values;
}

static void near_enough(float found, double expected)
{
    /* float sums over a few thousand numbers */
    if (!(fabs((double)found - expected) <= 2e-5 * fabs(expected) + 1e-7))
        fail_msg("%g, expected %g", (double)found, expected);
}

static void terms_are_what_they_say(void **state)
{
    (void)state;
    fv_shape s;
    float *v = layer_of("imgencoder.backbone.blocks.3.1", &s);
    size_t positions = fv_rows(s), c = (size_t)s.c;
    double mean = 0, largest = -INFINITY, square = 0;
    for (size_t i = 0; i < positions; i++) {
        mean += (double)v[i * c + 45] / (double)positions;
        largest = fmax(largest, (double)v[i * c + 45]);
        for (size_t k = 0; k < c; k++)
            square += (double)v[i * c + k] * (double)v[i * c + k] / (double)(positions * c);
    }
    assert_true(s.h >= 3 && s.w >= 2);
    size_t there = 2 * (size_t)s.w + 1;
    near_enough(value_of("blocks.3.1:45"), mean);
    near_enough(value_of("imgencoder.backbone.blocks.3.1:45@mean"), mean);
    near_enough(value_of("blocks.3.1:45@max"), largest);
    near_enough(value_of("blocks.3.1:45@2,1"), (double)v[there * c + 45]);
    near_enough(value_of("blocks.3.1"), square);
    square = 0;
    for (size_t k = 0; k < c; k++)
        square += (double)v[there * c + k] * (double)v[there * c + k] / (double)c;
    near_enough(value_of("blocks.3.1@2,1"), square);
    square = 0;
    for (size_t k = 40; k < 48; k++)
        square += (double)v[there * c + k] * (double)v[there * c + k] / 8;
    near_enough(value_of("blocks.3.1:40-47@2,1"), square);
    square = 0;
    for (size_t i = 0; i < positions; i++)
        for (size_t k = 40; k < 48; k++)
            square += (double)v[i * c + k] * (double)v[i * c + k] / (8 * (double)positions);
    near_enough(value_of("blocks.3.1:40-47"), square);
    free(v);
    v = layer_of("image_embedding", &s);
    opened x = open_term("image_embedding:text=moon");
    double cosine = 0;
    float *text = malloc((size_t)s.c * sizeof *text);
    MUST(fv_model_embed_text(x.model, "moon", text, NULL));
    for (int i = 0; i < s.c; i++) cosine += (double)v[i] * (double)text[i];
    close_term(&x);
    near_enough(value_of("image_embedding:text=moon"), cosine);
    free(text);
    free(v);
}

static void every_term_climbs(void **state)
{
    (void)state;
    static const char *const terms[] = {"blocks.3.1:45",
                                        "blocks.3.1:45@max",
                                        "blocks.3.1:45@2,1",
                                        "blocks.2.0",
                                        "image_embedding:text=moon",
                                        "conv_stem:3",
                                        "blocks.3.1:40-47",
                                        "blocks.1.0:5 *0.5 | blocks.4.0:7 *-0.5"};
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        fv_options *o = ref_options(terms[i]);
        fv_model *m;
        fv_session *s;
        fv_scores before, after;
        bool finite;
        set(o, "steps", "6");
        set(o, "rate", "0.003"); /* every step descends: see test_session.c */
        set(o, "backend", "cpu");
        MUST(fv_model_open(&m, o));
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_forward(s, FV_VIEWS_WHOLE, &before, &finite));
        MUST(fv_session_run(s, NULL, NULL));
        MUST(fv_session_forward(s, FV_VIEWS_WHOLE, &after, &finite));
        if (!(after.loss < before.loss))
            fail_msg("%s: loss %g -> %g", terms[i], (double)before.loss, (double)after.loss);
        fv_part parts[FV_MAX_PARTS];
        assert_int_equal(fv_session_parts(s, parts), i == 7 ? 2 : 1);
        if (i < 7) assert_string_equal(parts[0].name, terms[i]);
        if (i == 7) assert_string_equal(parts[1].name, "blocks.4.0:7");
        assert_int_equal(parts[0].kind, FV_PART_TERM);
        fv_session_close(s);
        fv_model_close(m);
        fv_options_free(o);
    }
}

/* --- what is not needed, and what is not there --- */

static void nothing_behind_the_layer_is_computed(void **state)
{
    (void)state;
    opened early = open_term("blocks.1.0:5"), late = open_term("image_embedding:text=moon");
    double less = fv_plan_describe(early.session->net.plan).forward_macs;
    double more = fv_plan_describe(late.session->net.plan).forward_macs;
    if (!(less < 0.5 * more)) fail_msg("%g of %g multiply-adds", less, more);
    close_term(&early);
    close_term(&late);
}

static void what_a_layer_has_not_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *term, *words;
    } bad[] = {
        {"blocks.3.9:1", "the nearest is"},
        {"blocks.3.1:100000", "has channels 0 to"},
        {"blocks.3.1:1-100000", "has channels 0 to"},
        {"blocks.3.1:1@100,0", "rows and"},
        {"blocks.3.1:text=moon", "image_embedding is such a layer"},
        {"conv_dw:1", "write more of its name"},
    };
    fv_options *o = ref_options("blocks.3.1:1");
    fv_model *m;
    MUST(fv_model_open(&m, o));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fv_session *s;
        set(o, "term", bad[i].term);
        FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, bad[i].words);
    }
    FAILS(fv_options_set(o, "term", "a:"), FV_ERR_ARGUMENT, "neither a channel");
    fv_model_close(m);
    fv_options_free(o);
}

/* --- live, and in recipes --- */

static void terms_change_while_the_picture_grows(void **state)
{
    (void)state;
    opened x = open_term("blocks.3.1:45");
    fv_progress p;
    char *recipe;
    fv_picture first, again;
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_set(x.session, "term", "blocks.3.1:46")); /* the same ops */
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_set(x.session, "term", "blocks.2.0:4 | blocks.3.1:46@max *0.5"));
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &first, &p));
    MUST(fv_session_recipe(x.session, &recipe));
    assert_non_null(strstr(recipe, "term: \"blocks.3.1:45\""));
    close_term(&x);

    opened y = {.options = ref_options("")};
    MUST(fv_recipe_apply(y.options, recipe, "recipe"));
    MUST(fv_model_open(&y.model, y.options));
    MUST(fv_session_open(&y.session, y.model, y.options));
    MUST(fv_session_run(y.session, NULL, NULL));
    MUST(fv_session_picture(y.session, &again, &p));
    assert_memory_equal(first.rgb, again.rgb, (size_t)first.width * (size_t)first.height * 3);
    fv_picture_free(&first);
    fv_picture_free(&again);
    free(recipe);
    close_term(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_read),
        cmocka_unit_test(a_range_and_a_guide_are_read),
        cmocka_unit_test(unclear_terms_are_refused),
        cmocka_unit_test(terms_are_what_they_say),
        cmocka_unit_test(every_term_climbs),
        cmocka_unit_test(nothing_behind_the_layer_is_computed),
        cmocka_unit_test(what_a_layer_has_not_is_said),
        cmocka_unit_test(terms_change_while_the_picture_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
