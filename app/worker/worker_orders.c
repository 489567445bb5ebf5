/* What the worker's orders do: the queue, the easel, branches, the seed board. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

static worker_phase phase_of(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    worker_phase phase = w->view.phase;
    pthread_mutex_unlock(&w->mutex);
    return phase;
}

/* --- saving --- */

static void title_of(const worker_view *v, char *out, size_t size)
{
    bool term = (*v->text || *v->llp) && *v->term;
    snprintf(out, size, "%s%s%s%s%s%s", v->text, *v->text && *v->llp ? "-" : "",
             *v->llp ? "llp-" : "", v->llp, term ? "-" : "", v->term);
}

bool save_picture(worker *w)
{
    fv_picture picture;
    fv_progress scores;
    char *recipe = NULL, *path = NULL, title[1536];
    const char *gallery = fv_options_get(w->options, "gallery");
    fv_status s = fv_session_picture(w->session, &picture, &scores);
    if (s < 0) {
        say(w, NULL);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    title_of(&w->view, title, sizeof title);
    uint64_t seed = strtoull(w->view.seed, NULL, 10);
    pthread_mutex_unlock(&w->mutex);
    s = fv_session_recipe(w->session, &recipe);
    if (s >= 0) s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add(gallery, title, seed, &picture, recipe, &path);
    fv_picture_free(&picture);
    free(recipe);
    if (s < 0) {
        say(w, NULL);
        return false;
    }
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.saved, sizeof w->view.saved, path);
    w->view.saved_serial++;
    for (int i = 0; i < w->view.panel_count; i++)
        if (w->item && w->view.panels[i].id == w->item) w->view.panels[i].done = true;
    pthread_mutex_unlock(&w->mutex);
    free(path);
    w->saved = true;
    return true;
}

/* Only now does its file leave the queue: a crash before this point makes the picture again. */
void release_item(worker *w)
{
    int at = w->item ? fv_queue_find(w->queue, w->item) : -1;
    if (at >= 0 && fv_queue_remove(w->queue, at) < 0) say(w, NULL);
    w->item = 0;
    pthread_mutex_lock(&w->mutex);
    publish_queue(w);
    pthread_mutex_unlock(&w->mutex);
}

void finish_picture(worker *w)
{
    measure_survival(w, true);
    measure_activation(w, true);
    if (!save_picture(w)) {
        w->go = false;
        set_phase(w, WORKER_PAUSED);
        return;
    }
    keep_reel(w);
    release_item(w);
    if (fv_queue_count(w->queue) == 0) w->go = false;
    rank_again(w);
    set_phase(w, WORKER_DONE);
}

/* --- the easel --- */

void leave_easel(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    fv_session *s = w->session;
    w->session = NULL;
    fv_history_clear(w->history);
    forget_asides(w);
    w->view.line_count = 0;
    w->curve_count = 0;
    w->view.picture_serial = w->view.activation_serial = w->view.gradient_serial = 0;
    w->view.moment_count = w->view.part_count = 0;
    if (w->view.ranking != RANKED_TEXT) w->view.best_count = 0;
    w->view.survived = false;
    w->view.step_seconds = w->view.stepping = w->view.handing = 0;
    w->view.progress = (fv_progress){0};
    pthread_mutex_unlock(&w->mutex);
    fv_session_close(s);
    fv_options_free(w->job);
    w->job = NULL;
    w->running_seconds = w->last_survival = w->last_activation = 0;
    w->saved = w->told_history = false;
    w->dropped = 0;
    w->pause_at = 0;
}

/* The picture's options; the model and the places to write are the window's own. */
static fv_status with_model(worker *w, const fv_options *from, fv_options **out)
{
    FV_TRY(fv_options_copy(out, from));
    fv_status s = fv_options_take(*out, w->options, FV_OPTION_MODEL | FV_OPTION_PLACE);
    if (s >= 0) return FV_OK;
    fv_options_free(*out);
    *out = NULL;
    return s;
}

static bool begin(worker *w, const fv_options *options)
{
    fv_session *s;
    leave_easel(w);
    if (*fv_options_notice(options)) say(w, fv_options_notice(options));
    if (with_model(w, options, &w->job) < 0 || fv_session_open(&s, w->model, w->job) < 0) {
        say(w, NULL);
        return false;
    }
    fv_session_want_gradient(s, w->gradient_wanted);
    const fv_text_report *report = fv_session_text_report(s, 0);
    pthread_mutex_lock(&w->mutex);
    w->session = s;
    w->view.dropped = report ? report->dropped : 0;
    w->view.unknown = report ? report->unknown : 0;
    w->view.progress =
        (fv_progress){.steps = atoi(fv_options_get(w->job, "steps")), .cosine = NAN, .neuron = NAN};
    w->view.side = atoi(fv_options_get(w->job, "size"));
    pthread_mutex_unlock(&w->mutex);
    publish_options(w);
    return true;
}

