/* The commands that make pictures: imagine, neuron, again, resume.
 *
 * A run is a list of jobs, one picture each: options, or one set of options and a list of texts.
 * All that is asked for is checked before the first picture is made. Progress goes to stderr, the
 * path of each finished picture to stdout. Ctrl-C, SIGTERM and SIGHUP (the terminal is closed) keep
 * the picture so far and end with status 130. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/places.h"
#include "app/cli/seeds.h"
#include "app/cli/shard.h"
#include "app/cli/steps.h"
#include "feavis/files.h"

typedef struct jobs {
    fv_options **options; /* [count], or one for all texts */
    fv_list texts;        /* [count] of a file; none: each job's options have its own */
    int count;
    const char *option; /* that the lines are of: "text", "llp" */
} jobs;

/* What is gone on from or made again; NULL each. */
typedef struct origin {
    const char *state, *picture;
} origin;

static fv_status add_job(jobs *j, const fv_options *o)
{
    fv_options **more = realloc(j->options, ((size_t)j->count + 1) * sizeof *more);
    if (!more) return fv_fail(FV_ERR_MEMORY, "making a list of pictures: out of memory");
    j->options = more;
    FV_TRY(fv_options_copy(&j->options[j->count], o));
    j->count++;
    return FV_OK;
}

static void clear_jobs(jobs *j)
{
    for (int i = 0; i < (j->texts.count ? j->count > 0 : j->count); i++)
        fv_options_free(j->options[i]);
    free(j->options);
    fv_list_clear(&j->texts);
}

/* The options of job i, until those of another are asked for. */
static fv_status job(const jobs *j, int i, fv_options **out)
{
    *out = j->options[j->texts.count ? 0 : i];
    return j->texts.count ? fv_options_set(*out, j->option, j->texts.at[i]) : FV_OK;
}

/* --- one picture --- */

/* To --out, or to the gallery; *path, which the caller frees, says where. What cannot go to --out
 * goes to the gallery: work is not lost, and the failure is still reported. */
static fv_status put_picture(const fv_picture *picture, const char *recipe, const fv_options *o,
                             char **path)
{
    const char *out = fv_options_get(o, "out"), *gallery = fv_options_get(o, "gallery");
    char title[512], message[1024] = "";
    fv_status status = FV_OK;
    if (*out) {
        status = fv_picture_write(picture, out, recipe);
        if (status >= 0)
            return (*path = strdup(out)) ? FV_OK : fv_fail(FV_ERR_MEMORY, "out of memory");
        snprintf(message, sizeof message, "%s", fv_error());
        if (fv_gallery_prepare(gallery) < 0) return fv_fail(status, "%s", message);
    }
    fv_status kept =
        fv_gallery_add(gallery, grow_title(o, title, sizeof title),
                       strtoull(fv_options_get(o, "seed"), NULL, 10), picture, recipe, path);
    if (status >= 0) return kept;
    if (kept < 0) return fv_fail(status, "%s", message);
    status = fv_fail(status, "%s; the picture is in %s", message, *path);
    free(*path);
    *path = NULL;
    return status;
}

static void tell_saved(const fv_options *o, const fv_picture *p, const fv_progress *scores,
                       const char *path)
{
    if (!json_on()) {
        printf("%s\n", path);
        return;
    }
    json_begin("picture");
    json_path("path", path);
    json_text("text", fv_options_get(o, "text"));
    json_text("llp", fv_options_get(o, "llp"));
    json_text("seed", fv_options_get(o, "seed"));
    json_whole("width", p->width);
    json_whole("height", p->height);
    json_whole("step", scores->step);
    json_whole("steps", scores->steps);
    json_number("cosine", (double)scores->cosine);
    json_number("neuron", (double)scores->neuron);
    json_number("seconds", scores->seconds);
    json_end();
}

