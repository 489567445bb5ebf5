/* --shard I/N and gather: workers of a run make each picture once, whatever stops them; what they
 * made is what one worker would have made, byte for byte. The program as people run it, with the
 * toy BriVL of tests/golden/towers/lite0. */
#include <glob.h>
#include <sys/stat.h>
#include <time.h>

#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY "--quiet", "--preset", "toy.yml"
#define RUN "imagine", TOY, "--file", "poem", "--seeds", "2", "--gallery", "g"

static int begin(void **state)
{
    (void)state;
    if (enter_toy_work("steps: 3\nviews: 1\nsize: 72\nshift: 4\n")) return -1;
    spill("poem", "moon\nlake\nmoon\n", 15);
    return 0;
}

static int count_of(const char *pattern)
{
    glob_t g;
    int count = glob(pattern, 0, NULL, &g) == 0 ? (int)g.gl_pathc : 0;
    globfree(&g);
    return count;
}

static void workers_make_each_picture_once(void **state)
{
    (void)state;
    char *out = SUCCEEDS(RUN, "--shard", "1/2");
    assert_string_equal(out, "g/00001-moon-1.png\ng/00003-lake-1.png\ng/00005-moon-1.png\n");
    free(out);
    process p = run("gather", "g");
    assert_int_equal(p.status, 1);
    assert_non_null(strstr(p.out, "lacks g/00004-lake-2.png\n"));
    assert_non_null(strstr(p.out, "3 of 6 pictures\n"));
    assert_string_equal(p.err, "feavis: g lacks 3 of 6 pictures: the same command makes them, with "
                               "any --shard\n");
    process_free(&p);
    out = SUCCEEDS(RUN, "--shard", "3/3"); /* another number of workers: 3 and 6 of the six */
    assert_string_equal(out, "g/00006-moon-2.png\n");
    free(out);
    out = SUCCEEDS(RUN, "--shard", "1/1");
    assert_string_equal(out, "g/00002-moon-2.png\ng/00004-lake-2.png\n");
    free(out);
    out = SUCCEEDS(RUN, "--shard", "1/1");
    assert_string_equal(out, "");
    free(out);
    out = SUCCEEDS("gather", "g", "--json");
    assert_non_null(
        strstr(out, "{\"kind\":\"run\",\"folder\":\"g\",\"pictures\":6,\"lacking\":0}"));
    free(out);
    assert_int_equal(access("g/sheet.png", F_OK), 0);
    SUCCEEDS_QUIETLY("imagine", TOY, "lake", "--seed", "2", "--out", "one.png");
    same_files("one.png", "g/00004-lake-2.png");
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Stopped in the middle of a picture that would take minutes, until it has begun. */
static process stopped(int signal_number, const char *const *arguments)
{
    pid_t child = process_start(arguments, NULL, 0, 0);
    for (int i = 0; i < 600 && access("g/run.csv", F_OK) != 0; i++) sleep_ms(50);
    sleep_ms(700);
    kill(child, signal_number);
    return process_wait(child);
}

/* SIGTERM leaves a state and no picture; going on gives the bytes of a run that nothing stopped. */
static void what_was_stopped_goes_on(void **state)
{
    (void)state;
    static const char *const slow[] = {"imagine", TOY,   "moon",      "--steps", "400",
                                       "--shard", "1/1", "--gallery", "g",       NULL};
    process p = stopped(SIGTERM, slow);
    assert_int_equal(p.status, 130);
    assert_string_equal(p.out, "");
    process_free(&p);
    assert_int_equal(count_of("g/*.png"), 0);
    assert_int_equal(count_of("g/00001-moon-1.state.safetensors"), 1);
    p = run("gather", "g");
    assert_non_null(strstr(p.out, "lacks g/00001-moon-1.png (begun)\n"));
    process_free(&p);
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--steps", "400", "--shard", "1/1", "--gallery", "g");
    assert_int_equal(count_of("g/*.state.safetensors"), 0);
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--steps", "400", "--out", "whole.png");
    same_files("whole.png", "g/00001-moon-1.png");
}

/* kill -9 leaves neither picture nor part of one, and what was finished stays as it is. */
static void a_killed_worker_loses_no_picture(void **state)
{
    (void)state;
    struct stat before, after;
    SUCCEEDS_QUIETLY(RUN, "--shard", "1/3");
    assert_int_equal(stat("g/00001-moon-1.png", &before), 0);
    static const char *const worker[] = {RUN, "--shard", "2/3", NULL};
    pid_t child = process_start(worker, NULL, 0, 0);
    for (int i = 0; i < 600 && count_of("g/*.png") < 3; i++) sleep_ms(10); /* its first is there */
    kill(child, SIGKILL);
    process p = process_wait(child);
    process_free(&p);
    for (int i = 1; i <= 3; i++) {
        char part[16];
        snprintf(part, sizeof part, "%d/3", i);
        SUCCEEDS_QUIETLY(RUN, "--shard", part);
    }
    SUCCEEDS_QUIETLY("gather", "g");
    assert_int_equal(count_of("g/0*.png"), 6);
    assert_int_equal(stat("g/00001-moon-1.png", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void channels_are_shared_out(void **state)
{
    (void)state;
    free(SUCCEEDS("neuron", TOY, "0-4", "--gallery", "n", "--shard", "2/2"));
    assert_int_equal(count_of("n/0*.png"), 2);
    assert_int_equal(access("n/00002-llp-1-1.png", F_OK), 0);
    spill("channels", "7\n3,4:0.5\n", 10);
    char *out = SUCCEEDS("neuron", TOY, "--file", "channels", "--gallery", "m");
    assert_string_equal(out, "m/llp-7-1.png\nm/llp-3-4-0-5-1.png\n");
    free(out);
    SUCCEEDS_QUIETLY("neuron", TOY, "7", "--out", "seven.png");
    same_files("seven.png", "m/llp-7-1.png");
    REFUSED("takes channels or --file", "neuron", TOY, "7", "--file", "channels");
    spill("channels", "7\nmany\n", 7);
    REFUSED("line 2", "neuron", TOY, "--file", "channels");
}

static void wrong_shards_are_refused(void **state)
{
    static const char *const bad[] = {"", "1", "0/2", "3/2", "1/2x", "a/b", "-1/2", "1/0"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        REFUSED("expected a worker of several", RUN, "--shard", bad[i]);
    REFUSED("needs --gallery", "imagine", TOY, "moon", "--shard", "1/2");
    refused(run("imagine", "--quiet", "--preset", "toy.yml", "moon", "--shard", "1/2", "--gallery",
                "g", "--out", "x.png"),
            "takes no --out", "out");
    REFUSED("--diversity is from the pictures before", RUN, "--shard", "1/2", "--diversity", "1");
    process p = run(RUN, "--shard", "1/2", "--seed", "random"); /* says the seed, too */
    assert_int_equal(p.status, 1);
    assert_non_null(strstr(p.err, "each worker would draw a seed of its own"));
    process_free(&p);
    REFUSED("series takes no --shard", "series", TOY, "poem", "--shard", "1/2");
    SUCCEEDS_QUIETLY(RUN, "--shard", "1/2");
    REFUSED("is of another run: its line 2", RUN, "--shard", "2/2", "--steps", "2");
    spill("poem", "moon\nlake\nsun\n", 14);
    REFUSED("is of another run: its line 6", RUN, "--shard", "2/2");
}

static void gathering_what_is_no_run_is_refused(void **state)
{
    (void)state;
    mkdir("empty", 0777);
    REFUSED("gather needs the folder", "gather");
    REFUSED("empty is no folder of a run", "gather", "empty");
    REFUSED("expected a name that ends in", "gather", "gone");
    SUCCEEDS_QUIETLY(RUN, "--shard", "1/1");
    spill("g/run.csv", "picture,text\n../../etc/passwd.png,moon\n", 39);
    REFUSED("run.csv is damaged", "gather", "g");
    spill("g/00001-moon-1.png", "not a picture", 13);
    spill("g/run.csv", "picture,text\n00001-moon-1.png,moon\n", 35);
    REFUSED("g lacks 1 of 1 pictures", "gather", "g");
}

/* An empty file and the picture of another seed are no pictures of the run, and are made. */
static void what_is_not_the_picture_is_made_again(void **state)
{
    (void)state;
    SUCCEEDS_QUIETLY(RUN, "--shard", "1/1");
    SUCCEEDS_QUIETLY("gather", "g");
    rename("g/00004-lake-2.png", "lake.png");
    spill("g/00004-lake-2.png", "", 0);
    rename("g/00001-moon-1.png", "moon.png");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--seed", "7", "--out", "g/00001-moon-1.png");
    SUCCEEDS_QUIETLY("imagine", TOY, "moon", "--seed", "7", "--out", "seven.png");
    process p = run("gather", "g");
    assert_int_equal(p.status, 1);
    assert_non_null(strstr(p.out, "lacks g/00001-moon-1.png (of another recipe)\n"));
    assert_non_null(strstr(p.out, "lacks g/00004-lake-2.png (it cannot be read)\n"));
    assert_non_null(strstr(p.out, "4 of 6 pictures\n"));
    process_free(&p);
    char *out = SUCCEEDS(RUN, "--shard", "1/1");
    assert_string_equal(out, "g/00001-moon-1.png\ng/00004-lake-2.png\n");
    free(out);
    SUCCEEDS_QUIETLY("gather", "g");
    same_files("moon.png", "g/00001-moon-1.png");
    same_files("lake.png", "g/00004-lake-2.png");
    same_files("seven.png", "g/00001-moon-1-other-1.png");
}

/* Commas, quotes and weights of a text come back from run.csv as they are in the recipe. */
static void texts_with_signs_are_found_again(void **state)
{
    static const char poem[] = "moon, \"lake\"\nmoon:1 | lake:-0.5\n16\\:9\n";
    (void)state;
    spill("poem", poem, sizeof poem - 1);
    SUCCEEDS_QUIETLY("imagine", TOY, "--file", "poem", "--gallery", "s", "--shard", "1/1");
    SUCCEEDS_QUIETLY("gather", "s");
    char *out = SUCCEEDS("imagine", TOY, "--file", "poem", "--gallery", "s", "--shard", "1/1");
    assert_string_equal(out, "");
    free(out);
    SUCCEEDS_QUIETLY("neuron", TOY, "0-1", "--gallery", "n", "--shard", "1/1");
    SUCCEEDS_QUIETLY("gather", "n");
}

/* --- indexes --- */

static void index_of_shards_is_the_index_of_all(void **state)
{
    static const char *const endings[] = {"", ".txt", ".from"};
    (void)state;
    SUCCEEDS_QUIETLY(RUN, "--shard", "1/1"); /* pictures to embed */
    for (int kind = 0; kind < 2; kind++) {
        const char *shared = kind ? "i.safetensors" : "i.npy",
                   *whole = kind ? "w.safetensors" : "w.npy";
        const char *half = kind ? "--half" : "--quiet";
        for (int i = 1; i <= 4; i++) { /* six pictures: shards of 1 and 2 */
            char part[16];
            if (i == 3) REFUSED("lacks 2 of 4 shards: 3, 4", "gather", shared);
            snprintf(part, sizeof part, "%d/4", i);
            SUCCEEDS_QUIETLY("embed", TOY, "--images", "g", "--out", shared, "--shard", part, half);
        }
        char *out = SUCCEEDS("gather", shared);
        assert_non_null(strstr(out, "6 pictures of 4 shards"));
        free(out);
        SUCCEEDS_QUIETLY("embed", TOY, "--images", "g", "--out", whole, half);
        for (int i = 0; i < 3; i++) {
            char a[64], b[64];
            snprintf(a, sizeof a, "%s%s", shared, endings[i]);
            snprintf(b, sizeof b, "%s%s", whole, endings[i]);
            same_files(a, b);
        }
        assert_int_equal(count_of("*.part*") + count_of("*.next"), 0);
    }
    SUCCEEDS_QUIETLY("embed", TOY, "--images", "g", "--out", "i.npy", "--shard", "1/2");
    REFUSED("has shards of", "gather", "i.npy");
    REFUSED("has no shards beside it", "gather", "other.npy");
    REFUSED("work for 6 at most", "embed", TOY, "--images", "g", "--out", "k.npy", "--shard",
            "7/7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_make_each_picture_once, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(what_was_stopped_goes_on, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(a_killed_worker_loses_no_picture, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(channels_are_shared_out, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(wrong_shards_are_refused, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(gathering_what_is_no_run_is_refused, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(what_is_not_the_picture_is_made_again, begin,
                                        leave_toy_work),
        cmocka_unit_test_setup_teardown(texts_with_signs_are_found_again, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(index_of_shards_is_the_index_of_all, begin, leave_toy_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
