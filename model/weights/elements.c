/* The elements of a checkpoint's tensors: their types, and reading them as floats or doubles.
 *
 * Half precision follows IEEE 754-2008 binary16; bfloat16 is the upper half of a binary32, F8_E5M2
 * that of a half; F8_E4M3 has a bias of 7, no infinity, and NaN where all seven bits are set (OCP
 * 8-bit Floating Point Specification 1.0). */
#include <math.h>

#include "model/weights/weights_internal.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [FV_FILE_F32] = {"F32", 4},
    [FV_FILE_F16] = {"F16", 2},
    [FV_FILE_BF16] = {"BF16", 2},
    [FV_FILE_F64] = {"F64", 8},
    [FV_FILE_I64] = {"I64", 8},
    [FV_FILE_I32] = {"I32", 4},
    [FV_FILE_I16] = {"I16", 2},
    [FV_FILE_I8] = {"I8", 1},
    [FV_FILE_U8] = {"U8", 1},
    [FV_FILE_BOOL] = {"BOOL", 1},
    [FV_FILE_U16] = {"U16", 2},
    [FV_FILE_U32] = {"U32", 4},
    [FV_FILE_U64] = {"U64", 8},
    [FV_FILE_F8_E4M3] = {"F8_E4M3", 1},
    [FV_FILE_F8_E5M2] = {"F8_E5M2", 1},
    [FV_FILE_F8_E8M0] = {"F8_E8M0", 1},
    [FV_FILE_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 1},
    [FV_FILE_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 1},
    [FV_FILE_C32] = {"C32", 4},
    [FV_FILE_C64] = {"C64", 8},
    [FV_FILE_C128] = {"C128", 16},
    [FV_FILE_QI8] = {"QI8", 1},
    [FV_FILE_QU8] = {"QU8", 1},
    [FV_FILE_QI32] = {"QI32", 4},
    [FV_FILE_QU4] = {"QU4", 1},
    [FV_FILE_QU2] = {"QU2", 1},
    [FV_FILE_OTHER] = {"?", 0},
};

const char *fv_file_dtype_name(fv_file_dtype t)
{
    return dtypes[t].name;
}

const char *fv_entry_dtype_name(const fv_entry *e)
{
    return e->dtype == FV_FILE_OTHER && e->type ? e->type : dtypes[e->dtype].name;
}

size_t fv_file_dtype_size(fv_file_dtype t)
{
    return dtypes[t].size;
}

size_t fv_entry_count(const fv_entry *e)
{
    size_t count = 1;
    for (int i = 0; i < e->ndim; i++) count *= (size_t)e->dims[i];
    return count;
}

