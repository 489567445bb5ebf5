/* The generator vqgan with the small decoders of tests/golden/vqgan: where it begins, what becomes
 * of its codes, its gradient, its way back from a picture. */
#include <math.h>

#include "feavis/imagine/generators/fit.h"
#include "feavis/imagine/generators/generator.h"
#include "kernels/rng.h"
#include "tests/check.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE * 3, MOST = 4096 };

typedef struct bench {
    fv_backend *be;
    fv_network *decoder;
    fv_options *o;
    fv_plan *plan;
    fv_ref picture;
    size_t count, width; /* of the latent; of a cell */
    float *codes;        /* [decoder->codes][width] */
    float start[MOST];
} bench;

static void open_options(bench *b, const char *codes)
{
    MUST(fv_options_new(&b->o));
    MUST(fv_options_set(b->o, "param", "vqgan"));
    MUST(fv_options_set(b->o, "codes", codes));
}

static void open_decoder(bench *b, const char *name)
{
    char path[1024];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/%s.ckpt", folder ? folder : ".", name);
    if (strcmp(name, "vqgan-mini") == 0)
        snprintf(path, sizeof path, "%s", source_file("model/vqgan-mini/vqgan-mini.safetensors"));
    if (strcmp(name, "small") == 0)
        snprintf(path, sizeof path, "%s",
                 source_file("tests/golden/vqgan/small_weights.safetensors"));
    MUST(fv_network_open(&b->decoder, &(fv_network_files){.checkpoint = path}));
    b->width = (size_t)b->decoder->latent_channels;
    b->codes = calloc((size_t)b->decoder->codes * b->width + 1, sizeof *b->codes);
    assert_non_null(b->codes);
    if (b->decoder->codes) MUST(fv_network_codes(b->decoder, b->codes));
}

static void open_bench_of(bench *b, const char *size, const char *decoder, const char *codes,
                          const char *backend)
{
    *b = (bench){0};
    open_options(b, codes);
    MUST(fv_options_set(b->o, "size", size));
    open_decoder(b, decoder);
    MUST(fv_backend_open(&b->be, backend, 2));
    MUST(fv_plan_new(&b->plan, b->be));
    b->picture = fv_generator_build(b->plan, b->o, b->decoder);
    fv_plan_output(b->plan, b->picture);
    MUST(fv_plan_finish(b->plan, FV_PLAN_BACKWARD));
    MUST(fv_generator_prepare(b->plan, b->o, b->decoder));
    b->count = fv_plan_param_count(b->plan);
    assert_true(b->count <= MOST);
    MUST(fv_generator_start(b->o, b->decoder, b->be, b->start, b->count));
}

static void open_bench(bench *b, const char *decoder, const char *codes, const char *backend)
{
    open_bench_of(b, "32", decoder, codes, backend);
}

static void close_bench(bench *b)
{
    fv_plan_free(b->plan);
    fv_backend_close(b->be);
    fv_network_close(b->decoder);
    fv_options_free(b->o);
    free(b->codes);
}

/* A unit of the latent in the decoder's own. */
static float scale_of(bench *b)
{
    float scale[MOST];
    MUST(fv_plan_download(b->plan, fv_plan_find(b->plan, "latent.scale"), scale));
    return scale[0];
}

static float random_number(size_t i, uint32_t salt)
{
    fv_random4 r = fv_philox(5, (uint32_t)i, salt, 0, 0);
    return fv_normal(r.v[0], r.v[1]);
}

/* The code that a cell is; -1: none. */
static int code_of(const bench *b, const float *cell, float scale)
{
    for (int k = 0; k < b->decoder->codes; k++) {
        bool same = true;
        for (size_t i = 0; i < b->width && same; i++) {
            float code = b->codes[(size_t)k * b->width + i];
            same = fabsf(cell[i] * scale - code) <= 1e-6f * (1 + fabsf(code));
        }
        if (same) return k;
    }
    return -1;
}

static void picture_of(bench *b, const float *latent, float *out)
{
    MUST(fv_plan_block_upload(b->plan, FV_BLOCK_VALUE, latent));
    MUST(fv_plan_forward(b->plan));
    MUST(fv_plan_download(b->plan, b->picture, out));
}

