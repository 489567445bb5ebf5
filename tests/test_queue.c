/* The queue on disk: several of them on one folder, from several threads and processes, and
 * folders that cannot be written to. What outlives a crash is in test_album.c. */
#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "feavis/queue.h"
#include "tests/check.h"

enum { ADDERS = 3, EACH = 20 };

static fv_options *asking_for(const char *text)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "text", text));
    return o;
}

/* As a window of its own: a queue on the same folder, which is read before the others add. */
static void *add_some(void *user)
{
    const char *who = user;
    fv_queue *q;
    fv_options *o;
    intptr_t failed = 0;
    if (fv_queue_open(&q, "shared") < 0 || fv_options_new(&o) < 0) return (void *)1;
    for (int i = 0; i < EACH; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s %d", who, i);
        failed += fv_options_set(o, "text", text) < 0 || fv_queue_add(q, o) < 0;
    }
    fv_options_free(o);
    fv_queue_close(q);
    return (void *)failed;
}

static void two_queues_on_one_folder_lose_nothing(void **state)
{
    (void)state;
    static char names[2 * ADDERS][16];
    pthread_t threads[ADDERS];
    pid_t children[ADDERS];
    remove_tree("shared");
    assert_int_equal(mkdir("shared", 0777), 0);
    fflush(NULL);
    for (int i = 0; i < 2 * ADDERS; i++) snprintf(names[i], sizeof names[i], "adder%d", i);
    for (int i = 0; i < ADDERS; i++)
        if ((children[i] = fork()) == 0) _exit(add_some(names[ADDERS + i]) ? 1 : 0);
    for (int i = 0; i < ADDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_some, names[i]), 0);
    for (int i = 0; i < ADDERS; i++) {
        void *failed;
        int status;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    fv_queue *q;
    MUST(fv_queue_open(&q, "shared"));
    assert_int_equal(fv_queue_count(q), 2 * ADDERS * EACH);
    for (int a = 0; a < 2 * ADDERS; a++) { /* each adder's, once each and in its order */
        int next = 0;
        for (int i = 0; i < fv_queue_count(q); i++) {
            char text[128];
            snprintf(text, sizeof text, "%s %d", names[a], next);
            next += strcmp(fv_options_get(fv_queue_at(q, i), "text"), text) == 0;
        }
        assert_int_equal(next, EACH);
    }
    fv_queue_close(q);
    DIR *d = opendir("shared"); /* nothing half made is left */
    int others = 0;
    for (struct dirent *e; (e = readdir(d));)
        others += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !strstr(e->d_name, ".yml");
    closedir(d);
    assert_int_equal(others, 0);
}

static void an_item_of_another_queue_is_not_overwritten(void **state)
{
    (void)state;
    remove_tree("pair");
    fv_queue *a, *b, *again;
    fv_options *moon = asking_for("moon"), *snow = asking_for("snow"), *sea = asking_for("sea");
    MUST(fv_queue_open(&a, "pair"));
    MUST(fv_queue_open(&b, "pair"));
    MUST(fv_queue_add(a, moon));
    MUST(fv_queue_add(b, snow)); /* knows nothing of the moon */
    MUST(fv_queue_add(a, sea));
    MUST(fv_queue_open(&again, "pair"));
    assert_int_equal(fv_queue_count(again), 3);
    assert_string_equal(fv_options_get(fv_queue_at(again, 0), "text"), "moon");
    assert_string_equal(fv_options_get(fv_queue_at(again, 1), "text"), "snow");
    assert_string_equal(fv_options_get(fv_queue_at(again, 2), "text"), "sea");
    fv_queue_close(again);
    MUST(fv_queue_remove(a, 0));
    assert_string_equal(fv_options_get(fv_queue_at(a, 0), "text"), "sea");
    MUST(fv_queue_remove(a, 0));
    MUST(fv_queue_open(&again, "pair"));
    assert_int_equal(fv_queue_count(again), 1); /* each removed its own */
    fv_queue_close(again);
    fv_queue_close(a);
    fv_queue_close(b);
    fv_options_free(moon), fv_options_free(snow), fv_options_free(sea);
}

