/* What the option `at` means. See areas_syntax.h. */
#include "feavis/settings/areas_syntax.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/full_width.h"
#include "kernels/number.h"

static const float most_weight = 1e3f;

void fv_areas_clear(fv_areas *a)
{
    for (int i = 0; i < a->count; i++) {
        free(a->at[i].name);
        free(a->at[i].text);
        free(a->at[i].target);
    }
    *a = (fv_areas){.count = 0};
}

static fv_status unclear(const char *part, const char *why)
{
    return fv_fail(FV_ERR_ARGUMENT,
                   "at \"%.80s\": %s; expected TEXT: COLUMNS,ROWS of a grid of 6 x 6 counted from "
                   "0, as \"月亮: 4-5,0-1\", with ~BORDER and *WEIGHT behind it or without",
                   part, why);
}

/* The character at `at` as ASCII, if it is or has such a twin; *size: its bytes. */
static char plain(const char *at, size_t *size)
{
    const unsigned char *c = (const unsigned char *)at;
    *size = 1;
    if (c[0] < 0x80) return (char)c[0];
    *size = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    char ascii = fv_full_width(at);
    return ascii || strncmp(at, "、", 3) != 0 ? ascii : ',';
}

/* Bytes of a part up to the next bar that is none of the text's. */
static size_t part_size(const char *at, size_t *bar)
{
    size_t n = 0, size;
    for (*bar = 0; at[n]; n += size) {
        char c = plain(at + n, &size);
        if (c == '|') {
            *bar = size;
            return n;
        }
        if (at[n] == '\\' && at[n + 1]) size = 1 + (size_t)(plain(at + n + 1, &size), size);
        if (strnlen(at + n, size) < size) return n + strlen(at + n);
    }
    return n;
}

/* The last colon that is none of the text's; NULL: there is none. */
static const char *last_colon(const char *part, size_t *size)
{
    const char *found = NULL;
    size_t n;
    for (const char *at = part; *at; at += n) {
        char c = plain(at, &n);
        if (strnlen(at, n) < n) break;
        if (c == ':') {
            found = at;
            *size = n;
        }
        if (*at == '\\' && at[1]) n = 2;
    }
    return found;
}

/* Without spaces around, and without the backslashes of "\:" and "\|". */
static char *copy_text(const char *from, size_t size)
{
    char *out = malloc(size + 1);
    size_t n = 0;
    while (size && (*from == ' ' || *from == '\t')) from++, size--;
    while (size && (from[size - 1] == ' ' || from[size - 1] == '\t')) size--;
    for (size_t i = 0; out && i < size; i++) {
        if (from[i] == '\\' && i + 1 < size && (from[i + 1] == ':' || from[i + 1] == '|')) i++;
        out[n++] = from[i];
    }
    if (out) out[n] = 0;
    return out;
}

static void skip(const char **at)
{
    while (**at == ' ' || **at == '\t') ++*at;
}

/* At least one digit; a number of many is as good as 99. */
static bool take_whole(const char **at, int *out)
{
    skip(at);
    if (**at < '0' || **at > '9') return false;
    for (*out = 0; **at >= '0' && **at <= '9'; ++*at)
        *out = *out > 9 ? 99 : 10 * *out + (**at - '0');
    return true;
}

/* what: "columns behind the colon", of which the first word is what they are. */
static fv_status take_range(const char **at, int *first, int *last, const char *what,
                            const char *part)
{
    char why[80];
    skip(at);
    const char *from = *at;
    bool good = take_whole(at, first);
    const char *end = *at;
    *last = *first;
    skip(at);
    if (good && **at == '-') {
        ++*at;
        good = take_whole(at, last);
        end = *at;
    }
    if (!good) {
        snprintf(why, sizeof why, "no %s", what);
        return unclear(part, why);
    }
    if (*last < FV_AREA_GRID && *first <= *last) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "at \"%.80s\": %.*s %.*s, expected 0 to %d, the lower first",
                   part, (int)strcspn(what, " "), what, (int)(end - from), from, FV_AREA_GRID - 1);
}

