/* See gif.h. The format is CompuServe's GIF89a specification of 1990 and Netscape's loop block.
 *
 *   header, colours, loop [comment] { graphic control, image descriptor, LZW data } ... trailer
 *
 * An image covers the smallest rectangle that holds what changed; the pixels in it that stay are
 * transparent. The first is the finished picture, so that a reader of stills shows that one. */
#include "feavis/gif.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/image/palette.h"
#include "feavis/image/save.h"

enum {
    COLOURS = 255,
    CLEAR = 0xff, /* the index of transparent pixels */
    STILL = 200,  /* hundredths of a second */
    KEEP = 3,     /* a pixel that has moved by no more stays as it was painted */
    CARRY = 48,   /* the most of an error that a pixel inherits */
    MAX_SIDE = 65535
};

/* --- LZW --- */

enum { CODE_CLEAR = 256, CODE_END = 257, CODE_LIMIT = 4095, SLOTS = 8192 };

typedef struct lzw {
    fv_file_writer *to;
    fv_status status;
    unsigned char block[256]; /* its length, then up to 255 bytes */
    uint32_t bits;            /* not yet in the block, lowest first */
    int bit_count;
    int width, next; /* bits of a code; the next free one */
    struct {
        int32_t key;
        int code;
    } slots[SLOTS]; /* prefix << 8 | index, + 1; 0: free */
} lzw;

static void flush_block(lzw *z)
{
    if (z->block[0] && z->status >= 0)
        z->status = fv_file_write(z->to, z->block, (size_t)z->block[0] + 1);
    z->block[0] = 0;
}

static void put_byte(lzw *z)
{
    z->block[++z->block[0]] = (unsigned char)z->bits;
    z->bits >>= 8;
    z->bit_count -= 8;
    if (z->block[0] == 255) flush_block(z);
}

static void put_code(lzw *z, int code)
{
    z->bits |= (uint32_t)code << z->bit_count;
    z->bit_count += z->width;
    while (z->bit_count >= 8) put_byte(z);
    /* a reader knows one code less: it takes the next in the width that holds this one */
    if (z->next == 1 << z->width && z->width < 12) z->width++;
}

static void start_codes(lzw *z)
{
    memset(z->slots, 0, sizeof z->slots);
    z->width = 9;
    z->next = CODE_END + 1;
}

/* The place of a string of indices, or of where it would be. */
static size_t find_slot(const lzw *z, int32_t key)
{
    size_t at = ((uint32_t)key * 2654435761u) >> 19;
    while (z->slots[at].key && z->slots[at].key != key) at = (at + 1) % SLOTS;
    return at;
}

static fv_status write_indices(lzw *z, const uint8_t *indices, size_t stride, int width, int height)
{
    static const unsigned char least = 8, end = 0; /* bits of an index; no more blocks */
    FV_TRY(fv_file_write(z->to, &least, 1));
    z->status = FV_OK;
    z->bits = 0;
    z->bit_count = z->block[0] = 0;
    start_codes(z);
    put_code(z, CODE_CLEAR);
    int prefix = indices[0];
    for (int y = 0; y < height; y++)
        for (int x = y ? 0 : 1; x < width; x++) {
            uint8_t index = indices[(size_t)y * stride + (size_t)x];
            int32_t key = (prefix << 8 | index) + 1;
            size_t at = find_slot(z, key);
            if (z->slots[at].key) {
                prefix = z->slots[at].code;
                continue;
            }
            put_code(z, prefix);
            prefix = index;
            if (z->next < CODE_LIMIT) {
                z->slots[at].key = key;
                z->slots[at].code = z->next++;
            } else {
                put_code(z, CODE_CLEAR);
                start_codes(z);
            }
        }
    put_code(z, prefix);
    put_code(z, CODE_END);
    if (z->bit_count > 0) put_byte(z);
    flush_block(z);
    return z->status < 0 ? z->status : fv_file_write(z->to, &end, 1);
}

/* --- pixels to colours --- */

