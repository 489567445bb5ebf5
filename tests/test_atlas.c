/* feavis atlas: pictures of channels climb, resume, and are the same bytes from workers as from one
 * run; the page holds all it shows. The program as people run it, with the small CLIPs of
 * tests/golden/clip. */
#include <math.h>
#include <sys/stat.h>

#include "feavis/atlas.h"
#include "feavis/critic.h"
#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY        "--preset", "toy.yml", "--quiet"
#define RUN        "atlas", TOY, "--channels", "4-37", "--size", "32", "--steps", "3", "--words", "words"
#define LAST       "channels-00032.png"
#define VOCABULARY "tests/golden/clip/bpe_tiny.txt"

static const char *small(const char *name)
{
    static char path[1024];
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/clip/%s", unpacked ? unpacked : ".", name);
    return path;
}

static void open_small(fv_model **m, const char *name)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "checkpoint", small(name)));
    MUST(fv_options_set(o, "vocab", source_file(VOCABULARY)));
    MUST(fv_options_set(o, "backend", "cpu"));
    MUST(fv_model_open(m, o));
    fv_options_free(o);
}

static int begin(void **state)
{
    (void)state;
    char preset[4096];
    static const char words[] = "moon\nlake\n山\n水\nred house\n月\n";
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    int n = snprintf(preset, sizeof preset, "title: toy\ncheckpoint: %s\nvocab: %s\n",
                     small("rn.pt"), source_file(VOCABULARY));
    spill("toy.yml", preset, (size_t)n);
    spill("words", words, strlen(words));
    return 0;
}

/* --- the library --- */

static bool stop_at_once(void *user)
{
    (void)user;
    return false;
}

static void channels_climb_alone_and_together(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    static const int channels[COUNT] = {3, 200, 41, 255};
    fv_model *m;
    fv_atlas *a;
    fv_picture few[COUNT], many[COUNT], one;
    float start[COUNT], reached[COUNT], again;
    open_small(&m, "rn.pt");
    MUST(fv_atlas_open(&a, m, &(fv_atlas_settings){.side = 64, .batch = COUNT, .steps = 1}));
    assert_string_equal(fv_atlas_layer(a).name, "LLP");
    assert_int_equal(fv_atlas_layer(a).channels, 256);
    MUST(fv_atlas_grow(a, channels, COUNT, few, start, NULL, NULL));
    FAILS(fv_atlas_grow(a, (const int[]){256}, 1, &one, NULL, NULL, NULL), FV_ERR_ARGUMENT,
          "0 to 255");
    assert_int_equal(fv_atlas_grow(a, channels, 1, &one, NULL, stop_at_once, NULL), FV_CANCELLED);
    fv_atlas_close(a);
    MUST(fv_atlas_open(&a, m, &(fv_atlas_settings){.side = 64, .batch = COUNT, .steps = 40}));
    assert_int_equal(fv_atlas_settings_of(a).steps, 40);
    MUST(fv_atlas_grow(a, channels, COUNT, many, reached, NULL, NULL));
    for (int i = 0; i < COUNT; i++) {
        if (!(reached[i] > start[i] * 1.1f))
            fail_msg("channel %d goes from %g to %g", channels[i], (double)start[i],
                     (double)reached[i]);
        assert_memory_not_equal(few[i].rgb, many[i].rgb, 64 * 64 * 3);
    }
    /* beside others or alone in its place it is the same picture */
    MUST(fv_atlas_grow(a, channels, 1, &one, &again, NULL, NULL));
    assert_memory_equal(one.rgb, many[0].rgb, 64 * 64 * 3);
    assert_float_equal(again, reached[0], 0);
    for (int i = 0; i < COUNT; i++) {
        fv_picture_free(&few[i]);
        fv_picture_free(&many[i]);
    }
    fv_picture_free(&one);
    fv_atlas_close(a);
    FAILS(fv_atlas_open(&a, m, &(fv_atlas_settings){.side = 8}), FV_ERR_ARGUMENT, "32 to 512");
    FAILS(fv_atlas_open(&a, m, &(fv_atlas_settings){.layer = "layer9"}), FV_ERR_ARGUMENT, "layer9");
    fv_model_close(m);
    open_small(&m, "vit.pt"); /* it looks at one size alone */
    MUST(fv_atlas_open(
        &a, m, &(fv_atlas_settings){.layer = "resblocks.0", .side = 32, .batch = 1, .steps = 1}));
    MUST(fv_atlas_grow(a, (const int[]){5}, 1, &one, NULL, NULL, NULL));
    assert_int_equal(one.width, 32);
    fv_picture_free(&one);
    fv_atlas_close(a);
    MUST(fv_atlas_open(
        &a, m,
        &(fv_atlas_settings){.layer = "image_embedding", .side = 32, .batch = 1, .steps = 1}));
    assert_int_equal(fv_atlas_layer(a).channels, fv_model_dim(m));
    fv_atlas_close(a);
    fv_model_close(m);
}

