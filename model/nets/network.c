/* The table of families, and what all of them share: preprocessing as one affine op, the image
 * tower in one call, a text tower that is ready to run. See network.h. */
#include "model/nets/network.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/nets/brivl.h"
#include "model/nets/clip.h"
#include "model/nets/taesd.h"
#include "model/nets/vqgan.h"

static const fv_network_kind *const kinds[] = {&fv_clip_kind, &fv_vqgan_kind, &fv_taesd_kind,
                                               &fv_brivl_kind};

enum { MAX_REGISTERED = 16 };
static const fv_network_kind *registered[MAX_REGISTERED];
static int registered_count;

fv_status fv_network_register(const fv_network_kind *kind)
{
    if (registered_count == MAX_REGISTERED)
        return fv_fail(FV_ERR_ARGUMENT, "registering network %s: there are %d already", kind->name,
                       MAX_REGISTERED);
    registered[registered_count++] = kind;
    return FV_OK;
}

static fv_status ask(const fv_network_kind *kind, const fv_network_files *files,
                     const fv_weights *w, const fv_network_kind **out)
{
    bool mine = false;
    if (*out) return FV_OK;
    FV_TRY(kind->detect(files, w, &mine));
    if (mine) *out = kind;
    return FV_OK;
}

fv_status fv_network_detect(const fv_network_kind **out, const fv_network_files *files)
{
    const fv_network_kind *found = NULL;
    fv_weights *w = NULL;
    fv_status s = files->checkpoint ? fv_weights_open(&w, files->checkpoint) : FV_OK;
    if (s == FV_ERR_MEMORY) return s;
    s = FV_OK;
    for (int i = registered_count - 1; s >= 0 && i >= 0; i--)
        s = ask(registered[i], files, w, &found);
    for (size_t i = 0; s >= 0 && i < sizeof kinds / sizeof kinds[0]; i++)
        s = ask(kinds[i], files, w, &found);
    fv_weights_close(w);
    if (s >= 0) *out = found;
    return s;
}

fv_status fv_network_open(fv_network **out, const fv_network_files *files)
{
    const fv_network_kind *kind;
    FV_TRY(fv_network_detect(&kind, files));
    /* a checkpoint that cannot be read has been recognised by none, whatever its cfg is of */
    bool by_cfg = kind == &fv_brivl_kind && files->config && access(files->config, R_OK) == 0;
    if (kind && !by_cfg) return kind->open(out, files);
    fv_weights *w;
    if (files->checkpoint) FV_TRY(fv_weights_open(&w, files->checkpoint));
    if (files->checkpoint) fv_weights_close(w);
    if (kind) return kind->open(out, files);
    return fv_fail(FV_ERR_ARGUMENT,
                   "checkpoint %s needs its cfg: give one with --config FILE, "
                   "in a guide as CFG + CHECKPOINT",
                   files->checkpoint ? files->checkpoint : "");
}

void fv_network_close(fv_network *n)
{
    if (n) n->kind->close(n);
}

/* --- image --- */

fv_builder fv_network_builder(const fv_network *n, fv_plan *p)
{
    return (fv_builder){.plan = p, .source = &n->source};
}

static fv_ref normalise(fv_plan *p, const fv_network *n, fv_ref pixels)
{
    float scale[3], shift[3];
    for (int i = 0; i < 3; i++) {
        scale[i] = 1.0f / n->std[i];
        shift[i] = -n->mean[i] / n->std[i];
    }
    fv_ref w = fv_plan_weight(p, "normalise.scale", (fv_shape){1, 1, 1, 3}, scale);
    fv_ref b = fv_plan_weight(p, "normalise.shift", (fv_shape){1, 1, 1, 3}, shift);
    return fv_affine(p, "normalised", pixels, w, b);
}

static fv_ref looks_at_none(const fv_network *n, fv_plan *p)
{
    return fv_plan_fail(p, fv_fail(FV_ERR_ARGUMENT, "%s looks at no pictures", n->title));
}

