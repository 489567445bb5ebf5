/* What a window asks of a session, on a toy BriVL (tests/golden/towers/lite0): parts of the loss,
 * the gradient of the picture, states to go back to, more steps, another seed on the way, a
 * picture as the start, the critic. */
#include <math.h>
#include <unistd.h>

#include "feavis/critic.h"
#include "feavis/history.h"
#include "feavis/imagine/session.h"
#include "tests/toy.h"

enum { SIDE = 80, BYTES = SIDE * SIDE * 3 };

static fv_options *options;
static fv_model *model;

static int open_toy(void **state)
{
    (void)state;
    options = toy_options();
    MUST(fv_model_open(&model, options));
    return 0;
}

static int close_toy(void **state)
{
    (void)state;
    fv_model_close(model);
    fv_options_free(options);
    return 0;
}

static fv_session *open_with(const char *name, const char *value)
{
    fv_options *o;
    fv_session *s;
    MUST(fv_options_copy(&o, options));
    if (name) set(o, name, value);
    MUST(fv_session_open(&s, model, o));
    fv_options_free(o);
    return s;
}

static void steps(fv_session *s, int n)
{
    fv_progress p;
    for (int i = 0; i < n; i++) MUST(fv_session_step(s, &p));
}

static void picture_of(fv_session *s, uint8_t rgb[BYTES])
{
    fv_picture p;
    MUST(fv_session_picture(s, &p, NULL));
    assert_int_equal(p.width * p.height * 3, BYTES);
    memcpy(rgb, p.rgb, BYTES);
    fv_picture_free(&p);
}

/* The same recipe, from noise, in one go. */
static void picture_again(fv_session *s, uint8_t rgb[BYTES])
{
    char *recipe;
    fv_options *o;
    fv_session *again;
    MUST(fv_session_recipe(s, &recipe));
    MUST(fv_options_new(&o));
    MUST(fv_recipe_apply(o, recipe, "recipe"));
    MUST(fv_session_open(&again, model, o));
    MUST(fv_session_run(again, NULL, NULL));
    picture_of(again, rgb);
    fv_session_close(again);
    fv_options_free(o);
    free(recipe);
}

static void parts_add_up_to_the_loss(void **state)
{
    (void)state;
    fv_session *s = open_with("llp", "3:0.5,7:0.25");
    MUST(fv_session_set(s, "text", "moon:1 | snow:-0.3"));
    fv_progress p;
    MUST(fv_session_step(s, &p));
    fv_part parts[FV_MAX_PARTS];
    int n = fv_session_parts(s, parts);
    assert_int_equal(n, 5); /* two texts, two channels, tv */
    assert_string_equal(parts[1].name, "snow");
    assert_string_equal(parts[3].name, "7");
    assert_string_equal(parts[4].name, "tv");
    double loss = 0;
    for (int i = 0; i < n; i++)
        loss += (parts[i].kind == FV_PART_PENALTY ? 1.0 : -1.0) * (double)parts[i].weight *
                (double)parts[i].value;
    /* both sums are of five floats near 1 */
    assert_true(fabs(loss - (double)p.loss) < 1e-5);
    assert_true(p.gradient > 0);
    fv_session_close(s);
}

static void names_of_parts_are_cut_at_characters(void **state)
{
    (void)state;
    char text[3 * 30 + 1] = "";
    for (int i = 0; i < 30; i++) strcat(text, "月");
    fv_session *s = open_with("text", text);
    steps(s, 1);
    fv_part parts[FV_MAX_PARTS];
    fv_session_parts(s, parts);
    assert_int_equal(strlen(parts[0].name), 63); /* 21 characters of 3 bytes */
    fv_session_close(s);
}

