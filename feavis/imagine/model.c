/* Opening a model by options, and embedding texts with it. */
#include "feavis/imagine/model.h"

#include <stdlib.h>
#include <string.h>

#include "feavis/model.h"
#include "feavis/preset.h"
#include "model/files/read_file.h"

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
    return h;
}

/* Names, types, sizes and the first bytes of every tensor: enough to tell two checkpoints apart
 * without reading gigabytes. */
static void take_fingerprint(fv_model *m)
{
    enum { SAMPLE = 64 };
    uint64_t h = 14695981039346656037u;
    const fv_weights *w = m->network->source.weights;
    if (m->network->source.momentum) h = mix(h, "momentum", 8);
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        h = mix(h, e->name, strlen(e->name));
        h = mix(h, &e->dtype, sizeof e->dtype);
        h = mix(h, e->dims, (size_t)e->ndim * sizeof e->dims[0]);
        float first[SAMPLE / sizeof(float)];
        fv_entry sample = *e;
        size_t count = fv_entry_count(e);
        if (count == 0) continue;
        sample.ndim = 1;
        sample.dims[0] = count < SAMPLE / sizeof(float) && e->ndim == 1 ? (int64_t)count : 1;
        sample.strides[0] = e->ndim == 1 ? e->strides[0] : 1;
        fv_entry_read_f32(&sample, first);
        h = mix(h, first, (size_t)sample.dims[0] * sizeof(float));
    }
    snprintf(m->fingerprint, sizeof m->fingerprint, "%016llx", (unsigned long long)h);
}

static bool mix_file(uint64_t *h, const char *path)
{
    enum { MOST_BYTES = 64 << 20 };
    unsigned char *data;
    size_t size;
    if (!path) return true;
    if (fv_read_file(&data, &size, path, "file", MOST_BYTES) < 0) return false;
    *h = mix(*h, data, size);
    free(data);
    return true;
}

/* A text becomes other tokens by another vocabulary, and a cfg says what the picture is looked at
 * with: the fingerprint holds neither. One that came through a pipe is gone: no hash then. */
static void take_files(fv_model *m, const fv_options *o)
{
    uint64_t h = 14695981039346656037u;
    bool read = *o->config && mix_file(&h, o->config) && mix_file(&h, m->network->vocabulary);
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

/* Whether s is "cuda", or "cuda:N" with a number; *after: what follows. */
static bool names_gpu(const char *s, size_t *after)
{
    *after = 4;
    if (strncmp(s, "cuda", 4) != 0 || (s[4] && s[4] != ':')) return false;
    size_t digits = s[4] ? strspn(s + 5, "0123456789") : 0;
    if (digits && (!s[5 + digits] || s[5 + digits] == ':')) *after = 5 + digits;
    return true;
}

/* --device decides where, --backend how: a device of one kind leaves a backend of the other
 * (that of a recipe, say) aside. */
fv_status fv_options_backend(const fv_options *o, char *out, size_t size)
{
    size_t number, how;
    bool gpu = names_gpu(o->device, &number);
    const char *chosen = o->backend;
    if (strcmp(o->device, "cpu") == 0) {
        if (strcmp(chosen, "auto") == 0 || names_gpu(chosen, &how)) chosen = "cpu";
    } else if (strcmp(o->device, "auto") != 0 && !(gpu && !o->device[number])) {
        return fv_fail(FV_ERR_ARGUMENT, "device is \"%.80s\", expected auto, cpu, cuda or cuda:N",
                       o->device);
    }
    const char *rest = gpu ? names_gpu(chosen, &how) ? chosen + how : "" : chosen;
    int n = snprintf(out, size, "%s%s", gpu ? o->device : "", rest);
    return n >= 0 && (size_t)n < size
               ? FV_OK
               : fv_fail(FV_ERR_ARGUMENT, "backend '%.80s' is not known", chosen);
}

/* relu6 has corners, where a rounded number takes a whole gradient along. Of the shipped model the
 * gradient in fp16 has a cosine of 0.991 to 0.997 to that in float, in tf32 0.996 to 0.998
 * (SPEED.md), and it is too small a network for 16 bits to save time that shows. SiLU has no
 * corners: 0.9999. */
void fv_model_precision(const fv_network *n, char *spec, size_t size)
{
    static const char *const precisions[] = {":fp16", ":bf16", ":tf32", ":fp32"};
    size_t after;
    bool open = strcmp(spec, "auto") == 0 || names_gpu(spec, &after);
    for (int i = 0; i < 4; i++) open = open && !strstr(spec, precisions[i]);
    size_t used = strlen(spec);
    if (open && n->corners) snprintf(spec + used, size - used, ":fp32");
}

static fv_status open_model(fv_model *m, const fv_options *o)
{
    char shipped[4096];
    const char *config = o->config;
    FV_TRY(fv_options_check_lost(o, FV_OPTION_MODEL));
    FV_TRY(fv_options_copy(&m->opened, o));
    if (!*config && !*o->checkpoint) {
        const char *home = fv_home();
        if (!home)
            return fv_fail(FV_ERR_IO, "the shipped model was not found: set FEAVIS_HOME to the "
                                      "folder that holds model/mini");
        snprintf(shipped, sizeof shipped, "%s/model/mini/mini.yml", home);
        config = shipped;
    }
    fv_network_files files = {*config ? config : NULL, *o->checkpoint ? o->checkpoint : NULL,
                              *o->vocab ? o->vocab : NULL, o->tower != 0, false};
    FV_TRY(fv_network_open(&m->network, &files));
    char backend[FV_BACKEND_SPEC];
    FV_TRY(fv_options_backend(o, backend, sizeof backend));
    fv_model_precision(m->network, backend, sizeof backend);
    FV_TRY(fv_backend_open(&m->backend, backend, o->threads));
    FV_TRY(fv_store_new(&m->store, m->backend));
    m->network->source.store = m->store;
    m->text_length = o->text_length ? o->text_length : m->network->text_length;
    copy_title(m, m->network->title);
    snprintf(m->backend_name, sizeof m->backend_name, "%s", m->backend->name);
    take_fingerprint(m);
    take_files(m, o);
    return FV_OK;
}

fv_status fv_model_open(fv_model **out, const fv_options *o)
{
    fv_model *m = calloc(1, sizeof *m);
    if (!m) return fv_fail(FV_ERR_MEMORY, "opening a model: out of memory");
    fv_status s = open_model(m, o);
    if (s < 0) {
        fv_model_close(m);
        return s;
    }
    *out = m;
    return FV_OK;
}

void fv_model_close(fv_model *m)
{
    if (!m) return;
    fv_text_encoder_close(m->text);
    fv_store_free(m->store);
    fv_words_free(m->words);
    fv_backend_close(m->backend);
    fv_network_close(m->network);
    fv_options_free(m->opened);
    free(m);
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
    return m->backend->without_gpu;
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
        FV_TRY(fv_text_encoder_open(&text, m->network, m->backend, length));
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
    if (!m->network->vocabulary_size)
        return fv_fail(FV_ERR_ARGUMENT,
                       "%s has no vocabulary: give its vocab.txt with --vocab FILE", m->title);
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

fv_status fv_model_embed_ids(fv_model *m, const int32_t *ids, int count, float *embedding)
{
    fv_text_encoder *tower;
    FV_TRY(fv_model_text_tower(m, count, &tower));
    int used = 0; /* padding is id 0, at the end */
    for (int i = 0; i < count; i++)
        if (ids[i] != 0) used = i + 1;
    return fv_text_encode_ids(tower, ids, used, embedding);
}
