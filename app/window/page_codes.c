/* The codes of the picture as an overlay: a colour for each code, a frame around those that the
 * newest step has changed, and their numbers where cells are large enough to read them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/window/app.h"

/* Far apart for codes that are near each other in number. */
static void colour_of(int code, float out[3])
{
    float hue = fmodf((float)code * 0.61803399f, 1) * 6, light = code % 2 ? 0.95f : 0.7f;
    for (int c = 0; c < 3; c++) {
        float k = fmodf(hue + (float)(c == 0 ? 0 : c == 1 ? 4 : 2), 6);
        out[c] = light * (0.35f + 0.65f * fminf(fmaxf(fabsf(k - 3) - 1, 0), 1));
    }
}

static void paint_cell(const fv_picture *p, int x, int y, int w, int h, int code, bool moved)
{
    float colour[3];
    colour_of(code, colour);
    for (int j = 0; j < h; j++)
        for (int i = 0; i < w; i++) {
            bool edge = i == 0 || j == 0, frame = moved && (edge || i == w - 1 || j == h - 1);
            uint8_t *to = p->rgb + ((size_t)(y + j) * (size_t)p->width + (size_t)(x + i)) * 3;
            for (int c = 0; c < 3; c++)
                to[c] = frame ? 255 : (uint8_t)(colour[c] * (edge ? 0.6f : 1) * 255);
        }
}

static bool paint(const fv_codes *c, const bool *moved, int factor, fv_picture *out)
{
    int w = c->width * factor, h = c->height * factor;
    *out = (fv_picture){w, h, malloc((size_t)w * (size_t)h * 3)};
    for (int i = 0; out->rgb && i < c->width * c->height; i++)
        paint_cell(out, i % c->width * factor, i / c->width * factor, factor, factor, c->at[i],
                   moved[i]);
    return out->rgb != NULL;
}

void app_take_codes(app *a)
{
    const worker_view *v = &a->view;
    fv_codes c;
    fv_picture p;
    bool *moved;
    if (a->look.mode != DISPLAY_CODES || v->codes_serial == a->codes_serial) return;
    a->codes_serial = v->codes_serial;
    fv_codes_free(&a->codes);
    if (!v->codes_serial || !worker_codes(a->worker, &c, &moved)) {
        display_set(a->screen, DISPLAY_OTHER, NULL);
        return;
    }
    a->codes = c;
    if (paint(&c, moved, v->decoder.factor, &p)) {
        display_set(a->screen, DISPLAY_OTHER, &p);
        fv_picture_free(&p);
    }
    free(moved);
}

void app_draw_codes(const app *a, ui_rect place)
{
    const fv_codes *c = &a->codes;
    if (a->look.mode != DISPLAY_CODES || !c->at) return;
    float w = place.w / (float)c->width, h = place.h / (float)c->height;
    for (int i = 0; i < c->width * c->height; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", c->at[i]);
        float wide = ui_px(ui_text_width(text, UI_SMALL));
        if (wide + ui_px(4) > w || h < ui_px(18)) continue;
        float x = place.x + (float)(i % c->width) * w, y = place.y + (float)(i / c->width) * h;
        ui_write(x + (w - wide) / 2, y + (h - ui_px(16)) / 2, text, UI_SMALL, UI_TEXT);
    }
}
