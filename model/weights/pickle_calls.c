/* The globals of pickles that are known, and what calls of any make. See pickle_internal.h; what
 * the globals stand for: PyTorch, torch/_utils.py and torch/_tensor.py. */
#include "model/weights/pickle_internal.h"

static const fv_global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, 0},
    {"collections", "defaultdict", ROLE_DICT, 0},
    {"collections", "Counter", ROLE_DICT, 0},
    {"builtins", "dict", ROLE_DICT, 0},
    {"torch", "Size", ROLE_SIZE, 0},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, 0},
    {"torch._utils", "_rebuild_qtensor", ROLE_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor_v3", ROLE_TENSOR_TYPED, 0},
    {"torch._tensor", "_rebuild_from_type", ROLE_TENSOR_OF_TYPE, 0},
    {"torch._tensor", "_rebuild_from_type_v2", ROLE_TENSOR_OF_TYPE, 0},
    {"torch.tensor", "_rebuild_from_type", ROLE_TENSOR_OF_TYPE, 0},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, 0},
    {"torch._utils", "_rebuild_parameter_with_state", ROLE_PARAMETER, 0},
    {"torch.nn.parameter", "Parameter", ROLE_PARAMETER, 0},
    {"torch.nn.parameter", "Buffer", ROLE_PARAMETER, 0},
    {"torch.autograd.variable", "Variable", ROLE_PARAMETER, 0},
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
    {"torch", "ComplexFloatStorage", ROLE_STORAGE, FV_FILE_C64},
    {"torch", "ComplexDoubleStorage", ROLE_STORAGE, FV_FILE_C128},
    {"torch", "QInt8Storage", ROLE_STORAGE, FV_FILE_QI8},
    {"torch", "QUInt8Storage", ROLE_STORAGE, FV_FILE_QU8},
    {"torch", "QInt32Storage", ROLE_STORAGE, FV_FILE_QI32},
    {"torch", "QUInt4x2Storage", ROLE_STORAGE, FV_FILE_QU4},
    {"torch", "QUInt2x4Storage", ROLE_STORAGE, FV_FILE_QU2},
    {"torch.storage", "UntypedStorage", ROLE_STORAGE_UNTYPED, FV_FILE_U8},
    {"torch.storage", "_UntypedStorage", ROLE_STORAGE_UNTYPED, FV_FILE_U8},
    {"torch", "UntypedStorage", ROLE_STORAGE_UNTYPED, FV_FILE_U8},
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
    {"torch", "uint16", ROLE_DTYPE, FV_FILE_U16},
    {"torch", "uint32", ROLE_DTYPE, FV_FILE_U32},
    {"torch", "uint64", ROLE_DTYPE, FV_FILE_U64},
    {"torch", "float8_e4m3fn", ROLE_DTYPE, FV_FILE_F8_E4M3},
    {"torch", "float8_e5m2", ROLE_DTYPE, FV_FILE_F8_E5M2},
    {"torch", "float8_e4m3fnuz", ROLE_DTYPE, FV_FILE_F8_E4M3FNUZ},
    {"torch", "float8_e5m2fnuz", ROLE_DTYPE, FV_FILE_F8_E5M2FNUZ},
    {"torch", "float8_e8m0fnu", ROLE_DTYPE, FV_FILE_F8_E8M0},
    {"torch", "complex32", ROLE_DTYPE, FV_FILE_C32},
    {"torch", "complex64", ROLE_DTYPE, FV_FILE_C64},
    {"torch", "complex128", ROLE_DTYPE, FV_FILE_C128},
    {"torch", "qint8", ROLE_DTYPE, FV_FILE_QI8},
    {"torch", "quint8", ROLE_DTYPE, FV_FILE_QU8},
    {"torch", "qint32", ROLE_DTYPE, FV_FILE_QI32},
    /* what stands in training checkpoints beside the tensors: not worth a word */
    {"torch", "device", ROLE_OTHER, 0},
    {"numpy.core.multiarray", "scalar", ROLE_OTHER, 0},
    {"numpy._core.multiarray", "scalar", ROLE_OTHER, 0},
    {"numpy", "dtype", ROLE_OTHER, 0},
    {"_codecs", "encode", ROLE_OTHER, 0},
    {"pathlib", "PosixPath", ROLE_OTHER, 0},
    {"builtins", "set", ROLE_OTHER, 0},
    {"builtins", "frozenset", ROLE_OTHER, 0},
    {"builtins", "int", ROLE_OTHER, 0},
    {"builtins", "float", ROLE_OTHER, 0},
    {"builtins", "complex", ROLE_OTHER, 0},
    {"builtins", "bytearray", ROLE_OTHER, 0},
};

