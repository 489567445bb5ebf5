/* What the option `term` means. See terms_syntax.h. */
#include "feavis/settings/terms_syntax.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/option.h"
#include "kernels/number.h"
#include "model/files/path.h"

void fv_terms_clear(fv_terms *t)
{
    for (int i = 0; i < t->count; i++) {
        free(t->at[i].name);
        free(t->at[i].layer);
        free(t->at[i].text);
        free(t->at[i].file);
        free(t->at[i].target);
    }
    *t = (fv_terms){0};
}

/* Values of layers differ by orders of magnitude, so weights do. */
static const float most_weight = 1e4f;

static fv_status unclear(const char *part, const char *why)
{
    return fv_fail(FV_ERR_ARGUMENT,
                   "term \"%.80s\": %s; expected LAYER, LAYER:CHANNEL, LAYER:CHANNEL@max, "
                   "LAYER:CHANNEL@ROW,COLUMN or LAYER:text=TEXT, :vector=, :like= or :unlike=FILE, "
                   "with *WEIGHT behind it or without",
                   part, why);
}

/* Takes "*number" off the end; 1 without. */
static fv_status take_weight(fv_term *t, const char *part)
{
    char *star = strrchr(t->name, '*'), *rest;
    t->weight = 1;
    if (!star) return FV_OK;
    t->weight = fv_to_float(star + 1, &rest);
    if (rest == star + 1 || rest[strspn(rest, " \t")]) return unclear(part, "no number behind *");
    if (!(fabsf(t->weight) <= most_weight))
        return fv_fail(FV_ERR_ARGUMENT, "term \"%.80s\": a weight is between -%g and %g", part,
                       (double)most_weight, (double)most_weight);
    while (star > t->name && (star[-1] == ' ' || star[-1] == '\t')) star--;
    *star = 0;
    return FV_OK;
}

/* A number of an index at `at`; *end behind it. */
static bool take_index(const char *at, int *out, const char **end)
{
    char *rest;
    if (*at < '0' || *at > '9') return false;
    long n = strtol(at, &rest, 10);
    if (n > INT_MAX) return false;
    *out = (int)n;
    *end = rest;
    return true;
}

static fv_status take_where(fv_term *t, const char *where, const char *part)
{
    const char *end;
    if (strcmp(where, "mean") == 0) return FV_OK;
    t->reduce = FV_TERM_MAX;
    if (strcmp(where, "max") == 0) return FV_OK;
    t->reduce = FV_TERM_PLACE;
    if (!take_index(where, &t->row, &end) || *end != ',' ||
        !take_index(end + 1, &t->column, &end) || *end)
        return unclear(part, "what is behind @ is neither mean, max nor ROW,COLUMN");
    return FV_OK;
}

/* --- words and files --- */

static const struct {
    const char *begin;
    fv_term_kind kind;
} words[] = {{"text=", FV_TERM_TEXT},
             {"vector=", FV_TERM_VECTOR},
             {"like=", FV_TERM_LIKE},
             {"unlike=", FV_TERM_UNLIKE}};

/* What is behind the word that begins here; NULL: none does. */
static const char *take_word(const char *at, fv_term_kind *kind)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i].begin);
        if (strncmp(at, words[i].begin, n) != 0) continue;
        *kind = words[i].kind;
        return at + n;
    }
    return NULL;
}

/* "#" and 16 digits at the end; NULL: there is none. */
static char *find_hash(char *file)
{
    size_t n = strlen(file);
    char *mark = n > 17 ? file + n - 17 : NULL;
    return mark && *mark == '#' && strspn(mark + 1, "0123456789abcdef") == 16 ? mark : NULL;
}

/* The file begins at `file`, in name, which loses its folder and hash. */
static fv_status take_file(fv_term *t, char *file, const char *part)
{
    t->file_at = (size_t)(file - t->name);
    t->file_size = strlen(file);
    char *hash = find_hash(file);
    if (hash) {
        memcpy(t->hash, hash + 1, sizeof t->hash);
        *hash = 0;
    }
    t->file = strdup(file);
    if (!t->file) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    const char *bare = fv_path_name(t->file);
    if (!*bare) return unclear(part, "there is no file behind =");
    memmove(file, bare, strlen(bare) + 1);
    return FV_OK;
}

/* text=, vector=, like=, unlike=: `value` is behind it, in name. */
static fv_status take_value(fv_term *t, char *value, const char *part)
{
    if (t->kind != FV_TERM_TEXT) return take_file(t, value, part);
    t->text = strdup(value);
    if (!t->text) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    return *t->text ? FV_OK : unclear(part, "the text is empty");
}

/* "7", "7@...", "4-7" */
static fv_status take_channels(fv_term *t, const char *text, const char **end, const char *part)
{
    int last;
    bool good = take_index(text, &t->channel, end);
    last = t->channel;
    bool range = good && **end == '-';
    if (range) good = take_index(*end + 1, &last, end);
    t->channels = last - t->channel + 1;
    t->kind = range ? FV_TERM_LAYER : FV_TERM_CHANNEL;
    if (!good || (**end && **end != '@'))
        return unclear(part, "what is behind : is neither a channel nor one of text=, vector=, "
                             "like=, unlike=");
    if (t->channels < 1) return unclear(part, "the last channel is before the first");
    return FV_OK;
}

/* Bytes of "guide2." in front; 0: none. */
static size_t guide_part(const char *name)
{
    size_t n = strncmp(name, "guide", 5) == 0 ? 5 + strspn(name + 5, "0123456789") : 0;
    return n > 5 && name[n] == '.' ? n + 1 : 0;
}