/* "~number" or "*number"; leaves *out where there is none. */
static bool take_behind(const char **at, char mark, float low, float high, float *out)
{
    char *end;
    skip(at);
    if (**at != mark) return true;
    float x = fv_to_float(*at + 1, &end);
    if (end == *at + 1 || !(x >= low && x <= high)) return false;
    *out = x;
    *at = end;
    return true;
}

static fv_status take_cells(fv_area *a, const char *at, const char *part)
{
    FV_TRY(take_range(&at, &a->left, &a->right, "columns behind the colon", part));
    skip(&at);
    if (*at != ',') return unclear(part, "no comma between columns and rows");
    at++;
    FV_TRY(take_range(&at, &a->top, &a->bottom, "rows behind the comma", part));
    if (!take_behind(&at, '~', 0, FV_AREA_GRID, &a->soft))
        return unclear(part, "behind ~ is no border from 0 to 6 cells");
    if (!take_behind(&at, '*', -most_weight, most_weight, &a->weight))
        return unclear(part, "behind * is no weight from -1000 to 1000");
    skip(&at);
    return *at ? unclear(part, "there is something behind the cells") : FV_OK;
}

/* What is behind the colon, in ASCII. */
static void flatten(char *out, size_t room, const char *tail)
{
    size_t n = 0, size;
    for (; *tail && n + 1 < room; tail += size) {
        char c = plain(tail, &size);
        if (strnlen(tail, size) < size) break;
        out[n++] = c ? c : '?';
    }
    out[n] = 0;
}

static fv_status name_area(fv_area *a)
{
    char columns[16], rows[16];
    snprintf(columns, sizeof columns, a->left < a->right ? "%d-%d" : "%d", a->left, a->right);
    snprintf(rows, sizeof rows, a->top < a->bottom ? "%d-%d" : "%d", a->top, a->bottom);
    return asprintf(&a->name, "%s %s,%s", a->text, columns, rows) >= 0
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "reading a place: out of memory");
}

static fv_status add_area(fv_areas *out, const char *part)
{
    char tail[64];
    size_t size;
    const char *colon = last_colon(part, &size);
    if (!part[strspn(part, " \t")]) return fv_fail(FV_ERR_ARGUMENT, "at: an empty part beside |");
    if (!colon) return unclear(part, "no colon");
    if (out->count == FV_MAX_AREAS)
        return fv_fail(FV_ERR_ARGUMENT, "at: more than %d places", FV_MAX_AREAS);
    fv_area *a = &out->at[out->count++];
    *a = (fv_area){.soft = 0.5f, .weight = 1};
    a->text = copy_text(part, (size_t)(colon - part));
    if (!a->text) return fv_fail(FV_ERR_MEMORY, "reading a place: out of memory");
    if (!*a->text) return unclear(part, "no text in front of the colon");
    flatten(tail, sizeof tail, colon + size);
    FV_TRY(take_cells(a, tail, part));
    return name_area(a);
}

fv_status fv_areas_parse(fv_areas *out, const char *text)
{
    fv_areas a = {.count = 0};
    fv_status s = FV_OK;
    bool more = *text;
    while (s >= 0 && more) {
        size_t bar, size = part_size(text, &bar);
        char *part = strndup(text, size);
        s = part ? add_area(&a, part) : fv_fail(FV_ERR_MEMORY, "reading a place: out of memory");
        free(part);
        more = bar > 0;
        text += size + bar;
    }
    if (s < 0)
        fv_areas_clear(&a);
    else
        *out = a;
    return s;
}

fv_status fv_areas_try(const char *text)
{
    fv_areas a;
    FV_TRY(fv_areas_parse(&a, text));
    fv_areas_clear(&a);
    return FV_OK;
}
