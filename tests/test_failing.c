/* Memory and devices that fail: the k-th allocation, upload, download, question for room or wait of
 * a backend, and the k-th malloc of the library, for every k in turn. Whatever was called says so
 * in one line, leaves nothing allocated, and what there was before is whole: called again it gives
 * the bytes of a session in which nothing failed.
 *
 * The linker puts this program's fv_backend_open, malloc, ... in front of the real ones (--wrap),
 * see CMakeLists.txt. For malloc, and where one attempt takes long, k grows in strides after the
 * first sixteen; under a sanitizer, which makes an attempt ten times as long and is there to see
 * what the others touch, after the first two. */
#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "feavis/codes.h"
#include "feavis/critic.h"
#include "feavis/embed.h"
#include "feavis/history.h"
#include "feavis/imagine/session.h"
#include "feavis/judge.h"
#include "tests/toy.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STRIDE_AFTER = 2 };
#else
enum { STRIDE_AFTER = 16 };
#endif
enum { SIDE = 16, VALUES = SIDE * SIDE * 3, STATE = 3 * VALUES };

/* --- what fails --- */

typedef enum resource { NOTHING, DEVICE, HOST } resource;

static struct {
    resource armed;
    long calls, at; /* so far; the one that fails, */
    bool forever;   /* and all after it */
    long living;    /* allocations of devices */
} failing;
static fv_session
    *cancelled_then; /* cancelled by the k-th call; it fails as well if `at` says so */
static long cancel_at;
static char opened_as[64];                /* the newest backend */
static _Thread_local bool on_this_thread; /* memory of other threads does not fail */
static fv_backend was;

static bool fails_now(resource r)
{
    if (failing.armed != r || !on_this_thread) return false;
    failing.calls++;
    if (cancelled_then && failing.calls == cancel_at) fv_session_cancel(cancelled_then);
    return failing.forever ? failing.calls >= failing.at : failing.calls == failing.at;
}

static fv_status device_call(fv_status code, const char *what, const char *of)
{
    return fails_now(DEVICE) ? fv_fail(code, "%s %s was made to fail", what, of) : FV_OK;
}

static fv_status failing_alloc(fv_backend *be, size_t bytes, void **out)
{
    FV_TRY(device_call(FV_ERR_MEMORY, "an", "allocation"));
    FV_TRY(was.alloc(be, bytes, out));
    failing.living++;
    return FV_OK;
}

static void failing_free(fv_backend *be, void *memory)
{
    if (memory) failing.living--;
    was.free(be, memory);
}

static fv_status failing_upload(fv_backend *be, fv_tensor *dst, fv_dtype type, const void *host)
{
    FV_TRY(device_call(FV_ERR_DEVICE, "the upload of", dst->name));
    return was.upload(be, dst, type, host);
}

static fv_status failing_download(fv_backend *be, const fv_tensor *src, fv_dtype type, void *host)
{
    fv_status s = device_call(FV_ERR_DEVICE, "the download of", src->name);
    if (s < 0) { /* after a part of it */
        memset(host, 0x7f, 4);
        return s;
    }
    return was.download(be, src, type, host);
}

static fv_status failing_sync(fv_backend *be)
{
    FV_TRY(device_call(FV_ERR_DEVICE, "a", "wait"));
    return was.sync(be);
}

static fv_status failing_room(fv_backend *be, size_t bytes)
{
    (void)be;
    (void)bytes;
    return device_call(FV_ERR_MEMORY, "a question for", "room");
}

fv_status __real_fv_backend_open(fv_backend **out, const char *name, int threads);
fv_status __wrap_fv_backend_open(fv_backend **out, const char *name, int threads);
fv_status __wrap_fv_backend_open(fv_backend **out, const char *name, int threads)
{
    snprintf(opened_as, sizeof opened_as, "%s", name);
    FV_TRY(__real_fv_backend_open(out, name, threads));
    fv_backend *be = *out;
    was = *be;
    be->alloc = failing_alloc;
    be->free = failing_free;
    be->upload = failing_upload;
    be->download = failing_download;
    be->sync = failing_sync;
    be->check_memory = failing_room;
    return FV_OK;
}

#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (!fails_now(HOST)) return __real_##name arguments;                                      \
        errno = ENOMEM;                                                                            \
        return NULL;                                                                               \
    }
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *old, size_t n), (old, n))
WRAP(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n))
WRAP(char *, strdup, (const char *s), (s))
WRAP(char *, strndup, (const char *s, size_t n), (s, n))

static void arm(resource r, long k, bool forever)
{
    failing.calls = 0;
    failing.at = k;
    failing.forever = forever;
    failing.armed = r;
    on_this_thread = true;
}

static void disarm(void)
{
    failing.armed = NOTHING;
}

/* --- one attempt after another --- */

