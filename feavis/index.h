/* Embeddings of many pictures in a file, and searching them by text.
 *
 * An index is FILE, a .npy of float [count][dim] or a .safetensors with the tensor "embeddings"
 * [count][dim] (F32 or F16); FILE.txt, the path of each row's picture, one a line, as
 * fv_name_escaped has it; and FILE.from, which says of what model and of what files the rows are.
 * Rows are unit vectors. Searching reads the file and multiplies it block by block: exact, and in
 * little memory, whatever the size. An index without FILE.from is of an earlier version: its names
 * are as they are, and nothing is known of its model.
 *
 * An index is used by one thread at a time. */
#ifndef FV_INDEX_H
#define FV_INDEX_H

#include "feavis/embed.h"
#include "feavis/match.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_index fv_index;

/* Fails if FILE.txt does not have one line a row. While an index is being replaced it waits, five
 * seconds at most. Caller closes. */
FV_API fv_status fv_index_open(fv_index **out, const char *path);
FV_API void fv_index_close(fv_index *x);
FV_API int fv_index_count(const fv_index *x);
FV_API int fv_index_dim(const fv_index *x);
FV_API const char *fv_index_name(const fv_index *x,
                                 int i); /* the picture of row i, its exact name */
/* Fails if the index is of another model than m, and names both. */
FV_API fv_status fv_index_check(const fv_index *x, const struct fv_model *m);

/* The k best rows for each of n queries [n][dim]; hits [n][k], largest first. *found: how many
 * hits each query has, min(k, count). Products run on the model's backend. Checks as fv_index_check
 * does. */
FV_API fv_status fv_index_search(const fv_index *x, struct fv_model *m, const float *queries, int n,
                                 int k, fv_hit *hits, int *found);

/* Embeds the pictures into an index. Rows that PATH has already, of the same model and of a file
 * with the same name, size and time, are taken over; a picture that is not in the list any more
 * leaves. What is finished is kept beside it in PATH.part and PATH.part.txt, so that an
 * interruption costs a few batches; PATH itself stays as it is until all is done. A .part of
 * another model is refused, and so is an index that another program is building. path: .npy or
 * .safetensors; half: F16, the latter only. *resumed (may be NULL): pictures whose rows were there.
 * FV_CANCELLED: fn stopped it. */
FV_API fv_status fv_index_build(const char *path, struct fv_model *m, const fv_list *pictures,
                                int batch, bool half, int *resumed, fv_embed_fn fn, void *user);

/* The rows as float32 in a file of another engine, block by block; OUT.txt, the names of the rows.
 * kind: "npy" (numpy.load), "faiss" (an IndexFlatIP for faiss.read_index, to train and fill others
 * from); OUT ends in .npy or .faiss. An index may not be exported over itself, nor its names over a
 * file that is there without OUT. */
FV_API fv_status fv_index_export(const fv_index *x, const char *kind, const char *out);

/* Shards of one index, PATH with .I-of-N before its ending, into PATH, in their order: what one
 * fv_index_build of all would have made. Fails where one lacks or is of another model, and then
 * nothing has happened. *shards, *rows: how many there were. */
FV_API fv_status fv_index_gather(const char *path, int *shards, int *rows);
/* "index.2-of-4.npy" of "index.npy"; caller frees. */
FV_API fv_status fv_index_shard(char **out, const char *path, int part, int of);

#ifdef __cplusplus
}
#endif
#endif
