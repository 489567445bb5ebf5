/* What the window shows, as the options of pictures to make: a line of the text (or none), what to
 * avoid, channels, a term, seed, start and settings. Whatever asks for a picture of what is shown
 * asks here: imagining, the seed board, branches. A preset's pictures are lines too; what such a
 * line sets for itself alone stays with it while it is the same line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/window/app.h"

bool app_take(app *a, char *out, size_t size, const char *text)
{
    size_t n = strlen(text);
    if (n >= size) {
        fv_fail(FV_ERR_ARGUMENT, "%zu bytes of text, where the window holds %zu: \"%.40s...\"", n,
                size - 1, text);
        app_fail(a);
        return false;
    }
    memcpy(out, text, n + 1);
    return true;
}

/* --- lines --- */

/* `text` as the options read it, or "" where the model has nothing to read. */
static const char *as_read(fv_options *trial, const char *text)
{
    return fv_options_set(trial, "text", text) < 0 ? text : fv_options_get(trial, "text");
}

fv_status app_lines(fv_list *out, const char *text)
{
    fv_list l = {0};
    fv_options *trial;
    FV_TRY(fv_options_new(&trial));
    fv_status s = FV_OK;
    while (s >= 0 && *text) {
        size_t n = strcspn(text, "\r\n"), lead = strspn(text, " \t");
        lead = lead < n ? lead : n;
        char *line = strndup(text + lead, n - lead);
        if (!line)
            s = fv_fail(FV_ERR_MEMORY, "splitting a text: out of memory");
        else if (*as_read(trial, line))
            s = fv_list_add(&l, line);
        free(line);
        text += n + (text[n] != 0);
    }
    fv_options_free(trial);
    if (s < 0)
        fv_list_clear(&l);
    else
        *out = l;
    return s;
}

/* Several texts, or one that says its weight. */
static bool says_weight(const char *line)
{
    fv_options *o;
    char *reading = NULL;
    if (fv_options_new(&o) < 0) return true;
    bool says = fv_options_set(o, "text", line) < 0 || fv_options_asked(o, &reading) < 0 || reading;
    for (const char *at = fv_options_get(o, "text"); *at && !says; at++) {
        says = *at == '|';
        at += *at == '\\' && at[1];
    }
    free(reading);
    fv_options_free(o);
    return says;
}

bool app_has_weight(const app *a)
{
    fv_list lines;
    if ((!a->neuron_count && !*app_term(a)) || app_lines(&lines, a->text) < 0) return false;
    bool has = lines.count > 0;
    for (int i = 0; i < lines.count; i++) has = has && !says_weight(lines.at[i]);
    fv_list_clear(&lines);
    return has;
}

char *app_compose(const app *a, const char *line)
{
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    fputs(line, f);
    if (a->text_weight != 1 && (a->neuron_count || *app_term(a)) && *line && !says_weight(line))
        fprintf(f, ":%.2f", (double)a->text_weight);
    if (a->avoid[strspn(a->avoid, " \t")])
        fprintf(f, " | %s:%.2f", a->avoid, -(double)a->avoid_weight);
    if (fclose(f) == 0) return out;
    free(out);
    return NULL;
}

bool app_asks(const app *a)
{
    return a->neuron_count || *app_term(a) || a->text[strspn(a->text, " \t\r\n")];
}

const char *app_term(const app *a)
{
    return a->term + strspn(a->term, " \t");
}

const char *app_at(const app *a)
{
    return a->at + strspn(a->at, " \t");
}

bool app_at_good(const app *a)
{
    fv_options *o;
    if (fv_options_new(&o) < 0) return false;
    bool good = fv_options_set(o, "at", app_at(a)) >= 0;
    fv_options_free(o);
    return good;
}

/* --- channels --- */

void app_compose_neurons(const app *a, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (int i = 0; i < a->neuron_count && n < size; i++)
        if (a->neurons[i].weight != 0)
            n += (size_t)snprintf(out + n, size - n, "%s%d:%.3g", n ? "," : "",
                                  a->neurons[i].number, (double)a->neurons[i].weight);
}

