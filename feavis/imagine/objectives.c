/* Text, channels and penalties as outputs of a plan, and their gradients. See objectives.h. */
#include "feavis/imagine/objectives.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/recipe.h"

const fv_penalty fv_penalty_kinds[FV_PENALTY_OPTIONS] = {
#define X(KIND, name) FV_PENALTY_##KIND,
    FV_PICTURE_PENALTIES(X)
#undef X
};

static fv_status read_channels(fv_objectives *g, const fv_model *m)
{
    g->channel_numbers = calloc((size_t)g->channel_count + 1, sizeof *g->channel_numbers);
    if (!g->channel_numbers) return fv_fail(FV_ERR_MEMORY, "reading llp: out of memory");
    for (int i = 0; i < g->channel_count; i++) {
        char *end;
        long k = strtol(g->channels[i].name, &end, 10);
        if (end == g->channels[i].name || *end)
            return fv_fail(FV_ERR_ARGUMENT,
                           "llp \"%.40s\" is not understood, expected channels of 0 to %d such as "
                           "108 or 108,456:0.5; neuron on its command line takes a range, too, "
                           "such as 0-63, the lower first",
                           g->channels[i].name, m->network->map_channels - 1);
        if (k < 0 || k >= m->network->map_channels)
            return fv_fail(
                FV_ERR_ARGUMENT,
                "llp \"%.40s\": %s has channels 0 to %d in its last layer before pooling",
                g->channels[i].name, m->title, m->network->map_channels - 1);
        g->channel_numbers[i] = (int32_t)k;
    }
    return FV_OK;
}

/* Text i as guide k is asked for it. */
static fv_status embed_text(fv_objectives *g, size_t k, size_t i, fv_model *guide)
{
    float *row = g->embeddings[k] + i * (size_t)guide->network->dim;
    FV_TRY(fv_model_embed_text(guide, g->texts[i].name, row,
                               &g->reports[k * (size_t)g->text_count + i]));
    if (g->plausible.of[k] && g->plausible.moves) fv_gap_move(&g->plausible.gap, row);
    return FV_OK;
}

static fv_status read_texts(fv_objectives *g, fv_model *m)
{
    size_t count = (size_t)g->text_count, guides = (size_t)m->guide_count;
    g->reports = calloc(guides * count + 1, sizeof *g->reports);
    if (!g->reports) return fv_fail(FV_ERR_MEMORY, "reading texts: out of memory");
    for (size_t k = 0; k < guides; k++) {
        fv_model *guide = m->guides[k];
        size_t dim = (size_t)guide->network->dim;
        g->embeddings[k] = calloc((count + 1) * dim, sizeof *g->embeddings[k]);
        if (!g->embeddings[k]) return fv_fail(FV_ERR_MEMORY, "reading texts: out of memory");
        for (size_t i = 0; i < count; i++) FV_TRY(embed_text(g, k, i, guide));
    }
    return FV_OK;
}

/* Without folders: a state or a recipe may have found the same files elsewhere, and what is in them
 * the fingerprint says. */
static fv_status parse_names(fv_guides *out, const char *guide)
{
    char *names;
    FV_TRY(fv_recipe_guides(&names, guide, false));
    fv_status s = fv_guides_parse(out, names);
    free(names);
    return s;
}

/* The models stay those that were opened; weights may differ. */
static fv_status weigh_by_names(fv_objectives *g, const fv_model *m, const char *text)
{
    fv_guides asked = {.count = 0}, opened = {.count = 0};
    fv_status s = parse_names(&asked, text);
    if (s >= 0) s = parse_names(&opened, m->opened->guide);
    if (s >= 0 && !fv_guides_same(&asked, &opened))
        s = fv_fail(FV_ERR_ARGUMENT, "guide is \"%.200s\", the model was opened with \"%.200s\"",
                    text, m->opened->guide);
    for (int i = 0; s >= 0 && i < asked.count; i++) g->guide_weights[i] = asked.at[i].weight;
    fv_guides_clear(&asked);
    fv_guides_clear(&opened);
    return s;
}

