/* PyTorch checkpoints before 1.6: five pickles in a row (magic number, protocol version, system
 * information, the object, the list of storage keys), then the storages in the order of that
 * list, each an i64 element count and the raw elements. Source: torch/serialization.py. */
#include <stdlib.h>

#include "model/weights/weights_internal.h"

/* 0x1950a86a20f9469cfc6c and 1001 as little-endian integers */
static const uint8_t magic_number[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
static const uint8_t protocol_version[] = {0xe9, 0x03};

typedef struct reader {
    fv_bytes file;
    size_t at;
} reader;

static fv_status next_pickle(reader *r, fv_pickle **out)
{
    size_t used;
    FV_TRY(fv_pickle_read(out, (fv_bytes){r->file.at + r->at, r->file.size - r->at}, &used));
    r->at += used;
    return FV_OK;
}

static fv_status read_integer(reader *r, const uint8_t *wanted, size_t size, const char *otherwise)
{
    fv_pickle *p;
    FV_TRY(next_pickle(r, &p));
    bool ok = fv_pickle_is_integer(p, wanted, size);
    fv_pickle_free(p);
    return ok ? FV_OK : fv_fail(FV_ERR_FORMAT, "%s", otherwise);
}

static fv_status read_system(reader *r)
{
    fv_pickle *p;
    FV_TRY(next_pickle(r, &p));
    bool little = fv_pickle_flag(p, "little_endian", true);
    fv_pickle_free(p);
    if (little) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED, "the byte order is big-endian, expected little-endian");
}

/* --- Storages --- */

/* One key of the list; the element size is known only from the storages that use it. */
typedef struct slot {
    size_t item;
    fv_bytes data;
} slot;

static fv_status note_item_sizes(fv_pickle *object, const fv_key *keys, size_t count, slot *slots)
{
    for (size_t i = 0; i < fv_pickle_storage_count(object); i++) {
        const fv_storage *s = fv_pickle_storage(object, i);
        const fv_key *key = fv_keys_find(keys, count, s->key);
        size_t item = fv_file_dtype_size(s->dtype);
        if (!key)
            return fv_fail(FV_ERR_FORMAT, "storage %.*s is not in the list of keys",
                           FV_SHOW(s->key));
        if (slots[key->index].item && slots[key->index].item != item)
            return fv_fail(FV_ERR_FORMAT, "storage %.*s is used with elements of %zu and %zu bytes",
                           FV_SHOW(s->key), slots[key->index].item, item);
        slots[key->index].item = item;
    }
    return FV_OK;
}

static fv_status read_slot(reader *r, fv_text key, slot *s)
{
    size_t left = r->file.size - r->at;
    if (s->item == 0)
        return fv_fail(FV_ERR_FORMAT, "storage %.*s belongs to no tensor, so its size is unknown",
                       FV_SHOW(key));
    if (left < 8) return fv_fail(FV_ERR_FORMAT, "storage %.*s is cut off", FV_SHOW(key));
    uint64_t elements = fv_le64(r->file.at + r->at);
    left -= 8;
    r->at += 8;
    if (elements > left / s->item)
        return fv_fail(FV_ERR_FORMAT,
                       "storage %.*s: %llu elements of %zu bytes, but the file has %zu bytes left"
                       " (cut off?)",
                       FV_SHOW(key), (unsigned long long)elements, s->item, left);
    s->data = (fv_bytes){r->file.at + r->at, (size_t)elements * s->item};
    r->at += s->data.size;
    return FV_OK;
}

static fv_status attach_storages(fv_pickle *object, const fv_key *keys, size_t count,
                                 const slot *slots)
{
    for (size_t i = 0; i < fv_pickle_storage_count(object); i++) {
        fv_storage *s = fv_pickle_storage(object, i);
        fv_bytes data = slots[fv_keys_find(keys, count, s->key)->index].data;
        size_t item = fv_file_dtype_size(s->dtype);
        if ((uint64_t)s->count > data.size / item)
            return fv_fail(FV_ERR_FORMAT, "storage %.*s: %zu elements, expected %lld",
                           FV_SHOW(s->key), data.size / item, (long long)s->count);
        s->data = (fv_bytes){data.at + (size_t)s->view_offset * item, (size_t)s->view_count * item};
    }
    return FV_OK;
}

static fv_status read_listed(reader *r, fv_pickle *object, const fv_pickle *list, fv_key *keys,
                             slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) keys[i] = (fv_key){fv_pickle_text_at(list, i), i};
    fv_keys_sort(keys, count);
    const fv_key *twice = fv_keys_duplicate(keys, count);
    if (twice) return fv_fail(FV_ERR_FORMAT, "storage %.*s is listed twice", FV_SHOW(twice->text));
    FV_TRY(note_item_sizes(object, keys, count, slots));
    for (size_t i = 0; i < count; i++) FV_TRY(read_slot(r, fv_pickle_text_at(list, i), &slots[i]));
    return attach_storages(object, keys, count, slots);
}

static fv_status read_storages(reader *r, fv_pickle *object, const fv_pickle *list)
{
    size_t count;
    if (!fv_pickle_is_text_list(list, &count))
        return fv_fail(FV_ERR_FORMAT, "the keys of the storages are not a list of strings");
    fv_key *keys = malloc((count + 1) * sizeof *keys);
    slot *slots = calloc(count + 1, sizeof *slots);
    fv_status st = keys && slots
                       ? read_listed(r, object, list, keys, slots, count)
                       : fv_fail(FV_ERR_MEMORY, "listing %zu storages: out of memory", count);
    free(keys);
    free(slots);
    return st;
}

fv_status fv_torch_legacy_read(fv_weights *w, fv_bytes file)
{
    reader r = {file, 0};
    fv_pickle *object, *list;
    FV_TRY(read_integer(&r, magic_number, sizeof magic_number,
                        "a Python pickle, but not one of torch.save"));
    FV_TRY(read_integer(&r, protocol_version, sizeof protocol_version,
                        "the protocol version is not 1001"));
    FV_TRY(read_system(&r));
    FV_TRY(next_pickle(&r, &object));
    fv_status st = next_pickle(&r, &list);
    if (st == FV_OK) {
        st = read_storages(&r, object, list);
        fv_pickle_free(list);
    }
    if (st == FV_OK) st = fv_pickle_add_tensors(object, w);
    fv_pickle_free(object);
    return st;
}
