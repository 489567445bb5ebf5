/* The list of tensors that a cfg asks for, and the report of a checkpoint against it. See
 * inventory.h. */
#include "model/nets/inventory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ANY = 0 };

typedef struct lister {
    fv_needs *parts;
    const fv_source *s;
    char scope[FV_SOURCE_NAME / 2];
    bool optional;
    fv_status status;
} lister;

void fv_needs_clear(fv_needs *p)
{
    free(p->at);
    *p = (fv_needs){0};
}

static void scope(lister *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void scope(lister *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->scope, sizeof l->scope, fmt, args);
    va_end(args);
}

static void add(lister *l, const char *name, int ndim, int64_t a, int64_t b, int64_t c, int64_t d)
{
    fv_needs *p = l->parts;
    if (l->status < 0) return;
    if ((p->count & (p->count - 1)) == 0) { /* room doubles at powers of two */
        fv_needed *more = realloc(p->at, (size_t)(p->count ? 2 * p->count : 1) * sizeof *more);
        if (!more) {
            l->status = fv_fail(FV_ERR_MEMORY, "listing tensors: out of memory");
            return;
        }
        p->at = more;
    }
    fv_needed *part = &p->at[p->count++];
    *part = (fv_needed){.ndim = ndim, .dims = {a, b, c, d}, .optional = l->optional};
    fv_source_name(part->name, l->s, l->scope, name);
}

static void weight_and_bias(lister *l, const char *name, int ndim, int64_t out, int64_t in)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    add(l, full, ndim, out, in, 1, 1);
    snprintf(full, sizeof full, "%s.bias", name);
    add(l, full, 1, out, 0, 0, 0);
}

static void linear(lister *l, const char *name, int64_t out, int64_t in)
{
    weight_and_bias(l, name, 2, out, in);
}

static void norm(lister *l, const char *name, int64_t width)
{
    weight_and_bias(l, name, 1, width, 0);
}

static void batch_norm(lister *l, const char *name, int64_t width)
{
    char full[128];
    norm(l, name, width);
    snprintf(full, sizeof full, "%s.running_mean", name);
    add(l, full, 1, width, 0, 0, 0);
    snprintf(full, sizeof full, "%s.running_var", name);
    add(l, full, 1, width, 0, 0, 0);
    snprintf(full, sizeof full, "%s.num_batches_tracked", name);
    l->optional = true;
    add(l, full, 0, 0, 0, 0, 0);
    l->optional = false;
}

/* --- image tower --- */

static void squeeze_excite(lister *l, int64_t width, int64_t squeezed)
{
    weight_and_bias(l, "se.conv_reduce", 4, squeezed, width);
    weight_and_bias(l, "se.conv_expand", 4, width, squeezed);
}

static void block(lister *l, const fv_efficientnet *net, int64_t in, int64_t out, int k, int expand)
{
    int64_t middle = in * expand;
    if (expand > 1) {
        add(l, "conv_pw.weight", 4, middle, in, 1, 1);
        batch_norm(l, "bn1", middle);
    }
    add(l, "conv_dw.weight", 4, middle, 1, k, k);
    batch_norm(l, expand > 1 ? "bn2" : "bn1", middle);
    if (!net->lite) squeeze_excite(l, middle, in / 4);
    add(l, expand > 1 ? "conv_pwl.weight" : "conv_pw.weight", 4, out, middle, 1, 1);
    batch_norm(l, expand > 1 ? "bn3" : "bn2", out);
}

static void backbone(lister *l, const fv_efficientnet *net)
{
    int64_t width = net->stem;
    scope(l, "imgencoder.backbone.");
    add(l, "conv_stem.weight", 4, width, 3, 3, 3);
    batch_norm(l, "bn1", width);
    for (int stage = 0; stage < FV_EFFICIENTNET_STAGES; stage++)
        for (int i = 0; i < net->stages[stage].repeats; i++) {
            scope(l, "imgencoder.backbone.blocks.%d.%d.", stage, i);
            block(l, net, width, net->stages[stage].channels, net->stages[stage].kernel,
                  net->stages[stage].expand);
            width = net->stages[stage].channels;
        }
    scope(l, "imgencoder.backbone.");
    add(l, "conv_head.weight", 4, net->head, width, 1, 1);
    batch_norm(l, "bn2", net->head);
    l->optional = true;
    linear(l, "classifier", ANY, net->head);
    l->optional = false;
}

