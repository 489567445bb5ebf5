/* Options to YAML and back. See recipe.h and fv_recipe_apply in feavis.h.
 *
 *   feavis: 0.1.0
 *   model: "BriVL-mini"
 *   fingerprint: 0123456789abcdef
 *   text: "梦"
 *   ...
 *   stop: 57                     # only if it was stopped before its last step
 *   files: 0123456789abcdef     # of the cfg and the vocabulary, of another model than the shipped
 *   guide: "mini:1 | eval.yml + brivl.pth:0.5"
 *   networks:                   # all that took part, if there are several
 *     - {role: guide, model: "BriVL-mini", fingerprint: "...", files: "...", tower: online}
 *     - {role: decoder, model: "f16-1024", fingerprint: "..."}
 *   changes:
 *     - {step: 40, option: text, value: "山"} */
#include "feavis/imagine/recipe.h"
#include "feavis/feavis.h"
#include "feavis/imagine/generators/generator.h"
#include "feavis/model.h"
#include "feavis/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/term_files.h"

const char *fv_version(void)
{
    return FEAVIS_VERSION;
}

void fv_free(void *memory)
{
    free(memory);
}

/* How many steps the schedule has after the changes made until `step`. */
static int all_steps(const fv_options *o, int step)
{
    int steps = o->steps;
    for (int i = 0; i < o->change_count; i++)
        if (o->changes[i].step <= step && strcmp(o->changes[i].option->name, "steps") == 0)
            steps = atoi(o->changes[i].value);
    return steps;
}

typedef fv_status (*form)(char **out, const char *text);

/* A value with the files that terms name in another form. *own: what the caller frees. */
static fv_status in_form(const char **value, char **own, const fv_option *row, form terms)
{
    *own = NULL;
    if (strcmp(row->name, "term") != 0) return FV_OK;
    FV_TRY(terms(own, *value));
    *value = *own;
    return FV_OK;
}

/* The value of a row as a recipe has it. *own: what the caller frees. */
static fv_status written(const char **value, char **own, const fv_option *row, const fv_options *o,
                         const fv_model *m)
{
    const fv_options *from = row->flags & FV_OPTION_MODEL ? m->opened : o;
    bool guide = strcmp(row->name, "guide") == 0;
    *value = fv_options_get(guide ? o : from, row->name);
    FV_TRY(in_form(value, own, row, fv_terms_bare));
    if (guide && **value) {
        FV_TRY(fv_recipe_guides(own, *value, false));
        *value = *own;
    }
    if ((row->flags & FV_OPTION_FILE) && strrchr(*value, '/')) *value = strrchr(*value, '/') + 1;
    if (strcmp(row->name, "backend") == 0) *value = m->engine->backend->name;
    /* "0" would follow another cfg; guides have a length each */
    if (strcmp(row->name, "text-length") == 0 && !*m->opened->guide) {
        if (asprintf(own, "%d", m->text_length) < 0)
            return fv_fail(FV_ERR_MEMORY, "writing a recipe: out of memory");
        *value = *own;
    }
    return FV_OK;
}

static fv_status print_options(FILE *f, const fv_options *o, const fv_model *m, int step)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        const fv_options *from = row->flags & FV_OPTION_MODEL ? m->opened : o;
        const char *value;
        char *own;
        if (!(row->flags & FV_OPTION_RECIPE) || strcmp(row->name, "stop") == 0) continue;
        if (row->kind == FV_OPTION_TEXT && !*fv_options_get(from, row->name)) continue;
        if ((row->flags & FV_OPTION_LATER) && fv_options_is_default(from, row->name)) continue;
        FV_TRY(written(&value, &own, row, o, m));
        fv_options_print_yaml(f, row, value);
        free(own);
    }
    if (step < all_steps(o, step)) fprintf(f, "stop: %d\n", step);
    return FV_OK;
}

/* All that took part, where that is more than one. */
static void print_networks(FILE *f, const fv_options *o, const fv_model *m)
{
    const fv_network *decoder = fv_generator_of(o)->needs_decoder ? fv_model_decoder(m) : NULL;
    if (m->guide_count == 1 && !decoder) return;
    fputs("networks:\n", f);
    for (int i = 0; i < m->guide_count; i++) {
        const fv_model *g = m->guides[i];
        fputs("  - {role: guide, model: ", f);
        fv_yaml_quote(f, g->title);
        fprintf(f, ", fingerprint: \"%s\", files: \"%s\", tower: %s}\n", g->fingerprint, g->files,
                g->network->source.momentum ? "momentum" : "online");
    }
    if (!decoder) return;
    char fingerprint[FV_FINGERPRINT];
    fv_network_fingerprint(decoder, fingerprint);
    fputs("  - {role: decoder, model: ", f);
    fv_yaml_quote(f, decoder->title);
    fprintf(f, ", fingerprint: \"%s\"}\n", fingerprint);
}

