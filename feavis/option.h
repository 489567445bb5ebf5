/* Options: settings by name. One table drives flags, presets, controls and recipes.
 *
 * The table is constant and may be read by all threads; an fv_options belongs to one thread at a
 * time, and reading it may be shared. */
#ifndef FEAVIS_OPTION_H
#define FEAVIS_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

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
    FV_OPTION_PLACE = 64, /* a place to write to */
    FV_OPTION_LIST = 128  /* several with |: where it is given again, more are added */
};

enum { FV_MAX_GUIDES = 4 }; /* models that the option guide may name */

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

FV_API const fv_option *fv_option_table(int *count);
/* Row i; NULL past the last. For whoever may meet a later library: rows may have grown. */
FV_API const fv_option *fv_option_at(int i);
FV_API const fv_option *fv_option_find(const char *name); /* NULL if there is none */

typedef struct fv_options fv_options;

FV_API fv_status fv_options_new(fv_options **out); /* all defaults */
FV_API fv_status fv_options_copy(fv_options **out, const fv_options *from);
FV_API void fv_options_free(fv_options *o);
/* With channels and no text, a start from stronger noise, unless start-noise was set already: on a
 * grey start some channels are cut off by their activation, and give no gradient to climb. */
FV_API fv_status fv_options_wake_channels(fv_options *o);
/* Fails on an unknown name (and suggests the nearest) and on a value out of range. In text and llp
 * full-width syntax ("山：1 ｜ 雪：0.5") becomes its ASCII twin; recipes have that. */
FV_API fv_status fv_options_set(fv_options *o, const char *name, const char *value);
/* What a person asks for, before any work: fails where text or llp has an empty part or a weight
 * past 10. *reading: how text was read, one line without an end, if a weight is written in it;
 * NULL otherwise. Caller frees. */
FV_API fv_status fv_options_asked(const fv_options *o, char **reading);
/* The first of the texts, without its weight and without escapes; "" if there is none. Caller
 * frees. */
FV_API fv_status fv_options_first_text(const fv_options *o, char **out);
/* Text `index` of them likewise, and its weight (NULL: not asked for); *out is NULL past the last.
 */
FV_API fv_status fv_options_text_at(const fv_options *o, int index, char **out, float *weight);
/* What the option term says, its files without folders and hashes: for people, and for names of
 * pictures. Caller frees. */
FV_API fv_status fv_term_title(char **out, const char *term);
/* The value as text that fv_options_set takes; "" for an unknown name. Valid until the option
 * is set again or this has been called 8 more times. */
FV_API const char *fv_options_get(const fv_options *o, const char *name);
FV_API bool fv_options_is_default(const fv_options *o, const char *name);
/* Sets in `to`, as they are in `from`, all options that have one of these flags. */
FV_API fv_status fv_options_take(fv_options *to, const fv_options *from, unsigned flags);
/* Models that the option guide names; and the options with model i of them alone, weight 1 (caller
 * frees). */
FV_API int fv_options_guide_count(const fv_options *o);
/* The weight of model i, of guide-weights or of guide; 1 where neither says one. */
FV_API float fv_options_guide_weight(const fv_options *o, int i);
FV_API int fv_options_weight_count(const fv_options *o); /* numbers in guide-weights */
FV_API fv_status fv_options_guide(fv_options **out, const fv_options *o, int i);
/* One model more, of files as in guide ("eval.yml + brivl.pth"): beside those that guide names, or
 * beside the one that config, checkpoint, vocab and tower name, which becomes the first guide. */
FV_API fv_status fv_options_add_guide(fv_options *o, const char *files);
/* Without model i; the last one stays. */
FV_API fv_status fv_options_drop_guide(fv_options *o, int i);
/* Whether fv_model_open gives the same model for both. */
FV_API bool fv_options_same_model(const fv_options *a, const fv_options *b);
/* What files wanted to set and may not: one line for a person, "" if nothing was left. Copies of
 * the options begin without. */
FV_API const char *fv_options_notice(const fv_options *o);
/* Terms of the caller's own: what a layer holds for all views of a picture. */
typedef struct fv_activations {
    const char *layer;
    const float *values; /* [views][rows][columns][channels]; of tokens the rows are 1 */
    int views, rows, columns, channels;
} fv_activations;

/* What a layer is asked for: *value, which is to rise, and its gradient in all of a->values, which
 * is zero at first. Called on the thread that runs the session, once a forward pass (a step has at
 * least one); it may not use the session or its model. A failure (fv_fail says why) ends the run
 * and leaves picture and state as they were before the step; NAN counts as a step to take back. */
typedef fv_status (*fv_term_fn)(void *user, const fv_activations *a, double *value,
                                float *gradient);

/* One more term of sessions with these options, for the model's own layer or that of a guide
 * ("guide2.blocks.3"): loss = ... - weight * value. Copies of the options have it, too. Files never
 * do: a recipe says in a comment that there was one. */
FV_API fv_status fv_options_add_term(fv_options *o, const char *layer, float weight, fv_term_fn fn,
                                     void *user);

/* The backend that the options device and backend mean together, e.g. "cuda:1:tf32". */
enum { FV_BACKEND_SPEC = 64 };
FV_API fv_status fv_options_backend(const fv_options *o, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
