/* The rows of the op table as builders: each adds one op with its attributes. See plan.h; to add
 * one, kernels/README.md. */
#include "model/plan/plan_internal.h"

fv_ref fv_conv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                 fv_act act)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_CONV2D, .act = act, .attr.conv = a}, x,
                       FV_NONE, w, b);
}

fv_ref fv_dwconv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                   fv_act act)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_DWCONV2D, .act = act, .attr.conv = a}, x,
                       FV_NONE, w, b);
}

fv_ref fv_linear(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_act act)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_LINEAR, .act = act}, x, FV_NONE, w, b);
}

fv_ref fv_activation(fv_plan *p, const char *name, fv_ref x, fv_act act)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_ACT, .act = act}, x, FV_NONE, FV_NONE,
                       FV_NONE);
}

fv_ref fv_mul_channel(fv_plan *p, const char *name, fv_ref x, fv_ref gate)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_MUL_CHANNEL}, x, gate, FV_NONE, FV_NONE);
}

fv_ref fv_add(fv_plan *p, const char *name, fv_ref x, fv_ref x2)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_ADD}, x, x2, FV_NONE, FV_NONE);
}

fv_ref fv_affine(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_AFFINE}, x, FV_NONE, w, b);
}

fv_ref fv_mean_hw(fv_plan *p, const char *name, fv_ref x)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_MEAN_HW}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_max_hw(fv_plan *p, const char *name, fv_ref x)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_MAX_HW}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_mix_rows(fv_plan *p, const char *name, fv_ref x, fv_ref w)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_MIX_ROWS}, x, FV_NONE, w, FV_NONE);
}

fv_ref fv_l2norm(fv_plan *p, const char *name, fv_ref x, double eps)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_L2NORM, .attr.eps = eps}, x, FV_NONE, FV_NONE,
                       FV_NONE);
}

fv_ref fv_layernorm(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, double eps)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_LAYERNORM, .attr.eps = eps}, x, FV_NONE, w,
                       b);
}

fv_ref fv_groupnorm(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_group_attr a,
                    fv_act act)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_GROUPNORM, .act = act, .attr.group = a}, x,
                       FV_NONE, w, b);
}

fv_ref fv_attention(fv_plan *p, const char *name, fv_ref qkv, fv_ref key_bias, int heads)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_ATTENTION, .attr.attention.heads = heads},
                       qkv, FV_NONE, FV_NONE, key_bias);
}

fv_ref fv_causal_attention(fv_plan *p, const char *name, fv_ref qkv, int heads)
{
    fv_attention_attr a = {heads, true};
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_ATTENTION, .attr.attention = a}, qkv, FV_NONE,
                       FV_NONE, FV_NONE);
}

fv_ref fv_embed(fv_plan *p, const char *name, fv_ref ids, fv_ref table, fv_ref positions)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_EMBED}, ids, FV_NONE, table, positions);
}

fv_ref fv_separable(fv_plan *p, const char *name, fv_ref x, fv_ref rows, fv_ref columns)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_SEPARABLE}, x, FV_NONE, rows, columns);
}

fv_ref fv_warp(fv_plan *p, const char *name, fv_ref x, fv_ref views, int side)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_WARP, .attr.out_side = side}, x, FV_NONE,
                       views, FV_NONE);
}

fv_ref fv_colour_jitter(fv_plan *p, const char *name, fv_ref x, fv_ref numbers, fv_ref keys)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_COLOUR_JITTER}, x, FV_NONE, numbers, keys);
}

fv_ref fv_gather_channels(fv_plan *p, const char *name, fv_ref x, fv_ref channels)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_GATHER_CHANNELS}, x, FV_NONE, FV_NONE,
                       channels);
}

fv_ref fv_upsample(fv_plan *p, const char *name, fv_ref x)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_UPSAMPLE}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_depth_to_space(fv_plan *p, const char *name, fv_ref x, int r)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_DEPTH_TO_SPACE, .attr.block = r}, x, FV_NONE,
                       FV_NONE, FV_NONE);
}

fv_ref fv_avgpool(fv_plan *p, const char *name, fv_ref x, int k)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_AVGPOOL, .attr.pool = k}, x, FV_NONE, FV_NONE,
                       FV_NONE);
}

fv_ref fv_clamp(fv_plan *p, const char *name, fv_ref x)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_CLAMP}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_quantise(fv_plan *p, const char *name, fv_ref x, fv_ref codes)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_QUANTISE}, x, FV_NONE, codes, FV_NONE);
}

fv_ref fv_penalise(fv_plan *p, const char *name, fv_ref x, fv_penalty kind)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_PENALTY, .attr.penalty = kind}, x, FV_NONE,
                       FV_NONE, FV_NONE);
}

fv_ref fv_gram(fv_plan *p, const char *name, fv_ref x)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_GRAM}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_cosine(fv_plan *p, const char *name, fv_ref x, fv_ref w, double eps)
{
    return fv_plan_add(p, name, (fv_op){.kind = FV_OP_COSINE, .attr.eps = eps}, x, FV_NONE, w,
                       FV_NONE);
}
