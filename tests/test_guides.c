/* Several models for one picture: the option guide, the gradient as the weighted sum of theirs,
 * recipes that name them all, weights that change while the picture grows. The guides are two
 * toys (72 and 104 pixels) and the shipped model (224). */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/imagine/session.h"
#include "feavis/settings/guides_syntax.h"
#include "tests/toy.h"

static char toy[3500], b0[3500], both[9000];

static void copy_here(const char *from, const char *to)
{
    char command[8192];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* The toys' files as guides, and both with weights. Their cfgs get names that tell them apart. */
static int name_guides(void **state)
{
    (void)state;
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    fv_options *o = toy_options();
    copy_here(source_file("tests/golden/towers/b0/cfg.yml"), "b0.yml");
    snprintf(toy, sizeof toy, "%s + %s + %s", fv_options_get(o, "config"),
             fv_options_get(o, "checkpoint"), fv_options_get(o, "vocab"));
    snprintf(b0, sizeof b0, "b0.yml + %s/b0.pth + %s", unpacked ? unpacked : ".",
             fv_options_get(o, "vocab"));
    snprintf(both, sizeof both, "%s:1 | %s:0.5", toy, b0);
    fv_options_free(o);
    return 0;
}

static fv_options *guided(const char *guide)
{
    fv_options *o = toy_options();
    const char *const parts[] = {"config", "checkpoint", "vocab"};
    for (int i = 0; i < 3; i++) set(o, parts[i], "");
    set(o, "guide", guide);
    return o;
}

typedef struct grown {
    fv_picture picture;
    char *recipe;
} grown;

static void finish(fv_session *s, grown *out)
{
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_picture(s, &out->picture, NULL));
    MUST(fv_session_recipe(s, &out->recipe));
}

static void grow(const fv_options *o, grown *out)
{
    fv_model *m;
    fv_session *s;
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    finish(s, out);
    fv_session_close(s);
    fv_model_close(m);
}

static void drop(grown *g)
{
    fv_picture_free(&g->picture);
    free(g->recipe);
}

static bool same_bytes(const grown *a, const grown *b)
{
    size_t n = (size_t)a->picture.width * (size_t)a->picture.height * 3;
    return a->picture.width == b->picture.width && a->picture.height == b->picture.height &&
           memcmp(a->picture.rgb, b->picture.rgb, n) == 0;
}

/* --- the option --- */

static void a_guide_is_read(void **state)
{
    (void)state;
    fv_guides g;
    MUST(fv_guides_parse(
        &g, "mini | a\\:1.yml + b\\+c\\:d.pth + v.TXT @momentum :0.3 | x.safetensors:-1"));
    assert_int_equal(g.count, 3);
    assert_string_equal(g.at[0].config, "");
    assert_string_equal(g.at[0].checkpoint, "");
    assert_true(g.at[0].weight == 1 && !g.at[0].momentum);
    assert_string_equal(g.at[1].config, "a:1.yml");
    assert_string_equal(g.at[1].checkpoint, "b+c:d.pth");
    assert_string_equal(g.at[1].vocabulary, "v.TXT");
    assert_true(g.at[1].weight == 0.3f && g.at[1].momentum);
    assert_string_equal(g.at[2].checkpoint, "x.safetensors");
    assert_true(g.at[2].weight == -1);
    char *text;
    MUST(fv_guides_print(&text, &g));
    assert_string_equal(
        text, "mini:1 | a\\:1.yml + b\\+c\\:d.pth + v.TXT @momentum:0.3 | x.safetensors:-1");
    fv_guides again;
    MUST(fv_guides_parse(&again, text));
    assert_true(fv_guides_same(&g, &again));
    fv_guides_clear(&again);
    fv_guides_clear(&g);
    free(text);
    MUST(fv_guides_parse(&g, "config.json + model.safetensors + bpe.txt.gz"));
    assert_string_equal(g.at[0].config, "config.json");
    assert_string_equal(g.at[0].checkpoint, "model.safetensors");
    assert_string_equal(g.at[0].vocabulary, "bpe.txt.gz");
    fv_guides_clear(&g);
}

