/* Which CLIP a checkpoint is, by its names and shapes; what they do not tell. See clip.h. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "model/nets/clip.h"

enum { MAX_LAYERS = 1024, MAX_SIZE = 1 << 20, USUAL_IDS = 49408 };

/* --- families --- */

static const char openai_mark[] = "visual.conv1.weight";
static const char huggingface_mark[] = "vision_model.embeddings.class_embedding";

/* Relatives with other towers: what only their tensors are called. */
static const struct relative {
    const char *mark, *name;
} relatives[] = {
    {"visual.trunk.", "a CLIP of open_clip with an image tower of timm"},
    {"vision_model.head.probe", "SigLIP"},
    {"logit_bias", "SigLIP"},
    {"visual.attn_pool.", "CoCa"},
    {"text_decoder.resblocks.", "CoCa"},
    {"text.transformer.embeddings.", "a CLIP of open_clip with a text tower of HuggingFace"},
    {"visual.blocks.0.attn.qkv.weight", "EVA-CLIP"},
    {"out_proj._packed_params._packed_params", "a quantised CLIP"},
    {"out_proj._packed_params.dtype", "a quantised CLIP"},
    {"visual.transformer.resblocks.0.ls_1.gamma", "a CLIP with layer scale"},
    {"visual.transformer.resblocks.0.attn.Wqkv.weight",
     "a Chinese-CLIP as FlashAttention trains it, not converted back"},
};

/* Where the mark begins in the name: at its start or behind a dot; -1: it is not there. A mark that
 * ends with a dot is the begin of more. */
static long place_of(const char *name, const char *mark)
{
    size_t n = strlen(mark);
    for (const char *at = name; (at = strstr(at, mark)); at++)
        if ((at == name || at[-1] == '.') && (mark[n - 1] == '.' || at[n] == '\0'))
            return at - name;
    return -1;
}

/* The shortest text before a mark among all names; NULL: none has it. *length: of that text. */
static const char *before_mark(const fv_weights *w, const char *mark, size_t *length)
{
    const char *best = NULL;
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const char *name = fv_weights_at(w, i)->name;
        long at = place_of(name, mark);
        if (at < 0 || (best && (size_t)at >= *length)) continue;
        best = name;
        *length = (size_t)at;
    }
    return best;
}

static const struct relative *relative_of(const fv_weights *w)
{
    size_t length;
    for (size_t i = 0; i < sizeof relatives / sizeof *relatives; i++)
        if (before_mark(w, relatives[i].mark, &length)) return &relatives[i];
    return NULL;
}

bool fv_clip_recognises(const fv_weights *w)
{
    size_t length;
    return before_mark(w, openai_mark, &length) || before_mark(w, huggingface_mark, &length) ||
           relative_of(w);
}

static const fv_entry *find(const fv_clip *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const fv_entry *find(const fv_clip *c, const char *fmt, ...)
{
    char name[FV_SOURCE_NAME], full[FV_SOURCE_NAME];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    fv_source_name(full, &c->base.source, "", name);
    return fv_weights_find(c->weights, full);
}

/* Matrices of whole numbers are of no use without the scales that stand elsewhere. */
static fv_status check_quantised(const fv_weights *w)
{
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        bool bytes = e->dtype == FV_FILE_I8 || e->dtype == FV_FILE_U8 || e->dtype == FV_FILE_QI8 ||
                     e->dtype == FV_FILE_QU8;
        if (bytes && e->ndim >= 2)
            return fv_fail(FV_ERR_UNSUPPORTED,
                           "checkpoint %s is a quantised CLIP (%s is of type %s); CLIP and"
                           " Chinese-CLIP in 16 or 32 bits are supported",
                           fv_weights_path(w), e->name, fv_entry_dtype_name(e));
    }
    return FV_OK;
}

static fv_status find_family(fv_clip *c)
{
    size_t length = 0;
    FV_TRY(check_quantised(c->weights));
    const struct relative *other = relative_of(c->weights);
    if (other)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "checkpoint %s is %s (it has %s); CLIP and Chinese-CLIP with ViT or ResNet"
                       " are supported",
                       fv_weights_path(c->weights), other->name, other->mark);
    const char *name = before_mark(c->weights, openai_mark, &length);
    if (!name) {
        name = before_mark(c->weights, huggingface_mark, &length);
        c->huggingface = name != NULL;
    }
    c->root = strndup(name ? name : "", name ? length : 0);
    if (!c->root) return fv_fail(FV_ERR_MEMORY, "opening a checkpoint: out of memory");
    c->base.source = (fv_source){.weights = c->weights, .root = c->root};
    c->chinese = find(c, "%s.embeddings.word_embeddings.weight",
                      c->huggingface ? "text_model" : "bert") != NULL;
    c->nested = find(c, "text.token_embedding.weight") != NULL;
    c->positions = c->chinese && !c->huggingface ? FV_CLIP_CORNERS
                   : c->huggingface              ? FV_CLIP_CENTRES
                                                 : FV_CLIP_ANTIALIASED;
    return FV_OK;
}

