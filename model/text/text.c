/* BertTokenizer over utf8proc. See text.h. Text that looks like a special token ("[MASK]") is
 * ordinary text here: brackets are punctuation. */
#include "model/text/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

#include "model/text/sigma.h"

enum {
    MAX_VOCAB_BYTES = 64 << 20,
    MAX_PIECES = 1000000,
    LONGEST_WORD = 200, /* of any rules */
    MAX_PROBES = 500 /* chance makes it 100 */,
    DECOMPOSED = 32
};

struct fv_vocab {
    char *text;     /* the file, with '\n' replaced by 0 */
    char **pieces;  /* [size], into text */
    int32_t *slots; /* [slot_count] ids, -1: free; open addressing */
    size_t slot_count;
    int size;
    int32_t unknown, begin, end; /* [UNK], [CLS], [SEP] */
};

int fv_edits(const char *a, const char *b)
{
    enum { LONGEST = 127 };
    int row[LONGEST + 1], n = (int)strnlen(b, LONGEST);
    for (int k = 0; k <= n; k++) row[k] = k;
    for (int i = 1; *a && i <= LONGEST; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int k = 1; k <= n; k++) {
            int replaced = diagonal + (*a != b[k - 1]);
            int moved = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            diagonal = row[k];
            row[k] = replaced < moved ? replaced : moved;
        }
    }
    return row[n];
}

/* --- UTF-8 --- */

fv_status fv_utf8_check(const char *text, size_t bytes, const char *what)
{
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                              (utf8proc_ssize_t)(bytes - at), &c);
        if (n <= 0)
            return fv_fail(FV_ERR_ARGUMENT, "%s is not UTF-8: byte %zu is 0x%02x", what, at,
                           (unsigned char)text[at]);
        at += (size_t)n;
    }
    return FV_OK;
}

/* --- vocabulary --- */