/* Of plain pixels, Adam's parameters are the picture: their gradient norms have to agree. */
static void gradient_is_that_of_the_picture(void **state)
{
    (void)state;
    static float heat[SIDE * SIDE];
    fv_session *s = open_with("param", "pixel");
    steps(s, 1);
    FAILS(fv_session_gradient(s, heat), FV_ERR_ARGUMENT, "no gradient");
    fv_session_want_gradient(s, true);
    steps(s, 1);
    MUST(fv_session_gradient(s, heat));
    int ones = 0, positive = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        assert_true(heat[i] >= 0 && heat[i] <= 1);
        ones += heat[i] == 1;
        positive += heat[i] > 0;
    }
    assert_true(ones >= 1 && ones <= SIDE * SIDE / 100);
    assert_true(positive > SIDE * SIDE / 2);
    fv_session_close(s);
}

static void a_kept_state_grows_the_same_picture(void **state)
{
    (void)state;
    static uint8_t first[BYTES], second[BYTES];
    fv_session *s = open_with(NULL, NULL);
    fv_snapshot *k;
    steps(s, 2);
    MUST(fv_session_take_snapshot(s, &k));
    assert_int_equal(fv_snapshot_step(k), 2);
    steps(s, 4);
    picture_of(s, first);
    MUST(fv_session_restore(s, k));
    steps(s, 4);
    picture_of(s, second);
    assert_memory_equal(first, second, BYTES);

    MUST(fv_session_restore(s, k)); /* a branch, and its recipe */
    MUST(fv_session_set(s, "text", "snow"));
    MUST(fv_session_set(s, "seed", "9"));
    steps(s, 4);
    picture_of(s, first);
    assert_memory_not_equal(first, second, BYTES);
    picture_again(s, second);
    assert_memory_equal(first, second, BYTES);

    MUST(fv_session_restore(s, k)); /* the branch is forgotten */
    steps(s, 4);
    picture_again(s, second);
    picture_of(s, first);
    assert_memory_equal(first, second, BYTES);
    fv_session_close(s);

    s = open_with("param", "pixel");
    FAILS(fv_session_restore(s, k), FV_ERR_ARGUMENT, "another param");
    fv_session_close(s);
    fv_snapshot_free(k);
}

static void more_steps_enter_the_recipe(void **state)
{
    (void)state;
    static uint8_t first[BYTES], second[BYTES];
    fv_session *s = open_with(NULL, NULL);
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_set(s, "steps", "10"));
    steps(s, 3);
    char *recipe;
    MUST(fv_session_recipe(s, &recipe));
    assert_non_null(strstr(recipe, "stop: 9"));
    free(recipe);
    picture_of(s, first);
    picture_again(s, second);
    assert_memory_equal(first, second, BYTES);
    MUST(fv_session_run(s, NULL, NULL));
    picture_of(s, first);
    picture_again(s, second);
    assert_memory_equal(first, second, BYTES);
    fv_session_close(s);
}

/* Of a picture that maco itself made the phases are all there is: it comes back, but for what 8
 * bits round away. */
static void maco_starts_from_phases(void **state)
{
    (void)state;
    static uint8_t first[BYTES], back[BYTES];
    for (int round = 0; round < 2; round++) {
        fv_options *o;
        fv_session *s;
        MUST(fv_options_copy(&o, options));
        set(o, "param", "maco");
        set(o, "contrast", "0.5"); /* nothing is near 0 or 1, where it would be cut */
        set(o, "start-noise", round ? "0.0001" : "1");
        if (round) set(o, "start", "start.png");
        MUST(fv_session_open(&s, model, o));
        picture_of(s, round ? back : first);
        fv_session_close(s);
        fv_options_free(o);
        fv_picture p = {SIDE, SIDE, first};
        MUST(fv_picture_write(&p, "start.png", NULL));
    }
    for (int i = 0; i < BYTES; i++)
        if (abs(first[i] - back[i]) > 4) fail_msg("%d: %d, not %d", i, back[i], first[i]);
    unlink("start.png");
}

/* A smooth picture comes back from the parameters of each kind within two levels of 255: the
 * noise of the start is off, and no colour is near 0 or 1, where it would be cut. */
