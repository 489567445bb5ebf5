/* feavis walk A B C: from one text or picture to the next and back to the first, as a film that
 * loops. What is climbed goes along the great circle between two unit vectors,
 *
 *     sin((1 - u) w) / sin w * a + sin(u w) / sin w * b,      w the angle between a and b,
 *
 * which is a sum of two cosines with these weights. Each frame is a picture of its own that starts
 * from the one before, paled towards grey: what was climbed for the stops behind fades. It goes
 * round twice, the second time for the film: its end is then near its beginning. Results in a
 * folder: 000.png and so on, each with its recipe, and what it started from; walk.png, walk.gif,
 * sheet.png. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/critic.h"
#include "feavis/film.h"
#include "feavis/gif.h"
#include "feavis/lists.h"
#include "feavis/sheet.h"

enum {
    MOST = 12,
    FRAMES = 12,
    PACE = 12 /* steps a frame */,
    KEPT = 60 /* of a colour's distance from grey, hundredths */,
    MILLISECONDS = 90,
    CELL = 192
};

typedef struct stop {
    char *name; /* a text, or the path of a picture */
    bool picture;
    float *unit; /* its embedding */
} stop;

typedef struct walk {
    cli *c;
    fv_model *model;
    stop stops[MOST];
    int count, frames; /* frames: from one stop to the next */
    float angles[MOST];
    fv_picture *film; /* [count * frames] */
    int made;
    char *folder, *start; /* of the next frame; NULL before the first */
} walk;

/* --- where it goes --- */

/* By how it is written: with an ending of pictures, or from a folder on. A text is no such thing.
 */
static bool names_file(const char *name)
{
    static const char *const begins[] = {"/", "./", "../", "~/"};
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0) return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t e = strlen(endings[i]);
        if (n > e && strcasecmp(name + n - e, endings[i]) == 0) return true;
    }
    return false;
}

static fv_status add_stop(walk *w, const char *name)
{
    if (w->count == MOST)
        return fv_fail(FV_ERR_ARGUMENT, "walk: more than %d texts or pictures", MOST);
    stop *s = &w->stops[w->count];
    s->name = strdup(name);
    if (!s->name) return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
    w->count++;
    s->picture = names_file(s->name);
    if (!s->picture || access(s->name, R_OK) == 0) return FV_OK;
    return fv_fail(FV_ERR_IO, "walk: opening the picture %s: %s", s->name, strerror(errno));
}

static fv_status read_stops(walk *w)
{
    fv_list names;
    fv_status s = FV_OK;
    FV_TRY(fv_list_line(&names, w->c->words ? w->c->words : ""));
    for (int i = 0; i < names.count && s >= 0; i++) s = add_stop(w, names.at[i]);
    fv_list_clear(&names);
    if (s < 0 || w->count >= 2) return s;
    return fv_fail(FV_ERR_ARGUMENT,
                   "walk needs two texts or pictures: feavis walk 春 夏, or \"a | b\"");
}

static fv_status embed(walk *w, fv_critic *c, stop *s)
{
    fv_picture p;
    s->unit = malloc((size_t)fv_model_dim(w->model) * sizeof *s->unit);
    if (!s->unit) return fv_fail(FV_ERR_MEMORY, "walking: out of memory");
    if (!s->picture) return fv_model_embed_text(w->model, s->name, s->unit, NULL);
    FV_TRY(fv_picture_read(&p, s->name));
    fv_status status = fv_critic_embed(c, &p, s->unit);
    fv_picture_free(&p);
    return status;
}

/* From stop i to the next. */
static void tell_angle(const walk *w, int i)
{
    const char *from = w->stops[i].name, *to = w->stops[(i + 1) % w->count].name;
    double degrees = (double)w->angles[i] * 180 / M_PI;
    if (json_on()) {
        json_begin("leg");
        json_text("from", from);
        json_text("to", to);
        json_number("degrees", degrees);
        json_end();
    } else if (!w->c->quiet) {
        fprintf(stderr, "%s to %s: %.0f degrees\n", cli_shown(from), cli_shown(to), degrees);
    }
}

static fv_status find_angles(walk *w)
{
    fv_critic *c;
    FV_TRY(fv_critic_open(&c, w->model));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < w->count; i++) s = embed(w, c, &w->stops[i]);
    fv_critic_close(c);
    for (int i = 0; s >= 0 && i < w->count; i++) {
        const float *a = w->stops[i].unit, *b = w->stops[(i + 1) % w->count].unit;
        double dot = 0;
        for (int k = 0; k < fv_model_dim(w->model); k++) dot += (double)a[k] * (double)b[k];
        w->angles[i] = (float)acos(fmax(-1, fmin(1, dot)));
        tell_angle(w, i);
    }
    return s;
}

/* --- weights --- */

/* Of stop i at frame f of a lap. */
static double weight_of(const walk *w, int i, int f)
{
    int leg = f / w->frames % w->count;
    double u = (double)(f % w->frames) / w->frames, angle = (double)w->angles[leg];
    double away = sin(angle) > 1e-4 ? sin((1 - u) * angle) / sin(angle) : 1 - u;
    double towards = sin(angle) > 1e-4 ? sin(u * angle) / sin(angle) : u;
    return (i == leg ? away : 0) + (i == (leg + 1) % w->count ? towards : 0);
}

