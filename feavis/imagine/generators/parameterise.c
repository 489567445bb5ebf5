/* pixel, fourier, multires, maco. See parameterise.h. */
#include "feavis/imagine/generators/parameterise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/spectrum.h"
#include "kernels/rng.h"

/* Directions in which colours of natural pictures vary, as rows for R, G and B: the square root
 * of their covariance, largest column of length 1 (figures of Olah et al. 2017). */
const float fv_parameterise_colours[9] = {0.5628f,  0.1948f, 0.0433f,  0.5845f, 0.0000f,
                                          -0.1082f, 0.5845f, -0.1948f, 0.0649f};

/* At this frequency (cycles a pixel) the exponent of decay makes no difference. */
static const double pivot = 1.0 / 16;

static fv_ref out_of_memory(fv_plan *p)
{
    return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "parameterisation: out of memory"));
}

/* Decorrelated colours to RGB, then into (0, 1). */
static fv_ref finish(fv_plan *p, const fv_options *o, fv_ref x)
{
    if (o->colour)
        x = fv_linear(
            p, "rgb", x,
            fv_plan_weight(p, "rgb.matrix", (fv_shape){1, 1, 3, 3}, fv_parameterise_colours),
            FV_NONE, FV_ACT_NONE);
    return fv_activation(p, "picture", x, FV_ACT_SIGMOID);
}

/* --- fourier --- */

/* Rows: positions; columns: frequencies. Orthonormal DCT-II, transposed: from spectrum to pixels.
 */
static fv_ref cosine_matrix(fv_plan *p, const char *name, int n)
{
    double *m = malloc((size_t)n * (size_t)n * sizeof *m);
    if (!m) return out_of_memory(p);
    for (int i = 0; i < n; i++)
        for (int u = 0; u < n; u++)
            m[(size_t)i * (size_t)n + (size_t)u] =
                sqrt((u ? 2.0 : 1.0) / n) * cos(M_PI * (i + 0.5) * u / n);
    fv_ref r = fv_plan_weight_f64(p, name, (fv_shape){1, 1, n, n}, m);
    free(m);
    return r;
}

int fv_parameterise_long_side(const fv_options *o)
{
    return fv_width(o) > fv_height(o) ? fv_width(o) : fv_height(o);
}

/* Waves over the sides, as waves over n pixels: for a square exactly (v, u). */
static double frequency(const fv_options *o, int v, int u, int n)
{
    double x = (double)u * n / fv_width(o), y = (double)v * n / fv_height(o);
    return sqrt(x * x + y * y);
}

/* How far one unit of coefficient (v, u) moves the picture. */
double fv_parameterise_amplitude(const fv_options *o, int v, int u)
{
    int side = fv_parameterise_long_side(o);
    double n = side, f = frequency(o, v, u, side) / (2 * n);
    if (f < 1 / n) f = 1 / n;
    return 0.25 * o->contrast * pow(pivot, o->decay - 1) * pow(f, -o->decay);
}

static fv_ref spectrum_scale(fv_plan *p, const fv_options *o)
{
    int w = fv_width(o), h = fv_height(o);
    double *s = malloc(fv_pixels(o) * 3 * sizeof *s);
    if (!s) return out_of_memory(p);
    for (int v = 0; v < h; v++)
        for (int u = 0; u < w; u++)
            for (int c = 0; c < 3; c++)
                s[((size_t)v * (size_t)w + (size_t)u) * 3 + (size_t)c] =
                    fv_parameterise_amplitude(o, v, u);
    fv_ref r = fv_plan_weight_f64(p, "spectrum.scale", (fv_shape){1, h, w, 3}, s);
    free(s);
    return r;
}

static fv_ref fourier(fv_plan *p, const fv_options *o)
{
    fv_ref x = fv_plan_param(p, "spectrum", (fv_shape){1, fv_height(o), fv_width(o), 3});
    x = fv_affine(p, "scaled", x, spectrum_scale(p, o), FV_NONE);
    x = fv_separable(p, "waves", x, cosine_matrix(p, "rows.cosines", fv_height(o)),
                     cosine_matrix(p, "columns.cosines", fv_width(o)));
    return finish(p, o, x);
}

/* --- multires --- */

/* The next size after s on the way to n: powers of two, then n. */
int fv_parameterise_next_size(int s, int n)
{
    return 2 * s < n ? 2 * s : n;
}

int fv_parameterise_level_side(const fv_options *o, int s, int side)
{
    int n = fv_parameterise_long_side(o);
    int part = (int)(((int64_t)side * s * 2 + n) / (2 * (int64_t)n)); /* rounded */
    return part > 0 ? part : 1;
}