/* Product of a channel's row with a text's vector: what fv_critic_search says of them. */
static void pulls_are_what_search_ranks_by(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    fv_model *m;
    fv_critic *c;
    fv_channel found[COUNT];
    int count = COUNT;
    open_small(&m, "rn.pt");
    MUST(fv_critic_open(&c, m));
    size_t dim = (size_t)fv_model_dim(m), channels = (size_t)fv_model_channels(m);
    float *pulls = malloc(channels * dim * sizeof *pulls), *text = malloc(dim * sizeof *text);
    MUST(fv_critic_pulls(c, pulls));
    MUST(fv_critic_search(c, "moon", NULL, found, &count));
    MUST(fv_model_embed_text(m, "moon", text, NULL));
    assert_int_equal(count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++)
            sum += (double)pulls[(size_t)found[i].number * dim + d] * (double)text[d];
        assert_true(fabs(sum - (double)found[i].lead) <= 1e-5 * fabs(sum) + 1e-8);
    }
    free(pulls);
    free(text);
    fv_critic_close(c);
    fv_model_close(m);
}

/* --- the command --- */

static void is_left_out_once(const char *said, const char *path)
{
    char line[128];
    snprintf(line, sizeof line, "feavis: %s is left out: ", path);
    const char *at = strstr(said, line);
    if (!at || strstr(at + 1, line) || strstr(said, "grown again")) fail_msg("said: %s", said);
}

static void a_run_goes_on_and_workers_agree(void **state)
{
    (void)state;
    char *out = SUCCEEDS(RUN, "--out", "whole", "--json");
    assert_non_null(strstr(out, "{\"kind\":\"channels\",\"path\":\"whole/channels-00016.png\","
                                "\"first\":16,\"last\":31,\"seconds\":"));
    assert_non_null(strstr(out, "{\"kind\":\"atlas\",\"path\":\"whole/atlas.html\",\"layer\":"
                                "\"LLP\",\"channels\":34,\"of\":256,\"photos\":0,"));
    free(out);
    fv_picture strip;
    MUST(fv_picture_read(&strip, "whole/channels-00004.png"));
    assert_true(strip.width == 12 * 32 && strip.height == 32);
    fv_picture_free(&strip);
    out = SUCCEEDS(RUN, "--out", "parts", "--shard", "2/2", "--json");
    assert_true(strstr(out, "channels-00016.png") && !strstr(out, "channels-00004.png"));
    free(out);
    assert_int_not_equal(access("parts/atlas.html", F_OK), 0);
    SUCCEEDS_QUIETLY(RUN, "--out", "parts", "--shard", "1/2");
    static const char *const files[] = {"channels-00004.png", "channels-00016.png", LAST};
    for (int i = 0; i < 3; i++) {
        char a[64], b[64];
        snprintf(a, sizeof a, "whole/%s", files[i]);
        snprintf(b, sizeof b, "parts/%s", files[i]);
        same_files(a, b);
    }
    /* one is cut off, one is gone: only they are grown again, and the page is the same */
    size_t n;
    char *bytes = slurp("parts/" LAST, &n);
    spill("parts/" LAST, bytes, n / 2);
    free(bytes);
    assert_int_equal(remove("parts/channels-00016.png"), 0);
    process p = run(RUN, "--out", "parts", "--json");
    assert_int_equal(p.status, 0);
    assert_true(strstr(p.out, "channels-00016.png") && strstr(p.out, LAST));
    assert_null(strstr(p.out, "channels-00004.png"));
    assert_non_null(strstr(p.err, "feavis: parts/" LAST " is grown again: "));
    process_free(&p);
    same_files("whole/" LAST, "parts/" LAST);
    same_files("whole/atlas.html", "parts/atlas.html");
    /* with --page and for a search it is left out, which is said once */
    bytes = slurp("parts/" LAST, &n);
    spill("parts/" LAST, bytes, n / 2);
    free(bytes);
    p = run("atlas", TOY, "--page", "--words", "words", "--out", "parts");
    assert_int_equal(p.status, 0);
    is_left_out_once(p.err, "parts/" LAST);
    process_free(&p);
    p = run("atlas", TOY, "moon", "--words", "words", "--out", "parts");
    assert_int_equal(p.status, 0);
    is_left_out_once(p.err, "parts/" LAST);
    process_free(&p);
    /* --page takes what is there, settings and all */
    assert_int_equal(remove("parts/" LAST), 0);
    SUCCEEDS_QUIETLY("atlas", TOY, "--page", "--words", "words", "--out", "parts");
    assert_int_not_equal(access("parts/" LAST, F_OK), 0);
    char *table = slurp("parts/atlas.csv", NULL);
    assert_true(strstr(table, "\n31,") && !strstr(table, "\n32,"));
    free(table);
}

