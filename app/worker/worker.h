/* The worker: one thread that owns the model, the session, the queue and what grows out of them.
 *
 * The window posts commands and asks for copies; it never waits for a step. Commands are looked
 * at between two steps, so everything is answered within one step. All functions may be called
 * from any thread but the worker's own, several at once; worker_stop last, from one. */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include "feavis/codes.h"
#include "feavis/critic.h"
#include "feavis/feavis.h"
#include "feavis/history.h"
#include "feavis/loss.h"
#include "feavis/two.h"
#include "feavis/xray.h"

typedef enum worker_phase {
    WORKER_LOADING, /* the model is being opened */
    WORKER_IDLE,    /* no current job */
    WORKER_RUNNING,
    WORKER_PAUSED,
    WORKER_DONE,  /* the picture is finished and saved */
    WORKER_SEEDS, /* the seed board is being filled */
    WORKER_TWO,   /* two pictures grow side by side */
    WORKER_FAILED /* there is no model; see message */
} worker_phase;

typedef enum worker_order {
    ORDER_ADD,        /* options: one more for the queue */
    ORDER_RUN,        /* goes on: the picture if it is paused, else the queue */
    ORDER_PAUSE,      /* after this step */
    ORDER_STEP,       /* one step, then pause */
    ORDER_MORE,       /* number: so many steps more than the schedule had */
    ORDER_KEEP,       /* stops and saves */
    ORDER_DISCARD,    /* stops and forgets */
    ORDER_SAVE,       /* saves what there is and goes on */
    ORDER_SET,        /* name, text: a live option */
    ORDER_BRANCH,     /* number: back to about that step; with the text, seed and channels of the
                         options if any, or name, text: one option */
    ORDER_SWITCH,     /* number: id of a branch to go on with */
    ORDER_FORGET,     /* number: id of a branch that nothing grows from */
    ORDER_GRADIENT,   /* number: 0 or 1, whether steps copy the gradient of the picture */
    ORDER_CHANNEL,    /* number: whose activation to follow; -1 none */
    ORDER_CHANNELS,   /* ranks the channels of the picture */
    ORDER_LAYER,      /* number: a guide, from 0; text: whose channels these are; "": the last
                         before pooling */
    ORDER_PICK,       /* text: "x y", those at that place of it, in shares; "": nowhere */
    ORDER_SEARCH,     /* text: those that it asks for */
    ORDER_TERM,       /* text: whether the model can be asked that term; see term_error */
    ORDER_SEEDS,      /* options: nine seeds from theirs on; number: steps each */
    ORDER_CONTINUE,   /* number: which of the nine grows on */
    ORDER_DROP,       /* number: id of a queue item */
    ORDER_RAISE,      /* number: id; one place up */
    ORDER_EDIT,       /* number: id; name, text: one of its options */
    ORDER_FILM,       /* number: an fv_film_kind; saves how the picture grew */
    ORDER_POEM,       /* saves how its panels grew, with their lines, as GIF */
    ORDER_SCROLL,     /* saves the panels as one scroll */
    ORDER_SHEET,      /* text: paths, one a line; saves a contact sheet */
    ORDER_MATCH,      /* name: one a line; text: pictures; similarity */
    ORDER_MATRIX,     /* saves the similarity as a heat map and as a table */
    ORDER_ADD_GUIDE,  /* text: the files of one more model, as the option guide has them; name: its
                         checkpoint, which may turn out to be a decoder */
    ORDER_DROP_GUIDE, /* number: which of the models leaves */
    ORDER_DROP_DECODER, /* what makes pictures of a latent leaves */
    ORDER_CODES,        /* number: 0 or 1, whether the codes of the picture are followed */
    ORDER_TWO,       /* options: of one of two pictures; number: 0 the first, 1 the second, and both
                        grow; plus 2 * (i + 1): by model i alone */
    ORDER_TWO_STOP,  /* stops and keeps both */
    ORDER_TWO_SHEET, /* saves both, their difference and figures as one picture */
    ORDER_XRAY       /* what each word of the picture's first text is worth */
} worker_order;

typedef struct worker_item {
    unsigned id;
    char text[192]; /* cut at a character */
    char seed[24];
    bool running;
} worker_item;

enum { WORKER_LABEL = 96 };
enum { WORKER_ITEMS = 64, WORKER_BEST = 12, WORKER_BOARD = 9, WORKER_MATCH = 64 };

typedef enum worker_ranking { RANKED_PICTURE, RANKED_PLACE, RANKED_TEXT } worker_ranking;

typedef struct worker_seed {
    uint64_t seed;
    int step;
    float cosine;
    int serial; /* changes with the picture; 0: none yet */
} worker_seed;

/* One line of a poem, or the one text: what was asked for together is shown together. */
typedef struct worker_panel {
    unsigned id; /* of the queue */
    char text[192];
    int serial; /* changes with the picture; 0: none yet */
    bool done;
} worker_panel;
enum { WORKER_PANELS = 24 };

/* A branch of the tree that going back makes. */
typedef struct worker_branch {
    unsigned id;
    int parent; /* place of the branch it left, -1: none */
    int fork, step;
    bool current, leaf;
    char text[96], seed[24]; /* where it was left; of the current one: now */
} worker_branch;

/* Two pictures side by side. */
typedef struct worker_two {
    char titles[2][192], texts[2][160], seeds[2][24];
    int serials[2]; /* change with the pictures; 0: none yet */
    fv_progress progress[2];
    bool measured;
    int models; /* that look: 1 or 2 */
    fv_two seen[2];
    double pixels;
} worker_two;

