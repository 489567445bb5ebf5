/* feavis series: one picture a sentence, as the paper shows coherent sentences side by side; each
 * by itself, or with something carried over from the one before. feavis scroll: the lines of a poem
 * likewise, in ink unless another preset is given, as one painted hand scroll.
 *
 * Results in a folder: a PNG with its recipe for each sentence; sheet.png, scroll.png, and
 * film.png, which shows how each picture grew, one after the other: where the picture before is the
 * start, it walks from one to the next. Of a scroll there is no sheet and no film. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/grow.h"
#include "app/cli/many.h"
#include "feavis/codes.h"
#include "feavis/film.h"
#include "feavis/sheet.h"

enum { FRAMES = 24 /* a picture */, MILLISECONDS = 80, CELL = 256, COLUMNS = 4, SOFT = 4 };

typedef enum carry { CARRY_NOTHING, CARRY_PICTURE, CARRY_PALETTE } carry;

typedef struct series {
    cli *c;
    bool scroll;
    carry carry;
    fv_list lines;
    fv_picture *panels; /* [lines] */
    fv_picture *frames; /* [lines * FRAMES] */
    int frame_count;
    char *folder, *start; /* the start of the next one, or NULL */
} series;

/* --- what is carried over --- */

static fv_status read_carry(series *q)
{
    static const char *const names[] = {"nothing", "picture", "palette"};
    const char *asked = q->c->carry;
    for (int i = 0; i < 3; i++)
        if (!asked || strcmp(asked, names[i]) == 0) {
            q->carry = asked ? (carry)i : CARRY_NOTHING;
            return FV_OK;
        }
    return fv_fail(FV_ERR_ARGUMENT, "carry is \"%.80s\", expected one of: nothing picture palette",
                   asked);
}

/* The picture's colours without its shapes: SOFT x SOFT patches, and smooth between. */
static fv_status soften(const fv_picture *from, fv_picture *out)
{
    fv_picture patches;
    size_t n = (size_t)from->width * (size_t)from->height * 3;
    float *smooth = malloc(n * sizeof *smooth);
    fv_picture p = {from->width, from->height, malloc(n)};
    fv_status s = smooth && p.rgb ? fv_picture_thumbnail(&patches, from, SOFT)
                                  : fv_fail(FV_ERR_MEMORY, "softening a picture: out of memory");
    if (s >= 0) {
        fv_picture_resize(&patches, p.width, p.height, smooth);
        for (size_t i = 0; i < n; i++) p.rgb[i] = (uint8_t)(smooth[i] * 255 + 0.5f);
        fv_picture_free(&patches);
    }
    free(smooth);
    if (s < 0)
        fv_picture_free(&p);
    else
        *out = p;
    return s;
}

/* The panel, or its codes beside it, which are more: encoding the panel would lose some, and not
 * every decoder has an encoder. */
static fv_status carry_picture(series *q, fv_session *s, const char *path)
{
    fv_codes codes;
    const char *dot = strrchr(path, '.');
    bool has = fv_session_codes(s, true, &codes) >= 0;
    int stem = has && dot ? (int)(dot - path) : (int)strlen(path);
    int n = asprintf(&q->start, "%.*s%s", stem, path, has ? ".csv" : "");
    if (n < 0) q->start = NULL;
    fv_status status = q->start ? FV_OK : fv_fail(FV_ERR_MEMORY, "carrying over: out of memory");
    if (status >= 0 && has) status = fv_codes_write(&codes, q->start);
    fv_codes_free(&codes);
    return status;
}

/* Codes carry a picture over without an encoder. */
static bool carries_codes(const fv_model *m)
{
    fv_decoder_info d;
    return fv_model_decoder_info(m, &d) && d.codes > 0;
}

/* path: of the panel that is finished. */
static fv_status carry_over(series *q, fv_session *s, int i, const char *path)
{
    fv_picture soft;
    if (q->carry == CARRY_NOTHING || (q->carry == CARRY_PALETTE && i)) return FV_OK;
    free(q->start);
    q->start = NULL;
    if (q->carry == CARRY_PICTURE) return carry_picture(q, s, path);
    FV_TRY(soften(&q->panels[i], &soft));
    fv_status status = many_picture(&soft, q->folder, "palette.png");
    if (status >= 0) status = many_path(&q->start, q->folder, "palette.png");
    fv_picture_free(&soft);
    return status;
}

/* --- one picture --- */

/* After each step: keeps what is due for the film. */
static bool note_frame(void *user, fv_session *s, const fv_progress *p)
{
    series *q = user;
    int most = q->scroll ? 0 : q->lines.count * FRAMES;
    bool due =
        p->step == p->steps || p->step * FRAMES / p->steps > (p->step - 1) * FRAMES / p->steps;
    if (!due || q->frame_count == most) return true;
    if (fv_session_preview(s, &q->frames[q->frame_count]) >= 0) q->frame_count++;
    return true; /* a frame less is no reason to stop */
}