typedef struct film {
    fv_file_writer *to;
    fv_palette *palette;
    int width, height;
    bool painted;     /* there is something on the canvas */
    uint8_t *source;  /* [height * width * 3] what each pixel was when it was painted */
    uint8_t *shown;   /* [height * width] its colour */
    uint8_t *indices; /* [height * width] of the new image, or CLEAR */
    int *errors;      /* [2][width + 2][3] handed to this row and to the next, in sixteenths */
    lzw lzw;
} film;

static bool stays(const film *f, size_t at, const uint8_t *rgb)
{
    const uint8_t *was = f->source + 3 * at;
    return f->painted && abs(rgb[0] - was[0]) <= KEEP && abs(rgb[1] - was[1]) <= KEEP &&
           abs(rgb[2] - was[2]) <= KEEP;
}

static int limit(int x, int low, int high)
{
    return x < low ? low : x > high ? high : x;
}

/* One pixel; forward: 1 or -1, the way this row goes. */
static void dither(film *f, const fv_picture *p, int x, int y, int forward)
{
    size_t at = (size_t)y * (size_t)f->width + (size_t)x;
    const uint8_t *rgb = p->rgb + 3 * at;
    int *here = f->errors + 3 * (x + 1), *below = here + 3 * (f->width + 2), want[3];
    for (int k = 0; k < 3; k++) want[k] = rgb[k] + limit(here[k] / 16, -CARRY, CARRY);
    bool kept = stays(f, at, rgb);
    if (!kept) {
        f->shown[at] = (uint8_t)fv_palette_nearest(f->palette, limit(want[0], 0, 255),
                                                   limit(want[1], 0, 255), limit(want[2], 0, 255));
        memcpy(f->source + 3 * at, rgb, 3);
    }
    f->indices[at] = kept ? CLEAR : f->shown[at];
    const uint8_t *got = fv_palette_colour(f->palette, f->shown[at]);
    for (int k = 0; k < 3; k++) {
        int error = limit(want[k] - got[k], -CARRY, CARRY);
        here[3 * forward + k] += 7 * error;
        below[-3 * forward + k] += 3 * error;
        below[k] += 5 * error;
        below[3 * forward + k] += error;
    }
}

static void paint(film *f, const fv_picture *p)
{
    size_t row = 3 * (size_t)(f->width + 2);
    memset(f->errors, 0, 2 * row * sizeof *f->errors);
    for (int y = 0; y < f->height; y++) {
        for (int i = 0; i < f->width; i++)
            dither(f, p, y % 2 ? f->width - 1 - i : i, y, y % 2 ? -1 : 1);
        memcpy(f->errors, f->errors + row, row * sizeof *f->errors);
        memset(f->errors + row, 0, row * sizeof *f->errors);
    }
    f->painted = true;
}

/* --- blocks --- */

static void put16(unsigned char *p, int x)
{
    p[0] = (unsigned char)x;
    p[1] = (unsigned char)(x >> 8);
}

/* The smallest rectangle with all that changed; one pixel if nothing has. */
static void changed(const film *f, int *x0, int *y0, int *x1, int *y1)
{
    *x0 = f->width, *y0 = f->height, *x1 = *y1 = -1;
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++) {
            if (f->indices[(size_t)y * (size_t)f->width + (size_t)x] == CLEAR) continue;
            if (x < *x0) *x0 = x;
            if (x > *x1) *x1 = x;
            if (y < *y0) *y0 = y;
            *y1 = y;
        }
    if (*x1 < 0) *x0 = *y0 = *x1 = *y1 = 0;
}

static fv_status write_image(film *f, const fv_picture *p, int hundredths)
{
    int x0, y0, x1, y1;
    paint(f, p);
    changed(f, &x0, &y0, &x1, &y1);
    /* keep what is there; index CLEAR is transparent */
    unsigned char head[18] = {0x21, 0xf9, 4, 1 << 2 | 1, 0, 0, CLEAR, 0, 0x2c};
    put16(head + 4, hundredths);
    put16(head + 9, x0);
    put16(head + 11, y0);
    put16(head + 13, x1 - x0 + 1);
    put16(head + 15, y1 - y0 + 1);
    FV_TRY(fv_file_write(f->to, head, sizeof head));
    size_t first = (size_t)y0 * (size_t)f->width + (size_t)x0;
    return write_indices(&f->lzw, f->indices + first, (size_t)f->width, x1 - x0 + 1, y1 - y0 + 1);
}

