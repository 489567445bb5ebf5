/* What each channel of an atlas is about: words nearest to its picture, words that the head moves
 * it to, photos that excite it. See atlas.h.
 *
 * Some words are near every picture, and all pictures of one network are alike: so of both, and of
 * the head's directions, the mean is taken away before cosines are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli/atlas.h"
#include "app/cli/grow.h"
#include "app/cli/json.h"
#include "feavis/critic.h"
#include "feavis/embed.h"
#include "feavis/files.h"
#include "feavis/names.h"

enum { BATCH = 4, CANDIDATES = 40, BLOCK = 1024, NAME_BYTES = 24 };

float atlas_dot(const float *a, const float *b, int dim)
{
    float sum[8] = {0};
    int i = 0;
    for (; i + 8 <= dim; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < dim; i++) sum[0] += a[i] * b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void to_unit(float *row, int dim)
{
    float length = sqrtf(atlas_dot(row, row, dim));
    for (int i = 0; i < dim; i++) row[i] = length > 0 ? row[i] / length : 0;
}

void atlas_centre(float *rows, int count, int dim)
{
    for (int k = 0; k < count; k++) to_unit(rows + (size_t)k * (size_t)dim, dim);
    for (int i = 0; i < dim; i++) {
        double mean = 0;
        for (int k = 0; k < count; k++) mean += (double)rows[(size_t)k * (size_t)dim + (size_t)i];
        mean /= count;
        for (int k = 0; count > 1 && k < count; k++)
            rows[(size_t)k * (size_t)dim + (size_t)i] -= (float)mean;
    }
    for (int k = 0; k < count; k++) to_unit(rows + (size_t)k * (size_t)dim, dim);
}

/* --- looking at pictures --- */

/* The image tower with the layer, and what it makes of a batch. */
typedef struct eyes {
    fv_image_encoder *encoder;
    fv_map map;
    int dim;
    size_t pixels;                     /* numbers a picture */
    float *input, *embedding, *values; /* of a batch */
    float *means;                      /* [BATCH][channels] over positions */
} eyes;

static void close_eyes(eyes *e)
{
    fv_image_encoder_close(e->encoder);
    free(e->input);
    free(e->embedding);
    free(e->values);
    free(e->means);
}

static fv_status open_eyes(eyes *e, const atlas *a)
{
    const char *layer = a->how.layer;
    int side = fv_model_image_size(a->model);
    FV_TRY(fv_image_encoder_open(&e->encoder, a->model, BATCH, &layer, 1));
    fv_image_encoder_layer(e->encoder, 0, &e->map);
    e->dim = fv_model_dim(a->model);
    e->pixels = (size_t)side * (size_t)side * 3;
    size_t channels = (size_t)e->map.channels;
    e->input = calloc(BATCH * e->pixels, sizeof(float));
    e->embedding = malloc(BATCH * (size_t)e->dim * sizeof(float));
    e->values =
        malloc(BATCH * channels * (size_t)e->map.rows * (size_t)e->map.columns * sizeof(float));
    e->means = malloc(BATCH * channels * sizeof(float));
    return e->input && e->embedding && e->values && e->means
               ? FV_OK
               : fv_fail(FV_ERR_MEMORY, "looking at pictures: out of memory");
}

static fv_status look(eyes *e)
{
    size_t channels = (size_t)e->map.channels;
    size_t positions = (size_t)e->map.rows * (size_t)e->map.columns;
    FV_TRY(fv_image_encoder_forward(e->encoder, e->input, e->embedding));
    FV_TRY(fv_image_encoder_read(e->encoder, 0, e->values));
    memset(e->means, 0, BATCH * channels * sizeof(float));
    for (size_t b = 0; b < BATCH; b++)
        for (size_t i = 0; i < positions; i++)
            for (size_t k = 0; k < channels; k++)
                e->means[b * channels + k] +=
                    e->values[(b * positions + i) * channels + k] / (float)positions;
    return FV_OK;
}

static fv_status look_at_channels(atlas *a, eyes *e)
{
    for (int from = 0; from < a->count; from += BATCH) {
        int count = a->count - from < BATCH ? a->count - from : BATCH;
        if (grow_interrupted()) return FV_CANCELLED;
        for (int b = 0; b < count; b++)
            FV_TRY(fv_image_encoder_pixels(e->encoder, &a->at[from + b].picture,
                                           e->input + (size_t)b * e->pixels));
        FV_TRY(look(e));
        memcpy(a->rows + (size_t)from * (size_t)e->dim, e->embedding,
               (size_t)count * (size_t)e->dim * sizeof(float));
        for (int b = 0; b < count; b++)
            a->at[from + b].reached = e->means[b * e->map.channels + a->at[from + b].number];
    }
    atlas_centre(a->rows, a->count, e->dim);
    return FV_OK;
}

