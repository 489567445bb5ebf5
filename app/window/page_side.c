/* The panels beside the picture: what to imagine, measures, neurons. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

/* --- what to imagine --- */

static void set_option(app *a, const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    if (fv_options_set(a->options, name, text) < 0) app_fail(a);
    a->quality[0] = 0;
}

static void quality_row(app *a)
{
    static const struct {
        const char *name;
        word label;
    } rows[] = {{"draft", W_DRAFT}, {"normal", W_NORMAL}, {"best", W_BEST}, {"paper", W_PAPER}};
    ui_heading(tr(a, W_QUALITY));
    for (int i = 0; i < 4; i++) {
        if (i) ui_beside();
        if (ui_chip(rows[i].name, tr(a, rows[i].label), strcmp(a->quality, rows[i].name) == 0))
            app_use_quality(a, rows[i].name);
    }
    static const struct {
        const char *name;
        word label;
        int low, high;
    } numbers[] = {
        {"steps", W_STEPS, 1, 100000}, {"size", W_SIZE, 32, 2048}, {"views", W_VIEWS, 1, 64}};
    float width = (ui_room() - 16) / 3;
    for (int i = 0; i < 3; i++) {
        int value = atoi(fv_options_get(a->options, numbers[i].name));
        if (i) ui_beside();
        if (ui_number(numbers[i].name, tr(a, numbers[i].label), &value, numbers[i].low,
                      numbers[i].high, width))
            set_option(a, numbers[i].name, value);
    }
}

static void seed_row(app *a)
{
    ui_heading(tr(a, W_SEED));
    ui_seed("seed", &a->seed, ui_room() - 40);
    ui_beside();
    if (ui_button("dice", "", UI_ICON_DICE, UI_PLAIN, 32, true)) app_random_seed(a);
    ui_hint(tr(a, W_RANDOM));
}

static void avoid_row(app *a)
{
    ui_heading(tr(a, W_AVOID));
    bool changed = ui_field("avoid", a->avoid, sizeof a->avoid, tr(a, W_AVOID_HINT), -1);
    if (a->avoid[0]) {
        int moved = ui_slider("avoid-weight", tr(a, W_WEIGHT), &a->avoid_weight, 0, 1, "−%.2f");
        changed = changed || moved == 2;
        if (moved == 2 && app_busy(a)) app_change_text(a);
    }
    (void)changed;
}

/* Return gives it to the picture that grows. */
static void places_row(app *a)
{
    ui_heading(tr(a, W_PLACES));
    ui_field("at", a->at, sizeof a->at, tr(a, W_PLACES_HINT), -1);
    bool entered = ui_entered();
    if (!*app_at(a)) {
        if (entered && app_busy(a)) worker_post(a->worker, ORDER_SET, 0, "at", "");
        return;
    }
    if (!app_at_good(a))
        ui_paragraph(fv_error(), UI_WARNING);
    else if (entered && app_busy(a))
        worker_post(a->worker, ORDER_SET, 0, "at", app_at(a));
}

static void start_row(app *a)
{
    if (!a->start[0]) return;
    const char *name = strrchr(a->start, '/');
    ui_heading(tr(a, W_START));
    ui_text(name ? name + 1 : a->start, UI_SMALL, UI_TEXT);
    if (ui_chip("no-start", tr(a, W_NO_START), false)) a->start[0] = 0;
}

/* What lines of a preset set for themselves. */
static void own_rows(app *a)
{
    fv_list lines = {0};
    int shown = 0;
    if (!a->own_count || app_lines(&lines, a->text) < 0) return;
    for (int i = 0; i < lines.count; i++) {
        const app_own *own = app_own_of(a, i, lines.at[i]);
        for (int k = 0; own && k < own->names.count; k++, shown++) {
            char what[96];
            bool llp = strcmp(own->names.at[k], "llp") == 0;
            snprintf(what, sizeof what, "%s%s", llp ? "LLP-" : own->names.at[k], llp ? "" : " ");
            size_t n = strlen(what);
            snprintf(what + n, sizeof what - n, "%s", own->values.at[k]);
            ui_pair(own->line, what, UI_TEXT);
        }
    }
    fv_list_clear(&lines);
    if (shown && ui_chip("no-own", tr(a, W_NO_START), false)) app_forget_own(a);
}

