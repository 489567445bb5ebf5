/* A picture as the start instead of noise: its file, its hash in the recipe, its pixels. The params
 * that show it are each generator's own matter (fv_generator.invert). A file of codes (codes.h) may
 * stand for a picture, where the generator knows codes. */
#ifndef FV_START_H
#define FV_START_H

#include "feavis/settings/options.h"

/* Whether the file is one of codes: by its name, which ends in .csv. */
bool fv_start_is_codes(const char *path);

/* The hash of a picture file's pixels, or of a file's codes, as recipes write it. */
fv_status fv_start_hash(const char *path, char out[17]);

/* Makes o->start an absolute path and sets o->start_hash; fails if there was one and the file's
 * pixels have another. Nothing to do without a start. */
fv_status fv_start_note(fv_options *o);

/* The middle of o->start, as much of it as has the aspect of the options, resized to their size:
 * [height * width * 3] in [0, 1]. */
fv_status fv_start_read(const fv_options *o, float *out);

#endif
