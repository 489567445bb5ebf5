/* Trunks that are wider at their end than their family: more channels in the last block and in
 * conv_head (CNN_LAST_EXPANDED, CNN_LAST_CHANNELS, CNN_HEAD of a cfg).
 *
 * The checkpoints are made here: the towers of tests/golden/towers/{lite0,b0}, with the channels
 * that `widen` adds. The expected values are PyTorch's in double, by tests/golden/make_wide.py,
 * which adds the same ones. Widths are odd numbers, so that no vector and no tile is full.
 *
 * Tolerances are those of test_tower.c, relative L2: values 2e-5, gradients 1e-3, in double 1e-5.
 */
#include <unistd.h>

#include "feavis/checkpoint.h"
#include "feavis/session.h"
#include "model/nets/brivl.h"
#include "tests/golden.h"
#include "tests/toy.h"

enum { EXPANDED = 1161, CHANNELS = 331, HEAD = 1291, OWN_HEAD = 1280, PATH_BYTES = 1024 };

/* --- the checkpoints --- */

#define BLOCK "imgencoder.backbone.blocks.6.0."

static const struct {
    const char *name;
    int rows, columns; /* 0: as many as there are */
} widths[] = {
    {BLOCK "conv_pw.", EXPANDED, 0},
    {BLOCK "bn1.", EXPANDED, 0},
    {BLOCK "conv_dw.", EXPANDED, 0},
    {BLOCK "bn2.", EXPANDED, 0},
    {BLOCK "se.conv_reduce.weight", 0, EXPANDED},
    {BLOCK "se.conv_expand.", EXPANDED, 0},
    {BLOCK "conv_pwl.", CHANNELS, EXPANDED},
    {BLOCK "bn3.", CHANNELS, 0},
    {"imgencoder.backbone.conv_head.", HEAD, CHANNELS},
    {"imgencoder.backbone.bn2.", HEAD, 0},
    {"imgencoder.learnable.max_pool.0.weight", 0, HEAD},
};
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Number i of a tensor, by a hash; `fan`: numbers in a row, 0 in a vector. */
static float fill(const char *name, size_t i, size_t fan)
{
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    uint32_t x = ((uint32_t)i + h) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    float u = ((float)(x >> 8 & 65535) - 32768) / 65536;
    return fan == 0 ? u / 4 : u * (float)(3 / sqrt((double)fan));
}

static float scale(const char *name, size_t i, size_t fan)
{
    bool near_one = ends(name, "running_var") || (fan == 0 && ends(name, "weight"));
    return fill(name, i, fan) + (near_one ? 1 : 0);
}

/* The tensor with its new channels; from these to the old ones are zeros if it is blocked. */
static void widen(fv_save_entry *out, const fv_entry *e, bool blocked)
{
    int64_t old[FV_MAX_DIMS];
    *out = (fv_save_entry){.name = strstr(e->name, "encoder.") - 3, .ndim = e->ndim};
    if (strncmp(out->name, "img", 3) != 0) out->name -= 1; /* "textencoder." */
    memcpy(old, e->dims, sizeof old);
    memcpy(out->dims, e->dims, sizeof out->dims);
    for (int i = 0; i < COUNT(widths); i++) {
        if (strncmp(out->name, widths[i].name, strlen(widths[i].name)) != 0) continue;
        if (widths[i].rows) out->dims[0] = widths[i].rows;
        if (widths[i].columns) out->dims[1] = widths[i].columns;
    }
    size_t taps = 1, row = 1;
    for (int i = 1; i < e->ndim; i++) row *= (size_t)out->dims[i];
    for (int i = 2; i < e->ndim; i++) taps *= (size_t)out->dims[i];
    size_t count = (size_t)out->dims[0] * row, kept = e->ndim > 1 ? (size_t)old[1] * taps : 1;
    float *from = malloc(fv_entry_count(e) * sizeof *from), *to = malloc(count * sizeof *to);
    assert_true(from && to);
    fv_entry_read_f32(e, from);
    for (size_t i = 0; i < count; i++) {
        size_t r = i / row, c = i % row;
        bool there = r < (size_t)old[0];
        if (there && c < kept)
            to[i] = from[r * kept + c];
        else
            to[i] = there && blocked ? 0 : scale(out->name, i, e->ndim > 1 ? row : 0);
    }
    out->data = to;
    free(from);
}

