/* search --export: the rows of an index in the files of other engines, byte for byte. The program
 * as people run it, with the toy BriVL of tests/golden/towers/lite0. */
#include <sys/stat.h>

#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

#define TOY "--quiet", "--preset", "toy.yml"

/* Three pictures, and their index as i.npy and, in 16 bits, h.safetensors. */
static int begin(void **state)
{
    (void)state;
    if (enter_toy_work("")) return -1;
    mkdir("pictures", 0777);
    for (int i = 0; i < 3; i++) {
        uint8_t rgb[30 * 20 * 3];
        char path[32];
        for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * (size_t)(i + 3) % 251);
        fv_picture p = {30, 20, rgb};
        snprintf(path, sizeof path, "pictures/%d.png", i);
        MUST(fv_picture_write(&p, path, NULL));
    }
    SUCCEEDS_QUIETLY("embed", TOY, "--images", "pictures", "--out", "i.npy");
    SUCCEEDS_QUIETLY("embed", TOY, "--images", "pictures", "--out", "h.safetensors", "--half");
    return 0;
}

/* faiss 1.15.1 reads this as an IndexFlatIP and gives the rows back to the bit. */
static void faiss_gets_header_and_rows(void **state)
{
    (void)state;
    size_t n, k;
    char *out = SUCCEEDS("search", "--index", "i.npy", "--export", "faiss", "--out", "i.faiss");
    assert_non_null(strstr(out, "i.faiss, i.faiss.txt: 3 rows of "));
    free(out);
    char *npy = slurp("i.npy", &n), *file = slurp("i.faiss", &k);
    int32_t dim, metric;
    int64_t rows, floats;
    memcpy(&dim, file + 4, 4);
    memcpy(&rows, file + 8, 8);
    memcpy(&metric, file + 33, 4);
    memcpy(&floats, file + 37, 8);
    assert_memory_equal(file, "IxFI", 4);
    assert_int_equal(rows, 3);
    assert_int_equal(file[32], 1);
    assert_int_equal(metric, 0);
    assert_int_equal(floats, 3 * dim);
    size_t bytes = 3 * (size_t)dim * 4;
    assert_int_equal(k, 45 + bytes);
    assert_memory_equal(file + 45, npy + n - bytes, bytes);
    free(npy);
    free(file);
    same_files("i.npy.txt", "i.faiss.txt");
}

static void numpy_gets_the_rows_as_floats(void **state)
{
    (void)state;
    size_t n, k;
    SUCCEEDS_QUIETLY("search", "--index", "i.npy", "--export", "npy", "--out", "j.npy");
    same_files("i.npy", "j.npy");
    SUCCEEDS_QUIETLY("search", "--index", "h.safetensors", "--export", "npy", "--out", "k.npy");
    char *full = slurp("i.npy", &n), *half = slurp("k.npy", &k);
    assert_int_equal(n, k);
    const float *a = (const float *)(const void *)(full + 128),
                *b = (const float *)(const void *)(half + 128);
    for (size_t i = 0; i < (n - 128) / 4; i++) /* of 11 bits; entries of unit vectors */
        if (fabsf(a[i] - b[i]) > 1.0f / 2048) fail_msg("number %zu", i);
    free(full);
    free(half);
}

static void names_of_others_stay(void)
{
    spill("notes.faiss.txt", "mine\n", 5);
    REFUSED("notes.faiss.txt, where the names go, is there already", "search", "--index", "i.npy",
            "--export", "faiss", "--out", "notes.faiss");
    assert_int_not_equal(access("notes.faiss", F_OK), 0);
    size_t n;
    char *mine = slurp("notes.faiss.txt", &n);
    assert_true(n == 5 && memcmp(mine, "mine\n", 5) == 0);
    free(mine);
    REFUSED("ends in .faiss", "search", "--index", "i.npy", "--export", "faiss", "--out", "k.npy");
    REFUSED("ends in .npy", "search", "--index", "i.npy", "--export", "npy", "--out", "k.faiss");
    REFUSED("the same file", "search", "--index", "i.npy", "--export", "npy", "--out", "i.npy.txt");
    assert_int_equal(link("i.npy", "hard.npy"), 0);
    assert_int_equal(symlink("i.npy.from", "from.npy"), 0);
    assert_int_equal(symlink("i.npy.txt", "n.npy.txt"), 0);
    static const char *const outs[] = {"hard.npy", "from.npy", "n.npy"};
    for (size_t i = 0; i < sizeof outs / sizeof outs[0]; i++)
        REFUSED("are the same file", "search", "--index", "i.npy", "--export", "npy", "--out",
                outs[i]);
    SUCCEEDS_QUIETLY("search", "--index", "i.npy", "--export", "faiss", "--out", "o.faiss");
    SUCCEEDS_QUIETLY("search", "--index", "i.npy", "--export", "faiss", "--out", "o.faiss");
}

static void it_is_said_what_an_index_loses(void **state)
{
    (void)state;
    process p = run("embed", TOY, "--images", "pictures", "--out", "i.npy");
    assert_true(p.status == 0 && !strstr(p.err, "i.npy"));
    process_free(&p);
    assert_int_equal(unlink("pictures/1.png"), 0);
    p = run("embed", TOY, "--images", "pictures", "--out", "i.npy");
    assert_int_equal(p.status, 0);
    assert_non_null(
        strstr(p.err, "feavis: i.npy had 3 rows, 1 of pictures that are not in it any more\n"));
    process_free(&p);
    p = run("embed", TOY, "--tower", "momentum", "--images", "pictures", "--out", "i.npy");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.err, "feavis: i.npy was of another model: its 2 rows are replaced\n"));
    process_free(&p);
}

static void what_cannot_be_exported_is_refused(void **state)
{
    (void)state;
    REFUSED("as faiss or npy, not as \"milvus\"", "search", "--index", "i.npy", "--export",
            "milvus", "--out", "x");
    assert_int_not_equal(access("x", F_OK), 0);
    REFUSED("go together", "search", "--index", "i.npy", "--export", "faiss");
    REFUSED("go together", "search", TOY, "moon", "--index", "i.npy", "--out", "x");
    REFUSED("takes no texts", "search", "moon", "--index", "i.npy", "--export", "npy", "--out",
            "x");
    REFUSED("are the same file", "search", "--index", "i.npy", "--export", "npy", "--out",
            "./i.npy");
    names_of_others_stay();
    REFUSED("No such file", "search", "--index", "gone.npy", "--export", "npy", "--out", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(faiss_gets_header_and_rows, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(numpy_gets_the_rows_as_floats, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(it_is_said_what_an_index_loses, begin, leave_toy_work),
        cmocka_unit_test_setup_teardown(what_cannot_be_exported_is_refused, begin, leave_toy_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
