/* feavis classify: zero-shot classes of pictures, and how well they fit where folders are named
 * after the classes.
 *
 * Results in a folder: classes.csv (a line a picture), and with true classes per_class.csv and
 * confusion.png. Of several guides these are by the mean of their cosines, and each has its own,
 * classes-guide1.csv and so on. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/json.h"
#include "app/cli/many.h"
#include "app/cli/places.h"
#include "feavis/classify.h"
#include "feavis/embed.h"
#include "feavis/match.h"

enum { SHOWN_PICTURES = 20, LABEL_COLUMNS = 32 };

typedef struct classify {
    const cli *c;
    fv_model *m;
    fv_classes classes;
    fv_list templates;
    many images;
    many_view view; /* whose scores they are */
    float *scores;  /* [images][classes] */
    int *truth;     /* [images] */
    int known;      /* images whose class is known */
    fv_confusion confusion;
    char *folder;
} classify;

static fv_status read_inputs(classify *q)
{
    char *path;
    if (!q->c->labels || !q->c->images)
        return fv_fail(FV_ERR_ARGUMENT, "classify needs --images (a folder or a list) and --labels "
                                        "(a file with one class a line, or a name in "
                                        "presets/labels)");
    FV_TRY(fv_list_find(&path, "labels", q->c->labels));
    fv_status s = fv_classes_read(&q->classes, path);
    free(path);
    if (s < 0 || !q->c->prompts) return s;
    FV_TRY(fv_list_find(&path, "prompts", q->c->prompts));
    s = fv_templates_read(&q->templates, path);
    free(path);
    return s;
}

static fv_status find_truth(classify *q)
{
    int images = q->images.list.count, classes = q->classes.count;
    q->scores = malloc((size_t)images * (size_t)classes * sizeof *q->scores);
    q->truth = malloc((size_t)images * sizeof *q->truth);
    if (!q->scores || !q->truth) return fv_fail(FV_ERR_MEMORY, "classifying: out of memory");
    for (int i = 0; i < images; i++) {
        q->truth[i] = fv_classes_of_path(&q->classes, q->images.list.at[i]);
        q->known += q->truth[i] >= 0;
    }
    return FV_OK;
}

static fv_status score(classify *q)
{
    int images = q->images.list.count, classes = q->classes.count;
    FV_TRY(many_view_scores(&q->view, q->m, q->images.rows, images, q->classes.rows, classes,
                            q->scores));
    fv_confusion_clear(&q->confusion);
    return fv_confusion_of(&q->confusion, q->scores, images, classes, q->truth);
}

/* --- files --- */

static void print_json(const classify *q, int image, int rank, const fv_hit *h)
{
    json_begin("class");
    many_view_json(&q->view, q->m);
    json_path("image", q->images.list.at[image]);
    json_text("true", q->truth[image] >= 0 ? q->classes.labels.at[q->truth[image]] : NULL);
    json_whole("rank", rank);
    json_text("class", q->classes.labels.at[h->index]);
    json_number("cosine", (double)h->score);
    json_end();
}

