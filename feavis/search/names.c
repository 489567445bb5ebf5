/* See names.h. */
#include "feavis/names.h"
#include "feavis/search/name_write.h"
#include "model/text/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

/* Controls, and what else ends a line by Unicode. */
static bool breaks(utf8proc_int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

void fv_name_write(FILE *to, const char *name)
{
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)name; *at;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        size_t length = n > 0 ? (size_t)n : 1;
        if (c == '\\')
            fputs("\\\\", to);
        else if (c == '\n')
            fputs("\\n", to);
        else if (n <= 0 || breaks(c))
            for (size_t i = 0; i < length; i++) fprintf(to, "\\x%02X", at[i]);
        else
            fwrite(at, 1, length, to);
        at += length;
    }
}

char *fv_name_escaped(const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fv_name_write(f, name);
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

/* Embeddings, overrides and isolates of writing direction. */
static bool reorders(utf8proc_int32_t c)
{
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

char *fv_text_shown(const char *text, bool lines)
{
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text; *at;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        bool stays = lines && (c == '\n' || c == '\t');
        if (n <= 0 || (!stays && (breaks(c) || reorders(c))))
            fputs("\xef\xbf\xbd", f);
        else
            fwrite(at, 1, (size_t)n, f);
        at += n > 0 ? n : 1;
    }
    if (fclose(f) == 0) return out;
    free(out);
    return NULL;
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : toupper((unsigned char)c) - 'A' + 10;
}

void fv_name_unescape(char *text)
{
    char *to = text;
    while (*text) {
        if (text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
            isxdigit((unsigned char)text[3])) {
            *to++ = (char)(16 * digit(text[2]) + digit(text[3]));
            text += 4;
        } else if (text[0] == '\\' && (text[1] == '\\' || text[1] == 'n')) {
            *to++ = text[1] == 'n' ? '\n' : '\\';
            text += 2;
        } else {
            *to++ = *text++;
        }
    }
    *to = 0;
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80) text++;
    return !*text;
}

/* NULL: not UTF-8, or no memory. */
static char *in_form(const char *name, utf8proc_option_t form)
{
    utf8proc_uint8_t *out;
    return utf8proc_map((const utf8proc_uint8_t *)name, 0, &out,
                        UTF8PROC_NULLTERM | UTF8PROC_STABLE | form) >= 0
               ? (char *)out
               : NULL;
}

bool fv_name_same(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) return true;
    if (is_ascii(a) || is_ascii(b)) return false;
    char *x = in_form(a, UTF8PROC_COMPOSE), *y = in_form(b, UTF8PROC_COMPOSE);
    bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

char *fv_name_there(const char *path)
{
    static const utf8proc_option_t forms[] = {UTF8PROC_COMPOSE, UTF8PROC_DECOMPOSE};
    for (int i = 0; i < 2 && !is_ascii(path) && access(path, F_OK) != 0; i++) {
        char *other = in_form(path, forms[i]);
        if (other && access(other, F_OK) == 0) return other;
        free(other);
    }
    return strdup(path);
}

const char *fv_name_nearest(const char *name, const char *const *names, int count)
{
    enum { READ = 127 }; /* by fv_edits */
    const char *best = NULL;
    int fewest = (int)strnlen(name, READ) / 2 + 1;
    for (int i = 0; i < count; i++) {
        int edits = fv_edits(name, names[i]);
        if (edits >= fewest) continue;
        fewest = edits;
        best = names[i];
    }
    return best;
}
