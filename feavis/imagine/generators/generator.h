/* Generators: from what Adam moves to a picture in [0, 1] (the field also says parameterisation).
 * A row of functions each, in a file of its own; all above speaks to rows.
 *
 *   random start, or a start picture -> params -> ops -> picture {1,H,W,3} in [0, 1]
 *           ^ start       ^ invert        ^ Adam within bounds, then after_step
 *
 * A generator may use a decoder: a frozen network that maps a latent to a picture
 * (fv_network_decode). It is opened by the option `decoder` and lent to the row's functions.
 *
 * To add one: a file here with its functions and the row fv_generator_NAME, and X(NAME) in
 * feavis/settings/generators.h (or fv_generator_register, from outside). */
#ifndef FV_GENERATOR_H
#define FV_GENERATOR_H

#include "feavis/codes.h"
#include "feavis/settings/options.h"
#include "model/nets/network.h"

/* `decoder` is NULL unless the row says needs_decoder. The options are those of this moment; of one
 * session only live ones change. */
typedef struct fv_generator {
    const char *name; /* a word of the option `param` */
    bool needs_decoder;
    /* Params and ops of the picture {1,H,W,3}; the last op is named "picture". Fails like the
     * builders of plan.h. */
    fv_ref (*build)(fv_plan *p, const fv_options *o, const fv_network *decoder);
    /* Once the plan is finished: bounds a channel (fv_plan_bound), inputs. NULL: nothing. */
    fv_status (*prepare)(fv_plan *p, const fv_options *o, const fv_network *decoder);
    /* Values of all params [count], in the order of fv_plan_block_upload, by o->seed alone. NULL:
     * start_noise times normal numbers (fv_generator_noise). */
    fv_status (*start)(const fv_options *o, const fv_network *decoder, float *values, size_t count);
    /* Makes values [count], which hold the random start, show a picture [H*W*3] in [0, 1]; the
     * noise stays on top. `be` is for a row that needs a network for it. NULL: takes no picture. */
    fv_status (*invert)(const fv_options *o, const fv_network *decoder, fv_backend *be,
                        const float *picture, float *values, size_t count);
    /* What Adam clamps every param to, whatever its channel; asked each step. NULL: to nothing. */
    void (*bounds)(const fv_options *o, const fv_network *decoder, float *low, float *high);
    /* After Adam and before the next step, if the gradient was finite: a projection, say, by
     * fv_plan_block_download and _upload. A failed one is called again, also after it has done its
     * work: done twice it has to be what it is done once. NULL: nothing to do. */
    fv_status (*after_step)(fv_plan *p, const fv_options *o, const fv_network *decoder);
    /* The codes that values [count] are nearest to; the caller frees. NULL: it has none. */
    fv_status (*codes)(const fv_options *o, const fv_network *decoder, const float *values,
                       size_t count, fv_codes *out);
    /* Values [count] that are these codes. NULL: takes none to start from. */
    fv_status (*from_codes)(const fv_options *o, const fv_network *decoder, const fv_codes *codes,
                            float *values, size_t count);
    /* Cells that differ in values [count] before and after a step; -1, also with a count of 0: not
     * to be counted with these options. NULL: never. */
    int (*moved)(const fv_options *o, const fv_network *decoder, const float *before,
                 const float *after, size_t count);
} fv_generator;

/* A row from outside; `param` takes its name from then on. Not while options or sessions are in
 * use; the row has to stay. FV_ERR_ARGUMENT: the name is taken, no single word, or there are
 * sixteen already. */
fv_status fv_generator_register(const fv_generator *row);

/* The i-th row in the order of the words of `param`; NULL past the last. */
const fv_generator *fv_generator_at(int i);
/* The row that the options choose. */
const fv_generator *fv_generator_of(const fv_options *o);

/* The chosen row at work. `decoder` may be NULL, which is an error where the row needs one. */
fv_ref fv_generator_build(fv_plan *p, const fv_options *o, const fv_network *decoder);
/* After fv_plan_finish. */
fv_status fv_generator_prepare(fv_plan *p, const fv_options *o, const fv_network *decoder);
/* Values of all params [count] before the first step, with the start picture of the options. */
fv_status fv_generator_start(const fv_options *o, const fv_network *decoder, fv_backend *be,
                             float *values, size_t count);
void fv_generator_bounds(const fv_options *o, const fv_network *decoder, float *low, float *high);
fv_status fv_generator_after_step(fv_plan *p, const fv_options *o, const fv_network *decoder);
fv_status fv_generator_codes(const fv_options *o, const fv_network *decoder, const float *values,
                             size_t count, fv_codes *out);
int fv_generator_moved(const fv_options *o, const fv_network *decoder, const float *before,
                       const float *after, size_t count);

/* The usual random start. */
void fv_generator_noise(const fv_options *o, float *values, size_t count);

#endif