static const char *packed(const char *tower)
{
    static char path[PATH_BYTES];
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/%s.pth", folder ? folder : ".", tower);
    return path;
}

static const char *golden_file(const char *before, const char *tower, const char *behind)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/towers/%s%s%s", before, tower, behind);
    return source_file(path);
}

/* wide.safetensors: the towers in use alone. */
static void save_wide(const char *tower, bool blocked)
{
    fv_weights *w;
    MUST(fv_weights_open(&w, packed(tower)));
    fv_save_entry *entries = calloc(fv_weights_count(w), sizeof *entries);
    assert_non_null(entries);
    size_t count = 0;
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        bool used = strstr(e->name, "learnable.imgencoder.") == e->name ||
                    strstr(e->name, "learnable.textencoder.") == e->name;
        if (used && e->ndim && !strstr(e->name, ".classifier."))
            widen(&entries[count++], e, blocked);
    }
    MUST(fv_weights_save("wide.safetensors", entries, count, NULL));
    for (size_t i = 0; i < count; i++) free((void *)(uintptr_t)entries[i].data);
    free(entries);
    fv_weights_close(w);
}

/* wide.yml: that of the tower, for another CNN if it is not NULL, with `keys` behind. */
static void save_cfg(const char *tower, const char *cnn, const char *keys)
{
    char *text = slurp(golden_file("", tower, "/cfg.yml"), NULL);
    FILE *to = fopen("wide.yml", "w");
    assert_non_null(to);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, "ENCODER:"))
            fprintf(to, "    ENCODER: '%s'\n", golden_file("", tower, "/enc"));
        else if (cnn && strstr(line, "CNN:"))
            fprintf(to, "    CNN: %s\n", cnn);
        else
            fprintf(to, "%s\n", line);
    fprintf(to, "%s", keys);
    assert_int_equal(fclose(to), 0);
    free(text);
}

#define KEYS "    CNN_LAST_EXPANDED: 1161\n    CNN_LAST_CHANNELS: 331\n    CNN_HEAD: 1291\n"

static void save_files(const char *tower, bool blocked)
{
    save_wide(tower, blocked);
    save_cfg(tower, NULL, KEYS);
}

static int remove_files(void **state)
{
    (void)state;
    unlink("wide.safetensors");
    unlink("wide.yml");
    return 0;
}

/* --- what it computes --- */

typedef struct result {
    fv_shape shape;
    float *map, *embedding, *gradient; /* the map {1,h,w,C}; of <embedding, text> in {1,S,S,3} */
} result;

static void clear(result *r)
{
    free(r->map);
    free(r->embedding);
    free(r->gradient);
}

static result compute(const fv_brivl *m, const char *tower, fv_backend *be)
{
    result r;
    fv_plan *p;
    fv_weights *w;
    size_t n;
    int side = m->base.image_size;
    fv_shape shape = {1, side, side, 3};
    MUST(fv_weights_open(&w, golden_file("", tower, "/golden.safetensors")));
    float *chw = read_golden(w, "pixels", &n), *text = read_golden(w, "txt_emb", &n);
    float *hwc = as_nhwc(chw, shape);
    assert_int_equal(n, m->base.dim);
    MUST(fv_plan_new(&p, be));
    fv_ref pixels = fv_plan_param(p, "pixels", shape);
    fv_image_layers layers = fv_network_image(&m->base, p, pixels, true);
    fv_plan_output(p, layers.map);
    fv_plan_output(p, layers.embedding);
    MUST(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_POISON));
    r.shape = fv_plan_shape(p, layers.map);
    assert_int_equal(r.shape.c, m->base.map_channels);
    r.map = malloc(fv_count(r.shape) * sizeof *r.map);
    r.embedding = malloc(n * sizeof *r.embedding);
    r.gradient = malloc(fv_count(shape) * sizeof *r.gradient);
    MUST(fv_plan_upload(p, pixels, hwc));
    MUST(fv_plan_forward(p));
    MUST(fv_plan_download(p, layers.map, r.map));
    MUST(fv_plan_download(p, layers.embedding, r.embedding));
    MUST(fv_plan_output_gradient(p, layers.embedding, text));
    MUST(fv_plan_backward(p));
    MUST(fv_plan_download_gradient(p, pixels, r.gradient));
    fv_plan_free(p);
    fv_weights_close(w);
    free(chw);
    free(hwc);
    free(text);
    return r;
}

