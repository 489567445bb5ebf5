/* CLIP and Chinese-CLIP in every layout of their files, against values in double.
 *
 * tests/golden/clip: small networks with random weights, in the files of OpenAI (vit, rn: traced
 * TorchScript archives, halves), HuggingFace and open_clip (one network, erf GELU, four heads),
 * Chinese-CLIP (cn_vit, cn_rn). Their values are those of PyTorch classes of our own, which agree
 * in double with the official code, transformers and open_clip to 1e-14. positions: rows resized by
 * the three rules of open_clip, Chinese-CLIP and transformers.
 *
 * Tolerances are relative L2, by what float32 against float64 costs the official code at full size:
 * embeddings 2e-6, so 2e-5 here; gradients 1.6e-6 (ViT), so 2e-5, and 7e-6 (ResNet, away from the
 * corners of ReLU), so 1e-4. */
#include <math.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "feavis/imagine/session.h"
#include "kernels/cuda/cuda.h"
#include "model/nets/clip.h"
#include "model/nets/inventory.h"
#include "model/plan/hooks.h"
#include "tests/golden.h"
#include "tests/gpu.h"
#include "tests/process.h"

static const char *unpacked(const char *fmt, const char *name)
{
    static char path[8][1024];
    static int turn;
    const char *folder = getenv("FEAVIS_UNPACKED");
    char *out = path[turn++ % 8];
    int n = snprintf(out, sizeof path[0], "%s/clip/", folder ? folder : ".");
    snprintf(out + n, sizeof path[0] - (size_t)n, fmt, name); /* NOLINT: fmt is ours */
    if (access(out, R_OK) != 0) fail_msg("%s is missing: build the target unpacked first", out);
    return out;
}

typedef struct small {
    const char *name, *checkpoint, *config, *vocabulary, *golden, *title;
    const char *texts[2];
    double gradient; /* tolerance */
    struct {
        const char *layer, *golden;
    } taps[4];
} small;

#define BPE    "tests/golden/clip/bpe_tiny.txt"
#define PIECES "tests/golden/clip/vocab_tiny.txt"
#define ENGLISH                                                                                    \
    {                                                                                              \
        "a photo of a lighthouse at night", "Soap bubbles in the dark!"                            \
    }
#define CHINESE                                                                                    \
    {                                                                                              \
        "一座山", "让生命像夏天的花朵一样美丽"                                        \
    }

static const small nets[] = {
    {"vit",
     "vit.pt",
     NULL,
     BPE,
     "vit",
     "CLIP, a ViT of width 128",
     ENGLISH,
     2e-5,
     {{"visual.ln_pre", "taps.visual.ln_pre"},
      {"visual.transformer.resblocks.1", "taps.visual.transformer.resblocks.1"},
      {"visual.ln_post", "taps.visual.ln_post"}}},
    {"rn",
     "rn.pt",
     NULL,
     BPE,
     "rn",
     "CLIP, a ResNet of width 8",
     ENGLISH,
     1e-4,
     {{"visual.layer4", "taps.visual.layer4"}}},
    {"hf",
     "hf.model.safetensors",
     "tests/golden/clip/hf_config.json",
     BPE,
     "hf",
     "CLIP, a ViT of width 64",
     ENGLISH,
     2e-5,
     {{"visual.transformer.resblocks.0", "taps.visual.transformer.resblocks.0"},
      {"visual.ln_post", "taps.visual.ln_post"}}},
    {"open_clip",
     "open_clip.model.safetensors",
     "tests/golden/clip/open_clip_config.json",
     BPE,
     "hf",
     "CLIP, a ViT of width 64",
     ENGLISH,
     2e-5,
     {{"visual.transformer.resblocks.0", "taps.visual.transformer.resblocks.0"}}},
    {"cn_vit",
     "cn_vit.pt",
     "tests/golden/clip/cn_config.yml",
     PIECES,
     "cn_vit",
     "Chinese-CLIP, a ViT of width 128",
     CHINESE,
     2e-5,
     {{"visual.ln_post", "taps.visual.ln_post"}}},
    {"cn_rn",
     "cn_rn.pt",
     "tests/golden/clip/cn_config.yml",
     PIECES,
     "cn_rn",
     "Chinese-CLIP, a ResNet of width 8",
     CHINESE,
     1e-4,
     {{"visual.layer4", "taps.visual.layer4"}}},
};
enum { NETS = sizeof nets / sizeof *nets };

static fv_network *open_small(const small *s)
{
    fv_network *n;
    fv_network_files files = {.checkpoint = unpacked("%s", s->checkpoint),
                              .config = s->config ? source_file(s->config) : NULL,
                              .vocabulary = source_file(s->vocabulary)};
    MUST(fv_network_open(&n, &files));
    return n;
}

