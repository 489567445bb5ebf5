/* A painted hand scroll. See fv_handscroll in sheet.h.
 *
 *     +--------------------------------------------------+  silk
 *     | +----------------------------------------------+ |
 *     | |            .        .  g e             .     | |  paper: panels fade into it at a ragged
 *     | | seal  (  panel 2  ) l  (  panel 1  )  l  title | |  edge; a line's phrases are columns on
 *     | |            '           '              i      | |  the paper right of its panel
 *     | +----------------------------------------------+ |
 *     +--------------------------------------------------+ */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/image/draw.h"
#include "feavis/sheet.h"

enum { LEAST = 160, SEAL_LETTERS = 4, COLUMNS = 12, COLUMN_LETTERS = 24 };

static const fv_colour silk = {214, 202, 176}, thread = {176, 158, 124};

/* Phrases of a line, one a column. */
typedef struct phrases {
    char at[COLUMNS][4 * COLUMN_LETTERS + 1];
    int count, most; /* letters of the longest */
} phrases;

typedef struct scroll {
    const fv_handscroll *asked;
    fv_picture *sheet;
    fv_fonts *fonts;
    int side, top; /* height of the panels; their upper edge */
    int size;      /* of a letter */
} scroll;

/* --- letters --- */

/* Punctuation and spaces, which end a phrase and are not set. */
static bool parts(const char *letter, size_t n)
{
    static const char *const marks = "，。；：！？、…—·　,.;:!? ";
    for (const char *at = marks; *at; at += fv_letter_bytes(at))
        if (fv_letter_bytes(at) == n && strncmp(at, letter, n) == 0) return true;
    return false;
}

/* What does not fit into COLUMNS is left out. */
static void cut(phrases *out, const char *line, int limit)
{
    int letters = 0;
    *out = (phrases){.count = 0};
    for (size_t n; (n = fv_letter_bytes(line)); line += n) {
        bool mark = parts(line, n);
        if (letters && (mark || letters == limit)) {
            out->count++;
            letters = 0;
        }
        if (mark || n > 4) continue;
        if (out->count == COLUMNS) return;
        strncat(out->at[out->count], line, n);
        letters++;
        if (letters > out->most) out->most = letters;
    }
    out->count += letters > 0;
}

static int pitch(int size)
{
    return size * 6 / 5;
}

/* Its middle at x. */
static fv_status set_column(const scroll *q, const char *text, int size, int x, int y,
                            fv_colour colour)
{
    return fv_draw_column(q->sheet, q->fonts, text, size, pitch(size), x, y, colour);
}

/* --- paper --- */

static double hash(int x, int y, uint32_t key)
{
    uint32_t h = (uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u ^ key * 0xcb1ab31fu;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return (double)(h ^ h >> 15) / 4294967296.0;
}

static double soft(double t)
{
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

/* Smooth, 0 to 1, a new number every `cell` pixels. */
static double noise(double x, double y, double cell, uint32_t key)
{
    double u = x / cell, v = y / cell;
    int i = (int)floor(u), j = (int)floor(v);
    double a = soft(u - i), b = soft(v - j);
    return (1 - b) * ((1 - a) * hash(i, j, key) + a * hash(i + 1, j, key)) +
           b * ((1 - a) * hash(i, j + 1, key) + a * hash(i + 1, j + 1, key));
}

static double cloud(double x, double y, double cell, uint32_t key)
{
    return 0.55 * noise(x, y, cell, key) + 0.3 * noise(x, y, cell / 2.7, key + 1) +
           0.15 * noise(x, y, cell / 7, key + 2);
}

static uint8_t shade(uint8_t value, double by)
{
    double x = value + by;
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x + 0.5);
}

/* Fibres and age: a few levels. */
static void lay_paper(fv_picture *sheet, int x0, int y0, int w, int h)
{
    for (int y = y0; y < y0 + h; y++)
        for (int x = x0; x < x0 + w; x++) {
            double by = 5 * (cloud(x, y, 90, 7) - 0.5) + 4 * (noise(x, y * 3.0, 5, 3) - 0.5);
            uint8_t *p = sheet->rgb + ((size_t)y * (size_t)sheet->width + (size_t)x) * 3;
            p[0] = shade(fv_paper.r, by);
            p[1] = shade(fv_paper.g, by);
            p[2] = shade(fv_paper.b, by * 1.2);
        }
}

/* How much of a panel is seen at x, y of w x h: less near its edges, which are ragged. */
static double seen(int x, int y, int w, int h, uint32_t key)
{
    double side = w < h ? w : h, ragged = cloud(x, y, side / 4, key) - 0.5;
    double wide = 0.34 * side, tall = 0.2 * side;
    double dx = fmin(x + 0.5, w - x - 0.5) / wide, dy = fmin(y + 0.5, h - y - 0.5) / tall;
    return soft(dx + 1.3 * ragged * (dx < 1.6)) * soft(dx * 2) *
           soft(dy + 1.3 * ragged * (dy < 1.6)) * soft(dy * 2);
}

/* Its upper left corner there. */
static void lay_panel(fv_picture *sheet, const fv_picture *p, int left, int top, uint32_t key)
{
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            const uint8_t *c = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
            fv_draw_point(sheet, left + x, top + y, (fv_colour){c[0], c[1], c[2]},
                          seen(x, y, p->width, p->height, key));
        }
}

