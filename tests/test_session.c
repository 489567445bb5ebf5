/* Sessions on a toy BriVL (tests/golden/towers/lite0: random weights, 72 pixels): every
 * objective climbs with every generator; what is reproducible is so to the byte; cancel,
 * live changes, save and resume, and the guard against gradients that are not finite. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "feavis/history.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/session.h"
#include "model/weights/weights.h"
#include "tests/toy.h"

enum { SIDE = 80, BYTES = SIDE * SIDE * 3 };

static fv_model *open_model(const fv_options *o)
{
    fv_model *m;
    MUST(fv_model_open(&m, o));
    return m;
}

static fv_session *open_session(fv_model *m, const fv_options *o)
{
    fv_session *s;
    MUST(fv_session_open(&s, m, o));
    return s;
}

typedef struct result {
    uint8_t rgb[BYTES];
    char *recipe;
    float cosine, loss, neuron;
} result;

static void take_result(fv_session *s, result *out)
{
    fv_picture p;
    fv_progress scores;
    MUST(fv_session_picture(s, &p, &scores));
    assert_int_equal(p.width, SIDE);
    assert_int_equal(p.height, SIDE);
    memcpy(out->rgb, p.rgb, BYTES);
    fv_picture_free(&p);
    MUST(fv_session_recipe(s, &out->recipe));
    out->cosine = scores.cosine;
    out->loss = scores.loss;
    out->neuron = scores.neuron;
}

static void run_to_end(fv_model *m, const fv_options *o, result *out)
{
    fv_session *s = open_session(m, o);
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, out);
    fv_session_close(s);
}

static void same(const result *a, const result *b)
{
    assert_string_equal(a->recipe, b->recipe);
    assert_memory_equal(a->rgb, b->rgb, BYTES);
}

/* --- climbing --- */

/* Scores of the whole picture before and after some steps without random views. */
static void climb(fv_model *m, fv_options *o, result *before, result *after)
{
    static const char *const still[] = {"shift", "rotate", "noise", "noise-end", "colour-shift"};
    for (size_t i = 0; i < sizeof still / sizeof still[0]; i++) set(o, still[i], "0");
    set(o, "scale-min", "1");
    set(o, "steps", "6");
    fv_session *s = open_session(m, o);
    take_result(s, before);
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, after);
    fv_session_close(s);
    free(before->recipe);
    free(after->recipe);
}

static void every_objective_climbs_with_every_generator(void **state)
{
    (void)state;
    static const struct {
        const char *text, *llp, *reduce, *penalty;
        int cosine, neuron; /* -1 down, 1 up, 0 not there */
    } goals[] = {
        {"moon", "", "mean", NULL, 1, 0},
        {"moon:-1", "", "mean", NULL, -1, 0},
        {"moon | lake:-0.5", "", "mean", NULL, 1, 0},
        {"", "7", "mean", NULL, 0, 1},
        {"", "7, 12:0.5", "max", NULL, 0, 1},
        {"", "7:-1", "mean", NULL, 0, -1},
        {"moon", "7:0.001", "mean", NULL, 1, 0}, /* the neuron is a trifle beside the text */
        {"moon:0.0001", "", "mean", "tv", 0, 0},
        {"moon:0.0001", "", "mean", "range", 0, 0},
        {"moon:0.0001", "", "mean", "grey", 0, 0},
    };
    static result before, after;
    fv_options *o = toy_options();
    fv_model *m = open_model(o);
    const fv_generator *g;
    for (int k = 0; (g = fv_generator_at(k)); k++)
        for (size_t i = 0; !g->needs_decoder && i < sizeof goals / sizeof goals[0]; i++) {
            fv_options *mine;
            MUST(fv_options_copy(&mine, o));
            set(mine, "param", g->name);
            set(mine, "text", goals[i].text);
            set(mine, "llp", goals[i].llp);
            set(mine, "llp-reduce", goals[i].reduce);
            set(mine, "start-noise", strcmp(g->name, "pixel") ? "0.5" : "0.1");
            /* small enough that every step descends: with larger ones Adam jumps about, and where
             * it is after six steps is what rounding decides */
            set(mine, "rate", "0.003");
            if (goals[i].penalty) set(mine, goals[i].penalty, "1");
            climb(m, mine, &before, &after);
            bool in_range = goals[i].penalty && strcmp(goals[i].penalty, "range") == 0;
            /* every picture of ours is in [0, 1]: that penalty is 0 from the start */
            if (in_range ? after.loss > before.loss + 1e-6f : !(after.loss < before.loss))
                fail_msg("%s, goal %zu: loss %g -> %g", g->name, i, (double)before.loss,
                         (double)after.loss);
            if (goals[i].cosine)
                assert_true((after.cosine - before.cosine) * (float)goals[i].cosine > 0);
            if (goals[i].neuron)
                assert_true((after.neuron - before.neuron) * (float)goals[i].neuron > 0);
            assert_int_equal(isnan(after.cosine), !*goals[i].text);
            assert_int_equal(isnan(after.neuron), !*goals[i].llp);
            fv_options_free(mine);
        }
    fv_model_close(m);
    fv_options_free(o);
}