fv_ref fv_network_head(const fv_network *n, fv_plan *p, fv_ref map)
{
    if (!n->kind->head) return looks_at_none(n, p);
    fv_builder b = fv_network_builder(n, p);
    return n->kind->head(&b, n, map);
}

fv_ref fv_network_place(const fv_network *n, fv_plan *p, fv_ref map, fv_ref bias)
{
    if (!n->kind->place)
        return fv_plan_fail(
            p, fv_fail(FV_ERR_ARGUMENT, "%s cannot look at a part of a picture", n->title));
    fv_builder b = fv_network_builder(n, p);
    return n->kind->place(&b, n, map, bias);
}

fv_image_layers fv_network_image_from(const fv_network *n, fv_plan *p, fv_ref normalised, bool head)
{
    fv_builder b = fv_network_builder(n, p);
    fv_image_layers l = {normalised, -1, -1};
    l.map = n->kind->map ? n->kind->map(&b, n, normalised) : looks_at_none(n, p);
    fv_plan_alias(p, l.map, "LLP");
    if (head) l.embedding = fv_network_head(n, p, l.map);
    return l;
}

fv_image_layers fv_network_image(const fv_network *n, fv_plan *p, fv_ref pixels, bool head)
{
    return fv_network_image_from(n, p, normalise(p, n, pixels), head);
}

/* --- decoder --- */

static fv_status check_decoder(const fv_network *n)
{
    return n->kind->decode
               ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT, "%s has no decoder that makes pictures", n->title);
}

fv_status fv_network_latent(const fv_network *n, int width, int height, fv_shape *out)
{
    FV_TRY(check_decoder(n));
    int f = n->factor;
    *out = (fv_shape){1, (height + f - 1) / f, (width + f - 1) / f, n->latent_channels};
    return FV_OK;
}

fv_ref fv_network_decode(const fv_network *n, fv_plan *p, fv_ref latent)
{
    int channels = fv_plan_shape(p, latent).c;
    fv_status s = check_decoder(n);
    if (s >= 0 && latent >= 0 && channels != n->latent_channels)
        s = fv_fail(FV_ERR_SHAPE, "a latent of %d channels: %s decodes %d", channels, n->title,
                    n->latent_channels);
    if (s < 0) return fv_plan_fail(p, s);
    fv_builder b = fv_network_builder(n, p);
    fv_plan_push(p, "decoder.");
    fv_ref picture = n->kind->decode(&b, n, latent);
    fv_plan_pop(p);
    return picture;
}

static fv_ref has_none(const fv_network *n, fv_plan *p, const char *what)
{
    return fv_plan_fail(p, fv_fail(FV_ERR_ARGUMENT, "%s has no %s", n->title, what));
}

fv_ref fv_network_encode(const fv_network *n, fv_plan *p, fv_ref pixels)
{
    if (!n->kind->encode) return has_none(n, p, "encoder that takes pictures to a latent");
    fv_source once = n->source; /* pictures are encoded now and then: no room in the store */
    once.store = NULL;
    fv_builder b = {.plan = p, .source = &once};
    fv_plan_push(p, "encoder.");
    fv_ref latent = n->kind->encode(&b, n, pixels);
    fv_plan_pop(p);
    return latent;
}

fv_ref fv_network_codebook(const fv_network *n, fv_plan *p)
{
    if (!n->kind->codebook) return has_none(n, p, "codes");
    fv_builder b = fv_network_builder(n, p);
    return n->kind->codebook(&b, n);
}

static fv_status download_codes(const fv_network *n, fv_backend *be, float *values)
{
    fv_plan *p;
    FV_TRY(fv_plan_new(&p, be));
    fv_ref codes = fv_network_codebook(n, p);
    fv_status s = fv_plan_finish(p, FV_PLAN_FORWARD);
    if (s >= 0) s = fv_plan_download(p, codes, values);
    fv_plan_free(p);
    return s;
}

