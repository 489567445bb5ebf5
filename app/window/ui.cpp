/* Dear ImGui behind ui.h: life, input methods, frames. Widgets are in ui_widgets.cpp, fonts in
 * ui_fonts.cpp, colours in ui_state.cpp. */
#include "app/window/ui_inside.h"

#include <algorithm>
#include <imgui/backends/imgui_impl_opengl3.h>
#include <imgui/backends/imgui_impl_sdl.h>
#include <imgui/imgui_internal.h>

#include <math.h>
#include <string.h>

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
    ui_open_fonts();
    ui_open_clipboard();
    style();
    SDL_StartTextInput();
    return true;
}

extern "C" void ui_close(void)
{
    if (ui.gl) ImGui_ImplOpenGL3_Shutdown();
    ui_close_fonts();
    ImGui_ImplSDL2_Shutdown();
    ImGui::DestroyContext();
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
    bool was = !ui.composition.empty();
    ui.composition = text;
    ui_need(text, UI_BODY);
    /* Return that confirms a candidate may arrive in the same batch, behind the text */
    if (was && ui.composition.empty()) ui.composition_ended = true;
}

extern "C" bool ui_event(const SDL_Event *e)
{
    if (e->type == SDL_TEXTEDITING) {
        compose(e->edit.text);
        return true;
    }
#if SDL_VERSION_ATLEAST(2, 0, 22)
    if (e->type == SDL_TEXTEDITING_EXT) { /* of more than 31 bytes */
        compose(e->editExt.text ? e->editExt.text : "");
        SDL_free(e->editExt.text);
        return true;
    }
#endif
    if (e->type == SDL_TEXTINPUT) {
        compose("");
        ui_need(e->text.text, UI_BODY);
        ImGui::GetIO().AddInputCharactersUTF8(ui_shown(e->text.text));
        return ImGui::GetIO().WantTextInput;
    }
    if (e->type == SDL_MOUSEBUTTONDOWN) ui_focus_end();
    if (e->type == SDL_KEYDOWN && (!ui.composition.empty() || ui.composition_ended)) return true;
    ImGui_ImplSDL2_ProcessEvent(e);
    return e->type == SDL_KEYDOWN && ImGui::GetIO().WantTextInput;
}

extern "C" bool ui_typing(void)
{
    return ImGui::GetIO().WantTextInput;
}

extern "C" bool ui_composing(void)
{
    return !ui.composition.empty() || ui.composition_ended;
}

extern "C" const char *ui_composition(void)
{
    return ui.composition.c_str();
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
    if (ui.fonts_stale) ui_make_fonts();
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

/* The text that the input method is at, underlined, at the caret; it is not in the field yet. One
 * that would leave the window moves to the left: its end is what one types at. */
static void draw_composition(void)
{
    if (ui.composition.empty() || !ImGui::GetIO().WantTextInput) return;
    ImDrawList *d = ImGui::GetForegroundDrawList();
    ImFont *font = ui.fonts[UI_BODY];
    const char *shown = ui_shown(ui.composition.c_str());
    float size = ImGui::GetFontSize();
    ImVec2 at(ui.caret_x, ui.caret_y), extent = font->CalcTextSizeA(size, FLT_MAX, 0, shown);
    float pad = ui_px(3), room = ImGui::GetIO().DisplaySize.x - extent.x - 2 * pad;
    at.x = std::min(at.x + 1, room); /* ImGui says where its caret begins */
    d->AddRectFilled(ImVec2(at.x, at.y - pad), ImVec2(at.x + extent.x + pad, at.y + size + pad),
                     ui_u32(UI_FIELD, 1), pad);
    d->AddText(font, size, at, ui_u32(UI_TEXT, 1), shown);
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
