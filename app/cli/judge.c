/* feavis judge FOLDER: what an independent classifier and the model itself say of the pictures in
 * a folder: a table, and as --csv FILE and --sheet FILE.png if asked for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "app/cli/places.h"
#include "feavis/album.h"
#include "feavis/critic.h"
#include "feavis/files.h"
#include "feavis/judge.h"

typedef struct exhibit {
    char *path, *text; /* text: of the recipe; "" for a neuron alone */
    fv_verdict verdict;
    fv_picture picture;
} exhibit;

typedef struct court {
    fv_judge *judge;
    fv_model *model;
    fv_critic *critic;
    exhibit *exhibits;
    int count;
} court;

static void clear(court *c)
{
    for (int i = 0; i < c->count; i++) {
        free(c->exhibits[i].path);
        free(c->exhibits[i].text);
        fv_picture_free(&c->exhibits[i].picture);
    }
    free(c->exhibits);
    fv_critic_close(c->critic);
    fv_model_close(c->model);
    fv_judge_close(c->judge);
}

/* --- which pictures --- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const exhibit *)a)->path, ((const exhibit *)b)->path);
}

/* The first of the texts, as it was at the end: "a:1 | b:-0.3" gives "a". */
static fv_status text_of(char **out, const char *recipe, const char *path)
{
    fv_options *o;
    FV_TRY(fv_options_new(&o));
    fv_status s = fv_recipe_apply(o, recipe, path);
    if (s >= 0) s = fv_options_first_text(o, out);
    fv_options_free(o);
    return s;
}

static fv_status list(court *c, const char *folder)
{
    fv_saved *saved;
    int n;
    FV_TRY(fv_gallery_list(&saved, &n, folder));
    fv_status s = FV_OK;
    c->exhibits = calloc((size_t)n + 1, sizeof *c->exhibits);
    if (!c->exhibits) s = fv_fail(FV_ERR_MEMORY, "listing %s: out of memory", folder);
    for (int i = 0; s >= 0 && i < n; i++) {
        exhibit *x = &c->exhibits[c->count++];
        x->path = strdup(saved[i].path);
        s = x->path ? text_of(&x->text, saved[i].recipe, saved[i].path)
                    : fv_fail(FV_ERR_MEMORY, "listing %s: out of memory", folder);
        if (s >= 0) s = fv_picture_read(&x->picture, x->path);
    }
    fv_gallery_list_free(saved, n);
    if (s >= 0 && c->count == 0)
        s = fv_fail(FV_ERR_ARGUMENT, "%s holds no PNG files with recipes", folder);
    if (s >= 0) qsort(c->exhibits, (size_t)c->count, sizeof *c->exhibits, by_path);
    return s;
}

