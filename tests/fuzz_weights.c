/* Hostile checkpoints: every file must load or be refused with a one-line reason; no crash, no
 * hang, no large allocation, and what loads must be readable. Deterministic: the golden files cut
 * at every byte and with every byte changed, and files made by hand that lie about one thing each
 * (random damage: tests/fuzz). Meant to run under AddressSanitizer and UBSan as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/weights/weights_internal.h"

enum {
    MEMORY_MIB = 64,      /* nothing in the corpus is worth more */
    TIME_LIMIT = 120,     /* seconds: a hang ends the program */
    READ_LIMIT = 1 << 16, /* elements of an entry that are read */
    MESSAGE_LIMIT = 1024
};

#if defined(__SANITIZE_ADDRESS__)
const char *__asan_default_options(void);
/* A larger allocation returns NULL, and so shows as FV_ERR_MEMORY. */
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=64:allocator_may_return_null=1:detect_leaks=1";
}
#endif

/* --- Bytes that grow --- */

typedef struct buffer {
    uint8_t *at;
    size_t size, capacity;
} buffer;

static void put(buffer *b, const void *bytes, size_t n)
{
    if (b->capacity - b->size < n) {
        b->capacity = 2 * b->capacity + n + 256;
        b->at = realloc(b->at, b->capacity);
        assert_non_null(b->at);
    }
    if (n) memcpy(b->at + b->size, bytes, n);
    b->size += n;
}

/* A literal, NUL bytes inside included. */
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static void put_text(buffer *b, const char *text)
{
    put(b, text, strlen(text));
}

static void put_le(buffer *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++, v >>= 8) put(b, &(uint8_t){(uint8_t)v}, 1);
}

static void put_many(buffer *b, char c, size_t n)
{
    for (size_t i = 0; i < n; i++) put(b, &c, 1);
}

static void drop(buffer *b)
{
    free(b->at);
    *b = (buffer){0};
}

/* The block becomes as small as its content, so that the sanitizer sees a byte too far. */
static void fit(buffer *b)
{
    b->at = realloc(b->at, b->size);
    assert_non_null(b->at);
    b->capacity = b->size;
}

static buffer load_golden(const char *name)
{
    char path[1024];
    const char *source = getenv("FEAVIS_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/weights/%s", source ? source : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    buffer b = {0};
    uint8_t chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) put(&b, chunk, n);
    fclose(f);
    fit(&b);
    return b;
}

/* --- The property --- */

static double values64[READ_LIMIT];
static float values32[READ_LIMIT];

static void check_entry(const fv_entry *e)
{
    size_t n = fv_entry_count(e);
    if (e->ndim < 0 || e->ndim > FV_MAX_DIMS || !e->data) fail_msg("a broken entry %s", e->name);
    if (!fv_text_is_utf8(fv_text_of(e->name))) fail_msg("a name that is not UTF-8");
    if (n > READ_LIMIT) return; /* strides of 0: more elements than bytes, by design */
    fv_entry_read_f64(e, values64);
    fv_entry_read_f32(e, values32);
}

static void check_failure(fv_status st)
{
    const char *message = fv_error();
    size_t n = strlen(message);
    if (st >= 0 || st == FV_ERR_MEMORY || n < 10 || n >= MESSAGE_LIMIT ||
        strcmp(message, "stale message") == 0)
        fail_msg("status %d, message \"%s\"", (int)st, message);
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)message[i] < 0x20) fail_msg("control character in \"%s\"", message);
}

static fv_status try_weights(const uint8_t *bytes, size_t size)
{
    fv_weights *w;
    fv_fail(FV_OK, "stale message");
    fv_status st = fv_weights_open_memory(&w, bytes, size, "hostile");
    if (st != FV_OK) {
        if (w) fail_msg("a failed open returns weights");
        check_failure(st);
        return st;
    }
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        check_entry(e);
        if (fv_weights_find(w, e->name) != e) fail_msg("%s is not found", e->name);
    }
    fv_weights_close(w);
    return FV_OK;
}

static fv_status try_array(const uint8_t *bytes, size_t size)
{
    fv_npy *a;
    fv_fail(FV_OK, "stale message");
    fv_status st = fv_npy_open_memory(&a, bytes, size, "hostile");
    if (st != FV_OK) {
        if (a) fail_msg("a failed open returns an array");
        check_failure(st);
        return st;
    }
    check_entry(fv_npy_entry(a));
    fv_npy_close(a);
    return FV_OK;
}

typedef fv_status try_function(const uint8_t *bytes, size_t size);

/* In a block of exactly that size. */
static fv_status try_exact(try_function *try, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    fv_status st = try(copy, size);
    free(copy);
    return st;
}

static void expect_loads(const buffer *b, const char *what)
{
    if (try_exact(try_weights, b->at, b->size) != FV_OK) fail_msg("%s: %s", what, fv_error());
}

static void expect_refused(const buffer *b, const char *words)
{
    if (try_exact(try_weights, b->at, b->size) == FV_OK)
        fail_msg("loads; expected \"...%s...\"", words);
    if (!strstr(fv_error(), words)) fail_msg("\"%s\"; expected \"...%s...\"", fv_error(), words);
}

/* --- Damaged golden files --- */

static const char *const checkpoints[] = {
    "odd.pth",    "odd_protocol4.pth", "odd_legacy.pth",     "odd.safetensors",  "foreign.pth",
    "module.pth", "script.pt",         "foreign_legacy.pth", "types.safetensors"};
static const char *const arrays[] = {"f4.npy", "fortran.npy", "version2.npy", "scalar.npy",
                                     "structured.npy"};
enum { CHECKPOINTS = 9, ARRAYS = 5 };

static void cut_everywhere(try_function *try, const char *name, bool must_fail)
{
    buffer b = load_golden(name);
    assert_int_equal(try_exact(try, b.at, b.size),
                     name[0] == 's' && name[1] == 't' ? FV_ERR_UNSUPPORTED : FV_OK);
    for (size_t n = 0; n < b.size; n++)
        if (try_exact(try, b.at, n) == FV_OK && must_fail)
            fail_msg("%s loads although cut at byte %zu", name, n);
    drop(&b);
}

static void test_cut(void **state)
{
    (void)state;
    for (int i = 0; i < CHECKPOINTS; i++) cut_everywhere(try_weights, checkpoints[i], true);
    for (int i = 0; i < ARRAYS; i++) cut_everywhere(try_array, arrays[i], true);
}

/* Every byte in turn, except runs of equal bytes (padding), of which the first few are enough. */
static void change_every_byte(try_function *try, const char *name)
{
    buffer b = load_golden(name);
    for (size_t i = 0; i < b.size; i++) {
        if (i >= 16 && memcmp(b.at + i - 16, b.at + i - 15, 15) == 0 && b.at[i] == b.at[i - 1])
            continue;
        const uint8_t was = b.at[i];
        const uint8_t to[] = {(uint8_t)(was ^ 1), (uint8_t)(was ^ 0x80)};
        for (size_t k = 0; k < sizeof to; k++) {
            b.at[i] = to[k];
            try(b.at, b.size);
        }
        b.at[i] = was;
    }
    drop(&b);
}

static void test_changed_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < CHECKPOINTS; i++) change_every_byte(try_weights, checkpoints[i]);
    for (int i = 0; i < ARRAYS; i++) change_every_byte(try_array, arrays[i]);
}

/* --- Pickles by hand --- */

static void put_integer(buffer *b, int64_t v)
{
    PUT(b, "\x8a\x08"); /* LONG1 */
    put_le(b, (uint64_t)v, 8);
}

