/* Pictures as codes (feavis/codes.h) and the command that makes them, with tests/golden/vqgan. */
#include <math.h>
#include <unistd.h>

#include "feavis/codes.h"
#include "feavis/option.h"
#include "model/weights/weights.h"
#include "tests/process.h"

enum { SIDE = 32, PIXELS = SIDE * SIDE * 3, CELLS = 64 };

static const char *decoder_file(const char *name)
{
    static char path[2][1024];
    static int turn;
    const char *folder = getenv("FEAVIS_UNPACKED");
    char *out = path[turn++ % 2];
    snprintf(out, sizeof path[0], "%s/%s.ckpt", folder ? folder : ".", name);
    return out;
}

static fv_options *options(const char *decoder, const char *start, const char *backend)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "decoder", decoder_file(decoder)));
    MUST(fv_options_set(o, "size", "32"));
    MUST(fv_options_set(o, "start", start));
    MUST(fv_options_set(o, "backend", backend));
    return o;
}

/* The golden picture as a file: rounded to bytes, so that some codes may be others. */
static void save_image(const char *path)
{
    static float numbers[PIXELS];
    static uint8_t rgb[PIXELS];
    fv_weights *golden;
    MUST(fv_weights_open(&golden, source_file("tests/golden/vqgan/vq.safetensors")));
    const fv_entry *image = fv_weights_find(golden, "image");
    assert_true(image && fv_entry_count(image) == PIXELS);
    fv_entry_read_f32(image, numbers);
    for (size_t i = 0; i < PIXELS; i++)
        rgb[i % (SIDE * SIDE) * 3 + i / (SIDE * SIDE)] =
            (uint8_t)lrintf(255 * (0.5f * numbers[i] + 0.5f));
    MUST(fv_picture_write(&(fv_picture){SIDE, SIDE, rgb}, path, NULL));
    fv_weights_close(golden);
}

static void codes_are_those_of_the_golden_picture(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    float expected[CELLS];
    fv_weights *golden;
    save_image("image.png");
    MUST(fv_weights_open(&golden, source_file("tests/golden/vqgan/vq.safetensors")));
    fv_entry_read_f32(fv_weights_find(golden, "indices"), expected);
    fv_weights_close(golden);
    for (int b = 0; b < 2; b++) {
        fv_codes codes, again;
        fv_picture back, decoded;
        double error, sum = 0;
        fv_options *o = options("vq", "image.png", backends[b]);
        MUST(fv_codes_encode(&codes, &back, &error, o));
        assert_true(codes.width == 8 && codes.height == 8 && codes.count == 96);
        int same = 0;
        for (int i = 0; i < CELLS; i++) same += (float)codes.at[i] == expected[i];
        assert_true(same >= CELLS - 3); /* bytes move a pixel by up to 1/510 */

        /* through a file, and decoded: the picture that encoding has shown */
        MUST(fv_codes_write(&codes, "codes.csv"));
        MUST(fv_codes_read(&again, "codes.csv"));
        assert_true(again.width == 8 && again.height == 8);
        assert_memory_equal(again.at, codes.at, CELLS * sizeof *codes.at);
        MUST(fv_codes_decode(&decoded, &again, o));
        assert_true(decoded.width == SIDE && decoded.height == SIDE);
        assert_memory_equal(decoded.rgb, back.rgb, PIXELS);
        fv_picture image;
        MUST(fv_picture_read(&image, "image.png"));
        for (int i = 0; i < PIXELS; i++) {
            double d = ((double)decoded.rgb[i] - (double)image.rgb[i]) / 255;
            sum += d * d;
        }
        /* half a unit of a byte, either way */
        assert_true(fabs(sum / PIXELS - error) < 0.004 * sqrt(error));
        fv_picture_free(&image);
        fv_picture_free(&back);
        fv_picture_free(&decoded);
        fv_codes_free(&codes);
        fv_codes_free(&again);
        fv_options_free(o);
    }
}

static void a_continuous_latent_has_no_codes(void **state)
{
    (void)state;
    fv_codes codes;
    fv_picture back;
    double error;
    fv_options *o = options("kl", "image.png", "cpu");
    MUST(fv_codes_encode(&codes, &back, &error, o));
    assert_true(!codes.at && back.rgb && error > 0);
    fv_picture_free(&back);
    int32_t cell = 0;
    fv_picture decoded;
    FAILS(fv_codes_decode(&decoded, &(fv_codes){1, 1, &cell, 0}, o), FV_ERR_ARGUMENT,
          "has no codes");
    MUST(fv_options_set(o, "size", "33x31")); /* any: the canvas is larger */
    MUST(fv_codes_encode(&codes, &back, &error, o));
    assert_true(back.width == 33 && back.height == 31 && error > 0);
    fv_picture_free(&back);
    fv_options_free(o);
}

