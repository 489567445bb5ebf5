/* What the layers of the image tower hold of a picture: the channels that are most active in it, at
 * a place of it, or that a text asks for. See feavis/critic.h.
 *
 *   pixels {1,S,S,3} -> normalised -> layer {1,H,W,C}, no further */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/inspect/critic_inside.h"
#include "feavis/top.h"
#include "kernels/rng.h"

enum { BASE_PICTURES = 4 };

/* --- one layer --- */

/* Of tokens the square that the last of them are: those that are no place (a class, the whole) come
 * first. */
static void places_in(fv_shape s, int *rows, int *columns)
{
    int side = 1;
    while ((side + 1) * (side + 1) <= s.w) side++;
    *rows = s.h == 1 ? side : s.h;
    *columns = s.h == 1 ? side : s.w;
}

static int positions_of(const fv_eye *e)
{
    return e->shape.h * e->shape.w;
}

/* The first number of the places. */
static const float *places(const fv_eye *e)
{
    return e->values + (size_t)(positions_of(e) - e->rows * e->columns) * (size_t)e->channels;
}

fv_status fv_eye_ready(fv_eye *e)
{
    fv_shape s = e->shape = fv_plan_shape(e->plan, e->map);
    places_in(s, &e->rows, &e->columns);
    e->channels = s.c;
    e->values = malloc(fv_count(s) * sizeof *e->values);
    return e->values ? FV_OK : fv_fail(FV_ERR_MEMORY, "looking at a layer: out of memory");
}

void fv_eye_clear(fv_eye *e)
{
    fv_plan_free(e->plan);
    free(e->name);
    free(e->values);
    free(e->base_mean);
    free(e->base_spread);
    *e = (fv_eye){0};
}

fv_status fv_eye_look(fv_eye *e, const float *pixels)
{
    FV_TRY(fv_plan_upload(e->plan, e->pixels, pixels));
    FV_TRY(fv_plan_forward(e->plan));
    return fv_plan_download(e->plan, e->map, e->values);
}

/* The whole tower without memory for its values. */
static fv_status open_tower(const fv_critic *c, fv_plan **out, fv_ref *pixels, fv_ref *map)
{
    FV_TRY(fv_plan_new(out, c->model->engine->backend));
    *pixels = fv_plan_input(*out, "pixels", (fv_shape){1, c->side, c->side, 3}, FV_REAL);
    fv_image_layers layers = fv_network_image(c->model->network, *out, *pixels, true);
    *map = layers.map;
    return layers.embedding < 0 ? fv_plan_finish(*out, FV_PLAN_FORWARD) : FV_OK;
}

/* --- choosing --- */

static fv_status open_eye(const fv_critic *c, const char *layer, fv_eye *e)
{
    fv_ref last;
    FV_TRY(open_tower(c, &e->plan, &e->pixels, &last));
    FV_TRY(fv_plan_find_layer(e->plan, layer, &e->map));
    fv_plan_output(e->plan, e->map);
    FV_TRY(fv_plan_finish(e->plan, FV_PLAN_FORWARD));
    e->name = strdup(layer);
    if (!e->name) return fv_fail(FV_ERR_MEMORY, "choosing a layer: out of memory");
    return fv_eye_ready(e);
}

fv_status fv_critic_choose(fv_critic *c, const char *layer)
{
    fv_eye e = {0};
    if (!layer || !*layer) {
        c->at = &c->last;
        return FV_OK;
    }
    if (!c->chosen.name || strcmp(c->chosen.name, layer) != 0) {
        fv_status s = open_eye(c, layer, &e);
        if (s < 0) {
            fv_eye_clear(&e);
            return s;
        }
        fv_eye_clear(&c->chosen);
        c->chosen = e;
    }
    c->at = &c->chosen;
    return FV_OK;
}

fv_map fv_critic_chosen(const fv_critic *c)
{
    const fv_eye *e = c->at;
    return (fv_map){e->name ? e->name : "", e->rows, e->columns, e->channels};
}

/* Whether `name` stands within the block that another name is of. */
static bool is_within(const char *name, const char *block)
{
    size_t n = strlen(block);
    return strncmp(name, block, n) == 0 && name[n] == '.';
}

/* Second names are those of blocks; what is inside of one is not listed, nor one that ends with
 * another inside of it. */
static bool is_listed(const fv_plan *p, const char *name, fv_ref r)
{
    const char *other;
    fv_ref o;
    bool block = strcmp(name, fv_plan_name(p, r)) != 0;
    for (int i = 0; fv_plan_layer(p, i, &other, &o); i++) {
        if (strcmp(other, fv_plan_name(p, o)) == 0) continue;
        if (block ? o == r && is_within(other, name) : o == r || is_within(name, other))
            return false;
    }
    return true;
}

