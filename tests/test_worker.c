/* The worker without a window: orders and looks from several threads at once, being stopped at any
 * moment, queues that cannot be written. Under ThreadSanitizer this is where the window's rules
 * about locks are tried (see README.md). */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/worker/worker.h"
#include "feavis/album.h"
#include "feavis/queue.h"
#include "tests/check.h"
#include "tests/toy.h"

enum { PATIENCE = 300 }; /* seconds; a sanitizer on a busy machine is slow */

static void doze(int milliseconds)
{
    struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* An empty folder NAME with gallery and queue. */
static fv_options *options_in(const char *name)
{
    char gallery[64];
    remove_tree(name);
    assert_int_equal(mkdir(name, 0777), 0);
    snprintf(gallery, sizeof gallery, "%s/gallery", name);
    fv_options *o = toy_options();
    set(o, "threads", "1");
    set(o, "views", "1");
    set(o, "gallery", gallery);
    return o;
}

static worker *started(const fv_options *o, const char *queue)
{
    worker *w;
    MUST(worker_start(&w, o, queue));
    return w;
}

static worker_view view_of(worker *w)
{
    static _Thread_local worker_view v;
    worker_look(w, &v);
    return v;
}

#define UNTIL(w, condition)                                                                        \
    do {                                                                                           \
        worker_view v_ = {0};                                                                      \
        bool so_ = false;                                                                          \
        for (int i_ = 0; i_ < PATIENCE * 200 && !so_; i_++) {                                      \
            v_ = view_of(w);                                                                       \
            so_ = (condition);                                                                     \
            if (!so_) doze(5);                                                                     \
        }                                                                                          \
        if (!so_)                                                                                  \
            fail_msg("never: %s; phase %d, step %d, \"%s\"", #condition, v_.phase,                 \
                     v_.progress.step, v_.message);                                                \
    } while (0)

static int saved_in(const char *gallery)
{
    fv_saved *list;
    int count;
    MUST(fv_gallery_list(&list, &count, gallery));
    fv_gallery_list_free(list, count);
    return count;
}

static void add(worker *w, fv_options *o, const char *text)
{
    set(o, "text", text);
    worker_post_options(w, ORDER_ADD, 0, o);
}

static void the_queue_is_worked_off(void **state)
{
    (void)state;
    fv_options *o = options_in("off");
    worker *w = started(o, "off/queue");
    add(w, o, "moon");
    add(w, o, "snow");
    set(o, "start", "off/no-such-picture.png"); /* what cannot be made does not stop the rest */
    add(w, o, "never");
    set(o, "start", "");
    add(w, o, "sea");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 3 && v_.item_count == 0);
    assert_non_null(strstr(view_of(w).message, "no-such-picture.png"));
    assert_int_equal(saved_in("off/gallery"), 3);
    worker_stop(w);
    fv_queue *q;
    MUST(fv_queue_open(&q, "off/queue"));
    assert_int_equal(fv_queue_count(q), 0);
    fv_queue_close(q);
    fv_options_free(o);
}

/* Each picture is made once although no file can be written or removed. */
static void pictures_are_made_where_the_queue_cannot_be_written(void **state)
{
    (void)state;
    fv_options *o = options_in("memory");
    worker *w = started(o, NULL);
    add(w, o, "moon");
    add(w, o, "snow");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 2 && v_.item_count == 0 && v_.phase == WORKER_DONE);
    worker_stop(w);
    assert_int_equal(saved_in("memory/gallery"), 2);
    fv_queue *q;
    MUST(fv_queue_open(&q, "memory/queue"));
    set(o, "text", "moon");
    MUST(fv_queue_add(q, o));
    fv_queue_close(q);
    w = started(o, "memory/queue");
    assert_int_equal(rename("memory/queue", "memory/gone"), 0); /* as if unplugged */
    spill("memory/queue", "", 0);
    add(w, o, "snow");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 2 && v_.item_count == 0 && v_.phase == WORKER_DONE);
    assert_non_null(strstr(view_of(w).message, "memory/queue"));
    worker_stop(w);
    assert_int_equal(saved_in("memory/gallery"), 4);
    fv_options_free(o);
}

/* --- live changes --- */

