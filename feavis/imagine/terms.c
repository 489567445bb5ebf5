/* Terms on any layer: their ops, their inputs. See terms.h. */
#include "feavis/imagine/terms.h"
#include "feavis/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/term_files.h"

/* The image tower of guide i without memory for its values yet; its weights are the model's. */
static fv_ref add_tower(fv_plan *p, const fv_model *m, int i, fv_ref *pixels)
{
    int side = m->guides[i]->network->image_size;
    *pixels = fv_plan_input(p, "pixels", (fv_shape){1, side, side, 3}, FV_REAL);
    return fv_model_image(m, i, p, *pixels, true).embedding;
}

fv_status fv_model_towers(fv_plan **out, const fv_model *m)
{
    fv_ref y = 0, pixels;
    FV_TRY(fv_plan_new(out, m->engine->backend));
    for (int i = 0; y >= 0 && i < m->guide_count; i++) y = add_tower(*out, m, i, &pixels);
    return y < 0 ? fv_plan_finish(*out, FV_PLAN_FORWARD) : FV_OK; /* says what failed */
}

/* --- targets --- */

static bool is_picture(const fv_term *t)
{
    return t->kind == FV_TERM_LIKE || t->kind == FV_TERM_UNLIKE;
}

/* sign * values, of unit length. */
static fv_status make_unit(const fv_term *t, double sign)
{
    double square = 0;
    for (size_t i = 0; i < t->target_count; i++)
        square += (double)t->target[i] * (double)t->target[i];
    if (!isfinite(square) || square == 0)
        return fv_fail(FV_ERR_ARGUMENT, "term %s: all of %s is %s for that picture", t->name,
                       t->layer, square == 0 ? "zero" : "not finite");
    for (size_t i = 0; i < t->target_count; i++)
        t->target[i] = (float)(sign * (double)t->target[i] / sqrt(square));
    return FV_OK;
}

/* What the layer, or its Gram matrix, is in this guide for these pixels. */
static fv_status run_tower(fv_term *t, const fv_model *m, int guide, const float *values)
{
    fv_plan *p = NULL;
    fv_ref pixels, layer = -1;
    FV_TRY(fv_plan_new(&p, m->engine->backend));
    fv_status s = FV_OK;
    if (add_tower(p, m, guide, &pixels) >= 0)
        s = fv_model_find_layer(m, p, t->layer, &guide, &layer);
    if (s >= 0) {
        if (t->kind == FV_TERM_UNLIKE) layer = fv_gram(p, "gram", layer);
        fv_plan_output(p, layer);
        s = fv_plan_finish(p, FV_PLAN_FORWARD);
    }
    if (s >= 0) {
        t->target_count = fv_count(fv_plan_shape(p, layer));
        t->target = malloc(t->target_count * sizeof *t->target);
        if (!t->target) s = fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    }
    if (s >= 0) s = fv_plan_upload(p, pixels, values);
    if (s >= 0) s = fv_plan_forward(p);
    if (s >= 0) s = fv_plan_download(p, layer, t->target);
    fv_plan_free(p);
    return s;
}

static fv_status read_text(fv_term *t, fv_model *m)
{
    t->target_count = (size_t)fv_model_dim(m);
    t->target = malloc(t->target_count * sizeof *t->target);
    if (!t->target) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    return fv_model_embed_text(m, t->text, t->target, NULL);
}

static fv_status read_target(fv_term *t, fv_model *m)
{
    float *values;
    size_t count;
    int guide = fv_model_guide_of(m, t->layer);
    if (t->kind == FV_TERM_TEXT) return read_text(t, m->guides[guide]);
    if (!t->file) return FV_OK;
    FV_TRY(fv_term_file_read(t, m->guides[guide], &values, &count));
    if (!is_picture(t)) {
        t->target = values;
        t->target_count = count;
        return FV_OK;
    }
    fv_status s = run_tower(t, m, guide, values);
    free(values);
    return s < 0 ? s : make_unit(t, t->kind == FV_TERM_UNLIKE ? -1 : 1);
}

fv_status fv_terms_read(fv_terms *out, fv_model *m, const char *text)
{
    fv_terms t;
    FV_TRY(fv_terms_parse(&t, text));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < t.count; i++) s = read_target(&t.at[i], m);
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
        if (x->kind != y->kind || x->reduce != y->reduce || x->channels != y->channels ||
            strcmp(x->layer, y->layer) != 0)
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

/* Its channels of the layer. */
static fv_ref gather(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    r->number = fv_plan_input(p, "channel", (fv_shape){1, 1, 1, t->channels}, FV_I32);
    return fv_gather_channels(p, "map", x, r->number);
}

static fv_ref build_direction(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    x = fv_l2norm(p, "direction", reduced(p, t, r, x), 1e-12);
    r->target = fv_plan_input(p, "wanted", (fv_shape){1, 1, 1, r->layer.c}, FV_REAL);
    return fv_linear(p, "cosine", x, r->target, FV_NONE, FV_ACT_NONE);
}

