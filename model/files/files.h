/* Writing whole files so that a reader sees the old content or the new one, never a part.
 *
 * The bytes go to a hidden file in the target's folder, .feavis-RANDOM.part, which is synced and
 * renamed over the target on commit. A symbolic link is followed, the permissions of a replaced
 * file are kept, a file that may not be written is not replaced. Devices and pipes (/dev/stdout,
 * /dev/null) cannot be renamed over: they are written directly.
 *
 * A hidden file is locked (flock) while its writer lives. One that a killed program left is
 * removed by the next program that writes in its folder. */
#ifndef FV_FILES_H
#define FV_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/status.h"

typedef struct fv_file_writer fv_file_writer;

/* A failure names the file and the step that failed; what was there is as it was and the hidden
 * file is gone. */
fv_status fv_file_begin(fv_file_writer **out, const char *path);
/* A file in `folder` (an ending slash is fine) that gets its name at the end: fv_file_commit_new.
 */
fv_status fv_file_begin_in(fv_file_writer **out, const char *folder);

/* After a failure only fv_file_abandon may follow. */
fv_status fv_file_write(fv_file_writer *w, const void *data, size_t n);
/* Brings all that was written to the disk, so that a commit only renames. Optional. */
fv_status fv_file_sync(fv_file_writer *w);
/* Puts the file in place. Frees w in every case; on failure the old file is as it was. */
fv_status fv_file_commit(fv_file_writer *w);
/* Gives a file of fv_file_begin_in the name `path`, in its folder, if that is free, and frees w.
 * *taken: something has that name; nothing happened, and w may be given another one. After a
 * failure w is freed and the file is gone. */
fv_status fv_file_commit_new(fv_file_writer *w, const char *path, bool *taken);
/* Removes what was written and frees w. NULL is fine. */
void fv_file_abandon(fv_file_writer *w);

/* Ends a file whose writing went as `status` says: commits it after FV_OK, else abandons it.
 * Returns what went wrong. */
fv_status fv_file_end(fv_file_writer *w, fv_status status);

/* Begin, write and commit at once. */
fv_status fv_file_save(const char *path, const void *data, size_t n);

/* Renames a file if `to` is free; else *taken, and nothing happened. It never replaces, whatever
 * the file system can do. */
fv_status fv_file_move_new(const char *from, const char *to, bool *taken);
/* A folder, in one that is there. That it is there already is no failure. */
fv_status fv_file_make_folder(const char *path);
/* Removes hidden files of killed programs from the folder of `path`, as every writer there does. */
void fv_file_clean_beside(const char *path);
/* That it is not there is no failure. */
fv_status fv_file_remove(const char *path);

#endif
