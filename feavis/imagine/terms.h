/* Terms on the layers of a model and of the guides beside it: their ops, their inputs, what a model
 * has not. The syntax is that of terms_syntax.h. */
#ifndef FV_TERMS_H
#define FV_TERMS_H

#include "feavis/imagine/model.h"
#include "feavis/settings/terms_syntax.h"

/* What the option `term` says, and what its texts and files are in this model: a forward pass for
 * each picture. */
fv_status fv_terms_read(fv_terms *out, fv_model *m, const char *text);
/* That this model has such layers, channels and places, and that the files are there. */
fv_status fv_terms_check(const fv_terms *t, const fv_model *m);
/* The image towers of all guides in a plan, finished for forward: to ask for layers. Caller frees.
 */
fv_status fv_model_towers(fv_plan **out, const fv_model *m);
/* The same ops serve both: weights, channels, places and texts may differ. */
bool fv_terms_same_plan(const fv_terms *a, const fv_terms *b);

/* Leaves and the output {views,1,1,1} of one term. */
typedef struct fv_term_refs {
    fv_ref number, place, target; /* inputs; -1 where it has none */
    fv_ref value;
    fv_shape layer;
    int dim; /* of the layer's guide */
} fv_term_refs;

/* Behind the network's own ops. A layer that is not there fails with the nearest name. */
void fv_terms_build(fv_plan *p, fv_term_refs refs[FV_MAX_TERMS], const fv_terms *t,
                    const fv_model *m);
fv_status fv_terms_upload(fv_plan *p, const fv_term_refs refs[FV_MAX_TERMS], const fv_terms *t);

#endif
