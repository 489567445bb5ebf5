/* Several pictures on one: a hand scroll with a poem, a sheet with captions. One thread at a time,
 * as the pictures. */
#ifndef FEAVIS_SHEET_H
#define FEAVIS_SHEET_H

#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A poem as one hand scroll, read from the right: panels with their lines, Chinese ones from top
 * to bottom beside them, others below. The first panel's size is that of all. */
FV_API fv_status fv_scroll_make(fv_picture *out, const fv_picture *panels, const char *const *lines,
                                int count);
/* A painted hand scroll, read from the right: the title, then each panel with its line beside it
 * from top to bottom, a column a phrase; panels fade into the paper and each other. Lines that are
 * no Chinese stand below. A red seal ends it. The first panel's height is that of all. */
typedef struct fv_handscroll {
    const fv_picture *panels;
    const char *const *lines;
    int count;
    const char *title;       /* NULL or "": none */
    const char *seal;        /* 1 to 4 letters */
    const void *reserved[4]; /* NULL, for what comes later */
} fv_handscroll;
FV_API fv_status fv_handscroll_make(fv_picture *out, const fv_handscroll *h);
/* How many letters of these texts no font of this machine has. */
FV_API fv_status fv_letters_missing(const char *const *texts, int count, int *missing);

/* Pictures in rows, each in a square of `cell` pixels over its caption. */
FV_API fv_status fv_sheet_make(fv_picture *out, const fv_picture *pictures,
                               const char *const *captions, int count, int columns, int cell);
/* Pictures of any size one below the other, each in the middle. Caller frees, all three. */
FV_API fv_status fv_sheet_stack(fv_picture *out, const fv_picture *pictures, int count);

#ifdef __cplusplus
}
#endif
#endif
