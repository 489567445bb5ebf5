/* The commands that make no pictures: info, probe, presets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/cli.h"
#include "feavis/probe.h"

static bool is_png(const char *path)
{
    char start[4] = "";
    struct stat st; /* a pipe without a writer is not waited for */
    FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    size_t n = f ? fread(start, 1, sizeof start, f) : 0;
    if (f) fclose(f);
    return n == sizeof start && memcmp(start, "\x89PNG", sizeof start) == 0;
}

static int info_of_picture(const char *path)
{
    char *recipe;
    if (fv_recipe_read(&recipe, path) < 0) return cli_fail();
    fputs(recipe, stdout);
    free(recipe);
    return EXIT_SUCCESS;
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
    if (c->words && check_unused(c, is_png(c->words)) < 0) return cli_fail();
    if (c->words)
        return is_png(c->words) ? info_of_picture(c->words) : info_of_checkpoint(c, c->words);
    fv_model *m;
    if (fv_model_open(&m, c->options) < 0) return cli_fail();
    fv_status s = c->layers ? fv_model_print_layers(m, stdout)
                            : fv_model_print(m, c->options, c->plan, stdout);
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
    if (s >= 0) printf("cosine %.7f\n", (double)cosine);
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
        printf("%-16s %s", names[i], fv_preset_title(p));
        if (pictures) printf(" (%d pictures)", pictures);
        putchar('\n');
        fv_preset_close(p);
    }
    fv_names_free(names, count);
    return status;
}
