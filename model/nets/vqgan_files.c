/* What the names and shapes of a checkpoint say of an autoencoder, and whether its cfg agrees. See
 * vqgan.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/yaml.h"
#include "model/nets/vqgan.h"

static const char *const roots[] = {"", "state_dict.", "first_stage_model.",
                                    "state_dict.first_stage_model."};

static const fv_entry *find(const fv_weights *w, const char *root, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static const fv_entry *find(const fv_weights *w, const char *root, const char *fmt, ...)
{
    char name[FV_SOURCE_NAME];
    size_t at = (size_t)snprintf(name, sizeof name, "%s", root);
    va_list args;
    va_start(args, fmt);
    vsnprintf(name + at, sizeof name - at, fmt, args);
    va_end(args);
    return fv_weights_find(w, name);
}

const char *fv_vqgan_root(const fv_weights *w)
{
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (find(w, roots[i], "decoder.conv_in.weight") &&
            find(w, roots[i], "post_quant_conv.weight"))
            return roots[i];
    return NULL;
}

/* --- sizes --- */

typedef struct reader {
    const fv_weights *w;
    const char *root;
} reader;

enum { MAX_SIZE = 1 << 20, MAX_CHANNELS = 1 << 14 };

/* The size of an axis of a tensor that has to be there, with so many axes. */
static fv_status size_of(const reader *r, const char *name, int ndim, int axis, int *out)
{
    const fv_entry *e = find(r->w, r->root, "%s", name);
    if (!e)
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s: tensor %s%s is missing",
                       fv_weights_path(r->w), r->root, name);
    if (e->ndim != ndim || e->dims[axis] < 1 || e->dims[axis] > MAX_SIZE)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: tensor %s has no %d sizes from 1 to %d",
                       fv_weights_path(r->w), e->name, ndim, MAX_SIZE);
    *out = (int)e->dims[axis];
    return FV_OK;
}

static fv_status check_channels(const reader *r, const char *name, int channels)
{
    if (channels % FV_VQGAN_GROUPS == 0 && channels <= MAX_CHANNELS) return FV_OK;
    return fv_fail(FV_ERR_SHAPE,
                   "checkpoint %s: %s%s has %d channels, expected a multiple of %d up to %d",
                   fv_weights_path(r->w), r->root, name, channels, FV_VQGAN_GROUPS, MAX_CHANNELS);
}

/* `steps` is "decoder.up" or "encoder.down". */
static fv_status read_level(const reader *r, const char *steps, int i, fv_vqgan_half *h)
{
    char name[FV_SOURCE_NAME];
    snprintf(name, sizeof name, "%s.%d.block.0.conv1.weight", steps, i);
    int blocks = 1;
    while (find(r->w, r->root, "%s.%d.block.%d.conv1.weight", steps, i, blocks)) blocks++;
    if (i == FV_VQGAN_LEVELS || blocks > FV_VQGAN_BLOCKS)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: %s%s has over %d levels or %d blocks in one",
                       fv_weights_path(r->w), r->root, steps, FV_VQGAN_LEVELS, FV_VQGAN_BLOCKS);
    FV_TRY(size_of(r, name, 4, 0, &h->level[i].channels));
    FV_TRY(check_channels(r, name, h->level[i].channels));
    h->level[i].blocks = blocks;
    h->level[i].attention = find(r->w, r->root, "%s.%d.attn.0.norm.weight", steps, i);
    return FV_OK;
}

static fv_status read_half(const reader *r, const char *half, const char *step, fv_vqgan_half *h)
{
    char steps[32], name[64];
    snprintf(steps, sizeof steps, "%s.%s", half, step);
    h->there = true;
    for (; find(r->w, r->root, "%s.%d.block.0.conv1.weight", steps, h->levels); h->levels++)
        FV_TRY(read_level(r, steps, h->levels, h));
    if (h->levels == 0)
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s: there is no %s%s.0.block.0",
                       fv_weights_path(r->w), r->root, steps);
    snprintf(name, sizeof name, "%s.mid.block_1.conv1.weight", half);
    FV_TRY(size_of(r, name, 4, 0, &h->middle));
    FV_TRY(check_channels(r, name, h->middle));
    h->middle_attention = find(r->w, r->root, "%s.mid.attn_1.norm.weight", half);
    return FV_OK;
}