/* --- comparing --- */

static float *golden(const fv_weights *g, const char *name, size_t count)
{
    size_t found;
    float *values = read_golden(g, name, &found);
    if (found != count) fail_msg("golden %s has %zu numbers, not %zu", name, found, count);
    return values;
}

static void compare(const char *net, const char *what, const float *found, const float *expected,
                    size_t count, double tolerance)
{
    double error = relative_l2(found, expected, count);
    if (!(error <= tolerance))
        fail_msg("%s: %s is %.3g off (relative L2), expected <= %.3g", net, what, error, tolerance);
    if (getenv("FEAVIS_SHOW_ERRORS")) print_message("  %-10s %-40s %.2g\n", net, what, error);
}

/* Between [n,c,h,w] and {n,h,w,c}. */
static void to_nhwc(float *out, const float *in, fv_shape s)
{
    size_t hw = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t n = 0; n < (size_t)s.n; n++)
        for (size_t i = 0; i < hw; i++)
            for (size_t k = 0; k < c; k++) out[(n * hw + i) * c + k] = in[(n * c + k) * hw + i];
}

static void to_nchw(float *out, const float *in, fv_shape s)
{
    size_t hw = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t n = 0; n < (size_t)s.n; n++)
        for (size_t i = 0; i < hw; i++)
            for (size_t k = 0; k < c; k++) out[(n * c + k) * hw + i] = in[(n * hw + i) * c + k];
}

static void compare_tap(const small *s, const fv_weights *g, fv_hooks *taps, int i)
{
    fv_shape shape;
    const float *values = fv_hooks_values(taps, i, &shape);
    size_t count = fv_count(shape);
    float *expected = golden(g, s->taps[i].golden, count), *found = malloc(count * sizeof *found);
    assert_non_null(found);
    to_nchw(found, values, shape.h > 1 ? shape : (fv_shape){1, 1, 1, (int)count});
    compare(s->name, s->taps[i].golden, found, expected, count, 2e-5);
    free(found);
    free(expected);
}

/* --- towers --- */

/* Embeddings of both pictures, layers, and d (cos00 + cos11) / d pixels. */
static void check_image(const small *s, const fv_network *n, const fv_weights *g, fv_backend *be)
{
    fv_plan *p;
    fv_hooks *taps;
    const char *names[4];
    int tap_count = 0, side = n->image_size;
    fv_shape shape = {2, side, side, 3};
    size_t pixels = fv_count(shape), dim = (size_t)n->dim;
    MUST(fv_plan_new(&p, be));
    fv_ref x = fv_plan_param(p, "pixels", shape);
    fv_ref y = fv_network_image(n, p, x, true).embedding;
    fv_plan_output(p, y);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_WHOLE | FV_PLAN_POISON));
    for (; tap_count < 4 && s->taps[tap_count].layer; tap_count++)
        names[tap_count] = s->taps[tap_count].layer;
    MUST(fv_hooks_new(&taps, p, names, tap_count));
    float *bytes = golden(g, "pixels", pixels), *in = malloc(pixels * sizeof *in);
    float *seed = golden(g, "text", 2 * dim), *image = golden(g, "image", 2 * dim);
    float *gradient = golden(g, "grad_pixels", pixels), *found = malloc(2 * dim * sizeof *found);
    assert_true(in && found);
    to_nhwc(in, bytes, shape);
    for (size_t i = 0; i < pixels; i++) in[i] /= 255;
    MUST(fv_plan_upload(p, x, in));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_download(p, y, found));
    compare(s->name, "the image embedding", found, image, 2 * dim, 2e-5);
    MUST(fv_plan_output_gradient(p, y, seed));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, x, in));
    to_nchw(bytes, in, shape);
    compare(s->name, "the gradient", bytes, gradient, pixels, s->gradient);
    for (int i = 0; i < tap_count; i++) compare_tap(s, g, taps, i);
    fv_hooks_free(taps);
    fv_plan_free(p);
    free(bytes);
    free(in);
    free(seed);
    free(image);
    free(gradient);
    free(found);
}

/* By the golden's ids and by the texts themselves; at the full length and just long enough. */
static void check_text(const small *s, const fv_network *n, const fv_weights *g, fv_backend *be)
{
    int full = n->text_length;
    size_t dim = (size_t)n->dim;
    float *ids = golden(g, "ids", 2 * (size_t)full), *text = golden(g, "text", 2 * dim);
    float *found = malloc(dim * sizeof *found);
    assert_non_null(found);
    for (int k = 0; k < 4; k++) {
        fv_text_encoder *e;
        fv_tokens t;
        const float *row = ids + (k % 2) * full;
        MUST(n->kind->tokenise(n, s->texts[k % 2], full, &t));
        for (int i = 0; i < full; i++) assert_int_equal(t.ids[i], (int)row[i]);
        MUST(fv_text_encoder_open(&e, n, be, k < 2 ? full : t.used));
        MUST(fv_text_encode(e, s->texts[k % 2], found, NULL));
        compare(s->name, "a text embedding", found, text + (size_t)(k % 2) * dim, dim, 2e-5);
        MUST(fv_text_encode_ids(e, t.ids, t.used, found));
        compare(s->name, "an embedding of ids", found, text + (size_t)(k % 2) * dim, dim, 2e-5);
        fv_text_encoder_close(e);
        fv_tokens_free(&t);
    }
    free(ids);
    free(text);
    free(found);
}

