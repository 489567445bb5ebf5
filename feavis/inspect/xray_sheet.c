/* The sheet of an X-ray. See feavis/xray.h.
 *
 *     text, cosine
 *     +--------+ +--------+
 *     |picture | |in the  |     then a tile a word: the picture where the word pulls, the word in
 *     |        | |colours |     its colour, its worth as a number and a bar
 *     +--------+ +--------+ */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "feavis/image/draw.h"
#include "feavis/xray.h"

enum { SIDE = 384, GAP = 24, COLUMNS = 6, TILE = 116, TILE_GAP = 19, UNDER = 62, HEAD = 64 };
static const fv_colour ground = {250, 248, 244};

/* Colours that stay apart on grey: hues of equal steps, as far as there are words. */
static fv_colour word_colour(int k, int count)
{
    double h = 6.0 * k / (count < 3 ? 3 : count), f = h - floor(h);
    double up = 60 + 150 * f, down = 210 - 150 * f;
    const double rgb[6][3] = {{210, up, 60},   {down, 200, 60}, {60, 190, up},
                              {60, down, 220}, {up, 80, 220},   {210, 60, down}};
    const double *c = rgb[(int)h % 6];
    return (fv_colour){(uint8_t)c[0], (uint8_t)c[1], (uint8_t)c[2]};
}

static double grey(const fv_picture *p, int x, int y)
{
    const uint8_t *c = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
    return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
}

/* Place (x, y) of w x h in a map of side x side. */
static float map_at(const float *map, int side, int x, int y, int w, int h)
{
    return map[(size_t)(y * side / h) * (size_t)side + (size_t)(x * side / w)];
}

/* The picture in grey, each place in the colour of the words that pull there most. */
static fv_status paint(fv_picture *out, const fv_xray *x, const fv_picture *p)
{
    size_t n = (size_t)x->side * (size_t)x->side;
    double even = 1.0 / x->count;
    FV_TRY(fv_draw_new(out, p->width, p->height, ground));
    for (int j = 0; j < p->height; j++)
        for (int i = 0; i < p->width; i++) {
            uint8_t light = (uint8_t)(40 + grey(p, i, j) * 0.75);
            fv_draw_point(out, i, j, (fv_colour){light, light, light}, 1);
            for (int k = 0; k < x->count; k++) {
                const float *share = x->shares + (size_t)k * n, *pull = x->pulls + (size_t)k * n;
                double s = (double)map_at(share, x->side, i, j, p->width, p->height);
                double f = (double)map_at(pull, x->side, i, j, p->width, p->height);
                double more = x->count == 1 ? 0.4 : (s - even) / (1 - even);
                fv_draw_point(out, i, j, word_colour(k, x->count),
                              1.3 * fmax(more, 0) * sqrt(fmin(f, 2) / 2));
            }
        }
    return FV_OK;
}

/* The picture where the word pulls, dark elsewhere. */
static fv_status light_up(fv_picture *out, const fv_xray *x, const fv_picture *p, int k)
{
    const float *pull = x->pulls + (size_t)k * (size_t)x->side * (size_t)x->side;
    float high = 0;
    for (int i = 0; i < x->side * x->side; i++) high = fmaxf(high, pull[i]);
    FV_TRY(fv_draw_new(out, p->width, p->height, (fv_colour){24, 24, 26}));
    for (int j = 0; j < p->height; j++)
        for (int i = 0; i < p->width; i++) {
            const uint8_t *c = p->rgb + ((size_t)j * (size_t)p->width + (size_t)i) * 3;
            double f = sqrt((double)(map_at(pull, x->side, i, j, p->width, p->height) / high));
            fv_draw_point(out, i, j, (fv_colour){c[0], c[1], c[2]}, 0.12 + 0.88 * f);
        }
    return FV_OK;
}

static fv_status draw_word(fv_picture *to, fv_fonts *fonts, const fv_xray *x, const fv_picture *p,
                           int k, float most)
{
    fv_picture lit;
    char number[32];
    fv_colour colour = word_colour(k, x->count);
    int left = GAP + k % COLUMNS * (TILE + TILE_GAP);
    int top = HEAD + SIDE + GAP + k / COLUMNS * (TILE + UNDER);
    FV_TRY(light_up(&lit, x, p, k));
    fv_status s = fv_draw_fitted(to, &lit, left, top, TILE);
    fv_picture_free(&lit);
    FV_TRY(s);
    snprintf(number, sizeof number, "%+.3f", (double)x->words[k].worth);
    FV_TRY(fv_draw_text(to, fonts, x->words[k].text, 17, TILE - 48, left, top + TILE + 5, FV_LEFT,
                        colour));
    FV_TRY(
        fv_draw_text(to, fonts, number, 15, TILE, left + TILE, top + TILE + 8, FV_RIGHT, fv_ink));
    int bar = (int)(fabsf(x->words[k].worth) / most * TILE);
    fv_draw_fill(to, left, top + TILE + 32, TILE, 6, fv_edge);
    fv_draw_fill(to, left, top + TILE + 32, bar, 6, x->words[k].worth < 0 ? fv_pale : colour);
    return FV_OK;
}

static fv_status lay(fv_picture *to, fv_fonts *fonts, const fv_xray *x, const fv_picture *p,
                     const char *text)
{
    char line[64];
    float most = 1e-6f;
    fv_picture painted;
    FV_TRY(fv_draw_text(to, fonts, text, 26, to->width - 2 * GAP - 150, GAP, 20, FV_LEFT, fv_ink));
    snprintf(line, sizeof line, "cos %.3f", (double)x->cosine);
    FV_TRY(fv_draw_text(to, fonts, line, 18, 150, to->width - GAP, 26, FV_RIGHT, fv_pale));
    FV_TRY(fv_draw_enlarged(to, p, GAP, HEAD, SIDE));
    FV_TRY(paint(&painted, x, p));
    fv_status s = fv_draw_enlarged(to, &painted, 2 * GAP + SIDE, HEAD, SIDE);
    fv_picture_free(&painted);
    for (int k = 0; k < x->count; k++) most = fmaxf(most, fabsf(x->words[k].worth));
    for (int k = 0; s >= 0 && k < x->count; k++) s = draw_word(to, fonts, x, p, k, most);
    return s;
}

fv_status fv_xray_sheet(fv_picture *out, const fv_xray *x, const fv_picture *p, const char *text)
{
    fv_fonts *fonts;
    fv_picture sheet;
    int rows = (x->count + COLUMNS - 1) / COLUMNS;
    FV_TRY(
        fv_draw_new(&sheet, 3 * GAP + 2 * SIDE, HEAD + SIDE + GAP + rows * (TILE + UNDER), ground));
    fv_status s = fv_fonts_open(&fonts);
    if (s >= 0) {
        s = lay(&sheet, fonts, x, p, text);
        fv_fonts_close(fonts);
    }
    if (s < 0)
        fv_picture_free(&sheet);
    else
        *out = sheet;
    return s;
}
