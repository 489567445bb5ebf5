/* The files of an index: of which model it is, pictures with any names, one more picture, a file
 * that is damaged or changes while it is read, two programs at once. On the toy BriVL of
 * tests/golden/towers/lite0. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/index.h"
#include "feavis/match.h"
#include "model/weights/weights.h"
#include "tests/toy.h"

static fv_model *model;

static void picture(const char *path, int kind)
{
    uint8_t rgb[16 * 16 * 3];
    for (int k = 0; k < (int)sizeof rgb; k++)
        rgb[k] = (uint8_t)((k * (kind + 3) + k / 48 * kind * 11) % 256);
    MUST(fv_picture_write(&(fv_picture){16, 16, rgb}, path, NULL));
}

/* Pictures 0, 1, 2 in made/album. */
static int begin(void **state)
{
    char path[64];
    (void)state;
    if (!model) open_towers(&model, "online");
    remove_tree("made");
    mkdir("made", 0777);
    mkdir("made/album", 0777);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "made/album/p%d.png", i);
        picture(path, i);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    fv_model_close(model);
    return 0;
}

typedef struct counter {
    int done, failures, stop_at;
} counter;

static bool count(void *user, int done, int all, const char *failure)
{
    counter *c = user;
    (void)all;
    if (failure)
        c->failures++;
    else
        c->done++;
    return !c->stop_at || done < c->stop_at;
}

/* The album into an index, a picture a batch; how many runs of the network it took. */
static int build(const char *path, bool half, int *resumed)
{
    fv_list l;
    counter c = {0};
    MUST(fv_list_pictures(&l, "made/album", NULL, NULL));
    MUST(fv_index_build(path, model, &l, 1, half, resumed, count, &c));
    fv_list_clear(&l);
    return c.done;
}

/* Which row is nearest to the picture's own. */
static const char *name_of(const char *index, const char *path, float *score)
{
    static char name[512];
    fv_embedder *e;
    fv_index *x;
    fv_hit hit;
    bool read;
    int found;
    float *row = malloc((size_t)fv_model_dim(model) * sizeof *row);
    MUST(fv_embedder_open(&e, model, 1));
    MUST(fv_embed_pictures(e, &(char *){(char *)(uintptr_t)path}, 1, row, &read, NULL, NULL));
    fv_embedder_close(e);
    assert_true(read);
    MUST(fv_index_open(&x, index));
    MUST(fv_index_search(x, model, row, 1, 1, &hit, &found));
    assert_int_equal(found, 1);
    snprintf(name, sizeof name, "%s", fv_index_name(x, hit.index));
    *score = hit.score;
    fv_index_close(x);
    free(row);
    return name;
}

static void an_index_of_another_model_is_refused(void **state)
{
    fv_model *momentum;
    fv_index *x;
    fv_hit hit;
    int found;
    (void)state;
    open_towers(&momentum, "momentum");
    float *query = calloc((size_t)fv_model_dim(model), sizeof *query);
    static const char *const paths[] = {"made/x.npy", "made/x.safetensors"};
    for (int i = 0; i < 4; i++) { /* of a .safetensors also without its record */
        if (i < 2) build(paths[i], false, NULL);
        if (i == 3) assert_int_equal(unlink("made/x.safetensors.from"), 0);
        MUST(fv_index_open(&x, paths[i % 2]));
        MUST(fv_index_search(x, model, query, 1, 1, &hit, &found));
        FAILS(fv_index_check(x, momentum), FV_ERR_ARGUMENT, fv_model_fingerprint(model));
        FAILS(fv_index_search(x, momentum, query, 1, 1, &hit, &found), FV_ERR_ARGUMENT,
              fv_model_fingerprint(momentum));
        fv_index_close(x);
    }
    free(query);
    fv_model_close(momentum);
}

/* An index without a record, of rows that are longer than a query. */
static void longer_rows_than_queries_are_refused(void **state)
{
    enum { ROWS = 2 };
    fv_index *x;
    fv_hit hit;
    int found, dim = fv_model_dim(model) * 64;
    (void)state;
    float *rows = calloc((size_t)(ROWS * dim), sizeof *rows);
    float *query = calloc((size_t)fv_model_dim(model), sizeof *query);
    MUST(fv_npy_save_f32("made/old.npy", rows, 2, (int64_t[]){ROWS, dim}));
    spill("made/old.npy.txt", "a\\n.png\nb.png\n", 14);
    MUST(fv_index_open(&x, "made/old.npy"));
    assert_string_equal(fv_index_name(x, 0), "a\\n.png"); /* as it is, in those times */
    FAILS(fv_index_search(x, model, query, 1, 1, &hit, &found), FV_ERR_SHAPE, "another model");
    fv_index_close(x);
    free(rows);
    /* and one of as long rows works */
    dim = fv_model_dim(model);
    rows = calloc((size_t)(ROWS * dim), sizeof *rows);
    MUST(fv_npy_save_f32("made/old.npy", rows, 2, (int64_t[]){ROWS, dim}));
    MUST(fv_index_open(&x, "made/old.npy"));
    MUST(fv_index_search(x, model, query, 1, 1, &hit, &found));
    fv_index_close(x);
    free(rows);
    free(query);
}

