/* What is written of an index beside its rows, and shards of one put together. See
 * index_inside.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/names.h"
#include "feavis/search/index_inside.h"
#include "feavis/search/name_write.h"
#include "model/files/file_log.h"
#include "model/files/files_internal.h"
#include "model/files/yaml.h"

enum { MAX_SHARDS = 100000, BLOCK_BYTES = 1 << 20 };

static fv_status no_memory(const char *path)
{
    return fv_fail(FV_ERR_MEMORY, "index %s: out of memory", path);
}

/* --- beside the rows --- */

fv_status fv_index_write_header(fv_file_writer *w, const fv_index_head *h, int count,
                                bool safetensors, bool half)
{
    char npy[FV_NPY_MATRIX_HEADER], *text = NULL;
    size_t size;
    if (!safetensors) {
        fv_npy_matrix_header(npy, count, h->dim);
        return fv_file_write(w, npy, sizeof npy);
    }
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory("header");
    fputs("{\"__metadata__\":{\"model\":", f);
    fv_yaml_quote(f, h->title);
    fprintf(f,
            ",\"weights\":\"%s\"},\"embeddings\":{\"dtype\":\"%s\",\"shape\":[%d,%d],"
            "\"data_offsets\":[0,%lld]}}",
            h->model, half ? "F16" : "F32", count, h->dim,
            (long long)count * h->dim * (half ? 2 : 4));
    while (ftell(f) % 8) fputc(' ', f);
    bool whole = fclose(f) == 0;
    uint64_t length = size;
    fv_status s = whole ? fv_file_write(w, &length, sizeof length) : no_memory("header");
    if (s >= 0) s = fv_file_write(w, text, size);
    free(text);
    return s;
}

static fv_status save_names(const char *path, const fv_record *records, int count)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory(path);
    for (int i = 0; i < count; i++) {
        fv_name_write(f, records[i].name);
        fputc('\n', f);
    }
    fv_status s = fclose(f) == 0 ? fv_file_save(path, text, size) : no_memory(path);
    free(text);
    return s;
}

fv_status fv_index_save_record(const char *path, const fv_index_head *h, const fv_record *records,
                               int count)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory(path);
    fv_index_head_write(f, h);
    for (int i = 0; i < count; i++) fv_record_write(f, &records[i]);
    fv_status s = fclose(f) == 0 ? fv_file_save(path, text, size) : no_memory(path);
    free(text);
    return s;
}

fv_status fv_index_finish(const char *path, const fv_index_head *h, const fv_record *records,
                          int count)
{
    char *names = NULL, *from = NULL, *next = NULL;
    fv_status s = fv_index_path(&names, path, ".txt");
    if (s >= 0) s = fv_index_path(&from, path, ".from");
    if (s >= 0) s = fv_index_path(&next, path, ".next");
    if (s >= 0) s = save_names(names, records, count);
    if (s >= 0) s = fv_index_save_record(from, h, records, count);
    if (s >= 0) s = fv_file_remove(next);
    free(names);
    free(from);
    free(next);
    return s;
}

/* --- shards --- */

typedef struct gathering {
    const char *path;
    int shards;
    bool safetensors, half;
    fv_records all; /* of the shards before; names are owned */
} gathering;

static const char *ending_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    return dot ? dot : path + strlen(path);
}

fv_status fv_index_shard(char **out, const char *path, int part, int of)
{
    const char *dot = ending_of(path);
    if (asprintf(out, "%.*s.%d-of-%d%s", (int)(dot - path), path, part, of, dot) >= 0) return FV_OK;
    *out = NULL;
    return no_memory(path);
}

/* N of "STEM.I-of-NENDING"; 0: another file. */
static int count_of(const char *name, const char *stem, size_t n, const char *ending)
{
    int part, of, at = 0;
    if (strncmp(name, stem, n) != 0 || name[n] != '.') return 0;
    if (sscanf(name + n + 1, "%6d-of-%6d%n", &part, &of, &at) != 2 || !at) return 0;
    bool good = strcmp(name + n + 1 + at, ending) == 0 && part >= 1 && part <= of;
    return good && of <= MAX_SHARDS ? of : 0;
}

/* How many shards the files in the folder are of. */
static fv_status find_shards(gathering *g)
{
    const char *dot = ending_of(g->path), *slash = strrchr(g->path, '/');
    const char *stem = slash ? slash + 1 : g->path;
    char *folder = slash ? strndup(g->path, (size_t)(slash - g->path) + 1) : strdup(".");
    if (!folder) return no_memory(g->path);
    DIR *d = opendir(folder);
    fv_status s =
        d ? FV_OK : fv_fail(FV_ERR_IO, "opening the folder %s: %s", folder, strerror(errno));
    free(folder);
    struct dirent *e;
    while (s >= 0 && (e = readdir(d))) {
        int of = count_of(e->d_name, stem, (size_t)(dot - stem), dot);
        if (of && g->shards && of != g->shards)
            s = fv_fail(FV_ERR_ARGUMENT,
                        "index %s has shards of %d and of %d: delete those of one kind", g->path,
                        g->shards, of);
        if (of) g->shards = of;
    }
    if (d) closedir(d);
    if (s >= 0 && !g->shards)
        s = fv_fail(FV_ERR_IO, "index %s has no shards beside it (%.*s.1-of-2%s ...)", g->path,
                    (int)(dot - stem), stem, dot);
    return s;
}

