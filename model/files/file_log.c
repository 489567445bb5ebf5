/* See file_log.h. */
#include "model/files/file_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/files/files_internal.h"

struct fv_file_log {
    int fd;
    uint64_t size;
    char *path;
};

static fv_status failed(const fv_file_log *l)
{
    return fv_fail(FV_ERR_IO, "writing %s: %s", l->path, strerror(errno));
}

/* Whether the file that is open still has its name: its last owner may have removed it. */
static bool has_name(const fv_file_log *l, struct stat *own)
{
    struct stat named;
    return fstat(l->fd, own) == 0 && stat(l->path, &named) == 0 && own->st_ino == named.st_ino &&
           own->st_dev == named.st_dev;
}

static fv_status open_file(fv_file_log *l, bool *busy)
{
    struct stat st;
    for (int i = 0; i < 100; i++) {
        l->fd = fv_fd_open(l->path, O_RDWR | O_CREAT | O_NONBLOCK, 0666);
        if (l->fd < 0) return failed(l);
        *busy = flock(l->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (*busy) return FV_OK;
        if (has_name(l, &st)) {
            if (!S_ISREG(st.st_mode))
                return fv_fail(FV_ERR_IO, "writing %s: not a regular file", l->path);
            l->size = (uint64_t)st.st_size;
            return FV_OK;
        }
        close(l->fd);
        l->fd = -1;
    }
    return fv_fail(FV_ERR_IO, "writing %s: it comes and goes", l->path);
}

fv_status fv_file_log_open(fv_file_log **out, const char *path, bool *busy)
{
    *out = NULL;
    *busy = false;
    fv_file_log *l = calloc(1, sizeof *l);
    if (l) {
        l->fd = -1;
        l->path = strdup(path);
    }
    fv_status s = l && l->path ? open_file(l, busy)
                               : fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    if (s < 0 || *busy)
        fv_file_log_close(l);
    else
        *out = l;
    return s;
}

void fv_file_log_close(fv_file_log *l)
{
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    free(l->path);
    free(l);
}

uint64_t fv_file_log_size(const fv_file_log *l)
{
    return l->size;
}

fv_status fv_file_log_cut(fv_file_log *l, uint64_t size)
{
    int result;
    if (size >= l->size) return FV_OK;
    do result = ftruncate(l->fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    if (result != 0) return failed(l);
    l->size = size;
    return FV_OK;
}

fv_status fv_file_log_append(fv_file_log *l, const void *data, size_t n)
{
    if (lseek(l->fd, (off_t)l->size, SEEK_SET) >= 0 && fv_fd_write(l->fd, data, n)) {
        l->size += n;
        return FV_OK;
    }
    fv_status s = failed(l);
    (void)!ftruncate(l->fd, (off_t)l->size); /* the next append would write over it as well */
    return s;
}

fv_status fv_file_log_read(const fv_file_log *l, uint64_t offset, void *out, size_t n)
{
    if (fv_fd_read(l->fd, offset, out, n)) return FV_OK;
    return fv_fail(FV_ERR_IO, "reading %s: %s", l->path, errno ? strerror(errno) : "it is cut off");
}
