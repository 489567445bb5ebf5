/* Records and rows of an index. See index_inside.h. */
#include "feavis/search/index_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/imagine/model.h"
#include "feavis/names.h"
#include "feavis/search/name_write.h"
#include "model/files/files_internal.h"
#include "model/files/read_file.h"

fv_status fv_index_path(char **out, const char *path, const char *ending)
{
    if (asprintf(out, "%s%s", path, ending) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "index %s: out of memory", path);
}

/* --- records --- */

/* Of several guides one number that stands for all of them in their order. */
static void fingerprint_of(const fv_model *m, char *out, size_t size)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (int g = 0; g < m->guide_count; g++)
        for (const char *at = fv_model_fingerprint(m->guides[g]); *at; at++)
            h = (h ^ (unsigned char)*at) * 1099511628211u;
    if (m->guide_count > 1)
        snprintf(out, size, "%016llx", (unsigned long long)h);
    else
        snprintf(out, size, "%s", fv_model_fingerprint(m));
}

void fv_index_head_of(fv_index_head *out, const fv_model *m)
{
    *out = (fv_index_head){.image_size = fv_model_image_size(m), .dim = fv_embed_dim(m)};
    fingerprint_of(m, out->model, sizeof out->model);
    for (int g = 0; g < m->guide_count; g++) {
        char *title = fv_name_escaped(fv_model_title(m->guides[g]));
        size_t at = strlen(out->title);
        snprintf(out->title + at, sizeof out->title - at, "%s%s", g ? " + " : "",
                 title ? title : "");
        free(title);
    }
}

void fv_index_head_write(FILE *to, const fv_index_head *h)
{
    fprintf(to, "feavis index 2, model %s, image size %d, dim %d, %s\n", h->model, h->image_size,
            h->dim, h->title);
}

bool fv_index_head_same(const fv_index_head *a, const fv_index_head *b)
{
    return strcmp(a->model, b->model) == 0 && a->image_size == b->image_size && a->dim == b->dim;
}

static bool parse_head(fv_index_head *h, const char *line)
{
    int at = 0;
    *h = (fv_index_head){.dim = 0};
    if (sscanf(line, "feavis index 2, model %23[0-9a-f], image size %d, dim %d, %n", h->model,
               &h->image_size, &h->dim, &at) != 3 ||
        !at)
        return false;
    snprintf(h->title, sizeof h->title, "%s", line + at);
    return true;
}

/* A line without its end. False also for want of memory: what was found before stands. */
static bool parse_line(fv_records *r, const char *line)
{
    fv_record x = {.row = r->count};
    int at = 0;
    if (sscanf(line, "%8x %lld %lld %n", &x.crc, &x.size, &x.mtime, &at) != 3 || !at || !line[at])
        return false;
    if ((r->count & (r->count - 1)) == 0) {
        fv_record *more = realloc(r->at, (size_t)(r->count ? 2 * r->count : 1) * sizeof *more);
        if (!more) return false;
        r->at = more;
    }
    x.name = strdup(line + at);
    if (!x.name) return false;
    fv_name_unescape(x.name);
    r->at[r->count++] = x;
    return true;
}

bool fv_records_parse(fv_records *out, const char *text, size_t size, size_t *used)
{
    const char *at = text, *end = text + size, *stop;
    *used = 0;
    *out = (fv_records){.count = 0};
    bool good = true, first = true;
    while (good && at < end && (stop = memchr(at, '\n', (size_t)(end - at)))) {
        char *line = strndup(at, (size_t)(stop - at));
        good = line && (first ? parse_head(&out->head, line) : parse_line(out, line));
        free(line);
        if (good) *used = (size_t)(stop + 1 - text);
        if (good) first = false;
        at = stop + 1;
    }
    return !first;
}

fv_status fv_records_read(fv_records *out, const char *path)
{
    unsigned char *text;
    size_t size, used;
    *out = (fv_records){.count = 0};
    FV_TRY(fv_read_file(&text, &size, path, "record", FV_MAX_RECORD_BYTES));
    bool good = fv_records_parse(out, (char *)text, size, &used) && used == size;
    free(text);
    if (good) return FV_OK;
    fv_records_clear(out);
    return fv_fail(FV_ERR_FORMAT,
                   "%s is damaged, or of another version: it is no record of an index", path);
}

