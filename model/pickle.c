/* Python pickles, protocol 2 to 5: parsed on a virtual stack machine, never executed.
 *
 * Values are 16 bytes; what holds other values (tuples, lists, dicts) or describes tensors is an
 * object of one array and is meant by its index, so references may form any graph. The machine
 * knows the few globals below and builds tensors itself; harmless ones that occur in training
 * checkpoints become "other" values that are skipped; every other global is refused by name.
 * Memory is bounded by the bytes read so far. Opcodes: CPython, Lib/pickletools.py; what the
 * globals stand for: PyTorch, torch/_utils.py. */
#include <stdlib.h>

#include "model/weights_internal.h"

enum {
    WORK_BYTES = 1 << 20, /* memory that any pickle may use ... */
    WORK_FACTOR = 48,     /* ... and how much more for each of its bytes */
    MAX_DEPTH = 64,       /* of nested dictionaries and lists */
    MEMO_SLACK = 256      /* how far a memo index may run ahead of the number of puts */
};

typedef enum kind {
    KIND_OTHER, /* None, float, bytes, set, ...: never looked at */
    KIND_BOOL,
    KIND_INTEGER,
    KIND_LONG, /* an integer over 64 bits */
    KIND_TEXT,
    KIND_GLOBAL,
    KIND_TUPLE, /* from here on: index of an object */
    KIND_LIST,
    KIND_DICT,
    KIND_STORAGE,
    KIND_TENSOR
} kind;

typedef enum role {
    ROLE_OTHER,
    ROLE_DICT,
    ROLE_SIZE,
    ROLE_TENSOR,
    ROLE_TENSOR_TYPED, /* with the dtype as an argument */
    ROLE_PARAMETER,
    ROLE_STORAGE,
    ROLE_STORAGE_UNTYPED,
    ROLE_DTYPE
} role;

typedef struct global {
    const char *module, *name;
    role role;
    fv_file_dtype dtype; /* of ROLE_STORAGE and ROLE_DTYPE */
} global;

typedef struct value {
    uint32_t kind, size; /* size: of bytes */
    union {
        int64_t integer;
        const uint8_t *bytes;
        const global *global;
        size_t object;
    } u;
} value;

typedef struct object {
    value *items; /* a dict holds key, value, key, value, ... */
    size_t count, capacity;
    fv_storage *storage;
    struct tensor *tensor;
    bool open; /* on the path of the walk: meeting it again is a cycle */
} object;

typedef struct tensor {
    size_t storage; /* object index */
    int64_t offset;
    fv_entry shape;
} tensor;

struct fv_pickle {
    const uint8_t *data;
    size_t size, at;
    size_t work; /* bytes allocated so far */
    value *stack, *memo;
    size_t depth, stack_capacity, memo_count, memo_capacity, puts;
    size_t *marks;
    size_t mark_count, mark_capacity;
    object *objects;
    size_t object_count, object_capacity;
    fv_storage **storages;
    size_t storage_count, storage_capacity;
    size_t slots; /* items of all objects */
    value result;
};

