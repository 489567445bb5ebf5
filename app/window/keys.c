/* What keys do when no field wants them. With Tab the keyboard goes from widget to widget. */
#include <math.h>

#include "app/window/app.h"

/* Steps of a quarter; 96 dots an inch is 1. */
float app_guess_scale(SDL_Window *window)
{
    float dpi = 96;
    int w, dw;
    SDL_GetWindowSize(window, &w, NULL);
    SDL_GetWindowSizeInPixels(window, &dw, NULL);
    if (dw != w || SDL_GetDisplayDPI(0, NULL, &dpi, NULL) != 0) return 1;
    return roundf(fminf(fmaxf(dpi / 96, 1), 3) * 4) / 4;
}

static void zoom_window(float by)
{
    ui_set_scale(roundf((ui_scale() + by) * 4) / 4);
}

static void go_to(app *a, app_page page)
{
    a->page = page;
    a->saved_serial = 0; /* the gallery is read anew */
}

static void control_key(app *a, SDL_Keycode key)
{
    switch (key) {
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
        app_imagine(a);
        break;
    case SDLK_s:
        worker_post(a->worker, ORDER_SAVE, 0, NULL, NULL);
        break;
    case SDLK_z:
        if (a->page == PAGE_GALLERY && !ui_typing()) gallery_restore(a);
        break;
    case SDLK_b:
        if (a->page == PAGE_IMAGINE) app_branch(a);
        break;
    case SDLK_f:
        ui_enter_field(a->page == PAGE_GALLERY ? "search" : "neuron");
        break;
    case SDLK_EQUALS:
    case SDLK_PLUS:
    case SDLK_KP_PLUS:
        zoom_window(0.25f);
        break;
    case SDLK_MINUS:
    case SDLK_KP_MINUS:
        zoom_window(-0.25f);
        break;
    case SDLK_0:
        ui_set_scale(app_guess_scale(a->window));
        break;
    case SDLK_1:
    case SDLK_2:
    case SDLK_3:
    case SDLK_4:
    case SDLK_5:
    case SDLK_6:
        go_to(a, (app_page)(key - SDLK_1));
        break;
    case SDLK_q:
        a->quit = true;
        break;
    default:
        break;
    }
}

/* Through the frames of the picture. */
static void scrub(app *a, int by)
{
    int last = a->view.frame_count - 1, at = a->shown_frame < 0 ? last : a->shown_frame;
    a->shown_panel = -1;
    if (at + by >= last)
        a->shown_frame = -1;
    else if (at + by >= 0)
        a->shown_frame = at + by;
    if (a->shown_frame >= 0) a->scrub = a->view.frame_steps[a->shown_frame];
}

/* Over the positions of the map. */
static void move_place(app *a, int x, int y)
{
    const worker_view *v = &a->view;
    float w = v->map_columns > 0 ? 1 / (float)v->map_columns : 1;
    float h = v->map_rows > 0 ? 1 / (float)v->map_rows : 1;
    if (v->place_x < 0)
        app_pick(a, 0.5f, 0.5f);
    else
        app_pick(a, v->place_x + (float)x * w, v->place_y + (float)y * h);
}

static void arrow(app *a, int x, int y, bool shift)
{
    if (ui_focused()) {
        if (x) ui_focus_nudge(x);
    } else if (a->page == PAGE_GALLERY) {
        gallery_move(a, x, y);
    } else if (a->page == PAGE_IMAGINE && shift) {
        move_place(a, x, y);
    } else if (a->page == PAGE_IMAGINE && x) {
        scrub(a, x);
    }
}

static void plain_key(app *a, SDL_Keycode key, bool shift)
{
    switch (key) {
    case SDLK_SPACE:
        app_space(a);
        break;
    case SDLK_ESCAPE:
        if (ui_focused())
            ui_focus_end();
        else
            app_escape(a);
        break;
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
        ui_focus_press();
        break;
    case SDLK_LEFT:
        arrow(a, -1, 0, shift);
        break;
    case SDLK_RIGHT:
        arrow(a, 1, 0, shift);
        break;
    case SDLK_UP:
        arrow(a, 0, -1, shift);
        break;
    case SDLK_DOWN:
        arrow(a, 0, 1, shift);
        break;
    case SDLK_PAGEUP:
        app_next_branch(a, -1);
        break;
    case SDLK_PAGEDOWN:
        app_next_branch(a, 1);
        break;
    case SDLK_DELETE:
        if (a->page == PAGE_GALLERY) gallery_remove(a);
        break;
    case SDLK_F11:
        SDL_SetWindowFullscreen(a->window, SDL_GetWindowFlags(a->window) & SDL_WINDOW_FULLSCREEN
                                               ? 0
                                               : SDL_WINDOW_FULLSCREEN_DESKTOP);
        break;
    default:
        break;
    }
}

void app_key(app *a, const SDL_KeyboardEvent *e)
{
    bool shift = e->keysym.mod & KMOD_SHIFT;
    if (ui_composing()) return; /* Return, Escape, arrows are the input method's */
    if (e->keysym.mod & (KMOD_CTRL | KMOD_GUI)) {
        control_key(a, e->keysym.sym);
    } else if (e->keysym.sym == SDLK_TAB) {
        ui_leave_field();
        ui_focus(shift ? -1 : 1);
    } else if (!ui_typing()) {
        plain_key(a, e->keysym.sym, shift);
    } else if (e->keysym.sym == SDLK_ESCAPE) {
        ui_leave_field(); /* ImGui would take back what was typed */
        ui_focus_end();
    }
}
