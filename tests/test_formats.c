/* Pictures as files of other formats than PNG, their recipes inside; pictures through pipes; and
 * results as JSON lines. The program as people run it, with the toy BriVL of towers/lite0. */
#include <sys/stat.h>

#include "feavis/feavis.h"
#include "feavis/image/picture_formats.h"
#include "model/files/yaml.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY "--quiet", "--preset", "toy.yml"

static int begin(void **state)
{
    (void)state;
    if (enter_toy_work("steps: 2\nviews: 1\nsize: 72\nshift: 4\n")) return -1;
    return 0;
}

static fv_picture waves(int width, int height)
{
    fv_picture p = {width, height, malloc((size_t)width * (size_t)height * 3)};
    assert_non_null(p.rgb);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int k = 0; k < 3; k++)
                p.rgb[(y * width + x) * 3 + k] =
                    (uint8_t)(128 + 90 * sin(0.05 * (x + 2 * k) + 0.03 * (k + 1) * y));
    return p;
}

static void recipe_is(const char *path, const char *expected)
{
    char *recipe;
    MUST(fv_recipe_read(&recipe, path));
    assert_string_equal(recipe, expected);
    free(recipe);
}

/* --- formats --- */

static void a_name_says_the_format(void **state)
{
    (void)state;
    assert_int_equal(fv_picture_format_of("a.b/x.JPG"), FV_PICTURE_JPEG);
    assert_int_equal(fv_picture_format_of("x.jpeg"), FV_PICTURE_JPEG);
    assert_int_equal(fv_picture_format_of("x.WebP"), FV_PICTURE_WEBP);
    assert_int_equal(fv_picture_format_of("x.png"), FV_PICTURE_PNG);
    assert_int_equal(fv_picture_format_of("jpg"), FV_PICTURE_PNG);
    assert_int_equal(fv_picture_format_of(".jpg"), FV_PICTURE_PNG); /* a hidden file */
    assert_int_equal(fv_picture_format_of("v1.5"), FV_PICTURE_PNG);
    assert_int_equal(fv_picture_format_of("x.jpg/y"), FV_PICTURE_PNG);
    assert_int_equal(fv_picture_format_of("x.gif"), FV_PICTURE_OTHER);
}

/* Lossless to the pixel; of a JPEG at quality 95 no byte of these smooth waves is off by more
 * than 8 (its steps are at most 10 of 255). */
static void formats_keep_picture_and_recipe(void **state)
{
    (void)state;
    fv_picture p = waves(67, 41), back;
    MUST(fv_picture_write(&p, "x.webp", "text: \"梦\"\n"));
    recipe_is("x.webp", "text: \"梦\"\n");
    MUST(fv_picture_read(&back, "x.webp"));
    assert_int_equal(back.width, 67);
    assert_memory_equal(back.rgb, p.rgb, 67 * 41 * 3);
    fv_picture_free(&back);
    MUST(fv_picture_write(&p, "x.jpg", "text: \"梦\"\n"));
    recipe_is("x.jpg", "text: \"梦\"\n");
    MUST(fv_picture_read(&back, "x.jpg"));
    assert_int_equal(back.height, 41);
    for (int i = 0; i < 67 * 41 * 3; i++)
        if (abs(back.rgb[i] - p.rgb[i]) > 8) fail_msg("byte %d: %d %d", i, back.rgb[i], p.rgb[i]);
    fv_picture_free(&back);
    MUST(fv_picture_write(&p, "plain.jpg", NULL));
    MUST(fv_picture_write(&p, "plain.webp", NULL));
    char *recipe;
    FAILS(fv_recipe_read(&recipe, "plain.jpg"), FV_ERR_FORMAT, "holds no feavis recipe");
    FAILS(fv_recipe_read(&recipe, "plain.webp"), FV_ERR_FORMAT, "holds no feavis recipe");
    fv_picture_free(&p);
}

