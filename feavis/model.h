/* Model: one image-text network, or several that look together (guides), on one engine; shared by
 * sessions one after the other. One thread at a time, with all that uses it: sessions, critics,
 * embedders. */
#ifndef FEAVIS_MODEL_H
#define FEAVIS_MODEL_H

#include "feavis/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_model fv_model;

/* Opens config, checkpoint, vocab and backend as the options say; or, one beside the other, the
 * models that the option guide names. */
FV_API fv_status fv_model_open(fv_model **out, const fv_options *o);
FV_API void fv_model_close(fv_model *m);
/* Model i of those, borrowed; 0 is m itself, NULL past the last. A session climbs all of them
 * together; everything else looks through the one that it is given. */
FV_API int fv_model_guide_count(const fv_model *m);
FV_API fv_model *fv_model_guide(fv_model *m, int i);
/* The title of model i, with what tells it from the others ("BriVL @momentum"); returns out. */
FV_API const char *fv_model_label(const fv_model *m, int i, char *out, size_t size);
FV_API const char *fv_model_title(const fv_model *m);
FV_API const char *fv_model_backend(const fv_model *m); /* "cpu", "cuda:0:fp16" */
/* Why "auto" has become the CPU, in a build that could use a GPU; else "". */
FV_API const char *fv_model_without_gpu(const fv_model *m);
FV_API int fv_model_image_size(const fv_model *m);  /* pixels a side of what the model sees */
FV_API int fv_model_channels(const fv_model *m);    /* LLP channels: 0 .. n-1 */
FV_API int fv_model_dim(const fv_model *m);         /* of the joint space */
FV_API int fv_model_text_length(const fv_model *m); /* tokens, with [CLS] and [SEP] */
/* Stands for the weights in recipes: a hash over names, shapes and samples of the tensors. */
FV_API const char *fv_model_fingerprint(const fv_model *m);

/* The network that generators make pictures with, opened by the option decoder. */
typedef struct fv_decoder_info {
    char title[128];
    int factor;          /* pixels a side of a cell of its latent */
    int codes, channels; /* codes: 0, the latent is continuous */
    bool encodes;        /* it can start from a picture */
} fv_decoder_info;
FV_API bool fv_model_decoder_info(const fv_model *m,
                                  fv_decoder_info *out); /* false: there is none */
/* Whether a checkpoint is a decoder and not a model that looks; false also if it cannot be read. */
FV_API bool fv_file_decodes(const char *path);

/* What the model is, and what a picture with these options needs, as lines; `plan`: every op as
 * well. Caller frees. */
FV_API fv_status fv_model_describe(char **out, fv_model *m, const fv_options *o, bool plan);

/* What became of a text on its way to tokens. */
typedef struct fv_text_report {
    int used, dropped, unknown; /* tokens; dropped > 0: the text is longer than the model reads */
    char little[160]; /* "a, b": words that the model knows little about; "" if it cannot tell */
    int reserved[4];  /* zeros, for what comes later */
} fv_text_report;
/* Unit embedding, fv_model_dim floats. */
FV_API fv_status fv_model_embed_text(fv_model *m, const char *text, float *embedding,
                                     fv_text_report *report);
/* Fails where the model has no such channels (llp), or neither text nor channel is asked for: what
 * a session of these options would say when it is opened, without its work. */
FV_API fv_status fv_options_check_channels(const fv_options *o, const fv_model *m);

#ifdef __cplusplus
}
#endif
#endif
