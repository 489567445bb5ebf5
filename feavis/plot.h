/* Matrices as pictures: cells in colour, labels in any script, thumbnails, a colour scale. */
#ifndef FV_PLOT_H
#define FV_PLOT_H

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fv_picture;

typedef struct fv_heat {
    const char *title; /* or NULL */
    int rows, columns;
    const float *values;                                     /* [rows][columns] */
    char *const *row_labels, *const *column_labels;          /* [rows], [columns]; or NULL */
    const char *row_axis, *column_axis;                      /* what they are; or NULL */
    const struct fv_picture *row_pictures, *column_pictures; /* thumbnails; or NULL */
    float low, high;         /* ends of the colour scale; both 0: those of the values */
    int decimals;            /* of the numbers in cells; -1: no numbers */
    const void *reserved[4]; /* NULL, for what comes later */
} fv_heat;

/* A side too long for 16384 pixels is FV_ERR_UNSUPPORTED. *missing (may be NULL): characters of
 * labels that no font of this machine has. Caller frees the picture. */
FV_API fv_status fv_heat_map(struct fv_picture *out, const fv_heat *h, int *missing);

/* Pixels a side of the thumbnails in a map of so many columns with pictures; 0: no room. */
FV_API int fv_heat_cell(int columns);

/* A copy that fits into side x side pixels, by averaging areas. Caller frees. */
FV_API fv_status fv_picture_thumbnail(struct fv_picture *out, const struct fv_picture *from,
                                      int side);

#ifdef __cplusplus
}
#endif
#endif
