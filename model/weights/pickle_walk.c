/* What can be asked of a parsed pickle, and the walk from its root to every tensor. */
#include "model/weights/pickle_internal.h"

enum { MAX_DEPTH = 64 /* of nested dictionaries, lists and modules */ };

/* --- The result --- */

size_t fv_pickle_storage_count(const fv_pickle *p)
{
    return p->storage_count;
}

fv_storage *fv_pickle_storage(fv_pickle *p, size_t i)
{
    return p->storages[i];
}

bool fv_pickle_is_integer(const fv_pickle *p, const uint8_t *bytes, size_t size)
{
    fv_value v = p->result;
    if (v.kind == KIND_LONG) return v.size == size && memcmp(v.u.bytes, bytes, size) == 0;
    if (v.kind != KIND_INTEGER || size > 8) return false;
    uint64_t wanted = size && bytes[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = size; i-- > 0;) wanted = wanted << 8 | bytes[i];
    return (uint64_t)v.u.integer == wanted;
}

bool fv_pickle_flag(const fv_pickle *p, const char *name, bool otherwise)
{
    if (p->result.kind != KIND_DICT) return otherwise;
    const fv_object *o = fv_object_of(p, p->result);
    for (size_t i = 0; i + 1 < o->count; i += 2)
        if (o->items[i].kind == KIND_TEXT && fv_text_is(fv_value_text(o->items[i]), name) &&
            o->items[i + 1].kind == KIND_BOOL)
            return o->items[i + 1].u.integer != 0;
    return otherwise;
}

bool fv_pickle_is_text_list(const fv_pickle *p, size_t *count)
{
    if (p->result.kind != KIND_LIST) return false;
    const fv_object *o = fv_object_of(p, p->result);
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i].kind != KIND_TEXT) return false;
    *count = o->count;
    return true;
}

fv_text fv_pickle_text_at(const fv_pickle *p, size_t i)
{
    return fv_value_text(fv_object_of(p, p->result)->items[i]);
}

/* --- The walk from the root to every tensor --- */

typedef struct walk {
    fv_pickle *p;
    fv_weights *w;
    size_t steps, most;         /* visits so far, and from when on no object is visited again */
    char name[FV_MAX_NAME + 1]; /* path so far; one byte more shows that it is too long */
} walk;

static fv_status visit(walk *k, fv_value v, size_t length, int depth);

static fv_text path_of(const walk *k, size_t length)
{
    return (fv_text){k->name, length};
}

static fv_status add_tensor(walk *k, fv_value v, size_t length)
{
    const fv_pickled_tensor *t = fv_object_of(k->p, v)->u.tensor;
    fv_entry e = t->shape;
    if (e.ndim < 0) return fv_weights_note(k->w, path_of(k, length), "a tensor of over 8 dims");
    if (length > FV_MAX_NAME)
        return fv_weights_note(k->w, path_of(k, length), "a name of over 511 bytes");
    if (!fv_text_is_utf8(path_of(k, length)))
        return fv_weights_note(k->w, path_of(k, length), "a name that is not UTF-8");
    FV_TRY(fv_weights_name(k->w, path_of(k, length), &e.name));
    if (e.dtype == FV_FILE_OTHER) FV_TRY(fv_weights_name(k->w, t->type, &e.type));
    FV_TRY(fv_entry_place(&e, k->p->objects[t->storage].u.storage->data, t->offset));
    return fv_weights_add(k->w, &e);
}

/* Appends ".key" as far as it fits. A path that is too long matters only if it ends in a tensor. */
static size_t extend_name(walk *k, size_t length, fv_text key)
{
    size_t most = sizeof k->name;
    if (length > 0 && length < most) k->name[length++] = '.';
    size_t n = key.length < most - length ? key.length : most - length;
    if (n) memcpy(k->name + length, key.at, n);
    return length + n;
}

static fv_status visit_child(walk *k, fv_value key, fv_value v, size_t length, int depth)
{
    if (v.kind < KIND_OPAQUE) return FV_OK;
    char digits[24];
    if (key.kind == KIND_TEXT) {
        length = extend_name(k, length, fv_value_text(key));
    } else if (key.kind == KIND_INTEGER) {
        snprintf(digits, sizeof digits, "%lld", (long long)key.u.integer);
        length = extend_name(k, length, fv_text_of(digits));
    } else {
        return FV_OK;
    }
    return visit(k, v, length, depth + 1);
}

static fv_status visit_pairs(walk *k, size_t at, size_t first, size_t length, int depth)
{
    const fv_object *o = &k->p->objects[at]; /* nothing is added to the pickle any more */
    for (size_t i = first; i + 1 < o->count; i += 2)
        FV_TRY(visit_child(k, o->items[i], o->items[i + 1], length, depth));
    return FV_OK;
}

