/* See seeds.h. */
#include "app/cli/seeds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last map before pooling: there pictures come to differ in what they show and how, and stay of
 * the text. Earlier layers change textures alone. */
static const char default_layer[] = "LLP";
static const float most_weight = 1e3f;

fv_status seeds_read(seeds *s, const cli *c)
{
    char *end;
    *s = (seeds){.count = c->seeds ? c->seeds : 1};
    if (!c->diversity) return FV_OK;
    if (s->count < 2)
        return fv_fail(FV_ERR_ARGUMENT, "--diversity is between pictures: give --seeds N, too");
    s->weight = strtof(c->diversity, &end);
    bool number = end != c->diversity && s->weight > 0 && s->weight <= most_weight;
    if (!number || (*end && *end != '@') || (*end && !end[1]))
        return fv_fail(FV_ERR_ARGUMENT,
                       "--diversity is \"%.80s\", expected a weight up to %g, or WEIGHT@LAYER",
                       c->diversity, (double)most_weight);
    int n = snprintf(s->layer, sizeof s->layer, "%s", *end ? end + 1 : default_layer);
    if (n >= (int)sizeof s->layer || strpbrk(s->layer, ":|*@"))
        return fv_fail(FV_ERR_ARGUMENT, "--diversity: \"%.80s\" is no layer's name", end + 1);
    return FV_OK;
}

/* The option term with one for each picture. */
static char *with_terms(const seeds *s, const char *term, char *const *pictures, int count)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    fputs(term, f);
    for (int i = 0; i < count; i++)
        fprintf(f, "%s%s:unlike=%s *%.6g", *term || i ? " | " : "", s->layer, pictures[i],
                (double)(s->weight / (float)count));
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

static fv_status add_terms(const seeds *s, fv_options *o, char *const *pictures, int count)
{
    if (s->weight == 0 || count == 0) return FV_OK;
    char *text = with_terms(s, fv_options_get(o, "term"), pictures, count);
    fv_status status = text ? fv_options_set(o, "term", text)
                            : fv_fail(FV_ERR_MEMORY, "asking for diversity: out of memory");
    free(text);
    return status;
}

fv_status seeds_check(const seeds *s, const fv_options *o)
{
    fv_options *trial;
    fv_list names = {.count = 0};
    if (s->weight == 0) return FV_OK;
    FV_TRY(fv_options_copy(&trial, o));
    fv_status status = FV_OK;
    for (int i = 1; status >= 0 && i < s->count; i++) status = fv_list_add(&names, "picture.png");
    if (status >= 0) status = add_terms(s, trial, names.at, names.count);
    fv_list_clear(&names);
    fv_options_free(trial);
    return status < 0 ? fv_fail_context(status, "diversity of %d pictures", s->count) : FV_OK;
}

fv_status seeds_check_layer(const seeds *s, const fv_options *o, const fv_model *m)
{
    fv_options *trial;
    if (s->weight == 0) return FV_OK;
    FV_TRY(fv_options_copy(&trial, o));
    fv_status status = fv_options_set(trial, "term", s->layer);
    if (status >= 0) status = fv_options_check_channels(trial, m);
    fv_options_free(trial);
    return status < 0 ? fv_fail_context(status, "--diversity") : FV_OK;
}

fv_status seeds_next(const seeds *s, const fv_options *o, int i, fv_options **grown,
                     fv_options **shown)
{
    char text[24];
    uint64_t first = strtoull(fv_options_get(o, "seed"), NULL, 10);
    snprintf(text, sizeof text, "%" PRIu64, first + (uint64_t)i);
    *grown = *shown = NULL;
    fv_status status = fv_options_copy(shown, o);
    if (status >= 0) status = fv_options_set(*shown, "seed", text);
    if (status >= 0) status = fv_options_copy(grown, *shown);
    if (status >= 0) status = add_terms(s, *grown, s->made.at, s->made.count);
    if (status >= 0) return FV_OK;
    fv_options_free(*shown);
    fv_options_free(*grown);
    return status;
}