/* --- the same bytes --- */

static void same_recipe_gives_the_same_bytes(void **state)
{
    (void)state;
    static result first, again, threads, other;
    fv_options *o = toy_options();
    set(o, "threads", "1");
    fv_model *one = open_model(o);
    run_to_end(one, o, &first);
    run_to_end(one, o, &again);
    same(&first, &again);
    set(o, "threads", "3");
    fv_model *three = open_model(o);
    run_to_end(three, o, &threads);
    same(&first, &threads); /* tasks are cut by shapes alone */

    fv_options *read;
    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, first.recipe, "recipe"));
    free(again.recipe);
    run_to_end(three, read, &again);
    same(&first, &again);

    set(o, "seed", "2");
    run_to_end(one, o, &other);
    assert_memory_not_equal(first.rgb, other.rgb, BYTES);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(one);
    fv_model_close(three);
    free(first.recipe);
    free(again.recipe);
    free(threads.recipe);
    free(other.recipe);
}

static void the_recipe_pins_the_text_length(void **state)
{
    (void)state;
    static result r;
    fv_options *o = toy_options();
    fv_model *m = open_model(o);
    run_to_end(m, o, &r);
    assert_non_null(strstr(r.recipe, "\ntext-length: 16\n")); /* MAX_TEXT_LEN of the toy */
    free(r.recipe);
    fv_model_close(m);
    fv_options_free(o);
}

/* --- changes while it grows --- */

