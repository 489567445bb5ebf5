/* Text to token ids: BertTokenizer (Devlin et al. 2018) in C.
 *
 * Equals HuggingFace BertTokenizer with do_lower_case and tokenize_chinese_chars: clean-up of
 * control characters and white space, spaces round CJK ideographs, lower-casing and stripping
 * of accents (NFD, category Mn dropped), splitting at punctuation, then greedy longest-match
 * word pieces with "##" continuations; a word over 100 characters, or one that cannot be
 * covered, is [UNK]. Special tokens that stand in the text as they are ("[MASK]") are themselves.
 *
 * Characters that the Unicode tables here do not know are letters, hence [UNK]: what they are under
 * newer tables, where the vocabulary lacks them. Ids do not depend on the age of the tables. (The
 * reference drops them in silence, and gives [UNK] once its tables know them.) */
#ifndef FV_TEXT_H
#define FV_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/status.h"

typedef struct fv_vocab fv_vocab;

/* Reads a vocab.txt as HuggingFace's BertTokenizer does: one UTF-8 piece a line, id = line number
 * from 0, lines end with LF, CR LF or CR. An empty line counts and is a piece that no text has; of
 * a piece on several lines the last is its id. A byte order mark in front is dropped. [PAD] [UNK]
 * [CLS] [SEP] must be present; invalid UTF-8 is named by line. Caller frees. */
fv_status fv_vocab_open(fv_vocab **out, const char *path);
void fv_vocab_free(fv_vocab *v);
int fv_vocab_size(const fv_vocab *v);
const char *fv_vocab_piece(const fv_vocab *v, int id);   /* NULL if out of range; borrowed */
int fv_vocab_find(const fv_vocab *v, const char *piece); /* -1 if absent */

typedef struct fv_tokens {
    int32_t *ids; /* [length] [CLS] pieces [SEP], then padding 0 ([PAD]) up to `length` */
    int length;   /* L of the call */
    int used;     /* tokens before the padding, [CLS] and [SEP] included */
    int dropped;  /* pieces that did not fit: 0 = nothing was cut */
    int unknown;  /* [UNK]s among the used */
} fv_tokens;

/* Encodes valid UTF-8 text to exactly `length` ids (>= 2). Text that is empty or only white
 * space gives [CLS] [SEP]. Fails on invalid UTF-8 (byte offset in the message). */
fv_status fv_tokenize(const fv_vocab *v, const char *utf8, int length, fv_tokens *out);
/* The same by Chinese-CLIP's rules: no special tokens in a text, words of up to 200 characters, and
 * a sigma at the end of a word is a final one. */
fv_status fv_tokenize_chinese_clip(const fv_vocab *v, const char *utf8, int length, fv_tokens *out);
void fv_tokens_free(fv_tokens *t);

/* FV_OK, or FV_ERR_ARGUMENT with the offset of the first bad byte. Overlong forms, surrogates
 * and code points over U+10FFFF are bad. `what` names the text in the message. */
fv_status fv_utf8_check(const char *text, size_t bytes, const char *what);

/* No token but [CLS] and [SEP] comes of this text, under any vocabulary: it has only white space,
 * control, format and private characters, and marks. Text that is not UTF-8 is not blank. */
bool fv_text_blank(const char *utf8);

/* How many bytes to insert, delete or replace to make b of a (Levenshtein), for "did you mean".
 * Only the first 127 of each count. */
int fv_edits(const char *a, const char *b);

#endif
