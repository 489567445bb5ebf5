/* The gallery, and the seed board. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

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
void *app_thumbnail(app *a, const char *path, int *loads)
{
    app_thumb *oldest = &a->thumbs[0];
    for (int i = 0; i < APP_THUMBS; i++) {
        app_thumb *t = &a->thumbs[i];
        if (t->path && strcmp(t->path, path) == 0) {
            t->used = a->frame;
            return t->failed ? NULL : t->texture;
        }
        if (t->used < oldest->used) oldest = t;
    }
    fv_picture p;
    if (*loads <= 0 || oldest->used == a->frame) return NULL;
    --*loads;
    free(oldest->path);
    oldest->path = strdup(path);
    oldest->used = a->frame;
    oldest->failed = fv_picture_read(&p, path) < 0;
    if (oldest->failed) return NULL;
    oldest->texture = display_texture(a->screen, oldest->texture, &p);
    fv_picture_free(&p);
    return oldest->texture;
}

static bool matches(const app *a, const fv_saved *s)
{
    return !a->search[0] || strcasestr(s->name, a->search) || strcasestr(s->text, a->search) ||
           strcasestr(s->recipe, a->search);
}

void app_more_frames(app *a)
{
    SDL_Event e = {.type = a->notify_event};
    SDL_PushEvent(&e);
}

static void open_folder(app *a)
{
    const char *gallery = fv_options_get(a->options, "gallery");
    char *folder = realpath(gallery, NULL), *url = NULL;
    size_t size;
    FILE *f = open_memstream(&url, &size);
    if (!f) return;
    fputs("file://", f);
    for (const char *at = folder ? folder : gallery; *at; at++)
        fprintf(f, strchr("/-._~", *at) || isalnum((unsigned char)*at) ? "%c" : "%%%02X",
                (unsigned char)*at);
    if (fclose(f) == 0 && SDL_OpenURL(url) != 0) app_toast(a, folder ? folder : gallery, false);
    free(url);
    free(folder);
}

static bool has_chosen(const app *a)
{
    return a->chosen >= 0 && a->chosen < a->saved_count && matches(a, &a->saved[a->chosen]);
}

void gallery_remove(app *a)
{
    char *undo;
    if (!has_chosen(a)) return;
    if (fv_gallery_remove(a->saved[a->chosen].path, &undo) < 0) {
        app_fail(a);
        return;
    }
    if (a->undo_count == APP_UNDO) {
        free(a->undo[0]);
        memmove(a->undo, a->undo + 1, (APP_UNDO - 1) * sizeof *a->undo);
        a->undo_count--;
    }
    a->undo[a->undo_count++] = undo;
    app_refresh_gallery(a);
}

void gallery_restore(app *a)
{
    char *path;
    if (!a->undo_count) return;
    char *undo = a->undo[--a->undo_count];
    fv_status s = fv_gallery_restore(undo, &path);
    free(undo);
    if (s < 0) {
        app_fail(a);
        return;
    }
    app_refresh_gallery(a);
    for (int i = 0; i < a->saved_count; i++) /* what has come back is what one looks at */
        if (strcmp(a->saved[i].path, path) == 0) a->chosen = i;
    a->follow_chosen = true;
    free(path);
}

void gallery_move(app *a, int columns, int rows)
{
    int by = columns + rows * (a->gallery_columns > 0 ? a->gallery_columns : 1);
    int left = by < 0 ? -by : by, at = a->chosen, to = has_chosen(a) ? at : -1;
    if (to < 0) { /* nothing is chosen: the first, or the last */
        at = by > 0 ? -1 : a->saved_count;
        left = 1;
    }
    while (left > 0) {
        at += by > 0 ? 1 : -1;
        if (at < 0 || at >= a->saved_count) break;
        if (!matches(a, &a->saved[at])) continue;
        to = at;
        left--;
    }
    if (left > 0 && rows) return; /* there is no such row */
    if (to >= 0) a->chosen = to;
    a->follow_chosen = true;
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
    bool chosen = has_chosen(a);
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
        char *path = realpath(a->saved[a->chosen].path, NULL);
        if (path && app_take(a, a->start, sizeof a->start, path)) a->page = PAGE_IMAGINE;
        free(path);
    }
    ui_beside();
    if (ui_button("delete", tr(a, W_DELETE), UI_NO_ICON, UI_PLAIN, 0, chosen)) gallery_remove(a);
    ui_hint("Delete");
    if (a->undo_count) {
        ui_beside();
        if (ui_button("undo", tr(a, W_UNDO), UI_NO_ICON, UI_PLAIN, 0, true)) gallery_restore(a);
        ui_hint("Ctrl+Z");
    }
    ui_beside();
    if (ui_button("sheet", tr(a, W_SHEET), UI_NO_ICON, UI_PLAIN, 0, a->saved_count > 0))
        gallery_sheet(a);
    ui_beside();
    if (ui_button("folder", tr(a, W_FOLDER), UI_NO_ICON, UI_PLAIN, 0, true)) open_folder(a);
}

/* Lists of names and values, and of nothing where the recipe cannot be read. */
static void read_chosen(const app *a, fv_list *names, fv_list *values)
{
    const fv_saved *s = &a->saved[a->chosen];
    *names = *values = (fv_list){0};
    (void)fv_recipe_list(names, values, s->recipe, s->path);
}

/* What a picture was asked for: its text, else its channels, else its term. */
static const char *asked_in(const fv_list *names, const fv_list *values)
{
    static const char *const all[] = {"text", "llp", "term"};
    const char *value = "";
    for (int i = 0; i < 3 && !*value; i++) value = fv_recipe_value(names, values, all[i]);
    return value;
}

