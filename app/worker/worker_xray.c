/* The X-ray of the picture: what each word of its first text is worth, and where it pulls. */
#include <stdlib.h>
#include <string.h>

#include "app/worker/worker_inside.h"

void forget_words(worker *w)
{
    pthread_mutex_lock(&w->mutex);
    fv_xray_clear(&w->xray);
    w->view.xray_serial = w->view.xray_of = w->view.xray_count = 0;
    pthread_mutex_unlock(&w->mutex);
}

static void publish_words(worker *w, fv_xray *x, int of)
{
    pthread_mutex_lock(&w->mutex);
    fv_xray_clear(&w->xray);
    w->xray = *x;
    w->view.xray_serial++;
    w->view.xray_of = of;
    w->view.xray_count = x->count;
    memcpy(w->view.words, x->words, sizeof x->words);
    pthread_mutex_unlock(&w->mutex);
}

/* A text without words has an X-ray of none. */
void look_at_words(worker *w)
{
    const char *text = w->session ? fv_session_text(w->session, 0) : NULL;
    int of = w->view.picture_serial; /* written by this thread only */
    fv_picture p;
    fv_xray x = {.count = 0};
    if (!of || w->view.xray_of == of || !worker_picture(w, &p)) return;
    fv_status s = text ? fv_xray_make(&x, w->model, &p, text) : FV_OK;
    fv_picture_free(&p);
    if (s < 0 && s != FV_ERR_ARGUMENT) {
        say(w, NULL);
        return;
    }
    publish_words(w, &x, of);
    notify(w);
}
