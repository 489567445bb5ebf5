/* feavis match: the similarity matrix of pictures and texts, as in the official example.
 *
 * Results in a folder: matrix.npy and matrix.csv [images][texts], top.csv, matrix.png. Of several
 * guides these are the mean by their weights, and each has its own, matrix-guide1.npy and so on. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/embed.h"
#include "feavis/files.h"
#include "feavis/match.h"
#include "feavis/names.h"

enum { SHOWN_COLUMNS = 8, SHOWN_ROWS = 40, SHOWN_QUERIES = 12, LABEL_COLUMNS = 28 };

typedef struct match {
    const cli *c;
    fv_model *m;
    many images, texts;
    int *image_of;  /* [texts] row of the matrix, -1: not read; NULL without --pairs */
    many_view view; /* whose matrix it is */
    float *matrix;  /* [images][texts] */
    char *folder;
} match;

/* --- pairs --- */

static int find_image(const many *images, const char *name)
{
    for (int i = 0; i < images->list.count; i++) {
        const char *path = images->list.at[i], *slash = strrchr(path, '/');
        if (strcmp(path, name) == 0 || (slash && strcmp(slash + 1, name) == 0)) return i;
    }
    for (int i = 0; i < images->list.count; i++) {
        const char *path = images->list.at[i], *slash = strrchr(path, '/');
        if (fv_name_same(path, name) || (slash && fv_name_same(slash + 1, name))) return i;
    }
    return -1;
}

static int row_of_origin(const many *images, int origin)
{
    for (int i = 0; i < images->list.count; i++)
        if (images->origin[i] == origin) return i;
    return -1;
}

/* "order": text i belongs to image i; otherwise a file, whose line i names the image of text i. */
static fv_status read_pairs(match *q)
{
    const char *pairs = q->c->pairs;
    int texts = q->texts.list.count;
    q->image_of = malloc((size_t)texts * sizeof *q->image_of);
    if (!q->image_of) return fv_fail(FV_ERR_MEMORY, "reading pairs: out of memory");
    if (strcmp(pairs, "order") == 0) {
        if (texts != q->images.asked)
            return fv_fail(FV_ERR_ARGUMENT,
                           "--pairs order needs as many texts as pictures: there are %d and %d",
                           texts, q->images.asked);
        for (int j = 0; j < texts; j++) q->image_of[j] = row_of_origin(&q->images, j);
        return FV_OK;
    }
    fv_list names;
    FV_TRY(fv_list_names(&names, pairs));
    fv_status s = names.count == texts ? FV_OK
                                       : fv_fail(FV_ERR_FORMAT, "%s has %d lines for %d texts",
                                                 pairs, names.count, texts);
    for (int j = 0; s >= 0 && j < texts; j++) {
        q->image_of[j] = find_image(&q->images, names.at[j]);
        if (q->image_of[j] < 0 && q->images.asked == q->images.list.count)
            s = fv_fail(FV_ERR_FORMAT, "%s: line %d names %s, which is none of the pictures", pairs,
                        names.lines[j], names.at[j]);
    }
    fv_list_clear(&names);
    return s;
}

/* --- files --- */

static fv_status save_matrix(const match *q)
{
    int images = q->images.list.count, texts = q->texts.list.count;
    char *path, name[64];
    FV_TRY(many_path(&path, q->folder, many_view_file(&q->view, "matrix.npy", name)));
    fv_status s = fv_array_save(path, q->matrix, 2, (int64_t[]){images, texts});
    free(path);
    if (s < 0) return s;
    many_file f;
    FV_TRY(many_open(&f));
    fputs("image", f.to);
    for (int j = 0; j < texts; j++) {
        fputc(',', f.to);
        many_field(f.to, q->texts.list.at[j]);
    }
    fputc('\n', f.to);
    const float *at = q->matrix;
    for (int i = 0; i < images; i++) {
        many_name(f.to, q->images.list.at[i]);
        for (int j = 0; j < texts; j++) fprintf(f.to, ",%.6f", (double)*at++);
        fputc('\n', f.to);
    }
    return many_save(&f, q->folder, many_view_file(&q->view, "matrix.csv", name));
}

static fv_status read_thumbnails(const match *q, fv_picture *out)
{
    for (int i = 0; i < q->images.list.count; i++) {
        fv_picture whole;
        FV_TRY(fv_picture_read(&whole, q->images.list.at[i]));
        fv_status s = fv_picture_thumbnail(&out[i], &whole, fv_heat_cell(q->images.list.count));
        fv_picture_free(&whole);
        if (s < 0) return s;
    }
    return FV_OK;
}

