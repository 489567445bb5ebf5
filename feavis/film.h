/* Films: animated PNG. As GIF: gif.h. One thread at a time, as the pictures. */
#ifndef FEAVIS_FILM_H
#define FEAVIS_FILM_H

#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Animated PNG: the last frame for two seconds, then all of them, for ever. All of one size. */
FV_API fv_status fv_film_write(const fv_picture *frames, int count, int milliseconds,
                               const char *recipe, const char *path);
/* The same as a loop: no frame is shown longer than the others, and the last leads to the first. */
FV_API fv_status fv_film_write_loop(const fv_picture *frames, int count, int milliseconds,
                                    const char *recipe, const char *path);
typedef enum fv_film_kind { FV_FILM_PNG, FV_FILM_GIF } fv_film_kind;

#ifdef __cplusplus
}
#endif
#endif