static void live_changes_are_replayed(void **state)
{
    (void)state;
    static result changed, replayed, plain;
    fv_options *o = toy_options(), *read;
    fv_model *m = open_model(o);
    fv_session *s = open_session(m, o);
    fv_progress p;
    for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "text", "lake:2"));
    MUST(fv_session_set(s, "rate", "0.1"));
    for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &p));
    /* another number of objectives: a new plan in the middle */
    MUST(fv_session_set(s, "text", "lake | dream:-0.5"));
    MUST(fv_session_set(s, "llp", "7:0.1"));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &changed);
    fv_session_close(s);
    assert_non_null(strstr(changed.recipe, "changes:"));

    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, changed.recipe, "recipe"));
    run_to_end(m, read, &replayed);
    same(&changed, &replayed);
    run_to_end(m, o, &plain);
    assert_memory_not_equal(changed.rgb, plain.rgb, BYTES);

    s = open_session(m, o);
    FAILS(fv_session_set(s, "size", "64"), FV_ERR_ARGUMENT, "size");
    FAILS(fv_session_set(s, "rate", "fast"), FV_ERR_ARGUMENT, "rate");
    FAILS(fv_session_set(s, "colour-depth", "1"), FV_ERR_ARGUMENT, "colour-depth");
    fv_session_close(s);
    free(changed.recipe);
    free(replayed.recipe);
    free(plain.recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

/* Typed while it grows, full-width syntax is recorded as its ASCII twin; in a change that an older
 * recipe holds it is text, as it was then. */
static void a_change_means_what_it_meant_when_it_was_made(void **state)
{
    (void)state;
    fv_options *o = toy_options(), *read;
    fv_model *m = open_model(o);
    fv_session *s = open_session(m, o);
    fv_progress p;
    char *recipe;
    MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "text", "moon：2 ｜ lake：－０．５"));
    MUST(fv_session_step(s, &p));
    MUST(fv_session_recipe(s, &recipe));
    assert_non_null(strstr(recipe, "- {step: 1, option: text, value: \"moon:2 | lake:-0.5\"}\n"));
    fv_session_close(s);
    char *value = strstr(recipe, "moon:2 |");
    memcpy(value, "梦：2 ", strlen("梦：2 ")); /* as many bytes */
    MUST(fv_options_copy(&read, o));
    MUST(fv_recipe_apply(read, recipe, "recipe"));
    s = open_session(m, read);
    MUST(fv_session_step(s, &p));
    MUST(fv_session_step(s, &p));
    assert_string_equal(fv_session_option(s, "text"), "梦：2  lake:-0.5");
    fv_session_close(s);
    free(recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

/* A picture from a recipe that changes at step 4, changed again at step 2: both are made. */
static void a_change_before_a_recorded_one_drops_none(void **state)
{
    (void)state;
    static result recorded, both, replayed;
    fv_options *o = toy_options(), *read, *again;
    fv_model *m = open_model(o);
    fv_session *s = open_session(m, o);
    fv_progress p;
    for (int i = 0; i < 4; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "text", "lake | dream"));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &recorded);
    fv_session_close(s);

    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, recorded.recipe, "recipe"));
    s = open_session(m, read);
    for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "rate", "0.2"));
    MUST(fv_session_run(s, NULL, NULL));
    assert_string_equal(fv_session_text(s, 1), "dream");
    take_result(s, &both);
    fv_session_close(s);
    const char *first = strstr(both.recipe, "step: 2"), *second = strstr(both.recipe, "step: 4");
    assert_true(first && second && first < second);
    assert_memory_not_equal(both.rgb, recorded.rgb, BYTES);

    MUST(fv_options_new(&again));
    MUST(fv_recipe_apply(again, both.recipe, "recipe"));
    run_to_end(m, again, &replayed);
    same(&both, &replayed);
    free(recorded.recipe);
    free(both.recipe);
    free(replayed.recipe);
    fv_options_free(again);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

/* --- stopping --- */

static bool stop_at_three(void *user, const fv_progress *p)
{
    *(int *)user = p->step;
    return p->step < 3;
}

static void a_stopped_run_goes_on_where_it_was(void **state)
{
    (void)state;
    static result whole, stopped, gone_on, replayed;
    fv_options *o = toy_options(), *read;
    fv_model *m = open_model(o);
    run_to_end(m, o, &whole);
    fv_session *s = open_session(m, o);
    fv_picture none;
    FAILS(fv_session_preview(s, &none), FV_ERR_ARGUMENT, "before the first step");
    int seen = 0;
    assert_int_equal(fv_session_run(s, stop_at_three, &seen), FV_CANCELLED);
    assert_int_equal(seen, 3);
    take_result(s, &stopped);
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &gone_on);
    same(&whole, &gone_on);
    fv_session_close(s);

    /* the picture of a stopped run has its own recipe */
    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, stopped.recipe, "recipe"));
    run_to_end(m, read, &replayed);
    assert_memory_equal(stopped.rgb, replayed.rgb, BYTES);
    free(whole.recipe);
    free(stopped.recipe);
    free(gone_on.recipe);
    free(replayed.recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

typedef struct watcher {
    fv_session *session;
    atomic_int steps, previews;
    atomic_bool done;
} watcher;

static bool count_steps(void *user, const fv_progress *p)
{
    (void)p;
    watcher *w = user;
    atomic_fetch_add(&w->steps, 1);
    return true;
}

/* Looks at pictures while they grow, and cancels after five. */
static void *look_and_cancel(void *user)
{
    watcher *w = user;
    while (!atomic_load(&w->done)) {
        fv_picture p;
        if (fv_session_preview(w->session, &p) >= 0) {
            atomic_fetch_add(&w->previews, 1);
            fv_picture_free(&p);
        }
        if (atomic_load(&w->steps) >= 5) fv_session_cancel(w->session);
        usleep(500);
    }
    return NULL;
}

static void another_thread_looks_and_cancels(void **state)
{
    (void)state;
    fv_options *o = toy_options();
    set(o, "steps", "100000");
    fv_model *m = open_model(o);
    watcher w = {.session = open_session(m, o)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_and_cancel, &w), 0);
    assert_int_equal(fv_session_run(w.session, count_steps, &w), FV_CANCELLED);
    atomic_store(&w.done, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&w.previews) > 0);
    assert_true(atomic_load(&w.steps) < 1000);
    /* one cancel ends one run: it may have come again before the thread ended */
    fv_progress p;
    fv_status again = fv_session_step(w.session, &p);
    if (again == FV_CANCELLED) again = fv_session_step(w.session, &p);
    assert_int_equal(again, FV_OK);
    fv_session_close(w.session);
    fv_model_close(m);
    fv_options_free(o);
}

