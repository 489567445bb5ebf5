/* Pictures of floats through the image tower and gradients back, the list of layers, and terms that
 * are a function of the caller's: values, finite differences, failures. On the toy BriVL. */
#include "feavis/critic.h"
#include "feavis/layers.h"
#include "feavis/loss.h"
#include "tests/toy_terms.h"

static const char *const some_layers[] = {"blocks.2.0", "image_embedding", "conv_stem"};
enum { LAYERS = 3 };

static fv_model *toy_on(const char *backend)
{
    fv_options *o = toy_options();
    fv_model *m;
    set(o, "backend", backend);
    MUST(fv_model_open(&m, o));
    fv_options_free(o);
    return m;
}

/* Smooth waves, in [0.1, 0.9]; `phase` makes others. Caller frees. */
static float *waves(int side, float phase)
{
    float *p = malloc((size_t)side * (size_t)side * 3 * sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < side * side * 3; i++)
        p[i] = 0.5f + 0.4f * sinf(0.11f * (float)(i % 3 + 1) * (float)(i / 3 % side) +
                                  0.07f * (float)(i / 3 / side) + phase);
    return p;
}

static size_t size_of(const fv_map *l)
{
    return (size_t)l->rows * (size_t)l->columns * (size_t)l->channels;
}

/* Numbers to take a gradient along. Caller frees. */
static float *pattern(size_t n, unsigned seed)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) / (float)(1 << 24) - 0.5f;
    }
    return p;
}

/* --- the list --- */

static void all_layers_can_be_read(void **state)
{
    (void)state;
    fv_model *m = toy_on("cpu");
    fv_layers *l;
    fv_map one;
    int count = 0, embedding = -1;
    MUST(fv_layers_open(&l, m));
    for (; fv_layers_at(l, count, &one); count++)
        if (strcmp(one.name, "image_embedding") == 0) embedding = count;
    assert_true(count > 50);
    assert_true(embedding > 0);
    assert_false(fv_layers_at(l, -1, &one));
    for (int i = 0; i < count; i += 17) { /* asked for by its name it is the same */
        fv_image_encoder *e;
        fv_map again;
        assert_true(fv_layers_at(l, i, &one));
        MUST(fv_image_encoder_open(&e, m, 1, &one.name, 1));
        assert_true(fv_image_encoder_layer(e, 0, &again));
        assert_int_equal(size_of(&again), size_of(&one));
        assert_false(fv_image_encoder_layer(e, 1, &again));
        fv_image_encoder_close(e);
    }
    fv_layers_close(l);
    fv_image_encoder *e;
    const char *unknown = "blocks.3.99";
    FAILS(fv_image_encoder_open(&e, m, 1, &unknown, 1), FV_ERR_ARGUMENT, "the nearest is");
    FAILS(fv_image_encoder_open(&e, m, 0, NULL, 0), FV_ERR_ARGUMENT, "batch of 0");
    fv_model_close(m);
}

/* --- forward --- */

static void a_photo_is_embedded_as_the_critic_does(void **state)
{
    (void)state;
    fv_model *m = toy_on("cpu");
    size_t dim = (size_t)fv_model_dim(m), side = (size_t)fv_model_image_size(m);
    size_t pixels = side * side * 3;
    fv_picture photo = {100, 80, malloc(100 * 80 * 3)};
    for (int i = 0; i < 100 * 80 * 3; i++) photo.rgb[i] = (uint8_t)(i * 7 % 251);
    float *pictures = malloc(2 * pixels * sizeof *pictures), *rows = malloc(3 * dim * sizeof *rows);
    float *other = waves((int)side, 1);
    fv_image_encoder *e;
    fv_critic *c;
    MUST(fv_image_encoder_open(&e, m, 2, NULL, 0));
    MUST(fv_image_encoder_pixels(e, &photo, pictures + pixels));
    memcpy(pictures, other, pixels * sizeof *pictures);
    MUST(fv_image_encoder_forward(e, pictures, rows));
    MUST(fv_critic_open(&c, m));
    MUST(fv_critic_embed(c, &photo, rows + 2 * dim));
    assert_true(relative_l2(rows + dim, rows + 2 * dim, dim) < 1e-6);
    double norm = 0;
    for (size_t i = 0; i < dim; i++) norm += (double)rows[i] * (double)rows[i];
    assert_true(fabs(norm - 1) < 1e-5);
    assert_true(relative_l2(rows, rows + dim, dim) > 0.01); /* each its own */
    fv_critic_close(c);
    fv_image_encoder_close(e);
    fv_picture_free(&photo);
    free(other);
    free(pictures);
    free(rows);
    fv_model_close(m);
}

