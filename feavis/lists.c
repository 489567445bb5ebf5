/* See lists.h. */
#include "feavis/lists.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "feavis/read_file.h"
#include "model/text.h"

enum { MOST_LIST_BYTES = 1 << 30, MOST_DEPTH = 32 };

void fv_list_clear(fv_list *l)
{
    for (int i = 0; i < l->count; i++) free(l->at[i]);
    free(l->at);
    *l = (fv_list){0};
}

fv_status fv_list_add(fv_list *l, const char *entry)
{
    if ((l->count & (l->count - 1)) == 0) { /* room doubles at powers of two */
        char **more = realloc(l->at, (size_t)(l->count ? 2 * l->count : 1) * sizeof *more);
        if (!more) return fv_fail(FV_ERR_MEMORY, "making a list: out of memory");
        l->at = more;
    }
    l->at[l->count] = strdup(entry);
    if (!l->at[l->count]) return fv_fail(FV_ERR_MEMORY, "making a list: out of memory");
    l->count++;
    return FV_OK;
}

/* --- lines --- */

static fv_status read_input(unsigned char **out, size_t *size)
{
    size_t room = 1 << 16, n = 0;
    unsigned char *data = malloc(room + 1);
    while (data) {
        n += fread(data + n, 1, room - n, stdin);
        if (n < room) break;
        room *= 2;
        unsigned char *more = room <= MOST_LIST_BYTES ? realloc(data, room + 1) : NULL;
        if (!more) free(data);
        data = more;
    }
    if (!data) return fv_fail(FV_ERR_MEMORY, "reading standard input: out of memory");
    data[n] = 0;
    *out = data;
    *size = n;
    return FV_OK;
}

/* Every byte outside ASCII belongs to a pair of GBK: lead 81..fe, trail 40..fe but not 7f. */
static bool looks_like_gbk(const unsigned char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (line[i] < 0x80) continue;
        if (line[i] == 0x80 || line[i] == 0xff || i + 1 == n) return false;
        i++;
        if (line[i] < 0x40 || line[i] == 0x7f || line[i] == 0xff) return false;
    }
    return true;
}

static fv_status check_line(const char *path, int number, const char *line, size_t n)
{
    char what[64];
    snprintf(what, sizeof what, "line %d", number);
    if (memchr(line, 0, n))
        return fv_fail(FV_ERR_FORMAT, "%s: line %d has a zero byte: this is not a text file", path,
                       number);
    fv_status s = fv_utf8_check(line, n, what);
    if (s < 0 && looks_like_gbk((const unsigned char *)line, n))
        return fv_fail(FV_ERR_FORMAT,
                       "%s: line %d is not UTF-8 but looks like GBK; convert the file with "
                       "iconv -f GB18030 -t UTF-8",
                       path, number);
    return s < 0 ? fv_fail_context(FV_ERR_FORMAT, "%s", path) : FV_OK;
}

/* Takes the quotes off a line that is one quoted field, in place. */
static void unquote(char *line)
{
    size_t n = strlen(line);
    if (n < 2 || line[0] != '"' || line[n - 1] != '"') return;
    for (size_t i = 1; i + 1 < n; i++) {
        if (line[i] != '"') continue;
        if (i + 2 >= n || line[i + 1] != '"') return; /* more than one field */
        i++;
    }
    char *to = line;
    for (size_t i = 1; i + 1 < n; i++) {
        *to++ = line[i];
        if (line[i] == '"') i++;
    }
    *to = 0;
}

static fv_status split_lines(fv_list *out, const char *path, char *at, char *end)
{
    if (end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    for (int number = 1; at < end; number++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        char *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        if (stop > at && stop[-1] == '\r') stop--;
        FV_TRY(check_line(path, number, at, (size_t)(stop - at)));
        *stop = 0;
        bool blank = at[strspn(at, " \t")] == 0;
        if (!blank) {
            unquote(at);
            FV_TRY(fv_list_add(out, at));
        }
        at = next;
    }
    return out->count ? FV_OK : fv_fail(FV_ERR_FORMAT, "%s has no line with text in it", path);
}

fv_status fv_list_lines(fv_list *out, const char *path)
{
    unsigned char *data;
    size_t size;
    fv_list list = {0};
    if (strcmp(path, "-") == 0) {
        path = "standard input";
        FV_TRY(read_input(&data, &size));
    } else {
        FV_TRY(fv_read_file(&data, &size, path, "list", MOST_LIST_BYTES));
    }
    fv_status s;
    if (size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0))
        s = fv_fail(FV_ERR_FORMAT, "%s is UTF-16; save it as UTF-8", path);
    else
        s = split_lines(&list, path, (char *)data, (char *)data + size);
    free(data);
    if (s < 0)
        fv_list_clear(&list);
    else
        *out = list;
    return s;
}

