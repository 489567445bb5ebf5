/* A folder of PNG files named after what was asked for. A picture is written whole under a hidden
 * name and then takes a name that is free, so two programs cannot take the same one and being
 * killed leaves no part of a picture under a name that people see. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

#include "feavis/feavis.h"

enum { SLUG_BYTES = 96, MOST_COPIES = 100000 };

fv_status fv_gallery_prepare(const char *folder)
{
    struct stat st;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return fv_fail(FV_ERR_IO, "making the gallery folder %s: %s", folder, strerror(errno));
    if (stat(folder, &st) != 0)
        return fv_fail(FV_ERR_IO, "gallery folder %s: %s", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return fv_fail(FV_ERR_IO, "gallery %s is not a folder", folder);
    char *probe;
    if (asprintf(&probe, "%s/.writable-%ld", folder, (long)getpid()) < 0)
        return fv_fail(FV_ERR_MEMORY, "gallery folder %s: out of memory", folder);
    int fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    fv_status s = fd >= 0 || errno == EEXIST
                      ? FV_OK
                      : fv_fail(FV_ERR_IO, "gallery folder %s cannot be written to: %s", folder,
                                strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(probe);
    }
    free(probe);
    return s;
}

/* Letters, their accents, digits and symbols such as emoji: no punctuation, space or control. */
static bool stays(utf8proc_int32_t c)
{
    if (c < 0x80) return c == '_' || (c < 0x7f && isalnum(c));
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_SO:
        return true;
    default:
        return false;
    }
}

/* All that does not stay becomes one '-'; cut at whole characters. */
static void make_slug(char out[SLUG_BYTES + 1], const char *title)
{
    size_t n = 0;
    bool gap = false;
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)title;
    while (*at) {
        utf8proc_int32_t c;
        utf8proc_ssize_t got = utf8proc_iterate(at, -1, &c);
        size_t length = got > 0 ? (size_t)got : 1;
        bool letter = got > 0 && stays(c);
        if (letter) {
            if (n + length + (gap && n) > SLUG_BYTES) break;
            if (gap && n) out[n++] = '-';
            memcpy(out + n, at, length);
            n += length;
        }
        gap = !letter;
        at += length;
    }
    out[n] = 0;
    if (!n) strcpy(out, "picture");
}

/* A name that nobody lists, for what is being written. */
static fv_status part_name(char **part, const char *folder)
{
    static atomic_uint turn;
    if (asprintf(part, "%s/.part-%ld-%u", folder, (long)getpid(), turn++) < 0)
        return fv_fail(FV_ERR_MEMORY, "saving to %s: out of memory", folder);
    return FV_OK;
}

/* Gives `part` the name `name` unless that is taken; 0, or -1 and errno. */
static int put_new(const char *part, const char *name)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, name, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    /* a file system without it: a second name for the same file is never put over another */
    if (link(part, name) == 0) return unlink(part);
    if (errno != EPERM && errno != EOPNOTSUPP) return -1;
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return -1;
    close(fd);
    return rename(part, name);
}

/* Gives `part` the first free name; removes it if there is none. Frees it in any case. */
static fv_status take_name(const char *folder, const char *title, uint64_t seed, const char *ending,
                           char *part, char **path)
{
    char slug[SLUG_BYTES + 1], *name;
    fv_status s = FV_OK;
    make_slug(slug, title);
    for (int copy = 1; s >= 0 && copy < MOST_COPIES; copy++) {
        char number[16] = "";
        if (copy > 1) snprintf(number, sizeof number, "-%d", copy);
        if (asprintf(&name, "%s/%s-%llu%s%s", folder, slug, (unsigned long long)seed, number,
                     ending) < 0)
            break;
        if (put_new(part, name) == 0) {
            free(part);
            *path = name;
            return FV_OK;
        }
        if (errno != EEXIST) s = fv_fail(FV_ERR_IO, "saving %s: %s", name, strerror(errno));
        free(name);
    }
    unlink(part);
    free(part);
    return s < 0 ? s
                 : fv_fail(FV_ERR_IO, "saving to %s: %d pictures of the name %s exist", folder,
                           MOST_COPIES - 1, slug);
}

fv_status fv_gallery_add(const char *folder, const char *title, uint64_t seed,
                         const fv_picture *picture, const char *recipe, char **path)
{
    char *part;
    FV_TRY(part_name(&part, folder));
    fv_status s = fv_picture_write(picture, part, recipe);
    if (s >= 0) return take_name(folder, title, seed, ".png", part, path);
    free(part);
    return s;
}

fv_status fv_gallery_add_film(const char *folder, const char *title, uint64_t seed,
                              fv_film_kind kind, const fv_picture *frames, int count,
                              int milliseconds, const char *recipe, char **path)
{
    char *part;
    bool gif = kind == FV_FILM_GIF;
    FV_TRY(part_name(&part, folder));
    fv_status s = (gif ? fv_gif_write : fv_film_write)(frames, count, milliseconds, recipe, part);
    if (s >= 0) return take_name(folder, title, seed, gif ? ".gif" : ".png", part, path);
    free(part);
    return s;
}