static fv_status write_head(film *f)
{
    static const char loop[] = "\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00"; /* and a 0: for ever */
    unsigned char head[13 + 3 * 256] = "GIF89a";
    put16(head + 6, f->width);
    put16(head + 8, f->height);
    head[10] = 0xf7; /* a table of 256 colours, of 8 bits each */
    for (int i = 0; i < COLOURS; i++)
        memcpy(head + 13 + 3 * i, fv_palette_colour(f->palette, i), 3);
    FV_TRY(fv_file_write(f->to, head, sizeof head));
    return fv_file_write(f->to, loop, sizeof loop);
}

static fv_status write_comment(film *f, const char *text)
{
    static const unsigned char head[2] = {0x21, 0xfe}, end = 0;
    FV_TRY(fv_file_write(f->to, head, 2));
    for (size_t left = strlen(text); left;) {
        unsigned char n = (unsigned char)(left < 255 ? left : 255);
        FV_TRY(fv_file_write(f->to, &n, 1));
        FV_TRY(fv_file_write(f->to, text, n));
        text += n;
        left -= n;
    }
    return fv_file_write(f->to, &end, 1);
}

static fv_status write_film(film *f, const fv_picture *frames, int count, int milliseconds,
                            const char *comment, bool loop)
{
    static const unsigned char trailer = 0x3b;
    int hundredths = limit((milliseconds + 5) / 10, 2, 6553); /* readers slow down what is faster */
    for (int i = 0; i < count; i++) fv_palette_add(f->palette, &frames[i], 1);
    if (!loop) /* looked at longest */
        fv_palette_add(f->palette, &frames[count - 1], (count + 3) / 4);
    fv_palette_choose(f->palette, COLOURS);
    FV_TRY(write_head(f));
    if (comment && *comment) FV_TRY(write_comment(f, comment));
    if (!loop) FV_TRY(write_image(f, &frames[count - 1], STILL));
    for (int i = 0; i < count; i++) FV_TRY(write_image(f, &frames[i], hundredths));
    return fv_file_write(f->to, &trailer, 1);
}

static fv_status open_film(film *f, const fv_picture *first)
{
    size_t n = (size_t)first->width * (size_t)first->height;
    f->width = first->width;
    f->height = first->height;
    FV_TRY(fv_palette_new(&f->palette));
    f->source = calloc(n, 3);
    f->shown = calloc(n, 1);
    f->indices = malloc(n);
    f->errors = malloc(6 * (size_t)(f->width + 2) * sizeof *f->errors);
    if (f->source && f->shown && f->indices && f->errors) return FV_OK;
    return fv_fail(FV_ERR_MEMORY, "writing a film: out of memory");
}

static void close_film(film *f)
{
    fv_palette_free(f->palette);
    free(f->source);
    free(f->shown);
    free(f->indices);
    free(f->errors);
    free(f);
}

static fv_status write_to(fv_file_writer *w, const fv_picture *frames, int count, int milliseconds,
                          const char *comment, bool loop)
{
    FV_TRY(fv_film_check(frames, count, milliseconds));
    if (frames[0].width > MAX_SIDE || frames[0].height > MAX_SIDE)
        return fv_fail(FV_ERR_UNSUPPORTED, "a GIF has at most %d pixels a side", MAX_SIDE);
    film *f = calloc(1, sizeof *f);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing a film: out of memory");
    f->to = f->lzw.to = w;
    fv_status s = open_film(f, &frames[0]);
    if (s >= 0) s = write_film(f, frames, count, milliseconds, comment, loop);
    close_film(f);
    return s;
}

fv_status fv_gif_write_to(fv_file_writer *w, const fv_picture *frames, int count, int milliseconds,
                          const char *comment)
{
    return write_to(w, frames, count, milliseconds, comment, false);
}

fv_status fv_gif_write_loop(const fv_picture *frames, int count, int milliseconds,
                            const char *comment, const char *path)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, write_to(w, frames, count, milliseconds, comment, true));
}

fv_status fv_gif_write(const fv_picture *frames, int count, int milliseconds, const char *comment,
                       const char *path)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, fv_gif_write_to(w, frames, count, milliseconds, comment));
}
