/* The plan: building, gradient marking, memory by lifetime, running. See plan.h.
 *
 * Time runs 0 .. 2N: forward of op i is step i, seeds arrive at N, backward of op i is
 * 2N - i. A value lives from its op to its last reader; with the mask of fv_ops[].keeps a reader
 * may be a backward step. A gradient lives from its first writer to its producer's backward. */
#include "model/plan_internal.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef fv_node node;
typedef fv_alias alias;

enum { MAX_SCOPES = FV_MAX_SCOPES, NAME_BYTES = FV_NAME_BYTES };

/* --- building --- */

fv_status fv_plan_new(fv_plan **out, fv_backend *be)
{
    fv_plan *p = calloc(1, sizeof *p);
    *out = p;
    if (!p) return fv_fail(FV_ERR_MEMORY, "starting a plan: out of memory");
    p->be = be;
    return FV_OK;
}

fv_backend *fv_plan_backend(const fv_plan *p)
{
    return p->be;
}

fv_ref fv_plan_fail(fv_plan *p, fv_status code)
{
    if (p->status == FV_OK) {
        p->status = code;
        snprintf(p->message, sizeof p->message, "%s", fv_error());
    }
    return -1;
}

void fv_plan_push(fv_plan *p, const char *fmt, ...)
{
    size_t at = strlen(p->prefix);
    if (p->scope_count < MAX_SCOPES) p->scopes[p->scope_count] = at;
    p->scope_count++;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->prefix + at, sizeof p->prefix - at, fmt, args);
    va_end(args);
}

void fv_plan_pop(fv_plan *p)
{
    if (p->scope_count == 0) return;
    p->scope_count--;
    if (p->scope_count < MAX_SCOPES) p->prefix[p->scopes[p->scope_count]] = '\0';
}

static bool grow(void **array, int *room, int count, size_t item)
{
    if (count < *room) return true;
    int more = *room ? *room * 2 : 64;
    void *bigger = realloc(*array, (size_t)more * item);
    if (!bigger) return false;
    *array = bigger;
    *room = more;
    return true;
}

static fv_ref out_of_memory(fv_plan *p)
{
    return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "building a plan: out of memory"));
}

static fv_ref new_node(fv_plan *p, const char *name, fv_shape shape, fv_dtype type, fv_role role)
{
    if (p->status != FV_OK) return -1;
    if (p->finished)
        return fv_plan_fail(p, fv_fail(FV_ERR_ARGUMENT, "%s: the plan is finished", name));
    if (shape.n < 1 || shape.h < 1 || shape.w < 1 || shape.c < 1)
        return fv_plan_fail(p, fv_fail(FV_ERR_SHAPE, "%s%s: shape {%d,%d,%d,%d} is empty",
                                       p->prefix, name, shape.n, shape.h, shape.w, shape.c));
    node *n = calloc(1, sizeof *n);
    size_t bytes = strlen(p->prefix) + strlen(name) + 1;
    if (n) n->name = malloc(bytes);
    if (!n || !n->name || !grow((void **)&p->nodes, &p->node_room, p->node_count, sizeof(node *))) {
        if (n) free(n->name);
        free(n);
        return out_of_memory(p);
    }
    snprintf(n->name, bytes, "%s%s", p->prefix, name);
    n->value = (fv_tensor){n->name, shape, type, role, NULL, FV_FORMAT_REAL};
    n->gradient = (fv_tensor){n->name, shape, FV_REAL, FV_ROLE_GRADIENT, NULL, FV_FORMAT_REAL};
    n->op = n->value_span = n->gradient_span = n->aux_span = -1;
    p->nodes[p->node_count] = n;
    return p->node_count++;
}

