/* feavis gather FOLDER, or INDEX: what workers of --shard have made, together.
 *
 * A folder: pictures.csv, a line for each picture of the run and whether it is there, and sheet.png
 * of those that are. An index: the shards INDEX.I-of-N as one. What lacks is said, and is a
 * failure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/json.h"
#include "app/cli/shard.h"
#include "feavis/files.h"
#include "feavis/index.h"
#include "feavis/sheet.h"

enum { CELL = 128, COLUMNS = 8, MAX_SHOWN = 256 };

typedef struct gather {
    const char *folder;
    fv_list lines; /* of run.csv behind its head */
    fv_list found; /* paths */
    fv_list titles;
    int lacking;
} gather;

/* The first column of a line; NULL: it is no name of a picture in this folder. Caller frees. */
static char *name_of(const char *line)
{
    size_t n = strcspn(line, ",");
    bool good = n > 4 && strspn(line, "0123456789") == 5 && line[5] == '-' &&
                !memchr(line, '/', n) && memcmp(line + n - 4, ".png", 4) == 0;
    return good ? strndup(line, n) : NULL;
}

/* Field `index` of a line, quotes resolved; NULL: there is none. Caller frees. */
static char *field_of(const char *line, int index)
{
    char *out = malloc(strlen(line) + 1), *to = out;
    bool quoted = false;
    if (!out) return NULL;
    for (; *line && index >= 0; line++) {
        if (*line == '"' && quoted && line[1] == '"')
            line++;
        else if (*line == '"') {
            quoted = !quoted;
            continue;
        }
        if (*line == ',' && !quoted)
            index--;
        else if (index == 0)
            *to++ = *line;
    }
    *to = 0;
    if (index <= 0) return out;
    free(out);
    return NULL;
}

/* Whether the picture of a line of run.csv is there. See shard_made. */
static bool is_made(const char *path, const char *line, const char **why)
{
    char *text = field_of(line, 1), *llp = field_of(line, 2), *seed = field_of(line, 4);
    bool made = shard_made(path, text, llp, seed, why);
    free(text);
    free(llp);
    free(seed);
    return made;
}

static void tell_lacking(const char *path, bool begun, const char *why)
{
    if (json_on()) {
        json_begin("lacking");
        json_path("path", path);
        json_flag("begun", begun);
        json_text("why", why);
        json_end();
    } else {
        printf("lacks %s%s", cli_shown(path), begun ? " (begun)" : "");
        printf(*why ? " (%s)\n" : "%s\n", cli_shown(why));
    }
}

static fv_status look_at(gather *g, const char *line, FILE *csv)
{
    char *name = name_of(line), *path = NULL, *state = NULL;
    const char *why = "";
    if (!name) return fv_fail(FV_ERR_FORMAT, "%s/run.csv is damaged: \"%.80s\"", g->folder, line);
    fv_status s = many_path(&path, g->folder, name);
    struct stat st;
    bool there = s >= 0 && is_made(path, line, &why);
    if (s >= 0) s = shard_state(&state, path);
    if (s >= 0 && there) s = fv_list_add(&g->found, path);
    if (s >= 0 && there) s = fv_list_add(&g->titles, name);
    if (s >= 0 && !there) {
        tell_lacking(path, stat(state, &st) == 0, why);
        g->lacking++;
    }
    if (s >= 0) fprintf(csv, "%s,%s\n", there ? "yes" : "no", line);
    free(state);
    free(path);
    free(name);
    return s;
}

static fv_status save_sheet(const gather *g)
{
    int count = g->found.count;
    if (count == 0) return FV_OK;
    if (count > MAX_SHOWN) {
        fprintf(stderr, "feavis: no sheet of %d pictures is drawn, only of up to %d\n", count,
                MAX_SHOWN);
        return FV_OK;
    }
    fv_picture *pictures = calloc((size_t)count, sizeof *pictures), sheet;
    fv_status s = pictures ? FV_OK : fv_fail(FV_ERR_MEMORY, "drawing a sheet: out of memory");
    for (int i = 0; s >= 0 && i < count; i++) s = fv_picture_read(&pictures[i], g->found.at[i]);
    if (s >= 0)
        s = fv_sheet_make(&sheet, pictures, (const char *const *)g->titles.at, count,
                          count < COLUMNS ? count : COLUMNS, CELL);
    if (s >= 0) {
        s = many_picture(&sheet, g->folder, "sheet.png");
        fv_picture_free(&sheet);
    }
    if (s >= 0) many_tell(g->folder, "sheet.png");
    for (int i = 0; pictures && i < count; i++) fv_picture_free(&pictures[i]);
    free(pictures);
    return s;
}

static fv_status save_table(gather *g)
{
    many_file f;
    FV_TRY(many_open(&f));
    fprintf(f.to, "made,%s\n", g->lines.at[0]);
    fv_status s = FV_OK;
    for (int i = 1; s >= 0 && i < g->lines.count; i++) s = look_at(g, g->lines.at[i], f.to);
    if (s < 0) {
        fclose(f.to);
        free(f.text);
        return s;
    }
    FV_TRY(many_save(&f, g->folder, "pictures.csv"));
    many_tell(g->folder, "pictures.csv");
    return FV_OK;
}

static fv_status gather_folder(gather *g)
{
    char *path;
    FV_TRY(many_path(&path, g->folder, "run.csv"));
    fv_status s = fv_list_poem(&g->lines, path);
    free(path);
    if (s < 0) return fv_fail_context(s, "%s is no folder of a run with --shard", g->folder);
    FV_TRY(save_table(g));
    FV_TRY(save_sheet(g));
    int all = g->lines.count - 1;
    if (json_on()) {
        json_begin("run");
        json_path("folder", g->folder);
        json_whole("pictures", all);
        json_whole("lacking", g->lacking);
        json_end();
    } else {
        printf("%d of %d pictures\n", all - g->lacking, all);
    }
    if (!g->lacking) return FV_OK;
    return fv_fail(FV_ERR_FORMAT,
                   "%s lacks %d of %d pictures: the same command makes them, with "
                   "any --shard",
                   g->folder, g->lacking, all);
}

static fv_status gather_index(const char *path)
{
    int shards, rows;
    FV_TRY(fv_index_gather(path, &shards, &rows));
    if (json_on()) {
        json_begin("index");
        json_path("path", path);
        json_whole("pictures", rows);
        json_whole("shards", shards);
        json_end();
    } else {
        printf("%s: %d pictures of %d shards\n", path, rows, shards);
    }
    return FV_OK;
}

int command_gather(cli *c)
{
    gather g = {.folder = c->words};
    struct stat st;
    fv_status s = FV_OK;
    if (!c->words)
        s = fv_fail(FV_ERR_ARGUMENT, "gather needs the folder of a run with --shard, or an index");
    else if (stat(c->words, &st) == 0 && S_ISDIR(st.st_mode))
        s = gather_folder(&g);
    else
        s = gather_index(c->words);
    fv_list_clear(&g.lines);
    fv_list_clear(&g.found);
    fv_list_clear(&g.titles);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
