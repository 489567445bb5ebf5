/* Films of how a picture grew: animated PNG (the APNG specification of the PNG group), written
 * with zlib alone. See feavis.h.
 *
 *   signature IHDR acTL [iTXt feavis] { fcTL IDAT | fcTL fdAT } ... IEND
 *
 * Readers that know no animation show the first frame, so that is the finished picture, shown
 * before the growth begins. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "feavis/film.h"
#include "feavis/image/save.h"

static void put32(unsigned char *p, uint32_t x)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(x >> (24 - 8 * i));
}

static void put16(unsigned char *p, unsigned x)
{
    p[0] = (unsigned char)(x >> 8);
    p[1] = (unsigned char)x;
}

/* length, type, data (in two parts, the second may be empty), CRC of type and data */
static fv_status write_chunk(fv_file_writer *w, const char *type, const void *a, size_t an,
                             const void *b, size_t bn)
{
    unsigned char head[8], tail[4];
    put32(head, (uint32_t)(an + bn));
    memcpy(head + 4, type, 4);
    uLong crc = crc32(0, head + 4, 4);
    if (an) crc = crc32(crc, a, (uInt)an); /* of NULL it would be 0 */
    if (bn) crc = crc32(crc, b, (uInt)bn);
    put32(tail, (uint32_t)crc);
    FV_TRY(fv_file_write(w, head, 8));
    if (an) FV_TRY(fv_file_write(w, a, an));
    if (bn) FV_TRY(fv_file_write(w, b, bn));
    return fv_file_write(w, tail, 4);
}

static int paeth(int a, int b, int c)
{
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* One row under filter `kind` (PNG specification, 9.2): [1 + bytes]; the sum of magnitudes. */
static long filter_row(unsigned char *out, int kind, const uint8_t *row, const uint8_t *above,
                       size_t bytes)
{
    long sum = 0;
    *out++ = (unsigned char)kind;
    for (size_t i = 0; i < bytes; i++) {
        int left = i >= 3 ? row[i - 3] : 0, up = above ? above[i] : 0;
        int corner = i >= 3 && above ? above[i - 3] : 0;
        int guess = kind == 1 ? left : kind == 2 ? up : kind == 4 ? paeth(left, up, corner) : 0;
        unsigned char v = (unsigned char)(row[i] - guess);
        out[i] = v;
        sum += v < 128 ? v : 256 - v;
    }
    return sum;
}

/* The zlib stream of a picture, each row under the filter with the least sum. */
static fv_status compress_picture(const fv_picture *p, unsigned char **out, uLongf *size)
{
    static const int kinds[] = {1, 2, 4};
    size_t bytes = (size_t)p->width * 3, row = bytes + 1, all = row * (size_t)p->height;
    unsigned char *raw = malloc(all), *tried = malloc(row);
    *size = compressBound((uLong)all);
    *out = malloc(*size);
    bool ok = raw && tried && *out;
    for (int y = 0; ok && y < p->height; y++) {
        const uint8_t *now = p->rgb + (size_t)y * bytes, *above = y ? now - bytes : NULL;
        long lowest = -1;
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            long sum = filter_row(tried, kinds[k], now, above, bytes);
            if (lowest >= 0 && sum >= lowest) continue;
            lowest = sum;
            memcpy(raw + row * (size_t)y, tried, row);
        }
    }
    ok = ok && compress2(*out, size, raw, (uLong)all, 6) == Z_OK;
    free(raw);
    free(tried);
    if (ok) return FV_OK;
    free(*out);
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "writing a film: out of memory");
}

static fv_status write_frame(fv_file_writer *w, const fv_picture *p, bool first, uint32_t *sequence,
                             int milliseconds)
{
    unsigned char control[26] = {0}, number[4];
    put32(control, (*sequence)++);
    put32(control + 4, (uint32_t)p->width);
    put32(control + 8, (uint32_t)p->height);
    put16(control + 20, (unsigned)milliseconds);
    put16(control + 22, 1000); /* delay: milliseconds / 1000 seconds */
    FV_TRY(write_chunk(w, "fcTL", control, sizeof control, NULL, 0));
    unsigned char *data;
    uLongf size;
    FV_TRY(compress_picture(p, &data, &size));
    fv_status s;
    if (first) {
        s = write_chunk(w, "IDAT", data, size, NULL, 0);
    } else {
        put32(number, (*sequence)++);
        s = write_chunk(w, "fdAT", number, 4, data, size);
    }
    free(data);
    return s;
}

static fv_status write_film(fv_file_writer *w, const fv_picture *frames, int count,
                            int milliseconds, const char *recipe, bool loop)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const char keyword[12] = "feavis"; /* 0, not compressed, no language, no translation */
    unsigned char header[13] = {0}, control[8] = {0};
    put32(header, (uint32_t)frames[0].width);
    put32(header + 4, (uint32_t)frames[0].height);
    header[8] = 8; /* bits; colour type 2: RGB */
    header[9] = 2;
    put32(control, (uint32_t)(count + !loop)); /* frames; played 0 times: for ever */
    FV_TRY(fv_file_write(w, signature, sizeof signature));
    FV_TRY(write_chunk(w, "IHDR", header, sizeof header, NULL, 0));
    if (recipe) FV_TRY(write_chunk(w, "iTXt", keyword, 11, recipe, strlen(recipe)));
    FV_TRY(write_chunk(w, "acTL", control, sizeof control, NULL, 0));
    uint32_t sequence = 0;
    if (!loop) FV_TRY(write_frame(w, &frames[count - 1], true, &sequence, 2000));
    for (int i = 0; i < count; i++)
        FV_TRY(write_frame(w, &frames[i], loop && i == 0, &sequence, milliseconds));
    return write_chunk(w, "IEND", NULL, 0, NULL, 0);
}

fv_status fv_film_check(const fv_picture *frames, int count, int milliseconds)
{
    if (count < 1 || milliseconds < 1 || milliseconds > 65535)
        return fv_fail(FV_ERR_ARGUMENT, "a film of %d pictures, %d ms each", count, milliseconds);
    for (int i = 1; i < count; i++)
        if (frames[i].width != frames[0].width || frames[i].height != frames[0].height)
            return fv_fail(FV_ERR_SHAPE, "film: picture %d is %d x %d, the first %d x %d", i + 1,
                           frames[i].width, frames[i].height, frames[0].width, frames[0].height);
    return FV_OK;
}

fv_status fv_film_write_to(fv_file_writer *w, const fv_picture *frames, int count, int milliseconds,
                           const char *recipe)
{
    FV_TRY(fv_film_check(frames, count, milliseconds));
    return write_film(w, frames, count, milliseconds, recipe, false);
}

fv_status fv_film_write(const fv_picture *frames, int count, int milliseconds, const char *recipe,
                        const char *path)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, fv_film_write_to(w, frames, count, milliseconds, recipe));
}

fv_status fv_film_write_loop(const fv_picture *frames, int count, int milliseconds,
                             const char *recipe, const char *path)
{
    fv_file_writer *w;
    FV_TRY(fv_film_check(frames, count, milliseconds));
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, write_film(w, frames, count, milliseconds, recipe, true));
}
