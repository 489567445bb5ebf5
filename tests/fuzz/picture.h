/* What the targets of the picture formats have in common. */
#ifndef FV_FUZZ_PICTURE_H
#define FV_FUZZ_PICTURE_H

#include "feavis/feavis.h"
#include "tests/fuzz/fuzz.h"

static inline size_t fuzz_number(const uint8_t *at, int bytes, bool big)
{
    size_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (size_t)at[i] << 8 * (big ? bytes - 1 - i : i);
    return v;
}

/* The pixels that the header of a format claims that packs any number of them into a few bytes. */
static inline size_t fuzz_claimed_pixels(const uint8_t *d, size_t size)
{
    if (size >= 24 && d[0] == 0x89)
        return fuzz_number(d + 16, 4, true) * fuzz_number(d + 20, 4, true);
    if (size >= 10 && d[0] == 'G')
        return fuzz_number(d + 6, 2, false) * fuzz_number(d + 8, 2, false);
    if (size >= 30 && d[0] == 'R') /* VP8X; the others are no larger than the largest of it */
        return d[15] == 'X'
                   ? (fuzz_number(d + 24, 3, false) + 1) * (fuzz_number(d + 27, 3, false) + 1)
                   : 16384 * 16384;
    for (size_t at = 2; size >= 12 && d[0] == 0xff && at + 9 < size; at++) /* SOF0 to SOF15 */
        if (d[at] == 0xff && d[at + 1] >> 4 == 0xc)
            return fuzz_number(d + at + 5, 2, true) * fuzz_number(d + at + 7, 2, true);
    return 0;
}

/* Read, and resized as for the model. */
static inline int fuzz_picture(const uint8_t *data, size_t size)
{
    enum { SIDE = 33 };
    static float tensor[SIDE * SIDE * 3];
    fv_picture p;
    fuzz_begin(size);
    size_t pixels = fuzz_claimed_pixels(data, size);
    fuzz_claim(3 * (pixels < 1 << 28 ? pixels : 1 << 28));
    if (!fuzz_refused(fv_picture_read(&p, fuzz_file(0, "", data, size)))) {
        FUZZ_CHECK(p.width > 0 && p.height > 0 && p.rgb);
        size_t bytes = (size_t)p.width * (size_t)p.height * 3;
        volatile uint8_t last = p.rgb[bytes - 1];
        (void)last;
        fuzz_claim(bytes);
        fv_picture_to_tensor(&p, SIDE, tensor);
        for (int i = 0; i < SIDE * SIDE * 3; i++) FUZZ_CHECK(tensor[i] >= 0 && tensor[i] <= 1);
        fv_picture_free(&p);
    }
    return fuzz_end();
}

#endif
