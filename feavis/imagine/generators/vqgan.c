/* vqgan: the latent of a frozen decoder (model/nets/vqgan.h), one cell for f x f pixels.
 *
 *   param "latent" {1,h,w,C} -> times a scale -> the nearest codes -> decoder -> clamp
 *
 * The option `codes` says what becomes of the latent.
 *
 * straight: it is continuous; its codes are decoded, and their gradient is taken for its own (van
 * den Oord, Vinyals and Kavukcuoglu, Neural discrete representation learning, 2017). Each channel
 * stays in the range of the codes.
 *
 * projected: it becomes its codes after every step, Algorithm 2 of BriVL's authors. A step that is
 * too short to reach another code changes nothing.
 *
 * free: it is decoded as it is, in the range of the codes; the only way of a decoder without them.
 *
 * Where the decoder says how its latent's spectrum falls, "latent" is waves (waves.h), which begin
 * with half of nature's deviation and stay within four times of it. A start picture, once encoded,
 * is fitted besides (fit.h).
 *
 * The scale makes one `rate` fit all decoders: a unit is the codes' standard deviation, and where
 * they are projected so much that a step of the usual rate goes twice the way that changes a code.
 * So codes change while the step is more than half the usual one, and settle as it falls. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/canvas.h"
#include "feavis/imagine/generators/fit.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/waves.h"
#include "kernels/rng.h"

enum { STRAIGHT, PROJECTED, FREE }; /* options.codes */
enum { RANDOM_CODES, NOISE };       /* options.codes_start */

/* The codes in the latent's own unit. */
typedef struct codebook {
    float *rows; /* [count][width]; NULL: there are none */
    size_t count, width;
    float scale; /* of that unit, in the decoder's */
} codebook;

static const float usual_rate = 0.06f;                        /* the default */
static const float start_of_waves = 0.5f, most_of_a_wave = 4; /* in deviations */
/* Of what an encoder makes of a start picture: 4 dB nearer to it, for eight steps' time. */
static const int fit_steps = 8;
static const float fit_rate = 0.1f;

static float square_distance(const float *a, const float *b, size_t n)
{
    enum { WAYS = 16 };
    float sums[WAYS] = {0};
    size_t i = 0;
    for (; i + WAYS <= n; i += WAYS)
        for (int k = 0; k < WAYS; k++) sums[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    for (int k = 1; k < WAYS; k++) sums[0] += sums[k];
    for (; i < n; i++) sums[0] += (a[i] - b[i]) * (a[i] - b[i]);
    return sums[0];
}

/* The first of the nearest codes. */
static size_t nearest(const codebook *c, const float *row)
{
    size_t best = 0;
    float least = HUGE_VALF;
    for (size_t k = 0; k < c->count; k++) {
        float far = square_distance(row, c->rows + k * c->width, c->width);
        if (!(far < least)) continue;
        least = far;
        best = k;
    }
    return best;
}

/* The variance of one channel of the codes, as rounding leaves it. */
static double variance(const codebook *c, size_t channel, double *mean)
{
    double sum = 0, square = 0, n = (double)c->count;
    for (size_t k = 0; k < c->count; k++) {
        double v = (double)c->rows[k * c->width + channel];
        sum += v;
        square += v * v;
    }
    *mean = sum / n;
    return square / n - sum / n * (sum / n);
}

static float deviation(const codebook *c)
{
    double squares = 0, mean;
    for (size_t i = 0; i < c->width; i++) squares += variance(c, i, &mean);
    return (float)sqrt(squares / (double)c->width);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* How far each channel has to move for one code to become another when all move at once, up or down
 * as the signs say, as in Adam's first step: |e - z|^2 / (2 signs . (e - z)), the least of all e.
 */
static float way_to_another(const codebook *c, size_t from, const float *signs)
{
    const float *z = c->rows + from * c->width;
    float least = HUGE_VALF;
    for (size_t k = 0; k < c->count; k++) {
        const float *e = c->rows + k * c->width;
        float along = 0, square = 0;
        for (size_t i = 0; i < c->width; i++) {
            along += signs[i] * (e[i] - z[i]);
            square += (e[i] - z[i]) * (e[i] - z[i]);
        }
        if (along > 0) least = fminf(least, square / (2 * along));
    }
    return least;
}

/* The median of some codes, in a direction of chance. */
static fv_status usual_way(const codebook *c, float *way)
{
    enum { SAMPLE = 64 };
    float ways[SAMPLE], *signs = malloc(c->width * sizeof *signs);
    if (!signs) return fv_fail(FV_ERR_MEMORY, "reading the decoder's codes: out of memory");
    size_t count = c->count < SAMPLE ? c->count : SAMPLE;
    for (size_t i = 0; i < c->width; i++)
        signs[i] = fv_philox(0, (uint32_t)i, 0, 0, FV_STREAM_INIT).v[0] & 1 ? 1.0f : -1.0f;
    for (size_t i = 0; i < count; i++) ways[i] = way_to_another(c, i * c->count / count, signs);
    qsort(ways, count, sizeof *ways, by_size);
    *way = ways[count / 2];
    free(signs);
    return FV_OK;
}

static void close_codes(codebook *c)
{
    free(c->rows);
    c->rows = NULL;
}

static fv_status open_codes(codebook *c, const fv_options *o, const fv_network *n)
{
    *c = (codebook){.count = (size_t)n->codes, .width = (size_t)n->latent_channels, .scale = 1};
    if (!c->count) return FV_OK;
    c->rows = malloc(c->count * c->width * sizeof *c->rows);
    if (!c->rows) return fv_fail(FV_ERR_MEMORY, "reading the decoder's codes: out of memory");
    float way = 0;
    fv_status s = fv_network_codes(n, c->rows);
    if (s >= 0 && o->codes == PROJECTED) s = usual_way(c, &way);
    if (s < 0) {
        close_codes(c);
        return s;
    }
    float scale = o->codes == PROJECTED ? 2 * way / usual_rate : deviation(c);
    if (isfinite(scale) && scale > 0) c->scale = scale;
    for (size_t i = 0; i < c->count * c->width; i++) c->rows[i] /= c->scale;
    return FV_OK;
}

/* --- the picture --- */

static fv_ref scaled(fv_plan *p, fv_ref latent, const codebook *c)
{
    float *scale = malloc(c->width * sizeof *scale);
    if (!scale) return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "building vqgan: out of memory"));
    for (size_t i = 0; i < c->width; i++) scale[i] = c->scale;
    fv_ref w = fv_plan_weight(p, "latent.scale", (fv_shape){1, 1, 1, (int)c->width}, scale);
    free(scale);
    return fv_affine(p, "latent.scaled", latent, w, FV_NONE);
}

