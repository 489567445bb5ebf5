/* Folders of pictures as they are found: parts that cannot be read, links in circles, pipes, names
 * of any bytes, names that are composed in another way. One bad part is told and left out. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feavis/classify.h"
#include "feavis/feavis.h"
#include "feavis/lists.h"
#include "feavis/names.h"
#include "tests/check.h"

static void picture(const char *path)
{
    uint8_t rgb[3] = {0};
    MUST(fv_picture_write(&(fv_picture){1, 1, rgb}, path, NULL));
}

static void fresh(void)
{
    remove_tree("album");
    assert_int_equal(mkdir("album", 0777), 0);
    assert_int_equal(mkdir("album/b", 0777), 0);
    picture("album/a.png");
    picture("album/b/c.png");
}

static void list(fv_list *l, fv_list *notes, const char *folder)
{
    MUST(fv_list_pictures(l, folder, NULL, notes));
}

static void clear(fv_list *l, fv_list *notes)
{
    fv_list_clear(l);
    fv_list_clear(notes);
}

static void a_link_to_a_parent_ends_there(void **state)
{
    fv_list l, notes;
    (void)state;
    fresh();
    assert_int_equal(symlink("..", "album/b/up"), 0);
    assert_int_equal(symlink("self", "album/self"), 0);
    assert_int_equal(symlink("self.png", "album/self.png"), 0);
    list(&l, &notes, "album");
    assert_int_equal(l.count, 2);
    assert_string_equal(l.at[0], "album/a.png");
    assert_string_equal(l.at[1], "album/b/c.png");
    assert_int_equal(notes.count, 2);
    assert_string_equal(notes.at[0], "album/b/up: the same folder as album, left out");
    assert_non_null(strstr(notes.at[1], "album/self.png: Too many levels"));
    clear(&l, &notes);
}

/* Pictures have their own paths, whichever name a folder's entries have. */
static void each_folder_is_read_once(void **state)
{
    fv_list l, notes;
    (void)state;
    fresh();
    assert_int_equal(symlink("b", "album/a-link"), 0);
    assert_int_equal(symlink("b", "album/z-link"), 0);
    remove_tree("elsewhere");
    assert_int_equal(mkdir("elsewhere", 0777), 0);
    picture("elsewhere/d.png");
    assert_int_equal(symlink("../elsewhere", "album/out2"), 0);
    assert_int_equal(symlink("../elsewhere", "album/out1"), 0);
    list(&l, &notes, "album/");
    assert_int_equal(l.count, 3);
    assert_string_equal(l.at[1], "album/b/c.png");
    assert_string_equal(l.at[2], "album/out1/d.png");
    assert_int_equal(notes.count, 3);
    assert_string_equal(notes.at[1], "album/out2: the same folder as album/out1, left out");
    clear(&l, &notes);
}

static int in_a_closed_folder(void)
{
    fv_list l, notes;
    if (fv_list_pictures(&l, "album", NULL, &notes) < 0) return 1;
    if (l.count != 2 || notes.count != 1) return 2;
    if (strcmp(notes.at[0], "album/closed: Permission denied, left out") != 0) return 3;
    if (fv_list_pictures(&l, "album/closed", NULL, &notes) != FV_ERR_IO) return 4;
    return strstr(fv_error(), "album/closed: Permission denied") ? 0 : 5;
}

/* Root may read everything, so nobody looks. */
static void a_folder_that_cannot_be_read_is_left_out(void **state)
{
    int status;
    (void)state;
    fresh();
    assert_int_equal(mkdir("album/closed", 0777), 0);
    picture("album/closed/d.png");
    assert_int_equal(chmod("album/closed", 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(6);
        _exit(in_a_closed_folder());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(chmod("album/closed", 0777), 0);
    assert_int_equal(status, 0);
}

static void pipes_and_sockets_are_left_out(void **state)
{
    fv_list l, notes;
    fv_picture p;
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "album/s.png"};
    (void)state;
    fresh();
    assert_int_equal(mkfifo("album/p.png", 0666), 0);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(s >= 0 && bind(s, (struct sockaddr *)&name, sizeof name) == 0);
    list(&l, &notes, "album");
    close(s);
    assert_int_equal(l.count, 2);
    assert_int_equal(notes.count, 2);
    assert_string_equal(notes.at[0], "album/p.png: a pipe, a socket or a device, left out");
    clear(&l, &notes);
    /* one that a list names is refused, not waited for */
    FAILS(fv_picture_read(&p, "album/p.png"), FV_ERR_IO, "album/p.png: not a regular file");
}

/* Deeper than any path may be long: what lies below is told, the rest is there. */
static void a_deep_folder_does_not_end_the_search(void **state)
{
    fv_list l, notes;
    char name[201], start[4096];
    (void)state;
    fresh();
    assert_non_null(getcwd(start, sizeof start));
    memset(name, 'd', 200);
    name[200] = 0;
    assert_int_equal(chdir("album/b"), 0);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(mkdir(name, 0777), 0);
        assert_int_equal(chdir(name), 0);
    }
    assert_int_equal(chdir(start), 0);
    list(&l, &notes, "album");
    assert_int_equal(l.count, 2);
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.at[0], "File name too long, left out"));
    clear(&l, &notes);
    assert_int_equal(system("rm -rf album"), 0);
}

