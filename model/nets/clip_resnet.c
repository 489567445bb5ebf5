/* CLIP's ModifiedResNet: a stem of three convolutions, pools instead of strides, and attention
 * instead of the last mean. See clip.h. */
#include <stdlib.h>

#include "model/nets/clip.h"

static const double norm_eps = 1e-5;

/* A convolution of k x k with its batch norm; k 3 keeps the size, but for the stride. */
static fv_ref conv(fv_builder *b, const char *name, const char *norm, fv_ref x, int out, int k,
                   int stride, fv_act act)
{
    int in = fv_plan_shape(b->plan, x).c, pad = k / 2;
    fv_layer l = fv_load_conv_bn(b, name, norm, out, in, k, false, norm_eps);
    fv_conv_attr a = {k, stride, pad, pad, pad, pad};
    return fv_conv2d(b->plan, name, x, l.w, l.b, a, act);
}

static fv_ref stem(fv_builder *b, int width, fv_ref x)
{
    x = conv(b, "conv1", "bn1", x, width / 2, 3, 2, FV_ACT_RELU);
    x = conv(b, "conv2", "bn2", x, width / 2, 3, 1, FV_ACT_RELU);
    x = conv(b, "conv3", "bn3", x, width, 3, 1, FV_ACT_RELU);
    return fv_avgpool(b->plan, "avgpool", x, 2);
}

/* Both ways are pooled where ResNet's would take strides. */
static fv_ref bottleneck(fv_builder *b, fv_ref x, int planes, bool first, int stride)
{
    fv_ref y = conv(b, "conv1", "bn1", x, planes, 1, 1, FV_ACT_RELU);
    y = conv(b, "conv2", "bn2", y, planes, 3, 1, FV_ACT_RELU);
    if (stride > 1) y = fv_avgpool(b->plan, "avgpool", y, stride);
    y = conv(b, "conv3", "bn3", y, 4 * planes, 1, 1, FV_ACT_NONE);
    if (first && stride > 1) x = fv_avgpool(b->plan, "downsample.pool", x, stride);
    if (first) x = conv(b, "downsample.0", "downsample.1", x, 4 * planes, 1, 1, FV_ACT_NONE);
    return fv_activation(b->plan, "out", fv_add(b->plan, "sum", y, x), FV_ACT_RELU);
}

fv_ref fv_clip_resnet_map(fv_builder *b, const fv_clip *c, fv_ref x)
{
    char name[32];
    fv_enter(b, "visual.");
    x = stem(b, c->image.width, x);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < c->blocks[i]; k++) {
            fv_enter(b, "layer%d.%d.", i + 1, k);
            x = bottleneck(b, x, c->image.width << i, k == 0, k == 0 && i > 0 ? 2 : 1);
            fv_leave(b);
            snprintf(name, sizeof name, "layer%d.%d", i + 1, k);
            if (k < c->blocks[i] - 1) fv_plan_alias(b->plan, x, name);
        }
        snprintf(name, sizeof name, "layer%d", i + 1);
        fv_plan_alias(b->plan, x, name);
    }
    fv_leave(b);
    return x;
}

/* {1,1,1+p,p}: the mean of all positions, then each. */
static fv_ref mean_first(fv_builder *b, int positions)
{
    size_t p = (size_t)positions;
    double *values = calloc((p + 1) * p, sizeof *values);
    if (!values)
        return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "attention pool: out of memory"));
    for (size_t i = 0; i < p; i++) values[i] = 1 / (double)p;
    for (size_t i = 0; i < p; i++) values[(i + 1) * p + i] = 1;
    fv_ref r = fv_plan_weight_f64(b->plan, "tokens.places",
                                  (fv_shape){1, 1, positions + 1, positions}, values);
    free(values);
    return r;
}

static fv_ref add_positions(fv_builder *b, fv_ref x)
{
    fv_shape s = fv_plan_shape(b->plan, x);
    if (x < 0) return -1;
    s.n = 1;
    double *rows = fv_load_values(b, "positional_embedding", (int64_t[]){s.w, s.c}, 2);
    double *ones = malloc(fv_count(s) * sizeof *ones);
    if (!ones) fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "attention pool: out of memory"));
    for (size_t i = 0; ones && i < fv_count(s); i++) ones[i] = 1;
    fv_ref scale = fv_plan_weight_f64(b->plan, "embeddings.scale", s, ones);
    fv_ref shift = fv_plan_weight_f64(b->plan, "embeddings.rows", s, rows);
    free(rows);
    free(ones);
    return fv_affine(b->plan, "embeddings", x, scale, shift);
}

/* Attention over the mean and all positions, of which the mean's row is the answer. */
fv_ref fv_clip_resnet_head(fv_builder *b, const fv_clip *c, fv_ref map, fv_ref bias)
{
    static const char *const parts[3] = {"q_proj", "k_proj", "v_proj"};
    fv_shape s = fv_plan_shape(b->plan, map);
    if (map < 0) return -1;
    fv_enter(b, "visual.attnpool.");
    fv_ref x = fv_mix_rows(b->plan, "tokens", map, mean_first(b, s.h * s.w));
    x = add_positions(b, x);
    fv_layer qkv = fv_load_linears(b, parts, 3, "qkv", s.c, s.c);
    x = fv_linear(b->plan, "qkv", x, qkv.w, qkv.b, FV_ACT_NONE);
    x = fv_attention(b->plan, "heads", x, bias, c->image.heads);
    fv_layer out = fv_load_linear(b, "c_proj", 0, s.c);
    x = fv_linear(b->plan, "c_proj", fv_clip_row(b, "mean", x, 0), out.w, out.b, FV_ACT_NONE);
    fv_leave(b);
    return x;
}
