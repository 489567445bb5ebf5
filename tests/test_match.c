/* Lists of texts and pictures, ranking, recall, classes and confusion: the arithmetic by hand. */
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feavis/classify.h"
#include "feavis/feavis.h"
#include "feavis/match.h"
#include "kernels/rng.h"
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

static void every_line_end_ends_a_line(void **state)
{
    (void)state;
    static const char *const two[] = {"山", "花"};
    expect_lines("山\r花", 2, two);
    expect_lines("\xef\xbb\xbf山\r花\r", 2, two);
    expect_lines("山\r\r\n\n花\n\r", 2, two);
    expect_lines("山\xc2\x85花\xe2\x80\xa8", 2, two);
    expect_lines("山\xe2\x80\xa9花\f", 2, two);
    expect_lines("山\v花", 2, two);
    expect_lines("\"山\"\r\"花\"\r", 2, two);
    fv_list l;
    write_text("list.csv", "\r\r山\r\n\r\n花\xe2\x80\xa8水");
    MUST(fv_list_lines(&l, "list.csv"));
    assert_int_equal(l.count, 3);
    static const int numbers[] = {3, 5, 6};
    assert_memory_equal(l.lines, numbers, sizeof numbers);
    fv_list_clear(&l);
    /* names of files may hold all of these but LF */
    write_text("names.txt", "a\rb\xc2\x85.png\r\nc\xe2\x80\xa8.png\n");
    MUST(fv_list_names(&l, "names.txt"));
    assert_int_equal(l.count, 2);
    assert_string_equal(l.at[0], "a\rb\xc2\x85.png");
    assert_string_equal(l.at[1], "c\xe2\x80\xa8.png");
    fv_list_clear(&l);
    write_text("names.txt", "a.png\rb.png\r");
    MUST(fv_list_names(&l, "names.txt"));
    assert_int_equal(l.count, 2);
    fv_list_clear(&l);
}

static void blank_lines_are_those_without_a_token(void **state)
{
    (void)state;
    expect_lines("\xe3\x80\x80\n山\n\xe2\x80\x8b\n\xc2\xa0\xc2\xa0\n\xef\xb8\x8f\n\x01\n\"\"\n"
                 "\" \"\n花\n\xef\xbb\xbf\n",
                 2, (const char *const[]){"山", "花"});
    expect_lines("\xe3\x80\x80山\n", 1, (const char *const[]){"\xe3\x80\x80山"});
    fv_list l;
    write_text("list.csv", "\xe3\x80\x80\n\xe2\x80\x8b\n");
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "no line with text");
    FAILS(fv_list_lines(&l, "/dev/null"), FV_ERR_FORMAT, "/dev/null holds no text");
    FAILS(fv_list_lines(&l, "."), FV_ERR_IO, "Is a directory");
}

static void expect_parts(const char *line, int count, const char *const *expected)
{
    fv_list l;
    MUST(fv_list_line(&l, line));
    if (l.count != count) fail_msg("\"%s\" has %d parts, not %d", line, l.count, count);
    for (int i = 0; i < count; i++) assert_string_equal(l.at[i], expected[i]);
    fv_list_clear(&l);
}

static void a_line_has_parts_between_bars_or_spaces(void **state)
{
    (void)state;
    static const char *const seasons[] = {"春", "夏", "秋"};
    expect_parts("春 夏 秋", 3, seasons);
    expect_parts("  春   夏 秋  ", 3, seasons);
    expect_parts("春|夏|秋", 3, seasons);
    expect_parts(" | 春 || 夏 |   | 秋 | ", 3, seasons);
    expect_parts("a cat|  a  dog ", 2, (const char *const[]){"a cat", "a  dog"});
    expect_parts("a cat |", 1, (const char *const[]){"a cat"});
    expect_parts("|a cat", 1, (const char *const[]){"a cat"});
    expect_parts("春｜夏 秋", 2, (const char *const[]){"春｜夏", "秋"});
    expect_parts("a\\|b", 2, (const char *const[]){"a\\", "b"}); /* nothing hides a bar */
    expect_parts("\t", 1, (const char *const[]){"\t"});
    static const char *const nothing[] = {"", " ", "    ", "|", "|||", " | | "};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
        expect_parts(nothing[i], 0, NULL);
}

