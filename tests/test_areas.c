/* Places with texts of their own: their syntax, which positions lie in them in a view, that a place
 * sees nothing of the others, that the whole is the place of all, gradients, recipes. */
#include <math.h>

#include "feavis/critic.h"
#include "feavis/feavis.h"
#include "feavis/imagine/session.h"
#include "tests/toy_terms.h"

/* --- syntax --- */

static void places_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *text, *name;
        int cells[4];
        float soft, weight;
    } good[] = {
        {"月亮: 4-5,0-1", "月亮", "月亮 4-5,0-1", {4, 5, 0, 1}, 0.5f, 1},
        {"月亮：４－５，０－１", "月亮", "月亮 4-5,0-1", {4, 5, 0, 1}, 0.5f, 1},
        {"a moon:5,0", "a moon", "a moon 5,0", {5, 5, 0, 0}, 0.5f, 1},
        {" x : 0 - 2 , 3 ~1.5 *-2 ", "x", "x 0-2,3", {0, 2, 3, 3}, 1.5f, -2},
        {"16\\:9: 1,1 *0.5", "16:9", "16:9 1,1", {1, 1, 1, 1}, 0.5f, 0.5f},
        {"a: b: 1,1 ~0", "a: b", "a: b 1,1", {1, 1, 1, 1}, 0, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        fv_areas a;
        MUST(fv_areas_parse(&a, good[i].spec));
        assert_int_equal(a.count, 1);
        assert_string_equal(a.at[0].text, good[i].text);
        assert_string_equal(a.at[0].name, good[i].name);
        assert_int_equal(a.at[0].left, good[i].cells[0]);
        assert_int_equal(a.at[0].right, good[i].cells[1]);
        assert_int_equal(a.at[0].top, good[i].cells[2]);
        assert_int_equal(a.at[0].bottom, good[i].cells[3]);
        assert_true(a.at[0].soft == good[i].soft && a.at[0].weight == good[i].weight);
        fv_areas_clear(&a);
    }
    fv_areas a;
    MUST(fv_areas_parse(&a, ""));
    assert_int_equal(a.count, 0);
    MUST(fv_areas_parse(&a, "月: 0,0 | b\\|c: 1,1｜河: 2-3,4-5 *2"));
    assert_int_equal(a.count, 3);
    assert_string_equal(a.at[1].text, "b|c");
    assert_string_equal(a.at[2].name, "河 2-3,4-5");
    fv_areas_clear(&a);
}

static void unclear_places_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *words;
    } bad[] = {
        {"moon", "no colon"},
        {"moon\\: 1,1", "no colon"},
        {": 1,1", "no text"},
        {"moon:", "no columns"},
        {"moon: 6,0", "columns 6, expected 0 to 5"},
        {"moon: 3-2,0", "columns 3-2, expected 0 to 5, the lower first"},
        {"月亮: 4-6,0-1", "columns 4-6, expected 0 to 5"},
        {"moon: 99999999999,1", "columns 99999999999, expected 0 to 5"},
        {"moon: 1,4294967297", "rows 4294967297, expected 0 to 5"},
        {"moon: 1,5 - 4", "rows 5 - 4, expected 0 to 5, the lower first"},
        {"moon: 3-,1", "no columns"},
        {"moon: 3", "no comma"},
        {"moon: 3,", "no rows"},
        {"moon: 3,-1", "no rows"},
        {"moon: 3,1 ~7", "border"},
        {"moon: 3,1 *x", "weight"},
        {"moon: 3,1 *1e9", "weight"},
        {"moon: 3,1 2", "something behind"},
        {"moon: 3,1 |", "empty part"},
        {"|moon: 3,1", "empty part"},
        {"moon: 3,1\xe3", "something behind"},
        {"\xf0", "no colon"},
        {"a: 1,1|a: 1,1|a: 1,1|a: 1,1|a: 1,1|a: 1,1|a: 1,1|a: 1,1|a: 1,1", "more than 8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fv_areas a;
        fv_status s = fv_areas_parse(&a, bad[i].spec);
        if (s != FV_ERR_ARGUMENT || !strstr(fv_error(), bad[i].words))
            if (bad[i].spec[9] != '\xe3') /* a cut letter there may be left out */
                fail_msg("%s: %d %s", bad[i].spec, s, fv_error());
        if (s >= 0) fv_areas_clear(&a);
    }
}

