/* Lists of pictures: a folder with its subfolders, or a list file. See lists.h.
 *
 * Each folder of the disk is read once: the subfolders first, then those that links lead to, if
 * they have not come by. So a link to a parent ends, and pictures have their own paths. */
#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feavis/lists.h"
#include "feavis/names.h"
#include "feavis/search/name_write.h"
#include "kernels/number.h"

static bool has_ending(const char *name, const char *const *endings)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *endings; endings++)
        if (fv_same_word(dot + 1, *endings)) return true;
    return false;
}

/* The last six cannot be read; a photo left out in silence would be worse than a message. */
static const char *const picture_endings[] = {"jpg",  "jpeg", "jpe", "jfif", "png", "webp", "bmp",
                                              "gif",  "tga",  "psd", "pnm",  "ppm", "pgm",  "heic",
                                              "heif", "avif", "tif", "tiff", "jxl", NULL};
static const char *const list_endings[] = {"csv", "txt", "tsv", "lst", NULL};

/* --- folders --- */

/* A folder of the disk, in a tree by device and number. */
typedef struct place {
    dev_t device;
    ino_t inode;
    char *path;
} place;

typedef struct walk {
    fv_list *out, *notes; /* notes: NULL if nobody asks */
    void *seen;           /* of tsearch: places */
    fv_list folders;      /* still to be read: the last one is the next */
    fv_list links;        /* to folders: after the others */
} walk;

