/* Live changes, and the plan that serves them. See feavis.h and session.h.
 *
 * A change is built beside what runs: new options, new objectives and, if its ops differ, a new
 * plan with the state uploaded. They replace the old ones once nothing can fail any more. If both
 * plans do not fit into memory, the old plan is freed first, with its state kept on the host, and
 * is built again if the new one cannot be. */
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/session.h"
#include "feavis/imagine/term_files.h"

const fv_block fv_kept_blocks[3] = {FV_BLOCK_VALUE, FV_BLOCK_M, FV_BLOCK_V};

/* --- plans and states --- */

fv_status fv_session_state_read(const fv_session *s, float *state)
{
    for (size_t i = 0; i < 3; i++)
        FV_TRY(fv_plan_block_download(s->net.plan, fv_kept_blocks[i], state + i * s->param_count));
    return FV_OK;
}

fv_status fv_session_state_write(fv_plan *p, const float *state)
{
    for (size_t i = 0; i < 3; i++)
        FV_TRY(fv_plan_block_upload(p, fv_kept_blocks[i], state + i * fv_plan_param_count(p)));
    return FV_OK;
}

void fv_session_drop_net(fv_net *n)
{
    fv_plan_free(n->plan);
    for (int i = 0; i < n->views_count; i++) fv_views_clear(&n->views[i]);
    *n = (fv_net){0};
}

/* What each guide that is needed sees; those of one image size see the same. */
static void build_views(fv_net *n, const fv_model *m, const fv_options *o, const fv_objectives *g,
                        fv_ref out[FV_MAX_GUIDES])
{
    fv_ref built[FV_MAX_GUIDES];
    for (int i = 0; i < m->guide_count; i++) {
        int side = m->guides[i]->network->image_size, k = 0;
        out[i] = -1;
        if (!fv_objectives_need(g, m, i)) continue;
        while (k < n->views_count && n->views[k].side != side) k++;
        if (k == n->views_count) {
            n->views_count++;
            if (k) fv_plan_push(n->plan, "guide%d.", i + 1);
            built[k] = fv_views_build(n->plan, &n->views[k], o, side, n->picture);
            if (k) fv_plan_pop(n->plan);
        }
        out[i] = built[k];
    }
}

fv_status fv_session_build(const fv_session *s, fv_net *out, const fv_options *o,
                           const fv_objectives *g, const float *state)
{
    fv_net n = {0};
    FV_TRY(fv_plan_new(&n.plan, s->model->engine->backend));
    n.picture = fv_generator_build(n.plan, o, s->decoder);
    fv_plan_output(n.plan, n.picture);
    fv_ref views[FV_MAX_GUIDES];
    build_views(&n, s->model, o, g, views);
    fv_objectives_build(n.plan, &n.refs, g, s->model, o, views, n.picture);
    /* guides in turn, unless a gradient depends on what forward gives */
    unsigned subgraphs = g->own.count ? 0 : FV_PLAN_SUBGRAPHS;
    fv_status status = fv_plan_finish(n.plan, FV_PLAN_BACKWARD | subgraphs);
    if (status >= 0) status = fv_generator_prepare(n.plan, o, s->decoder);
    if (status >= 0) status = fv_objectives_upload(n.plan, &n.refs, g);
    if (status >= 0 && state) status = fv_session_state_write(n.plan, state);
    if (status < 0)
        fv_session_drop_net(&n);
    else
        *out = n;
    return status;
}

static void forget_held(fv_session *s)
{
    free(s->held);
    s->held = NULL;
}

fv_status fv_session_mend(fv_session *s)
{
    if (!s->net.plan) {
        fv_status status = fv_session_build(s, &s->net, s->now, &s->objectives, s->held);
        if (status < 0) return fv_fail_context(status, "building the plan again");
        forget_held(s);
        s->stale = false;
    }
    if (s->stale) FV_TRY(fv_objectives_upload(s->net.plan, &s->net.refs, &s->objectives));
    s->stale = false;
    if (s->held) FV_TRY(fv_session_state_write(s->net.plan, s->held));
    forget_held(s);
    if (s->swapped) FV_TRY(fv_plan_block_upload(s->net.plan, FV_BLOCK_VALUE, s->aside));
    s->swapped = false;
    return FV_OK;
}

