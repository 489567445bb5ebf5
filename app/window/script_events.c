/* See script_events.h. */
#include "app/window/script_events.h"

#include <stdio.h>
#include <string.h>

static event_list *collecting;

void events_hold(event_list *held)
{
    collecting = held;
    if (held) held->count = 0;
}

static void push(SDL_Event *e)
{
    if (!collecting)
        SDL_PushEvent(e);
    else if (collecting->count < EVENTS_HELD)
        collecting->events[collecting->count++] = *e;
}

void event_mouse(app *a, float x, float y)
{
    SDL_Event e = {.motion = {.type = SDL_MOUSEMOTION,
                              .windowID = SDL_GetWindowID(a->window),
                              .x = (int)x,
                              .y = (int)y}};
    SDL_WarpMouseInWindow(a->window, (int)x, (int)y);
    push(&e);
}

void event_button(app *a, bool down, float x, float y)
{
    SDL_Event e = {.button = {.type = down ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP,
                              .windowID = SDL_GetWindowID(a->window),
                              .button = SDL_BUTTON_LEFT,
                              .state = down ? SDL_PRESSED : SDL_RELEASED,
                              .x = (int)x,
                              .y = (int)y}};
    push(&e);
}

void event_wheel(app *a, float x, float y, int amount)
{
    SDL_Event e = {
        .wheel = {.type = SDL_MOUSEWHEEL, .windowID = SDL_GetWindowID(a->window), .y = amount}};
    event_mouse(a, x, y);
    push(&e);
}

void event_text(app *a, const char *text, bool committed)
{
    SDL_Event e = {0};
    if (committed) {
        e.text =
            (SDL_TextInputEvent){.type = SDL_TEXTINPUT, .windowID = SDL_GetWindowID(a->window)};
        snprintf(e.text.text, sizeof e.text.text, "%s", text);
#if SDL_VERSION_ATLEAST(2, 0, 22)
    } else if (strlen(text) >= sizeof e.edit.text) { /* as SDL sends it */
        e.editExt = (SDL_TextEditingExtEvent){.type = SDL_TEXTEDITING_EXT,
                                              .windowID = SDL_GetWindowID(a->window),
                                              .text = SDL_strdup(text)};
#endif
    } else {
        e.edit =
            (SDL_TextEditingEvent){.type = SDL_TEXTEDITING, .windowID = SDL_GetWindowID(a->window)};
        snprintf(e.edit.text, sizeof e.edit.text, "%s", text);
    }
    push(&e);
}

