/* Drawing on pictures. See draw.h. */
#include "feavis/image/draw.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/plot.h"

enum { LIMIT = 16384 };

fv_status fv_draw_new(fv_picture *out, int width, int height, fv_colour colour)
{
    if (width < 1 || height < 1 || width > LIMIT || height > LIMIT)
        return fv_fail(FV_ERR_UNSUPPORTED, "a sheet of %d x %d pixels is over the limit of %d",
                       width, height, LIMIT);
    fv_picture p = {width, height, malloc((size_t)width * (size_t)height * 3)};
    if (!p.rgb) return fv_fail(FV_ERR_MEMORY, "making a sheet: out of memory");
    fv_draw_fill(&p, 0, 0, width, height, colour);
    *out = p;
    return FV_OK;
}

static uint8_t *at(fv_picture *to, int x, int y)
{
    return to->rgb + ((size_t)y * (size_t)to->width + (size_t)x) * 3;
}

void fv_draw_fill(fv_picture *to, int x, int y, int w, int h, fv_colour colour)
{
    for (int j = y < 0 ? 0 : y; j < y + h && j < to->height; j++)
        for (int i = x < 0 ? 0 : x; i < x + w && i < to->width; i++)
            memcpy(at(to, i, j), &colour, 3);
}

void fv_draw_picture(fv_picture *to, const fv_picture *from, int x, int y)
{
    for (int j = 0; j < from->height; j++)
        for (int i = 0; i < from->width; i++)
            if (x + i >= 0 && y + j >= 0 && x + i < to->width && y + j < to->height)
                memcpy(at(to, x + i, y + j),
                       from->rgb + ((size_t)j * (size_t)from->width + (size_t)i) * 3, 3);
}

fv_status fv_draw_fitted(fv_picture *to, const fv_picture *from, int x, int y, int side)
{
    fv_picture p;
    FV_TRY(fv_picture_thumbnail(&p, from, side));
    fv_draw_picture(to, &p, x + (side - p.width) / 2, y + (side - p.height) / 2);
    fv_picture_free(&p);
    return FV_OK;
}

fv_status fv_draw_enlarged(fv_picture *to, const fv_picture *from, int x, int y, int side)
{
    int longest = from->width > from->height ? from->width : from->height;
    fv_picture large = {from->width * side / longest, from->height * side / longest, NULL};
    if (large.width < 1 || large.height < 1 || longest >= side)
        return fv_draw_fitted(to, from, x, y, side);
    size_t n = (size_t)large.width * (size_t)large.height * 3;
    float *values = malloc(n * sizeof *values);
    large.rgb = malloc(n);
    if (values && large.rgb) {
        fv_picture_resize(from, large.width, large.height, values);
        for (size_t i = 0; i < n; i++) large.rgb[i] = (uint8_t)(values[i] * 255 + 0.5f);
        fv_draw_picture(to, &large, x + (side - large.width) / 2, y + (side - large.height) / 2);
    }
    bool ok = values && large.rgb;
    free(values);
    fv_picture_free(&large);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "drawing a picture: out of memory");
}

void fv_draw_point(fv_picture *to, int x, int y, fv_colour colour, double share)
{
    if (x < 0 || y < 0 || x >= to->width || y >= to->height || !(share > 0)) return;
    uint8_t *p = at(to, x, y);
    double a = share > 1 ? 1 : share;
    p[0] = (uint8_t)(p[0] + (colour.r - p[0]) * a);
    p[1] = (uint8_t)(p[1] + (colour.g - p[1]) * a);
    p[2] = (uint8_t)(p[2] + (colour.b - p[2]) * a);
}

void fv_draw_line(fv_picture *to, double x0, double y0, double x1, double y1, fv_colour colour)
{
    double length = hypot(x1 - x0, y1 - y0);
    int steps = (int)(length * 2) + 1;
    for (int i = 0; i <= steps; i++) {
        double x = x0 + (x1 - x0) * i / steps, y = y0 + (y1 - y0) * i / steps;
        for (int k = 0; k < 4; k++)
            fv_draw_point(to, (int)floor(x) + k % 2, (int)floor(y) + k / 2, colour, 0.6);
    }
}

/* colour where a is 255, what is there where it is 0. */
static void print(uint8_t *p, fv_colour colour, int a)
{
    p[0] = (uint8_t)((p[0] * (255 - a) + colour.r * a) / 255);
    p[1] = (uint8_t)((p[1] * (255 - a) + colour.g * a) / 255);
    p[2] = (uint8_t)((p[2] * (255 - a) + colour.b * a) / 255);
}

fv_status fv_draw_text(fv_picture *to, fv_fonts *fonts, const char *text, int size, int limit,
                       int x, int y, fv_align align, fv_colour colour)
{
    fv_mask m;
    FV_TRY(fv_fonts_line(fonts, text, size, limit, &m));
    int left = align == FV_LEFT ? x : align == FV_CENTRE ? x - m.width / 2 : x - m.width;
    for (int j = 0; m.alpha && j < m.height; j++)
        for (int i = 0; i < m.width; i++)
            if (left + i >= 0 && y + j >= 0 && left + i < to->width && y + j < to->height)
                print(at(to, left + i, y + j), colour, m.alpha[j * m.width + i]);
    free(m.alpha);
    return FV_OK;
}

size_t fv_letter_bytes(const char *text)
{
    size_t n = *text ? 1 : 0;
    while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n++;
    return n;
}

bool fv_stands(const char *text)
{
    int wide = 0, narrow = 0;
    for (size_t n; (n = fv_letter_bytes(text)); text += n) n >= 3 ? wide++ : narrow++;
    return wide > narrow;
}

fv_status fv_draw_column(fv_picture *to, fv_fonts *fonts, const char *text, int size, int pitch,
                         int x, int y, fv_colour colour)
{
    char letter[8];
    for (size_t n; (n = fv_letter_bytes(text)); text += n, y += pitch) {
        if (n >= sizeof letter) continue;
        memcpy(letter, text, n);
        letter[n] = 0;
        FV_TRY(fv_draw_text(to, fonts, letter, size, 4 * size, x, y, FV_CENTRE, colour));
    }
    return FV_OK;
}
