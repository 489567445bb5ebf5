/* CLIP's byte-pair encoding: text to token ids (Sennrich et al. 2016 over bytes; Radford et al.
 * 2021).
 *
 * Symbols: the 256 bytes as letters, the same at the end of a word ("</w>"), and one for each
 * merge. In a word the adjacent pair of the earliest merge is joined, all its occurrences from left
 * to right, until none is left. Ids: letters 0-255, ends 256-511, merges from 512 on, then the
 * start and the end mark. The text is cleaned as clip_clean.h says. */
#ifndef FV_BPE_H
#define FV_BPE_H

#include "model/text/text.h"

typedef struct fv_bpe fv_bpe;

/* Reads merges, one a line behind a first line that is skipped: OpenAI's bpe_simple_vocab_16e6.txt
 * (.gz as it is) or HuggingFace's merges.txt. size: ids in all, which says how many merges count;
 * 0: CLIP's 49408, or as many as there are. Caller frees. */
fv_status fv_bpe_open(fv_bpe **out, const char *path, int size);
void fv_bpe_free(fv_bpe *v);
int fv_bpe_size(const fv_bpe *v);
/* Over the merges alone: the same of OpenAI's file, packed or not, and of a merges.txt. */
uint64_t fv_bpe_hash(const fv_bpe *v);

/* Start mark, pieces, end mark, then zeros: `length` ids (>= 2). What does not fit is dropped
 * before the end mark; nothing is unknown. Fails on invalid UTF-8. Caller clears with
 * fv_tokens_free. */
fv_status fv_bpe_tokenize(const fv_bpe *v, const char *utf8, int length, fv_tokens *out);

#endif