static fv_status read_guides(fv_objectives *g, const fv_model *m, const fv_options *o)
{
    int count;
    g->guide_count = m->guide_count;
    g->guide_weights[0] = 1;
    if (*o->guide || m->guide_count > 1) FV_TRY(weigh_by_names(g, m, o->guide));
    if (!*o->guide_weights) return FV_OK;
    FV_TRY(fv_guides_weights(g->guide_weights, &count, o->guide_weights));
    return count == m->guide_count
               ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT, "guide-weights has %d numbers for %d models", count,
                         m->guide_count);
}

static fv_status nothing(void)
{
    return fv_fail(FV_ERR_ARGUMENT,
                   "nothing to imagine: the text is empty, and neither llp, term nor at is given");
}

/* Places of weight 0 are looked at, and no more. */
static fv_status check_places(const fv_areas *a, int asked)
{
    bool any = asked > a->count || !a->count;
    for (int i = 0; i < a->count; i++) any = any || a->at[i].weight != 0;
    return any ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT,
                         "nothing to imagine: the weight of all that at names is 0, and neither "
                         "text, llp nor term is given");
}

fv_status fv_objectives_read(fv_objectives *out, fv_model *m, const fv_options *o)
{
#define X(KIND, name) (float)o->name,
    fv_objectives g = {.penalty_weights = {FV_PICTURE_PENALTIES(X)}};
#undef X
    fv_status s = fv_weighted_parse(&g.texts, &g.text_count, o->text, '|', "text");
    if (s >= 0) s = fv_weighted_parse(&g.channels, &g.channel_count, o->llp, ',', "llp");
    if (s >= 0) s = fv_terms_read(&g.terms, m, o->term);
    if (s >= 0) s = fv_own_terms_read(&g.own, o);
    if (s >= 0) s = fv_areas_read(&g.areas, m, o->at);
    int asked = g.text_count + g.channel_count + g.terms.count + g.own.count + g.areas.count;
    if (s >= 0 && asked == 0) s = nothing();
    if (s >= 0) s = read_channels(&g, m);
    if (s >= 0) s = read_guides(&g, m, o);
    if (s >= 0) s = fv_plausible_read(&g.plausible, m, o);
    if (s >= 0) s = read_texts(&g, m);
    if (s < 0)
        fv_objectives_clear(&g);
    else
        *out = g;
    return s;
}

fv_status fv_options_check_channels(const fv_options *o, const fv_model *m)
{
    fv_objectives g = {.text_count = 0};
    fv_status s = fv_weighted_parse(&g.channels, &g.channel_count, o->llp, ',', "llp");
    if (s >= 0) s = fv_terms_parse(&g.terms, o->term);
    if (s >= 0) s = fv_areas_parse(&g.areas, o->at);
    int asked = g.channel_count + g.terms.count + o->own_count + g.areas.count;
    if (s >= 0 && asked == 0 && !*o->text) s = nothing();
    if (s >= 0 && !*o->text) s = check_places(&g.areas, asked);
    if (s >= 0) s = read_channels(&g, m);
    if (s >= 0) s = fv_terms_check(&g.terms, m);
    if (s >= 0) s = fv_areas_check(&g.areas, m);
    fv_objectives_clear(&g);
    return s;
}

void fv_objectives_clear(fv_objectives *g)
{
    fv_weighted_free(g->texts, g->text_count);
    fv_weighted_free(g->channels, g->channel_count);
    free(g->reports);
    for (int i = 0; i < FV_MAX_GUIDES; i++) free(g->embeddings[i]);
    free(g->channel_numbers);
    fv_plausible_clear(&g->plausible);
    fv_terms_clear(&g->terms);
    fv_own_terms_clear(&g->own);
    fv_areas_clear(&g->areas);
    *g = (fv_objectives){0};
}

/* Whether the texts of guide i have a cosine past which nothing is gained. */
static bool stops(const fv_objectives *g, int i)
{
    return g->plausible.of[i] && g->plausible.stops;
}

bool fv_objectives_same_plan(const fv_objectives *a, const fv_objectives *b)
{
    for (int i = 0; i < FV_PENALTY_OPTIONS; i++)
        if ((a->penalty_weights[i] != 0) != (b->penalty_weights[i] != 0)) return false;
    for (int i = 0; i < FV_MAX_GUIDES; i++)
        if (stops(a, i) != stops(b, i)) return false;
    return a->text_count == b->text_count && a->channel_count == b->channel_count &&
           a->areas.count == b->areas.count && fv_terms_same_plan(&a->terms, &b->terms) &&
           fv_own_terms_same_plan(&a->own, &b->own);
}

