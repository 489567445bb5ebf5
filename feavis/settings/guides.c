/* The option guide for applications: how many models it names, and each alone. See option.h. */
#include <stdlib.h>

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
