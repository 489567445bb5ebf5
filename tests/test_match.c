/* Lists of texts and pictures, ranking, recall, classes and confusion: the arithmetic by hand. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "tests/check.h"

static void write_text(const char *path, const char *text)
{
    spill(path, text, strlen(text));
}

static void expect_lines(const char *text, int count, const char *const *expected)
{
    fv_list l;
    write_text("list.csv", text);
    MUST(fv_list_lines(&l, "list.csv"));
    assert_int_equal(l.count, count);
    for (int i = 0; i < count; i++) assert_string_equal(l.at[i], expected[i]);
    fv_list_clear(&l);
}

static void test_lines(void **state)
{
    (void)state;
    expect_lines("山, 水\n花\n", 2, (const char *const[]){"山, 水", "花"});
    expect_lines("\xef\xbb\xbf山\r\n\r\n  \n花", 2, (const char *const[]){"山", "花"});
    expect_lines("\"a, b\"\n\"say \"\"hm\"\"\"\n\"a\",\"b\"\n\"\"\"\"\n", 4,
                 (const char *const[]){"a, b", "say \"hm\"", "\"a\",\"b\"", "\""});
    fv_list l;
    write_text("list.csv", "\n \n");
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "no line with text");
    write_text("list.csv", "good\n\xc9\xad\xc1\xd6\n"); /* 森林 in GBK */
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "line 2 is not UTF-8 but looks like GBK");
    write_text("list.csv", "\xe5\xb1\n"); /* half a letter */
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "list.csv");
    write_text("list.csv", "caf\xe9\n"); /* Latin-1 */
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "line 1 is not UTF-8: byte 3");
    spill("list.csv", "\xff\xfeq\0", 4);
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "UTF-16");
    FAILS(fv_list_lines(&l, "nowhere.csv"), FV_ERR_IO, "nowhere.csv");
}

static void test_pictures(void **state)
{
    fv_list l;
    (void)state;
    mkdir("tree", 0777);
    mkdir("tree/b", 0777);
    mkdir("tree/.hidden", 0777);
    static const char *const files[] = {"tree/z.JPG",     "tree/b/c.png", "tree/b/d.webp",
                                        "tree/note.txt",  "tree/.x.jpg",  "tree/.hidden/y.jpg",
                                        "tree/phone.heic"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) write_text(files[i], "x");
    MUST(fv_list_pictures(&l, "tree", NULL));
    assert_int_equal(l.count, 4); /* the .heic too: its message is better than silence */
    assert_string_equal(l.at[0], "tree/b/c.png");
    assert_string_equal(l.at[1], "tree/b/d.webp");
    assert_string_equal(l.at[2], "tree/phone.heic");
    assert_string_equal(l.at[3], "tree/z.JPG");
    fv_list_clear(&l);
    write_text("tree/images.csv", "z.JPG\n/abs/q.png\n");
    MUST(fv_list_pictures(&l, "tree/images.csv", NULL));
    assert_string_equal(l.at[0], "tree/z.JPG");
    assert_string_equal(l.at[1], "/abs/q.png");
    fv_list_clear(&l);
    MUST(fv_list_pictures(&l, "tree/images.csv", "else"));
    assert_string_equal(l.at[0], "else/z.JPG");
    fv_list_clear(&l);
    MUST(fv_list_pictures(&l, "tree/z.JPG", NULL));
    assert_int_equal(l.count, 1);
    fv_list_clear(&l);
    FAILS(fv_list_pictures(&l, "tree/.hidden/none", NULL), FV_ERR_IO, "none");
    mkdir("empty", 0777);
    FAILS(fv_list_pictures(&l, "empty", NULL), FV_ERR_FORMAT, "no pictures");
}

static void test_top(void **state)
{
    const float scores[] = {1, -1, 3, -1, 2, -1, 3, -1};
    fv_hit hits[9];
    (void)state;
    assert_int_equal(fv_top(scores, 4, 2, 3, hits), 3);
    assert_int_equal(hits[0].index, 1); /* of two equal ones the first */
    assert_int_equal(hits[1].index, 3);
    assert_int_equal(hits[2].index, 2);
    assert_true(hits[2].score == 2);
    assert_int_equal(fv_top(scores, 4, 2, 9, hits), 4);
    assert_int_equal(hits[3].index, 0);
    assert_int_equal(fv_top(scores, 4, 2, 1, hits), 1);
    assert_int_equal(hits[0].index, 1);
}

