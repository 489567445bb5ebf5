/* See places.h. */
#include "app/cli/places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The path with links resolved; of a file that is not there yet, that of its folder and its name.
 * Caller frees; NULL: there is no such folder. */
static char *whole_path(const char *path)
{
    char *whole = realpath(path, NULL), *folder, *real, *joined = NULL;
    if (whole) return whole;
    const char *slash = strrchr(path, '/');
    if (asprintf(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") < 0)
        return NULL;
    real = realpath(folder, NULL);
    if (real && asprintf(&joined, "%s/%s", real, slash ? slash + 1 : path) < 0) joined = NULL;
    free(real);
    free(folder);
    return joined;
}

fv_status place_check(const char *path, const char *folder_hint)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return fv_fail(FV_ERR_IO, "saving to %s: it is a folder%s", path, folder_hint);
    char *whole = whole_path(path), *slash = whole ? strrchr(whole, '/') : NULL;
    if (slash && (!exists || S_ISREG(st.st_mode))) slash[slash == whole] = 0;
    fv_status s = whole && access(whole, W_OK) == 0
                      ? FV_OK
                      : fv_fail(FV_ERR_IO, "saving to %s: %s", path, strerror(errno));
    free(whole);
    return s;
}

fv_status place_apart(const char *a, const char *what_a, const char *b, const char *what_b)
{
    char *x = *a ? whole_path(a) : NULL, *y = b && *b ? whole_path(b) : NULL;
    bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same ? fv_fail(FV_ERR_ARGUMENT, "%s and %s are the same file, %s", what_a, what_b, a)
                : FV_OK;
}
