/* The option table, weighted lists, presets and recipes: everything that is text before a model
 * is opened. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/recipe.h"
#include "feavis/model.h"
#include "feavis/picture.h"
#include "feavis/preset.h"
#include "feavis/recipe.h"
#include "feavis/settings/options.h"
#include "model/text/text.h"
#include "tests/check.h"

static fv_options *fresh(void)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    return o;
}

static void set(fv_options *o, const char *name, const char *value)
{
    MUST(fv_options_set(o, name, value));
}

/* --- the table --- */

static void every_default_can_be_set_and_read_back(void **state)
{
    (void)state;
    int count;
    const fv_option *table = fv_option_table(&count);
    fv_options *o = fresh();
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        assert_ptr_equal(fv_option_find(row->name), row);
        assert_true(strlen(row->name) < 24); /* column of --help */
        assert_true(*row->group && *row->help && !strchr(row->help, '\n'));
        assert_true(fv_options_is_default(o, row->name));
        char first[64];
        snprintf(first, sizeof first, "%s", fv_options_get(o, row->name));
        set(o, row->name, row->value);
        assert_string_equal(fv_options_get(o, row->name), first);
        assert_true(fv_options_is_default(o, row->name));
        for (int k = 0; k < i; k++) assert_string_not_equal(table[k].name, row->name);
    }
    assert_null(fv_option_find("nothing"));
    assert_string_equal(fv_options_get(o, "nothing"), "");
    assert_false(fv_options_is_default(o, "nothing"));
    fv_options_free(o);
}

static void numbers_keep_to_their_range(void **state)
{
    (void)state;
    static const char *const words[] = {"",  "x",     "nan", "inf", "-inf",   "1x",  "1,5", "--1",
                                        " ", "1e999", "0x",  "一",  "1e+400", "1 2", "\n"};
    int count;
    const fv_option *table = fv_option_table(&count);
    fv_options *o = fresh();
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        if (row->kind != FV_OPTION_INT && row->kind != FV_OPTION_FLOAT) continue;
        char text[64];
        const double ends[] = {row->low, row->high};
        assert_true(row->low < row->high);
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%.17g", ends[k]);
            set(o, row->name, text);
            assert_true(strtod(fv_options_get(o, row->name), NULL) == ends[k]);
            double beyond = ends[k] + (k ? 1 : -1);
            snprintf(text, sizeof text, "%.17g", beyond);
            FAILS(fv_options_set(o, row->name, text), FV_ERR_ARGUMENT, row->name);
            assert_true(strtod(fv_options_get(o, row->name), NULL) == ends[k]);
        }
        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
            FAILS(fv_options_set(o, row->name, words[k]), FV_ERR_ARGUMENT, "expected");
        if (row->kind == FV_OPTION_INT)
            FAILS(fv_options_set(o, row->name, "17.5"), FV_ERR_ARGUMENT, "a whole number");
    }
    /* the text of a number is the number, not six digits of it */
    static const char *const exact[] = {"0.1", "0.30000000000000004", "1e-05", "0.123456789"};
    for (size_t k = 0; k < 4; k++) {
        set(o, "decay", exact[k]);
        assert_true(strtod(fv_options_get(o, "decay"), NULL) == strtod(exact[k], NULL));
    }
    fv_options_free(o);
}

static void seeds_have_64_bits(void **state)
{
    (void)state;
    static const char *const good[][2] = {{"0", "0"},
                                          {"2147483648", "2147483648"},
                                          {"9007199254740993", "9007199254740993"},
                                          {"18446744073709551615", "18446744073709551615"},
                                          {"0007", "7"},
                                          {"1e3", "1000"},
                                          {" 7", "7"},
                                          {"7.0 ", "7"}};
    static const char *const bad[] = {
        "",  "-1",   "18446744073709551616",      "1e30", "7.5", "nan", "inf", "7 8", "Random",
        "x", "-0.5", "99999999999999999999999999"};
    fv_options *o = fresh();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        set(o, "seed", good[i][0]);
        assert_string_equal(fv_options_get(o, "seed"), good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(fv_options_set(o, "seed", bad[i]), FV_ERR_ARGUMENT, "seed is \"");
    }
    char first[32];
    int others = 0;
    set(o, "seed", "random");
    snprintf(first, sizeof first, "%s", fv_options_get(o, "seed"));
    for (int i = 0; i < 8; i++) {
        set(o, "seed", "random");
        others += strcmp(first, fv_options_get(o, "seed")) != 0;
    }
    assert_true(others >= 7); /* of 2^32 */
    FAILS(fv_recipe_apply(o, "feavis: 1\nchanges: [{step: 1, option: seed, value: random}]", "r"),
          FV_ERR_FORMAT, "a change needs");
    fv_options_free(o);
}

static void words_are_among_their_choices(void **state)
{
    (void)state;
    int count;
    const fv_option *table = fv_option_table(&count);
    fv_options *o = fresh();
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        if (row->kind == FV_OPTION_CHOICE) {
            char choices[128], *rest = choices;
            snprintf(choices, sizeof choices, "%s", row->choices);
            for (char *word; (word = strtok_r(rest, " ", &rest));) {
                set(o, row->name, word);
                assert_string_equal(fv_options_get(o, row->name), word);
            }
            FAILS(fv_options_set(o, row->name, ""), FV_ERR_ARGUMENT, row->choices);
            FAILS(fv_options_set(o, row->name, "pix"), FV_ERR_ARGUMENT, "expected one of");
            FAILS(fv_options_set(o, row->name, row->choices), FV_ERR_ARGUMENT, "expected one of");
        }
        if (row->kind == FV_OPTION_BOOL) {
            static const char *const words[] = {"no", "Yes", "false", "TRUE", "off", "on"};
            for (int k = 0; k < 6; k++) {
                set(o, row->name, words[k]);
                assert_string_equal(fv_options_get(o, row->name), k % 2 ? "yes" : "no");
            }
            FAILS(fv_options_set(o, row->name, "maybe"), FV_ERR_ARGUMENT, "yes or no");
        }
    }
    fv_options_free(o);
}

