/* Autoencoders with codes (model/nets/vqgan.h) against PyTorch in double, on random weights.
 *
 * tests/golden/vqgan: small checkpoints as the published ones are laid out, with what belongs to
 * them: vq        VQModel in a PyTorch Lightning file: a callback's class as a key, Adam's moments,
 * a loss gumbel    GumbelVQ, in the zip format and in the one before it net2net   a first stage
 * under a prefix, beside a second one and a transformer kl        AutoencoderKL: mean and variance,
 * no codes and in *.safetensors what they give: free, wide: any latent, two of them or one that is
 * no square; image: encoded, its codes, and back; straight, projected: four steps of an inversion.
 *
 * Tolerances are relative L2. Latents and pictures are uploaded as floats, whose rounding fifty
 * layers make more of: values come out within 2.2e-6, gradients within 3e-6. FEAVIS_ERRORS=1 prints
 * all. */
#include <math.h>
#include <unistd.h>

#include "feavis/checkpoint.h"
#include "feavis/codes.h"
#include "kernels/cuda/cuda.h"
#include "model/nets/vqgan.h"
#include "tests/golden.h"
#include "tests/gpu.h"

static const double value_tolerance = 5e-6, gradient_tolerance = 1e-5;

static const char *golden_file(const char *name, const char *extension)
{
    char relative[256];
    snprintf(relative, sizeof relative, "tests/golden/vqgan/%s%s", name, extension);
    return source_file(relative);
}

static const char *unpacked_file(const char *name, const char *extension)
{
    static char path[4][1024];
    static int turn;
    const char *folder = getenv("FEAVIS_UNPACKED");
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s%s", folder ? folder : ".", name, extension);
    if (access(out, R_OK) != 0) fail_msg("%s is missing: unpack it first", out);
    return out;
}

static const char *checkpoint_file(const char *name)
{
    if (strcmp(name, "tiny") == 0) return golden_file("tiny_weights", ".safetensors");
    if (strcmp(name, "small") == 0) return golden_file("small_weights", ".safetensors");
    if (strcmp(name, "pair") == 0) return golden_file("pair_weights", ".safetensors");
    return unpacked_file(name, ".ckpt");
}

/* --- a file, its network and its goldens --- */

typedef struct sample {
    const char *checkpoint, *golden;
    const char *title, *root;
    int factor, channels, codes;
} sample;

static const sample samples[] = {
    {"vq", "vq", "VQModel", "state_dict.", 4, 24, 96},
    {"gumbel", "gumbel", "GumbelVQ", "state_dict.", 2, 16, 64},
    {"gumbel_legacy", "gumbel", "GumbelVQ", "state_dict.", 2, 16, 64},
    {"net2net", "net2net", "VQModel", "state_dict.first_stage_model.", 2, 16, 64},
    {"kl", "kl", "AutoencoderKL", "state_dict.", 2, 3, 0},
};
enum { SAMPLES = (int)(sizeof samples / sizeof *samples) };
/* Pictures of these are in [0,1]. */
static const sample tiny = {"tiny", "tiny", "TAESD", "", 4, 5, 0};
static const sample small = {"small", "small", "a small one", "", 8, 5, 0};
static const sample pair = {"pair", "pair", "TAESD", "", 8, 5, 0};

static fv_network *open_network(const char *checkpoint, const char *config)
{
    fv_network *n;
    fv_network_files files = {.checkpoint = checkpoint, .config = config};
    MUST(fv_network_open(&n, &files));
    return n;
}

static bool on_gpu; /* then "emulated" is the first GPU */

static fv_backend *open_backend(const char *name)
{
    fv_backend *be;
    char spec[32];
    if (on_gpu && strncmp(name, "emulated", 8) == 0) {
        snprintf(spec, sizeof spec, "cuda%s", name + 8);
        name = spec;
    }
    if (strncmp(name, "emulated", 8) != 0) {
        MUST(fv_backend_open(&be, name, 2));
        return be;
    }
    be = calloc(1, sizeof *be);
    assert_non_null(be);
    MUST(fv_cuda_emulated_open(be, name));
    return be;
}

/* One sample at work on one backend. */
typedef struct bench {
    const sample *s;
    fv_backend *be;
    fv_network *n;
    fv_weights *golden;
    fv_plan *plan;
} bench;

static bench open_bench(const sample *s, const char *backend)
{
    bench b = {.s = s, .be = open_backend(backend)};
    b.n = open_network(checkpoint_file(s->checkpoint), NULL);
    MUST(fv_weights_open(&b.golden, golden_file(s->golden, ".safetensors")));
    MUST(fv_plan_new(&b.plan, b.be));
    return b;
}

static void close_bench(bench *b)
{
    fv_plan_free(b->plan);
    fv_weights_close(b->golden);
    fv_network_close(b->n);
    fv_backend_close(b->be);
}

