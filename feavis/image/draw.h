/* Drawing on pictures: what sheets, scrolls and pages are made of. Everything is cut at the
 * picture's edges. */
#ifndef FV_DRAW_H
#define FV_DRAW_H

#include <stdbool.h>
#include <stddef.h>

#include "feavis/image/font.h"
#include "feavis/picture.h"

typedef struct fv_colour {
    uint8_t r, g, b;
} fv_colour;

static const fv_colour fv_paper = {246, 240, 228}, fv_ink = {44, 42, 40}, fv_seal = {178, 52, 36},
                       fv_edge = {214, 204, 186}, fv_pale = {132, 124, 112};

/* A picture of one colour, at most 16384 pixels a side; caller frees. */
fv_status fv_draw_new(fv_picture *out, int width, int height, fv_colour colour);
void fv_draw_fill(fv_picture *to, int x, int y, int w, int h, fv_colour colour);
/* Its upper left corner at x, y. */
void fv_draw_picture(fv_picture *to, const fv_picture *from, int x, int y);
/* Fitted into side x side pixels there, in the middle. */
fv_status fv_draw_fitted(fv_picture *to, const fv_picture *from, int x, int y, int side);
/* The same, but grown to that side where it is smaller. */
fv_status fv_draw_enlarged(fv_picture *to, const fv_picture *from, int x, int y, int side);
/* share: how much of the colour, 0 to 1. */
void fv_draw_point(fv_picture *to, int x, int y, fv_colour colour, double share);
/* A line of about two pixels. */
void fv_draw_line(fv_picture *to, double x0, double y0, double x1, double y1, fv_colour colour);

typedef enum fv_align { FV_LEFT, FV_CENTRE, FV_RIGHT } fv_align;
/* One line in letters of `size` pixels, cut at `limit` pixels; y is its top. */
fv_status fv_draw_text(fv_picture *to, fv_fonts *fonts, const char *text, int size, int limit,
                       int x, int y, fv_align align, fv_colour colour);

/* Bytes of the first letter of UTF-8; 0 at the end. */
size_t fv_letter_bytes(const char *text);
/* Chinese is set from top to bottom: most letters have three bytes or more. */
bool fv_stands(const char *text);
/* Letter under letter, each `pitch` pixels below the last; their middle at x. */
fv_status fv_draw_column(fv_picture *to, fv_fonts *fonts, const char *text, int size, int pitch,
                         int x, int y, fv_colour colour);

#endif
