/* feavis embed: pictures into an index. feavis search: an index by texts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/index.h"
#include "feavis/match.h"
#include "feavis/names.h"

enum { DEFAULT_TOP = 10 };

/* --shard: the pictures of this worker, one run of the list, and its own index. Without, all. */
static fv_status take_share(const cli *c, fv_list *pictures, char **out)
{
    const char *path = fv_options_get(c->options, "out");
    int part, of;
    FV_TRY(cli_read_shard(c, &part, &of));
    *out = of ? NULL : strdup(path);
    if (!of) return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "embedding: out of memory");
    int64_t count = pictures->count;
    if (of > count)
        return fv_fail(FV_ERR_ARGUMENT, "--shard %s: %d pictures are work for %d at most", c->shard,
                       pictures->count, pictures->count);
    int first = (int)(count * (part - 1) / of), last = (int)(count * part / of);
    for (int i = 0; i < pictures->count; i++)
        if (i < first || i >= last) free(pictures->at[i]);
    memmove(pictures->at, pictures->at + first, (size_t)(last - first) * sizeof *pictures->at);
    pictures->count = last - first;
    return fv_index_shard(out, path, part, of);
}

/* The index that is there; NULL: none that could be searched. */
static fv_index *index_before(const char *path)
{
    fv_index *x;
    char *next;
    if (asprintf(&next, "%s.next", path) < 0) return NULL;
    bool half_made = access(next, F_OK) == 0;
    free(next);
    return half_made || access(path, F_OK) != 0 || fv_index_open(&x, path) < 0 ? NULL : x;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rows of x without one of the same name in y; -1: no memory. */
static int count_gone(const fv_index *x, const fv_index *y)
{
    int gone = 0, n = fv_index_count(y);
    const char **names = malloc(((size_t)n + 1) * sizeof *names);
    if (!names) return -1;
    for (int i = 0; i < n; i++) names[i] = fv_index_name(y, i);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < fv_index_count(x); i++) {
        const char *name = fv_index_name(x, i);
        gone += !bsearch(&name, names, (size_t)n, sizeof *names, by_name);
    }
    free(names);
    return gone;
}

/* What the new index has no more of the one before. */
static void tell_replaced(const fv_index *before, const fv_model *m, const char *path)
{
    fv_index *now;
    bool other = fv_index_check(before, m) < 0;
    if (fv_index_open(&now, path) < 0) return;
    int gone = count_gone(before, now), rows = fv_index_count(before);
    fv_index_close(now);
    if (other)
        fprintf(stderr, "feavis: %s was of another model: its %d rows are replaced", path, rows);
    else if (gone > 0)
        fprintf(stderr, "feavis: %s had %d rows", path, rows);
    if (gone > 0) fprintf(stderr, ", %d of pictures that are not in it any more", gone);
    if (other || gone > 0) fputc('\n', stderr);
}

static fv_status embed_list(const cli *c, fv_model *m, const fv_list *list, const char *out,
                            bool *stopped)
{
    const fv_list pictures = *list;
    int resumed = 0;
    many_progress p = many_progress_of(c, "pictures");
    fv_index *before = index_before(out);
    fv_status s = fv_index_build(out, m, &pictures, c->batch, c->half, &resumed, many_show, &p);
    if (s == FV_OK && before) tell_replaced(before, m, out);
    fv_index_close(before);
    if (s == FV_OK && json_on()) {
        json_begin("index");
        json_path("path", out);
        json_whole("pictures", pictures.count);
        json_whole("unreadable", p.failures);
        json_whole("resumed", resumed);
        json_end();
    }
    if (s >= 0 && resumed && !json_on())
        printf("%d of the %d pictures were there from an earlier run\n", resumed, pictures.count);
    *stopped = s == FV_CANCELLED;
    if (s == FV_OK && !json_on()) printf("%s, %s.txt\n", out, out);
    if (*stopped) fprintf(stderr, "feavis: stopped; the same command goes on from %s.part\n", out);
    return s;
}

static fv_status embed(const cli *c, fv_model *m, bool *stopped)
{
    fv_list pictures;
    char *out = NULL;
    FV_TRY(many_list_pictures(&pictures, c));
    fv_status s = take_share(c, &pictures, &out);
    if (s >= 0) s = embed_list(c, m, &pictures, out, stopped);
    free(out);
    fv_list_clear(&pictures);
    return s;
}

int command_embed(cli *c)
{
    fv_model *m = NULL;
    bool stopped = false;
    fv_status s = c->images && *fv_options_get(c->options, "out")
                      ? fv_model_open(&m, c->options)
                      : fv_fail(FV_ERR_ARGUMENT, "embed needs --images (a folder or a list) and "
                                                 "--out FILE.npy or FILE.safetensors");
    if (s >= 0) s = embed(c, m, &stopped);
    fv_model_close(m);
    return s < 0 ? cli_fail() : stopped ? EXIT_INTERRUPTED : EXIT_SUCCESS;
}