static const global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, 0},
    {"collections", "defaultdict", ROLE_DICT, 0},
    {"torch", "Size", ROLE_SIZE, 0},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v3", ROLE_TENSOR_TYPED, 0},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, 0},
    {"torch", "FloatStorage", ROLE_STORAGE, FV_FILE_F32},
    {"torch", "HalfStorage", ROLE_STORAGE, FV_FILE_F16},
    {"torch", "BFloat16Storage", ROLE_STORAGE, FV_FILE_BF16},
    {"torch", "DoubleStorage", ROLE_STORAGE, FV_FILE_F64},
    {"torch", "LongStorage", ROLE_STORAGE, FV_FILE_I64},
    {"torch", "IntStorage", ROLE_STORAGE, FV_FILE_I32},
    {"torch", "ShortStorage", ROLE_STORAGE, FV_FILE_I16},
    {"torch", "CharStorage", ROLE_STORAGE, FV_FILE_I8},
    {"torch", "ByteStorage", ROLE_STORAGE, FV_FILE_U8},
    {"torch", "BoolStorage", ROLE_STORAGE, FV_FILE_BOOL},
    {"torch.storage", "UntypedStorage", ROLE_STORAGE_UNTYPED, FV_FILE_U8},
    {"torch", "float32", ROLE_DTYPE, FV_FILE_F32},
    {"torch", "float16", ROLE_DTYPE, FV_FILE_F16},
    {"torch", "bfloat16", ROLE_DTYPE, FV_FILE_BF16},
    {"torch", "float64", ROLE_DTYPE, FV_FILE_F64},
    {"torch", "int64", ROLE_DTYPE, FV_FILE_I64},
    {"torch", "int32", ROLE_DTYPE, FV_FILE_I32},
    {"torch", "int16", ROLE_DTYPE, FV_FILE_I16},
    {"torch", "int8", ROLE_DTYPE, FV_FILE_I8},
    {"torch", "uint8", ROLE_DTYPE, FV_FILE_U8},
    {"torch", "bool", ROLE_DTYPE, FV_FILE_BOOL},
    {"torch", "device", ROLE_OTHER, 0},
    {"numpy.core.multiarray", "scalar", ROLE_OTHER, 0},
    {"numpy._core.multiarray", "scalar", ROLE_OTHER, 0},
    {"numpy.core.multiarray", "_reconstruct", ROLE_OTHER, 0},
    {"numpy._core.multiarray", "_reconstruct", ROLE_OTHER, 0},
    {"numpy", "ndarray", ROLE_OTHER, 0},
    {"numpy", "dtype", ROLE_OTHER, 0},
    {"_codecs", "encode", ROLE_OTHER, 0},
    {"argparse", "Namespace", ROLE_OTHER, 0},
    {"collections", "Counter", ROLE_OTHER, 0},
    {"pathlib", "PosixPath", ROLE_OTHER, 0},
    {"builtins", "set", ROLE_OTHER, 0},
    {"builtins", "dict", ROLE_OTHER, 0},
    {"builtins", "list", ROLE_OTHER, 0},
    {"builtins", "int", ROLE_OTHER, 0},
    {"builtins", "float", ROLE_OTHER, 0},
    {"builtins", "bytearray", ROLE_OTHER, 0},
};

/* --- Memory --- */

static fv_status out_of_memory(void)
{
    return fv_fail(FV_ERR_MEMORY, "reading the pickle: out of memory");
}

/* Counts an allocation of n bytes. */
static fv_status charge(fv_pickle *p, size_t n)
{
    if (n > WORK_BYTES + p->at * WORK_FACTOR - p->work)
        return fv_fail(FV_ERR_FORMAT,
                       "pickle, byte %zu: the objects are out of proportion to their bytes", p->at);
    p->work += n;
    return FV_OK;
}

/* Room for `more` items after the first `count`. */
static fv_status reserve(fv_pickle *p, void **array, size_t *capacity, size_t count, size_t more,
                         size_t item_size)
{
    if (more <= *capacity - count) return FV_OK;
    size_t wanted = count + more, grown = *capacity + *capacity / 2;
    if (grown < wanted) grown = wanted;
    FV_TRY(charge(p, (grown - *capacity) * item_size));
    void *moved = realloc(*array, grown * item_size);
    if (!moved) return out_of_memory();
    *array = moved;
    *capacity = grown;
    return FV_OK;
}

#define RESERVE(p, array, capacity, count, more)                                                   \
    do {                                                                                           \
        void *reserved_ = (array);                                                                 \
        fv_status status_ = reserve(p, &reserved_, &(capacity), count, more, sizeof *(array));     \
        (array) = reserved_;                                                                       \
        if (status_ < 0) return status_;                                                           \
    } while (0)

static fv_status new_object(fv_pickle *p, kind k, value *out)
{
    RESERVE(p, p->objects, p->object_capacity, p->object_count, 1);
    p->objects[p->object_count] = (object){0};
    *out = (value){.kind = k, .u.object = p->object_count++};
    return FV_OK;
}

static object *object_of(const fv_pickle *p, value v)
{
    return &p->objects[v.u.object];
}

static fv_status add_items(fv_pickle *p, size_t at, const value *items, size_t count)
{
    object *o = &p->objects[at];
    if (count == 0) return FV_OK;
    RESERVE(p, o->items, o->capacity, o->count, count);
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
        free(p->objects[i].storage);
        free(p->objects[i].tensor);
    }
    free(p->objects);
    free(p->storages);
    free(p->stack);
    free(p->memo);
    free(p->marks);
    free(p);
}

/* --- Bytes and stack --- */

static fv_status malformed(const fv_pickle *p, const char *what)
{
    fv_fail(FV_ERR_FORMAT, "pickle, byte %zu: %s", p->at, what);
    return FV_ERR_FORMAT; /* a constant lets the compiler see that failures have no results */
}

