/* The window's state, shared by its pages. The window's thread only. */
#ifndef APP_APP_H
#define APP_APP_H

#include "app/window/display.h"
#include "app/window/ui.h"
#include "app/window/words.h"
#include "app/worker/worker.h"
#include "feavis/album.h"
#include "feavis/history.h"
#include "feavis/quiz.h"
#include "feavis/settings.h"

typedef enum app_page {
    PAGE_IMAGINE,
    PAGE_GALLERY,
    PAGE_SEEDS,
    PAGE_MATCH,
    PAGE_TWO,
    PAGE_QUIZ,
    PAGES
} app_page;
typedef enum app_pair { PAIR_TEXTS, PAIR_SEEDS, PAIR_MODELS } app_pair; /* what two differ in */
typedef enum app_map { MAP_GRADIENT, MAP_ACTIVATION } app_map;

enum {
    APP_NEURONS = 6,
    APP_TEXT = 1 << 16, /* bytes of a text of many lines; what does not fit is refused in words */
    APP_LINE = 8192,
    APP_PATH = 4096,
    APP_OWN = 256,
    APP_THUMBS = 160,
    APP_CURVE = 512,
    APP_UNDO = 32
};

typedef struct app_neuron {
    int number;
    float weight;
} app_neuron;

/* A picture of the gallery with its texture, loaded when it is first seen. */
typedef struct app_thumb {
    void *texture;
    char *path;
    bool failed; /* it cannot be read; the texture is of another */
    long used;   /* frame it was last seen in */
} app_thumb;

/* What one line of a preset sets for itself alone. */
typedef struct app_own {
    char *line;
    fv_list names, values; /* of options */
} app_own;

typedef struct app {
    SDL_Window *window;
    display *screen;
    worker *worker;
    worker_view view; /* as of this frame */
    fv_settings *settings;
    int lock_fd;          /* of the state folder; -1: none */
    bool forgets, beside; /* nothing is remembered; another window has the folder */
    bool told_unsaved;    /* that settings cannot be saved */
    char *state_note;     /* about that, for the person; NULL: nothing */
    fv_options *options;  /* what a new picture starts from */
    bool chinese, quit;
    app_page page;
    long frame;
    Uint32 notify_event;

    /* what is asked for */
    char text[APP_TEXT], avoid[APP_LINE];
    char term[APP_LINE], term_checked[APP_LINE]; /* on layers; what the worker was asked about */
    char at[APP_LINE];                           /* texts for places */
    int term_serial;                             /* of its answer to that */
    float text_weight, avoid_weight;
    app_neuron neurons[APP_NEURONS];
    int neuron_count;
    app_own own[APP_OWN]; /* of the lines in their order */
    int own_count;
    int asked_for; /* pictures, by the last that asked */
    uint64_t seed;
    char quality[32];     /* a preset's name; "" none of them */
    char preset[32];      /* the last of them, whatever was changed since; "" none yet */
    char generator[32];   /* chosen for it, a word of the option param; "" the preset's own */
    char start[APP_PATH]; /* a picture to start from, or "" */

    float guide_weights[FV_MAX_GUIDES];
    int guide_serial;               /* of the models that these are of */
    int decoder_serial;             /* of the decoder that the generator was chosen for */
    char dropped[3 * APP_PATH];     /* files of a model that were dropped together */
    char dropped_weights[APP_PATH]; /* the checkpoint among them */
    Uint64 dropped_at;              /* the last of them */

    /* the canvas */
    display_view look;
    app_map map;
    int shown_serial, shown_frame /* -1: the newest */, map_serial, start_serial;
    int shown_panel; /* of a poem, in place of the picture; -1: none */
    ui_rect timeline;
    void *branch_textures[FV_MAX_BRANCHES];
    unsigned branch_ids[FV_MAX_BRANCHES]; /* what these textures are of */
    int branch_steps[FV_MAX_BRANCHES];
    bool pinned;    /* `other` is A of A/B, not the start */
    fv_codes codes; /* that are shown over the picture */
    int codes_serial;
    int scrub;
    bool side_tab_measures, side_tab_neurons; /* narrow windows: what the one side shows */

    void *panel_textures[WORKER_PANELS], *board_textures[WORKER_BOARD];
    int panel_serials[WORKER_PANELS], board_serials[WORKER_BOARD];

    /* gallery */
    fv_saved *saved;
    int saved_count, saved_serial, chosen;
    char search[APP_LINE];
    int gallery_columns;
    bool follow_chosen, show_recipe;
    char *undo[APP_UNDO]; /* removed pictures, the last one last */
    int undo_count;
    app_thumb thumbs[APP_THUMBS];
    char neuron_search[APP_LINE]; /* a number or a text */
    bool layers_open;             /* the list of layers is shown */

    /* similarity */
    char match_texts[APP_TEXT], match_pictures[WORKER_MATCH * APP_PATH];
    worker_matched matched; /* what is shown */

    /* two pictures side by side */
    app_pair pair;
    char two_texts[2][APP_LINE];
    uint64_t two_seed;
    display_view two_look;
    int two_serials[2];
    bool two_shown; /* the display holds them */

    /* the quiz */
    fv_quiz *quiz;
    uint64_t quiz_seed;                               /* of its order; 0: to be drawn */
    int quiz_at, quiz_answer, quiz_right, quiz_asked; /* answer: -1 none yet */
    void *quiz_texture;
    Uint64 quiz_since;
    fv_tally *tallies; /* of this machine, as of the last answer */
    int tally_count;

    /* the words of the picture's text */
    int xray_word, xray_shown, xray_serial; /* under the mouse, -1 none; whose map is shown */
    bool xray_hovered;
    int xray_asked; /* the picture_serial that the worker was asked about */

    char toast[1024];
    double toast_until;
    bool toast_bad;
    int message_serial, toast_saved_serial;
} app;

