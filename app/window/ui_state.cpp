/* What all widgets stand on: the state, colours, scale, and which letters the fonts have to hold.
 */
#include "app/window/ui_inside.h"

#include <imgui/imgui_internal.h>

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
    {{92, 184, 170}, {26, 132, 118}},   /* robustness */
    {{232, 120, 96}, {176, 58, 36}},    /* warning */
};

ui_rgb ui_colour_of(ui_colour c)
{
    return ui.dark ? palette[c].dark : palette[c].light;
}

ImU32 ui_u32(ui_colour c, float alpha)
{
    ui_rgb v = ui_colour_of(c);
    return IM_COL32(v.r, v.g, v.b, (int)(alpha * 255 + 0.5f));
}

extern "C" float ui_px(float points)
{
    return points * ui.scale;
}

bool ui_is_needed(ui_font font, unsigned c)
{
    return ui.needed[font][c >> 3] & (1 << (c & 7));
}

void ui_need_shown(const char *shown, ui_font font)
{
    while (shown && *shown) {
        unsigned c;
        int n = ImTextCharFromUtf8(&c, shown, NULL);
        shown += n > 0 ? n : 1;
        if (c < 32 || c > 0xffff || ui_is_needed(font, c)) continue;
        ui.needed[font][c >> 3] |= (unsigned char)(1 << (c & 7));
        ui.fonts_stale = true;
    }
}

void ui_unneed(unsigned code)
{
    for (int i = 0; i < UI_FONTS; i++) ui.needed[i][code >> 3] &= (unsigned char)~(1 << (code & 7));
    ui.fonts_stale = true;
}
