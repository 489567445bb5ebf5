/* What the readers of checkpoint formats share: bounded views, an arena for names, the list of
 * entries, and the parsed pickle.
 *
 * A reader gets the whole file as bytes, adds one entry a tensor and reports failures without
 * the file's name, which fv_weights_open puts in front. Everything a reader allocates is bounded
 * by the bytes of the header it reads, whatever sizes the header claims. */
#ifndef FV_WEIGHTS_INTERNAL_H
#define FV_WEIGHTS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/status.h"
#include "model/files/file_map.h"
#include "model/weights/weights.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are read from the mapping as they are: little-endian hosts only");

enum {
    FV_MAX_TENSORS = 1 << 16,
    FV_MAX_NAME = 511,       /* bytes of a tensor's name */
    FV_FREE_REPEAT = 1 << 24 /* elements that strides of 0 may make out of fewer */
};

typedef struct fv_bytes {
    const uint8_t *at;
    size_t size;
} fv_bytes;

typedef struct fv_text {
    const char *at; /* not terminated */
    size_t length;
} fv_text;

static inline uint16_t fv_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t fv_le32(const uint8_t *p)
{
    return (uint32_t)fv_le16(p) | (uint32_t)fv_le16(p + 2) << 16;
}

static inline uint64_t fv_le64(const uint8_t *p)
{
    return (uint64_t)fv_le32(p) | (uint64_t)fv_le32(p + 4) << 32;
}

/* Arguments of "%.*s" that show foreign text in a message, cut to a readable length. */
#define FV_SHOW(text) fv_shown_length(text), (text).at
int fv_shown_length(fv_text text);

static inline fv_text fv_text_of(const char *terminated)
{
    return (fv_text){terminated, strlen(terminated)};
}

static inline bool fv_text_is(fv_text text, const char *terminated)
{
    return text.length == strlen(terminated) && memcmp(text.at, terminated, text.length) == 0;
}

int fv_text_compare(fv_text a, fv_text b); /* as memcmp; a text goes before what it begins */

/* Well formed (no overlong forms, no surrogates) and free of NUL bytes. */
bool fv_text_is_utf8(fv_text text);

/* --- Small allocations that live as long as the fv_weights --- */

typedef struct fv_arena {
    struct fv_arena_block *last;
    size_t used, size; /* of the last block */
} fv_arena;

char *fv_arena_alloc(fv_arena *a, size_t n); /* not aligned: for text; NULL if out of memory */
void fv_arena_free(fv_arena *a);

/* Room for one more item: doubles the array when it is full. False: out of memory. */
bool fv_grow(void **array, size_t *capacity, size_t count, size_t item_size);

/* --- Sorted names --- */

typedef struct fv_key {
    fv_text text;
    size_t index;
} fv_key;

void fv_keys_sort(fv_key *keys, size_t count);
const fv_key *fv_keys_find(const fv_key *sorted, size_t count, fv_text text); /* NULL if absent */
const fv_key *fv_keys_duplicate(const fv_key *sorted, size_t count); /* NULL if all differ */

/* --- Entries --- */

typedef struct fv_pair {
    const char *key, *value;
} fv_pair;

typedef struct fv_note {
    const char *path, *line; /* of the part, NULL if no name is like it; "path: why" */
} fv_note;

struct fv_weights {
    char *path;
    const char *format;
    fv_file_map map; /* zeroed if the bytes are the caller's */
    fv_arena arena;
    fv_entry *entries;
    size_t count, capacity;
    fv_key *keys; /* sorted names of entries */
    fv_pair *metadata;
    size_t metadata_count, metadata_capacity;
    fv_note *notes; /* parts that are not read */
    size_t note_count, note_capacity;
};

/* Sets e->strides to C order of e->dims. */
void fv_entry_dense_strides(fv_entry *e);

/* Product of dims; false if a dim is negative or the product is over 2^48 (no file is). */
bool fv_entry_product(const fv_entry *e, int64_t *count);

/* Checks that all elements from `offset` (in elements) on lie inside storage; sets e->data. */
fv_status fv_entry_place(fv_entry *e, fv_bytes storage, int64_t offset);

/* A tensor's name as text of the arena: checked to be UTF-8 without NUL, and not too long. */
fv_status fv_weights_name(fv_weights *w, fv_text text, const char **name);

/* Adds a placed entry whose name lives in the arena. */
fv_status fv_weights_add(fv_weights *w, const fv_entry *e);

/* Notes that the part under this path is not read, and why. Control characters are replaced. */
fv_status fv_weights_note(fv_weights *w, fv_text path, const char *why);

/* Opens a checkpoint that is in memory. The bytes are borrowed until close; `label` stands for
 * the path. */
fv_status fv_weights_open_memory(fv_weights **out, const void *data, size_t size,
                                 const char *label);
fv_status fv_npy_open_memory(fv_npy **out, const void *data, size_t size, const char *label);

/* --- The formats --- */

bool fv_safetensors_detect(fv_bytes file);
fv_status fv_safetensors_read(fv_weights *w, fv_bytes file);
fv_status fv_torch_zip_read(fv_weights *w, fv_bytes file);
fv_status fv_torch_legacy_read(fv_weights *w, fv_bytes file);

/* --- Pickles --- */

/* A storage that the pickle names; the container fills in `data`. */
typedef struct fv_storage {
    fv_text key;
    fv_file_dtype dtype;             /* U8 if the pickle leaves it open */
    int64_t count;                   /* elements of the whole storage under that key */
    int64_t view_offset, view_count; /* the part that is meant, in elements */
    fv_bytes data;                   /* of that part */
} fv_storage;

typedef struct fv_pickle fv_pickle;

/* Builds the object of one pickle; *used is the number of bytes up to and including STOP. The
 * bytes are borrowed. */
fv_status fv_pickle_read(fv_pickle **out, fv_bytes bytes, size_t *used);
void fv_pickle_free(fv_pickle *p);

size_t fv_pickle_storage_count(const fv_pickle *p);
fv_storage *fv_pickle_storage(fv_pickle *p, size_t i);

/* The object as an integer of any size: little-endian two's complement without padding. */
bool fv_pickle_is_integer(const fv_pickle *p, const uint8_t *bytes, size_t size);
/* Value of a boolean in the dictionary; `otherwise` if there is none of that name. */
bool fv_pickle_flag(const fv_pickle *p, const char *name, bool otherwise);
/* The object as a list of strings: count of them, and the i-th. */
bool fv_pickle_is_text_list(const fv_pickle *p, size_t *count);
fv_text fv_pickle_text_at(const fv_pickle *p, size_t i);

/* Adds every tensor under its dotted name. The storages must have their data. */
fv_status fv_pickle_add_tensors(fv_pickle *p, fv_weights *w);

#endif
