/* Separable transforms y = rows . x . columns^T as generators use them: their matrices as weights
 * of a plan (where fv_separable applies them), and the product on the host for the way back, both
 * in double. */
#ifndef FV_SEPARABLE_H
#define FV_SEPARABLE_H

#include "feavis/settings/options.h"
#include "model/plan/plan.h"

/* A weight from values that malloc gave, which are freed; NULL: fails for want of memory. */
fv_ref fv_separable_weight(fv_plan *p, const char *name, fv_shape shape, double *values);

/* y = rows . x . columns^T for x {h,w,3}; rows [m * h], columns [n * w]; scratch [m * w * 3]. */
void fv_separable_apply(double *y, const double *x, int h, int w, const double *rows, int m,
                        const double *columns, int n, double *scratch);

/* m[i * position + u * frequency]: orthonormal DCT-II of n positions, as whichever of the two is
 * the row wants it; and as a weight {1,1,n,n} from waves to positions. */
void fv_cosines(double *m, int n, size_t position, size_t frequency);
fv_ref fv_cosine_weight(fv_plan *p, const char *name, int n);

/* At this frequency (cycles a pixel) the exponent `decay` makes no difference. */
#define FV_DECAY_PIVOT (1.0 / 16)

/* (v, u) waves over the sides of the picture, as waves over n pixels: for a square of n exactly
 * |(v, u)|. */
double fv_wave_frequency(const fv_options *o, int v, int u, int n);

#endif