/* A poem's quotes are its own; a CSV's are not. */
static void quotes_go_from_tables_only(void **state)
{
    (void)state;
    fv_list l;
    write_text("poem.txt", "\"come\"\n");
    MUST(fv_list_poem(&l, "poem.txt"));
    assert_string_equal(l.at[0], "\"come\"");
    fv_list_clear(&l);
    write_text("poem.CSV", "\"come\"\n");
    MUST(fv_list_poem(&l, "poem.CSV"));
    assert_string_equal(l.at[0], "come");
    fv_list_clear(&l);
}

static void all_bad_lines_are_named_in_one_message(void **state)
{
    (void)state;
    fv_list l;
    write_text("list.csv", "a\n\xff\nb\n\xed\xa0\x80\n\xc0\xaf\n");
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT,
          "list.csv: line 2 is not UTF-8: byte 0 is 0xff (bad as well: lines 4, 5)");
    spill("list.csv", "a\nb\0c\n\xff", 7);
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT,
          "list.csv: line 2 has a zero byte: this is not a text file (bad as well: line 3)");
    char *many = malloc(3 * 100000 + 1);
    assert_non_null(many);
    for (int i = 0; i < 100000; i++) memcpy(many + 3 * i, "\xff\n\n", 3);
    many[3 * 100000] = 0;
    write_text("list.csv", many);
    free(many);
    FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, "lines 3, 5, 7");
    assert_non_null(strstr(fv_error(), " more)"));
    write_text("prompts.txt", "a {}\nb\nc ｛｝\nd\n");
    FAILS(fv_templates_read(&l, "prompts.txt"), FV_ERR_FORMAT,
          "prompts.txt: line 2: the template \"b\" has no {} for the label (bad as well: line 4)");
    fv_classes c;
    write_text("labels.txt", "a\n\na\nb\t|\n");
    FAILS(fv_classes_read(&c, "labels.txt"), FV_ERR_FORMAT,
          "labels.txt: line 3 has the class a twice (bad as well: line 4)");
}

static void other_encodings_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"\xff\xfeq\0", 4, "is UTF-16; save it as UTF-8, or convert it with iconv -f UTF-16 -t"},
        {"\xfe\xff\0q", 4, "is UTF-16"},
        {"\xff\xfe\0\0q\0\0\0", 8, "is UTF-32"},
        {"\0\0\xfe\xff\0\0\0q", 8, "is UTF-32"},
        {"m\0o\0o\0n\0\n\0", 10, "looks like UTF-16 without a byte order mark"},
        {"\0m\0o\0o\0n\0\n", 10, "iconv -f UTF-16BE"},
        {"\x71\x5c\x0a\0\x34\x6c\x0a\0\x31\x82", 10, "iconv -f UTF-16LE"}, /* 山 水 花 */
        {"moon\0\nlake\0\n", 12, "line 1 has a zero byte"},
        {"moon\0", 5, "line 1 has a zero byte"},
        {"m\0", 2, "UTF-16"},
        {"caf\xe9\n", 5, "line 1 is not UTF-8: byte 3 is 0xe9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_list l;
        spill("list.csv", cases[i].bytes, cases[i].size);
        FAILS(fv_list_lines(&l, "list.csv"), FV_ERR_FORMAT, cases[i].words);
        FAILS(fv_list_poem(&l, "list.csv"), FV_ERR_FORMAT, cases[i].words);
    }
}

/* Writes `text` into a pipe from another process. */
static void feed(const char *path, const char *text)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child) return;
    FILE *f = fopen(path, "w");
    bool written = f && fputs(text, f) >= 0 && fclose(f) == 0;
    _exit(written ? 0 : 1);
}

static void pipes_are_read_as_files_are(void **state)
{
    (void)state;
    fv_list l;
    int status;
    unlink("pipe");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    feed("pipe", "山\r花\r");
    MUST(fv_list_lines(&l, "pipe"));
    assert_int_equal(l.count, 2);
    fv_list_clear(&l);
    assert_true(wait(&status) > 0 && status == 0);
}