static void put_string(buffer *b, const char *text)
{
    PUT(b, "X");
    put_le(b, strlen(text), 4);
    put_text(b, text);
}

static void put_tuple(buffer *b, const int64_t *v, int n)
{
    PUT(b, "(");
    for (int i = 0; i < n; i++) put_integer(b, v[i]);
    PUT(b, "t");
}

/* What a tensor's pickle says. */
typedef struct claim {
    const char *type, *key;
    int64_t count, offset;
    int ndim, strides_given;
    int64_t dims[FV_MAX_DIMS + 1], strides[FV_MAX_DIMS + 1];
} claim;

/* A 2 x 3 matrix in storage "0" of 8 floats. */
static const claim honest = {"torch\nFloatStorage", "0", 8, 1, 2, 2, {2, 3}, {3, 1}};

static void put_storage(buffer *b, const claim *c)
{
    PUT(b, "(");
    put_string(b, "storage");
    PUT(b, "c");
    put_text(b, c->type);
    PUT(b, "\n");
    put_string(b, c->key);
    put_string(b, "cpu");
    put_integer(b, c->count);
    PUT(b, "tQ");
}

static void put_tensor(buffer *b, const claim *c)
{
    PUT(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage(b, c);
    put_integer(b, c->offset);
    put_tuple(b, c->dims, c->ndim);
    put_tuple(b, c->strides, c->strides_given);
    PUT(b, "\x89"
           "ccollections\nOrderedDict\n)RtR");
}

/* A dictionary {"t": tensor}. */
static void put_state(buffer *b, const claim *c)
{
    PUT(b, "\x80\x02}(");
    put_string(b, "t");
    put_tensor(b, c);
    PUT(b, "u.");
}

/* --- Containers by hand --- */

typedef struct zip {
    buffer file, directory;
    size_t count, headers[16], records[16]; /* where each entry's headers begin */
} zip;

static void zip_add(zip *z, const char *name, const void *data, size_t size)
{
    z->headers[z->count] = z->file.size;
    z->records[z->count++] = z->directory.size;
    PUT(&z->file, "PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    put_le(&z->file, size, 4);
    put_le(&z->file, size, 4);
    put_le(&z->file, strlen(name), 2);
    put_le(&z->file, 0, 2);
    put_text(&z->file, name);
    put(&z->file, data, size);

    PUT(&z->directory, "PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    put_le(&z->directory, size, 4);
    put_le(&z->directory, size, 4);
    put_le(&z->directory, strlen(name), 2);
    PUT(&z->directory, "\0\0\0\0\0\0\0\0\0\0\0\0");
    put_le(&z->directory, z->headers[z->count - 1], 4);
    put_text(&z->directory, name);
}

/* The archive with ZIP64 records if zip64; the directory's place is returned. */
static size_t zip_end(zip *z, bool zip64)
{
    size_t at = z->file.size, size = z->directory.size, end64 = at + size;
    put(&z->file, z->directory.at, size);
    if (zip64) {
        PUT(&z->file, "PK\x06\x06\x2c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        put_le(&z->file, z->count, 8);
        put_le(&z->file, z->count, 8);
        put_le(&z->file, size, 8);
        put_le(&z->file, at, 8);
        PUT(&z->file, "PK\x06\x07\0\0\0\0");
        put_le(&z->file, end64, 8);
        put_le(&z->file, 1, 4);
    }
    PUT(&z->file, "PK\x05\x06\0\0\0\0");
    put_le(&z->file, z->count, 2);
    put_le(&z->file, z->count, 2);
    put_le(&z->file, size, 4);
    put_le(&z->file, at, 4);
    put_le(&z->file, 0, 2);
    return at;
}

static void zip_drop(zip *z)
{
    drop(&z->file);
    drop(&z->directory);
}

static const float floats[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* root/data.pkl, root/data/0 (8 floats), root/data/1 (8 floats). */
static void zip_checkpoint(zip *z, const buffer *pickle)
{
    zip_add(z, "root/data.pkl", pickle->at, pickle->size);
    zip_add(z, "root/data/0", floats, sizeof floats);
    zip_add(z, "root/data/1", floats, sizeof floats);
}

#define LEGACY_START                                                                               \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."                  \
    "\x80\x02}X\x0d\0\0\0little_endian\x88s."

/* Legacy file of the pickle, a list of keys and raw storages. */
static void put_legacy(buffer *b, const buffer *pickle, const char *keys, size_t keys_size)
{
    PUT(b, LEGACY_START);
    put(b, pickle->at, pickle->size);
    put(b, keys, keys_size);
    put_le(b, 8, 8);
    put(b, floats, sizeof floats);
}

#define NO_KEY  "\x80\x02]."
#define ONE_KEY "\x80\x02]X\x01\0\0\0000a."

typedef void check_function(const buffer *b, const char *what);

/* Puts the pickle into both containers. Memory and time are what matters; `check` is given words
 * of the message, or a name for the case. */
static void in_both(buffer *pickle, check_function *check, const char *words)
{
    zip z = {0};
    buffer legacy = {0};
    zip_checkpoint(&z, pickle);
    zip_end(&z, true);
    check(&z.file, words);
    if (memmem(pickle->at, pickle->size, "Storage", 7))
        put_legacy(&legacy, pickle, ONE_KEY, sizeof ONE_KEY - 1);
    else
        put_legacy(&legacy, pickle, NO_KEY, sizeof NO_KEY - 1);
    check(&legacy, words);
    zip_drop(&z);
    drop(&legacy);
    drop(pickle);
}

static void expect_no_crash(const buffer *b, const char *what)
{
    (void)what;
    try_exact(try_weights, b->at, b->size);
}

static void test_honest_pickle(void **state)
{
    (void)state;
    buffer b = {0};
    put_state(&b, &honest);
    in_both(&b, expect_loads, "a small checkpoint");
}

/* --- What a tensor may claim --- */

static void check_claim(claim c, const char *words)
{
    buffer b = {0};
    put_state(&b, &c);
    if (words)
        in_both(&b, expect_refused, words);
    else
        in_both(&b, expect_loads, "an unusual tensor");
}

#define CLAIM(words, ...)                                                                          \
    do {                                                                                           \
        claim c = honest;                                                                          \
        __VA_ARGS__;                                                                               \
        check_claim(c, words);                                                                     \
    } while (0)

static void test_claims(void **state)
{
    (void)state;
    CLAIM("leave its storage", c.offset = 3);
    CLAIM(NULL, c.offset = 2);
    CLAIM("leave its storage", c.offset = INT64_MAX);
    CLAIM("not understood", c.offset = -1);
    CLAIM("leave its storage", c.dims[0] = 4);
    CLAIM("leave its storage", c.dims[0] = INT32_MAX);
    CLAIM("too large", c.dims[0] = INT64_MAX);
    CLAIM("too large", c.dims[0] = c.dims[1] = 1LL << 32);
    CLAIM("mismatched dims", c.dims[0] = -1);
    CLAIM("mismatched dims", c.strides[0] = -3);
    CLAIM("leave its storage", c.strides[0] = INT64_MAX);
    CLAIM("leave its storage", c.strides[1] = INT64_MAX / 2);
    CLAIM("mismatched dims", c.strides_given = 1);
    CLAIM(NULL, c.ndim = c.strides_given = 9); /* not listed */
    CLAIM("persistent id", c.count = -1);
    CLAIM("expected", c.count = 9);
    CLAIM("expected", c.count = INT64_MAX);
    CLAIM("leave its storage", c.count = 5);
    CLAIM("storage 7", c.key = "7");
    CLAIM("storage ../data.pkl", c.key = "../data.pkl");
    CLAIM("storage ", c.key = "");
    CLAIM("persistent id", c.type = "torch\nfloat32");
    CLAIM("persistent id", c.type = "torch\nSize");
    CLAIM("8 elements of 16", c.type = "torch\nComplexDoubleStorage");
    CLAIM(NULL, c.dims[0] = 0);
    CLAIM(NULL, c.dims[0] = 0; c.dims[1] = 1LL << 40; c.strides[0] = INT64_MAX);
    CLAIM(NULL, c.dims[0] = 1; c.strides[0] = INT64_MAX);
    CLAIM(NULL, c.ndim = c.strides_given = 0);
    CLAIM(NULL, c.strides[0] = c.strides[1] = 0);
    CLAIM(NULL, c.dims[0] = c.dims[1] = 4096; c.strides[0] = c.strides[1] = 0);
    CLAIM("out of a storage", c.dims[0] = 1 << 23; c.strides[0] = c.strides[1] = 0);
    CLAIM("too large", c.dims[0] = c.dims[1] = 1LL << 40; c.strides[0] = c.strides[1] = 0);
}

/* What is passed over: no tensor comes out, and the note says why. */
static void expect_passed_over(const buffer *b, const char *words)
{
    fv_weights *w;
    expect_loads(b, words);
    assert_int_equal(fv_weights_open_memory(&w, b->at, b->size, "hostile"), FV_OK);
    const fv_entry *e;
    assert_int_equal(fv_weights_count(w), 0);
    assert_int_equal(fv_weights_note_count(w), *words != 0);
    if (*words) {
        if (!strstr(fv_weights_note_at(w, 0), words))
            fail_msg("\"%s\"; expected \"%s\"", fv_weights_note_at(w, 0), words);
        bool whole = strncmp(fv_weights_note_at(w, 0), "made by", 7) == 0;
        assert_int_equal(fv_weights_need(w, "any.name", &e),
                         whole ? FV_ERR_UNSUPPORTED : FV_ERR_FORMAT);
        if (whole && !strstr(fv_error(), words))
            fail_msg("\"%s\"; expected \"%s\"", fv_error(), words);
    }
    fv_weights_close(w);
}

static void expect_one_tensor(const buffer *b, const char *name)
{
    fv_weights *w;
    expect_loads(b, name);
    assert_int_equal(fv_weights_open_memory(&w, b->at, b->size, "hostile"), FV_OK);
    assert_int_equal(fv_weights_count(w), 1);
    assert_string_equal(fv_weights_at(w, 0)->name, name);
    fv_weights_close(w);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *key, *words;
        size_t size;
    } keys[] = {
        {"\xff", "not UTF-8", 1},         {"\xc0\x80", "not UTF-8", 2},
        {"\xed\xa0\x80", "not UTF-8", 3}, {"\xe5\xad", "not UTF-8", 2},
        {"a\0b", "not UTF-8", 3},         {"\xf4\x90\x80\x80", "not UTF-8", 4},
        {"\xf0\x9f\x98\x80", NULL, 4},    {"\xe5\xad\x97", NULL, 3},
        {"line\nbreak", NULL, 10},        {"", NULL, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        buffer b = {0};
        PUT(&b, "\x80\x02}X");
        put_le(&b, keys[i].size, 4);
        put(&b, keys[i].key, keys[i].size);
        put_tensor(&b, &honest);
        PUT(&b, "s.");
        in_both(&b, keys[i].words ? expect_passed_over : expect_loads,
                keys[i].words ? keys[i].words : "a name");
    }
    for (size_t size = 505; size < 520; size++) { /* "KEY.t": 511 bytes at most */
        buffer b = {0};
        PUT(&b, "\x80\x02}X");
        put_le(&b, size, 4);
        put_many(&b, 'k', size);
        PUT(&b, "}X\1\0\0\0t");
        put_tensor(&b, &honest);
        PUT(&b, "ss.");
        in_both(&b, size <= 509 ? expect_loads : expect_passed_over, "over 511 bytes");
    }
    for (int other = 0; other < 2; other++) { /* {"a": {"b": t}, "a.b": t or another} */
        buffer b = {0};
        claim twin = honest;
        twin.offset -= other;
        PUT(&b, "\x80\x02}(X\1\0\0\0a}X\1\0\0\0b");
        put_tensor(&b, &honest);
        PUT(&b, "sX\3\0\0\0a.b");
        put_tensor(&b, &twin);
        PUT(&b, "u.");
        in_both(&b, other ? expect_passed_over : expect_one_tensor,
                other ? "a.b: more than one tensor of this name" : "a.b");
    }
}

/* --- What a pickle may try --- */

#define REFUSED(literal, words)                                                                    \
    do {                                                                                           \
        buffer b = {0};                                                                            \
        PUT(&b, literal);                                                                          \
        in_both(&b, expect_refused, words);                                                        \
    } while (0)

#define LOADS(literal)                                                                             \
    do {                                                                                           \
        buffer b = {0};                                                                            \
        PUT(&b, literal);                                                                          \
        in_both(&b, expect_no_crash, "");                                                          \
    } while (0)

#define PASSED_OVER(literal, words)                                                                \
    do {                                                                                           \
        buffer b = {0};                                                                            \
        PUT(&b, literal);                                                                          \
        in_both(&b, expect_passed_over, words);                                                    \
    } while (0)

static void unknown_globals_are_opaque_and_never_called(void **state)
{
    (void)state;
    PASSED_OVER("\x80\x02"
                "cos\nsystem\nX\2\0\0\0ls\x85R.",
                "made by 'os.system'");
    PASSED_OVER("\x80\x02"
                "cposix\nsystem\nX\2\0\0\0ls\x85R.",
                "'posix.system'");
    PASSED_OVER("\x80\x04\x8c\2os\x8c\6system\x93)R.", "'os.system'");
    PASSED_OVER("\x80\x02"
                "c__builtin__\neval\n.",
                ""); /* a value like any other, as long as it is not called */
    PASSED_OVER("\x80\x02"
                "cbuiltins\nexec\nX\1\0\0\0x\x85R}b.",
                "'builtins.exec'");
    PASSED_OVER("\x80\x02"
                "ctorch.nn.modules.linear\nLinear\n)\x81.",
                "'torch.nn.modules.linear.Linear'");
    PASSED_OVER("\x80\x02"
                "ca\nb\n)R)RK\1\x85R.",
                "'a.b'"); /* called, and called again */
    PASSED_OVER("\x80\x04"
                "ca\nb\n)}\x92.",
                "'a.b'"); /* with keywords */
    PASSED_OVER("\x80\x02"
                "(ia\nb\n.",
                "'a.b'");
    PASSED_OVER("\x80\x02"
                "(ca\nb\nK\1K\2o.",
                "'a.b'");
    PASSED_OVER("\x80\x02"
                "ca\nb\n)\x81(K\1K\2u(K\3eK\4a(K\5\x90}b.",
                "'a.b'"); /* takes items, and a state */
    PASSED_OVER("\x80\x02"
                "ca\nb\nNR.",
                "'a.b'");
    PASSED_OVER("\x80\x02"
                "ctorch\nfloat32\n)R.",
                "'torch.float32'");
    PASSED_OVER("\x80\x02"
                "c\n\n)R.",
                "'.'");
    PASSED_OVER("\x80\x02"
                "cevil\x1b[31m\nname\n)R.",
                "'evil?[31m.name'");
    PASSED_OVER("\x80\x02"
                "ctorch._utils\n_rebuild_parameter\n)R.",
                "'torch._utils._rebuild_parameter'");
    PASSED_OVER("\x80\x02"
                "ctorch._tensor\n_rebuild_from_type_v2\n)R.",
                "'torch._tensor._rebuild_from_type_v2'");
    PASSED_OVER("\x80\x02K\1Q.", "");     /* somebody's own persistent id */
    PASSED_OVER("\x80\x02)Q)R.", "");     /* and a call of it */
    PASSED_OVER("\x80\x02P7\n.", "");     /* on a line */
    PASSED_OVER("\x80\x02\x82\1)R.", ""); /* an extension */
    PASSED_OVER("\x80\x05\x97\x98.", ""); /* a buffer elsewhere */
    PASSED_OVER("\x80\x02(lp0\nI01\naF1.5\naS'x'\naVy\naL7L\na(dp1\nI-3\nNsag1\na.", "");
    claim lazy = honest; /* numbers that are to be negated first */
    buffer minus = {0};
    PUT(&minus, "\x80\x02}X\1\0\0\0t"
                "ctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage(&minus, &lazy);
    PUT(&minus, "K\0K\3\x85K\1\x85\x89N}X\3\0\0\0neg\x88stRs.");
    in_both(&minus, expect_passed_over, "t: made by 'torch._utils._rebuild_tensor_v2'");
    REFUSED("\x80\x04\x8c\2osK\1\x93.", "not a string");
    REFUSED("\x80\x02"
            "K\1)R.",
            "not a global");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\nK\1R.",
            "not a tuple");
    REFUSED("\x80\x02"
            "ctorch._utils\n_rebuild_tensor_v2\n)R.",
            "not understood");
    REFUSED("\x80\x02"
            "ctorch\nSize\n)R.",
            "torch.Size");
    REFUSED("\x80\x02X\7\0\0\0storage\x85Q.", "persistent id");
}

/* A tensor of a storage whose elements are not known, and of a dtype that is not known. */
static void tensors_of_unknown_types_are_refused_where_they_are_needed(void **state)
{
    (void)state;
    buffer b = {0};
    claim c = honest;
    c.type = "torch\nFunnyStorage";
    put_state(&b, &c);
    zip z = {0};
    zip_checkpoint(&z, &b);
    zip_end(&z, true);
    fv_weights *w;
    const fv_entry *e;
    assert_int_equal(fv_weights_open_memory(&w, z.file.at, z.file.size, "funny"), FV_OK);
    assert_int_equal(fv_weights_count(w), 0);
    assert_int_equal(fv_weights_need(w, "t", &e), FV_ERR_UNSUPPORTED);
    assert_non_null(strstr(fv_error(), "tensor t would be part of what is not read (t: made by "
                                       "'torch.FunnyStorage')"));
    assert_int_equal(fv_weights_need(w, "u", &e), FV_ERR_FORMAT);
    assert_non_null(strstr(fv_error(), "tensor u is missing"));
    fv_weights_close(w);
    zip_drop(&z);
    drop(&b);

    z = (zip){0};
    claim bytes = honest;
    bytes.type = "torch.storage\nUntypedStorage";
    bytes.count = 32;
    PUT(&b, "\x80\x02}X\1\0\0\0t"
            "ctorch._utils\n_rebuild_tensor_v3\n(");
    put_storage(&b, &bytes);
    PUT(&b, "K\0K\3\x85K\1\x85\x89Nctorch\nint3\ntRs.");
    zip_checkpoint(&z, &b);
    zip_end(&z, true);
    expect_loads(&z.file, "a dtype that is not known");
    assert_int_equal(fv_weights_open_memory(&w, z.file.at, z.file.size, "int3"), FV_OK);
    assert_string_equal(fv_entry_dtype_name(fv_weights_at(w, 0)), "int3");
    assert_int_equal(fv_weights_need(w, "t", &e), FV_ERR_UNSUPPORTED);
    assert_non_null(strstr(fv_error(), "tensor t has elements of type int3"));
    fv_weights_close(w);
    zip_drop(&z);
    drop(&b);
}

static void test_malformed(void **state)
{
    (void)state;
    REFUSED("\x80\x02", ""); /* what follows is taken for opcodes, until something is wrong */
    REFUSED("\x80\x06}.", "protocol 6");
    REFUSED("\x80\x01}.", "protocol 1");
    REFUSED("}.", "does not begin");
    REFUSED("\x80\x02.", "stack is empty");
    REFUSED("\x80\x02(.", "stack is empty");
    REFUSED("\x80\x02K\1(\x85.", "stack is empty");
    REFUSED("\x80\x02t.", "mark is missing");
    REFUSED("\x80\x02}h\0.", "memo entry");
    REFUSED("\x80\x02}r\xff\xff\xff\xff.", "memo index");
    REFUSED("\x80\x02}j\xff\xff\xff\xff.", "memo entry");
    REFUSED("\x80\x02}q\xffr\xfe\1\0\0.", "memo index");
    REFUSED("\x80\x02\x8b\xff\xff\xff\xff.", "negative size");
    REFUSED("\x80\x02\x8b\0\0\0\x7f.", "cut off");
    REFUSED("\x80\x02X\xff\xff\xff\xff.", "cut off");
    REFUSED("\x80\x04\x8d\0\0\0\0\0\0\0\x80.", "cut off");
    REFUSED("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "cut off");
    REFUSED("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff}.", "frame");
    REFUSED("\x80\x02}(K\1u.", "key has no value");
    REFUSED("\x80\x02Ix\n.", "not an integer");
    REFUSED("\x80\x02I\n.", "not an integer");
    REFUSED("\x80\x02Sx\n.", "no quotes");
    REFUSED("\x80\x02}g-1\n.", "memo index");
    REFUSED("\x80\x02}p99999999999999999999\n.", "memo index");
    REFUSED("\x80\x02(o.", "stack is empty");
    REFUSED("\x80\x02(K\1d.", "key has no value");
    REFUSED("\x80\x02]K\1K\2s.", "holds none");
    REFUSED("\x80\x02}K\1a.", "holds none");
    REFUSED("\x80\x02)K\1a.", "holds none");
    REFUSED("\x80\x02K\1Nb.", "state");
    REFUSED("\x80\x02\xff.", "opcode 0xff");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\n]K\1a\x85R.",
            "pairs");
    for (int code = 0; code < 256; code++) { /* every opcode on an empty and on a small stack */
        buffer b = {0}, c = {0};
        PUT(&b, "\x80\x04");
        put(&b, &(uint8_t){(uint8_t)code}, 1);
        in_both(&b, expect_no_crash, "");
        PUT(&c, "\x80\x04](K\1K\2K\3");
        put(&c, &(uint8_t){(uint8_t)code}, 1);
        PUT(&c, "\0\0\0\0\0\0\0\0.");
        in_both(&c, expect_no_crash, "");
    }
}

static void test_cycles(void **state)
{
    (void)state;
    LOADS("\x80\x02]q\0h\0a.");           /* a list in itself */
    LOADS("\x80\x02}q\0X\1\0\0\0ah\0s."); /* a dict in itself */
    LOADS("\x80\x02]q\0(h\0tq\1ah\1.");   /* a tuple and a list in each other */
    LOADS("\x80\x02]q\0]q\1h\0aa.");
    LOADS("\x80\x02"
          "ctorch\nSize\n]q\0h\0a\x85R.");
    LOADS("\x80\x02"
          "ccollections\nOrderedDict\n]q\0h\0h\0\x86"
          "a\x85R.");
    buffer b = {0}; /* d = {"self": d, "t": tensor} */
    PUT(&b, "\x80\x02}q\0(X\4\0\0\0selfh\0X\1\0\0\0t");
    put_tensor(&b, &honest);
    PUT(&b, "u.");
    in_both(&b, expect_one_tensor, "t");
}

/* Lists that all hold each other: as many paths as orders of them. They end, and stop nothing. */
static void test_shared_parts(void **state)
{
    (void)state;
    enum { LISTS = 30 };
    buffer graph = {0}, tower = {0};
    PUT(&graph, "\x80\x02");
    for (int i = 0; i < LISTS; i++) {
        PUT(&graph, "]q");
        put_le(&graph, (uint64_t)i, 1);
    }
    for (int i = 0; i < LISTS; i++) {
        PUT(&graph, "h");
        put_le(&graph, (uint64_t)i, 1);
        PUT(&graph, "(");
        for (int k = 0; k < LISTS; k++) {
            PUT(&graph, "h");
            put_le(&graph, (uint64_t)k, 1);
        }
        PUT(&graph, "e0");
    }
    PUT(&graph, ".");
    in_both(&graph, expect_loads, "lists that all hold each other");

    PUT(&tower, "\x80\x02]q\0"); /* each list holds the one before ten times */
    for (int i = 0; i < LISTS; i++) {
        PUT(&tower, "](");
        for (int k = 0; k < 10; k++) {
            PUT(&tower, "h");
            put_le(&tower, (uint64_t)i, 1);
        }
        PUT(&tower, "eq");
        put_le(&tower, (uint64_t)i + 1, 1);
    }
    PUT(&tower, ".");
    in_both(&tower, expect_loads, "lists that hold another ten times");
}

static void test_depth_and_amount(void **state)
{
    (void)state;
    for (size_t depth = 60; depth < 70; depth++) { /* {"k": {"k": ... tensor}} */
        buffer b = {0};
        PUT(&b, "\x80\x02");
        for (size_t i = 0; i < depth; i++) PUT(&b, "}X\1\0\0\0k");
        put_tensor(&b, &honest);
        put_many(&b, 's', depth);
        PUT(&b, ".");
        in_both(&b, depth <= 65 ? expect_loads : expect_passed_over, "nested more than 64");
    }
    static const char cheap[] = "])}(N\x88\x8f"; /* opcodes that make something of one byte */
    for (size_t i = 0; i < sizeof cheap - 1; i++) {
        buffer b = {0};
        PUT(&b, "\x80\x04");
        put_many(&b, cheap[i], 1 << 20);
        PUT(&b, ".");
        in_both(&b, expect_no_crash, "");
    }
    buffer nested = {0}, many = {0};
    PUT(&nested, "\x80\x02"); /* [[[[...]]]] */
    put_many(&nested, ']', 5000);
    put_many(&nested, 'a', 4999);
    PUT(&nested, ".");
    in_both(&nested, expect_passed_over, "nested more than 64");

    PUT(&many, "\x80\x02}"); /* one tensor under 70000 numbers */
    put_tensor(&many, &honest);
    PUT(&many, "q\0"
               "0(");
    for (uint64_t i = 0; i < 70000; i++) {
        PUT(&many, "J");
        put_le(&many, i, 4);
        PUT(&many, "h\0");
    }
    PUT(&many, "u.");
    in_both(&many, expect_refused, "more than 65536 tensors");
}

/* Values that are no tensors are skipped, whatever they hold. */
static void test_skipped(void **state)
{
    (void)state;
    buffer b = {0};
    PUT(&b, "\x80\x02}(X\1\0\0\0t");
    put_tensor(&b, &honest);
    PUT(&b, "NK\1");                                                    /* None: 1 */
    PUT(&b, "X\1\0\0\0fG\0\0\0\0\0\0\0\0");                             /* float */
    PUT(&b, "K\7X\1\0\0\0x");                                           /* 7: "x" */
    PUT(&b, "X\1\0\0\0l\x8a\x09\0\0\0\0\0\0\0\0\1");                    /* 2^64 */
    PUT(&b, "X\1\0\0\0cccollections\nOrderedDict\n");                   /* a class */
    PUT(&b, "X\1\0\0\0sc__builtin__\nset\n]K\1a\x85R");                 /* a set */
    PUT(&b, "X\1\0\0\0pcargparse\nNamespace\n)\x81}X\1\0\0\0aK\1sb");   /* an object */
    PUT(&b, "X\1\0\0\0bU\3abc");                                        /* str of Python 2 */
    PUT(&b, "X\1\0\0\0dcnumpy\ndtype\nX\2\0\0\0f8\x89\x88\x87R(K\3tb"); /* a dtype */
    PUT(&b, "u.");
    in_both(&b, expect_one_tensor, "t");
}

/* --- The zip container --- */

typedef struct zip_case {
    const char *words; /* NULL: must load */
    int in_directory;  /* field lies in a central record (1), local header (0), end (2) */
    size_t entry, at, size;
    uint64_t value;
} zip_case;

static void test_zip_fields(void **state)
{
    (void)state;
    enum { END64 = 56 + 20, END = 22 };
    static const zip_case cases[] = {
        {"compressed (method 8)", 1, 1, 10, 2, 8},
        {"is encrypted", 1, 1, 8, 2, 1},
        {"outside", 1, 1, 20, 4, 31}, /* stored size */
        {"outside", 1, 1, 24, 4, 64}, /* size */
        {"ZIP64 sizes", 1, 1, 24, 4, UINT32_MAX},
        {"outside", 1, 1, 42, 4, UINT32_MAX - 1},
        {"no header", 1, 1, 42, 4, 1},
        {"no header", 1, 1, 42, 4, 0}, /* another entry's header: the name differs */
        {"directory is damaged", 1, 1, 0, 4, 0},
        {"cut off", 1, 2, 28, 2, 60000},
        {"cut off", 1, 2, 32, 2, 60000},
        {NULL, 1, 2, 10, 2, 8}, /* an entry that no tensor needs may be compressed */
        {"no header", 0, 1, 0, 4, 0},
        {"no header", 0, 1, 26, 2, 12},
        {"no header", 0, 1, 28, 2, UINT16_MAX},
        {NULL, 0, 1, 22, 4, 0}, /* sizes of a local header do not count */
        {"zip archive", 2, 0, END64 + 10, 2, 4},
        {"contradict", 2, 0, END64 + 12, 4, 7},
        {"contradict", 2, 0, END64 + 16, 4, 7},
        {NULL, 2, 0, END64 + 16, 4, UINT32_MAX},
        {NULL, 2, 0, END64 + 10, 2, UINT16_MAX},
        {"no end record", 2, 0, END64 + 20, 2, 1},
        {"contradict", 2, 0, 32, 8, 4}, /* ZIP64 count */
        {"contradict", 2, 0, 32, 8, UINT64_MAX},
        {"contradict", 2, 0, 40, 8, UINT64_MAX},
        {"contradict", 2, 0, 48, 8, UINT64_MAX},
        {"not where", 2, 0, 56 + 8, 8, UINT64_MAX},
        {"not where", 2, 0, 56 + 8, 8, 0},
        {"not where", 2, 0, 56 + 8, 8, 1ULL << 63},
    };
    buffer pickle = {0};
    put_state(&pickle, &honest);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const zip_case *c = &cases[i];
        zip z = {0};
        zip_checkpoint(&z, &pickle);
        size_t directory = zip_end(&z, true), at;
        at = c->in_directory == 2   ? z.file.size - END - END64 + c->at
             : c->in_directory == 1 ? directory + z.records[c->entry] + c->at
                                    : z.headers[c->entry] + c->at;
        memcpy(z.file.at + at, &c->value, c->size);
        if (c->words)
            expect_refused(&z.file, c->words);
        else
            expect_loads(&z.file, "a harmless zip field");
        zip_drop(&z);
    }
    drop(&pickle);
}

/* The end records lie together: both say the same wrong thing. */
static void test_zip_ends(void **state)
{
    (void)state;
    buffer pickle = {0};
    put_state(&pickle, &honest);
    static const uint64_t wrong[] = {0, 1, 4, 1000, 65535, 1ULL << 32, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int field = 0; field < 3; field++) {
            static const size_t small[] = {10, 12, 16}, large[] = {32, 40, 48};
            zip z = {0};
            zip_checkpoint(&z, &pickle);
            zip_end(&z, true);
            uint8_t *end = z.file.at + z.file.size - 22, *end64 = end - 76;
            memset(end + small[field], 0xff, field ? 4 : 2);
            memcpy(end64 + large[field], &wrong[i], 8);
            if (field == 0) memcpy(end64 + 24, &wrong[i], 8);
            expect_refused(&z.file, "zip");
            zip_drop(&z);
        }
    zip z = {0}; /* without ZIP64, with a comment that holds another end record's mark */
    zip_checkpoint(&z, &pickle);
    zip_end(&z, false);
    z.file.at[z.file.size - 2] = 10;
    PUT(&z.file, "PK\x05\x06"
                 "abcdef");
    expect_loads(&z.file, "a zip comment");
    zip_drop(&z);
    drop(&pickle);
}

/* A ZIP64 extra field gives size, stored size and offset; it may stand behind another field. */
static void test_zip64_extra(void **state)
{
    (void)state;
    buffer pickle = {0};
    put_state(&pickle, &honest);
    for (int lie = 0; lie < 4; lie++) {
        zip z = {0};
        zip_add(&z, "data.pkl", pickle.at, pickle.size);
        zip_add(&z, "data/0", floats, sizeof floats);
        uint8_t *record = z.directory.at + z.records[1];
        memset(record + 20, 0xff, 8);
        memset(record + 42, 0xff, 4);
        record[30] = lie == 1 ? 20 : 6 + 4 + 24;
        PUT(&z.directory, "\x99\x99\2\0xx\1\0\x18\0");
        put_le(&z.directory, lie == 2 ? UINT64_MAX : sizeof floats, 8);
        put_le(&z.directory, lie == 2 ? UINT64_MAX : sizeof floats, 8);
        put_le(&z.directory, lie == 3 ? INT64_MAX : z.headers[1], 8);
        zip_end(&z, true);
        if (lie)
            expect_refused(&z.file, lie == 1 ? "ZIP64" : "outside");
        else
            expect_one_tensor(&z.file, "t");
        zip_drop(&z);
    }
    drop(&pickle);
}

static void check_members(const buffer *pickle, const char *const *names, const char *words)
{
    zip z = {0};
    for (size_t i = 0; names[i]; i++) {
        bool object = strstr(names[i], "data.pkl") != NULL, order = strstr(names[i], "order");
        const void *data = object ? (const void *)pickle->at : order ? "big" : (void *)floats;
        zip_add(&z, names[i], data, object ? pickle->size : order ? 3 : sizeof floats);
    }
    zip_end(&z, false);
    if (words)
        expect_refused(&z.file, words);
    else
        expect_loads(&z.file, names[0]);
    zip_drop(&z);
}

static void test_zip_members(void **state)
{
    (void)state;
    buffer pickle = {0};
    put_state(&pickle, &honest);
#define MEMBERS(words, ...) check_members(&pickle, (const char *const[]){__VA_ARGS__, NULL}, words)
    MEMBERS(NULL, "data.pkl", "data/0");
    MEMBERS(NULL, "\xe5\xad\x97 name/data.pkl", "\xe5\xad\x97 name/data/0");
    MEMBERS(NULL, "r/data.pkl", "r/data/0", "r/deep/data.pkl");
    MEMBERS("without data.pkl", "r/deep/data.pkl", "r/deep/data/0");
    MEMBERS("without data.pkl", "a.npy", "data.pkl.npy");
    MEMBERS("more than one data.pkl", "r/data.pkl", "r/data/0", "s/data.pkl");
    MEMBERS("two zip entries r/data/0", "r/data.pkl", "r/data/0", "r/data/0");
    MEMBERS("storage 0", "r/data.pkl", "s/data/0");
    MEMBERS("byte order is \"big\"", "r/data.pkl", "r/byteorder", "r/data/0");
    MEMBERS(NULL, "r/data.pkl", "s/byteorder", "r/data/0");
    MEMBERS("without data.pkl", "r/data.pk");
    drop(&pickle);
}

/* data/0 is made so long that it covers data/1; both are used. */
static void test_zip_overlap(void **state)
{
    (void)state;
    buffer pickle = {0};
    claim second = honest;
    second.key = "1";
    PUT(&pickle, "\x80\x02}(X\1\0\0\0t");
    put_tensor(&pickle, &honest);
    PUT(&pickle, "X\1\0\0\0u");
    put_tensor(&pickle, &second);
    PUT(&pickle, "X\1\0\0\0v"); /* the same storage twice is no overlap */
    put_tensor(&pickle, &second);
    PUT(&pickle, "u.");
    for (uint32_t size = 32; size < 36; size++) {
        zip z = {0};
        zip_checkpoint(&z, &pickle);
        size_t directory = zip_end(&z, true);
        memcpy(z.file.at + directory + z.records[1] + 20, &size, 4);
        memcpy(z.file.at + directory + z.records[1] + 24, &size, 4);
        if (size == 32)
            expect_loads(&z.file, "neighbours");
        else
            expect_refused(&z.file, "overlap");
        zip_drop(&z);
    }
    drop(&pickle);
}

/* --- The legacy container --- */

#define LEGACY(words, keys, count)                                                                 \
    do {                                                                                           \
        buffer file = {0};                                                                         \
        PUT(&file, LEGACY_START);                                                                  \
        put(&file, pickle.at, pickle.size);                                                        \
        PUT(&file, "\x80\x02" keys ".");                                                           \
        put_le(&file, count, 8);                                                                   \
        put(&file, floats, sizeof floats);                                                         \
        expect_refused(&file, words);                                                              \
        drop(&file);                                                                               \
    } while (0)

static void test_legacy(void **state)
{
    (void)state;
    buffer pickle = {0}, b = {0};
    put_state(&pickle, &honest);
    LEGACY("9 elements of 4 bytes", "]X\1\0\0\0000a", 9);
    LEGACY("7 elements, expected 8", "]X\1\0\0\0000a", 7);
    LEGACY("(cut off?)", "]X\1\0\0\0000a", 1ULL << 63);
    LEGACY("(cut off?)", "]X\1\0\0\0000a", 1ULL << 62);
    LEGACY("(cut off?)", "]X\1\0\0\0000a", UINT64_MAX);
    LEGACY("not in the list", "]", 8);
    LEGACY("not in the list", "]X\1\0\0\0001a", 8);
    LEGACY("listed twice", "](X\1\0\0\0000X\1\0\0\0000e", 8);
    LEGACY("belongs to no tensor", "](X\1\0\0\0009X\1\0\0\0000e", 8);
    LEGACY("not a list of strings", "]K\0a", 8);
    LEGACY("not a list of strings", "}", 8);
    drop(&pickle);

    PUT(&b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18.");
    expect_refused(&b, "not one of torch.save");
    drop(&b);
    PUT(&b, "\x80\x02}.");
    expect_refused(&b, "not one of torch.save");
    drop(&b);
    put(&b, LEGACY_START, 15);
    PUT(&b, "\x80\x02M\xea\x03.");
    expect_refused(&b, "not 1001");
    drop(&b);
    put(&b, LEGACY_START, 21);
    PUT(&b, "\x80\x02}X\x0d\0\0\0little_endian\x89s.");
    expect_refused(&b, "big-endian");
    drop(&b);
}

/* One storage under two element types, and views of a storage as PyTorch before 0.4 had them. */
static void test_legacy_storages(void **state)
{
    (void)state;
    buffer pickle = {0}, b = {0};
    claim doubles = honest;
    doubles.type = "torch\nDoubleStorage";
    PUT(&pickle, "\x80\x02}(X\1\0\0\0t");
    put_tensor(&pickle, &honest);
    PUT(&pickle, "X\1\0\0\0u");
    put_tensor(&pickle, &doubles);
    PUT(&pickle, "u.");
    put_legacy(&b, &pickle, ONE_KEY, sizeof ONE_KEY - 1);
    expect_refused(&b, "elements of 4 and 8 bytes");
    drop(&pickle);
    drop(&b);

    for (int64_t offset = 0; offset < 6; offset++) { /* a view of 5 of the 8 elements */
        PUT(&pickle, "\x80\x02}X\1\0\0\0t"
                     "ctorch._utils\n_rebuild_tensor\n((");
        put_string(&pickle, "storage");
        PUT(&pickle, "ctorch\nFloatStorage\n");
        put_string(&pickle, "0");
        put_string(&pickle, "cpu");
        put_integer(&pickle, 8);
        PUT(&pickle, "(X\1\0\0\0k");
        put_integer(&pickle, offset);
        put_integer(&pickle, 5);
        PUT(&pickle, "ttQK\1K\3\x85K\1\x85tRs.");
        put_legacy(&b, &pickle, ONE_KEY, sizeof ONE_KEY - 1);
        if (offset > 3) {
            expect_refused(&b, "view leaves the storage");
        } else {
            fv_weights *w;
            float v[3];
            assert_int_equal(fv_weights_open_memory(&w, b.at, b.size, "view"), FV_OK);
            fv_entry_read_f32(fv_weights_at(w, 0), v);
            assert_true(v[0] == (float)offset + 1 && v[2] == (float)offset + 3);
            fv_weights_close(w);
        }
        drop(&pickle);
        drop(&b);
    }
}

/* Storages without a type, whose tensors bring it: PyTorch 2. */
static void test_untyped_storage(void **state)
{
    (void)state;
    for (int64_t count = 4; count <= 9; count++) {
        buffer pickle = {0};
        zip z = {0};
        claim bytes = honest;
        bytes.type = "torch.storage\nUntypedStorage";
        bytes.count = 32;
        PUT(&pickle, "\x80\x02}X\1\0\0\0t"
                     "ctorch._utils\n_rebuild_tensor_v3\n(");
        put_storage(&pickle, &bytes);
        PUT(&pickle, "K\0");
        put_tuple(&pickle, &count, 1);
        PUT(&pickle, "K\1\x85\x89Nctorch\nfloat32\ntRs.");
        zip_checkpoint(&z, &pickle);
        zip_end(&z, true);
        if (count > 8)
            expect_refused(&z.file, "leave its storage of 8 elements");
        else
            expect_one_tensor(&z.file, "t");
        zip_drop(&z);
        drop(&pickle);
    }
}

/* --- safetensors --- */

static void put_safetensors(buffer *b, const char *header, size_t data)
{
    put_le(b, strlen(header), 8);
    put_text(b, header);
    put_many(b, 0, data);
}

#define T(name, shape, offsets)                                                                    \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_safetensors_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* NULL: must load */
    } cases[] = {
        {"{}", 0, NULL},
        {"{ }  \n\t", 0, NULL},
        {"{\"__metadata__\":{}}", 0, NULL},
        {"{" T("a", "[2]", "[0,8]") "}", 8, NULL},
        {"{" T("a", "[2]", "[8,16]") "," T("b", "[2]", "[0,8]") "}", 16, NULL},
        {"{" T("a", "[]", "[0,4]") "," T("b", "[0,7]", "[4,4]") "}", 4, NULL},
        {"{\"\\u5b57\\ud83d\\ude00\\n\\/\":{\"shape\":[],\"data_offsets\":[0,1],\"dtype\":\"U8\"}}",
         1, NULL},
        {"{" T("a", "[2]", "[0,8]") "}", 7, "cut off"},
        {"{" T("a", "[2]", "[0,8]") "}", 9, "1 bytes follow"},
        {"{" T("a", "[2]", "[1,9]") "}", 9, "gap"},
        {"{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[4,12]") "}", 12, "inside another"},
        {"{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[0,8]") "}", 8, "inside another"},
        {"{" T("a", "[2]", "[0,8]") "," T("a", "[2]", "[8,16]") "}", 16, "two tensors a"},
        {"{" T("a", "[2]", "[0,8]") "," T("\\u0061", "[2]", "[8,16]") "}", 16, "two tensors a"},
        {"{" T("a", "[3]", "[0,8]") "}", 8, "8 bytes of data"},
        {"{" T("a", "[2]", "[8,0]") "}", 8, "leave the 8 bytes"},
        {"{" T("a", "[2]", "[0,9223372036854775807]") "}", 8, "leave the 8 bytes"},
        {"{" T("a", "[2]", "[0,9223372036854775808]") "}", 8, "below 2^63"},
        {"{" T("a", "[9223372036854775807,9223372036854775807]", "[0,8]") "}", 8, "too large"},
        {"{" T("a", "[4294967296,4294967296]", "[0,0]") "}", 0, "too large"},
        {"{" T("a", "[4611686018427387904,4]", "[0,0]") "}", 0, "too large"},
        {"{" T("a", "[0,281474976710656,281474976710656]", "[0,0]") "}", 0, "too large"},
        {"{" T("a", "[-2]", "[0,8]") "}", 8, "non-negative"},
        {"{" T("a", "[2.0]", "[0,8]") "}", 8, "']'"},
        {"{" T("a", "[2e0]", "[0,8]") "}", 8, "']'"},
        {"{" T("a", "[02]", "[0,8]") "}", 8, "non-negative"},
        {"{" T("a", "[2,]", "[0,8]") "}", 8, "non-negative"},
        {"{" T("a", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "," T("b", "[]", "[8,12]") "}", 12, NULL},
        {"{" T("a", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", 9, "1 bytes follow"},
        {"{" T("a", "[2]", "[0,8,9]") "}", 8, "shorter list"},
        {"{" T("a", "[2]", "[0]") "}", 8, "two data_offsets"},
        {"{" T("a", "2", "[0,8]") "}", 8, "a list"},
        {"{" T("a\\u0000", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("\\ud83d", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("\\ude00", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("\\ud83d\\u0041", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("\\x", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("\\u12g4", "[2]", "[0,8]") "}", 8, "valid escape"},
        {"{" T("a\n", "[2]", "[0,8]") "}", 8, "control character"},
        {"{" T("\xff", "[2]", "[0,8]") "}", 8, "UTF-8"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, NULL},
        {"{\"a\":{\"dtype\":\"f32\",\"shape\":[9],\"data_offsets\":[0,4]}}", 4, NULL},
        {"{\"a\":{\"dtype\":\"f32\",\"shape\":[9],\"data_offsets\":[0,5]}}", 4, "leave the 4"},
        {"{\"a\":{\"dtype\":\"f\\u0000\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "escape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "data_offsets\" is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "repeated field"},
        {"{\"a\":{\"dtype\":\"F32\",\"x\":1}}", 4, "unexpected or repeated field \"x\""},
        {"{\"a\":{}}", 4, "a string"},
        {"{\"a\":[]}", 4, "'{'"},
        {"{\"a\":null}", 4, "'{'"},
        {"{\"a\"", 0, "':'"},
        {"{\"a", 0, "end of a string"},
        {"{\"a\\", 0, "escape"},
        {"{\"a\\\"", 0, "end of a string"},
        {"{\"\\u12", 0, "escape"},
        {"{\"\\ud83d\\u", 0, "escape"},
        {"{", 0, "a string"},
        {"{}}", 0, "end of the header"},
        {"{},", 0, "end of the header"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "a string"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "two values"},
        {"{\"__metadata__\":{\"a\":\"1\"},\"__metadata__\":{}}", 0, "only one"},
        {"{\"__metadata__\":[]}", 0, "'{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        put_safetensors(&b, cases[i].header, cases[i].data);
        if (cases[i].words)
            expect_refused(&b, cases[i].words);
        else
            expect_loads(&b, cases[i].header);
        drop(&b);
    }
}

static void test_safetensors_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0,          1,          20,         100000000, 100000001,
                                       UINT32_MAX, 1ULL << 40, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        buffer b = {0};
        put_safetensors(&b, "{" T("a", "[2]", "[0,8]") "}", 8);
        memcpy(b.at, &lengths[i], 8);
        expect_refused(&b, "header");
        drop(&b);
    }
    buffer b = {0}, header = {0}; /* 70000 tensors without elements */
    PUT(&header, "{");
    for (int i = 0; i < 70000; i++) {
        char entry[96];
        snprintf(entry, sizeof entry, "%s" T("%d", "[0]", "[0,0]"), i ? "," : "", i);
        put_text(&header, entry);
    }
    PUT(&header, "}\0");
    put_safetensors(&b, (const char *)header.at, 0);
    expect_refused(&b, "more than 65536");
    drop(&b);
    drop(&header);
}

/* --- .npy --- */

static void test_array_headers(void **state)
{
    (void)state;
#define NPY(descr, order, shape)                                                                   \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } cases[] = {
        {NPY("<f4", "False", "(2,)"), 8, NULL},
        {NPY("<f4", "True", "(2, 1)"), 8, NULL},
        {NPY("<f4", "False", "(2L,)"), 8, NULL},
        {NPY("<f4", "False", "()"), 4, NULL},
        {"{\"shape\":(2,),\"descr\":\"<f4\",\"fortran_order\":True}\n", 8, NULL},
        {NPY("<f4", "False", "(2,)"), 7, "cut off"},
        {NPY("<f4", "False", "(2,)"), 9, "shape needs 8"},
        {NPY("<f4", "False", "(2)"), 8, "','"},
        {NPY("<f4", "False", "2"), 8, "'('"},
        {NPY("<f4", "False", "(,)"), 8, "a dim"},
        {NPY("<f4", "False", "(-2,)"), 8, "a dim"},
        {NPY("<f4", "False", "(2.5,)"), 8, "','"},
        {NPY("<f4", "False", "(9223372036854775807,)"), 8, "too large"},
        {NPY("<f4", "False", "(9223372036854775808,)"), 8, "2^63"},
        {NPY("<f4", "True", "(4294967296, 4294967296)"), 0, "too large"},
        {NPY("<f4", "True", "(0, 4294967296, 4294967296)"), 0, "too large"},
        {NPY("<f4", "False", "(1,1,1,1,1,1,1,1,2)"), 8, "more than 8 dims"},
        {NPY("<f4", "Maybe", "(2,)"), 8, "True or False"},
        {NPY(">f4", "False", "(2,)"), 8, "big-endian"},
        {NPY("<u4", "False", "(2,)"), 8, NULL},
        {NPY("<c8", "False", "(1,)"), 8, "'<c8'"},
        {NPY("|O", "False", "(2,)"), 8, "'|O'"},
        {NPY("", "False", "(2,)"), 8, "''"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "structured"},
        {"{'descr': '<f4', 'shape': (2,), }", 8, "descr, fortran_order and shape"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (2,), }", 8, "each once"},
        {"{'descr': '<f4', 'x': 1, 'shape': (2,), }", 8, "each once"},
        {NPY("<f4", "False", "(2,)") "}", 8, "nothing after"},
        {"", 8, "'{'"},
        {"{", 8, "a string"},
        {"{'descr", 8, "end of a string"},
        {"{'descr'", 8, "':'"},
        {"{'descr':", 8, "a string"},
        {"{'shape':(", 8, "a dim"},
        {"{'shape':(1", 8, "','"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int version = 1; version <= 3; version++) {
            buffer b = {0};
            PUT(&b, "\x93NUMPY");
            put_le(&b, (uint64_t)version, 2);
            put_le(&b, strlen(cases[i].header), version == 1 ? 2 : 4);
            put_text(&b, cases[i].header);
            put_many(&b, 0, cases[i].data);
            fv_status st = try_exact(try_array, b.at, b.size);
            if ((st == FV_OK) != !cases[i].words ||
                (cases[i].words && !strstr(fv_error(), cases[i].words)))
                fail_msg("%s: \"%s\"", cases[i].header, fv_error());
            drop(&b);
        }
    static const char *const starts[] = {"\x93NUMPY\1\0\xff\xff  ", "\x93NUMPY\2\0\xff\xff\xff\xff",
                                         "\x93NUMPY\4\0\1\1\1\1", "\x93NUMPY\1\1\1\1\1\1"};
    for (int i = 0; i < 4; i++) {
        buffer b = {0};
        put(&b, starts[i], 12);
        put_many(&b, ' ', 40);
        assert_true(try_exact(try_array, b.at, b.size) < 0);
        drop(&b);
    }
}

/* Under AddressSanitizer single blocks are limited instead, as its own memory grows with every
 * free. */
static void limit_memory(void)
{
    alarm(TIME_LIMIT);
#if !defined(__SANITIZE_ADDRESS__)
    struct rlimit limit = {(rlim_t)MEMORY_MIB << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_DATA, &limit); /* beyond it, allocations fail: FV_ERR_MEMORY */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed_bytes),
        cmocka_unit_test(test_honest_pickle),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_names),
        cmocka_unit_test(unknown_globals_are_opaque_and_never_called),
        cmocka_unit_test(tensors_of_unknown_types_are_refused_where_they_are_needed),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_shared_parts),
        cmocka_unit_test(test_depth_and_amount),
        cmocka_unit_test(test_skipped),
        cmocka_unit_test(test_zip_fields),
        cmocka_unit_test(test_zip_ends),
        cmocka_unit_test(test_zip64_extra),
        cmocka_unit_test(test_zip_members),
        cmocka_unit_test(test_zip_overlap),
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_legacy_storages),
        cmocka_unit_test(test_untyped_storage),
        cmocka_unit_test(test_safetensors_headers),
        cmocka_unit_test(test_safetensors_lengths),
        cmocka_unit_test(test_array_headers),
    };
    limit_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
