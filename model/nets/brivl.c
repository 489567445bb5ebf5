/* BriVL's towers on the plan, and the checks that cfg, checkpoint and vocabulary fit. See
 * brivl.h; the cfg is read in brivl_config.c. */
#include "model/nets/brivl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BERT "textencoder.backbone.bert." /* its path in the checkpoint */

static const double unit_eps = 1e-12; /* of every L2 norm: torch.nn.functional.normalize's */

/* --- image tower --- */

fv_ref fv_brivl_map(fv_builder *b, const fv_brivl_config *c, fv_ref x)
{
    fv_efficientnet net;
    fv_status status = fv_brivl_trunk(&net, c);
    if (status < 0) return fv_plan_fail(b->plan, status);
    fv_enter(b, "imgencoder.backbone.");
    fv_ref map = fv_efficientnet_build(b, &net, x);
    fv_leave(b);
    return map;
}

/* Adds `share` of the bilinear sample at (px, py) to a row over side x side positions; what lies
 * outside the map is zero. */
static void add_sample(double *row, int side, double px, double py, double share)
{
    int x0 = (int)floor(px), y0 = (int)floor(py);
    for (int dy = 0; dy < 2; dy++) {
        for (int dx = 0; dx < 2; dx++) {
            int x = x0 + dx, y = y0 + dy;
            if (x < 0 || y < 0 || x >= side || y >= side) continue;
            double wx = dx ? px - x0 : 1 - (px - x0), wy = dy ? py - y0 : 1 - (py - y0);
            row[(size_t)y * (size_t)side + (size_t)x] += share * wx * wy;
        }
    }
}

/* Where sample k of a box edge [low, high] (map units) falls. The position in [-1, 1] is that of
 * align_corners = True, the way back to map units that of False: as the official code has it. */
static double sample_position(double low, double high, int k, int grid_size, int side)
{
    double u = (2.0 * k + 1.0) / grid_size - 1.0;
    double g = (high - low) / (side - 1) * u + (low + high - side + 1) / (side - 1);
    return ((g + 1) * side - 1) / 2;
}

static void add_box(double *row, int side, int grid_size, double x1, double y1, double x2,
                    double y2)
{
    double share = 1.0 / ((double)grid_size * grid_size);
    for (int v = 0; v < grid_size; v++)
        for (int u = 0; u < grid_size; u++)
            add_sample(row, side, sample_position(x1, x2, u, grid_size, side),
                       sample_position(y1, y2, v, grid_size, side), share);
}

void fv_brivl_mspp(double *matrix, int box_grid, int grid_size, int image_size, int side)
{
    size_t positions = (size_t)side * (size_t)side;
    double ratio = (double)image_size / side; /* pixels a map unit */
    double step = (double)image_size / box_grid;
    memset(matrix, 0, ((size_t)box_grid * (size_t)box_grid + 1) * positions * sizeof *matrix);
    for (int i = 0; i < box_grid; i++)
        for (int j = 0; j < box_grid; j++, matrix += positions)
            add_box(matrix, side, grid_size, i * step / ratio, j * step / ratio,
                    (i + 1) * step / ratio, (j + 1) * step / ratio);
    add_box(matrix, side, grid_size, 0, 0, side, side);
}

static fv_ref mspp_matrix(fv_builder *b, const fv_brivl_config *c, fv_shape map)
{
    if (map.h != map.w || map.h < 2)
        return fv_plan_fail(b->plan,
                            fv_fail(FV_ERR_SHAPE,
                                    "MSPP: the map is %d x %d, expected a square of 2 x 2 or "
                                    "more (is IMG_SIZE too small?)",
                                    map.h, map.w));
    int boxes = c->box_grid * c->box_grid + 1;
    fv_shape shape = {1, 1, boxes, map.h * map.w};
    if (b->source->noted) return fv_plan_weight_f64(b->plan, "mspp.matrix", shape, NULL);
    double *values = malloc(fv_count(shape) * sizeof *values);
    if (!values) return fv_plan_fail(b->plan, fv_fail(FV_ERR_MEMORY, "MSPP: out of memory"));
    fv_brivl_mspp(values, c->box_grid, c->grid_size, c->image_size, map.h);
    fv_ref r = fv_plan_weight_f64(b->plan, "mspp.matrix", shape, values);
    free(values);
    return r;
}

/* fc2(relu(fc1(x))) under the current scope. */
static fv_ref mlp(fv_builder *b, const char *name, fv_ref x)
{
    fv_enter(b, "%s.", name);
    fv_layer fc1 = fv_load_linear(b, "fc1", 0, fv_plan_shape(b->plan, x).c);
    fv_ref hidden = fv_linear(b->plan, "fc1", x, fc1.w, fc1.b, FV_ACT_RELU);
    fv_layer fc2 = fv_load_linear(b, "fc2", 0, fv_plan_shape(b->plan, hidden).c);
    fv_ref y = fv_linear(b->plan, "fc2", hidden, fc2.w, fc2.b, FV_ACT_NONE);
    fv_leave(b);
    return y;
}

