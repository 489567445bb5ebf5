/* .npy: "\x93NUMPY", version, header length (u16 in version 1, u32 in 2 and 3), a Python
 * dictionary, then the elements.
 *
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *
 * Source: numpy/lib/format.py. */
#include <stdlib.h>

#include "model/files/files.h"
#include "model/weights/weights_internal.h"

enum { MAGIC_BYTES = 6, VERSION_BYTES = 2, MAX_HEADER = 1 << 16, HEADER_ALIGNMENT = 64 };

struct fv_npy {
    char *path;
    fv_file_map map; /* zeroed if the bytes are the caller's */
    fv_entry entry;
};

typedef struct parser {
    const char *at, *end;
} parser;

static fv_status broken(const char *expected)
{
    return fv_fail(FV_ERR_FORMAT, "the .npy header is damaged: expected %s", expected);
}

static void skip_space(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n')) p->at++;
}

static bool take(parser *p, const char *word)
{
    skip_space(p);
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

static fv_status read_string(parser *p, fv_text *out)
{
    skip_space(p);
    if (p->at == p->end || (*p->at != '\'' && *p->at != '"')) return broken("a string");
    char quote = *p->at++;
    const char *stop = memchr(p->at, quote, (size_t)(p->end - p->at));
    if (!stop) return broken("the end of a string");
    *out = (fv_text){p->at, (size_t)(stop - p->at)};
    p->at = stop + 1;
    return FV_OK;
}

static fv_status read_descr(parser *p, fv_entry *e)
{
    static const struct {
        const char *descr;
        fv_file_dtype dtype;
    } known[] = {
        {"<f4", FV_FILE_F32},  {"<f8", FV_FILE_F64}, {"<f2", FV_FILE_F16}, {"<i8", FV_FILE_I64},
        {"<i4", FV_FILE_I32},  {"<i2", FV_FILE_I16}, {"|i1", FV_FILE_I8},  {"|u1", FV_FILE_U8},
        {"|b1", FV_FILE_BOOL}, {"<u8", FV_FILE_U64}, {"<u4", FV_FILE_U32}, {"<u2", FV_FILE_U16},
    };
    skip_space(p);
    if (p->at < p->end && *p->at == '[')
        return fv_fail(FV_ERR_UNSUPPORTED, "a structured array; expected one of numbers");
    fv_text text;
    FV_TRY(read_string(p, &text));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!fv_text_is(text, known[i].descr)) continue;
        e->dtype = known[i].dtype;
        return FV_OK;
    }
    if (text.length > 0 && *text.at == '>')
        return fv_fail(FV_ERR_UNSUPPORTED, "the elements '%.*s' are big-endian, expected '<'",
                       FV_SHOW(text));
    return fv_fail(FV_ERR_UNSUPPORTED, "elements of type '%.*s' are not supported", FV_SHOW(text));
}

static fv_status read_dim(parser *p, int64_t *out)
{
    const char *first = p->at;
    *out = 0;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, *p->at - '0', out))
            return broken("a dim below 2^63");
    if (p->at == first) return broken("a dim");
    if (p->at < p->end && *p->at == 'L') p->at++; /* long of Python 2 */
    return FV_OK;
}

static fv_status read_shape(parser *p, fv_entry *e)
{
    if (!take(p, "(")) return broken("'(' of the shape");
    while (!take(p, ")")) {
        if (e->ndim == FV_MAX_DIMS)
            return fv_fail(FV_ERR_UNSUPPORTED, "more than %d dims", FV_MAX_DIMS);
        FV_TRY(read_dim(p, &e->dims[e->ndim++]));
        if (take(p, ",")) continue;
        /* "(3)" would be a number, not a tuple */
        if (e->ndim < 2) return broken("',' in the shape");
        if (!take(p, ")")) return broken("')' of the shape");
        break;
    }
    return FV_OK;
}

static fv_status read_dictionary(parser *p, fv_entry *e, bool *fortran)
{
    static const char *const names[] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false, false, false};
    if (!take(p, "{")) return broken("'{'");
    while (!take(p, "}")) {
        fv_text key;
        FV_TRY(read_string(p, &key));
        if (!take(p, ":")) return broken("':'");
        int field = 0;
        while (field < 3 && !fv_text_is(key, names[field])) field++;
        if (field == 3 || seen[field]) return broken("descr, fortran_order and shape, each once");
        seen[field] = true;
        if (field == 0) {
            FV_TRY(read_descr(p, e));
        } else if (field == 2) {
            FV_TRY(read_shape(p, e));
        } else {
            *fortran = take(p, "True");
            if (!*fortran && !take(p, "False")) return broken("True or False");
        }
        if (take(p, ",")) continue;
        if (!take(p, "}")) return broken("'}'");
        break;
    }
    skip_space(p);
    if (p->at != p->end) return broken("nothing after '}'");
    if (!seen[0] || !seen[1] || !seen[2]) return broken("descr, fortran_order and shape");
    return FV_OK;
}

static void fortran_strides(fv_entry *e)
{
    int64_t stride = 1;
    for (int i = 0; i < e->ndim; i++) {
        e->strides[i] = stride;
        stride *= e->dims[i] ? e->dims[i] : 1;
    }
}

