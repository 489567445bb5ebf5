/* CLIP (Radford et al. 2021) and Chinese-CLIP (Yang et al. 2022): an image and a text tower that
 * meet in one space, in the files of OpenAI, open_clip, HuggingFace and Chinese-CLIP.
 *
 *   image  normalised {n,S,S,3} -> ViT: patches, class row first, pre-norm layers -> map {n,1,t,d}
 *                                  (row 0 is the class) -> ln_post of row 0 -> proj -> l2norm
 *                               -> ModifiedResNet -> map {n,S/32,S/32,C} -> attention of their mean
 *                                  over all positions -> c_proj -> l2norm
 *   text   ids {1,1,1,L} -> causal transformer -> row of the end mark -> ln_final -> projection
 *                        -> or BERT with masked padding, row 0 -> projection;   then l2norm
 *
 * Tensors of a plan have OpenAI's names whatever the file calls them: "visual.*", and those of the
 * text tower "text.*". Sizes are those of the weights. What no file tells (quick or erf GELU, the
 * heads) comes from the cfg, else from where the file is known to be from. */
#ifndef FV_CLIP_H
#define FV_CLIP_H

#include "model/nets/network.h"
#include "model/text/bpe.h"

/* How position embeddings are resized to another grid; see fv_clip_resample. */
typedef enum fv_clip_positions {
    FV_CLIP_ANTIALIASED, /* open_clip: half-pixel centres, a = -0.5, widened when shrinking */
    FV_CLIP_CORNERS,     /* Chinese-CLIP: corners aligned, a = -0.75, borders repeated */
    FV_CLIP_CENTRES      /* transformers: half-pixel centres, a = -0.75, borders repeated */
} fv_clip_positions;

enum { FV_CLIP_SAID = 11 }; /* what convert notes beside the tensors */

typedef struct fv_clip_tower {
    int width, layers, heads;
    fv_act act;
    double eps; /* of its norms */
} fv_clip_tower;

typedef struct fv_clip {
    fv_network base;
    fv_weights *weights;
    bool huggingface; /* its names, and projections as Linear has them */
    bool chinese;     /* BERT for text */
    bool nested;      /* open_clip's custom text tower, under "text." */
    fv_clip_tower image, text;
    int patch, grid, stored_grid; /* ViT; positions a side, and as the file has them */
    int blocks[4];                /* ResNet, a layer; 0: ViT */
    fv_clip_positions positions;
    fv_bpe *bpe; /* NULL when opened without; so is one of both always */
    fv_vocab *vocabulary;
    char *root, *config, *vocabulary_path, *words; /* NULL: none */
    char title[80];
    char said[FV_CLIP_SAID][48]; /* the values of metadata */
    const char *metadata[2 * FV_CLIP_SAID + 1];
} fv_clip;

/* clip opens both. */
extern const fv_network_kind fv_clip_kind, fv_chinese_clip_kind;

/* --- clip_files.c --- */

/* Whether the names in this checkpoint are those of a CLIP, or of one of its relatives that are
 * refused by name. */
bool fv_clip_recognises(const fv_weights *w);
/* Weights, sizes, cfg and vocabulary, into a zeroed struct; what is there when it fails, the caller
 * closes all the same. */
fv_status fv_clip_read(fv_clip *c, const fv_network_files *files);

/* --- clip_config.c --- */

/* What a cfg says; 0, NULL and FV_ACT_NONE: nothing. */
typedef struct fv_clip_config {
    int image_size, heads, head_width, text_heads;
    fv_act act, text_act, default_act; /* default: by the cfg's kind, where it does not say */
    double eps, text_eps;
    float mean[3], std[3]; /* std 0: nothing */
    fv_resize resize;
    int resize_side, crop; /* what a photo is resized to before its centre is cut out; 0: nothing */
    bool resize_said;
} fv_clip_config;

/* Into what is known: open_clip_config.json (model_cfg, preprocess_cfg), or HuggingFace's
 * config.json (vision_config, text_config); JSON or YAML. chinese: HuggingFace's defaults are those
 * of its class. */
fv_status fv_clip_config_read(fv_clip_config *out, const char *path, bool chinese);
/* What HuggingFace's preprocessor_config.json says of photos, into a cfg that was read before. */
fv_status fv_clip_preprocessor_read(fv_clip_config *c, const char *path);

/* --- clip_said.c --- */

/* What a file that convert made says beside its tensors. */
void fv_clip_config_said(fv_clip_config *out, const fv_weights *w);
/* metadata, of what has been settled. */
void fv_clip_note(fv_clip *c);

/* --- builders --- */

/* A step down that the file and the plan name differently; back with fv_leave. */
void fv_clip_enter(fv_builder *b, const char *path, const char *scope);
/* Pre-norm layers, under the current path: x {n,1,t,d} -> {n,1,t,d}. */
fv_ref fv_clip_layers(fv_builder *b, const fv_clip *c, const fv_clip_tower *t, bool causal,
                      fv_ref x);
/* x . w without a bias. named: of a Linear, [out, in] in "name.weight"; else [in, out] in "name".
 */
fv_ref fv_clip_project(fv_builder *b, const char *name, bool named, fv_ref x);
/* {1,1,1,t}: a one at `row`; of x {n,1,t,d} that row alone. */
fv_ref fv_clip_row(fv_builder *b, const char *name, fv_ref x, int row);

fv_ref fv_clip_vit_map(fv_builder *b, const fv_clip *c, fv_ref x);
/* bias: of some positions alone, the class or mean in front of them; FV_NONE: the picture. */
fv_ref fv_clip_vit_head(fv_builder *b, const fv_clip *c, fv_ref map, fv_ref bias);
fv_ref fv_clip_resnet_map(fv_builder *b, const fv_clip *c, fv_ref x);
fv_ref fv_clip_resnet_head(fv_builder *b, const fv_clip *c, fv_ref map, fv_ref bias);
fv_ref fv_clip_text(fv_builder *b, const fv_clip *c, int length, fv_text_inputs *inputs);

/* Position rows [from^2, width] to [to^2, width], both row by row; false: out of memory. */
bool fv_clip_resample(double *out, const double *in, int from, int to, int width,
                      fv_clip_positions rule);

#endif