static fv_ref build_head(fv_builder *b, const fv_brivl_config *c, fv_ref map, fv_ref bias)
{
    fv_enter(b, "imgencoder.learnable.");
    fv_ref boxes =
        fv_mix_rows(b->plan, "mspp", map, mspp_matrix(b, c, fv_plan_shape(b->plan, map)));
    fv_layer project = fv_load_linear(b, "max_pool.0", c->image_dim, fv_plan_shape(b->plan, map).c);
    fv_ref x = fv_linear(b->plan, "max_pool.0", boxes, project.w, project.b, FV_ACT_NONE);
    x = fv_l2norm(b->plan, "tokens", x, unit_eps);
    fv_enter(b, "imgAtt.");
    x = fv_torch_encoder(b, x, c->image_layers, c->image_heads, bias);
    fv_leave(b);
    x = bias == FV_NONE ? fv_mean_hw(b->plan, "pooled", x)
                        : fv_weighted_mean(b->plan, "pooled", x, bias);
    x = mlp(b, "imgFC", x);
    fv_leave(b);
    return fv_l2norm(b->plan, "image_embedding", x, unit_eps);
}

fv_ref fv_brivl_image_head(fv_builder *b, const fv_brivl_config *c, fv_ref map)
{
    return build_head(b, c, map, FV_NONE);
}

fv_ref fv_brivl_image_place(fv_builder *b, const fv_brivl_config *c, fv_ref map, fv_ref bias)
{
    return build_head(b, c, map, bias);
}

/* --- text tower --- */

/* The cfg does not say how many layers BERT has: as many as the checkpoint has tensors of. */
static int bert_layers(const fv_source *s)
{
    enum { MOST = 1024 };
    char before[FV_SOURCE_NAME];
    fv_source_name(before, s, BERT, "encoder.layer.");
    size_t skip = strlen(before);
    long layers = 1; /* or it is no BERT */
    for (size_t i = 0; i < fv_weights_count(s->weights); i++) {
        const char *name = fv_weights_at(s->weights, i)->name;
        if (strncmp(name, before, skip) != 0) continue;
        long n = strtol(name + skip, NULL, 10);
        if (n >= layers && n < MOST) layers = n + 1;
    }
    return (int)layers;
}

fv_ref fv_brivl_text(fv_builder *b, const fv_brivl_config *c, int length, fv_text_inputs *inputs)
{
    fv_bert bert = {bert_layers(b->source), c->bert_heads, c->text_dim, c->bert_eps};
    fv_shape shape = {1, 1, 1, length};
    inputs->ids = fv_plan_input(b->plan, "ids", shape, FV_I32);
    inputs->key_bias = fv_plan_input(b->plan, "key_bias", shape, FV_REAL);
    inputs->pool = fv_plan_input(b->plan, "token_mean", shape, FV_REAL);

    fv_enter(b, BERT);
    fv_ref x = fv_bert_build(b, &bert, inputs->ids);
    fv_leave(b);
    fv_enter(b, "textencoder.learnable.");
    x = fv_l2norm(b->plan, "tokens", x, unit_eps);
    fv_enter(b, "textAtt.");
    x = fv_torch_encoder(b, x, c->text_layers, c->text_heads, inputs->key_bias);
    fv_leave(b);
    x = mlp(b, "textFC", fv_mix_rows(b->plan, "pooled", x, inputs->pool));
    fv_leave(b);
    return fv_l2norm(b->plan, "text_embedding", x, unit_eps);
}

/* --- opening --- */

/* The shortest text before "imgencoder.backbone.conv_stem.weight" in the tensors' names. */
fv_status fv_brivl_root(const fv_weights *w, char **out)
{
    static const char stem[] = "imgencoder.backbone.conv_stem.weight";
    const char *best = NULL;
    size_t best_length = 0;
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const char *name = fv_weights_at(w, i)->name;
        size_t n = strlen(name);
        if (n < sizeof stem - 1 || strcmp(name + n - (sizeof stem - 1), stem) != 0) continue;
        n -= sizeof stem - 1;
        if (n && name[n - 1] != '.') continue;
        if (!best || n < best_length) {
            best = name;
            best_length = n;
        }
    }
    if (!best)
        return fv_fail(FV_ERR_FORMAT,
                       "checkpoint %s (%s, %zu tensors): no tensor %s, so it is not a BriVL",
                       fv_weights_path(w), fv_weights_format(w), fv_weights_count(w), stem);
    *out = strndup(best, best_length);
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "opening a checkpoint: out of memory");
}

