/* The tensors of a plan by the names that people use. See plan.h.
 *
 *   "imgencoder.backbone.blocks.3.1"    all of it
 *   "blocks.3.1"                        enough, where no other tensor's name ends so
 *
 * Ops' outputs come first, in the order of the plan, then second names. */
#include <string.h>

#include "model/plan/plan_internal.h"
#include "model/text/text.h"

bool fv_plan_layer(const fv_plan *p, int i, const char **name, fv_ref *out)
{
    for (int r = 0; r < p->node_count; r++) {
        if (p->nodes[r]->op < 0 || i-- > 0) continue;
        *name = p->nodes[r]->name;
        *out = r;
        return true;
    }
    if (i >= p->alias_count) return false;
    *name = p->aliases[i].name;
    *out = p->aliases[i].target;
    return true;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0 && name[n - m - 1] == '.';
}

/* As fv_plan_layer, of the names that begin with `scope`: what follows it. NULL: of another scope.
 */
static const char *within(const char *name, const char *scope)
{
    size_t n = strlen(scope);
    return strncmp(name, scope, n) == 0 ? name + n : NULL;
}

/* The name that takes the fewest edits, of whole names and of their ends with as many dots. */
static const char *nearest(const fv_plan *p, const char *scope, const char *wanted)
{
    const char *best = "", *name;
    int lowest = 1 << 20;
    fv_ref r;
    for (int i = 0; fv_plan_layer(p, i, &name, &r); i++)
        for (const char *end = within(name, scope); end;
             end = strchr(end, '.') ? strchr(end, '.') + 1 : NULL) {
            int edits = fv_edits(wanted, end);
            if (edits < lowest) {
                lowest = edits;
                best = name;
            }
        }
    return best;
}

fv_status fv_plan_find_layer_in(const fv_plan *p, const char *scope, const char *wanted,
                                fv_ref *out)
{
    const char *name, *first = NULL;
    fv_ref r;
    for (int i = 0; fv_plan_layer(p, i, &name, &r); i++) {
        const char *own = within(name, scope);
        if (!own || strcmp(own, wanted) != 0) continue;
        *out = r;
        return FV_OK;
    }
    for (int i = 0; fv_plan_layer(p, i, &name, &r); i++) {
        const char *own = within(name, scope);
        if (!own || !ends_with(own, wanted)) continue;
        if (first && r != *out)
            return fv_fail(FV_ERR_ARGUMENT, "layer %.80s could be %s or %s: write more of its name",
                           wanted, first, name);
        first = name;
        *out = r;
    }
    if (first) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "there is no layer %s%.80s; the nearest is %s", scope, wanted,
                   nearest(p, scope, wanted));
}

fv_status fv_plan_find_layer(const fv_plan *p, const char *wanted, fv_ref *out)
{
    return fv_plan_find_layer_in(p, "", wanted, out);
}