/* torch.nn.TransformerEncoder */
static void torch_encoder(lister *l, const char *name, int layers, int64_t d)
{
    for (int i = 0; i < layers; i++) {
        scope(l, "%s.layers.%d.", name, i);
        add(l, "self_attn.in_proj_weight", 2, 3 * d, d, 0, 0);
        add(l, "self_attn.in_proj_bias", 1, 3 * d, 0, 0, 0);
        linear(l, "self_attn.out_proj", d, d);
        linear(l, "linear1", ANY, d);
        linear(l, "linear2", d, ANY);
        norm(l, "norm1", d);
        norm(l, "norm2", d);
    }
}

static int64_t dim_of(const fv_source *s, const char *name, int which)
{
    char full[FV_SOURCE_NAME];
    fv_source_name(full, s, "", name);
    const fv_entry *e = fv_weights_find(s->weights, full);
    return e && e->ndim > which ? e->dims[which] : 0;
}

static void image_tower(lister *l, const fv_brivl_config *c, const fv_efficientnet *net)
{
    int64_t d = c->image_dim;
    if (!d) d = dim_of(l->s, "imgencoder.learnable.max_pool.0.weight", 0);
    backbone(l, net);
    scope(l, "imgencoder.learnable.");
    weight_and_bias(l, "max_pool.0", 4, d, net->head);
    torch_encoder(l, "imgencoder.learnable.imgAtt", c->image_layers, d);
    scope(l, "imgencoder.learnable.imgFC.");
    linear(l, "fc1", ANY, d);
    linear(l, "fc2", ANY, ANY);
}

/* --- text tower --- */

static int bert_layers(const fv_source *s)
{
    int layers = 0, highest = 0;
    char name[128];
    for (; layers < 1024; layers++) {
        snprintf(name, sizeof name, "textencoder.backbone.bert.encoder.layer.%d.output.dense.bias",
                 layers);
        if (dim_of(s, name, 0)) highest = layers + 1;
    }
    return highest;
}

static void bert(lister *l, int64_t d)
{
    int layers = bert_layers(l->s);
    scope(l, "textencoder.backbone.bert.embeddings.");
    add(l, "word_embeddings.weight", 2, ANY, d, 0, 0);
    add(l, "position_embeddings.weight", 2, ANY, d, 0, 0);
    add(l, "token_type_embeddings.weight", 2, ANY, d, 0, 0);
    norm(l, "LayerNorm", d);
    l->optional = true;
    add(l, "position_ids", 2, 1, ANY, 0, 0);
    l->optional = false;
    for (int i = 0; i < layers; i++) {
        scope(l, "textencoder.backbone.bert.encoder.layer.%d.", i);
        linear(l, "attention.self.query", d, d);
        linear(l, "attention.self.key", d, d);
        linear(l, "attention.self.value", d, d);
        linear(l, "attention.output.dense", d, d);
        norm(l, "attention.output.LayerNorm", d);
        linear(l, "intermediate.dense", ANY, d);
        linear(l, "output.dense", d, ANY);
        norm(l, "output.LayerNorm", d);
    }
    scope(l, "textencoder.backbone.bert.pooler.");
    l->optional = true;
    linear(l, "dense", d, d);
    l->optional = false;
}

static void text_tower(lister *l, const fv_brivl_config *c)
{
    int64_t d = c->text_dim;
    if (!d) d = dim_of(l->s, "textencoder.backbone.bert.embeddings.word_embeddings.weight", 1);
    bert(l, d);
    torch_encoder(l, "textencoder.learnable.textAtt", c->text_layers, d);
    scope(l, "textencoder.learnable.textFC.");
    linear(l, "fc1", ANY, d);
    linear(l, "fc2", ANY, ANY);
}

fv_status fv_brivl_needs(fv_needs *out, const fv_brivl_config *c, const fv_source *s)
{
    fv_efficientnet net;
    FV_TRY(fv_efficientnet_named(&net, c->cnn));
    fv_needs parts = {0};
    lister l = {.parts = &parts, .s = s};
    image_tower(&l, c, &net);
    text_tower(&l, c);
    if (l.status < 0)
        fv_needs_clear(&parts);
    else
        *out = parts;
    return l.status;
}

