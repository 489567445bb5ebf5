/* What searching and building an index share.
 *
 *   PATH             the rows: .npy float [count][dim], or .safetensors "embeddings", F32 or F16
 *   PATH.txt         for people: the picture of each row, one a line (fv_name_escaped)
 *   PATH.from        the record: a head that names the model, then a line a row
 *   PATH.next        the record of rows that are being put in place (see index_build.c)
 *   PATH.part        rows of float that are finished, in the order of PATH.part.txt
 *   PATH.part.txt    their record, which grows; whoever builds holds its lock
 *
 * A record:
 *   feavis index 2, model 0123456789abcdef, image size 224, dim 256, TITLE
 *   CRC32 SIZE MTIME NAME
 * CRC32 of the row as floats (8 hexadecimal digits); bytes and nanoseconds of the picture's file
 * when it was read; its name as it was asked for (fv_name_escaped). */
#ifndef FV_INDEX_INSIDE_H
#define FV_INDEX_INSIDE_H

#include <stdio.h>
#include <sys/stat.h>

#include "feavis/index.h"
#include "feavis/model.h"
#include "model/files/files.h"
#include "model/weights/weights.h"

enum { FV_MAX_RECORD_BYTES = 1 << 30 };

/* Of which model. */
typedef struct fv_index_head {
    char model[24]; /* fingerprint; "" if the file does not say */
    int image_size, dim;
    char title[160];
} fv_index_head;

void fv_index_head_of(fv_index_head *out, const struct fv_model *m);
void fv_index_head_write(FILE *to, const fv_index_head *h);
/* Whether rows of one may stand beside rows of the other. */
bool fv_index_head_same(const fv_index_head *a, const fv_index_head *b);

typedef struct fv_record {
    uint32_t crc;
    long long size, mtime; /* -1: unknown */
    char *name;
    int row;
} fv_record;

typedef struct fv_records {
    fv_index_head head;
    fv_record *at; /* [count] in the order of rows; owned */
    int count;
} fv_records;

/* Reads whole lines; *used: their bytes. A torn or damaged line ends it. False: no head, or of
 * another kind. */
bool fv_records_parse(fv_records *out, const char *text, size_t size, size_t *used);
/* A whole file, every line of it. */
fv_status fv_records_read(fv_records *out, const char *path);
void fv_records_clear(fv_records *r);
void fv_record_write(FILE *to, const fv_record *r);

/* The rows of an index, read in pieces: a file that becomes shorter is an error, not a fault of
 * memory. */
typedef struct fv_row_file {
    int fd;
    uint64_t offset;
    int count, dim;
    bool half;
    struct stat file;           /* when it was opened */
    char model[24], title[160]; /* of a .safetensors; "" */
} fv_row_file;

fv_status fv_rows_open(fv_row_file *out, const char *path);
void fv_rows_close(fv_row_file *r); /* of one that failed to open too */
fv_status fv_rows_read(const fv_row_file *r, const char *path, int first, int count, float *out);

/* The rows of an index, and its path. */
const fv_row_file *fv_index_rows(const fv_index *x, const char **path);

/* The bytes before the first row; they depend on the number of rows alone. */
fv_status fv_index_write_header(fv_file_writer *w, const fv_index_head *h, int count,
                                bool safetensors, bool half);
fv_status fv_index_save_record(const char *path, const fv_index_head *h, const fv_record *records,
                               int count);
/* Once the rows have their name: writes PATH.txt and PATH.from; PATH.next goes. */
fv_status fv_index_finish(const char *path, const fv_index_head *h, const fv_record *records,
                          int count);

/* "PATH" and an ending; caller frees. */
fv_status fv_index_path(char **out, const char *path, const char *ending);

#endif
