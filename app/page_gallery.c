/* The gallery, the seed board, similarity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"

void app_refresh_gallery(app *a)
{
    fv_saved *list;
    int count;
    if (fv_gallery_list(&list, &count, fv_options_get(a->options, "gallery")) < 0) {
        app_fail(a);
        return;
    }
    fv_gallery_list_free(a->saved, a->saved_count);
    a->saved = list;
    a->saved_count = count;
    if (a->chosen >= count) a->chosen = count - 1;
}

/* The texture of a saved picture; at most one is loaded a frame. */
static void *thumb(app *a, const char *path, int *loads)
{
    app_thumb *oldest = &a->thumbs[0];
    for (int i = 0; i < APP_THUMBS; i++) {
        app_thumb *t = &a->thumbs[i];
        if (t->texture && strcmp(t->path, path) == 0) {
            t->used = a->frame;
            return t->texture;
        }
        if (t->used < oldest->used) oldest = t;
    }
    fv_picture p;
    if (*loads <= 0 || oldest->used == a->frame) return NULL;
    --*loads;
    if (fv_picture_read(&p, path) < 0) return NULL;
    oldest->texture = display_texture(a->screen, oldest->texture, &p);
    snprintf(oldest->path, sizeof oldest->path, "%s", path);
    oldest->used = a->frame;
    fv_picture_free(&p);
    return oldest->texture;
}

static bool matches(const app *a, const fv_saved *s)
{
    return !a->search[0] || strcasestr(s->name, a->search) || strcasestr(s->recipe, a->search);
}

/* The value of a key at the start of a line of the recipe, without quotes. */
static void recipe_value(const char *recipe, const char *key, char *out, size_t size)
{
    size_t n = strlen(key);
    *out = 0;
    for (const char *at = recipe; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        if (strncmp(at, key, n) != 0 || at[n] != ':') continue;
        const char *value = at + n + 1 + strspn(at + n + 1, " \"");
        size_t length = strcspn(value, "\"\n");
        if (length >= size) length = size - 1;
        while (length && ((unsigned char)value[length] & 0xc0) == 0x80) length--;
        memcpy(out, value, length);
        out[length] = 0;
        return;
    }
}

static void open_folder(app *a)
{
    char url[2048], folder[1024];
    const char *gallery = fv_options_get(a->options, "gallery");
    if (!realpath(gallery, folder)) snprintf(folder, sizeof folder, "%s", gallery);
    snprintf(url, sizeof url, "file://%s", folder);
    if (SDL_OpenURL(url) != 0) app_toast(a, folder, false);
}

static void gallery_remove(app *a)
{
    char *undo;
    if (fv_gallery_remove(a->saved[a->chosen].path, &undo) < 0) {
        app_fail(a);
        return;
    }
    free(a->undo);
    a->undo = undo;
    app_refresh_gallery(a);
}

static void gallery_restore(app *a)
{
    char *path;
    if (fv_gallery_restore(a->undo, &path) < 0) {
        app_fail(a);
        return;
    }
    free(path);
    free(a->undo);
    a->undo = NULL;
    app_refresh_gallery(a);
}

/* Of what the search leaves. */
static void gallery_sheet(app *a)
{
    size_t size = 0;
    char *paths = NULL;
    FILE *f = open_memstream(&paths, &size);
    if (!f) return;
    for (int i = 0; i < a->saved_count; i++)
        if (matches(a, &a->saved[i])) fprintf(f, "%s\n", a->saved[i].path);
    if (fclose(f) == 0) worker_post(a->worker, ORDER_SHEET, 0, NULL, paths);
    free(paths);
}

