/* feavis compare: the same texts by each of several models and by all of them together, as the
 * paper sets BriVL's pictures beside CLIP's.
 *
 * Results in a folder: a PNG with its recipe for each text and model; sheet.png, a row of pictures
 * a text over the matrix of who believes whom; beliefs.csv, the cosine of every picture with its
 * text in the eyes of every model. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "app/cli/many.h"
#include "feavis/critic.h"
#include "feavis/sheet.h"

enum { CELL = 256, LABEL = 160 };

typedef struct compare {
    const cli *c;
    fv_list texts;
    int guides, columns;   /* a column for each model alone, and the last for all */
    char (*labels)[LABEL]; /* [columns] */
    fv_picture *pictures;  /* [texts][columns] */
    float *beliefs;        /* [texts][guides][columns] */
    char *folder;
} compare;

/* --- pictures --- */

static fv_picture *picture_at(const compare *q, int text, int column)
{
    return &q->pictures[(size_t)text * (size_t)q->columns + (size_t)column];
}

static fv_status keep(const compare *q, fv_session *s, int text, int column)
{
    char *path = NULL, *title;
    if (asprintf(&title, "%s-%s", q->texts.at[text], q->labels[column]) < 0)
        return fv_fail(FV_ERR_MEMORY, "saving a picture: out of memory");
    fv_status status = grow_save(s, q->folder, title, picture_at(q, text, column), &path);
    free(title);
    free(path);
    return status;
}

static fv_status grow_one(const compare *q, fv_model *m, fv_options *o, int text, int column)
{
    fv_session *s;
    FV_TRY(fv_options_set(o, "text", q->texts.at[text]));
    FV_TRY(fv_session_open(&s, m, o));
    if (!q->c->quiet)
        fprintf(stderr, "%s: %s\n", cli_shown(q->labels[column]), cli_shown(q->texts.at[text]));
    if (column == q->guides) grow_warn(s, m);
    fv_status status = grow_run(s, q->c->quiet);
    fv_status kept = status >= 0 ? keep(q, s, text, column) : FV_OK;
    fv_session_close(s);
    return kept < 0 ? kept : status;
}

/* A column of the sheet; the model of the last one stays open. */
static fv_status grow_column(compare *q, int column, fv_model **m)
{
    fv_options *o;
    bool all = column == q->guides;
    FV_TRY(all ? fv_options_copy(&o, q->c->options) : fv_options_guide(&o, q->c->options, column));
    fv_status s = fv_model_open(m, o);
    for (int i = 0; s == FV_OK && i < q->texts.count; i++) s = grow_one(q, *m, o, i, column);
    fv_options_free(o);
    if (all || s != FV_OK) return s;
    fv_model_close(*m);
    *m = NULL;
    return s;
}

/* --- who believes whom --- */

/* The first of the texts that are asked for at place t, as the model embeds it. */
static fv_status embed_text(const compare *q, fv_model *m, int t, float *out)
{
    fv_options *o;
    char *text = NULL;
    FV_TRY(fv_options_copy(&o, q->c->options));
    fv_status s = fv_options_set(o, "text", q->texts.at[t]);
    if (s >= 0) s = fv_options_first_text(o, &text);
    if (s >= 0) s = fv_model_embed_text(m, text, out, NULL);
    free(text);
    fv_options_free(o);
    return s;
}

static fv_status ask_critic(compare *q, fv_model *m, fv_critic *c, int guide, float *vectors)
{
    int dim = fv_model_dim(m);
    float *text = vectors, *seen = vectors + dim;
    for (int t = 0; t < q->texts.count; t++) {
        float *row = q->beliefs + (size_t)(t * q->guides + guide) * (size_t)q->columns;
        FV_TRY(embed_text(q, m, t, text));
        for (int k = 0; k < q->columns; k++) {
            double sum = 0;
            FV_TRY(fv_critic_embed(c, picture_at(q, t, k), seen));
            for (int i = 0; i < dim; i++) sum += (double)text[i] * (double)seen[i];
            row[k] = (float)sum;
        }
    }
    return FV_OK;
}

static fv_status ask(compare *q, fv_model *m, int guide)
{
    fv_critic *c;
    FV_TRY(fv_critic_open(&c, m));
    float *vectors = malloc(2 * (size_t)fv_model_dim(m) * sizeof *vectors);
    fv_status s = vectors ? ask_critic(q, m, c, guide, vectors)
                          : fv_fail(FV_ERR_MEMORY, "comparing pictures: out of memory");
    free(vectors);
    fv_critic_close(c);
    return s;
}