/* A leaf with memory of its own, filled at once if there are values. */
static fv_ref new_leaf(fv_plan *p, const char *name, fv_shape shape, fv_dtype type, fv_role role,
                       fv_dtype host_type, const void *values)
{
    fv_ref r = new_node(p, name, shape, type, role);
    if (r < 0) return r;
    node *n = p->nodes[r];
    size_t bytes = fv_tensor_bytes(p->be, &n->value);
    fv_status status = p->be->alloc(p->be, bytes, &n->value.data);
    if (status >= 0) {
        n->owns_data = true;
        p->weight_bytes += bytes;
        if (values) status = p->be->upload(p->be, &n->value, host_type, values);
    }
    return status < 0 ? fv_plan_fail(p, status) : r;
}

fv_ref fv_plan_weight(fv_plan *p, const char *name, fv_shape shape, const float *values)
{
    return new_leaf(p, name, shape, FV_REAL, FV_ROLE_WEIGHT, FV_F32, values);
}

fv_ref fv_plan_weight_f64(fv_plan *p, const char *name, fv_shape shape, const double *values)
{
    return new_leaf(p, name, shape, FV_REAL, FV_ROLE_WEIGHT, FV_F64, values);
}

fv_ref fv_plan_weight_i32(fv_plan *p, const char *name, fv_shape shape, const int32_t *values)
{
    return new_leaf(p, name, shape, FV_I32, FV_ROLE_WEIGHT, FV_I32, values);
}

fv_ref fv_plan_stored(fv_plan *p, const fv_store *store, const char *key, const char *name)
{
    const fv_tensor *t = store ? fv_store_find(store, key) : NULL;
    if (!t) return FV_NONE;
    fv_ref r = new_node(p, name, t->shape, t->type, FV_ROLE_WEIGHT);
    if (r < 0) return r;
    p->nodes[r]->value.data = t->data;
    p->nodes[r]->value.format = t->format;
    p->weight_bytes += fv_tensor_bytes(p->be, t);
    return r;
}

fv_ref fv_plan_keep(fv_plan *p, fv_store *store, const char *key, fv_ref r)
{
    if (r < 0 || !store) return r;
    fv_tensor *t = &p->nodes[r]->value;
    fv_status status = p->be->freeze ? p->be->freeze(p->be, t) : FV_OK;
    if (status >= 0) status = fv_store_add(store, key, t);
    if (status < 0) return fv_plan_fail(p, status);
    p->nodes[r]->owns_data = false;
    return r;
}

fv_ref fv_plan_input(fv_plan *p, const char *name, fv_shape shape, fv_dtype type)
{
    return new_leaf(p, name, shape, type, FV_ROLE_INPUT, type, NULL);
}

fv_ref fv_plan_param(fv_plan *p, const char *name, fv_shape shape)
{
    fv_ref r = new_node(p, name, shape, FV_REAL, FV_ROLE_PARAM);
    if (r < 0) return r;
    p->nodes[r]->needs_gradient = true;
    p->param_count += fv_count(shape);
    if (p->param_count > INT_MAX)
        return fv_plan_fail(p, fv_fail(FV_ERR_SHAPE, "%s: over 2^31 params", name));
    return r;
}

/* NULL for FV_NONE; *ok is cleared for a failed ref. */
static const fv_tensor *operand(const fv_plan *p, fv_ref r, bool *ok)
{
    if (r == FV_NONE) return NULL;
    if (r < 0 || r >= p->node_count) {
        *ok = false;
        return NULL;
    }
    return &p->nodes[r]->value;
}

static bool ref_needs_gradient(const fv_plan *p, fv_ref r)
{
    return r >= 0 && p->nodes[r]->needs_gradient;
}

