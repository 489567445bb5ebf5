/* Both towers, forward and backward, against the official model on random weights.
 *
 * tests/golden/towers/{lite0,b0}: whole small BriVLs in the official nested .pth layout; the
 * expected values were computed in double by the official classes. head, text: the parts after
 * the map and from the ids, at the official map of 15 x 15. mspp: the matrix itself.
 *
 * Tolerances are relative L2. The same float code on two PyTorch generations differs by 2e-6 in
 * the image embedding, 5e-7 in the text embedding and 1.6e-4 in the pixel gradient, so: values
 * 2e-5, gradients 1e-3; in double 1e-5, as pixels and goldens are stored as float and fifty layers
 * make up to 20 times more of that rounding. */
#include <math.h>
#include <unistd.h>

#include "model/nets/brivl.h"
#include "model/plan/hooks.h"
#include "tests/golden.h"

enum { PATH_BYTES = 1024 };

static const char *source_path(const char *fmt, const char *name)
{
    static char path[4][PATH_BYTES];
    static int turn;
    const char *source = getenv("FEAVIS_SOURCE");
    char *out = path[turn++ % 4];
    int n = snprintf(out, PATH_BYTES, "%s/tests/golden/towers/", source ? source : ".");
    snprintf(out + n, PATH_BYTES - (size_t)n, fmt, name); /* NOLINT: fmt is ours */
    return out;
}

/* The .pth files are kept packed; the runner unpacks them into its folder. */
static const char *checkpoint_path(const char *name)
{
    static char path[PATH_BYTES];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/%s.pth", folder ? folder : ".", name);
    if (access(path, R_OK) != 0) fail_msg("%s is missing: unpack the towers first", path);
    return path;
}

/* --- goldens --- */

/* Compares the first min(found, expected) numbers: padded boxes at the end of the official token
 * lists are masked there and do not exist here. */
static void check(const char *what, const float *found, size_t found_count,
                  const fv_weights *golden, const char *name, double tolerance)
{
    size_t count;
    float *expected = read_golden(golden, name, &count);
    assert_true(found_count > 0);
    if (found_count > count)
        fail_msg("%s: %zu numbers, golden %s has %zu", what, found_count, name, count);
    double error = relative_l2(found, expected, found_count);
    if (!(error <= tolerance))
        fail_msg("%s against %s: relative L2 %.3g, expected <= %.3g", what, name, error, tolerance);
    free(expected);
}

/* --- whole towers --- */

typedef struct probe {
    const char *tensor, *golden;
    bool map; /* stored as [c,h,w] */
} probe;

static const probe image_probes[] = {
    {"normalised", "x", true},
    {"imgencoder.backbone.conv_stem", "stem", true},
    {"imgencoder.backbone.blocks.0", "stage0", true},
    {"imgencoder.backbone.blocks.2", "stage2", true},
    {"imgencoder.backbone.blocks.4", "stage4", true},
    {"imgencoder.backbone.blocks.6", "stage6", true},
    {"imgencoder.backbone.conv_head", "feat", true},
    {"imgencoder.learnable.mspp", "roi", false},
    {"imgencoder.learnable.max_pool.0", "tokens", false},
    {"imgencoder.learnable.imgAtt.layers.0", "img_sa0", false},
    {"imgencoder.learnable.pooled", "img_pooled", false},
    {"imgencoder.learnable.imgFC.fc1", "img_fc1", false},
    {"imgencoder.learnable.imgFC.fc2", "img_fc", false},
    {"image_embedding", "img_emb", false},
};
static const probe gradient_probes[] = {
    {"d:imgencoder.backbone.conv_head", "d_feat", true},
    {"d:imgencoder.backbone.blocks.4", "d_stage4", true},
    {"d:imgencoder.learnable.max_pool.0", "d_tokens", false},
    {"d:imgencoder.learnable.pooled", "d_img_pooled", false},
    {"d:imgencoder.learnable.imgFC.fc2", "d_img_fc", false},
};
static const probe text_probes[] = {
    {"textencoder.backbone.bert.embeddings", "bert_emb", false},
    {"textencoder.backbone.bert.encoder.layer.0", "bert0", false},
    {"textencoder.backbone.bert.encoder.layer.1", "bert1", false},
    {"textencoder.learnable.tokens", "bert_l2", false},
    {"textencoder.learnable.pooled", "txt_pooled", false},
    {"textencoder.learnable.textFC.fc1", "txt_fc1", false},
    {"textencoder.learnable.textFC.fc2", "txt_fc", false},
    {"text_embedding", "txt_emb", false},
};
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static void check_hooks(const fv_hooks *hooks, const probe *probes, int count,
                        const fv_weights *golden, double tolerance)
{
    for (int i = 0; i < count; i++) {
        fv_shape s;
        const float *values = fv_hooks_values(hooks, i, &s);
        if (!values) fail_msg("hook %s was not taken", probes[i].tensor);
        float *copy = probes[i].map ? as_nchw(values, s) : NULL;
        check(probes[i].tensor, copy ? copy : values, fv_count(s), golden, probes[i].golden,
              tolerance);
        free(copy);
    }
}

