/* The widgets of ui.h: ImGui's behaviour, this program's looks. */
#include "app/ui_inside.h"

#include <imgui/imgui_internal.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static ImDrawList *list(void)
{
    return ImGui::GetWindowDrawList();
}

static float text_size(ui_font font)
{
    return ui.fonts[font]->FontSize / ui.density;
}

static ImVec2 measure(const char *text, ui_font font, float wrap = 0)
{
    ui_need(text, font);
    return ui.fonts[font]->CalcTextSizeA(text_size(font), FLT_MAX, wrap, text);
}

static void write_at(ImVec2 at, const char *text, ui_font font, ImU32 colour, float wrap = 0)
{
    ui_need(text, font);
    list()->AddText(ui.fonts[font], text_size(font), ImVec2(floorf(at.x), floorf(at.y)), colour,
                    text, NULL, wrap);
}

static ui_rect last_rect(void)
{
    ImVec2 a = ImGui::GetItemRectMin(), b = ImGui::GetItemRectMax();
    ui_rect r = {a.x, a.y, b.x - a.x, b.y - a.y};
    return r;
}

static ImU32 mixed(ui_colour a, ui_colour b, float t)
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

static bool press(const char *name, ImVec2 size, bool enabled, bool *hovered, bool *held)
{
    if (size.x < 1) size.x = 1;
    ImGui::PushID(name);
    bool clicked = ImGui::InvisibleButton("##press", size);
    *hovered = enabled && ImGui::IsItemHovered();
    *held = enabled && ImGui::IsItemActive();
    ImGui::PopID();
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

extern "C" void ui_hint(const char *text)
{
    if (!ImGui::IsItemHovered() || ImGui::GetCurrentContext()->HoveredIdTimer < 0.5f) return;
    ui_need(text, UI_SMALL);
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

/* --- values --- */

extern "C" int ui_slider(const char *name, const char *label, float *value, float low, float high,
                         const char *format)
{
    char number[32];
    snprintf(number, sizeof number, format, (double)*value);
    ImVec2 at = ImGui::GetCursorScreenPos(), text = measure(label, UI_SMALL),
           digits = measure(number, UI_SMALL);
    float w = ImGui::GetContentRegionAvail().x, h = text.y + ui_px(18);
    bool hovered, held;
    press(name, ImVec2(w, h), true, &hovered, &held);
    int result = held ? 1 : ImGui::IsItemDeactivated() ? 2 : 0;
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, text.x + digits.x);
    if (held) {
        float t = (ImGui::GetIO().MousePos.x - at.x) / w;
        *value = low + (high - low) * fminf(fmaxf(t, 0), 1);
    }
    float t = fminf(fmaxf((*value - low) / (high - low), 0), 1), y = at.y + text.y + ui_px(9);
    float zero = low < 0 && high > 0 ? -low / (high - low) : 0;
    write_at(at, label, UI_SMALL, ui_u32(UI_MUTED, 1));
    write_at(ImVec2(at.x + w - digits.x, at.y), number, UI_SMALL, ui_u32(UI_TEXT, 1));
    list()->AddRectFilled(ImVec2(at.x, y - ui_px(1.5f)), ImVec2(at.x + w, y + ui_px(1.5f)),
                          ui_u32(UI_LINE, 1), ui_px(2));
    list()->AddRectFilled(ImVec2(at.x + w * fminf(zero, t), y - ui_px(1.5f)),
                          ImVec2(at.x + w * fmaxf(zero, t), y + ui_px(1.5f)), ui_u32(UI_ACCENT, 1),
                          ui_px(2));
    list()->AddCircleFilled(ImVec2(at.x + w * t, y), ui_px(held || hovered ? 7 : 6),
                            ui_u32(UI_TEXT, 1), 24);
    return result;
}

static void focus_if_asked(const char *name)
{
    if (strcmp(ui.enter, name) != 0) return;
    ImGui::SetKeyboardFocusHere();
    ui.enter[0] = 0;
}

/* A frame around what one types in, and the hint while it is empty. */
static void dress_field(const char *name, ui_rect r, const char *text, const char *hint)
{
    bool active = ImGui::IsItemActive();
    ImVec2 a(r.x, r.y), b(r.x + r.w, r.y + r.h);
    list()->AddRect(a, b, active ? ui_u32(UI_ACCENT, 0.85f) : ui_u32(UI_LINE, 1), ui_px(6), 0,
                    active ? ui_px(1.5f) : 1);
    if (!*text && hint && !(active && *ui.composition))
        write_at(
            ImVec2(a.x + ImGui::GetStyle().FramePadding.x, a.y + ImGui::GetStyle().FramePadding.y),
            hint, UI_BODY, ui_u32(UI_MUTED, 0.8f), r.w - ui_px(20));
    ui_note(name, r, 0);
}

extern "C" bool ui_field(const char *name, char *buffer, size_t size, const char *hint, float width)
{
    char id[72];
    snprintf(id, sizeof id, "##%s", name);
    ui_need(buffer, UI_BODY);
    focus_if_asked(name);
    ImGui::SetNextItemWidth(width > 0 ? ui_px(width) : ImGui::GetContentRegionAvail().x);
    ImVec2 at = ImGui::GetCursorScreenPos();
    bool changed = ImGui::InputText(id, buffer, size);
    ui_rect r = last_rect();
    r.x = at.x;
    dress_field(name, r, buffer, hint);
    return changed;
}

extern "C" bool ui_poem(const char *name, char *buffer, size_t size, const char *hint, float height)
{
    char id[72];
    snprintf(id, sizeof id, "##%s", name);
    ui_need(buffer, UI_BODY);
    focus_if_asked(name);
    ImVec2 at = ImGui::GetCursorScreenPos(),
           extent(ImGui::GetContentRegionAvail().x, ui_px(height));
    bool changed = ImGui::InputTextMultiline(id, buffer, size, extent);
    ui_rect r = {at.x, at.y, extent.x, extent.y};
    dress_field(name, r, buffer, hint);
    return changed;
}

extern "C" bool ui_number(const char *name, const char *unit, int *value, int low, int high,
                          float width)
{
    char id[72];
    int before = *value;
    snprintf(id, sizeof id, "##%s", name);
    ImGui::SetNextItemWidth(ui_px(width));
    ImGui::InputInt(id, value, 0, 0);
    *value = *value < low ? low : *value > high ? high : *value;
    ui_rect r = last_rect();
    ImVec2 text = measure(unit, UI_SMALL);
    write_at(ImVec2(r.x + r.w - text.x - ui_px(8), r.y + (r.h - text.y) / 2), unit, UI_SMALL,
             ui_u32(UI_MUTED, 1));
    dress_field(name, r, "0", NULL);
    return *value != before;
}

extern "C" void ui_meter(const char *name, const char *label, float value, float low, float high,
                         ui_colour colour)
{
    char number[32] = "–";
    bool known = !isnan(value);
    if (known) snprintf(number, sizeof number, "%.3f", (double)value);
    ImVec2 at = ImGui::GetCursorScreenPos(), text = measure(label, UI_SMALL),
           digits = measure(number, UI_BODY);
    float w = ImGui::GetContentRegionAvail().x, h = digits.y + ui_px(10);
    ImGui::Dummy(ImVec2(w, h));
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, text.x + digits.x);
    write_at(ImVec2(at.x, at.y + digits.y - text.y), label, UI_SMALL, ui_u32(UI_MUTED, 1));
    write_at(ImVec2(at.x + w - digits.x, at.y), number, UI_BODY,
             ui_u32(known ? colour : UI_MUTED, 1));
    float y = at.y + digits.y + ui_px(4), t = known ? (value - low) / (high - low) : 0;
    t = fminf(fmaxf(t, 0), 1);
    list()->AddRectFilled(ImVec2(at.x, y), ImVec2(at.x + w, y + ui_px(4)), ui_u32(UI_LINE, 1),
                          ui_px(2));
    if (t > 0)
        list()->AddRectFilled(ImVec2(at.x, y), ImVec2(at.x + w * t, y + ui_px(4)),
                              ui_u32(colour, 1), ui_px(2));
}