/* Bilinear resize from s to n pixels, centres at half integers. */
void fv_parameterise_resize(double *m, int n, int s)
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
    if (!m) return out_of_memory(p);
    fv_parameterise_resize(m, n, s);
    fv_ref r = fv_plan_weight_f64(p, name, (fv_shape){1, 1, n, s}, m);
    free(m);
    return r;
}

double fv_parameterise_level_scale(const fv_options *o, int s)
{
    int n = fv_parameterise_long_side(o);
    return 0.25 * o->contrast * pow(s / (pivot * n), 1 - o->decay);
}

static fv_ref multires(fv_plan *p, const fv_options *o)
{
    fv_ref sum = FV_NONE;
    int n = fv_parameterise_long_side(o), width = fv_width(o), height = fv_height(o);
    for (int s = 1;; s = fv_parameterise_next_size(s, n)) {
        int w = fv_parameterise_level_side(o, s, width),
            h = fv_parameterise_level_side(o, s, height);
        char name[32];
        snprintf(name, sizeof name, "level%d", s);
        fv_plan_push(p, "%s.", name);
        float scale[3];
        for (int c = 0; c < 3; c++) scale[c] = (float)fv_parameterise_level_scale(o, s);
        fv_ref x = fv_plan_param(p, "pixels", (fv_shape){1, h, w, 3});
        x = fv_affine(p, "scaled", x, fv_plan_weight(p, "scale", (fv_shape){1, 1, 1, 3}, scale),
                      FV_NONE);
        if (s < n)
            x = fv_separable(p, "resized", x, resize_matrix(p, "rows", height, h),
                             resize_matrix(p, "columns", width, w));
        sum = sum == FV_NONE ? x : fv_add(p, "sum", sum, x);
        fv_plan_pop(p);
        if (s == n) return finish(p, o, sum);
    }
}

/* --- maco --- */

/* Amplitude of the wave of (v, u), v in (-H/2, H/2], u in 0..W/2, in colour c. Of two waves that
 * are one (u = 0, and u = W/2 where W is even) only that of v >= 0 is there. The spectrum is that
 * of squares: of a square as wide as the short side. */
double fv_parameterise_magnitude(const fv_options *o, int v, int u, int c)
{
    bool twin = u == 0 || 2 * u == fv_width(o);
    if (twin && v < 0) return 0;
    double f = frequency(o, v, u, fv_width(o) < fv_height(o) ? fv_width(o) : fv_height(o));
    if (f == 0) return o->contrast * (double)fv_spectrum[0][c + 1];
    /* between the rows, and past the last two, a straight line in logarithms */
    int row = 2;
    while (row + 1 < FV_SPECTRUM_ROWS && (double)fv_spectrum[row][0] < f) row++;
    const float *low = fv_spectrum[row - 1], *high = fv_spectrum[row];
    double slope =
        log((double)high[c + 1] / (double)low[c + 1]) / log((double)high[0] / (double)low[0]);
    return o->contrast * (double)low[c + 1] * pow(f / (double)low[0], slope);
}

/* {1,H,W/2+1,6}: the magnitude of each colour's real parts, then that of its imaginary parts. */
static fv_ref magnitudes(fv_plan *p, const fv_options *o)
{
    int n = fv_height(o), half = fv_width(o) / 2 + 1;
    double *m = malloc((size_t)n * (size_t)half * 6 * sizeof *m), *at = m;
    if (!m) return out_of_memory(p);
    for (int v = 0; v < n; v++)
        for (int u = 0; u < half; u++)
            for (int c = 0; c < 6; c++)
                *at++ = fv_parameterise_magnitude(o, 2 * v > n ? v - n : v, u, c % 3);
    fv_ref r = fv_plan_weight_f64(p, "magnitudes", (fv_shape){1, n, half, 6}, m);
    free(m);
    return r;
}

/* Rows: positions; columns: frequencies 0..count-1. sign * cos or sin of 2 pi frequency * i / n. */
static fv_ref wave_matrix(fv_plan *p, const char *name, int n, int count, bool sine, double sign)
{
    double *m = malloc((size_t)n * (size_t)count * sizeof *m);
    if (!m) return out_of_memory(p);
    for (int i = 0; i < n; i++)
        for (int u = 0; u < count; u++) {
            double angle = 2 * M_PI * (double)((int64_t)i * u % n) / n;
            m[(size_t)i * (size_t)count + (size_t)u] = sign * (sine ? sin(angle) : cos(angle));
        }
    fv_ref r = fv_plan_weight_f64(p, name, (fv_shape){1, 1, n, count}, m);
    free(m);
    return r;
}

