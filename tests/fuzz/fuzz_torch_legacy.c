/* PyTorch checkpoints before 1.6: five pickles in a row, then the storages. The first three say
 * nothing but what the file is; the mutator mostly leaves them as they are. */
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
    /* magic number, protocol 1001, and the third's first bytes: up to its first STOP */
    size_t start = 20;
    while (start < size && start < 300 && data[start - 1] != '.') start++;
    if (fuzz_random(&seed, 6) == 0 || size <= start || most <= size)
        return LLVMFuzzerMutate(data, size, most);
    return start + LLVMFuzzerMutate(data + start, size - start, most - start);
}