typedef struct trial {
    const char *name;
    void (*before)(void);       /* NULL: nothing */
    fv_status (*attempt)(void); /* what is to fail, and then to succeed */
    void (*failed)(void);       /* nothing has changed; NULL: not looked at */
    void (*done)(void);         /* it has succeeded, also at the second attempt */
    bool tolerates;             /* it may succeed though something failed, and says so */
    bool strides;
    bool lazily; /* what it has opened for later stays open */
} trial;

static void must_say_what_failed(const trial *t, resource r, long k, fv_status s)
{
    const char *said = fv_error();
    bool named = r == DEVICE ? strstr(said, "was made to fail") != NULL
                             : strstr(said, "memory") || strstr(said, "allocate");
    bool code = s == FV_ERR_MEMORY || s == (r == DEVICE ? FV_ERR_DEVICE : FV_ERR_IO);
    if (!named || !code || strchr(said, '\n'))
        fail_msg("%s, %s call %ld: %s, \"%s\"", t->name, r == DEVICE ? "device" : "host", k,
                 fv_status_name(s), said);
}

static long attempts_of(const trial *t, resource r)
{
    long count = 0;
    bool strides = t->strides || r == HOST || STRIDE_AFTER < 16;
    for (long k = 1;; k += strides ? 1 + k / STRIDE_AFTER : 1, count++) {
        if (t->before) t->before();
        long living = failing.living;
        arm(r, k, false);
        fv_status s = t->attempt();
        disarm();
        bool fired = failing.calls >= k;
        if (s < 0) {
            must_say_what_failed(t, r, k, s);
            if (failing.living != living && !t->lazily)
                fail_msg("%s: %ld device allocations, %ld before", t->name, failing.living, living);
            if (t->failed) t->failed();
            s = t->attempt();
            if (s < 0) fail_msg("%s: again after call %ld: %s", t->name, k, fv_error());
        } else if (fired && !t->tolerates) {
            fail_msg("%s: call %ld failed, and nothing was said", t->name, k);
        }
        t->done();
        if (!fired) return count;
    }
}

static void try_all(const trial *t)
{
    long device = attempts_of(t, DEVICE), host = attempts_of(t, HOST);
    printf("    %s: %ld calls of the device, %ld of malloc\n", t->name, device, host);
    assert_true(device + host > 0);
}

/* --- a session --- */

static fv_options *options;
static fv_model *model;
static fv_session *session;
static fv_snapshot *start, *other;
static fv_progress progress;
static float at_start[STATE], at_other[STATE], plain[STATE], changed[STATE], now[STATE];
static int dropped;

static int open_all(void **state)
{
    (void)state;
    options = toy_options();
    const char *const settings[][2] = {{"size", "16"},     {"views", "1"},
                                       {"param", "pixel"}, {"threads", "1"},
                                       {"backend", "cpu"}, {"text", "moon | lake:-0.5 | dream"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        set(options, settings[i][0], settings[i][1]);
    MUST(fv_model_open(&model, options));
    MUST(fv_session_open(&session, model, options));
    MUST(fv_session_step(session, &progress));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fv_snapshot_free(start);
    fv_snapshot_free(other);
    fv_session_close(session);
    fv_model_close(model);
    fv_options_free(options);
    assert_int_equal(failing.living, 0);
    return 0;
}

static void read_state(float *out)
{
    MUST(fv_session_mend(session));
    MUST(fv_session_state_read(session, out));
}

static void state_is(const float *expected)
{
    read_state(now);
    assert_memory_equal(now, expected, sizeof now);
}

/* Fills what attempts are compared with: the state at `start`, and after a step from there,
 * without a change and with this one. */
static void take_references(const char *name, const char *value)
{
    if (!start) MUST(fv_session_take_snapshot(session, &start));
    MUST(fv_session_restore(session, start));
    read_state(at_start);
    MUST(fv_session_step(session, &progress));
    read_state(plain);
    MUST(fv_session_restore(session, start));
    if (!name) return;
    MUST(fv_session_set(session, name, value));
    MUST(fv_session_step(session, &progress));
    read_state(changed);
    assert_memory_not_equal(plain, changed, sizeof plain);
    MUST(fv_session_restore(session, start));
}

static void go_to_start(void)
{
    MUST(fv_session_restore(session, start));
    dropped = session->dropped;
}

static fv_status attempt_step(void)
{
    return fv_session_step(session, &progress);
}

static void one_plain_step(void)
{
    assert_int_equal(session->step, 2);
    state_is(plain);
}

static void a_step_fails_and_goes_on(void **state)
{
    (void)state;
    take_references(NULL, NULL);
    try_all(&(trial){
        .name = "a step", .before = go_to_start, .attempt = attempt_step, .done = one_plain_step});
}

static const char *change_to;

static void ask_for_change(void)
{
    go_to_start();
    MUST(fv_session_set(session, "text", change_to));
}

/* Either the change and its place in the recipe, or neither. */
static void changed_or_not(void)
{
    char *recipe;
    assert_int_equal(session->step, 2);
    MUST(fv_session_recipe(session, &recipe));
    bool made = strstr(recipe, "changes:") != NULL;
    free(recipe);
    assert_int_equal(made, session->dropped == dropped);
    assert_string_equal(fv_session_option(session, "text"),
                        made ? change_to : "moon | lake:-0.5 | dream");
    state_is(made ? changed : plain);
    if (made) return;
    const char *why = fv_session_dropped(session);
    assert_true(strstr(why, "made to fail") || strstr(why, "memory") ||
                strstr(why, "cannot allocate"));
    assert_non_null(strstr(why, "text"));
}

static void a_change_that_fails_leaves_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"lake:2 | moon | dream", "lake"}; /* the same ops; others */
    for (int i = 0; i < 2; i++) {
        change_to = texts[i];
        take_references("text", change_to);
        try_all(&(trial){.name = i ? "another plan" : "other texts",
                         .before = ask_for_change,
                         .attempt = attempt_step,
                         .done = changed_or_not,
                         .tolerates = true});
    }
}

