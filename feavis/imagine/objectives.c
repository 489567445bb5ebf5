/* Text, channels and penalties as outputs and seeds of a plan. See objectives.h. */
#include "feavis/imagine/objectives.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const fv_penalty_names[FV_PENALTIES] = {"tv", "range", "grey"};

static fv_status read_channels(fv_objectives *g, const fv_model *m)
{
    g->channel_numbers = calloc((size_t)g->channel_count + 1, sizeof *g->channel_numbers);
    if (!g->channel_numbers) return fv_fail(FV_ERR_MEMORY, "reading llp: out of memory");
    for (int i = 0; i < g->channel_count; i++) {
        char *end;
        long k = strtol(g->channels[i].name, &end, 10);
        if (end == g->channels[i].name || *end || k < 0 || k >= m->network->map_channels)
            return fv_fail(
                FV_ERR_ARGUMENT,
                "llp \"%.40s\": %s has channels 0 to %d in its last layer before pooling",
                g->channels[i].name, m->title, m->network->map_channels - 1);
        g->channel_numbers[i] = (int32_t)k;
    }
    return FV_OK;
}

static fv_status read_texts(fv_objectives *g, fv_model *m)
{
    size_t dim = (size_t)m->network->dim, count = (size_t)g->text_count;
    g->reports = calloc(count + 1, sizeof *g->reports);
    g->embeddings = calloc((count + 1) * dim, sizeof *g->embeddings);
    if (!g->reports || !g->embeddings)
        return fv_fail(FV_ERR_MEMORY, "reading texts: out of memory");
    for (size_t i = 0; i < count; i++)
        FV_TRY(fv_model_embed_text(m, g->texts[i].name, g->embeddings + i * dim, &g->reports[i]));
    return FV_OK;
}

static fv_status nothing(void)
{
    return fv_fail(FV_ERR_ARGUMENT,
                   "nothing to imagine: the text is empty, and neither llp nor term is given");
}

fv_status fv_objectives_read(fv_objectives *out, fv_model *m, const fv_options *o)
{
    fv_objectives g = {.penalty_weights = {(float)o->tv, (float)o->range, (float)o->grey}};
    fv_status s = fv_weighted_parse(&g.texts, &g.text_count, o->text, '|', "text");
    if (s >= 0) s = fv_weighted_parse(&g.channels, &g.channel_count, o->llp, ',', "llp");
    if (s >= 0) s = fv_terms_read(&g.terms, m, o->term);
    if (s >= 0 && g.text_count + g.channel_count + g.terms.count == 0) s = nothing();
    if (s >= 0) s = read_channels(&g, m);
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
    if (s >= 0 && g.channel_count + g.terms.count == 0 && !*o->text) s = nothing();
    if (s >= 0) s = read_channels(&g, m);
    if (s >= 0) s = fv_terms_check(&g.terms, m);
    fv_objectives_clear(&g);
    return s;
}

void fv_objectives_clear(fv_objectives *g)
{
    fv_weighted_free(g->texts, g->text_count);
    fv_weighted_free(g->channels, g->channel_count);
    free(g->reports);
    free(g->embeddings);
    free(g->channel_numbers);
    fv_terms_clear(&g->terms);
    *g = (fv_objectives){0};
}

bool fv_objectives_same_plan(const fv_objectives *a, const fv_objectives *b)
{
    for (int i = 0; i < FV_PENALTIES; i++)
        if ((a->penalty_weights[i] != 0) != (b->penalty_weights[i] != 0)) return false;
    return a->text_count == b->text_count && a->channel_count == b->channel_count &&
           fv_terms_same_plan(&a->terms, &b->terms);
}

void fv_objectives_build(fv_plan *p, fv_objective_refs *refs, const fv_objectives *g,
                         const fv_model *m, const fv_options *o, fv_ref views, fv_ref picture)
{
    static const fv_penalty kinds[FV_PENALTIES] = {FV_PENALTY_TV, FV_PENALTY_RANGE,
                                                   FV_PENALTY_GREY};
    *refs = (fv_objective_refs){.targets = -1,
                                .cosines = -1,
                                .numbers = -1,
                                .neurons = -1,
                                .views = o->views,
                                .dim = m->network->dim};
    fv_image_layers layers =
        fv_network_image(m->network, p, views, g->text_count + g->terms.count > 0);
    if (g->text_count) {
        refs->targets =
            fv_plan_input(p, "targets", (fv_shape){1, 1, g->text_count, m->network->dim}, FV_REAL);
        refs->cosines =
            fv_linear(p, "cosines", layers.embedding, refs->targets, FV_NONE, FV_ACT_NONE);
        fv_plan_output(p, refs->cosines);
    }
    if (g->channel_count) {
        refs->numbers =
            fv_plan_input(p, "llp.numbers", (fv_shape){1, 1, 1, g->channel_count}, FV_I32);
        fv_ref picked = fv_pick(p, "llp.maps", layers.map, refs->numbers);
        refs->neurons = o->llp_reduce ? fv_max_hw(p, "llp", picked) : fv_mean_hw(p, "llp", picked);
        fv_plan_output(p, refs->neurons);
    }
    fv_terms_build(p, refs->terms, &g->terms, refs->dim);
    for (int i = 0; i < FV_PENALTIES; i++) {
        refs->penalties[i] = -1;
        if (g->penalty_weights[i] == 0) continue;
        refs->penalties[i] = fv_penalise(p, fv_penalty_names[i], picture, kinds[i]);
        fv_plan_output(p, refs->penalties[i]);
    }
}