fv_status atlas_look(atlas *a)
{
    eyes e = {0};
    a->direct = strcmp(a->how.layer, "LLP") == 0;
    a->rows = malloc((size_t)a->count * (size_t)fv_model_dim(a->model) * sizeof *a->rows);
    fv_status s = a->rows ? open_eyes(&e, a) : fv_fail(FV_ERR_MEMORY, "an atlas: out of memory");
    if (s >= 0) s = look_at_channels(a, &e);
    close_eyes(&e);
    return s;
}

/* --- photos --- */

/* The middle square, by the mean over each pixel's area. */
static fv_status shrink(fv_picture *out, const fv_picture *p)
{
    int side = p->width < p->height ? p->width : p->height;
    int left = (p->width - side) / 2, top = (p->height - side) / 2;
    *out = (fv_picture){ATLAS_THUMB, ATLAS_THUMB, malloc((size_t)ATLAS_THUMB * ATLAS_THUMB * 3)};
    if (!out->rgb) return fv_fail(FV_ERR_MEMORY, "thumbnails: out of memory");
    for (int y = 0; y < ATLAS_THUMB; y++)
        for (int x = 0; x < ATLAS_THUMB; x++) {
            int y0 = (int)((int64_t)y * side / ATLAS_THUMB);
            int y1 = (int)((int64_t)(y + 1) * side / ATLAS_THUMB);
            int x0 = (int)((int64_t)x * side / ATLAS_THUMB);
            int x1 = (int)((int64_t)(x + 1) * side / ATLAS_THUMB);
            if (y1 == y0) y1++;
            if (x1 == x0) x1++;
            for (int c = 0; c < 3; c++) {
                int64_t sum = 0;
                for (int i = y0; i < y1; i++)
                    for (int j = x0; j < x1; j++)
                        sum +=
                            p->rgb[((size_t)(top + i) * (size_t)p->width + (size_t)(left + j)) * 3 +
                                   (size_t)c];
                out->rgb[(y * ATLAS_THUMB + x) * 3 + c] =
                    (uint8_t)(sum / ((int64_t)(y1 - y0) * (x1 - x0)));
            }
        }
    return FV_OK;
}

/* Photo number a->photos.count, into row b of the batch; one that cannot be read is a line. */
static fv_status take_photo(atlas *a, eyes *e, const char *path, int *b)
{
    fv_picture p;
    if (fv_picture_read(&p, path) < 0) {
        fprintf(stderr, "feavis: %s\n", fv_error());
        return FV_OK;
    }
    fv_status s = fv_image_encoder_pixels(e->encoder, &p, e->input + (size_t)*b * e->pixels);
    if (s >= 0) s = shrink(&a->small[a->photos.count], &p);
    fv_picture_free(&p);
    if (s >= 0) s = fv_list_add(&a->photos, path);
    if (s >= 0) ++*b;
    return s;
}

static void offer(atlas *a, const eyes *e, int first, int count)
{
    for (int b = 0; b < count; b++)
        for (int i = 0; i < a->count; i++) {
            atlas_channel *one = &a->at[i];
            fv_top_offer(one->photos, ATLAS_PHOTOS, &one->photo_count, first + b,
                         e->means[b * e->map.channels + one->number]);
        }
}

static fv_status look_at_photos(atlas *a, eyes *e, const fv_list *paths)
{
    int b = 0;
    for (int i = 0; i < paths->count; i++) {
        if (grow_interrupted()) return FV_CANCELLED;
        FV_TRY(take_photo(a, e, paths->at[i], &b));
        if (b < BATCH && i + 1 < paths->count) continue;
        if (b) FV_TRY(look(e));
        offer(a, e, a->photos.count - b, b);
        b = 0;
    }
    return FV_OK;
}

/* Bytes of the folder that a path of each is in, with its slash. */
static size_t common_folder(const fv_list *paths)
{
    size_t same = strlen(paths->at[0]);
    for (int i = 1; i < paths->count; i++) {
        size_t n = 0;
        while (n < same && paths->at[i][n] == paths->at[0][n]) n++;
        same = n;
    }
    while (same && paths->at[0][same - 1] != '/') same--;
    return same;
}

static size_t base_of(const char *source, const fv_list *paths)
{
    struct stat st;
    size_t n = strlen(source);
    if (stat(source, &st) != 0 || !S_ISDIR(st.st_mode)) return common_folder(paths);
    return source[n - 1] == '/' ? n : n + 1;
}

char *atlas_photo_name(const atlas *a, int i)
{
    const char *path = a->photos.at[i], *name = path + a->photo_base;
    bool rooted = a->photo_base == 1 || *name == '/'; /* nobody's business in a page */
    return fv_name_escaped(rooted ? strrchr(path, '/') + 1 : name);
}