static fv_backend *open_any(const char *name)
{
    fv_backend *be;
    if (strncmp(name, "emulated", 8) != 0) {
        MUST(fv_backend_open(&be, name, 2));
        return be;
    }
    be = calloc(1, sizeof *be);
    assert_non_null(be);
    MUST(fv_cuda_emulated_open(be, name));
    return be;
}

static void towers_agree(const char *backend)
{
    fv_backend *be = open_any(backend);
    for (int i = 0; i < NETS; i++) {
        fv_weights *g;
        fv_network *n = open_small(&nets[i]);
        assert_string_equal(n->title, nets[i].title);
        MUST(fv_weights_open(&g, unpacked("%s.safetensors", nets[i].golden)));
        check_image(&nets[i], n, g, be);
        check_text(&nets[i], n, g, be);
        fv_weights_close(g);
        fv_network_close(n);
    }
    fv_backend_close(be);
}

static void towers_agree_on_cpu(void **state)
{
    (void)state;
    towers_agree("cpu");
}

static void towers_agree_in_double(void **state)
{
    (void)state;
    towers_agree("ref64");
}

static void towers_agree_on_gpu(void **state)
{
    (void)state;
    towers_agree("cuda:fp32");
    towers_agree("cuda:fp32:blas");
    towers_agree("cuda:fp32:own");
}

