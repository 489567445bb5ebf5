/* See match.h. */
#include "feavis/match.h"

#include <stdlib.h>

int fv_recall_at(int i)
{
    static const int ranks[FV_RECALLS] = {1, 5, 10};
    return ranks[i];
}

static void count_rank(double recall[FV_RECALLS], int rank)
{
    for (int k = 0; k < FV_RECALLS; k++) recall[k] += rank < fv_recall_at(k);
}

static void average(double recall[FV_RECALLS], int count)
{
    for (int k = 0; k < FV_RECALLS; k++) recall[k] /= count ? count : 1;
}

fv_status fv_recall_of(const float *matrix, int images, int texts, const int *image_of,
                       fv_recall *out)
{
    fv_recall r = {.texts = 0};
    int *best = malloc(((size_t)images + 1) * sizeof *best); /* rank of an image's first text */
    if (!best) return fv_fail(FV_ERR_MEMORY, "counting recall: out of memory");
    for (int i = 0; i < images; i++) best[i] = -1;
    for (int j = 0; j < texts; j++) {
        int i = image_of[j];
        if (i >= images) {
            free(best);
            return fv_fail(FV_ERR_ARGUMENT, "text %d belongs to image %d of %d", j, i, images);
        }
        if (i < 0) continue;
        count_rank(r.text_to_image, fv_top_before(matrix + j, images, (size_t)texts, i));
        int rank = fv_top_before(matrix + (size_t)i * (size_t)texts, texts, 1, j);
        if (best[i] < 0 || rank < best[i]) best[i] = rank;
        r.texts++;
    }
    for (int i = 0; i < images; i++) {
        if (best[i] < 0) continue;
        count_rank(r.image_to_text, best[i]);
        r.images++;
    }
    free(best);
    average(r.text_to_image, r.texts);
    average(r.image_to_text, r.images);
    *out = r;
    return FV_OK;
}
