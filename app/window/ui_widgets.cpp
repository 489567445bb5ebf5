/* The widgets of ui.h: ImGui's behaviour, this program's looks. Areas, texts, buttons, places that
 * draw themselves; what has a value is in ui_values.cpp, pictures and curves in ui_pictures.cpp. */
#include "app/window/ui_inside.h"

#include <imgui/imgui_internal.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

ImDrawList *list(void)
{
    return ImGui::GetWindowDrawList();
}

float text_size(ui_font font)
{
    return ui.fonts[font]->FontSize / ui.density;
}

ImVec2 measure(const char *text, ui_font font, float wrap)
{
    const char *shown = ui_shown(text);
    ui_need_shown(shown, font);
    return ui.fonts[font]->CalcTextSizeA(text_size(font), FLT_MAX, wrap, shown);
}

void write_at(ImVec2 at, const char *text, ui_font font, ImU32 colour, float wrap)
{
    const char *shown = ui_shown(text);
    ui_need_shown(shown, font);
    list()->AddText(ui.fonts[font], text_size(font), ImVec2(floorf(at.x), floorf(at.y)), colour,
                    shown, NULL, wrap);
}

ImU32 mixed(ui_colour a, ui_colour b, float t)
{
    ui_rgb x = ui_colour_of(a), y = ui_colour_of(b);
    return IM_COL32((int)(x.r + (y.r - x.r) * t), (int)(x.g + (y.g - x.g) * t),
                    (int)(x.b + (y.b - x.b) * t), 255);
}

/* --- areas --- */

extern "C" void ui_area_begin(const char *name, ui_rect r, ui_colour background, bool scrolls)
{
    snprintf(ui.area, sizeof ui.area, "%s", name);
    ImGui::SetCursorScreenPos(ImVec2(r.x, r.y));
    ImGui::PushStyleColor(ImGuiCol_ChildBg, ui_u32(background, background == UI_CANVAS ? 0 : 1));
    ImGui::BeginChild(
        name, ImVec2(r.w, r.h), false,
        ImGuiWindowFlags_AlwaysUseWindowPadding |
            (scrolls ? 0 : ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse));
    ui_note("area", r, 0);
}

extern "C" void ui_area_end(void)
{
    ImGui::EndChild();
    ImGui::PopStyleColor();
}

extern "C" float ui_room(void)
{
    return ImGui::GetContentRegionAvail().x / ui.scale;
}

extern "C" float ui_height_left(void)
{
    return ImGui::GetContentRegionAvail().y / ui.scale;
}

extern "C" void ui_space(float points)
{
    ImGui::Dummy(ImVec2(0, fmaxf(ui_px(points) - ImGui::GetStyle().ItemSpacing.y, 0)));
}

extern "C" void ui_beside(void)
{
    ImGui::SameLine();
}

extern "C" void ui_rule(void)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float w = ImGui::GetContentRegionAvail().x;
    list()->AddLine(ImVec2(at.x, at.y + ui_px(4)), ImVec2(at.x + w, at.y + ui_px(4)),
                    ui_u32(UI_LINE, 1));
    ImGui::Dummy(ImVec2(w, ui_px(8)));
}

/* --- texts --- */

extern "C" void ui_text(const char *text, ui_font font, ui_colour colour)
{
    ImVec2 size = measure(text, font), at = ImGui::GetCursorScreenPos();
    float room = ImGui::GetContentRegionAvail().x;
    ImGui::Dummy(ImVec2(fminf(size.x, room), size.y));
    list()->PushClipRect(at, ImVec2(at.x + room, at.y + size.y + 2), true);
    write_at(at, text, font, ui_u32(colour, 1));
    list()->PopClipRect();
}

extern "C" void ui_paragraph(const char *text, ui_colour colour)
{
    float wrap = ImGui::GetContentRegionAvail().x;
    ImVec2 size = measure(text, UI_SMALL, wrap), at = ImGui::GetCursorScreenPos();
    ImGui::Dummy(ImVec2(wrap, size.y));
    write_at(at, text, UI_SMALL, ui_u32(colour, 1), wrap);
}

