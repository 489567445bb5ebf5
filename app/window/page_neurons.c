/* Channels of the last layer before pooling (LLP): by number, by a text that asks for them; their
 * weights beside the text's. Then any layer of any guide by a term, and what of a layer is active
 * in the picture or at a place of it. */
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

/* A channel of the layer that is chosen. */
static void follow(app *a, int number)
{
    int same = a->view.channel == number;
    worker_post(a->worker, ORDER_CHANNEL, same ? -1 : number, NULL, NULL);
    a->look.mode = same ? DISPLAY_PICTURE : DISPLAY_MAP;
    a->map = MAP_ACTIVATION;
    a->map_serial = 0;
}

/* Whether the layer that is chosen is the one that llp's channels are of. */
static bool is_llp(const app *a)
{
    return !*a->view.layer && !a->view.layer_guide;
}

/* One of the first model's last layer, whatever is chosen. */
static void follow_last(app *a, int number)
{
    bool chosen = is_llp(a) && a->view.channel == number;
    if (!is_llp(a)) worker_post(a->worker, ORDER_LAYER, 0, NULL, "");
    worker_post(a->worker, ORDER_CHANNEL, chosen ? -1 : number, NULL, NULL);
    a->look.mode = chosen ? DISPLAY_PICTURE : DISPLAY_MAP;
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
        bool shown = is_llp(a) && a->view.channel == n->number;
        if (ui_chip(look, tr(a, W_SHOW_MAP), shown)) follow_last(a, n->number);
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

/* --- layers --- */

static const char *layer_label(const char *name)
{
    return *name ? name : "LLP";
}

/* Where the chosen one is in the list; the last is LLP. */
static int layer_at(const worker_view *v)
{
    int i = 0;
    while (i < v->layer_count && strcmp(v->layers[i].name, v->layer) != 0) i++;
    return i;
}

/* In place of where a channel is active: another layer has others. */
static void show_picture(app *a)
{
    if (a->look.mode == DISPLAY_MAP && a->map == MAP_ACTIVATION) a->look.mode = DISPLAY_PICTURE;
}

static void choose(app *a, int i)
{
    worker_post(a->worker, ORDER_LAYER, a->view.layer_guide, NULL, a->view.layers[i].name);
    a->layers_open = false;
    show_picture(a);
}

static void layer_list(app *a)
{
    const worker_view *v = &a->view;
    ui_paragraph(tr(a, W_LAYER_ABOUT), UI_MUTED);
    for (int i = 0; i < v->layer_count; i++) {
        char name[160];
        const char *label = layer_label(v->layers[i].name);
        snprintf(name, sizeof name, "layer-%s", label);
        if (i) ui_beside();
        if (ui_chip(name, label, i == layer_at(v))) choose(a, i);
    }
}

/* Whose layers are listed, where there are several. */
static void guide_row(app *a)
{
    const worker_view *v = &a->view;
    for (int i = 0; i < v->guide_count && v->guide_count > 1; i++) {
        char name[32];
        snprintf(name, sizeof name, "layers-of-%d", i);
        if (i) ui_beside();
        if (ui_chip(name, v->guides[i], i == v->layer_guide) && i != v->layer_guide) {
            worker_post(a->worker, ORDER_LAYER, i, NULL, "");
            show_picture(a);
        }
    }
}

/* The chosen layer, its neighbours, and all of them when it is pressed. */
static void layer_row(app *a)
{
    const worker_view *v = &a->view;
    char label[192];
    int at = layer_at(v);
    if (v->layer_count < 2 && v->guide_count < 2) return;
    ui_heading(tr(a, W_LAYER));
    guide_row(a);
    if (ui_chip("layer-before", "‹", false) && at > 0) choose(a, at - 1);
    ui_beside();
    if (ui_chip("layer-behind", "›", false) && at + 1 < v->layer_count) choose(a, at + 1);
    ui_beside();
    snprintf(label, sizeof label, "%s · %d × %d · %d", layer_label(v->layer), v->map_columns,
             v->map_rows, v->map_channels);
    if (ui_chip("layers", label, a->layers_open)) a->layers_open = !a->layers_open;
    if (a->layers_open) layer_list(a);
}

/* "blocks.3.1:45" of the chosen layer, "guide2.blocks.3.1:45" of another model's. */
static void term_of(const app *a, int number, char *out, size_t size)
{
    char guide[24] = "";
    if (a->view.layer_guide) snprintf(guide, sizeof guide, "guide%d.", a->view.layer_guide + 1);
    snprintf(out, size, "%s%s:%d", guide, layer_label(a->view.layer), number);
}

static bool has_term(const app *a, int number)
{
    char term[160];
    term_of(a, number, term, sizeof term);
    size_t n = strlen(term);
    for (const char *at = a->term; (at = strstr(at, term)); at += n) {
        bool begins = at == a->term || strchr(" |", at[-1]);
        if (begins && !(at[n] >= '0' && at[n] <= '9')) return true;
    }
    return false;
}

/* Behind what the term says; beside a text with a tenth of its weight. */
static void add_term(app *a, int number)
{
    char term[160], *text;
    bool alone = !a->text[strspn(a->text, " \t\r\n")] && !a->neuron_count;
    if (has_term(a, number)) return;
    term_of(a, number, term, sizeof term);
    if (asprintf(&text, "%s%s%s%s", app_term(a), *app_term(a) ? " | " : "", term,
                 alone ? "" : " *0.1") < 0)
        return;
    if (app_take(a, a->term, sizeof a->term, text) && app_busy(a)) app_set_term(a);
    free(text);
}

/* --- what is active --- */

static bool is_asked(const app *a, int number)
{
    return is_llp(a) ? has_neuron(a, number) : has_term(a, number);
}

static void ask_for(app *a, int number)
{
    if (is_llp(a))
        add_neuron(a, number);
    else
        add_term(a, number);
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
        if (ui_double_clicked()) ask_for(a, v->best[i].number);
    }
    if (!v->best_count) ui_space(1);
    if (v->picture_serial) ui_paragraph(tr(a, v->map_rows > 1 ? W_PICK_ABOUT : W_NO_MAP), UI_MUTED);
    if (v->channel < 0 || is_asked(a, v->channel)) return;
    char label[192], what[160];
    if (is_llp(a))
        snprintf(what, sizeof what, "LLP-%d", v->channel);
    else
        term_of(a, v->channel, what, sizeof what);
    snprintf(label, sizeof label, "%s %s", tr(a, W_ADD_NEURON), what);
    bool room = !is_llp(a) || a->neuron_count < APP_NEURONS;
    if (ui_button("add-followed", label, UI_ICON_PLUS, UI_PLAIN, -1, room)) ask_for(a, v->channel);
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
    layer_row(a);
    ranking(a);
}
