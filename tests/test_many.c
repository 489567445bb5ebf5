/* The program on many pictures and texts, as people run it: match, classify, embed, search, info
 * on a checkpoint and convert, with the toy BriVL of tests/golden/towers/lite0. A picture that
 * cannot be read is one line on stderr, and the others go on. */
#include <math.h>
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

/* --- several guides --- */

static char toy_guide[9000]; /* the toy, with half the weight of the shipped model */

#define BOTH "--quiet", "--guide", "mini", "--guide", toy_guide

static int begin_guides(void **state)
{
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    snprintf(toy_guide, sizeof toy_guide, "%s + %s/lite0.pth + %s:0.5",
             source_file("tests/golden/towers/lite0/cfg.yml"), unpacked ? unpacked : ".",
             source_file("tests/golden/text_vocab.txt"));
    return begin(state);
}

static float *read_matrix(const char *path, size_t count)
{
    fv_npy *a;
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    MUST(fv_npy_open(&a, path));
    assert_int_equal(fv_entry_count(fv_npy_entry(a)), count);
    fv_entry_read_f32(fv_npy_entry(a), out);
    fv_npy_close(a);
    return out;
}

static void same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(a, &n), *y = slurp(b, &m);
    if (n != m || memcmp(x, y, n) != 0) fail_msg("%s is not %s", a, b);
    free(x);
    free(y);
}

/* Its numbers are those of a run with that model alone; all together are their mean by weights. */
static void match_shows_what_each_guide_sees(void **state)
{
    (void)state;
    enum { COUNT = 3 * 2 };
#define MATCH "match", "--images", "pictures", "--texts", "texts.csv", "--out"
    SUCCEEDS_QUIETLY(MATCH, "mini", "--quiet");
    SUCCEEDS_QUIETLY(MATCH, "toy", TOY);
    char *out = SUCCEEDS(MATCH, "both", BOTH);
    holds(out, "BriVL-mini + ");
    holds(out, "guide2: ");
    holds(out, "and of each guide");
    free(out);
    float *mini = read_matrix("mini/matrix.npy", COUNT),
          *toy = read_matrix("toy/matrix.npy", COUNT);
    float *first = read_matrix("both/matrix-guide1.npy", COUNT);
    float *second = read_matrix("both/matrix-guide2.npy", COUNT);
    float *all = read_matrix("both/matrix.npy", COUNT);
    assert_memory_equal(first, mini, COUNT * sizeof *mini);
    assert_memory_equal(second, toy, COUNT * sizeof *toy);
    for (int i = 0; i < COUNT; i++) {
        double mean = ((double)mini[i] + 0.5 * (double)toy[i]) / 1.5;
        if (fabs((double)all[i] - mean) > 2e-7)
            fail_msg("cosine %d of both is %.8f, expected %.8f", i, (double)all[i], mean);
    }
    same_file("mini/matrix.png", "both/matrix-guide1.png");
    same_file("mini/matrix.csv", "both/matrix-guide1.csv");
    same_file("mini/top.csv", "both/top-guide1.csv");
    free(mini);
    free(toy);
    free(first);
    free(second);
    free(all);
    REFUSED("weights of all 2 models are 0", MATCH, "none", BOTH, "--guide-weights", "0, 0");
}

static void classify_counts_for_each_guide(void **state)
{
    (void)state;
    spill_text("labels.tsv", "a\t山\nb\tmoon\n");
#define CLASSIFY "classify", "--images", "pictures", "--labels", "labels.tsv", "--out"
    SUCCEEDS_QUIETLY(CLASSIFY, "mini", "--quiet");
    SUCCEEDS_QUIETLY(CLASSIFY, "toy", TOY);
    char *out = SUCCEEDS(CLASSIFY, "both", BOTH);
    int lines = 0;
    for (const char *at = out; (at = strstr(at, "\naccuracy ")); at++) lines++;
    assert_int_equal(lines, 3);
    free(out);
    static const char *const files[] = {"classes", "per_class"};
    for (int i = 0; i < 4; i++) {
        char a[64], b[64];
        snprintf(a, sizeof a, "%s/%s.csv", i % 2 ? "toy" : "mini", files[i / 2]);
        snprintf(b, sizeof b, "both/%s-guide%d.csv", files[i / 2], i % 2 + 1);
        same_file(a, b);
    }
    assert_true(exists("both/confusion.png") && exists("both/confusion-guide2.png"));
}

