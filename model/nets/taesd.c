/* Tiny autoencoders (TAESD and its kin, by Ollin Boer Bohan): decoders of a continuous latent with
 * a million weights, a Sequential of numbered layers.
 *
 *   3 tanh(z / 3) -> 3x3, ReLU -> blocks -> (nearest x2 -> 3x3 without bias -> blocks) ... -> 3x3
 * -> picture block  x (+ pool(x): 1x1, group norm, ReLU, 1x1) -> ReLU(3x3, ReLU, 3x3, ReLU, 3x3 +
 * x)
 *
 * Which layer is what, its tensors tell: "3.conv.0.weight" is a block, "7.weight" without "7.bias"
 * stands behind an upsampling, the last has three channels. A 3x3 with a bias that has r r times
 * the channels of what follows stands before a depth to space by r. A "0.weight" is 1x1 and makes z
 * from uncorrelated numbers of deviation 1; "latent.decay" says how their spectrum falls
 * (network.h).
 *
 * The encoder of such files is one of its own, which this does not read. Under "encoder." the same
 * file may have another, whose layers make what layer 0 or the first 3x3 of the decoder takes:
 *
 *   picture -> "encoder.0.weight" ...: 3x3 with a bias, blocks, 3x3 by steps of 2 without -> latent
 *
 * It is no part of what makes a picture, and so of no fingerprint. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nets/taesd.h"

enum { MAX_LAYERS = 64, POOL_GROUPS = 4, MAX_FACTOR = 64, MAX_LATENT = 4096 };

/* HALVED: that of an encoder without a bias. */
typedef enum layer_kind { ABSENT, CONV, BLOCK, UPSAMPLED, HALVED } layer_kind;

static const char encoder_root[] = "encoder.";

typedef struct fv_taesd {
    fv_network base;
    fv_weights *weights;
    layer_kind layers[MAX_LAYERS];
    bool pools[MAX_LAYERS]; /* of blocks */
    int spread[MAX_LAYERS]; /* of convolutions: r of the depth to space behind them, or 1 */
    int last;               /* the layer that gives the picture */
    bool mixed;             /* there is a layer 0 */
    float *decays;
    const char *metadata[5]; /* title and licence, if the file says them */
    layer_kind encoder[MAX_LAYERS];
    bool encoder_pools[MAX_LAYERS];
    int encoder_last; /* the layer that gives the latent */
} fv_taesd;

static const fv_taesd *taesd_of(const fv_network *n)
{
    return (const fv_taesd *)(const void *)n;
}

/* --- builders --- */

static fv_ref strided3(fv_builder *b, const char *name, fv_ref x, int out, bool bias, int stride,
                       fv_act act)
{
    int in = fv_plan_shape(b->plan, x).c;
    fv_layer l = {-1, FV_NONE};
    if (bias)
        l = fv_load_conv(b, name, out, in, 3);
    else
        l.w = fv_load_kernel(b, name, out, in, 3);
    return fv_conv2d(b->plan, name, x, l.w, l.b, (fv_conv_attr){3, stride, 1, 1, 1, 1}, act);
}

static fv_ref conv3(fv_builder *b, const char *name, fv_ref x, int out, bool bias, fv_act act)
{
    return strided3(b, name, x, out, bias, 1, act);
}

static fv_ref conv1(fv_builder *b, const char *name, fv_ref x, int out)
{
    char weight[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    fv_ref w = fv_load_matrix(b, weight, out, fv_plan_shape(b->plan, x).c);
    return fv_linear(b->plan, name, x, w, FV_NONE, FV_ACT_NONE);
}

static fv_ref pooled(fv_builder *b, fv_ref x)
{
    fv_ref y = conv1(b, "pool.0", x, 0);
    fv_layer l = fv_load_norm(b, "pool.1", fv_plan_shape(b->plan, y).c);
    fv_group_attr groups = {POOL_GROUPS, 1e-5};
    y = fv_groupnorm(b->plan, "pool.1", y, l.w, l.b, groups, FV_ACT_RELU);
    y = conv1(b, "pool.3", y, fv_plan_shape(b->plan, x).c);
    return fv_add(b->plan, "pool", y, x);
}

static fv_ref block(fv_builder *b, fv_ref x, bool pool)
{
    int c = fv_plan_shape(b->plan, x).c;
    if (pool) x = pooled(b, x);
    fv_ref y = conv3(b, "conv.0", x, c, true, FV_ACT_RELU);
    y = conv3(b, "conv.2", y, c, true, FV_ACT_RELU);
    y = conv3(b, "conv.4", y, c, true, FV_ACT_NONE);
    return fv_activation(b->plan, "fuse", fv_add(b->plan, "sum", y, x), FV_ACT_RELU);
}

/* factor * x, for every channel */
static fv_ref scaled(fv_builder *b, const char *name, fv_ref x, float factor)
{
    int c = fv_plan_shape(b->plan, x).c;
    char weight[32];
    double *each = malloc((size_t)(c > 0 ? c : 1) * sizeof *each);
    if (!each) return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "%s: out of memory", name));
    for (int i = 0; i < c; i++) each[i] = (double)factor;
    snprintf(weight, sizeof weight, "%s.factor", name);
    fv_ref w = fv_plan_weight_f64(b->plan, weight, (fv_shape){1, 1, 1, c}, each);
    free(each);
    return fv_affine(b->plan, name, x, w, FV_NONE);
}

