/* Plausible targets: the file, what of it is refused, the moved vector against sums in double,
 * where the ascent ends, recipes that name the file; and feavis gap as people run it. On the toy
 * BriVL. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/critic.h"
#include "feavis/gap.h"
#include "feavis/imagine/plausible.h"
#include "feavis/imagine/recipe.h"
#include "model/weights/weights.h"
#include "tests/process.h"
#include "tests/toy_terms.h"

static int begin(void **state)
{
    (void)state;
    return enter_toy_work("steps: 3\nviews: 1\nsize: 72\nshift: 4\n");
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

/* Of the toy, with cosines that rise from `low` to `high`. */
static void write_gap(const char *path, float low, float high)
{
    fv_model *m;
    open_towers(&m, "online");
    fv_gap g = {.dim = fv_model_dim(m), .photos = 3, .captions = 4};
    size_t bytes = (size_t)g.dim * sizeof(float);
    g.image_mean = malloc(bytes);
    g.text_mean = malloc(bytes);
    for (int i = 0; i < g.dim; i++) {
        g.image_mean[i] = 0.03f * (float)(i * 37 % 11 - 5) / 5;
        g.text_mean[i] = 0.03f * (float)(i * 53 % 13 - 6) / 6;
    }
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < FV_PERCENTILES; i++)
            g.cosines[k][i] = low + (high - low) * (float)i / (FV_PERCENTILES - 1);
    snprintf(g.fingerprint, sizeof g.fingerprint, "%s", fv_model_fingerprint(m));
    snprintf(g.model, sizeof g.model, "toy");
    MUST(fv_gap_write(&g, path));
    fv_gap_clear(&g);
    fv_model_close(m);
}

/* A session that is quiet: one view, the picture as it is. */
static fv_options *quiet_options(const char *text)
{
    fv_options *o = term_options("");
    set(o, "text", text);
    set(o, "steps", "12");
    set(o, "rate", "0.1");
    set(o, "beta1", "0"); /* nothing moves that is not pulled */
    set(o, "blur", "0");
    set(o, "blur-end", "0");
    return o;
}

/* --- the file --- */

static void what_is_written_is_read(void **state)
{
    (void)state;
    fv_gap g;
    char hash[17], other[17];
    write_gap("a.safetensors", 0.1f, 0.3f);
    write_gap("b.safetensors", 0.1f, 0.31f);
    MUST(fv_gap_read(&g, "a.safetensors"));
    assert_true(fabsf(g.cosines[1][50] - 0.2f) < 1e-6f && g.cosines[0][100] == 0.3f);
    assert_true(g.image_mean[1] != g.text_mean[1]);
    assert_string_equal(g.model, "toy");
    MUST(fv_gap_hash("a.safetensors", hash));
    MUST(fv_gap_hash("b.safetensors", other));
    assert_string_not_equal(hash, other);
    fv_gap_clear(&g);
}

static void refuse(const char *path, fv_status code, const char *words)
{
    fv_gap g;
    FAILS(fv_gap_read(&g, path), code, words);
}

static void what_is_no_gap_is_refused(void **state)
{
    (void)state;
    float mean[4] = {0.1f, 0.2f, 0, 0}, falling[2 * FV_PERCENTILES] = {0.5f},
          high[4] = {0, 7, 0, 0};
    float flat[2 * FV_PERCENTILES] = {0};
    const char *const is[] = {"feavis", "gap 1", "fingerprint", "0123", NULL};
    const char *const other[] = {"feavis", "gap 2", "fingerprint", "0123", NULL};
    fv_save_entry e[] = {{"image_mean", FV_FILE_F32, 1, {4}, mean},
                         {"text_mean", FV_FILE_F32, 1, {4}, mean},
                         {"cosines", FV_FILE_F32, 2, {2, FV_PERCENTILES}, flat}};
    fv_gap g;
    MUST(fv_weights_save("good", e, 3, is));
    MUST(fv_gap_read(&g, "good"));
    fv_gap_clear(&g);
    MUST(fv_weights_save("bad", e, 3, other));
    refuse("bad", FV_ERR_FORMAT, "bad is no file of feavis gap");
    MUST(fv_weights_save("bad", e, 3, NULL));
    refuse("bad", FV_ERR_FORMAT, "bad is no file of feavis gap");
    MUST(fv_weights_save("bad", e, 2, is));
    refuse("bad", FV_ERR_FORMAT, "cosines");
    e[2].data = falling;
    MUST(fv_weights_save("bad", e, 3, is));
    refuse("bad", FV_ERR_FORMAT, "percentiles fall");
    e[2].data = flat;
    e[1].data = high;
    MUST(fv_weights_save("bad", e, 3, is));
    refuse("bad", FV_ERR_FORMAT, "text_mean has a number that is not from -1 to 1");
    e[1] = (fv_save_entry){"text_mean", FV_FILE_F32, 1, {3}, mean};
    MUST(fv_weights_save("bad", e, 3, is));
    refuse("bad", FV_ERR_SHAPE, "text_mean has 3 numbers, expected 4");
    refuse("gone", FV_ERR_IO, "there is no file gone");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    refuse("pipe", FV_ERR_IO, "there is no file pipe"); /* and nothing waits for it */
    refuse(".", FV_ERR_IO, "there is no file .");
}

