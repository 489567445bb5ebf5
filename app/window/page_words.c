/* The text over the picture. Under the mouse it becomes its words, each with what it is worth below
 * it; the one that the mouse is on colours the picture where it pulls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

const char *app_fit(const char *text, float room)
{
    static char out[512];
    while (*text && ui_px(ui_text_width(text, UI_BODY)) > room) {
        size_t n = strlen(text);
        if (text == out && n > 3) n -= 3;
        do n--;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80);
        if (n > sizeof out - 4) n = sizeof out - 4;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        memmove(out, text, n);
        snprintf(out + n, sizeof out - n, "…");
        text = out;
        if (n < 2) break;
    }
    return text;
}

/* Only of the newest picture: the worker has no other. */
static bool looked_at(const app *a)
{
    const worker_view *v = &a->view;
    return v->xray_count && a->shown_frame < 0 && a->shown_panel < 0 && v->picture_serial;
}

/* One X-ray at a time: the next once that of an older picture is there. */
static void ask(app *a)
{
    const worker_view *v = &a->view;
    bool waiting = a->xray_asked > v->xray_of;
    if (!v->picture_serial || waiting || v->xray_of == v->picture_serial) return;
    a->xray_asked = v->picture_serial;
    worker_post(a->worker, ORDER_XRAY, 0, NULL, NULL);
}

static float word_width(const fv_xray_word *w, char worth[16])
{
    snprintf(worth, 16, "%+.3f", (double)w->worth);
    float wide = ui_text_width(w->text, UI_BODY), under = ui_text_width(worth, UI_SMALL);
    return ui_px((wide > under ? wide : under) + 10);
}

/* A word over its worth, in a column of this width. */
static void draw_word(const app *a, int k, float x, float y, float width, const char *worth)
{
    const fv_xray_word *w = &a->view.words[k];
    float wide = ui_px(ui_text_width(w->text, UI_BODY)),
          under = ui_px(ui_text_width(worth, UI_SMALL));
    ui_write(x + (width - wide) / 2, y + ui_px(3), w->text, UI_BODY,
             a->xray_word == k ? UI_ACCENT : UI_TEXT);
    ui_write(x + (width - under) / 2, y + ui_px(22), worth, UI_SMALL,
             w->worth < 0 ? UI_MUTED : UI_BELIEF);
}

static void words(app *a, ui_rect r)
{
    const worker_view *v = &a->view;
    float widths[FV_XRAY_WORDS], all = 0;
    char worths[FV_XRAY_WORDS][16];
    int count = 0;
    for (; count < v->xray_count; count++) {
        widths[count] = word_width(&v->words[count], worths[count]);
        if (all + widths[count] > r.w) break;
        all += widths[count];
    }
    ui_touch t = ui_canvas("words", (ui_rect){r.x, r.y + ui_px(1), all, ui_px(38)});
    a->xray_hovered = t.hovered;
    float x = r.x;
    for (int k = 0; k < count; x += widths[k++])
        if (t.hovered && t.x >= x && t.x < x + widths[k]) a->xray_word = k;
    x = r.x;
    for (int k = 0; k < count; x += widths[k++]) draw_word(a, k, x, r.y, widths[k], worths[k]);
}

void page_words(app *a, const char *text, ui_rect r)
{
    a->xray_word = -1;
    if (a->xray_hovered && looked_at(a)) {
        words(a, r);
    } else {
        const char *what = app_fit(text, r.w - ui_px(12));
        float wide = ui_px(ui_text_width(what, UI_BODY));
        ui_touch t = ui_canvas("words", (ui_rect){r.x, r.y + ui_px(4), wide, ui_px(32)});
        a->xray_hovered = t.hovered && *a->view.text;
        ui_write(r.x, r.y + ui_px(12), what, UI_BODY, UI_TEXT);
    }
    if (a->xray_hovered) ask(a);
}

void app_show_words(app *a)
{
    float *map;
    int width, height, wanted = a->page == PAGE_IMAGINE && looked_at(a) ? a->xray_word : -1;
    if (wanted == a->xray_shown && a->view.xray_serial == a->xray_serial) return;
    if (wanted < 0 && a->xray_shown >= 0) a->map_serial = 0; /* the map that was shown before */
    a->xray_serial = a->view.xray_serial;
    a->xray_shown = -1;
    if (wanted < 0 || !worker_pull(a->worker, wanted, &map, &width, &height)) return;
    display_set_map(a->screen, map, width, height);
    free(map);
    a->xray_shown = wanted;
}
