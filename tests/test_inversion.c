/* Sessions whose picture is the latent of a decoder (generator vqgan), on the toy BriVL and the
 * small decoders of tests/golden/vqgan: every way and every start, the codes that they pass
 * through, and all that other generators can: changes while it grows, terms, several guides,
 * states, recipes. */
#include "feavis/codes.h"
#include "feavis/history.h"
#include "feavis/recipe.h"
#include "tests/toy.h"

enum { W = 64, H = 48, BYTES = W * H * 3, F = 4, CELLS = (W / F) * (H / F), STEPS = 4 };

static const char *const ways[] = {"straight", "projected", "free"};

static const char *decoder_file(const char *name)
{
    static char path[1024];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/%s.ckpt", folder ? folder : ".", name);
    return path;
}

static fv_options *options(const char *way)
{
    fv_options *o = toy_options();
    const char *const settings[][2] = {{"param", "vqgan"}, {"decoder", decoder_file("vq")},
                                       {"codes", way},     {"size", "64x48"},
                                       {"steps", "4"},     {"threads", "1"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        set(o, settings[i][0], settings[i][1]);
    /* so that four steps reach other codes */
    if (strcmp(way, "straight") == 0) set(o, "rate", "0.4");
    return o;
}

static fv_model *open_model(const fv_options *o)
{
    fv_model *m;
    MUST(fv_model_open(&m, o));
    return m;
}

static void take(fv_session *s, uint8_t *rgb)
{
    fv_picture p;
    MUST(fv_session_picture(s, &p, NULL));
    assert_true(p.width == W && p.height == H);
    memcpy(rgb, p.rgb, BYTES);
    fv_picture_free(&p);
}

/* The picture of a whole run and, if it is asked for, its recipe. */
static void grow(fv_model *m, const fv_options *o, uint8_t *rgb, char **recipe)
{
    fv_session *s;
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_run(s, NULL, NULL));
    take(s, rgb);
    if (recipe) MUST(fv_session_recipe(s, recipe));
    fv_session_close(s);
}

/* The recipe gives the same bytes, on another number of threads. */
static void comes_back(const char *recipe, const uint8_t *expected)
{
    static uint8_t again[BYTES];
    char *second;
    fv_options *o = toy_options();
    set(o, "decoder", decoder_file("vq"));
    set(o, "threads", "2");
    MUST(fv_recipe_apply(o, recipe, "recipe.png"));
    fv_model *m = open_model(o);
    MUST(fv_recipe_check_model(recipe, m));
    grow(m, o, again, &second);
    assert_string_equal(second, recipe);
    assert_memory_equal(again, expected, BYTES);
    free(second);
    fv_model_close(m);
    fv_options_free(o);
}

static void write_starts(void)
{
    static uint8_t rgb[BYTES];
    fv_codes c;
    for (int i = 0; i < BYTES; i++) rgb[i] = (uint8_t)(i * i / 977 + i / 3);
    MUST(fv_picture_write(&(fv_picture){W, H, rgb}, "start.png", NULL));
    MUST(fv_codes_new(&c, W / F, H / F));
    for (int i = 0; i < CELLS; i++) c.at[i] = i * 31 % 96;
    MUST(fv_codes_write(&c, "start.csv"));
    fv_codes_free(&c);
}

/* --- starts --- */

static void every_way_comes_back_from_every_start(void **state)
{
    (void)state;
    static const char *const starts[][2] = {
        {"start", ""}, {"codes-start", "noise"}, {"start", "start.png"}, {"start", "start.csv"}};
    static uint8_t pictures[4][BYTES];
    write_starts();
    for (int w = 0; w < 3; w++) {
        fv_options *o = options(ways[w]);
        fv_model *m = open_model(o);
        for (int i = 0; i < 4; i++) {
            fv_options *one;
            char *recipe;
            MUST(fv_options_copy(&one, o));
            set(one, starts[i][0], starts[i][1]);
            grow(m, one, pictures[i], &recipe);
            comes_back(recipe, pictures[i]);
            for (int k = 0; k < i; k++) assert_memory_not_equal(pictures[i], pictures[k], BYTES);
            assert_true(!strstr(recipe, "\ncodes-start: ") == (i != 1));
            assert_true(!strstr(recipe, "\nstart-hash: ") == (i < 2));
            free(recipe);
            fv_options_free(one);
        }
        fv_model_close(m);
        fv_options_free(o);
    }
}

/* Before the first step they are those of the file; and of a picture those that encode gives. */
static void a_session_begins_with_the_codes_that_it_is_given(void **state)
{
    (void)state;
    fv_codes file, encoded, begun;
    fv_picture back;
    double error;
    write_starts();
    MUST(fv_codes_read(&file, "start.csv"));
    fv_options *o = options("straight");
    fv_model *m = open_model(o);
    set(o, "start", "start.png");
    MUST(fv_codes_encode(&encoded, &back, &error, o));
    fv_picture_free(&back);
    for (int i = 0; i < 6; i++) {
        fv_session *s;
        set(o, "codes", ways[i / 2]);
        set(o, "start", i % 2 ? "start.png" : "start.csv");
        set(o, "start-hash", "");
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_codes(s, false, &begun));
        assert_true(begun.width == W / F && begun.height == H / F && begun.count == 96);
        assert_memory_equal(begun.at, (i % 2 ? &encoded : &file)->at, CELLS * sizeof *begun.at);
        fv_codes_free(&begun);
        fv_session_close(s);
    }
    fv_codes_free(&file);
    fv_codes_free(&encoded);
    fv_model_close(m);
    fv_options_free(o);
}