static fv_status find_header(fv_bytes file, parser *p, fv_bytes *data)
{
    if (file.size < MAGIC_BYTES + VERSION_BYTES + 2 || memcmp(file.at, "\x93NUMPY", MAGIC_BYTES))
        return fv_fail(FV_ERR_FORMAT, "not a .npy file");
    int version = file.at[MAGIC_BYTES];
    if (version < 1 || version > 3 || file.at[MAGIC_BYTES + 1] != 0)
        return fv_fail(FV_ERR_UNSUPPORTED, ".npy version %d.%d, expected 1.0, 2.0 or 3.0", version,
                       file.at[MAGIC_BYTES + 1]);
    size_t start = MAGIC_BYTES + VERSION_BYTES + (version == 1 ? 2 : 4);
    if (file.size < start) return broken("a header (cut off?)");
    const uint8_t *length = file.at + MAGIC_BYTES + VERSION_BYTES;
    size_t size = version == 1 ? fv_le16(length) : fv_le32(length);
    if (size > MAX_HEADER || size > file.size - start) return broken("a header (cut off?)");
    const char *text = (const char *)file.at + start;
    *p = (parser){text, text + size};
    *data = (fv_bytes){file.at + start + size, file.size - start - size};
    return FV_OK;
}

static fv_status read_array(fv_entry *e, fv_bytes file)
{
    parser p;
    fv_bytes data;
    bool fortran = false;
    int64_t count;
    FV_TRY(find_header(file, &p, &data));
    FV_TRY(read_dictionary(&p, e, &fortran));
    if (!fv_entry_product(e, &count))
        return fv_fail(FV_ERR_FORMAT, "the dims of the array are too large");
    uint64_t wanted = (uint64_t)count * fv_file_dtype_size(e->dtype);
    if (wanted != data.size)
        return fv_fail(FV_ERR_FORMAT, "%zu bytes of elements, the shape needs %llu%s", data.size,
                       (unsigned long long)wanted, wanted > data.size ? " (cut off?)" : "");
    if (fortran) {
        fortran_strides(e);
    } else {
        fv_entry_dense_strides(e);
    }
    return fv_entry_place(e, data, 0);
}

static fv_status open_array(fv_npy **out, const void *bytes, size_t size, const char *path)
{
    *out = NULL;
    fv_npy *a = calloc(1, sizeof *a);
    if (a) a->path = strdup(path);
    if (!a || !a->path) {
        free(a);
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    }
    a->entry.name = a->path;
    fv_status st = bytes ? FV_OK : fv_file_map_open(&a->map, path);
    if (st == FV_OK) {
        fv_bytes file = {a->map.data, a->map.size};
        st = read_array(&a->entry, bytes ? (fv_bytes){bytes, size} : file);
        if (st != FV_OK) st = fv_fail_context(st, "opening array %s", path);
    }
    if (st != FV_OK) {
        fv_npy_close(a);
        return st;
    }
    *out = a;
    return FV_OK;
}

fv_status fv_npy_open(fv_npy **out, const char *path)
{
    return open_array(out, NULL, 0, path);
}

fv_status fv_npy_open_memory(fv_npy **out, const void *data, size_t size, const char *label)
{
    return open_array(out, data, size, label);
}

const fv_entry *fv_npy_entry(const fv_npy *a)
{
    return &a->entry;
}

size_t fv_npy_offset(const fv_npy *a)
{
    return (size_t)((const uint8_t *)a->entry.data - a->map.data);
}

void fv_npy_close(fv_npy *a)
{
    if (!a) return;
    fv_file_map_close(&a->map);
    free(a->path);
    free(a);
}

/* --- Writing --- */

/* The text of the dictionary, padded to `align` bytes with what stands before it. Returns its
 * length. */
static size_t format_header(char *out, size_t size, int ndim, const int64_t *dims, size_t align)
{
    size_t at = (size_t)snprintf(out, size, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int i = 0; i < ndim; i++)
        at += (size_t)snprintf(out + at, size - at,
                               ndim == 1 ? "%lld,"
                               : i       ? ", %lld"
                                         : "%lld",
                               (long long)dims[i]);
    at += (size_t)snprintf(out + at, size - at, "), }");
    while ((MAGIC_BYTES + VERSION_BYTES + 2 + at + 1) % align) out[at++] = ' ';
    out[at++] = '\n';
    return at;
}

fv_status fv_npy_save_f32(const char *path, const float *data, int ndim, const int64_t *dims)
{
    fv_entry shape = {.ndim = ndim};
    int64_t count;
    bool ok = ndim >= 0 && ndim <= FV_MAX_DIMS;
    if (ok && ndim > 0) memcpy(shape.dims, dims, (size_t)ndim * sizeof *dims);
    if (!ok || !fv_entry_product(&shape, &count))
        return fv_fail(FV_ERR_ARGUMENT,
                       "writing %s: the dims are negative or too many or too large", path);
    char header[512]; /* 8 dims of at most 15 digits fit */
    size_t length = format_header(header, sizeof header, ndim, shape.dims, HEADER_ALIGNMENT);
    const uint8_t start[] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)length, (uint8_t)(length >> 8)};
    fv_file_writer *file;
    FV_TRY(fv_file_begin(&file, path));
    fv_status st = fv_file_write(file, start, sizeof start);
    if (st == FV_OK) st = fv_file_write(file, header, length);
    if (st == FV_OK) st = fv_file_write(file, data, (size_t)count * sizeof *data);
    return fv_file_end(file, st);
}

void fv_npy_matrix_header(char out[FV_NPY_MATRIX_HEADER], int64_t rows, int64_t columns)
{
    enum { START = MAGIC_BYTES + VERSION_BYTES + 2 };
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", START); /* 0x76: 128 - START */
    format_header(out + START, FV_NPY_MATRIX_HEADER - START, 2, (int64_t[]){rows, columns},
                  FV_NPY_MATRIX_HEADER);
}
