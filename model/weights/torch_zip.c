/* PyTorch checkpoints since 1.6: a zip archive of stored entries.
 *
 *   ROOT/data.pkl    the pickled object; its storages are named by keys
 *   ROOT/data/KEY    the bytes of one storage
 *   ROOT/byteorder   "little" (absent in older files)
 *
 * Sizes come from the central directory (a local header may hold zeros), the place of the data
 * from the local header's own lengths. Source: PKWARE APPNOTE.TXT 6.3.10, 4.3 and 4.5.3. */
#include <stdlib.h>

#include "model/weights/weights_internal.h"

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT = 65535,
    ZIP64_FIELD = 1,
    FLAG_ENCRYPTED = 1
};

typedef struct member {
    fv_text name;
    uint64_t stored, size, header; /* bytes in the file, unpacked, offset of the local header */
    uint16_t method, flags;
} member;

typedef struct archive {
    fv_bytes file;
    uint64_t count, directory, directory_size; /* of the central directory */
    member *members;
    fv_key *keys; /* sorted names of members */
    fv_text root; /* "archive/", with its slash; "" if there is none */
} archive;

/* --- Central directory --- */

static fv_status find_end(const archive *a, size_t *end)
{
    size_t size = a->file.size;
    for (size_t comment = 0; comment <= MAX_COMMENT && comment + END_BYTES <= size; comment++) {
        const uint8_t *p = a->file.at + size - END_BYTES - comment;
        if (fv_le32(p) != 0x06054b50 || fv_le16(p + 20) != comment) continue;
        *end = size - END_BYTES - comment;
        return FV_OK;
    }
    fv_fail(FV_ERR_FORMAT, "the zip archive has no end record (cut off?)");
    return FV_ERR_FORMAT;
}

/* A field of the end record must be the ZIP64 one's, or say that it stands there. */
static bool agrees(uint64_t small, uint64_t large, uint64_t elsewhere)
{
    return small == elsewhere || small == large;
}

/* Takes the numbers of the ZIP64 end record that the locator before `end` points to. */
static fv_status read_end64(archive *a, size_t end, size_t *limit)
{
    const uint8_t *locator = a->file.at + end - LOCATOR_BYTES, *last = a->file.at + end;
    uint64_t at = fv_le64(locator + 8);
    if (at > end - LOCATOR_BYTES || end - LOCATOR_BYTES - at < END64_BYTES ||
        fv_le32(a->file.at + at) != 0x06064b50)
        return fv_fail(FV_ERR_FORMAT, "the zip archive's ZIP64 end record is not where it should"
                                      " be");
    const uint8_t *p = a->file.at + at;
    a->count = fv_le64(p + 32);
    a->directory_size = fv_le64(p + 40);
    a->directory = fv_le64(p + 48);
    if (fv_le32(p + 16) != 0 || fv_le32(p + 20) != 0 || fv_le64(p + 24) != a->count ||
        !agrees(fv_le16(last + 10), a->count, UINT16_MAX) ||
        !agrees(fv_le32(last + 12), a->directory_size, UINT32_MAX) ||
        !agrees(fv_le32(last + 16), a->directory, UINT32_MAX))
        return fv_fail(FV_ERR_FORMAT, "the zip archive's end records contradict each other");
    *limit = (size_t)at;
    return FV_OK;
}

static fv_status read_end(archive *a)
{
    size_t end, limit;
    FV_TRY(find_end(a, &end));
    const uint8_t *p = a->file.at + end;
    a->count = fv_le16(p + 10);
    a->directory_size = fv_le32(p + 12);
    a->directory = fv_le32(p + 16);
    limit = end;
    if (end >= LOCATOR_BYTES && fv_le32(p - LOCATOR_BYTES) == 0x07064b50) {
        FV_TRY(read_end64(a, end, &limit));
    } else if (fv_le16(p + 4) != 0 || fv_le16(p + 6) != 0 || fv_le16(p + 8) != a->count) {
        return fv_fail(FV_ERR_UNSUPPORTED, "the zip archive is split into parts");
    }
    if (a->directory > limit || a->directory_size > limit - a->directory ||
        a->count > a->directory_size / CENTRAL_BYTES)
        return fv_fail(FV_ERR_FORMAT, "the zip archive's directory lies outside the file");
    return FV_OK;
}

/* Replaces fields that overflowed 32 bits by those of the ZIP64 extra field, which holds only
 * these, in this order. */
static fv_status read_extra(member *m, const uint8_t *p, size_t size)
{
    uint64_t *wide[3] = {&m->size, &m->stored, &m->header};
    size_t needed = 0;
    for (int i = 0; i < 3; i++) needed += *wide[i] == UINT32_MAX ? 8u : 0u;
    while (needed > 0 && size >= 4) {
        size_t field = fv_le16(p + 2);
        if (field > size - 4) break;
        if (fv_le16(p) != ZIP64_FIELD) {
            p += 4 + field;
            size -= 4 + field;
            continue;
        }
        if (field < needed) break;
        p += 4;
        for (int i = 0; i < 3; i++) {
            if (*wide[i] != UINT32_MAX) continue;
            *wide[i] = fv_le64(p);
            p += 8;
        }
        return FV_OK;
    }
    if (needed == 0) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "zip entry %.*s: its ZIP64 sizes are missing", FV_SHOW(m->name));
}

