/* See bpe.h. A word of n bytes costs n log n: pairs wait in a heap, by merge and then by place. */
#include "model/text/bpe.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

#include "model/files/read_file.h"
#include "model/text/clip_clean.h"

enum {
    MAX_BYTES = 16 << 20,
    MAX_MERGES = 1000000,
    BYTES = 256,
    LETTERS = 2 * BYTES, /* and the same at the end of a word */
    MARKS = 2,
    USUAL_SIZE = 49408,
    MAX_PROBES = 500 /* chance makes it 100 */
};

typedef struct piece {
    const char *text;
    int length, first; /* bytes; of those its left half has so many */
} piece;

typedef struct pair {
    int32_t left, right; /* ids; left -1: a free slot */
    int32_t rank;
} pair;

struct fv_bpe {
    int merges;
    uint64_t hash;            /* of the pairs in their order */
    int32_t letters[LETTERS]; /* ids of bytes, and of bytes that end a word */
    int32_t *joined;          /* [merges] the id that a merge makes */
    pair *pairs;              /* [slots] open addressing */
    size_t slots;
};

/* What is only needed while a file is read. */
typedef struct reader {
    const char *path;
    char *text;
    size_t bytes;
    char letters[LETTERS][8];
    piece *pieces;  /* [LETTERS + merges] by id */
    int32_t *names; /* [name_slots] ids by their text, -1: free; the last of equal ones */
    size_t name_slots;
} reader;

/* --- the file --- */

static fv_status inflate_text(reader *r, unsigned char *data, size_t size)
{
    z_stream z = {.next_in = data, .avail_in = (uInt)size};
    r->text = malloc(MAX_BYTES + 1);
    if (!r->text || inflateInit2(&z, 15 + 16) != Z_OK)
        return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", r->path);
    z.next_out = (Bytef *)r->text;
    z.avail_out = MAX_BYTES;
    int end = inflate(&z, Z_FINISH);
    r->bytes = z.total_out;
    inflateEnd(&z);
    if (end == Z_STREAM_END) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "vocabulary %s: %s", r->path,
                   z.avail_out ? "its compressed data is damaged or cut short"
                               : "unpacked it is larger than a list of merges");
}

static fv_status read_merges(reader *r)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file(&data, &size, r->path, "vocabulary", MAX_BYTES));
    if (size < 2 || data[0] != 0x1f || data[1] != 0x8b) {
        r->text = (char *)data;
        r->bytes = size;
        return FV_OK;
    }
    fv_status s = inflate_text(r, data, size);
    free(data);
    return s;
}

static char *line_end(const reader *r, char *at)
{
    char *end = memchr(at, '\n', (size_t)(r->text + r->bytes - at));
    return end ? end : r->text + r->bytes;
}

/* "left right" at [line, end), moved together: the space goes. */
static bool split(piece *p, char *line, char *end)
{
    if (end > line && end[-1] == '\r') end--;
    char *space = memchr(line, ' ', (size_t)(end - line));
    if (!space || space == line || space + 1 == end) return false;
    size_t right = (size_t)(end - space) - 1;
    if (memchr(space + 1, ' ', right)) return false;
    memmove(space, space + 1, right);
    *p = (piece){line, (int)(space - line + (ptrdiff_t)right), (int)(space - line)};
    return true;
}

static fv_status split_lines(fv_bpe *v, reader *r, int size)
{
    char *end = r->text + r->bytes, *at = line_end(r, r->text) + 1;
    int wanted = (size ? size : USUAL_SIZE) - LETTERS - MARKS, line = 2;
    if (wanted < 0 || wanted > MAX_MERGES)
        return fv_fail(FV_ERR_ARGUMENT,
                       "vocabulary %s: %d ids are wanted, of which letters and marks take %d",
                       r->path, size, LETTERS + MARKS);
    r->pieces = malloc(((size_t)LETTERS + (size_t)wanted) * sizeof *r->pieces);
    if (!r->pieces) return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", r->path);
    for (; v->merges < wanted && at < end; line++) {
        char *stop = line_end(r, at);
        if (stop == at && stop + 1 >= end) break;
        if (!split(&r->pieces[LETTERS + v->merges], at, stop))
            return fv_fail(FV_ERR_FORMAT,
                           "vocabulary %s, line %d: expected two symbols with a space between; is"
                           " it CLIP's bpe_simple_vocab_16e6.txt.gz, or a merges.txt?",
                           r->path, line);
        v->merges++;
        at = stop + 1;
    }
    if (v->merges == 0 || (size && v->merges < wanted))
        return fv_fail(FV_ERR_FORMAT, "vocabulary %s has %d merges, the text tower needs %d",
                       r->path, v->merges, wanted);
    return FV_OK;
}

