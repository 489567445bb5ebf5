/* What the targets of the picture formats have in common. */
#ifndef FV_FUZZ_PICTURE_H
#define FV_FUZZ_PICTURE_H

#include "feavis/feavis.h"
#include "tests/fuzz/fuzz.h"

/* Read, and resized as for the model. */
static inline int fuzz_picture(const uint8_t *data, size_t size)
{
    enum { SIDE = 33 };
    static float tensor[SIDE * SIDE * 3];
    fv_picture p;
    fuzz_begin(size);
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
