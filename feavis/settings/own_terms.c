/* Terms of the caller's own, as options carry them: a layer's name, a weight and a function. */
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/options.h"

fv_status fv_options_add_term(fv_options *o, const char *layer, float weight, fv_term_fn fn,
                              void *user)
{
    if (!layer || !fn) return fv_fail(FV_ERR_ARGUMENT, "a term needs a layer and a function");
    if (o->own_count == FV_MAX_OWN_TERMS)
        return fv_fail(FV_ERR_ARGUMENT, "more than %d terms of one's own", FV_MAX_OWN_TERMS);
    char *name = strdup(layer);
    if (!name) return fv_fail(FV_ERR_MEMORY, "copying options: out of memory");
    o->own[o->own_count++] = (fv_own_option){name, weight, fn, user};
    return FV_OK;
}

fv_status fv_options_copy_terms(fv_options *o, const fv_options *from)
{
    for (int i = 0; i < from->own_count; i++) {
        const fv_own_option *t = &from->own[i];
        FV_TRY(fv_options_add_term(o, t->layer, t->weight, t->fn, t->user));
    }
    return FV_OK;
}

void fv_options_clear_terms(fv_options *o)
{
    for (int i = 0; i < o->own_count; i++) free(o->own[i].layer);
    o->own_count = 0;
}
