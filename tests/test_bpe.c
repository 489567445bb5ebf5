/* CLIP's tokeniser against OpenAI's, and lists of merges that are broken.
 *
 * golden/clip/bpe_cases.yml: texts, the words that they are cut into, and their ids (make_bpe.py),
 * with the merges that ship. FEAVIS_CLIP_VOCAB: another file of the same, OpenAI's own. */
#include "model/text/bpe.h"

#include <time.h>
#include <utf8proc.h>

#include "model/files/yaml.h"
#include "model/text/clip_clean.h"
#include "tests/check.h"

typedef void (*each_case)(const fv_yaml_node *c, const char *text, void *user);

static void for_each_case(each_case f, void *user)
{
    fv_yaml *doc;
    MUST(fv_yaml_open(&doc, source_file("tests/golden/clip/bpe_cases.yml")));
    const fv_yaml_node *cases = fv_yaml_root(doc);
    assert_int_equal(fv_yaml_count(cases), 243);
    for (int i = 0; i < fv_yaml_count(cases); i++) {
        const fv_yaml_node *c = fv_yaml_at(cases, i);
        f(c, fv_yaml_text(fv_yaml_find(c, "text")), user);
    }
    fv_yaml_free(doc);
}

/* The word as UTF-8; static. */
static const char *word_text(const fv_letters *t, size_t begin, size_t end)
{
    static char out[8192];
    size_t n = 0;
    for (size_t i = begin; i < end; i++)
        n += (size_t)utf8proc_encode_char(t->at[i], (utf8proc_uint8_t *)out + n);
    out[n] = 0;
    return out;
}

static void check_words(const fv_yaml_node *c, const char *text, void *user)
{
    (void)user;
    const fv_yaml_node *words = fv_yaml_find(c, "words");
    fv_letters t;
    fv_clip_special special;
    int count = 0;
    MUST(fv_clip_clean(text, &t));
    for (size_t begin, end = 0; fv_clip_word(&t, &begin, &end, &special); count++) {
        const char *word = word_text(&t, begin, end);
        const char *expected =
            count < fv_yaml_count(words) ? fv_yaml_text(fv_yaml_at(words, count)) : "no more";
        if (strcmp(word, expected) != 0)
            fail_msg("\"%s\": word %d is \"%s\", expected \"%s\"", text, count, word, expected);
        assert_int_equal(special != FV_CLIP_WORD, strstr(word, "oftext|>") != NULL);
    }
    if (count != fv_yaml_count(words))
        fail_msg("\"%s\": %d words, expected %d", text, count, fv_yaml_count(words));
    fv_letters_free(&t);
}

static void cleans_and_cuts_as_openai_does(void **state)
{
    (void)state;
    for_each_case(check_words, NULL);
}

static void check_ids(const fv_yaml_node *c, const char *text, void *user)
{
    enum { LONG = 1024 };
    const fv_yaml_node *ids = fv_yaml_find(c, "ids");
    int count = fv_yaml_count(ids), lengths[2] = {77, LONG};
    for (int k = 0; k < 2; k++) {
        fv_tokens t;
        int room = lengths[k] - 2, fits = count < room ? count : room;
        MUST(fv_bpe_tokenize(user, text, lengths[k], &t));
        assert_int_equal(t.length, lengths[k]);
        assert_int_equal(t.used, fits + 2);
        assert_int_equal(t.dropped, count - fits);
        assert_int_equal(t.ids[0], 49406);
        assert_int_equal(t.ids[fits + 1], 49407);
        for (int i = 0; i < fits; i++)
            if (t.ids[i + 1] != atoi(fv_yaml_text(fv_yaml_at(ids, i))))
                fail_msg("\"%s\": id %d is %d, expected %s", text, i, t.ids[i + 1],
                         fv_yaml_text(fv_yaml_at(ids, i)));
        for (int i = t.used; i < t.length; i++) assert_int_equal(t.ids[i], 0);
        fv_tokens_free(&t);
    }
}

static void ids_are_those_of_openai(void **state)
{
    (void)state;
    const char *path = getenv("FEAVIS_CLIP_VOCAB");
    fv_bpe *v, *shipped;
    MUST(fv_bpe_open(&shipped, source_file("model/text/clip/merges.txt.gz"), 49408));
    MUST(fv_bpe_open(&v, path ? path : source_file("model/text/clip/merges.txt.gz"), 0));
    assert_int_equal(fv_bpe_size(v), 49408);
    assert_true(fv_bpe_hash(v) == fv_bpe_hash(shipped));
    for_each_case(check_ids, v);
    fv_bpe_free(v);
    fv_bpe_free(shipped);
}

/* One vocabulary, whatever its first line, line ends and what stands behind its last merge; with
 * two merges the other way round it is another. */
static void the_hash_is_of_the_merges(void **state)
{
    (void)state;
    static const char *const texts[] = {"version\na b\nc d\nab c\n",
                                        "another\r\na b\r\nc d\r\nab c\r\ne f\r\n",
                                        "version\nc d\na b\nab c\n"};
    uint64_t hashes[3];
    for (int i = 0; i < 3; i++) {
        fv_bpe *v;
        spill("merges.txt", texts[i], strlen(texts[i]));
        MUST(fv_bpe_open(&v, "merges.txt", 517));
        hashes[i] = fv_bpe_hash(v);
        fv_bpe_free(v);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] != hashes[2]);
}