static fv_hooks *hook(fv_plan *p, const probe *probes, int count)
{
    const char *names[32];
    fv_hooks *hooks;
    for (int i = 0; i < count; i++) names[i] = probes[i].tensor;
    MUST(fv_hooks_new(&hooks, p, names, count));
    return hooks;
}

static void check_text_tower(const fv_brivl *m, fv_backend *be, const fv_weights *golden,
                             double tolerance)
{
    fv_text_encoder *e;
    size_t length, one;
    float *ids = read_golden(golden, "ids", &length), *used = read_golden(golden, "text_len", &one);
    MUST(fv_text_encoder_open(&e, &m->base, be, (int)length));
    fv_hooks *hooks = hook(fv_text_encoder_plan(e), text_probes, COUNT(text_probes));
    int32_t *tokens = malloc(length * sizeof *tokens);
    for (size_t i = 0; i < length; i++) tokens[i] = (int32_t)ids[i];
    float *embedding = malloc((size_t)m->base.dim * sizeof *embedding);
    MUST(fv_text_encode_ids(e, tokens, (int)used[0], embedding));
    check_hooks(hooks, text_probes, COUNT(text_probes), golden, tolerance);
    tokens[1] = 1 << 20;
    assert_int_equal(fv_text_encode_ids(e, tokens, (int)used[0], embedding), FV_ERR_ARGUMENT);
    fv_hooks_free(hooks);
    fv_text_encoder_close(e);
    free(tokens);
    free(embedding);
    free(ids);
    free(used);
}

/* pixels -> embedding . text, and back. Tapped: layer by layer; else as pictures are grown, with
 * what the backend fuses. */