/* --- Globals --- */

fv_status fv_pickle_global(fv_pickle *p, fv_text module, fv_text name, fv_value *out)
{
    fv_text builtins = fv_text_of("builtins"); /* "__builtin__" in Python 2 and protocol 2 */
    fv_text place = fv_text_is(module, "__builtin__") ? builtins : module;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (fv_text_is(place, globals[i].module) && fv_text_is(name, globals[i].name)) {
            *out = (fv_value){.kind = KIND_GLOBAL, .u.global = &globals[i]};
            return FV_OK;
        }
    if (module.length > UINT32_MAX || name.length > UINT32_MAX)
        return fv_pickle_malformed(p, "a string of more than 4 GB");
    fv_value names[2];
    names[FOREIGN_MODULE] = (fv_value){
        .kind = KIND_TEXT, .size = (uint32_t)module.length, .u.bytes = (const uint8_t *)module.at};
    names[FOREIGN_NAME] = (fv_value){
        .kind = KIND_TEXT, .size = (uint32_t)name.length, .u.bytes = (const uint8_t *)name.at};
    FV_TRY(fv_pickle_object(p, KIND_FOREIGN, out));
    return fv_pickle_add(p, out->u.object, names, 2);
}

fv_status fv_pickle_opaque(fv_pickle *p, fv_value maker, fv_value *out)
{
    fv_value items[OPAQUE_ITEMS] = {{.kind = KIND_OTHER}, {.kind = KIND_OTHER}};
    items[OPAQUE_MAKER] =
        maker.kind == KIND_OPAQUE ? fv_object_of(p, maker)->items[OPAQUE_MAKER] : maker;
    FV_TRY(fv_pickle_object(p, KIND_OPAQUE, out));
    return fv_pickle_add(p, out->u.object, items, OPAQUE_ITEMS);
}

/* --- Storages and tensors --- */

static bool is_count(fv_value v)
{
    return v.kind == KIND_INTEGER && v.u.integer >= 0;
}

/* A view of a storage: (key of its own, offset, count). */
static fv_status read_view(fv_pickle *p, fv_value v, fv_storage *s)
{
    if (v.kind == KIND_OTHER) return FV_OK;
    if (v.kind != KIND_TUPLE || fv_object_of(p, v)->count != 3)
        return fv_pickle_malformed(p, "a storage's view is not understood");
    const fv_value *item = fv_object_of(p, v)->items;
    if (!is_count(item[1]) || !is_count(item[2]) || item[1].u.integer > s->count ||
        item[2].u.integer > s->count - item[1].u.integer)
        return fv_pickle_malformed(p, "a storage's view leaves the storage");
    s->view_offset = item[1].u.integer;
    s->view_count = item[2].u.integer;
    return FV_OK;
}

/* ("storage", type, key, location, count) or the same with a view behind. */
static fv_status make_storage(fv_pickle *p, fv_value id, fv_value *out)
{
    size_t count = fv_object_of(p, id)->count;
    const fv_value *item = fv_object_of(p, id)->items;
    if ((count == 5 || count == 6) && item[1].kind == KIND_FOREIGN)
        return fv_pickle_opaque(p, item[1], out); /* elements of a type that is not known */
    if ((count != 5 && count != 6) ||
        (!fv_value_is(item[1], ROLE_STORAGE) && !fv_value_is(item[1], ROLE_STORAGE_UNTYPED)) ||
        item[2].kind != KIND_TEXT || !is_count(item[4]))
        return fv_pickle_malformed(p, "a persistent id is not a storage's");
    FV_TRY(fv_pickle_charge(p, sizeof(fv_storage)));
    fv_storage s = {.key = fv_value_text(item[2]),
                    .dtype = item[1].u.global->dtype,
                    .count = item[4].u.integer,
                    .view_count = item[4].u.integer};
    if (count == 6) FV_TRY(read_view(p, item[5], &s));
    FV_RESERVE(p, p->storages, p->storage_capacity, p->storage_count, 1);
    FV_TRY(fv_pickle_object(p, KIND_STORAGE, out));
    fv_storage *kept = malloc(sizeof *kept);
    if (!kept) return fv_pickle_no_memory();
    *kept = s;
    fv_object_of(p, *out)->u.storage = kept;
    p->storages[p->storage_count++] = kept;
    return FV_OK;
}

