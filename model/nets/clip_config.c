/* The cfg of a CLIP: open_clip_config.json, or HuggingFace's config.json and
 * preprocessor_config.json. See clip.h. A cfg may
 * hold no more than what is missing: "model_cfg: {quick_gelu: true}". */
#include <string.h>

#include "model/files/yaml.h"
#include "model/nets/clip.h"

enum { MAX_SIZE = 1 << 14 };

/* A whole number from 1 on; absent: *out stays. */
static fv_status read_size(const fv_yaml *doc, const fv_yaml_node *map, const char *key, int *out)
{
    FV_TRY(fv_yaml_int(doc, map, key, out));
    const fv_yaml_node *n = fv_yaml_find(map, key);
    if (!n || (*out >= 1 && *out <= MAX_SIZE)) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "cfg %s, line %d: %s is %d, expected 1 to %d", fv_yaml_name(doc),
                   fv_yaml_line(n), key, *out, MAX_SIZE);
}

/* The map under a key; NULL: there is none. */
static fv_status read_map(const fv_yaml *doc, const fv_yaml_node *map, const char *key,
                          const fv_yaml_node **out)
{
    *out = map ? fv_yaml_find(map, key) : NULL;
    if (!*out || fv_yaml_is_map(*out)) return FV_OK;
    return fv_fail(FV_ERR_FORMAT, "cfg %s, line %d: %s is not a map", fv_yaml_name(doc),
                   fv_yaml_line(*out), key);
}

static fv_status refuse(const fv_yaml *doc, const fv_yaml_node *map, const char *key,
                        const char *what)
{
    const fv_yaml_node *n = map ? fv_yaml_find(map, key) : NULL;
    if (!n) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "cfg %s, line %d: %s: %s is not supported; the towers of CLIP and Chinese-CLIP"
                   " are",
                   fv_yaml_name(doc), fv_yaml_line(n), key, what);
}

/* --- open_clip --- */

static fv_status read_resize(fv_clip_config *c, const fv_yaml *doc, const fv_yaml_node *map)
{
    const char *mode = NULL, *filter = "bicubic";
    FV_TRY(fv_yaml_string(doc, map, "interpolation", &filter));
    if (strcmp(filter, "bilinear") == 0) /* "random", too, is bicubic where nothing is trained */
        return fv_fail(FV_ERR_UNSUPPORTED, "cfg %s: interpolation is bilinear, expected bicubic",
                       fv_yaml_name(doc));
    FV_TRY(fv_yaml_string(doc, map, "resize_mode", &mode));
    if (!mode) return FV_OK;
    c->resize_said = true;
    c->resize = strcmp(mode, "squash") == 0 ? FV_RESIZE_SQUASH : FV_RESIZE_SHORTEST;
    if (c->resize == FV_RESIZE_SQUASH || strcmp(mode, "shortest") == 0) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "cfg %s: resize_mode is \"%.40s\", expected shortest or squash",
                   fv_yaml_name(doc), mode);
}

static fv_status read_open_clip(fv_clip_config *c, const fv_yaml *doc, const fv_yaml_node *root)
{
    const fv_yaml_node *model, *vision, *text, *pictures;
    bool quick = false;
    FV_TRY(read_map(doc, root, "model_cfg", &model));
    FV_TRY(read_map(doc, model, "vision_cfg", &vision));
    FV_TRY(read_map(doc, model, "text_cfg", &text));
    FV_TRY(read_map(doc, root, "preprocess_cfg", &pictures));
    FV_TRY(refuse(doc, vision, "timm_model_name", "an image tower of timm"));
    FV_TRY(refuse(doc, text, "hf_model_name", "a text tower of HuggingFace"));
    FV_TRY(refuse(doc, model, "multimodal_cfg", "CoCa"));
    FV_TRY(fv_yaml_bool(doc, model, "quick_gelu", &quick));
    c->default_act = FV_ACT_GELU;
    if (model && fv_yaml_find(model, "quick_gelu"))
        c->act = c->text_act = quick ? FV_ACT_QUICK_GELU : FV_ACT_GELU;
    if (vision) {
        FV_TRY(read_size(doc, vision, "image_size", &c->image_size));
        FV_TRY(read_size(doc, vision, "head_width", &c->head_width));
    }
    if (text) FV_TRY(read_size(doc, text, "heads", &c->text_heads));
    if (!pictures) return FV_OK;
    FV_TRY(fv_yaml_floats(doc, pictures, "mean", c->mean, 3));
    FV_TRY(fv_yaml_floats(doc, pictures, "std", c->std, 3));
    return read_resize(c, doc, pictures);
}

/* --- HuggingFace's photos --- */

enum { BICUBIC = 3 }; /* Pillow's number */

/* A side of pixels: a number, {shortest_edge: N}, or {height: N, width: N}. *shortest stays where a
 * number leaves it open. */
static fv_status read_side(const fv_yaml *doc, const fv_yaml_node *root, const char *key, int *out,
                           bool *shortest)
{
    const fv_yaml_node *n = fv_yaml_find(root, key);
    int height = 0, width = 0;
    if (!n) return FV_OK;
    if (!fv_yaml_is_map(n)) return read_size(doc, root, key, out);
    FV_TRY(read_size(doc, n, "shortest_edge", out));
    if (fv_yaml_find(n, "shortest_edge")) {
        *shortest = true;
        return FV_OK;
    }
    FV_TRY(read_size(doc, n, "height", &height));
    FV_TRY(read_size(doc, n, "width", &width));
    if (!height || height != width)
        return fv_fail(FV_ERR_UNSUPPORTED,
                       "cfg %s, line %d: %s is %d x %d, expected a square or shortest_edge",
                       fv_yaml_name(doc), fv_yaml_line(n), key, width, height);
    *out = height;
    *shortest = false;
    return FV_OK;
}

