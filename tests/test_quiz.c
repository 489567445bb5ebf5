/* The quiz: its questions give nothing away, its answers are kept whatever happens, and its figures
 * are Wilson's. The program as people run it, on a gallery of small pictures with recipes. */
#include <poll.h>
#include <sys/stat.h>

#include "feavis/gallery.h"
#include "feavis/quiz.h"
#include "feavis/recipe.h"
#include "tests/check.h"
#include "tests/process.h"

static const char *const texts[] = {"月亮",       "大海", "老虎", "moon",   "sea", "tiger",
                                    "a \"b\", c", "雪山", "梦",   "castle", "dog", "森林"};
enum { TEXTS = sizeof texts / sizeof texts[0] };

/* A picture of one colour, which says whose it is. */
static void add_picture(const char *folder, const char *text, uint8_t colour)
{
    char recipe[256], *path;
    fv_picture p = {8, 8, malloc(8 * 8 * 3)};
    assert_non_null(p.rgb);
    memset(p.rgb, colour, 8 * 8 * 3);
    int n = snprintf(recipe, sizeof recipe, "feavis: 0\ntext: '");
    for (; *text; text++) recipe[n++] = *text;
    snprintf(recipe + n, sizeof recipe - (size_t)n, "'\n");
    MUST(fv_gallery_add(folder, recipe + 17, 1, &p, recipe, &path));
    fv_picture_free(&p);
    free(path);
}

static int begin(void **state)
{
    (void)state;
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    setenv("FEAVIS_STATE", "state", 1);
    setenv("FEAVIS_HOME", source_file("."), 1);
    MUST(fv_gallery_prepare("g"));
    for (int i = 0; i < TEXTS; i++) add_picture("g", texts[i], (uint8_t)(10 * i + 1));
    return 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

static bool has_ideographs(const char *text)
{
    return (unsigned char)*text >= 0xe3;
}

/* --- figures --- */

static void intervals_are_wilsons(void **state)
{
    (void)state;
    /* Newcombe, Statistics in Medicine 17, 1998, table I, method 3 */
    static const struct {
        int right, of;
        double low, high;
    } known[] = {{81, 263, 0.2553, 0.3662},
                 {15, 148, 0.0624, 0.1605},
                 {0, 20, 0, 0.1611},
                 {1, 29, 0.0061, 0.1718},
                 {0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        double low, high, back;
        fv_wilson(known[i].right, known[i].of, &low, &high);
        assert_float_equal(low, known[i].low, 5.1e-5); /* four places are printed */
        assert_float_equal(high, known[i].high, 5.1e-5);
        fv_wilson(known[i].of - known[i].right, known[i].of, &back, &low);
        assert_float_equal(back, 1 - high, 1e-12);
    }
}

/* --- questions --- */

/* Text of the picture that question i shows, by its colour. */
static const char *text_of(const fv_quiz *q, int i)
{
    fv_picture p;
    MUST(fv_quiz_picture(q, i, &p));
    int at = (p.rgb[0] - 1) / 10;
    fv_picture_free(&p);
    return texts[at];
}

static void questions_give_nothing_away(void **state)
{
    (void)state;
    fv_quiz *q;
    int places[FV_QUIZ_CHOICES] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        MUST(fv_quiz_open(&q, "g", seed, 100));
        assert_int_equal(fv_quiz_count(q), TEXTS);
        for (int i = 0; i < TEXTS; i++) {
            const char *own = fv_quiz_choice(q, i, fv_quiz_own(q, i));
            assert_string_equal(own, text_of(q, i));
            places[fv_quiz_own(q, i)]++;
            for (int k = 0; k < FV_QUIZ_CHOICES; k++) {
                const char *text = fv_quiz_choice(q, i, k);
                assert_int_equal(has_ideographs(text), has_ideographs(own));
                for (int other = 0; other < k; other++)
                    assert_string_not_equal(text, fv_quiz_choice(q, i, other));
                for (int before = 0; before < i; before++) /* no answer rules it out */
                    assert_string_not_equal(text,
                                            fv_quiz_choice(q, before, fv_quiz_own(q, before)));
            }
        }
        fv_quiz_close(q);
    }
    /* 480 draws of 96 expected each; five standard deviations are 44 */
    for (int k = 0; k < FV_QUIZ_CHOICES; k++) assert_in_range(places[k], 52, 140);
}

static void a_seed_decides_all(void **state)
{
    (void)state;
    fv_quiz *a, *b, *c;
    int other = 0;
    MUST(fv_quiz_open(&a, "g", 7, 5));
    assert_int_equal(rename("g", "moved"), 0);
    MUST(fv_quiz_open(&b, "moved", 7, 5));
    MUST(fv_quiz_open(&c, "moved", 8, 5));
    assert_int_equal(fv_quiz_count(a), 5);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < FV_QUIZ_CHOICES; k++) {
            assert_string_equal(fv_quiz_choice(a, i, k), fv_quiz_choice(b, i, k));
            other += strcmp(fv_quiz_choice(a, i, k), fv_quiz_choice(c, i, k)) != 0;
        }
    assert_true(other > 10);
    fv_quiz_close(a);
    fv_quiz_close(b);
    fv_quiz_close(c);
}

