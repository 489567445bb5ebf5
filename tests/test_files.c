/* Whole files: hidden names while they are written, what a killed program leaves, links and
 * permissions. That each call may fail is in test_failing_files.c. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/files/files.h"
#include "tests/check.h"

/* Hidden files in made/; the name of one of them. */
static int parts(char name[256])
{
    int count = 0;
    DIR *d = opendir("made");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 5, ".part") != 0) continue;
        assert_int_equal(e->d_name[0], '.');
        if (name) snprintf(name, 256, "%s", e->d_name);
        count++;
    }
    closedir(d);
    return count;
}

static int begin(void **state)
{
    (void)state;
    remove_tree("made");
    return mkdir("made", 0777);
}

static void holds(const char *path, const char *text)
{
    char *found = slurp(path, NULL);
    assert_string_equal(found, text);
    free(found);
}

/* A program that writes a file and is killed when it says that it is in the midst of it. */
static pid_t writer_in_the_midst(int to_say[2])
{
    assert_int_equal(pipe(to_say), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) {
        char byte;
        assert_int_equal(read(to_say[0], &byte, 1), 1);
        return child;
    }
    fv_file_writer *w;
    bool ok = fv_file_begin(&w, "made/file") >= 0 && fv_file_write(w, "half", 4) >= 0;
    if (!ok || write(to_say[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
}

/* Another program: this one has looked through the folder already. */
static void save_in_another_program(void)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(fv_file_save("made/other", "new", 3) < 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void what_a_killed_program_left_is_removed_by_the_next(void **state)
{
    int say[2], status;
    (void)state;
    begin(NULL);
    spill("made/file", "old", 3);
    spill("made/.mine.part", "kept", 4);
    spill("made/.feavis-notes.txt", "kept", 4);
    pid_t child = writer_in_the_midst(say);
    assert_int_equal(parts(NULL), 2);
    save_in_another_program();
    assert_int_equal(parts(NULL), 2); /* its writer lives */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(parts(NULL), 2);
    save_in_another_program();
    assert_int_equal(parts(NULL), 1);
    holds("made/.mine.part", "kept");
    holds("made/.feavis-notes.txt", "kept");
    holds("made/file", "old");
    close(say[0]);
    close(say[1]);
}

static void hidden_names_are_not_guessed(void **state)
{
    char first[256], second[256];
    fv_file_writer *w;
    (void)state;
    begin(NULL);
    MUST(fv_file_begin(&w, "made/file"));
    assert_int_equal(parts(first), 1);
    fv_file_abandon(w);
    assert_int_equal(parts(NULL), 0);
    MUST(fv_file_begin(&w, "made/file"));
    assert_int_equal(parts(second), 1);
    MUST(fv_file_commit(w));
    assert_int_equal(parts(NULL), 0);
    assert_string_not_equal(first, second);
    char process[32];
    snprintf(process, sizeof process, "%ld", (long)getpid());
    assert_null(strstr(first, process));
}

/* A link with the name of a hidden file leads nowhere: removing what was left takes the link's
 * name at most, never what it points to. */
static void links_among_hidden_files_are_not_followed(void **state)
{
    (void)state;
    begin(NULL);
    spill("made/precious", "kept", 4);
    assert_int_equal(symlink("precious", "made/.feavis-0123456789abcdef.part"), 0);
    save_in_another_program();
    holds("made/precious", "kept");
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void permissions_are_the_umask_or_those_of_the_old_file(void **state)
{
    (void)state;
    begin(NULL);
    mode_t old = umask(027);
    MUST(fv_file_save("made/file", "new", 3));
    fv_file_writer *w;
    bool taken;
    MUST(fv_file_begin_in(&w, "made"));
    MUST(fv_file_commit_new(w, "made/named", &taken));
    umask(old);
    assert_int_equal(mode_of("made/file"), 0640);
    assert_int_equal(mode_of("made/named"), 0640);
    assert_int_equal(chmod("made/file", 0604), 0);
    MUST(fv_file_save("made/file", "newer", 5));
    assert_int_equal(mode_of("made/file"), 0604);
    assert_int_equal(symlink("file", "made/link"), 0);
    MUST(fv_file_save("made/link", "newest", 6));
    holds("made/file", "newest");
    struct stat st;
    assert_int_equal(lstat("made/link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

static void a_file_that_may_not_be_written_is_not_replaced(void **state)
{
    (void)state;
    begin(NULL);
    spill("made/file", "kept", 4);
    assert_int_equal(chmod("made/file", 0444), 0);
    assert_int_equal(chmod("made", 0777), 0);
    pid_t child = fork(); /* root may write everything */
    assert_true(child >= 0);
    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
        fv_status s = fv_file_save("made/file", "new", 3);
        _exit(s == FV_ERR_IO && strstr(fv_error(), "made/file: Permission denied") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    holds("made/file", "kept");
}

static void a_taken_name_stays_with_its_file(void **state)
{
    fv_file_writer *w;
    bool taken;
    (void)state;
    begin(NULL);
    spill("made/a", "old", 3);
    MUST(fv_file_begin_in(&w, "made/"));
    MUST(fv_file_write(w, "new", 3));
    MUST(fv_file_commit_new(w, "made/a", &taken));
    assert_true(taken);
    MUST(fv_file_commit_new(w, "made/b", &taken));
    assert_false(taken);
    holds("made/a", "old");
    holds("made/b", "new");
    MUST(fv_file_move_new("made/a", "made/b", &taken));
    assert_true(taken);
    assert_int_equal(symlink("nowhere", "made/c"), 0);
    MUST(fv_file_move_new("made/a", "made/c", &taken));
    assert_true(taken); /* also by a link to nothing */
    MUST(fv_file_move_new("made/a", "made/d", &taken));
    assert_false(taken);
    holds("made/d", "old");
    holds("made/b", "new");
    FAILS(fv_file_move_new("made/a", "made/e", &taken), FV_ERR_IO, "made/a to made/e: No such");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_killed_program_left_is_removed_by_the_next),
        cmocka_unit_test(hidden_names_are_not_guessed),
        cmocka_unit_test(links_among_hidden_files_are_not_followed),
        cmocka_unit_test(permissions_are_the_umask_or_those_of_the_old_file),
        cmocka_unit_test(a_file_that_may_not_be_written_is_not_replaced),
        cmocka_unit_test(a_taken_name_stays_with_its_file),
    };
    return cmocka_run_group_tests_name("whole files", tests, begin, NULL);
}