/* The full-width one: it parts the texts of an option. */
static bool is_bar(const char *at)
{
    return strncmp(at, "｜", 3) == 0;
}

/* The options text (pictures false) or term at frame f; caller frees. */
static char *weigh(const walk *w, int f, bool pictures)
{
    char *out = NULL;
    size_t size;
    bool any = false;
    FILE *to = open_memstream(&out, &size);
    if (!to) return NULL;
    for (int i = 0; i < w->count; i++) {
        const stop *s = &w->stops[i];
        if (s->picture != pictures) continue;
        fputs(any ? " | " : pictures ? "like=" : "", to);
        if (any && pictures) fputs("like=", to);
        for (const char *at = s->name; *at; at++)
            fprintf(to, "%s%c", !pictures && is_bar(at) ? "\\" : "", *at);
        size_t n = strlen(s->name);
        bool hides = !pictures && s->name[n - 1] == '\\'; /* a colon right behind it */
        fprintf(to, pictures ? " *%.4f" : hides ? " :%.4f" : ":%.4f", weight_of(w, i, f));
        any = true;
    }
    if (fclose(to) == 0) return out;
    free(out);
    return NULL;
}

/* --- growing --- */

/* Text and term of frame f, and the frame before as the start. */
static fv_status ask(const walk *w, int f, fv_options *o)
{
    static const char *const names[2] = {"text", "term"};
    for (int k = 0; k < 2; k++) {
        char *value = weigh(w, f, k == 1);
        if (!value) return fv_fail(FV_ERR_MEMORY, "walking: out of memory");
        fv_status status = *value ? fv_options_set(o, names[k], value) : FV_OK;
        free(value);
        FV_TRY(status);
    }
    if (!w->start) return FV_OK;
    FV_TRY(fv_options_set(o, "start", w->start));
    return fv_options_set(o, "start-hash", "");
}

/* A few steps as a picture's last ones are, unless the command line says otherwise. */
static fv_status steady(const walk *w, fv_options *o)
{
    static const char *const values[][2] = {{"rate-end", "1"},        {"warmup", "0"},
                                            {"blur", "1.5"},          {"blur-end", "1.5"},
                                            {"noise", "0.03"},        {"noise-end", "0.03"},
                                            {"colour-shift", "0.02"}, {"colour-shift-end", "0.02"}};
    char number[24];
    snprintf(number, sizeof number, "%d", PACE);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (!cli_has_flag(w->c, values[i][0]))
            FV_TRY(fv_options_set(o, values[i][0], values[i][1]));
    return fv_options_set(o, "steps", number);
}

/* The picture paled, as the start of the next frame. */
static fv_status save_start(walk *w, const fv_picture *from, int f)
{
    char name[32];
    size_t n = (size_t)from->width * (size_t)from->height * 3;
    fv_picture pale = {from->width, from->height, malloc(n)};
    if (!pale.rgb) return fv_fail(FV_ERR_MEMORY, "walking: out of memory");
    for (size_t i = 0; i < n; i++) pale.rgb[i] = (uint8_t)(128 + (from->rgb[i] - 128) * KEPT / 100);
    snprintf(name, sizeof name, "%03d-start.png", f + 1);
    free(w->start);
    w->start = NULL;
    fv_status s = many_picture(&pale, w->folder, name);
    if (s >= 0) s = many_path(&w->start, w->folder, name);
    fv_picture_free(&pale);
    return s;
}

/* Saves the picture as frame f, and takes it over. */
static fv_status save_frame(walk *w, fv_session *s, int f, fv_picture *picture)
{
    char name[32], *recipe = NULL, *path;
    snprintf(name, sizeof name, "%03d.png", f);
    fv_status status = fv_session_recipe(s, &recipe);
    if (status >= 0) status = many_path(&path, w->folder, name);
    if (status >= 0) {
        status = fv_picture_write(picture, path, recipe);
        if (status >= 0 && json_on()) json_file("frame", NULL, path);
        free(path);
    }
    free(recipe);
    if (status >= 0) status = save_start(w, picture, f);
    if (f > w->count * w->frames && status >= 0)
        w->film[w->made++] = *picture;
    else
        fv_picture_free(picture);
    return status;
}

static fv_status grow_frame(walk *w, int f)
{
    fv_options *o;
    fv_session *s;
    fv_picture picture;
    FV_TRY(fv_options_copy(&o, w->c->options));
    fv_status status = ask(w, f, o);
    if (status >= 0 && f) status = steady(w, o);
    if (status >= 0) status = fv_session_open(&s, w->model, o);
    fv_options_free(o);
    FV_TRY(status);
    if (f == 0) grow_warn(s, w->model);
    status = grow_run(s, f || w->c->quiet);
    if (status == FV_OK) status = fv_session_picture(s, &picture, NULL);
    if (status == FV_OK) status = save_frame(w, s, f, &picture);
    fv_session_close(s);
    return status;
}

