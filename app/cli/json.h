/* --json: results on stdout as JSON lines (RFC 8259, one object a result) instead of text. Each
 * begins with "kind"; app/README.md lists kinds and keys. Progress stays on stderr. */
#ifndef APP_JSON_H
#define APP_JSON_H

#include <stdbool.h>
#include <stdio.h>

#include "kernels/status.h"

void json_ask(bool on); /* once, when the flags are read */
bool json_on(void);

/* An object: json_begin, its members in any number, json_end, which ends the line. */
void json_begin(const char *kind);
void json_text(const char *key, const char *text); /* UTF-8; NULL: null */
void json_path(const char *key, const char *path); /* as fv_name_escaped has it */
void json_number(const char *key, double x);       /* not finite: null */
void json_whole(const char *key, long long x);
void json_flag(const char *key, bool x);
void json_end(void);
/* An object with a path alone. */
void json_file(const char *kind, const char *folder, const char *name);

/* Lines of text, as a library function gives them: open, print, and close. Each line becomes an
 * object: "text", or of lines "backend    cpu" "name" and "value". Without --json it is stdout. */
typedef struct json_capture {
    FILE *to;
    char *text;
    size_t size;
} json_capture;
fv_status json_open(json_capture *c);
void json_close(json_capture *c, const char *kind, bool named);

#endif
