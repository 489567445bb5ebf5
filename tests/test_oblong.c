/* Pictures that are wider than high, or higher than wide, from their options to films: the toy
 * BriVL sees squares of 72 pixels. */
#include <math.h>
#include <unistd.h>

#include "feavis/critic.h"
#include "feavis/gif.h"
#include "feavis/history.h"
#include "feavis/loss.h"
#include "feavis/sheet.h"
#include "tests/toy.h"
#include "tests/views_bench.h"

enum { W = 60, H = 36, BYTES = W * H * 3 };

static fv_options *oblong(const char *param)
{
    fv_options *o = toy_options();
    set(o, "size", "60x36");
    set(o, "param", param);
    return o;
}

static fv_model *open_model(void)
{
    fv_options *o = toy_options();
    fv_model *m;
    MUST(fv_model_open(&m, o));
    fv_options_free(o);
    return m;
}

static void sizes_are_one_side_or_two(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"256", "256"},       {"320x224", "320x224"}, {"224X320", "224x320"}, {"64×48", "64x48"},
        {"64 x 48", "64x48"}, {"16x4096", "16x4096"}, {"96x96", "96"},        {"1e2", "100"}};
    static const char *const bad[] = {
        "",        "x",     "320x",   "x224",   "320x224x2", "15x64",  "64x15",  "64x4097",
        "64.5x64", "64*48", "nanx64", "-64x64", "64x",       "64xx64", "100000", "64x64 a"};
    fv_options *o = toy_options();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        set(o, "size", good[i][0]);
        assert_string_equal(fv_options_get(o, "size"), good[i][1]);
    }
    set(o, "size", "320x224");
    assert_int_equal(fv_width(o), 320);
    assert_int_equal(fv_height(o), 224);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        FAILS(fv_options_set(o, "size", bad[i]), FV_ERR_ARGUMENT, "size is \"");
    assert_string_equal(fv_options_get(o, "size"), "320x224");
    fv_options_free(o);
}

/* --- views --- */

enum { SIDE = 12, VIEWS = 3, SEEN = VIEWS * SIDE * SIDE * 3 };

static bench silent(const char *size, const char *const (*settings)[2], size_t count)
{
    const char *all[16][2] = {{"size", size}, {"views", "3"}, {"noise", "0"}, {"noise-end", "0"}};
    assert_true(count <= 12);
    if (count) memcpy(all + 4, settings, count * sizeof all[0]);
    return open_bench(SIDE, (const char *const(*)[2])all, 4 + count);
}

/* Without shift and rotation every view lies inside the picture, each in its own part of the long
 * side, and in time they reach both ends; their shares are of the short side. */
static void views_lie_along_the_long_side(void **state)
{
    (void)state;
    static const char *const still[][2] = {{"shift", "0"}, {"rotate", "0"}, {"scale-min", "1"}};
    for (int high = 0; high < 2; high++) {
        bench b = silent(high ? "16x50" : "50x16", still, 3);
        double least = 99, most = -1;
        for (int step = 0; step < 60; step++) {
            double last = -1;
            MUST(fv_views_draw(b.plan, &b.views, b.options, step));
            for (int v = 0; v < VIEWS; v++) {
                const float *row = b.views.warp_values + 6 * v;
                double begin = (double)row[high ? 5 : 2], scale = (double)row[0];
                double across = (double)row[high ? 2 : 5];
                double end = begin + scale * (SIDE - 1);
                assert_float_equal(scale, 16.0 / SIDE, 1e-6);
                assert_float_equal(across, 0.5 * (16.0 / SIDE) - 0.5, 1e-5);
                /* the edges of its first and last pixels */
                double low = begin + 0.5 - scale / 2, top = end + 0.5 + scale / 2;
                assert_true(low > -1e-4 && top < 50 + 1e-4);
                assert_true(low >= v * (50.0 - 16) / VIEWS - 1e-4);
                assert_true(low <= (v + 1) * (50.0 - 16) / VIEWS + 1e-4);
                assert_true(begin > last);
                last = begin;
                least = fmin(least, low);
                most = fmax(most, top);
            }
        }
        assert_true(least < 1 && most > 49);
        close_bench(&b);
    }
}