static void what_is_no_quiz_is_said(void **state)
{
    (void)state;
    fv_quiz *q;
    FAILS(fv_quiz_open(&q, "nowhere", 1, 5), FV_ERR_ARGUMENT, "no PNG files with recipes of texts");
    /* one text alone: the others are of the preset */
    MUST(fv_gallery_prepare("one"));
    add_picture("one", "moon", 31);
    add_picture("one", "moon", 31);
    MUST(fv_quiz_open(&q, "one", 1, 5));
    assert_int_equal(fv_quiz_count(q), 1);
    FAILS(fv_quiz_answer(q, 1, 0, 1), FV_ERR_ARGUMENT, "no question 2");
    fv_quiz_close(q);
}

/* --- the study --- */

static void answers_are_kept(void **state)
{
    (void)state;
    fv_quiz *q;
    fv_tally *all;
    int count;
    char *csv, *path;
    MUST(fv_study_read(&all, &count));
    assert_true(count == 1 && all[0].asked == 0 && all[0].high == 1.0);
    fv_study_free(all, count);
    MUST(fv_quiz_open(&q, "g", 3, 2));
    int own = fv_quiz_own(q, 0), wrong = (fv_quiz_own(q, 1) + 1) % FV_QUIZ_CHOICES;
    MUST(fv_quiz_answer(q, 0, own, 2.25));
    MUST(fv_study_path(&path));
    assert_string_equal(path, "state/quiz.tsv");
    size_t n;
    char *before = slurp(path, &n);
    FILE *f = fopen(path, "a"); /* a crash in the middle of a line */
    fputs("2026-01-01T00:00:00Z\t3\t2\tx.p", f);
    fclose(f);
    MUST(fv_quiz_answer(q, 1, wrong, 1));
    MUST(fv_quiz_answer(q, 1, wrong, 1));
    char *now = slurp(path, NULL);
    assert_memory_equal(now, before, n); /* it only grows */
    MUST(fv_study_read(&all, &count));
    assert_int_equal(count, 3);
    assert_true(all[0].asked == 3 && all[0].right == 1);
    assert_string_equal(all[1].text, fv_quiz_choice(q, 1, fv_quiz_own(q, 1)));
    assert_true(all[1].asked == 2 && all[1].right == 0 && all[2].right == 1);
    fv_study_free(all, count);
    MUST(fv_study_csv(&csv));
    assert_non_null(strstr(csv, "time,seed,question,picture,pixels,right,seconds,answer,text,"));
    int lines = 0;
    for (const char *at = csv; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, 4);
    free(csv);
    free(now);
    free(before);
    free(path);
    fv_quiz_close(q);
}

