/* See own_terms.h. */
#include "feavis/imagine/own_terms.h"

#include <stdlib.h>
#include <string.h>

fv_status fv_own_terms_read(fv_own_terms *out, const fv_options *o)
{
    fv_own_terms t = {calloc((size_t)o->own_count + 1, sizeof *t.at), o->own_count};
    if (!t.at) return fv_fail(FV_ERR_MEMORY, "reading terms: out of memory");
    for (int i = 0; i < t.count; i++) t.at[i].asked = &o->own[i];
    *out = t;
    return FV_OK;
}

void fv_own_terms_clear(fv_own_terms *t)
{
    for (int i = 0; i < t->count; i++) {
        free(t->at[i].values);
        free(t->at[i].gradient);
    }
    free(t->at);
    *t = (fv_own_terms){NULL, 0};
}

bool fv_own_terms_same_plan(const fv_own_terms *a, const fv_own_terms *b)
{
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->at[i].asked->layer, b->at[i].asked->layer) != 0) return false;
    return true;
}

void fv_own_terms_build(fv_plan *p, fv_ref refs[FV_MAX_OWN_TERMS], const fv_own_terms *t,
                        const fv_model *m)
{
    for (int i = 0; i < t->count; i++) {
        int guide;
        fv_status s = fv_model_find_layer(m, p, t->at[i].asked->layer, &guide, &refs[i]);
        if (s < 0) {
            fv_plan_fail(p, s);
            return;
        }
        fv_plan_output(p, refs[i]);
    }
}

static fv_status make_room(fv_own_term *t, size_t count)
{
    if (t->count == count) return FV_OK;
    float *values = malloc(count * sizeof *values), *gradient = malloc(count * sizeof *gradient);
    if (!values || !gradient) {
        free(values);
        free(gradient);
        return fv_fail(FV_ERR_MEMORY, "reading layer %s: out of memory", t->asked->layer);
    }
    free(t->values);
    free(t->gradient);
    t->values = values;
    t->gradient = gradient;
    t->count = count;
    return FV_OK;
}

fv_status fv_own_term_score(fv_plan *p, fv_ref ref, fv_own_term *t, float *value)
{
    fv_shape s = fv_plan_shape(p, ref);
    double score = 0;
    FV_TRY(make_room(t, fv_count(s)));
    FV_TRY(fv_plan_download(p, ref, t->values));
    memset(t->gradient, 0, t->count * sizeof *t->gradient);
    fv_activations a = {t->asked->layer, t->values, s.n, s.h, s.w, s.c};
    fv_status status = t->asked->fn(t->asked->user, &a, &score, t->gradient);
    if (status < 0) return fv_fail_context(status, "the term on %s", t->asked->layer);
    *value = (float)score;
    return FV_OK;
}

fv_status fv_own_term_output_gradient(fv_plan *p, fv_ref ref, fv_own_term *t)
{
    for (size_t i = 0; i < t->count; i++) t->gradient[i] *= -t->asked->weight;
    return fv_plan_output_gradient(p, ref, t->gradient);
}
