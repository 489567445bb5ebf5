/* Pictures of every kind against what PIL and PyTorch make of them (tests/golden/pictures, written
 * by tests/golden/make_pictures.py), broken ones, thumbnails and heat maps. */
#include <math.h>
#include <unistd.h>

#include "feavis/feavis.h"
#include "feavis/plot.h"
#include "model/weights/weights.h"
#include "tests/check.h"

static fv_weights *values, *more_values;

static int open_values(void **state)
{
    (void)state;
    MUST(fv_weights_open(&values, source_file("tests/golden/pictures/values.safetensors")));
    MUST(fv_weights_open(&more_values,
                         source_file("tests/golden/pictures/more_values.safetensors")));
    return 0;
}

static int close_values(void **state)
{
    (void)state;
    fv_weights_close(values);
    fv_weights_close(more_values);
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
    if (!e) e = fv_weights_find(more_values, name);
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

/* Interlaced, two bits with a gamma (which is not applied), a colour of 16 bits that is clear. */
static void every_form_of_png_has_the_same_pixels(void **state)
{
    static const char *const names[] = {"adam7.png", "adam7_rgba.png", "trns16.png", "grey2.png"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) check_pixels(names[i], 0);
}

static void a_png_is_turned_as_its_exif_says(void **state)
{
    (void)state;
    for (int orientation = 2; orientation <= 8; orientation++) {
        char name[16];
        snprintf(name, sizeof name, "exif%d.png", orientation);
        check_pixels(name, 0);
    }
}

static void an_animated_webp_is_its_first_frame(void **state)
{
    (void)state;
    check_pixels("exact.webp", 0);
    check_pixels("moving.webp", 0);
}

static void put32(char *at, size_t v)
{
    for (int i = 0; i < 4; i++) at[i] = (char)(v >> (24 - 8 * i));
}

/* The CRC of a chunk (PNG specification, annex D), after its content was changed. */
static void mend_crc(char *chunk, size_t length)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 4; i < 8 + length; i++) {
        crc ^= (unsigned char)chunk[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    put32(chunk + 8 + length, ~crc);
}

/* As libpng has it: an error where the picture needs the chunk, else the chunk is passed over. */
static void a_png_with_a_wrong_crc_is_told(void **state)
{
    size_t size;
    fv_picture p;
    (void)state;
    char *png = slurp(picture_path("rgba.png"), &size);
    for (size_t at = 8; at < size;) {
        size_t length = (size_t)(unsigned char)png[at + 2] << 8 | (unsigned char)png[at + 3];
        png[at + 8 + length] ^= 1;
        spill("crc.png", png, size);
        FAILS(fv_picture_read(&p, "crc.png"), FV_ERR_FORMAT, "the PNG file is damaged (");
        FAILS(fv_picture_read(&p, "crc.png"), FV_ERR_FORMAT, "CRC error");
        png[at + 8 + length] ^= 1;
        at += length + 12;
    }
    free(png);
    png = slurp(picture_path("exif6.png"), &size); /* its eXIf chunk: not turned, but read */
    char *exif = memmem(png, size, "eXIf", 4);
    assert_non_null(exif);
    exif[4] ^= 1;
    spill("crc.png", png, size);
    MUST(fv_picture_read(&p, "crc.png"));
    assert_true(p.width == 21 && p.height == 13);
    fv_picture_free(&p);
    free(png);
    unlink("crc.png");
}

/* --- what small files claim --- */

static void put(char *file, size_t *size, const char *bytes, size_t n)
{
    memcpy(file + *size, bytes, n);
    *size += n;
}

#define PUT(literal) put(file, &size, literal, sizeof literal - 1)

/* A progressive JPEG of a grey nothing: `scans` times all frequencies of all blocks, all of them
 * zero, of which 16384 take 15 bits. */
static void spill_scans(const char *path, int width, int height, int scans)
{
    size_t blocks = (size_t)((width + 7) / 8) * (size_t)((height + 7) / 8);
    size_t data = (blocks + 16383) / 16384 * 15 / 8 + 1, size = 0;
    char *file = malloc(256 + (size_t)scans * (data + 16)), *zeros = calloc(1, data);
    assert_true(file && zeros);
    char frame[] = {0, 11, 8, (char)(height >> 8), (char)height, (char)(width >> 8), (char)width, 1,
                    1, 17, 0};
    PUT("\xff\xd8\xff\xdb\0\x43\0");
    for (int i = 0; i < 64; i++) PUT("\1");
    PUT("\xff\xc2");
    put(file, &size, frame, sizeof frame);
    PUT("\xff\xc4\0\x14\x10\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0"); /* one code: EOB14 */
    for (int i = 0; i < scans; i++) {
        PUT("\xff\xda\0\x08\1\1\0\1\x3f\0");
        put(file, &size, zeros, data);
    }
    PUT("\xff\xd9");
    spill(path, file, size);
    free(zeros);
    free(file);
}

/* The work for a file is bounded by its bytes: 600 scans over 16000 x 16000 pixels fit into 300 kB
 * and take minutes. */
static void a_jpeg_of_many_scans_is_refused_before_they_are_read(void **state)
{
    static const struct {
        int width, height, scans;
        const char *words; /* NULL: read */
    } cases[] = {
        {64, 48, 1, NULL},
        {64, 48, 900, NULL},
        {64, 48, 1100, "over 1000 scans"},
        {4000, 4000, 20, NULL},
        {4000, 4000, 600, "too many scans for its size"},
        {16000, 16000, 600, "16000 x 16000 pixels is too large for a file of "},
        {60000, 8, 1, "60000 x 8 pixels is too large"},
    };
    fv_picture p;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spill_scans("scans.jpg", cases[i].width, cases[i].height, cases[i].scans);
        fv_status s = fv_picture_read(&p, "scans.jpg");
        if (cases[i].words) {
            if (s >= 0 || !strstr(fv_error(), cases[i].words))
                fail_msg("case %zu: \"%s\"", i, s < 0 ? fv_error() : "read");
            continue;
        }
        MUST(s);
        assert_true(p.width == cases[i].width && p.rgb[0] == 128);
        fv_picture_free(&p);
    }
    unlink("scans.jpg");
}

