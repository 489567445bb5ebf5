/* feavis: what an image-text model imagines. The only header an application includes.
 *
 *   options   settings by name: one table drives flags, presets, controls and recipes
 *   model     a BriVL on a backend, shared by sessions one after the other
 *   session   one picture that grows: parameters -> views -> image tower -> objectives, and back
 *   picture   8-bit RGB, PNG files that carry their recipe
 *   gallery   a folder of such PNG files; nothing in it is ever overwritten
 *   lists, embed, match, classify, index, plot: many pictures and texts at once, in headers of
 *             their own
 *
 * Whoever called _open or _new calls _close or _free; every other pointer is borrowed and lives
 * as long as its owner. Out-parameters are written only on success. Strings are UTF-8. Failures
 * return a negative fv_status and leave one line in fv_error().
 *
 * Threads. Two threads may use two objects at once, but one model at a time is used by one of them:
 * its sessions, critics and embedders take turns with it.
 *
 *   object                     from any thread, at any time       one thread at a time
 *   fv_error                   each thread has its own            -
 *   option table, fv_home      all                                -
 *   options, presets, recipes  -                                  all; reading may be shared
 *   pictures, lists            -                                  all; reading may be shared
 *   gallery (functions)        all                                -
 *   queue, settings            -                                  all
 *   model                      -                                  all, with all that uses it
 *   session                    set, snapshot, parts, gradient,    all else; _option, _text,
 * _picture, cancel (from a signal handler      _save, _keep, _return and the like too) not while a
 * run or step goes on kept state                 -                                  all; reading
 * may be shared history                    -                                  all, on the session's
 * thread critic, embedder           -                                  all, with their model judge
 * -                                  all; its backend is its own index                      - all
 *
 * _open, _new, _close and _free are never called while another thread uses the object. */
#ifndef FEAVIS_H
#define FEAVIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "feavis/classify.h"
#include "feavis/embed.h"
#include "feavis/gif.h"
#include "feavis/index.h"
#include "feavis/lists.h"
#include "feavis/match.h"
#include "feavis/plot.h"
#include "feavis/search/names.h"
#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

const char *fv_version(void);

/* --- options --- */

typedef enum fv_option_kind {
    FV_OPTION_INT,
    FV_OPTION_FLOAT,
    FV_OPTION_BOOL,
    FV_OPTION_CHOICE,
    FV_OPTION_TEXT,
    FV_OPTION_SEED, /* a whole number of 64 bits; set to "random" it is a number drawn now */
    FV_OPTION_SIZE  /* "256", or "320x224": width and height, pixels */
} fv_option_kind;

/* Files (recipes, saved states, presets, a queue) may set what has FV_OPTION_RECIPE and nothing
 * else: where to write and where to compute is said on the command line or in the window. Of what
 * they may set, `backend` is a name out of a fixed list, and files are only ever read. */
enum {
    FV_OPTION_LIVE = 1,   /* may be changed while the picture grows */
    FV_OPTION_RECIPE = 2, /* part of what decides the picture's bytes */
    FV_OPTION_FILE = 4,   /* names a file or folder */
    FV_OPTION_LATER = 8,  /* recipes leave it out at its default: older ones stay as they are */
    FV_OPTION_MODEL = 16, /* decides which model is opened, and on what it runs */
    FV_OPTION_ONE = 32,   /* belongs to one picture, not to the settings for more of them */
    FV_OPTION_PLACE = 64  /* a place to write to */
};

/* One row of THE option table. */
typedef struct fv_option {
    const char *name;    /* "rate"; the flag is --rate, the key in YAML is rate */
    const char *group;   /* heading in --help and in a window */
    const char *value;   /* default, as text */
    const char *help;    /* one line, with the unit */
    const char *choices; /* of a choice: "fourier multires pixel maco" */
    double low, high;    /* of numbers, both allowed */
    fv_option_kind kind;
    unsigned flags;
    size_t offset; /* private */
} fv_option;

const fv_option *fv_option_table(int *count);
const fv_option *fv_option_find(const char *name); /* NULL if there is none */

typedef struct fv_options fv_options;
typedef struct fv_model fv_model; /* see below */

