/* Films as GIF, read back by a decoder written from the specification alone: pictures of few
 * colours come back as they were, others on the average of a small neighbourhood; what does not
 * change is not written again. */
#include <unistd.h>

#include "feavis/feavis.h"
#include "feavis/gif.h"
#include "feavis/image/palette.h"
#include "tests/check.h"

/* --- a decoder: GIF89a specification, sections 15 to 27 and appendix F --- */

typedef struct reader {
    const unsigned char *at, *end;
    int width, height, shown; /* shown: images so far */
    uint8_t *canvas;          /* [height * width * 3] */
    const unsigned char *colours;
    int delay, clear; /* of the next image; clear: transparent index, -1: none */
    int image_pixels; /* covered by the newest image */
    bool loops;
    char comment[4096];
} reader;

static int byte(reader *r)
{
    assert_true(r->at < r->end);
    return *r->at++;
}

static int word16(reader *r)
{
    int low = byte(r);
    return low | byte(r) << 8;
}

/* Sub-blocks up to the empty one, joined; the size. */
static size_t blocks(reader *r, unsigned char *out, size_t room)
{
    size_t size = 0;
    for (int n; (n = byte(r)) > 0;) {
        assert_true(size + (size_t)n <= room && r->end - r->at >= n);
        memcpy(out + size, r->at, (size_t)n);
        r->at += n;
        size += (size_t)n;
    }
    return size;
}

/* The string of a code, last index first; its length. */
static int string_of(const int *prefixes, const uint8_t *lasts, int code, int clear, uint8_t *out)
{
    int length = 0;
    for (; code >= clear; code = prefixes[code]) out[length++] = lasts[code];
    out[length++] = (uint8_t)code;
    return length;
}

static void decode(const unsigned char *data, size_t size, int least, uint8_t *out, int count)
{
    static int prefixes[4096];
    static uint8_t lasts[4096], string[4097];
    int clear = 1 << least, width = least + 1, next = clear + 2, before = -1, done = 0;
    size_t bit = 0;
    for (;;) {
        int code = 0;
        for (int i = 0; i < width; i++, bit++) {
            assert_true(bit / 8 < size);
            code |= (data[bit / 8] >> (bit % 8) & 1) << i;
        }
        if (code == clear) {
            width = least + 1;
            next = clear + 2;
            before = -1;
            continue;
        }
        if (code == clear + 1) break;
        assert_true(code < next || (code == next && before >= 0));
        if (before >= 0 && next < 4096) { /* the string before, and the first index of this one */
            int length = string_of(prefixes, lasts, code < next ? code : before, clear, string);
            prefixes[next] = before;
            lasts[next++] = string[length - 1];
            if (next == 1 << width && width < 12) width++;
        }
        int length = string_of(prefixes, lasts, code, clear, string);
        assert_true(done + length <= count);
        while (length) out[done++] = string[--length];
        before = code;
    }
    assert_int_equal(done, count);
    assert_int_equal(size, (bit + 7) / 8);
}

static void open_film(reader *r, const unsigned char *file, size_t size)
{
    *r = (reader){.at = file, .end = file + size, .clear = -1};
    assert_memory_equal(file, "GIF89a", 6);
    r->at += 6;
    r->width = word16(r);
    r->height = word16(r);
    assert_int_equal(byte(r), 0xf7); /* 256 colours for all images, 8 bits each */
    r->at += 2;
    r->colours = r->at;
    r->at += 3 * 256;
    r->canvas = calloc((size_t)(r->width * r->height), 3);
}

static void read_extension(reader *r)
{
    unsigned char data[4096];
    int label = byte(r);
    size_t size = blocks(r, data, sizeof data);
    if (label == 0xf9) {
        assert_int_equal(size, 4);
        assert_int_equal(data[0] >> 2 & 7, 1); /* the image stays where it is */
        r->delay = data[1] | data[2] << 8;
        r->clear = data[0] & 1 ? data[3] : -1;
    } else if (label == 0xff) {
        assert_memory_equal(data, "NETSCAPE2.0\x01\0\0", 14);
        r->loops = true;
    } else {
        assert_int_equal(label, 0xfe);
        assert_true(size < sizeof r->comment);
        memcpy(r->comment, data, size);
        r->comment[size] = 0;
    }
}