/* Without a file: what photographs lose is in its README, this small square loses more. */
static void the_shipped_one_goes_both_ways(void **state)
{
    (void)state;
    fv_codes codes;
    fv_picture back;
    double error;
    fv_options *o = options("kl", "image.png", "cpu");
    MUST(fv_options_set(o, "decoder", ""));
    MUST(fv_options_set(o, "size", "100x75"));
    MUST(fv_codes_encode(&codes, &back, &error, o));
    assert_true(!codes.at && back.width == 100 && back.height == 75);
    assert_true(error > 0 && error < 0.02);
    fv_picture_free(&back);
    int32_t cell = 0;
    FAILS(fv_codes_decode(&back, &(fv_codes){1, 1, &cell, 0}, o), FV_ERR_ARGUMENT,
          "vqgan-mini has no codes: its latent is continuous");
    fv_options_free(o);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"1,2\n3\n", "1,2\n3,x\n",    "1,,2\n",       "-1\n", "1 2\n",
                                      "\n",       "99999999999\n", "1,2\n\n3,4\n", "1,"};
    fv_codes codes;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spill("bad.csv", bad[i], strlen(bad[i]));
        FAILS(fv_codes_read(&codes, "bad.csv"), FV_ERR_FORMAT, "expected as many whole numbers");
        assert_null(codes.at);
    }
    spill("good.csv", "5,6\r\n95,0", 9);
    MUST(fv_codes_read(&codes, "good.csv"));
    assert_true(codes.width == 2 && codes.height == 2 && codes.at[2] == 95);
    fv_picture out;
    fv_options *o = options("vq", "", "cpu");
    MUST(fv_codes_decode(&out, &codes, o));
    assert_true(out.width == 8 && out.height == 8);
    fv_picture_free(&out);
    codes.at[3] = 96;
    FAILS(fv_codes_decode(&out, &codes, o), FV_ERR_ARGUMENT,
          "cell 2 of line 2 has code 96; VQModel has 0 to 95");
    fv_codes_free(&codes);
    fv_options_free(o);
}

static void the_command_goes_both_ways(void **state)
{
    (void)state;
    const char *vq = decoder_file("vq");
    save_image("image.png");
    char *out = SUCCEEDS("codes", "image.png", "--decoder", vq, "--size", "32", "--out", "a.csv");
    if (!strstr(out, "32 x 32 pixels: 8 x 8 codes, ") || !strstr(out, " of 96; decoded again "))
        fail_msg("it said %s", out);
    free(out);
    free(SUCCEEDS("codes", "image.png", "--decoder", vq, "--size", "32", "--out", "a.png"));
    out = SUCCEEDS("codes", "a.csv", "--decoder", vq, "--out", "b.png");
    if (!strstr(out, "8 x 8 codes: 32 x 32 pixels")) fail_msg("it said %s", out);
    free(out);
    same_files("a.png", "b.png");
    REFUSED("give --out FILE.png", "codes", "a.csv", "--decoder", vq);
    REFUSED("codes needs a picture", "codes", "--decoder", vq);
    REFUSED("saving to x.npy: pictures are PNG, JPEG or WebP files, with their recipe inside; name "
            "it x.png",
            "codes", "image.png", "--decoder", vq, "--out", "x.npy");
    REFUSED("saving to x.npy: pictures are PNG, JPEG or WebP", "codes", "a.csv", "--decoder", vq,
            "--out", "x.npy");
    assert_true(access("x.npy", F_OK) != 0);
    REFUSED("c.csv: the decoder that ships, vqgan-mini, has no codes, its latent is continuous: "
            "--decoder FILE gives one with codes",
            "codes", "image.png", "--size", "32", "--out", "c.csv");
    out = SUCCEEDS("codes", "image.png", "--decoder", vq);
    if (!strstr(out, "256 x 256 pixels of a picture of 32 x 32 (--size WIDTHxHEIGHT): 64 x 64 "))
        fail_msg("it said %s", out);
    free(out);
    REFUSED("has no codes", "codes", "image.png", "--decoder", decoder_file("kl"), "--size", "32",
            "--out", "kl.csv");
}

