/* Session: one picture that grows: parameters -> views -> image tower -> objectives, and back.
 *
 * From any thread: _set, _preview, _cancel. All else one thread at a time, and _picture, _option,
 * _text, _save not while a run or step goes on. */
#ifndef FEAVIS_SESSION_H
#define FEAVIS_SESSION_H

#include "feavis/model.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_session fv_session;

/* Gaussian blur, in pixels at 224, after which a picture that only fools the model has lost what it
 * fools it with: that of the option keep, and of fv_robustness in critic.h. */
#define FV_ROBUSTNESS_BLUR 2.0f

typedef struct fv_progress {
    int step, steps;    /* finished steps, and how many there will be */
    float loss;         /* what descends */
    float cosine;       /* of the first text, mean over this step's views; NAN without text */
    float neuron;       /* mean of the LLP channels; NAN without */
    float gradient;     /* norm of d loss / d parameters */
    double seconds;     /* since this run began */
    double rate;        /* steps a second, over the last few */
    int restored;       /* how often the NaN guard went back to a good state */
    int dropped;        /* how many live changes could not be made; see fv_session_dropped */
    int moved;          /* cells that the step gave another code; -1: codes are not projected */
    int cells;          /* that there are; 0: as moved -1 */
    double reserved[3]; /* zeros, for what comes later */
} fv_progress;

/* Called after each step, on the thread of fv_session_run; false stops the run. */
typedef bool (*fv_progress_fn)(void *user, const fv_progress *p);

/* The model must outlive the session. Options are copied. */
FV_API fv_status fv_session_open(fv_session **out, fv_model *m, const fv_options *o);
FV_API void fv_session_close(fv_session *s);

/* Steps until all are done. FV_CANCELLED: stopped by cancel or by fn; the picture is whole, and
 * another run goes on from there. */
FV_API fv_status fv_session_run(fv_session *s, fv_progress_fn fn, void *user);
FV_API fv_status fv_session_step(fv_session *s, fv_progress *out);
/* From any thread, also from a signal handler; takes effect within one op of the network. */
FV_API void fv_session_cancel(fv_session *s);

/* From any thread: changes a live option before the next step; it enters the recipe with its
 * step, so that the picture stays reproducible. */
FV_API fv_status fv_session_set(fv_session *s, const char *name, const char *value);
/* Why the last change that could not be made was dropped: one line, "" if all were made. The
 * session, its picture and its recipe are as if it had not been asked for. */
FV_API const char *fv_session_dropped(const fv_session *s);
/* From any thread: a copy of the newest picture, while it grows; caller frees. */
FV_API fv_status fv_session_preview(fv_session *s, fv_picture *out);
/* Between steps, on their thread: that picture before it became 8 bits, [height][width][3]; about
 * [0, 1]. */
FV_API fv_status fv_session_pixels(fv_session *s, float *out);
/* Not while a run is in progress: the finished picture, and scores over the whole of it. */
FV_API fv_status fv_session_picture(fv_session *s, fv_picture *out, fv_progress *scores);
/* YAML that reproduces the picture as it stands now; caller frees. */
FV_API fv_status fv_session_recipe(fv_session *s, char **out);
/* Not while a run is in progress: the codes that its latent is nearest to, those of the finished
 * picture (fv_session_picture) or of the state after the last step. FV_ERR_ARGUMENT: the generator
 * has none. Caller frees with fv_codes_free. */
struct fv_codes;
FV_API fv_status fv_session_codes(fv_session *s, bool finished, struct fv_codes *out);
/* The whole state (parameters, Adam's moments, step, recipe) as .safetensors, and back. The
 * model must be the one it was saved with. What `over` has otherwise than the state's own options is
 * a live change at that step; FV_ERR_ARGUMENT if it cannot be changed while a picture grows. */
FV_API fv_status fv_session_save(fv_session *s, const char *path);
FV_API fv_status fv_session_resume(fv_session **out, fv_model *m, const fv_options *over,
                                   const char *path);
/* The options inside a saved state, to open its model with. */
FV_API fv_status fv_session_read_options(fv_options *o, const char *path);

/* An option as it is at this step, changes and all; as fv_options_get. Not while a step runs. */
FV_API const char *fv_session_option(const fv_session *s, const char *name);
/* The i-th text, without its weight; NULL past the last. Not while a step runs. */
FV_API const char *fv_session_text(const fv_session *s, int i);
/* What the texts became, in order, to the first model or to one of its guides; NULL past the last.
 */
FV_API const fv_text_report *fv_session_text_report(const fv_session *s, int i);
FV_API const fv_text_report *fv_session_guide_report(const fv_session *s, int guide, int i);

#ifdef __cplusplus
}
#endif
#endif
