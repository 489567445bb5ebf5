/* Films, scrolls and contact sheets: a film's frames come back as they were, by the PNG
 * specification's own words (chunks, CRCs, filters undone); a scroll and a sheet show each
 * picture where it belongs. */
#include <unistd.h>
#include <zlib.h>

#include "feavis/feavis.h"
#include "feavis/sheet.h"
#include "tests/check.h"

enum { W = 19, H = 13, FRAMES = 4 };

static fv_picture test_picture(int w, int h, unsigned seed)
{
    fv_picture p = {w, h, malloc((size_t)(w * h * 3))};
    for (int i = 0; i < w * h * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        p.rgb[i] = (uint8_t)((seed >> 24) / 2 + (unsigned)(i % 97));
    }
    return p;
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int paeth(int a, int b, int c)
{
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

static void check_frame(const unsigned char *data, size_t size, const fv_picture *expected)
{
    static unsigned char raw[H * (1 + 3 * W)];
    uint8_t out[H][3 * W];
    uLongf n = sizeof raw;
    assert_int_equal(uncompress(raw, &n, data, size), Z_OK);
    assert_int_equal(n, sizeof raw);
    for (int y = 0; y < H; y++) {
        const unsigned char *row = raw + y * (1 + 3 * W);
        for (int i = 0; i < 3 * W; i++) {
            int a = i >= 3 ? out[y][i - 3] : 0, b = y ? out[y - 1][i] : 0;
            int c = i >= 3 && y ? out[y - 1][i - 3] : 0,
                guess[] = {0, a, b, (a + b) / 2, paeth(a, b, c)};
            assert_in_range(row[0], 0, 4);
            out[y][i] = (uint8_t)(row[1 + i] + guess[row[0]]);
        }
    }
    assert_memory_equal(out, expected->rgb, sizeof out);
}

static void frames_come_back(void **state)
{
    (void)state;
    fv_picture frames[FRAMES];
    for (int i = 0; i < FRAMES; i++) frames[i] = test_picture(W, H, (unsigned)i);
    MUST(fv_film_write(frames, FRAMES, 80, "feavis: 0\ntext: \"月\"\n", "film.png"));
    size_t size;
    unsigned char *file = (unsigned char *)slurp("film.png", &size);
    uint32_t sequence = 0;
    int controls = 0, shown = 0;
    for (size_t at = 8; at < size;) {
        size_t n = get32(file + at);
        const unsigned char *type = file + at + 4, *data = type + 4;
        assert_true(at + n + 12 <= size);
        assert_int_equal(get32(data + n), crc32(0, type, (uInt)n + 4));
        if (memcmp(type, "acTL", 4) == 0) assert_int_equal(get32(data), FRAMES + 1);
        if (memcmp(type, "fcTL", 4) == 0) {
            assert_int_equal(get32(data), sequence++);
            assert_int_equal(data[20] << 8 | data[21], controls++ ? 80 : 2000);
        }
        if (memcmp(type, "IDAT", 4) == 0) check_frame(data, n, &frames[FRAMES - 1]);
        if (memcmp(type, "fdAT", 4) == 0) {
            assert_int_equal(get32(data), sequence++);
            check_frame(data + 4, n - 4, &frames[shown++]);
        }
        at += n + 12;
    }
    assert_int_equal(shown, FRAMES);
    free(file);
    fv_picture still; /* readers that know no films see the last picture, and the recipe */
    MUST(fv_picture_read(&still, "film.png"));
    assert_memory_equal(still.rgb, frames[FRAMES - 1].rgb, W * H * 3);
    char *recipe;
    MUST(fv_recipe_read(&recipe, "film.png"));
    assert_non_null(strstr(recipe, "月"));
    free(recipe);
    fv_picture_free(&still);
    fv_picture odd = test_picture(W + 1, H, 9), two[2] = {frames[0], odd};
    FAILS(fv_film_write(two, 2, 80, NULL, "film.png"), FV_ERR_SHAPE, "picture 2 is 20 x 13");
    FAILS(fv_film_write(two, 0, 80, NULL, "film.png"), FV_ERR_ARGUMENT, "0 pictures");
    fv_picture_free(&odd);
    for (int i = 0; i < FRAMES; i++) fv_picture_free(&frames[i]);
    unlink("film.png");
}

/* Whether `part` lies somewhere in `whole`, and where. */
static bool find_in(const fv_picture *whole, const fv_picture *part, int *x, int *y)
{
    for (*y = 0; *y + part->height <= whole->height; ++*y)
        for (*x = 0; *x + part->width <= whole->width; ++*x) {
            int row = 0;
            while (row < part->height &&
                   memcmp(whole->rgb + ((size_t)(*y + row) * (size_t)whole->width + (size_t)*x) * 3,
                          part->rgb + (size_t)row * (size_t)part->width * 3,
                          (size_t)part->width * 3) == 0)
                row++;
            if (row == part->height) return true;
        }
    return false;
}

static void a_scroll_is_read_from_the_right(void **state)
{
    (void)state;
    const char *const lines[] = {"床前明月光", "疑是地上霜", "the moon"};
    fv_picture panels[3], scroll;
    int x[3], y[3];
    for (int i = 0; i < 3; i++) panels[i] = test_picture(160, 160, 20u + (unsigned)i);
    MUST(fv_scroll_make(&scroll, panels, lines, 3));
    for (int i = 0; i < 3; i++) assert_true(find_in(&scroll, &panels[i], &x[i], &y[i]));
    assert_true(x[0] > x[1] && x[1] > x[2]);
    assert_int_equal(y[0], y[2]);
    fv_picture_free(&scroll);
    FAILS(fv_scroll_make(&scroll, panels, lines, 0), FV_ERR_ARGUMENT, "needs a panel");
    for (int i = 0; i < 3; i++) fv_picture_free(&panels[i]);
}

/* Mean of the red of a rectangle, of 255. */
static double red_of(const fv_picture *p, int left, int top, int width, int height)
{
    double sum = 0;
    for (int y = top; y < top + height; y++)
        for (int x = left; x < left + width; x++) sum += p->rgb[3 * (y * p->width + x)];
    return sum / (width * height);
}

/* Pixels that are as the seal is: red, and neither green nor blue. */
static int seal_of(const fv_picture *p, int *left, int *right)
{
    int count = 0;
    *left = p->width;
    *right = 0;
    for (int i = 0; i < p->width * p->height; i++) {
        const uint8_t *c = p->rgb + 3 * i;
        if (c[0] < 150 || c[1] > 110 || c[2] > 110) continue;
        count++;
        if (i % p->width < *left) *left = i % p->width;
        if (i % p->width > *right) *right = i % p->width;
    }
    return count;
}

static fv_picture grey_panel(int width, int height, uint8_t grey)
{
    fv_picture p = {width, height, malloc((size_t)width * (size_t)height * 3)};
    memset(p.rgb, grey, (size_t)width * (size_t)height * 3);
    return p;
}

/* Black panels on paper: dark in their middles, the first on the right; paper where the lines are
 * but for their letters; the seal left of all. */
static void a_hand_scroll_joins_panels_softly(void **state)
{
    (void)state;
    const char *const lines[] = {"千山鸟飞绝，", "孤舟蓑笠翁"};
    fv_picture panels[2] = {grey_panel(200, 200, 0), grey_panel(300, 200, 90)}, scroll, bare;
    fv_handscroll h = {.panels = panels, .lines = lines, .count = 2, .seal = "梦"};
    MUST(fv_handscroll_make(&scroll, &h));
    int left, right, dark[2] = {0}, count[2] = {0}, middle = scroll.height / 2;
    assert_true(seal_of(&scroll, &left, &right) > 100);
    assert_true(right < scroll.width / 5);
    for (int x = 0; x < scroll.width; x++) {
        int red = scroll.rgb[3 * (middle * scroll.width + x)];
        int which = red < 12 ? 0 : red > 80 && red < 100 ? 1 : -1;
        if (which < 0) continue;
        dark[which] += x;
        count[which]++;
    }
    assert_true(count[0] > 60 && count[1] > 120);
    assert_true(dark[0] / count[0] > dark[1] / count[1] + 150); /* the first on the right */
    /* no edge: neighbours along the middle differ by little, letters aside */
    const char *const none[] = {"，", "。"};
    h.lines = none;
    MUST(fv_handscroll_make(&bare, &h));
    assert_true(bare.width < scroll.width);
    for (int x = bare.width / 4; x + 30 < bare.width; x++) {
        int a = bare.rgb[3 * (middle * bare.width + x)];
        int b = bare.rgb[3 * (middle * bare.width + x + 1)];
        if (x > 40 && x < bare.width - 60) assert_true(abs(a - b) <= 40);
    }
    assert_true(red_of(&scroll, scroll.width - 90, middle - 10, 30, 20) > 225); /* paper */
    /* a title takes room at the right */
    fv_picture titled;
    h.lines = lines;
    h.title = "江雪";
    MUST(fv_handscroll_make(&titled, &h));
    assert_true(titled.width > scroll.width);
    fv_picture_free(&titled);
    fv_picture_free(&scroll);
    fv_picture_free(&bare);
    static const char *const seals[] = {"", "一二三四五"};
    for (int i = 0; i < 2; i++) {
        h.seal = seals[i];
        FAILS(fv_handscroll_make(&scroll, &h), FV_ERR_ARGUMENT, "a seal has one to 4 letters");
    }
    h.seal = "梦";
    h.count = 0;
    FAILS(fv_handscroll_make(&scroll, &h), FV_ERR_ARGUMENT, "needs a panel");
    fv_picture_free(&panels[0]);
    fv_picture_free(&panels[1]);
}

/* Letters of private use are in no font. */
static void letters_that_no_font_has_are_counted(void **state)
{
    (void)state;
    const char *const texts[] = {"moon", "\xf3\xb0\x80\x80", "\xf3\xb0\x80\x81 a"};
    int missing;
    MUST(fv_letters_missing(texts, 1, &missing));
    if (missing) skip(); /* no font at all */
    MUST(fv_letters_missing(texts, 3, &missing));
    assert_int_equal(missing, 2);
}

static void a_contact_sheet_has_rows(void **state)
{
    (void)state;
    const char *const captions[] = {"a", "月", "c", "d", "e"};
    fv_picture pictures[5], sheet;
    for (int i = 0; i < 5; i++) pictures[i] = test_picture(64, 64, 40u + (unsigned)i);
    MUST(fv_sheet_make(&sheet, pictures, captions, 5, 3, 64));
    int x[5], y[5];
    for (int i = 0; i < 5; i++) assert_true(find_in(&sheet, &pictures[i], &x[i], &y[i]));
    assert_int_equal(y[0], y[2]);
    assert_true(y[3] > y[0] && x[3] == x[0] && x[4] == x[1]);
    fv_picture_free(&sheet);
    FAILS(fv_sheet_make(&sheet, pictures, captions, 5, 400, 8), FV_ERR_ARGUMENT, "contact sheet");
    for (int i = 0; i < 5; i++) fv_picture_free(&pictures[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back),
        cmocka_unit_test(a_scroll_is_read_from_the_right),
        cmocka_unit_test(a_hand_scroll_joins_panels_softly),
        cmocka_unit_test(letters_that_no_font_has_are_counted),
        cmocka_unit_test(a_contact_sheet_has_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
