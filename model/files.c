/* Atomic file writing: temp name beside the target, fsync, rename, fsync of the folder. The order
 * is what POSIX needs for "old or new after a crash": data first, then the name. See files.h. */
#include "model/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name may have 255 bytes; this leaves room for what is appended to it. */
enum { TEMP_STEM = 200, TEMP_TRIES = 100 };

struct fv_file_writer {
    char *path; /* as the caller named it: for messages */
    char *real; /* links resolved: what is renamed over */
    char *temp; /* NULL: written directly */
    FILE *file;
};

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
    if (w->file) fclose(w->file);
    if (w->temp) unlink(w->temp);
    release(w);
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The first bytes of the file name, cut between characters. */
static size_t stem_length(const char *name)
{
    size_t n = strlen(name);
    if (n <= TEMP_STEM) return n;
    n = TEMP_STEM;
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    return n;
}

/* Creates the temp file under a name that no other writer has. */
static int open_temp(fv_file_writer *w)
{
    static atomic_uint counter;
    size_t folder = folder_length(w->real), stem = stem_length(w->real + folder);
    size_t size = folder + stem + 48;
    w->temp = malloc(size);
    if (!w->temp) {
        errno = ENOMEM;
        return -1;
    }
    for (int i = 0; i < TEMP_TRIES; i++) {
        snprintf(w->temp, size, "%.*s.%ld-%u.tmp", (int)(folder + stem), w->real, (long)getpid(),
                 atomic_fetch_add(&counter, 1u));
        int fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) return fd;
        if (errno != EEXIST) break;
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
    w->real = exists ? realpath(w->path, NULL) : strdup(w->path);
    if (!w->real) return -1;
    if (exists && !S_ISREG(st.st_mode)) return open(w->path, O_WRONLY | O_CLOEXEC);
    int fd = open_temp(w);
    /* a file system without permissions keeps its default ones */
    if (fd >= 0 && exists) (void)fchmod(fd, st.st_mode & 0777);
    return fd;
}

fv_status fv_file_begin(fv_file_writer **out, const char *path)
{
    *out = NULL;
    if (!*path) return fv_fail(FV_ERR_ARGUMENT, "writing a file: the path is empty");
    fv_file_writer *w = calloc(1, sizeof *w);
    if (w) w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    }
    int fd = open_target(w);
    if (fd >= 0) w->file = fdopen(fd, "wb");
    if (w->file) {
        *out = w;
        return FV_OK;
    }
    fv_status st = fv_fail(FV_ERR_IO, "writing %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    fv_file_abandon(w);
    return st;
}

static fv_status write_failed(const fv_file_writer *w)
{
    return fv_fail(FV_ERR_IO, "writing %s: %s", w->path, strerror(errno));
}

fv_status fv_file_write(fv_file_writer *w, const void *data, size_t n)
{
    if (n > 0 && fwrite(data, 1, n, w->file) != n) return write_failed(w);
    return FV_OK;
}

/* The new name is safe only when the folder is on disk as well. The file itself is complete by
 * now, and some file systems cannot sync a folder, so this is best effort. */
static void sync_folder(const char *path)
{
    size_t n = folder_length(path);
    char *folder = n ? strndup(path, n) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

fv_status fv_file_commit(fv_file_writer *w)
{
    bool ok = fflush(w->file) == 0;
    if (ok && w->temp) ok = fsync(fileno(w->file)) == 0;
    fv_status st = ok ? FV_OK : write_failed(w);
    ok = fclose(w->file) == 0;
    w->file = NULL;
    if (st == FV_OK && !ok) st = write_failed(w);
    if (st == FV_OK && w->temp && rename(w->temp, w->real) != 0) st = write_failed(w);
    if (st != FV_OK) {
        fv_file_abandon(w);
        return st;
    }
    if (w->temp) sync_folder(w->real);
    release(w);
    return FV_OK;
}

fv_status fv_file_save(const char *path, const void *data, size_t n)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin(&w, path));
    fv_status st = fv_file_write(w, data, n);
    if (st != FV_OK) {
        fv_file_abandon(w);
        return st;
    }
    return fv_file_commit(w);
}