static int by_number(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

static void free_place(void *node)
{
    place *p = node;
    free(p->path);
    free(p);
}

static fv_status no_memory(const char *folder)
{
    return fv_fail(FV_ERR_MEMORY, "reading the folder %s: out of memory", folder);
}

/* One line for a part that is left out. other: NULL, or a name at its end. */
static fv_status note(walk *w, const char *path, const char *why, const char *other)
{
    char *text = NULL;
    size_t size;
    if (!w->notes) return FV_OK;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory(path);
    fv_name_write(f, path);
    fprintf(f, ": %s", why);
    if (other) fv_name_write(f, other);
    fputs(", left out", f);
    fv_status s = fclose(f) == 0 ? fv_list_add(w->notes, text) : no_memory(path);
    free(text);
    return s;
}

/* Whether this folder has come by, and under which path. */
static fv_status meet(walk *w, const char *path, const struct stat *st, const char **before)
{
    *before = NULL;
    place *p = malloc(sizeof *p), **found;
    if (p) *p = (place){st->st_dev, st->st_ino, strdup(path)};
    if (!p || !p->path) {
        free(p);
        return no_memory(path);
    }
    found = tsearch(p, &w->seen, by_number);
    if (found && *found == p) return FV_OK;
    if (found) *before = (*found)->path;
    free_place(p);
    return found ? FV_OK : no_memory(path);
}

static fv_status look_at(walk *w, const char *path, const char *name, bool folder)
{
    struct stat st, own;
    bool picture = has_ending(name, picture_endings);
    if (lstat(path, &own) != 0 || stat(path, &st) != 0)
        return picture || folder ? note(w, path, strerror(errno), NULL) : FV_OK;
    if (S_ISDIR(st.st_mode))
        return fv_list_add(S_ISLNK(own.st_mode) ? &w->links : &w->folders, path);
    if (!picture) return FV_OK;
    return S_ISREG(st.st_mode) ? fv_list_add(w->out, path)
                               : note(w, path, "a pipe, a socket or a device", NULL);
}

static fv_status read_folder(walk *w, const char *folder)
{
    struct stat st;
    const char *before;
    DIR *d = stat(folder, &st) == 0 ? opendir(folder) : NULL;
    if (!d) return note(w, folder, strerror(errno), NULL);
    fv_status s = meet(w, folder, &st, &before);
    if (s >= 0 && before) {
        closedir(d);
        return note(w, folder, "the same folder as ", before);
    }
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    struct dirent *e = NULL;
    while (s >= 0 && (errno = 0, e = readdir(d))) {
        char *path;
        if (e->d_name[0] == '.') continue;
        if (asprintf(&path, "%s%s%s", folder, slash, e->d_name) < 0) {
            s = no_memory(folder);
            break;
        }
        s = look_at(w, path, e->d_name, e->d_type == DT_DIR);
        free(path);
    }
    if (s >= 0 && errno) s = note(w, folder, strerror(errno), NULL);
    closedir(d);
    return s;
}

/* The folder to be read next. Of links the first by path, so that the order of a folder's entries
 * does not say which of two paths a picture has. */
static char *take_next(walk *w)
{
    if (w->folders.count) return w->folders.at[--w->folders.count];
    int first = 0;
    for (int i = 1; i < w->links.count; i++)
        if (strcmp(w->links.at[i], w->links.at[first]) < 0) first = i;
    char *path = w->links.at[first];
    w->links.at[first] = w->links.at[--w->links.count];
    return path;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(fv_list *l)
{
    if (l->count) qsort(l->at, (size_t)l->count, sizeof *l->at, by_path);
}

static fv_status read_all(walk *w)
{
    fv_status s = FV_OK;
    while (s >= 0 && (w->folders.count || w->links.count)) {
        char *folder = take_next(w);
        s = read_folder(w, folder);
        free(folder);
    }
    return s;
}

static fv_status pictures_of_folder(fv_list *out, const char *folder, fv_list *notes)
{
    walk w = {.out = out, .notes = notes};
    DIR *d = opendir(folder);
    if (!d) return fv_fail(FV_ERR_IO, "opening folder %s: %s", folder, strerror(errno));
    closedir(d);
    fv_status s = fv_list_add(&w.folders, folder);
    if (s >= 0) s = read_all(&w);
    tdestroy(w.seen, free_place);
    fv_list_clear(&w.folders);
    fv_list_clear(&w.links);
    if (s >= 0 && out->count == 0)
        s = fv_fail(FV_ERR_FORMAT, "folder %s has no pictures in it", folder);
    sort(out);
    if (notes) sort(notes);
    return s;
}

/* --- all of them --- */

static fv_status pictures_of_list(fv_list *out, const char *source, const char *folder)
{
    FV_TRY(fv_list_names(out, source));
    const char *slash = strrchr(source, '/');
    int own = !folder && slash ? (int)(slash - source) + 1 : 0;
    for (int i = 0; i < out->count; i++) {
        char *path, *there;
        bool whole = out->at[i][0] == '/';
        bool dash = strcmp(out->at[i], "-") == 0; /* a file of that name, not standard input */
        int n = whole    ? asprintf(&path, "%s", out->at[i])
                : folder ? asprintf(&path, "%s/%s", folder, out->at[i])
                         : asprintf(&path, "%s%.*s%s", dash && !own ? "./" : "", own, source,
                                    out->at[i]);
        if (n < 0) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", source);
        there = fv_name_there(path);
        free(path);
        if (!there) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", source);
        free(out->at[i]);
        out->at[i] = there;
    }
    return FV_OK;
}

fv_status fv_list_pictures(fv_list *out, const char *source, const char *folder, fv_list *notes)
{
    fv_list list = {0}, left_out = {0};
    struct stat st;
    fv_status s;
    bool input = strcmp(source, "-") == 0;
    if (!input && stat(source, &st) != 0)
        return fv_fail(FV_ERR_IO, "opening %s: %s", source, strerror(errno));
    if (!input && S_ISDIR(st.st_mode))
        s = pictures_of_folder(&list, source, notes ? &left_out : NULL);
    else if (input || has_ending(source, list_endings))
        s = pictures_of_list(&list, source, folder);
    else
        s = fv_list_add(&list, source);
    if (s < 0) {
        fv_list_clear(&list);
        fv_list_clear(&left_out);
        return s;
    }
    *out = list;
    if (notes) *notes = left_out;
    return FV_OK;
}
