/* Text as CLIP's tokeniser cleans and cuts it, before any pieces: Radford et al. 2021, the official
 * simple_tokenizer.py with ftfy 6 before it. In this order:
 *
 *   repair    line by line until nothing changes: entities with a semicolon (until a "<" has been
 *             seen), U+0080-009F by Windows-1252, ligatures to letters, full and half width forms,
 *             curved quotes, line ends, terminal colours, invisible controls, NFC. What ftfy
 * guesses of text that was decoded wrongly ("cafÃ©") is left as it is. entities  twice, by the
 * rules of HTML 5 spaces    runs of white space are one space, none at the ends lower     full
 * mapping: a sigma that ends a word is a final one
 *
 * Then words: the two special ones, 's 't 're 've 'm 'll 'd, a run of letters, one number, or a run
 * of what is neither letter, number nor space.
 *
 * Work grows with the text: entities inside of entities are followed for so many rounds that a line
 * costs at most FV_CLIP_WORK characters, and two rounds at least. */
#ifndef FV_CLIP_CLEAN_H
#define FV_CLIP_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/status.h"

enum { FV_CLIP_WORK = 1 << 22 };

/* A text as code points. */
typedef struct fv_letters {
    int32_t *at;
    size_t count, room;
} fv_letters;

/* Valid UTF-8 in, cleaned text out. Caller frees. */
fv_status fv_clip_clean(const char *utf8, fv_letters *out);
void fv_letters_free(fv_letters *t);

typedef enum fv_clip_special { FV_CLIP_WORD, FV_CLIP_START, FV_CLIP_END } fv_clip_special;
/* Moves *begin from the end of the word before to the begin of the next one, *end behind it;
 * false: there is none. */
bool fv_clip_word(const fv_letters *t, size_t *begin, size_t *end, fv_clip_special *special);

#endif