/* Storages; ("module", class, file, source) of PyTorch before 1.6 is the class; others are what
 * somebody's own pickler knows. */
fv_status fv_pickle_persistent(fv_pickle *p, fv_value id, fv_value *out)
{
    const fv_object *o = id.kind == KIND_TUPLE ? fv_object_of(p, id) : NULL;
    *out = (fv_value){.kind = KIND_OTHER};
    if (!o || o->count == 0 || o->items[0].kind != KIND_TEXT) return FV_OK;
    if (fv_text_is(fv_value_text(o->items[0]), "storage")) return make_storage(p, id, out);
    if (fv_text_is(fv_value_text(o->items[0]), "module") && o->count >= 2) *out = o->items[1];
    return FV_OK;
}

/* Copies a tuple of integers; -1: it is none. Of more than FV_MAX_DIMS only their number counts. */
static int read_dims(const fv_pickle *p, fv_value v, int64_t out[FV_MAX_DIMS])
{
    if (v.kind != KIND_TUPLE || fv_object_of(p, v)->count > INT16_MAX) return -1;
    const fv_object *o = fv_object_of(p, v);
    for (size_t i = 0; i < o->count; i++) {
        if (!is_count(o->items[i])) return -1;
        if (i < FV_MAX_DIMS) out[i] = o->items[i].u.integer;
    }
    return (int)o->count;
}

/* The dtype that an argument names; one that is not known keeps its name. */
static fv_status read_dtype(fv_pickle *p, fv_value v, fv_pickled_tensor *t)
{
    if (!fv_value_is(v, ROLE_DTYPE) && v.kind != KIND_FOREIGN)
        return fv_pickle_malformed(p, "the arguments of a tensor are not understood");
    if (v.kind == KIND_GLOBAL) {
        t->shape.dtype = v.u.global->dtype;
        return FV_OK;
    }
    t->shape.dtype = FV_FILE_OTHER;
    t->type = fv_value_text(fv_object_of(p, v)->items[FOREIGN_NAME]);
    return FV_OK;
}

/* Whether an argument is a dictionary that says that the numbers are to be negated or conjugated
 * before they are used. */
static bool is_lazy(const fv_pickle *p, fv_value v)
{
    if (v.kind != KIND_DICT) return false;
    const fv_object *o = fv_object_of(p, v);
    for (size_t i = 0; i + 1 < o->count; i += 2) {
        if (o->items[i].kind != KIND_TEXT || o->items[i + 1].kind != KIND_BOOL) continue;
        fv_text key = fv_value_text(o->items[i]);
        bool known = fv_text_is(key, "neg") || fv_text_is(key, "conj");
        if (known && o->items[i + 1].u.integer) return true;
    }
    return false;
}

/* (storage, offset, size, stride, ...), with the dtype as the seventh if it is `typed`. */
static fv_status make_tensor(fv_pickle *p, fv_value function, fv_value args, fv_value *out)
{
    bool typed = function.u.global->role == ROLE_TENSOR_TYPED;
    size_t count = fv_object_of(p, args)->count;
    const fv_value *item = fv_object_of(p, args)->items;
    if (count > 0 && (item[0].kind == KIND_OPAQUE || item[0].kind == KIND_OTHER))
        return fv_pickle_opaque(p, item[0], out);
    if (count < (typed ? 7u : 4u) || item[0].kind != KIND_STORAGE || !is_count(item[1]))
        return fv_pickle_malformed(p, "the arguments of a tensor are not understood");
    if (count > (typed ? 7u : 6u) && is_lazy(p, item[typed ? 7 : 6]))
        return fv_pickle_opaque(p, function, out);
    fv_pickled_tensor t = {.storage = item[0].u.object, .offset = item[1].u.integer};
    t.shape.dtype = fv_object_of(p, item[0])->u.storage->dtype;
    if (typed) FV_TRY(read_dtype(p, item[6], &t));
    t.shape.ndim = read_dims(p, item[2], t.shape.dims);
    if (t.shape.ndim < 0 || read_dims(p, item[3], t.shape.strides) != t.shape.ndim)
        return fv_pickle_malformed(p, "a tensor has negative or mismatched dims");
    if (t.shape.ndim > FV_MAX_DIMS) t.shape.ndim = -1;
    FV_TRY(fv_pickle_charge(p, sizeof t));
    FV_TRY(fv_pickle_object(p, KIND_TENSOR, out));
    fv_pickled_tensor *kept = malloc(sizeof *kept);
    if (!kept) return fv_pickle_no_memory();
    *kept = t;
    fv_object_of(p, *out)->u.tensor = kept;
    return FV_OK;
}

