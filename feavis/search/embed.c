/* Embedding lists of pictures and texts. See embed.h.
 *
 * A forward-only plan for each guide, with pixels {batch, S, S, 3}, all in one arena; while they
 * run, one thread decodes the files of the next batch, each once, and resizes them for every guide.
 */
#include "feavis/embed.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/model.h"
#include "feavis/model.h"
#include "feavis/picture.h"

enum { LINE = 1024, SMALL_SIDE = 256, SMALL_BATCH = 8, LARGE_BATCH = 4 };

/* Pictures on their way into the networks. */
typedef struct batch {
    fv_model *model;
    char *const *paths;
    int count;
    float *pixels[FV_MAX_GUIDES]; /* [batch][S][S][3] */
    bool *read;
    char (*failures)[LINE];
} batch;

/* The image tower of one guide. */
typedef struct tower {
    fv_plan *plan;
    fv_ref pixels, embedding;
    float *rows; /* [size][dim] */
} tower;

struct fv_embedder {
    fv_model *model;
    tower towers[FV_MAX_GUIDES];
    int size;      /* pictures a run */
    batch work[2]; /* one in the networks, one being decoded */
};

int fv_embed_dim(const fv_model *m)
{
    int dim = 0;
    for (int g = 0; g < m->guide_count; g++) dim += fv_model_dim(m->guides[g]);
    return dim;
}

int fv_embedder_batch(const fv_embedder *e)
{
    return e->size;
}

static size_t floats_of(const fv_model *guide)
{
    size_t side = (size_t)fv_model_image_size(guide);
    return side * side * 3;
}

static fv_status build(fv_embedder *e, int guide)
{
    tower *t = &e->towers[guide];
    const fv_model *m = e->model->guides[guide];
    int side = fv_model_image_size(m);
    size_t n = (size_t)e->size;
    for (int i = 0; i < 2; i++)
        if (!(e->work[i].pixels[guide] = calloc(n * floats_of(m), sizeof(float))))
            return fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    t->rows = malloc(n * (size_t)fv_model_dim(m) * sizeof *t->rows);
    if (!t->rows) return fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    FV_TRY(fv_plan_new(&t->plan, e->model->engine->backend));
    t->pixels = fv_plan_input(t->plan, "pixels", (fv_shape){e->size, side, side, 3}, FV_REAL);
    t->embedding = fv_network_image(m->network, t->plan, t->pixels, true).embedding;
    fv_plan_output(t->plan, t->embedding);
    return fv_plan_finish(t->plan, FV_PLAN_FORWARD);
}

/* They run one after the other, so all lie in the arena of the largest. */
static fv_status share_arena(fv_embedder *e)
{
    int count = e->model->guide_count, most = 0;
    size_t bytes[FV_MAX_GUIDES];
    for (int g = 0; g < count; g++) {
        bytes[g] = fv_plan_describe(e->towers[g].plan).arena_bytes;
        if (bytes[g] > bytes[most]) most = g;
    }
    for (int g = 0; g < count; g++)
        if (g != most) FV_TRY(fv_plan_borrow_arena(e->towers[g].plan, e->towers[most].plan));
    return FV_OK;
}

/* Pictures a run that suit the largest of the guides. */
static int usual_size(const fv_model *m)
{
    int side = 0;
    for (int g = 0; g < m->guide_count; g++)
        if (fv_model_image_size(m->guides[g]) > side) side = fv_model_image_size(m->guides[g]);
    return side <= SMALL_SIDE ? SMALL_BATCH : LARGE_BATCH;
}

