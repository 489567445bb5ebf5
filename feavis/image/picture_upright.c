/* What the readers of all formats end in: pixels within limits, opaque, and upright. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libexif/exif-data.h>

#include "feavis/image/picture_formats.h"

enum {
    MAX_SIDE = 32768,
    FREE_PIXELS = 100000000, /* of any file, however small ... */
    PIXELS_A_BYTE = 64,      /* ... and more for each of its bytes */
    EXIF_LIMIT = 1 << 24
};

void fv_picture_free(fv_picture *p)
{
    free(p->rgb);
    *p = (fv_picture){0};
}

fv_status fv_picture_new(fv_picture *p, int64_t width, int64_t height, size_t file_size)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE ||
        width * height > FV_MAX_PIXELS)
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
