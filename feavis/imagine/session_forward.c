/* A look of the model at a session's picture: its views, forward, scores. */
#include "feavis/imagine/session.h"

fv_status fv_session_draw_views(fv_session *s, int views_of)
{
    for (int i = 0; i < s->net.views_count; i++)
        FV_TRY(fv_views_draw(s->net.plan, &s->net.views[i], s->now, views_of));
    return fv_areas_draw(s->net.plan, s->net.refs.areas, &s->objectives.areas, s->model,
                         &s->net.views[0]); /* the first guide's */
}

fv_status fv_session_forward(fv_session *s, int views_of, fv_scores *scores, bool *finite)
{
    FV_TRY(fv_session_draw_views(s, views_of));
    FV_TRY(fv_plan_forward(s->net.plan));
    return fv_objectives_scores(s->net.plan, &s->net.refs, &s->objectives, scores, finite);
}
