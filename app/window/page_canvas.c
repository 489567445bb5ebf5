/* The picture, what is above and below it, and the controls. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

static float header(void)
{
    return ui_px(40);
}

static float tools(void)
{
    return ui_px(44);
}

static float strip(const app *a)
{
    return a->view.panel_count > 1 ? ui_px(116) : 0;
}

ui_rect canvas_of(const app *a, ui_rect r)
{
    r.y += header();
    r.h -= header() + tools() + strip(a);
    return r;
}

static void time_text(char *out, size_t size, double seconds)
{
    int s = (int)(seconds + 0.5);
    if (s < 3600)
        snprintf(out, size, "%d:%02d", s / 60, s % 60);
    else
        snprintf(out, size, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
}

/* --- above: what it is, how far, how fast --- */

static void draw_header(app *a, ui_rect r)
{
    const worker_view *v = &a->view;
    char right[192] = "", left[16], moved[64] = "";
    ui_rect bar = {r.x, r.y, r.w, header()};
    ui_area_begin("header", bar, UI_CANVAS, false);
    if (v->picture_serial || app_busy(a)) {
        int step = a->shown_frame >= 0 && a->shown_frame < v->frame_count
                       ? v->frame_steps[a->shown_frame]
                       : v->progress.step;
        double rate = v->step_seconds > 0 ? 1 / v->step_seconds : 0;
        time_text(left, sizeof left, rate > 0 ? (v->progress.steps - v->progress.step) / rate : 0);
        if (v->progress.cells && v->progress.moved >= 0)
            snprintf(moved, sizeof moved, "   ·   %d/%d %s", v->progress.moved, v->progress.cells,
                     tr(a, W_CODES_MOVED));
        if (v->phase == WORKER_RUNNING)
            snprintf(right, sizeof right, "%d / %d%s   ·   %.1f it/s   ·   %s %s", step,
                     v->progress.steps, moved, rate, tr(a, W_LEFT), left);
        else
            snprintf(right, sizeof right, "%d / %d%s", step, v->progress.steps, moved);
        float room = r.w - ui_px(40) - ui_px(ui_text_width(right, UI_SMALL));
        ui_rect title = {r.x + ui_px(20), r.y, room, header()};
        const char *what = *v->text ? v->text : *v->llp ? v->llp : v->term;
        page_words(a, what, title);
        ui_write(r.x + r.w - ui_px(20) - ui_px(ui_text_width(right, UI_SMALL)), r.y + ui_px(14),
                 right, UI_SMALL, UI_MUTED);
    }
    ui_area_end();
}

/* --- the picture under the mouse --- */

/* The position of the map that was picked. */
static void draw_place(const app *a, ui_rect place)
{
    const worker_view *v = &a->view;
    if (v->place_x < 0 || v->map_rows < 2) return;
    float rows = (float)v->map_rows, columns = (float)v->map_columns;
    float w = place.w / columns, h = place.h / rows;
    float x = place.x + floorf(v->place_x * columns) * w;
    float y = place.y + floorf(v->place_y * rows) * h;
    ui_frame((ui_rect){x - 1, y - 1, w + 2, h + 2}, UI_CANVAS, 3);
    ui_frame((ui_rect){x, y, w, h}, UI_BELIEF, 2);
}

static void touch(app *a, ui_rect canvas)
{
    ui_touch t = ui_canvas("picture", canvas);
    display_view *look = &a->look;
    ui_rect place = display_place(a->screen, canvas, look);
    if (!display_has(a->screen, DISPLAY_SHOWN)) return;
    float divider = place.x + place.w * look->split;
    static bool dragging;
    if (t.pressed) dragging = look->mode == DISPLAY_COMPARE && fabsf(t.x - divider) < ui_px(14);
    if (t.wheel != 0) { /* what is under the mouse stays there */
        float now = place.w / (float)(a->view.side ? a->view.side : 256);
        float next = fminf(fmaxf(now * powf(1.15f, t.wheel), 0.1f), 64), k = next / now;
        float cx = canvas.x + canvas.w / 2, cy = canvas.y + canvas.h / 2;
        look->shift_x = (t.x - cx) - ((t.x - cx) - look->shift_x) * k;
        look->shift_y = (t.y - cy) - ((t.y - cy) - look->shift_y) * k;
        look->zoom = next;
    }
    if (t.held && dragging)
        look->split = fminf(fmaxf((t.x - place.x) / place.w, 0), 1);
    else if (t.held) {
        look->shift_x += t.dx;
        look->shift_y += t.dy;
    }
    if (t.double_clicked) look->zoom = look->shift_x = look->shift_y = 0;
    if (t.clicked && !dragging && !t.double_clicked)
        app_pick(a, (t.x - place.x) / place.w, (t.y - place.y) / place.h);
    draw_place(a, place);
    app_draw_codes(a, place);
    if (look->mode == DISPLAY_COMPARE) {
        ui_rect knob = {divider - ui_px(5), place.y + place.h / 2 - ui_px(14), ui_px(10),
                        ui_px(28)};
        ui_fill(knob, UI_TEXT, 0.95f, 5);
    }
}