/* The next image onto the canvas; false: the trailer. */
static bool next_image(reader *r)
{
    static unsigned char data[1 << 20];
    int kind;
    while ((kind = byte(r)) == 0x21) read_extension(r);
    if (kind == 0x3b) {
        assert_true(r->at == r->end);
        return false;
    }
    assert_int_equal(kind, 0x2c);
    int x0 = word16(r), y0 = word16(r), w = word16(r), h = word16(r);
    assert_true(w > 0 && h > 0 && x0 + w <= r->width && y0 + h <= r->height);
    assert_int_equal(byte(r), 0);
    int least = byte(r);
    size_t size = blocks(r, data, sizeof data);
    uint8_t *indices = malloc((size_t)(w * h));
    decode(data, size, least, indices, w * h);
    for (int i = 0; i < w * h; i++)
        if (indices[i] != r->clear)
            memcpy(r->canvas + 3 * ((y0 + i / w) * r->width + x0 + i % w),
                   r->colours + 3 * indices[i], 3);
    free(indices);
    r->image_pixels = w * h;
    r->shown++;
    return true;
}

/* --- pictures --- */

static unsigned state_of_chance = 1;
static unsigned chance(unsigned below)
{
    state_of_chance = state_of_chance * 1664525u + 1013904223u;
    return (state_of_chance >> 8) % below;
}

/* Of the 216 colours whose parts are multiples of 51. */
static fv_picture mosaic(int w, int h)
{
    fv_picture p = {w, h, malloc((size_t)(w * h * 3))};
    for (int i = 0; i < w * h * 3; i++) p.rgb[i] = (uint8_t)(51 * chance(6));
    return p;
}

/* Smooth, with more colours than there are; `turn` moves it. */
static fv_picture landscape(int w, int h, int turn)
{
    fv_picture p = {w, h, malloc((size_t)(w * h * 3))};
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *rgb = p.rgb + 3 * (y * w + x);
            rgb[0] = (uint8_t)((x * 255 / w + turn) % 256 / 2 + 60);
            rgb[1] = (uint8_t)(y * 200 / h + 30);
            rgb[2] = (uint8_t)(200 - (x + y) * 150 / (w + h));
        }
    return p;
}

static unsigned char *film_of(const fv_picture *frames, int count, const char *comment, reader *r)
{
    size_t size;
    MUST(fv_gif_write(frames, count, 80, comment, "film.gif"));
    unsigned char *file = (unsigned char *)slurp("film.gif", &size);
    open_film(r, file, size);
    return file;
}

/* --- tests --- */

static void few_colours_come_back(void **state)
{
    (void)state;
    /* 60000 random pixels fill the table of codes many times; 1 x 1 has the shortest data */
    static const int sizes[][2] = {{300, 200}, {1, 1}, {7, 3}, {257, 2}};
    for (int k = 0; k < 4; k++) {
        reader r;
        fv_picture frames[3];
        for (int i = 0; i < 3; i++) frames[i] = mosaic(sizes[k][0], sizes[k][1]);
        char text[700];
        snprintf(text, sizeof text, "text: \"月\"\n%0600d", k); /* longer than a sub-block */
        unsigned char *file = film_of(frames, 3, text, &r);
        size_t bytes = (size_t)(sizes[k][0] * sizes[k][1] * 3);
        for (int i = 0; i < 4; i++) { /* the last one first, then all */
            assert_true(next_image(&r));
            assert_int_equal(r.delay, i ? 8 : 200);
            assert_memory_equal(r.canvas, frames[i ? i - 1 : 2].rgb, bytes);
        }
        assert_false(next_image(&r));
        assert_true(r.loops);
        assert_string_equal(r.comment, text);
        fv_picture still; /* another reader's opinion */
        MUST(fv_picture_read(&still, "film.gif"));
        assert_memory_equal(still.rgb, frames[2].rgb, bytes);
        fv_picture_free(&still);
        for (int i = 0; i < 3; i++) fv_picture_free(&frames[i]);
        free(r.canvas);
        free(file);
    }
    unlink("film.gif");
}

/* The mean over 9 x 9 pixels around the middle of a picture part. */
static double mean_at(const uint8_t *rgb, int w, int x, int y, int k)
{
    double sum = 0;
    for (int j = -4; j <= 4; j++)
        for (int i = -4; i <= 4; i++) sum += rgb[3 * ((y + j) * w + x + i) + k];
    return sum / 81;
}

