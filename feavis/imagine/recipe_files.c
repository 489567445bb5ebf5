/* The files that a recipe names: start picture, cfg, checkpoint, vocabulary, guides. Recipes travel
 * in pictures, so they say names without folders, and whoever made one is not to be trusted: of a
 * path only the name counts, only regular files are looked at, and a start picture or a file of
 * `plausible` only if what is in it has the recipe's hash.
 *
 *   gallery/梦-1.png says   start: "moon.jpg"   start-hash: 0123456789abcdef
 *   looked for as           gallery/moon.jpg, moon.jpg */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feavis/imagine/generators/start.h"
#include "feavis/imagine/plausible.h"
#include "feavis/imagine/recipe.h"
#include "feavis/imagine/term_files.h"
#include "model/files/path.h"

typedef enum found { NOWHERE, OTHER, FOUND } found;

typedef fv_status (*hash_fn)(const char *path, char out[17]);

/* Of the rows whose files have to have a hash, which the row NAME-hash says; NULL of the others. */
static hash_fn hash_of(const fv_option *row)
{
    return strcmp(row->name, "start") == 0       ? fv_start_hash
           : strcmp(row->name, "plausible") == 0 ? fv_gap_hash
                                                 : NULL;
}

/* Whether the file is the one that is meant; OTHER: it is there, and another is in it. */
static found look_at(const char *path, hash_fn of, const char *hash)
{
    struct stat st;
    char has[17];
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return NOWHERE;
    if (st.st_size == 0) return NOWHERE; /* also those of /proc, which may wait when read */
    if (!of) return FOUND;
    if (!*hash || of(path, has) < 0) return NOWHERE;
    return strcmp(has, hash) == 0 ? FOUND : OTHER;
}

/* Sets the row to the first of the places where it is. A start picture's path, which older recipes
 * have, is one of them: its pixels say whether it is meant. */
static fv_status find(fv_options *o, const fv_option *row, const char *value, const char *hash,
                      const char *recipe)
{
    const char *name = fv_path_name(value);
    hash_fn of = hash_of(row);
    char *beside;
    FV_TRY(fv_path_beside(&beside, recipe, name));
    const char *const places[] = {value, beside, name};
    const char *other = NULL;
    fv_status s = FV_OK;
    bool done = false;
    for (int i = name == value || of != fv_start_hash; i < 3 && !done; i++) {
        found f = look_at(places[i], of, hash);
        done = f == FOUND;
        if (done) s = fv_options_set(o, row->name, places[i]);
        if (f == OTHER && !other) other = places[i];
    }
    if (!done && !*fv_options_get(o, row->name)) {
        s = fv_options_set(o, row->name, other ? other : name);
        if (s >= 0 && !other) s = fv_options_lose(o, row, recipe);
    }
    free(beside);
    return s;
}

/* --- the option guide, which names several --- */

static fv_status replace(char **path, const char *with)
{
    char *copy = strdup(with);
    if (!copy) return fv_fail(FV_ERR_MEMORY, "writing a recipe: out of memory");
    free(*path);
    *path = copy;
    return FV_OK;
}

static fv_status name_only(void *user, char **path)
{
    (void)user;
    return replace(path, fv_path_name(*path));
}

static fv_status whole_path(void *user, char **path)
{
    (void)user;
    char *whole = realpath(*path, NULL);
    if (!whole) return FV_OK; /* it stays as it was written */
    free(*path);
    *path = whole;
    return FV_OK;
}

fv_status fv_recipe_guides(char **out, const char *guide, bool whole)
{
    fv_guides g;
    FV_TRY(fv_guides_parse(&g, guide));
    fv_status s = fv_guides_files(&g, whole ? whole_path : name_only, NULL);
    if (s >= 0) s = fv_guides_print(out, &g);
    fv_guides_clear(&g);
    return s;
}

typedef struct search {
    const char *recipe;
    bool names; /* only names, beside the recipe and here; else the paths as they are */
    int lost;
} search;

