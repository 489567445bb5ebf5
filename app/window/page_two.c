/* Two pictures that grow side by side, under a divider or as their difference: of two texts, two
 * seeds, or two of the models that look. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/window/app.h"

void app_show_two(app *a)
{
    const worker_two *t = &a->view.two;
    if (a->page != PAGE_TWO) {
        if (!a->two_shown) return;
        a->two_shown = a->pinned = false; /* the other page takes its own again */
        display_set(a->screen, DISPLAY_SHOWN, NULL);
        display_set(a->screen, DISPLAY_OTHER, NULL);
        if (a->look.mode == DISPLAY_COMPARE) a->look.mode = DISPLAY_PICTURE;
        a->shown_serial = a->map_serial = a->start_serial = a->codes_serial = 0;
        return;
    }
    for (int i = 0; i < 2; i++) {
        fv_picture p;
        bool anew = !a->two_shown || t->serials[i] != a->two_serials[i];
        int slot = i ? DISPLAY_SHOWN : DISPLAY_OTHER;
        if (!anew) continue;
        if (t->serials[i] && worker_two_picture(a->worker, i, &p)) {
            display_set(a->screen, slot, &p);
            fv_picture_free(&p);
        } else {
            display_set(a->screen, slot, NULL);
        }
        a->two_serials[i] = t->serials[i];
    }
    a->two_shown = true;
}

/* --- what they are of --- */

static bool grows(const app *a)
{
    return a->view.phase == WORKER_TWO;
}

static const char *text_at(const app *a, int i)
{
    const char *text = a->two_texts[a->pair == PAIR_TEXTS ? i : 0];
    return text + strspn(text, " \t");
}

static bool can_grow(const app *a)
{
    const worker_view *v = &a->view;
    bool ready = v->phase == WORKER_IDLE || v->phase == WORKER_DONE;
    return ready && *text_at(a, 0) && *text_at(a, 1) &&
           (a->pair != PAIR_MODELS || v->guide_count > 1);
}

static void grow(app *a)
{
    for (int i = 0; i < 2; i++) {
        fv_options *o;
        char seed[24];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)a->two_seed);
        fv_status s = app_job(a, text_at(a, i), &o);
        if (s >= 0 && i && a->pair == PAIR_SEEDS) s = fv_options_set(o, "seed", seed);
        if (s < 0) {
            app_fail(a);
            return;
        }
        worker_post_options(a->worker, ORDER_TWO, i + (a->pair == PAIR_MODELS ? 2 * (i + 1) : 0),
                            o);
        fv_options_free(o);
    }
}

static void kind_row(app *a)
{
    static const word labels[] = {W_TWO_TEXTS, W_TWO_SEEDS, W_TWO_MODELS};
    static const char *const names[] = {"two-by-texts", "two-by-seeds", "two-by-models"};
    for (int i = 0; i < (a->view.guide_count > 1 ? 3 : 2); i++) {
        if (i) ui_beside();
        if (ui_chip(names[i], tr(a, labels[i]), a->pair == (app_pair)i)) a->pair = (app_pair)i;
    }
    if (a->pair == PAIR_MODELS && a->view.guide_count < 2) a->pair = PAIR_TEXTS;
}

static void asked_rows(app *a)
{
    ui_field("two-a", a->two_texts[0], sizeof a->two_texts[0],
             tr(a, a->pair == PAIR_TEXTS ? W_TWO_HINT_A : W_TEXT), -1);
    if (a->pair == PAIR_TEXTS)
        ui_field("two-b", a->two_texts[1], sizeof a->two_texts[1], tr(a, W_TWO_HINT_B), -1);
    ui_heading(tr(a, W_SEED));
    ui_seed("two-seed-a", &a->seed, -1);
    if (a->pair == PAIR_SEEDS) ui_seed("two-seed-b", &a->two_seed, -1);
    for (int i = 0; a->pair == PAIR_MODELS && i < 2; i++)
        ui_pair(i ? "B" : "A", a->view.guides[i], UI_TEXT);
}

/* --- in what they differ --- */

static void figures_of(app *a, const fv_two *seen, const char *const texts[2])
{
    char values[64];
    bool same = strcmp(texts[0], texts[1]) == 0;
    if (a->view.two.models > 1) ui_text(seen->model, UI_SMALL, UI_MUTED);
    for (int k = 0; k < (same ? 1 : 2); k++) {
        snprintf(values, sizeof values, "A %.3f   B %.3f", (double)seen->cosines[0][k],
                 (double)seen->cosines[1][k]);
        ui_pair(texts[k], values, UI_TEXT);
    }
    snprintf(values, sizeof values, "%.3f", 1 - (double)seen->likeness);
    ui_pair(tr(a, W_TWO_EMBEDDING), values, UI_TEXT);
}