fv_status fv_options_new(fv_options **out); /* all defaults */
fv_status fv_options_copy(fv_options **out, const fv_options *from);
void fv_options_free(fv_options *o);
/* With channels and no text, a start from stronger noise, unless start-noise was set already: on a
 * grey start some channels are cut off by their activation, and give no gradient to climb. */
fv_status fv_options_wake_channels(fv_options *o);
/* Fails on an unknown name (and suggests the nearest) and on a value out of range. In text and llp
 * full-width syntax ("山：1 ｜ 雪：0.5") becomes its ASCII twin; recipes have that. */
fv_status fv_options_set(fv_options *o, const char *name, const char *value);
/* What a person asks for, before any work: fails where text or llp has an empty part or a weight
 * past 10. *reading: how text was read, one line without an end, if a weight is written in it;
 * NULL otherwise. Caller frees. */
fv_status fv_options_asked(const fv_options *o, char **reading);
/* The first of the texts, without its weight and without escapes; "" if there is none. Caller
 * frees. */
fv_status fv_options_first_text(const fv_options *o, char **out);
/* The value as text that fv_options_set takes; "" for an unknown name. Valid until the option
 * is set again or this has been called 8 more times. */
const char *fv_options_get(const fv_options *o, const char *name);
bool fv_options_is_default(const fv_options *o, const char *name);
/* Sets in `to`, as they are in `from`, all options that have one of these flags. */
fv_status fv_options_take(fv_options *to, const fv_options *from, unsigned flags);
/* Whether fv_model_open gives the same model for both. */
bool fv_options_same_model(const fv_options *a, const fv_options *b);
/* What files wanted to set and may not: one line for a person, "" if nothing was left. Copies of
 * the options begin without. */
const char *fv_options_notice(const fv_options *o);

/* --- presets: YAML files with options, and perhaps a list of pictures --- */

typedef struct fv_preset fv_preset;
/* name: "draft", found in the presets folder, or the path of a .yml file. */
fv_status fv_preset_open(fv_preset **out, const char *name);
void fv_preset_close(fv_preset *p);
const char *fv_preset_title(const fv_preset *p);
/* Sets the options of the preset (those of the presets it uses first). */
fv_status fv_preset_apply(const fv_preset *p, fv_options *o);
int fv_preset_picture_count(const fv_preset *p); /* 0: settings only */
fv_status fv_preset_picture(const fv_preset *p, int i, fv_options *o);
/* Names of the presets in the presets folder, sorted; caller frees with fv_names_free. */
fv_status fv_preset_names(char ***out, int *count);
void fv_names_free(char **names, int count);

/* The folder with presets/ and model/mini/: $FEAVIS_HOME, or the nearest folder above the
 * program that has them, or share/feavis beside its bin. NULL if not found. */
const char *fv_home(void);

/* --- pictures --- */

typedef struct fv_picture {
    int width, height;
    uint8_t *rgb; /* [height * width * 3], rows from the top */
} fv_picture;

void fv_picture_free(fv_picture *p);
/* JPEG, PNG, WebP, BMP, GIF, TGA, PSD or PNM as upright 8-bit RGB (transparent pixels over white;
 * of an animation the first frame). */
fv_status fv_picture_read(fv_picture *out, const char *path);
/* PNG with the recipe in an iTXt chunk "feavis"; recipe NULL: none. Written whole or not. */
fv_status fv_picture_write(const fv_picture *p, const char *path, const char *recipe);
/* The recipe in a PNG; caller frees. FV_ERR_FORMAT if the file has none. */
fv_status fv_recipe_read(char **out, const char *path);
/* Options (and live changes) from recipe text. what: the picture or state it is from. An option
 * that is not the recipe's to choose stays as it is in `o`, see fv_options_notice. Files (start
 * picture, model) are named without their folders; they are looked for in the folder of `what`,
 * then in the current one, and a start picture has to have the hash that the recipe says. A path in
 * an older recipe is tried first. Only regular files are taken. One that is not found leaves what
 * `o` names already; where that is nothing, opening the model or the session says so. */
