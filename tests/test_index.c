/* Embedding many pictures and searching them, on the toy BriVL of tests/golden/towers/lite0 (72
 * pixels): batches agree with single pictures, an interrupted index goes on to the same bytes, and
 * a search finds what sorting all products finds. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/index.h"
#include "feavis/match.h"
#include "model/weights/weights.h"
#include "tests/toy.h"

enum { PICTURES = 13, BROKEN = 7 };

static fv_model *model;
static fv_list pictures;

/* Pictures that differ, one of them broken. */
static int prepare(void **state)
{
    (void)state;
    open_towers(&model, "online");
    for (int i = 0; i < PICTURES; i++) {
        char name[32];
        uint8_t rgb[20 * 10 * 3];
        for (int k = 0; k < (int)sizeof rgb; k++)
            rgb[k] = (uint8_t)((k * (i + 3) + k / 60 * i * 11) % 256);
        snprintf(name, sizeof name, "p%02d.png", i);
        fv_picture p = {20, 10, rgb};
        MUST(fv_picture_write(&p, name, NULL));
        if (i == BROKEN) spill(name, "not a picture", 13);
        MUST(fv_list_add(&pictures, name));
    }
    return 0;
}

static int clean(void **state)
{
    (void)state;
    fv_list_clear(&pictures);
    fv_model_close(model);
    return 0;
}

typedef struct watcher {
    int calls, failures, stop_at; /* 0: never */
    char line[256];
} watcher;

static bool watch(void *user, int done, int count, const char *failure)
{
    watcher *w = user;
    assert_in_range(done, 1, count);
    w->calls++;
    if (failure) {
        w->failures++;
        snprintf(w->line, sizeof w->line, "%s", failure);
    }
    return !w->stop_at || done < w->stop_at;
}

/* A batch of any size is the pictures one by one: the same products, perhaps summed in another
 * order, hence 1e-6 on unit vectors. */
static void test_batches(void **state)
{
    size_t dim = (size_t)fv_model_dim(model);
    float *one = malloc(PICTURES * dim * sizeof *one),
          *many = malloc(PICTURES * dim * sizeof *many);
    bool read[PICTURES];
    (void)state;
    for (int batch = 1; batch <= 8; batch += 7) {
        fv_embedder *e;
        watcher w = {0};
        MUST(fv_embedder_open(&e, model, batch));
        MUST(fv_embed_pictures(e, pictures.at, PICTURES, batch == 1 ? one : many, read, watch, &w));
        fv_embedder_close(e);
        assert_int_equal(w.failures, 1);
        assert_non_null(strstr(w.line, "p07.png"));
        for (int i = 0; i < PICTURES; i++) assert_true(read[i] == (i != BROKEN));
    }
    for (size_t i = 0; i < PICTURES; i++) {
        double norm = 0;
        for (size_t k = 0; k < dim; k++) {
            float x = one[i * dim + k];
            norm += (double)x * (double)x;
            if (!(fabsf(x - many[i * dim + k]) <= 1e-6f))
                fail_msg("picture %zu, number %zu: %g alone, %g in a batch", i, k, (double)x,
                         (double)many[i * dim + k]);
        }
        assert_true(fabs(norm - (i != BROKEN)) < 1e-5);
    }
    assert_true(memcmp(one, one + dim, dim * sizeof *one) != 0);
    free(one);
    free(many);
}

static void test_interruption(void **state)
{
    int resumed = -1;
    (void)state;
    MUST(fv_index_build("whole.npy", model, &pictures, 1, false, &resumed, NULL, NULL));
    assert_int_equal(resumed, 0);
    assert_true(access("whole.npy.part", F_OK) != 0 && access("whole.npy.part.txt", F_OK) != 0);
    watcher w = {.stop_at = 10};
    assert_int_equal(fv_index_build("cut.npy", model, &pictures, 1, false, &resumed, watch, &w),
                     FV_CANCELLED);
    assert_true(access("cut.npy", F_OK) != 0);
    /* the machine stopped in the middle of a row and of a line */
    FILE *f = fopen("cut.npy.part", "ab");
    fwrite("abc", 1, 3, f);
    fclose(f);
    f = fopen("cut.npy.part.txt", "ab");
    fwrite("0123abcd 17", 1, 11, f);
    fclose(f);
    MUST(fv_index_build("cut.npy", model, &pictures, 1, false, &resumed, NULL, NULL));
    assert_int_equal(resumed, 7); /* whole pieces of eight batches, less the broken picture */
    same_files("cut.npy", "whole.npy");
    same_files("cut.npy.txt", "whole.npy.txt");
}

static void test_refusals(void **state)
{
    watcher w = {.stop_at = 10};
    fv_index *x;
    (void)state;
    assert_int_equal(fv_index_build("other.npy", model, &pictures, 1, false, NULL, watch, &w),
                     FV_CANCELLED);
    fv_model *momentum;
    open_towers(&momentum, "momentum");
    FAILS(fv_index_build("other.npy", momentum, &pictures, 1, false, NULL, NULL, NULL),
          FV_ERR_ARGUMENT, "another model");
    fv_model_close(momentum);
    FAILS(fv_index_build("a.txt", model, &pictures, 1, false, NULL, NULL, NULL), FV_ERR_ARGUMENT,
          ".npy");
    FAILS(fv_index_build("a.npy", model, &pictures, 1, true, NULL, NULL, NULL), FV_ERR_ARGUMENT,
          ".safetensors");
    fv_list broken = {.at = pictures.at + BROKEN, .count = 1};
    FAILS(fv_index_build("b.npy", model, &broken, 1, false, NULL, NULL, NULL), FV_ERR_FORMAT,
          "none of the 1 pictures");
    FAILS(fv_index_open(&x, "nowhere.npy"), FV_ERR_IO, "nowhere.npy");
    spill("whole.npy.txt", "p00.png\n", 8);
    FAILS(fv_index_open(&x, "whole.npy"), FV_ERR_FORMAT, "1 lines, but whole.npy has 12 rows");
    FAILS(fv_index_open(&x, "other.npy"), FV_ERR_IO, "other.npy is not finished");
}