/* [n,c,h,w] as {n,h,w,c}; *shape may be NULL. Caller frees. */
static float *golden_map(const bench *b, const char *name, fv_shape *shape)
{
    const fv_entry *e = fv_weights_find(b->golden, name);
    if (!e) fail_msg("no golden %s", name);
    assert_int_equal(e->ndim, 4);
    fv_shape s = {(int)e->dims[0], (int)e->dims[2], (int)e->dims[3], (int)e->dims[1]};
    size_t count = fv_count(s), hw = (size_t)(s.h * s.w), c = (size_t)s.c;
    float *in = malloc(2 * count * sizeof *in), *out = malloc(count * sizeof *out);
    fv_entry_read_f32(e, in);
    for (size_t i = 0; i < count; i++) out[i] = in[(i / (hw * c) * c + i % c) * hw + i / c % hw];
    free(in);
    if (shape) *shape = s;
    return out;
}

static double golden_number(const bench *b, const char *name)
{
    double value;
    const fv_entry *e = fv_weights_find(b->golden, name);
    if (!e) fail_msg("no golden %s", name);
    assert_int_equal(fv_entry_count(e), 1);
    fv_entry_read_f64(e, &value);
    return value;
}

/* What 16 bits, or operands rounded to 10, leave of a tolerance through about 20 layers: measured
 * 1.4e-3 (fp16), 9e-4 (tf32) and 1.1e-2 (bf16) forwards, 2.1e-3, 1.4e-3 and 1.7e-2 backwards. */
static double allowed(const bench *b, double tolerance)
{
    const char *name = b->be->name;
    if (strstr(name, "bf16")) return 0.04;
    return strstr(name, "fp16") || strstr(name, "tf32") ? 5e-3 : tolerance;
}

static void near(const bench *b, const char *what, const float *found, const float *expected,
                 size_t n, double tolerance)
{
    double e = relative_l2(found, expected, n);
    tolerance = allowed(b, tolerance);
    if (!(e <= tolerance))
        fail_msg("%s on %s: %s differs by %.3g, allowed %.3g", b->s->checkpoint, b->be->name, what,
                 e, tolerance);
    if (getenv("FEAVIS_ERRORS"))
        print_message("%s on %s: %s %.2g\n", b->s->checkpoint, b->be->name, what, e);
}

/* An output of the plan beside a golden map; our pictures are in [0,1], the goldens' in [-1,1]. */
static void check_output(const bench *b, fv_ref r, const char *golden, bool picture)
{
    fv_shape s, found = fv_plan_shape(b->plan, r);
    float *expected = golden_map(b, golden, &s), *values = malloc(fv_count(s) * sizeof *values);
    assert_true(fv_same_shape(s, found));
    MUST(fv_plan_download(b->plan, r, values));
    for (size_t i = 0; picture && i < fv_count(s); i++) values[i] = 2 * values[i] - 1;
    near(b, golden, values, expected, fv_count(s), value_tolerance);
    free(expected);
    free(values);
}

/* --- what a file says of itself --- */

static void checkpoints_say_what_they_are(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * SAMPLES; i++) {
        const sample *s = &samples[i / 2];
        fv_network *n = open_network(checkpoint_file(s->checkpoint),
                                     i % 2 ? golden_file(s->golden, ".yaml") : NULL);
        assert_string_equal(n->title, s->title);
        assert_string_equal(n->source.root, s->root);
        assert_int_equal(n->factor, s->factor);
        assert_int_equal(n->latent_channels, s->channels);
        assert_int_equal(n->codes, s->codes);
        fv_shape latent;
        MUST(fv_network_latent(n, 32, 16, &latent));
        assert_int_equal(latent.w, 32 / s->factor);
        char line[128];
        n->kind->describe(n, line, sizeof line);
        assert_non_null(strstr(line, s->codes ? "codes of" : "continuous"));
        fv_network_close(n);
    }
}

/* What feavis info says. Caller frees. */
static char *report_of(const char *checkpoint)
{
    char *text = NULL;
    bool fits;
    MUST(fv_checkpoint_describe(&text, checkpoint, NULL, &fits));
    return text;
}

/* --- decoding --- */

static void decode_one(const sample *s, const char *backend, const char *name)
{
    bench b = open_bench(s, backend);
    char part[64];
    fv_shape zs;
    snprintf(part, sizeof part, "%s.z", name);
    float *z = golden_map(&b, part, &zs);
    fv_ref latent = fv_plan_param(b.plan, "z", zs);
    fv_ref y = fv_network_decode(b.n, b.plan, latent);
    fv_plan_output(b.plan, y);
    MUST(fv_plan_finish(b.plan, FV_PLAN_BACKWARD));
    MUST(fv_plan_upload(b.plan, latent, z));
    MUST(fv_plan_forward(b.plan));
    snprintf(part, sizeof part, "%s.decoded", name);
    bool doubled = s != &tiny && s != &small;
    check_output(&b, y, part, doubled);
    snprintf(part, sizeof part, "%s.seed", name);
    float *seed = golden_map(&b, part, NULL);
    for (size_t i = 0; doubled && i < fv_count(fv_plan_shape(b.plan, y)); i++)
        seed[i] *= 2; /* of [-1,1] */
    MUST(fv_plan_output_gradient(b.plan, y, seed));
    MUST(fv_plan_backward(b.plan));
    MUST(fv_plan_download_gradient(b.plan, latent, z));
    snprintf(part, sizeof part, "%s.gradient", name);
    float *expected = golden_map(&b, part, NULL);
    near(&b, part, z, expected, fv_count(zs), gradient_tolerance);
    free(expected);
    free(seed);
    free(z);
    close_bench(&b);
}

