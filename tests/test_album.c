/* What has to outlive a crash: the gallery, the queue, the settings; and a process killed in the
 * middle of saving. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feavis/album.h"
#include "feavis/feavis.h"
#include "feavis/queue.h"
#include "feavis/settings.h"
#include "model/files/files.h"
#include "tests/check.h"

/* These stand before the C library's: a file system that lacks one or both of them. */
static int rename_error, link_error; /* 0: as the real one does */

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (rename_error) {
        errno = rename_error;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to)
{
    if (link_error) {
        errno = link_error;
        return -1;
    }
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void empty_folder(const char *folder)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static fv_picture grey_picture(int side)
{
    fv_picture p = {side, side, malloc((size_t)(side * side * 3))};
    for (int i = 0; i < side * side * 3; i++) p.rgb[i] = (uint8_t)(i * 7 % 251);
    return p;
}

static void lists_removes_restores(void **state)
{
    (void)state;
    empty_folder("album");
    MUST(fv_gallery_prepare("album"));
    fv_picture p = grey_picture(16);
    char *a, *b, *undo, *back;
    MUST(fv_gallery_add("album", "月", 1, &p, "feavis: 0\ntext: \"月\"\n", &a));
    MUST(fv_gallery_add("album", "月", 1, &p, "feavis: 0\ntext: \"月\"\n", &b));
    assert_string_equal(b, "album/月-1-2.png");
    MUST(fv_picture_write(&p, "album/other.png", NULL)); /* no recipe: not ours */
    fclose(fopen("album/empty.png", "w"));
    fv_saved *list;
    int count;
    MUST(fv_gallery_list(&list, &count, "album"));
    assert_int_equal(count, 2);
    assert_string_equal(list[0].path, b);
    assert_non_null(strstr(list[0].recipe, "月"));
    fv_gallery_list_free(list, count);

    MUST(fv_gallery_remove(a, &undo));
    MUST(fv_gallery_list(&list, &count, "album"));
    assert_int_equal(count, 1);
    fv_gallery_list_free(list, count);
    char *c;
    MUST(fv_gallery_add("album", "月", 1, &p, "feavis: 0\n", &c)); /* takes the free name */
    assert_string_equal(c, a);
    MUST(fv_gallery_restore(undo, &back)); /* and what comes back does not replace it */
    assert_string_equal(back, "album/月-1-3.png");
    FAILS(fv_gallery_restore("album/月-1.png", &back), FV_ERR_ARGUMENT, "not a removed");
    free(a), free(b), free(c), free(undo), free(back);
    fv_picture_free(&p);
    MUST(fv_gallery_list(&list, &count, "no-such-folder"));
    assert_int_equal(count, 0);
}

static void removing_works_without_a_rename_that_never_replaces(void **state)
{
    (void)state;
    static const struct {
        int rename, link;
    } lacks[] = {{EINVAL, 0},          {EINVAL, EPERM}, {ENOSYS, ENOSYS}, {EOPNOTSUPP, EOPNOTSUPP},
                 {EINVAL, EOPNOTSUPP}, {EPERM, EINVAL}};
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        empty_folder("plain");
        MUST(fv_gallery_prepare("plain"));
        rename_error = lacks[i].rename;
        link_error = lacks[i].link;
        fv_picture p = grey_picture(16);
        char *a, *b, *undo, *back;
        MUST(fv_gallery_add("plain", "月", 1, &p, "feavis: 0\ntext: \"1\"\n", &a));
        MUST(fv_gallery_remove(a, &undo));
        assert_int_equal(access(a, F_OK), -1);
        MUST(fv_gallery_add("plain", "月", 1, &p, "feavis: 0\ntext: \"2\"\n", &b));
        assert_string_equal(a, b);
        MUST(fv_gallery_restore(undo, &back));
        assert_string_equal(back, "plain/月-1-2.png"); /* which was free; the other stays */
        assert_int_equal(access(undo, F_OK), -1);
        fv_saved *list;
        int count;
        MUST(fv_gallery_list(&list, &count, "plain"));
        assert_int_equal(count, 2);
        fv_gallery_list_free(list, count);
        fv_picture_free(&p);
        free(a), free(b), free(undo), free(back);
        rename_error = link_error = 0;
    }
}

