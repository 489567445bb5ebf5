/* Widgets that change something: sliders, fields, numbers; and meters. See ui.h. */
#include "app/window/ui_inside.h"

#include <imgui/imgui_internal.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <vector>

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
    reach();
    int nudge = take_nudge(name);
    if (nudge) {
        *value = fminf(fmaxf(*value + (float)nudge * (high - low) / 20, low), high);
        result = 2;
    }
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
    if (strcmp(ui.enter, name) == 0) {
        ImGui::SetKeyboardFocusHere();
        ui.enter[0] = 0;
    } else if (ui.focus_moved && has_focus(name)) {
        ImGui::SetKeyboardFocusHere();
        ui.focus_moved = false;
    }
}

/* A frame around what one types in, and the hint while it is empty. */
static void dress_field(const char *name, ui_rect r, const char *text, const char *hint)
{
    bool active = ImGui::IsItemActive();
    float room = r.w - ui_px(20);
    bool wraps_out = hint && measure(hint, UI_BODY, room).y > r.h;
    ImVec2 a(r.x, r.y), b(r.x + r.w, r.y + r.h);
    list()->AddRect(a, b, active ? ui_u32(UI_ACCENT, 0.85f) : ui_u32(UI_LINE, 1), ui_px(6), 0,
                    active ? ui_px(1.5f) : 1);
    if (!*text && hint && !(active && !ui.composition.empty()))
        write_at(
            ImVec2(a.x + ImGui::GetStyle().FramePadding.x, a.y + ImGui::GetStyle().FramePadding.y),
            hint, UI_BODY, ui_u32(UI_MUTED, 0.8f), room);
    ui_note(name, r, wraps_out ? measure(hint, UI_BODY).x + ui_px(20) : 0);
    reach();
    if (active) /* the way goes on from here */
        snprintf(ui.focus, sizeof ui.focus, "%s/%s", ui.area, name);
    ui.entered =
        ImGui::IsItemDeactivated() && ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_Enter));
}

extern "C" bool ui_entered(void)
{
    return ui.entered;
}

/* --- texts --- */

/* The field one types in: what the program's buffer was after the last frame. */
static struct {
    ImGuiID id;
    std::string text;
} active;

struct editing {
    std::vector<char> *shown; /* what ImGui edits; it grows */
    size_t room;              /* bytes of the program's text */
};

/* What was undone in another text would be out of place in this one. */
static void forget_undo(ImGuiInputTextState *s)
{
    s->Stb.undostate.undo_point = 0;
    s->Stb.undostate.undo_char_point = 0;
    s->Stb.undostate.redo_point = STB_TEXTEDIT_UNDOSTATECOUNT;
    s->Stb.undostate.redo_char_point = STB_TEXTEDIT_UNDOCHARCOUNT;
}

/* The program has changed what one is typing in. */
static void replace_text(ImGuiInputTextState *s, const std::string &shown)
{
    int n = (int)shown.size();
    s->TextW.resize(n + 1);
    s->CurLenW = ImTextStrFromUtf8(s->TextW.Data, n + 1, shown.c_str(), NULL);
    s->CurLenA = n;
    s->TextA.resize(0);
    s->TextAIsValid = false;
    s->InitialTextA.resize(n + 1);
    memcpy(s->InitialTextA.Data, shown.c_str(), (size_t)n + 1);
    s->Stb.cursor = s->Stb.select_start = s->Stb.select_end = s->CurLenW;
    s->Stb.has_preferred_x = 0;
    s->CursorFollow = true;
    forget_undo(s);
}

/* Cuts the end of what was just put in, before the cursor, until the text fits. */
static void cut_to_fit(ImGuiInputTextCallbackData *data, size_t room)
{
    std::string text, piece;
    ui_decode(data->Buf, &text);
    if (text.size() <= room) return;
    size_t excess = text.size() - room, gone = 0;
    int from = data->CursorPos;
    while (from > 0 && gone < excess) {
        int end = from--;
        while (from > 0 && ((unsigned char)data->Buf[from] & 0xc0) == 0x80) from--;
        ui_decode(std::string(data->Buf + from, (size_t)(end - from)).c_str(), &piece);
        gone += piece.size();
    }
    data->DeleteChars(from, data->CursorPos - from);
    forget_undo(&ImGui::GetCurrentContext()->InputTextState);
    ui.refused = true;
}

static int on_edit(ImGuiInputTextCallbackData *data)
{
    editing *e = (editing *)data->UserData;
    if (data->EventFlag == ImGuiInputTextFlags_CallbackResize) {
        e->shown->resize((size_t)data->BufSize + 1);
        data->Buf = e->shown->data();
    } else
        cut_to_fit(data, e->room);
    return 0;
}