static inline const char *tr(const app *a, word w)
{
    return say_word(w, a->chinese);
}

void app_toast(app *a, const char *text, bool bad);
/* fv_error() as a toast. */
void app_fail(app *a);

/* Copies text that fits, whole; says so and copies nothing if it does not. */
bool app_take(app *a, char *out, size_t size, const char *text);

/* --- what the window shows, as jobs (compose.c) --- */
/* Lines that the model has something to read of. Caller clears. */
fv_status app_lines(fv_list *out, const char *text);
/* The options of what is shown, one picture a line; without a line, what the channels want. At
 * most so many. Every line that can be asked for is; the first failure of others is the result. */
typedef void (*app_job_fn)(void *user, const fv_options *o);
fv_status app_jobs(const app *a, app_job_fn fn, void *user, int most);
/* The same of one line by itself. */
fv_status app_job(const app *a, const char *line, fv_options **out);
/* The text for one picture: the line, its weight, what to avoid. Caller frees. */
char *app_compose(const app *a, const char *line);
bool app_asks(const app *a); /* for a text, channels or a term */
/* What the term says, "" if it is blank. */
const char *app_term(const app *a);
/* What is said of places, "" if it is blank; whether that can be read. */
const char *app_at(const app *a);
bool app_at_good(const app *a);
void app_compose_neurons(const app *a, char *out, size_t size);
void app_take_neurons(app *a, const char *llp);
/* Whether the text has a weight beside those of channels: it says none itself. */
bool app_has_weight(const app *a);
/* A preset's settings become those of the next picture; its pictures become lines of the text. */
void app_use_preset(app *a, const char *name);
/* The same for a generator, "": its own. */
void app_use_preset_for(app *a, const char *name, const char *generator);
/* One of settings alone, from the defaults on, with the generator that was chosen. */
void app_use_quality(app *a, const char *name);
/* Another generator, with the settings that the preset has for it; what of steps, size and views
 * was set by hand stays. */
