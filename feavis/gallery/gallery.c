/* A folder of PNG files named after what was asked for. A picture is written whole under a hidden
 * name and then takes a name that is free, so two programs cannot take the same one and being
 * killed leaves no part of a picture under a name that people see. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utf8proc.h>

#include "feavis/film.h"
#include "feavis/gallery.h"
#include "feavis/image/save.h"

enum { SLUG_BYTES = 96, MAX_COPIES = 100000 };

fv_status fv_gallery_prepare(const char *folder)
{
    struct stat st;
    FV_TRY(fv_file_make_folder(folder));
    if (stat(folder, &st) != 0)
        return fv_fail(FV_ERR_IO, "gallery folder %s: %s", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return fv_fail(FV_ERR_IO, "gallery %s is not a folder", folder);
    fv_file_writer *probe; /* which also removes what a killed program left */
    fv_status s = fv_file_begin_in(&probe, folder);
    if (s >= 0) fv_file_abandon(probe);
    return s < 0 ? fv_fail_context(s, "the gallery folder cannot be written to") : FV_OK;
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

fv_status fv_gallery_name(char **out, const char *title, uint64_t seed)
{
    char slug[SLUG_BYTES + 1];
    make_slug(slug, title);
    if (asprintf(out, "%s-%llu", slug, (unsigned long long)seed) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "naming a picture: out of memory");
}

/* Gives what was written the first free name; frees w in any case. */
static fv_status take_name(const char *folder, const char *title, uint64_t seed, const char *ending,
                           fv_file_writer *w, fv_status written, char **path)
{
    char slug[SLUG_BYTES + 1], *name;
    if (written < 0) {
        fv_file_abandon(w);
        return written;
    }
    make_slug(slug, title);
    for (int copy = 1; copy < MAX_COPIES; copy++) {
        char number[16] = "";
        bool taken;
        if (copy > 1) snprintf(number, sizeof number, "-%d", copy);
        if (asprintf(&name, "%s/%s-%llu%s%s", folder, slug, (unsigned long long)seed, number,
                     ending) < 0) {
            fv_file_abandon(w);
            return fv_fail(FV_ERR_MEMORY, "saving to %s: out of memory", folder);
        }
        fv_status s = fv_file_commit_new(w, name, &taken);
        if (s >= 0 && !taken) {
            *path = name;
            return FV_OK;
        }
        free(name);
        if (s < 0) return s;
    }
    fv_file_abandon(w);
    return fv_fail(FV_ERR_IO, "saving to %s: %d pictures of the name %s exist", folder,
                   MAX_COPIES - 1, slug);
}

fv_status fv_gallery_add(const char *folder, const char *title, uint64_t seed,
                         const fv_picture *picture, const char *recipe, char **path)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin_in(&w, folder));
    fv_status s = fv_picture_write_to(w, picture, recipe);
    return take_name(folder, title, seed, ".png", w, s, path);
}

fv_status fv_gallery_add_text(const char *folder, const char *title, uint64_t seed,
                              const char *ending, const char *text, size_t size, char **path)
{
    fv_file_writer *w;
    FV_TRY(fv_file_begin_in(&w, folder));
    fv_status s = fv_file_write(w, text, size);
    return take_name(folder, title, seed, ending, w, s, path);
}

fv_status fv_gallery_add_film(const char *folder, const char *title, uint64_t seed,
                              fv_film_kind kind, const fv_picture *frames, int count,
                              int milliseconds, const char *recipe, char **path)
{
    fv_file_writer *w;
    bool gif = kind == FV_FILM_GIF;
    FV_TRY(fv_file_begin_in(&w, folder));
    fv_status s =
        (gif ? fv_gif_write_to : fv_film_write_to)(w, frames, count, milliseconds, recipe);
    return take_name(folder, title, seed, gif ? ".gif" : ".png", w, s, path);
}