fv_status fv_session_mend_after(fv_session *s, fv_status failed)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", fv_error());
    (void)fv_session_mend(s); /* if it fails, whoever uses the plan next tries again */
    return fv_fail(failed, "%s", why);
}

/* --- other options --- */

/* The same ops: objectives, and the state if there is another. *own, the state that is there, is
 * taken over where it has to be put back. */
static fv_status reuse_net(fv_session *s, const fv_objectives *g, const float *state, float **own)
{
    s->stale = true;
    FV_TRY(fv_objectives_upload(s->net.plan, &s->net.refs, g));
    if (state) {
        s->held = *own;
        *own = NULL;
        FV_TRY(fv_session_state_write(s->net.plan, state));
        forget_held(s);
    }
    s->stale = false;
    return FV_OK;
}

/* Other ops: another plan with `state` or *own in it. */
static fv_status replace_net(fv_session *s, const fv_options *o, const fv_objectives *g,
                             const float *state, float **own)
{
    fv_net n;
    const float *in = state ? state : *own;
    fv_status status = fv_session_build(s, &n, o, g, in);
    if (status == FV_ERR_MEMORY) { /* not beside the old one: in its place */
        fv_session_drop_net(&s->net);
        s->held = *own;
        *own = NULL;
        status = fv_session_build(s, &n, o, g, in);
    }
    if (status < 0) return status;
    fv_session_drop_net(&s->net);
    s->net = n;
    return FV_OK;
}

/* The guard goes back to this state, if to any. */
static void guard_state(fv_session *s, const float *state)
{
    memcpy(s->kept, state, 3 * s->param_count * sizeof *s->kept);
    s->kept_step = s->step;
}

static fv_status read_own(const fv_session *s, float **own)
{
    *own = malloc(3 * s->param_count * sizeof **own);
    if (!*own) return fv_fail(FV_ERR_MEMORY, "keeping the state aside: out of memory");
    return fv_session_state_read(s, *own);
}

/* *own: the state that was there, if it was read; the caller frees. */
static fv_status adopt(fv_session *s, const fv_options *next, fv_objectives *g, const float *state,
                       float **own)
{
    bool same = fv_objectives_same_plan(g, &s->objectives);
    if (!same || state) FV_TRY(read_own(s, own));
    fv_status status = same ? reuse_net(s, g, state, own) : replace_net(s, next, g, state, own);
    if (status < 0) return fv_session_mend_after(s, status);
    const float *in = state ? state : s->held ? s->held : *own;
    if (in) guard_state(s, in);
    forget_held(s);
    return FV_OK;
}

fv_status fv_session_adopt(fv_session *s, fv_options *next, const float *state)
{
    fv_objectives g = {0};
    float *own = NULL;
    fv_status status = fv_session_mend(s);
    if (status >= 0) status = fv_session_take_in(s);
    if (status >= 0) status = fv_objectives_read(&g, s->model, next);
    if (status >= 0) status = adopt(s, next, &g, state, &own);
    free(own);
    if (status < 0) {
        fv_objectives_clear(&g);
        fv_options_free(next);
        return status;
    }
    fv_options_free(s->now);
    s->now = next;
    fv_objectives_clear(&s->objectives);
    s->objectives = g;
    fv_session_forget_best(s);
    return FV_OK;
}

/* Applies one option to the running picture. */
static fv_status apply_change(fv_session *s, const fv_option *option, const char *value)
{
    fv_options *next;
    FV_TRY(fv_options_copy(&next, s->now));
    fv_status status = fv_options_set_written(next, option->name, value);
    if (status >= 0) return fv_session_adopt(s, next, NULL);
    fv_options_free(next);
    return status;
}

/* --- those of the recipe --- */