static void a_wrong_name_suggests_the_nearest(void **state)
{
    (void)state;
    static const char *const slips[][2] = {
        {"sede", "seed"},      {"stpes", "steps"},
        {"rats", "rate"},      {"checkpiont", "checkpoint"},
        {"color", "colour"},   {"scale_min", "scale-min"},
        {"bvocab", "vocab"},   {"noise-ed", "noise-end"},
        {"galery", "gallery"}, {"llp-reduction", "llp-reduce"},
        {"thread", "threads"}, {"zsize", "size"},
    };
    fv_options *o = fresh();
    for (size_t i = 0; i < sizeof slips / sizeof slips[0]; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "did you mean %s?", slips[i][1]);
        FAILS(fv_options_set(o, slips[i][0], "1"), FV_ERR_ARGUMENT, expected);
    }
    char huge[5001];
    memset(huge, 'r', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    FAILS(fv_options_set(o, huge, "1"), FV_ERR_ARGUMENT, "there is no option");
    FAILS(fv_options_set(o, "", "1"), FV_ERR_ARGUMENT, "there is no option");
    fv_options_free(o);
}

static void texts_are_utf8_and_paths_are_bytes(void **state)
{
    (void)state;
    fv_options *o = fresh();
    set(o, "text", "梦 🦋");
    FAILS(fv_options_set(o, "text", "moon \xff"), FV_ERR_ARGUMENT, "text");
    assert_string_equal(fv_options_get(o, "text"), "梦 🦋");
    set(o, "out", "caf\xe9.png"); /* a file of an old disk */
    assert_string_equal(fv_options_get(o, "out"), "caf\xe9.png");
    fv_options_free(o);
}

static void a_copy_is_whole_and_its_own(void **state)
{
    (void)state;
    fv_options *o = fresh(), *copy;
    set(o, "text", "梦:1 | 山:0.5");
    set(o, "rate", "0.012345678901234567");
    set(o, "param", "pixel");
    set(o, "colour", "no");
    set(o, "views", "7");
    MUST(fv_options_add_change(o, 3, fv_option_find("text"), "水"));
    MUST(fv_options_add_change(o, 9, fv_option_find("rate"), "0.5"));
    MUST(fv_options_copy(&copy, o));
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++)
        assert_string_equal(fv_options_get(copy, table[i].name), fv_options_get(o, table[i].name));
    set(o, "text", "other");
    fv_options_free(o);
    assert_string_equal(fv_options_get(copy, "text"), "梦:1 | 山:0.5");
    assert_int_equal(copy->change_count, 2);
    assert_int_equal(copy->changes[1].step, 9);
    assert_string_equal(copy->changes[0].value, "水");
    assert_string_equal(copy->changes[1].option->name, "rate");
    fv_options_free(copy);
    fv_options_free(NULL);
}

/* --- weighted lists --- */

