/* Hooks: copies of named tensors of a plan, taken while it runs.
 *
 * A value shares its memory with others after its last reader, so it is copied right after the
 * op that makes it; a gradient right before its op runs backward, when it is whole. */
#ifndef FV_HOOKS_H
#define FV_HOOKS_H

#include "model/plan/plan.h"

typedef struct fv_hooks fv_hooks;

/* names: layers of the plan, as fv_plan_find_layer takes them; "d:" before a name asks for the
 * gradient d(loss)/d(tensor) instead of the value. An unknown name is an error that suggests the
 * nearest; so is one that was fused into another op (FV_PLAN_WHOLE keeps them apart).
 * Takes the plan's hook; one set of these a plan. Free before the plan. */
fv_status fv_hooks_new(fv_hooks **out, fv_plan *p, const char *const *names, int count);
void fv_hooks_free(fv_hooks *t);

/* The copy of hook i, NHWC; its shape goes to *shape. NULL if the last runs did not make it. */
const float *fv_hooks_values(const fv_hooks *t, int i, fv_shape *shape);

#endif