/* On the first GPU, which has to be there. */
static int run_on_gpu(void)
{
    if (!there_is_a_gpu()) return SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(towers_agree_on_gpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The kernels of cuda, compiled for the host. */
static void towers_agree_on_cuda_emulated(void **state)
{
    (void)state;
    towers_agree("emulated:fp32");
}

/* Two plans of one network share their weights, and compute the same. */
static void a_store_serves_two_plans(void **state)
{
    (void)state;
    fv_backend *be;
    fv_store *store;
    MUST(fv_backend_open(&be, "cpu", 1));
    for (int i = 0; i < NETS; i++) {
        fv_network *n = open_small(&nets[i]);
        float *rows[2];
        MUST(fv_store_new(&store, be));
        n->source.store = store;
        for (int k = 0; k < 2; k++) {
            fv_text_encoder *e;
            rows[k] = malloc((size_t)n->dim * sizeof(float));
            MUST(fv_text_encoder_open(&e, n, be, 0));
            MUST(fv_text_encode(e, nets[i].texts[0], rows[k], NULL));
            fv_plan_info info = fv_plan_describe(fv_text_encoder_plan(e));
            assert_true(info.weight_bytes > 0);
            fv_text_encoder_close(e);
        }
        assert_memory_equal(rows[0], rows[1], (size_t)n->dim * sizeof(float));
        free(rows[0]);
        free(rows[1]);
        fv_store_free(store);
        fv_network_close(n);
    }
    fv_backend_close(be);
}

/* --- positions --- */

static void positions_are_resized_by_each_rule(void **state)
{
    (void)state;
    static const char *const names[] = {"openclip", "cn", "hf"};
    enum { WIDTH = 8, FROM = 4 };
    fv_weights *g;
    MUST(fv_weights_open(&g, unpacked("%s.safetensors", "positions")));
    float *from = golden(g, "from", (1 + FROM * FROM) * WIDTH);
    double in[FROM * FROM * WIDTH], out[7 * 7 * WIDTH];
    for (int i = 0; i < FROM * FROM * WIDTH; i++) in[i] = (double)from[WIDTH + i];
    for (int rule = 0; rule < 3; rule++)
        for (int to = 3; to <= 7; to += 4) {
            char name[32];
            snprintf(name, sizeof name, "%s.%dx%d", names[rule], to, to);
            size_t count = (size_t)(to * to * WIDTH);
            float *expected = golden(g, name, count + WIDTH), found[7 * 7 * WIDTH];
            assert_true(fv_clip_resample(out, in, FROM, to, WIDTH, (fv_clip_positions)rule));
            for (size_t i = 0; i < count; i++) found[i] = (float)out[i];
            compare(name, "rows", found, expected + WIDTH, count, 2e-6);
            free(expected);
        }
    free(from);
    fv_weights_close(g);
}

/* A cfg with another image_size: other positions, and both towers still meet. */
static void another_size_by_its_cfg(void **state)
{
    (void)state;
    static const char cfg[] = "model_cfg:\n  quick_gelu: true\n  vision_cfg: {image_size: 72}\n";
    spill("larger.yml", cfg, sizeof cfg - 1);
    fv_network *n;
    fv_network_files files = {.checkpoint = unpacked("%s", "vit.pt"), .config = "larger.yml"};
    MUST(fv_network_open(&n, &files));
    assert_int_equal(n->image_size, 72);
    assert_int_equal(n->map_side, 6);
    fv_backend *be;
    fv_plan *p;
    MUST(fv_backend_open(&be, "cpu", 1));
    MUST(fv_plan_new(&p, be));
    fv_ref x = fv_plan_input(p, "pixels", (fv_shape){1, 72, 72, 3}, FV_REAL);
    fv_image_layers l = fv_network_image(n, p, x, true);
    fv_plan_output(p, l.embedding);
    MUST(fv_plan_finish(p, FV_PLAN_FORWARD));
    assert_true(fv_same_shape(fv_plan_shape(p, l.map), (fv_shape){1, 1, 37, 128}));
    fv_plan_free(p);
    fv_backend_close(be);
    fv_network_close(n);
    static const char wrong[] = "model_cfg: {vision_cfg: {image_size: 50}}\n";
    spill("wrong.yml", wrong, sizeof wrong - 1);
    files.config = "wrong.yml";
    FAILS(fv_network_open(&n, &files), FV_ERR_SHAPE, "multiple of 12");
    files.checkpoint = unpacked("%s", "rn.pt");
    FAILS(fv_network_open(&n, &files), FV_ERR_SHAPE, "attention pool");
}

/* --- files --- */

static void copy(const char *from, const char *to)
{
    size_t bytes;
    char *data = slurp(from, &bytes);
    spill(to, data, bytes);
    free(data);
}

/* A folder as it is published: the cfg and the vocabulary stand beside the checkpoint. */
static void finds_what_stands_beside(void **state)
{
    (void)state;
    fv_network *n;
    mkdir("folder", 0777);
    copy(unpacked("%s", "hf.model.safetensors"), "folder/model.safetensors");
    fv_network_files files = {.checkpoint = "folder/model.safetensors"};
    FAILS(fv_network_open(&n, &files), FV_ERR_ARGUMENT, "config.json");
    copy(source_file("tests/golden/clip/hf_config.json"), "folder/config.json");
    copy(source_file(BPE), "folder/merges.txt");
    MUST(fv_network_open(&n, &files));
    assert_string_equal(n->config, "folder/config.json");
    assert_string_equal(n->vocabulary, "folder/merges.txt");
    assert_int_equal(n->vocabulary_size, 544);
    fv_network_close(n);
    remove_tree("folder");
}

/* What a file does not tell is asked for, or is in its name. */
static void asks_for_what_no_file_tells(void **state)
{
    (void)state;
    fv_network *n;
    fv_network_files files = {.checkpoint = "plain.safetensors"};
    copy(unpacked("%s", "open_clip.model.safetensors"), "plain.safetensors");
    FAILS(fv_network_open(&n, &files), FV_ERR_ARGUMENT, "quick_gelu");
    static const char *const named[2] = {"vit-laion2b.safetensors", "vit-openai.safetensors"};
    for (int i = 0; i < 2; i++) { /* heads are four of 16, which only the cfg says: 1 of 64 here */
        copy("plain.safetensors", named[i]);
        files.checkpoint = named[i];
        static const char cfg[] = "model_cfg: {vision_cfg: {head_width: 16}, text_cfg: {heads: 3}}";
        FAILS(fv_network_open(&n, &files), FV_ERR_SHAPE, "heads"); /* the text's width is 48 */
        spill("heads.yml", cfg, sizeof cfg - 1);
        files.config = "heads.yml";
        MUST(fv_network_open(&n, &files));
        const fv_clip *c = (const fv_clip *)(const void *)n;
        assert_int_equal(c->image.heads, 4);
        assert_int_equal(c->image.act, FV_ACT_GELU); /* the cfg has the last word */
        fv_network_close(n);
        files.config = NULL;
    }
}

/* What convert writes opens by itself, as the same network. */
static void a_converted_file_needs_no_cfg(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        int tensors;
        double worst;
        fv_network_files files = {.checkpoint = unpacked("%s", nets[i].checkpoint),
                                  .config = nets[i].config ? source_file(nets[i].config) : NULL};
        MUST(fv_convert(&files, "converted.safetensors", false, &tensors, &worst));
        assert_true(tensors > 20 && worst == 0);
        fv_weights *g;
        fv_network *n;
        fv_backend *be;
        fv_network_files made = {.checkpoint = "converted.safetensors",
                                 .vocabulary = source_file(nets[i].vocabulary)};
        MUST(fv_network_open(&n, &made));
        MUST(fv_backend_open(&be, "cpu", 2));
        MUST(fv_weights_open(&g, unpacked("%s.safetensors", nets[i].golden)));
        check_image(&nets[i], n, g, be);
        check_text(&nets[i], n, g, be);
        fv_weights_close(g);
        fv_network_close(n);
        fv_backend_close(be);
    }
}

static void the_manifest_is_the_file(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        char *report;
        size_t bytes;
        int problems;
        FILE *f = open_memstream(&report, &bytes);
        fv_network_files files = {.checkpoint = unpacked("%s", nets[i].checkpoint),
                                  .config = nets[i].config ? source_file(nets[i].config) : NULL};
        MUST(fv_inventory_print(&files, f, &problems));
        fclose(f);
        if (problems || !strstr(report, "are there and have the right shapes"))
            fail_msg("%s: %s", nets[i].name, report);
        free(report);
    }
}