static void figures(app *a)
{
    const worker_two *t = &a->view.two;
    char value[48];
    if (!t->measured) return;
    const char *const texts[2] = {t->texts[0], t->texts[1]};
    ui_heading(tr(a, W_TWO_COSINE));
    for (int k = 0; k < t->models; k++) figures_of(a, &t->seen[k], texts);
    ui_heading(tr(a, W_TWO_FIGURES));
    snprintf(value, sizeof value, "%.1f / 255", t->pixels);
    ui_pair(tr(a, W_TWO_PIXELS), value, UI_TEXT);
    if (ui_button("two-sheet", tr(a, W_TWO_SHEET), UI_ICON_KEEP, UI_PLAIN, -1, !grows(a)))
        worker_post(a->worker, ORDER_TWO_SHEET, 0, NULL, NULL);
}

static void side(app *a, ui_rect r)
{
    ui_area_begin("side-two", r, UI_PANEL, true);
    ui_paragraph(tr(a, W_TWO_ABOUT), UI_MUTED);
    kind_row(a);
    asked_rows(a);
    ui_space(6);
    if (grows(a)) {
        if (ui_button("two-stop", tr(a, W_KEEP), UI_ICON_KEEP, UI_PRIMARY, -1, true))
            worker_post(a->worker, ORDER_TWO_STOP, 0, NULL, NULL);
    } else if (ui_button("two-grow", tr(a, W_TWO_GROW), UI_ICON_RUN, UI_PRIMARY, -1, can_grow(a))) {
        grow(a);
    }
    figures(a);
    ui_area_end();
}

/* --- the pictures --- */

static void touch(app *a, ui_rect canvas)
{
    display_view *look = &a->two_look;
    ui_touch t = ui_canvas("picture", canvas);
    if (!display_has(a->screen, DISPLAY_SHOWN)) return;
    ui_rect place = display_place(a->screen, canvas, look);
    if (look->mode != DISPLAY_COMPARE) return;
    if (t.held) look->split = fminf(fmaxf((t.x - place.x) / place.w, 0), 1);
    float x = place.x + place.w * look->split;
    ui_fill((ui_rect){x - ui_px(5), place.y + place.h / 2 - ui_px(14), ui_px(10), ui_px(28)},
            UI_TEXT, 0.95f, 5);
}

/* A at the left and B at the right, as the pictures are. */
static void titles(app *a, ui_rect r)
{
    const worker_two *t = &a->view.two;
    char text[2][256], steps[48] = "";
    for (int i = 0; i < 2; i++) {
        bool seeds = strcmp(t->seeds[0], t->seeds[1]) != 0;
        snprintf(text[i], sizeof text[i], "%c  %s%s%s", "AB"[i], t -> titles[i], seeds ? "  #" : "",
                 seeds ? t->seeds[i] : "");
    }
    ui_area_begin("two-titles", r, UI_CANVAS, false);
    if (*t->titles[0]) {
        float right = ui_px(ui_text_width(text[1], UI_BODY));
        snprintf(steps, sizeof steps, "%d / %d", t->progress[0].step, t->progress[0].steps);
        ui_write(r.x + ui_px(20), r.y + ui_px(12), text[0], UI_BODY, UI_TEXT);
        ui_write(r.x + r.w - ui_px(20) - right, r.y + ui_px(12), text[1], UI_BODY, UI_TEXT);
        ui_write_centred((ui_rect){r.x, r.y, r.w, ui_px(40)}, steps, UI_SMALL, UI_MUTED);
    }
    ui_area_end();
}

static void ways(app *a, ui_rect r)
{
    static const word labels[] = {W_TWO_DIVIDER, W_TWO_FIGURES};
    static const char *const names[] = {"two-divider", "two-difference"};
    static const display_mode modes[] = {DISPLAY_COMPARE, DISPLAY_DIFFERENCE};
    ui_area_begin("two-ways", r, UI_CANVAS, false);
    for (int i = 0; i < 2; i++) {
        if (i) ui_beside();
        if (ui_chip(names[i], tr(a, labels[i]), a->two_look.mode == modes[i]))
            a->two_look.mode = modes[i];
    }
    ui_area_end();
}

ui_rect page_two(app *a, ui_rect r)
{
    float left = ui_px(r.w < ui_px(1060) ? 270 : 300), head = ui_px(40), foot = ui_px(44);
    ui_rect rest = {r.x + left, r.y, r.w - left, r.h};
    ui_rect canvas = {rest.x, rest.y + head, rest.w, rest.h - head - foot};
    if (!a->two_texts[0][0] && !a->two_shown) { /* what is asked for already */
        size_t n = strcspn(a->text, "\r\n");
        if (n < sizeof a->two_texts[0])
            snprintf(a->two_texts[0], sizeof a->two_texts[0], "%.*s", (int)n, a->text);
    }
    side(a, (ui_rect){r.x, r.y, left, r.h});
    ui_area_begin("two-canvas", canvas, UI_CANVAS, false);
    touch(a, canvas);
    ui_area_end();
    titles(a, (ui_rect){rest.x, rest.y, rest.w, head});
    ways(a, (ui_rect){rest.x, rest.y + rest.h - foot, rest.w, foot});
    return canvas;
}
