/* feavis series, as people run it: a picture a sentence, with what is carried from one to the next
 * in their recipes, and what is saved of all of them together. On the toy BriVL. */
#include <sys/stat.h>

#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY   "--quiet", "--preset", "toy.yml"
#define MODEL "--quiet", "--config", config, "--checkpoint", checkpoint, "--vocab", vocab

static const char *config, *vocab;
static char checkpoint[1024];

static int begin(void **state)
{
    (void)state;
    char preset[4096];
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    config = source_file("tests/golden/towers/lite0/cfg.yml");
    vocab = source_file("tests/golden/text_vocab.txt");
    snprintf(checkpoint, sizeof checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    int n = snprintf(preset, sizeof preset,
                     "title: toy\nconfig: %s\ncheckpoint: %s\nvocab: %s\nsteps: 3\n"
                     "views: 1\nsize: 72\nshift: 4\nseed: 5\n",
                     config, checkpoint, vocab);
    spill("toy.yml", preset, (size_t)n);
    spill("story.txt", "moon\nlake\n\nred dream\n", 21);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

static void recipe_holds(const char *picture, const char *line, bool held)
{
    char *recipe;
    MUST(fv_recipe_read(&recipe, picture));
    if ((strstr(recipe, line) != NULL) != held)
        fail_msg("%s: \"%s\" in \"%s\"", picture, line, recipe);
    free(recipe);
}

/* Frames of an animated PNG: the number in its acTL chunk. */
static int frames_of(const char *path)
{
    size_t bytes;
    char *file = slurp(path, &bytes);
    int count = -1;
    for (size_t i = 0; i + 8 < bytes && count < 0; i++)
        if (memcmp(file + i, "acTL", 4) == 0)
            count = (unsigned char)file[i + 6] << 8 | (unsigned char)file[i + 7];
    free(file);
    return count;
}

static void sentences_by_themselves(void **state)
{
    (void)state;
    char *out = SUCCEEDS("series", "story.txt", TOY, "--out", "here");
    assert_non_null(strstr(out, "here/moon-5.png\nhere/lake-5.png\nhere/red-dream-5.png\n"));
    recipe_holds("here/lake-5.png", "text: \"lake\"\n", true);
    recipe_holds("here/lake-5.png", "\nstart: ", false);
    assert_int_equal(frames_of("here/film.png"), 1 + 9); /* the end first, then every step */
    fv_picture sheet, scroll, one, again;
    MUST(fv_picture_read(&sheet, "here/sheet.png"));
    MUST(fv_picture_read(&scroll, "here/scroll.png"));
    assert_true(sheet.width > 3 * 256 && scroll.width > 3 * 72);
    SUCCEEDS_QUIETLY("again", "here/red-dream-5.png", MODEL, "--out", "again.png");
    SUCCEEDS_QUIETLY("imagine", "red dream", TOY, "--out", "one.png");
    MUST(fv_picture_read(&one, "one.png"));
    MUST(fv_picture_read(&again, "again.png"));
    assert_memory_equal(one.rgb, again.rgb, 72 * 72 * 3);
    fv_picture_free(&sheet);
    fv_picture_free(&scroll);
    fv_picture_free(&one);
    fv_picture_free(&again);
    free(out);
}

static void what_is_carried_over_is_in_the_recipes(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("series", "story.txt", TOY, "--out", "walk", "--carry", "picture", "--style",
                     "cloud:0.25");
    recipe_holds("walk/moon-5.png", "text: \"moon | cloud:0.25\"\n", true);
    recipe_holds("walk/moon-5.png", "\nstart: ", false);
    recipe_holds("walk/lake-5.png", "\nstart: \"moon-5.png\"\n", true);
    recipe_holds("walk/red-dream-5.png", "\nstart: \"lake-5.png\"\n", true);
    SUCCEEDS_QUIETLY("again", "walk/red-dream-5.png", MODEL, "--out", "walk/again.png");
    fv_picture one, again;
    MUST(fv_picture_read(&one, "walk/red-dream-5.png"));
    MUST(fv_picture_read(&again, "walk/again.png"));
    assert_memory_equal(one.rgb, again.rgb, 72 * 72 * 3);
    fv_picture_free(&one);
    fv_picture_free(&again);

    SUCCEEDS_QUIETLY("series", "--file", "story.txt", TOY, "--out", "colours", "--carry",
                     "palette");
    recipe_holds("colours/moon-5.png", "\nstart: ", false);
    recipe_holds("colours/lake-5.png", "\nstart: \"palette.png\"\n", true);
    recipe_holds("colours/red-dream-5.png", "\nstart: \"palette.png\"\n", true);
    fv_picture soft; /* no shapes: neighbours differ by little */
    MUST(fv_picture_read(&soft, "colours/palette.png"));
    for (int i = 3; i < 72 * 3; i++)
        assert_true(abs(soft.rgb[36 * 72 * 3 + i] - soft.rgb[36 * 72 * 3 + i - 3]) <= 8);
    fv_picture_free(&soft);
}

/* What is carried of a decoder's picture is its codes: the next one begins with just these. */
static void codes_are_carried_over(void **state)
{
    (void)state;
    char decoder[1024];
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    snprintf(decoder, sizeof decoder, "%s/vq.ckpt", unpacked ? unpacked : ".");
    const char pictures[] = "use: ./toy.yml\nparam: vqgan\ncodes: projected\nsize: 64x48\n"
                            "pictures:\n  - text: moon\n  - text: lake\n";
    spill("story.yml", pictures, sizeof pictures - 1);
    SUCCEEDS_QUIETLY("series", "--quiet", "--preset", "story.yml", "--decoder", decoder, "--out",
                     "codes", "--carry", "picture");
    recipe_holds("codes/moon-5.png", "\nstart: ", false);
    recipe_holds("codes/lake-5.png", "\nstart: \"moon-5.csv\"\n", true);
    assert_int_equal(frames_of("codes/film.png"), 1 + 6);
    SUCCEEDS_QUIETLY("codes", "codes/moon-5.csv", "--decoder", decoder, "--out", "decoded.png");
    SUCCEEDS_QUIETLY("again", "codes/lake-5.png", MODEL, "--decoder", decoder, "--out",
                     "codes/again.png");
    fv_picture one, again, moon, decoded;
    MUST(fv_picture_read(&one, "codes/lake-5.png"));
    MUST(fv_picture_read(&again, "codes/again.png"));
    MUST(fv_picture_read(&moon, "codes/moon-5.png"));
    MUST(fv_picture_read(&decoded, "decoded.png"));
    assert_memory_equal(one.rgb, again.rgb, 64 * 48 * 3);
    for (int i = 0; i < 64 * 48 * 3; i++) assert_true(abs(moon.rgb[i] - decoded.rgb[i]) <= 1);
    fv_picture_free(&one);
    fv_picture_free(&again);
    fv_picture_free(&moon);
    fv_picture_free(&decoded);
}

/* A seed a line, one scroll and no film; in ink unless there is another preset. */
static void a_poem_becomes_a_scroll(void **state)
{
    (void)state;
    char *out = SUCCEEDS("scroll", "story.txt", TOY, "--out", "roll", "--title", "moon", "--seal",
                         "ab", "--style", "cloud:0.25");
    assert_string_equal(out, "roll/moon-5.png\nroll/lake-6.png\nroll/red-dream-7.png\n"
                             "roll/scroll.png\n");
    free(out);
    recipe_holds("roll/lake-6.png", "text: \"lake | cloud:0.25\"\n", true);
    recipe_holds("roll/lake-6.png", "\nseed: 6\n", true);
    fv_picture scroll;
    MUST(fv_picture_read(&scroll, "roll/scroll.png"));
    assert_true(scroll.width > 2 * 160 && scroll.width > scroll.height);
    fv_picture_free(&scroll);
    SUCCEEDS_QUIETLY("scroll", "story.txt", MODEL, "--param", "pixel", "--steps", "1", "--size",
                     "72", "--shift", "4", "--term", "text=cloud *0.3", "--out", "ink");
    recipe_holds("ink/moon-2.png", "\npaper: rice\n", true); /* presets/ink.yml */
    recipe_holds("ink/moon-2.png", "\nsaturation: 0.3\n", true);
    recipe_holds("ink/moon-2.png", "\nsteps: 1\n", true); /* flags win */
    out = SUCCEEDS("imagine", "moon", TOY, "--term", "text=cloud *0.3 | text=lake", "--gallery", "g");
    assert_string_equal(out, "g/moon-5.png\n"); /* a style is no part of the name */
    free(out);
    SUCCEEDS_QUIETLY("again", "ink/lake-3.png", MODEL, "--out", "ink/again.png");
    fv_picture one, again;
    MUST(fv_picture_read(&one, "ink/lake-3.png"));
    MUST(fv_picture_read(&again, "ink/again.png"));
    assert_memory_equal(one.rgb, again.rgb, 72 * 72 * 3);
    fv_picture_free(&one);
    fv_picture_free(&again);
}

static void what_is_wrong_with_a_scroll_is_said_before_the_work(void **state)
{
    (void)state;
    REFUSED("scroll needs a file with one sentence a line", "scroll", TOY);
    REFUSED("a seal has one to 4 letters, \"abcde\" has 5", "scroll", "story.txt", TOY, "--seal",
            "abcde");
    REFUSED("series takes no --seal", "series", "story.txt", TOY, "--seal", "a");
    spill("odd.txt", "moon\nlake \xf3\xb0\x80\x80\n", 15); /* of private use */
    REFUSED("of its letters; the package fonts-noto-cjk has Chinese ones", "scroll", "odd.txt",
            TOY);
    assert_true(access("scroll", F_OK) != 0);
}

static void what_is_wrong_is_said_before_the_work(void **state)
{
    (void)state;
    REFUSED("nothing picture palette", "series", "story.txt", TOY, "--carry", "all");
    REFUSED("nowhere.txt", "series", "nowhere.txt", TOY);
    REFUSED("one sentence a line", "series", TOY);
    REFUSED("there are two", "series", "story.txt", "--file", "story.txt", TOY);
    spill("bad.txt", "moon\nlake | \n", 12);
    REFUSED("sentence 2", "series", "bad.txt", TOY);
    REFUSED("imagine takes no --carry", "imagine", "moon", TOY, "--carry", "picture");
    assert_true(access("series", F_OK) != 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sentences_by_themselves), CASE(what_is_carried_over_is_in_the_recipes),
        CASE(codes_are_carried_over),  CASE(what_is_wrong_is_said_before_the_work),
        CASE(a_poem_becomes_a_scroll), CASE(what_is_wrong_with_a_scroll_is_said_before_the_work),
    };
    return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}
