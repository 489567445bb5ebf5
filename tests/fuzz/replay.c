/* Runs every kept input through its target: `replay FOLDER...` where FOLDER/NAME holds those of
 * target NAME. No clang and no fuzzer needed; a crash, a leak (under AddressSanitizer), a broken
 * promise or a missing folder fails. Mutators are run on them as well, with a simple stand-in for
 * libFuzzer's, so that inputs near the kept ones are tried too. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

enum { SECONDS = 10 /* one input: far over any honest time, under any patience */, CHANGES = 8 };

#define DECLARE(name)                                                                              \
    int fuzz_##name(const uint8_t *data, size_t size);                                             \
    size_t mutate_##name(uint8_t *data, size_t size, size_t most, unsigned seed)                   \
        __attribute__((weak));
FUZZ_TARGETS(DECLARE)

#define ROW(name) {#name, fuzz_##name, mutate_##name},
static const struct target {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
    size_t (*mutate)(uint8_t *data, size_t size, size_t most, unsigned seed);
} targets[] = {FUZZ_TARGETS(ROW)};
enum { TARGETS = sizeof targets / sizeof targets[0] };

static char now[512]; /* what is being run, for a signal */

static void too_slow(int signal)
{
    (void)signal;
    static const char text[] = ": took too long\n";
    if (write(2, now, strlen(now)) < 0 || write(2, text, sizeof text - 1) < 0) _exit(2);
    _exit(1);
}

static unsigned state = 1;

/* A byte changed, a few removed or a few doubled. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
    if (size == 0) return 0;
    size_t at = fuzz_random(&state, (uint32_t)size), n = fuzz_random(&state, 8) + 1;
    switch (fuzz_random(&state, 4)) {
    case 0:
        if (n > size - at || size == n) break;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 1:
        if (n > size - at || size + n > most) break;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    default:
        data[at] ^= (uint8_t)(1u << fuzz_random(&state, 8));
    }
    return size;
}

static void run(const struct target *t, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* just as large: the sanitizer sees a byte too far */
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    alarm(SECONDS);
    t->run(copy, size);
    alarm(0);
    free(copy);
}

static void run_file(const struct target *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    static uint8_t data[1 << 20], changed[1 << 20];
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    snprintf(now, sizeof now, "%s", path);
    run(t, data, size);
    for (unsigned i = 0; t->mutate && i < CHANGES; i++) {
        memcpy(changed, data, size);
        size_t n = t->mutate(changed, size, size + 256, i);
        FUZZ_CHECK(n <= size + 256);
        run(t, changed, n);
    }
}

/* The number of files run. */
static int run_folder(const struct target *t, const char *folder)
{
    char path[480];
    snprintf(path, sizeof path, "%s/%s", folder, t->name);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), files = 0;
    for (int i = 0; i < count; i++) {
        char file[512];
        if (entries[i]->d_name[0] != '.' &&
            snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name) < (int)sizeof file) {
            run_file(t, file);
            files++;
        }
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return files;
}

int main(int argc, char **argv)
{
    signal(SIGALRM, too_slow);
    for (int i = 0; i < TARGETS; i++) {
        int files = 0;
        for (int k = 1; k < argc; k++) files += run_folder(&targets[i], argv[k]);
        printf("%-12s %4d files\n", targets[i].name, files);
        fflush(stdout);
        if (files) continue;
        fprintf(stderr, "no input for %s\n", targets[i].name);
        return 1;
    }
    return 0;
}