bool fv_objectives_need(const fv_objectives *g, const fv_model *m, int i)
{
    bool needs = g->text_count || (i == 0 && g->channel_count + g->areas.count > 0);
    for (int t = 0; t < g->terms.count; t++)
        needs = needs || fv_model_guide_of(m, g->terms.at[t].layer) == i;
    for (int t = 0; t < g->own.count; t++)
        needs = needs || fv_model_guide_of(m, g->own.at[t].asked->layer) == i;
    return needs;
}

/* relu(sign * cosine + stop): with -1 and the stop, how much a text of positive weight falls short
 * of it; with 1 and 2, which is never cut, a text that is not wanted. */
static void build_shortfall(fv_plan *p, fv_objective_refs *refs, int i, int texts)
{
    fv_shape row = {1, 1, 1, texts};
    refs->signs[i] = fv_plan_input(p, "plausible.signs", row, FV_REAL);
    refs->stops[i] = fv_plan_input(p, "plausible.stops", row, FV_REAL);
    fv_ref away = fv_affine(p, "plausible.away", refs->cosines[i], refs->signs[i], refs->stops[i]);
    refs->shortfalls[i] = fv_activation(p, "plausible.shortfall", away, FV_ACT_RELU);
    fv_plan_output(p, refs->shortfalls[i]);
}

static void build_guide(fv_plan *p, fv_objective_refs *refs, const fv_objectives *g,
                        const fv_model *m, const fv_options *o, int i, fv_ref views)
{
    int dim = m->guides[i]->network->dim;
    fv_image_layers layers =
        fv_model_image(m, i, p, views, g->text_count + g->terms.count + g->own.count > 0);
    if (g->text_count) {
        refs->targets[i] =
            fv_plan_input(p, "targets", (fv_shape){1, 1, g->text_count, dim}, FV_REAL);
        refs->cosines[i] =
            fv_linear(p, "cosines", layers.embedding, refs->targets[i], FV_NONE, FV_ACT_NONE);
        fv_plan_output(p, refs->cosines[i]);
        if (stops(g, i)) build_shortfall(p, refs, i, g->text_count);
    }
    if (i == 0 && g->channel_count) {
        refs->numbers =
            fv_plan_input(p, "llp.numbers", (fv_shape){1, 1, 1, g->channel_count}, FV_I32);
        fv_ref gathered = fv_gather_channels(p, "llp.maps", layers.map, refs->numbers);
        refs->neurons =
            o->llp_reduce ? fv_max_hw(p, "llp", gathered) : fv_mean_hw(p, "llp", gathered);
        fv_plan_output(p, refs->neurons);
    }
    refs->maps[i] = layers.map;
}

_Static_assert((int)FV_MAX_GUIDES < (int)FV_MAX_SUBGRAPHS, "one for each guide, one for penalties");

void fv_objectives_build(fv_plan *p, fv_objective_refs *refs, const fv_objectives *g,
                         const fv_model *m, const fv_options *o, const fv_ref views[FV_MAX_GUIDES],
                         fv_ref picture)
{
    *refs = (fv_objective_refs){.numbers = -1, .neurons = -1, .views = o->views};
    for (int i = 0; i < FV_MAX_GUIDES; i++) {
        refs->targets[i] = refs->cosines[i] = -1;
        refs->signs[i] = refs->stops[i] = refs->shortfalls[i] = -1;
    }
    int guides = 0;
    for (int i = 0; i < m->guide_count; i++) {
        if (!fv_objectives_need(g, m, i)) continue;
        fv_plan_subgraph(p, ++guides);
        build_guide(p, refs, g, m, o, i, views[i]);
    }
    fv_plan_subgraph(p, 0); /* what follows belongs to the guide that it reads */
    fv_terms_build(p, refs->terms, &g->terms, m);
    fv_own_terms_build(p, refs->own, &g->own, m);
    fv_areas_build(p, refs->areas, &g->areas, m, refs->maps[0], o->views);
    if (guides > 1) fv_plan_subgraph(p, FV_MAX_GUIDES + 1);
    for (int i = 0; i < FV_PENALTY_OPTIONS; i++) {
        refs->penalties[i] = -1;
        if (g->penalty_weights[i] == 0) continue;
        fv_penalty kind = fv_penalty_kinds[i];
        refs->penalties[i] = fv_penalise(p, fv_penalties[kind].name, picture, kind);
        fv_plan_output(p, refs->penalties[i]);
    }
    fv_plan_subgraph(p, 0);
}

