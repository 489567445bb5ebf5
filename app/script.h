/* A script that works the window as a person would: its clicks, keys and texts are SDL events,
 * and go the way of real ones. For tests/ui; `feavis window --script FILE`. One command a line:
 *
 *   click NAME, doubleclick NAME   the middle of a widget, by its name in ui.h
 *   drag NAME FROM TO              along its width, 0 .. 1
 *   wheel NAME AMOUNT
 *   type TEXT, compose TEXT        what an input method commits, and what it is still at
 *   key Ctrl+Return                a key with its modifiers
 *   commit-and-return TEXT         an input method's text and the Return that chose it, at once
 *   drop PATH
 *   resize W H, scale X
 *   wait FIELD OP VALUE            until it is so; fails after five minutes
 *   expect FIELD OP VALUE          fails if it is not so. OP: = != < > >= ~ (contains)
 *   frames N
 *   layout                         fails if a widget leaves the window or its text its widget
 *   screenshot PATH
 *   latency MILLISECONDS           types a letter; fails if it takes longer to the screen
 *   monkey SEED N                  N random events
 *   away                           the mouse goes to the corner
 *   crash                          as kill -9 does it
 *   quit */
#ifndef APP_SCRIPT_H
#define APP_SCRIPT_H

#include "app/app.h"

typedef struct script script;

fv_status script_open(script **out, const char *path);
void script_close(script *s);
/* After a frame: does what is next. False: it has failed, see fv_error(). */
/* Milliseconds the loop may sleep: what waits for steps shall not take their time. */
int script_pause(const script *s);
bool script_step(script *s, app *a);

#endif