/* Adds `op` (kind, act and attr are set) with its operands. */
static fv_ref new_op(fv_plan *p, const char *name, fv_op op, fv_ref x, fv_ref x2, fv_ref w,
                     fv_ref b)
{
    if (p->status != FV_OK) return -1;
    bool ok = true;
    op.x = operand(p, x, &ok);
    op.x2 = operand(p, x2, &ok);
    op.w = operand(p, w, &ok);
    op.b = operand(p, b, &ok);
    if (!ok || (w >= 0 && p->nodes[w]->op >= 0) || (b >= 0 && p->nodes[b]->op >= 0))
        return fv_plan_fail(p, fv_fail(FV_ERR_ARGUMENT, "%s%s: an operand %s", p->prefix, name,
                                       ok ? "w or b is no leaf" : "was never built"));
    char full[2 * NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", p->prefix, name);
    op.name = full; /* for messages of the shape rule */
    fv_shape shape;
    fv_status status = fv_op_shape(&op, &shape);
    if (status < 0) return fv_plan_fail(p, status);
    fv_ref r = new_node(p, name, shape, FV_REAL, FV_ROLE_VALUE);
    if (r < 0) return r;
    if (!grow((void **)&p->ops, &p->op_room, p->op_count, sizeof *p->ops)) return out_of_memory(p);
    node *n = p->nodes[r];
    n->op = p->op_count;
    n->needs_gradient =
        fv_ops[op.kind].differentiable && (ref_needs_gradient(p, x) || ref_needs_gradient(p, x2));
    op.name = n->name;
    op.y = &n->value;
    p->ops[p->op_count++] = op;
    return r;
}

fv_ref fv_conv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                 fv_act act)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_CONV2D, .act = act, .attr.conv = a}, x, FV_NONE, w,
                  b);
}

fv_ref fv_dwconv2d(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_conv_attr a,
                   fv_act act)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_DWCONV2D, .act = act, .attr.conv = a}, x, FV_NONE,
                  w, b);
}

fv_ref fv_linear(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, fv_act act)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_LINEAR, .act = act}, x, FV_NONE, w, b);
}

fv_ref fv_activation(fv_plan *p, const char *name, fv_ref x, fv_act act)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_ACT, .act = act}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_mul_channel(fv_plan *p, const char *name, fv_ref x, fv_ref gate)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_MUL_CHANNEL}, x, gate, FV_NONE, FV_NONE);
}

fv_ref fv_add(fv_plan *p, const char *name, fv_ref x, fv_ref x2)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_ADD}, x, x2, FV_NONE, FV_NONE);
}

fv_ref fv_affine(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_AFFINE}, x, FV_NONE, w, b);
}

fv_ref fv_mean_hw(fv_plan *p, const char *name, fv_ref x)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_MEAN_HW}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_max_hw(fv_plan *p, const char *name, fv_ref x)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_MAX_HW}, x, FV_NONE, FV_NONE, FV_NONE);
}

fv_ref fv_mix_rows(fv_plan *p, const char *name, fv_ref x, fv_ref w)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_MIX_ROWS}, x, FV_NONE, w, FV_NONE);
}

fv_ref fv_l2norm(fv_plan *p, const char *name, fv_ref x, double eps)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_L2NORM, .attr.eps = eps}, x, FV_NONE, FV_NONE,
                  FV_NONE);
}

fv_ref fv_layernorm(fv_plan *p, const char *name, fv_ref x, fv_ref w, fv_ref b, double eps)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_LAYERNORM, .attr.eps = eps}, x, FV_NONE, w, b);
}

fv_ref fv_attention(fv_plan *p, const char *name, fv_ref qkv, fv_ref key_bias, int heads)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_ATTENTION, .attr.heads = heads}, qkv, FV_NONE,
                  FV_NONE, key_bias);
}

fv_ref fv_embed(fv_plan *p, const char *name, fv_ref ids, fv_ref table, fv_ref positions)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_EMBED}, ids, FV_NONE, table, positions);
}

fv_ref fv_separable(fv_plan *p, const char *name, fv_ref x, fv_ref rows, fv_ref columns)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_SEPARABLE}, x, FV_NONE, rows, columns);
}

fv_ref fv_warp(fv_plan *p, const char *name, fv_ref x, fv_ref views, int side)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_WARP, .attr.out_side = side}, x, FV_NONE, views,
                  FV_NONE);
}

