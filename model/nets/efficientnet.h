/* EfficientNet (Tan & Le 2019) and EfficientNet-Lite as timm's tf_* models.
 *
 * stem 3x3/2 -> 7 stages of (depthwise separable | inverted residual) blocks -> conv_head 1x1.
 * TensorFlow SAME padding, batch norm eps 1e-3 folded, SiLU and squeeze-excite (lite: ReLU6 and
 * none). Names in the plan are timm's; y of a "conv_*" op is after its batch norm and
 * activation; "blocks.S.B" and "blocks.S" name the results of a block and of a stage.
 *
 * The end may be wider than the family's (`last`, `head`): channels beside those that a published
 * checkpoint has, which see more and leave what these say as it is (brivl.h). */
#ifndef FV_EFFICIENTNET_H
#define FV_EFFICIENTNET_H

#include "model/nets/builder.h"

enum { FV_EFFICIENTNET_STAGES = 7 };

typedef struct fv_efficientnet {
    int image_size; /* of its own training, a default */
    int stem, head; /* channels */
    bool lite;
    struct {
        int repeats, channels, kernel, stride, expand;
    } stages[FV_EFFICIENTNET_STAGES];
    struct {
        int expanded, channels; /* of the expansion; of the result */
    } last;                     /* the last stage's last block */
} fv_efficientnet;

/* "tf_efficientnet_b0" .. "b7", each also with "_ns", "_ap", "_aa" or "_in1k" behind it (other
 * weights, same network), and "tf_efficientnet_lite0" .. "lite4". */
fv_status fv_efficientnet_named(fv_efficientnet *out, const char *name);

/* x {n, S, S, 3} normalised -> {n, ceil(S/32), ceil(S/32), head}. Reads weights under the
 * current path ("imgencoder.backbone."). */
fv_ref fv_efficientnet_build(fv_builder *b, const fv_efficientnet *net, fv_ref x);

/* The map of fv_efficientnet_build -> logits {n,1,1,classes}, "classifier". */
fv_ref fv_efficientnet_classify(fv_builder *b, fv_ref map);

#endif