/* One step, and what is to be seen after it. */
static worker_view stepped(worker *w)
{
    int step = view_of(w).progress.step;
    worker_post(w, ORDER_STEP, 0, NULL, NULL);
    UNTIL(w, v_.progress.step == step + 1 && v_.phase == WORKER_PAUSED);
    return view_of(w);
}

/* The step refuses it; until then it is what is asked for. */
static void a_change_that_cannot_be_made_is_said_and_taken_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *why;
    } changes[] = {
        {"term", "blocks.3.9:1", "changing term: "},
        {"term", "blocks.1.0:99999", "changing term: "},
        {"llp", "99999:0.1", "changing llp: "},
        {"text", "", "changing text: "}, /* after these, nothing is asked for */
    };
    fv_options *o = options_in("change");
    set(o, "steps", "100000");
    worker *w = started(o, NULL);
    add(w, o, "moon");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.progress.step >= 1);
    worker_post(w, ORDER_PAUSE, 0, NULL, NULL);
    UNTIL(w, v_.phase == WORKER_PAUSED);
    worker_post(w, ORDER_SET, 0, "term", "blocks.1.0:2 *0.5");
    worker_post(w, ORDER_SET, 0, "llp", "3:0.1");
    worker_view v = stepped(w);
    assert_int_equal(v.message_serial, 0);
    assert_int_equal(v.progress.dropped, 0);
    for (int i = 0; i < 4; i++) {
        bool text = strcmp(changes[i].name, "text") == 0;
        if (text) {
            worker_post(w, ORDER_SET, 0, "term", "");
            worker_post(w, ORDER_SET, 0, "llp", "");
        }
        worker_post(w, ORDER_SET, 0, changes[i].name, changes[i].value);
        v = stepped(w);
        assert_int_equal(v.progress.dropped, i + 1);
        assert_int_equal(v.message_serial, i + 1);
        assert_non_null(strstr(v.message, changes[i].why));
        assert_null(strchr(v.message, '\n'));
        assert_string_equal(v.text, "moon");
        assert_string_equal(v.llp, text ? "" : "3:0.1");
        assert_string_equal(v.term, text ? "" : "blocks.1.0:2 *0.5");
    }
    v = stepped(w); /* it is said once */
    assert_int_equal(v.message_serial, 4);
    worker_post(w, ORDER_SET, 0, "text", "snow");
    v = stepped(w);
    assert_string_equal(v.text, "snow");
    assert_int_equal(v.message_serial, 4);
    worker_post(w, ORDER_DISCARD, 0, NULL, NULL);
    UNTIL(w, v_.phase == WORKER_IDLE); /* the next picture has dropped nothing yet */
    add(w, o, "sea");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.progress.step >= 2);
    assert_int_equal(view_of(w).message_serial, 4);
    worker_stop(w);
    fv_options_free(o);
}

static void a_term_is_checked_without_a_picture(void **state)
{
    (void)state;
    static const char *const terms[][2] = {
        {"blocks.3.9:1", "the nearest is"},
        {"blocks.1.0:99999", "has channels 0 to"},
        {"blocks.1.0:x", "is neither a channel"},
        {"blocks.1.0:2 *0.5 | image_embedding:text=moon", ""},
    };
    fv_options *o = options_in("check");
    worker *w = started(o, NULL);
    for (int i = 0; i < 4; i++) {
        worker_post(w, ORDER_TERM, 0, NULL, terms[i][0]);
        UNTIL(w, v_.term_serial == i + 1);
        worker_view v = view_of(w);
        assert_non_null(strstr(v.term_error, terms[i][1]));
        assert_int_equal(!*v.term_error, !*terms[i][1]);
        assert_int_equal(v.message_serial, 0);
    }
    worker_stop(w);
    fv_options_free(o);
}

/* --- similarity --- */

