/* The judge: what it sees against PyTorch, names and groups, figures of pixels, contact sheet. */
#include <math.h>

#include "feavis/feavis.h"
#include "feavis/judge.h"
#include "tests/check.h"

enum { SIDE = 260 };

static fv_judge *open_judge(const char *names, const char *groups)
{
    fv_judge *j;
    MUST(fv_judge_open(&j, source_file("model/judge/judge.safetensors"),
                       names ? names : source_file("model/mini/classes.tsv"),
                       groups ? groups : source_file("model/judge/groups.tsv"), "cpu", 1));
    return j;
}

/* Triangle waves, other ones in each colour: integers only, so that NumPy draws the same. */
static fv_picture waves(void)
{
    fv_picture p = {SIDE, SIDE, malloc(SIDE * SIDE * 3)};
    assert_non_null(p.rgb);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++) {
                int t = (x * (c + 2) + y * (3 - c)) % 512;
                p.rgb[(y * SIDE + x) * 3 + c] = (uint8_t)(t < 256 ? t : 511 - t);
            }
    return p;
}

static void sees_what_pytorch_sees(void **state)
{
    (void)state;
    /* timm's tf_efficientnet_lite2 with the same weights, on the same picture */
    static const int best[FV_JUDGE_BEST] = {418, 767, 714, 854, 782};
    static const float likely[FV_JUDGE_BEST] = {0.144688f, 0.069320f, 0.064214f, 0.047027f,
                                                0.037618f};
    fv_judge *j = open_judge(NULL, NULL);
    fv_picture p = waves();
    float *probabilities = malloc((size_t)fv_judge_class_count(j) * sizeof *probabilities);
    assert_int_equal(fv_judge_class_count(j), 1000);
    MUST(fv_judge_look(j, &p, probabilities));
    double sum = 0;
    for (int k = 0; k < 1000; k++) sum += (double)probabilities[k];
    assert_float_equal(sum, 1, 1e-4);
    fv_verdict v;
    MUST(fv_judge_picture(j, NULL, &p, "ballpoint", &v));
    for (int i = 0; i < FV_JUDGE_BEST; i++) {
        assert_int_equal(v.best[i], best[i]);
        /* both in fp32, 60 layers: logits differ by 1e-5 of their size, which is 10 */
        assert_float_equal(probabilities[best[i]], likely[i], 5e-4);
    }
    assert_int_equal(v.wanted, 418);
    assert_int_equal(v.rank, 1);
    assert_float_equal(v.probability, likely[0], 5e-4);
    assert_true(isnan(v.cosines.whole) && isnan(v.robustness)); /* nobody dreamed */
    free(probabilities);
    fv_picture_free(&p);
    fv_judge_close(j);
}

static void texts_name_classes(void **state)
{
    (void)state;
    fv_judge *j = open_judge(NULL, NULL);
    assert_string_equal(fv_judge_class_name(j, 1), "goldfish");
    assert_string_equal(fv_judge_class_name(j, 1000), "");
    assert_string_equal(fv_judge_class_name(j, -1), "");
    assert_true(fv_judge_is_named(j, "goldfish", 1));
    assert_true(fv_judge_is_named(j, " A Goldfish ", 1));
    assert_true(fv_judge_is_named(j, "金鱼", 1));
    assert_false(fv_judge_is_named(j, "金鱼", 2));
    assert_false(fv_judge_is_named(j, "gold", 1)); /* whole names only */
    assert_true(fv_judge_is_named(j, "狗", 151));
    assert_true(fv_judge_is_named(j, "the dog", 268));
    assert_false(fv_judge_is_named(j, "dog", 269)); /* past the group's range */
    fv_picture p = waves();
    fv_verdict v;
    MUST(fv_judge_picture(j, NULL, &p, "梦", &v)); /* no class of that name */
    assert_int_equal(v.wanted, -1);
    assert_int_equal(v.rank, 0);
    MUST(fv_judge_picture(j, NULL, &p, "dog", &v));
    assert_in_range(v.wanted, 151, 268);
    assert_true(v.rank > FV_JUDGE_BEST);
    fv_picture_free(&p);
    fv_judge_close(j);
}

