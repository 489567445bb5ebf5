/* Terms that name files (vector=, like=, unlike=): syntax, values against the layer read by a plan
 * of its own, files that do not fit, and files in recipes, states, queues and live changes. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/recipe.h"
#include "feavis/imagine/session.h"
#include "feavis/imagine/term_files.h"
#include "feavis/picture.h"
#include "feavis/queue.h"
#include "tests/toy_terms.h"

static const char *const layer = "imgencoder.backbone.blocks.3.1";

/* --- things to work with --- */

static int begin(void **state)
{
    (void)state;
    remove_tree("work");
    return mkdir("work", 0777) != 0 || mkdir("work/made", 0777) != 0 || chdir("work") != 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

/* A picture of 20 x 12, another for each `kind`. */
static void draw(const char *path, int kind)
{
    uint8_t rgb[20 * 12 * 3];
    for (int i = 0; i < (int)sizeof rgb; i++)
        rgb[i] = (uint8_t)(kind * 40 + i * i * (kind + 3) / 7);
    MUST(fv_picture_write(&(fv_picture){20, 12, rgb}, path, NULL));
}

static opened open_term(const char *term)
{
    return open_options(term_options(term));
}

/* A session of these options is refused. */
static void refused_options(fv_options *o, fv_status code, const char *words)
{
    fv_model *m;
    fv_session *s;
    MUST(fv_model_open(&m, o));
    FAILS(fv_session_open(&s, m, o), code, words);
    fv_model_close(m);
    fv_options_free(o);
}

/* --- syntax --- */

static void files_are_read(void **state)
{
    (void)state;
    fv_terms t;
    MUST(fv_terms_parse(&t,
                        "like=a.png | b.c:unlike=/x/y z.png#0123456789abcdef *0.5|d:vector=v.npy"
                        "| text=雪 | like=p*q.png *2 | e:like=r:s@t#u.png"));
    static const struct {
        const char *layer, *name, *file, *hash;
        fv_term_kind kind;
        float weight;
    } want[] = {
        {"image_embedding", "like=a.png", "a.png", "", FV_TERM_LIKE, 1},
        {"b.c", "b.c:unlike=y z.png", "/x/y z.png", "0123456789abcdef", FV_TERM_UNLIKE, 0.5f},
        {"d", "d:vector=v.npy", "v.npy", "", FV_TERM_VECTOR, 1},
        {"image_embedding", "text=雪", NULL, "", FV_TERM_TEXT, 1},
        {"image_embedding", "like=p*q.png", "p*q.png", "", FV_TERM_LIKE, 2},
        {"e", "e:like=r:s@t#u.png", "r:s@t#u.png", "", FV_TERM_LIKE, 1},
    };
    assert_int_equal(t.count, 6);
    for (int i = 0; i < t.count; i++) {
        assert_string_equal(t.at[i].layer, want[i].layer);
        assert_string_equal(t.at[i].name, want[i].name);
        if (want[i].file) assert_string_equal(t.at[i].file, want[i].file);
        if (!want[i].file) assert_null(t.at[i].file);
        assert_string_equal(t.at[i].hash, want[i].hash);
        assert_int_equal(t.at[i].kind, want[i].kind);
        assert_true(t.at[i].weight == want[i].weight);
    }
    assert_string_equal(t.at[3].text, "雪");
    fv_terms_clear(&t);
    FAILS(fv_terms_parse(&t, "like="), FV_ERR_ARGUMENT, "there is no file behind =");
    FAILS(fv_terms_parse(&t, "a:like=b/"), FV_ERR_ARGUMENT, "there is no file behind =");
    FAILS(fv_terms_parse(&t, "a:likes=b"), FV_ERR_ARGUMENT, "one of text=, vector=, like=");
    FAILS(fv_terms_parse(&t, "like=p*q.png"), FV_ERR_ARGUMENT, "no number behind *");
}

static void the_rest_of_the_text_stays(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bare, *title;
    } cases[] = {
        {"", "", ""},
        {"a:4 *2 | text=x", "a:4 *2 | text=x", "a:4 *2 | text=x"},
        {" like=/f/a.png#0123456789abcdef *0.5 |b:3| c:unlike=d/e.png ",
         " like=a.png#0123456789abcdef *0.5 |b:3| c:unlike=e.png ",
         " like=a.png *0.5 |b:3| c:unlike=e.png "},
        {"like=f/p*q.png *1", "like=p*q.png *1", "like=p*q.png *1"},
        {"a:vector=f*/p.npy *3", "a:vector=p.npy *3", "a:vector=p.npy *3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *bare, *title;
        MUST(fv_terms_bare(&bare, cases[i].text));
        MUST(fv_term_title(&title, cases[i].text));
        assert_string_equal(bare, cases[i].bare);
        assert_string_equal(title, cases[i].title);
        free(bare);
        free(title);
    }
}

/* --- values --- */

/* A layer of the tower for these pixels (NULL: those of the session at its start), by a plan of
 * its own. Caller frees. */
static float *layer_of(const opened *x, const char *name, const char *picture, fv_shape *shape)
{
    fv_plan *p;
    fv_ref r;
    int side = fv_model_image_size(x->model);
    size_t count = (size_t)side * (size_t)side * 3;
    float *pixels = malloc(count * sizeof *pixels);
    fv_picture read;
    if (picture) {
        MUST(fv_picture_read(&read, picture));
    } else {
        MUST(fv_session_picture(x->session, &read, NULL));
    }
    fv_picture_to_tensor(&read, side, pixels);
    fv_picture_free(&read);
    MUST(fv_plan_new(&p, x->model->engine->backend));
    fv_ref in = fv_plan_input(p, "pixels", (fv_shape){1, side, side, 3}, FV_REAL);
    fv_network_image(x->model->network, p, in, true);
    MUST(fv_plan_find_layer(p, name, &r));
    fv_plan_output(p, r);
    *shape = fv_plan_shape(p, r);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD));
    MUST(fv_plan_upload(p, in, pixels));
    MUST(fv_plan_forward(p));
    float *values = malloc(fv_count(*shape) * sizeof *values);
    MUST(fv_plan_download(p, r, values));
    fv_plan_free(p);
    free(pixels);
    return values;
}

