/* Weights by name, in a hash table with open addressing. See store.h. */
#include "model/plan/store.h"

#include <stdlib.h>
#include <string.h>

typedef struct item {
    fv_tensor tensor;
    char name[];
} item;

struct fv_store {
    fv_backend *be;
    item **slots; /* [room], a power of two, at most half full */
    size_t room, count, bytes;
};

/* FNV-1a. */
static size_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return (size_t)h;
}

/* The slot of `name`, or the free one where it would go. */
static item **slot_of(item **slots, size_t room, const char *name)
{
    size_t i = hash(name) & (room - 1);
    while (slots[i] && strcmp(slots[i]->name, name) != 0) i = (i + 1) & (room - 1);
    return &slots[i];
}

static fv_status make_room(fv_store *s, size_t room)
{
    item **slots = calloc(room, sizeof *slots);
    if (!slots) return fv_fail(FV_ERR_MEMORY, "keeping weights: out of memory");
    for (size_t i = 0; i < s->room; i++)
        if (s->slots[i]) *slot_of(slots, room, s->slots[i]->name) = s->slots[i];
    free(s->slots);
    s->slots = slots;
    s->room = room;
    return FV_OK;
}

fv_status fv_store_new(fv_store **out, fv_backend *be)
{
    fv_store *s = calloc(1, sizeof *s);
    if (!s) return fv_fail(FV_ERR_MEMORY, "keeping weights: out of memory");
    s->be = be;
    fv_status status = make_room(s, 1024);
    if (status < 0) {
        free(s);
        return status;
    }
    *out = s;
    return FV_OK;
}

void fv_store_free(fv_store *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->room; i++) {
        if (s->slots[i]) s->be->free(s->be, s->slots[i]->tensor.data);
        free(s->slots[i]);
    }
    free(s->slots);
    free(s);
}

const fv_tensor *fv_store_find(const fv_store *s, const char *name)
{
    const item *found = *slot_of(s->slots, s->room, name);
    return found ? &found->tensor : NULL;
}

fv_status fv_store_add(fv_store *s, const char *key, const fv_tensor *tensor)
{
    if (2 * (s->count + 1) > s->room) FV_TRY(make_room(s, 2 * s->room));
    item **slot = slot_of(s->slots, s->room, key);
    if (*slot) return fv_fail(FV_ERR_ARGUMENT, "weight %s is kept already", key);
    size_t length = strlen(key) + 1;
    item *added = malloc(sizeof *added + length);
    if (!added) return fv_fail(FV_ERR_MEMORY, "keeping weight %s: out of memory", key);
    memcpy(added->name, key, length);
    added->tensor = *tensor;
    added->tensor.name = added->name;
    *slot = added;
    s->count++;
    s->bytes +=
        fv_count(tensor->shape) * (tensor->type == FV_I32 ? sizeof(int32_t) : s->be->real_bytes);
    return FV_OK;
}

size_t fv_store_bytes(const fv_store *s)
{
    return s->bytes;
}
