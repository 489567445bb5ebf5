/* Writing of safetensors files; the format is in safetensors.c. */
#include <stdlib.h>

#include "model/files/files.h"
#include "model/weights/weights_internal.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

/* Text that grows; the first failed allocation is kept until the end. */
typedef struct text_buffer {
    char *at;
    size_t length, capacity;
    bool failed;
} text_buffer;

static void put(text_buffer *b, const char *text, size_t n)
{
    if (b->failed) return;
    if (n > b->capacity - b->length) {
        size_t capacity = (b->length + n) * 2 + 1024;
        char *grown = realloc(b->at, capacity);
        b->failed = !grown;
        if (!grown) return;
        b->at = grown;
        b->capacity = capacity;
    }
    memcpy(b->at + b->length, text, n);
    b->length += n;
}

static void put_text(text_buffer *b, const char *text)
{
    put(b, text, strlen(text));
}

static void put_number(text_buffer *b, int64_t v)
{
    char digits[24];
    put(b, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)v));
}

static void put_string(text_buffer *b, const char *text)
{
    put_text(b, "\"");
    for (; *text; text++) {
        char escape[8];
        if (*text == '"' || *text == '\\') {
            put(b, (char[]){'\\', *text}, 2);
        } else if ((unsigned char)*text < 0x20) {
            put(b, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *text & 0x1f));
        } else {
            put(b, text, 1);
        }
    }
    put_text(b, "\"");
}

static void put_entry(text_buffer *b, const fv_save_entry *e, int64_t begin, int64_t end)
{
    put_string(b, e->name);
    put_text(b, ":{\"dtype\":\"");
    put_text(b, fv_file_dtype_name(e->dtype));
    put_text(b, "\",\"shape\":[");
    for (int i = 0; i < e->ndim; i++) {
        if (i) put_text(b, ",");
        put_number(b, e->dims[i]);
    }
    put_text(b, "],\"data_offsets\":[");
    put_number(b, begin);
    put_text(b, ",");
    put_number(b, end);
    put_text(b, "]}");
}

/* Wide elements first: so all of them are aligned in the mapping. */
static const fv_file_dtype write_order[] = {FV_FILE_I64, FV_FILE_F32, FV_FILE_F16};
enum { WRITE_ORDERS = 3 };

static int64_t element_count(const fv_save_entry *e)
{
    int64_t count = 1;
    for (int i = 0; i < e->ndim; i++) count *= e->dims[i];
    return count;
}

static fv_status check_save_entry(const fv_save_entry *e)
{
    fv_text name = fv_text_of(e->name);
    if (name.length > FV_MAX_NAME || !fv_text_is_utf8(name) || fv_text_is(name, "__metadata__"))
        return fv_fail(FV_ERR_ARGUMENT, "\"%.*s\" cannot be the name of a tensor", FV_SHOW(name));
    if (e->dtype != FV_FILE_F32 && e->dtype != FV_FILE_F16 && e->dtype != FV_FILE_I64)
        return fv_fail(FV_ERR_ARGUMENT, "tensor %s: dtype %s cannot be written", e->name,
                       fv_file_dtype_name(e->dtype));
    fv_entry shape = {.ndim = e->ndim};
    int64_t count;
    if (e->ndim < 0 || e->ndim > FV_MAX_DIMS)
        return fv_fail(FV_ERR_ARGUMENT, "tensor %s: %d dims, at most %d can be written", e->name,
                       e->ndim, FV_MAX_DIMS);
    memcpy(shape.dims, e->dims, (size_t)e->ndim * sizeof *e->dims);
    if (!fv_entry_product(&shape, &count))
        return fv_fail(FV_ERR_ARGUMENT, "tensor %s: its dims are negative or too large", e->name);
    return FV_OK;
}

static fv_status check_metadata(const char *const *metadata)
{
    for (size_t i = 0; metadata && metadata[i]; i++)
        if (!fv_text_is_utf8(fv_text_of(metadata[i])) || (i % 2 == 0 && !metadata[i + 1]))
            return fv_fail(FV_ERR_ARGUMENT, "metadata: text %zu is not UTF-8 or has no value", i);
    return FV_OK;
}

static fv_status check_names(const fv_save_entry *entries, size_t count)
{
    fv_key *keys = malloc((count ? count : 1) * sizeof *keys);
    if (!keys) return fv_fail(FV_ERR_MEMORY, "listing %zu tensors: out of memory", count);
    fv_status st = count > FV_MAX_TENSORS
                       ? fv_fail(FV_ERR_ARGUMENT, "%zu tensors, at most %d", count, FV_MAX_TENSORS)
                       : FV_OK;
    for (size_t i = 0; st == FV_OK && i < count; i++) {
        st = check_save_entry(&entries[i]);
        keys[i] = (fv_key){fv_text_of(entries[i].name), i};
    }
    if (st == FV_OK) {
        fv_keys_sort(keys, count);
        const fv_key *twice = fv_keys_duplicate(keys, count);
        if (twice)
            st = fv_fail(FV_ERR_ARGUMENT, "two tensors are named %.*s", FV_SHOW(twice->text));
    }
    free(keys);
    return st;
}

