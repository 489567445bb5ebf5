/* JPEG through libjpeg-turbo. See picture_formats.h.
 *
 * A progressive file may have any number of scans over the whole picture, each of a few bytes: 600
 * of them over 16000 x 16000 pixels take minutes. So all scans together may touch so many pixels
 * as FREE_PIXELS and PIXELS_A_BYTE allow (an honest file has about ten scans of half a bit and more
 * for each pixel); the rest is refused after about two seconds. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <stdbool.h>

#include "feavis/image/picture_formats.h"

enum { MAX_SCANS = 1000, FREE_PIXELS = 3 << 28, PIXELS_A_BYTE = 256 };

typedef struct jpeg_errors {
    struct jpeg_error_mgr base;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

typedef struct jpeg_progress {
    struct jpeg_progress_mgr base;
    bool scanning;   /* all scans are read before the first line comes out */
    uint64_t pixels; /* that the rest of the scans may touch */
} jpeg_progress;

static void jpeg_failed(j_common_ptr c)
{
    jpeg_errors *e = (jpeg_errors *)c->err;
    c->err->format_message(c, e->message);
    longjmp(e->back, 1);
}

static _Noreturn void give_up(j_common_ptr c, const char *message)
{
    jpeg_errors *e = (jpeg_errors *)c->err;
    snprintf(e->message, sizeof e->message, "%s", message);
    longjmp(e->back, 1);
}

static void jpeg_warned(j_common_ptr c, int level)
{
    if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF) give_up(c, "the JPEG file is cut off");
}

/* Called once a row of blocks of a scan, and before each scan. */
static void jpeg_progressed(j_common_ptr c)
{
    const struct jpeg_decompress_struct *d = (const struct jpeg_decompress_struct *)c;
    jpeg_progress *w = (jpeg_progress *)c->progress;
    uint64_t row = 0;
    if (!w->scanning) return;
    for (int i = 0; i < d->comps_in_scan; i++)
        row += (uint64_t)d->cur_comp_info[i]->width_in_blocks * DCTSIZE2 *
               (uint64_t)d->cur_comp_info[i]->v_samp_factor;
    if (d->input_scan_number > MAX_SCANS) give_up(c, "the JPEG file has over 1000 scans");
    if (row > w->pixels) give_up(c, "the JPEG file has too many scans for its size");
    w->pixels -= row;
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
            return fv_exif_orientation(m->data, m->data_length);
    return 1;
}

/* Everything that libjpeg may jump out of; `row` holds one line of CMYK. */
static fv_status decode_jpeg(struct jpeg_decompress_struct *d, fv_picture *p, uint8_t **row,
                             int *orientation, fv_picture_file file)
{
    jpeg_progress *progress = (jpeg_progress *)d->progress;
    jpeg_mem_src(d, file.data, file.size);
    jpeg_save_markers(d, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(d, TRUE);
    bool ink = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    d->out_color_space = ink ? JCS_CMYK : JCS_RGB;
    FV_TRY(fv_picture_new(p, d->image_width, d->image_height, file.size));
    progress->scanning = true;
    jpeg_start_decompress(d);
    progress->scanning = false;
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
    jpeg_progress progress;
    fv_picture picture;
    uint8_t *row;
    int orientation;
} jpeg_work;

static fv_status run_jpeg(jpeg_work *w, fv_picture_file file)
{
    if (setjmp(w->errors.back)) return fv_fail(FV_ERR_FORMAT, "%s", w->errors.message);
    jpeg_create_decompress(&w->d);
    w->d.progress = &w->progress.base;
    FV_TRY(decode_jpeg(&w->d, &w->picture, &w->row, &w->orientation, file));
    return fv_picture_turn(&w->picture, w->orientation);
}

fv_status fv_picture_read_jpeg(fv_picture *p, fv_picture_file file)
{
    jpeg_work *w = calloc(1, sizeof *w); /* not on the stack: it must survive the jump */
    if (!w) return fv_fail(FV_ERR_MEMORY, "out of memory");
    w->d.err = jpeg_std_error(&w->errors.base);
    w->errors.base.error_exit = jpeg_failed;
    w->errors.base.emit_message = jpeg_warned;
    w->progress.base.progress_monitor = jpeg_progressed;
    w->progress.pixels = FREE_PIXELS + (uint64_t)file.size * PIXELS_A_BYTE;
    fv_status s = run_jpeg(w, file);
    jpeg_destroy_decompress(&w->d);
    free(w->row);
    if (s < 0)
        fv_picture_free(&w->picture);
    else
        *p = w->picture;
    free(w);
    return s;
}
