/* Lists of texts and of pictures, as people keep them: a text file with one entry a line, or a
 * folder. */
#ifndef FV_LISTS_H
#define FV_LISTS_H

#include "kernels/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_list {
    char **at; /* [count] UTF-8 */
    int count;
} fv_list;

void fv_list_clear(fv_list *l);
fv_status fv_list_add(fv_list *l, const char *entry);

/* One entry a line, commas included: the shape of the official example's texts.csv. A byte order
 * mark, CR LF and empty lines are dropped; a line that is wholly in double quotes loses them
 * (inside, "" is "). "-" is standard input. Fails on an empty list, and on text that is not
 * UTF-8: the message has the line, and says so if it looks like GBK or UTF-16. Caller clears. */
fv_status fv_list_lines(fv_list *out, const char *path);

/* Paths of pictures. source: a folder (searched with its subfolders, sorted by path; names that
 * begin with '.' and files that are no pictures by name are left out), one picture, or a list
 * file (.csv, .txt, "-") of names that are relative to `folder`, or without one (NULL) to the
 * list's own folder. That the files exist is not checked. Caller clears. */
fv_status fv_list_pictures(fv_list *out, const char *source, const char *folder);

/* Looks for `name` as it is, then as `kind`/name.txt in the presets folder ("labels/ucm-zh").
 * Caller frees. */
fv_status fv_list_find(char **path, const char *kind, const char *name);

#ifdef __cplusplus
}
#endif
#endif
