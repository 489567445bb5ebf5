/* Pictures on paper: a poem as one hand scroll, read from the right, its lines set beside the
 * panels; and a contact sheet. See feavis.h.
 *
 *     +---------------------------------------------+
 *     |  seal   [ panel 2 ] l   [ panel 1 ] l       |
 *     |                     i               i       |     l i n e: from top to bottom if it is
 *     |                     n               n       |     Chinese, under the panel if not
 *     +---------------------------------------------+ */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/image/draw.h"
#include "feavis/picture.h"
#include "feavis/plot.h"
#include "feavis/sheet.h"

enum { PAPER_LIMIT = 16384, STACK_MARGIN = 24 };

/* Centred on x; size: pixels of a letter. */
static fv_status print_line(fv_picture *to, fv_fonts *fonts, const char *text, int size, int limit,
                            int x, int y, fv_colour colour)
{
    return fv_draw_text(to, fonts, text, size, limit, x, y, FV_CENTRE, colour);
}

static int letters(const char *text)
{
    int count = 0;
    for (size_t n; (n = fv_letter_bytes(text)); text += n) count++;
    return count;
}

static fv_status print_column(fv_picture *to, fv_fonts *fonts, const char *text, int size, int x,
                              int y)
{
    return fv_draw_column(to, fonts, text, size, size * 5 / 4, x, y, fv_ink);
}

/* --- the scroll --- */

static fv_status lay_scroll(fv_picture *sheet, fv_fonts *fonts, const fv_picture *panels,
                            const char *const *lines, int count, int side)
{
    int margin = side / 4, column = side / 5, gap = side / 8;
    int x = sheet->width - margin;
    for (int i = 0; i < count; i++) {
        fv_picture p;
        x -= column + side;
        FV_TRY(fv_picture_thumbnail(&p, &panels[i], side));
        fv_draw_fill(sheet, x - 3, margin - 3, p.width + 6, p.height + 6, fv_edge);
        fv_draw_picture(sheet, &p, x, margin);
        fv_picture_free(&p);
        if (fv_stands(lines[i])) {
            int size = side / 11, fits = side * 4 / (5 * letters(lines[i]));
            if (size > fits) size = fits < 8 ? 8 : fits;
            FV_TRY(print_column(sheet, fonts, lines[i], size, x + side + column / 2, margin));
        } else {
            FV_TRY(print_line(sheet, fonts, lines[i], side / 16, side, x + side / 2,
                              margin + side + side / 16, fv_ink));
        }
        x -= gap;
    }
    int size = side / 7; /* the seal, at the end of the roll */
    fv_draw_fill(sheet, x - size, margin + side - size, size, size, fv_seal);
    return print_line(sheet, fonts, "想", size * 7 / 10, 2 * size, x - size / 2,
                      margin + side - size + size / 10, fv_paper);
}

fv_status fv_scroll_make(fv_picture *out, const fv_picture *panels, const char *const *lines,
                         int count)
{
    enum { LEAST = 160 };
    fv_fonts *fonts;
    fv_picture sheet;
    if (count < 1) return fv_fail(FV_ERR_ARGUMENT, "a scroll needs a panel");
    int side = panels[0].width;
    if (side < LEAST) side = LEAST;
    int width = 2 * (side / 4) + count * (side + side / 5 + side / 8) + side / 7;
    FV_TRY(fv_draw_new(&sheet, width, side + 2 * (side / 4), fv_paper));
    fv_status s = fv_fonts_open(&fonts);
    if (s >= 0) {
        s = lay_scroll(&sheet, fonts, panels, lines, count, panels[0].width);
        fv_fonts_close(fonts);
    }
    if (s < 0)
        fv_picture_free(&sheet);
    else
        *out = sheet;
    return s;
}

/* --- the contact sheet --- */

fv_status fv_sheet_make(fv_picture *out, const fv_picture *pictures, const char *const *captions,
                        int count, int columns, int cell)
{
    fv_fonts *fonts;
    fv_picture sheet;
    if (count < 1 || columns < 1 || cell < 16)
        return fv_fail(FV_ERR_ARGUMENT, "a contact sheet of %d pictures in %d columns", count,
                       columns);
    if (columns > count) columns = count;
    int gap = cell / 8, below = cell / 6, rows = (count + columns - 1) / columns;
    FV_TRY(fv_draw_new(&sheet, gap + columns * (cell + gap), gap + rows * (cell + below + gap),
                       fv_paper));
    fv_status s = fv_fonts_open(&fonts);
    if (s < 0) {
        fv_picture_free(&sheet);
        return s;
    }
    for (int i = 0; s >= 0 && i < count; i++) {
        int x = gap + i % columns * (cell + gap), y = gap + i / columns * (cell + below + gap);
        fv_picture p;
        s = fv_picture_thumbnail(&p, &pictures[i], cell);
        if (s < 0) break;
        fv_draw_picture(&sheet, &p, x + (cell - p.width) / 2, y + (cell - p.height) / 2);
        fv_picture_free(&p);
        s = print_line(&sheet, fonts, captions[i], cell / 12, cell, x + cell / 2,
                       y + cell + cell / 30, fv_ink);
    }
    fv_fonts_close(fonts);
    if (s < 0)
        fv_picture_free(&sheet);
    else
        *out = sheet;
    return s;
}

fv_status fv_sheet_stack(fv_picture *out, const fv_picture *pictures, int count)
{
    int width = 0, height = 0, y = 0;
    fv_picture sheet;
    for (int i = 0; i < count; i++) {
        if (pictures[i].width > width) width = pictures[i].width;
        if (height <= PAPER_LIMIT) height += pictures[i].height;
    }
    FV_TRY(fv_draw_new(&sheet, width, height + STACK_MARGIN, fv_paper));
    for (int i = 0; i < count; y += pictures[i++].height)
        fv_draw_picture(&sheet, &pictures[i], (width - pictures[i].width) / 2, y);
    *out = sheet;
    return FV_OK;
}
