/* 8-bit RGB pictures: PNG with a recipe (stb_image_write, and one iTXt chunk "feavis" behind the
 * header: PNG specification, third edition, 11.3.3.4; read from zTXt and tEXt as well), JPEG and
 * WebP by their names (picture_jpeg_write.c, picture_webp_write.c), and the resize of the official
 * preprocessing. Reading files is in picture_read.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <stb/stb_image_write.h>

#include "feavis/files.h"
#include "feavis/image/picture_formats.h"
#include "feavis/image/save.h"
#include "kernels/number.h"
#include "model/files/read_file.h"
#include "model/text/text.h"
#include "model/weights/weights.h"

enum {
    FILE_LIMIT = 256 << 20,
    TEXT_LIMIT = 1 << 30,
    RECIPE_LIMIT = 1 << 20,
    HEADER_END = 33 /* signature + IHDR */
};
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

fv_picture_format fv_picture_format_of(const char *path)
{
    static const struct {
        const char *ending;
        fv_picture_format format;
    } known[] = {{"png", FV_PICTURE_PNG},
                 {"jpg", FV_PICTURE_JPEG},
                 {"jpeg", FV_PICTURE_JPEG},
                 {"webp", FV_PICTURE_WEBP}};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t n = dot ? strlen(dot + 1) : 0, digits = dot ? strspn(dot + 1, "0123456789") : 0;
    for (size_t i = 0; dot && dot != name && i < sizeof known / sizeof known[0]; i++)
        if (fv_same_word(dot + 1, known[i].ending)) return known[i].format;
    bool none = !dot || dot == name || n == 0 || n > 5 || digits == n; /* no ending, or "v1.5" */
    return none ? FV_PICTURE_PNG : FV_PICTURE_OTHER;
}

static fv_status write_encoded(const fv_picture *p, const char *path, const char *recipe, bool jpeg)
{
    unsigned char *data;
    size_t size;
    fv_status s = (jpeg ? fv_jpeg_encode : fv_webp_encode)(&data, &size, p, recipe);
    if (s < 0) return fv_fail_context(s, "saving to %s", path);
    s = fv_file_save(path, data, size);
    free(data);
    return s;
}

fv_status fv_picture_write(const fv_picture *p, const char *path, const char *recipe)
{
    fv_file_writer *w;
    fv_picture_format format = fv_picture_format_of(path);
    if (format == FV_PICTURE_JPEG || format == FV_PICTURE_WEBP)
        return write_encoded(p, path, recipe, format == FV_PICTURE_JPEG);
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, fv_picture_write_to(w, p, recipe));
}

/* --- reading a recipe --- */

/* `packed` unpacked, of at most RECIPE_LIMIT bytes; NULL: damaged, longer, or out of memory. */
static char *unpack(const unsigned char *packed, size_t size, size_t *length)
{
    enum { PIECE = 1 << 14 };
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)size};
    char *text = NULL;
    int state = inflateInit(&z);
    *length = 0;
    while (state == Z_OK && *length <= RECIPE_LIMIT) {
        char *more = realloc(text, *length + PIECE);
        if (!more) break;
        text = more;
        z.next_out = (Bytef *)text + *length;
        z.avail_out = PIECE;
        state = inflate(&z, Z_NO_FLUSH);
        *length += PIECE - z.avail_out;
        if (state == Z_OK && z.avail_out > 0) break; /* cut off */
    }
    inflateEnd(&z);
    if (state == Z_STREAM_END && *length <= RECIPE_LIMIT) return text;
    free(text);
    return NULL;
}

/* Where the text of a chunk of ours begins, and whether it is packed; NULL: it is none.
 * iTXt: keyword 0, flag, method, language 0, keyword 0, text; zTXt: keyword 0, method, text; tEXt:
 * keyword 0, text (11.3.3.2 to 4). */
static const unsigned char *text_start(const unsigned char *chunk, size_t length, bool *packed)
{
    const unsigned char *type = chunk + 4, *at = chunk + 8, *end = at + length;
    bool itxt = memcmp(type, "iTXt", 4) == 0, ztxt = memcmp(type, "zTXt", 4) == 0;
    if (!itxt && !ztxt && memcmp(type, "tEXt", 4) != 0) return NULL;
    if (length < sizeof keyword || memcmp(at, keyword, sizeof keyword) != 0) return NULL;
    at += sizeof keyword;
    *packed = ztxt;
    if (itxt) {
        if (end - at < 2 || at[0] > 1) return NULL;
        *packed = at[0] == 1;
        at++;
    }
    if (itxt || ztxt) {
        if (at == end || (*packed && at[0] != 0)) return NULL; /* a method other than deflate */
        at++;
    }
    for (int strings = itxt ? 2 : 0; strings > 0; strings--) { /* language, translated keyword */
        at = memchr(at, 0, (size_t)(end - at));
        if (!at) return NULL;
        at++;
    }
    return at;
}

