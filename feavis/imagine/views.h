/* Views: the ways one step looks at the picture.
 *
 * View v of step t is a random square cut from the picture (scale, shift, rotation), resized to
 * the S x S that the model sees, with a random colour shift and noise. All numbers come from
 * (seed, step, view), so any step can be drawn again. Of a picture that is no square the shares are
 * of its short side, and the squares of a step lie along the long one, each at random in its own
 * part of it: together they see all of the picture. */
#ifndef FV_VIEWS_H
#define FV_VIEWS_H

#include "feavis/settings/options.h"
#include "model/plan/plan.h"

typedef struct fv_views {
    int count, side; /* views a step, S */
    int width, height;
    fv_ref warp, numbers, keys;
    fv_ref
        blur[2]; /* the Gaussian as matrices {1,1,H,H} and {1,1,W,W}, one for a square; -1: none */
    float *blur_values;                  /* room for either; NULL without */
    float *warp_values, *numbers_values; /* [count * 6], [count * FV_JITTER_COLUMNS] */
    int32_t *key_values;                 /* [count * FV_JITTER_KEYS] */
} fv_views;

/* picture {1,H,W,3} -> {views,side,side,3}. Fills *v; fv_views_clear frees its arrays. */
fv_ref fv_views_build(fv_plan *p, fv_views *v, const fv_options *o, int side, fv_ref picture);
void fv_views_clear(fv_views *v);

/* Instead of a step: every view is the whole picture, squeezed to a square as pictures are for the
 * model, undisturbed or blurred by FV_ROBUSTNESS_BLUR
 * (this one only where the options blur or `keep` is best). */
enum { FV_VIEWS_WHOLE = -1, FV_VIEWS_BLURRED = -2 };

/* The one blur of pictures: what place i of a blurred line of n pixels takes from each, `row` [n];
 * sigma in these pixels. Sums to 1, also at borders. */
void fv_gaussian_row(float *row, int n, int i, double sigma);

/* Uploads the numbers of a step. */
fv_status fv_views_draw(fv_plan *p, fv_views *v, const fv_options *o, int step);

#endif
