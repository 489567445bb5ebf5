/* The row of CLIP and Chinese-CLIP in the table of networks. See clip.h. */
#include "model/nets/clip.h"

#include <stdlib.h>

static const double unit_eps = 1e-12;

static const fv_clip *clip_of(const fv_network *n)
{
    return (const fv_clip *)(const void *)n;
}

/* Of what is opened anyway: a file that cannot be is for whoever opens it to say. */
static fv_status detect(const fv_network_files *files, const fv_weights *w, bool *mine)
{
    (void)files;
    *mine = w && fv_clip_recognises(w);
    return FV_OK;
}

static void close_row(fv_network *n)
{
    fv_clip *c = (fv_clip *)(void *)n;
    free(c->root);
    free(c->config);
    free(c->vocabulary_path);
    fv_bpe_free(c->bpe);
    fv_vocab_free(c->vocabulary);
    fv_weights_close(c->weights);
    free(c);
}

static fv_status open_row(fv_network **out, const fv_network_files *files)
{
    fv_clip *c = calloc(1, sizeof *c);
    if (!c) return fv_fail(FV_ERR_MEMORY, "opening %s: out of memory", files->checkpoint);
    c->base.kind = &fv_clip_kind;
    fv_status s = fv_clip_read(c, files);
    if (s < 0) {
        close_row(&c->base);
        return s;
    }
    if (c->chinese) c->base.kind = &fv_chinese_clip_kind;
    *out = &c->base;
    return FV_OK;
}

/* Tensors of a checkpoint that no tower reads. */
static void know_others(fv_builder *b)
{
    static const char *const others[] = {"logit_scale", "input_resolution", "context_length",
                                         "vocab_size"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) fv_load_unused(b, others[i]);
}

static fv_ref map_row(fv_builder *b, const fv_network *n, fv_ref normalised)
{
    const fv_clip *c = clip_of(n);
    know_others(b);
    return c->blocks[0] ? fv_clip_resnet_map(b, c, normalised) : fv_clip_vit_map(b, c, normalised);
}

static fv_ref head_row(fv_builder *b, const fv_network *n, fv_ref map)
{
    const fv_clip *c = clip_of(n);
    fv_ref x = c->blocks[0] ? fv_clip_resnet_head(b, c, map, FV_NONE)
                            : fv_clip_vit_head(b, c, map, FV_NONE);
    return fv_l2norm(b->plan, "image_embedding", x, unit_eps);
}

static fv_ref place_row(fv_builder *b, const fv_network *n, fv_ref map, fv_ref bias)
{
    const fv_clip *c = clip_of(n);
    fv_ref x =
        c->blocks[0] ? fv_clip_resnet_head(b, c, map, bias) : fv_clip_vit_head(b, c, map, bias);
    return fv_l2norm(b->plan, "image_embedding", x, unit_eps);
}

static fv_ref text_row(fv_builder *b, const fv_network *n, int length, fv_text_inputs *inputs)
{
    fv_ref x = fv_clip_text(b, clip_of(n), length, inputs);
    return fv_l2norm(b->plan, "text_embedding", x, unit_eps);
}

static fv_status tokenise(const fv_network *n, const char *utf8, int length, fv_tokens *out)
{
    return fv_bpe_tokenize(clip_of(n)->bpe, utf8, length, out);
}

static fv_status tokenise_chinese(const fv_network *n, const char *utf8, int length, fv_tokens *out)
{
    return fv_tokenize_chinese_clip(clip_of(n)->vocabulary, utf8, length, out);
}

/* The first of the largest ids is the end mark, whose row is the text's. */
static void text_rows(const int32_t *ids, int length, int used, float *key_bias, float *pool)
{
    int end = 0;
    (void)used;
    (void)key_bias;
    for (int i = 1; i < length; i++)
        if (ids[i] > ids[end]) end = i;
    for (int i = 0; i < length; i++) pool[i] = i == end ? 1 : 0;
}

/* Row 0 is the text's; padding is no key. */
static void text_rows_chinese(const int32_t *ids, int length, int used, float *key_bias,
                              float *pool)
{
    (void)used;
    for (int i = 0; i < length; i++) key_bias[i] = ids[i] == 0 ? -10000.0f : 0;
    for (int i = 0; i < length; i++) pool[i] = i == 0 ? 1 : 0;
}

static void describe(const fv_network *n, char *out, size_t size)
{
    const fv_clip *c = clip_of(n);
    snprintf(out, size, "%s at %d x %d pixels", c->title, n->image_size, n->image_size);
}

const fv_network_kind fv_clip_kind = {.name = "clip",
                                      .detect = detect,
                                      .open = open_row,
                                      .close = close_row,
                                      .map = map_row,
                                      .head = head_row,
                                      .place = place_row,
                                      .text = text_row,
                                      .vocabulary = "bpe_simple_vocab_16e6.txt.gz or merges.txt",
                                      .tokenise = tokenise,
                                      .text_rows = text_rows,
                                      .describe = describe};

/* Not in the table: a CLIP turns out to be one when it is opened. */
const fv_network_kind fv_chinese_clip_kind = {.name = "chinese-clip",
                                              .detect = detect,
                                              .open = open_row,
                                              .close = close_row,
                                              .map = map_row,
                                              .head = head_row,
                                              .place = place_row,
                                              .text = text_row,
                                              .vocabulary = "vocab.txt",
                                              .tokenise = tokenise_chinese,
                                              .text_rows = text_rows_chinese,
                                              .describe = describe};