static void any_latent_decodes(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 3 * SAMPLES; i++) {
        const sample *s = &samples[i / 3];
        decode_one(s, names[i % 3], "free");
        if (strcmp(s->checkpoint, "net2net") != 0) decode_one(s, names[i % 3], "wide");
    }
}

static void any_latent_decodes_in_every_precision(void **state)
{
    (void)state;
    static const char *const names[] = {"emulated:tf32", "emulated:fp16", "emulated:bf16",
                                        "emulated:fp16:blas"};
    for (int i = 0; i < 4; i++) decode_one(&samples[0], names[i], "free");
}

static void a_tiny_decoder_decodes(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 3; i++) decode_one(&tiny, names[i], "free");
    char *text = report_of(checkpoint_file("tiny"));
    if (!strstr(text, "as TAESD: decoder of f 4, a continuous latent of 5 channels\n") ||
        !strstr(text, " tensors in use"))
        fail_msg("the report is\n%s", text);
    free(text);
    int tensors;
    double worst;
    MUST(fv_checkpoint_convert(checkpoint_file("tiny"), NULL, "tiny.safetensors", false, false,
                               &tensors, &worst));
    fv_network *n = open_network("tiny.safetensors", NULL);
    assert_true(n->factor == 4 && n->latent_channels == 5 && !n->codes && !n->encodes);
    fv_network_close(n);
}

/* The layout of the one that ships: a mix in front, depth to space, what the spectrum is. */
static void a_small_decoder_decodes(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 3; i++) decode_one(&small, names[i], "free");
    for (int converted = 0; converted < 2; converted++) {
        int tensors;
        double worst;
        if (converted)
            MUST(fv_checkpoint_convert(checkpoint_file("small"), NULL, "small.safetensors", false,
                                       false, &tensors, &worst));
        fv_network *n =
            open_network(converted ? "small.safetensors" : checkpoint_file("small"), NULL);
        assert_true(n->factor == 8 && n->latent_channels == 5 && !n->codes && !n->encodes);
        assert_string_equal(n->title, "a small one");
        assert_string_equal(n->license, "none");
        assert_non_null(n->decays);
        static const float expected[] = {1.2f, 0.9f, 0.5f, 0.1f, 0};
        for (int c = 0; c < 5; c++) assert_float_equal(n->decays[c], expected[c], 1e-3f);
        fv_network_close(n);
    }
    const char *shipped = source_file("model/vqgan-mini/vqgan-mini.safetensors");
    fv_network *n = open_network(shipped, NULL);
    assert_true(n->factor == 8 && n->latent_channels == 32 && n->decays && n->encodes);
    assert_string_equal(n->title, "vqgan-mini");
    char fingerprint[FV_FINGERPRINT]; /* recipes name it: that of before it had an encoder */
    fv_network_fingerprint(n, fingerprint);
    assert_string_equal(fingerprint, "ca2c907f69216ea5");
    fv_network_close(n);
}

/* --- encoding, codes, and back --- */

static size_t nearest_code(const float *codes, size_t count, const float *z, size_t width)
{
    size_t best = 0;
    double least = HUGE_VAL;
    for (size_t k = 0; k < count; k++) {
        double far = 0;
        for (size_t i = 0; i < width; i++) {
            double d = (double)z[i] - (double)codes[k * width + i];
            far += d * d;
        }
        if (!(far < least)) continue;
        least = far;
        best = k;
    }
    return best;
}

/* The rows of the code book, by the network's own tensor. Caller frees. */
static float *read_codes(const bench *b)
{
    char name[FV_SOURCE_NAME];
    const fv_entry *e;
    bool gumbel = strcmp(b->s->title, "GumbelVQ") == 0;
    snprintf(name, sizeof name, "%squantize.%s.weight", b->s->root, gumbel ? "embed" : "embedding");
    MUST(fv_weights_need(b->n->source.weights, name, &e));
    float *codes = malloc(fv_entry_count(e) * sizeof *codes);
    fv_entry_read_f32(e, codes);
    return codes;
}

/* quantised [rows][width] are rows of the code book: those of the golden. */
static void check_codes(const bench *b, const float *quantised, const char *golden)
{
    size_t rows, width = (size_t)b->s->channels;
    float *expected = read_golden(b->golden, golden, &rows), *codes = read_codes(b);
    for (size_t i = 0; i < rows; i++) {
        const float *row = quantised + i * width;
        size_t k = nearest_code(codes, (size_t)b->s->codes, row, width);
        assert_memory_equal(row, codes + k * width, width * sizeof *row);
        if ((float)k != expected[i])
            fail_msg("%s on %s: %s %zu is %zu, expected %g", b->s->checkpoint, b->be->name, golden,
                     i, k, (double)expected[i]);
    }
    free(expected);
    free(codes);
}