static fv_ref build(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    fv_shape shape;
    codebook c = {0};
    fv_status s = fv_network_latent(decoder, fv_width(o), fv_height(o), &shape);
    if (s >= 0) s = open_codes(&c, o, decoder);
    if (s < 0) return fv_plan_fail(p, s);
    fv_ref z = fv_plan_param(p, "latent", shape);
    z = decoder->decays ? fv_waves(p, decoder, z) : scaled(p, z, &c);
    close_codes(&c);
    if (decoder->codes && o->codes != FREE)
        z = fv_quantise(p, "latent.codes", z, fv_network_codebook(decoder, p));
    fv_ref canvas = fv_network_decode(decoder, p, z);
    return fv_clamp(p, "picture", fv_canvas_crop(p, canvas, fv_width(o), fv_height(o)));
}

/* No wave becomes larger than nature's largest. */
static fv_status bound_waves(fv_plan *p, const fv_network *decoder)
{
    size_t channels = (size_t)decoder->latent_channels;
    float *low = malloc(2 * channels * sizeof *low), *high = low ? low + channels : NULL;
    for (size_t i = 0; low && i < channels; i++) {
        low[i] = -most_of_a_wave;
        high[i] = most_of_a_wave;
    }
    fv_status s = low ? fv_plan_bound(p, fv_plan_find(p, "latent"), low, high)
                      : fv_fail(FV_ERR_MEMORY, "the range of waves: out of memory");
    free(low);
    return s;
}

/* Each channel stays among the codes. */
static fv_status prepare(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    codebook c;
    if (decoder->decays) return bound_waves(p, decoder);
    if (!decoder->codes || o->codes == PROJECTED) return FV_OK;
    FV_TRY(open_codes(&c, o, decoder));
    float *low = malloc(2 * c.width * sizeof *low), *high = low ? low + c.width : NULL;
    for (size_t i = 0; low && i < c.width; i++) {
        low[i] = HUGE_VALF;
        high[i] = -HUGE_VALF;
        for (size_t k = 0; k < c.count; k++) {
            low[i] = fminf(low[i], c.rows[k * c.width + i]);
            high[i] = fmaxf(high[i], c.rows[k * c.width + i]);
        }
    }
    fv_status s = low ? fv_plan_bound(p, fv_plan_find(p, "latent"), low, high)
                      : fv_fail(FV_ERR_MEMORY, "the range of the codes: out of memory");
    free(low);
    close_codes(&c);
    return s;
}