static fv_status take(fv_pickle *p, uint64_t n, const uint8_t **out)
{
    if (n > p->size - p->at) return malformed(p, "it ends in the middle (cut off?)");
    *out = p->data + p->at;
    p->at += (size_t)n;
    return FV_OK;
}

/* A little-endian number of n <= 8 bytes. */
static fv_status take_number(fv_pickle *p, size_t n, uint64_t *out)
{
    const uint8_t *bytes;
    FV_TRY(take(p, n, &bytes));
    *out = 0;
    for (size_t i = n; i-- > 0;) *out = *out << 8 | bytes[i];
    return FV_OK;
}

static fv_status push(fv_pickle *p, value v)
{
    RESERVE(p, p->stack, p->stack_capacity, p->depth, 1);
    p->stack[p->depth++] = v;
    return FV_OK;
}

static fv_status push_other(fv_pickle *p)
{
    return push(p, (value){.kind = KIND_OTHER});
}

static fv_status push_integer(fv_pickle *p, int64_t v)
{
    return push(p, (value){.kind = KIND_INTEGER, .u.integer = v});
}

static fv_status push_bool(fv_pickle *p, bool v)
{
    return push(p, (value){.kind = KIND_BOOL, .u.integer = v});
}

static fv_status push_new(fv_pickle *p, kind k)
{
    value v;
    FV_TRY(new_object(p, k, &v));
    return push(p, v);
}

/* Values that may be popped: those above the last mark. */
static size_t poppable(const fv_pickle *p)
{
    return p->depth - (p->mark_count ? p->marks[p->mark_count - 1] : 0);
}

static fv_status pop(fv_pickle *p, value *out)
{
    if (poppable(p) == 0) return malformed(p, "the stack is empty");
    *out = p->stack[--p->depth];
    return FV_OK;
}

static fv_status top(const fv_pickle *p, value *out)
{
    if (poppable(p) == 0) return malformed(p, "the stack is empty");
    *out = p->stack[p->depth - 1];
    return FV_OK;
}

/* Removes everything above the last mark; the values stay readable until the next push. */
static fv_status pop_mark(fv_pickle *p, const value **items, size_t *count)
{
    if (p->mark_count == 0) return malformed(p, "a mark is missing");
    *count = poppable(p);
    p->depth = p->marks[--p->mark_count];
    *items = p->stack ? p->stack + p->depth : NULL;
    return FV_OK;
}

static fv_status push_mark(fv_pickle *p)
{
    RESERVE(p, p->marks, p->mark_capacity, p->mark_count, 1);
    p->marks[p->mark_count++] = p->depth;
    return FV_OK;
}

/* --- Memo --- */

static fv_status put_memo(fv_pickle *p, uint64_t i)
{
    value v;
    FV_TRY(top(p, &v));
    if (i > p->puts + MEMO_SLACK) return malformed(p, "a memo index is out of order");
    p->puts++;
    if (i >= p->memo_count) {
        size_t more = (size_t)i + 1 - p->memo_count;
        RESERVE(p, p->memo, p->memo_capacity, p->memo_count, more);
        for (size_t k = 0; k < more; k++) p->memo[p->memo_count + k] = (value){.kind = UINT32_MAX};
        p->memo_count += more;
    }
    p->memo[i] = v;
    return FV_OK;
}

static fv_status get_memo(fv_pickle *p, uint64_t i)
{
    if (i >= p->memo_count || p->memo[i].kind == UINT32_MAX)
        return malformed(p, "a memo entry is missing");
    return push(p, p->memo[i]);
}

/* --- Literals --- */

static fv_status read_text(fv_pickle *p, size_t length_bytes)
{
    uint64_t n;
    const uint8_t *bytes;
    FV_TRY(take_number(p, length_bytes, &n));
    FV_TRY(take(p, n, &bytes));
    if (n > UINT32_MAX) return malformed(p, "a string of more than 4 GB");
    return push(p, (value){.kind = KIND_TEXT, .size = (uint32_t)n, .u.bytes = bytes});
}

static fv_status read_bytes(fv_pickle *p, size_t length_bytes)
{
    uint64_t n;
    const uint8_t *bytes;
    FV_TRY(take_number(p, length_bytes, &n));
    FV_TRY(take(p, n, &bytes));
    return push_other(p);
}

