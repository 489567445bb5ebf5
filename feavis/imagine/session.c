/* The loop: views, forward, output gradients, backward, Adam; with cancel and a NaN guard. See
 * feavis.h, and session.h for the other files of a session.
 *
 * Threads: fv_session_run and _step belong to one thread. cancel, set, preview, parts and gradient
 * may come from any other: cancel is one atomic flag, the others take the mutex, which the loop
 * holds only to take changes and to put a new picture down.
 *
 * A step first does what can fail and leave the session unchanged. Once Adam has moved the
 * parameters, what is left of the step is noted in s->owed (session.h), and the next call finishes
 * it before it does anything else. */
#include "feavis/imagine/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/recipe.h"
#include "feavis/imagine/term_files.h"
#include "model/files/text_out.h"

enum {
    KEEP_EVERY = 10, /* steps between two copies of the state for the NaN guard */
    MAX_RESTORES = 8 /* in a row, before giving up */
};

/* A cancel has to be seen from a signal handler. */
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "an atomic flag takes no lock");

static bool is_cancelled(fv_session *s)
{
    return atomic_load_explicit(&s->cancelled, memory_order_relaxed);
}

static fv_status stopped(void)
{
    return fv_fail(FV_ERR_STOPPED, "cancelled");
}

static fv_status after_op(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    fv_session *s = user;
    if (is_cancelled(s)) return stopped();
    return backward && s->gradient_wanted ? fv_session_watch_gradient(s, p, op) : FV_OK;
}

/* --- what the NaN guard goes back to --- */

static fv_status keep_state(fv_session *s)
{
    s->kept_step = -1;
    FV_TRY(fv_session_state_read(s, s->kept));
    s->kept_step = s->step;
    return FV_OK;
}

static fv_status restore_state(fv_session *s)
{
    if (s->kept_step < 0 || s->restored_in_a_row >= MAX_RESTORES) {
        s->owed = FV_OWED_NOTHING;
        s->restored_in_a_row++;
        return s->kept_step < 0
                   ? fv_fail(FV_ERR_DEVICE,
                             "step %d: the gradient is not finite, and the last good state could "
                             "not be read",
                             s->step)
                   : fv_fail(FV_ERR_DEVICE,
                             "step %d: the gradient is not finite, also with a step size %g times "
                             "smaller; the picture stays that of step %d",
                             s->step, s->rate_scale, s->kept_step);
    }
    FV_TRY(fv_session_state_write(s->net.plan, s->kept));
    s->owed = FV_OWED_NOTHING;
    s->restored_in_a_row++;
    s->restored++;
    s->rate_scale /= 2;
    return FV_OK;
}

static fv_status make_room(fv_session *s)
{
    size_t n = s->param_count, pixels = (size_t)s->width * (size_t)s->height;
    s->kept = calloc(3 * n, sizeof *s->kept);
    s->pixels = malloc(pixels * 3 * sizeof *s->pixels);
    s->rgb = calloc(pixels, 3);
    bool ok = s->kept && s->pixels && s->rgb;
    if (s->now->keep) {
        s->best = calloc(n, sizeof *s->best);
        s->aside = calloc(n, sizeof *s->aside);
        ok = ok && s->best && s->aside;
    }
    s->moved = fv_generator_moved(s->now, s->decoder, NULL, NULL, 0);
    if (s->moved >= 0) {
        s->before = calloc(n, sizeof *s->before);
        s->after = calloc(n, sizeof *s->after);
        ok = ok && s->before && s->after;
    }
    return ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "opening a session: out of memory");
}

/* --- open, close --- */