fv_status fv_recipe_apply(fv_options *o, const char *recipe, const char *what);
/* Whether a recipe is of this model, its cfg and its vocabulary: FV_ERR_ARGUMENT says it is not. */
fv_status fv_recipe_check_model(const char *recipe, const fv_model *m);

/* What a recipe says, for a person: [count] names and values in their order, quotes and escapes
 * resolved; a change of the text at step 40 is "text @40". Caller clears both. */
fv_status fv_recipe_list(fv_list *names, fv_list *values, const char *recipe, const char *what);
/* Of these lists; "" if it is not there. */
const char *fv_recipe_value(const fv_list *names, const fv_list *values, const char *name);

/* Bilinear resize without antialias, as the official preprocessing: rgb -> [3] floats in [0,1],
 * out holds side * side * 3. */
void fv_picture_to_tensor(const fv_picture *p, int side, float *out);
/* The same to width x height: out holds width * height * 3. */
void fv_picture_resize(const fv_picture *p, int width, int height, float *out);

/* --- plain files, written whole or not at all --- */

fv_status fv_text_save(const char *path, const char *text, size_t size);
/* .npy of '<f4', C order. */
fv_status fv_array_save(const char *path, const float *values, int ndim, const int64_t *dims);

/* --- gallery --- */

/* Makes the folder if need be and checks that it can be written to. */
fv_status fv_gallery_prepare(const char *folder);
/* Saves under a name made of `title` and `seed` that does not exist yet: 梦-7.png, 梦-7-2.png.
 * The path goes to *path, which the caller frees. */
fv_status fv_gallery_add(const char *folder, const char *title, uint64_t seed,
                         const fv_picture *picture, const char *recipe, char **path);

/* As that, a text; ending: ".csv". */
fv_status fv_gallery_add_text(const char *folder, const char *title, uint64_t seed,
                              const char *ending, const char *text, size_t size, char **path);

/* Animated PNG: the last frame for two seconds, then all of them, for ever. All of one size. */
fv_status fv_film_write(const fv_picture *frames, int count, int milliseconds, const char *recipe,
                        const char *path);
/* As that, or as GIF (gif.h), with the recipe as its comment. */
typedef enum fv_film_kind { FV_FILM_PNG, FV_FILM_GIF } fv_film_kind;
fv_status fv_gallery_add_film(const char *folder, const char *title, uint64_t seed,
                              fv_film_kind kind, const fv_picture *frames, int count,
                              int milliseconds, const char *recipe, char **path);

/* A poem as one hand scroll, read from the right: panels with their lines, Chinese ones from top
 * to bottom beside them, others below. The first panel's size is that of all. */
fv_status fv_scroll_make(fv_picture *out, const fv_picture *panels, const char *const *lines,
                         int count);
/* Pictures in rows, each in a square of `cell` pixels over its caption. */
fv_status fv_sheet_make(fv_picture *out, const fv_picture *pictures, const char *const *captions,
                        int count, int columns, int cell);

typedef struct fv_saved {
    char *path;
    const char *name; /* within path */
    char *recipe;
    char *text;          /* in the recipe, as it was asked for; "" without */
    int64_t nanoseconds; /* of the file, since 1970 */
} fv_saved;
/* The pictures of a folder that hold a recipe, newest first. A folder that is not there: none. */
fv_status fv_gallery_list(fv_saved **out, int *count, const char *folder);
void fv_gallery_list_free(fv_saved *list, int count);
/* Moves a picture aside, into .removed in its folder; *undo, which the caller frees, takes it
 * back: fv_gallery_restore gives the path it has then. */
fv_status fv_gallery_remove(const char *path, char **undo);
fv_status fv_gallery_restore(const char *undo, char **path);

/* --- queue: pictures to make, on disk, one file each --- */

typedef struct fv_queue fv_queue;
/* Makes the folder if need be. folder NULL: in memory only. One thread at a time; what several
 * queues, of any process, add to one folder gets a file each. */