/* LONG1, LONG4: little-endian two's complement; no bytes at all is 0. */
static fv_status read_long(fv_pickle *p, size_t length_bytes)
{
    uint64_t n, number = 0;
    const uint8_t *bytes;
    FV_TRY(take_number(p, length_bytes, &n));
    if (n > INT32_MAX) return malformed(p, "an integer has a negative size");
    FV_TRY(take(p, n, &bytes));
    if (n > 8) return push(p, (value){.kind = KIND_LONG, .size = (uint32_t)n, .u.bytes = bytes});
    for (size_t i = (size_t)n; i-- > 0;) number = number << 8 | bytes[i];
    if (n > 0 && n < 8 && bytes[n - 1] & 0x80) number |= UINT64_MAX << (8 * n);
    return push_integer(p, (int64_t)number);
}

static fv_text text_of(value v)
{
    return (fv_text){(const char *)v.u.bytes, v.size};
}

/* --- Globals --- */

static fv_status push_global(fv_pickle *p, fv_text module, fv_text name)
{
    fv_text builtins = fv_text_of("builtins"); /* "__builtin__" in Python 2 and protocol 2 */
    fv_text place = fv_text_is(module, "__builtin__") ? builtins : module;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (fv_text_is(place, globals[i].module) && fv_text_is(name, globals[i].name))
            return push(p, (value){.kind = KIND_GLOBAL, .u.global = &globals[i]});
    return fv_fail(FV_ERR_UNSUPPORTED, "refuses to load pickle global '%.*s.%.*s'", FV_SHOW(module),
                   FV_SHOW(name));
}

static fv_status read_line(fv_pickle *p, fv_text *out)
{
    const uint8_t *start = p->data + p->at, *end = NULL;
    if (p->at < p->size) end = memchr(start, '\n', p->size - p->at);
    if (!end) return malformed(p, "a line has no end");
    *out = (fv_text){(const char *)start, (size_t)(end - start)};
    p->at += out->length + 1;
    return FV_OK;
}

static fv_status read_global(fv_pickle *p)
{
    fv_text module, name;
    FV_TRY(read_line(p, &module));
    FV_TRY(read_line(p, &name));
    return push_global(p, module, name);
}

static fv_status read_stack_global(fv_pickle *p)
{
    value module, name;
    FV_TRY(pop(p, &name));
    FV_TRY(pop(p, &module));
    if (module.kind != KIND_TEXT || name.kind != KIND_TEXT)
        return malformed(p, "the name of a global is not a string");
    return push_global(p, text_of(module), text_of(name));
}

/* --- Storages and tensors --- */

static bool is_global(value v, role r)
{
    return v.kind == KIND_GLOBAL && v.u.global->role == r;
}

static bool is_count(value v)
{
    return v.kind == KIND_INTEGER && v.u.integer >= 0;
}

/* A view of a storage: (key of its own, offset, count). */
static fv_status read_view(fv_pickle *p, value v, fv_storage *s)
{
    if (v.kind == KIND_OTHER) return FV_OK;
    if (v.kind != KIND_TUPLE || object_of(p, v)->count != 3)
        return malformed(p, "a storage's view is not understood");
    const value *item = object_of(p, v)->items;
    if (!is_count(item[1]) || !is_count(item[2]) || item[1].u.integer > s->count ||
        item[2].u.integer > s->count - item[1].u.integer)
        return malformed(p, "a storage's view leaves the storage");
    s->view_offset = item[1].u.integer;
    s->view_count = item[2].u.integer;
    return FV_OK;
}

/* BINPERSID of ("storage", type, key, location, count) or the same with a view behind. */
static fv_status read_storage(fv_pickle *p)
{
    value id;
    FV_TRY(pop(p, &id));
    size_t count = id.kind == KIND_TUPLE ? object_of(p, id)->count : 0;
    if (count != 5 && count != 6) return malformed(p, "a persistent id is not a storage's");
    const value *item = object_of(p, id)->items;
    bool typed = is_global(item[1], ROLE_STORAGE);
    if (item[0].kind != KIND_TEXT || !fv_text_is(text_of(item[0]), "storage") ||
        (!typed && !is_global(item[1], ROLE_STORAGE_UNTYPED)) || item[2].kind != KIND_TEXT ||
        !is_count(item[4]))
        return malformed(p, "a persistent id is not a storage's");
    FV_TRY(charge(p, sizeof(fv_storage)));
    fv_storage s = {.key = text_of(item[2]),
                    .dtype = item[1].u.global->dtype,
                    .count = item[4].u.integer,
                    .view_count = item[4].u.integer};
    if (count == 6) FV_TRY(read_view(p, item[5], &s));
    RESERVE(p, p->storages, p->storage_capacity, p->storage_count, 1);
    value v;
    FV_TRY(new_object(p, KIND_STORAGE, &v));
    fv_storage *kept = malloc(sizeof *kept);
    if (!kept) return out_of_memory();
    *kept = s;
    object_of(p, v)->storage = kept;
    p->storages[p->storage_count++] = kept;
    return push(p, v);
}