/* One record at p; *used is its length. */
static fv_status read_central(const uint8_t *p, size_t left, member *m, size_t *used)
{
    if (left < CENTRAL_BYTES || fv_le32(p) != 0x02014b50)
        return fv_fail(FV_ERR_FORMAT, "the zip archive's directory is damaged");
    size_t name = fv_le16(p + 28), extra = fv_le16(p + 30), comment = fv_le16(p + 32);
    *used = CENTRAL_BYTES + name + extra + comment;
    if (*used > left) return fv_fail(FV_ERR_FORMAT, "the zip archive's directory is cut off");
    *m = (member){.name = {(const char *)p + CENTRAL_BYTES, name},
                  .stored = fv_le32(p + 20),
                  .size = fv_le32(p + 24),
                  .header = fv_le32(p + 42),
                  .method = fv_le16(p + 10),
                  .flags = fv_le16(p + 8)};
    return read_extra(m, p + CENTRAL_BYTES + name, extra);
}

static fv_status read_directory(archive *a)
{
    size_t count = (size_t)a->count, left = (size_t)a->directory_size, used = 0;
    const uint8_t *p = a->file.at + a->directory;
    a->members = malloc((count + 1) * sizeof *a->members);
    a->keys = malloc((count + 1) * sizeof *a->keys);
    if (!a->members || !a->keys)
        return fv_fail(FV_ERR_MEMORY, "reading the zip directory: out of memory");
    for (size_t i = 0; i < count; i++, p += used, left -= used) {
        FV_TRY(read_central(p, left, &a->members[i], &used));
        a->keys[i] = (fv_key){a->members[i].name, i};
    }
    fv_keys_sort(a->keys, count);
    const fv_key *twice = fv_keys_duplicate(a->keys, count);
    if (!twice) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "there are two zip entries %.*s", FV_SHOW(twice->text));
}

/* --- Members --- */

/* Length of the folder part if the name is "data.pkl" or "FOLDER/data.pkl". */
static bool is_root_of(fv_text name, size_t *folder)
{
    static const char wanted[] = "data.pkl";
    size_t n = sizeof wanted - 1;
    if (name.length < n || memcmp(name.at + name.length - n, wanted, n) != 0) return false;
    *folder = name.length - n;
    const char *slash = memchr(name.at, '/', name.length);
    return slash ? *folder == (size_t)(slash - name.at) + 1 : *folder == 0;
}

static fv_status find_root(archive *a)
{
    bool found = false;
    for (size_t i = 0; i < a->count; i++) {
        size_t folder;
        if (!is_root_of(a->members[i].name, &folder)) continue;
        if (found) return fv_fail(FV_ERR_FORMAT, "the zip archive has more than one data.pkl");
        found = true;
        a->root = (fv_text){a->members[i].name.at, folder};
    }
    if (found) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "a zip archive without data.pkl; expected a PyTorch checkpoint");
}

/* Member "ROOT/folder/key", NULL if there is none. */
static const member *find_member(const archive *a, const char *folder, fv_text key)
{
    char name[512];
    size_t middle = strlen(folder), length = a->root.length + middle + key.length;
    if (length > sizeof name) return NULL;
    memcpy(name, a->root.at, a->root.length);
    memcpy(name + a->root.length, folder, middle);
    memcpy(name + a->root.length + middle, key.at, key.length);
    const fv_key *found = fv_keys_find(a->keys, (size_t)a->count, (fv_text){name, length});
    return found ? &a->members[found->index] : NULL;
}

/* The bytes of a member; its local header must agree about the name and lie before the data. */
static fv_status locate(const archive *a, const member *m, fv_bytes *out)
{
    if (m->flags & FLAG_ENCRYPTED)
        return fv_fail(FV_ERR_UNSUPPORTED, "zip entry %.*s is encrypted", FV_SHOW(m->name));
    if (m->method != 0)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "zip entry %.*s is compressed (method %u); PyTorch stores entries as they"
                       " are: unpack the archive and save the checkpoint again",
                       FV_SHOW(m->name), m->method);
    if (m->stored != m->size || m->header > a->directory || a->directory - m->header < LOCAL_BYTES)
        return fv_fail(FV_ERR_FORMAT, "zip entry %.*s lies outside the file", FV_SHOW(m->name));
    const uint8_t *p = a->file.at + m->header;
    uint64_t left = a->directory - m->header - LOCAL_BYTES;
    uint64_t name = fv_le16(p + 26), extra = fv_le16(p + 28);
    if (fv_le32(p) != 0x04034b50 || name != m->name.length || name + extra > left ||
        memcmp(p + LOCAL_BYTES, m->name.at, name) != 0)
        return fv_fail(FV_ERR_FORMAT, "zip entry %.*s has no header where it should be",
                       FV_SHOW(m->name));
    if (m->size > left - name - extra)
        return fv_fail(FV_ERR_FORMAT, "zip entry %.*s lies outside the file", FV_SHOW(m->name));
    *out = (fv_bytes){p + LOCAL_BYTES + name + extra, (size_t)m->size};
    return FV_OK;
}

