/* Channels of the last layer before pooling: by number, by a text that asks for them, by what is
 * active in the picture or at a place of it; their weights beside the text's. Then any layer, by a
 * term. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

static bool has_neuron(const app *a, int number)
{
    for (int i = 0; i < a->neuron_count; i++)
        if (a->neurons[i].number == number) return true;
    return false;
}

static void add_neuron(app *a, int number)
{
    if (has_neuron(a, number) || a->neuron_count == APP_NEURONS) return;
    if (number < 0 || number >= a->view.channels) return;
    a->neurons[a->neuron_count++] = (app_neuron){number, 0.05f};
    if (app_busy(a)) app_set_neurons(a);
}

static void follow(app *a, int number)
{
    int same = a->view.channel == number;
    worker_post(a->worker, ORDER_CHANNEL, same ? -1 : number, NULL, NULL);
    a->look.mode = same ? DISPLAY_PICTURE : DISPLAY_MAP;
    a->map = MAP_ACTIVATION;
    a->map_serial = 0;
}

/* What the picture is asked for: the text first, then the channels. */
static void weight_rows(app *a)
{
    bool changed = false;
    if (app_has_weight(a) &&
        ui_slider("text-weight", tr(a, W_TEXT), &a->text_weight, 0, 2, "%.2f") == 2 && app_busy(a))
        app_change_text(a);
    for (int i = 0; i < a->neuron_count; i++) {
        app_neuron *n = &a->neurons[i];
        char label[32], name[32], drop[32], look[32];
        snprintf(label, sizeof label, "LLP-%d", n->number);
        snprintf(name, sizeof name, "neuron-%d", n->number);
        snprintf(drop, sizeof drop, "drop-neuron-%d", n->number);
        snprintf(look, sizeof look, "look-%d", n->number);
        changed |= ui_slider(name, label, &n->weight, -0.2f, 0.2f, "%+.3f") == 2;
        if (ui_chip(look, tr(a, W_SHOW_MAP), a->view.channel == n->number)) follow(a, n->number);
        ui_beside();
        if (ui_chip(drop, tr(a, W_NO_START), false)) {
            memmove(n, n + 1, (size_t)(a->neuron_count - i - 1) * sizeof *n);
            a->neuron_count--;
            changed = true;
            i--;
        }
    }
    if (changed && app_busy(a)) app_set_neurons(a);
}

static void search_row(app *a)
{
    char *end;
    long number = strtol(a->neuron_search, &end, 10);
    bool numeric = end != a->neuron_search && !end[strspn(end, " ")];
    bool asked = a->neuron_search[strspn(a->neuron_search, " ")];
    float width = ui_text_width(tr(a, W_SEARCH), UI_BODY) + 32;
    ui_field("neuron", a->neuron_search, sizeof a->neuron_search, tr(a, W_NEURON_HINT),
             ui_room() - width - 8);
    bool entered = ui_entered();
    ui_beside();
    bool pressed = ui_button("add-neuron", tr(a, numeric ? W_ADD_NEURON : W_SEARCH), UI_NO_ICON,
                             UI_PLAIN, -1, asked && a->view.channels);
    if (!(pressed || entered) || !asked || !a->view.channels) return;
    if (!numeric) {
        worker_post(a->worker, ORDER_SEARCH, 0, NULL, a->neuron_search);
        return;
    }
    add_neuron(a, (int)number);
    a->neuron_search[0] = 0;
}

/* Return, or the button, gives it to the picture that grows. */
static void term_row(app *a)
{
    ui_heading(tr(a, W_TERM));
    ui_field("term", a->term, sizeof a->term, tr(a, W_TERM_HINT), -1);
    bool entered = ui_entered(), wrong = *app_term_error(a);
    if (wrong) ui_paragraph(app_term_error(a), UI_WARNING);
    if (!app_busy(a) || strcmp(app_term(a), a->view.term) == 0) return;
    if (ui_button("apply-term", tr(a, W_APPLY), UI_NO_ICON, UI_PLAIN, -1, !wrong) || entered)
        app_set_term(a);
}

static void ranking_title(const app *a, char *out, size_t size)
{
    const worker_view *v = &a->view;
    if (v->ranking == RANKED_TEXT)
        snprintf(out, size, tr(a, W_ASKED_FOR_BY), v->searched);
    else
        snprintf(out, size, "%s",
                 tr(a, v->ranking == RANKED_PLACE ? W_ACTIVE_HERE : W_MOST_ACTIVE));
}

static void ranking(app *a)
{
    const worker_view *v = &a->view;
    char title[256];
    ranking_title(a, title, sizeof title);
    ui_heading(title);
    bool whole = v->ranking == RANKED_PICTURE && v->best_count;
    if (v->picture_serial && !whole) {
        if (ui_chip("rank", tr(a, v->best_count ? W_WHOLE_PICTURE : W_RANK), false))
            worker_post(a->worker, ORDER_PICK, 0, NULL, "");
        ui_beside();
    }
    for (int i = 0; i < v->best_count; i++) {
        char name[32], label[32];
        snprintf(name, sizeof name, "best-%d", v->best[i].number);
        snprintf(label, sizeof label, "%d", v->best[i].number);
        if (i) ui_beside();
        if (ui_chip(name, label, v->channel == v->best[i].number)) follow(a, v->best[i].number);
        if (ui_double_clicked()) add_neuron(a, v->best[i].number);
    }
    if (!v->best_count) ui_space(1);
    if (v->picture_serial) ui_paragraph(tr(a, W_PICK_ABOUT), UI_MUTED);
    if (v->channel < 0 || has_neuron(a, v->channel)) return;
    char label[64];
    snprintf(label, sizeof label, "%s LLP-%d", tr(a, W_ADD_NEURON), v->channel);
    if (ui_button("add-followed", label, UI_ICON_PLUS, UI_PLAIN, -1, a->neuron_count < APP_NEURONS))
        add_neuron(a, v->channel);
}

void page_neurons(app *a)
{
    const worker_view *v = &a->view;
    char range[96];
    ui_heading(tr(a, W_NEURONS));
    snprintf(range, sizeof range, "%s 0–%d", tr(a, W_CHANNEL), v->channels ? v->channels - 1 : 0);
    ui_paragraph(range, UI_MUTED);
    search_row(a);
    weight_rows(a);
    term_row(a);
    ranking(a);
}
