/* Small pictures of what channels want, a batch of channels in one plan. See feavis/atlas.h.
 *
 *   spectrum {B,s,s,3} (a param) * 1/f^decay -> inverse DCT -> colours -> logistic: picture
 *     -> warp, one a picture {B,S,S,3} -> image tower -> layer -> mean over positions {B,1,1,C}
 *
 * The output gradient of row b is -1 at the channel that row b is for. Random numbers are functions
 * of (seed, channel, step), so a picture does not depend on which others grow beside it. */
#include "feavis/atlas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/colours.h"
#include "feavis/imagine/generators/separable.h"
#include "feavis/imagine/model.h"
#include "kernels/rng.h"

enum { SIDE = 96, SIDE_MIN = 32, SIDE_MAX = 512, BATCH = 16, BATCH_MAX = 64, STEPS = 48 };

/* The picture's numbers. */
static const double decay = 1.4, contrast = 1.7, start_noise = 0.01;
static const double rate = 0.08, rate_end = 0.25, beta1 = 0.9, beta2 = 0.99;
/* Of each step's view: shift in shares of the side, zoom, turn in radians. */
static const double shift = 0.12, zoom = 0.12, turn = 0.1;

struct fv_atlas {
    fv_model *model;
    fv_atlas_settings how;
    char *name; /* of the layer */
    fv_map map;
    int view; /* pixels a side that the network sees */
    fv_plan *plan;
    fv_ref spectrum, warp, picture, mean;
    float *values;   /* [batch][side][side][3]: the start, and the pictures at the end */
    float *gradient; /* [batch][channels]; also what the means are read into */
    float *warps;    /* [batch][6] */
};

/* --- building --- */

/* How far one unit of coefficient (v, u) moves the picture. */
static double amplitude(int side, int v, int u)
{
    double f = sqrt((double)v * v + (double)u * u) / (2.0 * side), least = 1.0 / side;
    return 0.25 * contrast * pow(FV_DECAY_PIVOT, decay - 1) * pow(f < least ? least : f, -decay);
}

static fv_ref build_picture(fv_atlas *a, fv_plan *p)
{
    int n = a->how.side;
    fv_options *o;
    fv_status status = fv_options_new(&o); /* whose colours are decorrelated */
    if (status < 0) return fv_plan_fail(p, status);
    double *scale = malloc((size_t)n * (size_t)n * 3 * sizeof *scale);
    for (int v = 0; scale && v < n; v++)
        for (int u = 0; u < n; u++)
            for (int c = 0; c < 3; c++) scale[(v * n + u) * 3 + c] = amplitude(n, v, u);
    a->spectrum = fv_plan_param(p, "spectrum", (fv_shape){a->how.batch, n, n, 3});
    fv_ref x =
        fv_affine(p, "scaled", a->spectrum,
                  fv_separable_weight(p, "spectrum.scale", (fv_shape){1, n, n, 3}, scale), FV_NONE);
    fv_ref cosines = fv_cosine_weight(p, "cosines", n);
    x = fv_separable(p, "waves", x, cosines, cosines);
    x = fv_colours_picture(p, o, x);
    fv_options_free(o);
    return x;
}

static fv_ref ref_of(const fv_plan *p, const fv_tensor *t)
{
    const fv_tensor *at;
    if (!t) return FV_NONE;
    for (fv_ref r = 0; (at = fv_plan_tensor(p, r)); r++)
        if (at == t) return r;
    return -1;
}

/* The layer before its activation, where it has one that cuts off: most channels of a ReLU are 0 in
 * noise, and have no gradient there to climb. */