static void check(const char *what, const float *found, const float *expected, size_t count,
                  double tolerance)
{
    double error = relative_l2(found, expected, count);
    if (!(error <= tolerance))
        fail_msg("%s: relative L2 %.3g, expected <= %.3g", what, error, tolerance);
}

static void check_result(const char *backend, const char *tower, const result *r, int side,
                         double tolerance, double gradient_tolerance)
{
    fv_weights *w;
    size_t count, dim, pixels;
    char what[3][64];
    static const char *const parts[3] = {"map", "embedding", "gradient"};
    for (int i = 0; i < 3; i++)
        snprintf(what[i], sizeof what[i], "%s of %s on %s", parts[i], tower, backend);
    MUST(fv_weights_open(&w, golden_file("wide_", tower, ".safetensors")));
    float *map = read_golden(w, "map", &count), *embedding = read_golden(w, "embedding", &dim);
    float *gradient = read_golden(w, "gradient", &pixels), *hwc = as_nhwc(map, r->shape);
    float *turned = as_nhwc(gradient, (fv_shape){1, side, side, 3});
    assert_int_equal(count, fv_count(r->shape));
    assert_int_equal(r->shape.c, HEAD);
    check(what[0], r->map, hwc, count, tolerance);
    check(what[1], r->embedding, embedding, dim, tolerance);
    check(what[2], r->gradient, turned, pixels, gradient_tolerance);
    free(map);
    free(hwc);
    free(embedding);
    free(gradient);
    free(turned);
    fv_weights_close(w);
}

static void is_pytorchs(const char *tower)
{
    static const char *const backends[] = {"ref64", "auto", "cpu-v2", "cpu-v3", "cpu-v4"};
    fv_brivl *m;
    save_files(tower, false);
    MUST(fv_brivl_open(
        &m, &(fv_network_files){.config = "wide.yml", .checkpoint = "wide.safetensors"}));
    for (int i = 0; i < COUNT(backends); i++) {
        fv_backend *be;
        if (fv_backend_open(&be, backends[i], 1) < 0) {
            print_message("not compared: %s\n", fv_error());
            assert_true(i > 1);
            continue;
        }
        result r = compute(m, tower, be);
        check_result(backends[i], tower, &r, m->base.image_size, i ? 2e-5 : 1e-5, i ? 1e-3 : 1e-5);
        clear(&r);
        fv_backend_close(be);
    }
    fv_network_close(&m->base);
}

static void lite0_is_pytorchs(void **state)
{
    (void)state;
    is_pytorchs("lite0");
}

static void b0_is_pytorchs(void **state)
{
    (void)state;
    is_pytorchs("b0");
}

/* The old channels of a map of more. */
static float *first_channels(const result *r, int channels)
{
    size_t cells = (size_t)r->shape.h * (size_t)r->shape.w, n = (size_t)channels;
    float *out = malloc(cells * n * sizeof *out);
    for (size_t i = 0; i < cells; i++)
        memcpy(out + i * n, r->map + i * (size_t)r->shape.c, n * sizeof *out);
    return out;
}

/* Sums with zeros behind: the same bits where they run from first to last, and to rounding where
 * the width decides how they are cut; a gradient passes through sixteen blocks of that. */