static void a_move_that_fails_leaves_no_trace(void **state)
{
    (void)state;
    static const int links[] = {0, EPERM};
    for (size_t i = 0; i < 2; i++) {
        bool taken;
        empty_folder("trace");
        assert_int_equal(mkdir("trace", 0777), 0);
        spill("trace/taken", "mine", 4);
        spill("trace/from", "new", 3);
        rename_error = EINVAL;
        link_error = links[i];
        MUST(fv_file_move_new("trace/from", "trace/taken", &taken));
        assert_true(taken);
        FAILS(fv_file_move_new("trace/none", "trace/made", &taken), FV_ERR_IO, "No such file");
        assert_int_equal(access("trace/made", F_OK), -1); /* no empty file either */
        rename_error = link_error = 0;
        char *mine = slurp("trace/taken", NULL), *from = slurp("trace/from", NULL);
        assert_string_equal(mine, "mine");
        assert_string_equal(from, "new");
        free(mine), free(from);
    }
}

static void restoring_goes_back_to_the_folder_it_came_from(void **state)
{
    (void)state;
    static const char *const folders[] = {"inner/.removed/deep", "inner/a.removed",
                                          "inner/.removed.d", "./inner/x"};
    empty_folder("inner");
    assert_int_equal(mkdir("inner", 0777), 0);
    assert_int_equal(mkdir("inner/.removed", 0777), 0);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        fv_picture p = grey_picture(16);
        char *path, *undo, *back;
        MUST(fv_gallery_prepare(folders[i]));
        MUST(fv_gallery_add(folders[i], "月", 1, &p, "feavis: 0\n", &path));
        MUST(fv_gallery_remove(path, &undo));
        MUST(fv_gallery_restore(undo, &back));
        assert_string_equal(back, path);
        free(path), free(undo), free(back);
        fv_picture_free(&p);
    }
    char *back;
    FAILS(fv_gallery_restore("inner/.removed/deep/月-1.png", &back), FV_ERR_ARGUMENT,
          "not a removed");
    FAILS(fv_gallery_restore("inner/a.removed/月-1.png", &back), FV_ERR_ARGUMENT, "not a removed");
    FAILS(fv_gallery_restore(".removed", &back), FV_ERR_ARGUMENT, "not a removed");
}

/* Whoever wrote the recipe, and however it quotes. */
static void the_gallery_reads_recipes_as_yaml(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"feavis: 0\ntext: \"a \\u0022b\\u0022 \\\\ c\"\n", "a \"b\" \\ c"},
        {"feavis: 0\n'text': 'it''s'\n", "it's"},
        {"{feavis: 0, seed: 7, text: 月  }\n", "月"},
        {"feavis: 0\ntext: >-\n  two\n  lines\n", "two lines"},
        {"feavis: 0\nvocab: \"x\\ntext: no\"\ntext: yes\n", "yes"},
        {"feavis: 0\nseed: 7\n", ""},
        {"feavis: [", ""}};
    fv_picture p = grey_picture(8);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        empty_folder("read");
        MUST(fv_gallery_prepare("read"));
        MUST(fv_picture_write(&p, "read/a.png", texts[i][0]));
        fv_saved *list;
        int count;
        MUST(fv_gallery_list(&list, &count, "read"));
        assert_int_equal(count, 1);
        assert_string_equal(list[0].text, texts[i][1]);
        fv_gallery_list_free(list, count);
    }
    fv_picture_free(&p);
    static const char recipe[] = "feavis: 0\ntext: \"\\u6708\"\nsteps: 80\nchanges:\n"
                                 "  - {step: 40, option: text, value: \"\\u0022\"}\n";
    static const char *const said[][2] = {
        {"feavis", "0"}, {"text", "月"}, {"steps", "80"}, {"text @40", "\""}};
    fv_list names, values;
    MUST(fv_recipe_list(&names, &values, recipe, "here"));
    assert_int_equal(names.count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(names.at[i], said[i][0]);
        assert_string_equal(values.at[i], said[i][1]);
    }
    assert_string_equal(fv_recipe_value(&names, &values, "steps"), "80");
    assert_string_equal(fv_recipe_value(&names, &values, "seed"), "");
    fv_list_clear(&names);
    fv_list_clear(&values);
    FAILS(fv_recipe_list(&names, &values, "- a\n", "here"), FV_ERR_FORMAT, "here: the recipe");
}

