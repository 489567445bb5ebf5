/* States kept in memory and returned to, the parts of the loss, the gradient of the picture: what
 * a window asks of a session besides its steps. See feavis.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/session.h"

/* --- parts of the loss --- */

static fv_part make_part(fv_part_kind kind, const char *name, float weight, float value)
{
    fv_part p = {.kind = kind, .weight = weight, .value = value};
    size_t n = strlen(name);
    if (n >= sizeof p.name) { /* cut at a whole character: not before a continuation byte */
        n = sizeof p.name - 1;
        while (n && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    }
    memcpy(p.name, name, n);
    return p;
}

void fv_session_take_parts(fv_session *s, const fv_scores *scores)
{
    static const char *const penalties[FV_PENALTIES] = {"tv", "range", "grey"};
    const fv_objectives *g = &s->objectives;
    int n = 0;
    for (int i = 0; i < g->text_count && n < FV_MOST_PARTS; i++, n++)
        s->parts[n] =
            make_part(FV_PART_TEXT, g->texts[i].name, g->texts[i].weight, scores->parts[n]);
    for (int i = 0; i < g->channel_count && n < FV_MOST_PARTS; i++, n++)
        s->parts[n] = make_part(FV_PART_CHANNEL, g->channels[i].name, g->channels[i].weight,
                                scores->parts[n]);
    for (int i = 0; i < FV_PENALTIES; i++)
        if (s->refs.penalties[i] >= 0 && n < FV_MOST_PARTS) {
            s->parts[n] =
                make_part(FV_PART_PENALTY, penalties[i], g->penalty_weights[i], scores->parts[n]);
            n++;
        }
    s->part_count = n;
}

int fv_session_parts(fv_session *s, fv_part out[FV_MOST_PARTS])
{
    pthread_mutex_lock(&s->mutex);
    int n = s->part_count;
    memcpy(out, s->parts, (size_t)n * sizeof *out);
    pthread_mutex_unlock(&s->mutex);
    return n;
}

const char *fv_session_text(const fv_session *s, int i)
{
    return i >= 0 && i < s->objectives.text_count ? s->objectives.texts[i].name : NULL;
}

const char *fv_session_option(const fv_session *s, const char *name)
{
    return fv_options_get(s->now, name);
}

/* --- gradient of the picture --- */

void fv_session_want_gradient(fv_session *s, bool wanted)
{
    s->gradient_wanted = wanted;
}

fv_status fv_session_watch_gradient(fv_session *s, fv_plan *p, const fv_op *op)
{
    if (op->y != fv_plan_tensor(p, s->picture)) return FV_OK;
    size_t n = (size_t)s->now->size * (size_t)s->now->size * 3;
    fv_backend *be = fv_plan_backend(p);
    pthread_mutex_lock(&s->mutex);
    if (!s->gradient) s->gradient = malloc(n * sizeof *s->gradient);
    fv_status status = s->gradient ? be->download(be, op->dy, FV_F32, s->gradient)
                                   : fv_fail(FV_ERR_MEMORY, "copying the gradient: out of memory");
    s->has_gradient = status >= 0;
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Outliers would make all else dark: the 99.5th percentile becomes 1. */
static fv_status scale_to_one(float *values, size_t n)
{
    float *sorted = malloc(n * sizeof *sorted);
    if (!sorted) return fv_fail(FV_ERR_MEMORY, "scaling the gradient: out of memory");
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    float high = sorted[(size_t)((double)(n - 1) * 0.995)];
    free(sorted);
    for (size_t i = 0; i < n; i++) values[i] = high > 0 ? fminf(values[i] / high, 1.0f) : 0.0f;
    return FV_OK;
}

fv_status fv_session_gradient(fv_session *s, float *out)
{
    size_t n = (size_t)s->recipe->size * (size_t)s->recipe->size;
    pthread_mutex_lock(&s->mutex);
    bool has = s->has_gradient;
    for (size_t i = 0; has && i < n; i++) {
        const float *g = s->gradient + 3 * i;
        out[i] = (fabsf(g[0]) + fabsf(g[1]) + fabsf(g[2])) / 3;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!has) return fv_fail(FV_ERR_ARGUMENT, "there is no gradient before the next step");
    return scale_to_one(out, n);
}

/* --- kept states --- */

struct fv_kept {
    fv_options *recipe, *now;
    int step, replayed, restored, best_step;
    double caution, best_loss;
    size_t count;         /* parameters */
    float *blocks;        /* [3 * count]: value, m, v */
    float *best;          /* [count]; NULL unless keep is best */
    char fingerprint[24]; /* of the model */
};

fv_status fv_session_keep(fv_session *s, fv_kept **out)
{
    fv_kept *k = calloc(1, sizeof *k);
    if (!k) return fv_fail(FV_ERR_MEMORY, "keeping a state: out of memory");
    *k = (fv_kept){.step = s->step,
                   .replayed = s->replayed,
                   .restored = s->restored,
                   .caution = s->caution,
                   .best_step = s->best_step,
                   .best_loss = s->best_loss,
                   .count = fv_plan_param_count(s->plan)};
    strcpy(k->fingerprint, s->model->fingerprint);
    k->blocks = malloc(3 * k->count * sizeof *k->blocks);
    if (s->best) k->best = malloc(k->count * sizeof *k->best);
    bool room = k->blocks && (k->best || !s->best);
    fv_status status = room ? FV_OK : fv_fail(FV_ERR_MEMORY, "keeping a state: out of memory");
    if (room && s->best) memcpy(k->best, s->best, k->count * sizeof *k->best);
    for (int i = 0; status >= 0 && i < 3; i++)
        status =
            fv_plan_block_download(s->plan, fv_kept_blocks[i], k->blocks + (size_t)i * k->count);
    if (status >= 0) status = fv_options_copy(&k->recipe, s->recipe);
    if (status >= 0) status = fv_options_copy(&k->now, s->now);
    if (status < 0) {
        fv_kept_free(k);
        return status;
    }
    *out = k;
    return FV_OK;
}

/* The plan's shape depends on the options that are not live; they have to agree. */
static const char *difference(const fv_options *a, const fv_options *b)
{
    int count;
    const fv_option *table = fv_option_table(&count);
    for (int i = 0; i < count; i++) {
        const fv_option *row = &table[i];
        if ((row->flags & FV_OPTION_LIVE) || !(row->flags & FV_OPTION_RECIPE)) continue;
        if (strcmp(row->name, "stop") == 0) continue;
        if (strcmp(fv_options_get(a, row->name), fv_options_get(b, row->name)) != 0)
            return row->name;
    }
    return NULL;
}

/* Changes that were asked for but have not been made. */
static void forget_pending(fv_session *s)
{
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; i < s->pending_count; i++) free(s->pending[i].value);
    free(s->pending);
    s->pending = NULL;
    s->pending_count = 0;
    pthread_mutex_unlock(&s->mutex);
}

fv_status fv_session_return(fv_session *s, const fv_kept *k)
{
    fv_options *recipe, *now;
    const char *other = difference(k->recipe, s->recipe);
    if (strcmp(k->fingerprint, s->model->fingerprint) != 0) other = "model";
    if (other || k->count != fv_plan_param_count(s->plan))
        return fv_fail(FV_ERR_ARGUMENT, "the state of step %d is of another %s", k->step,
                       other ? other : "size");
    FV_TRY(fv_options_copy(&recipe, k->recipe));
    fv_status status = fv_options_copy(&now, k->now);
    if (status >= 0) status = fv_session_adopt(s, now);
    for (int i = 0; status >= 0 && i < 3; i++) {
        float *kept = s->kept[fv_kept_blocks[i]];
        memcpy(kept, k->blocks + (size_t)i * k->count, k->count * sizeof *kept);
        status = fv_plan_block_upload(s->plan, fv_kept_blocks[i], kept);
    }
    if (status < 0) {
        fv_options_free(recipe);
        return status;
    }
    if (s->best) memcpy(s->best, k->best, k->count * sizeof *k->best);
    s->best_step = k->best_step;
    s->best_loss = k->best_loss;
    forget_pending(s);
    fv_options_free(s->recipe);
    s->recipe = recipe;
    s->step = s->kept_step = k->step;
    s->replayed = k->replayed;
    s->restored = k->restored;
    s->restored_in_a_row = 0;
    s->caution = k->caution;
    return FV_OK;
}

int fv_kept_step(const fv_kept *k)
{
    return k->step;
}

size_t fv_kept_bytes(const fv_kept *k)
{
    return sizeof *k + (size_t)(k->best ? 4 : 3) * k->count * sizeof *k->blocks;
}

void fv_kept_free(fv_kept *k)
{
    if (!k) return;
    fv_options_free(k->recipe);
    fv_options_free(k->now);
    free(k->blocks);
    free(k->best);
    free(k);
}