static void old_channels_stay(const char *tower, const char *backend, double tolerance,
                              double gradient_tolerance)
{
    fv_brivl *old, *wide;
    fv_backend *be;
    MUST(fv_backend_open(&be, backend, 1));
    MUST(fv_brivl_open(&old, &(fv_network_files){.config = golden_file("", tower, "/cfg.yml"),
                                                 .checkpoint = packed(tower)}));
    MUST(fv_brivl_open(
        &wide, &(fv_network_files){.config = "wide.yml", .checkpoint = "wide.safetensors"}));
    result a = compute(old, tower, be), b = compute(wide, tower, be);
    assert_int_equal(a.shape.c, OWN_HEAD);
    assert_int_equal(b.shape.c, HEAD);
    float *first = first_channels(&b, OWN_HEAD);
    size_t side = (size_t)old->base.image_size;
    check(backend, first, a.map, fv_count(a.shape), tolerance);
    check(backend, b.embedding, a.embedding, (size_t)old->base.dim, tolerance);
    check(backend, b.gradient, a.gradient, side * side * 3, gradient_tolerance);
    double more = 0; /* and the new ones say something */
    for (int k = OWN_HEAD; k < HEAD; k++) more += (double)b.map[k] * (double)b.map[k];
    assert_true(more > 0.01);
    free(first);
    clear(&a);
    clear(&b);
    fv_network_close(&old->base);
    fv_network_close(&wide->base);
    fv_backend_close(be);
}

static void old_channels_stay_in_blocks(void **state)
{
    (void)state;
    static const char *const towers[] = {"lite0", "b0"};
    for (int i = 0; i < COUNT(towers); i++) {
        save_files(towers[i], true);
        old_channels_stay(towers[i], "ref", 0, 0);
        old_channels_stay(towers[i], "auto", 1e-6, 1e-5);
    }
}

/* --- neurons, reports --- */

static fv_options *wide_options(void)
{
    fv_options *o = toy_options();
    set(o, "config", "wide.yml");
    set(o, "checkpoint", "wide.safetensors");
    return o;
}

static void new_channels_are_neurons(void **state)
{
    (void)state;
    char last[16], next[16];
    fv_session *s;
    fv_model *m;
    fv_progress before, after;
    fv_picture p;
    snprintf(last, sizeof last, "%d", HEAD - 1);
    snprintf(next, sizeof next, "%d", HEAD);
    save_files("lite0", false);
    fv_options *o = wide_options();
    MUST(fv_model_open(&m, o));
    set(o, "text", "");
    set(o, "llp", next);
    FAILS(fv_session_open(&s, m, o), FV_ERR_ARGUMENT, "has channels 0 to 1290");
    set(o, "llp", last);
    static const char *const still[] = {"shift", "rotate", "noise", "noise-end", "colour-shift"};
    for (int i = 0; i < COUNT(still); i++) set(o, still[i], "0");
    set(o, "scale-min", "1");
    set(o, "start-noise", "0.1");
    set(o, "rate", "0.003"); /* small enough that every step descends: as in test_session.c */
    MUST(fv_session_open(&s, m, o));
    MUST(fv_session_picture(s, &p, &before));
    fv_picture_free(&p);
    MUST(fv_session_run(s, NULL, NULL));
    MUST(fv_session_picture(s, &p, &after));
    fv_picture_free(&p);
    if (!(after.neuron > before.neuron))
        fail_msg("LLP-%s: %g, then %g", last, (double)before.neuron, (double)after.neuron);
    print_message("LLP-%s: %g, then %g\n", last, (double)before.neuron, (double)after.neuron);
    fv_session_close(s);
    fv_model_close(m);
    fv_options_free(o);
}

static void says(const char *config, const char *words, bool fitting)
{
    char *text = NULL;
    bool fits;
    MUST(fv_checkpoint_describe(&text, "wide.safetensors", config, &fits));
    if (!strstr(text, words)) fail_msg("the report has no \"%s\":\n%s", words, text);
    assert_true(fits == fitting);
    free(text);
}

