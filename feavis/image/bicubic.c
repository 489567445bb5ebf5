/* Bicubic resizing as Pillow does it, to the same bytes: what CLIPs have been shown in training.
 *
 * a = -0.5; shrinking widens the kernel, so that every pixel counts; weights are rounded to 22
 * binary digits behind the point. Across first, then down; each way ends in whole numbers from 0 to
 * 255. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/picture.h"

enum { DIGITS = 22, HALF = 1 << (DIGITS - 1) };

/* From n numbers to `count`: place i is the sum of taps[i] numbers from first[i] on. */
typedef struct weights {
    int count, most;   /* taps at most */
    int *first, *taps; /* [count] */
    int32_t *values;   /* [count][most] */
} weights;

static double cubic(double x)
{
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

static void fill_row(weights *w, int i, double scale, int n)
{
    double wide = scale > 1 ? scale : 1, centre = (i + 0.5) * scale, total = 0;
    int low = (int)(centre - 2 * wide + 0.5), high = (int)(centre + 2 * wide + 0.5);
    if (low < 0) low = 0;
    if (high > n) high = n;
    int32_t *row = w->values + (size_t)i * (size_t)w->most;
    w->first[i] = low;
    w->taps[i] = high - low;
    for (int j = low; j < high; j++) total += cubic((j - centre + 0.5) / wide);
    for (int j = low; j < high; j++) {
        double share = cubic((j - centre + 0.5) / wide) / total * (1 << DIGITS);
        row[j - low] = (int32_t)(share + (share >= 0 ? 0.5 : -0.5));
    }
}

static bool make_weights(weights *w, int n, int count)
{
    double scale = (double)n / count;
    w->count = count;
    w->most = 2 * (int)ceil(2 * (scale > 1 ? scale : 1)) + 2;
    w->first = malloc((size_t)count * sizeof *w->first);
    w->taps = malloc((size_t)count * sizeof *w->taps);
    w->values = malloc((size_t)count * (size_t)w->most * sizeof *w->values);
    bool ok = w->first && w->taps && w->values;
    for (int i = 0; ok && i < count; i++) fill_row(w, i, scale, n);
    return ok;
}

static void free_weights(weights *w)
{
    free(w->first);
    free(w->taps);
    free(w->values);
}

static uint8_t whole(int64_t sum)
{
    int64_t v = (sum + HALF) >> DIGITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Place i of a line whose numbers lie `step` apart. */
static uint8_t weigh(const weights *w, int i, const uint8_t *line, size_t step)
{
    const int32_t *row = w->values + (size_t)i * (size_t)w->most;
    const uint8_t *at = line + (size_t)w->first[i] * step;
    int64_t sum = 0;
    for (int k = 0; k < w->taps[i]; k++) sum += (int64_t)row[k] * at[(size_t)k * step];
    return whole(sum);
}

/* To another width; the rows stay. */
static fv_status resize_across(fv_picture *out, const fv_picture *p, int width)
{
    weights w = {0};
    size_t from = (size_t)p->width * 3, to = (size_t)width * 3;
    *out = (fv_picture){width, p->height, malloc(to * (size_t)p->height)};
    bool ok = out->rgb && make_weights(&w, p->width, width);
    for (int y = 0; ok && y < p->height; y++)
        for (int x = 0; x < width; x++)
            for (size_t k = 0; k < 3; k++)
                out->rgb[(size_t)y * to + (size_t)x * 3 + k] =
                    weigh(&w, x, p->rgb + (size_t)y * from + k, 3);
    free_weights(&w);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "resizing a picture: out of memory");
}

/* To another height. */
static fv_status resize_down(fv_picture *out, const fv_picture *p, int height)
{
    weights w = {0};
    size_t line = (size_t)p->width * 3;
    *out = (fv_picture){p->width, height, malloc(line * (size_t)height)};
    bool ok = out->rgb && make_weights(&w, p->height, height);
    for (int y = 0; ok && y < height; y++)
        for (size_t i = 0; i < line; i++)
            out->rgb[(size_t)y * line + i] = weigh(&w, y, p->rgb + i, line);
    free_weights(&w);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "resizing a picture: out of memory");
}

/* The square from (left, top), as floats in [0,1]. */
static void cut_out(const fv_picture *p, int left, int top, int side, float *out)
{
    for (int y = 0; y < side; y++) {
        const uint8_t *row = p->rgb + ((size_t)(top + y) * (size_t)p->width + (size_t)left) * 3;
        for (int i = 0; i < 3 * side; i++) *out++ = (float)row[i] / 255.0f;
    }
}

/* Half of what is too much, halves to the even number. */
static int middle(int n, int side)
{
    int rest = n - side, half = rest / 2;
    return half + (rest % 2 && half % 2);
}

fv_status fv_picture_square(const fv_picture *p, int side, fv_square how, float *out)
{
    int width = side, height = side;
    fv_picture across = {0}, down = {0};
    if (how == FV_SQUARE_BILINEAR) {
        fv_picture_to_tensor(p, side, out);
        return FV_OK;
    }
    if (how == FV_SQUARE_CENTRE && p->width > p->height)
        width = (int)((int64_t)side * p->width / p->height);
    if (how == FV_SQUARE_CENTRE && p->height > p->width)
        height = (int)((int64_t)side * p->height / p->width);
    fv_status s = FV_OK;
    const fv_picture *now = p;
    if (width != p->width && (s = resize_across(&across, p, width)) >= 0) now = &across;
    if (s >= 0 && height != p->height && (s = resize_down(&down, now, height)) >= 0) now = &down;
    if (s >= 0) cut_out(now, middle(width, side), middle(height, side), side, out);
    fv_picture_free(&across);
    fv_picture_free(&down);
    return s;
}
