/* BriVL: the two towers of "Towards artificial general intelligence via a multimodal foundation
 * model" (Fei et al., Nature Communications 13, 3094, 2022).
 *
 *   image  pixels {n,S,S,3} in [0,1] -> (x - mean) / std -> EfficientNet -> map {n,H,W,C}
 *          -> MSPP: one constant matrix over positions, 1x1 convolution -> tokens {n,1,B*B+1,C}
 *          -> l2norm -> imgAtt -> mean -> imgFC -> l2norm -> embedding {n,1,1,D}
 *   text   ids {1,1,1,L} -> BERT (padding takes part, there is no mask) -> l2norm
 *          -> textAtt (padding masked) -> mean of the used tokens -> textFC -> l2norm
 *
 * The map is the "last layer before pooling": LLP-k is its channel k. All sizes come from the
 * cfg and from the weights, so the shipped model and the official one are the same code. */
#ifndef FV_BRIVL_H
#define FV_BRIVL_H

#include "model/nets/efficientnet.h"
#include "model/nets/network.h"
#include "model/nets/transformer.h"

/* What the cfg says: the keys of the official eval.yml under MODEL, and a few more of ours. */
typedef struct fv_brivl_config {
    char *path;                    /* of the cfg */
    char *title, *license;         /* TITLE, LICENSE; may be NULL */
    char *checkpoint, *vocabulary; /* CHECKPOINT, VOCAB, resolved against the cfg; or NULL */
    char *words;                   /* WORDS: those it knows well; likewise */
    char *cnn;                     /* CNN: timm's name */
    int last_expanded;             /* CNN_LAST_EXPANDED: channels at its end, see fv_brivl_trunk; */
    int last_channels;             /* CNN_LAST_CHANNELS; */
    int head;                      /* CNN_HEAD; each 0: as many as the CNN has */
    int image_size;                /* IMG_SIZE: S, pixels */
    int image_heads, image_layers; /* IMG_TRANSFORMER_HEAD, IMG_TRANSFORMER_LAYER */
    int text_heads, text_layers;   /* TEXT_TRANSFORMER_HEAD, TEXT_TRANSFORMER_LAYER */
    int text_limit;                /* MAX_TEXT_LEN: tokens */
    int image_dim, text_dim;       /* IMG_FEATURE_DIM, TEXT_FEATURE_DIM; 0: not said */
    int box_grid, grid_size;       /* BOX_GRID (6): boxes a side; GRID_SIZE (4): samples a side */
    float temperature;             /* TEMPERATURE (0.07), for softmax over texts or images */
    float mean[3], std[3];         /* IMG_MEAN, IMG_STD; ImageNet's by default */
    int bert_heads;                /* from ENCODER/config.json; 0: hidden / 64 */
    double bert_eps;               /* likewise; 1e-12 */
} fv_brivl_config;

fv_status fv_brivl_config_read(fv_brivl_config *out, const char *path);
void fv_brivl_config_clear(fv_brivl_config *c);

/* CNN with an end as wide as the cfg has it. A trunk may grow at its end alone: the expansion of
 * the last block (lite0: 1152 channels), what that block makes (320) and conv_head (1280), each up
 * to four times as wide. Where the weights from a new channel to an old one are zero, the old
 * channels are what they were. */
fv_status fv_brivl_trunk(fv_efficientnet *out, const fv_brivl_config *c);

typedef struct fv_brivl {
    fv_network base;
    fv_brivl_config config;
    fv_weights *weights;
    fv_vocab *vocabulary; /* NULL when opened without */
    char *root, *vocabulary_path;
} fv_brivl;

extern const fv_network_kind fv_brivl_kind;

/* checkpoint, vocabulary: NULL takes what the cfg names. Checks that towers and cfg belong
 * together. Caller closes with fv_network_close(&m->base). */
fv_status fv_brivl_open(fv_brivl **out, const fv_network_files *files);
/* What stands before "imgencoder." in the names of a checkpoint; caller frees. */
fv_status fv_brivl_root(const fv_weights *w, char **out);

/* --- builders --- */

/* normalised -> map {n,H,W,C}, "imgencoder.backbone.conv_head". */
fv_ref fv_brivl_map(fv_builder *b, const fv_brivl_config *c, fv_ref x);
/* map -> unit embedding {n,1,1,D}, named "image_embedding". Tensors on the way:
 * imgencoder.learnable.{mspp, max_pool.0, tokens, imgAtt.layers.N, pooled, imgFC.fc1, imgFC.fc2} */
fv_ref fv_brivl_image_head(fv_builder *b, const fv_brivl_config *c, fv_ref map);
/* The same of some boxes alone, by the key mask that is there for pictures with fewer boxes: bias
 * {n,1,1,boxes}, the whole picture's the last. */
fv_ref fv_brivl_image_place(fv_builder *b, const fv_brivl_config *c, fv_ref map, fv_ref bias);

/* The MSPP matrix P, [(box_grid^2 + 1) * side^2] row by row, for a map of side x side positions
 * of an image of image_size pixels. Boxes in the official order: i along x outermost, j along y,
 * then the whole image. Position (y, x) of the map is column y * side + x. */
void fv_brivl_mspp(double *matrix, int box_grid, int grid_size, int image_size, int side);

/* ids -> unit embedding {1,1,1,D}, named "text_embedding". Tensors on the way:
 * textencoder.backbone.bert.{embeddings, encoder.layer.N}, textencoder.learnable.{tokens,
 * textAtt.layers.N, pooled, textFC.fc1, textFC.fc2} */
fv_ref fv_brivl_text(fv_builder *b, const fv_brivl_config *c, int length, fv_text_inputs *inputs);

#endif