/* Rows of a matrix, 0 if it is missing. */
static int64_t rows_of(const fv_source *s, const char *name)
{
    char full[FV_SOURCE_NAME];
    fv_source_name(full, s, "", name);
    const fv_entry *e = fv_weights_find(s->weights, full);
    return e && e->ndim >= 1 ? e->dims[0] : 0;
}

/* A checkpoint with more layers than the cfg would load, and quietly compute something else. */
static fv_status check_layers(const fv_brivl *m, const char *block, int layers, const char *key)
{
    char name[128];
    snprintf(name, sizeof name, "%s.layers.%d.linear1.weight", block, layers);
    if (rows_of(&m->base.source, name))
        return fv_fail(FV_ERR_SHAPE, "cfg %s: %s is %d, but checkpoint %s has %s%s", m->config.path,
                       key, layers, fv_weights_path(m->weights), m->base.source.root, name);
    return FV_OK;
}

static fv_status need_rows(const fv_source *s, const char *name, int64_t *rows)
{
    char full[FV_SOURCE_NAME];
    const fv_entry *e;
    fv_source_name(full, s, "", name);
    FV_TRY(fv_weights_need(s->weights, full, &e));
    *rows = e->ndim == 2 ? e->dims[0] : 0;
    if (*rows >= 1 && *rows <= FV_LARGEST_SIZE) return FV_OK;
    return fv_fail(FV_ERR_SHAPE, "checkpoint %s: %s is not a matrix of sensible size",
                   fv_weights_path(s->weights), full);
}

static fv_status check_model(fv_brivl *m)
{
    fv_network *n = &m->base;
    fv_efficientnet net;
    FV_TRY(fv_brivl_trunk(&net, &m->config));
    n->map_side = (m->config.image_size + 31) / 32;
    n->map_channels = net.head;
    int boxes = m->config.box_grid;
    n->places = (fv_place_grid){boxes, boxes * boxes + 1, 0, true};
    n->corners = net.lite;
    int64_t image = rows_of(&n->source, "imgencoder.learnable.imgFC.fc2.weight");
    int64_t text = rows_of(&n->source, "textencoder.learnable.textFC.fc2.weight");
    if (image != text || image < 1 || image > 1 << 20)
        return fv_fail(FV_ERR_SHAPE,
                       "checkpoint %s: imgFC.fc2 has %lld rows and textFC.fc2 %lld, expected two "
                       "equal numbers",
                       fv_weights_path(m->weights), (long long)image, (long long)text);
    n->dim = (int)image;
    FV_TRY(check_layers(m, "imgencoder.learnable.imgAtt", m->config.image_layers,
                        "IMG_TRANSFORMER_LAYER"));
    FV_TRY(check_layers(m, "textencoder.learnable.textAtt", m->config.text_layers,
                        "TEXT_TRANSFORMER_LAYER"));
    int64_t ids, positions;
    FV_TRY(need_rows(&n->source, BERT "embeddings.word_embeddings.weight", &ids));
    FV_TRY(need_rows(&n->source, BERT "embeddings.position_embeddings.weight", &positions));
    n->ids = (int)ids;
    if (positions < m->config.text_limit)
        return fv_fail(FV_ERR_SHAPE,
                       "cfg %s: MAX_TEXT_LEN is %d, but the checkpoint has only %d "
                       "positions",
                       m->config.path, m->config.text_limit, (int)positions);
    if (m->vocabulary && fv_vocab_size(m->vocabulary) > n->ids)
        return fv_fail(FV_ERR_SHAPE,
                       "the vocabulary has %d pieces, but the text tower of %s only %d: it belongs "
                       "to another model",
                       fv_vocab_size(m->vocabulary), fv_weights_path(m->weights), n->ids);
    return FV_OK;
}

static void describe_config(fv_brivl *m)
{
    fv_network *n = &m->base;
    const fv_brivl_config *c = &m->config;
    n->title = c->title ? c->title : "BriVL";
    n->license = c->license;
    n->config = c->path;
    n->words = c->words;
    n->image_size = c->image_size;
    memcpy(n->mean, c->mean, sizeof n->mean);
    memcpy(n->std, c->std, sizeof n->std);
    n->text_limit = c->text_limit;
    n->text_length = c->text_limit < 32 ? c->text_limit : 32; /* the official example's */
}