/* As mean and covariance of latents say. */
static fv_ref mixed(fv_builder *b, fv_ref latent)
{
    int c = fv_plan_shape(b->plan, latent).c;
    fv_layer l = fv_load_linear(b, "0", c, c);
    return fv_linear(b->plan, "mixed", latent, l.w, l.b, FV_ACT_NONE);
}

/* A 3x3 that keeps the width, or makes that of the picture, spread over r x r positions. */
static fv_ref plain(fv_builder *b, const fv_taesd *m, int i, fv_ref x, int width)
{
    char name[16];
    int r = m->spread[i], out = i == m->last ? 3 * r * r : r > 1 ? 0 : width;
    snprintf(name, sizeof name, "%d", i);
    x = conv3(b, name, x, out, true, width ? FV_ACT_NONE : FV_ACT_RELU);
    return r > 1 ? fv_depth_to_space(b->plan, "spread", x, r) : x;
}

static fv_ref decode(fv_builder *b, const fv_network *n, fv_ref latent)
{
    const fv_taesd *m = taesd_of(n);
    if (m->decays) free(fv_load_values(b, "latent.decay", (int64_t[]){n->latent_channels}, 1));
    if (m->mixed) latent = mixed(b, latent);
    fv_ref x = fv_activation(b->plan, "bent", scaled(b, "narrowed", latent, 1.0f / 3), FV_ACT_TANH);
    x = scaled(b, "clamped", x, 3);
    int width = 0; /* of the first convolution: what the checkpoint says */
    for (int i = 0; i <= m->last; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        switch (m->layers[i]) {
        case CONV:
            x = plain(b, m, i, x, width);
            break;
        case UPSAMPLED:
            x = conv3(b, name, fv_upsample(b->plan, "upsample", x), width, false, FV_ACT_NONE);
            break;
        case BLOCK:
            fv_enter(b, "%d.", i);
            x = block(b, x, m->pools[i]);
            fv_leave(b);
            break;
        case HALVED:
        case ABSENT:
            continue;
        }
        width = fv_plan_shape(b->plan, x).c;
    }
    return x;
}

static fv_ref encode_layer(fv_builder *b, const fv_taesd *m, int i, fv_ref x)
{
    char name[16];
    int out = i == m->encoder_last ? m->base.latent_channels : 0;
    snprintf(name, sizeof name, "%d", i);
    if (m->encoder[i] == CONV) return conv3(b, name, x, out, true, FV_ACT_NONE);
    if (m->encoder[i] == HALVED) return strided3(b, name, x, 0, false, 2, FV_ACT_NONE);
    fv_enter(b, "%d.", i);
    x = block(b, x, m->encoder_pools[i]);
    fv_leave(b);
    return x;
}

static fv_ref encode(fv_builder *b, const fv_network *n, fv_ref pixels)
{
    const fv_taesd *m = taesd_of(n);
    if (!n->encodes)
        return fv_plan_fail(b->plan,
                            fv_fail(FV_ERR_ARGUMENT,
                                    "%s has no encoder that takes pictures to a latent", n->title));
    fv_enter(b, encoder_root);
    for (int i = 0; i <= m->encoder_last; i++)
        if (m->encoder[i] != ABSENT) pixels = encode_layer(b, m, i, pixels);
    fv_leave(b);
    return pixels;
}