/* An event holds 31 bytes: whole characters at a time. */
void event_type(app *a, const char *text)
{
    SDL_SetModState(KMOD_NONE);
    while (*text) {
        char part[SDL_TEXTINPUTEVENT_TEXT_SIZE];
        size_t n = strlen(text) < sizeof part - 1 ? strlen(text) : sizeof part - 1;
        while (n > 1 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        snprintf(part, sizeof part, "%.*s", (int)n, text);
        event_text(a, part, true);
        text += n;
    }
}

bool event_key(app *a, const char *name)
{
    Uint16 mod = KMOD_NONE;
    for (const char *plus; (plus = strchr(name, '+')) && plus[1]; name = plus + 1) {
        if (strncmp(name, "Ctrl", 4) == 0) mod |= KMOD_LCTRL;
        if (strncmp(name, "Shift", 5) == 0) mod |= KMOD_LSHIFT;
        if (strncmp(name, "Alt", 3) == 0) mod |= KMOD_LALT;
    }
    SDL_Keycode code = SDL_GetKeyFromName(name);
    if (code == SDLK_UNKNOWN) return false;
    SDL_SetModState(mod);
    for (int up = 0; up <= 1; up++) {
        SDL_Event e = {.key = {.type = up ? SDL_KEYUP : SDL_KEYDOWN,
                               .windowID = SDL_GetWindowID(a->window),
                               .state = up ? SDL_RELEASED : SDL_PRESSED,
                               .keysym = {SDL_GetScancodeFromKey(code), code, mod, 0}}};
        push(&e);
    }
    return true;
}

void event_release_modifiers(app *a)
{
    SDL_Event e = {.key = {.type = SDL_KEYUP,
                           .windowID = SDL_GetWindowID(a->window),
                           .keysym = {SDL_SCANCODE_LCTRL, SDLK_LCTRL, KMOD_NONE, 0}}};
    SDL_SetModState(KMOD_NONE);
    push(&e);
}

void event_drop(app *a, const char *path)
{
    SDL_Event e = {.drop = {.type = SDL_DROPFILE,
                            .file = SDL_strdup(path),
                            .windowID = SDL_GetWindowID(a->window)}};
    push(&e);
}

/* --- random input --- */

static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static const char *pick(const char *const *from, size_t count, unsigned *state)
{
    return from[next(state) % count];
}

/* Not for a monkey: another program's window, and sizes that one waits minutes for. */
static bool forbidden(float x, float y)
{
    static const char *const names[] = {"folder", "steps", "size", "views"};
    const ui_box *boxes;
    int n = ui_boxes(&boxes);
    for (int i = 0; i < n; i++) {
        const char *own = strchr(boxes[i].name, '/');
        const ui_rect r = boxes[i].r;
        for (size_t k = 0; own && k < sizeof names / sizeof names[0]; k++)
            if (strcmp(own + 1, names[k]) == 0 && x >= r.x - 40 && x <= r.x + r.w && y >= r.y &&
                y <= r.y + r.h)
                return true;
    }
    return false;
}

/* Half of the time the middle of a widget, else anywhere. */
static void press_somewhere(app *a, unsigned *state)
{
    const ui_box *boxes;
    int n = ui_boxes(&boxes), w, h;
    SDL_GetWindowSize(a->window, &w, &h);
    float x = (float)(next(state) % (unsigned)w), y = (float)(next(state) % (unsigned)h);
    if (n && next(state) % 2) {
        const ui_rect r = boxes[next(state) % (unsigned)n].r;
        x = r.x + r.w / 2, y = r.y + r.h / 2;
    }
    if (forbidden(x, y)) return;
    event_mouse(a, x, y);
    event_button(a, true, x, y);
    if (next(state) % 3 == 0) {
        x += (float)(next(state) % 80) - 40;
        event_mouse(a, x, y);
    }
    event_button(a, false, x, y);
}

void event_monkey(app *a, unsigned *state)
{
    static const char *const keys[] = {"Space",     "Escape", "Ctrl+Return", "Ctrl+S", "Ctrl+Z",
                                       "Left",      "Right",  "Up",          "Down",   "Return",
                                       "Backspace", "Ctrl+A", "Ctrl+X",      "Ctrl+V", "Delete",
                                       "Tab",       "Ctrl+1", "Ctrl+2",      "Ctrl+3", "Ctrl+4"};
    static const char *const texts[] = {"月",  "a castle", "白日依山尽", "\\",
                                        "| :", "108",      "雪:-0.5"};
    static const char *const paths[] = {"start.png", "no-such-file.png"};
    int w, h;
    SDL_GetWindowSize(a->window, &w, &h);
    float x = (float)(next(state) % (unsigned)w), y = (float)(next(state) % (unsigned)h);
    switch (next(state) % 9) {
    case 0:
    case 1:
    case 2:
    case 3:
        press_somewhere(a, state);
        break;
    case 4:
        event_key(a, pick(keys, sizeof keys / sizeof keys[0], state));
        break;
    case 5:
        event_type(a, pick(texts, sizeof texts / sizeof texts[0], state));
        break;
    case 6:
        event_text(a, pick(texts, sizeof texts / sizeof texts[0], state), false);
        break;
    case 7:
        event_wheel(a, x, y, (int)(next(state) % 7) - 3);
        break;
    default:
        event_text(a, "", false);
        if (next(state) % 20 == 0) event_drop(a, pick(paths, 2, state));
        if (next(state) % 30 == 0)
            SDL_SetWindowSize(a->window, 640 + (int)(next(state) % 900),
                              480 + (int)(next(state) % 500));
    }
}