/* As fv_map of critic.h. */
typedef struct worker_layer {
    char name[64];
    int rows, columns, channels;
} worker_layer;
enum { WORKER_LAYERS = 96 };

typedef struct worker_view {
    worker_phase phase;
    char model[128], backend[64];
    int channels, text_length;
    int guide_count, guide_serial; /* models that look together; changes with them */
    char guides[FV_MAX_GUIDES][WORKER_LABEL];
    float guide_weights[FV_MAX_GUIDES];  /* as they were opened */
    fv_decoder_info decoder;             /* title "": there is none */
    int decoder_serial;                  /* changes with it */
    fv_progress progress;                /* rate and seconds without pauses */
    double step_seconds;                 /* smoothed */
    double stepping, handing;            /* seconds in steps of this picture, and in copies of it */
    int order_lag;                       /* most steps that ended between an order and its answer */
    char text[512], llp[256], term[512]; /* of the current job, with its changes */
    char seed[24];
    char steps[16], param[16];
    int picture_serial, side; /* the newest picture; 0: none. Its width */
    fv_part parts[FV_MAX_PARTS];
    int part_count;
    bool measured; /* robustness holds numbers of this picture */
    fv_robustness robustness;
    int robustness_step;
    worker_ranking ranking; /* what `best` is of */
    fv_channel best[WORKER_BEST];
    int best_count, best_serial;
    float place_x, place_y; /* that was picked, shares of the picture; < 0: none */
    char searched[96];
    char term_error[512]; /* of the last term that was checked; "": it can be asked */
    int term_serial;
    worker_layer layers[WORKER_LAYERS]; /* to choose from, the last before pooling behind all */
    int layer_count;
    char layer[128]; /* that the channels are of; "": the last before pooling */
    int layer_guide; /* whose layers these are, from 0 */
    int map_rows, map_columns, map_channels; /* of it */
    int channel;                             /* followed, -1: none */
    int activation_serial, activation_width, activation_height, gradient_serial;
    int codes_serial; /* 0: not followed, or there are none */
    int frame_count, frame_steps[97];
    bool frame_states[97];
    worker_branch branches[FV_MAX_BRANCHES];
    int branch_count;
    worker_item items[WORKER_ITEMS];
    int item_count; /* may be more than WORKER_ITEMS */
    worker_panel panels[WORKER_PANELS];
    int panel_count;
    worker_seed board[WORKER_BOARD];
    worker_two two;
    int xray_serial, xray_of, xray_count; /* 0: none; the picture_serial that it is of */
    fv_xray_word words[FV_XRAY_WORDS];
    int match_serial;
    char saved[1024]; /* the path of the newest saved picture */
    int saved_serial;
    char message[512]; /* what went wrong, or what a text lost on its way to tokens */
    int message_serial;
    int dropped, unknown; /* tokens of the first text */
} worker_view;

typedef struct worker worker;

/* Opens the model in the background. Options are copied; queue: a folder, or NULL: what is asked
 * for is kept in memory only. */
fv_status worker_start(worker **out, const fv_options *o, const char *queue);
/* Ends the step within one op; what was running stays in the queue. */
void worker_stop(worker *w);

void worker_post(worker *w, worker_order order, long number, const char *name, const char *text);
void worker_post_options(worker *w, worker_order order, long number, const fv_options *o);
/* Starts a new group of panels with the items that are added next. */
void worker_new_group(worker *w);

void worker_look(worker *w, worker_view *out);
/* Copies; the caller frees. False: there is none. */
bool worker_picture(worker *w, fv_picture *out);
bool worker_frame(worker *w, int i, fv_picture *out);
bool worker_panel_picture(worker *w, int i, fv_picture *out);
bool worker_board_picture(worker *w, int i, fv_picture *out);
bool worker_branch_picture(worker *w, unsigned id, fv_picture *out); /* where it was left */
bool worker_start_picture(worker *w, fv_picture *out);               /* the first of the history */
bool worker_two_picture(worker *w, int i, fv_picture *out);
/* [height * width] in [0, 1], over all of the picture. Of a word's pull, what is above its mean. */
bool worker_pull(worker *w, int word, float **out, int *width, int *height);
bool worker_gradient(worker *w, float **out, int *width, int *height);
bool worker_activation(worker *w, float **out, int *width, int *height);
/* The codes of the picture, and which of them [height * width] the newest step has changed. */
bool worker_codes(worker *w, fv_codes *out, bool **moved);
/* In the eyes of one model. */
typedef struct worker_matrix {
    char model[WORKER_LABEL];
    float values[WORKER_MATCH * WORKER_MATCH]; /* [pictures][texts] cosines; NAN: not read */
    int best[WORKER_MATCH];                    /* [pictures]: the text that fits best, or -1 */
} worker_matrix;
/* A similarity with what it is of. */
typedef struct worker_matched {
    int serial;              /* the view's match_serial; 0: none */
    fv_list pictures, texts; /* of rows and columns */
    int guides;
    worker_matrix of[FV_MAX_GUIDES]; /* [guides] */
} worker_matched;
/* Makes *m, zeroed or of an earlier call, the newest one. False: there is none. */
bool worker_match(worker *w, worker_matched *m);
void worker_matched_clear(worker_matched *m);

/* Points of the curves, newest last; at most `room` are copied, evenly thinned. */
typedef struct worker_point {
    int step;
    float cosine, robustness /* NAN: not measured here */, gradient, rate;
} worker_point;
int worker_curve(worker *w, worker_point *out, int room);

/* Called from the worker's thread whenever there is something new to look at. */
void worker_on_notify(worker *w, void (*fn)(void *), void *user);

#endif
