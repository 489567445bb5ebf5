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

/* The folder of the path, "." without one; in place. */
static const char *parent_of(char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') path[--n] = 0;
    char *slash = strrchr(path, '/');
    if (!slash) return ".";
    slash[slash == path] = 0;
    return path;
}

fv_status place_check_folder(const char *asked)
{
    struct stat st;
    const char *where = asked;
    char *path = strdup(asked);
    if (!path) return fv_fail(FV_ERR_MEMORY, "making a folder: out of memory");
    bool there = *asked && stat(asked, &st) == 0;
    if (!there) where = parent_of(path);
    fv_status s = there && !S_ISDIR(st.st_mode)
                      ? fv_fail(FV_ERR_IO, "saving to %s: it is a file, expected a folder", asked)
                  : access(where, W_OK) == 0 ? FV_OK
                  : there ? fv_fail(FV_ERR_IO, "saving to %s: %s", asked, strerror(errno))
                          : fv_fail(FV_ERR_IO, "making the folder %s: %s",
                                    *asked ? asked : "for results", strerror(errno));
    free(path);
    return s;
}

bool place_same(const char *a, const char *b)
{
    struct stat at, bt;
    bool is_a = stat(a, &at) == 0, is_b = stat(b, &bt) == 0;
    if (is_a && is_b)
        return at.st_dev == bt.st_dev && at.st_ino == bt.st_ino && !S_ISCHR(at.st_mode);
    if (is_a || is_b) return false;
    char *x = whole_path(a), *y = whole_path(b);
    bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

fv_status place_apart(const char *a, const char *what_a, const char *b, const char *what_b)
{
    if (!a || !b || !*a || !*b || !place_same(a, b)) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s and %s are the same file, %s", what_a, what_b, a);
}

fv_status place_apart_inside(const char *folder, const char *const *names, const char *path,
                             const char *what)
{
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && *folder && names[i]; i++) {
        char *file;
        if (asprintf(&file, "%s/%s", folder, names[i]) < 0)
            return fv_fail(FV_ERR_MEMORY, "naming files: out of memory");
        s = place_apart(file, "a file to write", path, what);
        free(file);
    }
    return s;
}
