/* Generators as rows: one that only this file knows dreams, resumes, comes back from its recipe and
 * starts from a picture like any other; one more makes its pictures with a decoder that only this
 * file knows. */
#include <math.h>

#include "feavis/history.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/imagine/session.h"
#include "feavis/picture.h"
#include "feavis/recipe.h"
#include "kernels/rng.h"
#include "tests/toy.h"

enum { SIDE = 80, BYTES = SIDE * SIDE * 3, CELL = 4, CELLS = SIDE / CELL };

/* --- a generator of this file's own: two layers from a latent of cells to their colours --- */

static float limit;         /* of the latent, by after_step */
static float bounds[2][3];  /* of its channels, by Adam: low, high */
static int calls, fails_at; /* of after_step; 0: it never fails */
static bool fails_late;     /* once its work is done */

static fv_ref enlarge(fv_plan *p, fv_ref x, int w, int h, int cell)
{
    static float m[2][SIDE * SIDE];
    const int sides[] = {h, w};
    fv_ref matrices[2];
    for (int k = 0; k < 2; k++) {
        int n = sides[k], cells = n / cell;
        memset(m[k], 0, sizeof m[k]);
        for (int i = 0; i < n; i++) m[k][i * cells + i / cell] = 1;
        matrices[k] = fv_plan_weight(p, k ? "columns" : "rows", (fv_shape){1, 1, n, cells}, m[k]);
    }
    return fv_separable(p, "enlarged", x, matrices[0], matrices[1]);
}

/* gelu(x) - gelu(-x) = x: the two layers are the identity, so a picture is easily turned round. */
static fv_ref build_cells(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    assert_null(decoder);
    static const float first[6][3] = {{1, 0, 0},  {0, 1, 0},  {0, 0, 1},
                                      {-1, 0, 0}, {0, -1, 0}, {0, 0, -1}};
    float second[3][6];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 6; k++) second[i][k] = first[k][i];
    int w = fv_width(o), h = fv_height(o);
    fv_ref x = fv_plan_param(p, "latent", (fv_shape){1, h / CELL, w / CELL, 3});
    x = fv_linear(p, "hidden", x, fv_plan_weight(p, "first", (fv_shape){1, 1, 6, 3}, &first[0][0]),
                  FV_NONE, FV_ACT_GELU);
    x = fv_linear(p, "colours", x,
                  fv_plan_weight(p, "second", (fv_shape){1, 1, 3, 6}, &second[0][0]), FV_NONE,
                  FV_ACT_NONE);
    return fv_activation(p, "picture", enlarge(p, x, w, h, CELL), FV_ACT_SIGMOID);
}

static fv_status prepare_cells(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)o, (void)decoder;
    return fv_plan_bound(p, fv_plan_find(p, "latent"), bounds[0], bounds[1]);
}

static float mean_of_cell(const float *picture, int row, int column, int channel)
{
    float sum = 0;
    for (int y = row * CELL; y < (row + 1) * CELL; y++)
        for (int x = column * CELL; x < (column + 1) * CELL; x++)
            sum += picture[(y * SIDE + x) * 3 + channel];
    return sum / (CELL * CELL);
}

static fv_status invert_cells(const fv_options *o, const fv_network *decoder, fv_backend *be,
                              const float *picture, float *values, size_t count)
{
    (void)o, (void)decoder;
    assert_non_null(be);
    assert_int_equal(count, CELLS * CELLS * 3);
    for (int i = 0; i < (int)count; i++) {
        float mean = mean_of_cell(picture, i / 3 / CELLS, i / 3 % CELLS, i % 3);
        values[i] += logf(mean / (1 - mean));
    }
    return FV_OK;
}

static fv_status project_cells(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)o, (void)decoder;
    float values[CELLS * CELLS * 3];
    size_t count = fv_plan_param_count(p);
    bool fails = ++calls == fails_at;
    if (fails && !fails_late) return fv_fail(FV_ERR_DEVICE, "the projection failed");
    FV_TRY(fv_plan_block_download(p, FV_BLOCK_VALUE, values));
    for (size_t i = 0; i < count; i++) values[i] = fminf(fmaxf(values[i], -limit), limit);
    FV_TRY(fv_plan_block_upload(p, FV_BLOCK_VALUE, values));
    return fails ? fv_fail(FV_ERR_DEVICE, "the projection failed") : FV_OK;
}

