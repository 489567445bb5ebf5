/* What the window can do, whoever asks for it: buttons, keys, files dropped on it. */
#include "app/window/app.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool app_busy(const app *a)
{
    return a->view.phase == WORKER_RUNNING || a->view.phase == WORKER_PAUSED;
}

/* --- imagining --- */

static void add_job(void *user, const fv_options *o)
{
    app *a = user;
    worker_post_options(a->worker, ORDER_ADD, 0, o);
    a->asked_for++;
}

void app_imagine(app *a)
{
    state_save(a); /* before anything comes of it: a crash does not take the text along */
    worker_new_group(a->worker);
    a->asked_for = 0;
    if (app_jobs(a, add_job, a, INT_MAX) < 0) app_fail(a);
    if (!a->asked_for) return;
    worker_post(a->worker, ORDER_RUN, 0, NULL, NULL);
    a->page = PAGE_IMAGINE;
    a->shown_frame = a->shown_panel = -1;
}

void app_change_text(app *a)
{
    fv_list lines;
    if (app_lines(&lines, a->text) < 0) {
        app_fail(a);
        return;
    }
    char *text = lines.count ? app_compose(a, lines.at[0]) : NULL;
    if (text) worker_post(a->worker, ORDER_SET, 0, "text", text);
    free(text);
    fv_list_clear(&lines);
}

void app_set_neurons(app *a)
{
    char llp[256];
    app_compose_neurons(a, llp, sizeof llp);
    worker_post(a->worker, ORDER_SET, 0, "llp", llp);
}

void app_set_term(app *a)
{
    worker_post(a->worker, ORDER_SET, 0, "term", app_term(a));
}

void app_check_term(app *a)
{
    if (strcmp(a->term, a->term_checked) == 0) return;
    snprintf(a->term_checked, sizeof a->term_checked, "%s", a->term);
    worker_post(a->worker, ORDER_TERM, 0, NULL, app_term(a));
    a->term_serial++;
}

const char *app_term_error(const app *a)
{
    return a->term_serial == a->view.term_serial ? a->view.term_error : "";
}

void app_random_seed(app *a)
{
    uint64_t x = SDL_GetPerformanceCounter() * 6364136223846793005u + a->seed;
    a->seed = (x >> 33) % 100000;
}

/* --- keys --- */

void app_space(app *a)
{
    worker_order order = a->view.phase == WORKER_RUNNING ? ORDER_PAUSE : ORDER_RUN;
    worker_post(a->worker, order, 0, NULL, NULL);
    a->shown_frame = a->shown_panel = -1;
}

void app_escape(app *a)
{
    if (app_busy(a)) worker_post(a->worker, ORDER_KEEP, 0, NULL, NULL);
    if (a->view.phase == WORKER_TWO) worker_post(a->worker, ORDER_TWO_STOP, 0, NULL, NULL);
}

/* --- branches, places --- */

static void branch_with(void *user, const fv_options *o)
{
    app *a = user;
    worker_post_options(a->worker, ORDER_BRANCH, a->view.frame_steps[a->shown_frame], o);
    a->asked_for++;
}

void app_branch(app *a)
{
    if (a->shown_frame < 0 || a->shown_frame >= a->view.frame_count) return;
    a->asked_for = 0;
    if (app_jobs(a, branch_with, a, 1) < 0) {
        app_fail(a);
        return;
    }
    if (!a->asked_for) { /* nothing asked for: with its own text and channels */
        char seed[24];
        snprintf(seed, sizeof seed, "%" PRIu64, a->seed);
        worker_post(a->worker, ORDER_BRANCH, a->view.frame_steps[a->shown_frame], "seed", seed);
    }
    a->shown_frame = -1;
}

void app_next_branch(app *a, int by)
{
    const worker_view *v = &a->view;
    for (int i = 0; i < v->branch_count; i++)
        if (v->branches[i].current && i + by >= 0 && i + by < v->branch_count) {
            worker_post(a->worker, ORDER_SWITCH, (long)v->branches[i + by].id, NULL, NULL);
            a->shown_frame = -1;
            return;
        }
}

void app_pick(app *a, float x, float y)
{
    char place[64];
    const worker_view *v = &a->view;
    float rows = (float)v->map_rows, columns = (float)v->map_columns;
    if (v->map_rows < 2 || !(x >= 0 && x < 1 && y >= 0 && y < 1)) return;
    float column = floorf(x * columns), row = floorf(y * rows);
    bool same = v->place_x >= 0 && column == floorf(v->place_x * columns) &&
                row == floorf(v->place_y * rows);
    snprintf(place, sizeof place, "%.5f %.5f", (double)((column + 0.5f) / columns),
             (double)((row + 0.5f) / rows));
    worker_post(a->worker, ORDER_PICK, 0, NULL, same ? "" : place);
}

