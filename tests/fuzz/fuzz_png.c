/* PNG pictures. */
#include "tests/fuzz/picture.h"
#include "tests/fuzz/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_picture(data, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return png_mutate(data, size, most, seed);
}
