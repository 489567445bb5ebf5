/* In what two pictures differ. See feavis/two.h.
 *
 *     A, its title      B, its title      difference
 *     +-----------+     +-----------+     +-----------+
 *     |           |     |           |     |           |
 *     +-----------+     +-----------+     +-----------+
 *     cosine with         model 1: A  B     model 2: A  B
 *       text A                  0.6  0.1
 *       text B                  0.2  0.5 */
#include "feavis/two.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/image/draw.h"

enum { SIDE = 320, GAP = 24, HEAD = 52, LINE = 28, FULL = 192 };

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

fv_status fv_two_measure(fv_two *out, fv_critic *c, fv_model *m, const fv_picture pictures[2],
                         const char *const texts[2])
{
    int dim = fv_model_dim(m);
    fv_two t = {.likeness = NAN};
    float *seen = malloc(3 * (size_t)dim * sizeof *seen), *text = seen ? seen + 2 * dim : NULL;
    fv_status s = seen ? FV_OK : fv_fail(FV_ERR_MEMORY, "comparing two pictures: out of memory");
    snprintf(t.model, sizeof t.model, "%s", fv_model_title(m));
    for (int i = 0; s >= 0 && i < 2; i++) s = fv_critic_embed(c, &pictures[i], seen + i * dim);
    for (int k = 0; s >= 0 && k < 2; k++) {
        t.cosines[0][k] = t.cosines[1][k] = NAN;
        if (!*texts[k]) continue;
        s = fv_model_embed_text(m, texts[k], text, NULL);
        for (int i = 0; s >= 0 && i < 2; i++)
            t.cosines[i][k] = (float)dot(seen + i * dim, text, dim);
    }
    if (s >= 0) t.likeness = (float)dot(seen, seen + dim, dim);
    free(seen);
    if (s >= 0) *out = t;
    return s;
}

/* --- pixels --- */

/* The second picture at the first's size; caller frees. */
static fv_status fit(fv_picture *out, const fv_picture pictures[2])
{
    int w = pictures[0].width, h = pictures[0].height;
    size_t n = (size_t)w * (size_t)h * 3;
    fv_picture p = {w, h, malloc(n)};
    float *smooth = malloc(n * sizeof *smooth);
    bool fine = p.rgb && smooth;
    if (fine) {
        fv_picture_resize(&pictures[1], w, h, smooth);
        for (size_t i = 0; i < n; i++) p.rgb[i] = (uint8_t)(smooth[i] * 255 + 0.5f);
        *out = p;
    } else {
        fv_picture_free(&p);
    }
    free(smooth);
    return fine ? FV_OK : fv_fail(FV_ERR_MEMORY, "comparing two pictures: out of memory");
}

double fv_two_pixels(const fv_picture pictures[2])
{
    fv_picture other;
    if (fit(&other, pictures) < 0) return NAN;
    size_t n = (size_t)other.width * (size_t)other.height * 3;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += abs(pictures[0].rgb[i] - other.rgb[i]);
    fv_picture_free(&other);
    return n ? sum / (double)n : 0;
}

/* sum: of three colours. */
static void colour_of(int sum, uint8_t *rgb)
{
    static const double stops[4][3] = {{0, 0, 0}, {120, 24, 20}, {224, 120, 60}, {255, 250, 240}};
    double at = fmin(sum / (3.0 * FULL), 1) * 3;
    int k = at >= 3 ? 2 : (int)at;
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(stops[k][c] + (stops[k + 1][c] - stops[k][c]) * (at - k) + 0.5);
}

fv_status fv_two_difference(fv_picture *out, const fv_picture pictures[2])
{
    fv_picture p;
    FV_TRY(fit(&p, pictures));
    for (size_t i = 0; i < (size_t)p.width * (size_t)p.height; i++) {
        const uint8_t *a = pictures[0].rgb + 3 * i;
        uint8_t *b = p.rgb + 3 * i;
        colour_of(abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]), b);
    }
    *out = p;
    return FV_OK;
}

/* --- the sheet --- */