static void check_image_tower(const fv_brivl *m, fv_backend *be, const fv_weights *golden,
                              bool hooked, double tolerance, double gradient_tolerance)
{
    enum { TAPS = 32 };
    probe all[TAPS];
    memcpy(all, image_probes, sizeof image_probes);
    memcpy(all + COUNT(image_probes), gradient_probes, sizeof gradient_probes);
    int side = m->base.image_size, count = COUNT(image_probes) + COUNT(gradient_probes);
    fv_shape shape = {1, side, side, 3};
    fv_plan *p;
    MUST(fv_plan_new(&p, be));
    fv_ref pixels = fv_plan_param(p, "pixels", shape);
    fv_image_layers layers = fv_network_image(&m->base, p, pixels, true);
    fv_ref map = layers.map, y = layers.embedding;
    int channel = 7;
    fv_ref gathered = fv_gather_channels(
        p, "llp", map, fv_plan_weight_i32(p, "llp.channels", (fv_shape){1, 1, 1, 1}, &channel));
    fv_ref neuron = fv_mean_hw(p, "llp.mean", gathered);
    fv_plan_output(p, y);
    fv_plan_output(p, neuron);
    unsigned flags = FV_PLAN_BACKWARD | FV_PLAN_POISON;
    MUST(fv_plan_finish(p, hooked ? flags | FV_PLAN_WHOLE : flags));
    fv_hooks *hooks = hooked ? hook(p, all, count) : NULL;

    size_t n;
    float *chw = read_golden(golden, "pixels", &n), *hwc = as_nhwc(chw, shape);
    float *text = read_golden(golden, "txt_emb", &n);
    MUST(fv_plan_upload(p, pixels, hwc));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_output_gradient(p, y, text));
    MUST(fv_plan_backward(p));
    if (hooked) check_hooks(hooks, all, COUNT(image_probes), golden, tolerance);
    fv_shape s;
    for (int i = COUNT(image_probes); hooked && i < count; i++) {
        const float *values = fv_hooks_values(hooks, i, &s);
        if (!values) fail_msg("hook %s was not taken", all[i].tensor);
        float *copy = all[i].map ? as_nchw(values, s) : NULL;
        check(all[i].tensor, copy ? copy : values, fv_count(s), golden, all[i].golden,
              gradient_tolerance);
        free(copy);
    }

    float *gradient = malloc(fv_count(shape) * sizeof *gradient), *swapped;
    MUST(fv_plan_download_gradient(p, pixels, gradient));
    swapped = as_nchw(gradient, shape);
    check("d(cos)/d(pixels)", swapped, fv_count(shape), golden, "grad_pixels", gradient_tolerance);
    free(swapped);

    /* one LLP channel: the official value is the mean over positions; its gradient is with
     * respect to the normalised picture */
    float seed = 1, value;
    MUST(fv_plan_forward(p));
    MUST(fv_plan_download(p, neuron, &value));
    /* one number, not a norm over thousands: its relative error is five times as free */
    check("LLP-7", &value, 1, golden, "llp7_value", 5 * tolerance);
    MUST(fv_plan_output_gradient(p, neuron, &seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, pixels, gradient));
    for (size_t i = 0; i < fv_count(shape); i++) gradient[i] *= m->base.std[i % 3];
    swapped = as_nchw(gradient, shape);
    check("d(LLP-7)/dx", swapped, fv_count(shape), golden, "llp7_grad_x", gradient_tolerance);
    free(swapped);
    free(gradient);
    free(chw);
    free(hwc);
    free(text);
    fv_hooks_free(hooks);
    fv_plan_free(p);
}

static void check_towers(const char *name, const char *backend, double tolerance,
                         double gradient_tolerance)
{
    fv_backend *be;
    fv_brivl *m;
    fv_weights *golden;
    MUST(fv_backend_open(&be, backend, 0));
    MUST(fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", name),
                                               .checkpoint = checkpoint_path(name)}));
    MUST(fv_weights_open(&golden, source_path("%s/golden.safetensors", name)));
    check_text_tower(m, be, golden, tolerance);
    check_image_tower(m, be, golden, true, tolerance, gradient_tolerance);
    check_image_tower(m, be, golden, false, tolerance, gradient_tolerance);
    fv_weights_close(golden);
    fv_network_close(&m->base);
    fv_backend_close(be);
}

static void lite0_double(void **state)
{
    (void)state;
    check_towers("lite0", "ref64", 1e-5, 1e-5);
}

static void lite0_fastest(void **state)
{
    (void)state;
    check_towers("lite0", "auto", 2e-5, 1e-3);
}

static void b0_double(void **state)
{
    (void)state;
    check_towers("b0", "ref64", 1e-5, 1e-5);
}

static void b0_fastest(void **state)
{
    (void)state;
    check_towers("b0", "auto", 2e-5, 1e-3);
}

/* --- cpu against ref, in the whole plan --- */

