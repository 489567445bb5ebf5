/* Few colours for many pixels: found in pictures, looked up for a pixel. */
#ifndef FV_PALETTE_H
#define FV_PALETTE_H

#include <stdint.h>

#include "feavis/picture.h"
#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_picture;

enum { FV_PALETTE_MAX = 256 };

typedef struct fv_palette fv_palette;
fv_status fv_palette_new(fv_palette **out);
void fv_palette_free(fv_palette *p);
/* Adds the pixels of a picture, each `weight` times, to what the colours are to be like. */
void fv_palette_add(fv_palette *p, const struct fv_picture *picture, int weight);
/* Chooses up to `most` colours (fewer if there are fewer); returns how many. */
int fv_palette_choose(fv_palette *p, int most);
const uint8_t *fv_palette_colour(const fv_palette *p, int i); /* [3] */
/* The colour nearest to r, g, b, each 0 .. 255; found for cells of 4 x 4 x 4 values at once. */
int fv_palette_nearest(fv_palette *p, int r, int g, int b);

#ifdef __cplusplus
}
#endif
#endif
