/* A script that works the window as a person would: its clicks, keys and texts are SDL events,
 * and go the way of real ones. For tests/ui; `feavis window --script FILE`. One command a line:
 *
 *   click NAME, doubleclick NAME   the middle of a widget, by its name in ui.h; waits until it is
 *                                  there, enabled and at rest, and scrolls to it
 *   drag NAME FROM TO              along its width, 0 .. 1
 *   wheel NAME AMOUNT
 *   type TEXT, compose TEXT        what an input method commits, and what it is still at
 *   key Ctrl+Return                a key with its modifiers
 *   commit-and-return TEXT         an input method's text and the Return that chose it, at once
 *   drop PATH
 *   resize W H, scale X
 *   wait FIELD OP VALUE            until it is so; fails after two minutes
 *   expect FIELD OP VALUE          fails if it is not so. OP: = != < > >= ~ (contains)
 *   note FIELD                     from now on the VALUE "noted" is its number, "noted+2" two more
 *   print FIELD...                 their values, to stdout
 *   frames N
 *   layout                         fails if a widget leaves the window or its area, covers
 *                                  another, or is narrower than its text
 *   screenshot PATH [NAME...]      these widgets are painted grey: they differ from run to run
 *   latency N FIELD COMMAND        the command N times, at random moments; prints the milliseconds
 *                                  until another value of the field is on the screen
 *   monkey SEED N, monkey SEED Ns  N random events, or N seconds of them
 *   away                           the mouse goes to the corner
 *   crash                          as kill -9 does it
 *   quit */
#ifndef APP_SCRIPT_H
#define APP_SCRIPT_H

#include "app/window/app.h"

typedef struct script script;

fv_status script_open(script **out, const char *path);
void script_close(script *s);
/* Milliseconds the loop may sleep: what waits for steps shall not take their time. -1: as long as
 * it would without a script, as something is being measured. */
int script_pause(const script *s);
/* After a frame: does what is next. False: it has failed, see fv_error(). */
bool script_step(script *s, app *a);

#endif
