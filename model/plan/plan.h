/* The plan: one list of ops from the parameters of a picture to its scores.
 *
 *   forward    runs the list downwards,
 *   backward   runs the same list upwards; only params receive gradients.
 *
 * Building: leaves (weights, inputs, params) and ops are added in order; each returns an fv_ref.
 * A builder that fails returns -1, and every later builder given a -1 passes it on, so network
 * code needs no checks: fv_plan_finish reports the first failure. Builders know no backend.
 *
 * The loss is not an op. Outputs are ordinary tensors; loss = sum over outputs of
 * <output gradient, value>, and these gradients are uploaded before each backward. So objective
 * weights can change between two steps, and the whole loss lives in one place on the host.
 *
 * Memory: fv_plan_finish gives every value, gradient and kept auxiliary an offset in one arena,
 * by lifetime. A value can be read from outside only in a hook, unless it is an
 * output. */
#ifndef FV_PLAN_H
#define FV_PLAN_H

#include <stdio.h>

#include "kernels/backend.h"
#include "model/plan/store.h"

typedef struct fv_plan fv_plan;
typedef int fv_ref; /* a tensor of the plan; -1: a builder failed */

/* The backend must outlive the plan. NULL: a dry plan, which takes no memory for its tensors and is
 * never finished; shapes and names are all there is to it. */
fv_status fv_plan_new(fv_plan **out, fv_backend *be);
void fv_plan_free(fv_plan *p);
fv_backend *fv_plan_backend(const fv_plan *p);

/* Names are printf-style under the current scope: "imgencoder." + "backbone." + "bn1". */
void fv_plan_push(fv_plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fv_plan_pop(fv_plan *p);
const char *fv_plan_scope(const fv_plan *p);

/* Records a failure of network code (a tensor that is missing, ...) with the message that
 * fv_fail has stored, and returns -1. Only the first failure is kept. */
fv_ref fv_plan_fail(fv_plan *p, fv_status code);
/* FV_OK, or that failure with its message. */
fv_status fv_plan_status(const fv_plan *p);

/* The largest size of a weight, and what stands in a dry plan for one that is not known. An op that
 * does not fit an unknown size has a result of unknown channels there. Many numbers of heads and
 * groups divide it. */
enum { FV_LARGEST_SIZE = 1 << 24, FV_UNKNOWN_SIZE = 24 * 720720 };

/* --- leaves --- */
fv_ref fv_plan_weight(fv_plan *p, const char *name, fv_shape shape, const float *values);
fv_ref fv_plan_weight_f64(fv_plan *p, const char *name, fv_shape shape, const double *values);
fv_ref fv_plan_weight_i32(fv_plan *p, const char *name, fv_shape shape, const int32_t *values);
fv_ref fv_plan_input(fv_plan *p, const char *name, fv_shape shape, fv_dtype type); /* zeros */
fv_ref fv_plan_param(fv_plan *p, const char *name, fv_shape shape);                /* zeros */

/* The weight that the store has under this key as a leaf of this name, borrowed; FV_NONE if it has
 * none. The store (of the plan's backend; may be NULL: has nothing) must outlive the plan. */
fv_ref fv_plan_stored(fv_plan *p, const fv_store *store, const char *key, const char *name);
/* Gives a weight of this plan to the store, if there is one, under this key. Returns r. */
fv_ref fv_plan_keep(fv_plan *p, fv_store *store, const char *key, fv_ref r);

/* --- ops: the rows of the op table --- */
fv_ref fv_conv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                 fv_act act);
fv_ref fv_dwconv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                   fv_act act);
fv_ref fv_linear(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_act act);
fv_ref fv_activation(fv_plan *p, const char *name, fv_ref x, fv_act act);
fv_ref fv_mul_channel(fv_plan *p, const char *name, fv_ref x, fv_ref gate);
fv_ref fv_add(fv_plan *p, const char *name, fv_ref x, fv_ref x2);
fv_ref fv_affine(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b);
fv_ref fv_mean_hw(fv_plan *p, const char *name, fv_ref x);
fv_ref fv_max_hw(fv_plan *p, const char *name, fv_ref x);
fv_ref fv_mix_rows(fv_plan *p, const char *name, fv_ref x, fv_ref w);
fv_ref fv_l2norm(fv_plan *p, const char *name, fv_ref x, double eps);
fv_ref fv_layernorm(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, double eps);
fv_ref fv_groupnorm(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_group_attr a,
                    fv_act act);