static void example_row(app *a)
{
    static const char *const names[] = {"concepts", "sentences", "mountains", "neurons"};
    static const char *const zh[] = {"四个概念", "诗与句", "群山", "神经元"};
    static const char *const en[] = {"Concepts", "Sentences", "Mountains", "Neurons"};
    ui_heading(tr(a, W_EXAMPLES));
    for (int i = 0; i < 4; i++) {
        if (i) ui_beside();
        if (ui_chip(names[i], a->chinese ? zh[i] : en[i], false)) app_use_preset(a, names[i]);
    }
    own_rows(a);
}

static void queue_rows(app *a)
{
    const worker_view *v = &a->view;
    char title[64];
    if (!v->item_count) return;
    snprintf(title, sizeof title, "%s · %d", tr(a, W_QUEUE), v->item_count);
    ui_heading(title);
    for (int i = 0; i < v->item_count && i < WORKER_ITEMS; i++) {
        const worker_item *it = &v->items[i];
        char up[32], drop[32], seed[32];
        snprintf(up, sizeof up, "up-%u", it->id);
        snprintf(drop, sizeof drop, "drop-%u", it->id);
        snprintf(seed, sizeof seed, it->running ? "●" : "#%s", it->seed);
        if (!it->running) {
            if (ui_button(drop, "", UI_ICON_DISCARD, UI_QUIET, 26, true))
                worker_post(a->worker, ORDER_DROP, (long)it->id, NULL, NULL);
            ui_beside();
            if (ui_button(up, "", UI_ICON_UP, UI_QUIET, 26, i > 0))
                worker_post(a->worker, ORDER_RAISE, (long)it->id, NULL, NULL);
            ui_beside();
        }
        ui_pair(it->text, seed, it->running ? UI_ACCENT : UI_MUTED);
    }
}

void page_text(app *a)
{
    bool busy = app_busy(a);
    ui_heading(tr(a, W_TEXT));
    ui_poem("text", a->text, sizeof a->text, tr(a, W_TEXT_HINT), 124);
    bool ready = a->view.phase != WORKER_LOADING && a->view.phase != WORKER_FAILED;
    bool asked = app_asks(a);
    if (ui_button("imagine", tr(a, busy ? W_ADD : W_GO), busy ? UI_ICON_PLUS : UI_ICON_RUN,
                  UI_PRIMARY, -1, ready && asked))
        app_imagine(a);
    ui_hint("Ctrl+Enter");
    if (busy && asked && ui_button("change", tr(a, W_CHANGE), UI_NO_ICON, UI_PLAIN, -1, true))
        app_change_text(a);
    queue_rows(a);
    avoid_row(a);
    places_row(a);
    quality_row(a);
    seed_row(a);
    start_row(a);
    page_decoder(a);
    page_guides(a);
    example_row(a);
}

/* --- what else can be saved --- */

static void page_exports(app *a)
{
    const worker_view *v = &a->view;
    ui_heading(tr(a, W_EXPORT));
    if (ui_chip("save", tr(a, W_SAVE), false)) worker_post(a->worker, ORDER_SAVE, 0, NULL, NULL);
    ui_hint("Ctrl+S");
    if (v->frame_count > 1) {
        ui_beside();
        if (ui_chip("film", tr(a, W_GROWTH), false))
            worker_post(a->worker, ORDER_FILM, FV_FILM_PNG, NULL, NULL);
        ui_hint("APNG");
        ui_beside();
        if (ui_chip("gif", "GIF", false))
            worker_post(a->worker, ORDER_FILM, FV_FILM_GIF, NULL, NULL);
        ui_hint(tr(a, W_GIF));
    }
    if (v->panel_count > 1) {
        ui_beside();
        if (ui_chip("scroll", tr(a, W_SCROLL), false))
            worker_post(a->worker, ORDER_SCROLL, 0, NULL, NULL);
        ui_hint(tr(a, W_SCROLL_ABOUT));
        ui_beside();
        if (ui_chip("poem-gif", tr(a, W_POEM_GIF), false))
            worker_post(a->worker, ORDER_POEM, 0, NULL, NULL);
    }
}