static void weighted_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int count;
        const char *names[3];
        float weights[3];
    } cases[] = {
        {"", 0, {0}, {0}},
        {" \t ", 0, {0}, {0}},
        {"梦", 1, {"梦"}, {1}},
        {"梦:1 | 文字:-0.3", 2, {"梦", "文字"}, {1, -0.3f}},
        {"a:+2|b : 0.5 |c:1e-2", 3, {"a", "b", "c"}, {2, 0.5f, 0.01f}},
        {"a castle on a mountain", 1, {"a castle on a mountain"}, {1}},
        {"either\\|or:2", 1, {"either|or"}, {2}},
        {"a\\b", 1, {"a\\b"}, {1}},
        /* a number behind the last colon is a weight; with a weight behind it, it is text */
        {"12:30", 1, {"12"}, {30}},
        {"12:30:1", 1, {"12:30"}, {1}},
        {"12\\:30", 1, {"12:30"}, {1}},
        {"at 12:30 in the moon", 1, {"at 12:30 in the moon"}, {1}},
        {"note: dream", 1, {"note: dream"}, {1}},
        {"梦:", 1, {"梦:"}, {1}},
        {":5", 1, {":5"}, {1}},
        {"a:inf", 1, {"a:inf"}, {1}},
        {"a:nan", 1, {"a:nan"}, {1}},
        {"a:1x", 1, {"a:1x"}, {1}},
        {"a:-", 1, {"a:-"}, {1}},
        {"a:1e99", 1, {"a:1e99"}, {1}},
        {"梦：2", 1, {"梦：2"}, {1}}, /* typed, it would have been 梦:2 by now */
        {"一：二:3", 1, {"一：二"}, {3}},
        {"梦｜山", 1, {"梦｜山"}, {1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_weighted *list;
        int count;
        MUST(fv_weighted_parse(&list, &count, cases[i].text, '|', "text"));
        if (count != cases[i].count) fail_msg("\"%s\": %d parts", cases[i].text, count);
        for (int k = 0; k < count; k++) {
            assert_string_equal(list[k].name, cases[i].names[k]);
            assert_true(list[k].weight == cases[i].weights[k]);
        }
        fv_weighted_free(list, count);
    }
}

/* Full-width punctuation and digits are syntax where a person types them, as their twins are. */
static void full_width_syntax_is_its_ascii_twin(void **state)
{
    (void)state;
    static const struct {
        const char *option, *typed, *plain;
    } cases[] = {
        {"text", "山：1 ｜ 雪：0.5", "山:1 | 雪:0.5"},
        {"text", "山：１｜雪：０．５｜文字：－０．３", "山:1|雪:0.5|文字:-0.3"},
        {"text", "山:１ | 雪：−2", "山:1 | 雪:-2"},
        {"text", "山：2　｜　雪", "山:2 |　雪"},
        {"text", "山：1ｅ1", "山:1e1"},
        /* the text itself stays what it is */
        {"text", "静夜思：床前明月光", "静夜思：床前明月光"},
        {"text", "１２：３０ 的钟，山：水", "１２：３０ 的钟，山：水"},
        {"text", "山，水、花！", "山，水、花！"},
        {"text", "：5", "：5"},
        {"text", "山：", "山："},
        {"text", "ｍｏｏｎ：x", "ｍｏｏｎ：x"},
        {"text", "a\\b ∣ c", "a\\b ∣ c"}, /* another bar */
        {"text", "梦:1 | 文字:-0.3", "梦:1 | 文字:-0.3"},
        /* a backslash makes it literal */
        {"text", "比例 16\\：9", "比例 16\\：9"},
        {"text", "比例 16\\:9", "比例 16\\:9"},
        {"text", "山\\｜水：２", "山\\｜水:2"},
        /* nothing to read */
        {"text", "　", ""},
        {"text", "\xe2\x80\x8b", ""},
        {"llp", "１０８，４５６：０．５", "108,456:0.5"},
        {"llp", "108、 7：−1", "108, 7:-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = fresh();
        for (int twice = 0; twice < 2; twice++) {
            char value[256];
            snprintf(value, sizeof value, "%s",
                     twice ? fv_options_get(o, cases[i].option) : cases[i].typed);
            set(o, cases[i].option, value);
            assert_string_equal(fv_options_get(o, cases[i].option), cases[i].plain);
        }
        fv_options_free(o);
    }
    fv_weighted *list;
    int count;
    MUST(fv_weighted_parse(&list, &count, "比例 16\\：9 | 山\\｜水:2 |　雪　", '|', "text"));
    assert_int_equal(count, 3);
    assert_string_equal(list[0].name, "比例 16：9");
    assert_string_equal(list[1].name, "山｜水");
    assert_true(list[1].weight == 2 && list[1].weighed && !list[0].weighed);
    assert_string_equal(list[2].name, "雪");
    fv_weighted_free(list, count);
}

/* "梦：2" was a text with a colon before it was a weight: the picture made then is made again. */
static void an_older_recipe_means_what_it_meant(void **state)
{
    (void)state;
    fv_options *o = fresh();
    MUST(fv_recipe_apply(o, "feavis: 0.1.0\ntext: \"梦：2 ｜ 山:30\"\n", "old.png"));
    assert_string_equal(fv_options_get(o, "text"), "梦：2 ｜ 山:30");
    fv_options_free(o);
}

static void a_preset_is_typed_by_a_person(void **state)
{
    (void)state;
    static const char text[] = "text: \"山：1 ｜ 雪\"\npictures:\n  - llp: \"１０８，４５６\"\n";
    spill("wide.yml", text, strlen(text));
    fv_preset *p;
    fv_options *o = fresh();
    MUST(fv_preset_open(&p, "./wide.yml"));
    MUST(fv_preset_apply(p, o));
    assert_string_equal(fv_options_get(o, "text"), "山:1 | 雪");
    MUST(fv_preset_picture(p, 0, o));
    assert_string_equal(fv_options_get(o, "llp"), "108,456");
    fv_preset_close(p);
    fv_options_free(o);
}

static void expect_reading(const char *text, const char *expected)
{
    fv_options *o = fresh();
    char *reading;
    set(o, "text", text);
    MUST(fv_options_asked(o, &reading));
    if (!expected)
        assert_null(reading);
    else
        assert_string_equal(reading, expected);
    free(reading);
    fv_options_free(o);
}

static void it_is_said_how_weights_were_read(void **state)
{
    (void)state;
    expect_reading("moon", NULL);
    expect_reading("moon | lake", NULL);
    expect_reading("", NULL);
    expect_reading("12\\:30", NULL);
    expect_reading("山：1 ｜ 雪", "\"山\" with weight 1, \"雪\" with weight 1");
    expect_reading("moon:-0.25|lake", "\"moon\" with weight -0.25, \"lake\" with weight 1");
    expect_reading("比例 16:9",
                   "\"比例 16\" with weight 9 (a colon of the text itself is written \\:)");
}

static void the_first_text_comes_without_its_weight(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""},
                                           {"moon", "moon"},
                                           {"山：1 ｜ 雪：0.5", "山"},
                                           {"12\\:30 | moon:-0.3", "12:30"},
                                           {"a\\|b:2", "a|b"},
                                           {"note: dream", "note: dream"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = fresh();
        char *text;
        set(o, "text", cases[i][0]);
        MUST(fv_options_first_text(o, &text));
        assert_string_equal(text, cases[i][1]);
        free(text);
        fv_options_free(o);
    }
}

static void weights_past_ten_are_refused_with_the_escape(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *words;
    } cases[] = {
        {"text", "the clock says 12:30",
         "the weight 30 of \"the clock says 12\" is not from -10 to 10; if it belongs to the text, "
         "write \\:30"},
        {"text", "moon | 12：３０", "write \\:30"},
        {"text", "moon:-10.5", "the weight -10.5 of"},
        {"text", "moon | \xe2\x80\x8b", "empty part"},
        {"text", "moon | | lake", "empty part"},
        {"llp", "108:456", "the weight 456 of llp 108 is not"},
        {"llp", "1，，2", "empty part"},
    };
    fv_options *o;
    char *reading;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        o = fresh();
        set(o, cases[i].option, cases[i].value);
        FAILS(fv_options_asked(o, &reading), FV_ERR_ARGUMENT, cases[i].words);
        fv_options_free(o);
    }
    expect_reading("moon:10 | lake:-10", "\"moon\" with weight 10, \"lake\" with weight -10");
}

static void empty_parts_and_too_many_are_refused(void **state)
{
    (void)state;
    static const char *const empty[] = {"|", "a|", "|a", "a||b", "a| |b", " | ", "a| "};
    fv_weighted *list;
    int count;
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
        FAILS(fv_weighted_parse(&list, &count, empty[i], '|', "text"), FV_ERR_ARGUMENT,
              "text has an empty part");
    FAILS(fv_weighted_parse(&list, &count, "1,,2", ',', "llp"), FV_ERR_ARGUMENT,
          "llp has an empty part");
    char many[512] = "1";
    for (int i = 0; i < 64; i++) strcat(many, ",1");
    FAILS(fv_weighted_parse(&list, &count, many, ',', "llp"), FV_ERR_ARGUMENT, "more than 64");
    many[strlen(many) - 2] = 0;
    MUST(fv_weighted_parse(&list, &count, many, ',', "llp"));
    assert_int_equal(count, 64);
    fv_weighted_free(list, count);
}

/* --- presets --- */

