/* A latent as waves: what a decoder says of its latent's spectrum (fv_network.decays) as the
 * parameterisation, so that a start at random looks like nature's and every step moves all waves as
 * far as nature does.
 *
 *   param {1,h,w,C} * s(v,u,c) -> inverse DCT -> latent {1,h,w,C};   s ~ frequency^-decay_c
 *
 * s is such that params of deviation 1 make a latent of deviation 1. */
#ifndef FV_WAVES_H
#define FV_WAVES_H

#include "model/nets/network.h"

fv_ref fv_waves(fv_plan *p, const fv_network *decoder, fv_ref param);
/* values [h * w * C]: a latent in, its params out. */
fv_status fv_waves_invert(const fv_network *decoder, fv_shape shape, float *values);

#endif
