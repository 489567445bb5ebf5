/* Building an index so that an interruption costs a few batches, and one more picture costs one
 * picture. See index.h, and index_inside.h for the files.
 *
 * Rows are appended to PATH.part before their lines to PATH.part.txt, in whatever order they are
 * made; the list of pictures, with rows from there or from the index before, gives the order of
 * the new one. It is put in place like this, so that whatever stops it, the files tell how far it
 * came: the rows are written and synced; PATH.next appears, the record of the new rows; the rows
 * get the name PATH; PATH.txt and PATH.from are written; PATH.next goes, then the .part files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "feavis/imagine/model.h"
#include "feavis/names.h"
#include "feavis/search/index_inside.h"
#include "model/files/file_log.h"
#include "model/files/files.h"
#include "model/files/yaml.h"

enum source { NOWHERE, IN_INDEX, IN_PART };

/* A picture of the list. */
typedef struct wanted {
    enum source source;
    int row; /* there */
    long long size, mtime;
} wanted;

typedef struct builder {
    const char *path;
    fv_model *m;
    const fv_list *pictures;
    bool safetensors, half;
    fv_index_head head;
    char *part, *log, *names, *from, *next;
    fv_file_log *rows, *lines; /* PATH.part, PATH.part.txt */
    int part_rows;
    fv_row_file index;  /* the one before; fd -1: there is none to take rows from */
    fv_records records; /* of it, by name */
    wanted *wanted;     /* [pictures->count] */
    int *todo;          /* those without a row */
    int todo_count, done, kept;
    fv_embed_fn fn;
    void *user;
} builder;

static size_t row_bytes(const builder *b)
{
    return (size_t)fv_embed_dim(b->m) * sizeof(float);
}

static uint32_t crc_of(const float *row, size_t bytes)
{
    return (uint32_t)crc32(0, (const Bytef *)row, (uInt)bytes);
}

static fv_status no_memory(void)
{
    return fv_fail(FV_ERR_MEMORY, "embedding: out of memory");
}

/* --- what is there already --- */

