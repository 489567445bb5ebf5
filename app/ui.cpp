/* Dear ImGui behind ui.h: life, fonts, colours, input methods. Widgets are in ui_widgets.cpp.
 *
 * Fonts hold only the letters that were needed so far; a new one makes the atlas again before the
 * next frame (some milliseconds), so starting does not wait for twenty thousand characters. */
#include "app/ui_inside.h"

#include <algorithm>
#include <imgui/backends/imgui_impl_opengl3.h>
#include <imgui/backends/imgui_impl_sdl.h>
#include <imgui/imgui_freetype.h>
#include <imgui/imgui_internal.h>

#include <ft2build.h>
#include FT_FREETYPE_H
#include <math.h>
#include <string.h>

ui_state ui;

static const struct {
    ui_rgb dark, light;
} palette[UI_COLOURS] = {
    {{15, 17, 20}, {232, 227, 217}},    /* canvas: ink, or the table under the paper */
    {{24, 27, 32}, {250, 247, 241}},    /* panel */
    {{33, 37, 44}, {255, 255, 253}},    /* field */
    {{48, 53, 62}, {222, 215, 203}},    /* line */
    {{228, 230, 234}, {38, 40, 45}},    /* text */
    {{142, 149, 160}, {112, 108, 102}}, /* muted */
    {{206, 84, 60}, {190, 62, 42}},     /* accent */
    {{226, 168, 76}, {186, 120, 22}},   /* belief */
    {{92, 184, 170}, {26, 132, 118}},   /* survival */
    {{232, 120, 96}, {176, 58, 36}},    /* warning */
};

static const float sizes[UI_FONTS] = {14, 12, 19}; /* of an em, points */

ui_rgb ui_colour_of(ui_colour c)
{
    return ui.dark ? palette[c].dark : palette[c].light;
}

ImU32 ui_u32(ui_colour c, float alpha)
{
    ui_rgb v = ui_colour_of(c);
    return IM_COL32(v.r, v.g, v.b, (int)(alpha * 255 + 0.5f));
}

/* --- fonts --- */

static const char *decode(const char *at, unsigned *out)
{
    int n = ImTextCharFromUtf8(out, at, NULL);
    return at + (n > 0 ? n : 1);
}

void ui_need(const char *text, ui_font font)
{
    while (text && *text) {
        unsigned c;
        text = decode(text, &c);
        if (c < 32 || c > 0xffff || ui.needed[font][c >> 3] & (1 << (c & 7))) continue;
        ui.needed[font][c >> 3] |= (unsigned char)(1 << (c & 7));
        ui.fonts_stale = true;
    }
}

static void ranges_of(ui_font font, ImVector<ImWchar> *out)
{
    out->clear();
    for (unsigned c = 32; c < 0x10000;) {
        bool has = ui.needed[font][c >> 3] & (1 << (c & 7));
        if (!has) {
            c++;
            continue;
        }
        unsigned end = c;
        while (end + 1 < 0x10000 && ui.needed[font][(end + 1) >> 3] & (1 << ((end + 1) & 7))) end++;
        out->push_back((ImWchar)c);
        out->push_back((ImWchar)end);
        c = end + 1;
    }
    out->push_back(0);
}

static void make_fonts(void)
{
    static ImVector<ImWchar> ranges[UI_FONTS]; /* the atlas keeps pointers to them */
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
        float size = roundf(ui_px(sizes[i]) * ui.em_height * density);
        c.FontDataOwnedByAtlas = false;
        ui.fonts[i] = ui.font_data ? atlas->AddFontFromMemoryTTF(ui.font_data, (int)ui.font_bytes,
                                                                 size, &c, ranges[i].Data)
                                   : NULL;
        if (!ui.fonts[i]) {
            ImFontConfig plain;
            plain.SizePixels = roundf(ui_px(sizes[i]) * density);
            ui.fonts[i] = atlas->AddFontDefault(&plain);
        }
    }
    ImGui::GetIO().FontGlobalScale = 1 / density;
    atlas->Build();
    if (ui.gl) {
        ImGui_ImplOpenGL3_DestroyFontsTexture();
        ImGui_ImplOpenGL3_CreateFontsTexture();
    } else {
        unsigned char *pixels;
        int w, h;
        atlas->GetTexDataAsRGBA32(&pixels, &w, &h);
        if (ui.font_texture) SDL_DestroyTexture(ui.font_texture);
        ui.font_texture = SDL_CreateTexture(ui.renderer, SDL_PIXELFORMAT_ABGR8888,
                                            SDL_TEXTUREACCESS_STATIC, w, h);
        SDL_UpdateTexture(ui.font_texture, NULL, pixels, 4 * w);
        SDL_SetTextureBlendMode(ui.font_texture, SDL_BLENDMODE_BLEND);
        atlas->SetTexID(ui.font_texture);
    }
    ui.fonts_stale = false;
}

