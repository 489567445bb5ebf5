/* CLIP's causal text tower, and Chinese-CLIP's BERT. See clip.h. */
#include <stdlib.h>

#include "model/nets/clip.h"
#include "model/nets/transformer.h"

/* The first `length` position rows, {1,1,length,d}. */
static fv_ref position_rows(fv_builder *b, const char *name, int length, int d)
{
    int64_t dims[2] = {0, d};
    double *rows = fv_load_values(b, name, dims, 2);
    if (dims[0] < length)
        fv_plan_fail(b->plan,
                     fv_fail(FV_ERR_SHAPE, "checkpoint %s: %s%s has %lld rows, for %d tokens",
                             fv_weights_path(b->source->weights), b->path, name, (long long)dims[0],
                             length));
    fv_ref r = fv_plan_weight_f64(b->plan, "positions", (fv_shape){1, 1, length, d}, rows);
    free(rows);
    return r;
}

/* Rows behind the last mark may stand there: they are never looked at from before. */
static fv_ref causal(fv_builder *b, const fv_clip *c, int length, const fv_text_inputs *inputs)
{
    bool hf = c->huggingface;
    int d = c->text.width;
    fv_clip_enter(b, hf ? "text_model." : c->nested ? "text." : "", "text.");
    fv_ref table = fv_load_matrix(
        b, hf ? "embeddings.token_embedding.weight" : "token_embedding.weight", 0, d);
    fv_ref rows = position_rows(
        b, hf ? "embeddings.position_embedding.weight" : "positional_embedding", length, d);
    if (hf) fv_load_unused(b, "embeddings.position_ids");
    fv_ref x = fv_embed(b->plan, "embeddings", inputs->ids, table, rows);
    x = fv_clip_layers(b, c, &c->text, true, x);
    x = fv_mix_rows(b->plan, "end", x, inputs->pool);
    fv_layer norm = fv_load_norm(b, hf ? "final_layer_norm" : "ln_final", d);
    x = fv_layernorm(b->plan, "ln_final", x, norm.w, norm.b, c->text.eps);
    fv_leave(b);
    fv_clip_enter(b, c->nested ? "text." : "", "text.");
    x = fv_clip_project(b, "text_projection", hf, x);
    fv_leave(b);
    return x;
}

static fv_ref bert(fv_builder *b, const fv_clip *c, const fv_text_inputs *inputs)
{
    fv_bert sizes = {.layers = c->text.layers,
                     .heads = c->text.heads,
                     .hidden = c->text.width,
                     .eps = c->text.eps};
    fv_clip_enter(b, c->huggingface ? "text_model." : "bert.", "text.bert.");
    fv_ref x = fv_bert_build_masked(b, &sizes, inputs->ids, inputs->key_bias);
    x = fv_mix_rows(b->plan, "first", x, inputs->pool);
    fv_leave(b);
    fv_clip_enter(b, "", "text.");
    x = fv_clip_project(b, "text_projection", c->huggingface, x);
    fv_leave(b);
    return x;
}

fv_ref fv_clip_text(fv_builder *b, const fv_clip *c, int length, fv_text_inputs *inputs)
{
    fv_shape shape = {1, 1, 1, length};
    inputs->ids = fv_plan_input(b->plan, "ids", shape, FV_I32);
    inputs->pool = fv_plan_input(b->plan, "pool", shape, FV_REAL);
    inputs->key_bias = c->chinese ? fv_plan_input(b->plan, "key_bias", shape, FV_REAL) : FV_NONE;
    return c->chinese ? bert(b, c, inputs) : causal(b, c, length, inputs);
}
