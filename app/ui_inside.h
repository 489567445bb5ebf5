/* What ui.cpp and ui_widgets.cpp share. */
#ifndef APP_UI_INSIDE_H
#define APP_UI_INSIDE_H

#include "app/ui.h"

#include <imgui/imgui.h>

enum { UI_BOXES = 512 };

struct ui_state {
    SDL_Window *window;
    SDL_GLContext gl;
    SDL_Renderer *renderer;
    SDL_Texture *font_texture;
    float scale, density;
    bool dark, fonts_stale;
    void *font_data; /* the font's file */
    size_t font_bytes;
    float em_height; /* ascender to descender, for an em of 1 */
    int font_number; /* in a collection */
    ImFont *fonts[UI_FONTS];
    unsigned char needed[UI_FONTS][0x10000 / 8]; /* one bit a character */
    char composition[256];
    bool composition_ended; /* in this batch of events */
    float caret_x, caret_y;
    char enter[64]; /* the field that gets the keyboard next */
    char area[32];
    ui_box boxes[UI_BOXES];
    int box_count;
};
extern ui_state ui;

ImU32 ui_u32(ui_colour c, float alpha);
void ui_need(const char *text, ui_font font);
/* A widget, for tests; it is enabled unless the next call says otherwise. */
void ui_note(const char *name, ui_rect r, float needed);
void ui_note_disabled(void);

#endif
