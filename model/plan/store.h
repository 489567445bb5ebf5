/* A store: weights that several plans share.
 *
 * A plan that uses a store takes a weight from it when the store has one of that name, and reads,
 * folds and uploads it otherwise, once; so a second picture, another text length or a change of
 * the objectives costs no second copy of the network. Keys are the names in the checkpoint, of a
 * second network behind its number: "imgencoder.backbone.conv_stem.weight",
 * "2.imgencoder.backbone.conv_stem.weight". One thread at a time. */
#ifndef FV_STORE_H
#define FV_STORE_H

#include "kernels/backend.h"

typedef struct fv_store fv_store;

/* The backend must outlive the store, the store every plan that uses it. */
fv_status fv_store_new(fv_store **out, fv_backend *be);
void fv_store_free(fv_store *s);

/* NULL if there is none of that key; borrowed, and stable as long as the store. */
const fv_tensor *fv_store_find(const fv_store *s, const char *key);
/* Takes over `tensor->data`, which the store's backend has allocated; on failure it stays the
 * caller's. */
fv_status fv_store_add(fv_store *s, const char *key, const fv_tensor *tensor);
size_t fv_store_bytes(const fv_store *s);

#endif
