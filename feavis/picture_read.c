/* Pictures from files: JPEG (libjpeg-turbo), WebP (libwebp), and PNG, BMP, GIF, TGA, PSD, PNM
 * (stb_image), told apart by content.
 *
 * All become 8-bit RGB. Grey is repeated, of 16 bits the upper eight stay, transparent pixels
 * are laid over white, CMYK is taken as ink on white paper (r = (255 - c)(255 - k) / 255), and a
 * photo is turned upright as its EXIF orientation says. JPEG pixels are those of PIL, which uses
 * the same library; the official example differs in two ways: it ignores the orientation and
 * drops transparency instead of laying it over white. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <libexif/exif-data.h>
#include <stb/stb_image.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "feavis/feavis.h"
#include "feavis/read_file.h"

enum { FILE_LIMIT = 256 << 20, MOST_SIDE = 32768, MOST_PIXELS = 1 << 28 };

void fv_picture_free(fv_picture *p)
{
    free(p->rgb);
    *p = (fv_picture){0};
}

static fv_status new_picture(fv_picture *p, int width, int height)
{
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE ||
        (int64_t)width * height > MOST_PIXELS)
        return fv_fail(FV_ERR_UNSUPPORTED, "%d x %d pixels is too large", width, height);
    *p = (fv_picture){width, height, malloc((size_t)width * (size_t)height * 3)};
    return p->rgb ? FV_OK : fv_fail(FV_ERR_MEMORY, "out of memory");
}

/* rgba over white */
static void flatten(fv_picture *p, const unsigned char *rgba)
{
    size_t pixels = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < pixels; i++) {
        unsigned alpha = rgba[4 * i + 3];
        for (size_t k = 0; k < 3; k++)
            p->rgb[3 * i + k] =
                (uint8_t)((rgba[4 * i + k] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

/* --- EXIF --- */

/* 1 to 8; 1 (upright) if nothing sensible is said. */
static int read_orientation(const unsigned char *exif, size_t size)
{
    ExifData *data = size < 1 << 24 ? exif_data_new_from_data(exif, (unsigned)size) : NULL;
    ExifEntry *entry =
        data ? exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION) : NULL;
    int orientation = 1;
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        orientation = exif_get_short(entry->data, exif_data_get_byte_order(data));
    exif_data_unref(data);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/* EXIF 2.3, 4.6.4: 2 mirrored, 3 upside down, 4 flipped, 5 to 8 with rows and columns swapped. */
static fv_status turn_upright(fv_picture *p, int orientation)
{
    if (orientation == 1) return FV_OK;
    bool swap = orientation >= 5;
    bool mirror = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool flip = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    fv_picture q;
    FV_TRY(new_picture(&q, swap ? p->height : p->width, swap ? p->width : p->height));
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

/* --- JPEG --- */

typedef struct jpeg_errors {
    struct jpeg_error_mgr base;
    jmp_buf back;
    bool cut; /* the file ended too early */
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

static void jpeg_failed(j_common_ptr c)
{
    jpeg_errors *e = (jpeg_errors *)c->err;
    c->err->format_message(c, e->message);
    longjmp(e->back, 1);
}

static void jpeg_warned(j_common_ptr c, int level)
{
    jpeg_errors *e = (jpeg_errors *)c->err;
    if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF) e->cut = true;
}

/* Adobe stores ink inverted; `cmyk` rows become rgb in place. */
static void cmyk_to_rgb(uint8_t *to, const uint8_t *cmyk, int width, bool inverted)
{
    for (int x = 0; x < width; x++, to += 3, cmyk += 4)
        for (int k = 0; k < 3; k++) {
            unsigned light = inverted ? cmyk[k] : 255u - cmyk[k];
            unsigned white = inverted ? cmyk[3] : 255u - cmyk[3];
            to[k] = (uint8_t)((light * white + 127) / 255);
        }
}

static int jpeg_orientation(const struct jpeg_decompress_struct *d)
{
    for (jpeg_saved_marker_ptr m = d->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && memcmp(m->data, "Exif\0", 6) == 0)
            return read_orientation(m->data, m->data_length);
    return 1;
}

/* Everything that libjpeg may jump out of; `row` holds one line of CMYK. */
static fv_status decode_jpeg(struct jpeg_decompress_struct *d, fv_picture *p, uint8_t **row,
                             int *orientation, const unsigned char *data, size_t size)
{
    jpeg_mem_src(d, data, size);
    jpeg_save_markers(d, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(d, TRUE);
    bool ink = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    d->out_color_space = ink ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(d);
    FV_TRY(new_picture(p, (int)d->output_width, (int)d->output_height));
    if (ink && !(*row = malloc((size_t)p->width * 4)))
        return fv_fail(FV_ERR_MEMORY, "out of memory");
    while (d->output_scanline < d->output_height) {
        uint8_t *to = p->rgb + (size_t)d->output_scanline * (size_t)p->width * 3;
        JSAMPROW line = ink ? *row : to;
        jpeg_read_scanlines(d, &line, 1);
        if (ink) cmyk_to_rgb(to, *row, p->width, d->saw_Adobe_marker);
    }
    *orientation = jpeg_orientation(d); /* finishing forgets the markers */
    jpeg_finish_decompress(d);
    return FV_OK;
}

typedef struct jpeg_work {
    struct jpeg_decompress_struct d;
    jpeg_errors errors;
    fv_picture picture;
    uint8_t *row;
    int orientation;
} jpeg_work;

static fv_status run_jpeg(jpeg_work *w, const unsigned char *data, size_t size)
{
    if (setjmp(w->errors.back)) return fv_fail(FV_ERR_FORMAT, "%s", w->errors.message);
    jpeg_create_decompress(&w->d);
    FV_TRY(decode_jpeg(&w->d, &w->picture, &w->row, &w->orientation, data, size));
    if (w->errors.cut) return fv_fail(FV_ERR_FORMAT, "the JPEG file is cut off");
    return turn_upright(&w->picture, w->orientation);
}

static fv_status read_jpeg(fv_picture *p, const unsigned char *data, size_t size)
{
    jpeg_work *w = calloc(1, sizeof *w); /* not on the stack: it must survive the jump */
    if (!w) return fv_fail(FV_ERR_MEMORY, "out of memory");
    w->d.err = jpeg_std_error(&w->errors.base);
    w->errors.base.error_exit = jpeg_failed;
    w->errors.base.emit_message = jpeg_warned;
    fv_status s = run_jpeg(w, data, size);
    jpeg_destroy_decompress(&w->d);
    free(w->row);
    if (s < 0)
        fv_picture_free(&w->picture);
    else
        *p = w->picture;
    free(w);
    return s;
}

/* --- WebP --- */

static int webp_orientation(const unsigned char *data, size_t size)
{
    int orientation = 1;
    WebPData file = {data, size};
    WebPDemuxer *demuxer = WebPDemux(&file);
    WebPChunkIterator chunk;
    if (demuxer && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        bool bare = chunk.chunk.size < 6 || memcmp(chunk.chunk.bytes, "Exif\0", 6) != 0;
        unsigned char *exif = bare ? malloc(chunk.chunk.size + 6) : NULL;
        if (exif) {
            memcpy(exif, "Exif\0", 6);
            memcpy(exif + 6, chunk.chunk.bytes, chunk.chunk.size);
            orientation = read_orientation(exif, chunk.chunk.size + 6);
            free(exif);
        } else if (!bare) {
            orientation = read_orientation(chunk.chunk.bytes, chunk.chunk.size);
        }
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return orientation;
}

static fv_status read_webp(fv_picture *p, const unsigned char *data, size_t size)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, size, &features) != VP8_STATUS_OK)
        return fv_fail(FV_ERR_FORMAT, "the WebP file is damaged or cut off");
    if (features.has_animation)
        return fv_fail(FV_ERR_UNSUPPORTED, "it is an animation; expected one picture");
    FV_TRY(new_picture(p, features.width, features.height));
    int width, height;
    unsigned char *rgba = WebPDecodeRGBA(data, size, &width, &height);
    if (!rgba || width != p->width || height != p->height) {
        WebPFree(rgba);
        fv_picture_free(p);
        return fv_fail(FV_ERR_FORMAT, "the WebP file is damaged or cut off");
    }
    flatten(p, rgba);
    WebPFree(rgba);
    return turn_upright(p, webp_orientation(data, size));
}

/* --- the rest --- */

static fv_status read_other(fv_picture *p, const unsigned char *data, size_t size)
{
    int width, height, channels;
    if (!stbi_info_from_memory(data, (int)size, &width, &height, &channels))
        return fv_fail(FV_ERR_FORMAT, "%s (JPEG, PNG, WebP, BMP, GIF, TGA, PSD and PNM are read)",
                       stbi_failure_reason());
    FV_TRY(new_picture(p, width, height));
    unsigned char *rgba = stbi_load_from_memory(data, (int)size, &width, &height, &channels, 4);
    if (!rgba) {
        fv_picture_free(p);
        return fv_fail(FV_ERR_FORMAT, "%s", stbi_failure_reason());
    }
    flatten(p, rgba);
    stbi_image_free(rgba);
    return FV_OK;
}

fv_status fv_picture_read(fv_picture *out, const char *path)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file(&data, &size, path, "picture", FILE_LIMIT));
    fv_picture p = {0};
    fv_status s;
    if (size > 3 && memcmp(data, "\xff\xd8\xff", 3) == 0)
        s = read_jpeg(&p, data, size);
    else if (size > 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0)
        s = read_webp(&p, data, size);
    else
        s = read_other(&p, data, size);
    free(data);
    if (s < 0) return fv_fail_context(s, "picture %s cannot be read", path);
    *out = p;
    return FV_OK;
}