/* The shortest end of a name that is enough and begins with a letter. */
static const char *shortened(const fv_plan *p, const char *name, fv_ref r)
{
    for (const char *dot; (dot = strchr(name, '.')); name = dot + 1) {
        fv_ref same;
        bool letter = dot[1] > '9';
        if (!letter || fv_plan_find_layer(p, dot + 1, &same) < 0 || same != r) break;
    }
    return name;
}

typedef struct listed {
    fv_ref r;
    const char *name; /* of the plan */
} listed;

static int by_depth(const void *a, const void *b)
{
    const listed *x = a, *y = b;
    return (x->r > y->r) - (x->r < y->r);
}

/* Those of `all` [count], and their names behind them; the last map at the end. */
static fv_status keep_layers(fv_critic *c, const fv_plan *p, const listed *all, int count)
{
    size_t bytes = ((size_t)count + 1) * sizeof *c->layers, room = bytes;
    for (int i = 0; i < count; i++) room += strlen(all[i].name) + 1;
    fv_map *layers = malloc(room);
    if (!layers) return fv_fail(FV_ERR_MEMORY, "listing layers: out of memory");
    char *names = (char *)layers + bytes;
    for (int i = 0; i < count; i++) {
        fv_shape s = fv_plan_shape(p, all[i].r);
        layers[i] = (fv_map){.name = names, .channels = s.c};
        places_in(s, &layers[i].rows, &layers[i].columns);
        strcpy(names, all[i].name);
        names += strlen(names) + 1;
    }
    layers[count] = (fv_map){"", c->last.rows, c->last.columns, c->last.channels};
    c->layers = layers;
    c->layer_count = count + 1;
    return FV_OK;
}

static fv_status list_layers(fv_critic *c, const fv_plan *p, fv_ref last)
{
    const char *name;
    fv_ref r;
    int all = 0, count = 0;
    while (fv_plan_layer(p, all, &name, &r)) all++;
    listed *found = malloc(((size_t)all + 1) * sizeof *found);
    if (!found) return fv_fail(FV_ERR_MEMORY, "listing layers: out of memory");
    for (int i = 0; fv_plan_layer(p, i, &name, &r); i++)
        if (r != last && fv_plan_shape(p, r).c > 3 && is_listed(p, name, r))
            found[count++] = (listed){r, shortened(p, name, r)};
    qsort(found, (size_t)count, sizeof *found, by_depth);
    fv_status s = keep_layers(c, p, found, count);
    free(found);
    return s;
}

fv_status fv_critic_layers(fv_critic *c, const fv_map **out, int *count)
{
    fv_plan *p = NULL;
    fv_ref pixels, last;
    fv_status s = FV_OK;
    if (!c->layers) {
        s = open_tower(c, &p, &pixels, &last);
        if (s >= 0) s = list_layers(c, p, last);
        fv_plan_free(p);
    }
    if (s < 0) return s;
    *out = c->layers;
    *count = c->layer_count;
    return FV_OK;
}

/* --- channels of the chosen layer --- */

fv_status fv_critic_activation(fv_critic *c, const fv_picture *p, int channel, float *out)
{
    const fv_eye *e = c->at;
    if (channel < 0 || channel >= e->channels)
        return fv_fail(FV_ERR_ARGUMENT, "channel %d: there are 0 to %d", channel, e->channels - 1);
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(fv_eye_look(c->at, c->input));
    size_t count = (size_t)e->rows * (size_t)e->columns;
    for (size_t i = 0; i < count; i++)
        out[i] = places(e)[i * (size_t)e->channels + (size_t)channel];
    return FV_OK;
}

/* Mean over positions of each channel of what was just looked at. */
static void channel_means(const fv_eye *e, float *means)
{
    int positions = positions_of(e);
    memset(means, 0, (size_t)e->channels * sizeof *means);
    for (int i = 0; i < positions; i++)
        for (int k = 0; k < e->channels; k++)
            means[k] += e->values[(size_t)i * (size_t)e->channels + (size_t)k] / (float)positions;
}

/* Noise of 7 x 7 cells a colour, resized: smooth, coloured, of nothing. */
static void noise_picture(fv_critic *c, int which)
{
    enum { CELLS = 7 };
    uint8_t cells[CELLS * CELLS * 3];
    for (uint32_t i = 0; i < sizeof cells; i++)
        cells[i] = (uint8_t)(fv_philox(0, i, (uint32_t)which, 0, FV_STREAM_INIT).v[0] >> 24);
    fv_picture p = {CELLS, CELLS, cells};
    fv_picture_to_tensor(&p, c->side, c->input);
}