/* --- what a file says --- */

/* root: "" of the decoder, or encoder_root. */
static const fv_entry *find_in(const fv_weights *w, const char *root, int layer, const char *rest)
{
    char name[48];
    snprintf(name, sizeof name, "%s%d.%s", root, layer, rest);
    return fv_weights_find(w, name);
}

static const fv_entry *find(const fv_weights *w, int layer, const char *rest)
{
    return find_in(w, "", layer, rest);
}

/* scaled: what a convolution without a bias is. */
static layer_kind kind_of(const fv_weights *w, const char *root, int layer, layer_kind scaled)
{
    if (find_in(w, root, layer, "conv.0.weight")) return BLOCK;
    if (!find_in(w, root, layer, "weight")) return ABSENT;
    return find_in(w, root, layer, "bias") ? CONV : scaled;
}

static bool is_conv3(const fv_entry *e)
{
    return e && e->ndim == 4 && e->dims[2] == 3 && e->dims[3] == 3;
}

static bool is_mix(const fv_entry *e)
{
    return e && e->ndim == 4 && e->dims[2] == 1 && e->dims[3] == 1 && e->dims[0] == e->dims[1];
}

/* A decoder begins with a layer without weights or one of 1x1, its encoder with a 3x3. */
static bool is_decoder(const fv_weights *w)
{
    const fv_entry *mix = find(w, 0, "weight");
    return is_conv3(find(w, 1, "weight")) && is_conv3(find(w, 3, "conv.0.weight")) &&
           (!mix || is_mix(mix));
}

static bool is_encoder(const fv_weights *w)
{
    return is_conv3(find(w, 0, "weight")) && is_conv3(find(w, 1, "conv.0.weight"));
}

/* Channels that layer i takes. */
static int64_t taken(const fv_taesd *m, int i)
{
    const fv_entry *e = find(m->weights, i, m->layers[i] == BLOCK ? "conv.0.weight" : "weight");
    return e->ndim == 4 ? e->dims[1] : 0;
}

/* r of the depth to space behind layer i; 1: none, as far as the shapes say. */
static int spread_of(const fv_taesd *m, int i)
{
    int next = i + 1;
    while (next <= m->last && m->layers[next] == ABSENT) next++;
    int64_t out = find(m->weights, i, "weight")->dims[0], c = i == m->last ? 3 : taken(m, next);
    for (int r = 2; r <= MAX_FACTOR; r++)
        if (out == c * r * r) return r;
    return 1;
}

static fv_status read_decays(fv_taesd *m)
{
    const fv_entry *e = fv_weights_find(m->weights, "latent.decay");
    if (!e) return FV_OK;
    size_t count = (size_t)m->base.latent_channels;
    const char *path = fv_weights_path(m->weights);
    if (!fv_entry_readable(e) || e->ndim != 1 || fv_entry_count(e) != count)
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s: latent.decay is not %zu numbers", path,
                       count);
    m->decays = malloc(count * sizeof *m->decays);
    if (!m->decays) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
    fv_entry_read_f32(e, m->decays);
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(m->decays[i]) <= 4))
            return fv_fail(FV_ERR_FORMAT, "checkpoint %s: latent.decay is %g, expected -4 to 4",
                           path, (double)m->decays[i]);
    m->base.decays = m->decays;
    return FV_OK;
}

/* It has to fit the decoder. */
static fv_status check_encoder(const fv_taesd *m, int factor)
{
    const fv_entry *last = find_in(m->weights, encoder_root, m->encoder_last, "weight");
    const char *path = fv_weights_path(m->weights);
    if (m->encoder[m->encoder_last] != CONV || !is_conv3(last) ||
        last->dims[0] != m->base.latent_channels)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: the last layer of its encoder, %s%d, is no convolution to "
                       "%d channels",
                       path, encoder_root, m->encoder_last, m->base.latent_channels);
    if (factor != m->base.factor)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: its encoder is of f %d, its decoder of %d", path, factor,
                       m->base.factor);
    return FV_OK;
}

