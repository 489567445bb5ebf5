/* Embedding lists of pictures and texts. See embed.h.
 *
 * One forward-only plan with pixels {batch, S, S, 3}; while it runs, one thread decodes and
 * resizes the files of the next batch. */
#include "feavis/embed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/model.h"
#include "feavis/model.h"
#include "feavis/picture.h"

enum { LINE = 1024, SMALL_SIDE = 256, SMALL_BATCH = 8, LARGE_BATCH = 4 };

/* Pictures on their way into the network. */
typedef struct batch {
    const fv_model *model;
    char *const *paths;
    int count, side;
    float *pixels; /* [batch][S][S][3] */
    bool *read;
    char (*failures)[LINE];
} batch;

struct fv_embedder {
    fv_model *model;
    fv_plan *plan;
    fv_ref pixels, embedding;
    int size;      /* pictures a run */
    batch work[2]; /* one in the network, one being decoded */
    float *rows;   /* [size][dim] */
};

int fv_embedder_batch(const fv_embedder *e)
{
    return e->size;
}

static fv_status build(fv_embedder *e)
{
    int side = fv_model_image_size(e->model);
    FV_TRY(fv_plan_new(&e->plan, e->model->engine->backend));
    e->pixels = fv_plan_input(e->plan, "pixels", (fv_shape){e->size, side, side, 3}, FV_REAL);
    e->embedding = fv_network_image(e->model->network, e->plan, e->pixels, true).embedding;
    fv_plan_output(e->plan, e->embedding);
    return fv_plan_finish(e->plan, FV_PLAN_FORWARD);
}

fv_status fv_embedder_open(fv_embedder **out, fv_model *m, int size)
{
    int side = fv_model_image_size(m);
    if (size == 0) size = side <= SMALL_SIDE ? SMALL_BATCH : LARGE_BATCH;
    if (size < 1 || size > 1024)
        return fv_fail(FV_ERR_ARGUMENT, "batch %d, expected 1 to 1024 pictures", size);
    fv_embedder *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    e->model = m;
    e->size = size;
    size_t n = (size_t)size;
    bool ok = (e->rows = malloc(n * (size_t)fv_model_dim(m) * sizeof *e->rows)) != NULL;
    for (int i = 0; i < 2; i++) {
        batch *b = &e->work[i];
        b->side = side;
        b->model = m;
        b->pixels = calloc(n * (size_t)side * (size_t)side * 3, sizeof *b->pixels);
        b->read = malloc(n * sizeof *b->read);
        b->failures = malloc(n * sizeof *b->failures);
        ok = ok && b->pixels && b->read && b->failures;
    }
    fv_status s = ok ? build(e) : fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    if (s < 0) {
        fv_embedder_close(e);
        return s;
    }
    *out = e;
    return FV_OK;
}

void fv_embedder_close(fv_embedder *e)
{
    if (!e) return;
    fv_plan_free(e->plan);
    for (int i = 0; i < 2; i++) {
        free(e->work[i].pixels);
        free(e->work[i].read);
        free(e->work[i].failures);
    }
    free(e->rows);
    free(e);
}

static void *decode(void *context)
{
    batch *b = context;
    size_t floats = (size_t)b->side * (size_t)b->side * 3;
    for (int i = 0; i < b->count; i++) {
        fv_picture p;
        b->read[i] = fv_picture_read(&p, b->paths[i]) >= 0;
        if (b->read[i]) {
            b->read[i] = fv_model_look_at(b->model, &p, b->pixels + (size_t)i * floats) >= 0;
            fv_picture_free(&p);
        }
        if (!b->read[i]) { /* the message is this thread's own */
            snprintf(b->failures[i], sizeof b->failures[i], "%s", fv_error());
            memset(b->pixels + (size_t)i * floats, 0, floats * sizeof *b->pixels);
        }
    }
    return NULL;
}

/* One batch through the network. */
static fv_status run(fv_embedder *e, const batch *b, float *rows)
{
    size_t dim = (size_t)fv_model_dim(e->model);
    FV_TRY(fv_plan_upload(e->plan, e->pixels, b->pixels));
    FV_TRY(fv_plan_forward(e->plan));
    FV_TRY(fv_plan_download(e->plan, e->embedding, e->rows));
    memcpy(rows, e->rows, (size_t)b->count * dim * sizeof *rows);
    for (int i = 0; i < b->count; i++)
        if (!b->read[i]) memset(rows + (size_t)i * dim, 0, dim * sizeof *rows);
    return FV_OK;
}