/* Some channels are high in every picture; what counts is how far above its usual one is. */
static fv_status need_base(fv_critic *c, fv_eye *e)
{
    if (e->base_mean) return FV_OK;
    size_t n = (size_t)e->channels;
    float *mean = calloc(n, sizeof *mean), *spread = calloc(n, sizeof *spread);
    float *one = malloc(n * sizeof *one);
    fv_status s =
        mean && spread && one ? FV_OK : fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    for (int i = 0; s >= 0 && i < BASE_PICTURES; i++) {
        noise_picture(c, i);
        s = fv_eye_look(e, c->input);
        if (s >= 0) channel_means(e, one);
        for (size_t k = 0; s >= 0 && k < n; k++) {
            mean[k] += one[k] / BASE_PICTURES;
            spread[k] += fabsf(one[k]) / BASE_PICTURES;
        }
    }
    free(one);
    if (s < 0) {
        free(mean);
        free(spread);
        return s;
    }
    e->base_mean = mean;
    e->base_spread = spread;
    return FV_OK;
}

/* The floor keeps channels that hardly ever fire from leading by a hair. */
static float usual(const fv_eye *e, int k)
{
    return e->base_spread[k] + 0.05f;
}

/* The channels that lead most, into `out` with room for *count. leads, means: [channels]. */
static fv_status take_best(const fv_eye *e, const float *leads, const float *means, fv_channel *out,
                           int *count)
{
    fv_hit *best = malloc((size_t)e->channels * sizeof *best);
    if (!best) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    *count = fv_top(leads, e->channels, 1, *count, best);
    for (int i = 0; i < *count; i++)
        out[i] = (fv_channel){best[i].index, means[best[i].index], best[i].score};
    free(best);
    return FV_OK;
}

/* Those that are furthest above what they usually are. */
static fv_status take_unusual(const fv_eye *e, const float *means, fv_channel *out, int *count)
{
    float *leads = malloc((size_t)e->channels * sizeof *leads);
    if (!leads) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    for (int k = 0; k < e->channels; k++) leads[k] = (means[k] - e->base_mean[k]) / usual(e, k);
    fv_status s = take_best(e, leads, means, out, count);
    free(leads);
    return s;
}

fv_status fv_critic_channels(fv_critic *c, const fv_picture *p, fv_channel *out, int *count)
{
    FV_TRY(need_base(c, c->at));
    float *means = malloc((size_t)c->at->channels * sizeof *means);
    if (!means) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    fv_status s = fv_model_look_at(c->model, p, c->input);
    if (s >= 0) s = fv_eye_look(c->at, c->input);
    if (s >= 0) channel_means(c->at, means);
    if (s >= 0) s = take_unusual(c->at, means, out, count);
    free(means);
    return s;
}

fv_status fv_critic_channels_at(fv_critic *c, const fv_picture *p, float x, float y,
                                fv_channel *out, int *count)
{
    const fv_eye *e = c->at;
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1))
        return fv_fail(FV_ERR_ARGUMENT, "position %g, %g is outside the picture", (double)x,
                       (double)y);
    FV_TRY(need_base(c, c->at));
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(fv_eye_look(c->at, c->input));
    int column = (int)(x * (float)e->columns), row = (int)(y * (float)e->rows);
    if (column >= e->columns) column = e->columns - 1;
    if (row >= e->rows) row = e->rows - 1;
    const float *here = places(e) + (size_t)(row * e->columns + column) * (size_t)e->channels;
    return take_unusual(e, here, out, count);
}

/* --- search by text --- */

static fv_status need_head(fv_critic *c)
{
    if (c->head) return FV_OK;
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, c->model->engine->backend));
    c->head_map = fv_plan_param(p, "map", c->last.shape);
    c->head_embedding = fv_network_head(c->model->network, p, c->head_map);
    fv_plan_output(p, c->head_embedding);
    fv_status s = fv_plan_finish(p, FV_PLAN_BACKWARD);
    if (s < 0)
        fv_plan_free(p);
    else
        c->head = p;
    return s;
}

/* Adds d cosine / d channel, all positions together, at the map of `pixels` to gains. */
static fv_status add_gains(fv_critic *c, const float *pixels, const float *text, float *gains)
{
    fv_eye *e = &c->last;
    size_t positions = (size_t)positions_of(e), n = (size_t)e->channels;
    FV_TRY(fv_eye_look(e, pixels));
    FV_TRY(fv_plan_block_upload(c->head, FV_BLOCK_VALUE, e->values));
    FV_TRY(fv_plan_forward(c->head));
    FV_TRY(fv_plan_output_gradient(c->head, c->head_embedding, text));
    FV_TRY(fv_plan_backward(c->head));
    FV_TRY(fv_plan_download_gradient(c->head, c->head_map, e->values));
    for (size_t i = 0; i < positions; i++)
        for (size_t k = 0; k < n; k++) gains[k] += e->values[i * n + k];
    return FV_OK;
}

