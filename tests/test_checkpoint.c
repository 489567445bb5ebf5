/* What a checkpoint holds, converting it, its momentum towers, and files that are something else.
 * The towers are tests/golden/towers/{lite0,b0}, unpacked; the official cfg files have the values
 * of both official repositories. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "feavis/checkpoint.h"
#include "feavis/embed.h"
#include "feavis/feavis.h"
#include "feavis/files.h"
#include "model/nets/brivl.h"
#include "model/nets/manifest.h"
#include "tests/check.h"

static const char *lite0_cfg(void)
{
    return source_file("tests/golden/towers/lite0/cfg.yml");
}

static const char *unpacked(const char *name)
{
    static char path[4][1024];
    static int turn;
    const char *folder = getenv("FEAVIS_UNPACKED");
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s.pth", folder ? folder : ".", name);
    return out;
}

/* What fv_checkpoint_describe says; caller frees. */
static char *report(const char *checkpoint, const char *config, bool *fits)
{
    char *text = NULL;
    MUST(fv_checkpoint_describe(&text, checkpoint, config, fits));
    return text;
}

static void says(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("the report has no \"%s\":\n%s", words, text);
}

static void test_report(void **state)
{
    bool fits;
    (void)state;
    char *text = report(unpacked("lite0"), lite0_cfg(), &fits);
    assert_true(fits);
    says(text, "torch zip, 142 MB, 764 tensors");
    says(text, "learnable.imgencoder_mom           326 tensors");
    says(text, "learnable.imgencoder.* and learnable.textencoder.*\n    all 328 tensors in use");
    free(text);
    text = report(source_file("model/mini/mini.safetensors"), source_file("model/mini/mini.yml"),
                  &fits);
    assert_true(fits);
    free(text);
    text = report(unpacked("lite0"), NULL, &fits);
    assert_true(fits && !strstr(text, "against"));
    free(text);
    /* another network */
    text = report(unpacked("lite0"), source_file("tests/golden/cfg/eval.yml"), &fits);
    assert_false(fits);
    says(text, "wrong shape  learnable.imgencoder.backbone.conv_stem.weight is [32, 3, 3, 3], "
               "expected [48, 3, 3, 3]");
    says(text, "... and ");
    free(text);
    /* more layers asked for than there are, and fewer */
    size_t size;
    char *cfg = slurp(lite0_cfg(), &size), *layers = strstr(cfg, "IMG_TRANSFORMER_LAYER: ");
    assert_non_null(layers);
    char *digit = layers + strlen("IMG_TRANSFORMER_LAYER: ");
    assert_int_equal(*digit, '2');
    *digit = '3';
    spill("more.yml", cfg, size);
    *digit = '1';
    spill("fewer.yml", cfg, size);
    free(cfg);
    text = report(unpacked("lite0"), "more.yml", &fits);
    assert_false(fits);
    says(text,
         "missing      learnable.imgencoder.learnable.imgAtt.layers.2.self_attn.in_proj_weight");
    says(text, "12 missing, 0 of wrong shape, 0 unexpected");
    free(text);
    text = report(unpacked("lite0"), "fewer.yml", &fits);
    assert_false(fits);
    says(text, "unexpected   learnable.imgencoder.learnable.imgAtt.layers.1.");
    says(text, "0 missing, 0 of wrong shape, 12 unexpected");
    free(text);
}

/* Each tensor in turn under another name: the report misses that one and meets the other, and
 * what is missing there is missing to the towers too. */
