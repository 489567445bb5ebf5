/* What a BriVL checkpoint holds against what its cfg needs. */
#ifndef FV_INVENTORY_H
#define FV_INVENTORY_H

#include "model/nets/brivl.h"

/* A tensor that a tower of the cfg has. dims of 0 may be anything; optional ones (classifier,
 * pooler, counters, position ids) are known but not used. */
typedef struct fv_needed {
    char name[FV_SOURCE_NAME]; /* in the checkpoint, with root and tower */
    int ndim;
    int64_t dims[4];
    bool optional;
} fv_needed;

typedef struct fv_needs {
    fv_needed *at;
    int count;
} fv_needs;

/* Every tensor of the image and the text tower that `s` means, in the order of the network. BERT's
 * layers are counted in the checkpoint (the cfg does not say). Caller frees with fv_needs_clear. */
fv_status fv_brivl_needs(fv_needs *out, const fv_brivl_config *c, const fv_source *s);
void fv_needs_clear(fv_needs *p);

/* NULL if the tensor is missing; *fits: its shape is as wanted, and its numbers can be read. */
const fv_entry *fv_needed_find(const fv_needed *part, const fv_weights *w, bool *fits);

/* The file's format and size, its towers, and what else is in it; with a cfg (NULL: without) the
 * tensors of each tower that are missing, of the wrong shape or unexpected. *problems: how many of
 * those the online towers have. */
fv_status fv_inventory_print(const char *checkpoint, const fv_brivl_config *config, FILE *to,
                             int *problems);

/* Every tensor on a line: name, dtype and shape, as in the file; then what was passed over. Needs
 * no cfg: any checkpoint. */
fv_status fv_inventory_list(const char *checkpoint, FILE *to);

/* Writes the towers that `momentum` chooses, named as the online ones, without what is not used, to
 * a safetensors file, and reads it again: F32 has to be equal to the bit; with `half` (F16) no
 * number may be further off than rounding takes it. *worst: the largest relative difference. */
fv_status fv_convert(const char *checkpoint, const fv_brivl_config *config, const char *path,
                     bool momentum, bool half, int *tensors, double *worst);

#endif