/* --- results --- */

static fv_status save_table(const compare *q)
{
    many_file f;
    FV_TRY(many_open(&f));
    fputs("text,picture_by,believer,cosine\n", f.to);
    const float *at = q->beliefs;
    for (int t = 0; t < q->texts.count; t++)
        for (int g = 0; g < q->guides; g++)
            for (int k = 0; k < q->columns; k++) {
                many_field(f.to, q->texts.at[t]);
                fputc(',', f.to);
                many_field(f.to, q->labels[k]);
                fputc(',', f.to);
                many_field(f.to, q->labels[g]);
                fprintf(f.to, ",%.6f\n", (double)*at++);
            }
    return many_save(&f, q->folder, "beliefs.csv");
}

static void print_json(const compare *q)
{
    const float *at = q->beliefs;
    for (int t = 0; t < q->texts.count; t++)
        for (int g = 0; g < q->guides; g++)
            for (int k = 0; k < q->columns; k++) {
                json_begin("belief");
                json_text("text", q->texts.at[t]);
                json_text("picture_by", q->labels[k]);
                json_text("believer", q->labels[g]);
                json_number("cosine", (double)*at++);
                json_end();
            }
}

static void print_table(const compare *q)
{
    int widest = 20;
    for (int k = 0; k < q->columns; k++)
        if (many_width(q->labels[k]) > widest) widest = many_width(q->labels[k]);
    const float *at = q->beliefs;
    for (int t = 0; t < q->texts.count; t++) {
        printf("\n%s\n", cli_shown(q->texts.at[t]));
        many_pad(stdout, "  cosine in the eyes of", widest + 4);
        for (int k = 0; k < q->columns; k++) {
            fputs("  by ", stdout);
            many_pad(stdout, q->labels[k], widest);
        }
        putchar('\n');
        for (int g = 0; g < q->guides; g++) {
            fputs("    ", stdout);
            many_pad(stdout, q->labels[g], widest);
            for (int k = 0; k < q->columns; k++) printf("  %*.3f   ", -widest, (double)*at++);
            putchar('\n');
        }
    }
}

/* "text  model" of each of count things, `inner` models a text. Caller frees with fv_list_clear. */
static fv_status name_all(const compare *q, fv_list *out, int inner)
{
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < q->texts.count * inner; i++) {
        char *label = NULL;
        bool made = asprintf(&label, "%s  %s", q->texts.at[i / inner], q->labels[i % inner]) >= 0;
        s = made ? fv_list_add(out, label)
                 : fv_fail(FV_ERR_MEMORY, "drawing a sheet: out of memory");
        if (made) free(label);
    }
    return s;
}

/* The matrix: a row for each text and believer. */
static fv_status draw_matrix(const compare *q, fv_picture *out)
{
    fv_list rows = {0}, columns = {0};
    fv_status s = name_all(q, &rows, q->guides);
    for (int k = 0; s >= 0 && k < q->columns; k++) s = fv_list_add(&columns, q->labels[k]);
    fv_heat h = {.title = "Who believes whom: cosine of picture and text",
                 .rows = rows.count,
                 .columns = q->columns,
                 .values = q->beliefs,
                 .row_labels = rows.at,
                 .column_labels = columns.at,
                 .row_axis = "the model that looks",
                 .column_axis = "the model that made the picture",
                 .decimals = 2};
    if (s >= 0) s = fv_heat_map(out, &h, NULL);
    fv_list_clear(&rows);
    fv_list_clear(&columns);
    return s;
}

static fv_status draw_pictures(const compare *q, fv_picture *out)
{
    fv_list captions = {0};
    fv_status s = name_all(q, &captions, q->columns);
    if (s >= 0)
        s = fv_sheet_make(out, q->pictures, (const char *const *)captions.at, captions.count,
                          q->columns, CELL);
    fv_list_clear(&captions);
    return s;
}

/* One too large to draw is said and is no failure: the pictures are there. */
static fv_status save_sheet(const compare *q)
{
    fv_picture parts[2] = {{0}}, sheet = {0};
    fv_status s = draw_pictures(q, &parts[0]);
    if (s >= 0) s = draw_matrix(q, &parts[1]);
    if (s >= 0) s = fv_sheet_stack(&sheet, parts, 2);
    if (s >= 0) s = many_picture(&sheet, q->folder, "sheet.png");
    if (s >= 0) many_tell(q->folder, "sheet.png");
    for (int i = 0; i < 2; i++) fv_picture_free(&parts[i]);
    fv_picture_free(&sheet);
    if (s != FV_ERR_UNSUPPORTED) return s;
    fprintf(stderr, "feavis: %s\n", cli_shown(fv_error()));
    return FV_OK;
}

