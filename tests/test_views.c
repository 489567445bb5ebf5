/* Views with blur: what is drawn, and that its gradient is the one of finite differences. */
#include <math.h>

#include "tests/views_bench.h"

enum { CANVAS = 20, SIDE = 12, PIXELS = CANVAS * CANVAS * 3, SEEN = 2 * SIDE * SIDE * 3 };

static bench blurred(const char *blur, const char *noise)
{
    const char *const settings[][2] = {{"size", "20"},   {"views", "2"},    {"shift", "2"},
                                       {"rotate", "20"}, {"noise", noise},  {"noise-end", noise},
                                       {"blur", blur},   {"blur-end", "0"}, {"steps", "9"}};
    return open_bench(SIDE, settings, sizeof settings / sizeof settings[0]);
}

static void look(bench *b, const float *picture, int step, float *seen)
{
    MUST(fv_plan_upload(b->plan, b->picture, picture));
    MUST(fv_views_draw(b->plan, &b->views, b->options, step));
    MUST(fv_plan_forward(b->plan));
    MUST(fv_plan_download(b->plan, b->seen, seen));
}

/* Any numbers in 0..1 that repeat late. */
static void fill(float *x, int n, int salt)
{
    for (int i = 0; i < n; i++) x[i] = (float)((i * 7919 + salt * 104729) % 1009) / 1009;
}

static double spread(const float *x)
{
    double sum = 0, square = 0;
    for (int i = 0; i < SEEN; i++) sum += (double)x[i], square += (double)x[i] * (double)x[i];
    return square / SEEN - sum / SEEN * (sum / SEEN);
}

static void blur_keeps_flat_and_smooths_the_rest(void **state)
{
    (void)state;
    bench b = blurred("6", "0");
    float picture[PIXELS], seen[SEEN], whole[SEEN];
    for (int i = 0; i < PIXELS; i++) picture[i] = 0.25f;
    MUST(fv_options_set(b.options, "colour-shift", "0"));
    for (int step = 0; step < 4; step++) {
        look(&b, picture, step, seen);
        for (int i = 0; i < SEEN; i++) assert_float_equal(seen[i], 0.25, 1e-6);
    }
    fill(picture, PIXELS, 1);
    bench sharp = blurred("0", "0");
    MUST(fv_options_set(sharp.options, "colour-shift", "0"));
    double with = 0, without = 0;
    for (int step = 0; step < 4; step++) {
        look(&b, picture, step, seen);
        with += spread(seen);
        look(&sharp, picture, step, seen);
        without += spread(seen);
    }
    /* white noise under a Gaussian of a pixel and more keeps less than a tenth of its variance;
     * some of the four steps draw less than that */
    assert_true(with < 0.5 * without);
    /* the whole picture, and the last step, are never blurred */
    look(&b, picture, -1, whole);
    look(&sharp, picture, -1, seen);
    for (int i = 0; i < SEEN; i++) assert_float_equal(seen[i], whole[i], 1e-6);
    look(&b, picture, 8, whole);
    look(&sharp, picture, 8, seen);
    for (int i = 0; i < SEEN; i++) assert_float_equal(seen[i], whole[i], 1e-6);
    close_bench(&sharp);
    close_bench(&b);
}

static void gradient_is_that_of_finite_differences(void **state)
{
    (void)state;
    bench b = blurred("4", "0.1");
    float x[PIXELS], moved[PIXELS], seed[SEEN], before[SEEN], after[SEEN], gradient[PIXELS];
    fill(x, PIXELS, 2);
    fill(seed, SEEN, 3);
    look(&b, x, 2, before);
    MUST(fv_plan_output_gradient(b.plan, b.seen, seed));
    MUST(fv_plan_backward(b.plan));
    MUST(fv_plan_download_gradient(b.plan, b.picture, gradient));
    for (int salt = 4; salt < 8; salt++) {
        float direction[PIXELS];
        fill(direction, PIXELS, salt);
        for (int i = 0; i < PIXELS; i++) moved[i] = x[i] + direction[i];
        look(&b, moved, 2, after);
        double truth = 0, told = 0;
        for (int i = 0; i < SEEN; i++) truth += (double)seed[i] * (double)(after[i] - before[i]);
        for (int i = 0; i < PIXELS; i++) told += (double)gradient[i] * (double)direction[i];
        /* views are linear in the picture: only the float of up- and downloads is lost */
        assert_float_equal(told / truth, 1, 1e-5);
    }
    close_bench(&b);
}

/* Side of what a view shows, in pixels of the picture. */
static double side_of(const bench *b, int view)
{
    const float *row = b->views.warp_values + 6 * view;
    return hypot((double)row[0], (double)row[3]) * SIDE;
}

static void shares_shrink_to_their_end(void **state)
{
    (void)state;
    bench plain = blurred("0", "0"), shrunk = blurred("0", "0");
    MUST(fv_options_set(shrunk.options, "scale-end", "0.5"));
    for (int step = 0; step < 9; step++) {
        MUST(fv_views_draw(plain.plan, &plain.views, plain.options, step));
        MUST(fv_views_draw(shrunk.plan, &shrunk.views, shrunk.options, step));
        for (int view = 0; view < 2; view++) /* nine steps: from 1 to a half by sixteenths */
            assert_float_equal(side_of(&shrunk, view) / side_of(&plain, view), 1 - step / 16.0,
                               1e-6);
    }
    MUST(fv_views_draw(shrunk.plan, &shrunk.views, shrunk.options, FV_VIEWS_WHOLE));
    assert_float_equal(side_of(&shrunk, 0), CANVAS, 1e-5);
    close_bench(&plain);
    close_bench(&shrunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blur_keeps_flat_and_smooths_the_rest),
        cmocka_unit_test(gradient_is_that_of_finite_differences),
        cmocka_unit_test(shares_shrink_to_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
