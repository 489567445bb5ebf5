/* Changes to a PNG file that leave its chunks well formed. */
#ifndef FV_FUZZ_PNG_H
#define FV_FUZZ_PNG_H

#include <stddef.h>
#include <stdint.h>

/* One chunk gets other content, is left out, doubled or moved; lengths and CRCs are right after
 * that. Pixels (and compressed text) are changed before their compression, half of the time. For
 * LLVMFuzzerCustomMutator. */
size_t png_mutate(uint8_t *data, size_t size, size_t most, unsigned seed);

#endif
