/* A capital sigma in lower case is σ, or ς as the last letter of a word: Unicode's Final_Sigma. */
#ifndef FV_SIGMA_H
#define FV_SIGMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FV_CAPITAL_SIGMA = 0x3a3, FV_FINAL_SIGMA = 0x3c2 };

/* Whether text[i], a capital sigma, ends a word of text[0..count). */
bool fv_final_sigma(const int32_t *text, size_t count, size_t i);
/* Its two properties: letters with case, and what does not count on the way to the next one. */
bool fv_is_cased(int32_t c);
bool fv_is_case_ignorable(int32_t c);

#endif
