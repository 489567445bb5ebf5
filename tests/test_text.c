/* The tokeniser against HuggingFace's BertTokenizer, and vocabularies that are broken.
 *
 * golden/text_cases.json: texts with their ids at 32 and 12 tokens (make_text.py). For another
 * vocabulary, e.g. of a real BriVL: FEAVIS_BERT_VOCAB=vocab.txt and
 * FEAVIS_TOKENIZER_CASES=cases.json with {"cases": [{"text", "max_len", "ids"}, ...]}. */
#include "model/files/yaml.h"
#include "model/text/text.h"
#include "tests/check.h"

static void check_ids(const fv_vocab *v, const char *text, const fv_yaml_node *ids)
{
    fv_tokens t;
    int length = fv_yaml_count(ids), used = 0;
    MUST(fv_tokenize(v, text, length, &t));
    assert_int_equal(t.length, length);
    for (int i = 0; i < length; i++) {
        int expected = atoi(fv_yaml_text(fv_yaml_at(ids, i)));
        if (expected != 0) used = i + 1; /* a typed [PAD] may stand before the last token */
        if (t.ids[i] != expected)
            fail_msg("\"%s\", %d tokens: id %d is %d, expected %d", text, length, i, t.ids[i],
                     expected);
    }
    assert_int_equal(t.used, used);
    fv_tokens_free(&t);
}

static void equals_huggingface(void **state)
{
    (void)state;
    fv_vocab *v;
    fv_yaml *doc;
    MUST(fv_vocab_open(&v, source_file("tests/golden/text_vocab.txt")));
    MUST(fv_yaml_open(&doc, source_file("tests/golden/text_cases.json")));
    const fv_yaml_node *cases = fv_yaml_root(doc);
    assert_true(fv_yaml_count(cases) >= 59);
    for (int i = 0; i < fv_yaml_count(cases); i++) {
        const fv_yaml_node *c = fv_yaml_at(cases, i);
        check_ids(v, fv_yaml_text(fv_yaml_find(c, "text")), fv_yaml_find(c, "ids32"));
        check_ids(v, fv_yaml_text(fv_yaml_find(c, "text")), fv_yaml_find(c, "ids12"));
    }
    fv_yaml_free(doc);
    fv_vocab_free(v);
}

static void equals_huggingface_with_another_vocabulary(void **state)
{
    (void)state;
    const char *vocab = getenv("FEAVIS_BERT_VOCAB"), *path = getenv("FEAVIS_TOKENIZER_CASES");
    if (!vocab || !path) {
        print_message("skipped: FEAVIS_BERT_VOCAB and FEAVIS_TOKENIZER_CASES name no files\n");
        skip();
    }
    fv_vocab *v;
    fv_yaml *doc;
    MUST(fv_vocab_open(&v, vocab));
    MUST(fv_yaml_open(&doc, path));
    const fv_yaml_node *cases = fv_yaml_find(fv_yaml_root(doc), "cases");
    assert_true(fv_yaml_count(cases) > 0);
    for (int i = 0; i < fv_yaml_count(cases); i++) {
        const fv_yaml_node *c = fv_yaml_at(cases, i);
        check_ids(v, fv_yaml_text(fv_yaml_find(c, "text")), fv_yaml_find(c, "ids"));
    }
    print_message("%d cases\n", fv_yaml_count(cases));
    fv_yaml_free(doc);
    fv_vocab_free(v);
}

/* The pieces of a text, with a space before each but the marks. */
static void expect_pieces(const fv_vocab *v, const char *text, const char *expected)
{
    char pieces[1024] = "";
    fv_tokens t;
    MUST(fv_tokenize_chinese_clip(v, text, 256, &t));
    for (int i = 1; i + 1 < t.used; i++) {
        size_t n = strlen(pieces);
        snprintf(pieces + n, sizeof pieces - n, " %s", fv_vocab_piece(v, t.ids[i]));
    }
    assert_string_equal(pieces, expected);
    fv_tokens_free(&t);
}