static void another_models_is_refused(void **state)
{
    (void)state;
    fv_model *m;
    fv_session *s;
    write_gap("a.safetensors", 0, 1);
    fv_options *o = quiet_options("moon");
    set(o, "plausible", "a.safetensors");
    set(o, "tower", "momentum");
    MUST(fv_model_open(&m, o));
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "was measured with another model (toy,");
    set(o, "plausible", "gone.safetensors");
    FAILS(fv_session_open(&s, m, o), FV_ERR_IO, "there is no file gone.safetensors");
    fv_model_close(m);
    fv_options_free(o);
}

/* --- what it does --- */

static void a_text_is_moved_to_the_photos(void **state)
{
    (void)state;
    fv_gap g;
    write_gap("a.safetensors", 0, 1);
    MUST(fv_gap_read(&g, "a.safetensors"));
    opened plain = open_options(quiet_options("moon"));
    fv_options *o = quiet_options("moon");
    set(o, "plausible", "a.safetensors");
    opened moved = open_options(o);
    const float *from = plain.session->objectives.embeddings[0];
    const float *to = moved.session->objectives.embeddings[0];
    double square = 0, dot = 0;
    for (int i = 0; i < g.dim; i++) {
        double x = (double)from[i] + (double)g.image_mean[i] - (double)g.text_mean[i];
        square += x * x;
    }
    for (int i = 0; i < g.dim; i++) {
        double x = (double)from[i] + (double)g.image_mean[i] - (double)g.text_mean[i];
        assert_true(fabs((double)to[i] - x / sqrt(square)) < 1e-6);
        dot += (double)from[i] * (double)to[i];
    }
    assert_true(dot < 0.999); /* it is another direction */
    set(o, "plausible-move", "no");
    fv_session_close(moved.session);
    MUST(fv_session_open(&moved.session, moved.model, o));
    assert_memory_equal(moved.session->objectives.embeddings[0], from,
                        (size_t)g.dim * sizeof(float));
    close_term(&plain);
    close_term(&moved);
    fv_gap_clear(&g);
}

typedef struct grown {
    float first, cosine, loss, gradient; /* the cosine of the first step and those of the last */
    fv_picture picture;
} grown;

static grown grow(fv_options *o)
{
    grown g = {.first = NAN};
    opened x = open_options(o);
    fv_progress p = {.step = 0};
    for (int i = 0; i < 12; i++) {
        MUST(fv_session_step(x.session, &p));
        if (i == 0) g.first = p.cosine;
    }
    g.cosine = p.cosine;
    g.loss = p.loss;
    g.gradient = p.gradient;
    MUST(fv_session_picture(x.session, &g.picture, NULL));
    close_term(&x);
    return g;
}

static bool same_picture(const fv_picture *a, const fv_picture *b)
{
    return memcmp(a->rgb, b->rgb, (size_t)a->width * (size_t)a->height * 3) == 0;
}