static void every_preset_applies_and_so_do_its_pictures(void **state)
{
    (void)state;
    char **names;
    int count;
    MUST(fv_preset_names(&names, &count));
    assert_true(count >= 3);
    for (int i = 0; i < count; i++) {
        fv_preset *p;
        fv_options *o = fresh();
        MUST(fv_preset_open(&p, names[i]));
        assert_true(*fv_preset_title(p));
        if (i) assert_true(strcmp(names[i - 1], names[i]) < 0);
        MUST(fv_preset_apply(p, o));
        for (int k = 0; k < fv_preset_picture_count(p); k++) {
            fv_options *picture;
            MUST(fv_options_copy(&picture, o));
            MUST(fv_preset_picture(p, k, picture));
            assert_true(*fv_options_get(picture, "text") || *fv_options_get(picture, "llp"));
            fv_options_free(picture);
        }
        fv_options_free(o);
        fv_preset_close(p);
    }
    fv_names_free(names, count);
    fv_preset_close(NULL);
}

/* --device decides where, --backend how. */
static void a_device_and_a_backend_become_one_name(void **state)
{
    (void)state;
    static const struct {
        const char *device, *backend, *name; /* name NULL: refused */
    } all[] = {{"auto", "auto", "auto"},
               {"auto", "cuda:1:bf16", "cuda:1:bf16"},
               {"cpu", "auto", "cpu"},
               {"cpu", "cpu-v3", "cpu-v3"},
               {"cpu", "cuda:0:fp16", "cpu"}, /* a recipe of another machine */
               {"cuda", "auto", "cuda"},
               {"cuda:2", "auto", "cuda:2"},
               {"cuda:2", "cuda:tf32", "cuda:2:tf32"},
               {"cuda:2", "cuda:0:fp32:own", "cuda:2:fp32:own"},
               {"cuda", "cuda:0:fp32", "cuda:fp32"},
               {"cuda:1", "cpu", "cuda:1"},
               {"gpu", "auto", NULL},
               {"cuda:", "auto", NULL},
               {"cuda:one", "auto", NULL},
               {"cuda:1:fp16", "auto", NULL}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        fv_options *o = fresh();
        char name[FV_BACKEND_SPEC];
        set(o, "device", all[i].device);
        set(o, "backend", all[i].backend);
        if (all[i].name) {
            MUST(fv_options_backend(o, name, sizeof name));
            assert_string_equal(name, all[i].name);
        } else {
            FAILS(fv_options_backend(o, name, sizeof name), FV_ERR_ARGUMENT, all[i].device);
        }
        fv_options_free(o);
    }
}

static void write_text(const char *path, const char *text)
{
    spill(path, text, strlen(text));
}

static void a_preset_builds_on_another(void **state)
{
    (void)state;
    write_text("base.yml", "title: base\nsteps: 11\nsize: 48\npictures:\n  - text: 山\n");
    write_text("top.yml", "use: ./base.yml\nsteps: 12\n");
    fv_preset *p;
    fv_options *o = fresh();
    MUST(fv_preset_open(&p, "top.yml"));
    MUST(fv_preset_apply(p, o));
    assert_string_equal(fv_options_get(o, "steps"), "12");
    assert_string_equal(fv_options_get(o, "size"), "48");
    assert_int_equal(fv_preset_picture_count(p), 1);
    MUST(fv_preset_picture(p, 0, o));
    assert_string_equal(fv_options_get(o, "text"), "山");
    fv_options_free(o);
    fv_preset_close(p);
}

/* Draft, Normal and Best are painted; another generator has the settings that suit it, whether it
 * is asked for, or a preset sets it that builds on them. */
static void a_preset_has_another_for_other_generators(void **state)
{
    (void)state;
    static const char *const names[] = {"draft", "normal", "best", "painted"};
    static const char *const compared[] = {"steps", "views", "size", "rate", "blur", "tv"};
    for (int i = 0; i < 4; i++) {
        char name[32];
        fv_options *own = fresh(), *again = fresh(), *asked = fresh(), *expected = fresh();
        fv_preset *p, *other;
        snprintf(name, sizeof name, "%s-fourier", i == 3 ? "draft" : names[i]);
        MUST(fv_preset_open(&p, names[i]));
        MUST(fv_preset_open(&other, name));
        MUST(fv_preset_apply(p, own));
        assert_string_equal(fv_options_get(own, "param"), "vqgan");
        MUST(fv_preset_apply_for(p, "vqgan", again));
        MUST(fv_preset_apply_for(p, "maco", asked));
        MUST(fv_preset_apply(other, expected));
        assert_string_equal(fv_options_get(expected, "param"), "fourier");
        assert_string_equal(fv_options_get(asked, "param"), "maco");
        for (int k = 0; k < 6; k++) {
            const char *value = fv_options_get(own, compared[k]);
            assert_string_equal(fv_options_get(again, compared[k]), value);
            value = fv_options_get(expected, compared[k]);
            assert_string_equal(fv_options_get(asked, compared[k]), value);
        }
        fv_preset_close(p);
        fv_preset_close(other);
        fv_options_free(own);
        fv_options_free(again);
        fv_options_free(asked);
        fv_options_free(expected);
    }
    static const struct {
        const char *yaml, *generator, *param, *blur;
    } cases[] = {{"use: normal\ngenerator: pixel\n", NULL, "pixel", "4"},
                 {"use: normal\nsteps: 9\n", "pixel", "pixel", "4"},
                 {"use: normal\nparam: pixel\n", "vqgan", "vqgan", NULL},
                 {"use: normal\nblur: 7\n", "fourier", "fourier", "7"},
                 {"use: paper\n", NULL, "pixel", "0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = fresh();
        fv_preset *p;
        write_text("mine.yml", cases[i].yaml);
        MUST(fv_preset_open(&p, "mine.yml"));
        MUST(fv_preset_apply_for(p, cases[i].generator, o));
        assert_string_equal(fv_options_get(o, "param"), cases[i].param);
        if (cases[i].blur) assert_string_equal(fv_options_get(o, "blur"), cases[i].blur);
        if (!cases[i].blur) assert_string_not_equal(fv_options_get(o, "blur"), "4");
        fv_preset_close(p);
        fv_options_free(o);
    }
}

static void broken_presets_are_named_by_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"size: 64\nstpes: 3\n", "broken.yml:2"},
        {"size: 64\nstpes: 3\n", "did you mean steps?"},
        {"size: 5\n", "broken.yml:1: size is \"5\""},
        {"size: [1]\n", "broken.yml:1: size should be one value"},
        {"pictures:\n  - text: a\n  - txet: b\n", "broken.yml:3"},
        {"pictures:\n  - 3\n", "broken.yml:2: a picture should be a map"},
        {"pictures: 3\n", "broken.yml:1: pictures should be a list"},
        {"title: {a: b}\n", "broken.yml:1"},
        {"use: broken.yml\n", "presets use each other"},
        {"use: loop.yml\n", "presets use each other"},
        {"other-generators: broken.yml\n", "presets use each other"},
        {"other-generators: nowhere\n", "there is no preset nowhere"},
        {"use: nowhere\n", "there is no preset nowhere; there are: "},
        {"use: ./nowhere.yml\n", "nowhere.yml"},
        {"- size: 64\n", "not a map"},
        {"", "not a map"},
        {"a: b: c\n", "broken.yml:1: not YAML"},
        {"text: \"\xff\"\n", "broken.yml:1"},
        {"size: 64\nsize: 65\n", "broken.yml:2: the key size stands there twice"},
    };
    fv_preset *p;
    write_text("loop.yml", "use: broken.yml\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text("broken.yml", cases[i].text);
        fv_status s = fv_preset_open(&p, "broken.yml");
        if (s >= 0) fail_msg("case %zu was accepted", i);
        if (!strstr(fv_error(), cases[i].words) || strchr(fv_error(), '\n'))
            fail_msg("case %zu: said \"%s\"", i, fv_error());
    }
    FAILS(fv_preset_open(&p, "nowhere"), FV_ERR_ARGUMENT, "draft");
    FAILS(fv_preset_open(&p, "no/such.yml"), FV_ERR_IO, "no/such.yml");
    FAILS(fv_preset_open(&p, "./"), FV_ERR_IO, "folder");
    FAILS(fv_preset_open(&p, ""), FV_ERR_ARGUMENT, "there is no preset");
}