fv_status fv_queue_open(fv_queue **out, const char *folder);
void fv_queue_close(fv_queue *q);
int fv_queue_count(const fv_queue *q);
const fv_options *fv_queue_at(const fv_queue *q, int i);
unsigned fv_queue_id(const fv_queue *q, int i);    /* stays the same while i changes */
int fv_queue_find(const fv_queue *q, unsigned id); /* -1: it is gone */
fv_status fv_queue_add(fv_queue *q, const fv_options *o);
/* As that, without a file: for where none can be written. */
fv_status fv_queue_hold(fv_queue *q, const fv_options *o);
/* The item leaves the queue in any case. FV_ERR_IO: its file is still there. */
fv_status fv_queue_remove(fv_queue *q, int i);
fv_status fv_queue_set(fv_queue *q, int i, const char *name, const char *value);
fv_status fv_queue_swap(fv_queue *q, int i, int j);

/* --- settings: what a program remembers --- */

typedef struct fv_settings fv_settings;
/* A file that is not there yet: empty. path NULL: in memory only. */
fv_status fv_settings_open(fv_settings **out, const char *path);
void fv_settings_close(fv_settings *s);
const char *fv_settings_get(const fv_settings *s, const char *name, const char *otherwise);
fv_status fv_settings_set(fv_settings *s, const char *name, const char *value);
/* If anything has changed since the last time. */
fv_status fv_settings_save(fv_settings *s);

/* --- model --- */

/* The backend that the options device and backend mean together, e.g. "cuda:1:tf32". */
enum { FV_BACKEND_SPEC = 64 };
fv_status fv_options_backend(const fv_options *o, char *out, size_t size);

/* Opens config, checkpoint, vocab and backend as the options say. */
fv_status fv_model_open(fv_model **out, const fv_options *o);
void fv_model_close(fv_model *m);
const char *fv_model_title(const fv_model *m);
const char *fv_model_backend(const fv_model *m); /* "cpu", "cuda:0:fp16" */
/* Why "auto" has become the CPU, in a build that could use a GPU; else "". */
const char *fv_model_without_gpu(const fv_model *m);
int fv_model_image_size(const fv_model *m);  /* pixels a side of what the model sees */
int fv_model_channels(const fv_model *m);    /* LLP channels: 0 .. n-1 */
int fv_model_dim(const fv_model *m);         /* of the joint space */
int fv_model_text_length(const fv_model *m); /* tokens, with [CLS] and [SEP] */
/* Stands for the weights in recipes: a hash over names, shapes and samples of the tensors. */
const char *fv_model_fingerprint(const fv_model *m);

/* What the model is, and what a picture with these options needs; `plan`: every op as well. */
fv_status fv_model_print(fv_model *m, const fv_options *o, bool plan, FILE *to);
/* The layers that the option term can ask, a line each: rows x columns, channels, name. */
fv_status fv_model_print_layers(fv_model *m, FILE *to);

/* --- checkpoints, without opening a model --- */

/* Format, size, towers and what else is in the file; with a cfg (NULL: without) the tensors that
 * are missing, of the wrong shape or unexpected. *fits: there are none of those. */
fv_status fv_checkpoint_print(const char *checkpoint, const char *config, FILE *to, bool *fits);
/* Every tensor on a line: "name DTYPE [dims]"; then what was passed over. Any checkpoint. */
fv_status fv_checkpoint_list(const char *checkpoint, FILE *to);
/* Writes the towers in use (the online ones, or the momentum towers under their names) to a
 * safetensors file, as F32 or F16, reads it again and compares. *worst: the largest relative
 * difference, 0 for F32. */
fv_status fv_checkpoint_convert(const char *checkpoint, const char *config, const char *path,
                                bool momentum, bool half, int *tensors, double *worst);

/* What became of a text on its way to tokens. */
typedef struct fv_text_report {
    int used, dropped, unknown; /* tokens; dropped > 0: the text is longer than the model reads */
    char little[160]; /* "a, b": words that the model knows little about; "" if it cannot tell */
} fv_text_report;
/* Unit embedding, fv_model_dim floats. */
fv_status fv_model_embed_text(fv_model *m, const char *text, float *embedding,
                              fv_text_report *report);
/* Fails where the model has no such channels (llp), or neither text nor channel is asked for: what
 * a session of these options would say when it is opened, without its work. */
fv_status fv_options_check_channels(const fv_options *o, const fv_model *m);

/* --- session --- */