/* Mean difference of two pictures of one size, of 255. */
static double difference(const fv_picture *a, const fv_picture *b)
{
    size_t n = (size_t)a->width * (size_t)a->height * 3;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += abs(a->rgb[i] - b->rgb[i]);
    return sum / (double)n;
}

static void tell_seam(const walk *w)
{
    double sum = 0;
    if (w->made < 2) return;
    for (int i = 1; i < w->made; i++) sum += difference(&w->film[i - 1], &w->film[i]);
    double mean = sum / (w->made - 1), seam = difference(&w->film[w->made - 1], &w->film[0]);
    if (json_on()) {
        json_begin("seam");
        json_number("between_frames", mean);
        json_number("last_to_first", seam);
        json_end();
    } else if (!w->c->quiet) {
        fprintf(stderr, "from frame to frame %.1f of 255, from the last to the first %.1f\n", mean,
                seam);
    }
}

static fv_status save_sheet(const walk *w)
{
    fv_picture sheet;
    const fv_picture *at = w->film;
    fv_picture chosen[MOST];
    const char *names[MOST];
    int count = 0;
    for (int i = 0; i < w->count; i++) { /* where each stop is reached */
        int f = (i * w->frames + w->count * w->frames - 1) % (w->count * w->frames);
        if (f >= w->made) continue;
        chosen[count] = at[f];
        names[count++] = w->stops[i].name;
    }
    FV_TRY(fv_sheet_make(&sheet, chosen, names, count, count, CELL));
    fv_status s = many_picture(&sheet, w->folder, "sheet.png");
    fv_picture_free(&sheet);
    return s;
}

static fv_status save_films(const walk *w)
{
    char *png, *gif;
    FV_TRY(many_path(&png, w->folder, "walk.png"));
    fv_status s = many_path(&gif, w->folder, "walk.gif");
    if (s >= 0) s = fv_film_write_loop(w->film, w->made, MILLISECONDS, NULL, png);
    if (s >= 0) s = fv_gif_write_loop(w->film, w->made, MILLISECONDS, NULL, gif);
    if (s >= 0) many_tell(w->folder, "walk.png");
    if (s >= 0) many_tell(w->folder, "walk.gif");
    free(png);
    if (s >= 0) free(gif);
    return s;
}

static fv_status grow(walk *w)
{
    fv_status status = FV_OK;
    int all = 2 * w->count * w->frames;
    for (int f = 0; status == FV_OK && f <= all; f++) {
        status = grow_frame(w, f);
        if (!w->c->quiet && f) fprintf(stderr, "frame %d of %d\n", f, all);
    }
    tell_seam(w);
    if (status < 0 || !w->made) return status;
    FV_TRY(save_sheet(w));
    return save_films(w);
}

/* Its files in a folder that is there are none of the pictures it goes by. */
static fv_status check_apart(const walk *w, const char *path)
{
    static const char *const films[] = {"walk.png", "walk.gif", "sheet.png", NULL};
    const char *out = fv_options_get(w->c->options, "out");
    char frame[32], start[32];
    const char *const names[] = {frame, start, NULL};
    if (!*out || access(path, F_OK) != 0) return FV_OK;
    FV_TRY(place_apart_inside(out, films, path, "a picture to read"));
    for (int f = 0; f <= 2 * w->count * w->frames; f++) {
        snprintf(frame, sizeof frame, "%03d.png", f);
        snprintf(start, sizeof start, "%03d-start.png", f + 1);
        FV_TRY(place_apart_inside(out, names, path, "a picture to read"));
    }
    return FV_OK;
}

static fv_status run(walk *w)
{
    cli *c = w->c;
    w->frames = c->frames ? c->frames : FRAMES;
    FV_TRY(read_stops(w));
    FV_TRY(check_apart(w, fv_options_get(c->options, "start")));
    for (int i = 0; i < w->count; i++)
        if (w->stops[i].picture) FV_TRY(check_apart(w, w->stops[i].name));
    w->film = calloc((size_t)w->count * (size_t)w->frames, sizeof *w->film);
    if (!w->film) return fv_fail(FV_ERR_MEMORY, "walking: out of memory");
    FV_TRY(fv_model_open(&w->model, c->options));
    FV_TRY(grow_check_start(w->model, c->options, "walk"));
    FV_TRY(find_angles(w));
    FV_TRY(many_folder(&w->folder, c, "walk"));
    return grow(w);
}

int command_walk(cli *c)
{
    walk w = {.c = c};
    grow_catch_interrupts();
    fv_status s = run(&w);
    int status = s < 0 ? cli_fail() : grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    for (int i = 0; i < w.made; i++) fv_picture_free(&w.film[i]);
    for (int i = 0; i < w.count; i++) {
        free(w.stops[i].name);
        free(w.stops[i].unit);
    }
    free(w.film);
    free(w.folder);
    free(w.start);
    fv_model_close(w.model);
    return status;
}