/* A JPEG's comment holds 65533 bytes at most. */
static void long_recipes_take_several_comments(void **state)
{
    (void)state;
    enum { BYTES = 150001 };
    fv_picture p = waves(8, 8);
    char *recipe = calloc(1, BYTES + 1);
    assert_non_null(recipe);
    for (int i = 0; i < BYTES; i++) recipe[i] = (char)('a' + i % 26);
    MUST(fv_picture_write(&p, "x.jpg", recipe));
    recipe_is("x.jpg", recipe);
    MUST(fv_picture_write(&p, "x.webp", recipe));
    recipe_is("x.webp", recipe);
    free(recipe);
    fv_picture_free(&p);
}

/* Every file cut off, and every byte of the parts before the pixels changed: a recipe, none, or an
 * error of one line; never a read past the end (under AddressSanitizer). */
static void damaged_files_are_no_danger(void **state)
{
    static const char *const names[] = {"x.jpg", "x.webp"};
    (void)state;
    fv_picture p = waves(8, 8);
    for (int k = 0; k < 2; k++) {
        size_t size;
        MUST(fv_picture_write(&p, names[k], "text: a\n"));
        char *whole = slurp(names[k], &size), *recipe;
        for (size_t n = 1; n < size; n++) {
            unsigned char *part = malloc(n);
            assert_non_null(part);
            memcpy(part, whole, n);
            fv_picture_file file = {part, n};
            recipe = NULL;
            if (n > 12 && (k ? fv_webp_recipe : fv_jpeg_recipe)(&recipe, file) >= 0) free(recipe);
            for (size_t i = 0; n == size - 1 && i < n; i++) {
                part[i] ^= 0x85;
                recipe = NULL;
                if ((k ? fv_webp_recipe : fv_jpeg_recipe)(&recipe, file) >= 0) free(recipe);
                part[i] ^= 0x85;
            }
            free(part);
        }
        free(whole);
    }
    fv_picture big = {20000, 1, calloc(3, 20000)};
    FAILS(fv_picture_write(&big, "big.webp", NULL), FV_ERR_UNSUPPORTED, "saving to big.webp");
    big = (fv_picture){70000, 1, realloc(big.rgb, 210000)};
    FAILS(fv_picture_write(&big, "big.jpg", NULL), FV_ERR_UNSUPPORTED, "saving to big.jpg");
    assert_int_not_equal(access("big.jpg", F_OK), 0);
    fv_picture_free(&big);
    fv_picture_free(&p);
}

static void the_program_dreams_in_all_of_them(void **state)
{
    (void)state;
    char *out = SUCCEEDS("imagine", TOY, "moon", "--out", "m.jpg");
    assert_string_equal(out, "m.jpg\n");
    free(out);
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "m.webp");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "m.png");
    SUCCEEDS_QUIETLY("again", TOY, "m.jpg", "--out", "again.png");
    SUCCEEDS_QUIETLY("again", TOY, "m.webp", "--out", "again.webp");
    size_t n, k;
    char *a = slurp("m.png", &n), *b = slurp("again.png", &k);
    assert_int_equal(n, k);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    a = slurp("m.webp", &n);
    b = slurp("again.webp", &k);
    assert_int_equal(n, k);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    REFUSED("pictures are PNG, JPEG or WebP files", "imagine", TOY, "moon", "--out", "m.tif");
    assert_int_not_equal(access("m.tif", F_OK), 0);
}

/* --- pipes --- */

static void pictures_come_through_pipes(void **state)
{
    (void)state;
    size_t size;
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--out", "m.png");
    char *png = slurp("m.png", &size);
    char *out = succeeded(run_with_input(png, size, "info", "-"), "info -");
    assert_non_null(strstr(out, "text: \"moon\"\n"));
    free(out);
    free(succeeded(run_with_input(png, size, "again", TOY, "-", "--out", "b.png"), "again -"));
    free(succeeded(
        run_with_input(png, size, "imagine", TOY, "lake", "--start", "-", "--out", "s.png"),
        "--start -"));
    char *recipe;
    MUST(fv_recipe_read(&recipe, "s.png"));
    assert_non_null(strstr(recipe, "start: \"start-1.png\"\n")); /* beside it: again finds it */
    free(recipe);
    SUCCEEDS_QUIETLY("again", TOY, "s.png", "--out", "t.png");
    char *s = slurp("s.png", &size), *t = slurp("t.png", NULL);
    assert_memory_equal(s, t, size);
    free(s);
    free(t);
    free(png);
    refused(run_with_input("", 0, "info", "-"), "from standard input: there is none", "info -");
    refused(run_with_input("GIF89", 5, "again", TOY, "-"), "standard input is not a PNG", "again");
    refused(run_with_input("x", 1, "imagine", TOY, "a", "--start", "-"), "from standard input",
            "--start");
}