/* --- which positions lie inside --- */

static void a_place_follows_its_view(void **state)
{
    (void)state;
    double w[36];
    fv_area a = {.left = 4, .right = 5, .top = 0, .bottom = 1, .soft = 0};
    const float still[6] = {1, 0, 0, 0, 1, 0};
    assert_true(fabs(fv_area_weights(w, 6, &a, still, 60, 60, 60) - 1) < 1e-9);
    for (int i = 0; i < 36; i++) assert_true(fabs(w[i] - (i % 6 >= 4 && i / 6 <= 1)) < 1e-9);
    /* a view ten pixels to the left: what is in it lies one column more to the right */
    const float left[6] = {1, 0, -10, 0, 1, 0};
    double seen = fv_area_weights(w, 6, &a, left, 60, 60, 60);
    assert_true(fabs(seen - 0.5) < 1e-9);
    for (int i = 0; i < 36; i++) assert_true(fabs(w[i] - (i % 6 == 5 && i / 6 <= 1)) < 1e-9);
    /* half the side, the upper right quarter: a cell of the picture is two of the view */
    const float quarter[6] = {0.5f, 0, 29.75f, 0, 0.5f, -0.25f};
    seen = fv_area_weights(w, 6, &a, quarter, 60, 60, 60);
    assert_true(fabs(seen - 1) < 1e-6);
    for (int i = 0; i < 36; i++) assert_true(fabs(w[i] - (i % 6 >= 2 && i / 6 <= 3)) < 1e-6);
    /* a quarter turn to the right about the middle: the upper right is on the upper left */
    const float turned[6] = {0, -1, 59, 1, 0, 0};
    fv_area_weights(w, 6, &a, turned, 60, 60, 60);
    for (int i = 0; i < 36; i++) assert_true(fabs(w[i] - (i % 6 <= 1 && i / 6 <= 1)) < 1e-9);
    /* a border falls off outside of it */
    a.soft = 2;
    fv_area_weights(w, 6, &a, still, 60, 60, 60);
    assert_true(fabs(w[4] - 1) < 1e-9 && fabs(w[3] - 0.75) < 1e-9 && fabs(w[2] - 0.25) < 1e-9);
    assert_true(w[0] == 0 && w[12 + 5] < w[6 + 5] && w[12 + 3] < w[12 + 5]);
    /* other pictures than squares: cells are shares of both sides */
    a.soft = 0;
    const float wide[6] = {2, 0, 0.5f, 0, 1, 0};
    assert_true(fabs(fv_area_weights(w, 6, &a, wide, 60, 120, 60) - 1) < 1e-6);
    for (int i = 0; i < 36; i++) assert_true(fabs(w[i] - (i % 6 >= 4 && i / 6 <= 1)) < 1e-6);
}

/* --- what a network makes of some positions --- */

typedef struct part {
    fv_model *model;
    fv_plan *plan;
    fv_ref map, bias, whole, place;
    fv_shape shape;
    float *values, *biases, *got;
} part;

