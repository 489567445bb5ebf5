/* Generators: the gradient of each that needs no decoder is that of finite differences, and what
 * maco promises: magnitudes stay, and are those of photographs. */
#include <math.h>

#include "feavis/imagine/generators/colours.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/maco.h"
#include "kernels/rng.h"
#include "tests/check.h"

enum { MOST = 17 };

typedef struct bench {
    fv_backend *backend;
    fv_plan *plan;
    fv_options *options;
    fv_ref picture;
    int width, height;
    size_t count; /* params */
    float *start;
} bench;

static bench open_sized(const char *kind, int width, int height, const char *backend)
{
    bench b = {.width = width, .height = height};
    char size[16];
    snprintf(size, sizeof size, "%dx%d", width, height);
    MUST(fv_options_new(&b.options));
    MUST(fv_options_set(b.options, "param", kind));
    MUST(fv_options_set(b.options, "size", size));
    MUST(fv_options_set(b.options, "start-noise", strcmp(kind, "pixel") ? "0.7" : "0.1"));
    MUST(fv_backend_open(&b.backend, backend, 1));
    MUST(fv_plan_new(&b.plan, b.backend));
    b.picture = fv_generator_build(b.plan, b.options, NULL);
    fv_plan_output(b.plan, b.picture);
    MUST(fv_plan_finish(b.plan, FV_PLAN_BACKWARD));
    b.count = fv_plan_param_count(b.plan);
    b.start = malloc(b.count * sizeof *b.start);
    MUST(fv_generator_start(b.options, NULL, b.backend, b.start, b.count));
    return b;
}

static bench open_bench(const char *kind, int side, const char *backend)
{
    return open_sized(kind, side, side, backend);
}

static void close_bench(bench *b)
{
    free(b->start);
    fv_plan_free(b->plan);
    fv_backend_close(b->backend);
    fv_options_free(b->options);
}

static void picture_of(bench *b, const float *params, float *out)
{
    MUST(fv_plan_block_upload(b->plan, FV_BLOCK_VALUE, params));
    MUST(fv_plan_forward(b->plan));
    MUST(fv_plan_download(b->plan, b->picture, out));
}

static float random_number(size_t i, uint32_t salt)
{
    fv_random4 r = fv_philox(5, (uint32_t)i, salt, 0, 0);
    return fv_normal(r.v[0], r.v[1]);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    /* an odd side has no wave of n/2 */
    static const int sizes[][2] = {{16, 16}, {17, 17}, {16, 23}, {23, 16}, {29, 17}, {16, 40}};
    enum { MAX_PIXELS = 16 * 40 * 3 };
    /* the third order (of short pairs of maco, mostly) leaves up to 6e-4 of a typical difference at
     * this step, a fourth of what it leaves at twice the step, the float of the download 2e-4 */
    const float h = 0.001f;
    const fv_generator *g;
    for (int k = 0; (g = fv_generator_at(k)); k++)
        for (size_t z = 0; !g->needs_decoder && z < sizeof sizes / sizeof sizes[0]; z++) {
            int width = sizes[z][0], height = sizes[z][1];
            bench b = open_sized(g->name, width, height, "ref64");
            size_t pixels = (size_t)width * (size_t)height * 3;
            assert_int_equal(fv_plan_tensor(b.plan, b.picture)->shape.w, width);
            assert_int_equal(fv_plan_tensor(b.plan, b.picture)->shape.h, height);
            float seed[MAX_PIXELS], up[MAX_PIXELS], down[MAX_PIXELS];
            float *gradient = malloc(b.count * sizeof(float)), *x = malloc(b.count * sizeof(float));
            for (size_t i = 0; i < pixels; i++) seed[i] = random_number(i, 1);
            picture_of(&b, b.start, up);
            MUST(fv_plan_output_gradient(b.plan, b.picture, seed));
            MUST(fv_plan_backward(b.plan));
            MUST(fv_plan_block_download(b.plan, FV_BLOCK_GRADIENT, gradient));
            double norm2 = 0; /* a random direction sees about one norm */
            for (size_t i = 0; i < b.count; i++) norm2 += (double)gradient[i] * (double)gradient[i];
            for (uint32_t salt = 2; salt < 5; salt++) {
                double truth = 0, told = 0;
                for (size_t i = 0; i < b.count; i++) x[i] = b.start[i] + h * random_number(i, salt);
                picture_of(&b, x, up);
                for (size_t i = 0; i < b.count; i++) x[i] = b.start[i] - h * random_number(i, salt);
                picture_of(&b, x, down);
                for (size_t i = 0; i < pixels; i++)
                    truth += (double)seed[i] * ((double)up[i] - (double)down[i]);
                for (size_t i = 0; i < b.count; i++)
                    told += 2 * (double)h * (double)gradient[i] * (double)random_number(i, salt);
                if (!(fabs(told - truth) < 1e-3 * 2 * (double)h * sqrt(norm2)))
                    fail_msg("%s, %d x %d pixels: gradient says %g, differences %g", g->name, width,
                             height, told, truth);
            }
            free(gradient);
            free(x);
            close_bench(&b);
        }
}

