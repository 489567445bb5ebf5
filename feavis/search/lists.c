/* See lists.h. */
#include "feavis/lists.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/preset.h"
#include "kernels/number.h"
#include "model/files/read_file.h"
#include "model/text/text.h"

enum { MAX_LIST_BYTES = 1 << 30 };

void fv_list_clear(fv_list *l)
{
    for (int i = 0; i < l->count; i++) free(l->at[i]);
    free(l->at);
    free(l->lines);
    *l = (fv_list){0};
}

static fv_status add(fv_list *l, const char *entry, size_t bytes)
{
    if ((l->count & (l->count - 1)) == 0) { /* room doubles at powers of two */
        char **more = realloc(l->at, (size_t)(l->count ? 2 * l->count : 1) * sizeof *more);
        if (!more) return fv_fail(FV_ERR_MEMORY, "making a list: out of memory");
        l->at = more;
    }
    l->at[l->count] = strndup(entry, bytes);
    if (!l->at[l->count]) return fv_fail(FV_ERR_MEMORY, "making a list: out of memory");
    l->count++;
    return FV_OK;
}

fv_status fv_list_add(fv_list *l, const char *entry)
{
    return add(l, entry, strlen(entry));
}

fv_status fv_list_line(fv_list *out, const char *line)
{
    const char *gap = strchr(line, '|') ? "|" : " ";
    fv_status s = FV_OK;
    *out = (fv_list){0};
    while (*line && s >= 0) {
        size_t whole = strcspn(line, gap), spaces = strspn(line, " ");
        const char *from = line + (spaces < whole ? spaces : whole), *end = line + whole;
        while (end > from && end[-1] == ' ') end--;
        if (end > from) s = add(out, from, (size_t)(end - from));
        line += whole + (line[whole] != 0);
    }
    if (s < 0) fv_list_clear(out);
    return s;
}

/* --- lines --- */

typedef enum shape { TEXTS, POEM, NAMES } shape;

/* A file in memory, cut into lines. */
typedef struct lines {
    char *at, *end; /* a zero stands at `end` */
    shape shape;
    bool only_cr; /* no LF in it */
    int number;   /* of the line that was taken last, from 1 */
} lines;

/* Bytes of the line end at `at`; 0: there is none. */
static size_t line_end(const lines *l, const char *at)
{
    const unsigned char *u = (const unsigned char *)at;
    if (u[0] == '\n') return 1;
    if (u[0] == '\r' && u[1] == '\n') return 2;
    if (l->shape == NAMES) return u[0] == '\r' && (l->only_cr || at + 1 == l->end);
    if (u[0] >= '\v' && u[0] <= '\r') return 1;
    if (u[0] == 0xc2 && u[1] == 0x85) return 2;
    return u[0] == 0xe2 && u[1] == 0x80 && (u[2] == 0xa8 || u[2] == 0xa9) ? 3 : 0;
}

/* The next line, ended with a zero, and its bytes; NULL behind the last. */
static char *next_line(lines *l, size_t *n)
{
    char *line = l->at, *stop = line;
    size_t ends = 0;
    if (line >= l->end) return NULL;
    while (stop < l->end && !(ends = line_end(l, stop))) stop++;
    *n = (size_t)(stop - line);
    *stop = 0;
    l->at = stop + ends;
    l->number++;
    return line;
}

/* --- what is no text --- */

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

static fv_status check_line(int number, const char *line, size_t n)
{
    char what[32];
    snprintf(what, sizeof what, "line %d", number);
    if (memchr(line, 0, n))
        return fv_fail(FV_ERR_FORMAT, "%s has a zero byte: this is not a text file", what);
    fv_status s = fv_utf8_check(line, n, what);
    if (s < 0 && looks_like_gbk((const unsigned char *)line, n))
        return fv_fail(FV_ERR_FORMAT,
                       "%s is not UTF-8 but looks like GBK; convert the file with "
                       "iconv -f GB18030 -t UTF-8",
                       what);
    return s;
}

/* UTF-16 without a mark: zeros in every other place only, and many of them, or beside bytes that
 * are not UTF-8. NULL: it is not. */
static const char *looks_like_utf16(const unsigned char *data, size_t size)
{
    size_t zeros[2] = {0, 0}, most = size < 65536 ? size : 65536;
    for (size_t i = 0; i < most; i++) zeros[i % 2] += data[i] == 0;
    size_t all = zeros[0] + zeros[1];
    if (size % 2 || !all || (zeros[0] && zeros[1])) return NULL;
    while (most < size && most && (data[most] & 0xc0) == 0x80) most--; /* no half character */
    if (3 * all < most && fv_utf8_check((const char *)data, most, "") >= 0) return NULL;
    return zeros[0] ? "UTF-16BE" : "UTF-16LE";
}

