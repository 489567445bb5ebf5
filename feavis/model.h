/* The inside of fv_model: a BriVL, the backend it runs on, and its text tower once needed. */
#ifndef FV_FEAVIS_MODEL_H
#define FV_FEAVIS_MODEL_H

#include "feavis/options.h"
#include "model/brivl.h"

struct fv_model {
    fv_brivl *brivl;
    fv_backend *backend;
    fv_text_encoder *text; /* NULL until a text is embedded */
    int text_length;
    char title[128], backend_name[64], fingerprint[24];
};

/* Embeds ids padded to the model's text length. */
fv_status fv_model_embed_ids(fv_model *m, const int32_t *ids, int count, float *embedding);

#endif