const fv_entry *fv_needed_find(const fv_needed *part, const fv_weights *w, bool *fits)
{
    const fv_entry *e = fv_weights_find(w, part->name);
    if (!e) return NULL;
    int ndim = part->ndim; /* a 1x1 convolution may be written as a matrix */
    if (ndim == 4 && e->ndim == 2 && part->dims[2] == 1 && part->dims[3] == 1) ndim = 2;
    *fits = e->ndim == ndim && fv_entry_readable(e);
    for (int i = 0; *fits && i < e->ndim; i++)
        *fits = part->dims[i] == ANY || e->dims[i] == part->dims[i];
    return e;
}

/* --- report --- */

enum { SHOWN = 12, GROUPS = 64, GROUP_NAME = 128, NOTES = 4 };

static void print_dims(FILE *to, const int64_t *dims, int ndim)
{
    fputc('[', to);
    for (int i = 0; i < ndim; i++) {
        if (i) fputs(", ", to);
        if (dims[i])
            fprintf(to, "%lld", (long long)dims[i]);
        else
            fputs("any", to);
    }
    fputc(']', to);
}

/* Tensors by the first words of their names: "learnable.imgencoder", "queues". */
typedef struct group {
    char name[GROUP_NAME];
    size_t tensors;
    double numbers, bytes;
    const char *type; /* of the most numbers so far */
    double most;
} group;

/* Where the telling words of a name begin: behind what wraps whole networks. */
static size_t wrapped(const char *name)
{
    static const char *const wrappers[] = {"state_dict.", "module."};
    size_t at = 0;
    for (int i = 0; i < 2; i++)
        if (strncmp(name + at, wrappers[i], strlen(wrappers[i])) == 0) at += strlen(wrappers[i]);
    return name[at] ? at : 0;
}

static void count_groups(const fv_weights *w, size_t root, group groups[GROUPS], int *count)
{
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        size_t skip = strlen(e->name) > root && (root == 0 || e->name[root - 1] == '.') ? root : 0;
        if (root == 0) skip = wrapped(e->name);
        size_t n = skip + strcspn(e->name + skip, ".");
        if (n >= GROUP_NAME) n = GROUP_NAME - 1;
        int g = 0;
        while (g < *count && (strncmp(groups[g].name, e->name, n) != 0 || groups[g].name[n])) g++;
        if (g == GROUPS) g--; /* the last one is for all that are too many */
        if (g == *count) {
            bool last = g == GROUPS - 1;
            groups[g] = (group){.type = fv_entry_dtype_name(e)};
            memcpy(groups[g].name, last ? "(others)" : e->name, last ? strlen("(others)") : n);
            ++*count;
        }
        double numbers = (double)fv_entry_count(e);
        groups[g].tensors++;
        groups[g].numbers += numbers;
        groups[g].bytes += numbers * (double)fv_file_dtype_size(e->dtype);
        if (numbers > groups[g].most) {
            groups[g].most = numbers;
            groups[g].type = fv_entry_dtype_name(e);
        }
    }
}

static void print_file(const fv_weights *w, const char *root, FILE *to)
{
    struct stat st;
    group groups[GROUPS];
    int count = 0;
    double bytes = stat(fv_weights_path(w), &st) == 0 ? (double)st.st_size : 0;
    fprintf(to, "%s: %s, %.0f MB, %zu tensors\n", fv_weights_path(w), fv_weights_format(w),
            bytes / 1e6, fv_weights_count(w));
    count_groups(w, root ? strlen(root) : 0, groups, &count);
    for (int g = 0; g < count; g++)
        fprintf(to, "  %-32s %5zu tensors %8.2f M numbers %7.0f MB  %s\n", groups[g].name,
                groups[g].tensors, groups[g].numbers / 1e6, groups[g].bytes / 1e6, groups[g].type);
    size_t notes = fv_weights_note_count(w);
    for (size_t i = 0; i < notes && i < NOTES; i++)
        fprintf(to, "  passed over: %s\n", fv_weights_note_at(w, i));
    if (notes > NOTES) fprintf(to, "  passed over: %zu others\n", notes - NOTES);
}

typedef struct verdict {
    int missing, misshapen, unexpected, shown;
} verdict;

static bool show(verdict *v, FILE *to, const char *what, const char *name)
{
    if (v->shown++ >= SHOWN) return false;
    fprintf(to, "    %-12s %s", what, name);
    return true;
}

