/* The named characters of HTML 5 ("eacute" is é): all 2231 names of the standard's table of named
 * character references, https://html.spec.whatwg.org/multipage/named-characters.html. */
#ifndef FV_HTML_NAMES_H
#define FV_HTML_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { FV_HTML_LONGEST_NAME = 31 }; /* bytes, without the semicolon */

/* What the name of n bytes (without '&' and ';') stands for: one or two characters in UTF-8; NULL:
 * no such name. *bare: it is known without a semicolon, too. */
const char *fv_html_character(const char *name, size_t n, bool *bare);

#endif
