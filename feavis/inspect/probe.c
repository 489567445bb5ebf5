/* Embeddings, cosine, gradient and any named tensor of one picture and one text, as .npy: to hold
 * a checkpoint against another implementation. See fv_probe in feavis.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "feavis/imagine/model.h"
#include "feavis/model.h"
#include "feavis/picture.h"
#include "feavis/probe.h"
#include "model/plan/hooks.h"

enum { MAX_TAPS = 64 };

typedef struct prober {
    fv_model *m;
    const fv_probe *in;
    bool normalised; /* the picture came as .npy */
    fv_shape shape;  /* {1,S,S,3} */
    float *image;    /* NHWC */
    float *text, *embedding;
    char *names[MAX_TAPS];
    int name_count;
    fv_hooks *hooks; /* of the tower that is running: the names that it computes */
} prober;

/* Between [c,h,w] files and {1,h,w,c} tensors. */
static void to_nhwc(float *out, const float *in, fv_shape s)
{
    size_t hw = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t i = 0; i < hw; i++)
        for (size_t k = 0; k < c; k++) out[i * c + k] = in[k * hw + i];
}

static void to_nchw(float *out, const float *in, fv_shape s)
{
    size_t hw = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (int n = 0; n < s.n; n++, in += hw * c, out += hw * c)
        for (size_t i = 0; i < hw; i++)
            for (size_t k = 0; k < c; k++) out[k * hw + i] = in[i * c + k];
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* --- inputs --- */

static fv_status read_array(prober *q)
{
    fv_npy *a;
    FV_TRY(fv_npy_open(&a, q->in->image));
    const fv_entry *e = fv_npy_entry(a);
    int lead = e->ndim - 3, side = q->shape.h;
    bool fits = (lead == 0 || (lead == 1 && e->dims[0] == 1)) && e->dims[lead] == 3 &&
                e->dims[lead + 1] == side && e->dims[lead + 2] == side;
    fv_status s = FV_OK;
    float *values = fits ? malloc(fv_count(q->shape) * sizeof *values) : NULL;
    if (!fits)
        s = fv_fail(FV_ERR_SHAPE, "%s: expected an array [1,3,%d,%d], normalised", q->in->image,
                    side, side);
    else if (!values)
        s = fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", q->in->image);
    else {
        fv_entry_read_f32(e, values);
        to_nhwc(q->image, values, q->shape);
    }
    free(values);
    fv_npy_close(a);
    return s;
}

static fv_status read_image(prober *q)
{
    q->image = malloc(fv_count(q->shape) * sizeof *q->image);
    if (!q->image) return fv_fail(FV_ERR_MEMORY, "probe: out of memory");
    q->normalised = ends_with(q->in->image, ".npy");
    if (q->normalised) return read_array(q);
    fv_picture picture;
    FV_TRY(fv_picture_read(&picture, q->in->image));
    fv_status s = fv_model_look_at(q->m, &picture, q->image);
    fv_picture_free(&picture);
    return s;
}

/* The token ids, [length]; their count, padding included, is the text length. */
static fv_status read_ids(const prober *q, int32_t **out, int *length)
{
    fv_npy *a;
    FV_TRY(fv_npy_open(&a, q->in->ids));
    const fv_entry *e = fv_npy_entry(a);
    size_t count = fv_entry_count(e);
    fv_status s = FV_OK;
    float *values = malloc((count + 1) * sizeof *values);
    int32_t *ids = malloc((count + 1) * sizeof *ids);
    if (!values || !ids)
        s = fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", q->in->ids);
    else if (count > 1 << 20)
        s = fv_fail(FV_ERR_SHAPE, "%s holds %zu ids", q->in->ids, count);
    else
        fv_entry_read_f32(e, values);
    for (size_t i = 0; s >= 0 && i < count; i++)
        ids[i] = values[i] >= 0 && values[i] < 1e9f ? (int32_t)values[i] : -1;
    free(values);
    fv_npy_close(a);
    if (s < 0) {
        free(ids);
        return s;
    }
    *out = ids;
    *length = (int)count;
    return FV_OK;
}

static fv_status split_names(prober *q)
{
    const char *at = q->in->taps ? q->in->taps : "";
    while (*at) {
        size_t n = strcspn(at, ",");
        if (n && q->name_count == MAX_TAPS)
            return fv_fail(FV_ERR_ARGUMENT, "more than %d taps", MAX_TAPS);
        if (n && !(q->names[q->name_count++] = strndup(at, n)))
            return fv_fail(FV_ERR_MEMORY, "probe: out of memory");
        at += n + (at[n] == ',');
    }
    return FV_OK;
}

/* --- outputs --- */

static fv_status save(const prober *q, const char *name, const float *values, int ndim,
                      const int64_t *dims)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s.npy", q->in->folder, name);
    if (n < 0 || n >= (int)sizeof path)
        return fv_fail(FV_ERR_ARGUMENT, "probe: the path %s/%s.npy is too long", q->in->folder,
                       name);
    return fv_npy_save_f32(path, values, ndim, dims);
}

