/* What every test file starts with: cmocka, paths, and MUST. */
#ifndef FV_TESTS_CHECK_H
#define FV_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/status.h"

/* The call has to succeed; the message of one that does not is printed. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) fail_msg("%s: %s", #call, fv_error());                                     \
    } while (0)

/* The call has to fail with this code, and say these words. */
#define FAILS(call, code, words)                                                                   \
    do {                                                                                           \
        fv_status fails_status_ = (call);                                                          \
        if (fails_status_ != (code))                                                               \
            fail_msg("%s: gave %s, expected %s", #call, fv_status_name(fails_status_),             \
                     fv_status_name(code));                                                        \
        if (!strstr(fv_error(), (words)))                                                          \
            fail_msg("%s: said \"%s\", expected \"...%s...\"", #call, fv_error(), (words));        \
        if (strchr(fv_error(), '\n')) fail_msg("%s: more than one line", #call);                   \
    } while (0)

/* A path in the source tree; the runner sets FEAVIS_SOURCE. Valid for 8 more calls. */
static inline const char *source_file(const char *relative)
{
    static char path[8][1024];
    static int turn;
    const char *source = getenv("FEAVIS_SOURCE");
    char *out = path[turn++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", source ? source : ".", relative);
    return out;
}

/* |found - expected| / |expected|, Euclidean norms. */
static inline double relative_l2(const float *found, const float *expected, size_t count)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)found[i] - (double)expected[i];
        error += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return sqrt(error / norm);
}

/* The whole file; caller frees. */
static inline char *slurp(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    fclose(f);
    text[size] = 0;
    if (bytes) *bytes = (size_t)size;
    return text;
}

static inline void spill(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    if (!f) fail_msg("cannot write %s", path);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

/* The folder and all in it, if it is there. */
static inline void remove_tree(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Two files hold the same bytes. */
static inline void same_files(const char *a, const char *b)
{
    size_t n, m;
    char *x = slurp(a, &n), *y = slurp(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

#endif