/* Against a pattern; how much of it is left. Codes that changed are counted. */
static double descend(bench *b, float *latent, int steps, int *changed)
{
    static float seed[PIXELS], picture[PIXELS];
    float before[MOST], stats[FV_ADAM_STATS];
    float scale = scale_of(b);
    double sum = 0;
    for (size_t i = 0; i < PIXELS; i++) seed[i] = random_number(i, 1);
    *changed = 0;
    for (int t = 1; t <= steps; t++) {
        float numbers[FV_ADAM_COLUMNS] = {
            0.06f, 0.9f, 0.99f, 1e-12f, (float)(1 - pow(0.9, t)), (float)(1 - pow(0.99, t))};
        fv_generator_bounds(b->o, b->decoder, &numbers[FV_ADAM_LOW], &numbers[FV_ADAM_HIGH]);
        memcpy(before, latent, b->count * sizeof *latent);
        picture_of(b, latent, picture);
        MUST(fv_plan_output_gradient(b->plan, b->picture, seed));
        MUST(fv_plan_backward(b->plan));
        MUST(fv_plan_adam(b->plan, numbers, stats));
        MUST(fv_generator_after_step(b->plan, b->o, b->decoder));
        MUST(fv_plan_block_download(b->plan, FV_BLOCK_VALUE, latent));
        for (size_t i = 0; i < b->count; i += b->width)
            *changed += code_of(b, latent + i, scale) != code_of(b, before + i, scale);
    }
    picture_of(b, latent, picture);
    for (int i = 0; i < PIXELS; i++) {
        assert_true(picture[i] >= 0 && picture[i] <= 1);
        sum += (double)seed[i] * (double)picture[i];
    }
    return sum;
}

static void it_begins_with_codes_by_the_seed(void **state)
{
    (void)state;
    static const char *const ways[] = {"straight", "projected", "free"};
    for (int i = 0; i < 3; i++) {
        bench b;
        float again[MOST], other[MOST];
        open_bench(&b, "vq", ways[i], "cpu");
        float scale = scale_of(&b);
        int seen = 0;
        for (size_t k = 0; k < b.count; k += b.width) {
            int code = code_of(&b, b.start + k, scale);
            assert_true(code >= 0);
            seen |= 1 << code % 31;
        }
        assert_true(seen & (seen - 1)); /* several */
        MUST(fv_generator_start(b.o, b.decoder, b.be, again, b.count));
        assert_memory_equal(again, b.start, b.count * sizeof *again);
        MUST(fv_options_set(b.o, "seed", "8"));
        MUST(fv_generator_start(b.o, b.decoder, b.be, other, b.count));
        assert_memory_not_equal(other, b.start, b.count * sizeof *other);
        close_bench(&b);
    }
}

static void straight_stays_among_the_codes_and_descends(void **state)
{
    (void)state;
    bench b;
    float latent[MOST];
    int changed;
    open_bench(&b, "vq", "straight", "cpu");
    memcpy(latent, b.start, sizeof latent);
    double before = descend(&b, latent, 0, &changed), after = descend(&b, latent, 20, &changed);
    assert_true(after < before - 20 && changed > 20);
    float scale = scale_of(&b);
    for (size_t i = 0; i < b.count; i++) {
        float low = HUGE_VALF, high = -HUGE_VALF;
        for (int k = 0; k < b.decoder->codes; k++) {
            low = fminf(low, b.codes[(size_t)k * b.width + i % b.width]);
            high = fmaxf(high, b.codes[(size_t)k * b.width + i % b.width]);
        }
        float v = latent[i] * scale;
        assert_true(v >= low - 1e-5f && v <= high + 1e-5f);
    }
    close_bench(&b);
}

static void projected_is_codes_after_every_step_and_moves(void **state)
{
    (void)state;
    static const char *const names[] = {"vq", "gumbel"};
    for (int i = 0; i < 2; i++) {
        bench b;
        float latent[MOST], again[MOST];
        int changed;
        open_bench(&b, names[i], "projected", "cpu");
        memcpy(latent, b.start, sizeof latent);
        double before = descend(&b, latent, 0, &changed);
        double after = descend(&b, latent, 20, &changed);
        assert_true(after < before - 50);
        assert_true(changed > (int)(b.count / b.width));
        for (size_t k = 0; k < b.count; k += b.width)
            assert_true(code_of(&b, latent + k, scale_of(&b)) >= 0);
        /* once more changes nothing */
        MUST(fv_generator_after_step(b.plan, b.o, b.decoder));
        MUST(fv_plan_block_download(b.plan, FV_BLOCK_VALUE, again));
        assert_memory_equal(latent, again, b.count * sizeof *again);
        close_bench(&b);
    }
}

