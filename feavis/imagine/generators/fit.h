/* Params fitted to a picture: steps of Adam down the mean square of what the generator shows and
 * the picture, from where they are. For what an encoder alone gets near, and no more. */
#ifndef FV_FIT_H
#define FV_FIT_H

#include "feavis/imagine/generators/generator.h"

/* values [count]: params in and out, of the generator g; picture [H*W*3] in [0,1].
 * `rate`: the first step's, which falls to 0 over the steps. */
fv_status fv_fit(const fv_generator *g, const fv_options *o, const fv_network *decoder,
                 fv_backend *be, const float *picture, float *values, int steps, float rate);

#endif
