/* Terms of the caller's own: a layer as an output of the plan, and a function that says what it is
 * worth. See fv_options_add_term. */
#ifndef FV_OWN_TERMS_H
#define FV_OWN_TERMS_H

#include "feavis/imagine/model.h"

/* One of a session's objectives; `gradient` is that of the last forward. */
typedef struct fv_own_term {
    const fv_own_option *asked; /* the options must outlive it */
    float *values, *gradient;   /* [count]; NULL until there is a value */
    size_t count;
} fv_own_term;

typedef struct fv_own_terms {
    fv_own_term *at;
    int count;
} fv_own_terms;

fv_status fv_own_terms_read(fv_own_terms *out, const fv_options *o);
void fv_own_terms_clear(fv_own_terms *t);
bool fv_own_terms_same_plan(const fv_own_terms *a, const fv_own_terms *b);
/* Behind the network's own ops. */
void fv_own_terms_build(fv_plan *p, fv_ref refs[FV_MAX_OWN_TERMS], const fv_own_terms *t,
                        const fv_model *m);
/* After forward: term i's value, and its gradient aside. */
fv_status fv_own_term_score(fv_plan *p, fv_ref ref, fv_own_term *t, float *value);
/* Before backward: of the loss, - weight * gradient. */
fv_status fv_own_term_output_gradient(fv_plan *p, fv_ref ref, fv_own_term *t);

#endif