/* *path, which the caller frees, says where; NULL if it was not saved. */
static fv_status save_picture(fv_session *s, const fv_options *o, bool quiet, char **path)
{
    fv_picture picture;
    fv_progress scores;
    char *recipe = NULL;
    *path = NULL;
    FV_TRY(fv_session_picture(s, &picture, &scores));
    fv_status status = fv_session_recipe(s, &recipe);
    if (status >= 0) status = put_picture(&picture, recipe, o, path);
    if (status >= 0) {
        tell_saved(o, &picture, &scores, *path);
        cli_flush();
        if (!quiet && !isnan(scores.cosine))
            fprintf(stderr, "cosine of the whole picture %.3f, %.1f s\n", (double)scores.cosine,
                    scores.seconds);
    }
    fv_picture_free(&picture);
    free(recipe);
    return status;
}

/* The state of a picture that is not finished, to go on from. */
static fv_status pause_session(fv_session *s, const char *state, bool quiet)
{
    FV_TRY(fv_session_save(s, state));
    if (!quiet) fprintf(stderr, "stopped; the same command goes on from %s\n", state);
    return FV_CANCELLED;
}

/* pause: where the state goes if the run is stopped, instead of the picture; or NULL. */
static fv_status run_session(fv_session *s, const fv_options *o, const char *pause, bool quiet,
                             steps_log *log, char **path)
{
    steps_begin(log);
    fv_status status = grow_run_with(s, quiet, steps_note, log);
    if (pause && status != FV_OK)
        return status == FV_CANCELLED ? pause_session(s, pause, quiet) : status;
    if (status == FV_CANCELLED && !quiet) fprintf(stderr, "stopped; keeping the picture so far\n");
    /* a failure in the middle also keeps what there is, then says so */
    char message[1024];
    snprintf(message, sizeof message, "%s", fv_error());
    fv_status saved = save_picture(s, o, quiet, path);
    if (saved >= 0) saved = steps_save_rest(s, o);
    if (status < 0) return fv_fail(status, "%s", message);
    return saved < 0 ? saved : status;
}

/* shown: the options without what is not said of the picture. *path: as of save_picture. */
static fv_status run_job(fv_model *m, const fv_options *o, const fv_options *shown,
                         const char *state, const char *pause, const cli *c, steps_log *log,
                         char **path)
{
    fv_session *s;
    *path = NULL;
    if (pause && access(pause, F_OK) == 0) state = pause;
    FV_TRY(state ? fv_session_resume(&s, m, o, state) : fv_session_open(&s, m, o));
    grow_warn(s, m);
    fv_status status = steps_check_codes(s, shown);
    if (status >= 0) status = run_session(s, shown, pause, c->quiet, log, path);
    fv_session_close(s);
    if (status == FV_OK && pause) remove(pause);
    return status;
}

/* What a picture writes is neither what it reads nor each other. A state may be saved over the one
 * it goes on from. */
static fv_status check_apart(const fv_options *o, const origin *from, const cli *c)
{
    const char *const to[] = {fv_options_get(o, "out"), fv_options_get(o, "save-codes"), c->csv,
                              fv_options_get(o, "state")};
    static const char *const names[] = {"--out", "--save-codes", "--csv", "--state"};
    enum { STATE = 3 };
    for (int i = 0; i <= STATE; i++) {
        for (int k = i + 1; k <= STATE; k++) FV_TRY(place_apart(to[i], names[i], to[k], names[k]));
        FV_TRY(place_apart(to[i], names[i], c->file, "--file"));
        FV_TRY(place_apart(to[i], names[i], from->picture, "the picture to make again"));
        if (i != STATE) FV_TRY(place_apart(to[i], names[i], from->state, "the state to resume"));
        const fv_option *row;
        for (int r = 0; (row = fv_option_at(r)); r++) {
            char name[64];
            if (!(row->flags & FV_OPTION_FILE) || row->flags & FV_OPTION_PLACE) continue;
            snprintf(name, sizeof name, "--%s", row->name);
            FV_TRY(place_apart(to[i], names[i], fv_options_get(o, row->name), name));
        }
    }
    return FV_OK;
}