static size_t hash(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the piece, or the free one where it belongs. */
static int32_t *slot_of(const fv_vocab *v, const char *piece, size_t n)
{
    for (size_t i = hash(piece, n) & (v->slot_count - 1);; i = (i + 1) & (v->slot_count - 1)) {
        int32_t id = v->slots[i];
        if (id < 0 || (strncmp(v->pieces[id], piece, n) == 0 && v->pieces[id][n] == 0))
            return &v->slots[i];
    }
}

static int32_t find(const fv_vocab *v, const char *piece, size_t n)
{
    return *slot_of(v, piece, n);
}

static fv_status read_text(fv_vocab *v, const char *path, size_t *bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return fv_fail(FV_ERR_IO, "opening vocabulary %s: %s", path, strerror(errno));
    fv_status s = FV_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        s = fv_fail(FV_ERR_IO, "opening vocabulary %s: not a regular file", path);
    else if (st.st_size == 0 || st.st_size > MAX_VOCAB_BYTES)
        s = fv_fail(FV_ERR_FORMAT, "vocabulary %s has %lld bytes, expected 1 to %d", path,
                    (long long)st.st_size, MAX_VOCAB_BYTES);
    else if (!(v->text = malloc((size_t)st.st_size + 1)))
        s = fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", path);
    size_t size = s < 0 ? 0 : (size_t)st.st_size, at = 0;
    while (at < size) {
        ssize_t n = read(fd, v->text + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            s = fv_fail(FV_ERR_IO, "reading vocabulary %s: %s", path,
                        n < 0 ? strerror(errno) : "it became shorter");
            break;
        }
        at += (size_t)n;
    }
    close(fd);
    if (s < 0) return s;
    v->text[size] = 0;
    *bytes = size;
    return FV_OK;
}

/* Behind the line that begins at `at`; its end becomes 0. *n: its bytes. */
static char *end_line(char *at, char *end, size_t *n)
{
    char *stop = at;
    while (stop < end && *stop != '\n' && *stop != '\r') stop++;
    char *next = stop + (stop < end) + (stop + 1 < end && stop[0] == '\r' && stop[1] == '\n');
    *stop = 0; /* a zero stands behind the content */
    *n = (size_t)(stop - at);
    return next;
}

static size_t count_lines(const char *text, size_t bytes)
{
    size_t lines = 0;
    bool open = false;
    for (size_t i = 0; i < bytes; i++) {
        bool ends = text[i] == '\n' || (text[i] == '\r' && (i + 1 == bytes || text[i + 1] != '\n'));
        lines += ends;
        open = !ends;
    }
    return lines + open;
}

static fv_status split_lines(fv_vocab *v, const char *path, size_t bytes)
{
    char *line = v->text, *end = v->text + bytes;
    if (bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    size_t lines = count_lines(line, (size_t)(end - line));
    if (lines > MAX_PIECES)
        return fv_fail(FV_ERR_FORMAT, "vocabulary %s has %zu lines, expected at most %d", path,
                       lines, MAX_PIECES);
    for (v->slot_count = 64; v->slot_count < 2 * lines;) v->slot_count *= 2;
    v->pieces = malloc((lines + 1) * sizeof *v->pieces);
    v->slots = malloc(v->slot_count * sizeof *v->slots);
    if (!v->pieces || !v->slots)
        return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", path);
    memset(v->slots, 0xff, v->slot_count * sizeof *v->slots);
    for (size_t i = 0; i < lines; i++) {
        size_t n;
        char *next = end_line(line, end, &n);
        if (strlen(line) != n || fv_utf8_check(line, n, path) < 0)
            return fv_fail(FV_ERR_FORMAT, "vocabulary %s, line %zu: not UTF-8 text", path, i + 1);
        int32_t *slot = slot_of(v, line, n);
        size_t way = ((size_t)(slot - v->slots) - hash(line, n)) & (v->slot_count - 1);
        if (way > MAX_PROBES)
            return fv_fail(FV_ERR_FORMAT,
                           "vocabulary %s, line %zu: more than %d pieces were chosen to have one"
                           " hash",
                           path, i + 1, MAX_PROBES);
        *slot = (int32_t)i; /* the last of equal ones is the one that is found */
        v->pieces[i] = line;
        v->size = (int)i + 1;
        line = next;
    }
    return FV_OK;
}

static fv_status find_special(const fv_vocab *v, const char *path, const char *piece, int32_t *id)
{
    *id = find(v, piece, strlen(piece));
    if (*id >= 0) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "vocabulary %s (%d lines) has no %s: is it a BERT vocab.txt?",
                   path, v->size, piece);
}

static fv_status open_vocab(fv_vocab *v, const char *path)
{
    size_t bytes = 0;
    int32_t padding;
    FV_TRY(read_text(v, path, &bytes));
    FV_TRY(split_lines(v, path, bytes));
    FV_TRY(find_special(v, path, "[PAD]", &padding));
    FV_TRY(find_special(v, path, "[UNK]", &v->unknown));
    FV_TRY(find_special(v, path, "[CLS]", &v->begin));
    return find_special(v, path, "[SEP]", &v->end);
}

fv_status fv_vocab_open(fv_vocab **out, const char *path)
{
    fv_vocab *v = calloc(1, sizeof *v);
    if (!v) return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", path);
    fv_status s = open_vocab(v, path);
    if (s < 0) {
        fv_vocab_free(v);
        return s;
    }
    *out = v;
    return FV_OK;
}

void fv_vocab_free(fv_vocab *v)
{
    if (!v) return;
    free(v->text);
    free(v->pieces);
    free(v->slots);
    free(v);
}

int fv_vocab_size(const fv_vocab *v)
{
    return v->size;
}

const char *fv_vocab_piece(const fv_vocab *v, int id)
{
    return id >= 0 && id < v->size ? v->pieces[id] : NULL;
}

int fv_vocab_find(const fv_vocab *v, const char *piece)
{
    return find(v, piece, strlen(piece));
}

/* --- characters, as HuggingFace's BasicTokenizer sorts them --- */

static bool is_space(int32_t c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return true;
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* Code points that never become characters: U+FDD0 to U+FDEF, the last two of each plane. */
static bool is_no_character(int32_t c)
{
    return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

/* Dropped: zero, the replacement character, and every category C (control, format, private,
 * surrogate) that is not white space. Unassigned ones are letters, see text.h. */
static bool is_dropped(int32_t c)
{
    if (c == 0 || c == 0xfffd || is_no_character(c)) return true;
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CS ||
           k == UTF8PROC_CATEGORY_CO;
}

static bool is_ideograph(int32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_punctuation(int32_t c)
{
    if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
        (c >= 123 && c <= 126))
        return true;
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* Lower case, canonical decomposition, marks dropped: at most DECOMPOSED characters. */
static int normalise(int32_t c, utf8proc_int32_t out[DECOMPOSED])
{
    utf8proc_int32_t parts[DECOMPOSED];
    int boundary = 0, count = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(utf8proc_tolower(c), parts, DECOMPOSED,
                                                 UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < DECOMPOSED; i++)
        if (utf8proc_category(parts[i]) != UTF8PROC_CATEGORY_MN) out[count++] = parts[i];
    return count;
}

bool fv_text_blank(const char *utf8)
{
    utf8proc_int32_t c, parts[DECOMPOSED];
    for (const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)utf8; *at;) {
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &c);
        if (n <= 0 || (!is_space(c) && !is_dropped(c) && normalise(c, parts))) return false;
        at += n;
    }
    return true;
}

/* --- words to pieces --- */

typedef struct writer {
    const fv_vocab *v;
    bool chinese_clip; /* its rules */
    size_t longest;    /* characters of a word that is looked up */
    fv_tokens *out;
    char *word;        /* UTF-8 of the word so far */
    size_t *ends;      /* [characters] byte behind each character */
    size_t characters; /* of the word so far */
    int32_t *pieces;   /* of one word */
} writer;

static void put_token(writer *w, int32_t id)
{
    fv_tokens *t = w->out;
    if (t->used >= t->length - 1) { /* the last place is [SEP]'s */
        t->dropped++;
        return;
    }
    t->ids[t->used++] = id;
    t->unknown += id == w->v->unknown;
}

/* The longest piece that starts at character `from`: its id, and where it ends. */
static int32_t longest_piece(const writer *w, size_t from, size_t *to)
{
    char piece[2 + 4 * LONGEST_WORD + 1];
    size_t begin = from ? w->ends[from - 1] : 0, mark = from ? 2 : 0;
    memcpy(piece, "##", 2);
    for (size_t end = w->characters; end > from; end--) {
        size_t n = w->ends[end - 1] - begin;
        memcpy(piece + mark, w->word + begin, n);
        piece[mark + n] = 0;
        int32_t id = find(w->v, piece, mark + n);
        if (id >= 0) {
            *to = end;
            return id;
        }
    }
    return -1;
}

static void end_word(writer *w)
{
    size_t count = 0;
    bool covered = w->characters <= w->longest;
    for (size_t at = 0; covered && at < w->characters;) {
        int32_t id = longest_piece(w, at, &at);
        covered = id >= 0;
        w->pieces[count++] = id;
    }
    if (w->characters && !covered) put_token(w, w->v->unknown);
    for (size_t i = 0; covered && i < count; i++) put_token(w, w->pieces[i]);
    w->characters = 0;
}

static void add_character(writer *w, int32_t c)
{
    /* beyond the longest word only the count matters */
    size_t begin = w->characters ? w->ends[w->characters - 1] : 0;
    if (w->characters > w->longest) return;
    begin += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)w->word + begin);
    w->ends[w->characters++] = begin;
}

