/* What all of the pickle machine stands on: memory in proportion to the bytes that were read,
 * objects, taking bytes and pushing values. */
#include "model/weights/pickle_internal.h"

enum {
    WORK_BYTES = 1 << 20, /* memory that any pickle may use ... */
    WORK_FACTOR = 48,     /* ... how much more for each of its first bytes ... */
    FEW_BYTES = 1 << 20,  /* ... and how many these are: the tensors of a real checkpoint */
    LATER_FACTOR = 15     /* of the others */
};

fv_status fv_pickle_no_memory(void)
{
    return fv_fail(FV_ERR_MEMORY, "reading the pickle: out of memory");
}

/* Counts an allocation of n bytes. */
fv_status fv_pickle_charge(fv_pickle *p, size_t n)
{
    size_t few = p->at < FEW_BYTES ? p->at : FEW_BYTES;
    if (n > WORK_BYTES + few * WORK_FACTOR + (p->at - few) * LATER_FACTOR - p->work)
        return fv_fail(FV_ERR_FORMAT,
                       "pickle, byte %zu: the objects are out of proportion to their bytes", p->at);
    p->work += n;
    return FV_OK;
}

/* Room for `more` items after the first `count`. */
fv_status fv_pickle_reserve(fv_pickle *p, void **array, size_t *capacity, size_t count, size_t more,
                            size_t item_size)
{
    if (more <= *capacity - count) return FV_OK;
    size_t wanted = count + more, grown = *capacity + *capacity / 2;
    if (grown < wanted) grown = wanted;
    FV_TRY(fv_pickle_charge(p, (grown - *capacity) * item_size));
    void *moved = realloc(*array, grown * item_size);
    if (!moved) return fv_pickle_no_memory();
    *array = moved;
    *capacity = grown;
    return FV_OK;
}

fv_status fv_pickle_object(fv_pickle *p, fv_kind k, fv_value *out)
{
    FV_RESERVE(p, p->objects, p->object_capacity, p->object_count, 1);
    p->objects[p->object_count] = (fv_object){0};
    *out = (fv_value){.kind = k, .u.object = p->object_count++};
    return FV_OK;
}

fv_status fv_pickle_add(fv_pickle *p, size_t at, const fv_value *items, size_t count)
{
    fv_object *o = &p->objects[at];
    if (count == 0) return FV_OK;
    FV_RESERVE(p, o->items, o->capacity, o->count, count);
    memcpy(o->items + o->count, items, count * sizeof *items);
    o->count += count;
    p->slots += count;
    return FV_OK;
}

void fv_pickle_free(fv_pickle *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->object_count; i++) {
        free(p->objects[i].items);
        free(p->objects[i].u.any);
    }
    free(p->objects);
    free(p->storages);
    free(p->stack);
    free(p->memo);
    free(p->marks);
    free(p);
}

fv_status fv_pickle_take(fv_pickle *p, uint64_t n, const uint8_t **out)
{
    if (n > p->size - p->at) return fv_pickle_malformed(p, "it ends in the middle (cut off?)");
    *out = p->data + p->at;
    p->at += (size_t)n;
    return FV_OK;
}

/* A little-endian number of n <= 8 bytes. */
fv_status fv_pickle_take_number(fv_pickle *p, size_t n, uint64_t *out)
{
    const uint8_t *bytes;
    FV_TRY(fv_pickle_take(p, n, &bytes));
    *out = 0;
    for (size_t i = n; i-- > 0;) *out = *out << 8 | bytes[i];
    return FV_OK;
}

fv_status fv_pickle_push(fv_pickle *p, fv_value v)
{
    FV_RESERVE(p, p->stack, p->stack_capacity, p->depth, 1);
    p->stack[p->depth++] = v;
    return FV_OK;
}