/* Also of a decoder without codes, whatever the option says. */
static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"vq", "free"}, {"kl", "straight"}, {"kl", "projected"}, {"small", "free"}};
    static float up[PIXELS], down[PIXELS], seed[PIXELS];
    for (int i = 0; i < 4; i++) {
        bench b;
        /* ReLUs have corners: less way to one, and room for some */
        const float h = i == 3 ? 0.00002f : 0.0005f;
        const double allowed = i == 3 ? 3e-3 : 1e-3;
        float x[MOST], gradient[MOST];
        double norm2 = 0, truth = 0, told = 0;
        open_bench(&b, cases[i][0], cases[i][1], "ref64");
        picture_of(&b, b.start, up);
        /* clipped pixels have a slope of their own */
        for (size_t k = 0; k < PIXELS; k++)
            seed[k] = up[k] > 0.05f && up[k] < 0.95f ? random_number(k, 1) : 0;
        MUST(fv_plan_output_gradient(b.plan, b.picture, seed));
        MUST(fv_plan_backward(b.plan));
        MUST(fv_plan_block_download(b.plan, FV_BLOCK_GRADIENT, gradient));
        for (size_t k = 0; k < b.count; k++) {
            norm2 += (double)gradient[k] * (double)gradient[k];
            told += 2 * (double)h * (double)gradient[k] * (double)random_number(k, 2);
            x[k] = b.start[k] + h * random_number(k, 2);
        }
        picture_of(&b, x, up);
        for (size_t k = 0; k < b.count; k++) x[k] = b.start[k] - h * random_number(k, 2);
        picture_of(&b, x, down);
        for (size_t k = 0; k < PIXELS; k++)
            truth += (double)seed[k] * ((double)up[k] - (double)down[k]);
        if (!(fabs(told - truth) < allowed * 2 * (double)h * sqrt(norm2)))
            fail_msg("%s, %s: gradient says %g, differences %g", cases[i][0], cases[i][1], told,
                     truth);
        close_bench(&b);
    }
}

/* What the decoder makes of what the encoder made: straight from the codes of the golden picture.
 */
static void a_start_picture_is_encoded(void **state)
{
    (void)state;
    static float picture[PIXELS], found[PIXELS], expected[PIXELS];
    bench b;
    fv_weights *golden;
    open_bench(&b, "vq", "straight", "cpu");
    MUST(fv_weights_open(&golden, source_file("tests/golden/vqgan/vq.safetensors")));
    const fv_entry *image = fv_weights_find(golden, "image");
    const fv_entry *decoded = fv_weights_find(golden, "decoded");
    assert_true(image && decoded && fv_entry_count(image) == PIXELS);
    fv_entry_read_f32(image, found);
    fv_entry_read_f32(decoded, expected);
    for (size_t i = 0; i < PIXELS; i++)
        picture[i % (SIDE * SIDE) * 3 + i / (SIDE * SIDE)] = 0.5f * found[i] + 0.5f;
    float latent[MOST];
    MUST(fv_generator_of(b.o)->invert(b.o, b.decoder, b.be, picture, latent, b.count));
    picture_of(&b, latent, found);
    for (size_t i = 0; i < PIXELS; i++) {
        float want = 0.5f * expected[i] + 0.5f;
        want = fminf(fmaxf(want, 0), 1);
        float got = found[i % (SIDE * SIDE) * 3 + i / (SIDE * SIDE)];
        if (!(fabsf(got - want) < 1e-4f))
            fail_msg("number %zu is %g, expected %g", i, (double)got, (double)want);
    }
    fv_weights_close(golden);
    close_bench(&b);
}

/* Sky, sand and a sun: [height * width * 3] */
static void paint(float *picture, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float *rgb = picture + ((size_t)y * (size_t)width + (size_t)x) * 3;
            float down = (float)y / (float)height, far = hypotf((float)x - 45, (float)y - 18);
            bool sun = far<9, sand = down> 0.6f;
            rgb[0] = sun ? 0.95f : sand ? 0.8f - 0.3f * down : 0.3f + 0.5f * down;
            rgb[1] = sun ? 0.85f : sand ? 0.7f - 0.3f * down : 0.5f + 0.3f * down;
            rgb[2] = sun ? 0.5f : sand ? 0.5f - 0.3f * down : 0.8f;
        }
}

static double decibels(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += pow((double)a[i] - (double)b[i], 2);
    return -10 * log10(sum / (double)count);
}

/* Encoded, and fitted to the picture besides. 20 photographs come out at 27 dB; their encoder alone
 * leaves some four dB less. */
