/* Python pickles, protocol 2 to 5: parsed on a virtual stack machine, never executed.
 *
 * Every opcode of CPython's unpickler is understood (Lib/pickletools.py). A call of one of the few
 * known globals makes what it stands for (pickle_calls.c); of any other it makes an opaque value,
 * which may be stored, called and given a state like the object it stands for, and is an error
 * only where a tensor that somebody wants would come out of it. Memory is bounded by the bytes
 * read so far. */
#include "model/weights/pickle_internal.h"

enum { MEMO_SLACK = 256 }; /* how far a memo index may run ahead of the number of puts */

/* --- Stack --- */

static fv_status push_other(fv_pickle *p)
{
    return fv_pickle_push(p, (fv_value){.kind = KIND_OTHER});
}

static fv_status push_new(fv_pickle *p, fv_kind k)
{
    fv_value v;
    FV_TRY(fv_pickle_object(p, k, &v));
    return fv_pickle_push(p, v);
}

/* Values that may be popped: those above the last mark. */
static size_t poppable(const fv_pickle *p)
{
    return p->depth - (p->mark_count ? p->marks[p->mark_count - 1] : 0);
}

static fv_status pop(fv_pickle *p, fv_value *out)
{
    if (poppable(p) == 0) return fv_pickle_malformed(p, "the stack is empty");
    *out = p->stack[--p->depth];
    return FV_OK;
}

static fv_status top(const fv_pickle *p, fv_value *out)
{
    if (poppable(p) == 0) return fv_pickle_malformed(p, "the stack is empty");
    *out = p->stack[p->depth - 1];
    return FV_OK;
}

/* Removes everything above the last mark; the values stay readable until the next push. */
static fv_status pop_mark(fv_pickle *p, const fv_value **items, size_t *count)
{
    if (p->mark_count == 0) return fv_pickle_malformed(p, "a mark is missing");
    *count = poppable(p);
    p->depth = p->marks[--p->mark_count];
    *items = p->stack ? p->stack + p->depth : NULL;
    return FV_OK;
}

static fv_status push_mark(fv_pickle *p)
{
    FV_RESERVE(p, p->marks, p->mark_capacity, p->mark_count, 1);
    p->marks[p->mark_count++] = p->depth;
    return FV_OK;
}

/* --- Memo --- */

static fv_status put_memo(fv_pickle *p, uint64_t i)
{
    fv_value v;
    FV_TRY(top(p, &v));
    if (i > p->puts + MEMO_SLACK) return fv_pickle_malformed(p, "a memo index is out of order");
    p->puts++;
    if (i >= p->memo_count) {
        size_t more = (size_t)i + 1 - p->memo_count;
        FV_RESERVE(p, p->memo, p->memo_capacity, p->memo_count, more);
        for (size_t k = 0; k < more; k++)
            p->memo[p->memo_count + k] = (fv_value){.kind = UINT32_MAX};
        p->memo_count += more;
    }
    p->memo[i] = v;
    return FV_OK;
}

static fv_status get_memo(fv_pickle *p, uint64_t i)
{
    if (i >= p->memo_count || p->memo[i].kind == UINT32_MAX)
        return fv_pickle_malformed(p, "a memo entry is missing");
    return fv_pickle_push(p, p->memo[i]);
}

/* The same with the index on a line. */
static fv_status read_memo_line(fv_pickle *p, uint8_t code)
{
    int64_t i;
    bool fits;
    FV_TRY(fv_pickle_decimal(p, &i, &fits));
    if (!fits || i < 0) return fv_pickle_malformed(p, "a memo index is out of order");
    return code == 'p' ? put_memo(p, (uint64_t)i) : get_memo(p, (uint64_t)i);
}

/* --- Globals and calls --- */

static fv_status push_global(fv_pickle *p, fv_text module, fv_text name)
{
    fv_value v;
    FV_TRY(fv_pickle_global(p, module, name, &v));
    return fv_pickle_push(p, v);
}

static fv_status read_global(fv_pickle *p)
{
    fv_text module, name;
    FV_TRY(fv_pickle_line(p, &module));
    FV_TRY(fv_pickle_line(p, &name));
    return push_global(p, module, name);
}