/* The codes of a finished picture are the picture: whoever starts from them sees it at once. */
static void another_run_goes_on_from_saved_codes(void **state)
{
    (void)state;
    static const char *const keep[] = {"last", "best"};
    static uint8_t first[BYTES], begun[BYTES], decoded[BYTES];
    for (int i = 0; i < 2; i++) {
        fv_session *s;
        fv_codes c;
        fv_picture p;
        fv_options *o = options("projected");
        set(o, "keep", keep[i]);
        set(o, "steps", "8");
        fv_model *m = open_model(o);
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_run(s, NULL, NULL));
        take(s, first);
        MUST(fv_session_codes(s, true, &c));
        MUST(fv_codes_write(&c, "saved.csv"));
        fv_session_close(s);

        set(o, "start", "saved.csv");
        set(o, "text", "lake");
        set(o, "codes", "straight");
        MUST(fv_session_open(&s, m, o));
        take(s, begun);
        for (int k = 0; k < BYTES; k++) assert_true(abs(begun[k] - first[k]) <= 1);
        fv_session_close(s);
        MUST(fv_codes_decode(&p, &c, o));
        memcpy(decoded, p.rgb, BYTES);
        for (int k = 0; k < BYTES; k++) assert_true(abs(decoded[k] - first[k]) <= 1);
        fv_picture_free(&p);
        fv_codes_free(&c);
        fv_model_close(m);
        fv_options_free(o);
    }
}

static void starts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    fv_session *s;
    fv_options *o = options("straight");
    fv_model *m = open_model(o);
    write_starts();
    const char *const cases[][2] = {
        {"1,2\n3,4\n", "few.csv: there are 2 x 2, expected 16 x 12 for 64 x 48 pixels"},
        {"1,x\n", "few.csv, line 1"},
        {"", "few.csv"}};
    for (int i = 0; i < 3; i++) {
        spill("few.csv", cases[i][0], strlen(cases[i][0]));
        set(o, "start", "few.csv");
        set(o, "start-hash", "");
        assert_true(fv_session_open(&s, m, o) < 0);
        if (!strstr(fv_error(), cases[i][1]) || strchr(fv_error(), '\n'))
            fail_msg("case %d: said \"%s\"", i, fv_error());
    }
    fv_codes c;
    MUST(fv_codes_read(&c, "start.csv"));
    c.at[17] = 96;
    MUST(fv_codes_write(&c, "few.csv"));
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT,
          "cell 2 of line 2 has code 96; VQModel has 0 to 95");
    fv_codes_free(&c);

    set(o, "start", "start.csv"); /* a recipe's codes are those, or none */
    set(o, "start-hash", "0123456789abcdef");
    FAILS(fv_session_open(&s, m, o), FV_ERR_FORMAT, "codes");
    set(o, "start-hash", "");
    set(o, "param", "fourier");
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "fourier takes no codes");
    fv_model_close(m);

    set(o, "param", "vqgan");
    set(o, "decoder", decoder_file("kl"));
    m = open_model(o);
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "has no codes");
    fv_model_close(m);
    set(o, "decoder", source_file("tests/golden/vqgan/tiny_weights.safetensors"));
    set(o, "start", "start.png");
    set(o, "start-hash", "");
    m = open_model(o);
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "no encoder");
    fv_model_close(m);
    fv_options_free(o);
}