/* Headers with sides that no file of that size has, in every format. */
static void what_a_header_claims_is_looked_at_before_memory_is_taken(void **state)
{
    static const char *const words = "is too large";
    size_t size;
    fv_picture p;
    (void)state;
    static const size_t sides[][2] = {
        {INT32_MAX, 1}, {1, INT32_MAX}, {40000, 1}, {32768, 8192}, {20000, 13000}};
    char *png = slurp(picture_path("rgba.png"), &size);
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        put32(png + 16, sides[i][0]);
        put32(png + 20, sides[i][1]);
        mend_crc(png + 8, 13);
        spill("claim.png", png, size);
        fv_status s = fv_picture_read(&p, "claim.png");
        if (s >= 0 || (!strstr(fv_error(), words) && !strstr(fv_error(), "damaged")))
            fail_msg("sides %zu: \"%s\"", i, s < 0 ? fv_error() : "read");
    }
    free(png);
    unlink("claim.png");
    char *bmp = slurp(picture_path("rgb.bmp"), &size);
    memcpy(bmp + 18, &(int32_t){32000}, 4);
    memcpy(bmp + 22, &(int32_t){32000}, 4);
    spill("claim.bmp", bmp, size);
    FAILS(fv_picture_read(&p, "claim.bmp"), FV_ERR_UNSUPPORTED, words);
    memcpy(bmp + 18, &(int32_t){3000}, 4);
    memcpy(bmp + 22, &(int32_t){3000}, 4);
    spill("claim.bmp", bmp, size);
    FAILS(fv_picture_read(&p, "claim.bmp"), FV_ERR_FORMAT, "cut off");
    free(bmp);
    unlink("claim.bmp");
    static const char pnm[] = "P6 32000 32000 255\n";
    spill("claim.ppm", pnm, sizeof pnm - 1);
    FAILS(fv_picture_read(&p, "claim.ppm"), FV_ERR_FORMAT, "cut off");
    unlink("claim.ppm");
    static const char gif[] = "GIF89a\xff\xff\xff\xff\0\0\0,";
    spill("claim.gif", gif, sizeof gif - 1);
    assert_true(fv_picture_read(&p, "claim.gif") < 0);
    unlink("claim.gif");
    static const char hdr[] = "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\1\1\1\1";
    spill("claim.hdr", hdr, sizeof hdr - 1);
    FAILS(fv_picture_read(&p, "claim.hdr"), FV_ERR_FORMAT, "PSD and PNM are read");
    unlink("claim.hdr");
}