static void starts_from_a_picture(void **state)
{
    (void)state;
    static const char *const kinds[] = {"fourier", "multires", "pixel"};
    uint8_t *rgb = malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        rgb[i] = (uint8_t)(40 + (i / 3 % SIDE) + (i / 3 / SIDE) * (i % 3) / 2);
    fv_picture p = {SIDE, SIDE, rgb};
    MUST(fv_picture_write(&p, "start.png", NULL));
    for (int k = 0; k < 3; k++) {
        static uint8_t got[BYTES], again[BYTES];
        fv_options *o;
        fv_session *s;
        MUST(fv_options_copy(&o, options));
        set(o, "start", "start.png");
        set(o, "start-noise", "0");
        set(o, "param", kinds[k]);
        set(o, "steps", "2");
        MUST(fv_session_open(&s, model, o));
        picture_of(s, got);
        for (int i = 0; i < BYTES; i++)
            if (abs(got[i] - rgb[i]) > 2) fail_msg("%s: %d, not %d", kinds[k], got[i], rgb[i]);
        MUST(fv_session_run(s, NULL, NULL));
        picture_of(s, got);
        picture_again(s, again);
        assert_memory_equal(got, again, BYTES);
        fv_session_close(s);
        set(o, "start-hash", "0123456789abcdef");
        FAILS(fv_session_open(&s, model, o), FV_ERR_FORMAT, "not the one of the recipe");
        fv_options_free(o);
    }
    fv_picture_free(&p);
    unlink("start.png");
}

static void history_thins_and_goes_back(void **state)
{
    (void)state;
    fv_session *s = open_with("views", "1");
    fv_history *h;
    MUST(fv_history_new(&h));
    for (int i = 1; i <= 100; i++) {
        steps(s, 1);
        MUST(fv_history_note(h, s, i));
    }
    int n = fv_history_count(h), states = 0;
    assert_true(n > 40 && n <= 96);
    for (int i = 0; i < n; i++) {
        const fv_frame *m = fv_history_at(h, i);
        if (i) assert_true(m->step > fv_history_at(h, i - 1)->step);
        if (!m->state) continue;
        states++;
        assert_int_equal(fv_snapshot_step(m->state), m->step);
    }
    assert_true(states >= n / 5);
    int at = fv_history_state_before(h, 50);
    assert_true(at >= 0 && fv_history_at(h, at)->step <= 50);
    int step = 50, kept = fv_history_at(h, at)->step;
    MUST(fv_history_fork(h, s, &step));
    assert_int_equal(step, kept);
    assert_int_equal(fv_history_count(h), at + 1);
    step = 1; /* the first picture never goes, nor its state */
    MUST(fv_history_fork(h, s, &step));
    assert_int_equal(step, 1);
    assert_int_equal(fv_history_count(h), 1);
    fv_history_free(h);
    fv_session_close(s);
}

static void grow(fv_session *s, fv_history *h, int from, int to)
{
    for (int i = from + 1; i <= to; i++) {
        steps(s, 1);
        MUST(fv_history_note(h, s, i));
    }
}

/* The pixels where line i was left; it must have been. */
static const uint8_t *tip_of(const fv_history *h, int i)
{
    const fv_picture *p = fv_history_tip(h, i);
    assert_non_null(p);
    return p->rgb;
}