/* The gradient of <embedding, text> in the pixels; caller frees. */
static float *pixel_gradient(const fv_brivl *m, const fv_weights *golden, const char *backend,
                             unsigned flags, size_t *count)
{
    fv_backend *be;
    fv_plan *p;
    MUST(fv_backend_open(&be, backend, 3));
    MUST(fv_plan_new(&p, be));
    int side = m->base.image_size;
    fv_shape shape = {1, side, side, 3};
    fv_ref pixels = fv_plan_param(p, "pixels", shape);
    fv_ref y = fv_network_image(&m->base, p, pixels, true).embedding;
    fv_plan_output(p, y);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | flags));
    float *chw = read_golden(golden, "pixels", count), *hwc = as_nhwc(chw, shape);
    size_t n;
    float *text = read_golden(golden, "txt_emb", &n), *gradient = malloc(*count * sizeof *gradient);
    MUST(fv_plan_upload(p, pixels, hwc));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_output_gradient(p, y, text));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, pixels, gradient));
    fv_plan_free(p);
    fv_backend_close(be);
    free(chw);
    free(hwc);
    free(text);
    return gradient;
}

static double cosine(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* Every level that this machine has, fused, against the reference op by op. 1 - 1e-5 is what is
 * asked of a whole plan: an error of the gradient of 4.5e-3 of its length. */
static void cpu_is_ref(const char *name)
{
    static const char *const levels[] = {"cpu-v2", "cpu-v3", "cpu-v4", "cpu"};
    fv_brivl *m;
    fv_weights *golden;
    MUST(fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", name),
                                               .checkpoint = checkpoint_path(name)}));
    MUST(fv_weights_open(&golden, source_path("%s/golden.safetensors", name)));
    size_t count;
    float *expected = pixel_gradient(m, golden, "ref", FV_PLAN_WHOLE, &count);
    for (int i = 0; i < COUNT(levels); i++) {
        fv_backend *be;
        fv_status s = fv_backend_open(&be, levels[i], 1);
        if (s < 0) {
            print_message("not compared: %s\n", fv_error());
            continue;
        }
        fv_backend_close(be);
        float *found = pixel_gradient(m, golden, levels[i], FV_PLAN_POISON, &count);
        double c = cosine(found, expected, count);
        print_message("%s on %s: 1 - cosine of the gradient to ref's %.2g\n", name, levels[i],
                      1 - c);
        if (!(c >= 0.99999)) fail_msg("%s on %s: cosine to ref %.8f", name, levels[i], c);
        free(found);
    }
    free(expected);
    fv_weights_close(golden);
    fv_network_close(&m->base);
}

static void cpu_is_ref_lite0(void **state)
{
    (void)state;
    cpu_is_ref("lite0");
}

static void cpu_is_ref_b0(void **state)
{
    (void)state;
    cpu_is_ref("b0");
}

/* --- the parts --- */

static void mspp_matrix(void **state)
{
    static const struct {
        const char *name;
        int size, side;
    } cases[] = {{"mspp_456_15x15", 456, 15},
                 {"mspp_380_12x12", 380, 12},
                 {"mspp_260_9x9", 260, 9},
                 {"mspp_224_7x7", 224, 7}};
    (void)state;
    fv_weights *golden;
    MUST(fv_weights_open(&golden, source_path("%s.safetensors", "mspp")));
    for (int i = 0; i < COUNT(cases); i++) {
        size_t count = 37 * (size_t)cases[i].side * (size_t)cases[i].side;
        const fv_entry *e = fv_weights_find(golden, cases[i].name);
        assert_non_null(e);
        assert_int_equal(fv_entry_count(e), count);
        double *expected = malloc(count * sizeof *expected), *found = malloc(count * sizeof *found);
        fv_entry_read_f64(e, expected);
        fv_brivl_mspp(found, 6, 4, cases[i].size, cases[i].side);
        for (size_t k = 0; k < count; k++)
            if (!(fabs(found[k] - expected[k]) < 1e-12)) /* doubles, another order of sums */
                fail_msg("%s: element %zu is %.17g, expected %.17g", cases[i].name, k, found[k],
                         expected[k]);
        free(expected);
        free(found);
    }
    fv_weights_close(golden);
}

