/* Atomic file writing: hidden name beside the target, fsync, rename, fsync of the folder. The
 * order is what POSIX needs for "old or new after a crash": data first, then the name. See
 * files.h. */
#include "model/files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/files/files_internal.h"

enum { TEMP_TRIES = 100, BUFFER_BYTES = 1 << 16, CLEANED_FOLDERS = 8 };

static const char temp_start[] = ".feavis-", temp_end[] = ".part";

struct fv_file_writer {
    char *path; /* as the caller named it: for messages */
    char *real; /* links resolved: what is renamed over; NULL: named at the end */
    char *temp; /* NULL: written directly */
    int fd;
    bool synced;
    size_t used; /* of the buffer */
    unsigned char buffer[BUFFER_BYTES];
};

/* --- calls that a signal may interrupt --- */

int fv_fd_open(const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

bool fv_fd_write(int fd, const void *data, size_t n)
{
    const unsigned char *at = data;
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = ENOSPC;
        if (done <= 0) return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool fv_fd_sync(int fd)
{
    int result;
    do result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

bool fv_fd_read(int fd, uint64_t offset, void *out, size_t n)
{
    unsigned char *at = out;
    while (n > 0) {
        ssize_t done = pread(fd, at, n, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = 0;
        if (done <= 0) return false;
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return true;
}

/* The descriptor is closed whatever close returns. */
static bool close_file(int fd)
{
    return close(fd) == 0 || errno == EINTR;
}

static int rename_over(const char *from, const char *to)
{
    int result;
    do result = rename(from, to);
    while (result != 0 && errno == EINTR);
    return result;
}

static int remove_name(const char *path)
{
    int result;
    do result = unlink(path);
    while (result != 0 && errno == EINTR);
    return result;
}

/* --- hidden files that nobody writes any more --- */

static bool is_temp(const char *name)
{
    size_t n = strlen(name), start = sizeof temp_start - 1, end = sizeof temp_end - 1;
    return n > start + end && strncmp(name, temp_start, start) == 0 &&
           strcmp(name + n - end, temp_end) == 0;
}

/* Its writer holds a lock: one that can be had belongs to nobody. The writer looks whether it
 * still has a name after it got its lock, so none is taken away that is about to be written. */
static void remove_if_left(int folder, const char *name)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, name, 0);
    close(fd);
}

/* Whether this folder has been looked through by this program lately. */
static bool looked_through(const struct stat *st)
{
    static struct {
        dev_t device;
        ino_t inode;
    } seen[CLEANED_FOLDERS];
    static unsigned next;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    bool found = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLEANED_FOLDERS; i++)
        found = found || (seen[i].inode == st->st_ino && seen[i].device == st->st_dev);
    if (!found) {
        seen[next % CLEANED_FOLDERS].device = st->st_dev;
        seen[next++ % CLEANED_FOLDERS].inode = st->st_ino;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* Best effort: a folder that cannot be listed can be written all the same. */
static void clean_folder(const char *folder)
{
    struct stat st;
    if (stat(folder, &st) != 0 || looked_through(&st)) return;
    int error = errno;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_temp(e->d_name)) remove_if_left(dirfd(d), e->d_name);
    if (d) closedir(d);
    errno = error;
}

/* --- beginning --- */

static void release(fv_file_writer *w)
{
    free(w->path);
    free(w->real);
    free(w->temp);
    free(w);
}

void fv_file_abandon(fv_file_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temp) remove_name(w->temp);
    release(w);
}

/* "" for the folder of a bare name; with its slash otherwise. Caller frees; NULL: no memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
}

void fv_file_clean_beside(const char *path)
{
    char *folder = folder_of(path);
    if (folder) clean_folder(*folder ? folder : ".");
    free(folder);
}

/* Locks a file that was just made. False: it was taken for a left one and is removed. */
static bool claim(int fd)
{
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    return fstat(fd, &st) != 0 || st.st_nlink > 0;
}

/* Creates the hidden file in `folder` ("" or ending in a slash) under a name nobody can guess. */
static int open_temp(fv_file_writer *w, const char *folder)
{
    size_t size = strlen(folder) + 48;
    clean_folder(*folder ? folder : ".");
    w->temp = malloc(size);
    if (!w->temp) {
        errno = ENOMEM;
        return -1;
    }
    for (int i = 0; i < TEMP_TRIES; i++) {
        unsigned long long number;
        if (getrandom(&number, sizeof number, 0) != sizeof number) break;
        snprintf(w->temp, size, "%s%s%016llx%s", folder, temp_start, number, temp_end);
        int fd = fv_fd_open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
        if (fd >= 0 && claim(fd)) return fd;
        if (fd >= 0)
            close(fd);
        else if (errno != EEXIST)
            break;
    }
    int error = errno;
    free(w->temp); /* not ours: must not be unlinked */
    w->temp = NULL;
    errno = error;
    return -1;
}

static int open_target(fv_file_writer *w)
{
    struct stat st;
    bool exists = stat(w->path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    /* a signal ends the wait for a pipe's reader */
    if (exists && !S_ISREG(st.st_mode)) return open(w->path, O_WRONLY | O_CLOEXEC);
    if (exists && access(w->path, W_OK) != 0) return -1;
    w->real = exists ? realpath(w->path, NULL) : strdup(w->path);
    char *folder = w->real ? folder_of(w->real) : NULL;
    if (!folder) return -1;
    int fd = open_temp(w, folder);
    free(folder);
    /* a file system without permissions keeps its default ones */
    if (fd >= 0 && exists) (void)fchmod(fd, st.st_mode & 0777);
    return fd;
}

static int open_new(fv_file_writer *w)
{
    char *folder;
    size_t n = strlen(w->path);
    if (asprintf(&folder, "%s%s", w->path, n && w->path[n - 1] != '/' ? "/" : "") < 0) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open_temp(w, folder);
    free(folder);
    return fd;
}

static fv_status begin(fv_file_writer **out, const char *path, int (*open_it)(fv_file_writer *))
{
    *out = NULL;
    if (!*path) return fv_fail(FV_ERR_ARGUMENT, "writing a file: the path is empty");
    fv_file_writer *w = malloc(sizeof *w);
    if (w) {
        w->real = w->temp = NULL;
        w->synced = false;
        w->used = 0;
        w->fd = -1;
        w->path = strdup(path);
    }
    if (!w || !w->path) {
        free(w);
        return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    }
    w->fd = open_it(w);
    if (w->fd >= 0) {
        *out = w;
        return FV_OK;
    }
    fv_status st = fv_fail(FV_ERR_IO, "writing %s: %s", path, strerror(errno));
    release(w);
    return st;
}

fv_status fv_file_begin(fv_file_writer **out, const char *path)
{
    return begin(out, path, open_target);
}

fv_status fv_file_begin_in(fv_file_writer **out, const char *folder)
{
    return begin(out, folder, open_new);
}

/* --- writing --- */

static fv_status write_failed(const fv_file_writer *w)
{
    return fv_fail(FV_ERR_IO, "writing %s: %s", w->path, strerror(errno));
}

static bool flush(fv_file_writer *w)
{
    size_t n = w->used;
    w->used = 0;
    return fv_fd_write(w->fd, w->buffer, n);
}

fv_status fv_file_write(fv_file_writer *w, const void *data, size_t n)
{
    w->synced = false;
    if (n > BUFFER_BYTES - w->used && !flush(w)) return write_failed(w);
    if (n > BUFFER_BYTES) return fv_fd_write(w->fd, data, n) ? FV_OK : write_failed(w);
    if (n > 0) memcpy(w->buffer + w->used, data, n);
    w->used += n;
    return FV_OK;
}

fv_status fv_file_sync(fv_file_writer *w)
{
    if (w->synced) return FV_OK;
    if (!flush(w)) return write_failed(w);
    if (w->temp && !fv_fd_sync(w->fd))
        return fv_fail(FV_ERR_IO, "writing %s: bringing it to the disk: %s", w->path,
                       strerror(errno));
    w->synced = true;
    return FV_OK;
}

/* The new name is safe only when the folder is on disk as well. The file itself is complete by
 * now, and some file systems cannot sync a folder, so this is best effort. */
static void sync_folder_of(const char *path)
{
    char *folder = folder_of(path);
    int fd = folder ? fv_fd_open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY, 0) : -1;
    if (fd >= 0) {
        fv_fd_sync(fd);
        close(fd);
    }
    free(folder);
}

/* Closes the file, which is whole and on the disk. The lock goes with it, so it has its name by
 * now. A file that is written directly says here what it could not keep. */
static fv_status end(fv_file_writer *w)
{
    bool ok = close_file(w->fd) || w->temp;
    w->fd = -1;
    fv_status st = ok ? FV_OK : write_failed(w);
    release(w);
    return st;
}

fv_status fv_file_commit(fv_file_writer *w)
{
    fv_status st = fv_file_sync(w);
    if (st == FV_OK && w->temp && rename_over(w->temp, w->real) != 0)
        st = fv_fail(FV_ERR_IO, "writing %s: giving it its name: %s", w->path, strerror(errno));
    if (st != FV_OK) {
        fv_file_abandon(w);
        return st;
    }
    if (w->temp) sync_folder_of(w->real);
    return end(w);
}

fv_status fv_file_end(fv_file_writer *w, fv_status status)
{
    if (status >= 0) return fv_file_commit(w);
    fv_file_abandon(w);
    return status;
}

fv_status fv_file_save(const char *path, const void *data, size_t n)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    return fv_file_end(w, fv_file_write(w, data, n));
}

/* --- names that are free --- */

static bool lacks_call(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM;
}

/* rename(from, to) where `to` is free, else -1 and EEXIST. Not every file system has the call for
 * it; a second name for the same file is not put over another one either; where there are no
 * second names, the name is taken by an empty file first. */
static int rename_new(const char *from, const char *to)
{
    int result;
    do result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    while (result != 0 && errno == EINTR);
    if (result == 0 || !lacks_call(errno)) return result;
    do result = link(from, to);
    while (result != 0 && errno == EINTR);
    if (result == 0) {
        if (remove_name(from) == 0) return 0;
        int error = errno;
        remove_name(to);
        errno = error;
        return -1;
    }
    if (!lacks_call(errno)) return -1;
    int fd = fv_fd_open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (fd < 0) return -1;
    close(fd);
    if (rename_over(from, to) == 0) return 0;
    int error = errno;
    remove_name(to);
    errno = error;
    return -1;
}

fv_status fv_file_commit_new(fv_file_writer *w, const char *path, bool *taken)
{
    *taken = false;
    fv_status st = fv_file_sync(w);
    if (st == FV_OK && rename_new(w->temp, path) != 0) {
        *taken = errno == EEXIST;
        if (*taken) return FV_OK;
        st = fv_fail(FV_ERR_IO, "writing %s: giving it its name: %s", path, strerror(errno));
    }
    if (st != FV_OK) {
        fv_file_abandon(w);
        return st;
    }
    sync_folder_of(path);
    return end(w);
}

fv_status fv_file_move_new(const char *from, const char *to, bool *taken)
{
    *taken = false;
    if (rename_new(from, to) == 0) {
        sync_folder_of(to);
        return FV_OK;
    }
    *taken = errno == EEXIST;
    return *taken ? FV_OK : fv_fail(FV_ERR_IO, "moving %s to %s: %s", from, to, strerror(errno));
}

fv_status fv_file_remove(const char *path)
{
    if (remove_name(path) == 0 || errno == ENOENT) return FV_OK;
    return fv_fail(FV_ERR_IO, "removing %s: %s", path, strerror(errno));
}

fv_status fv_file_make_folder(const char *path)
{
    int result;
    do result = mkdir(path, 0777);
    while (result != 0 && errno == EINTR);
    if (result == 0 || errno == EEXIST) return FV_OK;
    return fv_fail(FV_ERR_IO, "making the folder %s: %s", path, strerror(errno));
}