static void tap(bench *b, const char *name)
{
    fv_ref r;
    MUST(fv_plan_find_layer(b->plan, name, &r));
    fv_plan_output(b->plan, r);
}

static void check_tap(const bench *b, const char *name)
{
    char golden[96];
    fv_ref r;
    MUST(fv_plan_find_layer(b->plan, name, &r));
    snprintf(golden, sizeof golden, "taps.%s", name);
    check_output(b, r, golden, false);
}

static void encode_one(const sample *s, const char *backend)
{
    static const char *const taps[] = {
        "encoder.conv_in", "encoder.down.0",     "encoder.down.1",      "encoder.down.2",
        "decoder.conv_in", "decoder.mid.attn_1", "decoder.mid.block_1", "decoder.mid.block_2",
        "decoder.up.0",    "decoder.up.1",       "decoder.up.2",        "encoder.mid.block_2",
        "quant_conv",      "post_quant_conv",    "decoder.conv_out"};
    enum { TAPS = (int)(sizeof taps / sizeof *taps) };
    bool all = strcmp(s->checkpoint, "vq") == 0, gumbel = strcmp(s->title, "GumbelVQ") == 0;
    bench b = open_bench(s, backend);
    fv_shape shape;
    float *image = golden_map(&b, "image", &shape);
    for (size_t i = 0; i < fv_count(shape); i++) image[i] = 0.5f * image[i] + 0.5f;
    fv_ref pixels = fv_plan_input(b.plan, "pixels", shape, FV_REAL);
    fv_ref z = fv_network_encode(b.n, b.plan, pixels), moments = -1, logits = -1, q = z;
    if (s->codes) q = fv_quantise(b.plan, "quantised", z, fv_network_codebook(b.n, b.plan));
    fv_ref y = fv_network_decode(b.n, b.plan, q);
    if (!s->codes) MUST(fv_plan_find_layer(b.plan, "quant_conv", &moments));
    if (gumbel) {
        fv_builder builder = fv_network_builder(b.n, b.plan);
        logits = fv_vqgan_logits(&builder, b.n, z);
        fv_plan_output(b.plan, logits);
    }
    fv_ref outputs[] = {z, q, y, moments};
    for (int i = 0; i < 4; i++)
        if (outputs[i] >= 0) fv_plan_output(b.plan, outputs[i]);
    for (int i = 0; all && i < TAPS; i++) tap(&b, taps[i]);
    MUST(fv_plan_finish(b.plan, FV_PLAN_FORWARD | FV_PLAN_WHOLE));
    MUST(fv_plan_upload(b.plan, pixels, image));
    MUST(fv_plan_forward(b.plan));
    check_output(&b, s->codes ? z : moments, s->codes ? "encoded" : "moments", false);
    check_output(&b, y, gumbel ? "nearest_decoded" : "decoded", true);
    for (int i = 0; all && i < TAPS; i++) check_tap(&b, taps[i]);
    if (s->codes) {
        float *rows = malloc(fv_count(fv_plan_shape(b.plan, q)) * sizeof *rows);
        MUST(fv_plan_download(b.plan, q, rows));
        check_codes(&b, rows, gumbel ? "nearest_indices" : "indices");
        free(rows);
    }
    if (gumbel) check_output(&b, logits, "logits", false);
    free(image);
    close_bench(&b);
}

static void pictures_encode(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 3 * SAMPLES; i++) encode_one(&samples[i / 3], names[i % 3]);
}

/* Picture and latent of a file that has both halves; pictures are in [0,1]. */
static void encode_pair(const char *backend)
{
    bench b = open_bench(&pair, backend);
    fv_shape shape;
    float *image = golden_map(&b, "image", &shape);
    fv_ref pixels = fv_plan_input(b.plan, "pixels", shape, FV_REAL);
    fv_ref z = fv_network_encode(b.n, b.plan, pixels);
    fv_ref y = fv_network_decode(b.n, b.plan, z);
    fv_plan_output(b.plan, z);
    fv_plan_output(b.plan, y);
    MUST(fv_plan_finish(b.plan, FV_PLAN_FORWARD));
    MUST(fv_plan_upload(b.plan, pixels, image));
    MUST(fv_plan_forward(b.plan));
    check_output(&b, z, "encoded", false);
    check_output(&b, y, "decoded", false);
    free(image);
    close_bench(&b);
}

static void one_file_has_both_halves(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 3; i++) encode_pair(names[i]);
    char *text = report_of(checkpoint_file("pair"));
    if (!strstr(text, "as TAESD: encoder and decoder of f 8, a continuous latent of 5 channels\n"))
        fail_msg("the report is\n%s", text);
    free(text);
    int tensors;
    double worst;
    MUST(fv_checkpoint_convert(checkpoint_file("pair"), NULL, "pair.safetensors", false, false,
                               &tensors, &worst));
    fv_network *n = open_network("pair.safetensors", NULL);
    assert_true(n->encodes);
    fv_network_close(n);
}