static fv_ref uncut(fv_plan *p, fv_ref layer)
{
    const fv_tensor *y = fv_plan_tensor(p, layer);
    for (int i = 0; i < fv_plan_op_count(p); i++) {
        const fv_op *op = fv_plan_op(p, i);
        if (op->y != y) continue;
        fv_ref x = ref_of(p, op->x), w = ref_of(p, op->w), b = ref_of(p, op->b);
        if (op->kind == FV_OP_ACT) return x;
        if (op->act == FV_ACT_NONE) return layer;
        if (op->kind == FV_OP_CONV2D)
            return fv_conv2d(p, "uncut", x, w, b, op->attr.conv, FV_ACT_NONE);
        if (op->kind == FV_OP_DWCONV2D)
            return fv_dwconv2d(p, "uncut", x, w, b, op->attr.conv, FV_ACT_NONE);
        if (op->kind == FV_OP_LINEAR) return fv_linear(p, "uncut", x, w, b, FV_ACT_NONE);
        return layer;
    }
    return layer;
}

/* As far as the layer, seen at `view` pixels; head: with what stands behind the map. */
static fv_status build(fv_atlas *a, int view, bool head)
{
    int guide;
    fv_ref layer;
    fv_plan_free(a->plan);
    a->plan = NULL;
    FV_TRY(fv_plan_new(&a->plan, a->model->engine->backend));
    fv_plan *p = a->plan;
    a->picture = build_picture(a, p);
    a->warp = fv_plan_input(p, "warp", (fv_shape){a->how.batch, 1, 1, 6}, FV_REAL);
    fv_ref x = fv_warp(p, "view", a->picture, a->warp, view);
    fv_model_image(a->model, 0, p, x, head);
    FV_TRY(fv_plan_status(p));
    FV_TRY(fv_model_find_layer(a->model, p, a->name, &guide, &layer));
    fv_shape s = fv_plan_shape(p, layer);
    if (s.n != a->how.batch)
        return fv_fail(FV_ERR_ARGUMENT, "layer %s is not of the image tower", a->name);
    a->map = (fv_map){a->name, s.h, s.w, s.c};
    a->mean = fv_mean_hw(p, "mean", uncut(p, layer));
    fv_plan_output(p, a->picture);
    fv_plan_output(p, a->mean);
    a->view = view;
    return fv_plan_finish(p, FV_PLAN_BACKWARD);
}

static fv_status check(const fv_atlas_settings *s)
{
    if (s->side < SIDE_MIN || s->side > SIDE_MAX)
        return fv_fail(FV_ERR_ARGUMENT, "pictures of an atlas have %d to %d pixels a side, not %d",
                       SIDE_MIN, SIDE_MAX, s->side);
    if (s->batch < 1 || s->batch > BATCH_MAX)
        return fv_fail(FV_ERR_ARGUMENT, "an atlas grows 1 to %d channels at a time, not %d",
                       BATCH_MAX, s->batch);
    if (s->steps < 1)
        return fv_fail(FV_ERR_ARGUMENT, "an atlas takes a step at least, not %d", s->steps);
    return FV_OK;
}

static fv_status open_all(fv_atlas *a, const fv_atlas_settings *s)
{
    a->how = *s;
    if (!a->how.side) a->how.side = SIDE;
    if (!a->how.batch) a->how.batch = BATCH;
    if (!a->how.steps) a->how.steps = STEPS;
    FV_TRY(check(&a->how));
    a->name = strdup(s->layer && *s->layer ? s->layer : "LLP");
    if (!a->name) return fv_fail(FV_ERR_MEMORY, "opening an atlas: out of memory");
    a->how.layer = a->name;
    /* transformers, and what stands behind the map, know one size alone */
    if (build(a, a->how.side, false) < 0) FV_TRY(build(a, fv_model_image_size(a->model), true));
    size_t n = (size_t)a->how.batch, side = (size_t)a->how.side;
    a->values = malloc(n * side * side * 3 * sizeof(float));
    a->gradient = malloc(n * (size_t)a->map.channels * sizeof(float));
    a->warps = malloc(n * 6 * sizeof(float));
    return a->values && a->gradient && a->warps
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "opening an atlas: out of memory");
}