extern "C" void ui_heading(const char *text)
{
    ui_space(6);
    ui_text(text, UI_SMALL, UI_MUTED);
}

extern "C" void ui_pair(const char *left, const char *right, ui_colour colour)
{
    ImVec2 at = ImGui::GetCursorScreenPos(), size = measure(right, UI_SMALL);
    float w = ImGui::GetContentRegionAvail().x, h = text_size(UI_SMALL) * 1.1f;
    float line = ImGui::GetCurrentWindow()->DC.CurrLineSize.y; /* of what it is beside */
    ImGui::Dummy(ImVec2(w, h));
    if (line > h) at.y += (line - h) / 2;
    float gap = w - size.x - ui_px(8);
    list()->PushClipRect(at, ImVec2(at.x + gap, at.y + h), true);
    write_at(at, left, UI_SMALL, ui_u32(UI_MUTED, 1));
    list()->PopClipRect();
    write_at(ImVec2(at.x + w - size.x, at.y), right, UI_SMALL, ui_u32(colour, 1));
}

extern "C" float ui_text_width(const char *text, ui_font font)
{
    return measure(text, font).x / ui.scale;
}

/* --- icons, drawn in a square of side 2 r around c --- */

static void draw_dice(ImDrawList *d, ImVec2 c, float r, ImU32 colour, float line)
{
    d->AddRect(ImVec2(c.x - r, c.y - r), ImVec2(c.x + r, c.y + r), colour, r * 0.4f, 0, line);
    for (int i = -1; i <= 1; i++)
        d->AddCircleFilled(ImVec2(c.x + (float)i * r * 0.45f, c.y + (float)i * r * 0.45f),
                           r * 0.18f, colour, 8);
}

static void draw_sun(ImDrawList *d, ImVec2 c, float r, ImU32 colour, float line)
{
    d->AddCircle(c, r * 0.5f, colour, 20, line);
    for (int i = 0; i < 8; i++) {
        float a = (float)i * 3.14159265f / 4, x = cosf(a), y = sinf(a);
        d->AddLine(ImVec2(c.x + x * r * 0.75f, c.y + y * r * 0.75f),
                   ImVec2(c.x + x * r * 1.1f, c.y + y * r * 1.1f), colour, line);
    }
}

