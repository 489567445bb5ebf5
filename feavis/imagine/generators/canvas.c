/* A decoder's canvas and the picture on it. See canvas.h. */
#include "feavis/imagine/generators/canvas.h"

#include <stdlib.h>
#include <string.h>

/* The first `kept` rows of n as a matrix: ones, exact in every precision. */
static fv_ref first_rows(fv_plan *p, const char *name, int kept, int n)
{
    float *m = calloc((size_t)kept * (size_t)n, sizeof *m);
    if (!m) return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "building %s: out of memory", name));
    for (size_t i = 0; i < (size_t)kept; i++) m[i * (size_t)n + i] = 1;
    fv_ref r = fv_plan_weight(p, name, (fv_shape){1, 1, kept, n}, m);
    free(m);
    return r;
}

fv_ref fv_canvas_crop(fv_plan *p, fv_ref canvas, int width, int height)
{
    fv_shape s = fv_plan_shape(p, canvas);
    if (canvas < 0 || (s.w <= width && s.h <= height)) return canvas;
    return fv_separable(p, "canvas.crop", canvas, first_rows(p, "canvas.rows", height, s.h),
                        first_rows(p, "canvas.columns", width, s.w));
}

fv_status fv_canvas_extend(float **out, fv_shape canvas, const float *picture, int width,
                           int height)
{
    float *to = malloc(fv_count(canvas) * sizeof *to);
    *out = to;
    if (!to) return fv_fail(FV_ERR_MEMORY, "a picture's canvas: out of memory");
    for (int y = 0; y < canvas.h; y++) {
        const float *row = picture + (size_t)(y < height ? y : height - 1) * (size_t)width * 3;
        for (int x = 0; x < canvas.w; x++, to += 3)
            memcpy(to, row + (size_t)(x < width ? x : width - 1) * 3, 3 * sizeof *to);
    }
    return FV_OK;
}

fv_shape fv_canvas_of(const fv_network *n, fv_shape latent)
{
    return (fv_shape){1, latent.h * n->factor, latent.w * n->factor, 3};
}