/* --- inversion --- */

typedef struct inversion {
    bench b;
    fv_plan *nearest; /* z to its codes */
    fv_ref z, q, picture, from, to;
    size_t count; /* numbers of z */
    const char *mode;
} inversion;

static void build_inversion(inversion *v, fv_shape shape)
{
    fv_plan *p = v->b.plan;
    v->z = fv_plan_param(p, "z", shape);
    v->q = fv_quantise(p, "quantised", v->z, fv_network_codebook(v->b.n, p));
    v->picture = fv_clamp(p, "picture", fv_network_decode(v->b.n, p, v->q));
    fv_plan_output(p, v->q);
    fv_plan_output(p, v->picture);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD));
    MUST(fv_plan_new(&v->nearest, v->b.be));
    v->from = fv_plan_input(v->nearest, "z", shape, FV_REAL);
    v->to = fv_quantise(v->nearest, "quantised", v->from, fv_network_codebook(v->b.n, v->nearest));
    fv_plan_output(v->nearest, v->to);
    MUST(fv_plan_finish(v->nearest, FV_PLAN_FORWARD));
}

static void project(inversion *v, float *z)
{
    MUST(fv_plan_upload(v->nearest, v->from, z));
    MUST(fv_plan_forward(v->nearest));
    MUST(fv_plan_download(v->nearest, v->to, z));
}

static const char *step_name(const inversion *v, int t, const char *what)
{
    static char name[64];
    snprintf(name, sizeof name, "%s.%d.%s", v->mode, t, what);
    return name;
}

static void check_step_map(inversion *v, int t, const char *what, const float *found, size_t n,
                           double tolerance)
{
    float *expected = golden_map(&v->b, step_name(v, t, what), NULL);
    near(&v->b, step_name(v, t, what), found, expected, n, tolerance);
    free(expected);
}

static void invert_steps(inversion *v, float *z, const float *seed, bool projected)
{
    fv_plan *p = v->b.plan;
    size_t pixels = fv_count(fv_plan_shape(p, v->picture));
    float *picture = malloc(pixels * sizeof *picture), *down = malloc(pixels * sizeof *down);
    float *rows = malloc(v->count * sizeof *rows), stats[FV_ADAM_STATS];
    for (size_t i = 0; i < pixels; i++) down[i] = -seed[i]; /* the loss is -<seed, picture> */
    char rate[32];
    snprintf(rate, sizeof rate, "%s.rate", v->mode);
    for (int t = 1; t <= 4; t++) {
        float numbers[FV_ADAM_COLUMNS] = {
            (float)golden_number(&v->b, rate), 0.9f,      0.999f,  1e-8f, (float)(1 - pow(0.9, t)),
            (float)(1 - pow(0.999, t)),        -INFINITY, INFINITY};
        MUST(fv_plan_upload(p, v->z, z));
        MUST(fv_plan_forward(p));
        MUST(fv_plan_download(p, v->q, rows));
        check_codes(&v->b, rows, step_name(v, t, "indices"));
        MUST(fv_plan_download(p, v->picture, picture));
        if (t == 1) check_step_map(v, t, "picture", picture, pixels, value_tolerance);
        double loss = 0, expected = golden_number(&v->b, step_name(v, t, "loss"));
        for (size_t i = 0; i < pixels; i++) loss -= (double)picture[i] * (double)seed[i];
        assert_true(fabs(loss - expected) <= 1e-5 * (1 + fabs(expected)));
        MUST(fv_plan_output_gradient(p, v->picture, down));
        MUST(fv_plan_backward(p));
        MUST(fv_plan_download_gradient(p, v->z, rows));
        check_step_map(v, t, "gradient", rows, v->count, gradient_tolerance);
        MUST(fv_plan_adam(p, numbers, stats));
        MUST(fv_plan_download(p, v->z, z));
        if (projected) project(v, z);
        check_step_map(v, t, "z", z, v->count, value_tolerance);
    }
    free(picture);
    free(down);
    free(rows);
}

/* Both ways of the literature, step after step from their own results. */
static void invert(const char *backend, const char *mode)
{
    bool projected = strcmp(mode, "projected") == 0;
    inversion v = {.b = open_bench(&samples[0], backend), .mode = mode};
    fv_shape shape;
    float *z = golden_map(&v.b, "invert.z", &shape), *seed = golden_map(&v.b, "invert.seed", NULL);
    v.count = fv_count(shape);
    build_inversion(&v, shape);
    if (projected) {
        project(&v, z);
    } else {
        float low[64], high[64];
        fv_entry_read_f32(fv_weights_find(v.b.golden, "codes.low"), low);
        fv_entry_read_f32(fv_weights_find(v.b.golden, "codes.high"), high);
        MUST(fv_plan_bound(v.b.plan, v.z, low, high));
    }
    invert_steps(&v, z, seed, projected);
    free(z);
    free(seed);
    fv_plan_free(v.nearest);
    close_bench(&v.b);
}