/* Texts are the rows: a line of Chinese is easier to read than a column of it. */
static fv_status draw(const match *q, const float *values, const fv_picture *thumbnails,
                      char *const *names)
{
    char title[600], name[64];
    snprintf(title, sizeof title, "%s: cosine of images and texts", q->view.title);
    fv_heat h = {.title = title,
                 .rows = q->texts.list.count,
                 .columns = q->images.list.count,
                 .values = values,
                 .row_labels = q->texts.list.at,
                 .column_labels = names,
                 .column_pictures = thumbnails,
                 .decimals = 2};
    return many_heat_map(&h, q->folder, many_view_file(&q->view, "matrix.png", name));
}

static fv_status save_heat_map(const match *q)
{
    size_t images = (size_t)q->images.list.count, texts = (size_t)q->texts.list.count;
    fv_picture *thumbnails = calloc(images, sizeof *thumbnails);
    float *turned = malloc(images * texts * sizeof *turned);
    fv_list names = {0};
    fv_status s =
        thumbnails && turned ? FV_OK : fv_fail(FV_ERR_MEMORY, "drawing a matrix: out of memory");
    for (size_t i = 0; s >= 0 && i < images; i++) {
        s = fv_list_add(&names, many_stem(q->images.list.at[i]));
        for (size_t j = 0; j < texts; j++) turned[j * images + i] = q->matrix[i * texts + j];
    }
    bool thumbs = fv_heat_cell((int)images) > 0;
    if (s >= 0 && thumbs) s = read_thumbnails(q, thumbnails);
    if (s >= 0) s = draw(q, turned, thumbs ? thumbnails : NULL, names.at);
    for (size_t i = 0; thumbnails && i < images; i++) fv_picture_free(&thumbnails[i]);
    free(thumbnails);
    free(turned);
    fv_list_clear(&names);
    return s;
}

/* --- the best of each --- */

typedef struct side {
    const char *kind; /* "image": the queries are images */
    const many *queries, *answers;
    size_t step, stride; /* of queries and of answers in the matrix */
} side;

/* Entry i of a side: a name of a file has to stay one line, a text is one. */
static void print_entry(const match *q, const many *x, int i)
{
    if (x == &q->images)
        many_print_name(stdout, x->list.at[i]);
    else
        fputs(cli_shown(x->list.at[i]), stdout);
    putchar('\n');
}

static void entry_field(const match *q, const many *x, int i, FILE *csv)
{
    (x == &q->images ? many_name : many_field)(csv, x->list.at[i]);
}

static void json_entry(const match *q, const many *x, const char *key, int i)
{
    (x == &q->images ? json_path : json_text)(key, x->list.at[i]);
}

static void print_answer(const match *q, const side *d, int query, int rank, const fv_hit *h)
{
    json_begin("answer");
    many_view_json(&q->view, q->m);
    json_text("query_kind", d->kind);
    json_entry(q, d->queries, "query", query);
    json_whole("rank", rank);
    json_number("cosine", (double)h->score);
    json_entry(q, d->answers, "answer", h->index);
    json_end();
}

static fv_status report_top(const match *q, const side *d, FILE *csv)
{
    int top = q->c->top ? q->c->top : 5;
    fv_hit *hits = malloc((size_t)top * sizeof *hits);
    if (!hits) return fv_fail(FV_ERR_MEMORY, "ranking: out of memory");
    for (int i = 0; i < d->queries->list.count; i++) {
        const float *row = q->matrix + (size_t)i * d->step;
        int found = fv_top(row, d->answers->list.count, d->stride, top, hits);
        bool shown = i < SHOWN_QUERIES && q->view.guide < 0 && !json_on();
        if (shown) print_entry(q, d->queries, i);
        for (int k = 0; k < found; k++) {
            if (shown) printf("  %7.4f  ", (double)hits[k].score);
            if (shown) print_entry(q, d->answers, hits[k].index);
            if (json_on()) print_answer(q, d, i, k + 1, &hits[k]);
            fprintf(csv, "%s,", d->kind);
            entry_field(q, d->queries, i, csv);
            fprintf(csv, ",%d,%.6f,", k + 1, (double)hits[k].score);
            entry_field(q, d->answers, hits[k].index, csv);
            fputc('\n', csv);
        }
    }
    int more = q->view.guide < 0 ? d->queries->list.count - SHOWN_QUERIES : 0;
    if (more > 0 && !json_on()) printf("  ... and %d more in top.csv\n", more);
    if (q->view.guide < 0 && !json_on()) putchar('\n');
    free(hits);
    return FV_OK;
}

static fv_status save_top(const match *q)
{
    size_t texts = (size_t)q->texts.list.count;
    const side by_text = {"text", &q->texts, &q->images, 1, texts};
    const side by_image = {"image", &q->images, &q->texts, texts, 1};
    many_file f;
    FV_TRY(many_open(&f));
    fputs("query_kind,query,rank,cosine,answer\n", f.to);
    fv_status s = report_top(q, &by_text, f.to);
    if (s >= 0) s = report_top(q, &by_image, f.to);
    char name[64];
    fv_status saved = many_save(&f, q->folder, many_view_file(&q->view, "top.csv", name));
    return s < 0 ? s : saved;
}

