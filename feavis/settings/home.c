/* The folder that presets and the shipped model are in: as it is set, as $FEAVIS_HOME says, or
 * found from where the library lies, libfeavis.so or the program that it is linked into. */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/preset.h"

enum { LEVELS = 5 }; /* of folders above */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char chosen[PATH_MAX]; /* under the mutex; "": none */

static bool has_home(const char *folder)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/model/mini/mini.yml", folder);
    return n > 0 && n < (int)sizeof path && access(path, R_OK) == 0;
}

/* Looks beside and above a file: in a build tree the source folder is some levels up. */
static bool find_above(char file[PATH_MAX], char out[PATH_MAX])
{
    for (int level = 0; level < LEVELS; level++) {
        char *slash = strrchr(file, '/');
        if (!slash) return false;
        *slash = 0;
        snprintf(out, PATH_MAX, "%s", *file ? file : "/");
        if (has_home(out)) return true;
        int n = snprintf(out, PATH_MAX, "%s/share/feavis", file);
        if (n > 0 && n < PATH_MAX && has_home(out)) return true;
    }
    return false;
}

/* The shared library that this is part of; false: it is part of the program. */
static bool library(char out[PATH_MAX])
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(chosen, &info, (void **)&map, RTLD_DL_LINKMAP) || !map || !*map->l_name)
        return false;
    return realpath(map->l_name, out) != NULL;
}

static bool program(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n > 0) out[n] = 0;
    return n > 0;
}

fv_status fv_set_home(const char *folder)
{
    const char *to = folder ? folder : "";
    if (strlen(to) >= sizeof chosen)
        return fv_fail(FV_ERR_ARGUMENT, "home: the path %.80s... is too long", to);
    if (*to && !has_home(to)) return fv_fail(FV_ERR_IO, "home: %s has no model/mini/mini.yml", to);
    pthread_mutex_lock(&mutex);
    strcpy(chosen, to);
    pthread_mutex_unlock(&mutex);
    return FV_OK;
}

const char *fv_home(void)
{
    static _Thread_local char home[PATH_MAX];
    char file[PATH_MAX];
    pthread_mutex_lock(&mutex);
    strcpy(home, chosen);
    pthread_mutex_unlock(&mutex);
    if (*home) return home;
    const char *named = getenv("FEAVIS_HOME");
    if (named && *named) return named;
    if (library(file) && find_above(file, home)) return home;
    return program(file) && find_above(file, home) ? home : NULL;
}