fv_status fv_network_codes(const fv_network *n, float *values)
{
    fv_backend *be;
    FV_TRY(fv_backend_open(&be, "ref", 1));
    fv_status s = download_codes(n, be, values);
    fv_backend_close(be);
    return s;
}

/* --- text --- */

struct fv_text_encoder {
    const fv_network *network;
    fv_plan *plan;
    fv_text_inputs inputs;
    fv_ref embedding;
    int length;
    float *key_bias, *pool; /* [length] */
};

static fv_status build_text(fv_text_encoder *e, fv_backend *be)
{
    FV_TRY(fv_plan_new(&e->plan, be));
    fv_builder b = fv_network_builder(e->network, e->plan);
    e->embedding = e->network->kind->text(&b, e->network, e->length, &e->inputs);
    fv_plan_output(e->plan, e->embedding);
    return fv_plan_finish(e->plan, FV_PLAN_FORWARD | FV_PLAN_WHOLE);
}

fv_status fv_text_encoder_open(fv_text_encoder **out, const fv_network *n, fv_backend *be,
                               int length)
{
    if (!n->kind->text) return fv_fail(FV_ERR_ARGUMENT, "%s reads no text", n->title);
    if (length == 0) length = n->text_length;
    if (length < 2 || length > n->text_limit)
        return fv_fail(FV_ERR_ARGUMENT, "text length %d: expected 2 to %d, the most that %s reads",
                       length, n->text_limit, n->title);
    fv_text_encoder *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(FV_ERR_MEMORY, "opening the text tower: out of memory");
    e->network = n;
    e->length = length;
    e->key_bias = malloc((size_t)length * sizeof *e->key_bias);
    e->pool = malloc((size_t)length * sizeof *e->pool);
    fv_status s = e->key_bias && e->pool
                      ? build_text(e, be)
                      : fv_fail(FV_ERR_MEMORY, "opening the text tower: out of memory");
    if (s < 0) {
        fv_text_encoder_close(e);
        return s;
    }
    *out = e;
    return FV_OK;
}

void fv_text_encoder_close(fv_text_encoder *e)
{
    if (!e) return;
    fv_plan_free(e->plan);
    free(e->key_bias);
    free(e->pool);
    free(e);
}

fv_plan *fv_text_encoder_plan(fv_text_encoder *e)
{
    return e->plan;
}

fv_status fv_text_encode_ids(fv_text_encoder *e, const int32_t *ids, int used, float *embedding)
{
    const fv_network *n = e->network;
    if (used < 1 || used > e->length)
        return fv_fail(FV_ERR_ARGUMENT, "embedding ids: %d used of %d", used, e->length);
    for (int i = 0; i < e->length; i++)
        if (ids[i] < 0 || ids[i] >= n->ids)
            return fv_fail(FV_ERR_ARGUMENT, "token %d has id %d, the vocabulary has 0 to %d", i,
                           ids[i], n->ids - 1);
    FV_TRY(fv_plan_upload_i32(e->plan, e->inputs.ids, ids));
    n->kind->text_rows(ids, e->length, used, e->key_bias, e->pool);
    if (e->inputs.key_bias >= 0) FV_TRY(fv_plan_upload(e->plan, e->inputs.key_bias, e->key_bias));
    if (e->inputs.pool >= 0) FV_TRY(fv_plan_upload(e->plan, e->inputs.pool, e->pool));
    FV_TRY(fv_plan_forward(e->plan));
    return fv_plan_download(e->plan, e->embedding, embedding);
}

fv_status fv_text_encode(fv_text_encoder *e, const char *utf8, float *embedding, fv_tokens *tokens)
{
    if (!e->network->vocabulary_size)
        return fv_fail(FV_ERR_ARGUMENT, "embedding text: the model was opened without vocabulary");
    fv_tokens t;
    FV_TRY(e->network->kind->tokenise(e->network, utf8, e->length, &t));
    fv_status s = fv_text_encode_ids(e, t.ids, t.used, embedding);
    if (s >= 0 && tokens)
        *tokens = t;
    else
        fv_tokens_free(&t);
    return s;
}
