/* The commands that make no pictures: info, probe, presets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "feavis/probe.h"

/* A PNG, a JPEG or a WebP file: one that may have a recipe. Standard input is taken for one. */
static bool is_picture(const char *path)
{
    char start[12] = "";
    struct stat st; /* a pipe without a writer is not waited for */
    if (strcmp(path, "-") == 0) return true;
    FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    size_t n = f ? fread(start, 1, sizeof start, f) : 0;
    if (f) fclose(f);
    return n == sizeof start &&
           (memcmp(start, "\x89PNG", 4) == 0 || memcmp(start, "\xff\xd8\xff", 3) == 0 ||
            (memcmp(start, "RIFF", 4) == 0 && memcmp(start + 8, "WEBP", 4) == 0));
}

static fv_status print_recipe(const char *recipe, const char *path)
{
    fv_list names, values;
    FV_TRY(fv_recipe_list(&names, &values, recipe, path));
    json_begin("recipe");
    json_path("path", path);
    for (int i = 0; i < names.count; i++) json_text(names.at[i], values.at[i]);
    json_end();
    fv_list_clear(&names);
    fv_list_clear(&values);
    return FV_OK;
}

static int info_of_picture(const char *path)
{
    char *recipe;
    fv_status s = fv_recipe_read(&recipe, path);
    if (s < 0) return cli_fail();
    if (json_on())
        s = print_recipe(recipe, path);
    else
        fputs(recipe, stdout);
    free(recipe);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}

/* What is printed of a file does not depend on these. */
static fv_status check_unused(const cli *c, bool picture)
{
    for (int i = 0; i < c->flag_count; i += 2)
        if (picture || strcmp(c->flags[i], "config") != 0)
            return fv_fail(FV_ERR_ARGUMENT, "info on a %s takes no --%s",
                           picture ? "picture" : "checkpoint", c->flags[i]);
    if (c->plan || c->layers)
        return fv_fail(FV_ERR_ARGUMENT, "--%s is of a model; info takes no file with it",
                       c->plan ? "print-plan" : "layers");
    return FV_OK;
}

int command_info(cli *c)
{
    if (c->words && check_unused(c, is_picture(c->words)) < 0) return cli_fail();
    if (c->words)
        return is_picture(c->words) ? info_of_picture(c->words) : info_of_checkpoint(c, c->words);
    fv_model *m;
    if (fv_model_open(&m, c->options) < 0) return cli_fail();
    json_capture lines;
    fv_status s = json_open(&lines);
    if (s >= 0)
        s = c->layers ? fv_model_print_layers(m, lines.to)
                      : fv_model_print(m, c->options, c->plan, lines.to);
    json_close(&lines, c->layers ? "layer" : c->plan ? "line" : "model", !c->layers && !c->plan);
    fv_model_close(m);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}

int command_probe(cli *c)
{
    const char *out = fv_options_get(c->options, "out");
    const char *text = fv_options_get(c->options, "text");
    fv_probe probe = {.image = c->image,
                      .ids = c->ids,
                      .text = *text ? text : c->words,
                      .taps = c->taps,
                      .folder = *out ? out : "probe"};
    fv_model *m = NULL;
    float cosine;
    fv_status s = probe.image ? FV_OK
                              : fv_fail(FV_ERR_ARGUMENT, "probe needs --image FILE (.npy or a "
                                                         "picture)");
    if (s >= 0 && probe.ids && probe.text)
        s = fv_fail(FV_ERR_ARGUMENT, "probe takes a text or --ids, and there are both");
    if (s >= 0) s = cli_open_model(&m, c, "probe");
    if (s >= 0) s = fv_probe_run(m, &probe, &cosine);
    if (s >= 0 && json_on()) {
        json_begin("probe");
        json_path("folder", probe.folder);
        json_number("cosine", (double)cosine);
        json_end();
    } else if (s >= 0) {
        printf("cosine %.7f\n", (double)cosine);
    }
    fv_model_close(m);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}

int command_presets(cli *c)
{
    char **names;
    int count;
    (void)c;
    if (fv_preset_names(&names, &count) < 0) return cli_fail();
    int status = EXIT_SUCCESS;
    for (int i = 0; i < count; i++) {
        fv_preset *p;
        if (fv_preset_open(&p, names[i]) < 0) {
            status = cli_fail();
            continue;
        }
        int pictures = fv_preset_picture_count(p);
        if (json_on()) {
            json_begin("preset");
            json_text("name", names[i]);
            json_text("title", fv_preset_title(p));
            json_whole("pictures", pictures);
            json_end();
            fv_preset_close(p);
            continue;
        }
        printf("%-16s %s", names[i], fv_preset_title(p));
        if (pictures) printf(" (%d pictures)", pictures);
        putchar('\n');
        fv_preset_close(p);
    }
    fv_names_free(names, count);
    return status;
}
