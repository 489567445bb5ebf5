/* A preset: opened (which checks it), applied, every picture of it, and what the options say. */
#include <stdlib.h>
#include <string.h>

#include "feavis/feavis.h"
#include "feavis/imagine/recipe.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!getenv("FEAVIS_HOME")) setenv("FEAVIS_HOME", fuzz_source(""), 1);
    fuzz_begin(size);
    fv_preset *p;
    fv_options *o;
    if (!fuzz_refused(fv_preset_open(&p, fuzz_file(0, "", data, size)))) {
        FUZZ_CHECK(fv_options_new(&o) == FV_OK && fv_preset_title(p));
        FUZZ_CHECK(fv_preset_apply(p, o) == FV_OK);
        for (int i = 0; i < fv_preset_picture_count(p) && i < 8; i++)
            FUZZ_CHECK(fv_preset_picture(p, i, o) == FV_OK);
        char *text;
        FUZZ_CHECK(fv_recipe_write_options(&text, o) == FV_OK);
        free(text);
        fv_options_free(o);
        fv_preset_close(p);
    }
    return fuzz_end();
}