static void draw_empty(app *a, ui_rect canvas)
{
    ui_rect line = {canvas.x, canvas.y + canvas.h * 0.42f, canvas.w, ui_px(30)};
    if (a->view.phase == WORKER_LOADING) {
        ui_write_centred(line, tr(a, W_LOADING), UI_TITLE, UI_MUTED);
        return;
    }
    if (a->view.phase == WORKER_FAILED) {
        ui_write_centred(line, a->view.message, UI_BODY, UI_WARNING);
        return;
    }
    ui_write_centred(line, tr(a, W_EMPTY), UI_TITLE, UI_TEXT);
    line.y += ui_px(38);
    ui_write_centred(line, tr(a, W_EMPTY_KEYS), UI_SMALL, UI_MUTED);
}

/* --- below: ways to look --- */

static void set_mode(app *a, display_mode mode, app_map map)
{
    bool same = a->look.mode == mode && (mode != DISPLAY_MAP || a->map == map);
    a->look.mode = same ? DISPLAY_PICTURE : mode;
    a->map = map;
    a->map_serial = a->start_serial = 0;
    a->codes_serial = 0;
    if (a->look.mode != DISPLAY_CODES) fv_codes_free(&a->codes);
    if (a->view.decoder.codes)
        worker_post(a->worker, ORDER_CODES, a->look.mode == DISPLAY_CODES, NULL, NULL);
    worker_post(a->worker, ORDER_GRADIENT, a->look.mode == DISPLAY_MAP && a->map == MAP_GRADIENT,
                NULL, NULL);
    if (a->look.mode == DISPLAY_MAP && map == MAP_ACTIVATION && a->view.channel < 0)
        worker_post(a->worker, ORDER_CHANNEL,
                    a->neuron_count && !*a->view.layer ? a->neurons[0].number
                    : a->view.best_count               ? a->view.best[0].number
                                         : 108 % (a->view.map_channels ? a->view.map_channels : 1),
                    NULL, NULL);
}

static void pin(app *a)
{
    fv_picture p;
    if (!worker_picture(a->worker, &p)) return;
    display_set(a->screen, DISPLAY_OTHER, &p);
    fv_picture_free(&p);
    a->pinned = true;
    a->look.mode = DISPLAY_COMPARE;
}

static void draw_tools(app *a, ui_rect r)
{
    ui_rect bar = {r.x, r.y + r.h - tools() - strip(a), r.w, tools()};
    if (r.w > ui_px(640)) { /* exposure, where there is room for it */
        ui_rect end = {r.x + r.w - ui_px(180), bar.y - ui_px(6), ui_px(180), bar.h + ui_px(6)};
        ui_area_begin("exposure", end, UI_CANVAS, false);
        ui_slider("exposure", tr(a, W_EXPOSURE), &a->look.stops, -2, 2, "%+.1f");
        ui_area_end();
        bar.w -= end.w;
    }
    ui_area_begin("tools", bar, UI_CANVAS, false);
    const display_view *l = &a->look;
    if (ui_chip("difference", tr(a, W_DIFFERENCE), l->mode == DISPLAY_DIFFERENCE)) {
        a->pinned = false;
        set_mode(a, DISPLAY_DIFFERENCE, a->map);
    }
    ui_beside();
    if (ui_chip("heat", tr(a, W_HEAT), l->mode == DISPLAY_MAP && a->map == MAP_GRADIENT))
        set_mode(a, DISPLAY_MAP, MAP_GRADIENT);
    ui_beside();
    if (ui_chip("activation", tr(a, W_ACTIVATION),
                l->mode == DISPLAY_MAP && a->map == MAP_ACTIVATION))
        set_mode(a, DISPLAY_MAP, MAP_ACTIVATION);
    ui_beside();
    if (ui_chip("compare", tr(a, W_COMPARE), l->mode == DISPLAY_COMPARE)) {
        if (!a->pinned)
            pin(a);
        else
            set_mode(a, DISPLAY_COMPARE, a->map);
    }
    if (a->pinned && l->mode == DISPLAY_COMPARE) {
        ui_beside();
        if (ui_chip("pin", tr(a, W_PIN), false)) pin(a);
    }
    if (a->view.decoder.codes) {
        ui_beside();
        if (ui_chip("codes", tr(a, W_CODES), l->mode == DISPLAY_CODES)) {
            a->pinned = false;
            set_mode(a, DISPLAY_CODES, a->map);
        }
        ui_hint(tr(a, W_CODES_ABOUT));
    }
    ui_beside();
    if (ui_chip("crisp", tr(a, W_CRISP), l->crisp)) a->look.crisp = !l->crisp;
    ui_beside();
    if (ui_chip("fit", tr(a, W_FIT), l->zoom == 0))
        a->look.zoom = a->look.shift_x = a->look.shift_y = 0;
    ui_area_end();
}