void app_take_neurons(app *a, const char *llp)
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

/* --- jobs --- */

const app_own *app_own_of(const app *a, int n, const char *line)
{
    bool same = n < a->own_count && strcmp(a->own[n].line, line) == 0;
    return same && !a->neuron_count && !*app_term(a) ? &a->own[n] : NULL;
}

/* Also for no line: what the channels and the term alone want. */
static fv_status job_of(const app *a, const char *line, const app_own *own, fv_options **out)
{
    char seed[24], llp[256];
    fv_options *o;
    snprintf(seed, sizeof seed, "%" PRIu64, a->seed);
    app_compose_neurons(a, llp, sizeof llp);
    FV_TRY(fv_options_copy(&o, a->options));
    char *text = app_compose(a, line), *reading = NULL;
    fv_status s = text ? fv_options_set(o, "text", text)
                       : fv_fail(FV_ERR_MEMORY, "asking for a picture: out of memory");
    if (s >= 0) s = fv_options_set(o, "seed", seed);
    if (s >= 0) s = fv_options_set(o, "llp", llp);
    if (s >= 0) s = fv_options_set(o, "term", app_term(a));
    if (s >= 0) s = fv_options_set(o, "at", app_at(a));
    if (s >= 0) s = fv_options_set(o, "start", a->start);
    for (int i = 0; own && s >= 0 && i < own->names.count; i++)
        s = fv_options_set(o, own->names.at[i], own->values.at[i]);
    if (s >= 0) s = fv_options_wake_channels(o);
    if (s >= 0) s = fv_options_asked(o, &reading);
    free(reading);
    free(text);
    if (s < 0)
        fv_options_free(o);
    else
        *out = o;
    return s;
}

fv_status app_job(const app *a, const char *line, fv_options **out)
{
    return job_of(a, line, NULL, out);
}

fv_status app_jobs(const app *a, app_job_fn fn, void *user, int most)
{
    fv_list lines;
    fv_status s = app_lines(&lines, a->text), first = FV_OK;
    if (s < 0) return s;
    bool alone = !lines.count && (a->neuron_count || *app_term(a));
    for (int i = 0; i < (alone ? 1 : lines.count) && i < most; i++) {
        const char *line = alone ? "" : lines.at[i];
        fv_options *o;
        s = job_of(a, line, app_own_of(a, i, line), &o);
        if (s >= 0) {
            fn(user, o);
            fv_options_free(o);
        } else if (first >= 0)
            first = s;
    }
    fv_list_clear(&lines);
    return first;
}

/* --- presets --- */

void app_forget_own(app *a)
{
    for (int i = 0; i < a->own_count; i++) {
        free(a->own[i].line);
        fv_list_clear(&a->own[i].names);
        fv_list_clear(&a->own[i].values);
    }
    a->own_count = 0;
}

/* What the picture of a preset sets besides its text; channels and terms of the whole preset too,
 * as the window asks for its own. */
static fv_status note_own(app_own *own, const fv_options *picture, const fv_options *all)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        const char *name = table[i].name, *value = fv_options_get(picture, name);
        bool asked = strcmp(name, "llp") == 0 || strcmp(name, "term") == 0;
        const char *without = asked ? "" : fv_options_get(all, name);
        if (strcmp(name, "text") == 0 || strcmp(value, without) == 0) continue;
        FV_TRY(fv_list_add(&own->names, name));
        FV_TRY(fv_list_add(&own->values, value));
    }
    return FV_OK;
}