/* Copies a tuple of integers; -1: it is none, or has more than FV_MAX_DIMS. */
static int read_dims(const fv_pickle *p, value v, int64_t out[FV_MAX_DIMS])
{
    if (v.kind != KIND_TUPLE || object_of(p, v)->count > FV_MAX_DIMS) return -1;
    const object *o = object_of(p, v);
    for (size_t i = 0; i < o->count; i++) {
        if (!is_count(o->items[i])) return -1;
        out[i] = o->items[i].u.integer;
    }
    return (int)o->count;
}

/* (storage, offset, size, stride, ...), with the dtype as the seventh if it is `typed`. */
static fv_status make_tensor(fv_pickle *p, value args, bool typed, value *out)
{
    size_t count = object_of(p, args)->count;
    const value *item = object_of(p, args)->items;
    if (count < (typed ? 7u : 4u) || item[0].kind != KIND_STORAGE || !is_count(item[1]) ||
        (typed && !is_global(item[6], ROLE_DTYPE)))
        return malformed(p, "the arguments of a tensor are not understood");
    tensor t = {.storage = item[0].u.object, .offset = item[1].u.integer};
    t.shape.dtype = typed ? item[6].u.global->dtype : object_of(p, item[0])->storage->dtype;
    t.shape.ndim = read_dims(p, item[2], t.shape.dims);
    if (t.shape.ndim < 0 || read_dims(p, item[3], t.shape.strides) != t.shape.ndim)
        return malformed(p, "a tensor has negative, mismatched or more than 8 dims");
    FV_TRY(charge(p, sizeof t));
    FV_TRY(new_object(p, KIND_TENSOR, out));
    tensor *kept = malloc(sizeof *kept);
    if (!kept) return out_of_memory();
    *kept = t;
    object_of(p, *out)->tensor = kept;
    return FV_OK;
}

/* OrderedDict([(key, value), ...]), or without arguments. */
static fv_status make_dict(fv_pickle *p, value args, value *out)
{
    FV_TRY(new_object(p, KIND_DICT, out));
    const object *a = object_of(p, args);
    if (a->count == 0 || a->items[0].kind != KIND_LIST) return FV_OK;
    size_t list = a->items[0].u.object;
    for (size_t i = 0; i < p->objects[list].count; i++) {
        value pair = p->objects[list].items[i];
        bool ok =
            (pair.kind == KIND_TUPLE || pair.kind == KIND_LIST) && object_of(p, pair)->count == 2;
        if (!ok) return malformed(p, "a dictionary is not made of pairs");
        value items[2] = {object_of(p, pair)->items[0], object_of(p, pair)->items[1]};
        FV_TRY(add_items(p, out->u.object, items, 2));
    }
    return FV_OK;
}

/* The value of a known global called with args: REDUCE and NEWOBJ. */
static fv_status call(fv_pickle *p, value function, value args)
{
    value out = {.kind = KIND_OTHER};
    if (function.kind != KIND_GLOBAL) return malformed(p, "what is called is not a global");
    if (args.kind != KIND_TUPLE) return malformed(p, "the arguments of a call are not a tuple");
    const object *a = object_of(p, args);
    switch (function.u.global->role) {
    case ROLE_OTHER:
        break;
    case ROLE_DICT:
        FV_TRY(make_dict(p, args, &out));
        break;
    case ROLE_SIZE:
        if (a->count != 1 || (a->items[0].kind != KIND_TUPLE && a->items[0].kind != KIND_LIST))
            return malformed(p, "torch.Size is not made of a tuple");
        out = a->items[0];
        out.kind = KIND_TUPLE;
        break;
    case ROLE_TENSOR:
    case ROLE_TENSOR_TYPED:
        FV_TRY(make_tensor(p, args, function.u.global->role == ROLE_TENSOR_TYPED, &out));
        break;
    case ROLE_PARAMETER:
        if (a->count == 0 || a->items[0].kind != KIND_TENSOR)
            return malformed(p, "a parameter is not made of a tensor");
        out = a->items[0];
        break;
    default:
        return fv_fail(FV_ERR_UNSUPPORTED, "refuses to call pickle global '%s.%s'",
                       function.u.global->module, function.u.global->name);
    }
    return push(p, out);
}