static void one_more_picture_costs_one(void **state)
{
    int resumed;
    (void)state;
    for (int kind = 0; kind < 3; kind++) { /* .npy, .safetensors, half */
        const char *path = kind ? "made/x.safetensors" : "made/x.npy",
                   *other = kind ? "made/y.safetensors" : "made/y.npy";
        bool half = kind == 2;
        begin(NULL);
        assert_int_equal(build(path, half, &resumed), 3);
        assert_int_equal(resumed, 0);
        assert_int_equal(build(path, half, &resumed), 0);
        assert_int_equal(resumed, 3);
        picture("made/album/p00.png", 7); /* comes second */
        assert_int_equal(build(path, half, &resumed), 1);
        assert_int_equal(resumed, 3);
        picture("made/album/p2.png", 9);
        struct timespec later[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 4000000000}};
        assert_int_equal(utimensat(AT_FDCWD, "made/album/p2.png", later, 0), 0);
        assert_int_equal(build(path, half, &resumed), 1);
        assert_int_equal(unlink("made/album/p1.png"), 0);
        assert_int_equal(build(path, half, &resumed), 0);
        assert_int_equal(resumed, 3);
        /* all of it is what making it at once gives */
        build(other, half, NULL);
        char a[64], b[64];
        static const char *const endings[] = {"", ".txt", ".from"};
        for (int i = 0; i < 3; i++) {
            snprintf(a, sizeof a, "%s%s", path, endings[i]);
            snprintf(b, sizeof b, "%s%s", other, endings[i]);
            same_files(a, b);
        }
        assert_true(access("made/x.npy.part", F_OK) != 0);
    }
    /* rows of 16 bits are no rows of 32 */
    assert_int_equal(build("made/x.safetensors", false, &resumed), 3);
}

/* The interrupted part counts too, whatever has become of the list. */
static void an_interrupted_run_goes_on_with_another_list(void **state)
{
    int resumed;
    char path[64];
    fv_list l;
    counter c = {.stop_at = 10};
    (void)state;
    begin(NULL);
    for (int i = 3; i < 12; i++) {
        snprintf(path, sizeof path, "made/album/q%02d.png", i);
        picture(path, i);
    }
    MUST(fv_list_pictures(&l, "made/album", NULL, NULL));
    assert_int_equal(fv_index_build("made/x.npy", model, &l, 1, false, NULL, count, &c),
                     FV_CANCELLED);
    fv_list_clear(&l);
    assert_int_equal(unlink("made/album/p0.png"), 0);
    picture("made/album/a.png", 20);
    assert_int_equal(build("made/x.npy", false, &resumed), 5);
    assert_int_equal(resumed, 7);
    build("made/y.npy", false, NULL);
    same_files("made/x.npy", "made/y.npy");
    same_files("made/x.npy.txt", "made/y.npy.txt");
}

static void pictures_with_any_name_are_found(void **state)
{
    static const char *const names[] = {"made/album/two\nlines.png",     "made/album/\xd6\xd0.png",
                                        "made/album/back\\slash\\n.png", "made/album/\"q\".png",
                                        "made/album/ space .png",        "made/album/cr\r.png"};
    enum { NAMES = sizeof names / sizeof names[0] };
    (void)state;
    begin(NULL);
    for (int i = 0; i < NAMES; i++) picture(names[i], 10 + i);
    build("made/x.npy", false, NULL);
    for (int i = 0; i < NAMES; i++) {
        float score;
        assert_string_equal(name_of("made/x.npy", names[i], &score), names[i]);
        assert_true(score > 0.999f);
    }
    int resumed;
    assert_int_equal(build("made/x.npy", false, &resumed), 0);
    assert_int_equal(resumed, NAMES + 3);
    char *text = slurp("made/x.npy.txt", NULL);
    assert_non_null(strstr(text, "made/album/two\\nlines.png\n"));
    assert_non_null(strstr(text, "made/album/\\xD6\\xD0.png\n"));
    free(text);
}

static void damaged_files_are_refused(void **state)
{
    fv_index *x;
    size_t size;
    (void)state;
    begin(NULL);
    build("made/x.npy", false, NULL);
    char *whole = slurp("made/x.npy", &size);
    spill("made/x.npy", whole, size - 4);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_FORMAT, "x.npy");
    spill("made/x.npy", whole, 100);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_FORMAT, "x.npy");
    spill("made/x.npy", "", 0);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_FORMAT, "x.npy");
    char *order = strchr(whole + 10, '<');
    assert_non_null(order);
    *order = '>';
    spill("made/x.npy", whole, size);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_UNSUPPORTED, "x.npy");
    *order = '<';
    char *rows = strchr(whole + 10, '(');
    assert_non_null(rows);
    memcpy(rows, "(999999999, 9999999), }", 23);
    spill("made/x.npy", whole, size);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_FORMAT, "x.npy");
    free(whole);
    begin(NULL);
    build("made/x.npy", false, NULL);
    char *record = slurp("made/x.npy.from", &size);
    spill("made/x.npy.from", record, size - 3);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_FORMAT, "x.npy.from is damaged");
    int resumed;
    assert_int_equal(build("made/x.npy", false, &resumed), 3); /* nothing to be trusted */
    free(record);
}

