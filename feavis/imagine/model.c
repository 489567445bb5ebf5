/* Opening a model by options, with the guides beside it, and embedding texts with it. */
#include "feavis/imagine/model.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feavis/model.h"
#include "feavis/preset.h"
#include "model/files/read_file.h"

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
    return h;
}

static bool mix_file(uint64_t *h, const char *path)
{
    enum { MAX_BYTES = 64 << 20 };
    unsigned char *data;
    size_t size;
    if (!path) return true;
    if (fv_read_file(&data, &size, path, "file", MAX_BYTES) < 0) return false;
    *h = mix(*h, data, size);
    free(data);
    return true;
}

static bool mix_vocabulary(uint64_t *h, const fv_network *n)
{
    if (!n->vocabulary_hash) return mix_file(h, n->vocabulary);
    *h = mix(*h, &n->vocabulary_hash, sizeof n->vocabulary_hash);
    return true;
}

/* What a family has settled by whichever cfg it found. */
static void mix_settled(uint64_t *h, const fv_network *n)
{
    for (int i = 0; n->metadata[i]; i++) *h = mix(*h, n->metadata[i], strlen(n->metadata[i]) + 1);
}

/* A text becomes other tokens by another vocabulary, and a cfg says what the picture is looked at
 * with: the fingerprint holds neither. One that came through a pipe is gone: no hash then. */
static void take_files(fv_model *m, const fv_options *o)
{
    uint64_t h = 14695981039346656037u;
    bool settled = m->network->metadata != NULL;
    bool any = settled || *o->config || (*o->checkpoint && m->network->vocabulary);
    if (settled) mix_settled(&h, m->network);
    const char *config = *o->config && !settled ? o->config : NULL;
    bool read = any && mix_file(&h, config) && mix_vocabulary(&h, m->network);
    if (read) snprintf(m->files, sizeof m->files, "%016llx", (unsigned long long)h);
}

/* Cut at a whole character: recipes are UTF-8. */
static void copy_title(fv_model *m, const char *title)
{
    size_t n = strlen(title), room = sizeof m->title - 1;
    if (n > room)
        for (n = room; n && ((unsigned char)title[n] & 0xc0) == 0x80;) n--;
    snprintf(m->title, sizeof m->title, "%.*s", (int)n, title);
}

/* The shipped model's cfg, where neither a cfg nor a checkpoint is named. */
static fv_status open_network(fv_network **out, const fv_options *o)
{
    char shipped[4096], merges[4096];
    const char *config = o->config, *home = fv_home();
    if (!*config && !*o->checkpoint) {
        if (!home)
            return fv_fail(FV_ERR_IO, "the shipped model was not found: set FEAVIS_HOME to the "
                                      "folder that holds model/mini");
        snprintf(shipped, sizeof shipped, "%s/model/mini/mini.yml", home);
        config = shipped;
    }
    snprintf(merges, sizeof merges, "%s/model/text/clip/merges.txt.gz", home ? home : "");
    fv_network_files files = {.config = *config ? config : NULL,
                              .checkpoint = *o->checkpoint ? o->checkpoint : NULL,
                              .vocabulary = *o->vocab ? o->vocab : NULL,
                              .merges = home && access(merges, R_OK) == 0 ? merges : NULL,
                              .momentum = o->tower != 0};
    return fv_network_open(out, &files);
}

/* One guide: its network, and what is known of it without a backend. */
static fv_status open_guide(fv_model **out, const fv_options *o)
{
    fv_model *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening a model: out of memory");
    m->guides[0] = m;
    m->guide_count = 1;
    fv_status s = fv_options_copy(&m->opened, o);
    if (s >= 0) s = open_network(&m->network, o);
    if (s >= 0 && !m->network->kind->map)
        s = fv_fail(FV_ERR_ARGUMENT,
                    "%s looks at no pictures: what it makes them with is given by "
                    "--decoder FILE",
                    m->network->title);
    if (s < 0) {
        fv_model_close(m);
        return s;
    }
    m->text_length = o->text_length ? o->text_length : m->network->text_length;
    copy_title(m, m->network->title);
    fv_network_fingerprint(m->network, m->fingerprint);
    take_files(m, o);
    *out = m;
    return FV_OK;
}

