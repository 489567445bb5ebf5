/* feavis xray PICTURE: what each word of its texts is worth, and where it pulls. Results in a
 * folder: xray.png, and xray-2.png and so on for each text behind the first; words.csv with a line
 * a word. A text of weight 0 is left out. */
#include <stdio.h>
#include <stdlib.h>

#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/embed.h"
#include "feavis/xray.h"

enum { MOST = 64 }; /* texts of a picture */

typedef struct xray {
    cli *c;
    int count;
    char *texts[MOST], *folder;
    float weights[MOST];
    fv_model *model;
    fv_picture picture;
    fv_xray found[MOST];
} xray;

/* --text, or those of the picture's recipe; the recipe's model, too, unless flags say another. */
static fv_status read_texts(xray *q)
{
    char *recipe;
    cli *c = q->c;
    if (fv_recipe_read(&recipe, c->words) >= 0) {
        fv_status s = fv_recipe_apply(c->options, recipe, c->words);
        free(recipe);
        FV_TRY(s);
        FV_TRY(cli_apply_flags(c, c->options));
    }
    for (int i = 0; i < MOST; i++) {
        char *text;
        float weight;
        FV_TRY(fv_options_text_at(c->options, i, &text, &weight));
        if (!text) break;
        q->texts[q->count] = text;
        q->weights[q->count] = weight;
        if (weight != 0)
            q->count++;
        else
            free(text);
    }
    return q->count ? FV_OK
                    : fv_fail(FV_ERR_ARGUMENT, "%s was not made of a text: give one with --text",
                              c->words);
}

/* What of the texts the model does not see, as everywhere. */
static fv_status warn(const xray *q)
{
    float *rows = malloc((size_t)q->count * (size_t)fv_embed_dim(q->model) * sizeof *rows);
    fv_status s = rows ? many_embed_texts(rows, q->model, q->texts, q->count, NULL)
                       : fv_fail(FV_ERR_MEMORY, "an X-ray: out of memory");
    free(rows);
    return s;
}

static fv_status save_table(const xray *q)
{
    many_file f;
    FV_TRY(many_open(&f));
    fprintf(f.to, "word,worth,cosine_without,area,x,y,text,weight\n");
    for (int t = 0; t < q->count; t++)
        for (int i = 0; i < q->found[t].count; i++) {
            const fv_xray_word *w = &q->found[t].words[i];
            many_field(f.to, w->text);
            fprintf(f.to, ",%.6f,%.6f,%.4f,%.4f,%.4f,", (double)w->worth, (double)w->without,
                    (double)w->area, (double)w->x, (double)w->y);
            many_field(f.to, q->texts[t]);
            fprintf(f.to, ",%g\n", (double)q->weights[t]);
        }
    return many_save(&f, q->folder, "words.csv");
}

static const char *sheet_name(int t, char out[32])
{
    if (t)
        snprintf(out, 32, "xray-%d.png", t + 1);
    else
        snprintf(out, 32, "xray.png");
    return out;
}

static void print_json(const xray *q)
{
    char name[32];
    for (int t = 0; t < q->count; t++) {
        json_begin("text");
        json_text("text", q->texts[t]);
        json_number("weight", (double)q->weights[t]);
        json_number("cosine", (double)q->found[t].cosine);
        json_end();
        for (int i = 0; i < q->found[t].count; i++) {
            const fv_xray_word *w = &q->found[t].words[i];
            json_begin("word");
            json_text("word", w->text);
            json_text("text", q->texts[t]);
            json_number("worth", (double)w->worth);
            json_number("cosine_without", (double)w->without);
            json_number("area", (double)w->area);
            json_number("x", (double)w->x);
            json_number("y", (double)w->y);
            json_end();
        }
    }
    for (int t = 0; t < q->count; t++) json_file("file", q->folder, sheet_name(t, name));
    json_file("file", q->folder, "words.csv");
}

static void print(const xray *q)
{
    char name[32];
    for (int t = 0; t < q->count; t++) {
        if (q->count > 1)
            printf("%s\"%s\" with weight %g\n", t ? "\n" : "", cli_shown(q->texts[t]),
                   (double)q->weights[t]);
        printf("cosine %.3f\n  worth  pulls most in\n", (double)q->found[t].cosine);
        for (int i = 0; i < q->found[t].count; i++) {
            const fv_xray_word *w = &q->found[t].words[i];
            printf("%+7.3f  %3.0f%% about %.2f,%.2f  %s\n", (double)w->worth, 100 * (double)w->area,
                   (double)w->x, (double)w->y, cli_shown(w->text));
        }
    }
    for (int t = 0; t < q->count; t++) printf("%s/%s\n", q->folder, sheet_name(t, name));
    printf("%s/words.csv\n", q->folder);
}

static fv_status save_sheet(const xray *q, int t)
{
    fv_picture sheet;
    char title[512], name[32];
    snprintf(title, sizeof title, "%s (weight %g)", q->texts[t], (double)q->weights[t]);
    FV_TRY(fv_xray_sheet(&sheet, &q->found[t], &q->picture, q->count > 1 ? title : q->texts[t]));
    fv_status s = many_picture(&sheet, q->folder, sheet_name(t, name));
    fv_picture_free(&sheet);
    return s;
}

/* The picture is none of the sheets behind the first. */
static fv_status keep_picture(const xray *q)
{
    const char *out = fv_options_get(q->c->options, "out");
    for (int t = 1; t < q->count; t++) {
        char name[32];
        const char *const names[] = {sheet_name(t, name), NULL};
        FV_TRY(place_apart_inside(out, names, q->c->words, "the picture"));
    }
    return FV_OK;
}

static fv_status run(xray *q)
{
    cli *c = q->c;
    if (!c->words || !*c->words)
        return fv_fail(FV_ERR_ARGUMENT, "xray needs a picture: feavis xray PICTURE.png");
    static const char *const names[] = {"xray.png", "words.csv", NULL};
    const char *out = fv_options_get(c->options, "out");
    FV_TRY(place_apart_inside(out, names, c->words, "the picture"));
    FV_TRY(place_check_folder(out));
    FV_TRY(fv_picture_read(&q->picture, c->words));
    FV_TRY(read_texts(q));
    FV_TRY(keep_picture(q));
    FV_TRY(fv_model_open(&q->model, c->options));
    FV_TRY(warn(q));
    for (int t = 0; t < q->count; t++)
        FV_TRY(fv_xray_make(&q->found[t], q->model, &q->picture, q->texts[t]));
    FV_TRY(many_folder(&q->folder, c, "xray"));
    for (int t = 0; t < q->count; t++) FV_TRY(save_sheet(q, t));
    FV_TRY(save_table(q));
    (json_on() ? print_json : print)(q);
    return FV_OK;
}

int command_xray(cli *c)
{
    xray q = {.c = c};
    fv_status s = run(&q);
    for (int t = 0; t < q.count; t++) {
        fv_xray_clear(&q.found[t]);
        free(q.texts[t]);
    }
    fv_picture_free(&q.picture);
    fv_model_close(q.model);
    free(q.folder);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