static fv_status print_changes(FILE *f, const fv_options *o, form terms)
{
    for (int i = 0; i < o->change_count; i++) {
        const fv_change *c = &o->changes[i];
        const char *value = c->value;
        char *own;
        FV_TRY(in_form(&value, &own, c->option, terms));
        fprintf(f, "%s  - {step: %d, option: %s, value: ", i ? "" : "changes:\n", c->step,
                c->option->name);
        fv_yaml_quote(f, value);
        fputs("}\n", f);
        free(own);
    }
    return FV_OK;
}

/* s: how the writing went. */
static fv_status finish(fv_status s, FILE *f, char **text, char **out)
{
    bool failed = ferror(f);
    failed = fclose(f) != 0 || failed;
    if (s >= 0 && failed) s = fv_fail(FV_ERR_MEMORY, "writing a recipe: out of memory");
    if (s < 0)
        free(*text);
    else
        *out = *text;
    return s;
}

fv_status fv_recipe_write_options(char **out, const fv_options *o)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing options: out of memory");
    int count;
    const fv_option *table = fv_option_table(&count);
    fv_status s = FV_OK;
    fprintf(f, "feavis: %s\n", fv_version());
    for (int i = 0; s >= 0 && i < count; i++) {
        const char *value = fv_options_get(o, table[i].name);
        char *own;
        if (!(table[i].flags & FV_OPTION_RECIPE) || fv_options_is_default(o, table[i].name))
            continue;
        s = in_form(&value, &own, &table[i], fv_terms_whole);
        if (s < 0) break;
        fv_options_print_yaml(f, &table[i], value);
        free(own);
    }
    if (s >= 0) s = print_changes(f, o, fv_terms_whole);
    return finish(s, f, &text, out);
}

static fv_status print_guides(FILE *f, const fv_option *row, const char *value)
{
    char *whole;
    FV_TRY(fv_recipe_guides(&whole, value, true));
    fv_options_print_yaml(f, row, whole);
    free(whole);
    return FV_OK;
}

fv_status fv_recipe_write_files(char **out, const fv_options *o, const fv_model *m)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing files: out of memory");
    int count;
    const fv_option *table = fv_option_table(&count);
    fputs("feavis: files\n", f);
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < count; i++) {
        const fv_options *from = table[i].flags & FV_OPTION_MODEL ? m->opened : o;
        const char *value = fv_options_get(from, table[i].name);
        if (strcmp(table[i].name, "guide") == 0 && *value) s = print_guides(f, &table[i], value);
        if (!(table[i].flags & FV_OPTION_FILE) || !(table[i].flags & FV_OPTION_RECIPE) || !*value)
            continue;
        char *whole = realpath(value, NULL);
        fv_options_print_yaml(f, &table[i], whole ? whole : value);
        free(whole);
    }
    if (s >= 0) s = fv_options_print_term_files(f, o);
    return finish(s, f, &text, out);
}

fv_status fv_recipe_write(char **out, const fv_options *o, const fv_model *m, int step)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing a recipe: out of memory");
    fprintf(f, "feavis: %s\nmodel: ", fv_version());
    fv_yaml_quote(f, m->title);
    fprintf(f, "\nfingerprint: \"%s\"\n", m->fingerprint);
    if (*m->files) fprintf(f, "files: \"%s\"\n", m->files);
    for (int i = 0; i < o->own_count; i++)
        fprintf(f, "# with a function on %s: this recipe alone makes another picture\n",
                o->own[i].layer);
    fv_status s = print_options(f, o, m, step);
    print_networks(f, o, m);
    if (s >= 0) s = print_changes(f, o, fv_terms_bare);
    return finish(s, f, &text, out);
}

static fv_status read_change(fv_options *o, const fv_yaml *doc, const fv_yaml_node *map)
{
    int step = -1;
    const char *name = NULL, *value = NULL;
    if (!fv_yaml_is_map(map))
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a change should be a map", fv_yaml_name(doc),
                       fv_yaml_line(map));
    FV_TRY(fv_yaml_int(doc, map, "step", &step));
    FV_TRY(fv_yaml_string(doc, map, "option", &name));
    FV_TRY(fv_yaml_string(doc, map, "value", &value));
    const fv_option *option = name ? fv_option_find(name) : NULL;
    bool drawn = option && option->kind == FV_OPTION_SEED && value && strcmp(value, "random") == 0;
    if (step < 0 || !option || !value || drawn || !(option->flags & FV_OPTION_LIVE) ||
        !(option->flags & FV_OPTION_RECIPE))
        return fv_fail(FV_ERR_FORMAT, "%s:%d: a change needs step, option and value",
                       fv_yaml_name(doc), fv_yaml_line(map));
    fv_options *trial; /* a value out of range should not wait for its step */
    FV_TRY(fv_options_new(&trial));
    fv_status s = fv_options_set_written(trial, name, value);
    fv_options_free(trial);
    if (s < 0) return fv_fail_context(s, "%s:%d", fv_yaml_name(doc), fv_yaml_line(map));
    return fv_options_add_change(o, step, option, value);
}

