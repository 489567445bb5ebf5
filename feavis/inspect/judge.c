/* What a classifier that took no part sees in a finished picture, and plain figures of its
 * pixels. See feavis.h.
 *
 *   pixels {1,S,S,3} -> (x - mean) / std -> EfficientNet -> logits {1,1,1,K} -> softmax */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/critic.h"
#include "feavis/judge.h"
#include "feavis/preset.h"
#include "feavis/top.h"
#include "kernels/number.h"
#include "model/nets/efficientnet.h"

/* A word of a text and the classes it stands for. */
typedef struct meaning {
    char *word;
    int low, high;
} meaning;

struct fv_judge {
    fv_backend *backend;
    fv_weights *weights;
    fv_source source;
    fv_plan *plan;
    fv_ref pixels, logits;
    int side, classes;
    float *input; /* [side * side * 3] */
    char **names; /* [classes], English; NULL where there is none */
    meaning *meanings;
    int meaning_count;
};

/* --- names --- */

static fv_status add_meaning(fv_judge *j, const char *word, size_t length, int low, int high)
{
    meaning *more = realloc(j->meanings, ((size_t)j->meaning_count + 1) * sizeof *more);
    if (more) j->meanings = more;
    char *copy = more ? strndup(word, length) : NULL;
    if (!copy) return fv_fail(FV_ERR_MEMORY, "reading the judge's names: out of memory");
    j->meanings[j->meaning_count++] = (meaning){copy, low, high};
    return FV_OK;
}

/* Every one of "a;b;c" stands for classes low to high. */
static fv_status add_words(fv_judge *j, const char *words, int low, int high)
{
    while (*words) {
        size_t n = strcspn(words, ";");
        if (n) FV_TRY(add_meaning(j, words, n, low, high));
        words += n + (words[n] == ';');
    }
    return FV_OK;
}

/* Cuts a line at its tabs; NULL for columns that are not there. */
static void split(char *line, char *columns[3])
{
    line[strcspn(line, "\r\n")] = 0;
    for (int i = 0; i < 3; i++) {
        columns[i] = line;
        char *tab = line ? strchr(line, '\t') : NULL;
        if (tab) *tab++ = 0;
        line = tab;
    }
}

static bool parse_range(const fv_judge *j, const char *text, int *low, int *high, int *used)
{
    int n = 0;
    *used = 0;
    if (sscanf(text, " %d%n", low, used) != 1) return false;
    *high = *low;
    if (text[*used] == '-') {
        if (sscanf(text + *used + 1, "%d%n", high, &n) != 1) return false;
        *used += n + 1;
    }
    return *low >= 0 && *low <= *high && *high < j->classes;
}

/* "index, English, Chinese" */
static fv_status read_class(fv_judge *j, char *columns[3])
{
    int k, high, used;
    if (!columns[2] || !parse_range(j, columns[0], &k, &high, &used) || columns[0][used])
        return fv_fail(FV_ERR_FORMAT, "expected class (0 to %d), English and Chinese names",
                       j->classes - 1);
    free(j->names[k]);
    j->names[k] = strndup(columns[1], strcspn(columns[1], ";"));
    if (!j->names[k]) return fv_fail(FV_ERR_MEMORY, "reading the judge's names: out of memory");
    FV_TRY(add_words(j, columns[1], k, k));
    return add_words(j, columns[2], k, k);
}

/* "Chinese, English, classes" */
static fv_status read_group(fv_judge *j, char *columns[3])
{
    const char *at = columns[2] ? columns[2] : "";
    int low, high, used;
    do {
        if (!parse_range(j, at, &low, &high, &used))
            return fv_fail(FV_ERR_FORMAT, "expected Chinese and English words and classes, such "
                                          "as 7-24 80");
        FV_TRY(add_words(j, columns[0], low, high));
        FV_TRY(add_words(j, columns[1], low, high));
        at += used;
        at += strspn(at, " ");
    } while (*at);
    return FV_OK;
}

static fv_status read_table(fv_judge *j, const char *path,
                            fv_status (*row)(fv_judge *, char *columns[3]))
{
    FILE *f = fopen(path, "r");
    if (!f) return fv_fail(FV_ERR_IO, "opening the judge's names %s failed", path);
    char *line = NULL;
    size_t room = 0;
    fv_status s = FV_OK;
    for (int number = 1; s >= 0 && getline(&line, &room, f) >= 0; number++) {
        char *columns[3];
        if (*line == '#' || strspn(line, " \t\r\n") == strlen(line)) continue;
        split(line, columns);
        s = row(j, columns);
        if (s < 0) s = fv_fail_context(s, "%s:%d", path, number);
    }
    free(line);
    fclose(f);
    return s;
}

