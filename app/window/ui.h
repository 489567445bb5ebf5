/* The window's widgets: Dear ImGui behind a C interface, drawn in this program's own manner.
 *
 * Immediate mode: a widget is a call inside a frame and says at once what was done to it. Lengths
 * are points (ui_px turns them into pixels of the window), texts UTF-8. Every widget has a name,
 * unique within its area, under which tests find it: "text", "run", "seed". */
#ifndef APP_UI_H
#define APP_UI_H

#include <SDL2/SDL.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ui_rect {
    float x, y, w, h; /* pixels of the window */
} ui_rect;

typedef struct ui_rgb {
    uint8_t r, g, b;
} ui_rgb;

typedef enum ui_colour {
    UI_CANVAS, /* behind the picture */
    UI_PANEL,
    UI_FIELD, /* where one types */
    UI_LINE,
    UI_TEXT,
    UI_MUTED,
    UI_ACCENT,     /* cinnabar: what one does next */
    UI_BELIEF,     /* the model's own opinion */
    UI_ROBUSTNESS, /* what a second look says */
    UI_WARNING,
    UI_COLOURS
} ui_colour;

typedef enum ui_icon {
    UI_NO_ICON,
    UI_ICON_RUN,
    UI_ICON_PAUSE,
    UI_ICON_STEP,
    UI_ICON_KEEP,
    UI_ICON_DISCARD,
    UI_ICON_PLUS,
    UI_ICON_MINUS,
    UI_ICON_DICE,
    UI_ICON_UP,
    UI_ICON_SUN,
    UI_ICON_MOON,
    UI_ICON_FIT
} ui_icon;

typedef enum ui_kind { UI_PLAIN, UI_PRIMARY, UI_QUIET } ui_kind;
typedef enum ui_font { UI_BODY, UI_SMALL, UI_TITLE, UI_FONTS } ui_font;

/* --- life --- */

/* One of gl and renderer. font: a file with Chinese letters, or NULL: squares for them. */
bool ui_open(SDL_Window *window, SDL_GLContext gl, SDL_Renderer *renderer, const char *font);
void ui_close(void);
void ui_set_scale(float scale); /* 1: a point is a pixel of a 96 dpi screen */
float ui_scale(void);
float ui_px(float points);
void ui_set_dark(bool dark);
bool ui_dark(void);
ui_rgb ui_colour_of(ui_colour c);

/* True if the widgets took it. Keys of a composition in progress are the input method's. */
bool ui_event(const SDL_Event *e);
bool ui_typing(void);             /* a text field has the keyboard */
bool ui_composing(void);          /* and an input method is at work in it */
const char *ui_composition(void); /* what it is at */
void ui_leave_field(void);
void ui_enter_field(const char *name); /* in the next frame */
/* The keyboard's way through the widgets of the last frame: by 1 or -1; a ring shows where it is.
 * A press counts as a click, a nudge moves a slider or a choice. Clicks end it. */
void ui_focus(int by);
bool ui_focused(void);
void ui_focus_press(void);
void ui_focus_nudge(int by);
void ui_focus_end(void);

void ui_begin(void);
void ui_end(void);         /* draws */
bool ui_wants_frame(void); /* something moves by itself: another frame, please */

/* --- areas --- */

void ui_area_begin(const char *name, ui_rect r, ui_colour background, bool scrolls);
void ui_area_end(void);
float ui_room(void); /* width left on this line, points */
float ui_height_left(void);
void ui_space(float points);
void ui_beside(void); /* the next widget goes to the right of the last */
void ui_rule(void);

/* --- widgets --- */

void ui_text(const char *text, ui_font font, ui_colour colour);
void ui_paragraph(const char *text, ui_colour colour); /* wrapped, small */
void ui_heading(const char *text);
/* A line with something at its left and something at its right. */
void ui_pair(const char *left, const char *right, ui_colour colour);
float ui_text_width(const char *text, ui_font font); /* points */
/* width 0: as wide as the label needs, < 0: the room there is. */
bool ui_button(const char *name, const char *label, ui_icon icon, ui_kind kind, float width,
               bool enabled);