static void what_is_missing_is_told_and_refused(void **state)
{
    static const char key[] = "\"data_offsets\"";
    const char *cfg = source_file("model/mini/mini.yml");
    char counts[96];
    int needed = 0; /* all that the file has */
    fv_network *n;
    fv_manifest m;
    size_t size;
    (void)state;
    char *file = slurp(source_file("model/mini/mini.safetensors"), &size);
    spill("holed.safetensors", file, size);
    MUST(
        fv_network_open(&n, &(fv_network_files){.config = cfg, .checkpoint = "holed.safetensors"}));
    MUST(fv_manifest_make(&m, n, false));
    fv_network_close(n);
    int fd = open("holed.safetensors", O_WRONLY), met = 0;
    assert_true(fd >= 0);
    for (const char *at = file; (at = memmem(at, size - (size_t)(at - file), key, strlen(key)));)
        at += strlen(key), needed++;
    assert_true(needed > 0 && m.count > needed);
    snprintf(counts, sizeof counts, "    1 missing, 0 of wrong shape, 1 unexpected, of %d needed",
             needed);
    for (int i = 0; i < m.count; i++) {
        char name[FV_SOURCE_NAME + 2], words[2 * FV_SOURCE_NAME];
        bool fits;
        size_t length = (size_t)snprintf(name, sizeof name, "\"%s\"", m.at[i].name);
        char *at = memmem(file, size, name, length);
        assert_int_equal(!at, m.at[i].unused);                          /* the file has no others */
        if (!at || strstr(name, "backbone.conv_stem.weight")) continue; /* or it is no BriVL */
        off_t last = at + length - 2 - file;
        assert_int_equal(pwrite(fd, "#", 1, last), 1);
        char *text = report("holed.safetensors", cfg, &fits);
        assert_false(fits);
        snprintf(words, sizeof words, "    missing      %s\n    unexpected   %.*s#\n", m.at[i].name,
                 (int)strlen(m.at[i].name) - 1, m.at[i].name);
        says(text, words);
        says(text, counts);
        free(text);
        if (met++ % 16 == 0) {
            fv_backend *be;
            fv_plan *p;
            fv_text_encoder *e = NULL;
            MUST(fv_backend_open(&be, "cpu", 1));
            fv_status s = fv_network_open(
                &n, &(fv_network_files){.config = cfg, .checkpoint = "holed.safetensors"});
            if (s >= 0) {
                MUST(fv_plan_new(&p, be));
                fv_ref x = fv_plan_param(p, "x", (fv_shape){1, 224, 224, 3});
                fv_network_image(n, p, x, true);
                s = fv_plan_status(p);
                if (s >= 0) s = fv_text_encoder_open(&e, n, be, 0);
                fv_text_encoder_close(e);
                fv_plan_free(p);
                fv_network_close(n);
            }
            assert_true(s < 0);
            if (!strstr(fv_error(), m.at[i].name) && !strstr(fv_error(), "fc2 has"))
                fail_msg("%s: %s", m.at[i].name, fv_error());
            fv_backend_close(be);
        }
        assert_int_equal(pwrite(fd, file + last, 1, last), 1);
    }
    assert_int_equal(met, needed - 1);
    close(fd);
    free(file);
    fv_manifest_clear(&m);
    unlink("holed.safetensors");
}

/* Without a cfg any checkpoint is told about; with one, what is no BriVL is refused. */
static void what_is_no_brivl_is_listed_all_the_same(void **state)
{
    bool fits;
    char *list = NULL;
    (void)state;
    char *text = report(source_file("tests/golden/weights/script.pt"), NULL, &fits);
    says(text, "torch zip, 0 MB, 5 tensors\n");
    says(text, "layers                               4 tensors");
    free(text);
    text = report(source_file("tests/golden/weights/foreign.pth"), NULL, &fits);
    says(text, "\n  state_dict.marked                    1 tensors");
    says(text, "passed over: cfg: made by 'somewhere.else_.Cfg'\n");
    says(text, "passed over: 10 others\n");
    free(text);
    FAILS(fv_checkpoint_describe(&list, source_file("tests/golden/weights/script.pt"), lite0_cfg(),
                                 &fits),
          FV_ERR_FORMAT, "is not a BriVL");
    assert_null(list); /* written only on success */
    MUST(fv_checkpoint_list(&list, source_file("tests/golden/weights/foreign.pth")));
    says(list, "state_dict.marked F32 [2, 3]\n");
    says(list, "listed.c128 C128 [1, 1]\n");
    says(list, "passed over: sparse: made by 'torch._utils._rebuild_sparse_tensor'\n");
    free(list);
}

/* Both official cfg files as they are: 380 and 456 pixels, everything else alike. */
static void test_official_cfg(void **state)
{
    static const struct {
        const char *path;
        int size;
    } cfgs[] = {{"tests/golden/cfg/eval.yml", 456}, {"tests/golden/cfg/brivl-1.0.yml", 380}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fv_brivl_config c;
        MUST(fv_brivl_config_read(&c, source_file(cfgs[i].path)));
        assert_int_equal(c.image_size, cfgs[i].size);
        assert_string_equal(c.cnn, "tf_efficientnet_b5_ns");
        assert_int_equal(c.image_layers, 4);
        assert_int_equal(c.text_heads, 4);
        assert_int_equal(c.text_limit, 80);
        assert_int_equal(c.image_dim, 2048);
        assert_int_equal(c.text_dim, 768);
        assert_true(c.temperature == 0.07f);
        assert_null(c.checkpoint);
        fv_brivl_config_clear(&c);
    }
}

static fv_status open_model(fv_model **m, const char *config, const char *checkpoint,
                            const char *tower)
{
    fv_options *o;
    MUST(fv_options_new(&o));
    MUST(fv_options_set(o, "config", config));
    MUST(fv_options_set(o, "checkpoint", checkpoint));
    MUST(fv_options_set(o, "vocab", source_file("tests/golden/text_vocab.txt")));
    MUST(fv_options_set(o, "tower", tower));
    fv_status s = fv_model_open(m, o);
    fv_options_free(o);
    return s;
}

