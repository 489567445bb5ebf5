/* What the window can do, whoever asks for it: buttons, keys, files dropped on it. */
#include "app/app.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

void app_toast(app *a, const char *text, bool bad)
{
    snprintf(a->toast, sizeof a->toast, "%s", text);
    a->toast_until = (double)SDL_GetTicks64() / 1000 + (bad ? 8 : 4);
    a->toast_bad = bad;
}

void app_fail(app *a)
{
    app_toast(a, fv_error(), true);
}

bool app_busy(const app *a)
{
    return a->view.phase == WORKER_RUNNING || a->view.phase == WORKER_PAUSED;
}

/* --- texts --- */

static bool says_weight(const char *line)
{
    const char *colon = strrchr(line, ':');
    char *end;
    if (strchr(line, '|')) return true;
    if (!colon) return false;
    strtof(colon + 1, &end);
    return end != colon + 1 && !*end;
}

bool app_has_weight(const app *a)
{
    char line[1024];
    for (int i = 0; *nth_line(a->text, i, line, sizeof line); i++)
        if (says_weight(line)) return false;
    return a->text[strspn(a->text, " \t\r\n")];
}

char *app_compose(const app *a, const char *line)
{
    char *out, weight[16] = "", avoid[600] = "";
    bool avoids = strspn(a->avoid, " \t") < strlen(a->avoid);
    if (a->text_weight != 1 && *line && !says_weight(line))
        snprintf(weight, sizeof weight, ":%.2f", (double)a->text_weight);
    if (avoids) snprintf(avoid, sizeof avoid, " | %s:%.2f", a->avoid, -(double)a->avoid_weight);
    return asprintf(&out, "%s%s%s", line, weight, avoid) < 0 ? NULL : out;
}

static void compose_neurons(const app *a, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (int i = 0; i < a->neuron_count && n < size; i++)
        if (a->neurons[i].weight != 0)
            n += (size_t)snprintf(out + n, size - n, "%s%d:%.3g", n ? "," : "",
                                  a->neurons[i].number, (double)a->neurons[i].weight);
}

fv_status app_options_for(const app *a, const char *line, fv_options **out)
{
    char seed[16], llp[256];
    snprintf(seed, sizeof seed, "%d", a->seed);
    compose_neurons(a, llp, sizeof llp);
    FV_TRY(fv_options_copy(out, a->options));
    char *text = app_compose(a, line);
    fv_status s = text ? fv_options_set(*out, "text", text) : FV_ERR_MEMORY;
    if (s >= 0) s = fv_options_set(*out, "seed", seed);
    if (s >= 0) s = fv_options_set(*out, "llp", llp);
    if (s >= 0) s = fv_options_set(*out, "start", a->start);
    if (s >= 0) s = fv_options_wake_channels(*out);
    free(text);
    if (s < 0) fv_options_free(*out);
    return s;
}

/* Calls fn for every line that is not blank; the number of them. */
static int each_line(app *a, const char *text, void (*fn)(app *, const char *))
{
    char line[1024];
    int count = 0;
    while (*text) {
        size_t n = strcspn(text, "\r\n"), lead = strspn(text, " \t");
        if (lead < n) {
            if (fn) {
                snprintf(line, sizeof line, "%.*s", (int)(n - lead), text + lead);
                fn(a, line);
            }
            count++;
        }
        text += n + (text[n] != 0);
    }
    return count;
}

static void add_line(app *a, const char *line)
{
    fv_options *o;
    if (app_options_for(a, line, &o) < 0) {
        app_fail(a);
        return;
    }
    worker_post_options(a->worker, ORDER_ADD, 0, o);
    fv_options_free(o);
}

void app_imagine(app *a)
{
    bool neurons = a->neuron_count > 0;
    int lines = each_line(a, a->text, NULL);
    if (!lines && !neurons) return;
    state_save(a); /* before anything comes of it: a crash does not take the text along */
    worker_new_group(a->worker);
    if (lines)
        each_line(a, a->text, add_line);
    else
        add_line(a, "");
    worker_post(a->worker, ORDER_RUN, 0, NULL, NULL);
    a->page = PAGE_IMAGINE;
    a->shown_moment = a->shown_panel = -1;
}