static void gallery_bar(app *a)
{
    bool chosen = a->chosen >= 0 && a->chosen < a->saved_count;
    ui_field("search", a->search, sizeof a->search, tr(a, W_SEARCH), 220);
    ui_beside();
    if (ui_button("again", tr(a, W_AGAIN), UI_NO_ICON, UI_PLAIN, 0, chosen))
        app_use_recipe(a, a->saved[a->chosen].path, true);
    ui_beside();
    if (ui_button("vary", tr(a, W_VARY), UI_ICON_DICE, UI_PLAIN, 0, chosen)) {
        app_use_recipe(a, a->saved[a->chosen].path, false);
        app_random_seed(a);
        app_imagine(a);
        return;
    }
    ui_beside();
    if (ui_button("use-start", tr(a, W_USE_START), UI_NO_ICON, UI_PLAIN, 0, chosen)) {
        if (!realpath(a->saved[a->chosen].path, a->start)) a->start[0] = 0;
        a->page = PAGE_IMAGINE;
    }
    ui_beside();
    if (ui_button("delete", tr(a, W_DELETE), UI_NO_ICON, UI_PLAIN, 0, chosen)) gallery_remove(a);
    if (a->undo) {
        ui_beside();
        if (ui_button("undo", tr(a, W_UNDO), UI_NO_ICON, UI_PLAIN, 0, true)) gallery_restore(a);
    }
    ui_beside();
    if (ui_button("sheet", tr(a, W_SHEET), UI_NO_ICON, UI_PLAIN, 0, a->saved_count > 0))
        gallery_sheet(a);
    ui_beside();
    if (ui_button("folder", tr(a, W_FOLDER), UI_NO_ICON, UI_PLAIN, 0, true)) open_folder(a);
}

static void chosen_line(app *a)
{
    char text[256], seed[32], steps[32], model[64], line[512];
    if (a->chosen < 0 || a->chosen >= a->saved_count) return;
    const fv_saved *s = &a->saved[a->chosen];
    recipe_value(s->recipe, "text", text, sizeof text);
    recipe_value(s->recipe, "seed", seed, sizeof seed);
    recipe_value(s->recipe, "steps", steps, sizeof steps);
    recipe_value(s->recipe, "model", model, sizeof model);
    snprintf(line, sizeof line, "%s   ·   %s %s   ·   %s %s   ·   %s", text, tr(a, W_SEED), seed,
             tr(a, W_STEPS), steps, model);
    ui_text(line, UI_SMALL, UI_MUTED);
}

void page_gallery(app *a, ui_rect r)
{
    ui_area_begin("gallery", r, UI_PANEL, true);
    gallery_bar(a);
    chosen_line(a);
    ui_space(6);
    int loads = 2, shown = 0, columns = (int)((ui_room() + 12) / 172);
    if (columns < 1) columns = 1;
    float side = (ui_room() - 12.0f * (float)(columns - 1)) / (float)columns;
    for (int i = 0; i < a->saved_count; i++) {
        char name[32];
        if (!matches(a, &a->saved[i])) continue;
        if (shown++ % columns != 0) ui_beside();
        snprintf(name, sizeof name, "saved-%d", i);
        if (ui_image(name, thumb(a, a->saved[i].path, &loads), side, side, a->saved[i].name,
                     i == a->chosen))
            a->chosen = i;
    }
    if (!shown) ui_text(tr(a, W_NO_PICTURES), UI_BODY, UI_MUTED);
    if (loads <= 0) { /* there may be more to load: another frame */
        SDL_Event e = {.type = a->news_event};
        SDL_PushEvent(&e);
    }
    ui_area_end();
}

/* --- nine seeds --- */

static void fill_seeds(app *a)
{
    char seed[16], line[1024];
    fv_options *o;
    if (fv_options_copy(&o, a->options) < 0) return;
    snprintf(seed, sizeof seed, "%d", a->seed);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(a->text, "\r\n"), a->text);
    char *text = app_compose(a, line);
    if (text && fv_options_set(o, "text", text) >= 0 && fv_options_set(o, "seed", seed) >= 0)
        worker_post_options(a->worker, ORDER_SEEDS, 24, o);
    free(text);
    fv_options_free(o);
}

