/* Networks as rows: a family that only this file knows dreams, matches and is probed like any
 * other, and two networks (or one twice) stand in one plan under names of their own. */
#include <math.h>

#include "feavis/checkpoint.h"
#include "feavis/critic.h"
#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/imagine/model.h"
#include "feavis/probe.h"
#include "kernels/rng.h"
#include "model/nets/brivl.h"
#include "model/nets/manifest.h"
#include "tests/check.h"

enum { SIDE = 16, MAP = 8, DIM = 4, BYTES = 256, LENGTH = 12 };

/* --- a family of this file's own: colours for pictures, a bag of bytes for texts --- */

static fv_ref map_of(fv_builder *b, const fv_network *n, fv_ref x)
{
    (void)n;
    fv_layer l = fv_load_linear(b, "colours", MAP, 3);
    return fv_linear(b->plan, "map", x, l.w, l.b, FV_ACT_GELU);
}

static fv_ref head_of(fv_builder *b, const fv_network *n, fv_ref map)
{
    (void)n;
    fv_layer l = fv_load_linear(b, "head", DIM, MAP);
    fv_ref y =
        fv_linear(b->plan, "projected", fv_mean_hw(b->plan, "mean", map), l.w, l.b, FV_ACT_NONE);
    return fv_l2norm(b->plan, "image_embedding", y, 1e-12);
}

static fv_ref text_of(fv_builder *b, const fv_network *n, int length, fv_text_inputs *in)
{
    (void)n;
    float zeros[LENGTH * DIM] = {0};
    *in = (fv_text_inputs){fv_plan_input(b->plan, "ids", (fv_shape){1, 1, 1, length}, FV_I32),
                           FV_NONE,
                           fv_plan_input(b->plan, "pool", (fv_shape){1, 1, 1, length}, FV_REAL)};
    fv_ref rows = fv_plan_weight(b->plan, "rows", (fv_shape){1, 1, length, DIM}, zeros);
    fv_ref x = fv_embed(b->plan, "bytes", in->ids, fv_load_linear(b, "bytes", BYTES, DIM).w, rows);
    return fv_l2norm(b->plan, "text_embedding", fv_mix_rows(b->plan, "bag", x, in->pool), 1e-12);
}

static fv_status tokenise(const fv_network *n, const char *utf8, int length, fv_tokens *out)
{
    (void)n;
    *out = (fv_tokens){calloc((size_t)length, sizeof(int32_t)), length, 0, 0, 0};
    for (; utf8[out->used] && out->used < length; out->used++)
        out->ids[out->used] = (unsigned char)utf8[out->used];
    return FV_OK;
}

static void text_rows(const int32_t *ids, int length, int used, float *key_bias, float *pool)
{
    (void)ids, (void)key_bias;
    for (int i = 0; i < length; i++) pool[i] = i < used ? 1.0f / (float)used : 0;
}

static void describe(const fv_network *n, char *out, size_t size)
{
    snprintf(out, size, "colours at %d x %d pixels", n->image_size, n->image_size);
}

static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    (void)w;
    *mine = files->checkpoint && strstr(files->checkpoint, "colours.safetensors");
    return FV_OK;
}

static void close_colours(fv_network *n)
{
    fv_weights_close((fv_weights *)(uintptr_t)n->source.weights);
    free(n);
}

static fv_status open_colours(fv_network **out, const fv_network_files *files);
static const fv_network_kind colours = {.name = "colours",
                                        .detect = detect,
                                        .open = open_colours,
                                        .close = close_colours,
                                        .map = map_of,
                                        .head = head_of,
                                        .text = text_of,
                                        .tokenise = tokenise,
                                        .text_rows = text_rows,
                                        .describe = describe};

static fv_status open_colours(fv_network **out, const fv_network_files *files)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, files->checkpoint));
    fv_network *n = calloc(1, sizeof *n);
    assert_non_null(n);
    *n = (fv_network){.kind = &colours,
                      .title = "Colours",
                      .source = {.weights = w, .root = ""},
                      .image_size = SIDE,
                      .mean = {0.5f, 0.5f, 0.5f},
                      .std = {0.25f, 0.25f, 0.25f},
                      .map_side = SIDE,
                      .map_channels = MAP,
                      .dim = DIM,
                      .text_limit = LENGTH,
                      .text_length = LENGTH,
                      .vocabulary_size = BYTES,
                      .ids = BYTES};
    *out = n;
    return FV_OK;
}

