/* PNM: P5 is grey, P6 is RGB, of 8 or 16 bits. See picture_formats.h; netpbm's pgm(5), ppm(5).
 *
 * Values are scaled to 255 by the header's largest value; of 65535 the upper eight bits stay. (Not
 * by stb_image, which reads 16 bits in the wrong order and past the end of its memory.) */
#include <stdbool.h>
#include <string.h>

#include "feavis/image/picture_formats.h"

typedef struct reader {
    fv_picture_file file;
    size_t at;
} reader;

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A number of the header, behind white space and comments; 0: there is none, or over 65536. */
static unsigned next_number(reader *r)
{
    const unsigned char *data = r->file.data;
    bool comment = false;
    for (; r->at < r->file.size && (comment || data[r->at] == '#' || is_space(data[r->at]));
         r->at++)
        comment = data[r->at] == '#' || (comment && data[r->at] != '\n' && data[r->at] != '\r');
    unsigned n = 0;
    while (r->at < r->file.size && data[r->at] >= '0' && data[r->at] <= '9' && n <= 65536)
        n = 10 * n + (unsigned)(data[r->at++] - '0');
    return n <= 65536 ? n : 0;
}

static uint8_t to_byte(unsigned v, unsigned most)
{
    if (v > most) v = most;
    if (most == 65535) return (uint8_t)(v >> 8);
    return (uint8_t)((v * 255 + most / 2) / most);
}

fv_status fv_picture_read_pnm(fv_picture *p, fv_picture_file file)
{
    reader r = {file, 2};
    size_t channels = file.data[1] == '5' ? 1 : 3;
    unsigned width = next_number(&r), height = next_number(&r), most = next_number(&r);
    if (!width || !height || !most || most > 65535 || r.at >= file.size ||
        !is_space(file.data[r.at]))
        return fv_fail(FV_ERR_FORMAT, "the PNM header is damaged");
    const unsigned char *from = file.data + r.at + 1;
    size_t left = file.size - r.at - 1, bytes = most > 255 ? 2 : 1;
    uint64_t needed = (uint64_t)width * height * channels * bytes;
    if (needed > left)
        return fv_fail(FV_ERR_FORMAT, "the PNM file is cut off: %zu bytes of pixels, expected %llu",
                       left, (unsigned long long)needed);
    FV_TRY(fv_picture_new(p, width, height, file.size));
    size_t count = (size_t)width * height * 3;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = from + (channels == 3 ? i : i / 3) * bytes;
        p->rgb[i] = to_byte(bytes == 2 ? (unsigned)at[0] << 8 | at[1] : at[0], most);
    }
    return FV_OK;
}