static char first[1024]; /* each_line's line, for the two below */
static void take_first(app *a, const char *line)
{
    (void)a;
    if (!*first) snprintf(first, sizeof first, "%s", line);
}

void app_change_text(app *a)
{
    *first = 0;
    each_line(a, a->text, take_first);
    char *text = app_compose(a, first);
    if (text && *first) worker_post(a->worker, ORDER_SET, 0, "text", text);
    free(text);
}

void app_set_neurons(app *a)
{
    char llp[256];
    compose_neurons(a, llp, sizeof llp);
    worker_post(a->worker, ORDER_SET, 0, "llp", llp);
}

void app_random_seed(app *a)
{
    uint64_t x = SDL_GetPerformanceCounter() * 6364136223846793005u + (uint64_t)a->seed;
    a->seed = (int)((x >> 33) % 100000);
}

/* --- keys --- */

void app_space(app *a)
{
    worker_order order = a->view.phase == WORKER_RUNNING ? ORDER_PAUSE : ORDER_RUN;
    worker_post(a->worker, order, 0, NULL, NULL);
    a->shown_moment = a->shown_panel = -1;
}

void app_escape(app *a)
{
    if (app_busy(a)) worker_post(a->worker, ORDER_KEEP, 0, NULL, NULL);
}

/* --- branches, places --- */

void app_branch(app *a)
{
    char line[1024];
    fv_options *o;
    if (a->shown_moment < 0 || a->shown_moment >= a->view.moment_count) return;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(a->text, "\r\n"), a->text);
    bool as_it_is = !*line && !a->neuron_count; /* nothing asked for: with its own text */
    if (app_options_for(a, line, &o) < 0) {
        app_fail(a);
        return;
    }
    if (as_it_is &&
        (fv_options_set(o, "text", a->view.text) < 0 || fv_options_set(o, "llp", a->view.llp) < 0))
        app_fail(a);
    worker_post_options(a->worker, ORDER_BRANCH, a->view.moment_steps[a->shown_moment], o);
    fv_options_free(o);
    a->shown_moment = -1;
}

void app_next_line(app *a, int by)
{
    const worker_view *v = &a->view;
    for (int i = 0; i < v->line_count; i++)
        if (v->lines[i].current && i + by >= 0 && i + by < v->line_count) {
            worker_post(a->worker, ORDER_LINE, (long)v->lines[i + by].id, NULL, NULL);
            a->shown_moment = -1;
            return;
        }
}

void app_pick(app *a, float x, float y)
{
    char place[64];
    const worker_view *v = &a->view;
    float side = (float)v->map_side;
    if (v->map_side < 1 || !(x >= 0 && x < 1 && y >= 0 && y < 1)) return;
    float column = floorf(x * side), row = floorf(y * side);
    bool same =
        v->place_x >= 0 && column == floorf(v->place_x * side) && row == floorf(v->place_y * side);
    snprintf(place, sizeof place, "%.5f %.5f", (double)((column + 0.5f) / side),
             (double)((row + 0.5f) / side));
    worker_post(a->worker, ORDER_PICK, 0, NULL, same ? "" : place);
}

/* --- presets, recipes --- */

/* A preset's settings become those of the next picture; its texts go into the field. */
void app_use_preset(app *a, const char *name)
{
    fv_preset *p;
    if (fv_preset_open(&p, name) < 0 || fv_preset_apply(p, a->options) < 0) {
        app_fail(a);
        return;
    }
    int n = fv_preset_picture_count(p);
    size_t at = 0;
    a->neuron_count = n ? 0 : a->neuron_count;
    for (int i = 0; i < n && at < sizeof a->text - 1; i++) {
        fv_options *o;
        if (fv_options_copy(&o, a->options) < 0 || fv_preset_picture(p, i, o) < 0) break;
        const char *text = fv_options_get(o, "text"), *llp = fv_options_get(o, "llp");
        if (*llp && !a->neuron_count) /* the field has one set of neurons for all lines */
            a->neurons[a->neuron_count++] =
                (app_neuron){atoi(llp), strchr(llp, ':') ? strtof(strchr(llp, ':') + 1, NULL) : 1};
        bool repeated = at && strstr(a->text, text);
        if (!repeated)
            at += (size_t)snprintf(a->text + at, sizeof a->text - at, "%s%s", at ? "\n" : "", text);
        fv_options_free(o);
    }
    if (!n) snprintf(a->quality, sizeof a->quality, "%s", name);
    fv_preset_close(p);
}