/* In what Chinese-CLIP's tokeniser differs from BertTokenizer. */
static void chinese_clip_has_its_own_rules(void **state)
{
    (void)state;
    static const char vocabulary[] =
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[\n]\nmask\nz\n##z\no\n##δ"
        "\n##ο\n##σ\n##ς\nο\nσ\n.\n梦\n";
    char word[202];
    fv_vocab *v;
    fv_tokens t;
    spill("chinese.txt", vocabulary, sizeof vocabulary - 1);
    MUST(fv_vocab_open(&v, "chinese.txt"));
    expect_pieces(v, "[MASK]", " [ mask ]");
    expect_pieces(v, "ΟΔΟΣ", " ο ##δ ##ο ##ς");
    expect_pieces(v, "ΟΣ.ΟΣ", " ο ##σ . ο ##ς"); /* a full stop does not end the word */
    expect_pieces(v, "ΟΣ ΟΣ", " ο ##ς ο ##ς");
    expect_pieces(v, "ΟΣ\xc2\xadΟ", " ο ##σ ##ο"); /* a soft hyphen is not there */
    expect_pieces(v, "ΟΣ梦Ο", " ο ##ς 梦 ο");
    expect_pieces(v, "Σ", " σ");
    memset(word, 'z', 201);
    word[201] = 0;
    MUST(fv_tokenize_chinese_clip(v, word + 1, 256, &t));
    assert_int_equal(t.unknown, 0);
    assert_int_equal(t.used, 202);
    fv_tokens_free(&t);
    expect_pieces(v, word, " [UNK]");
    fv_vocab_free(v);
}

/* Another vocabulary and cases of Chinese-CLIP's tokeniser at 52 tokens. */
static void equals_chinese_clip_with_another_vocabulary(void **state)
{
    (void)state;
    const char *vocab = getenv("FEAVIS_BERT_VOCAB"), *path = getenv("FEAVIS_CHINESE_CLIP_CASES");
    if (!vocab || !path) {
        print_message("skipped: FEAVIS_BERT_VOCAB and FEAVIS_CHINESE_CLIP_CASES name no files\n");
        skip();
    }
    fv_vocab *v;
    fv_yaml *doc;
    MUST(fv_vocab_open(&v, vocab));
    MUST(fv_yaml_open(&doc, path));
    const fv_yaml_node *cases = fv_yaml_find(fv_yaml_root(doc), "cases");
    assert_true(fv_yaml_count(cases) > 0);
    for (int i = 0; i < fv_yaml_count(cases); i++) {
        const char *text = fv_yaml_text(fv_yaml_find(fv_yaml_at(cases, i), "text"));
        const fv_yaml_node *ids = fv_yaml_find(fv_yaml_at(cases, i), "ids");
        fv_tokens t;
        MUST(fv_tokenize_chinese_clip(v, text, fv_yaml_count(ids), &t));
        for (int k = 0; k < t.length; k++)
            if (t.ids[k] != atoi(fv_yaml_text(fv_yaml_at(ids, k))))
                fail_msg("\"%s\": id %d is %d, expected %s", text, k, t.ids[k],
                         fv_yaml_text(fv_yaml_at(ids, k)));
        fv_tokens_free(&t);
    }
    print_message("%d cases\n", fv_yaml_count(cases));
    fv_yaml_free(doc);
    fv_vocab_free(v);
}

static void says_what_was_cut_and_unknown(void **state)
{
    (void)state;
    fv_vocab *v;
    fv_tokens t;
    MUST(fv_vocab_open(&v, source_file("tests/golden/text_vocab.txt")));
    MUST(fv_tokenize(v, "moon lake dream", 4, &t));
    assert_int_equal(t.used, 4);
    assert_int_equal(t.dropped, 1);
    assert_int_equal(t.unknown, 0);
    fv_tokens_free(&t);
    MUST(fv_tokenize(v, "moon zeppelin", 8, &t));
    assert_int_equal(t.dropped, 0);
    assert_int_equal(t.unknown, 1);
    fv_tokens_free(&t);
    fv_vocab_free(v);
}

static void refuses_broken_utf8(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "moon\x80",     "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf8\x88\x80", "\xe6\xa2", "\xff",         "\xf0\x9f\x98",
    };
    fv_vocab *v;
    fv_tokens t;
    MUST(fv_vocab_open(&v, source_file("tests/golden/text_vocab.txt")));
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        FAILS(fv_tokenize(v, broken[i], 8, &t), FV_ERR_ARGUMENT, "UTF-8");
    FAILS(fv_tokenize(v, "moon\x80", 8, &t), FV_ERR_ARGUMENT, "4");
    fv_vocab_free(v);
}