/* --- all --- */

/* The texts of a preset's pictures. */
static fv_status preset_texts(fv_list *out, const cli *c)
{
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < fv_preset_picture_count(c->preset); i++) {
        fv_options *o;
        FV_TRY(fv_options_copy(&o, c->options));
        s = fv_preset_picture(c->preset, i, o);
        if (s >= 0 && *fv_options_get(o, "text")) s = fv_list_add(out, fv_options_get(o, "text"));
        fv_options_free(o);
    }
    return s;
}

static fv_status read_texts(compare *q)
{
    const cli *c = q->c;
    const char *text = c->words ? c->words : fv_options_get(c->options, "text");
    if (c->file && *text)
        return fv_fail(FV_ERR_ARGUMENT, "compare takes a text or --file, and there are both");
    if (c->file) return fv_list_lines(&q->texts, c->file);
    if (!*text && c->preset) FV_TRY(preset_texts(&q->texts, c));
    if (q->texts.count) return FV_OK;
    if (!*text)
        return fv_fail(FV_ERR_ARGUMENT, "compare needs a text, --file with one a line, or a "
                                        "--preset with pictures of texts");
    return fv_list_add(&q->texts, text);
}

/* A text that cannot be read and a model that cannot be opened are said before the work. */
static fv_status check_all(compare *q)
{
    fv_model *m;
    for (int i = 0; i < q->texts.count; i++) {
        char *reading;
        FV_TRY(fv_options_set(q->c->options, "text", q->texts.at[i]));
        FV_TRY(fv_options_asked(q->c->options, &reading));
        free(reading);
    }
    FV_TRY(fv_model_open(&m, q->c->options));
    for (int i = 0; i < q->guides; i++) fv_model_label(m, i, q->labels[i], LABEL);
    snprintf(q->labels[q->guides], LABEL, q->guides > 2 ? "all" : "both");
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < q->guides; i++)
        s = fv_options_check_channels(q->c->options, fv_model_guide(m, i));
    fv_model_close(m);
    return s;
}

static fv_status prepare(compare *q)
{
    FV_TRY(read_texts(q));
    q->guides = fv_options_guide_count(q->c->options);
    if (q->guides < 2)
        return fv_fail(FV_ERR_ARGUMENT,
                       "compare needs two models: --guide A --guide B (see help guides)");
    q->columns = q->guides + 1;
    size_t texts = (size_t)q->texts.count, columns = (size_t)q->columns;
    q->labels = calloc(columns, sizeof *q->labels);
    q->pictures = calloc(texts * columns, sizeof *q->pictures);
    q->beliefs = calloc(texts * columns * (size_t)q->guides, sizeof *q->beliefs);
    if (!q->labels || !q->pictures || !q->beliefs)
        return fv_fail(FV_ERR_MEMORY, "comparing %zu texts: out of memory", texts);
    FV_TRY(check_all(q));
    return many_folder(&q->folder, q->c, "compare");
}

static fv_status run(compare *q, fv_model **m)
{
    FV_TRY(prepare(q));
    fv_status s = FV_OK;
    for (int k = 0; s == FV_OK && k < q->columns; k++) s = grow_column(q, k, m);
    for (int g = 0; s == FV_OK && g < q->guides; g++) s = ask(q, fv_model_guide(*m, g), g);
    if (s != FV_OK) return s;
    (json_on() ? print_json : print_table)(q);
    FV_TRY(save_table(q));
    FV_TRY(save_sheet(q));
    many_tell(q->folder, "beliefs.csv");
    return FV_OK;
}

int command_compare(cli *c)
{
    compare q = {.c = c};
    fv_model *m = NULL;
    grow_catch_interrupts();
    fv_status s = run(&q, &m);
    int status = s < 0 ? cli_fail() : grow_interrupted() ? EXIT_INTERRUPTED : EXIT_SUCCESS;
    for (int i = 0; q.pictures && i < q.texts.count * q.columns; i++)
        fv_picture_free(&q.pictures[i]);
    fv_list_clear(&q.texts);
    free(q.labels);
    free(q.pictures);
    free(q.beliefs);
    free(q.folder);
    fv_model_close(m);
    return status;
}
