/* What the files of the worker share. worker.c is the thread, and calls worker_orders.c with each
 * order. */
#ifndef APP_WORKER_INSIDE_H
#define APP_WORKER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "app/worker/worker.h"
#include "feavis/queue.h"

typedef struct order {
    worker_order kind;
    long number;
    char *name, *text;
    fv_options *options;
    long posted; /* steps taken by then */
    struct order *next;
} order;

/* What belongs to a branch of the history that does not grow now. */
typedef struct branch_state {
    unsigned id; /* 0: free */
    char text[96], seed[24];
    worker_point *curve;
    int curve_count, curve_capacity;
    bool saved;
    fv_progress progress;
} branch_state;

/* Embeddings that need not be made again. */
typedef struct remembered_rows {
    fv_list names; /* texts, or paths with the file's time and size */
    float *rows;   /* [names.count][dim] */
} remembered_rows;

enum { REEL = 16, REEL_SIDE = 256 };

struct worker {
    pthread_t thread;
    pthread_mutex_t mutex; /* over everything below unless it says otherwise */
    pthread_cond_t posted;
    order *first, **last;
    bool quit;
    void (*on_notify)(void *);
    void *on_notify_user;

    worker_view view;
    fv_picture picture;
    fv_picture panels[WORKER_PANELS], board[WORKER_BOARD];
    float *gradient, *activation;
    int gradient_width, gradient_height;
    fv_codes codes;    /* at NULL: none */
    bool *codes_moved; /* [codes.height * codes.width] */
    fv_picture two_pictures[2];
    fv_session *two_sessions[2]; /* read by worker_stop to cancel them */
    fv_xray xray;                /* pulls NULL: none */
    worker_point *curve;
    int curve_count, curve_capacity;
    worker_matrix match[FV_MAX_GUIDES]; /* [match_guides] */
    int match_guides;
    fv_queue *queue;
    fv_history *history;
    branch_state states[FV_MAX_BRANCHES];
    fv_session *session; /* read by worker_stop to cancel it */
    bool group_open;     /* the next item starts a new group of panels */
    long steps_taken;

    /* the thread's own */
    fv_options *options;
    fv_model *model;
    fv_critic *critic; /* of the first model */
    fv_critic *other;  /* of the one whose layers are looked at; NULL: it is the first */
    fv_options *job;   /* the current job's options */
    unsigned item;     /* its place in the queue; 0: it is not from there */
    bool go;           /* the queue is being worked off */
    bool saved;        /* the current picture is in the gallery as it is */
    int dropped;       /* changes of this session that could not be made, all said */
    bool told_history; /* that a frame of this picture could not be kept */
    int pause_at;      /* a step to pause after; 0: none */
    double running_seconds, last_robustness, robustness_cost, last_activation, activation_cost;
    bool gradient_wanted, codes_wanted;
    fv_picture reels[WORKER_PANELS][REEL]; /* how each panel grew, thinned */
    int reel_counts[WORKER_PANELS];
    remembered_rows pictures_seen, texts_seen;
    fv_list matched_pictures, matched_texts;
    fv_snapshot *board_states[WORKER_BOARD];
    fv_options *board_options;
    fv_options *two_options[2];
    fv_model *two_models[2];   /* NULL: the worker's own */
    fv_critic *two_critics[2]; /* of those */
    double last_two, two_cost;
};

/* In the order of the call graph: a file calls only what is declared above it. */

/* --- worker_tell.c --- */

double seconds_now(void);
/* Cuts at a whole character. */
void copy_text(char *out, size_t size, const char *text);
/* What is asked for, in one word: the text, the channels or the term. */
const char *asked_of(const fv_options *o);
/* All under no lock. */
void notify(worker *w);
/* Copies fv_error() into the view if `text` is NULL. */
void say(worker *w, const char *text);
void notify_saved(worker *w, char *path); /* frees it */
void set_phase(worker *w, worker_phase phase);
worker_phase phase_of(worker *w);
/* True: an order or the end is waiting. */
bool has_orders(worker *w);

/* --- worker_look.c: besides it, what the window calls --- */

fv_picture copy_picture(const fv_picture *p);

/* --- worker_branches.c --- */

int place_of(worker *w, unsigned id); /* in the history; -1: it is gone */
unsigned current_id(worker *w);
branch_state *state_of(worker *w, unsigned id);
void clear_state(branch_state *a);
bool copy_state(worker *w, branch_state *out);
/* All with the lock. */
void keep_state(worker *w, branch_state *a);
void take_state(worker *w, branch_state *a);
void forget_states(worker *w); /* of branches that are gone */
void publish_branches(worker *w);

/* --- worker_publish.c --- */

void publish_queue(worker *w); /* with the lock */
void publish_codes(worker *w); /* if they are followed */
void forget_codes(worker *w);
void publish_picture(worker *w, const fv_progress *p);
void publish_options(worker *w);
/* The board's picture becomes the current one. True: no step is left. */
bool publish_seed(worker *w, int i);

/* --- worker_measure.c --- */

void measure_robustness(worker *w, bool now);
void measure_activation(worker *w, bool now);
void rank_channels(worker *w);
void rank_again(worker *w);
void pick_place(worker *w, const char *place);
/* As fv_critic_layers has them, without those whose names are too long. With the lock. */
void publish_layers(worker_view *v, const fv_map *layers, int count);
void choose_layer(worker *w, int guide, const char *name);
void search_channels(worker *w, const char *text);
void check_term(worker *w, const char *term);

/* --- worker_xray.c --- */

void look_at_words(worker *w);
void forget_words(worker *w);

/* --- worker_exports.c, worker_match.c --- */

void save_film(worker *w, fv_film_kind kind);
void keep_reel(worker *w);
void forget_reels(worker *w);
void save_poem(worker *w);
void save_scroll(worker *w);
void save_sheet(worker *w, const char *paths);
void match_all(worker *w, const char *texts, const char *pictures);
void save_matrix(worker *w);
void clear_match(worker *w);

/* --- worker_job.c --- */

bool begin_job(worker *w, const fv_options *options); /* false: it was said why */
void begin_next(worker *w);
bool take_step(worker *w, fv_progress *p);
void change(worker *w, const char *name, const char *value);
/* What the session does is what the job says, changes that were not made too. */
void follow_session(worker *w);
bool save_picture(worker *w);
void release_item(worker *w);
void finish_picture(worker *w);
void leave_job(worker *w);

/* --- worker_guides.c --- */

bool open_models(worker *w); /* at the start; false: it was said why */
void change_guides(worker *w, const order *o);

/* --- worker_tree.c --- */

void branch(worker *w, const order *o);
void switch_branch(worker *w, unsigned id);
void forget_branch(worker *w, unsigned id);

/* --- worker_board.c --- */

void fill_board(worker *w, const fv_options *o, int steps);
void continue_board(worker *w, int i);

/* --- worker_two.c --- */

void begin_two(worker *w, const fv_options *o, long number);
void step_two(worker *w); /* of the one that is behind */
void stop_two(worker *w);
void close_two(worker *w); /* sessions and models; the pictures stay */
void save_two_sheet(worker *w);

/* --- worker_orders.c --- */

void dispatch(worker *w, const order *o);

#endif