/* All of it, squeezed: the corners of the view are the corners of the picture. */
static void the_whole_picture_is_seen(void **state)
{
    (void)state;
    bench b = silent("48x16", NULL, 0);
    MUST(fv_views_draw(b.plan, &b.views, b.options, FV_VIEWS_WHOLE));
    for (int v = 0; v < VIEWS; v++) {
        const float *row = b.views.warp_values + 6 * v;
        assert_float_equal(row[0], 4, 1e-6);
        assert_float_equal(row[4], 16.0 / 12, 1e-6);
        assert_float_equal(row[2], 1.5, 1e-5);
        assert_float_equal(row[2] + 11 * row[0], 45.5, 1e-4);
        assert_float_equal(row[1], 0, 0);
        assert_float_equal(row[3], 0, 0);
    }
    close_bench(&b);
}

static void fill(float *x, int n, int salt)
{
    for (int i = 0; i < n; i++) x[i] = (float)((i * 7919 + salt * 104729) % 1009) / 1009;
}

static void look(bench *b, const float *picture, float *seen)
{
    MUST(fv_plan_upload(b->plan, b->picture, picture));
    MUST(fv_views_draw(b->plan, &b->views, b->options, 2));
    MUST(fv_plan_forward(b->plan));
    MUST(fv_plan_download(b->plan, b->seen, seen));
}

static void gradients_of_views_are_those_of_differences(void **state)
{
    (void)state;
    enum { PIXELS = 40 * 18 * 3 };
    static const char *const blurred[][2] = {{"blur", "4"}, {"shift", "2"}};
    for (int high = 0; high < 2; high++) {
        bench b = silent(high ? "18x40" : "40x18", blurred, 2);
        static float x[PIXELS], moved[PIXELS], seed[SEEN], before[SEEN], after[SEEN],
            gradient[PIXELS];
        fill(x, PIXELS, 2);
        fill(seed, SEEN, 3);
        look(&b, x, before);
        MUST(fv_plan_output_gradient(b.plan, b.seen, seed));
        MUST(fv_plan_backward(b.plan));
        MUST(fv_plan_download_gradient(b.plan, b.picture, gradient));
        for (int salt = 4; salt < 8; salt++) {
            static float direction[PIXELS];
            double truth = 0, told = 0;
            fill(direction, PIXELS, salt);
            for (int i = 0; i < PIXELS; i++) moved[i] = x[i] + direction[i];
            look(&b, moved, after);
            for (int i = 0; i < SEEN; i++)
                truth += (double)seed[i] * (double)(after[i] - before[i]);
            for (int i = 0; i < PIXELS; i++) told += (double)gradient[i] * (double)direction[i];
            /* views are linear in the picture: only the float of up- and downloads is lost */
            assert_float_equal(told / truth, 1, 1e-5);
        }
        close_bench(&b);
    }
}

/* --- sessions --- */

static void picture_of(fv_session *s, uint8_t out[BYTES])
{
    fv_picture p;
    MUST(fv_session_picture(s, &p, NULL));
    assert_int_equal(p.width, W);
    assert_int_equal(p.height, H);
    memcpy(out, p.rgb, BYTES);
    fv_picture_free(&p);
}

