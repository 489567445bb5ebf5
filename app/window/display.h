/* Pictures on the screen: the big one under the shader of shaders/, small ones as textures for
 * ui_image. Through OpenGL 3.3, or SDL's renderer where there is none. */
#ifndef APP_DISPLAY_H
#define APP_DISPLAY_H

#include "app/window/ui.h"
#include "feavis/feavis.h"

typedef struct display display;

typedef enum display_mode {
    DISPLAY_PICTURE,
    DISPLAY_DIFFERENCE, /* to the other one */
    DISPLAY_MAP,        /* heat over the picture */
    DISPLAY_COMPARE,    /* the other one left of the divider */
    DISPLAY_CODES       /* the other one over the picture */
} display_mode;

typedef struct display_view {
    display_mode mode;
    float zoom;             /* window pixels for a pixel of the picture; 0: as large as fits */
    float shift_x, shift_y; /* of the picture's centre from the canvas's, window pixels */
    float stops;            /* exposure */
    float split;            /* 0 .. 1 */
    float strength;         /* of the map */
    bool crisp;
} display_view;

enum { DISPLAY_SHOWN, DISPLAY_OTHER, DISPLAY_SLOTS };

/* gl: made current; NULL: draws with renderer. */
fv_status display_open(display **out, SDL_Window *window, SDL_GLContext gl, SDL_Renderer *renderer);
void display_close(display *d);
void display_set(display *d, int slot, const fv_picture *p);
/* values [height * width] in [0, 1], over all of the picture. */
void display_set_map(display *d, const float *values, int width, int height);
bool display_has(const display *d, int slot);
/* Where the picture lies, pixels of the window. */
ui_rect display_place(const display *d, ui_rect canvas, const display_view *v);
/* Before ui_end: the widgets go on top. */
void display_draw(display *d, ui_rect canvas, const display_view *v);
void display_clear(display *d);
void display_present(display *d);
/* Waits until what was presented has been drawn. */
void display_finish(display *d);

/* A texture for ui_image; `old` (or NULL) is used again if it fits. */
void *display_texture(display *d, void *old, const fv_picture *p);
void display_drop(display *d, void *texture);

/* What is on the screen, for tests and screenshots. */
fv_status display_screenshot(display *d, fv_picture *out);

#endif
