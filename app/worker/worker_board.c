/* The seed board: nine seeds of the same options, a few steps each; one of them grows on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/worker/worker_inside.h"

static void clear_board(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < WORKER_BOARD; i++) {
        fv_picture_free(&w->board[i]);
        w->view.board[i] = (worker_seed){0};
    }
    pthread_mutex_unlock(&w->mutex);
    for (int i = 0; i < WORKER_BOARD; i++) {
        fv_snapshot_free(w->board_states[i]);
        w->board_states[i] = NULL;
    }
    fv_options_free(w->board_options);
    w->board_options = NULL;
}

/* One of the nine; false: an order came in between, or it failed. */
static bool grow_seed(worker *w, int i, uint64_t seed, int steps)
{
    char text[24];
    fv_options *o;
    snprintf(text, sizeof text, "%" PRIu64, seed);
    if (fv_options_copy(&o, w->board_options) < 0) return false;
    bool ok = fv_options_set(o, "seed", text) >= 0 && begin_job(w, o);
    fv_options_free(o);
    for (int k = 0; ok && k < steps; k++) {
        fv_progress p;
        fv_picture picture;
        if (has_orders(w) || !take_step(w, &p)) return false;
        if (fv_session_preview(w->session, &picture) < 0) return false;
        pthread_mutex_lock(&w->mutex);
        fv_picture_free(&w->board[i]);
        w->board[i] = picture;
        w->view.board[i] = (worker_seed){seed, p.step, p.cosine, w->view.board[i].serial + 1};
        pthread_mutex_unlock(&w->mutex);
        notify(w);
    }
    if (ok && fv_session_take_snapshot(w->session, &w->board_states[i]) < 0) {
        say(w, NULL);
        ok = false;
    }
    return ok;
}

void fill_board(worker *w, const fv_options *o, int steps)
{
    worker_phase phase = phase_of(w);
    if (phase == WORKER_RUNNING || phase == WORKER_PAUSED || phase == WORKER_TWO) return;
    clear_board(w);
    if (fv_options_copy(&w->board_options, o) < 0) return;
    uint64_t first = strtoull(fv_options_get(o, "seed"), NULL, 10);
    set_phase(w, WORKER_SEEDS);
    for (int i = 0; i < WORKER_BOARD && grow_seed(w, i, first + (unsigned)i, steps); i++) continue;
    leave_job(w);
    set_phase(w, WORKER_IDLE);
}

void continue_board(worker *w, int i)
{
    char seed[24];
    fv_options *o;
    if (i < 0 || i >= WORKER_BOARD || !w->board_states[i] || phase_of(w) == WORKER_TWO) return;
    snprintf(seed, sizeof seed, "%" PRIu64, w->view.board[i].seed);
    if (fv_options_copy(&o, w->board_options) < 0) return;
    bool ok = fv_options_set(o, "seed", seed) >= 0 && begin_job(w, o);
    fv_options_free(o);
    if (!ok) return;
    w->item = 0;
    if (fv_session_restore(w->session, w->board_states[i]) < 0) {
        say(w, NULL);
        return;
    }
    if (publish_seed(w, i)) /* it was at its end already */
        finish_picture(w);
    else
        set_phase(w, WORKER_RUNNING);
}