/* Latin-1, which is what tEXt and zTXt hold by the specification, as UTF-8. */
static char *from_latin1(const char *text, size_t length)
{
    char *out = malloc(2 * length + 1), *to = out;
    for (size_t i = 0; out && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80) *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    if (out) *to = 0;
    return out;
}

/* *out stays NULL if the chunk holds no recipe. Programs that write a picture again may have
 * packed it, or made a tEXt of it, with its bytes as they were or as Latin-1. */
static fv_status read_chunk(char **out, const unsigned char *chunk, size_t length, const char *path)
{
    bool packed;
    const unsigned char *at = text_start(chunk, length, &packed), *end = chunk + 8 + length;
    if (!at || length > RECIPE_LIMIT) return FV_OK;
    if (get32(end) != (uint32_t)crc32(0, chunk + 4, (uInt)length + 4))
        return fv_fail(FV_ERR_FORMAT, "%s: the recipe is damaged (wrong CRC)", path);
    size_t n = (size_t)(end - at);
    char *unpacked = packed ? unpack(at, n, &n) : NULL;
    if (packed && !unpacked)
        return fv_fail(FV_ERR_FORMAT, "%s: the packed recipe is damaged, or over %d bytes", path,
                       RECIPE_LIMIT);
    const char *text = packed ? unpacked : (const char *)at;
    if (n > 0 && memchr(text, 0, n)) { /* many packed ones would take their time before that */
        free(unpacked);
        return packed ? fv_fail(FV_ERR_FORMAT, "%s: the packed recipe holds a zero byte", path)
                      : FV_OK;
    }
    fv_status s = fv_utf8_check(text, n, "recipe");
    if (s >= 0)
        *out = strndup(text, n);
    else if (chunk[4] != 'i')
        *out = from_latin1(text, n);
    free(unpacked);
    if (*out) return FV_OK;
    return s < 0 && chunk[4] == 'i' ? fv_fail_context(s, "%s", path)
                                    : fv_fail(FV_ERR_MEMORY, "%s: out of memory", path);
}

static fv_status find_in_png(char **out, const unsigned char *png, size_t size, const char *path)
{
    if (size < HEADER_END || memcmp(png, signature, sizeof signature) != 0)
        return fv_fail(FV_ERR_FORMAT, "%s is not a PNG, JPEG or WebP file, so it holds no recipe",
                       path);
    for (size_t at = sizeof signature; size - at >= 12;) {
        size_t length = get32(png + at);
        if (length > size - at - 12)
            return fv_fail(FV_ERR_FORMAT, "%s is cut off: a PNG chunk at byte %zu claims %zu bytes",
                           path, at, length);
        FV_TRY(read_chunk(out, png + at, length, path));
        if (*out) return FV_OK;
        at += length + 12;
    }
    return FV_OK;
}

static fv_status find_recipe(char **out, const unsigned char *data, size_t size, const char *path)
{
    const fv_picture_file file = {data, size};
    bool jpeg = size > 3 && memcmp(data, "\xff\xd8\xff", 3) == 0;
    bool webp = size > 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
    *out = NULL;
    if (jpeg || webp) {
        fv_status s = (jpeg ? fv_jpeg_recipe : fv_webp_recipe)(out, file);
        if (s < 0) return fv_fail_context(s, "%s", path);
    } else {
        FV_TRY(find_in_png(out, data, size, path));
    }
    return *out ? FV_OK : fv_fail(FV_ERR_FORMAT, "%s holds no feavis recipe", path);
}

fv_status fv_recipe_read(char **out, const char *path)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file_or_input(&data, &size, path, "picture", FILE_LIMIT));
    fv_status s = find_recipe(out, data, size, strcmp(path, "-") ? path : "standard input");
    free(data);
    return s;
}

/* --- files without pictures in them --- */

fv_status fv_text_read(char **out, const char *path)
{
    unsigned char *data;
    size_t size;
    FV_TRY(fv_read_file(&data, &size, path, "file", TEXT_LIMIT));
    *out = (char *)data;
    return FV_OK;
}

fv_status fv_text_save(const char *path, const char *text, size_t size)
{
    return fv_file_save(path, text, size);
}

fv_status fv_folders_make(const char *path)
{
    fv_status s = FV_OK;
    char *copy = strdup(path);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "making the folder %s: out of memory", path);
    for (char *at = copy; s >= 0 && *at;) {
        at += strcspn(at + 1, "/") + 1;
        char end = *at;
        *at = 0;
        s = fv_file_make_folder(copy);
        *at = end;
    }
    free(copy);
    return s;
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
    fv_picture_resize(p, side, side, out);
}

void fv_picture_resize(const fv_picture *p, int width, int height, float *out)
{
    for (int y = 0; y < height; y++) {
        int y0, y1;
        float v = source_position(y, p->height, height, &y0, &y1);
        for (int x = 0; x < width; x++) {
            int x0, x1;
            float u = source_position(x, p->width, width, &x0, &x1);
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