fv_ref fv_perturb(fv_plan *p, const char *name, fv_ref x, fv_ref numbers, fv_ref keys)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_PERTURB}, x, FV_NONE, numbers, keys);
}

fv_ref fv_pick(fv_plan *p, const char *name, fv_ref x, fv_ref channels)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_PICK}, x, FV_NONE, FV_NONE, channels);
}

fv_ref fv_penalise(fv_plan *p, const char *name, fv_ref x, fv_penalty kind)
{
    return new_op(p, name, (fv_op){.kind = FV_OP_PENALTY, .attr.penalty = kind}, x, FV_NONE,
                  FV_NONE, FV_NONE);
}

void fv_plan_output(fv_plan *p, fv_ref r)
{
    if (r >= 0 && r < p->node_count) p->nodes[r]->output = true;
}

fv_shape fv_plan_shape(const fv_plan *p, fv_ref r)
{
    if (r < 0 || r >= p->node_count) return (fv_shape){0, 0, 0, 0};
    return p->nodes[r]->value.shape;
}

const char *fv_plan_name(const fv_plan *p, fv_ref r)
{
    return r < 0 || r >= p->node_count ? "?" : p->nodes[r]->name;
}

const char *fv_plan_scope(const fv_plan *p)
{
    return p->prefix;
}

const fv_tensor *fv_plan_tensor(const fv_plan *p, fv_ref r)
{
    return r >= 0 && r < p->node_count ? &p->nodes[r]->value : NULL;
}

void fv_plan_alias(fv_plan *p, fv_ref r, const char *name)
{
    if (p->status != FV_OK || r < 0) return;
    size_t bytes = strlen(p->prefix) + strlen(name) + 1;
    char *full = malloc(bytes);
    if (!full || !grow((void **)&p->aliases, &p->alias_room, p->alias_count, sizeof(alias))) {
        free(full);
        out_of_memory(p);
        return;
    }
    snprintf(full, bytes, "%s%s", p->prefix, name);
    p->aliases[p->alias_count++] = (alias){full, r};
}

fv_ref fv_plan_find(const fv_plan *p, const char *name)
{
    for (int i = 0; i < p->node_count; i++)
        if (strcmp(p->nodes[i]->name, name) == 0) return i;
    for (int i = 0; i < p->alias_count; i++)
        if (strcmp(p->aliases[i].name, name) == 0) return p->aliases[i].target;
    return -1;
}

/* --- finishing: who gets a gradient --- */

static bool has_gradient(const node *n)
{
    return n && n->needs_gradient && n->wanted;
}

/* Whether the gradient of op's residual can begin as op's dy, in its memory: later writers add to
 * it, and op is through with it by then. */
static bool passes_on(const fv_op *op)
{
    bool residual = op->kind == FV_OP_CONV2D || op->kind == FV_OP_LINEAR;
    return residual && fv_node_of(op->x2)->op >= 0 && op->x2->format == op->y->format;
}

/* Walks up from the outputs: marks the values whose gradient somebody needs, wires dy and dx,
 * and decides for each writer whether it is the first (=) or a later one (+=). */
static void mark_gradients(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        n->wanted = n->output;
        n->written = n->output; /* the seed writes first */
    }
    for (int i = p->op_count - 1; i >= 0; i--) {
        fv_op *op = &p->ops[i];
        node *y = fv_node_of(op->y), *x = fv_node_of(op->x), *x2 = fv_node_of(op->x2);
        if (!has_gradient(y)) continue;
        op->dy = &y->gradient;
        if (x->needs_gradient) {
            x->wanted = true;
            op->dx = &x->gradient;
            op->add_dx = x->written;
            x->written = true;
        }
        if (x2 && x2->needs_gradient) {
            x2->wanted = true;
            if (!x2->written && passes_on(op))
                x2->shares = y;
            else
                op->dx2 = &x2->gradient;
            op->add_dx2 = x2->written;
            x2->written = true;
        }
    }
}

/* --- finishing: lifetimes --- */