fv_ref fv_attention(fv_plan *p, const char *name, fv_ref qkv, fv_ref key_bias, int heads);
fv_ref fv_causal_attention(fv_plan *p, const char *name, fv_ref qkv, int heads);
fv_ref fv_embed(fv_plan *p, const char *name, fv_ref ids, fv_ref table, fv_ref positions);
fv_ref fv_separable(fv_plan *p, const char *name, fv_ref x, fv_ref rows, fv_ref columns);
fv_ref fv_warp(fv_plan *p, const char *name, fv_ref x, fv_ref views, int side);
fv_ref fv_colour_jitter(fv_plan *p, const char *name, fv_ref x, fv_ref numbers, fv_ref keys);
fv_ref fv_gather_channels(fv_plan *p, const char *name, fv_ref x, fv_ref channels);
fv_ref fv_upsample(fv_plan *p, const char *name, fv_ref x);
fv_ref fv_depth_to_space(fv_plan *p, const char *name, fv_ref x, int r);
fv_ref fv_avgpool(fv_plan *p, const char *name, fv_ref x, int k);
fv_ref fv_clamp(fv_plan *p, const char *name, fv_ref x);
fv_ref fv_quantise(fv_plan *p, const char *name, fv_ref x, fv_ref codes);
fv_ref fv_penalise(fv_plan *p, const char *name, fv_ref x, fv_penalty kind);
fv_ref fv_gram(fv_plan *p, const char *name, fv_ref x);
fv_ref fv_cosine(fv_plan *p, const char *name, fv_ref x, fv_ref w, double eps);

enum { FV_NONE = -2 }; /* an optional operand that is not there (bias, key bias) */

/* Ops that are built from now on stand in this subgraph, 1 to FV_MAX_SUBGRAPHS, or with 0 in the
 * trunk (where they are from the beginning). A subgraph reads the trunk and itself; what reads a
 * subgraph belongs to it. Only plans that are finished with FV_PLAN_SUBGRAPHS take notice. */
enum { FV_MAX_SUBGRAPHS = 8 };
void fv_plan_subgraph(fv_plan *p, int subgraph);

/* Marks a value as an output: it stays readable after forward, and takes an output gradient. */
void fv_plan_output(fv_plan *p, fv_ref r);

fv_shape fv_plan_shape(const fv_plan *p, fv_ref r); /* zeros for a failed ref */
const char *fv_plan_name(const fv_plan *p, fv_ref r);
/* The tensor itself, to recognise it in a hook; NULL for a failed ref. */
const fv_tensor *fv_plan_tensor(const fv_plan *p, fv_ref r);
fv_ref fv_plan_find(const fv_plan *p, const char *name); /* -1 if there is none */
/* The tensor that an op makes, by its full name, its second name, or the end of one behind a '.' if
 * that means one tensor alone. FV_ERR_ARGUMENT with the nearest name, or with two that are meant.
 */
fv_status fv_plan_find_layer(const fv_plan *p, const char *name, fv_ref *out);
/* Among those whose names begin with `scope`; `name` is what follows. */
fv_status fv_plan_find_layer_in(const fv_plan *p, const char *scope, const char *name, fv_ref *out);
/* The i-th of these names; false past the last. */
bool fv_plan_layer(const fv_plan *p, int i, const char **name, fv_ref *out);
/* A second name under the current scope, e.g. "blocks.3" for the last op of stage 3. */
void fv_plan_alias(fv_plan *p, fv_ref r, const char *name);

enum {
    FV_PLAN_FORWARD = 0,
    FV_PLAN_BACKWARD = 1, /* plan gradients, from outputs to params */
    FV_PLAN_POISON = 2,   /* tests: memory is NaN before a forward and as soon as nobody needs it */
    /* every op stays by itself and runs for the whole batch, so that a hook can see every value
     * (fv_backend.fuses_ops, fuses_dwconv, microbatch_bytes) */
    FV_PLAN_WHOLE = 4,
    /* a step runs one subgraph forward and backward before the next one forward, so that all of
     * them lie in the memory of the largest: fv_plan_forward_backward */
    FV_PLAN_SUBGRAPHS = 8
};
/* Ends building: prepares kernels and allocates. No builder may be called afterwards. */
fv_status fv_plan_finish(fv_plan *p, unsigned flags);
/* p's values lie in the arena of `from` from now on, which is as large at least and of the same
 * backend, and its own is given back. Until a run of p is over and its outputs have been read
 * `from` (and whoever else borrows of it) may not run, nor may it be freed. Before p has run as a
 * graph. */
fv_status fv_plan_borrow_arena(fv_plan *p, const fv_plan *from);

/* --- running --- */

/* Called after each op of forward that was not fused into another (op->y is whole) or before each
 * op of backward (op->dy is whole); for an op that fv_plan_microbatched once a picture, and its
 * tensors may hold no more than one. A negative status stops the run and is returned. A plan with a
 * hook runs op by op, also on a backend that captures: NULL takes it away. */
typedef fv_status (*fv_hook)(void *user, fv_plan *p, const fv_op *op, bool backward);
void fv_plan_hook(fv_plan *p, fv_hook hook, void *user);

