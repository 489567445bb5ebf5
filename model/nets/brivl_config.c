/* The official eval.yml (a MODEL map) and our additions to it. See brivl.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/files/yaml.h"
#include "model/nets/brivl.h"

static fv_status copy_text(char **out, const char *text)
{
    *out = strdup(text);
    return *out ? FV_OK : fv_fail(FV_ERR_MEMORY, "reading a cfg: out of memory");
}

/* `name`, or, if it is relative, beside the file `base`. */
static fv_status beside(char **out, const char *base, const char *name)
{
    const char *slash = name[0] == '/' ? NULL : strrchr(base, '/');
    int folder = slash ? (int)(slash - base) + 1 : 0;
    if (asprintf(out, "%.*s%s", folder, base, name) >= 0) return FV_OK;
    *out = NULL;
    return fv_fail(FV_ERR_MEMORY, "reading a cfg: out of memory");
}

static fv_status read_int(const fv_yaml *doc, const fv_yaml_node *map, const char *key, int low,
                          int high, bool required, int *out)
{
    if (!fv_yaml_find(map, key)) {
        if (!required) return FV_OK;
        return fv_fail(FV_ERR_FORMAT, "cfg %s: MODEL has no %s", fv_yaml_name(doc), key);
    }
    FV_TRY(fv_yaml_int(doc, map, key, out));
    if (*out < low || *out > high)
        return fv_fail(FV_ERR_FORMAT, "cfg %s: %s is %d, expected %d to %d", fv_yaml_name(doc), key,
                       *out, low, high);
    return FV_OK;
}

/* heads and epsilon of BERT from ENCODER/config.json. An ENCODER that is no folder here (a name
 * on a hub) leaves the defaults, which are those of BERT. */
static fv_status read_encoder(fv_brivl_config *c, const char *encoder)
{
    char *folder, *path = NULL;
    FV_TRY(beside(&folder, c->path, encoder));
    fv_status s = FV_OK;
    if (asprintf(&path, "%s/config.json", folder) < 0) {
        path = NULL;
        s = fv_fail(FV_ERR_MEMORY, "reading a cfg: out of memory");
    }
    if (s >= 0 && access(path, R_OK) == 0) {
        fv_yaml *doc = NULL;
        s = fv_yaml_open(&doc, path);
        const fv_yaml_node *map = s >= 0 ? fv_yaml_root(doc) : NULL;
        if (s >= 0 && !fv_yaml_is_map(map))
            s = fv_fail(FV_ERR_FORMAT, "%s is not a map of settings", path);
        if (s >= 0) s = read_int(doc, map, "num_attention_heads", 1, 1024, false, &c->bert_heads);
        if (s >= 0) s = fv_yaml_double(doc, map, "layer_norm_eps", &c->bert_eps);
        if (s >= 0 && !(c->bert_eps > 0 && c->bert_eps < 1))
            s = fv_fail(FV_ERR_FORMAT, "%s: layer_norm_eps is %g, expected 0 to 1", path,
                        c->bert_eps);
        fv_yaml_free(doc);
    }
    free(path);
    path = NULL;
    if (s >= 0 && !c->vocabulary) {
        if (asprintf(&path, "%s/vocab.txt", folder) < 0)
            s = fv_fail(FV_ERR_MEMORY, "reading a cfg: out of memory");
        else if (access(path, R_OK) == 0)
            c->vocabulary = path;
        else
            free(path);
    }
    free(folder);
    return s;
}

static fv_status read_texts(fv_brivl_config *c, const fv_yaml *doc, const fv_yaml_node *map)
{
    const char *cnn = NULL, *title = NULL, *license = NULL, *checkpoint = NULL, *vocabulary = NULL,
               *words = NULL;
    const char *encoder = NULL;
    FV_TRY(fv_yaml_string(doc, map, "CNN", &cnn));
    FV_TRY(fv_yaml_string(doc, map, "TITLE", &title));
    FV_TRY(fv_yaml_string(doc, map, "LICENSE", &license));
    FV_TRY(fv_yaml_string(doc, map, "CHECKPOINT", &checkpoint));
    FV_TRY(fv_yaml_string(doc, map, "VOCAB", &vocabulary));
    FV_TRY(fv_yaml_string(doc, map, "WORDS", &words));
    FV_TRY(fv_yaml_string(doc, map, "ENCODER", &encoder));
    if (!cnn) return fv_fail(FV_ERR_FORMAT, "cfg %s: MODEL has no CNN", c->path);
    FV_TRY(copy_text(&c->cnn, cnn));
    if (title) FV_TRY(copy_text(&c->title, title));
    if (license) FV_TRY(copy_text(&c->license, license));
    if (checkpoint) FV_TRY(beside(&c->checkpoint, c->path, checkpoint));
    if (vocabulary) FV_TRY(beside(&c->vocabulary, c->path, vocabulary));
    if (words) FV_TRY(beside(&c->words, c->path, words));
    return encoder ? read_encoder(c, encoder) : FV_OK;
}