static fv_status read_stack_global(fv_pickle *p)
{
    fv_value module, name;
    FV_TRY(pop(p, &name));
    FV_TRY(pop(p, &module));
    if (module.kind != KIND_TEXT || name.kind != KIND_TEXT)
        return fv_pickle_malformed(p, "the name of a global is not a string");
    return push_global(p, fv_value_text(module), fv_value_text(name));
}

static fv_status push_call(fv_pickle *p, fv_value function, fv_value args)
{
    fv_value out;
    FV_TRY(fv_pickle_call(p, function, args, &out));
    return fv_pickle_push(p, out);
}

/* REDUCE, NEWOBJ; NEWOBJ_EX with keywords, which no tensor needs. */
static fv_status read_call(fv_pickle *p, bool keywords)
{
    fv_value function, args, named, out;
    if (keywords) FV_TRY(pop(p, &named));
    FV_TRY(pop(p, &args));
    FV_TRY(pop(p, &function));
    if (!keywords) return push_call(p, function, args);
    FV_TRY(fv_pickle_opaque(p, function, &out));
    return fv_pickle_push(p, out);
}

/* INST, with the class on two lines, and OBJ, with the class behind the mark. */
static fv_status read_instance(fv_pickle *p, uint8_t code)
{
    const fv_value *items;
    size_t count;
    fv_value class, args;
    fv_text module, name;
    if (code == 'i') {
        FV_TRY(fv_pickle_line(p, &module));
        FV_TRY(fv_pickle_line(p, &name));
    }
    FV_TRY(pop_mark(p, &items, &count));
    if (code == 'o') {
        if (count == 0) return fv_pickle_malformed(p, "the stack is empty");
        class = *items++;
        count--;
    } else {
        FV_TRY(fv_pickle_global(p, module, name, &class));
    }
    FV_TRY(fv_pickle_object(p, KIND_TUPLE, &args));
    FV_TRY(fv_pickle_add(p, args.u.object, items, count));
    return push_call(p, class, args);
}

static fv_status read_persistent(fv_pickle *p)
{
    fv_value id, out;
    FV_TRY(pop(p, &id));
    FV_TRY(fv_pickle_persistent(p, id, &out));
    return fv_pickle_push(p, out);
}

/* --- Containers --- */

static fv_status read_tuple(fv_pickle *p, size_t count)
{
    if (poppable(p) < count) return fv_pickle_malformed(p, "the stack is empty");
    fv_value v;
    FV_TRY(fv_pickle_object(p, KIND_TUPLE, &v));
    p->depth -= count;
    FV_TRY(fv_pickle_add(p, v.u.object, p->stack + p->depth, count));
    return fv_pickle_push(p, v);
}

/* Everything above the mark in one object. */
static fv_status read_marked(fv_pickle *p, fv_kind k)
{
    const fv_value *items;
    size_t count;
    fv_value v;
    FV_TRY(pop_mark(p, &items, &count));
    if (k == KIND_DICT && count % 2 != 0) return fv_pickle_malformed(p, "a key has no value");
    FV_TRY(fv_pickle_object(p, k, &v));
    FV_TRY(fv_pickle_add(p, v.u.object, items, count));
    return fv_pickle_push(p, v);
}

/* Adds what was popped to the container below. "Other" values take anything and keep nothing;
 * opaque ones keep what they have under keys. */
static fv_status add_popped(fv_pickle *p, fv_kind k, const fv_value *items, size_t count)
{
    fv_value target;
    FV_TRY(top(p, &target));
    bool opaque = target.kind == KIND_OPAQUE;
    if (target.kind == KIND_OTHER || (opaque && k != KIND_DICT)) return FV_OK;
    if (target.kind != (uint32_t)k && !opaque)
        return fv_pickle_malformed(p, "items are added to what holds none");
    if (k == KIND_DICT && count % 2 != 0) return fv_pickle_malformed(p, "a key has no value");
    return fv_pickle_add(p, target.u.object, items, count);
}

static fv_status read_items(fv_pickle *p, fv_kind k)
{
    const fv_value *items;
    size_t count;
    FV_TRY(pop_mark(p, &items, &count));
    return add_popped(p, k, items, count);
}

