/* What the readers of formats fill: the list of entries with their names, notes on what is not
 * read, and the checks that every tensor lies inside its file. */
#include "model/weights/weights_internal.h"

#include <stdio.h>
#include <stdlib.h>

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

int fv_text_compare(fv_text a, fv_text b)
{
    size_t n = a.length < b.length ? a.length : b.length;
    int order = n ? memcmp(a.at, b.at, n) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_keys(const void *a, const void *b)
{
    const fv_key *x = a, *y = b;
    int order = fv_text_compare(x->text, y->text);
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
        int order = fv_text_compare(sorted[middle].text, text);
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
        if (fv_text_compare(sorted[i - 1].text, sorted[i].text) == 0) return &sorted[i];
    return NULL;
}

/* --- Entries --- */

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