static const fv_generator cells = {.name = "cells",
                                   .build = build_cells,
                                   .prepare = prepare_cells,
                                   .invert = invert_cells,
                                   .after_step = project_cells};

/* And one that is wrong: its picture is half as large as it has to be, and not to be turned round.
 */
static fv_ref build_half(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    (void)decoder;
    return fv_plan_param(p, "pixels", (fv_shape){1, fv_height(o), fv_width(o) / 2, 3});
}

static const fv_generator half = {.name = "half", .build = build_half};

static fv_options *cell_options(void)
{
    fv_options *o = toy_options();
    set(o, "param", "cells");
    limit = 0.1f; /* the first step moves further */
    calls = fails_at = 0;
    for (int i = 0; i < 3; i++) {
        bounds[0][i] = -9;
        bounds[1][i] = 9;
    }
    return o;
}

static fv_model *open_model(const fv_options *o)
{
    fv_model *m;
    MUST(fv_model_open(&m, o));
    return m;
}

/* The picture as it stands; the recipe is the caller's. */
static char *take(fv_session *s, uint8_t rgb[BYTES], fv_progress *scores)
{
    fv_picture p;
    char *recipe;
    MUST(fv_session_picture(s, &p, scores));
    assert_int_equal(p.width, SIDE);
    assert_int_equal(p.height, SIDE);
    memcpy(rgb, p.rgb, BYTES);
    fv_picture_free(&p);
    MUST(fv_session_recipe(s, &recipe));
    return recipe;
}

static char *run(fv_model *m, const fv_options *o, uint8_t rgb[BYTES])
{
    fv_session *s;
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_run(s, NULL, NULL));
    char *recipe = take(s, rgb, NULL);
    fv_session_close(s);
    return recipe;
}

/* --- it is a word like any other --- */

static void names_are_words_of_the_option(void **state)
{
    (void)state;
    fv_options *o;
    MUST(fv_options_new(&o));
    const fv_option *row = fv_option_find("param");
    char words[256] = "";
    const fv_generator *g;
    for (int i = 0; (g = fv_generator_at(i)); i++) {
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", i ? " " : "",
                 g->name);
        set(o, "param", g->name);
        assert_string_equal(fv_options_get(o, "param"), g->name);
        assert_ptr_equal(fv_generator_of(o), g);
    }
    assert_string_equal(row->choices, words);
    assert_string_equal(words, "fourier multires pixel maco vqgan cells half painted");
    FAILS(fv_options_set(o, "param", "cell"), FV_ERR_ARGUMENT, words);

    /* --generator says the same; what is written bears the first name */
    set(o, "generator", "cells");
    assert_string_equal(fv_options_get(o, "param"), "cells");
    MUST(fv_recipe_apply(o, "feavis: 1\ngenerator: maco\n", "r.png"));
    assert_string_equal(fv_options_get(o, "param"), "maco");
    assert_ptr_equal(fv_option_find("generator"), row);
    fv_options_free(o);
}

