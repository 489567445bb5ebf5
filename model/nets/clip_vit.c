/* CLIP's vision transformer, and the layers that it shares with the text tower. See clip.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nets/clip.h"
#include "model/nets/transformer.h"

void fv_clip_enter(fv_builder *b, const char *path, const char *scope)
{
    fv_enter(b, "%s", path);
    fv_plan_pop(b->plan);
    fv_plan_push(b->plan, "%s", scope);
}

/* --- layers --- */

typedef struct layer_names {
    const char *step, *norm1, *out, *norm2, *first, *second;
} layer_names;

static const layer_names openai = {
    "transformer.resblocks.", "ln_1", "attn.out_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"};
static const layer_names huggingface = {"encoder.layers.", "layer_norm1", "self_attn.out_proj",
                                        "layer_norm2",     "mlp.fc1",     "mlp.fc2"};

static fv_layer load_qkv(fv_builder *b, bool apart, int d)
{
    static const char *const parts[3] = {"self_attn.q_proj", "self_attn.k_proj",
                                         "self_attn.v_proj"};
    return apart ? fv_load_linears(b, parts, 3, "self_attn.qkv", d, d)
                 : fv_load_linear_named(b, "attn.in_proj_weight", "attn.in_proj_bias", 3 * d, d);
}

/* x + out(attention(norm1(x))), then that + second(act(first(norm2(that)))) */
static fv_ref build_layer(fv_builder *b, const fv_clip_tower *t, const layer_names *names,
                          bool causal, fv_ref x)
{
    fv_plan *p = b->plan;
    int d = fv_plan_shape(p, x).c;
    fv_layer norm1 = fv_load_norm(b, names->norm1, d);
    fv_layer qkv = load_qkv(b, names == &huggingface, d);
    fv_layer out = fv_load_linear(b, names->out, d, d);
    fv_layer norm2 = fv_load_norm(b, names->norm2, d);
    fv_layer first = fv_load_linear(b, names->first, 0, d);
    fv_layer second = fv_load_linear(b, names->second, d, fv_plan_shape(p, first.w).w);
    fv_ref y = fv_layernorm(p, "ln_1", x, norm1.w, norm1.b, t->eps);
    y = fv_linear(p, "attn.in_proj", y, qkv.w, qkv.b, FV_ACT_NONE);
    y = causal ? fv_causal_attention(p, "attn.heads", y, t->heads)
               : fv_attention(p, "attn.heads", y, FV_NONE, t->heads);
    y = fv_linear(p, "attn.out_proj", y, out.w, out.b, FV_ACT_NONE);
    x = fv_add(p, "attn.sum", y, x);
    y = fv_layernorm(p, "ln_2", x, norm2.w, norm2.b, t->eps);
    y = fv_linear(p, "mlp.c_fc", y, first.w, first.b, t->act);
    y = fv_linear(p, "mlp.c_proj", y, second.w, second.b, FV_ACT_NONE);
    return fv_add(p, "mlp.sum", y, x);
}

fv_ref fv_clip_layers(fv_builder *b, const fv_clip *c, const fv_clip_tower *t, bool causal,
                      fv_ref x)
{
    const layer_names *names = c->huggingface ? &huggingface : &openai;
    for (int i = 0; i < t->layers; i++) {
        char path[64], scope[64];
        snprintf(path, sizeof path, "%s%d.", names->step, i);
        snprintf(scope, sizeof scope, "%s%d.", openai.step, i);
        fv_clip_enter(b, path, scope);
        x = build_layer(b, t, names, causal, x);
        fv_leave(b);
        scope[strlen(scope) - 1] = '\0';
        fv_plan_alias(b->plan, x, scope);
    }
    return x;
}

/* --- projections and rows --- */

/* [in, out], turned into the rows of a linear map. */
static fv_ref load_turned(fv_builder *b, const char *name, int in)
{
    fv_ref stored = fv_builder_stored(b, name);
    if (stored != FV_NONE) return stored;
    int64_t dims[2] = {in, 0};
    double *values = fv_load_values(b, name, dims, 2), *turned = NULL;
    size_t rows = (size_t)dims[0], columns = (size_t)dims[1];
    if (values && !(turned = malloc(rows * columns * sizeof *turned)))
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", name));
    for (size_t i = 0; turned && i < rows; i++)
        for (size_t k = 0; k < columns; k++) turned[k * rows + i] = values[i * columns + k];
    fv_shape shape = {1, 1, (int)columns, (int)rows};
    fv_ref w = fv_plan_weight_f64(b->plan, name, shape, turned);
    free(values);
    free(turned);
    return fv_builder_keep(b, name, w);
}

