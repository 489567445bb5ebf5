/* Many pictures, many texts: embeddings, row by row.
 *
 * A model that was opened with guides beside it embeds with all of them: a row is their unit
 * embeddings one behind the other, fv_embed_dim numbers. A guide of it alone (fv_model_guide, but
 * the first) is a model of one. */
#ifndef FV_EMBED_H
#define FV_EMBED_H

#include <stdbool.h>

#include "feavis/lists.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_model;
struct fv_text_report;

/* Numbers a row. */
FV_API int fv_embed_dim(const struct fv_model *m);
/* [fv_embed_dim]: the weight of the guide that each number is of, over the sum of what all weights
 * measure; 1 of a model alone. FV_ERR_ARGUMENT if all are 0. */
FV_API fv_status fv_embed_weights(const struct fv_model *m, float *out);

/* The image tower, forward only, for several pictures at a time. */
typedef struct fv_embedder fv_embedder;

/* batch: pictures a run of the network, 0 for a number that suits the image size. The model must
 * outlive the embedder. */
FV_API fv_status fv_embedder_open(fv_embedder **out, struct fv_model *m, int batch);
FV_API void fv_embedder_close(fv_embedder *e);
FV_API int fv_embedder_batch(const fv_embedder *e);

/* Called after each batch, and once for each picture that could not be read: then `failure` is
 * the line that says why (it names the file) and the run goes on. False stops it. */
typedef bool (*fv_embed_fn)(void *user, int done, int count, const char *failure);

/* paths [count] -> rows [count][dim]. read[i] says whether picture i could be; the row of one
 * that could not is zero. Files are decoded while the network runs. fn may be NULL.
 * FV_CANCELLED: fn stopped it; the rows before are whole. */
FV_API fv_status fv_embed_pictures(fv_embedder *e, char *const *paths, int count, float *rows,
                                   bool *read, fv_embed_fn fn, void *user);

/* texts [count] -> rows [count][dim]; reports [guides][count] or NULL. */
FV_API fv_status fv_embed_texts(struct fv_model *m, char *const *texts, int count, float *rows,
                                struct fv_text_report *reports, fv_embed_fn fn, void *user);

/* out[i][j] = a[i] . b[j] for a [n][dim] and b [k][dim], on the model's backend, in blocks; of
 * several guides the mean by fv_embed_weights. */
FV_API fv_status fv_similarities(struct fv_model *m, const float *a, int n, const float *b, int k,
                                 float *out);
/* The same in the eyes of one guide, from 0. */
FV_API fv_status fv_similarities_of(struct fv_model *m, int guide, const float *a, int n,
                                    const float *b, int k, float *out);

#ifdef __cplusplus
}
#endif
#endif