/* --- pictures, curves --- */

extern "C" bool ui_image(const char *name, void *texture, float width, float height,
                         const char *caption, bool chosen)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float w = ui_px(width), h = ui_px(height), below = caption ? text_size(UI_SMALL) * 1.5f : 0;
    bool hovered, held, clicked = press(name, ImVec2(w, h + below), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h + below};
    ui_note(name, box, 0);
    ImVec2 end(at.x + w, at.y + h);
    if (texture)
        list()->AddImageRounded((ImTextureID)texture, at, end, ImVec2(0, 0), ImVec2(1, 1),
                                IM_COL32_WHITE, ui_px(4));
    else
        list()->AddRectFilled(at, end, ui_u32(UI_FIELD, 1), ui_px(4));
    if (chosen || hovered)
        list()->AddRect(at, end, ui_u32(UI_ACCENT, chosen ? 1 : 0.5f), ui_px(4), 0, ui_px(2));
    if (caption) {
        list()->PushClipRect(ImVec2(at.x, end.y), ImVec2(end.x, end.y + below), true);
        write_at(ImVec2(at.x + ui_px(2), end.y + ui_px(3)), caption, UI_SMALL, ui_u32(UI_MUTED, 1));
        list()->PopClipRect();
    }
    return clicked;
}

static void draw_series(const ui_series *s, ImVec2 at, float w, float h, float first, float last,
                        float low, float high)
{
    ImVec2 previous;
    bool has = false;
    for (int i = 0; i < s->count; i++) {
        if (isnan(s->y[i])) continue;
        float t = last > first ? (s->x[i] - first) / (last - first) : 0;
        float v = fminf(fmaxf((s->y[i] - low) / (high - low), 0), 1);
        ImVec2 p(at.x + t * w, at.y + h - v * h);
        if (has) list()->AddLine(previous, p, ui_u32(s->colour, 1), ui_px(1.6f));
        previous = p;
        has = true;
    }
    if (has) list()->AddCircleFilled(previous, ui_px(3), ui_u32(s->colour, 1), 16);
}

