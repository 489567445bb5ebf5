/* safetensors: u64 header length, JSON header, one buffer that the tensors fill without gaps.
 *
 *   {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3],
 *    "data_offsets": [0, 24]}, ...}
 *
 * The JSON reader knows what such a header may hold and nothing else: objects, strings,
 * non-negative integers and lists of these. Format: huggingface.co/docs/safetensors. */
#include <stdlib.h>

#include "model/files.h"
#include "model/weights_internal.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000, ALIGNMENT = 8 };

/* --- JSON --- */

typedef struct json {
    const uint8_t *at, *start, *end;
    fv_weights *w; /* owner of decoded strings */
} json;

static fv_status broken(const json *j, const char *expected)
{
    return fv_fail(FV_ERR_FORMAT, "safetensors header, byte %zu: expected %s",
                   (size_t)(j->at - j->start), expected);
}

static void skip_space(json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
        j->at++;
}

static bool take(json *j, char c)
{
    skip_space(j);
    if (j->at == j->end || *j->at != (uint8_t)c) return false;
    j->at++;
    return true;
}

static fv_status expect(json *j, char c, const char *what)
{
    return take(j, c) ? FV_OK : broken(j, what);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u; -1 if they are not. */
static long hex4(json *j)
{
    long code = 0;
    if (j->end - j->at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*j->at++);
        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

static size_t put_utf8(char *out, long code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}

/* One escape, the backslash already taken. Returns the bytes written, 0 if it is malformed. */
static size_t read_escape(json *j, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (j->at == j->end) return 0;
    uint8_t c = *j->at++;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *out = to[found - from];
        return 1;
    }
    if (c != 'u') return 0;
    long code = hex4(j);
    if (code >= 0xd800 && code < 0xdc00) { /* first half of a surrogate pair */
        if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u') return 0;
        j->at += 2;
        long low = hex4(j);
        if (low < 0xdc00 || low > 0xdfff) return 0;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return 0;
    }
    return code > 0 ? put_utf8(out, code) : 0; /* NUL would end the string early */
}

/* Bytes between the quotes, escapes included; j->at is behind the first quote. */
static size_t raw_length(const json *j)
{
    const uint8_t *p = j->at;
    while (p < j->end && *p != '"') p += *p == '\\' && p + 1 < j->end ? 2 : 1;
    return (size_t)(p - j->at);
}

static fv_status read_string(json *j, fv_text *out)
{
    FV_TRY(expect(j, '"', "a string"));
    char *to = fv_arena_alloc(&j->w->arena, raw_length(j) + 1); /* escapes only get shorter */
    if (!to) return fv_fail(FV_ERR_MEMORY, "reading the safetensors header: out of memory");
    *out = (fv_text){to, 0};
    for (;;) {
        if (j->at == j->end) return broken(j, "the end of a string");
        uint8_t c = *j->at++;
        if (c == '"') break;
        if (c < 0x20) return broken(j, "no control character in a string");
        if (c != '\\') {
            *to++ = (char)c;
            continue;
        }
        size_t n = read_escape(j, to);
        if (n == 0) return broken(j, "a valid escape");
        to += n;
    }
    *to = '\0';
    out->length = (size_t)(to - out->at);
    return fv_text_is_utf8(*out) ? FV_OK : broken(j, "UTF-8");
}

static fv_status read_integer(json *j, int64_t *out)
{
    skip_space(j);
    const uint8_t *first = j->at;
    int64_t value = 0;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *j->at - '0', &value))
            return broken(j, "an integer below 2^63");
    if (j->at == first || (*first == '0' && j->at - first > 1))
        return broken(j, "a non-negative integer");
    *out = value;
    return FV_OK;
}

/* A list of at most `most` integers. */
static fv_status read_integers(json *j, int64_t *out, int most, int *count)
{
    *count = 0;
    FV_TRY(expect(j, '[', "a list"));
    if (take(j, ']')) return FV_OK;
    do {
        if (*count == most) return broken(j, "a shorter list");
        FV_TRY(read_integer(j, &out[(*count)++]));
    } while (take(j, ','));
    return expect(j, ']', "',' or ']'");
}

/* --- Header --- */