bool fv_entry_readable(const fv_entry *e)
{
    return e->dtype <= FV_FILE_F8_E5M2;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3ffu;
    if (exponent == 0) { /* zero and subnormal numbers: a multiple of 2^-24 */
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    uint32_t wide = exponent == 31 ? 255u : exponent + (127 - 15);
    return from_bits(sign | wide << 23 | mantissa << 13);
}

static float bfloat_to_float(uint16_t b)
{
    return from_bits((uint32_t)b << 16);
}

static float tiny_to_float(uint8_t b) /* E5M2 */
{
    return half_to_float((uint16_t)(b << 8));
}

static float small_to_float(uint8_t b) /* E4M3 */
{
    unsigned exponent = b >> 3 & 15u, mantissa = b & 7u;
    float magnitude =
        exponent ? ldexpf((float)(8 + mantissa), (int)exponent - 10) : (float)mantissa * 0x1p-9f;
    if ((b & 0x7f) == 0x7f) magnitude = NAN;
    return b & 0x80 ? -magnitude : magnitude;
}

static uint8_t truth(uint8_t v)
{
    return v != 0;
}

/* One loop a dtype: n elements, `step` bytes apart. memcpy, as data may be unaligned. */
#define CONVERT(type, convert)                                                                     \
    for (size_t i = 0; i < n; i++) {                                                               \
        type v;                                                                                    \
        memcpy(&v, from + i * step, sizeof v);                                                     \
        to[i] = (out_type)convert(v);                                                              \
    }                                                                                              \
    break

#define DEFINE_RUN(name, real)                                                                     \
    static void name(fv_file_dtype dtype, const uint8_t *from, size_t step, size_t n, real *to)    \
    {                                                                                              \
        typedef real out_type;                                                                     \
        switch (dtype) {                                                                           \
        case FV_FILE_F32:                                                                          \
            CONVERT(float, );                                                                      \
        case FV_FILE_F16:                                                                          \
            CONVERT(uint16_t, half_to_float);                                                      \
        case FV_FILE_BF16:                                                                         \
            CONVERT(uint16_t, bfloat_to_float);                                                    \
        case FV_FILE_F64:                                                                          \
            CONVERT(double, );                                                                     \
        case FV_FILE_I64:                                                                          \
            CONVERT(int64_t, );                                                                    \
        case FV_FILE_I32:                                                                          \
            CONVERT(int32_t, );                                                                    \
        case FV_FILE_I16:                                                                          \
            CONVERT(int16_t, );                                                                    \
        case FV_FILE_I8:                                                                           \
            CONVERT(int8_t, );                                                                     \
        case FV_FILE_U8:                                                                           \
            CONVERT(uint8_t, );                                                                    \
        case FV_FILE_BOOL:                                                                         \
            CONVERT(uint8_t, truth);                                                               \
        case FV_FILE_U16:                                                                          \
            CONVERT(uint16_t, );                                                                   \
        case FV_FILE_U32:                                                                          \
            CONVERT(uint32_t, );                                                                   \
        case FV_FILE_U64:                                                                          \
            CONVERT(uint64_t, );                                                                   \
        case FV_FILE_F8_E4M3:                                                                      \
            CONVERT(uint8_t, small_to_float);                                                      \
        case FV_FILE_F8_E5M2:                                                                      \
            CONVERT(uint8_t, tiny_to_float);                                                       \
        default: /* not readable: read_elements */                                                 \
            break;                                                                                 \
        }                                                                                          \
    }

DEFINE_RUN(run_to_f32, float)
DEFINE_RUN(run_to_f64, double)

/* Splits dims into outer ones and one run of equally spaced elements at the end. */
static int outer_dims(const fv_entry *e, size_t *run, size_t *stride)
{
    int outer = e->ndim;
    int64_t dense = 1;
    while (outer > 0 && (e->dims[outer - 1] == 1 || e->strides[outer - 1] == dense))
        dense *= e->dims[--outer];
    *run = (size_t)dense;
    *stride = 1;
    if (dense > 1 || outer == 0) return outer;
    *run = (size_t)e->dims[outer - 1];
    *stride = (size_t)e->strides[outer - 1];
    return outer - 1;
}

/* Moves to the next run; false after the last. */
static bool advance(const fv_entry *e, int outer, int64_t index[FV_MAX_DIMS], int64_t *offset)
{
    for (int i = outer - 1; i >= 0; i--) {
        *offset += e->strides[i];
        if (++index[i] < e->dims[i]) return true;
        *offset -= e->strides[i] * e->dims[i];
        index[i] = 0;
    }
    return false;
}

static void read_elements(const fv_entry *e, float *out32, double *out64)
{
    size_t count = fv_entry_count(e);
    for (size_t i = 0; i < count && !fv_entry_readable(e); i++) {
        if (out64)
            out64[i] = (double)NAN;
        else
            out32[i] = NAN;
    }
    if (count == 0 || !fv_entry_readable(e)) return;
    size_t run, stride, size = dtypes[e->dtype].size;
    int outer = outer_dims(e, &run, &stride);
    int64_t index[FV_MAX_DIMS] = {0}, offset = 0;
    do {
        const uint8_t *from = (const uint8_t *)e->data + (size_t)offset * size;
        if (out64) {
            run_to_f64(e->dtype, from, stride * size, run, out64);
            out64 += run;
        } else if (e->dtype == FV_FILE_F32 && stride == 1) {
            memcpy(out32, from, run * sizeof *out32);
            out32 += run;
        } else {
            run_to_f32(e->dtype, from, stride * size, run, out32);
            out32 += run;
        }
    } while (advance(e, outer, index, &offset));
}

void fv_entry_read_f32(const fv_entry *e, float *out)
{
    read_elements(e, out, NULL);
}

void fv_entry_read_f64(const fv_entry *e, double *out)
{
    read_elements(e, NULL, out);
}

static bool in_row_major_order(const fv_entry *e)
{
    int64_t step = 1;
    for (int i = e->ndim - 1; i >= 0; step *= e->dims[i--])
        if (e->dims[i] != 1 && e->strides[i] != step) return false;
    return true;
}

const float *fv_entry_floats(const fv_entry *e)
{
    bool plain = e->dtype == FV_FILE_F32 && in_row_major_order(e);
    return plain && (uintptr_t)e->data % _Alignof(float) == 0 ? e->data : NULL;
}

size_t fv_weights_offset(const fv_weights *w, const fv_entry *e)
{
    return (size_t)((const uint8_t *)e->data - w->map.data);
}

void fv_weights_forget(const fv_weights *w, const fv_entry *e)
{
    if (in_row_major_order(e)) /* otherwise its bytes may be anywhere in the storage */
        fv_file_map_forget(&w->map, e->data, fv_entry_count(e) * fv_file_dtype_size(e->dtype));
}
