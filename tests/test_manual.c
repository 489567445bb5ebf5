/* feavis completion and feavis man: every option of the table is in each, bash reads its script and
 * completes with it. */
#include <sys/stat.h>

#include "feavis/feavis.h"
#include "tests/check.h"
#include "tests/process.h"

static int begin(void **state)
{
    (void)state;
    remove_tree("work");
    return mkdir("work", 0777) != 0 || chdir("work") != 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return chdir("..");
}

static void holds(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("no \"%s\" in what was printed", words);
}

/* form: "--%s" with the option's name in it, its hyphens written as `hyphen`. */
static void has_every_option(const char *text, const char *form, const char *hyphen)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    assert_true(count > 40);
    for (int i = 0; i < count; i++) {
        char name[80] = "", words[128];
        for (const char *at = table[i].name; *at; at++)
            snprintf(name + strlen(name), sizeof name - strlen(name), "%.*s", *at == '-' ? 2 : 1,
                     *at == '-' ? hyphen : at);
        snprintf(words, sizeof words, form, name);
        holds(text, words);
    }
}

static void every_option_is_completed(void **state)
{
    (void)state;
    char *out = SUCCEEDS("completion", "bash");
    has_every_option(out, "--%s", "-");
    holds(out, " gather"); /* a command, and flags of the command line's own */
    holds(out, "--shard");
    free(out);
    out = SUCCEEDS("completion", "zsh");
    has_every_option(out, "\n        %s '", "-");
    free(out);
    out = SUCCEEDS("completion", "fish");
    has_every_option(out, "' -l %s", "-");
    free(out);
    REFUSED("one of bash zsh fish", "completion", "tcsh");
    REFUSED("one of bash zsh fish", "completion");
}

static void every_option_is_in_the_manual(void **state)
{
    (void)state;
    char *out = SUCCEEDS("man");
    has_every_option(out, ".B \\-\\-%s", "\\-");
    holds(out, ".TP\n.B imagine\n");
    holds(out, ".TP\n.B \\-\\-shard \\fII/N\\fR\n");
    free(out);
    REFUSED("man takes no --steps", "man", "--steps", "3");
}

/* What bash offers for these words. */
static void completes(const char *words, const char *expected)
{
    char command[512], answer[4096];
    snprintf(command, sizeof command,
             "bash -c '. ./script; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _feavis; "
             "echo \"${COMPREPLY[*]}\"'",
             words);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(answer, 1, sizeof answer - 1, f);
    answer[n] = 0;
    assert_int_equal(pclose(f), 0);
    if (strcmp(answer, expected) != 0) fail_msg("%s: offered \"%s\"", words, answer);
}

static void bash_completes(void **state)
{
    (void)state;
    char *out = SUCCEEDS("completion", "bash");
    spill("script", out, strlen(out));
    free(out);
    completes("feavis imag", "imagine\n");
    completes("feavis imagine --par", "--param\n");
    completes("feavis imagine --param m", "multires maco\n");
    completes("feavis imagine --colour \"\"", "yes no\n");
    completes("feavis search --ex", "--export\n");
    completes("feavis imagine --ex", "\n"); /* it has no use for it */
    completes("feavis completion z", "zsh\n");
}

/* Flags of a page, nine of ten with help in Chinese: letters past ASCII behind the name. */
static int flags_in_chinese(const char *page)
{
    int flags = 0, spoken = 0;
    for (const char *at = page; (at = strstr(at, "\n  --")); flags++) {
        const char *end = strchr(++at, '\n');
        bool chinese = false;
        for (const char *c = at; c < end; c++) chinese = chinese || (*c & 0x80);
        spoken += chinese;
        at = end - 1;
    }
    if (10 * spoken < 9 * flags) fail_msg("%d of %d flags in %s", spoken, flags, page);
    return flags;
}

/* A page a command, also behind --help: how it is called, an example, what it has a use for. */
static void every_command_has_a_page(void **state)
{
    (void)state;
    int commands = 0;
    char *fish = SUCCEEDS("completion", "fish");
    for (const char *at = fish; (at = strstr(at, "__fish_use_subcommand -f -a ")); commands++) {
        char name[32], words[64], other[64];
        at += strlen("__fish_use_subcommand -f -a ");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, " "), at);
        snprintf(words, sizeof words, "feavis %s", name);
        snprintf(other, sizeof other, "\n  feavis %s", name);
        setenv("LC_ALL", "C", 1);
        char *page = SUCCEEDS("help", name), *same = SUCCEEDS(name, "--help");
        assert_string_equal(page, same);
        holds(page, words);
        if (strcmp(name, "window") != 0) holds(page, other);
        holds(page, "\nFlags\n");
        setenv("LC_ALL", "zh_CN.UTF-8", 1);
        char *chinese = SUCCEEDS("help", name);
        holds(chinese, "\n选项\n");
        snprintf(other, sizeof other, "\nfeavis %s", name); /* behind a topic of that name */
        char *line = strstr(chinese, other);
        line = strstr(line ? line : chinese, ": ");
        if (!line || !(line[2] & 0x80)) fail_msg("%s in English: %.60s", name, chinese);
        assert_true(flags_in_chinese(chinese) >= 1);
        unsetenv("LC_ALL");
        free(page);
        free(same);
        free(chinese);
    }
    assert_true(commands >= 28);
    free(fish);
    char *page = SUCCEEDS("help", "imagine");
    holds(page, "\n  --steps N                steps of ascent [200]\n");
    holds(page, "\n  --paper VALUE            what it is painted on, the colour of its white (none "
                "rice silk) [none]\n");
    if (strstr(page, "--carry")) fail_msg("imagine has no use for --carry");
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_option_is_completed, begin, end),
        cmocka_unit_test_setup_teardown(every_option_is_in_the_manual, begin, end),
        cmocka_unit_test_setup_teardown(bash_completes, begin, end),
        cmocka_unit_test_setup_teardown(every_command_has_a_page, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
