/* The program on many pictures and texts, as people run it: match, classify, embed, search, info
 * on a checkpoint and convert, with the toy BriVL of tests/golden/towers/lite0. A picture that
 * cannot be read is one line on stderr, and the others go on. */
#include <sys/stat.h>

#include "feavis/feavis.h"
#include "model/text/text.h"
#include "model/weights/weights.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY "--quiet", "--preset", "toy.yml"

static void spill_text(const char *path, const char *text)
{
    spill(path, text, strlen(text));
}

/* pictures/a/{red,green}.png, pictures/b/blue.png and a broken one; texts.csv. */
static int begin(void **state)
{
    static const struct {
        const char *path;
        uint8_t rgb[3];
    } pictures[] = {{"pictures/a/green.png", {10, 200, 30}},
                    {"pictures/a/red.png", {220, 10, 30}},
                    {"pictures/b/blue.png", {10, 20, 230}}};
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    char preset[4096];
    (void)state;
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    mkdir("pictures", 0777);
    mkdir("pictures/a", 0777);
    mkdir("pictures/b", 0777);
    for (size_t i = 0; i < 3; i++) {
        uint8_t rgb[30 * 20 * 3];
        for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(pictures[i].rgb[k % 3] + k % 7);
        fv_picture p = {30, 20, rgb};
        MUST(fv_picture_write(&p, pictures[i].path, NULL));
    }
    spill_text("texts.csv", "\xef\xbb\xbfmoon\r\n山, 水\r\n");
    snprintf(preset, sizeof preset, "title: toy\nconfig: %s\ncheckpoint: %s/lite0.pth\nvocab: %s\n",
             source_file("tests/golden/towers/lite0/cfg.yml"), unpacked ? unpacked : ".",
             source_file("tests/golden/text_vocab.txt"));
    spill_text("toy.yml", preset);
    return 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

static void holds(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("no \"%s\" in:\n%s", words, text);
}

static void file_holds(const char *path, const char *words)
{
    char *text = slurp(path, NULL);
    holds(text, words);
    free(text);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void match_prints_and_saves(void **state)
{
    (void)state;
    char *out = SUCCEEDS("match", "--images", "pictures", "--texts", "texts.csv", TOY);
    holds(out, "3 images x 2 texts");
    holds(out, "山, 水");
    holds(out, "match/matrix.png");
    free(out);
    file_holds("match/matrix.csv", "image,moon,\"山, 水\"\npictures/a/green.png,");
    file_holds("match/top.csv", "text,moon,1,");
    file_holds("match/top.csv", "image,pictures/b/blue.png,2,");
    fv_npy *a;
    MUST(fv_npy_open(&a, "match/matrix.npy"));
    assert_int_equal(fv_npy_entry(a)->dims[0], 3);
    assert_int_equal(fv_npy_entry(a)->dims[1], 2);
    fv_npy_close(a);
    fv_picture p;
    MUST(fv_picture_read(&p, "match/matrix.png"));
    fv_picture_free(&p);
    /* results of an earlier run stay */
    SUCCEEDS_QUIETLY("match", "--images", "pictures", "--texts", "texts.csv", TOY);
    assert_true(exists("match-2/matrix.npy"));
}

static void match_goes_on_without_a_broken_picture(void **state)
{
    (void)state;
    spill_text("pictures/b/broken.jpg", "\xff\xd8\xff");
    process p = run("match", "--images", "pictures", "--texts", "texts.csv", "--out", "m", TOY);
    assert_int_equal(p.status, 0);
    holds(p.out, "3 images x 2 texts");
    holds(p.err, "feavis: picture pictures/b/broken.jpg cannot be read: ");
    process_free(&p);
    remove("pictures/a/red.png");
    remove("pictures/a/green.png");
    remove("pictures/b/blue.png");
    p = run("match", "--images", "pictures", "--texts", "texts.csv", TOY);
    assert_int_equal(p.status, 1);
    holds(p.err, "none of the 1 pictures could be read");
    process_free(&p);
}

static void match_counts_recall(void **state)
{
    (void)state;
    spill_text("images.csv", "pictures/a/red.png\npictures/b/blue.png\n");
    char *out = SUCCEEDS("match", "--images", "images.csv", "--texts", "texts.csv", "--pairs",
                         "order", TOY);
    holds(out, "text to image, 2 texts:    R@1 ");
    holds(out, "R@5 100.0 %");
    free(out);
    spill_text("pairs.csv", "blue.png\nblue.png\n");
    out = SUCCEEDS("match", "--images", "images.csv", "--texts", "texts.csv", "--pairs",
                   "pairs.csv", TOY);
    holds(out, "image to text, 1 images:   R@1 100.0 %");
    free(out);
    REFUSED("as many texts as pictures: there are 2 and 3", "match", "--images", "pictures",
            "--texts", "texts.csv", "--pairs", "order", TOY);
    spill_text("pairs.csv", "blue.png\npurple.png\n");
    REFUSED("line 2 names purple.png", "match", "--images", "pictures", "--texts", "texts.csv",
            "--pairs", "pairs.csv", TOY);
}

static void match_names_what_is_wrong(void **state)
{
    (void)state;
    REFUSED("needs --images", "match", "--texts", "texts.csv", TOY);
    REFUSED("nowhere", "match", "--images", "nowhere", "--texts", "texts.csv", TOY);
    spill_text("gbk.csv", "\xc9\xad\xc1\xd6\n");
    REFUSED("looks like GBK", "match", "--images", "pictures", "--texts", "gbk.csv", TOY);
    REFUSED("--top is \"x\"", "match", "--images", "pictures", "--top", "x", TOY);
    spill_text("file", "x");
    REFUSED("file", "match", "--images", "pictures", "--texts", "texts.csv", "--out", "file", TOY);
}

static void classify_finds_folders(void **state)
{
    (void)state;
    spill_text("labels.txt", "a\tmoon|star\nb\t山\n");
    spill_text("prompts.txt", "{}\na photo of {}\n");
    char *out = SUCCEEDS("classify", "--images", "pictures", "--labels", "labels.txt", "--prompts",
                         "prompts.txt", TOY);
    holds(out, "accuracy ");
    holds(out, "of 3 pictures");
    free(out);
    file_holds("classify/classes.csv", "pictures/b/blue.png,山,");
    file_holds("classify/per_class.csv", "\nmoon,a,2,");
    fv_picture p;
    MUST(fv_picture_read(&p, "classify/confusion.png"));
    fv_picture_free(&p);
    spill_text("labels.txt", "moon\n山\n");
    out = SUCCEEDS("classify", "--images", "pictures", "--labels", "labels.txt", TOY);
    holds(out, "no folder is named like a class");
    free(out);
    assert_false(exists("classify-2/confusion.png"));
    spill_text("prompts.txt", "a photo\n");
    REFUSED("has no {}", "classify", "--images", "pictures", "--labels", "labels.txt", "--prompts",
            "prompts.txt", TOY);
    REFUSED("ucm-nowhere", "classify", "--images", "pictures", "--labels", "ucm-nowhere", TOY);
}

static void search_finds_what_was_embedded(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("embed", "--images", "pictures", "--out", "index.npy", TOY);
    SUCCEEDS_QUIETLY("embed", "--images", "pictures", "--out", "index.safetensors", "--half", TOY);
    char *out = SUCCEEDS("search", "moon", "--index", "index.npy", "--top", "2", TOY);
    holds(out, "  pictures/");
    assert_string_equal(strchr(strchr(out, '\n') + 1, '\n'), "\n"); /* two lines */
    char *half = SUCCEEDS("search", "moon", "--index", "index.safetensors", "--top", "2", TOY);
    holds(half, "  pictures/");
    free(out);
    free(half);
    out = SUCCEEDS("search", "--texts", "texts.csv", "--index", "index.npy", TOY);
    holds(out, "moon\n");
    holds(out, "\n山, 水\n");
    free(out);
    REFUSED("needs --index", "search", "moon", TOY);
    REFUSED("not of BriVL-mini", "search", "moon", "--index", "index.npy", "--quiet");
    REFUSED("ends in .npy", "embed", "--images", "pictures", "--out", "index.bin", TOY);
}

/* Names of any bytes, a pipe and a link in a circle: told, and the others go on. Then one more
 * picture, which alone is embedded. */
static void folders_as_they_are_found(void **state)
{
    uint8_t rgb[3 * 3] = {200, 10, 20, 200, 10, 20, 10, 20, 200};
    fv_picture p = {3, 1, rgb};
    (void)state;
    remove_tree("found");
    mkdir("found", 0777);
    mkdir("found/deep", 0777);
    MUST(fv_picture_write(&p, "found/two\nlines.png", NULL));
    MUST(fv_picture_write(&p, "found/deep/\xd6\xd0.png", NULL));
    spill_text("found/broken.png", "no picture");
    assert_int_equal(symlink("..", "found/deep/up"), 0);
    assert_int_equal(mkfifo("found/pipe.png", 0666), 0);
    process r = run("embed", "--images", "found", "--out", "found.npy", TOY);
    assert_int_equal(r.status, 0);
    holds(r.err, "feavis: found/deep/up: the same folder as found, left out\n");
    holds(r.err, "feavis: found/pipe.png: a pipe, a socket or a device, left out\n");
    holds(r.err, "found/broken.png");
    process_free(&r);
    MUST(fv_picture_write(&p, "found/more.png", NULL));
    char *out = SUCCEEDS("embed", "--images", "found", "--out", "found.npy", TOY);
    holds(out, "2 of the 4 pictures were there from an earlier run\n");
    free(out);
    out = SUCCEEDS("search", "moon", "--index", "found.npy", TOY);
    holds(out, "  found/two\\nlines.png\n");
    holds(out, "  found/deep/\\xD6\\xD0.png\n");
    holds(out, "  found/more.png\n");
    free(out);
    SUCCEEDS_QUIETLY("match", "--images", "found", "--texts", "texts.csv", "--out", "found-match",
                     TOY);
    char *table = slurp("found-match/matrix.csv", NULL);
    MUST(fv_utf8_check(table, strlen(table), "table"));
    holds(table, "found/two\\nlines.png");
    free(table);
}

static void checkpoints_are_described_and_converted(void **state)
{
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    char path[1024];
    (void)state;
    snprintf(path, sizeof path, "%s/lite0.pth", unpacked ? unpacked : ".");
    char *out = SUCCEEDS("info", path, TOY);
    holds(out, "it fits the cfg");
    free(out);
    process p = run("info", path, "--config", source_file("tests/golden/cfg/eval.yml"));
    assert_int_equal(p.status, 1);
    holds(p.out, "it does not fit the cfg");
    process_free(&p);
    out = SUCCEEDS("convert", path, "--out", "small.safetensors", TOY);
    holds(out, "328 tensors, read again: equal to the last bit");
    free(out);
    SUCCEEDS_QUIETLY("match", "--images", "pictures", "--texts", "texts.csv", "--out", "a", TOY);
    SUCCEEDS_QUIETLY("match", "--images", "pictures", "--texts", "texts.csv", "--out", "b",
                     "--checkpoint", "small.safetensors", TOY);
    char *a = slurp("a/matrix.csv", NULL), *b = slurp("b/matrix.csv", NULL);
    assert_string_equal(a, b);
    free(a);
    free(b);
    REFUSED("needs its cfg", "convert", path, "--out", "x.safetensors");
    REFUSED("convert needs", "convert", path);
    spill_text("page.pth", "<html><body>Not found</body></html>");
    REFUSED("HTML page", "info", "page.pth");
    refused(process_wait(process_start(
                (const char *const[]){"convert", path, "--out", "full.safetensors", TOY, NULL},
                NULL, 0, 1 << 20)),
            "writing full.safetensors: ", "convert on a full disk");
    assert_false(exists("full.safetensors"));
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(match_prints_and_saves),    EACH(match_goes_on_without_a_broken_picture),
        EACH(match_counts_recall),       EACH(match_names_what_is_wrong),
        EACH(classify_finds_folders),    EACH(search_finds_what_was_embedded),
        EACH(folders_as_they_are_found), EACH(checkpoints_are_described_and_converted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