/* The text without an article and white space round it. */
static const char *bare(const char *text, size_t *length)
{
    static const char *const articles[] = {"a ", "an ", "the "};
    while (isspace((unsigned char)*text)) text++;
    for (int i = 0; i < 3; i++)
        if (fv_same_start(text, articles[i], strlen(articles[i]))) {
            text += strlen(articles[i]);
            break;
        }
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1])) n--;
    *length = n;
    return text;
}

bool fv_judge_is_named(const fv_judge *j, const char *text, int k)
{
    size_t n;
    text = bare(text, &n);
    for (int i = 0; i < j->meaning_count; i++) {
        const meaning *m = &j->meanings[i];
        if (k >= m->low && k <= m->high && strlen(m->word) == n && fv_same_start(m->word, text, n))
            return true;
    }
    return false;
}

/* --- open, close --- */

static fv_status metadata_number(const fv_judge *j, const char *key, float *out)
{
    const char *text = fv_weights_metadata(j->weights, key);
    char *end;
    *out = text ? fv_to_float(text, &end) : 0;
    if (text && end != text && !*end && isfinite(*out) && *out > 0 && *out < 4096) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "judge %s: its metadata lacks a number \"%s\"",
                   fv_weights_path(j->weights), key);
}

static fv_status build(fv_judge *j)
{
    fv_efficientnet net;
    float size, mean, std, scale[3], shift[3];
    const char *network = fv_weights_metadata(j->weights, "network");
    if (!network)
        return fv_fail(FV_ERR_FORMAT, "judge %s: its metadata does not name a network",
                       fv_weights_path(j->weights));
    FV_TRY(fv_efficientnet_named(&net, network));
    FV_TRY(metadata_number(j, "size", &size));
    FV_TRY(metadata_number(j, "mean", &mean));
    FV_TRY(metadata_number(j, "std", &std));
    j->side = (int)size;
    for (int c = 0; c < 3; c++) scale[c] = 1 / std, shift[c] = -mean / std;
    FV_TRY(fv_plan_new(&j->plan, j->backend));
    fv_plan *p = j->plan;
    j->source = (fv_source){.weights = j->weights, .root = ""};
    j->pixels = fv_plan_input(p, "pixels", (fv_shape){1, j->side, j->side, 3}, FV_REAL);
    fv_ref x = fv_affine(p, "normalised", j->pixels,
                         fv_plan_weight(p, "scale", (fv_shape){1, 1, 1, 3}, scale),
                         fv_plan_weight(p, "shift", (fv_shape){1, 1, 1, 3}, shift));
    fv_builder b = {.plan = p, .source = &j->source};
    j->logits = fv_efficientnet_classify(&b, fv_efficientnet_build(&b, &net, x));
    fv_plan_output(p, j->logits);
    FV_TRY(fv_plan_finish(p, FV_PLAN_FORWARD));
    j->classes = fv_plan_shape(p, j->logits).c;
    j->input = malloc((size_t)j->side * (size_t)j->side * 3 * sizeof *j->input);
    j->names = calloc((size_t)j->classes, sizeof *j->names);
    return j->input && j->names ? FV_OK
                                : fv_fail(FV_ERR_MEMORY, "opening the judge: out of memory");
}

static fv_status shipped(char *out, size_t size, const char *given, const char *relative)
{
    const char *home = given ? "" : fv_home();
    if (!home)
        return fv_fail(FV_ERR_IO, "the judge was not found: set FEAVIS_HOME to the folder that "
                                  "holds model/judge");
    int n = given ? snprintf(out, size, "%s", given) : snprintf(out, size, "%s/%s", home, relative);
    return n > 0 && (size_t)n < size ? FV_OK
                                     : fv_fail(FV_ERR_ARGUMENT, "the judge's path is too long");
}

