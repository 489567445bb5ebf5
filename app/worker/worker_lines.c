/* The tree of a picture: going back and branching with another text or seed keeps the old line,
 * with its curve, its texts and its tip; see fv_history. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"
#include "feavis/plot.h"

static int place_of(worker *w, unsigned id)
{
    for (int i = 0; i < fv_history_line_count(w->history); i++)
        if (fv_history_line(w->history, i)->id == id) return i;
    return -1;
}

static unsigned current_id(worker *w)
{
    return fv_history_line(w->history, fv_history_current(w->history))->id;
}

static line_aside *aside_of(worker *w, unsigned id)
{
    for (int i = 0; i < FV_MOST_LINES; i++)
        if (w->asides[i].id == id) return &w->asides[i];
    return NULL;
}

static void clear_aside(line_aside *a)
{
    free(a->curve);
    *a = (line_aside){0};
}

void forget_asides(worker *w)
{
    unsigned current = current_id(w);
    for (int i = 0; i < FV_MOST_LINES; i++) {
        line_aside *a = &w->asides[i];
        if (a->id && (a->id == current || place_of(w, a->id) < 0)) clear_aside(a);
    }
}

/* Copies what belongs to the current line. */
static bool copy_aside(worker *w, line_aside *out)
{
    line_aside a = {.id = current_id(w), .saved = w->saved, .progress = w->view.progress};
    a.curve_count = a.curve_room = w->curve_count;
    a.curve = malloc((size_t)(a.curve_count + 1) * sizeof *a.curve);
    if (!a.curve) return false;
    if (a.curve_count) memcpy(a.curve, w->curve, (size_t)a.curve_count * sizeof *a.curve);
    copy_text(a.text, sizeof a.text, asked_of(w->job));
    copy_text(a.seed, sizeof a.seed, fv_options_get(w->job, "seed"));
    *out = a;
    return true;
}

/* With the lock. The history may have dropped the line that was left, or use it again. */
static void keep_aside(worker *w, line_aside *a)
{
    forget_asides(w);
    bool lives = a->id != current_id(w) && place_of(w, a->id) >= 0;
    line_aside *to = lives ? aside_of(w, 0) : NULL;
    if (to)
        *to = *a;
    else
        clear_aside(a);
}

void follow_session(worker *w)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++)
        if ((table[i].flags & FV_OPTION_LIVE) &&
            fv_options_set(w->job, table[i].name, fv_session_option(w->session, table[i].name)) < 0)
            say(w, NULL);
}

/* The session went back, and goes on past where it was stopped. */
static void go_back(worker *w)
{
    follow_session(w);
    if (fv_options_set(w->job, "stop", "0") < 0) say(w, NULL);
}

void publish_lines(worker *w)
{
    int n = fv_history_count(w->history), lines = fv_history_line_count(w->history);
    int current = fv_history_current(w->history);
    w->view.moment_count = n;
    for (int i = 0; i < n; i++) {
        const fv_moment *m = fv_history_at(w->history, i);
        w->view.moment_steps[i] = m->step;
        w->view.moment_states[i] = m->state != NULL;
    }
    w->view.line_count = lines;
    for (int i = 0; i < lines; i++) {
        const fv_line *from = fv_history_line(w->history, i);
        worker_line *to = &w->view.lines[i];
        const line_aside *a = aside_of(w, from->id);
        *to = (worker_line){from->id,     from->parent, from->fork, from->step,
                            i == current, true,         "",         ""};
        if (a) {
            memcpy(to->text, a->text, sizeof to->text);
            memcpy(to->seed, a->seed, sizeof to->seed);
        } else if (w->job) {
            copy_text(to->text, sizeof to->text, asked_of(w->job));
            copy_text(to->seed, sizeof to->seed, fv_options_get(w->job, "seed"));
        }
    }
    for (int i = 0; i < lines; i++)
        if (w->view.lines[i].parent >= 0) w->view.lines[w->view.lines[i].parent].leaf = false;
}

void branch(worker *w, const order *o)
{
    static const char *const names[] = {"text", "seed", "llp", "term"};
    int step = (int)o->number;
    line_aside left;
    if (!w->session) return;
    if (!w->saved && !save_picture(w)) return; /* what was at the tip is in the gallery too */
    if (!copy_aside(w, &left)) return;
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_branch(w->history, w->session, &step);
    if (s >= 0) {
        keep_aside(w, &left);
        while (w->curve_count && w->curve[w->curve_count - 1].step > step) w->curve_count--;
        w->view.survived = false;
        w->view.progress.step = step;
    } else
        clear_aside(&left);
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) {
        say(w, NULL);
        return;
    }
    release_item(w);
    w->saved = false;
    go_back(w);
    for (int i = 0; o->options && i < 4; i++)
        if (strcmp(fv_options_get(o->options, names[i]), fv_options_get(w->job, names[i])) != 0)
            change(w, names[i], fv_options_get(o->options, names[i]));
    if (o->name && strcmp(o->text, fv_options_get(w->job, o->name)) != 0)
        change(w, o->name, o->text);
    publish_options(w);
    w->pause_at = 0;
    set_phase(w, WORKER_RUNNING);
}

/* With the lock: what was put aside is what grows. */
static void take_aside(worker *w, line_aside *a)
{
    free(w->curve);
    w->curve = a->curve;
    w->curve_count = a->curve_count;
    w->curve_room = a->curve_room;
    w->saved = a->saved;
    w->view.progress = a->progress;
    w->view.survived = false;
    w->view.part_count = 0;
    *a = (line_aside){0};
}

void switch_line(worker *w, unsigned id)
{
    int to = place_of(w, id);
    line_aside left, *mine = aside_of(w, id), next;
    if (!w->session || to < 0 || id == current_id(w) || !mine) return;
    const fv_picture *tip = fv_history_tip(w->history, to);
    fv_picture shown;
    if (!tip || fv_picture_thumbnail(&shown, tip, tip->width) < 0 || !copy_aside(w, &left)) return;
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_switch(w->history, w->session, to);
    if (s >= 0) {
        next = *mine;
        *mine = (line_aside){0};
        keep_aside(w, &left);
        take_aside(w, &next);
        fv_picture_free(&w->picture);
        w->picture = shown;
        w->view.picture_serial++;
        w->view.activation_serial = w->view.gradient_serial = 0;
    } else {
        clear_aside(&left);
        fv_picture_free(&shown);
    }
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) {
        say(w, NULL);
        return;
    }
    release_item(w);
    go_back(w);
    pthread_mutex_lock(&w->mutex);
    publish_lines(w);
    pthread_mutex_unlock(&w->mutex);
    publish_options(w);
    w->pause_at = 0;
    const fv_progress *p = &w->view.progress;
    measure_survival(w, true);
    measure_activation(w, true);
    set_phase(w, p->step >= p->steps ? WORKER_DONE : WORKER_PAUSED);
}

void forget_line(worker *w, unsigned id)
{
    pthread_mutex_lock(&w->mutex);
    fv_status s = fv_history_forget(w->history, place_of(w, id));
    forget_asides(w);
    publish_lines(w);
    pthread_mutex_unlock(&w->mutex);
    if (s < 0) say(w, NULL);
    news(w);
}

bool worker_line_picture(worker *w, unsigned id, fv_picture *out)
{
    pthread_mutex_lock(&w->mutex);
    const fv_picture *tip = fv_history_tip(w->history, place_of(w, id));
    bool has = tip && fv_picture_thumbnail(out, tip, 64) >= 0;
    pthread_mutex_unlock(&w->mutex);
    return has;
}