static fv_status save_pictures(const classify *q)
{
    int top = q->c->top ? q->c->top : 5;
    if (top > q->classes.count) top = q->classes.count;
    fv_hit *hits = malloc((size_t)top * sizeof *hits);
    many_file f;
    char name[64];
    if (!hits) return fv_fail(FV_ERR_MEMORY, "ranking: out of memory");
    fv_status s = many_open(&f);
    if (s < 0) {
        free(hits);
        return s;
    }
    fputs("image,true", f.to);
    for (int k = 1; k <= top; k++) fprintf(f.to, ",class %d,cosine %d", k, k);
    fputc('\n', f.to);
    for (int i = 0; i < q->images.list.count; i++) {
        fv_top(q->scores + (size_t)i * (size_t)q->classes.count, q->classes.count, 1, top, hits);
        many_name(f.to, q->images.list.at[i]);
        fputc(',', f.to);
        if (q->truth[i] >= 0) many_field(f.to, q->classes.labels.at[q->truth[i]]);
        for (int k = 0; k < top; k++) {
            fputc(',', f.to);
            many_field(f.to, q->classes.labels.at[hits[k].index]);
            fprintf(f.to, ",%.6f", (double)hits[k].score);
            if (json_on()) print_json(q, i, k + 1, &hits[k]);
        }
        fputc('\n', f.to);
        if (i >= SHOWN_PICTURES || q->known || json_on()) continue;
        many_pad(stdout, many_stem(q->images.list.at[i]), LABEL_COLUMNS);
        for (int k = 0; k < top && k < 3; k++)
            printf("  %s %.3f", cli_shown(q->classes.labels.at[hits[k].index]),
                   (double)hits[k].score);
        putchar('\n');
    }
    free(hits);
    return many_save(&f, q->folder, many_view_file(&q->view, "classes.csv", name));
}

static double share(int part, int whole)
{
    return whole ? (double)part / whole : 0;
}

/* One class in the table on the terminal. other: what it is most often taken for, -1 nothing. */
static void print_class(const classify *q, int j, double recall, double precision, int other)
{
    const fv_class_score *c = &q->confusion.scores[j];
    const char *taken = other >= 0 ? q->classes.labels.at[other] : "";
    int times = other >= 0 ? q->confusion.cells[j * q->confusion.count + other] : 0;
    if (json_on()) {
        json_begin("class_score");
        many_view_json(&q->view, q->m);
        json_text("class", q->classes.labels.at[j]);
        json_whole("pictures", c->pictures);
        json_whole("right", c->found);
        json_number("recall", recall);
        json_number("precision", precision);
        json_text("taken_for", other >= 0 ? taken : NULL);
        json_end();
        return;
    }
    many_pad(stdout, q->classes.labels.at[j], LABEL_COLUMNS);
    printf("%8d  %5.1f %%    %5.1f %%  %s", c->pictures, 100 * recall, 100 * precision,
           cli_shown(taken));
    if (other >= 0) printf(" (%d)", times);
    putchar('\n');
}

/* The table on the terminal and in per_class.csv. */
static fv_status save_table(const classify *q)
{
    const fv_confusion *x = &q->confusion;
    many_file f;
    char name[64];
    FV_TRY(many_open(&f));
    fputs("class,folder,pictures,right,recall,precision,most often taken for\n", f.to);
    if (!json_on()) many_pad(stdout, "class", LABEL_COLUMNS);
    if (!json_on()) puts("pictures  recall  precision  most often taken for");
    for (int j = 0; j < x->count; j++) {
        const fv_class_score *c = &x->scores[j];
        if (!c->pictures) continue;
        const int *row = x->cells + (size_t)j * (size_t)x->count;
        int other = -1;
        for (int k = 0; k < x->count; k++)
            if (k != j && row[k] && (other < 0 || row[k] > row[other])) other = k;
        double recall = share(c->found, c->pictures), precision = share(c->found, c->guessed);
        const char *taken = other >= 0 ? q->classes.labels.at[other] : "";
        print_class(q, j, recall, precision, other);
        many_field(f.to, q->classes.labels.at[j]);
        fputc(',', f.to);
        many_field(f.to, q->classes.folders.at[j]);
        fprintf(f.to, ",%d,%d,%.4f,%.4f,", c->pictures, c->found, recall, precision);
        many_field(f.to, taken);
        fputc('\n', f.to);
    }
    return many_save(&f, q->folder, many_view_file(&q->view, "per_class.csv", name));
}

