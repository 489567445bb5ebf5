/* The plan: building it, moving numbers in and out, looking at it. See plan.h; plan_finish.c gives
 * it gradients and memory, run.c runs it. */
#include "model/plan/plan_internal.h"

#include <limits.h>
#include <stdarg.h>
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

bool fv_plan_grow(void **array, int *capacity, int count, size_t item)
{
    if (count < *capacity) return true;
    int more = *capacity ? *capacity * 2 : 64;
    void *bigger = realloc(*array, (size_t)more * item);
    if (!bigger) return false;
    *array = bigger;
    *capacity = more;
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
    if (!n || !n->name ||
        !fv_plan_grow((void **)&p->nodes, &p->node_capacity, p->node_count, sizeof(node *))) {
        if (n) free(n->name);
        free(n);
        return out_of_memory(p);
    }
    snprintf(n->name, bytes, "%s%s", p->prefix, name);
    n->value = (fv_tensor){n->name, shape, type, role, NULL, FV_FORMAT_REAL};
    n->gradient = (fv_tensor){n->name, shape, FV_REAL, FV_ROLE_GRADIENT, NULL, FV_FORMAT_REAL};
    n->subgraph = p->building;
    n->op = n->value_span = n->gradient_span = n->aux_span = n->again_span = -1;
    p->nodes[p->node_count] = n;
    return p->node_count++;
}

/* A leaf with memory of its own, filled at once if there are values; in a dry plan neither. */
static fv_ref new_leaf(fv_plan *p, const char *name, fv_shape shape, fv_dtype type, fv_role role,
                       fv_dtype host_type, const void *values)
{
    fv_ref r = new_node(p, name, shape, type, role);
    if (r < 0 || !p->be) return r;
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

static bool of_unknown_size(const fv_op *op)
{
    for (fv_operand i = 0; i < FV_OPERAND_COUNT; i++) {
        if (!fv_op_reads(op, i)) continue;
        fv_shape s = fv_op_operand(op, i)->shape;
        if (s.w > FV_LARGEST_SIZE || s.c > FV_LARGEST_SIZE) return true;
    }
    return false;
}

static fv_status shape_of(const fv_plan *p, const fv_op *op, fv_shape *shape)
{
    fv_status status = fv_op_shape(op, shape);
    if (status >= 0 || p->be || !of_unknown_size(op)) return status;
    *shape = op->x->shape;
    shape->c = FV_UNKNOWN_SIZE;
    return FV_OK;
}

fv_ref fv_plan_add(fv_plan *p, const char *name, fv_op op, fv_ref x, fv_ref x2, fv_ref w, fv_ref b)
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
    fv_status status = shape_of(p, &op, &shape);
    if (status < 0) return fv_plan_fail(p, status);
    fv_ref r = new_node(p, name, shape, FV_REAL, FV_ROLE_VALUE);
    if (r < 0) return r;
    if (!fv_plan_grow((void **)&p->ops, &p->op_capacity, p->op_count, sizeof *p->ops))
        return out_of_memory(p);
    node *n = p->nodes[r];
    n->op = p->op_count;
    n->needs_gradient =
        fv_ops[op.kind].differentiable && (ref_needs_gradient(p, x) || ref_needs_gradient(p, x2));
    op.name = n->name;
    op.y = &n->value;
    p->ops[p->op_count++] = op;
    return r;
}

void fv_plan_output(fv_plan *p, fv_ref r)
{
    if (r >= 0 && r < p->node_count) p->nodes[r]->output = true;
}

void fv_plan_subgraph(fv_plan *p, int subgraph)
{
    if (subgraph < 0 || subgraph > FV_MAX_SUBGRAPHS)
        (void)fv_plan_fail(p, fv_fail(FV_ERR_ARGUMENT, "subgraph %d of a plan, expected 0 to %d",
                                      subgraph, FV_MAX_SUBGRAPHS));
    else
        p->building = subgraph;
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
    if (!full ||
        !fv_plan_grow((void **)&p->aliases, &p->alias_capacity, p->alias_count, sizeof(alias))) {
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

/* What the backend gave. */
static void give_back(fv_plan *p)
{
    for (int i = 0; i < FV_PARTS; i++)
        if (p->graphs[i]) p->be->free_graph(p->be, p->graphs[i]);
    for (int i = 0; i < p->op_count; i++) {
        fv_op *op = fv_running_op(p, i);
        if (p->be->kernels[op->kind].release) p->be->kernels[op->kind].release(p->be, op);
    }
    for (int i = 0; i < p->node_count; i++) {
        node *n = p->nodes[i];
        if (n->owns_data) p->be->free(p->be, n->value.data);
        if (n->output_gradient_copy.data) p->be->free(p->be, n->output_gradient_copy.data);
    }
    for (int b = 0; b < FV_BLOCKS; b++) p->be->free(p->be, p->blocks[b]);
    p->be->free(p->be, p->adam_numbers.data);
    p->be->free(p->be, p->adam_stats.data);
    for (int i = 0; i < 2; i++) p->be->free(p->be, p->bounds[i].data);
    if (!p->borrows) p->be->free(p->be, p->arena);
    p->be->free(p->be, p->scratch);
}

void fv_plan_free(fv_plan *p)
{
    if (!p) return;
    if (p->be) give_back(p);
    for (int i = 0; i < p->node_count; i++) {
        free(p->nodes[i]->output_gradient);
        free(p->nodes[i]->name);
        free(p->nodes[i]);
    }
    for (int i = 0; i < p->alias_count; i++) free(p->aliases[i].name);
    free(p->aliases);
    free(p->nodes);
    free(p->ops);
    free(p->microbatch_ops);
    free(p->per_picture);
    free(p->spans);
    free(p);
}

/* --- moving numbers --- */

fv_status fv_plan_status(const fv_plan *p)
{
    return p->status == FV_OK ? FV_OK : fv_fail(p->status, "%s", p->message);
}

fv_status fv_plan_runnable(const fv_plan *p, const char *what)
{
    FV_TRY(fv_plan_status(p));
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

/* A block as one flat tensor. Its count fits an int: fv_plan_add and new_leaf bound every shape. */
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
                         .arena_bytes = p->borrows ? 0 : p->arena_bytes,
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