/* --- recipes --- */

static fv_model *toy_model(fv_options *o)
{
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    char checkpoint[1024];
    snprintf(checkpoint, sizeof checkpoint, "%s/lite0.pth", unpacked ? unpacked : ".");
    set(o, "config", source_file("tests/golden/towers/lite0/cfg.yml"));
    set(o, "checkpoint", checkpoint);
    set(o, "vocab", source_file("tests/golden/text_vocab.txt"));
    fv_model *m;
    MUST(fv_model_open(&m, o));
    return m;
}

static void a_recipe_brings_back_options_and_changes(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "梦",
        "a \"quoted\" \\ text: # with - all {of} [YAML]'s & * ! | > % @ ` , ?",
        "  spaces, a tab\t, two\nlines\r\n, bell \a, delete \x7f ",
        "🦋 👨‍👩‍👧 é e\xcc\x81",
        "no",
        "null",
        "~",
        "12:30",
        ("next line \xc2\x85, C1 \xc2\x9b, separators \xe2\x80\xa8 \xe2\x80\xa9, BOM \xef\xbb\xbf, "
         "no character \xef\xbf\xbe \xf0\x9f\xbf\xbf"),
    };
    fv_options *o = fresh();
    set(o, "text-length", "12");
    fv_model *m = toy_model(o);
    set(o, "rate", "0.30000000000000004");
    set(o, "param", "multires");
    set(o, "colour", "no");
    set(o, "seed", "18446744073709551615");
    set(o, "steps", "50");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fv_options *mine, *back = fresh();
        char *recipe, *again;
        MUST(fv_options_copy(&mine, o));
        set(mine, "text", texts[i]);
        MUST(fv_options_add_change(mine, 3, fv_option_find("text"), texts[i]));
        MUST(fv_options_add_change(mine, 4, fv_option_find("noise"), "0.25"));
        MUST(fv_recipe_write(&recipe, mine, m, 20));
        MUST(fv_recipe_apply(back, recipe, "recipe"));
        int count;
        const fv_option *table = fv_option_table(&count);
        for (int k = 0; k < count; k++) {
            const char *name = table[k].name, *value = fv_options_get(mine, name);
            if (!(table[k].flags & FV_OPTION_RECIPE)) continue;
            if (strcmp(name, "stop") == 0) value = "20";
            if (strcmp(name, "backend") == 0) value = "cpu"; /* what auto was */
            if (table[k].flags & FV_OPTION_FILE && strrchr(value, '/'))
                value = strrchr(value, '/') + 1;
            assert_string_equal(fv_options_get(back, name), value);
        }
        assert_int_equal(back->change_count, 2);
        assert_int_equal(back->changes[0].step, 3);
        assert_string_equal(back->changes[0].option->name, "text");
        assert_string_equal(back->changes[0].value, texts[i]);
        assert_string_equal(back->changes[1].value, "0.25");
        /* and a recipe of those is the same text */
        set(back, "stop", "0");
        MUST(fv_recipe_write(&again, back, m, 20));
        assert_string_equal(again, recipe);
        free(recipe);
        free(again);
        fv_options_free(mine);
        fv_options_free(back);
    }
    fv_model_close(m);
    fv_options_free(o);
}

static void broken_recipes_give_one_line(void **state)
{
    (void)state;
#define HEAD "feavis: 0.1.0\n"
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "not a feavis recipe"},
        {"text: a\n", "not a feavis recipe"},
        {"just words", "not a feavis recipe"},
        {"- a\n", "not a feavis recipe"},
        {HEAD "txet: a\n", "r.png:2"},
        {HEAD "size: -3\n", "r.png:2: size is \"-3\""},
        {HEAD "size: [3]\n", "r.png:2: size should be one value"},
        {HEAD "changes: 3\n", "changes should be a list"},
        {HEAD "changes:\n  - 3\n", "r.png:3: a change should be a map"},
        {HEAD "changes:\n  - {step: 1, option: text}\n", "r.png:3: a change needs"},
        {HEAD "changes:\n  - {step: -1, option: text, value: a}\n", "r.png:3: a change needs"},
        {HEAD "changes:\n  - {step: x, option: text, value: a}\n", "r.png:3: step is \"x\""},
        {HEAD "changes:\n  - {step: 1, option: size, value: 64}\n", "r.png:3"}, /* not live */
        {HEAD "changes:\n  - {step: 1, option: rate, value: fast}\n", "r.png:3"},
        {HEAD "changes:\n  - {step: 1, option: what, value: 64}\n", "r.png:3"},
        {HEAD "a: &x 1\nb: *x\n", "anchors"},
        {HEAD "text: \"open\n", "not YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = fresh();
        fv_status s = fv_recipe_apply(o, cases[i].text, "r.png");
        if (s >= 0) fail_msg("case %zu was accepted", i);
        if (!strstr(fv_error(), cases[i].words) || strchr(fv_error(), '\n'))
            fail_msg("case %zu: said \"%s\"", i, fv_error());
        fv_options_free(o);
    }
}

