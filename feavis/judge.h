/* Judge: a classifier that took no part, on finished pictures. One thread at a time; its backend is
 * its own. */
#ifndef FEAVIS_JUDGE_H
#define FEAVIS_JUDGE_H

#include "feavis/critic.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_judge fv_judge;
/* file: an EfficientNet with classifier (.safetensors), NULL for the shipped one. names:
 * tab-separated lines "class, English;.., Chinese;..", NULL for model/mini/classes.tsv. groups:
 * lines "Chinese;.., English;.., classes" such as "7-24 80", NULL for model/judge/groups.tsv.
 * backend and threads as in the options. Caller closes. */
FV_API fv_status fv_judge_open(fv_judge **out, const char *file, const char *names,
                               const char *groups, const char *backend, int threads);
FV_API void fv_judge_close(fv_judge *j);
FV_API const char *fv_judge_title(const fv_judge *j);
FV_API int fv_judge_class_count(const fv_judge *j);
FV_API const char *fv_judge_class_name(const fv_judge *j, int k); /* English; "" out of range */
/* Whether a text names class k: alone, or as one of a group; articles and case do not count. */
FV_API bool fv_judge_is_named(const fv_judge *j, const char *text, int k);
/* What it sees: probabilities of all classes, summing to 1. */
FV_API fv_status fv_judge_look(fv_judge *j, const fv_picture *p, float *probabilities);

enum { FV_JUDGE_BEST = 5 };
/* All that is measured of one picture. */
typedef struct fv_verdict {
    int wanted;              /* the likeliest class that the text names; -1: it names none */
    int rank;                /* of `wanted` among all classes, 1 is first; 0 without */
    float probability;       /* of all classes that the text names, together */
    int best[FV_JUDGE_BEST]; /* the likeliest classes */
    fv_robustness cosines;   /* of the critic; NAN without text */
    float robustness;        /* cosines.blurred / cosines.whole */
    float clipped;           /* share of the 8-bit values that are 0 or 255 */
    float mean[3];           /* red, green, blue, 0..1 */
    float light, vivid;      /* mean brightness; mean of (max - min) / max */
    float rough;             /* mean absolute difference of neighbours, 0..1 */
    float reserved[8];       /* zeros, for what comes later */
} fv_verdict;
/* `text` may be NULL; `critic` NULL: without cosines. */
FV_API fv_status fv_judge_picture(fv_judge *j, fv_critic *critic, const fv_picture *p,
                                  const char *text, fv_verdict *out);

/* Pictures side by side, each fitted into cell x cell pixels and framed: green where the judge's
 * first class is the wanted one, yellow among its first five, red past that, grey where nothing
 * was wanted. Caller frees. */
FV_API fv_status fv_judge_sheet(fv_picture *out, const fv_picture *pictures,
                                const fv_verdict *verdicts, int count, int cell);

#ifdef __cplusplus
}
#endif
#endif