/* --- backward --- */

typedef struct weighed {
    fv_image_encoder *e;
    size_t dim, sizes[LAYERS];
    float *along, *layer_along[LAYERS]; /* NULL: not part of the loss */
} weighed;

/* <along, embedding> + sum of <layer_along, layer> */
static double loss_of(const void *user, const float *pixels)
{
    const weighed *w = user;
    float *row = malloc(w->dim * sizeof *row);
    double loss = 0;
    MUST(fv_image_encoder_forward(w->e, pixels, row));
    for (size_t i = 0; w->along && i < w->dim; i++) loss += (double)w->along[i] * (double)row[i];
    free(row);
    for (int k = 0; k < LAYERS; k++) {
        if (!w->layer_along[k]) continue;
        float *values = malloc(w->sizes[k] * sizeof *values);
        MUST(fv_image_encoder_read(w->e, k, values));
        for (size_t i = 0; i < w->sizes[k]; i++)
            loss += (double)w->layer_along[k][i] * (double)values[i];
        free(values);
    }
    return loss;
}

/* Along the gradient; `expected` is what it says of the floats that were moved, `found` what the
 * loss does. The toy's activations have corners: the step is short. */
typedef double (*loss_fn)(const void *user, const float *pixels);

static void check_gradient(loss_fn loss, const void *user, const float *pixels,
                           const float *gradient, size_t n)
{
    double square = 0, step = 1e-4;
    for (size_t i = 0; i < n; i++) square += (double)gradient[i] * (double)gradient[i];
    double length = sqrt(square), found = 0, expected = 0;
    assert_true(length > 0);
    float *moved = malloc(n * sizeof *moved);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < n; i++) {
            moved[i] = pixels[i] + (float)(sign * step * (double)gradient[i] / length);
            expected += sign * (double)gradient[i] * ((double)moved[i] - (double)pixels[i]);
        }
        found += sign * loss(user, moved);
    }
    free(moved);
    if (!(fabs(found - expected) < 1e-2 * expected))
        fail_msg("rises by %g, the gradient says %g", found, expected);
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    fv_model *m = toy_on("ref64");
    weighed w = {.dim = (size_t)fv_model_dim(m)};
    int side = fv_model_image_size(m);
    size_t pixels = (size_t)side * (size_t)side * 3;
    MUST(fv_image_encoder_open(&w.e, m, 1, some_layers, LAYERS));
    float *at = waves(side, 0), *gradient = malloc(pixels * sizeof *gradient);
    float *along = pattern(w.dim, 1), *layers_along[LAYERS];
    for (int k = 0; k < LAYERS; k++) {
        fv_map l;
        assert_true(fv_image_encoder_layer(w.e, k, &l));
        w.sizes[k] = size_of(&l);
        layers_along[k] = pattern(w.sizes[k], 7u + (unsigned)k);
    }
    /* the embedding alone; all of them */
    for (int which = -1; which <= LAYERS; which += LAYERS + 1) {
        w.along = which < 0 || which == LAYERS ? along : NULL;
        for (int k = 0; k < LAYERS; k++)
            w.layer_along[k] = which == k || which == LAYERS ? layers_along[k] : NULL;
        loss_of(&w, at);
        MUST(
            fv_image_encoder_backward(w.e, w.along, (const float *const *)w.layer_along, gradient));
        check_gradient(loss_of, &w, at, gradient, pixels);
    }
    MUST(fv_image_encoder_backward(w.e, along, NULL, gradient));
    FAILS(fv_image_encoder_backward(w.e, along, NULL, gradient), FV_ERR_ARGUMENT, "no forward");
    for (int k = 0; k < LAYERS; k++) free(layers_along[k]);
    free(along);
    free(at);
    free(gradient);
    fv_image_encoder_close(w.e);
    fv_model_close(m);
}

/* --- a function of one's own --- */

typedef struct function {
    int calls, fail_at, nan_at; /* 0: never */
    int channel;                /* -1: half the mean square of all */
} function;