typedef struct range {
    int64_t begin, end;
    const char *name;
} range;

typedef struct header {
    json json;
    fv_bytes buffer;
    range *ranges; /* one a tensor */
    size_t capacity;
} header;

/* One that is not known keeps its name: the tensor is listed, and refused when it is used. */
static fv_status read_dtype(json *j, fv_entry *e)
{
    fv_text text;
    FV_TRY(read_string(j, &text));
    e->dtype = FV_FILE_F32;
    while (e->dtype < FV_FILE_OTHER && !fv_text_is(text, fv_file_dtype_name(e->dtype))) e->dtype++;
    if (e->dtype != FV_FILE_OTHER) return FV_OK;
    return fv_weights_name(j->w, text, &e->type);
}

/* The object that describes one tensor. */
static fv_status read_info(json *j, fv_entry *e, int64_t offsets[2])
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    bool seen[3] = {false, false, false};
    FV_TRY(expect(j, '{', "'{'"));
    do {
        fv_text key;
        FV_TRY(read_string(j, &key));
        FV_TRY(expect(j, ':', "':'"));
        int field = 0, count;
        while (field < 3 && !fv_text_is(key, fields[field])) field++;
        if (field == 3 || seen[field])
            return fv_fail(FV_ERR_FORMAT, "tensor %s: unexpected or repeated field \"%.*s\"",
                           e->name, FV_SHOW(key));
        seen[field] = true;
        if (field == 0) {
            FV_TRY(read_dtype(j, e));
        } else if (field == 1) {
            FV_TRY(read_integers(j, e->dims, FV_MAX_DIMS, &e->ndim));
        } else {
            FV_TRY(read_integers(j, offsets, 2, &count));
            if (count != 2) return broken(j, "two data_offsets");
        }
    } while (take(j, ','));
    FV_TRY(expect(j, '}', "',' or '}'"));
    for (int i = 0; i < 3; i++)
        if (!seen[i])
            return fv_fail(FV_ERR_FORMAT, "tensor %s: field \"%s\" is missing", e->name, fields[i]);
    return FV_OK;
}

static fv_status read_tensor(fv_weights *w, header *h, fv_text name)
{
    fv_entry e = {0};
    int64_t offsets[2], count;
    FV_TRY(fv_weights_name(w, name, &e.name));
    FV_TRY(read_info(&h->json, &e, offsets));
    if (!fv_entry_product(&e, &count))
        return fv_fail(FV_ERR_FORMAT, "tensor %s: its dims are too large", e.name);
    if (offsets[0] > offsets[1] || (uint64_t)offsets[1] > h->buffer.size)
        return fv_fail(FV_ERR_FORMAT,
                       "tensor %s: data_offsets [%lld, %lld] leave the %zu bytes of the file's"
                       " buffer (cut off?)",
                       e.name, (long long)offsets[0], (long long)offsets[1], h->buffer.size);
    int64_t size = offsets[1] - offsets[0], wanted = count * (int64_t)fv_file_dtype_size(e.dtype);
    if (size != wanted && e.dtype != FV_FILE_OTHER)
        return fv_fail(FV_ERR_FORMAT, "tensor %s: %lld bytes of data, its dims and dtype need %lld",
                       e.name, (long long)size, (long long)wanted);
    fv_entry_dense_strides(&e);
    FV_TRY(fv_entry_place(&e, (fv_bytes){h->buffer.at + offsets[0], (size_t)size}, 0));
    void *ranges = h->ranges;
    if (!fv_grow(&ranges, &h->capacity, w->count, sizeof *h->ranges))
        return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    h->ranges = ranges;
    h->ranges[w->count] = (range){offsets[0], offsets[1], e.name};
    return fv_weights_add(w, &e);
}

static fv_status add_pair(fv_weights *w, fv_pair pair)
{
    void *pairs = w->metadata;
    if (!fv_grow(&pairs, &w->metadata_capacity, w->metadata_count, sizeof *w->metadata))
        return fv_fail(FV_ERR_MEMORY, "reading __metadata__: out of memory");
    w->metadata = pairs;
    w->metadata[w->metadata_count++] = pair;
    return FV_OK;
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const fv_pair *)a)->key, ((const fv_pair *)b)->key);
}

