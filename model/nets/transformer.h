/* One transformer encoder layer, post-norm (Vaswani et al. 2017): shared by BERT and by the
 * self-attention blocks of both towers.
 *
 *   y = norm1(x + out(attention(qkv(x))));   z = norm2(y + second(act(first(y)))) */
#ifndef FV_TRANSFORMER_H
#define FV_TRANSFORMER_H

#include "model/nets/builder.h"

typedef struct fv_transformer_layer {
    fv_layer qkv, out, norm1, first, second, norm2;
    int heads;
    fv_act act;
    double eps; /* of both norms */
} fv_transformer_layer;

/* x {n,1,t,d} -> {n,1,t,d}; key_bias {n,1,1,t} or FV_NONE. */
fv_ref fv_transformer_build(fv_builder *b, const fv_transformer_layer *l, fv_ref x,
                            fv_ref key_bias);

/* torch.nn.TransformerEncoder: layers "layers.N.*" under the current path; ReLU, eps 1e-5. */
fv_ref fv_torch_encoder(fv_builder *b, fv_ref x, int layers, int heads, fv_ref key_bias);

/* {n,h,w,c} -> {n,1,1,c}: the mean of the positions with weights that may differ from picture to
 * picture; bias {n,1,1,h*w} holds their logarithms. */
fv_ref fv_weighted_mean(fv_plan *p, const char *name, fv_ref x, fv_ref bias);

/* Sizes are those of the weights. */
typedef struct fv_bert {
    int layers;
    int heads;  /* 0: one for 64 channels */
    int hidden; /* channels; 0: as many as the word embeddings have */
    double eps;
} fv_bert;

/* BertModel (Devlin et al. 2018) under the current path ("textencoder.backbone.bert."), erf
 * GELU, token type 0, no attention mask. ids {n,1,1,t} int32 -> last hidden state {n,1,t,d}. */
fv_ref fv_bert_build(fv_builder *b, const fv_bert *bert, fv_ref ids);
/* The same with {n,1,1,t} added to the scores of each key. */
fv_ref fv_bert_build_masked(fv_builder *b, const fv_bert *bert, fv_ref ids, fv_ref key_bias);

#endif