static void open_part(part *t)
{
    fv_options *o = toy_options();
    set(o, "backend", "ref64");
    MUST(fv_model_open(&t->model, o));
    fv_options_free(o);
    const fv_network *n = t->model->network;
    MUST(fv_plan_new(&t->plan, t->model->engine->backend));
    t->shape = (fv_shape){2, n->map_side, n->map_side, n->map_channels};
    t->map = fv_plan_param(t->plan, "map", t->shape);
    t->bias = fv_plan_input(t->plan, "bias", (fv_shape){2, 1, 1, n->places.tokens}, FV_REAL);
    t->whole = fv_network_head(n, t->plan, t->map);
    fv_plan_push(t->plan, "part.");
    t->place = fv_network_place(n, t->plan, t->map, t->bias);
    fv_plan_pop(t->plan);
    fv_plan_output(t->plan, t->whole);
    fv_plan_output(t->plan, t->place);
    MUST(fv_plan_finish(t->plan, FV_PLAN_BACKWARD));
    t->values = malloc(fv_count(t->shape) * sizeof *t->values);
    for (size_t i = 0; i < fv_count(t->shape); i++)
        t->values[i] = fabsf(sinf((float)i * 0.37f)) + (i % 7 == 0);
    t->biases = calloc(2 * (size_t)n->places.tokens, sizeof *t->biases);
    t->got = calloc(4 * (size_t)n->dim, sizeof *t->got);
}

/* got: whole of both pictures, then places of both. */
static void run_part(part *t)
{
    size_t dim = (size_t)t->model->network->dim;
    MUST(fv_plan_upload(t->plan, t->map, t->values));
    MUST(fv_plan_upload(t->plan, t->bias, t->biases));
    MUST(fv_plan_forward(t->plan));
    MUST(fv_plan_download(t->plan, t->whole, t->got));
    MUST(fv_plan_download(t->plan, t->place, t->got + 2 * dim));
}

static void close_part(part *t)
{
    free(t->values);
    free(t->biases);
    free(t->got);
    fv_plan_free(t->plan);
    fv_model_close(t->model);
}

static double apart(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

static void all_of_them_are_the_picture(void **state)
{
    (void)state;
    part t;
    open_part(&t);
    int dim = t.model->network->dim;
    run_part(&t);
    assert_true(apart(t.got, t.got + 2 * dim, 2 * dim) < 2e-6);
    for (int i = 0; i < t.model->network->places.tokens; i++)
        t.biases[i] = -1.5f; /* weights count against each other */
    run_part(&t);
    assert_true(apart(t.got, t.got + 2 * dim, 2 * dim) < 2e-6);
    close_part(&t);
}

/* The first picture's place is one box, the second one's another; then the map changes far from
 * the first. */
static void a_place_sees_nothing_else(void **state)
{
    (void)state;
    part t;
    open_part(&t);
    const fv_network *n = t.model->network;
    int dim = n->dim, tokens = n->places.tokens;
    for (int i = 0; i < 2 * tokens; i++) t.biases[i] = -1e9f;
    t.biases[0] = 0; /* the upper left */
    t.biases[tokens + 3 * n->places.side + 0] =
        0; /* column 3, row 0: of a map of 3 x 3 the right */
    run_part(&t);
    float *before = malloc(4 * (size_t)dim * sizeof *before);
    memcpy(before, t.got, 4 * (size_t)dim * sizeof *before);
    for (int picture = 0; picture < 2; picture++) /* the upper right position of both maps */
        for (int c = 0; c < t.shape.c; c++)
            t.values[((size_t)picture * t.shape.h * t.shape.w + (size_t)t.shape.w - 1) * t.shape.c +
                     c] += 1;
    run_part(&t);
    assert_true(apart(before, t.got, dim) > 1e-4);                           /* the whole */
    assert_memory_equal(before + 2 * dim, t.got + 2 * dim, (size_t)dim * 4); /* upper left */
    assert_true(apart(before + 3 * dim, t.got + 3 * dim, dim) > 1e-4);       /* upper right */
    free(before);
    close_part(&t);
}

/* Of a CLIP, whose map is tokens with the class in front, or positions. */
static void check_clip(const char *name, bool tokens)
{
    char path[1024];
    fv_network *n;
    fv_backend *be;
    fv_plan *p;
    const char *unpacked = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/clip/%s", unpacked ? unpacked : ".", name);
    fv_network_files files = {.checkpoint = path};
    MUST(fv_network_open(&n, &files));
    MUST(fv_backend_open(&be, "ref64", 1));
    MUST(fv_plan_new(&p, be));
    int side = n->map_side, c = n->map_channels, first = tokens, count = n->places.tokens;
    assert_int_equal(count, 1 + side * side);
    fv_shape shape = {2, tokens ? 1 : side, tokens ? count : side, c};
    fv_ref map = fv_plan_input(p, "map", shape, FV_REAL);
    fv_ref bias = fv_plan_input(p, "bias", (fv_shape){2, 1, 1, count}, FV_REAL);
    fv_ref place = fv_network_place(n, p, map, bias);
    fv_plan_output(p, place);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD));
    size_t all = fv_count(shape), dim = (size_t)n->dim;
    float *values = malloc(all * sizeof *values),
          *biases = malloc(2 * (size_t)count * sizeof *biases);
    float *got = malloc(4 * dim * sizeof *got);
    for (size_t i = 0; i < all; i++) values[i] = sinf((float)i * 0.37f);
    for (int i = 0; i < 2 * count; i++) biases[i] = -1e9f;
    biases[n->places.first] = biases[2 * count - 1] = 0; /* the upper left; the lower right */
    MUST(fv_plan_upload(p, bias, biases));
    for (int k = 0; k < 2; k++) {
        for (int i = 0; k && i < 2 * c; i++) /* the upper left of both pictures */
            values[(i < c ? 0 : all / 2) + (size_t)(first * c + i % c)] +=
                1 + 0.1f * (float)(i % 3);
        MUST(fv_plan_upload(p, map, values));
        MUST(fv_plan_forward(p));
        MUST(fv_plan_download(p, place, got + 2 * (size_t)k * dim));
    }
    assert_true(apart(got, got + 2 * dim, n->dim) > 1e-3);
    assert_true(apart(got + dim, got + 3 * dim, n->dim) < 1e-9);
    free(values);
    free(biases);
    free(got);
    fv_plan_free(p);
    fv_backend_close(be);
    fv_network_close(n);
}

