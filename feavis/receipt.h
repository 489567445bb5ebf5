/* Receipt: one page about a picture, for papers and classes. */
#ifndef FEAVIS_RECEIPT_H
#define FEAVIS_RECEIPT_H

#include "feavis/xray.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Something with a share of a bar: a class and its probability, a channel and its activation. */
typedef struct fv_receipt_bar {
    char name[96];
    float value, share; /* share: of the bar's length, 0 to 1 */
} fv_receipt_bar;

typedef struct fv_receipt_list {
    const char *title;
    const fv_receipt_bar *bars;
    int count;
} fv_receipt_list;

typedef struct fv_receipt {
    const fv_picture *picture;
    const char *text;         /* the title */
    const char *const *facts; /* name, value, name, value ... */
    int fact_count;           /* pairs */
    const char *curve_title;
    const float *curve;       /* [curve_count], a value a step */
    int curve_count;          /* 0: without */
    fv_receipt_list lists[2]; /* side by side; count 0: without */
    const fv_xray *xrays;     /* [xray_count], one below the other; 0: without */
    const char *const *xray_texts;
    int xray_count;
} fv_receipt;

/* Caller frees. */
FV_API fv_status fv_receipt_make(fv_picture *out, const fv_receipt *r);

#ifdef __cplusplus
}
#endif
#endif
