/* The shipped model, opened once, for targets that need one. */
#ifndef FV_FUZZ_MODEL_H
#define FV_FUZZ_MODEL_H

#include <stdlib.h>

#include "feavis/feavis.h"
#include "tests/fuzz/fuzz.h"

static inline fv_model *fuzz_model(void)
{
    static fv_model *m;
    if (m) return m;
    fv_options *o;
    setenv("FEAVIS_HOME", fuzz_source(""), 0);
    FUZZ_CHECK(fv_options_new(&o) == FV_OK);
    FUZZ_CHECK(fv_options_set(o, "backend", "ref") == FV_OK);
    FUZZ_CHECK(fv_options_set(o, "threads", "1") == FV_OK);
    FUZZ_CHECK(fv_model_open(&m, o) == FV_OK);
    fv_options_free(o);
    return m;
}

#endif