/* --- symbols by their text --- */

static size_t hash(const char *s, int n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (int i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of this text, or the free one where it belongs; NULL: too many have one hash. */
static int32_t *name_slot(const reader *r, const char *text, int n)
{
    size_t i = hash(text, n);
    for (int probe = 0; probe < MAX_PROBES; probe++, i++) {
        int32_t *slot = &r->names[i & (r->name_slots - 1)];
        if (*slot < 0) return slot;
        const piece *p = &r->pieces[*slot];
        if (p->length == n && memcmp(p->text, text, (size_t)n) == 0) return slot;
    }
    return NULL;
}

static int32_t find(const reader *r, const char *text, int n)
{
    const int32_t *slot = name_slot(r, text, n);
    return slot ? *slot : -1;
}

/* The letters of the 256 bytes: those that can be seen are themselves and come first, the others
 * are U+0100 and so on. *at[b]: where byte b comes. */
static void letters_of_bytes(reader *r, int at[BYTES])
{
    int count = 0, hidden = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < BYTES; b++) {
            bool seen = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
            if (seen == (pass == 1)) continue;
            char *text = r->letters[count];
            int n =
                (int)utf8proc_encode_char(seen ? b : BYTES + hidden++, (utf8proc_uint8_t *)text);
            r->pieces[count] = (piece){text, n, n};
            char *end = r->letters[BYTES + count];
            memcpy(end, text, (size_t)n);
            memcpy(end + n, "</w>", 4);
            r->pieces[BYTES + count] = (piece){end, n + 4, n};
            at[b] = count++;
        }
}

static fv_status too_alike(const reader *r, int id)
{
    return fv_fail(FV_ERR_FORMAT,
                   "vocabulary %s, line %d: more than %d merges were chosen to have one hash",
                   r->path, id - LETTERS + 2, MAX_PROBES);
}

static fv_status name_pieces(fv_bpe *v, reader *r)
{
    int total = LETTERS + v->merges, at[BYTES];
    for (r->name_slots = 2048; r->name_slots < 2 * (size_t)total;) r->name_slots *= 2;
    r->names = malloc(r->name_slots * sizeof *r->names);
    if (!r->names) return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", r->path);
    memset(r->names, 0xff, r->name_slots * sizeof *r->names);
    letters_of_bytes(r, at);
    for (int id = 0; id < total; id++) {
        int32_t *slot = name_slot(r, r->pieces[id].text, r->pieces[id].length);
        if (!slot) return too_alike(r, id);
        *slot = id;
    }
    for (int b = 0; b < BYTES; b++)
        for (int ends = 0; ends < 2; ends++) {
            const piece *p = &r->pieces[at[b] + ends * BYTES];
            v->letters[b + ends * BYTES] = find(r, p->text, p->length);
        }
    return FV_OK;
}

/* --- merges by their pair --- */

static pair *pair_slot(const fv_bpe *v, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 11400714819323198485u;
    size_t i = (size_t)(h >> 24);
    for (int probe = 0; probe < MAX_PROBES; probe++, i++) {
        pair *p = &v->pairs[i & (v->slots - 1)];
        if (p->left < 0 || (p->left == left && p->right == right)) return p;
    }
    return NULL;
}

/* INT32_MAX: no merge joins these two. */
static int32_t rank_of(const fv_bpe *v, int32_t left, int32_t right)
{
    const pair *p = pair_slot(v, left, right);
    return p && p->left >= 0 ? p->rank : INT32_MAX;
}

static fv_status rank_pairs(fv_bpe *v, const reader *r)
{
    for (v->slots = 2048; v->slots < 2 * (size_t)v->merges;) v->slots *= 2;
    v->pairs = malloc(v->slots * sizeof *v->pairs);
    v->joined = malloc(((size_t)v->merges + 1) * sizeof *v->joined);
    if (!v->pairs || !v->joined)
        return fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", r->path);
    memset(v->pairs, 0xff, v->slots * sizeof *v->pairs);
    v->hash = 14695981039346656037u; /* FNV-1a */
    for (int i = 0; i < v->merges; i++) {
        const piece *p = &r->pieces[LETTERS + i];
        int32_t left = find(r, p->text, p->first);
        int32_t right = find(r, p->text + p->first, p->length - p->first);
        if (left < 0 || right < 0)
            return fv_fail(FV_ERR_FORMAT,
                           "vocabulary %s, line %d: no letter and no other merge gives its %s half",
                           r->path, i + 2, left < 0 ? "left" : "right");
        pair *slot = pair_slot(v, left, right);
        if (!slot) return too_alike(r, LETTERS + i);
        *slot = (pair){left, right, i};
        v->hash = (v->hash ^ ((uint64_t)left << 32 | (uint64_t)right)) * 1099511628211u;
        v->joined[i] = find(r, p->text, p->length);
    }
    return FV_OK;
}

fv_status fv_bpe_open(fv_bpe **out, const char *path, int size)
{
    fv_bpe *v = calloc(1, sizeof *v);
    reader *r = calloc(1, sizeof *r);
    fv_status s =
        v && r ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading vocabulary %s: out of memory", path);
    if (r) r->path = path;
    if (s >= 0) s = read_merges(r);
    if (s >= 0) s = split_lines(v, r, size);
    if (s >= 0) s = name_pieces(v, r);
    if (s >= 0) s = rank_pairs(v, r);
    if (r) {
        free(r->text);
        free(r->pieces);
        free(r->names);
        free(r);
    }
    if (s < 0)
        fv_bpe_free(v);
    else
        *out = v;
    return s;
}

void fv_bpe_free(fv_bpe *v)
{
    if (!v) return;
    free(v->joined);
    free(v->pairs);
    free(v);
}

int fv_bpe_size(const fv_bpe *v)
{
    return LETTERS + v->merges + MARKS;
}

uint64_t fv_bpe_hash(const fv_bpe *v)
{
    return v->hash;
}

/* --- a word --- */

typedef struct waiting {
    int32_t rank, place;
} waiting;

/* Symbols of a word in a list; arrays for `room` of them. */
typedef struct word {
    const fv_bpe *v;
    int32_t *ids, *next,
        *before;           /* next, before: places, -1 at the ends; ids -1: joined to another */
    waiting *heap, *batch; /* [3 room], [room] */
    size_t room, count, waits;
} word;

static bool is_earlier(waiting a, waiting b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.place < b.place;
}

static void push(word *w, int32_t place)
{
    int32_t after = w->next[place];
    if (after < 0) return;
    waiting new = {rank_of(w->v, w->ids[place], w->ids[after]), place};
    if (new.rank == INT32_MAX) return;
    size_t i = w->waits++;
    for (size_t up; i > 0 && is_earlier(new, w->heap[up = (i - 1) / 2]); i = up)
        w->heap[i] = w->heap[up];
    w->heap[i] = new;
}

static waiting pop(word *w)
{
    waiting top = w->heap[0], last = w->heap[--w->waits];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < w->waits; i = down) {
        down += down + 1 < w->waits && is_earlier(w->heap[down + 1], w->heap[down]);
        if (!is_earlier(w->heap[down], last)) break;
        w->heap[i] = w->heap[down];
    }
    w->heap[i] = last;
    return top;
}

