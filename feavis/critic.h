/* Critic: a second look at a picture, apart from the session that made it. One thread at a time,
 * with its model. */
#ifndef FEAVIS_CRITIC_H
#define FEAVIS_CRITIC_H

#include "feavis/layers.h"
#include "feavis/model.h"
#include "feavis/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fv_critic fv_critic;
/* The model must outlive the critic. Like all that uses the model: not while a step runs. */
FV_API fv_status fv_critic_open(fv_critic **out, fv_model *m);
FV_API void fv_critic_close(fv_critic *c);
/* Unit embedding of a picture, fv_model_dim floats. */
FV_API fv_status fv_critic_embed(fv_critic *c, const fv_picture *p, float *embedding);

/* Cosines of a picture with a text. A picture that only cheats is high in `whole` alone. */
typedef struct fv_robustness {
    float whole;
    float blurred; /* after a Gaussian blur of FV_ROBUSTNESS_BLUR pixels at 224: that of `keep` */
    float unseen;  /* mean over mirrored corners of 0.7 of the side, which no run draws. NAN: there
                    * was no memory for them, as fv_error() says; the others are measured */
} fv_robustness;
FV_API fv_status fv_critic_robustness(fv_critic *c, const fv_picture *p, const char *text,
                                      fv_robustness *out);

/* A part of a picture and a text for it, as the option `at` says: cells of a grid of 6 x 6. */
typedef struct fv_spot {
    char text[160];
    int left, right, top, bottom; /* the last ones included */
    float weight, cosine;         /* of the text with what the model makes of these cells alone */
} fv_spot;
enum { FV_MAX_SPOTS = 8, FV_CELLS = 36 };
/* The places that `at` says, FV_MAX_SPOTS at most. FV_ERR_ARGUMENT: it says none that can be read,
 * or the model cannot look at a part of a picture. */
FV_API fv_status fv_critic_places(fv_critic *c, const fv_picture *p, const char *at, fv_spot *out,
                                  int *count);
/* The cosine of a text with every cell by itself: `out` holds FV_CELLS, row by row. */
FV_API fv_status fv_critic_cells(fv_critic *c, const fv_picture *p, const char *text, float *out);

/* Layers that are worth choosing, by depth, the last one before pooling behind all: blocks, and
 * what stands outside of them. Borrowed until the critic is closed. */
FV_API fv_status fv_critic_layers(fv_critic *c, const fv_map **out, int *count);
/* From now on another layer, any that a term may name; NULL or "": the last map before pooling, as
 * at first. A pass goes no further than the layer. A failure leaves what was chosen. */
FV_API fv_status fv_critic_choose(fv_critic *c, const char *layer);
FV_API fv_map fv_critic_chosen(const fv_critic *c);

/* A channel of the chosen layer at its positions: `out` holds rows * columns. */
FV_API fv_status fv_critic_activation(fv_critic *c, const fv_picture *p, int channel, float *out);

typedef struct fv_channel {
    int number;
    float mean; /* over positions */
    float lead; /* what it is ranked by */
} fv_channel;
/* The channels that are furthest above what smooth noise gives, in units of that, best first;
 * *count: room in, number out. */
FV_API fv_status fv_critic_channels(fv_critic *c, const fv_picture *p, fv_channel *out, int *count);
/* The same at one place of the picture, x and y in [0, 1]: the position of the map it is in. */
FV_API fv_status fv_critic_channels_at(fv_critic *c, const fv_picture *p, float x, float y,
                                       fv_channel *out, int *count);
/* The channels of the last map before pooling, whatever is chosen, that a text asks for. lead: what
 * the cosine would rise by, to first order, if the channel were higher everywhere by what it is in
 * smooth noise. At this picture, or (NULL) on the average of smooth noise. */
FV_API fv_status fv_critic_search(fv_critic *c, const char *text, const fv_picture *p,
                                  fv_channel *out, int *count);
/* The same of all texts at once, on the average of smooth noise: row k of out [channels][dim] is
 * where channel k of the last map before pooling moves the embedding, so its product with a text's
 * vector is that text's `lead`. */
FV_API fv_status fv_critic_pulls(fv_critic *c, float *out);

#ifdef __cplusplus
}
#endif
#endif
