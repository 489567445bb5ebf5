/* Objectives: what the picture is asked to become, as outputs of the plan.
 *
 *   text     cosine of every view's embedding with every text, {views,1,1,texts}, one output for
 *            each guide; weight up
 *   llp      channels of the first guide's last layer before pooling, mean or max over
 *            positions, {views,1,1,channels}; weight up
 *   at       cosine of texts with parts of the picture (areas.h), {views,1,1,1} each; weight up
 *   term     any layer of the image tower (terms.h), {views,1,1,1} each; weight up
 *   own      any layer, and a function of the caller's (own_terms.h); weight up
 *   tv, range, grey   penalties of the picture, {1,1,1,1}; weight down
 *
 * With the option plausible (plausible.h) a text is moved, and its cosine counts up to a stop.
 *
 * loss = - sum over guides and texts of both weights * mean over views of cosine
 *        - (the same for channels and terms) + sum of weight * penalty. Weights live in the
 * outputs' gradients of backward and text embeddings in an input, so both may change between two
 * steps; only another number of texts or channels makes a new plan. */
#ifndef FV_OBJECTIVES_H
#define FV_OBJECTIVES_H

#include "feavis/imagine/areas.h"
#include "feavis/imagine/own_terms.h"
#include "feavis/imagine/plausible.h"
#include "feavis/imagine/terms.h"
#include "feavis/loss.h"

/* The penalties that are options, by their kinds and names there. */
#define FV_PICTURE_PENALTIES(X) X(TV, tv) X(RANGE, range) X(GREY, grey)
#define FV_ONE_MORE(KIND, name) +1
enum { FV_PENALTY_OPTIONS = FV_PICTURE_PENALTIES(FV_ONE_MORE) };
extern const fv_penalty fv_penalty_kinds[FV_PENALTY_OPTIONS];

typedef struct fv_objectives {
    fv_weighted *texts, *channels;
    int text_count, channel_count;
    int guide_count;
    float guide_weights[FV_MAX_GUIDES];
    fv_text_report *reports;          /* [guide_count][text_count] */
    float *embeddings[FV_MAX_GUIDES]; /* [text_count * dim] of that guide */
    fv_plausible plausible;
    int32_t *channel_numbers;
    fv_terms terms;
    fv_own_terms own;
    fv_areas areas;
    float penalty_weights[FV_PENALTY_OPTIONS];
} fv_objectives;

/* Reads texts and channels of the options and embeds the texts. Nothing asked for is an error. */
fv_status fv_objectives_read(fv_objectives *out, fv_model *m, const fv_options *o);
void fv_objectives_clear(fv_objectives *g);
/* The same ops serve both. */
bool fv_objectives_same_plan(const fv_objectives *a, const fv_objectives *b);

typedef struct fv_objective_refs {
    fv_ref targets[FV_MAX_GUIDES], cosines[FV_MAX_GUIDES]; /* -1 without text */
    /* of a guide whose texts are plausible: see build_shortfall; else -1 */
    fv_ref signs[FV_MAX_GUIDES], stops[FV_MAX_GUIDES], shortfalls[FV_MAX_GUIDES];
    fv_ref maps[FV_MAX_GUIDES];
    fv_ref numbers, neurons; /* -1 without channels */
    fv_term_refs terms[FV_MAX_TERMS];
    fv_ref own[FV_MAX_OWN_TERMS];
    fv_area_refs areas[FV_MAX_AREAS];
    fv_ref penalties[FV_PENALTY_OPTIONS]; /* -1 where the weight is 0 */
    int views;
} fv_objective_refs;

/* views {v,S,S,3} in [0,1] for each guide, and picture {1,C,C,3} -> outputs. */
void fv_objectives_build(fv_plan *p, fv_objective_refs *refs, const fv_objectives *g,
                         const fv_model *m, const fv_options *o, const fv_ref views[FV_MAX_GUIDES],
                         fv_ref picture);
/* Whether guide i has anything to look at the picture for. */
bool fv_objectives_need(const fv_objectives *g, const fv_model *m, int i);
/* After fv_plan_finish, and whenever texts or channels changed. */
fv_status fv_objectives_upload(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g);

typedef struct fv_scores {
    float loss, cosine,
        neuron;                /* the first guide's cosine of the first text, else of the
                                  places; mean of the channels, else of the terms; NAN where there is none */
    float parts[FV_MAX_PARTS]; /* texts of each guide, channels, terms, places, penalties: the
                                   first so many values */
} fv_scores;

/* After forward: reads the outputs. *finite false: a NaN or infinity among them. */
fv_status fv_objectives_scores(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g,
                               fv_scores *out, bool *finite);
/* Before backward. */
fv_status fv_objectives_output_gradients(fv_plan *p, const fv_objective_refs *refs,
                                         const fv_objectives *g);

#endif
