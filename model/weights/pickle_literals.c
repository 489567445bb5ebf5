/* The opcodes of pickles that push a number, a text or bytes. See pickle_internal.h. */
#include "model/weights/pickle_internal.h"

enum { LONGEST_LINE = 1 << 16 /* of an opcode whose argument is a line */ };

static fv_status push_integer(fv_pickle *p, int64_t v)
{
    return fv_pickle_push(p, (fv_value){.kind = KIND_INTEGER, .u.integer = v});
}

static fv_status push_bool(fv_pickle *p, bool v)
{
    return fv_pickle_push(p, (fv_value){.kind = KIND_BOOL, .u.integer = v});
}

static fv_status read_text(fv_pickle *p, size_t length_bytes)
{
    uint64_t n;
    const uint8_t *bytes;
    FV_TRY(fv_pickle_take_number(p, length_bytes, &n));
    FV_TRY(fv_pickle_take(p, n, &bytes));
    if (n > UINT32_MAX) return fv_pickle_malformed(p, "a string of more than 4 GB");
    return fv_pickle_push(p, (fv_value){.kind = KIND_TEXT, .size = (uint32_t)n, .u.bytes = bytes});
}

static fv_status read_bytes(fv_pickle *p, size_t length_bytes)
{
    uint64_t n;
    const uint8_t *bytes;
    FV_TRY(fv_pickle_take_number(p, length_bytes, &n));
    FV_TRY(fv_pickle_take(p, n, &bytes));
    return fv_pickle_push(p, (fv_value){.kind = KIND_OTHER});
}

/* LONG1, LONG4: little-endian two's complement; no bytes at all is 0. */
static fv_status read_long(fv_pickle *p, size_t length_bytes)
{
    uint64_t n, number = 0;
    const uint8_t *bytes;
    FV_TRY(fv_pickle_take_number(p, length_bytes, &n));
    if (n > INT32_MAX) return fv_pickle_malformed(p, "an integer has a negative size");
    FV_TRY(fv_pickle_take(p, n, &bytes));
    if (n > 8)
        return fv_pickle_push(p,
                              (fv_value){.kind = KIND_LONG, .size = (uint32_t)n, .u.bytes = bytes});
    for (size_t i = (size_t)n; i-- > 0;) number = number << 8 | bytes[i];
    if (n > 0 && n < 8 && bytes[n - 1] & 0x80) number |= UINT64_MAX << (8 * n);
    return push_integer(p, (int64_t)number);
}

/* --- Arguments on a line: opcodes of protocol 0, which later ones may still use --- */

fv_status fv_pickle_line(fv_pickle *p, fv_text *out)
{
    const uint8_t *start = p->data + p->at, *end = NULL;
    size_t most = p->size - p->at < LONGEST_LINE ? p->size - p->at : LONGEST_LINE;
    if (most > 0) end = memchr(start, '\n', most);
    if (!end) return fv_pickle_malformed(p, "a line has no end");
    *out = (fv_text){(const char *)start, (size_t)(end - start)};
    p->at += out->length + 1;
    return FV_OK;
}

/* Digits with a sign, perhaps with an L behind; *fits: in 64 bits. */
fv_status fv_pickle_decimal(fv_pickle *p, int64_t *out, bool *fits)
{
    fv_text line;
    FV_TRY(fv_pickle_line(p, &line));
    size_t i = line.length > 0 && (line.at[0] == '-' || line.at[0] == '+'), first = i;
    bool negative = i > 0 && line.at[0] == '-';
    *out = 0;
    *fits = true;
    for (; i < line.length && line.at[i] >= '0' && line.at[i] <= '9'; i++) {
        int digit = line.at[i] - '0';
        *fits = *fits && !__builtin_mul_overflow(*out, 10, out) &&
                !__builtin_sub_overflow(*out, negative ? digit : -digit, out);
    }
    if (i == first || i + (i < line.length && line.at[i] == 'L') != line.length)
        return fv_pickle_malformed(p, "a line is not an integer");
    return FV_OK;
}

/* INT, where 00 and 01 are False and True, and LONG. */
static fv_status read_decimal_line(fv_pickle *p, uint8_t code)
{
    const uint8_t *line = p->data + p->at;
    if (code == 'I' && p->size - p->at >= 3 && line[0] == '0' && line[1] <= '1' && line[1] >= '0' &&
        line[2] == '\n') {
        p->at += 3;
        return push_bool(p, line[1] == '1');
    }
    int64_t number;
    bool fits;
    FV_TRY(fv_pickle_decimal(p, &number, &fits));
    return fits ? push_integer(p, number) : fv_pickle_push(p, (fv_value){.kind = KIND_OTHER});
}

/* FLOAT and PERSID: not looked at. STRING and UNICODE: the text, if it is written as it is. */
static fv_status read_text_line(fv_pickle *p, uint8_t code)
{
    fv_text line;
    FV_TRY(fv_pickle_line(p, &line));
    if (code == 'S') {
        char quote = line.length >= 2 ? line.at[0] : 0;
        if ((quote != '\'' && quote != '"') || line.at[line.length - 1] != quote)
            return fv_pickle_malformed(p, "a string has no quotes");
        line = (fv_text){line.at + 1, line.length - 2};
    }
    if (code == 'F' || code == 'P' || (line.length && memchr(line.at, '\\', line.length)))
        return fv_pickle_push(p, (fv_value){.kind = KIND_OTHER});
    return fv_pickle_push(p, (fv_value){.kind = KIND_TEXT,
                                        .size = (uint32_t)line.length,
                                        .u.bytes = (const uint8_t *)line.at});
}

static fv_status read_number(fv_pickle *p, uint8_t code)
{
    uint64_t v = 0;
    FV_TRY(fv_pickle_take_number(p, code == 'J' ? 4 : code == 'M' ? 2 : 1, &v));
    return push_integer(p, code == 'J' ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

fv_status fv_pickle_literal(fv_pickle *p, uint8_t code)
{
    const uint8_t *skipped;
    switch (code) {
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
        FV_TRY(fv_pickle_take(p, 8, &skipped));
        return fv_pickle_push(p, (fv_value){.kind = KIND_OTHER});
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
    case 'I': /* INT */
    case 'L': /* LONG */
        return read_decimal_line(p, code);
    case 'F': /* FLOAT */
    case 'P': /* PERSID */
    case 'S': /* STRING */
    case 'V': /* UNICODE */
        return read_text_line(p, code);
    default:
        return fv_fail(FV_ERR_UNSUPPORTED, "pickle, byte %zu: opcode 0x%02x, which no pickle has",
                       p->at - 1, code);
    }
}
