/* The loop: views, forward, seeds, backward, Adam; with cancel, live changes, snapshots, a NaN
 * guard. See feavis.h; session_file.c keeps the state in a file, best.c the best one.
 *
 * Threads: fv_session_run and _step belong to one thread. cancel, set and snapshot may come from
 * any other: cancel is one atomic flag, set and snapshot take the mutex, which the loop holds
 * only to take changes and to put a new picture down. */
#include "feavis/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/parameterise.h"
#include "feavis/recipe.h"
#include "feavis/start.h"

enum {
    KEEP_EVERY = 10,  /* steps between two copies of the state for the NaN guard */
    MOST_RESTORES = 8 /* in a row, before giving up */
};

const fv_block fv_kept_blocks[3] = {FV_BLOCK_VALUE, FV_BLOCK_M, FV_BLOCK_V};

/* --- plan --- */

static fv_status watch(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    fv_session *s = user;
    /* a negative status ends the run; the session turns it into FV_CANCELLED */
    if (atomic_load_explicit(&s->cancelled, memory_order_relaxed)) return FV_ERR_ARGUMENT;
    return backward && s->gradient_wanted ? fv_session_watch_gradient(s, p, op) : FV_OK;
}

static fv_status build_plan(fv_session *s, fv_plan **out)
{
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, s->model->backend));
    fv_views_clear(&s->views);
    s->picture = fv_parameterise(p, s->now);
    fv_plan_output(p, s->picture);
    fv_ref views = fv_views_build(p, &s->views, s->now, fv_model_image_size(s->model), s->picture);
    fv_objectives_build(p, &s->refs, &s->objectives, s->model, s->now, views, s->picture);
    fv_status status = fv_plan_finish(p, FV_PLAN_BACKWARD);
    if (status >= 0) status = fv_objectives_upload(p, &s->refs, &s->objectives);
    if (status < 0) {
        fv_plan_free(p);
        return status;
    }
    *out = p;
    return FV_OK;
}

/* --- what the NaN guard goes back to --- */

static fv_status keep_state(fv_session *s)
{
    for (int i = 0; i < 3; i++)
        FV_TRY(fv_plan_block_download(s->plan, fv_kept_blocks[i], s->kept[fv_kept_blocks[i]]));
    s->kept_step = s->step;
    return FV_OK;
}

fv_status fv_session_put_kept(fv_session *s)
{
    for (int i = 0; i < 3; i++)
        FV_TRY(fv_plan_block_upload(s->plan, fv_kept_blocks[i], s->kept[fv_kept_blocks[i]]));
    return FV_OK;
}

static fv_status restore_state(fv_session *s)
{
    if (++s->restored_in_a_row > MOST_RESTORES)
        return fv_fail(FV_ERR_DEVICE,
                       "step %d: the gradient is not finite, also with a step size %g times "
                       "smaller; the picture stays that of step %d",
                       s->step, s->caution, s->kept_step);
    FV_TRY(fv_session_put_kept(s));
    s->restored++;
    s->caution /= 2;
    return FV_OK;
}

static fv_status make_room(fv_session *s)
{
    size_t n = fv_plan_param_count(s->plan), side = (size_t)s->now->size;
    bool ok = true;
    for (int i = 0; i < 3; i++)
        ok = (s->kept[fv_kept_blocks[i]] = calloc(n, sizeof(float))) != NULL && ok;
    s->pixels = malloc(side * side * 3 * sizeof *s->pixels);
    s->rgb = calloc(side * side, 3);
    if (s->now->keep) {
        s->best = calloc(n, sizeof *s->best);
        s->aside = calloc(n, sizeof *s->aside);
        ok = ok && s->best && s->aside;
    }
    return ok && s->pixels && s->rgb ? FV_OK
                                     : fv_fail(FV_ERR_MEMORY, "opening a session: out of memory");
}

/* --- open, close --- */

static fv_status open_session(fv_session *s, fv_model *m, const fv_options *o)
{
    s->model = m;
    s->caution = 1;
    FV_TRY(fv_options_copy(&s->recipe, o));
    FV_TRY(fv_start_note(s->recipe));
    FV_TRY(fv_options_copy(&s->now, s->recipe));
    FV_TRY(fv_objectives_read(&s->objectives, m, s->now));
    FV_TRY(build_plan(s, &s->plan));
    FV_TRY(make_room(s));
    size_t n = fv_plan_param_count(s->plan);
    fv_parameterise_start(s->now, s->kept[FV_BLOCK_VALUE], n);
    FV_TRY(fv_start_add(s->now, s->kept[FV_BLOCK_VALUE], n));
    return fv_session_put_kept(s);
}

