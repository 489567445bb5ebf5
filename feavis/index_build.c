/* Building an index so that an interruption costs one batch. See index.h.
 *
 *   PATH.part       room for a .npy header, then rows of float as they are finished
 *   PATH.part.txt   what model and settings; then a line a picture: "+path" has a row, "-path"
 *                   could not be read
 *
 * Rows are written before their lines, so after a crash the lines say what is whole. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feavis/index.h"
#include "feavis/model.h"
#include "feavis/read_file.h"
#include "model/file_map.h"
#include "model/files.h"

enum { HEADER = FV_NPY_MATRIX_HEADER, MOST_LIST_BYTES = 1 << 30, HEAD_BYTES = 256 };

typedef struct builder {
    const char *path;
    fv_model *m;
    const fv_list *pictures;
    char *part, *list, *names; /* PATH.part, PATH.part.txt, PATH.txt */
    char head[HEAD_BYTES];     /* first line of PATH.part.txt */
    FILE *rows, *lines;
    int done, kept; /* pictures; of them with a row */
    fv_embed_fn fn;
    void *user;
} builder;

static size_t row_bytes(const builder *b)
{
    return (size_t)fv_model_dim(b->m) * sizeof(float);
}

static fv_status io_failed(const char *what, const char *path)
{
    return fv_fail(FV_ERR_IO, "%s %s: %s", what, path, strerror(errno));
}

/* --- going on from an earlier run --- */

static fv_status other_run(const builder *b, const char *why)
{
    return fv_fail(FV_ERR_ARGUMENT, "%s is of %s: delete it and its .txt, or write to another file",
                   b->part, why);
}

/* Counts the lines that agree with the list of pictures; *used: bytes of whole lines. */
static fv_status read_lines(builder *b, char *text, size_t size, size_t *used)
{
    char *at = text, *end = text + size, *stop = memchr(at, '\n', size);
    if (!stop) return FV_OK; /* not even the head was written */
    *stop = 0;
    if (strcmp(at, b->head) != 0) return other_run(b, "another model or other settings");
    at = stop + 1;
    while (at < end && (stop = memchr(at, '\n', (size_t)(end - at)))) {
        *stop = 0;
        if (b->done == b->pictures->count || (*at != '+' && *at != '-') ||
            strcmp(at + 1, b->pictures->at[b->done]) != 0)
            return other_run(b, "another list of pictures");
        b->kept += *at == '+';
        b->done++;
        at = stop + 1;
    }
    *used = (size_t)(at - text);
    return FV_OK;
}

static fv_status find_earlier(builder *b, size_t *used)
{
    struct stat st;
    *used = 0;
    if (access(b->list, F_OK) != 0 || stat(b->part, &st) != 0) return FV_OK;
    unsigned char *text;
    size_t size;
    if (stat(b->list, &st) == 0 && st.st_size == 0) return FV_OK;
    FV_TRY(fv_read_file(&text, &size, b->list, "list", MOST_LIST_BYTES));
    fv_status s = read_lines(b, (char *)text, size, used);
    free(text);
    if (s >= 0 && *used && stat(b->part, &st) == 0 &&
        (size_t)st.st_size < HEADER + (size_t)b->kept * row_bytes(b))
        s = other_run(b, "fewer rows than its .txt says");
    return s;
}

static fv_status open_at(FILE **out, const char *path, size_t size)
{
    *out = fopen(path, size ? "r+b" : "wb");
    if (!*out) return io_failed("writing", path);
    if (ftruncate(fileno(*out), (off_t)size) != 0 || fseeko(*out, (off_t)size, SEEK_SET) != 0)
        return io_failed("writing", path);
    return FV_OK;
}

static fv_status begin(builder *b)
{
    size_t used;
    FV_TRY(find_earlier(b, &used));
    FV_TRY(open_at(&b->rows, b->part, used ? HEADER + (size_t)b->kept * row_bytes(b) : 0));
    FV_TRY(open_at(&b->lines, b->list, used));
    if (used) return FV_OK;
    static const char room[HEADER];
    if (fwrite(room, 1, HEADER, b->rows) != HEADER || fflush(b->rows) != 0)
        return io_failed("writing", b->part);
    if (fprintf(b->lines, "%s\n", b->head) < 0 || fflush(b->lines) != 0)
        return io_failed("writing", b->list);
    return FV_OK;
}

/* --- embedding --- */

static fv_status keep_batch(builder *b, char *const *paths, int count, const float *rows,
                            const bool *read)
{
    size_t dim = (size_t)fv_model_dim(b->m);
    for (int i = 0; i < count; i++)
        if (read[i] && fwrite(rows + (size_t)i * dim, row_bytes(b), 1, b->rows) != 1)
            return io_failed("writing", b->part);
    if (fflush(b->rows) != 0) return io_failed("writing", b->part);
    for (int i = 0; i < count; i++)
        if (fprintf(b->lines, "%c%s\n", read[i] ? '+' : '-', paths[i]) < 0)
            return io_failed("writing", b->list);
    if (fflush(b->lines) != 0) return io_failed("writing", b->list);
    for (int i = 0; i < count; i++) b->kept += read[i];
    b->done += count;
    return FV_OK;
}