fv_ref fv_clip_project(fv_builder *b, const char *name, bool named, fv_ref x)
{
    char weight[64];
    int in = fv_plan_shape(b->plan, x).c;
    snprintf(weight, sizeof weight, named ? "%s.weight" : "%s", name);
    fv_ref w = named ? fv_load_matrix(b, weight, 0, in) : load_turned(b, weight, in);
    return fv_linear(b->plan, "projection", x, w, FV_NONE, FV_ACT_NONE);
}

/* A constant [rows, columns], with a one in each row i at first + i, if that is a column. */
static fv_ref selection(fv_builder *b, const char *name, int rows, int columns, int first)
{
    double *values = calloc((size_t)rows * (size_t)columns, sizeof *values);
    if (!values)
        return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "building %s: out of memory", name));
    for (int i = 0; i < rows; i++)
        if (first + i >= 0 && first + i < columns)
            values[(size_t)i * (size_t)columns + (size_t)(first + i)] = 1;
    fv_ref r = fv_plan_weight_f64(b->plan, name, (fv_shape){1, 1, rows, columns}, values);
    free(values);
    return r;
}

fv_ref fv_clip_row(fv_builder *b, const char *name, fv_ref x, int row)
{
    char constant[64];
    fv_shape s = fv_plan_shape(b->plan, x);
    if (x < 0) return -1;
    snprintf(constant, sizeof constant, "%s.row", name);
    return fv_mix_rows(b->plan, name, x, selection(b, constant, 1, s.h * s.w, row));
}

/* --- positions --- */

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Row i of the matrix from `from` numbers to `to`. */
static void weights_of(double *row, int i, int from, int to, fv_clip_positions rule)
{
    memset(row, 0, (size_t)from * sizeof *row);
    if (rule == FV_CLIP_ANTIALIASED) {
        double scale = (double)from / to, wide = scale > 1 ? scale : 1, total = 0;
        double centre = (i + 0.5) * scale;
        int first = (int)(centre - 2 * wide + 0.5), last = (int)(centre + 2 * wide + 0.5);
        if (centre - 2 * wide + 0.5 < 0) first = 0;
        if (last > from) last = from;
        for (int j = first; j < last; j++) total += row[j] = cubic((j - centre + 0.5) / wide, -0.5);
        for (int j = first; j < last; j++) row[j] /= total;
        return;
    }
    double x = rule == FV_CLIP_CORNERS ? to > 1 ? (double)i * (from - 1) / (to - 1) : 0
                                       : (i + 0.5) * from / to - 0.5;
    int floor_x = (int)floor(x);
    for (int j = floor_x - 1; j < floor_x + 3; j++) {
        int at = j < 0 ? 0 : j >= from ? from - 1 : j;
        row[at] += cubic(x - j, -0.75);
    }
}

bool fv_clip_resample(double *out, const double *in, int from, int to, int width,
                      fv_clip_positions rule)
{
    size_t n = (size_t)from, m = (size_t)to, d = (size_t)width;
    double *w = malloc(m * n * sizeof *w);
    memset(out, 0, m * m * d * sizeof *out);
    if (!w) return false;
    for (size_t i = 0; i < m; i++) weights_of(w + i * n, (int)i, from, to, rule);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            for (size_t u = 0; u < n; u++)
                for (size_t v = 0; v < n; v++) {
                    double share = w[i * n + u] * w[j * n + v];
                    const double *row = in + (u * n + v) * d;
                    double *sum = out + (i * m + j) * d;
                    for (size_t k = 0; share != 0 && k < d; k++) sum[k] += share * row[k];
                }
    free(w);
    return true;
}

/* Rows [1 + grid^2, d] to be added: positions, and the class itself in row 0. */
static double *token_rows(fv_builder *b, const fv_clip *c)
{
    static const char *const names[2][2] = {
        {"class_embedding", "positional_embedding"},
        {"embeddings.class_embedding", "embeddings.position_embedding.weight"}};
    const char *const *name = names[c->huggingface];
    size_t d = (size_t)c->image.width, tokens = 1 + (size_t)c->grid * (size_t)c->grid;
    int64_t dims[2] = {1 + (int64_t)c->stored_grid * c->stored_grid, c->image.width};
    double *class = fv_load_values(b, name[0], (int64_t[]){c->image.width}, 1);
    double *rows = fv_load_values(b, name[1], dims, 2), *out = NULL;
    if (class && rows && !(out = malloc(tokens * d * sizeof *out)))
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading positions: out of memory"));
    if (out) {
        for (size_t k = 0; k < d; k++) out[k] = rows[k] + class[k];
        if (c->grid == c->stored_grid)
            memcpy(out + d, rows + d, (tokens - 1) * d * sizeof *out);
        else if (!fv_clip_resample(out + d, rows + d, c->stored_grid, c->grid, c->image.width,
                                   c->positions))
            fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "resizing positions: out of memory"));
    }
    free(class);
    free(rows);
    return out;
}

