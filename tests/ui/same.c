/* same EXPECTED ACTUAL        is a screenshot what it was? Exit 1, and a line, if it is not.
 * same --write EXPECTED ACTUAL makes the reference anew.
 *
 * A reference is QUARTER times smaller than the screen (means of squares), which keeps it small
 * and takes the edge off what may differ between machines: the hinting of fonts, a driver's
 * antialiasing. Both change single pixels of the screen; after the mean they are worth a few of
 * 255 levels. A widget that moved by one of its own lines, a text that is missing or another
 * colour is worth 30 and more over its whole extent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/feavis.h"

enum {
    QUARTER = 4,
    LEVELS = 24,     /* of 255: a pixel of the reference that differs by more is another one */
    MAX_PER_1000 = 2 /* of those: a line of text shifted by one pixel of the screen stays below */
};

static fv_status shrink(const fv_picture *p, fv_picture *out)
{
    int w = p->width / QUARTER, h = p->height / QUARTER;
    *out = (fv_picture){w, h, malloc((size_t)w * (size_t)h * 3)};
    if (!out->rgb) return fv_fail(FV_ERR_MEMORY, "shrinking a picture: out of memory");
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) {
                int sum = 0;
                for (int v = 0; v < QUARTER; v++)
                    for (int u = 0; u < QUARTER; u++)
                        sum += p->rgb[(((size_t)(y * QUARTER + v)) * (size_t)p->width +
                                       (size_t)(x * QUARTER + u)) *
                                          3 +
                                      (size_t)c];
                out->rgb[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)((sum + QUARTER * QUARTER / 2) / (QUARTER * QUARTER));
            }
    return FV_OK;
}

static int compare(const fv_picture *a, const fv_picture *b, const char *name)
{
    if (a->width != b->width || a->height != b->height) {
        printf("%s: it is %dx%d, found %dx%d\n", name, a->width, a->height, b->width, b->height);
        return 1;
    }
    int others = 0, worst = 0, x0 = a->width, y0 = a->height, x1 = 0, y1 = 0;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            size_t at = ((size_t)y * (size_t)a->width + (size_t)x) * 3;
            int most = 0;
            for (size_t c = 0; c < 3; c++) {
                int d = abs(a->rgb[at + c] - b->rgb[at + c]);
                most = d > most ? d : most;
            }
            worst = most > worst ? most : worst;
            if (most <= LEVELS) continue;
            others++;
            x0 = x < x0 ? x : x0, x1 = x > x1 ? x : x1;
            y0 = y < y0 ? y : y0, y1 = y > y1 ? y : y1;
        }
    bool alike = (long)others * 1000 <= (long)MAX_PER_1000 * a->width * a->height;
    printf("%s: %s, %d of %d pixels differ by more than %d, the most by %d", name,
           alike ? "alike" : "ANOTHER", others, a->width * a->height, LEVELS, worst);
    if (others)
        printf("; on the screen from %d,%d to %d,%d", x0 * QUARTER, y0 * QUARTER,
               (x1 + 1) * QUARTER, (y1 + 1) * QUARTER);
    printf("\n");
    return alike ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool write = argc == 4 && strcmp(argv[1], "--write") == 0;
    fv_picture expected = {0}, actual = {0}, small = {0};
    int result = 2;
    if (!write && argc != 3) {
        fprintf(stderr, "same [--write] EXPECTED ACTUAL\n");
        return 2;
    }
    const char *reference = argv[argc - 2];
    fv_status s = fv_picture_read(&actual, argv[argc - 1]);
    if (s >= 0) s = shrink(&actual, &small);
    if (s >= 0)
        s = write ? fv_picture_write(&small, reference, NULL)
                  : fv_picture_read(&expected, reference);
    if (s < 0)
        fprintf(stderr, "same: %s\n", fv_error());
    else
        result = write ? 0 : compare(&expected, &small, reference);
    fv_picture_free(&expected);
    fv_picture_free(&actual);
    fv_picture_free(&small);
    return result;
}
