/* See classify.h. */
#include "feavis/classify.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "feavis/embed.h"
#include "feavis/model.h"
#include "feavis/top.h"
#include "model/text/text.h"

enum { TEMPLATE_BYTES = 4096 };

void fv_classes_clear(fv_classes *c)
{
    for (int i = 0; c->words && i < c->count; i++) fv_list_clear(&c->words[i]);
    fv_list_clear(&c->folders);
    fv_list_clear(&c->labels);
    fv_list_clear(&c->keys);
    free(c->words);
    free(c->rows);
    *c = (fv_classes){0};
}

/* --- labels --- */

/* The first "|" or full-width "｜" that no backslash makes literal; that backslash goes. NULL:
 * none. */
static char *find_bar(char *text, size_t *bytes)
{
    static const char wide[] = "｜";
    for (char *at = text; *at; at++) {
        bool literal = *at == '\\';
        *bytes = at[literal] == '|' ? 1 : strncmp(at + literal, wide, 3) == 0 ? 3 : 0;
        if (*bytes && !literal) return at;
        if (*bytes) memmove(at, at + 1, strlen(at));
    }
    return NULL;
}

static fv_status split_words(fv_list *out, char *text, int line)
{
    while (text) {
        size_t bytes;
        char *bar = find_bar(text, &bytes);
        if (bar) {
            *bar = 0;
            bar += bytes;
        }
        text += strspn(text, " ");
        for (size_t n = strlen(text); n && text[n - 1] == ' ';) text[--n] = 0;
        if (fv_text_blank(text))
            return fv_fail(FV_ERR_FORMAT, "line %d has a class with an empty label", line);
        FV_TRY(fv_list_add(out, text));
        text = bar;
    }
    return FV_OK;
}

static fv_status read_class(fv_classes *c, char *line, int number)
{
    char *tab = strchr(line, '\t');
    if (tab) *tab++ = 0;
    FV_TRY(split_words(&c->words[c->count++], tab ? tab : line, number));
    const char *label = c->words[c->count - 1].at[0];
    const char *folder = tab ? line : label;
    for (int i = 0; i < c->folders.count; i++)
        if (strcmp(c->folders.at[i], folder) == 0)
            return fv_fail(FV_ERR_FORMAT, "line %d has the class %s twice", number, folder);
    FV_TRY(fv_list_add(&c->folders, folder));
    return fv_list_add(&c->labels, label);
}

/* Bytes outside ASCII count as letters. */
static bool counts(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Of ASCII alone, whatever the locale. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* What two spellings of a folder's name share: letters and digits, composed, in one case. A name
 * that is not UTF-8 stays as it is. Caller frees. */
static char *key_of(const char *name, size_t n)
{
    utf8proc_uint8_t *folded;
    char *copy = strndup(name, n);
    if (!copy) return NULL;
    if (utf8proc_map((const utf8proc_uint8_t *)copy, 0, &folded,
                     UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD) >=
        0) {
        free(copy);
        copy = (char *)folded;
    }
    char *to = copy;
    for (const char *at = copy; *at; at++)
        if (counts((unsigned char)*at)) *to++ = lower(*at);
    *to = 0;
    return copy;
}

static fv_status make_keys(fv_classes *c)
{
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < c->folders.count; i++) {
        char *key = key_of(c->folders.at[i], strlen(c->folders.at[i]));
        s = key ? fv_list_add(&c->keys, key)
                : fv_fail(FV_ERR_MEMORY, "reading classes: out of memory");
        free(key);
    }
    return s;
}

fv_status fv_classes_read(fv_classes *out, const char *path)
{
    fv_list lines;
    fv_classes c = {.count = 0};
    FV_TRY(fv_list_lines(&lines, path));
    c.words = calloc((size_t)lines.count, sizeof *c.words);
    fv_status s = c.words ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", path);
    fv_bad_lines bad = {.count = 0};
    for (int i = 0; s >= 0 && i < lines.count; i++) {
        s = read_class(&c, lines.at[i], lines.lines[i]);
        if (s != FV_ERR_FORMAT) continue;
        fv_bad_lines_add(&bad, lines.lines[i]);
        s = FV_OK;
    }
    if (s >= 0) s = fv_bad_lines_say(&bad, path);
    if (s >= 0) s = make_keys(&c);
    fv_list_clear(&lines);
    if (s < 0)
        fv_classes_clear(&c);
    else
        *out = c;
    return s;
}

/* --- templates --- */

/* Where the label goes, and how many bytes stand for it; NULL: nowhere. */
static const char *find_gap(const char *template, size_t *bytes)
{
    static const char wide[] = "｛｝";
    const char *gap = strstr(template, "{}");
    *bytes = gap ? 2 : sizeof wide - 1;
    return gap ? gap : strstr(template, wide);
}

fv_status fv_templates_read(fv_list *out, const char *path)
{
    fv_list list;
    fv_bad_lines bad = {.count = 0};
    size_t bytes;
    FV_TRY(fv_list_lines(&list, path));
    for (int i = 0; i < list.count; i++) {
        if (find_gap(list.at[i], &bytes)) continue;
        fv_fail(FV_ERR_FORMAT, "line %d: the template \"%.200s\" has no {} for the label",
                list.lines[i], list.at[i]);
        fv_bad_lines_add(&bad, list.lines[i]);
    }
    fv_status s = fv_bad_lines_say(&bad, path);
    if (s < 0)
        fv_list_clear(&list);
    else
        *out = list;
    return s;
}

