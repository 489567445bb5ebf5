/* A plausible target: a text's vector moved to where photographs lie, and a cosine past which
 * nothing is gained, because captions of real photographs get no further.
 *
 *   moved = normalise(text + image mean - text mean)        the modality gap (Liang et al. 2022)
 *   loss  = - weight * min(cosine of a view with moved, stop)       of texts of positive weight
 *
 * Both come from a file that fv_gap_make (feavis/gap.h) wrote for one model, .safetensors:
 *
 *   image_mean, text_mean   [dim] means of unit embeddings, of photos and of their captions
 *   cosines                 [2][101] percentiles of the cosine of a photo with its caption: with
 * the caption as it is, and moved metadata                feavis "gap 1", model, fingerprint,
 * photos, captions */
#ifndef FV_PLAUSIBLE_H
#define FV_PLAUSIBLE_H

#include "feavis/imagine/model.h"

enum { FV_PERCENTILES = 101 };

typedef struct fv_gap {
    int dim, photos, captions;
    float *image_mean, *text_mean; /* [dim] each, owned */
    float cosines[2][FV_PERCENTILES];
    char fingerprint[FV_FINGERPRINT], model[128];
} fv_gap;

/* Regular files only; all that is in one is checked. */
fv_status fv_gap_read(fv_gap *out, const char *path);
fv_status fv_gap_write(const fv_gap *g, const char *path);
void fv_gap_clear(fv_gap *g);
/* Over all numbers and the fingerprint, as recipes write it. */
fv_status fv_gap_hash(const char *path, char out[17]);
/* In place; unit length. */
void fv_gap_move(const fv_gap *g, float *unit);

/* Makes o->plausible an absolute path and sets o->plausible_hash; fails if there was one and the
 * file has another. Nothing to do without. */
fv_status fv_plausible_note(fv_options *o);

/* What the options say of it in a model. */
typedef struct fv_plausible {
    fv_gap gap;             /* empty without the option */
    bool of[FV_MAX_GUIDES]; /* the guides whose texts it is for */
    bool moves;             /* texts */
    bool stops;             /* at this cosine: */
    float stop;
} fv_plausible;

/* FV_ERR_ARGUMENT: no guide is the model that the file is of. */
fv_status fv_plausible_read(fv_plausible *out, const fv_model *m, const fv_options *o);
void fv_plausible_clear(fv_plausible *p);

#endif