static fv_status upload_stops(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g,
                              int i)
{
    size_t n = (size_t)g->text_count;
    float *numbers = malloc(2 * n * sizeof *numbers);
    if (!numbers) return fv_fail(FV_ERR_MEMORY, "a plausible target: out of memory");
    for (size_t k = 0; k < n; k++) {
        bool wanted = g->texts[k].weight > 0;
        numbers[k] = wanted ? -1 : 1;
        numbers[n + k] = wanted ? g->plausible.stop : 2;
    }
    fv_status s = fv_plan_upload(p, refs->signs[i], numbers);
    if (s >= 0) s = fv_plan_upload(p, refs->stops[i], numbers + n);
    free(numbers);
    return s;
}

fv_status fv_objectives_upload(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g)
{
    for (int i = 0; i < g->guide_count; i++)
        if (refs->targets[i] >= 0) FV_TRY(fv_plan_upload(p, refs->targets[i], g->embeddings[i]));
    for (int i = 0; i < g->guide_count; i++)
        if (refs->stops[i] >= 0) FV_TRY(upload_stops(p, refs, g, i));
    if (refs->numbers >= 0) FV_TRY(fv_plan_upload_i32(p, refs->numbers, g->channel_numbers));
    FV_TRY(fv_areas_upload(p, refs->areas, &g->areas));
    return fv_terms_upload(p, refs->terms, &g->terms);
}

/* Adds -weight * share * mean over views to the loss, values of positive weight up to `most` alone;
 * parts: the means of the first `room` columns, *all: the mean of all. */
static fv_status score_columns(fv_plan *p, fv_ref output, int views, const fv_weighted *columns,
                               int count, float share, float most, double *loss, float *parts,
                               int room, float *all)
{
    size_t n = (size_t)views * (size_t)count;
    float *values = malloc(n * sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "scoring: out of memory");
    fv_status s = fv_plan_download(p, output, values);
    double total = 0;
    for (int k = 0; s >= 0 && k < count; k++) {
        double sum = 0, counted = 0;
        float end = columns[k].weight > 0 ? most : HUGE_VALF;
        for (int v = 0; v < views; v++) {
            float value = values[v * count + k];
            sum += (double)value;
            counted += (double)(value > end ? end : value);
        }
        sum /= views;
        if (k < room) parts[k] = (float)sum;
        total += sum;
        *loss -= (double)(share * columns[k].weight) * (counted / views);
    }
    *all = (float)(total / count);
    free(values);
    return s;
}