/* --- where it begins --- */

/* A code at random for each cell. */
static void draw_codes(const codebook *c, uint64_t seed, float *values, size_t count)
{
    for (size_t i = 0; i < count / c->width; i++) {
        fv_random4 r = fv_philox(seed, (uint32_t)i, 0, 0, FV_STREAM_INIT);
        size_t k = (size_t)((uint64_t)r.v[0] * c->count >> 32);
        memcpy(values + i * c->width, c->rows + k * c->width, c->width * sizeof *values);
    }
}

static void draw_normal(uint64_t seed, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fv_random4 r = fv_philox(seed, (uint32_t)i, 0, 0, FV_STREAM_INIT);
        values[i] = fv_normal(r.v[0], r.v[1]);
    }
}

/* Normal numbers get each channel's mean and deviation of the codes. */
static void shape_like_codes(const codebook *c, float *values, size_t count)
{
    for (size_t i = 0; i < c->width; i++) {
        double middle;
        float width = (float)sqrt(fmax(variance(c, i, &middle), 0)), mean = (float)middle;
        for (size_t k = i; k < count; k += c->width) values[k] = mean + width * values[k];
    }
}

static void project(const codebook *c, float *values, size_t count)
{
    for (size_t i = 0; i + c->width <= count; i += c->width) {
        size_t code = nearest(c, values + i);
        memcpy(values + i, c->rows + code * c->width, c->width * sizeof *values);
    }
}

/* A decoder without codes has normal numbers in every case. */
static fv_status start(const fv_options *o, const fv_network *decoder, float *values, size_t count)
{
    codebook c;
    FV_TRY(open_codes(&c, o, decoder));
    bool noise = o->codes_start == NOISE;
    if (!c.count || noise)
        draw_normal(o->seed, values, count);
    else
        draw_codes(&c, o->seed, values, count);
    if (c.count && noise) shape_like_codes(&c, values, count);
    if (c.count && noise && o->codes == PROJECTED) project(&c, values, count);
    for (size_t i = 0; decoder->decays && i < count; i++) values[i] *= start_of_waves;
    close_codes(&c);
    return FV_OK;
}

static fv_status encode(fv_plan *p, const fv_network *decoder, fv_shape canvas,
                        const float *picture, float *values)
{
    fv_ref pixels = fv_plan_input(p, "pixels", canvas, FV_REAL);
    fv_ref latent = fv_network_encode(decoder, p, pixels);
    fv_plan_output(p, latent);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    FV_TRY(fv_plan_upload(p, pixels, picture));
    FV_TRY(fv_plan_forward(p));
    return fv_plan_download(p, latent, values);
}

extern const fv_generator fv_generator_vqgan;

/* In the place of what was drawn: a latent has no room for noise besides. */
static fv_status invert(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count)
{
    codebook c;
    fv_plan *p = NULL;
    fv_shape shape;
    float *extended;
    FV_TRY(open_codes(&c, o, decoder));
    close_codes(&c);
    FV_TRY(fv_network_latent(decoder, fv_width(o), fv_height(o), &shape));
    fv_shape canvas = fv_canvas_of(decoder, shape);
    FV_TRY(fv_canvas_extend(&extended, canvas, picture, fv_width(o), fv_height(o)));
    fv_status s = fv_plan_new(&p, be);
    if (s >= 0) s = encode(p, decoder, canvas, extended, values);
    fv_plan_free(p);
    free(extended);
    for (size_t i = 0; s >= 0 && i < count; i++) {
        if (!isfinite(values[i])) /* its codes would hide it */
            s = fv_fail(FV_ERR_FORMAT, "the start picture encoded by %s: number %zu is %g",
                        fv_weights_path(decoder->source.weights), i, (double)values[i]);
        values[i] /= c.scale;
    }
    if (s >= 0 && decoder->decays) s = fv_waves_invert(decoder, shape, values);
    if (s >= 0 && decoder->decays)
        s = fv_fit(&fv_generator_vqgan, o, decoder, be, picture, values, fit_steps, fit_rate);
    return s;
}

/* --- projection --- */

