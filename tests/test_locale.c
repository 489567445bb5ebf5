/* Numbers as text where the process writes 0,5 for a half, and letters where GIF is not gif. The
 * locales are made from Debian's sources (package locales) in the scratch folder; where that fails
 * the tests are skipped. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/imagine/recipe.h"
#include "feavis/plot.h"
#include "feavis/settings/options.h"
#include "kernels/number.h"
#include "tests/toy.h"

static bool has_comma; /* as the process's own printf writes it */

/* locales/NAME.utf8 */
static void make_locale(const char *name)
{
    char path[128], command[512];
    snprintf(path, sizeof path, "locales/%s.utf8/LC_NUMERIC", name);
    snprintf(command, sizeof command,
             "mkdir -p locales && localedef --no-archive -c -i %s -f UTF-8 locales/%s.utf8 "
             ">> localedef.log 2>&1",
             name, name);
    if (access(path, F_OK) != 0 && system(command) != 0)
        print_message("localedef made no %s: see localedef.log\n", name);
}

static int begin(void **state)
{
    (void)state;
    char here[3072], path[4096];
    if (!getcwd(here, sizeof here)) return -1;
    snprintf(path, sizeof path, "%s/locales", here);
    setenv("LOCPATH", path, 1);
    make_locale("de_DE");
    make_locale("tr_TR");
    char number[8];
    has_comma = setlocale(LC_ALL, "de_DE.utf8") != NULL;
    snprintf(number, sizeof number, "%.1f", 0.5);
    has_comma = has_comma && strcmp(number, "0,5") == 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    setlocale(LC_ALL, "C");
    return 0;
}

static void need_a_comma(void)
{
    if (has_comma) return;
    print_message("skipped: there is no locale with a decimal comma (package locales)\n");
    skip();
}

static void a_point_is_read_and_written_whatever_the_locale(void **state)
{
    (void)state;
    need_a_comma();
    char out[32], *rest;
    double x;
    assert_true(fv_to_double("0.5,7", &rest) == 0.5);
    assert_string_equal(rest, ",7");
    assert_true(fv_to_float("-1e-2", &rest) == -0.01f);
    assert_string_equal(rest, "");
    fv_print(out, sizeof out, "%.3f %g %a", 0.5, 2.25, 0.5);
    assert_string_equal(out, "0.500 2.25 0x1p-1");
    assert_int_equal(fv_scan("0x1.8p+1", "%la", &x), 1);
    assert_true(x == 3);
    /* the locale of the caller is what it was */
    snprintf(out, sizeof out, "%.1f", 0.5);
    assert_string_equal(out, "0,5");
}

static void options_weights_and_presets_are_the_same(void **state)
{
    (void)state;
    need_a_comma();
    fv_options *o;
    MUST(fv_options_new(&o));
    assert_string_equal(fv_options_get(o, "rate"), "0.06");
    assert_true(fv_options_is_default(o, "rate"));
    MUST(fv_options_set(o, "rate", "0.125"));
    assert_string_equal(fv_options_get(o, "rate"), "0.125");
    FAILS(fv_options_set(o, "rate", "0,125"), FV_ERR_ARGUMENT, "rate is \"0,125\"");
    fv_weighted *list;
    int count;
    MUST(fv_weighted_parse(&list, &count, "梦:0.5 | 山:-0.25", '|', "text"));
    assert_int_equal(count, 2);
    assert_true(list[0].weight == 0.5f && list[1].weight == -0.25f);
    fv_weighted_free(list, count);
    char *recipe;
    MUST(fv_recipe_write_options(&recipe, o));
    assert_non_null(strstr(recipe, "rate: 0.125\n"));
    free(recipe);
    fv_options_free(o);
    char **names;
    MUST(fv_preset_names(&names, &count));
    for (int i = 0; i < count; i++) {
        fv_preset *p;
        MUST(fv_options_new(&o));
        MUST(fv_preset_open(&p, names[i]));
        MUST(fv_preset_apply(p, o));
        fv_preset_close(p);
        fv_options_free(o);
    }
    fv_names_free(names, count);
}

