/* A network: what everything above speaks to. A row of functions a family (BriVL, ...), and what is
 * true of this one: sizes, its tensors, what its pictures and texts look like.
 *
 *   image  pixels {n,S,S,3} in [0,1] -> preprocess -> map {n,H,W,C} -> head -> unit {n,1,1,D}
 *   text   utf8 -> tokenise -> ids {1,1,1,L} -> text tower -> unit {1,1,1,D}
 *   decode latent {1,h,w,C} -> picture {1,fh,fw,3}: what a generator may make pictures with
 *
 * The map is the last layer before pooling, "LLP" in the plan: LLP-k is its channel k. Every tensor
 * on the way has a name in the plan; a term may ask for any of them. Two networks of one width D
 * need not share a space; a cosine is always one of a network's own two towers.
 *
 * To add a family: one file with its builders and a row of fv_network_kind, and a line in the table
 * of network.c (or fv_network_register, from outside). */
#ifndef FV_NETWORK_H
#define FV_NETWORK_H

#include "model/nets/builder.h"
#include "model/text/text.h"

typedef struct fv_network fv_network;

/* Where a network comes from. Paths are borrowed; NULL: what the cfg or the checkpoint say. */
typedef struct fv_network_files {
    const char *config, *checkpoint, *vocabulary;
    const char *merges; /* CLIP's own, where nothing names a vocabulary and none stands beside */
    bool momentum;      /* the tower that BriVL's training averaged */
    /* For a manifest alone: without vocabulary, and whether or not all of it belongs together. What
     * builders are called with (image_size, text_length, latent_channels) is known then. */
    bool unchecked;
} fv_network_files;

/* Inputs of a text tower: ids {1,1,1,L} int32; what is added to the scores of each key, and the
 * weight of each position in the pooled vector, {1,1,1,L}. FV_NONE: this family has none. */
typedef struct fv_text_inputs {
    fv_ref ids, key_bias, pool;
} fv_text_inputs;

/* A row: one family. Builders get the network that they belong to, and fail like all builders. */
typedef struct fv_network_kind {
    const char *name;
    /* Whether the files are of this family. w: the checkpoint; NULL where none is named, or where
     * it cannot be read. Fails for want of memory alone: what is wrong with a file, open says. */
    fv_status (*detect)(const fv_network_files *files, const fv_weights *w, bool *mine);
    fv_status (*open)(fv_network **out, const fv_network_files *files);
    void (*close)(fv_network *n);
    /* normalised picture -> map -> unit embedding. "image_embedding". NULL, both: it looks at no
     * pictures. */
    fv_ref (*map)(fv_builder *b, const fv_network *n, fv_ref normalised);
    fv_ref (*head)(fv_builder *b, const fv_network *n, fv_ref map);
    /* NULL: it cannot. The unit embedding of some positions alone: `bias` {n,1,1,places.tokens} is
     * added to attention's scores of each, log of its weight. */
    fv_ref (*place)(fv_builder *b, const fv_network *n, fv_ref map, fv_ref bias);
    /* NULL, all of these: it reads no text. `inputs` are made by the builder. "text_embedding" */
    fv_ref (*text)(fv_builder *b, const fv_network *n, int length, fv_text_inputs *inputs);
    /* The file that texts need, looked for beside the checkpoint, too. NULL: vocab.txt, and not. */
    const char *vocabulary;
    fv_status (*tokenise)(const fv_network *n, const char *utf8, int length, fv_tokens *out);
    /* Rows [length] of the inputs for ids of which the first `used` are not padding. */
    void (*text_rows)(const int32_t *ids, int length, int used, float *key_bias, float *pool);
    /* A line for people: what the image tower is, "tf_efficientnet_b5 at 456 x 456 pixels". */
    void (*describe)(const fv_network *n, char *out, size_t size);
    /* NULL: it has no decoder. latent {1,h,w,latent_channels} -> picture {1,h*factor,w*factor,3}
     * with black at 0 and white at 1; it may go past both. */
    fv_ref (*decode)(fv_builder *b, const fv_network *n, fv_ref latent);
    /* NULL: none. picture {1,H,W,3} in [0,1] -> latent, before it is quantised. */
    fv_ref (*encode)(fv_builder *b, const fv_network *n, fv_ref pixels);
    /* NULL: none. The rows that a latent is made of, {1,1,codes,latent_channels}. */
    fv_ref (*codebook)(fv_builder *b, const fv_network *n);
} fv_network_kind;

/* How a family makes a square of a photo. */
typedef enum fv_resize {
    FV_RESIZE_PLAIN,    /* to the square at once, as BriVL does */
    FV_RESIZE_SHORTEST, /* the shorter side to the square's, bicubic, then its centre: CLIP */
    FV_RESIZE_SQUASH    /* to the square at once, bicubic: Chinese-CLIP */
} fv_resize;

/* The positions that `place` tells apart, side * side of them. */
typedef struct fv_place_grid {
    int side, tokens; /* all tokens: those, and what stands for the whole picture */
    int first;        /* the token of the position on the upper left */
    bool by_column;   /* the next token is the one below, not the one on the right */
} fv_place_grid;

