/* feavis xray PICTURE: what each word of its text is worth, and where it pulls. Results in a
 * folder: xray.png, and words.csv with a line a word. */
#include <stdio.h>
#include <stdlib.h>

#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/xray.h"

typedef struct xray {
    cli *c;
    char *text, *folder;
    fv_model *model;
    fv_picture picture;
    fv_xray found;
} xray;

/* --text, or that of the picture's recipe; the recipe's model, too, unless flags say another. */
static fv_status read_text(xray *q)
{
    char *recipe;
    cli *c = q->c;
    if (fv_recipe_read(&recipe, c->words) >= 0) {
        fv_status s = fv_recipe_apply(c->options, recipe, c->words);
        free(recipe);
        FV_TRY(s);
        FV_TRY(cli_apply_flags(c, c->options));
    }
    FV_TRY(fv_options_first_text(c->options, &q->text));
    return *q->text ? FV_OK
                    : fv_fail(FV_ERR_ARGUMENT, "%s was not made of a text: give one with --text",
                              c->words);
}

static fv_status save_table(const xray *q)
{
    many_file f;
    FV_TRY(many_open(&f));
    fprintf(f.to, "word,worth,cosine_without,area,x,y\n");
    for (int i = 0; i < q->found.count; i++) {
        const fv_xray_word *w = &q->found.words[i];
        many_field(f.to, w->text);
        fprintf(f.to, ",%.6f,%.6f,%.4f,%.4f,%.4f\n", (double)w->worth, (double)w->without,
                (double)w->area, (double)w->x, (double)w->y);
    }
    return many_save(&f, q->folder, "words.csv");
}

static void print(const xray *q)
{
    printf("cosine %.3f\n  worth  pulls most in\n", (double)q->found.cosine);
    for (int i = 0; i < q->found.count; i++) {
        const fv_xray_word *w = &q->found.words[i];
        printf("%+7.3f  %3.0f%% about %.2f,%.2f  %s\n", (double)w->worth, 100 * (double)w->area,
               (double)w->x, (double)w->y, w->text);
    }
    printf("%s/xray.png\n%s/words.csv\n", q->folder, q->folder);
}

static fv_status run(xray *q)
{
    fv_picture sheet;
    cli *c = q->c;
    if (!c->words) return fv_fail(FV_ERR_ARGUMENT, "xray needs a picture: feavis xray PICTURE.png");
    static const char *const names[] = {"xray.png", "words.csv", NULL};
    FV_TRY(place_apart_inside(fv_options_get(c->options, "out"), names, c->words, "the picture"));
    FV_TRY(fv_picture_read(&q->picture, c->words));
    FV_TRY(read_text(q));
    FV_TRY(fv_model_open(&q->model, c->options));
    FV_TRY(fv_xray_make(&q->found, q->model, &q->picture, q->text));
    FV_TRY(fv_xray_sheet(&sheet, &q->found, &q->picture, q->text));
    fv_status s = many_folder(&q->folder, c, "xray");
    if (s >= 0) s = many_picture(&sheet, q->folder, "xray.png");
    fv_picture_free(&sheet);
    if (s >= 0) s = save_table(q);
    if (s >= 0) print(q);
    return s;
}

int command_xray(cli *c)
{
    xray q = {.c = c};
    fv_status s = run(&q);
    fv_xray_clear(&q.found);
    fv_picture_free(&q.picture);
    fv_model_close(q.model);
    free(q.text);
    free(q.folder);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
