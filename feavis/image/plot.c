/* Heat maps. See plot.h.
 *
 *          title
 *          column labels, upwards
 *          column thumbnails
 *   row    +--+--+--+            +-+ high
 *   labels |  |  |  |  cells     | |
 *   and    +--+--+--+            | |
 *   thumbs |  |  |  |            +-+ low
 *
 * Cells shrink as there are more of them; what has no room any more (numbers, thumbnails, then
 * labels) is left out. */
#include "feavis/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/image/font.h"
#include "feavis/picture.h"
#include "kernels/number.h"

enum {
    MARGIN = 16,
    LONGEST_LABEL = 380,
    MAX_PIXELS = 16384, /* a side */
    LARGEST_LETTERS = 18,
    LEAST_LETTERS = 8,
    LEAST_THUMBNAIL = 14,
    SCALE_WIDTH = 18,
    TITLE_SIZE = 20,
    THUMBNAIL_CELL = 88,
    PLAIN_CELL = 44
};

typedef struct colour {
    uint8_t r, g, b;
} colour;

static const colour ink = {0x22, 0x22, 0x22}, paper = {0xff, 0xff, 0xff};

typedef struct plot {
    const fv_heat *h;
    fv_fonts *fonts;
    fv_picture p;
    int cell_w, cell_h;        /* pixels */
    int row_size, column_size; /* of letters; 0: no labels */
    int row_thumb, column_thumb;
    int left, top; /* of the cells */
    float low, high;
} plot;

/* The viridis colours of matplotlib at nine places, and straight lines between. */
static colour heat_colour(float t)
{
    static const colour at[9] = {{68, 1, 84},    {71, 45, 123},  {59, 82, 139},
                                 {44, 114, 142}, {33, 145, 140}, {39, 173, 129},
                                 {94, 201, 98},  {170, 220, 50}, {253, 231, 37}};
    if (!(t > 0)) t = 0;
    if (t > 1) t = 1;
    int i = (int)(t * 8);
    if (i > 7) i = 7;
    float u = t * 8 - (float)i;
    colour a = at[i], b = at[i + 1];
    return (colour){(uint8_t)lrintf((float)a.r + u * (float)(b.r - a.r)),
                    (uint8_t)lrintf((float)a.g + u * (float)(b.g - a.g)),
                    (uint8_t)lrintf((float)a.b + u * (float)(b.b - a.b))};
}

static uint8_t *pixel(plot *q, int x, int y)
{
    return q->p.rgb + 3 * ((size_t)y * (size_t)q->p.width + (size_t)x);
}

static void fill(plot *q, int x, int y, int w, int h, colour c)
{
    for (int v = y; v < y + h && v < q->p.height; v++)
        for (int u = x; u < x + w && u < q->p.width; u++) memcpy(pixel(q, u, v), &c, 3);
}

static void blit(plot *q, const fv_picture *from, int x, int y, int side)
{
    x += (side - from->width) / 2;
    y += (side - from->height) / 2;
    for (int v = 0; v < from->height && v < side; v++)
        memcpy(pixel(q, x, y + v), from->rgb + 3 * (size_t)v * (size_t)from->width,
               3 * (size_t)from->width);
}

enum turn { FLAT, UPWARDS };

/* Lays a mask with its top left corner (or bottom left, when it reads upwards) at x, y. */
static void ink_mask(plot *q, const fv_mask *m, int x, int y, enum turn turn, colour c)
{
    for (int v = 0; v < m->height; v++)
        for (int u = 0; u < m->width; u++) {
            int px = turn == UPWARDS ? x + v : x + u, py = turn == UPWARDS ? y - u : y + v;
            unsigned a = m->alpha[(size_t)v * (size_t)m->width + (size_t)u];
            if (!a || px < 0 || py < 0 || px >= q->p.width || py >= q->p.height) continue;
            uint8_t *to = pixel(q, px, py);
            to[0] = (uint8_t)((to[0] * (255 - a) + c.r * a + 127) / 255);
            to[1] = (uint8_t)((to[1] * (255 - a) + c.g * a + 127) / 255);
            to[2] = (uint8_t)((to[2] * (255 - a) + c.b * a + 127) / 255);
        }
}