/* --- JSON --- */

/* Every line of `out` is one JSON object with a kind; count[i] lines are of kinds[i], none is of
 * another. The last of the first kind stays open for look-ups. */
static fv_yaml *json_lines(char *out, const char *const *kinds, int *count)
{
    fv_yaml *kept = NULL;
    char *rest = out, *line;
    memset(count, 0, 8 * sizeof *count);
    while ((line = strsep(&rest, "\n")) && (*line || rest)) {
        fv_yaml *doc;
        if (line[0] != '{' || line[strlen(line) - 1] != '}') fail_msg("no object: %s", line);
        MUST(fv_yaml_parse(&doc, line, strlen(line), "json"));
        assert_true(fv_yaml_is_map(fv_yaml_root(doc)));
        const char *kind = fv_yaml_text(fv_yaml_find(fv_yaml_root(doc), "kind"));
        int i = 0;
        while (kinds[i] && strcmp(kinds[i], kind) != 0) i++;
        if (!kinds[i]) fail_msg("a line of kind %s", kind);
        count[i]++;
        if (i) {
            fv_yaml_free(doc);
            continue;
        }
        fv_yaml_free(kept);
        kept = doc;
    }
    free(out);
    assert_non_null(kept);
    return kept;
}
#define JSON_LINES(out, count, ...) json_lines(out, (const char *const[]){__VA_ARGS__, NULL}, count)

static void member_is(const fv_yaml *doc, const char *key, const char *expected)
{
    const fv_yaml_node *n = fv_yaml_find(fv_yaml_root(doc), key);
    if (!n) fail_msg("no member %s", key);
    assert_string_equal(fv_yaml_text(n), expected);
}

static void pictures_are_told_as_json(void **state)
{
    (void)state;
    int count[8];
    fv_yaml *d = JSON_LINES(
        SUCCEEDS("imagine", TOY, "a \"b\" \\ c", "--json", "--seed", "18446744073709551615"), count,
        "picture");
    member_is(d, "text", "a \"b\" \\ c");
    member_is(d, "seed", "18446744073709551615");
    member_is(d, "path", "gallery/a-b-c-18446744073709551615.png");
    member_is(d, "steps", "2");
    double cosine = 9;
    MUST(fv_yaml_double(d, fv_yaml_root(d), "cosine", &cosine));
    assert_true(cosine >= -1 && cosine <= 1);
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("neuron", TOY, "7", "--json", "--out", "n.png"), count, "picture");
    member_is(d, "cosine", "null"); /* no text, no cosine */
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("info", "n.png", "--json"), count, "recipe");
    member_is(d, "llp", "7");
    fv_yaml_free(d);
    spill("two", "moon\nlake\n", 10);
    d = JSON_LINES(SUCCEEDS("series", TOY, "two", "--json", "--out", "s"), count, "picture",
                   "file");
    assert_int_equal(count[0], 2);
    assert_int_equal(count[1], 3); /* sheet, scroll, film */
    fv_yaml_free(d);
}

static void tables_are_told_as_json(void **state)
{
    (void)state;
    int count[8];
    fv_picture p = waves(30, 20);
    mkdir("pictures", 0777);
    mkdir("pictures/moon", 0777);
    MUST(fv_picture_write(&p, "pictures/moon/a.png", NULL));
    MUST(fv_picture_write(&p, "pictures/moon/\xff.png", NULL)); /* a name that is no UTF-8 */
    fv_picture_free(&p);
    spill("texts", "moon\nlake\n", 10);
    fv_yaml *d = JSON_LINES(SUCCEEDS("match", TOY, "--images", "pictures", "--texts", "texts",
                                     "--pairs", "order", "--json", "--out", "m"),
                            count, "answer", "recall", "file");
    assert_int_equal(count[0], 8); /* 2 texts x 2 pictures, both ways */
    assert_int_equal(count[1], 2);
    assert_int_equal(count[2], 4);
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("classify", TOY, "--images", "pictures", "--labels", "texts", "--json",
                            "--out", "c"),
                   count, "class", "class_score", "accuracy", "file");
    assert_int_equal(count[0], 4);
    assert_int_equal(count[1], 1);
    assert_int_equal(count[2], 1);
    member_is(d, "true", "moon");
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("embed", TOY, "--images", "pictures", "--json", "--out", "i.npy"),
                   count, "index");
    member_is(d, "pictures", "2");
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("search", TOY, "moon", "--index", "i.npy", "--json"), count, "answer");
    assert_int_equal(count[0], 2);
    member_is(d, "rank", "2");
    fv_yaml_free(d);
}

