/* The fonts of the widgets. They hold only the letters that were needed so far; a new one makes the
 * atlas again before the next frame (some milliseconds), so starting does not wait for twenty
 * thousand characters. Letters with a stand-in (ui_letters.cpp) are drawn by FreeType into places
 * of their own, from the window's font or any other that has them, or as a box. */
#include "app/window/ui_inside.h"

#include <imgui/backends/imgui_impl_opengl3.h>
#include <imgui/imgui_freetype.h>
#include <imgui/imgui_internal.h>

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <math.h>
#include <string.h>
#include <unordered_map>
#include <vector>

static const float sizes[UI_FONTS] = {14, 12, 19}; /* of an em, points */

namespace
{

struct face {
    std::string path;
    int number;
    FT_Face face;
};

FT_Library library;
FcConfig *config;                            /* NULL until a letter is looked for */
FT_Face main_face;                           /* of ui.font_data; NULL without */
std::vector<face> others;                    /* that had to be asked */
std::unordered_map<unsigned, FT_Face> found; /* by letter; NULL: no font has it */

/* A letter, drawn, on its way into the atlas. */
struct drawn {
    int width, height, left, top, advance; /* pixels; top: over the baseline */
    std::vector<unsigned char> alpha;
    int rect;
};

} /* namespace */

/* --- which letters --- */

/* Joiners and variation selectors take no room. */
static bool is_invisible(unsigned c)
{
    return (c >= 0xfe00 && c < 0xfe10) || (c >= 0x200b && c < 0x2010) || c == 0x2060 || c == 0xfeff;
}

static bool is_drawn_here(unsigned c)
{
    return is_invisible(c) || ui_letter(c);
}

void ui_need(const char *text, ui_font font)
{
    ui_need_shown(ui_shown(text), font);
}

static void ranges_of(ui_font font, ImVector<ImWchar> *out)
{
    out->clear();
    for (unsigned c = 32; c < 0x10000; c++) {
        unsigned end = c;
        while (end < 0x10000 && ui_is_needed(font, end) && !is_drawn_here(end)) end++;
        if (end == c) continue;
        out->push_back((ImWchar)c);
        out->push_back((ImWchar)(end - 1));
        c = end;
    }
    out->push_back(0);
}

/* --- letters with a stand-in --- */

static FT_Face open_other(const char *path, int number)
{
    for (const face &f : others)
        if (f.path == path && f.number == number) return f.face;
    FT_Face face = NULL;
    if (FT_New_Face(library, path, number, &face) != 0) return NULL;
    others.push_back({path, number, face});
    return face;
}

static bool has_outline(FT_Face face, unsigned letter)
{
    FT_UInt glyph = FT_Get_Char_Index(face, letter);
    if (!glyph || !FT_IS_SCALABLE(face) || FT_Set_Pixel_Sizes(face, 0, 16) != 0) return false;
    return FT_Load_Glyph(face, glyph, FT_LOAD_NO_BITMAP) == 0 &&
           face->glyph->format == FT_GLYPH_FORMAT_OUTLINE && face->glyph->outline.n_points > 0;
}