bool ui_chip(const char *name, const char *label, bool on);
bool ui_tab(const char *name, const char *label, bool on);
/* Result: 0 nothing, 1 being moved, 2 let go. */
int ui_slider(const char *name, const char *label, float *value, float low, float high,
              const char *format);
bool ui_entered(void); /* the last field, by Return */
/* Fields of UTF-8 in buffers of `size` bytes, whole characters of any plane. A buffer that the
 * program changes while one types in it is what one types in then. What does not fit is cut where
 * it was put in; ui_refused says so, once. */
bool ui_refused(void);
bool ui_field(const char *name, char *buffer, size_t size, const char *hint, float width);
bool ui_poem(const char *name, char *buffer, size_t size, const char *hint, float height);
/* A whole number, with its unit at the right. */
bool ui_number(const char *name, const char *unit, int *value, int low, int high, float width);
/* All 64 bits of it. */
bool ui_seed(const char *name, uint64_t *value, float width);
void ui_meter(const char *name, const char *label, float value, float low, float high,
              ui_colour colour);
void ui_hint(const char *text); /* shown when the mouse rests on the last widget */
bool ui_hovered(void);
bool ui_double_clicked(void); /* the last widget */
bool ui_right_clicked(void);
ui_rect ui_last(void);     /* where the last widget is */
void ui_scroll_here(void); /* so far that the last widget can be seen */

/* A texture of display.h with a frame; true when clicked. */
bool ui_image(const char *name, void *texture, float width, float height, const char *caption,
              bool chosen);

typedef struct ui_series {
    const float *x, *y; /* [count]; NAN in y: a gap that is drawn over */
    int count;
    ui_colour colour;
    const char *label;
} ui_series;
/* The x value under the mouse, or NAN. */
float ui_plot(const char *name, const ui_series *series, int count, float height, float low,
              float high);
/* Positions 0 .. last; marks [mark_count] can be gone back to. 2 when let go. */
int ui_timeline(const char *name, int *value, int last, const int *marks, int mark_count,
                float width);
/* The branches of a timeline, each with a row: a line from where it left its parent. */
typedef struct ui_branch {
    const char *label, *note; /* at the left, and behind it in grey */
    void *texture;            /* of its tip, or NULL */
    int parent, from, to;     /* row, -1: none; steps */
    bool on;
} ui_branch;
enum { UI_BRANCH_HEIGHT = 26 }; /* points */
/* Steps 0 .. last lie in [left, left + span] pixels. The row that was pressed, or -1; its name is
 * "branch-N". */
int ui_tree(const ui_branch *branches, int count, int last, float left, float span);

/* values [rows * columns] as coloured cells, NAN without colour, under the columns' labels and
 * beside the rows' pictures (of `height` points); best [rows]: the column to mark, or NULL. Gives
 * the cell that was pressed, or -1. */
typedef struct ui_table {
    const float *values;
    int rows, columns;
    const char *const *labels; /* [columns] */
    void *const *pictures;     /* [rows] */
    const int *best;
    float width, height; /* of a cell, points */
} ui_table;
int ui_matrix(const char *name, const ui_table *t);

/* What the mouse does over a place that draws itself. */
typedef struct ui_touch {
    bool hovered, pressed, held, double_clicked;
    bool clicked;              /* pressed and let go without moving */
    float x, y, dx, dy, wheel; /* pixels */
} ui_touch;
ui_touch ui_canvas(const char *name, ui_rect r);
/* Over everything drawn so far. */
void ui_fill(ui_rect r, ui_colour colour, float alpha, float radius);
void ui_frame(ui_rect r, ui_colour colour, float width);
void ui_line(float x0, float y0, float x1, float y1, ui_colour colour, float width);
void ui_write(float x, float y, const char *text, ui_font font, ui_colour colour);
void ui_write_centred(ui_rect r, const char *text, ui_font font, ui_colour colour);

/* --- for tests --- */

typedef struct ui_box {
    char name[64]; /* "area/widget" */
    ui_rect r;
    ui_rect clip; /* what its area lets be seen */
    float needed; /* width of its text, pixels; 0: has none */
    bool enabled;
} ui_box;
/* The widgets of the last frame. */
int ui_boxes(const ui_box **out);

#ifdef __cplusplus
}
#endif
#endif
