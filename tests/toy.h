/* The toy BriVL of the session tests: tests/golden/towers/lite0, random weights, 72 pixels, with
 * the options of a short run. */
#ifndef FV_TESTS_TOY_H
#define FV_TESTS_TOY_H

#include "feavis/feavis.h"
#include "tests/check.h"

static inline void set(fv_options *o, const char *name, const char *value)
{
    MUST(fv_options_set(o, name, value));
}

/* Caller frees with fv_options_free. */
static inline fv_options *toy_options(void)
{
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    char checkpoint[1024];
    snprintf(checkpoint, sizeof checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    fv_options *o;
    MUST(fv_options_new(&o));
    const char *const settings[][2] = {
        {"config", source_file("tests/golden/towers/lite0/cfg.yml")},
        {"checkpoint", checkpoint},
        {"vocab", source_file("tests/golden/text_vocab.txt")},
        {"text", "moon"},
        {"size", "80"},
        {"steps", "6"},
        {"shift", "8"},
        {"warmup", "0"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        set(o, settings[i][0], settings[i][1]);
    return o;
}

/* The toy itself, with the online or the momentum towers. Caller closes. */
static inline void open_towers(fv_model **m, const char *tower)
{
    fv_options *o = toy_options();
    set(o, "tower", tower);
    MUST(fv_model_open(m, o));
    fv_options_free(o);
}

#endif