enum anchor { LEFT, MIDDLE, RIGHT };

/* One line; y is its middle. */
static fv_status write_line(plot *q, const char *text, int size, int x, int y, enum anchor anchor,
                            colour c)
{
    fv_mask m;
    int limit = anchor == LEFT ? q->p.width - x : LONGEST_LABEL;
    FV_TRY(fv_fonts_line(q->fonts, text, size, limit, &m));
    x -= anchor == RIGHT ? m.width : anchor == MIDDLE ? m.width / 2 : 0;
    ink_mask(q, &m, x, y - m.baseline + (size * 2 + 3) / 5, FLAT, c);
    free(m.alpha);
    return FV_OK;
}

/* --- layout --- */

/* The largest side of a cell that lets `count` of them fit. */
static int cell_side(int count, int wanted)
{
    enum { ROOM = 4800 };
    int side = count > 0 ? ROOM / count : wanted;
    return side > wanted ? wanted : side < 1 ? 1 : side;
}

int fv_heat_cell(int columns)
{
    int side = cell_side(columns, THUMBNAIL_CELL);
    return side >= LEAST_THUMBNAIL ? side : 0;
}

static int letter_size(int cell)
{
    int size = cell * 3 / 4;
    return size > LARGEST_LETTERS ? LARGEST_LETTERS : size < LEAST_LETTERS ? 0 : size;
}

static fv_status longest_label(plot *q, char *const *labels, int count, int size, int *out)
{
    *out = 0;
    for (int i = 0; labels && size && i < count; i++) {
        fv_mask m;
        FV_TRY(fv_fonts_line(q->fonts, labels[i], size, LONGEST_LABEL, &m));
        free(m.alpha);
        if (m.width > *out) *out = m.width;
    }
    return FV_OK;
}

static void find_range(plot *q)
{
    const fv_heat *h = q->h;
    size_t count = (size_t)h->rows * (size_t)h->columns;
    q->low = h->low;
    q->high = h->high;
    if (q->low != 0 || q->high != 0) return;
    q->low = q->high = count ? h->values[0] : 0;
    for (size_t i = 0; i < count; i++) {
        if (h->values[i] < q->low) q->low = h->values[i];
        if (h->values[i] > q->high) q->high = h->values[i];
    }
}

static fv_status lay_out(plot *q)
{
    const fv_heat *h = q->h;
    int rows_wide, columns_wide;
    find_range(q);
    q->cell_w = cell_side(h->columns, h->column_pictures ? THUMBNAIL_CELL : PLAIN_CELL);
    q->cell_h = cell_side(h->rows, h->row_pictures ? THUMBNAIL_CELL : PLAIN_CELL);
    q->row_size = h->row_labels ? letter_size(q->cell_h) : 0;
    q->column_size = h->column_labels ? letter_size(q->cell_w) : 0;
    if (h->row_pictures && q->cell_h >= LEAST_THUMBNAIL) q->row_thumb = q->cell_h;
    if (h->column_pictures && q->cell_w >= LEAST_THUMBNAIL) q->column_thumb = q->cell_w;
    FV_TRY(longest_label(q, h->row_labels, h->rows, q->row_size, &rows_wide));
    FV_TRY(longest_label(q, h->column_labels, h->columns, q->column_size, &columns_wide));
    int titles = h->title ? 2 * TITLE_SIZE : 0, axes = h->row_axis || h->column_axis ? 28 : 0;
    q->left = MARGIN + rows_wide + 8 + (q->row_thumb ? q->row_thumb + 4 : 0);
    q->top =
        MARGIN + titles + axes + columns_wide + 8 + (q->column_thumb ? q->column_thumb + 4 : 0);
    int64_t width = q->left + (int64_t)h->columns * q->cell_w + MARGIN + SCALE_WIDTH + 72;
    int64_t height = q->top + (int64_t)h->rows * q->cell_h + MARGIN;
    if (height < q->top + 160 + MARGIN) height = q->top + 160 + MARGIN; /* room for the scale */
    if (width < 480) width = 480;
    if (width > MAX_PIXELS || height > MAX_PIXELS)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "a heat map of %d x %d cells is too large to draw (at most about %d a side)",
                       h->rows, h->columns, MAX_PIXELS - 1000);
    q->p = (fv_picture){(int)width, (int)height, malloc((size_t)width * (size_t)height * 3)};
    if (!q->p.rgb) return fv_fail(FV_ERR_MEMORY, "drawing a heat map: out of memory");
    fill(q, 0, 0, q->p.width, q->p.height, paper);
    return FV_OK;
}