static fv_status open_session(fv_session *s, fv_model *m, const fv_options *o)
{
    s->model = m;
    s->rate_scale = 1;
    FV_TRY(fv_options_copy(&s->recipe, o));
    FV_TRY(fv_start_note(s->recipe));
    FV_TRY(fv_options_note_terms(s->recipe));
    FV_TRY(fv_plausible_note(s->recipe));
    FV_TRY(fv_options_copy(&s->now, s->recipe));
    if (fv_generator_of(s->now)->needs_decoder) {
        FV_TRY(fv_model_need_decoder(m));
        s->decoder = fv_model_decoder(m);
    }
    FV_TRY(fv_objectives_read(&s->objectives, m, s->now));
    FV_TRY(fv_session_build(s, &s->net, s->now, &s->objectives, NULL));
    s->width = fv_width(s->now);
    s->height = fv_height(s->now);
    s->param_count = fv_plan_param_count(s->net.plan);
    FV_TRY(make_room(s));
    FV_TRY(fv_generator_start(s->now, s->decoder, m->engine->backend, s->kept, s->param_count));
    return fv_session_state_write(s->net.plan, s->kept);
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
    fv_session_drop_net(&s->net);
    fv_objectives_clear(&s->objectives);
    fv_options_free(s->recipe);
    fv_options_free(s->now);
    free(s->held);
    free(s->kept);
    free(s->best);
    free(s->aside);
    free(s->before);
    free(s->after);
    fv_session_forget_pending(s);
    free(s->pixels);
    free(s->rgb);
    free(s->gradient);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void print_guide(const fv_model *m, FILE *to)
{
    const fv_network *n = m->network;
    char image[128];
    n->kind->describe(n, image, sizeof image);
    fprintf(to, "model      %s (%s)\n", m->title, n->license ? n->license : "licence unknown");
    fprintf(to, "weights    %s, %s, %zu tensors\n", fv_weights_path(n->source.weights),
            fv_weights_format(n->source.weights), fv_weights_count(n->source.weights));
    fprintf(to, "image      %s, LLP channels 0 to %d\n", image, n->map_channels - 1);
    fprintf(to, "text       %d tokens of at most %d, vocabulary of %d\n", m->text_length,
            n->text_limit, n->vocabulary_size);
    fprintf(to, "embedding  %d numbers\n", n->dim);
}

static void print_decoder(const fv_network *n, FILE *to)
{
    char what[128];
    n->kind->describe(n, what, sizeof what);
    fprintf(to, "decoder    %s (%s), %s\n", n->title, n->license ? n->license : "licence unknown",
            what);
}

static fv_status print_model(fv_model *m, const fv_options *o, bool plan, FILE *to)
{
    bool reads = true; /* all of them text */
    for (int i = 0; i < m->guide_count; i++) {
        print_guide(m->guides[i], to);
        reads = reads && m->guides[i]->network->vocabulary_size;
    }
    fprintf(to, "backend    %s, %d threads (there are: %s)\n", m->backend_name,
            m->engine->backend->threads, fv_backend_names());
    if (*fv_model_without_gpu(m)) fprintf(to, "           %s\n", fv_model_without_gpu(m));
    fv_options *copy;
    FV_TRY(fv_options_copy(&copy, o));
    fv_session *s = NULL;
    fv_status status = FV_OK;
    if (!*copy->text && !*copy->llp) status = fv_options_set(copy, "text", "?");
    if (status >= 0 && !reads) status = fv_options_set(copy, "text", "");
    if (status >= 0 && !*copy->text && !*copy->llp) status = fv_options_set(copy, "llp", "0");
    if (status >= 0) status = fv_session_open(&s, m, copy);
    if (status >= 0) {
        fv_plan_info i = fv_plan_describe(s->net.plan);
        if (s->decoder) print_decoder(s->decoder, to);
        fprintf(to, "plan       %d ops, %.2f GMAC forward for %d views of a %d x %d picture\n",
                i.ops, i.forward_macs / 1e9, copy->views, fv_width(copy), fv_height(copy));
        fprintf(to,
                "memory     %.1f MB weights, %.1f MB values (bound %.1f, unshared %.1f), "
                "%.1f MB parameters, %.1f MB scratch\n",
                (double)i.weight_bytes / 1e6, (double)i.arena_bytes / 1e6,
                (double)i.arena_bound / 1e6, (double)i.unplanned_bytes / 1e6,
                (double)i.param_bytes / 1e6, (double)i.scratch_bytes / 1e6);
        if (plan) fv_plan_print(s->net.plan, to);
    }
    fv_session_close(s);
    fv_options_free(copy);
    return status;
}

fv_status fv_model_describe(char **out, fv_model *m, const fv_options *o, bool plan)
{
    fv_text_out text;
    FV_TRY(fv_text_begin(&text, "describing a model"));
    return fv_text_end(out, &text, print_model(m, o, plan, text.to));
}

/* --- one step --- */

void fv_session_cancel(fv_session *s)
{
    atomic_store_explicit(&s->cancelled, true, memory_order_relaxed);
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
    numbers[FV_ADAM_RATE] = (float)(o->rate * schedule(o, s->step) * s->rate_scale);
    numbers[FV_ADAM_BETA1] = (float)o->beta1;
    numbers[FV_ADAM_BETA2] = (float)o->beta2;
    /* gradients of a cosine are small: the usual 1e-8 would act as a brake */
    numbers[FV_ADAM_EPS] = 1e-12f;
    numbers[FV_ADAM_CORRECTION1] = (float)(1 - pow(o->beta1, t));
    numbers[FV_ADAM_CORRECTION2] = (float)(1 - pow(o->beta2, t));
    fv_generator_bounds(o, s->decoder, &numbers[FV_ADAM_LOW], &numbers[FV_ADAM_HIGH]);
}

static double seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + 1e-9 * (double)(now.tv_nsec - begin->tv_nsec);
}