/* --- measures --- */

static void verdict(app *a)
{
    const worker_view *v = &a->view;
    if (!v->measured || isnan(v->robustness.unseen)) {
        ui_paragraph(tr(a, W_NOT_YET), UI_MUTED);
        return;
    }
    float survives = fminf(v->robustness.blurred, v->robustness.unseen);
    bool cheats = v->robustness.whole > 0.15f && survives < 0.6f * v->robustness.whole;
    if (v->robustness.whole > 0.15f)
        ui_paragraph(tr(a, cheats ? W_CHEATING : W_HOLDS), cheats ? UI_WARNING : UI_ROBUSTNESS);
}

static void curves(app *a)
{
    static worker_point points[APP_CURVE];
    static float x[APP_CURVE], belief[APP_CURVE], robustness[APP_CURVE], gradient[APP_CURVE];
    int n = worker_curve(a->worker, points, APP_CURVE);
    float high = 0.2f, steep = 1e-9f;
    for (int i = 0; i < n; i++) {
        x[i] = (float)points[i].step;
        belief[i] = points[i].cosine;
        robustness[i] = points[i].robustness;
        gradient[i] = points[i].gradient;
        if (!isnan(belief[i])) high = fmaxf(high, belief[i]);
        steep = fmaxf(steep, gradient[i]);
    }
    ui_series cosine[] = {{x, robustness, n, UI_ROBUSTNESS, ""}, {x, belief, n, UI_BELIEF, ""}};
    ui_heading(tr(a, W_BY_STEP));
    ui_plot("curve", cosine, 2, 96, 0, high * 1.05f);
    ui_series norm[] = {{x, gradient, n, UI_MUTED, ""}};
    ui_heading(tr(a, W_GRADIENT_NORM));
    ui_plot("gradient", norm, 1, 44, 0, steep);
}

void page_measures(app *a)
{
    const worker_view *v = &a->view;
    bool has = v->picture_serial > 0;
    ui_heading(tr(a, W_MEASURES));
    ui_meter("belief", tr(a, W_BELIEF), has ? v->progress.cosine : NAN, 0, 1, UI_BELIEF);
    ui_meter("blurred", tr(a, W_BLURRED), v->measured ? v->robustness.blurred : NAN, 0, 1,
             UI_ROBUSTNESS);
    ui_meter("unseen", tr(a, W_UNSEEN), v->measured ? v->robustness.unseen : NAN, 0, 1,
             UI_ROBUSTNESS);
    verdict(a);
    curves(a);
    if (has) page_exports(a);
    if (!v->part_count) return;
    ui_heading(tr(a, W_PARTS));
    for (int i = 0; i < v->part_count; i++) {
        const fv_part *p = &v->parts[i];
        char left[WORKER_LABEL + 96], right[48];
        bool of = p->kind == FV_PART_TEXT && v->guide_count > 1; /* whose cosine it is */
        snprintf(left, sizeof left, "%s%s%s%s", of ? v->guides[p->guide] : "", of ? ": " : "",
                 p->kind == FV_PART_CHANNEL ? "LLP-" : "", p->name);
        snprintf(right, sizeof right, "%.2g × %.3f", (double)p->weight, (double)p->value);
        ui_pair(left, right, UI_TEXT);
    }
}