/* A safetensors file of small tensors of these names. */
static void write_names(const char *path, const char *const *names, int count)
{
    static const float zeros[64];
    fv_save_entry entries[16];
    for (int i = 0; i < count; i++)
        entries[i] = (fv_save_entry){
            .name = names[i], .dtype = FV_FILE_F32, .ndim = 2, .dims = {4, 4}, .data = zeros};
    MUST(fv_weights_save(path, entries, (size_t)count, NULL));
}

/* Cut anywhere, a file is refused by its name; nothing is read past its end. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    enum { CUTS = 40 };
    for (int i = 0; i < NETS; i++) {
        size_t bytes;
        char *data = slurp(unpacked("%s", nets[i].checkpoint), &bytes), name[64];
        const char *dot = strrchr(nets[i].checkpoint, '.');
        snprintf(name, sizeof name, "cut%s", dot);
        for (int k = 0; k < CUTS; k++) { /* near both ends, and between */
            size_t step = bytes / CUTS, n = k < 8 ? (size_t)(1 << (2 * k)) - 1
                                            : k >= CUTS - 8
                                                ? bytes - (size_t)(1 << (2 * (CUTS - 1 - k)))
                                                : (size_t)k * step;
            fv_network *net;
            fv_network_files files = {
                .checkpoint = name, .config = nets[i].config ? source_file(nets[i].config) : NULL};
            if (n >= bytes) continue;
            spill(name, data, n);
            fv_status s = fv_network_open(&net, &files);
            if (s >= 0) fail_msg("%s opens with %zu of %zu bytes", nets[i].name, n, bytes);
            if (!strstr(fv_error(), name))
                fail_msg("%s with %zu of %zu bytes: %s", nets[i].name, n, bytes, fv_error());
        }
        free(data);
    }
}

static void relatives_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *names[3], *words;
    } relatives[] = {
        {{"visual.trunk.blocks.0.attn.qkv.weight", "logit_scale", "a"}, "timm"},
        {{"logit_bias", "vision_model.embeddings.patch_embedding.weight", "a"}, "SigLIP"},
        {{"visual.conv1.weight", "visual.attn_pool.query", "a"}, "CoCa"},
        {{"module.visual.conv1.weight", "module.text_decoder.resblocks.0.x", "a"}, "CoCa"},
        {{"visual.conv1.weight", "text.transformer.embeddings.word_embeddings.weight", "a"},
         "text tower of HuggingFace"},
        {{"visual.conv1.weight", "visual.transformer.resblocks.0.ls_1.gamma", "a"}, "layer scale"},
        {{"visual.conv1.weight", "visual.transformer.resblocks.0.attn.Wqkv.weight", "a"},
         "FlashAttention"},
        {{"visual.blocks.0.attn.qkv.weight", "a", "b"}, "EVA"},
        {{"visual.conv1.weight",
          "visual.transformer.resblocks.0.attn.out_proj._packed_params.dtype", "a"},
         "quantised"},
    };
    fv_network *n;
    for (size_t i = 0; i < sizeof relatives / sizeof *relatives; i++) {
        write_names("relative.safetensors", relatives[i].names, 3);
        fv_network_files files = {.checkpoint = "relative.safetensors"};
        FAILS(fv_network_open(&n, &files), FV_ERR_UNSUPPORTED, relatives[i].words);
        REFUSED(relatives[i].words, "info", "relative.safetensors");
        REFUSED(relatives[i].words, "imagine", "moon", "--checkpoint", "relative.safetensors");
        assert_non_null(strstr(fv_error(), "CLIP and Chinese-CLIP"));
    }
    static const char whole[] =
        "\x50\0\0\0\0\0\0\0{\"visual.conv1.weight\":{\"dtype\":\"I8\",\"shape\":[4,4],"
        "\"data_offsets\":[0,16]}}      0123456789abcdef";
    spill("relative.safetensors", whole, sizeof whole - 1);
    FAILS(fv_network_open(&n, &(fv_network_files){.checkpoint = "relative.safetensors"}),
          FV_ERR_UNSUPPORTED, "quantised");
    static const char *const half[] = {"visual.conv1.weight", "visual.layer1.0.conv1.weight"};
    for (int i = 0; i < 2; i++) { /* of a ViT a matrix of another shape, of a ResNet one too few */
        write_names("half.safetensors", half, 1 + i);
        fv_network_files files = {.checkpoint = "half.safetensors"};
        FAILS(fv_network_open(&n, &files), FV_ERR_SHAPE, i ? "layer1.0.conv1" : "visual.conv1");
    }
}