fv_status fv_critic_search(fv_critic *c, const char *text, const fv_picture *p, fv_channel *out,
                           int *count)
{
    int pictures = p ? 1 : BASE_PICTURES;
    const fv_eye *e = &c->last;
    FV_TRY(need_base(c, &c->last));
    FV_TRY(need_head(c));
    float *target = malloc((size_t)c->dim * sizeof *target);
    float *gains = calloc((size_t)e->channels, sizeof *gains);
    fv_status s =
        target && gains ? FV_OK : fv_fail(FV_ERR_MEMORY, "searching channels: out of memory");
    if (s >= 0) s = fv_model_embed_text(c->model, text, target, NULL);
    for (int i = 0; s >= 0 && i < pictures; i++) {
        if (p)
            s = fv_model_look_at(c->model, p, c->input);
        else
            noise_picture(c, i);
        if (s >= 0) s = add_gains(c, c->input, target, gains);
    }
    for (int k = 0; s >= 0 && k < e->channels; k++)
        gains[k] = gains[k] * usual(e, k) / (float)pictures;
    if (s >= 0) s = take_best(e, gains, e->base_mean, out, count);
    free(target);
    free(gains);
    return s;
}

/* --- what each channel does to the embedding --- */

enum { PULLS = 32 }; /* numbers of the embedding, a run */

/* The head for PULLS maps, which are one and the same: row i gives the gradient of a number. */
typedef struct pull_plan {
    fv_plan *plan;
    fv_ref map, embedding;
    float *maps, *seeds; /* [PULLS][positions][channels]; [PULLS][dim] */
} pull_plan;

static void clear_pulls(pull_plan *q)
{
    fv_plan_free(q->plan);
    free(q->maps);
    free(q->seeds);
}

static fv_status open_pulls(pull_plan *q, const fv_critic *c)
{
    fv_shape s = c->last.shape;
    s.n = PULLS;
    FV_TRY(fv_plan_new(&q->plan, c->model->engine->backend));
    q->map = fv_plan_param(q->plan, "map", s);
    q->embedding = fv_network_head(c->model->network, q->plan, q->map);
    fv_plan_output(q->plan, q->embedding);
    q->maps = malloc(fv_count(s) * sizeof *q->maps);
    q->seeds = malloc((size_t)PULLS * (size_t)c->dim * sizeof *q->seeds);
    if (!q->maps || !q->seeds) return fv_fail(FV_ERR_MEMORY, "pulls of channels: out of memory");
    return fv_plan_finish(q->plan, FV_PLAN_BACKWARD);
}

/* Adds d embedding[first ..] / d channel, all positions together, to out [channels][dim]. */
static fv_status add_pulls(pull_plan *q, const fv_critic *c, int first, float *out)
{
    size_t n = (size_t)c->last.channels, dim = (size_t)c->dim;
    size_t positions = (size_t)positions_of(&c->last), one = positions * n;
    for (size_t i = 0; i < PULLS; i++)
        memcpy(q->maps + i * one, c->last.values, one * sizeof *q->maps);
    memset(q->seeds, 0, PULLS * dim * sizeof *q->seeds);
    for (int i = 0; i < PULLS && first + i < c->dim; i++)
        q->seeds[(size_t)i * dim + (size_t)(first + i)] = 1;
    FV_TRY(fv_plan_upload(q->plan, q->map, q->maps));
    FV_TRY(fv_plan_forward(q->plan));
    FV_TRY(fv_plan_output_gradient(q->plan, q->embedding, q->seeds));
    FV_TRY(fv_plan_backward(q->plan));
    FV_TRY(fv_plan_download_gradient(q->plan, q->map, q->maps));
    for (size_t i = 0; i < PULLS && (size_t)first + i < dim; i++)
        for (size_t at = 0; at < positions; at++)
            for (size_t k = 0; k < n; k++)
                out[k * dim + (size_t)first + i] += q->maps[i * one + at * n + k];
    return FV_OK;
}

fv_status fv_critic_pulls(fv_critic *c, float *out)
{
    pull_plan q = {0};
    fv_eye *e = &c->last;
    size_t dim = (size_t)c->dim;
    FV_TRY(need_base(c, e));
    memset(out, 0, (size_t)e->channels * dim * sizeof *out);
    fv_status s = open_pulls(&q, c);
    for (int i = 0; s >= 0 && i < BASE_PICTURES; i++) {
        noise_picture(c, i);
        s = fv_eye_look(e, c->input);
        for (int d = 0; s >= 0 && d < c->dim; d += PULLS) s = add_pulls(&q, c, d, out);
    }
    clear_pulls(&q);
    for (int k = 0; s >= 0 && k < e->channels; k++)
        for (size_t d = 0; d < dim; d++)
            out[(size_t)k * dim + d] *= usual(e, k) / (float)BASE_PICTURES;
    return s;
}