/* A picture and a saved state: made under one locale, gone on with under the other. */
static void a_session_saved_under_one_locale_goes_on_under_another(void **state)
{
    (void)state;
    need_a_comma();
    fv_options *o = toy_options();
    set(o, "text", "山:1 | 梦:-0.3");
    char *recipes[2];
    fv_picture pictures[2];
    fv_progress scores;
    MUST(fv_options_set(o, "steps", "4"));
    for (int comma = 0; comma < 2; comma++) {
        fv_model *m;
        fv_session *s;
        setlocale(LC_ALL, comma ? "de_DE.utf8" : "C");
        MUST(fv_model_open(&m, o));
        MUST(fv_session_open(&s, m, o));
        for (int i = 0; i < 2; i++) MUST(fv_session_step(s, &scores));
        MUST(fv_session_save(s, "half.safetensors"));
        fv_session_close(s);
        setlocale(LC_ALL, comma ? "C" : "de_DE.utf8");
        MUST(fv_session_resume(&s, m, o, "half.safetensors"));
        MUST(fv_session_run(s, NULL, NULL));
        MUST(fv_session_picture(s, &pictures[comma], &scores));
        MUST(fv_session_recipe(s, &recipes[comma]));
        fv_session_close(s);
        fv_model_close(m);
    }
    setlocale(LC_ALL, "de_DE.utf8");
    assert_string_equal(recipes[0], recipes[1]);
    assert_non_null(strstr(recipes[0], "rate: 0.06\n"));
    size_t bytes = 3 * (size_t)pictures[0].width * (size_t)pictures[0].height;
    assert_memory_equal(pictures[0].rgb, pictures[1].rgb, bytes);
    for (int i = 0; i < 2; i++) {
        free(recipes[i]);
        fv_picture_free(&pictures[i]);
    }
    fv_options_free(o);
}

static void heat_maps_are_the_same(void **state)
{
    (void)state;
    need_a_comma();
    const float values[] = {0.25f, -0.5f, 0.125f, 1};
    char *names[] = {(char[]){"a"}, (char[]){"b"}};
    const fv_heat h = {.title = "cosine",
                       .rows = 2,
                       .columns = 2,
                       .values = values,
                       .row_labels = names,
                       .column_labels = names,
                       .decimals = 2};
    fv_picture drawn[2];
    for (int comma = 0; comma < 2; comma++) {
        int missing;
        setlocale(LC_ALL, comma ? "de_DE.utf8" : "C");
        MUST(fv_heat_map(&drawn[comma], &h, &missing));
    }
    size_t bytes = 3 * (size_t)drawn[0].width * (size_t)drawn[0].height;
    assert_int_equal(drawn[0].width, drawn[1].width);
    assert_memory_equal(drawn[0].rgb, drawn[1].rgb, bytes);
    for (int i = 0; i < 2; i++) fv_picture_free(&drawn[i]);
}

static void letters_of_ascii_are_the_same_in_turkish(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "tr_TR.utf8") || strcasecmp("GIF", "gif") == 0) {
        print_message("skipped: there is no locale in which GIF is not gif (package locales)\n");
        skip();
    }
    assert_true(fv_same_word("GIF", "gif") && fv_same_word("", ""));
    assert_false(fv_same_word("GIF", "gi") || fv_same_word("gi", "GIF") ||
                 fv_same_word("\xc4", "\xe4"));
    assert_true(fv_same_start("THE Island", "the ", 4));
    fv_list l;
    remove_tree("tree");
    assert_int_equal(mkdir("tree", 0777), 0);
    spill("tree/ISLAND.GIF", "x", 1);
    spill("tree/a.TIFF", "x", 1);
    MUST(fv_list_pictures(&l, "tree", NULL, NULL));
    assert_int_equal(l.count, 2);
    fv_list_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_read_and_written_whatever_the_locale),
        cmocka_unit_test(options_weights_and_presets_are_the_same),
        cmocka_unit_test(a_session_saved_under_one_locale_goes_on_under_another),
        cmocka_unit_test(heat_maps_are_the_same),
        cmocka_unit_test(letters_of_ascii_are_the_same_in_turkish),
    };
    return cmocka_run_group_tests_name("locale", tests, begin, end);
}