/* A row that is not what its record says is made again. */
static void a_damaged_row_is_made_again(void **state)
{
    int resumed;
    (void)state;
    begin(NULL);
    build("made/x.npy", false, NULL);
    build("made/y.npy", false, NULL);
    FILE *f = fopen("made/x.npy", "r+b");
    assert_non_null(f);
    fseek(f, -8, SEEK_END);
    fwrite("damage", 1, 6, f);
    fclose(f);
    assert_int_equal(build("made/x.npy", false, &resumed), 1);
    assert_int_equal(resumed, 2);
    same_files("made/x.npy", "made/y.npy");
}

static void an_index_that_shrinks_while_it_is_searched_is_an_error(void **state)
{
    fv_index *x;
    fv_hit hit;
    int found;
    (void)state;
    begin(NULL);
    for (int half = 0; half < 2; half++) {
        build("made/x.safetensors", half, NULL);
        float *query = calloc((size_t)fv_model_dim(model), sizeof *query);
        MUST(fv_index_open(&x, "made/x.safetensors"));
        assert_int_equal(truncate("made/x.safetensors", 200), 0);
        FAILS(fv_index_search(x, model, query, 1, 1, &hit, &found), FV_ERR_IO,
              "the file became shorter");
        fv_index_close(x);
        free(query);
        unlink("made/x.safetensors");
    }
}

/* Another program has the lock: one line, and nothing of its work is touched. */
static void two_builders_at_once_are_refused(void **state)
{
    int say[2], status;
    char byte;
    fv_list l;
    (void)state;
    begin(NULL);
    assert_int_equal(pipe(say), 0);
    MUST(fv_list_pictures(&l, "made/album", NULL, NULL));
    spill("made/x.npy.part.txt", "theirs", 6);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open("made/x.npy.part.txt", O_RDWR);
        if (flock(fd, LOCK_EX) != 0 || write(say[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(say[0], &byte, 1), 1);
    FAILS(fv_index_build("made/x.npy", model, &l, 1, false, NULL, NULL, NULL), FV_ERR_IO,
          "made/x.npy is being made by another program");
    char *theirs = slurp("made/x.npy.part.txt", NULL);
    assert_string_equal(theirs, "theirs");
    free(theirs);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(unlink("made/x.npy.part.txt"), 0);
    MUST(fv_index_build("made/x.npy", model, &l, 1, false, NULL, NULL, NULL));
    fv_list_clear(&l);
    close(say[0]);
    close(say[1]);
}

/* Killed between the files: rows of the new index, names of the old one. */
static void a_half_replaced_index_is_not_searched_but_finished(void **state)
{
    fv_index *x;
    size_t rows_size, from_size, names_size, old_size;
    int resumed;
    (void)state;
    begin(NULL);
    build("made/x.npy", false, NULL);
    char *old_names = slurp("made/x.npy.txt", &names_size),
         *old_from = slurp("made/x.npy.from", &old_size);
    assert_int_equal(unlink("made/album/p0.png"), 0);
    picture("made/album/a.png", 5);
    build("made/x.npy", false, NULL);
    char *rows = slurp("made/x.npy", &rows_size), *from = slurp("made/x.npy.from", &from_size);
    spill("made/x.npy.next", from, from_size);
    spill("made/x.npy.txt", old_names, names_size);
    spill("made/x.npy.from", old_from, old_size);
    FAILS(fv_index_open(&x, "made/x.npy"), FV_ERR_IO, "being replaced, or that was interrupted");
    assert_int_equal(build("made/x.npy", false, &resumed), 0);
    assert_int_equal(resumed, 3);
    float score;
    assert_string_equal(name_of("made/x.npy", "made/album/a.png", &score), "made/album/a.png");
    assert_true(score > 0.999f && access("made/x.npy.next", F_OK) != 0);
    /* killed before the rows had their name: the old index stays */
    memset(rows + rows_size - 8, 1, 4);
    spill("made/x.npy.next", old_from, old_size);
    assert_int_equal(build("made/x.npy", false, &resumed), 0);
    assert_int_equal(resumed, 3);
    assert_string_equal(name_of("made/x.npy", "made/album/a.png", &score), "made/album/a.png");
    free(old_names);
    free(old_from);
    free(rows);
    free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_of_another_model_is_refused),
        cmocka_unit_test(longer_rows_than_queries_are_refused),
        cmocka_unit_test(one_more_picture_costs_one),
        cmocka_unit_test(an_interrupted_run_goes_on_with_another_list),
        cmocka_unit_test(pictures_with_any_name_are_found),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_damaged_row_is_made_again),
        cmocka_unit_test(an_index_that_shrinks_while_it_is_searched_is_an_error),
        cmocka_unit_test(two_builders_at_once_are_refused),
        cmocka_unit_test(a_half_replaced_index_is_not_searched_but_finished),
    };
    return cmocka_run_group_tests_name("files of an index", tests, begin, end);
}