/* A row for the class before all others, and what stands for each place added. */
static fv_ref with_class(fv_builder *b, const fv_clip *c, fv_ref patches)
{
    int tokens = 1 + c->grid * c->grid, d = c->image.width;
    fv_ref moved = selection(b, "tokens.places", tokens, tokens - 1, -1);
    fv_ref x = fv_mix_rows(b->plan, "tokens", patches, moved);
    double *rows = token_rows(b, c), *ones = malloc((size_t)tokens * (size_t)d * sizeof *ones);
    if (!ones) fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading positions: out of memory"));
    for (size_t i = 0; ones && i < (size_t)tokens * (size_t)d; i++) ones[i] = 1;
    fv_shape shape = {1, 1, tokens, d};
    fv_ref scale = fv_plan_weight_f64(b->plan, "embeddings.scale", shape, ones);
    fv_ref shift = fv_plan_weight_f64(b->plan, "embeddings.rows", shape, rows);
    free(rows);
    free(ones);
    return fv_affine(b->plan, "embeddings", x, scale, shift);
}

/* --- the tower --- */

/* [d, 3, P, P], without a bias -> {d, P, P, 3} */
static fv_ref load_patches(fv_builder *b, const char *name, int d, int patch)
{
    fv_ref stored = fv_builder_stored(b, name);
    if (stored != FV_NONE) return stored;
    int64_t dims[4] = {d, 3, patch, patch};
    double *values = fv_load_values(b, name, dims, 4), *packed = NULL;
    size_t area = (size_t)patch * (size_t)patch, n = (size_t)d * 3 * area;
    if (values && !(packed = malloc(n * sizeof *packed)))
        fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "reading %s: out of memory", name));
    for (size_t i = 0; packed && i < n; i++) {
        size_t out = i / (3 * area), colour = i / area % 3, at = i % area;
        packed[(out * area + at) * 3 + colour] = values[i];
    }
    fv_ref r = fv_plan_weight_f64(b->plan, name, (fv_shape){d, patch, patch, 3}, packed);
    free(values);
    free(packed);
    return fv_builder_keep(b, name, r);
}

fv_ref fv_clip_vit_map(fv_builder *b, const fv_clip *c, fv_ref x)
{
    bool hf = c->huggingface;
    fv_clip_enter(b, hf ? "vision_model." : "visual.", "visual.");
    fv_ref w = load_patches(b, hf ? "embeddings.patch_embedding.weight" : "conv1.weight",
                            c->image.width, c->patch);
    if (hf) fv_load_unused(b, "embeddings.position_ids");
    fv_conv_attr a = {.k = c->patch, .stride = c->patch};
    x = with_class(b, c, fv_conv2d(b->plan, "conv1", x, w, FV_NONE, a, FV_ACT_NONE));
    fv_layer norm = fv_load_norm(b, hf ? "pre_layrnorm" : "ln_pre", c->image.width);
    x = fv_layernorm(b->plan, "ln_pre", x, norm.w, norm.b, c->image.eps);
    x = fv_clip_layers(b, c, &c->image, false, x);
    fv_leave(b);
    return x;
}

fv_ref fv_clip_vit_head(fv_builder *b, const fv_clip *c, fv_ref map, fv_ref bias)
{
    bool hf = c->huggingface;
    fv_clip_enter(b, hf ? "vision_model." : "visual.", "visual.");
    fv_ref x = bias == FV_NONE ? fv_clip_row(b, "class", map, 0)
                               : fv_weighted_mean(b->plan, "patches", map, bias);
    fv_layer norm = fv_load_norm(b, hf ? "post_layernorm" : "ln_post", c->image.width);
    x = fv_layernorm(b->plan, "ln_post", x, norm.w, norm.b, c->image.eps);
    fv_leave(b);
    fv_clip_enter(b, hf ? "" : "visual.", "visual.");
    x = fv_clip_project(b, hf ? "visual_projection" : "proj", hf, x);
    fv_leave(b);
    return x;
}
