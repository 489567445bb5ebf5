/* What the worker's orders do: a row each in dispatch, and the short ones themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

/* What a panel says: the first text, without weights. */
static void copy_line(char *out, size_t size, const char *text)
{
    copy_text(out, size, text);
    char *bar = strstr(out, " | "), *end;
    if (bar) *bar = 0;
    char *colon = strrchr(out, ':');
    if (!colon || !colon[1]) return;
    strtod(colon + 1, &end);
    if (!*end) *colon = 0;
}

static void add(worker *w, const fv_options *o)
{
    if (fv_queue_add(w->queue, o) < 0) { /* no file can be written: it is made all the same */
        say(w, NULL);
        if (fv_queue_hold(w->queue, o) < 0) return;
    }
    int last = fv_queue_count(w->queue) - 1;
    pthread_mutex_lock(&w->mutex);
    if (w->group_open) {
        for (int i = 0; i < WORKER_PANELS; i++) fv_picture_free(&w->panels[i]);
        forget_reels(w);
        w->view.panel_count = 0;
        w->group_open = false;
    }
    if (w->view.panel_count < WORKER_PANELS) {
        worker_panel *p = &w->view.panels[w->view.panel_count++];
        *p = (worker_panel){.id = fv_queue_id(w->queue, last)};
        copy_line(p->text, sizeof p->text, fv_options_get(o, "text"));
    }
    publish_queue(w);
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

static void run(worker *w)
{
    w->pause_at = 0;
    if (phase_of(w) == WORKER_PAUSED && w->session) set_phase(w, WORKER_RUNNING);
    w->go = true;
}

static void stop_with(worker *w, bool keep)
{
    if (!w->session) return;
    if (keep && !w->saved && !save_picture(w)) {
        set_phase(w, WORKER_PAUSED);
        return;
    }
    if (keep) keep_reel(w);
    release_item(w);
    w->go = false;
    if (!keep) leave_job(w);
    set_phase(w, keep ? WORKER_DONE : WORKER_IDLE);
}

static void more(worker *w, int count)
{
    char steps[16];
    if (!w->session) return;
    pthread_mutex_lock(&w->mutex);
    int had = w->view.progress.steps, at = w->view.progress.step;
    pthread_mutex_unlock(&w->mutex);
    snprintf(steps, sizeof steps, "%d", (at >= had ? at : had) + count);
    if (fv_session_set(w->session, "steps", steps) < 0 || fv_options_set(w->job, "stop", "0") < 0 ||
        fv_options_set(w->job, "steps", steps) < 0) {
        say(w, NULL);
        return;
    }
    w->pause_at = 0;
    set_phase(w, WORKER_RUNNING);
}

static void want_gradient(worker *w, bool wanted)
{
    w->gradient_wanted = wanted;
    if (w->session) fv_session_want_gradient(w->session, wanted);
}

static void want_codes(worker *w, bool wanted)
{
    w->codes_wanted = wanted;
    forget_codes(w);
    publish_codes(w);
    notify(w);
}

static void follow(worker *w, int channel)
{
    pthread_mutex_lock(&w->mutex);
    w->view.channel = channel;
    w->view.activation_serial = 0;
    pthread_mutex_unlock(&w->mutex);
    measure_activation(w, true);
}

/* Orders on an item of the queue; the current job stays what it is. */
static void edit_queue(worker *w, const order *o)
{
    int at = fv_queue_find(w->queue, (unsigned)o->number);
    fv_status s = FV_OK;
    if (at < 0 || (w->item == (unsigned)o->number && o->kind != ORDER_DROP)) return;
    if (o->kind == ORDER_DROP && w->item == (unsigned)o->number) return;
    int above = at > 0 && fv_queue_id(w->queue, at - 1) != w->item ? at - 1 : -1;
    if (o->kind == ORDER_DROP) s = fv_queue_remove(w->queue, at);
    if (o->kind == ORDER_RAISE && above >= 0) s = fv_queue_swap(w->queue, at, above);
    if (o->kind == ORDER_EDIT) s = fv_queue_set(w->queue, at, o->name, o->text);
    if (s < 0) say(w, NULL);
    pthread_mutex_lock(&w->mutex);
    publish_queue(w);
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

void dispatch(worker *w, const order *o)
{
    fv_progress p;
    switch (o->kind) {
    case ORDER_ADD:
        add(w, o->options);
        break;
    case ORDER_RUN:
        run(w);
        break;
    case ORDER_PAUSE:
        if (phase_of(w) == WORKER_RUNNING) set_phase(w, WORKER_PAUSED);
        w->go = false;
        break;
    case ORDER_STEP:
        if (!w->session) break;
        if (phase_of(w) == WORKER_DONE) break;
        pthread_mutex_lock(&w->mutex);
        p = w->view.progress;
        pthread_mutex_unlock(&w->mutex);
        w->pause_at = p.step + 1;
        set_phase(w, WORKER_RUNNING);
        break;
    case ORDER_MORE:
        more(w, (int)o->number);
        break;
    case ORDER_KEEP:
        stop_with(w, true);
        break;
    case ORDER_DISCARD:
        stop_with(w, false);
        break;
    case ORDER_SAVE:
        if (w->session && !w->saved && save_picture(w)) notify(w);
        break;
    case ORDER_SET:
        change(w, o->name, o->text);
        break;
    case ORDER_BRANCH:
        branch(w, o);
        break;
    case ORDER_SWITCH:
        switch_branch(w, (unsigned)o->number);
        break;
    case ORDER_FORGET:
        forget_branch(w, (unsigned)o->number);
        break;
    case ORDER_GRADIENT:
        want_gradient(w, o->number != 0);
        break;
    case ORDER_CHANNEL:
        follow(w, (int)o->number);
        break;
    case ORDER_CHANNELS:
        rank_channels(w);
        break;
    case ORDER_LAYER:
        choose_layer(w, (int)o->number, o->text ? o->text : "");
        break;
    case ORDER_PICK:
        pick_place(w, o->text ? o->text : "");
        break;
    case ORDER_SEARCH:
        search_channels(w, o->text);
        break;
    case ORDER_TERM:
        check_term(w, o->text ? o->text : "");
        break;
    case ORDER_SEEDS:
        fill_board(w, o->options, (int)o->number);
        break;
    case ORDER_CONTINUE:
        continue_board(w, (int)o->number);
        break;
    case ORDER_DROP:
    case ORDER_RAISE:
    case ORDER_EDIT:
        edit_queue(w, o);
        break;
    case ORDER_FILM:
        save_film(w, (fv_film_kind)o->number);
        break;
    case ORDER_POEM:
        save_poem(w);
        break;
    case ORDER_SCROLL:
        save_scroll(w);
        break;
    case ORDER_SHEET:
        save_sheet(w, o->text);
        break;
    case ORDER_MATCH:
        match_all(w, o->name, o->text);
        break;
    case ORDER_MATRIX:
        save_matrix(w);
        break;
    case ORDER_TWO:
        begin_two(w, o->options, o->number);
        break;
    case ORDER_TWO_STOP:
        stop_two(w);
        break;
    case ORDER_TWO_SHEET:
        save_two_sheet(w);
        break;
    case ORDER_XRAY:
        look_at_words(w);
        break;
    case ORDER_CODES:
        want_codes(w, o->number != 0);
        break;
    case ORDER_ADD_GUIDE:
    case ORDER_DROP_GUIDE:
    case ORDER_DROP_DECODER:
        change_guides(w, o);
        break;
    }
}
