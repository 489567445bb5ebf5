/* Decorrelated colours and the logistic. See colours.h. */
#include "feavis/imagine/generators/colours.h"

#include <math.h>

/* Directions in which colours of natural pictures vary, as rows for R, G and B: the square root
 * of their covariance, largest column of length 1 (figures of Olah et al. 2017). */
const float fv_colours[9] = {0.5628f,  0.1948f, 0.0433f,  0.5845f, 0.0000f,
                             -0.1082f, 0.5845f, -0.1948f, 0.0649f};

fv_ref fv_colours_picture(fv_plan *p, const fv_options *o, fv_ref x)
{
    if (o->colour)
        x = fv_linear(p, "rgb", x,
                      fv_plan_weight(p, "rgb.matrix", (fv_shape){1, 1, 3, 3}, fv_colours), FV_NONE,
                      FV_ACT_NONE);
    return fv_activation(p, "picture", x, FV_ACT_SIGMOID);
}

static void invert3(double out[9], const float m[9])
{
    double det = 0;
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        det += (double)m[i] * ((double)m[3 + a] * m[6 + b] - (double)m[3 + b] * m[6 + a]);
        for (int j = 0; j < 3; j++) {
            int c = (j + 1) % 3, d = (j + 2) % 3;
            out[3 * i + j] =
                (double)m[3 * c + a] * m[3 * d + b] - (double)m[3 * c + b] * m[3 * d + a];
        }
    }
    for (int i = 0; i < 9; i++) out[i] /= det;
}

void fv_colours_invert(const fv_options *o, const float *picture, double *x)
{
    double inverse[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    if (o->colour) invert3(inverse, fv_colours);
    size_t n = fv_pixels(o);
    for (size_t i = 0; i < n; i++) {
        double logit[3];
        for (int c = 0; c < 3; c++) {
            /* black and white are at infinity; 2 % from them the gradient still moves */
            double v = fmin(fmax((double)picture[3 * i + (size_t)c], 0.02), 0.98);
            logit[c] = log(v / (1 - v));
        }
        for (int r = 0; r < 3; r++)
            x[3 * i + (size_t)r] = inverse[3 * r] * logit[0] + inverse[3 * r + 1] * logit[1] +
                                   inverse[3 * r + 2] * logit[2];
    }
}