static fv_status read_call(fv_pickle *p, bool keywords)
{
    value function, args, named;
    if (keywords) FV_TRY(pop(p, &named));
    FV_TRY(pop(p, &args));
    FV_TRY(pop(p, &function));
    if (keywords && !is_global(function, ROLE_OTHER))
        return malformed(p, "a call has keywords, which no tensor needs");
    return call(p, function, args);
}

/* --- Containers --- */

static fv_status read_tuple(fv_pickle *p, size_t count)
{
    if (poppable(p) < count) return malformed(p, "the stack is empty");
    value v;
    FV_TRY(new_object(p, KIND_TUPLE, &v));
    p->depth -= count;
    FV_TRY(add_items(p, v.u.object, p->stack + p->depth, count));
    return push(p, v);
}

static fv_status read_marked_tuple(fv_pickle *p)
{
    const value *items;
    size_t count;
    value v;
    FV_TRY(pop_mark(p, &items, &count));
    FV_TRY(new_object(p, KIND_TUPLE, &v));
    FV_TRY(add_items(p, v.u.object, items, count));
    return push(p, v);
}

/* Adds what was popped to the container below; "other" values take anything and keep nothing. */
static fv_status add_popped(fv_pickle *p, kind k, const value *items, size_t count)
{
    value target;
    FV_TRY(top(p, &target));
    if (target.kind == KIND_OTHER) return FV_OK;
    if (target.kind != (uint32_t)k) return malformed(p, "items are added to what holds none");
    if (k == KIND_DICT && count % 2 != 0) return malformed(p, "a key has no value");
    return add_items(p, target.u.object, items, count);
}

static fv_status read_items(fv_pickle *p, kind k)
{
    const value *items;
    size_t count;
    FV_TRY(pop_mark(p, &items, &count));
    return add_popped(p, k, items, count);
}

static fv_status read_few_items(fv_pickle *p, kind k, size_t count)
{
    value items[2];
    for (size_t i = count; i-- > 0;) FV_TRY(pop(p, &items[i]));
    return add_popped(p, k, items, count);
}

/* BUILD: the state of an object. A state dict's (its _metadata) and an unknown one's are of no
 * use here; nothing else may have one. */
static fv_status read_build(fv_pickle *p)
{
    value state, target;
    FV_TRY(pop(p, &state));
    FV_TRY(top(p, &target));
    if (target.kind != KIND_DICT && target.kind != KIND_OTHER && target.kind != KIND_TENSOR)
        return malformed(p, "a state is given to what has none");
    return FV_OK;
}

static fv_status drop_mark(fv_pickle *p)
{
    const value *items;
    size_t count;
    return pop_mark(p, &items, &count);
}

/* --- Opcodes --- */

static fv_status read_protocol(fv_pickle *p)
{
    uint64_t protocol;
    FV_TRY(take_number(p, 1, &protocol));
    if (protocol < 2 || protocol > 5)
        return fv_fail(FV_ERR_UNSUPPORTED, "the pickle has protocol %d, expected 2 to 5",
                       (int)protocol);
    return FV_OK;
}

