/* feavis places PICTURE: what the model makes of parts of a picture: the cosine of each place of
 * --at, or of the picture's own recipe, with its text. */
#include <stdio.h>
#include <stdlib.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "feavis/critic.h"

/* What the recipe inside asks for, unless flags say it; the model is the recipe's too. */
static fv_status read_options(cli *c)
{
    char *recipe;
    if (fv_recipe_read(&recipe, c->words) < 0)
        return cli_has_flag(c, "at")
                   ? FV_OK
                   : fv_fail(FV_ERR_ARGUMENT,
                             "%s holds no recipe: say the places, as --at \"月亮: 4-5,0-1\"",
                             c->words);
    fv_status s = fv_recipe_apply(c->options, recipe, c->words);
    free(recipe);
    return s < 0 ? s : cli_apply_flags(c, c->options);
}

static void print_json(const fv_spot *spots, int count)
{
    for (int i = 0; i < count; i++) {
        json_begin("place");
        json_text("text", spots[i].text);
        json_whole("left", spots[i].left);
        json_whole("right", spots[i].right);
        json_whole("top", spots[i].top);
        json_whole("bottom", spots[i].bottom);
        json_number("weight", (double)spots[i].weight);
        json_number("cosine", (double)spots[i].cosine);
        json_end();
    }
}

static void print(const fv_spot *spots, int count)
{
    printf("cosine  columns  rows  text\n");
    for (int i = 0; i < count; i++)
        printf("%6.3f  %d-%d      %d-%d   %s\n", (double)spots[i].cosine, spots[i].left,
               spots[i].right, spots[i].top, spots[i].bottom, cli_shown(spots[i].text));
}

static fv_status run(cli *c, fv_model **m, fv_critic **critic, fv_picture *p)
{
    fv_spot spots[FV_MAX_SPOTS];
    int count;
    if (!c->words || !*c->words)
        return fv_fail(FV_ERR_ARGUMENT, "places needs a picture: feavis places PICTURE.png");
    FV_TRY(fv_picture_read(p, c->words));
    FV_TRY(read_options(c));
    const char *at = fv_options_get(c->options, "at");
    if (!*at)
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s was asked for no places: say them, as --at \"月亮: 4-5,0-1\"", c->words);
    FV_TRY(fv_model_open(m, c->options));
    FV_TRY(fv_critic_open(critic, *m));
    FV_TRY(fv_critic_places(*critic, p, at, spots, &count));
    (json_on() ? print_json : print)(spots, count);
    return FV_OK;
}

int command_places(cli *c)
{
    fv_model *m = NULL;
    fv_critic *critic = NULL;
    fv_picture p = {.rgb = NULL};
    fv_status s = run(c, &m, &critic, &p);
    fv_picture_free(&p);
    fv_critic_close(critic);
    fv_model_close(m);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
