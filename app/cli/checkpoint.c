/* feavis info CHECKPOINT and feavis convert. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"
#include "app/cli/json.h"
#include "feavis/checkpoint.h"

int info_of_checkpoint(const cli *c, const char *path)
{
    const char *config = fv_options_get(c->options, "config");
    bool fits = true;
    json_capture lines;
    if (json_open(&lines) < 0) return cli_fail();
    fv_status s = c->tensors ? fv_checkpoint_list(path, lines.to)
                             : fv_checkpoint_print(path, *config ? config : NULL, lines.to, &fits);
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

int command_convert(cli *c)
{
    const char *config = fv_options_get(c->options, "config");
    const char *out = fv_options_get(c->options, "out");
    bool momentum = strcmp(fv_options_get(c->options, "tower"), "momentum") == 0;
    int tensors;
    double worst;
    fv_status s = c->words && *out ? FV_OK
                                   : fv_fail(FV_ERR_ARGUMENT,
                                             "convert needs a checkpoint, --out FILE.safetensors, "
                                             "and its cfg if it has one (--config FILE)");
    if (s >= 0)
        s = fv_checkpoint_convert(c->words, *config ? config : NULL, out, momentum, c->half,
                                  &tensors, &worst);
    if (s < 0) return cli_fail();
    if (json_on()) {
        json_begin("checkpoint");
        json_path("path", out);
        json_whole("tensors", tensors);
        json_flag("half", c->half);
        json_number("worst", c->half ? worst : 0);
        json_end();
    } else if (c->half)
        printf("%s: %d tensors in 16 bits, read again: off by at most %.1e of a number\n", out,
               tensors, worst);
    else
        printf("%s: %d tensors, read again: equal to the last bit\n", out, tensors);
    return EXIT_SUCCESS;
}
