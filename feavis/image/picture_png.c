/* PNG through libpng. See picture_formats.h.
 *
 * Palettes, fewer than 8 bits, tRNS and Adam7 become RGB or RGBA of 8 bits; gamma and colour
 * profiles are not applied. Of an APNG it is the default picture. As libpng has it, a wrong CRC in
 * what the picture needs (IHDR, PLTE, IDAT, IEND) is an error; in anything else the chunk is
 * passed over. Texts and profiles, which may unpack to a thousand times their size, are not
 * unpacked. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <stdbool.h>

#include "feavis/image/picture_formats.h"

enum { MESSAGE = 160, CHUNK_LIMIT = 1 << 24 };

typedef struct png_work {
    fv_picture_file file;
    size_t at;
    bool cut; /* more was asked for than there is */
    jmp_buf back;
    char message[MESSAGE];
    png_structp png;
    png_infop info;
    fv_picture picture;
    uint8_t *rgba;   /* one row, or all of them where they come interlaced; NULL: no alpha */
    png_bytep *rows; /* of all */
} png_work;

static void png_failed(png_structp png, png_const_charp message)
{
    png_work *w = png_get_error_ptr(png);
    snprintf(w->message, sizeof w->message, "%s", message);
    longjmp(w->back, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void take(png_structp png, png_bytep out, size_t n)
{
    png_work *w = png_get_io_ptr(png);
    w->cut = n > w->file.size - w->at;
    if (w->cut) png_error(png, "end of file");
    memcpy(out, w->file.data + w->at, n);
    w->at += n;
}

/* Everything becomes RGB or RGBA of 8 bits. */
static void choose_form(png_structp png, png_infop info)
{
    int type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png);
    png_set_strip_16(png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
}

static fv_status find_room(png_work *w, bool interlaced)
{
    png_structp png = w->png;
    size_t width = (size_t)w->picture.width, height = (size_t)w->picture.height;
    bool alpha = png_get_rowbytes(png, w->info) == 4 * width;
    if (!alpha && png_get_rowbytes(png, w->info) != 3 * width)
        return fv_fail(FV_ERR_UNSUPPORTED, "a kind of PNG that is not known");
    if (alpha) w->rgba = malloc(4 * width * (interlaced ? height : 1));
    if (interlaced) w->rows = malloc(height * sizeof *w->rows);
    if ((alpha && !w->rgba) || (interlaced && !w->rows))
        return fv_fail(FV_ERR_MEMORY, "out of memory");
    for (size_t y = 0; w->rows && y < height; y++)
        w->rows[y] = alpha ? w->rgba + 4 * width * y : w->picture.rgb + 3 * width * y;
    return FV_OK;
}

static void read_rows(png_work *w)
{
    size_t width = (size_t)w->picture.width, height = (size_t)w->picture.height;
    if (w->rows) {
        png_read_image(w->png, w->rows);
        if (w->rgba) fv_picture_flatten(w->picture.rgb, w->rgba, width * height);
        return;
    }
    for (size_t y = 0; y < height; y++) {
        uint8_t *rgb = w->picture.rgb + 3 * width * y;
        png_read_row(w->png, w->rgba ? w->rgba : rgb, NULL);
        if (w->rgba) fv_picture_flatten(rgb, w->rgba, width);
    }
}

/* Everything that libpng may jump out of. */
static fv_status decode(png_work *w)
{
    static const png_byte unread[] = "iCCP\0iTXt\0zTXt\0tEXt\0sPLT\0hIST\0pCAL\0sCAL";
    png_structp png = w->png;
    png_set_read_fn(png, w, take);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* fv_picture_new says it better */
    png_set_chunk_malloc_max(png, CHUNK_LIMIT);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unread, 8);
    png_read_info(png, w->info);
    FV_TRY(fv_picture_new(&w->picture, png_get_image_width(png, w->info),
                          png_get_image_height(png, w->info), w->file.size));
    bool interlaced = png_get_interlace_type(png, w->info) != PNG_INTERLACE_NONE;
    choose_form(png, w->info);
    if (interlaced) png_set_interlace_handling(png);
    png_read_update_info(png, w->info);
    FV_TRY(find_room(w, interlaced));
    read_rows(w);
    png_read_end(png, w->info);
    png_uint_32 size;
    png_bytep exif;
    if (!png_get_eXIf_1(png, w->info, &size, &exif)) return FV_OK;
    return fv_picture_turn(&w->picture, fv_exif_orientation(exif, size));
}

static fv_status run(png_work *w)
{
    if (setjmp(w->back))
        return w->cut ? fv_fail(FV_ERR_FORMAT, "the PNG file is cut off")
                      : fv_fail(FV_ERR_FORMAT, "the PNG file is damaged (%s)", w->message);
    w->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, w, png_failed, png_warned);
    w->info = w->png ? png_create_info_struct(w->png) : NULL;
    if (!w->info) return fv_fail(FV_ERR_MEMORY, "out of memory");
    return decode(w);
}

/* Whether no chunk claims more bytes than the file has: libpng makes room before it looks, for an
 * eXIf whatever its limit is. */
static bool chunks_fit(fv_picture_file file)
{
    for (size_t at = 8; file.size - at >= 12;) {
        const unsigned char *c = file.data + at;
        size_t n = (size_t)c[0] << 24 | (size_t)c[1] << 16 | (size_t)c[2] << 8 | c[3];
        if (n > file.size - at - 12) return false;
        if (memcmp(c + 4, "IEND", 4) == 0) break;
        at += n + 12;
    }
    return true;
}

fv_status fv_picture_read_png(fv_picture *p, fv_picture_file file)
{
    if (!chunks_fit(file)) return fv_fail(FV_ERR_FORMAT, "the PNG file is cut off");
    png_work *w = calloc(1, sizeof *w); /* not on the stack: it must survive the jump */
    if (!w) return fv_fail(FV_ERR_MEMORY, "out of memory");
    w->file = file;
    fv_status s = run(w);
    png_destroy_read_struct(&w->png, &w->info, NULL);
    free(w->rgba);
    free(w->rows);
    if (s < 0)
        fv_picture_free(&w->picture);
    else
        *p = w->picture;
    free(w);
    return s;
}
