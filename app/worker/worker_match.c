/* Similarity of pictures and texts: the same functions as `feavis match` (embed.h, match.h), with
 * what was embedded before remembered, so that one more picture costs one picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/worker/worker_inside.h"
#include "feavis/embed.h"
#include "feavis/match.h"
#include "feavis/plot.h"

/* --- what was embedded before --- */

static void clear_rows(remembered_rows *r)
{
    fv_list_clear(&r->names);
    free(r->rows);
    *r = (remembered_rows){0};
}

void clear_match(worker *w)
{
    clear_rows(&w->pictures_seen);
    clear_rows(&w->texts_seen);
    fv_list_clear(&w->matched_pictures);
    fv_list_clear(&w->matched_texts);
}

static const float *find_row(const remembered_rows *r, const char *name, int dim)
{
    for (int i = 0; i < r->names.count; i++)
        if (strcmp(r->names.at[i], name) == 0) return r->rows + (size_t)i * (size_t)dim;
    return NULL;
}

/* A file that was written anew is another picture. Caller frees; NULL: no memory. */
static char *name_of_file(const char *path)
{
    struct stat st = {0};
    char *name;
    if (stat(path, &st) != 0) st.st_mtim = (struct timespec){0};
    return asprintf(&name, "%s\n%lld.%09ld %lld", path, (long long)st.st_mtim.tv_sec,
                    st.st_mtim.tv_nsec, (long long)st.st_size) < 0
               ? NULL
               : name;
}

static fv_status split(fv_list *out, const char *lines)
{
    fv_list l = {0};
    fv_status s = FV_OK;
    while (s >= 0 && *lines && l.count < WORKER_MATCH) {
        size_t n = strcspn(lines, "\r\n"), lead = strspn(lines, " \t");
        char *line = lead < n ? strndup(lines, n) : NULL;
        if (lead < n)
            s = line ? fv_list_add(&l, line)
                     : fv_fail(FV_ERR_MEMORY, "splitting a list: out of memory");
        free(line);
        lines += n + (lines[n] != 0);
    }
    if (s < 0)
        fv_list_clear(&l);
    else
        *out = l;
    return s;
}

/* --- embedding --- */

static bool tell_failure(void *user, int done, int count, const char *failure)
{
    (void)done;
    (void)count;
    if (failure) say(user, failure);
    return true;
}

/* rows [list->count][dim]; read[i] false: picture i could not be. */
static fv_status embed_list(worker *w, fv_list *list, bool pictures, float *rows, bool *read)
{
    fv_embedder *e;
    static fv_text_report reports[FV_MAX_GUIDES * WORKER_MATCH];
    int n = list->count, guides = fv_model_guide_count(w->model);
    for (int i = 0; i < n; i++) read[i] = true;
    if (!n) return FV_OK;
    if (!pictures) {
        FV_TRY(fv_embed_texts(w->model, list->at, n, rows, reports, NULL, NULL));
        for (int i = 0; i < guides * n; i++)
            if (reports[i].unknown || reports[i].dropped) {
                fv_fail(FV_ERR_FORMAT, "\"%.80s\": %d tokens unknown, %d cut off", list->at[i % n],
                        reports[i].unknown, reports[i].dropped);
                say(w, NULL);
            }
        return FV_OK;
    }
    FV_TRY(fv_embedder_open(&e, w->model, n < 4 ? 1 : 0));
    fv_status s = fv_embed_pictures(e, list->at, n, rows, read, tell_failure, w);
    fv_embedder_close(e);
    return s;
}

