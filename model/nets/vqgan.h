/* Autoencoders of pictures with a codebook or a continuous latent, as published for "Taming
 * transformers" (Esser, Rombach and Ommer 2021) and "High-resolution image synthesis with latent
 * diffusion models" (Rombach et al. 2022): VQModel, GumbelVQ and AutoencoderKL, alone or as the
 * first stage of a larger model.
 *
 *   encode    picture {n,fh,fw,3} in [0,1] -> 2 p - 1 -> encoder -> quant_conv -> latent {n,h,w,e}
 *   quantise  each position's e numbers -> the nearest of K codes {K,e}
 *   decode    latent {n,h,w,e} -> post_quant_conv -> decoder -> (y + 1) / 2: about [0,1], not
 * clamped
 *
 * A decoder goes from the coarsest level to the finest: residual blocks (group norm, SiLU, 3x3,
 * twice), attention over all positions with one head where the checkpoint has it, nearest x2 and a
 * 3x3. Sizes, levels and attention are read off the names and shapes of the checkpoint; its .yaml
 * is not needed, and if it is given it has to agree. Any height and width that are multiples of f.
 */
#ifndef FV_VQGAN_H
#define FV_VQGAN_H

#include "model/nets/network.h"

typedef enum fv_vqgan_sort {
    FV_VQGAN_VQ,     /* quantize.embedding */
    FV_VQGAN_GUMBEL, /* quantize.embed and quantize.proj */
    FV_VQGAN_KL      /* no codes: a mean and a variance */
} fv_vqgan_sort;

enum { FV_VQGAN_LEVELS = 8, FV_VQGAN_BLOCKS = 16, FV_VQGAN_GROUPS = 32 };

/* The encoder or the decoder, by level; level 0 has the picture's resolution. */
typedef struct fv_vqgan_half {
    bool there;
    int levels;
    int middle; /* channels at the coarsest level, in the middle blocks */
    bool middle_attention;
    struct {
        int channels, blocks;
        bool attention; /* after each block */
    } level[FV_VQGAN_LEVELS];
} fv_vqgan_half;

typedef struct fv_vqgan {
    fv_network base; /* codes, latent_channels e and factor f are there */
    fv_vqgan_sort sort;
    fv_vqgan_half encoder, decoder;
    int inner; /* z: channels between the decoder and post_quant_conv */
    fv_weights *weights;
    char *root, *config;
} fv_vqgan;

extern const fv_network_kind fv_vqgan_kind;

/* --- vqgan_files.c: what a checkpoint says of the network --- */

/* What stands before "decoder." in its names: "", "state_dict.", "first_stage_model.", or both.
 * NULL: this is no such network. */
const char *fv_vqgan_root(const fv_weights *w);
/* Fills sort, halves, inner and the base's sizes from m->weights under m->root, and holds a cfg
 * (NULL: none) against them. */
fv_status fv_vqgan_read(fv_vqgan *m, const char *config);
/* Whether a file is a cfg of this sort, whatever it says. */
fv_status fv_vqgan_is_config(const char *path, bool *is);

/* --- builders --- */

/* latent {n,h,w,e} -> picture */
fv_ref fv_vqgan_decode(fv_builder *b, const fv_network *n, fv_ref latent);
/* picture -> latent, before it is quantised; of a KL model the mean. */
fv_ref fv_vqgan_encode(fv_builder *b, const fv_network *n, fv_ref pixels);
/* The codes {1,1,K,e}; fails without. */
fv_ref fv_vqgan_codes(fv_builder *b, const fv_network *n);
/* Of a Gumbel model: what it learnt to choose codes by, {n,h,w,K}. */
fv_ref fv_vqgan_logits(fv_builder *b, const fv_network *n, fv_ref latent);

#endif