/* From the k-th call on all fail: what is called meanwhile fails in words, then all is as before.
 */
static void a_session_without_a_plan_waits_for_memory(void **state)
{
    (void)state;
    int without = 0;
    long tried = 0;
    change_to = "lake";
    take_references("text", change_to);
    for (bool fired = true; fired;) {
        fv_picture p = {0};
        fv_snapshot *k = NULL;
        ask_for_change();
        arm(DEVICE, ++tried, true);
        fired = attempt_step() < 0;
        if (fired) {
            assert_true(attempt_step() < 0);
            without += session->net.plan == NULL;
            assert_true(fv_session_save(session, "never.safetensors") < 0);
            assert_true(fv_session_take_snapshot(session, &k) < 0);
            assert_true(fv_session_picture(session, &p, NULL) < 0);
            assert_true(fv_session_restore(session, start) < 0);
            assert_true(fv_session_run(session, NULL, NULL) < 0);
            assert_non_null(strstr(fv_error(), "made to fail"));
            MUST(fv_session_preview(session, &p)); /* needs no device */
            fv_picture_free(&p);
        }
        disarm();
        while (session->step < 2) MUST(attempt_step());
        if (fired) changed_or_not();
    }
    assert_int_not_equal(access("never.safetensors", F_OK), 0);
    assert_true(without > 0);
}

/* There is room for one plan, not for two. */
static fv_status room_for_one(fv_backend *be, size_t bytes)
{
    (void)be;
    (void)bytes;
    return session->net.plan ? fv_fail(FV_ERR_MEMORY, "room for one plan only") : FV_OK;
}

static void a_plan_takes_the_place_of_another_that_leaves_no_room(void **state)
{
    (void)state;
    change_to = "lake";
    take_references("text", change_to);
    ask_for_change();
    model->engine->backend->check_memory = room_for_one;
    MUST(attempt_step());
    model->engine->backend->check_memory = failing_room;
    assert_int_equal(session->dropped, dropped);
    changed_or_not();
}

/* --- cancelled --- */

static void an_error_stays_one_while_a_cancel_is_pending(void **state)
{
    (void)state;
    static uint8_t expected[VALUES];
    fv_picture p;
    take_references(NULL, NULL);
    MUST(fv_session_picture(session, &p, NULL));
    memcpy(expected, p.rgb, sizeof expected);
    fv_picture_free(&p);
    cancelled_then = session;
    for (cancel_at = 1; cancel_at < 15; cancel_at++) {
        go_to_start();
        arm(DEVICE, cancel_at, false);
        fv_status s = attempt_step();
        disarm();
        assert_int_equal(s, FV_ERR_DEVICE);
        assert_non_null(strstr(fv_error(), "made to fail"));
        fv_status later = FV_OK;
        while (session->step < 2) /* the cancel is not lost, nor does it end more than one run */
            if ((s = attempt_step()) != FV_OK) later = s;
        assert_true(later == FV_OK || later == FV_CANCELLED);
        assert_int_equal(attempt_step(), later == FV_OK ? FV_CANCELLED : FV_OK);
        go_to_start();

        arm(DEVICE, -1, false); /* the whole picture is not stopped half-way */
        MUST(fv_session_picture(session, &p, NULL));
        disarm();
        if (failing.calls >= cancel_at) assert_int_equal(attempt_step(), FV_CANCELLED);
        assert_memory_equal(p.rgb, expected, sizeof expected);
        fv_picture_free(&p);
    }
    cancelled_then = NULL;
    (void)fv_session_run(session, NULL, NULL); /* uses up what is pending */
}

/* --- states --- */

static char *saved;
static size_t saved_bytes;

static fv_status attempt_save(void)
{
    return fv_session_save(session, "failing.safetensors");
}

static void the_same_file(void)
{
    size_t bytes;
    char *again = slurp("failing.safetensors", &bytes);
    assert_int_equal(bytes, saved_bytes);
    assert_memory_equal(again, saved, bytes);
    free(again);
    unlink("failing.safetensors");
    state_is(at_start);
}