static fv_status find_guide_file(void *user, char **path)
{
    search *q = user;
    const char *name = fv_path_name(*path);
    char *beside;
    FV_TRY(fv_path_beside(&beside, q->recipe, name));
    const char *const places[] = {*path, beside, name};
    int i = q->names ? 1 : 0, end = q->names ? 3 : 1;
    while (i < end && look_at(places[i], NULL, "") != FOUND) i++;
    q->lost += i == end;
    fv_status s = i == end ? FV_OK : replace(path, places[i]);
    free(beside);
    return s;
}

/* Takes over what the recipe says if all of its files are found. */
static fv_status find_guides(fv_options *o, const fv_option *row, const char *value, search *q)
{
    fv_guides g;
    char *text = NULL;
    if (fv_guides_parse(&g, value) < 0) return fv_fail_context(FV_ERR_FORMAT, "%s", q->recipe);
    fv_status s = fv_guides_files(&g, find_guide_file, q);
    if (s >= 0) s = fv_guides_print(&text, &g);
    fv_guides_clear(&g);
    if (s >= 0 && !q->lost) s = fv_options_set_written(o, row->name, text);
    if (s >= 0 && q->lost && q->names && !*o->guide) {
        s = fv_options_set_written(o, row->name, text);
        if (s >= 0) s = fv_options_lose(o, row, q->recipe);
    }
    free(text);
    return s;
}

static fv_status read_guides(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map, bool names)
{
    const fv_option *row = fv_option_find("guide");
    char *value;
    search q = {.recipe = fv_yaml_name(doc), .names = names};
    FV_TRY(fv_options_value(&value, doc, map, row));
    fv_status s = value && *value ? find_guides(o, row, value, &q) : FV_OK;
    free(value);
    return s;
}

fv_status fv_recipe_find_files(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        char *value, key[64];
        const char *hash = "";
        const unsigned wanted = FV_OPTION_FILE | FV_OPTION_RECIPE;
        if ((table[i].flags & wanted) != wanted) continue;
        snprintf(key, sizeof key, "%s-hash", table[i].name);
        if (hash_of(&table[i])) FV_TRY(fv_yaml_string(doc, map, key, &hash));
        FV_TRY(fv_options_value(&value, doc, map, &table[i]));
        fv_status s = value && *value ? find(o, &table[i], value, hash, fv_yaml_name(doc)) : FV_OK;
        free(value);
        FV_TRY(s);
    }
    return read_guides(o, doc, map, true);
}

fv_status fv_recipe_find_terms(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map)
{
    return fv_options_find_term_files(
        o, &(fv_places){.beside = fv_yaml_name(doc), .only_changes = !fv_yaml_find(map, "term")});
}

fv_status fv_recipe_read_files(fv_options *o, const char *text, const char *what)
{
    fv_yaml *doc;
    int count;
    const fv_option *table = fv_option_table(&count);
    FV_TRY(fv_yaml_parse(&doc, text, strlen(text), what));
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < count; i++) {
        char *value = NULL, key[64];
        const unsigned wanted = FV_OPTION_FILE | FV_OPTION_RECIPE;
        if ((table[i].flags & wanted) != wanted) continue;
        s = fv_options_value(&value, doc, fv_yaml_root(doc), &table[i]);
        snprintf(key, sizeof key, "%s-hash", table[i].name);
        const char *hash = fv_options_get(o, key); /* "" of most rows */
        if (s >= 0 && value && look_at(value, hash_of(&table[i]), hash) == FOUND)
            s = fv_options_set(o, table[i].name, value);
        free(value);
    }
    if (s >= 0) s = read_guides(o, doc, fv_yaml_root(doc), false);
    const fv_yaml_node *own = fv_yaml_find(fv_yaml_root(doc), "term-files");
    if (s >= 0 && own) s = fv_options_find_term_files(o, &(fv_places){.own = own});
    fv_yaml_free(doc);
    return s;
}