/* --- on the terminal --- */

static void print_table(const match *q)
{
    int images = q->images.list.count, texts = q->texts.list.count, widest = 8;
    printf("%d images x %d texts\n", images, texts);
    if (images > SHOWN_ROWS || texts > SHOWN_COLUMNS) return;
    for (int j = 0; j < texts; j++) {
        int width = many_width(q->texts.list.at[j]);
        if (width > widest) widest = width;
    }
    if (widest > 18) widest = 18;
    many_pad(stdout, "", LABEL_COLUMNS);
    for (int j = 0; j < texts; j++) {
        fputs("  ", stdout);
        many_pad(stdout, q->texts.list.at[j], widest);
    }
    putchar('\n');
    for (int i = 0; i < images; i++) {
        many_pad(stdout, many_stem(q->images.list.at[i]), LABEL_COLUMNS);
        for (int j = 0; j < texts; j++)
            printf("  %*.4f", -widest, (double)q->matrix[(size_t)i * (size_t)texts + (size_t)j]);
        putchar('\n');
    }
    putchar('\n');
}

static void recall_json(const match *q, const char *of, int count, const double *shares)
{
    json_begin("recall");
    many_view_json(&q->view, q->m);
    json_text("of", of);
    json_whole("count", count);
    for (int k = 0; k < FV_RECALLS; k++) {
        char key[16];
        snprintf(key, sizeof key, "at_%d", fv_recall_at(k));
        json_number(key, shares[k]);
    }
    json_end();
}

static fv_status print_recall(const match *q)
{
    fv_recall r;
    FV_TRY(fv_recall_of(q->matrix, q->images.list.count, q->texts.list.count, q->image_of, &r));
    if (json_on()) {
        recall_json(q, "text to image", r.texts, r.text_to_image);
        recall_json(q, "image to text", r.images, r.image_to_text);
        return FV_OK;
    }
    printf("text to image, %d texts:  ", r.texts);
    for (int k = 0; k < FV_RECALLS; k++)
        printf("  R@%d %.1f %%", fv_recall_at(k), 100 * r.text_to_image[k]);
    printf("\nimage to text, %d images: ", r.images);
    for (int k = 0; k < FV_RECALLS; k++)
        printf("  R@%d %.1f %%", fv_recall_at(k), 100 * r.image_to_text[k]);
    putchar('\n');
    return FV_OK;
}

static fv_status report_view(match *q, int i)
{
    q->view = many_view_of(q->m, i);
    FV_TRY(many_view_scores(&q->view, q->m, q->images.rows, q->images.list.count, q->texts.rows,
                            q->texts.list.count, q->matrix));
    static const char *const files[] = {"matrix.png", "matrix.csv", "matrix.npy", "top.csv", NULL};
    many_view_heading(&q->view, q->m);
    if (!json_on()) print_table(q);
    FV_TRY(save_matrix(q));
    FV_TRY(save_top(q));
    if (q->image_of) FV_TRY(print_recall(q));
    FV_TRY(save_heat_map(q));
    many_view_files(&q->view, q->folder, files);
    return FV_OK;
}

static fv_status report(match *q)
{
    int images = q->images.list.count, texts = q->texts.list.count, views = many_views(q->m);
    q->matrix = malloc((size_t)images * (size_t)texts * sizeof *q->matrix);
    if (!q->matrix)
        return fv_fail(FV_ERR_MEMORY, "a matrix of %d x %d: out of memory", images, texts);
    for (int i = 0; i < views; i++) FV_TRY(report_view(q, i));
    if (!json_on())
        printf("%s/matrix.png, matrix.csv, matrix.npy, top.csv%s\n", q->folder,
               views > 1 ? ", and of each guide" : "");
    return FV_OK;
}

static fv_status run(match *q)
{
    if (!q->c->texts || !q->c->images)
        return fv_fail(FV_ERR_ARGUMENT, "match needs --images (a folder or a list) and --texts "
                                        "(one a line, - for standard input)");
    FV_TRY(place_check_folder(fv_options_get(q->c->options, "out")));
    FV_TRY(fv_model_open(&q->m, q->c->options));
    FV_TRY(many_texts(&q->texts, q->c, q->m, q->c->texts));
    FV_TRY(many_pictures(&q->images, q->c, q->m));
    if (q->c->pairs) FV_TRY(read_pairs(q));
    FV_TRY(many_folder(&q->folder, q->c, "match"));
    return report(q);
}

int command_match(cli *c)
{
    match q = {.c = c};
    fv_status s = run(&q);
    many_clear(&q.images);
    many_clear(&q.texts);
    free(q.image_of);
    free(q.matrix);
    free(q.folder);
    fv_model_close(q.m);
    return many_exit(s);
}