static void inversions_follow_step_by_step(void **state)
{
    (void)state;
    static const char *const names[] = {"ref64", "cpu", "emulated:fp32"};
    for (int i = 0; i < 6; i++) invert(names[i / 2], i % 2 ? "projected" : "straight");
}

/* --- feavis info and convert --- */

/* Only what a decoder and its encoder need is written, and it is all that they need. */
static void a_converted_file_is_the_same_network(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        const sample *s = &samples[i];
        int tensors;
        double worst;
        char *text = report_of(checkpoint_file(s->checkpoint));
        if (!strstr(text, s->codes ? "codes of" : "continuous") || !strstr(text, " tensors in use"))
            fail_msg("%s: the report is\n%s", s->checkpoint, text);
        free(text);
        MUST(fv_checkpoint_convert(checkpoint_file(s->checkpoint), NULL, "small.safetensors", false,
                                   false, &tensors, &worst));
        fv_network *a = open_network(checkpoint_file(s->checkpoint), NULL);
        fv_network *b = open_network("small.safetensors", golden_file(s->golden, ".yaml"));
        assert_string_equal(b->title, s->title);
        assert_string_equal(b->source.root, "");
        assert_int_equal(fv_weights_count(b->source.weights), tensors);
        assert_true(b->codes == a->codes && b->factor == a->factor && b->encodes && a->encodes);
        fv_network_close(a);
        fv_network_close(b);
    }
}

/* --- files that are something else --- */

/* All tensors of the vq sample, with those that `change` alters, as a file of this name. */
typedef bool (*change)(fv_save_entry *e, float *values);

static void save_changed_of(const char *checkpoint, const char *root, const char *path,
                            change alter)
{
    fv_weights *w;
    MUST(fv_weights_open(&w, checkpoint_file(checkpoint)));
    size_t count = fv_weights_count(w), kept = 0;
    fv_save_entry *entries = calloc(count, sizeof *entries);
    float **values = calloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const fv_entry *e = fv_weights_at(w, i);
        const char *name = e->name + strlen(root);
        if (strncmp(e->name, root, strlen(root)) != 0 || strncmp(name, "loss.", 5) == 0) continue;
        values[i] = malloc(fv_entry_count(e) * sizeof *values[i]);
        fv_entry_read_f32(e, values[i]);
        fv_save_entry s = {.name = name, .dtype = FV_FILE_F32, .ndim = e->ndim, .data = values[i]};
        memcpy(s.dims, e->dims, sizeof s.dims);
        if (alter(&s, values[i])) entries[kept++] = s;
    }
    MUST(fv_weights_save(path, entries, kept, NULL));
    for (size_t i = 0; i < count; i++) free(values[i]);
    free(values);
    free(entries);
    fv_weights_close(w);
}

static void save_changed(const char *path, change alter)
{
    save_changed_of("vq", "state_dict.", path, alter);
}

static bool decoder_alone(fv_save_entry *e, float *values)
{
    (void)values;
    return strncmp(e->name, "encoder.", 8) != 0 && strncmp(e->name, "quant_conv.", 11) != 0;
}

static bool grey(fv_save_entry *e, float *values)
{
    (void)values;
    if (strncmp(e->name, "decoder.conv_out.", 17) == 0) e->dims[0] = 1;
    return true;
}

/* A segmentation's 183 classes where colours are expected. `values` has room for what there was. */
static bool classes(fv_save_entry *e, float *values)
{
    static float zeros[183 * 64 * 9];
    (void)values;
    if (strncmp(e->name, "decoder.conv_out.", 17) != 0) return true;
    e->dims[0] = 183;
    e->data = zeros;
    return true;
}

static bool classes_seen(fv_save_entry *e, float *values)
{
    static float zeros[183 * 64 * 9];
    (void)values;
    if (strcmp(e->name, "encoder.conv_in.weight") != 0) return true;
    e->dims[1] = 183;
    e->data = zeros;
    return true;
}

static bool no_codes_in_it(fv_save_entry *e, float *values)
{
    (void)values;
    if (strncmp(e->name, "quantize.", 9) == 0) e->dims[0] = 0;
    return true;
}

static bool an_empty_convolution(fv_save_entry *e, float *values)
{
    (void)values;
    if (strcmp(e->name, "decoder.conv_in.weight") == 0) e->dims[0] = 0;
    return true;
}

static bool a_code_that_is_none(fv_save_entry *e, float *values)
{
    if (strncmp(e->name, "quantize.", 9) == 0) values[74] = NAN;
    return true;
}

static bool damaged_decoder(fv_save_entry *e, float *values)
{
    if (strcmp(e->name, "decoder.norm_out.weight") == 0) values[1] = NAN;
    return true;
}

static bool damaged_encoder(fv_save_entry *e, float *values)
{
    if (strcmp(e->name, "encoder.norm_out.weight") == 0) values[1] = INFINITY;
    return true;
}

