/* Places in the picture with texts of their own: what the option `at` says.
 *
 *   月亮: 4-5,0-1            columns 4 to 5, rows 0 to 1 of a grid of 6 x 6 over the picture
 *   月亮: 4,0                one cell
 *   月亮: 4-5,0-1 ~1         a border of one cell, over which it matters less and less; 0.5 without
 *   月亮: 4-5,0-1 *2         weight, 1 without; negative: not there
 *
 * Several with |. Columns count from the left, rows from the top, both from 0. The colon that
 * counts is the last one; "\:" and "\|" are the text's own. Full-width twins (：， ｜ and digits)
 * mean the same. 6 x 6 are the boxes of BriVL's MSPP; another network's positions are weighed by
 * how much of them lies inside. */
#ifndef FV_AREAS_SYNTAX_H
#define FV_AREAS_SYNTAX_H

#include "kernels/status.h"

enum { FV_MAX_AREAS = 8, FV_AREA_GRID = 6 };

typedef struct fv_area {
    char *name, *text;            /* "月亮 4-5,0-1"; "月亮" */
    int left, right, top, bottom; /* the last ones included */
    float soft, weight;
    float *target; /* unit embedding of the text; NULL until it is read */
} fv_area;

typedef struct fv_areas {
    fv_area at[FV_MAX_AREAS];
    int count;
} fv_areas;

/* "" is none. */
fv_status fv_areas_parse(fv_areas *out, const char *text);
/* Whether it could be read. */
fv_status fv_areas_try(const char *text);
void fv_areas_clear(fv_areas *a);

#endif