static fv_status open_parts(fv_brivl *m, const fv_network_files *f)
{
    FV_TRY(fv_brivl_config_read(&m->config, f->config));
    const char *checkpoint = f->checkpoint ? f->checkpoint : m->config.checkpoint;
    const char *vocabulary = f->vocabulary ? f->vocabulary : m->config.vocabulary;
    if (!checkpoint)
        return fv_fail(FV_ERR_ARGUMENT,
                       "cfg %s names no checkpoint: give one with --checkpoint FILE", f->config);
    FV_TRY(fv_weights_open(&m->weights, checkpoint));
    FV_TRY(fv_brivl_root(m->weights, &m->root));
    m->base.source = (fv_source){.weights = m->weights, .root = m->root, .momentum = f->momentum};
    if (f->momentum && !rows_of(&m->base.source, "imgencoder.backbone.conv_stem.weight"))
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s has no momentum towers (imgencoder_mom)",
                       fv_weights_path(m->weights));
    describe_config(m);
    if (f->unchecked) return FV_OK;
    if (vocabulary) FV_TRY(fv_vocab_open(&m->vocabulary, vocabulary));
    if (m->vocabulary) m->base.vocabulary_size = fv_vocab_size(m->vocabulary);
    if (vocabulary && !(m->vocabulary_path = strdup(vocabulary)))
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", f->config);
    m->base.vocabulary = m->vocabulary_path;
    return check_model(m);
}

fv_status fv_brivl_open(fv_brivl **out, const fv_network_files *files)
{
    fv_brivl *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->config);
    m->base.kind = &fv_brivl_kind;
    fv_status s = open_parts(m, files);
    if (s < 0) {
        m->base.kind->close(&m->base);
        return s;
    }
    *out = m;
    return FV_OK;
}

/* --- the row --- */

static const fv_brivl *brivl_of(const fv_network *n)
{
    return (const fv_brivl *)(const void *)n;
}

static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    (void)w;
    *mine = files->config != NULL; /* what is in it, the cfg says */
    return FV_OK;
}

static fv_status open_row(fv_network **out, const fv_network_files *files)
{
    fv_brivl *m;
    FV_TRY(fv_brivl_open(&m, files));
    *out = &m->base;
    return FV_OK;
}

static void close_row(fv_network *n)
{
    fv_brivl *m = (fv_brivl *)(void *)n;
    fv_brivl_config_clear(&m->config);
    free(m->root);
    free(m->vocabulary_path);
    fv_vocab_free(m->vocabulary);
    fv_weights_close(m->weights);
    free(m);
}

static fv_ref map_row(fv_builder *b, const fv_network *n, fv_ref normalised)
{
    return fv_brivl_map(b, &brivl_of(n)->config, normalised);
}

static fv_ref head_row(fv_builder *b, const fv_network *n, fv_ref map)
{
    return fv_brivl_image_head(b, &brivl_of(n)->config, map);
}

static fv_ref place_row(fv_builder *b, const fv_network *n, fv_ref map, fv_ref bias)
{
    return fv_brivl_image_place(b, &brivl_of(n)->config, map, bias);
}

static fv_ref text_row(fv_builder *b, const fv_network *n, int length, fv_text_inputs *inputs)
{
    return fv_brivl_text(b, &brivl_of(n)->config, length, inputs);
}

static fv_status tokenise(const fv_network *n, const char *utf8, int length, fv_tokens *out)
{
    return fv_tokenize(brivl_of(n)->vocabulary, utf8, length, out);
}

/* Padding is masked in textAtt, and takes no part in the mean. */
static void text_rows(const int32_t *ids, int length, int used, float *key_bias, float *pool)
{
    (void)ids;
    for (int i = 0; i < length; i++) key_bias[i] = i < used ? 0.0f : -1e9f;
    for (int i = 0; i < length; i++) pool[i] = i < used ? 1.0f / (float)used : 0.0f;
}

static void describe(const fv_network *n, char *out, size_t size)
{
    const fv_brivl_config *c = &brivl_of(n)->config;
    fv_efficientnet net;
    char end[64] = "";
    if ((c->last_expanded || c->last_channels || c->head) && fv_brivl_trunk(&net, c) >= 0)
        snprintf(end, sizeof end, " (at its end %d, %d, %d channels)", net.last.expanded,
                 net.last.channels, net.head);
    snprintf(out, size, "%s%s at %d x %d pixels, %d boxes", c->cnn, end, c->image_size,
             c->image_size, c->box_grid * c->box_grid + 1);
}

const fv_network_kind fv_brivl_kind = {.name = "brivl",
                                       .detect = detect,
                                       .open = open_row,
                                       .close = close_row,
                                       .map = map_row,
                                       .head = head_row,
                                       .place = place_row,
                                       .text = text_row,
                                       .tokenise = tokenise,
                                       .text_rows = text_rows,
                                       .describe = describe};