/* No part of a file; a whole one may be there that could not be made lasting. */
static void not_saved(void)
{
    if (access("failing.safetensors", F_OK) == 0) the_same_file();
    state_is(at_start);
}

static fv_session *second;

static fv_status attempt_resume(void)
{
    return fv_session_resume(&second, model, options, "state.safetensors");
}

static void resumed(void)
{
    MUST(fv_session_state_read(second, now));
    assert_memory_equal(now, at_start, sizeof now);
    fv_session_close(second);
    second = NULL;
}

static fv_status attempt_open(void)
{
    return fv_session_open(&second, model, options);
}

static void opened(void)
{
    fv_session_close(second);
    second = NULL;
}

static void saving_and_opening_fail_and_succeed(void **state)
{
    (void)state;
    take_references(NULL, NULL);
    MUST(fv_session_save(session, "state.safetensors"));
    saved = slurp("state.safetensors", &saved_bytes);
    try_all(&(trial){.name = "save",
                     .attempt = attempt_save,
                     .failed = not_saved,
                     .done = the_same_file,
                     .tolerates = true});
    free(saved);
    try_all(&(trial){.name = "open", .attempt = attempt_open, .done = opened});
    try_all(&(trial){.name = "resume", .attempt = attempt_resume, .done = resumed});
    unlink("state.safetensors");
}

static fv_snapshot *kept;

static fv_status attempt_keep(void)
{
    return fv_session_take_snapshot(session, &kept);
}

static void keep_done(void)
{
    fv_snapshot_free(kept);
    kept = NULL;
    state_is(at_start);
}

/* Other texts, so that going back needs another plan. */
static void go_elsewhere(void)
{
    if (other) {
        MUST(fv_session_restore(session, other));
        return;
    }
    MUST(fv_session_restore(session, start));
    MUST(fv_session_set(session, "text", "lake"));
    for (int i = 0; i < 2; i++) MUST(attempt_step());
    MUST(fv_session_take_snapshot(session, &other));
    read_state(at_other);
}

static fv_status attempt_return(void)
{
    return fv_session_restore(session, start);
}

static void still_elsewhere(void)
{
    assert_string_equal(fv_session_option(session, "text"), "lake");
    assert_int_equal(session->step, 3);
    state_is(at_other);
}

static void back_at_start(void)
{
    assert_int_equal(session->step, 1);
    state_is(at_start);
    MUST(attempt_step());
    state_is(plain);
}

static void going_back_goes_all_the_way_or_nowhere(void **state)
{
    (void)state;
    take_references(NULL, NULL);
    try_all(&(trial){.name = "keep", .attempt = attempt_keep, .done = keep_done});
    try_all(&(trial){.name = "return",
                     .before = go_elsewhere,
                     .attempt = attempt_return,
                     .failed = still_elsewhere,
                     .done = back_at_start,
                     .tolerates = true});
}

/* --- a history --- */

static fv_history *history;
static int lines_before, frames_before, step_before;

/* Two lines: the first to step 3, the second from step 1 to 2. */
static void grow_history(void)
{
    int at = 1;
    fv_history_free(history);
    MUST(fv_history_new(&history));
    MUST(fv_session_restore(session, start));
    MUST(fv_session_step(session, &progress));
    for (int i = 2; i <= 3; i++) {
        MUST(fv_history_note(history, session, i));
        if (i < 3) MUST(fv_session_step(session, &progress));
    }
    at = 2;
    MUST(fv_history_fork(history, session, &at));
    MUST(fv_session_set(session, "text", "lake"));
    MUST(fv_session_step(session, &progress));
    MUST(fv_history_note(history, session, 3));
    MUST(fv_session_step(session, &progress));
    lines_before = fv_history_branch_count(history);
    frames_before = fv_history_count(history);
    step_before = session->step;
    read_state(at_other);
}

static fv_status attempt_note(void)
{
    return fv_history_note(history, session, 4);
}

/* The frame may be missing, or its state: nothing else is. */
static void history_is_whole(void)
{
    int now_there = fv_history_count(history);
    assert_true(now_there == frames_before || now_there == frames_before + 1);
    for (int i = 0; i < now_there; i++) assert_non_null(fv_history_at(history, i)->picture.rgb);
    assert_non_null(fv_history_at(history, 0)->state);
    assert_int_equal(fv_history_branch_count(history), lines_before);
    assert_non_null(fv_history_tip(history, 0));
    state_is(at_other);
}

static fv_status attempt_branch(void)
{
    int at = 2;
    return fv_history_fork(history, session, &at);
}

static void not_branched(void)
{
    history_is_whole();
    assert_int_equal(fv_history_current(history), 1);
    assert_null(fv_history_tip(history, 1));
    assert_int_equal(session->step, step_before);
}

static void branched(void)
{
    assert_int_equal(fv_history_branch_count(history), lines_before + 1);
    assert_int_equal(fv_history_current(history), 2);
    assert_non_null(fv_history_tip(history, 1));
    assert_int_equal(session->step, 2);
    state_is(plain);
}