static void branches_are_a_tree_that_one_can_climb(void **state)
{
    (void)state;
    static uint8_t first[BYTES], second[BYTES], again[BYTES];
    fv_session *s = open_with("steps", "40");
    fv_history *h;
    fv_picture p;
    MUST(fv_history_new(&h));
    grow(s, h, 0, 12);
    MUST(fv_session_preview(s, &p));
    memcpy(first, p.rgb, BYTES);
    fv_picture_free(&p);

    int step = 9; /* states are kept at 1, 4, 8, 12 */
    MUST(fv_history_fork(h, s, &step));
    assert_int_equal(step, 8);
    assert_int_equal(fv_history_branch_count(h), 2);
    assert_int_equal(fv_history_current(h), 1);
    assert_memory_equal(tip_of(h, 0), first, BYTES);
    assert_null(fv_history_tip(h, 1));
    step = 4; /* at once again: nothing has grown that would be worth a line */
    MUST(fv_history_fork(h, s, &step));
    assert_int_equal(fv_history_branch_count(h), 2);
    const fv_branch *l = fv_history_branch_at(h, 1);
    assert_true(l->parent == 0 && l->fork == 4 && l->step == 4);
    MUST(fv_session_set(s, "text", "snow"));
    grow(s, h, 4, 10);
    assert_int_equal(fv_history_count(h), 10); /* 4 of the first line, 6 of its own */
    MUST(fv_session_preview(s, &p));
    memcpy(second, p.rgb, BYTES);
    fv_picture_free(&p);

    step = 8; /* from the second line, so that the tree has three levels */
    MUST(fv_history_fork(h, s, &step));
    assert_int_equal(fv_history_branch_at(h, 2)->parent, 1);
    MUST(fv_session_set(s, "seed", "7"));
    grow(s, h, 8, 9);

    MUST(fv_history_switch(h, s, 0)); /* the first goes on as if nothing had happened */
    assert_int_equal(fv_history_count(h), 12);
    assert_int_equal(fv_history_at(h, 11)->step, 12);
    grow(s, h, 12, 14);
    picture_of(s, first);
    picture_again(s, again);
    assert_memory_equal(first, again, BYTES);
    MUST(fv_history_switch(h, s, 1));
    assert_int_equal(fv_history_count(h), 10);
    assert_memory_equal(tip_of(h, 1), second, BYTES);
    MUST(fv_history_switch(h, s, 2)); /* left again without a step: its picture is still its own */
    assert_memory_equal(tip_of(h, 1), second, BYTES);
    assert_int_equal(fv_history_count(h), 9);
    FAILS(fv_history_forget(h, 1), FV_ERR_ARGUMENT, "in use");
    MUST(fv_history_switch(h, s, 0));
    MUST(fv_history_forget(h, 2));
    MUST(fv_history_forget(h, 1));
    assert_int_equal(fv_history_branch_count(h), 1);
    FAILS(fv_history_switch(h, s, 1), FV_ERR_ARGUMENT, "branch 1 of 1");
    fv_history_free(h);
    fv_session_close(s);
}

static void old_branches_make_room_for_new_ones(void **state)
{
    (void)state;
    fv_session *s = open_with("views", "1");
    fv_history *h;
    MUST(fv_history_new(&h));
    grow(s, h, 0, 5);
    unsigned second = 0;
    for (int i = 1; i < 2 * FV_MAX_BRANCHES; i++) {
        int step = 4;
        MUST(fv_history_fork(h, s, &step));
        if (i == 1) second = fv_history_branch_at(h, 1)->id;
        grow(s, h, 4, 5);
    }
    assert_int_equal(fv_history_branch_count(h), FV_MAX_BRANCHES);
    assert_int_equal(fv_history_branch_at(h, 0)->parent, -1); /* what others grew from stays */
    for (int i = 0; i < FV_MAX_BRANCHES; i++) {
        assert_true(fv_history_branch_at(h, i)->id != second);
        assert_true(fv_history_branch_at(h, i)->parent < fv_history_branch_count(h));
    }
    fv_history_free(h);
    fv_session_close(s);
}

static void critic_sees_what_the_session_sees(void **state)
{
    (void)state;
    fv_session *s = open_with("llp", "5:0.1");
    MUST(fv_session_run(s, NULL, NULL));
    fv_picture p;
    fv_progress whole;
    MUST(fv_session_picture(s, &p, &whole));
    fv_critic *c;
    MUST(fv_critic_open(&c, model));
    fv_robustness v;
    MUST(fv_critic_robustness(c, &p, "moon", &v));
    /* the critic's picture is rounded to 8 bits, and resized by other code */
    assert_true(fabsf(v.whole - whole.cosine) < 0.02f);
    assert_true(fabsf(v.blurred) <= 1 && fabsf(v.unseen) <= 1);
    int side = fv_critic_chosen(c).rows;
    float *map = malloc((size_t)(side * side) * sizeof *map), mean = 0;
    MUST(fv_critic_activation(c, &p, 5, map));
    for (int i = 0; i < side * side; i++) mean += map[i] / (float)(side * side);
    fv_channel best[4];
    int count = 4;
    MUST(fv_critic_channels(c, &p, best, &count));
    assert_int_equal(count, 4);
    for (int i = 1; i < 4; i++) assert_true(best[i].lead <= best[i - 1].lead);
    /* the toy's channel is steep: 8-bit rounding moves it by up to 0.07 */
    assert_true(fabsf(mean - whole.neuron) < 0.1f * (1 + fabsf(mean)));
    FAILS(fv_critic_activation(c, &p, 100000, map), FV_ERR_ARGUMENT, "channel 100000");
    free(map);
    fv_critic_close(c);
    fv_picture_free(&p);
    fv_session_close(s);
}