static fv_status read_recipe(fv_options *o, const fv_yaml *doc, bool own)
{
    /* guide: with the other files, see below */
    const char *const not_options[] = {"feavis",  "model",    "fingerprint",        "files",
                                       "changes", "networks", own ? NULL : "guide", NULL};
    const fv_yaml_node *root = fv_yaml_root(doc);
    if (!fv_yaml_is_map(root) || !fv_yaml_find(root, "feavis"))
        return fv_fail(FV_ERR_FORMAT, "%s: not a feavis recipe", fv_yaml_name(doc));
    FV_TRY(fv_options_from_yaml(o, doc, root, not_options, own ? 0 : FV_OPTION_FILE));
    if (!own) FV_TRY(fv_recipe_find_files(o, doc, root));
    const fv_yaml_node *changes = fv_yaml_find(root, "changes");
    if (changes && !fv_yaml_is_list(changes))
        return fv_fail(FV_ERR_FORMAT, "%s: changes should be a list", fv_yaml_name(doc));
    for (int i = 0; i < fv_yaml_count(changes); i++)
        FV_TRY(read_change(o, doc, fv_yaml_at(changes, i)));
    return own ? FV_OK : fv_recipe_find_terms(o, doc, root);
}

/* own: one of the program's files, whose paths are whole. */
static fv_status read_text(fv_options *o, const char *recipe, const char *what, bool own)
{
    fv_yaml *doc;
    FV_TRY(fv_yaml_parse(&doc, recipe, strlen(recipe), what));
    fv_status s = read_recipe(o, doc, own);
    fv_yaml_free(doc);
    return s;
}

fv_status fv_recipe_apply(fv_options *o, const char *recipe, const char *what)
{
    return read_text(o, recipe, what, false);
}

fv_status fv_recipe_read_options(fv_options *o, const char *text, const char *what)
{
    return read_text(o, text, what, true);
}

static bool says(const fv_yaml_node *map, const char *key, const char *expected)
{
    const fv_yaml_node *n = fv_yaml_find(map, key);
    const char *text = n ? fv_yaml_text(n) : NULL;
    return text && strcmp(text, expected) == 0;
}

/* Whether a list of networks (NULL: a recipe of one) begins with the model's guides. */
static bool same_guides(const fv_yaml_node *list, int count, const fv_model *m)
{
    if (count != m->guide_count) return false;
    for (int i = 0; list && i < count; i++) {
        const fv_yaml_node *n = fv_yaml_at(list, i);
        if (!fv_yaml_is_map(n) || !says(n, "fingerprint", m->guides[i]->fingerprint) ||
            !says(n, "files", m->guides[i]->files))
            return false;
    }
    return true;
}

/* n: what the list says of the decoder. */
static fv_status check_decoder(const fv_yaml_node *n, fv_model *m)
{
    char fingerprint[FV_FINGERPRINT];
    FV_TRY(fv_model_need_decoder(m));
    const fv_network *decoder = fv_model_decoder(m);
    fv_network_fingerprint(decoder, fingerprint);
    if (says(n, "fingerprint", fingerprint)) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT,
                   "the recipe is of another decoder than %s: give its file with --decoder",
                   decoder->title);
}

static fv_status check_networks(const fv_yaml_node *list, fv_model *m)
{
    int count = 1;
    const fv_yaml_node *decoder = NULL;
    if (list) {
        count = fv_yaml_is_list(list) ? fv_yaml_count(list) : 0;
        const fv_yaml_node *last = count ? fv_yaml_at(list, count - 1) : NULL;
        if (last && fv_yaml_is_map(last) && says(last, "role", "decoder")) {
            decoder = last;
            count--;
        }
    }
    if (!same_guides(list, count, m))
        return fv_fail(FV_ERR_ARGUMENT, "the recipe is of other models than the %d that are open",
                       m->guide_count);
    return decoder ? check_decoder(decoder, m) : FV_OK;
}

fv_status fv_recipe_check_model(const char *recipe, fv_model *m)
{
    fv_yaml *doc;
    FV_TRY(fv_yaml_parse(&doc, recipe, strlen(recipe), "recipe"));
    const fv_yaml_node *root = fv_yaml_root(doc);
    fv_status s = FV_OK;
    if (!says(root, "fingerprint", m->fingerprint))
        s = fv_fail(FV_ERR_ARGUMENT, "the recipe is of another model than %s%s", m->title,
                    says(root, "model", m->title) ? " (of this name, with other weights)" : "");
    else if (*m->files && fv_yaml_find(root, "files") && /* older recipes say nothing of them */
             !says(root, "files", m->files))
        s = fv_fail(FV_ERR_ARGUMENT, "the recipe is of another cfg or vocabulary of %s", m->title);
    else
        s = check_networks(fv_yaml_find(root, "networks"), m);
    fv_yaml_free(doc);
    return s;
}
