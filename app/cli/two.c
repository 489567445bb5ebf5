/* feavis two A B: two pictures of the same options but for what is said, side by side: two texts,
 * or with --against another seed, model or any option. Results in a folder: both pictures with
 * their recipes; sheet.png (A, B, difference, figures); two.png, how both grew; two.csv. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/critic.h"
#include "feavis/film.h"
#include "feavis/lists.h"
#include "feavis/sheet.h"
#include "feavis/two.h"

enum { FRAMES = 24, MILLISECONDS = 80, CELL = 160 };

typedef struct side {
    fv_options *options;
    char *title, *text; /* as it is shown; the first text, or "" */
    fv_model *model;    /* NULL: the other side's */
    fv_picture frames[FRAMES];
    int frame_count;
} side;

typedef struct two {
    cli *c;
    side sides[2];
    fv_picture pictures[2];
    fv_two seen[2]; /* by each model */
    int models;
    char *folder;
} two;

/* --- what they are of --- */

/* The next part of *at up to a bar that no backslash stands before, without spaces around it and
 * with "\|" as "|"; NULL: no memory. Caller frees. */
static char *next_part(const char **at)
{
    char *out = malloc(strlen(*at) + 1);
    size_t n = 0;
    const char *from = *at + strspn(*at, " ");
    if (!out) return NULL;
    for (; *from && *from != '|'; from++) {
        if (from[0] == '\\' && from[1] == '|') from++;
        out[n++] = *from;
    }
    while (n && out[n - 1] == ' ') n--;
    out[n] = 0;
    *at = *from ? from + 1 : from;
    return out;
}

/* "seed=8" */
static fv_status set_one(fv_options *o, char *part)
{
    char *value = strchr(part, '=');
    if (!value || value == part)
        return fv_fail(FV_ERR_ARGUMENT, "--against \"%.80s\": expected NAME=VALUE, as seed=8",
                       part);
    *value++ = 0;
    part[strcspn(part, " ")] = 0;
    const fv_option *row = fv_option_find(part);
    if (row && row->flags & FV_OPTION_PLACE)
        return fv_fail(FV_ERR_ARGUMENT, "--against %s: where results go is said once, for both",
                       part);
    return fv_options_set(o, part, value + strspn(value, " "));
}

static fv_status set_against(two *q)
{
    const char *at = q->c->against;
    fv_status s = FV_OK;
    int said = 0;
    while (s >= 0 && *at) {
        char *part = next_part(&at);
        if (!part) return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
        if (*part) s = set_one(q->sides[1].options, part);
        said += *part != 0;
        free(part);
    }
    if (s < 0 || said) return s;
    return fv_fail(FV_ERR_ARGUMENT, "--against says nothing: expected NAME=VALUE, as seed=8");
}

/* Two texts of the command line. */
static fv_status split_words(two *q)
{
    fv_list texts;
    FV_TRY(fv_list_line(&texts, q->c->words ? q->c->words : ""));
    fv_status s = texts.count == 2
                      ? FV_OK
                      : fv_fail(FV_ERR_ARGUMENT,
                                "two needs two texts, feavis two 蝴蝶 butterfly or \"a cat | "
                                "a dog\"; or one, and --against (help two)");
    for (int i = 0; i < 2 && s >= 0; i++)
        s = fv_options_set(q->sides[i].options, "text", texts.at[i]);
    fv_list_clear(&texts);
    return s;
}

static fv_status name_side(two *q, int i)
{
    side *s = &q->sides[i];
    char *reading;
    FV_TRY(fv_options_asked(s->options, &reading));
    if (reading && !q->c->quiet) fprintf(stderr, "feavis: %s\n", cli_shown(reading));
    free(reading);
    FV_TRY(fv_options_first_text(s->options, &s->text));
    const char *text = *s->text ? s->text : fv_options_get(s->options, "llp");
    bool other = i && q->c->against, again = other && strcmp(s->text, q->sides[0].text) == 0;
    int n = asprintf(&s->title, "%s%s%s", again ? "" : text, other && !again ? "  " : "",
                     other ? q->c->against : "");
    if (n >= 0) return FV_OK;
    s->title = NULL;
    return fv_fail(FV_ERR_MEMORY, "reading arguments: out of memory");
}

static fv_status read_sides(two *q)
{
    for (int i = 0; i < 2; i++) FV_TRY(fv_options_copy(&q->sides[i].options, q->c->options));
    if (q->c->against) {
        for (int i = 0; q->c->words && i < 2; i++)
            FV_TRY(fv_options_set(q->sides[i].options, "text", q->c->words));
        FV_TRY(set_against(q));
    } else {
        FV_TRY(split_words(q));
    }
    for (int i = 0; i < 2; i++) FV_TRY(name_side(q, i));
    return FV_OK;
}