static void chosen_line(app *a)
{
    fv_list names, values;
    char *line;
    if (!has_chosen(a)) {
        ui_text(tr(a, W_GALLERY_ABOUT), UI_SMALL, UI_MUTED);
        return;
    }
    read_chosen(a, &names, &values);
    if (ui_chip("recipe", tr(a, W_RECIPE), a->show_recipe)) a->show_recipe = !a->show_recipe;
    ui_beside();
    if (asprintf(&line, "%s   ·   %s %s   ·   %s %s   ·   %s", asked_in(&names, &values),
                 tr(a, W_SEED), fv_recipe_value(&names, &values, "seed"), tr(a, W_STEPS),
                 fv_recipe_value(&names, &values, "steps"),
                 fv_recipe_value(&names, &values, "model")) >= 0) {
        ui_text(line, UI_SMALL, UI_MUTED);
        free(line);
    }
    fv_list_clear(&names);
    fv_list_clear(&values);
}

/* The chosen picture, large, over all that made it. */
static void recipe_side(app *a, ui_rect r)
{
    int loads = 1;
    const fv_saved *s = &a->saved[a->chosen];
    fv_list names, values;
    read_chosen(a, &names, &values);
    ui_area_begin("recipe-side", r, UI_FIELD, true);
    float side = ui_room();
    ui_image("large", app_thumbnail(a, s->path, &loads), side, side, NULL, false);
    for (int i = 0; i < names.count; i++) {
        float both = ui_text_width(names.at[i], UI_SMALL) + ui_text_width(values.at[i], UI_SMALL);
        if (both < ui_room() - 16 && !strpbrk(values.at[i], "\r\n"))
            ui_pair(names.at[i], values.at[i], UI_TEXT);
        else {
            ui_text(names.at[i], UI_SMALL, UI_MUTED);
            ui_paragraph(values.at[i], UI_TEXT);
        }
    }
    if (!names.count) ui_paragraph(s->recipe, UI_MUTED); /* as it is */
    ui_area_end();
    fv_list_clear(&names);
    fv_list_clear(&values);
}

static void pictures(app *a)
{
    int loads = 2, shown = 0, columns = (int)((ui_room() + 8) / 172);
    if (columns < 1) columns = 1;
    a->gallery_columns = columns;
    float side = (ui_room() - 8.0f * (float)(columns - 1)) / (float)columns;
    for (int i = 0; i < a->saved_count; i++) {
        char name[32];
        if (!matches(a, &a->saved[i])) continue;
        if (shown++ % columns != 0) ui_beside();
        snprintf(name, sizeof name, "saved-%d", i);
        if (ui_image(name, app_thumbnail(a, a->saved[i].path, &loads), side, side, a->saved[i].name,
                     i == a->chosen))
            a->chosen = i;
        if (i == a->chosen && a->follow_chosen) ui_scroll_here();
    }
    a->follow_chosen = false;
    if (!shown) ui_text(tr(a, W_NO_PICTURES), UI_BODY, UI_MUTED);
    if (loads <= 0) app_more_frames(a); /* there may be more to load */
}

void page_gallery(app *a, ui_rect r)
{
    ui_rect side = {r.x + r.w - ui_px(300), r.y, ui_px(300), r.h};
    bool recipe = a->show_recipe && has_chosen(a) && r.w > ui_px(700);
    if (recipe) r.w -= side.w;
    ui_area_begin("gallery", r, UI_PANEL, true);
    gallery_bar(a);
    chosen_line(a);
    ui_space(6);
    pictures(a);
    ui_area_end();
    if (recipe && has_chosen(a)) recipe_side(a, side);
}

/* --- nine seeds --- */

static void fill(void *user, const fv_options *o)
{
    app *a = user;
    worker_post_options(a->worker, ORDER_SEEDS, 24, o);
}

/* What the nine are of. */
static void seeds_title(app *a)
{
    fv_list lines = {0};
    char llp[256];
    app_compose_neurons(a, llp, sizeof llp);
    if (app_lines(&lines, a->text) < 0) return;
    ui_text(lines.count    ? lines.at[0]
            : *llp         ? llp
            : *app_term(a) ? app_term(a)
                           : "…",
            UI_TITLE, UI_TEXT);
    fv_list_clear(&lines);
}

void page_seeds(app *a, ui_rect r)
{
    const worker_view *v = &a->view;
    ui_area_begin("seeds", r, UI_PANEL, true);
    seeds_title(a);
    ui_paragraph(tr(a, W_SEEDS_ABOUT), UI_MUTED);
    if (ui_button("fill", tr(a, W_FILL), UI_ICON_DICE, UI_PRIMARY, 0,
                  app_asks(a) && !app_busy(a) && v->phase != WORKER_LOADING &&
                      v->phase != WORKER_TWO) &&
        app_jobs(a, fill, a, 1) < 0)
        app_fail(a);
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
        if (s->serial)
            snprintf(caption, sizeof caption, "#%" PRIu64 "   %.3f", s->seed, (double)s->cosine);
        if (i % 3) ui_beside();
        if (ui_image(name, s->serial ? a->board_textures[i] : NULL, side, side, caption, false) &&
            s->serial) {
            worker_post(a->worker, ORDER_CONTINUE, i, NULL, NULL);
            a->seed = s->seed;
            a->page = PAGE_IMAGINE;
            a->shown_frame = -1;
        }
    }
    ui_area_end();
}