/* The options of guide i alone, which name its files in the rows of a single model too. */
static fv_status guide_options(fv_options **out, const fv_options *o, const fv_guide *g, int i)
{
    fv_options *alone;
    FV_TRY(fv_options_guide(&alone, o, i));
    fv_status s = fv_options_set_written(alone, "config", g->config);
    if (s >= 0) s = fv_options_set_written(alone, "checkpoint", g->checkpoint);
    if (s >= 0) s = fv_options_set_written(alone, "vocab", g->vocabulary);
    if (s >= 0) s = fv_options_set_written(alone, "tower", g->momentum ? "momentum" : "online");
    if (s < 0)
        fv_options_free(alone);
    else
        *out = alone;
    return s;
}

/* Behind those that are open already; the first is the model itself. */
static fv_status add_guide(fv_model **m, const fv_options *o, const fv_guide *g, int i)
{
    fv_options *alone;
    fv_model *more;
    FV_TRY(guide_options(&alone, o, g, i));
    fv_status s = open_guide(&more, alone);
    fv_options_free(alone);
    FV_TRY(s);
    if (!*m)
        *m = more;
    else
        (*m)->guides[(*m)->guide_count++] = more;
    return FV_OK;
}

/* `guide` names whole models; what names parts of one has no place beside it. */
static fv_status check_alone(const fv_options *o)
{
    static const char *const names[] = {"config", "checkpoint", "vocab", "tower"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!fv_options_is_default(o, names[i]))
            return fv_fail(FV_ERR_ARGUMENT,
                           "%s and guide both name a model: as a guide it is \"CFG + CHECKPOINT + "
                           "VOCABULARY @momentum\"",
                           names[i]);
    return FV_OK;
}

static fv_status open_guides(fv_model **m, const fv_options *o)
{
    fv_guides guides;
    if (!*o->guide) return open_guide(m, o);
    FV_TRY(fv_guides_parse(&guides, o->guide));
    fv_status s = check_alone(o);
    for (int i = 0; s >= 0 && i < guides.count; i++) s = add_guide(m, o, &guides.at[i], i);
    fv_guides_clear(&guides);
    return s;
}

static void identify(fv_model *m)
{
    size_t at = 0;
    for (int i = 0; i < m->guide_count && at < sizeof m->identity; i++)
        at += (size_t)snprintf(m->identity + at, sizeof m->identity - at, "%s%s+%s", i ? "|" : "",
                               m->guides[i]->fingerprint, m->guides[i]->files);
}

static fv_status give_engine(fv_model *m, const fv_options *o)
{
    fv_network *networks[FV_MAX_GUIDES + 1], *decoder;
    int count = m->guide_count;
    for (int i = 0; i < count; i++) networks[i] = m->guides[i]->network;
    FV_TRY(fv_decoder_open(&decoder, o)); /* it has a say in the precision */
    if (decoder) networks[count++] = decoder;
    fv_status s = fv_engine_open(&m->engine, o, networks, count);
    if (s < 0) {
        fv_network_close(decoder);
        return s;
    }
    m->engine->decoder = decoder;
    for (int i = 0; i < m->guide_count; i++) {
        fv_model *g = m->guides[i];
        g->engine = m->engine;
        fv_engine_attach(m->engine, g->network);
        snprintf(g->backend_name, sizeof g->backend_name, "%s", m->engine->backend->name);
        identify(g);
    }
    if (decoder) fv_engine_attach(m->engine, decoder);
    return FV_OK;
}

