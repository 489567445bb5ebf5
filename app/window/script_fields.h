/* What scripts wait for and expect: the window's state by name. */
#ifndef APP_SCRIPT_FIELDS_H
#define APP_SCRIPT_FIELDS_H

#include "app/window/app.h"

/* False: there is no such field. */
bool script_field(const app *a, const char *name, char *out, size_t size);

#endif
