/* What `convert` notes beside a CLIP's tensors, since no shape tells it, and reading it again: with
 * it a file needs no cfg. The same words stand for the cfg in a recipe's hash. See clip.h. */
#include <stdio.h>
#include <string.h>

#include "kernels/number.h"
#include "model/nets/clip.h"

enum { MAX_SIZE = 1 << 14 };

static const char *const acts[2] = {"quick_gelu", "gelu"};
static const char *const rules[2] = {"shortest", "squash"};

static fv_act said_act(const fv_weights *w, const char *key)
{
    const char *text = fv_weights_metadata(w, key);
    if (!text) return FV_ACT_NONE;
    return strcmp(text, "gelu") == 0 ? FV_ACT_GELU : FV_ACT_QUICK_GELU;
}

/* 0: nothing, or no such number. */
static int said_size(const fv_weights *w, const char *key)
{
    const char *text = fv_weights_metadata(w, key);
    int n = 0;
    return text && fv_scan(text, "%d", &n) == 1 && n > 0 && n <= MAX_SIZE ? n : 0;
}

static double said_eps(const fv_weights *w, const char *key)
{
    const char *text = fv_weights_metadata(w, key);
    return text ? fv_to_double(text, NULL) : 0;
}

static void said_colours(const fv_weights *w, const char *key, float out[3])
{
    const char *text = fv_weights_metadata(w, key);
    float x[3];
    if (text && fv_scan(text, "%f %f %f", &x[0], &x[1], &x[2]) == 3) memcpy(out, x, sizeof x);
}

void fv_clip_config_said(fv_clip_config *out, const fv_weights *w)
{
    const char *rule = fv_weights_metadata(w, "resize");
    out->act = said_act(w, "hidden_act");
    out->text_act = said_act(w, "text_act");
    out->heads = said_size(w, "heads");
    out->text_heads = said_size(w, "text_heads");
    out->eps = said_eps(w, "eps");
    out->text_eps = said_eps(w, "text_eps");
    out->image_size = said_size(w, "image_size");
    said_colours(w, "mean", out->mean);
    said_colours(w, "std", out->std);
    out->resize_said = rule != NULL;
    out->resize = rule && strcmp(rule, rules[1]) == 0 ? FV_RESIZE_SQUASH : FV_RESIZE_SHORTEST;
    out->resize_side = said_size(w, "resize_side");
}

void fv_clip_note(fv_clip *c)
{
    static const char *const keys[FV_CLIP_SAID] = {
        "hidden_act", "text_act", "heads", "text_heads", "eps",        "text_eps",
        "image_size", "mean",     "std",   "resize",     "resize_side"};
    enum { BYTES = sizeof c->said[0] };
    const fv_network *n = &c->base;
    const float *m = n->mean, *d = n->std;
    snprintf(c->said[0], BYTES, "%s", acts[c->image.act == FV_ACT_GELU]);
    snprintf(c->said[1], BYTES, "%s", acts[c->text.act == FV_ACT_GELU]);
    snprintf(c->said[2], BYTES, "%d", c->image.heads);
    snprintf(c->said[3], BYTES, "%d", c->text.heads);
    fv_print(c->said[4], BYTES, "%g", c->image.eps);
    fv_print(c->said[5], BYTES, "%g", c->text.eps);
    snprintf(c->said[6], BYTES, "%d", n->image_size);
    fv_print(c->said[7], BYTES, "%.9g %.9g %.9g", (double)m[0], (double)m[1], (double)m[2]);
    fv_print(c->said[8], BYTES, "%.9g %.9g %.9g", (double)d[0], (double)d[1], (double)d[2]);
    snprintf(c->said[9], BYTES, "%s", rules[n->resize == FV_RESIZE_SQUASH]);
    snprintf(c->said[10], BYTES, "%d", n->resize_side ? n->resize_side : n->image_size);
    for (int i = 0; i < FV_CLIP_SAID; i++) {
        c->metadata[2 * i] = keys[i];
        c->metadata[2 * i + 1] = c->said[i];
    }
}
