/* Atlas: a small picture of what each channel of a layer wants, several channels at a time. One
 * thread at a time, with its model. */
#ifndef FEAVIS_ATLAS_H
#define FEAVIS_ATLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "feavis/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What decides the pictures, beside the model. Zeros: what stands behind each. */
typedef struct fv_atlas_settings {
    const char *layer; /* as a term has it; NULL: the last map before pooling, "LLP" */
    int side;          /* pixels a side, 32 to 512; 96 */
    int batch;         /* channels a run of the network, 64 at most; 16. It decides no bytes of a
                          picture that is made beside others of the same places in their batch */
    int steps;         /* 48 */
    uint64_t seed;
    const void *reserved[4]; /* NULL, for what comes later */
} fv_atlas_settings;

typedef struct fv_atlas fv_atlas;
/* A network whose layers suit pictures of any size looks at `side` pixels, another one at as many
 * as it always does. The model must outlive the atlas. FV_ERR_ARGUMENT: there is no such layer, or
 * a number is out of range. */
FV_API fv_status fv_atlas_open(fv_atlas **out, fv_model *m, const fv_atlas_settings *s);
FV_API void fv_atlas_close(fv_atlas *a);
/* The layer; its name lives as long as `a`. */
FV_API fv_map fv_atlas_layer(const fv_atlas *a);
FV_API fv_atlas_settings fv_atlas_settings_of(const fv_atlas *a); /* no zeros */

/* Grows a picture for each of `channels` [count], count <= batch: Adam on the mean of the channel
 * over its positions, the picture as in the generator fourier. out [count]: side x side, the caller
 * frees each. reached [count] (NULL: not wanted): that mean at the end. Asks go_on (may be NULL)
 * before each step; false: FV_CANCELLED, and nothing is in `out`. */
FV_API fv_status fv_atlas_grow(fv_atlas *a, const int *channels, int count, fv_picture *out,
                               float *reached, bool (*go_on)(void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