static fv_status open_judge(fv_judge *j, const char *file, const char *names, const char *groups,
                            const char *backend, int threads)
{
    char path[4096];
    FV_TRY(shipped(path, sizeof path, file, "model/judge/judge.safetensors"));
    FV_TRY(fv_weights_open(&j->weights, path));
    FV_TRY(fv_backend_open(&j->backend, backend, threads));
    FV_TRY(build(j));
    FV_TRY(shipped(path, sizeof path, names, "model/mini/classes.tsv"));
    FV_TRY(read_table(j, path, read_class));
    FV_TRY(shipped(path, sizeof path, groups, "model/judge/groups.tsv"));
    return read_table(j, path, read_group);
}

fv_status fv_judge_open(fv_judge **out, const char *file, const char *names, const char *groups,
                        const char *backend, int threads)
{
    fv_judge *j = calloc(1, sizeof *j);
    if (!j) return fv_fail(FV_ERR_MEMORY, "opening the judge: out of memory");
    fv_status s = open_judge(j, file, names, groups, backend, threads);
    if (s < 0) {
        fv_judge_close(j);
        return s;
    }
    *out = j;
    return FV_OK;
}

void fv_judge_close(fv_judge *j)
{
    if (!j) return;
    fv_plan_free(j->plan);
    fv_backend_close(j->backend);
    fv_weights_close(j->weights);
    for (int i = 0; i < j->meaning_count; i++) free(j->meanings[i].word);
    for (int i = 0; j->names && i < j->classes; i++) free(j->names[i]);
    free(j->meanings);
    free(j->names);
    free(j->input);
    free(j);
}

const char *fv_judge_title(const fv_judge *j)
{
    const char *title = fv_weights_metadata(j->weights, "title");
    return title ? title : fv_weights_metadata(j->weights, "network");
}

int fv_judge_class_count(const fv_judge *j)
{
    return j->classes;
}

const char *fv_judge_class_name(const fv_judge *j, int k)
{
    return k >= 0 && k < j->classes && j->names[k] ? j->names[k] : "";
}

/* --- looking --- */

fv_status fv_judge_look(fv_judge *j, const fv_picture *p, float *probabilities)
{
    fv_picture_to_tensor(p, j->side, j->input);
    FV_TRY(fv_plan_upload(j->plan, j->pixels, j->input));
    FV_TRY(fv_plan_forward(j->plan));
    FV_TRY(fv_plan_download(j->plan, j->logits, probabilities));
    float most = probabilities[0];
    double sum = 0;
    for (int k = 1; k < j->classes; k++) most = fmaxf(most, probabilities[k]);
    for (int k = 0; k < j->classes; k++)
        sum += (double)(probabilities[k] = expf(probabilities[k] - most));
    for (int k = 0; k < j->classes; k++) probabilities[k] = (float)(probabilities[k] / sum);
    return FV_OK;
}

static void rank(const fv_judge *j, const float *p, const char *text, fv_verdict *out)
{
    fv_hit best[FV_JUDGE_BEST];
    int found = fv_top(p, j->classes, 1, FV_JUDGE_BEST, best);
    for (int i = 0; i < FV_JUDGE_BEST; i++) out->best[i] = i < found ? best[i].index : -1;
    out->wanted = -1;
    for (int k = 0; text && k < j->classes; k++) {
        if (!fv_judge_is_named(j, text, k)) continue;
        out->probability += p[k];
        if (out->wanted < 0 || p[k] > p[out->wanted]) out->wanted = k;
    }
    if (out->wanted < 0) return;
    out->rank = 1;
    for (int k = 0; k < j->classes; k++) out->rank += p[k] > p[out->wanted];
}

/* Figures of the pixels alone. */
static void measure(const fv_picture *p, fv_verdict *out)
{
    size_t w = (size_t)p->width, n = w * (size_t)p->height, pairs = 0;
    double sums[3] = {0}, vivid = 0, rough = 0;
    size_t clipped = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *x = p->rgb + 3 * i;
        int high = x[0], low = x[0];
        for (int c = 0; c < 3; c++) {
            sums[c] += x[c];
            clipped += x[c] == 0 || x[c] == 255;
            high = x[c] > high ? x[c] : high;
            low = x[c] < low ? x[c] : low;
            if (i % w + 1 < w) rough += abs(x[c] - x[c + 3]), pairs++;
            if (i + w < n) rough += abs(x[c] - x[(size_t)c + 3 * w]), pairs++;
        }
        vivid += high ? (double)(high - low) / high : 0;
    }
    for (int c = 0; c < 3; c++) out->mean[c] = (float)(sums[c] / (255.0 * (double)n));
    out->light = 0.299f * out->mean[0] + 0.587f * out->mean[1] + 0.114f * out->mean[2];
    out->clipped = (float)clipped / (float)(3 * n);
    out->vivid = (float)(vivid / (double)n);
    out->rough = pairs ? (float)(rough / (255.0 * (double)pairs)) : 0;
}

