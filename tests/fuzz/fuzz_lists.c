/* Text lists: entries, pictures, words and settings, each by its reader; every entry is read as a
 * text with weights. */
#include <stdlib.h>
#include <string.h>

#include "feavis/feavis.h"
#include "feavis/settings.h"
#include "feavis/settings/options.h"
#include "model/text/words.h"
#include "tests/fuzz/fuzz.h"

static void read_entry(const char *typed, char separator)
{
    char *plain, *again;
    fv_weighted *parts;
    int count;
    if (fuzz_refused(fv_weighted_plain(&plain, typed, separator, "text"))) return;
    FUZZ_CHECK(fv_weighted_plain(&again, plain, separator, "text") == FV_OK);
    FUZZ_CHECK(strcmp(plain, again) == 0);
    if (!fuzz_refused(fv_weighted_parse(&parts, &count, plain, separator, "text")))
        fv_weighted_free(parts, count);
    free(plain);
    free(again);
}

static void read_entries(const fv_list *l)
{
    for (int i = 0; i < l->count && i < 8; i++) {
        read_entry(l->at[i], '|');
        read_entry(l->at[i], ',');
    }
}

static void read_words(const char *path, const fv_list *l)
{
    char out[64];
    fv_words *w;
    if (fuzz_refused(fv_words_open(&w, path))) return;
    for (int i = 0; i < l->count && i < 8; i++) {
        fv_words_unknown(w, l->at[i], out, sizeof out);
        FUZZ_CHECK(strlen(out) < sizeof out);
    }
    fv_words_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin(size);
    const char *path = fuzz_file(0, ".txt", data, size);
    fv_list texts = {0}, names = {0}, other = {0};
    if (!fuzz_refused(fv_list_lines(&texts, path))) read_entries(&texts);
    if (!fuzz_refused(fv_list_poem(&other, path))) fv_list_clear(&other);
    fuzz_refused(fv_list_names(&names, path));
    for (int i = 0; i < 2; i++) {
        if (fuzz_refused(fv_list_pictures(&other, path, i ? "folder" : NULL, NULL))) continue;
        FUZZ_CHECK(other.count == names.count);
        fv_list_clear(&other);
    }
    read_words(path, &texts);
    fv_list_clear(&names);
    fv_list_clear(&texts);
    fv_settings *s;
    if (!fuzz_refused(fv_settings_open(&s, path))) {
        fv_settings_get(s, "language", "");
        fv_settings_close(s);
    }
    return fuzz_end();
}