static FT_Face ask_fontconfig(unsigned letter)
{
    FcPattern *wanted = FcPatternCreate();
    FcCharSet *letters = FcCharSetCreate();
    FcResult result;
    FT_Face face = NULL;
    if (!config) config = FcInitLoadConfigAndFonts();
    FcCharSetAddChar(letters, letter);
    FcPatternAddCharSet(wanted, FC_CHARSET, letters);
    FcConfigSubstitute(config, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcFontSet *set = FcFontSort(config, wanted, FcFalse, NULL, &result);
    for (int i = 0; set && i < set->nfont && !face; i++) {
        FcCharSet *has;
        FcChar8 *path;
        int number = 0;
        if (FcPatternGetCharSet(set->fonts[i], FC_CHARSET, 0, &has) != FcResultMatch ||
            !FcCharSetHasChar(has, letter) ||
            FcPatternGetString(set->fonts[i], FC_FILE, 0, &path) != FcResultMatch)
            continue;
        FcPatternGetInteger(set->fonts[i], FC_INDEX, 0, &number);
        face = open_other((const char *)path, number & 0xffff);
        if (face && !has_outline(face, letter)) face = NULL;
    }
    if (set) FcFontSetDestroy(set);
    FcCharSetDestroy(letters);
    FcPatternDestroy(wanted);
    return face;
}

static FT_Face face_for(unsigned letter)
{
    auto known = found.find(letter);
    if (known != found.end()) return known->second;
    FT_Face face = main_face && has_outline(main_face, letter) ? main_face : NULL;
    if (!face) face = ask_fontconfig(letter);
    return found[letter] = face;
}

static drawn draw_box(float em)
{
    int side = (int)roundf(em * 0.8f) > 4 ? (int)roundf(em * 0.8f) : 4;
    drawn d = {side, side, 1, side - 1, side + 2, std::vector<unsigned char>(), 0};
    d.alpha.resize((size_t)(side * side));
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            if (!x || !y || x == side - 1 || y == side - 1) d.alpha[(size_t)(y * side + x)] = 200;
    return d;
}

static drawn draw_letter(unsigned letter, float em)
{
    FT_Face face = face_for(letter);
    if (!face || FT_Set_Pixel_Sizes(face, 0, (FT_UInt)em) != 0 ||
        FT_Load_Glyph(face, FT_Get_Char_Index(face, letter),
                      FT_LOAD_TARGET_LIGHT | FT_LOAD_NO_BITMAP) != 0 ||
        FT_Render_Glyph(face->glyph, FT_RENDER_MODE_NORMAL) != 0 || !face->glyph->bitmap.width)
        return draw_box(em);
    const FT_GlyphSlot g = face->glyph;
    drawn d = {(int)g->bitmap.width,
               (int)g->bitmap.rows,
               g->bitmap_left,
               g->bitmap_top,
               (int)((g->advance.x + 63) >> 6),
               std::vector<unsigned char>(),
               0};
    for (int y = 0; y < d.height; y++)
        d.alpha.insert(d.alpha.end(), g->bitmap.buffer + y * g->bitmap.pitch,
                       g->bitmap.buffer + y * g->bitmap.pitch + d.width);
    return d;
}

/* From the top of a line down to the baseline, as ImGui's builder has it. */
static float ascent_of(float size)
{
    FT_Size_RequestRec request = {FT_SIZE_REQUEST_TYPE_REAL_DIM, 0, (FT_Long)(size * 64), 0, 0};
    if (!main_face || FT_Request_Size(main_face, &request) != 0) return roundf(size * 0.8f);
    return ceilf((float)main_face->size->metrics.ascender / 64);
}

static void add_letters(ui_font font, float size, float em, std::vector<drawn> *out)
{
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    float ascent = ascent_of(size);
    for (unsigned c = 32; c < 0x10000; c++) {
        if (!ui_is_needed(font, c) || !is_drawn_here(c)) continue;
        drawn d = {1, 1, 0, 0, 0, std::vector<unsigned char>(1), 0};
        if (!is_invisible(c)) d = draw_letter(ui_letter(c), em);
        d.rect = atlas->AddCustomRectFontGlyph(ui.fonts[font], (ImWchar)c, d.width, d.height,
                                               (float)d.advance,
                                               ImVec2((float)d.left, ascent - (float)d.top));
        out->push_back(d);
    }
}

/* After the atlas was built. */
static void put_letters(const std::vector<drawn> &letters)
{
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    unsigned char *pixels;
    int w, h;
    atlas->GetTexDataAsAlpha8(&pixels, &w, &h);
    for (const drawn &d : letters) {
        const ImFontAtlasCustomRect *r = atlas->GetCustomRectByIndex(d.rect);
        if (!r->IsPacked()) continue;
        for (int y = 0; y < d.height; y++)
            memcpy(pixels + (r->Y + y) * w + r->X, d.alpha.data() + y * d.width, (size_t)d.width);
    }
}

/* --- the atlas --- */

static void upload(void)
{
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    if (ui.gl) {
        ImGui_ImplOpenGL3_DestroyFontsTexture();
        ImGui_ImplOpenGL3_CreateFontsTexture();
        return;
    }
    unsigned char *pixels;
    int w, h;
    atlas->GetTexDataAsRGBA32(&pixels, &w, &h);
    if (ui.font_texture) SDL_DestroyTexture(ui.font_texture);
    ui.font_texture =
        SDL_CreateTexture(ui.renderer, SDL_PIXELFORMAT_ABGR8888, SDL_TEXTUREACCESS_STATIC, w, h);
    SDL_UpdateTexture(ui.font_texture, NULL, pixels, 4 * w);
    SDL_SetTextureBlendMode(ui.font_texture, SDL_BLENDMODE_BLEND);
    atlas->SetTexID(ui.font_texture);
}

void ui_make_fonts(void)
{
    static ImVector<ImWchar> ranges[UI_FONTS]; /* the atlas keeps pointers to them */
    std::vector<drawn> letters;
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    atlas->Clear();
    atlas->FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
    atlas->Flags |= ImFontAtlasFlags_NoBakedLines;
    float density = ui.density; /* pixels of the screen for one of the window */
    for (int i = 0; i < UI_FONTS; i++) {
        ranges_of((ui_font)i, &ranges[i]);
        ImFontConfig c;
        c.FontNo = ui.font_number;
        c.OversampleH = c.OversampleV = 1;
        c.PixelSnapH = true;
        c.FontBuilderFlags = ImGuiFreeTypeBuilderFlags_LightHinting;
        float em = roundf(ui_px(sizes[i]) * density);
        float size = roundf(ui_px(sizes[i]) * ui.em_height * density);
        c.FontDataOwnedByAtlas = false;
        ui.fonts[i] = ui.font_data ? atlas->AddFontFromMemoryTTF(ui.font_data, (int)ui.font_bytes,
                                                                 size, &c, ranges[i].Data)
                                   : NULL;
        if (!ui.fonts[i]) {
            ImFontConfig plain;
            plain.SizePixels = size = em;
            ui.fonts[i] = atlas->AddFontDefault(&plain);
        }
        add_letters((ui_font)i, size, em, &letters);
    }
    ImGui::GetIO().FontGlobalScale = 1 / density;
    atlas->Build();
    put_letters(letters);
    upload();
    ui.fonts_stale = false;
}

/* --- life --- */

void ui_open_fonts(void)
{
    ui.em_height = 1;
    if (FT_Init_FreeType(&library) != 0) library = NULL;
    if (library && ui.font_data &&
        FT_New_Memory_Face(library, (const FT_Byte *)ui.font_data, (FT_Long)ui.font_bytes,
                           ui.font_number, &main_face) != 0)
        main_face = NULL;
    /* ImGui's size is from ascender to descender, which fonts with Chinese letters set wide */
    if (main_face && main_face->units_per_EM)
        ui.em_height =
            (float)(main_face->ascender - main_face->descender) / (float)main_face->units_per_EM;
    for (unsigned c = 32; c < 127; c++)
        for (int i = 0; i < UI_FONTS; i++) ui.needed[i][c >> 3] |= (unsigned char)(1 << (c & 7));
    for (int i = 0; i < UI_FONTS; i++) ui_need("·…–—×−→←↑↓□", (ui_font)i);
    ui.fonts_stale = true;
}

void ui_close_fonts(void)
{
    if (ui.font_texture) SDL_DestroyTexture(ui.font_texture);
    for (const face &f : others) FT_Done_Face(f.face);
    others.clear();
    found.clear();
    if (config) FcConfigDestroy(config);
    config = NULL;
    if (main_face) FT_Done_Face(main_face);
    if (library) FT_Done_FreeType(library);
    main_face = NULL;
    library = NULL;
    SDL_free(ui.font_data);
}
