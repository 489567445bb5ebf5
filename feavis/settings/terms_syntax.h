/* Terms: what a layer of the network is asked for, beside texts and LLP channels.
 *
 *   blocks.3.1:45            channel 45 of that layer, mean over its positions
 *   blocks.3.1:45@max        its largest position
 *   blocks.3.1:45@3,5        one neuron: row 3, column 5
 *   blocks.3.1               the layer: mean square of all its numbers (what DeepDream climbs)
 *   image_embedding:text=雪  a direction: cosine of the layer's mean position with a text's vector
 *   ... *0.5                 weight, 1 without; negative: as little as possible
 *
 * Several with |. A layer is any tensor that the plan of the image tower computes, by its full name
 * or by the end of it where that is the only one; `feavis info --layers` lists them (Olah,
 * Mordvintsev and Schubert, Feature visualization, 2017: neuron, channel, layer, direction). */
#ifndef FV_TERMS_SYNTAX_H
#define FV_TERMS_SYNTAX_H

#include "kernels/status.h"

enum { FV_MOST_TERMS = 16 };

typedef enum fv_term_kind { FV_TERM_LAYER, FV_TERM_CHANNEL, FV_TERM_TEXT } fv_term_kind;
typedef enum fv_term_reduce { FV_TERM_MEAN, FV_TERM_MAX, FV_TERM_PLACE } fv_term_reduce;

typedef struct fv_term {
    char *name;  /* as it was asked for, without the weight */
    char *layer; /* within name */
    char *text;  /* of a direction; NULL */
    fv_term_kind kind;
    fv_term_reduce reduce;
    int channel, row, column;
    float weight;
} fv_term;

typedef struct fv_terms {
    fv_term at[FV_MOST_TERMS];
    int count;
    float *directions; /* [count][width], of the terms with a text */
    int width;         /* the largest dim of the guides */
} fv_terms;

/* Reads what the option `term` says; knows no layer yet. "" is none. */
fv_status fv_terms_parse(fv_terms *out, const char *text);
void fv_terms_clear(fv_terms *t);

#endif