/* Several programs at once. */
static void answers_of_several_programs_stay_apart(void **state)
{
    (void)state;
    enum { PROGRAMS = 4, ANSWERS = 25 };
    pid_t children[PROGRAMS];
    for (int c = 0; c < PROGRAMS; c++) {
        children[c] = fork();
        if (children[c]) continue;
        fv_quiz *q;
        if (fv_quiz_open(&q, "g", (uint64_t)c, 5) < 0) _exit(1);
        for (int i = 0; i < ANSWERS; i++)
            if (fv_quiz_answer(q, i % 5, i % FV_QUIZ_CHOICES, 1) < 0) _exit(2);
        _exit(0);
    }
    for (int c = 0; c < PROGRAMS; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    fv_tally *all;
    int count;
    MUST(fv_study_read(&all, &count));
    assert_int_equal(all[0].asked, PROGRAMS * ANSWERS);
    fv_study_free(all, count);
}

static void data_has_a_folder_of_its_own(void **state)
{
    (void)state;
    char *path;
    unsetenv("FEAVIS_STATE");
    setenv("XDG_DATA_HOME", "/data", 1);
    MUST(fv_study_path(&path));
    assert_string_equal(path, "/data/feavis/quiz.tsv");
    free(path);
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/home/me", 1);
    MUST(fv_study_path(&path));
    assert_string_equal(path, "/home/me/.local/share/feavis/quiz.tsv");
    free(path);
}

/* --- the program --- */

/* Reads what the program says until it has said `until`. */
static void hear(int fd, char *heard, size_t room, const char *until)
{
    size_t n = 0;
    heard[0] = 0;
    while (!strstr(heard, until)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 60000), 1);
        ssize_t got = read(fd, heard + n, room - n - 1);
        assert_true(got > 0);
        heard[n += (size_t)got] = 0;
    }
}

