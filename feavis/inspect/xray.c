/* What each word is worth, and where it pulls. See feavis/xray.h.
 *
 *   pixels -> embedding e, once a word i: worth = <e, t - t_i>, with t the embedding of the text
 * and t_i that of the text without the word; pull = |d <e, t - t_i> / d pixels|, summed over R, G,
 * B, smoothed by a Gaussian of side / 24, divided by its mean */
#include "feavis/xray.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/model.h"
#include "feavis/imagine/views.h"

enum { SHARPER = 3 }; /* power of the pulls in shares */

/* --- words --- */

typedef struct span {
    size_t at, size;
} span;

static bool is_gap(const char *c, size_t *size)
{
    const unsigned char *u = (const unsigned char *)c;
    *size = 1;
    if (u[0] < 0x80) return !isalnum(u[0]) && *c != '\'' && *c != '-';
    *size = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] == 0xe3 && u[1] == 0x80) return true; /* 、 。 and their like */
    return u[0] == 0xef && (u[1] == 0xbc || u[1] == 0xbd) && u[2] <= 0xa0; /* full-width signs */
}

/* Words that only bind others are parts by themselves; lists of words have whole phrases. */
static size_t particle(const char *c)
{
    static const char *const all[] = {"的", "了", "在", "和", "与", "有", "着",  "是",
                                      "像", "让", "中", "上", "下", "里", "一样"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strncmp(c, all[i], strlen(all[i])) == 0) return strlen(all[i]);
    return 0;
}

/* Bytes of ideographs up to the next particle, at most four of them. */
static size_t up_to_particle(const char *c)
{
    size_t n = 3;
    while (n < 12 && fv_words_ideograph(c + n) && !particle(c + n)) n += 3;
    return n;
}

/* Bytes of the word at c, which is none of a gap. */
static size_t word_size(const fv_words *w, const char *c)
{
    size_t n = 0, size, known = particle(c);
    if (known) return known;
    if (fv_words_ideograph(c)) {
        known = fv_words_longest(w, c, up_to_particle(c));
        return known ? known : 3;
    }
    while (c[n] && !is_gap(c + n, &size) && !fv_words_ideograph(c + n) &&
           strnlen(c + n, size) == size)
        n += size;
    return n ? n : strlen(c);
}

static int find_words(const fv_words *w, const char *text, span out[FV_XRAY_WORDS])
{
    int count = 0;
    size_t n = strlen(text);
    for (size_t at = 0, size; at < n; at += size) {
        if (is_gap(text + at, &size)) continue;
        size = word_size(w, text + at);
        if (count < FV_XRAY_WORDS)
            out[count++] = (span){at, size};
        else
            out[count - 1].size = at + size - out[count - 1].at;
    }
    return count;
}

/* The text without the word; caller frees. */
static char *without(const char *text, span s)
{
    char *out = NULL;
    if (asprintf(&out, "%.*s%s", (int)s.at, text, text + s.at + s.size) < 0) return NULL;
    return out;
}

static void name_word(fv_xray_word *w, const char *text, span s)
{
    size_t n = s.size < sizeof w->text ? s.size : sizeof w->text - 1;
    while (n && n < s.size && ((unsigned char)text[s.at + n] & 0xc0) == 0x80) n--;
    memcpy(w->text, text + s.at, n);
    w->text[n] = 0;
}

/* --- directions --- */

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* whole - the embedding of the text without word i; that of nothing is zero. */
static fv_status direction(float *out, fv_model *m, const float *whole, const char *text, span s,
                           bool alone)
{
    size_t dim = (size_t)fv_model_dim(m);
    memcpy(out, whole, dim * sizeof *out);
    if (alone) return FV_OK;
    char *rest = without(text, s);
    float *other = malloc(dim * sizeof *other);
    fv_status status = rest && other ? fv_model_embed_text(m, rest, other, NULL)
                                     : fv_fail(FV_ERR_MEMORY, "looking at words: out of memory");
    for (size_t i = 0; status >= 0 && i < dim; i++) out[i] -= other[i];
    free(rest);
    free(other);
    return status;
}

/* --- pulls --- */

typedef struct ray {
    fv_plan *plan;
    fv_ref pixels, embedding;
    size_t side, dim;
    float *picture, *e, *gradient, *row; /* [side^2 * 3], [dim], [side^2 * 3], [side] */
} ray;

static fv_status open_ray(ray *r, fv_model *m, const fv_picture *p)
{
    int side = fv_model_image_size(m);
    *r = (ray){.side = (size_t)side, .dim = (size_t)fv_model_dim(m)};
    size_t n = r->side * r->side * 3;
    r->picture = malloc(n * sizeof *r->picture);
    r->gradient = malloc(n * sizeof *r->gradient);
    r->e = malloc(r->dim * sizeof *r->e);
    r->row = malloc(r->side * sizeof *r->row);
    if (!r->picture || !r->gradient || !r->e || !r->row)
        return fv_fail(FV_ERR_MEMORY, "looking at words: out of memory");
    FV_TRY(fv_plan_new(&r->plan, m->engine->backend));
    r->pixels = fv_plan_param(r->plan, "pixels", (fv_shape){1, side, side, 3});
    r->embedding = fv_network_image(m->network, r->plan, r->pixels, true).embedding;
    fv_plan_output(r->plan, r->embedding);
    FV_TRY(fv_plan_finish(r->plan, FV_PLAN_BACKWARD));
    FV_TRY(fv_model_look_at(m, p, r->picture));
    return fv_plan_upload(r->plan, r->pixels, r->picture);
}

