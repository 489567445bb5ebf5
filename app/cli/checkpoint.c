/* feavis info CHECKPOINT and feavis convert. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "app/cli/places.h"
#include "feavis/checkpoint.h"

int info_of_checkpoint(const cli *c, const char *path)
{
    const char *config = fv_options_get(c->options, "config");
    char *text = NULL;
    bool fits = true;
    json_capture lines;
    if (json_open(&lines) < 0) return cli_fail();
    fv_status s = c->tensors ? fv_checkpoint_list(&text, path)
                             : fv_checkpoint_describe(&text, path, *config ? config : NULL, &fits);
    if (s >= 0) cli_show_lines(lines.to, text);
    fv_free(text);
    json_close(&lines, c->tensors ? "tensor" : "line", false);
    if (s < 0) return cli_fail();
    if (c->tensors) return EXIT_SUCCESS;
    if (*config && json_on()) {
        json_begin("fit");
        json_flag("fits", fits);
        json_end();
    } else if (*config)
        puts(fits ? "it fits the cfg" : "it does not fit the cfg");
    return fits ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void tell_converted(const cli *c, const char *path, int tensors, double worst)
{
    if (json_on()) {
        json_begin("checkpoint");
        json_path("path", path);
        json_whole("tensors", tensors);
        json_flag("half", c->half);
        json_number("worst", c->half ? worst : 0);
        json_end();
    } else if (c->half)
        printf("%s: %d tensors in 16 bits, read again: off by at most %.1e of a number\n", path,
               tensors, worst);
    else
        printf("%s: %d tensors, read again: equal to the last bit\n", path, tensors);
}

/* "towers.safetensors", of several guides "towers-guide2.safetensors". Caller frees; NULL: no
 * memory. */
static char *path_of_guide(const char *out, int guide, int count)
{
    const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
    const char *dot = strrchr(name, '.');
    char *path;
    if (count == 1) return strdup(out);
    if (!dot || dot == name) dot = out + strlen(out);
    return asprintf(&path, "%.*s-guide%d%s", (int)(dot - out), out, guide + 1, dot) < 0 ? NULL
                                                                                        : path;
}

static fv_status convert_guides(const cli *c, const char *out)
{
    fv_model *m;
    FV_TRY(fv_model_open(&m, c->options));
    fv_status s = FV_OK;
    int count = fv_model_guide_count(m), tensors;
    double worst;
    for (int i = 0; s >= 0 && i < count; i++) {
        char *path = path_of_guide(out, i, count);
        s = path
                ? fv_checkpoint_convert_model(fv_model_guide(m, i), path, c->half, &tensors, &worst)
                : fv_fail(FV_ERR_MEMORY, "converting: out of memory");
        if (s >= 0) tell_converted(c, path, tensors, worst);
        free(path);
    }
    fv_model_close(m);
    return s;
}

static fv_status convert_file(const cli *c, const char *out)
{
    const char *config = fv_options_get(c->options, "config");
    bool momentum = strcmp(fv_options_get(c->options, "tower"), "momentum") == 0;
    int tensors;
    double worst;
    FV_TRY(fv_checkpoint_convert(c->words, *config ? config : NULL, out, momentum, c->half,
                                 &tensors, &worst));
    tell_converted(c, out, tensors, worst);
    return FV_OK;
}

int command_convert(cli *c)
{
    const char *out = fv_options_get(c->options, "out");
    bool guides = fv_options_guide_count(c->options) > 0;
    fv_status s = FV_OK;
    if (!*out || (!c->words && !guides))
        s = fv_fail(FV_ERR_ARGUMENT, "convert needs a checkpoint (or --guide), "
                                     "--out FILE.safetensors, and its cfg if it has one "
                                     "(--config FILE)");
    else if (c->words && guides)
        s = fv_fail(FV_ERR_ARGUMENT, "convert takes a checkpoint or --guide, and there are both");
    if (s >= 0 && c->words) s = place_apart(out, "--out", c->words, "the checkpoint");
    if (s >= 0) s = place_apart(out, "--out", fv_options_get(c->options, "config"), "--config");
    if (s >= 0) s = guides ? convert_guides(c, out) : convert_file(c, out);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