/* Joins the pair at this place, if it still is the one of this rank. */
static void join(word *w, waiting p)
{
    int32_t after = w->ids[p.place] < 0 ? -1 : w->next[p.place];
    if (after < 0 || rank_of(w->v, w->ids[p.place], w->ids[after]) != p.rank) return;
    w->ids[p.place] = w->v->joined[p.rank];
    w->ids[after] = -1;
    w->next[p.place] = w->next[after];
    if (w->next[after] >= 0) w->before[w->next[after]] = p.place;
    push(w, p.place);
    if (w->before[p.place] >= 0) push(w, w->before[p.place]);
}

/* All pairs of one rank before any other, as they stood when its turn came. */
static void join_all(word *w)
{
    for (size_t i = 0; i < w->count; i++) {
        w->next[i] = i + 1 < w->count ? (int32_t)i + 1 : -1;
        w->before[i] = (int32_t)i - 1;
    }
    w->waits = 0;
    for (size_t i = 0; i < w->count; i++) push(w, (int32_t)i);
    while (w->waits) {
        size_t n = 0;
        int32_t rank = w->heap[0].rank, last = -1;
        while (w->waits && w->heap[0].rank == rank) {
            waiting p = pop(w);
            if (p.place != last) w->batch[n++] = p; /* it may wait twice */
            last = p.place;
        }
        for (size_t i = 0; i < n; i++) join(w, w->batch[i]);
    }
}