/* --- growing --- */

static fv_model *model_of(const two *q, int i)
{
    return q->sides[i].model ? q->sides[i].model : q->sides[0].model;
}

static fv_status open_models(two *q)
{
    q->models = fv_options_same_model(q->sides[0].options, q->sides[1].options) ? 1 : 2;
    for (int i = 0; i < q->models; i++)
        FV_TRY(fv_model_open(&q->sides[i].model, q->sides[i].options));
    for (int i = 0; i < 2; i++) /* before the work */
        FV_TRY(fv_options_check_channels(q->sides[i].options, model_of(q, i)));
    return FV_OK;
}

/* What --against asks for can begin: before the first picture grows, and not after. */
static fv_status try_second(const two *q)
{
    fv_session *s;
    if (!q->c->against) return FV_OK;
    FV_TRY(fv_session_open(&s, model_of(q, 1), q->sides[1].options));
    fv_session_close(s);
    return FV_OK;
}

static bool note_frame(void *user, fv_session *s, const fv_progress *p)
{
    side *d = user;
    bool due =
        p->step == p->steps || p->step * FRAMES / p->steps > (p->step - 1) * FRAMES / p->steps;
    if (due && d->frame_count < FRAMES && fv_session_preview(s, &d->frames[d->frame_count]) >= 0)
        d->frame_count++;
    return true; /* a frame less is no reason to stop */
}

static fv_status keep(two *q, fv_session *s, int i)
{
    char *title, *path = NULL;
    if (asprintf(&title, "%c-%s", "ab"[i], *q -> sides[i].text ? q->sides[i].text : "neuron") < 0)
        return fv_fail(FV_ERR_MEMORY, "saving a picture: out of memory");
    fv_status status = grow_save(s, q->folder, title, &q->pictures[i], &path);
    free(title);
    free(path);
    return status;
}

static fv_status grow_side(two *q, int i)
{
    fv_session *s;
    side *d = &q->sides[i];
    FV_TRY(fv_session_open(&s, model_of(q, i), d->options));
    if (!q->c->quiet) fprintf(stderr, "%c: %s\n", "AB"[i], cli_shown(d->title));
    grow_warn(s, model_of(q, i));
    fv_status status = grow_run_with(s, q->c->quiet, note_frame, d);
    fv_status kept = status >= 0 ? keep(q, s, i) : FV_OK;
    fv_session_close(s);
    return kept < 0 ? kept : status;
}

/* --- figures --- */

static fv_status measure(two *q)
{
    const char *texts[2] = {q->sides[0].text, q->sides[1].text};
    for (int k = 0; k < q->models; k++) {
        fv_critic *critic;
        FV_TRY(fv_critic_open(&critic, model_of(q, k)));
        fv_status s = fv_two_measure(&q->seen[k], critic, model_of(q, k), q->pictures, texts);
        fv_critic_close(critic);
        FV_TRY(s);
        char title[sizeof q->seen[k].model];
        memcpy(title, q->seen[k].model, sizeof title);
        if (q->models > 1) /* two of one family have one title */
            snprintf(q->seen[k].model, sizeof title, "%c: %.90s", "AB"[k], title);
    }
    return FV_OK;
}

/* One figure: a row of the table, an object of --json. picture, text: -1 none. */
typedef void (*figure_fn)(void *user, const two *q, const char *figure, int model, int picture,
                          int text, double value);

static void each_figure(const two *q, figure_fn fn, void *user)
{
    bool same = strcmp(q->sides[0].text, q->sides[1].text) == 0;
    fn(user, q, "pixel_difference", -1, -1, -1, fv_two_pixels(q->pictures));
    for (int m = 0; m < q->models; m++) {
        fn(user, q, "embedding_difference", m, -1, -1, 1 - (double)q->seen[m].likeness);
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < (same ? 1 : 2); t++)
                if (!isnan(q->seen[m].cosines[i][t]))
                    fn(user, q, "cosine", m, i, t, (double)q->seen[m].cosines[i][t]);
    }
}

static void write_figure(void *user, const two *q, const char *figure, int model, int picture,
                         int text, double value)
{
    FILE *to = user;
    fprintf(to, "%s,", figure);
    if (model >= 0) many_field(to, q->seen[model].model);
    fprintf(to, ",%s,", picture < 0 ? "" : picture ? "b" : "a");
    if (text >= 0) many_field(to, q->sides[text].text);
    fprintf(to, ",%.6f\n", value);
}

