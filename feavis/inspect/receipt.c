/* The page of a receipt. See feavis/receipt.h.
 *
 *     text
 *     picture        facts
 *     curve, with its axes
 *     bars           bars
 *     X-ray */
#include "feavis/receipt.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "feavis/image/draw.h"

enum {
    WIDTH = 888,
    GAP = 24,
    HEAD = 72,
    SIDE = 384,
    FACT = 25,
    PLOT = 150,
    BAR = 26,
    LETTERS = 15,
    HALF = (WIDTH - 3 * GAP) / 2
};
static const fv_colour ground = {250, 248, 244}, blue = {60, 96, 168};

static fv_status draw_facts(fv_picture *to, fv_fonts *fonts, const fv_receipt *r)
{
    int left = 2 * GAP + SIDE, width = WIDTH - GAP - left;
    for (int i = 0; i < r->fact_count; i++) {
        int y = HEAD + i * FACT;
        fv_draw_fill(to, left, y + FACT - 4, width, 1, fv_edge);
        FV_TRY(fv_draw_text(to, fonts, r->facts[2 * i], LETTERS, width / 3, left, y, FV_LEFT,
                            fv_pale));
        FV_TRY(fv_draw_text(to, fonts, r->facts[2 * i + 1], LETTERS, width * 2 / 3 - 8,
                            left + width, y, FV_RIGHT, fv_ink));
    }
    return FV_OK;
}

static fv_status draw_curve(fv_picture *to, fv_fonts *fonts, const fv_receipt *r, int y)
{
    float low = 0, high = 0;
    char text[48];
    int left = GAP + 48, width = WIDTH - GAP - left, count = r->curve_count;
    FV_TRY(fv_draw_text(to, fonts, r->curve_title, LETTERS, WIDTH, GAP, y, FV_LEFT, fv_pale));
    y += 28;
    for (int i = 0; i < count; i++) {
        if (r->curve[i] < low) low = r->curve[i];
        if (r->curve[i] > high) high = r->curve[i];
    }
    if (!(high > low)) high = low + 1;
    fv_draw_fill(to, left, y, 1, PLOT, fv_pale);
    fv_draw_fill(to, left, y + PLOT, width, 1, fv_pale);
    for (int k = 0; k < 2; k++) {
        snprintf(text, sizeof text, "%.2f", (double)(k ? low : high));
        FV_TRY(fv_draw_text(to, fonts, text, 13, 60, left - 6, y + k * (PLOT - 14), FV_RIGHT,
                            fv_pale));
    }
    snprintf(text, sizeof text, "%d", count);
    FV_TRY(fv_draw_text(to, fonts, text, 13, 60, left + width, y + PLOT + 4, FV_RIGHT, fv_pale));
    double scale = PLOT / (double)(high - low), step = (double)width / (count > 1 ? count - 1 : 1);
    for (int i = 1; i < count; i++)
        fv_draw_line(to, left + (i - 1) * step, y + PLOT - (double)(r->curve[i - 1] - low) * scale,
                     left + i * step, y + PLOT - (double)(r->curve[i] - low) * scale, fv_seal);
    return FV_OK;
}

static fv_status draw_list(fv_picture *to, fv_fonts *fonts, const fv_receipt_list *l, int left,
                           int y)
{
    char number[32];
    if (!l->count) return FV_OK;
    FV_TRY(fv_draw_text(to, fonts, l->title, LETTERS, HALF, left, y, FV_LEFT, fv_pale));
    for (int i = 0; i < l->count; i++) {
        int top = y + 24 + i * BAR;
        float share = fminf(fmaxf(l->bars[i].share, 0), 1);
        snprintf(number, sizeof number, "%.3f", (double)l->bars[i].value);
        FV_TRY(fv_draw_text(to, fonts, l->bars[i].name, LETTERS, HALF - 90, left, top, FV_LEFT,
                            fv_ink));
        FV_TRY(fv_draw_text(to, fonts, number, LETTERS, 90, left + HALF, top, FV_RIGHT, fv_ink));
        fv_draw_fill(to, left, top + 20, HALF, 3, fv_edge);
        fv_draw_fill(to, left, top + 20, (int)(share * HALF), 3, blue);
    }
    return FV_OK;
}

/* Where the parts below the picture begin, from the first one's top; the last is the end. */
typedef struct layout {
    int curve, lists, xray, end;
} layout;

static layout lay_out(const fv_receipt *r, int xray)
{
    layout l;
    int facts = r->fact_count * FACT, bars = r->lists[0].count;
    if (r->lists[1].count > bars) bars = r->lists[1].count;
    l.curve = HEAD + (facts > SIDE ? facts : SIDE) + GAP;
    l.lists = l.curve + (r->curve_count ? 28 + PLOT + 28 + GAP / 2 : 0);
    l.xray = l.lists + (bars ? 24 + bars * BAR + GAP : 0);
    l.end = l.xray + xray + (xray ? 0 : GAP);
    return l;
}

static fv_status draw(fv_picture *to, fv_fonts *fonts, const fv_receipt *r, const layout *l)
{
    FV_TRY(fv_draw_text(to, fonts, r->text, 30, WIDTH - 2 * GAP, GAP, 20, FV_LEFT, fv_ink));
    FV_TRY(fv_draw_enlarged(to, r->picture, GAP, HEAD, SIDE));
    FV_TRY(draw_facts(to, fonts, r));
    if (r->curve_count) FV_TRY(draw_curve(to, fonts, r, l->curve));
    FV_TRY(draw_list(to, fonts, &r->lists[0], GAP, l->lists));
    return draw_list(to, fonts, &r->lists[1], 2 * GAP + HALF, l->lists);
}

static fv_status make(fv_picture *out, const fv_receipt *r, const fv_picture *xrays)
{
    fv_fonts *fonts;
    fv_picture page;
    int height = 0;
    for (int i = 0; i < r->xray_count; i++) height += xrays[i].height;
    layout l = lay_out(r, height);
    FV_TRY(fv_draw_new(&page, WIDTH, l.end, ground));
    fv_status s = fv_fonts_open(&fonts);
    if (s >= 0) {
        s = draw(&page, fonts, r, &l);
        fv_fonts_close(fonts);
    }
    for (int i = 0, y = l.xray; s >= 0 && i < r->xray_count; y += xrays[i++].height)
        fv_draw_picture(&page, &xrays[i], (WIDTH - xrays[i].width) / 2, y);
    if (s < 0)
        fv_picture_free(&page);
    else
        *out = page;
    return s;
}

fv_status fv_receipt_make(fv_picture *out, const fv_receipt *r)
{
    fv_picture *xrays = calloc((size_t)r->xray_count + 1, sizeof *xrays);
    fv_status s = xrays ? FV_OK : fv_fail(FV_ERR_MEMORY, "drawing a receipt: out of memory");
    for (int i = 0; s >= 0 && i < r->xray_count; i++)
        s = fv_xray_sheet(&xrays[i], &r->xrays[i], r->picture, r->xray_texts[i]);
    if (s >= 0) s = make(out, r, xrays);
    for (int i = 0; xrays && i < r->xray_count; i++) fv_picture_free(&xrays[i]);
    free(xrays);
    return s;
}