/* Cells whose codes are followed. */
static int followed_cells(const fv_session *s)
{
    return s->before ? (int)(s->param_count / (size_t)s->decoder->latent_channels) : 0;
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
                         .restored = s->restored,
                         .dropped = s->dropped,
                         .moved = s->moved,
                         .cells = followed_cells(s)};
}

/* Where the backend replays graphs a step is one of them, and a cancel waits for its end;
 * it has a hook, and runs op by op, only for the gradient. Elsewhere it always has. */
static fv_status hook_step(fv_session *s)
{
    fv_plan_hook(s->net.plan, NULL, NULL);
    if (!fv_plan_captures(s->net.plan) || s->gradient_wanted)
        fv_plan_hook(s->net.plan, after_op, s);
    return is_cancelled(s) ? stopped() : FV_OK;
}

/* All of a step at once. What a loss that is not finite did to the params is undone by the
 * restore that follows. */
static fv_status begin_graph(fv_session *s)
{
    float numbers[FV_ADAM_COLUMNS];
    adam_numbers(s, numbers);
    FV_TRY(fv_session_draw_views(s, s->step));
    FV_TRY(fv_objectives_output_gradients(s->net.plan, &s->net.refs, &s->objectives));
    return fv_plan_step_begin(s->net.plan, numbers);
}

/* Backward of each guide behind its forward: the plan has subgraphs. */
static fv_status subgraphs_and_scores(fv_session *s)
{
    FV_TRY(fv_session_draw_views(s, s->step));
    FV_TRY(fv_objectives_output_gradients(s->net.plan, &s->net.refs, &s->objectives));
    FV_TRY(fv_plan_forward_backward(s->net.plan));
    return fv_objectives_scores(s->net.plan, &s->net.refs, &s->objectives, &s->scores, &s->finite);
}

/* Score, look, backward, Adam; the state is kept when its loss is known to be finite. */
static fv_status begin_by_parts(fv_session *s)
{
    float numbers[FV_ADAM_COLUMNS];
    bool subgraphs = fv_plan_has_subgraphs(s->net.plan);
    FV_TRY(subgraphs ? subgraphs_and_scores(s)
                     : fv_session_forward(s, s->step, &s->scores, &s->finite));
    if (!s->finite) return FV_OK;
    if (s->step % KEEP_EVERY == 0) FV_TRY(keep_state(s));
    FV_TRY(fv_session_take_picture(s, &s->scores));
    if (!subgraphs) {
        FV_TRY(fv_objectives_output_gradients(s->net.plan, &s->net.refs, &s->objectives));
        FV_TRY(fv_plan_backward(s->net.plan));
    }
    adam_numbers(s, numbers);
    return fv_plan_adam_begin(s->net.plan, numbers);
}

static fv_status note_before(fv_session *s)
{
    if (!s->before) return FV_OK;
    FV_TRY(fv_session_take_in(s)); /* of the step before, which may be on its way */
    return fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, s->before);
}

static fv_status count_moved(fv_session *s)
{
    if (!s->before) return FV_OK;
    FV_TRY(fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, s->after));
    s->moved = fv_generator_moved(s->now, s->decoder, s->before, s->after, s->param_count);
    return FV_OK;
}

static fv_status begin_step(fv_session *s)
{
    FV_TRY(fv_session_replay(s));
    FV_TRY(fv_session_take_pending(s));
    FV_TRY(hook_step(s));
    FV_TRY(note_before(s));
    s->captured = fv_plan_captures(s->net.plan) && s->step % KEEP_EVERY != 0 &&
                  s->objectives.own.count == 0; /* their gradients depend on forward */
    s->scores = (fv_scores){.loss = NAN, .cosine = NAN, .neuron = NAN};
    s->finite = true;
    FV_TRY(s->captured ? begin_graph(s) : begin_by_parts(s));
    s->owed = s->finite ? FV_OWED_END : FV_OWED_RESTORE;
    return FV_OK;
}

fv_status fv_session_end_step(fv_session *s)
{
    float stats[FV_ADAM_STATS];
    FV_TRY(fv_session_mend(s));
    if (s->owed != FV_OWED_END) return FV_OK;
    if (s->captured) FV_TRY(fv_session_take_in(s)); /* that of the step before */
    FV_TRY(fv_plan_step_end(s->net.plan, stats));
    if (s->captured)
        FV_TRY(fv_objectives_scores(s->net.plan, &s->net.refs, &s->objectives, &s->scores,
                                    &s->finite));
    s->finite = s->finite && stats[FV_ADAM_STAT_BAD] == 0;
    if (s->finite) FV_TRY(fv_generator_after_step(s->net.plan, s->now, s->decoder));
    if (s->finite) FV_TRY(count_moved(s));
    s->gradient_norm = sqrtf(stats[FV_ADAM_STAT_NORM2]);
    if (s->captured && s->finite) FV_TRY(fv_session_send_picture(s, &s->scores));
    s->owed = s->finite ? FV_OWED_LOOK : FV_OWED_RESTORE;
    if (!s->finite) return FV_OK;
    s->restored_in_a_row = 0;
    s->step++;
    return FV_OK;
}

