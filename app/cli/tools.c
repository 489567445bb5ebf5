/* The commands that make no pictures: info, probe, presets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "feavis/layers.h"
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
        cli_show_lines(stdout, recipe);
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

static fv_status print_layers(fv_model *m, FILE *to)
{
    fv_layers *layers;
    fv_map one;
    FV_TRY(fv_layers_open(&layers, m));
    for (int i = 0; fv_layers_at(layers, i, &one); i++)
        fprintf(to, "%4d x %-4d %6d  %s\n", one.rows, one.columns, one.channels, one.name);
    fv_layers_close(layers);
    return FV_OK;
}

int command_info(cli *c)
{
    if (c->words && check_unused(c, is_picture(c->words)) < 0) return cli_fail();
    if (c->words)
        return is_picture(c->words) ? info_of_picture(c->words) : info_of_checkpoint(c, c->words);
    fv_model *m;
    if (fv_model_open(&m, c->options) < 0) return cli_fail();
    char *text = NULL;
    json_capture lines;
    fv_status s = json_open(&lines);
    if (s >= 0)
        s = c->layers ? print_layers(m, lines.to)
                      : fv_model_describe(&text, m, c->options, c->plan);
    if (s >= 0 && text) cli_show_lines(lines.to, text);
    fv_free(text);
    json_close(&lines, c->layers ? "layer" : c->plan ? "line" : "model", !c->layers && !c->plan);
    fv_model_close(m);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}

/* Of "a,d:guide2.b,guide2.c" what the guide has: "d:b,c" for the second. Names that begin with no
 * guide are the first's. Caller frees; NULL: no memory. */
static char *taps_of_guide(const char *taps, int guide)
{
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    bool any = false;
    if (!f) return NULL;
    for (size_t n; *taps; taps += n + (taps[n] == ',')) {
        n = strcspn(taps, ",");
        bool gradient = n > 2 && strncmp(taps, "d:", 2) == 0;
        const char *name = taps + (gradient ? 2 : 0);
        int number = 1, skip = 0;
        if (sscanf(name, "guide%d.%n", &number, &skip) != 1 || !skip) number = 1, skip = 0;
        if (number != guide + 1) continue;
        fprintf(f, "%s%s%.*s", any ? "," : "", gradient ? "d:" : "", (int)(taps + n - name) - skip,
                name + skip);
        any = true;
    }
    if (fclose(f) == 0) return out;
    free(out);
    return NULL;
}

static void tell_probed(const fv_model *m, int guide, const char *folder, float cosine)
{
    char label[160];
    bool several = fv_model_guide_count(m) > 1;
    if (json_on()) {
        json_begin("probe");
        json_path("folder", folder);
        if (several) json_whole("guide", guide + 1);
        json_number("cosine", (double)cosine);
        json_end();
        return;
    }
    printf("cosine %.7f", (double)cosine);
    if (several)
        printf("  guide%d: %s", guide + 1,
               cli_shown(fv_model_label(m, guide, label, sizeof label)));
    putchar('\n');
}

/* Each guide in a folder of its own, guide1 and so on. */
static fv_status probe_guides(fv_model *m, const fv_probe *whole)
{
    fv_status s = FV_OK;
    if (whole->ids)
        return fv_fail(FV_ERR_ARGUMENT,
                       "probe takes --ids with one model: each has its own tokens");
    if (mkdir(whole->folder, 0777) != 0 && errno != EEXIST)
        return fv_fail(FV_ERR_IO, "making the folder %s: %s", whole->folder, strerror(errno));
    for (int g = 0; s >= 0 && g < fv_model_guide_count(m); g++) {
        fv_probe probe = *whole;
        char *folder = NULL, *taps = taps_of_guide(whole->taps ? whole->taps : "", g);
        float cosine = 0;
        if (!taps || asprintf(&folder, "%s/guide%d", whole->folder, g + 1) < 0) {
            folder = NULL;
            s = fv_fail(FV_ERR_MEMORY, "probe: out of memory");
        }
        probe.folder = folder;
        probe.taps = taps && *taps ? taps : NULL;
        if (s >= 0) s = fv_probe_run(fv_model_guide(m, g), &probe, &cosine);
        if (s >= 0) tell_probed(m, g, folder, cosine);
        free(folder);
        free(taps);
    }
    return s;
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
    if (s >= 0) s = fv_model_open(&m, c->options);
    if (s >= 0 && fv_model_guide_count(m) > 1) {
        s = probe_guides(m, &probe);
    } else {
        if (s >= 0) s = fv_probe_run(m, &probe, &cosine);
        if (s >= 0) tell_probed(m, 0, probe.folder, cosine);
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
        printf("%-16s %s", names[i], cli_shown(fv_preset_title(p)));
        if (pictures) printf(" (%d pictures)", pictures);
        putchar('\n');
        fv_preset_close(p);
    }
    fv_names_free(names, count);
    return status;
}