/* Rows are shares of a class's pictures, so that classes of any size look alike. */
static fv_status save_confusion(const classify *q)
{
    const fv_confusion *x = &q->confusion;
    size_t n = (size_t)x->count;
    float *shares = malloc(n * n * sizeof *shares);
    if (!shares) return fv_fail(FV_ERR_MEMORY, "drawing a confusion matrix: out of memory");
    for (size_t j = 0; j < n; j++)
        for (size_t k = 0; k < n; k++)
            shares[j * n + k] = (float)(100 * share(x->cells[j * n + k], x->scores[j].pictures));
    char title[600], name[64];
    snprintf(title, sizeof title, "%s: %.1f %% of %d pictures", q->view.title, 100 * x->accuracy,
             x->pictures);
    fv_heat h = {.title = title,
                 .rows = x->count,
                 .columns = x->count,
                 .values = shares,
                 .row_labels = q->classes.labels.at,
                 .column_labels = q->classes.labels.at,
                 .row_axis = "true class",
                 .column_axis = "class found, % of the row",
                 .high = 100};
    fv_status s = many_heat_map(&h, q->folder, many_view_file(&q->view, "confusion.png", name));
    free(shares);
    return s;
}

static void warn_of_truth(const classify *q)
{
    int images = q->images.list.count;
    if (!q->known && !json_on())
        printf("no folder is named like a class, so there is no accuracy\n");
    if (q->known && q->known < images)
        fprintf(stderr,
                "feavis: %d of %d pictures lie in no folder named like a class: they are "
                "not counted\n",
                images - q->known, images);
}

static fv_status report_truth(const classify *q)
{
    const fv_confusion *x = &q->confusion;
    FV_TRY(save_table(q));
    FV_TRY(save_confusion(q));
    if (json_on()) {
        json_begin("accuracy");
        many_view_json(&q->view, q->m);
        json_whole("pictures", x->pictures);
        json_number("first", x->accuracy);
        json_number("first_five", x->top5);
        json_number("mean_over_classes", x->mean_class_accuracy);
        json_end();
        return FV_OK;
    }
    printf("\naccuracy %.1f %% of %d pictures, among the first five %.1f %%, mean over classes "
           "%.1f %%\n",
           100 * x->accuracy, x->pictures, 100 * x->top5, 100 * x->mean_class_accuracy);
    return FV_OK;
}

static fv_status report(classify *q)
{
    static const char *const files[] = {"per_class.csv", "confusion.png", "classes.csv", NULL};
    int views = many_views(q->m);
    FV_TRY(find_truth(q));
    for (int i = 0; i < views; i++) {
        q->view = many_view_of(q->m, i);
        FV_TRY(score(q));
        if (i && !json_on()) putchar('\n');
        many_view_heading(&q->view, q->m);
        FV_TRY(save_pictures(q));
        if (i == 0) warn_of_truth(q);
        if (q->known) FV_TRY(report_truth(q));
        many_view_files(&q->view, q->folder, q->known ? files : files + 2);
    }
    if (json_on()) return FV_OK;
    printf("%s/classes.csv%s%s\n", q->folder, q->known ? ", per_class.csv, confusion.png" : "",
           views > 1 ? ", and of each guide" : "");
    return FV_OK;
}

static fv_status run(classify *q)
{
    FV_TRY(read_inputs(q));
    FV_TRY(place_check_folder(fv_options_get(q->c->options, "out")));
    FV_TRY(fv_model_open(&q->m, q->c->options));
    FV_TRY(fv_classes_embed(&q->classes, q->m, q->templates.count ? &q->templates : NULL));
    FV_TRY(many_pictures(&q->images, q->c, q->m));
    FV_TRY(many_folder(&q->folder, q->c, "classify"));
    return report(q);
}

int command_classify(cli *c)
{
    classify q = {.c = c};
    fv_status s = run(&q);
    fv_classes_clear(&q.classes);
    fv_list_clear(&q.templates);
    many_clear(&q.images);
    fv_confusion_clear(&q.confusion);
    free(q.scores);
    free(q.truth);
    free(q.folder);
    fv_model_close(q.m);
    return many_exit(s);
}