extern "C" float ui_plot(const char *name, const ui_series *series, int count, float height,
                         float low, float high)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float w = ImGui::GetContentRegionAvail().x, h = ui_px(height);
    bool hovered, held;
    press(name, ImVec2(w, h), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, 0);
    list()->AddRectFilled(at, ImVec2(at.x + w, at.y + h), ui_u32(UI_FIELD, 0.6f), ui_px(6));
    float pad = ui_px(8);
    ImVec2 inner(at.x + pad, at.y + pad);
    w -= 2 * pad, h -= 2 * pad;
    float first = 0, last = 1;
    for (int i = 0; i < count; i++)
        if (series[i].count) last = fmaxf(last, series[i].x[series[i].count - 1]);
    for (int i = 0; i <= 2; i++) {
        float y = inner.y + h * (float)i / 2;
        list()->AddLine(ImVec2(inner.x, y), ImVec2(inner.x + w, y), ui_u32(UI_LINE, 0.8f));
    }
    for (int i = 0; i < count; i++) draw_series(&series[i], inner, w, h, first, last, low, high);
    char mark[16];
    snprintf(mark, sizeof mark, "%.2g", (double)high);
    write_at(ImVec2(inner.x, inner.y), mark, UI_SMALL, ui_u32(UI_MUTED, 0.7f));
    if (!hovered) return NAN;
    float x = ImGui::GetIO().MousePos.x;
    list()->AddLine(ImVec2(x, inner.y), ImVec2(x, inner.y + h), ui_u32(UI_MUTED, 0.6f));
    return first + (last - first) * fminf(fmaxf((x - inner.x) / w, 0), 1);
}