static void broken_files_say_so(void **state)
{
    (void)state;
    size_t bytes;
    fv_network *n;
    char *data = slurp(unpacked("%s", "vit.pt"), &bytes);
    spill("cut.pt", data, bytes / 2);
    free(data);
    fv_network_files files = {.checkpoint = "cut.pt"};
    FAILS(fv_network_open(&n, &files), FV_ERR_FORMAT, "cut.pt");
    files.checkpoint = unpacked("%s", "vit.pt");
    files.vocabulary = source_file(PIECES);
    FAILS(fv_network_open(&n, &files), FV_ERR_FORMAT, "line 2");
    files.vocabulary = NULL;
    files.momentum = true;
    FAILS(fv_network_open(&n, &files), FV_ERR_FORMAT, "momentum");
    static const struct {
        const char *text, *words;
    } configs[] = {
        {"MODEL: {}\n", "model_cfg"},
        {"model_cfg: 3\n", "not a map"},
        {"model_cfg: {vision_cfg: {timm_model_name: vit}}\n", "timm"},
        {"model_cfg: {text_cfg: {hf_model_name: bert}}\n", "HuggingFace"},
        {"model_cfg: {vision_cfg: {head_width: 0}}\n", "head_width"},
        {"model_cfg: {}\npreprocess_cfg: {resize_mode: longest}\n", "resize_mode"},
        {"vision_config: {hidden_act: swish}\n", "hidden_act"},
        {"vision_config: {num_attention_heads: 5}\n", "5 heads"},
    };
    files.momentum = false;
    files.config = "config.yml";
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        spill("config.yml", configs[i].text, strlen(configs[i].text));
        fv_status s = fv_network_open(&n, &files);
        FAILS(s, s, configs[i].words);
        assert_true(s < 0);
    }
}

/* --- photos --- */

static void write_text(const char *path, const char *text)
{
    spill(path, text, strlen(text));
}

/* A published folder with this preprocessor_config.json. */
static fv_status open_folder(fv_network **out, const char *preprocessor)
{
    fv_network_files files = {.checkpoint = "folder/model.safetensors"};
    write_text("folder/preprocessor_config.json", preprocessor);
    return fv_network_open(out, &files);
}

#define COLOURS "\"image_mean\": [0.5, 0.25, 0.125], \"image_std\": [0.5, 1, 2]"