static void draw_icon(ui_icon icon, ImVec2 c, float r, ImU32 colour)
{
    ImDrawList *d = list();
    float line = fmaxf(1.0f, ui_px(1.4f));
    switch (icon) {
    case UI_ICON_RUN:
        d->AddTriangleFilled(ImVec2(c.x - r * 0.6f, c.y - r * 0.85f), ImVec2(c.x + r * 0.9f, c.y),
                             ImVec2(c.x - r * 0.6f, c.y + r * 0.85f), colour);
        break;
    case UI_ICON_PAUSE:
        d->AddRectFilled(ImVec2(c.x - r * 0.7f, c.y - r * 0.8f),
                         ImVec2(c.x - r * 0.2f, c.y + r * 0.8f), colour, 1);
        d->AddRectFilled(ImVec2(c.x + r * 0.2f, c.y - r * 0.8f),
                         ImVec2(c.x + r * 0.7f, c.y + r * 0.8f), colour, 1);
        break;
    case UI_ICON_STEP:
        d->AddTriangleFilled(ImVec2(c.x - r * 0.7f, c.y - r * 0.8f), ImVec2(c.x + r * 0.4f, c.y),
                             ImVec2(c.x - r * 0.7f, c.y + r * 0.8f), colour);
        d->AddRectFilled(ImVec2(c.x + r * 0.5f, c.y - r * 0.8f),
                         ImVec2(c.x + r * 0.85f, c.y + r * 0.8f), colour);
        break;
    case UI_ICON_KEEP: /* a seal */
        d->AddRect(ImVec2(c.x - r * 0.85f, c.y - r * 0.85f),
                   ImVec2(c.x + r * 0.85f, c.y + r * 0.85f), colour, r * 0.25f, 0, line);
        d->AddRectFilled(ImVec2(c.x - r * 0.4f, c.y - r * 0.4f),
                         ImVec2(c.x + r * 0.4f, c.y + r * 0.4f), colour, 1);
        break;
    case UI_ICON_DISCARD:
        d->AddLine(ImVec2(c.x - r * 0.7f, c.y - r * 0.7f), ImVec2(c.x + r * 0.7f, c.y + r * 0.7f),
                   colour, line);
        d->AddLine(ImVec2(c.x - r * 0.7f, c.y + r * 0.7f), ImVec2(c.x + r * 0.7f, c.y - r * 0.7f),
                   colour, line);
        break;
    case UI_ICON_PLUS:
        d->AddLine(ImVec2(c.x, c.y - r * 0.8f), ImVec2(c.x, c.y + r * 0.8f), colour, line);
        /* fallthrough */
    case UI_ICON_MINUS:
        d->AddLine(ImVec2(c.x - r * 0.8f, c.y), ImVec2(c.x + r * 0.8f, c.y), colour, line);
        break;
    case UI_ICON_UP:
        d->AddLine(ImVec2(c.x - r * 0.7f, c.y + r * 0.3f), ImVec2(c.x, c.y - r * 0.4f), colour,
                   line);
        d->AddLine(ImVec2(c.x + r * 0.7f, c.y + r * 0.3f), ImVec2(c.x, c.y - r * 0.4f), colour,
                   line);
        break;
    case UI_ICON_DICE:
        draw_dice(d, c, r * 0.85f, colour, line);
        break;
    case UI_ICON_SUN:
        draw_sun(d, c, r, colour, line);
        break;
    case UI_ICON_MOON:
        d->AddCircleFilled(c, r, colour, 32);
        d->AddCircleFilled(ImVec2(c.x + r * 0.45f, c.y - r * 0.35f), r * 0.85f, ui_u32(UI_PANEL, 1),
                           32);
        break;
    case UI_ICON_FIT:
        d->AddRect(ImVec2(c.x - r * 0.9f, c.y - r * 0.7f), ImVec2(c.x + r * 0.9f, c.y + r * 0.7f),
                   colour, 1, 0, line);
        break;
    default:
        break;
    }
}

/* --- buttons --- */

/* Around the widget that the keyboard has come to. */
static void draw_focus(ImVec2 at, ImVec2 size)
{
    float out = ui_px(2);
    list()->AddRect(ImVec2(at.x - out, at.y - out),
                    ImVec2(at.x + size.x + out, at.y + size.y + out), ui_u32(UI_BELIEF, 1),
                    ui_px(7), 0, ui_px(1.6f));
    if (ui.focus_moved) ImGui::SetScrollHereY(0.5f);
}

bool press(const char *name, ImVec2 size, bool enabled, bool *hovered, bool *held)
{
    if (size.x < 1) size.x = 1;
    ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::PushID(name);
    bool clicked = ImGui::InvisibleButton("##press", size);
    *hovered = enabled && ImGui::IsItemHovered();
    *held = enabled && ImGui::IsItemActive();
    ImGui::PopID();
    if (has_focus(name)) {
        draw_focus(at, size);
        clicked = clicked || ui.focus_press;
        ui.focus_press = false;
    }
    return clicked && enabled;
}