void begin_next(worker *w)
{
    w->item = fv_queue_id(w->queue, 0);
    if (!begin(w, fv_queue_at(w->queue, 0))) {
        /* said; what cannot be made does not block the rest */
        release_item(w);
        if (fv_queue_count(w->queue) == 0) w->go = false;
        set_phase(w, WORKER_IDLE);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    publish_queue(w);
    w->view.phase = WORKER_RUNNING;
    pthread_mutex_unlock(&w->mutex);
    news(w);
}

/* --- orders --- */

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
    news(w);
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
    if (!keep) leave_easel(w);
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

void change(worker *w, const char *name, const char *value)
{
    if (!w->session) return;
    if (fv_session_set(w->session, name, value) < 0 || fv_options_set(w->job, name, value) < 0)
        say(w, NULL);
    publish_options(w);
    news(w);
}

static void want_gradient(worker *w, bool wanted)
{
    w->gradient_wanted = wanted;
    if (w->session) fv_session_want_gradient(w->session, wanted);
}

static void follow(worker *w, int channel)
{
    pthread_mutex_lock(&w->mutex);
    w->view.channel = channel;
    w->view.activation_serial = 0;
    pthread_mutex_unlock(&w->mutex);
    measure_activation(w, true);
}

/* Orders on an item of the queue; the one on the easel stays what it is. */
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
    news(w);
}

void obey(worker *w, const order *o)
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
        if (w->session && !w->saved && save_picture(w)) news(w);
        break;
    case ORDER_SET:
        change(w, o->name, o->text);
        break;
    case ORDER_BRANCH:
        branch(w, o);
        break;
    case ORDER_LINE:
        switch_line(w, (unsigned)o->number);
        break;
    case ORDER_FORGET:
        forget_line(w, (unsigned)o->number);
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
    }
}

/* --- the seed board --- */

static void clear_board(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    for (int i = 0; i < WORKER_BOARD; i++) {
        fv_picture_free(&w->board[i]);
        w->view.board[i] = (worker_seed){0};
    }
    pthread_mutex_unlock(&w->mutex);
    for (int i = 0; i < WORKER_BOARD; i++) {
        fv_kept_free(w->board_states[i]);
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
    bool ok = fv_options_set(o, "seed", text) >= 0 && begin(w, o);
    fv_options_free(o);
    for (int k = 0; ok && k < steps; k++) {
        fv_progress p;
        fv_picture picture;
        if (has_orders(w) || !take_step(w, &p)) return false;
        if (fv_session_snapshot(w->session, &picture) < 0) return false;
        pthread_mutex_lock(&w->mutex);
        fv_picture_free(&w->board[i]);
        w->board[i] = picture;
        w->view.board[i] = (worker_seed){seed, p.step, p.cosine, w->view.board[i].serial + 1};
        pthread_mutex_unlock(&w->mutex);
        news(w);
    }
    if (ok && fv_session_keep(w->session, &w->board_states[i]) < 0) {
        say(w, NULL);
        ok = false;
    }
    return ok;
}

void fill_board(worker *w, const fv_options *o, int steps)
{
    worker_phase phase = phase_of(w);
    if (phase == WORKER_RUNNING || phase == WORKER_PAUSED) return;
    clear_board(w);
    if (fv_options_copy(&w->board_options, o) < 0) return;
    uint64_t first = strtoull(fv_options_get(o, "seed"), NULL, 10);
    set_phase(w, WORKER_SEEDS);
    for (int i = 0; i < WORKER_BOARD && grow_seed(w, i, first + (unsigned)i, steps); i++) continue;
    leave_easel(w);
    set_phase(w, WORKER_IDLE);
}

void continue_board(worker *w, int i)
{
    char seed[24];
    fv_options *o;
    if (i < 0 || i >= WORKER_BOARD || !w->board_states[i]) return;
    snprintf(seed, sizeof seed, "%" PRIu64, w->view.board[i].seed);
    if (fv_options_copy(&o, w->board_options) < 0) return;
    bool ok = fv_options_set(o, "seed", seed) >= 0 && begin(w, o);
    fv_options_free(o);
    if (!ok) return;
    w->item = 0;
    if (fv_session_return(w->session, w->board_states[i]) < 0) {
        say(w, NULL);
        return;
    }
    if (publish_seed(w, i)) /* it was at its end already */
        finish_picture(w);
    else
        set_phase(w, WORKER_RUNNING);
}
