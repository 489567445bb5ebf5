/* Behind every generator: how much colour is left, and what it is painted on. One matrix for each
 * pixel; nothing, not even an op, where both options are at their defaults.
 *
 *   picture_c = paper_c (saturation x_c + (1 - saturation) (0.299 x_r + 0.587 x_g + 0.114 x_b)) */
#ifndef FV_TINT_H
#define FV_TINT_H

#include "feavis/settings/options.h"
#include "model/plan/plan.h"

/* x {1,H,W,3} in [0, 1] -> the same, tinted. */
fv_ref fv_tint(fv_plan *p, const fv_options *o, fv_ref x);
/* Back, on the host and in place: [H*W*3]. Without saturation it comes back grey. */
void fv_tint_undo(const fv_options *o, float *picture);

#endif
