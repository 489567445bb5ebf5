/* What a program remembers between two runs: names and texts in a YAML map, written whole or not
 * at all. See feavis.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/settings.h"
#include "model/files/files.h"
#include "model/files/yaml.h"

typedef struct pair {
    char *name, *value;
} pair;

struct fv_settings {
    char *path; /* NULL: in memory only */
    pair *pairs;
    int count;
    bool changed;
};

static pair *find(const fv_settings *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->pairs[i].name, name) == 0) return &s->pairs[i];
    return NULL;
}

static fv_status load(fv_settings *s)
{
    fv_yaml *doc;
    if (!s->path || access(s->path, F_OK) != 0) return FV_OK;
    FV_TRY(fv_yaml_open(&doc, s->path));
    const fv_yaml_node *root = fv_yaml_root(doc);
    fv_status status = FV_OK;
    for (int i = 0; root && fv_yaml_is_map(root) && status >= 0 && i < fv_yaml_count(root); i++) {
        const char *value = fv_yaml_text(fv_yaml_at(root, i));
        if (value) status = fv_settings_set(s, fv_yaml_key(root, i), value);
    }
    s->changed = false;
    fv_yaml_free(doc);
    return status;
}

fv_status fv_settings_open(fv_settings **out, const char *path)
{
    fv_settings *s = calloc(1, sizeof *s);
    if (s && path) s->path = strdup(path);
    if (!s || (path && !s->path)) {
        fv_settings_close(s);
        return fv_fail(FV_ERR_MEMORY, "opening settings: out of memory");
    }
    fv_status status = load(s);
    if (status < 0) {
        fv_settings_close(s);
        return status;
    }
    *out = s;
    return FV_OK;
}

void fv_settings_close(fv_settings *s)
{
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        free(s->pairs[i].name);
        free(s->pairs[i].value);
    }
    free(s->pairs);
    free(s->path);
    free(s);
}

const char *fv_settings_get(const fv_settings *s, const char *name, const char *otherwise)
{
    const pair *p = find(s, name);
    return p ? p->value : otherwise;
}

fv_status fv_settings_set(fv_settings *s, const char *name, const char *value)
{
    pair *p = find(s, name);
    if (p && strcmp(p->value, value) == 0) return FV_OK;
    char *copy = strdup(value), *key = p ? p->name : strdup(name);
    if (copy && key && !p) {
        pair *more = realloc(s->pairs, ((size_t)s->count + 1) * sizeof *more);
        if (more) {
            s->pairs = more;
            p = &s->pairs[s->count++];
            *p = (pair){key, NULL};
        }
    }
    if (!copy || !p) {
        free(copy);
        if (!p) free(key);
        return fv_fail(FV_ERR_MEMORY, "setting %s: out of memory", name);
    }
    free(p->value);
    p->value = copy;
    s->changed = true;
    return FV_OK;
}

fv_status fv_settings_save(fv_settings *s)
{
    char *text = NULL;
    size_t size;
    if (!s->changed || !s->path) return FV_OK;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "saving settings: out of memory");
    for (int i = 0; i < s->count; i++) {
        fv_yaml_quote(f, s->pairs[i].name);
        fputs(": ", f);
        fv_yaml_quote(f, s->pairs[i].value);
        fputc('\n', f);
    }
    fv_status status = fclose(f) == 0 && text
                           ? fv_file_save(s->path, text, size)
                           : fv_fail(FV_ERR_MEMORY, "saving settings: out of memory");
    free(text);
    if (status >= 0) s->changed = false;
    return status;
}
