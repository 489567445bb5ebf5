/* The worker's thread: orders first, then a step, then what is due. See worker.h. */
#include "app/worker/worker_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { NICER = 5 }; /* the window gets three quarters of a core both want */

/* --- orders --- */

static void order_free(order *o)
{
    free(o->name);
    free(o->text);
    fv_options_free(o->options);
    free(o);
}

static void post(worker *w, order *o)
{
    if (!o) return;
    pthread_mutex_lock(&w->mutex);
    o->posted = w->steps_taken;
    *w->last = o;
    w->last = &o->next;
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->mutex);
}

static order *order_new(worker_order kind, long number)
{
    order *o = calloc(1, sizeof *o);
    if (o) *o = (order){.kind = kind, .number = number};
    return o;
}

void worker_post(worker *w, worker_order kind, long number, const char *name, const char *text)
{
    order *o = order_new(kind, number);
    if (!o) return;
    o->name = name ? strdup(name) : NULL;
    o->text = text ? strdup(text) : NULL;
    post(w, o);
}

void worker_post_options(worker *w, worker_order kind, long number, const fv_options *options)
{
    order *o = order_new(kind, number);
    if (!o) return;
    if (fv_options_copy(&o->options, options) < 0) {
        order_free(o);
        return;
    }
    post(w, o);
}

static order *take_order(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    order *o = w->quit ? NULL : w->first;
    if (o) {
        w->first = o->next;
        if (!w->first) w->last = &w->first;
        int lag = (int)(w->steps_taken - o->posted);
        if (lag > w->view.order_lag) w->view.order_lag = lag;
    }
    pthread_mutex_unlock(&w->mutex);
    return o;
}

/* --- one step --- */

static void run_one_step(worker *w)
{
    fv_progress p;
    if (!take_step(w, &p)) {
        set_phase(w, WORKER_PAUSED);
        return;
    }
    double begin = seconds_now();
    publish_picture(w, &p);
    begin = seconds_now() - begin;
    pthread_mutex_lock(&w->mutex);
    w->view.handing += begin;
    pthread_mutex_unlock(&w->mutex);
    measure_robustness(w, false);
    measure_activation(w, false);
    int stop = atoi(fv_options_get(w->job, "stop"));
    if (p.step >= p.steps || (stop && p.step == stop))
        finish_picture(w);
    else if (w->pause_at && p.step >= w->pause_at)
        set_phase(w, WORKER_PAUSED);
}

/* --- the thread --- */

static bool open_all(worker *w)
{
    if (!open_models(w)) {
        set_phase(w, WORKER_FAILED);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    w->view.phase = WORKER_IDLE;
    publish_queue(w);
    pthread_mutex_unlock(&w->mutex);
    notify(w);
    return true;
}

static void wait_for_orders(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->first && !w->quit) pthread_cond_wait(&w->posted, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static bool ended(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    bool quit = w->quit;
    pthread_mutex_unlock(&w->mutex);
    return quit;
}

static void *work(void *user)
{
    worker *w = user;
    /* A lower priority for this thread and those it starts, so that the window stays responsive. If
     * it cannot be had, everything still works. */
    (void)setpriority(PRIO_PROCESS, 0, NICER);
    bool ready = open_all(w);
    while (!ended(w)) {
        for (order *o; (o = take_order(w));) {
            if (ready || o->kind == ORDER_ADD) dispatch(w, o);
            order_free(o);
        }
        worker_phase phase = phase_of(w);
        bool idle = phase == WORKER_IDLE || phase == WORKER_DONE;
        if (ready && phase == WORKER_RUNNING)
            run_one_step(w);
        else if (ready && phase == WORKER_TWO)
            step_two(w);
        else if (ready && idle && w->go && fv_queue_count(w->queue))
            begin_next(w);
        else
            wait_for_orders(w);
    }
    return NULL;
}

fv_status worker_start(worker **out, const fv_options *o, const char *queue)
{
    worker *w = calloc(1, sizeof *w);
    if (!w) return fv_fail(FV_ERR_MEMORY, "starting the worker: out of memory");
    w->last = &w->first;
    w->group_open = true;
    w->view.phase = WORKER_LOADING;
    w->view.channel = -1;
    w->view.place_x = w->view.place_y = -1;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->posted, NULL);
    fv_status s = fv_options_copy(&w->options, o);
    if (s >= 0) s = fv_queue_open(&w->queue, queue);
    if (s >= 0) s = fv_history_new(&w->history);
    if (s >= 0) publish_queue(w);
    if (s >= 0 && pthread_create(&w->thread, NULL, work, w) != 0)
        s = fv_fail(FV_ERR_MEMORY, "starting the worker: no thread to be had");
    if (s < 0) {
        fv_queue_close(w->queue);
        fv_history_free(w->history);
        fv_options_free(w->options);
        free(w);
        return s;
    }
    *out = w;
    return FV_OK;
}

void worker_stop(worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->mutex);
    w->quit = true;
    w->on_notify = NULL;
    if (w->session) fv_session_cancel(w->session);
    for (int i = 0; i < 2; i++)
        if (w->two_sessions[i]) fv_session_cancel(w->two_sessions[i]);
    pthread_cond_signal(&w->posted);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    for (order *o; (o = w->first);) { /* what was asked for at last waits for the next start */
        w->first = o->next;
        if (o->kind == ORDER_ADD) (void)fv_queue_add(w->queue, o->options);
        order_free(o);
    }
    fv_codes_free(&w->codes);
    free(w->codes_moved);
    fv_session_close(w->session);
    close_two(w);
    fv_xray_clear(&w->xray);
    fv_critic_close(w->other);
    fv_critic_close(w->critic);
    fv_model_close(w->model);
    fv_queue_close(w->queue);
    fv_options_free(w->options);
    fv_options_free(w->job);
    fv_options_free(w->board_options);
    clear_match(w);
    forget_reels(w);
    fv_history_clear(w->history);
    forget_states(w);
    fv_history_free(w->history);
    for (int i = 0; i < WORKER_BOARD; i++) fv_snapshot_free(w->board_states[i]);
    for (int i = 0; i < WORKER_BOARD; i++) fv_picture_free(&w->board[i]);
    for (int i = 0; i < WORKER_PANELS; i++) fv_picture_free(&w->panels[i]);
    for (int i = 0; i < 2; i++) fv_options_free(w->two_options[i]);
    for (int i = 0; i < 2; i++) fv_picture_free(&w->two_pictures[i]);
    fv_picture_free(&w->picture);
    free(w->gradient);
    free(w->activation);
    free(w->curve);
    pthread_cond_destroy(&w->posted);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

void worker_on_notify(worker *w, void (*fn)(void *), void *user)
{
    pthread_mutex_lock(&w->mutex);
    w->on_notify = fn;
    w->on_notify_user = user;
    pthread_mutex_unlock(&w->mutex);
}

void worker_new_group(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    w->group_open = true;
    pthread_mutex_unlock(&w->mutex);
}
