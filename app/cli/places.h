/* Whether results can go where they are to, before the work and not after it. */
#ifndef APP_PLACES_H
#define APP_PLACES_H

#include "app/cli/cli.h"

/* Whether a file can be written there: its folder can, or it is a device or a pipe and can.
 * folder_hint: said behind "it is a folder". */
fv_status place_check(const char *path, const char *folder_hint);
/* Whether the folder `asked` ("": one that is made anew, here) can be made, or is there and can be
 * written to. */
fv_status place_check_folder(const char *asked);
/* Whether two names are of one file: the same inode, or, of files that are not there yet, the same
 * path with links resolved. Of a terminal or /dev/null nothing is lost: false. */
bool place_same(const char *a, const char *b);
/* Fails for two names of one file: what is written would take the place of what is read, or was
 * written before. "" and NULL are no names. */
fv_status place_apart(const char *a, const char *what_a, const char *b, const char *what_b);
/* The same of the files that a command writes into a folder ("": one that is made anew); NULL ends
 * the names. */
fv_status place_apart_inside(const char *folder, const char *const *names, const char *path,
                             const char *what);

#endif
