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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_option_is_completed, begin, end),
        cmocka_unit_test_setup_teardown(every_option_is_in_the_manual, begin, end),
        cmocka_unit_test_setup_teardown(bash_completes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