/* --- the whole state in a file --- */

static void resume_equals_the_uninterrupted_run(void **state)
{
    (void)state;
    static result whole, resumed;
    fv_options *o = toy_options(), *read;
    set(o, "text", "moon | lake:-0.3");
    fv_model *m = open_model(o);
    fv_session *s = open_session(m, o);
    fv_progress p;
    for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_set(s, "text", "dream")); /* another plan from step 2 on */
    for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_save(s, "state.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &whole);
    fv_session_close(s);

    MUST(fv_options_new(&read));
    MUST(fv_session_read_options(read, "state.safetensors"));
    MUST(fv_session_resume(&s, m, read, "state.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &resumed);
    fv_session_close(s);
    same(&whole, &resumed);

    FAILS(
        fv_session_resume(&s, m, read, source_file("tests/golden/towers/lite0/golden.safetensors")),
        FV_ERR_FORMAT, "not a saved state");
    set(read, "size", "64");
    FAILS(fv_session_resume(&s, m, read, "state.safetensors"), FV_ERR_ARGUMENT,
          "size is \"64\", and was \"80\"");
    fv_model_close(m);
    set(read, "size", "80");
    set(read, "config", source_file("tests/golden/towers/b0/cfg.yml"));
    char *b0 = strdup(fv_options_get(read, "checkpoint"));
    memcpy(strstr(b0, "lite0.pth"), "b0.pth\0\0", 8);
    set(read, "checkpoint", b0);
    m = open_model(read);
    FAILS(fv_session_resume(&s, m, read, "state.safetensors"), FV_ERR_ARGUMENT, "another model");
    free(b0);
    free(whole.recipe);
    free(resumed.recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

/* --- keep: best --- */

/* The step size is so large that the last state is a matter of luck; there are eleven looks. */
static fv_options *reckless_options(void)
{
    fv_options *o = toy_options();
    set(o, "steps", "20");
    set(o, "rate", "2");
    set(o, "rate-end", "1");
    set(o, "tv", "0");
    return o;
}

/* The step in the second half after which the blurred picture has the least loss. */
static int best_step(fv_model *m, const fv_options *o)
{
    fv_session *s = open_session(m, o);
    fv_progress p;
    int best = 0, steps = atoi(fv_options_get(o, "steps"));
    float least = INFINITY;
    for (int step = 1; step <= steps; step++) {
        fv_scores scores;
        bool finite;
        MUST(fv_session_step(s, &p));
        MUST(fv_session_forward(s, FV_VIEWS_BLURRED, &scores, &finite));
        if (2 * step < steps || !(scores.loss < least)) continue;
        least = scores.loss;
        best = step;
    }
    fv_session_close(s);
    return best;
}

static void the_best_state_is_kept(void **state)
{
    (void)state;
    static result best, stopped, replayed, resumed, returned;
    fv_options *o = reckless_options(), *read;
    fv_model *m = open_model(o);
    int step = best_step(m, o);
    assert_true(step >= 10 && step < 20); /* else there is nothing to see here */
    set(o, "keep", "best");

    fv_session *s = open_session(m, o);
    fv_progress p;
    fv_snapshot *kept;
    for (int i = 0; i < 12; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_save(s, "best.safetensors"));
    MUST(fv_session_take_snapshot(s, &kept));
    take_result(s, &best); /* a look in between changes nothing */
    free(best.recipe);
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &best);
    assert_non_null(strstr(best.recipe, "\nkeep: best\n"));
    MUST(fv_session_restore(s, kept));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &returned);
    same(&best, &returned);
    fv_snapshot_free(kept);
    fv_session_close(s);

    char number[16];
    snprintf(number, sizeof number, "%d", step);
    set(o, "keep", "last");
    set(o, "stop", number);
    run_to_end(m, o, &stopped);
    assert_memory_equal(best.rgb, stopped.rgb, BYTES);
    assert_null(strstr(stopped.recipe, "keep:")); /* as recipes were before there was the option */

    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, best.recipe, "recipe"));
    run_to_end(m, read, &replayed);
    same(&best, &replayed);
    MUST(fv_session_resume(&s, m, read, "best.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    take_result(s, &resumed);
    same(&best, &resumed);
    fv_session_close(s);
    free(best.recipe);
    free(stopped.recipe);
    free(replayed.recipe);
    free(resumed.recipe);
    free(returned.recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

/* --- the guard --- */

/* Copies a saved state, with NaN in the first of its parameters. */
static void poison(const char *from, const char *to, bool kept_too)
{
    fv_weights *w;
    MUST(fv_weights_open(&w, from));
    size_t count = fv_weights_count(w);
    assert_int_equal(count, 6);
    fv_save_entry entries[6];
    float *values[6];
    for (size_t i = 0; i < count; i++) {
        const fv_entry *e = fv_weights_at(w, i);
        values[i] = malloc(fv_entry_count(e) * sizeof(float));
        fv_entry_read_f32(e, values[i]);
        if (strcmp(e->name, "value") == 0 || (kept_too && strcmp(e->name, "kept.value") == 0))
            values[i][0] = NAN;
        entries[i] = (fv_save_entry){e->name, FV_FILE_F32, 1, {e->dims[0]}, values[i]};
    }
    const char *const metadata[] = {"feavis.recipe", fv_weights_metadata(w, "feavis.recipe"),
                                    "feavis.state", fv_weights_metadata(w, "feavis.state"), NULL};
    MUST(fv_weights_save(to, entries, count, metadata));
    for (size_t i = 0; i < count; i++) free(values[i]);
    fv_weights_close(w);
}

static void a_state_that_is_not_finite_goes_back_to_a_good_one(void **state)
{
    (void)state;
    static result r;
    fv_options *o = toy_options();
    fv_model *m = open_model(o);
    fv_session *s = open_session(m, o);
    fv_progress p = {0};
    for (int i = 0; i < 3; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_save(s, "good.safetensors"));
    fv_session_close(s);

    poison("good.safetensors", "bad.safetensors", false);
    MUST(fv_session_resume(&s, m, o, "bad.safetensors"));
    while (p.step < 6) MUST(fv_session_step(s, &p));
    assert_int_equal(p.restored, 1);
    take_result(s, &r);
    assert_true(isfinite(r.cosine) && isfinite(r.loss));
    free(r.recipe);
    fv_session_close(s);

    /* nothing good to go back to: it gives up, in words */
    poison("good.safetensors", "worse.safetensors", true);
    MUST(fv_session_resume(&s, m, o, "worse.safetensors"));
    FAILS(fv_session_run(s, NULL, NULL), FV_ERR_DEVICE, "not finite");
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

/* --- what is refused --- */

static void impossible_sessions_are_refused(void **state)
{
    (void)state;
    fv_options *o = toy_options();
    fv_model *m = open_model(o);
    fv_session *s;
    set(o, "text", "");
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "text");
    set(o, "llp", "1280");
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "1279");
    set(o, "llp", "seven");
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "seven");
    set(o, "llp", "");
    FAILS(fv_options_set(o, "text", "moon\xff"), FV_ERR_ARGUMENT, "UTF-8");
    fv_model_close(m);
    fv_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_objective_climbs_with_every_generator),
        cmocka_unit_test(same_recipe_gives_the_same_bytes),
        cmocka_unit_test(the_recipe_pins_the_text_length),
        cmocka_unit_test(live_changes_are_replayed),
        cmocka_unit_test(a_change_means_what_it_meant_when_it_was_made),
        cmocka_unit_test(a_change_before_a_recorded_one_drops_none),
        cmocka_unit_test(a_stopped_run_goes_on_where_it_was),
        cmocka_unit_test(another_thread_looks_and_cancels),
        cmocka_unit_test(resume_equals_the_uninterrupted_run),
        cmocka_unit_test(the_best_state_is_kept),
        cmocka_unit_test(a_state_that_is_not_finite_goes_back_to_a_good_one),
        cmocka_unit_test(impossible_sessions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