extern "C" bool ui_button(const char *name, const char *label, ui_icon icon, ui_kind kind,
                          float width, bool enabled)
{
    float h = ui_px(32), pad = ui_px(12), r = ui_px(6), gap = *label ? ui_px(7) : 0;
    ImVec2 text = measure(label, UI_BODY);
    float needed = text.x + (icon ? 2 * r + gap : 0);
    float w = width > 0   ? ui_px(width)
              : width < 0 ? ImGui::GetContentRegionAvail().x
              : *label    ? needed + 2 * pad
                          : h;
    ImVec2 at = ImGui::GetCursorScreenPos();
    bool hovered, held, clicked = press(name, ImVec2(w, h), enabled, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, needed);
    if (enabled) reach();
    if (!enabled) ui_note_disabled();
    ImVec2 end(at.x + w, at.y + h);
    float alpha = enabled ? 1 : 0.38f, round = ui_px(6);
    ImU32 ink = ui_u32(UI_TEXT, alpha);
    if (kind == UI_PRIMARY && enabled) {
        list()->AddRectFilled(at, end,
                              mixed(UI_ACCENT, UI_TEXT,
                                    held      ? 0.15f
                                    : hovered ? 0.08f
                                              : 0),
                              round);
        ink = IM_COL32(255, 252, 246, 255);
    } else if (kind != UI_QUIET || hovered) {
        list()->AddRectFilled(at, end,
                              mixed(UI_FIELD, UI_TEXT,
                                    held      ? 0.14f
                                    : hovered ? 0.07f
                                              : 0),
                              round);
        if (kind != UI_QUIET) list()->AddRect(at, end, ui_u32(UI_LINE, alpha), round);
    }
    float x = at.x + floorf((w - needed) / 2), y = at.y + h / 2;
    if (icon) draw_icon(icon, ImVec2(x + r, y), r, ink);
    write_at(ImVec2(x + (icon ? 2 * r + gap : 0), y - text.y / 2), label, UI_BODY, ink);
    return clicked;
}

extern "C" bool ui_chip(const char *name, const char *label, bool on)
{
    ImVec2 text = measure(label, UI_SMALL), at;
    float w = text.x + ui_px(18), h = ui_px(24);
    if (ImGui::GetContentRegionAvail().x < w) ImGui::NewLine();
    at = ImGui::GetCursorScreenPos();
    bool hovered, held, clicked = press(name, ImVec2(w, h), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, text.x);
    reach();
    ImVec2 end(at.x + w, at.y + h);
    list()->AddRectFilled(
        at, end, on ? ui_u32(UI_ACCENT, 0.22f) : mixed(UI_FIELD, UI_TEXT, hovered ? 0.08f : 0),
        h / 2);
    list()->AddRect(at, end, on ? ui_u32(UI_ACCENT, 0.9f) : ui_u32(UI_LINE, 1), h / 2);
    write_at(ImVec2(at.x + ui_px(9), at.y + (h - text.y) / 2), label, UI_SMALL, ui_u32(UI_TEXT, 1));
    return clicked;
}

extern "C" bool ui_tab(const char *name, const char *label, bool on)
{
    ImVec2 text = measure(label, UI_BODY), at = ImGui::GetCursorScreenPos();
    float w = text.x + ui_px(20), h = ui_px(32);
    bool hovered, held, clicked = press(name, ImVec2(w, h), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, text.x);
    reach();
    write_at(ImVec2(at.x + ui_px(10), at.y + (h - text.y) / 2), label, UI_BODY,
             ui_u32(on || hovered ? UI_TEXT : UI_MUTED, 1));
    if (on)
        list()->AddRectFilled(ImVec2(at.x + ui_px(10), at.y + h - ui_px(2)),
                              ImVec2(at.x + w - ui_px(10), at.y + h), ui_u32(UI_ACCENT, 1), 1);
    return clicked;
}

extern "C" bool ui_hovered(void)
{
    return ImGui::IsItemHovered();
}

extern "C" bool ui_double_clicked(void)
{
    return ImGui::IsItemHovered() && ImGui::IsMouseDoubleClicked(0);
}

extern "C" bool ui_right_clicked(void)
{
    return ImGui::IsItemClicked(ImGuiMouseButton_Right);
}