static double logit(float x)
{
    return log((double)x / (1 - (double)x));
}

/* Amplitude of a wave of the picture before colours and logistic, from its pixels. */
static double amplitude_in(const float *picture, int n, int v, int u, int colour)
{
    /* the rows of the inverse of fv_colours */
    const float *m = fv_colours;
    double det = 0, row[3], re = 0, im = 0;
    int a = (colour + 1) % 3, b = (colour + 2) % 3;
    for (int j = 0; j < 3; j++) {
        int c = (j + 1) % 3, d = (j + 2) % 3;
        row[j] = (double)m[3 * c + a] * (double)m[3 * d + b] -
                 (double)m[3 * c + b] * (double)m[3 * d + a];
        det += (double)m[3 * j + colour] * row[j];
    }
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            double value = 0, angle = 2 * M_PI * (v * y + u * x) / n;
            for (int i = 0; i < 3; i++)
                value += row[i] / det *
                         logit(picture[((size_t)y * (size_t)n + (size_t)x) * 3 + (size_t)i]);
            re += value * cos(angle);
            im -= value * sin(angle);
        }
    bool alone = (v == 0 || 2 * v == n) && (u == 0 || 2 * u == n);
    return hypot(re, im) * (alone ? 1 : 2) / n / n;
}

static void magnitudes_stay(void **state)
{
    (void)state;
    bench b = open_bench("maco", 16, "ref64");
    MUST(fv_options_set(b.options, "contrast", "1.5"));
    float picture[MOST * MOST * 3];
    static const int waves[][2] = {{0, 1}, {1, 0}, {3, 2}, {-3, 2}, {-7, 7}, {5, 8}, {8, 3}};
    for (int round = 0; round < 2; round++) {
        /* any params, of any length */
        for (size_t i = 0; round && i < b.count; i++) b.start[i] = 9 * random_number(i, 7);
        picture_of(&b, b.start, picture);
        for (size_t k = 0; k < sizeof waves / sizeof waves[0]; k++)
            for (int c = 0; c < 3; c++) {
                int v = waves[k][0], u = waves[k][1];
                double got = amplitude_in(picture, 16, v, u, c);
                double expected = fv_maco_magnitude(b.options, v, u, c);
                /* the float of the pixels, through the logit's slope near white and black */
                if (!(fabs(got - expected) < 1e-4))
                    fail_msg("wave %d %d of colour %d: %g, not %g", v, u, c, got, expected);
            }
    }
    close_bench(&b);
}

/* Photographs go about as 1/f, and have more light than colour in them. */
static void magnitudes_are_those_of_photographs(void **state)
{
    (void)state;
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "size", "256"));
    for (int c = 0; c < 3; c++) {
        double low = fv_maco_magnitude(o, 0, 2, c), high = fv_maco_magnitude(o, 0, 64, c);
        double slope = log(high / low) / log(32.0);
        assert_true(slope < -0.9 && slope > -1.7);
        if (c) assert_true(low < fv_maco_magnitude(o, 0, 2, c - 1));
    }
    /* as many cycles a picture, the same amplitude at any size; twins are there once */
    double at = fv_maco_magnitude(o, 5, 9, 0);
    assert_true(fv_maco_magnitude(o, -5, 0, 0) == 0);
    assert_true(fv_maco_magnitude(o, 5, 0, 0) > 0);
    MUST(fv_options_set(o, "size", "640"));
    assert_float_equal(fv_maco_magnitude(o, 5, 9, 0), at, 1e-12);
    /* twice the contrast, twice the amplitude, also past what was measured */
    double far = fv_maco_magnitude(o, 300, 300, 1);
    assert_true(far > 0 && far < fv_maco_magnitude(o, 100, 100, 1));
    MUST(fv_options_set(o, "contrast", "3"));
    assert_float_equal(fv_maco_magnitude(o, 300, 300, 1), 2 * far, 1e-12);
    fv_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(magnitudes_stay),
        cmocka_unit_test(magnitudes_are_those_of_photographs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
