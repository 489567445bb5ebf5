/* places, xray, walk and two as people run them, with the toy BriVL; and what an X-ray says of
 * words. */
#include <math.h>
#include <sys/stat.h>

#include "feavis/critic.h"
#include "feavis/feavis.h"
#include "feavis/image/draw.h"
#include "feavis/two.h"
#include "feavis/xray.h"
#include "tests/process.h"
#include "tests/toy.h"

#define MODEL                                                                                      \
    "--config", toy_config, "--checkpoint", toy_checkpoint, "--vocab", toy_vocab, "--backend", "cpu"
#define TOY "--quiet", "--preset", "toy.yml", MODEL

static const char *toy_config, *toy_vocab;
static char toy_checkpoint[1024];

static int begin(void **state)
{
    (void)state;
    static const char preset[] = "title: toy\nsteps: 2\nviews: 1\nsize: 72\nshift: 4\n";
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    toy_config = source_file("tests/golden/towers/lite0/cfg.yml");
    toy_vocab = source_file("tests/golden/text_vocab.txt");
    snprintf(toy_checkpoint, sizeof toy_checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    spill("toy.yml", preset, strlen(preset));
    return 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

/* --- drawing --- */

static void nothing_is_drawn_outside(void **state)
{
    (void)state;
    fv_picture p, small;
    MUST(fv_draw_new(&p, 20, 10, fv_paper));
    MUST(fv_draw_new(&small, 8, 8, fv_seal));
    fv_draw_picture(&p, &small, -4, -4);
    fv_draw_picture(&p, &small, 16, 6);
    fv_draw_fill(&p, -5, 8, 7, 20, fv_ink);
    fv_draw_line(&p, -50, 5, 50, 5, fv_ink);
    assert_memory_equal(p.rgb, &fv_seal, 3);
    assert_memory_equal(p.rgb + (9 * 20 + 19) * 3, &fv_seal, 3);
    assert_memory_equal(p.rgb + 9 * 20 * 3, &fv_ink, 3);
    assert_memory_equal(p.rgb + 10 * 3, &fv_paper, 3);
    FAILS(fv_draw_new(&small, 0, 8, fv_seal), FV_ERR_UNSUPPORTED, "limit");
    fv_picture_free(&p);
    fv_picture_free(&small);
}

/* --- words --- */

static void worth_is_what_goes_without_the_word(void **state)
{
    (void)state;
    fv_model *m;
    fv_xray x;
    fv_picture p, sheet;
    open_towers(&m, "online");
    MUST(fv_draw_new(&p, 72, 72, fv_paper));
    for (int i = 0; i < 72 * 72 * 3; i++) p.rgb[i] = (uint8_t)(i * 7919 % 251);
    MUST(fv_xray_make(&x, m, &p, "moon, 有山水 a-b！"));
    static const char *const words[] = {"moon", "有", "山", "水", "a-b"};
    assert_int_equal(x.count, 5);
    size_t n = (size_t)x.side * (size_t)x.side;
    int dim = fv_model_dim(m);
    float *e = malloc((size_t)dim * sizeof *e), *t = malloc((size_t)dim * sizeof *t);
    fv_critic *c;
    MUST(fv_critic_open(&c, m));
    MUST(fv_critic_embed(c, &p, e));
    MUST(fv_model_embed_text(m, "moon, 有水 a-b！", t, NULL));
    double cosine = 0, area = 0;
    for (int i = 0; i < dim; i++) cosine += (double)e[i] * (double)t[i];
    assert_true(fabs(cosine - (double)x.words[2].without) < 1e-5);
    for (int k = 0; k < x.count; k++) {
        double mean = 0;
        assert_string_equal(x.words[k].text, words[k]);
        assert_true(fabsf(x.words[k].without + x.words[k].worth - x.cosine) < 1e-6f);
        for (size_t i = 0; i < n; i++) mean += (double)x.pulls[(size_t)k * n + i] / (double)n;
        assert_true(fabs(mean - 1) < 1e-4);
        area += (double)x.words[k].area;
        assert_true(x.words[k].x > 0 && x.words[k].x < 1);
    }
    assert_true(fabs(area - 1) < 1e-3);
    for (size_t i = 0; i < n; i += 97) {
        double sum = 0;
        for (int k = 0; k < x.count; k++) sum += (double)x.shares[(size_t)k * n + i];
        assert_true(fabs(sum - 1) < 1e-5);
    }
    MUST(fv_xray_sheet(&sheet, &x, &p, "moon, 有山水 a-b！"));
    assert_true(sheet.width > 700);
    fv_picture_free(&sheet);
    fv_xray_clear(&x);
    MUST(fv_xray_make(&x, m, &p, " moon "));
    assert_true(x.count == 1 && fabsf(x.words[0].worth - x.cosine) < 1e-6f);
    fv_xray_clear(&x);
    FAILS(fv_xray_make(&x, m, &p, " ，. "), FV_ERR_ARGUMENT, "no word");
    fv_critic_close(c);
    free(e);
    free(t);
    fv_picture_free(&p);
    fv_model_close(m);
}

/* --- commands --- */

static void places_and_words_of_a_picture(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", "moon sea", "--at", "moon: 3-5,0-2", TOY, "--out", "a.png");
    char *out = SUCCEEDS("places", "a.png", MODEL);
    assert_non_null(strstr(out, "3-5      0-2   moon"));
    free(out);
    out = SUCCEEDS("places", "a.png", "--at", "sea: 0,0 | moon: 1,1", MODEL);
    assert_true(strstr(out, "0-0      0-0   sea") && strstr(out, "1-1      1-1   moon"));
    free(out);
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--out", "none.png");
    REFUSED("no places", "places", "none.png", MODEL);
    REFUSED("at is not UTF-8: byte 2 is 0xff", "places", "none.png", MODEL, "--at", "mo\xff: 0,0");
    REFUSED("places needs a picture", "places", "", MODEL);
    REFUSED("xray needs a picture", "xray", "", MODEL);
    out = SUCCEEDS("xray", "a.png", MODEL);
    assert_non_null(strstr(out, "xray/words.csv"));
    free(out);
    size_t n;
    char *csv = slurp("xray/words.csv", &n);
    assert_true(strncmp(csv, "word,worth", 10) == 0 && strstr(csv, "\nsea,"));
    free(csv);
    SUCCEEDS_QUIETLY("xray", "a.png", "--text", "moon", MODEL, "--out", "b");
    assert_int_equal(access("b/xray.png", F_OK), 0);
    SUCCEEDS_QUIETLY("xray", "a.png", "--text", "moon", MODEL, "--text-length", "4", "--out", "b");
    char *said = slurp("stderr", NULL);
    assert_null(strstr(said, "not seen"));
    free(said);
    SUCCEEDS_QUIETLY("xray", "a.png", "--text", "moon moon moon", MODEL, "--text-length", "4",
                     "--out", "b");
    said = slurp("stderr", NULL);
    assert_non_null(strstr(said, "text 1 has 5 tokens, the model reads 4: the last 1 are not seen"));
    free(said);
}

static void a_receipt_says_whether_it_is_the_same(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", "moon sea", TOY, "--out", "a.png");
    char *out = SUCCEEDS("receipt", "a.png", MODEL, "--quiet");
    assert_non_null(strstr(out, "receipt/receipt.png"));
    free(out);
    size_t n;
    fv_picture page;
    char *csv = slurp("receipt/curve.csv", &n);
    assert_true(strncmp(csv, "step,value\n1,", 13) == 0 && strstr(csv, "\n2,"));
    free(csv);
    MUST(fv_picture_read(&page, "receipt/receipt.png"));
    assert_true(page.width == 888 && page.height > 900);
    fv_picture_free(&page);
    REFUSED("PNG file", "receipt", MODEL);
    /* before the picture is made again: refused() takes one line, without progress */
    REFUSED("saving to a.png: it is a file, expected a folder", "receipt", "a.png", MODEL, "--out",
            "a.png");
    REFUSED("making the folder no/r: No such file", "receipt", "a.png", MODEL, "--out", "no/r");
    REFUSED("making the folder no/r/: No such file", "xray", "a.png", MODEL, "--out", "no/r/");
    REFUSED("receipt needs a PNG file", "receipt", "", MODEL);
    assert_int_equal(mkdir("d", 0777), 0);
    static const char *const pages[][2] = {{"receipt", "d/receipt.png"}, {"xray", "d/xray.png"}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(link("a.png", pages[i][1]), 0);
        REFUSED("are the same file", pages[i][0], pages[i][1], "--quiet", MODEL, "--out", "d");
        REFUSED("are the same file", pages[i][0], "a.png", "--quiet", MODEL, "--out", "./d");
        same_files("a.png", pages[i][1]);
    }
    assert_int_not_equal(access("d/curve.csv", F_OK), 0);
}

/* Every text that has a weight, with it. */
static void all_texts_are_shown(void **state)
{
    (void)state;
    fv_picture one, two;
    SUCCEEDS_QUIETLY("imagine", "moon:1 | sea night:-0.3 | red:0", TOY, "--out", "a.png");
    char *out = SUCCEEDS("xray", "a.png", MODEL);
    assert_true(strstr(out, "\"moon\" with weight 1\n") &&
                strstr(out, "\"sea night\" with weight -0.3"));
    assert_true(strstr(out, "xray/xray-2.png\n") && !strstr(out, "red"));
    free(out);
    char *csv = slurp("xray/words.csv", NULL);
    assert_true(strstr(csv, "\nmoon,") && strstr(csv, "\nnight,") &&
                strstr(csv, ",sea night,-0.3\n"));
    free(csv);
    assert_int_equal(access("xray/xray-2.png", F_OK), 0);
    SUCCEEDS_QUIETLY("receipt", "a.png", MODEL, "--quiet", "--out", "several");
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--out", "b.png");
    SUCCEEDS_QUIETLY("receipt", "b.png", MODEL, "--quiet", "--out", "single");
    MUST(fv_picture_read(&two, "several/receipt.png"));
    MUST(fv_picture_read(&one, "single/receipt.png"));
    assert_true(two.height > one.height + 100); /* the other text's X-ray */
    fv_picture_free(&one);
    fv_picture_free(&two);
}

/* A JPEG is compared as it is compressed; a start picture may be said. */
static void a_receipt_of_a_jpeg_and_of_a_start(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--out", "a.jpg");
    process p = run("receipt", "a.jpg", MODEL, "--out", "r");
    assert_int_equal(p.status, 0);
    assert_null(strstr(p.err, "another picture"));
    process_free(&p);
    assert_int_not_equal(access("r/receipt-again.jpg", F_OK), 0);
    char *recipe;
    fv_picture changed;
    MUST(fv_recipe_read(&recipe, "a.jpg"));
    MUST(fv_picture_read(&changed, "a.jpg"));
    memset(changed.rgb, 0, 72 * 3);
    MUST(fv_picture_write(&changed, "changed.jpg", recipe));
    free(recipe);
    fv_picture_free(&changed);
    p = run("receipt", "changed.jpg", MODEL, "--out", "r");
    assert_non_null(strstr(p.err, "feavis: made again it is another picture\n"));
    process_free(&p);
    SUCCEEDS_QUIETLY("imagine", "sea", TOY, "--out", "start.png");
    SUCCEEDS_QUIETLY("imagine", "moon", TOY, "--start", "start.png", "--out", "b.png");
    assert_int_equal(mkdir("elsewhere", 0777), 0);
    assert_int_equal(rename("start.png", "elsewhere/start.png"), 0);
    REFUSED("--start", "receipt", "b.png", MODEL, "--quiet");
    SUCCEEDS_QUIETLY("receipt", "b.png", MODEL, "--quiet", "--start", "elsewhere/start.png");
}

/* A decoder without its encoder. */
static void what_cannot_start_is_refused_before_it_begins(void **state)
{
    (void)state;
    const char *decoder = source_file("tests/golden/vqgan/small_weights.safetensors");
    spill("story", "moon\nsea\n", 9);
    REFUSED("has no encoder", "walk", "moon", "sea", TOY, "--param", "vqgan", "--decoder", decoder);
    REFUSED("has no encoder", "series", "story", TOY, "--carry", "picture", "--param", "vqgan",
            "--decoder", decoder);
    REFUSED("has no encoder", "series", "story", TOY, "--carry", "palette", "--param", "vqgan",
            "--decoder", decoder);
    assert_int_not_equal(access("walk", F_OK), 0);
    assert_int_not_equal(access("series", F_OK), 0);
}

static int frames_of(const char *path)
{
    size_t n;
    int frames = 0;
    char *film = slurp(path, &n);
    for (size_t i = 0; i + 4 < n; i++) frames += memcmp(film + i, "fcTL", 4) == 0;
    free(film);
    return frames;
}

static void a_walk_loops_and_is_made_again(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("walk", "moon", "sea", "--frames", "2", TOY);
    assert_int_equal(frames_of("walk/walk.png"), 4);
    assert_int_equal(access("walk/walk.gif", F_OK), 0);
    assert_int_equal(access("walk/sheet.png", F_OK), 0);
    SUCCEEDS_QUIETLY("again", "walk/008.png", MODEL, "--quiet", "--out", "again.png");
    same_files("walk/008.png", "again.png");
    SUCCEEDS_QUIETLY("walk", "walk/008.png | moon", "--frames", "1", TOY, "--out", "b");
    char *out = SUCCEEDS("info", "b/004.png");
    assert_non_null(strstr(out, "like=008.png"));
    free(out);
    /* by the decoder that ships, whose encoder takes the picture before */
    SUCCEEDS_QUIETLY("walk", "moon", "sea", "--frames", "1", TOY, "--param", "vqgan", "--out", "p");
    assert_int_equal(frames_of("p/walk.png"), 2);
    SUCCEEDS_QUIETLY("again", "p/002.png", MODEL, "--quiet", "--out", "again.png");
    same_files("p/002.png", "again.png");
    /* stops are texts as they are, whatever the option makes of a colon, a bar, a backslash */
    SUCCEEDS_QUIETLY("walk", "12:30 | moon｜sea | red\\", "--frames", "1", TOY, "--out", "t");
    out = SUCCEEDS("xray", "t/003.png", MODEL, "--out", "x"); /* at the first one */
    if (strstr(out, "weight")) fail_msg("more than one text: %s", out);
    free(out);
    char *words = slurp("x/words.csv", NULL);
    assert_non_null(strstr(words, ",12:30,1\n"));
    free(words);
    SUCCEEDS_QUIETLY("xray", "t/004.png", MODEL, "--out", "x");
    words = slurp("x/words.csv", NULL);
    assert_non_null(strstr(words, ",moon｜sea,1\n"));
    free(words);
    SUCCEEDS_QUIETLY("xray", "t/005.png", MODEL, "--out", "x");
    words = slurp("x/words.csv", NULL);
    assert_non_null(strstr(words, ",red\\,1\n"));
    free(words);
    REFUSED("needs two", "walk", "moon", TOY);
    REFUSED("needs two", "walk", "| moon lake |", TOY);
    REFUSED("more than 12 texts or pictures", "walk", "1 2 3 4 5 6 7 8 9 10 11 12 13", TOY);
    static const char *const misspelt[] = {"walk/00.png", "lake.JPG", "./lake", "/lake", "../lake"};
    for (size_t i = 0; i < sizeof misspelt / sizeof misspelt[0]; i++)
        REFUSED("walk: opening the picture ", "walk", "moon", misspelt[i], "--frames", "1", TOY,
                "--out", "none");
    assert_int_not_equal(access("none", F_OK), 0);
    static const char *const own[] = {"b/000.png", "b/004.png", "./b/003-start.png", "b/sheet.png"};
    char *before = SUCCEEDS("info", "b/000.png");
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        REFUSED("are the same file", "walk", own[i], "moon", "--frames", "1", TOY, "--out", "b");
    REFUSED("are the same file", "walk", "sea", "moon", "--frames", "1", TOY, "--out", "b",
            "--start", "b/001.png");
    out = SUCCEEDS("info", "b/000.png");
    assert_string_equal(out, before);
    free(out);
    free(before);
}

/* --- two --- */

static fv_picture plain(int width, int height, uint8_t r, uint8_t g, uint8_t b)
{
    fv_picture p;
    MUST(fv_draw_new(&p, width, height, (fv_colour){r, g, b}));
    return p;
}

static void differences_are_of_pixels(void **state)
{
    (void)state;
    fv_picture pair[2] = {plain(6, 4, 10, 20, 30), plain(12, 8, 40, 20, 0)}, map;
    assert_float_equal(fv_two_pixels(pair), 20, 1e-9);
    MUST(fv_two_difference(&map, pair));
    assert_true(map.width == 6 && map.height == 4 && map.rgb[0] > 0 && map.rgb[0] < 60);
    fv_picture_free(&map);
    const fv_picture same[2] = {pair[0], pair[0]},
                     ends[2] = {plain(6, 4, 0, 0, 0), plain(6, 4, 255, 255, 255)};
    assert_float_equal(fv_two_pixels(same), 0, 0);
    MUST(fv_two_difference(&map, same));
    assert_int_equal(map.rgb[0] + map.rgb[1] + map.rgb[2], 0);
    fv_picture_free(&map);
    MUST(fv_two_difference(&map, ends));
    assert_int_equal(map.rgb[0], 255);
    fv_picture_free(&map);
    for (int i = 0; i < 2; i++) {
        fv_picture p = ends[i];
        fv_picture_free(&p);
        fv_picture_free(&pair[i]);
    }
}

static double figure_of(const char *csv, const char *row)
{
    const char *at = strstr(csv, row);
    if (!at) fail_msg("no %s in %s", row, csv);
    return atof(at + strlen(row));
}

static void two_dreams_of_two_texts(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("two", "moon", "sea", TOY);
    assert_int_equal(frames_of("two/two.png"), 3); /* two steps, and the end before them */
    SUCCEEDS_QUIETLY("again", "two/b-sea-1.png", MODEL, "--quiet", "--out", "again.png");
    same_files("two/b-sea-1.png", "again.png");
    fv_picture pair[2], sheet;
    MUST(fv_picture_read(&pair[0], "two/a-moon-1.png"));
    MUST(fv_picture_read(&pair[1], "two/b-sea-1.png"));
    MUST(fv_picture_read(&sheet, "two/sheet.png"));
    assert_true(sheet.width == 1056 && sheet.height > 400);
    char *csv = slurp("two/two.csv", NULL);
    assert_float_equal(figure_of(csv, "pixel_difference,,,,"), fv_two_pixels(pair), 1e-5);
    char row[128], *end = strstr(csv, "\ncosine,");
    assert_non_null(end);
    snprintf(row, sizeof row, "%.*sa,moon,", (int)(strstr(end + 8, ",") + 1 - end), end);
    double cosine = figure_of(csv, row);
    SUCCEEDS_QUIETLY("xray", "two/a-moon-1.png", MODEL); /* of one word: the whole cosine */
    char *words = slurp("xray/words.csv", NULL);
    assert_float_equal(cosine, figure_of(words, "\nmoon,"), 1e-5);
    free(words);
    free(csv);
    fv_picture_free(&sheet);
    for (int i = 0; i < 2; i++) fv_picture_free(&pair[i]);
}

static void two_dreams_of_one_text(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("two", "moon", "--against", "seed=8", TOY, "--out", "seeds");
    assert_int_equal(access("seeds/a-moon-1.png", F_OK), 0);
    assert_int_equal(access("seeds/b-moon-8.png", F_OK), 0);
    char *csv = slurp("seeds/two.csv", NULL);
    assert_non_null(strstr(csv, ",b,moon,"));
    free(csv);
    char *out = SUCCEEDS("two", "moon", "--against", "text=sea \\| red:0.5 | steps=1 |", TOY,
                         "--out", "texts");
    free(out);
    out = SUCCEEDS("info", "texts/b-sea-1.png");
    assert_true(strstr(out, "sea | red:0.5") != NULL);
    free(out);
    /* two models: each says what it sees */
    SUCCEEDS_QUIETLY("two", "moon", "--against", "tower=momentum", TOY, "--out", "models");
    csv = slurp("models/two.csv", NULL);
    assert_true(strstr(csv, "embedding_difference,A: ") && strstr(csv, "embedding_difference,B: "));
    free(csv);
    spill("a-file", "text", 4);
    REFUSED("saving to a-file: it is a file", "two", "a", "b", TOY, "--out", "a-file");
    REFUSED("saving to a-file: it is a file", "walk", "a", "b", TOY, "--out", "a-file");
    REFUSED("two needs two texts", "two", "moon", TOY);
    REFUSED("two needs two texts", "two", "a", "b", "c", TOY);
    REFUSED("two needs two texts", "two", "a cat | a dog | a cow", TOY);
    REFUSED("two needs two texts", "two", " | a cat", TOY);
    REFUSED("two needs two texts", "two", TOY);
    REFUSED("expected NAME=VALUE", "two", "moon", "--against", "seed", TOY);
    REFUSED("--against \"=8\": expected NAME=VALUE", "two", "moon", "--against", "=8", TOY);
    REFUSED("--against says nothing", "two", "moon", "--against", "", TOY);
    REFUSED("--against says nothing", "two", "moon", "--against", " | ", TOY);
    REFUSED("No such file", "two", "moon", "--against", "start=none.png", TOY);
    REFUSED("there is no layer", "two", "moon", "--against", "term=no.layer:1", TOY);
    REFUSED("said once, for both", "two", "moon", "--against", "out=x", TOY);
    REFUSED("did you mean", "two", "moon", "--against", "stpes=3", TOY);
    REFUSED("seed is \"many\"", "two", "moon", "--against", "seed=many", TOY);
    assert_int_not_equal(access("two", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_drawn_outside),
        cmocka_unit_test(worth_is_what_goes_without_the_word),
        cmocka_unit_test_setup_teardown(places_and_words_of_a_picture, begin, end),
        cmocka_unit_test_setup_teardown(a_receipt_says_whether_it_is_the_same, begin, end),
        cmocka_unit_test_setup_teardown(all_texts_are_shown, begin, end),
        cmocka_unit_test_setup_teardown(a_receipt_of_a_jpeg_and_of_a_start, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_start_is_refused_before_it_begins, begin, end),
        cmocka_unit_test_setup_teardown(a_walk_loops_and_is_made_again, begin, end),
        cmocka_unit_test(differences_are_of_pixels),
        cmocka_unit_test_setup_teardown(two_dreams_of_two_texts, begin, end),
        cmocka_unit_test_setup_teardown(two_dreams_of_one_text, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
