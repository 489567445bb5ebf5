/* Searching an index. See index.h; building one is in index_build.c. */
#include "feavis/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "feavis/imagine/model.h"
#include "feavis/names.h"
#include "feavis/search/index_inside.h"
#include "model/files/files_internal.h"
#include "model/files/read_file.h"

enum { BLOCK_BYTES = 16 << 20, MAX_QUERIES = 1024, TRIES = 50, PAUSE_MS = 100 };

struct fv_index {
    char *path;
    fv_row_file rows;
    fv_index_head head; /* of the record; of an index without one, what the rows say */
    fv_list names;
};

/* --- opening --- */

/* One name a line, in any bytes but LF. */
static fv_status read_names(fv_list *out, const char *path)
{
    unsigned char *text;
    size_t size;
    FV_TRY(fv_read_file(&text, &size, path, "list", FV_MAX_RECORD_BYTES));
    fv_status s = FV_OK;
    char *at = (char *)text, *end = at + size, *stop;
    for (; s >= 0 && at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end; /* a zero stands there */
        *stop = 0;
        fv_name_unescape(at);
        s = fv_list_add(out, at);
    }
    free(text);
    return s;
}

/* Indexes of earlier versions have no record, and their names are as they are. */
static fv_status open_names(fv_index *x, const char *names, const char *from)
{
    fv_records record;
    if (access(from, F_OK) != 0) {
        FV_TRY(fv_list_names(&x->names, names));
        memcpy(x->head.model, x->rows.model, sizeof x->head.model);
        memcpy(x->head.title, x->rows.title, sizeof x->head.title);
    } else {
        FV_TRY(read_names(&x->names, names));
        FV_TRY(fv_records_read(&record, from));
        x->head = record.head;
        int count = record.count;
        fv_records_clear(&record);
        if (count != x->rows.count || x->head.dim != x->rows.dim)
            return fv_fail(FV_ERR_FORMAT, "%s is of %d rows of %d numbers, %s has %d of %d", from,
                           count, x->head.dim, x->path, x->rows.count, x->rows.dim);
    }
    if (x->names.count != x->rows.count)
        return fv_fail(FV_ERR_FORMAT, "%s has %d lines, but %s has %d rows", names, x->names.count,
                       x->path, x->rows.count);
    return FV_OK;
}

static void clear(fv_index *x)
{
    fv_rows_close(&x->rows);
    fv_list_clear(&x->names);
}

/* Whether somebody has the lock of PATH.part.txt. */
static bool being_built(const char *part)
{
    int fd = fv_fd_open(part, O_RDONLY | O_NONBLOCK, 0);
    bool busy = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    return busy;
}

typedef struct parts {
    char *names, *from, *next, *part;
} parts;

/* Opens the files. Those of one index and another one cannot come together: the rows are replaced
 * first, while PATH.next stands. *mixed: it stands, or they were replaced meanwhile. */
static fv_status open_once(fv_index *x, const parts *p, bool *mixed)
{
    struct stat st;
    fv_status s = fv_rows_open(&x->rows, x->path);
    if (s >= 0) s = open_names(x, p->names, p->from);
    *mixed = access(p->next, F_OK) == 0 ||
             (x->rows.fd >= 0 && stat(x->path, &st) == 0 && st.st_ino != x->rows.file.st_ino);
    return s;
}

static fv_status open_whole(fv_index *x, const parts *p)
{
    bool mixed;
    fv_status s = open_once(x, p, &mixed);
    for (int i = 0; mixed && i < TRIES && being_built(p->part); i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        clear(x);
        s = open_once(x, p, &mixed);
    }
    if (mixed)
        return fv_fail(FV_ERR_IO,
                       "index %s is being replaced, or that was interrupted: the same embed "
                       "command finishes it",
                       x->path);
    if (s < 0 && access(x->path, F_OK) != 0 && access(p->part, F_OK) == 0)
        return fv_fail(FV_ERR_IO,
                       "index %s is not finished: an embed command is at work, or was interrupted "
                       "and goes on when it is given again",
                       x->path);
    return s;
}

fv_status fv_index_open(fv_index **out, const char *path)
{
    fv_index *x = calloc(1, sizeof *x);
    if (!x) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    parts p = {NULL, NULL, NULL, NULL};
    x->rows.fd = -1;
    x->path = strdup(path);
    fv_status s = x->path ? FV_OK : fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    if (s >= 0) s = fv_index_path(&p.names, path, ".txt");
    if (s >= 0) s = fv_index_path(&p.from, path, ".from");
    if (s >= 0) s = fv_index_path(&p.next, path, ".next");
    if (s >= 0) s = fv_index_path(&p.part, path, ".part.txt");
    if (s >= 0) s = open_whole(x, &p);
    free(p.names);
    free(p.from);
    free(p.next);
    free(p.part);
    if (s < 0) {
        fv_index_close(x);
        return s;
    }
    *out = x;
    return FV_OK;
}

void fv_index_close(fv_index *x)
{
    if (!x) return;
    clear(x);
    free(x->path);
    free(x);
}

const fv_row_file *fv_index_rows(const fv_index *x, const char **path)
{
    *path = x->path;
    return &x->rows;
}

int fv_index_count(const fv_index *x)
{
    return x->rows.count;
}

int fv_index_dim(const fv_index *x)
{
    return x->rows.dim;
}

