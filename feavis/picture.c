/* 8-bit RGB pictures: PNG with a recipe (stb_image_write, and one iTXt chunk "feavis" behind the
 * header: PNG specification, third edition, 11.3.3.4), and the resize of the official
 * preprocessing. Reading files is in picture_read.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <stb/stb_image_write.h>

#include "feavis/feavis.h"
#include "feavis/read_file.h"
#include "feavis/save.h"
#include "model/text.h"
#include "model/weights.h"

enum { FILE_LIMIT = 256 << 20, RECIPE_LIMIT = 1 << 20, HEADER_END = 33 /* signature + IHDR */ };
static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const char keyword[] = "feavis";

/* --- PNG chunks: length (4), type (4), data, CRC of type and data (4); big-endian --- */

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t x)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(x >> (24 - 8 * i));
}

/* An uncompressed iTXt: keyword 0, flag 0, method 0, language "" 0, keyword "" 0, text. */
static unsigned char *text_chunk(const char *text, size_t *size)
{
    size_t length = sizeof keyword + 4 + strlen(text);
    unsigned char *chunk = calloc(1, length + 12);
    if (!chunk) return NULL;
    put32(chunk, (uint32_t)length);
    memcpy(chunk + 4, "iTXt", 4);
    memcpy(chunk + 8, keyword, sizeof keyword);
    memcpy(chunk + 8 + sizeof keyword + 4, text, strlen(text));
    put32(chunk + 8 + length, (uint32_t)crc32(0, chunk + 4, (uInt)(length + 4)));
    *size = length + 12;
    return chunk;
}

/* What stb has written so far; it writes a PNG in one piece. */
typedef struct sink {
    unsigned char *data;
    size_t size;
} sink;

static void take(void *user, void *data, int size)
{
    sink *s = user;
    unsigned char *more = realloc(s->data, s->size + (size_t)size);
    if (!more) {
        free(s->data);
        *s = (sink){0};
        return;
    }
    s->data = more;
    memcpy(s->data + s->size, data, (size_t)size);
    s->size += (size_t)size;
}

static fv_status write_parts(fv_file_writer *w, const unsigned char *png, size_t size,
                             const unsigned char *chunk, size_t chunk_size)
{
    FV_TRY(fv_file_write(w, png, HEADER_END));
    if (chunk) FV_TRY(fv_file_write(w, chunk, chunk_size));
    return fv_file_write(w, png + HEADER_END, size - HEADER_END);
}

fv_status fv_picture_write_to(fv_file_writer *w, const fv_picture *p, const char *recipe)
{
    sink png = {0};
    size_t chunk_size = 0;
    unsigned char *chunk = recipe ? text_chunk(recipe, &chunk_size) : NULL;
    bool done = stbi_write_png_to_func(take, &png, p->width, p->height, 3, p->rgb, p->width * 3);
    fv_status s = done && png.size > HEADER_END && (chunk || !recipe)
                      ? write_parts(w, png.data, png.size, chunk, chunk_size)
                      : fv_fail(FV_ERR_MEMORY, "writing a picture: out of memory");
    free(chunk);
    free(png.data);
    return s;
}

fv_status fv_picture_write(const fv_picture *p, const char *path, const char *recipe)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    fv_status s = fv_picture_write_to(w, p, recipe);
    if (s >= 0) return fv_file_commit(w);
    fv_file_abandon(w);
    return s;
}

/* The text of an iTXt chunk if it is ours; NULL otherwise. */
static char *chunk_text(const unsigned char *data, size_t length)
{
    if (length < sizeof keyword + 4 || memcmp(data, keyword, sizeof keyword) != 0) return NULL;
    const unsigned char *at = data + sizeof keyword, *end = data + length;
    if (at[0] != 0) return NULL; /* compressed: not written by this program */
    at += 2;
    for (int strings = 0; strings < 2; strings++) { /* language, translated keyword */
        at = memchr(at, 0, (size_t)(end - at));
        if (!at) return NULL;
        at++;
    }
    size_t n = (size_t)(end - at);
    if (memchr(at, 0, n)) return NULL;
    char *text = malloc(n + 1);
    if (!text) return NULL;
    memcpy(text, at, n);
    text[n] = 0;
    return text;
}

static fv_status find_recipe(char **out, const unsigned char *png, size_t size, const char *path)
{
    if (size < HEADER_END || memcmp(png, signature, sizeof signature) != 0)
        return fv_fail(FV_ERR_FORMAT, "%s is not a PNG file, so it holds no recipe", path);
    for (size_t at = sizeof signature; size - at >= 12;) {
        size_t length = get32(png + at);
        if (length > size - at - 12)
            return fv_fail(FV_ERR_FORMAT, "%s is cut off: a PNG chunk at byte %zu claims %zu bytes",
                           path, at, length);
        const unsigned char *data = png + at + 8;
        if (memcmp(png + at + 4, "iTXt", 4) == 0 && length <= RECIPE_LIMIT) {
            char *text = chunk_text(data, length);
            if (text &&
                get32(data + length) != (uint32_t)crc32(0, png + at + 4, (uInt)length + 4)) {
                free(text);
                return fv_fail(FV_ERR_FORMAT, "%s: the recipe is damaged (wrong CRC)", path);
            }
            if (text) {
                fv_status s = fv_utf8_check(text, strlen(text), "recipe");
                if (s < 0) {
                    free(text);
                    return fv_fail_context(s, "%s", path);
                }
                *out = text;
                return FV_OK;
            }
        }
        at += length + 12;
    }
    return fv_fail(FV_ERR_FORMAT, "%s holds no feavis recipe", path);
}

fv_status fv_recipe_read(char **out, const char *path)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file(&data, &size, path, "picture", FILE_LIMIT));
    fv_status s = find_recipe(out, data, size, path);
    free(data);
    return s;
}

/* --- files without pictures in them --- */

fv_status fv_text_save(const char *path, const char *text, size_t size)
{
    return fv_file_save(path, text, size);
}

fv_status fv_array_save(const char *path, const float *values, int ndim, const int64_t *dims)
{
    return fv_npy_save_f32(path, values, ndim, dims);
}

/* --- resize --- */

/* Where output pixel i falls: centres of pixels are at half integers (align_corners = False). */
static float source_position(int i, int from, int to, int *low, int *high)
{
    float x = ((float)i + 0.5f) * ((float)from / (float)to) - 0.5f;
    if (x < 0) x = 0;
    *low = (int)x;
    *high = *low + (*low < from - 1);
    return x - (float)*low;
}

void fv_picture_to_tensor(const fv_picture *p, int side, float *out)
{
    for (int y = 0; y < side; y++) {
        int y0, y1;
        float v = source_position(y, p->height, side, &y0, &y1);
        for (int x = 0; x < side; x++) {
            int x0, x1;
            float u = source_position(x, p->width, side, &x0, &x1);
            const uint8_t *top = p->rgb + (size_t)y0 * (size_t)p->width * 3;
            const uint8_t *bottom = p->rgb + (size_t)y1 * (size_t)p->width * 3;
            for (int k = 0; k < 3; k++) {
                float a = (float)top[3 * x0 + k] / 255.0f, b = (float)top[3 * x1 + k] / 255.0f;
                float c = (float)bottom[3 * x0 + k] / 255.0f,
                      d = (float)bottom[3 * x1 + k] / 255.0f;
                *out++ = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d);
            }
        }
    }
}
