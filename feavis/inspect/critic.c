/* A second look at a picture, apart from the session that made it: its embedding, whether what
 * the model sees survives a blur and views nobody trained on, and what its last map holds.
 * See feavis.h.
 *
 *   pixels {1,S,S,3} -> normalised -> map {1,H,W,C} -> embedding {1,1,1,D}, forward only */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/critic.h"
#include "feavis/imagine/model.h"
#include "feavis/imagine/views.h"
#include "feavis/model.h"
#include "feavis/picture.h"
#include "feavis/session.h"
#include "feavis/top.h"
#include "kernels/rng.h"

enum { UNSEEN = 2, BASE_PICTURES = 4 };

struct fv_critic {
    fv_model *model;
    fv_plan *plan;
    fv_ref pixels, map, embedding;
    int side, channels, dim;
    fv_shape shape;                 /* of the map */
    int map_side;                   /* of the square that its last positions are */
    float *input;                   /* [side * side * 3] */
    float *maps, *vector;           /* [positions * channels], [dim] */
    float *base_mean, *base_spread; /* [channels], of smooth noise; NULL until needed */
    fv_plan *head;                  /* map -> embedding and back; NULL until needed */
    fv_ref head_map, head_embedding;
};

/* --- open, close --- */

/* A map of tokens has those that are no place (a class) first. */
static int square_in(fv_shape map)
{
    int side = 1;
    while ((side + 1) * (side + 1) <= map.h * map.w) side++;
    return side;
}

static int positions_of(const fv_critic *c)
{
    return c->shape.h * c->shape.w;
}

/* The first number of the square, in what has the map's shape. */
static const float *places(const fv_critic *c)
{
    int before = positions_of(c) - c->map_side * c->map_side;
    return c->maps + (size_t)before * (size_t)c->channels;
}

static fv_status build(fv_critic *c)
{
    FV_TRY(fv_plan_new(&c->plan, c->model->engine->backend));
    fv_plan *p = c->plan;
    c->pixels = fv_plan_input(p, "pixels", (fv_shape){1, c->side, c->side, 3}, FV_REAL);
    fv_image_layers layers = fv_network_image(c->model->network, p, c->pixels, true);
    c->map = layers.map;
    c->embedding = layers.embedding;
    fv_plan_output(p, c->map);
    fv_plan_output(p, c->embedding);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    fv_shape map = c->shape = fv_plan_shape(p, c->map);
    c->map_side = square_in(map);
    c->channels = map.c;
    size_t n = (size_t)c->side * (size_t)c->side * 3;
    c->input = malloc(n * sizeof *c->input);
    c->maps = malloc(fv_count(map) * sizeof *c->maps);
    c->vector = malloc((size_t)c->dim * sizeof *c->vector);
    return c->input && c->maps && c->vector
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "opening a critic: out of memory");
}

fv_status fv_critic_open(fv_critic **out, fv_model *m)
{
    fv_critic *c = calloc(1, sizeof *c);
    if (!c) return fv_fail(FV_ERR_MEMORY, "opening a critic: out of memory");
    c->model = m;
    c->side = fv_model_image_size(m);
    c->dim = fv_model_dim(m);
    fv_status s = build(c);
    if (s < 0) {
        fv_critic_close(c);
        return s;
    }
    *out = c;
    return FV_OK;
}

void fv_critic_close(fv_critic *c)
{
    if (!c) return;
    fv_plan_free(c->plan);
    fv_plan_free(c->head);
    free(c->input);
    free(c->maps);
    free(c->vector);
    free(c->base_mean);
    free(c->base_spread);
    free(c);
}

static fv_status look(fv_critic *c, const float *pixels)
{
    FV_TRY(fv_plan_upload(c->plan, c->pixels, pixels));
    return fv_plan_forward(c->plan);
}

fv_status fv_critic_embed(fv_critic *c, const fv_picture *p, float *embedding)
{
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(look(c, c->input));
    return fv_plan_download(c->plan, c->embedding, embedding);
}

/* --- robustness --- */

/* Row j: what place j of a line takes from its n pixels when it is blurred by FV_ROBUSTNESS_BLUR
 * (at 224) and then resized to `side` places. [side * n] and room for two rows more. */
static void blur_and_resize(float *rows, int side, int n)
{
    size_t width = (size_t)n;
    float *near = rows + (size_t)side * width, *far = near + width;
    for (int j = 0; j < side; j++) {
        double at = fmax((j + 0.5) * n / side - 0.5, 0), part = at - floor(at);
        int low = (int)at, high = low + (low < n - 1);
        fv_gaussian_row(near, n, low, (double)FV_ROBUSTNESS_BLUR * n / 224);
        fv_gaussian_row(far, n, high, (double)FV_ROBUSTNESS_BLUR * n / 224);
        for (size_t k = 0; k < width; k++)
            rows[(size_t)j * width + k] = (float)((1 - part) * near[k] + part * far[k]);
    }
}

/* The picture as the model sees it after the blur that sessions use (views.h), over the picture
 * itself: down, then across. */