static bool make_room(word *w, size_t bytes)
{
    if (bytes <= w->room) return true;
    int32_t *ids = malloc(3 * bytes * sizeof *ids);
    waiting *heap = malloc(4 * bytes * sizeof *heap);
    free(w->ids);
    free(w->heap);
    w->ids = ids;
    w->heap = heap;
    w->room = ids && heap ? bytes : 0;
    if (!w->room) return false;
    w->next = ids + bytes;
    w->before = ids + 2 * bytes;
    w->batch = heap + 3 * bytes;
    return true;
}

/* Its bytes as letters, the last one as an end. */
static bool spell(word *w, const int32_t *text, size_t n)
{
    if (!make_room(w, 4 * n)) return false;
    w->count = 0;
    for (size_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t length = utf8proc_encode_char(text[i], bytes);
        for (utf8proc_ssize_t k = 0; k < length; k++) {
            bool ends = i + 1 == n && k + 1 == length;
            w->ids[w->count++] = w->v->letters[bytes[k] + (ends ? BYTES : 0)];
        }
    }
    return true;
}

/* --- a text --- */

static void put_token(fv_tokens *t, int32_t id)
{
    if (t->used < t->length - 1) /* the last place is the end mark's */
        t->ids[t->used++] = id;
    else
        t->dropped++;
}

static bool add_words(const fv_bpe *v, const fv_letters *text, fv_tokens *t)
{
    int32_t start = LETTERS + v->merges;
    fv_clip_special special;
    word w = {.v = v};
    bool ok = true;
    for (size_t begin, end = 0; ok && fv_clip_word(text, &begin, &end, &special);) {
        if (special != FV_CLIP_WORD) {
            put_token(t, special == FV_CLIP_START ? start : start + 1);
            continue;
        }
        ok = spell(&w, text->at + begin, end - begin);
        if (!ok) break;
        join_all(&w);
        for (int32_t i = w.count ? 0 : -1; i >= 0; i = w.next[i]) put_token(t, w.ids[i]);
    }
    free(w.ids);
    free(w.heap);
    return ok;
}

fv_status fv_bpe_tokenize(const fv_bpe *v, const char *utf8, int length, fv_tokens *out)
{
    FV_TRY(fv_utf8_check(utf8, strlen(utf8), "the text"));
    if (length < 2)
        return fv_fail(FV_ERR_ARGUMENT, "tokenizing to %d tokens: expected 2 or more", length);
    fv_letters text = {0};
    FV_TRY(fv_clip_clean(utf8, &text));
    fv_tokens t = {.ids = calloc((size_t)length, sizeof *t.ids), .length = length};
    bool ok = t.ids != NULL;
    if (ok) {
        t.ids[t.used++] = LETTERS + v->merges;
        ok = add_words(v, &text, &t);
        t.ids[t.used++] = LETTERS + v->merges + 1;
    }
    fv_letters_free(&text);
    if (ok) {
        *out = t;
        return FV_OK;
    }
    fv_tokens_free(&t);
    return fv_fail(FV_ERR_MEMORY, "tokenizing: out of memory");
}
