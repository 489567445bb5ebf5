/* A recipe in a PNG: found, applied, written again as a picture's and as a queue's; what was
 * written reads back as the same. */
#include "feavis/imagine/recipe.h"

#include <string.h>

#include "tests/fuzz/model.h"
#include "tests/fuzz/png.h"

/* A recipe, applied and written again by both writers. */
static void write_again(const fv_options *o, char *out[2])
{
    FUZZ_CHECK(fv_recipe_write(&out[0], o, fuzz_model(), 0) == FV_OK);
    FUZZ_CHECK(fv_recipe_write_options(&out[1], o) == FV_OK);
}

static void round_trip(const char *recipe)
{
    fv_options *o, *again;
    char *first[2], *second[2];
    FUZZ_CHECK(fv_options_new(&o) == FV_OK);
    if (!fuzz_refused(fv_recipe_apply(o, recipe, "the input"))) {
        write_again(o, first);
        for (int i = 0; i < 2; i++) {
            FUZZ_CHECK(fv_options_new(&again) == FV_OK);
            FUZZ_CHECK(fv_recipe_apply(again, first[i], "what was written") == FV_OK);
            write_again(again, second);
            FUZZ_CHECK(strcmp(second[i], first[i]) == 0);
            free(second[0]);
            free(second[1]);
            fv_options_free(again);
        }
        free(first[0]);
        free(first[1]);
    }
    fv_options_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_model();
    fuzz_begin(size);
    char *recipe;
    if (!fuzz_refused(fv_recipe_read(&recipe, fuzz_file(0, "", data, size)))) {
        fuzz_claim(strlen(recipe));
        round_trip(recipe);
        free(recipe);
    }
    return fuzz_end();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return png_mutate(data, size, most, seed);
}