static fv_ref build_picture(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    if (t->kind == FV_TERM_UNLIKE) x = fv_gram(p, "gram", x);
    fv_shape s = fv_plan_shape(p, x);
    s.n = 1;
    r->target = fv_plan_input(p, "wanted", s, FV_REAL);
    return fv_cosine(p, "cosine", x, r->target, 1e-12);
}

static fv_ref build_one(fv_plan *p, const fv_term *t, fv_term_refs *r, fv_ref x)
{
    switch (t->kind) {
    case FV_TERM_CHANNEL:
        return reduced(p, t, r, gather(p, t, r, x));
    case FV_TERM_TEXT:
    case FV_TERM_VECTOR:
        return build_direction(p, t, r, x);
    case FV_TERM_LIKE:
    case FV_TERM_UNLIKE:
        return build_picture(p, t, r, x);
    case FV_TERM_LAYER:
        break;
    }
    if (t->reduce == FV_TERM_PLACE) x = one_place(p, r, x);
    if (t->channels) x = gather(p, t, r, x);
    return fv_penalise(p, "square", x, FV_PENALTY_SQUARE);
}

/* That a layer of this name and shape has what the term asks for. */
static fv_status check(const fv_term *t, const char *name, fv_shape s, int dim)
{
    if (t->channels && (t->channel >= s.c || t->channels > s.c - t->channel))
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

static fv_status check_vector(const fv_term *t, size_t count, const char *name, fv_shape s)
{
    if (t->kind != FV_TERM_VECTOR || count == (size_t)s.c) return FV_OK;
    return fv_fail(FV_ERR_SHAPE, "term %s: the file has %zu numbers, %s has %d channels", t->name,
                   count, name, s.c);
}

/* Before any target is read: that the file can be. */
static fv_status check_file(const fv_term *t, const fv_model *m, const char *name, fv_shape s)
{
    float *values;
    size_t count;
    if (!t->file) return FV_OK;
    FV_TRY(fv_term_file_read(t, m->guides[fv_model_guide_of(m, t->layer)], &values, &count));
    free(values);
    return check_vector(t, count, name, s);
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
    fv_status s = fv_model_towers(&p, m);
    for (int i = 0; s >= 0 && i < t->count; i++) {
        int dim;
        fv_ref layer;
        s = find(m, p, &t->at[i], &dim, &layer);
        if (s >= 0) s = check_file(&t->at[i], m, fv_plan_name(p, layer), fv_plan_shape(p, layer));
    }
    fv_plan_free(p);
    return s;
}

void fv_terms_build(fv_plan *p, fv_term_refs refs[FV_MAX_TERMS], const fv_terms *t,
                    const fv_model *m)
{
    for (int i = 0; i < t->count; i++) {
        const fv_term *term = &t->at[i];
        fv_term_refs *r = &refs[i];
        *r = (fv_term_refs){-1, -1, -1, -1, {0, 0, 0, 0}, 0};
        fv_ref x;
        fv_status s = find(m, p, term, &r->dim, &x);
        if (s >= 0)
            s = check_vector(term, term->target_count, fv_plan_name(p, x), fv_plan_shape(p, x));
        if (s < 0) {
            fv_plan_fail(p, s);
            return;
        }
        r->layer = fv_plan_shape(p, x);
        fv_plan_push(p, "term%d.", i);
        r->value = build_one(p, term, r, x);
        fv_plan_pop(p);
        fv_plan_output(p, r->value);
    }
}

static fv_status upload_channels(fv_plan *p, const fv_term_refs *r, const fv_term *t)
{
    int32_t *numbers = malloc((size_t)t->channels * sizeof *numbers);
    if (!numbers) return fv_fail(FV_ERR_MEMORY, "numbering channels: out of memory");
    for (int i = 0; i < t->channels; i++) numbers[i] = t->channel + i;
    fv_status s = fv_plan_upload_i32(p, r->number, numbers);
    free(numbers);
    return s;
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

fv_status fv_terms_upload(fv_plan *p, const fv_term_refs refs[FV_MAX_TERMS], const fv_terms *t)
{
    for (int i = 0; i < t->count; i++) {
        const fv_term_refs *r = &refs[i];
        FV_TRY(check(&t->at[i], t->at[i].layer, r->layer, r->dim));
        FV_TRY(check_vector(&t->at[i], t->at[i].target_count, t->at[i].layer, r->layer));
        if (r->number >= 0) FV_TRY(upload_channels(p, r, &t->at[i]));
        if (r->place >= 0) FV_TRY(upload_place(p, r, &t->at[i]));
        if (r->target >= 0) FV_TRY(fv_plan_upload(p, r->target, t->at[i].target));
    }
    return FV_OK;
}
