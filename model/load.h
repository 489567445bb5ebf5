/* From a checkpoint's tensors to a plan's weights.
 *
 * A plan's scope is the path of a tensor in the checkpoint: under the scope
 * "imgencoder.learnable." the loader of "max_pool.0" reads "imgencoder.learnable.max_pool.0.*".
 * Every loader checks the shape; a failure names checkpoint, tensor, found and expected. All
 * pass -1 on and return -1 on failure, like builders. */
#ifndef FV_LOAD_H
#define FV_LOAD_H

#include "model/plan.h"
#include "model/weights.h"

typedef struct fv_source {
    const fv_weights *weights;
    const char *root; /* "", "learnable.", "learnable.module.", ...: before every name */
    bool momentum;    /* the momentum towers: "imgencoder_mom." where a name has "imgencoder." */
    fv_store *store;  /* where loaded weights are kept for the next plan; NULL: nowhere */
} fv_source;

/* A layer's weights: w and b as the op table wants them; b is FV_NONE where there is none. */
typedef struct fv_layer {
    fv_ref w, b;
} fv_layer;

enum { FV_SOURCE_NAME = 512 };
/* The tensor's name in the checkpoint: root, scope and name, of the tower that is meant. */
void fv_source_name(char out[FV_SOURCE_NAME], const fv_source *s, const char *scope,
                    const char *name);

/* The entry `scope + name`; NULL (with the message stored) if it is missing. */
const fv_entry *fv_load_entry(const fv_plan *p, const fv_source *s, const char *name);

/* "name.weight" [out, in] or [out, in, 1, 1], and "name.bias" [out]. in, out 0: any. */
fv_layer fv_load_linear(fv_plan *p, const fv_source *s, const char *name, int out, int in);
/* The same from full tensor names ("in_proj_weight", "in_proj_bias"). */
fv_layer fv_load_linear_named(fv_plan *p, const fv_source *s, const char *weight, const char *bias,
                              int out, int in);
/* Several linear maps of one input as one: their rows one below the other. */
fv_layer fv_load_linears(fv_plan *p, const fv_source *s, const char *const *names, int count,
                         const char *as, int out, int in);
/* Scale and shift of a LayerNorm. */
fv_layer fv_load_norm(fv_plan *p, const fv_source *s, const char *name, int width);

/* A convolution without bias [out, in, k, k] (depthwise: in = 1) and the batch norm after it,
 * folded: w' = w * g, b' = beta - mean * g with g = gamma / sqrt(var + eps), in double.
 * Weights become OHWI; depthwise ones {1, k, k, out}. */
fv_layer fv_load_conv_bn(fv_plan *p, const fv_source *s, const char *conv, const char *bn, int out,
                         int in, int k, bool depthwise, double eps);

#endif