fv_status fv_embedder_open(fv_embedder **out, fv_model *m, int size)
{
    if (size == 0) size = usual_size(m);
    if (size < 1 || size > 1024)
        return fv_fail(FV_ERR_ARGUMENT, "batch %d, expected 1 to 1024 pictures", size);
    fv_embedder *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    e->model = m;
    e->size = size;
    size_t n = (size_t)size;
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        batch *b = &e->work[i];
        b->model = m;
        b->read = malloc(n * sizeof *b->read);
        b->failures = malloc(n * sizeof *b->failures);
        ok = ok && b->read && b->failures;
    }
    fv_status s = ok ? FV_OK : fv_fail(FV_ERR_MEMORY, "opening the image tower: out of memory");
    for (int g = 0; s >= 0 && g < m->guide_count; g++) s = build(e, g);
    if (s >= 0) s = share_arena(e);
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
    for (int g = 0; g < FV_MAX_GUIDES; g++) {
        fv_plan_free(e->towers[g].plan);
        free(e->towers[g].rows);
        for (int i = 0; i < 2; i++) free(e->work[i].pixels[g]);
    }
    for (int i = 0; i < 2; i++) {
        free(e->work[i].read);
        free(e->work[i].failures);
    }
    free(e);
}

static fv_status decode_one(batch *b, int i)
{
    fv_picture p;
    FV_TRY(fv_picture_read(&p, b->paths[i]));
    fv_status s = FV_OK;
    for (int g = 0; s >= 0 && g < b->model->guide_count; g++) {
        const fv_model *m = b->model->guides[g];
        s = fv_model_look_at(m, &p, b->pixels[g] + (size_t)i * floats_of(m));
    }
    fv_picture_free(&p);
    return s;
}

static void *decode(void *context)
{
    batch *b = context;
    for (int i = 0; i < b->count; i++) {
        b->read[i] = decode_one(b, i) >= 0;
        if (b->read[i]) continue;
        /* the message is this thread's own */
        snprintf(b->failures[i], sizeof b->failures[i], "%s", fv_error());
        for (int g = 0; g < b->model->guide_count; g++) {
            size_t floats = floats_of(b->model->guides[g]);
            memset(b->pixels[g] + (size_t)i * floats, 0, floats * sizeof(float));
        }
    }
    return NULL;
}

/* One batch through a network, into columns of rows [count][stride]. */
static fv_status run_tower(fv_embedder *e, int guide, const batch *b, float *rows, size_t stride)
{
    tower *t = &e->towers[guide];
    size_t dim = (size_t)fv_model_dim(e->model->guides[guide]);
    FV_TRY(fv_plan_upload(t->plan, t->pixels, b->pixels[guide]));
    FV_TRY(fv_plan_forward(t->plan));
    FV_TRY(fv_plan_download(t->plan, t->embedding, t->rows));
    for (size_t i = 0; i < (size_t)b->count; i++)
        if (b->read[i])
            memcpy(rows + i * stride, t->rows + i * dim, dim * sizeof *rows);
        else
            memset(rows + i * stride, 0, dim * sizeof *rows);
    return FV_OK;
}

static fv_status run(fv_embedder *e, const batch *b, float *rows)
{
    size_t stride = (size_t)fv_embed_dim(e->model), at = 0;
    for (int g = 0; g < e->model->guide_count; g++) {
        FV_TRY(run_tower(e, g, b, rows + at, stride));
        at += (size_t)fv_model_dim(e->model->guides[g]);
    }
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
    size_t dim = (size_t)fv_embed_dim(e->model);
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
    for (int i = 0; i < count; i++) {
        for (int g = 0; g < m->guide_count; g++) {
            fv_text_report *report =
                reports ? &reports[(size_t)g * (size_t)count + (size_t)i] : NULL;
            fv_status s = fv_model_embed_text(m->guides[g], texts[i], rows, report);
            if (s < 0) return fv_fail_context(s, "text %d", i + 1);
            rows += fv_model_dim(m->guides[g]);
        }
        if (fn && !fn(user, i + 1, count, NULL) && i + 1 < count) return FV_CANCELLED;
    }
    return FV_OK;
}

/* --- products --- */

enum { BLOCK_ROWS = 4096, BLOCK_COLUMNS = 1024 };

/* Numbers `first` to first + dim of rows that are `stride` apart. */
typedef struct columns {
    size_t stride, first, dim;
} columns;

