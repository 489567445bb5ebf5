/* Pictures from files: JPEG (picture_jpeg.c), PNG (picture_png.c), WebP (picture_webp.c), PNM
 * (picture_pnm.c), and BMP, GIF, TGA and PSD (stb_image), told apart by content. Of animations it
 * is the first frame.
 *
 * All become 8-bit RGB. Grey is repeated, of 16 bits the upper eight stay, transparent pixels
 * are laid over white, CMYK is taken as ink on white paper (r = (255 - c)(255 - k) / 255), and a
 * photo is turned upright as its EXIF orientation says. JPEG pixels are those of PIL, which uses
 * the same library; the official example differs in two ways: it ignores the orientation and
 * drops transparency instead of laying it over white.
 *
 * A file that is cut off is refused. So is one that claims more pixels than FREE_PIXELS and
 * PIXELS_A_BYTE allow: no picture is packed like that, but a small file that is one takes minutes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libexif/exif-data.h>
#include <stb/stb_image.h>
#include <stdbool.h>

#include "feavis/image/picture_formats.h"
#include "model/files/read_file.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { MOST_PIXELS = 1 << 14 }; /* an honest large picture takes its time */
#else
enum { MOST_PIXELS = 1 << 28 };
#endif
enum {
    FILE_LIMIT = 256 << 20,
    MOST_SIDE = 32768,
    FREE_PIXELS = 100000000, /* of any file, however small ... */
    PIXELS_A_BYTE = 64,      /* ... and more for each of its bytes */
    PACKED_PIXELS = 64,      /* to a byte in BMP, TGA and PSD: runs of 128 in 2 bytes */
    EXIF_LIMIT = 1 << 24
};

void fv_picture_free(fv_picture *p)
{
    free(p->rgb);
    *p = (fv_picture){0};
}

fv_status fv_picture_new(fv_picture *p, int64_t width, int64_t height, size_t file_size)
{
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE ||
        width * height > MOST_PIXELS)
        return fv_fail(FV_ERR_UNSUPPORTED, "%lld x %lld pixels is too large", (long long)width,
                       (long long)height);
    if (width * height > FREE_PIXELS &&
        (size_t)(width * height - FREE_PIXELS) / PIXELS_A_BYTE > file_size)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "%lld x %lld pixels is too large for a file of %zu bytes", (long long)width,
                       (long long)height, file_size);
    *p = (fv_picture){(int)width, (int)height, malloc((size_t)(width * height) * 3)};
    return p->rgb ? FV_OK : fv_fail(FV_ERR_MEMORY, "out of memory");
}