/* map {2,15,15,64} -> embedding, and the gradient of the two cosines' sum. */
static void image_head(void **state)
{
    (void)state;
    fv_brivl_config c = {
        .image_size = 456, .image_heads = 4, .image_layers = 2, .box_grid = 6, .grid_size = 4};
    fv_weights *weights, *golden;
    fv_backend *be;
    fv_plan *p;
    MUST(fv_weights_open(&weights, checkpoint_path("head")));
    MUST(fv_weights_open(&golden, source_path("%s.safetensors", "head")));
    MUST(fv_backend_open(&be, "ref64", 1));
    MUST(fv_plan_new(&p, be));
    fv_source s = {.weights = weights, .root = "learnable."};
    fv_shape shape = {2, 15, 15, 64};
    fv_ref map = fv_plan_param(p, "map", shape);
    fv_builder b = {.plan = p, .source = &s};
    fv_ref y = fv_brivl_image_head(&b, &c, map);
    fv_plan_output(p, y);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_POISON));
    static const probe probes[] = {{"imgencoder.learnable.max_pool.0", "tokens", false},
                                   {"imgencoder.learnable.imgAtt.layers.1", "attended", false},
                                   {"imgencoder.learnable.imgFC.fc2", "embedding", false},
                                   {"image_embedding", "unit", false}};
    fv_hooks *hooks = hook(p, probes, COUNT(probes));
    size_t n;
    float *chw = read_golden(golden, "feature_map", &n), *hwc = as_nhwc(chw, shape);
    float *target = read_golden(golden, "target", &n);
    MUST(fv_plan_upload(p, map, hwc));
    MUST(fv_plan_forward(p));
    /* these goldens are float32 results: 1e-5 is their own rounding */
    check_hooks(hooks, probes, COUNT(probes), golden, 1e-5);
    float *seed = malloc(2 * n * sizeof *seed), *gradient = malloc(fv_count(shape) * sizeof(float));
    double norm = 0;
    for (size_t i = 0; i < n; i++) norm += (double)target[i] * (double)target[i];
    for (size_t i = 0; i < 2 * n; i++) seed[i] = (float)((double)target[i % n] / sqrt(norm));
    MUST(fv_plan_output_gradient(p, y, seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, map, gradient));
    float *swapped = as_nchw(gradient, shape);
    check("d(cos)/d(map)", swapped, fv_count(shape), golden, "grad_feature_map", 1e-4);
    free(swapped);
    free(seed);
    free(gradient);
    free(target);
    free(chw);
    free(hwc);
    fv_hooks_free(hooks);
    fv_plan_free(p);
    fv_backend_close(be);
    fv_weights_close(weights);
    fv_weights_close(golden);
}

