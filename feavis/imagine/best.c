/* keep: best. Which state of a run is its picture: the one whose whole picture, blurred by
 * FV_ROBUSTNESS_BLUR, has the least loss. A pattern that only raises the score is what a blur
 * removes first, so late steps that add nothing but such patterns are not chosen.
 *
 * A look is one forward. There are about ten, all in the second half of the run: before that
 * shapes still form. Looks depend on the step alone, so a recipe finds the same state. */
#include <math.h>

#include "feavis/imagine/session.h"

enum { LOOKS = 20 }; /* in a whole run, were there any in its first half */

/* *loss: INFINITY where it is not finite. */
static fv_status look(fv_session *s, double *loss)
{
    fv_scores scores;
    bool finite;
    fv_plan_hook(s->net.plan, NULL, NULL); /* a look that a cancel cut would be missed later */
    FV_TRY(fv_session_forward(s, FV_VIEWS_BLURRED, &scores, &finite));
    *loss = finite ? (double)scores.loss : INFINITY;
    return FV_OK;
}

fv_status fv_session_note_best(fv_session *s)
{
    int steps = s->now->steps, every = steps > LOOKS ? steps / LOOKS : 1;
    if (!s->best || 2 * s->step < steps || s->step % every != 0) return FV_OK;
    double loss;
    FV_TRY(look(s, &loss));
    if (s->best_step && loss >= s->best_loss) return FV_OK;
    FV_TRY(fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, s->aside));
    float *best = s->aside; /* whole: now it may take the place of the other */
    s->aside = s->best;
    s->best = best;
    s->best_step = s->step;
    s->best_loss = loss;
    return FV_OK;
}

void fv_session_forget_best(fv_session *s)
{
    s->best_step = 0;
}

fv_status fv_session_swap_best(fv_session *s)
{
    double loss;
    if (!s->best || !s->best_step || s->best_step == s->step) return FV_OK;
    FV_TRY(look(s, &loss));
    if (loss <= s->best_loss) return FV_OK;
    FV_TRY(fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, s->aside));
    s->swapped = true;
    return fv_plan_block_upload(s->net.plan, FV_BLOCK_VALUE, s->best);
}