/* Punctuation stands alone. */
static void add_normalised(writer *w, int32_t c)
{
    utf8proc_int32_t parts[DECOMPOSED];
    int n = normalise(c, parts);
    for (int i = 0; i < n; i++) {
        if (is_punctuation(parts[i])) {
            end_word(w);
            add_character(w, parts[i]);
            end_word(w);
        } else {
            add_character(w, parts[i]);
        }
    }
}

/* Whether the sigma at `at` is the last letter of its word: no cased letter follows, and one stands
 * before it. Words end at spaces and ideographs; what is dropped is not there. */
static bool ends_word(const char *utf8, size_t bytes, size_t at)
{
    const utf8proc_uint8_t *text = (const utf8proc_uint8_t *)utf8;
    utf8proc_int32_t c = 0;
    size_t i = at;
    do {
        if (i == 0) return false;
        while ((text[--i] & 0xc0) == 0x80) continue;
        utf8proc_iterate(text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (is_space(c)) return false;
    } while (is_dropped(c) || fv_is_case_ignorable(c));
    if (!fv_is_cased(c)) return false;
    i = at;
    i += (size_t)utf8proc_iterate(text + i, (utf8proc_ssize_t)(bytes - i), &c);
    do {
        if (i == bytes) return true;
        i += (size_t)utf8proc_iterate(text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (is_space(c)) return true;
    } while (is_dropped(c) || fv_is_case_ignorable(c));
    return !fv_is_cased(c);
}

static void add_text(writer *w, const char *utf8, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        size_t begin = at;
        at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)utf8 + at,
                                       (utf8proc_ssize_t)(bytes - at), &c);
        if (w->chinese_clip && c == FV_CAPITAL_SIGMA && ends_word(utf8, bytes, begin))
            c = FV_FINAL_SIGMA;
        if (is_space(c)) {
            end_word(w);
        } else if (is_dropped(c)) {
            continue;
        } else if (is_ideograph(c)) {
            end_word(w);
            add_normalised(w, c);
            end_word(w);
        } else {
            add_normalised(w, c);
        }
    }
    end_word(w);
}