static void the_shipped_one_shows_its_start_picture(void **state)
{
    (void)state;
    enum { W = 67, H = 58 };
    static float picture[W * H * 3], found[W * H * 3];
    float values[MOST], again[MOST];
    paint(picture, W, H);
    for (int k = 0; k < 2; k++) {
        bench b;
        open_bench_of(&b, "67x58", "vqgan-mini", "straight", k ? "cpu" : "ref");
        const fv_generator *g = fv_generator_of(b.o);
        MUST(g->invert(b.o, b.decoder, b.be, picture, values, b.count));
        MUST(g->invert(b.o, b.decoder, b.be, picture, again, b.count));
        assert_memory_equal(values, again, b.count * sizeof *values);
        picture_of(&b, values, found);
        double fitted = decibels(found, picture, W * H * 3);
        if (!(fitted > 24)) fail_msg("%.2f dB", fitted);
        MUST(fv_fit(g, b.o, b.decoder, b.be, picture, values, 20, 0.05f));
        picture_of(&b, values, found);
        double more = decibels(found, picture, W * H * 3);
        if (!(more > fitted + 1)) fail_msg("%.2f dB, and %.2f fitted further", fitted, more);
        close_bench(&b);
    }
}

/* A picture of a size that cells do not fill is the upper left of one that they do, and so are its
 * gradients and what is encoded. */
static void any_size_is_cut_from_the_canvas(void **state)
{
    (void)state;
    enum { W = 30, H = 27, WIDE = 32, HIGH = 28 };
    static const char *const backends[] = {"ref", "cpu"};
    static float cut[W * H * 3], whole[WIDE * HIGH * 3], seed[W * H * 3], padded[WIDE * HIGH * 3];
    float gradient[MOST], expected[MOST];
    for (int k = 0; k < 2; k++) {
        bench a, b;
        open_bench_of(&a, "30x27", "vq", "straight", backends[k]);
        open_bench_of(&b, "32x28", "vq", "straight", backends[k]);
        assert_true(a.count == b.count && a.count == 7 * 8 * a.width);
        assert_memory_equal(a.start, b.start, a.count * sizeof *a.start);
        picture_of(&a, a.start, cut);
        picture_of(&b, a.start, whole);
        memset(padded, 0, sizeof padded);
        for (int i = 0; i < W * H * 3; i++) {
            int at = (i / (W * 3) * WIDE) * 3 + i % (W * 3);
            assert_true(cut[i] == whole[at]);
            padded[at] = seed[i] = random_number((size_t)i, 7);
        }
        MUST(fv_plan_output_gradient(a.plan, a.picture, seed));
        MUST(fv_plan_backward(a.plan));
        MUST(fv_plan_block_download(a.plan, FV_BLOCK_GRADIENT, gradient));
        MUST(fv_plan_output_gradient(b.plan, b.picture, padded));
        MUST(fv_plan_backward(b.plan));
        MUST(fv_plan_block_download(b.plan, FV_BLOCK_GRADIENT, expected));
        assert_true(relative_l2(gradient, expected, a.count) < 1e-6);
        /* encoded with its last row and column repeated */
        for (int i = 0; i < WIDE * HIGH * 3; i++) {
            int x = i / 3 % WIDE, y = i / (3 * WIDE);
            whole[i] = cut[((y < H ? y : H - 1) * W + (x < W ? x : W - 1)) * 3 + i % 3];
        }
        const fv_generator *g = fv_generator_of(a.o);
        MUST(g->invert(a.o, a.decoder, a.be, cut, gradient, a.count));
        MUST(g->invert(b.o, b.decoder, b.be, whole, expected, b.count));
        assert_memory_equal(gradient, expected, a.count * sizeof *gradient);
        close_bench(&a);
        close_bench(&b);
    }
}

static void what_cannot_be_is_told(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, "vq", "straight", "cpu");
    fv_plan *p;
    MUST(fv_plan_new(&p, b.be));
    fv_generator_build(p, b.o, NULL);
    FAILS(fv_plan_finish(p, FV_PLAN_BACKWARD), FV_ERR_ARGUMENT, "--decoder FILE");
    fv_plan_free(p);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_with_codes_by_the_seed),
        cmocka_unit_test(straight_stays_among_the_codes_and_descends),
        cmocka_unit_test(projected_is_codes_after_every_step_and_moves),
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(a_start_picture_is_encoded),
        cmocka_unit_test(the_shipped_one_shows_its_start_picture),
        cmocka_unit_test(any_size_is_cut_from_the_canvas),
        cmocka_unit_test(what_cannot_be_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
