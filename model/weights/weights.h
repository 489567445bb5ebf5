/* One view over checkpoints: .safetensors and PyTorch .pth/.pt (zip and legacy) look the same.
 *
 * The file is mapped, not read: a tensor's bytes are touched only when it is read, so towers
 * that are not used cost nothing. Pickles are parsed, never executed: what an unknown global would
 * make (a cfg object, a date, a tensor of somebody's own class) is passed over, and is an error
 * only where a tensor that is needed would come out of it.
 *
 * Nested dictionaries of a .pth become dotted names: torch.load(f)['learnable']['a.b'] is
 * "learnable.a.b". The modules of a TorchScript archive and of a whole pickled torch.nn.Module have
 * the names of their state dict. Entries that are not tensors (epoch, optimiser settings) are
 * skipped. */
#ifndef FV_WEIGHTS_H
#define FV_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/status.h"

typedef enum fv_file_dtype {
    FV_FILE_F32,
    FV_FILE_F16,
    FV_FILE_BF16,
    FV_FILE_F64,
    FV_FILE_I64,
    FV_FILE_I32,
    FV_FILE_I16,
    FV_FILE_I8,
    FV_FILE_U8,
    FV_FILE_BOOL,
    FV_FILE_U16,
    FV_FILE_U32,
    FV_FILE_U64,
    FV_FILE_F8_E4M3,
    FV_FILE_F8_E5M2,
    /* from here on listed, but not read: fv_weights_need refuses them by name */
    FV_FILE_F8_E8M0,
    FV_FILE_F8_E4M3FNUZ,
    FV_FILE_F8_E5M2FNUZ,
    FV_FILE_C32, /* complex, of two halves */
    FV_FILE_C64,
    FV_FILE_C128,
    FV_FILE_QI8, /* quantised */
    FV_FILE_QU8,
    FV_FILE_QI32,
    FV_FILE_QU4,  /* two to a byte */
    FV_FILE_QU2,  /* four to a byte */
    FV_FILE_OTHER /* fv_entry.type says what the file calls it */
} fv_file_dtype;

enum { FV_MAX_DIMS = 8 };

/* A tensor as it lies in the file. */
typedef struct fv_entry {
    const char *name; /* UTF-8, borrowed from the fv_weights */
    fv_file_dtype dtype;
    int ndim; /* 0: a scalar */
    int64_t dims[FV_MAX_DIMS];
    int64_t strides[FV_MAX_DIMS]; /* in elements; checked to stay inside the storage */
    const void *data;             /* first element, in the mapping; may be unaligned */
    const char *type;             /* of FV_FILE_OTHER; else NULL */
} fv_entry;

typedef struct fv_weights fv_weights;

/* Opens by content, not by file name. Checks every header, offset and size, so that reading any
 * entry later stays inside the file. A file that is none of the formats is named for what it
 * looks like (empty, HTML page, Git LFS pointer, ...). Caller closes. */
fv_status fv_weights_open(fv_weights **out, const char *path);
void fv_weights_close(fv_weights *w);

const char *fv_weights_path(const fv_weights *w);
const char *fv_weights_format(const fv_weights *w); /* "safetensors", "torch zip", "torch legacy" */
size_t fv_weights_count(const fv_weights *w);
const fv_entry *fv_weights_at(const fv_weights *w, size_t i);           /* in file order */
const fv_entry *fv_weights_find(const fv_weights *w, const char *name); /* NULL if absent */
/* The entry, which has numbers that can be read. Else one line says why not: the tensor is
 * missing, lies in something that is not read (by what that was made), or has a dtype that is only
 * listed (which). */
fv_status fv_weights_need(const fv_weights *w, const char *name, const fv_entry **out);
/* What was passed over: "args: made by 'easydict.EasyDict'" (at most FV_MAX_NOTES are kept). */
enum { FV_MAX_NOTES = 256 };
size_t fv_weights_note_count(const fv_weights *w);
const char *fv_weights_note_at(const fv_weights *w, size_t i);

/* Value of a __metadata__ entry of a safetensors file; NULL if absent or another format. */
const char *fv_weights_metadata(const fv_weights *w, const char *key);

/* Number of elements. */
size_t fv_entry_count(const fv_entry *e);
const char *fv_file_dtype_name(fv_file_dtype t);    /* "F32", "BF16", ... as safetensors says it */
const char *fv_entry_dtype_name(const fv_entry *e); /* the same, or what the file calls it */
size_t fv_file_dtype_size(fv_file_dtype t);         /* bytes; 0 of FV_FILE_OTHER */
bool fv_entry_readable(const fv_entry *e);          /* its dtype is one of numbers, up to F8_E5M2 */

/* Converts all elements, in row-major order of dims, to float (integers and F64 are rounded).
 * out holds fv_entry_count(e) floats; NaN where the dtype is not readable. */
void fv_entry_read_f32(const fv_entry *e, float *out);
void fv_entry_read_f64(const fv_entry *e, double *out);
/* The elements themselves, if the file holds them as aligned floats in this order; else NULL. */
const float *fv_entry_floats(const fv_entry *e);
/* Where its first element lies in a file that was opened by path. */
size_t fv_weights_offset(const fv_weights *w, const fv_entry *e);
/* Lets go of the memory that holds the tensor's part of the file, until it is read again. */
void fv_weights_forget(const fv_weights *w, const fv_entry *e);

/* A tensor to be written. */
typedef struct fv_save_entry {
    const char *name;
    fv_file_dtype dtype; /* FV_FILE_F32, FV_FILE_F16 (rounded to nearest even) or FV_FILE_I64 */
    int ndim;
    int64_t dims[FV_MAX_DIMS];
    const void *data; /* float for F32 and F16, int64_t for I64 */
} fv_save_entry;

uint16_t fv_half(float value); /* IEEE half, to nearest even */

/* Writes a safetensors file: to a temp file beside it, synced, then renamed over path.
 * metadata: pairs key, value, ..., NULL; or NULL. */
fv_status fv_weights_save(const char *path, const fv_save_entry *entries, size_t count,
                          const char *const *metadata);

/* --- .npy (NumPy format 1.0 to 3.0): one array, little-endian, C order or Fortran order --- */

typedef struct fv_npy fv_npy; /* one mapped array */
fv_status fv_npy_open(fv_npy **out, const char *path);
const fv_entry *fv_npy_entry(const fv_npy *a); /* name is the path */
size_t fv_npy_offset(const fv_npy *a); /* of the first element, in a file that was opened by path */
void fv_npy_close(fv_npy *a);
/* Writes float data as '<f4', C order; temp name, sync, rename. */
fv_status fv_npy_save_f32(const char *path, const float *data, int ndim, const int64_t *dims);

/* The header of a .npy of '<f4' [rows][columns] (neither over 2^31), to put in front of rows that
 * are written as they come. */
enum { FV_NPY_MATRIX_HEADER = 128 };
void fv_npy_matrix_header(char out[FV_NPY_MATRIX_HEADER], int64_t rows, int64_t columns);

#endif