/* --- pictures --- */

static bool has_ending(const char *name, const char *const *endings)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *endings; endings++)
        if (strcasecmp(dot + 1, *endings) == 0) return true;
    return false;
}

/* The last six cannot be read; a photo left out in silence would be worse than a message. */
static const char *const picture_endings[] = {"jpg",  "jpeg", "jpe", "jfif", "png", "webp", "bmp",
                                              "gif",  "tga",  "psd", "pnm",  "ppm", "pgm",  "heic",
                                              "heif", "avif", "tif", "tiff", "jxl", NULL};
static const char *const list_endings[] = {"csv", "txt", "tsv", "lst", NULL};

static fv_status walk(fv_list *out, const char *folder, int depth)
{
    if (depth == MOST_DEPTH)
        return fv_fail(FV_ERR_UNSUPPORTED, "folder %s is nested too deeply", folder);
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, NULL);
    if (count < 0) return fv_fail(FV_ERR_IO, "opening folder %s: %s", folder, strerror(errno));
    fv_status s = FV_OK;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char *path = NULL;
        struct stat st;
        bool slash = folder[strlen(folder) - 1] == '/';
        if (s >= 0 && name[0] != '.') {
            if (asprintf(&path, "%s%s%s", folder, slash ? "" : "/", name) < 0) {
                path = NULL;
                s = fv_fail(FV_ERR_MEMORY, "opening folder %s: out of memory", folder);
            } else if (stat(path, &st) != 0) {
                s = FV_OK; /* a link to nowhere */
            } else if (S_ISDIR(st.st_mode)) {
                s = walk(out, path, depth + 1);
            } else if (S_ISREG(st.st_mode) && has_ending(name, picture_endings)) {
                s = fv_list_add(out, path);
            }
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    return s;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static fv_status pictures_of_list(fv_list *out, const char *source, const char *folder)
{
    FV_TRY(fv_list_lines(out, source));
    const char *slash = strrchr(source, '/');
    int own = !folder && slash ? (int)(slash - source) + 1 : 0;
    for (int i = 0; i < out->count; i++) {
        char *path;
        if (out->at[i][0] == '/') continue;
        int n = folder ? asprintf(&path, "%s/%s", folder, out->at[i])
                       : asprintf(&path, "%.*s%s", own, source, out->at[i]);
        if (n < 0) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", source);
        free(out->at[i]);
        out->at[i] = path;
    }
    return FV_OK;
}

fv_status fv_list_pictures(fv_list *out, const char *source, const char *folder)
{
    fv_list list = {0};
    struct stat st;
    fv_status s;
    bool input = strcmp(source, "-") == 0;
    if (!input && stat(source, &st) != 0)
        return fv_fail(FV_ERR_IO, "opening %s: %s", source, strerror(errno));
    if (!input && S_ISDIR(st.st_mode)) {
        s = walk(&list, source, 0);
        if (s >= 0 && list.count == 0)
            s = fv_fail(FV_ERR_FORMAT, "folder %s has no pictures in it", source);
        if (s >= 0) qsort(list.at, (size_t)list.count, sizeof *list.at, by_path);
    } else if (input || has_ending(source, list_endings)) {
        s = pictures_of_list(&list, source, folder);
    } else {
        s = fv_list_add(&list, source);
    }
    if (s < 0)
        fv_list_clear(&list);
    else
        *out = list;
    return s;
}

fv_status fv_list_find(char **path, const char *kind, const char *name)
{
    const char *home = fv_home();
    if (access(name, F_OK) == 0 || strcmp(name, "-") == 0 || strchr(name, '/') || !home) {
        *path = strdup(name);
    } else {
        if (asprintf(path, "%s/presets/%s/%s.txt", home, kind, name) < 0) *path = NULL;
        if (*path && access(*path, F_OK) != 0) {
            free(*path);
            *path = strdup(name); /* opening it says that it is not there */
        }
    }
    return *path ? FV_OK : fv_fail(FV_ERR_MEMORY, "looking for %s: out of memory", name);
}
