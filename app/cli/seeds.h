/* --seeds N and --diversity W[@LAYER]: several pictures of one text, each pushed away from those
 * before it by terms of its own, LAYER:unlike=PICTURE, with W over their number as the weight. */
#ifndef APP_SEEDS_H
#define APP_SEEDS_H

#include "app/cli/cli.h"
#include "feavis/lists.h"

typedef struct seeds {
    int count;    /* of pictures, from 1 on */
    float weight; /* of diversity; 0: none is asked for */
    char layer[256];
    fv_list made; /* paths of the pictures of this text */
} seeds;

/* What the flags say; fails where they ask for what cannot be. Caller clears `made`. */
fv_status seeds_read(seeds *s, const cli *c);
/* Whether the options leave room for the terms that are added. */
fv_status seeds_check(const seeds *s, const fv_options *o);
/* Whether the model has the layer of diversity. */
fv_status seeds_check_layer(const seeds *s, const fv_options *o, const fv_model *m);
/* Options of picture i of these: *grown with all terms, *shown without those of diversity,
 * for names and messages. Caller frees both. */
fv_status seeds_next(const seeds *s, const fv_options *o, int i, fv_options **grown,
                     fv_options **shown);

#endif