static bool grey_eyes(fv_save_entry *e, float *values)
{
    (void)values;
    if (strcmp(e->name, "encoder.conv_in.weight") == 0) e->dims[1] = 1;
    return true;
}

static bool without_codes(fv_save_entry *e, float *values)
{
    (void)values;
    return strncmp(e->name, "quantize.", 9) != 0;
}

static bool narrow_codes(fv_save_entry *e, float *values)
{
    (void)values;
    if (strncmp(e->name, "quantize.", 9) == 0) e->dims[1] = 23;
    return true;
}

static bool odd_channels(fv_save_entry *e, float *values)
{
    (void)values;
    if (strcmp(e->name, "decoder.up.0.block.0.conv1.weight") == 0) e->dims[0] = 31;
    return true;
}

/* Of a tiny autoencoder's other half: no last layer, and one that halves less. */
static bool open_ended(fv_save_entry *e, float *values)
{
    (void)values;
    return strncmp(e->name, "encoder.8.", 10) != 0;
}

static bool less_halved(fv_save_entry *e, float *values)
{
    (void)values;
    return strncmp(e->name, "encoder.5.", 10) != 0;
}

static bool without_a_norm(fv_save_entry *e, float *values)
{
    (void)values;
    return strcmp(e->name, "decoder.norm_out.weight") != 0;
}

static fv_status opens(const char *checkpoint, const char *config)
{
    fv_network *n = NULL;
    fv_network_files files = {.checkpoint = checkpoint, .config = config};
    fv_status s = fv_network_open(&n, &files);
    fv_network_close(n);
    return s;
}

static void other_files_are_refused_in_a_line(void **state)
{
    (void)state;
    const char *path = "changed.safetensors";
    save_changed(path, grey);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "decoder.conv_out.weight is for 1 channels");
    save_changed(path, grey_eyes);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "encoder.conv_in.weight is for 1 channels");
    save_changed(path, classes);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "decoder.conv_out.weight is for 183 channels");
    save_changed(path, classes_seen);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "encoder.conv_in.weight is for 183 channels");
    save_changed(path, no_codes_in_it);
    FAILS(opens(path, NULL), FV_ERR_SHAPE, "quantize.embedding.weight has no 2 sizes from 1");
    save_changed(path, without_codes);
    FAILS(opens(path, NULL), FV_ERR_FORMAT, "has no codes (quantize.*)");
    save_changed(path, narrow_codes);
    FAILS(opens(path, NULL), FV_ERR_SHAPE, "codes of 23 numbers for a decoder that takes 24");
    save_changed(path, odd_channels);
    FAILS(opens(path, NULL), FV_ERR_SHAPE, "31 channels, expected a multiple of 32");
    save_changed_of("pair", "", path, open_ended);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "encoder.7, is no convolution to 5 channels");
    save_changed_of("pair", "", path, less_halved);
    FAILS(opens(path, NULL), FV_ERR_UNSUPPORTED, "its encoder is of f 4, its decoder of 8");
    const char *vq = checkpoint_file("vq"), *kl = golden_file("kl", ".yaml");
    FAILS(opens(vq, kl), FV_ERR_FORMAT, "is for AutoencoderKL, but checkpoint");
    FAILS(opens(vq, golden_file("net2net", ".yaml")), FV_ERR_FORMAT, "embed_dim is 16, but");
    FAILS(opens(unpacked_file("lite0", ".pth"), golden_file("vq", ".yaml")), FV_ERR_FORMAT,
          "this is no VQGAN");
    size_t bytes;
    char *data = slurp(vq, &bytes);
    spill("short.ckpt", data, bytes / 2);
    free(data);
    assert_true(opens("short.ckpt", golden_file("vq", ".yaml")) < 0);
    assert_null(strchr(fv_error(), '\n'));
}

/* --- codes and convert on such files --- */

static fv_status codes_of(const char *checkpoint, bool decode)
{
    static uint8_t rgb[32 * 32 * 3];
    int32_t at[4] = {1, 2, 3, 4};
    fv_options *o;
    fv_codes c = {0};
    fv_picture out;
    double error;
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 7);
    MUST(fv_picture_write(&(fv_picture){32, 32, rgb}, "seen.png", NULL));
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "decoder", checkpoint));
    MUST(fv_options_set(o, "start", "seen.png"));
    MUST(fv_options_set(o, "size", "32"));
    MUST(fv_options_set(o, "backend", "cpu"));
    fv_status s = decode ? fv_codes_decode(&out, &(fv_codes){2, 2, at, 0}, o)
                         : fv_codes_encode(&c, &out, &error, o);
    if (s >= 0) fv_picture_free(&out);
    fv_codes_free(&c);
    fv_options_free(o);
    return s;
}

static fv_status converts(const char *checkpoint)
{
    int tensors;
    double worst;
    return fv_checkpoint_convert(checkpoint, NULL, "out.safetensors", false, false, &tensors,
                                 &worst);
}