static void a_name_is_one_word_and_one_generators(void **state)
{
    (void)state;
    static const char *const bad[][2] = {{"", "expected a word"},
                                         {"two words", "expected a word"},
                                         {"Cells", "expected a word"},
                                         {"a: b", "expected a word"},
                                         {"fourier", "there is a generator fourier already"},
                                         {"cells", "there is a generator cells already"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fv_generator row = {.name = bad[i][0], .build = build_cells};
        FAILS(fv_generator_register(&row), FV_ERR_ARGUMENT, bad[i][1]);
    }
    assert_null(fv_generator_at(-1));
    assert_null(fv_generator_at(8));
}

/* --- it dreams --- */

static void it_climbs_with_a_channel_and_a_text(void **state)
{
    (void)state;
    static const char *const still[] = {"shift", "rotate", "noise", "noise-end", "colour-shift"};
    static uint8_t rgb[BYTES];
    fv_options *o = cell_options();
    fv_model *m = open_model(o);
    limit = 3;
    for (size_t i = 0; i < sizeof still / sizeof still[0]; i++) set(o, still[i], "0");
    set(o, "scale-min", "1");
    set(o, "rate", "0.003"); /* so that every step descends */
    set(o, "start-noise", "0.5");
    for (int channel = 0; channel < 2; channel++) {
        fv_session *s;
        fv_progress before, after;
        set(o, "text", channel ? "" : "moon");
        set(o, "llp", channel ? "7" : "");
        MUST(fv_session_open(&s, m, o));
        free(take(s, rgb, &before));
        MUST(fv_session_run(s, NULL, NULL));
        free(take(s, rgb, &after));
        assert_true(after.loss < before.loss);
        assert_true(channel ? after.neuron > before.neuron : after.cosine > before.cosine);
        fv_session_close(s);
    }
    fv_model_close(m);
    fv_options_free(o);
}

/* From its recipe, from a state saved half-way, and from one kept in memory. */
static void the_same_bytes_come_back(void **state)
{
    (void)state;
    static uint8_t first[BYTES], other[BYTES];
    fv_options *o = cell_options(), *again, *half_way;
    fv_model *m = open_model(o);
    fv_session *s;
    fv_snapshot *kept;
    fv_progress p;
    char *recipe = run(m, o, first), *second;
    assert_non_null(strstr(recipe, "\nparam: cells\n"));

    again = toy_options();
    MUST(fv_recipe_apply(again, recipe, "recipe"));
    second = run(m, again, other);
    assert_string_equal(second, recipe);
    assert_memory_equal(other, first, BYTES);
    free(second);

    MUST(fv_session_open(&s, m, o));
    for (int i = 0; i < 3; i++) MUST(fv_session_step(s, &p));
    MUST(fv_session_save(s, "cells.safetensors"));
    MUST(fv_session_take_snapshot(s, &kept));
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_restore(s, kept));
    MUST(fv_session_run(s, NULL, NULL));
    free(take(s, other, NULL));
    assert_memory_equal(other, first, BYTES);
    fv_snapshot_free(kept);
    fv_session_close(s);

    half_way = toy_options();
    MUST(fv_session_read_options(half_way, "cells.safetensors"));
    assert_string_equal(fv_options_get(half_way, "param"), "cells");
    MUST(fv_session_resume(&s, m, half_way, "cells.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    second = take(s, other, NULL);
    assert_string_equal(second, recipe);
    assert_memory_equal(other, first, BYTES);
    fv_session_close(s);
    free(second);
    free(recipe);
    fv_model_close(m);
    fv_options_free(o);
    fv_options_free(again);
    fv_options_free(half_way);
}

static void a_picture_is_its_start(void **state)
{
    (void)state;
    static uint8_t rgb[BYTES];
    static float values[BYTES];
    for (uint32_t i = 0; i < BYTES; i++)
        rgb[i] = (uint8_t)(40 + 170 * fv_uniform(fv_philox(3, i, 0, 0, 0).v[0]));
    for (int i = 0; i < BYTES; i++) values[i] = (float)rgb[i] / 255;
    MUST(fv_picture_write(&(fv_picture){SIDE, SIDE, rgb}, "start.png", NULL));
    fv_options *o = cell_options();
    fv_model *m = open_model(o);
    fv_session *s;
    set(o, "start", "start.png");
    set(o, "start-noise", "0");
    MUST(fv_session_open(&s, m, o));
    free(take(s, rgb, NULL));
    for (int i = 0; i < BYTES; i++) {
        int y = i / 3 / SIDE, x = i / 3 % SIDE;
        float mean = 255 * mean_of_cell(values, y / CELL, x / CELL, i % 3);
        if (!(fabsf((float)rgb[i] - mean) < 0.6f)) /* 8 bits */
            fail_msg("pixel %d %d: %d, not %g", x, y, rgb[i], (double)mean);
    }
    fv_session_close(s);
    set(o, "param", "half");
    FAILS(fv_session_open(&s, m, o), FV_ERR_SHAPE, "half makes a picture of 40 x 80 pixels in 3");
    float unused;
    fv_backend *be;
    MUST(fv_backend_open(&be, "ref", 1));
    FAILS(fv_generator_start(o, NULL, be, &unused, 1), FV_ERR_ARGUMENT, "half takes no picture");
    fv_backend_close(be);
    fv_model_close(m);
    fv_options_free(o);
}

/* --- its hooks --- */

/* Bounds a channel hold, also in the plan that a live change makes. */
static void each_channel_keeps_to_its_bounds(void **state)
{
    (void)state;
    fv_options *o = cell_options();
    fv_model *m = open_model(o);
    fv_session *s;
    fv_progress p;
    static float values[CELLS * CELLS * 3];
    for (int i = 0; i < 3; i++) {
        bounds[0][i] = -0.02f * (float)(i + 1);
        bounds[1][i] = 0.01f * (float)(i + 1);
    }
    MUST(fv_session_open(&s, m, o));
    for (int step = 1; step <= 6; step++) {
        int at_the_bound[3] = {0};
        if (step == 3) MUST(fv_session_set(s, "text", "moon | lake")); /* other ops */
        MUST(fv_session_step(s, &p));
        MUST(fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, values));
        for (int i = 0; i < CELLS * CELLS * 3; i++) {
            float low = bounds[0][i % 3], high = bounds[1][i % 3];
            assert_true(values[i] >= low && values[i] <= high);
            at_the_bound[i % 3] += values[i] == low || values[i] == high;
        }
        for (int i = 0; i < 3; i++) assert_true(at_the_bound[i] > 0);
    }
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

static void after_each_step_it_is_projected(void **state)
{
    (void)state;
    fv_options *o = cell_options();
    fv_model *m = open_model(o);
    fv_session *s;
    fv_progress p;
    static float values[CELLS * CELLS * 3];
    MUST(fv_session_open(&s, m, o));
    for (int step = 1; step <= 6; step++) {
        MUST(fv_session_step(s, &p));
        assert_int_equal(calls, step);
        MUST(fv_plan_block_download(s->net.plan, FV_BLOCK_VALUE, values));
        int at_the_limit = 0;
        for (int i = 0; i < CELLS * CELLS * 3; i++) {
            assert_true(fabsf(values[i]) <= limit);
            at_the_limit += fabsf(values[i]) == limit;
        }
        if (step > 1) assert_true(at_the_limit > 0);
    }
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

/* One that fails is owed: the next call makes good for it, and nothing is lost. */
static void a_projection_that_fails_is_done_later(void **state)
{
    (void)state;
    static uint8_t first[BYTES], other[BYTES];
    fv_options *o = cell_options();
    fv_model *m = open_model(o);
    free(run(m, o, first));
    for (int late = 0; late < 2; late++) {
        fv_session *s;
        MUST(fv_session_open(&s, m, o));
        calls = 0;
        fails_at = 3;
        fails_late = late;
        FAILS(fv_session_run(s, NULL, NULL), FV_ERR_DEVICE, "the projection failed");
        MUST(fv_session_run(s, NULL, NULL));
        assert_int_equal(calls, 7);
        free(take(s, other, NULL));
        assert_memory_equal(other, first, BYTES);
        fv_session_close(s);
    }
    fails_at = 0;
    fv_model_close(m);
    fv_options_free(o);
}

/* --- with a decoder --- */

enum { FACTOR = 2, LATENT = 4, HIDDEN = 5 };

static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    (void)w;
    *mine = files->checkpoint && strstr(files->checkpoint, "paints.safetensors");
    return FV_OK;
}

static void close_paints(fv_network *n)
{
    fv_weights_close((fv_weights *)(uintptr_t)n->source.weights);
    free(n);
}

static fv_ref decode(fv_builder *b, const fv_network *n, fv_ref latent)
{
    fv_layer first = fv_load_linear(b, "first", HIDDEN, LATENT),
             second = fv_load_linear(b, "second", 3, HIDDEN);
    fv_ref x = fv_linear(b->plan, "first", latent, first.w, first.b, FV_ACT_GELU);
    x = fv_linear(b->plan, "second", x, second.w, second.b, FV_ACT_NONE);
    fv_shape s = fv_plan_shape(b->plan, x);
    return enlarge(b->plan, x, s.w * n->factor, s.h * n->factor, n->factor);
}

static void describe(const fv_network *n, char *out, size_t size)
{
    snprintf(out, size, "paints %d x %d pixels a cell", n->factor, n->factor);
}

static fv_status open_paints(fv_network **out, const fv_network_files *files);
static const fv_network_kind paints = {.name = "paints",
                                       .detect = detect,
                                       .open = open_paints,
                                       .close = close_paints,
                                       .describe = describe,
                                       .decode = decode};

static fv_status open_paints(fv_network **out, const fv_network_files *files)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, files->checkpoint));
    fv_network *n = calloc(1, sizeof *n);
    assert_non_null(n);
    *n = (fv_network){.kind = &paints,
                      .title = "Paints",
                      .source = {.weights = w, .root = ""},
                      .latent_channels = LATENT,
                      .factor = FACTOR};
    *out = n;
    return FV_OK;
}

