/* Which level of kernels this processor gets. */
#include <string.h>

#include "kernels/cpu/cpu.h"

typedef struct level {
    const char *name;
    void (*open)(fv_backend *be);
} level;

#if defined(__x86_64__)
void fv_cpu_v2_open(fv_backend *be);
void fv_cpu_v3_open(fv_backend *be);
void fv_cpu_v4_open(fv_backend *be);
static const level levels[] = {
    {"cpu-v2", fv_cpu_v2_open}, {"cpu-v3", fv_cpu_v3_open}, {"cpu-v4", fv_cpu_v4_open}};

static int best_level(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    return v4 ? 2 : 1;
}
#else
void fv_cpu_base_open(fv_backend *be);
static const level levels[] = {{"cpu-base", fv_cpu_base_open}};

static int best_level(void)
{
    return 0;
}
#endif

fv_status fv_cpu_open(fv_backend *be, const char *name, int threads)
{
    int best = best_level(), chosen = best;
    int count = (int)(sizeof levels / sizeof *levels);
    if (strcmp(name, "cpu") != 0)
        for (chosen = 0; chosen < count && strcmp(levels[chosen].name, name) != 0;) chosen++;
    if (chosen == count)
        return fv_fail(FV_ERR_ARGUMENT, "backend '%s' is not one of this machine's", name);
    if (chosen > best)
        return fv_fail(FV_ERR_UNSUPPORTED, "backend '%s' needs a newer processor; this one has %s",
                       name, levels[best].name);
    levels[chosen].open(be);
    /* "cpu" stays "cpu": a recipe has to run on the next machine too */
    be->name = strcmp(name, "cpu") == 0 ? "cpu" : levels[chosen].name;
    be->close = fv_cpu_pool_close;
    return fv_cpu_pool_open(be, threads);
}