/* --- what files may set --- */

/* A value that a row takes and that is not its default. */
static const char *other_value(const fv_option *row)
{
    if (strcmp(row->name, "guide-weights") == 0) return "0.5";
    if (strcmp(row->name, "at") == 0) return "moon: 4-5,0-1";
    static char text[64];
    switch (row->kind) {
    case FV_OPTION_SIZE:
        return "320x224";
    case FV_OPTION_SEED:
        return "18446744073709551615";
    case FV_OPTION_INT:
    case FV_OPTION_FLOAT:
        snprintf(text, sizeof text, "%g", row->high);
        if (strcmp(text, row->value) == 0) snprintf(text, sizeof text, "%g", row->low);
        return text;
    case FV_OPTION_BOOL:
        return strcmp(row->value, "yes") == 0 ? "no" : "yes";
    case FV_OPTION_CHOICE:
        return strrchr(row->choices, ' ') + 1;
    default:
        return "other";
    }
}

/* Recipes, presets and the files of a queue set what has FV_OPTION_RECIPE; the rest is told. */
static void a_file_sets_only_what_shapes_the_picture(void **state)
{
    (void)state;
    int count, left = 0;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        bool taken = row->flags & FV_OPTION_RECIPE;
        char text[256], notice[256];
        snprintf(text, sizeof text, "feavis: 1\n%s: \"%s\"\n", row->name, other_value(row));
        snprintf(notice, sizeof notice,
                 "file.yml sets %s: left, as no file says where to write or to compute", row->name);
        for (int kind = 0; kind < 3; kind++) {
            fv_options *o = fresh();
            if (kind == 0) {
                MUST(fv_recipe_apply(o, text, "file.yml"));
            } else if (kind == 1) {
                MUST(fv_recipe_read_options(o, text, "file.yml"));
            } else {
                fv_preset *p;
                write_text("file.yml", text + strlen("feavis: 1\n"));
                MUST(fv_preset_open(&p, "file.yml"));
                MUST(fv_preset_apply(p, o));
                fv_preset_close(p);
            }
            if (fv_options_is_default(o, row->name) == taken)
                fail_msg("kind %d: %s is \"%s\"", kind, row->name, fv_options_get(o, row->name));
            assert_string_equal(fv_options_notice(o), taken ? "" : notice);
            fv_options_free(o);
        }
        left += !taken;
        assert_true(!taken || !(row->flags & FV_OPTION_PLACE));
    }
    assert_int_equal(left, 6); /* device, threads, gallery, out, state, save-codes */
    unlink("file.yml");
    /* all of one file in one line, and those of the files before it; a change cannot either */
    fv_options *o = fresh(), *copy;
    MUST(fv_recipe_apply(o, "feavis: 1\nout: a\nstate: [b]\ntext: c\n", "r.png"));
    MUST(fv_recipe_apply(o, "feavis: 1\nthreads: many\n", "s.png"));
    assert_string_equal(fv_options_notice(o),
                        "r.png sets out, state: left, as no file says where to write or to "
                        "compute; s.png sets threads: left, as no file says where to write or to "
                        "compute");
    assert_string_equal(fv_options_get(o, "text"), "c");
    MUST(fv_options_copy(&copy, o));
    assert_string_equal(fv_options_notice(copy), "");
    FAILS(fv_recipe_apply(o, "feavis: 1\nchanges: [{step: 1, option: out, value: a}]", "r.png"),
          FV_ERR_FORMAT, "r.png:2: a change needs");
    fv_options_free(copy);
    fv_options_free(o);
}

static void counts_past_sane_bounds_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "views: 100000",  "size: 100000",       "steps: 2147483648",
        "steps: 1e300",   "text-length: 99999", "warmup: 4294967296",
        "stop: 99999999", "seed: -1",           "size: -16"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[128];
        fv_options *o = fresh();
        snprintf(text, sizeof text, "feavis: 1\n%s\n", lines[i]);
        FAILS(fv_recipe_apply(o, text, "r.png"), FV_ERR_ARGUMENT, "r.png:2: ");
        fv_options_free(o);
    }
}

/* A thousand lines of a map cost a thousand times one of them, not a million times. */
static void a_map_of_many_keys_is_read_or_refused(void **state)
{
    (void)state;
    size_t size;
    char *text;
    FILE *f = open_memstream(&text, &size);
    fputs("feavis: 1\n", f);
    for (int i = 0; i < 90000; i++) fprintf(f, "k%d: 1\n", i);
    fputs("k7: 2\n", f);
    fclose(f);
    fv_options *o = fresh();
    FAILS(fv_recipe_apply(o, text, "r.png"), FV_ERR_FORMAT,
          "r.png:90002: the key k7 stands there twice");
    fv_options_free(o);
    free(text);
}

/* Neither for a pipe nor for a device is anything waited for, and a preset is not its own base. */
static void a_preset_uses_regular_files_only(void **state)
{
    (void)state;
    fv_preset *p;
    assert_int_equal(mkfifo("pipe.yml", 0600), 0);
    write_text("pipes.yml", "use: ./pipe.yml\n");
    FAILS(fv_preset_open(&p, "pipes.yml"), FV_ERR_IO, "not a regular file");
    write_text("pipes.yml", "use: /dev/zero\n");
    FAILS(fv_preset_open(&p, "pipes.yml"), FV_ERR_IO, "not a regular file");
    write_text("pipes.yml", "use: ./pipes.yml\n");
    FAILS(fv_preset_open(&p, "pipes.yml"), FV_ERR_FORMAT, "presets use each other");
    unlink("pipe.yml");
    unlink("pipes.yml");
}

