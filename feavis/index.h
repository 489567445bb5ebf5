/* Embeddings of many pictures in a file, and searching them by text.
 *
 * An index is two files: FILE, a .npy of float [count][dim] or a .safetensors with the tensor
 * "embeddings" [count][dim] (F32 or F16), and FILE.txt, the path of each row's picture, one a
 * line. Rows are unit vectors. Searching maps the file and multiplies it block by block: exact,
 * and in little memory of its own, whatever the size. */
#ifndef FV_INDEX_H
#define FV_INDEX_H

#include "feavis/embed.h"
#include "feavis/match.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_index fv_index;

/* Fails if FILE.txt does not have one line a row. Caller closes. */
fv_status fv_index_open(fv_index **out, const char *path);
void fv_index_close(fv_index *x);
int fv_index_count(const fv_index *x);
int fv_index_dim(const fv_index *x);
const char *fv_index_name(const fv_index *x, int i); /* the picture of row i */

/* The k best rows for each of n queries [n][dim]; hits [n][k], largest first. *found: how many
 * hits each query has, min(k, count). Products run on the model's backend. */
fv_status fv_index_search(const fv_index *x, struct fv_model *m, const float *queries, int n, int k,
                          fv_hit *hits, int *found);

/* Embeds the pictures into an index. What is finished is kept beside it in PATH.part and
 * PATH.part.txt, so that the same call goes on after an interruption; a .part of another model
 * or another list of pictures is refused. path: .npy or .safetensors; half: F16, the latter only.
 * *resumed (may be NULL): pictures done by an earlier run. FV_CANCELLED: fn stopped it. */
fv_status fv_index_build(const char *path, struct fv_model *m, const fv_list *pictures, int batch,
                         bool half, int *resumed, fv_embed_fn fn, void *user);

#ifdef __cplusplus
}
#endif
#endif