/* Row-major numbers of a layer by a plan of its own. Caller frees. */
static float *layer_of(const char *name, const fv_picture *picture, fv_shape *shape)
{
    fv_plan *p;
    fv_ref r;
    int side = fv_model_image_size(model);
    float *pixels = malloc((size_t)(side * side * 3) * sizeof *pixels);
    fv_picture_to_tensor(picture, side, pixels);
    MUST(fv_plan_new(&p, model->engine->backend));
    fv_ref in = fv_plan_input(p, "pixels", (fv_shape){1, side, side, 3}, FV_REAL);
    fv_network_image(model->network, p, in, true);
    MUST(fv_plan_find_layer(p, name, &r));
    fv_plan_output(p, r);
    *shape = fv_plan_shape(p, r);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD));
    MUST(fv_plan_upload(p, in, pixels));
    MUST(fv_plan_forward(p));
    float *values = malloc(fv_count(*shape) * sizeof *values);
    MUST(fv_plan_download(p, r, values));
    fv_plan_free(p);
    free(pixels);
    return values;
}

/* What is active in a layer, in the whole picture and at a place, against all of its numbers. */
static void the_critic_looks_at_any_layer(void **state)
{
    (void)state;
    static uint8_t rgb[BYTES];
    for (int i = 0; i < BYTES; i++) rgb[i] = (uint8_t)((i * 29 + i / 240 * 57) % 251);
    fv_picture p = {SIDE, SIDE, rgb};
    fv_critic *c;
    const fv_map *layers;
    int count, listed = -1;
    MUST(fv_critic_open(&c, model));
    MUST(fv_critic_layers(c, &layers, &count));
    assert_true(count > 10);
    assert_string_equal(layers[count - 1].name, ""); /* the last before pooling */
    assert_string_equal(layers[0].name, "conv_stem");
    for (int i = 0; i < count; i++) {
        if (strcmp(layers[i].name, "blocks.2.1") == 0) listed = i;
        assert_null(strstr(layers[i].name, "conv_pw")); /* inside of a block */
        assert_null(strstr(layers[i].name, "backbone"));
    }
    assert_true(listed > 0);

    fv_map last = fv_critic_chosen(c);
    MUST(fv_critic_choose(c, "blocks.2.1"));
    fv_map map = fv_critic_chosen(c);
    fv_shape s;
    float *values = layer_of("blocks.2.1", &p, &s), *one = malloc(fv_rows(s) * sizeof *one);
    assert_string_equal(map.name, "blocks.2.1");
    assert_true(map.rows == s.h && map.columns == s.w && map.channels == s.c);
    assert_true(layers[listed].rows == s.h && layers[listed].channels == s.c);
    assert_true(s.h != last.rows && s.c != last.channels);
    MUST(fv_critic_activation(c, &p, 7, one));
    /* fewer ops are computed: they may be joined otherwise */
    for (size_t i = 0; i < fv_rows(s); i++)
        assert_float_equal(one[i], values[i * (size_t)s.c + 7], 1e-5f * (1 + fabsf(one[i])));

    fv_channel best[5];
    int n = 5;
    MUST(fv_critic_channels(c, &p, best, &n));
    assert_int_equal(n, 5);
    for (int i = 0; i < n; i++) {
        float mean = 0;
        for (size_t k = 0; k < fv_rows(s); k++)
            mean += values[k * (size_t)s.c + (size_t)best[i].number] / (float)fv_rows(s);
        assert_float_equal(best[i].mean, mean, 1e-4f * (1 + fabsf(mean)));
        assert_true(i == 0 || best[i].lead <= best[i - 1].lead);
    }
    MUST(fv_critic_channels_at(c, &p, 0.999f, 0.001f, best, &n)); /* right, above */
    assert_float_equal(best[0].mean,
                       values[((size_t)s.w - 1) * (size_t)s.c + (size_t)best[0].number], 1e-4f);
    FAILS(fv_critic_activation(c, &p, s.c, one), FV_ERR_ARGUMENT, "there are 0 to");

    /* what cannot be chosen changes nothing; texts ask the last layer */
    FAILS(fv_critic_choose(c, "blocks.2.9"), FV_ERR_ARGUMENT, "the nearest is");
    assert_string_equal(fv_critic_chosen(c).name, "blocks.2.1");
    int asked = 5, again = 5;
    fv_channel before[5], after[5];
    MUST(fv_critic_search(c, "moon", NULL, before, &asked));
    MUST(fv_critic_choose(c, NULL));
    assert_int_equal(fv_critic_chosen(c).rows, last.rows);
    MUST(fv_critic_search(c, "moon", NULL, after, &again));
    assert_int_equal(asked, again);
    for (int i = 0; i < asked; i++) assert_int_equal(before[i].number, after[i].number);
    free(values);
    free(one);
    fv_critic_close(c);
}

