/* A whole file in memory. */
#ifndef FV_READ_FILE_H
#define FV_READ_FILE_H

#include <stddef.h>

#include "kernels/status.h"

/* what: "picture", for messages. One zero byte (not counted) follows the content. Fails on an
 * empty file and on one of more than `limit` bytes. Caller frees. */
fv_status fv_read_file(unsigned char **out, size_t *size, const char *path, const char *what,
                       size_t limit);

/* The same of whatever can be read: a pipe, a FIFO, <(a command), "-" for standard input, which can
 * be read once. An empty one is no failure here. */
fv_status fv_read_stream(unsigned char **out, size_t *size, const char *path, const char *what,
                         size_t limit);
/* fv_read_file, but "-" is standard input. */
fv_status fv_read_file_or_input(unsigned char **out, size_t *size, const char *path,
                                const char *what, size_t limit);

#endif
