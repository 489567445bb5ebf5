/* What a person does, as SDL events: for script.c. Nothing here waits; the window's loop gets the
 * events with its next frames, as it gets real ones. */
#ifndef APP_SCRIPT_EVENTS_H
#define APP_SCRIPT_EVENTS_H

#include "app/window/app.h"

enum { EVENTS_HELD = 16 };

/* While `held` is not NULL, events are collected there instead of being sent. */
typedef struct event_list {
    SDL_Event events[EVENTS_HELD];
    int count;
} event_list;
void events_hold(event_list *held);

void event_mouse(app *a, float x, float y);
void event_button(app *a, bool down, float x, float y);
void event_wheel(app *a, float x, float y, int amount);
/* Committed by an input method, or what it is still at. */
void event_text(app *a, const char *text, bool committed);
void event_type(app *a, const char *text);
/* "Ctrl+Return"; false: there is no such key. */
bool event_key(app *a, const char *name);
/* No modifier stays down from one command to the next. */
void event_release_modifiers(app *a);
void event_drop(app *a, const char *path);
/* One random event; the state is of a generator and changes. */
void event_monkey(app *a, unsigned *state);

#endif