/* What is known of an open network. First member of each family's own struct. */
struct fv_network {
    const fv_network_kind *kind;
    const char *title, *license;             /* license may be NULL */
    const char *config, *vocabulary, *words; /* files in use; NULL where there is none */
    fv_source source;                        /* the checkpoint's tensors, and the store */
    int image_size;                          /* S, pixels a side */
    float mean[3], std[3];                   /* of the pixels: (x - mean) / std */
    fv_resize resize;                        /* of photos */
    int resize_side; /* pixels a side before the centre of image_size is cut out; 0: that size */
    int map_side, map_channels; /* H = W, C */
    fv_place_grid places;
    int dim;                     /* D */
    int text_limit, text_length; /* tokens: at most, and as texts are padded to */
    int vocabulary_size, ids;    /* pieces (0: no vocabulary); rows of the table */
    uint64_t vocabulary_hash;    /* of what it says, whatever its file is like; 0: its bytes tell */
    const char *const *metadata; /* pairs, then NULL: what its own files do not say; or NULL */
    bool corners; /* activations with corners: 16 bits take whole gradients along (relu6) */
    int latent_channels, factor; /* of the decoder: numbers a cell of the latent; pixels a cell */
    const float *decays; /* [latent_channels]; NULL: not known. The latent's channels have deviation
                            1 and are uncorrelated, and channel c's waves are as large as
                            frequency^-decays[c] */
    int codes;           /* that a cell of the latent may be; 0: any numbers */
    bool encodes;        /* the checkpoint has the encoder too */
    const char *aside; /* what names of tensors begin with that no fingerprint is of; NULL: none */
};

/* The first row that recognises the files; NULL: none. FV_ERR_MEMORY if it cannot be told. */
fv_status fv_network_detect(const fv_network_kind **out, const fv_network_files *files);
/* By that row. Caller closes. */
fv_status fv_network_open(fv_network **out, const fv_network_files *files);
void fv_network_close(fv_network *n);
/* A family from outside, asked before the others. Not while networks are being opened; the row has
 * to stay. FV_ERR_ARGUMENT if there are sixteen already. */
fv_status fv_network_register(const fv_network_kind *kind);

enum { FV_FINGERPRINT = 24 };
/* Stands for the weights: a hash over names, types, sizes and the first bytes of every tensor. */
void fv_network_fingerprint(const fv_network *n, char out[FV_FINGERPRINT]);

/* A builder at the root of the network's tensors. What it builds stands under the plan's scope. */
fv_builder fv_network_builder(const fv_network *n, fv_plan *p);

/* The image tower as far as it is asked for: embedding is -1 without `head`. */
typedef struct fv_image_layers {
    fv_ref normalised, map, embedding;
} fv_image_layers;
/* pixels {n,S,S,3} in [0,1]; "normalised" is what stands after the preprocessing. */
fv_image_layers fv_network_image(const fv_network *n, fv_plan *p, fv_ref pixels, bool head);
/* The same from there on. */
fv_image_layers fv_network_image_from(const fv_network *n, fv_plan *p, fv_ref normalised,
                                      bool head);
/* From the map on: the unit embedding. */
fv_ref fv_network_head(const fv_network *n, fv_plan *p, fv_ref map);

/* From the map on: the unit embedding of some positions alone, see fv_network_kind. */
fv_ref fv_network_place(const fv_network *n, fv_plan *p, fv_ref map, fv_ref bias);

/* The least latent whose picture covers this size: sides are rounded up to whole cells.
 * FV_ERR_ARGUMENT: no decoder. */
fv_status fv_network_latent(const fv_network *n, int width, int height, fv_shape *out);
/* The decoder, under "decoder." in the plan. */
fv_ref fv_network_decode(const fv_network *n, fv_plan *p, fv_ref latent);
/* The way back, under "encoder.", with weights that are this plan's alone; and the codes, "codes".
 * Fail where the network has none. */
fv_ref fv_network_encode(const fv_network *n, fv_plan *p, fv_ref pixels);
fv_ref fv_network_codebook(const fv_network *n, fv_plan *p);
/* The codes as numbers, [codes][latent_channels]. */
fv_status fv_network_codes(const fv_network *n, float *values);

/* The text tower ready to run, for texts of up to `length` tokens. */
typedef struct fv_text_encoder fv_text_encoder;

/* length 0: the network's text_length. The backend and the network must outlive the encoder. */
fv_status fv_text_encoder_open(fv_text_encoder **out, const fv_network *n, fv_backend *be,
                               int length);
void fv_text_encoder_close(fv_text_encoder *e);
/* Embeds text; `embedding` holds dim floats. `tokens` (may be NULL) says what was cut or unknown;
 * caller clears it with fv_tokens_free. */
fv_status fv_text_encode(fv_text_encoder *e, const char *utf8, float *embedding, fv_tokens *tokens);
/* Embeds ids [length], the first `used` of them not padding. */
fv_status fv_text_encode_ids(fv_text_encoder *e, const int32_t *ids, int used, float *embedding);
fv_plan *fv_text_encoder_plan(fv_text_encoder *e); /* for hooks */

#endif