/* The gallery, or the folder of --out, and that of --state are tried before the work and not after
 * it. */
static fv_status check_target(const fv_options *o, const origin *from, const cli *c)
{
    const char *out = fv_options_get(o, "out"), *state = fv_options_get(o, "state");
    const char *codes = fv_options_get(o, "save-codes");
    FV_TRY(check_apart(o, from, c));
    if (*codes) FV_TRY(place_check(codes, ""));
    if (*state) FV_TRY(place_check(state, ""));
    if (!*out) return fv_gallery_prepare(fv_options_get(o, "gallery"));
    FV_TRY(cli_check_picture(out));
    return place_check(out, "; is it for --gallery?");
}

static void announce(fv_model *m, const fv_options *o, bool opened)
{
    char title[512], *reading;
    const char *size = fv_options_get(o, "size");
    bool square = !strchr(size, 'x');
    if (*fv_model_without_gpu(m) && opened)
        fprintf(stderr, "feavis: %s: the CPU computes\n", fv_model_without_gpu(m));
    if (fv_options_asked(o, &reading) >= 0) {
        if (reading) fprintf(stderr, "feavis: the text is read as %s\n", cli_shown(reading));
        free(reading);
    }
    int guides = fv_model_guide_count(m);
    for (int i = 0; i < guides; i++) {
        char label[160];
        fprintf(stderr, "%s%s", i ? " and " : "",
                cli_shown(fv_model_label(m, i, label, sizeof label)));
    }
    fprintf(stderr, " imagine%s %s (%s, %s%s%s, seed %s)\n", guides > 1 ? "" : "s",
            cli_shown(grow_title(o, title, sizeof title)), fv_model_backend(m), size,
            square ? "x" : "", square ? size : "", fv_options_get(o, "seed"));
}

/* What this model can say of the jobs before the first picture: those of other models wait. */
static fv_status check_with_model(const jobs *j, const fv_model *m, const fv_options *first)
{
    fv_options *o;
    bool texts = j->texts.count && strcmp(j->option, "text") == 0; /* ask for the same channels */
    for (int i = 0; i < j->count && !texts; i++) {
        FV_TRY(job(j, i, &o));
        fv_status s = fv_options_same_model(o, first) ? fv_options_check_channels(o, m) : FV_OK;
        if (s < 0 && j->texts.count) return fv_fail_context(s, "line %d", j->texts.lines[i]);
        FV_TRY(s);
    }
    return FV_OK;
}

/* --- many --- */

/* What all pictures of a run have in common. */
typedef struct run {
    const cli *c;
    origin from;
    seeds seeds;
    shard shard;
    steps_log log;
} run;

/* Picture i of job k of a shard: *path is where it goes, *pause its state if it is interrupted;
 * NULL if it is another worker's, or there. Caller frees both. */
static fv_status find_place(const run *r, int k, int i, const fv_options *o, char **path,
                            char **pause)
{
    char title[512];
    const char *why;
    int number = k * r->seeds.count + i;
    *path = *pause = NULL;
    if (!shard_mine(&r->shard, number)) return FV_OK;
    FV_TRY(shard_path(path, &r->shard, number, grow_title(o, title, sizeof title), o));
    if (!shard_made_of(*path, o, &why)) {
        FV_TRY(shard_clear(*path, why));
        return shard_state(pause, *path);
    }
    free(*path);
    *path = NULL;
    return FV_OK;
}

static fv_status run_one(run *r, fv_model *m, int k, int i, fv_options *grown, fv_options *shown,
                         bool opens)
{
    char *place = NULL, *pause = NULL, *path = NULL;
    fv_status status = FV_OK;
    if (r->shard.of) status = find_place(r, k, i, shown, &place, &pause);
    bool wanted = !r->shard.of || place;
    if (status >= 0 && place) status = fv_options_set(shown, "out", place);
    if (status >= 0 && wanted && !r->c->quiet) announce(m, shown, opens);
    if (status >= 0 && wanted)
        status = run_job(m, grown, shown, r->from.state, pause, r->c, &r->log, &path);
    if (status == FV_OK && path) status = fv_list_add(&r->seeds.made, path);
    free(path);
    free(place);
    free(pause);
    return status;
}

