/* The inside of fv_model: a network, the engine it runs on, its text tower once needed, and the
 * guides that were opened with it. */
#ifndef FV_FEAVIS_MODEL_H
#define FV_FEAVIS_MODEL_H

#include "feavis/imagine/engine.h"
#include "feavis/model.h"
#include "feavis/picture.h"
#include "feavis/settings/guides_syntax.h"
#include "feavis/settings/options.h"
#include "model/text/words.h"

enum { FV_IDENTITY = FV_MAX_GUIDES * 48 };

struct fv_model {
    fv_network *network;
    fv_engine *engine;               /* of all guides */
    fv_model *guides[FV_MAX_GUIDES]; /* as fv_model_guide gives them; the first is this one */
    int guide_count;
    fv_text_encoder *text;         /* NULL until a text is embedded */
    fv_words *words;               /* NULL until then, and without a list of words */
    int text_length, tower_length; /* of the options; of `text` */
    fv_options *opened;            /* as it was opened: what recipes say of the model */
    char title[128], backend_name[64], fingerprint[FV_FINGERPRINT];
    char files[24];             /* hash over the cfg and the vocabulary; "" of the shipped ones */
    char identity[FV_IDENTITY]; /* fingerprints and files of all guides: the same, the same model */
};

/* decoder.c: the network of the option decoder, on no engine yet. Without the option it is the one
 * that ships if the generator needs one, or NULL. */
fv_status fv_decoder_open(fv_network **out, const fv_options *o);
fv_status fv_decoder_open_shipped(fv_network **out);
/* The model's; NULL if there is none. */
const fv_network *fv_model_decoder(const fv_model *m);
/* That there is one: if need be the one that ships, which stays. */
fv_status fv_model_need_decoder(fv_model *m);

/* The text tower for texts padded to `length` tokens, built on first use; borrowed. */
fv_status fv_model_text_tower(fv_model *m, int length, fv_text_encoder **out);
/* Embeds ids, padding included: their count is the length, whatever the options say. */
fv_status fv_model_embed_ids(fv_model *m, const int32_t *ids, int count, float *embedding);

/* A photo as this model was shown photos in training: [S * S * 3] floats in [0,1]. */
fv_status fv_model_look_at(const fv_model *m, const fv_picture *p, float *out);

/* The image tower of guide i on pixels {n,S,S,3}. Where there are several, the names of its layers
 * begin with "guide1.", "guide2.". */
fv_image_layers fv_model_image(const fv_model *m, int i, fv_plan *p, fv_ref pixels, bool head);
/* The layer of this name in a plan that fv_model_image has built: of the guide that the name begins
 * with, else of the first. *guide is that one's number, from 0. */
fv_status fv_model_find_layer(const fv_model *m, const fv_plan *p, const char *name, int *guide,
                              fv_ref *out);
/* The guide that a layer's name begins with, else 0. */
int fv_model_guide_of(const fv_model *m, const char *layer);

#endif