static fv_status read_number(fv_pickle *p, uint8_t code)
{
    uint64_t v = 0;
    FV_TRY(take_number(p, code == 'J' ? 4 : code == 'M' ? 2 : 1, &v));
    return push_integer(p, code == 'J' ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

static fv_status read_memo(fv_pickle *p, uint8_t code)
{
    uint64_t i;
    bool wide = code == 'r' || code == 'j';
    FV_TRY(take_number(p, wide ? 4 : 1, &i));
    return code == 'q' || code == 'r' ? put_memo(p, i) : get_memo(p, i);
}

static fv_status read_frame(fv_pickle *p)
{
    uint64_t n;
    FV_TRY(take_number(p, 8, &n));
    return n <= p->size - p->at ? FV_OK : malformed(p, "a frame is cut off");
}

static fv_status duplicate_top(fv_pickle *p)
{
    value v;
    FV_TRY(top(p, &v));
    return push(p, v);
}

/* POP removes a mark where one is on top. */
static fv_status read_pop(fv_pickle *p)
{
    value v;
    if (p->mark_count && poppable(p) == 0) return drop_mark(p);
    return pop(p, &v);
}

static fv_status read_opcode(fv_pickle *p, uint8_t code)
{
    const uint8_t *skipped;
    switch (code) {
    case 0x80: /* PROTO */
        return read_protocol(p);
    case 0x95: /* FRAME */
        return read_frame(p);
    case '(': /* MARK */
        return push_mark(p);
    case '0': /* POP */
        return read_pop(p);
    case '1': /* POP_MARK */
        return drop_mark(p);
    case '2': /* DUP */
        return duplicate_top(p);
    case 'q': /* BINPUT */
    case 'r': /* LONG_BINPUT */
    case 'h': /* BINGET */
    case 'j': /* LONG_BINGET */
        return read_memo(p, code);
    case 0x94: /* MEMOIZE */
        return put_memo(p, p->memo_count);
    case 'N': /* NONE */
        return push_other(p);
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
        return push_bool(p, code == 0x88);
    case 'J': /* BININT */
    case 'K': /* BININT1 */
    case 'M': /* BININT2 */
        return read_number(p, code);
    case 0x8a: /* LONG1 */
        return read_long(p, 1);
    case 0x8b: /* LONG4 */
        return read_long(p, 4);
    case 'G': /* BINFLOAT */
        FV_TRY(take(p, 8, &skipped));
        return push_other(p);
    case 'X': /* BINUNICODE */
    case 'T': /* BINSTRING: str of Python 2 */
        return read_text(p, 4);
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U':  /* SHORT_BINSTRING */
        return read_text(p, 1);
    case 0x8d: /* BINUNICODE8 */
        return read_text(p, 8);
    case 'C': /* SHORT_BINBYTES */
        return read_bytes(p, 1);
    case 'B': /* BINBYTES */
        return read_bytes(p, 4);
    case 0x8e: /* BINBYTES8 */
    case 0x96: /* BYTEARRAY8 */
        return read_bytes(p, 8);
    case ')': /* EMPTY_TUPLE */
        return push_new(p, KIND_TUPLE);
    case 't': /* TUPLE */
        return read_marked_tuple(p);
    case 0x85: /* TUPLE1 */
    case 0x86: /* TUPLE2 */
    case 0x87: /* TUPLE3 */
        return read_tuple(p, code - 0x84u);
    case ']': /* EMPTY_LIST */
        return push_new(p, KIND_LIST);
    case 'a': /* APPEND */
        return read_few_items(p, KIND_LIST, 1);
    case 'e': /* APPENDS */
        return read_items(p, KIND_LIST);
    case '}': /* EMPTY_DICT */
        return push_new(p, KIND_DICT);
    case 's': /* SETITEM */
        return read_few_items(p, KIND_DICT, 2);
    case 'u': /* SETITEMS */
        return read_items(p, KIND_DICT);
    case 0x8f: /* EMPTY_SET */
        return push_other(p);
    case 0x90: /* ADDITEMS */
        return read_items(p, KIND_OTHER);
    case 0x91: /* FROZENSET */
        FV_TRY(drop_mark(p));
        return push_other(p);
    case 'c': /* GLOBAL */
        return read_global(p);
    case 0x93: /* STACK_GLOBAL */
        return read_stack_global(p);
    case 'R':  /* REDUCE */
    case 0x81: /* NEWOBJ */
        return read_call(p, false);
    case 0x92: /* NEWOBJ_EX */
        return read_call(p, true);
    case 'b': /* BUILD */
        return read_build(p);
    case 'Q': /* BINPERSID */
        return read_storage(p);
    default:
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "pickle, byte %zu: opcode 0x%02x, which no checkpoint needs", p->at - 1,
                       code);
    }
}

static fv_status read_pickle(fv_pickle *p)
{
    if (p->size == 0 || p->data[0] != 0x80) return malformed(p, "it does not begin as a pickle");
    for (;;) {
        const uint8_t *code;
        FV_TRY(take(p, 1, &code));
        if (*code == '.') break; /* STOP */
        FV_TRY(read_opcode(p, *code));
    }
    return pop(p, &p->result);
}

fv_status fv_pickle_read(fv_pickle **out, fv_bytes bytes, size_t *used)
{
    *out = NULL;
    fv_pickle *p = calloc(1, sizeof *p);
    if (!p) return out_of_memory();
    p->data = bytes.at;
    p->size = bytes.size;
    fv_status st = read_pickle(p);
    if (st != FV_OK) {
        fv_pickle_free(p);
        return st;
    }
    *used = p->at;
    *out = p;
    return FV_OK;
}

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
    value v = p->result;
    if (v.kind == KIND_LONG) return v.size == size && memcmp(v.u.bytes, bytes, size) == 0;
    if (v.kind != KIND_INTEGER || size > 8) return false;
    uint64_t wanted = size && bytes[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = size; i-- > 0;) wanted = wanted << 8 | bytes[i];
    return (uint64_t)v.u.integer == wanted;
}

