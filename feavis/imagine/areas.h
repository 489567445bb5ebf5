/* Places with texts of their own (the option `at`) as outputs of a plan: {views,1,1,1} each, the
 * cosine of a text with the unit embedding of some positions of the picture alone
 * (fv_network_place). Looked at by the first guide.
 *
 * Views are shifted, scaled and turned, so which positions of the network lie in the place differs
 * from view to view: their weights are an input, drawn with the views. A view that shows less than
 * a quarter of the place does not count. */
#ifndef FV_AREAS_H
#define FV_AREAS_H

#include "feavis/imagine/model.h"
#include "feavis/imagine/views.h"
#include "feavis/settings/areas_syntax.h"

enum { FV_MAX_VIEWS = 64 };

/* What the option says, its texts embedded. */
fv_status fv_areas_read(fv_areas *out, fv_model *m, const char *text);
/* That the first guide can look at places. */
fv_status fv_areas_check(const fv_areas *a, const fv_model *m);

typedef struct fv_area_refs {
    fv_ref bias, target, value;
    bool seen[FV_MAX_VIEWS]; /* of the views that were drawn last */
    int seen_count;
} fv_area_refs;

/* Behind the network's own ops; map: the first guide's. */
void fv_areas_build(fv_plan *p, fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a,
                    const fv_model *m, fv_ref map, int views);
fv_status fv_areas_upload(fv_plan *p, const fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a);
/* After fv_views_draw of the first guide's views. */
fv_status fv_areas_draw(fv_plan *p, fv_area_refs refs[FV_MAX_AREAS], const fv_areas *a,
                        const fv_model *m, const fv_views *v);

/* Mean over the views that count, 0 if none does; adds to the loss. */
fv_status fv_area_score(fv_plan *p, const fv_area_refs *r, const fv_area *a, int views, float *out,
                        double *loss);
fv_status fv_area_gradient(fv_plan *p, const fv_area_refs *r, const fv_area *a, int views);

/* How much the middle of each cell of a network's grid lies in the area, where `warp` [6] takes a
 * view of `side` pixels to a picture of that size: out [grid * grid], row by row, in [0, 1].
 * Returns how much of the area is in view. */
double fv_area_weights(double *out, int grid, const fv_area *a, const float warp[6], int side,
                       int width, int height);

#endif
