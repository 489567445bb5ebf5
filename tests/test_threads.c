/* One session, and other threads that change it, look at it and stop it at once: whatever feavis.h
 * allows from any thread. ThreadSanitizer watches in the preset tsan; here what comes out is looked
 * at: pictures are whole, and the recipe of all that gives the same bytes. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "feavis/imagine/session.h"
#include "tests/toy.h"

enum { SIDE = 16, BYTES = SIDE * SIDE * 3 };

typedef struct crowd {
    fv_session *session;
    atomic_bool done;
    atomic_int steps, pictures, gradients, parts;
} crowd;

/* Other ops, the same ops with other texts, and numbers: each plan in turn. */
static void *change(void *user)
{
    static const char *const changes[][2] = {
        {"text", "lake"}, {"rate", "0.05"}, {"text", "moon | lake:-0.5"}, {"tv", "0"},
        {"seed", "9"},    {"tv", "0.5"},    {"text", "dream | moon"},     {"llp", "7:0.01"}};
    crowd *c = user;
    for (int i = 0, last = 0; !atomic_load(&c->done);) {
        usleep(200);
        if (atomic_load(&c->steps) == last) continue;
        last = atomic_load(&c->steps);
        const char *const *one = changes[i++ % 8];
        if (fv_session_set(c->session, one[0], one[1]) < 0) fail_msg("%s", fv_error());
    }
    return NULL;
}

static void *look(void *user)
{
    static _Thread_local float heat[SIDE * SIDE];
    crowd *c = user;
    while (!atomic_load(&c->done)) {
        fv_picture p;
        fv_part parts[FV_MAX_PARTS];
        if (fv_session_preview(c->session, &p) >= 0) {
            if (p.width == SIDE && p.height == SIDE) atomic_fetch_add(&c->pictures, 1);
            fv_picture_free(&p);
        }
        if (fv_session_parts(c->session, parts) > 0) atomic_fetch_add(&c->parts, 1);
        if (fv_session_gradient(c->session, heat) >= 0) atomic_fetch_add(&c->gradients, 1);
        usleep(200);
    }
    return NULL;
}

static void *cancel(void *user)
{
    crowd *c = user;
    for (int last = 0; !atomic_load(&c->done);) {
        int now = atomic_load(&c->steps);
        usleep(200);
        if (now >= last + 5) {
            fv_session_cancel(c->session);
            last = now;
        }
    }
    return NULL;
}

static bool count(void *user, const fv_progress *p)
{
    crowd *c = user;
    atomic_store(&c->steps, p->step);
    return true;
}

static void whole_picture(fv_session *s, uint8_t rgb[BYTES])
{
    fv_picture p;
    MUST(fv_session_picture(s, &p, NULL));
    assert_int_equal(p.width * p.height * 3, BYTES);
    memcpy(rgb, p.rgb, BYTES);
    fv_picture_free(&p);
}

static void a_crowd_round_a_session_does_no_harm(void **state)
{
    (void)state;
    static uint8_t crowded[BYTES], replayed[BYTES];
    void *(*const people[])(void *) = {change, look, look, cancel};
    pthread_t threads[4];
    fv_options *o = toy_options(), *read;
    set(o, "size", "16");
    set(o, "views", "1");
    set(o, "steps", "12");
    fv_model *m;
    crowd c = {0};
    char *recipe;
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&c.session, m, o));
    fv_session_want_gradient(c.session, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, people[i], &c), 0);
    fv_status s;
    int cancelled = 0;
    while ((s = fv_session_run(c.session, count, &c)) == FV_CANCELLED) cancelled++;
    if (s < 0) fail_msg("%s", fv_error());
    atomic_store(&c.done, true);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_true(cancelled > 0 && atomic_load(&c.pictures) > 0);
    assert_true(atomic_load(&c.parts) > 0 && atomic_load(&c.gradients) > 0);
    assert_int_equal(c.session->dropped, 0);

    whole_picture(c.session, crowded);
    MUST(fv_session_recipe(c.session, &recipe));
    assert_non_null(strstr(recipe, "changes:"));
    fv_session_close(c.session);
    MUST(fv_options_new(&read));
    MUST(fv_recipe_apply(read, recipe, "recipe"));
    MUST(fv_session_open(&c.session, m, read));
    MUST(fv_session_run(c.session, NULL, NULL));
    whole_picture(c.session, replayed);
    assert_memory_equal(crowded, replayed, BYTES);
    fv_session_close(c.session);
    free(recipe);
    fv_options_free(read);
    fv_options_free(o);
    fv_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_round_a_session_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