/* --- sizes --- */

/* The size of an axis of a tensor that has to be there, with so many axes. */
static fv_status size_of(const fv_clip *c, const char *name, int ndim, int axis, int *out)
{
    const fv_entry *e = find(c, "%s", name);
    if (!e)
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s: no tensor %s%s, so it is not a whole CLIP",
                       fv_weights_path(c->weights), c->root, name);
    if (e->ndim != ndim || e->dims[axis] < 1 || e->dims[axis] > MAX_SIZE)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: tensor %s has not %d sizes from 1 to %d",
                       fv_weights_path(c->weights), e->name, ndim, MAX_SIZE);
    *out = (int)e->dims[axis];
    return FV_OK;
}

/* How many there are of "BEFORE 0 AFTER", "BEFORE 1 AFTER", ... */
static int count(const fv_clip *c, const char *before, const char *after)
{
    int n = 0;
    while (n < MAX_LAYERS && find(c, "%s%d%s", before, n, after)) n++;
    return n;
}

/* The root of rows - `extra`, which have to be a square. */
static fv_status square_root(const fv_clip *c, const char *name, int rows, int *out)
{
    int side = (int)lround(sqrt((double)(rows - 1)));
    *out = side;
    if (side >= 1 && side * side == rows - 1) return FV_OK;
    return fv_fail(FV_ERR_SHAPE,
                   "checkpoint %s: tensor %s%s has %d rows, expected one and a square",
                   fv_weights_path(c->weights), c->root, name, rows);
}

static fv_status read_vit(fv_clip *c)
{
    bool hf = c->huggingface;
    const char *patches = hf ? "vision_model.embeddings.patch_embedding.weight" : openai_mark;
    const char *rows =
        hf ? "vision_model.embeddings.position_embedding.weight" : "visual.positional_embedding";
    int positions;
    FV_TRY(size_of(c, patches, 4, 0, &c->image.width));
    FV_TRY(size_of(c, patches, 4, 2, &c->patch));
    FV_TRY(size_of(c, rows, 2, 0, &positions));
    FV_TRY(square_root(c, rows, positions, &c->stored_grid));
    c->grid = c->stored_grid;
    if (c->patch > 256 || c->grid > 256)
        return fv_fail(FV_ERR_SHAPE,
                       "checkpoint %s: %d x %d patches of %d pixels: at most 256 each",
                       fv_weights_path(c->weights), c->grid, c->grid, c->patch);
    c->image.layers = hf ? count(c, "vision_model.encoder.layers.", ".mlp.fc1.weight")
                         : count(c, "visual.transformer.resblocks.", ".mlp.c_fc.weight");
    c->base.image_size = c->grid * c->patch;
    c->base.map_side = c->grid;
    c->base.map_channels = c->image.width;
    return hf ? size_of(c, "visual_projection.weight", 2, 0, &c->base.dim)
              : size_of(c, "visual.proj", 2, 1, &c->base.dim);
}

static fv_status read_resnet(fv_clip *c)
{
    static const char rows[] = "visual.attnpool.positional_embedding";
    int positions;
    char layer[32];
    FV_TRY(size_of(c, "visual.layer1.0.conv1.weight", 4, 0, &c->image.width));
    for (int i = 0; i < 4; i++) {
        snprintf(layer, sizeof layer, "visual.layer%d.", i + 1);
        c->blocks[i] = count(c, layer, ".conv1.weight");
        c->image.layers += c->blocks[i];
        if (c->blocks[i] == 0)
            return fv_fail(FV_ERR_FORMAT, "checkpoint %s: no tensors %s%s*",
                           fv_weights_path(c->weights), c->root, layer);
    }
    if (c->image.width > 1 << 14)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: a ResNet of width %d",
                       fv_weights_path(c->weights), c->image.width);
    FV_TRY(size_of(c, rows, 2, 0, &positions));
    FV_TRY(square_root(c, rows, positions, &c->base.map_side));
    if (c->base.map_side > 256)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: a map of %d x %d positions",
                       fv_weights_path(c->weights), c->base.map_side, c->base.map_side);
    c->base.image_size = 32 * c->base.map_side;
    c->base.map_channels = 32 * c->image.width;
    c->base.corners = true; /* ReLU */
    return size_of(c, "visual.attnpool.c_proj.weight", 2, 0, &c->base.dim);
}

