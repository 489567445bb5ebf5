/* The builders of autoencoders, and their row. See vqgan.h. */
#include "model/nets/vqgan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const fv_vqgan *vqgan_of(const fv_network *n)
{
    return (const fv_vqgan *)(const void *)n;
}

/* --- pieces --- */

static fv_ref norm(fv_builder *b, const char *name, fv_ref x, fv_act act)
{
    fv_layer l = fv_load_norm(b, name, fv_plan_shape(b->plan, x).c);
    fv_group_attr groups = {FV_VQGAN_GROUPS, 1e-6};
    return fv_groupnorm(b->plan, name, x, l.w, l.b, groups, act);
}

static fv_ref conv3(fv_builder *b, const char *name, fv_ref x, int out)
{
    fv_layer l = fv_load_conv(b, name, out, fv_plan_shape(b->plan, x).c, 3);
    return fv_conv2d(b->plan, name, x, l.w, l.b, (fv_conv_attr){3, 1, 1, 1, 1, 1}, FV_ACT_NONE);
}

static fv_ref conv1(fv_builder *b, const char *name, fv_ref x, int out)
{
    fv_layer l = fv_load_linear(b, name, out, fv_plan_shape(b->plan, x).c);
    return fv_linear(b->plan, name, x, l.w, l.b, FV_ACT_NONE);
}

static fv_ref residual_block(fv_builder *b, const char *name, fv_ref x, int out)
{
    fv_enter(b, "%s.", name);
    fv_ref h = conv3(b, "conv1", norm(b, "norm1", x, FV_ACT_SILU), out);
    h = conv3(b, "conv2", norm(b, "norm2", h, FV_ACT_SILU), out);
    if (fv_plan_shape(b->plan, x).c != out) x = conv1(b, "nin_shortcut", x, out);
    fv_ref y = fv_add(b->plan, "sum", h, x);
    fv_leave(b);
    fv_plan_alias(b->plan, y, name);
    return y;
}

static fv_ref attention_block(fv_builder *b, const char *name, fv_ref x)
{
    static const char *const parts[3] = {"q", "k", "v"};
    int c = fv_plan_shape(b->plan, x).c;
    fv_enter(b, "%s.", name);
    fv_ref y = norm(b, "norm", x, FV_ACT_NONE);
    fv_layer l = fv_load_linears(b, parts, 3, "qkv", c, c);
    y = fv_linear(b->plan, "qkv", y, l.w, l.b, FV_ACT_NONE);
    y = conv1(b, "proj_out", fv_attention(b->plan, "attention", y, FV_NONE, 1), c);
    y = fv_add(b->plan, "sum", y, x);
    fv_leave(b);
    fv_plan_alias(b->plan, y, name);
    return y;
}

static fv_ref middle(fv_builder *b, const fv_vqgan_half *h, fv_ref x)
{
    fv_enter(b, "mid.");
    x = residual_block(b, "block_1", x, h->middle);
    if (h->middle_attention) x = attention_block(b, "attn_1", x);
    x = residual_block(b, "block_2", x, h->middle);
    fv_leave(b);
    return x;
}

/* The blocks of level i, `blocks` of them. */
static fv_ref level(fv_builder *b, const fv_vqgan_half *h, int i, fv_ref x)
{
    for (int j = 0; j < h->level[i].blocks; j++) {
        char name[32];
        snprintf(name, sizeof name, "block.%d", j);
        x = residual_block(b, name, x, h->level[i].channels);
        snprintf(name, sizeof name, "attn.%d", j);
        if (h->level[i].attention) x = attention_block(b, name, x);
    }
    return x;
}

/* scale x + shift, the same for every channel */
static fv_ref scaled(fv_builder *b, const char *name, fv_ref x, float scale, float shift)
{
    char part[32];
    const float scales[3] = {scale, scale, scale}, shifts[3] = {shift, shift, shift};
    snprintf(part, sizeof part, "%s.scale", name);
    fv_ref w = fv_plan_weight(b->plan, part, (fv_shape){1, 1, 1, 3}, scales);
    snprintf(part, sizeof part, "%s.shift", name);
    fv_ref shifted = fv_plan_weight(b->plan, part, (fv_shape){1, 1, 1, 3}, shifts);
    return fv_affine(b->plan, name, x, w, shifted);
}