static void numbers_stay_with_the_texts_they_are_of(void **state)
{
    (void)state;
    fv_options *o = options_in("match");
    worker *w = started(o, NULL);
    char pictures[4096], longest[1500] = "moon";
    while (strlen(longest) < 1400) strcat(longest, " moon");
    strcat(longest, " 月");
    snprintf(pictures, sizeof pictures, "%s\n%s", source_file("tests/ui/start.png"),
             "match/no-such.png");
    char texts[2048];
    snprintf(texts, sizeof texts, "snow\r\n  \n%s\nsea", longest);
    static worker_matched a, b;
    assert_false(worker_match(w, &a));
    worker_post(w, ORDER_MATCH, 0, texts, pictures);
    UNTIL(w, v_.match_serial == 1);
    assert_true(worker_match(w, &a));
    assert_int_equal(a.texts.count, 3);
    assert_int_equal(a.pictures.count, 2);
    assert_string_equal(a.texts.at[0], "snow");
    assert_string_equal(a.texts.at[1], longest); /* whole, however long */
    assert_string_equal(a.texts.at[2], "sea");
    assert_string_equal(a.pictures.at[1], "match/no-such.png");
    assert_true(a.of[0].values[0] == a.of[0].values[0] &&
                a.of[0].values[3] != a.of[0].values[3]); /* NAN: not read */
    assert_int_equal(a.of[0].best[1], -1);
    worker_post(w, ORDER_MATCH, 0, "sea\nsnow", pictures);
    UNTIL(w, v_.match_serial == 2);
    assert_true(worker_match(w, &b));
    assert_string_equal(b.texts.at[1], "snow");
    assert_true(b.of[0].values[1] == a.of[0].values[0] && b.of[0].values[0] == a.of[0].values[2]);
    assert_string_equal(a.texts.at[0], "snow"); /* a copy of its own */
    worker_matched_clear(&a);
    worker_matched_clear(&b);
    worker_stop(w);
    fv_options_free(o);
}

static void the_table_of_a_matrix_replaces_no_other(void **state)
{
    (void)state;
    fv_options *o = options_in("table");
    worker *w = started(o, NULL);
    assert_int_equal(mkdir("table/gallery", 0777), 0);
    spill("table/gallery/similarity-1.csv", "mine", 4);
    worker_post(w, ORDER_MATCH, 0, "sea", source_file("tests/ui/start.png"));
    worker_post(w, ORDER_MATRIX, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 1);
    worker_stop(w);
    char *mine = slurp("table/gallery/similarity-1.csv", NULL),
         *table = slurp("table/gallery/similarity-1-2.csv", NULL);
    assert_string_equal(mine, "mine");
    assert_non_null(strstr(table, "\"sea\""));
    free(mine), free(table);
    fv_options_free(o);
}

/* --- two pictures, and words --- */

/* The picture is the one that a session of these options makes by itself. */
static void is_made_alone(const fv_options *o, const fv_picture *found)
{
    fv_model *m;
    fv_session *s;
    fv_picture p;
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_picture(s, &p, NULL));
    assert_int_equal(p.width, found->width);
    assert_memory_equal(p.rgb, found->rgb, (size_t)p.width * (size_t)p.height * 3);
    fv_picture_free(&p);
    fv_session_close(s);
    fv_model_close(m);
}

static void two_grow_as_each_would_alone(void **state)
{
    (void)state;
    fv_picture p;
    fv_options *o = options_in("two");
    worker *w = started(o, NULL);
    UNTIL(w, v_.phase == WORKER_IDLE);
    set(o, "text", "moon");
    worker_post_options(w, ORDER_TWO, 0, o);
    set(o, "text", "sea");
    set(o, "seed", "7");
    set(o, "steps", "4"); /* the other one waits for it */
    worker_post_options(w, ORDER_TWO, 1, o);
    UNTIL(w, v_.saved_serial == 2 && v_.phase == WORKER_IDLE);
    worker_view v = view_of(w);
    assert_true(v.two.measured && v.two.models == 1);
    assert_true(v.two.progress[0].step == 6 && v.two.progress[1].step == 4);
    assert_true(v.two.pixels > 0 && v.two.seen[0].likeness < 1);
    assert_true(worker_two_picture(w, 1, &p));
    is_made_alone(o, &p);
    fv_picture_free(&p);
    set(o, "text", "moon");
    set(o, "seed", "1");
    set(o, "steps", "6");
    assert_true(worker_two_picture(w, 0, &p));
    is_made_alone(o, &p);
    fv_picture_free(&p);
    assert_int_equal(saved_in("two/gallery"), 2);
    worker_post(w, ORDER_TWO_SHEET, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 3);
    assert_non_null(strstr(view_of(w).saved, "moon-sea"));
    worker_stop(w);
    fv_options_free(o);
}

