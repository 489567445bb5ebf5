/* History: how a picture grew, with states in memory to go back to, and branches. On the session's
 * thread; reading a kept state may be shared. */
#ifndef FEAVIS_HISTORY_H
#define FEAVIS_HISTORY_H

#include "feavis/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A state kept in memory: parameters, Adam's moments, step, recipe. */
typedef struct fv_snapshot fv_snapshot;
/* Not while a run is in progress, both. Going back forgets the changes made or asked for since;
 * with the same changes the same picture grows again, with others another branch. The session may
 * be another one than the state is of, if its model and size are the same. */
FV_API fv_status fv_session_take_snapshot(fv_session *s, fv_snapshot **out);
FV_API fv_status fv_session_restore(fv_session *s, const fv_snapshot *k);
FV_API int fv_snapshot_step(const fv_snapshot *k);
FV_API size_t fv_snapshot_bytes(const fv_snapshot *k);
FV_API void fv_snapshot_free(fv_snapshot *k);

/* How a picture grew: up to 96 pictures at even steps, about every fourth with its state. Whoever
 * goes back and does otherwise begins another branch; the old one stays. The branches are a tree,
 * and frames are those of the branch that grows now, from noise on. Everything on the session's
 * thread. */
typedef struct fv_frame {
    int step;
    fv_picture picture;
    fv_snapshot *state; /* NULL: not kept here */
} fv_frame;
typedef struct fv_branch {
    unsigned id; /* stays the same while places change */
    int parent;  /* place of the branch it left; -1: it grew from noise */
    int fork;    /* step at which it left it */
    int step;    /* how far it has come */
} fv_branch;
enum { FV_MAX_BRANCHES = 16 };
typedef struct fv_history fv_history;
FV_API fv_status fv_history_new(fv_history **out);
FV_API void fv_history_free(fv_history *h);
FV_API void fv_history_clear(fv_history *h);
FV_API void fv_history_keep_states(fv_history *h,
                                   bool keep); /* a film needs none; they are kept first */
/* After a step: keeps what is due. A failure says what could not be kept of this one (the state, or
 * the picture too); what was kept before stays. */
FV_API fv_status fv_history_note(fv_history *h, fv_session *s, int step);
FV_API int fv_history_count(const fv_history *h);
FV_API const fv_frame *fv_history_at(const fv_history *h, int i);
/* The last frame with a state, at or before `step`; -1: none. */
FV_API int fv_history_state_before(const fv_history *h, int step);
FV_API int fv_history_branch_count(const fv_history *h);
FV_API const fv_branch *fv_history_branch_at(const fv_history *h, int i);
FV_API int fv_history_current(const fv_history *h);
/* The picture where a branch was left; NULL of the one that grows. */
FV_API const fv_picture *fv_history_tip(const fv_history *h, int i);
/* Going to another branch, both: all of it or nothing. */
/* Keeps the tip of the branch and begins another at the last state at or before *step, which
 * becomes the step of that state; the session goes back to it. Of FV_MAX_BRANCHES branches the
 * oldest that nothing grows from is forgotten. */
FV_API fv_status fv_history_fork(fv_history *h, fv_session *s, int *step);
/* Keeps the tip of the branch; the session goes on from the tip of branch i. */
FV_API fv_status fv_history_switch(fv_history *h, fv_session *s, int i);
/* A branch that nothing grows from, and not the one that grows. */
FV_API fv_status fv_history_forget(fv_history *h, int i);

#ifdef __cplusplus
}
#endif
#endif