static void what_is_no_guide_is_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a.yml + b.yml", "two cfgs"},  {"a.pth + b.pt", "two checkpoints"},
        {"a.txt + b.txt", "two vocab"}, {"mini | ", "empty part"},
        {"a.yml + ", "name is empty"},  {"@momentum", "names no model"},
        {"mini:11", "-10 to 10"},       {"mini|mini|mini|mini|mini", "at most 4"},
    };
    fv_options *o = toy_options();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        FAILS(fv_options_set(o, "guide", bad[i][0]), FV_ERR_ARGUMENT, bad[i][1]);
    static const char *const weights[] = {"1,", "x", "1,,2", "11", "nan", "1 2", "1,2,3,4,5"};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        FAILS(fv_options_set(o, "guide-weights", weights[i]), FV_ERR_ARGUMENT, "guide-weights");
    fv_options_free(o);
}

static void a_guide_stands_alone(void **state)
{
    (void)state;
    fv_model *m;
    fv_options *o = guided(toy);
    set(o, "tower", "momentum");
    FAILS(fv_model_open(&m, o), FV_ERR_ARGUMENT, "tower and guide both name a model");
    set(o, "tower", "online");
    set(o, "guide-weights", "1,2");
    fv_session *s;
    MUST(fv_model_open(&m, o));
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "2 numbers for 1 models");
    fv_model_close(m);
    fv_options_free(o);
}

static void weights_do_not_make_another_model(void **state)
{
    (void)state;
    fv_options *a = guided(both), *b = guided(both);
    char other[9000];
    snprintf(other, sizeof other, "%s:0.1 | %s:3", toy, b0);
    set(b, "guide", other);
    assert_true(fv_options_same_model(a, b));
    set(b, "guide", toy);
    assert_false(fv_options_same_model(a, b));
    fv_options_free(a);
    fv_options_free(b);
}

static void models_are_added_and_left_out(void **state)
{
    (void)state;
    fv_options *o;
    MUST(fv_options_new(&o));
    set(o, "config", "a.yml");
    set(o, "checkpoint", "a.pth");
    set(o, "tower", "momentum");
    set(o, "guide-weights", "2");
    FAILS(fv_options_add_guide(o, "b.yml | c.yml"), FV_ERR_ARGUMENT, "names 2 models");
    assert_string_equal(fv_options_get(o, "guide"), "");
    MUST(fv_options_add_guide(o, "mini"));
    assert_string_equal(fv_options_get(o, "guide"), "a.yml + a.pth @momentum:1 | mini:1");
    assert_string_equal(fv_options_get(o, "config"), "");
    assert_string_equal(fv_options_get(o, "tower"), "online");
    assert_string_equal(fv_options_get(o, "guide-weights"), "");
    MUST(fv_options_add_guide(o, "b.yml:0.5"));
    MUST(fv_options_drop_guide(o, 1));
    assert_string_equal(fv_options_get(o, "guide"), "a.yml + a.pth @momentum:1 | b.yml:0.5");
    MUST(fv_options_drop_guide(o, 0));
    assert_string_equal(fv_options_get(o, "guide"), "b.yml:0.5");
    FAILS(fv_options_drop_guide(o, 0), FV_ERR_ARGUMENT, "cannot be left out");
    for (int i = 0; i < 3; i++) MUST(fv_options_add_guide(o, "mini"));
    FAILS(fv_options_add_guide(o, "mini"), FV_ERR_ARGUMENT, "4 models look already");
    fv_options_free(o);
}

/* --- pictures --- */