/* The codes in the unit that the plan has, which is not computed again at every step. */
static fv_status codes_of_plan(codebook *c, fv_plan *p, const fv_network *n)
{
    fv_ref scale = fv_plan_find(p, "latent.scale");
    *c = (codebook){.count = (size_t)n->codes, .width = (size_t)n->latent_channels};
    float *scales = malloc(c->width * sizeof *scales);
    c->rows = malloc(c->count * c->width * sizeof *c->rows);
    fv_status s = scales && c->rows
                      ? fv_network_codes(n, c->rows)
                      : fv_fail(FV_ERR_MEMORY, "reading the decoder's codes: out of memory");
    if (s >= 0) s = fv_plan_download(p, scale, scales);
    if (s >= 0) {
        c->scale = scales[0];
        for (size_t i = 0; i < c->count * c->width; i++) c->rows[i] /= c->scale;
    } else {
        close_codes(c);
    }
    free(scales);
    return s;
}

static fv_status after_step(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    codebook c;
    if (!decoder->codes || o->codes != PROJECTED) return FV_OK;
    FV_TRY(codes_of_plan(&c, p, decoder));
    size_t count = fv_plan_param_count(p);
    float *values = malloc(count * sizeof *values);
    fv_status s = values ? fv_plan_block_download(p, FV_BLOCK_VALUE, values)
                         : fv_fail(FV_ERR_MEMORY, "projecting a latent: out of memory");
    if (s >= 0) project(&c, values, count);
    if (s >= 0) s = fv_plan_block_upload(p, FV_BLOCK_VALUE, values);
    free(values);
    close_codes(&c);
    return s;
}

/* --- codes as numbers --- */

static fv_status check_codes(const fv_network *n)
{
    if (n->codes) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s has no codes: its latent is continuous", n->title);
}

static fv_status codes_of(const fv_options *o, const fv_network *decoder, const float *values,
                          size_t count, fv_codes *out)
{
    codebook c;
    fv_shape shape;
    FV_TRY(check_codes(decoder));
    FV_TRY(fv_network_latent(decoder, fv_width(o), fv_height(o), &shape));
    FV_TRY(fv_codes_new(out, shape.w, shape.h));
    fv_status s = open_codes(&c, o, decoder);
    if (s < 0) {
        fv_codes_free(out);
        return s;
    }
    out->count = decoder->codes;
    for (size_t i = 0; i < count / c.width; i++)
        out->at[i] = (int32_t)nearest(&c, values + i * c.width);
    close_codes(&c);
    return FV_OK;
}

static fv_status check_fit(const fv_codes *codes, const fv_options *o, const fv_network *n)
{
    fv_shape shape;
    FV_TRY(check_codes(n));
    FV_TRY(fv_network_latent(n, fv_width(o), fv_height(o), &shape));
    if (codes->width != shape.w || codes->height != shape.h)
        return fv_fail(FV_ERR_SHAPE, "there are %d x %d, expected %d x %d for %d x %d pixels",
                       codes->width, codes->height, shape.w, shape.h, fv_width(o), fv_height(o));
    for (int i = 0; i < codes->width * codes->height; i++)
        if (codes->at[i] < 0 || codes->at[i] >= n->codes)
            return fv_fail(FV_ERR_ARGUMENT, "cell %d of line %d has code %d; %s has 0 to %d",
                           i % codes->width + 1, i / codes->width + 1, codes->at[i], n->title,
                           n->codes - 1);
    return FV_OK;
}

static fv_status from_codes(const fv_options *o, const fv_network *decoder, const fv_codes *codes,
                            float *values, size_t count)
{
    codebook c;
    FV_TRY(check_fit(codes, o, decoder));
    FV_TRY(open_codes(&c, o, decoder));
    for (size_t i = 0; i < count / c.width; i++)
        memcpy(values + i * c.width, c.rows + (size_t)codes->at[i] * c.width,
               c.width * sizeof *values);
    close_codes(&c);
    return FV_OK;
}

static int moved(const fv_options *o, const fv_network *decoder, const float *before,
                 const float *after, size_t count)
{
    size_t width = (size_t)decoder->latent_channels;
    int cells = 0;
    if (!decoder->codes || o->codes != PROJECTED) return -1;
    for (size_t i = 0; i < count; i += width)
        cells += memcmp(before + i, after + i, width * sizeof *before) != 0;
    return cells;
}

const fv_generator fv_generator_vqgan = {.name = "vqgan",
                                         .needs_decoder = true,
                                         .build = build,
                                         .prepare = prepare,
                                         .start = start,
                                         .invert = invert,
                                         .after_step = after_step,
                                         .codes = codes_of,
                                         .from_codes = from_codes,
                                         .moved = moved};
