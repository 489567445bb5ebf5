/* A second look at a picture, apart from the session that made it: its embedding, whether what
 * the model sees survives a blur and views nobody trained on. critic_channels.c: what its layers
 * hold. See feavis/critic.h.
 *
 *   pixels {1,S,S,3} -> normalised -> map {1,H,W,C} -> embedding {1,1,1,D}, forward only */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/critic.h"
#include "feavis/imagine/views.h"
#include "feavis/inspect/critic_inside.h"
#include "feavis/model.h"
#include "feavis/picture.h"
#include "feavis/session.h"

enum { UNSEEN = 2 };

/* --- open, close --- */

static fv_status build(fv_critic *c)
{
    FV_TRY(fv_plan_new(&c->last.plan, c->model->engine->backend));
    fv_plan *p = c->last.plan;
    c->last.pixels = fv_plan_input(p, "pixels", (fv_shape){1, c->side, c->side, 3}, FV_REAL);
    fv_image_layers layers = fv_network_image(c->model->network, p, c->last.pixels, true);
    c->last.map = layers.map;
    c->embedding = layers.embedding;
    fv_plan_output(p, c->last.map);
    fv_plan_output(p, c->embedding);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    size_t n = (size_t)c->side * (size_t)c->side * 3;
    c->input = malloc(n * sizeof *c->input);
    c->vector = malloc((size_t)c->dim * sizeof *c->vector);
    if (!c->input || !c->vector) return fv_fail(FV_ERR_MEMORY, "opening a critic: out of memory");
    return fv_eye_ready(&c->last);
}

fv_status fv_critic_open(fv_critic **out, fv_model *m)
{
    fv_critic *c = calloc(1, sizeof *c);
    if (!c) return fv_fail(FV_ERR_MEMORY, "opening a critic: out of memory");
    c->model = m;
    c->side = fv_model_image_size(m);
    c->dim = fv_model_dim(m);
    c->at = &c->last;
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
    fv_eye_clear(&c->last);
    fv_eye_clear(&c->chosen);
    fv_plan_free(c->head);
    free(c->layers);
    free(c->input);
    free(c->vector);
    free(c);
}

fv_status fv_critic_embed(fv_critic *c, const fv_picture *p, float *embedding)
{
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    FV_TRY(fv_eye_look(&c->last, c->input));
    return fv_plan_download(c->last.plan, c->embedding, embedding);
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
    FV_TRY(fv_eye_look(&c->last, pixels));
    FV_TRY(fv_plan_download(c->last.plan, c->embedding, c->vector));
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