fv_status fv_session_replay(fv_session *s)
{
    while (s->replayed < s->recipe->change_count &&
           s->recipe->changes[s->replayed].step <= s->step) {
        const fv_change *c = &s->recipe->changes[s->replayed];
        fv_status status = apply_change(s, c->option, c->value);
        if (status < 0)
            return fv_fail_context(status, "the recipe changes %s at step %d", c->option->name,
                                   c->step);
        s->replayed++;
    }
    return FV_OK;
}

/* --- those asked for now --- */

/* The one asked for first; false: there is none. Its value is the caller's. */
static bool next_pending(fv_session *s, fv_change *out)
{
    pthread_mutex_lock(&s->mutex);
    bool has = s->pending_count > 0;
    if (has) {
        *out = s->pending[0];
        s->pending_count--;
        memmove(s->pending, s->pending + 1, (size_t)s->pending_count * sizeof *s->pending);
    }
    pthread_mutex_unlock(&s->mutex);
    return has;
}

/* Files of terms get their hashes. */
static fv_status note_change(fv_change *c)
{
    char *noted;
    if (strcmp(c->option->name, "term") != 0) return FV_OK;
    FV_TRY(fv_terms_noted(&noted, c->value));
    free(c->value);
    c->value = noted;
    return FV_OK;
}

/* The picture and its recipe change together, or neither does. */
static fv_status make_change(fv_session *s, fv_change *c)
{
    fv_options *recipe = NULL;
    fv_status status = note_change(c);
    if (status >= 0) status = fv_options_copy(&recipe, s->recipe);
    if (status >= 0) status = fv_options_add_change(recipe, s->step, c->option, c->value);
    if (status >= 0) status = apply_change(s, c->option, c->value);
    if (status < 0) {
        fv_options_free(recipe);
        return fv_fail_context(status, "changing %s", c->option->name);
    }
    fv_options_free(s->recipe);
    s->recipe = recipe;
    s->replayed++; /* behind those of this step and before, which have been made */
    return FV_OK;
}

/* A change that fails (for want of memory, say) is dropped; the picture goes on. */
fv_status fv_session_take_pending(fv_session *s)
{
    for (fv_change c;;) {
        FV_TRY(fv_session_mend(s));
        if (!next_pending(s, &c)) return FV_OK;
        if (make_change(s, &c) < 0) {
            s->dropped++;
            snprintf(s->why_dropped, sizeof s->why_dropped, "%s", fv_error());
        }
        free(c.value);
    }
}

void fv_session_forget_pending(fv_session *s)
{
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; i < s->pending_count; i++) free(s->pending[i].value);
    free(s->pending);
    s->pending = NULL;
    s->pending_count = 0;
    pthread_mutex_unlock(&s->mutex);
}

fv_status fv_session_set(fv_session *s, const char *name, const char *value)
{
    const fv_option *option = fv_option_find(name);
    if (!option) return fv_fail(FV_ERR_ARGUMENT, "there is no option %.80s", name);
    if (!(option->flags & FV_OPTION_LIVE))
        return fv_fail(FV_ERR_ARGUMENT, "%s cannot be changed while the picture grows", name);
    fv_options *check; /* the value, before it is queued */
    FV_TRY(fv_options_new(&check));
    fv_status status = fv_options_set(check, name, value);
    /* what is replayed: of a random seed the number, of a text what it was read as */
    bool read = option->kind == FV_OPTION_SEED || option->kind == FV_OPTION_TEXT;
    char *copy = status < 0 ? NULL : strdup(read ? fv_options_get(check, name) : value);
    fv_options_free(check);
    if (status < 0) return status;
    pthread_mutex_lock(&s->mutex);
    fv_change *more =
        copy ? realloc(s->pending, ((size_t)s->pending_count + 1) * sizeof *more) : NULL;
    if (more) {
        s->pending = more;
        s->pending[s->pending_count++] = (fv_change){0, option, copy};
    }
    pthread_mutex_unlock(&s->mutex);
    if (more) return FV_OK;
    free(copy);
    return fv_fail(FV_ERR_MEMORY, "changing %s: out of memory", name);
}

const char *fv_session_dropped(const fv_session *s)
{
    return s->why_dropped;
}