static void check_part(verdict *v, const fv_needed *part, const fv_weights *w, bool *seen, FILE *to)
{
    bool fits;
    const fv_entry *e = fv_needed_find(part, w, &fits);
    if (e) seen[e - fv_weights_at(w, 0)] = true;
    if (part->optional || (e && fits)) return;
    if (!e) {
        v->missing++;
        if (show(v, to, "missing", part->name)) fputc('\n', to);
        return;
    }
    v->misshapen++;
    if (!show(v, to, "wrong shape", part->name)) return;
    fputs(" is ", to);
    print_dims(to, e->dims, e->ndim);
    if (!fv_entry_readable(e)) fprintf(to, " of %s", fv_entry_dtype_name(e));
    fputs(", expected ", to);
    print_dims(to, part->dims, part->ndim);
    fputc('\n', to);
}

/* One pair of towers; *problems may be NULL. */
static fv_status check_towers(const fv_brivl_config *c, const fv_source *s, FILE *to, int *problems)
{
    fv_needs parts;
    size_t count = fv_weights_count(s->weights);
    FV_TRY(fv_brivl_needs(&parts, c, s));
    bool *seen = calloc(count + 1, sizeof *seen);
    if (!seen) {
        fv_needs_clear(&parts);
        return fv_fail(FV_ERR_MEMORY, "checking a checkpoint: out of memory");
    }
    verdict v = {0};
    int needed = 0;
    char image[FV_SOURCE_NAME], text[FV_SOURCE_NAME];
    fv_source_name(image, s, "imgencoder.", "");
    fv_source_name(text, s, "textencoder.", "");
    fprintf(to, "  %s* and %s*\n", image, text);
    for (int i = 0; i < parts.count; i++) {
        check_part(&v, &parts.at[i], s->weights, seen, to);
        needed += !parts.at[i].optional;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = fv_weights_at(s->weights, i)->name;
        bool own =
            strncmp(name, image, strlen(image)) == 0 || strncmp(name, text, strlen(text)) == 0;
        if (!own || seen[i]) continue;
        v.unexpected++;
        if (show(&v, to, "unexpected", name)) fputc('\n', to);
    }
    if (v.shown > SHOWN) fprintf(to, "    ... and %d more\n", v.shown - SHOWN);
    if (v.shown)
        fprintf(to, "    %d missing, %d of wrong shape, %d unexpected, of %d needed\n", v.missing,
                v.misshapen, v.unexpected, needed);
    else
        fprintf(to, "    all %d tensors in use are there and have the right shapes\n", needed);
    if (problems) *problems = v.missing + v.misshapen + v.unexpected;
    free(seen);
    fv_needs_clear(&parts);
    return FV_OK;
}

static fv_status print_fit(const fv_weights *w, const char *root, const fv_brivl_config *c,
                           FILE *to, int *problems)
{
    fprintf(to, "against %s: %s at %d pixels, %d + %d layers, texts of up to %d tokens\n", c->path,
            c->cnn, c->image_size, c->image_layers, c->text_layers, c->text_limit);
    fv_source s = {.weights = w, .root = root};
    FV_TRY(check_towers(c, &s, to, problems));
    char name[FV_SOURCE_NAME];
    s.momentum = true;
    fv_source_name(name, &s, "", "imgencoder.backbone.conv_stem.weight");
    return fv_weights_find(w, name) ? check_towers(c, &s, to, NULL) : FV_OK;
}

fv_status fv_inventory_print(const char *checkpoint, const fv_brivl_config *config, FILE *to,
                             int *problems)
{
    fv_weights *w;
    char *root = NULL;
    *problems = 0;
    FV_TRY(fv_weights_open(&w, checkpoint));
    fv_status s = fv_brivl_root(w, &root);
    print_file(w, root, to);
    if (!config) s = FV_OK; /* no BriVL: what it holds is told all the same */
    if (s >= 0 && config) s = print_fit(w, root, config, to, problems);
    free(root);
    fv_weights_close(w);
    return s;
}

fv_status fv_inventory_list(const char *checkpoint, FILE *to)
{
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, checkpoint));
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_entry *e = fv_weights_at(w, i);
        for (const char *c = e->name; *c; c++)
            fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, to);
        fprintf(to, " %s [", fv_entry_dtype_name(e));
        for (int k = 0; k < e->ndim; k++) fprintf(to, k ? ", %lld" : "%lld", (long long)e->dims[k]);
        fputs("]\n", to);
    }
    for (size_t i = 0; i < fv_weights_note_count(w); i++)
        fprintf(to, "passed over: %s\n", fv_weights_note_at(w, i));
    fv_weights_close(w);
    return FV_OK;
}