static fv_status worth(void *user, const fv_activations *a, double *value, float *gradient)
{
    function *f = user;
    size_t n = (size_t)a->views * (size_t)a->rows * (size_t)a->columns;
    size_t all = n * (size_t)a->channels;
    f->calls++;
    if (f->calls == f->fail_at) return fv_fail(FV_ERR_UNSUPPORTED, "not on a Sunday");
    *value = f->calls == f->nan_at ? NAN : 0;
    for (size_t i = 0; i < all; i++) assert_true(gradient[i] == 0);
    for (size_t i = 0; f->channel >= 0 && i < n; i++) {
        size_t k = i * (size_t)a->channels + (size_t)f->channel;
        *value += (double)a->values[k] / (double)n;
        gradient[k] = 1.0f / (float)n;
    }
    for (size_t i = 0; f->channel < 0 && i < all; i++) {
        *value += 0.5 * (double)a->values[i] * (double)a->values[i] / (double)all;
        gradient[i] = a->values[i] / (float)all;
    }
    return FV_OK;
}

static fv_options *own_options(function *f, const char *layer, float weight)
{
    fv_options *o = term_options("");
    MUST(fv_options_add_term(o, layer, weight, worth, f));
    return o;
}

/* The picture of a function is the picture of the term that says the same. */
static void a_function_climbs_as_the_term_it_repeats(void **state)
{
    (void)state;
    function f = {.channel = 45};
    fv_picture own, term;
    fv_options *o = own_options(&f, "blocks.3.1", 0.5f);
    set(o, "views", "2");
    opened x = open_options(o);
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &own, NULL));
    assert_true(f.calls >= 7);
    close_term(&x);
    o = term_options("blocks.3.1:45 *0.5");
    set(o, "views", "2");
    x = open_options(o);
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &term, NULL));
    close_term(&x);
    int worst = 0;
    for (int i = 0; i < own.width * own.height * 3; i++)
        worst = own.rgb[i] - term.rgb[i] > worst   ? own.rgb[i] - term.rgb[i]
                : term.rgb[i] - own.rgb[i] > worst ? term.rgb[i] - own.rgb[i]
                                                   : worst;
    if (worst > 1) fail_msg("off by %d of 255", worst);
    fv_picture_free(&own);
    fv_picture_free(&term);
}

typedef struct asked {
    function *f;
    fv_image_encoder *e;
    float *values, *unused;
    fv_activations a;
} asked;

/* loss = - weight * value, weight -3 */
static double loss_of_function(const void *user, const float *pixels)
{
    const asked *q = user;
    double value;
    MUST(fv_image_encoder_forward(q->e, pixels, NULL));
    MUST(fv_image_encoder_read(q->e, 0, q->values));
    memset(q->unused, 0,
           (size_t)q->a.rows * (size_t)q->a.columns * (size_t)q->a.channels * sizeof *q->unused);
    MUST(worth(q->f, &q->a, &value, q->unused));
    return 3 * value;
}

/* d loss / d picture of a session, against differences of the function over the image tower. */
static void its_gradient_reaches_the_picture(void **state)
{
    (void)state;
    function f = {.channel = -1};
    fv_options *o = own_options(&f, "blocks.2.0", -3);
    set(o, "backend", "ref64");
    set(o, "size", "72");
    set(o, "blur", "0");
    set(o, "blur-end", "0");
    opened x = open_options(o);
    fv_progress progress;
    size_t n = 72 * 72 * 3;
    float *pixels = malloc(n * sizeof *pixels), *gradient = malloc(n * sizeof *gradient);
    fv_session_want_gradient(x.session, true);
    FAILS(fv_session_pixels(x.session, pixels), FV_ERR_ARGUMENT, "before the first step");
    FAILS(fv_session_gradient_rgb(x.session, gradient), FV_ERR_ARGUMENT, "before the next step");
    MUST(fv_session_step(x.session, &progress));
    MUST(fv_session_pixels(x.session, pixels));
    MUST(fv_session_gradient_rgb(x.session, gradient));
    fv_part parts[FV_MAX_PARTS];
    assert_int_equal(fv_session_parts(x.session, parts), 1);
    assert_string_equal(parts[0].name, "blocks.2.0");
    assert_true(fabsf(progress.loss - 3 * parts[0].value) < 1e-5f * fabsf(progress.loss));
    close_term(&x);

    fv_model *m = toy_on("ref64");
    const char *name = "blocks.2.0";
    fv_map l;
    asked q = {.f = &f};
    MUST(fv_image_encoder_open(&q.e, m, 1, &name, 1));
    assert_true(fv_image_encoder_layer(q.e, 0, &l));
    q.values = malloc(size_of(&l) * sizeof *q.values);
    q.unused = malloc(size_of(&l) * sizeof *q.unused);
    q.a = (fv_activations){name, q.values, 1, l.rows, l.columns, l.channels};
    check_gradient(loss_of_function, &q, pixels, gradient, n);
    fv_image_encoder_close(q.e);
    fv_model_close(m);
    free(q.values);
    free(q.unused);
    free(pixels);
    free(gradient);
}

