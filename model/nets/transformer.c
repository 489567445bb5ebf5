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
        l.norm1 = fv_load_norm(b, "norm1", d);
        l.first = fv_load_linear(b, "linear1", 0, d);
        l.second = fv_load_linear(b, "linear2", d, 0);
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
static fv_ref position_rows(fv_builder *b, const fv_bert *bert, int tokens)
{
    fv_ref r = -1;
    size_t d = (size_t)bert->hidden;
    const fv_entry *rows = fv_load_entry(b, "embeddings.position_embeddings.weight");
    const fv_entry *types =
        rows ? fv_load_entry(b, "embeddings.token_type_embeddings.weight") : NULL;
    if (!types) return fv_plan_fail(b->plan, FV_ERR_FORMAT);
    if (rows->ndim != 2 || rows->dims[1] != bert->hidden || rows->dims[0] < tokens ||
        rows->dims[0] > 1 << 20 || types->ndim != 2 || types->dims[1] != bert->hidden ||
        types->dims[0] < 1 || types->dims[0] > 1 << 20)
        return fv_plan_fail(b->plan,
                            fv_fail(FV_ERR_SHAPE,
                                    "checkpoint %s: %s or token_type_embeddings do not hold %d "
                                    "positions of width %d",
                                    fv_weights_path(b->source->weights), rows->name, tokens,
                                    bert->hidden));
    double *a = malloc(fv_entry_count(rows) * sizeof *a);
    double *type = malloc(fv_entry_count(types) * sizeof *type);
    if (a && type) {
        fv_entry_read_f64(rows, a);
        fv_entry_read_f64(types, type);
        for (size_t i = 0; i < (size_t)tokens * d; i++) a[i] += type[i % d];
        r = fv_plan_weight_f64(b->plan, "embeddings.positions",
                               (fv_shape){1, 1, tokens, bert->hidden}, a);
    } else {
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", rows->name));
    }
    free(a);
    free(type);
    return r;
}

static fv_ref word_table(fv_builder *b, const fv_bert *bert)
{
    fv_ref stored = fv_builder_stored(b, "embeddings.word_embeddings.weight");
    if (stored != FV_NONE) return stored;
    const fv_entry *e = fv_load_entry(b, "embeddings.word_embeddings.weight");
    if (!e) return fv_plan_fail(b->plan, FV_ERR_FORMAT);
    if (e->ndim != 2 || e->dims[0] != bert->vocabulary || e->dims[1] != bert->hidden)
        return fv_plan_fail(b->plan, fv_fail(FV_ERR_SHAPE,
                                             "checkpoint %s: %s is not [vocabulary %d, hidden %d]",
                                             fv_weights_path(b->source->weights), e->name,
                                             bert->vocabulary, bert->hidden));
    float *values = malloc(fv_entry_count(e) * sizeof *values);
    if (!values)
        return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", e->name));
    fv_entry_read_f32(e, values);
    fv_ref r = fv_plan_weight(b->plan, "embeddings.word_embeddings.weight",
                              (fv_shape){1, 1, bert->vocabulary, bert->hidden}, values);
    free(values);
    return fv_builder_keep(b, "embeddings.word_embeddings.weight", r);
}

static fv_ref bert_layer(fv_builder *b, const fv_bert *bert, fv_ref x)
{
    static const char *const qkv[3] = {"attention.self.query", "attention.self.key",
                                       "attention.self.value"};
    int d = bert->hidden;
    fv_transformer_layer l = {.heads = bert->heads, .act = FV_ACT_GELU, .eps = bert->eps};
    l.qkv = fv_load_linears(b, qkv, 3, "attention.self.qkv", d, d);
    l.out = fv_load_linear(b, "attention.output.dense", d, d);
    l.norm1 = fv_load_norm(b, "attention.output.LayerNorm", d);
    l.first = fv_load_linear(b, "intermediate.dense", bert->intermediate, d);
    l.second = fv_load_linear(b, "output.dense", d, bert->intermediate);
    l.norm2 = fv_load_norm(b, "output.LayerNorm", d);
    return fv_transformer_build(b, &l, x, FV_NONE);
}

fv_ref fv_bert_build(fv_builder *b, const fv_bert *bert, fv_ref ids)
{
    int tokens = fv_plan_shape(b->plan, ids).c;
    fv_ref x = fv_embed(b->plan, "embeddings.sum", ids, word_table(b, bert),
                        position_rows(b, bert, tokens));
    fv_layer norm = fv_load_norm(b, "embeddings.LayerNorm", bert->hidden);
    x = fv_layernorm(b->plan, "embeddings", x, norm.w, norm.b, bert->eps);
    for (int i = 0; i < bert->layers; i++) {
        fv_enter(b, "encoder.layer.%d.", i);
        x = bert_layer(b, bert, x);
        fv_leave(b);
        char name[32];
        snprintf(name, sizeof name, "encoder.layer.%d", i);
        fv_plan_alias(b->plan, x, name);
    }
    return x;
}
