/* Random views of the picture. See views.h. */
#include "feavis/imagine/views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/session.h"
#include "kernels/rng.h"

fv_ref fv_views_build(fv_plan *p, fv_views *v, const fv_options *o, int side, fv_ref picture)
{
    size_t n = (size_t)o->views;
    *v = (fv_views){.count = o->views, .side = side};
    v->warp_values = calloc(n * 6, sizeof(float));
    v->numbers_values = calloc(n * FV_JITTER_COLUMNS, sizeof(float));
    v->key_values = calloc(n * FV_JITTER_KEYS, sizeof(int32_t));
    v->width = fv_width(o);
    v->height = fv_height(o);
    v->blur[0] = v->blur[1] = -1;
    size_t longest = (size_t)(v->width > v->height ? v->width : v->height);
    bool blurred = o->blur > 0 || o->blur_end > 0 || o->keep;
    if (blurred) v->blur_values = malloc(longest * longest * sizeof(float));
    if (!v->warp_values || !v->numbers_values || !v->key_values || (blurred && !v->blur_values))
        return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "views: out of memory"));
    v->warp = fv_plan_input(p, "views.warp", (fv_shape){o->views, 1, 1, 6}, FV_REAL);
    v->numbers =
        fv_plan_input(p, "views.numbers", (fv_shape){o->views, 1, 1, FV_JITTER_COLUMNS}, FV_REAL);
    v->keys = fv_plan_input(p, "views.keys", (fv_shape){o->views, 1, 1, FV_JITTER_KEYS}, FV_I32);
    fv_ref x = picture;
    if (blurred) {
        int w = v->width, h = v->height;
        v->blur[0] = v->blur[1] = fv_plan_input(p, "views.blur", (fv_shape){1, 1, h, h}, FV_REAL);
        if (w != h)
            v->blur[1] = fv_plan_input(p, "views.blur.columns", (fv_shape){1, 1, w, w}, FV_REAL);
        x = fv_separable(p, "views.blurred", x, v->blur[0], v->blur[1]);
    }
    x = fv_warp(p, "views.cut", x, v->warp, side);
    return fv_colour_jitter(p, "views", x, v->numbers, v->keys);
}

void fv_views_clear(fv_views *v)
{
    free(v->warp_values);
    free(v->numbers_values);
    free(v->key_values);
    free(v->blur_values);
    *v = (fv_views){0};
}

/* Uniform in [-1, 1). */
static double either_way(uint32_t bits)
{
    return 2.0 * (double)fv_uniform(bits) - 1.0;
}

static int short_side(const fv_views *v)
{
    return v->width < v->height ? v->width : v->height;
}

/* View pixel (j, i) lies at centre + s * R(angle) * ((j, i) - middle of the view); `along` moves
 * it along the long side, in pixels of the picture. */
static void set_warp(float row[6], const fv_views *v, double share, double along, double shift_x,
                     double shift_y, double angle)
{
    double s = share * short_side(v) / v->side, a = s * cos(angle), b = s * sin(angle);
    double middle = (v->side - 1) / 2.0;
    double x = (v->width - 1) / 2.0 + (v->width > v->height ? along : 0);
    double y = (v->height - 1) / 2.0 + (v->height > v->width ? along : 0);
    row[0] = (float)a;
    row[1] = (float)-b;
    row[2] = (float)(x + s * shift_x - (a - b) * middle);
    row[3] = (float)b;
    row[4] = (float)a;
    row[5] = (float)(y + s * shift_y - (a + b) * middle);
}

/* All of the picture, squeezed. */
static void set_whole(float row[6], const fv_views *v)
{
    double x = (double)v->width / v->side, y = (double)v->height / v->side;
    double middle = (v->side - 1) / 2.0;
    const float whole[6] = {(float)x, 0,        (float)((v->width - 1) / 2.0 - x * middle),
                            0,        (float)y, (float)((v->height - 1) / 2.0 - y * middle)};
    memcpy(row, whole, sizeof whole);
}

/* How far the square of a view lies from the middle: part `view` of the room that it has. */
static double draw_along(const fv_views *v, uint64_t seed, int step, int view, double share)
{
    int longest = v->width > v->height ? v->width : v->height;
    double room = longest - share * short_side(v);
    if (longest == short_side(v) || !(room > 0)) return 0;
    fv_random4 r = fv_philox(seed, 3, (uint32_t)step, (uint32_t)view, FV_STREAM_VIEW);
    return room * ((view + (double)fv_uniform(r.v[0])) / v->count - 0.5);
}

static double between(double from, double to, double t)
{
    return from + (to - from) * t;
}

