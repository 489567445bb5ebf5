/* Codes of a picture in memory, and as CSV: see feavis/codes.h.
 *
 *   5,6,7
 *   95,0,31     two rows of three cells, 0 <= number < the codes that there are */
#include <stdio.h>
#include <stdlib.h>

#include "feavis/codes.h"
#include "model/files/files.h"
#include "model/files/read_file.h"

enum { MAX_SIDE = 4096, FILE_LIMIT = 64 << 20 };

void fv_codes_free(fv_codes *c)
{
    free(c->at);
    *c = (fv_codes){0};
}

fv_status fv_codes_new(fv_codes *c, int width, int height)
{
    *c = (fv_codes){.width = width, .height = height};
    c->at = calloc((size_t)width * (size_t)height, sizeof *c->at);
    return c->at ? FV_OK : fv_fail(FV_ERR_MEMORY, "codes: out of memory");
}

/* --- files --- */

fv_status fv_codes_write(const fv_codes *c, const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    for (int i = 0; i < c->width * c->height; i++)
        fprintf(f, "%d%c", c->at[i], (i + 1) % c->width ? ',' : '\n');
    bool whole = !ferror(f);
    whole = fclose(f) == 0 && whole;
    fv_status s = whole ? fv_file_save(path, text, size)
                        : fv_fail(FV_ERR_MEMORY, "writing %s: out of memory", path);
    free(text);
    return s;
}

static fv_status bad_line(const char *path, int line)
{
    return fv_fail(FV_ERR_FORMAT,
                   "codes %s, line %d: expected as many whole numbers as in the first line, with "
                   "commas between them, and at most %d",
                   path, line, MAX_SIDE);
}

/* The numbers of a line, which ends in *end; -1: something else. `to` may be NULL: they are
 * counted. */
static int read_line(const char *text, int32_t *to, const char **end)
{
    int count = 0;
    for (;; text++, count++) {
        char *after;
        long value = strtol(text, &after, 10);
        if (after == text || *text < '0' || *text > '9' || value > INT32_MAX || count == MAX_SIDE)
            return -1;
        if (to) to[count] = (int32_t)value;
        text = after;
        if (*text == '\r') text++;
        if (*text != ',') break;
    }
    *end = text;
    return *text == '\n' || *text == '\0' ? count + 1 : -1;
}

static fv_status read_rows(fv_codes *c, const char *text, const char *path)
{
    int lines = 0, width = 0;
    const char *at = text;
    for (; *at; lines++) {
        int count = read_line(at, NULL, &at);
        if (count < 0 || (lines && count != width) || lines == MAX_SIDE)
            return bad_line(path, lines + 1);
        width = count;
        at += *at == '\n';
    }
    FV_TRY(fv_codes_new(c, width, lines));
    at = text;
    for (int i = 0; i < lines; i++) {
        (void)read_line(at, c->at + (size_t)i * (size_t)width, &at);
        at += *at == '\n';
    }
    return FV_OK;
}

fv_status fv_codes_read(fv_codes *out, const char *path)
{
    unsigned char *data;
    size_t size;
    *out = (fv_codes){0};
    FV_TRY(fv_read_file(&data, &size, path, "codes", FILE_LIMIT));
    fv_status s = read_rows(out, (const char *)data, path);
    free(data);
    return s;
}