fv_status atlas_photos(atlas *a)
{
    fv_list paths, notes;
    eyes e = {0};
    if (!a->c->photos) return FV_OK;
    FV_TRY(fv_list_pictures(&paths, a->c->photos, NULL, &notes));
    for (int i = 0; i < notes.count; i++) fprintf(stderr, "feavis: %s\n", notes.at[i]);
    fv_list_clear(&notes);
    a->photo_base = base_of(a->c->photos, &paths);
    a->small = calloc((size_t)paths.count + 1, sizeof *a->small);
    fv_status s = a->small ? open_eyes(&e, a) : fv_fail(FV_ERR_MEMORY, "photos: out of memory");
    if (s >= 0) s = look_at_photos(a, &e, &paths);
    if (s == FV_OK && !a->photos.count)
        s = fv_fail(FV_ERR_FORMAT, "none of the %d photos of %s could be read", paths.count,
                    a->c->photos);
    close_eyes(&e);
    fv_list_clear(&paths);
    return s;
}

/* --- words --- */

static int language_of(const char *word)
{
    for (const unsigned char *at = (const unsigned char *)word; *at; at++)
        if ((*at >= 0xe3 && *at <= 0xe9) || *at == 0xf0) return 0; /* an ideograph */
    return 1;
}

/* "金鱼;鲫鱼" of a table of names, one by one; sentences are no names. */
static fv_status add_names(fv_list *to, char *field)
{
    char *name;
    while ((name = strsep(&field, ";"))) {
        size_t n = strlen(name);
        if (n && n <= NAME_BYTES) FV_TRY(fv_list_add(to, name));
    }
    return FV_OK;
}

/* The first two fields of each line that begin with no digit: names in two languages. */
static fv_status read_names(fv_list *to, const char *path)
{
    char *text, *line, *field;
    if (access(path, R_OK) != 0) return FV_OK;
    FV_TRY(fv_text_read(&text, path));
    fv_status s = FV_OK;
    for (char *rest = text; s >= 0 && (line = strsep(&rest, "\n"));)
        for (int k = 0; s >= 0 && k < ATLAS_LANGUAGES && (field = strsep(&line, "\t"));) {
            if (*field >= '0' && *field <= '9') continue;
            s = add_names(to, field);
            k++;
        }
    free(text);
    return s;
}

/* What the shipped model's words are written down in, which a person can read; --words: others. */
static fv_status open_words(atlas *a)
{
    static const char *const tables[] = {"classes.tsv", "lexicon.tsv"};
    char path[4096];
    const char *home = fv_home();
    if (a->c->words_file) return fv_list_lines(&a->words, a->c->words_file);
    for (int i = 0; home && i < 2; i++) {
        snprintf(path, sizeof path, "%s/model/mini/%s", home, tables[i]);
        FV_TRY(read_names(&a->words, path));
    }
    return a->words.count ? FV_OK
                          : fv_fail(FV_ERR_IO, "the list of words that ships was not found: give "
                                               "one with --words FILE");
}

static fv_status embed_words(const atlas *a, float *rows, int dim)
{
    for (int i = 0; i < a->words.count; i++) {
        FV_TRY(fv_model_embed_text(a->model, a->words.at[i], rows + (size_t)i * (size_t)dim, NULL));
        if (grow_interrupted()) return FV_CANCELLED;
        if ((i + 1) % 1000 == 0 && !a->c->quiet)
            fprintf(stderr, "words %d/%d\n", i + 1, a->words.count);
    }
    return FV_OK;
}

/* The best of each language for every row, [count][ATLAS_LANGUAGES][CANDIDATES]. */
typedef struct ranking {
    fv_hit (*hits)[CANDIDATES];
    int *found;
} ranking;

/* scores: room for [a->count][BLOCK]. */
static fv_status offer_words(const atlas *a, const float *rows, const float *words, int dim,
                             float *scores, ranking *r)
{
    for (int first = 0; first < a->words.count; first += BLOCK) {
        int count = a->words.count - first < BLOCK ? a->words.count - first : BLOCK;
        if (grow_interrupted()) return FV_CANCELLED;
        FV_TRY(fv_similarities(a->model, rows, a->count, words + (size_t)first * (size_t)dim, count,
                               scores));
        for (int w = 0; w < count; w++) {
            int language = language_of(a->words.at[first + w]);
            for (int i = 0; i < a->count; i++) {
                int to = i * ATLAS_LANGUAGES + language;
                fv_top_offer(r->hits[to], CANDIDATES, &r->found[to], first + w,
                             scores[(size_t)i * (size_t)count + (size_t)w]);
            }
        }
    }
    return FV_OK;
}

/* The best that say something new: no word that means nearly what one before it does, none that is
 * much worse than the first. */