static fv_status visit_list(walk *k, size_t at, size_t length, int depth)
{
    const fv_object *o = &k->p->objects[at];
    for (size_t i = 0; i < o->count; i++) {
        fv_value index = {.kind = KIND_INTEGER, .u.integer = (int64_t)i};
        FV_TRY(visit_child(k, index, o->items[i], length, depth));
    }
    return FV_OK;
}

/* --- Objects of classes --- */

/* The dictionary of an opaque object's attributes; NULL if its state is another one. */
static const fv_value *attributes(const walk *k, const fv_object *o)
{
    const fv_value *state = &o->items[OPAQUE_STATE];
    if (state->kind == KIND_TUPLE && fv_object_of(k->p, *state)->count == 2)
        state = fv_object_of(k->p, *state)->items; /* (attributes, slots) */
    return state->kind == KIND_DICT ? state : NULL;
}

static const fv_value *attribute(const walk *k, fv_value dict, const char *name)
{
    const fv_object *o = fv_object_of(k->p, dict);
    for (size_t i = 0; i + 1 < o->count; i += 2)
        if (o->items[i].kind == KIND_TEXT && fv_text_is(fv_value_text(o->items[i]), name))
            return &o->items[i + 1];
    return NULL;
}

/* A module of a TorchScript archive: its attributes have the names of the state dict. */
static bool is_script_module(const walk *k, fv_value maker)
{
    static const char root[] = "__torch__";
    if (maker.kind != KIND_FOREIGN) return false;
    fv_text module = fv_value_text(fv_object_of(k->p, maker)->items[FOREIGN_MODULE]);
    size_t n = sizeof root - 1;
    return module.length >= n && memcmp(module.at, root, n) == 0 &&
           (module.length == n || module.at[n] == '.');
}

/* "'module.name'" of a global. */
static void describe_maker(const walk *k, fv_value maker, char *out, size_t size)
{
    fv_text module = fv_text_of("?"), name = module;
    if (maker.kind == KIND_GLOBAL) {
        module = fv_text_of(maker.u.global->module);
        name = fv_text_of(maker.u.global->name);
    } else if (maker.kind == KIND_FOREIGN) {
        module = fv_value_text(fv_object_of(k->p, maker)->items[FOREIGN_MODULE]);
        name = fv_value_text(fv_object_of(k->p, maker)->items[FOREIGN_NAME]);
    }
    snprintf(out, size, "made by '%.*s.%.*s'", FV_SHOW(module), FV_SHOW(name));
}

/* Items set by key as those of a dictionary; the attributes of TorchScript's modules; the
 * parameters, buffers and children of a torch.nn.Module. Whatever else there may be is not read. */
static fv_status visit_opaque(walk *k, size_t at, size_t length, int depth)
{
    static const char *const parts[] = {"_parameters", "_buffers", "_modules"};
    const fv_object *o = &k->p->objects[at];
    const fv_value *state = attributes(k, o);
    char maker[400];
    FV_TRY(visit_pairs(k, at, OPAQUE_ITEMS, length, depth));
    if (state && is_script_module(k, o->items[OPAQUE_MAKER]))
        return visit(k, *state, length, depth + 1);
    if (!state || !attribute(k, *state, parts[0])) {
        describe_maker(k, o->items[OPAQUE_MAKER], maker, sizeof maker);
        return fv_weights_note(k->w, path_of(k, length), maker);
    }
    for (int i = 0; i < 3; i++) {
        const fv_value *part = attribute(k, *state, parts[i]);
        if (part && (part->kind == KIND_DICT || part->kind == KIND_OPAQUE))
            FV_TRY(visit(k, *part, length, depth + 1));
    }
    return FV_OK;
}

/* Shared parts are visited under every name they have. As sharing can make exponentially many, a
 * graph that does so is visited only once from some point on. */
static fv_status visit(walk *k, fv_value v, size_t length, int depth)
{
    if (v.kind == KIND_TENSOR) return add_tensor(k, v, length);
    if (v.kind < KIND_OPAQUE || v.kind == KIND_STORAGE) return FV_OK;
    fv_object *o = fv_object_of(k->p, v);
    if (depth > MAX_DEPTH)
        return fv_weights_note(k->w, path_of(k, length), "nested more than 64 deep");
    k->steps += o->count + 1;
    if (o->open) return FV_OK; /* a cycle: its tensors have names already */
    if (o->visited && k->steps > k->most)
        return fv_weights_note(k->w, path_of(k, length), "shared by too many");
    o->open = o->visited = true;
    fv_status st = v.kind == KIND_DICT     ? visit_pairs(k, v.u.object, 0, length, depth)
                   : v.kind == KIND_OPAQUE ? visit_opaque(k, v.u.object, length, depth)
                                           : visit_list(k, v.u.object, length, depth);
    o->open = false;
    return st;
}

fv_status fv_pickle_add_tensors(fv_pickle *p, fv_weights *w)
{
    walk k = {.p = p, .w = w, .most = 4 * p->slots + 4096};
    return visit(&k, p->result, 0, 0);
}
