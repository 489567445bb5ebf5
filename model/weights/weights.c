/* Checkpoints of any format: recognising it, and the list of entries.
 *
 * The formats live in safetensors.c, torch_zip.c, torch_legacy.c (both on pickle.c) and npy.c; the
 * reading of elements is in elements.c. */
#include "model/weights/weights_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

/* --- Text --- */

int fv_shown_length(fv_text text)
{
    enum { SHOWN = 160 };
    if (text.length <= SHOWN) return (int)text.length;
    size_t n = SHOWN;
    while (n > 0 && ((uint8_t)text.at[n] & 0xc0) == 0x80) n--;
    return (int)n;
}

/* Length of the well formed character at p, 0 if there is none. Unicode standard, table 3-7. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80) return p[0] != 0;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0; /* overlong */
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogate */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0; /* overlong */
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0; /* over U+10FFFF */
    return n;
}

bool fv_text_is_utf8(fv_text text)
{
    for (size_t i = 0; i < text.length;) {
        size_t n = utf8_length((const uint8_t *)text.at + i, text.length - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

/* --- Allocation --- */

struct fv_arena_block {
    struct fv_arena_block *before;
    char bytes[];
};

char *fv_arena_alloc(fv_arena *a, size_t n)
{
    enum { BLOCK = 1 << 14 };
    if (!a->last || n > a->size - a->used) {
        size_t size = n > BLOCK ? n : BLOCK;
        struct fv_arena_block *block = malloc(sizeof *block + size);
        if (!block) return NULL;
        block->before = a->last;
        *a = (fv_arena){block, 0, size};
    }
    char *at = a->last->bytes + a->used;
    a->used += n;
    return at;
}

void fv_arena_free(fv_arena *a)
{
    while (a->last) {
        struct fv_arena_block *before = a->last->before;
        free(a->last);
        a->last = before;
    }
    *a = (fv_arena){NULL, 0, 0};
}

bool fv_grow(void **array, size_t *capacity, size_t count, size_t item_size)
{
    if (count < *capacity) return true;
    size_t more = *capacity ? *capacity * 2 : 16;
    void *grown = realloc(*array, more * item_size);
    if (!grown) return false;
    *array = grown;
    *capacity = more;
    return true;
}

/* --- Sorted names --- */

static int compare_text(fv_text a, fv_text b)
{
    size_t n = a.length < b.length ? a.length : b.length;
    int order = n ? memcmp(a.at, b.at, n) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_keys(const void *a, const void *b)
{
    const fv_key *x = a, *y = b;
    int order = compare_text(x->text, y->text);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

void fv_keys_sort(fv_key *keys, size_t count)
{
    if (count > 1) qsort(keys, count, sizeof *keys, compare_keys);
}

const fv_key *fv_keys_find(const fv_key *sorted, size_t count, fv_text text)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_text(sorted[middle].text, text);
        if (order == 0) return &sorted[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const fv_key *fv_keys_duplicate(const fv_key *sorted, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (compare_text(sorted[i - 1].text, sorted[i].text) == 0) return &sorted[i];
    return NULL;
}

/* --- Entries --- */

size_t fv_entry_count(const fv_entry *e)
{
    size_t count = 1;
    for (int i = 0; i < e->ndim; i++) count *= (size_t)e->dims[i];
    return count;
}

void fv_entry_dense_strides(fv_entry *e)
{
    int64_t stride = 1;
    for (int i = e->ndim - 1; i >= 0; i--) {
        e->strides[i] = stride;
        stride *= e->dims[i] ? e->dims[i] : 1;
    }
}

bool fv_entry_product(const fv_entry *e, int64_t *count)
{
    const int64_t most = (int64_t)1 << 48;
    int64_t nonzero = 1;
    bool empty = false;
    for (int i = 0; i < e->ndim; i++) {
        if (e->dims[i] < 0 || e->dims[i] > most) return false;
        empty = empty || e->dims[i] == 0;
        /* zeros are left out, so that no order of dims can overflow a product of the others */
        if (e->dims[i] && __builtin_mul_overflow(nonzero, e->dims[i], &nonzero)) return false;
        if (nonzero > most) return false;
    }
    *count = empty ? 0 : nonzero;
    return true;
}

/* Offset of the last element, counted like e->strides; false on overflow. */
static bool last_offset(const fv_entry *e, int64_t *last)
{
    for (int i = 0; i < e->ndim; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(e->dims[i] - 1, e->strides[i], &reach)) return false;
        if (e->strides[i] < 0 || __builtin_add_overflow(*last, reach, last)) return false;
    }
    return true;
}

/* Where no element follows in a dim, any stride is right: the dense one keeps the arithmetic of
 * readers small. */
static void tidy_strides(fv_entry *e, bool all)
{
    fv_entry dense = *e;
    fv_entry_dense_strides(&dense);
    for (int i = 0; i < e->ndim; i++)
        if (all || e->dims[i] == 1) e->strides[i] = dense.strides[i];
}

fv_status fv_entry_place(fv_entry *e, fv_bytes storage, int64_t offset)
{
    fv_text name = fv_text_of(e->name);
    bool other = e->dtype == FV_FILE_OTHER; /* of elements whose size is not known */
    size_t item = other ? 1 : fv_file_dtype_size(e->dtype);
    int64_t count, elements = (int64_t)(storage.size / item), last = offset;
    if (!fv_entry_product(e, &count))
        return fv_fail(FV_ERR_FORMAT, "tensor %.*s: its dims are negative or too large",
                       FV_SHOW(name));
    tidy_strides(e, count == 0);
    e->data = storage.at;
    if (count == 0 || other) return FV_OK;
    if (offset < 0 || !last_offset(e, &last) || last >= elements)
        return fv_fail(FV_ERR_FORMAT,
                       "tensor %.*s: its offset, dims and strides leave its storage of %lld"
                       " elements",
                       FV_SHOW(name), (long long)elements);
    if (count > elements && count > FV_FREE_REPEAT)
        return fv_fail(FV_ERR_FORMAT, "tensor %.*s: %lld elements out of a storage of %lld",
                       FV_SHOW(name), (long long)count, (long long)elements);
    e->data = storage.at + (size_t)offset * item;
    return FV_OK;
}

fv_status fv_weights_name(fv_weights *w, fv_text text, const char **name)
{
    if (text.length > FV_MAX_NAME)
        return fv_fail(FV_ERR_FORMAT, "tensor %.*s...: the name has %zu bytes, at most %d are read",
                       FV_SHOW(text), text.length, FV_MAX_NAME);
    if (!fv_text_is_utf8(text))
        return fv_fail(FV_ERR_FORMAT, "tensor %.*s: the name is not UTF-8", FV_SHOW(text));
    char *copy = fv_arena_alloc(&w->arena, text.length + 1);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    if (text.length) memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    *name = copy;
    return FV_OK;
}

fv_status fv_weights_add(fv_weights *w, const fv_entry *e)
{
    if (w->count == FV_MAX_TENSORS)
        return fv_fail(FV_ERR_UNSUPPORTED, "more than %d tensors", FV_MAX_TENSORS);
    void *entries = w->entries;
    if (!fv_grow(&entries, &w->capacity, w->count, sizeof *w->entries))
        return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    w->entries = entries;
    w->entries[w->count++] = *e;
    return FV_OK;
}

fv_status fv_weights_note(fv_weights *w, fv_text path, const char *why)
{
    if (w->note_count == FV_MAX_NOTES) return FV_OK;
    void *notes = w->notes;
    if (!fv_grow(&notes, &w->note_capacity, w->note_count, sizeof *w->notes))
        return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    w->notes = notes;
    /* a name that nothing can be asked for by is no path */
    bool named = path.length <= FV_MAX_NAME && fv_text_is_utf8(path);
    int shown = fv_shown_length(path);
    size_t room = (size_t)shown + strlen(why) + 4;
    char *copy = fv_arena_alloc(&w->arena, path.length + 1),
         *line = fv_arena_alloc(&w->arena, room);
    if (!copy || !line) return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    if (path.length) memcpy(copy, path.at, path.length);
    copy[path.length] = 0;
    snprintf(line, room, "%.*s%s%s", shown, copy, path.length ? ": " : "", why);
    bool utf8 = fv_text_is_utf8(fv_text_of(line));
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || (!utf8 && (unsigned char)*c >= 0x80))
            *c = '?';
    w->notes[w->note_count++] = (fv_note){named ? copy : NULL, line};
    return FV_OK;
}

/* --- Opening --- */

static bool starts_with(fv_bytes file, const char *magic, size_t n)
{
    return file.size >= n && memcmp(file.at, magic, n) == 0;
}

static bool contains_early(fv_bytes file, const char *word)
{
    size_t n = strlen(word), end = file.size < 512 ? file.size : 512;
    for (size_t i = 0; i + n <= end; i++)
        if (strncasecmp((const char *)file.at + i, word, n) == 0) return true;
    return false;
}

static const char *describe_text(fv_bytes file)
{
    if (contains_early(file, "<html") || contains_early(file, "<!doctype html"))
        return "an HTML page (a download that went wrong?)";
    if (starts_with(file, "version https://git-lfs", 23))
        return "a Git LFS pointer, not the file itself (fetch it with \"git lfs pull\")";
    for (size_t i = 0; i < file.size && i < 512; i++)
        if (file.at[i] < 0x20 && !isspace(file.at[i])) return NULL;
    return "a text file";
}

static const char *describe_zeros(fv_bytes file)
{
    for (size_t i = 0; i < file.size && i < 512; i++)
        if (file.at[i]) return NULL;
    return "filled with zeros (a download that did not finish?)";
}

/* What a file that is no checkpoint looks like. */
static const char *describe_stranger(fv_bytes file)
{
    static const struct {
        const char *magic;
        size_t length;
        const char *what;
    } known[] = {
        {"\x1f\x8b", 2, "compressed with gzip (unpack it first)"},
        {"\xfd"
         "7zXZ",
         5, "compressed with xz (unpack it first)"},
        {"BZh", 3, "compressed with bzip2 (unpack it first)"},
        {"\x28\xb5\x2f\xfd", 4, "compressed with zstd (unpack it first)"},
        {"7z\xbc\xaf", 4, "a 7z archive (unpack it first)"},
        {"Rar!", 4, "a rar archive (unpack it first)"},
        {"PK\x05\x06", 4, "an empty zip archive"},
        {"\x89PNG", 4, "a PNG picture"},
        {"\xff\xd8\xff", 3, "a JPEG picture"},
        {"GIF8", 4, "a GIF picture"},
        {"%PDF", 4, "a PDF document"},
        {"\x93NUMPY", 6, "a single NumPy array"},
        {"\x89HDF", 4, "an HDF5 file (Keras?)"},
        {"GGUF", 4, "a GGUF file"},
        {"\x7f"
         "ELF",
         4, "a program"},
    };
    if (file.size == 0) return "empty";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (starts_with(file, known[i].magic, known[i].length)) return known[i].what;
    if (file.size > 262 && memcmp(file.at + 257, "ustar", 5) == 0)
        return "a tar archive (unpack it first)";
    /* protocol buffers: field 1, a small version number, then field 2 */
    if (file.size > 4 && file.at[0] == 0x08 && file.at[1] < 0x20 && file.at[2] == 0x12)
        return "an ONNX or TensorFlow model";
    const char *what = describe_zeros(file);
    if (!what) what = describe_text(file);
    return what ? what : "of an unknown format";
}

static fv_status read_file(fv_weights *w, fv_bytes file)
{
    if (starts_with(file, "PK\x03\x04", 4)) {
        w->format = "torch zip";
        return fv_torch_zip_read(w, file);
    }
    if (file.size >= 2 && file.at[0] == 0x80 && file.at[1] <= 5) {
        w->format = "torch legacy";
        return fv_torch_legacy_read(w, file);
    }
    if (fv_safetensors_detect(file)) {
        w->format = "safetensors";
        return fv_safetensors_read(w, file);
    }
    return fv_fail(FV_ERR_FORMAT, "the file is %s; expected .safetensors or a PyTorch .pth",
                   describe_stranger(file));
}

static bool same_tensor(const fv_entry *a, const fv_entry *b)
{
    bool same = a->data == b->data && a->dtype == b->dtype && a->ndim == b->ndim;
    for (int i = 0; same && i < a->ndim; i++)
        same = a->dims[i] == b->dims[i] && a->strides[i] == b->strides[i];
    return same;
}

/* Of tensors with one name ({"a": {"b": x}, "a.b": y}) the first stays if they are the same; else
 * none, as nobody can say which is meant. Those that go lose their names. */
static fv_status unname_twins(fv_weights *w)
{
    for (size_t i = 0, next; i < w->count; i = next) {
        fv_entry *first = &w->entries[w->keys[i].index];
        bool same = true;
        for (next = i + 1; next < w->count; next++) {
            if (compare_text(w->keys[i].text, w->keys[next].text) != 0) break;
            fv_entry *twin = &w->entries[w->keys[next].index];
            same = same && same_tensor(first, twin);
            twin->name = NULL;
        }
        if (same) continue;
        FV_TRY(fv_weights_note(w, w->keys[i].text, "more than one tensor of this name"));
        first->name = NULL;
    }
    return FV_OK;
}

static void sort_names(fv_weights *w)
{
    for (size_t i = 0; i < w->count; i++) w->keys[i] = (fv_key){fv_text_of(w->entries[i].name), i};
    fv_keys_sort(w->keys, w->count);
}

static fv_status index_names(fv_weights *w)
{
    w->keys = malloc((w->count ? w->count : 1) * sizeof *w->keys);
    if (!w->keys) return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    sort_names(w);
    const fv_key *twice = fv_keys_duplicate(w->keys, w->count);
    if (!twice) return FV_OK;
    if (strcmp(w->format, "safetensors") == 0) /* whose names are keys of one JSON object */
        return fv_fail(FV_ERR_FORMAT, "there are two tensors %.*s", FV_SHOW(twice->text));
    FV_TRY(unname_twins(w));
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->entries[i].name) w->entries[kept++] = w->entries[i];
    w->count = kept;
    sort_names(w);
    return FV_OK;
}

static fv_status new_weights(fv_weights **out, const char *path)
{
    *out = NULL;
    fv_weights *w = calloc(1, sizeof *w);
    if (w) w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    }
    *out = w;
    return FV_OK;
}

static fv_status open_bytes(fv_weights *w, fv_bytes file)
{
    fv_status st = read_file(w, file);
    if (st == FV_OK) st = index_names(w);
    return st == FV_OK ? st : fv_fail_context(st, "opening checkpoint %s", w->path);
}

static fv_status finish_open(fv_weights **out, fv_weights *w, fv_status st)
{
    if (st == FV_OK) {
        *out = w;
    } else {
        fv_weights_close(w);
    }
    return st;
}

fv_status fv_weights_open(fv_weights **out, const char *path)
{
    *out = NULL;
    fv_weights *w;
    FV_TRY(new_weights(&w, path));
    fv_status st = fv_file_map_open(&w->map, path);
    if (st == FV_OK) {
        fv_file_map_scattered(&w->map, 1);
        st = open_bytes(w, (fv_bytes){w->map.data, w->map.size});
        fv_file_map_scattered(&w->map, 0);
    }
    return finish_open(out, w, st);
}

fv_status fv_weights_open_memory(fv_weights **out, const void *data, size_t size, const char *label)
{
    *out = NULL;
    fv_weights *w;
    FV_TRY(new_weights(&w, label));
    return finish_open(out, w, open_bytes(w, (fv_bytes){data, size}));
}

void fv_weights_close(fv_weights *w)
{
    if (!w) return;
    fv_file_map_close(&w->map);
    fv_arena_free(&w->arena);
    free(w->path);
    free(w->entries);
    free(w->keys);
    free(w->metadata);
    free(w->notes);
    free(w);
}

const char *fv_weights_path(const fv_weights *w)
{
    return w->path;
}

const char *fv_weights_format(const fv_weights *w)
{
    return w->format;
}

size_t fv_weights_count(const fv_weights *w)
{
    return w->count;
}

const fv_entry *fv_weights_at(const fv_weights *w, size_t i)
{
    return &w->entries[i];
}

const fv_entry *fv_weights_find(const fv_weights *w, const char *name)
{
    const fv_key *key = fv_keys_find(w->keys, w->count, fv_text_of(name));
    return key ? &w->entries[key->index] : NULL;
}

/* The note of the part that holds `name`: the one with the longest path. */
static const fv_note *note_of(const fv_weights *w, const char *name)
{
    const fv_note *best = NULL;
    for (size_t i = 0; i < w->note_count; i++) {
        const fv_note *note = &w->notes[i];
        if (!note->path) continue;
        size_t n = strlen(note->path);
        bool inside = strncmp(note->path, name, n) == 0 && (n == 0 || !name[n] || name[n] == '.');
        if (inside && (!best || n > strlen(best->path))) best = note;
    }
    return best;
}

fv_status fv_weights_need(const fv_weights *w, const char *name, const fv_entry **out)
{
    const fv_entry *e = fv_weights_find(w, name);
    const fv_note *note = e ? NULL : note_of(w, name);
    *out = NULL;
    if (note)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: tensor %s would be part of what is not read (%s)", w->path,
                       name, note->line);
    if (!e)
        return fv_fail(FV_ERR_FORMAT,
                       "checkpoint %s: tensor %s is missing (is it for another cfg?)", w->path,
                       name);
    if (!fv_entry_readable(e))
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: tensor %s has elements of type %s, which are not supported",
                       w->path, name, fv_entry_dtype_name(e));
    *out = e;
    return FV_OK;
}

size_t fv_weights_note_count(const fv_weights *w)
{
    return w->note_count;
}

const char *fv_weights_note_at(const fv_weights *w, size_t i)
{
    return w->notes[i].line;
}

const char *fv_weights_metadata(const fv_weights *w, const char *key)
{
    for (size_t i = 0; i < w->metadata_count; i++)
        if (strcmp(w->metadata[i].key, key) == 0) return w->metadata[i].value;
    return NULL;
}
