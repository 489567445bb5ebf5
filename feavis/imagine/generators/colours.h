/* The colours that most generators work in: decorrelated as those of natural pictures are, and
 * without bounds; the logistic brings them into (0, 1).
 *
 *   x {1,H,W,3} -> RGB by the matrix (with the option `colour`) -> logistic -> picture */
#ifndef FV_COLOURS_H
#define FV_COLOURS_H

#include "feavis/settings/options.h"
#include "model/plan/plan.h"

extern const float fv_colours[9]; /* decorrelated -> RGB, rows R, G, B */

/* The op "picture". */
fv_ref fv_colours_picture(fv_plan *p, const fv_options *o, fv_ref x);

/* Back, on the host: picture [H*W*3] in [0, 1] -> x [H*W*3]. */
void fv_colours_invert(const fv_options *o, const float *picture, double *x);

#endif