static void words_are_of_the_picture_that_is_shown(void **state)
{
    (void)state;
    float *map, low = 1, high = 0;
    int width, height;
    fv_options *o = options_in("words");
    worker *w = started(o, NULL);
    worker_post(w, ORDER_XRAY, 0, NULL, NULL); /* of nothing */
    add(w, o, "red moon");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.phase == WORKER_DONE);
    assert_int_equal(view_of(w).xray_serial, 0);
    worker_post(w, ORDER_XRAY, 0, NULL, NULL);
    UNTIL(w, v_.xray_serial == 1);
    worker_view v = view_of(w);
    assert_int_equal(v.xray_count, 2);
    assert_int_equal(v.xray_of, v.picture_serial);
    assert_string_equal(v.words[1].text, "moon");
    assert_false(worker_pull(w, 2, &map, &width, &height));
    assert_true(worker_pull(w, 1, &map, &width, &height));
    assert_true(width == 72 && height == 72);
    for (int i = 0; i < width * height; i++) {
        low = fminf(low, map[i]);
        high = fmaxf(high, map[i]);
    }
    assert_true(low >= 0 && high == 1.0f);
    free(map);
    add(w, o, "snow");
    worker_post(w, ORDER_RUN, 0, NULL, NULL);
    UNTIL(w, v_.saved_serial == 2 && v_.phase == WORKER_DONE);
    assert_int_equal(view_of(w).xray_count, 0);
    worker_stop(w);
    fv_options_free(o);
}

/* --- several threads --- */

typedef struct crowd {
    worker *w;
    fv_options *options;
    unsigned seed;
    int count;
    atomic_bool *over;
} crowd;

static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void one_order(crowd *c)
{
    static const char *const texts[] = {"moon", "snow", "sea | moon:-0.3", "", "moon:x | :"};
    worker *w = c->w;
    const char *text = texts[next(&c->seed) % 5];
    long number = (long)(next(&c->seed) % 8);
    switch (next(&c->seed) % 22) {
    case 0:
    case 1:
        if (next(&c->seed) % 2) worker_new_group(w);
        worker_post_options(w, ORDER_ADD, 0, c->options);
        break;
    case 2:
    case 3:
    case 4:
        worker_post(w, ORDER_RUN, 0, NULL, NULL);
        break;
    case 5:
        worker_post(w, ORDER_PAUSE, 0, NULL, NULL);
        break;
    case 6:
        worker_post(w, ORDER_STEP, 0, NULL, NULL);
        break;
    case 7:
        worker_post(w, next(&c->seed) % 4 ? ORDER_KEEP : ORDER_DISCARD, 0, NULL, NULL);
        break;
    case 8:
    case 9:
        worker_post(w, ORDER_SET, 0, "text", text);
        break;
    case 10:
        worker_post(w, ORDER_SET, 0, "llp", number % 2 ? "3:0.1" : "");
        break;
    case 11:
        worker_post_options(w, ORDER_BRANCH, number, c->options);
        break;
    case 12:
        worker_post(w, ORDER_SWITCH, number, NULL, NULL);
        break;
    case 13:
        worker_post(w, ORDER_FORGET, number, NULL, NULL);
        break;
    case 14:
        worker_post(w, ORDER_GRADIENT, number % 2, NULL, NULL);
        break;
    case 15:
        worker_post(w, ORDER_CHANNEL, number - 1, NULL, NULL);
        break;
    case 16:
        worker_post(w, ORDER_PICK, 0, NULL, number % 2 ? "0.5 0.5" : "");
        break;
    case 17:
        worker_post(w, ORDER_SEARCH, 0, NULL, text);
        break;
    case 18:
        worker_post(w, number % 2 ? ORDER_DROP : ORDER_RAISE, number, NULL, NULL);
        break;
    case 19:
        worker_post(w, ORDER_EDIT, number, "seed", "17");
        break;
    case 20:
        if (number == 0) worker_post_options(w, ORDER_SEEDS, 2, c->options);
        if (number == 1) worker_post(w, ORDER_CONTINUE, 3, NULL, NULL);
        if (number == 2) worker_post(w, ORDER_FILM, FV_FILM_PNG, NULL, NULL);
        if (number == 3) worker_post(w, ORDER_SCROLL, 0, NULL, NULL);
        for (int i = 0; i < 2 && number == 4; i++) worker_post_options(w, ORDER_TWO, i, c->options);
        if (number == 5) worker_post(w, ORDER_TWO_STOP, 0, NULL, NULL);
        if (number == 6) worker_post(w, ORDER_XRAY, 0, NULL, NULL);
        if (number == 7) worker_post(w, ORDER_TWO_SHEET, 0, NULL, NULL);
        break;
    default:
        if (number == 0) worker_post(w, ORDER_MORE, 3, NULL, NULL);
        if (number == 1) worker_post(w, ORDER_MATCH, 0, "sea\nmoon", "no-such.png");
        worker_post(w, ORDER_SAVE, 0, NULL, NULL);
    }
}