static fv_status read_text(fv_clip *c)
{
    bool hf = c->huggingface;
    const char *root = hf ? "text_model." : c->chinese ? "bert." : c->nested ? "text." : "";
    char words[96], rows[96], layers[96];
    int positions;
    snprintf(words, sizeof words, "%s%s", root,
             c->chinese ? "embeddings.word_embeddings.weight"
             : hf       ? "embeddings.token_embedding.weight"
                        : "token_embedding.weight");
    snprintf(rows, sizeof rows, "%s%s", root,
             c->chinese ? "embeddings.position_embeddings.weight"
             : hf       ? "embeddings.position_embedding.weight"
                        : "positional_embedding");
    snprintf(layers, sizeof layers, "%s%s", root,
             c->chinese ? "encoder.layer."
             : hf       ? "encoder.layers."
                        : "transformer.resblocks.");
    FV_TRY(size_of(c, words, 2, 0, &c->base.ids));
    FV_TRY(size_of(c, words, 2, 1, &c->text.width));
    FV_TRY(size_of(c, rows, 2, 0, &positions));
    c->text.layers = count(c, layers,
                           c->chinese ? ".output.dense.weight"
                           : hf       ? ".mlp.fc1.weight"
                                      : ".mlp.c_fc.weight");
    c->base.text_limit = positions;
    c->base.text_length = c->chinese && positions > 52 ? 52 : positions; /* the official one */
    if (positions < 2)
        return fv_fail(FV_ERR_SHAPE, "checkpoint %s: a text tower for %d tokens",
                       fv_weights_path(c->weights), positions);
    return FV_OK;
}

/* --- what no shape tells --- */

/* 64 channels a head, but for the large ones of open_clip. */
static int usual_heads(int width)
{
    return width == 1280 || width == 1408 || width == 1664 ? 16 : width / 64;
}

/* What the file itself says: Chinese-CLIP and OpenAI's archives are quick. */
static fv_act own_act(const fv_clip *c)
{
    return c->chinese || find(c, "input_resolution") ? FV_ACT_QUICK_GELU : FV_ACT_NONE;
}

/* What its name says, as people name what they have downloaded. */
static fv_act named_act(const fv_clip *c)
{
    static const char *const quick[] = {"quickgelu", "openai", "metaclip", "dfn"};
    static const char *const exact[] = {"laion", "datacomp", "commonpool"};
    const char *path = fv_weights_path(c->weights), *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof quick / sizeof *quick; i++)
        if (strcasestr(name, quick[i])) return FV_ACT_QUICK_GELU;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcasestr(name, exact[i])) return FV_ACT_GELU;
    return FV_ACT_NONE;
}

/* A manifest does not depend on the heads. */
static fv_status settle_tower(const fv_clip *c, fv_clip_tower *t, const char *what, int heads,
                              int usual, bool unchecked)
{
    t->heads = heads ? heads : usual;
    if (unchecked && (t->heads < 1 || t->width % t->heads)) t->heads = 1;
    if (t->heads >= 1 && t->width % t->heads == 0 && t->layers >= 1 && t->width <= 1 << 15 &&
        t->eps > 0 && t->eps < 1)
        return FV_OK;
    return fv_fail(
        FV_ERR_SHAPE,
        "checkpoint %s: %s tower of width %d, %d layers and %d heads; give the heads by a"
        " cfg, --config FILE",
        fv_weights_path(c->weights), what, t->width, t->layers, t->heads);
}

static fv_status settle_size(fv_clip *c, const fv_clip_config *cfg)
{
    if (!cfg->image_size || cfg->image_size == c->base.image_size) return FV_OK;
    if (c->blocks[0])
        return fv_fail(FV_ERR_SHAPE,
                       "cfg %s: image_size is %d, but the attention pool of %s is for %d",
                       c->config, cfg->image_size, fv_weights_path(c->weights), c->base.image_size);
    if (cfg->image_size % c->patch || cfg->image_size / c->patch > 256)
        return fv_fail(FV_ERR_SHAPE,
                       "cfg %s: image_size is %d, expected a multiple of %d, up to 256 patches",
                       c->config, cfg->image_size, c->patch);
    c->grid = c->base.map_side = cfg->image_size / c->patch;
    c->base.image_size = cfg->image_size;
    return FV_OK;
}

