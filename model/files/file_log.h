/* A file that grows: what was appended stays, whatever kills the program. Nothing is synced: after
 * a crash of the machine its end may be missing or wrong, so a reader has to check it. */
#ifndef FV_FILE_LOG_H
#define FV_FILE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/status.h"

typedef struct fv_file_log fv_file_log;

/* Opens or makes a file for one program at a time. *busy: another one has it, and *out is NULL.
 * A lock ends with its program; a file system without locks is trusted. */
fv_status fv_file_log_open(fv_file_log **out, const char *path, bool *busy);
void fv_file_log_close(fv_file_log *l); /* NULL is fine */

uint64_t fv_file_log_size(const fv_file_log *l);
fv_status fv_file_log_cut(fv_file_log *l, uint64_t size); /* to at most what it has */
/* On failure it has the size it had. */
fv_status fv_file_log_append(fv_file_log *l, const void *data, size_t n);
fv_status fv_file_log_read(const fv_file_log *l, uint64_t offset, void *out, size_t n);

#endif