static fv_status save(series *q, fv_session *s, int i)
{
    char *path = NULL;
    fv_status status = grow_save(s, q->folder, q->lines.at[i], &q->panels[i], &path);
    if (status >= 0) status = carry_over(q, s, i, path);
    free(path);
    return status;
}

/* Panels of a scroll are no variations of one landscape: line i has the i-th seed. */
static fv_status change_seed(const series *q, int i, fv_options *o)
{
    char seed[24];
    uint64_t first = strtoull(fv_options_get(q->c->options, "seed"), NULL, 10);
    snprintf(seed, sizeof seed, "%" PRIu64, first + (uint64_t)i);
    return fv_options_set(o, "seed", seed);
}

/* The line, and the style that all of them share. */
static fv_status ask(const series *q, int i, fv_options *o)
{
    char *text = NULL;
    const char *style = q->c->style;
    if (asprintf(&text, style ? "%s | %s" : "%s", q->lines.at[i], style) < 0)
        return fv_fail(FV_ERR_MEMORY, "asking for a picture: out of memory");
    fv_status s = fv_options_set(o, "text", text);
    free(text);
    if (s >= 0 && q->start) s = fv_options_set(o, "start", q->start);
    if (s >= 0 && q->start) s = fv_options_set(o, "start-hash", "");
    return s < 0 || !q->scroll ? s : change_seed(q, i, o);
}

static fv_status grow_one(series *q, fv_model *m, int i)
{
    fv_options *o;
    fv_session *s;
    FV_TRY(fv_options_copy(&o, q->c->options));
    fv_status status = ask(q, i, o);
    if (status >= 0) status = fv_session_open(&s, m, o);
    fv_options_free(o);
    if (status < 0) return status;
    if (!q->c->quiet)
        fprintf(stderr, "%d/%d %s\n", i + 1, q->lines.count, cli_shown(q->lines.at[i]));
    grow_warn(s, m);
    status = grow_run_with(s, q->c->quiet, note_frame, q);
    fv_status saved = status >= 0 ? save(q, s, i) : FV_OK;
    fv_session_close(s);
    return saved < 0 ? saved : status;
}

/* --- all of them --- */

static fv_status save_as(const series *q, fv_picture *p, const char *name)
{
    fv_status s = many_picture(p, q->folder, name);
    if (s >= 0) many_tell(q->folder, name);
    fv_picture_free(p);
    return s;
}

static fv_status save_scroll(const series *q, int count)
{
    fv_picture p;
    const char *seal = q->c->seal;
    fv_handscroll h = {.panels = q->panels,
                       .lines = (const char *const *)q->lines.at,
                       .count = count,
                       .title = q->c->title,
                       .seal = seal ? seal : "梦"};
    FV_TRY(fv_handscroll_make(&p, &h));
    return save_as(q, &p, "scroll.png");
}

static fv_status save_together(const series *q, int count)
{
    if (q->scroll) return save_scroll(q, count);
    const char *const *lines = (const char *const *)q->lines.at;
    fv_picture p;
    char *path = NULL;
    FV_TRY(fv_sheet_make(&p, q->panels, lines, count, count < COLUMNS ? count : COLUMNS, CELL));
    FV_TRY(save_as(q, &p, "sheet.png"));
    FV_TRY(fv_scroll_make(&p, q->panels, lines, count));
    FV_TRY(save_as(q, &p, "scroll.png"));
    if (!q->frame_count) return FV_OK;
    FV_TRY(many_path(&path, q->folder, "film.png"));
    fv_status s = fv_film_write(q->frames, q->frame_count, MILLISECONDS, NULL, path);
    if (s >= 0) many_tell(q->folder, "film.png");
    free(path);
    return s;
}

/* Every line can be read and asked of the model, before the first picture. */
static fv_status check_all(const series *q, const fv_model *m)
{
    fv_options *o;
    FV_TRY(fv_options_copy(&o, q->c->options));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < q->lines.count; i++) {
        char *reading = NULL;
        s = ask(q, i, o);
        if (s >= 0) s = fv_options_asked(o, &reading);
        free(reading);
        if (s < 0) s = fv_fail_context(s, "sentence %d", i + 1);
    }
    if (s >= 0) s = fv_options_check_channels(o, m);
    fv_options_free(o);
    return s;
}