static void a_place_of_a_clip_sees_nothing_else(void **state)
{
    (void)state;
    check_clip("vit.pt", true);
    check_clip("rn.pt", false);
}

/* <some direction, place> of both pictures. */
static double along(part *t, const float *direction)
{
    double sum = 0;
    int dim = t->model->network->dim;
    run_part(t);
    for (int i = 0; i < 2 * dim; i++) sum += (double)direction[i] * (double)t->got[2 * dim + i];
    return sum;
}

/* Of the map, with other weights in each picture: the slope along the gradient is its length. */
static void gradients_are_those_of_the_value(void **state)
{
    (void)state;
    part t;
    open_part(&t);
    const fv_network *n = t.model->network;
    size_t count = fv_count(t.shape), dims = 2 * (size_t)n->dim;
    float *direction = malloc(dims * sizeof *direction), *g = malloc(count * sizeof *g);
    float *at = malloc(count * sizeof *at);
    for (size_t i = 0; i < dims; i++) direction[i] = cosf((float)i * 1.3f);
    for (int i = 0; i < 2 * n->places.tokens; i++)
        t.biases[i] = i % 3 ? (float)log(0.1 + i % 5) : -1e9f;
    along(&t, direction);
    MUST(fv_plan_output_gradient(t.plan, t.place, direction));
    MUST(fv_plan_backward(t.plan));
    MUST(fv_plan_download_gradient(t.plan, t.map, g));
    memcpy(at, t.values, count * sizeof *at);
    double square = 0, ends[2], step = 1e-2;
    for (size_t i = 0; i < count; i++) square += (double)g[i] * (double)g[i];
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < count; i++)
            t.values[i] = at[i] + (float)((k ? step : -step) * (double)g[i] / sqrt(square));
        ends[k] = along(&t, direction);
    }
    double slope = (ends[1] - ends[0]) / (2 * step);
    if (!(fabs(slope - sqrt(square)) <= 2e-3 * sqrt(square)))
        fail_msg("slope %g, gradient %g", slope, sqrt(square));
    free(direction);
    free(g);
    free(at);
    close_part(&t);
}

/* --- sessions --- */

static fv_options *at_options(const char *at, const char *backend)
{
    fv_options *o = term_options("");
    set(o, "at", at);
    set(o, "backend", backend);
    return o;
}

