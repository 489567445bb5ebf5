/* Numbers and ASCII letters as text, the same under every locale: what is read and written is in
 * the C locale ("0.5"), whatever LC_NUMERIC of the process says ("0,5"). Files, recipes, options
 * and flags are read and written through these; strtod, sscanf and printf follow the locale, and so
 * does strcasecmp (in Turkish, GIF is not gif). From any thread. */
#ifndef FV_NUMBER_H
#define FV_NUMBER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* As strtod. */
double fv_to_double(const char *text, char **end);
/* As strtof: rounded once, from the text. */
float fv_to_float(const char *text, char **end);
/* As snprintf and sscanf. */
int fv_print(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int fv_scan(const char *text, const char *format, ...) __attribute__((format(scanf, 2, 3)));

/* The same but for the case of ASCII letters; fv_same_start: as far as `n` bytes go. */
bool fv_same_word(const char *a, const char *b);
bool fv_same_start(const char *a, const char *b, size_t n);

#endif
