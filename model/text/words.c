/* A sorted table of words. See words.h. */
#include "model/text/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/text/text.h"

enum { LONGEST = 8 /* ideographs of a word */, LETTERS = 48, FILE_LIMIT = 64 << 20 };

struct fv_words {
    char *text; /* the file, its line ends now zeros */
    char **lines;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static fv_status read_all(fv_words *w, const char *path, FILE *f)
{
    size_t room = 1 << 16, n = 0;
    for (;;) {
        char *more = realloc(w->text, room + 1);
        if (!more) return fv_fail(FV_ERR_MEMORY, "reading words %s: out of memory", path);
        w->text = more;
        n += fread(w->text + n, 1, room - n, f);
        if (n < room) break;
        if (room >= FILE_LIMIT)
            return fv_fail(FV_ERR_FORMAT, "words %s: more than %d bytes", path, FILE_LIMIT);
        room *= 2;
    }
    if (ferror(f)) return fv_fail(FV_ERR_IO, "reading words %s: %s", path, strerror(errno));
    w->text[n] = 0;
    return fv_utf8_check(w->text, n, path);
}

/* Lines end with LF, CR LF or CR; a byte order mark may stand in front. */
static fv_status split(fv_words *w)
{
    size_t lines = 1;
    for (const char *c = w->text; *c; c++) lines += *c == '\n' || *c == '\r';
    w->lines = malloc(lines * sizeof *w->lines);
    if (!w->lines) return fv_fail(FV_ERR_MEMORY, "reading words: out of memory");
    bool marked = strncmp(w->text, "\xef\xbb\xbf", 3) == 0;
    for (char *rest = w->text + (marked ? 3 : 0), *line; (line = strsep(&rest, "\r\n"));) {
        if (*line) w->lines[w->count++] = line;
    }
    qsort(w->lines, w->count, sizeof *w->lines, compare);
    return FV_OK;
}

fv_status fv_words_open(fv_words **out, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) return fv_fail(FV_ERR_IO, "opening words %s: %s", path, strerror(errno));
    fv_words *w = calloc(1, sizeof *w);
    fv_status s = w ? read_all(w, path, f) : fv_fail(FV_ERR_MEMORY, "words: out of memory");
    fclose(f);
    if (s >= 0) s = split(w);
    if (s < 0) {
        fv_words_free(w);
        return s;
    }
    *out = w;
    return FV_OK;
}

void fv_words_free(fv_words *w)
{
    if (!w) return;
    free(w->text);
    free(w->lines);
    free(w);
}

static bool known(const fv_words *w, const char *word)
{
    return bsearch(&word, w->lines, w->count, sizeof *w->lines, compare) != NULL;
}

/* --- words of letters --- */

/* Of ASCII alone, whatever the locale: a byte above it is part of a character. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool known_letters(const fv_words *w, const char *word)
{
    static const char *const endings[] = {"s", "es", "ed", "d", "ing", "ly"};
    size_t n = strlen(word);
    if (n < 3 || known(w, word)) return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t e = strlen(endings[i]);
        char stem[LETTERS + 2];
        if (n < e + 3 || strcmp(word + n - e, endings[i]) != 0) continue;
        snprintf(stem, sizeof stem, "%.*s", (int)(n - e), word);
        if (known(w, stem)) return true;
        strcat(stem, "e"); /* riding: ride */
        if (known(w, stem)) return true;
    }
    return false;
}

/* --- ideographs --- */

/* Bytes of the ideograph at `c`; 0 if it is none (U+2E80 to U+9FFF are three bytes). */
static size_t ideograph(const char *c)
{
    const unsigned char *u = (const unsigned char *)c;
    if ((u[0] & 0xf0) != 0xe0 || !u[1] || !u[2]) return 0;
    unsigned code = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    return code >= 0x3400 && code <= 0x9fff ? 3 : 0;
}

/* Bytes of the longest known word at `c`; 0 if none begins there. */
static size_t longest_known(const fv_words *w, const char *c, size_t most)
{
    char word[3 * LONGEST + 1];
    size_t n = 0;
    while (n < 3 * LONGEST && n + 3 <= most && ideograph(c + n)) n += 3;
    for (; n; n -= 3) {
        memcpy(word, c, n);
        word[n] = 0;
        if (known(w, word)) return n;
    }
    return 0;
}

/* --- both --- */

static void add(char *out, size_t size, const char *part, size_t n)
{
    size_t used = strlen(out), comma = used ? 2 : 0;
    if (used + comma + n + 1 > size) return;
    if (comma) memcpy(out + used, ", ", 2);
    memcpy(out + used + comma, part, n);
    out[used + comma + n] = 0;
}

void fv_words_unknown(const fv_words *w, const char *text, char *out, size_t size)
{
    if (size) *out = 0;
    for (const char *c = text; *c && size;) {
        size_t n = 0, wide = 0;
        char word[LETTERS + 1];
        while (is_letter(c[n])) n++;
        if (n) {
            size_t kept = n < LETTERS ? n : LETTERS;
            for (size_t i = 0; i < kept; i++) word[i] = lower(c[i]);
            word[kept] = 0;
            if (!known_letters(w, word)) add(out, size, c, n);
            c += n;
            continue;
        }
        while (ideograph(c + wide) && !longest_known(w, c + wide, 3 * LONGEST)) wide += 3;
        if (wide > 3) add(out, size, c, wide);
        c += wide;
        if (!wide) c += ideograph(c) ? longest_known(w, c, 3 * LONGEST) : 1;
    }
}

size_t fv_words_longest(const fv_words *w, const char *text, size_t most)
{
    return w ? longest_known(w, text, most) : 0;
}

bool fv_words_ideograph(const char *text)
{
    return ideograph(text) != 0;
}
