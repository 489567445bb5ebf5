/* Greedy-by-size placement of buffers in one arena. See memory.h. */
#include "model/plan/memory.h"

#include <stdint.h>
#include <stdlib.h>

typedef struct order {
    size_t bytes;
    size_t index;
} order;

static int larger_first(const void *a, const void *b)
{
    const order *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index; /* a fixed order for equal sizes */
}

static int by_offset(const void *a, const void *b)
{
    const fv_span *x = *(const fv_span *const *)a, *y = *(const fv_span *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t round_up(size_t bytes)
{
    return (bytes + FV_ALIGNMENT - 1) / FV_ALIGNMENT * FV_ALIGNMENT;
}

/* Lowest offset at which `span` meets none of the placed spans (sorted by offset here). */
static size_t lowest_gap(const fv_span *span, const fv_span **placed, size_t count)
{
    qsort(placed, count, sizeof *placed, by_offset);
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (offset + span->bytes <= placed[i]->offset) break;
        size_t end = placed[i]->offset + round_up(placed[i]->bytes);
        if (end > offset) offset = end;
    }
    return offset;
}

fv_status fv_memory_plan(fv_span *spans, size_t count, size_t *arena_bytes)
{
    *arena_bytes = 0;
    if (count == 0) return FV_OK;
    const size_t limit = SIZE_MAX / 2; /* no offset passes the total: the sums below cannot wrap */
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (total > limit || spans[i].bytes > limit - total)
            return fv_fail(FV_ERR_MEMORY, "planning memory: %zu buffers need more than %zu bytes",
                           count, limit);
        total += round_up(spans[i].bytes);
    }
    order *sorted = malloc(count * sizeof *sorted);
    const fv_span **meeting = malloc(count * sizeof *meeting);
    if (!sorted || !meeting) {
        free(sorted);
        free(meeting);
        return fv_fail(FV_ERR_MEMORY, "planning memory for %zu buffers: out of memory", count);
    }
    for (size_t i = 0; i < count; i++) sorted[i] = (order){spans[i].bytes, i};
    qsort(sorted, count, sizeof *sorted, larger_first);
    for (size_t i = 0; i < count; i++) {
        fv_span *span = &spans[sorted[i].index];
        size_t met = 0;
        for (size_t j = 0; j < i; j++) {
            const fv_span *other = &spans[sorted[j].index];
            if (other->first <= span->last && span->first <= other->last) meeting[met++] = other;
        }
        span->offset = lowest_gap(span, meeting, met);
        size_t end = span->offset + round_up(span->bytes);
        if (end > *arena_bytes) *arena_bytes = end;
    }
    free(sorted);
    free(meeting);
    return FV_OK;
}

size_t fv_memory_bound(const fv_span *spans, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t live = 0; /* the peak is reached at the start of some span */
        for (size_t j = 0; j < count; j++)
            if (spans[j].first <= spans[i].first && spans[i].first <= spans[j].last)
                live += round_up(spans[j].bytes);
        if (live > most) most = live;
    }
    return most;
}