/* All pictures of job k. */
static fv_status run_seeds(run *r, fv_model *m, const fv_options *o, int k, bool opens)
{
    seeds *n = &r->seeds;
    fv_status status = seeds_check_layer(n, o, m);
    fv_list_clear(&n->made);
    for (int i = 0; status == FV_OK && i < n->count && !cli_unread(); i++) {
        fv_options *grown, *shown;
        FV_TRY(seeds_next(n, o, i, &grown, &shown));
        status = run_one(r, m, k, i, grown, shown, opens && i == 0);
        fv_options_free(grown);
        fv_options_free(shown);
    }
    return status;
}

/* Writes run.csv, or finds that it says the same. *left: pictures that this worker has to make. */
static fv_status agree(run *r, const jobs *j, int *left)
{
    int mine = 0;
    for (int k = 0; k < j->count; k++)
        for (int i = 0; i < r->seeds.count; i++) {
            fv_options *o, *grown, *shown;
            const char *why;
            char title[512], *path;
            int number = k * r->seeds.count + i;
            FV_TRY(job(j, k, &o));
            FV_TRY(seeds_next(&r->seeds, o, i, &grown, &shown));
            fv_status s =
                shard_path(&path, &r->shard, number, grow_title(shown, title, sizeof title), shown);
            if (s >= 0) s = shard_note(&r->shard, path, shown);
            mine += shard_mine(&r->shard, number);
            *left += s >= 0 && shard_mine(&r->shard, number) && !shard_made_of(path, shown, &why);
            free(path);
            fv_options_free(grown);
            fv_options_free(shown);
            FV_TRY(s);
        }
    FV_TRY(shard_agree(&r->shard));
    if (!r->c->quiet)
        fprintf(stderr, "feavis: shard %d/%d: %d of its %d pictures are there\n", r->shard.part,
                r->shard.of, mine - *left, mine);
    return FV_OK;
}

static fv_status check_jobs(const run *r, const jobs *j)
{
    for (int i = 0; i < (j->texts.count ? 1 : j->count); i++) {
        FV_TRY(seeds_check(&r->seeds, j->options[i]));
        FV_TRY(check_target(j->options[i], &r->from, r->c));
    }
    return FV_OK;
}

static fv_status run_all(run *r, const jobs *j, fv_model **m)
{
    const fv_options *opened = NULL;
    fv_status status = FV_OK;
    for (int i = 0; status == FV_OK && i < j->count && !cli_unread(); i++) {
        fv_options *o;
        bool opens = false;
        FV_TRY(job(j, i, &o));
        if (i) FV_TRY(check_target(o, &r->from, r->c)); /* it may have gone in the meantime */
        if (!opened || !fv_options_same_model(o, opened)) {
            fv_model_close(*m);
            *m = NULL;
            FV_TRY(fv_model_open(m, o));
            opened = o;
            opens = true;
        }
        if (i == 0) FV_TRY(check_with_model(j, *m, o));
        FV_TRY(job(j, i, &o)); /* the check has asked for others */
        status = run_seeds(r, *m, o, i, opens);
    }
    return status;
}

static fv_status run_jobs(const jobs *j, origin from, const cli *c)
{
    fv_model *m = NULL;
    run r = {.c = c, .from = from};
    int left = 0;
    fv_status status = seeds_read(&r.seeds, c);
    if (status >= 0) status = shard_read(&r.shard, c);
    if (status >= 0) status = check_jobs(&r, j);
    if (status >= 0) status = steps_open(&r.log, c->csv);
    if (status >= 0 && r.shard.of) status = agree(&r, j, &left);
    if (status >= 0 && (left || !r.shard.of)) status = run_all(&r, j, &m);
    status = steps_close(&r.log, status);
    shard_end(&r.shard);
    fv_list_clear(&r.seeds.made);
    fv_model_close(m);
    return status;
}

