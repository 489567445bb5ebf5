/* Building a network: where its ops stand in a plan, and where its tensors are in a checkpoint.
 *
 * A builder holds two names that grow together. The path is that of a tensor in the checkpoint:
 * inside fv_enter(b, "imgencoder.learnable.") the loader of "max_pool.0" reads
 * "imgencoder.learnable.max_pool.0.*". The scope is that of the plan, which may begin with more: so
 * two networks, or one twice, stand in one plan, under "a." and "b.".
 *
 * Every loader checks the shape; a failure names checkpoint, tensor, found and expected. All pass
 * -1 on and return -1 on failure, like the builders of plan.h.
 *
 * A source may note what it is asked for instead of reading it (manifest.h). Weights then have
 * their shapes and no numbers, and a builder that takes widths from the shapes in its plan needs
 * not know. */
#ifndef FV_BUILDER_H
#define FV_BUILDER_H

#include "model/plan/plan.h"
#include "model/weights/weights.h"

typedef struct fv_manifest fv_manifest;

typedef struct fv_source {
    const fv_weights *weights;
    const char *root;   /* "", "learnable.", "learnable.module.", ...: before every name */
    bool momentum;      /* the momentum towers: "imgencoder_mom." where a name has "imgencoder." */
    fv_store *store;    /* where loaded weights are kept for the next plan; NULL: nowhere */
    fv_manifest *noted; /* a dry run, into this manifest; NULL: weights are read */
    char key[16];       /* before every name in the store, which may serve several networks */
} fv_source;

enum { FV_BUILDER_PATH = 256, FV_BUILDER_DEPTH = 32 };
typedef struct fv_builder {
    fv_plan *plan;
    const fv_source *source;
    char path[FV_BUILDER_PATH]; /* in the checkpoint, root and tower aside; begins as "" */
    size_t lengths[FV_BUILDER_DEPTH];
    int depth;
} fv_builder;

/* A step down, printf-style, for path and scope both: "layers.%d."; and back. */
void fv_enter(fv_builder *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fv_leave(fv_builder *b);

/* A layer's weights: w and b as the op table wants them; b is FV_NONE where there is none. */
typedef struct fv_layer {
    fv_ref w, b;
} fv_layer;

enum { FV_SOURCE_NAME = 512 };
/* The tensor's name in the checkpoint: root, scope and name, of the tower that is meant. */
void fv_source_name(char out[FV_SOURCE_NAME], const fv_source *s, const char *scope,
                    const char *name);

void fv_builder_name(const fv_builder *b, const char *name, char out[FV_SOURCE_NAME]);
/* The weight path + name of the source's store, or FV_NONE; and a weight given to it. */
fv_ref fv_builder_stored(fv_builder *b, const char *name);
fv_ref fv_builder_keep(fv_builder *b, const char *name, fv_ref r);

/* The entry `path + name`; NULL (with the message stored) if it is missing. For reading numbers
 * fv_load_values is better: a manifest has its shape, and goes on where it is missing. */
const fv_entry *fv_load_entry(const fv_builder *b, const char *name);
/* A tensor's numbers in row-major order; a dim of 0 takes any size and is filled in. Caller frees.
 * NULL if the plan has failed, and in a dry run, where weights can be made without them. */
double *fv_load_values(fv_builder *b, const char *name, int64_t *dims, int ndim);
/* A matrix [rows, columns] as a weight {1,1,rows,columns}; 0: any. */
fv_ref fv_load_matrix(fv_builder *b, const char *name, int rows, int columns);
/* Of a tensor that checkpoints have beside those that the network reads: that it is known. */
void fv_load_unused(fv_builder *b, const char *name);

/* "name.weight" [out, in] or [out, in, 1, 1], and "name.bias" [out]. in, out 0: any. */
fv_layer fv_load_linear(fv_builder *b, const char *name, int out, int in);
/* The same from full tensor names ("in_proj_weight", "in_proj_bias"). */
fv_layer fv_load_linear_named(fv_builder *b, const char *weight, const char *bias, int out, int in);
/* Several linear maps of one input as one: their rows one below the other. */
fv_layer fv_load_linears(fv_builder *b, const char *const *names, int count, const char *as,
                         int out, int in);
/* A convolution with a bias: "name.weight" [out, in, k, k], which becomes OHWI, and "name.bias"
 * [out]. out 0: any. */
fv_layer fv_load_conv(fv_builder *b, const char *name, int out, int in, int k);
/* The same without a bias. */
fv_ref fv_load_kernel(fv_builder *b, const char *name, int out, int in, int k);
/* Scale and shift of a LayerNorm or GroupNorm. */
fv_layer fv_load_norm(fv_builder *b, const char *name, int width);

/* A convolution without bias [out, in, k, k] (depthwise: in = 1) and the batch norm after it,
 * folded: w' = w * g, b' = beta - mean * g with g = gamma / sqrt(var + eps), in double.
 * Weights become OHWI; depthwise ones {1, k, k, out}. */
fv_layer fv_load_conv_bn(fv_builder *b, const char *conv, const char *bn, int out, int in, int k,
                         bool depthwise, double eps);

/* "[48, any, 3, 3]" */
enum { FV_DIMS_TEXT = 192 };
void fv_describe_dims(char out[FV_DIMS_TEXT], const int64_t *dims, int ndim, bool wanted);

#endif
