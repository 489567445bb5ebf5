/* Presets: YAML files that set options, and may list pictures to make.
 *
 *   title: The four concepts of the paper
 *   use: normal                 # another preset, applied first
 *   other-generators: mine      # the preset in its place where another generator is asked for
 *   size: 256                   # any option
 *   pictures:                   # each a map of further options
 *     - text: 自然 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/preset.h"
#include "feavis/settings/options.h"

enum { MAX_LAYERS = 8 };

struct fv_preset {
    fv_yaml *doc;
    const fv_yaml_node *root, *pictures;
    const char *title;
    fv_preset *base;  /* `use` */
    fv_preset *other; /* `other-generators` */
};

/* --- one preset --- */

/* `beside`: the file whose `use:` it is, or NULL; a relative path starts in its folder. */
static fv_status preset_path(char **out, const char *name, const char *beside)
{
    const char *home = fv_home();
    size_t n = strlen(name);
    bool is_path = strchr(name, '/') || (n > 4 && strcmp(name + n - 4, ".yml") == 0);
    if (!is_path && !home)
        return fv_fail(FV_ERR_IO, "preset %s: the presets folder was not found (set FEAVIS_HOME)",
                       name);
    const char *slash = beside && *name != '/' ? strrchr(beside, '/') : NULL;
    int lead = slash ? (int)(slash - beside) + 1 : 0;
    int written = is_path ? asprintf(out, "%.*s%s", lead, lead ? beside : "", name)
                          : asprintf(out, "%s/presets/%s.yml", home, name);
    if (written < 0) return fv_fail(FV_ERR_MEMORY, "preset %s: out of memory", name);
    if (is_path || access(*out, R_OK) == 0) return FV_OK;
    free(*out);
    char list[512] = "";
    char **names;
    int count;
    if (fv_preset_names(&names, &count) >= 0) {
        for (int i = 0; i < count; i++) {
            size_t at = strlen(list);
            snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
        }
        fv_names_free(names, count);
    }
    return fv_fail(FV_ERR_ARGUMENT, "there is no preset %.80s; there are: %s", name, list);
}

static const char *const not_options[] = {"title", "use", "other-generators", "pictures", NULL};

static fv_status open_layer(fv_preset **out, const char *name, const char *beside, int layer);

/* Everything is checked when a preset is opened: a list of pictures with a bad one at its end
 * should not fail after an hour. */
static fv_status check_preset(const fv_preset *p)
{
    fv_options *o;
    FV_TRY(fv_options_new(&o));
    fv_status s = fv_preset_apply(p, o);
    for (int i = 0; s >= 0 && i < fv_preset_picture_count(p); i++) s = fv_preset_picture(p, i, o);
    fv_options_free(o);
    return s;
}

static fv_status read_layer(fv_preset *p, const char *path, int layer)
{
    const char *use = NULL, *other = NULL;
    FV_TRY(fv_yaml_open(&p->doc, path));
    p->root = fv_yaml_root(p->doc);
    if (!p->root || !fv_yaml_is_map(p->root))
        return fv_fail(FV_ERR_FORMAT, "preset %s is not a map of options", path);
    FV_TRY(fv_yaml_string(p->doc, p->root, "title", &p->title));
    FV_TRY(fv_yaml_string(p->doc, p->root, "use", &use));
    FV_TRY(fv_yaml_string(p->doc, p->root, "other-generators", &other));
    p->pictures = fv_yaml_find(p->root, "pictures");
    if (p->pictures && !fv_yaml_is_list(p->pictures))
        return fv_fail(FV_ERR_FORMAT, "%s:%d: pictures should be a list", path,
                       fv_yaml_line(p->pictures));
    if (use) FV_TRY(open_layer(&p->base, use, path, layer + 1));
    if (other) FV_TRY(open_layer(&p->other, other, path, layer + 1));
    return check_preset(p);
}

