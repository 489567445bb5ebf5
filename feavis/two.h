/* Two pictures side by side: in what they differ. One thread at a time, as the critic. */
#ifndef FEAVIS_TWO_H
#define FEAVIS_TWO_H

#include "feavis/critic.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In the eyes of one model. */
typedef struct fv_two {
    char model[96];
    float cosines[2][2]; /* [picture][text]; NAN: there is no such text */
    float likeness;      /* cosine of both pictures' embeddings */
} fv_two;
/* texts: each may be "". m: the critic's model. */
FV_API fv_status fv_two_measure(fv_two *out, fv_critic *c, fv_model *m,
                                const fv_picture pictures[2], const char *const texts[2]);
/* Mean of |A - B| over all colours, of 255; a second picture of another size is resized to the
 * first's. NAN: there is no memory for that. */
FV_API double fv_two_pixels(const fv_picture pictures[2]);
/* |A - B| by pixel, mean of the colours, as a picture: black 0, through red to white, 192 of 255
 * and more. Caller frees. */
FV_API fv_status fv_two_difference(fv_picture *out, const fv_picture pictures[2]);
/* A, B and their difference under the titles, over the figures of `count` models. Caller frees. */
FV_API fv_status fv_two_sheet(fv_picture *out, const fv_picture pictures[2],
                              const char *const titles[2], const char *const texts[2],
                              const fv_two *seen, int count);

#ifdef __cplusplus
}
#endif
#endif