static double cosine(const double *a, const double *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

/* [c][c] by the definition; caller frees */
static double *gram_of(const float *v, size_t positions, size_t c)
{
    double *g = calloc(c * c, sizeof *g);
    for (size_t p = 0; p < positions; p++)
        for (size_t i = 0; i < c; i++)
            for (size_t j = 0; j < c; j++)
                g[i * c + j] += (double)v[p * c + i] * (double)v[p * c + j];
    return g;
}

static double *doubles(const float *v, size_t n)
{
    double *d = malloc(n * sizeof *d);
    for (size_t i = 0; i < n; i++) d[i] = (double)v[i];
    return d;
}

/* What a term is for a start picture at the size that the network sees: no view changes it. */
static float value_of(const char *term)
{
    fv_options *o = term_options(term);
    fv_scores scores;
    bool finite;
    set(o, "size", "72");
    set(o, "param", "pixel");
    set(o, "start", "start.png");
    set(o, "start-noise", "0");
    opened x = open_options(o);
    MUST(fv_session_forward(x.session, FV_VIEWS_WHOLE, &scores, &finite));
    assert_true(finite);
    close_term(&x);
    return scores.parts[0];
}

/* Eight bits a number lie between the two pictures, and float sums over some thousand. */
static void near_enough(float found, double expected)
{
    if (!(fabs((double)found - expected) <= 2e-3 * fabs(expected) + 1e-4))
        fail_msg("%g, expected %g", (double)found, expected);
}

/* start.png, as large as the network sees it. */
static void draw_start(void)
{
    uint8_t rgb[72 * 72 * 3];
    for (int i = 0; i < (int)sizeof rgb; i++) rgb[i] = (uint8_t)(i * 7 % 251);
    MUST(fv_picture_write(&(fv_picture){72, 72, rgb}, "start.png", NULL));
}

static void a_picture_is_like_itself(void **state)
{
    (void)state;
    draw_start();
    char term[128];
    near_enough(value_of("like=start.png"), 1);
    snprintf(term, sizeof term, "%s:like=start.png", layer);
    near_enough(value_of(term), 1);
    snprintf(term, sizeof term, "%s:unlike=start.png", layer);
    near_enough(value_of(term), -1);
}

static void terms_are_what_they_say(void **state)
{
    (void)state;
    char term[128];
    fv_shape s;
    draw_start();
    draw("other.png", 2);
    opened x = open_term("blocks.0.0:0");
    float *here = layer_of(&x, layer, "start.png", &s),
          *there = layer_of(&x, layer, "other.png", &s);
    size_t positions = fv_rows(s), c = (size_t)s.c, n = positions * c;
    double *a = doubles(here, n), *b = doubles(there, n);
    snprintf(term, sizeof term, "%s:like=other.png", layer);
    near_enough(value_of(term), cosine(a, b, n));
    assert_true(cosine(a, b, n) < 0.99); /* else it would say nothing */

    double *ga = gram_of(here, positions, c), *gb = gram_of(there, positions, c);
    snprintf(term, sizeof term, "%s:unlike=other.png", layer);
    near_enough(value_of(term), -cosine(ga, gb, c * c));

    float *vector = malloc(c * sizeof *vector);
    double *mean = calloc(c, sizeof *mean);
    for (size_t k = 0; k < c; k++) vector[k] = (float)(k % 5) - 1.5f;
    for (size_t i = 0; i < n; i++) mean[i % c] += a[i];
    MUST(fv_npy_save_f32("v.npy", vector, 1, (int64_t[]){(int64_t)c}));
    snprintf(term, sizeof term, "%s:vector=v.npy", layer);
    double *direction = doubles(vector, c);
    near_enough(value_of(term), cosine(mean, direction, c));

    fv_shape e;
    float *ea = layer_of(&x, "image_embedding", "start.png", &e);
    float *eb = layer_of(&x, "image_embedding", "other.png", &e);
    double *da = doubles(ea, (size_t)e.c), *db = doubles(eb, (size_t)e.c);
    near_enough(value_of("like=other.png"), cosine(da, db, (size_t)e.c));
    MUST(fv_npy_save_f32("e.npy", eb, 2, (int64_t[]){1, e.c}));
    near_enough(value_of("vector=e.npy"), cosine(da, db, (size_t)e.c));
    close_term(&x);
    void *all[] = {here, there, a, b, ga, gb, vector, mean, direction, ea, eb, da, db};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void every_term_climbs(void **state)
{
    (void)state;
    static const char *const terms[] = {"like=a.png",
                                        "blocks.3.1:like=a.png",
                                        "blocks.3.1:unlike=a.png",
                                        "unlike=a.png",
                                        "blocks.3.1:vector=v.npy",
                                        "blocks.2.0:like=a.png *0.5 | blocks.4.0:unlike=a.png *2"};
    float v[80];
    draw("a.png", 3);
    fv_model *m;
    fv_shape s;
    opened x = open_term("blocks.0.0:0");
    free(layer_of(&x, layer, "a.png", &s));
    close_term(&x);
    assert_true(s.c <= 80);
    for (int k = 0; k < s.c; k++) v[k] = (float)(k % 3) - 1.2f;
    MUST(fv_npy_save_f32("v.npy", v, 1, (int64_t[]){s.c}));
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        fv_options *o = term_options(terms[i]);
        fv_session *session;
        fv_scores before, after;
        bool finite;
        set(o, "steps", "6");
        set(o, "rate", "0.003"); /* every step descends: see test_session.c */
        MUST(fv_model_open(&m, o));
        MUST(fv_session_open(&session, m, o));
        MUST(fv_session_forward(session, FV_VIEWS_WHOLE, &before, &finite));
        MUST(fv_session_run(session, NULL, NULL));
        MUST(fv_session_forward(session, FV_VIEWS_WHOLE, &after, &finite));
        if (!(after.loss < before.loss))
            fail_msg("%s: loss %g -> %g", terms[i], (double)before.loss, (double)after.loss);
        fv_session_close(session);
        fv_model_close(m);
        fv_options_free(o);
    }
}

/* --- files that do not fit --- */

static void files_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const float three[] = {1, 2, 3}, zeros[80] = {0}, bad[] = {1, NAN};
    MUST(fv_npy_save_f32("three.npy", three, 1, (int64_t[]){3}));
    MUST(fv_npy_save_f32("zeros.npy", zeros, 1, (int64_t[]){80}));
    MUST(fv_npy_save_f32("flat.npy", zeros, 2, (int64_t[]){8, 10}));
    MUST(fv_npy_save_f32("nan.npy", bad, 1, (int64_t[]){2}));
    spill("text.png", "hello", 5);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    draw("a.png", 1);
    static const struct {
        const char *term;
        fv_status code;
        const char *words;
    } cases[] = {
        {"like=gone.png", FV_ERR_IO, "term like=gone.png: there is no file gone.png"},
        {"like=made", FV_ERR_IO, "there is no file made"},
        {"like=pipe", FV_ERR_IO, "there is no file pipe"},
        {"like=/proc/self/status", FV_ERR_IO, "there is no file"},
        {"like=text.png", FV_ERR_FORMAT, "text.png"},
        {"vector=a.png", FV_ERR_FORMAT, "not a .npy"},
        {"blocks.3.1:vector=three.npy", FV_ERR_SHAPE, "the file has 3 numbers"},
        {"blocks.3.1:vector=flat.npy", FV_ERR_SHAPE, "flat.npy: a direction is one row of numbers"},
        {"vector=zeros.npy", FV_ERR_FORMAT, "zeros.npy: a direction has a length, this is zero"},
        {"vector=nan.npy", FV_ERR_FORMAT, "not finite"},
        {"like=a.png#0123456789abcdef", FV_ERR_FORMAT, "another file than the recipe's"},
        {"blocks.9.9:like=a.png", FV_ERR_ARGUMENT, "the nearest is"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = term_options(cases[i].term);
        fv_model *m;
        MUST(fv_model_open(&m, o)); /* also before any work */
        FAILS(fv_options_check_channels(o, m), cases[i].code, cases[i].words);
        fv_model_close(m);
        refused_options(o, cases[i].code, cases[i].words);
    }
    fv_options *o = term_options("");
    FAILS(fv_options_set(o, "term", "like="), FV_ERR_ARGUMENT, "no file");
    fv_options_free(o);
}

/* --- recipes --- */

static fv_picture run_out(opened *x, char **recipe)
{
    fv_picture p;
    MUST(fv_session_run(x->session, NULL, NULL));
    MUST(fv_session_picture(x->session, &p, NULL));
    if (recipe) MUST(fv_session_recipe(x->session, recipe));
    return p;
}

static void same_picture(fv_picture *a, fv_picture *b)
{
    assert_int_equal(a->width, b->width);
    assert_memory_equal(a->rgb, b->rgb, (size_t)a->width * (size_t)a->height * 3);
    fv_picture_free(a);
    fv_picture_free(b);
}

static fv_options *from_recipe(const char *recipe, const char *what)
{
    fv_options *o = term_options("");
    MUST(fv_recipe_apply(o, recipe, what));
    return o;
}

static void a_recipe_finds_its_files(void **state)
{
    (void)state;
    char *recipe, here[4096], whole[4200];
    const float v[16] = {1, -2};
    draw("made/a.png", 1);
    MUST(fv_npy_save_f32("made/v.npy", v, 1, (int64_t[]){16}));
    assert_non_null(getcwd(here, sizeof here));
    snprintf(whole, sizeof whole,
             "%s/made/a.png *0.5 | blocks.0.0:vector=made/v.npy | blocks.3.1:unlike=made/a.png",
             here);
    char term[4300];
    snprintf(term, sizeof term, "like=%s", whole);
    opened x = open_term(term);
    fv_picture first = run_out(&x, &recipe);
    close_term(&x);
    assert_null(strstr(recipe, "made"));
    assert_null(strstr(recipe, here));
    assert_non_null(strstr(recipe, "term: \"like=a.png#"));
    assert_non_null(strstr(recipe, " *0.5 | blocks.0.0:vector=v.npy#"));

    /* beside the recipe, from anywhere */
    fv_options *o = from_recipe(recipe, "made/p.png");
    assert_non_null(strstr(fv_options_get(o, "term"), "like=made/a.png#"));
    x = open_options(o);
    char *second;
    fv_picture again = run_out(&x, &second);
    close_term(&x);
    same_picture(&first, &again);
    assert_string_equal(recipe, second);
    free(second);

    /* here; one of that name beside it is another */
    assert_int_equal(rename("made/a.png", "a.png"), 0);
    assert_int_equal(rename("made/v.npy", "v.npy"), 0);
    draw("made/a.png", 2);
    o = from_recipe(recipe, "made/p.png");
    assert_non_null(strstr(fv_options_get(o, "term"), "like=a.png#"));
    x = open_options(o);
    close_term(&x);

    /* only another, and none */
    unlink("a.png");
    refused_options(from_recipe(recipe, "made/p.png"), FV_ERR_IO,
                    "term like=a.png: there is no file a.png, neither beside the recipe nor here");
    draw("a.png", 2);
    refused_options(from_recipe(recipe, "made/p.png"), FV_ERR_FORMAT,
                    "term like=a.png: a.png is another file than the recipe's");
    free(recipe);
}

/* Whoever made a recipe is not trusted: it opens nothing but regular files with the right hash. */
static void a_recipe_opens_nothing_else(void **state)
{
    (void)state;
    char hash[17], recipe[512];
    draw("made/a.png", 1);
    MUST(fv_start_hash("made/a.png", hash));
    snprintf(recipe, sizeof recipe, "feavis: 1\nterm: \"like=made/a.png#%s\"\n", hash);
    fv_options *o = from_recipe(recipe, "p.png"); /* folders are not looked at */
    assert_non_null(strstr(fv_options_get(o, "term"), "like=a.png#"));
    refused_options(o, FV_ERR_IO, "there is no file a.png");
    snprintf(recipe, sizeof recipe,
             "feavis: 1\nterm: \"text=x\"\nchanges:\n  - {step: 2, option: "
             "term, value: \"like=/etc/a.png#%s\"}\n",
             hash);
    o = from_recipe(recipe, "made/p.png");
    char *queued;
    MUST(fv_recipe_write_options(&queued, o));
    assert_non_null(strstr(queued, "made/a.png#"));
    assert_null(strstr(queued, "/etc"));
    free(queued);
    fv_options_free(o);
    o = term_options("");
    FAILS(fv_recipe_apply(o, "feavis: 1\nterm: \"like=a.png\"\n", "made/p.png"), FV_ERR_FORMAT,
          "says the hash of a file");
    fv_options_free(o);
    assert_int_equal(mkfifo("made/b.png", 0600), 0);
    snprintf(recipe, sizeof recipe, "feavis: 1\nterm: \"like=b.png#%s\"\n", hash);
    refused_options(from_recipe(recipe, "made/p.png"), FV_ERR_IO, "there is no file b.png");
}

static void changes_name_files_too(void **state)
{
    (void)state;
    fv_progress p;
    char *recipe;
    draw("made/a.png", 1);
    draw("made/b.png", 2);
    opened x = open_term("like=made/a.png");
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_set(x.session, "term", "like=made/b.png")); /* the same ops */
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_set(x.session, "term", "blocks.3.1:unlike=made/a.png | like=made/b.png"));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(p.dropped, 0);
    MUST(fv_session_set(x.session, "term", "like=made/gone.png"));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(p.dropped, 1); /* said, and the picture goes on as it was */
    assert_non_null(strstr(fv_session_dropped(x.session), "there is no file made/gone.png"));
    fv_picture first = run_out(&x, &recipe);
    close_term(&x);
    assert_null(strstr(recipe, "made"));
    assert_null(strstr(recipe, "gone"));
    assert_non_null(strstr(recipe, "value: \"like=b.png#"));
    x = open_options(from_recipe(recipe, "made/p.png"));
    fv_picture again = run_out(&x, NULL);
    close_term(&x);
    same_picture(&first, &again);
    free(recipe);
}