/* The texts of a preset's pictures. */
static fv_status preset_lines(fv_list *out, const cli *c)
{
    fv_options *o;
    FV_TRY(fv_options_copy(&o, c->options));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < fv_preset_picture_count(c->preset); i++) {
        s = fv_preset_picture(c->preset, i, o);
        if (s >= 0) s = fv_list_add(out, fv_options_get(o, "text"));
    }
    fv_options_free(o);
    return s;
}

static fv_status read_lines(fv_list *out, const cli *c, bool scroll)
{
    const char *file = c->file ? c->file : c->words, *name = scroll ? "scroll" : "series";
    if (c->file && c->words)
        return fv_fail(FV_ERR_ARGUMENT, "%s takes one file, and there are two", name);
    if (file) return fv_list_lines(out, file);
    if (c->preset && fv_preset_picture_count(c->preset)) return preset_lines(out, c);
    return fv_fail(FV_ERR_ARGUMENT,
                   "%s needs a file with one sentence a line, or -; or a "
                   "preset of several pictures",
                   name);
}

/* Before the first picture: a seal that can be cut, and letters that can be set. */
static fv_status check_letters(const series *q)
{
    int lines, others;
    const char *const more[] = {q->c->seal ? q->c->seal : "梦", q->c->title ? q->c->title : ""};
    uint8_t grey[3] = {0};
    const fv_picture panel = {1, 1, grey};
    fv_picture p;
    FV_TRY(fv_handscroll_make(&p, &(fv_handscroll){&panel, &more[1], 1, NULL, more[0], {NULL}}));
    fv_picture_free(&p);
    FV_TRY(fv_letters_missing((const char *const *)q->lines.at, q->lines.count, &lines));
    FV_TRY(fv_letters_missing(more, 2, &others));
    if (lines + others == 0) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "scroll: no font of this machine has %d of its letters; the package "
                   "fonts-noto-cjk has Chinese ones, and FEAVIS_FONT names a font file",
                   lines + others);
}

/* Ink is to a scroll what defaults are to others. */
static fv_status take_ink(cli *c)
{
    fv_options *o;
    if (c->preset) return FV_OK;
    FV_TRY(fv_preset_open(&c->preset, "ink"));
    fv_status s = fv_options_new(&o);
    if (s >= 0) s = fv_preset_apply(c->preset, o);
    if (s >= 0) s = cli_apply_flags(c, o);
    if (s < 0) {
        fv_options_free(o);
        return s;
    }
    fv_options_free(c->options);
    c->options = o;
    return FV_OK;
}

static fv_status prepare(series *q, fv_model **m)
{
    cli *c = q->c;
    FV_TRY(read_carry(q));
    if (q->scroll) FV_TRY(take_ink(c));
    FV_TRY(read_lines(&q->lines, c, q->scroll));
    if (q->scroll) FV_TRY(check_letters(q));
    size_t count = (size_t)q->lines.count;
    q->panels = calloc(count, sizeof *q->panels);
    q->frames = calloc(q->scroll ? 1 : count * FRAMES, sizeof *q->frames);
    if (!q->panels || !q->frames)
        return fv_fail(FV_ERR_MEMORY, "a series of %zu pictures: out of memory", count);
    FV_TRY(fv_model_open(m, c->options));
    FV_TRY(check_all(q, *m));
    if (q->carry == CARRY_PALETTE || (q->carry == CARRY_PICTURE && !carries_codes(*m)))
        FV_TRY(grow_check_start(*m, c->options, "series with --carry"));
    return many_folder(&q->folder, c, q->scroll ? "scroll" : "series");
}

static fv_status run(series *q, fv_model **m)
{
    FV_TRY(prepare(q, m));
    fv_status s = FV_OK;
    int made = 0;
    for (; s == FV_OK && made < q->lines.count; made += q->panels[made].rgb != NULL)
        s = grow_one(q, *m, made);
    char why[1024];
    snprintf(why, sizeof why, "%s", fv_error());
    fv_status together = made ? save_together(q, made) : FV_OK; /* also of those before a failure */
    if (s < 0) return fv_fail(s, "%s", why);
    return together;
}

static int make(cli *c, bool scroll)
{
    series q = {.c = c, .scroll = scroll};
    fv_model *m = NULL;
    grow_catch_interrupts();
    fv_status s = run(&q, &m);
    int status = s < 0 ? cli_fail() : grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    for (int i = 0; q.panels && i < q.lines.count; i++) fv_picture_free(&q.panels[i]);
    for (int i = 0; i < q.frame_count; i++) fv_picture_free(&q.frames[i]);
    free(q.panels);
    free(q.frames);
    fv_list_clear(&q.lines);
    free(q.folder);
    free(q.start);
    fv_model_close(m);
    return status;
}

int command_series(cli *c)
{
    return make(c, false);
}

int command_scroll(cli *c)
{
    return make(c, true);
}
