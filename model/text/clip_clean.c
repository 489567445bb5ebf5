/* See clip_clean.h. Characters, categories and normal forms are utf8proc's. */
#include "model/text/clip_clean.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/text/html_names.h"
#include "model/text/sigma.h"

typedef utf8proc_uint8_t byte;

/* --- texts as code points --- */

void fv_letters_free(fv_letters *t)
{
    free(t->at);
    *t = (fv_letters){0};
}

static bool put(fv_letters *t, int32_t c)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 256;
        int32_t *at = realloc(t->at, room * sizeof *at);
        if (!at) return false;
        t->at = at;
        t->room = room;
    }
    t->at[t->count++] = c;
    return true;
}

static bool put_all(fv_letters *t, const int32_t *from, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) ok = put(t, from[i]);
    return ok;
}

static bool put_utf8(fv_letters *t, const char *s)
{
    bool ok = true;
    for (utf8proc_int32_t c; ok && *s; ok = put(t, c))
        s += utf8proc_iterate((const byte *)s, -1, &c);
    return ok;
}

static bool is_among(int32_t c, const int32_t (*ranges)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}
#define AMONG(c, ranges) is_among(c, ranges, sizeof(ranges) / sizeof *(ranges))

static bool is_space(int32_t c) /* Unicode's White_Space */
{
    static const int32_t spaces[][2] = {
        {0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    return c <= 0x20 ? (c >= 9 && c <= 0x0d) || c == 0x20 : c >= 0x85 && AMONG(c, spaces);
}

static bool is_letter_or_digit(int32_t c) /* of ASCII */
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* --- entities --- */

/* U+0080-009F as Windows-1252 has them; five are not assigned and stay. */
static const uint16_t windows[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};

enum { TOO_LARGE = 0x110000, NOTHING = -1, REPLACEMENT = 0xfffd };

/* What the number of an entity means; NOTHING: it is dropped. */
static int32_t numbered(int32_t n)
{
    static const int32_t invalid[][2] = {
        {0x01, 0x08}, {0x0b, 0x0b}, {0x0e, 0x1f}, {0x7f, 0x7f}, {0xfdd0, 0xfdef}};
    if (n == 0 || n >= TOO_LARGE || (n >= 0xd800 && n <= 0xdfff)) return REPLACEMENT;
    if (n >= 0x80 && n <= 0x9f) return windows[n - 0x80];
    return AMONG(n, invalid) || (n & 0xfffe) == 0xfffe ? NOTHING : n;
}

static int digit_value(int32_t c, int base)
{
    int v = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : 16;
    return v < base ? v : -1;
}

/* The digits behind "&#" or "&#x" at from[at..n): where they end (at: there are none). */
static size_t read_number(const int32_t *from, size_t at, size_t n, int32_t *number)
{
    int base = at < n && (from[at] == 'x' || from[at] == 'X') ? 16 : 10;
    size_t begin = at + (base == 16), end = begin;
    *number = 0;
    for (int d; end < n && (d = digit_value(from[end], base)) >= 0; end++)
        if (*number < TOO_LARGE) *number = *number * base + d;
    return end > begin ? end : at;
}

/* ASCII letters and digits of from[at..n), at most FV_HTML_LONGEST_NAME. */
static size_t read_name(const int32_t *from, size_t at, size_t n,
                        char name[FV_HTML_LONGEST_NAME + 1])
{
    size_t length = 0;
    while (at + length < n && length < FV_HTML_LONGEST_NAME &&
           is_letter_or_digit(from[at + length])) {
        name[length] = (char)from[at + length];
        length++;
    }
    name[length] = 0;
    return length;
}

/* One entity at from[0] = '&' by the rules of HTML: how many characters it takes, and what they
 * mean in `out`. 0: none. */
static size_t loose_entity(const int32_t *from, size_t n, fv_letters *out, bool *ok)
{
    if (n > 1 && from[1] == '#') {
        int32_t number;
        size_t end = read_number(from, 2, n, &number);
        if (end == 2) return 0;
        if (numbered(number) != NOTHING) *ok = put(out, numbered(number));
        return end + (end < n && from[end] == ';');
    }
    char name[FV_HTML_LONGEST_NAME + 1];
    size_t length = read_name(from, 1, n, name);
    bool bare, closed = 1 + length < n && from[1 + length] == ';';
    const char *text = length ? fv_html_character(name, length, &bare) : NULL;
    if (text && closed) {
        *ok = put_utf8(out, text);
        return length + 2;
    }
    for (; length > 1; length--) { /* the longest name that needs no semicolon */
        text = fv_html_character(name, length, &bare);
        if (!text || !bare) continue;
        *ok = put_utf8(out, text);
        return length + 1;
    }
    return 0;
}

static bool unescape(fv_letters *out, const fv_letters *in)
{
    bool ok = true;
    out->count = 0;
    for (size_t i = 0; ok && i < in->count;) {
        size_t taken = in->at[i] == '&' ? loose_entity(in->at + i, in->count - i, out, &ok) : 0;
        if (taken == 0) ok = put(out, in->at[i++]);
        i += taken;
    }
    return ok;
}

/* "NTILDE" as the capital of "ntilde", if HTML has only that. */
static const char *capital_of(const char *name, size_t length)
{
    char low[FV_HTML_LONGEST_NAME + 1];
    bool bare;
    for (size_t i = 0; i <= length; i++) {
        if (name[i] >= 'a' && name[i] <= 'z') return NULL;
        low[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
    }
    for (size_t n = 2; n < length; n++) /* HTML reads a part of it */
        if (fv_html_character(name, n, &bare) && bare) return NULL;
    return fv_html_character(low, length, &bare);
}

/* &name; or &#number; of 1 to 24 letters and digits; 0: what stands there stays. */
static size_t strict_entity(const int32_t *from, size_t n, fv_letters *out, bool *ok)
{
    enum { LONGEST = 24 };
    size_t first = 1 + (n > 1 && from[1] == '#'), end = first;
    while (end < n && end - first <= LONGEST && is_letter_or_digit(from[end])) end++;
    if (end == first || end - first > LONGEST || end == n || from[end] != ';') return 0;
    if (first == 2) {
        int32_t number;
        if (read_number(from, 2, n, &number) != end || numbered(number) == ';') return 0;
        if (numbered(number) != NOTHING) *ok = put(out, numbered(number));
        return end + 1;
    }
    char name[FV_HTML_LONGEST_NAME + 1];
    bool bare;
    size_t length = read_name(from, 1, n, name);
    const char *text = fv_html_character(name, length, &bare), *small = NULL;
    if (!text) small = capital_of(name, length);
    if (text)
        *ok = put_utf8(out, text);
    else if (small && strcmp(small, "ß") == 0)
        *ok = put_utf8(out, "SS");
    else if (small)
        for (utf8proc_int32_t c; *ok && *small; *ok = put(out, utf8proc_toupper(c)))
            small += utf8proc_iterate((const byte *)small, -1, &c);
    return text || small ? end + 1 : 0;
}

/* --- repair --- */

static const char *ligature(int32_t c)
{
    static const char *const croatian[] = {"DŽ", "Dž", "dž", "LJ", "Lj", "lj", "NJ", "Nj", "nj"};
    static const char *const dz[] = {"DZ", "Dz", "dz"};
    static const char *const latin[] = {"ff", "fi", "fl", "ffi", "ffl", "ſt", "st"};
    if (c >= 0x1c4 && c <= 0x1cc) return croatian[c - 0x1c4];
    if (c >= 0x1f1 && c <= 0x1f3) return dz[c - 0x1f1];
    if (c >= 0xfb00 && c <= 0xfb06) return latin[c - 0xfb00];
    return c == 0x132 ? "IJ" : c == 0x133 ? "ij" : c == 0x149 ? "'n" : NULL;
}

static int32_t plain_quote(int32_t c)
{
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) return '\'';
    return c >= 0x201c && c <= 0x201f ? '"' : c;
}

/* A character that stands for another: Windows-1252, width, ligature, quote. */
static bool put_plain(fv_letters *out, int32_t c)
{
    if (c >= 0x80 && c <= 0x9f) c = windows[c - 0x80];
    if (c < 0x132) return put(out, c);
    const char *letters = ligature(c);
    if (letters) return put_utf8(out, letters);
    if (c >= 0xff01 && c <= 0xffef) {
        utf8proc_int32_t parts[8];
        int boundary = 0;
        utf8proc_ssize_t n =
            utf8proc_decompose_char(c, parts, 8, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
        bool ok = true;
        for (utf8proc_ssize_t i = 0; ok && i < n && i < 8; i++) ok = put(out, parts[i]);
        return ok;
    }
    return put(out, c == 0x3000 ? ' ' : plain_quote(c));
}

static bool is_dropped(int32_t c)
{
    static const int32_t controls[][2] = {{0x00, 0x08},    {0x0b, 0x0b},     {0x0e, 0x1f},
                                          {0x7f, 0x7f},    {0x206a, 0x206f}, {0xfeff, 0xfeff},
                                          {0xfff9, 0xfffc}};
    return AMONG(c, controls);
}

/* Characters of "ESC [ digits and semicolons letter" at from[0]; 0: something else. */
static size_t colour(const int32_t *from, size_t n)
{
    size_t i = 2;
    if (n < 3 || from[0] != 0x1b || from[1] != '[') return 0;
    while (i < n && (from[i] == ';' || utf8proc_category(from[i]) == UTF8PROC_CATEGORY_ND)) i++;
    bool letter = i < n && is_letter_or_digit(from[i]) && from[i] > '9';
    return letter ? i + 1 : 0;
}

/* Entities and single characters. */
static bool replace(fv_letters *out, const fv_letters *in, bool entities)
{
    bool ok = true;
    fv_letters meant = {0};
    out->count = 0;
    for (size_t i = 0; ok && i < in->count;) {
        meant.count = 0;
        size_t n = entities && in->at[i] == '&'
                       ? strict_entity(in->at + i, in->count - i, &meant, &ok)
                       : 0;
        if (n == 0) ok = put_plain(out, in->at[i++]);
        for (size_t k = 0; ok && n && k < meant.count; k++) ok = put_plain(out, meant.at[k]);
        i += n;
    }
    free(meant.at);
    return ok;
}

/* Line ends, colours and controls, in place. */
static void remove_controls(fv_letters *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count;) {
        int32_t c = t->at[i];
        size_t n = colour(t->at + i, t->count - i);
        if (n) {
            i += n;
            continue;
        }
        i++;
        if (c == '\r') {
            i += i < t->count && t->at[i] == '\n';
            c = '\n';
        } else if (c == 0x2028 || c == 0x2029) {
            c = '\n';
        }
        if (!is_dropped(c)) t->at[kept++] = c;
    }
    t->count = kept;
}

/* NFC of a run; out has room for it. Runs of marks are sorted one by one, so runs have an end:
 * before a letter that never joins with what stands before it, or after so many. */
static bool normalise_run(fv_letters *out, const int32_t *from, size_t n)
{
    size_t room = n;
    for (size_t i = 0; i < n; i++) room += from[i] >= 0xc0 ? 3 : 0; /* four at most */
    utf8proc_int32_t *parts = malloc((room + 1) * sizeof *parts);
    if (!parts) return false;
    size_t count = 0;
    int boundary = 0;
    for (size_t i = 0; i < n; i++)
        count += (size_t)utf8proc_decompose_char(from[i], parts + count,
                                                 (utf8proc_ssize_t)(room - count),
                                                 UTF8PROC_DECOMPOSE, &boundary);
    for (size_t i = 1; i < count; i++) { /* marks by their combining class */
        int class = utf8proc_get_property(parts[i])->combining_class;
        size_t to = i;
        utf8proc_int32_t c = parts[i];
        while (class && to && utf8proc_get_property(parts[to - 1])->combining_class > class) {
            parts[to] = parts[to - 1];
            to--;
        }
        parts[to] = c;
    }
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(parts, (utf8proc_ssize_t)count,
                                                         UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    bool ok = composed >= 0 && put_all(out, parts, (size_t)composed);
    free(parts);
    return ok;
}

static bool normalise(fv_letters *out, const fv_letters *in)
{
    enum { MOST = 1024 };
    bool ok = true;
    out->count = 0;
    for (size_t i = 0; ok && i < in->count;) {
        size_t end = i + 1;
        while (end < in->count && end - i < MOST && (end - i < MOST / 2 || in->at[end] >= 0x300))
            end++;
        ok = normalise_run(out, in->at + i, end - i);
        i = end;
    }
    return ok;
}

static bool same(const fv_letters *a, const fv_letters *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->at, b->at, a->count * sizeof *a->at) == 0);
}

/* A line in `line`, with two more for the work. */
static bool repair_line(fv_letters *line, fv_letters spare[2], bool entities)
{
    size_t work = 0;
    for (int round = 0; round < 2 || work < FV_CLIP_WORK; round++) {
        work += line->count + 1;
        if (!replace(&spare[0], line, entities)) return false;
        remove_controls(&spare[0]);
        if (!normalise(&spare[1], &spare[0])) return false;
        bool done = same(&spare[1], line);
        fv_letters swap = *line;
        *line = spare[1];
        spare[1] = swap;
        if (done) break;
    }
    return true;
}

static bool repair(fv_letters *out, const fv_letters *in)
{
    fv_letters line = {0}, spare[2] = {{0}};
    bool ok = true, entities = true;
    out->count = 0;
    for (size_t i = 0, end; ok && i < in->count; i = end) {
        for (end = i; end < in->count && in->at[end] != '\n'; end++)
            entities = entities && in->at[end] != '<'; /* from this line on it is HTML */
        end += end < in->count;
        line.count = 0;
        ok = put_all(&line, in->at + i, end - i) && repair_line(&line, spare, entities) &&
             put_all(out, line.at, line.count);
    }
    fv_letters_free(&line);
    fv_letters_free(&spare[0]);
    fv_letters_free(&spare[1]);
    return ok;
}

/* --- spaces and lower case --- */

static void squeeze(fv_letters *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        bool space = is_space(t->at[i]);
        if (space && (kept == 0 || t->at[kept - 1] == ' ')) continue;
        t->at[kept++] = space ? ' ' : t->at[i];
    }
    t->count = kept - (kept && t->at[kept - 1] == ' ');
}

