/* Running the program in a test: FEAVIS_PROGRAM names it. Standard input, output and error are
 * files, so nothing waits for anything; the test's folder is the program's. */
#ifndef FV_TESTS_PROCESS_H
#define FV_TESTS_PROCESS_H

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

enum { MAX_ARGUMENTS = 32 };

/* What a run left: the exit status (128 + number of the signal that ended it), stdout, stderr. */
typedef struct process {
    int status;
    char *out, *err;
} process;

static inline void process_free(process *p)
{
    free(p->out);
    free(p->err);
    *p = (process){0};
}

static inline void use_file(const char *path, int flags, int as)
{
    int fd = open(path, flags, 0666);
    if (fd < 0 || dup2(fd, as) < 0) _exit(126);
    close(fd);
}

/* Starts the program with these arguments. input NULL: nothing on standard input. bytes > 0: no
 * file may become longer than that, which is what a full disk looks like. */
static inline pid_t process_start(const char *const *arguments, const char *input, size_t size,
                                  rlim_t bytes)
{
    const char *program = getenv("FEAVIS_PROGRAM");
    char *argv[MAX_ARGUMENTS + 2] = {(char *)(uintptr_t)program};
    assert_non_null(program);
    for (int i = 0; arguments[i]; i++) {
        assert_true(i < MAX_ARGUMENTS);
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    if (input) spill("stdin", input, size);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    use_file(input ? "stdin" : "/dev/null", O_RDONLY, STDIN_FILENO);
    use_file("stdout", O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    use_file("stderr", O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    if (bytes) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, bytes});
    }
    execv(program, argv);
    _exit(127);
}

static inline process process_wait(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return (process){WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                     slurp("stdout", NULL), slurp("stderr", NULL)};
}

/* run("imagine", "moon"): the program from begin to end. */
#define run(...) process_wait(process_start((const char *const[]){__VA_ARGS__, NULL}, NULL, 0, 0))
#define run_with_input(input, size, ...)                                                           \
    process_wait(process_start((const char *const[]){__VA_ARGS__, NULL}, input, size, 0))

/* The run has to end with 0; its stdout is the value, which the caller frees. */
static inline char *succeeded(process p, const char *what)
{
    if (p.status != 0) fail_msg("%s: status %d, said \"%s\"", what, p.status, p.err);
    free(p.err);
    return p.out;
}

/* The run has to end with a status other than 0 and one line on stderr, "feavis: ...", that
 * holds these words. */
static inline void refused(process p, const char *words, const char *what)
{
    const char *end = strchr(p.err, '\n');
    if (p.status == 0 || p.status >= 126) fail_msg("%s: status %d: %s", what, p.status, p.err);
    if (strncmp(p.err, "feavis: ", 8) != 0 || !end || end[1])
        fail_msg("%s: expected one line \"feavis: ...\", found \"%s\"", what, p.err);
    if (!strstr(p.err, words)) fail_msg("%s: said \"%s\", not \"%s\"", what, p.err, words);
    process_free(&p);
}

#define SUCCEEDS(...)         succeeded(run(__VA_ARGS__), #__VA_ARGS__)
#define SUCCEEDS_QUIETLY(...) free(SUCCEEDS(__VA_ARGS__))
#define REFUSED(words, ...)   refused(run(__VA_ARGS__), words, #__VA_ARGS__)

/* A setup: an empty folder "work" to be in, with toy.yml, a preset of the toy BriVL of
 * tests/golden/towers/lite0 and of these lines. */
static inline int enter_toy_work(const char *lines)
{
    char preset[4096];
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    remove_tree("work");
    if (mkdir("work", 0777) != 0 || chdir("work") != 0) return -1;
    int n = snprintf(preset, sizeof preset,
                     "title: toy\nconfig: %s\ncheckpoint: %s/lite0.pth\nvocab: %s\n%s",
                     source_file("tests/golden/towers/lite0/cfg.yml"), unpacked ? unpacked : ".",
                     source_file("tests/golden/text_vocab.txt"), lines);
    spill("toy.yml", preset, (size_t)n);
    return 0;
}

static inline int leave_toy_work(void **state)
{
    (void)state;
    return chdir("..");
}

#endif
