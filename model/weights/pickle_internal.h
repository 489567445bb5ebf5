/* The inside of fv_pickle, for the files that share it: pickle.c (bytes, stack and opcodes),
 * pickle_calls.c (globals and what calls of them make) and pickle_walk.c (what can be asked of the
 * result, and the walk from it to every tensor).
 *
 * Values are 16 bytes; what holds other values (tuples, lists, dicts) or describes tensors is an
 * object of one array and is meant by its index, so references may form any graph. */
#ifndef FV_PICKLE_INTERNAL_H
#define FV_PICKLE_INTERNAL_H

#include <stdlib.h>

#include "model/weights/weights_internal.h"

typedef enum fv_kind {
    KIND_OTHER, /* None, float, bytes, set, ...: never looked at */
    KIND_BOOL,
    KIND_INTEGER,
    KIND_LONG, /* an integer over 64 bits */
    KIND_TEXT,
    KIND_GLOBAL,  /* one of the few that are known */
    KIND_FOREIGN, /* any other; from here on: index of an object */
    KIND_OPAQUE,  /* what a foreign global made, or a known one out of what is opaque */
    KIND_TUPLE,
    KIND_LIST,
    KIND_DICT,
    KIND_STORAGE,
    KIND_TENSOR
} fv_kind;

typedef enum fv_role {
    ROLE_OTHER,
    ROLE_DICT,
    ROLE_SIZE,
    ROLE_TENSOR,
    ROLE_TENSOR_TYPED,   /* with the dtype as an argument */
    ROLE_TENSOR_OF_TYPE, /* a call of another global: (function, class, arguments, state) */
    ROLE_PARAMETER,      /* a tensor with what training knows of it */
    ROLE_STORAGE,
    ROLE_STORAGE_UNTYPED,
    ROLE_DTYPE
} fv_role;

typedef struct fv_global {
    const char *module, *name;
    fv_role role;
    fv_file_dtype dtype; /* of ROLE_STORAGE and ROLE_DTYPE */
} fv_global;

typedef struct fv_value {
    uint32_t kind, size; /* size: of bytes */
    union {
        int64_t integer;
        const uint8_t *bytes;
        const fv_global *global;
        size_t object;
    } u;
} fv_value;

/* Where the parts of an object lie among its items. */
enum {
    FOREIGN_MODULE, /* a foreign global: two texts */
    FOREIGN_NAME,
    OPAQUE_MAKER = 0, /* an opaque value: the global, the state it was given, key, value, ... */
    OPAQUE_STATE,
    OPAQUE_ITEMS
};

typedef struct fv_object {
    fv_value *items; /* a dict holds key, value, key, value, ... */
    size_t count, capacity;
    union {
        void *any; /* freed with the object */
        fv_storage *storage;
        struct fv_pickled_tensor *tensor;
    } u;
    bool open;    /* on the path of the walk: meeting it again is a cycle */
    bool visited; /* the walk has been here */
} fv_object;

typedef struct fv_pickled_tensor {
    size_t storage; /* object index */
    int64_t offset;
    fv_entry shape; /* ndim -1: more dims than an fv_entry has */
    fv_text type;   /* of FV_FILE_OTHER */
} fv_pickled_tensor;

struct fv_pickle {
    const uint8_t *data;
    size_t size, at;
    size_t work; /* bytes allocated so far */
    fv_value *stack, *memo;
    size_t depth, stack_capacity, memo_count, memo_capacity, puts;
    size_t *marks;
    size_t mark_count, mark_capacity;
    fv_object *objects;
    size_t object_count, object_capacity;
    fv_storage **storages;
    size_t storage_count, storage_capacity;
    size_t slots; /* items of all objects */
    fv_value result;
};

static inline fv_object *fv_object_of(const fv_pickle *p, fv_value v)
{
    return &p->objects[v.u.object];
}

static inline fv_text fv_value_text(fv_value v)
{
    return (fv_text){(const char *)v.u.bytes, v.size};
}

static inline bool fv_value_is(fv_value v, fv_role r)
{
    return v.kind == KIND_GLOBAL && v.u.global->role == r;
}

/* --- pickle.c --- */

fv_status fv_pickle_no_memory(void);
/* A constant lets the compiler see that failures have no results. */
static inline fv_status fv_pickle_malformed(const fv_pickle *p, const char *what)
{
    fv_fail(FV_ERR_FORMAT, "pickle, byte %zu: %s", p->at, what);
    return FV_ERR_FORMAT;
}
/* Counts an allocation of n bytes. */
fv_status fv_pickle_charge(fv_pickle *p, size_t n);
/* Room for `more` items after the first `count`. */
fv_status fv_pickle_reserve(fv_pickle *p, void **array, size_t *capacity, size_t count, size_t more,
                            size_t item_size);
fv_status fv_pickle_object(fv_pickle *p, fv_kind k, fv_value *out);
fv_status fv_pickle_add(fv_pickle *p, size_t object, const fv_value *items, size_t count);

#define FV_RESERVE(p, array, capacity, count, more)                                                \
    do {                                                                                           \
        void *reserved_ = (array);                                                                 \
        fv_status status_ =                                                                        \
            fv_pickle_reserve(p, &reserved_, &(capacity), count, more, sizeof *(array));           \
        (array) = reserved_;                                                                       \
        if (status_ < 0) return status_;                                                           \
    } while (0)

fv_status fv_pickle_push(fv_pickle *p, fv_value v);
/* The next n bytes. */
fv_status fv_pickle_take(fv_pickle *p, uint64_t n, const uint8_t **out);
/* A little-endian number of n <= 8 bytes. */
fv_status fv_pickle_take_number(fv_pickle *p, size_t n, uint64_t *out);

/* --- pickle_literals.c --- */

/* The bytes up to the next line feed. */
fv_status fv_pickle_line(fv_pickle *p, fv_text *out);
/* A line of digits with a sign, perhaps with an L behind; *fits: in 64 bits. */
fv_status fv_pickle_decimal(fv_pickle *p, int64_t *out, bool *fits);
/* Pushes what an opcode of a literal says; any other opcode is refused. */
fv_status fv_pickle_literal(fv_pickle *p, uint8_t code);

/* --- pickle_calls.c --- */

/* The global of that name, known or foreign. */
fv_status fv_pickle_global(fv_pickle *p, fv_text module, fv_text name, fv_value *out);
/* What a call makes; nothing is executed. */
fv_status fv_pickle_call(fv_pickle *p, fv_value function, fv_value args, fv_value *out);
/* What a persistent id stands for. */
fv_status fv_pickle_persistent(fv_pickle *p, fv_value id, fv_value *out);
fv_status fv_pickle_opaque(fv_pickle *p, fv_value maker, fv_value *out);

#endif