/* --- codes that move --- */

static int differences(const fv_codes *a, const fv_codes *b)
{
    int count = 0;
    for (int i = 0; i < CELLS; i++) count += a->at[i] != b->at[i];
    return count;
}

/* At the usual rate codes move, and it is told how many; at a small one all are put back. */
static void projected_steps_say_how_many_codes_moved(void **state)
{
    (void)state;
    static const char *const rates[] = {"0.06", "0.0001"};
    for (int i = 0; i < 2; i++) {
        fv_session *s;
        fv_progress p;
        fv_codes before, after;
        int sum = 0;
        fv_options *o = options("projected");
        set(o, "rate", rates[i]);
        fv_model *m = open_model(o);
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_codes(s, false, &before));
        for (int k = 0; k < STEPS; k++) {
            MUST(fv_session_step(s, &p));
            MUST(fv_session_codes(s, false, &after));
            assert_int_equal(p.cells, CELLS);
            assert_int_equal(p.moved, differences(&before, &after));
            sum += p.moved;
            fv_codes_free(&before);
            before = after;
        }
        assert_true(i == 0 ? sum > CELLS : sum == 0);
        fv_codes_free(&before);
        fv_session_close(s);
        fv_model_close(m);
        fv_options_free(o);
    }
}

static void nothing_is_counted_elsewhere(void **state)
{
    (void)state;
    static const char *const params[][2] = {
        {"vqgan", "straight"}, {"vqgan", "free"}, {"fourier", "projected"}};
    for (int i = 0; i < 3; i++) {
        fv_session *s;
        fv_progress p;
        fv_codes c;
        fv_options *o = options(params[i][1]);
        set(o, "param", params[i][0]);
        fv_model *m = open_model(o);
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_step(s, &p));
        assert_true(p.moved == -1 && p.cells == 0);
        if (i == 2) FAILS(fv_session_codes(s, true, &c), FV_ERR_ARGUMENT, "fourier");
        fv_session_close(s);
        fv_model_close(m);
        fv_options_free(o);
    }
}

/* --- as with other generators --- */

static void changes_terms_and_views(void **state)
{
    (void)state;
    static uint8_t plain[BYTES], first[BYTES];
    for (int w = 0; w < 3; w++) {
        fv_session *s;
        fv_progress p;
        char *recipe;
        fv_options *o = options(ways[w]);
        set(o, "views", "3");
        set(o, "tv", "0.2");
        set(o, "term", "imgencoder.backbone.blocks.2.0:3 *0.5");
        fv_model *m = open_model(o);
        grow(m, o, plain, NULL);
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_step(s, &p));
        MUST(fv_session_set(s, "text", "lake:2 | moon")); /* other ops */
        MUST(fv_session_set(s, "rate", "0.5"));
        MUST(fv_session_step(s, &p));
        MUST(fv_session_set(s, "term", "imgencoder.backbone.blocks.1.0 *0.1"));
        MUST(fv_session_run(s, NULL, NULL));
        assert_string_equal(fv_session_dropped(s), "");
        take(s, first);
        MUST(fv_session_recipe(s, &recipe));
        if (memcmp(first, plain, BYTES) == 0) fail_msg("%s: nothing has changed", ways[w]);
        comes_back(recipe, first);
        free(recipe);
        fv_session_close(s);
        fv_model_close(m);
        fv_options_free(o);
    }
}

static void several_guides_look_at_it(void **state)
{
    (void)state;
    static uint8_t first[BYTES], alone[BYTES];
    char guide[8192], b0[1024], *recipe;
    fv_session *s;
    fv_progress p;
    fv_options *o = options("projected");
    fv_model *m = open_model(o);
    grow(m, o, alone, NULL);
    fv_model_close(m);
    const char *unpacked = getenv("FEAVIS_UNPACKED"), *vocab = fv_options_get(o, "vocab");
    snprintf(b0, sizeof b0, "%s/b0.pth", unpacked ? unpacked : ".");
    snprintf(guide, sizeof guide, "%s + %s + %s | %s + %s + %s:0.5", fv_options_get(o, "config"),
             fv_options_get(o, "checkpoint"), vocab, source_file("tests/golden/towers/b0/cfg.yml"),
             b0, vocab);
    static const char *const single[] = {"config", "checkpoint", "vocab"};
    for (int i = 0; i < 3; i++) set(o, single[i], "");
    set(o, "guide", guide);
    m = open_model(o);
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "guide-weights", "0.5,2"));
    MUST(fv_session_run(s, NULL, NULL));
    take(s, first);
    assert_memory_not_equal(first, alone, BYTES);
    MUST(fv_session_recipe(s, &recipe));
    assert_non_null(strstr(recipe, "role: decoder, model: \"VQModel\""));
    fv_session_close(s);
    fv_model_close(m);

    /* again, with the files as they were given */
    static uint8_t again[BYTES];
    fv_options *second;
    MUST(fv_options_copy(&second, o));
    MUST(fv_recipe_apply(second, recipe, "recipe.png"));
    m = open_model(second);
    MUST(fv_recipe_check_model(recipe, m));
    grow(m, second, again, NULL);
    assert_memory_equal(again, first, BYTES);
    fv_model_close(m);
    fv_options_free(second);
    fv_options_free(o);
    free(recipe);
}

