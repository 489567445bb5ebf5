/* pixel: the params {1,H,W,3} are the picture, clamped to [0, 1] (the paper's). */
#include <math.h>

#include "feavis/imagine/generators/generator.h"

static fv_ref build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)decoder;
    fv_ref x = fv_plan_param(p, "pixels", (fv_shape){1, fv_height(o), fv_width(o), 3});
    return fv_activation(p, "picture", x, FV_ACT_NONE);
}

static float clamped(float x)
{
    return fminf(fmaxf(x, 0.0f), 1.0f);
}

/* Noise round mid-grey. */
static fv_status start(const fv_options *o, const fv_network *decoder, float *values, size_t count)
{
    (void)decoder;
    fv_generator_noise(o, values, count);
    for (size_t i = 0; i < count; i++) values[i] = clamped(0.5f + values[i]);
    return FV_OK;
}

/* The picture in the place of the grey. */
static fv_status invert(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count)
{
    (void)o, (void)decoder, (void)be;
    for (size_t i = 0; i < count; i++) values[i] = clamped(values[i] + picture[i] - 0.5f);
    return FV_OK;
}

static void bounds(const fv_options *o, const fv_network *decoder, float *low, float *high)
{
    (void)o, (void)decoder;
    *low = 0.0f;
    *high = 1.0f;
}

const fv_generator fv_generator_pixel = {
    .name = "pixel", .build = build, .start = start, .invert = invert, .bounds = bounds};
