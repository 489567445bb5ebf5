/* YAML as a tree: what is read, and what is refused with the line it stands on. */
#include "model/files/yaml.h"
#include "tests/check.h"

static fv_status parse(fv_yaml **doc, const char *text)
{
    return fv_yaml_parse(doc, text, strlen(text), "test.yml");
}

static void reads_maps_lists_and_scalars(void **state)
{
    (void)state;
    fv_yaml *doc;
    int i = 7;
    double d = 0;
    bool b = false;
    const char *s = NULL;
    float f[3];
    MUST(parse(&doc, "MODEL:\n  N: 3\n  RATE: 5e-2\n  ON: yes\n  'NAME': \"梦 \\u68a6\"\n"
                     "  MEAN: [0.5, 1, -2]\nLIST:\n- a\n- {k: v}\n"));
    const fv_yaml_node *root = fv_yaml_root(doc), *m = fv_yaml_find(root, "MODEL");
    assert_int_equal(fv_yaml_count(root), 2);
    assert_string_equal(fv_yaml_key(root, 1), "LIST");
    assert_int_equal(fv_yaml_line(fv_yaml_find(m, "RATE")), 3);
    MUST(fv_yaml_int(doc, m, "N", &i));
    MUST(fv_yaml_double(doc, m, "RATE", &d));
    MUST(fv_yaml_bool(doc, m, "ON", &b));
    MUST(fv_yaml_string(doc, m, "NAME", &s));
    MUST(fv_yaml_floats(doc, m, "MEAN", f, 3));
    assert_int_equal(i, 3);
    assert_true(d == 0.05 && b && f[0] == 0.5f && f[2] == -2);
    assert_string_equal(s, "梦 梦");
    i = 7;
    MUST(fv_yaml_int(doc, m, "ABSENT", &i));
    assert_int_equal(i, 7);
    const fv_yaml_node *list = fv_yaml_find(root, "LIST");
    assert_true(fv_yaml_is_list(list) && fv_yaml_is_map(fv_yaml_at(list, 1)));
    assert_string_equal(fv_yaml_text(fv_yaml_at(list, 0)), "a");
    assert_null(fv_yaml_at(list, 2));
    fv_yaml_free(doc);
    MUST(parse(&doc, "# nothing\n"));
    assert_null(fv_yaml_root(doc));
    fv_yaml_free(doc);
}

static void wrong_kinds_are_named(void **state)
{
    (void)state;
    fv_yaml *doc;
    int i;
    double d;
    bool b;
    const char *s;
    float f[3];
    MUST(parse(&doc, "A: x\nB: 99999999999\nC: [1, 2]\nD: {k: 1}\nE: 1.5\nF: nan\n"));
    const fv_yaml_node *m = fv_yaml_root(doc);
    FAILS(fv_yaml_int(doc, m, "A", &i), FV_ERR_FORMAT, "A");
    FAILS(fv_yaml_int(doc, m, "B", &i), FV_ERR_FORMAT, "test.yml:2");
    FAILS(fv_yaml_int(doc, m, "E", &i), FV_ERR_FORMAT, "1.5");
    FAILS(fv_yaml_double(doc, m, "A", &d), FV_ERR_FORMAT, "test.yml");
    FAILS(fv_yaml_bool(doc, m, "A", &b), FV_ERR_FORMAT, "test.yml:1");
    FAILS(fv_yaml_string(doc, m, "D", &s), FV_ERR_FORMAT, "test.yml:4");
    FAILS(fv_yaml_floats(doc, m, "C", f, 3), FV_ERR_FORMAT, "3");
    fv_yaml_free(doc);
}

static void refuses_hostile_documents(void **state)
{
    (void)state;
    fv_yaml *doc;
    char *deep = malloc(1 << 16);
    FAILS(parse(&doc, "a: &x [1]\nb: *x\n"), FV_ERR_FORMAT, "test.yml:1");
    FAILS(parse(&doc, "a: 1\nb: 2\na: 3\n"), FV_ERR_FORMAT, "test.yml:3");
    FAILS(parse(&doc, "a: [1, 2\nb: 3\n"), FV_ERR_FORMAT, "test.yml:2");
    FAILS(parse(&doc, "a: \xff\n"), FV_ERR_FORMAT, "test.yml");
    FAILS(parse(&doc, "a: 1\n---\nb: 2\n"), FV_ERR_FORMAT, "document");
    memset(deep, '[', 40000);
    deep[40000] = 0;
    FAILS(parse(&doc, deep), FV_ERR_FORMAT, "32");
    for (int i = 0; i < 120; i++) memcpy(deep + i * 5, "- 1\n\n", 5);
    deep[600] = 0;
    MUST(parse(&doc, deep));
    assert_int_equal(fv_yaml_count(fv_yaml_root(doc)), 120);
    fv_yaml_free(doc);
    size_t big = (size_t)5 << 20;
    char *huge = malloc(big);
    memset(huge, '#', big);
    FAILS(fv_yaml_parse(&doc, huge, big, "test.yml"), FV_ERR_FORMAT, "4194304");
    for (size_t i = 0; i + 4 <= big / 2; i += 4) memcpy(huge + i, "- 1\n", 4);
    FAILS(fv_yaml_parse(&doc, huge, big / 2 / 4 * 4, "test.yml"), FV_ERR_FORMAT, "100000");
    for (size_t i = 0; i < 100000; i++) snprintf(huge + 16 * i, 17, "%%TAG !%06zu! x\n", i);
    FAILS(fv_yaml_parse(&doc, huge, 16 * 100000, "test.yml"), FV_ERR_FORMAT, "100 %TAG");
    free(huge);
    free(deep);
}

/* Every prefix of a real configuration parses or fails; none may crash. */
static void every_truncation_ends_well(void **state)
{
    (void)state;
    size_t bytes;
    char *text = slurp(source_file("model/mini/mini.yml"), &bytes);
    int parsed = 0, refused = 0;
    for (size_t n = 0; n <= bytes; n++) {
        fv_yaml *doc;
        char *cut = malloc(n ? n : 1); /* exact size: a read past the end is seen */
        memcpy(cut, text, n);
        if (fv_yaml_parse(&doc, cut, n, "cut.yml") >= 0) {
            fv_yaml_free(doc);
            parsed++;
        } else {
            assert_true(*fv_error() != 0);
            refused++;
        }
        free(cut);
    }
    assert_true(parsed > 0 && refused > 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_maps_lists_and_scalars),
        cmocka_unit_test(wrong_kinds_are_named),
        cmocka_unit_test(refuses_hostile_documents),
        cmocka_unit_test(every_truncation_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