/* --- the halves --- */

fv_ref fv_vqgan_decode(fv_builder *b, const fv_network *n, fv_ref latent)
{
    const fv_vqgan *m = vqgan_of(n);
    const fv_vqgan_half *h = &m->decoder;
    fv_ref x = conv1(b, "post_quant_conv", latent, m->inner);
    fv_enter(b, "decoder.");
    x = middle(b, h, conv3(b, "conv_in", x, h->middle));
    for (int i = h->levels - 1; i >= 0; i--) {
        fv_enter(b, "up.%d.", i);
        x = level(b, h, i, x);
        if (i > 0) {
            x = fv_upsample(b->plan, "upsample", x);
            x = conv3(b, "upsample.conv", x, h->level[i].channels);
        }
        fv_leave(b);
        char name[32];
        snprintf(name, sizeof name, "up.%d", i);
        fv_plan_alias(b->plan, x, name);
    }
    x = conv3(b, "conv_out", norm(b, "norm_out", x, FV_ACT_SILU), 3);
    fv_leave(b);
    return scaled(b, "unclamped", x, 0.5f, 0.5f);
}

/* 3x3 with stride 2 and zeros to the right and below alone */
static fv_ref downsample(fv_builder *b, fv_ref x, int channels)
{
    fv_layer l = fv_load_conv(b, "downsample.conv", channels, channels, 3);
    return fv_conv2d(b->plan, "downsample.conv", x, l.w, l.b, (fv_conv_attr){3, 2, 0, 0, 1, 1},
                     FV_ACT_NONE);
}

/* The first `keep` of the channels of x. */
static fv_ref first_channels(fv_builder *b, const char *name, fv_ref x, int keep)
{
    int32_t *channels = malloc((size_t)keep * sizeof *channels);
    if (!channels) return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "%s: out of memory", name));
    for (int i = 0; i < keep; i++) channels[i] = i;
    fv_ref which =
        fv_plan_weight_i32(b->plan, "mean.channels", (fv_shape){1, 1, 1, keep}, channels);
    free(channels);
    return fv_gather_channels(b->plan, name, x, which);
}

fv_ref fv_vqgan_encode(fv_builder *b, const fv_network *n, fv_ref pixels)
{
    const fv_vqgan *m = vqgan_of(n);
    const fv_vqgan_half *h = &m->encoder;
    if (!h->there)
        return fv_plan_fail(b->plan, fv_fail(FV_ERR_ARGUMENT,
                                             "checkpoint %s has a decoder alone, no encoder",
                                             fv_weights_path(m->weights)));
    int twice = m->sort == FV_VQGAN_KL ? 2 : 1;
    fv_ref x = scaled(b, "centred", pixels, 2, -1);
    fv_enter(b, "encoder.");
    x = conv3(b, "conv_in", x, 0);
    for (int i = 0; i < h->levels; i++) {
        fv_enter(b, "down.%d.", i);
        x = level(b, h, i, x);
        if (i < h->levels - 1) x = downsample(b, x, h->level[i].channels);
        fv_leave(b);
        char name[32];
        snprintf(name, sizeof name, "down.%d", i);
        fv_plan_alias(b->plan, x, name);
    }
    x = norm(b, "norm_out", middle(b, h, x), FV_ACT_SILU);
    x = conv3(b, "conv_out", x, twice * m->inner);
    fv_leave(b);
    x = conv1(b, "quant_conv", x, twice * n->latent_channels);
    return twice == 1 ? x : first_channels(b, "mean", x, n->latent_channels);
}

/* --- codes --- */