static bool lower(fv_letters *out, const fv_letters *in)
{
    enum { I_WITH_DOT = 0x130, DOT = 0x307 };
    bool ok = true;
    out->count = 0;
    for (size_t i = 0; ok && i < in->count; i++) {
        int32_t c = in->at[i];
        if (c == I_WITH_DOT)
            ok = put(out, 'i') && put(out, DOT);
        else if (c == FV_CAPITAL_SIGMA && fv_final_sigma(in->at, in->count, i))
            ok = put(out, FV_FINAL_SIGMA);
        else
            ok = put(out, utf8proc_tolower(c));
    }
    return ok;
}

fv_status fv_clip_clean(const char *utf8, fv_letters *out)
{
    fv_letters a = {0}, b = {0};
    bool ok = put_utf8(&a, utf8) && repair(&b, &a) && unescape(&a, &b) && unescape(&b, &a);
    squeeze(&b);
    ok = ok && lower(&a, &b);
    free(b.at);
    if (ok) {
        *out = a;
        return FV_OK;
    }
    free(a.at);
    return fv_fail(FV_ERR_MEMORY, "cleaning a text: out of memory");
}

/* --- words --- */

typedef enum kind { LETTER, NUMBER, SPACE, OTHER } kind;

static kind kind_of(int32_t c)
{
    if (is_space(c)) return SPACE;
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO   ? LETTER
           : k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO ? NUMBER
                                                                    : OTHER;
}

