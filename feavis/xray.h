/* X-ray: what each word of a text is worth in a picture, and where it pulls. One thread at a time,
 * with its model. */
#ifndef FEAVIS_XRAY_H
#define FEAVIS_XRAY_H

#include "feavis/model.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FV_XRAY_WORDS = 24 };

typedef struct fv_xray_word {
    char text[64];
    float without; /* cosine of the picture with the text without this word */
    float worth;   /* cosine with the whole text less that */
    float area;    /* share of the picture in which it pulls more than any other word */
    float x, y;    /* the middle of its pull, 0 to 1 from the upper left */
} fv_xray_word;

typedef struct fv_xray {
    float cosine; /* with the whole text */
    int count, side;
    fv_xray_word words[FV_XRAY_WORDS];
    float *pulls;  /* [count][side * side], of mean 1: |d (cosine - without) / d pixel|, smoothed */
    float *shares; /* [count][side * side], summing to 1 over the words */
} fv_xray;

/* Words are divided by spaces and punctuation, ideographs into the longest words of up to four that
 * the model's list knows, apart from particles, else one by one. Those past FV_XRAY_WORDS are one with the last. Of a text of one
 * word the worth is its whole cosine. Caller clears. FV_ERR_ARGUMENT: there is no word. */
FV_API fv_status fv_xray_make(fv_xray *out, fv_model *m, const fv_picture *p, const char *text);
FV_API void fv_xray_clear(fv_xray *x);
/* The picture; the picture in the words' colours, each where it pulls most; and a tile a word with
 * its pull and its worth. Caller frees. */
FV_API fv_status fv_xray_sheet(fv_picture *out, const fv_xray *x, const fv_picture *p,
                               const char *text);

#ifdef __cplusplus
}
#endif
#endif