/* --- the seal --- */

/* Its upper left corner there; a letter takes `size`. Read from the right, from top to bottom. */
static fv_status press_seal(const scroll *q, int left, int top, int size)
{
    char letters[SEAL_LETTERS][8] = {{0}};
    int count = 0, rows, columns;
    const char *text = q->asked->seal;
    for (size_t n; (n = fv_letter_bytes(text)) && count < SEAL_LETTERS; text += n)
        memcpy(letters[count++], text, n < 7 ? n : 7);
    rows = count == 4 ? 2 : count;
    columns = count == 4 ? 2 : 1;
    int edge = size / 5, w = columns * size + 2 * edge, h = rows * size + 2 * edge;
    for (int y = 0; y < h; y++) /* an uneven impression */
        for (int x = 0; x < w; x++) {
            int near = x < y ? x : y, far = w - 1 - x < h - 1 - y ? w - 1 - x : h - 1 - y;
            double rim = (near < far ? near : far) + 0.5;
            double ink = soft(rim / 2 + 1.6 * (noise(x, y, 6, 11) - 0.45));
            fv_draw_point(q->sheet, left + x, top + y, fv_seal,
                          ink * (0.82 + 0.18 * noise(x, y, 3, 13)));
        }
    for (int i = 0; i < count; i++) {
        int column = columns - 1 - i / rows, row = i % rows, letter = size * 9 / 10;
        FV_TRY(fv_draw_text(q->sheet, q->fonts, letters[i], letter, 2 * size,
                            left + edge + column * size + size / 2,
                            top + edge + row * size - letter / 10, FV_CENTRE, fv_paper));
    }
    return FV_OK;
}

/* --- the scroll --- */

/* Pixels that a line's columns take beside its panel. */
static int text_width(const scroll *q, const char *line, phrases *out)
{
    int limit = q->side * 4 / 5 / pitch(q->size);
    if (limit > COLUMN_LETTERS) limit = COLUMN_LETTERS;
    if (limit < 1) limit = 1;
    *out = (phrases){.count = 0};
    if (fv_stands(line)) cut(out, line, limit);
    return out->count * q->size * 3 / 2;
}

static int panel_width(const scroll *q, int i)
{
    const fv_picture *p = &q->asked->panels[i];
    int width = (int)((int64_t)p->width * q->side / p->height);
    return width < 1 ? 1 : width;
}

/* Panels overlap by what they fade. */
static int overlap(const scroll *q)
{
    return q->side / 5;
}

static int title_width(const scroll *q)
{
    const char *title = q->asked->title;
    return title && fv_stands(title) ? q->size * 3 : 0;
}

static int whole_width(const scroll *q)
{
    int width = title_width(q) + q->size * 5; /* seal and ends */
    phrases c;
    for (int i = 0; i < q->asked->count; i++)
        width += panel_width(q, i) - overlap(q) + text_width(q, q->asked->lines[i], &c);
    return width + overlap(q);
}

static fv_status lay_line(const scroll *q, int i, int x)
{
    phrases c;
    int w = panel_width(q, i), size = q->size;
    const char *line = q->asked->lines[i];
    if (!fv_stands(line))
        return fv_draw_text(q->sheet, q->fonts, line, size * 2 / 3, w, x - w / 2,
                            q->top + q->side - size / 5, FV_CENTRE, fv_ink);
    text_width(q, line, &c);
    for (int k = 0; k < c.count; k++)
        FV_TRY(set_column(q, c.at[k], size, x - size * 3 / 4 - k * size * 3 / 2,
                          q->top + q->side / 10 + k * size / 2, fv_ink));
    return FV_OK;
}