void page_seeds(app *a, ui_rect r)
{
    const worker_view *v = &a->view;
    ui_area_begin("seeds", r, UI_PANEL, true);
    ui_text(*a->text ? a->text : "…", UI_TITLE, UI_TEXT);
    ui_paragraph(tr(a, W_SEEDS_ABOUT), UI_MUTED);
    if (ui_button("fill", tr(a, W_FILL), UI_ICON_DICE, UI_PRIMARY, 0,
                  *a->text && !app_busy(a) && v->phase != WORKER_LOADING))
        fill_seeds(a);
    ui_space(8);
    float side = (ui_height_left() - 100) / 3;
    if (side > (ui_room() - 32) / 3) side = (ui_room() - 32) / 3;
    if (side < 80) side = 80;
    for (int i = 0; i < WORKER_BOARD; i++) {
        const worker_seed *s = &v->board[i];
        char name[32], caption[64] = "";
        if (s->serial && s->serial != a->board_serials[i]) {
            fv_picture p;
            if (worker_board_picture(a->worker, i, &p)) {
                a->board_textures[i] = display_texture(a->screen, a->board_textures[i], &p);
                fv_picture_free(&p);
            }
            a->board_serials[i] = s->serial;
        }
        snprintf(name, sizeof name, "seed-%d", i);
        if (s->serial) snprintf(caption, sizeof caption, "#%d   %.3f", s->seed, (double)s->cosine);
        if (i % 3) ui_beside();
        if (ui_image(name, s->serial ? a->board_textures[i] : NULL, side, side, caption, false) &&
            s->serial) {
            worker_post(a->worker, ORDER_CONTINUE, i, NULL, NULL);
            a->seed = s->seed;
            a->page = PAGE_IMAGINE;
            a->shown_moment = -1;
        }
    }
    ui_area_end();
}

/* --- similarity --- */

static const char *nth_line(const char *lines, int n, char *out, size_t size)
{
    *out = 0;
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        if (length && n-- == 0) {
            snprintf(out, size, "%.*s", (int)length, lines);
            break;
        }
        lines += length + (lines[length] == '\n');
    }
    return out;
}

void page_match(app *a, ui_rect r)
{
    static float values[WORKER_MATCH * WORKER_MATCH];
    const worker_view *v = &a->view;
    char path[1024], text[512];
    int loads = 2;
    ui_area_begin("match", r, UI_PANEL, true);
    ui_paragraph(tr(a, W_MATCH_ABOUT), UI_MUTED);
    ui_poem("match-texts", a->match_texts, sizeof a->match_texts, tr(a, W_MATCH_HINT), 92);
    if (ui_button("compute", tr(a, W_COMPUTE), UI_ICON_RUN, UI_PRIMARY, 0,
                  *a->match_texts && *a->match_pictures))
        worker_post(a->worker, ORDER_MATCH, 0, a->match_texts, a->match_pictures);
    ui_beside();
    if (ui_button("clear", tr(a, W_CLEAR), UI_NO_ICON, UI_PLAIN, 0, *a->match_pictures))
        a->match_pictures[0] = 0;
    ui_space(8);
    for (int i = 0; *nth_line(a->match_pictures, i, path, sizeof path); i++) {
        char name[32];
        const char *slash = strrchr(path, '/');
        snprintf(name, sizeof name, "row-%d", i);
        if (i) ui_beside();
        ui_image(name, thumb(a, path, &loads), 72, 72, slash ? slash + 1 : path, false);
    }
    ui_space(8);
    bool has = v->match_serial && v->match_texts && v->match_pictures;
    if (has && worker_match(a->worker, values)) {
        int cell = ui_matrix("matrix", values, v->match_pictures, v->match_texts, WORKER_MATCH, 64);
        for (int j = 0; j < v->match_texts; j++) {
            char label[600];
            snprintf(label, sizeof label, "%d   %s", j + 1,
                     nth_line(a->match_texts, j, text, sizeof text));
            ui_text(label, UI_SMALL, UI_MUTED);
        }
        if (cell >= 0) { /* imagine that text from that picture */
            nth_line(a->match_texts, cell % v->match_texts, a->text, sizeof a->text);
            nth_line(a->match_pictures, cell / v->match_texts, a->start, sizeof a->start);
            app_imagine(a);
        }
    }
    ui_area_end();
}
