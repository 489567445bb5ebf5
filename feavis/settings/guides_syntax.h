/* Guides: the networks that a picture is grown for together.
 *
 *   mini                                   the shipped model
 *   eval.yml + brivl.pth                   a cfg and its checkpoint
 *   eval.yml + brivl.pth + vocab.txt       and a vocabulary (.txt)
 *   eval.yml + brivl.pth @momentum         the towers that training averaged
 *   ... :0.5                               weight of the guide's texts, 1 without
 *
 * Several with |. "\|", "\:" and "\+" are literal. A file ending in .yml, .yaml or .json is a cfg,
 * in .txt or .gz a vocabulary; any other is a checkpoint. */
#ifndef FV_GUIDES_SYNTAX_H
#define FV_GUIDES_SYNTAX_H

#include <stdbool.h>

#include "feavis/option.h"

typedef struct fv_guide {
    char *config, *checkpoint, *vocabulary; /* "" where none is given; all "": the shipped model */
    bool momentum;
    float weight;
} fv_guide;

typedef struct fv_guides {
    fv_guide at[FV_MAX_GUIDES];
    int count;
} fv_guides;

/* Reads what the option `guide` says; opens no file. "" is none. */
fv_status fv_guides_parse(fv_guides *out, const char *text);
void fv_guides_clear(fv_guides *g);
/* The text that fv_guides_parse reads. Caller frees. */
fv_status fv_guides_print(char **out, const fv_guides *g);
/* Calls `change` with each file that is named; it may put another string in its place. Stops at the
 * first failure. */
fv_status fv_guides_files(fv_guides *g, fv_status (*change)(void *user, char **path), void *user);
/* What the option `guide-weights` says, "1, 0.5": numbers from -10 to 10. *count (may be NULL): how
 * many; 0 of "". */
fv_status fv_guides_weights(float out[FV_MAX_GUIDES], int *count, const char *text);
/* Whether both are of the same files and towers, whatever the weights. */
bool fv_guides_same(const fv_guides *a, const fv_guides *b);

#endif