const char *fv_index_name(const fv_index *x, int i)
{
    return x->names.at[i];
}

/* The rows of an index that names no model may be of this one if they are as long. */
fv_status fv_index_check(const fv_index *x, const fv_model *m)
{
    const fv_index_head *h = &x->head;
    fv_index_head asked;
    fv_index_head_of(&asked, m);
    if (*h->model && strcmp(h->model, asked.model) != 0)
        return fv_fail(FV_ERR_ARGUMENT,
                       "index %s is of the model %s%s%s, not of %s %s: make it again, or search "
                       "with the model it is of",
                       x->path, h->title, *h->title ? " " : "", h->model, asked.title, asked.model);
    if (x->rows.dim == asked.dim) return FV_OK;
    return fv_fail(FV_ERR_SHAPE,
                   "index %s has rows of %d numbers, those of %s have %d: it is of another model",
                   x->path, x->rows.dim, asked.title, asked.dim);
}

/* --- search --- */

typedef struct search {
    const fv_index *x;
    fv_plan *plan;
    fv_ref rows, products;
    float *block, *scores; /* [rows of a block][dim], [rows of a block][n] */
    int block_rows, n, k;
    int *found; /* [n] */
    fv_hit *hits;
} search;

/* Rows first .. first + count of the file, filled up to a whole block. */
static fv_status load_block(search *s, int first, int count)
{
    size_t dim = (size_t)s->x->rows.dim;
    FV_TRY(fv_rows_read(&s->x->rows, s->x->path, first, count, s->block));
    if (count < s->block_rows)
        memset(s->block + (size_t)count * dim, 0,
               (size_t)(s->block_rows - count) * dim * sizeof *s->block);
    return fv_plan_upload(s->plan, s->rows, s->block);
}

static fv_status search_block(search *s, int first, int count)
{
    FV_TRY(load_block(s, first, count));
    FV_TRY(fv_plan_forward(s->plan));
    FV_TRY(fv_plan_download(s->plan, s->products, s->scores));
    for (int i = 0; i < count; i++)
        for (int q = 0; q < s->n; q++)
            fv_top_offer(s->hits + (size_t)q * (size_t)s->k, s->k, &s->found[q], first + i,
                         s->scores[(size_t)i * (size_t)s->n + (size_t)q]);
    return FV_OK;
}

/* A weight of a guide is one of its part of a query. Caller frees. */
static fv_status weigh_queries(float **out, const fv_model *m, const float *queries, int n)
{
    size_t dim = (size_t)fv_embed_dim(m), count = (size_t)n * dim;
    float *weights = malloc(dim * sizeof *weights), *q = malloc(count * sizeof *q);
    fv_status s = weights && q ? fv_embed_weights(m, weights)
                               : fv_fail(FV_ERR_MEMORY, "searching an index: out of memory");
    for (size_t i = 0; s >= 0 && i < count; i++) q[i] = queries[i] * weights[i % dim];
    free(weights);
    if (s < 0)
        free(q);
    else
        *out = q;
    return s;
}

static fv_status prepare(search *s, fv_backend *be, const float *queries)
{
    int dim = fv_index_dim(s->x), count = fv_index_count(s->x);
    int fit = BLOCK_BYTES / (4 * dim);
    s->block_rows = fit < 1 ? 1 : fit < count ? fit : count;
    s->block = malloc((size_t)s->block_rows * (size_t)dim * sizeof *s->block);
    s->scores = malloc((size_t)s->block_rows * (size_t)s->n * sizeof *s->scores);
    s->found = calloc((size_t)s->n, sizeof *s->found);
    if (!s->block || !s->scores || !s->found)
        return fv_fail(FV_ERR_MEMORY, "searching an index: out of memory");
    FV_TRY(fv_plan_new(&s->plan, be));
    s->rows = fv_plan_input(s->plan, "rows", (fv_shape){1, 1, s->block_rows, dim}, FV_REAL);
    fv_ref w = fv_plan_weight(s->plan, "queries", (fv_shape){1, 1, s->n, dim}, queries);
    s->products = fv_linear(s->plan, "products", s->rows, w, FV_NONE, FV_ACT_NONE);
    fv_plan_output(s->plan, s->products);
    return fv_plan_finish(s->plan, FV_PLAN_FORWARD);
}

fv_status fv_index_search(const fv_index *x, fv_model *m, const float *queries, int n, int k,
                          fv_hit *hits, int *found)
{
    if (n < 1 || n > MAX_QUERIES || k < 1)
        return fv_fail(FV_ERR_ARGUMENT,
                       "searching for %d texts and %d hits: expected 1 to %d "
                       "texts and 1 hit or more",
                       n, k, MAX_QUERIES);
    FV_TRY(fv_index_check(x, m));
    float *weighted;
    FV_TRY(weigh_queries(&weighted, m, queries, n));
    search s = {.x = x, .n = n, .k = k, .hits = hits};
    fv_status status = prepare(&s, m->engine->backend, weighted);
    free(weighted);
    int count = fv_index_count(x);
    for (int at = 0; status >= 0 && at < count; at += s.block_rows)
        status = search_block(&s, at, count - at < s.block_rows ? count - at : s.block_rows);
    if (status >= 0) *found = k < count ? k : count;
    fv_plan_free(s.plan);
    free(s.block);
    free(s.scores);
    free(s.found);
    return status;
}
