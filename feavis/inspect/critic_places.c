/* What the model sees in parts of a picture: the cosine of a text with the embedding of some
 * positions alone. See feavis/critic.h and feavis/imagine/areas.h.
 *
 *   pixels {1,S,S,3} -> map -> positions that count -> embedding {1,1,1,D} -> cosine, forward only
 */
#include <stdlib.h>
#include <string.h>

#include "feavis/critic.h"
#include "feavis/imagine/areas.h"
#include "feavis/inspect/critic_inside.h"
#include "feavis/picture.h"

/* One place at a time. */
typedef struct window {
    fv_plan *plan;
    fv_ref pixels;
    fv_area_refs refs[FV_MAX_AREAS]; /* the first */
    fv_views whole;                  /* the picture as it is: one view */
    float warp[6];
} window;

static fv_status open_window(window *w, fv_critic *c, const fv_picture *p)
{
    static const fv_areas one = {.count = 1};
    int side = c->side;
    *w = (window){.warp = {1, 0, 0, 0, 1, 0}};
    w->whole =
        (fv_views){.count = 1, .side = side, .width = side, .height = side, .warp_values = w->warp};
    FV_TRY(fv_plan_new(&w->plan, c->model->engine->backend));
    w->pixels = fv_plan_input(w->plan, "pixels", (fv_shape){1, side, side, 3}, FV_REAL);
    fv_image_layers layers = fv_network_image(c->model->network, w->plan, w->pixels, false);
    fv_areas_build(w->plan, w->refs, &one, c->model, layers.map, 1);
    FV_TRY(fv_plan_finish(w->plan, FV_PLAN_FORWARD));
    FV_TRY(fv_model_look_at(c->model, p, c->input));
    return fv_plan_upload(w->plan, w->pixels, c->input);
}

static fv_status look(window *w, const fv_critic *c, const fv_area *a, float *out)
{
    fv_areas one = {.count = 1, .at = {*a}};
    double loss = 0;
    FV_TRY(fv_areas_upload(w->plan, w->refs, &one));
    FV_TRY(fv_areas_draw(w->plan, w->refs, &one, c->model, &w->whole));
    FV_TRY(fv_plan_forward(w->plan));
    return fv_area_score(w->plan, w->refs, a, 1, out, &loss);
}

fv_status fv_critic_places(fv_critic *c, const fv_picture *p, const char *at, fv_spot *out,
                           int *count)
{
    fv_areas a;
    window w;
    FV_TRY(fv_areas_read(&a, c->model, at));
    fv_status s = open_window(&w, c, p);
    for (int i = 0; s >= 0 && i < a.count; i++) {
        fv_area *area = &a.at[i];
        out[i] = (fv_spot){.left = area->left,
                           .right = area->right,
                           .top = area->top,
                           .bottom = area->bottom,
                           .weight = area->weight};
        snprintf(out[i].text, sizeof out[i].text, "%s", area->text);
        s = look(&w, c, area, &out[i].cosine);
    }
    *count = a.count;
    fv_plan_free(w.plan);
    fv_areas_clear(&a);
    return s;
}

fv_status fv_critic_cells(fv_critic *c, const fv_picture *p, const char *text, float *out)
{
    fv_area cell = {.soft = 0, .weight = 1};
    window w = {.plan = NULL};
    fv_status s = fv_areas_check(&(fv_areas){.count = 1}, c->model);
    cell.target = malloc((size_t)c->dim * sizeof(float));
    if (!cell.target) s = fv_fail(FV_ERR_MEMORY, "looking at cells: out of memory");
    if (s >= 0) s = fv_model_embed_text(c->model, text, cell.target, NULL);
    if (s >= 0) s = open_window(&w, c, p);
    for (int i = 0; s >= 0 && i < FV_AREA_GRID * FV_AREA_GRID; i++) {
        cell.left = cell.right = i % FV_AREA_GRID;
        cell.top = cell.bottom = i / FV_AREA_GRID;
        s = look(&w, c, &cell, &out[i]);
    }
    fv_plan_free(w.plan);
    free(cell.target);
    return s;
}
