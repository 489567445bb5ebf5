/* WebP files through libwebp, lossless: the same pixels as those of a PNG. The recipe is a chunk
 * "fvis" of its own, which readers pass over (WebP Container Specification, unknown chunks). See
 * picture_formats.h. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "feavis/image/picture_formats.h"
#include "model/text/text.h"

enum { RECIPE_LIMIT = 1 << 20 };
static const char chunk_name[] = "fvis";

static fv_status join(unsigned char **out, size_t *size, const WebPData *picture,
                      const char *recipe)
{
    WebPData text = {(const uint8_t *)recipe, recipe ? strlen(recipe) : 0}, file = {0};
    WebPMux *mux = WebPMuxNew();
    bool ok = mux && WebPMuxSetImage(mux, picture, 0) == WEBP_MUX_OK &&
              (!recipe || WebPMuxSetChunk(mux, chunk_name, &text, 0) == WEBP_MUX_OK) &&
              WebPMuxAssemble(mux, &file) == WEBP_MUX_OK;
    WebPMuxDelete(mux);
    *out = ok ? malloc(file.size) : NULL; /* libwebp's memory is not to be freed by free */
    if (*out) memcpy(*out, file.bytes, file.size);
    *size = file.size;
    WebPDataClear(&file);
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "out of memory");
}

fv_status fv_webp_encode(unsigned char **out, size_t *size, const fv_picture *p, const char *recipe)
{
    WebPData picture = {0};
    uint8_t *packed = NULL;
    *out = NULL;
    if (p->width > WEBP_MAX_DIMENSION || p->height > WEBP_MAX_DIMENSION)
        return fv_fail(FV_ERR_UNSUPPORTED, "a WebP file has at most %d x %d pixels, not %d x %d",
                       WEBP_MAX_DIMENSION, WEBP_MAX_DIMENSION, p->width, p->height);
    picture.size = WebPEncodeLosslessRGB(p->rgb, p->width, p->height, p->width * 3, &packed);
    picture.bytes = packed;
    fv_status s =
        picture.size ? join(out, size, &picture, recipe) : fv_fail(FV_ERR_MEMORY, "out of memory");
    WebPFree(packed);
    return s;
}

fv_status fv_webp_recipe(char **out, fv_picture_file file)
{
    *out = NULL;
    for (size_t at = 12;
         at <= file.size && file.size - at >= 8;) { /* type (4), length (4, little-endian), data */
        const unsigned char *chunk = file.data + at;
        size_t n = (size_t)chunk[4] | (size_t)chunk[5] << 8 | (size_t)chunk[6] << 16 |
                   (size_t)chunk[7] << 24;
        if (n > file.size - at - 8)
            return fv_fail(FV_ERR_FORMAT, "the WebP file is damaged or cut off");
        if (memcmp(chunk, chunk_name, 4) == 0 && n) {
            const char *text = (const char *)chunk + 8;
            if (n > RECIPE_LIMIT || memchr(text, 0, n))
                return fv_fail(FV_ERR_FORMAT, "the recipe is damaged, or over %d bytes",
                               RECIPE_LIMIT);
            FV_TRY(fv_utf8_check(text, n, "recipe"));
            *out = strndup(text, n);
            return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "out of memory");
        }
        at += 8 + n + n % 2;
    }
    return FV_OK;
}