void fv_picture_flatten(uint8_t *rgb, const uint8_t *rgba, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned alpha = rgba[4 * i + 3];
        for (size_t k = 0; k < 3; k++)
            rgb[3 * i + k] = (uint8_t)((rgba[4 * i + k] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

/* --- EXIF --- */

static int read_orientation(const unsigned char *exif, size_t size)
{
    ExifData *data = exif_data_new_from_data(exif, (unsigned)size);
    ExifEntry *entry =
        data ? exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION) : NULL;
    int orientation = 1;
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        orientation = exif_get_short(entry->data, exif_data_get_byte_order(data));
    exif_data_unref(data);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

int fv_exif_orientation(const unsigned char *exif, size_t size)
{
    static const char start[6] = "Exif\0";
    if (size < sizeof start || size > EXIF_LIMIT) return 1;
    if (memcmp(exif, start, sizeof start) == 0) return read_orientation(exif, size);
    unsigned char *whole = malloc(sizeof start + size); /* libexif wants the beginning */
    if (!whole) return 1;
    memcpy(whole, start, sizeof start);
    memcpy(whole + sizeof start, exif, size);
    int orientation = read_orientation(whole, sizeof start + size);
    free(whole);
    return orientation;
}

/* EXIF 2.3, 4.6.4: 2 mirrored, 3 upside down, 4 flipped, 5 to 8 with rows and columns swapped. */
fv_status fv_picture_turn(fv_picture *p, int orientation)
{
    if (orientation == 1) return FV_OK;
    bool swap = orientation >= 5;
    bool mirror = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool flip = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    fv_picture q;
    FV_TRY(fv_picture_new(&q, swap ? p->height : p->width, swap ? p->width : p->height,
                          (size_t)p->width * (size_t)p->height));
    uint8_t *to = q.rgb;
    for (int y = 0; y < q.height; y++)
        for (int x = 0; x < q.width; x++, to += 3) {
            int u = swap ? y : x, v = swap ? x : y; /* column and row of the stored picture */
            if (mirror) u = p->width - 1 - u;
            if (flip) v = p->height - 1 - v;
            memcpy(to, p->rgb + 3 * ((size_t)v * (size_t)p->width + (size_t)u), 3);
        }
    fv_picture_free(p);
    *p = q;
    return FV_OK;
}

/* --- the rest: stb_image --- */

/* The file as stb asks for it. Where there is no more it goes on with zeros, so that is noted: it
 * fills its buffer, of which it may not need everything, or asks for what it needs. */
typedef struct reader {
    fv_picture_file file;
    size_t at;
    const char *buffer; /* where the first bytes went */
    bool cut;
} reader;

static int read_bytes(void *user, char *out, int n)
{
    reader *r = user;
    size_t left = r->file.size - r->at, count = (size_t)n < left ? (size_t)n : left;
    if (!r->buffer) r->buffer = out;
    r->cut = r->cut || (n > 0 && left == 0) || (out != r->buffer && count < (size_t)n);
    memcpy(out, r->file.data + r->at, count);
    r->at += count;
    return (int)count;
}

static void skip_bytes(void *user, int n)
{
    reader *r = user;
    size_t left = r->file.size - r->at;
    if (n < 0)
        r->at -= (size_t)-n < r->at ? (size_t)-n : r->at;
    else
        r->at += (size_t)n < left ? (size_t)n : left;
}

static int at_end(void *user)
{
    const reader *r = user;
    return r->at == r->file.size;
}

static fv_status read_other(fv_picture *p, fv_picture_file file)
{
    static const stbi_io_callbacks calls = {read_bytes, skip_bytes, at_end};
    int width, height, channels;
    reader r = {.file = file};
    if (!stbi_info_from_callbacks(&calls, &r, &width, &height, &channels))
        return fv_fail(FV_ERR_FORMAT, "%s (JPEG, PNG, WebP, BMP, GIF, TGA, PSD and PNM are read)",
                       stbi_failure_reason());
    bool gif = file.size > 3 && memcmp(file.data, "GIF", 3) == 0;
    int64_t pixels = (int64_t)width * height; /* fv_picture_new refuses more than MOST_PIXELS */
    if (!gif && pixels <= MOST_PIXELS && pixels / PACKED_PIXELS > (int64_t)file.size)
        return fv_fail(FV_ERR_FORMAT, "the file is cut off: %zu bytes hold no %d x %d pixels",
                       file.size, width, height);
    FV_TRY(fv_picture_new(p, width, height, file.size));
    r = (reader){.file = file};
    int found_width = 0, found_height = 0;
    unsigned char *rgba =
        stbi_load_from_callbacks(&calls, &r, &found_width, &found_height, &channels, 4);
    fv_status s = !rgba   ? fv_fail(FV_ERR_FORMAT, "%s", stbi_failure_reason())
                  : r.cut ? fv_fail(FV_ERR_FORMAT, "the file is cut off")
                  : found_width != width || found_height != height
                      ? fv_fail(FV_ERR_FORMAT, "the file is damaged")
                      : FV_OK;
    if (s >= 0)
        fv_picture_flatten(p->rgb, rgba, (size_t)width * (size_t)height);
    else
        fv_picture_free(p);
    stbi_image_free(rgba);
    return s;
}

static bool begins(fv_picture_file file, size_t at, const char *magic, size_t n)
{
    return file.size >= at + n && memcmp(file.data + at, magic, n) == 0;
}

fv_status fv_picture_read(fv_picture *out, const char *path)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file(&data, &size, path, "picture", FILE_LIMIT));
    fv_picture_file file = {data, size};
    fv_picture p = {0};
    fv_status s =
        begins(file, 0, "\xff\xd8\xff", 3)                         ? fv_picture_read_jpeg(&p, file)
        : begins(file, 0, "\x89PNG\r\n\x1a\n", 8)                  ? fv_picture_read_png(&p, file)
        : begins(file, 0, "RIFF", 4) && begins(file, 8, "WEBP", 4) ? fv_picture_read_webp(&p, file)
        : begins(file, 0, "P5", 2) || begins(file, 0, "P6", 2)     ? fv_picture_read_pnm(&p, file)
                                                                   : read_other(&p, file);
    free(data);
    if (s < 0) {
        fv_picture_free(&p);
        return fv_fail_context(s, "picture %s cannot be read", path);
    }
    *out = p;
    return FV_OK;
}