static fv_status add_own(app *a, const fv_preset *p, int i, FILE *text)
{
    fv_options *o;
    FV_TRY(fv_options_copy(&o, a->options));
    app_own own = {0};
    fv_status s = fv_preset_picture(p, i, o);
    if (s >= 0) s = note_own(&own, o, a->options);
    if (s >= 0) {
        own.line = strdup(fv_options_get(o, "text"));
        if (!own.line) s = fv_fail(FV_ERR_MEMORY, "taking a preset: out of memory");
    }
    fv_options_free(o);
    if (s < 0) {
        fv_list_clear(&own.names);
        fv_list_clear(&own.values);
        return s;
    }
    for (char *at = own.line; *at; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
    a->own[a->own_count++] = own;
    fprintf(text, "%s%s", i ? "\n" : "", own.line);
    return FV_OK;
}

static fv_status take_pictures(app *a, const fv_preset *p, int count)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "taking a preset: out of memory");
    fv_status s = count <= APP_OWN ? FV_OK
                                   : fv_fail(FV_ERR_ARGUMENT,
                                             "a preset of %d pictures, of which "
                                             "the window takes %d",
                                             count, APP_OWN);
    app_forget_own(a);
    for (int i = 0; s >= 0 && i < count; i++) s = add_own(a, p, i, f);
    if (fclose(f) != 0 && s >= 0) s = fv_fail(FV_ERR_MEMORY, "taking a preset: out of memory");
    if (s >= 0 && app_take(a, a->text, sizeof a->text, text)) {
        a->neuron_count = 0;
        a->term[0] = 0;
    }
    free(text);
    if (s < 0) app_forget_own(a);
    return s;
}

/* What settings ask for, if they do. */
static void take_asked(app *a)
{
    const char *llp = fv_options_get(a->options, "llp"), *term = fv_options_get(a->options, "term");
    if (*llp) app_take_neurons(a, llp);
    if (*term) app_take(a, a->term, sizeof a->term, term);
}

void app_use_preset_for(app *a, const char *name, const char *generator)
{
    fv_preset *p;
    fv_status s = fv_preset_open(&p, name);
    if (s >= 0) {
        int count = fv_preset_picture_count(p);
        s = fv_options_set(a->options, "llp", "");
        if (s >= 0) s = fv_options_set(a->options, "term", "");
        if (s >= 0) s = fv_preset_apply_for(p, *generator ? generator : NULL, a->options);
        if (s >= 0 && count) s = take_pictures(a, p, count);
        if (s >= 0 && !count) take_asked(a);
        if (s >= 0 && !count) snprintf(a->quality, sizeof a->quality, "%s", name);
        fv_preset_close(p);
    }
    if (s < 0) app_fail(a);
}

void app_use_preset(app *a, const char *name)
{
    app_use_preset_for(a, name, "");
}

/* A preset says only what differs from the defaults. */
static void take_defaults(app *a)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++)
        if (strcmp(table[i].group, "Model") != 0 && strcmp(table[i].group, "Files") != 0 &&
            fv_options_set(a->options, table[i].name, table[i].value) < 0)
            app_fail(a);
}

void app_use_quality(app *a, const char *name)
{
    bool paper = strcmp(name, "paper") == 0; /* it is of its generator alone */
    take_defaults(a);
    app_use_preset_for(a, name, paper ? "" : a->generator);
    snprintf(a->preset, sizeof a->preset, "%s", paper ? "" : name);
}

void app_choose_generator(app *a, const char *name)
{
    static const char *const by_hand[] = {"steps", "size", "views"};
    char values[3][32];
    bool changed = !a->quality[0];
    if (!a->preset[0] || strcmp(name, fv_options_get(a->options, "param")) == 0) {
        if (fv_options_set(a->options, "param", name) < 0) app_fail(a);
        a->quality[0] = 0;
        return;
    }
    for (int i = 0; i < 3; i++)
        snprintf(values[i], sizeof values[i], "%s", fv_options_get(a->options, by_hand[i]));
    snprintf(a->generator, sizeof a->generator, "%s", name);
    char preset[sizeof a->preset];
    snprintf(preset, sizeof preset, "%s", a->preset);
    app_use_quality(a, preset);
    for (int i = 0; changed && i < 3; i++)
        if (fv_options_set(a->options, by_hand[i], values[i]) < 0) app_fail(a);
    if (changed) a->quality[0] = 0;
}

const char *app_settings(const app *a)
{
    static char text[96];
    const fv_options *o = a->options;
    snprintf(text, sizeof text, "%s %s %s %s %s", fv_options_get(o, "steps"),
             fv_options_get(o, "views"), fv_options_get(o, "size"), fv_options_get(o, "rate"),
             fv_options_get(o, "blur"));
    return text;
}
