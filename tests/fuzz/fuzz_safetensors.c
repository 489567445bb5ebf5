/* .safetensors: u64 length, JSON header, tensors. The mutator changes header or tensors and keeps
 * the length right. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    fuzz_checkpoint(data, size);
    return fuzz_end();
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint32_t way = fuzz_random(&seed, 4);
    uint64_t header = 0;
    if (size >= 8) memcpy(&header, data, 8);
    if (way == 0 || size < 10 || header > size - 8) return LLVMFuzzerMutate(data, size, most);
    size_t start = 8 + (size_t)header;
    if (way == 1 && start < size)
        return start + LLVMFuzzerMutate(data + start, size - start, most - start);
    uint8_t *tensors = malloc(size - start + 1);
    if (!tensors) return size;
    memcpy(tensors, data + start, size - start);
    size_t n = LLVMFuzzerMutate(data + 8, (size_t)header, most - 8 - (size - start));
    memcpy(data + 8 + n, tensors, size - start);
    free(tensors);
    header = n;
    memcpy(data, &header, 8);
    return 8 + n + size - start;
}
