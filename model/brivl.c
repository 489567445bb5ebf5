/* BriVL's towers on the plan, and the checks that cfg, checkpoint and vocabulary fit. See
 * brivl.h; the cfg is read in brivl_config.c. */
#include "model/brivl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double unit_eps = 1e-12; /* of every L2 norm: torch.nn.functional.normalize's */

/* --- image tower --- */

fv_ref fv_brivl_normalise(fv_plan *p, const fv_brivl_config *c, fv_ref pixels)
{
    float scale[3], shift[3];
    for (int i = 0; i < 3; i++) {
        scale[i] = 1.0f / c->std[i];
        shift[i] = -c->mean[i] / c->std[i];
    }
    fv_ref w = fv_plan_weight(p, "normalise.scale", (fv_shape){1, 1, 1, 3}, scale);
    fv_ref b = fv_plan_weight(p, "normalise.shift", (fv_shape){1, 1, 1, 3}, shift);
    return fv_affine(p, "normalised", pixels, w, b);
}

fv_ref fv_brivl_map(fv_plan *p, const fv_source *s, const fv_brivl_config *c, fv_ref x)
{
    fv_efficientnet net;
    fv_status status = fv_efficientnet_named(&net, c->cnn);
    if (status < 0) return fv_plan_fail(p, status);
    fv_plan_push(p, "imgencoder.backbone.");
    fv_ref map = fv_efficientnet_build(p, s, &net, x);
    fv_plan_pop(p);
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

static fv_ref mspp_matrix(fv_plan *p, const fv_brivl_config *c, fv_shape map)
{
    if (map.h != map.w || map.h < 2)
        return fv_plan_fail(p, fv_fail(FV_ERR_SHAPE,
                                       "MSPP: the map is %d x %d, expected a square of 2 x 2 or "
                                       "more (is IMG_SIZE too small?)",
                                       map.h, map.w));
    int boxes = c->box_grid * c->box_grid + 1;
    double *values = malloc((size_t)boxes * (size_t)map.h * (size_t)map.w * sizeof *values);
    if (!values) return fv_plan_fail(p, fv_fail(FV_ERR_MEMORY, "MSPP: out of memory"));
    fv_brivl_mspp(values, c->box_grid, c->grid_size, c->image_size, map.h);
    fv_ref r = fv_plan_weight_f64(p, "mspp.matrix", (fv_shape){1, 1, boxes, map.h * map.w}, values);
    free(values);
    return r;
}

/* fc2(relu(fc1(x))) under the current scope. */
static fv_ref mlp(fv_plan *p, const fv_source *s, const char *name, fv_ref x)
{
    fv_plan_push(p, "%s.", name);
    fv_layer fc1 = fv_load_linear(p, s, "fc1", 0, fv_plan_shape(p, x).c);
    fv_ref hidden = fv_linear(p, "fc1", x, fc1.w, fc1.b, FV_ACT_RELU);
    fv_layer fc2 = fv_load_linear(p, s, "fc2", 0, fv_plan_shape(p, hidden).c);
    fv_ref y = fv_linear(p, "fc2", hidden, fc2.w, fc2.b, FV_ACT_NONE);
    fv_plan_pop(p);
    return y;
}

fv_ref fv_brivl_image_head(fv_plan *p, const fv_source *s, const fv_brivl_config *c, fv_ref map)
{
    fv_plan_push(p, "imgencoder.learnable.");
    fv_ref boxes = fv_mix_rows(p, "mspp", map, mspp_matrix(p, c, fv_plan_shape(p, map)));
    fv_layer project = fv_load_linear(p, s, "max_pool.0", 0, fv_plan_shape(p, map).c);
    fv_ref x = fv_linear(p, "max_pool.0", boxes, project.w, project.b, FV_ACT_NONE);
    x = fv_l2norm(p, "tokens", x, unit_eps);
    fv_plan_push(p, "imgAtt.");
    x = fv_torch_encoder(p, s, x, c->image_layers, c->image_heads, FV_NONE);
    fv_plan_pop(p);
    x = mlp(p, s, "imgFC", fv_mean_hw(p, "pooled", x));
    fv_plan_pop(p);
    return fv_l2norm(p, "image_embedding", x, unit_eps);
}

/* --- text tower --- */

static const fv_entry *bert_entry(const fv_source *s, const char *name)
{
    char full[FV_SOURCE_NAME];
    fv_source_name(full, s, "textencoder.backbone.bert.", name);
    const fv_entry *e;
    (void)fv_weights_need(s->weights, full, &e); /* the message is the caller's */
    return e;
}

/* BERT's sizes from its weights; heads and epsilon cannot be seen there and come from the cfg. */
static fv_status bert_sizes(fv_bert *out, const fv_source *s, const fv_brivl_config *c)
{
    const fv_entry *words = bert_entry(s, "embeddings.word_embeddings.weight");
    const fv_entry *rows = words ? bert_entry(s, "embeddings.position_embeddings.weight") : NULL;
    const fv_entry *wide = rows ? bert_entry(s, "encoder.layer.0.intermediate.dense.weight") : NULL;
    if (!wide) return FV_ERR_FORMAT;
    if (words->ndim != 2 || rows->ndim != 2 || wide->ndim != 2 || words->dims[0] > 1 << 24 ||
        words->dims[1] > 1 << 16 || rows->dims[0] > 1 << 20 || wide->dims[0] > 1 << 20)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: %s, %s or %s is not a matrix of sensible size",
                       fv_weights_path(s->weights), words->name, rows->name, wide->name);
    *out = (fv_bert){.vocabulary = (int)words->dims[0],
                     .hidden = (int)words->dims[1],
                     .positions = (int)rows->dims[0],
                     .intermediate = (int)wide->dims[0],
                     .heads = c->bert_heads ? c->bert_heads : (int)(words->dims[1] / 64),
                     .eps = c->bert_eps};
    char name[64];
    for (bool more = true; more; out->layers += more) {
        snprintf(name, sizeof name, "encoder.layer.%d.output.dense.weight", out->layers);
        char full[FV_SOURCE_NAME];
        fv_source_name(full, s, "textencoder.backbone.bert.", name);
        more = fv_weights_find(s->weights, full) != NULL;
    }
    return FV_OK;
}