/* The first `count` of its six tensors, colours.weight with so many rows. */
static void write_colours(const char *path, size_t count, int rows)
{
    static float values[BYTES * DIM];
    fv_save_entry entries[] = {{"colours.weight", FV_FILE_F32, 2, {rows, 3}, values},
                               {"colours.bias", FV_FILE_F32, 1, {MAP}, values + 100},
                               {"head.weight", FV_FILE_F32, 2, {DIM, MAP}, values + 200},
                               {"head.bias", FV_FILE_F32, 1, {DIM}, values + 300},
                               {"bytes.weight", FV_FILE_F32, 2, {BYTES, DIM}, values},
                               {"bytes.bias", FV_FILE_F32, 1, {BYTES}, values + 400}};
    for (uint32_t i = 0; i < BYTES * DIM; i++)
        values[i] = fv_uniform(fv_philox(9, i, 0, 0, 0).v[0]) - 0.5f;
    MUST(fv_weights_save(path, entries, count, NULL));
}

static void a_family_from_outside_does_all_that_others_do(void **state)
{
    (void)state;
    fv_options *o;
    fv_model *m;
    fv_session *s;
    fv_progress first, last;
    float dreamed = 0;
    fv_picture picture;
    write_colours("colours.safetensors", 6, MAP);
    MUST(fv_options_new(&o));
    const char *const settings[][2] = {
        {"checkpoint", "colours.safetensors"},
        {"text", "moon"},
        {"size", "24"},
        {"steps", "30"},
        {"rate", "0.01"}, /* and nothing moves but the picture */
        {"scale-min", "1"},
        {"shift", "0"},
        {"rotate", "0"},
        {"noise", "0"},
        {"noise-end", "0"},
        {"colour-shift", "0"},
        {"backend", "ref"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        MUST(fv_options_set(o, settings[i][0], settings[i][1]));
    MUST(fv_model_open(&m, o));
    assert_string_equal(fv_model_title(m), "Colours");
    assert_int_equal(fv_model_channels(m), MAP);

    /* dreams, of a text and of a channel */
    for (int channel = 0; channel < 2; channel++) {
        MUST(fv_options_set(o, "text", channel ? "" : "moon"));
        MUST(fv_options_set(o, "llp", channel ? "3" : ""));
        MUST(fv_session_open(&s, m, o));
        MUST(fv_session_step(s, &first));
        MUST(fv_session_run(s, NULL, NULL));
        MUST(fv_session_picture(s, &picture, &last));
        if (!(channel ? last.neuron > first.neuron : last.cosine > first.cosine))
            fail_msg("cosine %g -> %g, neuron %g -> %g", (double)first.cosine, (double)last.cosine,
                     (double)first.neuron, (double)last.neuron);
        fv_session_close(s);
        if (!channel) {
            MUST(fv_picture_write(&picture, "moon.png", NULL));
            dreamed = last.cosine;
        }
        fv_picture_free(&picture);
    }

    /* matches: the picture's cosine is what the session said of it, but for 8 bits */
    fv_embedder *e;
    char path[] = "moon.png", *paths[] = {path};
    float image[DIM], text[DIM], cosine = 0;
    bool read;
    MUST(fv_embedder_open(&e, m, 1));
    MUST(fv_embed_pictures(e, paths, 1, image, &read, NULL, NULL));
    fv_embedder_close(e);
    MUST(fv_model_embed_text(m, "moon", text, NULL));
    for (int i = 0; i < DIM; i++) cosine += image[i] * text[i];
    assert_true(read && fabsf(cosine - dreamed) < 0.01f); /* 24 pixels there, 16 here */

    /* is probed, with a tensor of its own */
    float probed;
    MUST(fv_probe_run(
        m, &(fv_probe){.image = "moon.png", .text = "moon", .taps = "projected", .folder = "probe"},
        &probed));
    assert_true(fabsf(probed - cosine) < 1e-5f); /* the same network, twice */
    fv_npy *a;
    MUST(fv_npy_open(&a, "probe/projected.npy"));
    assert_int_equal(fv_entry_count(fv_npy_entry(a)), DIM);
    fv_npy_close(a);

    /* and is asked what excites it */
    fv_critic *critic;
    fv_channel best[3];
    int count = 3;
    MUST(fv_picture_read(&picture, "moon.png"));
    MUST(fv_critic_open(&critic, m));
    MUST(fv_critic_channels(critic, &picture, best, &count));
    assert_int_equal(count, 3);
    fv_critic_close(critic);
    fv_picture_free(&picture);
    fv_model_close(m);
    fv_options_free(o);
}

static void says(const char *checkpoint, bool fits, const char *words)
{
    char *text = NULL;
    bool found;
    MUST(fv_checkpoint_describe(&text, checkpoint, NULL, &found));
    assert_int_equal(found, fits);
    if (!strstr(text, words)) fail_msg("no \"%s\" in:\n%s", words, text);
    free(text);
}

/* What its builders ask for is what a report looks for, and what a smaller file holds. */
static void its_manifest_comes_of_its_builders(void **state)
{
    static const fv_needed expected[] = {
        {"colours.weight", 2, {MAP, 3}, false},   {"colours.bias", 1, {MAP}, false},
        {"head.weight", 2, {DIM, MAP}, false},    {"head.bias", 1, {DIM}, false},
        {"bytes.weight", 2, {BYTES, DIM}, false}, {"bytes.bias", 1, {BYTES}, false},
    };
    fv_network *n;
    fv_manifest m;
    int tensors;
    double worst;
    (void)state;
    write_colours("colours.safetensors", 6, MAP);
    MUST(fv_network_open(&n, &(fv_network_files){.checkpoint = "colours.safetensors"}));
    MUST(fv_manifest_make(&m, n, false));
    assert_int_equal(m.count, 6);
    for (int i = 0; i < 6; i++) {
        bool fits;
        assert_string_equal(m.at[i].name, expected[i].name);
        assert_int_equal(m.at[i].ndim, expected[i].ndim);
        assert_memory_equal(m.at[i].dims, expected[i].dims, sizeof expected[i].dims);
        assert_false(m.at[i].unused);
        assert_non_null(fv_needed_find(&m.at[i], n->source.weights, &fits));
        assert_true(fits);
    }
    fv_manifest_clear(&m);
    fv_network_close(n);

    says("colours.safetensors", true,
         "as Colours: colours at 16 x 16 pixels, texts of up to 12 tokens");
    says("colours.safetensors", true, "  colours.*, head.* and bytes.*\n    all 6 tensors");
    write_colours("five-colours.safetensors", 5, MAP);
    says("five-colours.safetensors", false, "    missing      bytes.bias\n    1 missing, 0 of");
    write_colours("odd-colours.safetensors", 6, MAP + 1);
    says("odd-colours.safetensors", false,
         "    wrong shape  colours.weight is [9, 3], expected [8, 3]\n    0 missing, 1 of wrong");
    MUST(fv_checkpoint_convert("colours.safetensors", NULL, "copied-colours.safetensors", false,
                               false, &tensors, &worst));
    assert_int_equal(tensors, 6);
    says("copied-colours.safetensors", true, "all 6 tensors");
    FAILS(fv_checkpoint_convert("five-colours.safetensors", NULL, "x", false, false, &tensors,
                                &worst),
          FV_ERR_SHAPE, "tensor bytes.bias is missing");
}

/* A tensor that is asked for twice, or is known and then read, is one; sizes that the checkpoint
 * should say and does not are not known, nor is what follows from them. */
static fv_ref odd_map(fv_builder *b, const fv_network *n, fv_ref x)
{
    fv_load_unused(b, "colours.weight");
    fv_load_unused(b, "counter");
    fv_ref y = map_of(b, n, x);
    fv_load_linear(b, "colours", MAP, 3);
    fv_layer open = fv_load_linear(b, "missing", 0, MAP);
    y = fv_linear(b->plan, "missing", y, open.w, open.b, FV_ACT_NONE);
    fv_layer next = fv_load_linear(b, "next", 5, fv_plan_shape(b->plan, y).c);
    return fv_linear(b->plan, "next", y, next.w, next.b, FV_ACT_NONE);
}

static fv_ref odd_head(fv_builder *b, const fv_network *n, fv_ref map)
{
    (void)n;
    return fv_add(b->plan, "add", map,
                  fv_plan_input(b->plan, "x", (fv_shape){1, 1, 1, 1}, FV_REAL));
}

static fv_ref head_through(fv_builder *b, const fv_network *n, fv_ref map)
{
    (void)b, (void)n;
    return map;
}

static fv_ref decode(fv_builder *b, const fv_network *n, fv_ref latent)
{
    (void)n;
    fv_layer l = fv_load_linear(b, "code", 3, fv_plan_shape(b->plan, latent).c);
    return fv_linear(b->plan, "code", latent, l.w, l.b, FV_ACT_NONE);
}

static void what_is_not_known_stays_open(void **state)
{
    static const fv_needed expected[] = {
        {"colours.weight", 2, {MAP, 3}, false}, {"counter", 0, {0}, true},
        {"colours.bias", 1, {MAP}, false},      {"missing.weight", 2, {0, MAP}, false},
        {"missing.bias", 1, {0}, false},        {"next.weight", 2, {5, 0}, false},
        {"next.bias", 1, {5}, false},           {"code.weight", 2, {3, 2}, false},
        {"code.bias", 1, {3}, false},
    };
    const fv_network_kind odd = {.name = "odd", .map = odd_map, .head = odd_head};
    fv_network *n;
    fv_manifest m;
    (void)state;
    MUST(fv_network_open(&n, &(fv_network_files){.checkpoint = "colours.safetensors"}));
    n->kind = &odd; /* whose head fits nothing that is known */
    FAILS(fv_manifest_make(&m, n, false), FV_ERR_SHAPE, "add: x2 is {1,1,1,1}, expected");
    const fv_network_kind mapped = {
        .name = "odd", .map = odd_map, .head = head_through, .decode = decode};
    n->latent_channels = 2;
    n->kind = &mapped;
    MUST(fv_manifest_make(&m, n, false));
    assert_int_equal(m.count, 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(m.at[i].name, expected[i].name);
        assert_int_equal(m.at[i].ndim, expected[i].ndim);
        assert_memory_equal(m.at[i].dims, expected[i].dims, sizeof expected[i].dims);
        assert_int_equal(m.at[i].unused, expected[i].unused);
    }
    fv_manifest_clear(&m);
    n->kind = &colours;
    fv_network_close(n);
}

/* --- two in one plan --- */

enum { PIXELS = 72 };

/* Embedding and gradient of <embedding, 1> by the networks from `first` to `last` at once. */
static void embed_together(fv_backend *be, fv_network *const n[2], int first, int last,
                           float *embeddings[2], float *gradient)
{
    fv_plan *p;
    fv_ref y[2], x;
    static float pixels[PIXELS * PIXELS * 3];
    for (uint32_t i = 0; i < PIXELS * PIXELS * 3; i++)
        pixels[i] = fv_uniform(fv_philox(4, i, 0, 0, 0).v[0]);
    MUST(fv_plan_new(&p, be));
    x = fv_plan_param(p, "pixels", (fv_shape){1, PIXELS, PIXELS, 3});
    for (int i = first; i <= last; i++) {
        fv_plan_push(p, "guide%d.", i);
        y[i] = fv_network_image(n[i], p, x, true).embedding;
        fv_plan_pop(p);
        fv_plan_output(p, y[i]);
    }
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD));
    assert_true(fv_plan_find(p, first ? "guide1.image_embedding" : "guide0.image_embedding") >= 0);
    MUST(fv_plan_upload(p, x, pixels));
    MUST(fv_plan_forward(p));
    for (int i = first; i <= last; i++) {
        float seed[4096];
        for (int k = 0; k < n[i]->dim; k++) seed[k] = 1;
        MUST(fv_plan_download(p, y[i], embeddings[i]));
        MUST(fv_plan_output_gradient(p, y[i], seed));
    }
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, x, gradient));
    fv_plan_free(p);
}

