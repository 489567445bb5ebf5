/* fourier: a spectrum of cosines, each scaled as in natural pictures (Olah, Mordvintsev, Schubert:
 * Feature Visualization, Distill 2017; cosines instead of complex waves, so two matrix products and
 * no FFT).
 *
 *   param {1,H,W,3} * s(v,u) -> inverse DCT -> colours -> logistic;   s ~ 1/f^decay
 *   back: colours^-1 (logit) -> DCT -> / s(v,u) */
#include <math.h>
#include <stdlib.h>

#include "feavis/imagine/generators/colours.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/separable.h"

/* How far one unit of coefficient (v, u) moves the picture. */
static double amplitude(const fv_options *o, int v, int u)
{
    int side = fv_long_side(o);
    double n = side, f = fv_wave_frequency(o, v, u, side) / (2 * n);
    if (f < 1 / n) f = 1 / n;
    return 0.25 * o->contrast * pow(FV_DECAY_PIVOT, o->decay - 1) * pow(f, -o->decay);
}

static fv_ref spectrum_scale(fv_plan *p, const fv_options *o)
{
    int w = fv_width(o), h = fv_height(o);
    double *s = malloc(fv_pixels(o) * 3 * sizeof *s);
    for (int v = 0; s && v < h; v++)
        for (int u = 0; u < w; u++)
            for (int c = 0; c < 3; c++)
                s[((size_t)v * (size_t)w + (size_t)u) * 3 + (size_t)c] = amplitude(o, v, u);
    return fv_separable_weight(p, "spectrum.scale", (fv_shape){1, h, w, 3}, s);
}

static fv_ref build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)decoder;
    fv_ref x = fv_plan_param(p, "spectrum", (fv_shape){1, fv_height(o), fv_width(o), 3});
    x = fv_affine(p, "scaled", x, spectrum_scale(p, o), FV_NONE);
    x = fv_separable(p, "waves", x, fv_cosine_weight(p, "rows.cosines", fv_height(o)),
                     fv_cosine_weight(p, "columns.cosines", fv_width(o)));
    return fv_colours_picture(p, o, x);
}

static fv_status invert(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count)
{
    (void)decoder, (void)be, (void)count;
    int w = fv_width(o), h = fv_height(o);
    size_t cells = fv_pixels(o), rows = (size_t)h * (size_t)h, columns = (size_t)w * (size_t)w;
    double *m = calloc(rows + columns + cells * 9, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *x = m + rows + columns, *spectrum = x + 3 * cells, *scratch = spectrum + 3 * cells;
    fv_colours_invert(o, picture, x);
    fv_cosines(m, h, 1, (size_t)h);
    fv_cosines(m + rows, w, 1, (size_t)w);
    fv_separable_apply(spectrum, x, h, w, m, h, m + rows, w, scratch);
    for (int v = 0; v < h; v++)
        for (int u = 0; u < w; u++)
            for (size_t c = 0; c < 3; c++) {
                size_t at = ((size_t)v * (size_t)w + (size_t)u) * 3 + c;
                values[at] += (float)(spectrum[at] / amplitude(o, v, u));
            }
    free(m);
    return FV_OK;
}

const fv_generator fv_generator_fourier = {.name = "fourier", .build = build, .invert = invert};
