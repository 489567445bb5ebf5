/* Tiny autoencoders (TAESD and its kin, by Ollin Boer Bohan): decoders of a continuous latent with
 * a million weights, a Sequential of numbered layers.
 *
 *   3 tanh(z / 3) -> 3x3, ReLU -> blocks -> (nearest x2 -> 3x3 without bias -> blocks) ... -> 3x3
 * -> picture block  x (+ pool(x): 1x1, group norm, ReLU, 1x1) -> ReLU(3x3, ReLU, 3x3, ReLU, 3x3 +
 * x)
 *
 * Which layer is what, its tensors tell: "3.conv.0.weight" is a block, "7.weight" without "7.bias"
 * stands behind an upsampling, the last has three channels. The encoder is a file of its own, which
 * this does not read. */
#include <stdlib.h>
#include <string.h>

#include "model/nets/taesd.h"

enum { MAX_LAYERS = 64, POOL_GROUPS = 4, MAX_FACTOR = 64 };

typedef enum layer_kind { ABSENT, CONV, BLOCK, UPSAMPLED } layer_kind;

typedef struct fv_taesd {
    fv_network base;
    fv_weights *weights;
    layer_kind layers[MAX_LAYERS];
    bool pools[MAX_LAYERS]; /* of blocks */
    int last;               /* the layer that gives the picture */
} fv_taesd;

static const fv_taesd *taesd_of(const fv_network *n)
{
    return (const fv_taesd *)(const void *)n;
}

/* --- builders --- */

static fv_ref conv3(fv_builder *b, const char *name, fv_ref x, int out, bool bias, fv_act act)
{
    int in = fv_plan_shape(b->plan, x).c;
    fv_layer l = {-1, FV_NONE};
    if (bias)
        l = fv_load_conv(b, name, out, in, 3);
    else
        l.w = fv_load_kernel(b, name, out, in, 3);
    return fv_conv2d(b->plan, name, x, l.w, l.b, (fv_conv_attr){3, 1, 1, 1, 1, 1}, act);
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

static fv_ref decode(fv_builder *b, const fv_network *n, fv_ref latent)
{
    const fv_taesd *m = taesd_of(n);
    fv_ref x = fv_activation(b->plan, "bent", scaled(b, "narrowed", latent, 1.0f / 3), FV_ACT_TANH);
    x = scaled(b, "clamped", x, 3);
    int width = 0; /* of the first convolution: what the checkpoint says */
    for (int i = 0; i <= m->last; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        bool first = width == 0;
        switch (m->layers[i]) {
        case CONV:
            x = conv3(b, name, x, i == m->last ? 3 : width, true,
                      first ? FV_ACT_RELU : FV_ACT_NONE);
            break;
        case UPSAMPLED:
            x = conv3(b, name, fv_upsample(b->plan, "upsample", x), width, false, FV_ACT_NONE);
            break;
        case BLOCK:
            fv_enter(b, "%d.", i);
            x = block(b, x, m->pools[i]);
            fv_leave(b);
            break;
        case ABSENT:
            continue;
        }
        width = fv_plan_shape(b->plan, x).c;
    }
    return x;
}

/* --- what a file says --- */

static const fv_entry *find(const fv_weights *w, int layer, const char *rest)
{
    char name[32];
    snprintf(name, sizeof name, "%d.%s", layer, rest);
    return fv_weights_find(w, name);
}

static bool is_conv3(const fv_entry *e)
{
    return e && e->ndim == 4 && e->dims[2] == 3 && e->dims[3] == 3;
}

/* A decoder begins with a layer without weights, its encoder with a convolution. */
static bool is_decoder(const fv_weights *w)
{
    return is_conv3(find(w, 1, "weight")) && is_conv3(find(w, 3, "conv.0.weight")) &&
           !find(w, 0, "weight");
}

static bool is_encoder(const fv_weights *w)
{
    return is_conv3(find(w, 0, "weight")) && is_conv3(find(w, 1, "conv.0.weight"));
}

static fv_status read_layers(fv_taesd *m)
{
    const fv_weights *w = m->weights;
    const char *path = fv_weights_path(w);
    m->base.factor = 1;
    for (int i = 0; i < MAX_LAYERS; i++) {
        bool plain = find(w, i, "weight");
        m->layers[i] = find(w, i, "conv.0.weight")   ? BLOCK
                       : plain && find(w, i, "bias") ? CONV
                       : plain                       ? UPSAMPLED
                                                     : ABSENT;
        m->pools[i] = m->layers[i] == BLOCK && find(w, i, "pool.0.weight");
        if (m->layers[i] == UPSAMPLED) m->base.factor *= 2;
        if (m->layers[i] != ABSENT) m->last = i;
    }
    const fv_entry *first = find(w, 1, "weight"), *last = find(w, m->last, "weight");
    if (m->layers[m->last] != CONV || !is_conv3(last) || last->dims[0] != 3)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s: its last layer, %d, is no convolution to three colours",
                       path, m->last);
    if (m->base.factor > MAX_FACTOR || first->dims[1] < 1 || first->dims[1] > 4096)
        return fv_fail(FV_ERR_UNSUPPORTED, "checkpoint %s: a latent of %lld channels, f %d", path,
                       (long long)first->dims[1], m->base.factor);
    m->base.latent_channels = (int)first->dims[1];
    m->base.image_size = 16 * m->base.factor;
    return FV_OK;
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
    free(m);
}

static fv_status open_parts(fv_taesd *m, const char *path)
{
    FV_TRY(fv_weights_open(&m->weights, path));
    m->base.kind = &fv_taesd_kind;
    m->base.title = "TAESD";
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
    snprintf(out, size, "decoder of f %d, a continuous latent of %d channels", n->factor,
             n->latent_channels);
}

const fv_network_kind fv_taesd_kind = {.name = "taesd",
                                       .detect = detect,
                                       .open = open_row,
                                       .close = close_row,
                                       .describe = describe,
                                       .decode = decode};
