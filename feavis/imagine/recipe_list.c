/* A recipe for people: the YAML of recipe.c as names and values, whoever wrote it and however it
 * quoted. See feavis.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/lists.h"
#include "feavis/recipe.h"
#include "model/files/yaml.h"

static fv_status add(fv_list *names, fv_list *values, const char *name, const char *value)
{
    FV_TRY(fv_list_add(names, name));
    return fv_list_add(values, value);
}

/* NULL: the map has no such text. */
static const char *text_in(const fv_yaml_node *map, const char *key)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    return n ? fv_yaml_text(n) : NULL;
}

/* "text, from step 40 on"; what else a list holds, networks say, is not for people. */
static fv_status add_change(fv_list *names, fv_list *values, const fv_yaml_node *map)
{
    char name[128];
    const char *step = text_in(map, "step"), *option = text_in(map, "option"),
               *value = text_in(map, "value");
    if (!step || !option || !value) return FV_OK;
    snprintf(name, sizeof name, "%.64s @%.16s", option, step);
    return add(names, values, name, value);
}

static fv_status add_node(fv_list *names, fv_list *values, const char *key, const fv_yaml_node *n)
{
    const char *text = fv_yaml_text(n);
    if (text) return add(names, values, key, text);
    for (int i = 0; fv_yaml_is_list(n) && i < fv_yaml_count(n); i++)
        if (fv_yaml_is_map(fv_yaml_at(n, i))) FV_TRY(add_change(names, values, fv_yaml_at(n, i)));
    return FV_OK;
}

fv_status fv_recipe_list(fv_list *names, fv_list *values, const char *recipe, const char *what)
{
    fv_yaml *doc;
    fv_list a = {0}, b = {0};
    FV_TRY(fv_yaml_parse(&doc, recipe, strlen(recipe), what));
    const fv_yaml_node *root = fv_yaml_root(doc);
    fv_status s = root && fv_yaml_is_map(root)
                      ? FV_OK
                      : fv_fail(FV_ERR_FORMAT, "%s: the recipe is no map", what);
    for (int i = 0; s >= 0 && i < fv_yaml_count(root); i++)
        s = add_node(&a, &b, fv_yaml_key(root, i), fv_yaml_at(root, i));
    fv_yaml_free(doc);
    if (s < 0) {
        fv_list_clear(&a);
        fv_list_clear(&b);
        return s;
    }
    *names = a;
    *values = b;
    return FV_OK;
}

const char *fv_recipe_value(const fv_list *names, const fv_list *values, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->at[i], name) == 0) return values->at[i];
    return "";
}
