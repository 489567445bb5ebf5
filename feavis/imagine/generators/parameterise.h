/* Parameterisations: from what Adam moves to a picture in [0, 1].
 *
 *   pixel     param {1,H,W,3} is the picture, clamped to [0, 1] (the paper's)
 *   fourier   param {1,H,W,3} * s(u,v) -> inverse DCT -> colours -> logistic; s ~ 1/f^decay as in
 *             natural pictures (Olah, Mordvintsev, Schubert: Feature Visualization, Distill 2017;
 *             cosines instead of complex waves, so two matrix products and no FFT)
 *   multires  sum over sizes 1, 2, 4 .. of the long side of params {1,h,w,3} of the picture's
 *             aspect, each resized to it (Fort & Whitaker, Direct Ascent Synthesis, 2025)
 *             -> colours -> logistic
 *   maco      phases of waves whose magnitudes are those of photographs and stay so (Fel et al.,
 *             Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
 *             Optimization, 2023): three params {1,H,W/2+1,2}, one a colour; each pair is
 *             normalised to (cos, sin) of a phase -> magnitude * pair -> inverse real DFT ->
 *             colours -> logistic. A pair's length does not count in the picture, but Adam turns a
 *             longer one less: start-noise is the length, so rate / start-noise is the first turn
 *             in radians. decay is not used; contrast 1 is that of photographs (spectrum.h). */
#ifndef FV_PARAMETERISE_H
#define FV_PARAMETERISE_H

#include "feavis/settings/options.h"
#include "model/plan/plan.h"

/* Params and ops of the picture {1,H,W,3}; the op's name is "picture". */
fv_ref fv_parameterise(fv_plan *p, const fv_options *o);

/* Start values of all params, in the order of fv_plan_block_upload. */
void fv_parameterise_start(const fv_options *o, float *values, size_t count);

/* What Adam clamps params to. */
void fv_parameterise_bounds(const fv_options *o, float *low, float *high);

/* What start.c turns round. */
extern const float fv_parameterise_colours[9]; /* decorrelated -> RGB, rows R, G, B */
/* fourier: how far one unit of coefficient (v, u) moves the picture. */
double fv_parameterise_amplitude(const fv_options *o, int v, int u);
/* maco: amplitude of the wave (v, u) of colour c, v in (-H/2, H/2], u in 0..W/2. */
double fv_parameterise_magnitude(const fv_options *o, int v, int u, int c);
/* multires: the long side, the last of the sizes; the size after s on the way to n; of a side of
 * the picture, that of level s; the scale of level s; bilinear s -> n, [n * s]. */
int fv_parameterise_long_side(const fv_options *o);
int fv_parameterise_next_size(int s, int n);
int fv_parameterise_level_side(const fv_options *o, int s, int side);
double fv_parameterise_level_scale(const fv_options *o, int s);
void fv_parameterise_resize(double *matrix, int n, int s);

#endif
