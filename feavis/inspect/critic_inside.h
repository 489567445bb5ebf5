/* The inside of fv_critic, for critic.c and critic_channels.c. */
#ifndef FV_CRITIC_INSIDE_H
#define FV_CRITIC_INSIDE_H

#include "feavis/critic.h"
#include "feavis/imagine/model.h"

/* A plan from pixels to one layer, and what that is in smooth noise. */
typedef struct fv_eye {
    char *name; /* NULL: the last map before pooling */
    fv_plan *plan;
    fv_ref pixels, map;
    fv_shape shape;    /* of the layer */
    int rows, columns; /* of its places, which are the last of its positions */
    int channels;
    float *values;                  /* [positions * channels] of the newest look */
    float *base_mean, *base_spread; /* [channels], of smooth noise; NULL until needed */
} fv_eye;

/* After fv_plan_finish: sizes, and room for values. */
fv_status fv_eye_ready(fv_eye *e);
void fv_eye_clear(fv_eye *e);
fv_status fv_eye_look(fv_eye *e, const float *pixels);

struct fv_critic {
    fv_model *model;
    int side, dim;
    float *input;        /* [side * side * 3] */
    float *vector;       /* [dim] */
    fv_eye last, chosen; /* the last map, with the embedding behind it; another layer */
    fv_eye *at;          /* one of these */
    fv_ref embedding;
    fv_plan *head; /* last map -> embedding and back; NULL until needed */
    fv_ref head_map, head_embedding;
    fv_map *layers; /* NULL until needed; their names lie behind them */
    int layer_count;
};

#endif