/* Where numbers are none, no bytes hide it. */
static void codes_and_convert_say_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        change alter;
        const char *encode, *decode, *convert; /* what is said; NULL: it does */
    } cases[] = {
        {classes, "183 channels", "183 channels", "183 channels"},
        {grey, "is for 1 channels", "is for 1 channels", "is for 1 channels"},
        {without_codes, "has no codes", "has no codes", "has no codes"},
        {an_empty_convolution, "is [0, 40, 3, 3], expected [", "is [0, 40, 3, 3], expected [",
         "another shape"},
        {a_code_that_is_none, "number 74 is nan", "number 74 is nan", "number 74 is nan"},
        {damaged_decoder, "picture decoded by changed.safetensors",
         "picture decoded by changed.safetensors", "decoder.norm_out.weight: number 1 is nan"},
        {damaged_encoder, "picture encoded by changed.safetensors", NULL,
         "encoder.norm_out.weight: number 1 is inf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const expected[] = {cases[i].encode, cases[i].decode, cases[i].convert};
        save_changed("changed.safetensors", cases[i].alter);
        unlink("out.safetensors");
        for (int k = 0; k < 3; k++) {
            const char *path = "changed.safetensors";
            fv_status s = k == 2 ? converts(path) : codes_of(path, k == 1);
            if ((s >= 0) != !expected[k] ||
                (s < 0 && (!strstr(fv_error(), expected[k]) || strchr(fv_error(), '\n'))))
                fail_msg("case %zu, %d: %s", i, k, s < 0 ? fv_error() : "it went well");
        }
        assert_true(access("out.safetensors", F_OK) != 0);
    }
    size_t bytes;
    char *data = slurp(checkpoint_file("vq"), &bytes);
    for (int i = 1; i < 8; i++) {
        spill("short.ckpt", data, bytes * (size_t)i / 8);
        assert_true(codes_of("short.ckpt", i % 2) < 0 && strstr(fv_error(), "short.ckpt"));
        assert_true(converts("short.ckpt") < 0 && strstr(fv_error(), "short.ckpt"));
        assert_null(strchr(fv_error(), '\n'));
    }
    free(data);
    FAILS(codes_of(unpacked_file("lite0", ".pth"), false), FV_ERR_ARGUMENT,
          "holds no decoder that is known");
}

static fv_status build(const fv_network *n, fv_backend *be, bool encode)
{
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, be));
    fv_shape latent = {1, 8, 8, n->latent_channels}, pixels = {1, 32, 32, 3};
    fv_ref r = encode ? fv_network_encode(n, p, fv_plan_input(p, "x", pixels, FV_REAL))
                      : fv_network_decode(n, p, fv_plan_input(p, "z", latent, FV_REAL));
    fv_plan_output(p, r);
    fv_status s = fv_plan_finish(p, FV_PLAN_FORWARD);
    fv_plan_free(p);
    return s;
}

static void a_decoder_alone_decodes(void **state)
{
    (void)state;
    fv_backend *be = open_backend("cpu");
    save_changed("decoder.safetensors", decoder_alone);
    fv_network *n = open_network("decoder.safetensors", NULL);
    assert_string_equal(n->title, "VQModel");
    MUST(build(n, be, false));
    FAILS(build(n, be, true), FV_ERR_ARGUMENT, "has a decoder alone, no encoder");
    fv_network_close(n);
    save_changed("changed.safetensors", without_a_norm);
    n = open_network("changed.safetensors", NULL);
    FAILS(build(n, be, false), FV_ERR_FORMAT, "decoder.norm_out.weight");
    fv_network_close(n);
    n = open_network(checkpoint_file("kl"), NULL);
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    fv_network_codebook(n, p);
    FAILS(fv_plan_finish(p, FV_PLAN_FORWARD), FV_ERR_ARGUMENT, "has no codes");
    fv_plan_free(p);
    fv_network_close(n);
    fv_backend_close(be);
}

/* What computes on the emulator, on the first GPU instead. */
static int run_on_gpu(void)
{
    if (!there_is_a_gpu()) return SKIPPED;
    on_gpu = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_latent_decodes),
        cmocka_unit_test(any_latent_decodes_in_every_precision),
        cmocka_unit_test(a_tiny_decoder_decodes),
        cmocka_unit_test(pictures_encode),
        cmocka_unit_test(one_file_has_both_halves),
        cmocka_unit_test(inversions_follow_step_by_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int count, char **args)
{
    if (count > 1 && strcmp(args[1], "gpu") == 0) return run_on_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_say_what_they_are),
        cmocka_unit_test(any_latent_decodes),
        cmocka_unit_test(any_latent_decodes_in_every_precision),
        cmocka_unit_test(a_tiny_decoder_decodes),
        cmocka_unit_test(a_small_decoder_decodes),
        cmocka_unit_test(pictures_encode),
        cmocka_unit_test(inversions_follow_step_by_step),
        cmocka_unit_test(a_converted_file_is_the_same_network),
        cmocka_unit_test(other_files_are_refused_in_a_line),
        cmocka_unit_test(codes_and_convert_say_what_is_wrong),
        cmocka_unit_test(a_decoder_alone_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