fv_status fv_model_open(fv_model **out, const fv_options *o)
{
    fv_model *m = NULL;
    FV_TRY(fv_options_check_lost(o, FV_OPTION_MODEL));
    fv_status s = open_guides(&m, o);
    if (s >= 0 && *o->guide) { /* what recipes say of it: all guides, and no files beside them */
        fv_options_free(m->opened);
        m->opened = NULL;
        s = fv_options_copy(&m->opened, o);
    }
    if (s >= 0) s = give_engine(m, o);
    if (s < 0) {
        fv_model_close(m);
        return s;
    }
    *out = m;
    return FV_OK;
}

static void close_guide(fv_model *m)
{
    fv_text_encoder_close(m->text);
    fv_words_free(m->words);
    fv_options_free(m->opened);
}

void fv_model_close(fv_model *m)
{
    if (!m) return;
    for (int i = 0; i < m->guide_count; i++) close_guide(m->guides[i]);
    fv_engine_close(m->engine);
    for (int i = m->guide_count - 1; i >= 0; i--) { /* the first one last: it is the list */
        fv_network_close(m->guides[i]->network);
        if (m->guides[i] != m) free(m->guides[i]);
    }
    free(m);
}

int fv_model_guide_count(const fv_model *m)
{
    return m->guide_count;
}

fv_model *fv_model_guide(fv_model *m, int i)
{
    return i >= 0 && i < m->guide_count ? m->guides[i] : NULL;
}

const char *fv_model_title(const fv_model *m)
{
    return m->title;
}

const char *fv_model_backend(const fv_model *m)
{
    return m->backend_name;
}

const char *fv_model_without_gpu(const fv_model *m)
{
    return m->engine->backend->without_gpu;
}

int fv_model_image_size(const fv_model *m)
{
    return m->network->image_size;
}

int fv_model_channels(const fv_model *m)
{
    return m->network->map_channels;
}

int fv_model_dim(const fv_model *m)
{
    return m->network->dim;
}

int fv_model_text_length(const fv_model *m)
{
    return m->text_length;
}

const char *fv_model_fingerprint(const fv_model *m)
{
    return m->fingerprint;
}

fv_status fv_model_text_tower(fv_model *m, int length, fv_text_encoder **out)
{
    if (!m->text || m->tower_length != length) {
        fv_text_encoder *text;
        FV_TRY(fv_text_encoder_open(&text, m->network, m->engine->backend, length));
        fv_text_encoder_close(m->text);
        m->text = text;
        m->tower_length = length;
    }
    *out = m->text;
    return FV_OK;
}

fv_status fv_model_embed_text(fv_model *m, const char *text, float *embedding,
                              fv_text_report *report)
{
    if (!m->network->vocabulary_size) {
        const char *files = m->network->kind->vocabulary;
        return fv_fail(FV_ERR_ARGUMENT, "%s has no vocabulary: give its %s with --vocab FILE%s",
                       m->title, files ? files : "vocab.txt",
                       files ? ", or put it beside the checkpoint" : "");
    }
    fv_text_encoder *tower;
    FV_TRY(fv_model_text_tower(m, m->text_length, &tower));
    if (!m->words && m->network->words) FV_TRY(fv_words_open(&m->words, m->network->words));
    fv_tokens t;
    FV_TRY(fv_text_encode(tower, text, embedding, &t));
    if (report) {
        *report = (fv_text_report){.used = t.used, .dropped = t.dropped, .unknown = t.unknown};
        if (m->words) fv_words_unknown(m->words, text, report->little, sizeof report->little);
    }
    fv_tokens_free(&t);
    return FV_OK;
}

/* Of a square of resize_side pixels its centre. */
static fv_status look_at_centre(const fv_picture *p, const fv_network *n, fv_square how, float *out)
{
    size_t whole = (size_t)n->resize_side, side = (size_t)n->image_size;
    size_t skip = (whole - side) / 2;
    float *square = malloc(whole * whole * 3 * sizeof *square);
    fv_status s = square ? fv_picture_square(p, n->resize_side, how, square)
                         : fv_fail(FV_ERR_MEMORY, "resizing a picture: out of memory");
    for (size_t y = 0; s >= 0 && y < side; y++)
        memcpy(out + y * side * 3, square + ((y + skip) * whole + skip) * 3,
               side * 3 * sizeof *out);
    free(square);
    return s;
}