static void close_ray(ray *r)
{
    fv_plan_free(r->plan);
    free(r->picture);
    free(r->gradient);
    free(r->e);
    free(r->row);
}

/* in -> out, which are [side][side], each line blurred and the result turned over its diagonal. */
static void blur_and_turn(const ray *r, const float *in, float *out)
{
    size_t n = r->side;
    for (size_t i = 0; i < n; i++) {
        fv_gaussian_row(r->row, (int)n, (int)i, (double)n / 24);
        for (size_t y = 0; y < n; y++) {
            double sum = 0;
            for (size_t k = 0; k < n; k++)
                if (r->row[k] > 0) sum += (double)r->row[k] * (double)in[y * n + k];
            out[i * n + y] = (float)sum;
        }
    }
}

static fv_status pull(ray *r, const float *wanted, float *out)
{
    size_t n = r->side * r->side;
    double sum = 0;
    FV_TRY(fv_plan_forward(r->plan));
    FV_TRY(fv_plan_output_gradient(r->plan, r->embedding, wanted));
    FV_TRY(fv_plan_backward(r->plan));
    FV_TRY(fv_plan_download_gradient(r->plan, r->pixels, r->gradient));
    for (size_t i = 0; i < n; i++) {
        const float *g = r->gradient + 3 * i;
        out[i] = fabsf(g[0]) + fabsf(g[1]) + fabsf(g[2]);
    }
    blur_and_turn(r, out, r->gradient); /* its first third is enough */
    blur_and_turn(r, r->gradient, out);
    for (size_t i = 0; i < n; i++) sum += (double)out[i] / (double)n;
    for (size_t i = 0; i < n; i++) out[i] = sum > 0 ? (float)((double)out[i] / sum) : 1;
    return FV_OK;
}

/* --- what is said of them --- */

static void share_out(fv_xray *x)
{
    size_t n = (size_t)x->side * (size_t)x->side, count = (size_t)x->count;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t k = 0; k < count; k++) sum += pow((double)x->pulls[k * n + i], SHARPER);
        for (size_t k = 0; k < count; k++)
            x->shares[k * n + i] = sum > 0
                                       ? (float)(pow((double)x->pulls[k * n + i], SHARPER) / sum)
                                       : 1.0f / (float)count;
    }
}

static void measure(fv_xray *x)
{
    size_t side = (size_t)x->side, n = side * side;
    double weight[FV_XRAY_WORDS] = {0};
    for (size_t i = 0; i < n; i++) {
        int first = 0;
        for (int k = 0; k < x->count; k++) {
            double w = (double)x->pulls[(size_t)k * n + i] * (double)x->shares[(size_t)k * n + i];
            x->words[k].x += (float)(w * ((double)(i % side) + 0.5) / (double)side);
            x->words[k].y += (float)(w * ((double)(i / side) + 0.5) / (double)side);
            weight[k] += w;
            if (x->shares[(size_t)k * n + i] > x->shares[(size_t)first * n + i]) first = k;
        }
        x->words[first].area += 1.0f / (float)n;
    }
    for (int k = 0; k < x->count; k++) {
        x->words[k].x /= (float)weight[k];
        x->words[k].y /= (float)weight[k];
    }
}

static fv_status look(fv_xray *x, fv_model *m, ray *r, const char *text, const span *spans)
{
    size_t n = r->side * r->side;
    float *whole = malloc(2 * r->dim * sizeof *whole), *wanted = whole ? whole + r->dim : NULL;
    if (!whole) return fv_fail(FV_ERR_MEMORY, "looking at words: out of memory");
    fv_status s = fv_model_embed_text(m, text, whole, NULL);
    for (int k = 0; s >= 0 && k < x->count; k++) {
        s = direction(wanted, m, whole, text, spans[k], x->count == 1);
        if (s >= 0) s = pull(r, wanted, x->pulls + (size_t)k * n);
        if (s >= 0 && k == 0) s = fv_plan_download(r->plan, r->embedding, r->e);
        if (s < 0) break;
        x->cosine = (float)dot(r->e, whole, r->dim);
        x->words[k].worth = (float)dot(r->e, wanted, r->dim);
        x->words[k].without = x->cosine - x->words[k].worth;
        name_word(&x->words[k], text, spans[k]);
    }
    free(whole);
    return s;
}

fv_status fv_xray_make(fv_xray *out, fv_model *m, const fv_picture *p, const char *text)
{
    span spans[FV_XRAY_WORDS];
    fv_words *words = NULL;
    ray r = {.plan = NULL};
    if (m->network->words) FV_TRY(fv_words_open(&words, m->network->words));
    fv_xray x = {.count = find_words(words, text, spans), .side = fv_model_image_size(m)};
    fv_words_free(words);
    if (x.count == 0) return fv_fail(FV_ERR_ARGUMENT, "\"%.80s\": there is no word in it", text);
    size_t n = (size_t)x.count * (size_t)x.side * (size_t)x.side;
    x.pulls = malloc(n * sizeof *x.pulls);
    x.shares = malloc(n * sizeof *x.shares);
    fv_status s = x.pulls && x.shares ? open_ray(&r, m, p)
                                      : fv_fail(FV_ERR_MEMORY, "looking at words: out of memory");
    if (s >= 0) s = look(&x, m, &r, text, spans);
    close_ray(&r);
    if (s < 0) {
        fv_xray_clear(&x);
        return s;
    }
    share_out(&x);
    measure(&x);
    *out = x;
    return FV_OK;
}

void fv_xray_clear(fv_xray *x)
{
    free(x->pulls);
    free(x->shares);
    *x = (fv_xray){.count = 0};
}