static void take_neurons(app *a, const char *llp)
{
    a->neuron_count = 0;
    while (*llp && a->neuron_count < APP_NEURONS) {
        char *end;
        app_neuron n = {(int)strtol(llp, &end, 10), 1};
        if (end == llp) break;
        if (*end == ':') n.weight = strtof(end + 1, &end);
        a->neurons[a->neuron_count++] = n;
        llp = end + strspn(end, ", ");
    }
}

/* The text of the recipe into field and "avoid", if it has that form. */
static void take_text(app *a, const char *text)
{
    const char *bar = strstr(text, " | "), *colon = bar ? strrchr(bar, ':') : NULL;
    bool simple = bar && colon && colon[1] == '-' && !strstr(bar + 3, " | ");
    if (simple) {
        snprintf(a->text, sizeof a->text, "%.*s", (int)(bar - text), text);
        snprintf(a->avoid, sizeof a->avoid, "%.*s", (int)(colon - bar - 3), bar + 3);
        a->avoid_weight = -strtof(colon + 1, NULL);
    } else {
        snprintf(a->text, sizeof a->text, "%s", text);
        a->avoid[0] = 0;
    }
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
    take_neurons(a, fv_options_get(o, "llp"));
    a->seed = atoi(fv_options_get(o, "seed"));
    snprintf(a->start, sizeof a->start, "%s", fv_options_get(o, "start"));
    if (again) { /* to the byte, with all changes that were made on the way */
        worker_new_group(a->worker);
        worker_post_options(a->worker, ORDER_ADD, 0, o);
        worker_post(a->worker, ORDER_RUN, 0, NULL, NULL);
        a->page = PAGE_IMAGINE;
        a->shown_moment = a->shown_panel = -1;
    }
    static const char *const kept[] = {"stop",       "text",   "llp",        "seed",  "start",
                                       "start-hash", "config", "checkpoint", "vocab", "backend"};
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) { /* the settings become those of the next picture */
        bool own = !(table[i].flags & FV_OPTION_RECIPE);
        for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++)
            own = own || strcmp(table[i].name, kept[k]) == 0;
        if (!own && fv_options_set(a->options, table[i].name, fv_options_get(o, table[i].name)) < 0)
            app_fail(a);
    }
    a->quality[0] = 0;
    fv_options_free(o);
}

/* One picture, or all of a folder. */
static void add_to_match(app *a, const char *path)
{
    fv_list l;
    if (fv_list_pictures(&l, path, NULL, NULL) < 0) {
        app_fail(a);
        return;
    }
    for (int i = 0; i < l.count; i++) {
        fv_picture p;
        size_t n = strlen(a->match_pictures);
        if (n + strlen(l.at[i]) + 2 > sizeof a->match_pictures) break;
        if (fv_picture_read(&p, l.at[i]) < 0) {
            app_fail(a);
            continue;
        }
        fv_picture_free(&p);
        snprintf(a->match_pictures + n, sizeof a->match_pictures - n, "%s%s", n ? "\n" : "",
                 l.at[i]);
    }
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
        app_use_recipe(a, path, false);
        app_toast(a, tr(a, W_RESTORED), false);
    } else {
        fv_picture p;
        if (fv_picture_read(&p, path) < 0) {
            app_fail(a);
            return;
        }
        fv_picture_free(&p);
        snprintf(a->start, sizeof a->start, "%s", path);
        app_toast(a, tr(a, W_DROPPED_START), false);
    }
    a->page = PAGE_IMAGINE;
}
