/* The gallery looked at: what is in it, and removing with a way back. See feavis.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feavis/album.h"
#include "feavis/lists.h"
#include "feavis/picture.h"
#include "feavis/recipe.h"
#include "model/files/files.h"

static const char removed_folder[] = ".removed";

static int newest_first(const void *a, const void *b)
{
    const fv_saved *x = a, *y = b;
    if (x->nanoseconds != y->nanoseconds) return x->nanoseconds < y->nanoseconds ? 1 : -1;
    return strcmp(x->path, y->path);
}

static bool is_picture(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > 4 && strcmp(name + n - 4, ".png") == 0;
}

/* NULL: no memory. */
static char *text_of(const char *recipe, const char *path)
{
    fv_list names = {0}, values = {0};
    if (fv_recipe_list(&names, &values, recipe, path) < 0) return strdup(""); /* damaged */
    char *text = strdup(fv_recipe_value(&names, &values, "text"));
    fv_list_clear(&names);
    fv_list_clear(&values);
    return text;
}

/* Files that hold no recipe are no pictures of ours and are left out. */
static fv_status read_one(fv_saved *out, const char *folder, const char *name, bool *ours)
{
    struct stat st;
    fv_saved p = {0};
    *ours = false;
    if (asprintf(&p.path, "%s/%s", folder, name) < 0)
        return fv_fail(FV_ERR_MEMORY, "reading the gallery: out of memory");
    if (stat(p.path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
        fv_recipe_read(&p.recipe, p.path) < 0) {
        free(p.path);
        return FV_OK;
    }
    p.text = text_of(p.recipe, p.path);
    if (!p.text) {
        free(p.path);
        free(p.recipe);
        return fv_fail(FV_ERR_MEMORY, "reading the gallery: out of memory");
    }
    p.name = p.path + strlen(folder) + 1;
    p.nanoseconds = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    *out = p;
    *ours = true;
    return FV_OK;
}

fv_status fv_gallery_list(fv_saved **out, int *count, const char *folder)
{
    DIR *d = opendir(folder);
    if (!d && errno == ENOENT) {
        *out = NULL;
        *count = 0;
        return FV_OK;
    }
    if (!d) return fv_fail(FV_ERR_IO, "reading the gallery %s: %s", folder, strerror(errno));
    fv_saved *list = NULL;
    int n = 0;
    fv_status s = FV_OK;
    for (struct dirent *e; s >= 0 && (e = readdir(d));) {
        bool ours = false;
        if (!is_picture(e->d_name)) continue;
        fv_saved *more = realloc(list, ((size_t)n + 1) * sizeof *list);
        if (more) list = more;
        s = more ? read_one(&list[n], folder, e->d_name, &ours)
                 : fv_fail(FV_ERR_MEMORY, "reading the gallery: out of memory");
        if (s >= 0 && ours) n++;
    }
    closedir(d);
    if (s < 0) {
        fv_gallery_list_free(list, n);
        return s;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, newest_first);
    *out = list;
    *count = n;
    return FV_OK;
}

void fv_gallery_list_free(fv_saved *list, int count)
{
    for (int i = 0; i < count; i++) {
        free(list[i].path);
        free(list[i].recipe);
        free(list[i].text);
    }
    free(list);
}

/* The first free name of to, to-2, ... before ".png". */
static fv_status move_to_free(const char *from, const char *to, char **out)
{
    size_t stem = strlen(to) - 4;
    for (int copy = 1; copy < 100000; copy++) {
        char *name, number[16] = "";
        if (copy > 1) snprintf(number, sizeof number, "-%d", copy);
        if (asprintf(&name, "%.*s%s.png", (int)stem, to, number) < 0)
            return fv_fail(FV_ERR_MEMORY, "moving %s: out of memory", from);
        bool taken;
        fv_status s = fv_file_move_new(from, name, &taken);
        if (s >= 0 && !taken) {
            *out = name;
            return FV_OK;
        }
        free(name);
        if (s < 0) return s;
    }
    return fv_fail(FV_ERR_IO, "moving %s: no free name", from);
}

fv_status fv_gallery_remove(const char *path, char **undo)
{
    const char *slash = strrchr(path, '/');
    char *folder, *target;
    if (!slash || !is_picture(slash + 1))
        return fv_fail(FV_ERR_ARGUMENT, "%s is not a picture of a gallery", path);
    if (asprintf(&folder, "%.*s/%s", (int)(slash - path), path, removed_folder) < 0)
        return fv_fail(FV_ERR_MEMORY, "removing %s: out of memory", path);
    fv_status s = fv_file_make_folder(folder);
    int n = s >= 0 ? asprintf(&target, "%s%s", folder, slash) : 0;
    free(folder);
    if (s < 0) return s;
    if (n < 0) return fv_fail(FV_ERR_MEMORY, "removing %s: out of memory", path);
    s = move_to_free(path, target, undo);
    free(target);
    return s;
}

fv_status fv_gallery_restore(const char *undo, char **path)
{
    const char *name = strrchr(undo, '/');
    size_t folder = name ? (size_t)(name - undo) : 0, mark = sizeof removed_folder - 1;
    char *target;
    if (folder <= mark || undo[folder - mark - 1] != '/' ||
        strncmp(undo + folder - mark, removed_folder, mark) != 0)
        return fv_fail(FV_ERR_ARGUMENT, "%s is not a removed picture", undo);
    if (asprintf(&target, "%.*s%s", (int)(folder - mark - 1), undo, name) < 0)
        return fv_fail(FV_ERR_MEMORY, "restoring %s: out of memory", undo);
    fv_status s = move_to_free(undo, target, path);
    free(target);
    return s;
}
