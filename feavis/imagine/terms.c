/* Terms on any layer: their ops, their inputs. See terms.h. */
#include "feavis/imagine/terms.h"
#include "feavis/model.h"

#include <stdlib.h>
#include <string.h>

fv_status fv_terms_read(fv_terms *out, fv_model *m, const char *text)
{
    fv_terms t;
    FV_TRY(fv_terms_parse(&t, text));
    for (int i = 0; i < m->guide_count; i++)
        if (m->guides[i]->network->dim > t.width) t.width = m->guides[i]->network->dim;
    t.directions = calloc((size_t)t.count + 1, (size_t)t.width * sizeof *t.directions);
    fv_status s = t.directions ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading terms: out of memory");
    for (int i = 0; s >= 0 && i < t.count; i++)
        if (t.at[i].kind == FV_TERM_TEXT)
            s = fv_model_embed_text(m->guides[fv_model_guide_of(m, t.at[i].layer)], t.at[i].text,
                                    t.directions + (size_t)i * (size_t)t.width, NULL);
    if (s < 0)
        fv_terms_clear(&t);
    else
        *out = t;
    return s;
}

bool fv_terms_same_plan(const fv_terms *a, const fv_terms *b)
{
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++) {
        const fv_term *x = &a->at[i], *y = &b->at[i];
        if (x->kind != y->kind || x->reduce != y->reduce || strcmp(x->layer, y->layer) != 0)
            return false;
    }
    return true;
}

/* --- ops --- */

/* One position of a map: a row of a matrix over positions, 1 there. */
static fv_ref one_place(fv_plan *p, fv_term_refs *r, fv_ref x)
{
    r->place = fv_plan_input(p, "place", (fv_shape){1, 1, 1, r->layer.h * r->layer.w}, FV_REAL);
    return fv_mix_rows(p, "there", x, r->place);
}

static fv_ref reduced(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    switch (t->reduce) {
    case FV_TERM_MAX:
        return fv_max_hw(p, "max", x);
    case FV_TERM_PLACE:
        return one_place(p, r, x);
    case FV_TERM_MEAN:
        break;
    }
    return fv_mean_hw(p, "mean", x);
}

static fv_ref build_channel(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    r->number = fv_plan_input(p, "channel", (fv_shape){1, 1, 1, 1}, FV_I32);
    return reduced(p, t, r, fv_pick(p, "map", x, r->number));
}

static fv_ref build_direction(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    x = fv_l2norm(p, "direction", reduced(p, t, r, x), 1e-12);
    r->direction = fv_plan_input(p, "wanted", (fv_shape){1, 1, 1, r->layer.c}, FV_REAL);
    return fv_linear(p, "cosine", x, r->direction, FV_NONE, FV_ACT_NONE);
}

/* That a layer of this name and shape has what the term asks for. */
static fv_status check(const fv_term *t, const char *name, fv_shape s, int dim)
{
    if (t->kind == FV_TERM_CHANNEL && t->channel >= s.c)
        return fv_fail(FV_ERR_ARGUMENT, "term %s: %s has channels 0 to %d", t->name, name, s.c - 1);
    if (t->reduce == FV_TERM_PLACE && (t->row >= s.h || t->column >= s.w))
        return fv_fail(FV_ERR_ARGUMENT, "term %s: %s has %d rows and %d columns, counted from 0",
                       t->name, name, s.h, s.w);
    if (t->kind == FV_TERM_TEXT && s.c != dim)
        return fv_fail(FV_ERR_ARGUMENT,
                       "term %s: a text is a direction among %d numbers, %s has %d; "
                       "image_embedding is such a layer",
                       t->name, dim, name, s.c);
    return FV_OK;
}

/* The image towers of all guides without memory for their values, to ask for layers; the weights
 * are the model's. */
static fv_status open_towers(fv_plan **out, const fv_model *m)
{
    fv_ref y = 0;
    FV_TRY(fv_plan_new(out, m->engine->backend));
    for (int i = 0; y >= 0 && i < m->guide_count; i++) {
        int side = m->guides[i]->network->image_size;
        fv_ref pixels = fv_plan_input(*out, "pixels", (fv_shape){1, side, side, 3}, FV_REAL);
        y = fv_model_image(m, i, *out, pixels, true).embedding;
    }
    return y < 0 ? fv_plan_finish(*out, FV_PLAN_FORWARD) : FV_OK; /* says what failed */
}