static void text_tower(void **state)
{
    enum { TEXTS = 3, LENGTH = 16, DIM = 64, HIDDEN = 32 };
    (void)state;
    fv_brivl_config c = {.text_heads = 4,
                         .text_layers = 2,
                         .text_limit = LENGTH,
                         .bert_heads = 4,
                         .bert_eps = 1e-12};
    fv_weights *weights, *golden;
    fv_backend *be;
    fv_plan *p;
    fv_text_inputs inputs;
    MUST(fv_weights_open(&weights, checkpoint_path("text")));
    MUST(fv_weights_open(&golden, source_path("%s.safetensors", "text")));
    MUST(fv_backend_open(&be, "ref64", 1));
    MUST(fv_plan_new(&p, be));
    fv_source s = {.weights = weights, .root = "learnable."};
    fv_builder b = {.plan = p, .source = &s};
    fv_ref y = fv_brivl_text(&b, &c, LENGTH, &inputs);
    fv_plan_output(p, y);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD | FV_PLAN_POISON));
    size_t n;
    float *ids = read_golden(golden, "ids", &n), *mask = read_golden(golden, "mask", &n);
    float *unit = read_golden(golden, "unit", &n);
    for (int t = 0; t < TEXTS; t++) {
        int32_t tokens[LENGTH];
        float bias[LENGTH], mean[LENGTH], embedding[DIM];
        int used = 0;
        for (int i = 0; i < LENGTH; i++) {
            tokens[i] = (int32_t)ids[t * LENGTH + i];
            used += tokens[i] != 0;
        }
        assert_true(used > 2);
        for (int i = 0; i < LENGTH; i++) {
            /* the stored mask agrees with "not padding" */
            assert_true((mask[t * LENGTH + i] != 0) == (i < used));
            bias[i] = i < used ? 0.0f : -1e9f;
            mean[i] = i < used ? 1.0f / (float)used : 0.0f;
        }
        MUST(fv_plan_upload_i32(p, inputs.ids, tokens));
        MUST(fv_plan_upload(p, inputs.key_bias, bias));
        MUST(fv_plan_upload(p, inputs.pool, mean));
        MUST(fv_plan_forward(p));
        MUST(fv_plan_download(p, y, embedding));
        double error = relative_l2(embedding, unit + t * DIM, DIM);
        if (!(error <= 1e-5)) fail_msg("text %d: relative L2 %.3g, expected <= 1e-5", t, error);
    }
    free(ids);
    free(mask);
    free(unit);
    fv_plan_free(p);
    fv_backend_close(be);
    fv_weights_close(weights);
    fv_weights_close(golden);
}

/* --- what does not fit is said --- */

static void mismatches(void **state)
{
    (void)state;
    fv_brivl *m;
    assert_int_equal(
        fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", "b0"),
                                              .checkpoint = checkpoint_path("head")}),
        FV_ERR_FORMAT);
    assert_non_null(strstr(fv_error(), "is not a BriVL"));
    assert_int_equal(
        fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/none.yml", "b0")}),
        FV_ERR_IO);
    assert_int_equal(
        fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", "b0")}),
        FV_ERR_ARGUMENT);
    assert_non_null(strstr(fv_error(), "--checkpoint"));
    assert_int_equal(
        fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", "b0"),
                                              .checkpoint = checkpoint_path("lite0")}),
        FV_ERR_SHAPE); /* more imgAtt layers than this cfg has */
    assert_non_null(strstr(fv_error(), "IMG_TRANSFORMER_LAYER"));

    /* a cfg for another network: the plan names the first tensor that does not fit */
    fv_backend *be;
    fv_plan *p;
    MUST(fv_brivl_open(&m, &(fv_network_files){.config = source_path("%s/cfg.yml", "lite0"),
                                               .checkpoint = checkpoint_path("lite0")}));
    MUST(fv_backend_open(&be, "ref", 1));
    MUST(fv_plan_new(&p, be));
    strcpy(m->config.cnn + strlen(m->config.cnn) - 1, "4"); /* lite0 -> lite4 */
    fv_ref x = fv_plan_param(p, "x", (fv_shape){1, 72, 72, 3});
    fv_builder b = fv_network_builder(&m->base, p);
    assert_int_equal(fv_brivl_map(&b, &m->config, x), -1);
    assert_int_equal(fv_plan_finish(p, FV_PLAN_FORWARD), FV_ERR_SHAPE);
    assert_non_null(strstr(fv_error(), "imgencoder.backbone.blocks.0.0"));
    fv_plan_free(p);
    fv_backend_close(be);
    fv_network_close(&m->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mspp_matrix),   cmocka_unit_test(image_head),
        cmocka_unit_test(text_tower),    cmocka_unit_test(lite0_double),
        cmocka_unit_test(lite0_fastest), cmocka_unit_test(b0_double),
        cmocka_unit_test(b0_fastest),    cmocka_unit_test(cpu_is_ref_lite0),
        cmocka_unit_test(cpu_is_ref_b0), cmocka_unit_test(mismatches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