static fv_status check_colours(const reader *r, const char *name, int axis)
{
    int channels;
    FV_TRY(size_of(r, name, 4, axis, &channels));
    if (channels == 3) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "checkpoint %s: %s%s is for %d channels: a model of other things than colour "
                   "pictures",
                   fv_weights_path(r->w), r->root, name, channels);
}

static fv_status read_encoder(const reader *r, fv_vqgan *m)
{
    if (!find(r->w, r->root, "encoder.conv_in.weight")) return FV_OK;
    FV_TRY(read_half(r, "encoder", "down", &m->encoder));
    FV_TRY(check_colours(r, "encoder.conv_in.weight", 1));
    if (m->encoder.levels == m->decoder.levels) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "checkpoint %s: the encoder has %d levels, the decoder %d",
                   fv_weights_path(r->w), m->encoder.levels, m->decoder.levels);
}

static const char *const sorts[] = {
    [FV_VQGAN_VQ] = "VQModel", [FV_VQGAN_GUMBEL] = "GumbelVQ", [FV_VQGAN_KL] = "AutoencoderKL"};

/* By the codes; without, by what the encoder gives: a mean and a variance. */
static fv_status read_codes(const reader *r, fv_vqgan *m)
{
    const char *plain = "quantize.embedding.weight", *gumbel = "quantize.embed.weight";
    int e = m->base.latent_channels, width, given;
    m->sort = find(r->w, r->root, "%s", plain)    ? FV_VQGAN_VQ
              : find(r->w, r->root, "%s", gumbel) ? FV_VQGAN_GUMBEL
                                                  : FV_VQGAN_KL;
    if (m->sort == FV_VQGAN_KL) {
        if (!m->encoder.there) return FV_OK;
        FV_TRY(size_of(r, "quant_conv.weight", 4, 0, &given));
        if (given == 2 * e) return FV_OK;
        return fv_fail(FV_ERR_FORMAT,
                       "checkpoint %s has no codes (%squantize.*), and its encoder gives %d "
                       "channels, not mean and variance of %d",
                       fv_weights_path(r->w), r->root, given, e);
    }
    const char *name = m->sort == FV_VQGAN_VQ ? plain : gumbel;
    FV_TRY(size_of(r, name, 2, 0, &m->base.codes));
    FV_TRY(size_of(r, name, 2, 1, &width));
    if (width == e) return FV_OK;
    return fv_fail(FV_ERR_SHAPE, "checkpoint %s: codes of %d numbers for a decoder that takes %d",
                   fv_weights_path(r->w), width, e);
}

/* --- the cfg --- */

static fv_status agree(const fv_yaml *doc, const fv_yaml_node *map, const char *key,
                       const fv_vqgan *m, int found)
{
    int said = found;
    if (!map || !fv_yaml_is_map(map)) return FV_OK;
    FV_TRY(fv_yaml_int(doc, map, key, &said));
    if (said == found) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "cfg %s: %s is %d, but checkpoint %s has %d", fv_yaml_name(doc),
                   key, said, fv_weights_path(m->weights), found);
}

/* "taming.models.vqgan.VQModel" */
static fv_status agree_on_target(const fv_yaml *doc, const char *target, const fv_vqgan *m)
{
    const char *last = target ? strrchr(target, '.') : NULL;
    last = last ? last + 1 : target ? target : "nothing";
    if (strcmp(last, "VQModelInterface") == 0) last = "VQModel";
    if (strcmp(last, sorts[m->sort]) == 0) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "cfg %s is for %.60s, but checkpoint %s holds a %s",
                   fv_yaml_name(doc), last, fv_weights_path(m->weights), sorts[m->sort]);
}

