/* maco: what its waves are held to. */
#ifndef FV_MACO_H
#define FV_MACO_H

#include "feavis/settings/options.h"

/* Amplitude of the wave of (v, u), v in (-H/2, H/2], u in 0..W/2, in colour c. Of two waves that
 * are one (u = 0, and u = W/2 where W is even) only that of v >= 0 is there. The spectrum is that
 * of squares: of a square as wide as the short side. */
double fv_maco_magnitude(const fv_options *o, int v, int u, int c);

#endif