/* A million lines, and a line of a million bytes. */
static void long_lists_and_long_lines(void **state)
{
    (void)state;
    enum { LINES = 1000000 };
    char *text = malloc(LINES * 2 + 1);
    assert_non_null(text);
    for (int i = 0; i < LINES; i++) memcpy(text + 2 * i, "a\r", 2);
    text[LINES * 2] = 0;
    fv_list l;
    write_text("list.csv", text);
    MUST(fv_list_lines(&l, "list.csv"));
    assert_int_equal(l.count, LINES);
    assert_int_equal(l.lines[LINES - 1], LINES);
    fv_list_clear(&l);
    memset(text, 'a', LINES);
    text[LINES] = 0;
    expect_lines(text, 1, (const char *const[]){text});
    free(text);
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
    MUST(fv_list_pictures(&l, "tree", NULL, NULL));
    assert_int_equal(l.count, 4); /* the .heic too: its message is better than silence */
    assert_string_equal(l.at[0], "tree/b/c.png");
    assert_string_equal(l.at[1], "tree/b/d.webp");
    assert_string_equal(l.at[2], "tree/phone.heic");
    assert_string_equal(l.at[3], "tree/z.JPG");
    fv_list_clear(&l);
    write_text("tree/images.csv", "z.JPG\n/abs/q.png\n");
    MUST(fv_list_pictures(&l, "tree/images.csv", NULL, NULL));
    assert_string_equal(l.at[0], "tree/z.JPG");
    assert_string_equal(l.at[1], "/abs/q.png");
    fv_list_clear(&l);
    MUST(fv_list_pictures(&l, "tree/images.csv", "else", NULL));
    assert_string_equal(l.at[0], "else/z.JPG");
    fv_list_clear(&l);
    MUST(fv_list_pictures(&l, "tree/z.JPG", NULL, NULL));
    assert_int_equal(l.count, 1);
    fv_list_clear(&l);
    FAILS(fv_list_pictures(&l, "tree/.hidden/none", NULL, NULL), FV_ERR_IO, "none");
    mkdir("empty", 0777);
    FAILS(fv_list_pictures(&l, "empty", NULL, NULL), FV_ERR_FORMAT, "no pictures");
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
    assert_int_equal(fv_top(scores, 4, 2, 0, hits), 0);
    assert_int_equal(fv_top(scores, 0, 2, 3, hits), 0);
    assert_int_equal(fv_top_before(scores, 4, 2, 1), 0);
    assert_int_equal(fv_top_before(scores, 4, 2, 3), 1);
    assert_int_equal(fv_top_before(scores, 4, 2, 0), 3);
}

/* A sort by the rule of top.h says the same, of few values so that many are equal, and of some that
 * are no number: those come last, in order too. Offered one by one they end up alike. */
static void the_best_are_those_that_a_sort_puts_first(void **state)
{
    enum { MOST = 40 };
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        float scores[MOST];
        int count = (int)(fv_philox(3, round, 0, 0, 0).v[0] % (MOST + 1)), sorted[MOST];
        for (int i = 0; i < count; i++) {
            uint32_t r = fv_philox(3, round, 1, (uint32_t)i, 0).v[0] % 8;
            scores[i] = r == 0 ? NAN : r == 1 ? -INFINITY : (float)r - 4;
            int at = i; /* insertion: behind all that are as good or better */
            for (; at > 0; at--) {
                float before = scores[sorted[at - 1]];
                bool better = isnan(before) ? !isnan(scores[i]) : scores[i] > before;
                if (!better) break;
                sorted[at] = sorted[at - 1];
            }
            sorted[at] = i;
        }
        for (int k = 0; k <= MOST; k += 1 + (int)(round % 7)) {
            fv_hit hits[MOST + 1], offered[MOST + 1];
            int found = 0, expected = k < count ? k : count;
            hits[k].index = offered[k].index = -7; /* nobody writes there */
            assert_int_equal(fv_top(scores, count, 1, k, hits), expected);
            for (int i = 0; i < count; i++) fv_top_offer(offered, k, &found, i, scores[i]);
            assert_int_equal(found, expected);
            for (int i = 0; i < expected; i++) {
                assert_int_equal(hits[i].index, sorted[i]);
                assert_int_equal(offered[i].index, sorted[i]);
                assert_memory_equal(&hits[i].score, &scores[sorted[i]], sizeof(float));
                assert_int_equal(fv_top_before(scores, count, 1, sorted[i]), i);
            }
            assert_int_equal(hits[k].index, -7);
            assert_int_equal(offered[k].index, -7);
        }
    }
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
        cmocka_unit_test(every_line_end_ends_a_line),
        cmocka_unit_test(blank_lines_are_those_without_a_token),
        cmocka_unit_test(a_line_has_parts_between_bars_or_spaces),
        cmocka_unit_test(quotes_go_from_tables_only),
        cmocka_unit_test(all_bad_lines_are_named_in_one_message),
        cmocka_unit_test(other_encodings_are_recognised),
        cmocka_unit_test(pipes_are_read_as_files_are),
        cmocka_unit_test(long_lists_and_long_lines),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_top),
        cmocka_unit_test(the_best_are_those_that_a_sort_puts_first),
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_shipped_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
