/* The models that look at the picture: a weight each, and files dropped on the window as one more.
 * Several files of one drop (a cfg and its checkpoint) are one model. One that decodes becomes what
 * pictures are made with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

enum { TOGETHER = 300 }; /* milliseconds between files of one drop */

/* --- files --- */

static bool ends(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && SDL_strcasecmp(path + n - m, end) == 0;
}

static bool is_weights(const char *path)
{
    static const char *const ends_of[] = {".pth", ".pt", ".bin", ".safetensors", ".ckpt"};
    bool is = false;
    for (size_t i = 0; i < sizeof ends_of / sizeof ends_of[0]; i++)
        is = is || ends(path, ends_of[i]);
    return is;
}

static bool is_model_file(const char *path)
{
    static const char *const beside[] = {".yml",      ".yaml",      ".json",
                                         "vocab.txt", "merges.txt", ".txt.gz"};
    bool is = is_weights(path);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) is = is || ends(path, beside[i]);
    return is;
}

bool app_drop_model(app *a, const char *path)
{
    size_t n = strlen(a->dropped), end = sizeof a->dropped - 1;
    const char *dropped = path;
    if (!is_model_file(path)) return false;
    if (n) n += (size_t)snprintf(a->dropped + n, end - n, " + ");
    for (; *path && n + 2 < end; path++) { /* + and | are the option's own */
        if (*path == '+' || *path == '|') a->dropped[n++] = '\\';
        a->dropped[n++] = *path;
    }
    a->dropped[n] = 0;
    if (is_weights(dropped) && strlen(dropped) < sizeof a->dropped_weights)
        snprintf(a->dropped_weights, sizeof a->dropped_weights, "%s", dropped);
    a->dropped_at = SDL_GetTicks64();
    return true;
}

void app_take_dropped(app *a)
{
    char files[sizeof a->dropped + 4];
    if (!a->dropped[0]) return;
    if (SDL_GetTicks64() < a->dropped_at + TOGETHER) {
        app_more_frames(a);
        return;
    }
    snprintf(files, sizeof files, "%s:1", a->dropped); /* a colon of the name is no weight then */
    a->dropped[0] = 0;
    const char *weights = a->dropped_weights[0] ? a->dropped_weights : NULL;
    worker_post(a->worker, ORDER_ADD_GUIDE, 0, weights, files);
    a->dropped_weights[0] = 0;
    app_toast(a, tr(a, W_LOADING), false);
}

/* --- the list --- */

/* Those of other models than the last time: their weights as they were opened. */
static void follow_models(app *a)
{
    const worker_view *v = &a->view;
    if (a->guide_serial == v->guide_serial) return;
    a->guide_serial = v->guide_serial;
    memcpy(a->guide_weights, v->guide_weights, sizeof a->guide_weights);
    if (fv_options_set(a->options, "guide-weights", "") < 0) app_fail(a);
}

static void set_weights(app *a)
{
    char text[128];
    size_t n = 0;
    for (int i = 0; i < a->view.guide_count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.2f", i ? "," : "",
                              (double)a->guide_weights[i]);
    if (fv_options_set(a->options, "guide-weights", text) < 0) app_fail(a);
    if (app_busy(a)) worker_post(a->worker, ORDER_SET, 0, "guide-weights", text);
}

void page_guides(app *a)
{
    const worker_view *v = &a->view;
    bool changed = false;
    follow_models(a);
    if (v->guide_count < 2) return;
    ui_heading(tr(a, W_GUIDES));
    for (int i = 0; i < v->guide_count; i++) {
        char name[32], drop[32];
        snprintf(name, sizeof name, "guide-%d", i);
        snprintf(drop, sizeof drop, "drop-guide-%d", i);
        changed |= ui_slider(name, v->guides[i], &a->guide_weights[i], -1, 2, "%+.2f") == 2;
        if (!app_busy(a) && ui_chip(drop, tr(a, W_NO_START), false))
            worker_post(a->worker, ORDER_DROP_GUIDE, i, NULL, NULL);
    }
    if (changed) set_weights(a);
}

/* --- the decoder --- */

static void choose(app *a, const char *option, const char *value)
{
    if (fv_options_set(a->options, option, value) < 0) app_fail(a);
    a->quality[0] = 0;
}

/* One that has just come makes the next picture; one that has gone makes none. */
static void follow_decoder(app *a)
{
    const worker_view *v = &a->view;
    bool uses = strcmp(fv_options_get(a->options, "param"), "vqgan") == 0;
    if (a->decoder_serial == v->decoder_serial) return;
    a->decoder_serial = v->decoder_serial;
    if (*v->decoder.title && !uses)
        app_choose_generator(a, "vqgan");
    else if (!*v->decoder.title && uses && !a->preset[0]) /* else the one that ships goes on */
        app_choose_generator(a, "fourier");
}

static void choices(app *a, const char *option, const char *const *values, const word *labels,
                    int count, int in_a_row)
{
    const char *now = fv_options_get(a->options, option);
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%s", option, values[i]);
        if (i % in_a_row) ui_beside();
        if (!ui_chip(name, tr(a, labels[i]), strcmp(now, values[i]) == 0)) continue;
        if (strcmp(option, "param") == 0)
            app_choose_generator(a, values[i]);
        else
            choose(a, option, values[i]);
    }
}

void page_decoder(app *a)
{
    static const char *const params[] = {"fourier", "multires", "pixel", "maco", "vqgan"};
    static const word names[] = {W_FOURIER, W_MULTIRES, W_PIXEL, W_MACO, W_DECODER};
    static const char *const ways[] = {"straight", "projected", "free"};
    static const word ways_names[] = {W_STRAIGHT, W_PROJECTED, W_FREE};
    const fv_decoder_info *d = &a->view.decoder;
    char what[192];
    follow_decoder(a);
    ui_heading(tr(a, W_GENERATOR));
    choices(a, "param", params, names, 5, 3);
    if (strcmp(fv_options_get(a->options, "param"), "vqgan") == 0 && d->codes)
        choices(a, "codes", ways, ways_names, 3, 3);
    if (!*d->title) return; /* the one that ships is opened when it is used */
    if (d->codes)
        snprintf(what, sizeof what, "%s · f%d · %d", d->title, d->factor, d->codes);
    else
        snprintf(what, sizeof what, "%s · f%d", d->title, d->factor);
    ui_text(what, UI_SMALL, UI_MUTED);
    if (!app_busy(a) && ui_chip("drop-decoder", tr(a, W_NO_START), false))
        worker_post(a->worker, ORDER_DROP_DECODER, 0, NULL, NULL);
}
