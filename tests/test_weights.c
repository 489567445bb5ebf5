/* Checkpoints of all formats against the values that PyTorch wrote (tests/golden/make_odd.py),
 * conversions against ldexp, saving, .npy, and the names of files that are no checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/files/files.h"
#include "model/weights/weights.h"

enum { PATH_BYTES = 1024 };

static char scratch[] = "weights-XXXXXX";

static const char *golden(const char *name)
{
    static char path[PATH_BYTES];
    const char *source = getenv("FEAVIS_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/weights/%s", source ? source : ".", name);
    return path;
}

static const char *in_scratch(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static fv_weights *open_golden(const char *name)
{
    fv_weights *w;
    if (fv_weights_open(&w, golden(name)) != FV_OK) fail_msg("%s", fv_error());
    return w;
}

/* Equal as numbers, with the sign of zeros; all NaN are equal. */
static bool same(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b && !signbit(a) == !signbit(b);
}

static void assert_fails(fv_status found, fv_status wanted, const char *words)
{
    if (found != wanted || !strstr(fv_error(), words))
        fail_msg("status %s, \"%s\"; expected %s, \"...%s...\"", fv_status_name(found), fv_error(),
                 fv_status_name(wanted), words);
}

static size_t scratch_files(void)
{
    size_t n = 0;
    DIR *d = opendir(scratch);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) /* hidden ones too */
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

/* --- Reading --- */

static fv_file_dtype dtype_of(const char *name)
{
    static const struct {
        const char *name;
        fv_file_dtype dtype;
    } other[] = {
        {"learnable.f16", FV_FILE_F16},
        {"learnable.bf16", FV_FILE_BF16},
        {"learnable.f64", FV_FILE_F64},
        {"learnable.i64", FV_FILE_I64},
        {"learnable.i32", FV_FILE_I32},
        {"learnable.i16", FV_FILE_I16},
        {"learnable.i8", FV_FILE_I8},
        {"learnable.u8", FV_FILE_U8},
        {"learnable.bool", FV_FILE_BOOL},
        {"learnable.scalar", FV_FILE_I64},
        {"learnable.module.1.num_batches_tracked", FV_FILE_I64},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(name, other[i].name) == 0) return other[i].dtype;
    return FV_FILE_F32;
}

static void assert_same_values(const fv_entry *e, const fv_entry *wanted)
{
    size_t n = fv_entry_count(wanted);
    assert_int_equal(fv_entry_count(e), n);
    double *want = malloc((n + 1) * sizeof *want), *f64 = malloc((n + 1) * sizeof *f64);
    float *f32 = malloc((n + 1) * sizeof *f32);
    fv_entry_read_f64(wanted, want);
    fv_entry_read_f64(e, f64);
    fv_entry_read_f32(e, f32);
    for (size_t i = 0; i < n; i++)
        if (!same(f64[i], want[i]) || !same((double)f32[i], (double)(float)want[i]))
            fail_msg("%s, element %zu: %.17g and %.9g, expected %.17g", e->name, i, f64[i],
                     (double)f32[i], want[i]);
    free(want);
    free(f64);
    free(f32);
}

static void check_values(const char *name, const char *format)
{
    fv_weights *w = open_golden(name), *values = open_golden("values.safetensors");
    assert_string_equal(fv_weights_format(w), format);
    assert_int_equal(fv_weights_count(values), 33);
    assert_int_equal(fv_weights_count(w), 33);
    for (size_t i = 0; i < 33; i++) {
        const fv_entry *wanted = fv_weights_at(values, i);
        const fv_entry *e = fv_weights_find(w, wanted->name);
        if (!e) fail_msg("%s: %s is missing", name, wanted->name);
        assert_int_equal(wanted->dtype, FV_FILE_F64);
        assert_int_equal(e->dtype, dtype_of(e->name));
        assert_int_equal(e->ndim, wanted->ndim);
        assert_memory_equal(e->dims, wanted->dims, (size_t)e->ndim * sizeof *e->dims);
        assert_same_values(e, wanted);
    }
    fv_weights_close(w);
    fv_weights_close(values);
}

static void test_values(void **state)
{
    (void)state;
    check_values("odd.pth", "torch zip");
    check_values("odd_protocol4.pth", "torch zip");
    check_values("odd_legacy.pth", "torch legacy");
    check_values("odd.safetensors", "safetensors");
}