static void refuses_broken_vocabularies(void **state)
{
    (void)state;
    static const char head[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n";
    static const struct {
        const char *tail, *words;
    } broken[] = {
        {"moon\n\xff\xfe\n", "line 6"}, {"moon\r\xed\xa0\x80\r", "line 6"}, /* a surrogate */
    };
    char text[256];
    fv_vocab *v;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        snprintf(text, sizeof text, "%s%s", head, broken[i].tail);
        spill("vocab.txt", text, strlen(text));
        FAILS(fv_vocab_open(&v, "vocab.txt"), FV_ERR_FORMAT, broken[i].words);
    }
    spill("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n", 18);
    FAILS(fv_vocab_open(&v, "vocab.txt"), FV_ERR_FORMAT, "[SEP]");
    FAILS(fv_vocab_open(&v, "nowhere.txt"), FV_ERR_IO, "nowhere.txt");
    /* Windows line ends are no harm */
    static const char windows[] = "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nmoon\r\n";
    spill("vocab.txt", windows, strlen(windows));
    MUST(fv_vocab_open(&v, "vocab.txt"));
    assert_int_equal(fv_vocab_find(v, "moon"), 4);
    fv_vocab_free(v);
}

/* What HuggingFace's load_vocab does: lines are counted, empty ones too, and of equal pieces the
 * last is found. (Its mark in front would be part of the first piece; here it is none.) */
static void vocabularies_are_read_as_by_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int size, moon, lake;
    } cases[] = {
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\nmoon\nlake\n", 6, 4, 5},
        {"\xef\xbb\xbf[PAD]\n[UNK]\n[CLS]\n[SEP]\nmoon\nlake", 6, 4, 5},
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\nmoon\n\n\nlake\n\n", 10, 5, 8},
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\nmoon\nlake\nmoon\n", 7, 6, 5},
        {"[PAD]\r[UNK]\r[CLS]\r[SEP]\r\rmoon\rlake\r", 7, 5, 6},
        {"\xef\xbb\xbf[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n\r\nmoon\r\nlake\r\nlake\r\n", 8, 5, 7},
        /* what ends a line elsewhere is part of a piece here */
        {"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xe2\x80\xa8\n\xc2\x85\nmoon\nlake\n", 8, 6, 7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_vocab *v;
        fv_tokens t;
        spill("vocab.txt", cases[i].text, strlen(cases[i].text));
        MUST(fv_vocab_open(&v, "vocab.txt"));
        assert_int_equal(fv_vocab_size(v), cases[i].size);
        assert_int_equal(fv_vocab_find(v, "[PAD]"), 0);
        assert_int_equal(fv_vocab_find(v, "moon"), cases[i].moon);
        MUST(fv_tokenize(v, "lake  moon", 4, &t));
        const int32_t ids[] = {2, cases[i].lake, cases[i].moon, 3};
        assert_memory_equal(t.ids, ids, sizeof ids);
        assert_int_equal(t.unknown, 0);
        fv_tokens_free(&t);
        fv_vocab_free(v);
    }
}

/* U+0378 is in no Unicode version so far; it stands for what the next one adds. */
static void characters_newer_than_the_tables_are_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int used, unknown;
    } cases[] = {
        {"\xcd\xb8", 3, 1},         {"moon \xcd\xb8", 4, 1},
        {"moon\xcd\xb8", 3, 1},     {"\xcd\xb8 moon \xcd\xb8", 5, 2},
        {"moon\xe2\x80\x8b", 3, 0}, /* a format character */
        {"moon\xef\xbf\xbe", 3, 0}, /* no character, ever */
        {"moon\xef\xb7\x90", 3, 0},
    };
    fv_vocab *v;
    MUST(fv_vocab_open(&v, source_file("tests/golden/text_vocab.txt")));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_tokens t;
        MUST(fv_tokenize(v, cases[i].text, 8, &t));
        assert_int_equal(t.used, cases[i].used);
        assert_int_equal(t.unknown, cases[i].unknown);
        fv_tokens_free(&t);
    }
    fv_vocab_free(v);
}