void fv_records_clear(fv_records *r)
{
    for (int i = 0; i < r->count; i++) free(r->at[i].name);
    free(r->at);
    *r = (fv_records){.count = 0};
}

void fv_record_write(FILE *to, const fv_record *r)
{
    fprintf(to, "%08x %lld %lld ", r->crc, r->size, r->mtime);
    fv_name_write(to, r->name);
    fputc('\n', to);
}

/* --- rows --- */

static fv_status take_layout(fv_row_file *r, const fv_entry *e, uint64_t offset, const char *path)
{
    bool dense = e->ndim == 2 && e->strides[1] == 1 && e->strides[0] == e->dims[1];
    if (!dense || (e->dtype != FV_FILE_F32 && e->dtype != FV_FILE_F16) || e->dims[0] < 1 ||
        e->dims[0] > 1 << 30 || e->dims[1] < 1 || e->dims[1] > 1 << 20)
        return fv_fail(FV_ERR_FORMAT, "%s holds no rows of F32 or F16: it is no index", path);
    r->count = (int)e->dims[0];
    r->dim = (int)e->dims[1];
    r->half = e->dtype == FV_FILE_F16;
    r->offset = offset;
    return FV_OK;
}

static fv_status open_npy(fv_row_file *r, const char *path)
{
    fv_npy *a;
    FV_TRY(fv_npy_open(&a, path));
    fv_status s = take_layout(r, fv_npy_entry(a), fv_npy_offset(a), path);
    fv_npy_close(a);
    return s;
}

static fv_status open_weights(fv_row_file *r, const char *path)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, path));
    const fv_entry *e = fv_weights_find(w, "embeddings");
    const char *model = fv_weights_metadata(w, "weights"), *title = fv_weights_metadata(w, "model");
    snprintf(r->model, sizeof r->model, "%s", model ? model : "");
    snprintf(r->title, sizeof r->title, "%s", title ? title : "");
    fv_status s =
        e ? take_layout(r, e, fv_weights_offset(w, e), path)
          : fv_fail(FV_ERR_FORMAT, "%s has no tensor \"embeddings\": it is no index", path);
    fv_weights_close(w);
    return s;
}

fv_status fv_rows_open(fv_row_file *out, const char *path)
{
    size_t n = strlen(path);
    *out = (fv_row_file){.fd = fv_fd_open(path, O_RDONLY | O_NONBLOCK, 0)};
    if (out->fd < 0 || fstat(out->fd, &out->file) != 0)
        return fv_fail(FV_ERR_IO, "opening %s: %s", path, strerror(errno));
    return n > 4 && strcmp(path + n - 4, ".npy") == 0 ? open_npy(out, path)
                                                      : open_weights(out, path);
}

void fv_rows_close(fv_row_file *r)
{
    if (r->fd >= 0) close(r->fd);
    *r = (fv_row_file){.fd = -1};
}

static bool read_halves(const fv_row_file *r, uint64_t offset, size_t count, float *out)
{
    uint16_t *halves = malloc(count * sizeof *halves);
    errno = ENOMEM;
    bool ok = halves && fv_fd_read(r->fd, offset, halves, count * sizeof *halves);
    fv_entry e = {
        .dtype = FV_FILE_F16, .ndim = 1, .dims = {(int64_t)count}, .strides = {1}, .data = halves};
    int error = errno;
    if (ok) fv_entry_read_f32(&e, out);
    free(halves);
    errno = error;
    return ok;
}

fv_status fv_rows_read(const fv_row_file *r, const char *path, int first, int count, float *out)
{
    size_t bytes = r->half ? 2 : 4, n = (size_t)count * (size_t)r->dim;
    uint64_t offset = r->offset + (uint64_t)first * (uint64_t)r->dim * bytes;
    bool ok =
        r->half ? read_halves(r, offset, n, out) : fv_fd_read(r->fd, offset, out, n * sizeof *out);
    if (ok) return FV_OK;
    return fv_fail(FV_ERR_IO, "reading index %s, row %d: %s", path, first,
                   errno ? strerror(errno) : "the file became shorter");
}
