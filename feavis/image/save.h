/* Pictures and films into a file that is being written, whatever name it will have. A failure
 * leaves the writer to be abandoned. */
#ifndef FV_SAVE_H
#define FV_SAVE_H

#include "feavis/picture.h"
#include "model/files/files.h"

/* At least one picture, all of one size, and a time that both formats can hold. */
fv_status fv_film_check(const fv_picture *frames, int count, int milliseconds);
/* See fv_picture_write, fv_film_write and fv_gif_write. */
fv_status fv_picture_write_to(fv_file_writer *w, const fv_picture *p, const char *recipe);
fv_status fv_film_write_to(fv_file_writer *w, const fv_picture *frames, int count, int milliseconds,
                           const char *recipe);
fv_status fv_gif_write_to(fv_file_writer *w, const fv_picture *frames, int count, int milliseconds,
                          const char *comment);

#endif