/* Blank is what gives no token, and nothing else is. */
static void blank_text_is_text_without_a_token(void **state)
{
    (void)state;
    static const char *const blank[] = {
        "",
        " \t\r\n",
        "\xe3\x80\x80",             /* ideographic space */
        "\xe2\x80\x8b\xe2\x80\x8d", /* zero width: space, joiner */
        "\xc2\xa0",
        "\xef\xb8\x8f", /* no-break space, variation selector */
        "\xf3\xa0\x84\x80",
        "\xef\xbb\xbf", /* variation selector 17, byte order mark */
        "\x01\x7f",
        "\xc2\x85", /* control characters */
        "\xcc\x81",
        "\xe2\x80\xa8", /* a mark alone, line separator */
        "\xee\x80\x80",
        "\xef\xbf\xbd", /* private, replacement character */
        "\xe2\x80\xae",
        "\xef\xbf\xbe",     /* right-to-left override, no character */
        "\xf3\xa0\x81\xa7", /* a tag */
    };
    static const char *const full[] = {
        "a",
        ".",
        "\xe3\x80\x82",
        "\xe5\xb1\xb1",
        "\xf0\x9f\x98\x80",
        "\xcd\xb8",
        "[PAD]",
        "\xe3\x80\x80"
        "a",
        "\xe1\x84\x80",
        "\xcc\x81"
        "e",
        "\xc3\xa9",
        "\xed\xa0\x80",
    };
    fv_vocab *v;
    fv_tokens t;
    MUST(fv_vocab_open(&v, source_file("tests/golden/text_vocab.txt")));
    for (size_t i = 0; i < sizeof blank / sizeof blank[0]; i++) {
        if (!fv_text_blank(blank[i])) fail_msg("blank[%zu] is not", i);
        MUST(fv_tokenize(v, blank[i], 8, &t));
        assert_int_equal(t.used, 2);
        fv_tokens_free(&t);
    }
    for (size_t i = 0; i < sizeof full / sizeof full[0]; i++) {
        if (fv_text_blank(full[i])) fail_msg("full[%zu] is blank", i);
        if (fv_tokenize(v, full[i], 8, &t) < 0) continue; /* the surrogate */
        assert_true(t.used > 2);
        fv_tokens_free(&t);
    }
    fv_vocab_free(v);
}

/* Pieces that are all meant for the same 64 of 8192 slots: each would look at all before it. */
static void pieces_chosen_to_collide_are_refused(void **state)
{
    enum { PIECES = 2000, ROOM = 32 * PIECES };
    char *text = malloc(ROOM);
    size_t at = (size_t)sprintf(text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    fv_vocab *v;
    (void)state;
    assert_non_null(text);
    for (int number = 0, found = 0; found < PIECES; number++) {
        char piece[16];
        int n = sprintf(piece, "%d", number);
        uint64_t h = 14695981039346656037u; /* FNV-1a, as in text.c */
        for (int i = 0; i < n; i++) h = (h ^ (unsigned char)piece[i]) * 1099511628211u;
        if (((h ^ h >> 32) & 8191) >= 64) continue;
        at += (size_t)sprintf(text + at, "%s\n", piece);
        found++;
    }
    spill("vocab.txt", text, at);
    FAILS(fv_vocab_open(&v, "vocab.txt"), FV_ERR_FORMAT, "chosen to have one hash");
    remove("vocab.txt");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_chosen_to_collide_are_refused),
        cmocka_unit_test(equals_huggingface),
        cmocka_unit_test(equals_huggingface_with_another_vocabulary),
        cmocka_unit_test(chinese_clip_has_its_own_rules),
        cmocka_unit_test(equals_chinese_clip_with_another_vocabulary),
        cmocka_unit_test(says_what_was_cut_and_unknown),
        cmocka_unit_test(refuses_broken_utf8),
        cmocka_unit_test(refuses_broken_vocabularies),
        cmocka_unit_test(vocabularies_are_read_as_by_the_reference),
        cmocka_unit_test(characters_newer_than_the_tables_are_unknown),
        cmocka_unit_test(blank_text_is_text_without_a_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