/* --- Calls --- */

/* OrderedDict([(key, value), ...]), Counter({...}), defaultdict(factory), or without arguments. */
static fv_status make_dict(fv_pickle *p, fv_value args, fv_value *out)
{
    FV_TRY(fv_pickle_object(p, KIND_DICT, out));
    const fv_object *a = fv_object_of(p, args);
    if (a->count == 0) return FV_OK;
    fv_value from = a->items[0];
    size_t count =
        from.kind == KIND_LIST || from.kind == KIND_DICT ? fv_object_of(p, from)->count : 0;
    for (size_t i = 0; i < count; i++) {
        fv_value pair = fv_object_of(p, from)->items[i], items[2] = {pair, pair};
        if (from.kind == KIND_DICT) {
            FV_TRY(fv_pickle_add(p, out->u.object, items, 1));
            continue;
        }
        if ((pair.kind != KIND_TUPLE && pair.kind != KIND_LIST) ||
            fv_object_of(p, pair)->count != 2)
            return fv_pickle_malformed(p, "a dictionary is not made of pairs");
        for (int k = 0; k < 2; k++) items[k] = fv_object_of(p, pair)->items[k];
        FV_TRY(fv_pickle_add(p, out->u.object, items, 2));
    }
    return FV_OK;
}

/* Of (function, class, arguments, state): the tensor that the function makes of the arguments,
 * whatever its class. */
static fv_status make_of_type(fv_pickle *p, fv_value function, fv_value args, fv_value *out)
{
    const fv_object *a = fv_object_of(p, args);
    bool plain =
        a->count >= 3 && a->items[2].kind == KIND_TUPLE &&
        (fv_value_is(a->items[0], ROLE_TENSOR) || fv_value_is(a->items[0], ROLE_TENSOR_TYPED) ||
         fv_value_is(a->items[0], ROLE_PARAMETER));
    if (plain) return fv_pickle_call(p, a->items[0], a->items[2], out);
    return fv_pickle_opaque(
        p, a->count > 0 && a->items[0].kind == KIND_FOREIGN ? a->items[0] : function, out);
}

fv_status fv_pickle_call(fv_pickle *p, fv_value function, fv_value args, fv_value *out)
{
    *out = (fv_value){.kind = KIND_OTHER};
    if (function.kind == KIND_OTHER) return FV_OK; /* of a persistent id, an extension */
    if (function.kind == KIND_FOREIGN || function.kind == KIND_OPAQUE)
        return fv_pickle_opaque(p, function, out);
    if (function.kind != KIND_GLOBAL)
        return fv_pickle_malformed(p, "what is called is not a global");
    if (args.kind == KIND_OPAQUE || args.kind == KIND_OTHER)
        return fv_pickle_opaque(p, function, out);
    if (args.kind != KIND_TUPLE)
        return fv_pickle_malformed(p, "the arguments of a call are not a tuple");
    const fv_object *a = fv_object_of(p, args);
    fv_role role = function.u.global->role;
    switch (role) {
    case ROLE_OTHER:
        return FV_OK;
    case ROLE_DICT:
        return make_dict(p, args, out);
    case ROLE_SIZE:
        if (a->count != 1 || (a->items[0].kind != KIND_TUPLE && a->items[0].kind != KIND_LIST))
            return fv_pickle_malformed(p, "torch.Size is not made of a tuple");
        *out = a->items[0];
        out->kind = KIND_TUPLE;
        return FV_OK;
    case ROLE_TENSOR:
    case ROLE_TENSOR_TYPED:
        return make_tensor(p, function, args, out);
    case ROLE_TENSOR_OF_TYPE:
        return make_of_type(p, function, args, out);
    case ROLE_PARAMETER:
        if (a->count == 0 || a->items[0].kind != KIND_TENSOR)
            return fv_pickle_opaque(p, function, out);
        *out = a->items[0];
        return FV_OK;
    case ROLE_STORAGE:
    case ROLE_STORAGE_UNTYPED:
    case ROLE_DTYPE:
        break;
    }
    return fv_pickle_opaque(p, function, out);
}