static fv_status read_encoder(fv_taesd *m)
{
    const fv_weights *w = m->weights;
    int factor = 1;
    m->encoder_last = -1;
    for (int i = 0; i < MAX_LAYERS; i++) {
        m->encoder[i] = kind_of(w, encoder_root, i, HALVED);
        m->encoder_pools[i] =
            m->encoder[i] == BLOCK && find_in(w, encoder_root, i, "pool.0.weight");
        if (m->encoder[i] == HALVED && factor <= MAX_FACTOR) factor *= 2;
        if (m->encoder[i] != ABSENT) m->encoder_last = i;
    }
    if (m->encoder_last < 0) return FV_OK;
    m->base.encodes = true;
    m->base.aside = encoder_root;
    return check_encoder(m, factor);
}

static fv_status read_layers(fv_taesd *m)
{
    const fv_weights *w = m->weights;
    const char *path = fv_weights_path(w);
    m->base.factor = 1;
    m->mixed = find(w, 0, "weight");
    for (int i = 1; i < MAX_LAYERS; i++) {
        m->layers[i] = kind_of(w, "", i, UPSAMPLED);
        m->pools[i] = m->layers[i] == BLOCK && find(w, i, "pool.0.weight");
        if (m->layers[i] == UPSAMPLED) m->base.factor *= 2;
        if (m->layers[i] != ABSENT) m->last = i;
    }
    for (int i = 1; i <= m->last; i++) {
        if (m->layers[i] != CONV) continue;
        m->spread[i] = spread_of(m, i);
        if (m->base.factor <= MAX_FACTOR) m->base.factor *= m->spread[i];
    }
    const fv_entry *first = find(w, 1, "weight"), *last = find(w, m->last, "weight");
    int r = m->spread[m->last];
    if (m->layers[m->last] != CONV || !is_conv3(last) || last->dims[0] != 3 * r * r)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: its last layer, %d, is no convolution to three colours",
                       path, m->last);
    if (m->base.factor > MAX_FACTOR || first->dims[1] < 1 || first->dims[1] > MAX_LATENT)
        return fv_fail(FV_ERR_UNSUPPORTED, "checkpoint %s: a latent of %lld channels, f %d", path,
                       (long long)first->dims[1], m->base.factor);
    m->base.latent_channels = (int)first->dims[1];
    m->base.image_size = 16 * m->base.factor;
    FV_TRY(read_decays(m));
    return read_encoder(m);
}

/* --- the row --- */

static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    *mine = !files->config && w && (is_decoder(w) || is_encoder(w));
    return FV_OK;
}

static void close_row(fv_network *n)
{
    fv_taesd *m = (fv_taesd *)(void *)n;
    fv_weights_close(m->weights);
    free(m->decays);
    free(m);
}

/* What the file says of `key`, if people can read it; it is the weights'. */
static const char *said(fv_taesd *m, const char *key)
{
    enum { LONGEST = 60 };
    const char *text = fv_weights_metadata(m->weights, key);
    if (!text || !*text || strlen(text) > LONGEST) return NULL;
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~') return NULL;
    const char **pair = m->metadata;
    while (*pair) pair += 2;
    pair[0] = key;
    pair[1] = text;
    return text;
}

static fv_status open_parts(fv_taesd *m, const char *path)
{
    FV_TRY(fv_weights_open(&m->weights, path));
    m->base.kind = &fv_taesd_kind;
    const char *title = said(m, "title");
    m->base.title = title ? title : "TAESD";
    m->base.license = said(m, "license");
    m->base.metadata = m->metadata;
    m->base.source = (fv_source){.weights = m->weights, .root = ""};
    m->base.corners = true;
    if (is_encoder(m->weights))
        return fv_fail(
            FV_ERR_ARGUMENT,
            "checkpoint %s is the encoder of a tiny autoencoder; pictures are made by its "
            "decoder, which is a file of its own",
            path);
    return read_layers(m);
}

static fv_status open_row(fv_network **out, const fv_network_files *files)
{
    fv_taesd *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->checkpoint);
    fv_status s = open_parts(m, files->checkpoint);
    if (s < 0) {
        close_row(&m->base);
        return s;
    }
    *out = &m->base;
    return FV_OK;
}

static void describe(const fv_network *n, char *out, size_t size)
{
    snprintf(out, size, "%s of f %d, a continuous latent of %d channels",
             n->encodes ? "encoder and decoder" : "decoder", n->factor, n->latent_channels);
}

const fv_network_kind fv_taesd_kind = {.name = "taesd",
                                       .detect = detect,
                                       .open = open_row,
                                       .close = close_row,
                                       .describe = describe,
                                       .decode = decode,
                                       .encode = encode};
