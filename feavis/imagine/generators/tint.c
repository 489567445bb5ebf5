/* Saturation and paper. See tint.h. */
#include "feavis/imagine/generators/tint.h"

static const double luma[3] = {0.299, 0.587, 0.114};
/* by the words of the option `paper`: none, rice, silk */
static const double papers[][3] = {{1, 1, 1}, {0.965, 0.945, 0.9}, {0.87, 0.79, 0.64}};

static bool tints(const fv_options *o)
{
    return o->saturation < 1 || o->paper;
}

fv_ref fv_tint(fv_plan *p, const fv_options *o, fv_ref x)
{
    float m[9];
    if (!tints(o)) return x;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            m[3 * i + k] = (float)(papers[o->paper][i] *
                                   ((i == k ? o->saturation : 0) + (1 - o->saturation) * luma[k]));
    return fv_linear(p, "tinted", x, fv_plan_weight(p, "tint", (fv_shape){1, 1, 3, 3}, m), FV_NONE,
                     FV_ACT_NONE);
}

static double within(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

void fv_tint_undo(const fv_options *o, float *picture)
{
    size_t n = tints(o) ? fv_pixels(o) : 0;
    for (size_t i = 0; i < n; i++) {
        float *at = picture + 3 * i;
        double x[3], light = 0;
        for (int c = 0; c < 3; c++) {
            x[c] = (double)at[c] / papers[o->paper][c];
            light += luma[c] * x[c];
        }
        for (int c = 0; c < 3; c++) {
            bool grey = o->saturation < 0.01; /* dividing by less gives noise */
            double whole = grey ? light : (x[c] - (1 - o->saturation) * light) / o->saturation;
            at[c] = (float)within(whole);
        }
    }
}