static fv_status read_metadata(fv_weights *w, json *j)
{
    FV_TRY(expect(j, '{', "'{'"));
    if (take(j, '}')) return FV_OK;
    do {
        fv_text key, value;
        FV_TRY(read_string(j, &key));
        FV_TRY(expect(j, ':', "':'"));
        FV_TRY(read_string(j, &value));
        FV_TRY(add_pair(w, (fv_pair){key.at, value.at}));
    } while (take(j, ','));
    FV_TRY(expect(j, '}', "',' or '}'"));
    qsort(w->metadata, w->metadata_count, sizeof *w->metadata, compare_pairs);
    for (size_t i = 1; i < w->metadata_count; i++) {
        fv_text key = fv_text_of(w->metadata[i].key);
        if (fv_text_is(key, w->metadata[i - 1].key))
            return fv_fail(FV_ERR_FORMAT, "__metadata__ has two values for \"%.*s\"", FV_SHOW(key));
    }
    return FV_OK;
}

static fv_status read_header(fv_weights *w, header *h)
{
    json *j = &h->json;
    bool metadata = false;
    FV_TRY(expect(j, '{', "'{'"));
    if (!take(j, '}')) {
        do {
            fv_text name;
            FV_TRY(read_string(j, &name));
            FV_TRY(expect(j, ':', "':'"));
            if (!fv_text_is(name, "__metadata__")) {
                FV_TRY(read_tensor(w, h, name));
                continue;
            }
            if (metadata) return broken(j, "only one __metadata__");
            metadata = true;
            FV_TRY(read_metadata(w, j));
        } while (take(j, ','));
        FV_TRY(expect(j, '}', "',' or '}'"));
    }
    skip_space(j);
    return j->at == j->end ? FV_OK : broken(j, "the end of the header");
}

static int compare_ranges(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors must fill the buffer: neither shared bytes nor bytes that belong to none. */
static fv_status check_ranges(header *h, size_t count)
{
    int64_t end = 0;
    if (count) qsort(h->ranges, count, sizeof *h->ranges, compare_ranges);
    for (size_t i = 0; i < count; i++) {
        const range *r = &h->ranges[i];
        if (r->begin != end)
            return fv_fail(FV_ERR_FORMAT, "tensor %s: its data begins at byte %lld, %s %lld",
                           r->name, (long long)r->begin,
                           r->begin < end ? "inside another tensor that ends at"
                                          : "after a gap from",
                           (long long)end);
        end = r->end;
    }
    if ((uint64_t)end != h->buffer.size)
        return fv_fail(FV_ERR_FORMAT, "%zu bytes follow after the last tensor",
                       h->buffer.size - (size_t)end);
    return FV_OK;
}

bool fv_safetensors_detect(fv_bytes file)
{
    if (file.size <= LENGTH_BYTES || file.at[LENGTH_BYTES] != '{') return false;
    /* with a nonsensical length it takes more than one byte to tell it from text */
    bool named = file.size > LENGTH_BYTES + 1 && file.at[LENGTH_BYTES + 1] == '"';
    return named || fv_le64(file.at) <= MAX_HEADER;
}

fv_status fv_safetensors_read(fv_weights *w, fv_bytes file)
{
    uint64_t length = fv_le64(file.at);
    size_t left = file.size - LENGTH_BYTES;
    if (length > MAX_HEADER)
        return fv_fail(FV_ERR_FORMAT, "the header claims %llu bytes, at most %d are read",
                       (unsigned long long)length, MAX_HEADER);
    if (length > left)
        return fv_fail(FV_ERR_FORMAT, "the header has %llu bytes, the file only %zu (cut off?)",
                       (unsigned long long)length, left);
    const uint8_t *start = file.at + LENGTH_BYTES;
    header h = {.json = {start, start, start + length, w},
                .buffer = {start + length, left - (size_t)length}};
    fv_status st = read_header(w, &h);
    if (st == FV_OK) st = check_ranges(&h, w->count);
    free(h.ranges);
    return st;
}

/* --- Writing --- */

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
    fv_status st = write_all(file, b, entries, count);
    if (st == FV_OK) return fv_file_commit(file);
    fv_file_abandon(file);
    return st;
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