static float first_w[HIDDEN][LATENT], first_b[HIDDEN], second_w[3][HIDDEN], second_b[3];

static const fv_save_entry entries[] = {{"first.weight", FV_FILE_F32, 2, {HIDDEN, LATENT}, first_w},
                                        {"first.bias", FV_FILE_F32, 1, {HIDDEN}, first_b},
                                        {"second.weight", FV_FILE_F32, 2, {3, HIDDEN}, second_w},
                                        {"second.bias", FV_FILE_F32, 1, {3}, second_b}};

static void spill_paints(void)
{
    MUST(fv_weights_save("paints.safetensors", entries, 4, NULL));
}

static void write_paints(void)
{
    uint32_t at = 0;
    for (size_t k = 0; k < 4; k++) {
        float *values = (float *)(uintptr_t)entries[k].data;
        int64_t count = entries[k].dims[0] * (entries[k].ndim == 2 ? entries[k].dims[1] : 1);
        for (int64_t i = 0; i < count; i++)
            values[i] = 2 * fv_uniform(fv_philox(9, at++, 0, 0, 0).v[0]) - 1;
    }
    spill_paints();
}

static fv_ref build_painted(fv_plan *p, const fv_options *o, const fv_network *decoder)
{
    fv_shape shape;
    fv_status s = fv_network_latent(decoder, fv_width(o), fv_height(o), &shape);
    if (s < 0) return fv_plan_fail(p, s);
    fv_ref x = fv_network_decode(decoder, p, fv_plan_param(p, "latent", shape));
    return fv_activation(p, "picture", x, FV_ACT_SIGMOID);
}