/* A step that fails changes nothing; one with NaN is taken back. */
static void its_failures_leave_the_session_whole(void **state)
{
    (void)state;
    fv_picture whole = {0, 0, NULL}, broken = {0, 0, NULL};
    for (int broke = 0; broke < 2; broke++) {
        function f = {.channel = 3, .fail_at = broke ? 3 : 0};
        opened x = open_options(own_options(&f, "blocks.3.1", 1));
        if (broke)
            FAILS(fv_session_run(x.session, NULL, NULL), FV_ERR_UNSUPPORTED,
                  "the term on blocks.3.1: not on a Sunday");
        MUST(fv_session_run(x.session, NULL, NULL));
        MUST(fv_session_picture(x.session, broke ? &broken : &whole, NULL));
        close_term(&x);
    }
    assert_memory_equal(whole.rgb, broken.rgb, (size_t)(whole.width * whole.height * 3));
    fv_picture_free(&whole);
    fv_picture_free(&broken);

    function f = {.channel = 3, .nan_at = 3};
    fv_progress scores;
    opened x = open_options(own_options(&f, "blocks.3.1", 1));
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &whole, &scores));
    assert_int_equal(scores.restored, 1);
    fv_picture_free(&whole);
    close_term(&x);
}

static void what_cannot_be_a_term_is_refused(void **state)
{
    (void)state;
    function f = {.channel = 3};
    fv_options *o = own_options(&f, "blocks.3.99", 1);
    fv_model *m;
    fv_session *s;
    MUST(fv_model_open(&m, o));
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "the nearest is");
    for (int i = 1; i < 8; i++) MUST(fv_options_add_term(o, "blocks.3.1", 1, worth, &f));
    FAILS(fv_options_add_term(o, "blocks.3.1", 1, worth, &f), FV_ERR_ARGUMENT, "more than 8");
    FAILS(fv_options_add_term(o, "blocks.3.1", 1, NULL, &f), FV_ERR_ARGUMENT, "a function");
    fv_options_free(o);
    fv_model_close(m);
}

/* A recipe cannot hold a function; it says that there was one, and can be read. */
static void a_recipe_says_that_there_was_a_function(void **state)
{
    (void)state;
    function f = {.channel = 3};
    fv_options *o = own_options(&f, "blocks.3.1", 1), *again;
    set(o, "text", "moon");
    opened x = open_options(o);
    fv_progress p;
    char *recipe;
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_recipe(x.session, &recipe));
    assert_non_null(strstr(recipe, "# with a function on blocks.3.1"));
    MUST(fv_options_new(&again));
    MUST(fv_recipe_apply(again, recipe, "the recipe"));
    assert_string_equal(fv_options_get(again, "text"), "moon");
    fv_options_free(again);
    fv_free(recipe);
    close_term(&x);
}

/* --- where things are --- */

static void home_is_where_it_is_said_to_be(void **state)
{
    (void)state;
    const char *source = getenv("FEAVIS_SOURCE");
    setenv("FEAVIS_HOME", "/nowhere", 1);
    assert_string_equal(fv_home(), "/nowhere");
    FAILS(fv_set_home("/nowhere/else"), FV_ERR_IO, "/nowhere/else has no model/mini");
    MUST(fv_set_home(source));
    assert_string_equal(fv_home(), source);
    MUST(fv_set_home(NULL));
    assert_string_equal(fv_home(), "/nowhere");
    unsetenv("FEAVIS_HOME");
    assert_string_not_equal(fv_home(), "/nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_layers_can_be_read),
        cmocka_unit_test(a_photo_is_embedded_as_the_critic_does),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_function_climbs_as_the_term_it_repeats),
        cmocka_unit_test(its_gradient_reaches_the_picture),
        cmocka_unit_test(its_failures_leave_the_session_whole),
        cmocka_unit_test(what_cannot_be_a_term_is_refused),
        cmocka_unit_test(a_recipe_says_that_there_was_a_function),
        cmocka_unit_test(home_is_where_it_is_said_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