static void one_guide_is_the_model(void **state)
{
    (void)state;
    grown plain, guide;
    fv_options *a = toy_options(), *b = guided(toy);
    grow(a, &plain);
    grow(b, &guide);
    assert_true(same_bytes(&plain, &guide));
    drop(&plain);
    drop(&guide);
    fv_options_free(a);
    fv_options_free(b);
}

/* d loss / d picture of the first step: [side * side * 3], caller frees. */
static float *first_gradient(const char *guide, float *loss)
{
    fv_model *m;
    fv_session *s;
    fv_progress p;
    fv_options *o = guided(guide);
    set(o, "tv", "0");
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    fv_session_want_gradient(s, true);
    MUST(fv_session_step(s, &p));
    *loss = p.loss;
    size_t n = (size_t)s->width * (size_t)s->height * 3;
    float *out = malloc(n * sizeof *out);
    memcpy(out, s->gradient, n * sizeof *out);
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
    return out;
}

/* Tolerance: sums of float in another order; with a weight or a guide wrong
 * they are over 1e-2 of the largest apart. */
static void check_sum(const char *guide, const float *a, float loss_a, const float *b, float loss_b)
{
    float loss, *sum = first_gradient(guide, &loss);
    double worst = 0, most = 0, apart = 0;
    for (int i = 0; i < 80 * 80 * 3; i++) {
        double wanted = (double)a[i] + 0.5 * (double)b[i];
        worst = fmax(worst, fabs((double)sum[i] - wanted));
        most = fmax(most, fabs(wanted));
        apart = fmax(apart, fabs((double)sum[i] - (double)a[i]));
    }
    assert_true(most > 0 && apart > 0.01 * most);
    assert_true(worst < 1e-5 * most);
    assert_true(fabsf(loss - (loss_a + 0.5f * loss_b)) < 1e-6f);
    free(sum);
}

static void the_gradient_is_the_weighted_sum(void **state)
{
    (void)state;
    char twice[9000];
    float loss_a, loss_b;
    float *a = first_gradient(toy, &loss_a), *b = first_gradient(b0, &loss_b);
    check_sum(both, a, loss_a, b, loss_b);
    snprintf(twice, sizeof twice, "%s:1 | %s:0.5", toy, toy); /* they share their views */
    check_sum(twice, a, loss_a, a, loss_a);
    free(a);
    free(b);
}

static void models_of_other_sizes_look_together(void **state)
{
    (void)state;
    char guide[9000];
    grown first, second;
    snprintf(guide, sizeof guide, "%s | mini:2", toy);
    fv_options *o = guided(guide);
    set(o, "steps", "2");
    set(o, "views", "1");
    grow(o, &first);
    grow(o, &second);
    assert_true(same_bytes(&first, &second));
    fv_model *m;
    fv_session *s;
    fv_progress p;
    fv_part parts[FV_MAX_PARTS];
    MUST(fv_model_open(&m, o));
    assert_int_equal(fv_model_guide_count(m), 2);
    assert_int_equal(fv_model_image_size(m), 72);
    assert_int_equal(fv_model_image_size(fv_model_guide(m, 1)), 224);
    assert_null(fv_model_guide(m, 2));
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_step(s, &p));
    int n = fv_session_parts(s, parts);
    assert_true(n >= 2 && parts[0].kind == FV_PART_TEXT && parts[1].kind == FV_PART_TEXT);
    assert_true(parts[0].guide == 0 && parts[1].guide == 1);
    assert_true(parts[0].weight == 1 && parts[1].weight == 2);
    assert_true(parts[0].value != parts[1].value && parts[0].value == p.cosine);
    fv_session_close(s);
    fv_model_close(m);
    drop(&first);
    drop(&second);
    fv_options_free(o);
}