fv_ref fv_brivl_text(fv_plan *p, const fv_source *s, const fv_brivl_config *c, int length,
                     fv_text_inputs *inputs)
{
    fv_bert bert;
    fv_status status = bert_sizes(&bert, s, c);
    if (status < 0) return fv_plan_fail(p, status);
    fv_shape shape = {1, 1, 1, length};
    inputs->ids = fv_plan_input(p, "ids", shape, FV_I32);
    inputs->key_bias = fv_plan_input(p, "key_bias", shape, FV_REAL);
    inputs->mean = fv_plan_input(p, "token_mean", shape, FV_REAL);

    fv_plan_push(p, "textencoder.backbone.bert.");
    fv_ref x = fv_bert_build(p, s, &bert, inputs->ids);
    fv_plan_pop(p);
    fv_plan_push(p, "textencoder.learnable.");
    x = fv_l2norm(p, "tokens", x, unit_eps);
    fv_plan_push(p, "textAtt.");
    x = fv_torch_encoder(p, s, x, c->text_layers, c->text_heads, inputs->key_bias);
    fv_plan_pop(p);
    x = mlp(p, s, "textFC", fv_mix_rows(p, "pooled", x, inputs->mean));
    fv_plan_pop(p);
    return fv_l2norm(p, "text_embedding", x, unit_eps);
}

struct fv_text_encoder {
    const fv_brivl *model;
    fv_plan *plan;
    fv_text_inputs inputs;
    fv_ref embedding;
    int length, vocabulary;
    float *row; /* [length] */
};

int fv_brivl_text_length(const fv_brivl *m)
{
    return m->config.text_limit < 32 ? m->config.text_limit : 32;
}

