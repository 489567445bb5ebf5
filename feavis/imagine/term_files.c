/* Files that terms name. See term_files.h. */
#include "feavis/imagine/term_files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feavis/imagine/generators/start.h"
#include "feavis/picture.h"
#include "model/files/path.h"
#include "model/text/text.h"
#include "model/weights/weights.h"

enum { MAX_NUMBERS = 1 << 24 };

static bool is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

/* --- vectors --- */

static fv_status check_vector(const fv_entry *e, const char *path)
{
    int wide = 0;
    for (int i = 0; i < e->ndim; i++) wide += e->dims[i] != 1;
    size_t count = fv_entry_count(e);
    if (!fv_entry_readable(e) || wide > 1 || count == 0 || count > MAX_NUMBERS)
        return fv_fail(FV_ERR_SHAPE,
                       "%s: a direction is one row of numbers, one for each channel of the layer; "
                       "this has %d dims of more than one and %zu numbers",
                       path, wide, count);
    return FV_OK;
}

static fv_status read_vector(const char *path, float **out, size_t *count)
{
    fv_npy *a;
    FV_TRY(fv_npy_open(&a, path));
    const fv_entry *e = fv_npy_entry(a);
    fv_status s = check_vector(e, path);
    float *values = NULL;
    if (s >= 0) {
        *count = fv_entry_count(e);
        values = malloc(*count * sizeof *values);
        if (!values) s = fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", path);
    }
    if (s >= 0) {
        fv_entry_read_f32(e, values);
        *out = values;
    }
    fv_npy_close(a);
    return s;
}

static void hash_vector(const float *values, size_t count, char out[17])
{
    const unsigned char *bytes = (const unsigned char *)values;
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < count * sizeof *values; i++) h = (h ^ bytes[i]) * 1099511628211u;
    snprintf(out, 17, "%016llx", (unsigned long long)h);
}

static fv_status make_unit(float *values, size_t count, const char *path)
{
    double square = 0;
    for (size_t i = 0; i < count; i++) square += (double)values[i] * (double)values[i];
    if (!isfinite(square) || square == 0)
        return fv_fail(FV_ERR_FORMAT, "%s: a direction has a length, this is %s", path,
                       square == 0 ? "zero" : "not finite");
    for (size_t i = 0; i < count; i++) values[i] = (float)((double)values[i] / sqrt(square));
    return FV_OK;
}

/* --- one file --- */

static fv_status hash_file(const fv_term *t, const char *path, char out[17])
{
    float *values;
    size_t count;
    if (!is_regular(path))
        return fv_fail(FV_ERR_IO, "term %s: there is no file %s%s", t->name, path,
                       *t->hash ? ", neither beside the recipe nor here" : "");
    if (t->kind != FV_TERM_VECTOR) return fv_start_hash(path, out);
    FV_TRY(read_vector(path, &values, &count));
    hash_vector(values, count, out);
    free(values);
    return FV_OK;
}

static fv_status check_hash(const fv_term *t)
{
    char has[17];
    FV_TRY(hash_file(t, t->file, has));
    if (!*t->hash || strcmp(has, t->hash) == 0) return FV_OK;
    return fv_fail(FV_ERR_FORMAT,
                   "term %s: %s is another file than the recipe's (its hash is %s, "
                   "not %s)",
                   t->name, t->file, has, t->hash);
}

static fv_status read_picture(const fv_term *t, const fv_model *m, float **out, size_t *count)
{
    fv_picture p;
    size_t side = (size_t)fv_model_image_size(m);
    *count = side * side * 3;
    float *pixels = malloc(*count * sizeof *pixels);
    if (!pixels) return fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", t->file);
    fv_status s = fv_picture_read(&p, t->file);
    if (s < 0) {
        free(pixels);
        return s;
    }
    s = fv_model_look_at(m, &p, pixels);
    fv_picture_free(&p);
    if (s < 0)
        free(pixels);
    else
        *out = pixels;
    return s;
}

fv_status fv_term_file_read(const fv_term *t, const fv_model *m, float **out, size_t *count)
{
    float *values;
    FV_TRY(check_hash(t));
    if (t->kind != FV_TERM_VECTOR) return read_picture(t, m, out, count);
    FV_TRY(read_vector(t->file, &values, count));
    fv_status s = make_unit(values, *count, t->file);
    if (s < 0)
        free(values);
    else
        *out = values;
    return s;
}

/* --- forms of the text --- */

static fv_status set_path(char **path, const char *to)
{
    char *copy = strdup(to);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "reading a term: out of memory");
    free(*path);
    *path = copy;
    return FV_OK;
}

static fv_status note(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)user;
    (void)path;
    FV_TRY(check_hash(t));
    return hash_file(t, t->file, hash);
}