static pid_t begin_quiz(int *to, int *from)
{
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        for (int i = 0; i < 2; i++) close(in[i]), close(out[i]);
        const char *program = getenv("FEAVIS_PROGRAM");
        execl(program, program, "quiz", "g", "--seed", "9", "--questions", "2", "--quiet", NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    *to = in[1];
    *from = out[0];
    return child;
}

/* Before the answer nothing says it: no name of a file, no recipe, nothing in the copy. */
static void the_picture_is_shown_blindly(void **state)
{
    (void)state;
    int to, from, status;
    char heard[4096], shown[1024] = "", *recipe;
    fv_quiz *q;
    MUST(fv_quiz_open(&q, "g", 9, 2));
    pid_t child = begin_quiz(&to, &from);
    for (int i = 0; i < 2; i++) {
        fv_picture p, own;
        char line[256];
        hear(from, heard, sizeof heard, "\n  5  ");
        for (int k = 0; k < FV_QUIZ_CHOICES; k++) {
            snprintf(line, sizeof line, "\n  %d  %s", k + 1, fv_quiz_choice(q, i, k));
            assert_non_null(strstr(heard, line));
        }
        const char *path = strstr(heard, "of 2: ") + 6;
        snprintf(shown, sizeof shown, "%.*s", (int)strcspn(path, "\n"), path);
        assert_null(strstr(shown, "g/"));
        snprintf(line, sizeof line, "/%d.png", i + 1);
        assert_string_equal(strrchr(shown, '/'), line);
        FAILS(fv_recipe_read(&recipe, shown), FV_ERR_FORMAT, "");
        MUST(fv_picture_read(&p, shown));
        MUST(fv_quiz_picture(q, i, &own));
        assert_memory_equal(p.rgb, own.rgb, 8 * 8 * 3);
        fv_picture_free(&p);
        fv_picture_free(&own);
        snprintf(line, sizeof line, "%d\n", fv_quiz_own(q, i) + 1);
        assert_int_equal(write(to, line, 2), 2);
        hear(from, heard, sizeof heard, "right: ");
        assert_int_not_equal(access(shown, F_OK), 0);
    }
    close(to);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(from);
    *strrchr(shown, '/') = 0;
    assert_int_not_equal(access(shown, F_OK), 0); /* its folder is gone, too */
    fv_quiz_close(q);
}

static void answers_come_from_a_pipe(void **state)
{
    (void)state;
    static const char answers[] = "6\nnone\n s \n2\nq\n";
    process p = run_with_input(answers, sizeof answers - 1, "quiz", "g", "--seed", "4");
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.err, "\"6\" is none of 1 to 5"));
    assert_non_null(strstr(p.out, "2 of 10: "));
    assert_non_null(strstr(p.out, "3 of 10: "));
    assert_null(strstr(p.out, "4 of 10: "));
    process_free(&p);
    p = run_with_input("1\n1", 3, "quiz", "--gallery", "g", "--seed", "4", "--json"); /* the end */
    assert_int_equal(p.status, 0);
    assert_non_null(strstr(p.out, "{\"kind\":\"question\",\"question\":1,\"of\":10,\"picture\":"));
    assert_non_null(strstr(p.out, "{\"kind\":\"guess\",\"question\":2,\"right\":"));
    assert_non_null(strstr(p.out, "{\"kind\":\"study\",\"asked\":3,"));
    process_free(&p);
    char *out = SUCCEEDS("quiz", "--csv", "a.csv"), *csv = slurp("a.csv", NULL);
    assert_true(strstr(out, "of 3") && strstr(out, "a.csv\n"));
    assert_non_null(strstr(csv, "\n20"));
    free(out);
    free(csv);
    /* a text of 25 columns is cut in 24, one of 24 is not */
    FILE *f = fopen("state/quiz.tsv", "a");
    fputs("t\t1\t1\tx\t0\t0\t1\ta\t一二三四五六七八九十一二a\ta\tb\tc\td\te\n"
          "t\t1\t1\tx\t0\t0\t1\ta\t二二三四五六七八九十一二\ta\tb\tc\td\te\n",
          f);
    fclose(f);
    out = SUCCEEDS("quiz", "--csv", "a.csv");
    assert_non_null(strstr(out, "\n一二三四五六七八九十一…     0 of 1 "));
    assert_non_null(strstr(out, "\n二二三四五六七八九十一二    0 of 1 "));
    free(out);
    assert_int_equal(mkdir("none", 0777), 0);
    REFUSED("none holds no PNG files with recipes", "quiz", "none");
    REFUSED("opening the gallery nowhere: No such file", "quiz", "nowhere");
    REFUSED("opening the gallery nowhere: No such file", "quiz", "--gallery", "nowhere");
    REFUSED("opening the gallery \"\": No such file", "quiz", "");
    REFUSED("two of the same", "quiz", "g", "--gallery", "g");
    REFUSED("saving to nowhere/a.csv", "quiz", "--csv", "nowhere/a.csv");
    REFUSED("quiz takes no --steps", "quiz", "--steps", "3");
}

/* An answer that cannot be kept is not called kept. */
static void a_study_that_cannot_be_written_is_said(void **state)
{
    (void)state;
    spill("state", "x", 1); /* a file in place of the folder */
    process p = run_with_input("1\n", 2, "quiz", "g", "--quiet");
    assert_string_equal(p.out, ""); /* no question is asked */
    refused(p, "state", "quiz");
    setenv("FEAVIS_STATE", "/proc/x", 1);
    p = run_with_input("1\n", 2, "quiz", "g", "--quiet");
    assert_string_equal(p.out, "");
    refused(p, "/proc/x", "quiz");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_wilsons),
        cmocka_unit_test_setup_teardown(questions_give_nothing_away, begin, end),
        cmocka_unit_test_setup_teardown(a_seed_decides_all, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_quiz_is_said, begin, end),
        cmocka_unit_test_setup_teardown(answers_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(answers_of_several_programs_stay_apart, begin, end),
        cmocka_unit_test_setup_teardown(the_picture_is_shown_blindly, begin, end),
        cmocka_unit_test_setup_teardown(answers_come_from_a_pipe, begin, end),
        cmocka_unit_test_setup_teardown(a_study_that_cannot_be_written_is_said, begin, end),
        cmocka_unit_test_setup_teardown(data_has_a_folder_of_its_own, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
