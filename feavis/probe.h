/* Probe: numbers to hold against another implementation. One thread at a time, with its model. */
#ifndef FEAVIS_PROBE_H
#define FEAVIS_PROBE_H

#include "feavis/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_probe {
    const char *image;       /* .npy [1,3,S,S] or [3,S,S], normalised; or a picture file */
    const char *ids;         /* .npy of token ids, or NULL */
    const char *text;        /* used when ids is NULL */
    const char *taps;        /* comma-separated tensor names, or NULL */
    const char *folder;      /* for the results */
    const void *reserved[4]; /* NULL, for what comes later */
} fv_probe;
/* Writes image_embedding.npy, text_embedding.npy, cosine.npy, gradient.npy (d cos / d pixels or
 * d normalised input, [1,3,S,S]) and one file a tap ([n,c,h,w] or [tokens, width]). */
FV_API fv_status fv_probe_run(fv_model *m, const fv_probe *probe, float *cosine);

#ifdef __cplusplus
}
#endif
#endif
