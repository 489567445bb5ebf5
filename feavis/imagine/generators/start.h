/* A picture as the start instead of noise: its file, its hash in the recipe, and the parameters
 * that show it. */
#ifndef FV_START_H
#define FV_START_H

#include "feavis/settings/options.h"

/* The hash of a picture file's pixels, as recipes write it. */
fv_status fv_start_hash(const char *path, char out[17]);

/* Makes o->start an absolute path and sets o->start_hash; fails if there was one and the file's
 * pixels have another. Nothing to do without a start. */
fv_status fv_start_note(fv_options *o);

/* Adds to values [count], in the order of fv_parameterise, what makes the picture that of
 * o->start (its middle, of the aspect and at the size of the options). Nothing to do without a
 * start. */
fv_status fv_start_add(const fv_options *o, float *values, size_t count);

#endif