fv_status fv_objectives_upload(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g)
{
    if (refs->targets >= 0) FV_TRY(fv_plan_upload(p, refs->targets, g->embeddings));
    if (refs->numbers >= 0) FV_TRY(fv_plan_upload_i32(p, refs->numbers, g->channel_numbers));
    return fv_terms_upload(p, refs->terms, &g->terms, refs->dim);
}

/* Adds -weight * mean over views to the loss; parts: the means of the first `room` columns,
 * *all: the mean of all. */
static fv_status score_columns(fv_plan *p, fv_ref output, int views, const fv_weighted *columns,
                               int count, double *loss, float *parts, int room, float *all)
{
    size_t n = (size_t)views * (size_t)count;
    float *values = malloc(n * sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "scoring: out of memory");
    fv_status s = fv_plan_download(p, output, values);
    double total = 0;
    for (int k = 0; s >= 0 && k < count; k++) {
        double sum = 0;
        for (int v = 0; v < views; v++) sum += (double)values[v * count + k];
        sum /= views;
        if (k < room) parts[k] = (float)sum;
        total += sum;
        *loss -= (double)columns[k].weight * sum;
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
    if (refs->cosines >= 0) {
        FV_TRY(score_columns(p, refs->cosines, refs->views, g->texts, g->text_count, &loss,
                             out->parts, FV_MOST_PARTS, &unused));
        out->cosine = out->parts[0];
        n = g->text_count < FV_MOST_PARTS ? g->text_count : FV_MOST_PARTS;
    }
    if (refs->neurons >= 0) {
        FV_TRY(score_columns(p, refs->neurons, refs->views, g->channels, g->channel_count, &loss,
                             out->parts + n, FV_MOST_PARTS - n, &out->neuron));
        n += g->channel_count < FV_MOST_PARTS - n ? g->channel_count : FV_MOST_PARTS - n;
    }
    double all_terms = 0;
    for (int i = 0; i < g->terms.count; i++) {
        float value = 0;
        fv_weighted column = {.name = g->terms.at[i].name, .weight = g->terms.at[i].weight};
        FV_TRY(score_columns(p, refs->terms[i].value, refs->views, &column, 1, &loss, &value, 1,
                             &unused));
        all_terms += (double)value / g->terms.count;
        if (n < FV_MOST_PARTS) out->parts[n++] = value;
    }
    if (g->terms.count && refs->neurons < 0) out->neuron = (float)all_terms;
    for (int i = 0; i < FV_PENALTIES; i++) {
        float value;
        if (refs->penalties[i] < 0) continue;
        FV_TRY(fv_plan_download(p, refs->penalties[i], &value));
        loss += (double)g->penalty_weights[i] * (double)value;
        if (n < FV_MOST_PARTS) out->parts[n++] = value;
    }
    out->loss = (float)loss;
    *finite = isfinite(out->loss);
    return FV_OK;
}

static fv_status seed_columns(fv_plan *p, fv_ref output, int views, const fv_weighted *columns,
                              int count)
{
    size_t n = (size_t)views * (size_t)count;
    float *seed = malloc(n * sizeof *seed);
    if (!seed) return fv_fail(FV_ERR_MEMORY, "seeding: out of memory");
    for (size_t i = 0; i < n; i++) seed[i] = -columns[i % (size_t)count].weight / (float)views;
    fv_status s = fv_plan_seed(p, output, seed);
    free(seed);
    return s;
}

fv_status fv_objectives_seed(fv_plan *p, const fv_objective_refs *refs, const fv_objectives *g)
{
    if (refs->cosines >= 0)
        FV_TRY(seed_columns(p, refs->cosines, refs->views, g->texts, g->text_count));
    if (refs->neurons >= 0)
        FV_TRY(seed_columns(p, refs->neurons, refs->views, g->channels, g->channel_count));
    for (int i = 0; i < g->terms.count; i++) {
        fv_weighted column = {.name = g->terms.at[i].name, .weight = g->terms.at[i].weight};
        FV_TRY(seed_columns(p, refs->terms[i].value, refs->views, &column, 1));
    }
    for (int i = 0; i < FV_PENALTIES; i++)
        if (refs->penalties[i] >= 0)
            FV_TRY(fv_plan_seed(p, refs->penalties[i], &g->penalty_weights[i]));
    return FV_OK;
}
