/* Measuring the modality gap. See gap.h; the file is that of feavis/imagine/plausible.h. */
#include "feavis/gap.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/imagine/plausible.h"
#include "feavis/names.h"
#include "model/files/path.h"
#include "model/text/text.h"

static const int told[5] = {5, 25, 50, 75, 95}; /* percentiles of the report */

/* --- captions --- */

typedef struct named {
    const char *name, *path; /* of the photo: without folders, with all of them */
    int at;
} named;

typedef struct album {
    const fv_list *photos;
    fv_list paths; /* from the root */
    named *names;  /* [photos->count] in order */
} album;

static int by_name(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->at - y->at;
}

static fv_status no_room(void)
{
    return fv_fail(FV_ERR_MEMORY, "reading captions: out of memory");
}

static void close_album(album *a)
{
    fv_list_clear(&a->paths);
    free(a->names);
}

static fv_status open_album(album *a, const fv_list *photos)
{
    *a = (album){.photos = photos, .names = malloc(((size_t)photos->count + 1) * sizeof(named))};
    char *here = getcwd(NULL, 0), *path = NULL;
    fv_status s = a->names ? FV_OK : no_room();
    for (int i = 0; s >= 0 && i < photos->count; i++) {
        const char *photo = photos->at[i];
        while (strncmp(photo, "./", 2) == 0) photo += 2;
        bool below = *photo != '/' && here;
        int n = asprintf(&path, "%s%s%s", below ? here : "", below ? "/" : "", photo);
        s = n < 0 ? no_room() : fv_list_add(&a->paths, path);
        if (n >= 0) free(path);
    }
    for (int i = 0; s >= 0 && i < photos->count; i++)
        a->names[i] = (named){fv_path_name(a->paths.at[i]), a->paths.at[i], i};
    if (s >= 0) qsort(a->names, (size_t)photos->count, sizeof *a->names, by_name);
    free(here);
    return s;
}

/* Whether the path ends in these folders and this name. */
static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0 &&
           (n == m || *end == '/' || path[n - m - 1] == '/');
}

