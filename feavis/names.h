/* Names of files in texts that people and programs read line by line. */
#ifndef FV_NAMES_H
#define FV_NAMES_H

#include <stdbool.h>

#include "feavis/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A file's name as UTF-8 in one line: a backslash is \\, a line feed \n, and each byte of what is
 * not UTF-8 or would end a line or steer a terminal is \xHH (two hexadecimal digits), as printf's
 * %b reads it. Other names are as they are. Caller frees. NULL: out of memory. */
FV_API char *fv_name_escaped(const char *name);
/* Back, in place: the exact name. A backslash before anything else stays one. */
FV_API void fv_name_unescape(char *text);

/* Text of a file for a person to read: controls, what reorders letters by stealth (bidi overrides)
 * and bytes that are not UTF-8 become U+FFFD, so that it is letters to a terminal and no commands.
 * lines: line feeds and tabs stay. Caller frees. NULL: out of memory. */
FV_API char *fv_text_shown(const char *text, bool lines);

/* Whether two names differ at most in how accents are composed (macOS writes them apart). */
FV_API bool fv_name_same(const char *a, const char *b);
/* The path as it is, or with its accents composed or apart if only that is there. Caller frees;
 * NULL: out of memory. */
FV_API char *fv_name_there(const char *path);

/* The one of names[count] that takes the fewest edits to make of `name`, for "did you mean": the
 * first of several; NULL where each takes more edits than half of its bytes. */
FV_API const char *fv_name_nearest(const char *name, const char *const *names, int count);

#ifdef __cplusplus
}
#endif
#endif
