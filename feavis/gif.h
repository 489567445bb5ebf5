/* Films as GIF, for programs that show no animated PNG. */
#ifndef FV_GIF_H
#define FV_GIF_H

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_picture;

/* GIF89a: the last frame for two seconds, then all of them, for ever. All of one size. 255 colours
 * for the whole film, Floyd and Steinberg's dithering; a pixel that hardly changed since it was
 * painted stays as it is. comment: a comment extension, or NULL. Written whole or not. */
FV_API fv_status fv_gif_write(const struct fv_picture *frames, int count, int milliseconds,
                              const char *comment, const char *path);
/* The same as a loop, see fv_film_write_loop. */
FV_API fv_status fv_gif_write_loop(const struct fv_picture *frames, int count, int milliseconds,
                                   const char *comment, const char *path);

#ifdef __cplusplus
}
#endif
#endif