/* The photo that is called so, with as many of its folders as are given; *photo -1: none is. */
static fv_status find_photo(int *photo, const album *a, const char *called)
{
    int low = 0, high = a->photos->count, fit = 0, other = -1;
    while (strncmp(called, "./", 2) == 0) called += 2;
    const char *name = fv_path_name(called), *first = NULL;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(a->names[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *photo = -1;
    for (const named *p = a->names + low;
         p < a->names + a->photos->count && strcmp(p->name, name) == 0; p++) {
        if (!ends_in(p->path, called)) continue;
        if (fit && strcmp(p->path, first) == 0) continue; /* listed twice */
        if (!fit++) {
            *photo = p->at;
            first = p->path;
        } else
            other = p->at;
    }
    return fit < 2 ? FV_OK
                   : fv_fail(FV_ERR_FORMAT,
                             "%s may be any of %d photos, %s and %s among them: name its folder, "
                             "too",
                             called, fit, a->photos->at[*photo], a->photos->at[other]);
}

/* One line, which is cut in two; *photo -1: of a photo that is not there. */
static fv_status read_line(char *line, const album *a, int *photo, const char **caption)
{
    char *first = strchr(line, '\t'), *last = strrchr(line, '\t');
    if (!first || first == line || fv_text_blank(last + 1))
        return fv_fail(FV_ERR_FORMAT, "expected the name of a photo, a tab, its caption: \"%.60s\"",
                       line);
    *first = 0;
    fv_name_unescape(line);
    *caption = last + 1;
    return find_photo(photo, a, line);
}

static fv_status read_lines(fv_list *captions, int *of, int *missing, const fv_list *lines,
                            const album *a, const char *path)
{
    fv_bad_lines bad = {.count = 0};
    for (int i = 0; i < lines->count; i++) {
        const char *caption = "";
        int photo = -1;
        fv_status s = read_line(lines->at[i], a, &photo, &caption);
        if (s < 0) {
            fv_fail_context(s, "line %d", lines->lines[i]);
            fv_bad_lines_add(&bad, lines->lines[i]);
        } else if (photo < 0)
            ++*missing;
        else {
            of[captions->count] = photo;
            FV_TRY(fv_list_add(captions, caption));
        }
    }
    FV_TRY(fv_bad_lines_say(&bad, path));
    return captions->count
               ? FV_OK
               : fv_fail(FV_ERR_FORMAT, "%s: none of its %d captions is of a photo here", path,
                         lines->count);
}

fv_status fv_gap_captions(fv_list *captions, int **of, int *missing, const fv_list *photos,
                          const char *path)
{
    fv_list lines = {0};
    album a;
    *captions = (fv_list){0};
    *missing = 0;
    *of = NULL;
    FV_TRY(fv_list_poem(&lines, path));
    fv_status s = open_album(&a, photos);
    *of = malloc((size_t)lines.count * sizeof **of);
    if (s >= 0 && !*of) s = no_room();
    if (s >= 0) s = read_lines(captions, *of, missing, &lines, &a, path);
    close_album(&a);
    fv_list_clear(&lines);
    if (s < 0) {
        fv_list_clear(captions);
        free(*of);
        *of = NULL;
    }
    return s;
}

/* Words of a file's name, in place: no number in front, no ending, no number behind. */
static char *words_of(char *name)
{
    char *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    size_t digits = strspn(name, "0123456789");
    char *at = name + (strchr("_- ", name[digits]) && name[digits] ? digits : 0);
    for (char *c = at; *c; c++)
        if (*c == '_' || *c == '-') *c = ' ';
    size_t n = strlen(at), end = n;
    while (end && isdigit((unsigned char)at[end - 1])) end--;
    if (end < n && end && at[end - 1] == ' ') n = end;
    while (n && at[n - 1] == ' ') n--;
    at[n] = 0;
    if (strspn(at, "0123456789 ") == n) *at = 0;
    return at + strspn(at, " ");
}

fv_status fv_gap_names(fv_list *captions, int **of, const fv_list *photos)
{
    *captions = (fv_list){0};
    *of = malloc(((size_t)photos->count + 1) * sizeof **of);
    fv_status s = *of ? FV_OK : no_room();
    for (int i = 0; s >= 0 && i < photos->count; i++) {
        char *name = fv_name_escaped(fv_path_name(photos->at[i]));
        if (!name) s = no_room();
        const char *words = name ? words_of(name) : "";
        if (s >= 0 && *words) {
            (*of)[captions->count] = i;
            s = fv_list_add(captions, words);
        }
        free(name);
    }
    if (s >= 0 && !captions->count)
        s = fv_fail(FV_ERR_FORMAT, "the names of the photos say nothing: give --captions FILE");
    if (s >= 0) return FV_OK;
    fv_list_clear(captions);
    free(*of);
    *of = NULL;
    return s;
}

/* --- measuring --- */

typedef struct measuring {
    fv_model *model;
    const fv_list *photos, *captions;
    const int *of;
    bool *read;
    float *images, *texts; /* [photos], [captions][dim] */
    float *cosines;        /* [captions], those of photos that were read in front */
    fv_gap gap;
} measuring;

static fv_status allocate(measuring *q)
{
    size_t dim = (size_t)q->gap.dim, n = (size_t)q->photos->count, k = (size_t)q->captions->count;
    q->read = calloc(n, sizeof *q->read);
    q->images = malloc(n * dim * sizeof *q->images);
    q->texts = malloc(k * dim * sizeof *q->texts);
    q->cosines = malloc(k * sizeof *q->cosines);
    q->gap.image_mean = calloc(dim, sizeof *q->gap.image_mean);
    q->gap.text_mean = calloc(dim, sizeof *q->gap.text_mean);
    return q->read && q->images && q->texts && q->cosines && q->gap.image_mean && q->gap.text_mean
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "measuring %zu photos: out of memory", n);
}

static fv_status embed(measuring *q, fv_embed_fn fn, void *user)
{
    fv_embedder *e;
    fv_list photos = *q->photos, captions = *q->captions;
    FV_TRY(fv_embedder_open(&e, q->model, 0));
    fv_status s = fv_embed_pictures(e, photos.at, photos.count, q->images, q->read, fn, user);
    fv_embedder_close(e);
    if (s != FV_OK) return s;
    return fv_embed_texts(q->model, captions.at, captions.count, q->texts, NULL, fn, user);
}

static void add_mean(float *mean, const double *sum, int dim, int count)
{
    for (int i = 0; i < dim; i++) mean[i] = (float)(sum[i] / count);
}

static fv_status check_enough(int photos)
{
    return photos < 2
               ? fv_fail(FV_ERR_FORMAT, "a gap needs two photos with captions at least, there %s",
                         photos ? "is one" : "are none")
               : FV_OK;
}

/* Photos that cannot be read may make them fewer. */
static fv_status check_captioned(const measuring *q)
{
    int photos = 0;
    bool *counted = calloc((size_t)q->photos->count + 1, sizeof *counted);
    if (!counted) return no_room();
    for (int i = 0; i < q->captions->count; i++) {
        photos += !counted[q->of[i]];
        counted[q->of[i]] = true;
    }
    free(counted);
    return check_enough(photos);
}

/* Each caption counts once, each photo that has one once. */
static fv_status find_means(measuring *q)
{
    int dim = q->gap.dim;
    double *sums = calloc((size_t)dim * 2, sizeof *sums);
    bool *counted = calloc((size_t)q->photos->count, sizeof *counted);
    fv_status s = sums && counted ? FV_OK : no_room();
    for (int i = 0; s >= 0 && i < q->captions->count; i++) {
        int photo = q->of[i];
        if (!q->read[photo]) continue;
        const float *text = q->texts + (size_t)i * (size_t)dim;
        const float *image = q->images + (size_t)photo * (size_t)dim;
        for (int k = 0; k < dim; k++) sums[k] += (double)text[k];
        for (int k = 0; k < dim && !counted[photo]; k++) sums[dim + k] += (double)image[k];
        q->gap.captions++;
        q->gap.photos += !counted[photo];
        counted[photo] = true;
    }
    if (s >= 0) s = check_enough(q->gap.photos);
    if (s >= 0) add_mean(q->gap.text_mean, sums, dim, q->gap.captions);
    if (s >= 0) add_mean(q->gap.image_mean, sums + dim, dim, q->gap.photos);
    free(sums);
    free(counted);
    return s;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Percentiles of the cosines of captions, as they stand in q->texts, with their photos. */
static void find_cosines(measuring *q, float out[FV_PERCENTILES])
{
    int dim = q->gap.dim, n = 0;
    for (int i = 0; i < q->captions->count; i++) {
        if (!q->read[q->of[i]]) continue;
        const float *text = q->texts + (size_t)i * (size_t)dim;
        const float *image = q->images + (size_t)q->of[i] * (size_t)dim;
        double dot = 0;
        for (int k = 0; k < dim; k++) dot += (double)text[k] * (double)image[k];
        q->cosines[n++] = (float)fmax(-1, fmin(1, dot));
    }
    qsort(q->cosines, (size_t)n, sizeof *q->cosines, by_size);
    for (int i = 0; i < FV_PERCENTILES; i++) {
        double at = (double)i / (FV_PERCENTILES - 1) * (n - 1);
        int below = (int)at < n - 1 ? (int)at : n - 2;
        double share = at - below;
        out[i] = (float)((1 - share) * (double)q->cosines[below] +
                         share * (double)q->cosines[below + 1]);
    }
}

static fv_status measure(measuring *q, fv_gap_report *out)
{
    double square = 0;
    fv_gap *g = &q->gap;
    FV_TRY(find_means(q));
    find_cosines(q, g->cosines[0]);
    for (int i = 0; i < q->captions->count; i++)
        fv_gap_move(g, q->texts + (size_t)i * (size_t)g->dim);
    find_cosines(q, g->cosines[1]);
    for (int i = 0; i < g->dim; i++)
        square += pow((double)g->image_mean[i] - (double)g->text_mean[i], 2);
    *out = (fv_gap_report){
        .photos = g->photos, .captions = g->captions, .length = (float)sqrt(square)};
    for (int i = 0; i < 5; i++) {
        out->plain[i] = g->cosines[0][told[i]];
        out->moved[i] = g->cosines[1][told[i]];
    }
    return FV_OK;
}

fv_status fv_gap_make(fv_gap_report *out, fv_model *m, const fv_list *photos,
                      const fv_list *captions, const int *of, const char *path, fv_embed_fn fn,
                      void *user)
{
    measuring q = {.model = m, .photos = photos, .captions = captions, .of = of};
    if (m->guide_count > 1)
        return fv_fail(FV_ERR_ARGUMENT, "a gap is of one model, and %d are open", m->guide_count);
    FV_TRY(check_captioned(&q));
    q.gap.dim = m->network->dim;
    snprintf(q.gap.fingerprint, sizeof q.gap.fingerprint, "%s", m->fingerprint);
    snprintf(q.gap.model, sizeof q.gap.model, "%s", m->title);
    fv_status s = allocate(&q);
    if (s >= 0) s = embed(&q, fn, user);
    if (s == FV_OK) s = measure(&q, out);
    if (s == FV_OK) s = fv_gap_write(&q.gap, path);
    free(q.read);
    free(q.images);
    free(q.texts);
    free(q.cosines);
    fv_gap_clear(&q.gap);
    return s;
}
