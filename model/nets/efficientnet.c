/* EfficientNet builder. See efficientnet.h. Table and scaling rules: Tan & Le, EfficientNet:
 * rethinking model scaling for convolutional neural networks, ICML 2019, tables 1 and 8. */
#include "model/nets/efficientnet.h"

#include <math.h>
#include <string.h>

static const double batch_norm_eps = 1e-3;

/* The baseline network B0. */
static const struct {
    int repeats, channels, kernel, stride, expand;
} baseline[FV_EFFICIENTNET_STAGES] = {{1, 16, 3, 1, 1}, {2, 24, 3, 2, 6},  {2, 40, 5, 2, 6},
                                      {3, 80, 3, 2, 6}, {3, 112, 5, 1, 6}, {4, 192, 5, 2, 6},
                                      {1, 320, 3, 1, 6}};

static const struct {
    const char *name;
    bool lite;
    double width, depth;
    int image_size;
} variants[] = {
    {"b0", false, 1.0, 1.0, 224},   {"b1", false, 1.0, 1.1, 240},   {"b2", false, 1.1, 1.2, 260},
    {"b3", false, 1.2, 1.4, 300},   {"b4", false, 1.4, 1.8, 380},   {"b5", false, 1.6, 2.2, 456},
    {"b6", false, 1.8, 2.6, 528},   {"b7", false, 2.0, 3.1, 600},   {"lite0", true, 1.0, 1.0, 224},
    {"lite1", true, 1.0, 1.1, 240}, {"lite2", true, 1.1, 1.2, 260}, {"lite3", true, 1.2, 1.4, 300},
    {"lite4", true, 1.4, 1.8, 380},
};

/* To a multiple of 8, not below 90 % of the exact width. */
static int scale_channels(int channels, double width)
{
    double exact = channels * width;
    int rounded = (int)(exact + 4) / 8 * 8;
    if (rounded < 8) rounded = 8;
    return rounded < 0.9 * exact ? rounded + 8 : rounded;
}

static bool known_suffix(const char *s)
{
    return !*s || !strcmp(s, "_ns") || !strcmp(s, "_ap") || !strcmp(s, "_aa") ||
           !strcmp(s, "_in1k");
}

fv_status fv_efficientnet_named(fv_efficientnet *out, const char *name)
{
    static const char prefix[] = "tf_efficientnet_";
    size_t skip = sizeof prefix - 1, found = 0, count = sizeof variants / sizeof *variants;
    bool ok = strncmp(name, prefix, skip) == 0;
    for (found = 0; ok && found < count; found++) {
        size_t n = strlen(variants[found].name);
        if (strncmp(name + skip, variants[found].name, n) == 0 && known_suffix(name + skip + n))
            break;
    }
    if (!ok || found == count)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "CNN '%s' is not known; known are tf_efficientnet_b0 .. b7 (also with _ns) "
                       "and tf_efficientnet_lite0 .. lite4",
                       name);
    bool lite = variants[found].lite;
    double width = variants[found].width, depth = variants[found].depth;
    *out = (fv_efficientnet){.image_size = variants[found].image_size, .lite = lite};
    out->stem = lite ? 32 : scale_channels(32, width);
    out->head = lite ? 1280 : scale_channels(1280, width);
    for (int i = 0; i < FV_EFFICIENTNET_STAGES; i++) {
        bool fixed = lite && (i == 0 || i == FV_EFFICIENTNET_STAGES - 1);
        int repeats = baseline[i].repeats;
        out->stages[i].repeats = fixed ? repeats : (int)ceil(repeats * depth);
        out->stages[i].channels = scale_channels(baseline[i].channels, width);
        out->stages[i].kernel = baseline[i].kernel;
        out->stages[i].stride = baseline[i].stride;
        out->stages[i].expand = baseline[i].expand;
    }
    int end = FV_EFFICIENTNET_STAGES - 1, input = out->stages[end].repeats > 1 ? end : end - 1;
    out->last.expanded = out->stages[input].channels * out->stages[end].expand;
    out->last.channels = out->stages[end].channels;
    return FV_OK;
}

/* TensorFlow SAME: the output has ceil(size / stride) positions; an odd zero goes behind. */
static fv_conv_attr same_padding(fv_shape x, int k, int stride)
{
    int h = ((x.h + stride - 1) / stride - 1) * stride + k - x.h;
    int w = ((x.w + stride - 1) / stride - 1) * stride + k - x.w;
    if (h < 0) h = 0;
    if (w < 0) w = 0;
    return (fv_conv_attr){k, stride, h / 2, w / 2, h - h / 2, w - w / 2};
}

/* The activation and squeeze-excite of the family member. */
typedef struct style {
    fv_act act;
    bool squeeze;
} style;

static fv_ref conv(fv_builder *b, const char *name, const char *bn, fv_ref x, int out, int k,
                   int stride, fv_act act)
{
    fv_shape shape = fv_plan_shape(b->plan, x);
    fv_layer l = fv_load_conv_bn(b, name, bn, out, shape.c, k, false, batch_norm_eps);
    return fv_conv2d(b->plan, name, x, l.w, l.b, same_padding(shape, k, stride), act);
}