/* The model's map, or that of its first stage: target and params. NULL: the file is no such cfg. */
static const fv_yaml_node *model_of(const fv_yaml *doc)
{
    const fv_yaml_node *root = fv_yaml_root(doc);
    const fv_yaml_node *model = fv_yaml_is_map(root) ? fv_yaml_find(root, "model") : NULL;
    if (!fv_yaml_is_map(model)) return NULL;
    const fv_yaml_node *params = fv_yaml_find(model, "params");
    if (!fv_yaml_is_map(params)) return model;
    const fv_yaml_node *stage = fv_yaml_find(params, "first_stage_config");
    return fv_yaml_is_map(stage) ? stage : model;
}

static fv_status agree_on_sizes(const fv_yaml *doc, const fv_yaml_node *params, const fv_vqgan *m)
{
    const fv_yaml_node *dd = fv_yaml_find(params, "ddconfig");
    FV_TRY(agree(doc, params, "embed_dim", m, m->base.latent_channels));
    if (m->base.codes) FV_TRY(agree(doc, params, "n_embed", m, m->base.codes));
    FV_TRY(agree(doc, dd, "z_channels", m, m->inner));
    FV_TRY(agree(doc, dd, "num_res_blocks", m, m->decoder.level[0].blocks - 1));
    FV_TRY(agree(doc, dd, "out_ch", m, 3));
    const fv_yaml_node *levels = fv_yaml_is_map(dd) ? fv_yaml_find(dd, "ch_mult") : NULL;
    if (!levels || fv_yaml_count(levels) == m->decoder.levels) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "cfg %s: ch_mult has %d levels, but checkpoint %s has %d",
                   fv_yaml_name(doc), fv_yaml_count(levels), fv_weights_path(m->weights),
                   m->decoder.levels);
}

static fv_status agree_with(const fv_yaml *doc, const fv_vqgan *m)
{
    const fv_yaml_node *model = model_of(doc);
    if (!model)
        return fv_fail(FV_ERR_FORMAT, "cfg %s: no model map, with target and params",
                       fv_yaml_name(doc));
    const char *target = NULL;
    FV_TRY(fv_yaml_string(doc, model, "target", &target));
    FV_TRY(agree_on_target(doc, target, m));
    const fv_yaml_node *params = fv_yaml_find(model, "params");
    return fv_yaml_is_map(params) ? agree_on_sizes(doc, params, m) : FV_OK;
}

fv_status fv_vqgan_is_config(const char *path, bool *is)
{
    fv_yaml *doc;
    fv_status s = fv_yaml_open(&doc, path);
    *is = s >= 0 && model_of(doc) != NULL;
    if (s >= 0) fv_yaml_free(doc);
    return s == FV_ERR_MEMORY ? s : FV_OK; /* whoever reads it says what else is wrong */
}

/* --- all of it --- */

fv_status fv_vqgan_read(fv_vqgan *m, const char *config)
{
    fv_network *n = &m->base;
    reader r = {m->weights, m->root};
    FV_TRY(read_half(&r, "decoder", "up", &m->decoder));
    FV_TRY(check_colours(&r, "decoder.conv_out.weight", 0));
    FV_TRY(size_of(&r, "post_quant_conv.weight", 4, 0, &m->inner));
    FV_TRY(size_of(&r, "post_quant_conv.weight", 4, 1, &n->latent_channels));
    FV_TRY(read_encoder(&r, m));
    FV_TRY(read_codes(&r, m));
    n->title = sorts[m->sort];
    n->factor = 1 << (m->decoder.levels - 1);
    n->image_size = 16 * n->factor;
    n->encodes = m->encoder.there;
    if (!config) return FV_OK;
    fv_yaml *doc;
    FV_TRY(fv_yaml_open(&doc, config));
    fv_status s = agree_with(doc, m);
    fv_yaml_free(doc);
    return s;
}