fv_status fv_text_encoder_open(fv_text_encoder **out, const fv_brivl *m, fv_backend *be, int length)
{
    if (length == 0) length = fv_brivl_text_length(m);
    if (length < 2 || length > m->config.text_limit)
        return fv_fail(FV_ERR_ARGUMENT, "text length %d: expected 2 to %d (MAX_TEXT_LEN of %s)",
                       length, m->config.text_limit, m->config.path);
    fv_text_encoder *e = calloc(1, sizeof *e);
    if (!e) return fv_fail(FV_ERR_MEMORY, "opening the text tower: out of memory");
    fv_bert bert;
    e->model = m;
    e->length = length;
    e->row = malloc((size_t)length * sizeof *e->row);
    fv_status s = e->row ? bert_sizes(&bert, &m->source, &m->config)
                         : fv_fail(FV_ERR_MEMORY, "opening the text tower: out of memory");
    if (s >= 0) s = fv_plan_new(&e->plan, be);
    if (s >= 0) {
        e->vocabulary = bert.vocabulary;
        e->embedding = fv_brivl_text(e->plan, &m->source, &m->config, length, &e->inputs);
        fv_plan_output(e->plan, e->embedding);
        s = fv_plan_finish(e->plan, FV_PLAN_FORWARD | FV_PLAN_WHOLE);
    }
    if (s < 0) {
        fv_text_encoder_close(e);
        return s;
    }
    *out = e;
    return FV_OK;
}

void fv_text_encoder_close(fv_text_encoder *e)
{
    if (!e) return;
    fv_plan_free(e->plan);
    free(e->row);
    free(e);
}

fv_plan *fv_text_encoder_plan(fv_text_encoder *e)
{
    return e->plan;
}

fv_status fv_text_encode_ids(fv_text_encoder *e, const int32_t *ids, int used, float *embedding)
{
    if (used < 1 || used > e->length)
        return fv_fail(FV_ERR_ARGUMENT, "embedding ids: %d used of %d", used, e->length);
    for (int i = 0; i < e->length; i++)
        if (ids[i] < 0 || ids[i] >= e->vocabulary)
            return fv_fail(FV_ERR_ARGUMENT, "token %d has id %d, the vocabulary has 0 to %d", i,
                           ids[i], e->vocabulary - 1);
    FV_TRY(fv_plan_upload_i32(e->plan, e->inputs.ids, ids));
    for (int i = 0; i < e->length; i++) e->row[i] = i < used ? 0.0f : -1e9f;
    FV_TRY(fv_plan_upload(e->plan, e->inputs.key_bias, e->row));
    for (int i = 0; i < e->length; i++) e->row[i] = i < used ? 1.0f / (float)used : 0.0f;
    FV_TRY(fv_plan_upload(e->plan, e->inputs.mean, e->row));
    FV_TRY(fv_plan_forward(e->plan));
    return fv_plan_download(e->plan, e->embedding, embedding);
}

fv_status fv_text_encode(fv_text_encoder *e, const char *utf8, float *embedding, fv_tokens *tokens)
{
    if (!e->model->vocabulary)
        return fv_fail(FV_ERR_ARGUMENT, "embedding text: the model was opened without vocabulary");
    fv_tokens t;
    FV_TRY(fv_tokenize(e->model->vocabulary, utf8, e->length, &t));
    fv_status s = fv_text_encode_ids(e, t.ids, t.used, embedding);
    if (s >= 0 && tokens)
        *tokens = t;
    else
        fv_tokens_free(&t);
    return s;
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

/* Rows of a two-dimensional tensor, 0 if it is missing. */
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
    if (rows_of(&m->source, name))
        return fv_fail(FV_ERR_SHAPE, "cfg %s: %s is %d, but checkpoint %s has %s%s", m->config.path,
                       key, layers, fv_weights_path(m->weights), m->source.root, name);
    return FV_OK;
}

