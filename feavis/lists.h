/* Lists of texts and of pictures, as people keep them: a text file with one entry a line, or a
 * folder. */
#ifndef FV_LISTS_H
#define FV_LISTS_H

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_list {
    char **at; /* [count] UTF-8; names that were found in a folder: as they are there */
    int count;
    int *lines; /* [count] of a file, from 1; NULL in a list that was made in another way */
} fv_list;

FV_API void fv_list_clear(fv_list *l);
FV_API fv_status fv_list_add(fv_list *l, const char *entry);
/* The texts of one line, as a command takes them: what stands between its bars or, in a line
 * without any, between its spaces; without spaces around it. Empty parts are none, and of an empty
 * line the list is empty. A full-width bar belongs to a text. Caller clears. */
FV_API fv_status fv_list_line(fv_list *out, const char *line);

/* One text a line, commas included: the shape of the official example's texts.csv. "-" is standard
 * input; pipes are read as files are. A line ends with LF, CR LF, CR, or any other line end of
 * Unicode (5.8: VT, FF, NEL, U+2028, U+2029). A byte order mark and blank lines (fv_text_blank: no
 * token would come of them) are dropped. Fails on a list without text, and on text that is not
 * UTF-8: the message has the numbers of all bad lines, and says so if it looks like GBK or UTF-16.
 * fv_list_lines: a line that is wholly in double quotes loses them (inside, "" is "), as in a CSV;
 * fv_list_poem keeps them, unless the file is a .csv. Caller clears. */
FV_API fv_status fv_list_lines(fv_list *out, const char *path);
FV_API fv_status fv_list_poem(fv_list *out, const char *path);
/* The same for names of files: lines end with LF or CR LF (CR in a file that has no LF), and blank
 * is a line of spaces and tabs. */
FV_API fv_status fv_list_names(fv_list *out, const char *path);

/* Several lines are bad: what is wrong with the first, and the numbers of all. */
typedef struct fv_bad_lines {
    int count;
    char first[512];  /* a message, as fv_error gives it */
    char others[256]; /* "4, 7, 9" */
    int listed;       /* numbers in `others` */
} fv_bad_lines;
/* Notes that line `number` has failed with fv_error(). */
FV_API void fv_bad_lines_add(fv_bad_lines *b, int number);
/* FV_OK if none is bad; otherwise one message that begins with the name of the file. */
FV_API fv_status fv_bad_lines_say(const fv_bad_lines *b, const char *path);

/* Paths of pictures. source: a folder (searched with its subfolders, sorted by path; names that
 * begin with '.' and files that are no pictures by name are left out), one picture, or a list
 * file (.csv, .txt, "-") of names that are relative to `folder`, or without one (NULL) to the
 * list's own folder. That the files exist is not checked. Caller clears.
 *
 * Each folder of the disk is read once, whatever links lead to it. notes (may be NULL): a line for
 * each part of a folder that is left out though it was asked for: a subfolder that cannot be read
 * or has come by already, a pipe or a device with the name of a picture. Caller clears. */
FV_API fv_status fv_list_pictures(fv_list *out, const char *source, const char *folder,
                                  fv_list *notes);

/* Looks for `name` as it is, then as `kind`/name.txt in the presets folder ("labels/ucm-zh").
 * Caller frees. */
FV_API fv_status fv_list_find(char **path, const char *kind, const char *name);

#ifdef __cplusplus
}
#endif
#endif
