/* The canvas: what a decoder paints, whose sides are whole cells of its latent. A picture is its
 * upper left part; only one of the same size costs nothing.
 *
 *   canvas {1,h*f,w*f,3} -> picture {1,H,W,3}     h*f >= H > (h-1)*f, and so for w */
#ifndef FV_CANVAS_H
#define FV_CANVAS_H

#include "model/nets/network.h"

/* The part of the canvas that is the picture; the canvas itself where it is no larger. */
fv_ref fv_canvas_crop(fv_plan *p, fv_ref canvas, int width, int height);
/* The way back, with the picture's last row and column repeated: *out [canvas.h * canvas.w * 3].
 * Caller frees. */
fv_status fv_canvas_extend(float **out, fv_shape canvas, const float *picture, int width,
                           int height);
/* Of a latent: what the decoder makes of it. */
fv_shape fv_canvas_of(const fv_network *n, fv_shape latent);

#endif