/* Numbers that are not normalised are what the network sees as they are. */
static fv_status read_colours(fv_clip_config *c, const fv_yaml *doc, const fv_yaml_node *root)
{
    bool normalised = true;
    FV_TRY(fv_yaml_bool(doc, root, "do_normalize", &normalised));
    for (int i = 0; !normalised && i < 3; i++) {
        c->mean[i] = 0;
        c->std[i] = 1;
    }
    if (!normalised) return FV_OK;
    FV_TRY(fv_yaml_floats(doc, root, "image_mean", c->mean, 3));
    return fv_yaml_floats(doc, root, "image_std", c->std, 3);
}

static fv_status read_squares(fv_clip_config *c, const fv_yaml *doc, const fv_yaml_node *root)
{
    bool crops = true, shortest = true, ignored;
    int side = 0, crop = 0, filter = BICUBIC;
    FV_TRY(fv_yaml_bool(doc, root, "do_center_crop", &crops));
    FV_TRY(read_side(doc, root, "size", &side, &shortest));
    if (crops) FV_TRY(read_side(doc, root, "crop_size", &crop, &ignored));
    FV_TRY(fv_yaml_int(doc, root, "resample", &filter));
    if (filter != BICUBIC)
        return fv_fail(FV_ERR_UNSUPPORTED, "cfg %s: resample is %d, expected %d, bicubic",
                       fv_yaml_name(doc), filter, BICUBIC);
    c->crop = crop ? crop : side;
    c->resize_side = side ? side : crop;
    c->resize_said = side || crop;
    c->resize = shortest ? FV_RESIZE_SHORTEST : FV_RESIZE_SQUASH;
    if (c->resize_side >= c->crop) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED, "cfg %s: size is %d, less than crop_size, %d",
                   fv_yaml_name(doc), c->resize_side, c->crop);
}

fv_status fv_clip_preprocessor_read(fv_clip_config *c, const char *path)
{
    fv_yaml *doc;
    FV_TRY(fv_yaml_open(&doc, path));
    const fv_yaml_node *root = fv_yaml_root(doc);
    fv_status s = root && fv_yaml_is_map(root)
                      ? read_colours(c, doc, root)
                      : fv_fail(FV_ERR_FORMAT, "cfg %s is not a map", path);
    if (s >= 0) s = read_squares(c, doc, root);
    fv_yaml_free(doc);
    return s;
}

/* --- HuggingFace --- */

static fv_status read_act(const fv_yaml *doc, const fv_yaml_node *map, fv_act *out)
{
    const char *name = NULL;
    FV_TRY(fv_yaml_string(doc, map, "hidden_act", &name));
    if (!name) return FV_OK;
    *out = strcmp(name, "quick_gelu") == 0 ? FV_ACT_QUICK_GELU : FV_ACT_GELU;
    if (*out == FV_ACT_QUICK_GELU || strcmp(name, "gelu") == 0) return FV_OK;
    return fv_fail(FV_ERR_UNSUPPORTED,
                   "cfg %s: hidden_act is \"%.40s\", expected quick_gelu or gelu",
                   fv_yaml_name(doc), name);
}

static fv_status read_huggingface(fv_clip_config *c, const fv_yaml *doc, const fv_yaml_node *root,
                                  bool chinese)
{
    const fv_yaml_node *vision, *text;
    FV_TRY(read_map(doc, root, "vision_config", &vision));
    FV_TRY(read_map(doc, root, "text_config", &text));
    c->heads = 12; /* the defaults of CLIPConfig and ChineseCLIPConfig */
    c->text_heads = chinese ? 12 : 8;
    c->act = FV_ACT_QUICK_GELU;
    c->text_act = chinese ? FV_ACT_GELU : FV_ACT_QUICK_GELU;
    c->eps = 1e-5;
    c->text_eps = chinese ? 1e-12 : 1e-5;
    if (vision) {
        FV_TRY(read_size(doc, vision, "num_attention_heads", &c->heads));
        FV_TRY(read_size(doc, vision, "image_size", &c->image_size));
        FV_TRY(fv_yaml_double(doc, vision, "layer_norm_eps", &c->eps));
        FV_TRY(read_act(doc, vision, &c->act));
    }
    if (!text) return FV_OK;
    FV_TRY(read_size(doc, text, "num_attention_heads", &c->text_heads));
    FV_TRY(fv_yaml_double(doc, text, "layer_norm_eps", &c->text_eps));
    return read_act(doc, text, &c->text_act);
}

fv_status fv_clip_config_read(fv_clip_config *out, const char *path, bool chinese)
{
    fv_yaml *doc;
    FV_TRY(fv_yaml_open(&doc, path));
    const fv_yaml_node *root = fv_yaml_root(doc);
    bool map = root && fv_yaml_is_map(root);
    fv_clip_config c = *out;
    fv_status s;
    if (map && fv_yaml_find(root, "model_cfg"))
        s = read_open_clip(&c, doc, root);
    else if (map && (fv_yaml_find(root, "vision_config") || fv_yaml_find(root, "text_config")))
        s = read_huggingface(&c, doc, root, chinese);
    else
        s = fv_fail(FV_ERR_FORMAT,
                    "cfg %s: neither model_cfg (open_clip_config.json) nor vision_config"
                    " (HuggingFace's config.json)",
                    path);
    fv_yaml_free(doc);
    if (s >= 0) *out = c;
    return s;
}
