/* Weighted lists: "梦:1 | 文字:-0.3" and "108, 456:0.5".
 *
 *   list    part, or part '|' part ...     "\|" belongs to a part
 *   part    name, or name ':' number       "\:" as its last colon belongs to the name
 *
 * A number behind the last colon is always a weight, in one text as in several: what a part means
 * does not depend on what stands beside it. Hence "12:30" is "12" with weight 30, which a person is
 * told, and told how to write the time of day. Recipes hold ASCII syntax; what is typed may have
 * full-width twins, which fv_weighted_plain turns into it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/full_width.h"
#include "feavis/settings/options.h"
#include "kernels/number.h"
#include "model/text/text.h"

static const char wide_colon[] = "：", wide_bar[] = "｜";

/* Weights are shares: beside one of 1, one of 10 has over nine tenths of the say, and a penalty of
 * the default 0.5 has none. A larger number is the minute of a time of day. */
static const float most_weight = 10;

/* --- characters --- */

static bool starts(const char *at, const char *with)
{
    return strncmp(at, with, strlen(with)) == 0;
}

/* The ASCII twin of the character at `at` (itself, if it is ASCII), and its bytes; 0: none. */
static char twin(const char *at, size_t *bytes)
{
    *bytes = 1;
    if ((unsigned char)*at < 0x80) return *at;
    *bytes = 3;
    char ascii = fv_full_width(at);
    if (ascii) return ascii;
    if (starts(at, "−")) return '-'; /* U+2212, minus */
    return 0;
}

static bool is_separator(const char *at, char separator, size_t *bytes)
{
    return twin(at, bytes) == separator;
}

/* Behind the part that begins here: an unescaped separator or the end. */
static const char *part_end(const char *at, char separator)
{
    size_t bytes;
    while (*at && !is_separator(at, separator, &bytes)) {
        at += *at == '\\' && is_separator(at + 1, separator, &bytes) ? 1 + bytes : 1;
        while (((unsigned char)*at & 0xc0) == 0x80) at++;
    }
    return at;
}

/* --- what is typed --- */

/* `text` up to `end` in ASCII twins; false if it is no finite number. out: [end - text + 1]. */
static bool plain_number(char *out, const char *text, const char *end)
{
    char *rest = out, *to = out;
    for (size_t bytes; text < end; text += bytes) {
        char c = twin(text, &bytes);
        if (!c || !strchr("+-.0123456789eE ", c)) return false;
        *to++ = c;
    }
    *to = 0;
    float x = fv_to_float(out, &rest);
    return rest != out && rest[strspn(rest, " ")] == 0 && isfinite(x);
}

/* One part: where its weight begins becomes ':', the weight's digits become ASCII. */
static char *add_part(char *to, const char *from, const char *end, char *number)
{
    const char *colon = NULL;
    size_t width = 0, bytes;
    for (const char *at = from; at < end; at++)
        if (((unsigned char)*at & 0xc0) != 0x80 && twin(at, &bytes) == ':') {
            colon = at;
            width = bytes;
        }
    bool weighed =
        colon && colon > from && colon[-1] != '\\' && plain_number(number, colon + width, end);
    size_t n = (size_t)((weighed ? colon : end) - from);
    memcpy(to, from, n);
    to += n;
    if (!weighed) return to;
    *to++ = ':';
    n = strlen(number);
    memcpy(to, number, n);
    return to + n;
}

fv_status fv_weighted_plain(char **out, const char *typed, char separator, const char *what)
{
    size_t bytes = strlen(typed);
    FV_TRY(fv_utf8_check(typed, bytes, what));
    char *plain = malloc(bytes + 1), *number = malloc(bytes + 1), *to = plain;
    if (!plain || !number) {
        free(plain);
        free(number);
        return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", what);
    }
    if (separator == ',') { /* numbers only */
        for (const char *at = typed; *at; at += bytes) {
            char c = starts(at, "、") ? ',' : twin(at, &bytes);
            if (starts(at, "、")) bytes = strlen("、");
            if (!c) { /* no number: said when it is read */
                bytes = 1;
                c = *at;
            }
            *to++ = c;
        }
    } else if (!fv_text_blank(typed)) {
        for (const char *at = typed;;) {
            const char *end = part_end(at, separator);
            to = add_part(to, at, end, number);
            if (!*end) break;
            *to++ = separator;
            is_separator(end, separator, &bytes);
            at = end + bytes;
        }
    }
    *to = 0;
    free(number);
    *out = plain;
    return FV_OK;
}

/* --- what recipes hold --- */

/* "\：" as the last colon is a literal one. */
static void take_escape(char *name)
{
    char *last = NULL;
    for (char *at = name; (at = strstr(at, wide_colon)); at++) last = at;
    if (last && last > name && last[-1] == '\\' && !strchr(last, ':'))
        memmove(last - 1, last, strlen(last) + 1);
}

/* Cuts a trailing ":number" off `name` and gives the number. "12\:30" is the text 12:30. */
static float take_weight(char *name, bool *weighed)
{
    char *colon = strrchr(name, ':'), *end;
    *weighed = false;
    take_escape(name);
    if (colon && colon > name && colon[-1] == '\\') {
        memmove(colon - 1, colon, strlen(colon) + 1);
        return 1;
    }
    if (!colon || colon == name || !colon[1]) return 1;
    if (strspn(colon + 1, "+-.0123456789eE ") != strlen(colon + 1)) return 1;
    float weight = fv_to_float(colon + 1, &end);
    while (*end == ' ') end++;
    if (end == colon + 1 || *end || !isfinite(weight)) return 1;
    *colon = 0;
    *weighed = true;
    return weight;
}