static void photos_as_the_preprocessor_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        float mean, std;
        fv_resize resize;
        int side; /* before the centre is cut out; 0: none */
    } cases[] = {
        {"{}", 0.48145466f, 0.26862954f, FV_RESIZE_SHORTEST, 0},
        {"{\"size\": 40, \"crop_size\": 40, \"resample\": 3, " COLOURS "}", 0.5f, 0.5f,
         FV_RESIZE_SHORTEST, 0},
        {"{\"size\": {\"shortest_edge\": 48}, \"crop_size\": {\"height\": 40, \"width\": 40}}",
         0.48145466f, 0.26862954f, FV_RESIZE_SHORTEST, 48},
        {"{\"size\": {\"height\": 40, \"width\": 40}, \"do_center_crop\": false, " COLOURS "}",
         0.5f, 0.5f, FV_RESIZE_SQUASH, 0},
        {"{\"do_normalize\": false, " COLOURS "}", 0, 1, FV_RESIZE_SHORTEST, 0},
    };
    static const struct {
        const char *text, *words;
        fv_status status;
    } wrong[] = {
        {"[]", "not a map", FV_ERR_FORMAT},
        {"{\"resample\": 2}", "resample is 2", FV_ERR_UNSUPPORTED},
        {"{\"size\": {\"height\": 40, \"width\": 41}}", "41 x 40", FV_ERR_UNSUPPORTED},
        {"{\"size\": {\"longest_edge\": 40}}", "0 x 0", FV_ERR_UNSUPPORTED},
        {"{\"size\": 32, \"crop_size\": 40}", "less than crop_size", FV_ERR_UNSUPPORTED},
        {"{\"size\": 48, \"crop_size\": 48}", "48 pixels", FV_ERR_SHAPE},
        {"{\"size\": -3}", "size is -3", FV_ERR_FORMAT},
        {"{\"image_mean\": [0.5]}", "image_mean", FV_ERR_FORMAT},
    };
    fv_network *n;
    mkdir("folder", 0777);
    copy(unpacked("%s", "hf.model.safetensors"), "folder/model.safetensors");
    copy(source_file("tests/golden/clip/hf_config.json"), "folder/config.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        MUST(open_folder(&n, cases[i].text));
        assert_true(n->mean[0] == cases[i].mean && n->std[0] == cases[i].std);
        assert_int_equal(n->resize, cases[i].resize);
        assert_int_equal(n->resize_side, cases[i].side);
        fv_network_close(n);
        fv_network_files files = {.checkpoint = "folder/model.safetensors"};
        fv_network_files made = {.checkpoint = "converted.safetensors"};
        int tensors;
        double worst;
        MUST(fv_convert(&files, made.checkpoint, false, &tensors, &worst));
        MUST(fv_network_open(&n, &made)); /* which has no cfg beside it */
        assert_true(n->mean[0] == cases[i].mean && n->std[0] == cases[i].std);
        assert_int_equal(n->resize, cases[i].resize);
        assert_int_equal(n->resize_side, cases[i].side);
        fv_network_close(n);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        FAILS(open_folder(&n, wrong[i].text), wrong[i].status, wrong[i].words);
    remove_tree("folder");
}

/* The network sees the middle 40 of 48 pixels. */
static void photos_are_resized_before_they_are_cut(void **state)
{
    (void)state;
    enum { WIDE = 48, SIDE = 40, SKIP = (WIDE - SIDE) / 2 };
    static float whole[WIDE * WIDE * 3], cut[SIDE * SIDE * 3];
    uint8_t rgb[90 * 61 * 3];
    for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * 37 % 251);
    fv_picture p = {90, 61, rgb};
    fv_options *o;
    fv_model *m;
    mkdir("folder", 0777);
    copy(unpacked("%s", "hf.model.safetensors"), "folder/model.safetensors");
    copy(source_file("tests/golden/clip/hf_config.json"), "folder/config.json");
    write_text("folder/preprocessor_config.json", "{\"size\": 48, \"crop_size\": 40}");
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "checkpoint", "folder/model.safetensors"));
    MUST(fv_options_set(o, "backend", "cpu"));
    MUST(fv_model_open(&m, o));
    MUST(fv_model_look_at(m, &p, cut));
    MUST(fv_picture_square(&p, WIDE, FV_SQUARE_CENTRE, whole));
    for (int y = 0; y < SIDE; y++)
        assert_memory_equal(cut + y * SIDE * 3, whole + ((y + SKIP) * WIDE + SKIP) * 3,
                            SIDE * 3 * sizeof *cut);
    fv_model_close(m);
    fv_options_free(o);
    remove_tree("folder");
}

/* --- terms --- */

/* loss of the picture as it begins, and after some steps, for one term of the small ViT. */
static void climb(const char *term, float *before, float *after)
{
    fv_options *o;
    fv_model *m;
    fv_session *s;
    fv_scores scores;
    bool finite;
    const char *const settings[][2] = {{"checkpoint", unpacked("%s", "vit.pt")},
                                       {"vocab", source_file(BPE)},
                                       {"backend", "ref"},
                                       {"size", "48"},
                                       {"steps", "6"},
                                       {"views", "1"},
                                       {"scale-min", "1"},
                                       {"start-noise", "0.5"},
                                       {"rate", "0.003"},
                                       {"term", term}};
    MUST(fv_options_new(&o));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        MUST(fv_options_set(o, settings[i][0], settings[i][1]));
    static const char *const still[] = {"shift",     "rotate",       "noise",
                                        "noise-end", "colour-shift", "tv"};
    for (size_t i = 0; i < sizeof still / sizeof *still; i++)
        MUST(fv_options_set(o, still[i], "0"));
    MUST(fv_model_open(&m, o));
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_forward(s, FV_VIEWS_WHOLE, &scores, &finite));
    *before = scores.parts[0];
    if (after) {
        MUST(fv_session_run(s, NULL, NULL));
        MUST(fv_session_forward(s, FV_VIEWS_WHOLE, &scores, &finite));
        *after = scores.parts[0];
    }
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

