/* What the worker saves besides pictures: films, scrolls, contact sheets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"
#include "feavis/plot.h"
#include "feavis/sheet.h"

enum { FILM_MILLISECONDS = 80, SHEET_CELL = 240, SHEET_COLUMNS = 6, SHEET_MAX = 240 };

/* The pictures of the history stay where they are while this thread, their only writer, reads. */
void save_film(worker *w, fv_film_kind kind)
{
    int count = fv_history_count(w->history);
    fv_picture *frames = count ? calloc((size_t)count, sizeof *frames) : NULL;
    char *recipe = NULL, *path, title[640];
    if (!frames || !w->session) {
        free(frames);
        return;
    }
    for (int i = 0; i < count; i++) frames[i] = fv_history_at(w->history, i)->picture;
    const char *text = fv_session_text(w->session, 0);
    snprintf(title, sizeof title, "%s film", text ? text : "llp");
    const char *gallery = fv_options_get(w->options, "gallery");
    fv_status s = fv_session_recipe(w->session, &recipe);
    if (s >= 0) s = fv_gallery_prepare(gallery);
    if (s >= 0)
        s = fv_gallery_add_film(gallery, title, strtoull(w->view.seed, NULL, 10), kind, frames,
                                count, FILM_MILLISECONDS, recipe, &path);
    free(recipe);
    free(frames);
    if (s < 0)
        say(w, NULL);
    else
        notify_saved(w, path);
}

static void save_sheet_picture(worker *w, const char *title, fv_picture *p)
{
    char *path;
    const char *gallery = fv_options_get(w->options, "gallery");
    fv_status s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add(gallery, title, 1, p, NULL, &path);
    fv_picture_free(p);
    if (s < 0)
        say(w, NULL);
    else
        notify_saved(w, path);
}

void save_scroll(worker *w)
{
    fv_picture panels[WORKER_PANELS], scroll;
    const char *lines[WORKER_PANELS];
    char title[256] = "scroll";
    int count = 0;
    for (int i = 0; i < w->view.panel_count; i++) {
        if (!w->view.panels[i].serial) continue;
        panels[count] = w->panels[i];
        lines[count++] = w->view.panels[i].text;
    }
    if (!count) return;
    snprintf(title, sizeof title, "%s scroll", lines[0]);
    if (fv_scroll_make(&scroll, panels, lines, count) < 0)
        say(w, NULL);
    else
        save_sheet_picture(w, title, &scroll);
}

/* --- a poem that grows --- */

void forget_reels(worker *w)
{
    for (int i = 0; i < WORKER_PANELS; i++) {
        for (int k = 0; k < w->reel_counts[i]; k++) fv_picture_free(&w->reels[i][k]);
        w->reel_counts[i] = 0;
    }
}

/* Of the panel that has just been finished; the last picture is the finished one. */
void keep_reel(worker *w)
{
    int at = -1, n = fv_history_count(w->history);
    for (int i = 0; i < w->view.panel_count; i++)
        if (w->item && w->view.panels[i].id == w->item) at = i;
    if (at < 0 || w->view.panel_count < 2 || !n) return;
    for (int k = 0; k < w->reel_counts[at]; k++) fv_picture_free(&w->reels[at][k]);
    int count = w->reel_counts[at] = n < REEL ? n : REEL;
    for (int k = 0; k < count; k++) {
        int from = count > 1 ? k * (n - 1) / (count - 1) : n - 1;
        const fv_picture *p = &fv_history_at(w->history, from)->picture;
        if (fv_picture_thumbnail(&w->reels[at][k], p, REEL_SIDE) >= 0) continue;
        w->reel_counts[at] = k;
        say(w, NULL);
        return;
    }
}

/* Each picture on paper, beside its line; the finished ones stay for a while. */
static fv_status lay_poem(worker *w, fv_picture *frames, int room, int *count)
{
    enum { HOLD = 10 };
    for (int i = 0; i < w->view.panel_count; i++) {
        const char *line = w->view.panels[i].text;
        for (int k = 0; k < w->reel_counts[i]; k++) {
            bool last = k == w->reel_counts[i] - 1;
            for (int n = 0; n < (last ? HOLD : 1) && *count < room; n++, ++*count)
                FV_TRY(fv_scroll_make(&frames[*count], &w->reels[i][k], &line, 1));
        }
    }
    return FV_OK;
}

void save_poem(worker *w)
{
    enum { MOST = WORKER_PANELS * (REEL + 10) };
    fv_picture *frames = calloc(MOST, sizeof *frames);
    char *path, title[256];
    const char *gallery = fv_options_get(w->options, "gallery");
    int count = 0;
    fv_status s =
        frames ? lay_poem(w, frames, MOST, &count) : fv_fail(FV_ERR_MEMORY, "out of memory");
    snprintf(title, sizeof title, "%s poem", w->view.panels[0].text);
    if (s >= 0 && count) s = fv_gallery_prepare(gallery);
    if (s >= 0 && count)
        s = fv_gallery_add_film(gallery, title, 1, FV_FILM_GIF, frames, count, FILM_MILLISECONDS,
                                NULL, &path);
    for (int i = 0; i < count; i++) fv_picture_free(&frames[i]);
    free(frames);
    if (s < 0)
        say(w, NULL);
    else if (count)
        notify_saved(w, path);
}

void save_sheet(worker *w, const char *paths)
{
    fv_picture *pictures = calloc(SHEET_MAX, sizeof *pictures), sheet;
    char(*names)[128] = calloc(SHEET_MAX, sizeof *names);
    const char **captions = calloc(SHEET_MAX, sizeof *captions);
    int count = 0;
    while (pictures && names && captions && *paths && count < SHEET_MAX) {
        size_t n = strcspn(paths, "\n");
        char *line = strndup(paths, n);
        paths += n + (paths[n] == '\n');
        if (!line || fv_picture_read(&pictures[count], line) < 0) {
            free(line);
            continue;
        }
        const char *slash = strrchr(line, '/');
        copy_text(names[count], sizeof names[count], slash ? slash + 1 : line);
        char *end = strstr(names[count], ".png");
        if (end) *end = 0;
        captions[count] = names[count];
        count++;
        free(line);
    }
    if (count && fv_sheet_make(&sheet, pictures, captions, count, SHEET_COLUMNS, SHEET_CELL) >= 0)
        save_sheet_picture(w, "contact sheet", &sheet);
    else if (count)
        say(w, NULL);
    for (int i = 0; i < count; i++) fv_picture_free(&pictures[i]);
    free(pictures);
    free(names);
    free(captions);
}