/* Makes a span that lives in step `at`, or lets it live until then too. */
static fv_status live_at(fv_plan *p, int *span, const fv_tensor *t, int at)
{
    if (*span < 0) {
        if (!grow((void **)&p->spans, &p->span_room, p->span_count, sizeof *p->spans))
            return fv_fail(FV_ERR_MEMORY, "planning memory: out of memory");
        p->spans[p->span_count] = (fv_span){fv_tensor_bytes(p->be, t), at, at, 0};
        *span = p->span_count++;
    }
    fv_span *s = &p->spans[*span];
    if (at < s->first) s->first = at;
    if (at > s->last) s->last = at;
    return FV_OK;
}

/* Leaves have memory of their own, also their gradients; what is left out has none. */
static fv_status member_live_at(fv_plan *p, node *n, fv_member member, int at)
{
    if (member == FV_GRADIENT) n = fv_gradient_owner(n);
    if (n->op < 0 || (member == FV_VALUE && n->left_out)) return FV_OK;
    const fv_tensor *t = member == FV_AUX                           ? &n->aux
                         : member == FV_GRADIENT && !n->overwritten ? &n->gradient
                                                                    : &n->value;
    return live_at(p, fv_span_of(n, member), t, at);
}

static fv_status operands_live_at(fv_plan *p, const fv_op *op, unsigned use, int at)
{
    for (fv_operand o = 0; o < FV_OPERAND_COUNT; o++) {
        const fv_tensor *t = fv_op_operand(op, o);
        fv_member member = fv_operand_member(o);
        if (t && member != FV_CONSTANT && fv_op_uses(op, o) & use)
            FV_TRY(member_live_at(p, fv_node_with(t, member), member, at));
    }
    return FV_OK;
}

/* Backward of `op` can do with what the maker of x keeps anyway: the activation's input. It
 * outlives op's backward, because the maker's backward comes later. */
static void recompute_x(const fv_plan *p, fv_op *op)
{
    const node *x = fv_node_of(op->x);
    if (!p->be->recomputes || op->kind != FV_OP_MUL_CHANNEL || x->op < 0 || !op->dy) return;
    const fv_op *maker = &p->ops[x->op];
    if (!maker->dy || !maker->aux || maker->act == FV_ACT_NONE) return;
    op->fused.kept_x = maker->aux;
    op->fused.kept_act = maker->act;
}

/* A kept pre-activation is stored as y is; all else is few numbers, in full. */
static fv_format aux_format(const fv_op *op)
{
    return fv_op_aux_in_forward(op->kind) ? FV_FORMAT_REAL : op->y->format;
}

/* The backend's choice for every value and its gradient. */
static void choose_formats(fv_plan *p)
{
    for (int i = 0; p->be->format && i < p->op_count; i++) {
        node *y = fv_node_of(p->ops[i].y);
        y->value.format = y->gradient.format = p->be->format(p->be, &p->ops[i], y->output);
    }
}

static void make_aux(fv_op *op)
{
    node *y = fv_node_of(op->y);
    const fv_op_info *info = &fv_ops[op->kind];
    if (!(info->keeps(op) & FV_KEEP_AUX) || !(op->dy || fv_op_aux_in_forward(op->kind))) return;
    y->has_aux = true;
    y->aux = (fv_tensor){y->name,       info->aux(op, y->value.shape), FV_REAL, FV_ROLE_VALUE, NULL,
                         aux_format(op)};
    op->aux = &y->aux;
}

static fv_status op_lifetimes(fv_plan *p, int i)
{
    fv_op *op = &p->ops[i];
    node *y = fv_node_of(op->y);
    make_aux(op);
    recompute_x(p, op);
    FV_TRY(operands_live_at(p, op, FV_USED_FORWARD, i));
    if (y->output) FV_TRY(member_live_at(p, y, FV_VALUE, 2 * p->op_count + 1));
    if (!op->dy) return FV_OK;
    FV_TRY(operands_live_at(p, op, FV_USED_BACKWARD, fv_backward_step(p, i)));
    return y->output ? member_live_at(p, y, FV_GRADIENT, p->op_count) : FV_OK;
}