enum { LONG_S = 0x17f, KELVIN = 0x212a };

/* Characters of `word` (lower-case ASCII) at text[at..], cases aside; 0: it is not there. *exactly:
 * not by a letter that only counts as one of its letters. */
static size_t match(const fv_letters *t, size_t at, const char *word, bool *exactly)
{
    size_t n = strlen(word);
    *exactly = true;
    if (t->count - at < n) return 0;
    for (size_t i = 0; i < n; i++) {
        int32_t c = t->at[at + i];
        *exactly = *exactly && c == word[i];
        c = c == LONG_S ? 's' : c == KELVIN ? 'k' : c;
        if (c != word[i]) return 0;
    }
    return n;
}

bool fv_clip_word(const fv_letters *t, size_t *begin, size_t *end, fv_clip_special *special)
{
    static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    size_t i = *end, n = 0;
    bool exactly;
    *special = FV_CLIP_WORD;
    while (i < t->count && kind_of(t->at[i]) == SPACE) i++;
    *begin = i;
    if (i == t->count) return false;
    for (int k = 0; t->at[i] == '<' && n == 0 && k < 2; k++)
        if ((n = match(t, i, marks[k], &exactly)) && exactly)
            *special = k ? FV_CLIP_END : FV_CLIP_START;
    for (size_t k = 0; t->at[i] == '\'' && n == 0 && k < sizeof endings / sizeof *endings; k++)
        n = match(t, i, endings[k], &exactly);
    kind first = kind_of(t->at[i]);
    if (n == 0)
        for (n = 1; first != NUMBER && i + n < t->count && kind_of(t->at[i + n]) == first;) n++;
    *end = i + n;
    return true;
}