/* name is whole; layer becomes a copy cut at ':' or '@', or the embedding's name. */
static fv_status take_what(fv_term *t, const char *part)
{
    size_t guide = guide_part(t->name);
    const char *end = "", *value = take_word(t->name + guide, &t->kind);
    bool alone = value;
    const char *colon = alone ? NULL : strchr(t->name, ':'), *at = strrchr(t->name, '@');
    const char *layer_end = colon ? colon : at ? at : t->name + strlen(t->name);
    if (!alone)
        t->layer = strndup(t->name, (size_t)(layer_end - t->name));
    else if (asprintf(&t->layer, "%.*simage_embedding", (int)guide, t->name) < 0)
        t->layer = NULL;
    if (!t->layer) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    if (!*t->layer) return unclear(part, "no layer in front");
    if (!alone && colon) value = take_word(colon + 1, &t->kind);
    if (value) return take_value(t, t->name + (value - t->name), part);
    t->kind = FV_TERM_LAYER;
    if (colon) {
        FV_TRY(take_channels(t, colon + 1, &end, part));
        at = *end ? end : NULL;
    }
    return at ? take_where(t, at + 1, part) : FV_OK;
}

/* The part of `text` at `begin`. */
static fv_status add_term(fv_terms *out, const char *text, const char *begin, size_t size)
{
    char part[512];
    while (size && (*begin == ' ' || *begin == '\t')) begin++, size--;
    while (size && (begin[size - 1] == ' ' || begin[size - 1] == '\t')) size--;
    if (size == 0) return fv_fail(FV_ERR_ARGUMENT, "term: an empty part beside |");
    if (out->count == FV_MAX_TERMS)
        return fv_fail(FV_ERR_ARGUMENT, "term: more than %d terms", FV_MAX_TERMS);
    snprintf(part, sizeof part, "%.*s", size < sizeof part ? (int)size : (int)sizeof part - 1,
             begin);
    fv_term *t = &out->at[out->count++];
    t->name = strndup(begin, size);
    if (!t->name) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    FV_TRY(take_weight(t, part));
    FV_TRY(take_what(t, part));
    t->file_at += (size_t)(begin - text);
    return FV_OK;
}

fv_status fv_terms_parse(fv_terms *out, const char *text)
{
    fv_terms t = {0};
    fv_status s = FV_OK;
    for (const char *at = text; s >= 0 && *at;) {
        size_t size = strcspn(at, "|");
        s = add_term(&t, text, at, size);
        at += size;
        if (*at == '|' && !*++at && s >= 0)
            s = fv_fail(FV_ERR_ARGUMENT, "term: an empty part beside |");
    }
    if (s < 0)
        fv_terms_clear(&t);
    else
        *out = t;
    return s;
}

fv_status fv_terms_try(const char *text)
{
    fv_terms t;
    FV_TRY(fv_terms_parse(&t, text));
    fv_terms_clear(&t);
    return FV_OK;
}

/* --- other files --- */

/* Puts the file of t, made another by fn, in its place; a star in its name needs one behind it, of
 * the weight. */
static fv_status put_file(FILE *f, const char *text, const fv_term *t, fv_term_file_fn fn,
                          void *user)
{
    char hash[17], *path = strdup(t->file);
    const char *behind = text + t->file_at + t->file_size;
    memcpy(hash, t->hash, sizeof hash);
    fv_status s =
        path ? fn(user, t, &path, hash) : fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    if (s >= 0) fprintf(f, "%s%s%s", path, *hash ? "#" : "", hash);
    if (s >= 0 && strchr(path, '*') && behind[strspn(behind, " \t")] != '*') fputs(" *1", f);
    free(path);
    return s;
}

static fv_status put_all(FILE *f, const char *text, const fv_terms *t, fv_term_file_fn fn,
                         void *user)
{
    const char *at = text;
    for (int i = 0; i < t->count; i++) {
        const char *file = text + t->at[i].file_at;
        if (!t->at[i].file) continue;
        fprintf(f, "%.*s", (int)(file - at), at);
        FV_TRY(put_file(f, text, &t->at[i], fn, user));
        at = file + t->at[i].file_size;
    }
    fputs(at, f);
    return FV_OK;
}

fv_status fv_terms_with_files(char **out, const char *text, fv_term_file_fn fn, void *user)
{
    fv_terms t, check;
    char *made = NULL;
    size_t size;
    FV_TRY(fv_terms_parse(&t, text));
    FILE *f = open_memstream(&made, &size);
    fv_status s = f ? put_all(f, text, &t, fn, user) : FV_ERR_MEMORY;
    if (f && fclose(f) != 0) s = FV_ERR_MEMORY;
    if (s == FV_ERR_MEMORY) fv_fail(s, "writing terms: out of memory");
    int count = t.count;
    fv_terms_clear(&t);
    if (s >= 0) s = fv_terms_parse(&check, made);
    if (s >= 0 && check.count != count)
        s = fv_fail(FV_ERR_ARGUMENT, "term \"%.200s\": a path with | in it cannot be said", made);
    if (s >= 0) fv_terms_clear(&check);
    if (s < 0)
        free(made);
    else
        *out = made;
    return s;
}

static fv_status make_title(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)user;
    *hash = 0;
    const char *name = fv_path_name(t->file);
    memcpy(*path, name, strlen(name) + 1); /* the path is a copy of t's */
    return FV_OK;
}

fv_status fv_term_title(char **out, const char *term)
{
    return fv_terms_with_files(out, term, make_title, NULL);
}