static void *in_arena(const fv_plan *p, int span)
{
    return span < 0 ? NULL : (char *)p->arena + p->spans[span].offset;
}

static fv_status place_arena(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) FV_TRY(op_lifetimes(p, i));
    FV_TRY(fv_confine_spans(p));
    FV_TRY(fv_memory_plan(p->spans, (size_t)p->span_count, &p->arena_bytes));
    if (p->be->room_for) FV_TRY(p->be->room_for(p->be, p->arena_bytes));
    FV_TRY(p->be->alloc(p->be, p->arena_bytes ? p->arena_bytes : FV_ALIGNMENT, &p->arena));
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->op < 0) continue;
        n->value.data = in_arena(p, n->value_span);
        n->gradient.data = in_arena(p, *fv_span_of(n, FV_GRADIENT));
        n->aux.data = in_arena(p, n->aux_span);
    }
    FV_TRY(fv_plan_verify(p));
    return fv_make_passing_ops(p);
}

/* Params, their gradients and moments: four blocks of one layout. */
static fv_status place_params(fv_plan *p)
{
    if (p->param_count == 0) return FV_OK;
    int blocks = p->flags & FV_PLAN_BACKWARD ? FV_BLOCKS : 1;
    for (int b = 0; b < blocks; b++)
        FV_TRY(p->be->alloc(p->be, p->param_count * p->be->real_bytes, &p->blocks[b]));
    size_t at = 0;
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->value.role != FV_ROLE_PARAM) continue;
        n->value.data = (char *)p->blocks[FV_BLOCK_VALUE] + at;
        if (blocks > 1) n->gradient.data = (char *)p->blocks[FV_BLOCK_GRADIENT] + at;
        at += fv_count(n->value.shape) * p->be->real_bytes;
    }
    p->adam_numbers = (fv_tensor){
        "adam.numbers", {1, 1, 1, FV_ADAM_COLUMNS}, FV_REAL, FV_ROLE_INPUT, NULL, FV_FORMAT_REAL};
    p->adam_stats = (fv_tensor){
        "adam.stats", {1, 1, 1, FV_ADAM_STATS}, FV_REAL, FV_ROLE_INPUT, NULL, FV_FORMAT_REAL};
    FV_TRY(p->be->alloc(p->be, FV_ADAM_COLUMNS * sizeof(double), &p->adam_numbers.data));
    return p->be->alloc(p->be, FV_ADAM_STATS * sizeof(double), &p->adam_stats.data);
}

static fv_status prepare_kernels(fv_plan *p)
{
    for (int i = 0; i < p->op_count; i++) {
        fv_op *op = fv_running_op(p, i);
        const fv_kernel *k = &p->be->kernels[op->kind];
        if (!k->forward || (op->dy && !k->backward))
            return fv_fail(FV_ERR_UNSUPPORTED, "%s: backend %s has no %s of %s", op->name,
                           p->be->name, k->forward ? "backward" : "forward", fv_ops[op->kind].name);
        if (k->prepare) FV_TRY(k->prepare(p->be, op));
        if (op->scratch_bytes > p->scratch_bytes) p->scratch_bytes = op->scratch_bytes;
    }
    if (p->scratch_bytes == 0) return FV_OK;
    FV_TRY(p->be->alloc(p->be, p->scratch_bytes, &p->scratch));
    for (int i = 0; i < p->op_count; i++) fv_running_op(p, i)->scratch = p->scratch;
    return FV_OK;
}

static fv_status make_seeds(fv_plan *p)
{
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (!n->output || !has_gradient(n)) continue;
        n->seed = calloc(fv_count(n->value.shape), sizeof *n->seed);
        if (!n->seed) return fv_fail(FV_ERR_MEMORY, "%s: out of memory for a seed", n->name);
        if (!p->be->copy) continue;
        n->seed_copy = n->gradient;
        FV_TRY(p->be->alloc(p->be, fv_tensor_bytes(p->be, &n->gradient), &n->seed_copy.data));
    }
    return FV_OK;
}