/* Disk full: one line, and what was finished is there for the next run. */
static void test_full_disk(void **state)
{
    struct rlimit old, small;
    int resumed = -1;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 128 + 10 * (rlim_t)fv_model_dim(model) * sizeof(float);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fv_status s = fv_index_build("full.npy", model, &pictures, 1, false, NULL, NULL, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(s, FV_ERR_IO);
    assert_non_null(strstr(fv_error(), "writing full.npy.part: "));
    MUST(fv_index_build("full.npy", model, &pictures, 1, false, &resumed, NULL, NULL));
    assert_int_equal(resumed, 7);
    same_files("full.npy", "cut.npy");
}

/* Against sorting by hand; F16 rows are within 2^-11 of the others. */
static void test_search(void **state)
{
    static const char *const files[] = {"cut.npy", "half.safetensors", "float.safetensors"};
    size_t dim = (size_t)fv_model_dim(model);
    float *queries = malloc(2 * dim * sizeof *queries);
    (void)state;
    MUST(fv_index_build(files[1], model, &pictures, 8, true, NULL, NULL, NULL));
    MUST(fv_index_build(files[2], model, &pictures, 8, false, NULL, NULL, NULL));
    MUST(fv_model_embed_text(model, "moon", queries, NULL));
    MUST(fv_model_embed_text(model, "山", queries + dim, NULL));
    fv_npy *a;
    MUST(fv_npy_open(&a, "cut.npy"));
    const float *rows = fv_npy_entry(a)->data;
    for (int f = 0; f < 3; f++) {
        fv_index *x;
        fv_hit hits[2 * 5];
        int found;
        MUST(fv_index_open(&x, files[f]));
        assert_int_equal(fv_index_count(x), PICTURES - 1);
        MUST(fv_index_search(x, model, queries, 2, 5, hits, &found));
        assert_int_equal(found, 5);
        for (int q = 0; q < 2; q++) {
            float scores[PICTURES - 1];
            for (size_t i = 0; i < PICTURES - 1; i++) {
                double sum = 0;
                for (size_t k = 0; k < dim; k++)
                    sum += (double)rows[i * dim + k] * (double)queries[(size_t)q * dim + k];
                scores[i] = (float)sum;
            }
            fv_hit best[5];
            fv_top(scores, PICTURES - 1, 1, 5, best);
            for (int k = 0; k < 5; k++) {
                const fv_hit *h = &hits[q * 5 + k];
                float tolerance = f == 1 ? 1e-3f : 1e-6f;
                assert_true(fabsf(h->score - best[k].score) <= tolerance);
                assert_true(fabsf(h->score - scores[h->index]) <= tolerance);
                if (k) assert_true(h->score <= hits[q * 5 + k - 1].score);
            }
        }
        assert_string_equal(fv_index_name(x, BROKEN), "p08.png");
        MUST(fv_index_search(x, model, queries, 1, 5, hits, &found));
        FAILS(fv_index_search(x, model, queries, 0, 5, hits, &found), FV_ERR_ARGUMENT, "0 texts");
        fv_index_close(x);
    }
    fv_npy_close(a);
    free(queries);
}

/* More rows than one block, and products of more columns than one. */
static void test_blocks(void **state)
{
    enum { A = 4100, B = 1030 };
    size_t dim = (size_t)fv_model_dim(model);
    float *a = malloc(A * dim * sizeof *a), *b = malloc(B * dim * sizeof *b);
    float *out = malloc((size_t)A * B * sizeof *out);
    (void)state;
    for (size_t i = 0; i < A * dim; i++) a[i] = (float)((i * 7919) % 13) - 6;
    for (size_t i = 0; i < B * dim; i++) b[i] = (float)((i * 104729) % 11) - 5;
    MUST(fv_similarities(model, a, A, b, B, out));
    static const size_t at[][2] = {{0, 0}, {4095, 1023}, {4096, 1024}, {A - 1, B - 1}, {17, 1025}};
    for (size_t n = 0; n < sizeof at / sizeof at[0]; n++) {
        double sum = 0; /* whole numbers below 2^24: exact in float */
        for (size_t k = 0; k < dim; k++)
            sum += (double)a[at[n][0] * dim + k] * (double)b[at[n][1] * dim + k];
        assert_true(out[at[n][0] * B + at[n][1]] == (float)sum);
    }
    free(a);
    free(b);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),  cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_search),   cmocka_unit_test(test_blocks),
    };
    for (int i = 0; i < 9; i++) { /* of an earlier run */
        static const char *const old[] = {
            "cut.npy",           "cut.npy.part",       "cut.npy.part.txt",
            "other.npy.part",    "other.npy.part.txt", "full.npy.part",
            "full.npy.part.txt", "b.npy.part",         "b.npy.part.txt"};
        unlink(old[i]);
    }
    return cmocka_run_group_tests(tests, prepare, clean);
}