/* A poem: its panels, one a line. */
static void draw_strip(app *a, ui_rect r)
{
    const worker_view *v = &a->view;
    if (v->panel_count < 2) return;
    ui_rect bar = {r.x, r.y + r.h - strip(a), r.w, strip(a)};
    ui_area_begin("poem", bar, UI_CANVAS, true);
    for (int i = 0; i < v->panel_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "panel-%d", i);
        if (v->panels[i].serial != a->panel_serials[i]) {
            fv_picture p;
            if (worker_panel_picture(a->worker, i, &p)) {
                a->panel_textures[i] = display_texture(a->screen, a->panel_textures[i], &p);
                fv_picture_free(&p);
            }
            a->panel_serials[i] = v->panels[i].serial;
        }
        if (i) ui_beside();
        bool running = v->item_count && v->items[0].running && v->items[0].id == v->panels[i].id;
        bool pressed =
            ui_image(name, v->panels[i].serial ? a->panel_textures[i] : NULL, 64, 64,
                     v->panels[i].text, a->shown_panel < 0 ? running : a->shown_panel == i);
        if (pressed && v->panels[i].serial) {
            a->shown_panel = running || a->shown_panel == i ? -1 : i;
            a->shown_frame = -1;
        }
    }
    ui_area_end();
}

void page_canvas(app *a, ui_rect r)
{
    ui_rect canvas = canvas_of(a, r);
    ui_area_begin("canvas", canvas, UI_CANVAS, false);
    touch(a, canvas);
    if (!display_has(a->screen, DISPLAY_SHOWN)) draw_empty(a, canvas);
    ui_area_end();
    draw_header(a, r);
    draw_tools(a, r);
    draw_strip(a, r);
}

/* --- the controls --- */

static void timeline(app *a)
{
    const worker_view *v = &a->view;
    int marks[97], count = 0;
    for (int i = 0; i < v->frame_count; i++)
        if (v->frame_states[i]) marks[count++] = v->frame_steps[i];
    int tip = v->frame_count ? v->progress.step : 0, last = tip;
    for (int i = 0; i < v->branch_count; i++)
        if (v->branches[i].step > last) last = v->branches[i].step;
    int at = a->shown_frame >= 0 ? a->scrub : tip;
    float branch = a->shown_frame >= 0 ? ui_text_width(tr(a, W_BRANCH), UI_BODY) + 30 : 0;
    int moved = ui_timeline("timeline", &at, last, marks, count, ui_room() - branch);
    a->timeline = ui_last();
    if (moved) {
        a->scrub = at;
        a->shown_frame = a->shown_panel = -1;
        a->shown_serial = 0;
        for (int i = 0; i < v->frame_count; i++)
            if (v->frame_steps[i] <= at) a->shown_frame = i;
        if (at >= tip) a->shown_frame = -1;
    }
    if (a->shown_frame < 0 || branch == 0) return;
    ui_beside();
    if (ui_button("branch", tr(a, W_BRANCH), UI_NO_ICON, UI_PRIMARY, 0, true)) app_branch(a);
    ui_hint(tr(a, W_BRANCH_ABOUT));
}

void page_controls(app *a, ui_rect r)
{
    worker_phase phase = a->view.phase;
    bool running = phase == WORKER_RUNNING, has_picture = a->view.picture_serial > 0 || app_busy(a);
    bool waiting = a->view.item_count > 0 || phase == WORKER_PAUSED;
    bool wide = r.w > ui_px(1150);
    ui_area_begin("controls", r, UI_PANEL, false);
    if (ui_button("run", wide ? tr(a, running ? W_PAUSE : W_RUN) : "",
                  running ? UI_ICON_PAUSE : UI_ICON_RUN, UI_PLAIN, wide ? 0 : 32,
                  running || waiting))
        app_space(a);
    ui_hint(tr(a, running ? W_PAUSE : W_RUN));
    ui_beside();
    if (ui_button("step", "", UI_ICON_STEP, UI_PLAIN, 32, has_picture && phase != WORKER_DONE))
        worker_post(a->worker, ORDER_STEP, 0, NULL, NULL);
    ui_hint(tr(a, W_STEP));
    ui_beside();
    if (ui_button("more", wide ? tr(a, W_MORE) : "+200", UI_NO_ICON, UI_PLAIN, 0, has_picture))
        worker_post(a->worker, ORDER_MORE, 200, NULL, NULL);
    ui_beside();
    if (ui_button("keep", wide ? tr(a, W_KEEP) : "", UI_ICON_KEEP, UI_PLAIN, wide ? 0 : 32,
                  app_busy(a)))
        worker_post(a->worker, ORDER_KEEP, 0, NULL, NULL);
    ui_hint(tr(a, W_KEEP));
    ui_beside();
    if (ui_button("discard", wide ? tr(a, W_DISCARD) : "", UI_ICON_DISCARD, UI_PLAIN, wide ? 0 : 32,
                  app_busy(a)))
        worker_post(a->worker, ORDER_DISCARD, 0, NULL, NULL);
    ui_hint(tr(a, W_DISCARD));
    ui_beside();
    timeline(a);
    ui_area_end();
}
