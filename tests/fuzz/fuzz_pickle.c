/* The pickle parser: the input is the data.pkl of a zip archive with nine small storages. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/zip.h"

enum { STORAGES = 9, STORAGE_BYTES = 72, ROOM = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t archive[ROOM];
    static const uint8_t numbers[STORAGE_BYTES] = {0, 0, 0x80, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8};
    static const char *const names[STORAGES + 1] = {
        "a/data.pkl", "a/data/0", "a/data/1", "a/data/2", "a/data/3",
        "a/data/4",   "a/data/5", "a/data/6", "a/data/7", "a/data/8"};
    zip_part parts[STORAGES + 1];
    for (size_t i = 0; i <= STORAGES; i++)
        parts[i] = (zip_part){(const uint8_t *)names[i], numbers, strlen(names[i]), STORAGE_BYTES};
    parts[0].data = data;
    parts[0].size = size;
    size_t n = zip_write(archive, ROOM, parts, STORAGES + 1, false);
    if (n == 0) return 0;
    fuzz_begin(n);
    fuzz_checkpoint(archive, n);
    return fuzz_end();
}
