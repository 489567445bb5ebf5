/* See script_fields.h. */
#include "app/window/script_fields.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const phases[] = {"loading", "idle",  "running", "paused",
                                     "done",    "seeds", "two",     "failed"};
static const char *const pages[] = {"imagine", "gallery", "seeds", "match", "two", "quiz"};

static int boards_filled(const app *a)
{
    int n = 0;
    for (int i = 0; i < WORKER_BOARD; i++) n += a->view.board[i].step >= 24;
    return n;
}

static int panels_done(const app *a)
{
    int n = 0;
    for (int i = 0; i < a->view.panel_count; i++) n += a->view.panels[i].done;
    return n;
}

/* Megabytes of the process that are in memory. */
static double memory(void)
{
    long whole, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &whole, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static int current_branch(const worker_view *v)
{
    for (int i = 0; i < v->branch_count; i++)
        if (v->branches[i].current) return i;
    return -1;
}

bool script_field(const app *a, const char *name, char *out, size_t size)
{
    const worker_view *v = &a->view;
    struct {
        const char *name;
        double value;
    } const numbers[] = {
        {"step", v->progress.step},
        {"steps", v->progress.steps},
        {"cosine", (double)v->progress.cosine},
        {"queue", v->item_count},
        {"panels", v->panel_count},
        {"panels-done", panels_done(a)},
        {"saves", v->saved_serial},
        {"moments", v->frame_count},
        {"moment", a->shown_frame},
        {"gallery", a->saved_count},
        {"chosen", a->chosen},
        {"seed", (double)a->seed},
        {"neurons", a->neuron_count},
        {"guides", v->guide_count},
        {"layer-guide", v->layer_guide + 1},
        {"codes", v->codes_serial},
        {"moved", v->progress.cells ? v->progress.moved : -1},
        {"best", v->best_count},
        {"channel", v->channel},
        {"parts", v->part_count},
        {"survived", v->measured},
        {"rate", v->step_seconds > 0 ? 1 / v->step_seconds : 0},
        {"stepping", v->stepping},
        {"handing", v->handing},
        {"order-lag", v->order_lag},
        {"memory", strcmp(name, "memory") == 0 ? memory() : 0},
        {"gradients", v->gradient_serial},
        {"activations", v->activation_serial},
        {"board", boards_filled(a)},
        {"match", v->match_serial},
        {"mode", (double)a->look.mode},
        {"zoom", (double)a->look.zoom},
        {"dark", ui_dark()},
        {"chinese", a->chinese},
        {"undo", a->undo_count},
        {"lines", v->branch_count},
        {"line", current_branch(v)},
        {"place", v->place_x >= 0},
        {"map-rows", v->map_rows},
        {"ranking", v->ranking},
        {"bests", v->best_serial},
        {"panel", a->shown_panel},
        {"two-step", v->two.progress[0].step + v->two.progress[1].step},
        {"two-measured", v->two.measured},
        {"two-models", v->two.models},
        {"split", (double)a->two_look.split},
        {"words", v->xray_count},
        {"word", a->xray_shown},
        {"quiz-at", a->quiz_at},
        {"quiz-asked", a->quiz_asked},
        {"quiz-answer", a->quiz_answer},
        {"quiz-own", a->quiz ? fv_quiz_own(a->quiz, a->quiz_at) : -1},
        {"tally", a->tally_count ? a->tallies[0].asked : 0},
        {"focused", ui_focused()},
        {"composing", ui_composing()},
        {"typing", ui_typing()},
        {"term-checked", a->term_serial == v->term_serial},
        {"picture", display_has(a->screen, DISPLAY_SHOWN)},
        {"toasting", (double)SDL_GetTicks64() / 1000 < a->toast_until},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0) {
            snprintf(out, size, "%g", numbers[i].value);
            return true;
        }
    bool chosen = a->chosen >= 0 && a->chosen < a->saved_count;
    struct {
        const char *name, *value;
    } const texts[] = {
        {"phase", phases[v->phase]},
        {"page", pages[a->page]},
        {"text", a->text},
        {"easel", v->text},
        {"llp", v->llp},
        {"decoder", v->decoder.title},
        {"param", fv_options_get(a->options, "param")},
        {"param-of", v->param},
        {"settings", app_settings(a)},
        {"codes-way", fv_options_get(a->options, "codes")},
        {"avoid", a->avoid},
        {"term", a->term},
        {"term-of", v->term},
        {"layer", v->layer},
        {"term-error", app_term_error(a)},
        {"start", a->start},
        {"toast", a->toast},
        {"saved", v->saved},
        {"quality", a->quality},
        {"seed-of", v->seed},
        {"search", a->search},
        {"message", v->message},
        {"composition", ui_composition()},
        {"chosen-text", chosen ? a->saved[a->chosen].text : ""},
        {"recipe", chosen ? a->saved[a->chosen].recipe : ""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(name, texts[i].name) == 0) {
            snprintf(out, size, "%s", texts[i].value);
            return true;
        }
    return false;
}
