/* What all files of the worker use: its phase, messages for the window, the time. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/worker/worker_inside.h"

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void copy_text(char *out, size_t size, const char *text)
{
    size_t n = strlen(text);
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    }
    memcpy(out, text, n);
    out[n] = 0;
}

const char *asked_of(const fv_options *o)
{
    static const char *const names[] = {"text", "llp", "term", "at"};
    const char *value = "";
    for (int i = 0; i < 4 && !*value; i++) value = fv_options_get(o, names[i]);
    return value;
}

void notify(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    void (*fn)(void *) = w->on_notify;
    void *user = w->on_notify_user;
    pthread_mutex_unlock(&w->mutex);
    if (fn) fn(user); /* worker_stop waits for this thread, and so for the call */
}

void say(worker *w, const char *text)
{
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.message, sizeof w->view.message, text ? text : fv_error());
    w->view.message_serial++;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

void set_phase(worker *w, worker_phase phase)
{
    pthread_mutex_lock(&w->mutex);
    w->view.phase = phase;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

worker_phase phase_of(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    worker_phase phase = w->view.phase;
    pthread_mutex_unlock(&w->mutex);
    return phase;
}

bool has_orders(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    bool has = w->first || w->quit;
    pthread_mutex_unlock(&w->mutex);
    return has;
}

void notify_saved(worker *w, char *path)
{
    pthread_mutex_lock(&w->mutex);
    copy_text(w->view.saved, sizeof w->view.saved, path);
    w->view.saved_serial++;
    pthread_mutex_unlock(&w->mutex);
    free(path);
    notify(w);
}