static fv_status open_layer(fv_preset **out, const char *name, const char *beside, int layer)
{
    char *path;
    if (layer >= MAX_LAYERS)
        return fv_fail(FV_ERR_FORMAT, "preset %s: presets use each other more than %d deep", name,
                       MAX_LAYERS);
    FV_TRY(preset_path(&path, name, beside));
    struct stat st; /* who names a preset may name a pipe; a file that names one may not */
    if (beside && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        free(path);
        return fv_fail(FV_ERR_IO, "preset %s: %s is not a regular file", beside, name);
    }
    fv_preset *p = calloc(1, sizeof *p);
    fv_status s =
        p ? read_layer(p, path, layer) : fv_fail(FV_ERR_MEMORY, "preset %s: out of memory", name);
    free(path);
    if (s < 0) {
        fv_preset_close(p);
        return s;
    }
    *out = p;
    return FV_OK;
}

fv_status fv_preset_open(fv_preset **out, const char *name)
{
    return open_layer(out, name, NULL, 0);
}

void fv_preset_close(fv_preset *p)
{
    if (!p) return;
    fv_preset_close(p->base);
    fv_preset_close(p->other);
    fv_yaml_free(p->doc);
    free(p);
}

const char *fv_preset_title(const fv_preset *p)
{
    return p->title ? p->title : "";
}

/* The generator that it sets, or NULL. */
static const char *generator_of(const fv_preset *p)
{
    const char *own = NULL;
    for (int i = 0; i < fv_yaml_count(p->root); i++)
        if (fv_option_find(fv_yaml_key(p->root, i)) == fv_option_find("param"))
            own = fv_yaml_text(fv_yaml_at(p->root, i));
    return own || !p->base ? own : generator_of(p->base);
}

bool fv_preset_has_options(const fv_preset *p)
{
    for (int i = 0; i < fv_yaml_count(p->root); i++)
        if (fv_option_find(fv_yaml_key(p->root, i))) return true;
    return p->base && fv_preset_has_options(p->base);
}

static fv_status apply(const fv_preset *p, const char *generator, fv_options *o)
{
    const char *own = generator_of(p);
    if (generator && p->other && own && strcmp(own, generator) != 0)
        return apply(p->other, generator, o);
    if (p->base) FV_TRY(apply(p->base, generator ? generator : own, o));
    return fv_options_from_yaml(o, p->doc, p->root, not_options, 0);
}

fv_status fv_preset_apply(const fv_preset *p, fv_options *o)
{
    return apply(p, NULL, o);
}

fv_status fv_preset_apply_for(const fv_preset *p, const char *generator, fv_options *o)
{
    FV_TRY(apply(p, generator, o));
    return generator ? fv_options_set(o, "param", generator) : FV_OK;
}

int fv_preset_picture_count(const fv_preset *p)
{
    if (p->pictures) return fv_yaml_count(p->pictures);
    return p->base ? fv_preset_picture_count(p->base) : 0;
}

fv_status fv_preset_picture(const fv_preset *p, int i, fv_options *o)
{
    if (!p->pictures) return fv_preset_picture(p->base, i, o);
    const fv_yaml_node *map = fv_yaml_at(p->pictures, i);
    if (!fv_yaml_is_map(map))
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a picture should be a map of options",
                       fv_yaml_name(p->doc), fv_yaml_line(map));
    return fv_options_from_yaml(o, p->doc, map, NULL, 0);
}

/* --- the folder --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void fv_names_free(char **names, int count)
{
    for (int i = 0; i < count; i++) free(names[i]);
    free(names);
}

fv_status fv_preset_names(char ***out, int *count)
{
    const char *home = fv_home();
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/presets", home ? home : ".");
    DIR *d = opendir(path);
    if (!d) return fv_fail(FV_ERR_IO, "reading the presets folder %s: %s", path, strerror(errno));
    char **names = NULL;
    int n = 0;
    fv_status s = FV_OK;
    for (struct dirent *e; s >= 0 && (e = readdir(d));) {
        size_t length = strlen(e->d_name);
        if (length <= 4 || e->d_name[0] == '.' || strcmp(e->d_name + length - 4, ".yml") != 0)
            continue;
        char **more = realloc(names, ((size_t)n + 1) * sizeof *names);
        if (more) names = more;
        char *name = more ? strndup(e->d_name, length - 4) : NULL;
        if (name)
            names[n++] = name;
        else
            s = fv_fail(FV_ERR_MEMORY, "reading the presets folder: out of memory");
    }
    closedir(d);
    if (s < 0) {
        fv_names_free(names, n);
        return s;
    }
    qsort(names, (size_t)n, sizeof *names, by_name);
    *out = names;
    *count = n;
    return FV_OK;
}