static fv_status start_painted(const fv_options *o, const fv_network *decoder, float *values,
                               size_t count)
{
    (void)o;
    for (size_t i = 0; i < count; i++) values[i] = (float)(i % (size_t)decoder->latent_channels);
    return FV_OK;
}

static void bound_painted(const fv_options *o, const fv_network *decoder, float *low, float *high)
{
    (void)o;
    *low = -(float)decoder->factor;
    *high = (float)decoder->factor;
}

static const fv_generator painted = {.name = "painted",
                                     .needs_decoder = true,
                                     .build = build_painted,
                                     .start = start_painted,
                                     .bounds = bound_painted};

/* Picture {W x H} of a latent, by hand. */
static double by_hand(const float *latent, int w, int y, int x, int channel)
{
    const float *cell = latent + (y / FACTOR * (w / FACTOR) + x / FACTOR) * LATENT;
    double sum = (double)second_b[channel];
    for (int k = 0; k < HIDDEN; k++) {
        double v = (double)first_b[k];
        for (int i = 0; i < LATENT; i++) v += (double)first_w[k][i] * (double)cell[i];
        sum += (double)second_w[channel][k] * 0.5 * v * (1 + erf(v / sqrt(2)));
    }
    return 1 / (1 + exp(-sum));
}

static void a_decoder_makes_its_pictures(void **state)
{
    (void)state;
    enum { W = 20, H = 16, COUNT = W / FACTOR * (H / FACTOR) * LATENT };
    fv_options *o;
    fv_backend *be;
    fv_plan *p;
    fv_network *n;
    float latent[COUNT], gradient[COUNT], picture[W * H * 3], seed[W * H * 3], low, high;
    write_paints();
    MUST(fv_network_open(&n, &(fv_network_files){.checkpoint = "paints.safetensors"}));
    MUST(fv_options_new(&o));
    set(o, "param", "painted");
    set(o, "size", "20x16");
    MUST(fv_backend_open(&be, "ref64", 1));
    MUST(fv_plan_new(&p, be));
    fv_ref made = fv_generator_build(p, o, n);
    fv_plan_output(p, made);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD));
    assert_true(fv_plan_find(p, "decoder.second") >= 0);
    assert_int_equal(fv_plan_param_count(p), COUNT);
    MUST(fv_generator_start(o, n, be, latent, COUNT));
    assert_true(latent[5] == 1);
    fv_generator_bounds(o, n, &low, &high);
    assert_true(low == -FACTOR && high == FACTOR);

    for (uint32_t i = 0; i < COUNT; i++)
        latent[i] = 4 * fv_uniform(fv_philox(1, i, 0, 0, 0).v[0]) - 2;
    for (uint32_t i = 0; i < W * H * 3; i++) seed[i] = fv_uniform(fv_philox(2, i, 0, 0, 0).v[0]);
    MUST(fv_plan_block_upload(p, FV_BLOCK_VALUE, latent));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_download(p, made, picture));
    for (int i = 0; i < W * H * 3; i++)
        assert_true(fabs((double)picture[i] - by_hand(latent, W, i / 3 / W, i / 3 % W, i % 3)) <
                    1e-6);
    MUST(fv_plan_output_gradient(p, made, seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_block_download(p, FV_BLOCK_GRADIENT, gradient));
    for (int k = 0; k < COUNT; k++) { /* central differences of the picture by hand */
        double sums[2], h = 1e-3;
        float kept = latent[k];
        for (int side = 0; side < 2; side++) {
            latent[k] = kept + (float)(side ? h : -h);
            sums[side] = 0;
            for (int i = 0; i < W * H * 3; i++)
                sums[side] += (double)seed[i] * by_hand(latent, W, i / 3 / W, i / 3 % W, i % 3);
        }
        double moved = (double)(kept + (float)h) - (double)(kept - (float)h);
        assert_true(fabs((sums[1] - sums[0]) / moved - (double)gradient[k]) < 1e-5);
        latent[k] = kept;
    }
    fv_plan_free(p);
    fv_backend_close(be);
    fv_options_free(o);
    fv_network_close(n);
}