static fv_status check_encoding(const char *path, const unsigned char *data, size_t size)
{
    static const struct {
        const char *mark, *name;
        size_t bytes;
    } marks[] = {{"\xff\xfe\0", "UTF-32LE", 4}, /* its last zero is the literal's own */
                 {"\0\0\xfe\xff", "UTF-32BE", 4},
                 {"\xff\xfe", "UTF-16LE", 2},
                 {"\xfe\xff", "UTF-16BE", 2}};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (size >= marks[i].bytes && memcmp(data, marks[i].mark, marks[i].bytes) == 0)
            return fv_fail(
                FV_ERR_FORMAT,
                "%s is %.6s; save it as UTF-8, or convert it with iconv -f %.6s -t UTF-8", path,
                marks[i].name, marks[i].name);
    const char *name = looks_like_utf16(data, size);
    if (!name) return FV_OK;
    return fv_fail(
        FV_ERR_FORMAT,
        "%s looks like UTF-16 without a byte order mark; save it as UTF-8, or convert it "
        "with iconv -f %s -t UTF-8",
        path, name);
}

void fv_bad_lines_add(fv_bad_lines *b, int number)
{
    size_t n = strlen(b->others);
    if (b->count++ == 0)
        snprintf(b->first, sizeof b->first, "%s", fv_error());
    else if (n + 16 < sizeof b->others && ++b->listed)
        snprintf(b->others + n, sizeof b->others - n, "%s%d", n ? ", " : "", number);
}

fv_status fv_bad_lines_say(const fv_bad_lines *b, const char *path)
{
    char more[32] = "";
    int left = b->count - 1 - b->listed;
    if (b->count == 0) return FV_OK;
    if (left > 0) snprintf(more, sizeof more, " and %d more", left);
    if (strcmp(path, "-") == 0) path = "standard input";
    if (b->count == 1) return fv_fail(FV_ERR_FORMAT, "%s: %s", path, b->first);
    return fv_fail(FV_ERR_FORMAT, "%s: %s (bad as well: line%s %s%s)", path, b->first,
                   b->count > 2 ? "s" : "", b->others, more);
}

/* --- the entries --- */

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

static bool is_blank(shape k, const char *line)
{
    return k == NAMES ? line[strspn(line, " \t")] == 0 : fv_text_blank(line);
}

static fv_status add_line(fv_list *l, const char *line, int number)
{
    if ((l->count & (l->count - 1)) == 0) {
        int *more = realloc(l->lines, (size_t)(l->count ? 2 * l->count : 1) * sizeof *more);
        if (!more) return fv_fail(FV_ERR_MEMORY, "making a list: out of memory");
        l->lines = more;
    }
    l->lines[l->count] = number;
    return fv_list_add(l, line);
}

static fv_status split_lines(fv_list *out, const char *path, lines *l)
{
    fv_bad_lines bad = {.count = 0};
    size_t n;
    if (l->end - l->at >= 3 && memcmp(l->at, "\xef\xbb\xbf", 3) == 0) l->at += 3;
    l->only_cr = !memchr(l->at, '\n', (size_t)(l->end - l->at));
    for (char *line; (line = next_line(l, &n));) {
        if (check_line(l->number, line, n) < 0) {
            fv_bad_lines_add(&bad, l->number);
            continue;
        }
        if (is_blank(l->shape, line)) continue;
        if (l->shape != POEM) unquote(line);
        if (is_blank(l->shape, line)) continue;
        FV_TRY(add_line(out, line, l->number));
    }
    FV_TRY(fv_bad_lines_say(&bad, path));
    return out->count ? FV_OK
                      : fv_fail(FV_ERR_FORMAT, "%s holds no text: it has no line with text in it",
                                strcmp(path, "-") == 0 ? "standard input" : path);
}

static fv_status read_lines(fv_list *out, const char *path, shape k)
{
    unsigned char *data;
    size_t size;
    fv_list list = {0};
    FV_TRY(fv_read_stream(&data, &size, path, "list", MAX_LIST_BYTES));
    lines l = {.at = (char *)data, .end = (char *)data + size, .shape = k};
    fv_status s = check_encoding(strcmp(path, "-") == 0 ? "standard input" : path, data, size);
    if (s >= 0) s = split_lines(&list, path, &l);
    free(data);
    if (s < 0)
        fv_list_clear(&list);
    else
        *out = list;
    return s;
}

fv_status fv_list_lines(fv_list *out, const char *path)
{
    return read_lines(out, path, TEXTS);
}

fv_status fv_list_poem(fv_list *out, const char *path)
{
    const char *dot = strrchr(path, '.');
    return read_lines(out, path, dot && fv_same_word(dot, ".csv") ? TEXTS : POEM);
}

fv_status fv_list_names(fv_list *out, const char *path)
{
    return read_lines(out, path, NAMES);
}

/* --- presets --- */

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
