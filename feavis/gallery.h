/* Gallery: a folder of PNG files with their recipes; nothing in it is ever overwritten. Functions
 * alone, from any thread. */
#ifndef FEAVIS_GALLERY_H
#define FEAVIS_GALLERY_H

#include <stddef.h>
#include <stdint.h>

#include "feavis/film.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Makes the folder if need be and checks that it can be written to. */
FV_API fv_status fv_gallery_prepare(const char *folder);
/* Saves under a name made of `title` and `seed` that does not exist yet: 梦-7.png, 梦-7-2.png.
 * The path goes to *path, which the caller frees. */
FV_API fv_status fv_gallery_add(const char *folder, const char *title, uint64_t seed,
                                const fv_picture *picture, const char *recipe, char **path);

/* "梦-7" of a title and a seed, as the names of a gallery begin. Caller frees. */
FV_API fv_status fv_gallery_name(char **out, const char *title, uint64_t seed);

/* As fv_gallery_add, a text; ending: ".csv". */
FV_API fv_status fv_gallery_add_text(const char *folder, const char *title, uint64_t seed,
                                     const char *ending, const char *text, size_t size,
                                     char **path);
/* As that, a film: animated PNG (film.h), or GIF (gif.h) with the recipe as its comment. */
FV_API fv_status fv_gallery_add_film(const char *folder, const char *title, uint64_t seed,
                                     fv_film_kind kind, const fv_picture *frames, int count,
                                     int milliseconds, const char *recipe, char **path);

#ifdef __cplusplus
}
#endif
#endif
