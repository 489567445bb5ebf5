/* Writing whole files so that a reader sees the old content or the new one, never a part.
 *
 * The bytes go to a temp file in the target's folder, which is synced and renamed over the
 * target on commit. A symbolic link is followed, the permissions of a replaced file are kept.
 * Devices and pipes (/dev/stdout, /dev/null) cannot be renamed over: they are written directly. */
#ifndef FV_FILES_H
#define FV_FILES_H

#include <stddef.h>

#include "kernels/status.h"

typedef struct fv_file_writer fv_file_writer;

fv_status fv_file_begin(fv_file_writer **out, const char *path);
/* After a failure only fv_file_abandon may follow. */
fv_status fv_file_write(fv_file_writer *w, const void *data, size_t n);
/* Puts the file in place. Frees w in every case; on failure the old file is as it was. */
fv_status fv_file_commit(fv_file_writer *w);
/* Removes what was written and frees w. NULL is fine. */
void fv_file_abandon(fv_file_writer *w);

/* The three steps at once. */
fv_status fv_file_save(const char *path, const void *data, size_t n);

#endif
