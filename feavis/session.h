/* The inside of fv_session, for the files that share it: session.c (the loop), best.c (the state
 * that survives a blur best), session_file.c (states in files), timeline.c (states kept in memory,
 * the parts of the loss, the gradient of the picture). */
#ifndef FV_SESSION_H
#define FV_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "feavis/objectives.h"
#include "feavis/views.h"

/* What a state consists of: the parameters and Adam's moments. */
extern const fv_block fv_kept_blocks[3];

struct fv_session {
    fv_model *model;
    fv_options *recipe; /* as opened, with all changes: what is written into PNGs */
    fv_options *now;    /* with the changes up to this step */

    fv_plan *plan;
    fv_ref picture;
    fv_views views;
    fv_objectives objectives;
    fv_objective_refs refs;

    int step, replayed; /* finished steps; changes of the recipe already applied */
    double caution;     /* factor on the step size, halved by the NaN guard */
    int restored, restored_in_a_row;
    float *kept[FV_BLOCKS]; /* value, unused, m, v of a good step */
    int kept_step;
    float *best, *aside; /* parameters: of the best state, and while they stand in; keep: best */
    int best_step;       /* 0: there is none yet */
    double best_loss;    /* of its picture after a blur */
    float *pixels;       /* [size * size * 3], for downloads */

    struct timespec begun;
    int begun_step;
    double last_seconds, step_seconds; /* smoothed */

    atomic_bool cancelled;
    pthread_mutex_t mutex;
    uint8_t *rgb; /* newest picture, under the mutex */
    bool has_picture;
    bool coming; /* under the mutex: the newest picture is on its way, rgb is older */
    fv_part parts[FV_MOST_PARTS]; /* of the newest step, under the mutex */
    int part_count;
    float gradient_norm;  /* |d loss / d parameters| of the newest step */
    bool gradient_wanted; /* the worker's: copy d loss / d picture in the next backward */
    bool has_gradient;    /* under the mutex */
    float *gradient;      /* [size * size * 3], NULL until it is wanted; under the mutex */
    fv_change *pending;
    int pending_count;
};

/* Gives the plan other options, builds it again if its ops differ, and uploads what belongs to
 * them; the parameters stay. Takes `next` over in every case. */
fv_status fv_session_adopt(fv_session *s, fv_options *next);
/* Applies the changes of the recipe up to this step. */
fv_status fv_session_replay(fv_session *s);
/* kept -> the plan. */
fv_status fv_session_put_kept(fv_session *s);
/* Views of a step or of FV_VIEWS_*, forward, scores. *finite: whether the loss is. */
fv_status fv_session_forward(fv_session *s, int views_of, fv_scores *scores, bool *finite);

/* best.c; all of these do nothing unless the option keep is best. */
/* After a step: looks, if it is time to, and copies a state that is better than all before. */
fv_status fv_session_note_best(fv_session *s);
void fv_session_forget_best(fv_session *s);
/* Puts the best parameters into the plan if they are better than those that are there, and these
 * aside. *swapped: fv_session_swap_back has to follow. */
fv_status fv_session_swap_best(fv_session *s, bool *swapped);
fv_status fv_session_swap_back(fv_session *s);

/* After forward: notes what the loss is made of. Under the mutex. */
void fv_session_take_parts(fv_session *s, const fv_scores *scores);
/* From the watch, before the op that made `y` runs backward. */
fv_status fv_session_watch_gradient(fv_session *s, fv_plan *p, const fv_op *op);

#endif