/* The id of the special token that `text` starts with, and its bytes; -1: none. */
static int32_t special_at(const fv_vocab *v, const char *text, size_t *bytes)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; *text == '[' && i < sizeof names / sizeof names[0]; i++) {
        *bytes = strlen(names[i]);
        if (strncmp(text, names[i], *bytes) == 0) return find(v, names[i], *bytes);
    }
    return -1;
}

/* Text between special tokens is split on its own: they are found first, by their exact bytes. */
static void add_all(writer *w, const char *utf8)
{
    const char *begin = utf8;
    size_t bytes;
    for (const char *at = utf8; *at;) {
        int32_t id = special_at(w->v, at, &bytes);
        if (id < 0) {
            at++;
            continue;
        }
        add_text(w, begin, (size_t)(at - begin));
        put_token(w, id);
        begin = at += bytes;
    }
    add_text(w, begin, strlen(begin));
}

static fv_status tokenize(const fv_vocab *v, const char *utf8, int length, bool chinese_clip,
                          fv_tokens *out)
{
    size_t bytes = strlen(utf8);
    FV_TRY(fv_utf8_check(utf8, bytes, "the text"));
    if (length < 2)
        return fv_fail(FV_ERR_ARGUMENT, "tokenizing to %d tokens: expected 2 or more", length);
    fv_tokens t = {.ids = calloc((size_t)length, sizeof *t.ids), .length = length};
    writer w = {.v = v,
                .chinese_clip = chinese_clip,
                .longest = chinese_clip ? 200 : 100,
                .out = &t,
                .word = malloc(4 * (LONGEST_WORD + 1)),
                .ends = malloc((LONGEST_WORD + 1) * sizeof *w.ends),
                .pieces = malloc((LONGEST_WORD + 1) * sizeof *w.pieces)};
    fv_status s = FV_OK;
    if (t.ids && w.word && w.ends && w.pieces) {
        t.ids[t.used++] = v->begin;
        if (chinese_clip)
            add_text(&w, utf8, bytes);
        else
            add_all(&w, utf8);
        t.ids[t.used++] = v->end;
        *out = t;
    } else {
        free(t.ids);
        s = fv_fail(FV_ERR_MEMORY, "tokenizing: out of memory");
    }
    free(w.word);
    free(w.ends);
    free(w.pieces);
    return s;
}

fv_status fv_tokenize(const fv_vocab *v, const char *utf8, int length, fv_tokens *out)
{
    return tokenize(v, utf8, length, false, out);
}

fv_status fv_tokenize_chinese_clip(const fv_vocab *v, const char *utf8, int length, fv_tokens *out)
{
    return tokenize(v, utf8, length, true, out);
}

void fv_tokens_free(fv_tokens *t)
{
    free(t->ids);
    t->ids = NULL;
}