static void take(batch *b, char *const *paths, int at, int count, int size)
{
    b->paths = paths + at;
    b->count = count - at < size ? count - at : size;
}

fv_status fv_embed_pictures(fv_embedder *e, char *const *paths, int count, float *rows, bool *read,
                            fv_embed_fn fn, void *user)
{
    size_t dim = (size_t)fv_model_dim(e->model);
    batch *now = &e->work[0], *next = &e->work[1];
    fv_status s = FV_OK;
    take(now, paths, 0, count, e->size);
    decode(now);
    for (int at = 0; s == FV_OK && at < count; at += e->size) {
        pthread_t thread;
        bool more = at + e->size < count;
        if (more) take(next, paths, at + e->size, count, e->size);
        bool beside = more && pthread_create(&thread, NULL, decode, next) == 0;
        s = run(e, now, rows + (size_t)at * dim);
        if (beside)
            pthread_join(thread, NULL);
        else if (more)
            decode(next);
        memcpy(read + at, now->read, (size_t)now->count * sizeof *read);
        bool go = true;
        int done = at + now->count;
        for (int i = 0; fn && s == FV_OK && i < now->count; i++)
            if (!now->read[i]) go = fn(user, done, count, now->failures[i]) && go;
        if (fn && s == FV_OK) go = fn(user, done, count, NULL) && go;
        if (s == FV_OK && !go && more) s = FV_CANCELLED;
        batch *swap = now;
        now = next;
        next = swap;
    }
    return s;
}

fv_status fv_embed_texts(fv_model *m, char *const *texts, int count, float *rows,
                         fv_text_report *reports, fv_embed_fn fn, void *user)
{
    size_t dim = (size_t)fv_model_dim(m);
    for (int i = 0; i < count; i++) {
        fv_status s =
            fv_model_embed_text(m, texts[i], rows + (size_t)i * dim, reports ? &reports[i] : NULL);
        if (s < 0) return fv_fail_context(s, "text %d", i + 1);
        if (fn && !fn(user, i + 1, count, NULL) && i + 1 < count) return FV_CANCELLED;
    }
    return FV_OK;
}

/* --- products --- */

enum { BLOCK_ROWS = 4096, BLOCK_COLUMNS = 1024 };

/* One block of columns: the rows come by in blocks of one size, the last filled up with zeros. */
static fv_status column_block(fv_model *m, const float *a, int n, const float *b, int width,
                              float *out, int stride)
{
    int dim = fv_model_dim(m), rows = n < BLOCK_ROWS ? n : BLOCK_ROWS;
    size_t d = (size_t)dim;
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, m->engine->backend));
    fv_ref x = fv_plan_input(p, "rows", (fv_shape){1, 1, rows, dim}, FV_REAL);
    fv_ref w = fv_plan_weight(p, "columns", (fv_shape){1, 1, width, dim}, b);
    fv_ref y = fv_linear(p, "products", x, w, FV_NONE, FV_ACT_NONE);
    fv_plan_output(p, y);
    float *block = malloc((size_t)rows * (d + (size_t)width) * sizeof *block);
    float *products = block ? block + (size_t)rows * d : NULL;
    fv_status s = block ? fv_plan_finish(p, FV_PLAN_FORWARD)
                        : fv_fail(FV_ERR_MEMORY, "similarities: out of memory");
    for (int at = 0; s >= 0 && at < n; at += rows) {
        int now = n - at < rows ? n - at : rows;
        memset(block, 0, (size_t)rows * d * sizeof *block);
        memcpy(block, a + (size_t)at * d, (size_t)now * d * sizeof *block);
        s = fv_plan_upload(p, x, block);
        if (s >= 0) s = fv_plan_forward(p);
        if (s >= 0) s = fv_plan_download(p, y, products);
        for (int i = 0; s >= 0 && i < now; i++)
            memcpy(out + (size_t)(at + i) * (size_t)stride, products + (size_t)i * (size_t)width,
                   (size_t)width * sizeof *out);
    }
    free(block);
    fv_plan_free(p);
    return s;
}

fv_status fv_similarities(fv_model *m, const float *a, int n, const float *b, int k, float *out)
{
    size_t d = (size_t)fv_model_dim(m);
    for (int at = 0; n > 0 && at < k; at += BLOCK_COLUMNS) {
        int width = k - at < BLOCK_COLUMNS ? k - at : BLOCK_COLUMNS;
        FV_TRY(column_block(m, a, n, b + (size_t)at * d, width, out + at, k));
    }
    return FV_OK;
}