static fv_status blurred_picture(fv_critic *c, const fv_picture *p)
{
    size_t side = (size_t)c->side, w = (size_t)p->width, h = (size_t)p->height;
    float *down = malloc((side + 2) * h * sizeof *down), *across = NULL, *line = NULL;
    if (down) across = malloc((side + 2) * w * sizeof *across);
    if (across) line = malloc(3 * w * sizeof *line);
    if (line) {
        blur_and_resize(down, c->side, p->height);
        blur_and_resize(across, c->side, p->width);
        memset(c->input, 0, side * side * 3 * sizeof *c->input);
    }
    for (size_t j = 0; line && j < side; j++) {
        memset(line, 0, 3 * w * sizeof *line);
        for (size_t k = 0; k < h; k++) {
            float share = down[j * h + k] / 255;
            const uint8_t *from = p->rgb + 3 * w * k;
            for (size_t x = 0; share != 0 && x < 3 * w; x++) line[x] += share * (float)from[x];
        }
        for (size_t i = 0; i < side; i++) {
            float *to = c->input + 3 * (j * side + i);
            for (size_t k = 0; k < w; k++) {
                float share = across[i * w + k];
                for (size_t ch = 0; share != 0 && ch < 3; ch++) to[ch] += share * line[3 * k + ch];
            }
        }
    }
    bool ok = line != NULL;
    free(down);
    free(across);
    free(line);
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "blurring a picture: out of memory");
}

static fv_status cosine(fv_critic *c, const float *pixels, const float *text, float *out)
{
    FV_TRY(look(c, pixels));
    FV_TRY(fv_plan_download(c->plan, c->embedding, c->vector));
    double sum = 0;
    for (int i = 0; i < c->dim; i++) sum += (double)c->vector[i] * (double)text[i];
    *out = (float)sum;
    return FV_OK;
}

/* View v of those that no run draws: mirrored, seven tenths of the side, from a corner. */
static fv_status unseen_view(fv_critic *c, const fv_picture *p, int v)
{
    fv_picture part = {p->width * 7 / 10, p->height * 7 / 10, NULL};
    if (part.width < 1) part.width = 1;
    if (part.height < 1) part.height = 1;
    int left = v % 2 ? p->width - part.width : 0, top = v % 2 ? p->height - part.height : 0;
    part.rgb = malloc((size_t)part.width * (size_t)part.height * 3);
    if (!part.rgb) return fv_fail(FV_ERR_MEMORY, "views unseen were not looked at: out of memory");
    for (int y = 0; y < part.height; y++)
        for (int x = 0; x < part.width; x++)
            memcpy(part.rgb + ((size_t)y * part.width + x) * 3,
                   p->rgb + ((size_t)(top + y) * p->width + (left + part.width - 1 - x)) * 3, 3);
    fv_picture_to_tensor(&part, c->side, c->input);
    fv_picture_free(&part);
    return FV_OK;
}

fv_status fv_critic_robustness(fv_critic *c, const fv_picture *p, const char *text,
                               fv_robustness *out)
{
    fv_robustness r = {0};
    float *target = malloc((size_t)c->dim * sizeof *target);
    if (!target) return fv_fail(FV_ERR_MEMORY, "measuring survival: out of memory");
    fv_status s = fv_model_embed_text(c->model, text, target, NULL);
    if (s >= 0) s = fv_model_look_at(c->model, p, c->input);
    if (s >= 0) s = cosine(c, c->input, target, &r.whole);
    if (s >= 0) s = blurred_picture(c, p);
    if (s >= 0) s = cosine(c, c->input, target, &r.blurred);
    for (int v = 0; s >= 0 && v < UNSEEN; v++) {
        float one = 0;
        if (unseen_view(c, p, v) < 0) { /* the others have been measured: they stay */
            r.unseen = NAN;
            break;
        }
        s = cosine(c, c->input, target, &one);
        r.unseen += one / UNSEEN;
    }
    free(target);
    if (s >= 0) *out = r;
    return s;
}

/* --- channels of the last map --- */

int fv_critic_map_side(const fv_critic *c)
{
    return c->map_side;
}

fv_status fv_critic_activation(fv_critic *c, const fv_picture *p, int channel, float *out)
{
    if (channel < 0 || channel >= c->channels)
        return fv_fail(FV_ERR_ARGUMENT, "channel %d: there are 0 to %d", channel, c->channels - 1);
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(look(c, c->input));
    FV_TRY(fv_plan_download(c->plan, c->map, c->maps));
    size_t positions = (size_t)c->map_side * (size_t)c->map_side;
    for (size_t i = 0; i < positions; i++)
        out[i] = places(c)[i * (size_t)c->channels + (size_t)channel];
    return FV_OK;
}

