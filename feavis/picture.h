/* Pictures: 8-bit RGB, read from files of many formats, written as PNG files that carry their
 * recipe. One thread at a time; reading may be shared. */
#ifndef FEAVIS_PICTURE_H
#define FEAVIS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_picture {
    int width, height;
    uint8_t *rgb; /* [height * width * 3], rows from the top */
} fv_picture;

FV_API void fv_picture_free(fv_picture *p);
/* JPEG, PNG, WebP, BMP, GIF, TGA, PSD or PNM as upright 8-bit RGB (transparent pixels over white;
 * of an animation the first frame). path: "-" is standard input, which can be read once. */
FV_API fv_status fv_picture_read(fv_picture *out, const char *path);
/* What a name's ending says: .png or none is PNG, .jpg, .jpeg and .webp what they say. */
typedef enum fv_picture_format {
    FV_PICTURE_PNG,
    FV_PICTURE_JPEG,
    FV_PICTURE_WEBP,
    FV_PICTURE_OTHER
} fv_picture_format;
FV_API fv_picture_format fv_picture_format_of(const char *path);
/* PNG with the recipe in an iTXt chunk "feavis"; recipe NULL: none. By its name a JPEG (quality 95,
 * 4:4:4; the recipe in comments) or a WebP (lossless; the recipe in a chunk "fvis"). Any other name
 * gets a PNG. Written whole or not. */
FV_API fv_status fv_picture_write(const fv_picture *p, const char *path, const char *recipe);
/* As a JPEG in memory, for pages; quality 1 to 100, colours at half the resolution. Caller frees.
 */
FV_API fv_status fv_picture_jpeg(unsigned char **out, size_t *size, const fv_picture *p,
                                 int quality);
/* The recipe in a PNG, JPEG or WebP file ("-": standard input); caller frees. FV_ERR_FORMAT if the
 * file has none. */
FV_API fv_status fv_recipe_read(char **out, const char *path);

/* Bilinear resize without antialias, as the official preprocessing: rgb -> [3] floats in [0,1],
 * out holds side * side * 3. */
FV_API void fv_picture_to_tensor(const fv_picture *p, int side, float *out);
/* The same to width x height: out holds width * height * 3. */
FV_API void fv_picture_resize(const fv_picture *p, int width, int height, float *out);

/* How a square is made of a photo that is none. */
typedef enum fv_square {
    FV_SQUARE_BILINEAR, /* both sides at once: fv_picture_to_tensor */
    FV_SQUARE_CENTRE,   /* the shorter side, bicubic as by Pillow; then the centre: CLIP */
    FV_SQUARE_SQUASH    /* both sides at once, bicubic as by Pillow: Chinese-CLIP */
} fv_square;
/* [side * side * 3] floats in [0,1]. Fails for want of memory alone. */
FV_API fv_status fv_picture_square(const fv_picture *p, int side, fv_square how, float *out);

#ifdef __cplusplus
}
#endif
#endif
