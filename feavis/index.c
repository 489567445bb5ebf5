/* Searching an index. See index.h; building one is in index_build.c. */
#include "feavis/index.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/model.h"

enum { BLOCK_BYTES = 16 << 20, MOST_QUERIES = 1024 };

struct fv_index {
    fv_npy *array; /* one of these two */
    fv_weights *weights;
    const fv_entry *rows;
    fv_list names;
};

static fv_status open_rows(fv_index *x, const char *path)
{
    size_t n = strlen(path);
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0) {
        FV_TRY(fv_npy_open(&x->array, path));
        x->rows = fv_npy_entry(x->array);
    } else {
        FV_TRY(fv_weights_open(&x->weights, path));
        x->rows = fv_weights_find(x->weights, "embeddings");
        if (!x->rows)
            return fv_fail(FV_ERR_FORMAT, "%s has no tensor \"embeddings\": it is no index", path);
    }
    const fv_entry *e = x->rows;
    bool dense = e->ndim == 2 && e->strides[1] == 1 && e->strides[0] == e->dims[1];
    if (!dense || (e->dtype != FV_FILE_F32 && e->dtype != FV_FILE_F16) || e->dims[0] < 1 ||
        e->dims[0] > 1 << 30 || e->dims[1] < 1 || e->dims[1] > 1 << 20)
        return fv_fail(FV_ERR_FORMAT, "%s holds no rows of F32 or F16: it is no index", path);
    return FV_OK;
}

static fv_status open_names(fv_index *x, const char *path)
{
    char *names;
    if (asprintf(&names, "%s.txt", path) < 0)
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    fv_status s = fv_list_names(&x->names, names);
    if (s >= 0 && x->names.count != x->rows->dims[0])
        s = fv_fail(FV_ERR_FORMAT, "%s has %d lines, but %s has %lld rows", names, x->names.count,
                    path, (long long)x->rows->dims[0]);
    free(names);
    return s;
}

fv_status fv_index_open(fv_index **out, const char *path)
{
    fv_index *x = calloc(1, sizeof *x);
    if (!x) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    fv_status s = open_rows(x, path);
    if (s >= 0) s = open_names(x, path);
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
    fv_npy_close(x->array);
    fv_weights_close(x->weights);
    fv_list_clear(&x->names);
    free(x);
}

int fv_index_count(const fv_index *x)
{
    return (int)x->rows->dims[0];
}

int fv_index_dim(const fv_index *x)
{
    return (int)x->rows->dims[1];
}

const char *fv_index_name(const fv_index *x, int i)
{
    return x->names.at[i];
}

/* --- search --- */

/* Keeps the k best of a query, largest first; later rows come after equal earlier ones. */
static void offer(fv_hit *hits, int k, int *found, int index, float score)
{
    if (*found == k && !(score > hits[k - 1].score)) return;
    int at = *found < k ? (*found)++ : k - 1;
    for (; at > 0 && score > hits[at - 1].score; at--) hits[at] = hits[at - 1];
    hits[at] = (fv_hit){index, score};
}

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
    fv_entry part = *s->x->rows;
    size_t dim = (size_t)part.dims[1], at = (size_t)first * dim;
    part.dims[0] = count;
    part.data = (const char *)part.data + at * (part.dtype == FV_FILE_F32 ? 4 : 2);
    if (count == s->block_rows && part.dtype == FV_FILE_F32)
        return fv_plan_upload(s->plan, s->rows, part.data);
    memset(s->block, 0, (size_t)s->block_rows * dim * sizeof *s->block);
    fv_entry_read_f32(&part, s->block);
    return fv_plan_upload(s->plan, s->rows, s->block);
}

static fv_status search_block(search *s, int first, int count)
{
    FV_TRY(load_block(s, first, count));
    FV_TRY(fv_plan_forward(s->plan));
    FV_TRY(fv_plan_download(s->plan, s->products, s->scores));
    for (int i = 0; i < count; i++)
        for (int q = 0; q < s->n; q++)
            offer(s->hits + (size_t)q * (size_t)s->k, s->k, &s->found[q], first + i,
                  s->scores[(size_t)i * (size_t)s->n + (size_t)q]);
    return FV_OK;
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
    if (n < 1 || n > MOST_QUERIES || k < 1)
        return fv_fail(FV_ERR_ARGUMENT,
                       "searching for %d texts and %d hits: expected 1 to %d "
                       "texts and 1 hit or more",
                       n, k, MOST_QUERIES);
    search s = {.x = x, .n = n, .k = k, .hits = hits};
    fv_status status = prepare(&s, m->backend, queries);
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