/* Embeds what of `list` is not remembered, then remembers exactly the list. */
static fv_status embed_new(worker *w, const fv_list *list, bool pictures, remembered_rows *seen)
{
    int dim = fv_embed_dim(w->model), fresh = 0, at[WORKER_MATCH];
    size_t d = (size_t)dim, n = (size_t)list->count + 1;
    bool read[WORKER_MATCH];
    fv_list missing = {0};
    remembered_rows next = {.rows = calloc(n * d, sizeof *next.rows)};
    float *rows = malloc(n * d * sizeof *rows);
    fv_status s =
        next.rows && rows ? FV_OK : fv_fail(FV_ERR_MEMORY, "embedding a list: out of memory");
    for (int i = 0; s >= 0 && i < list->count; i++) {
        char *name = pictures ? name_of_file(list->at[i]) : strdup(list->at[i]);
        const float *known = name ? find_row(seen, name, dim) : NULL;
        s = name ? fv_list_add(&next.names, name)
                 : fv_fail(FV_ERR_MEMORY, "embedding a list: out of memory");
        free(name);
        at[i] = known ? -1 : fresh++;
        if (known)
            memcpy(next.rows + (size_t)i * d, known, d * sizeof *known);
        else if (s >= 0)
            s = fv_list_add(&missing, list->at[i]);
    }
    if (s >= 0) s = embed_list(w, &missing, pictures, rows, read);
    for (int i = 0; s >= 0 && i < list->count; i++) {
        float *to = next.rows + (size_t)i * d;
        if (at[i] < 0) continue;
        memcpy(to, rows + (size_t)at[i] * d, d * sizeof *to);
        if (!read[at[i]]) to[0] = NAN;
    }
    free(rows);
    fv_list_clear(&missing);
    clear_rows(s < 0 ? &next : seen);
    if (s >= 0) *seen = next;
    return s;
}

/* Those of one model, when it has the cosines. */
static void find_best(worker_matrix *m, int rows, int columns)
{
    for (int i = 0; i < rows; i++) {
        fv_hit hit;
        const float *row = m->values + (size_t)i * (size_t)columns;
        bool known = columns && !isnan(row[0]);
        m->best[i] = known && fv_top(row, columns, 1, 1, &hit) ? hit.index : -1;
    }
}

static fv_status multiply(worker *w, worker_matrix *out, int guide, int rows, int columns)
{
    fv_model_label(w->model, guide, out->model, sizeof out->model);
    if (rows && columns)
        FV_TRY(fv_similarities_of(w->model, guide, w->pictures_seen.rows, rows, w->texts_seen.rows,
                                  columns, out->values));
    size_t dim = (size_t)fv_embed_dim(w->model);
    for (int i = 0; i < rows; i++) /* one that was not read is marked in its first number */
        for (int j = 0; j < columns && isnan(w->pictures_seen.rows[(size_t)i * dim]); j++)
            out->values[i * columns + j] = NAN;
    find_best(out, rows, columns);
    return FV_OK;
}

void match_all(worker *w, const char *texts, const char *pictures)
{
    static worker_matrix made[FV_MAX_GUIDES];
    int guides = fv_model_guide_count(w->model);
    fv_list a = {0}, b = {0};
    fv_status s = split(&a, pictures);
    if (s >= 0) s = split(&b, texts);
    if (s >= 0) s = embed_new(w, &a, true, &w->pictures_seen);
    if (s >= 0) s = embed_new(w, &b, false, &w->texts_seen);
    for (int g = 0; s >= 0 && g < guides; g++) s = multiply(w, &made[g], g, a.count, b.count);
    if (s < 0) {
        say(w, NULL);
        fv_list_clear(&a);
        fv_list_clear(&b);
        return;
    }
    pthread_mutex_lock(&w->mutex);
    fv_list_clear(&w->matched_pictures);
    fv_list_clear(&w->matched_texts);
    w->matched_pictures = a;
    w->matched_texts = b;
    memcpy(w->match, made, sizeof made);
    w->match_guides = guides;
    w->view.match_serial++;
    pthread_mutex_unlock(&w->mutex);
    notify(w);
}

static bool copy_list(fv_list *out, const fv_list *from)
{
    for (int i = 0; i < from->count; i++)
        if (fv_list_add(out, from->at[i]) < 0) return false;
    return true;
}

void worker_matched_clear(worker_matched *m)
{
    fv_list_clear(&m->pictures);
    fv_list_clear(&m->texts);
    m->serial = 0;
}