/* Some values by hand, so that not everything rests on the reader of values.safetensors. */
static void test_known_values(void **state)
{
    (void)state;
    fv_weights *w = open_golden("odd_legacy.pth");
    double v[24];
    float f[24];
    const fv_entry *e = fv_weights_find(w, "learnable.transposed");
    assert_int_equal(e->dims[0], 6);
    assert_int_equal(e->dims[1], 4);
    assert_int_equal(e->strides[0], 1);
    assert_int_equal(e->strides[1], 6);
    fv_entry_read_f32(e, f);
    for (int i = 0; i < 24; i++) assert_true(f[i] == (float)(i / 4 + i % 4 * 6));
    e = fv_weights_find(w, "learnable.permuted");
    fv_entry_read_f64(e, v);
    for (int i = 0; i < 24; i++) assert_true(v[i] == i / 2 + i % 2 * 12);
    assert_true(fv_weights_find(w, "learnable.shared")->data ==
                fv_weights_find(w, "learnable.transposed")->data);
    e = fv_weights_find(w, "learnable.scalar");
    assert_int_equal(e->ndim, 0);
    assert_int_equal(fv_entry_count(e), 1);
    fv_entry_read_f64(e, v);
    assert_true(v[0] == 5);
    e = fv_weights_find(w, "learnable.i64");
    fv_entry_read_f64(e, v);
    assert_true(v[0] == -1 && v[1] == 1099511627776.0);
    e = fv_weights_find(w, "optimizer.state.0.exp_avg");
    fv_entry_read_f32(e, f);
    assert_true(f[0] == 0.2f && f[1] == 0.4f);
    fv_weights_close(w);
}

