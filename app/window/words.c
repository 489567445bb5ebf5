/* See words.h. */
#include "app/window/words.h"

static const char *const words[WORD_COUNT][2] = {
#define ENTRY(id, zh, en) [id] = {zh, en},
    WORDS(ENTRY)
#undef ENTRY
};

const char *say_word(word w, bool chinese)
{
    return words[w][chinese ? 0 : 1];
}