/* Counts of one piece of the list are shown as counts of the whole. */
static bool pass_on(void *user, int done, int count, const char *failure)
{
    const builder *b = user;
    (void)count;
    return !b->fn || b->fn(b->user, b->done + done, b->pictures->count, failure);
}

/* Pieces of a few batches, so that decoding goes on beside the network within each. */
static fv_status embed_all(builder *b, int batch)
{
    enum { BATCHES = 8 };
    fv_embedder *e;
    if (b->done == b->pictures->count) return FV_OK;
    FV_TRY(fv_embedder_open(&e, b->m, batch));
    int piece = BATCHES * fv_embedder_batch(e);
    float *rows = malloc((size_t)piece * row_bytes(b));
    bool *read = malloc((size_t)piece * sizeof *read);
    fv_status s = rows && read ? FV_OK : fv_fail(FV_ERR_MEMORY, "embedding: out of memory");
    while (s == FV_OK && b->done < b->pictures->count) {
        char *const *paths = b->pictures->at + b->done;
        int left = b->pictures->count - b->done, count = left < piece ? left : piece;
        s = fv_embed_pictures(e, paths, count, rows, read, pass_on, b);
        if (s == FV_OK) s = keep_batch(b, paths, count, rows, read);
    }
    free(rows);
    free(read);
    fv_embedder_close(e);
    return s;
}

/* --- the end --- */

static fv_status save_names(const builder *b)
{
    fv_file_writer *w;
    unsigned char *text;
    size_t size;
    FV_TRY(fv_read_file(&text, &size, b->list, "list", MOST_LIST_BYTES));
    fv_status s = fv_file_begin(&w, b->names);
    char *at = (char *)text, *end = at + size, *stop;
    for (; s >= 0 && at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1)
        if (*at == '+') s = fv_file_write(w, at + 1, (size_t)(stop - at));
    if (s >= 0)
        s = fv_file_commit(w);
    else
        fv_file_abandon(w);
    free(text);
    return s;
}

static fv_status finish_npy(builder *b)
{
    char header[HEADER];
    fv_npy_matrix_header(header, b->kept, fv_model_dim(b->m));
    if (fseeko(b->rows, 0, SEEK_SET) != 0 || fwrite(header, 1, HEADER, b->rows) != HEADER ||
        fflush(b->rows) != 0 || fsync(fileno(b->rows)) != 0 || rename(b->part, b->path) != 0)
        return io_failed("writing", b->path);
    return FV_OK;
}

static fv_status finish_safetensors(builder *b, bool half)
{
    fv_file_map map;
    FV_TRY(fv_file_map_open(&map, b->part));
    fv_save_entry e = {.name = "embeddings",
                       .dtype = half ? FV_FILE_F16 : FV_FILE_F32,
                       .ndim = 2,
                       .dims = {b->kept, fv_model_dim(b->m)},
                       .data = map.data + HEADER};
    const char *metadata[] = {"model", fv_model_title(b->m), "weights", fv_model_fingerprint(b->m),
                              NULL};
    fv_status s = fv_weights_save(b->path, &e, 1, metadata);
    fv_file_map_close(&map);
    if (s >= 0) unlink(b->part);
    return s;
}

static fv_status finish(builder *b, bool safetensors, bool half)
{
    if (b->kept == 0)
        return fv_fail(FV_ERR_FORMAT, "none of the %d pictures could be read: no index was made",
                       b->done);
    FV_TRY(save_names(b));
    FV_TRY(safetensors ? finish_safetensors(b, half) : finish_npy(b));
    unlink(b->list);
    return FV_OK;
}

static fv_status check_kind(const char *path, bool half, bool *safetensors)
{
    const char *dot = strrchr(path, '.');
    *safetensors = dot && strcmp(dot, ".safetensors") == 0;
    if (!*safetensors && (!dot || strcmp(dot, ".npy") != 0))
        return fv_fail(FV_ERR_ARGUMENT,
                       "index %s: expected a name that ends in .npy or "
                       ".safetensors",
                       path);
    if (half && !*safetensors)
        return fv_fail(FV_ERR_ARGUMENT, "index %s: 16-bit rows need a .safetensors", path);
    return FV_OK;
}

fv_status fv_index_build(const char *path, fv_model *m, const fv_list *pictures, int batch,
                         bool half, int *resumed, fv_embed_fn fn, void *user)
{
    builder b = {.path = path, .m = m, .pictures = pictures, .fn = fn, .user = user};
    bool safetensors, named;
    FV_TRY(check_kind(path, half, &safetensors));
    snprintf(b.head, sizeof b.head, "feavis index, model %s, image size %d, dim %d",
             fv_model_fingerprint(m), fv_model_image_size(m), fv_model_dim(m));
    named = asprintf(&b.part, "%s.part", path) >= 0;
    named = asprintf(&b.list, "%s.part.txt", path) >= 0 && named;
    named = asprintf(&b.names, "%s.txt", path) >= 0 && named;
    fv_status s = named ? begin(&b) : fv_fail(FV_ERR_MEMORY, "embedding: out of memory");
    if (s >= 0 && resumed) *resumed = b.done;
    if (s >= 0) s = embed_all(&b, batch);
    if (s == FV_OK) s = finish(&b, safetensors, half);
    if (b.rows) fclose(b.rows);
    if (b.lines) fclose(b.lines);
    if (named) {
        free(b.part);
        free(b.list);
        free(b.names);
    }
    return s;
}