/* Offsets in the header are in the order of the data, entries in the order of the caller. */
static bool put_header(text_buffer *b, const fv_save_entry *entries, size_t count,
                       const char *const *metadata)
{
    int64_t begins[WRITE_ORDERS] = {0}, end = 0;
    for (int o = 0; o < WRITE_ORDERS; o++) {
        begins[o] = end;
        for (size_t i = 0; i < count; i++)
            if (entries[i].dtype == write_order[o])
                end += element_count(&entries[i]) * (int64_t)fv_file_dtype_size(write_order[o]);
    }
    put_text(b, "{");
    const char *comma = "";
    if (metadata && metadata[0]) {
        put_text(b, "\"__metadata__\":{");
        for (size_t i = 0; metadata[i]; i += 2) {
            put_text(b, i ? "," : "");
            put_string(b, metadata[i]);
            put_text(b, ":");
            put_string(b, metadata[i + 1]);
        }
        put_text(b, "}");
        comma = ",";
    }
    for (size_t i = 0; i < count; i++, comma = ",") {
        int o = 0;
        while (write_order[o] != entries[i].dtype) o++;
        int64_t begin = begins[o];
        begins[o] += element_count(&entries[i]) * (int64_t)fv_file_dtype_size(write_order[o]);
        put_text(b, comma);
        put_entry(b, &entries[i], begin, begins[o]);
    }
    put_text(b, "}");
    while (!b->failed && b->length % ALIGNMENT) put_text(b, " ");
    return !b->failed;
}

uint16_t fv_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);  /* NaN */
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    uint32_t shift, mantissa;
    if (magnitude >= 0x38800000u) { /* normal: the exponent's bias changes by 112 */
        shift = 13;
        mantissa = magnitude - (112u << 23);
    } else {
        uint32_t exponent = magnitude >> 23;
        if (exponent < 102) return (uint16_t)sign; /* below half of the smallest subnormal */
        shift = 126 - exponent;
        mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    }
    uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1),
             tie = 1u << (shift - 1);
    if (rest > tie || (rest == tie && (half & 1))) half++; /* a carry into the exponent is right */
    return (uint16_t)(sign | half);
}

static fv_status write_halves(fv_file_writer *file, const float *data, size_t count)
{
    uint16_t chunk[4096];
    while (count > 0) {
        size_t n = count < 4096 ? count : 4096;
        for (size_t i = 0; i < n; i++) chunk[i] = fv_half(data[i]);
        FV_TRY(fv_file_write(file, chunk, n * sizeof *chunk));
        data += n;
        count -= n;
    }
    return FV_OK;
}

static fv_status write_all(fv_file_writer *file, const text_buffer *b, const fv_save_entry *entries,
                           size_t count)
{
    uint64_t length = b->length;
    FV_TRY(fv_file_write(file, &length, sizeof length));
    FV_TRY(fv_file_write(file, b->at, b->length));
    for (int o = 0; o < WRITE_ORDERS; o++)
        for (size_t i = 0; i < count; i++) {
            const fv_save_entry *e = &entries[i];
            size_t n = (size_t)element_count(e);
            if (e->dtype != write_order[o]) continue;
            if (e->dtype == FV_FILE_F16) {
                FV_TRY(write_halves(file, e->data, n));
            } else {
                FV_TRY(fv_file_write(file, e->data, n * fv_file_dtype_size(e->dtype)));
            }
        }
    return FV_OK;
}

static fv_status save_checked(const char *path, const text_buffer *b, const fv_save_entry *entries,
                              size_t count)
{
    fv_file_writer *file;
    FV_TRY(fv_file_begin(&file, path));
    return fv_file_end(file, write_all(file, b, entries, count));
}

fv_status fv_weights_save(const char *path, const fv_save_entry *entries, size_t count,
                          const char *const *metadata)
{
    fv_status st = check_names(entries, count);
    if (st == FV_OK) st = check_metadata(metadata);
    if (st != FV_OK) return fv_fail_context(st, "writing %s", path);
    text_buffer b = {NULL, 0, 0, false};
    if (put_header(&b, entries, count, metadata)) {
        st = save_checked(path, &b, entries, count);
    } else {
        st = fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    }
    free(b.at);
    return st;
}