static void draw_view(fv_views *v, const fv_options *o, int view, int step)
{
    float *warp = v->warp_values + 6 * view;
    float *numbers = v->numbers_values + FV_JITTER_COLUMNS * view;
    int32_t *key = v->key_values + FV_JITTER_KEYS * view;
    uint64_t seed = (uint64_t)o->seed;
    key[FV_JITTER_SEED_LO] = (int32_t)(uint32_t)seed;
    key[FV_JITTER_SEED_HI] = (int32_t)(uint32_t)(seed >> 32);
    key[FV_JITTER_STEP] = step < 0 ? 0 : step;
    key[FV_JITTER_VIEW] = view;
    for (int c = 0; c < 3; c++) numbers[FV_JITTER_GAIN + c] = 1, numbers[FV_JITTER_SHIFT + c] = 0;
    numbers[FV_JITTER_SIGMA] = 0;
    if (step < 0) {
        if (v->width == v->height)
            set_warp(warp, v, 1, 0, 0, 0, 0);
        else
            set_whole(warp, v);
        return;
    }
    double done = o->steps > 1 ? (double)step / (o->steps - 1) : 1;
    if (done > 1) done = 1;
    fv_random4 r = fv_philox(seed, 0, (uint32_t)step, (uint32_t)view, FV_STREAM_VIEW);
    double low = o->scale_min, high = o->scale_max < low ? low : o->scale_max;
    double share = between(low, high, (double)fv_uniform(r.v[0])) * between(1, o->scale_end, done);
    double along = draw_along(v, seed, step, view, share);
    set_warp(warp, v, share, along, o->shift * either_way(r.v[1]), o->shift * either_way(r.v[2]),
             o->rotate * M_PI / 180 * either_way(r.v[3]));
    double colour = between(o->colour_shift, o->colour_shift_end, done);
    fv_random4 gain = fv_philox(seed, 0, (uint32_t)step, (uint32_t)view, FV_STREAM_COLOUR);
    fv_random4 shift = fv_philox(seed, 1, (uint32_t)step, (uint32_t)view, FV_STREAM_COLOUR);
    for (int c = 0; c < 3; c++) {
        numbers[FV_JITTER_GAIN + c] = (float)(1 + colour * either_way(gain.v[c]));
        numbers[FV_JITTER_SHIFT + c] = (float)(colour * either_way(shift.v[c]));
    }
    numbers[FV_JITTER_SIGMA] = (float)between(o->noise, o->noise_end, done);
}

void fv_gaussian_row(float *row, int n, int i, double sigma)
{
    double sum = 0;
    int reach = (int)ceil(4 * sigma);
    for (int k = 0; k < n; k++) {
        double d = k - i;
        bool far = k < i - reach || k > i + reach;
        double w = far ? 0 : k == i ? 1 : exp(-0.5 * d * d / (sigma * sigma));
        row[k] = (float)w;
        sum += w;
    }
    for (int k = 0; k < n; k++) row[k] = (float)(row[k] / sum);
}

static void fill_blur(float *m, int n, double sigma)
{
    for (int i = 0; i < n; i++) fv_gaussian_row(m + (size_t)i * (size_t)n, n, i, sigma);
}

static fv_status draw_blur(fv_plan *p, fv_views *v, const fv_options *o, int step)
{
    double sigma = 0;
    if (step >= 0) {
        double done = o->steps > 1 ? fmin((double)step / (o->steps - 1), 1) : 1;
        fv_random4 r = fv_philox((uint64_t)o->seed, 2, (uint32_t)step, 0, FV_STREAM_VIEW);
        sigma = between(o->blur, o->blur_end, done) * (double)fv_uniform(r.v[0]);
    } else if (step == FV_VIEWS_BLURRED) {
        sigma = (double)FV_ROBUSTNESS_BLUR * v->side / 224;
    }
    sigma = sigma * short_side(v) / v->side;
    fill_blur(v->blur_values, v->height, sigma);
    FV_TRY(fv_plan_upload(p, v->blur[0], v->blur_values));
    if (v->width == v->height) return FV_OK;
    fill_blur(v->blur_values, v->width, sigma);
    return fv_plan_upload(p, v->blur[1], v->blur_values);
}

fv_status fv_views_draw(fv_plan *p, fv_views *v, const fv_options *o, int step)
{
    for (int i = 0; i < v->count; i++) draw_view(v, o, i, step);
    if (v->blur_values) FV_TRY(draw_blur(p, v, o, step));
    FV_TRY(fv_plan_upload(p, v->warp, v->warp_values));
    FV_TRY(fv_plan_upload(p, v->numbers, v->numbers_values));
    return fv_plan_upload_i32(p, v->keys, v->key_values);
}