static fv_ref depthwise(fv_builder *b, const style *t, const char *name, const char *bn, fv_ref x,
                        int k, int stride)
{
    fv_shape shape = fv_plan_shape(b->plan, x);
    fv_layer l = fv_load_conv_bn(b, name, bn, shape.c, 1, k, true, batch_norm_eps);
    return fv_dwconv2d(b->plan, name, x, l.w, l.b, same_padding(shape, k, stride), t->act);
}

/* A quarter of the block's own input, not of the channels that were expanded, passes through. */
static fv_ref squeeze_excite(fv_builder *b, const style *t, fv_ref x, int input)
{
    if (!t->squeeze) return x;
    fv_enter(b, "se.");
    int channels = fv_plan_shape(b->plan, x).c;
    fv_ref mean = fv_mean_hw(b->plan, "mean", x);
    fv_layer reduce = fv_load_linear(b, "conv_reduce", input / 4, channels);
    fv_ref squeezed = fv_linear(b->plan, "conv_reduce", mean, reduce.w, reduce.b, t->act);
    fv_layer expand = fv_load_linear(b, "conv_expand", channels, input / 4);
    fv_ref gate = fv_linear(b->plan, "conv_expand", squeezed, expand.w, expand.b, FV_ACT_SIGMOID);
    fv_ref y = fv_mul_channel(b->plan, "gated", x, gate);
    fv_leave(b);
    return y;
}

/* Depthwise -> squeeze-excite -> pointwise; no expansion. */
static fv_ref separable_block(fv_builder *b, const style *t, fv_ref x, int out, int k, int stride)
{
    fv_ref y = depthwise(b, t, "conv_dw", "bn1", x, k, stride);
    y = squeeze_excite(b, t, y, fv_plan_shape(b->plan, x).c);
    return conv(b, "conv_pw", "bn2", y, out, 1, 1, FV_ACT_NONE);
}

/* Pointwise expansion -> depthwise -> squeeze-excite -> pointwise projection. */
static fv_ref inverted_residual(fv_builder *b, const style *t, fv_ref x, int expanded, int out,
                                int k, int stride)
{
    int input = fv_plan_shape(b->plan, x).c;
    fv_ref y = conv(b, "conv_pw", "bn1", x, expanded, 1, 1, t->act);
    y = depthwise(b, t, "conv_dw", "bn2", y, k, stride);
    y = squeeze_excite(b, t, y, input);
    return conv(b, "conv_pwl", "bn3", y, out, 1, 1, FV_ACT_NONE);
}

fv_ref fv_efficientnet_build(fv_builder *b, const fv_efficientnet *net, fv_ref x)
{
    style style_of = {net->lite ? FV_ACT_RELU6 : FV_ACT_SILU, !net->lite};
    const style *t = &style_of;
    int end = FV_EFFICIENTNET_STAGES - 1;
    x = conv(b, "conv_stem", "bn1", x, net->stem, 3, 2, t->act);
    for (int stage = 0; stage < FV_EFFICIENTNET_STAGES; stage++) {
        char name[32];
        for (int i = 0; i < net->stages[stage].repeats; i++) {
            int out = net->stages[stage].channels, k = net->stages[stage].kernel;
            int stride = i == 0 ? net->stages[stage].stride : 1;
            int input = fv_plan_shape(b->plan, x).c, expanded = input * net->stages[stage].expand;
            if (stage == end && i == net->stages[end].repeats - 1) {
                expanded = net->last.expanded;
                out = net->last.channels;
            }
            fv_enter(b, "blocks.%d.%d.", stage, i);
            fv_ref y = net->stages[stage].expand == 1
                           ? separable_block(b, t, x, out, k, stride)
                           : inverted_residual(b, t, x, expanded, out, k, stride);
            if (stride == 1 && input == out) y = fv_add(b->plan, "add", y, x);
            fv_leave(b);
            snprintf(name, sizeof name, "blocks.%d.%d", stage, i);
            fv_plan_alias(b->plan, y, name);
            x = y;
        }
        snprintf(name, sizeof name, "blocks.%d", stage);
        fv_plan_alias(b->plan, x, name);
    }
    fv_load_unused(b, "classifier.weight"); /* of the training on ImageNet; but see classify */
    fv_load_unused(b, "classifier.bias");
    return conv(b, "conv_head", "bn2", x, net->head, 1, 1, t->act);
}

fv_ref fv_efficientnet_classify(fv_builder *b, fv_ref map)
{
    fv_ref mean = fv_mean_hw(b->plan, "global_pool", map);
    fv_layer l = fv_load_linear(b, "classifier", 0, fv_plan_shape(b->plan, mean).c);
    return fv_linear(b->plan, "classifier", mean, l.w, l.b, FV_ACT_NONE);
}
