/* What the option `term` means. See terms_syntax.h. */
#include "feavis/settings/terms_syntax.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/number.h"

void fv_terms_clear(fv_terms *t)
{
    for (int i = 0; i < t->count; i++) {
        free(t->at[i].name);
        free(t->at[i].layer);
        free(t->at[i].text);
    }
    free(t->directions);
    *t = (fv_terms){0};
}

/* Values of layers differ by orders of magnitude, so weights do. */
static const float most_weight = 1e4f;

static fv_status unclear(const char *part, const char *why)
{
    return fv_fail(FV_ERR_ARGUMENT,
                   "term \"%.80s\": %s; expected LAYER, LAYER:CHANNEL, LAYER:CHANNEL@max, "
                   "LAYER:CHANNEL@ROW,COLUMN or LAYER:text=TEXT, with *WEIGHT behind it or without",
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

/* name is whole; layer becomes a copy cut at ':' or '@'. */
static fv_status take_what(fv_term *t, const char *part)
{
    const char *colon = strchr(t->name, ':'), *at = strrchr(t->name, '@'), *end;
    const char *layer_end = colon ? colon : at ? at : t->name + strlen(t->name);
    t->layer = strndup(t->name, (size_t)(layer_end - t->name));
    if (!t->layer) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    if (!*t->layer) return unclear(part, "no layer in front");
    t->kind = FV_TERM_LAYER;
    if (colon && strncmp(colon + 1, "text=", 5) == 0) {
        t->kind = FV_TERM_TEXT;
        t->text = strdup(colon + 6);
        if (!t->text) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
        return *t->text ? FV_OK : unclear(part, "the text is empty");
    }
    if (colon) {
        t->kind = FV_TERM_CHANNEL;
        if (!take_index(colon + 1, &t->channel, &end) || (*end && *end != '@'))
            return unclear(part, "what is behind : is neither a channel nor text=");
        at = *end ? end : NULL;
    }
    return at ? take_where(t, at + 1, part) : FV_OK;
}

static fv_status add_term(fv_terms *out, const char *begin, size_t size)
{
    char part[512];
    while (size && (*begin == ' ' || *begin == '\t')) begin++, size--;
    while (size && (begin[size - 1] == ' ' || begin[size - 1] == '\t')) size--;
    if (size == 0) return fv_fail(FV_ERR_ARGUMENT, "term: an empty part beside |");
    if (out->count == FV_MOST_TERMS)
        return fv_fail(FV_ERR_ARGUMENT, "term: more than %d terms", FV_MOST_TERMS);
    snprintf(part, sizeof part, "%.*s", size < sizeof part ? (int)size : (int)sizeof part - 1,
             begin);
    fv_term *t = &out->at[out->count++];
    t->name = strndup(begin, size);
    if (!t->name) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    FV_TRY(take_weight(t, part));
    return take_what(t, part);
}

fv_status fv_terms_parse(fv_terms *out, const char *text)
{
    fv_terms t = {0};
    fv_status s = FV_OK;
    while (s >= 0 && *text) {
        size_t size = strcspn(text, "|");
        s = add_term(&t, text, size);
        text += size;
        if (*text == '|' && !*++text && s >= 0)
            s = fv_fail(FV_ERR_ARGUMENT, "term: an empty part beside |");
    }
    if (s < 0)
        fv_terms_clear(&t);
    else
        *out = t;
    return s;
}
