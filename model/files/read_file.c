/* See read_file.h. */
#include "model/files/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

fv_status fv_read_file(unsigned char **out, size_t *size, const char *path, const char *what,
                       size_t limit)
{
    struct stat st;
    /* O_NONBLOCK: a pipe without a writer is refused, not waited for */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (!f) {
        fv_status s = fv_fail(FV_ERR_IO, "opening %s %s: %s", what, path, strerror(errno));
        if (fd >= 0) close(fd);
        return s;
    }
    fv_status s = FV_OK;
    unsigned char *data = NULL;
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        s = fv_fail(FV_ERR_IO, "opening %s %s: not a regular file", what, path);
    else if ((size_t)st.st_size > limit || st.st_size == 0)
        s = fv_fail(FV_ERR_FORMAT, "%s %s has %lld bytes, expected 1 to %zu", what, path,
                    (long long)st.st_size, limit);
    else if (!(data = malloc((size_t)st.st_size + 1)))
        s = fv_fail(FV_ERR_MEMORY, "reading %s %s: out of memory", what, path);
    else if (fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
        s = fv_fail(FV_ERR_IO, "reading %s %s: %s", what, path,
                    ferror(f) ? strerror(errno) : "it became shorter");
    fclose(f);
    if (s < 0) {
        free(data);
        return s;
    }
    data[st.st_size] = 0;
    *out = data;
    *size = (size_t)st.st_size;
    return FV_OK;
}

static fv_status read_all(unsigned char **out, size_t *size, FILE *f, const char *name,
                          const char *what, size_t limit)
{
    size_t room = 1 << 16, n = 0;
    unsigned char *data = NULL, *more;
    for (;;) {
        more = realloc(data, room + 1);
        if (!more) break;
        data = more;
        n += fread(data + n, 1, room - n, f);
        if (n < room || room > limit) break;
        room *= 2;
    }
    fv_status s = FV_OK;
    if (!more)
        s = fv_fail(FV_ERR_MEMORY, "reading %s %s: out of memory", what, name);
    else if (ferror(f))
        s = fv_fail(FV_ERR_IO, "reading %s %s: %s", what, name, strerror(errno));
    else if (n > limit)
        s = fv_fail(FV_ERR_FORMAT, "%s %s has more than %zu bytes", what, name, limit);
    if (s < 0) {
        free(data);
        return s;
    }
    data[n] = 0;
    *out = data;
    *size = n;
    return FV_OK;
}

fv_status fv_read_stream(unsigned char **out, size_t *size, const char *path, const char *what,
                         size_t limit)
{
    static atomic_bool input_is_read;
    if (strcmp(path, "-") != 0) {
        FILE *f = fopen(path, "rb");
        if (!f) return fv_fail(FV_ERR_IO, "opening %s %s: %s", what, path, strerror(errno));
        fv_status s = read_all(out, size, f, path, what, limit);
        fclose(f);
        return s;
    }
    if (atomic_exchange(&input_is_read, true))
        return fv_fail(FV_ERR_ARGUMENT, "\"-\" stands twice: standard input can be read once");
    return read_all(out, size, stdin, "from standard input", what, limit);
}

fv_status fv_read_file_or_input(unsigned char **out, size_t *size, const char *path,
                                const char *what, size_t limit)
{
    if (strcmp(path, "-") != 0) return fv_read_file(out, size, path, what, limit);
    FV_TRY(fv_read_stream(out, size, path, what, limit));
    if (*size) return FV_OK;
    free(*out);
    return fv_fail(FV_ERR_FORMAT, "reading %s from standard input: there is none", what);
}