static void same_models_are_known_by_the_table(void **state)
{
    (void)state;
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        fv_options *a = fresh(), *b = fresh();
        bool spelt =
            strcmp(table[i].name, "guide-weights") == 0 || strcmp(table[i].name, "at") == 0;
        bool words = table[i].kind == FV_OPTION_TEXT && !spelt;
        const char *value = words ? "cpu" : other_value(&table[i]);
        set(a, table[i].name, value);
        bool model = strcmp(table[i].group, "Model") == 0;
        assert_int_equal((table[i].flags & FV_OPTION_MODEL) != 0, model);
        assert_int_equal(fv_options_same_model(a, b), !model);
        MUST(fv_options_take(b, a, FV_OPTION_MODEL));
        assert_true(fv_options_same_model(a, b));
        fv_options_free(a);
        fv_options_free(b);
    }
}

/* --- the files that a recipe names --- */

static void write_picture(const char *path, uint8_t red)
{
    uint8_t rgb[8 * 6 * 3] = {red};
    MUST(fv_picture_write(&(fv_picture){8, 6, rgb}, path, NULL));
}

/* Names without folders, and names of any bytes; back from the folder of the picture. */
static void a_recipe_names_files_without_their_folders(void **state)
{
    (void)state;
    static const char *const names[] = {"moon.png",  "caf\xe9.png",   "a\nb.png", "50%25 %41.png",
                                        "\xff%.png", "\"q\\\xe9.png", "月.png",   " lead\xe9"};
    fv_options *o = fresh();
    fv_model *m = toy_model(o);
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64], hash[17], *recipe, *queued;
        snprintf(path, sizeof path, "made/%s", names[i]);
        write_picture(path, (uint8_t)(9 + i));
        MUST(fv_start_hash(path, hash));
        fv_options *mine, *back = fresh(), *kept = fresh();
        MUST(fv_options_copy(&mine, o));
        set(mine, "start", path);
        set(mine, "start-hash", hash);
        MUST(fv_recipe_write(&recipe, mine, m, 1));
        MUST(fv_utf8_check(recipe, strlen(recipe), "recipe"));
        assert_null(strchr(strstr(recipe, "start"), '/'));
        assert_null(strstr(recipe, "towers")); /* the model's folder */
        MUST(fv_recipe_apply(back, recipe, "made/梦.png"));
        assert_string_equal(fv_options_get(back, "start"), path);
        /* a queue keeps the whole path */
        MUST(fv_recipe_write_options(&queued, mine));
        MUST(fv_utf8_check(queued, strlen(queued), "queue"));
        MUST(fv_recipe_read_options(kept, queued, "queue"));
        assert_string_equal(fv_options_get(kept, "start"), path);
        assert_string_equal(fv_options_get(kept, "config"), fv_options_get(mine, "config"));
        free(recipe);
        free(queued);
        fv_options_free(mine);
        fv_options_free(back);
        fv_options_free(kept);
    }
    fv_model_close(m);
    fv_options_free(o);
    remove_tree("made");
}

