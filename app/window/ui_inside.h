/* What the files of the widgets share. */
#ifndef APP_UI_INSIDE_H
#define APP_UI_INSIDE_H

#include "app/window/ui.h"

#include <imgui/imgui.h>

#include <string>

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
    std::string composition;
    bool composition_ended; /* in this batch of events */
    float caret_x, caret_y;
    char enter[64]; /* the field that gets the keyboard next */
    char focus[64]; /* "area/widget" that the keyboard has come to */
    bool focus_press, focus_moved;
    int focus_nudge;
    bool entered; /* the last field */
    bool refused; /* what was put into a field did not fit */
    char area[32];
    ui_box boxes[UI_BOXES];
    bool reachable[UI_BOXES]; /* by the keyboard */
    int box_count;
};
extern ui_state ui;

ImU32 ui_u32(ui_colour c, float alpha);
/* Characters that the fonts have to hold, as they are shown (see ui_shown). */
bool ui_is_needed(ui_font font, unsigned code);
void ui_need_shown(const char *shown, ui_font font);
void ui_unneed(unsigned code);

/* --- fonts (ui_fonts.cpp) --- */
void ui_open_fonts(void);
void ui_close_fonts(void);
void ui_make_fonts(void);
void ui_need(const char *text, ui_font font);

/* --- letters that ImGui cannot hold (ui_letters.cpp) --- */
/* What ImGui is given for a text. Valid for 16 calls. Not for what is already its. */
const char *ui_shown(const char *text);
/* False: so many letters are shown now that not all have a stand-in. */
bool ui_encode(const char *text, std::string *out);
void ui_decode(const char *shown, std::string *out);
unsigned ui_letter(unsigned code); /* that it stands for; 0: for itself */
void ui_open_clipboard(void);

/* What the widgets are made of. Sizes are pixels. */
ImDrawList *list(void);
float text_size(ui_font font);
ImVec2 measure(const char *text, ui_font font, float wrap = 0);
void write_at(ImVec2 at, const char *text, ui_font font, ImU32 colour, float wrap = 0);
ImU32 mixed(ui_colour a, ui_colour b, float t);
/* The last widget noted can be reached by the keyboard. */
void reach(void);
bool has_focus(const char *name);
/* The nudge of a widget that has the focus, once. */
int take_nudge(const char *name);
/* True when it was clicked. */
bool press(const char *name, ImVec2 size, bool enabled, bool *hovered, bool *held);

/* A widget, for tests; it is enabled unless the next call says otherwise. */
void ui_note(const char *name, ui_rect r, float needed);
void ui_note_disabled(void);

#endif
