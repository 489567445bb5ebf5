/* What is in a file, and the report of a checkpoint against a network's manifest. See inventory.h.
 */
#include "model/nets/inventory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN = 12, GROUPS = 64, GROUP_NAME = 128, NOTES = 4 };

/* --- the file --- */

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
    static const char *const wrappers[] = {"learnable.", "state_dict.", "module."};
    size_t at = 0;
    for (int i = 0; i < 3; i++)
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

/* --- the report --- */

typedef struct verdict {
    int needed, missing, misshapen, unexpected, shown;
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
    if (part->unused) return;
    v->needed++;
    if (fits) return;
    if (!e) {
        v->missing++;
        if (show(v, to, "missing", part->name)) fputc('\n', to);
        return;
    }
    v->misshapen++;
    if (!show(v, to, "wrong shape", part->name)) return;
    char found[FV_DIMS_TEXT], expected[FV_DIMS_TEXT];
    fv_describe_dims(found, e->dims, e->ndim, false);
    fv_describe_dims(expected, part->dims, part->ndim, true);
    const char *type = fv_entry_readable(e) ? NULL : fv_entry_dtype_name(e);
    fprintf(to, " is %s%s%s, expected %s\n", found, type ? " of " : "", type ? type : "", expected);
}

/* "learnable.imgencoder.": the tower that a tensor is of, by its name up to the first dot behind
 * what stands before all of them. */
static size_t tower_of(const fv_network *n, const char *name)
{
    size_t root = strlen(n->source.root);
    if (strncmp(name, n->source.root, root) != 0) return strlen(name);
    const char *dot = strchr(name + root, '.');
    return dot ? (size_t)(dot - name) + 1 : strlen(name);
}

typedef struct towers {
    const char *at[GROUPS];
    size_t length[GROUPS];
    int count;
} towers;

static bool in_towers(const towers *t, const char *name)
{
    for (int i = 0; i < t->count; i++) {
        size_t n = t->length[i];
        bool whole = t->at[i][n - 1] != '.'; /* a tensor that is of no tower */
        if (strncmp(name, t->at[i], n) == 0 && (!whole || !name[n])) return true;
    }
    return false;
}

static void list_towers(towers *t, const fv_network *n, const fv_manifest *m, FILE *to)
{
    t->count = 0;
    for (int i = 0; i < m->count && t->count < GROUPS; i++) {
        if (m->at[i].unused || !*m->at[i].name || in_towers(t, m->at[i].name)) continue;
        t->at[t->count] = m->at[i].name;
        t->length[t->count++] = tower_of(n, m->at[i].name);
    }
    for (int i = 0; i < t->count; i++) {
        const char *name = t->at[i], *before = i == 0 ? "  " : i < t->count - 1 ? ", " : " and ";
        bool whole = name[t->length[i] - 1] != '.';
        fprintf(to, "%s%.*s%s", before, (int)t->length[i], name, whole ? "" : "*");
    }
    fputc('\n', to);
}

static fv_status check_towers(const fv_network *n, const fv_manifest *m, FILE *to, int *problems)
{
    const fv_weights *w = n->source.weights;
    size_t count = fv_weights_count(w);
    bool *seen = calloc(count + 1, sizeof *seen);
    if (!seen) return fv_fail(FV_ERR_MEMORY, "checking a checkpoint: out of memory");
    verdict v = {0};
    towers t;
    list_towers(&t, n, m, to);
    for (int i = 0; i < m->count; i++) check_part(&v, &m->at[i], w, seen, to);
    for (size_t i = 0; i < count; i++) {
        const char *name = fv_weights_at(w, i)->name;
        if (seen[i] || !in_towers(&t, name)) continue;
        v.unexpected++;
        if (show(&v, to, "unexpected", name)) fputc('\n', to);
    }
    if (v.shown > SHOWN) fprintf(to, "    ... and %d more\n", v.shown - SHOWN);
    if (v.shown)
        fprintf(to, "    %d missing, %d of wrong shape, %d unexpected, of %d needed\n", v.missing,
                v.misshapen, v.unexpected, v.needed);
    else
        fprintf(to, "    all %d tensors in use are there and have the right shapes\n", v.needed);
    *problems = v.missing + v.misshapen + v.unexpected;
    free(seen);
    return FV_OK;
}

/* "learnable.imgencoder_mom.*" */
static bool has_momentum(const fv_network *n)
{
    static const char mark[] = "_mom.";
    const fv_weights *w = n->source.weights;
    size_t root = strlen(n->source.root), end = strlen(mark);
    bool found = false;
    for (size_t i = 0; i < fv_weights_count(w) && !found; i++) {
        const char *name = fv_weights_at(w, i)->name;
        if (strncmp(name, n->source.root, root) != 0) continue;
        size_t tower = tower_of(n, name);
        found = tower > root + end && memcmp(name + tower - end, mark, end) == 0;
    }
    return found;
}

static fv_status check_tower(const fv_network *n, bool momentum, FILE *to, int *problems)
{
    fv_manifest m;
    FV_TRY(fv_manifest_make(&m, n, momentum));
    fv_status s = check_towers(n, &m, to, problems);
    fv_manifest_clear(&m);
    return s;
}

static fv_status print_fit(const fv_network *n, FILE *to, int *problems)
{
    char what[256];
    n->kind->describe(n, what, sizeof what);
    if (n->config)
        fprintf(to, "against %s: %s", n->config, what);
    else if (strncmp(what, n->title, strlen(n->title)) == 0)
        fprintf(to, "as %s", what);
    else
        fprintf(to, "as %s: %s", n->title, what);
    if (n->kind->text) fprintf(to, ", texts of up to %d tokens", n->text_limit);
    fputc('\n', to);
    FV_TRY(check_tower(n, false, to, problems));
    int others;
    return has_momentum(n) ? check_tower(n, true, to, &others) : FV_OK;
}

/* What no row recognises is told about all the same, before that is said. */
static fv_status print_stranger(const fv_network_files *files, fv_status status, FILE *to)
{
    char message[1024];
    snprintf(message, sizeof message, "%s", fv_error());
    fv_weights *w;
    FV_TRY(fv_weights_open(&w, files->checkpoint));
    print_file(w, NULL, to);
    fv_weights_close(w);
    const fv_network_kind *kind = NULL;
    if (!files->config) FV_TRY(fv_network_detect(&kind, files));
    bool known = files->config || kind; /* and yet it cannot be opened */
    return known ? fv_fail(status, "%s", message) : FV_OK;
}

fv_status fv_inventory_print(const fv_network_files *files, FILE *to, int *problems)
{
    fv_network *n;
    fv_network_files unchecked = *files;
    unchecked.unchecked = true;
    *problems = 0;
    fv_status s = fv_network_open(&n, &unchecked);
    if (s < 0) return print_stranger(files, s, to);
    print_file(n->source.weights, n->source.root, to);
    s = print_fit(n, to, problems);
    fv_network_close(n);
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