static int finish(jobs *j, fv_status status, origin from, const cli *c)
{
    grow_catch_interrupts();
    if (status >= 0) status = run_jobs(j, from, c);
    clear_jobs(j);
    if (status < 0) return cli_fail();
    return grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
}

/* --- imagine --- */

/* What is asked for can be read, and the picture to start from is there. */
static fv_status check_job(const fv_options *o)
{
    char *reading;
    const char *start = fv_options_get(o, "start");
    FV_TRY(fv_options_asked(o, &reading));
    free(reading);
    if (*start && access(start, R_OK) != 0)
        return fv_fail(FV_ERR_IO, "opening the start picture %s: %s", start, strerror(errno));
    return FV_OK;
}

/* One job a line, which is the option's value. All bad lines are said, and then none is begun. */
static fv_status add_lines(jobs *j, const char *path, const char *option, fv_options *o)
{
    fv_bad_lines bad = {.count = 0};
    FV_TRY(fv_list_poem(&j->texts, path));
    j->option = option;
    FV_TRY(add_job(j, o));
    for (int i = 0; i < j->texts.count; i++) {
        fv_options *one;
        fv_status s = job(j, i, &one);
        if (s >= 0) s = check_job(one);
        if (s == FV_ERR_MEMORY || s == FV_ERR_IO) return s;
        if (s >= 0) continue;
        fv_fail_context(s, "line %d", j->texts.lines[i]);
        fv_bad_lines_add(&bad, j->texts.lines[i]);
    }
    j->count = j->texts.count;
    return fv_bad_lines_say(&bad, path);
}

static fv_status add_preset_pictures(jobs *j, cli *c)
{
    for (int i = 0; i < fv_preset_picture_count(c->preset); i++) {
        fv_options *o;
        FV_TRY(fv_options_copy(&o, c->options));
        fv_status s = fv_preset_picture(c->preset, i, o);
        if (s >= 0) s = cli_apply_flags(c, o);
        if (s >= 0) s = check_job(o);
        if (s < 0) fv_fail_context(s, "picture %d of the preset", i + 1);
        if (s >= 0) s = add_job(j, o);
        cli_tell(c, o);
        fv_options_free(o);
        FV_TRY(s);
    }
    return FV_OK;
}

static fv_status list_jobs(jobs *j, cli *c)
{
    bool words = c->words && strcmp(c->words, "-") != 0;
    if (c->file && (c->words || cli_has_flag(c, "text")))
        return fv_fail(FV_ERR_ARGUMENT, "imagine takes a text or --file, and there are both");
    if (c->file || (c->words && !words))
        return add_lines(j, c->file ? c->file : "-", "text", c->options);
    if (words) FV_TRY(fv_options_set(c->options, "text", c->words));
    bool asked = words || *fv_options_get(c->options, "llp") ||
                 *fv_options_get(c->options, "term") || *fv_options_get(c->options, "at");
    if (!asked && c->preset && fv_preset_picture_count(c->preset)) return add_preset_pictures(j, c);
    FV_TRY(check_job(c->options));
    return add_job(j, c->options);
}

