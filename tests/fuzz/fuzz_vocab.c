/* vocab.txt; its own first bytes are then a text to tokenise. */
#include <stdlib.h>
#include <string.h>

#include "model/text/text.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT = 200, LENGTH = 24 };

static void tokenise(const fv_vocab *v, const uint8_t *data, size_t size)
{
    char text[TEXT + 1];
    fv_tokens t;
    size_t n = size < TEXT ? size : TEXT;
    memcpy(text, data, n);
    text[n] = 0;
    for (char *c = text; (c = strchr(c, '\n'));) *c = ' ';
    if (fuzz_refused(fv_tokenize(v, text, LENGTH, &t))) return;
    FUZZ_CHECK(t.length == LENGTH && t.used >= 2 && t.used <= LENGTH);
    for (int i = 0; i < LENGTH; i++)
        FUZZ_CHECK(t.ids[i] >= 0 && (t.ids[i] < fv_vocab_size(v) || i >= t.used));
    fv_tokens_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    fv_vocab *v;
    if (!fuzz_refused(fv_vocab_open(&v, fuzz_file(0, "", data, size)))) {
        for (int i = 0; i < fv_vocab_size(v) && i < 32; i++) {
            const char *piece = fv_vocab_piece(v, i);
            FUZZ_CHECK(piece);
            fv_vocab_find(v, piece);
        }
        tokenise(v, data, size);
        fv_vocab_free(v);
    }
    return fuzz_end();
}
