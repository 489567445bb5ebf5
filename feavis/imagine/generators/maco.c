/* maco: phases of waves whose magnitudes are those of photographs and stay so (Fel et al.,
 * Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization,
 * 2023).
 *
 *   three params {1,H,W/2+1,2}, one a colour; each pair is normalised to (cos, sin) of a phase
 *   -> magnitude * pair -> inverse real DFT -> colours -> logistic
 *   back: colours^-1 (logit) -> DFT -> the phases alone
 *
 * A pair's length does not count in the picture, but Adam turns a longer one less: start-noise is
 * the length, so rate / start-noise is the first turn in radians. decay is not used; contrast 1 is
 * that of photographs (spectrum.h). */
#include "feavis/imagine/generators/maco.h"

#include <math.h>
#include <stdlib.h>

#include "feavis/imagine/generators/colours.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/separable.h"
#include "feavis/imagine/generators/spectrum.h"

double fv_maco_magnitude(const fv_options *o, int v, int u, int c)
{
    bool twin = u == 0 || 2 * u == fv_width(o);
    if (twin && v < 0) return 0;
    double f = fv_wave_frequency(o, v, u, fv_width(o) < fv_height(o) ? fv_width(o) : fv_height(o));
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
    for (int v = 0; m && v < n; v++)
        for (int u = 0; u < half; u++)
            for (int c = 0; c < 6; c++)
                *at++ = fv_maco_magnitude(o, 2 * v > n ? v - n : v, u, c % 3);
    return fv_separable_weight(p, "magnitudes", (fv_shape){1, n, half, 6}, m);
}

typedef enum wave { COSINE, SINE, MINUS_SINE } wave;

/* m[i * position + u * frequency] for n pixels and `count` frequencies: the wave of 2 pi u i / n.
 */
static void waves(double *m, wave kind, int n, int count, size_t position, size_t frequency)
{
    for (int i = 0; i < n; i++)
        for (int u = 0; u < count; u++) {
            double angle = 2 * M_PI * (double)((int64_t)i * u % n) / n;
            double x = kind == COSINE ? cos(angle) : sin(angle);
            m[(size_t)i * position + (size_t)u * frequency] = kind == MINUS_SINE ? -x : x;
        }
}

/* Rows: positions; columns: frequencies. */
static fv_ref wave_matrix(fv_plan *p, const char *name, wave kind, int n, int count)
{
    double *m = malloc((size_t)n * (size_t)count * sizeof *m);
    if (m) waves(m, kind, n, count, (size_t)count, 1);
    return fv_separable_weight(p, name, (fv_shape){1, 1, n, count}, m);
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
static fv_ref build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)decoder;
    static const int32_t real[3] = {0, 1, 2}, imaginary[3] = {3, 4, 5};
    int w = fv_width(o), h = fv_height(o), half = w / 2 + 1;
    fv_ref x = phases(p, o, 0);
    for (int colour = 1; colour < 3; colour++) x = fv_add(p, "colours", x, phases(p, o, colour));
    x = fv_affine(p, "spectrum", x, magnitudes(p, o), FV_NONE);
    fv_ref re = fv_gather_channels(
        p, "real", x, fv_plan_weight_i32(p, "real.channels", (fv_shape){1, 1, 1, 3}, real));
    fv_ref im = fv_gather_channels(
        p, "imaginary", x,
        fv_plan_weight_i32(p, "imaginary.channels", (fv_shape){1, 1, 1, 3}, imaginary));
    fv_ref cos_a = wave_matrix(p, "rows.cosines", COSINE, h, h);
    fv_ref sin_a = wave_matrix(p, "rows.sines", SINE, h, h);
    fv_ref cos_b = wave_matrix(p, "columns.cosines", COSINE, w, half);
    fv_ref sin_b = wave_matrix(p, "columns.sines", SINE, w, half);
    fv_ref minus_sin_b = wave_matrix(p, "columns.minus", MINUS_SINE, w, half);
    fv_ref even = fv_add(p, "even", fv_separable(p, "cos.cos", re, cos_a, cos_b),
                         fv_separable(p, "sin.sin", re, sin_a, minus_sin_b));
    fv_ref odd = fv_add(p, "odd", fv_separable(p, "sin.cos", im, sin_a, cos_b),
                        fv_separable(p, "cos.sin", im, cos_a, sin_b));
    return fv_colours_picture(p, o, fv_add(p, "waves", even, odd));
}

/* The phase of the wave (v, u) whose cosine part is a, whose sine part b. */
static void add_phase(const fv_options *o, int v, int u, int colour, double a, double b,
                      float pair[2])
{
    int w = fv_width(o), h = fv_height(o);
    double length = hypot(a, b);
    if (2 * v % h == 0 && 2 * u % w == 0) { /* sin is 0 at every pixel: cos is how much */
        a = fmin(fmax(a / ((double)h * w * fv_maco_magnitude(o, v, u, colour)), -1), 1);
        b = sqrt(1 - a * a);
        length = 1;
    }
    pair[0] += (float)(length > 0 ? a / length : 1);
    pair[1] += (float)(length > 0 ? b / length : 0);
}

/* Phases of the DFT of the picture, longer than any noise of the start. */
static fv_status invert(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count)
{
    (void)decoder, (void)be, (void)count;
    int w = fv_width(o), h = fv_height(o), half = w / 2 + 1;
    size_t cells = fv_pixels(o), rows = (size_t)h * (size_t)h, columns = (size_t)half * (size_t)w;
    size_t numbers = (size_t)h * (size_t)half; /* waves */
    double *down[2], *across[2], *parts[4];    /* rows by columns: cos cos, cos sin, sin cos .. */
    down[0] = calloc(2 * rows + 2 * columns + cells * 6 + numbers * 12, sizeof *down[0]);
    if (!down[0]) return fv_fail(FV_ERR_MEMORY, "start picture: out of memory");
    down[1] = down[0] + rows;
    across[0] = down[1] + rows;
    across[1] = across[0] + columns;
    double *x = across[1] + columns, *scratch = x + 3 * cells;
    for (size_t k = 0; k < 4; k++) parts[k] = scratch + 3 * cells + 3 * k * numbers;
    fv_colours_invert(o, picture, x);
    for (int k = 0; k < 2; k++) {
        waves(down[k], k ? SINE : COSINE, h, h, 1, (size_t)h);
        waves(across[k], k ? SINE : COSINE, w, half, 1, (size_t)w);
    }
    for (int k = 0; k < 4; k++)
        fv_separable_apply(parts[k], x, h, w, down[k / 2], h, across[k % 2], half, scratch);
    for (size_t i = 0; i < numbers * 3; i++)
        add_phase(o, (int)(i / 3) / half, (int)(i / 3) % half, (int)(i % 3),
                  parts[0][i] - parts[3][i], parts[1][i] + parts[2][i],
                  values + 2 * (i % 3 * numbers + i / 3));
    free(down[0]);
    return FV_OK;
}

const fv_generator fv_generator_maco = {.name = "maco", .build = build, .invert = invert};
