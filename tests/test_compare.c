/* feavis compare, as people run it: pictures by each of two toys and by both, and the matrix of who
 * believes whom, whose numbers are those of a critic that looks at the saved pictures. */
#include <math.h>
#include <sys/stat.h>

#include "feavis/critic.h"
#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

static char guide_a[4096], guide_b[4096];

static int begin(void **state)
{
    (void)state;
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    if (!unpacked) unpacked = ".";
    const char *vocab = source_file("tests/golden/text_vocab.txt");
    snprintf(guide_a, sizeof guide_a, "%s + %s/lite0.pth + %s",
             source_file("tests/golden/towers/lite0/cfg.yml"), unpacked, vocab);
    snprintf(guide_b, sizeof guide_b, "%s + %s/b0.pth + %s",
             source_file("tests/golden/towers/b0/cfg.yml"), unpacked, vocab);
    remove_tree("work");
    return mkdir("work", 0777) != 0 || chdir("work") != 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

/* The cosine of a picture file with a text, by a model of its own. */
static double believed(const char *guide, const char *picture, const char *text)
{
    fv_options *o;
    fv_model *m;
    fv_critic *c;
    fv_picture p;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "guide", guide));
    MUST(fv_model_open(&m, o));
    MUST(fv_critic_open(&c, m));
    MUST(fv_picture_read(&p, picture));
    int dim = fv_model_dim(m);
    float *a = calloc((size_t)dim, sizeof *a), *b = calloc((size_t)dim, sizeof *b);
    assert_true(a && b);
    MUST(fv_critic_embed(c, &p, a));
    MUST(fv_model_embed_text(m, text, b, NULL));
    double sum = 0;
    for (int i = 0; i < dim; i++) sum += (double)a[i] * (double)b[i];
    free(a);
    free(b);
    fv_picture_free(&p);
    fv_critic_close(c);
    fv_model_close(m);
    fv_options_free(o);
    return sum;
}

/* The number behind "text,by,believer," in the table. */
static double told(const char *table, const char *text, const char *by, const char *believer)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s,%s,%s,", text, by, believer);
    const char *at = strstr(table, line);
    if (!at) fail_msg("no line \"%s\" in %s", line + 1, table);
    return strtod(at + strlen(line), NULL);
}

static void the_matrix_is_what_critics_see(void **state)
{
    (void)state;
    static const char *const by[] = {"BriVL 1", "BriVL 2", "both"};
    static const char *const texts[] = {"moon", "red"};
    spill("texts.txt", "moon\nred\n", 9);
    char *out = SUCCEEDS("compare", "--quiet", "--file", "texts.txt", "--guide", guide_a, "--guide",
                         guide_b, "--steps", "2", "--views", "1", "--size", "72", "--out", "here");
    char *table = slurp("here/beliefs.csv", NULL);
    assert_non_null(strstr(out, "here/sheet.png\n"));
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < 3; k++) {
            char path[256];
            snprintf(path, sizeof path, "here/%s-%s-1.png", texts[t], by[k]);
            if (access(path, F_OK) != 0)
                for (char *at = path; *at; at++)
                    if (*at == ' ') *at = '-';
            for (int g = 0; g < 2; g++) {
                double is = believed(g ? guide_b : guide_a, path, texts[t]);
                assert_true(fabs(is - told(table, texts[t], by[k], by[g])) < 1e-5);
            }
        }
    /* six lines a text and the heading */
    int lines = 0;
    for (const char *at = table; *at; at++) lines += *at == '\n';
    assert_int_equal(lines, 13);
    fv_picture sheet;
    MUST(fv_picture_read(&sheet, "here/sheet.png"));
    assert_true(sheet.width > 3 * 256 && sheet.height > 2 * 256);
    fv_picture_free(&sheet);
    free(table);
    free(out);
}

/* The texts of a preset's pictures, and none of a preset without. */
static void a_preset_gives_the_texts(void **state)
{
    (void)state;
    static const char preset[] = "title: two\npictures:\n  - text: moon\n  - text: red\n";
    spill("two.yml", preset, sizeof preset - 1);
    char *out = SUCCEEDS("compare", "--quiet", "--preset", "two.yml", "--guide", guide_a, "--guide",
                         guide_b, "--steps", "1", "--views", "1", "--size", "72", "--out", "two");
    assert_non_null(strstr(out, "\nmoon\n"));
    assert_non_null(strstr(out, "\nred\n"));
    free(out);
    REFUSED("needs a text", "compare", "--preset", "draft", "--guide", guide_a, "--guide", guide_b);
}

static void what_cannot_be_compared_is_said_before_the_work(void **state)
{
    (void)state;
    REFUSED("two models", "compare", "moon");
    REFUSED("two models", "compare", "moon", "--guide", guide_a);
    REFUSED("needs a text", "compare", "--guide", guide_a, "--guide", guide_b);
    REFUSED("x.yml", "compare", "moon", "--guide", guide_a, "--guide", "x.yml + nowhere.pth");
    REFUSED("there are both", "compare", "moon", "--file", "-", "--guide", guide_a, "--guide",
            guide_b);
    assert_true(access("compare", F_OK) != 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_matrix_is_what_critics_see),
        CASE(a_preset_gives_the_texts),
        CASE(what_cannot_be_compared_is_said_before_the_work),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