/* Maps as [n,c,h,w], as PyTorch has them; token lists as [tokens, width]. */
static fv_status save_tensor(const prober *q, const char *name, const float *values, fv_shape s)
{
    if (s.h == 1) return save(q, name, values, 2, (int64_t[]){(int64_t)s.n * s.w, s.c});
    float *swapped = malloc(fv_count(s) * sizeof *swapped);
    if (!swapped) return fv_fail(FV_ERR_MEMORY, "saving %s: out of memory", name);
    to_nchw(swapped, values, s);
    fv_status status = save(q, name, swapped, 4, (int64_t[]){s.n, s.c, s.h, s.w});
    free(swapped);
    return status;
}

/* Taps every name that belongs to this plan: those of the text tower in its plan, the others in
 * the image tower's, where an unknown name is refused with the nearest one. */
static bool is_of_text(const char *name)
{
    if (strncmp(name, "d:", 2) == 0) name += 2;
    return strncmp(name, "text", 4) == 0;
}

static fv_status begin_taps(prober *q, fv_plan *p, bool text)
{
    const char *names[MAX_TAPS];
    int count = 0;
    for (int i = 0; i < q->name_count; i++)
        if (is_of_text(q->names[i]) == text) names[count++] = q->names[i];
    return fv_hooks_new(&q->hooks, p, names, count);
}

static fv_status end_taps(prober *q, bool text, fv_status s)
{
    int at = 0;
    for (int i = 0; i < q->name_count; i++) {
        fv_shape shape;
        if (is_of_text(q->names[i]) != text) continue;
        const float *values = q->hooks ? fv_hooks_values(q->hooks, at++, &shape) : NULL;
        if (s >= 0 && values)
            s = save_tensor(q, q->names[i], values, shape);
        else if (s >= 0)
            s = fv_fail(FV_ERR_ARGUMENT, "hook %s: gradients go to the picture, not to the text",
                        q->names[i]);
    }
    fv_hooks_free(q->hooks);
    q->hooks = NULL;
    return s;
}

static fv_status run_text(prober *q)
{
    size_t dim = (size_t)fv_model_dim(q->m);
    int32_t *ids = NULL;
    int length = fv_model_text_length(q->m);
    fv_text_encoder *tower;
    if (!q->in->ids && (!q->in->text || !*q->in->text))
        return fv_fail(FV_ERR_ARGUMENT, "probe needs a text: --ids FILE.npy or --text TEXT");
    q->text = malloc(dim * sizeof *q->text);
    q->embedding = malloc(dim * sizeof *q->embedding);
    if (!q->text || !q->embedding) return fv_fail(FV_ERR_MEMORY, "probe: out of memory");
    if (q->in->ids) FV_TRY(read_ids(q, &ids, &length));
    fv_status s = fv_model_text_tower(q->m, length, &tower);
    if (s >= 0) s = begin_taps(q, fv_text_encoder_plan(tower), true);
    if (s >= 0)
        s = ids ? fv_model_embed_ids(q->m, ids, length, q->text)
                : fv_model_embed_text(q->m, q->in->text, q->text, NULL);
    free(ids);
    return end_taps(q, true, s);
}

static fv_status run_image(prober *q, fv_plan *p)
{
    const fv_network *n = q->m->network;
    fv_ref x = fv_plan_param(p, "pixels", q->shape), input = x;
    fv_ref y = (q->normalised ? fv_network_image_from : fv_network_image)(n, p, x, true).embedding;
    fv_plan_output(p, y);
    FV_TRY(fv_plan_finish(p, FV_PLAN_BACKWARD | FV_PLAN_WHOLE));
    fv_status s = begin_taps(q, p, false);
    if (s >= 0) s = fv_plan_upload(p, input, q->image);
    if (s >= 0) s = fv_plan_forward(p);
    if (s >= 0) s = fv_plan_download(p, y, q->embedding);
    if (s >= 0) s = fv_plan_output_gradient(p, y, q->text);
    if (s >= 0) s = fv_plan_backward(p);
    if (s >= 0) s = fv_plan_download_gradient(p, input, q->image);
    return end_taps(q, false, s);
}

static fv_status save_results(const prober *q, float *cosine)
{
    int64_t dim = fv_model_dim(q->m);
    double sum = 0;
    for (int64_t i = 0; i < dim; i++) sum += (double)q->embedding[i] * (double)q->text[i];
    *cosine = (float)sum;
    FV_TRY(save(q, "image_embedding", q->embedding, 1, &dim));
    FV_TRY(save(q, "text_embedding", q->text, 1, &dim));
    FV_TRY(save(q, "cosine", cosine, 0, NULL));
    return save_tensor(q, "gradient", q->image, q->shape);
}

fv_status fv_probe_run(fv_model *m, const fv_probe *probe, float *cosine)
{
    int side = fv_model_image_size(m);
    prober q = {.m = m, .in = probe, .shape = {1, side, side, 3}};
    fv_plan *p = NULL;
    fv_status s =
        mkdir(probe->folder, 0777) == 0 || errno == EEXIST
            ? FV_OK
            : fv_fail(FV_ERR_IO, "making the folder %s: %s", probe->folder, strerror(errno));
    if (s >= 0) s = read_image(&q);
    if (s >= 0) s = split_names(&q);
    if (s >= 0) s = run_text(&q);
    if (s >= 0) s = fv_plan_new(&p, m->engine->backend);
    if (s >= 0) s = run_image(&q, p);
    if (s >= 0) s = save_results(&q, cosine);
    fv_plan_free(p);
    for (int i = 0; i < q.name_count; i++) free(q.names[i]);
    free(q.image);
    free(q.text);
    free(q.embedding);
    return s;
}