typedef struct fv_session fv_session;

typedef struct fv_progress {
    int step, steps; /* finished steps, and how many there will be */
    float loss;      /* what descends */
    float cosine;    /* of the first text, mean over this step's views; NAN without text */
    float neuron;    /* mean of the LLP channels; NAN without */
    float gradient;  /* norm of d loss / d parameters */
    double seconds;  /* since this run began */
    double rate;     /* steps a second, over the last few */
    int restored;    /* how often the NaN guard went back to a good state */
    int dropped;     /* how many live changes could not be made; see fv_session_dropped */
} fv_progress;

/* Called after each step, on the thread of fv_session_run; false stops the run. */
typedef bool (*fv_progress_fn)(void *user, const fv_progress *p);

/* The model must outlive the session. Options are copied. */
fv_status fv_session_open(fv_session **out, fv_model *m, const fv_options *o);
void fv_session_close(fv_session *s);

/* Steps until all are done. FV_CANCELLED: stopped by cancel or by fn; the picture is whole, and
 * another run goes on from there. */
fv_status fv_session_run(fv_session *s, fv_progress_fn fn, void *user);
fv_status fv_session_step(fv_session *s, fv_progress *out);
/* From any thread, also from a signal handler; takes effect within one op of the network. */
void fv_session_cancel(fv_session *s);

/* From any thread: changes a live option before the next step; it enters the recipe with its
 * step, so that the picture stays reproducible. */
fv_status fv_session_set(fv_session *s, const char *name, const char *value);
/* Why the last change that could not be made was dropped: one line, "" if all were made. The
 * session, its picture and its recipe are as if it had not been asked for. */
const char *fv_session_dropped(const fv_session *s);
/* From any thread: a copy of the newest picture; caller frees. */
fv_status fv_session_snapshot(fv_session *s, fv_picture *out);
/* Not while a run is in progress: the finished picture, and scores over the whole of it. */
fv_status fv_session_picture(fv_session *s, fv_picture *out, fv_progress *scores);
/* YAML that reproduces the picture as it stands now; caller frees. */
fv_status fv_session_recipe(fv_session *s, char **out);
/* The whole state (parameters, Adam's moments, step, recipe) as .safetensors, and back. The
 * model must be the one it was saved with. */
fv_status fv_session_save(fv_session *s, const char *path);
fv_status fv_session_resume(fv_session **out, fv_model *m, const fv_options *over,
                            const char *path);
/* The options inside a saved state, to open its model with. */
fv_status fv_session_read_options(fv_options *o, const char *path);

/* loss = sum over parts of -weight * value for texts, channels and terms, weight * value for
 * penalties. */
typedef enum fv_part_kind {
    FV_PART_TEXT,
    FV_PART_CHANNEL,
    FV_PART_TERM,
    FV_PART_PENALTY
} fv_part_kind;
typedef struct fv_part {
    fv_part_kind kind;
    char name[64]; /* the text (cut at a whole character), "108", "blocks.3.1:45", "tv" */
    float weight, value;
} fv_part;
enum { FV_MOST_PARTS = 32 };
/* From any thread: what the loss of the newest step is made of; the number of parts. */
int fv_session_parts(fv_session *s, fv_part out[FV_MOST_PARTS]);

/* Not while a run is in progress: asks that steps also copy the gradient of the picture. */
void fv_session_want_gradient(fv_session *s, bool wanted);
/* From any thread: |d loss / d picture| of the newest step, mean over R, G and B, scaled so that
 * the 99.5th percentile is 1: `out` holds width * height numbers in [0, 1]. FV_ERR_ARGUMENT if
 * there is none yet. */
fv_status fv_session_gradient(fv_session *s, float *out);

/* A state kept in memory: parameters, Adam's moments, step, recipe. */
typedef struct fv_kept fv_kept;
/* Not while a run is in progress, both. Going back forgets the changes made or asked for since;
 * with the same changes the same picture grows again, with others another branch. The session may
 * be another one than the state is of, if its model and size are the same. */
fv_status fv_session_keep(fv_session *s, fv_kept **out);
fv_status fv_session_return(fv_session *s, const fv_kept *k);
int fv_kept_step(const fv_kept *k);
size_t fv_kept_bytes(const fv_kept *k);
void fv_kept_free(fv_kept *k);