static void many_colours_come_back_on_average(void **state)
{
    (void)state;
    enum { W = 160, H = 120, FRAMES = 6 };
    reader r;
    fv_picture frames[FRAMES];
    for (int i = 0; i < FRAMES; i++) frames[i] = landscape(W, H, 9 * i);
    unsigned char *file = film_of(frames, FRAMES, NULL, &r);
    double worst = 0, sum = 0;
    int means = 0;
    for (int f = 0; f <= FRAMES; f++) {
        const fv_picture *p = &frames[f ? f - 1 : FRAMES - 1];
        assert_true(next_image(&r));
        for (int y = 4; y < H - 4; y += 5)
            for (int x = 4; x < W - 4; x += 5)
                for (int k = 0; k < 3; k++, means++) {
                    double off = mean_at(r.canvas, W, x, y, k) - mean_at(p->rgb, W, x, y, k);
                    if (off < 0) off = -off;
                    if (off > worst) worst = off;
                    sum += off;
                }
    }
    /* A pixel may stay when it is 3 off, and what is handed over the edge of 81 pixels is missing:
     * measured 0.7 on average, 9.4 at worst, at the border. Without dithering the average is 1.7.
     */
    if (sum / means > 1.0 || worst > 12)
        fail_msg("means are %.2f of 255 off, at worst %.1f", sum / means, worst);
    assert_string_equal(r.comment, "");
    for (int i = 0; i < FRAMES; i++) fv_picture_free(&frames[i]);
    free(r.canvas);
    free(file);
    unlink("film.gif");
}

static void what_stays_is_not_written_again(void **state)
{
    (void)state;
    enum { W = 64, H = 48 };
    reader r;
    fv_picture frames[3];
    for (int i = 0; i < 3; i++) frames[i] = landscape(W, H, 0);
    for (int y = 10; y < 14; y++) /* a white spot of 5 x 4 in the second */
        memset(frames[1].rgb + 3 * (y * W + 20), 255, 15);
    for (int i = 0; i < W * H * 3; i++) frames[2].rgb[i] += 2; /* hardly another picture */
    unsigned char *file = film_of(frames, 3, NULL, &r);
    assert_true(next_image(&r));
    assert_int_equal(r.image_pixels, W * H);
    assert_true(next_image(&r)); /* 2 off the one before */
    assert_int_equal(r.image_pixels, 1);
    assert_true(next_image(&r));
    assert_int_equal(r.image_pixels, 20);
    assert_true(next_image(&r)); /* the spot goes */
    assert_int_equal(r.image_pixels, 20);
    assert_false(next_image(&r));
    for (int i = 0; i < 3; i++) fv_picture_free(&frames[i]);
    free(r.canvas);
    free(file);
    unlink("film.gif");
}

static void a_palette_is_near_its_pixels(void **state)
{
    (void)state;
    fv_palette *p;
    fv_picture few = mosaic(40, 40), many = landscape(160, 120, 0);
    MUST(fv_palette_new(&p));
    assert_int_equal(fv_palette_choose(p, 255), 0);
    fv_palette_add(p, &few, 3);
    assert_in_range(fv_palette_choose(p, 255), 200, 216);
    assert_int_equal(fv_palette_choose(p, 16), 16);
    fv_palette_add(p, &many, 1000);
    int count = fv_palette_choose(p, 255);
    double sum = 0;
    for (int i = 0; i < 160 * 120; i++) {
        const uint8_t *rgb = many.rgb + 3 * i;
        int at = fv_palette_nearest(p, rgb[0], rgb[1], rgb[2]);
        assert_in_range(at, 0, count - 1);
        for (int k = 0; k < 3; k++) {
            double d = (double)rgb[k] - fv_palette_colour(p, at)[k];
            sum += d * d;
        }
    }
    /* 255 colours over a surface of 128 x 200 x 150 values: about 10 apart, 3 to 4 off */
    assert_true(sum / (160 * 120 * 3) < 16);
    fv_palette_free(p);
    fv_picture_free(&few);
    fv_picture_free(&many);
}

static void what_is_no_film_is_refused(void **state)
{
    (void)state;
    fv_picture two[2] = {mosaic(4, 4), mosaic(4, 5)};
    FAILS(fv_gif_write(two, 2, 80, NULL, "film.gif"), FV_ERR_SHAPE, "picture 2 is 4 x 5");
    FAILS(fv_gif_write(two, 0, 80, NULL, "film.gif"), FV_ERR_ARGUMENT, "0 pictures");
    FAILS(fv_gif_write(two, 1, 0, NULL, "film.gif"), FV_ERR_ARGUMENT, "0 ms");
    FAILS(fv_gif_write(two, 1, 80, NULL, "no-such-folder/film.gif"), FV_ERR_IO, "no-such-folder");
    assert_int_not_equal(access("film.gif", F_OK), 0);
    fv_picture_free(&two[0]);
    fv_picture_free(&two[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_colours_come_back),
        cmocka_unit_test(many_colours_come_back_on_average),
        cmocka_unit_test(what_stays_is_not_written_again),
        cmocka_unit_test(a_palette_is_near_its_pixels),
        cmocka_unit_test(what_is_no_film_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
