/* Places as outputs of a plan. See areas.h. */
#include "feavis/imagine/areas.h"

#include <math.h>
#include <stdlib.h>

#include "feavis/model.h"

enum { SAMPLES = 4 }; /* a side of a cell */

fv_status fv_areas_read(fv_areas *out, fv_model *m, const char *text)
{
    fv_areas a;
    FV_TRY(fv_areas_parse(&a, text));
    fv_status s = fv_areas_check(&a, m);
    for (int i = 0; s >= 0 && i < a.count; i++) {
        a.at[i].target = malloc((size_t)fv_model_dim(m) * sizeof(float));
        s = a.at[i].target ? fv_model_embed_text(m, a.at[i].text, a.at[i].target, NULL)
                           : fv_fail(FV_ERR_MEMORY, "reading a place: out of memory");
    }
    if (s < 0)
        fv_areas_clear(&a);
    else
        *out = a;
    return s;
}

fv_status fv_areas_check(const fv_areas *a, const fv_model *m)
{
    if (a->count == 0 || m->network->kind->place) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "at: %s cannot look at a part of a picture", m->title);
}

void fv_areas_build(fv_plan *p, fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a,
                    const fv_model *m, fv_ref map, int views)
{
    const fv_network *n = m->network;
    for (int i = 0; i < a->count; i++) {
        fv_area_refs *r = &refs[i];
        fv_plan_push(p, "at%d.", i);
        r->bias = fv_plan_input(p, "inside", (fv_shape){views, 1, 1, n->places.tokens}, FV_REAL);
        r->target = fv_plan_input(p, "wanted", (fv_shape){1, 1, 1, n->dim}, FV_REAL);
        fv_ref x = fv_network_place(n, p, map, r->bias);
        r->value = fv_linear(p, "cosine", x, r->target, FV_NONE, FV_ACT_NONE);
        fv_plan_pop(p);
        fv_plan_output(p, r->value);
    }
}

fv_status fv_areas_upload(fv_plan *p, const fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a)
{
    for (int i = 0; i < a->count; i++) FV_TRY(fv_plan_upload(p, refs[i].target, a->at[i].target));
    return FV_OK;
}

/* --- which positions lie inside --- */

/* How far x lies outside of [low, high]. */
static double outside(double x, double low, double high)
{
    return x < low ? low - x : x > high ? x - high : 0;
}

/* Borders are mirrored in views. */
static double mirrored(double x, double size)
{
    x = fmod(fabs(x), 2 * size);
    return x > size ? 2 * size - x : x;
}

/* At a point of the picture, both in cells of the 6 x 6. */
static double inside(const fv_area *a, double x, double y)
{
    double dx = outside(x, a->left, a->right + 1), dy = outside(y, a->top, a->bottom + 1);
    double far = sqrt(dx * dx + dy * dy);
    if (a->soft <= 0) return far <= 0;
    return fmax(0, 1 - far / (double)a->soft);
}

static double cell_weight(const fv_area *a, double column, double row, double cell,
                          const float warp[6], int width, int height)
{
    double sum = 0;
    for (int i = 0; i < SAMPLES * SAMPLES; i++) {
        double u = (column + (i % SAMPLES + 0.5) / SAMPLES) * cell - 0.5;
        double v = (row + ((double)(i / SAMPLES) + 0.5) / SAMPLES) * cell - 0.5;
        double x = (double)warp[0] * u + (double)warp[1] * v + (double)warp[2] + 0.5;
        double y = (double)warp[3] * u + (double)warp[4] * v + (double)warp[5] + 0.5;
        sum += inside(a, mirrored(x, width) * FV_AREA_GRID / width,
                      mirrored(y, height) * FV_AREA_GRID / height);
    }
    return sum / (SAMPLES * SAMPLES);
}

double fv_area_weights(double *out, int grid, const fv_area *a, const float warp[6], int side,
                       int width, int height)
{
    double cell = (double)side / grid, sum = 0;
    for (int i = 0; i < grid * grid; i++) {
        out[i] = cell_weight(a, i % grid, (double)(i / grid), cell, warp, width, height);
        sum += out[i];
    }
    double zoom = fabs((double)warp[0] * (double)warp[4] - (double)warp[1] * (double)warp[3]);
    double per_cell = cell * cell * zoom * FV_AREA_GRID * FV_AREA_GRID / width / height;
    return sum * per_cell / ((a->right - a->left + 1) * (a->bottom - a->top + 1));
}

/* Weights as what is added to attention's scores. */
static void fill_bias(float *bias, const fv_place_grid *g, const double *weights)
{
    for (int i = 0; i < g->tokens; i++) bias[i] = -1e9f;
    for (int row = 0; row < g->side; row++)
        for (int column = 0; column < g->side; column++) {
            double w = weights[row * g->side + column];
            int cell = g->by_column ? column * g->side + row : row * g->side + column;
            if (w > 1e-3) bias[g->first + cell] = (float)log(w);
        }
}

static fv_status draw_area(fv_plan *p, fv_area_refs *r, const fv_area *a, const fv_place_grid *g,
                           const fv_views *v, double *weights, float *bias)
{
    r->seen_count = 0;
    for (int i = 0; i < v->count; i++) {
        double seen = fv_area_weights(weights, g->side, a, v->warp_values + (size_t)i * 6, v->side,
                                      v->width, v->height);
        r->seen[i] = seen >= 0.25;
        r->seen_count += r->seen[i];
        fill_bias(bias + (size_t)i * (size_t)g->tokens, g, weights);
    }
    return fv_plan_upload(p, r->bias, bias);
}

fv_status fv_areas_draw(fv_plan *p, fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a,
                        const fv_model *m, const fv_views *v)
{
    const fv_place_grid *g = &m->network->places;
    if (a->count == 0) return FV_OK;
    double *weights = malloc((size_t)g->side * (size_t)g->side * sizeof *weights);
    float *bias = malloc((size_t)v->count * (size_t)g->tokens * sizeof *bias);
    fv_status s = weights && bias ? FV_OK : fv_fail(FV_ERR_MEMORY, "placing texts: out of memory");
    for (int i = 0; s >= 0 && i < a->count; i++)
        s = draw_area(p, &refs[i], &a->at[i], g, v, weights, bias);
    free(weights);
    free(bias);
    return s;
}

/* --- scores --- */

fv_status fv_area_score(fv_plan *p, const fv_area_refs *r, const fv_area *a, int views, float *out,
                        double *loss)
{
    float values[FV_MAX_VIEWS];
    double sum = 0;
    FV_TRY(fv_plan_download(p, r->value, values));
    for (int i = 0; i < views; i++)
        if (r->seen[i]) sum += (double)values[i];
    if (r->seen_count) sum /= r->seen_count;
    *out = (float)sum;
    *loss -= (double)a->weight * sum;
    return FV_OK;
}

fv_status fv_area_gradient(fv_plan *p, const fv_area_refs *r, const fv_area *a, int views)
{
    float gradient[FV_MAX_VIEWS];
    for (int i = 0; i < views; i++)
        gradient[i] = r->seen[i] ? -a->weight / (float)r->seen_count : 0;
    return fv_plan_output_gradient(p, r->value, gradient);
}
