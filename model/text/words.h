/* The words that a model knows something about: one a line, so that the program can say which of
 * a text's words it does not know. */
#ifndef FV_WORDS_H
#define FV_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/status.h"

typedef struct fv_words fv_words;

/* UTF-8, one word a line, in any order; lower case. Caller frees. */
fv_status fv_words_open(fv_words **out, const char *path);
void fv_words_free(fv_words *w);

/* The parts of a text that are no known words, joined by ", " and cut at whole parts to `size`
 * bytes; "" if there are none. Words of Latin letters are looked up in lower case, also without
 * -s, -es, -ed, -ing, -ly; ideographs are matched to the longest known words, and two or more in
 * a row that belong to none are a part. */
void fv_words_unknown(const fv_words *w, const char *text, char *out, size_t size);

/* Bytes of the longest known word of ideographs that `text` begins with, of at most `most` bytes;
 * 0: with none, or w is NULL. Whether it begins with an ideograph. */
size_t fv_words_longest(const fv_words *w, const char *text, size_t most);
bool fv_words_ideograph(const char *text);

#endif
