/* Checkpoints of any format: recognising it, opening it, and looking up its tensors.
 *
 * The formats live in safetensors.c, torch_zip.c, torch_legacy.c (both on pickle.c) and npy.c; the
 * list that they fill is in entries.c, the reading of elements in elements.c. */
#include "model/weights/weights_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

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
    /* first: the length that it begins with may be 0x80 0x05 */
    if (fv_safetensors_detect(file)) {
        w->format = "safetensors";
        return fv_safetensors_read(w, file);
    }
    if (file.size >= 2 && file.at[0] == 0x80 && file.at[1] <= 5) {
        w->format = "torch legacy";
        return fv_torch_legacy_read(w, file);
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
            if (fv_text_compare(w->keys[i].text, w->keys[next].text) != 0) break;
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
