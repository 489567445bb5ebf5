/* The options as a plain struct, for the library; applications see names and texts only. */
#ifndef FV_OPTIONS_H
#define FV_OPTIONS_H

#include <stdint.h>

#include "feavis/option.h"
#include "model/files/yaml.h"

/* A change made while the picture grew: replayed before step `step`. */
typedef struct fv_change {
    int step;
    const fv_option *option;
    char *value;
} fv_change;

/* A term of the caller's own: fv_options_add_term. */
enum { FV_MAX_OWN_TERMS = 8 };
typedef struct fv_own_option {
    char *layer;
    float weight;
    fv_term_fn fn;
    void *user;
} fv_own_option;

struct fv_options {
    char *text, *llp, *term, *at, *guide_weights;
    int llp_reduce; /* 0 mean, 1 max */
    double tv, range, grey;
    char *plausible, *plausible_hash;
    bool plausible_move;
    double plausible_stop;

    uint64_t seed;
    int steps, stop, generator; /* see fv_generator_of */
    int codes;                  /* 0 straight, 1 projected, 2 free: generators/vqgan.c */
    int codes_start;            /* 0 random, 1 noise */
    int extent[2];              /* width, height */
    int keep;                   /* 0 last, 1 best */
    double decay, contrast, start_noise;
    char *start, *start_hash;
    bool colour;
    double saturation;
    int paper; /* 0 none, 1 rice, 2 silk: generators/tint.c */

    int views;
    double scale_min, scale_max, scale_end, shift, rotate, noise, noise_end, colour_shift,
        colour_shift_end, blur, blur_end;

    double rate, rate_end, beta1, beta2;
    int warmup;

    char *guide, *config, *checkpoint, *vocab, *decoder, *device, *backend;
    int tower; /* 0 online, 1 momentum */
    int text_length, threads;
    char *gallery, *out, *state, *save_codes;

    fv_change *changes; /* by step, those of one step as they were made */
    int change_count;

    fv_own_option own[FV_MAX_OWN_TERMS];
    int own_count;

    char *notice;      /* see fv_options_notice; NULL: "" */
    uint64_t lost;     /* rows, a bit each: files that a recipe names and that were not found */
    char *lost_recipe; /* the file that recipe is from */
};

static inline int fv_width(const fv_options *o)
{
    return o->extent[0];
}

static inline int fv_height(const fv_options *o)
{
    return o->extent[1];
}

static inline int fv_long_side(const fv_options *o)
{
    return fv_width(o) > fv_height(o) ? fv_width(o) : fv_height(o);
}

static inline size_t fv_pixels(const fv_options *o)
{
    return (size_t)o->extent[0] * (size_t)o->extent[1];
}

/* One of several weighted things: "梦:1 | 文字:-0.3" or "108, 456:0.5". */
typedef struct fv_weighted {
    char *name;
    float weight;
    bool weighed; /* the weight was written, not taken as 1 */
} fv_weighted;

/* Splits at `separator` ("\|" is a literal one), takes a trailing ":number" as the weight (1
 * without; "\:" is a literal colon there). The number is in the C locale. Full-width twins are
 * no syntax here, so that a recipe means what it meant before they were: see fv_weighted_plain.
 * Caller frees with fv_weighted_free. Empty text: count 0. */
fv_status fv_weighted_parse(fv_weighted **out, int *count, const char *text, char separator,
                            const char *what);
void fv_weighted_free(fv_weighted *list, int count);

/* What a person typed in the form that fv_weighted_parse reads: the separator and the colon of a
 * weight may be full-width (： ｜ ，, for numbers also 、), and so may a weight's digits, sign and
 * point; they become their ASCII twins. All else stays as it is: "\：" and "\｜" are literal. Text
 * that gives the model nothing to read (fv_text_blank) becomes "". Applied to what it gives, it
 * changes nothing. Caller frees. */
fv_status fv_weighted_plain(char **out, const char *typed, char separator, const char *what);

/* own_terms.c: those of `from` behind those of o; none any more. */
fv_status fv_options_copy_terms(fv_options *o, const fv_options *from);
void fv_options_clear_terms(fv_options *o);

/* Another word of the option `param`, behind those that are there: see fv_generator_register. */
fv_status fv_options_add_generator(const char *name);
fv_status fv_options_add_change(fv_options *o, int step, const fv_option *option,
                                const char *value);
/* fv_options_set of a value that was written by this program: nothing in it is taken for another
 * spelling of the syntax. */
fv_status fv_options_set_written(fv_options *o, const char *name, const char *value);
/* Every key of a map as an option; keys in `skip` (NULL-terminated, may be NULL) are not. Of what a
 * file may not set only a notice is taken; options with one of the flags `but` are passed over. */
fv_status fv_options_from_yaml(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map,
                               const char *const *skip, unsigned but);
/* One line "name: value" of such a map. A path that is not UTF-8 is written under "name%", with
 * %XX for the bytes that are no printable ASCII. */
void fv_options_print_yaml(FILE *f, const fv_option *row, const char *value);
/* The value of a row in such a map, as bytes: *out, which the caller frees, NULL if it is absent.
 */
fv_status fv_options_value(char **out, const fv_yaml *doc, const fv_yaml_node *map,
                           const fv_option *row);
/* Fails, and says which option would help, if a file of a row with this flag is lost. */
fv_status fv_options_check_lost(const fv_options *o, unsigned flag);
fv_status fv_options_check_lost_row(const fv_options *o, const fv_option *row);
/* Notes that the file of a row was not found. */
fv_status fv_options_lose(fv_options *o, const fv_option *row, const char *recipe);

#endif