/* A tensor of a dtype that is only listed, among those of the towers. */
static void a_needed_tensor_that_cannot_be_read_is_named(void **state)
{
    static const char name[] = "imgencoder.backbone.conv_stem.weight";
    size_t size;
    fv_model *m;
    int tensors;
    double worst;
    bool fits;
    (void)state;
    char *file = slurp(source_file("model/mini/mini.safetensors"), &size);
    char *at = memmem(file, size, name, strlen(name));
    assert_non_null(at);
    char *dtype = memmem(at, 200, "\"dtype\":\"F", strlen("\"dtype\":\"F"));
    assert_non_null(dtype);
    dtype += strlen("\"dtype\":\"");
    bool half = strncmp(dtype, "F16", 3) == 0; /* of the same size: X32 or X16 */
    dtype[0] = 'X';
    spill("stranger.safetensors", file, size);
    free(file);
    const char *cfg = source_file("model/mini/mini.yml");
    const char *words =
        half ? "tensor imgencoder.backbone.conv_stem.weight has elements of type X16"
             : "tensor imgencoder.backbone.conv_stem.weight has elements of type X32";
    fv_embedder *e;
    MUST(open_model(&m, cfg, "stranger.safetensors", "online"));
    FAILS(fv_embedder_open(&e, m, 1), FV_ERR_FORMAT, words);
    fv_model_close(m);
    FAILS(fv_checkpoint_convert("stranger.safetensors", cfg, "out.safetensors", false, false,
                                &tensors, &worst),
          FV_ERR_UNSUPPORTED, words);
    char *text = report("stranger.safetensors", cfg, &fits);
    assert_false(fits);
    says(text, half ? "of X16, expected" : "of X32, expected");
    free(text);
    unlink("stranger.safetensors");
}

/* Text embedding, then that of a picture. */
static float *embeddings(const char *checkpoint, const char *tower, size_t *count)
{
    fv_model *m;
    MUST(open_model(&m, lite0_cfg(), checkpoint, tower));
    size_t dim = (size_t)fv_model_dim(m);
    float *out = malloc(2 * dim * sizeof *out);
    MUST(fv_model_embed_text(m, "moon", out, NULL));
    fv_embedder *e;
    bool read;
    char *path = strdup(source_file("tests/golden/pictures/rgb.jpg"));
    MUST(fv_embedder_open(&e, m, 1));
    MUST(fv_embed_pictures(e, &path, 1, out + dim, &read, NULL, NULL));
    assert_true(read);
    free(path);
    fv_embedder_close(e);
    fv_model_close(m);
    *count = 2 * dim;
    return out;
}

static float largest_difference(const float *a, const float *b, size_t count)
{
    float worst = 0;
    for (size_t i = 0; i < count; i++) {
        float d = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        if (d > worst) worst = d;
    }
    return worst;
}

static void test_convert(void **state)
{
    int tensors;
    double worst;
    size_t n;
    (void)state;
    MUST(fv_checkpoint_convert(unpacked("lite0"), lite0_cfg(), "online.safetensors", false, false,
                               &tensors, &worst));
    assert_int_equal(tensors, 328);
    assert_true(worst == 0);
    MUST(fv_checkpoint_convert(unpacked("lite0"), lite0_cfg(), "momentum.safetensors", true, false,
                               &tensors, &worst));
    MUST(fv_checkpoint_convert(unpacked("lite0"), lite0_cfg(), "half.safetensors", false, true,
                               &tensors, &worst));
    assert_true(worst > 1e-4 && worst <= 1.0 / 2048);
    float *online = embeddings(unpacked("lite0"), "online", &n);
    float *momentum = embeddings(unpacked("lite0"), "momentum", &n);
    float *a = embeddings("online.safetensors", "online", &n);
    float *b = embeddings("momentum.safetensors", "online", &n);
    float *c = embeddings("half.safetensors", "online", &n);
    assert_memory_equal(a, online, n * sizeof *a);
    assert_memory_equal(b, momentum, n * sizeof *b);
    assert_true(largest_difference(online, momentum, n) > 1e-4f); /* they are other weights */
    float half = largest_difference(online, c, n);
    assert_true(half > 0 && half < 1e-2f); /* 11 binary digits through fifty layers */
    free(online);
    free(momentum);
    free(a);
    free(b);
    free(c);
    bool fits;
    char *text = report("online.safetensors", lite0_cfg(), &fits);
    assert_true(fits);
    says(text, "safetensors, 136 MB, 328 tensors");
    free(text);
    fv_model *m;
    FAILS(open_model(&m, lite0_cfg(), "online.safetensors", "momentum"), FV_ERR_FORMAT,
          "no momentum towers");
    FAILS(fv_checkpoint_convert(unpacked("lite0"), source_file("tests/golden/cfg/eval.yml"), "x",
                                false, false, &tensors, &worst),
          FV_ERR_SHAPE, "conv_stem.weight has another shape");
}