void app_choose_generator(app *a, const char *name);
/* Steps, views, size, rate and blur of the next picture, for scripts. Until the next call. */
const char *app_settings(const app *a);
/* What line n sets for itself; NULL: nothing, or it is another line by now. */
const app_own *app_own_of(const app *a, int n, const char *line);
void app_forget_own(app *a);

/* --- what can be done (app.c) --- */
void app_imagine(app *a);     /* one picture a line into the queue, and go */
void app_change_text(app *a); /* the first line for the picture that grows */
void app_set_neurons(app *a);
void app_set_term(app *a); /* for the picture that grows */
void app_branch(app *a);   /* from the frame that is shown, with text, seed and neurons */
void app_next_branch(app *a, int by);    /* to the next branch, or the one before */
void app_pick(app *a, float x, float y); /* channels there; the same place again: nowhere */
void app_space(app *a);                  /* pause or go on */
void app_escape(app *a);                 /* stop and keep */
void app_use_recipe(app *a, const char *path, bool again);
void app_dropped(app *a, const char *path);
/* A file of a model, if it is one (page_guides.c); and what was dropped together, as one. */
bool app_drop_model(app *a, const char *path);
void app_take_dropped(app *a);
void app_random_seed(app *a);
void app_check_term(app *a);              /* asks the worker about a term that is another by now */
const char *app_term_error(const app *a); /* one line, "" if it can be asked or is not known yet */
bool app_busy(const app *a);              /* a picture is growing or paused */

/* --- the pages --- */
void page_top(app *a, ui_rect r);
void page_text(app *a);     /* inside an area */
void page_measures(app *a); /* inside an area */
void page_neurons(app *a);  /* inside an area */
void page_guides(app *a);   /* inside an area */
void page_decoder(app *a);  /* inside an area */
void page_canvas(app *a, ui_rect r);
void page_controls(app *a, ui_rect r);
void page_gallery(app *a, ui_rect r);
void page_seeds(app *a, ui_rect r);
void page_match(app *a, ui_rect r);
ui_rect page_two(app *a, ui_rect r); /* where the pictures are drawn */
void app_show_two(app *a);           /* the display's pictures are those of the page */
void page_quiz(app *a, ui_rect r);
/* `text`, shorter by one character until it fits into so many pixels, with dots. Valid until the
 * next call. */
const char *app_fit(const char *text, float room);
/* The text over the picture: under the mouse as words with what they are worth. */
void page_words(app *a, const char *text, ui_rect r);
void app_show_words(app *a); /* where the word under the mouse pulls, as the display's map */
void page_controls_tree(app *a, ui_rect r);
float tree_height(const app *a); /* pixels; 0: there is one branch */
void app_refresh_gallery(app *a);
void gallery_move(app *a, int columns, int rows); /* the chosen one, among those shown */
void gallery_remove(app *a);
void gallery_restore(app *a);
/* The texture of a saved picture, or NULL; loads it if *loads allows, which it then lowers. */
void *app_thumbnail(app *a, const char *path, int *loads);
void app_more_frames(app *a); /* one more, soon */
/* Keys that no field wanted (keys.c). */
void app_key(app *a, const SDL_KeyboardEvent *e);
float app_guess_scale(SDL_Window *window);
/* The place of the picture, for display_draw. */
ui_rect canvas_of(const app *a, ui_rect r);
/* page_codes.c: the newest codes for the display, and their numbers where there is room. */
void app_take_codes(app *a);
void app_draw_codes(const app *a, ui_rect place);

/* --- what is remembered (state.c) --- */
/* Opens settings and worker in $FEAVIS_STATE, or $XDG_STATE_HOME/feavis, or
 * ~/.local/state/feavis, which is made if need be. If another window is open there, in a folder
 * beside its own; where nothing can be written, in memory. */
fv_status state_open(app *a);
void state_close(app *a);
void state_load(app *a, bool asked); /* asked: settings were given on the command line */
void state_save(app *a);

#endif