fv_status fv_plan_finish(fv_plan *p, unsigned flags)
{
    if (p->status != FV_OK) return fv_fail(p->status, "%s", p->message);
    if (p->finished) return fv_fail(FV_ERR_ARGUMENT, "finishing a plan: it is finished already");
    p->flags = flags;
    p->finished = true;
    bool whole = flags & FV_PLAN_WHOLE, fuses = p->be->fuses && !whole;
    if (!whole) fv_plan_prune(p);
    if (p->be->joins && !whole) fv_plan_join(p);
    if (fuses) fv_join_maps(p);
    choose_formats(p);
    if (flags & FV_PLAN_BACKWARD) mark_gradients(p);
    if (fuses) fv_fuse_gates(p);
    if (fuses) fv_overwrite_maps(p);
    fv_choose_stretch(p, whole ? 0 : p->be->near_bytes);
    fv_status status = place_params(p);
    if (status >= 0) status = place_arena(p);
    if (status >= 0) status = prepare_kernels(p);
    if (status >= 0) status = make_seeds(p);
    if (status < 0) fv_plan_fail(p, status);
    return status;
}

void fv_plan_free(fv_plan *p)
{
    if (!p) return;
    for (int i = 0; i < FV_PARTS; i++)
        if (p->recordings[i]) p->be->forget(p->be, p->recordings[i]);
    for (int i = 0; i < p->op_count; i++) {
        fv_op *op = fv_running_op(p, i);
        if (p->be->kernels[op->kind].release) p->be->kernels[op->kind].release(p->be, op);
    }
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->owns_data) p->be->free(p->be, n->value.data);
        if (n->seed_copy.data) p->be->free(p->be, n->seed_copy.data);
        free(n->seed);
        free(n->name);
        free(n);
    }
    for (int b = 0; b < FV_BLOCKS; b++) p->be->free(p->be, p->blocks[b]);
    p->be->free(p->be, p->adam_numbers.data);
    p->be->free(p->be, p->adam_stats.data);
    p->be->free(p->be, p->arena);
    p->be->free(p->be, p->scratch);
    for (int i = 0; i < p->alias_count; i++) free(p->aliases[i].name);
    free(p->aliases);
    free(p->nodes);
    free(p->ops);
    free(p->passing);
    free(p->alone);
    free(p->spans);
    free(p);
}

/* --- moving numbers --- */

fv_status fv_plan_runnable(const fv_plan *p, const char *what)
{
    if (p->status != FV_OK) return fv_fail(p->status, "%s", p->message);
    if (!p->finished) return fv_fail(FV_ERR_ARGUMENT, "%s: the plan is not finished", what);
    return FV_OK;
}

static fv_status leaf_or_output(const fv_plan *p, fv_ref r, const char *what, bool write)
{
    FV_TRY(fv_plan_runnable(p, what));
    if (r < 0 || r >= p->node_count) return fv_fail(FV_ERR_ARGUMENT, "%s: no such tensor", what);
    const node *n = p->nodes[r];
    bool leaf = n->value.role != FV_ROLE_VALUE;
    bool allowed = leaf ? !(write && n->value.role == FV_ROLE_WEIGHT) : n->output && !write;
    if (allowed) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "%s %s: it is %s", what, n->name,
                   write ? "neither an input nor a param" : "not an output");
}

fv_status fv_plan_upload(fv_plan *p, fv_ref r, const float *values)
{
    FV_TRY(leaf_or_output(p, r, "uploading", true));
    return p->be->upload(p->be, &p->nodes[r]->value, FV_F32, values);
}

fv_status fv_plan_upload_i32(fv_plan *p, fv_ref r, const int32_t *values)
{
    FV_TRY(leaf_or_output(p, r, "uploading", true));
    return p->be->upload(p->be, &p->nodes[r]->value, FV_I32, values);
}