fv_status fv_atlas_open(fv_atlas **out, fv_model *m, const fv_atlas_settings *s)
{
    fv_atlas *a = calloc(1, sizeof *a);
    if (!a) return fv_fail(FV_ERR_MEMORY, "opening an atlas: out of memory");
    a->model = m;
    fv_status status = open_all(a, s);
    if (status < 0) {
        fv_atlas_close(a);
        return status;
    }
    *out = a;
    return FV_OK;
}

void fv_atlas_close(fv_atlas *a)
{
    if (!a) return;
    fv_plan_free(a->plan);
    free(a->name);
    free(a->values);
    free(a->gradient);
    free(a->warps);
    free(a);
}

fv_map fv_atlas_layer(const fv_atlas *a)
{
    return a->map;
}

fv_atlas_settings fv_atlas_settings_of(const fv_atlas *a)
{
    return a->how;
}

/* --- growing --- */

/* Rows behind the last channel repeat it. */
static int channel_of(const int *channels, int count, int row)
{
    return channels[row < count ? row : count - 1];
}

static void draw_start(fv_atlas *a, const int *channels, int count)
{
    uint32_t numbers = (uint32_t)(a->how.side * a->how.side * 3);
    float *to = a->values;
    for (int b = 0; b < a->how.batch; b++) {
        uint32_t channel = (uint32_t)channel_of(channels, count, b);
        for (uint32_t i = 0; i < numbers; i++) {
            fv_random4 r = fv_philox(a->how.seed, i, channel, 0, FV_STREAM_INIT);
            *to++ = (float)start_noise * fv_normal(r.v[0], r.v[1]);
        }
    }
}

/* Uniform in [-1, 1). */
static double either_way(uint32_t bits)
{
    return 2.0 * (double)fv_uniform(bits) - 1.0;
}

/* View pixel (j, i) is at s * R(angle) * ((j, i) - its middle) + the picture's middle + (x, y). */
static void set_warp(float row[6], int side, int view, double s, double angle, double x, double y)
{
    double k = s * side / view, c = k * cos(angle), d = k * sin(angle);
    double middle = (view - 1) / 2.0, centre = (side - 1) / 2.0;
    row[0] = (float)c;
    row[1] = (float)-d;
    row[2] = (float)(centre + x * side - (c - d) * middle);
    row[3] = (float)d;
    row[4] = (float)c;
    row[5] = (float)(centre + y * side - (c + d) * middle);
}

/* The views of a step; step -1: the pictures as they are. */
static fv_status draw_views(fv_atlas *a, const int *channels, int count, int step)
{
    for (int b = 0; b < a->how.batch; b++) {
        float *row = a->warps + 6 * b;
        uint32_t channel = (uint32_t)channel_of(channels, count, b);
        fv_random4 r =
            fv_philox(a->how.seed, channel, (uint32_t)(step < 0 ? 0 : step), 0, FV_STREAM_VIEW);
        double on = step < 0 ? 0 : 1;
        set_warp(row, a->how.side, a->view, 1 + on * zoom * either_way(r.v[0]),
                 on * turn * either_way(r.v[1]), on * shift * either_way(r.v[2]),
                 on * shift * either_way(r.v[3]));
    }
    return fv_plan_upload(a->plan, a->warp, a->warps);
}

static void adam_numbers(const fv_atlas *a, int step, float numbers[FV_ADAM_COLUMNS])
{
    int steps = a->how.steps;
    double t = steps > 1 ? (double)step / (steps - 1) : 0;
    double fall = rate_end + (1 - rate_end) * 0.5 * (1 + cos(M_PI * t));
    numbers[FV_ADAM_RATE] = (float)(rate * fall);
    numbers[FV_ADAM_BETA1] = (float)beta1;
    numbers[FV_ADAM_BETA2] = (float)beta2;
    numbers[FV_ADAM_EPS] = 1e-12f; /* a channel may pull very little */
    numbers[FV_ADAM_CORRECTION1] = (float)(1 - pow(beta1, step + 1));
    numbers[FV_ADAM_CORRECTION2] = (float)(1 - pow(beta2, step + 1));
    numbers[FV_ADAM_LOW] = -1e30f;
    numbers[FV_ADAM_HIGH] = 1e30f;
}

