/* JPEG pictures: baseline, progressive, grey, CMYK, with EXIF. */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_picture(data, size);
}