static void two_networks_stand_in_one_plan(void **state)
{
    (void)state;
    fv_backend *be;
    fv_network *n[2];
    fv_store *stores[2];
    static float gradients[3][PIXELS * PIXELS * 3], values[2][2][4096];
    MUST(fv_backend_open(&be, "cpu", 2));
    for (int i = 0; i < 2; i++) {
        const char *unpacked = getenv("FEAVIS_UNPACKED");
        char checkpoint[1024];
        snprintf(checkpoint, sizeof checkpoint, "%s/%s.pth", unpacked, i ? "b0" : "lite0");
        const char *cfg =
            source_file(i ? "tests/golden/towers/b0/cfg.yml" : "tests/golden/towers/lite0/cfg.yml");
        MUST(fv_network_open(&n[i], &(fv_network_files){.config = cfg, .checkpoint = checkpoint}));
        MUST(fv_store_new(&stores[i], be));
        n[i]->source.store = stores[i];
        assert_true(n[i]->dim <= 4096);
    }
    float *alone[2] = {values[0][0], values[0][1]}, *both[2] = {values[1][0], values[1][1]};
    embed_together(be, n, 0, 0, alone, gradients[0]);
    embed_together(be, n, 1, 1, alone, gradients[1]);
    size_t bytes = fv_store_bytes(stores[0]) + fv_store_bytes(stores[1]);
    embed_together(be, n, 0, 1, both, gradients[2]);
    assert_int_equal(fv_store_bytes(stores[0]) + fv_store_bytes(stores[1]), bytes); /* no copy */
    for (int i = 0; i < 2; i++)
        assert_memory_equal(values[0][i], values[1][i], (size_t)n[i]->dim * sizeof(float));
    double largest = 0;
    for (int i = 0; i < PIXELS * PIXELS * 3; i++)
        largest = fmax(largest, fabs((double)gradients[2][i]));
    for (int i = 0; i < PIXELS * PIXELS * 3; i++) /* a sum of two floats, in either order */
        assert_true(fabs((double)gradients[2][i] - (double)gradients[0][i] -
                         (double)gradients[1][i]) < 1e-5 * largest);
    for (int i = 0; i < 2; i++) {
        fv_store_free(stores[i]);
        fv_network_close(n[i]);
    }
    fv_backend_close(be);
}

int main(void)
{
    if (fv_network_register(&colours) < 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_from_outside_does_all_that_others_do),
        cmocka_unit_test(its_manifest_comes_of_its_builders),
        cmocka_unit_test(what_is_not_known_stays_open),
        cmocka_unit_test(two_networks_stand_in_one_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