/* An index of both is searched by both: the scores are those of match. */
static void search_looks_through_all_guides(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("embed", "--images", "pictures", "--out", "both.npy", BOTH);
    SUCCEEDS_QUIETLY("match", "--images", "pictures", "--texts", "texts.csv", "--out", "both",
                     BOTH);
    float *all = read_matrix("both/matrix.npy", 3 * 2), best = -1;
    for (int i = 0; i < 3; i++) best = all[2 * i] > best ? all[2 * i] : best;
    free(all);
    char *out = SUCCEEDS("search", "moon", "--index", "both.npy", "--top", "1", BOTH), wanted[32];
    snprintf(wanted, sizeof wanted, "%7.4f  pictures/", (double)best);
    holds(out, wanted);
    free(out);
    out = SUCCEEDS("embed", "--images", "pictures", "--out", "both.npy", BOTH);
    holds(out, "3 of the 3 pictures were there");
    free(out);
    file_holds("both.npy.from", "BriVL-mini + ");
    REFUSED("not of BriVL-mini ", "search", "moon", "--index", "both.npy", "--quiet");
    REFUSED("not of BriVL-mini + ", "search", "moon", "--index", "both.npy", BOTH, "--guide",
            toy_guide);
}

static void probe_and_convert_do_each_guide(void **state)
{
    (void)state;
#define PROBE "probe", "moon", "--image", "pictures/a/red.png", "--out"
    SUCCEEDS_QUIETLY(PROBE, "mini", "--quiet", "--taps", "LLP");
    SUCCEEDS_QUIETLY(PROBE, "toy", TOY, "--taps", "LLP,d:blocks.2.0");
    char *out = SUCCEEDS(PROBE, "both", BOTH, "--taps", "LLP,guide2.LLP,d:guide2.blocks.2.0");
    holds(out, "  guide2: ");
    free(out);
    same_file("mini/gradient.npy", "both/guide1/gradient.npy");
    same_file("mini/LLP.npy", "both/guide1/LLP.npy");
    same_file("toy/gradient.npy", "both/guide2/gradient.npy");
    same_file("toy/LLP.npy", "both/guide2/LLP.npy");
    same_file("toy/d:blocks.2.0.npy", "both/guide2/d:blocks.2.0.npy");
    spill_text("ids.npy", "");
    REFUSED("with one model", "probe", "--image", "pictures/a/red.png", "--ids", "ids.npy", BOTH);
    out = SUCCEEDS("convert", "--out", "made.safetensors", BOTH);
    holds(out, "made-guide1.safetensors: ");
    holds(out, "made-guide2.safetensors: 328 tensors, read again: equal to the last bit");
    free(out);
    SUCCEEDS_QUIETLY("convert", "--out", "one.safetensors", "--guide", toy_guide);
    same_file("one.safetensors", "made-guide2.safetensors");
    REFUSED("there are both", "convert", "x.pth", "--out", "x.safetensors", BOTH);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, begin, end)

#define GUIDES(f) cmocka_unit_test_setup_teardown(f, begin_guides, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(match_prints_and_saves),
        EACH(match_goes_on_without_a_broken_picture),
        EACH(match_counts_recall),
        EACH(match_names_what_is_wrong),
        EACH(classify_finds_folders),
        EACH(search_finds_what_was_embedded),
        EACH(folders_as_they_are_found),
        EACH(checkpoints_are_described_and_converted),
        GUIDES(match_shows_what_each_guide_sees),
        GUIDES(classify_counts_for_each_guide),
        GUIDES(search_looks_through_all_guides),
        GUIDES(probe_and_convert_do_each_guide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