/* --- the table --- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_json(const court *c, const exhibit *x)
{
    const fv_verdict *v = &x->verdict;
    json_begin("verdict");
    json_path("path", x->path);
    json_text("text", x->text);
    json_text("wanted", v->rank ? fv_judge_class_name(c->judge, v->wanted) : NULL);
    json_whole("rank", v->rank);
    json_number("probability", v->rank ? (double)v->probability : (double)NAN);
    json_text("first", fv_judge_class_name(c->judge, v->best[0]));
    json_number("cosine", (double)v->cosines.whole);
    json_number("blurred", (double)v->cosines.blurred);
    json_number("unseen", (double)v->cosines.unseen);
    json_number("survival", (double)v->robustness);
    json_number("clipped", (double)v->clipped);
    json_number("light", (double)v->light);
    json_number("rough", (double)v->rough);
    json_end();
}

static void print_row(const court *c, const exhibit *x)
{
    const fv_verdict *v = &x->verdict;
    char rank[16] = "-";
    if (v->rank) snprintf(rank, sizeof rank, "%d", v->rank);
    printf("%5s  %5.2f  %6.3f  %6.3f  %8.2f  %6.3f  %5.2f  %5.3f  %s  ->  ", rank,
           (double)v->probability, (double)v->cosines.whole, (double)v->cosines.unseen,
           (double)v->robustness, (double)v->clipped, (double)v->light, (double)v->rough,
           cli_shown(*x->text ? x->text : file_name(x->path)));
    for (int i = 0; i < 3; i++)
        printf("%s%s", i ? ", " : "", fv_judge_class_name(c->judge, v->best[i]));
    putchar('\n');
}

typedef struct mean {
    double sum;
    int count;
} mean;

static void add(mean *m, double x)
{
    if (isnan(x)) return;
    m->sum += x;
    m->count++;
}

static double value(const mean *m)
{
    return m->count ? m->sum / m->count : NAN;
}

static void print_summary(const court *c)
{
    mean first = {0}, five = {0}, robustness = {0}, whole = {0}, unseen = {0}, clipped = {0};
    for (int i = 0; i < c->count; i++) {
        const fv_verdict *v = &c->exhibits[i].verdict;
        if (v->rank) {
            add(&first, v->rank == 1);
            add(&five, v->rank <= FV_JUDGE_BEST);
        }
        add(&robustness, (double)v->robustness);
        add(&whole, (double)v->cosines.whole);
        add(&unseen, (double)v->cosines.unseen);
        add(&clipped, (double)v->clipped);
    }
    if (json_on()) {
        json_begin("summary");
        json_whole("pictures", c->count);
        json_whole("known", first.count);
        json_number("first", value(&first));
        json_number("first_five", value(&five));
        json_number("cosine", value(&whole));
        json_number("unseen", value(&unseen));
        json_number("survival", value(&robustness));
        json_number("clipped", value(&clipped));
        json_end();
        return;
    }
    printf("\n%d pictures; %s knows the thing of %d texts by name", c->count,
           fv_judge_title(c->judge), first.count);
    if (first.count)
        printf(": first in %.0f %%, among its first %d in %.0f %%", 100 * value(&first),
               FV_JUDGE_BEST, 100 * value(&five));
    printf("\ncosine %.3f, unseen views %.3f, survives a blur %.2f, clipped %.1f %%\n",
           value(&whole), value(&unseen), value(&robustness), 100 * value(&clipped));
}

static void csv_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

static fv_status write_csv(const court *c, const char *path)
{
    char *table = NULL;
    size_t size;
    FILE *f = open_memstream(&table, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    fputs(
        "file,text,wanted,rank,probability,first,cosine,blurred,unseen,survival,clipped,red,green,"
        "blue,light,vivid,rough\n",
        f);
    for (int i = 0; i < c->count; i++) {
        const exhibit *x = &c->exhibits[i];
        const fv_verdict *v = &x->verdict;
        csv_text(f, file_name(x->path));
        fputc(',', f);
        csv_text(f, x->text);
        fputc(',', f);
        csv_text(f, fv_judge_class_name(c->judge, v->wanted));
        fprintf(f, ",%d,%.4f,", v->rank, (double)v->probability);
        csv_text(f, fv_judge_class_name(c->judge, v->best[0]));
        const float numbers[] = {
            v->cosines.whole, v->cosines.blurred, v->cosines.unseen, v->robustness,
            v->clipped,       v->mean[0],         v->mean[1],        v->mean[2],
            v->light,         v->vivid,           v->rough};
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            fprintf(f, ",%.4f", (double)numbers[k]);
        fputc('\n', f);
    }
    fv_status s = fclose(f) == 0 ? fv_text_save(path, table, size)
                                 : fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    free(table);
    return s;
}

static fv_status write_sheet(const court *c, const char *path)
{
    enum { CELL = 160 };
    size_t n = (size_t)c->count;
    fv_picture sheet, *pictures = malloc(n * sizeof *pictures);
    fv_verdict *verdicts = malloc(n * sizeof *verdicts);
    fv_status s = pictures && verdicts
                      ? FV_OK
                      : fv_fail(FV_ERR_MEMORY, "making a contact sheet: out of memory");
    for (size_t i = 0; s >= 0 && i < n; i++) {
        pictures[i] = c->exhibits[i].picture;
        verdicts[i] = c->exhibits[i].verdict;
    }
    if (s >= 0) s = fv_judge_sheet(&sheet, pictures, verdicts, c->count, CELL);
    if (s >= 0) {
        s = fv_picture_write(&sheet, path, NULL);
        fv_picture_free(&sheet);
    }
    free(pictures);
    free(verdicts);
    return s;
}

static fv_status check_apart(const court *c, const cli *a)
{
    FV_TRY(place_apart(a->csv, "--csv", a->sheet, "--sheet"));
    FV_TRY(place_apart(a->csv, "--csv", a->judge, "--judge"));
    FV_TRY(place_apart(a->sheet, "--sheet", a->judge, "--judge"));
    for (int i = 0; i < c->count; i++) {
        FV_TRY(place_apart(a->csv, "--csv", c->exhibits[i].path, "a picture to judge"));
        FV_TRY(place_apart(a->sheet, "--sheet", c->exhibits[i].path, "a picture to judge"));
    }
    return FV_OK;
}

static fv_status judge(court *c, const cli *a)
{
    if (a->sheet) FV_TRY(cli_check_picture(a->sheet));
    FV_TRY(list(c, a->words ? a->words : fv_options_get(a->options, "gallery")));
    FV_TRY(check_apart(c, a));
    char backend[FV_BACKEND_SPEC];
    FV_TRY(fv_options_backend(a->options, backend, sizeof backend));
    FV_TRY(fv_judge_open(&c->judge, a->judge, NULL, NULL, backend,
                         atoi(fv_options_get(a->options, "threads"))));
    FV_TRY(fv_model_open(&c->model, a->options));
    FV_TRY(fv_critic_open(&c->critic, c->model));
    if (!a->quiet && !json_on())
        printf(" rank  prob.  cosine  unseen  survival clipped  light  rough  text  ->  what %s "
               "sees\n",
               fv_judge_title(c->judge));
    for (int i = 0; i < c->count; i++) {
        exhibit *x = &c->exhibits[i];
        FV_TRY(fv_judge_picture(c->judge, c->critic, &x->picture, *x->text ? x->text : NULL,
                                &x->verdict));
        if (isnan(x->verdict.cosines.unseen) && !isnan(x->verdict.cosines.whole)) (void)cli_fail();
        if (json_on())
            print_json(c, x);
        else if (!a->quiet)
            print_row(c, x);
        fflush(stdout);
    }
    print_summary(c);
    if (a->csv) FV_TRY(write_csv(c, a->csv));
    if (a->sheet) FV_TRY(write_sheet(c, a->sheet));
    return FV_OK;
}

int command_judge(cli *c)
{
    court all = {0};
    fv_status s = judge(&all, c);
    clear(&all);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