static fv_status read_few_items(fv_pickle *p, fv_kind k, size_t count)
{
    fv_value items[2];
    for (size_t i = count; i-- > 0;) FV_TRY(pop(p, &items[i]));
    return add_popped(p, k, items, count);
}

/* BUILD: the state of an object. Only an opaque one's matters: that of a state dict is its
 * _metadata, that of a tensor its attributes. */
static fv_status read_build(fv_pickle *p)
{
    fv_value state, target;
    FV_TRY(pop(p, &state));
    FV_TRY(top(p, &target));
    if (target.kind != KIND_OTHER && target.kind < KIND_GLOBAL)
        return fv_pickle_malformed(p, "a state is given to what has none");
    if (target.kind == KIND_OPAQUE) fv_object_of(p, target)->items[OPAQUE_STATE] = state;
    return FV_OK;
}

static fv_status drop_mark(fv_pickle *p)
{
    const fv_value *items;
    size_t count;
    return pop_mark(p, &items, &count);
}

/* --- Opcodes --- */

static fv_status read_protocol(fv_pickle *p)
{
    uint64_t protocol;
    FV_TRY(fv_pickle_take_number(p, 1, &protocol));
    if (protocol < 2 || protocol > 5)
        return fv_fail(FV_ERR_UNSUPPORTED, "the pickle has protocol %d, expected 2 to 5",
                       (int)protocol);
    return FV_OK;
}

static fv_status read_memo(fv_pickle *p, uint8_t code)
{
    uint64_t i;
    bool wide = code == 'r' || code == 'j';
    FV_TRY(fv_pickle_take_number(p, wide ? 4 : 1, &i));
    return code == 'q' || code == 'r' ? put_memo(p, i) : get_memo(p, i);
}

static fv_status read_frame(fv_pickle *p)
{
    uint64_t n;
    FV_TRY(fv_pickle_take_number(p, 8, &n));
    return n <= p->size - p->at ? FV_OK : fv_pickle_malformed(p, "a frame is cut off");
}

static fv_status duplicate_top(fv_pickle *p)
{
    fv_value v;
    FV_TRY(top(p, &v));
    return fv_pickle_push(p, v);
}

/* POP removes a mark where one is on top. */
static fv_status read_pop(fv_pickle *p)
{
    fv_value v;
    if (p->mark_count && poppable(p) == 0) return drop_mark(p);
    return pop(p, &v);
}

static fv_status read_opcode(fv_pickle *p, uint8_t code)
{
    const uint8_t *skipped;
    fv_value ignored;
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
    case ')': /* EMPTY_TUPLE */
        return push_new(p, KIND_TUPLE);
    case 't': /* TUPLE */
        return read_marked(p, KIND_TUPLE);
    case 'l': /* LIST */
        return read_marked(p, KIND_LIST);
    case 'd': /* DICT */
        return read_marked(p, KIND_DICT);
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
    case 'i': /* INST */
    case 'o': /* OBJ */
        return read_instance(p, code);
    case 'Q': /* BINPERSID */
        return read_persistent(p);
    case 'g': /* GET */
    case 'p': /* PUT */
        return read_memo_line(p, code);
    case 0x82: /* EXT1 */
    case 0x83: /* EXT2 */
    case 0x84: /* EXT4 */
        FV_TRY(fv_pickle_take(p, code == 0x84 ? 4 : code - 0x81u, &skipped));
        return push_other(p);
    case 0x97: /* NEXT_BUFFER */
        return push_other(p);
    case 0x98: /* READONLY_BUFFER */
        return top(p, &ignored);
    default:
        return fv_pickle_literal(p, code);
    }
}

static fv_status read_pickle(fv_pickle *p)
{
    if (p->size == 0 || p->data[0] != 0x80)
        return fv_pickle_malformed(p, "it does not begin as a pickle");
    for (;;) {
        const uint8_t *code;
        FV_TRY(fv_pickle_take(p, 1, &code));
        if (*code == '.') break; /* STOP */
        FV_TRY(read_opcode(p, *code));
    }
    return pop(p, &p->result);
}

fv_status fv_pickle_read(fv_pickle **out, fv_bytes bytes, size_t *used)
{
    *out = NULL;
    fv_pickle *p = calloc(1, sizeof *p);
    if (!p) return fv_pickle_no_memory();
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