/* What is one file is of one picture: the next one would be written over it. */
static fv_status check_files(const jobs *j, const fv_options *o, const cli *c)
{
    int count = j->count * (c->seeds ? c->seeds : 1);
    static const char *const files[] = {"out", "state"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (count > 1 && *fv_options_get(o, files[i]))
            return fv_fail(FV_ERR_ARGUMENT, "--%s takes one picture, but there are %d%s", files[i],
                           count, i ? "" : ": use --gallery");
    return FV_OK;
}

int command_imagine(cli *c)
{
    jobs j = {0};
    fv_status s = cli_take_start(c);
    if (s >= 0) s = list_jobs(&j, c);
    if (s >= 0) s = check_files(&j, c->options, c);
    return finish(&j, s, (origin){0}, c);
}

/* "0-63": a picture of each channel. False: it is no range. */
static bool read_range(const char *words, int *first, int *last)
{
    int end = 0;
    return sscanf(words, "%9d-%9d%n", first, last, &end) == 2 && !words[end] && *first >= 0 &&
           *last >= *first;
}

static fv_status add_range(jobs *j, const cli *c, int first, int last)
{
    fv_options *o;
    char channel[16];
    FV_TRY(fv_options_copy(&o, c->options));
    fv_status s = FV_OK;
    for (int i = first; s >= 0 && i <= last; i++) {
        snprintf(channel, sizeof channel, "%d", i);
        s = fv_options_set(o, "llp", channel);
        if (s >= 0) s = add_job(j, o);
    }
    fv_options_free(o);
    return s;
}

/* Stronger noise at the start, unless a flag says how much. */
static fv_status wake(const cli *c, const char *llp)
{
    FV_TRY(fv_options_set(c->options, "llp", llp));
    FV_TRY(fv_options_wake_channels(c->options));
    return cli_apply_flags(c, c->options);
}

static fv_status list_channels(jobs *j, cli *c)
{
    int first, last;
    const char *llp = c->words ? c->words : fv_options_get(c->options, "llp");
    if (c->file && *llp)
        return fv_fail(FV_ERR_ARGUMENT, "neuron takes channels or --file, and there are both");
    if (c->file || strcmp(llp, "-") == 0) {
        FV_TRY(wake(c, "0"));
        return add_lines(j, c->file ? c->file : "-", "llp", c->options);
    }
    if (!*llp) return fv_fail(FV_ERR_ARGUMENT, "which channel? For example: feavis neuron 108");
    bool range = c->words && read_range(llp, &first, &last);
    FV_TRY(wake(c, range ? "0" : llp));
    if (range) return add_range(j, c, first, last);
    FV_TRY(check_job(c->options));
    return add_job(j, c->options);
}

int command_neuron(cli *c)
{
    jobs j = {0};
    fv_status s = cli_take_start(c);
    if (s >= 0) s = list_channels(&j, c);
    if (s >= 0) s = check_files(&j, c->options, c);
    return finish(&j, s, (origin){0}, c);
}

/* --- again, resume --- */

static void warn_of_model(const char *recipe, const fv_options *o)
{
    fv_model *m;
    if (fv_model_open(&m, o) < 0) return; /* said when the job opens it */
    if (fv_recipe_check_model(recipe, m) < 0)
        fprintf(stderr, "feavis: %s: the picture will differ\n", cli_shown(fv_error()));
    fv_model_close(m);
}

int command_again(cli *c)
{
    jobs j = {0};
    char *recipe = NULL;
    fv_status s = c->words ? fv_recipe_read(&recipe, c->words)
                           : fv_fail(FV_ERR_ARGUMENT, "again needs a PNG file of the gallery");
    if (s >= 0) s = fv_recipe_apply(c->options, recipe, c->words);
    cli_tell(c, c->options);
    if (s >= 0) s = cli_apply_flags(c, c->options);
    if (s >= 0) s = add_job(&j, c->options);
    if (s >= 0) warn_of_model(recipe, c->options);
    free(recipe);
    return finish(&j, s, (origin){.picture = c->words}, c);
}

int command_resume(cli *c)
{
    jobs j = {0};
    fv_status s = c->words ? fv_session_read_options(c->options, c->words)
                           : fv_fail(FV_ERR_ARGUMENT, "resume needs a file saved with --state");
    cli_tell(c, c->options);
    if (s >= 0) s = cli_apply_flags(c, c->options);
    if (s >= 0) s = add_job(&j, c->options);
    return finish(&j, s, (origin){.state = c->words}, c);
}