/* A term that only the second guide has: its own pixels, nothing of the first. */
static void a_layer_may_be_the_second_models(void **state)
{
    (void)state;
    char guide[9000];
    grown alone, second, first;
    snprintf(guide, sizeof guide, "mini | %s", toy);
    fv_options *o = guided(toy);
    set(o, "text", "");
    set(o, "term", "blocks.2.0:3");
    grow(o, &alone);
    set(o, "guide", guide);
    set(o, "term", "guide2.blocks.2.0:3");
    grow(o, &second);
    set(o, "term", "blocks.2.0:3");
    grow(o, &first);
    assert_true(same_bytes(&alone, &second));
    assert_false(same_bytes(&alone, &first));
    fv_model *m;
    fv_session *s;
    MUST(fv_model_open(&m, o));
    set(o, "term", "guide2.blocks.9.9:3");
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "nearest is guide2.");
    FAILS(fv_options_check_channels(o, m), FV_ERR_ARGUMENT, "nearest is guide2.");
    set(o, "term", "guide3.blocks.2.0:3");
    FAILS(fv_options_check_channels(o, m), FV_ERR_ARGUMENT, "there are guide1 to guide2");
    fv_model_close(m);
    drop(&alone);
    drop(&second);
    drop(&first);
    fv_options_free(o);
}

static fv_status ask_nothing(void *user, const fv_activations *a, double *value, float *gradient)
{
    (void)user;
    (void)gradient;
    *value = (double)a->values[0];
    return FV_OK;
}

/* A picture of `guide`; together: all forward before any goes back, as a term of the caller's own
 * asks for, here one whose gradient is zero. The bytes of the arena. */
static size_t grow_guided(const char *guide, bool together, grown *out)
{
    fv_model *m;
    fv_session *s;
    fv_options *o = guided(guide);
    set(o, "term", "blocks.2.0:3");
    set(o, "views", "2");
    if (together) MUST(fv_options_add_term(o, "image_embedding", 0, ask_nothing, NULL));
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    assert_true(fv_plan_has_subgraphs(s->net.plan) == (!together && strchr(guide, '|')));
    size_t arena = fv_plan_describe(s->net.plan).arena_bytes;
    finish(s, out);
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
    return arena;
}

/* A guide goes back before the next one looks, in its memory: the same picture. */
static void guides_look_in_turn_in_one_memory(void **state)
{
    (void)state;
    char twice[9000];
    grown turns, together, one;
    snprintf(twice, sizeof twice, "%s:1 | %s:0.5", toy, toy);
    const char *const guides[] = {both, twice};
    for (int i = 0; i < 2; i++) {
        size_t a = grow_guided(guides[i], false, &turns);
        size_t b = grow_guided(guides[i], true, &together);
        size_t alone = grow_guided(i ? toy : b0, false, &one);
        assert_true(same_bytes(&turns, &together));
        assert_false(same_bytes(&turns, &one));
        printf("two guides in turn %zu bytes, together %zu, the larger alone %zu\n", a, b, alone);
        /* the views of both live on */
        assert_true(a < alone + alone / 10 && b > alone + alone / 2);
        drop(&turns);
        drop(&together);
        drop(&one);
    }
}

/* --- recipes, states --- */