static void expect_ids(const fv_bpe *v, const char *text, int length, const int *ids, int count)
{
    fv_tokens t;
    MUST(fv_bpe_tokenize(v, text, length, &t));
    assert_int_equal(t.used, count);
    for (int i = 0; i < count; i++)
        if (t.ids[i] != ids[i])
            fail_msg("\"%s\": id %d is %d, expected %d", text, i, t.ids[i], ids[i]);
    fv_tokens_free(&t);
}

/* Thirty merges: "i n", "t h", "a n", "r e", "a r", "e r", "th e</w>", "in g</w>", ... */
static void merges_join_pairs_in_their_order(void **state)
{
    (void)state;
    enum { START = 542, END = 543 };
    fv_bpe *v;
    MUST(fv_bpe_open(&v, source_file("tests/golden/clip/bpe_tiny.txt"), 544));
    assert_int_equal(fv_bpe_size(v), 544);
    expect_ids(v, "", 77, (int[]){START, END}, 2);
    expect_ids(v, "!", 77, (int[]){START, 256, END}, 3);
    expect_ids(v, "The", 77, (int[]){START, 518, END}, 3);                     /* th e</w> */
    expect_ids(v, "an", 77, (int[]){START, 'a' - 33, 'n' - 33 + 256, END}, 4); /* not "a n</w>" */
    expect_ids(v, "thing", 77, (int[]){START, 513, 519, END}, 4);              /* th, in g</w> */
    expect_ids(v, "<|endoftext|>", 77, (int[]){START, END, END}, 3);
    expect_ids(v, "the the the", 4, (int[]){START, 518, 518, END}, 4);
    fv_bpe_free(v);
}

/* a a -> aa before aa aa: the pairs of one merge from left to right, all of them before the next.
 */
static void overlapping_pairs_join_from_the_left(void **state)
{
    (void)state;
    static const char merges[] = "head\na a\naa a\nb a\naa a</w>\naaa aa\n";
    int a = 'a' - 33;
    fv_bpe *v;
    spill("overlap.txt", merges, sizeof merges - 1);
    MUST(fv_bpe_open(&v, "overlap.txt", 0));
    assert_int_equal(fv_bpe_size(v), 519);
    expect_ids(v, "aaab", 9, (int[]){517, 513, 'b' - 33 + 256, 518}, 4);
    expect_ids(v, "aaaaab", 9, (int[]){517, 512, 513, 'b' - 33 + 256, 518}, 5);
    expect_ids(v, "aaa", 9, (int[]){517, 515, 518}, 3);
    expect_ids(v, "baa", 9, (int[]){517, 514, a + 256, 518}, 4);
    fv_bpe_free(v);
}

static void refuses_broken_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        int size;
    } broken[] = {
        {"head\na b\nab  c\n", "line 3", 0},
        {"head\na b\nabc\n", "line 3", 0},
        {"head\na b\nx ab \n", "line 3", 0},
        {"head\n\na b\n", "line 2", 0},
        {"head\na b\nxy c\n", "line 3", 0},
        {"head\na b\nc xy\n", "right half", 0},
        {"head\n", "0 merges", 0},
        {"head", "0 merges", 0},
        {"head\na b\n", "needs 5", 519},
        {"head\na b\n", "514", 400},
        {"\x1f\x8b\x08", "damaged or cut short", 0},
    };
    fv_bpe *v;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        spill("broken.txt", broken[i].text, strlen(broken[i].text));
        FAILS(fv_bpe_open(&v, "broken.txt", broken[i].size),
              broken[i].size == 400 ? FV_ERR_ARGUMENT : FV_ERR_FORMAT, broken[i].words);
    }
    FAILS(fv_bpe_open(&v, "not_there.txt", 0), FV_ERR_IO, "not_there.txt");
}

static void refuses_broken_utf8(void **state)
{
    (void)state;
    fv_bpe *v;
    fv_tokens t;
    MUST(fv_bpe_open(&v, source_file("tests/golden/clip/bpe_tiny.txt"), 0));
    FAILS(fv_bpe_tokenize(v, "moon\x80", 8, &t), FV_ERR_ARGUMENT, "byte 4");
    FAILS(fv_bpe_tokenize(v, "moon", 1, &t), FV_ERR_ARGUMENT, "2 or more");
    fv_bpe_free(v);
}

/* Texts made to cost much: one word, entities in entities, marks out of order, sigmas. */
static void work_has_an_end(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "th", "amp;", "&am&#112;;", "\xcd\x85\xcc\x80", "\xce\xa3'", "&lt", "\x1b[1", "'", "<|"};
    enum { BYTES = 1 << 17 };
    fv_bpe *v;
    char *text = malloc(BYTES + 1);
    assert_non_null(text);
    MUST(fv_bpe_open(&v, source_file("tests/golden/clip/bpe_tiny.txt"), 0));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]), at = 1;
        fv_tokens t;
        *text = '&';
        for (; at + n <= BYTES; at += n) memcpy(text + at, parts[i], n);
        text[at] = 0;
        clock_t begin = clock();
        MUST(fv_bpe_tokenize(v, text, 77, &t));
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (seconds > 20) fail_msg("\"%s\" again and again took %.1f s", parts[i], seconds);
        fv_tokens_free(&t);
    }
    fv_bpe_free(v);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans_and_cuts_as_openai_does),
        cmocka_unit_test(ids_are_those_of_openai),
        cmocka_unit_test(the_hash_is_of_the_merges),
        cmocka_unit_test(merges_join_pairs_in_their_order),
        cmocka_unit_test(overlapping_pairs_join_from_the_left),
        cmocka_unit_test(refuses_broken_lists),
        cmocka_unit_test(refuses_broken_utf8),
        cmocka_unit_test(work_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
