/* Widgets that show: pictures, curves, the timeline, matrices. See ui.h. */
#include "app/window/ui_inside.h"

#include <imgui/imgui_internal.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- pictures, curves --- */

extern "C" bool ui_image(const char *name, void *texture, float width, float height,
                         const char *caption, bool chosen)
{
    ImVec2 at = ImGui::GetCursorScreenPos();
    float w = ui_px(width), h = ui_px(height), below = caption ? text_size(UI_SMALL) * 1.5f : 0;
    bool hovered, held, clicked = press(name, ImVec2(w, h + below), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w, h + below};
    ui_note(name, box, 0);
    reach();
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

/* --- branches --- */

extern "C" int ui_tree(const ui_branch *branches, int count, int last, float left, float span)
{
    float h = ui_px(UI_BRANCH_HEIGHT), w = ImGui::GetContentRegionAvail().x, pad = ui_px(3);
    ImVec2 first = ImGui::GetCursorScreenPos();
    int pressed = -1;
    ImGui::PushStyleVar(ImGuiStyleVar_ItemSpacing, ImVec2(0, 0));
    for (int i = 0; i < count; i++) {
        const ui_branch *b = &branches[i];
        char name[32];
        bool hovered, held;
        snprintf(name, sizeof name, "branch-%d", i);
        ImVec2 at = ImGui::GetCursorScreenPos();
        if (press(name, ImVec2(w, h), true, &hovered, &held)) pressed = i;
        ui_rect box = {at.x, at.y, w, h};
        ui_note(name, box, 0);
        reach();
        if (b->on || hovered)
            list()->AddRectFilled(at, ImVec2(at.x + w, at.y + h),
                                  ui_u32(UI_TEXT, b->on ? 0.06f : 0.03f), ui_px(5));
        float x = at.x + pad, side = h - 2 * pad, y = at.y + h / 2;
        ImVec2 corner(x + side, at.y + pad + side);
        if (b->texture)
            list()->AddImageRounded((ImTextureID)b->texture, ImVec2(x, at.y + pad), corner,
                                    ImVec2(0, 0), ImVec2(1, 1), IM_COL32_WHITE, ui_px(3));
        else
            list()->AddCircleFilled(ImVec2(x + side / 2, y), ui_px(4), ui_u32(UI_ACCENT, 1), 16);
        ImVec2 text = measure(b->label, UI_SMALL), note = measure(b->note, UI_SMALL);
        float from = corner.x + ui_px(8), end = left - ui_px(14);
        list()->PushClipRect(ImVec2(from, at.y), ImVec2(end - note.x - ui_px(8), at.y + h), true);
        write_at(ImVec2(from, y - text.y / 2), b->label, UI_SMALL,
                 ui_u32(b->on ? UI_TEXT : UI_MUTED, 1));
        list()->PopClipRect();
        write_at(ImVec2(end - note.x, y - note.y / 2), b->note, UI_SMALL, ui_u32(UI_MUTED, 1));
    }
    ImGui::PopStyleVar();
    float scale = last > 0 ? span / (float)last : 0;
    for (int i = 0; i < count; i++) {
        const ui_branch *b = &branches[i];
        float y = first.y + ((float)i + 0.5f) * h, x0 = left + (float)b->from * scale,
              x1 = left + (float)b->to * scale;
        ImU32 ink = ui_u32(b->on ? UI_ACCENT : UI_MUTED, b->on ? 1 : 0.75f);
        if (b->parent >= 0) {
            float above = first.y + ((float)b->parent + 0.5f) * h;
            list()->AddLine(ImVec2(x0, above), ImVec2(x0, y), ui_u32(UI_MUTED, 0.6f), ui_px(1.2f));
            list()->AddCircleFilled(ImVec2(x0, above), ui_px(2.5f), ui_u32(UI_MUTED, 1), 12);
        }
        list()->AddLine(ImVec2(x0, y), ImVec2(x1, y), ink, ui_px(b->on ? 2.4f : 1.8f));
        list()->AddCircleFilled(ImVec2(x1, y), ui_px(b->on ? 4.5f : 3.5f), ink, 16);
    }
    return pressed;
}

/* --- matrices --- */

static void range_of(const ui_table *t, float *low, float *high)
{
    *low = 1, *high = -1;
    for (int i = 0; i < t->rows * t->columns; i++) {
        if (isnan(t->values[i])) continue;
        *low = fminf(*low, t->values[i]);
        *high = fmaxf(*high, t->values[i]);
    }
}

static void draw_cell(const ui_table *t, int i, int j, ImVec2 a, ImVec2 b, float low, float high,
                      bool chosen)
{
    float v = t->values[i * t->columns + j], share = high > low ? (v - low) / (high - low) : 1;
    char number[16] = "–";
    bool known = !isnan(v);
    if (known) snprintf(number, sizeof number, "%.3f", (double)v);
    list()->AddRectFilled(
        a, b, known ? mixed(UI_FIELD, UI_ACCENT, share * share) : ui_u32(UI_FIELD, 1), ui_px(4));
    if (t->best && t->best[i] == j)
        list()->AddRect(a, b, ui_u32(UI_TEXT, 0.85f), ui_px(4), 0, ui_px(1.5f));
    if (chosen) list()->AddRect(a, b, ui_u32(UI_BELIEF, 1), ui_px(4), 0, ui_px(2));
    ImVec2 size = measure(number, UI_SMALL);
    write_at(ImVec2((a.x + b.x - size.x) / 2, (a.y + b.y - size.y) / 2), number, UI_SMALL,
             ui_u32(UI_TEXT, 1));
}

extern "C" int ui_matrix(const char *name, const ui_table *t)
{
    static int chosen; /* by the keyboard */
    float w = ui_px(t->width), h = ui_px(t->height), low, high, head = text_size(UI_SMALL) * 2.6f;
    ImVec2 corner = ImGui::GetCursorScreenPos(), at(corner.x + h + ui_px(6), corner.y + head);
    bool hovered, held;
    ImGui::SetCursorScreenPos(at);
    bool clicked =
        press(name, ImVec2(w * (float)t->columns, h * (float)t->rows), true, &hovered, &held);
    ui_rect box = {at.x, at.y, w * (float)t->columns, h * (float)t->rows};
    ui_note(name, box, 0);
    reach();
    int count = t->rows * t->columns, nudge = take_nudge(name);
    if (nudge) chosen = (chosen + nudge + count) % count;
    if (chosen >= count) chosen = 0;
    range_of(t, &low, &high);
    for (int j = 0; j < t->columns; j++) {
        ImVec2 a(at.x + (float)j * w, corner.y);
        list()->PushClipRect(a, ImVec2(a.x + w - ui_px(4), at.y), true);
        write_at(a, t->labels[j], UI_SMALL, ui_u32(UI_TEXT, 1), w - ui_px(6));
        list()->PopClipRect();
    }
    for (int i = 0; i < t->rows; i++) {
        ImVec2 a(corner.x, at.y + (float)i * h);
        if (t->pictures[i])
            list()->AddImageRounded((ImTextureID)t->pictures[i], ImVec2(a.x, a.y + 1),
                                    ImVec2(a.x + h - 2, a.y + h - 1), ImVec2(0, 0), ImVec2(1, 1),
                                    IM_COL32_WHITE, ui_px(4));
        for (int j = 0; j < t->columns; j++) {
            ImVec2 c(at.x + (float)j * w + 1, a.y + 1);
            draw_cell(t, i, j, c, ImVec2(c.x + w - 2, c.y + h - 2), low, high,
                      has_focus(name) && chosen == i * t->columns + j);
        }
    }
    if (!clicked) return -1;
    ImVec2 mouse = ImGui::GetIO().MousePos;
    if (has_focus(name)) return chosen;
    int i = (int)((mouse.y - at.y) / h), j = (int)((mouse.x - at.x) / w);
    return i >= 0 && i < t->rows && j >= 0 && j < t->columns ? i * t->columns + j : -1;
}
