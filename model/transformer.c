/* Transformer layers and BERT. See transformer.h. */
#include "model/transformer.h"

#include <stdlib.h>

fv_ref fv_transformer_build(fv_plan *p, const fv_transformer_layer *l, fv_ref x, fv_ref key_bias)
{
    fv_ref qkv = fv_linear(p, "qkv", x, l->qkv.w, l->qkv.b, FV_ACT_NONE);
    fv_ref mixed = fv_attention(p, "attention", qkv, key_bias, l->heads);
    fv_ref out = fv_linear(p, "out", mixed, l->out.w, l->out.b, FV_ACT_NONE);
    fv_ref sum = fv_add(p, "sum1", out, x);
    fv_ref y = fv_layernorm(p, "norm1", sum, l->norm1.w, l->norm1.b, l->eps);
    fv_ref wide = fv_linear(p, "first", y, l->first.w, l->first.b, l->act);
    fv_ref narrow = fv_linear(p, "second", wide, l->second.w, l->second.b, FV_ACT_NONE);
    fv_ref sum2 = fv_add(p, "sum2", narrow, y);
    return fv_layernorm(p, "norm2", sum2, l->norm2.w, l->norm2.b, l->eps);
}

fv_ref fv_torch_encoder(fv_plan *p, const fv_source *s, fv_ref x, int layers, int heads,
                        fv_ref key_bias)
{
    int d = fv_plan_shape(p, x).c;
    for (int i = 0; i < layers; i++) {
        fv_plan_push(p, "layers.%d.", i);
        fv_transformer_layer l = {.heads = heads, .act = FV_ACT_RELU, .eps = 1e-5};
        l.qkv = fv_load_linear_named(p, s, "self_attn.in_proj_weight", "self_attn.in_proj_bias",
                                     3 * d, d);
        l.out = fv_load_linear(p, s, "self_attn.out_proj", d, d);
        l.norm1 = fv_load_norm(p, s, "norm1", d);
        l.first = fv_load_linear(p, s, "linear1", 0, d);
        l.second = fv_load_linear(p, s, "linear2", d, 0);
        l.norm2 = fv_load_norm(p, s, "norm2", d);
        x = fv_transformer_build(p, &l, x, key_bias);
        fv_plan_pop(p);
        char name[32];
        snprintf(name, sizeof name, "layers.%d", i);
        fv_plan_alias(p, x, name);
    }
    return x;
}

/* Position rows plus the row of token type 0, {1,1,t,d}. */
static fv_ref position_rows(fv_plan *p, const fv_source *s, const fv_bert *bert, int tokens)
{
    fv_ref r = -1;
    size_t d = (size_t)bert->hidden;
    const fv_entry *rows = fv_load_entry(p, s, "embeddings.position_embeddings.weight");
    const fv_entry *types =
        rows ? fv_load_entry(p, s, "embeddings.token_type_embeddings.weight") : NULL;
    if (!types) return fv_plan_fail(p, FV_ERR_FORMAT);
    if (rows->ndim != 2 || rows->dims[1] != bert->hidden || rows->dims[0] < tokens ||
        rows->dims[0] > 1 << 20 || types->ndim != 2 || types->dims[1] != bert->hidden ||
        types->dims[0] < 1 || types->dims[0] > 1 << 20)
        return fv_plan_fail(p,
                            fv_fail(FV_ERR_SHAPE,
                                    "checkpoint %s: %s or token_type_embeddings do not hold %d "
                                    "positions of width %d",
                                    fv_weights_path(s->weights), rows->name, tokens, bert->hidden));
    double *a = malloc(fv_entry_count(rows) * sizeof *a);
    double *b = malloc(fv_entry_count(types) * sizeof *b);
    if (a && b) {
        fv_entry_read_f64(rows, a);
        fv_entry_read_f64(types, b);
        for (size_t i = 0; i < (size_t)tokens * d; i++) a[i] += b[i % d];
        r = fv_plan_weight_f64(p, "embeddings.positions", (fv_shape){1, 1, tokens, bert->hidden},
                               a);
    } else {
        fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", rows->name));
    }
    free(a);
    free(b);
    return r;
}

static fv_ref word_table(fv_plan *p, const fv_source *s, const fv_bert *bert)
{
    fv_ref stored = fv_plan_stored(p, s->store, "embeddings.word_embeddings.weight");
    if (stored != FV_NONE) return stored;
    const fv_entry *e = fv_load_entry(p, s, "embeddings.word_embeddings.weight");
    if (!e) return fv_plan_fail(p, FV_ERR_FORMAT);
    if (e->ndim != 2 || e->dims[0] != bert->vocabulary || e->dims[1] != bert->hidden)
        return fv_plan_fail(
            p, fv_fail(FV_ERR_SHAPE, "checkpoint %s: %s is not [vocabulary %d, hidden %d]",
                       fv_weights_path(s->weights), e->name, bert->vocabulary, bert->hidden));
    float *values = malloc(fv_entry_count(e) * sizeof *values);
    if (!values)
        return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", e->name));
    fv_entry_read_f32(e, values);
    fv_ref r = fv_plan_weight(p, "embeddings.word_embeddings.weight",
                              (fv_shape){1, 1, bert->vocabulary, bert->hidden}, values);
    free(values);
    return fv_plan_keep(p, s->store, r);
}

static fv_ref bert_layer(fv_plan *p, const fv_source *s, const fv_bert *bert, fv_ref x)
{
    static const char *const qkv[3] = {"attention.self.query", "attention.self.key",
                                       "attention.self.value"};
    int d = bert->hidden;
    fv_transformer_layer l = {.heads = bert->heads, .act = FV_ACT_GELU, .eps = bert->eps};
    l.qkv = fv_load_linears(p, s, qkv, 3, "attention.self.qkv", d, d);
    l.out = fv_load_linear(p, s, "attention.output.dense", d, d);
    l.norm1 = fv_load_norm(p, s, "attention.output.LayerNorm", d);
    l.first = fv_load_linear(p, s, "intermediate.dense", bert->intermediate, d);
    l.second = fv_load_linear(p, s, "output.dense", d, bert->intermediate);
    l.norm2 = fv_load_norm(p, s, "output.LayerNorm", d);
    return fv_transformer_build(p, &l, x, FV_NONE);
}

fv_ref fv_bert_build(fv_plan *p, const fv_source *s, const fv_bert *bert, fv_ref ids)
{
    int tokens = fv_plan_shape(p, ids).c;
    fv_ref x = fv_embed(p, "embeddings.sum", ids, word_table(p, s, bert),
                        position_rows(p, s, bert, tokens));
    fv_layer norm = fv_load_norm(p, s, "embeddings.LayerNorm", bert->hidden);
    x = fv_layernorm(p, "embeddings", x, norm.w, norm.b, bert->eps);
    for (int i = 0; i < bert->layers; i++) {
        fv_plan_push(p, "encoder.layer.%d.", i);
        x = bert_layer(p, s, bert, x);
        fv_plan_pop(p);
        char name[32];
        snprintf(name, sizeof name, "encoder.layer.%d", i);
        fv_plan_alias(p, x, name);
    }
    return x;
}
