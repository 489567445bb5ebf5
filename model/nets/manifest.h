/* The manifest of a network: every tensor that its builders ask of a checkpoint, in that order.
 *
 * It comes of a dry run: map, head, text and decoder of the network's row are built in a plan
 * without a backend from a source that notes and reads nothing (fv_source.noted). So a family has
 * its manifest for nothing, and it cannot differ from what is loaded. Sizes that a builder leaves
 * to the checkpoint are taken from there; where the tensor is missing the size is not known, nor
 * are those that follow from it. */
#ifndef FV_MANIFEST_H
#define FV_MANIFEST_H

#include "model/nets/network.h"

/* Its numbers may be of any type that can be read. A dim of 0 may be anything. Unused tensors
 * (counters, position ids, a pooler) belong to the network but are not read; they have no dims. */
typedef struct fv_needed {
    char name[FV_SOURCE_NAME]; /* in the checkpoint, with root and tower */
    int ndim;
    int64_t dims[FV_MAX_DIMS];
    bool unused;
} fv_needed;

struct fv_manifest {
    fv_needed *at;
    int count;
};

/* Of the tower that is meant. The network may be one that was opened unchecked. Fails where the
 * network cannot be built, whatever the checkpoint holds. Caller frees with fv_manifest_clear. */
fv_status fv_manifest_make(fv_manifest *out, const fv_network *n, bool momentum);
void fv_manifest_clear(fv_manifest *m);
/* For the loaders of builder.h: one more, unless there is one of that name. */
fv_status fv_manifest_add(fv_manifest *m, const fv_needed *part);

/* Whether a loader that wants these dims takes the tensor: ones at the end count for nothing, so
 * that a 1x1 convolution may be written as a matrix. 0: any, up to FV_LARGEST_SIZE. */
bool fv_entry_fits(const fv_entry *e, const int64_t *dims, int ndim);
/* NULL if the tensor is missing; *fits: its shape is as wanted, and its numbers can be read. */
const fv_entry *fv_needed_find(const fv_needed *part, const fv_weights *w, bool *fits);

#endif
