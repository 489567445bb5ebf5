/* Scores of images against texts: the best of each, and recall. */
#ifndef FV_MATCH_H
#define FV_MATCH_H

#include <stddef.h>

#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_hit {
    int index;
    float score;
} fv_hit;

/* The k largest of scores[0], scores[stride], ..., `count` of them, largest first; equal ones in
 * order of index. Returns how many there are: min(k, count). */
int fv_top(const float *scores, int count, size_t stride, int k, fv_hit *out);

enum { FV_RECALLS = 3 };
extern const int fv_recall_at[FV_RECALLS]; /* 1, 5, 10 */

/* Share of queries whose partner is among the first k, k = 1, 5, 10. */
typedef struct fv_recall {
    double text_to_image[FV_RECALLS];
    double image_to_text[FV_RECALLS]; /* any of an image's texts counts; images without are left
                                         out */
    int texts, images;                /* queries counted */
} fv_recall;

/* matrix [images][texts]; image_of[j]: the image that text j belongs to, -1 for none. Among equal
 * scores the lower index comes first. */
fv_status fv_recall_of(const float *matrix, int images, int texts, const int *image_of,
                       fv_recall *out);

#ifdef __cplusplus
}
#endif
#endif