/* --- parts --- */

/* "%.*f", without the sign of a zero. */
static void print_value(char *out, size_t size, int decimals, float value)
{
    fv_print(out, size, "%.*f", decimals, (double)value);
    if (out[0] == '-' && strspn(out + 1, "0.") == strlen(out + 1))
        memmove(out, out + 1, strlen(out));
}

static fv_status draw_number(plot *q, float value, int x, int y, colour behind)
{
    char text[32];
    int size = (q->cell_w < q->cell_h ? q->cell_w : q->cell_h) / 3;
    if (size > 15) size = 15;
    if (size < LEAST_LETTERS || q->h->decimals < 0) return FV_OK;
    print_value(text, sizeof text, q->h->decimals, value);
    bool dark = 2 * behind.r + 5 * behind.g + behind.b < 8 * 120;
    return write_line(q, text, size, x + q->cell_w / 2, y + q->cell_h / 2, MIDDLE,
                      dark ? paper : ink);
}

static fv_status draw_cells(plot *q)
{
    const fv_heat *h = q->h;
    float range = q->high > q->low ? q->high - q->low : 1;
    int gap = q->cell_w >= 12 && q->cell_h >= 12;
    for (int r = 0; r < h->rows; r++)
        for (int c = 0; c < h->columns; c++) {
            float value = h->values[(size_t)r * (size_t)h->columns + (size_t)c];
            colour behind = heat_colour((value - q->low) / range);
            int x = q->left + c * q->cell_w, y = q->top + r * q->cell_h;
            fill(q, x, y, q->cell_w - gap, q->cell_h - gap, behind);
            if (h->decimals > 0 || value != 0) FV_TRY(draw_number(q, value, x, y, behind));
        }
    return FV_OK;
}

static fv_status draw_rows(plot *q)
{
    const fv_heat *h = q->h;
    for (int r = 0; r < h->rows; r++) {
        int y = q->top + r * q->cell_h, x = q->left - 8;
        if (q->row_thumb) {
            x -= q->row_thumb + 4;
            blit(q, &h->row_pictures[r], x + 8, y, q->row_thumb);
        }
        if (q->row_size)
            FV_TRY(write_line(q, h->row_labels[r], q->row_size, x, y + q->cell_h / 2, RIGHT, ink));
    }
    return FV_OK;
}

static fv_status draw_columns(plot *q)
{
    const fv_heat *h = q->h;
    for (int c = 0; c < h->columns; c++) {
        int x = q->left + c * q->cell_w, y = q->top - 8;
        if (q->column_thumb) {
            y -= q->column_thumb + 4;
            blit(q, &h->column_pictures[c], x, y + 8, q->column_thumb);
        }
        if (!q->column_size) continue;
        fv_mask m;
        FV_TRY(fv_fonts_line(q->fonts, h->column_labels[c], q->column_size, LONGEST_LABEL, &m));
        int middle = x + q->cell_w / 2 - m.baseline + (q->column_size * 2 + 3) / 5;
        ink_mask(q, &m, middle, y, UPWARDS, ink);
        free(m.alpha);
    }
    return FV_OK;
}