bool fv_pickle_flag(const fv_pickle *p, const char *name, bool otherwise)
{
    if (p->result.kind != KIND_DICT) return otherwise;
    const object *o = object_of(p, p->result);
    for (size_t i = 0; i + 1 < o->count; i += 2)
        if (o->items[i].kind == KIND_TEXT && fv_text_is(text_of(o->items[i]), name) &&
            o->items[i + 1].kind == KIND_BOOL)
            return o->items[i + 1].u.integer != 0;
    return otherwise;
}

bool fv_pickle_is_text_list(const fv_pickle *p, size_t *count)
{
    if (p->result.kind != KIND_LIST) return false;
    const object *o = object_of(p, p->result);
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i].kind != KIND_TEXT) return false;
    *count = o->count;
    return true;
}

fv_text fv_pickle_text_at(const fv_pickle *p, size_t i)
{
    return text_of(object_of(p, p->result)->items[i]);
}

/* --- The walk from the root to every tensor --- */

typedef struct walk {
    fv_pickle *p;
    fv_weights *w;
    size_t steps;
    char name[FV_MAX_NAME + 1]; /* path so far; one byte more shows that it is too long */
} walk;

static fv_status visit(walk *k, value v, size_t length, int depth);

static fv_status add_tensor(walk *k, value v, size_t length)
{
    const tensor *t = object_of(k->p, v)->tensor;
    fv_entry e = t->shape;
    FV_TRY(fv_weights_name(k->w, (fv_text){k->name, length}, &e.name));
    FV_TRY(fv_entry_place(&e, k->p->objects[t->storage].storage->data, t->offset));
    return fv_weights_add(k->w, &e);
}

/* Appends ".key" as far as it fits. A path that is too long matters only if it ends in a tensor,
 * which is when fv_weights_name refuses it. */
static size_t extend_name(walk *k, size_t length, fv_text key)
{
    size_t most = sizeof k->name;
    if (length > 0 && length < most) k->name[length++] = '.';
    size_t n = key.length < most - length ? key.length : most - length;
    if (n) memcpy(k->name + length, key.at, n);
    return length + n;
}

static fv_status visit_child(walk *k, value key, value v, size_t length, int depth)
{
    if (v.kind < KIND_TUPLE) return FV_OK;
    char digits[24];
    if (key.kind == KIND_TEXT) {
        length = extend_name(k, length, text_of(key));
    } else if (key.kind == KIND_INTEGER) {
        snprintf(digits, sizeof digits, "%lld", (long long)key.u.integer);
        length = extend_name(k, length, fv_text_of(digits));
    } else {
        return FV_OK;
    }
    return visit(k, v, length, depth + 1);
}

/* Shared parts are visited under every name they have; the number of visits is bounded, as
 * sharing can make exponentially many. */
static fv_status visit_items(walk *k, size_t at, bool pairs, size_t length, int depth)
{
    const object *o = &k->p->objects[at]; /* nothing is added to the pickle any more */
    if (depth > MAX_DEPTH)
        return fv_fail(FV_ERR_FORMAT, "the pickle's dictionaries are nested more than %d deep",
                       MAX_DEPTH);
    k->steps += o->count + 1;
    if (k->steps > 4 * k->p->slots + 4096)
        return fv_fail(FV_ERR_FORMAT, "the pickle shares its parts too often");
    for (size_t i = 0; i < o->count; i += pairs ? 2 : 1) {
        value index = {.kind = KIND_INTEGER, .u.integer = (int64_t)i};
        FV_TRY(visit_child(k, pairs ? o->items[i] : index, o->items[pairs ? i + 1 : i], length,
                           depth));
    }
    return FV_OK;
}

static fv_status visit(walk *k, value v, size_t length, int depth)
{
    if (v.kind == KIND_TENSOR) return add_tensor(k, v, length);
    if (v.kind != KIND_TUPLE && v.kind != KIND_LIST && v.kind != KIND_DICT) return FV_OK;
    object *o = object_of(k->p, v);
    if (o->open) return FV_OK; /* a cycle: its tensors have names already */
    o->open = true;
    fv_status st = visit_items(k, v.u.object, v.kind == KIND_DICT, length, depth);
    o->open = false;
    return st;
}

fv_status fv_pickle_add_tensors(fv_pickle *p, fv_weights *w)
{
    walk k = {.p = p, .w = w};
    return visit(&k, p->result, 0, 0);
}
