/* A network's dry run, and the list that it leaves. See manifest.h. */
#include "model/nets/manifest.h"

#include <stdlib.h>
#include <string.h>

void fv_manifest_clear(fv_manifest *m)
{
    free(m->at);
    *m = (fv_manifest){0};
}

fv_status fv_manifest_add(fv_manifest *m, const fv_needed *part)
{
    if ((m->count & (m->count - 1)) == 0) { /* room doubles at powers of two */
        fv_needed *more = realloc(m->at, (size_t)(m->count ? 2 * m->count : 1) * sizeof *more);
        if (!more) return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
        m->at = more;
    }
    m->at[m->count++] = *part;
    return FV_OK;
}

static int by_name(const void *a, const void *b)
{
    const fv_needed *x = *(fv_needed *const *)a, *y = *(fv_needed *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x > y) - (x < y);
}

/* Of what was asked for twice the first remains. */
static fv_status drop_repeated(fv_manifest *m)
{
    fv_needed **sorted = malloc(((size_t)m->count + 1) * sizeof *sorted);
    if (!sorted) return fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
    for (int i = 0; i < m->count; i++) sorted[i] = &m->at[i];
    qsort(sorted, (size_t)m->count, sizeof *sorted, by_name);
    for (int i = 0, first = 0; i < m->count; i++) {
        if (i == first || strcmp(sorted[i]->name, sorted[first]->name) != 0) {
            first = i;
            continue;
        }
        if (sorted[first]->unused) *sorted[first] = *sorted[i];
        sorted[i]->ndim = -1;
    }
    free(sorted);
    int kept = 0;
    for (int i = 0; i < m->count; i++)
        if (m->at[i].ndim >= 0) m->at[kept++] = m->at[i];
    m->count = kept;
    return FV_OK;
}

/* All that the row has. */
static void build(fv_builder *b, const fv_network *n)
{
    fv_shape picture = {1, n->image_size, n->image_size, 3}, latent = {1, 4, 4, n->latent_channels};
    fv_text_inputs inputs;
    fv_ref map = -1;
    if (n->kind->map)
        map = n->kind->map(b, n, fv_plan_input(b->plan, "normalised", picture, FV_REAL));
    if (n->kind->head) n->kind->head(b, n, map);
    if (n->kind->text) n->kind->text(b, n, n->text_length, &inputs);
    if (n->kind->decode) n->kind->decode(b, n, fv_plan_input(b->plan, "latent", latent, FV_REAL));
    if (n->encodes) n->kind->encode(b, n, fv_plan_input(b->plan, "pixels", picture, FV_REAL));
    if (n->codes) n->kind->codebook(b, n);
}

fv_status fv_manifest_make(fv_manifest *out, const fv_network *n, bool momentum)
{
    fv_manifest m = {0};
    fv_source source = n->source;
    source.momentum = momentum;
    source.store = NULL;
    source.noted = &m;
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, NULL));
    build(&(fv_builder){.plan = p, .source = &source}, n);
    fv_status s = fv_plan_status(p);
    fv_plan_free(p);
    if (s >= 0) s = drop_repeated(&m);
    if (s < 0)
        fv_manifest_clear(&m);
    else
        *out = m;
    return s;
}

bool fv_entry_fits(const fv_entry *e, const int64_t *dims, int ndim)
{
    bool fits = true;
    for (int i = 0; fits && (i < ndim || i < e->ndim); i++) {
        int64_t found = i < e->ndim ? e->dims[i] : 1, want = i < ndim ? dims[i] : 1;
        fits = want ? found == want : found > 0 && found <= FV_LARGEST_SIZE;
    }
    return fits;
}

const fv_entry *fv_needed_find(const fv_needed *part, const fv_weights *w, bool *fits)
{
    const fv_entry *e = fv_weights_find(w, part->name);
    *fits = e && fv_entry_readable(e) && fv_entry_fits(e, part->dims, part->ndim);
    return e;
}