static void pixels_are_measured(void **state)
{
    (void)state;
    /* 2 x 2: black, white, red, mid-grey */
    uint8_t rgb[12] = {0, 0, 0, 255, 255, 255, 255, 0, 0, 51, 51, 51};
    fv_picture p = {2, 2, rgb};
    fv_judge *j = open_judge(NULL, NULL);
    fv_verdict v;
    MUST(fv_judge_picture(j, NULL, &p, NULL, &v));
    assert_float_equal(v.clipped, 0.75, 1e-6);
    assert_float_equal(v.mean[0], (0 + 1 + 1 + 0.2) / 4, 1e-6);
    assert_float_equal(v.mean[1], (0 + 1 + 0 + 0.2) / 4, 1e-6);
    assert_float_equal(v.light, 0.299f * v.mean[0] + 0.701f * v.mean[1], 1e-6);
    assert_float_equal(v.vivid, 0.25, 1e-6);
    /* across: 1 1 1, .8 .2 .2; down: 1 0 0, .8 .8 .8 */
    assert_float_equal(v.rough, (3 + 1.2 + 1 + 2.4) / 12, 1e-6);
    assert_int_equal(v.wanted, -1);
    fv_judge_close(j);
}

static void check_pixel(const fv_picture *sheet, int x, int y, int r, int g, int b)
{
    const uint8_t *at = sheet->rgb + ((size_t)y * (size_t)sheet->width + (size_t)x) * 3;
    assert_int_equal(at[0], r);
    assert_int_equal(at[1], g);
    assert_int_equal(at[2], b);
}

static void sheet_frames_verdicts(void **state)
{
    (void)state;
    uint8_t rgb[12] = {0, 0, 0, 100, 100, 100, 100, 100, 100, 200, 200, 200};
    fv_picture p = {2, 2, rgb}, many[2] = {p, p}, sheet;
    fv_verdict verdicts[2] = {{.wanted = 7, .rank = 1}, {.wanted = 7, .rank = 6}};
    MUST(fv_judge_sheet(&sheet, many, verdicts, 2, 8));
    /* two columns of 3 + 8 + 3 pixels, gaps of 3 round them */
    assert_int_equal(sheet.width, 2 * 17 + 3);
    assert_int_equal(sheet.height, 17 + 3);
    check_pixel(&sheet, 0, 0, 24, 24, 24);
    check_pixel(&sheet, 3, 3, 40, 160, 60);
    check_pixel(&sheet, 20, 3, 200, 50, 40);
    check_pixel(&sheet, 6, 6, 0, 0, 0); /* the picture's corners, enlarged */
    check_pixel(&sheet, 13, 13, 200, 200, 200);
    fv_picture_free(&sheet);
    FAILS(fv_judge_sheet(&sheet, many, verdicts, 0, 8), FV_ERR_ARGUMENT, "nothing");
}

static void bad_files_are_named(void **state)
{
    (void)state;
    fv_judge *j;
    FAILS(fv_judge_open(&j, source_file("model/mini/mini.safetensors"), NULL, NULL, "cpu", 1),
          FV_ERR_FORMAT, "does not name a network");
    FAILS(fv_judge_open(&j, "nowhere.safetensors", NULL, NULL, "cpu", 1), FV_ERR_IO, "nowhere");
    static const char table[] = "0\ttench\t丁鱥\n1000\tnothing\t无\n";
    spill("names.tsv", table, sizeof table - 1);
    FAILS(fv_judge_open(&j, source_file("model/judge/judge.safetensors"), "names.tsv", NULL, "cpu",
                        1),
          FV_ERR_FORMAT, "names.tsv:2: expected class (0 to 999)");
    static const char groups[] = "# words\n狗\tdog\t151-\n";
    spill("groups.tsv", groups, sizeof groups - 1);
    FAILS(fv_judge_open(&j, source_file("model/judge/judge.safetensors"),
                        source_file("model/mini/classes.tsv"), "groups.tsv", "cpu", 1),
          FV_ERR_FORMAT, "groups.tsv:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_what_pytorch_sees), cmocka_unit_test(texts_name_classes),
        cmocka_unit_test(pixels_are_measured),    cmocka_unit_test(sheet_frames_verdicts),
        cmocka_unit_test(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