static void what_cannot_be_is_one_line(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY("atlas", TOY, "--channels", "0-3", "--size", "32", "--steps", "1", "--words",
                     "words", "--out", "a");
    REFUSED("layer9", "atlas", TOY, "--layer", "layer9", "--out", "b");
    REFUSED("no channel 300", "atlas", TOY, "--channels", "0-300", "--out", "b");
    REFUSED("expected the first and the last", "atlas", TOY, "--channels", "7", "--out", "b");
    REFUSED("its steps is 1, and this one's is 2", "atlas", TOY, "--steps", "2", "--out", "a");
    /* refused() takes one line: of the file, which is of four channels, nothing is said */
    REFUSED("its channels is 0-3", "atlas", TOY, "--channels", "0-1", "--out", "a");
    REFUSED("its channels is 0-3", "atlas", TOY, "--channels", "0-1", "--page", "--out", "a");
    REFUSED("its layer is LLP", "atlas", TOY, "--layer", "layer2", "--channels", "0-3", "--out",
            "a");
    REFUSED("holds no atlas", "atlas", TOY, "--page", "--out", "b");
    REFUSED("--words", "atlas", TOY, "--out", "a", "--words");
    REFUSED("nowhere", "atlas", TOY, "--out", "a", "--photos", "nowhere");
    REFUSED("takes no --page", "atlas", TOY, "--out", "a", "--page", "--shard", "1/2");
    /* nothing grows for a page that cannot be made */
    spill("latin", "moon\ncaf\xe9\n", 10);
    assert_int_equal(mkdir("none", 0777), 0);
    REFUSED("--layer is empty", "atlas", TOY, "--layer", "", "--out", "b");
    REFUSED("Is a directory", "atlas", TOY, "--words", "none", "--out", "b");
    REFUSED("latin: line 2 is not UTF-8", "atlas", TOY, "--words", "latin", "--out", "b");
    REFUSED("none has no pictures", "atlas", TOY, "--photos", "none", "--out", "b");
    REFUSED("opening \"\" (--photos): No such file", "atlas", TOY, "--photos", "", "--out", "b");
    assert_int_not_equal(access("b", F_OK), 0);
    spill("a/atlas.yml", "layer: LLP\n", 11);
    REFUSED("a/atlas.yml: it does not say its model", "atlas", TOY, "--page", "--out", "a");
    spill("a/atlas.yml", "size: 9999\n", 11);
    REFUSED("its size is \"9999\"", "atlas", TOY, "--page", "--out", "a");
}

static void has_photos(const char *folder, const char *const *cells, const char *const *names)
{
    char path[64];
    snprintf(path, sizeof path, "%s/atlas.csv", folder);
    char *table = slurp(path, NULL);
    snprintf(path, sizeof path, "%s/atlas.html", folder);
    char *page = slurp(path, NULL);
    for (int i = 0; i < 3; i++) {
        if (!strstr(table, cells[i])) fail_msg("%s has no %s: %s", folder, cells[i], table);
        if (!strstr(page, names[i])) fail_msg("%s/atlas.html has no %s", folder, names[i]);
    }
    if (strstr(page, "in/photos") || strstr(table, "in/photos")) fail_msg("%s: a path", folder);
    free(page);
    free(table);
}

/* Photos of one name in two folders; one with what a table quotes. */
static void photos_are_named_by_their_paths(void **state)
{
    (void)state;
    static const char *const files[] = {"in/photos/a/1.png", "in/photos/b/1.png",
                                        "in/photos/b/x, \"y\".png"};
    static const char *const folders[] = {"in", "in/photos", "in/photos/a", "in/photos/b"};
    static const char *const cells[] = {"a/1.png", "b/1.png", "b/x, \"\"y\"\".png"};
    static const char *const names[] = {"\"a/1.png\"", "\"b/1.png\"", "\"b/x, \\\"y\\\".png\""};
    uint8_t rgb[3 * 40 * 30];
    fv_picture p = {40, 30, rgb};
    char here[1024], list[4096];
    int n = 0;
    assert_non_null(getcwd(here, sizeof here));
    for (int i = 0; i < 4; i++) assert_int_equal(mkdir(folders[i], 0777), 0);
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * (size_t)(k + 7) * 31 >> 4);
        MUST(fv_picture_write(&p, files[k], NULL));
        n += snprintf(list + n, sizeof list - (size_t)n, "%s/%s\n", here, files[k]);
    }
    spill("list.txt", list, (size_t)n);
    SUCCEEDS_QUIETLY("atlas", TOY, "--channels", "0-3", "--size", "32", "--steps", "1", "--words",
                     "words", "--photos", "in/photos", "--out", "a");
    has_photos("a", cells, names);
    SUCCEEDS_QUIETLY("atlas", TOY, "--page", "--words", "words", "--photos", "list.txt", "--out",
                     "a"); /* of whole paths */
    has_photos("a", cells, names);
    /* each line is of seven fields, the photos' in quotes */
    char *table = slurp("a/atlas.csv", NULL);
    for (char *line = strchr(table, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        char *end = strchr(line, '\n'), *quote = strstr(line, ",\"");
        assert_true(quote && quote < end && end[-1] == '"');
        int commas = 0;
        for (char *at = line; at < quote; at++) commas += *at == ',';
        assert_int_equal(commas, 5);
    }
    free(table);
}