static void the_start_of_a_recipe_is_found_by_its_hash(void **state)
{
    (void)state;
    char hash[17], recipe[256];
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    write_picture("moon.png", 1);
    MUST(fv_start_hash("moon.png", hash));
    static const struct {
        bool beside, other_beside, here;
        const char *folder, *found; /* NULL: lost */
    } cases[] = {
        {true, false, false, "", "made/moon.png"},
        {false, false, true, "", "moon.png"},
        {true, true, true, "", "moon.png"}, /* beside it lies another of that name */
        {false, false, true, "/nowhere/", "moon.png"},
        {false, false, false, "made/../made/deep-", "made/../made/deep-moon.png"}, /* older */
        {true, true, false, "", "made/moon.png"}, /* to be refused for its hash */
        {false, false, false, "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_options *o = fresh();
        unlink("moon.png");
        unlink("made/moon.png");
        write_picture("made/deep-moon.png", 1);
        if (cases[i].here) write_picture("moon.png", 1);
        if (cases[i].beside) write_picture("made/moon.png", cases[i].other_beside ? 2 : 1);
        snprintf(recipe, sizeof recipe, "feavis: 1\nstart: \"%smoon.png\"\nstart-hash: \"%s\"\n",
                 cases[i].folder, hash);
        MUST(fv_recipe_apply(o, recipe, "made/p.png"));
        const char *found = cases[i].found ? cases[i].found : "moon.png";
        assert_string_equal(fv_options_get(o, "start"), found);
        if (cases[i].found && i != 5)
            MUST(fv_start_note(o));
        else if (i == 5)
            FAILS(fv_start_note(o), FV_ERR_FORMAT, "not the one of the recipe");
        else
            FAILS(fv_start_note(o), FV_ERR_IO,
                  "the start of made/p.png, moon.png, was found neither beside it nor here: give "
                  "it with --start FILE");
        if (!cases[i].found) { /* who names it ends the search */
            fv_options *copy;
            MUST(fv_options_copy(&copy, o));
            FAILS(fv_start_note(copy), FV_ERR_IO, "neither beside it nor here");
            set(copy, "start", "made/deep-moon.png");
            MUST(fv_start_note(copy));
            fv_options_free(copy);
        }
        fv_options_free(o);
    }
    /* no hash, no file; nothing that is no regular file is opened */
    fv_options *o = fresh();
    write_picture("moon.png", 1);
    MUST(fv_recipe_apply(o, "feavis: 1\nstart: moon.png\n", "p.png"));
    FAILS(fv_start_note(o), FV_ERR_IO, "neither beside it nor here");
    fv_options_free(o);
    static const char *const rows[] = {"config", "checkpoint", "vocab", "start"};
    assert_int_equal(mkfifo("made/pipe", 0600), 0);
    for (int i = 0; i < 8; i++) { /* those of /proc seem regular, and some never end */
        o = fresh();
        fv_model *m;
        snprintf(recipe, sizeof recipe, "feavis: 1\nstart-hash: \"%s\"\n%s: \"%s\"\n", hash,
                 rows[i % 4], i < 4 ? "made/pipe" : "/proc/self/status");
        MUST(fv_recipe_apply(o, recipe, "made/p.png"));
        FAILS(i % 4 < 3 ? fv_model_open(&m, o) : fv_start_note(o), FV_ERR_IO,
              "was found neither beside it nor here");
        fv_options_free(o);
    }
    unlink("moon.png");
    remove_tree("made");
}

/* Whoever wrote a recipe does not choose which file of the disk is opened: a path says its name. */
static void a_path_in_a_recipe_is_a_name(void **state)
{
    (void)state;
    static const char *const rows[] = {"config", "checkpoint", "vocab", "decoder"};
    char recipe[4096], here[2048];
    assert_non_null(getcwd(here, sizeof here));
    remove_tree("made");
    assert_int_equal(mkdir("made", 0777), 0);
    spill("made/secret", "here", 4);
    for (int i = 0; i < 8; i++) {
        fv_options *o = fresh();
        const char *row = rows[i % 4];
        snprintf(recipe, sizeof recipe, "feavis: 1\n%s: \"%s%smade/secret\"\n", row,
                 i < 4 ? "" : here, i < 4 ? "" : "/");
        MUST(fv_recipe_apply(o, recipe, "p.png"));
        assert_string_equal(fv_options_get(o, row), "secret"); /* not there */
        MUST(fv_recipe_apply(o, recipe, "made/p.png"));
        assert_string_equal(fv_options_get(o, row), "made/secret");
        fv_options_free(o);
    }
    remove_tree("made");
}

/* A recipe names the model that drew the picture, whatever the session's options say. */
static void a_recipe_names_the_model_that_ran(void **state)
{
    (void)state;
    fv_options *o = fresh(), *session = fresh();
    set(o, "text-length", "12");
    fv_model *m = toy_model(o);
    char *recipe;
    set(session, "config", "elsewhere.yml");
    set(session, "checkpoint", "elsewhere.pth");
    set(session, "vocab", "elsewhere.txt");
    set(session, "tower", "momentum");
    set(session, "text-length", "77");
    set(session, "backend", "ref");
    MUST(fv_recipe_write(&recipe, session, m, 200));
    static const char *const lines[] = {
        "\nconfig: \"cfg.yml\"\n", "\ncheckpoint: \"lite0.pth\"\n", "\nvocab: \"text_vocab.txt\"\n",
        "\ntower: online\n",       "\ntext-length: 12\n",           "\nbackend: \"cpu\"\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(recipe, lines[i])) fail_msg("no \"%s\" in \"%s\"", lines[i], recipe);
    assert_null(strstr(recipe, "elsewhere"));
    MUST(fv_recipe_check_model(recipe, m));
    char *files = strstr(recipe, "files: \"") + strlen("files: \"");
    files[0] = files[0] == '0' ? '1' : '0';
    FAILS(fv_recipe_check_model(recipe, m), FV_ERR_ARGUMENT, "another cfg or vocabulary");
    char *print = strstr(recipe, "fingerprint: \"") + strlen("fingerprint: \"");
    print[0] = print[0] == '0' ? '1' : '0';
    FAILS(fv_recipe_check_model(recipe, m), FV_ERR_ARGUMENT, "(of this name, with other weights)");
    free(recipe);
    fv_model_close(m);
    fv_options_free(o);
    fv_options_free(session);
}

/* The title of a cfg may be long; the recipe that holds it stays UTF-8. */
static void a_long_title_is_cut_at_a_character(void **state)
{
    (void)state;
    size_t size;
    fv_options *o = fresh();
    fv_model *m = toy_model(o), *titled;
    fv_model_close(m);
    char *cfg = slurp(fv_options_get(o, "config"), &size), *text, *recipe;
    assert_true(asprintf(&text, "TITLE: \"x%s%s%s\"\n%s",
                         "画画画画画画画画画画画画画画画画画画画画",
                         "画画画画画画画画画画画画画画画画画画画画",
                         "画画画画画画画画画画画画画画画画画画画画", cfg) > 0);
    write_text("titled.yml", text);
    set(o, "config", "titled.yml");
    MUST(fv_model_open(&titled, o));
    MUST(fv_recipe_write(&recipe, o, titled, 1));
    MUST(fv_utf8_check(recipe, strlen(recipe), "recipe"));
    free(recipe);
    free(text);
    free(cfg);
    fv_model_close(titled);
    fv_options_free(o);
    unlink("titled.yml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_can_be_set_and_read_back),
        cmocka_unit_test(numbers_keep_to_their_range),
        cmocka_unit_test(seeds_have_64_bits),
        cmocka_unit_test(words_are_among_their_choices),
        cmocka_unit_test(a_wrong_name_suggests_the_nearest),
        cmocka_unit_test(texts_are_utf8_and_paths_are_bytes),
        cmocka_unit_test(a_copy_is_whole_and_its_own),
        cmocka_unit_test(weighted_texts),
        cmocka_unit_test(full_width_syntax_is_its_ascii_twin),
        cmocka_unit_test(an_older_recipe_means_what_it_meant),
        cmocka_unit_test(a_preset_is_typed_by_a_person),
        cmocka_unit_test(it_is_said_how_weights_were_read),
        cmocka_unit_test(the_first_text_comes_without_its_weight),
        cmocka_unit_test(weights_past_ten_are_refused_with_the_escape),
        cmocka_unit_test(empty_parts_and_too_many_are_refused),
        cmocka_unit_test(a_device_and_a_backend_become_one_name),
        cmocka_unit_test(every_preset_applies_and_so_do_its_pictures),
        cmocka_unit_test(a_preset_builds_on_another),
        cmocka_unit_test(a_preset_has_another_for_other_generators),
        cmocka_unit_test(broken_presets_are_named_by_file_and_line),
        cmocka_unit_test(a_recipe_brings_back_options_and_changes),
        cmocka_unit_test(broken_recipes_give_one_line),
        cmocka_unit_test(a_file_sets_only_what_shapes_the_picture),
        cmocka_unit_test(counts_past_sane_bounds_are_refused),
        cmocka_unit_test(a_map_of_many_keys_is_read_or_refused),
        cmocka_unit_test(a_preset_uses_regular_files_only),
        cmocka_unit_test(same_models_are_known_by_the_table),
        cmocka_unit_test(a_recipe_names_files_without_their_folders),
        cmocka_unit_test(the_start_of_a_recipe_is_found_by_its_hash),
        cmocka_unit_test(a_path_in_a_recipe_is_a_name),
        cmocka_unit_test(a_recipe_names_the_model_that_ran),
        cmocka_unit_test(a_long_title_is_cut_at_a_character),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
