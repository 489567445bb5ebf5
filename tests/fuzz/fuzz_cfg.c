/* A cfg (eval.yml, mini.yml) and what it asks of a checkpoint. */
#include "model/nets/inventory.h"
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
        fv_source source = {.weights = weights, .root = "learnable"};
        fv_needs needs;
        if (!fuzz_refused(fv_brivl_needs(&needs, &c, &source))) {
            bool fits;
            for (int i = 0; i < needs.count; i++) fv_needed_find(&needs.at[i], weights, &fits);
            fv_needs_clear(&needs);
        }
        fv_brivl_config_clear(&c);
    }
    return fuzz_end();
}
