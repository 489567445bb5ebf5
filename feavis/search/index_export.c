/* An index in the file of another engine. See fv_index_export in index.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/search/index_inside.h"
#include "feavis/search/name_write.h"
#include "model/files/files_internal.h"

enum { BLOCK_ROWS = 4096 };

static fv_status write_whole(fv_file_writer *w, int64_t x, size_t bytes)
{
    unsigned char out[8];
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)((uint64_t)x >> 8 * i);
    return fv_file_write(w, out, bytes);
}

/* An IndexFlatIP as faiss::write_index has it, little-endian: "IxFI", dim (4 bytes), rows (8), two
 * numbers that are not used (8 each), trained (1), metric (4; 0: inner product), how many floats
 * follow (8). */
static fv_status write_faiss_header(fv_file_writer *w, int count, int dim)
{
    FV_TRY(fv_file_write(w, "IxFI", 4));
    FV_TRY(write_whole(w, dim, 4));
    FV_TRY(write_whole(w, count, 8));
    FV_TRY(write_whole(w, 1 << 20, 8));
    FV_TRY(write_whole(w, 1 << 20, 8));
    FV_TRY(write_whole(w, 1, 1));
    FV_TRY(write_whole(w, 0, 4));
    return write_whole(w, (int64_t)count * dim, 8);
}

static fv_status write_rows(fv_file_writer *w, const fv_row_file *r, const char *path, bool faiss)
{
    char npy[FV_NPY_MATRIX_HEADER];
    float *rows = malloc((size_t)BLOCK_ROWS * (size_t)r->dim * sizeof *rows);
    if (!rows) return fv_fail(FV_ERR_MEMORY, "exporting an index: out of memory");
    if (!faiss) fv_npy_matrix_header(npy, r->count, r->dim);
    fv_status s =
        faiss ? write_faiss_header(w, r->count, r->dim) : fv_file_write(w, npy, sizeof npy);
    for (int at = 0; s >= 0 && at < r->count; at += BLOCK_ROWS) {
        int n = r->count - at < BLOCK_ROWS ? r->count - at : BLOCK_ROWS;
        s = fv_rows_read(r, path, at, n, rows);
        if (s >= 0) s = fv_file_write(w, rows, (size_t)n * (size_t)r->dim * sizeof *rows);
    }
    free(rows);
    return s;
}

static fv_status save_names(const fv_index *x, const char *out)
{
    char *path = NULL, *text = NULL;
    size_t size;
    FV_TRY(fv_index_path(&path, out, ".txt"));
    FILE *f = open_memstream(&text, &size);
    fv_status s = f ? FV_OK : fv_fail(FV_ERR_MEMORY, "exporting an index: out of memory");
    for (int i = 0; f && i < fv_index_count(x); i++) {
        fv_name_write(f, fv_index_name(x, i));
        fputc('\n', f);
    }
    if (f && fclose(f) != 0) s = fv_fail(FV_ERR_MEMORY, "exporting an index: out of memory");
    if (s >= 0) s = fv_file_save(path, text, size);
    free(text);
    free(path);
    return s;
}

/* The names go beside the rows: a file of that name alone is somebody else's. */
static fv_status check_place(const char *out, const char *ending)
{
    size_t n = strlen(out), m = strlen(ending);
    char *names;
    if (n <= m || strcmp(out + n - m, ending) != 0)
        return fv_fail(FV_ERR_ARGUMENT, "exporting to %s: expected a name that ends in %s", out,
                       ending);
    FV_TRY(fv_index_path(&names, out, ".txt"));
    bool foreign = access(out, F_OK) != 0 && access(names, F_OK) == 0;
    fv_status s = foreign ? fv_fail(FV_ERR_ARGUMENT,
                                    "exporting to %s: %s, where the names go, is there already: "
                                    "move it, or export to another name",
                                    out, names)
                          : FV_OK;
    free(names);
    return s;
}

fv_status fv_index_export(const fv_index *x, const char *kind, const char *out)
{
    fv_file_writer *w;
    const char *path;
    const fv_row_file *rows = fv_index_rows(x, &path);
    bool faiss = strcmp(kind, "faiss") == 0;
    if (!faiss && strcmp(kind, "npy") != 0)
        return fv_fail(FV_ERR_ARGUMENT, "an index is exported as faiss or npy, not as \"%.80s\"",
                       kind);
    FV_TRY(check_place(out, faiss ? ".faiss" : ".npy"));
    FV_TRY(fv_file_begin(&w, out));
    FV_TRY(fv_file_end(w, write_rows(w, rows, path, faiss)));
    return save_names(x, out);
}
