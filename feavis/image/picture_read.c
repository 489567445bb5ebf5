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
 * PIXELS_A_BYTE (picture_upright.c) allow: no picture is packed like that, but a small file that is
 * one takes minutes.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <stb/stb_image.h>

#include "feavis/image/picture_formats.h"
#include "model/files/read_file.h"

enum {
    FILE_LIMIT = 256 << 20,
    PACKED_PIXELS = 64 /* to a byte in BMP, TGA and PSD: runs of 128 in 2 bytes */
};

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
    int64_t pixels = (int64_t)width * height; /* fv_picture_new refuses more than FV_MAX_PIXELS */
    if (!gif && pixels <= FV_MAX_PIXELS && pixels / PACKED_PIXELS > (int64_t)file.size)
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
    FV_TRY(fv_read_file_or_input(&data, &size, path, "picture", FILE_LIMIT));
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
        return fv_fail_context(s, "picture %s cannot be read",
                               strcmp(path, "-") ? path : "from standard input");
    }
    *out = p;
    return FV_OK;
}