extern "C" ui_rect ui_last(void)
{
    ImVec2 a = ImGui::GetItemRectMin(), b = ImGui::GetItemRectMax();
    return {a.x, a.y, b.x - a.x, b.y - a.y};
}

extern "C" void ui_scroll_here(void)
{
    ImGuiWindow *w = ImGui::GetCurrentWindow();
    float top = ImGui::GetItemRectMin().y, end = ImGui::GetItemRectMax().y;
    if (top < w->InnerRect.Min.y) ImGui::SetScrollHereY(0);
    if (end > w->InnerRect.Max.y) ImGui::SetScrollHereY(1);
}

extern "C" void ui_hint(const char *text)
{
    if (!ImGui::IsItemHovered() || ImGui::GetCurrentContext()->HoveredIdTimer < 0.5f) return;
    text = ui_shown(text);
    ui_need_shown(text, UI_SMALL);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(ui_px(9), ui_px(6)));
    ImGui::BeginTooltip();
    ImGui::PushFont(ui.fonts[UI_SMALL]);
    ImGui::PushTextWrapPos(ui_px(300));
    ImGui::TextUnformatted(text);
    ImGui::PopTextWrapPos();
    ImGui::PopFont();
    ImGui::EndTooltip();
    ImGui::PopStyleVar();
}

/* --- places that draw themselves --- */

extern "C" ui_touch ui_canvas(const char *name, ui_rect r)
{
    ImGui::SetCursorScreenPos(ImVec2(r.x, r.y));
    ui_touch t = {};
    bool hovered, held;
    bool clicked = press(name, ImVec2(r.w, r.h > 1 ? r.h : 1), true, &hovered, &held);
    ImGui::SetItemAllowOverlap();
    ImGuiIO &io = ImGui::GetIO();
    float still = ui_px(3);
    t.clicked = clicked && io.MouseDragMaxDistanceSqr[0] < still * still;
    t.hovered = hovered;
    t.held = held;
    t.pressed = hovered && ImGui::IsMouseClicked(0);
    t.double_clicked = hovered && ImGui::IsMouseDoubleClicked(0);
    t.x = io.MousePos.x;
    t.y = io.MousePos.y;
    bool moves = held && !ImGui::IsMouseClicked(0); /* the way to the press is not a drag */
    t.dx = moves ? io.MouseDelta.x : 0;
    t.dy = moves ? io.MouseDelta.y : 0;
    t.wheel = hovered ? io.MouseWheel : 0;
    ui_note(name, r, 0);
    return t;
}

extern "C" void ui_fill(ui_rect r, ui_colour colour, float alpha, float radius)
{
    list()->AddRectFilled(ImVec2(r.x, r.y), ImVec2(r.x + r.w, r.y + r.h), ui_u32(colour, alpha),
                          ui_px(radius));
}

extern "C" void ui_frame(ui_rect r, ui_colour colour, float width)
{
    list()->AddRect(ImVec2(r.x, r.y), ImVec2(r.x + r.w, r.y + r.h), ui_u32(colour, 1), ui_px(2), 0,
                    ui_px(width));
}

extern "C" void ui_line(float x0, float y0, float x1, float y1, ui_colour colour, float width)
{
    list()->AddLine(ImVec2(x0, y0), ImVec2(x1, y1), ui_u32(colour, 1), ui_px(width));
}

extern "C" void ui_write(float x, float y, const char *text, ui_font font, ui_colour colour)
{
    write_at(ImVec2(x, y), text, font, ui_u32(colour, 1));
}

extern "C" void ui_write_centred(ui_rect r, const char *text, ui_font font, ui_colour colour)
{
    ImVec2 size = measure(text, font, r.w);
    write_at(ImVec2(r.x + (r.w - size.x) / 2, r.y + (r.h - size.y) / 2), text, font,
             ui_u32(colour, 1), r.w);
}
