/* .npy: magic, version, length of the header (2 bytes, from version 2 on 4), header, numbers. The
 * mutator keeps the length right. */
#include <stdlib.h>
#include <string.h>

#include "model/weights/weights_internal.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    fv_npy *a;
    if (!fuzz_refused(fv_npy_open_memory(&a, data, size, "the input"))) {
        fuzz_read_entry(fv_npy_entry(a));
        fv_npy_close(a);
    } else {
        FUZZ_CHECK(!a);
    }
    return fuzz_end();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size_t at = size > 12 && data[6] == 1 ? 10 : 12, header = 0;
    if (size > 12) header = at == 10 ? fv_le16(data + 8) : fv_le32(data + 8);
    if (fuzz_random(&seed, 3) == 0 || size <= 12 || header > size - at || most < size)
        return LLVMFuzzerMutate(data, size, most);
    size_t rest = size - at - header;
    uint8_t *numbers = malloc(rest + 1);
    if (!numbers) return size;
    memcpy(numbers, data + at + header, rest);
    size_t n = LLVMFuzzerMutate(data + at, header, most - at - rest);
    memcpy(data + at + n, numbers, rest);
    free(numbers);
    for (size_t i = 8; i < at; i++) data[i] = (uint8_t)(n >> 8 * (i - 8));
    return at + n + rest;
}