/* Below the stop every step is that of a plain ascent, to the bit; above it nothing pulls. */
static void the_ascent_ends_where_photos_lie(void **state)
{
    (void)state;
    grown plain = grow(quiet_options("moon"));
    assert_true(plain.cosine > plain.first + 0.015f);
    float half = (plain.first + plain.cosine) / 2;
    write_gap("far.safetensors", 0.99f, 1);
    write_gap("near.safetensors", half, half);
    fv_options *o = quiet_options("moon");
    set(o, "plausible", "far.safetensors");
    set(o, "plausible-move", "no");
    grown far = grow(o);
    assert_true(same_picture(&plain.picture, &far.picture));
    assert_true(far.loss == plain.loss && far.gradient == plain.gradient);
    o = quiet_options("moon");
    set(o, "plausible", "near.safetensors");
    set(o, "plausible-move", "no");
    grown near = grow(o);
    assert_true(near.cosine >= half && near.cosine < plain.cosine);
    assert_true(near.gradient == 0 && near.loss == -half);
    o = quiet_options("moon");
    set(o, "plausible", "near.safetensors");
    set(o, "plausible-move", "no");
    set(o, "plausible-stop", "0");
    grown endless = grow(o);
    assert_true(same_picture(&plain.picture, &endless.picture));
    fv_picture_free(&plain.picture);
    fv_picture_free(&far.picture);
    fv_picture_free(&near.picture);
    fv_picture_free(&endless.picture);
}

/* What is not wanted has no such end: with the wanted text at its end the other one still pulls. */
static void what_is_not_wanted_goes_on(void **state)
{
    (void)state;
    write_gap("at-once.safetensors", -1, -1);
    fv_options *o = quiet_options("moon | lake:-0.5");
    set(o, "plausible", "at-once.safetensors");
    opened x = open_options(o);
    fv_progress p, last;
    fv_part parts[FV_MAX_PARTS];
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(fv_session_parts(x.session, parts), 2);
    float before = parts[1].value;
    assert_true(fabsf(p.loss - (1 + 0.5f * before)) < 1e-5f);
    for (int i = 0; i < 10; i++) MUST(fv_session_step(x.session, &last));
    fv_session_parts(x.session, parts);
    assert_true(last.gradient > 0 && parts[1].value < before - 0.02f);
    /* live: without an end the wanted one pulls, too */
    MUST(fv_session_set(x.session, "plausible-stop", "0"));
    MUST(fv_session_step(x.session, &last));
    MUST(fv_session_step(x.session, &last));
    fv_session_parts(x.session, parts);
    assert_true(fabsf(last.loss - (-parts[0].value + 0.5f * parts[1].value)) < 1e-5f);
    close_term(&x);
}

/* --- recipes --- */

static void recipes_name_the_file_by_name_and_hash(void **state)
{
    (void)state;
    char hash[17], text[512];
    char *recipe;
    assert_int_equal(mkdir("there", 0777), 0);
    write_gap("there/a.safetensors", 0, 1);
    MUST(fv_gap_hash("there/a.safetensors", hash));
    fv_options *o = quiet_options("moon");
    set(o, "plausible", "there/a.safetensors");
    opened x = open_options(o);
    MUST(fv_session_recipe(x.session, &recipe));
    assert_non_null(strstr(recipe, "\nplausible: \"a.safetensors\"\n"));
    snprintf(text, sizeof text, "\nplausible-hash: \"%s\"\n", hash);
    assert_non_null(strstr(recipe, text));
    assert_null(strstr(recipe, "there"));
    assert_null(strstr(recipe, "plausible-stop")); /* a default */
    close_term(&x);
    fv_options *read;
    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, recipe, "there/p.png"));
    assert_string_equal(fv_options_get(read, "plausible"), "there/a.safetensors");
    fv_options_free(read);
    /* another of that name is not it, and a path says no more than its name */
    write_gap("a.safetensors", 0, 0.5f);
    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, recipe, "p.png"));
    FAILS(fv_plausible_note(read), FV_ERR_FORMAT, "is not the file of the recipe");
    fv_options_free(read);
    MUST(fv_options_new(&read));
    snprintf(text, sizeof text,
             "feavis: 1\nplausible: \"there/b.safetensors\"\nplausible-hash: \"%s\"\n", hash);
    assert_int_equal(rename("there/a.safetensors", "there/b.safetensors"), 0);
    MUST(fv_recipe_apply(read, text, "p.png"));
    assert_string_equal(fv_options_get(read, "plausible"), "b.safetensors");
    FAILS(fv_plausible_note(read), FV_ERR_IO,
          "the plausible of p.png, b.safetensors, was found neither beside it nor here");
    fv_options_free(read);
    free(recipe);
}

/* --- captions --- */

