/* What the files of the worker share: worker.c (the thread), worker_orders.c (what orders do),
 * worker_views.c (copies for the window). */
#ifndef APP_WORKER_INSIDE_H
#define APP_WORKER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "app/worker.h"

typedef struct order {
    worker_order kind;
    long number;
    char *name, *text;
    fv_options *options;
    long posted; /* steps taken by then */
    struct order *next;
} order;

struct worker {
    pthread_t thread;
    pthread_mutex_t mutex; /* over everything below unless it says otherwise */
    pthread_cond_t news;
    order *first, **last;
    bool quit;
    void (*on_news)(void *);
    void *on_news_user;

    worker_view view;
    fv_picture picture;
    fv_picture panels[WORKER_PANELS], board[WORKER_BOARD];
    float *gradient, *activation;
    int gradient_side;
    worker_point *curve;
    int curve_count, curve_room;
    float match[WORKER_MATCH * WORKER_MATCH];
    fv_queue *queue;
    fv_history *history;
    fv_session *session; /* read by worker_stop to cancel it */
    bool group_open;     /* the next item starts a new group of panels */
    long steps_taken;

    /* the thread's own */
    fv_options *options;
    fv_model *model;
    fv_critic *critic;
    fv_options *job; /* what is on the easel */
    unsigned item;   /* its place in the queue; 0: it is not from there */
    bool go;         /* the queue is being worked off */
    bool saved;      /* what is on the easel is in the gallery as it is */
    int pause_at;    /* a step to pause after; 0: none */
    double running_seconds, last_survival, survival_cost, last_activation, activation_cost;
    bool gradient_wanted;
    fv_kept *board_states[WORKER_BOARD];
    fv_options *board_options;
};

double seconds_now(void);
void news(worker *w);
/* Under no lock. Copies fv_error() into the view if `text` is NULL. */
void say(worker *w, const char *text);
/* Cuts at a whole character. */
void copy_text(char *out, size_t size, const char *text);

void obey(worker *w, const order *o);
void begin_next(worker *w);
void finish_picture(worker *w);
bool save_picture(worker *w);
void leave_easel(worker *w);
void publish_queue(worker *w); /* with the lock */
void publish_picture(worker *w, const fv_progress *p);
void publish_options(worker *w);
/* The board's picture as the one on the easel. True: no step is left. */
bool publish_seed(worker *w, int i);
void measure_survival(worker *w, bool now);
void measure_activation(worker *w, bool now);
void rank_channels(worker *w);
void fill_board(worker *w, const fv_options *o, int steps);
void continue_board(worker *w, int i);
void match_all(worker *w, const char *texts, const char *pictures);
void save_film(worker *w);
void save_scroll(worker *w);
void save_sheet(worker *w, const char *paths);
/* True: an order or the end is waiting. */
bool has_orders(worker *w);
bool take_step(worker *w, fv_progress *p);

#endif
