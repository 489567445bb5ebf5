/* WebP pictures, lossy and lossless, with EXIF, and films. The mutator mostly keeps the size that
 * the RIFF header says right. */
#include <string.h>

#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_picture(data, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size_t n = LLVMFuzzerMutate(data, size, most);
    if (n < 12 || fuzz_random(&seed, 8) == 0) return n;
    memcpy(data, "RIFF", 4);
    memcpy(data + 8, "WEBP", 4);
    for (size_t i = 0; i < 4; i++) data[4 + i] = (uint8_t)((n - 8) >> 8 * i);
    return n;
}
