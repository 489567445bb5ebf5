/* Pictures: 8-bit RGB, read from files of many formats, written as PNG files that carry their
 * recipe. One thread at a time; reading may be shared. */
#ifndef FEAVIS_PICTURE_H
#define FEAVIS_PICTURE_H

#include <stdint.h>

#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_picture {
    int width, height;
    uint8_t *rgb; /* [height * width * 3], rows from the top */
} fv_picture;

void fv_picture_free(fv_picture *p);
/* JPEG, PNG, WebP, BMP, GIF, TGA, PSD or PNM as upright 8-bit RGB (transparent pixels over white;
 * of an animation the first frame). */
fv_status fv_picture_read(fv_picture *out, const char *path);
/* PNG with the recipe in an iTXt chunk "feavis"; recipe NULL: none. Written whole or not. */
fv_status fv_picture_write(const fv_picture *p, const char *path, const char *recipe);
/* The recipe in a PNG; caller frees. FV_ERR_FORMAT if the file has none. */
fv_status fv_recipe_read(char **out, const char *path);

/* Bilinear resize without antialias, as the official preprocessing: rgb -> [3] floats in [0,1],
 * out holds side * side * 3. */
void fv_picture_to_tensor(const fv_picture *p, int side, float *out);
/* The same to width x height: out holds width * height * 3. */
void fv_picture_resize(const fv_picture *p, int width, int height, float *out);

/* How a square is made of a photo that is none. */
typedef enum fv_square {
    FV_SQUARE_BILINEAR, /* both sides at once: fv_picture_to_tensor */
    FV_SQUARE_CENTRE,   /* the shorter side, bicubic as by Pillow; then the centre: CLIP */
    FV_SQUARE_SQUASH    /* both sides at once, bicubic as by Pillow: Chinese-CLIP */
} fv_square;
/* [side * side * 3] floats in [0,1]. Fails for want of memory alone. */
fv_status fv_picture_square(const fv_picture *p, int side, fv_square how, float *out);

#ifdef __cplusplus
}
#endif
#endif