static fv_status read_numbers(fv_brivl_config *c, const fv_yaml *doc, const fv_yaml_node *map)
{
    FV_TRY(read_int(doc, map, "IMG_SIZE", 33, 4096, true, &c->image_size));
    FV_TRY(read_int(doc, map, "IMG_TRANSFORMER_HEAD", 1, 1024, true, &c->image_heads));
    FV_TRY(read_int(doc, map, "IMG_TRANSFORMER_LAYER", 0, 1024, true, &c->image_layers));
    FV_TRY(read_int(doc, map, "TEXT_TRANSFORMER_HEAD", 1, 1024, true, &c->text_heads));
    FV_TRY(read_int(doc, map, "TEXT_TRANSFORMER_LAYER", 0, 1024, true, &c->text_layers));
    FV_TRY(read_int(doc, map, "MAX_TEXT_LEN", 2, 4096, true, &c->text_limit));
    FV_TRY(read_int(doc, map, "IMG_FEATURE_DIM", 1, 1 << 16, false, &c->image_dim));
    FV_TRY(read_int(doc, map, "TEXT_FEATURE_DIM", 1, 1 << 16, false, &c->text_dim));
    FV_TRY(read_int(doc, map, "BOX_GRID", 1, 64, false, &c->box_grid));
    FV_TRY(read_int(doc, map, "GRID_SIZE", 1, 64, false, &c->grid_size));
    int boxes = c->box_grid * c->box_grid + 1, limit = boxes;
    FV_TRY(read_int(doc, map, "MAX_IMG_LEN", 1, 1 << 20, false, &limit));
    if (limit < boxes)
        return fv_fail(FV_ERR_FORMAT, "cfg %s: MAX_IMG_LEN is %d, but BOX_GRID %d makes %d boxes",
                       c->path, limit, c->box_grid, boxes);
    double temperature = c->temperature;
    FV_TRY(fv_yaml_double(doc, map, "TEMPERATURE", &temperature));
    if (!(temperature > 0 && temperature < 1e3))
        return fv_fail(FV_ERR_FORMAT, "cfg %s: TEMPERATURE is %g, expected more than 0", c->path,
                       temperature);
    c->temperature = (float)temperature;
    FV_TRY(fv_yaml_floats(doc, map, "IMG_MEAN", c->mean, 3));
    FV_TRY(fv_yaml_floats(doc, map, "IMG_STD", c->std, 3));
    for (int i = 0; i < 3; i++)
        if (!(c->std[i] > 0) || !(c->std[i] < 1e6f) || !(c->mean[i] > -1e6f && c->mean[i] < 1e6f))
            return fv_fail(FV_ERR_FORMAT, "cfg %s: IMG_MEAN, IMG_STD: %g and %g are not sensible",
                           c->path, (double)c->mean[i], (double)c->std[i]);
    return FV_OK;
}

/* How many channels there are at the end of the CNN, which has `own`. */
static fv_status read_width(fv_brivl_config *c, const fv_yaml *doc, const fv_yaml_node *map,
                            const char *key, int own, bool added, int *out)
{
    enum { MOST = 4 }; /* times as wide */
    if (!fv_yaml_find(map, key)) return FV_OK;
    FV_TRY(fv_yaml_int(doc, map, key, out));
    if (added && *out != own)
        return fv_fail(FV_ERR_FORMAT,
                       "cfg %s: %s is %d, expected %d: the last block of %s adds its input",
                       c->path, key, *out, own, c->cnn);
    if (*out < own || *out > MOST * own)
        return fv_fail(FV_ERR_FORMAT, "cfg %s: %s is %d, expected %d (as %s has it) to %d", c->path,
                       key, *out, own, c->cnn, MOST * own);
    return FV_OK;
}

static fv_status read_trunk(fv_brivl_config *c, const fv_yaml *doc, const fv_yaml_node *map)
{
    static const char expanded[] = "CNN_LAST_EXPANDED", channels[] = "CNN_LAST_CHANNELS",
                      head[] = "CNN_HEAD";
    fv_efficientnet net;
    if (!fv_yaml_find(map, expanded) && !fv_yaml_find(map, channels) && !fv_yaml_find(map, head))
        return FV_OK;
    FV_TRY(fv_efficientnet_named(&net, c->cnn));
    bool added = net.stages[FV_EFFICIENTNET_STAGES - 1].repeats > 1;
    FV_TRY(read_width(c, doc, map, expanded, net.last.expanded, false, &c->last_expanded));
    FV_TRY(read_width(c, doc, map, channels, net.last.channels, added, &c->last_channels));
    return read_width(c, doc, map, head, net.head, false, &c->head);
}

fv_status fv_brivl_trunk(fv_efficientnet *out, const fv_brivl_config *c)
{
    FV_TRY(fv_efficientnet_named(out, c->cnn));
    if (c->last_expanded) out->last.expanded = c->last_expanded;
    if (c->last_channels) out->last.channels = c->last_channels;
    if (c->head) out->head = c->head;
    return FV_OK;
}

fv_status fv_brivl_config_read(fv_brivl_config *out, const char *path)
{
    fv_brivl_config c = {.box_grid = 6,
                         .grid_size = 4,
                         .temperature = 0.07f,
                         .mean = {0.485f, 0.456f, 0.406f},
                         .std = {0.229f, 0.224f, 0.225f},
                         .bert_eps = 1e-12};
    fv_yaml *doc;
    FV_TRY(fv_yaml_open(&doc, path));
    fv_status s = copy_text(&c.path, path);
    const fv_yaml_node *root = fv_yaml_root(doc);
    const fv_yaml_node *map = fv_yaml_is_map(root) ? fv_yaml_find(root, "MODEL") : NULL;
    if (s >= 0 && !(map && fv_yaml_is_map(map)))
        s = fv_fail(FV_ERR_FORMAT, "cfg %s: no MODEL map (the official cfg is eval.yml)", path);
    if (s >= 0) s = read_numbers(&c, doc, map);
    if (s >= 0) s = read_texts(&c, doc, map);
    if (s >= 0) s = read_trunk(&c, doc, map);
    fv_yaml_free(doc);
    if (s < 0)
        fv_brivl_config_clear(&c);
    else
        *out = c;
    return s;
}

void fv_brivl_config_clear(fv_brivl_config *c)
{
    free(c->path);
    free(c->title);
    free(c->license);
    free(c->checkpoint);
    free(c->vocabulary);
    free(c->words);
    free(c->cnn);
    *c = (fv_brivl_config){0};
}