static void tell_figure(void *user, const two *q, const char *figure, int model, int picture,
                        int text, double value)
{
    (void)user;
    if (json_on()) {
        json_begin("figure");
        json_text("figure", figure);
        json_text("model", model < 0 ? NULL : q->seen[model].model);
        json_text("picture", picture < 0 ? NULL : picture ? "b" : "a");
        json_text("text", text < 0 ? NULL : q->sides[text].text);
        json_number("value", value);
        json_end();
    } else if (model < 0) {
        printf("pixel difference      %.1f of 255\n", value);
    } else if (picture < 0) {
        printf("embedding difference  %.3f  (%s)\n", value, cli_shown(q->seen[model].model));
    } else {
        printf("cosine of %c           %.3f  with %s\n", "AB"[picture], value,
               cli_shown(q->sides[text].text));
    }
}

static fv_status save_table(const two *q)
{
    many_file f;
    FV_TRY(many_open(&f));
    fputs("figure,model,picture,text,value\n", f.to);
    each_figure(q, write_figure, f.to);
    FV_TRY(many_save(&f, q->folder, "two.csv"));
    many_tell(q->folder, "two.csv");
    return FV_OK;
}

static fv_status save_sheet(const two *q)
{
    fv_picture sheet;
    const char *titles[2] = {q->sides[0].title, q->sides[1].title},
               *texts[2] = {q->sides[0].text, q->sides[1].text};
    FV_TRY(fv_two_sheet(&sheet, q->pictures, titles, texts, q->seen, q->models));
    fv_status s = many_picture(&sheet, q->folder, "sheet.png");
    fv_picture_free(&sheet);
    if (s >= 0) many_tell(q->folder, "sheet.png");
    return s;
}

/* A, B and their difference at one moment. */
static fv_status draw_frame(const two *q, int f, fv_picture *out)
{
    const fv_picture both[2] = {q->sides[0].frames[f], q->sides[1].frames[f]};
    fv_picture three[3] = {both[0], both[1]};
    const char *captions[3] = {q->sides[0].title, q->sides[1].title, "|A − B|"};
    FV_TRY(fv_two_difference(&three[2], both));
    fv_status s = fv_sheet_make(out, three, captions, 3, 3, CELL);
    fv_picture_free(&three[2]);
    return s;
}

static fv_status save_film(const two *q)
{
    fv_picture film[FRAMES];
    char *path = NULL;
    int count = 0;
    int most = q->sides[0].frame_count < q->sides[1].frame_count ? q->sides[0].frame_count
                                                                 : q->sides[1].frame_count;
    fv_status s = many_path(&path, q->folder, "two.png");
    for (; s >= 0 && count < most; count += s >= 0) s = draw_frame(q, count, &film[count]);
    if (s >= 0 && count) s = fv_film_write(film, count, MILLISECONDS, NULL, path);
    for (int i = 0; i < count; i++) fv_picture_free(&film[i]);
    free(path);
    if (s >= 0 && count) many_tell(q->folder, "two.png");
    return s;
}

/* --- all --- */

/* What is written into a folder that is there is no picture that the run begins with. */
static fv_status check_starts(const two *q)
{
    static const char *const names[] = {"sheet.png", "two.png", "two.csv", NULL};
    for (int i = 0; i < 2; i++)
        FV_TRY(place_apart_inside(fv_options_get(q->c->options, "out"), names,
                                  fv_options_get(q->sides[i].options, "start"), "its start"));
    return FV_OK;
}

static fv_status run(two *q)
{
    FV_TRY(read_sides(q));
    FV_TRY(check_starts(q));
    FV_TRY(open_models(q));
    FV_TRY(try_second(q));
    FV_TRY(many_folder(&q->folder, q->c, "two"));
    for (int i = 0; i < 2; i++) {
        fv_status s = grow_side(q, i);
        if (s != FV_OK) return s;
    }
    FV_TRY(measure(q));
    each_figure(q, tell_figure, NULL);
    FV_TRY(save_sheet(q));
    FV_TRY(save_film(q));
    return save_table(q);
}

int command_two(cli *c)
{
    two q = {.c = c};
    grow_catch_interrupts();
    fv_status s = run(&q);
    int status = s < 0 ? cli_fail() : grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    for (int i = 0; i < 2; i++) {
        side *d = &q.sides[i];
        for (int f = 0; f < d->frame_count; f++) fv_picture_free(&d->frames[f]);
        fv_picture_free(&q.pictures[i]);
        fv_options_free(d->options);
        free(d->title);
        free(d->text);
    }
    for (int i = 0; i < 2; i++) fv_model_close(q.sides[i].model);
    free(q.folder);
    return status;
}