static int by_name(const void *a, const void *b)
{
    const fv_record *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static void sort(fv_records *r)
{
    if (r->count) qsort(r->at, (size_t)r->count, sizeof *r->at, by_name);
}

/* The row of that file as it is now; NULL: there is none. */
static const fv_record *find(const fv_records *r, const char *name, const wanted *w)
{
    int low = 0, high = r->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(r->at[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < r->count && strcmp(r->at[low].name, name) == 0; low++)
        if (r->at[low].size == w->size && r->at[low].mtime == w->mtime) return &r->at[low];
    return NULL;
}

/* The index before, if it has rows that may be taken over. That there is none is no failure. */
static void open_index(builder *b)
{
    if (fv_records_read(&b->records, b->from) < 0) return;
    bool usable = fv_index_head_same(&b->records.head, &b->head) &&
                  fv_rows_open(&b->index, b->path) >= 0 && b->index.count == b->records.count &&
                  b->index.dim == b->head.dim && (!b->index.half || b->half);
    if (usable) {
        sort(&b->records);
    } else {
        fv_rows_close(&b->index);
        fv_records_clear(&b->records);
    }
}

static fv_status read_log(fv_records *out, const builder *b, uint64_t *used)
{
    size_t size = (size_t)fv_file_log_size(b->lines), good = 0;
    *out = (fv_records){.count = 0};
    *used = 0;
    if (size > FV_MAX_RECORD_BYTES)
        return fv_fail(FV_ERR_FORMAT, "%s has %zu bytes: delete it", b->log, size);
    char *text = malloc(size + 1);
    if (!text) return no_memory();
    fv_status s = fv_file_log_read(b->lines, 0, text, size);
    bool whole_head = s >= 0 && memchr(text, '\n', size);
    bool ours = s >= 0 && fv_records_parse(out, text, size, &good);
    *used = good;
    free(text);
    if (s < 0 || !whole_head || (ours && fv_index_head_same(&out->head, &b->head))) return s;
    fv_records_clear(out);
    return fv_fail(FV_ERR_ARGUMENT,
                   "%s is of another model or other settings: delete it and its .txt, or write to "
                   "another file",
                   b->part);
}

/* What an interrupted run has finished. Torn ends are cut off. */
static fv_status open_part(builder *b, fv_records *finished)
{
    uint64_t used;
    bool busy;
    FV_TRY(read_log(finished, b, &used));
    FV_TRY(fv_file_log_open(&b->rows, b->part, &busy));
    if (busy) return fv_fail(FV_ERR_IO, "%s is in use by another program", b->part);
    uint64_t whole = fv_file_log_size(b->rows) / row_bytes(b);
    if ((uint64_t)finished->count > whole) { /* a crash of the machine: begin again */
        fv_records_clear(finished);
        used = 0;
    }
    b->part_rows = finished->count;
    FV_TRY(fv_file_log_cut(b->rows, (uint64_t)b->part_rows * row_bytes(b)));
    FV_TRY(fv_file_log_cut(b->lines, used));
    sort(finished);
    if (used) return FV_OK;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory();
    fv_index_head_write(f, &b->head);
    fv_status s = fclose(f) == 0 ? fv_file_log_append(b->lines, text, size) : no_memory();
    free(text);
    return s;
}

static bool has_row(const builder *b, const fv_record *r, enum source source, float *row)
{
    fv_status s = source == IN_PART ? fv_file_log_read(b->rows, (uint64_t)r->row * row_bytes(b),
                                                       row, row_bytes(b))
                                    : fv_rows_read(&b->index, b->path, r->row, 1, row);
    return s >= 0 && crc_of(row, row_bytes(b)) == r->crc;
}

/* Finds a row for each picture; those without one are to be done. */
static fv_status match(builder *b, const fv_records *finished)
{
    int n = b->pictures->count;
    float *row = malloc(row_bytes(b));
    b->wanted = calloc((size_t)n, sizeof *b->wanted);
    b->todo = malloc((size_t)n * sizeof *b->todo);
    fv_status s = row && b->wanted && b->todo ? FV_OK : no_memory();
    for (int i = 0; s >= 0 && i < n; i++) {
        struct stat st;
        wanted *w = &b->wanted[i];
        const char *name = b->pictures->at[i];
        *w = (wanted){NOWHERE, 0, -1, -1};
        if (stat(name, &st) == 0) {
            w->size = (long long)st.st_size;
            w->mtime = (long long)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
            const fv_record *r = find(&b->records, name, w);
            if (r && has_row(b, r, IN_INDEX, row))
                *w = (wanted){IN_INDEX, r->row, w->size, w->mtime};
            r = w->source ? NULL : find(finished, name, w);
            if (r && has_row(b, r, IN_PART, row)) *w = (wanted){IN_PART, r->row, w->size, w->mtime};
        }
        if (!w->source) b->todo[b->todo_count++] = i;
    }
    free(row);
    b->done = b->kept = n - b->todo_count;
    return s;
}

/* --- embedding --- */

/* Rows first, so that a line without a row is never seen. */
static fv_status keep_piece(builder *b, const int *todo, int count, const float *rows,
                            const bool *read)
{
    size_t dim = (size_t)fv_embed_dim(b->m), size;
    char *text = NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f) return no_memory();
    fv_status s = FV_OK;
    int row = b->part_rows;
    for (int i = 0; s >= 0 && i < count; i++) {
        const wanted *w = &b->wanted[todo[i]];
        const float *at = rows + (size_t)i * dim;
        if (!read[i]) continue;
        s = fv_file_log_append(b->rows, at, row_bytes(b));
        const fv_record r = {crc_of(at, row_bytes(b)), w->size, w->mtime, b->pictures->at[todo[i]],
                             row++};
        fv_record_write(f, &r);
    }
    if (fclose(f) != 0 && s >= 0) s = no_memory();
    if (s >= 0) s = fv_file_log_append(b->lines, text, size);
    free(text);
    for (int i = 0; s >= 0 && i < count; i++)
        if (read[i]) {
            b->wanted[todo[i]].source = IN_PART;
            b->wanted[todo[i]].row = b->part_rows++;
            b->kept++;
        }
    b->done += count;
    return s;
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
    if (!b->todo_count) return FV_OK;
    FV_TRY(fv_embedder_open(&e, b->m, batch));
    int piece = BATCHES * fv_embedder_batch(e);
    float *rows = malloc((size_t)piece * row_bytes(b));
    bool *read = malloc((size_t)piece * sizeof *read);
    char **paths = malloc((size_t)piece * sizeof *paths);
    fv_status s = rows && read && paths ? FV_OK : no_memory();
    for (int at = 0; s == FV_OK && at < b->todo_count; at += piece) {
        int left = b->todo_count - at, count = left < piece ? left : piece;
        for (int i = 0; i < count; i++) paths[i] = b->pictures->at[b->todo[at + i]];
        s = fv_embed_pictures(e, paths, count, rows, read, pass_on, b);
        if (s == FV_OK) s = keep_piece(b, b->todo + at, count, rows, read);
    }
    free(rows);
    free(read);
    free(paths);
    fv_embedder_close(e);
    return s;
}

/* --- putting it in place --- */

/* One row as the file has it; the row becomes what reading it gives. */
static fv_status write_row(const builder *b, fv_file_writer *w, float *row, uint16_t *halves)
{
    size_t dim = (size_t)b->head.dim;
    if (!b->half) return fv_file_write(w, row, row_bytes(b));
    for (size_t k = 0; k < dim; k++) halves[k] = fv_half(row[k]);
    const fv_entry e = {
        .dtype = FV_FILE_F16, .ndim = 1, .dims = {(int64_t)dim}, .strides = {1}, .data = halves};
    fv_entry_read_f32(&e, row);
    return fv_file_write(w, halves, dim * sizeof *halves);
}

/* All rows in the order of the list; records and names [kept] of them. */
static fv_status write_rows(const builder *b, fv_file_writer *w, fv_record *records)
{
    float *row = malloc(row_bytes(b));
    uint16_t *halves = malloc((size_t)b->head.dim * sizeof *halves);
    fv_status s = row && halves
                      ? fv_index_write_header(w, &b->head, b->kept, b->safetensors, b->half)
                      : no_memory();
    for (int i = 0, n = 0; s >= 0 && i < b->pictures->count; i++) {
        const wanted *x = &b->wanted[i];
        if (!x->source) continue;
        s = x->source == IN_PART
                ? fv_file_log_read(b->rows, (uint64_t)x->row * row_bytes(b), row, row_bytes(b))
                : fv_rows_read(&b->index, b->path, x->row, 1, row);
        if (s >= 0) s = write_row(b, w, row, halves);
        records[n] =
            (fv_record){crc_of(row, row_bytes(b)), x->size, x->mtime, b->pictures->at[i], n};
        n++;
    }
    free(row);
    free(halves);
    return s;
}

static fv_status finish_names(const builder *b, const fv_record *records, int count)
{
    return fv_index_finish(b->path, &b->head, records, count);
}

static fv_status replace(const builder *b, fv_file_writer *w, fv_record *records)
{
    fv_status s = write_rows(b, w, records);
    if (s >= 0) s = fv_file_sync(w);
    if (s >= 0) s = fv_index_save_record(b->next, &b->head, records, b->kept);
    if (s < 0) {
        fv_file_abandon(w);
        return s;
    }
    s = fv_file_commit(w);
    if (s >= 0) return finish_names(b, records, b->kept);
    char why[1024];
    snprintf(why, sizeof why, "%s", fv_error());
    fv_file_remove(b->next);
    return fv_fail(s, "%s", why);
}

/* Whether the index before has just these rows in this order. */
static bool is_there(const builder *b)
{
    bool same = b->index.fd >= 0 && b->kept == b->index.count && b->index.half == b->half &&
                access(b->names, F_OK) == 0;
    for (int i = 0, n = 0; same && i < b->pictures->count; i++)
        if (b->wanted[i].source) same = b->wanted[i].source == IN_INDEX && b->wanted[i].row == n++;
    return same;
}

static fv_status finish(const builder *b)
{
    fv_file_writer *w;
    if (b->kept == 0)
        return fv_fail(FV_ERR_FORMAT, "none of the %d pictures could be read: no index was made",
                       b->done);
    if (is_there(b)) return FV_OK;
    fv_record *records = calloc((size_t)b->kept, sizeof *records);
    fv_status s = records ? fv_file_begin(&w, b->path) : no_memory();
    if (s >= 0) s = replace(b, w, records);
    free(records);
    return s;
}

/* Ends what a killed run began: the record says whether its rows have their name. */
static fv_status recover(builder *b)
{
    fv_records r;
    fv_row_file rows;
    if (access(b->next, F_OK) != 0) return FV_OK;
    if (fv_records_read(&r, b->next) < 0) return fv_file_remove(b->next);
    bool whole =
        fv_rows_open(&rows, b->path) >= 0 && rows.count == r.count && rows.dim == r.head.dim;
    float *row = whole ? malloc((size_t)rows.dim * sizeof *row) : NULL;
    whole = whole && row;
    for (int i = 0; whole && i < r.count; i++)
        whole = fv_rows_read(&rows, b->path, i, 1, row) >= 0 &&
                crc_of(row, (size_t)rows.dim * sizeof *row) == r.at[i].crc;
    free(row);
    fv_rows_close(&rows);
    builder other = *b; /* it may be of another model */
    other.head = r.head;
    fv_status s = whole ? finish_names(&other, r.at, r.count) : fv_file_remove(b->next);
    fv_records_clear(&r);
    return s;
}

/* --- all of it --- */

static fv_status check_kind(builder *b)
{
    const char *dot = strrchr(b->path, '.');
    b->safetensors = dot && strcmp(dot, ".safetensors") == 0;
    if (!b->safetensors && (!dot || strcmp(dot, ".npy") != 0))
        return fv_fail(FV_ERR_ARGUMENT,
                       "index %s: expected a name that ends in .npy or "
                       ".safetensors",
                       b->path);
    if (b->half && !b->safetensors)
        return fv_fail(FV_ERR_ARGUMENT, "index %s: 16-bit rows need a .safetensors", b->path);
    return FV_OK;
}

static fv_status begin(builder *b)
{
    bool busy;
    fv_records finished = {.count = 0};
    FV_TRY(fv_index_path(&b->part, b->path, ".part"));
    FV_TRY(fv_index_path(&b->log, b->path, ".part.txt"));
    FV_TRY(fv_index_path(&b->names, b->path, ".txt"));
    FV_TRY(fv_index_path(&b->from, b->path, ".from"));
    FV_TRY(fv_index_path(&b->next, b->path, ".next"));
    FV_TRY(fv_file_log_open(&b->lines, b->log, &busy));
    if (busy) return fv_fail(FV_ERR_IO, "index %s is being made by another program", b->path);
    fv_file_clean_beside(b->path);
    FV_TRY(recover(b));
    open_index(b);
    fv_status s = open_part(b, &finished);
    if (s >= 0) s = match(b, &finished);
    fv_records_clear(&finished);
    return s;
}

/* The .part files go when the index is there, or when they hold nothing. */
static fv_status end(builder *b, fv_status s)
{
    bool nothing = b->rows && b->part_rows == 0;
    if (b->rows && (s == FV_OK || nothing)) {
        fv_status removed = fv_file_remove(b->part);
        if (removed >= 0) removed = fv_file_remove(b->log);
        if (s == FV_OK) s = removed;
    }
    fv_file_log_close(b->rows);
    fv_file_log_close(b->lines);
    fv_rows_close(&b->index);
    fv_records_clear(&b->records);
    free(b->wanted);
    free(b->todo);
    free(b->part);
    free(b->log);
    free(b->names);
    free(b->from);
    free(b->next);
    return s;
}

fv_status fv_index_build(const char *path, fv_model *m, const fv_list *pictures, int batch,
                         bool half, int *resumed, fv_embed_fn fn, void *user)
{
    builder b = {.path = path,
                 .m = m,
                 .pictures = pictures,
                 .half = half,
                 .index = {.fd = -1},
                 .fn = fn,
                 .user = user};
    FV_TRY(check_kind(&b));
    fv_index_head_of(&b.head, m);
    fv_status s = begin(&b);
    if (s >= 0 && resumed) *resumed = b.kept;
    if (s >= 0) s = embed_all(&b, batch);
    if (s == FV_OK) s = finish(&b);
    return end(&b, s);
}