fv_status fv_plan_download(fv_plan *p, fv_ref r, float *values)
{
    FV_TRY(leaf_or_output(p, r, "downloading", false));
    return p->be->download(p->be, &p->nodes[r]->value, FV_F32, values);
}

fv_status fv_plan_download_gradient(fv_plan *p, fv_ref r, float *values)
{
    FV_TRY(leaf_or_output(p, r, "downloading the gradient of", false));
    if (!p->nodes[r]->gradient.data || p->nodes[r]->op >= 0)
        return fv_fail(FV_ERR_ARGUMENT, "downloading the gradient of %s: it is no param",
                       p->nodes[r]->name);
    return p->be->download(p->be, &p->nodes[r]->gradient, FV_F32, values);
}

size_t fv_plan_param_count(const fv_plan *p)
{
    return p->param_count;
}

/* A block as one flat tensor. Its count fits an int: new_op and new_leaf bound every shape. */
fv_tensor fv_plan_block_tensor(const fv_plan *p, fv_block block)
{
    static const char *const names[FV_BLOCKS] = {"param", "gradient", "adam.m", "adam.v"};
    return (fv_tensor){
        names[block],     {1, 1, 1, (int)p->param_count},
        FV_REAL,          block == FV_BLOCK_GRADIENT ? FV_ROLE_GRADIENT : FV_ROLE_PARAM,
        p->blocks[block], FV_FORMAT_REAL};
}

fv_status fv_plan_block_exists(const fv_plan *p, fv_block block)
{
    FV_TRY(fv_plan_runnable(p, "moving params"));
    if (p->blocks[block]) return FV_OK;
    return fv_fail(FV_ERR_ARGUMENT, "moving params: the plan has no such block");
}

fv_status fv_plan_block_download(fv_plan *p, fv_block block, float *values)
{
    FV_TRY(fv_plan_block_exists(p, block));
    fv_tensor t = fv_plan_block_tensor(p, block);
    return p->be->download(p->be, &t, FV_F32, values);
}

fv_status fv_plan_block_upload(fv_plan *p, fv_block block, const float *values)
{
    FV_TRY(fv_plan_block_exists(p, block));
    fv_tensor t = fv_plan_block_tensor(p, block);
    return p->be->upload(p->be, &t, FV_F32, values);
}

/* --- looking at it --- */

fv_plan_info fv_plan_describe(const fv_plan *p)
{
    fv_plan_info info = {.ops = p->op_count,
                         .tensors = p->node_count,
                         .weight_bytes = p->weight_bytes,
                         .arena_bytes = p->arena_bytes,
                         .arena_bound = fv_memory_bound(p->spans, (size_t)p->span_count),
                         .scratch_bytes = p->scratch_bytes};
    for (int b = 0; b < FV_BLOCKS; b++)
        if (p->blocks[b]) info.param_bytes += p->param_count * p->be->real_bytes;
    for (int i = 0; i < p->span_count; i++) info.unplanned_bytes += p->spans[i].bytes;
    for (int i = 0; i < p->op_count; i++) info.forward_macs += fv_op_macs(&p->ops[i]);
    return info;
}

int fv_plan_op_count(const fv_plan *p)
{
    return p->op_count;
}

const fv_op *fv_plan_op(const fv_plan *p, int i)
{
    return &p->ops[i];
}

void fv_plan_print(const fv_plan *p, FILE *to)
{
    for (int i = 0; i < p->op_count; i++) {
        const fv_op *op = &p->ops[i];
        fv_shape s = op->y->shape;
        fprintf(to, "%4d %-11s %4d %4d %4d %5d  %-7s %9.3f M  %s%s\n", i, fv_ops[op->kind].name,
                s.n, s.h, s.w, s.c, op->act ? fv_act_name(op->act) : "", fv_op_macs(op) / 1e6,
                op->name, op->dy ? "  d" : "");
    }
}