static void *give_orders(void *user)
{
    crowd *c = user;
    for (int i = 0; i < c->count; i++) {
        one_order(c);
        if (next(&c->seed) % 3 == 0) doze((int)(next(&c->seed) % 20));
    }
    return NULL;
}

/* The pictures have the size they say. */
static intptr_t look_once(worker *w, worker_matched *m)
{
    worker_view v = view_of(w);
    static _Thread_local worker_point points[64];
    fv_picture p;
    intptr_t wrong = 0;
    float *map;
    int width, height;
    bool (*const pictures[])(worker *, fv_picture *) = {worker_picture, worker_start_picture};
    for (int i = 0; i < 2; i++)
        if (pictures[i](w, &p)) {
            wrong += p.width != 80 || p.height != 80;
            fv_picture_free(&p);
        }
    if (worker_frame(w, v.frame_count - 1, &p)) fv_picture_free(&p);
    if (worker_panel_picture(w, 0, &p)) fv_picture_free(&p);
    if (worker_board_picture(w, 3, &p)) fv_picture_free(&p);
    if (worker_two_picture(w, 1, &p)) fv_picture_free(&p);
    if (worker_pull(w, 0, &map, &width, &height)) free(map);
    for (int i = 0; i < v.branch_count; i++)
        if (worker_branch_picture(w, v.branches[i].id, &p)) fv_picture_free(&p);
    if (worker_gradient(w, &map, &width, &height)) {
        wrong += width != 80 || height != 80;
        free(map);
    }
    if (worker_activation(w, &map, &width, &height)) free(map);
    int n = worker_curve(w, points, 64);
    for (int i = 1; i < n; i++) wrong += points[i].step < points[i - 1].step;
    if (worker_match(w, m)) wrong += m->texts.count * m->pictures.count == 0;
    return wrong;
}

static void *look(void *user)
{
    crowd *c = user;
    intptr_t wrong = 0;
    worker_matched *m = calloc(1, sizeof *m);
    while (m && !atomic_load(c->over)) {
        wrong += look_once(c->w, m);
        doze(1);
    }
    if (m) worker_matched_clear(m);
    free(m);
    return (void *)wrong;
}

static void count_news(void *user)
{
    atomic_fetch_add((atomic_int *)user, 1);
}

static void *change_listener(void *user)
{
    crowd *c = user;
    static atomic_int heard;
    for (int i = 0; !atomic_load(c->over); i++) {
        worker_on_notify(c->w, i % 2 ? NULL : count_news, i % 2 ? NULL : &heard);
        doze(2);
    }
    return NULL;
}

