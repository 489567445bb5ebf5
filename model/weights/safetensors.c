/* safetensors: u64 header length, JSON header, one buffer that the tensors fill without gaps.
 *
 *   {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3],
 *    "data_offsets": [0, 24]}, ...}
 *
 * Writing is in safetensors_save.c. The JSON reader knows what such a header may hold and nothing
 * else: objects, strings, non-negative integers and lists of these. Format:
 * huggingface.co/docs/safetensors. */
#include <stdlib.h>

#include "model/weights/weights_internal.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000, MAX_DIMS = 64 };

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
    range *ranges; /* one a tensor, listed or not */
    size_t range_count, capacity;
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
            return fv_fail(FV_ERR_FORMAT, "tensor %.*s: unexpected or repeated field \"%.*s\"",
                           FV_SHOW(fv_text_of(e->name)), FV_SHOW(key));
        seen[field] = true;
        if (field == 0) {
            FV_TRY(read_dtype(j, e));
        } else if (field == 1) {
            int64_t dims[MAX_DIMS];
            FV_TRY(read_integers(j, dims, MAX_DIMS, &e->ndim));
            for (int i = 0; i < e->ndim && i < FV_MAX_DIMS; i++) e->dims[i] = dims[i];
        } else {
            FV_TRY(read_integers(j, offsets, 2, &count));
            if (count != 2) return broken(j, "two data_offsets");
        }
    } while (take(j, ','));
    FV_TRY(expect(j, '}', "',' or '}'"));
    for (int i = 0; i < 3; i++)
        if (!seen[i])
            return fv_fail(FV_ERR_FORMAT, "tensor %.*s: field \"%s\" is missing",
                           FV_SHOW(fv_text_of(e->name)), fields[i]);
    return FV_OK;
}

static fv_status add_range(header *h, range r)
{
    void *ranges = h->ranges;
    if (!fv_grow(&ranges, &h->capacity, h->range_count, sizeof *h->ranges))
        return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    h->ranges = ranges;
    h->ranges[h->range_count++] = r;
    return FV_OK;
}

static fv_status read_tensor(fv_weights *w, header *h, fv_text name)
{
    fv_entry e = {.name = name.at};
    int64_t offsets[2], count;
    FV_TRY(read_info(&h->json, &e, offsets));
    if (offsets[0] > offsets[1] || (uint64_t)offsets[1] > h->buffer.size)
        return fv_fail(FV_ERR_FORMAT,
                       "tensor %.*s: data_offsets [%lld, %lld] leave the %zu bytes of the file's"
                       " buffer (cut off?)",
                       FV_SHOW(name), (long long)offsets[0], (long long)offsets[1], h->buffer.size);
    FV_TRY(add_range(h, (range){offsets[0], offsets[1], e.name}));
    if (name.length > FV_MAX_NAME) return fv_weights_note(w, name, "a name of over 511 bytes");
    if (e.ndim > FV_MAX_DIMS) return fv_weights_note(w, name, "a tensor of over 8 dims");
    if (!fv_entry_product(&e, &count))
        return fv_fail(FV_ERR_FORMAT, "tensor %s: its dims are too large", e.name);
    int64_t size = offsets[1] - offsets[0], wanted = count * (int64_t)fv_file_dtype_size(e.dtype);
    if (size != wanted && e.dtype != FV_FILE_OTHER)
        return fv_fail(FV_ERR_FORMAT, "tensor %s: %lld bytes of data, its dims and dtype need %lld",
                       e.name, (long long)size, (long long)wanted);
    fv_entry_dense_strides(&e);
    FV_TRY(fv_entry_place(&e, (fv_bytes){h->buffer.at + offsets[0], (size_t)size}, 0));
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
            return fv_fail(FV_ERR_FORMAT, "tensor %.*s: its data begins at byte %lld, %s %lld",
                           FV_SHOW(fv_text_of(r->name)), (long long)r->begin,
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
    if (st == FV_OK) st = check_ranges(&h, h.range_count);
    free(h.ranges);
    return st;
}