static void choose(const float *words, int dim, const fv_hit *hits, int found, fv_hit *out,
                   int *count)
{
    *count = 0;
    for (int i = 0; i < found && *count < ATLAS_WORDS; i++) {
        bool fresh = hits[i].score > 0.55f * hits[0].score;
        for (int k = 0; fresh && k < *count; k++)
            fresh = atlas_dot(words + (size_t)hits[i].index * (size_t)dim,
                              words + (size_t)out[k].index * (size_t)dim, dim) < 0.9f;
        if (fresh) out[(*count)++] = hits[i];
    }
}

static fv_status name_channels(atlas *a, const float *rows, const float *words, int dim,
                               bool pulled)
{
    size_t lists = (size_t)a->count * ATLAS_LANGUAGES;
    ranking r = {malloc(lists * sizeof *r.hits), calloc(lists, sizeof *r.found)};
    float *scores = malloc((size_t)a->count * BLOCK * sizeof *scores);
    fv_status s = r.hits && r.found && scores ? offer_words(a, rows, words, dim, scores, &r)
                                              : fv_fail(FV_ERR_MEMORY, "words: out of memory");
    for (int i = 0; s == FV_OK && i < a->count; i++)
        for (int k = 0; k < ATLAS_LANGUAGES; k++) {
            atlas_names *n = pulled ? &a->at[i].pulled : &a->at[i].seen;
            int at = i * ATLAS_LANGUAGES + k;
            choose(words, dim, r.hits[at], r.found[at], n->at[k], &n->count[k]);
        }
    free(r.hits);
    free(r.found);
    free(scores);
    return s;
}

/* Rows of the head's directions, of the channels whose pictures are there. */
static fv_status pull(const atlas *a, float **out, int dim)
{
    fv_critic *critic;
    float *all = malloc((size_t)a->channels * (size_t)dim * sizeof *all);
    if (!all) return fv_fail(FV_ERR_MEMORY, "words: out of memory");
    fv_status s = fv_critic_open(&critic, a->model);
    if (s >= 0) {
        s = fv_critic_pulls(critic, all);
        fv_critic_close(critic);
    }
    for (int i = 0; s >= 0 && i < a->count; i++)
        memmove(all + (size_t)i * (size_t)dim, all + (size_t)a->at[i].number * (size_t)dim,
                (size_t)dim * sizeof *all);
    if (s < 0) {
        free(all);
        return s;
    }
    atlas_centre(all, a->count, dim);
    *out = all;
    return FV_OK;
}

fv_status atlas_words(atlas *a)
{
    int dim = fv_model_dim(a->model);
    float *pulls = NULL;
    FV_TRY(open_words(a));
    float *words = malloc((size_t)a->words.count * (size_t)dim * sizeof *words);
    fv_status s = words ? embed_words(a, words, dim)
                        : fv_fail(FV_ERR_MEMORY, "%d words: out of memory", a->words.count);
    if (s == FV_OK) atlas_centre(words, a->words.count, dim);
    if (s == FV_OK) s = name_channels(a, a->rows, words, dim, false);
    if (s == FV_OK && a->direct) s = pull(a, &pulls, dim);
    if (s == FV_OK && pulls) s = name_channels(a, pulls, words, dim, true);
    free(pulls);
    free(words);
    return s;
}

/* --- search --- */

static void tell_answer(const atlas *a, const char *text, const fv_hit *hits, int i)
{
    const atlas_channel *one = &a->at[hits[i].index];
    if (!json_on()) {
        printf("%2d  %6.3f  %d\n", i + 1, (double)hits[i].score, one->number);
        return;
    }
    json_begin("channel");
    json_text("text", text);
    json_whole("rank", i + 1);
    json_whole("channel", one->number);
    json_number("score", (double)hits[i].score);
    json_number("reached", (double)one->reached);
    json_end();
}

fv_status atlas_search(atlas *a, const char *text)
{
    int dim = fv_model_dim(a->model), top = a->c->top ? a->c->top : 10;
    if (top > a->count) top = a->count;
    float *target = malloc((size_t)dim * sizeof *target);
    float *scores = malloc((size_t)a->count * sizeof *scores);
    fv_hit *hits = malloc((size_t)top * sizeof *hits);
    fv_status s = target && scores && hits ? fv_model_embed_text(a->model, text, target, NULL)
                                           : fv_fail(FV_ERR_MEMORY, "searching: out of memory");
    for (int i = 0; s >= 0 && i < a->count; i++)
        scores[i] = atlas_dot(a->rows + (size_t)i * (size_t)dim, target, dim);
    int found = s >= 0 ? fv_top(scores, a->count, 1, top, hits) : 0;
    if (found && !json_on()) puts("     score  channel");
    for (int i = 0; i < found; i++) tell_answer(a, text, hits, i);
    free(target);
    free(scores);
    free(hits);
    return s;
}
