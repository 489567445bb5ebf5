/* What every fuzz target needs. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput and,
 * where a plain change of bytes would hardly get past a checksum or a length, a mutator of its
 * own. libFuzzer drives it (run.sh), or replay.c on the kept inputs, without clang.
 *
 * An input either loads or is refused with one clean line. Under AddressSanitizer the heap is
 * counted while the target runs: at most 64 MiB, and 16 times what the input claims to be. Its own
 * time is at most 2 seconds. */
#ifndef FV_FUZZ_H
#define FV_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/status.h"
#include "model/weights/weights.h"

#define FUZZ_EXPORT __attribute__((visibility("default")))
FUZZ_EXPORT int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Changes data [size], in a block of `most` bytes, and returns the new size. */
FUZZ_EXPORT size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
/* libFuzzer's own changes, for mutators. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Around every input. fuzz_end is 0, what LLVMFuzzerTestOneInput returns. */
void fuzz_begin(size_t size);
int fuzz_end(void);
/* The input has loaded and holds so many bytes: what its header said was honest. */
void fuzz_claim(size_t bytes);

/* Stops the program with the condition and the place. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) fuzz_stop(#condition, __FILE__, __LINE__);                               \
    } while (0)
_Noreturn void fuzz_stop(const char *condition, const char *file, int line);

/* Checks what a failed call has said: negative, one line, no control characters, not for want of
 * memory. True if it failed. */
bool fuzz_refused(fv_status status);

/* The path of a file in memory with this content. Slots 0 to 3 are files of their own; `ending`
 * ("", ".txt") ends the name, in a folder of its own. Valid until the slot is used again. */
const char *fuzz_file(int slot, const char *ending, const void *data, size_t size);
/* A path in the source folder; static. */
const char *fuzz_source(const char *name);
/* Goes nowhere; never closed. */
FILE *fuzz_nowhere(void);

/* Every entry: found by its name, read whole (unless strides of 0 make it huge). */
void fuzz_read_weights(const fv_weights *w);
void fuzz_read_entry(const fv_entry *e);
/* A checkpoint of any format: opened, listed, read; now and then `info` against the shipped cfg. */
void fuzz_checkpoint(const uint8_t *data, size_t size);

/* A mutator's own numbers. */
uint32_t fuzz_random(unsigned *seed, uint32_t below);

#endif