static int temporary_files(void)
{
    int count = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));) count += strstr(e->d_name, ".part") != NULL;
    closedir(d);
    return count;
}

static void test_full_disk(void **state)
{
    struct rlimit old, small;
    int tensors;
    double worst;
    (void)state;
    unlink("full.safetensors");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fv_status s = fv_checkpoint_convert(unpacked("lite0"), lite0_cfg(), "full.safetensors", false,
                                        false, &tensors, &worst);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(s, FV_ERR_IO);
    assert_non_null(strstr(fv_error(), "writing full.safetensors: "));
    assert_true(access("full.safetensors", F_OK) != 0);
    assert_int_equal(temporary_files(), 0);
    float row[4096] = {0};
    FAILS(fv_array_save("/dev/full", row, 1, (int64_t[]){4096}), FV_ERR_IO, "No space left");
}

/* What comes in place of a checkpoint when a download goes wrong: one line that says so. */
static void test_strangers(void **state)
{
    static const struct {
        const char *name, *content, *words;
    } files[] = {
        {"page.pth", "<!DOCTYPE html>\n<html><head><title>Sign in</title>", "HTML page"},
        {"pointer.pth",
         "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 2349929685\n",
         "Git LFS pointer"},
        {"empty.pth", "", "empty"},
        {"words.pth", "hello\n", "a text file"},
    };
    fv_model *m;
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        spill(files[i].name, files[i].content, strlen(files[i].content));
        FAILS(open_model(&m, lite0_cfg(), files[i].name, "online"), FV_ERR_FORMAT, files[i].words);
        FAILS(open_model(&m, lite0_cfg(), files[i].name, "online"), FV_ERR_FORMAT, files[i].name);
    }
    size_t size;
    char *whole = slurp(unpacked("lite0"), &size);
    spill("cut.pth", whole, size / 2);
    free(whole);
    FAILS(open_model(&m, lite0_cfg(), "cut.pth", "online"), FV_ERR_FORMAT, "cut");
    unlink("cut.pth");
    FAILS(open_model(&m, lite0_cfg(), "nowhere.pth", "online"), FV_ERR_IO, "nowhere.pth");
    FAILS(open_model(&m, "nowhere.yml", unpacked("lite0"), "online"), FV_ERR_IO, "nowhere.yml");
}

/* The shapes are checked where they are used, so a cfg for another network fails with the first
 * tensor that differs. */
static void test_wrong_cfg(void **state)
{
    fv_model *m;
    fv_embedder *e;
    (void)state;
    fv_status s =
        open_model(&m, source_file("tests/golden/towers/b0/cfg.yml"), unpacked("lite0"), "online");
    if (s >= 0) {
        s = fv_embedder_open(&e, m, 1);
        fv_model_close(m);
    }
    assert_true(s < 0);
    assert_non_null(strstr(fv_error(), "lite0.pth"));
    assert_null(strchr(fv_error(), '\n'));
}

static void test_no_vocabulary(void **state)
{
    fv_options *o;
    fv_model *m;
    float row[4096];
    (void)state;
    MUST(fv_options_new(&o));
    size_t size;
    char *cfg = slurp(source_file("tests/golden/cfg/eval.yml"), &size);
    spill("eval.yml", cfg, size); /* away from any vocabulary */
    free(cfg);
    MUST(fv_options_set(o, "config", lite0_cfg()));
    MUST(fv_options_set(o, "checkpoint", unpacked("lite0")));
    MUST(fv_options_set(o, "vocab", "nowhere.txt"));
    FAILS(fv_model_open(&m, o), FV_ERR_IO, "vocabulary nowhere.txt");
    MUST(fv_options_set(o, "vocab", ""));
    MUST(fv_model_open(&m, o));
    FAILS(fv_model_embed_text(m, "moon", row, NULL), FV_ERR_ARGUMENT, "--vocab FILE");
    fv_model_close(m);
    fv_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(what_is_missing_is_told_and_refused),
        cmocka_unit_test(what_is_no_brivl_is_listed_all_the_same),
        cmocka_unit_test(a_needed_tensor_that_cannot_be_read_is_named),
        cmocka_unit_test(test_official_cfg),
        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_wrong_cfg),
        cmocka_unit_test(test_no_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