static void names_of_any_bytes_come_back(void **state)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"plain \"name\", 山.png", "plain \"name\", 山.png"},
        {"two\nlines.png", "two\\nlines.png"},
        {"back\\slash\\n.png", "back\\\\slash\\\\n.png"},
        {"\xd6\xd0.png", "\\xD6\\xD0.png"}, /* GBK */
        {"\x1b[31m\r\t\x7f.png", "\\x1B[31m\\x0D\\x09\\x7F.png"},
        {"\xc2\x85\xe2\x80\xa8.png", "\\xC2\\x85\\xE2\\x80\\xA8.png"},
        {"\xed\xa0\x80\xf0\x9f.png", "\\xED\\xA0\\x80\\xF0\\x9F.png"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = fv_name_escaped(cases[i].name);
        assert_string_equal(text, cases[i].text);
        fv_name_unescape(text);
        assert_string_equal(text, cases[i].name);
        free(text);
    }
    char other[] = "a\\b\\x4\\xg0\\";
    fv_name_unescape(other);
    assert_string_equal(other, "a\\b\\x4\\xg0\\");
}

/* macOS writes folders decomposed; both spellings are one class. */
static void folders_match_labels_however_accents_are_composed(void **state)
{
    static const char composed[] = "caf\xc3\xa9\n\xed\x95\x9c\n\xe3\x81\x8c\n",
                      apart[] = "cafe\xcc\x81\n\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\n"
                                "\xe3\x81\x8b\xe3\x82\x99\n";
    static const char *const paths[] = {
        "x/caf\xc3\xa9/1.png",  "x/Cafe\xcc\x81/1.png",
        "x/\xed\x95\x9c/1.png", "x/\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab/1.png",
        "x/\xe3\x81\x8c/1.png", "x/\xe3\x81\x8b\xe3\x82\x99/1.png"};
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        fv_classes c;
        spill("labels.txt", turn ? apart : composed, strlen(turn ? apart : composed));
        MUST(fv_classes_read(&c, "labels.txt"));
        for (int i = 0; i < 6; i++) assert_int_equal(fv_classes_of_path(&c, paths[i]), i / 2);
        assert_int_equal(fv_classes_of_path(&c, "x/cafe/1.png"), -1);
        assert_int_equal(fv_classes_of_path(&c, "x/\xc9\xbd/1.png"), -1); /* not UTF-8 */
        fv_classes_clear(&c);
    }
}

static void lists_find_files_however_accents_are_composed(void **state)
{
    fv_list l;
    (void)state;
    fresh();
    picture("album/cafe\xcc\x81.png"); /* apart on the disk, composed in the list */
    picture("album/\xe3\x81\x8c.png"); /* and the other way */
    static const char text[] =
        "caf\xc3\xa9.png\n\xe3\x81\x8b\xe3\x82\x99.png\na.png\nn\xc3\xa9.png\n";
    spill("album/list.txt", text, sizeof text - 1);
    MUST(fv_list_pictures(&l, "album/list.txt", NULL, NULL));
    assert_int_equal(l.count, 4);
    assert_string_equal(l.at[0], "album/cafe\xcc\x81.png");
    assert_string_equal(l.at[1], "album/\xe3\x81\x8c.png");
    assert_string_equal(l.at[2], "album/a.png");
    assert_string_equal(l.at[3], "album/n\xc3\xa9.png"); /* neither is there */
    fv_list_clear(&l);
    assert_true(fv_name_same("caf\xc3\xa9", "cafe\xcc\x81"));
    assert_false(fv_name_same("caf\xc3\xa9", "cafe"));
    assert_false(fv_name_same("\xd6\xd0", "\xd6\xd1")); /* not UTF-8 */
    assert_true(fv_name_same("\xd6\xd0", "\xd6\xd0"));
}

static void the_nearest_name_is_near(void **state)
{
    (void)state;
    static const char *const names[] = {"walk", "two", "wall", "receipt"};
    char many[400];
    memset(many, 'w', sizeof many - 1);
    many[sizeof many - 1] = 0;
    assert_string_equal(fv_name_nearest("wlak", names, 4), "walk");
    assert_string_equal(fv_name_nearest("wal", names, 4), "walk"); /* the first of two */
    assert_string_equal(fv_name_nearest("reciept", names, 4), "receipt");
    assert_string_equal(fv_name_nearest("two", names, 4), "two");
    assert_null(fv_name_nearest("tow", names, 4)); /* two edits of three letters */
    assert_null(fv_name_nearest("", names, 4));
    assert_null(fv_name_nearest("梦", names, 4));
    assert_null(fv_name_nearest(many, names, 4));
    assert_null(fv_name_nearest("walk", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_to_a_parent_ends_there),
        cmocka_unit_test(each_folder_is_read_once),
        cmocka_unit_test(a_folder_that_cannot_be_read_is_left_out),
        cmocka_unit_test(pipes_and_sockets_are_left_out),
        cmocka_unit_test(a_deep_folder_does_not_end_the_search),
        cmocka_unit_test(names_of_any_bytes_come_back),
        cmocka_unit_test(lists_find_files_however_accents_are_composed),
        cmocka_unit_test(folders_match_labels_however_accents_are_composed),
        cmocka_unit_test(the_nearest_name_is_near),
    };
    return cmocka_run_group_tests_name("folders of pictures", tests, NULL, NULL);
}