/* Unit vectors (cos, sin) of every wave's phase in one colour, into that colour's two columns of
 * six. */
static fv_ref phases(fv_plan *p, const fv_options *o, int colour)
{
    float place[6][2] = {{0}};
    place[colour][0] = place[3 + colour][1] = 1;
    fv_plan_push(p, "colour%d.", colour);
    fv_ref x = fv_plan_param(p, "phases", (fv_shape){1, fv_height(o), fv_width(o) / 2 + 1, 2});
    x = fv_l2norm(p, "unit", x, 1e-9);
    x = fv_linear(p, "placed", x, fv_plan_weight(p, "place", (fv_shape){1, 1, 6, 2}, &place[0][0]),
                  FV_NONE, FV_ACT_NONE);
    fv_plan_pop(p);
    return x;
}

/* sum over v, u of magnitude * (re cos(a + b) + im sin(a + b)), a = 2 pi v y / H, b = 2 pi u x / W,
 * as four products of cosines and sines. */
static fv_ref maco(fv_plan *p, const fv_options *o)
{
    static const int32_t real[3] = {0, 1, 2}, imaginary[3] = {3, 4, 5};
    int w = fv_width(o), h = fv_height(o), half = w / 2 + 1;
    fv_ref x = phases(p, o, 0);
    for (int colour = 1; colour < 3; colour++) x = fv_add(p, "colours", x, phases(p, o, colour));
    x = fv_affine(p, "spectrum", x, magnitudes(p, o), FV_NONE);
    fv_ref re =
        fv_pick(p, "real", x, fv_plan_weight_i32(p, "real.channels", (fv_shape){1, 1, 1, 3}, real));
    fv_ref im =
        fv_pick(p, "imaginary", x,
                fv_plan_weight_i32(p, "imaginary.channels", (fv_shape){1, 1, 1, 3}, imaginary));
    fv_ref cos_a = wave_matrix(p, "rows.cosines", h, h, false, 1);
    fv_ref sin_a = wave_matrix(p, "rows.sines", h, h, true, 1);
    fv_ref cos_b = wave_matrix(p, "columns.cosines", w, half, false, 1);
    fv_ref sin_b = wave_matrix(p, "columns.sines", w, half, true, 1);
    fv_ref minus_sin_b = wave_matrix(p, "columns.minus", w, half, true, -1);
    fv_ref even = fv_add(p, "even", fv_separable(p, "cos.cos", re, cos_a, cos_b),
                         fv_separable(p, "sin.sin", re, sin_a, minus_sin_b));
    fv_ref odd = fv_add(p, "odd", fv_separable(p, "sin.cos", im, sin_a, cos_b),
                        fv_separable(p, "cos.sin", im, cos_a, sin_b));
    return finish(p, o, fv_add(p, "waves", even, odd));
}

/* --- all --- */

fv_ref fv_parameterise(fv_plan *p, const fv_options *o)
{
    switch ((fv_parameterisation)o->parameterisation) {
    case FV_PARAMETERISE_FOURIER:
        return fourier(p, o);
    case FV_PARAMETERISE_MULTIRES:
        return multires(p, o);
    case FV_PARAMETERISE_MACO:
        return maco(p, o);
    default: {
        fv_ref x = fv_plan_param(p, "pixels", (fv_shape){1, fv_height(o), fv_width(o), 3});
        return fv_activation(p, "picture", x, FV_ACT_NONE);
    }
    }
}

void fv_parameterise_start(const fv_options *o, float *values, size_t count)
{
    bool pixel = o->parameterisation == FV_PARAMETERISE_PIXEL;
    float spread = (float)o->start_noise;
    for (size_t i = 0; i < count; i++) {
        fv_random4 r = fv_philox((uint64_t)o->seed, (uint32_t)i, 0, 0, FV_STREAM_INIT);
        float x = spread * fv_normal(r.v[0], r.v[1]);
        if (pixel) x = fminf(fmaxf(0.5f + x, 0.0f), 1.0f);
        values[i] = x;
    }
}

void fv_parameterise_bounds(const fv_options *o, float *low, float *high)
{
    bool pixel = o->parameterisation == FV_PARAMETERISE_PIXEL;
    *low = pixel ? 0.0f : -1e30f;
    *high = pixel ? 1.0f : 1e30f;
}
