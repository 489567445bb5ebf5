/* Views of a picture in a plan of their own, in double: for tests that draw them and look. */
#ifndef FV_VIEWS_BENCH_H
#define FV_VIEWS_BENCH_H

#include "feavis/imagine/views.h"
#include "tests/check.h"

typedef struct bench {
    fv_backend *backend;
    fv_plan *plan;
    fv_options *options;
    fv_views views;
    fv_ref picture, seen;
} bench;

/* settings: pairs of an option and its value; side: of what is seen. */
static inline bench open_bench(int side, const char *const (*settings)[2], size_t count)
{
    bench b = {0};
    MUST(fv_options_new(&b.options));
    for (size_t i = 0; i < count; i++)
        MUST(fv_options_set(b.options, settings[i][0], settings[i][1]));
    MUST(fv_backend_open(&b.backend, "ref64", 1));
    MUST(fv_plan_new(&b.plan, b.backend));
    b.picture = fv_plan_param(b.plan, "picture",
                              (fv_shape){1, fv_height(b.options), fv_width(b.options), 3});
    b.seen = fv_views_build(b.plan, &b.views, b.options, side, b.picture);
    fv_plan_output(b.plan, b.seen);
    MUST(fv_plan_finish(b.plan, FV_PLAN_BACKWARD));
    return b;
}

static inline void close_bench(bench *b)
{
    fv_views_clear(&b->views);
    fv_plan_free(b->plan);
    fv_backend_close(b->backend);
    fv_options_free(b->options);
}

#endif
