/* Pictures of every kind against what PIL and PyTorch make of them (tests/golden/pictures, written
 * by tests/golden/make_pictures.py), broken ones, thumbnails and heat maps. */
#include <math.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "model/weights.h"
#include "tests/check.h"

static fv_weights *values;

static int open_values(void **state)
{
    (void)state;
    MUST(fv_weights_open(&values, source_file("tests/golden/pictures/values.safetensors")));
    return 0;
}

static int close_values(void **state)
{
    (void)state;
    fv_weights_close(values);
    return 0;
}

static const char *picture_path(const char *name)
{
    char relative[256];
    snprintf(relative, sizeof relative, "tests/golden/pictures/%s", name);
    return source_file(relative);
}

static void check_pixels(const char *name, int tolerance)
{
    const fv_entry *e = fv_weights_find(values, name);
    assert_non_null(e);
    fv_picture p;
    MUST(fv_picture_read(&p, picture_path(name)));
    if (p.height != e->dims[0] || p.width != e->dims[1])
        fail_msg("%s is %d x %d, expected %d x %d", name, p.width, p.height, (int)e->dims[1],
                 (int)e->dims[0]);
    size_t count = fv_entry_count(e);
    float *expected = malloc(count * sizeof *expected);
    fv_entry_read_f32(e, expected);
    for (size_t i = 0; i < count; i++)
        if (abs((int)expected[i] - p.rgb[i]) > tolerance)
            fail_msg("%s: number %zu is %d, expected %d", name, i, p.rgb[i], (int)expected[i]);
    free(expected);
    fv_picture_free(&p);
}

static void test_every_kind(void **state)
{
    static const char *const names[] = {
        "rgb.jpg",   "progressive.jpg", "grey.jpg",  "exif2.jpg",  "exif3.jpg", "exif4.jpg",
        "exif5.jpg", "exif6.jpg",       "exif7.jpg", "exif8.jpg",  "rgba.png",  "palette.png",
        "rgb.bmp",   "grey16.png",      "rgba.webp", "exif6.webp", "grey.pgm"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check_pixels(names[i], 0);
    /* PIL divides by 255 with another rounding */
    check_pixels("cmyk.jpg", 1);
}

static void test_broken(void **state)
{
    fv_picture p = {0};
    (void)state;
    FAILS(fv_picture_read(&p, picture_path("cut.jpg")), FV_ERR_FORMAT, "cut.jpg cannot be read: ");
    FAILS(fv_picture_read(&p, picture_path("cut.jpg")), FV_ERR_FORMAT, "cut off");
    FAILS(fv_picture_read(&p, picture_path("cut.webp")), FV_ERR_FORMAT, "damaged or cut off");
    FAILS(fv_picture_read(&p, picture_path("moving.webp")), FV_ERR_UNSUPPORTED, "animation");
    FAILS(fv_picture_read(&p, picture_path("page.jpg")), FV_ERR_FORMAT, "page.jpg cannot be read");
    FAILS(fv_picture_read(&p, picture_path("none.jpg")), FV_ERR_IO, "No such file");
    FAILS(fv_picture_read(&p, "/"), FV_ERR_IO, "regular file");
    assert_null(p.rgb);
}

/* A JPEG cut at every length is read or refused, and never more than that. */
static void test_every_cut(void **state)
{
    size_t size;
    char *whole = slurp(picture_path("exif6.jpg"), &size);
    (void)state;
    for (size_t n = 1; n < size; n++) {
        spill("cut.jpg", whole, n);
        fv_picture p = {0};
        if (fv_picture_read(&p, "cut.jpg") >= 0) fv_picture_free(&p);
        assert_null(p.rgb);
    }
    unlink("cut.jpg");
    free(whole);
}

/* The official preprocessing: floats of PyTorch, so equal up to the order of four products. */
static void test_resize(void **state)
{
    static const int sides[] = {8, 50};
    fv_picture p;
    (void)state;
    MUST(fv_picture_read(&p, picture_path("rgb.jpg")));
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "resize_%d", sides[i]);
        const fv_entry *e = fv_weights_find(values, name);
        assert_non_null(e);
        size_t count = fv_entry_count(e);
        float *expected = malloc(count * sizeof *expected), *found = malloc(count * sizeof *found);
        fv_entry_read_f32(e, expected);
        fv_picture_to_tensor(&p, sides[i], found);
        for (size_t k = 0; k < count; k++)
            if (!(fabsf(found[k] - expected[k]) <= 2e-6f))
                fail_msg("%s: number %zu is %g, expected %g", name, k, (double)found[k],
                         (double)expected[k]);
        free(expected);
        free(found);
    }
    fv_picture_free(&p);
}

static void test_thumbnail(void **state)
{
    uint8_t rgb[4 * 2 * 3];
    fv_picture wide = {4, 2, rgb}, small;
    (void)state;
    for (int i = 0; i < 24; i++) rgb[i] = (uint8_t)(10 * (i / 3));
    MUST(fv_picture_thumbnail(&small, &wide, 2));
    assert_int_equal(small.width, 2);
    assert_int_equal(small.height, 1);
    assert_int_equal(small.rgb[0], (0 + 10 + 40 + 50) / 4);
    assert_int_equal(small.rgb[3], (20 + 30 + 60 + 70) / 4);
    fv_picture_free(&small);
    MUST(fv_picture_thumbnail(&small, &wide, 100)); /* never larger */
    assert_int_equal(small.width, 4);
    assert_memory_equal(small.rgb, rgb, sizeof rgb);
    fv_picture_free(&small);
}

/* The largest value has viridis's yellow, the smallest its violet, in cells of one size. */
static void test_heat_map(void **state)
{
    static const uint8_t yellow[3] = {253, 231, 37}, violet[3] = {68, 1, 84};
    float cells[6] = {0, .2f, .4f, .6f, .8f, 1};
    char *rows[] = {"山",
                    "a long label that has to be cut somewhere, or the map would be labels and"
                    " nothing else, however wide the page"};
    char *columns[] = {"x", "水", "z"};
    fv_heat h = {.title = "标题",
                 .rows = 2,
                 .columns = 3,
                 .values = cells,
                 .row_labels = rows,
                 .column_labels = columns,
                 .decimals = -1};
    fv_picture p;
    int missing, counts[2] = {0, 0}, ink = 0;
    (void)state;
    MUST(fv_heat_map(&p, &h, &missing));
    for (int i = 0; i < p.width * p.height; i++) {
        counts[0] += memcmp(p.rgb + 3 * i, yellow, 3) == 0;
        counts[1] += memcmp(p.rgb + 3 * i, violet, 3) == 0;
        ink += p.rgb[3 * i] < 0x60 && p.rgb[3 * i + 1] == p.rgb[3 * i];
    }
    assert_in_range(counts[0], 43 * 43, 43 * 43 + 100); /* a cell, and the end of the scale */
    assert_in_range(counts[1], 43 * 43, 43 * 43 + 100);
    if (missing == 0) assert_in_range(ink, 500, p.width * p.height / 4);
    fv_picture_free(&p);
    float *many = calloc(100000, sizeof *many);
    fv_heat wide = {.rows = 1, .columns = 100000, .values = many};
    FAILS(fv_heat_map(&p, &wide, NULL), FV_ERR_UNSUPPORTED, "too large");
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_every_cut),  cmocka_unit_test(test_resize),
        cmocka_unit_test(test_thumbnail),  cmocka_unit_test(test_heat_map),
    };
    return cmocka_run_group_tests(tests, open_values, close_values);
}