static void captions_find_their_photos(void **state)
{
    (void)state;
    fv_list photos = {0}, captions;
    int *of, missing;
    MUST(fv_list_add(&photos, "x/b.jpg"));
    MUST(fv_list_add(&photos, "x/a.jpg"));
    static const char good[] = "a.jpg\tone\nb.jpg\ttrain\ten\ttwo\nc.jpg\tthree\na.jpg\tfour\n";
    spill("c.tsv", good, strlen(good));
    MUST(fv_gap_captions(&captions, &of, &missing, &photos, "c.tsv"));
    assert_int_equal(captions.count, 3);
    assert_int_equal(missing, 1);
    static const char *const want[] = {"one", "two", "four"};
    static const int whose[] = {1, 0, 1};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(captions.at[i], want[i]);
        assert_int_equal(of[i], whose[i]);
    }
    fv_list_clear(&captions);
    free(of);
    static const char bad[] = "a.jpg\tone\nno tab\n\nb.jpg\t\n";
    spill("c.tsv", bad, strlen(bad));
    FAILS(
        fv_gap_captions(&captions, &of, &missing, &photos, "c.tsv"), FV_ERR_FORMAT,
        "c.tsv: line 2: expected the name of a photo, a tab, its caption: \"no tab\" (bad as well: "
        "line 4)");
    spill("c.tsv", "z.jpg\tone\n", 10);
    FAILS(fv_gap_captions(&captions, &of, &missing, &photos, "c.tsv"), FV_ERR_FORMAT,
          "none of its 1 captions is of a photo here");
    fv_list_clear(&photos);
}

/* Photos of one name in several folders. */
static void folders_tell_photos_apart(void **state)
{
    (void)state;
    fv_list photos = {0}, captions;
    int *of, missing;
    static const char *const paths[] = {"p/cat/1.png", "p/sea/1.png", "q/cat/1.png",
                                        "p/bobcat/1.png", "p/2.png"};
    for (int i = 0; i < 5; i++) MUST(fv_list_add(&photos, paths[i]));
    MUST(fv_list_add(&photos, "./p/2.png")); /* the same one again */
    char good[4096], here[2048];
    assert_non_null(getcwd(here, sizeof here));
    int n = snprintf(good, sizeof good,
                     "sea/1.png\ta\np/cat/1.png\tb\n%s/q/cat/1.png\tc\nbobcat/1.png\td\n"
                     "2.png\te\ndog/1.png\tf\nea/1.png\tg\n./p/2.png\th\n",
                     here);
    spill("c.tsv", good, (size_t)n);
    MUST(fv_gap_captions(&captions, &of, &missing, &photos, "c.tsv"));
    static const int whose[] = {1, 0, 2, 3, 4, 4};
    assert_int_equal(captions.count, 6);
    assert_int_equal(missing, 2); /* dog, ea */
    assert_memory_equal(of, whose, sizeof whose);
    fv_list_clear(&captions);
    free(of);
    static const char bad[] = "sea/1.png\ta\ncat/1.png\tb\n1.png\tc\n";
    spill("c.tsv", bad, strlen(bad));
    FAILS(
        fv_gap_captions(&captions, &of, &missing, &photos, "c.tsv"), FV_ERR_FORMAT,
        "c.tsv: line 2: cat/1.png may be any of 2 photos, p/cat/1.png and q/cat/1.png among them: "
        "name its folder, too (bad as well: line 3)");
    fv_list_clear(&photos);
}

static void names_say_what_photos_show(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"p/000_great_white-shark.jpg", "great white shark"},
                                           {"蝴蝶-1.png", "蝴蝶"},
                                           {"007.png", NULL},
                                           {"b52 bomber.jpg", "b52 bomber"},
                                           {"a-2-34.webp", "a 2"},
                                           {"1984.jpg", NULL}};
    fv_list photos = {0}, captions;
    int *of;
    for (size_t i = 0; i < 6; i++) MUST(fv_list_add(&photos, names[i][0]));
    MUST(fv_gap_names(&captions, &of, &photos));
    int k = 0;
    for (int i = 0; i < 6; i++) {
        if (!names[i][1]) continue;
        assert_string_equal(captions.at[k], names[i][1]);
        assert_int_equal(of[k++], i);
    }
    assert_int_equal(captions.count, k);
    fv_list_clear(&captions);
    fv_list_clear(&photos);
    free(of);
}

/* --- the command --- */

