/* See grow.h. */
#include "app/cli/grow.h"
#include "app/cli/json.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Ctrl-C --- */

static fv_session *_Atomic running;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
    fv_session *s = running;
    if (s) fv_session_cancel(s);
}

/* --- progress --- */

typedef struct display {
    bool quiet, terminal;
    int last_step;
    double last_seconds;
    fv_session *session;
    grow_fn after;
    void *user;
} display;

static void print_time(char *out, size_t size, double seconds)
{
    int s = (int)(seconds + 0.5);
    if (s < 100)
        snprintf(out, size, "%d s", s);
    else if (s < 6000)
        snprintf(out, size, "%d:%02d min", s / 60, s % 60);
    else
        snprintf(out, size, "%d:%02d h", s / 3600, s / 60 % 60);
}

static void show_progress(display *d, const fv_progress *p)
{
    bool last = p->step == p->steps;
    double pause = d->terminal ? 0.1 : 5;
    if (d->quiet || (!last && p->step > 1 && p->seconds - d->last_seconds < pause)) return;
    char left[32], scores[128] = "";
    size_t at = 0;
    print_time(left, sizeof left, p->rate > 0 ? (p->steps - p->step) / p->rate : 0);
    if (!isnan(p->cosine))
        at += (size_t)snprintf(scores, sizeof scores, "  cosine %.3f", (double)p->cosine);
    if (!isnan(p->neuron))
        at += (size_t)snprintf(scores + at, sizeof scores - at, "  neuron %.3f", (double)p->neuron);
    if (p->moved >= 0)
        snprintf(scores + at, sizeof scores - at, "  %d/%d codes moved", p->moved, p->cells);
    fprintf(stderr, "%sstep %d/%d%s  %.1f it/s  %s left%s", d->terminal ? "\r" : "", p->step,
            p->steps, scores, p->rate, left, d->terminal ? "\033[K" : "\n");
    fflush(stderr);
    d->last_step = p->step;
    d->last_seconds = p->seconds;
}

static bool after_step(void *user, const fv_progress *p)
{
    display *d = user;
    show_progress(d, p);
    return !d->after || d->after(d->user, d->session, p);
}

static void warn_of_text(const fv_text_report *r, int text, const fv_model *m)
{
    if (r->dropped)
        fprintf(stderr,
                "feavis: text %d has %d tokens, the model reads %d: the last %d are not seen\n",
                text, r->used + r->dropped, fv_model_text_length(m), r->dropped);
    if (r->unknown)
        fprintf(stderr, "feavis: %d of the %d tokens of text %d are unknown to the model\n",
                r->unknown, r->used - 2, text);
    if (*r->little)
        fprintf(stderr, "feavis: %s knows little about: %s\n", cli_shown(fv_model_title(m)),
                cli_shown(r->little));
}

void grow_warn(const fv_session *s, fv_model *m)
{
    const fv_text_report *r;
    for (int k = 0; k < fv_model_guide_count(m); k++)
        for (int i = 0; (r = fv_session_guide_report(s, k, i)); i++)
            warn_of_text(r, i + 1, fv_model_guide(m, k));
}

/* --- names --- */

/* Texts alone, as presets of a style have them: not what a picture is called by. */
static bool is_style(const char *term)
{
    for (; *term; term += strcspn(term, "|")) {
        term += strspn(term, "| ");
        if (strncmp(term, "text=", 5) != 0) return false;
    }
    return true;
}

const char *grow_title(const fv_options *o, char *buffer, size_t size)
{
    const char *text = fv_options_get(o, "text"), *llp = fv_options_get(o, "llp");
    char *title = NULL; /* no folders of this disk in names */
    const char *term = fv_term_title(&title, fv_options_get(o, "term")) < 0 ? "" : title;
    const char *at = fv_options_get(o, "at");
    if (*text && is_style(term)) term = "";
    bool before = *text || *llp;
    int n = snprintf(buffer, size, "%s%s%s%s%s%s%s%s", text, *text && *llp ? "-" : "",
                     *llp ? "llp-" : "", llp, before && *term ? "-" : "", term,
                     (before || *term) && *at ? "-" : "", at);
    free(title);
    if (n >= (int)size) { /* no half character */
        size_t end = size - 1;
        while (end && ((unsigned char)buffer[end - 1] & 0xc0) == 0x80) end--;
        buffer[end && (unsigned char)buffer[end - 1] >= 0xc0 ? end - 1 : end] = 0;
    }
    return buffer;
}

/* --- running --- */

void grow_catch_interrupts(void)
{
    cli_catch_interrupts(on_interrupt);
}

bool grow_interrupted(void)
{
    return interrupted;
}

fv_status grow_run_with(fv_session *s, bool quiet, grow_fn after, void *user)
{
    display d = {.quiet = quiet,
                 .terminal = isatty(STDERR_FILENO),
                 .session = s,
                 .after = after,
                 .user = user};
    running = s;
    if (interrupted) fv_session_cancel(s);
    fv_status status = fv_session_run(s, after_step, &d);
    running = NULL;
    if (d.terminal && d.last_step && !quiet) fputc('\n', stderr);
    return status;
}

fv_status grow_run(fv_session *s, bool quiet)
{
    return grow_run_with(s, quiet, NULL, NULL);
}

fv_status grow_save(fv_session *s, const char *folder, const char *title, fv_picture *picture,
                    char **path)
{
    char *recipe;
    uint64_t seed = strtoull(fv_session_option(s, "seed"), NULL, 10);
    FV_TRY(fv_session_picture(s, picture, NULL));
    FV_TRY(fv_session_recipe(s, &recipe));
    fv_status status = fv_gallery_add(folder, title, seed, picture, recipe, path);
    free(recipe);
    if (status >= 0 && json_on()) {
        json_begin("picture");
        json_path("path", *path);
        json_text("title", title);
        json_text("seed", fv_session_option(s, "seed"));
        json_end();
    } else if (status >= 0) {
        printf("%s\n", *path);
    }
    cli_flush();
    return status;
}

fv_status grow_check_start(const fv_model *m, const fv_options *o, const char *what)
{
    fv_decoder_info d;
    bool decodes = strcmp(fv_options_get(o, "param"), "vqgan") == 0;
    if (!decodes || !fv_model_decoder_info(m, &d) || d.encodes) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT,
                   "%s starts each picture from one before, and %s has no encoder to do so: give "
                   "another --param, or a --decoder with an encoder",
                   what, d.title);
}