static void test_names(void **state)
{
    (void)state;
    fv_weights *w = open_golden("odd.pth");
    assert_string_equal(fv_weights_path(w), golden("odd.pth"));
    assert_string_equal(fv_weights_at(w, 0)->name, "learnable.f32");
    assert_string_equal(fv_weights_at(w, 1)->name, "learnable.f16");
    for (size_t i = 0; i < fv_weights_count(w); i++)
        assert_ptr_equal(fv_weights_find(w, fv_weights_at(w, i)->name), fv_weights_at(w, i));
    static const char *const absent[] = {
        "",    "f32",    "learnable",      "epoch",        "lr", "learnable.f3", "learnable.f32.",
        "big", "list.0", "learnable.f320", "Learnable.f32"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_null(fv_weights_find(w, absent[i]));
    assert_null(fv_weights_metadata(w, "format"));
    fv_weights_close(w);
    fv_weights_close(NULL);
}

static void test_metadata(void **state)
{
    (void)state;
    fv_weights *w = open_golden("odd.safetensors");
    assert_string_equal(fv_weights_metadata(w, "format"), "pt");
    assert_string_equal(fv_weights_metadata(w, "quote\""), "tab\t\xe5\xad\x97");
    assert_null(fv_weights_metadata(w, "quote"));
    assert_null(fv_weights_find(w, "__metadata__"));
    fv_weights_close(w);
}

/* --- What the reader does not know --- */

static const fv_entry *must_need(const fv_weights *w, const char *name)
{
    const fv_entry *e;
    if (fv_weights_need(w, name, &e) != FV_OK) fail_msg("%s", fv_error());
    return e;
}

/* Every tensor under `prefix` of foreign_values.safetensors is in the file, with its values. */
static size_t check_foreign(const fv_weights *w, const char *prefix)
{
    fv_weights *values = open_golden("foreign_values.safetensors");
    size_t n = strlen(prefix), found = 0;
    for (size_t i = 0; i < fv_weights_count(values); i++) {
        const fv_entry *wanted = fv_weights_at(values, i);
        if (strncmp(wanted->name, prefix, n) != 0) continue;
        const fv_entry *e = must_need(w, wanted->name + n);
        assert_int_equal(e->ndim, wanted->ndim);
        assert_memory_equal(e->dims, wanted->dims, (size_t)e->ndim * sizeof *e->dims);
        assert_same_values(e, wanted);
        found++;
    }
    fv_weights_close(values);
    return found;
}

/* Classes as keys, cfg objects, dates, enums, arrays, tensors of other classes and with attributes
 * of their own: the tensors around them are read. */
static void objects_of_unknown_classes_stop_nothing(void **state)
{
    static const char *const files[] = {"foreign.pth", "foreign_protocol4.pth",
                                        "foreign_legacy.pth"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        fv_weights *w = open_golden(files[i]);
        const fv_entry *e;
        assert_int_equal(check_foreign(w, "foreign:"), 12);
        assert_int_equal(fv_weights_count(w), 16);
        assert_null(fv_weights_find(w, "callbacks.best")); /* its key is a class */
        assert_fails(fv_weights_need(w, "box.inside", &e), FV_ERR_UNSUPPORTED,
                     "tensor box.inside would be part of what is not read (box: made by "
                     "'somewhere.else_.Box')");
        assert_fails(fv_weights_need(w, "sparse", &e), FV_ERR_UNSUPPORTED,
                     "(sparse: made by 'torch._utils._rebuild_sparse_tensor')");
        assert_fails(fv_weights_need(w, "boxes", &e), FV_ERR_FORMAT, "tensor boxes is missing");
        assert_int_equal(fv_weights_note_count(w), 14);
        assert_string_equal(fv_weights_note_at(w, 0), "cfg.deep: made by 'somewhere.else_.Cfg'");
        fv_weights_close(w);
    }
}

static void dtypes_that_cannot_be_read_are_listed_and_refused_by_name(void **state)
{
    static const struct {
        const char *file, *name, *dtype;
        int64_t numbers;
    } listed[] = {
        {"foreign.pth", "listed.c64", "C64", 1},
        {"foreign.pth", "listed.c128", "C128", 1},
        {"foreign.pth", "listed.quantised", "QU8", 2},
        {"foreign_legacy.pth", "listed.fnuz", "F8_E4M3FNUZ", 3},
        {"types.safetensors", "e8m0", "F8_E8M0", 1},
        {"types.safetensors", "c64", "C64", 1},
        {"types.safetensors", "f4", "F4", 4},
        {"types.safetensors", "f6", "F6_E2M3", 4},
    };
    static const struct {
        const char *name;
        double first;
    } read[] = {{"u16", 7},  {"u32", 0x1p31}, {"u64", 0x1p63},
                {"e4m3", 1}, {"e5m2", 1},     {"f32", .5}};
    (void)state;
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        fv_weights *w = open_golden(listed[i].file);
        const fv_entry *e = fv_weights_find(w, listed[i].name), *none;
        char words[64];
        float f[4];
        assert_non_null(e);
        assert_string_equal(fv_entry_dtype_name(e), listed[i].dtype);
        assert_int_equal(fv_entry_count(e), listed[i].numbers);
        snprintf(words, sizeof words, "has elements of type %s", listed[i].dtype);
        assert_fails(fv_weights_need(w, listed[i].name, &none), FV_ERR_UNSUPPORTED, words);
        assert_null(none);
        fv_entry_read_f32(e, f); /* whoever reads them all the same gets no numbers */
        assert_true(isnan(f[0]));
        fv_weights_close(w);
    }
    fv_weights *w = open_golden("types.safetensors");
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        double v[2];
        fv_entry_read_f64(must_need(w, read[i].name), v);
        assert_true(v[0] == read[i].first);
    }
    fv_weights_close(w);
}

static void modules_have_the_names_of_their_state_dict(void **state)
{
    static const char *const files[] = {"module.pth", "script.pt"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fv_weights *w = open_golden(files[i]);
        assert_int_equal(check_foreign(w, "net:"), 5);
        assert_int_equal(fv_weights_count(w), 5);
        assert_int_equal(fv_weights_note_count(w), 0);
        fv_weights_close(w);
    }
}

/* --- Conversions --- */

/* An IEEE number of 16 bits with `mantissa` mantissa bits, from the definition. */
static double from_16_bits(uint32_t bits, int mantissa)
{
    int width = 15 - mantissa, bias = (1 << (width - 1)) - 1;
    int exponent = (int)(bits >> mantissa) & ((1 << width) - 1);
    int fraction = (int)(bits & ((1u << mantissa) - 1));
    double v;
    if (exponent == (1 << width) - 1) {
        v = fraction ? (double)NAN : (double)INFINITY;
    } else if (exponent == 0) {
        v = ldexp(fraction, 1 - bias - mantissa);
    } else {
        v = ldexp(fraction + (1 << mantissa), exponent - bias - mantissa);
    }
    return bits & 0x8000 ? -v : v;
}