static void draw(const char *path, int kind)
{
    uint8_t rgb[40 * 30 * 3];
    for (int i = 0; i < (int)sizeof rgb; i++)
        rgb[i] = (uint8_t)(kind * 40 + i * i * (kind + 3) / 7);
    MUST(fv_picture_write(&(fv_picture){40, 30, rgb}, path, NULL));
}

#define TOY "--quiet", "--preset", "toy.yml"

/* Four photos of one name in four folders measure as under four names, with captions and without.
 */
static void equal_names_count_apart(void **state)
{
    (void)state;
    static const char *const texts[] = {"moon", "lake", "red dream", "dream"};
    char path[64], lines[2][256] = {"", ""}, names[256] = "";
    mkdir("unique", 0777);
    mkdir("equal", 0777);
    mkdir("moons", 0777);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "unique/%d.png", i);
        draw(path, i);
        snprintf(path, sizeof path, "equal/f%d", i);
        mkdir(path, 0777);
        snprintf(path, sizeof path, "equal/f%d/1.png", i);
        draw(path, i);
        snprintf(path, sizeof path, "moons/f%d", i);
        mkdir(path, 0777);
        snprintf(path, sizeof path, "moons/f%d/moon.png", i);
        draw(path, i);
        size_t a = strlen(lines[0]), b = strlen(lines[1]), c = strlen(names);
        snprintf(lines[0] + a, sizeof lines[0] - a, "%d.png\t%s\n", i, texts[i]);
        snprintf(lines[1] + b, sizeof lines[1] - b, "f%d/1.png\t%s\n", i, texts[i]);
        snprintf(names + c, sizeof names - c, "%d.png\tmoon\n", i);
    }
    spill("unique.tsv", lines[0], strlen(lines[0]));
    spill("equal.tsv", lines[1], strlen(lines[1]));
    spill("moons.tsv", names, strlen(names));
    SUCCEEDS_QUIETLY("gap", "unique", TOY, "--captions", "unique.tsv", "--out", "a.safetensors");
    SUCCEEDS_QUIETLY("gap", "equal", TOY, "--captions", "equal.tsv", "--out", "b.safetensors");
    same_files("a.safetensors", "b.safetensors");
    SUCCEEDS_QUIETLY("gap", "unique", TOY, "--captions", "moons.tsv", "--out", "a.safetensors");
    char *out = SUCCEEDS("gap", "moons", TOY, "--out", "b.safetensors");
    assert_non_null(strstr(out, "4 photos, 4 captions, "));
    free(out);
    same_files("a.safetensors", "b.safetensors");
    spill("one.tsv", "1.png\tmoon\n", 11);
    REFUSED("one.tsv: line 1: 1.png may be any of 4 photos, equal/f0/1.png and ", "gap", "equal",
            TOY, "--captions", "one.tsv", "--out", "c.safetensors");
    assert_int_not_equal(access("c.safetensors", F_OK), 0);
}