/* White space off both ends; the ideographic too, where anything else is left. */
static void trim(char *s)
{
    static const char wide[] = "　";
    size_t lead = strspn(s, " \t\r\n"), w = sizeof wide - 1;
    while (starts(s + lead, wide) && s[lead + w]) lead += w + strspn(s + lead + w, " \t\r\n");
    size_t n = strlen(s) - lead;
    memmove(s, s + lead, n + 1);
    for (;;) {
        if (n && strchr(" \t\r\n", s[n - 1]))
            n--;
        else if (n > w && starts(s + n - w, wide))
            n -= w;
        else
            break;
        s[n] = 0;
    }
}

void fv_weighted_free(fv_weighted *list, int count)
{
    for (int i = 0; i < count; i++) free(list[i].name);
    free(list);
}

fv_status fv_weighted_parse(fv_weighted **out, int *count, const char *text, char separator,
                            const char *what)
{
    enum { MOST = 64 };
    fv_weighted *list = calloc(MOST, sizeof *list);
    int n = 0;
    if (!list) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", what);
    while (*text) {
        size_t room = strlen(text) + 1, used = 0;
        char *name = n < MOST ? malloc(room) : NULL;
        if (!name) {
            fv_weighted_free(list, n);
            return n < MOST ? fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", what)
                            : fv_fail(FV_ERR_ARGUMENT, "%s has more than %d parts", what, MOST);
        }
        while (*text && *text != separator) {
            bool bar = separator == '|' && text[0] == '\\' && starts(text + 1, wide_bar);
            if (bar || (text[0] == '\\' && text[1] == separator)) text++;
            name[used++] = *text++;
        }
        name[used] = 0;
        bool more = *text == separator;
        if (more) text++;
        trim(name);
        list[n].weight = take_weight(name, &list[n].weighed);
        trim(name);
        list[n++].name = name;
        bool empty = !*name;
        if (empty && !more && n == 1) { /* only white space: nothing was asked for */
            fv_weighted_free(list, n);
            list = NULL;
            n = 0;
            break;
        }
        if (empty || (more && !*text)) {
            fv_weighted_free(list, n);
            return fv_fail(FV_ERR_ARGUMENT, "%s has an empty part between its '%c'", what,
                           separator);
        }
    }
    if (n == 0) {
        free(list);
        list = NULL;
    }
    *out = list;
    *count = n;
    return FV_OK;
}

/* --- what is asked for --- */

static fv_status check_part(const fv_weighted *w, bool text)
{
    if (text && fv_text_blank(w->name))
        return fv_fail(FV_ERR_ARGUMENT, "text has an empty part between its '|'");
    if (fabsf(w->weight) <= most_weight) return FV_OK;
    char number[32];
    fv_print(number, sizeof number, "%g", (double)w->weight);
    return text ? fv_fail(FV_ERR_ARGUMENT,
                          "the weight %s of \"%.80s\" is not from -10 to 10; if it belongs to the "
                          "text, write \\:%s",
                          number, w->name, number)
                : fv_fail(FV_ERR_ARGUMENT, "the weight %s of llp %.80s is not from -10 to 10",
                          number, w->name);
}

static fv_status check_all(const fv_weighted *list, int count, bool text)
{
    for (int i = 0; i < count; i++) FV_TRY(check_part(&list[i], text));
    return FV_OK;
}

static fv_status say(char **out, const fv_weighted *list, int count)
{
    bool any = false, number = false;
    for (int i = 0; i < count; i++) any = any || list[i].weighed;
    *out = NULL;
    if (!any) return FV_OK;
    size_t size;
    char *line = NULL;
    FILE *f = open_memstream(&line, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "reading text: out of memory");
    for (int i = 0; i < count; i++) {
        char weight[32];
        const char *name = list[i].name;
        fv_print(weight, sizeof weight, "%g", (double)list[i].weight);
        fprintf(f, "%s\"%s\" with weight %s", i ? ", " : "", name, weight);
        char last = name[strlen(name) - 1];
        number = number || (list[i].weighed && last >= '0' && last <= '9');
    }
    if (number) fputs(" (a colon of the text itself is written \\:)", f);
    if (fclose(f) == 0) {
        *out = line;
        return FV_OK;
    }
    free(line);
    return fv_fail(FV_ERR_MEMORY, "reading text: out of memory");
}

fv_status fv_options_asked(const fv_options *o, char **reading)
{
    fv_weighted *texts = NULL, *channels = NULL;
    int text_count = 0, channel_count = 0;
    fv_status s = fv_weighted_parse(&texts, &text_count, o->text, '|', "text");
    if (s >= 0) s = fv_weighted_parse(&channels, &channel_count, o->llp, ',', "llp");
    if (s >= 0) s = check_all(texts, text_count, true);
    if (s >= 0) s = check_all(channels, channel_count, false);
    if (s >= 0) s = say(reading, texts, text_count);
    fv_weighted_free(texts, text_count);
    fv_weighted_free(channels, channel_count);
    return s;
}

fv_status fv_options_first_text(const fv_options *o, char **out)
{
    fv_weighted *texts;
    int count;
    FV_TRY(fv_weighted_parse(&texts, &count, o->text, '|', "text"));
    *out = strdup(count ? texts[0].name : "");
    fv_weighted_free(texts, count);
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading text: out of memory");
}

fv_status fv_options_text_at(const fv_options *o, int index, char **out, float *weight)
{
    fv_weighted *texts;
    int count;
    *out = NULL;
    FV_TRY(fv_weighted_parse(&texts, &count, o->text, '|', "text"));
    bool there = index >= 0 && index < count;
    if (there) *out = strdup(texts[index].name);
    if (there && weight) *weight = texts[index].weight;
    fv_weighted_free(texts, count);
    return *out || !there ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading text: out of memory");
}