static fv_status settle_act(fv_clip *c, const fv_clip_config *cfg, bool unchecked)
{
    fv_act usual = own_act(c);
    if (!usual) usual = cfg->default_act ? cfg->default_act : named_act(c);
    c->image.act = cfg->act ? cfg->act : usual;
    c->text.act = cfg->text_act ? cfg->text_act : c->image.act;
    if (c->image.act || unchecked) return FV_OK;
    return fv_fail(
        FV_ERR_ARGUMENT,
        "checkpoint %s does not say whether its GELU is the quick one or by erf: give its"
        " %s with --config (or a file with \"model_cfg: {quick_gelu: true}\", or false)",
        fv_weights_path(c->weights), c->huggingface ? "config.json" : "open_clip_config.json");
}

/* OpenAI's numbers, by which all but some of open_clip have been trained. */
static fv_status settle_pictures(fv_clip *c, const fv_clip_config *cfg)
{
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    bool said = cfg->std[0] > 0 && cfg->std[1] > 0 && cfg->std[2] > 0;
    memcpy(c->base.mean, said ? cfg->mean : mean, sizeof mean);
    memcpy(c->base.std, said ? cfg->std : std, sizeof std);
    c->base.resize = cfg->resize_said ? cfg->resize
                     : c->chinese     ? FV_RESIZE_SQUASH
                                      : FV_RESIZE_SHORTEST;
    c->base.resize_side = cfg->resize_side == c->base.image_size ? 0 : cfg->resize_side;
    if (!cfg->crop || cfg->crop == c->base.image_size) return FV_OK;
    return fv_fail(FV_ERR_SHAPE,
                   "preprocessor_config.json of %s makes pictures of %d pixels a side, its network"
                   " sees %d",
                   fv_weights_path(c->weights), cfg->crop, c->base.image_size);
}

static fv_status settle(fv_clip *c, const fv_clip_config *cfg, bool unchecked)
{
    c->image.eps = cfg->eps > 0 ? cfg->eps : 1e-5;
    c->text.eps = cfg->text_eps > 0 ? cfg->text_eps : c->chinese ? 1e-12 : 1e-5;
    int pool = c->blocks[0] ? c->base.map_channels / 64 : 0, heads = cfg->heads;
    if (!heads && cfg->head_width) heads = c->image.width / cfg->head_width;
    fv_clip_tower image = c->image; /* a ResNet has heads in its pool alone */
    if (pool) image.width = c->base.map_channels;
    FV_TRY(settle_act(c, cfg, unchecked));
    FV_TRY(settle_tower(c, &image, "an image", pool ? pool : heads, usual_heads(image.width),
                        unchecked));
    c->image.heads = image.heads;
    FV_TRY(settle_tower(c, &c->text, "a text", cfg->text_heads, c->text.width / 64, unchecked));
    FV_TRY(settle_size(c, cfg));
    int side = c->base.map_side;
    c->base.places = (fv_place_grid){side, 1 + side * side, 1, false};
    return settle_pictures(c, cfg);
}

/* --- files beside the checkpoint --- */

/* The first of these names that is a file in the checkpoint's folder; NULL: none. Caller frees. */
static fv_status find_beside(const fv_clip *c, const char *const *names, char **out)
{
    const char *path = fv_weights_path(c->weights), *slash = strrchr(path, '/');
    *out = NULL;
    for (; !*out && *names; names++) {
        char *there;
        if (asprintf(&there, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, *names) < 0)
            return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", path);
        if (access(there, R_OK) == 0)
            *out = there;
        else
            free(there);
    }
    return FV_OK;
}

static fv_status read_config(fv_clip *c, const fv_network_files *files, fv_clip_config *cfg)
{
    static const char *const open_clip[] = {"open_clip_config.json", NULL};
    static const char *const huggingface[] = {"config.json", NULL};
    if (files->config && !(c->config = strdup(files->config)))
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->config);
    if (!c->config) FV_TRY(find_beside(c, c->huggingface ? huggingface : open_clip, &c->config));
    return c->config ? fv_clip_config_read(cfg, c->config, c->chinese) : FV_OK;
}