static void one_bad_photo_stops_nothing(void **state)
{
    (void)state;
    assert_int_equal(mkdir("photos", 0777), 0);
    uint8_t rgb[3 * 40 * 30];
    fv_picture p = {40, 30, rgb};
    for (int k = 0; k < 4; k++) {
        char name[32];
        for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * (size_t)(k + 7) * 31 >> 4);
        snprintf(name, sizeof name, "photos/p<%d>&.png", k);
        MUST(fv_picture_write(&p, name, NULL));
    }
    spill("photos/bad.jpg", "no picture", 10);
    process q = run("atlas", TOY, "--channels", "0-3", "--size", "32", "--steps", "1", "--words",
                    "words", "--photos", "photos", "--out", "a", "--json");
    assert_int_equal(q.status, 0);
    const char *end = strchr(q.err, '\n');
    assert_true(strstr(q.err, "photos/bad.jpg") && end && !end[1]);
    assert_non_null(strstr(q.out, "\"photos\":4,"));
    process_free(&q);
    char *page = slurp("a/atlas.html", NULL);
    assert_non_null(strstr(page, "\"names\":[\"p\\u003c"));
    assert_null(strstr(page, "photos/"));
    free(page);
}

/* Nothing in the page asks a network or a disk; its data end where its script does. */
static void the_page_holds_all_it_shows(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY(RUN, "--out", "a");
    char *page = slurp("a/atlas.html", NULL);
    static const char *const outside[] = {"http:", "https:", "src=\"",         "@import", "url(",
                                          "<link", "fetch(", "XMLHttpRequest", "@DATA@"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        if (strstr(page, outside[i])) fail_msg("the page has %s", outside[i]);
    assert_non_null(strstr(page, "default-src 'none'"));
    char *data = strstr(page, "id=\"data\">{\"model\":");
    assert_non_null(data);
    char *end = strstr(data, "</script>");
    assert_true(end && end[-1] == '}' && strstr(data, "data:image/jpeg;base64,/9j/") < end);
    *end = 0;
    static const char *const inside[] = {"{\"n\":4,",
                                         "{\"n\":37,",
                                         "\"moon\"",
                                         "\"月\"",
                                         "\"command\":[\"feavis neuron \",\"",
                                         "--checkpoint 'rn.pt"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        if (!strstr(data, inside[i])) fail_msg("the page has no %s", inside[i]);
    assert_null(strstr(data, "unpacked"));
    free(page);
    /* what a shell gets to read is the name */
    assert_int_equal(symlink(small("rn.pt"), "it's $(x) `y`.pt"), 0);
    SUCCEEDS_QUIETLY(RUN, "--out", "quoted", "--checkpoint", "it's $(x) `y`.pt");
    page = slurp("quoted/atlas.html", NULL);
    assert_non_null(strstr(page, " --checkpoint 'it'\\\\''s $(x) `y`.pt'"));
    free(page);
    char *out = SUCCEEDS("atlas", TOY, "moon", "--out", "a", "--top", "3", "--json");
    const char *line = out;
    for (int i = 1; i <= 3; i++, line = strchr(line, '\n') + 1) {
        char head[80];
        snprintf(head, sizeof head, "{\"kind\":\"channel\",\"text\":\"moon\",\"rank\":%d,", i);
        assert_int_equal(strncmp(line, head, strlen(head)), 0);
    }
    assert_int_equal(*line, 0);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_climb_alone_and_together),
        cmocka_unit_test(pulls_are_what_search_ranks_by),
        cmocka_unit_test_setup_teardown(a_run_goes_on_and_workers_agree, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_one_line, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(photos_are_named_by_their_paths, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(one_bad_photo_stops_nothing, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(the_page_holds_all_it_shows, begin, leave_toy_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