static fv_status open_with(const char *tower, const char *cnn, const char *keys)
{
    fv_brivl *m;
    fv_backend *be;
    fv_plan *p;
    save_cfg(tower, cnn, keys);
    FV_TRY(fv_brivl_open(
        &m, &(fv_network_files){.config = "wide.yml", .checkpoint = "wide.safetensors"}));
    MUST(fv_backend_open(&be, "ref", 1));
    MUST(fv_plan_new(&p, be));
    fv_network_image(&m->base, p, fv_plan_param(p, "x", (fv_shape){1, 72, 72, 3}), true);
    fv_status s = fv_plan_finish(p, FV_PLAN_FORWARD);
    fv_plan_free(p);
    fv_backend_close(be);
    fv_network_close(&m->base);
    return s;
}

static void wrong_widths_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *cnn, *keys, *words;
    } bad[] = {
        {NULL, "    CNN_HEAD: 1279\n",
         "CNN_HEAD is 1279, expected 1280 (as tf_efficientnet_lite0 has it) to 5120"},
        {NULL, "    CNN_HEAD: 5121\n", "CNN_HEAD is 5121, expected 1280"},
        {NULL, "    CNN_HEAD: 0\n", "CNN_HEAD is 0, expected 1280"},
        {NULL, "    CNN_HEAD: wide\n", "CNN_HEAD"},
        {NULL, "    CNN_LAST_EXPANDED: 1151\n", "CNN_LAST_EXPANDED is 1151, expected 1152"},
        {NULL, "    CNN_LAST_CHANNELS: -320\n", "CNN_LAST_CHANNELS is -320, expected 320"},
        {NULL, "    CNN_LAST_CHANNELS: 1281\n", "CNN_LAST_CHANNELS is 1281, expected 320"},
        {"tf_efficientnet_b1", "    CNN_LAST_CHANNELS: 400\n",
         "CNN_LAST_CHANNELS is 400, expected 320: the last block of tf_efficientnet_b1 adds its "
         "input"},
        {"tf_efficientnet_b1", "    CNN_LAST_EXPANDED: 1919\n",
         "CNN_LAST_EXPANDED is 1919, expected 1920"},
    };
    save_files("lite0", false);
    for (int i = 0; i < COUNT(bad); i++)
        FAILS(open_with("lite0", bad[i].cnn, bad[i].keys), FV_ERR_FORMAT, bad[i].words);
    FAILS(open_with("lite0", "resnet50", KEYS), FV_ERR_UNSUPPORTED, "CNN 'resnet50' is not known");
}

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *words;
    } bad[] = {
        {"", BLOCK "conv_pw.weight is [1161, 192, 1, 1], expected [1152, 192, 1, 1]"},
        {"    CNN_LAST_EXPANDED: 1161\n",
         BLOCK "conv_pwl.weight is [331, 1161, 1, 1], expected [320, 1161, 1, 1]"},
        {"    CNN_LAST_EXPANDED: 1161\n    CNN_LAST_CHANNELS: 331\n",
         "conv_head.weight is [1291, 331, 1, 1], expected [1280, 331, 1, 1]"},
    };
    save_files("lite0", false);
    says("wide.yml", "tf_efficientnet_lite0 (at its end 1161, 331, 1291 channels) at 72 x 72",
         true);
    says("wide.yml", "tensors in use are there and have the right shapes", true);
    MUST(open_with("lite0", NULL, KEYS));
    for (int i = 0; i < COUNT(bad); i++) {
        FAILS(open_with("lite0", NULL, bad[i].keys), FV_ERR_SHAPE, bad[i].words);
        says("wide.yml", bad[i].words, false);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lite0_is_pytorchs, remove_files),
        cmocka_unit_test_teardown(b0_is_pytorchs, remove_files),
        cmocka_unit_test_teardown(old_channels_stay_in_blocks, remove_files),
        cmocka_unit_test_teardown(new_channels_are_neurons, remove_files),
        cmocka_unit_test_teardown(wrong_widths_are_refused, remove_files),
        cmocka_unit_test_teardown(wrong_shapes_are_named, remove_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