typedef struct sheet {
    fv_picture to;
    fv_fonts *fonts;
    const fv_picture *pictures;
    const char *const *titles, *const *texts;
    const fv_two *seen;
    int count;
} sheet;

static int column(int i)
{
    return GAP + i * (SIDE + GAP);
}

static fv_status write_line(sheet *s, const char *text, int size, int limit, int x, int y,
                            fv_align align, fv_colour colour)
{
    return fv_draw_text(&s->to, s->fonts, text, size, limit, x, y, align, colour);
}

static fv_status draw_pictures(sheet *s)
{
    fv_picture difference;
    FV_TRY(fv_two_difference(&difference, s->pictures));
    fv_status status = fv_draw_enlarged(&s->to, &difference, column(2), HEAD, SIDE);
    fv_picture_free(&difference);
    for (int i = 0; status >= 0 && i < 2; i++) {
        status = fv_draw_enlarged(&s->to, &s->pictures[i], column(i), HEAD, SIDE);
        if (status >= 0)
            status = write_line(s, i ? "B" : "A", 20, SIDE, column(i), 17, FV_LEFT, fv_seal);
        if (status >= 0)
            status =
                write_line(s, s->titles[i], 20, SIDE - 28, column(i) + 26, 17, FV_LEFT, fv_ink);
    }
    return status;
}

static fv_status number(sheet *s, const char *format, double value, int x, int y)
{
    char text[32];
    if (isnan(value)) return FV_OK;
    snprintf(text, sizeof text, format, value);
    return write_line(s, text, 17, SIDE, x, y, FV_RIGHT, fv_ink);
}

/* What one model says of both, from y on. */
static fv_status draw_seen(sheet *s, const fv_two *t, int y)
{
    int right[2] = {column(0) + SIDE, column(1) + SIDE};
    char line[160];
    FV_TRY(write_line(s, t->model, 15, SIDE, column(0), y, FV_LEFT, fv_pale));
    FV_TRY(write_line(s, "embedding difference", 15, SIDE, column(2), y, FV_LEFT, fv_pale));
    FV_TRY(number(s, "%.3f", 1 - (double)t->likeness, column(2) + SIDE, y));
    bool same = strcmp(s->texts[0], s->texts[1]) == 0;
    for (int k = 0, row = 1; k < (same ? 1 : 2); k++, row++) {
        if (!*s->texts[k]) continue;
        snprintf(line, sizeof line, "cosine with %s", s->texts[k]);
        for (int i = 0; i < 2; i++) {
            FV_TRY(write_line(s, line, 15, SIDE - 70, column(i), y + row * LINE, FV_LEFT, fv_ink));
            FV_TRY(number(s, "%.3f", (double)t->cosines[i][k], right[i], y + row * LINE));
        }
    }
    return FV_OK;
}

static fv_status lay(sheet *s)
{
    FV_TRY(draw_pictures(s));
    FV_TRY(write_line(s, "|A − B|", 20, SIDE, column(2), 17, FV_LEFT, fv_pale));
    FV_TRY(number(s, "%.1f of 255", fv_two_pixels(s->pictures), column(2) + SIDE, 19));
    for (int i = 0; i < s->count; i++)
        FV_TRY(draw_seen(s, &s->seen[i], HEAD + SIDE + 16 + 3 * LINE * i));
    return FV_OK;
}

fv_status fv_two_sheet(fv_picture *out, const fv_picture pictures[2], const char *const titles[2],
                       const char *const texts[2], const fv_two *seen, int count)
{
    sheet s = {
        .pictures = pictures, .titles = titles, .texts = texts, .seen = seen, .count = count};
    int height = HEAD + SIDE + 16 + 3 * LINE * count + GAP / 2;
    FV_TRY(fv_draw_new(&s.to, 4 * GAP + 3 * SIDE, height, (fv_colour){250, 248, 244}));
    fv_status status = fv_fonts_open(&s.fonts);
    if (status >= 0) {
        status = lay(&s);
        fv_fonts_close(s.fonts);
    }
    if (status < 0)
        fv_picture_free(&s.to);
    else
        *out = s.to;
    return status;
}