/* extent NULL: one line. */
static bool edit_text(const char *name, char *buffer, size_t size, const ImVec2 *extent)
{
    char id[72];
    std::string shown, text;
    snprintf(id, sizeof id, "##%s", name);
    ImGuiID number = ImGui::GetID(id);
    bool whole = ui_encode(buffer, &shown);
    ui_need_shown(shown.c_str(), UI_BODY);
    ImGuiInputTextState *s = ImGui::GetInputTextState(number);
    bool mine = ImGui::GetActiveID() == number;
    if (s && mine && active.id == number && active.text != buffer) replace_text(s, shown);
    if (s && !mine && active.text != buffer && active.id == number) s->ID = 0; /* and its undo */
    std::vector<char> held(shown.begin(), shown.end());
    held.resize(shown.size() + 256);
    editing e = {&held, size - 1};
    int flags = ImGuiInputTextFlags_CallbackResize | ImGuiInputTextFlags_CallbackEdit |
                (whole ? 0 : ImGuiInputTextFlags_ReadOnly);
    bool changed = extent ? ImGui::InputTextMultiline(id, held.data(), held.size(), *extent, flags,
                                                      on_edit, &e)
                          : ImGui::InputText(id, held.data(), held.size(), flags, on_edit, &e);
    if (changed) {
        ui_decode(held.data(), &text);
        changed = text.size() < size;
        if (changed) memcpy(buffer, text.c_str(), text.size() + 1);
    }
    if (ImGui::GetActiveID() == number || active.id == number) {
        active.id = number;
        active.text = buffer;
    }
    return changed;
}

extern "C" bool ui_refused(void)
{
    bool refused = ui.refused;
    ui.refused = false;
    return refused;
}

extern "C" bool ui_field(const char *name, char *buffer, size_t size, const char *hint, float width)
{
    focus_if_asked(name);
    ImGui::SetNextItemWidth(width > 0 ? ui_px(width) : ImGui::GetContentRegionAvail().x);
    ImVec2 at = ImGui::GetCursorScreenPos();
    bool changed = edit_text(name, buffer, size, NULL);
    ui_rect r = ui_last();
    r.x = at.x;
    dress_field(name, r, buffer, hint);
    return changed;
}

extern "C" bool ui_poem(const char *name, char *buffer, size_t size, const char *hint, float height)
{
    focus_if_asked(name);
    ImVec2 at = ImGui::GetCursorScreenPos(),
           extent(ImGui::GetContentRegionAvail().x, ui_px(height));
    bool changed = edit_text(name, buffer, size, &extent);
    ui_rect r = {at.x, at.y, extent.x, extent.y};
    dress_field(name, r, buffer, hint);
    return changed;
}

/* The number one types, and what it was after the last frame. */
static struct {
    ImGuiID id;
    uint64_t value;
} typed;

/* One that the program has set since is what stands there. */
static void before_number(const char *id, uint64_t value)
{
    ImGuiID number = ImGui::GetID(id);
    if (ImGui::GetActiveID() == number && typed.id == number && typed.value != value)
        ImGui::ClearActiveID();
}

static void after_number(const char *id, uint64_t value)
{
    ImGuiID number = ImGui::GetID(id);
    if (ImGui::GetActiveID() == number) typed = {number, value};
}

extern "C" bool ui_number(const char *name, const char *unit, int *value, int low, int high,
                          float width)
{
    char id[72];
    int before = *value;
    snprintf(id, sizeof id, "##%s", name);
    before_number(id, (uint64_t)*value);
    focus_if_asked(name);
    ImGui::SetNextItemWidth(ui_px(width));
    ImGui::InputInt(id, value, 0, 0);
    *value = *value < low ? low : *value > high ? high : *value;
    after_number(id, (uint64_t)*value);
    ui_rect r = ui_last();
    ImVec2 text = measure(unit, UI_SMALL);
    write_at(ImVec2(r.x + r.w - text.x - ui_px(8), r.y + (r.h - text.y) / 2), unit, UI_SMALL,
             ui_u32(UI_MUTED, 1));
    dress_field(name, r, "0", NULL);
    return *value != before;
}

extern "C" bool ui_seed(const char *name, uint64_t *value, float width)
{
    char id[72];
    uint64_t before = *value;
    snprintf(id, sizeof id, "##%s", name);
    before_number(id, *value);
    focus_if_asked(name);
    ImGui::SetNextItemWidth(ui_px(width));
    ImGui::InputScalar(id, ImGuiDataType_U64, value);
    after_number(id, *value);
    dress_field(name, ui_last(), "0", NULL);
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