bool worker_match(worker *w, worker_matched *m)
{
    pthread_mutex_lock(&w->mutex);
    if (m->serial != w->view.match_serial) {
        worker_matched_clear(m);
        memcpy(m->of, w->match, sizeof m->of);
        m->guides = w->match_guides;
        bool whole = copy_list(&m->pictures, &w->matched_pictures) &&
                     copy_list(&m->texts, &w->matched_texts);
        m->serial = w->view.match_serial;
        if (!whole) worker_matched_clear(m);
    }
    pthread_mutex_unlock(&w->mutex);
    return m->serial > 0;
}

/* --- saving it --- */

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void write_field(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"') fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

/* "image","text 1",... then a line a picture, as `feavis match` writes matrix.csv. */
static fv_status save_table(worker *w, const char *gallery, const worker_matrix *m)
{
    size_t size = 0;
    char *text = NULL, *path = NULL;
    const fv_list *a = &w->matched_pictures, *b = &w->matched_texts;
    FILE *f = open_memstream(&text, &size);
    if (!f) return fv_fail(FV_ERR_MEMORY, "writing a table: out of memory");
    write_field(f, "image");
    for (int j = 0; j < b->count; j++) {
        fputc(',', f);
        write_field(f, b->at[j]);
    }
    fputc('\n', f);
    for (int i = 0; i < a->count; i++) {
        write_field(f, a->at[i]);
        for (int j = 0; j < b->count; j++) fprintf(f, ",%.6f", (double)m->values[i * b->count + j]);
        fputc('\n', f);
    }
    fv_status s = fclose(f) == 0
                      ? fv_gallery_add_text(gallery, "similarity", 1, ".csv", text, size, &path)
                      : fv_fail(FV_ERR_MEMORY, "writing a table: out of memory");
    free(text);
    free(path);
    return s;
}

static fv_status draw_matrix(worker *w, fv_picture *out, const worker_matrix *m)
{
    const fv_list *a = &w->matched_pictures, *b = &w->matched_texts;
    fv_list names = {0};
    fv_picture *small = calloc((size_t)a->count, sizeof *small);
    fv_status s = small ? FV_OK : fv_fail(FV_ERR_MEMORY, "drawing a matrix: out of memory");
    for (int i = 0; s >= 0 && i < a->count; i++) {
        fv_picture whole;
        s = fv_list_add(&names, name_in(a->at[i]));
        if (s >= 0) s = fv_picture_read(&whole, a->at[i]);
        if (s < 0) break;
        s = fv_picture_thumbnail(&small[i], &whole, 96);
        fv_picture_free(&whole);
    }
    fv_heat h = {.title = m->model,
                 .rows = a->count,
                 .columns = b->count,
                 .values = m->values,
                 .row_labels = names.at,
                 .column_labels = b->at,
                 .row_pictures = small,
                 .decimals = 2};
    if (s >= 0) s = fv_heat_map(out, &h, NULL);
    for (int i = 0; small && i < a->count; i++) fv_picture_free(&small[i]);
    free(small);
    fv_list_clear(&names);
    return s;
}

/* similarity-1.png and similarity-1.csv, or the next names that are free; two a model. */
static fv_status save_one(worker *w, const char *gallery, const worker_matrix *m, char **path)
{
    fv_picture p;
    FV_TRY(draw_matrix(w, &p, m));
    fv_status s = fv_gallery_prepare(gallery);
    if (s >= 0) s = fv_gallery_add(gallery, "similarity", 1, &p, NULL, path);
    fv_picture_free(&p);
    return s < 0 ? s : save_table(w, gallery, m);
}

void save_matrix(worker *w)
{
    const char *gallery = fv_options_get(w->options, "gallery");
    if (!w->matched_pictures.count || !w->matched_texts.count) return;
    for (int g = 0; g < w->match_guides; g++) {
        char *path = NULL;
        if (save_one(w, gallery, &w->match[g], &path) >= 0) {
            notify_saved(w, path);
            continue;
        }
        say(w, NULL);
        free(path);
        return;
    }
}