static fv_status check_model(fv_brivl *m)
{
    fv_efficientnet net;
    FV_TRY(fv_efficientnet_named(&net, m->config.cnn));
    m->map_side = (m->config.image_size + 31) / 32;
    m->map_channels = net.head;
    int64_t image = rows_of(&m->source, "imgencoder.learnable.imgFC.fc2.weight");
    int64_t text = rows_of(&m->source, "textencoder.learnable.textFC.fc2.weight");
    if (image != text || image < 1 || image > 1 << 20)
        return fv_fail(FV_ERR_SHAPE,
                       "checkpoint %s: imgFC.fc2 has %lld rows and textFC.fc2 %lld, expected two "
                       "equal numbers",
                       fv_weights_path(m->weights), (long long)image, (long long)text);
    m->dim = (int)image;
    FV_TRY(check_layers(m, "imgencoder.learnable.imgAtt", m->config.image_layers,
                        "IMG_TRANSFORMER_LAYER"));
    FV_TRY(check_layers(m, "textencoder.learnable.textAtt", m->config.text_layers,
                        "TEXT_TRANSFORMER_LAYER"));
    fv_bert bert;
    FV_TRY(bert_sizes(&bert, &m->source, &m->config));
    if (bert.positions < m->config.text_limit)
        return fv_fail(FV_ERR_SHAPE,
                       "cfg %s: MAX_TEXT_LEN is %d, but the checkpoint has only %d "
                       "positions",
                       m->config.path, m->config.text_limit, bert.positions);
    if (m->vocabulary && fv_vocab_size(m->vocabulary) > bert.vocabulary)
        return fv_fail(FV_ERR_SHAPE,
                       "the vocabulary has %d pieces, but the text tower of %s only %d: it belongs "
                       "to another model",
                       fv_vocab_size(m->vocabulary), fv_weights_path(m->weights), bert.vocabulary);
    return FV_OK;
}

static fv_status open_parts(fv_brivl *m, const char *config, const char *checkpoint,
                            const char *vocabulary, bool need_vocabulary)
{
    FV_TRY(fv_brivl_config_read(&m->config, config));
    if (!checkpoint) checkpoint = m->config.checkpoint;
    if (!vocabulary) vocabulary = m->config.vocabulary;
    if (!checkpoint)
        return fv_fail(FV_ERR_ARGUMENT,
                       "cfg %s names no checkpoint: give one with --checkpoint FILE", config);
    if (!vocabulary && need_vocabulary)
        return fv_fail(FV_ERR_ARGUMENT,
                       "cfg %s names no vocabulary: give its vocab.txt with --vocab FILE", config);
    FV_TRY(fv_weights_open(&m->weights, checkpoint));
    char *root;
    FV_TRY(fv_brivl_root(m->weights, &root));
    m->source = (fv_source){.weights = m->weights, .root = root};
    if (vocabulary) FV_TRY(fv_vocab_open(&m->vocabulary, vocabulary));
    return check_model(m);
}

fv_status fv_brivl_open(fv_brivl **out, const char *config, const char *checkpoint,
                        const char *vocabulary, bool need_vocabulary)
{
    fv_brivl *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", config);
    fv_status s = open_parts(m, config, checkpoint, vocabulary, need_vocabulary);
    if (s < 0) {
        fv_brivl_close(m);
        return s;
    }
    *out = m;
    return FV_OK;
}

fv_status fv_brivl_use_momentum(fv_brivl *m)
{
    m->source.momentum = true;
    if (!rows_of(&m->source, "imgencoder.backbone.conv_stem.weight"))
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s has no momentum towers (imgencoder_mom)",
                       fv_weights_path(m->weights));
    return check_model(m);
}

void fv_brivl_close(fv_brivl *m)
{
    if (!m) return;
    fv_brivl_config_clear(&m->config);
    free((char *)m->source.root);
    fv_vocab_free(m->vocabulary);
    fv_weights_close(m->weights);
    free(m);
}
