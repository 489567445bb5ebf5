/* What belongs to branches that do not grow now: curve, texts, progress. The history (history.h)
 * has their pictures and states; these go and come with it. */
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"
#include "feavis/plot.h"

int place_of(worker *w, unsigned id)
{
    for (int i = 0; i < fv_history_line_count(w->history); i++)
        if (fv_history_line(w->history, i)->id == id) return i;
    return -1;
}

unsigned current_id(worker *w)
{
    return fv_history_line(w->history, fv_history_current(w->history))->id;
}

line_aside *aside_of(worker *w, unsigned id)
{
    for (int i = 0; i < FV_MOST_LINES; i++)
        if (w->asides[i].id == id) return &w->asides[i];
    return NULL;
}

void clear_aside(line_aside *a)
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
bool copy_aside(worker *w, line_aside *out)
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
void keep_aside(worker *w, line_aside *a)
{
    forget_asides(w);
    bool lives = a->id != current_id(w) && place_of(w, a->id) >= 0;
    line_aside *to = lives ? aside_of(w, 0) : NULL;
    if (to)
        *to = *a;
    else
        clear_aside(a);
}

/* With the lock: what was put aside is what grows. */
void take_aside(worker *w, line_aside *a)
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

bool worker_line_picture(worker *w, unsigned id, fv_picture *out)
{
    pthread_mutex_lock(&w->mutex);
    const fv_picture *tip = fv_history_tip(w->history, place_of(w, id));
    bool has = tip && fv_picture_thumbnail(out, tip, 64) >= 0;
    pthread_mutex_unlock(&w->mutex);
    return has;
}