/* How a picture grew: up to 96 pictures at even steps, about every fourth with its state. Whoever
 * goes back and does otherwise begins another line; the old one stays. The lines are a tree, and
 * moments are those of the line that grows now, from noise on. Everything on the session's
 * thread. */
typedef struct fv_moment {
    int step;
    fv_picture picture;
    fv_kept *state; /* NULL: not kept here */
} fv_moment;
typedef struct fv_line {
    unsigned id; /* stays the same while places change */
    int parent;  /* place of the line it left; -1: it grew from noise */
    int fork;    /* step at which it left it */
    int step;    /* how far it has come */
} fv_line;
enum { FV_MOST_LINES = 16 };
typedef struct fv_history fv_history;
fv_status fv_history_new(fv_history **out);
void fv_history_free(fv_history *h);
void fv_history_clear(fv_history *h);
void fv_history_keep_states(fv_history *h, bool keep); /* a film needs none; they are kept first */
/* After a step: keeps what is due. A failure says what could not be kept of this one (the state, or
 * the picture too); what was kept before stays. */
fv_status fv_history_note(fv_history *h, fv_session *s, int step);
int fv_history_count(const fv_history *h);
const fv_moment *fv_history_at(const fv_history *h, int i);
/* The last moment with a state, at or before `step`; -1: none. */
int fv_history_state_before(const fv_history *h, int step);
int fv_history_line_count(const fv_history *h);
const fv_line *fv_history_line(const fv_history *h, int i);
int fv_history_current(const fv_history *h);
/* The picture where a line was left; NULL of the one that grows. */
const fv_picture *fv_history_tip(const fv_history *h, int i);
/* Going to another line, both: all of it or nothing. */
/* Keeps the tip of the line and begins another at the last state at or before *step, which
 * becomes the step of that state; the session goes back to it. Of FV_MOST_LINES lines the oldest
 * that nothing grows from is forgotten. */
fv_status fv_history_branch(fv_history *h, fv_session *s, int *step);
/* Keeps the tip of the line; the session goes on from the tip of line i. */
fv_status fv_history_switch(fv_history *h, fv_session *s, int i);
/* A line that nothing grows from, and not the one that grows. */
fv_status fv_history_forget(fv_history *h, int i);

/* An option as it is at this step, changes and all; as fv_options_get. Not while a step runs. */
const char *fv_session_option(const fv_session *s, const char *name);
/* The i-th text, without its weight; NULL past the last. Not while a step runs. */
const char *fv_session_text(const fv_session *s, int i);
/* What the texts became, in order; NULL past the last. */
const fv_text_report *fv_session_text_report(const fv_session *s, int i);

/* --- critic: a second look at a picture, apart from the session that made it --- */

typedef struct fv_critic fv_critic;
/* The model must outlive the critic. Like all that uses the model: not while a step runs. */
fv_status fv_critic_open(fv_critic **out, fv_model *m);
void fv_critic_close(fv_critic *c);
/* Unit embedding of a picture, fv_model_dim floats. */
fv_status fv_critic_embed(fv_critic *c, const fv_picture *p, float *embedding);

/* Cosines of a picture with a text. A picture that only cheats is high in `whole` alone. */
typedef struct fv_survival {
    float whole;
    float blurred; /* after a Gaussian blur of FV_SURVIVAL_BLUR pixels at 224: that of `keep` */
    float unseen;  /* mean over mirrored corners of 0.7 of the side, which no run draws. NAN: there
                    * was no memory for them, as fv_error() says; the others are measured */
} fv_survival;
#define FV_SURVIVAL_BLUR 2.0f
fv_status fv_critic_survival(fv_critic *c, const fv_picture *p, const char *text, fv_survival *out);

/* Channel of the last map before pooling at its positions: `out` holds map_side * map_side. */
int fv_critic_map_side(const fv_critic *c);
fv_status fv_critic_activation(fv_critic *c, const fv_picture *p, int channel, float *out);