static void a_decoder_that_does_not_fit_is_named(void **state)
{
    (void)state;
    fv_options *o;
    fv_backend *be;
    fv_network *n;
    fv_plan *p;
    float unused = 0;
    write_paints();
    MUST(fv_network_open(&n, &(fv_network_files){.checkpoint = "paints.safetensors"}));
    MUST(fv_options_new(&o));
    set(o, "param", "painted");
    MUST(fv_backend_open(&be, "ref", 1));
    /* none, a side that is no multiple and is not cut, a latent of another network, one that is no
     * decoder */
    fv_network other = *n;
    fv_network_kind kind = *n->kind;
    kind.decode = NULL;
    other.kind = &kind;
    static const char *const words[] = {
        "painted makes pictures with a decoder: give its file with --decoder FILE",
        "painted makes a picture of 64 x 64 pixels in 3 channels, expected 63 x 64",
        "a latent of 3 channels: Paints", "Paints has no decoder", "Paints looks at no pictures"};
    for (int k = 0; k < 5; k++) {
        MUST(fv_plan_new(&p, be));
        set(o, "size", k == 1 ? "63x64" : "64");
        if (k == 2)
            fv_network_decode(n, p, fv_plan_param(p, "latent", (fv_shape){1, 2, 2, 3}));
        else if (k == 4)
            fv_network_image(n, p, fv_plan_param(p, "pixels", (fv_shape){1, 8, 8, 3}), true);
        else
            fv_generator_build(p, o, k == 0 ? NULL : k == 3 ? &other : n);
        FAILS(fv_plan_finish(p, FV_PLAN_BACKWARD),
              k == 1 || k == 2 ? FV_ERR_SHAPE : FV_ERR_ARGUMENT, words[k]);
        fv_plan_free(p);
    }
    FAILS(fv_generator_start(o, NULL, be, &unused, 1), FV_ERR_ARGUMENT, words[0]);
    fv_backend_close(be);
    fv_options_free(o);
    fv_network_close(n);
}

/* As cell_options, with the option decoder. */
static fv_options *painted_options(void)
{
    fv_options *o = toy_options();
    write_paints();
    set(o, "param", "painted");
    set(o, "decoder", "paints.safetensors");
    return o;
}

