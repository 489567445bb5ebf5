/* Saturation and paper: colours of what comes out, start pictures that come back, gradients against
 * finite differences, and pictures without them as they were. On the toy BriVL. */
#include <math.h>

#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/generators/tint.h"
#include "tests/toy_terms.h"

static fv_picture grow(const char *saturation, const char *paper, const char *param)
{
    fv_options *o = toy_options();
    fv_picture p;
    set(o, "saturation", saturation);
    set(o, "paper", paper);
    set(o, "param", param);
    set(o, "start-noise", "0.3");
    opened x = open_options(o);
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &p, NULL));
    close_term(&x);
    return p;
}

/* Mean distance of the channels once the paper is divided out, of 255. */
static double colourful(const fv_picture *p, const double paper[3])
{
    double sum = 0;
    size_t n = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < n; i++) {
        double x[3];
        for (int c = 0; c < 3; c++) x[c] = p->rgb[3 * i + (size_t)c] / paper[c];
        sum += fabs(x[0] - x[1]) + fabs(x[1] - x[2]);
    }
    return sum / (double)n;
}

static void colours_are_those_of_the_paper(void **state)
{
    (void)state;
    static const double white[3] = {1, 1, 1}, silk[3] = {0.87, 0.79, 0.64};
    static const char *const params[] = {"fourier", "multires", "pixel", "maco"};
    for (int i = 0; i < 4; i++) {
        fv_picture all = grow("1", "none", params[i]), some = grow("0.3", "none", params[i]);
        fv_picture grey = grow("0", "none", params[i]), on_silk = grow("0", "silk", params[i]);
        assert_true(colourful(&some, white) < 0.6 * colourful(&all, white));
        assert_true(colourful(&some, white) > 1);
        assert_true(colourful(&grey, white) == 0);
        assert_true(colourful(&on_silk, silk) < 2); /* of rounding */
        for (int k = 0; k < on_silk.width * on_silk.height; k++)
            assert_true(on_silk.rgb[3 * k] <= 222 && on_silk.rgb[3 * k + 2] <= 164);
        fv_picture_free(&all);
        fv_picture_free(&some);
        fv_picture_free(&grey);
        fv_picture_free(&on_silk);
    }
}

/* A start picture that has such colours is shown as it is. */
static void a_start_comes_back(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0.4", "rice"}, {"0", "silk"}, {"1", "silk"}, {"0.05", "none"}};
    for (int i = 0; i < 4; i++) {
        fv_picture from = grow(cases[i][0], cases[i][1], "multires"), to;
        MUST(fv_picture_write(&from, "from.png", NULL));
        fv_options *o = toy_options();
        set(o, "saturation", cases[i][0]);
        set(o, "paper", cases[i][1]);
        set(o, "param", "pixel");
        set(o, "start", "from.png");
        set(o, "start-noise", "0");
        set(o, "rate", "0");
        set(o, "steps", "1");
        opened x = open_options(o);
        MUST(fv_session_run(x.session, NULL, NULL));
        MUST(fv_session_picture(x.session, &to, NULL));
        double sum = 0;
        for (int k = 0; k < 80 * 80 * 3; k++) sum += abs(from.rgb[k] - to.rgb[k]);
        if (sum / (80 * 80 * 3) > 2.5) fail_msg("case %d: %g", i, sum / (80 * 80 * 3));
        close_term(&x);
        fv_picture_free(&from);
        fv_picture_free(&to);
    }
}

static fv_backend *ref64(void)
{
    fv_backend *be;
    MUST(fv_backend_open(&be, "ref64", 1));
    return be;
}

/* d (sum of weight * picture) / d params. */
static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    fv_backend *be = ref64();
    fv_options *o = toy_options();
    fv_plan *p;
    set(o, "size", "16");
    set(o, "param", "pixel");
    set(o, "saturation", "0.35");
    set(o, "paper", "rice");
    MUST(fv_plan_new(&p, be));
    fv_ref picture = fv_generator_build(p, o, NULL);
    assert_string_equal(fv_plan_name(p, picture), "tinted");
    fv_plan_output(p, picture);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD));
    enum { N = 16 * 16 * 3 };
    float params[N], weights[N], gradient[N], out[N];
    for (int i = 0; i < N; i++) {
        params[i] = (float)((i * 7919 % 200) - 100) / 80;
        weights[i] = (float)((i * 104729 % 100) - 50) / 50;
    }
    assert_int_equal(fv_plan_param_count(p), N);
    MUST(fv_plan_block_upload(p, FV_BLOCK_VALUE, params));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_output_gradient(p, picture, weights));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_block_download(p, FV_BLOCK_GRADIENT, gradient));
    for (int i = 0; i < N; i += 37) {
        double sides[2] = {0};
        float was = params[i];
        for (int k = 0; k < 2; k++) {
            params[i] = was + (k ? -1e-2f : 1e-2f);
            MUST(fv_plan_block_upload(p, FV_BLOCK_VALUE, params));
            MUST(fv_plan_forward(p));
            MUST(fv_plan_download(p, picture, out));
            for (int j = 0; j < N; j++) sides[k] += (double)weights[j] * (double)out[j];
        }
        params[i] = was;
        double slope = (sides[0] - sides[1]) / 2e-2;
        if (fabs(slope - (double)gradient[i]) > 2e-3 * (0.05 + fabs(slope)))
            fail_msg("param %d: %g, expected %g", i, (double)gradient[i], slope);
    }
    fv_plan_free(p);
    fv_options_free(o);
    fv_backend_close(be);
}

static void without_them_there_is_no_op(void **state)
{
    (void)state;
    fv_backend *be = ref64();
    fv_options *o = toy_options();
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    assert_string_equal(fv_plan_name(p, fv_generator_build(p, o, NULL)), "picture");
    fv_plan_free(p);
    fv_options_free(o);
    fv_backend_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_are_those_of_the_paper),
        cmocka_unit_test(a_start_comes_back),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(without_them_there_is_no_op),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
