/* Layers: what any layer of the image tower holds for pictures of floats, and gradients back to the
 * pixels. (A term on a layer that is the caller's own function: fv_options_add_term, option.h.)
 *
 * Pictures are [batch][S][S][3], RGB in [0, 1], rows from the top, S = fv_model_image_size. Layers
 * are [batch][rows][columns][channels]; of tokens the rows are 1. All of it one thread at a time,
 * with its model. */
#ifndef FEAVIS_LAYERS_H
#define FEAVIS_LAYERS_H

#include "feavis/model.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A layer of the image tower. */
typedef struct fv_map {
    const char *name; /* as a term has it: "blocks.3.1"; "" of the last map before pooling (LLP) */
    int rows, columns, channels; /* in critic.h of tokens the square that the last of them are */
} fv_map;

/* All layers that a term may name, by depth. */
typedef struct fv_layers fv_layers;
FV_API fv_status fv_layers_open(fv_layers **out, fv_model *m);
FV_API void fv_layers_close(fv_layers *l);
/* False past the last. The name lives as long as `l`. */
FV_API bool fv_layers_at(const fv_layers *l, int i, fv_map *out);

/* The image tower by itself. */
typedef struct fv_image_encoder fv_image_encoder;

/* layers [count]: names of those to be read, NULL with none. The model must outlive the encoder. */
FV_API fv_status fv_image_encoder_open(fv_image_encoder **out, fv_model *m, int batch,
                                       const char *const *layers, int count);
FV_API void fv_image_encoder_close(fv_image_encoder *e);
/* Layer i of those; false past the last. The name lives as long as `e`. */
FV_API bool fv_image_encoder_layer(const fv_image_encoder *e, int i, fv_map *out);

/* A photo as the model was shown photos in training: [S][S][3]. */
FV_API fv_status fv_image_encoder_pixels(const fv_image_encoder *e, const fv_picture *p,
                                         float *out);

/* embeddings [batch][dim], of unit length; NULL: not wanted. */
FV_API fv_status fv_image_encoder_forward(fv_image_encoder *e, const float *pictures,
                                          float *embeddings);
/* Layer i after forward. */
FV_API fv_status fv_image_encoder_read(fv_image_encoder *e, int i, float *values);
/* After forward: the gradient in the pictures of a loss that has these gradients in the embeddings
 * and in the layers (NULL, also one among them: zero). The loss may be anything. */
FV_API fv_status fv_image_encoder_backward(fv_image_encoder *e, const float *embeddings,
                                           const float *const *layers, float *pictures);

#ifdef __cplusplus
}
#endif
#endif