fv_status fv_model_look_at(const fv_model *m, const fv_picture *p, float *out)
{
    static const fv_square squares[] = {[FV_RESIZE_PLAIN] = FV_SQUARE_BILINEAR,
                                        [FV_RESIZE_SHORTEST] = FV_SQUARE_CENTRE,
                                        [FV_RESIZE_SQUASH] = FV_SQUARE_SQUASH};
    const fv_network *n = m->network;
    if (n->resize_side <= n->image_size)
        return fv_picture_square(p, n->image_size, squares[n->resize], out);
    return look_at_centre(p, n, squares[n->resize], out);
}

fv_status fv_model_embed_ids(fv_model *m, const int32_t *ids, int count, float *embedding)
{
    fv_text_encoder *tower;
    FV_TRY(fv_model_text_tower(m, count, &tower));
    int used = 0; /* padding is id 0, at the end */
    for (int i = 0; i < count; i++)
        if (ids[i] != 0) used = i + 1;
    return fv_text_encode_ids(tower, ids, used, embedding);
}

const char *fv_model_label(const fv_model *m, int i, char *out, size_t size)
{
    int same = 0, before = 0;
    const fv_model *g = m->guides[i];
    for (int k = 0; k < m->guide_count; k++) {
        const fv_model *other = m->guides[k];
        bool twin = strcmp(other->title, g->title) == 0 &&
                    other->network->source.momentum == g->network->source.momentum;
        same += twin;
        before += twin && k <= i;
    }
    int n = snprintf(out, size, "%s%s", g->title, g->network->source.momentum ? " @momentum" : "");
    if (same > 1 && n >= 0 && (size_t)n < size) snprintf(out + n, size - (size_t)n, " %d", before);
    return out;
}

/* --- layers of all guides --- */

enum { SCOPE_BYTES = 24 };

static const char *scope_of(const fv_model *m, int i, char out[SCOPE_BYTES])
{
    out[0] = 0;
    if (m->guide_count > 1) snprintf(out, SCOPE_BYTES, "guide%d.", i + 1);
    return out;
}

fv_image_layers fv_model_image(const fv_model *m, int i, fv_plan *p, fv_ref pixels, bool head)
{
    char scope[SCOPE_BYTES];
    bool named = *scope_of(m, i, scope);
    if (named) fv_plan_push(p, "%s", scope);
    fv_image_layers layers = fv_network_image(m->guides[i]->network, p, pixels, head);
    if (named) fv_plan_pop(p);
    return layers;
}

int fv_model_guide_of(const fv_model *m, const char *layer)
{
    char scope[SCOPE_BYTES];
    for (int i = 0; i < m->guide_count && m->guide_count > 1; i++) {
        scope_of(m, i, scope);
        if (strncmp(layer, scope, strlen(scope)) == 0) return i;
    }
    return 0;
}

fv_status fv_model_find_layer(const fv_model *m, const fv_plan *p, const char *name, int *guide,
                              fv_ref *out)
{
    char scope[SCOPE_BYTES];
    int number;
    char dot;
    if (m->guide_count > 1 && sscanf(name, "guide%d%c", &number, &dot) == 2 && dot == '.' &&
        (number < 1 || number > m->guide_count))
        return fv_fail(FV_ERR_ARGUMENT, "layer %.80s: there are guide1 to guide%d", name,
                       m->guide_count);
    *guide = fv_model_guide_of(m, name);
    scope_of(m, *guide, scope);
    size_t n = strlen(scope);
    return fv_plan_find_layer_in(p, scope, strncmp(name, scope, n) == 0 ? name + n : name, out);
}