/* A smooth picture, twice the size and with bars at its sides, comes back as its middle. */
static void starts_from_the_middle_of_a_picture(void **state)
{
    (void)state;
    static const char *const kinds[] = {"fourier", "multires", "pixel", "maco"};
    enum { BAR = 10, WIDE = 2 * (W + BAR) };
    static uint8_t rgb[WIDE * 2 * H * 3], first[BYTES], got[BYTES];
    fv_model *m = open_model();
    for (int y = 0; y < 2 * H; y++)
        for (int x = 0; x < WIDE; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * WIDE + x) * 3 + c] =
                    x < BAR || x >= WIDE - BAR ? 255 : (uint8_t)(50 + x / 2 + y * c / 2);
    MUST(fv_picture_write(&(fv_picture){WIDE, 2 * H, rgb}, "bars.png", NULL));
    for (int k = 0; k < 4; k++) {
        fv_session *s;
        fv_options *o = oblong(kinds[k]);
        bool maco = k == 3; /* its magnitudes are fixed: what it made itself comes back */
        set(o, "start-noise", maco ? "1" : "0");
        if (maco) {
            set(o, "contrast", "0.5");
            MUST(fv_session_open(&s, m, o));
            picture_of(s, first);
            fv_session_close(s);
            MUST(fv_picture_write(&(fv_picture){W, H, first}, "made.png", NULL));
            set(o, "start-noise", "0.0001");
        }
        set(o, "start", maco ? "made.png" : "bars.png");
        MUST(fv_session_open(&s, m, o));
        picture_of(s, got);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 0; c < 3; c++) {
                    int i = (y * W + x) * 3 + c;
                    int wanted = maco ? first[i] : rgb[(2 * y * WIDE + 2 * x + BAR) * 3 + c];
                    if (abs(got[i] - wanted) > (maco ? 4 : 3))
                        fail_msg("%s at %d, %d: %d, not %d", kinds[k], x, y, got[i], wanted);
                }
        fv_session_close(s);
        fv_options_free(o);
    }
    unlink("bars.png");
    unlink("made.png");
    fv_model_close(m);
}

/* What a session gives is all of that size, and its recipe makes it again to the byte. */
static void a_session_of_an_oblong_picture(void **state)
{
    (void)state;
    static const char *const kinds[] = {"fourier", "multires", "pixel", "maco"};
    static uint8_t first[BYTES], again[BYTES];
    static float gradient[W * H];
    fv_model *m = open_model();
    for (int k = 0; k < 4; k++) {
        fv_options *o = oblong(kinds[k]), *read;
        fv_session *s, *t;
        fv_progress p;
        fv_picture shot;
        fv_snapshot *kept;
        char *recipe;
        set(o, "keep", "best");
        MUST(fv_session_open(&s, m, o));
        fv_session_want_gradient(s, true);
        MUST(fv_session_step(s, &p));
        MUST(fv_session_step(s, &p));
        MUST(fv_session_gradient(s, gradient));
        int bright = 0;
        for (int i = 0; i < W * H; i++) bright += gradient[i] >= 1;
        assert_true(bright > 0 && bright < W * H / 20); /* the 99.5th percentile is 1 */
        MUST(fv_session_preview(s, &shot));
        assert_int_equal(shot.width, W);
        assert_int_equal(shot.height, H);
        fv_picture_free(&shot);
        MUST(fv_session_take_snapshot(s, &kept));
        MUST(fv_session_save(s, "oblong.safetensors"));
        MUST(fv_session_run(s, NULL, NULL));
        picture_of(s, first);
        MUST(fv_session_recipe(s, &recipe));
        assert_non_null(strstr(recipe, "\nsize: 60x36\n"));
        MUST(fv_session_restore(s, kept));
        MUST(fv_session_run(s, NULL, NULL));
        picture_of(s, again);
        assert_memory_equal(first, again, BYTES);
        fv_session_close(s);
        MUST(fv_options_new(&read));
        MUST(fv_recipe_apply(read, recipe, "recipe"));
        MUST(fv_session_open(&t, m, read));
        MUST(fv_session_run(t, NULL, NULL));
        picture_of(t, again);
        assert_memory_equal(first, again, BYTES);
        fv_session_close(t);
        MUST(fv_session_resume(&t, m, read, "oblong.safetensors"));
        MUST(fv_session_run(t, NULL, NULL));
        picture_of(t, again);
        assert_memory_equal(first, again, BYTES);
        fv_session_close(t);
        set(o, "size", "36x60"); /* as many parameters, mostly: another picture */
        MUST(fv_session_open(&t, m, o));
        FAILS(fv_session_restore(t, kept), FV_ERR_ARGUMENT, "another size");
        fv_session_close(t);
        fv_snapshot_free(kept);
        fv_options_free(read);
        fv_options_free(o);
        free(recipe);
    }
    unlink("oblong.safetensors");
    fv_model_close(m);
}