static void a_recipe_names_all_models(void **state)
{
    (void)state;
    grown made, again;
    fv_options *o = guided(both), *plain = toy_options(), *back;
    grow(o, &made);
    assert_non_null(strstr(made.recipe,
                           "guide: \"cfg.yml + lite0.pth + text_vocab.txt:1 | b0.yml + "
                           "b0.pth + text_vocab.txt:0.5\""));
    assert_non_null(strstr(made.recipe, "networks:\n  - {role: guide, model: "));
    assert_null(strchr(made.recipe, '/'));
    remove_tree("travels");
    mkdir("travels", 0777);
    copy_here(fv_options_get(plain, "config"), "travels/cfg.yml");
    copy_here(fv_options_get(plain, "checkpoint"), "travels/lite0.pth");
    copy_here("b0.yml", "travels/b0.yml");
    char other[4096];
    snprintf(other, sizeof other, "%.*s/b0.pth",
             (int)(strrchr(fv_options_get(plain, "checkpoint"), '/') -
                   fv_options_get(plain, "checkpoint")),
             fv_options_get(plain, "checkpoint"));
    copy_here(other, "travels/b0.pth");
    MUST(fv_options_new(&back));
    set(back, "size", "80");
    MUST(fv_recipe_apply(back, made.recipe, "travels/made.png"));
    fv_model *m;
    FAILS(fv_model_open(&m, back), FV_ERR_IO, "text_vocab.txt");
    copy_here(fv_options_get(plain, "vocab"), "travels/text_vocab.txt");
    fv_options_free(back);
    MUST(fv_options_new(&back));
    MUST(fv_recipe_apply(back, made.recipe, "travels/made.png"));
    grow(back, &again);
    assert_true(same_bytes(&made, &again));
    assert_string_equal(made.recipe, again.recipe);

    MUST(fv_model_open(&m, back));
    MUST(fv_recipe_check_model(made.recipe, m));
    fv_model_close(m);
    set(back, "guide", toy);
    MUST(fv_model_open(&m, back));
    FAILS(fv_recipe_check_model(made.recipe, m), FV_ERR_ARGUMENT, "other models");
    fv_model_close(m);
    drop(&made);
    drop(&again);
    fv_options_free(o);
    fv_options_free(back);
    fv_options_free(plain);
}

static void weights_change_while_it_grows(void **state)
{
    (void)state;
    fv_model *m;
    fv_session *s, *resumed;
    fv_progress p;
    grown made, again, other, unchanged;
    fv_options *o = guided(both), *back;
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    for (int i = 0; i < 3; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "guide-weights", "0,2"));
    FAILS(fv_session_set(s, "guide", toy), FV_ERR_ARGUMENT, "cannot be changed");
    MUST(fv_session_step(s, &p));
    MUST(fv_session_save(s, "guided.safetensors"));
    finish(s, &made);
    fv_session_close(s);
    assert_non_null(strstr(made.recipe, "option: guide-weights, value: \"0,2\""));

    MUST(fv_options_new(&back));
    MUST(fv_session_read_options(back, "guided.safetensors"));
    MUST(fv_session_resume(&resumed, m, back, "guided.safetensors"));
    finish(resumed, &other);
    fv_session_close(resumed);
    assert_true(same_bytes(&made, &other));
    fv_options_free(back);

    MUST(fv_options_new(&back));
    MUST(fv_recipe_apply(back, made.recipe, "travels/made.png"));
    grow(back, &again);
    assert_true(same_bytes(&made, &again));
    grow(o, &unchanged);
    assert_false(same_bytes(&made, &unchanged));
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_set(s, "guide-weights", "1"));
    MUST(fv_session_step(s, &p));
    assert_int_equal(p.dropped, 1);
    assert_non_null(strstr(fv_session_dropped(s), "1 numbers for 2 models"));
    fv_session_close(s);
    fv_model_close(m);
    drop(&made);
    drop(&again);
    drop(&other);
    drop(&unchanged);
    fv_options_free(o);
    fv_options_free(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guide_is_read),
        cmocka_unit_test(what_is_no_guide_is_refused),
        cmocka_unit_test(a_guide_stands_alone),
        cmocka_unit_test(weights_do_not_make_another_model),
        cmocka_unit_test(models_are_added_and_left_out),
        cmocka_unit_test(one_guide_is_the_model),
        cmocka_unit_test(the_gradient_is_the_weighted_sum),
        cmocka_unit_test(models_of_other_sizes_look_together),
        cmocka_unit_test(a_layer_may_be_the_second_models),
        cmocka_unit_test(guides_look_in_turn_in_one_memory),
        cmocka_unit_test(a_recipe_names_all_models),
        cmocka_unit_test(weights_change_while_it_grows),
    };
    return cmocka_run_group_tests(tests, name_guides, NULL);
}