static void what_is_printed_is_told_as_json(void **state)
{
    (void)state;
    int count[8];
    fv_yaml *d = JSON_LINES(SUCCEEDS("info", "--preset", "toy.yml", "--json"), count, "model");
    assert_true(count[0] >= 6);
    member_is(d, "name", "memory");
    fv_yaml_free(d);
    fv_yaml_free(
        JSON_LINES(SUCCEEDS("info", "--preset", "toy.yml", "--layers", "--json"), count, "layer"));
    assert_true(count[0] > 20);
    fv_yaml_free(JSON_LINES(SUCCEEDS("presets", "--json"), count, "preset"));
    REFUSED("takes no --json", "window", "--json");
    process p = run("imagine", TOY, "--json", "moon", "--out", "gone/x.png");
    assert_string_equal(p.out, ""); /* a failure is a line on stderr, and no object */
    process_free(&p);
}

/* places, xray, walk, receipt and two */
static void looks_are_told_as_json(void **state)
{
    (void)state;
    int count[8];
    SUCCEEDS_QUIETLY("imagine", TOY, "moon sea", "--at", "moon: 3-5,0-2", "--out", "a.png");
    fv_yaml *d = JSON_LINES(SUCCEEDS("places", "a.png", TOY, "--json"), count, "place");
    assert_int_equal(count[0], 1);
    member_is(d, "text", "moon");
    member_is(d, "left", "3");
    member_is(d, "bottom", "2");
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("xray", "a.png", TOY, "--json"), count, "word", "text", "file");
    assert_int_equal(count[0], 2);
    assert_int_equal(count[1], 1);
    assert_int_equal(count[2], 2);
    member_is(d, "word", "sea");
    member_is(d, "text", "moon sea");
    double worth = 9, without = 9;
    MUST(fv_yaml_double(d, fv_yaml_root(d), "worth", &worth));
    MUST(fv_yaml_double(d, fv_yaml_root(d), "cosine_without", &without));
    assert_true(fabs(worth) <= 2 && fabs(without) <= 1);
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("walk", "moon", "sea", TOY, "--frames", "1", "--json"), count, "frame",
                   "leg", "seam", "file");
    assert_int_equal(count[0], 5); /* the first, and two laps of two */
    assert_int_equal(count[1], 2);
    assert_int_equal(count[2], 1);
    assert_int_equal(count[3], 2); /* film and GIF */
    member_is(d, "path", "walk/004.png");
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("receipt", "a.png", TOY, "--json"), count, "receipt", "fact", "judged",
                   "channel", "file");
    assert_int_equal(count[0], 1);
    assert_true(count[1] > 8 && count[3] == 5);
    assert_int_equal(count[4], 2);
    member_is(d, "same", "true");
    fv_yaml_free(d);
    d = JSON_LINES(SUCCEEDS("two", "moon", "sea", TOY, "--json"), count, "figure", "picture",
                   "file");
    assert_int_equal(count[0], 6); /* pixels, embeddings, two pictures by two texts */
    assert_int_equal(count[1], 2);
    assert_int_equal(count[2], 3);
    member_is(d, "picture", "b");
    member_is(d, "text", "sea");
    fv_yaml_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_says_the_format, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(formats_keep_picture_and_recipe, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(long_recipes_take_several_comments, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(damaged_files_are_no_danger, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(the_program_dreams_in_all_of_them, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(pictures_come_through_pipes, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(pictures_are_told_as_json, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(tables_are_told_as_json, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(what_is_printed_is_told_as_json, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(looks_are_told_as_json, begin, leave_toy_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