/* The file of the command, against embeddings one by one. */
static void the_command_measures(void **state)
{
    (void)state;
    static const char *const texts[] = {"moon", "lake", "red dream"};
    static const char *const paths[] = {"photos/1_moon.png", "photos/2_lake.png",
                                        "photos/3_red_dream.png"};
    mkdir("photos", 0777);
    for (int i = 0; i < 3; i++) draw(paths[i], i);
    spill("photos/4_broken.png", "no picture", 10);
    process p = run("gap", "photos", TOY, "--out", "g.safetensors");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.out, "g.safetensors: 3 photos, 3 captions, a gap of "));
    assert_non_null(strstr(p.err, "4_broken.png"));
    process_free(&p);
    fv_gap g;
    fv_model *m;
    fv_critic *c;
    MUST(fv_gap_read(&g, "g.safetensors"));
    open_towers(&m, "online");
    MUST(fv_critic_open(&c, m));
    size_t dim = (size_t)g.dim;
    float *e = malloc(2 * dim * sizeof *e), cosines[3];
    double *means = calloc(2 * dim, sizeof *means);
    for (int i = 0; i < 3; i++) {
        fv_picture photo;
        double dot = 0;
        MUST(fv_picture_read(&photo, paths[i]));
        MUST(fv_critic_embed(c, &photo, e));
        MUST(fv_model_embed_text(m, texts[i], e + dim, NULL));
        for (size_t k = 0; k < 2 * dim; k++) means[k] += (double)e[k] / 3;
        for (size_t k = 0; k < dim; k++) dot += (double)e[k] * (double)e[dim + k];
        cosines[i] = (float)dot;
        fv_picture_free(&photo);
    }
    for (size_t k = 0; k < dim; k++) {
        assert_true(fabs((double)g.image_mean[k] - means[k]) < 1e-5);
        assert_true(fabs((double)g.text_mean[k] - means[dim + k]) < 1e-5);
    }
    float low = fminf(cosines[0], fminf(cosines[1], cosines[2]));
    float high = fmaxf(cosines[0], fmaxf(cosines[1], cosines[2]));
    assert_true(fabsf(g.cosines[0][0] - low) < 1e-5f && fabsf(g.cosines[0][100] - high) < 1e-5f);
    float middle = cosines[0] + cosines[1] + cosines[2] - low - high;
    assert_true(fabsf(g.cosines[0][50] - middle) < 1e-5f);
    assert_true(g.cosines[1][50] > g.cosines[0][50]); /* moved, they are nearer */
    free(e);
    free(means);
    fv_gap_clear(&g);
    fv_critic_close(c);
    fv_model_close(m);
    /* and its picture is made again, from its recipe and the file beside it */
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--plausible", "g.safetensors", "--out", "p.png");
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--out", "plain.png");
    SUCCEEDS_QUIETLY("again", "p.png", TOY, "--out", "again.png");
    same_files("p.png", "again.png");
    fv_picture one, other;
    MUST(fv_picture_read(&one, "p.png"));
    MUST(fv_picture_read(&other, "plain.png"));
    assert_false(same_picture(&one, &other));
    fv_picture_free(&one);
    fv_picture_free(&other);
    assert_int_equal(unlink("g.safetensors"), 0);
    REFUSED("the plausible of p.png, g.safetensors, was found neither beside it nor here", "again",
            "p.png", TOY, "--out", "again.png");
}

static void the_command_refuses(void **state)
{
    (void)state;
    mkdir("photos", 0777);
    draw("photos/1.png", 1);
    REFUSED("--out FILE.safetensors", "gap", "photos", TOY);
    REFUSED("--out FILE.safetensors", "gap", TOY, "--out", "g.safetensors");
    REFUSED("the names of the photos say nothing", "gap", "photos", TOY, "--out", "g.safetensors");
    spill("c.tsv", "1.png\tmoon\n", 11);
    REFUSED("are the same file", "gap", "photos", TOY, "--captions", "c.tsv", "--out", "c.tsv");
    REFUSED("needs two photos with captions at least, there is one", "gap", "photos", TOY,
            "--captions", "c.tsv", "--out", "g.safetensors");
    /* which is so before any of them is looked at */
    process p = run("gap", "photos", "--preset", "toy.yml", "--captions", "c.tsv", "--out",
                    "g.safetensors");
    assert_null(strstr(p.err, "photos 1/1"));
    refused(p, "there is one", "gap");
    spill("c.tsv", "1.png\t  \n", 9);
    REFUSED("c.tsv: line 1: expected the name of a photo, a tab, its caption", "gap", "photos", TOY,
            "--captions", "c.tsv", "--out", "g.safetensors");
    mkdir("folder", 0777);
    REFUSED("saving to folder: it is a folder; give a file", "gap", "photos", TOY, "--out",
            "folder");
    REFUSED("gap needs a folder", "gap", "", TOY, "--out", "g.safetensors");
    assert_int_not_equal(access("g.safetensors", F_OK), 0);
    REFUSED("plausible-stop is \"2\"", "imagine", "moon", TOY, "--plausible-stop", "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_gap_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(another_models_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_text_is_moved_to_the_photos, begin, end),
        cmocka_unit_test_setup_teardown(the_ascent_ends_where_photos_lie, begin, end),
        cmocka_unit_test_setup_teardown(what_is_not_wanted_goes_on, begin, end),
        cmocka_unit_test_setup_teardown(recipes_name_the_file_by_name_and_hash, begin, end),
        cmocka_unit_test_setup_teardown(captions_find_their_photos, begin, end),
        cmocka_unit_test_setup_teardown(folders_tell_photos_apart, begin, end),
        cmocka_unit_test_setup_teardown(names_say_what_photos_show, begin, end),
        cmocka_unit_test_setup_teardown(the_command_measures, begin, end),
        cmocka_unit_test_setup_teardown(equal_names_count_apart, begin, end),
        cmocka_unit_test_setup_teardown(the_command_refuses, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