/* Mean over positions of each channel of the map just made. */
static fv_status channel_means(fv_critic *c, float *means)
{
    FV_TRY(fv_plan_download(c->plan, c->map, c->maps));
    int positions = positions_of(c);
    memset(means, 0, (size_t)c->channels * sizeof *means);
    for (int i = 0; i < positions; i++)
        for (int k = 0; k < c->channels; k++)
            means[k] += c->maps[(size_t)i * (size_t)c->channels + (size_t)k] / (float)positions;
    return FV_OK;
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
static fv_status need_base(fv_critic *c)
{
    if (c->base_mean) return FV_OK;
    size_t n = (size_t)c->channels;
    float *mean = calloc(n, sizeof *mean), *spread = calloc(n, sizeof *spread);
    float *one = malloc(n * sizeof *one);
    fv_status s =
        mean && spread && one ? FV_OK : fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    for (int i = 0; s >= 0 && i < BASE_PICTURES; i++) {
        noise_picture(c, i);
        s = look(c, c->input);
        if (s >= 0) s = channel_means(c, one);
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
    c->base_mean = mean;
    c->base_spread = spread;
    return FV_OK;
}

/* The floor keeps channels that hardly ever fire from leading by a hair. */
static float usual(const fv_critic *c, int k)
{
    return c->base_spread[k] + 0.05f;
}

/* The channels that lead most, into `out` with room for *count. leads, means: [channels]. */
static fv_status take_best(const fv_critic *c, const float *leads, const float *means,
                           fv_channel *out, int *count)
{
    fv_hit *best = malloc((size_t)c->channels * sizeof *best);
    if (!best) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    *count = fv_top(leads, c->channels, 1, *count, best);
    for (int i = 0; i < *count; i++)
        out[i] = (fv_channel){best[i].index, means[best[i].index], best[i].score};
    free(best);
    return FV_OK;
}

/* Those that are furthest above what they usually are. */
static fv_status take_unusual(const fv_critic *c, const float *means, fv_channel *out, int *count)
{
    float *leads = malloc((size_t)c->channels * sizeof *leads);
    if (!leads) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    for (int k = 0; k < c->channels; k++) leads[k] = (means[k] - c->base_mean[k]) / usual(c, k);
    fv_status s = take_best(c, leads, means, out, count);
    free(leads);
    return s;
}

fv_status fv_critic_channels(fv_critic *c, const fv_picture *p, fv_channel *out, int *count)
{
    FV_TRY(need_base(c));
    float *means = malloc((size_t)c->channels * sizeof *means);
    if (!means) return fv_fail(FV_ERR_MEMORY, "ranking channels: out of memory");
    fv_status s = fv_model_look_at(c->model, p, c->input);
    if (s >= 0) s = look(c, c->input);
    if (s >= 0) s = channel_means(c, means);
    if (s >= 0) s = take_unusual(c, means, out, count);
    free(means);
    return s;
}

fv_status fv_critic_channels_at(fv_critic *c, const fv_picture *p, float x, float y,
                                fv_channel *out, int *count)
{
    int last = c->map_side - 1;
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1))
        return fv_fail(FV_ERR_ARGUMENT, "position %g, %g is outside the picture", (double)x,
                       (double)y);
    FV_TRY(need_base(c));
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(look(c, c->input));
    FV_TRY(fv_plan_download(c->plan, c->map, c->maps));
    int column = (int)(x * (float)c->map_side), row = (int)(y * (float)c->map_side);
    if (column > last) column = last;
    if (row > last) row = last;
    const float *here = places(c) + (size_t)(row * c->map_side + column) * (size_t)c->channels;
    return take_unusual(c, here, out, count);
}

/* --- search by text --- */

static fv_status need_head(fv_critic *c)
{
    if (c->head) return FV_OK;
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, c->model->engine->backend));
    c->head_map = fv_plan_param(p, "map", c->shape);
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
    size_t positions = (size_t)positions_of(c), n = (size_t)c->channels;
    FV_TRY(look(c, pixels));
    FV_TRY(fv_plan_download(c->plan, c->map, c->maps));
    FV_TRY(fv_plan_block_upload(c->head, FV_BLOCK_VALUE, c->maps));
    FV_TRY(fv_plan_forward(c->head));
    FV_TRY(fv_plan_output_gradient(c->head, c->head_embedding, text));
    FV_TRY(fv_plan_backward(c->head));
    FV_TRY(fv_plan_download_gradient(c->head, c->head_map, c->maps));
    for (size_t i = 0; i < positions; i++)
        for (size_t k = 0; k < n; k++) gains[k] += c->maps[i * n + k];
    return FV_OK;
}

fv_status fv_critic_search(fv_critic *c, const char *text, const fv_picture *p, fv_channel *out,
                           int *count)
{
    int pictures = p ? 1 : BASE_PICTURES;
    FV_TRY(need_base(c));
    FV_TRY(need_head(c));
    float *target = malloc((size_t)c->dim * sizeof *target);
    float *gains = calloc((size_t)c->channels, sizeof *gains);
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
    for (int k = 0; s >= 0 && k < c->channels; k++)
        gains[k] = gains[k] * usual(c, k) / (float)pictures;
    if (s >= 0) s = take_best(c, gains, c->base_mean, out, count);
    free(target);
    free(gains);
    return s;
}
