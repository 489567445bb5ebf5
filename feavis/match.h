/* Scores of images against texts: how often the right one is among the best. */
#ifndef FV_MATCH_H
#define FV_MATCH_H

#include "feavis/status.h"
#include "feavis/top.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_RECALLS = 3 };
FV_API int fv_recall_at(int i); /* 1, 5, 10 */

/* Share of queries whose partner is among the first k, k = 1, 5, 10. */
typedef struct fv_recall {
    double text_to_image[FV_RECALLS];
    double image_to_text[FV_RECALLS]; /* any of an image's texts counts; images without are left
                                         out */
    int texts, images;                /* queries counted */
} fv_recall;

/* matrix [images][texts]; image_of[j]: the image that text j belongs to, -1 for none. Ranks are
 * those of top.h. */
FV_API fv_status fv_recall_of(const float *matrix, int images, int texts, const int *image_of,
                              fv_recall *out);

#ifdef __cplusplus
}
#endif
#endif