static fv_status check_shards(const gathering *g)
{
    char lacking[512] = "";
    size_t n = 0;
    int count = 0;
    for (int i = 1; i <= g->shards; i++) {
        char *shard;
        FV_TRY(fv_index_shard(&shard, g->path, i, g->shards));
        if (access(shard, R_OK) != 0) {
            if (n + 16 < sizeof lacking)
                n += (size_t)snprintf(lacking + n, sizeof lacking - n, "%s%d", n ? ", " : "", i);
            count++;
        }
        free(shard);
    }
    if (!count) return FV_OK;
    return fv_fail(FV_ERR_IO, "index %s lacks %d of %d shards: %s (embed --shard I/%d makes them)",
                   g->path, count, g->shards, lacking, g->shards);
}

static fv_status take_records(gathering *g, fv_records *r, const fv_row_file *rows,
                              const char *shard)
{
    bool first = g->all.count == 0;
    if (first) g->all.head = r->head;
    if (first) g->half = rows->half;
    if (r->count != rows->count || r->head.dim != rows->dim)
        return fv_fail(FV_ERR_FORMAT, "%s and its record are of different rows", shard);
    if (!fv_index_head_same(&g->all.head, &r->head) || g->half != rows->half)
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s is of another model or of other numbers than the shards before it",
                       shard);
    size_t count = (size_t)g->all.count + (size_t)r->count;
    fv_record *more = realloc(g->all.at, count * sizeof *more);
    if (!more) return no_memory(shard);
    g->all.at = more;
    memcpy(more + g->all.count, r->at, (size_t)r->count * sizeof *more);
    g->all.count = (int)count;
    r->count = 0; /* their names are all's now */
    return FV_OK;
}

/* The records of a shard, and its rows opened. */
static fv_status open_shard(gathering *g, int i, char **shard, fv_row_file *rows)
{
    char *from = NULL;
    fv_records r = {.count = 0};
    *rows = (fv_row_file){.fd = -1};
    FV_TRY(fv_index_shard(shard, g->path, i, g->shards));
    fv_status s = fv_index_path(&from, *shard, ".from");
    if (s >= 0) s = fv_records_read(&r, from);
    if (s >= 0) s = fv_rows_open(rows, *shard);
    if (s >= 0) s = take_records(g, &r, rows, *shard);
    fv_records_clear(&r);
    free(from);
    return s;
}

static fv_status read_records(gathering *g)
{
    fv_status s = FV_OK;
    for (int i = 1; s >= 0 && i <= g->shards; i++) {
        char *shard = NULL;
        fv_row_file rows;
        s = open_shard(g, i, &shard, &rows);
        fv_rows_close(&rows);
        free(shard);
    }
    return s;
}

/* The bytes of the rows of a shard, as they are. */
static fv_status copy_rows(const gathering *g, int i, fv_file_writer *w, char *block)
{
    char *shard;
    fv_row_file r;
    FV_TRY(fv_index_shard(&shard, g->path, i, g->shards));
    fv_status s = fv_rows_open(&r, shard);
    uint64_t left = s < 0 ? 0 : (uint64_t)r.count * (uint64_t)r.dim * (r.half ? 2 : 4);
    for (uint64_t at = s < 0 ? 0 : r.offset; s >= 0 && left;) {
        size_t n = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        s = fv_fd_read(r.fd, at, block, n)
                ? fv_file_write(w, block, n)
                : fv_fail(FV_ERR_IO, "reading %s: it became shorter, or %s", shard,
                          strerror(errno));
        at += n;
        left -= n;
    }
    fv_rows_close(&r);
    free(shard);
    return s;
}

static fv_status put_in_place(gathering *g)
{
    fv_file_writer *w;
    char *next = NULL, *block = malloc(BLOCK_BYTES);
    fv_status s = block ? fv_index_path(&next, g->path, ".next") : no_memory(g->path);
    if (s >= 0) s = fv_file_begin(&w, g->path);
    if (s >= 0) {
        s = fv_index_write_header(w, &g->all.head, g->all.count, g->safetensors, g->half);
        for (int i = 1; s >= 0 && i <= g->shards; i++) s = copy_rows(g, i, w, block);
        if (s >= 0) s = fv_file_sync(w);
        if (s >= 0) s = fv_index_save_record(next, &g->all.head, g->all.at, g->all.count);
        s = fv_file_end(w, s);
    }
    if (s >= 0) s = fv_index_finish(g->path, &g->all.head, g->all.at, g->all.count);
    free(next);
    free(block);
    return s;
}

/* Whoever builds the index has the lock of PATH.part.txt. */
static fv_status gather_locked(gathering *g)
{
    char *log_path;
    fv_file_log *log;
    bool busy;
    FV_TRY(fv_index_path(&log_path, g->path, ".part.txt"));
    fv_status s = fv_file_log_open(&log, log_path, &busy);
    if (s >= 0 && busy)
        s = fv_fail(FV_ERR_IO, "index %s is being made by another program", g->path);
    if (s >= 0) s = put_in_place(g);
    if (log && fv_file_log_size(log) == 0) (void)fv_file_remove(log_path);
    fv_file_log_close(log);
    free(log_path);
    return s;
}

fv_status fv_index_gather(const char *path, int *shards, int *rows)
{
    const char *dot = ending_of(path);
    gathering g = {.path = path, .safetensors = strcmp(dot, ".safetensors") == 0};
    if (!g.safetensors && strcmp(dot, ".npy") != 0)
        return fv_fail(FV_ERR_ARGUMENT,
                       "index %s: expected a name that ends in .npy or .safetensors", path);
    FV_TRY(find_shards(&g));
    FV_TRY(check_shards(&g));
    fv_status s = read_records(&g);
    if (s >= 0) s = gather_locked(&g);
    *shards = g.shards;
    *rows = g.all.count;
    fv_records_clear(&g.all);
    return s;
}
