/* kill_when FOLDER CHANGE MILLISECONDS PROGRAM...: runs the program and kills it, as kill -9 does,
 * so many milliseconds after the folder's contents have changed for the CHANGEth time. A change is
 * a name that comes or goes: a temporary file, the rename that puts it in place.
 *
 * Exits 137 if the program was killed, else as the program did. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

/* Changes that one read brings. */
static int count_changes(int fd)
{
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof buffer);
    int count = 0;
    for (ssize_t at = 0; at < n; count++) {
        const struct inotify_event *e = (const void *)(buffer + at);
        at += (ssize_t)(sizeof *e + e->len);
    }
    return count;
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    int status, seen = 0;
    if (argc < 5) {
        fprintf(stderr, "kill_when FOLDER CHANGE MILLISECONDS PROGRAM...\n");
        return 2;
    }
    int wanted = atoi(argv[2]), fd = inotify_init1(IN_CLOEXEC);
    if (fd < 0 ||
        inotify_add_watch(fd, argv[1], IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM) < 0) {
        fprintf(stderr, "kill_when: watching %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[4], argv + 4);
        fprintf(stderr, "kill_when: starting %s: %s\n", argv[4], strerror(errno));
        _exit(127);
    }
    while (seen < wanted) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 200) > 0) seen += count_changes(fd);
        if (seen < wanted && waitpid(child, &status, WNOHANG) == child) return exit_status(status);
    }
    sleep_ms(atol(argv[3]));
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child) return 2;
    return exit_status(status);
}