/* Start, moments, and what each row is asked for. */
static fv_status begin(fv_atlas *a, const int *channels, int count)
{
    size_t width = (size_t)a->map.channels;
    draw_start(a, channels, count);
    FV_TRY(fv_plan_upload(a->plan, a->spectrum, a->values));
    memset(a->values, 0, fv_plan_param_count(a->plan) * sizeof(float));
    FV_TRY(fv_plan_block_upload(a->plan, FV_BLOCK_M, a->values));
    FV_TRY(fv_plan_block_upload(a->plan, FV_BLOCK_V, a->values));
    memset(a->gradient, 0, (size_t)a->how.batch * width * sizeof(float));
    for (int b = 0; b < count; b++) a->gradient[(size_t)b * width + (size_t)channels[b]] = -1;
    return FV_OK;
}

static fv_status take_step(fv_atlas *a, const int *channels, int count, int step)
{
    float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS];
    FV_TRY(draw_views(a, channels, count, step));
    adam_numbers(a, step, numbers);
    FV_TRY(fv_plan_output_gradient(a->plan, a->mean, a->gradient));
    FV_TRY(fv_plan_step(a->plan, numbers, stats));
    if (stats[FV_ADAM_STAT_BAD] == 0) return FV_OK;
    return fv_fail(FV_ERR_STOPPED, "channels %d to %d: a gradient is not finite", channels[0],
                   channels[count - 1]);
}

static fv_status take_pictures(const fv_atlas *a, int count, fv_picture *out)
{
    int side = a->how.side;
    size_t numbers = (size_t)side * (size_t)side * 3;
    for (int b = 0; b < count; b++) {
        uint8_t *rgb = malloc(numbers);
        if (!rgb) {
            while (b--) fv_picture_free(&out[b]);
            return fv_fail(FV_ERR_MEMORY, "pictures of channels: out of memory");
        }
        const float *from = a->values + (size_t)b * numbers;
        for (size_t i = 0; i < numbers; i++)
            rgb[i] = (uint8_t)(fminf(fmaxf(from[i], 0), 1) * 255.0f + 0.5f);
        out[b] = (fv_picture){side, side, rgb};
    }
    return FV_OK;
}

static fv_status check_channels(const fv_atlas *a, const int *channels, int count)
{
    if (count < 1 || count > a->how.batch)
        return fv_fail(FV_ERR_ARGUMENT, "%d channels, expected 1 to %d", count, a->how.batch);
    for (int i = 0; i < count; i++)
        if (channels[i] < 0 || channels[i] >= a->map.channels)
            return fv_fail(FV_ERR_ARGUMENT, "layer %s has no channel %d: there are 0 to %d",
                           a->name, channels[i], a->map.channels - 1);
    return FV_OK;
}

fv_status fv_atlas_grow(fv_atlas *a, const int *channels, int count, fv_picture *out,
                        float *reached, bool (*go_on)(void *user), void *user)
{
    FV_TRY(check_channels(a, channels, count));
    FV_TRY(begin(a, channels, count));
    for (int step = 0; step < a->how.steps; step++) {
        if (go_on && !go_on(user)) return FV_CANCELLED;
        FV_TRY(take_step(a, channels, count, step));
    }
    FV_TRY(draw_views(a, channels, count, -1));
    FV_TRY(fv_plan_forward(a->plan));
    FV_TRY(fv_plan_download(a->plan, a->picture, a->values));
    FV_TRY(fv_plan_download(a->plan, a->mean, a->gradient));
    for (int b = 0; reached && b < count; b++)
        reached[b] = a->gradient[(size_t)b * (size_t)a->map.channels + (size_t)channels[b]];
    return take_pictures(a, count, out);
}
