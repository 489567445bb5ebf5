/* See font.h. */
#include "feavis/image/font.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H

enum { MAX_FONTS = 24, MAX_LETTERS = 512, ELLIPSIS = 0x2026 };

typedef struct font {
    char *path;
    int index;
    FcCharSet *letters; /* NULL: ask the face */
    FT_Face face;       /* NULL until needed */
    bool broken;
} font;

struct fv_fonts {
    FcConfig *config;
    FT_Library library;
    font fonts[MAX_FONTS];
    int count, missing;
};

static void list_fonts(fv_fonts *f, const char *family)
{
    FcPattern *wanted = FcNameParse((const FcChar8 *)family);
    FcResult result;
    if (!wanted) return;
    FcConfigSubstitute(f->config, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcFontSet *set = FcFontSort(f->config, wanted, FcTrue, NULL, &result);
    for (int i = 0; set && i < set->nfont && f->count < MAX_FONTS; i++) {
        FcChar8 *path;
        FcCharSet *letters;
        int index = 0;
        FcBool outline = FcTrue;
        if (FcPatternGetString(set->fonts[i], FC_FILE, 0, &path) != FcResultMatch ||
            FcPatternGetCharSet(set->fonts[i], FC_CHARSET, 0, &letters) != FcResultMatch)
            continue;
        FcPatternGetInteger(set->fonts[i], FC_INDEX, 0, &index);
        FcPatternGetBool(set->fonts[i], FC_OUTLINE, 0, &outline);
        char *copy = outline ? strdup((const char *)path) : NULL;
        if (copy)
            f->fonts[f->count++] =
                (font){copy, index & 0xffff, FcCharSetCopy(letters), NULL, false};
    }
    if (set) FcFontSetDestroy(set);
    FcPatternDestroy(wanted);
}

fv_status fv_fonts_open(fv_fonts **out)
{
    return fv_fonts_open_as(out, FV_FONTS_SANS);
}

fv_status fv_fonts_open_as(fv_fonts **out, const char *family)
{
    fv_fonts *f = calloc(1, sizeof *f);
    if (!f) return fv_fail(FV_ERR_MEMORY, "opening fonts: out of memory");
    if (FT_Init_FreeType(&f->library) != 0) {
        free(f);
        return fv_fail(FV_ERR_MEMORY, "opening fonts: FreeType does not start");
    }
    const char *own = getenv("FEAVIS_FONT");
    if (own && *own) {
        f->fonts[0] = (font){.path = strdup(own)};
        f->count = f->fonts[0].path != NULL;
    }
    f->config = FcInitLoadConfigAndFonts();
    if (f->config) list_fonts(f, family);
    *out = f;
    return FV_OK;
}

void fv_fonts_close(fv_fonts *f)
{
    if (!f) return;
    for (int i = 0; i < f->count; i++) {
        if (f->fonts[i].face) FT_Done_Face(f->fonts[i].face);
        if (f->fonts[i].letters) FcCharSetDestroy(f->fonts[i].letters);
        free(f->fonts[i].path);
    }
    FT_Done_FreeType(f->library);
    if (f->config) FcConfigDestroy(f->config);
    free(f);
}

int fv_fonts_missing(const fv_fonts *f)
{
    return f->missing;
}

static FT_Face face_of(fv_fonts *f, font *one)
{
    if (!one->face && !one->broken)
        one->broken = FT_New_Face(f->library, one->path, one->index, &one->face) != 0;
    return one->face;
}

/* The first font with the letter; *glyph 0 and the first font at all if none has it. */
static FT_Face find_face(fv_fonts *f, uint32_t letter, FT_UInt *glyph)
{
    FT_Face any = NULL;
    *glyph = 0;
    for (int i = 0; i < f->count; i++) {
        font *one = &f->fonts[i];
        if (any && one->letters && !FcCharSetHasChar(one->letters, letter)) continue;
        FT_Face face = face_of(f, one);
        if (face && !any) any = face;
        if (face && (*glyph = FT_Get_Char_Index(face, letter)) != 0) return face;
    }
    return any;
}

/* One code point; broken UTF-8 gives U+FFFD byte by byte. */
static uint32_t next_letter(const unsigned char **at)
{
    const unsigned char *p = *at;
    int more = p[0] < 0x80 ? 0 : p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : -1;
    uint32_t c = more <= 0 ? p[0] : p[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            more = -1;
            break;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    *at = p + (more < 0 ? 1 : more + 1);
    return more < 0 ? 0xfffd : c;
}

typedef struct letter {
    FT_Face face;
    FT_UInt glyph;
    int x, advance; /* pixels */
} letter;

static letter place(fv_fonts *f, uint32_t code, int size, int x)
{
    letter l = {.x = x};
    l.face = find_face(f, code, &l.glyph);
    if (!l.face) return l;
    FT_Set_Pixel_Sizes(l.face, 0, (FT_UInt)size);
    if (FT_Load_Glyph(l.face, l.glyph, FT_LOAD_NO_HINTING) == 0)
        l.advance = (int)((l.face->glyph->advance.x + 32) >> 6);
    return l;
}

static void draw(fv_mask *m, const letter *l, int size)
{
    FT_Set_Pixel_Sizes(l->face, 0, (FT_UInt)size);
    if (FT_Load_Glyph(l->face, l->glyph, FT_LOAD_RENDER | FT_LOAD_NO_HINTING) != 0) return;
    const FT_GlyphSlot slot = l->face->glyph;
    const FT_Bitmap *b = &slot->bitmap;
    if (b->pixel_mode != FT_PIXEL_MODE_GRAY) return;
    int left = l->x + slot->bitmap_left, top = m->baseline - slot->bitmap_top;
    for (int y = 0; y < (int)b->rows; y++)
        for (int x = 0; x < (int)b->width; x++) {
            int u = left + x, v = top + y, ink = b->buffer[y * b->pitch + x];
            if (u < 0 || v < 0 || u >= m->width || v >= m->height) continue;
            uint8_t *to = &m->alpha[(size_t)v * (size_t)m->width + (size_t)u];
            if (ink > *to) *to = (uint8_t)ink;
        }
}

fv_status fv_fonts_line(fv_fonts *f, const char *text, int size, int limit, fv_mask *mask)
{
    letter letters[MAX_LETTERS];
    int count = 0, x = 0;
    letter dots = place(f, ELLIPSIS, size, 0);
    const unsigned char *at = (const unsigned char *)text;
    while (*at && count < MAX_LETTERS - 1) {
        uint32_t code = next_letter(&at);
        letter l = place(f, code < 0x20 ? 0x20 : code, size, x);
        if (!l.glyph) f->missing++;
        letters[count++] = l;
        x += l.advance;
        if (x <= limit) continue;
        while (count > 0 && x + dots.advance > limit) x -= letters[--count].advance;
        dots.x = x;
        letters[count++] = dots;
        x += dots.advance;
        break;
    }
    *mask = (fv_mask){x, size * 3 / 2, size * 11 / 10, NULL};
    if (x <= 0) {
        mask->width = 0;
        return FV_OK;
    }
    mask->alpha = calloc((size_t)mask->width * (size_t)mask->height, 1);
    if (!mask->alpha) return fv_fail(FV_ERR_MEMORY, "drawing text: out of memory");
    for (int i = 0; i < count; i++)
        if (letters[i].face) draw(mask, &letters[i], size);
    return FV_OK;
}