/* ImGui's font size is from ascender to descender, which fonts with Chinese letters set wide. */
static float em_height(void)
{
    FT_Library library;
    FT_Face face;
    float result = 1;
    if (!ui.font_data || FT_Init_FreeType(&library) != 0) return result;
    if (FT_New_Memory_Face(library, (const FT_Byte *)ui.font_data, (FT_Long)ui.font_bytes,
                           ui.font_number, &face) == 0) {
        if (face->units_per_EM)
            result = (float)(face->ascender - face->descender) / (float)face->units_per_EM;
        FT_Done_Face(face);
    }
    FT_Done_FreeType(library);
    return result;
}

/* --- life --- */

static void ime_follows_caret(int x, int y)
{
    ui.caret_x = (float)x;
    ui.caret_y = (float)y;
    SDL_Rect r = {x, y, 1, (int)ui_px(20)};
    SDL_SetTextInputRect(&r);
}

static void style(void)
{
    ImGuiStyle &s = ImGui::GetStyle();
    s = ImGuiStyle();
    s.WindowPadding = ImVec2(ui_px(16), ui_px(14));
    s.FramePadding = ImVec2(ui_px(10), ui_px(7));
    s.ItemSpacing = ImVec2(ui_px(8), ui_px(8));
    s.FrameRounding = ui_px(6);
    s.ChildRounding = 0;
    s.ScrollbarSize = ui_px(9);
    s.ScrollbarRounding = ui_px(5);
    s.WindowBorderSize = s.ChildBorderSize = s.FrameBorderSize = 0;
    s.PopupRounding = ui_px(6);
    struct {
        int slot;
        ui_colour colour;
        float alpha;
    } const slots[] = {
        {ImGuiCol_Text, UI_TEXT, 1},
        {ImGuiCol_TextDisabled, UI_MUTED, 1},
        {ImGuiCol_WindowBg, UI_CANVAS, 0},
        {ImGuiCol_FrameBg, UI_FIELD, 1},
        {ImGuiCol_TextSelectedBg, UI_ACCENT, 0.35f},
        {ImGuiCol_ScrollbarBg, UI_PANEL, 0},
        {ImGuiCol_ScrollbarGrab, UI_LINE, 1},
        {ImGuiCol_ScrollbarGrabHovered, UI_MUTED, 0.7f},
        {ImGuiCol_ScrollbarGrabActive, UI_MUTED, 1},
        {ImGuiCol_PopupBg, UI_FIELD, 0.98f},
        {ImGuiCol_NavHighlight, UI_ACCENT, 0.8f},
        {ImGuiCol_Border, UI_LINE, 1},
    };
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++)
        s.Colors[slots[i].slot] =
            ImGui::ColorConvertU32ToFloat4(ui_u32(slots[i].colour, slots[i].alpha));
}

extern "C" bool ui_open(SDL_Window *window, SDL_GLContext gl, SDL_Renderer *renderer,
                        const char *font)
{
    ui = ui_state();
    ui.window = window;
    ui.gl = gl;
    ui.renderer = renderer;
    ui.scale = 1;
    ui.density = 1;
    ui.dark = true;
    ui.font_data = font ? SDL_LoadFile(font, &ui.font_bytes) : NULL;
    /* of Noto's and Source Han's collections, the third is simplified Chinese */
    ui.font_number = font && strstr(font, "CJK") && strstr(font, ".ttc") ? 2 : 0;
    ui.em_height = em_height();
    ImGui::CreateContext();
    ImGuiIO &io = ImGui::GetIO();
    io.IniFilename = NULL;
    io.ConfigInputTextCursorBlink = false; /* a still window needs no frames */
    io.ImeSetInputScreenPosFn = ime_follows_caret;
    bool ok =
        gl ? ImGui_ImplSDL2_InitForOpenGL(window, gl) && ImGui_ImplOpenGL3_Init("#version 330")
           : ImGui_ImplSDL2_InitForSDLRenderer(window);
    if (!ok) return false;
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    for (unsigned c = 32; c < 127; c++)
        for (int i = 0; i < UI_FONTS; i++) ui.needed[i][c >> 3] |= (unsigned char)(1 << (c & 7));
    for (int i = 0; i < UI_FONTS; i++) ui_need("·…–—×−→←↑↓□", (ui_font)i);
    ui.fonts_stale = true;
    style();
    SDL_StartTextInput();
    return true;
}

extern "C" void ui_close(void)
{
    if (ui.gl) ImGui_ImplOpenGL3_Shutdown();
    if (ui.font_texture) SDL_DestroyTexture(ui.font_texture);
    ImGui_ImplSDL2_Shutdown();
    ImGui::DestroyContext();
    SDL_free(ui.font_data);
}