extern "C" int ui_timeline(const char *name, int *value, int last, const int *marks, int mark_count,
                           float width)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float w = width > 0 ? ui_px(width) : ImGui::GetContentRegionAvail().x, h = ui_px(32);
    bool hovered, held;
    press(name, ImVec2(w, h), last > 0, &hovered, &held);
    int result = held ? 1 : ImGui::IsItemDeactivated() && last > 0 ? 2 : 0;
    ui_rect box = {at.x, at.y, w, h};
    ui_note(name, box, 0);
    float left = at.x + ui_px(7), span = w - ui_px(14), y = at.y + h / 2;
    if (held) {
        float t = (ImGui::GetIO().MousePos.x - left) / span;
        *value = (int)(fminf(fmaxf(t, 0), 1) * (float)last + 0.5f);
    }
    float t = last > 0 ? fminf((float)*value / (float)last, 1) : 0;
    list()->AddRectFilled(ImVec2(left, y - ui_px(2)), ImVec2(left + span, y + ui_px(2)),
                          ui_u32(UI_LINE, 1), ui_px(2));
    list()->AddRectFilled(ImVec2(left, y - ui_px(2)), ImVec2(left + span * t, y + ui_px(2)),
                          ui_u32(UI_ACCENT, 0.9f), ui_px(2));
    for (int i = 0; i < mark_count && last > 0; i++) {
        float x = left + span * (float)marks[i] / (float)last;
        list()->AddLine(ImVec2(x, y + ui_px(5)), ImVec2(x, y + ui_px(9)), ui_u32(UI_MUTED, 0.7f));
    }
    if (last > 0)
        list()->AddCircleFilled(ImVec2(left + span * t, y), ui_px(held || hovered ? 7 : 6),
                                ui_u32(UI_TEXT, 1), 24);
    return result;
}

extern "C" int ui_matrix(const char *name, const float *values, int rows, int columns, int stride,
                         float cell)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float c = ui_px(cell), low = 1, high = -1;
    bool hovered, held,
        clicked = press(name, ImVec2(c * (float)columns, c * (float)rows), true, &hovered, &held);
    ui_rect box = {at.x, at.y, c * (float)columns, c * (float)rows};
    ui_note(name, box, 0);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            low = fminf(low, values[i * stride + j]);
            high = fmaxf(high, values[i * stride + j]);
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float v = values[i * stride + j], t = high > low ? (v - low) / (high - low) : 1;
            char number[16];
            snprintf(number, sizeof number, "%.2f", (double)v);
            ImVec2 a(at.x + (float)j * c + 1, at.y + (float)i * c + 1), b(a.x + c - 2, a.y + c - 2);
            list()->AddRectFilled(a, b, mixed(UI_FIELD, UI_ACCENT, t * t), ui_px(4));
            ImVec2 size = measure(number, UI_SMALL);
            write_at(ImVec2(a.x + (c - 2 - size.x) / 2, a.y + (c - 2 - size.y) / 2), number,
                     UI_SMALL, ui_u32(UI_TEXT, 1));
        }
    if (!clicked) return -1;
    ImVec2 mouse = ImGui::GetIO().MousePos;
    int i = (int)((mouse.y - at.y) / c), j = (int)((mouse.x - at.x) / c);
    return i >= 0 && i < rows && j >= 0 && j < columns ? i * columns + j : -1;
}

/* --- places that draw themselves --- */

extern "C" ui_touch ui_canvas(const char *name, ui_rect r)
{
    ImGui::SetCursorScreenPos(ImVec2(r.x, r.y));
    ui_touch t = {};
    bool hovered, held;
    press(name, ImVec2(r.w, r.h > 1 ? r.h : 1), true, &hovered, &held);
    ImGui::SetItemAllowOverlap();
    ImGuiIO &io = ImGui::GetIO();
    t.hovered = hovered;
    t.held = held;
    t.pressed = hovered && ImGui::IsMouseClicked(0);
    t.double_clicked = hovered && ImGui::IsMouseDoubleClicked(0);
    t.x = io.MousePos.x;
    t.y = io.MousePos.y;
    t.dx = held ? io.MouseDelta.x : 0;
    t.dy = held ? io.MouseDelta.y : 0;
    t.wheel = hovered ? io.MouseWheel : 0;
    ui_note(name, r, 0);
    return t;
}

extern "C" void ui_fill(ui_rect r, ui_colour colour, float alpha, float radius)
{
    list()->AddRectFilled(ImVec2(r.x, r.y), ImVec2(r.x + r.w, r.y + r.h), ui_u32(colour, alpha),
                          ui_px(radius));
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
