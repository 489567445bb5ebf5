/* Terms: what a layer of the network is asked for, beside texts and LLP channels.
 *
 *   blocks.3.1:45            channel 45 of that layer, mean over its positions
 *   blocks.3.1:45@max        its largest position
 *   blocks.3.1:45@3,5        one neuron: row 3, column 5
 *   blocks.3.1:40-47         channels 40 to 47: mean square of their numbers; a head of attention
 *   blocks.3.1               the layer: mean square of all its numbers (what DeepDream climbs)
 *   image_embedding:text=雪  a direction: cosine of the layer's mean position with a text's vector
 *   blocks.3.1:vector=v.npy  the same with the numbers of a file, one a channel
 *   blocks.3.1:like=a.png    a picture: cosine of the whole layer with what it is for that one
 *   blocks.3.1:unlike=a.png  diversity: minus the cosine of both Gram matrices over the channels
 *   like=a.png               without a layer, as text=, vector= and unlike=: image_embedding; of
 *                            the second guide guide2.like=a.png
 *   ... *0.5                 weight, 1 without; negative: as little as possible
 *
 * A file may have a hash of its contents behind it, as recipes write it:
 * like=a.png#0123456789abcdef (of a picture, of its pixels). It has to fit then.
 *
 * Several with |. A layer is any tensor that the plan of the image tower computes, by its full name
 * or by the end of it where that is the only one; `feavis info --layers` lists them (Olah,
 * Mordvintsev and Schubert, Feature visualization, 2017: neuron, channel, layer, direction). */
#ifndef FV_TERMS_SYNTAX_H
#define FV_TERMS_SYNTAX_H

#include <stddef.h>

#include "kernels/status.h"

enum { FV_MAX_TERMS = 16 };

typedef enum fv_term_kind {
    FV_TERM_LAYER,
    FV_TERM_CHANNEL,
    FV_TERM_TEXT,
    FV_TERM_VECTOR,
    FV_TERM_LIKE,
    FV_TERM_UNLIKE
} fv_term_kind;
typedef enum fv_term_reduce { FV_TERM_MEAN, FV_TERM_MAX, FV_TERM_PLACE } fv_term_reduce;

typedef struct fv_term {
    char *name; /* as it was asked for, without the weight and the folder and hash of a file */
    char *layer;
    char *text;                /* of text=; NULL */
    char *file;                /* of vector=, like= and unlike=: its path; NULL */
    char hash[17];             /* of the file, as it was written; "" without */
    size_t file_at, file_size; /* where path and hash stand in the whole text */
    fv_term_kind kind;
    fv_term_reduce reduce;
    int channel, channels, row, column; /* channels: how many of them, 0 of a whole layer */
    float weight;
    float *target; /* unit length, what the layer is compared with; NULL until it is read */
    size_t target_count;
} fv_term;

typedef struct fv_terms {
    fv_term at[FV_MAX_TERMS];
    int count;
} fv_terms;

/* Reads what the option `term` says; knows no layer yet. "" is none. */
fv_status fv_terms_parse(fv_terms *out, const char *text);
/* Whether it could be read. */
fv_status fv_terms_try(const char *text);
void fv_terms_clear(fv_terms *t);

/* The same text with other files: fn may replace the path (malloc) and the hash of each. Caller
 * frees. FV_ERR_ARGUMENT if the syntax cannot say such a path. */
typedef fv_status (*fv_term_file_fn)(void *user, const fv_term *t, char **path, char hash[17]);
fv_status fv_terms_with_files(char **out, const char *text, fv_term_file_fn fn, void *user);

#endif