extern "C" void ui_set_scale(float scale)
{
    scale = scale < 0.75f ? 0.75f : scale > 4 ? 4 : scale;
    if (scale == ui.scale) return;
    ui.scale = scale;
    ui.fonts_stale = true;
    style();
}

extern "C" float ui_scale(void)
{
    return ui.scale;
}

extern "C" float ui_px(float points)
{
    return points * ui.scale;
}

extern "C" void ui_set_dark(bool dark)
{
    ui.dark = dark;
    style();
}

extern "C" bool ui_dark(void)
{
    return ui.dark;
}

/* --- events --- */

static void compose(const char *text)
{
    bool was = *ui.composition;
    snprintf(ui.composition, sizeof ui.composition, "%s", text);
    ui_need(ui.composition, UI_BODY);
    /* Return that confirms a candidate may arrive in the same batch, behind the text */
    if (was && !*ui.composition) ui.composition_ended = true;
}

extern "C" bool ui_event(const SDL_Event *e)
{
    if (e->type == SDL_TEXTEDITING) {
        compose(e->edit.text);
        return true;
    }
    if (e->type == SDL_TEXTINPUT) {
        compose("");
        ui_need(e->text.text, UI_BODY);
    }
    if (e->type == SDL_MOUSEBUTTONDOWN) ui_focus_end();
    if (e->type == SDL_KEYDOWN && (*ui.composition || ui.composition_ended)) return true;
    ImGui_ImplSDL2_ProcessEvent(e);
    switch (e->type) {
    case SDL_KEYDOWN:
    case SDL_TEXTINPUT:
        return ImGui::GetIO().WantTextInput;
    default:
        return false;
    }
}

extern "C" bool ui_typing(void)
{
    return ImGui::GetIO().WantTextInput;
}

extern "C" bool ui_composing(void)
{
    return *ui.composition || ui.composition_ended;
}

extern "C" void ui_leave_field(void)
{
    ImGui::ClearActiveID();
}

extern "C" void ui_enter_field(const char *name)
{
    snprintf(ui.enter, sizeof ui.enter, "%s", name);
}

/* --- frames --- */

extern "C" void ui_begin(void)
{
    int w, h, dw, dh;
    SDL_GetWindowSize(ui.window, &w, &h);
    if (ui.gl)
        SDL_GL_GetDrawableSize(ui.window, &dw, &dh);
    else
        SDL_GetRendererOutputSize(ui.renderer, &dw, &dh);
    float density = w > 0 ? (float)dw / (float)w : 1;
    if (density != ui.density) {
        ui.density = density;
        ui.fonts_stale = true;
    }
    if (ui.fonts_stale) make_fonts();
    if (ui.gl) ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplSDL2_NewFrame();
    // a frame that came late must not part the two clicks of a double click
    ImGui::GetIO().DeltaTime = std::min(ImGui::GetIO().DeltaTime, 0.05f);
    ImGui::NewFrame();
    ui.box_count = 0;
    memset(ui.reachable, 0, sizeof ui.reachable);
    ui.composition_ended = false;
    ImGui::SetNextWindowPos(ImVec2(0, 0));
    ImGui::SetNextWindowSize(ImVec2((float)w, (float)h));
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0, 0));
    ImGui::Begin("root", NULL,
                 ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoBringToFrontOnFocus |
                     ImGuiWindowFlags_NoScrollWithMouse);
    ImGui::PopStyleVar();
    ImGui::PushFont(ui.fonts[UI_BODY]);
}

/* The text that the input method is at, underlined, at the caret; it is not in the field yet. */
static void draw_composition(void)
{
    if (!*ui.composition || !ImGui::GetIO().WantTextInput) return;
    ImDrawList *d = ImGui::GetForegroundDrawList();
    ImFont *font = ui.fonts[UI_BODY];
    float size = ImGui::GetFontSize();
    ImVec2 at(ui.caret_x, ui.caret_y),
        extent = font->CalcTextSizeA(size, FLT_MAX, 0, ui.composition);
    float pad = ui_px(3);
    at.x += 1; /* ImGui says where its caret begins */
    d->AddRectFilled(ImVec2(at.x, at.y - pad), ImVec2(at.x + extent.x + pad, at.y + size + pad),
                     ui_u32(UI_FIELD, 1), pad);
    d->AddText(font, size, at, ui_u32(UI_TEXT, 1), ui.composition);
    d->AddLine(ImVec2(at.x, at.y + size + 1), ImVec2(at.x + extent.x, at.y + size + 1),
               ui_u32(UI_ACCENT, 1), ui_px(1.5f));
    ui_rect r = {at.x, at.y, extent.x, size};
    ui_note("composition", r, extent.x);
}