/* --- embedding --- */

static fv_status fill_template(char out[TEMPLATE_BYTES], const char *template, const char *label)
{
    size_t bytes;
    const char *gap = find_gap(template, &bytes);
    if (!gap)
        return fv_fail(FV_ERR_FORMAT, "the template \"%.200s\" has no {} for the label", template);
    int n = snprintf(out, TEMPLATE_BYTES, "%.*s%s%s", (int)(gap - template), template, label,
                     gap + bytes);
    return n < TEMPLATE_BYTES
               ? FV_OK
               : fv_fail(FV_ERR_FORMAT, "the template \"%.200s\" is too long", template);
}

/* In the eyes of one guide. */
static fv_status add_text(fv_model *m, const char *text, float *one, float *sum)
{
    FV_TRY(fv_model_embed_text(m, text, one, NULL));
    for (int k = 0; k < fv_model_dim(m); k++) sum[k] += one[k];
    return FV_OK;
}

static fv_status embed_class(fv_model *m, const fv_list *words, const fv_list *templates,
                             float *one, float *row)
{
    size_t dim = (size_t)fv_model_dim(m);
    char text[TEMPLATE_BYTES];
    memset(row, 0, dim * sizeof *row);
    for (int w = 0; w < words->count; w++) {
        if (!templates) FV_TRY(add_text(m, words->at[w], one, row));
        for (int t = 0; templates && t < templates->count; t++) {
            FV_TRY(fill_template(text, templates->at[t], words->at[w]));
            FV_TRY(add_text(m, text, one, row));
        }
    }
    double norm = 0;
    for (size_t k = 0; k < dim; k++) norm += (double)row[k] * (double)row[k];
    float scale = norm > 0 ? (float)(1 / sqrt(norm)) : 0;
    for (size_t k = 0; k < dim; k++) row[k] *= scale;
    return FV_OK;
}

fv_status fv_classes_embed(fv_classes *c, fv_model *m, const fv_list *templates)
{
    size_t dim = (size_t)fv_embed_dim(m);
    float *rows = malloc((size_t)c->count * dim * sizeof *rows), *one = malloc(dim * sizeof *one);
    fv_status s = rows && one ? FV_OK : fv_fail(FV_ERR_MEMORY, "embedding classes: out of memory");
    float *row = rows;
    for (int i = 0; s >= 0 && i < c->count; i++) {
        for (int g = 0; s >= 0 && g < fv_model_guide_count(m); g++) {
            fv_model *guide = fv_model_guide(m, g);
            s = embed_class(guide, &c->words[i], templates, one, row);
            row += fv_model_dim(guide);
        }
        if (s < 0) fv_fail_context(s, "class %s", c->labels.at[i]);
    }
    free(one);
    if (s < 0) {
        free(rows);
        return s;
    }
    free(c->rows);
    c->rows = rows;
    return FV_OK;
}

/* --- folders --- */

int fv_classes_of_path(const fv_classes *c, const char *path)
{
    const char *end = strrchr(path, '/');
    if (!end) return -1;
    const char *start = end;
    while (start > path && start[-1] != '/') start--;
    char *key = key_of(start, (size_t)(end - start));
    int found = -1;
    for (int i = 0; key && found < 0 && i < c->keys.count; i++)
        if (strcmp(c->keys.at[i], key) == 0) found = i;
    free(key);
    return found;
}

/* --- how well it went --- */

void fv_confusion_clear(fv_confusion *c)
{
    free(c->cells);
    free(c->scores);
    *c = (fv_confusion){0};
}

static void count_picture(fv_confusion *c, const float *scores, int truth)
{
    fv_hit best;
    fv_top(scores, c->count, 1, 1, &best);
    c->cells[(size_t)truth * (size_t)c->count + (size_t)best.index]++;
    c->scores[truth].pictures++;
    c->scores[truth].found += best.index == truth;
    c->scores[best.index].guessed++;
    c->pictures++;
    c->right += best.index == truth;
    c->among_five += fv_top_before(scores, c->count, 1, truth) < 5;
}

fv_status fv_confusion_of(fv_confusion *out, const float *scores, int pictures, int classes,
                          const int *truth)
{
    size_t n = (size_t)classes;
    fv_confusion c = {.count = classes};
    c.cells = calloc(n * n + 1, sizeof *c.cells);
    c.scores = calloc(n + 1, sizeof *c.scores);
    if (!c.cells || !c.scores) {
        fv_confusion_clear(&c);
        return fv_fail(FV_ERR_MEMORY, "counting classes: out of memory");
    }
    for (int i = 0; i < pictures; i++)
        if (truth[i] >= 0) count_picture(&c, scores + (size_t)i * n, truth[i]);
    int seen = 0;
    double sum = 0;
    for (int j = 0; j < classes; j++) {
        if (!c.scores[j].pictures) continue;
        sum += (double)c.scores[j].found / c.scores[j].pictures;
        seen++;
    }
    if (c.pictures) {
        c.accuracy = (double)c.right / c.pictures;
        c.top5 = (double)c.among_five / c.pictures;
        c.mean_class_accuracy = sum / seen;
    }
    *out = c;
    return FV_OK;
}