fv_status fv_plan_forward(fv_plan *p);
/* loss = sum <gradient, value>: d loss / d output, of all outputs set since the last forward (one
 * that was not set counts as zero). */
fv_status fv_plan_output_gradient(fv_plan *p, fv_ref output, const float *gradient);
fv_status fv_plan_backward(fv_plan *p);
/* Both, with output gradients that were set before. The only way back of a plan that has subgraphs:
 * trunk forward, each subgraph forward and backward, the last one first, trunk backward. The same
 * bytes as of the plan without subgraphs. Outputs can be read afterwards. */
fv_status fv_plan_forward_backward(fv_plan *p);
/* Whether the plan was finished with FV_PLAN_SUBGRAPHS and has two of them at least; one of whose
 * ops reads two subgraphs has none. */
bool fv_plan_has_subgraphs(const fv_plan *p);

/* Whole tensors: leaves at any time, outputs after forward. */
fv_status fv_plan_upload(fv_plan *p, fv_ref r, const float *values);
fv_status fv_plan_upload_i32(fv_plan *p, fv_ref r, const int32_t *values);
fv_status fv_plan_download(fv_plan *p, fv_ref r, float *values);
/* Of a param, after backward. */
fv_status fv_plan_download_gradient(fv_plan *p, fv_ref r, float *values);

/* --- the params as one flat vector, in the order of their building --- */
typedef enum fv_block { FV_BLOCK_VALUE, FV_BLOCK_GRADIENT, FV_BLOCK_M, FV_BLOCK_V } fv_block;
enum { FV_BLOCKS = 4 };
size_t fv_plan_param_count(const fv_plan *p);
fv_status fv_plan_block_download(fv_plan *p, fv_block block, float *values);
fv_status fv_plan_block_upload(fv_plan *p, fv_block block, const float *values);
/* From now on Adam keeps this param's channel k in [low[k], high[k]], besides what its numbers say.
 * After fv_plan_finish, and before the first step of a plan that captures. */
fv_status fv_plan_bound(fv_plan *p, fv_ref param, const float *low, const float *high);
/* One Adam step on all params; see backend.h for numbers and stats. */
fv_status fv_plan_adam(fv_plan *p, const float numbers[FV_ADAM_COLUMNS],
                       float stats[FV_ADAM_STATS]);
/* Its first half: once it returns well the params move, and fv_plan_step_end waits for that. A
 * step_end that fails may be called again. */
fv_status fv_plan_adam_begin(fv_plan *p, const float numbers[FV_ADAM_COLUMNS]);
/* Forward, backward with the output gradients set before, and Adam, with one wait at the end. The
 * same as the three calls, except that backward and Adam run whatever forward gave. Where
 * fv_plan_captures, all of it is one graph that is replayed. */
fv_status fv_plan_step(fv_plan *p, const float numbers[FV_ADAM_COLUMNS],
                       float stats[FV_ADAM_STATS]);
/* The same in two halves: begin enqueues all of it where fv_plan_captures (and does it elsewhere),
 * end waits. In between the host may do something else, but not touch the plan. */
fv_status fv_plan_step_begin(fv_plan *p, const float numbers[FV_ADAM_COLUMNS]);
fv_status fv_plan_step_end(fv_plan *p, float stats[FV_ADAM_STATS]);
/* An output of the steps so far on its way to the host, while later ones run; see fv_backend.show.
 * Where fv_plan_captures only. shown is for the newest. */
fv_status fv_plan_show(fv_plan *p, fv_ref output);
fv_status fv_plan_shown(fv_plan *p, fv_ref output, float *values);
/* Whether the backend captures and replays graphs of this plan: not while it has a hook. */
bool fv_plan_captures(const fv_plan *p);

/* --- looking at it --- */
typedef struct fv_plan_info {
    int ops, tensors;
    size_t weight_bytes,
        param_bytes; /* weights with stored ones; params with gradient and moments */
    size_t arena_bytes, arena_bound; /* planned (0: borrowed), and the least any plan could need */
    size_t unplanned_bytes;          /* if nothing were shared */
    size_t scratch_bytes;
    double forward_macs;
} fv_plan_info;
fv_plan_info fv_plan_describe(const fv_plan *p);
int fv_plan_op_count(const fv_plan *p);
const fv_op *fv_plan_op(const fv_plan *p, int i);
/* Whether op i runs for one picture of a batch after another (fv_backend.microbatch_bytes). */
bool fv_plan_microbatched(const fv_plan *p, int i);
/* Runs forward and backward once and times each op (arrays of fv_plan_op_count; ops without a
 * gradient take 0) of a plan without subgraphs. Seeds count as in fv_plan_backward. */
fv_status fv_plan_profile(fv_plan *p, double *forward_ms, double *backward_ms);
/* One line an op: name, kind, shape, activation, multiply-adds. */
void fv_plan_print(const fv_plan *p, FILE *to);

#endif