/* ImGui's triangles through SDL's renderer, for machines without OpenGL 3.3. */
static void draw_with_renderer(ImDrawData *data)
{
    float sx = data->FramebufferScale.x, sy = data->FramebufferScale.y;
    SDL_RenderSetScale(ui.renderer, sx, sy);
    for (int n = 0; n < data->CmdListsCount; n++) {
        const ImDrawList *list = data->CmdLists[n];
        for (int i = 0; i < list->CmdBuffer.Size; i++) {
            const ImDrawCmd *c = &list->CmdBuffer[i];
            SDL_Rect clip = {(int)c->ClipRect.x, (int)c->ClipRect.y,
                             (int)(c->ClipRect.z - c->ClipRect.x),
                             (int)(c->ClipRect.w - c->ClipRect.y)};
            if (clip.w <= 0 || clip.h <= 0) continue;
            SDL_RenderSetClipRect(ui.renderer, &clip);
            const ImDrawVert *v = list->VtxBuffer.Data + c->VtxOffset;
            SDL_RenderGeometryRaw(ui.renderer, (SDL_Texture *)c->GetTexID(), &v->pos.x, sizeof *v,
                                  (const SDL_Color *)&v->col, sizeof *v, &v->uv.x, sizeof *v,
                                  list->VtxBuffer.Size - (int)c->VtxOffset,
                                  list->IdxBuffer.Data + c->IdxOffset, (int)c->ElemCount,
                                  sizeof(ImDrawIdx));
        }
    }
    SDL_RenderSetClipRect(ui.renderer, NULL);
    SDL_RenderSetScale(ui.renderer, 1, 1);
}

extern "C" void ui_end(void)
{
    ui.focus_press = ui.focus_moved = false; /* for a widget that is no longer there */
    ui.focus_nudge = 0;
    draw_composition();
    ImGui::PopFont();
    ImGui::End();
    ImGui::Render();
    if (ui.gl)
        ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
    else
        draw_with_renderer(ImGui::GetDrawData());
}

extern "C" bool ui_wants_frame(void)
{
    ImGuiContext &g = *ImGui::GetCurrentContext();
    return ui.fonts_stale || *ui.enter || ui.focus_moved || ui.focus_press || ui.focus_nudge ||
           g.HoveredIdTimer < 0.6f || g.IO.MouseDown[0];
}

/* --- the keyboard's way --- */

extern "C" void ui_focus(int by)
{
    int at = by > 0 ? -1 : ui.box_count;
    for (int i = 0; i < ui.box_count; i++)
        if (*ui.focus && strcmp(ui.boxes[i].name, ui.focus) == 0) at = i;
    for (int tries = 0; tries < ui.box_count; tries++) {
        at = (at + by + ui.box_count) % ui.box_count;
        if (!ui.reachable[at]) continue;
        snprintf(ui.focus, sizeof ui.focus, "%s", ui.boxes[at].name);
        ui.focus_moved = true;
        return;
    }
}

extern "C" bool ui_focused(void)
{
    return *ui.focus;
}

extern "C" void ui_focus_press(void)
{
    ui.focus_press = true;
}

extern "C" void ui_focus_nudge(int by)
{
    ui.focus_nudge = by;
}

extern "C" void ui_focus_end(void)
{
    *ui.focus = 0;
}

bool has_focus(const char *name)
{
    size_t n = strlen(ui.area);
    return *ui.focus && strncmp(ui.focus, ui.area, n) == 0 && ui.focus[n] == '/' &&
           strcmp(ui.focus + n + 1, name) == 0;
}

int take_nudge(const char *name)
{
    if (!ui.focus_nudge || !has_focus(name)) return 0;
    int by = ui.focus_nudge;
    ui.focus_nudge = 0;
    return by;
}

void reach(void)
{
    if (ui.box_count) ui.reachable[ui.box_count - 1] = true;
}

extern "C" int ui_boxes(const ui_box **out)
{
    *out = ui.boxes;
    return ui.box_count;
}

void ui_note(const char *name, ui_rect r, float needed)
{
    if (ui.box_count == UI_BOXES) return;
    ui_box *b = &ui.boxes[ui.box_count++];
    snprintf(b->name, sizeof b->name, "%s/%s", ui.area, name);
    ImVec2 from = ImGui::GetWindowDrawList()->GetClipRectMin(),
           to = ImGui::GetWindowDrawList()->GetClipRectMax();
    b->r = r;
    b->clip = {from.x, from.y, to.x - from.x, to.y - from.y};
    b->needed = needed;
    b->enabled = true;
}

void ui_note_disabled(void)
{
    if (ui.box_count) ui.boxes[ui.box_count - 1].enabled = false;
}