/* Three images, four texts; text 3 belongs to image 0 as text 0 does. */
static void test_recall(void **state)
{
    const float m[] = {.9f, .1f, .2f, .3f, /* image 0 */
                       .8f, .0f, .5f, .7f, /* image 1: its text 1 comes last */
                       .1f, .4f, .6f, .2f};
    const int image_of[] = {0, 1, 2, 0};
    fv_recall r;
    (void)state;
    MUST(fv_recall_of(m, 3, 4, image_of, &r));
    assert_true(fabs(r.text_to_image[0] - 0.5) < 1e-12); /* 0 and 2; of 1, 3 others are first */
    assert_true(fabs(r.text_to_image[1] - 1) < 1e-12);
    assert_true(fabs(r.image_to_text[0] - 2.0 / 3) < 1e-12);
    assert_int_equal(r.texts, 4);
    assert_int_equal(r.images, 3);
    const int none[] = {-1, -1, 2, -1};
    MUST(fv_recall_of(m, 3, 4, none, &r));
    assert_int_equal(r.texts, 1);
    assert_int_equal(r.images, 1);
    assert_true(r.text_to_image[0] == 1 && r.image_to_text[0] == 1);
    const int wrong[] = {0, 1, 2, 3};
    FAILS(fv_recall_of(m, 3, 4, wrong, &r), FV_ERR_ARGUMENT, "image 3 of 3");
}

static void test_classes(void **state)
{
    fv_classes c;
    (void)state;
    write_text("labels.txt", "golfcourse\t高尔夫球场| 球场\nBare Land\t裸地\n海滩\n");
    MUST(fv_classes_read(&c, "labels.txt"));
    assert_int_equal(c.count, 3);
    assert_int_equal(c.words[0].count, 2);
    assert_string_equal(c.words[0].at[1], "球场");
    assert_string_equal(c.labels.at[0], "高尔夫球场");
    assert_int_equal(fv_classes_of_path(&c, "/data/UCM/golfcourse/golfcourse01.tif"), 0);
    assert_int_equal(fv_classes_of_path(&c, "Golf_Course/1.png"), 0);
    assert_int_equal(fv_classes_of_path(&c, "AID/BareLand/1.jpg"), 1);
    assert_int_equal(fv_classes_of_path(&c, "x/海滩/1.jpg"), 2);
    assert_int_equal(fv_classes_of_path(&c, "x/golf/1.jpg"), -1);
    assert_int_equal(fv_classes_of_path(&c, "golfcourse.jpg"), -1);
    fv_classes_clear(&c);
    write_text("labels.txt", "mountain\t山｜高山 | 山峰\na\tx\\|y\\｜z\n");
    MUST(fv_classes_read(&c, "labels.txt"));
    assert_int_equal(c.words[0].count, 3);
    assert_string_equal(c.words[0].at[1], "高山");
    assert_string_equal(c.labels.at[1], "x|y｜z");
    fv_classes_clear(&c);
    write_text("labels.txt", "a\tb | \xe3\x80\x80\n");
    FAILS(fv_classes_read(&c, "labels.txt"), FV_ERR_FORMAT, "empty label");
    write_text("labels.txt", "a\nb\na\n");
    FAILS(fv_classes_read(&c, "labels.txt"), FV_ERR_FORMAT, "class a twice");
    write_text("labels.txt", "a\t| b\n");
    FAILS(fv_classes_read(&c, "labels.txt"), FV_ERR_FORMAT, "empty label");
}

static void test_confusion(void **state)
{
    const float s[] = {1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9};
    const int truth[] = {0, 1, 1, 0, -1};
    fv_confusion c;
    (void)state;
    MUST(fv_confusion_of(&c, s, 5, 3, truth));
    assert_int_equal(c.pictures, 4);
    assert_int_equal(c.right, 2);
    assert_true(c.accuracy == 0.5 && c.top5 == 1 && c.mean_class_accuracy == 0.5);
    const int cells[9] = {1, 0, 1, 1, 1, 0, 0, 0, 0};
    assert_memory_equal(c.cells, cells, sizeof cells);
    assert_int_equal(c.scores[0].guessed, 2);
    assert_int_equal(c.scores[0].found, 1);
    assert_int_equal(c.scores[2].pictures, 0);
    fv_confusion_clear(&c);
}

/* Every list and preset of the classes that ships: right counts, and templates with a gap. */
static void test_shipped_lists(void **state)
{
    static const struct {
        const char *name;
        int classes;
    } labels[] = {{"ucm-zh", 21}, {"ucm-en", 21}, {"aid-zh", 30}, {"aid-en", 30}};
    static const char *const prompts[] = {"photo-zh", "photo-en", "remote-zh", "remote-en"};
    char path[256];
    (void)state;
    for (int i = 0; i < 4; i++) {
        fv_classes c;
        snprintf(path, sizeof path, "presets/labels/%s.txt", labels[i].name);
        MUST(fv_classes_read(&c, source_file(path)));
        assert_int_equal(c.count, labels[i].classes);
        fv_classes_clear(&c);
    }
    for (int i = 0; i < 4; i++) {
        fv_list l;
        snprintf(path, sizeof path, "presets/prompts/%s.txt", prompts[i]);
        MUST(fv_list_lines(&l, source_file(path)));
        for (int k = 0; k < l.count; k++) assert_non_null(strstr(l.at[k], "{}"));
        fv_list_clear(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_top),           cmocka_unit_test(test_recall),
        cmocka_unit_test(test_classes),       cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_shipped_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