static fv_status attempt_switch(void)
{
    return fv_history_switch(history, session, 0);
}

static void switched(void)
{
    assert_int_equal(fv_history_branch_count(history), lines_before);
    assert_int_equal(fv_history_current(history), 0);
    assert_non_null(fv_history_tip(history, 1));
    assert_string_equal(fv_session_option(session, "text"), "moon | lake:-0.5 | dream");
}

static void a_history_keeps_what_it_has(void **state)
{
    (void)state;
    take_references(NULL, NULL);
    try_all(&(trial){.name = "a frame",
                     .before = grow_history,
                     .attempt = attempt_note,
                     .failed = history_is_whole,
                     .done = history_is_whole,
                     .lazily = true,
                     .strides = true});
    try_all(&(trial){.name = "branch",
                     .before = grow_history,
                     .attempt = attempt_branch,
                     .failed = not_branched,
                     .done = branched,
                     .tolerates = true,
                     .strides = true});
    try_all(&(trial){.name = "switch",
                     .before = grow_history,
                     .attempt = attempt_switch,
                     .failed = not_branched,
                     .done = switched,
                     .tolerates = true,
                     .strides = true});
    fv_history_free(history);
}

/* --- the best state --- */

static uint8_t best_rgb[VALUES];
static float best_state[STATE], best_values[VALUES];
static fv_picture picture;
static int best_step;

static fv_status attempt_picture(void)
{
    return fv_session_picture(session, &picture, NULL);
}

static void the_best_picture(void)
{
    assert_memory_equal(picture.rgb, best_rgb, sizeof best_rgb);
    fv_picture_free(&picture);
    state_is(best_state);
}

static void the_same_best(void)
{
    state_is(best_state);
    assert_int_equal(session->best_step, best_step);
    assert_memory_equal(session->best, best_values, sizeof best_values);
}

/* The steps are so large that a later state is worse sooner or later. */
static void the_best_state_stays_the_best(void **state)
{
    (void)state;
    fv_session *mine = session;
    fv_snapshot *from = start;
    fv_options *o;
    MUST(fv_options_copy(&o, options));
    set(o, "keep", "best");
    set(o, "steps", "20");
    set(o, "rate", "0.3");
    set(o, "rate-end", "1");
    MUST(fv_session_open(&session, model, o));
    start = NULL;
    while (session->step < 20 && !(session->best_step && session->best_step < session->step))
        MUST(attempt_step());
    assert_true(session->best_step && session->best_step < session->step);
    read_state(best_state);
    MUST(attempt_picture());
    memcpy(best_rgb, picture.rgb, sizeof best_rgb);
    fv_picture_free(&picture);
    try_all(&(trial){.name = "the picture",
                     .attempt = attempt_picture,
                     .done = the_best_picture,
                     .tolerates = true});
    fv_session_close(session);

    MUST(fv_session_open(&session, model, o));
    while (session->step < 9) MUST(attempt_step());
    MUST(fv_session_take_snapshot(session, &start));
    MUST(attempt_step()); /* the tenth looks, and is the best so far */
    read_state(best_state);
    best_step = session->best_step;
    assert_int_equal(best_step, 10);
    memcpy(best_values, session->best, sizeof best_values);
    try_all(&(trial){.name = "a step that looks",
                     .before = go_to_start,
                     .attempt = attempt_step,
                     .done = the_same_best});
    fv_snapshot_free(start);
    fv_session_close(session);
    fv_options_free(o);
    start = from;
    session = mine;
}

/* --- critic, judge, embeddings, a model --- */

static fv_critic *critic;
static fv_robustness robustness, expected_robustness;
static fv_channel channels[4], expected_channels[4];

static fv_status attempt_critic(void)
{
    fv_critic *c;
    FV_TRY(fv_critic_open(&c, model));
    fv_critic_close(c);
    return FV_OK;
}

static void nothing_more(void)
{
}

static fv_status attempt_robustness(void)
{
    return fv_critic_robustness(critic, &picture, "moon", &robustness);
}

/* What was not measured is NAN, and said. */
static void survived(void)
{
    assert_true(robustness.whole == expected_robustness.whole);
    assert_true(robustness.blurred == expected_robustness.blurred);
    if (isnan(robustness.unseen)) {
        assert_non_null(strstr(fv_error(), "unseen"));
        assert_non_null(strstr(fv_error(), "memory"));
    } else {
        assert_true(robustness.unseen == expected_robustness.unseen);
    }
}

static void fresh_critic(void)
{
    fv_critic_close(critic);
    MUST(fv_critic_open(&critic, model));
}

static fv_status attempt_search(void)
{
    int count = 4;
    return fv_critic_search(critic, "moon", &picture, channels, &count);
}

static void found(void)
{
    for (int i = 0; i < 4; i++) {
        assert_int_equal(channels[i].number, expected_channels[i].number);
        assert_true(channels[i].lead == expected_channels[i].lead);
    }
    fv_critic_close(critic);
    critic = NULL;
}