/* The cosine after a blur is what `keep` chooses by and what robustness says. Both look at a
 * picture of whole bytes, bright at its borders: what is left is the rounding of a hundred sums. */
static void a_blur_is_the_same_to_session_and_critic(void **state)
{
    (void)state;
    fv_options *o;
    fv_session *s;
    fv_critic *c;
    fv_scores whole, blurred;
    bool finite;
    fv_robustness v;
    static uint8_t rgb[BYTES];
    for (int i = 0; i < BYTES; i++)
        rgb[i] = (uint8_t)((i * 37 + i / 240 * 91) % 97 < 40 ? 250 : 10);
    fv_picture p = {SIDE, SIDE, rgb};
    MUST(fv_picture_write(&p, "start.png", NULL));
    MUST(fv_options_copy(&o, options));
    set(o, "keep", "best");
    set(o, "param", "pixel");
    set(o, "start", "start.png");
    set(o, "start-noise", "0");
    MUST(fv_session_open(&s, model, o));
    MUST(fv_session_forward(s, FV_VIEWS_WHOLE, &whole, &finite));
    MUST(fv_session_forward(s, FV_VIEWS_BLURRED, &blurred, &finite));
    MUST(fv_critic_open(&c, model));
    MUST(fv_critic_robustness(c, &p, "moon", &v));
    assert_float_equal(v.whole, whole.cosine, 2e-6);
    assert_float_equal(v.blurred, blurred.cosine, 2e-6);
    assert_true(fabsf(v.blurred - v.whole) > 1e-3f); /* else there is nothing to see here */
    fv_critic_close(c);
    fv_session_close(s);
    fv_options_free(o);
    unlink("start.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_add_up_to_the_loss),
        cmocka_unit_test(names_of_parts_are_cut_at_characters),
        cmocka_unit_test(gradient_is_that_of_the_picture),
        cmocka_unit_test(a_kept_state_grows_the_same_picture),
        cmocka_unit_test(more_steps_enter_the_recipe),
        cmocka_unit_test(starts_from_a_picture),
        cmocka_unit_test(maco_starts_from_phases),
        cmocka_unit_test(history_thins_and_goes_back),
        cmocka_unit_test(branches_are_a_tree_that_one_can_climb),
        cmocka_unit_test(old_branches_make_room_for_new_ones),
        cmocka_unit_test(critic_sees_what_the_session_sees),
        cmocka_unit_test(the_critic_looks_at_any_layer),
        cmocka_unit_test(a_blur_is_the_same_to_session_and_critic),
    };
    return cmocka_run_group_tests(tests, open_toy, close_toy);
}
