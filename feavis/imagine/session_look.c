/* What other threads see of a session while it runs: the newest picture, the parts of the loss, the
 * gradient of the picture. All of it lies under the mutex, with the size of the picture, which
 * never changes; nothing here reads what the loop keeps for itself. See feavis.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feavis/imagine/session.h"

static size_t values_of(const fv_session *s)
{
    return (size_t)s->width * (size_t)s->height * 3;
}

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

/* After forward: notes what the loss is made of. Under the mutex. */
static void take_parts(fv_session *s, const fv_scores *scores)
{
    const fv_objectives *g = &s->objectives;
    int n = 0;
    for (int k = 0; k < g->guide_count; k++)
        for (int i = 0; i < g->text_count && n < FV_MAX_PARTS; i++, n++) {
            s->parts[n] = make_part(FV_PART_TEXT, g->texts[i].name,
                                    g->guide_weights[k] * g->texts[i].weight, scores->parts[n]);
            s->parts[n].guide = k;
        }
    for (int i = 0; i < g->channel_count && n < FV_MAX_PARTS; i++, n++)
        s->parts[n] = make_part(FV_PART_CHANNEL, g->channels[i].name, g->channels[i].weight,
                                scores->parts[n]);
    for (int i = 0; i < g->terms.count && n < FV_MAX_PARTS; i++, n++)
        s->parts[n] =
            make_part(FV_PART_TERM, g->terms.at[i].name, g->terms.at[i].weight, scores->parts[n]);
    for (int i = 0; i < g->own.count && n < FV_MAX_PARTS; i++, n++)
        s->parts[n] = make_part(FV_PART_TERM, g->own.at[i].asked->layer, g->own.at[i].asked->weight,
                                scores->parts[n]);
    for (int i = 0; i < g->areas.count && n < FV_MAX_PARTS; i++, n++)
        s->parts[n] =
            make_part(FV_PART_TERM, g->areas.at[i].name, g->areas.at[i].weight, scores->parts[n]);
    for (int i = 0; i < FV_PENALTY_OPTIONS; i++)
        if (s->net.refs.penalties[i] >= 0 && n < FV_MAX_PARTS) {
            s->parts[n] = make_part(FV_PART_PENALTY, fv_penalties[fv_penalty_kinds[i]].name,
                                    g->penalty_weights[i], scores->parts[n]);
            n++;
        }
    s->part_count = n;
}

int fv_session_parts(fv_session *s, fv_part out[FV_MAX_PARTS])
{
    pthread_mutex_lock(&s->mutex);
    int n = s->part_count;
    memcpy(out, s->parts, (size_t)n * sizeof *out);
    pthread_mutex_unlock(&s->mutex);
    return n;
}

/* --- the newest picture --- */

/* pixels -> rgb. Under the mutex. */
static void take_pixels(fv_session *s)
{
    size_t n = values_of(s);
    for (size_t i = 0; i < n; i++) {
        float x = s->pixels[i];
        s->rgb[i] = !(x > 0) ? 0 : x >= 1 ? 255 : (uint8_t)(x * 255.0f + 0.5f);
    }
    s->has_picture = true;
    s->coming = false;
}

fv_status fv_session_take_in(fv_session *s)
{
    pthread_mutex_lock(&s->mutex);
    fv_status status = s->coming ? fv_plan_shown(s->net.plan, s->net.picture, s->pixels) : FV_OK;
    if (status >= 0 && s->coming) take_pixels(s);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

fv_status fv_session_take_picture(fv_session *s, const fv_scores *scores)
{
    FV_TRY(fv_session_take_in(s));
    FV_TRY(fv_plan_download(s->net.plan, s->net.picture, s->pixels));
    pthread_mutex_lock(&s->mutex);
    take_pixels(s);
    take_parts(s, scores);
    pthread_mutex_unlock(&s->mutex);
    return FV_OK;
}

fv_status fv_session_send_picture(fv_session *s, const fv_scores *scores)
{
    pthread_mutex_lock(&s->mutex);
    fv_status status = fv_plan_show(s->net.plan, s->net.picture);
    s->coming = status >= 0;
    if (status >= 0) take_parts(s, scores);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

fv_status fv_session_preview(fv_session *s, fv_picture *out)
{
    size_t bytes = values_of(s);
    FV_TRY(fv_session_take_in(s));
    fv_picture p = {s->width, s->height, malloc(bytes)};
    if (!p.rgb) return fv_fail(FV_ERR_MEMORY, "copying the picture: out of memory");
    pthread_mutex_lock(&s->mutex);
    bool has = s->has_picture;
    memcpy(p.rgb, s->rgb, bytes);
    pthread_mutex_unlock(&s->mutex);
    if (!has) {
        free(p.rgb);
        return fv_fail(FV_ERR_ARGUMENT, "there is no picture before the first step");
    }
    *out = p;
    return FV_OK;
}

fv_status fv_session_pixels(fv_session *s, float *out)
{
    FV_TRY(fv_session_take_in(s));
    if (!s->has_picture)
        return fv_fail(FV_ERR_ARGUMENT, "there is no picture before the first step");
    memcpy(out, s->pixels, values_of(s) * sizeof *out);
    return FV_OK;
}

/* --- gradient of the picture --- */

void fv_session_want_gradient(fv_session *s, bool wanted)
{
    s->gradient_wanted = wanted;
}

fv_status fv_session_watch_gradient(fv_session *s, fv_plan *p, const fv_op *op)
{
    if (op->y != fv_plan_tensor(p, s->net.picture)) return FV_OK;
    fv_backend *be = fv_plan_backend(p);
    pthread_mutex_lock(&s->mutex);
    if (!s->gradient) s->gradient = malloc(values_of(s) * sizeof *s->gradient);
    fv_status status = s->gradient ? be->download(be, op->dy, FV_F32, s->gradient)
                                   : fv_fail(FV_ERR_MEMORY, "copying the gradient: out of memory");
    s->has_gradient = status >= 0;
    pthread_mutex_unlock(&s->mutex);
    return status;
}

fv_status fv_session_gradient_rgb(fv_session *s, float *out)
{
    pthread_mutex_lock(&s->mutex);
    bool has = s->has_gradient;
    if (has) memcpy(out, s->gradient, values_of(s) * sizeof *out);
    pthread_mutex_unlock(&s->mutex);
    return has ? FV_OK : fv_fail(FV_ERR_ARGUMENT, "there is no gradient before the next step");
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
    size_t n = (size_t)s->width * (size_t)s->height;
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