/* The term's layer in a plan, and that it has what is asked for. *dim: of the layer's guide. */
static fv_status find(const fv_model *m, const fv_plan *p, const fv_term *t, int *dim, fv_ref *out)
{
    int guide;
    FV_TRY(fv_model_find_layer(m, p, t->layer, &guide, out));
    *dim = m->guides[guide]->network->dim;
    return check(t, fv_plan_name(p, *out), fv_plan_shape(p, *out), *dim);
}

fv_status fv_terms_check(const fv_terms *t, const fv_model *m)
{
    fv_plan *p = NULL;
    if (t->count == 0) return FV_OK;
    fv_status s = open_towers(&p, m);
    for (int i = 0; s >= 0 && i < t->count; i++) {
        int dim;
        fv_ref layer;
        s = find(m, p, &t->at[i], &dim, &layer);
    }
    fv_plan_free(p);
    return s;
}

void fv_terms_build(fv_plan *p, fv_term_refs refs[FV_MOST_TERMS], const fv_terms *t,
                    const fv_model *m)
{
    for (int i = 0; i < t->count; i++) {
        const fv_term *term = &t->at[i];
        fv_term_refs *r = &refs[i];
        *r = (fv_term_refs){-1, -1, -1, -1, {0, 0, 0, 0}, 0};
        fv_ref x;
        fv_status s = find(m, p, term, &r->dim, &x);
        if (s < 0) {
            fv_plan_fail(p, s);
            return;
        }
        r->layer = fv_plan_shape(p, x);
        fv_plan_push(p, "term%d.", i);
        if (term->kind == FV_TERM_CHANNEL)
            r->value = build_channel(p, term, r, x);
        else if (term->kind == FV_TERM_TEXT)
            r->value = build_direction(p, term, r, x);
        else
            r->value =
                fv_penalise(p, "square", term->reduce == FV_TERM_PLACE ? one_place(p, r, x) : x,
                            FV_PENALTY_SQUARE);
        fv_plan_pop(p);
        fv_plan_output(p, r->value);
    }
}

static fv_status upload_place(fv_plan *p, const fv_term_refs *r, const fv_term *t)
{
    size_t positions = (size_t)r->layer.h * (size_t)r->layer.w;
    float *row = calloc(positions, sizeof *row);
    if (!row) return fv_fail(FV_ERR_MEMORY, "placing a term: out of memory");
    row[(size_t)t->row * (size_t)r->layer.w + (size_t)t->column] = 1;
    fv_status s = fv_plan_upload(p, r->place, row);
    free(row);
    return s;
}

fv_status fv_terms_upload(fv_plan *p, const fv_term_refs refs[FV_MOST_TERMS], const fv_terms *t)
{
    for (int i = 0; i < t->count; i++) {
        const fv_term_refs *r = &refs[i];
        int32_t channel = t->at[i].channel;
        FV_TRY(check(&t->at[i], t->at[i].layer, r->layer, r->dim));
        if (r->number >= 0) FV_TRY(fv_plan_upload_i32(p, r->number, &channel));
        if (r->place >= 0) FV_TRY(upload_place(p, r, &t->at[i]));
        if (r->direction >= 0)
            FV_TRY(fv_plan_upload(p, r->direction, t->directions + (size_t)i * (size_t)t->width));
    }
    return FV_OK;
}

/* --- the list of layers --- */

fv_status fv_model_print_layers(fv_model *m, FILE *to)
{
    fv_plan *p = NULL;
    fv_status s = open_towers(&p, m);
    const char *name;
    fv_ref r;
    for (int i = 0; s >= 0 && fv_plan_layer(p, i, &name, &r); i++) {
        fv_shape shape = fv_plan_shape(p, r);
        fprintf(to, "%4d x %-4d %6d  %s\n", shape.h, shape.w, shape.c, name);
    }
    fv_plan_free(p);
    return s;
}
