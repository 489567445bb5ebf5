/* Pictures as codes: what an autoencoder with a codebook (the option `decoder`; without it, the one
 * that ships, which has none) makes of a picture, and the picture of codes. From any thread; a call
 * opens and closes the network. Those of a session are given by fv_session_codes; the option
 * `start` takes a file of them. */
#ifndef FEAVIS_CODES_H
#define FEAVIS_CODES_H

#include <stdint.h>

#include "feavis/option.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One number a cell, from the top left, row by row. */
struct fv_codes {
    int width, height; /* in cells */
    int32_t *at;       /* [height * width], 0 .. `count` - 1 */
    int count;         /* that there are; 0: not known (read from a file) */
};
typedef struct fv_codes fv_codes;

/* Zeros. Caller frees. */
FV_API fv_status fv_codes_new(fv_codes *c, int width, int height);
FV_API void fv_codes_free(fv_codes *c);

/* The middle of the picture that the option `start` names, at the option `size`, encoded; what is
 * decoded of that, and how far it is from the picture: *error, the mean square of numbers in [0,1].
 * Of a network with a continuous latent there are no codes (at is NULL), but the rest. Caller frees
 * both. */
FV_API fv_status fv_codes_encode(fv_codes *out, fv_picture *back, double *error,
                                 const fv_options *o);
/* The picture of codes. Caller frees. */
FV_API fv_status fv_codes_decode(fv_picture *out, const fv_codes *c, const fv_options *o);

/* As CSV: a line of whole numbers a row of cells. Reading checks that it is a rectangle of such. */
FV_API fv_status fv_codes_write(const fv_codes *c, const char *path);
FV_API fv_status fv_codes_read(fv_codes *out, const char *path);

#ifdef __cplusplus
}
#endif
#endif
