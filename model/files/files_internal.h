/* System calls that a signal may interrupt or that do less than asked, done to the end. errno says
 * why one failed. */
#ifndef FV_FILES_INTERNAL_H
#define FV_FILES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int fv_fd_open(const char *path, int flags, mode_t mode); /* O_CLOEXEC is added; -1 */
bool fv_fd_write(int fd, const void *data, size_t n);
bool fv_fd_sync(int fd);
/* n bytes at an offset; errno 0: the file ends before. */
bool fv_fd_read(int fd, uint64_t offset, void *out, size_t n);

#endif