static void without_a_folder_it_is_in_memory(void **state)
{
    (void)state;
    fv_queue *q;
    fv_options *moon = asking_for("moon"), *snow = asking_for("snow");
    MUST(fv_queue_open(&q, NULL));
    MUST(fv_queue_add(q, moon));
    MUST(fv_queue_add(q, snow));
    MUST(fv_queue_set(q, 0, "seed", "7"));
    MUST(fv_queue_swap(q, 0, 1));
    assert_string_equal(fv_options_get(fv_queue_at(q, 0), "text"), "snow");
    MUST(fv_queue_remove(q, 0));
    assert_int_equal(fv_queue_count(q), 1);
    assert_string_equal(fv_options_get(fv_queue_at(q, 0), "seed"), "7");
    fv_queue_close(q);
    fv_options_free(moon), fv_options_free(snow);
}

/* Where nothing can be written, pictures are made all the same, and each once. */
static void a_folder_that_cannot_be_written_to(void **state)
{
    (void)state;
    remove_tree("locked");
    fv_queue *q;
    fv_options *moon = asking_for("moon"), *snow = asking_for("snow");
    MUST(fv_queue_open(&q, "locked"));
    MUST(fv_queue_add(q, moon));
    assert_int_equal(chmod("locked", 0555), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0); /* permissions bind others than root */
    fv_status added = fv_queue_add(q, snow);
    bool named = strstr(fv_error(), "locked");
    int count = fv_queue_count(q);
    fv_status held = fv_queue_hold(q, snow), removed = fv_queue_remove(q, 0);
    bool said = strstr(fv_error(), "removing locked/00000001.yml");
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod("locked", 0777), 0);
    assert_int_equal(added, FV_ERR_IO);
    assert_true(named);
    assert_int_equal(count, 1);
    assert_int_equal(held, FV_OK);
    assert_int_equal(removed, FV_ERR_IO);
    assert_true(said);
    assert_int_equal(fv_queue_count(q), 1); /* the moon is not made for ever */
    assert_string_equal(fv_options_get(fv_queue_at(q, 0), "text"), "snow");
    fv_queue_close(q);
    fv_options_free(moon), fv_options_free(snow);
}

/* What no queue has written: numbers of other lengths and signs, pipes; and the last there is. */
static void names_that_are_no_items_lose_none(void **state)
{
    (void)state;
    static const char *const names[] = {"odd/-0000001.yml", "odd/1.yml", "odd/4294967295.yml",
                                        "odd/00000000.yml", "odd/99999999.yml"};
    fv_options *moon = asking_for("moon"), *snow = asking_for("snow");
    fv_queue *q;
    remove_tree("odd");
    assert_int_equal(mkdir("odd", 0777), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        spill(names[i], "feavis: 1\ntext: sea\n", 21);
    assert_int_equal(mkfifo("odd/00000007.yml", 0666), 0);
    MUST(fv_queue_open(&q, "odd"));
    assert_int_equal(fv_queue_count(q), 1);
    MUST(fv_queue_add(q, moon));
    MUST(fv_queue_add(q, snow));
    fv_queue_close(q);
    MUST(fv_queue_open(&q, "odd"));
    assert_int_equal(fv_queue_count(q), 3);
    while (fv_queue_count(q)) MUST(fv_queue_remove(q, 0));
    fv_queue_close(q);
    MUST(fv_queue_open(&q, "odd"));
    assert_int_equal(fv_queue_count(q), 0); /* each removed its file */
    fv_queue_close(q);
    fv_options_free(moon);
    fv_options_free(snow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_queues_on_one_folder_lose_nothing),
        cmocka_unit_test(an_item_of_another_queue_is_not_overwritten),
        cmocka_unit_test(names_that_are_no_items_lose_none),
        cmocka_unit_test(without_a_folder_it_is_in_memory),
        cmocka_unit_test(a_folder_that_cannot_be_written_to),
    };
    return cmocka_run_group_tests_name("the queue", tests, NULL, NULL);
}