static void a_state_keeps_whole_paths(void **state)
{
    (void)state;
    fv_progress p;
    draw("made/a.png", 1);
    opened x = open_term("blocks.3.1:like=made/a.png");
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_save(x.session, "s.safetensors"));
    fv_picture first = run_out(&x, NULL);
    close_term(&x);
    /* from another folder, where nothing of that name is */
    assert_int_equal(mkdir("elsewhere", 0777), 0);
    assert_int_equal(rename("s.safetensors", "elsewhere/s.safetensors"), 0);
    fv_options *o = term_options("");
    MUST(fv_session_read_options(o, "elsewhere/s.safetensors"));
    fv_model *m;
    fv_session *s;
    MUST(fv_model_open(&m, o));
    MUST(fv_session_resume(&s, m, o, "elsewhere/s.safetensors"));
    fv_picture again;
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_picture(s, &again, NULL));
    fv_session_close(s);
    assert_int_equal(again.width, first.width);
    assert_memory_equal(again.rgb, first.rgb, (size_t)again.width * (size_t)again.height * 3);
    fv_picture_free(&again);
    /* the file is another now */
    draw("made/a.png", 2);
    FAILS(fv_session_resume(&s, m, o, "elsewhere/s.safetensors"), FV_ERR_FORMAT,
          "another file than the recipe's");
    /* it has moved, and the options say where to: no change of the picture */
    draw("made/moved.png", 1);
    MUST(fv_options_set(o, "term", "blocks.3.1:like=made/moved.png"));
    MUST(fv_session_resume(&s, m, o, "elsewhere/s.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_picture(s, &again, NULL));
    fv_session_close(s);
    same_picture(&first, &again);
    fv_model_close(m);
    fv_options_free(o);
}

static void a_queue_keeps_whole_paths(void **state)
{
    (void)state;
    fv_queue *q;
    char here[4096], want[4200];
    assert_non_null(getcwd(here, sizeof here));
    draw("made/a.png", 1);
    fv_options *o = term_options("like=made/a.png *0.5 | blocks.3.1:4");
    MUST(fv_queue_open(&q, "queue"));
    MUST(fv_queue_add(q, o));
    fv_queue_close(q);
    fv_options_free(o);
    MUST(fv_queue_open(&q, "queue"));
    assert_int_equal(fv_queue_count(q), 1);
    snprintf(want, sizeof want, "like=%s/made/a.png *0.5 | blocks.3.1:4", here);
    assert_string_equal(fv_options_get(fv_queue_at(q, 0), "term"), want);
    fv_queue_close(q);
}

/* Going back to a kept state needs the file as it was: else all stays as it is. */
static void what_is_gone_changes_nothing(void **state)
{
    (void)state;
    fv_progress p;
    draw("a.png", 1);
    opened x = open_term("like=a.png");
    MUST(fv_session_step(x.session, &p));
    unlink("a.png");
    MUST(fv_session_set(x.session, "tv", "0.5"));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(p.dropped, 1);
    draw("a.png", 1);
    MUST(fv_session_set(x.session, "tv", "0.5"));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(p.dropped, 1);
    close_term(&x);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(files_are_read),
        CASE(the_rest_of_the_text_stays),
        CASE(a_picture_is_like_itself),
        CASE(terms_are_what_they_say),
        CASE(every_term_climbs),
        CASE(files_that_do_not_fit_are_refused),
        CASE(a_recipe_finds_its_files),
        CASE(a_recipe_opens_nothing_else),
        CASE(changes_name_files_too),
        CASE(a_state_keeps_whole_paths),
        CASE(a_queue_keeps_whole_paths),
        CASE(what_is_gone_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
