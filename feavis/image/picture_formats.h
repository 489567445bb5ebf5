/* What the readers of picture formats share. A reader gets the whole file, gives upright 8-bit RGB
 * and reports failures without the file's name, which fv_picture_read puts in front. What a file
 * may make a reader do is bounded by what it is: pixels and work by its bytes (fv_picture_new,
 * picture_jpeg.c), memory by its pixels. */
#ifndef FV_PICTURE_FORMATS_H
#define FV_PICTURE_FORMATS_H

#include <stddef.h>
#include <stdint.h>

#include "feavis/picture.h"

typedef struct fv_picture_file {
    const unsigned char *data;
    size_t size;
} fv_picture_file;

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { FV_MAX_PIXELS = 1 << 14 }; /* larger pictures make fuzzing slow */
#else
enum { FV_MAX_PIXELS = 1 << 28 };
#endif

/* Room for width x height pixels, if a file of that size can honestly hold as many. */
fv_status fv_picture_new(fv_picture *p, int64_t width, int64_t height, size_t file_size);
/* `count` pixels of RGBA over white, to RGB. */
void fv_picture_flatten(uint8_t *rgb, const uint8_t *rgba, size_t count);
/* What EXIF data say, with or without "Exif\0\0" in front: 1 to 8; 1 (upright) if nothing sensible.
 */
int fv_exif_orientation(const unsigned char *exif, size_t size);
/* Turns and mirrors in place; does nothing for 1. */
fv_status fv_picture_turn(fv_picture *p, int orientation);

fv_status fv_picture_read_jpeg(fv_picture *p, fv_picture_file file);
fv_status fv_picture_read_png(fv_picture *p, fv_picture_file file);
fv_status fv_picture_read_pnm(fv_picture *p, fv_picture_file file); /* begins with P5 or P6 */
fv_status fv_picture_read_webp(fv_picture *p, fv_picture_file file);

/* The whole file in memory, with the recipe (NULL: none); caller frees. Failures do not name the
 * file. */
fv_status fv_jpeg_encode(unsigned char **out, size_t *size, const fv_picture *p,
                         const char *recipe);
fv_status fv_webp_encode(unsigned char **out, size_t *size, const fv_picture *p,
                         const char *recipe);
/* The recipe of such a file; NULL: it has none. Caller frees. */
fv_status fv_jpeg_recipe(char **out, fv_picture_file file);
fv_status fv_webp_recipe(char **out, fv_picture_file file);

#endif
