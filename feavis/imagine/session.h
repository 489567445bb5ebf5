/* The inside of fv_session, for the files that share it: session.c (the loop), session_change.c
 * (live changes and the plan that serves them), session_look.c (what other threads see: the newest
 * picture, the parts of the loss, the gradient), best.c (the state that survives a blur best),
 * session_file.c (states in files), snapshot.c (states kept in memory).
 *
 * A call that fails leaves the session as it was. What the device was left with is mended before it
 * is used again (fv_session_mend), and a step that has moved the parameters is brought to its end
 * before anything else is done (fv_session_settle). */
#ifndef FV_SESSION_H
#define FV_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "feavis/imagine/objectives.h"
#include "feavis/imagine/views.h"

/* What a state consists of, in this order: the parameters and Adam's moments. */
extern const fv_block fv_kept_blocks[3];

/* A plan and all that refers to it. */
typedef struct fv_net {
    fv_plan *plan;
    fv_ref picture;
    fv_views views[FV_MAX_GUIDES]; /* one for guides of one image size */
    int views_count;
    fv_objective_refs refs;
} fv_net;

/* What a step still has to do, in this order; it may have failed there. */
typedef enum fv_owed {
    FV_OWED_NOTHING,
    FV_OWED_END,     /* Adam has run, or is running; its figures have not been read */
    FV_OWED_RESTORE, /* not finite: back to the guard's state */
    FV_OWED_LOOK     /* whether this state is the best */
} fv_owed;

struct fv_session {
    fv_model *model;
    const fv_network *decoder; /* the model's; NULL unless the generator needs one */
    fv_options *recipe;        /* as opened, with all changes: what is written into PNGs */
    fv_options *now;           /* with the changes up to this step */
    int width, height;         /* of the picture; never change, so any thread may read them */
    size_t param_count;        /* never changes */

    fv_net net; /* plan NULL: there was no memory to build it again */
    fv_objectives objectives;
    bool stale;   /* the plan does not hold the objectives */
    float *held;  /* [3 * params] the state, if the plan does not hold it; else NULL */
    bool swapped; /* the plan holds the best parameters, `aside` those of the state */

    int step, replayed; /* finished steps; changes of the recipe already applied */
    fv_owed owed;
    fv_scores scores;  /* of the step under way */
    bool finite;       /* its loss and gradient, as far as they are known */
    bool captured;     /* it runs as a graph */
    double rate_scale; /* factor on the step size, halved by the NaN guard */
    int restored, restored_in_a_row;
    float *kept;         /* [3 * params] of a good step, for the NaN guard: see fv_kept_blocks */
    int kept_step;       /* -1: reading it failed half-way */
    float *best, *aside; /* parameters: of the best state, and while they stand in; keep: best */
    int best_step;       /* 0: there is none yet */
    double best_loss;    /* of its picture after a blur */
    int dropped;         /* live changes that could not be made */
    char why_dropped[1024];

    float *before, *after; /* [params] of this step; NULL: what it moved is not counted */
    int moved;             /* cells that the newest step gave another code; -1 */

    struct timespec begun;
    int begun_step;
    double last_seconds, step_seconds; /* smoothed */

    atomic_bool cancelled;
    pthread_mutex_t mutex;
    float *pixels; /* [height * width * 3], for downloads: under the mutex while `coming` */
    uint8_t *rgb;  /* newest picture, under the mutex */
    bool has_picture;
    bool coming; /* under the mutex: the newest picture is on its way, rgb is older */
    fv_part parts[FV_MAX_PARTS]; /* of the newest step, under the mutex */
    int part_count;
    float gradient_norm;  /* |d loss / d parameters| of the newest step */
    bool gradient_wanted; /* copy d loss / d picture in the next backward */
    bool has_gradient;    /* under the mutex */
    float *gradient;      /* [height * width * 3], NULL until it is wanted; under the mutex */
    fv_change *pending;   /* asked for, in this order; under the mutex */
    int pending_count;
};

/* --- session_change.c --- */
/* A plan for these options and objectives; state [3 * params], or NULL: zeros. */
fv_status fv_session_build(const fv_session *s, fv_net *out, const fv_options *o,
                           const fv_objectives *g, const float *state);
void fv_session_drop_net(fv_net *n);
/* The three blocks of a state, to the host and back: [3 * params]. A failure may leave a part. */
fv_status fv_session_state_read(const fv_session *s, float *state);
fv_status fv_session_state_write(fv_plan *p, const float *state);
/* Gives the device what a failure kept from it: the plan, the objectives, the state. */
fv_status fv_session_mend(fv_session *s);
/* Mends, and says again what had failed before. */
fv_status fv_session_mend_after(fv_session *s, fv_status failed);
/* Other options: builds another plan if its ops differ, and uploads what belongs to them. `state`
 * [3 * params] or NULL, which keeps the state that is there. All of it or nothing; takes `next`
 * over in every case. */
fv_status fv_session_adopt(fv_session *s, fv_options *next, const float *state);
/* Applies the changes of the recipe up to this step. */
fv_status fv_session_replay(fv_session *s);
/* Applies those that were asked for and writes them into the recipe. */
fv_status fv_session_take_pending(fv_session *s);
void fv_session_forget_pending(fv_session *s);

/* --- session.c --- */
/* Brings the step under way to its end; mends before. */
fv_status fv_session_settle(fv_session *s);
/* The same, if Adam has run in it, but neither goes back to a good state nor looks for a better. */
fv_status fv_session_end_step(fv_session *s);
/* session_forward.c: views of a step or of FV_VIEWS_*; those, forward and scores. *finite: whether
 * the loss is. */
fv_status fv_session_draw_views(fv_session *s, int views_of);
fv_status fv_session_forward(fv_session *s, int views_of, fv_scores *scores, bool *finite);

/* best.c; all of these do nothing unless the option keep is best. */
/* After a step: looks, if it is time to, and copies a state that is better than all before. */
fv_status fv_session_note_best(fv_session *s);
void fv_session_forget_best(fv_session *s);
/* Puts the best parameters into the plan if they are better than those that are there, and these
 * aside: then s->swapped is set, and fv_session_mend puts them back. */
fv_status fv_session_swap_best(fv_session *s);

/* --- session_look.c --- */
/* Takes in a picture that is on its way. Afterwards no other thread touches plan or pixels. */
fv_status fv_session_take_in(fv_session *s);
/* After forward: the plan's picture as 8-bit RGB, and what the loss is made of. */
fv_status fv_session_take_picture(fv_session *s, const fv_scores *scores);
/* The same without waiting: whoever wants the picture, or the next step while the device works,
 * takes it in. */
fv_status fv_session_send_picture(fv_session *s, const fv_scores *scores);
/* From the hook, before the op that made `y` runs backward. */
fv_status fv_session_watch_gradient(fv_session *s, fv_plan *p, const fv_op *op);

#endif
