/* Which words of a text a model does not know. */
#include "model/text/words.h"
#include "tests/check.h"

static const char list[] = "蝴蝶\ncastle\n山\n春天\n蝴\r\n\nride\nthe\nflower\n";

static fv_words *open_list(void)
{
    fv_words *w;
    spill("words.txt", list, sizeof list - 1);
    MUST(fv_words_open(&w, "words.txt"));
    return w;
}

static void unknown_parts_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"castle", ""},
        {"The CASTLES", ""},    /* case and -s */
        {"riding flowers", ""}, /* ride, flower */
        {"castle zyx", "zyx"},
        {"Zyx and qwv", "Zyx, and, qwv"},
        {"of an ox", ""},   /* two letters say little */
        {"春天的蝴蝶", ""}, /* one ideograph between words is grammar */
        {"蝴蝶麒麟山", "麒麟"},
        {"麒麟", "麒麟"},
        {"春天，饕餮castle，梼杌", "饕餮, 梼杌"},
        {"\xe2\x80\xa6 123 !?", ""}, /* no words */
    };
    fv_words *w = open_list();
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_words_unknown(w, cases[i][0], out, sizeof out);
        assert_string_equal(out, cases[i][1]);
    }
    fv_words_free(w);
}

static void long_lists_are_cut_at_parts(void **state)
{
    (void)state;
    fv_words *w = open_list();
    char out[12];
    fv_words_unknown(w, "aaaa bbbb cccc dddd", out, sizeof out);
    assert_string_equal(out, "aaaa, bbbb");
    char letters[301];
    memset(letters, 'q', 300);
    letters[300] = 0;
    fv_words_unknown(w, letters, out, sizeof out); /* longer than any word */
    assert_string_equal(out, "");
    fv_words_free(w);
}

static void any_line_end_and_a_mark_in_front(void **state)
{
    (void)state;
    static const char *const files[] = {"\xef\xbb\xbf"
                                        "castle\rmoon\r",
                                        "\xef\xbb\xbfmoon\r\n\r\ncastle"};
    char out[64];
    for (size_t i = 0; i < 2; i++) {
        fv_words *w;
        spill("marked.txt", files[i], strlen(files[i]));
        MUST(fv_words_open(&w, "marked.txt"));
        fv_words_unknown(w, "castle moon", out, sizeof out);
        assert_string_equal(out, "");
        fv_words_free(w);
    }
}

static void bad_files_are_named(void **state)
{
    (void)state;
    fv_words *w;
    FAILS(fv_words_open(&w, "nowhere.txt"), FV_ERR_IO, "nowhere.txt");
    spill("bad.txt", "ab\xff\n", 4);
    FAILS(fv_words_open(&w, "bad.txt"), FV_ERR_ARGUMENT, "bad.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_parts_are_named),
        cmocka_unit_test(long_lists_are_cut_at_parts),
        cmocka_unit_test(any_line_end_and_a_mark_in_front),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