static fv_status draw_scale(plot *q)
{
    enum { HEIGHT = 160, LETTERS = 13 };
    int x = q->left + q->h->columns * q->cell_w + MARGIN, y = q->top;
    for (int i = 0; i < HEIGHT; i++)
        fill(q, x, y + i, SCALE_WIDTH, 1, heat_colour(1 - (float)i / (HEIGHT - 1)));
    for (int i = 0; i < 3; i++) {
        char text[32];
        float value = q->high + (q->low - q->high) * (float)i / 2;
        print_value(text, sizeof text, q->h->decimals >= 0 ? q->h->decimals : 2, value);
        FV_TRY(
            write_line(q, text, LETTERS, x + SCALE_WIDTH + 6, y + i * (HEIGHT - 1) / 2, LEFT, ink));
    }
    return FV_OK;
}

static fv_status draw_titles(plot *q)
{
    const fv_heat *h = q->h;
    int y = MARGIN + TITLE_SIZE / 2;
    if (h->title) {
        FV_TRY(write_line(q, h->title, TITLE_SIZE, MARGIN, y, LEFT, ink));
        y += 2 * TITLE_SIZE - 4;
    }
    char axes[256];
    if (!h->row_axis && !h->column_axis) return FV_OK;
    snprintf(axes, sizeof axes, "rows: %s, columns: %s", h->row_axis ? h->row_axis : "",
             h->column_axis ? h->column_axis : "");
    return write_line(q, axes, 14, MARGIN, y, LEFT, (colour){0x66, 0x66, 0x66});
}

fv_status fv_heat_map(fv_picture *out, const fv_heat *h, int *missing)
{
    plot q = {.h = h};
    FV_TRY(fv_fonts_open(&q.fonts));
    fv_status s = lay_out(&q);
    int measured = fv_fonts_missing(q.fonts); /* counted again when they are drawn */
    if (s >= 0) s = draw_cells(&q);
    if (s >= 0) s = draw_rows(&q);
    if (s >= 0) s = draw_columns(&q);
    if (s >= 0) s = draw_scale(&q);
    if (s >= 0) s = draw_titles(&q);
    if (missing) *missing = fv_fonts_missing(q.fonts) - measured;
    fv_fonts_close(q.fonts);
    if (s < 0)
        fv_picture_free(&q.p);
    else
        *out = q.p;
    return s;
}

/* --- thumbnails --- */

fv_status fv_picture_thumbnail(fv_picture *out, const fv_picture *from, int side)
{
    int longest = from->width > from->height ? from->width : from->height;
    int w = longest > side ? (int)((int64_t)from->width * side / longest) : from->width;
    int h = longest > side ? (int)((int64_t)from->height * side / longest) : from->height;
    if (w < 1) w = 1;
    if (h < 1) h = 1;
    fv_picture p = {w, h, malloc((size_t)w * (size_t)h * 3)};
    if (!p.rgb) return fv_fail(FV_ERR_MEMORY, "making a thumbnail: out of memory");
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int x0 = (int)((int64_t)x * from->width / w), y0 = (int)((int64_t)y * from->height / h);
            int x1 = (int)(((int64_t)x + 1) * from->width / w);
            int y1 = (int)(((int64_t)y + 1) * from->height / h);
            uint64_t sum[3] = {0, 0, 0}, count = (uint64_t)(x1 - x0) * (uint64_t)(y1 - y0);
            for (int v = y0; v < y1; v++)
                for (int u = x0; u < x1; u++)
                    for (int k = 0; k < 3; k++)
                        sum[k] += from->rgb[3 * ((size_t)v * (size_t)from->width + (size_t)u) +
                                            (size_t)k];
            for (int k = 0; k < 3; k++)
                p.rgb[3 * ((size_t)y * (size_t)w + (size_t)x) + (size_t)k] =
                    (uint8_t)((sum[k] + count / 2) / count);
        }
    *out = p;
    return FV_OK;
}