static void test_broken(void **state)
{
    fv_picture p = {0};
    (void)state;
    FAILS(fv_picture_read(&p, picture_path("cut.jpg")), FV_ERR_FORMAT, "cut.jpg cannot be read: ");
    FAILS(fv_picture_read(&p, picture_path("cut.jpg")), FV_ERR_FORMAT, "cut off");
    FAILS(fv_picture_read(&p, picture_path("cut.webp")), FV_ERR_FORMAT, "damaged or cut off");
    FAILS(fv_picture_read(&p, picture_path("page.jpg")), FV_ERR_FORMAT, "page.jpg cannot be read");
    FAILS(fv_picture_read(&p, picture_path("none.jpg")), FV_ERR_IO, "No such file");
    FAILS(fv_picture_read(&p, "/"), FV_ERR_IO, "regular file");
    assert_null(p.rgb);
}

/* Wherever a file is cut, it is refused. */
static void a_picture_cut_anywhere_is_refused(void **state)
{
    static const char *const names[] = {"exif6.jpg",  "progressive.jpg", "rgba.png", "adam7.png",
                                        "exact.webp", "rgba.webp",       "rgb.bmp",  "grey.pgm"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size;
        char *whole = slurp(picture_path(names[i]), &size);
        size -= strcmp(names[i], "rgb.bmp") == 0; /* a byte that fills its last row */
        for (size_t n = 1; n < size; n += n + 20 < size ? 5 : 1) {
            spill("cut", whole, n);
            fv_picture p = {0};
            if (fv_picture_read(&p, "cut") >= 0) fail_msg("%s, cut at %zu: read", names[i], n);
            assert_null(p.rgb);
        }
        free(whole);
    }
    unlink("cut");
}

/* Two grey pixels, their header and what becomes of them; words: how the file is refused. */
static void check_pnm(const char *header, const char *bytes, size_t n, int a, int b,
                      const char *words)
{
    char file[64];
    size_t at = strlen(header);
    fv_picture p = {0};
    memcpy(file, header, at);
    memcpy(file + at, bytes, n);
    spill("two.pgm", file, at + n);
    if (words) {
        FAILS(fv_picture_read(&p, "two.pgm"), FV_ERR_FORMAT, words);
    } else {
        MUST(fv_picture_read(&p, "two.pgm"));
        assert_true(p.width == 2 && p.height == 1);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(p.rgb[k], a);
            assert_int_equal(p.rgb[3 + k], b);
        }
        fv_picture_free(&p);
    }
    unlink("two.pgm");
}