static fv_status make_bare(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)user;
    (void)hash;
    return set_path(path, fv_path_name(t->file));
}

static fv_status make_whole(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)user;
    (void)hash;
    char *whole = realpath(t->file, NULL);
    fv_status s = FV_OK;
    bool sayable = whole && !strchr(whole, '|') && fv_utf8_check(whole, strlen(whole), "path") >= 0;
    if (sayable) s = set_path(path, whole);
    free(whole);
    return s;
}

/* A file that cannot be read keeps its path: it is another than any that can. */
static fv_status name_by_hash(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)user;
    if (!*t->hash && (!is_regular(t->file) || hash_file(t, t->file, hash) < 0)) return FV_OK;
    return set_path(path, "file");
}

fv_status fv_terms_same(bool *same, const char *a, const char *b)
{
    char *first, *second;
    FV_TRY(fv_terms_with_files(&first, a, name_by_hash, NULL));
    fv_status s = fv_terms_with_files(&second, b, name_by_hash, NULL);
    if (s >= 0) {
        *same = strcmp(first, second) == 0;
        free(second);
    }
    free(first);
    return s;
}

fv_status fv_terms_noted(char **out, const char *text)
{
    return fv_terms_with_files(out, text, note, NULL);
}

fv_status fv_terms_bare(char **out, const char *text)
{
    return fv_terms_with_files(out, text, make_bare, NULL);
}

fv_status fv_terms_whole(char **out, const char *text)
{
    return fv_terms_with_files(out, text, make_whole, NULL);
}

fv_status fv_options_note_terms(fv_options *o)
{
    char *noted;
    FV_TRY(fv_terms_noted(&noted, o->term));
    free(o->term);
    o->term = noted;
    return FV_OK;
}

/* --- files of recipes and states --- */

/* The same for the option and for each change of it. */
static fv_status for_all_terms(fv_options *o, bool only_changes, fv_term_file_fn fn, void *user)
{
    for (int i = only_changes ? 0 : -1; i < o->change_count; i++) {
        if (i >= 0 && o->changes[i].option != fv_option_find("term")) continue;
        char **text = i < 0 ? &o->term : &o->changes[i].value, *made;
        FV_TRY(fv_terms_with_files(&made, *text, fn, user));
        free(*text);
        *text = made;
    }
    return FV_OK;
}

static bool is_it(const fv_term *t, const char *path)
{
    char has[17];
    return *t->hash && is_regular(path) && hash_file(t, path, has) >= 0 &&
           strcmp(has, t->hash) == 0;
}

static fv_status find_own(const fv_places *places, const fv_term *t, char **path)
{
    if (is_it(t, t->file)) return FV_OK;
    for (int i = 0; i < fv_yaml_count(places->own); i++) {
        const char *whole = fv_yaml_text(fv_yaml_at(places->own, i));
        bool named = whole && strcmp(fv_path_name(whole), fv_path_name(t->file)) == 0;
        if (named && is_it(t, whole)) return set_path(path, whole);
    }
    return FV_OK;
}

static fv_status find(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)hash;
    const fv_places *places = user;
    if (places->own) return find_own(places, t, path);
    const char *name = fv_path_name(t->file);
    if (!*t->hash)
        return fv_fail(FV_ERR_FORMAT, "term %s: a recipe says the hash of a file that it names",
                       t->name);
    FV_TRY(set_path(path, name));
    char *beside;
    FV_TRY(fv_path_beside(&beside, places->beside, name));
    fv_status s = is_it(t, beside) ? set_path(path, beside) : FV_OK;
    free(beside);
    return s;
}

fv_status fv_options_find_term_files(fv_options *o, const fv_places *places)
{
    fv_places copy = *places;
    return for_all_terms(o, places->only_changes, find, &copy);
}

typedef struct printed {
    FILE *to;
    int count;
} printed;

static fv_status print_file(void *user, const fv_term *t, char **path, char hash[17])
{
    (void)path;
    (void)hash;
    printed *p = user;
    char *whole = realpath(t->file, NULL);
    if (whole && fv_utf8_check(whole, strlen(whole), "path") >= 0) {
        fputs(p->count++ ? "  - " : "term-files:\n  - ", p->to);
        fv_yaml_quote(p->to, whole);
        fputc('\n', p->to);
    }
    free(whole);
    return FV_OK;
}

fv_status fv_options_print_term_files(FILE *f, const fv_options *o)
{
    fv_options *copy;
    printed p = {f, 0};
    FV_TRY(fv_options_copy(&copy, o));
    fv_status s = for_all_terms(copy, false, print_file, &p);
    fv_options_free(copy);
    return s;
}
