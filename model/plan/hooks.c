/* Copies of named tensors of a running plan. See hooks.h. */
#include "model/plan/hooks.h"

#include <stdlib.h>
#include <string.h>

typedef struct hook {
    const fv_tensor *tensor;
    bool gradient, taken;
    float *values;
} hook;

struct fv_hooks {
    fv_plan *plan;
    fv_backend *backend;
    int count;
    hook hooks[];
};

static fv_status copy_named(void *user, fv_plan *p, const fv_op *op, bool backward)
{
    (void)p;
    fv_hooks *t = user;
    for (int i = 0; i < t->count; i++) {
        hook *one = &t->hooks[i];
        if (one->tensor != op->y || one->gradient != backward) continue;
        FV_TRY(t->backend->download(t->backend, backward ? op->dy : op->y, FV_F32, one->values));
        one->taken = true;
    }
    return FV_OK;
}

/* Whether an op makes it, and value and gradient are what its name says: not fused into a reader.
 */
static bool is_whole(const fv_plan *p, const fv_tensor *tensor)
{
    bool made = false;
    for (int i = 0; i < fv_plan_op_count(p); i++) {
        const fv_op *op = fv_plan_op(p, i);
        if (op->x == tensor && op->before != FV_ACT_NONE) return false;
        if (op->y != tensor) continue;
        if (op->fused.mean_y || fv_plan_microbatched(p, i)) return false;
        made = true;
    }
    return made;
}

static fv_status add_hook(hook *out, const fv_plan *p, const char *name)
{
    fv_ref r;
    out->gradient = strncmp(name, "d:", 2) == 0;
    if (out->gradient) name += 2;
    fv_status s = fv_plan_find_layer(p, name, &r);
    if (s < 0) return fv_fail_context(s, "hook %s", name);
    out->tensor = fv_plan_tensor(p, r);
    if (!is_whole(p, out->tensor))
        return fv_fail(
            FV_ERR_ARGUMENT,
            "hook %s: fused, or run in micro-batches; finish the plan with FV_PLAN_WHOLE", name);
    out->values = malloc(fv_count(out->tensor->shape) * sizeof *out->values);
    return out->values ? FV_OK : fv_fail(FV_ERR_MEMORY, "hook %s: out of memory", name);
}

fv_status fv_hooks_new(fv_hooks **out, fv_plan *p, const char *const *names, int count)
{
    fv_hooks *t = calloc(1, sizeof *t + (size_t)count * sizeof *t->hooks);
    if (!t) return fv_fail(FV_ERR_MEMORY, "making hooks: out of memory");
    t->plan = p;
    t->backend = fv_plan_backend(p);
    for (int i = 0; i < count; i++, t->count++) {
        fv_status s = add_hook(&t->hooks[i], p, names[i]);
        if (s < 0) {
            fv_hooks_free(t);
            return s;
        }
    }
    fv_plan_hook(p, copy_named, t);
    *out = t;
    return FV_OK;
}

void fv_hooks_free(fv_hooks *t)
{
    if (!t) return;
    fv_plan_hook(t->plan, NULL, NULL);
    for (int i = 0; i < t->count; i++) free(t->hooks[i].values);
    free(t);
}

const float *fv_hooks_values(const fv_hooks *t, int i, fv_shape *shape)
{
    if (!t->hooks[i].taken) return NULL;
    *shape = t->hooks[i].tensor->shape;
    return t->hooks[i].values;
}