/* Whatever was asked for is in the gallery, still in the queue, or was dropped; nothing is torn. */
static void orders_and_looks_from_many_threads(void **state)
{
    (void)state;
    enum { GIVERS = 3, LOOKERS = 2 };
    for (unsigned round = 0; round < 2; round++) {
        fv_options *o = options_in("crowd");
        set(o, "steps", "8");
        worker *w = started(o, "crowd/queue");
        atomic_bool over = false;
        pthread_t threads[GIVERS + LOOKERS + 1];
        crowd crowds[GIVERS + LOOKERS + 1];
        for (int i = 0; i < GIVERS + LOOKERS + 1; i++) {
            crowds[i] = (crowd){w, o, 100 * round + (unsigned)i, 40, &over};
            void *(*what)(void *) = i < GIVERS             ? give_orders
                                    : i < GIVERS + LOOKERS ? look
                                                           : change_listener;
            assert_int_equal(pthread_create(&threads[i], NULL, what, &crowds[i]), 0);
        }
        for (int i = 0; i < GIVERS; i++) pthread_join(threads[i], NULL);
        atomic_store(&over, true);
        for (int i = GIVERS; i < GIVERS + LOOKERS + 1; i++) {
            void *wrong = NULL;
            pthread_join(threads[i], &wrong);
            assert_null(wrong);
        }
        worker_stop(w); /* in the middle of whatever it does */
        fv_queue *q;
        MUST(fv_queue_open(&q, "crowd/queue"));
        for (int i = 0; i < fv_queue_count(q); i++)
            assert_string_equal(fv_options_get(fv_queue_at(q, i), "text"), "moon");
        fv_queue_close(q);
        fv_saved *list;
        int count;
        MUST(fv_gallery_list(&list, &count, "crowd/gallery"));
        for (int i = 0; i < count; i++) {
            fv_picture p;
            MUST(fv_picture_read(&p, list[i].path));
            fv_picture_free(&p);
        }
        fv_gallery_list_free(list, count);
        fv_options_free(o);
    }
}

/* --- the end --- */

typedef struct listener {
    atomic_int calls;
    atomic_bool stopped;
    atomic_int late;
} listener;

static void hear(void *user)
{
    listener *l = user;
    atomic_fetch_add(&l->calls, 1);
    doze(1);
    if (atomic_load(&l->stopped)) atomic_fetch_add(&l->late, 1);
}

static void stopping_at_any_moment_is_the_last_that_is_heard(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };
    for (int round = 0; round < ROUNDS; round++) {
        listener *l = calloc(1, sizeof *l);
        assert_non_null(l);
        fv_options *o = options_in("stop");
        worker *w = started(o, "stop/queue");
        worker_on_notify(w, hear, l);
        add(w, o, "moon");
        add(w, o, "snow");
        worker_post(w, ORDER_RUN, 0, NULL, NULL);
        if (round % 3) UNTIL(w, v_.phase != WORKER_LOADING);
        doze(round * 9);
        for (int i = 0; round == ROUNDS - 1 && i < PATIENCE * 200; i++) { /* it is heard at all */
            if (atomic_load(&l->calls)) break;
            doze(5);
        }
        worker_stop(w);
        atomic_store(&l->stopped, true);
        if (round == ROUNDS - 1) assert_true(atomic_load(&l->calls) > 0);
        int heard = atomic_load(&l->calls);
        doze(3);
        assert_int_equal(atomic_load(&l->calls), heard);
        assert_int_equal(atomic_load(&l->late), 0);
        free(l);
        fv_queue *q; /* what is not made is still asked for, looked at or not */
        MUST(fv_queue_open(&q, "stop/queue"));
        assert_int_equal(fv_queue_count(q) + saved_in("stop/gallery"), 2);
        fv_queue_close(q);
        fv_options_free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_queue_is_worked_off),
        cmocka_unit_test(pictures_are_made_where_the_queue_cannot_be_written),
        cmocka_unit_test(a_change_that_cannot_be_made_is_said_and_taken_back),
        cmocka_unit_test(a_term_is_checked_without_a_picture),
        cmocka_unit_test(numbers_stay_with_the_texts_they_are_of),
        cmocka_unit_test(the_table_of_a_matrix_replaces_no_other),
        cmocka_unit_test(two_grow_as_each_would_alone),
        cmocka_unit_test(words_are_of_the_picture_that_is_shown),
        cmocka_unit_test(orders_and_looks_from_many_threads),
        cmocka_unit_test(stopping_at_any_moment_is_the_last_that_is_heard),
    };
    return cmocka_run_group_tests_name("the worker", tests, NULL, NULL);
}
