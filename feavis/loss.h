/* Loss: what that of a session's newest step is made of, and where in the picture it pulls. */
#ifndef FEAVIS_LOSS_H
#define FEAVIS_LOSS_H

#include "feavis/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* loss = sum over parts of -weight * value for texts, channels and terms, weight * value for
 * penalties. */
typedef enum fv_part_kind {
    FV_PART_TEXT,
    FV_PART_CHANNEL,
    FV_PART_TERM,
    FV_PART_PENALTY
} fv_part_kind;
typedef struct fv_part {
    fv_part_kind kind;
    char name[64]; /* the text (cut at a whole character), "108", "blocks.3.1:45", "月亮 4,0", "tv" */
    float weight, value;
    int guide; /* of a text: which model's cosine it is, from 0 */
} fv_part;
enum { FV_MAX_PARTS = 32 };
/* From any thread: what the loss of the newest step is made of; the number of parts. */
FV_API int fv_session_parts(fv_session *s, fv_part out[FV_MAX_PARTS]);

/* Not while a run is in progress: asks that steps also copy the gradient of the picture. */
FV_API void fv_session_want_gradient(fv_session *s, bool wanted);
/* From any thread: |d loss / d picture| of the newest step, mean over R, G and B, scaled so that
 * the 99.5th percentile is 1: `out` holds width * height numbers in [0, 1]. FV_ERR_ARGUMENT if
 * there is none yet. */
FV_API fv_status fv_session_gradient(fv_session *s, float *out);

/* From any thread: d loss / d picture of the newest step as it is, [height][width][3]. */
FV_API fv_status fv_session_gradient_rgb(fv_session *s, float *out);

#ifdef __cplusplus
}
#endif
#endif
