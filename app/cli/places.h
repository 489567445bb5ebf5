/* Whether results can go where they are to, before the work and not after it. */
#ifndef APP_PLACES_H
#define APP_PLACES_H

#include "app/cli/cli.h"

/* Whether a file can be written there: its folder can, or it is a device or a pipe and can.
 * folder_hint: said behind "it is a folder". */
fv_status place_check(const char *path, const char *folder_hint);
/* Fails for two names of one file: what is written second would take the place of the first. "" and
 * NULL are no names. */
fv_status place_apart(const char *a, const char *what_a, const char *b, const char *what_b);

#endif