fv_status fv_judge_picture(fv_judge *j, fv_critic *critic, const fv_picture *p, const char *text,
                           fv_verdict *out)
{
    fv_verdict v = {.cosines = {NAN, NAN, NAN}, .robustness = NAN};
    float *probabilities = malloc((size_t)j->classes * sizeof *probabilities);
    if (!probabilities) return fv_fail(FV_ERR_MEMORY, "judging: out of memory");
    fv_status s = fv_judge_look(j, p, probabilities);
    if (s >= 0) {
        rank(j, probabilities, text, &v);
        measure(p, &v);
    }
    if (s >= 0 && critic && text) {
        s = fv_critic_robustness(critic, p, text, &v.cosines);
        v.robustness = v.cosines.blurred / v.cosines.whole;
    }
    free(probabilities);
    if (s >= 0) *out = v;
    return s;
}

/* --- contact sheet --- */

static void frame_colour(const fv_verdict *v, uint8_t rgb[3])
{
    static const uint8_t colours[4][3] = {
        {128, 128, 128}, {40, 160, 60}, {225, 190, 40}, {200, 50, 40}};
    int which = v->wanted < 0 ? 0 : v->rank == 1 ? 1 : v->rank <= FV_JUDGE_BEST ? 2 : 3;
    memcpy(rgb, colours[which], 3);
}

/* Area mean of the source pixels under an output pixel; nearest where it is enlarged. */
static void fit(const fv_picture *p, uint8_t *out, size_t stride, int side)
{
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int x0 = x * p->width / side, x1 = (x + 1) * p->width / side;
            int y0 = y * p->height / side, y1 = (y + 1) * p->height / side;
            if (x1 <= x0) x1 = x0 + 1;
            if (y1 <= y0) y1 = y0 + 1;
            for (int c = 0; c < 3; c++) {
                unsigned sum = 0, count = (unsigned)(x1 - x0) * (unsigned)(y1 - y0);
                for (int v = y0; v < y1; v++)
                    for (int u = x0; u < x1; u++)
                        sum += p->rgb[((size_t)v * (size_t)p->width + (size_t)u) * 3 + (size_t)c];
                out[(size_t)y * stride + (size_t)x * 3 + (size_t)c] =
                    (uint8_t)((sum + count / 2) / count);
            }
        }
}

fv_status fv_judge_sheet(fv_picture *out, const fv_picture *pictures, const fv_verdict *verdicts,
                         int count, int cell)
{
    enum { FRAME = 3, GAP = 3, MOST = 16384 };
    int columns = (int)ceil(sqrt(count * 1.5)), pitch = cell + 2 * FRAME + GAP;
    if (count < 1 || cell < 8) return fv_fail(FV_ERR_ARGUMENT, "a contact sheet of nothing");
    int rows = (count + columns - 1) / columns;
    if (columns * pitch > MOST || rows * pitch > MOST)
        return fv_fail(FV_ERR_ARGUMENT, "a contact sheet of %d pictures is too large", count);
    fv_picture sheet = {columns * pitch + GAP, rows * pitch + GAP, NULL};
    size_t stride = (size_t)sheet.width * 3;
    sheet.rgb = malloc(stride * (size_t)sheet.height);
    if (!sheet.rgb) return fv_fail(FV_ERR_MEMORY, "making a contact sheet: out of memory");
    memset(sheet.rgb, 24, stride * (size_t)sheet.height);
    for (int i = 0; i < count; i++) {
        uint8_t colour[3];
        uint8_t *corner = sheet.rgb + (size_t)(GAP + i / columns * pitch) * stride +
                          (size_t)(GAP + i % columns * pitch) * 3;
        frame_colour(&verdicts[i], colour);
        for (int y = 0; y < cell + 2 * FRAME; y++)
            for (int x = 0; x < cell + 2 * FRAME; x++)
                memcpy(corner + (size_t)y * stride + (size_t)x * 3, colour, 3);
        fit(&pictures[i], corner + FRAME * stride + FRAME * 3, stride, cell);
    }
    *out = sheet;
    return FV_OK;
}