/* --csv: a line a step; of projected codes how many moved. */
static void the_log_has_each_step(bool moves)
{
    char *text = slurp("steps.csv", NULL), *at = text;
    const char *head = "picture,step,loss,cosine,neuron,gradient,moved,cells\n";
    assert_true(strncmp(at, head, strlen(head)) == 0);
    at += strlen(head);
    for (int step = 1; step <= 4; step++) {
        float loss, cosine, gradient;
        int found, moved, cells, length = 0;
        if (sscanf(at, "1,%d,%f,%f,,%f,%n", &found, &loss, &cosine, &gradient, &length) != 4 ||
            found != step || !length)
            fail_msg("step %d: \"%s\"", step, at);
        at += length;
        bool counted = sscanf(at, "%d,%d", &moved, &cells) == 2;
        assert_true(counted == moves && (!counted || (cells == 192 && moved >= 0)));
        at = strchr(at, '\n') + 1;
    }
    assert_true(*at == 0);
    free(text);
}

/* But where codes are not what is decoded. */
static void the_saved_codes_are_the_picture(const char *codes, const char *picture, int way)
{
    fv_codes c;
    fv_picture a, b;
    MUST(fv_codes_read(&c, codes));
    assert_true(c.width == 16 && c.height == 12);
    fv_options *o = options("vq", "", "cpu");
    MUST(fv_codes_decode(&a, &c, o));
    MUST(fv_picture_read(&b, picture));
    int same = 0;
    for (int i = 0; i < 64 * 48 * 3; i++) same += abs(a.rgb[i] - b.rgb[i]) <= 1;
    assert_true(way == 2 || same == 64 * 48 * 3);
    fv_picture_free(&a);
    fv_picture_free(&b);
    fv_codes_free(&c);
    fv_options_free(o);
}

/* A picture from codes by the program, and again from its recipe, on another number of threads. */
static void the_program_dreams_in_codes(void **state)
{
    (void)state;
    static const char *const ways[] = {"straight", "projected", "free"};
    const char *config = source_file("tests/golden/towers/lite0/cfg.yml");
    const char *vocab = source_file("tests/golden/text_vocab.txt");
    char toy[1024], decoder[1024];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(toy, sizeof toy, "%s/lite0.pth", folder ? folder : ".");
    snprintf(decoder, sizeof decoder, "%s", decoder_file("vq"));
    for (int i = 0; i < 3; i++) {
        SUCCEEDS_QUIETLY("imagine", "moon", "--config", config, "--checkpoint", toy, "--vocab",
                         vocab, "--generator", "vqgan", "--decoder", decoder, "--codes", ways[i],
                         "--size", "64x48", "--steps", "4", "--warmup", "0", "--threads", "1",
                         "--out", "first.png", "--csv", "steps.csv", "--save-codes", "saved.csv");
        SUCCEEDS_QUIETLY("again", "first.png", "--config", config, "--checkpoint", toy, "--vocab",
                         vocab, "--decoder", decoder, "--threads", "2", "--out", "again.png");
        the_log_has_each_step(i == 1);
        the_saved_codes_are_the_picture("saved.csv", "first.png", i);
        fv_picture first, again;
        MUST(fv_picture_read(&first, "first.png"));
        MUST(fv_picture_read(&again, "again.png"));
        assert_true(first.width == 64 && first.height == 48);
        assert_memory_equal(first.rgb, again.rgb, 64 * 48 * 3);
        char *recipe;
        MUST(fv_recipe_read(&recipe, "first.png"));
        assert_non_null(strstr(recipe, "\nparam: vqgan\n"));
        assert_non_null(strstr(recipe, "role: decoder, model: \"VQModel\""));
        assert_true(!strstr(recipe, "\ncodes: ") == (i == 0)); /* not at its default alone */
        free(recipe);
        fv_picture_free(&first);
        fv_picture_free(&again);
    }
    REFUSED("fourier makes no pictures of codes", "imagine", "moon", "--generator", "fourier",
            "--config", config, "--checkpoint", toy, "--vocab", vocab, "--save-codes", "none.csv",
            "--out", "none.png", "--quiet");
    assert_true(access("none.png", F_OK) != 0);
    SUCCEEDS_QUIETLY("imagine", "moon", "--config", config, "--checkpoint", toy, "--vocab", vocab,
                     "--generator", "vqgan", "--decoder", decoder, "--size", "66x37", "--steps",
                     "2", "--threads", "1", "--quiet", "--out", "odd.png", "--save-codes",
                     "odd.csv");
    fv_picture odd;
    fv_codes cells;
    MUST(fv_picture_read(&odd, "odd.png"));
    MUST(fv_codes_read(&cells, "odd.csv"));
    assert_true(odd.width == 66 && odd.height == 37 && cells.width == 17 && cells.height == 10);
    fv_picture_free(&odd);
    fv_codes_free(&cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_golden_picture),
        cmocka_unit_test(a_continuous_latent_has_no_codes),
        cmocka_unit_test(the_shipped_one_goes_both_ways),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(the_command_goes_both_ways),
        cmocka_unit_test(the_program_dreams_in_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