fv_status fv_objectives_scores(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g,
                               fv_scores *out, bool *finite)
{
    float unused;
    double loss = 0;
    int n = 0; /* parts so far */
    *out = (fv_scores){.loss = NAN, .cosine = NAN, .neuron = NAN};
    for (int i = 0; i < g->guide_count; i++) {
        if (refs->cosines[i] < 0) continue;
        FV_TRY(score_columns(p, refs->cosines[i], refs->views, g->texts, g->text_count,
                             g->guide_weights[i], stops(g, i) ? g->plausible.stop : HUGE_VALF,
                             &loss, out->parts + n, FV_MAX_PARTS - n, &unused));
        if (i == 0) out->cosine = out->parts[0];
        n += g->text_count < FV_MAX_PARTS - n ? g->text_count : FV_MAX_PARTS - n;
    }
    if (refs->neurons >= 0) {
        FV_TRY(score_columns(p, refs->neurons, refs->views, g->channels, g->channel_count, 1,
                             HUGE_VALF, &loss, out->parts + n, FV_MAX_PARTS - n, &out->neuron));
        n += g->channel_count < FV_MAX_PARTS - n ? g->channel_count : FV_MAX_PARTS - n;
    }
    double all_terms = 0;
    for (int i = 0; i < g->terms.count; i++) {
        float value = 0;
        fv_weighted column = {.name = g->terms.at[i].name, .weight = g->terms.at[i].weight};
        FV_TRY(score_columns(p, refs->terms[i].value, refs->views, &column, 1, 1, HUGE_VALF, &loss,
                             &value, 1, &unused));
        all_terms += (double)value / (g->terms.count + g->own.count);
        if (n < FV_MAX_PARTS) out->parts[n++] = value;
    }
    for (int i = 0; i < g->own.count; i++) {
        float value = 0;
        FV_TRY(fv_own_term_score(p, refs->own[i], &g->own.at[i], &value));
        loss -= (double)g->own.at[i].asked->weight * (double)value;
        all_terms += (double)value / (g->terms.count + g->own.count);
        if (n < FV_MAX_PARTS) out->parts[n++] = value;
    }
    double all_areas = 0;
    for (int i = 0; i < g->areas.count; i++) {
        float value = 0;
        FV_TRY(fv_area_score(p, &refs->areas[i], &g->areas.at[i], refs->views, &value, &loss));
        all_areas += (double)value / g->areas.count;
        if (n < FV_MAX_PARTS) out->parts[n++] = value;
    }
    if (g->areas.count && g->text_count == 0) out->cosine = (float)all_areas;
    if (g->terms.count + g->own.count && refs->neurons < 0) out->neuron = (float)all_terms;
    for (int i = 0; i < FV_PENALTY_OPTIONS; i++) {
        float value;
        if (refs->penalties[i] < 0) continue;
        FV_TRY(fv_plan_download(p, refs->penalties[i], &value));
        loss += (double)g->penalty_weights[i] * (double)value;
        if (n < FV_MAX_PARTS) out->parts[n++] = value;
    }
    out->loss = (float)loss;
    *finite = isfinite(out->loss);
    return FV_OK;
}

static fv_status column_gradients(fv_plan *p, fv_ref output, int views, const fv_weighted *columns,
                                  int count, float share)
{
    size_t n = (size_t)views * (size_t)count;
    float *gradient = malloc(n * sizeof *gradient);
    if (!gradient) return fv_fail(FV_ERR_MEMORY, "weighing objectives: out of memory");
    for (size_t i = 0; i < n; i++)
        gradient[i] = -(share * columns[i % (size_t)count].weight) / (float)views;
    fv_status s = fv_plan_output_gradient(p, output, gradient);
    free(gradient);
    return s;
}

/* Of a shortfall it is upwards that is worse, of what is not wanted too. */
static fv_status text_gradients(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g,
                                int i)
{
    float share = g->guide_weights[i];
    if (refs->shortfalls[i] < 0)
        return column_gradients(p, refs->cosines[i], refs->views, g->texts, g->text_count, share);
    size_t texts = (size_t)g->text_count, n = (size_t)refs->views * texts;
    float *gradient = malloc(n * sizeof *gradient);
    if (!gradient) return fv_fail(FV_ERR_MEMORY, "weighing objectives: out of memory");
    for (size_t k = 0; k < n; k++)
        gradient[k] = share * fabsf(g->texts[k % texts].weight) / (float)refs->views;
    fv_status s = fv_plan_output_gradient(p, refs->shortfalls[i], gradient);
    free(gradient);
    return s;
}

fv_status fv_objectives_output_gradients(fv_plan *p, const fv_objective_refs *refs,
                                         const fv_objectives *g)
{
    for (int i = 0; i < g->guide_count; i++)
        if (refs->cosines[i] >= 0) FV_TRY(text_gradients(p, refs, g, i));
    if (refs->neurons >= 0)
        FV_TRY(column_gradients(p, refs->neurons, refs->views, g->channels, g->channel_count, 1));
    for (int i = 0; i < g->terms.count; i++) {
        fv_weighted column = {.name = g->terms.at[i].name, .weight = g->terms.at[i].weight};
        FV_TRY(column_gradients(p, refs->terms[i].value, refs->views, &column, 1, 1));
    }
    for (int i = 0; i < g->own.count; i++)
        FV_TRY(fv_own_term_output_gradient(p, refs->own[i], &g->own.at[i]));
    for (int i = 0; i < g->areas.count; i++)
        FV_TRY(fv_area_gradient(p, &refs->areas[i], &g->areas.at[i], refs->views));
    for (int i = 0; i < FV_PENALTY_OPTIONS; i++)
        if (refs->penalties[i] >= 0)
            FV_TRY(fv_plan_output_gradient(p, refs->penalties[i], &g->penalty_weights[i]));
    return FV_OK;
}