static fv_status check_byte_order(const archive *a)
{
    fv_bytes order;
    const member *m = find_member(a, "", fv_text_of("byteorder"));
    if (!m) return FV_OK;
    FV_TRY(locate(a, m, &order));
    fv_text text = {(const char *)order.at, order.size};
    if (fv_text_is(text, "little")) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED, "the byte order is \"%.*s\", expected \"little\"",
                   FV_SHOW(text));
}

/* --- Storages --- */

static fv_status attach_storage(const archive *a, fv_storage *s)
{
    fv_bytes data;
    const member *m = find_member(a, "data/", s->key);
    if (!m)
        return fv_fail(FV_ERR_FORMAT, "storage %.*s: the zip archive has no entry for it",
                       FV_SHOW(s->key));
    FV_TRY(locate(a, m, &data));
    size_t item = fv_file_dtype_size(s->dtype);
    if ((uint64_t)s->count > data.size / item)
        return fv_fail(FV_ERR_FORMAT, "storage %.*s: %zu bytes, expected %lld elements of %zu",
                       FV_SHOW(s->key), data.size, (long long)s->count, item);
    s->data = (fv_bytes){data.at + (size_t)s->view_offset * item, (size_t)s->view_count * item};
    return FV_OK;
}

static int by_address(const void *a, const void *b)
{
    const member *x = *(const member *const *)a, *y = *(const member *const *)b;
    return (x->header > y->header) - (x->header < y->header);
}

/* No byte may belong to two entries, headers included. */
static fv_status check_overlaps(const archive *a, const member **used, size_t count)
{
    if (count > 1) qsort(used, count, sizeof *used, by_address);
    for (size_t i = 1; i < count; i++) {
        fv_bytes before;
        if (used[i] == used[i - 1]) continue; /* one entry, named by several tensors */
        FV_TRY(locate(a, used[i - 1], &before));
        if (before.at + before.size > a->file.at + used[i]->header)
            return fv_fail(FV_ERR_FORMAT, "zip entries %.*s and %.*s overlap",
                           FV_SHOW(used[i - 1]->name), FV_SHOW(used[i]->name));
    }
    return FV_OK;
}

/* Thousands of local headers lie far apart: asking for all of them at once lets the disk fetch
 * them side by side instead of one after the other. */
static void prefetch_headers(const archive *a, const fv_file_map *map)
{
    for (uint64_t i = 0; i < a->count; i++)
        fv_file_map_prefetch(map, a->members[i].header, LOCAL_BYTES);
}

static fv_status attach_storages(const archive *a, const member *object, fv_pickle *p)
{
    size_t count = fv_pickle_storage_count(p);
    const member **used = malloc((count + 1) * sizeof *used);
    if (!used) return fv_fail(FV_ERR_MEMORY, "reading the zip directory: out of memory");
    used[0] = object;
    fv_status st = FV_OK;
    for (size_t i = 0; st == FV_OK && i < count; i++) {
        fv_storage *s = fv_pickle_storage(p, i);
        st = attach_storage(a, s);
        if (st == FV_OK) used[i + 1] = find_member(a, "data/", s->key);
    }
    if (st == FV_OK) st = check_overlaps(a, used, count + 1);
    free(used);
    return st;
}

static fv_status read_object(fv_weights *w, const archive *a)
{
    fv_bytes bytes;
    fv_pickle *p;
    size_t used;
    const member *object = find_member(a, "", fv_text_of("data.pkl"));
    if (!object) return fv_fail(FV_ERR_FORMAT, "the zip archive's root folder has too long a name");
    FV_TRY(locate(a, object, &bytes));
    FV_TRY(fv_pickle_read(&p, bytes, &used));
    fv_status st = attach_storages(a, object, p);
    if (st == FV_OK) st = fv_pickle_add_tensors(p, w);
    fv_pickle_free(p);
    return st;
}

static fv_status read_archive(fv_weights *w, archive *a)
{
    FV_TRY(read_end(a));
    FV_TRY(read_directory(a));
    FV_TRY(find_root(a));
    prefetch_headers(a, &w->map);
    FV_TRY(check_byte_order(a));
    return read_object(w, a);
}

fv_status fv_torch_zip_read(fv_weights *w, fv_bytes file)
{
    archive a = {.file = file};
    fv_status st = read_archive(w, &a);
    free(a.members);
    free(a.keys);
    return st;
}