static void tokens_and_heads_can_be_asked(void **state)
{
    (void)state;
    static const char *const terms[] = {
        "resblocks.1:45@0,5",              /* a channel of a token */
        "resblocks.1@0,0",                 /* the class token */
        "resblocks.0.attn.heads:64-127",   /* the second head */
        "resblocks.1.attn.heads:0-63@0,0", /* what the first gives to the class */
        "resblocks.1.mlp.c_fc:300@max",
        "visual.projection:7",
        "image_embedding:text=moon"};
    float before, after, parts[2], whole;
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        climb(terms[i], &before, &after);
        if (!(after > before)) fail_msg("%s: %g -> %g", terms[i], (double)before, (double)after);
    }
    climb("resblocks.0.attn.heads:0-63", &parts[0], NULL);
    climb("resblocks.0.attn.heads:64-127", &parts[1], NULL);
    climb("resblocks.0.attn.heads", &whole, NULL);
    assert_true(fabsf(parts[0] - parts[1]) >
                1e-3f * whole); /* two of the same would prove little */
    assert_true(fabsf((parts[0] + parts[1]) / 2 - whole) < 1e-5f * whole);
}

/* --- the program --- */

static void the_program_takes_every_layout(void **state)
{
    (void)state;
    uint8_t rgb[30 * 20 * 3];
    for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * 37 % 251);
    fv_picture p = {30, 20, rgb};
    mkdir("photos", 0777);
    MUST(fv_picture_write(&p, "photos/odd.png", NULL));
    for (int i = 0; i < NETS; i++) {
        const small *s = &nets[i];
        static const char none[] = "model_cfg: {quick_gelu: true}\n"; /* as these files have it */
        const char *config = s->config ? source_file(s->config) : "none.yml";
        spill("none.yml", none, sizeof none - 1);
        spill("texts.csv", s->texts[0], strlen(s->texts[0]));
        char *checkpoint = strdup(unpacked("%s", s->checkpoint));
        char *vocabulary = strdup(source_file(s->vocabulary));
        assert_true(checkpoint && vocabulary);
#define MODEL "--checkpoint", checkpoint, "--vocab", vocabulary, "--config", config
        char *out = SUCCEEDS("info", checkpoint, "--config", config);
        assert_non_null(strstr(out, "are there and have the right shapes"));
        free(out);
        out = SUCCEEDS("info", "--layers", MODEL);
        assert_non_null(strstr(out, s->taps[0].layer));
        free(out);
        SUCCEEDS_QUIETLY("imagine", s->texts[0], MODEL, "--steps", "2", "--size", "48", "--quiet",
                         "--out", "dreamt.png");
        SUCCEEDS_QUIETLY("match", "--images", "photos", "--texts", "texts.csv", "--quiet", MODEL);
        SUCCEEDS_QUIETLY("probe", "--image", "photos/odd.png", "--text", s->texts[0], "--out",
                         "probed", MODEL, "--taps", s->taps[0].layer);
        SUCCEEDS_QUIETLY("convert", checkpoint, "--config", config, "--out", "made.safetensors");
        SUCCEEDS_QUIETLY("imagine", s->texts[0], "--checkpoint", "made.safetensors", "--vocab",
                         vocabulary, "--steps", "2", "--size", "48", "--quiet", "--out",
                         "again.png");
        fv_picture a, b;
        MUST(fv_picture_read(&a, "dreamt.png"));
        MUST(fv_picture_read(&b, "again.png"));
        assert_memory_equal(a.rgb, b.rgb, (size_t)a.width * (size_t)a.height * 3);
        fv_picture_free(&a);
        fv_picture_free(&b);
        remove("dreamt.png");
        remove("again.png");
        free(checkpoint);
        free(vocabulary);
    }
    REFUSED("bpe_simple_vocab", "imagine", "moon", "--quiet", "--checkpoint",
            unpacked("%s", "vit.pt"));
}

int main(int count, char **args)
{
    if (count > 1 && strcmp(args[1], "gpu") == 0) return run_on_gpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(towers_agree_on_cpu),
        cmocka_unit_test(towers_agree_in_double),
        cmocka_unit_test(towers_agree_on_cuda_emulated),
        cmocka_unit_test(a_store_serves_two_plans),
        cmocka_unit_test(positions_are_resized_by_each_rule),
        cmocka_unit_test(another_size_by_its_cfg),
        cmocka_unit_test(finds_what_stands_beside),
        cmocka_unit_test(asks_for_what_no_file_tells),
        cmocka_unit_test(a_converted_file_needs_no_cfg),
        cmocka_unit_test(the_manifest_is_the_file),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(relatives_are_refused_by_name),
        cmocka_unit_test(broken_files_say_so),
        cmocka_unit_test(photos_as_the_preprocessor_says),
        cmocka_unit_test(photos_are_resized_before_they_are_cut),
        cmocka_unit_test(tokens_and_heads_can_be_asked),
        cmocka_unit_test(the_program_takes_every_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
