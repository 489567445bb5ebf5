/* Transformer layers and BERT. See transformer.h. */
#include "model/nets/transformer.h"

#include <stdlib.h>

fv_ref fv_transformer_build(fv_builder *b, const fv_transformer_layer *l, fv_ref x, fv_ref key_bias)
{
    fv_ref qkv = fv_linear(b->plan, "qkv", x, l->qkv.w, l->qkv.b, FV_ACT_NONE);
    fv_ref mixed = fv_attention(b->plan, "attention", qkv, key_bias, l->heads);
    fv_ref out = fv_linear(b->plan, "out", mixed, l->out.w, l->out.b, FV_ACT_NONE);
    fv_ref sum = fv_add(b->plan, "sum1", out, x);
    fv_ref y = fv_layernorm(b->plan, "norm1", sum, l->norm1.w, l->norm1.b, l->eps);
    fv_ref wide = fv_linear(b->plan, "first", y, l->first.w, l->first.b, l->act);
    fv_ref narrow = fv_linear(b->plan, "second", wide, l->second.w, l->second.b, FV_ACT_NONE);
    fv_ref sum2 = fv_add(b->plan, "sum2", narrow, y);
    return fv_layernorm(b->plan, "norm2", sum2, l->norm2.w, l->norm2.b, l->eps);
}

fv_ref fv_torch_encoder(fv_builder *b, fv_ref x, int layers, int heads, fv_ref key_bias)
{
    int d = fv_plan_shape(b->plan, x).c;
    for (int i = 0; i < layers; i++) {
        fv_enter(b, "layers.%d.", i);
        fv_transformer_layer l = {.heads = heads, .act = FV_ACT_RELU, .eps = 1e-5};
        l.qkv =
            fv_load_linear_named(b, "self_attn.in_proj_weight", "self_attn.in_proj_bias", 3 * d, d);
        l.out = fv_load_linear(b, "self_attn.out_proj", d, d);
        l.first = fv_load_linear(b, "linear1", 0, d);
        l.second = fv_load_linear(b, "linear2", d, fv_plan_shape(b->plan, l.first.w).w);
        l.norm1 = fv_load_norm(b, "norm1", d);
        l.norm2 = fv_load_norm(b, "norm2", d);
        x = fv_transformer_build(b, &l, x, key_bias);
        fv_leave(b);
        char name[32];
        snprintf(name, sizeof name, "layers.%d", i);
        fv_plan_alias(b->plan, x, name);
    }
    return x;
}

/* Position rows plus the row of token type 0, {1,1,t,d}. */
static fv_ref position_rows(fv_builder *b, int d, int tokens)
{
    static const char name[] = "embeddings.position_embeddings.weight";
    int64_t dims[2] = {0, d};
    double *rows = fv_load_values(b, name, dims, 2);
    double *types =
        fv_load_values(b, "embeddings.token_type_embeddings.weight", (int64_t[]){0, d}, 2);
    if (dims[0] < tokens)
        fv_plan_fail(b->plan,
                     fv_fail(FV_ERR_SHAPE, "checkpoint %s: %s%s has %lld rows, for %d tokens",
                             fv_weights_path(b->source->weights), b->path, name, (long long)dims[0],
                             tokens));
    else
        for (size_t i = 0, n = (size_t)d; rows && types && i < (size_t)tokens * n; i++)
            rows[i] += types[i % n];
    fv_ref r =
        fv_plan_weight_f64(b->plan, "embeddings.positions", (fv_shape){1, 1, tokens, d}, rows);
    free(rows);
    free(types);
    return r;
}

static fv_ref bert_layer(fv_builder *b, const fv_bert *bert, int heads, fv_ref x, fv_ref key_bias)
{
    static const char *const qkv[3] = {"attention.self.query", "attention.self.key",
                                       "attention.self.value"};
    int d = fv_plan_shape(b->plan, x).c;
    fv_transformer_layer l = {.heads = heads, .act = FV_ACT_GELU, .eps = bert->eps};
    l.qkv = fv_load_linears(b, qkv, 3, "attention.self.qkv", d, d);
    l.out = fv_load_linear(b, "attention.output.dense", d, d);
    l.norm1 = fv_load_norm(b, "attention.output.LayerNorm", d);
    l.first = fv_load_linear(b, "intermediate.dense", 0, d);
    l.second = fv_load_linear(b, "output.dense", d, fv_plan_shape(b->plan, l.first.w).w);
    l.norm2 = fv_load_norm(b, "output.LayerNorm", d);
    return fv_transformer_build(b, &l, x, key_bias);
}

fv_ref fv_bert_build(fv_builder *b, const fv_bert *bert, fv_ref ids)
{
    return fv_bert_build_masked(b, bert, ids, FV_NONE);
}

fv_ref fv_bert_build_masked(fv_builder *b, const fv_bert *bert, fv_ref ids, fv_ref key_bias)
{
    int tokens = fv_plan_shape(b->plan, ids).c;
    fv_ref words = fv_load_matrix(b, "embeddings.word_embeddings.weight", 0, bert->hidden);
    int d = fv_plan_shape(b->plan, words).c;
    fv_ref x = fv_embed(b->plan, "embeddings.sum", ids, words, position_rows(b, d, tokens));
    fv_load_unused(b, "embeddings.position_ids"); /* 0, 1, 2, ...: old files have them */
    fv_load_unused(b, "pooler.dense.weight");     /* the embedding is a mean over all tokens */
    fv_load_unused(b, "pooler.dense.bias");
    fv_layer norm = fv_load_norm(b, "embeddings.LayerNorm", d);
    x = fv_layernorm(b->plan, "embeddings", x, norm.w, norm.b, bert->eps);
    for (int i = 0; i < bert->layers; i++) {
        fv_enter(b, "encoder.layer.%d.", i);
        x = bert_layer(b, bert, bert->heads ? bert->heads : d / 64, x, key_bias);
        fv_leave(b);
        char name[32];
        snprintf(name, sizeof name, "encoder.layer.%d", i);
        fv_plan_alias(b->plan, x, name);
    }
    return x;
}

/* --- a mean with weights --- */

/* Attention whose queries and keys are zero: what is left of its scores is the bias. */
fv_ref fv_weighted_mean(fv_plan *p, const char *name, fv_ref x, fv_ref bias)
{
    size_t c = (size_t)fv_plan_shape(p, x).c;
    if (x < 0) return -1;
    int32_t *channels = malloc(3 * c * sizeof *channels);
    float *scale = malloc(3 * c * sizeof *scale);
    fv_ref y = -1;
    fv_plan_push(p, "%s.", name);
    if (channels && scale) {
        for (size_t i = 0; i < 3 * c; i++) {
            channels[i] = (int32_t)(i % c);
            scale[i] = i < 2 * c ? 0 : 1;
        }
        fv_shape shape = {1, 1, 1, 3 * (int)c};
        y = fv_gather_channels(p, "thrice", x, fv_plan_weight_i32(p, "channels", shape, channels));
        y = fv_affine(p, "values", y, fv_plan_weight(p, "scale", shape, scale), FV_NONE);
        y = fv_attention(p, "rows", y, bias, 1);
    } else {
        fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "building a mean: out of memory"));
    }
    fv_plan_pop(p);
    free(channels);
    free(scale);
    return fv_mean_hw(p, name, y); /* all rows are the same */
}
