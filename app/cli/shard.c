/* See shard.h. */
#include "app/cli/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/files.h"
#include "feavis/gallery.h"

static const char run_name[] = "run.csv";

fv_status cli_read_shard(const cli *c, int *part, int *of)
{
    int end = 0;
    *part = *of = 0;
    if (!c->shard) return FV_OK;
    if (sscanf(c->shard, "%6d/%6d%n", part, of, &end) == 2 && !c->shard[end] && *part >= 1 &&
        *part <= *of)
        return FV_OK;
    return fv_fail(
        FV_ERR_ARGUMENT,
        "--shard is \"%.80s\", expected a worker of several, of 999999 at most: 1/4 to 4/4",
        c->shard);
}

fv_status shard_read(shard *s, const cli *c)
{
    *s = (shard){.folder = fv_options_get(c->options, "gallery")};
    FV_TRY(cli_read_shard(c, &s->part, &s->of));
    if (!s->of) return FV_OK;
    if (!cli_has_flag(c, "gallery"))
        return fv_fail(FV_ERR_ARGUMENT,
                       "--shard needs --gallery FOLDER, one for all workers of this run alone");
    if (*c->seed)
        return fv_fail(FV_ERR_ARGUMENT,
                       "--shard: each worker would draw a seed of its own; give --seed a number");
    if (c->diversity)
        return fv_fail(FV_ERR_ARGUMENT, "--shard: --diversity is from the pictures before, which "
                                        "other workers make");
    if (*fv_options_get(c->options, "out") || *fv_options_get(c->options, "state"))
        return fv_fail(FV_ERR_ARGUMENT,
                       "--shard names its files itself: it takes no --out and no --state");
    FV_TRY(fv_gallery_prepare(s->folder));
    FV_TRY(many_open(&s->run));
    fputs("picture,text,llp,term,seed,settings\n", s->run.to);
    return FV_OK;
}

void shard_end(shard *s)
{
    if (s->run.to) fclose(s->run.to);
    free(s->run.text);
    *s = (shard){0};
}

bool shard_mine(const shard *s, int number)
{
    return !s->of || number % s->of == s->part - 1;
}

fv_status shard_path(char **out, const shard *s, int number, const char *title, const fv_options *o)
{
    char *name;
    *out = NULL;
    FV_TRY(fv_gallery_name(&name, title, strtoull(fv_options_get(o, "seed"), NULL, 10)));
    if (asprintf(out, "%s/%05d-%s.png", s->folder, number + 1, name) < 0) *out = NULL;
    free(name);
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "naming a picture: out of memory");
}

fv_status shard_state(char **out, const char *path)
{
    if (asprintf(out, "%.*s.state.safetensors", (int)strlen(path) - 4, path) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "naming a state: out of memory");
}

const char shard_other[] = "of another recipe";

static bool same_recipe(const char *path, const char *const wanted[3])
{
    static const char *const names[] = {"text", "llp", "seed"};
    fv_list keys, values;
    char *recipe;
    if (fv_recipe_read(&recipe, path) < 0) return false;
    fv_status s = fv_recipe_list(&keys, &values, recipe, path);
    free(recipe);
    if (s < 0) return false;
    bool same = true;
    for (int i = 0; i < 3; i++)
        same = same &&
               (!wanted[i] || strcmp(fv_recipe_value(&keys, &values, names[i]), wanted[i]) == 0);
    fv_list_clear(&keys);
    fv_list_clear(&values);
    return same;
}

bool shard_made(const char *path, const char *text, const char *llp, const char *seed,
                const char **why)
{
    fv_picture p;
    *why = "";
    if (access(path, F_OK) != 0) return false;
    *why = "it cannot be read";
    if (fv_picture_read(&p, path) < 0) return false;
    fv_picture_free(&p);
    *why = shard_other;
    return same_recipe(path, (const char *const[]){text, llp, seed});
}

bool shard_made_of(const char *path, const fv_options *o, const char **why)
{
    return shard_made(path, fv_options_get(o, "text"), fv_options_get(o, "llp"),
                      fv_options_get(o, "seed"), why);
}

fv_status shard_clear(const char *path, const char *why)
{
    char *aside = NULL;
    if (*why) fprintf(stderr, "feavis: %s is made again: %s\n", cli_shown(path), cli_shown(why));
    if (why != shard_other) return FV_OK; /* the new one takes its place */
    int n = (int)strlen(path) - 4;
    for (int i = 1; i < 1000; i++) {
        if (asprintf(&aside, "%.*s-other-%d.png", n, path, i) < 0)
            return fv_fail(FV_ERR_MEMORY, "naming a picture: out of memory");
        if (access(aside, F_OK) != 0) break;
        free(aside);
        aside = NULL;
    }
    bool moved = aside && rename(path, aside) == 0;
    free(aside);
    return moved ? FV_OK
                 : fv_fail(FV_ERR_IO, "moving %s, which is %s, aside: %s", path, why,
                           strerror(errno));
}

/* All that decides a picture and is not in a column of its own. */
static fv_status note_settings(FILE *to, const fv_options *o)
{
    char *text = NULL;
    size_t size;
    int count;
    const fv_option *table = fv_option_table(&count);
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", run_name);
    for (int i = 0; i < count; i++) {
        static const char *const own[] = {"text", "llp", "term", "seed"};
        bool column = false;
        for (int k = 0; k < 4; k++) column = column || strcmp(table[i].name, own[k]) == 0;
        if (column || !(table[i].flags & FV_OPTION_RECIPE) ||
            fv_options_is_default(o, table[i].name))
            continue;
        fprintf(f, "%s%s=%s", ftell(f) ? " " : "", table[i].name, fv_options_get(o, table[i].name));
    }
    fv_status s = fclose(f) == 0 ? FV_OK : fv_fail(FV_ERR_MEMORY, "%s: out of memory", run_name);
    if (s >= 0) many_field(to, text);
    free(text);
    return s;
}

fv_status shard_note(shard *s, const char *path, const fv_options *o)
{
    static const char *const columns[] = {"text", "llp", "term", "seed"};
    many_field(s->run.to, path + strlen(s->folder) + 1);
    for (int i = 0; i < 4; i++) {
        fputc(',', s->run.to);
        many_field(s->run.to, fv_options_get(o, columns[i]));
    }
    fputc(',', s->run.to);
    FV_TRY(note_settings(s->run.to, o));
    fputc('\n', s->run.to);
    return FV_OK;
}

static int line_of(const char *a, const char *b)
{
    int line = 1;
    for (; *a && *a == *b; a++, b++) line += *a == '\n';
    return line;
}

fv_status shard_agree(shard *s)
{
    char *path, *there = NULL;
    if (fflush(s->run.to) != 0) return fv_fail(FV_ERR_MEMORY, "%s: out of memory", run_name);
    FV_TRY(many_path(&path, s->folder, run_name));
    fv_status status = FV_OK;
    if (access(path, F_OK) != 0)
        status = fv_text_save(path, s->run.text, s->run.size);
    else
        status = fv_text_read(&there, path);
    if (status >= 0 && there && strcmp(there, s->run.text) != 0)
        status = fv_fail(FV_ERR_ARGUMENT,
                         "%s is of another run: its line %d is not this command's; give another "
                         "--gallery",
                         path, line_of(there, s->run.text));
    free(there);
    free(path);
    return status;
}