fv_status fv_session_open(fv_session **out, fv_model *m, const fv_options *o)
{
    fv_session *s = calloc(1, sizeof *s);
    if (!s) return fv_fail(FV_ERR_MEMORY, "opening a session: out of memory");
    atomic_init(&s->cancelled, false);
    pthread_mutex_init(&s->mutex, NULL);
    fv_status status = open_session(s, m, o);
    if (status < 0) {
        fv_session_close(s);
        return status;
    }
    *out = s;
    return FV_OK;
}

void fv_session_close(fv_session *s)
{
    if (!s) return;
    fv_plan_free(s->plan);
    fv_views_clear(&s->views);
    fv_objectives_clear(&s->objectives);
    fv_options_free(s->recipe);
    fv_options_free(s->now);
    for (int i = 0; i < FV_BLOCKS; i++) free(s->kept[i]);
    free(s->best);
    free(s->aside);
    for (int i = 0; i < s->pending_count; i++) free(s->pending[i].value);
    free(s->pending);
    free(s->pixels);
    free(s->rgb);
    free(s->gradient);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

fv_status fv_model_print(fv_model *m, const fv_options *o, bool plan, FILE *to)
{
    const fv_network *n = m->network;
    char image[128];
    n->kind->describe(n, image, sizeof image);
    fprintf(to, "model      %s (%s)\n", m->title, n->license ? n->license : "licence unknown");
    fprintf(to, "weights    %s, %s, %zu tensors\n", fv_weights_path(n->source.weights),
            fv_weights_format(n->source.weights), fv_weights_count(n->source.weights));
    fprintf(to, "image      %s, LLP channels 0 to %d\n", image, m->network->map_channels - 1);
    fprintf(to, "text       %d tokens of at most %d, vocabulary of %d\n", m->text_length,
            n->text_limit, n->vocabulary_size);
    fprintf(to, "embedding  %d numbers\n", m->network->dim);
    fprintf(to, "backend    %s, %d threads (there are: %s)\n", m->backend_name, m->backend->threads,
            fv_backend_names());
    if (*fv_model_without_gpu(m)) fprintf(to, "           %s\n", fv_model_without_gpu(m));
    fv_options *copy;
    FV_TRY(fv_options_copy(&copy, o));
    fv_session *s = NULL;
    fv_status status = FV_OK;
    if (!*copy->text && !*copy->llp) status = fv_options_set(copy, "text", "?");
    if (status >= 0 && !m->network->vocabulary_size) status = fv_options_set(copy, "text", "");
    if (status >= 0 && !*copy->text && !*copy->llp) status = fv_options_set(copy, "llp", "0");
    if (status >= 0) status = fv_session_open(&s, m, copy);
    if (status >= 0) {
        fv_plan_info i = fv_plan_describe(s->plan);
        fprintf(to, "plan       %d ops, %.2f GMAC forward for %d views of a %d x %d picture\n",
                i.ops, i.forward_macs / 1e9, copy->views, copy->size, copy->size);
        fprintf(to,
                "memory     %.1f MB weights, %.1f MB values (bound %.1f, unshared %.1f), "
                "%.1f MB parameters, %.1f MB scratch\n",
                (double)i.weight_bytes / 1e6, (double)i.arena_bytes / 1e6,
                (double)i.arena_bound / 1e6, (double)i.unplanned_bytes / 1e6,
                (double)i.param_bytes / 1e6, (double)i.scratch_bytes / 1e6);
        if (plan) fv_plan_print(s->plan, to);
    }
    fv_session_close(s);
    fv_options_free(copy);
    return status;
}

/* --- the newest picture --- */

/* pixels -> rgb. Under the mutex. */
static void take_pixels(fv_session *s)
{
    size_t n = (size_t)s->now->size * (size_t)s->now->size * 3;
    for (size_t i = 0; i < n; i++) {
        float x = s->pixels[i];
        s->rgb[i] = !(x > 0) ? 0 : x >= 1 ? 255 : (uint8_t)(x * 255.0f + 0.5f);
    }
    s->has_picture = true;
    s->coming = false;
}

/* Takes in a picture that is on its way. Afterwards no other thread touches plan or pixels. */
static fv_status take_in(fv_session *s)
{
    pthread_mutex_lock(&s->mutex);
    fv_status status = s->coming ? fv_plan_shown(s->plan, s->picture, s->pixels) : FV_OK;
    if (status >= 0 && s->coming) take_pixels(s);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

/* --- changes --- */

fv_status fv_session_adopt(fv_session *s, fv_options *next)
{
    fv_objectives objectives;
    fv_status status = take_in(s);
    if (status >= 0) status = fv_objectives_read(&objectives, s->model, next);
    if (status < 0) {
        fv_options_free(next);
        return status;
    }
    bool same = fv_objectives_same_plan(&objectives, &s->objectives);
    fv_options_free(s->now);
    s->now = next;
    fv_objectives_clear(&s->objectives);
    s->objectives = objectives;
    fv_session_forget_best(s);
    if (same) return fv_objectives_upload(s->plan, &s->refs, &s->objectives);
    FV_TRY(keep_state(s));
    fv_plan *p;
    FV_TRY(build_plan(s, &p));
    fv_plan_free(s->plan);
    s->plan = p;
    return fv_session_put_kept(s);
}

/* Applies one option to the running picture. */
static fv_status apply_change(fv_session *s, const fv_option *option, const char *value)
{
    fv_options *next;
    FV_TRY(fv_options_copy(&next, s->now));
    fv_status status = fv_options_set(next, option->name, value);
    if (status >= 0) return fv_session_adopt(s, next);
    fv_options_free(next);
    return status;
}

fv_status fv_session_replay(fv_session *s)
{
    while (s->replayed < s->recipe->change_count &&
           s->recipe->changes[s->replayed].step <= s->step) {
        const fv_change *c = &s->recipe->changes[s->replayed++];
        FV_TRY(apply_change(s, c->option, c->value));
    }
    return FV_OK;
}

/* A change that fails (a text over the limit of memory, say) is dropped; the picture goes on. */
static fv_status take_pending(fv_session *s)
{
    pthread_mutex_lock(&s->mutex);
    fv_change *pending = s->pending;
    int count = s->pending_count;
    s->pending = NULL;
    s->pending_count = 0;
    pthread_mutex_unlock(&s->mutex);
    fv_status status = FV_OK;
    for (int i = 0; i < count; i++) {
        if (status >= 0 && apply_change(s, pending[i].option, pending[i].value) >= 0) {
            status = fv_options_add_change(s->recipe, s->step, pending[i].option, pending[i].value);
            s->replayed = s->recipe->change_count;
        }
        free(pending[i].value);
    }
    free(pending);
    return status;
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
    /* of a random seed the number: the change is replayed */
    bool seed = option->kind == FV_OPTION_SEED;
    char *copy = status < 0 ? NULL : strdup(seed ? fv_options_get(check, name) : value);
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

void fv_session_cancel(fv_session *s)
{
    atomic_store_explicit(&s->cancelled, true, memory_order_relaxed);
}

/* --- one step --- */

/* After forward: the plan's picture as 8-bit RGB. */
static fv_status take_picture(fv_session *s, const fv_scores *scores)
{
    FV_TRY(take_in(s));
    FV_TRY(fv_plan_download(s->plan, s->picture, s->pixels));
    pthread_mutex_lock(&s->mutex);
    take_pixels(s);
    fv_session_take_parts(s, scores);
    pthread_mutex_unlock(&s->mutex);
    return FV_OK;
}

/* The same without waiting: whoever wants the picture, or the next step while the device works,
 * takes it in. */
static fv_status send_picture(fv_session *s, const fv_scores *scores)
{
    pthread_mutex_lock(&s->mutex);
    fv_status status = fv_plan_show(s->plan, s->picture);
    s->coming = status >= 0;
    if (status >= 0) fv_session_take_parts(s, scores);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static double schedule(const fv_options *o, int step)
{
    double t = o->steps > 1 ? (double)step / (o->steps - 1) : 0;
    if (t > 1) t = 1;
    double fall = o->rate_end + (1 - o->rate_end) * 0.5 * (1 + cos(M_PI * t));
    double rise = o->warmup > 0 && step < o->warmup ? (step + 1.0) / o->warmup : 1;
    return fall * rise;
}

static void adam_numbers(const fv_session *s, float numbers[FV_ADAM_COLUMNS])
{
    const fv_options *o = s->now;
    int t = s->step + 1;
    numbers[FV_ADAM_RATE] = (float)(o->rate * schedule(o, s->step) * s->caution);
    numbers[FV_ADAM_BETA1] = (float)o->beta1;
    numbers[FV_ADAM_BETA2] = (float)o->beta2;
    /* gradients of a cosine are small: the usual 1e-8 would act as a brake */
    numbers[FV_ADAM_EPS] = 1e-12f;
    numbers[FV_ADAM_CORRECTION1] = (float)(1 - pow(o->beta1, t));
    numbers[FV_ADAM_CORRECTION2] = (float)(1 - pow(o->beta2, t));
    fv_parameterise_bounds(o, &numbers[FV_ADAM_LOW], &numbers[FV_ADAM_HIGH]);
}

static void take_stats(fv_session *s, const float stats[FV_ADAM_STATS], bool *finite)
{
    *finite = *finite && stats[FV_ADAM_STAT_BAD] == 0;
    s->gradient_norm = sqrtf(stats[FV_ADAM_STAT_NORM2]);
}

static fv_status adam_step(fv_session *s, bool *finite)
{
    float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS];
    adam_numbers(s, numbers);
    FV_TRY(fv_plan_adam(s->plan, numbers, stats));
    take_stats(s, stats, finite);
    return FV_OK;
}

static double seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + 1e-9 * (double)(now.tv_nsec - begin->tv_nsec);
}

static void report(fv_session *s, const fv_scores *scores, fv_progress *out)
{
    if (s->begun.tv_sec == 0 && s->begun.tv_nsec == 0) {
        clock_gettime(CLOCK_MONOTONIC, &s->begun);
        s->begun_step = s->step;
    }
    double seconds = seconds_since(&s->begun), took = seconds - s->last_seconds;
    s->last_seconds = seconds;
    if (took > 0) s->step_seconds = s->step_seconds > 0 ? 0.8 * s->step_seconds + 0.2 * took : took;
    *out = (fv_progress){.step = s->step,
                         .steps = s->now->steps,
                         .loss = scores->loss,
                         .cosine = scores->cosine,
                         .neuron = scores->neuron,
                         .gradient = s->gradient_norm,
                         .seconds = seconds,
                         .rate = s->step_seconds > 0 ? 1 / s->step_seconds : 0,
                         .restored = s->restored};
}

fv_status fv_session_forward(fv_session *s, int views_of, fv_scores *scores, bool *finite)
{
    FV_TRY(fv_views_draw(s->plan, &s->views, s->now, views_of));
    FV_TRY(fv_plan_forward(s->plan));
    return fv_objectives_scores(s->plan, &s->refs, &s->objectives, scores, finite);
}

/* Where the backend replays recordings a step is one of them, and a cancel waits for its end;
 * it is watched op by op only for the gradient. Elsewhere it is watched always. */
static fv_status watch_step(fv_session *s)
{
    fv_plan_watch(s->plan, NULL, NULL);
    if (!fv_plan_records(s->plan) || s->gradient_wanted) fv_plan_watch(s->plan, watch, s);
    return atomic_load_explicit(&s->cancelled, memory_order_relaxed) ? FV_ERR_ARGUMENT : FV_OK;
}

/* All of a step at once. What a loss that is not finite did to the params is undone by the
 * restore that follows. */
static fv_status recorded_step(fv_session *s, fv_scores *scores, bool *finite)
{
    float numbers[FV_ADAM_COLUMNS], stats[FV_ADAM_STATS];
    adam_numbers(s, numbers);
    FV_TRY(fv_views_draw(s->plan, &s->views, s->now, s->step));
    FV_TRY(fv_objectives_seed(s->plan, &s->refs, &s->objectives));
    FV_TRY(fv_plan_step_begin(s->plan, numbers));
    FV_TRY(take_in(s)); /* that of the step before, while this one runs */
    FV_TRY(fv_plan_step_end(s->plan, stats));
    FV_TRY(fv_objectives_scores(s->plan, &s->refs, &s->objectives, scores, finite));
    take_stats(s, stats, finite);
    return *finite ? send_picture(s, scores) : FV_OK;
}

/* Score, look, backward, Adam; the state is kept when its loss is known to be finite. */
static fv_status step_by_parts(fv_session *s, fv_scores *scores, bool *finite)
{
    FV_TRY(fv_session_forward(s, s->step, scores, finite));
    if (!*finite) return FV_OK;
    if (s->step % KEEP_EVERY == 0) FV_TRY(keep_state(s));
    FV_TRY(take_picture(s, scores));
    FV_TRY(fv_objectives_seed(s->plan, &s->refs, &s->objectives));
    FV_TRY(fv_plan_backward(s->plan));
    return adam_step(s, finite);
}

static fv_status one_step(fv_session *s, fv_scores *scores)
{
    bool finite;
    FV_TRY(fv_session_replay(s));
    FV_TRY(take_pending(s));
    FV_TRY(watch_step(s));
    bool whole = fv_plan_records(s->plan) && s->step % KEEP_EVERY != 0;
    FV_TRY((whole ? recorded_step : step_by_parts)(s, scores, &finite));
    if (!finite) return restore_state(s);
    s->restored_in_a_row = 0;
    s->step++;
    return fv_session_note_best(s);
}

/* A cancel ends one run: whoever returns FV_CANCELLED uses it up, and the next run goes on. */
static bool take_cancel(fv_session *s)
{
    return atomic_exchange(&s->cancelled, false);
}

fv_status fv_session_step(fv_session *s, fv_progress *out)
{
    fv_scores scores = {.loss = NAN, .cosine = NAN, .neuron = NAN};
    if (s->begun.tv_sec == 0 && s->begun.tv_nsec == 0) {
        clock_gettime(CLOCK_MONOTONIC, &s->begun);
        s->begun_step = s->step;
    }
    fv_status status = one_step(s, &scores);
    if (status < 0 && take_cancel(s)) return FV_CANCELLED;
    if (status >= 0) report(s, &scores, out);
    return status;
}

/* Steps to do: fewer than the schedule's when the recipe is of a picture that was stopped. */
static int last_step(const fv_session *s)
{
    return s->now->stop && s->now->stop < s->now->steps ? s->now->stop : s->now->steps;
}

fv_status fv_session_run(fv_session *s, fv_progress_fn fn, void *user)
{
    for (;;) {
        fv_progress progress;
        if (take_cancel(s)) return FV_CANCELLED;
        FV_TRY(fv_session_replay(s)); /* one of them may be that there are more steps */
        FV_TRY(take_pending(s));
        if (s->step >= last_step(s)) return FV_OK;
        fv_status status = fv_session_step(s, &progress);
        if (status != FV_OK) return status;
        if (fn && !fn(user, &progress)) return FV_CANCELLED;
    }
}

/* --- results --- */

static fv_status copy_picture(fv_session *s, fv_picture *out)
{
    int side = s->now->size;
    size_t bytes = (size_t)side * (size_t)side * 3;
    FV_TRY(take_in(s));
    fv_picture p = {side, side, malloc(bytes)};
    if (!p.rgb) return fv_fail(FV_ERR_MEMORY, "copying the picture: out of memory");
    pthread_mutex_lock(&s->mutex);
    bool has = s->has_picture;
    memcpy(p.rgb, s->rgb, bytes);
    pthread_mutex_unlock(&s->mutex);
    if (!has) {
        free(p.rgb);
        return fv_fail(FV_ERR_ARGUMENT, "there is no picture before the first step");
    }
    *out = p;
    return FV_OK;
}

fv_status fv_session_snapshot(fv_session *s, fv_picture *out)
{
    return copy_picture(s, out);
}

fv_status fv_session_picture(fv_session *s, fv_picture *out, fv_progress *scores)
{
    fv_scores final;
    bool finite;
    atomic_store(&s->cancelled, false); /* what was cancelled is over; this pass is short */
    FV_TRY(fv_session_replay(s));
    bool swapped;
    FV_TRY(fv_session_swap_best(s, &swapped));
    fv_status status = fv_session_forward(s, FV_VIEWS_WHOLE, &final, &finite);
    if (status >= 0) status = take_picture(s, &final);
    if (swapped) FV_TRY(fv_session_swap_back(s));
    FV_TRY(status);
    if (scores) report(s, &final, scores);
    return copy_picture(s, out);
}

fv_status fv_session_recipe(fv_session *s, char **out)
{
    return fv_recipe_write(out, s->recipe, s->model, s->step);
}

const fv_text_report *fv_session_text_report(const fv_session *s, int i)
{
    return i >= 0 && i < s->objectives.text_count ? &s->objectives.reports[i] : NULL;
}
