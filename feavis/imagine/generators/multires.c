/* multires: the sum of a picture's sizes 1, 2, 4 .. (Fort & Whitaker, Direct Ascent Synthesis,
 * 2025).
 *
 *   params {1,h,w,3} for long sides 1, 2, 4 .. of the picture's aspect, each scaled and resized to
 *   it -> sum -> colours -> logistic
 *   back: colours^-1 (logit) -> from coarse to fine, each size takes what the coarser ones left */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/colours.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/separable.h"

/* The next size after s on the way to n: powers of two, then n. */
static int next_size(int s, int n)
{
    return 2 * s < n ? 2 * s : n;
}

/* Of a side of the picture, that of the level whose long side is s. */
static int level_side(const fv_options *o, int s, int side)
{
    int n = fv_long_side(o);
    int part = (int)(((int64_t)side * s * 2 + n) / (2 * (int64_t)n)); /* rounded */
    return part > 0 ? part : 1;
}

static double level_scale(const fv_options *o, int s)
{
    int n = fv_long_side(o);
    return 0.25 * o->contrast * pow(s / (FV_DECAY_PIVOT * n), 1 - o->decay);
}

/* Bilinear resize from s to n pixels, centres at half integers: [n * s]. */
static void resize(double *m, int n, int s)
{
    memset(m, 0, (size_t)n * (size_t)s * sizeof *m);
    for (int i = 0; i < n; i++) {
        double x = (i + 0.5) * s / n - 0.5;
        if (x < 0) x = 0;
        if (x > s - 1) x = s - 1;
        int low = (int)x, high = low + 1 < s ? low + 1 : low;
        m[(size_t)i * (size_t)s + (size_t)low] += 1 - (x - low);
        m[(size_t)i * (size_t)s + (size_t)high] += x - low;
    }
}

static fv_ref resize_matrix(fv_plan *p, const char *name, int n, int s)
{
    double *m = malloc((size_t)n * (size_t)s * sizeof *m);
    if (m) resize(m, n, s);
    return fv_separable_weight(p, name, (fv_shape){1, 1, n, s}, m);
}

static fv_ref level(fv_plan *p, const fv_options *o, int s)
{
    int width = fv_width(o), height = fv_height(o);
    int w = level_side(o, s, width), h = level_side(o, s, height);
    float scale[3];
    for (int c = 0; c < 3; c++) scale[c] = (float)level_scale(o, s);
    fv_ref x = fv_plan_param(p, "pixels", (fv_shape){1, h, w, 3});
    x = fv_affine(p, "scaled", x, fv_plan_weight(p, "scale", (fv_shape){1, 1, 1, 3}, scale),
                  FV_NONE);
    if (s == fv_long_side(o)) return x;
    return fv_separable(p, "resized", x, resize_matrix(p, "rows", height, h),
                        resize_matrix(p, "columns", width, w));
}

static fv_ref build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)decoder;
    fv_ref sum = FV_NONE;
    int n = fv_long_side(o);
    for (int s = 1;; s = next_size(s, n)) {
        fv_plan_push(p, "level%d.", s);
        fv_ref x = level(p, o, s);
        sum = sum == FV_NONE ? x : fv_add(p, "sum", sum, x);
        fv_plan_pop(p);
        if (s == n) return fv_colours_picture(p, o, sum);
    }
}

/* --- back --- */

/* Mean over the area of each of s equal parts of n pixels: [s * n]. */
static void shrink_matrix(double *m, int s, int n)
{
    double part = (double)n / s;
    for (int i = 0; i < s; i++)
        for (int j = 0; j < n; j++) {
            double low = fmax(i * part, j), high = fmin((i + 1) * part, j + 1);
            m[(size_t)i * (size_t)n + (size_t)j] = high > low ? (high - low) / part : 0;
        }
}

static fv_status invert(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count)
{
    (void)decoder, (void)be, (void)count;
    int w = fv_width(o), h = fv_height(o), n = fv_long_side(o);
    size_t cells = fv_pixels(o), square = (size_t)n * (size_t)n;
    double *shrink = calloc(square * 4 + cells * 12, sizeof *shrink);
    if (!shrink) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    double *shrink_x = shrink + square, *grow = shrink_x + square, *grow_x = grow + square,
           *rest = grow_x + square, *part = rest + 3 * cells, *back = part + 3 * cells,
           *scratch = back + 3 * cells;
    fv_colours_invert(o, picture, rest);
    for (int s = 1;; s = next_size(s, n)) {
        int part_w = level_side(o, s, w), part_h = level_side(o, s, h);
        size_t numbers = (size_t)part_w * (size_t)part_h * 3;
        double scale = level_scale(o, s);
        if (s == n) {
            for (size_t i = 0; i < numbers; i++) values[i] += (float)(rest[i] / scale);
            break;
        }
        shrink_matrix(shrink, part_h, h);
        shrink_matrix(shrink_x, part_w, w);
        resize(grow, h, part_h);
        resize(grow_x, w, part_w);
        fv_separable_apply(part, rest, h, w, shrink, part_h, shrink_x, part_w, scratch);
        fv_separable_apply(back, part, part_h, part_w, grow, h, grow_x, w, scratch);
        for (size_t i = 0; i < numbers; i++) values[i] += (float)(part[i] / scale);
        for (size_t i = 0; i < 3 * cells; i++) rest[i] -= back[i];
        values += numbers;
    }
    free(shrink);
    return FV_OK;
}

const fv_generator fv_generator_multires = {.name = "multires", .build = build, .invert = invert};