static void a_critic_fails_and_goes_on(void **state)
{
    (void)state;
    MUST(fv_session_picture(session, &picture, NULL));
    try_all(&(trial){.name = "critic", .attempt = attempt_critic, .done = nothing_more});
    fresh_critic();
    MUST(attempt_robustness());
    expected_robustness = robustness;
    assert_false(isnan(robustness.unseen));
    try_all(&(trial){
        .name = "survival", .attempt = attempt_robustness, .done = survived, .tolerates = true});
    MUST(attempt_search());
    memcpy(expected_channels, channels, sizeof channels);
    try_all(&(trial){.name = "search",
                     .before = fresh_critic,
                     .attempt = attempt_search,
                     .done = found,
                     .strides = true,
                     .lazily = true});
    fv_picture_free(&picture);
}

static fv_judge *judge;
static float *seen, *expected_seen;

static fv_status attempt_judge(void)
{
    fv_judge *j;
    FV_TRY(fv_judge_open(&j, source_file("model/judge/judge.safetensors"), "names.tsv",
                         "groups.tsv", "cpu", 1));
    fv_judge_close(j);
    return FV_OK;
}

static fv_status attempt_look(void)
{
    return fv_judge_look(judge, &picture, seen);
}

static void saw(void)
{
    size_t n = (size_t)fv_judge_class_count(judge) * sizeof *seen;
    assert_memory_equal(seen, expected_seen, n);
}

static void a_judge_fails_and_goes_on(void **state)
{
    (void)state;
    static const char names[] = "7\tcock;rooster\t公鸡\n", groups[] = "鸟\tbird\t7-24 80\n";
    spill("names.tsv", names, sizeof names - 1);
    spill("groups.tsv", groups, sizeof groups - 1);
    try_all(
        &(trial){.name = "judge", .attempt = attempt_judge, .done = nothing_more, .strides = true});
    MUST(fv_judge_open(&judge, source_file("model/judge/judge.safetensors"), "names.tsv",
                       "groups.tsv", "cpu", 1));
    MUST(fv_session_picture(session, &picture, NULL));
    size_t n = (size_t)fv_judge_class_count(judge);
    seen = calloc(n, sizeof *seen);
    expected_seen = calloc(n, sizeof *seen);
    MUST(attempt_look());
    memcpy(expected_seen, seen, n * sizeof *seen);
    try_all(&(trial){.name = "a look", .attempt = attempt_look, .done = saw});
    free(seen);
    free(expected_seen);
    fv_picture_free(&picture);
    fv_judge_close(judge);
    unlink("names.tsv");
    unlink("groups.tsv");
}

static float rows[2][4096], expected_rows[2][4096], products[2];
static bool could_read[2];

/* Two pictures and a text, and how near they are. */
static fv_status attempt_embed(void)
{
    char one[] = "one.png", two[] = "two.png", moon[] = "moon";
    char *paths[] = {one, two}, *texts[] = {moon};
    float text[4096];
    fv_embedder *e;
    FV_TRY(fv_embedder_open(&e, model, 2));
    fv_status s = fv_embed_pictures(e, paths, 2, rows[0], could_read, NULL, NULL);
    fv_embedder_close(e);
    if (s >= 0) s = fv_embed_texts(model, texts, 1, text, NULL, NULL, NULL);
    if (s >= 0) s = fv_similarities(model, rows[0], 2, text, 1, products);
    return s;
}

/* A picture that could not be read is none; the other is what it was. */
static void embedded(void)
{
    size_t dim = (size_t)fv_model_dim(model);
    for (size_t i = 0; i < 2; i++)
        if (could_read[i])
            assert_memory_equal(rows[0] + i * dim, expected_rows[0] + i * dim, dim * sizeof(float));
}

static void embedding_fails_and_goes_on(void **state)
{
    (void)state;
    MUST(fv_session_picture(session, &picture, NULL));
    MUST(fv_picture_write(&picture, "one.png", NULL));
    MUST(fv_picture_write(&picture, "two.png", NULL));
    fv_picture_free(&picture);
    assert_true(fv_model_dim(model) <= 4096);
    MUST(attempt_embed());
    memcpy(expected_rows, rows, sizeof rows);
    try_all(&(trial){.name = "embed",
                     .attempt = attempt_embed,
                     .done = embedded,
                     .tolerates = true,
                     .strides = true});
    unlink("one.png");
    unlink("two.png");
}

static fv_status attempt_model(void)
{
    fv_model *m;
    FV_TRY(fv_model_open(&m, options));
    fv_status s = fv_session_open(&second, m, options);
    if (s >= 0) fv_session_close(second);
    second = NULL;
    fv_model_close(m);
    return s;
}

static void a_model_opens_or_leaves_nothing(void **state)
{
    (void)state;
    try_all(
        &(trial){.name = "model", .attempt = attempt_model, .done = nothing_more, .strides = true});
}

static fv_options *guided;