/* --- search --- */

static void print_hit(const char *query, int rank, const fv_hit *h, const char *name)
{
    if (!json_on()) {
        printf("%7.4f  ", (double)h->score);
        many_print_name(stdout, name);
        putchar('\n');
        return;
    }
    json_begin("answer");
    json_text("query", query);
    json_whole("rank", rank);
    json_number("cosine", (double)h->score);
    json_path("picture", name);
    json_end();
}

static fv_status print_hits(const cli *c, fv_model *m, const fv_index *x, const many *texts)
{
    int top = c->top ? c->top : DEFAULT_TOP, n = texts->list.count, found;
    fv_hit *hits = malloc((size_t)n * (size_t)top * sizeof *hits);
    if (!hits) return fv_fail(FV_ERR_MEMORY, "searching: out of memory");
    fv_status s = fv_index_search(x, m, texts->rows, n, top, hits, &found);
    for (int q = 0; s >= 0 && q < n; q++) {
        if (n > 1 && !json_on()) printf("%s%s\n", q ? "\n" : "", cli_shown(texts->list.at[q]));
        for (int k = 0; k < found; k++) {
            const fv_hit *h = &hits[(size_t)q * (size_t)top + (size_t)k];
            print_hit(texts->list.at[q], k + 1, h, fv_index_name(x, h->index));
        }
    }
    free(hits);
    return s;
}

/* The words of the command line as one text. */
static fv_status one_text(many *out, const char *text, fv_model *m)
{
    FV_TRY(fv_list_add(&out->list, text));
    out->rows = malloc((size_t)fv_embed_dim(m) * sizeof *out->rows);
    if (!out->rows) return fv_fail(FV_ERR_MEMORY, "searching: out of memory");
    return many_embed_texts(out->rows, m, out->list.at, 1, NULL);
}

/* Neither the rows nor their names go over a file of the index. */
static fv_status check_export(const char *index, const char *out)
{
    static const char *const of_index[] = {"", ".txt", ".from"}, *const of_out[] = {"", ".txt"};
    char whose[32], name[32];
    fv_status s = FV_OK;
    for (int i = 0; s >= 0 && i < 6; i++) {
        char *from, *to = NULL;
        const char *a = of_index[i / 2], *b = of_out[i % 2];
        if (asprintf(&from, "%s%s", index, a) < 0) from = NULL;
        if (asprintf(&to, "%s%s", out, b) < 0) to = NULL;
        snprintf(whose, sizeof whose, "--index%s%s", *a ? " with " : "", a);
        snprintf(name, sizeof name, "--out%s%s", *b ? " with " : "", b);
        s = from && to ? place_apart(to, name, from, whose)
                       : fv_fail(FV_ERR_MEMORY, "exporting an index: out of memory");
        free(from);
        free(to);
    }
    return s;
}

static fv_status export_index(const cli *c, const fv_index *x)
{
    const char *out = fv_options_get(c->options, "out");
    FV_TRY(check_export(c->index, out));
    FV_TRY(fv_index_export(x, c->export, out));
    if (json_on()) {
        json_begin("index");
        json_path("path", out);
        json_whole("pictures", fv_index_count(x));
        json_end();
    } else {
        printf("%s, %s.txt: %d rows of %d\n", out, out, fv_index_count(x), fv_index_dim(x));
    }
    return FV_OK;
}

static fv_status search(const cli *c, fv_model **m, fv_index **x, many *texts)
{
    const char *option = fv_options_get(c->options, "text");
    const char *text = *option ? option : c->words;
    bool out = *fv_options_get(c->options, "out");
    if (!c->export != !out)
        return fv_fail(FV_ERR_ARGUMENT, "search: --export faiss|npy and --out FILE go together");
    if (c->export && (text || c->texts || !c->index))
        return fv_fail(FV_ERR_ARGUMENT, "search --export needs --index FILE, and takes no texts");
    if (c->export) {
        FV_TRY(fv_index_open(x, c->index));
        return export_index(c, *x);
    }
    if (!c->index || (!text && !c->texts))
        return fv_fail(FV_ERR_ARGUMENT, "search needs --index FILE and a text (or --texts FILE)");
    if (text && c->texts)
        return fv_fail(FV_ERR_ARGUMENT, "search takes a text or --texts, and there are both");
    FV_TRY(fv_index_open(x, c->index));
    FV_TRY(fv_model_open(m, c->options));
    FV_TRY(fv_index_check(*x, *m));
    FV_TRY(text ? one_text(texts, text, *m) : many_texts(texts, c, *m, c->texts));
    return print_hits(c, *m, *x, texts);
}

int command_search(cli *c)
{
    fv_model *m = NULL;
    fv_index *x = NULL;
    many texts = {0};
    fv_status s = search(c, &m, &x, &texts);
    many_clear(&texts);
    fv_index_close(x);
    fv_model_close(m);
    return s < 0 ? cli_fail() : EXIT_SUCCESS;
}