/* Panels first, so that none covers a letter. */
static fv_status lay_panels(const scroll *q, int x)
{
    phrases c;
    for (int i = 0; i < q->asked->count; i++) {
        fv_picture p = {panel_width(q, i), q->side, NULL};
        size_t n = (size_t)p.width * (size_t)p.height * 3;
        float *values = malloc(n * sizeof *values);
        p.rgb = malloc(n);
        bool ok = values && p.rgb;
        if (ok) {
            fv_picture_resize(&q->asked->panels[i], p.width, p.height, values);
            for (size_t k = 0; k < n; k++) p.rgb[k] = (uint8_t)(values[k] * 255 + 0.5f);
            x -= text_width(q, q->asked->lines[i], &c) + p.width - overlap(q);
            lay_panel(q->sheet, &p, x - overlap(q) / 2, q->top, (uint32_t)(17 * i + 29));
        }
        free(values);
        fv_picture_free(&p);
        if (!ok) return fv_fail(FV_ERR_MEMORY, "laying a scroll: out of memory");
    }
    return FV_OK;
}

static fv_status lay(const scroll *q)
{
    const fv_handscroll *h = q->asked;
    phrases c;
    int x = q->sheet->width - 3 * q->size, size = q->size;
    if (title_width(q)) {
        int large = size * 3 / 2;
        cut(&c, h->title, q->side * 9 / 10 / pitch(large));
        FV_TRY(set_column(q, c.at[0], large, x - large / 2, q->top + q->side / 12, fv_ink));
        x -= title_width(q);
    }
    FV_TRY(lay_panels(q, x));
    if (h->title && !title_width(q))
        FV_TRY(fv_draw_text(q->sheet, q->fonts, h->title, size, x, x, q->top - size, FV_RIGHT,
                            fv_ink));
    for (int i = 0; i < h->count; i++) {
        FV_TRY(lay_line(q, i, x));
        x -= text_width(q, h->lines[i], &c) + panel_width(q, i) - overlap(q);
    }
    return press_seal(q, x - overlap(q) / 2 - size, q->top + q->side * 3 / 5, size);
}

static fv_status check(const fv_handscroll *h)
{
    int letters = 0;
    for (const char *at = h->seal; at && *at; at += fv_letter_bytes(at)) letters++;
    if (h->count < 1) return fv_fail(FV_ERR_ARGUMENT, "a scroll needs a panel");
    if (letters < 1 || letters > SEAL_LETTERS)
        return fv_fail(FV_ERR_ARGUMENT, "a seal has one to %d letters, \"%.60s\" has %d",
                       SEAL_LETTERS, h->seal ? h->seal : "", letters);
    return FV_OK;
}

fv_status fv_handscroll_make(fv_picture *out, const fv_handscroll *h)
{
    fv_picture sheet;
    FV_TRY(check(h));
    scroll q = {.asked = h, .sheet = &sheet, .side = h->panels[0].height};
    if (q.side < LEAST) q.side = LEAST;
    q.size = q.side / 9;
    int edge = q.side / 8, below = q.side / 9; /* of silk; paper above and below the panels */
    q.top = edge + below;
    FV_TRY(fv_draw_new(&sheet, whole_width(&q) + 2 * q.size, q.side + 2 * q.top, silk));
    fv_draw_fill(&sheet, 0, edge - 3, sheet.width, sheet.height - 2 * edge + 6, thread);
    lay_paper(&sheet, q.size, edge, sheet.width - 2 * q.size, sheet.height - 2 * edge);
    fv_status s = fv_fonts_open_as(&q.fonts, FV_FONTS_SERIF);
    if (s >= 0) {
        s = lay(&q);
        fv_fonts_close(q.fonts);
    }
    if (s < 0)
        fv_picture_free(&sheet);
    else
        *out = sheet;
    return s;
}

fv_status fv_letters_missing(const char *const *texts, int count, int *missing)
{
    fv_fonts *fonts;
    fv_status s = FV_OK;
    FV_TRY(fv_fonts_open_as(&fonts, FV_FONTS_SERIF));
    for (int i = 0; s >= 0 && i < count; i++) {
        fv_mask m;
        s = fv_fonts_line(fonts, texts[i], 8, 1 << 20, &m);
        if (s >= 0) free(m.alpha);
    }
    *missing = fv_fonts_missing(fonts);
    fv_fonts_close(fonts);
    return s;
}
