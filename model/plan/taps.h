/* Taps: copies of named tensors of a plan, taken while it runs.
 *
 * A value shares its memory with others after its last reader, so it is copied right after the
 * op that makes it; a gradient right before its op runs backward, when it is whole. */
#ifndef FV_TAPS_H
#define FV_TAPS_H

#include "model/plan/plan.h"

typedef struct fv_taps fv_taps;

/* names: tensors made by an op of the plan (or their aliases); "d:" before a name asks for the
 * gradient d(loss)/d(tensor) instead of the value. An unknown name is an error that suggests the
 * nearest; so is one that was fused into another op (FV_PLAN_WHOLE keeps them apart).
 * Takes the plan's watch; one set of taps a plan. Free before the plan. */
fv_status fv_taps_new(fv_taps **out, fv_plan *p, const char *const *names, int count);
void fv_taps_free(fv_taps *t);

/* The copy of tap i, NHWC; its shape goes to *shape. NULL if the last runs did not make it. */
const float *fv_taps_values(const fv_taps *t, int i, fv_shape *shape);

#endif