static fv_picture grow(fv_options *o, char **recipe)
{
    fv_picture p;
    fv_progress scores;
    opened x = open_options(o);
    MUST(fv_session_run(x.session, NULL, NULL));
    MUST(fv_session_picture(x.session, &p, &scores));
    if (recipe) MUST(fv_session_recipe(x.session, recipe));
    close_term(&x);
    return p;
}

static void a_place_climbs_and_is_made_again(void **state)
{
    (void)state;
    static const char at[] = "moon: 4-5,0-1 | sea: 0-5,5 *0.5";
    fv_options *o = at_options(at, "cpu");
    char *recipe;
    fv_spot before[FV_MAX_SPOTS], after[FV_MAX_SPOTS];
    int count;
    set(o, "views", "2");
    set(o, "shift", "6");
    set(o, "rate", "0.02");
    set(o, "steps", "1");
    fv_options *many;
    MUST(fv_options_copy(&many, o));
    set(many, "steps", "30");
    fv_picture first = grow(o, NULL), last = grow(many, &recipe);
    assert_non_null(strstr(recipe, at));

    fv_options *again = at_options("", "cpu");
    MUST(fv_recipe_apply(again, recipe, "recipe"));
    fv_picture copy = grow(again, NULL);
    assert_memory_equal(copy.rgb, last.rgb, (size_t)copy.width * (size_t)copy.height * 3);

    fv_model *m;
    fv_critic *c;
    open_towers(&m, "online");
    MUST(fv_critic_open(&c, m));
    MUST(fv_critic_places(c, &first, at, before, &count));
    assert_int_equal(count, 2);
    MUST(fv_critic_places(c, &last, at, after, &count));
    assert_string_equal(after[1].text, "sea");
    assert_true(after[0].cosine > before[0].cosine && after[1].cosine > before[1].cosine);
    float cells[FV_CELLS];
    fv_spot one[FV_MAX_SPOTS];
    MUST(fv_critic_cells(c, &last, "moon", cells));
    MUST(fv_critic_places(c, &last, "moon: 2,3 ~0", one, &count));
    assert_true(fabsf(cells[3 * 6 + 2] - one[0].cosine) < 1e-6f);
    fv_critic_close(c);
    fv_model_close(m);
    fv_picture_free(&first);
    fv_picture_free(&last);
    fv_picture_free(&copy);
    free(recipe);
}

static void places_change_while_the_picture_grows(void **state)
{
    (void)state;
    opened x = open_options(at_options("moon: 4-5,0-1", "cpu"));
    fv_progress p;
    fv_part parts[FV_MAX_PARTS];
    MUST(fv_session_step(x.session, &p));
    MUST(fv_session_set(x.session, "at", "sea: 0-1,0-1")); /* the same ops */
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(fv_session_parts(x.session, parts), 1);
    assert_string_equal(parts[0].name, "sea 0-1,0-1");
    MUST(fv_session_set(x.session, "at", "sea: 0-1,0-1 | moon: 5,5"));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(fv_session_parts(x.session, parts), 2);
    MUST(fv_session_set(x.session, "text", "moon"));
    MUST(fv_session_set(x.session, "at", ""));
    MUST(fv_session_step(x.session, &p));
    assert_int_equal(fv_session_parts(x.session, parts), 1);
    FAILS(fv_session_set(x.session, "at", "moon: 9,9"), FV_ERR_ARGUMENT,
          "columns 9, expected 0 to 5");
    close_term(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_read),
        cmocka_unit_test(unclear_places_are_refused),
        cmocka_unit_test(a_place_follows_its_view),
        cmocka_unit_test(all_of_them_are_the_picture),
        cmocka_unit_test(a_place_sees_nothing_else),
        cmocka_unit_test(a_place_of_a_clip_sees_nothing_else),
        cmocka_unit_test(gradients_are_those_of_the_value),
        cmocka_unit_test(a_place_climbs_and_is_made_again),
        cmocka_unit_test(places_change_while_the_picture_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