static void check_16_bits(fv_file_dtype dtype, int mantissa)
{
    enum { ALL = 1 << 16 };
    uint8_t *bytes = malloc(2 * ALL + 1); /* from an odd address, as in a file */
    float *f32 = malloc(ALL * sizeof *f32);
    double *f64 = malloc(ALL * sizeof *f64);
    for (uint32_t i = 0; i < ALL; i++) memcpy(bytes + 1 + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    fv_entry e = {
        .name = "all", .dtype = dtype, .ndim = 1, .dims = {ALL}, .strides = {1}, .data = bytes + 1};
    fv_entry_read_f32(&e, f32);
    fv_entry_read_f64(&e, f64);
    for (uint32_t i = 0; i < ALL; i++) {
        double want = from_16_bits(i, mantissa);
        if (!same(f64[i], want) || !same((double)f32[i], want))
            fail_msg("%s 0x%04x: %.9g and %.9g, expected %.9g", fv_file_dtype_name(dtype), i,
                     (double)f32[i], f64[i], want);
    }
    free(bytes);
    free(f32);
    free(f64);
}

static void test_sixteen_bits(void **state)
{
    (void)state;
    check_16_bits(FV_FILE_F16, 10);
    check_16_bits(FV_FILE_BF16, 7);
}

/* Every number of 8 bits, from the definition: E5M2 is an IEEE number, E4M3 has no infinity. */
static void eight_bits_are_read_as_defined(void **state)
{
    uint8_t bytes[256];
    double found[256];
    (void)state;
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    fv_entry e = {.name = "all",
                  .dtype = FV_FILE_F8_E5M2,
                  .ndim = 1,
                  .dims = {256},
                  .strides = {1},
                  .data = bytes};
    fv_entry_read_f64(&e, found);
    for (uint32_t i = 0; i < 256; i++) assert_true(same(found[i], from_16_bits(i << 8, 10)));
    e.dtype = FV_FILE_F8_E4M3;
    fv_entry_read_f64(&e, found);
    for (int i = 0; i < 256; i++) {
        int exponent = i >> 3 & 15, fraction = i & 7;
        double v = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
        if ((i & 127) == 127) v = (double)NAN;
        assert_true(same(found[i], i & 128 ? -v : v));
    }
}

static void test_extremes(void **state)
{
    (void)state;
    const int64_t i64[] = {INT64_MIN, INT64_MAX, 0};
    const double f64[] = {1e300, 1 + 0x1p-25, 0x1p-160};
    fv_entry e = {
        .name = "x", .dtype = FV_FILE_I64, .ndim = 1, .dims = {3}, .strides = {1}, .data = i64};
    double d[3];
    float f[3];
    fv_entry_read_f64(&e, d);
    assert_true(d[0] == -0x1p63 && d[1] == 0x1p63 && d[2] == 0);
    fv_entry_read_f32(&e, f);
    assert_true(f[0] == -0x1p63f && f[1] == 0x1p63f && f[2] == 0);
    e.dtype = FV_FILE_F64;
    e.data = f64;
    fv_entry_read_f32(&e, f);
    assert_true(isinf(f[0]) && f[1] == 1 && f[2] == 0);
    const uint8_t truths[] = {0, 1, 7}; /* any other byte than 0 is true */
    e.dtype = FV_FILE_BOOL;
    e.data = truths;
    fv_entry_read_f32(&e, f);
    assert_true(f[0] == 0 && f[1] == 1 && f[2] == 1);
}

/* --- Saving --- */

static void test_round_trip(void **state)
{
    (void)state;
    const float f32[] = {1.5f, -0.0f, 3e-45f, INFINITY, NAN, 1e30f};
    const int64_t i64[] = {INT64_MIN, -7, INT64_MAX};
    const float f16[] = {1, 2, 3};
    const fv_save_entry entries[] = {
        {"half", FV_FILE_F16, 1, {3}, f16},
        {"a \"quoted\\name\"\n\xe5\xad\x97", FV_FILE_F32, 3, {1, 3, 2}, f32},
        {"integers", FV_FILE_I64, 1, {3}, i64},
        {"scalar", FV_FILE_F32, 0, {0}, f32},
        {"empty", FV_FILE_F32, 2, {0, 4}, NULL},
        {"", FV_FILE_I64, 0, {0}, i64 + 1},
    };
    const char *const metadata[] = {"licence", "CC0 \"x\"", "note", "\xe5\xad\x97\x01", NULL};
    const char *path = in_scratch("round.safetensors");
    assert_int_equal(fv_weights_save(path, entries, 6, metadata), FV_OK);
    fv_weights *w;
    if (fv_weights_open(&w, path) != FV_OK) fail_msg("%s", fv_error());
    assert_int_equal(fv_weights_count(w), 6);
    double v[6];
    for (size_t i = 0; i < 6; i++) {
        const fv_entry *e = fv_weights_at(w, i);
        assert_string_equal(e->name, entries[i].name);
        assert_int_equal(e->dtype, entries[i].dtype);
        assert_int_equal(e->ndim, entries[i].ndim);
        assert_memory_equal(e->dims, entries[i].dims, (size_t)e->ndim * sizeof *e->dims);
        size_t width = e->dtype == FV_FILE_I64 ? 8 : e->dtype == FV_FILE_F32 ? 4 : 2;
        assert_int_equal((uintptr_t)e->data % width, 0);
        fv_entry_read_f64(e, v);
        if (e->dtype == FV_FILE_I64)
            assert_memory_equal(e->data, entries[i].data, 8 * fv_entry_count(e));
        else
            for (size_t k = 0; k < fv_entry_count(e); k++)
                assert_true(same(v[k], (double)((const float *)entries[i].data)[k]));
    }
    assert_string_equal(fv_weights_metadata(w, "licence"), "CC0 \"x\"");
    assert_string_equal(fv_weights_metadata(w, "note"), "\xe5\xad\x97\x01");
    fv_weights_close(w);
    assert_int_equal(fv_weights_save(path, NULL, 0, NULL), FV_OK); /* over the old one */
    assert_int_equal(fv_weights_open(&w, path), FV_OK);
    assert_int_equal(fv_weights_count(w), 0);
    assert_null(fv_weights_find(w, "half"));
    fv_weights_close(w);
    unlink(path);
    assert_int_equal(scratch_files(), 0);
}

/* A file begins with the length of its header, in which the beginning of a pickle may be found. */
static void headers_of_any_length_are_safetensors(void **state)
{
    (void)state;
    const char *path = in_scratch("length.safetensors");
    const float one = 1;
    const fv_save_entry entry = {"one", FV_FILE_F32, 0, {0}, &one};
    bool like_pickle = false;
    for (size_t n = 1; n < 1600; n += 8) {
        char note[1600] = {0};
        memset(note, 'x', n);
        const char *const metadata[] = {"note", note, NULL};
        assert_int_equal(fv_weights_save(path, &entry, 1, metadata), FV_OK);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        int first = getc(f), second = getc(f);
        fclose(f);
        like_pickle = like_pickle || (first == 0x80 && second <= 5);
        fv_weights *w;
        if (fv_weights_open(&w, path) != FV_OK) fail_msg("%zu: %s", n, fv_error());
        assert_non_null(fv_weights_find(w, "one"));
        fv_weights_close(w);
    }
    assert_true(like_pickle);
    unlink(path);
}

/* Every half, the number halfway to the next one, and its neighbours: nearest, ties to even. */
static void test_half_rounding(void **state)
{
    (void)state;
    enum { HALVES = 0x7c00 }; /* the finite ones from 0 up; 65536 stands for infinity */
    float *values = malloc(HALVES * 8 * sizeof *values);
    double *want = malloc(HALVES * 8 * sizeof *want), *found = malloc(HALVES * 8 * sizeof *found);
    size_t n = 0;
    for (uint32_t h = 0; h < HALVES; h++) {
        double low = from_16_bits(h, 10), next = h + 1 == HALVES ? 65536 : from_16_bits(h + 1, 10);
        double high = h + 1 == HALVES ? (double)INFINITY : next;
        float middle = (float)((low + next) / 2); /* exact: one more bit than a half */
        const float v[4] = {(float)low, nextafterf(middle, 0), middle,
                            nextafterf(middle, INFINITY)};
        const double w[4] = {low, low, h % 2 ? high : low, high};
        for (int i = 0; i < 4; i++, n += 2) {
            values[n] = v[i];
            values[n + 1] = -v[i];
            want[n] = w[i];
            want[n + 1] = -w[i];
        }
    }
    const fv_save_entry e = {"h", FV_FILE_F16, 1, {(int64_t)n}, values};
    const char *path = in_scratch("half.safetensors");
    assert_int_equal(fv_weights_save(path, &e, 1, NULL), FV_OK);
    fv_weights *w;
    assert_int_equal(fv_weights_open(&w, path), FV_OK);
    fv_entry_read_f64(fv_weights_find(w, "h"), found);
    for (size_t i = 0; i < n; i++)
        if (!same(found[i], want[i]))
            fail_msg("%.9g became %.9g, expected %.9g", (double)values[i], found[i], want[i]);
    fv_weights_close(w);
    unlink(path);
    free(values);
    free(want);
    free(found);
}

static void test_save_refuses(void **state)
{
    (void)state;
    const float f[4] = {0};
    const fv_save_entry good = {"a", FV_FILE_F32, 1, {4}, f};
    const struct {
        fv_save_entry entry;
        const char *words;
    } bad[] = {
        {{"a", FV_FILE_F32, 1, {4}, f}, "two tensors are named a"},
        {{"__metadata__", FV_FILE_F32, 1, {4}, f}, "__metadata__"},
        {{"b\xff", FV_FILE_F32, 1, {4}, f}, "name"},
        {{"b", FV_FILE_BF16, 1, {4}, f}, "BF16"},
        {{"b", FV_FILE_F32, 1, {-4}, f}, "dims"},
        {{"b", FV_FILE_F32, 2, {1LL << 40, 1LL << 40}, f}, "dims"},
        {{"b", FV_FILE_F32, 9, {1}, f}, "9 dims"},
    };
    const char *path = in_scratch("bad.safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const fv_save_entry entries[] = {good, bad[i].entry};
        assert_fails(fv_weights_save(path, entries, 2, NULL), FV_ERR_ARGUMENT, bad[i].words);
    }
    const char *const alone[] = {"key", NULL}, *const latin[] = {"key", "\xe9", NULL};
    assert_fails(fv_weights_save(path, &good, 1, alone), FV_ERR_ARGUMENT, "metadata");
    assert_fails(fv_weights_save(path, &good, 1, latin), FV_ERR_ARGUMENT, "metadata");
    assert_int_equal(scratch_files(), 0);
}

/* --- Files --- */

static void assert_content(const char *path, const char *wanted)
{
    char found[64] = "";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    found[fread(found, 1, sizeof found - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(found, wanted);
}

/* A disk that fills up in the middle: writing beyond RLIMIT_FSIZE fails with EFBIG. */
static void test_failed_save_keeps_old_file(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    strcpy(path, in_scratch("kept"));
    assert_int_equal(fv_file_save(path, "old", 3), FV_OK);
    float *data = calloc(1 << 16, sizeof *data);
    const fv_save_entry e = {"a", FV_FILE_F32, 1, {1 << 16}, data};
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 10000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fv_status weights = fv_weights_save(path, &e, 1, NULL);
    fv_status array = fv_npy_save_f32(path, data, 1, e.dims);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(weights, FV_ERR_IO);
    assert_fails(array, FV_ERR_IO, "kept: File too large");
    assert_content(path, "old");
    assert_int_equal(scratch_files(), 1); /* no temp file is left */
    unlink(path);
    assert_fails(fv_weights_save(in_scratch("no/folder"), &e, 1, NULL), FV_ERR_IO, "No such file");
    assert_fails(fv_weights_save(scratch, &e, 1, NULL), FV_ERR_IO, "directory");
    free(data);
}

static void test_files(void **state)
{
    (void)state;
    char path[PATH_BYTES], link[PATH_BYTES], name[256];
    fv_file_writer *w;
    struct stat st;
    strcpy(path, in_scratch("file"));
    strcpy(link, in_scratch("link"));
    assert_int_equal(fv_file_save(path, "first", 5), FV_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("file", link), 0);

    assert_int_equal(fv_file_begin(&w, link), FV_OK);
    assert_int_equal(fv_file_write(w, "sec", 3), FV_OK);
    assert_content(path, "first");
    assert_int_equal(fv_file_write(w, NULL, 0), FV_OK);
    assert_int_equal(fv_file_write(w, "ond", 3), FV_OK);
    assert_int_equal(fv_file_commit(w), FV_OK);
    assert_content(path, "second");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);

    assert_int_equal(fv_file_begin(&w, path), FV_OK);
    assert_int_equal(fv_file_write(w, "third", 5), FV_OK);
    assert_int_equal(scratch_files(), 3);
    fv_file_abandon(w);
    fv_file_abandon(NULL);
    assert_content(path, "second");
    assert_int_equal(scratch_files(), 2);

    fv_file_writer *other; /* two writers of one file do not meet */
    assert_int_equal(fv_file_begin(&w, path), FV_OK);
    assert_int_equal(fv_file_begin(&other, path), FV_OK);
    assert_int_equal(fv_file_write(w, "w", 1), FV_OK);
    assert_int_equal(fv_file_write(other, "other", 5), FV_OK);
    assert_int_equal(fv_file_commit(w), FV_OK);
    assert_content(path, "w");
    assert_int_equal(fv_file_commit(other), FV_OK);
    assert_content(path, "other");

    /* the longest name a file can have, of characters of 3 bytes */
    for (size_t i = 0; i < 255; i++) name[i] = "\xe5\xad\x97"[i % 3];
    name[255] = '\0';
    strcpy(link, in_scratch(name));
    assert_int_equal(fv_file_save(link, "long", 4), FV_OK);
    assert_content(link, "long");
    unlink(link);
    unlink(in_scratch("link"));
    unlink(path);

    assert_int_equal(fv_file_save("/dev/null", "gone", 4), FV_OK);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_fails(fv_file_save("/dev/full", "x", 1), FV_ERR_IO, "No space left");
    assert_fails(fv_file_save("", "x", 1), FV_ERR_ARGUMENT, "empty");
    assert_int_equal(scratch_files(), 0);
}

/* --- .npy --- */

static void check_array(const char *name, fv_file_dtype dtype, const char *dims, double first)
{
    fv_npy *a;
    if (fv_npy_open(&a, golden(name)) != FV_OK) fail_msg("%s", fv_error());
    const fv_entry *e = fv_npy_entry(a);
    assert_string_equal(e->name, golden(name));
    assert_int_equal(e->dtype, dtype);
    assert_int_equal(e->ndim, strlen(dims));
    for (int i = 0; i < e->ndim; i++) assert_int_equal(e->dims[i], dims[i] - '0');
    double v[24];
    float f[24];
    size_t n = fv_entry_count(e);
    fv_entry_read_f64(e, v);
    fv_entry_read_f32(e, f);
    for (size_t i = 0; i < n; i++) {
        double want = dtype == FV_FILE_BOOL ? (double)(i % 2) : (double)i + first;
        if (v[i] != want || (double)f[i] != want)
            fail_msg("%s, element %zu: %g, expected %g", name, i, v[i], want);
    }
    fv_npy_close(a);
}

static void test_arrays(void **state)
{
    (void)state;
    check_array("f4.npy", FV_FILE_F32, "23", -2);
    check_array("f8.npy", FV_FILE_F64, "23", -2);
    check_array("f2.npy", FV_FILE_F16, "23", -2);
    check_array("i8.npy", FV_FILE_I64, "23", -2);
    check_array("i4.npy", FV_FILE_I32, "23", -2);
    check_array("i2.npy", FV_FILE_I16, "23", -2);
    check_array("i1.npy", FV_FILE_I8, "23", -2);
    check_array("u1_plus2.npy", FV_FILE_U8, "23", 0);
    check_array("b1_odd.npy", FV_FILE_BOOL, "23", 0);
    check_array("fortran.npy", FV_FILE_F32, "234", -2);
    check_array("scalar.npy", FV_FILE_F32, "", -2);
    check_array("empty.npy", FV_FILE_F32, "03", 0);
    check_array("vector.npy", FV_FILE_F32, "6", -2);
    check_array("version2.npy", FV_FILE_F32, "23", -2);
    check_array("version3.npy", FV_FILE_F32, "23", -2);
    fv_npy *a;
    assert_fails(fv_npy_open(&a, golden("big_endian.npy")), FV_ERR_UNSUPPORTED, "big-endian");
    assert_null(a);
    assert_fails(fv_npy_open(&a, golden("structured.npy")), FV_ERR_UNSUPPORTED, "structured");
    assert_fails(fv_npy_open(&a, golden("complex.npy")), FV_ERR_UNSUPPORTED, "'<c8'");
    assert_fails(fv_npy_open(&a, golden("odd.pth")), FV_ERR_FORMAT, "not a .npy file");
    assert_fails(fv_npy_open(&a, golden("absent.npy")), FV_ERR_IO, "No such file");
    fv_npy_close(NULL);
}

static void test_array_round_trip(void **state)
{
    (void)state;
    const int64_t dims[FV_MAX_DIMS] = {2, 1, 3, 2, 1, 1, 2, 1};
    float data[24], found[24];
    for (int i = 0; i < 24; i++) data[i] = ldexpf((float)(i - 7), i);
    const char *path = in_scratch("round.npy");
    for (int ndim = 0; ndim <= FV_MAX_DIMS; ndim++) {
        assert_int_equal(fv_npy_save_f32(path, data, ndim, dims), FV_OK);
        fv_npy *a;
        if (fv_npy_open(&a, path) != FV_OK) fail_msg("%s", fv_error());
        const fv_entry *e = fv_npy_entry(a);
        assert_int_equal(e->ndim, ndim);
        assert_memory_equal(e->dims, dims, (size_t)ndim * sizeof *dims);
        assert_int_equal((uintptr_t)e->data % 64, 0);
        fv_entry_read_f32(e, found);
        assert_memory_equal(found, data, fv_entry_count(e) * sizeof *found);
        fv_npy_close(a);
    }
    const int64_t negative[] = {-1}, huge[] = {1LL << 40, 1LL << 40};
    assert_fails(fv_npy_save_f32(path, data, 1, negative), FV_ERR_ARGUMENT, "dims");
    assert_fails(fv_npy_save_f32(path, data, 2, huge), FV_ERR_ARGUMENT, "dims");
    assert_fails(fv_npy_save_f32(path, data, 9, dims), FV_ERR_ARGUMENT, "dims");
    unlink(path);
}

/* --- Files that are no checkpoints --- */

static void test_strangers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } files[] = {
        {"", 0, "empty"},
        {"  <!DOCTYPE html><p>", 20, "HTML page"},
        {"\n<HTML>", 7, "HTML page"},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, "Git LFS pointer"},
        {"\x1f\x8b\x08 abcdefgh", 12, "gzip (unpack it first)"},
        {"\xfd"
         "7zXZ\0\0\4",
         8, "xz (unpack it first)"},
        {"BZh91AY", 7, "bzip2"},
        {"\x28\xb5\x2f\xfd    ", 8, "zstd"},
        {"\x89PNG\r\n\x1a\n", 8, "PNG"},
        {"\xff\xd8\xff\xe0", 4, "JPEG"},
        {"\x89HDF\r\n", 6, "HDF5"},
        {"GGUF\3\0\0\0", 8, "GGUF"},
        {"\x08\x06\x12\x07pytorch", 11, "ONNX or TensorFlow"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, "zeros"},
        {"a,b,c\n1,2,3\n", 12, "text file"},
        {"\x01\x02\x03\x04", 4, "unknown format"},
        {"P", 1, "text file"},
        {"PK\x05\x06", 4, "empty zip"},
    };
    const char *path = in_scratch("stranger.pth");
    fv_weights *w;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(fv_file_save(path, files[i].bytes, files[i].size), FV_OK);
        assert_fails(fv_weights_open(&w, path), FV_ERR_FORMAT, files[i].words);
        assert_non_null(strstr(fv_error(), path));
        assert_null(w);
    }
    unlink(path);
    assert_fails(fv_weights_open(&w, golden("f4.npy")), FV_ERR_FORMAT, "NumPy array");
    assert_fails(fv_weights_open(&w, scratch), FV_ERR_IO, "directory");
    assert_fails(fv_weights_open(&w, in_scratch("absent")), FV_ERR_IO, "No such file");
    assert_fails(fv_weights_open(&w, "/dev/null"), FV_ERR_IO, "device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_sixteen_bits),
        cmocka_unit_test(objects_of_unknown_classes_stop_nothing),
        cmocka_unit_test(dtypes_that_cannot_be_read_are_listed_and_refused_by_name),
        cmocka_unit_test(modules_have_the_names_of_their_state_dict),
        cmocka_unit_test(eight_bits_are_read_as_defined),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(headers_of_any_length_are_safetensors),
        cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_save_refuses),
        cmocka_unit_test(test_failed_save_keeps_old_file),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_array_round_trip),
        cmocka_unit_test(test_strangers),
    };
    if (!mkdtemp(scratch)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(scratch);
    return failed;
}
