/* A cfg (eval.yml, mini.yml) and what it asks of a checkpoint. */
#include "model/nets/brivl.h"
#include "model/nets/manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fv_weights *weights;
    if (!weights)
        FUZZ_CHECK(fv_weights_open(&weights, fuzz_source("tests/golden/weights/odd.safetensors")) ==
                   FV_OK);
    fuzz_begin(size);
    fv_brivl_config c;
    if (!fuzz_refused(fv_brivl_config_read(&c, fuzz_file(0, "", data, size)))) {
        fv_brivl m = {.base = {.kind = &fv_brivl_kind,
                               .source = {.weights = weights, .root = "learnable"},
                               .image_size = c.image_size,
                               .text_length = c.text_limit},
                      .config = c};
        fv_manifest manifest;
        if (!fuzz_refused(fv_manifest_make(&manifest, &m.base, false))) {
            bool fits;
            for (int i = 0; i < manifest.count; i++)
                fv_needed_find(&manifest.at[i], weights, &fits);
            fv_manifest_clear(&manifest);
        }
        fv_brivl_config_clear(&c);
    }
    return fuzz_end();
}