/* The nearest of codes that are no numbers is any. */
static void check_codes(fv_builder *b, const fv_network *n, const char *name, const double *values)
{
    size_t count = (size_t)n->codes * (size_t)n->latent_channels;
    for (size_t i = 0; values && i < count; i++)
        if (!isfinite(values[i])) {
            fv_plan_fail(b->plan,
                         fv_fail(FV_ERR_FORMAT, "checkpoint %s: tensor %s%s: number %zu is %g",
                                 fv_weights_path(n->source.weights), n->source.root, name, i,
                                 values[i]));
            return;
        }
}

/* Not through the store, where a backend might round them. */
fv_ref fv_vqgan_codes(fv_builder *b, const fv_network *n)
{
    const fv_vqgan *m = vqgan_of(n);
    const char *name =
        m->sort == FV_VQGAN_GUMBEL ? "quantize.embed.weight" : "quantize.embedding.weight";
    if (!n->codes)
        return fv_plan_fail(
            b->plan,
            fv_fail(FV_ERR_ARGUMENT, "%s has no codes: its latent is continuous", n->title));
    int64_t dims[2] = {n->codes, n->latent_channels};
    double *values = fv_load_values(b, name, dims, 2);
    check_codes(b, n, name, values);
    fv_ref r = fv_plan_weight_f64(b->plan, "codes", (fv_shape){1, 1, n->codes, n->latent_channels},
                                  values);
    free(values);
    if (m->sort == FV_VQGAN_GUMBEL) {
        fv_load_unused(b, "quantize.proj.weight");
        fv_load_unused(b, "quantize.proj.bias");
    }
    return r;
}

fv_ref fv_vqgan_logits(fv_builder *b, const fv_network *n, fv_ref latent)
{
    return conv1(b, "quantize.proj", latent, n->codes);
}

/* --- the row --- */

static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    if (files->checkpoint && files->config) return fv_vqgan_is_config(files->config, mine);
    *mine = w && fv_vqgan_root(w) != NULL;
    return FV_OK;
}

static void close_row(fv_network *n)
{
    fv_vqgan *m = (fv_vqgan *)(void *)n;
    free(m->root);
    free(m->config);
    fv_weights_close(m->weights);
    free(m);
}

static fv_status open_parts(fv_vqgan *m, const fv_network_files *files)
{
    FV_TRY(fv_weights_open(&m->weights, files->checkpoint));
    const char *root = fv_vqgan_root(m->weights);
    if (!root)
        return fv_fail(FV_ERR_FORMAT,
                       "checkpoint %s: no decoder.conv_in.weight with post_quant_conv.weight: this "
                       "is no VQGAN and no first stage of a latent diffusion model",
                       files->checkpoint);
    m->root = strdup(root);
    m->config = files->config ? strdup(files->config) : NULL;
    if (!m->root || (files->config && !m->config))
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->checkpoint);
    m->base.config = m->config;
    m->base.source = (fv_source){.weights = m->weights, .root = m->root};
    return fv_vqgan_read(m, m->config);
}

static fv_status open_row(fv_network **out, const fv_network_files *files)
{
    fv_vqgan *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->checkpoint);
    m->base.kind = &fv_vqgan_kind;
    fv_status s = open_parts(m, files);
    if (s < 0) {
        close_row(&m->base);
        return s;
    }
    *out = &m->base;
    return FV_OK;
}

static void describe(const fv_network *n, char *out, size_t size)
{
    const fv_vqgan *m = vqgan_of(n);
    const char *halves = m->encoder.there ? "encoder and decoder" : "decoder";
    if (n->codes)
        snprintf(out, size, "%s of f %d, %d codes of %d numbers", halves, n->factor, n->codes,
                 n->latent_channels);
    else
        snprintf(out, size, "%s of f %d, a continuous latent of %d channels", halves, n->factor,
                 n->latent_channels);
}

const fv_network_kind fv_vqgan_kind = {.name = "vqgan",
                                       .detect = detect,
                                       .open = open_row,
                                       .close = close_row,
                                       .describe = describe,
                                       .decode = fv_vqgan_decode,
                                       .encode = fv_vqgan_encode,
                                       .codebook = fv_vqgan_codes};
