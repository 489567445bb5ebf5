/* The inside of fv_model: a network, the backend it runs on, and its text tower once needed. */
#ifndef FV_FEAVIS_MODEL_H
#define FV_FEAVIS_MODEL_H

#include "feavis/model.h"
#include "feavis/settings/options.h"
#include "model/nets/network.h"
#include "model/text/words.h"

struct fv_model {
    fv_network *network;
    fv_backend *backend;
    fv_store *store;               /* weights on the backend, shared by all plans of this model */
    fv_text_encoder *text;         /* NULL until a text is embedded */
    fv_words *words;               /* NULL until then, and without a list of words */
    int text_length, tower_length; /* of the options; of `text` */
    fv_options *opened;            /* as it was opened: what recipes say of the model */
    char title[128], backend_name[64], fingerprint[24];
    char files[24]; /* hash over the cfg and the vocabulary; "" of the shipped ones */
};

/* Adds to a backend's name (in `spec`, of `size` bytes) the precision that this network wants of a
 * GPU, if the name leaves it open. */
void fv_model_precision(const fv_network *n, char *spec, size_t size);

/* The text tower for texts padded to `length` tokens, built on first use; borrowed. */
fv_status fv_model_text_tower(fv_model *m, int length, fv_text_encoder **out);
/* Embeds ids, padding included: their count is the length, whatever the options say. */
fv_status fv_model_embed_ids(fv_model *m, const int32_t *ids, int count, float *embedding);

#endif