/* History, films, scrolls, sheets, the critic. */
static void what_is_made_of_oblong_pictures(void **state)
{
    (void)state;
    fv_model *m = open_model();
    fv_options *o = oblong("fourier");
    fv_session *s;
    fv_history *h;
    fv_progress p;
    fv_critic *critic;
    fv_robustness v;
    MUST(fv_session_open(&s, m, o));
    MUST(fv_history_new(&h));
    for (int i = 0; i < 4; i++) {
        MUST(fv_session_step(s, &p));
        MUST(fv_history_note(h, s, p.step));
    }
    fv_picture frames[4], sheet, scroll, back;
    const char *const lines[] = {"月", "a", "b", "c"};
    for (int i = 0; i < 4; i++) {
        frames[i] = fv_history_at(h, i)->picture;
        assert_int_equal(frames[i].width, W);
        assert_int_equal(frames[i].height, H);
    }
    MUST(fv_film_write(frames, 4, 100, NULL, "film.png"));
    MUST(fv_picture_read(&back, "film.png"));
    assert_int_equal(back.width, W);
    assert_int_equal(back.height, H);
    assert_memory_equal(back.rgb, frames[3].rgb, BYTES); /* the last frame first */
    fv_picture_free(&back);
    MUST(fv_gif_write(frames, 4, 100, NULL, "film.gif"));
    MUST(fv_picture_read(&back, "film.gif"));
    assert_int_equal(back.width, W);
    assert_int_equal(back.height, H);
    fv_picture_free(&back);
    MUST(fv_sheet_make(&sheet, frames, lines, 4, 2, 40));
    MUST(fv_scroll_make(&scroll, frames, lines, 4));
    assert_true(scroll.width > 4 * W && scroll.height >= H);
    fv_picture_free(&sheet);
    fv_picture_free(&scroll);
    MUST(fv_critic_open(&critic, m));
    MUST(fv_critic_robustness(critic, &frames[3], "moon", &v));
    assert_true(fabsf(v.whole) <= 1 && fabsf(v.blurred) <= 1 && fabsf(v.unseen) <= 1);
    /* both see it squeezed */
    fv_picture whole;
    fv_progress scores;
    MUST(fv_session_picture(s, &whole, &scores));
    MUST(fv_critic_robustness(critic, &whole, "moon", &v));
    assert_float_equal(v.whole, scores.cosine, 0.01); /* of 8 bits, that of the session of floats */
    fv_picture_free(&whole);
    fv_critic_close(critic);
    fv_history_free(h);
    fv_session_close(s);
    fv_options_free(o);
    fv_model_close(m);
    unlink("film.png");
    unlink("film.gif");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_one_side_or_two),
        cmocka_unit_test(views_lie_along_the_long_side),
        cmocka_unit_test(the_whole_picture_is_seen),
        cmocka_unit_test(gradients_of_views_are_those_of_differences),
        cmocka_unit_test(starts_from_the_middle_of_a_picture),
        cmocka_unit_test(a_session_of_an_oblong_picture),
        cmocka_unit_test(what_is_made_of_oblong_pictures),
    };
    return cmocka_run_group_tests_name("oblong pictures", tests, NULL, NULL);
}