static void queue_is_what_it_was(void **state)
{
    (void)state;
    empty_folder("queue");
    fv_queue *q;
    fv_options *o;
    MUST(fv_queue_open(&q, "queue"));
    MUST(fv_options_new(&o));
    static const char *const texts[] = {"山", "水: \"quoted\"", "月"};
    for (int i = 0; i < 3; i++) {
        MUST(fv_options_set(o, "text", texts[i]));
        MUST(fv_queue_add(q, o));
    }
    unsigned id = fv_queue_id(q, 2), first = fv_queue_id(q, 0);
    MUST(fv_queue_swap(q, 0, 1));
    assert_int_equal(fv_queue_find(q, first), 1);
    MUST(fv_queue_remove(q, 1));
    assert_int_equal(fv_queue_find(q, id), 1);
    MUST(fv_queue_set(q, 1, "seed", "77"));
    fv_queue_close(q);
    FILE *f = fopen("queue/00000009.yml", "w"); /* damaged: left alone */
    fputs("feavis: [", f);
    fclose(f);
    MUST(fv_queue_open(&q, "queue"));
    assert_int_equal(fv_queue_count(q), 2);
    assert_string_equal(fv_options_get(fv_queue_at(q, 0), "text"), texts[1]);
    assert_string_equal(fv_options_get(fv_queue_at(q, 1), "text"), "月");
    assert_string_equal(fv_options_get(fv_queue_at(q, 1), "seed"), "77");
    assert_int_equal(access("queue/00000009.yml", F_OK), 0);
    MUST(fv_queue_add(q, o)); /* takes no name that is in use */
    assert_int_equal(access("queue/00000010.yml", F_OK), 0);
    fv_queue_close(q);
    fv_options_free(o);
}

static void settings_are_remembered(void **state)
{
    (void)state;
    unlink("settings.yml");
    fv_settings *s;
    MUST(fv_settings_open(&s, "settings.yml"));
    assert_string_equal(fv_settings_get(s, "language", "zh"), "zh");
    MUST(fv_settings_set(s, "language", "en"));
    MUST(fv_settings_set(s, "text", "春眠\n\"晓\""));
    MUST(fv_settings_save(s));
    fv_settings_close(s);
    MUST(fv_settings_open(&s, "settings.yml"));
    assert_string_equal(fv_settings_get(s, "language", "zh"), "en");
    assert_string_equal(fv_settings_get(s, "text", ""), "春眠\n\"晓\"");
    fv_settings_close(s);
}

/* Saves pictures and queue items as fast as it can, until it is killed. */
static void save_for_ever(int told)
{
    fv_picture p = grey_picture(64);
    fv_options *o;
    fv_queue *q;
    if (fv_options_new(&o) < 0 || fv_queue_open(&q, "killed/queue") < 0) _exit(1);
    for (unsigned i = 0;; i++) {
        char *path;
        if (fv_options_set(o, "text", "山") < 0 || fv_queue_add(q, o) < 0) _exit(1);
        if (fv_gallery_add("killed", "山", i % 3, &p, "feavis: 0\n", &path) < 0) _exit(1);
        if (write(told, &i, sizeof i) != sizeof i) _exit(1); /* from here on it has to be there */
        free(path);
    }
}

static void killing_loses_nothing_finished(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        empty_folder("killed");
        MUST(fv_gallery_prepare("killed"));
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) save_for_ever(ends[1]);
        close(ends[1]);
        usleep(20000 + 7300 * (unsigned)round);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        unsigned last, finished = 0;
        while (read(ends[0], &last, sizeof last) == sizeof last) finished++;
        close(ends[0]);
        fv_saved *list;
        int count, whole = 0;
        MUST(fv_gallery_list(&list, &count, "killed"));
        for (int i = 0; i < count; i++) {
            fv_picture p;
            MUST(fv_picture_read(&p, list[i].path));
            whole += p.width == 64;
            fv_picture_free(&p);
        }
        fv_gallery_list_free(list, count);
        assert_int_equal(whole, count);
        assert_in_range(count, finished, finished + 1);
        DIR *d = opendir("killed"); /* no name that people see has part of a picture */
        int seen = 0;
        for (struct dirent *e; (e = readdir(d));) seen += strstr(e->d_name, ".png") != NULL;
        closedir(d);
        assert_int_equal(seen, count);
        fv_queue *q;
        MUST(fv_queue_open(&q, "killed/queue"));
        assert_in_range(fv_queue_count(q), finished, finished + 1);
        fv_queue_close(q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_removes_restores),
        cmocka_unit_test(removing_works_without_a_rename_that_never_replaces),
        cmocka_unit_test(a_move_that_fails_leaves_no_trace),
        cmocka_unit_test(restoring_goes_back_to_the_folder_it_came_from),
        cmocka_unit_test(the_gallery_reads_recipes_as_yaml),
        cmocka_unit_test(queue_is_what_it_was),
        cmocka_unit_test(settings_are_remembered),
        cmocka_unit_test(killing_loses_nothing_finished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
