/* JPEG files through libjpeg-turbo, quality 95 and no subsampling of colours; the recipe stands in
 * comments (marker COM, ITU T.81 B.2.4.5), each of which begins with "feavis" and a line feed: a
 * long recipe takes several, in order. See picture_formats.h. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <stdbool.h>

#include "feavis/image/picture_formats.h"
#include "model/text/text.h"

enum { QUALITY = 95, PIECE = 60000, RECIPE_LIMIT = 1 << 20, SOS = 0xda, COM = 0xfe };
static const char mark[] = "feavis\n";
enum { MARK = sizeof mark - 1 };

typedef struct jpeg_out {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr base;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    unsigned char *data;
    unsigned long size;
} jpeg_out;

static void failed(j_common_ptr c)
{
    jpeg_out *w = (jpeg_out *)c->client_data;
    c->err->format_message(c, w->message);
    longjmp(w->back, 1);
}

static void write_recipe(jpeg_out *w, const char *recipe)
{
    size_t left = strlen(recipe);
    while (left) {
        size_t n = left < PIECE ? left : PIECE;
        jpeg_write_m_header(&w->c, JPEG_COM, (unsigned)(MARK + n));
        for (size_t i = 0; i < MARK; i++) jpeg_write_m_byte(&w->c, mark[i]);
        for (size_t i = 0; i < n; i++) jpeg_write_m_byte(&w->c, (unsigned char)recipe[i]);
        recipe += n;
        left -= n;
    }
}

/* Everything that libjpeg may jump out of. */
static fv_status encode(jpeg_out *w, const fv_picture *p, int quality, bool whole,
                        const char *recipe)
{
    if (setjmp(w->back)) return fv_fail(FV_ERR_UNSUPPORTED, "as a JPEG file: %s", w->message);
    jpeg_create_compress(&w->c);
    jpeg_mem_dest(&w->c, &w->data, &w->size);
    w->c.image_width = (JDIMENSION)p->width;
    w->c.image_height = (JDIMENSION)p->height;
    w->c.input_components = 3;
    w->c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&w->c);
    jpeg_set_quality(&w->c, quality, TRUE);
    w->c.optimize_coding = TRUE;
    if (whole) w->c.comp_info[0].h_samp_factor = w->c.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&w->c, TRUE);
    if (recipe) write_recipe(w, recipe);
    while (w->c.next_scanline < w->c.image_height) {
        JSAMPROW row = p->rgb + (size_t)w->c.next_scanline * (size_t)p->width * 3;
        jpeg_write_scanlines(&w->c, &row, 1);
    }
    jpeg_finish_compress(&w->c);
    return FV_OK;
}

/* whole: colours at the full resolution. */
static fv_status encode_new(unsigned char **out, size_t *size, const fv_picture *p, int quality,
                            bool whole, const char *recipe)
{
    jpeg_out *w = calloc(1, sizeof *w); /* not on the stack: it must survive the jump */
    if (!w) return fv_fail(FV_ERR_MEMORY, "out of memory");
    w->c.err = jpeg_std_error(&w->base);
    w->c.client_data = w;
    w->base.error_exit = failed;
    fv_status s = encode(w, p, quality, whole, recipe);
    jpeg_destroy_compress(&w->c);
    *out = w->data;
    *size = w->size;
    if (s < 0) {
        free(w->data);
        *out = NULL;
    }
    free(w);
    return s;
}

fv_status fv_jpeg_encode(unsigned char **out, size_t *size, const fv_picture *p, const char *recipe)
{
    return encode_new(out, size, p, QUALITY, true, recipe);
}

fv_status fv_picture_jpeg(unsigned char **out, size_t *size, const fv_picture *p, int quality)
{
    if (quality < 1 || quality > 100)
        return fv_fail(FV_ERR_ARGUMENT, "JPEG quality %d, expected 1 to 100", quality);
    return encode_new(out, size, p, quality, false, NULL);
}

/* --- reading the recipe --- */

static fv_status join(char *text, size_t *length, const unsigned char *piece, size_t n)
{
    if (*length + n > RECIPE_LIMIT)
        return fv_fail(FV_ERR_FORMAT, "the recipe has over %d bytes", RECIPE_LIMIT);
    memcpy(text + *length, piece, n);
    *length += n;
    return FV_OK;
}

fv_status fv_jpeg_recipe(char **out, fv_picture_file file)
{
    size_t length = 0;
    *out = NULL;
    char *text = calloc(1, (file.size < RECIPE_LIMIT ? file.size : RECIPE_LIMIT) + 1);
    if (!text) return fv_fail(FV_ERR_MEMORY, "out of memory");
    fv_status s = FV_OK;
    for (size_t at = 2; s >= 0 && at + 4 <= file.size && file.data[at] == 0xff;) {
        const unsigned char *segment = file.data + at;
        if (segment[1] == 0xff) { /* filling */
            at++;
            continue;
        }
        size_t n = (size_t)segment[2] << 8 | segment[3];
        if (segment[1] == SOS || n < 2 || n > file.size - at - 2) break;
        if (segment[1] == COM && n >= 2 + MARK && memcmp(segment + 4, mark, MARK) == 0)
            s = join(text, &length, segment + 4 + MARK, n - 2 - MARK);
        at += n + 2;
    }
    if (s >= 0 && memchr(text, 0, length))
        s = fv_fail(FV_ERR_FORMAT, "the recipe holds a zero byte");
    if (s >= 0) s = fv_utf8_check(text, length, "recipe");
    if (s >= 0 && length)
        *out = text;
    else
        free(text);
    return s;
}
