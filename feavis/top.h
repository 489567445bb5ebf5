/* The best of many scores: largest first, of equal ones the one with the lower index, those that
 * are no number last. */
#ifndef FV_TOP_H
#define FV_TOP_H

#include <stddef.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_hit {
    int index;
    float score;
} fv_hit;

/* The k best of scores[0], scores[stride], ..., `count` of them. Returns how many there are:
 * min(k, count). */
FV_API int fv_top(const float *scores, int count, size_t stride, int k, fv_hit *out);
/* One score more, for those that come one after another, in order of index: hits [k] hold the best
 * *found so far. */
FV_API void fv_top_offer(fv_hit *hits, int k, int *found, int index, float score);
/* How many of the scores come before number `own`. */
FV_API int fv_top_before(const float *scores, int count, size_t stride, int own);

#ifdef __cplusplus
}
#endif
#endif