static void a_session_dreams_with_a_decoder(void **state)
{
    (void)state;
    static uint8_t first[BYTES], other[BYTES];
    fv_options *o = painted_options(), *again, *half_way;
    fv_model *m = open_model(o);
    fv_session *s;
    fv_progress before, after;
    assert_non_null(m->engine->decoder); /* open, as it has a say in the precision, */
    size_t unread = fv_store_bytes(m->engine->store);
    MUST(fv_session_open(&s, m, o));
    assert_true(fv_store_bytes(m->engine->store) > unread); /* and read when it is used */
    free(take(s, other, &before));
    for (int i = 0; i < 3; i++) MUST(fv_session_step(s, &after));
    MUST(fv_session_set(s, "text", "moon | lake:0.5")); /* other ops */
    MUST(fv_session_step(s, &after));
    MUST(fv_session_save(s, "painted.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    char *recipe = take(s, first, &after), *second;
    assert_true(after.cosine > before.cosine);
    fv_session_close(s);
    assert_non_null(strstr(recipe, "\nparam: painted\n"));
    assert_non_null(strstr(recipe, "\ndecoder: \"paints.safetensors\"\n"));
    assert_non_null(strstr(recipe, "\n  - {role: guide, model: "));
    assert_non_null(strstr(recipe, "\n  - {role: decoder, model: \"Paints\", fingerprint: "));

    /* another picture costs no second copy of the weights */
    size_t bytes = fv_store_bytes(m->engine->store);
    again = toy_options();
    MUST(fv_recipe_apply(again, recipe, "recipe.png"));
    second = run(m, again, other);
    assert_string_equal(second, recipe);
    assert_memory_equal(other, first, BYTES);
    assert_int_equal(fv_store_bytes(m->engine->store), bytes);
    free(second);
    fv_model_close(m);

    /* and of a state, whose decoder is where it was */
    half_way = toy_options();
    MUST(fv_session_read_options(half_way, "painted.safetensors"));
    assert_non_null(strstr(fv_options_get(half_way, "decoder"), "/paints.safetensors"));
    m = open_model(half_way);
    MUST(fv_session_resume(&s, m, half_way, "painted.safetensors"));
    MUST(fv_session_run(s, NULL, NULL));
    second = take(s, other, NULL);
    assert_string_equal(second, recipe);
    assert_memory_equal(other, first, BYTES);
    fv_session_close(s);

    /* who needs none does not read it, and his recipe says nothing of it */
    fv_model_close(m);
    set(o, "param", "fourier");
    m = open_model(o);
    free(second);
    second = run(m, o, other);
    assert_null(strstr(second, "networks"));
    fv_model_close(m);
    free(recipe);
    free(second);
    fv_options_free(o);
    fv_options_free(again);
    fv_options_free(half_way);
}

/* Its weights are a part of the recipe; so are the guides beside it. */
static void a_recipe_knows_its_decoder(void **state)
{
    (void)state;
    static uint8_t rgb[BYTES];
    char guides[2048];
    fv_options *o = painted_options();
    for (int k = 1; k <= 2; k++) {
        snprintf(guides, sizeof guides, "%s + %s + %s | %s + %s + %s @momentum", o->config,
                 o->checkpoint, o->vocab, o->config, o->checkpoint, o->vocab);
        if (k == 2) {
            set(o, "config", "");
            set(o, "checkpoint", "");
            set(o, "vocab", "");
            set(o, "guide", guides);
        }
        fv_model *m = open_model(o);
        char *recipe = run(m, o, rgb);
        int counted = 0;
        for (const char *at = recipe; (at = strstr(at, "{role: guide")); at++) counted++;
        assert_int_equal(counted, k);
        fv_list names = {0}, values = {0}; /* a list of networks is no list of changes */
        MUST(fv_recipe_list(&names, &values, recipe, "it"));
        assert_string_equal(fv_recipe_value(&names, &values, "param"), "painted");
        fv_list_clear(&names);
        fv_list_clear(&values);
        MUST(fv_recipe_check_model(recipe, m));
        fv_model_close(m);

        second_b[1] += 1;
        spill_paints();
        m = open_model(o);
        FAILS(fv_recipe_check_model(recipe, m), FV_ERR_ARGUMENT, "another decoder than Paints");
        fv_model_close(m);
        write_paints();
        m = open_model(o);
        MUST(fv_recipe_check_model(recipe, m));
        fv_model_close(m);
        set(o, "decoder", "");
        m = open_model(o);
        FAILS(fv_recipe_check_model(recipe, m), FV_ERR_ARGUMENT,
              "another decoder than vqgan-mini: give its file");
        fv_model_close(m);
        set(o, "decoder", "paints.safetensors");
        free(recipe);
    }
    fv_options_free(o);
}

/* Which a recipe names, so that it makes the same picture again. */
static void without_a_file_it_is_the_shipped_decoder(void **state)
{
    (void)state;
    static uint8_t first[BYTES], other[BYTES];
    fv_options *o = painted_options(), *again = toy_options();
    set(o, "param", "vqgan");
    set(o, "decoder", "");
    fv_model *m = open_model(o);
    char *recipe = run(m, o, first), *second;
    assert_string_equal(fv_model_decoder(m)->title, "vqgan-mini");
    assert_non_null(strstr(recipe, "{role: decoder, model: \"vqgan-mini\", fingerprint: \""));
    fv_model_close(m);
    /* the generator is chosen once the model is there */
    m = open_model(again);
    assert_null(fv_model_decoder(m));
    MUST(fv_recipe_apply(again, recipe, "recipe"));
    MUST(fv_recipe_check_model(recipe, m));
    second = run(m, again, other);
    assert_memory_equal(first, other, BYTES);
    assert_string_equal(recipe, second);
    fv_model_close(m);
    fv_options_free(o);
    fv_options_free(again);
    free(recipe);
    free(second);
}

static void a_file_that_is_no_decoder_is_named(void **state)
{
    (void)state;
    fv_options *o = painted_options();
    spill("damaged.safetensors", "not a checkpoint", 16);
    const char *const cases[][2] = {{"nowhere.safetensors", "nowhere.safetensors"},
                                    {o->checkpoint, "lite0.pth holds no decoder that is known"},
                                    {"damaged.safetensors", "damaged.safetensors"}};
    for (size_t i = 0; i < 3; i++) {
        fv_session *s;
        char *checkpoint = strdup(cases[i][0]);
        set(o, "decoder", checkpoint);
        free(checkpoint);
        fv_model *m = NULL;
        fv_status status = fv_model_open(&m, o);
        if (status >= 0) status = fv_session_open(&s, m, o);
        assert_true(status < 0);
        if (!strstr(fv_error(), cases[i][1]) || strchr(fv_error(), '\n'))
            fail_msg("case %zu: said \"%s\"", i, fv_error());
        fv_model_close(m);
    }
    /* nor is a decoder a model */
    fv_model *m;
    set(o, "config", "");
    set(o, "checkpoint", "paints.safetensors");
    FAILS(fv_model_open(&m, o), FV_ERR_ARGUMENT, "Paints looks at no pictures");
    fv_options_free(o);
}

/* Last: afterwards there is no place left. */
static void there_are_sixteen_places(void **state)
{
    (void)state;
    static char names[17][8];
    static fv_generator rows[17];
    int i = 3; /* that are there */
    for (; i < 17; i++) {
        snprintf(names[i], sizeof names[i], "row%d", i);
        rows[i] = (fv_generator){.name = names[i], .build = build_cells};
        if (i < 16) MUST(fv_generator_register(&rows[i]));
    }
    FAILS(fv_generator_register(&rows[16]), FV_ERR_ARGUMENT, "there are 16 already");
    assert_ptr_equal(fv_generator_at(20), &rows[15]);
    assert_null(fv_generator_at(21));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_words_of_the_option),
        cmocka_unit_test(a_name_is_one_word_and_one_generators),
        cmocka_unit_test(it_climbs_with_a_channel_and_a_text),
        cmocka_unit_test(the_same_bytes_come_back),
        cmocka_unit_test(a_picture_is_its_start),
        cmocka_unit_test(each_channel_keeps_to_its_bounds),
        cmocka_unit_test(after_each_step_it_is_projected),
        cmocka_unit_test(a_projection_that_fails_is_done_later),
        cmocka_unit_test(a_decoder_makes_its_pictures),
        cmocka_unit_test(a_decoder_that_does_not_fit_is_named),
        cmocka_unit_test(a_session_dreams_with_a_decoder),
        cmocka_unit_test(a_recipe_knows_its_decoder),
        cmocka_unit_test(without_a_file_it_is_the_shipped_decoder),
        cmocka_unit_test(a_file_that_is_no_decoder_is_named),
        cmocka_unit_test(there_are_sixteen_places),
    };
    if (fv_generator_register(&cells) < 0 || fv_generator_register(&half) < 0 ||
        fv_generator_register(&painted) < 0 || fv_network_register(&paints) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
