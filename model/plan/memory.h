/* Planned memory: lifetimes in, offsets out. A pure function, testable alone.
 *
 * A span is one buffer that lives from step `first` to step `last`, both included. Two spans
 * whose lifetimes meet never overlap in memory; all others may share bytes. */
#ifndef FV_MEMORY_H
#define FV_MEMORY_H

#include <stddef.h>

#include "kernels/status.h"

enum { FV_ALIGNMENT = 64 };

typedef struct fv_span {
    size_t bytes;
    int first, last;
    size_t offset; /* out: a multiple of FV_ALIGNMENT */
} fv_span;

/* Sets every offset and gives the bytes of the arena that holds them all. Largest first, each
 * at the lowest free place (Pisarchyk & Lee, Efficient memory management for deep neural net
 * inference, 2020: greedy by size). Fails if all spans together pass SIZE_MAX / 2. */
fv_status fv_memory_plan(fv_span *spans, size_t count, size_t *arena_bytes);

/* The most bytes that live in any one step: no plan can need less. */
size_t fv_memory_bound(const fv_span *spans, size_t count);

#endif
