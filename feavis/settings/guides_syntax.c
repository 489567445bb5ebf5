/* The option `guide`: "mini | eval.yml + brivl.pth @momentum :0.5". See guides_syntax.h. */
#include "feavis/settings/guides_syntax.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/options.h"
#include "kernels/number.h"

static const char shipped[] = "mini", momentum[] = "@momentum", online[] = "@online";

/* --- reading --- */

static bool ends(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && fv_same_word(s + n - m, end);
}

/* White space off both ends, in place; the new beginning. */
static char *trim(char *s)
{
    s += strspn(s, " \t\r\n");
    size_t n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1])) s[--n] = 0;
    return s;
}

/* "@momentum" or "@online" off the end. */
static void take_tower(fv_guide *g, char *text)
{
    g->momentum = ends(text, momentum);
    if (g->momentum || ends(text, online)) *strrchr(text, '@') = 0;
}

/* The next file of "a + b"; *rest behind it, NULL at the end. "\+" and "\:" are of the name. */
static char *next_file(char *at, char **rest)
{
    char *to = at, *begin = at;
    for (; *at && *at != '+'; at++) {
        if (at[0] == '\\' && (at[1] == '+' || at[1] == ':')) at++;
        *to++ = *at;
    }
    *rest = *at ? at + 1 : NULL;
    *to = 0;
    return trim(begin);
}

static fv_status take_file(fv_guide *g, const char *file, const char *name)
{
    bool cfg = ends(file, ".yml") || ends(file, ".yaml") || ends(file, ".json");
    bool words = ends(file, ".txt") || ends(file, ".gz");
    char **to = cfg ? &g->config : words ? &g->vocabulary : &g->checkpoint;
    if (!*file) return fv_fail(FV_ERR_ARGUMENT, "guide \"%.80s\": a file's name is empty", name);
    if (*to)
        return fv_fail(FV_ERR_ARGUMENT, "guide \"%.80s\" has two %s, %.80s and %.80s", name,
                       cfg     ? "cfgs"
                       : words ? "vocabularies"
                               : "checkpoints",
                       *to, file);
    *to = strdup(file);
    return *to ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading guides: out of memory");
}

static fv_status fill_up(char **field)
{
    if (!*field) *field = strdup("");
    return *field ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading guides: out of memory");
}

static fv_status read_guide(fv_guide *g, const fv_weighted *part)
{
    char *copy = strdup(part->name);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "reading guides: out of memory");
    take_tower(g, copy);
    g->weight = part->weight;
    char *text = trim(copy), *rest = text;
    fv_status s = FV_OK;
    if (!*text) s = fv_fail(FV_ERR_ARGUMENT, "guide \"%.80s\" names no model", part->name);
    if (strcmp(text, shipped) == 0) rest = NULL;
    while (s >= 0 && rest) {
        char *file = next_file(rest, &rest);
        s = take_file(g, file, part->name);
    }
    free(copy);
    if (s >= 0) s = fill_up(&g->config);
    if (s >= 0) s = fill_up(&g->checkpoint);
    if (s >= 0) s = fill_up(&g->vocabulary);
    return s;
}

fv_status fv_guides_parse(fv_guides *out, const char *text)
{
    fv_guides g = {.count = 0};
    fv_weighted *parts;
    int count;
    FV_TRY(fv_weighted_parse(&parts, &count, text, '|', "guide"));
    fv_status s = count <= FV_MAX_GUIDES
                      ? FV_OK
                      : fv_fail(FV_ERR_ARGUMENT, "guide names %d models, at most %d go together",
                                count, FV_MAX_GUIDES);
    for (int i = 0; s >= 0 && i < count; i++) {
        if (!(fabsf(parts[i].weight) <= 10))
            s = fv_fail(FV_ERR_ARGUMENT, "guide \"%.80s\": its weight is not from -10 to 10",
                        parts[i].name);
        if (s >= 0) s = read_guide(&g.at[g.count++], &parts[i]);
    }
    fv_weighted_free(parts, count);
    if (s < 0)
        fv_guides_clear(&g);
    else
        *out = g;
    return s;
}

void fv_guides_clear(fv_guides *g)
{
    for (int i = 0; i < g->count; i++) {
        free(g->at[i].config);
        free(g->at[i].checkpoint);
        free(g->at[i].vocabulary);
    }
    *g = (fv_guides){.count = 0};
}

bool fv_guides_same(const fv_guides *a, const fv_guides *b)
{
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++) {
        const fv_guide *x = &a->at[i], *y = &b->at[i];
        if (strcmp(x->config, y->config) != 0 || strcmp(x->checkpoint, y->checkpoint) != 0 ||
            strcmp(x->vocabulary, y->vocabulary) != 0 || x->momentum != y->momentum)
            return false;
    }
    return true;
}

fv_status fv_guides_weights(float out[FV_MAX_GUIDES], int *count, const char *text)
{
    int n = 0;
    for (const char *at = text; *at || n;) {
        char *end;
        float weight = fv_to_float(at, &end);
        end += strspn(end, " ");
        if (end == at || (*end && *end != ',') || !(fabsf(weight) <= 10) || n == FV_MAX_GUIDES)
            return fv_fail(FV_ERR_ARGUMENT,
                           "guide-weights is \"%.80s\", expected at most %d numbers from -10 to 10",
                           text, FV_MAX_GUIDES);
        out[n++] = weight;
        if (!*end) break;
        at = end + 1;
    }
    if (count) *count = n;
    return FV_OK;
}

/* --- writing --- */

static void print_file(FILE *f, const char *path)
{
    for (; *path; path++) {
        if (strchr("|+:", *path)) fputc('\\', f);
        fputc(*path, f);
    }
}

static void print_guide(FILE *f, const fv_guide *g)
{
    const char *const files[] = {g->config, g->checkpoint, g->vocabulary};
    bool any = false;
    for (int i = 0; i < 3; i++) {
        if (!*files[i]) continue;
        if (any) fputs(" + ", f);
        if (strcmp(files[i], shipped) == 0) fputs("./", f); /* a file of that name */
        print_file(f, files[i]);
        any = true;
    }
    if (!any) fputs(shipped, f);
    if (g->momentum) fprintf(f, " %s", momentum);
    char weight[32];
    for (int digits = 1; digits <= 9; digits++) { /* the shortest that reads back as the same */
        fv_print(weight, sizeof weight, "%.*g", digits, (double)g->weight);
        if (fv_to_float(weight, NULL) == g->weight) break;
    }
    fprintf(f, ":%s", weight); /* always: a colon within a name is none of the syntax then */
}

fv_status fv_guides_print(char **out, const fv_guides *g)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing guides: out of memory");
    for (int i = 0; i < g->count; i++) {
        if (i) fputs(" | ", f);
        print_guide(f, &g->at[i]);
    }
    if (fclose(f) == 0) {
        *out = text;
        return FV_OK;
    }
    free(text);
    return fv_fail(FV_ERR_MEMORY, "writing guides: out of memory");
}

fv_status fv_guides_files(fv_guides *g, fv_status (*change)(void *user, char **path), void *user)
{
    for (int i = 0; i < g->count; i++) {
        char **const files[] = {&g->at[i].config, &g->at[i].checkpoint, &g->at[i].vocabulary};
        for (int k = 0; k < 3; k++)
            if (**files[k]) FV_TRY(change(user, files[k]));
    }
    return FV_OK;
}