/* Each part of `to` [count][dim] times the weight of its guide; NULL: as they are. */
static void pack(float *to, const float *from, int count, columns c, const float *scale)
{
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t k = 0; k < c.dim; k++) {
            float x = from[i * c.stride + c.first + k];
            to[i * c.dim + k] = scale ? x * scale[k] : x;
        }
}

/* One block of columns: the rows come by in blocks of one size, the last filled up with zeros. */
static fv_status column_block(fv_model *m, const float *a, int n, const float *b, int width,
                              columns c, float *out, int stride)
{
    int rows = n < BLOCK_ROWS ? n : BLOCK_ROWS, dim = (int)c.dim;
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, m->engine->backend));
    fv_ref x = fv_plan_input(p, "rows", (fv_shape){1, 1, rows, dim}, FV_REAL);
    fv_ref w = fv_plan_weight(p, "columns", (fv_shape){1, 1, width, dim}, b);
    fv_ref y = fv_linear(p, "products", x, w, FV_NONE, FV_ACT_NONE);
    fv_plan_output(p, y);
    float *block = malloc((size_t)rows * (c.dim + (size_t)width) * sizeof *block);
    float *products = block ? block + (size_t)rows * c.dim : NULL;
    fv_status s = block ? fv_plan_finish(p, FV_PLAN_FORWARD)
                        : fv_fail(FV_ERR_MEMORY, "similarities: out of memory");
    for (int at = 0; s >= 0 && at < n; at += rows) {
        int now = n - at < rows ? n - at : rows;
        memset(block, 0, (size_t)rows * c.dim * sizeof *block);
        pack(block, a + (size_t)at * c.stride, now, c, NULL);
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

static fv_status multiply(fv_model *m, columns c, const float *scale, const float *a, int n,
                          const float *b, int k, float *out)
{
    size_t most = (size_t)(k < BLOCK_COLUMNS ? k : BLOCK_COLUMNS);
    float *block = malloc((most + 1) * c.dim * sizeof *block);
    fv_status s = block ? FV_OK : fv_fail(FV_ERR_MEMORY, "similarities: out of memory");
    for (int at = 0; s >= 0 && n > 0 && at < k; at += BLOCK_COLUMNS) {
        int width = k - at < BLOCK_COLUMNS ? k - at : BLOCK_COLUMNS;
        pack(block, b + (size_t)at * c.stride, width, c, scale);
        s = column_block(m, a, n, block, width, c, out + at, k);
    }
    free(block);
    return s;
}

fv_status fv_embed_weights(const fv_model *m, float *out)
{
    float weights[FV_MAX_GUIDES], total = 0;
    for (int g = 0; g < m->guide_count; g++) {
        weights[g] = m->guide_count > 1 ? fv_options_guide_weight(m->opened, g) : 1;
        total += fabsf(weights[g]);
    }
    if (!(total > 0))
        return fv_fail(FV_ERR_ARGUMENT, "the weights of all %d models are 0", m->guide_count);
    for (int g = 0; g < m->guide_count; g++)
        for (int k = fv_model_dim(m->guides[g]); k > 0; k--) *out++ = weights[g] / total;
    return FV_OK;
}

fv_status fv_similarities(fv_model *m, const float *a, int n, const float *b, int k, float *out)
{
    size_t dim = (size_t)fv_embed_dim(m);
    columns all = {dim, 0, dim};
    if (m->guide_count == 1) return multiply(m, all, NULL, a, n, b, k, out);
    float *scale = malloc(dim * sizeof *scale);
    fv_status s =
        scale ? fv_embed_weights(m, scale) : fv_fail(FV_ERR_MEMORY, "similarities: out of memory");
    if (s >= 0) s = multiply(m, all, scale, a, n, b, k, out);
    free(scale);
    return s;
}

fv_status fv_similarities_of(fv_model *m, int guide, const float *a, int n, const float *b, int k,
                             float *out)
{
    columns c = {(size_t)fv_embed_dim(m), 0, (size_t)fv_model_dim(m->guides[guide])};
    for (int g = 0; g < guide; g++) c.first += (size_t)fv_model_dim(m->guides[g]);
    return multiply(m, c, NULL, a, n, b, k, out);
}
