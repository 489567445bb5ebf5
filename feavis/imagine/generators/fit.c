/* Params fitted to a picture. See fit.h. */
#include "feavis/imagine/generators/fit.h"

#include <math.h>
#include <stdlib.h>

typedef struct fit {
    const fv_generator *generator;
    fv_plan *plan;
    fv_ref shown;
    float *difference; /* [numbers] */
    size_t numbers;    /* of the picture */
} fit;

static fv_status build(fit *f, const fv_options *o, const fv_network *decoder, const float *values)
{
    f->shown = f->generator->build(f->plan, o, decoder);
    fv_plan_output(f->plan, f->shown);
    FV_TRY(fv_plan_finish(f->plan, FV_PLAN_BACKWARD));
    if (f->generator->prepare) FV_TRY(f->generator->prepare(f->plan, o, decoder));
    return fv_plan_block_upload(f->plan, FV_BLOCK_VALUE, values);
}

static fv_status step(fit *f, const fv_options *o, const fv_network *decoder, const float *picture,
                      int t, float rate)
{
    const double beta1 = 0.9, beta2 = 0.99;
    float stats[FV_ADAM_STATS];
    float numbers[FV_ADAM_COLUMNS] = {rate,
                                      (float)beta1,
                                      (float)beta2,
                                      1e-12f,
                                      (float)(1 - pow(beta1, t)),
                                      (float)(1 - pow(beta2, t))};
    numbers[FV_ADAM_LOW] = -1e30f;
    numbers[FV_ADAM_HIGH] = 1e30f;
    if (f->generator->bounds)
        f->generator->bounds(o, decoder, &numbers[FV_ADAM_LOW], &numbers[FV_ADAM_HIGH]);
    FV_TRY(fv_plan_forward(f->plan));
    FV_TRY(fv_plan_download(f->plan, f->shown, f->difference));
    for (size_t i = 0; i < f->numbers; i++) f->difference[i] -= picture[i];
    FV_TRY(fv_plan_output_gradient(f->plan, f->shown, f->difference));
    FV_TRY(fv_plan_backward(f->plan));
    return fv_plan_adam(f->plan, numbers, stats);
}

fv_status fv_fit(const fv_generator *g, const fv_options *o, const fv_network *decoder,
                 fv_backend *be, const float *picture, float *values, int steps, float rate)
{
    fit f = {.generator = g, .numbers = fv_pixels(o) * 3};
    FV_TRY(fv_plan_new(&f.plan, be));
    f.difference = malloc(f.numbers * sizeof *f.difference);
    fv_status s = f.difference ? build(&f, o, decoder, values)
                               : fv_fail(FV_ERR_MEMORY, "fitting the start picture: out of memory");
    for (int t = 1; s >= 0 && t <= steps; t++)
        s = step(&f, o, decoder, picture, t, rate * (float)(steps - t + 1) / (float)steps);
    if (s >= 0) s = fv_plan_block_download(f.plan, FV_BLOCK_VALUE, values);
    free(f.difference);
    fv_plan_free(f.plan);
    return s;
}
