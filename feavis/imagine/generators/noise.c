/* The start of a generator that has none of its own: normal noise, a function of seed and index. */
#include "feavis/imagine/generators/generator.h"
#include "kernels/rng.h"

void fv_generator_noise(const fv_options *o, float *values, size_t count)
{
    float spread = (float)o->start_noise;
    for (size_t i = 0; i < count; i++) {
        fv_random4 r = fv_philox((uint64_t)o->seed, (uint32_t)i, 0, 0, FV_STREAM_INIT);
        values[i] = spread * fv_normal(r.v[0], r.v[1]);
    }
}