fv_status fv_session_settle(fv_session *s)
{
    FV_TRY(fv_session_end_step(s));
    if (s->owed == FV_OWED_RESTORE) return restore_state(s);
    if (s->owed == FV_OWED_LOOK) FV_TRY(fv_session_note_best(s));
    s->owed = FV_OWED_NOTHING;
    return FV_OK;
}

static fv_status one_step(fv_session *s)
{
    FV_TRY(fv_session_mend(s));
    if (s->owed == FV_OWED_NOTHING) FV_TRY(begin_step(s));
    return fv_session_settle(s);
}

/* Reads and clears the flag: a cancel ends one run, and the next one goes on. */
static bool take_cancel(fv_session *s)
{
    return atomic_exchange(&s->cancelled, false);
}

fv_status fv_session_step(fv_session *s, fv_progress *out)
{
    if (s->begun.tv_sec == 0 && s->begun.tv_nsec == 0) {
        clock_gettime(CLOCK_MONOTONIC, &s->begun);
        s->begun_step = s->step;
    }
    fv_status status = one_step(s);
    if (status == FV_ERR_STOPPED) {
        take_cancel(s);
        return FV_CANCELLED;
    }
    if (status >= 0) report(s, &s->scores, out);
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
        if (s->owed == FV_OWED_NOTHING) {
            FV_TRY(fv_session_replay(s)); /* one of them may be that there are more steps */
            FV_TRY(fv_session_take_pending(s));
            if (s->step >= last_step(s)) return FV_OK;
        }
        fv_status status = fv_session_step(s, &progress);
        if (status != FV_OK) return status;
        if (fn && !fn(user, &progress)) return FV_CANCELLED;
    }
}

/* --- results --- */

fv_status fv_session_picture(fv_session *s, fv_picture *out, fv_progress *scores)
{
    fv_scores final;
    bool finite;
    atomic_store(&s->cancelled, false); /* what was cancelled is over; */
    FV_TRY(fv_session_settle(s));
    fv_plan_hook(s->net.plan, NULL, NULL); /* and this pass is short */
    FV_TRY(fv_session_replay(s));
    fv_status status = fv_session_swap_best(s);
    if (status >= 0) status = fv_session_forward(s, FV_VIEWS_WHOLE, &final, &finite);
    if (status >= 0) status = fv_session_take_picture(s, &final);
    if (status < 0) return fv_session_mend_after(s, status);
    (void)fv_session_mend(s); /* if it fails, whoever uses the plan next tries again */
    if (scores) report(s, &final, scores);
    return fv_session_preview(s, out);
}

/* As fv_session_picture, but what is in the plan then is read. */
static fv_status read_codes(fv_session *s, bool finished, float *values, fv_codes *out)
{
    fv_status status = finished ? fv_session_swap_best(s) : FV_OK;
    if (status >= 0) status = fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, values);
    if (status < 0) return fv_session_mend_after(s, status);
    (void)fv_session_mend(s);
    return fv_generator_codes(s->now, s->decoder, values, s->param_count, out);
}

fv_status fv_session_codes(fv_session *s, bool finished, fv_codes *out)
{
    *out = (fv_codes){0};
    FV_TRY(fv_session_settle(s));
    FV_TRY(fv_session_take_in(s));
    float *values = malloc(s->param_count * sizeof *values);
    if (!values) return fv_fail(FV_ERR_MEMORY, "the codes of a picture: out of memory");
    fv_status status = read_codes(s, finished, values, out);
    free(values);
    return status;
}

fv_status fv_session_recipe(fv_session *s, char **out)
{
    return fv_recipe_write(out, s->recipe, s->model, s->step);
}

const fv_text_report *fv_session_text_report(const fv_session *s, int i)
{
    return fv_session_guide_report(s, 0, i);
}

const fv_text_report *fv_session_guide_report(const fv_session *s, int guide, int i)
{
    const fv_objectives *g = &s->objectives;
    if (guide < 0 || guide >= g->guide_count || i < 0 || i >= g->text_count) return NULL;
    return &g->reports[guide * g->text_count + i];
}

const char *fv_session_text(const fv_session *s, int i)
{
    return i >= 0 && i < s->objectives.text_count ? s->objectives.texts[i].name : NULL;
}

const char *fv_session_option(const fv_session *s, const char *name)
{
    return fv_options_get(s->now, name);
}