/* --- recipes --- */

/* The text of the recipe into field and "avoid", if it has that form. */
static void take_text(app *a, const char *text)
{
    const char *bar = strstr(text, " | "), *colon = bar ? strrchr(bar, ':') : NULL;
    bool simple = bar && colon && colon[1] == '-' && !strstr(bar + 3, " | ") &&
                  (size_t)(colon - bar) < sizeof a->avoid;
    char *line = strndup(text, simple ? (size_t)(bar - text) : strlen(text));
    app_forget_own(a);
    a->text_weight = 1;
    if (!line || !app_take(a, a->text, sizeof a->text, line)) simple = false;
    a->avoid[0] = 0;
    if (simple) {
        snprintf(a->avoid, sizeof a->avoid, "%.*s", (int)(colon - bar - 3), bar + 3);
        a->avoid_weight = -strtof(colon + 1, NULL);
    }
    free(line);
}

void app_use_recipe(app *a, const char *path, bool again)
{
    char *recipe;
    fv_options *o;
    if (fv_recipe_read(&recipe, path) < 0) {
        app_fail(a);
        return;
    }
    fv_status s = fv_options_new(&o);
    if (s >= 0) s = fv_recipe_apply(o, recipe, path);
    free(recipe);
    if (s < 0) {
        app_fail(a);
        return;
    }
    take_text(a, fv_options_get(o, "text"));
    app_take_neurons(a, fv_options_get(o, "llp"));
    if (!app_take(a, a->term, sizeof a->term, fv_options_get(o, "term"))) a->term[0] = 0;
    if (!app_take(a, a->at, sizeof a->at, fv_options_get(o, "at"))) a->at[0] = 0;
    a->seed = strtoull(fv_options_get(o, "seed"), NULL, 10);
    if (!app_take(a, a->start, sizeof a->start, fv_options_get(o, "start"))) a->start[0] = 0;
    if (again) { /* to the byte, with all changes that were made on the way */
        worker_new_group(a->worker);
        worker_post_options(a->worker, ORDER_ADD, 0, o);
        worker_post(a->worker, ORDER_RUN, 0, NULL, NULL);
        a->page = PAGE_IMAGINE;
        a->shown_frame = a->shown_panel = -1;
    }
    const unsigned own = FV_OPTION_ONE | FV_OPTION_MODEL | FV_OPTION_PLACE;
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) { /* the settings become those of the next picture */
        if (!(table[i].flags & own) &&
            fv_options_set(a->options, table[i].name, fv_options_get(o, table[i].name)) < 0)
            app_fail(a);
    }
    a->quality[0] = 0;
    if (*fv_options_notice(o)) app_toast(a, fv_options_notice(o), true);
    fv_options_free(o);
}

static void add_row(app *a, const char *path)
{
    fv_picture p;
    size_t n = strlen(a->match_pictures);
    if (strpbrk(path, "\r\n")) {
        fv_fail(FV_ERR_ARGUMENT, "%s: its name has a line end", path);
        app_fail(a);
        return;
    }
    if (fv_picture_read(&p, path) < 0) {
        app_fail(a);
        return;
    }
    fv_picture_free(&p);
    if (app_take(a, a->match_pictures + n, sizeof a->match_pictures - n - 1, path) && n) {
        memmove(a->match_pictures + n + 1, a->match_pictures + n, strlen(path) + 1);
        a->match_pictures[n] = '\n';
    }
}

/* One picture, or all of a folder. */
static void add_to_match(app *a, const char *path)
{
    fv_list l;
    if (fv_list_pictures(&l, path, NULL, NULL) < 0) {
        app_fail(a);
        return;
    }
    for (int i = 0; i < l.count; i++) add_row(a, l.at[i]);
    fv_list_clear(&l);
    worker_post(a->worker, ORDER_MATCH, 0, a->match_texts, a->match_pictures);
}

/* A PNG with a recipe gives it back; another picture becomes the start, or a row of the
 * similarity page. */
void app_dropped(app *a, const char *path)
{
    char *recipe;
    if (a->page == PAGE_MATCH) {
        add_to_match(a, path);
        return;
    }
    if (fv_recipe_read(&recipe, path) >= 0) {
        free(recipe);
        app_toast(a, tr(a, W_RESTORED), false); /* unless something is said instead */
        app_use_recipe(a, path, false);
    } else {
        fv_picture p;
        if (fv_picture_read(&p, path) < 0) {
            app_fail(a);
            return;
        }
        fv_picture_free(&p);
        if (app_take(a, a->start, sizeof a->start, path))
            app_toast(a, tr(a, W_DROPPED_START), false);
    }
    a->page = PAGE_IMAGINE;
}