static fv_status read_preprocessor(fv_clip *c, fv_clip_config *cfg)
{
    static const char *const names[] = {"preprocessor_config.json", NULL};
    char *path = NULL;
    if (c->huggingface) FV_TRY(find_beside(c, names, &path));
    fv_status s = path ? fv_clip_preprocessor_read(cfg, path) : FV_OK;
    free(path);
    return s;
}

static fv_status read_vocabulary(fv_clip *c, const fv_network_files *files)
{
    static const char *const merges[] = {"bpe_simple_vocab_16e6.txt.gz",
                                         "bpe_simple_vocab_16e6.txt", "merges.txt", NULL};
    static const char *const pieces[] = {"vocab.txt", NULL};
    if (files->vocabulary && !(c->vocabulary_path = strdup(files->vocabulary)))
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->vocabulary);
    if (!c->vocabulary_path)
        FV_TRY(find_beside(c, c->chinese ? pieces : merges, &c->vocabulary_path));
    bool usual = !c->chinese && c->base.ids == USUAL_IDS && files->merges;
    if (!c->vocabulary_path && usual && !(c->vocabulary_path = strdup(files->merges)))
        return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->merges);
    if (!c->vocabulary_path) return FV_OK;
    if (!c->chinese) {
        FV_TRY(fv_bpe_open(&c->bpe, c->vocabulary_path, c->base.ids));
        c->base.vocabulary_size = fv_bpe_size(c->bpe);
        c->base.vocabulary_hash = fv_bpe_hash(c->bpe);
        return FV_OK;
    }
    FV_TRY(fv_vocab_open(&c->vocabulary, c->vocabulary_path));
    c->base.vocabulary_size = fv_vocab_size(c->vocabulary);
    if (c->base.vocabulary_size <= c->base.ids) return FV_OK;
    return fv_fail(FV_ERR_SHAPE,
                   "vocabulary %s has %d pieces, but the text tower of %s only %d: it belongs to"
                   " another model",
                   c->vocabulary_path, c->base.vocabulary_size, fv_weights_path(c->weights),
                   c->base.ids);
}

/* --- names for people --- */

static void name_it(fv_clip *c)
{
    static const struct {
        int width;
        const char *letter;
    } sizes[] = {{768, "B"}, {1024, "L"}, {1280, "H"}, {1408, "g"}, {1664, "bigG"}};
    static const struct {
        int width, third;
        const char *name;
    } nets[] = {{64, 6, "RN50"},
                {64, 23, "RN101"},
                {80, 10, "RN50x4"},
                {96, 18, "RN50x16"},
                {128, 36, "RN50x64"}};
    const char *maker = c->chinese ? "Chinese-CLIP" : "CLIP";
    snprintf(c->title, sizeof c->title, "%s, a %s of width %d", maker,
             c->blocks[0] ? "ResNet" : "ViT", c->image.width);
    for (size_t i = 0; !c->blocks[0] && i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].width == c->image.width)
            snprintf(c->title, sizeof c->title, "%s ViT-%s/%d", maker, sizes[i].letter, c->patch);
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        if (nets[i].width == c->image.width && nets[i].third == c->blocks[2])
            snprintf(c->title, sizeof c->title, "%s %s", maker, nets[i].name);
}

fv_status fv_clip_read(fv_clip *c, const fv_network_files *files)
{
    fv_clip_config cfg = {0};
    FV_TRY(fv_weights_open(&c->weights, files->checkpoint));
    FV_TRY(find_family(c));
    if (files->momentum)
        return fv_fail(FV_ERR_FORMAT, "checkpoint %s is a CLIP, which has no momentum towers",
                       files->checkpoint);
    FV_TRY(find(c, "visual.layer1.0.conv1.weight") ? read_resnet(c) : read_vit(c));
    FV_TRY(read_text(c));
    fv_clip_config_said(&cfg, c->weights);
    FV_TRY(read_config(c, files, &cfg));
    FV_TRY(read_preprocessor(c, &cfg));
    FV_TRY(settle(c, &cfg, files->unchecked));
    if (!files->unchecked) FV_TRY(read_vocabulary(c, files));
    name_it(c);
    fv_clip_note(c);
    c->base.title = c->title;
    c->base.config = c->config;
    c->base.vocabulary = c->vocabulary_path;
    c->base.metadata = c->metadata;
    return FV_OK;
}
