/* The option guide for applications: how many models it names, and each alone. See option.h. */
#include <stdlib.h>
#include <string.h>

#include "feavis/settings/guides_syntax.h"
#include "feavis/settings/options.h"

int fv_options_guide_count(const fv_options *o)
{
    fv_guides g;
    if (fv_guides_parse(&g, o->guide) < 0) return 0;
    int count = g.count;
    fv_guides_clear(&g);
    return count;
}

int fv_options_weight_count(const fv_options *o)
{
    float weights[FV_MAX_GUIDES];
    int count = 0;
    return fv_guides_weights(weights, &count, o->guide_weights) < 0 ? 0 : count;
}

float fv_options_guide_weight(const fv_options *o, int i)
{
    fv_guides g;
    float weights[FV_MAX_GUIDES], weight = 1;
    int count = 0;
    if (fv_guides_weights(weights, &count, o->guide_weights) >= 0 && i < count) return weights[i];
    if (fv_guides_parse(&g, o->guide) < 0) return 1;
    if (i < g.count) weight = g.at[i].weight;
    fv_guides_clear(&g);
    return weight;
}

fv_status fv_options_guide(fv_options **out, const fv_options *o, int i)
{
    fv_guides g;
    char *text = NULL;
    fv_options *alone = NULL;
    FV_TRY(fv_guides_parse(&g, o->guide));
    fv_status s = i >= 0 && i < g.count
                      ? FV_OK
                      : fv_fail(FV_ERR_ARGUMENT, "guide %d: there are %d", i, g.count);
    if (s >= 0) {
        fv_guides one = {.at = {g.at[i]}, .count = 1};
        one.at[0].weight = 1;
        s = fv_guides_print(&text, &one);
    }
    if (s >= 0) s = fv_options_copy(&alone, o);
    if (s >= 0) s = fv_options_set_written(alone, "guide", text);
    if (s >= 0) s = fv_options_set_written(alone, "guide-weights", "");
    fv_guides_clear(&g);
    free(text);
    if (s < 0)
        fv_options_free(alone);
    else
        *out = alone;
    return s;
}

/* The model that is named without guide, as the first of a list. */
static fv_status take_named(fv_guides *g, const fv_options *o)
{
    fv_guide *first = &g->at[g->count++];
    *first =
        (fv_guide){strdup(o->config), strdup(o->checkpoint), strdup(o->vocab), o->tower != 0, 1};
    return first->config && first->checkpoint && first->vocabulary
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "adding a model: out of memory");
}

static fv_status set_guides(fv_options *o, const fv_guides *g)
{
    static const char *const named[] = {"config", "checkpoint", "vocab", "tower", "guide-weights"};
    char *text;
    FV_TRY(fv_guides_print(&text, g));
    fv_status s = fv_options_set_written(o, "guide", text);
    free(text);
    for (size_t i = 0; s >= 0 && i < sizeof named / sizeof named[0]; i++)
        s = fv_options_set_written(o, named[i], fv_option_find(named[i])->value);
    return s;
}

fv_status fv_options_add_guide(fv_options *o, const char *files)
{
    fv_guides g = {.count = 0}, more = {.count = 0};
    fv_status s = fv_guides_parse(&g, o->guide);
    if (s >= 0 && g.count == 0) s = take_named(&g, o);
    if (s >= 0) s = fv_guides_parse(&more, files);
    if (s >= 0 && more.count != 1)
        s = fv_fail(FV_ERR_ARGUMENT, "guide \"%.80s\" names %d models, expected one", files,
                    more.count);
    if (s >= 0 && g.count == FV_MAX_GUIDES)
        s = fv_fail(FV_ERR_ARGUMENT, "%d models look already, no more go together", g.count);
    if (s >= 0) {
        g.at[g.count++] = more.at[0];
        more.count = 0;
        s = set_guides(o, &g);
    }
    fv_guides_clear(&g);
    fv_guides_clear(&more);
    return s;
}

fv_status fv_options_drop_guide(fv_options *o, int i)
{
    fv_guides g;
    FV_TRY(fv_guides_parse(&g, o->guide));
    fv_status s = FV_OK;
    if (i < 0 || i >= g.count || g.count == 1) {
        s = fv_fail(FV_ERR_ARGUMENT, "guide %d of %d cannot be left out", i, g.count);
    } else {
        fv_guides gone = {.at = {g.at[i]}, .count = 1};
        memmove(&g.at[i], &g.at[i + 1], (size_t)(--g.count - i) * sizeof g.at[0]);
        s = set_guides(o, &g);
        fv_guides_clear(&gone);
    }
    fv_guides_clear(&g);
    return s;
}
