/* A list of CLIP's merges; its own last bytes are then a text to clean, cut and join. */
#include <string.h>

#include "model/text/bpe.h"
#include "model/text/clip_clean.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT = 400, LENGTH = 24 };

static void clean(const char *text)
{
    fv_letters t;
    fv_clip_special special;
    if (fuzz_refused(fv_clip_clean(text, &t))) return;
    for (size_t begin, end = 0, last = 0; fv_clip_word(&t, &begin, &end, &special); last = end)
        FUZZ_CHECK(begin >= last && end > begin && end <= t.count);
    for (size_t i = 0; i < t.count; i++) FUZZ_CHECK(t.at[i] > 0 && t.at[i] < 0x110000);
    fv_letters_free(&t);
}

static void tokenise(const fv_bpe *v, const uint8_t *data, size_t size)
{
    char text[TEXT + 1];
    fv_tokens t;
    size_t n = size < TEXT ? size : TEXT;
    memcpy(text, data + size - n, n);
    text[n] = 0;
    if (fuzz_refused(fv_utf8_check(text, strlen(text), "the text"))) return;
    clean(text);
    if (!v || fuzz_refused(fv_bpe_tokenize(v, text, LENGTH, &t))) return;
    FUZZ_CHECK(t.length == LENGTH && t.used >= 2 && t.used <= LENGTH);
    for (int i = 0; i < LENGTH; i++) FUZZ_CHECK(t.ids[i] >= 0 && t.ids[i] < fv_bpe_size(v));
    fv_tokens_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    fv_bpe *v = NULL;
    if (fuzz_refused(fv_bpe_open(&v, fuzz_file(0, "", data, size), 0))) v = NULL;
    tokenise(v, data, size);
    fv_bpe_free(v);
    return fuzz_end();
}