static void test_pnm_depths_and_cuts(void **state)
{
    (void)state;
    check_pnm("P5 2 1 255\n", "\x10\xfe", 2, 0x10, 0xfe, NULL);
    check_pnm("P5\n# a comment\n2 1\n65535\n", "\x12\x34\xfe\xdc", 4, 0x12, 0xfe, NULL);
    check_pnm("P5 2 1 1023 ", "\x03\xff\x02\x00", 4, 255, 128, NULL);
    check_pnm("P5 2 1 15 ", "\x0f\x03", 2, 255, 51, NULL);
    check_pnm("P5 2 1 15 ", "\xff\x00", 2, 255, 0, NULL);
    check_pnm("P5 2 1 255\n", "\x10", 1, 0, 0, "cut off: 1 bytes of pixels, expected 2");
    check_pnm("P5 2 1 65535\n", "\x10\x10\x10", 3, 0, 0, "cut off: 3 bytes of pixels, expected 4");
    check_pnm("P6 2 1 255\n", "\x10\x10\x10", 3, 0, 0, "cut off: 3 bytes of pixels, expected 6");
    check_pnm("P5 99999999999 1 255\n", "\x10\x10", 2, 0, 0, "header is damaged");
    check_pnm("P5 2 1 65536\n", "\x10\x10", 2, 0, 0, "header is damaged");
    check_pnm("P5 0 1 255\n", "\x10\x10", 2, 0, 0, "header is damaged");
    check_pnm("P5 2 1 255", "", 0, 0, 0, "header is damaged");
}

/* The official preprocessing: floats of PyTorch, so equal up to the order of four products. */
/* Squares of odd photos, to the byte: Pillow 11's bicubic, shortest side and centre crop ("clip")
 * or both sides at once ("square"), 32 x 32. */
static void squares_are_those_of_pillow(void **state)
{
    (void)state;
    enum { SIDE = 32 };
    static const struct {
        const char *name;
        int width, height;
    } photos[] = {{"50x37", 50, 37}, {"37x50", 37, 50}, {"32x32", 32, 32}, {"20x20", 20, 20},
                  {"97x33", 97, 33}, {"33x64", 33, 64}, {"5x3", 5, 3}};
    char path[1024], name[32];
    fv_weights *golden;
    const char *folder = getenv("FEAVIS_UNPACKED");
    snprintf(path, sizeof path, "%s/clip/pictures.safetensors", folder ? folder : ".");
    MUST(fv_weights_open(&golden, path));
    for (size_t i = 0; i < 2 * (sizeof photos / sizeof *photos); i++) {
        fv_picture p = {photos[i / 2].width, photos[i / 2].height, NULL};
        float found[SIDE * SIDE * 3], expected[SIDE * SIDE * 3], pixels[97 * 64 * 3];
        uint8_t rgb[97 * 64 * 3];
        const fv_entry *e = fv_weights_find(golden, photos[i / 2].name);
        assert_non_null(e);
        assert_int_equal(fv_entry_count(e), p.width * p.height * 3);
        fv_entry_read_f32(e, pixels);
        for (size_t k = 0; k < fv_entry_count(e); k++) rgb[k] = (uint8_t)pixels[k];
        p.rgb = rgb;
        snprintf(name, sizeof name, "%s.%s", photos[i / 2].name, i % 2 ? "clip" : "square");
        e = fv_weights_find(golden, name);
        assert_non_null(e);
        fv_entry_read_f32(e, expected);
        MUST(fv_picture_square(&p, SIDE, i % 2 ? FV_SQUARE_CENTRE : FV_SQUARE_SQUASH, found));
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            if (found[k] != expected[k] / 255.0f)
                fail_msg("%s: number %d is %g, expected %g", name, k, (double)found[k] * 255,
                         (double)expected[k]);
    }
    fv_weights_close(golden);
}

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
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(a_picture_cut_anywhere_is_refused),
        cmocka_unit_test(every_form_of_png_has_the_same_pixels),
        cmocka_unit_test(a_png_is_turned_as_its_exif_says),
        cmocka_unit_test(an_animated_webp_is_its_first_frame),
        cmocka_unit_test(a_png_with_a_wrong_crc_is_told),
        cmocka_unit_test(a_jpeg_of_many_scans_is_refused_before_they_are_read),
        cmocka_unit_test(what_a_header_claims_is_looked_at_before_memory_is_taken),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(squares_are_those_of_pillow),
        cmocka_unit_test(test_pnm_depths_and_cuts),
        cmocka_unit_test(test_thumbnail),
        cmocka_unit_test(test_heat_map),
    };
    return cmocka_run_group_tests(tests, open_values, close_values);
}