/* Both models, a session, a step of it, other weights, another step, the recipe. */
static fv_status attempt_guides(void)
{
    fv_model *m;
    char *recipe = NULL;
    fv_progress p;
    FV_TRY(fv_model_open(&m, guided));
    fv_status s = fv_session_open(&second, m, guided);
    if (s >= 0) s = fv_session_step(second, &p);
    if (s >= 0) s = fv_session_set(second, "guide-weights", "0.5,2");
    if (s >= 0) s = fv_session_step(second, &p);
    if (s >= 0 && p.dropped) s = fv_fail(FV_ERR_MEMORY, "%s", fv_session_dropped(second));
    if (s >= 0) s = fv_session_recipe(second, &recipe);
    if (s >= 0) assert_non_null(strstr(recipe, "networks:"));
    free(recipe);
    fv_session_close(second);
    second = NULL;
    fv_model_close(m);
    return s;
}

static void guides_open_or_leave_nothing(void **state)
{
    (void)state;
    char guide[9000];
    guided = toy_options();
    const char *checkpoint = fv_options_get(options, "checkpoint");
    snprintf(guide, sizeof guide, "%s + %s + %s | %s + %.*s/b0.pth + %s:0.5",
             fv_options_get(options, "config"), checkpoint, fv_options_get(options, "vocab"),
             source_file("tests/golden/towers/b0/cfg.yml"),
             (int)(strrchr(checkpoint, '/') - checkpoint), checkpoint,
             fv_options_get(options, "vocab"));
    const char *const settings[][2] = {{"config", ""},     {"checkpoint", ""}, {"vocab", ""},
                                       {"guide", guide},   {"size", "16"},     {"views", "1"},
                                       {"param", "pixel"}, {"threads", "1"},   {"backend", "cpu"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        set(guided, settings[i][0], settings[i][1]);
    try_all(&(trial){
        .name = "guides", .attempt = attempt_guides, .done = nothing_more, .strides = true});
    fv_options_free(guided);
}

/* --- a decoder --- */

static fv_options *decoded;
static fv_model *decoding;
static float decoded_state[STATE];
static size_t decoded_count;
static int decoded_moves;
static fv_codes decoded_codes;

static const char *decoder_file(const char *name)
{
    static char path[1024];
    const char *checkpoint = fv_options_get(options, "checkpoint");
    snprintf(path, sizeof path, "%.*s/%s.ckpt", (int)(strrchr(checkpoint, '/') - checkpoint),
             checkpoint, name);
    return path;
}

/* Codes of the pictures' own latent, put back to codes after each step, from a picture. */
static void decoder_options(void)
{
    if (decoded) return;
    MUST(fv_options_copy(&decoded, options));
    MUST(fv_session_picture(session, &picture, NULL));
    MUST(fv_picture_write(&picture, "begin.png", NULL));
    fv_picture_free(&picture);
    const char *const settings[][2] = {{"param", "vqgan"},
                                       {"decoder", decoder_file("vq")},
                                       {"codes", "projected"},
                                       {"start", "begin.png"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        set(decoded, settings[i][0], settings[i][1]);
}

static fv_status attempt_decoding(void)
{
    fv_codes c;
    fv_progress p;
    FV_TRY(fv_session_step(second, &p));
    decoded_moves = p.moved;
    FV_TRY(fv_session_codes(second, false, &c));
    fv_codes_free(&decoded_codes);
    decoded_codes = c;
    return FV_OK;
}

static void close_decoding(void)
{
    fv_session_close(second);
    fv_model_close(decoding);
    second = NULL;
    decoding = NULL;
}

/* The model with its decoder, a session from an encoded picture, and a step of it. */
static fv_status attempt_decoder(void)
{
    FV_TRY(fv_model_open(&decoding, decoded));
    fv_status s = fv_session_open(&second, decoding, decoded);
    if (s >= 0) s = attempt_decoding();
    if (s < 0) close_decoding();
    return s;
}

static void decoder_is_as_expected(void)
{
    static float state[STATE];
    static int moves;
    static int32_t at[16];
    MUST(fv_session_state_read(second, state));
    decoded_count = second->param_count;
    if (!moves) { /* the first: what others are compared with */
        moves = decoded_moves;
        memcpy(decoded_state, state, sizeof state);
        memcpy(at, decoded_codes.at, sizeof at);
    }
    assert_true(decoded_count == 4 * 4 * 24 && moves > 0 && decoded_codes.width == 4);
    assert_memory_equal(state, decoded_state, 3 * decoded_count * sizeof *state);
    assert_memory_equal(at, decoded_codes.at, sizeof at);
    assert_int_equal(decoded_moves, moves);
    close_decoding();
}

static void a_decoder_opens_and_steps_or_leaves_nothing(void **state)
{
    (void)state;
    decoder_options();
    MUST(attempt_decoder());
    decoder_is_as_expected();
    try_all(&(trial){.name = "decoder",
                     .attempt = attempt_decoder,
                     .done = decoder_is_as_expected,
                     .strides = true});
}

static fv_snapshot *decoded_start;

static void go_to_decoded_start(void)
{
    MUST(fv_session_restore(second, decoded_start));
}

static void stepped_with_a_decoder(void)
{
    static float expected[STATE], state[STATE];
    static int moves;
    MUST(fv_session_state_read(second, state));
    if (!moves) {
        moves = decoded_moves;
        memcpy(expected, state, sizeof state);
    }
    assert_true(moves > 0);
    assert_int_equal(decoded_moves, moves);
    assert_memory_equal(state, expected, 3 * second->param_count * sizeof *state);
}

/* A step that failed is one step, also where the codes were put back already. */
static fv_status attempt_one_step(void)
{
    fv_progress p;
    if (second->step == 2) return FV_OK; /* it is the codes that failed */
    FV_TRY(fv_session_step(second, &p));
    decoded_moves = p.moved;
    return FV_OK;
}

static void a_step_with_a_decoder_fails_and_goes_on(void **state)
{
    (void)state;
    decoder_options();
    MUST(attempt_decoder());
    MUST(fv_session_take_snapshot(second, &decoded_start));
    MUST(attempt_one_step());
    stepped_with_a_decoder();
    try_all(&(trial){.name = "a step with a decoder",
                     .before = go_to_decoded_start,
                     .attempt = attempt_one_step,
                     .done = stepped_with_a_decoder});
    fv_snapshot_free(decoded_start);
    close_decoding();
}

static fv_status attempt_both_ways(void)
{
    fv_codes c;
    fv_picture back, again;
    double error;
    FV_TRY(fv_codes_encode(&c, &back, &error, decoded));
    fv_status s = fv_codes_write(&c, "failing.csv");
    fv_codes_free(&c);
    if (s >= 0) s = fv_codes_read(&c, "failing.csv");
    if (s >= 0) s = fv_codes_decode(&again, &c, decoded);
    if (s >= 0) {
        assert_memory_equal(again.rgb, back.rgb, VALUES);
        fv_picture_free(&again);
    }
    fv_codes_free(&c);
    fv_picture_free(&back);
    return s;
}

static void codes_fail_and_go_on(void **state)
{
    (void)state;
    decoder_options();
    try_all(&(trial){.name = "codes",
                     .attempt = attempt_both_ways,
                     .done = nothing_more,
                     .strides = true,
                     .tolerates = true});
    fv_codes_free(&decoded_codes);
    fv_options_free(decoded);
    unlink("failing.csv");
    unlink("begin.png");
}

/* A network with corners is computed in single precision: guides and decoder alike. */
static void the_decoder_has_a_say_in_the_precision(void **state)
{
    (void)state;
    fv_model *m;
    fv_options *o = toy_options();
    char b0[1024];
    const char *checkpoint = fv_options_get(options, "checkpoint");
    snprintf(b0, sizeof b0, "%.*s/b0.pth", (int)(strrchr(checkpoint, '/') - checkpoint),
             checkpoint);
    set(o, "config", source_file("tests/golden/towers/b0/cfg.yml")); /* SiLU: no corners */
    set(o, "checkpoint", b0);
    MUST(fv_model_open(&m, o));
    assert_string_equal(opened_as, "auto");
    fv_model_close(m);
    set(o, "decoder", decoder_file("vq"));
    MUST(fv_model_open(&m, o));
    assert_string_equal(opened_as, "auto");
    fv_model_close(m);
    set(o, "decoder", source_file("tests/golden/vqgan/tiny_weights.safetensors"));
    MUST(fv_model_open(&m, o));
    assert_string_equal(opened_as, "auto:fp32");
    fv_model_close(m);
    fv_options_free(o);
}

/* test_failing PATTERN: only tests whose names match ("*decoder*"). */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_fails_and_goes_on),
        cmocka_unit_test(a_change_that_fails_leaves_nothing),
        cmocka_unit_test(a_session_without_a_plan_waits_for_memory),
        cmocka_unit_test(a_plan_takes_the_place_of_another_that_leaves_no_room),
        cmocka_unit_test(an_error_stays_one_while_a_cancel_is_pending),
        cmocka_unit_test(saving_and_opening_fail_and_succeed),
        cmocka_unit_test(going_back_goes_all_the_way_or_nowhere),
        cmocka_unit_test(a_history_keeps_what_it_has),
        cmocka_unit_test(the_best_state_stays_the_best),
        cmocka_unit_test(a_critic_fails_and_goes_on),
        cmocka_unit_test(a_judge_fails_and_goes_on),
        cmocka_unit_test(embedding_fails_and_goes_on),
        cmocka_unit_test(a_model_opens_or_leaves_nothing),
        cmocka_unit_test(guides_open_or_leave_nothing),
        cmocka_unit_test(a_decoder_opens_and_steps_or_leaves_nothing),
        cmocka_unit_test(a_step_with_a_decoder_fails_and_goes_on),
        cmocka_unit_test(codes_fail_and_go_on),
        cmocka_unit_test(the_decoder_has_a_say_in_the_precision),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
