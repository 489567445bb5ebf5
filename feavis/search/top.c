/* See top.h. */
#include "feavis/top.h"

#include <math.h>
#include <stdbool.h>

static bool above(float a, float b)
{
    return a > b || (isnan(b) && !isnan(a));
}

void fv_top_offer(fv_hit *hits, int k, int *found, int index, float score)
{
    if (*found >= k && (k < 1 || !above(score, hits[k - 1].score))) return;
    int at = *found < k ? (*found)++ : k - 1;
    for (; at > 0 && above(score, hits[at - 1].score); at--) hits[at] = hits[at - 1];
    hits[at] = (fv_hit){index, score};
}

int fv_top(const float *scores, int count, size_t stride, int k, fv_hit *out)
{
    int found = 0;
    for (int i = 0; i < count; i++) fv_top_offer(out, k, &found, i, scores[(size_t)i * stride]);
    return found;
}

int fv_top_before(const float *scores, int count, size_t stride, int own)
{
    int before = 0;
    float score = scores[(size_t)own * stride];
    for (int i = 0; i < count; i++) {
        float other = scores[(size_t)i * stride];
        before += above(other, score) || (i < own && !above(score, other));
    }
    return before;
}