typedef struct fv_channel {
    int number;
    float mean; /* over positions */
    float lead; /* what it is ranked by */
} fv_channel;
/* The channels that are furthest above what smooth noise gives, in units of that, best first;
 * *count: room in, number out. */
fv_status fv_critic_channels(fv_critic *c, const fv_picture *p, fv_channel *out, int *count);
/* The same at one place of the picture, x and y in [0, 1]: the position of the map it is in. */
fv_status fv_critic_channels_at(fv_critic *c, const fv_picture *p, float x, float y,
                                fv_channel *out, int *count);
/* The channels that a text asks for. lead: what the cosine would rise by, to first order, if the
 * channel were higher everywhere by what it is in smooth noise. At this picture, or (NULL) on the
 * average of smooth noise. */
fv_status fv_critic_search(fv_critic *c, const char *text, const fv_picture *p, fv_channel *out,
                           int *count);

/* --- judge: a classifier that took no part, on finished pictures --- */

typedef struct fv_judge fv_judge;
/* file: an EfficientNet with classifier (.safetensors), NULL for the shipped one. names:
 * tab-separated lines "class, English;.., Chinese;..", NULL for model/mini/classes.tsv. groups:
 * lines "Chinese;.., English;.., classes" such as "7-24 80", NULL for model/judge/groups.tsv.
 * backend and threads as in the options. Caller closes. */
fv_status fv_judge_open(fv_judge **out, const char *file, const char *names, const char *groups,
                        const char *backend, int threads);
void fv_judge_close(fv_judge *j);
const char *fv_judge_title(const fv_judge *j);
int fv_judge_class_count(const fv_judge *j);
const char *fv_judge_class_name(const fv_judge *j, int k); /* English; "" out of range */
/* Whether a text names class k: alone, or as one of a group; articles and case do not count. */
bool fv_judge_is_named(const fv_judge *j, const char *text, int k);
/* What it sees: probabilities of all classes, summing to 1. */
fv_status fv_judge_look(fv_judge *j, const fv_picture *p, float *probabilities);

enum { FV_JUDGE_BEST = 5 };
/* All that is measured of one picture. */
typedef struct fv_verdict {
    int wanted;              /* the likeliest class that the text names; -1: it names none */
    int rank;                /* of `wanted` among all classes, 1 is first; 0 without */
    float probability;       /* of all classes that the text names, together */
    int best[FV_JUDGE_BEST]; /* the likeliest classes */
    fv_survival cosines;     /* of the model that dreamed; NAN without text */
    float survival;          /* cosines.blurred / cosines.whole */
    float clipped;           /* share of the 8-bit values that are 0 or 255 */
    float mean[3];           /* red, green, blue, 0..1 */
    float light, vivid;      /* mean brightness; mean of (max - min) / max */
    float rough;             /* mean absolute difference of neighbours, 0..1 */
} fv_verdict;
/* `text` may be NULL; `dreamer` NULL: without cosines. */
fv_status fv_judge_picture(fv_judge *j, fv_critic *dreamer, const fv_picture *p, const char *text,
                           fv_verdict *out);

/* Pictures side by side, each fitted into cell x cell pixels and framed: green where the judge's
 * first class is the wanted one, yellow among its first five, red past that, grey where nothing
 * was wanted. Caller frees. */
fv_status fv_judge_sheet(fv_picture *out, const fv_picture *pictures, const fv_verdict *verdicts,
                         int count, int cell);

/* --- probe: numbers to hold against another implementation --- */

typedef struct fv_probe {
    const char *image;  /* .npy [1,3,S,S] or [3,S,S], normalised; or a picture file */
    const char *ids;    /* .npy of token ids, or NULL */
    const char *text;   /* used when ids is NULL */
    const char *taps;   /* comma-separated tensor names, or NULL */
    const char *folder; /* for the results */
} fv_probe;
/* Writes image_embedding.npy, text_embedding.npy, cosine.npy, gradient.npy (d cos / d pixels or
 * d normalised input, [1,3,S,S]) and one file a tap ([n,c,h,w] or [tokens, width]). */
fv_status fv_probe_run(fv_model *m, const fv_probe *probe, float *cosine);

#ifdef __cplusplus
}
#endif
#endif