/* To the end from here, and how many codes moved on the way. */
static int finish(fv_session *s, uint8_t *rgb)
{
    fv_progress p = {.step = 0, .steps = 1};
    int moved = 0;
    while (p.step < STEPS) {
        MUST(fv_session_step(s, &p));
        moved += p.moved;
    }
    take(s, rgb);
    return moved;
}

static void states_go_back_and_go_on(void **state)
{
    (void)state;
    static uint8_t first[BYTES], again[BYTES];
    for (int w = 0; w < 3; w++) {
        fv_session *s;
        fv_snapshot *k;
        fv_progress p;
        fv_options *o = options(ways[w]);
        fv_model *m = open_model(o);
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_step(s, &p));
        MUST(fv_session_take_snapshot(s, &k));
        MUST(fv_session_save(s, "half.safetensors"));
        int moved = finish(s, first);
        MUST(fv_session_restore(s, k));
        assert_int_equal(finish(s, again), moved);
        assert_memory_equal(again, first, BYTES);
        fv_session_close(s);

        fv_options *saved = toy_options();
        MUST(fv_session_read_options(saved, "half.safetensors"));
        assert_string_equal(fv_options_get(saved, "codes"), ways[w]);
        fv_model_close(m);
        m = open_model(saved);
        MUST(fv_session_resume(&s, m, saved, "half.safetensors"));
        assert_int_equal(finish(s, again), moved);
        assert_memory_equal(again, first, BYTES);
        fv_session_close(s);

        set(saved, "codes", ways[(w + 1) % 3]); /* a latent of another unit */
        MUST(fv_session_open(&s, m, saved));
        FAILS(fv_session_restore(s, k), FV_ERR_ARGUMENT, "is of another codes");
        fv_session_close(s);
        fv_snapshot_free(k);
        fv_model_close(m);
        fv_options_free(saved);
        fv_options_free(o);
    }
}

/* Another text from an earlier step on, and back to the branch that was left. */
static void its_history_branches(void **state)
{
    (void)state;
    static uint8_t first[BYTES], other[BYTES], again[BYTES];
    fv_session *s;
    fv_history *h;
    fv_progress p;
    fv_options *o = options("projected");
    fv_model *m = open_model(o);
    MUST(fv_session_open(&s, m, o));
    MUST(fv_history_new(&h));
    for (int i = 0; i < STEPS; i++) {
        MUST(fv_session_step(s, &p));
        MUST(fv_history_note(h, s, p.step));
    }
    take(s, first);
    int step = 2;
    MUST(fv_history_fork(h, s, &step));
    assert_true(step >= 1 && step <= 2);
    MUST(fv_session_set(s, "text", "lake"));
    finish(s, other);
    assert_memory_not_equal(first, other, BYTES);
    MUST(fv_history_switch(h, s, 0));
    take(s, again);
    assert_memory_equal(again, first, BYTES);
    fv_history_free(h);
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_comes_back_from_every_start),
        cmocka_unit_test(a_session_begins_with_the_codes_that_it_is_given),
        cmocka_unit_test(another_run_goes_on_from_saved_codes),
        cmocka_unit_test(starts_that_do_not_fit_are_refused),
        cmocka_unit_test(projected_steps_say_how_many_codes_moved),
        cmocka_unit_test(nothing_is_counted_elsewhere),
        cmocka_unit_test(changes_terms_and_views),
        cmocka_unit_test(several_guides_look_at_it),
        cmocka_unit_test(states_go_back_and_go_on),
        cmocka_unit_test(its_history_branches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
